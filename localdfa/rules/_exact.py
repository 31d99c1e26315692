"""The exact rules: δa_l = c_l ∘ f'(a_l), whatever pathway brings the signal c_l."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localdfa.core.rate.activation import exact_change
from localdfa.core.rate.settled import FreePhase

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec.tables import Phases


class Exact:
    """Δz = −c ∘ f'(a) in the hidden layers and −e at the output (Nøkland 2016, eqs. 5–10)."""

    class Parameters(NamedTuple):
        """None."""

    engines: tuple[str, ...] = ("settled",)
    pathways: tuple[str, ...]
    own: str
    needs_phases = False

    def __init__(self, network: "Network", phases: "Phases | None", parameters: Any) -> None:
        self._neuron = network.neuron
        self._write_change = exact_change(network.neuron.__class__)

    def hidden(
        self, l: int, free: FreePhase, moved: np.ndarray | None, signal: np.ndarray, change: np.ndarray
    ) -> tuple[int, None]:
        self._write_change(self._neuron, free.drive[l], signal, change)
        if free.mask[l] is not None:
            change *= free.mask[l]
        return 0, None

    def output(self, free: FreePhase, moved: np.ndarray | None, error: np.ndarray, change: np.ndarray) -> None:
        np.negative(error, out=change)
