"""The exact rules: δa_l = c_l ∘ f'(a_l), whatever pathway brings the signal c_l."""

from typing import Any, NamedTuple

import numpy as np

from localdfa.core import kernels
from localdfa.core.settled import Trial


class Exact:
    """Δz = −c ∘ f'(a) in the hidden layers and −e at the output (Nøkland 2016, eqs. 5–10)."""

    class Parameters(NamedTuple):
        """None."""

    engines = ("settled",)
    pathways: tuple[str, ...]
    own: str
    needs_phases = False

    def __init__(self, network: Any, phases: Any, parameters: Any) -> None:
        self._neuron = network.neuron
        self._descend = kernels.descent(network.neuron.__class__)

    def hidden(self, l: int, trial: Trial, signal: np.ndarray, change: np.ndarray) -> int:
        self._descend(self._neuron, trial.drive[l], signal, change)
        if trial.mask[l] is not None:
            change *= trial.mask[l]
        return 0

    def output(self, trial: Trial, error: np.ndarray, change: np.ndarray) -> None:
        np.negative(error, out=change)
