"""Spike trains as samples: what a user recorded or made, ragged where pictures are rectangular."""

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Trains:
    """Samples that are spike trains; taken by index as the rows of an array are.

    sample, neuron: int arrays (n_spikes,); time: float64 (n_spikes,), ms from the onset of the trial; count: number of
    samples; width: number of input neurons. The spikes may come in any order.
    """

    def __init__(
        self, sample: NDArray[np.integer], neuron: NDArray[np.integer], time: NDArray[np.floating], count: int, width: int
    ) -> None:
        order = np.lexsort((neuron, time, sample))
        self.neuron, self.time = neuron[order].astype(np.int64), time[order].astype(np.float64)
        self.begin = np.searchsorted(sample[order], np.arange(count + 1))
        self.width = width

    @classmethod
    def in_order(
        cls, neuron: NDArray[np.int64], time: NDArray[np.float64], counts: NDArray[np.int64], width: int
    ) -> "Trains":  # fmt: skip
        """Of spikes that are in order already: by sample, in each by time, and at one time by neuron; these arrays themselves.

        counts: the number of spikes of each sample.
        """
        found = cls.__new__(cls)
        found.neuron, found.time, found.width = neuron, time, width
        found.begin = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return found

    def __len__(self) -> int:
        return len(self.begin) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of input neurons."""
        return len(self), self.width

    def astype(self, dtype: DTypeLike) -> "Trains":
        """Itself, where an array would change its precision: times are float64 in every network."""
        return self

    def __getitem__(self, rows: int | np.integer | slice | NDArray | None) -> "Trains":
        """Some of the samples, numbered anew: rows as for an array; a single sample is still a `Trains`, of one."""
        chosen = np.arange(len(self))[rows].ravel()
        counts = np.diff(self.begin)[chosen]
        at = np.repeat(self.begin[chosen] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        return Trains.in_order(self.neuron[at], self.time[at], counts, self.width)

    def events(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """sample, neuron and time of all spikes."""
        return np.repeat(np.arange(len(self)), np.diff(self.begin)), self.neuron, self.time


# What a network reads: one row a sample, or spike trains.
Inputs = np.ndarray | Trains


def array_of(inputs: Inputs) -> np.ndarray:
    """Inputs of rate neurons, which no spike trains reach: a spec that would send them some is refused."""
    assert isinstance(inputs, np.ndarray)
    return inputs
