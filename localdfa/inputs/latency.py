"""One spike a window, the earlier the larger the input (time to first spike)."""

from typing import TYPE_CHECKING

import numpy as np

from localdfa.inputs._code import Code, outside_unit_range

if TYPE_CHECKING:
    from localdfa.spec.tables import Input


class Latency(Code):
    """Input neuron j spikes (1 − x_j) of `input.window` after the begin of each window, inputs of 0 not at all.

    Windows begin anew with every phase and are cut off at its end, so that the phases at +β and −β see the same of them,
    whatever their duration.
    """

    reads = ("window",)

    @staticmethod
    def unit(spec: "Input") -> float:
        return float(spec.window)

    @staticmethod
    def trains(
        x: np.ndarray, shape: tuple[int, ...], spec: "Input", onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sample, neuron = np.nonzero(x > 0)
        late = spec.window * (1 - np.minimum(x[sample, neuron], 1).astype(np.float64))
        ends = np.append(onsets[1:], stop)
        phases = [(end, onset + np.arange(0.0, end - onset, spec.window)) for onset, end in zip(onsets, ends, strict=True)]
        begins = np.concatenate([begins for _, begins in phases])
        ends = np.concatenate([np.full(len(begins), end) for end, begins in phases])
        time = begins[:, None] + late
        window, spike = np.nonzero(time < ends[:, None])
        return sample[spike], neuron[spike], time[window, spike]

    @staticmethod
    def refusal(x: np.ndarray, shape: tuple[int, ...], spec: "Input") -> str | None:
        return outside_unit_range(x)


model = Latency
