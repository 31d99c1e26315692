"""Augmented direct feedback alignment, exact: a chosen function g of the drive in the place of the slope f'."""

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from localdfa.core.compiled import device
from localdfa.core.rate.activation import exact_change
from localdfa.neurons.relu import ReLU
from localdfa.neurons.tanh import Tanh
from localdfa.rules._exact import Exact

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec.tables import Phases


class _One:
    """g = 1."""

    @staticmethod
    @device
    def df(p, v):
        return 1


class _Triangle:
    """g = max(0, 1 − |a|)."""

    @staticmethod
    @device
    def df(p, v):
        return max(1 - abs(v), v * 0)


class _Cosine:
    """g = cos a."""

    @staticmethod
    @device
    def df(p, v):
        return math.cos(v)


_FUNCTIONS: dict[str, Any] = {"one": _One, "step": ReLU, "tanh": Tanh, "triangle": _Triangle, "cos": _Cosine}


class Augmented(Exact):
    """Δz = −c ∘ g(a) in the hidden layers and −e at the output (Nakajima et al. 2022, Nat. Commun. 13:7847).

    g need not be the slope of the neurons, which may then be unknown. Under the rule ``local`` there is nothing to choose: a
    neuron that gets c as a current answers by its own slope.
    """

    class Parameters(NamedTuple):
        """g: one, 1, which is the signal alone; step, 1 where a > 0, else 0, the slope of ReLU; tanh, 1 − tanh² a, the slope of
        tanh; triangle, max(0, 1 − |a|), the pseudo-derivative of e-prop (Bellec et al. 2020, Nat. Commun. 11:3625); cos, cos a,
        the slope of sin, which changes its sign."""

        g: Literal["one", "step", "tanh", "triangle", "cos"] = "tanh"

    own = "direct"
    pathways = (own,)

    @staticmethod
    def moves_from_zero(parameters: Any) -> bool:
        """Whether g(0) is not 0, so that layers learn that begin with zero weights."""
        return bool(parameters.g != "step")

    def __init__(self, network: "Network", phases: "Phases", parameters: Any) -> None:
        super().__init__(network, phases, parameters)
        self._write_change = exact_change(_FUNCTIONS[parameters.g])


model = Augmented
