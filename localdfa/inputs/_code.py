"""What an input code defines."""

import math
from typing import Any

import numpy as np

# A spike of an input neuron stands for this activity · time, ms, where the code has no scale of its own.
UNIT = 10.0


class Code:
    """spikes: whether input neurons spike; else their activity is a current, constant through each frame. series: whether a
    sample is a time series, of shape (frames, channels). given: whether a sample is a spike train already."""

    spikes = True
    series = False
    given = False

    @staticmethod
    def n_in(shape: tuple[int, ...]) -> int:
        """Number of input neurons of a sample of this shape."""
        return math.prod(shape)

    @staticmethod
    def frames(shape: tuple[int, ...]) -> int:
        """Number of pieces, one after the other, that a sample of this shape falls into."""
        return 1

    @staticmethod
    def unit(spec: Any) -> float:
        """gain of an input neuron, ms: its activity is gain · rate."""
        return UNIT

    @staticmethod
    def trains(
        x: Any, shape: tuple[int, ...], spec: Any, onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Spikes of a mini-batch x (m, n_features), each of this shape, in [0, stop) ms, in any order: sample, neuron, time.

        spec: the table `input`; onsets: when phases begin, and with them a time series anew.
        """
        raise NotImplementedError
