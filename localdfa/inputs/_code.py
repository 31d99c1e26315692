"""What an input code defines."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from localdfa.spec.tables import Input

# A spike of an input neuron stands for this activity · time, ms, where the code has no scale of its own.
UNIT = 10.0


class Code:
    """spikes: whether input neurons spike; else their activity is a current, constant through each frame. series: whether a
    sample is a time series, of shape (frames, channels). given: whether a sample is a spike train already. reads: the keys of
    the table `input` that it reads, of `rate`, `window` and `step`; others are refused beside it. draws: whether spikes are
    drawn at random."""

    spikes = True
    series = False
    given = False
    reads: tuple[str, ...] = ()
    draws = False

    @staticmethod
    def n_in(shape: tuple[int, ...]) -> int:
        """Number of input neurons of a sample of this shape."""
        return math.prod(shape)

    @staticmethod
    def frames(shape: tuple[int, ...]) -> int:
        """Number of pieces, one after the other, that a sample of this shape falls into."""
        return 1

    @staticmethod
    def unit(spec: "Input") -> float:
        """gain of an input neuron, ms: its activity is gain · rate."""
        return UNIT

    @staticmethod
    def trains(
        x: Any, shape: tuple[int, ...], spec: "Input", onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Spikes of a mini-batch x (m, n_features), each of this shape, in [0, stop) ms, in any order: sample, neuron, time.

        spec: the table `input`; onsets: when phases begin, and with them a time series anew.
        """
        raise NotImplementedError

    @staticmethod
    def refusal(x: Any, shape: tuple[int, ...], spec: "Input") -> str | None:
        """Why these samples (n, n_features), each of this shape, cannot be sent so: words that follow their name; else None."""
        return None


def outside_unit_range(x: np.ndarray) -> str | None:
    """What of the samples lies outside [0, 1], which is the range that the code reads; None where nothing does."""
    if x.size == 0 or (x.min() >= 0 and x.max() <= 1):
        return None
    sample, value = np.unravel_index(int(((x < 0) | (x > 1)).argmax()), x.shape)
    return (
        f"input {value} of sample {sample} is {float(x[sample, value])!r}, and this code turns values in [0, 1] into spikes; "
        f"scale the inputs to [0, 1], training and test alike, without preprocess.whiten or standardise; or send "
        f"them as 'current'"
    )
