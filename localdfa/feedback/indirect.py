"""Indirect feedback: the error enters the first hidden layer and climbs through the forward weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from localdfa.core.products import product
from localdfa.core.rate import projections
from localdfa.feedback._pathway import Pathway
from localdfa.feedback.direct import Direct

if TYPE_CHECKING:
    from localdfa.network import Network


class Indirect(Pathway):
    """c_1 = B_1 e, B_1 (n_1, n_out); above it c_l = W_l δa_{l−1} (Nøkland 2016, eqs. 9 and 10)."""

    propagations = ("live",)
    by_propagation = True
    passes_weights = True
    in_time = True

    @staticmethod
    def shape(network: "Network", l: int) -> tuple[int, int] | None:
        return (network.sizes[1], network.sizes[-1]) if l == 0 else None

    @staticmethod
    def order(n_hidden: int) -> range:
        return range(n_hidden)

    @staticmethod
    def signal(
        network: "Network", l: int, carried: np.ndarray, change: list[np.ndarray], out: np.ndarray, route: Sequence = ()
    ) -> None:
        if l == 0:
            product(1.0, carried, network.B(0), True, out)
        else:
            projections.climb(route[l], -1.0, network.weights[l], change[l - 1], out)

    @staticmethod
    def source(network: "Network", l: int) -> int | None:
        return l - 1 if l > 0 else None

    replaces = Direct.replaces


model = Indirect
