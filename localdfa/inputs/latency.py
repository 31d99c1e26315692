"""One spike a window, the earlier the larger the input (time to first spike)."""

from typing import Any

import numpy as np

from localdfa.inputs._code import Code, outside_unit_range


class Latency(Code):
    """Input neuron j spikes (1 − x_j) of `input.window` after the begin of each window, inputs of 0 not at all."""

    @staticmethod
    def unit(spec: Any) -> float:
        return float(spec.window)

    @staticmethod
    def trains(
        x: np.ndarray, shape: tuple[int, ...], spec: Any, onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sample, neuron = np.nonzero(x > 0)
        late = spec.window * (1 - np.minimum(x[sample, neuron], 1).astype(np.float64))
        begins = np.arange(0.0, stop, spec.window)
        time = (begins[:, None] + late).ravel()
        before = time < stop
        return np.tile(sample, len(begins))[before], np.tile(neuron, len(begins))[before], time[before]

    @staticmethod
    def refusal(x: np.ndarray, shape: tuple[int, ...], spec: Any) -> str | None:
        return outside_unit_range(x)


model = Latency
