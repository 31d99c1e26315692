"""160 + 158 trials of two spikes, lags of up to 200 ms either way: made here, needs no download."""

import numpy as np
from numpy.typing import NDArray

from localdfa.data.dataset import Source
from localdfa.data.trains import Trains

# Neuron 0 spikes then, ms; lags are so far apart, and so many on either side.
_FIRST, _STEP, _SIDE = 250.0, 2.5, 80


def load() -> Source:
    """Return trials of two input neurons, 0 and 1, that spike once each: neuron 1 by a lag later, or earlier, than neuron 0:
    what it takes to measure an STDP window.

    The label is 1 where it is later. The lags are ±1.25, ±3.75, … ±198.75 ms in the 160 trials for training, and the
    multiples of 2.5 ms between them, but not 0, in the 158 for testing; neuron 0 spikes 250 ms after the onset.
    """
    halves = np.concatenate([-np.arange(_SIDE)[::-1] - 0.5, np.arange(_SIDE) + 0.5])
    wholes = np.concatenate([np.arange(1 - _SIDE, 0), np.arange(1, _SIDE)])
    (x_train, y_train), (x_test, y_test) = _trials(_STEP * halves), _trials(_STEP * wholes)
    return Source(x_train, y_train, x_test, y_test, n_classes=2, shape=(2,), scale=1.0)


def _trials(lags: NDArray[np.floating]) -> tuple[Trains, NDArray[np.int64]]:
    """A trial for each lag, and its label."""
    n = len(lags)
    sample, neuron = np.tile(np.arange(n), 2), np.repeat([0, 1], n)
    return Trains(sample, neuron, _FIRST + np.append(np.zeros(n), lags), n, 2), (lags > 0).astype(np.int64)


model = load
