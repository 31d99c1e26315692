"""Currents that change from frame to frame: a time series of shape (frames, channels)."""

import math

from localdfa.inputs._code import Code


class Frames(Code):
    """The activity of channel j is x[frame, j], each frame for `input.window` ms, the last one to the end of the phase.

    The series begins anew with every phase, so that what is nudged is what was seen before.
    """

    spikes = False
    series = True
    reads = ("window",)

    @staticmethod
    def n_in(shape: tuple[int, ...]) -> int:
        return math.prod(shape[1:])

    @staticmethod
    def frames(shape: tuple[int, ...]) -> int:
        return shape[0]


model = Frames
