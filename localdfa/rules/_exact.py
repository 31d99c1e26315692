"""The exact rules: δa_l = c_l ∘ f'(a_l), whatever pathway brings the signal c_l."""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, prange

from localdfa.core.settled import Trial


@cache
def _slope(neuron: Any) -> Any:
    df = neuron.df

    @njit(parallel=True, error_model="numpy")
    def kernel(p, drive, signal, change):
        for s in prange(drive.shape[0]):
            for i in range(drive.shape[1]):
                change[s, i] = -df(p, drive[s, i]) * signal[s, i]

    return kernel


class Exact:
    """Δz = −c ∘ f'(a) in the hidden layers and −e at the output (Nøkland 2016, eqs. 5–10)."""

    pathways: tuple[str, ...] = ()
    needs_phases = False

    def __init__(self, network: Any, phases: Any) -> None:
        self._neuron = network.neuron
        self._kernel = _slope(network.neuron.__class__)

    def hidden(self, l: int, trial: Trial, signal: np.ndarray, change: np.ndarray) -> int:
        self._kernel(self._neuron, trial.drive[l], signal, change)
        return 0

    def output(self, trial: Trial, error: np.ndarray, change: np.ndarray) -> None:
        np.negative(error, out=change)
