"""Transposed feedback: each layer's error goes down through the forward weights themselves (back-propagation)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from localdfa.core.rate import projections
from localdfa.feedback._pathway import Pathway

if TYPE_CHECKING:
    from localdfa.network import Network


class Transpose(Pathway):
    """c_l = W_{l+1}ᵀ δa_{l+1} (Nøkland 2016, eq. 6): the weight transport that the other pathways avoid."""

    passes_weights = True

    @staticmethod
    def signal(
        network: "Network", l: int, carried: np.ndarray, change: list[np.ndarray], out: np.ndarray, route: Sequence = ()
    ) -> None:
        above = network.weights[l + 1][:-1]
        if l == network.n_hidden - 1:
            projections.descend(None, 1.0, above, carried, out)
        else:
            projections.descend(route[l + 1], -1.0, above, change[l + 1], out)

    @staticmethod
    def source(network: "Network", l: int) -> int | None:
        return l + 1 if l < network.n_hidden - 1 else None


model = Transpose
