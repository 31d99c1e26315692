"""Spike trains as the data give them."""

from typing import Any

import numpy as np

from localdfa.inputs._code import Code


class Trains(Code):
    """Every sample is a spike train, which begins anew with every phase and is cut off at its end."""

    given = True

    @staticmethod
    def trains(
        x: Any, shape: tuple[int, ...], spec: Any, onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sample, neuron, time = x.events()
        return repeated(sample, neuron, time, onsets, stop)


def repeated(
    sample: np.ndarray, neuron: np.ndarray, time: np.ndarray, onsets: np.ndarray, stop: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spikes that come again in every phase: phases begin at `onsets`, the last one ends at `stop`."""
    ends = np.append(onsets[1:], stop)
    kept = [time < end - begin for begin, end in zip(onsets, ends, strict=True)]
    return (
        np.concatenate([sample[k] for k in kept]),
        np.concatenate([neuron[k] for k in kept]),
        np.concatenate([begin + time[k] for begin, k in zip(onsets, kept, strict=True)]),
    )


model = Trains
