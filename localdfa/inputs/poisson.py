"""Poisson spikes at a rate in proportion to the input."""

from typing import TYPE_CHECKING

import numpy as np

from localdfa.inputs._code import Code, outside_unit_range

if TYPE_CHECKING:
    from localdfa.spec.tables import Input


class Poisson(Code):
    """Input neuron j spikes at random, x_j `input.rate` times a second."""

    reads = ("rate",)
    draws = True

    @staticmethod
    def unit(spec: "Input") -> float:
        return 1e3 / float(spec.rate)

    @staticmethod
    def trains(
        x: np.ndarray, shape: tuple[int, ...], spec: "Input", onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sample, neuron = np.nonzero(x > 0)
        counts = rng.poisson(x[sample, neuron] * (spec.rate * 1e-3 * stop))
        # Given their number, the spikes of a Poisson process are spread evenly.
        return np.repeat(sample, counts), np.repeat(neuron, counts), stop * rng.random(counts.sum())

    @staticmethod
    def refusal(x: np.ndarray, shape: tuple[int, ...], spec: "Input") -> str | None:
        return outside_unit_range(x)


model = Poisson
