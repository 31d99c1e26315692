"""Spikes where a time series of shape (frames, channels) rises or falls: sigma-delta coding, two neurons a channel."""

import math
from typing import TYPE_CHECKING

import numpy as np

from localdfa.inputs._code import Code
from localdfa.inputs.trains import repeated

if TYPE_CHECKING:
    from localdfa.spec.tables import Input

# So many spikes a neuron may send within a frame.
_MOST = 10_000
# The resolution of numbers in single precision; and the most of a step that may be missing.
_SINGLE, _MOST_MISSING = float(np.finfo(np.float32).eps), 0.01


class Changes(Code):
    """Frames are `input.window` ms apart and joined by straight lines.

    Channel j makes a spike of neuron 2j whenever it has risen by `input.step` since its last spike, of neuron 2j + 1 whenever
    it has fallen by as much, as the taxels of Müller-Cleve et al. 2022 do. The series begins anew with every phase, and before
    each stands a frame of zeros.
    """

    series = True
    reads = ("window", "step")

    @staticmethod
    def n_in(shape: tuple[int, ...]) -> int:
        return 2 * math.prod(shape[1:])

    @staticmethod
    def trains(
        x: np.ndarray, shape: tuple[int, ...], spec: "Input", onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        series = x.reshape(len(x), shape[0], -1).astype(np.float64)
        level = np.zeros_like(series[:, 0])
        samples, neurons, times = [], [], []
        before = level
        for frame in range(shape[0]):
            after = series[:, frame]
            taken = (after - level) / spec.step
            # A step counts as taken where less is missing than numbers in single precision, which the series may once have
            # been, tell apart.
            missing = np.minimum(2 * _SINGLE * np.maximum(np.abs(after), np.abs(level)) / spec.step, _MOST_MISSING)
            steps = np.trunc(taken + np.copysign(missing, taken))
            sample, channel = np.nonzero(steps)
            counts = np.abs(steps[sample, channel]).astype(int)
            sign = np.repeat(np.sign(steps[sample, channel]), counts)
            sample, channel = np.repeat(sample, counts), np.repeat(channel, counts)
            nth = np.arange(len(sample)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
            crossed = level[sample, channel] + sign * nth * spec.step
            part = (crossed - before[sample, channel]) / (after - before)[sample, channel]
            samples.append(sample)
            neurons.append(2 * channel + (sign < 0))
            times.append((frame + np.clip(part, 0, 1)) * spec.window)
            level, before = level + steps * spec.step, after
        return repeated(np.concatenate(samples), np.concatenate(neurons), np.concatenate(times), onsets, stop)

    @staticmethod
    def refusal(x: np.ndarray, shape: tuple[int, ...], spec: "Input") -> str | None:
        if x.size == 0 or len(shape) != 2:
            return None
        # A channel cannot change by more than this, as each series begins at 0.
        most = float(max(x.max(), 0)) - float(min(x.min(), 0))
        if most <= _MOST * spec.step:
            return None
        return (
            f"values differ by up to {most:g}, which are {most / spec.step:.3g} spikes of input.step = {spec.step:g} each; "
            f"allowed: up to {_MOST} within a frame; scale the inputs, or choose a larger step"
        )


model = Changes
