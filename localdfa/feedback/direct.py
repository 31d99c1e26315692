"""Direct feedback: the output error reaches every hidden layer through a fixed random matrix of its own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from localdfa.core import finite
from localdfa.core.products import product
from localdfa.feedback._pathway import Pathway

if TYPE_CHECKING:
    from localdfa.network import Network


class Direct(Pathway):
    """c_l = B_l e, B_l (n_l, n_out) (Nøkland 2016, eq. 8)."""

    propagations = ("held", "two_compartment", "live")
    in_time = True
    shareable = True

    @staticmethod
    def shape(network: "Network", l: int) -> tuple[int, int] | None:
        return network.sizes[l + 1], network.sizes[-1]

    @staticmethod
    def order(n_hidden: int) -> range:
        return range(n_hidden)

    @staticmethod
    def signal(
        network: "Network", l: int, carried: np.ndarray, change: list[np.ndarray], out: np.ndarray, route: Sequence = ()
    ) -> None:
        product(1.0, carried, network.B(l), True, out)

    @staticmethod
    def replaces(network: "Network", l: int) -> np.ndarray | None:
        """The product of all weights above, W_{l+1}ᵀ … W_Lᵀ, which B_l stands in for, (n_l, n_out).

        None under pooling and under layers that are normalised, which are no matrices.

        Times a power of two: of a hundred layers the product itself may be larger than any number, or less.
        """
        if any(network.geometry[l + 1 :]) or network.norm(l + 1) is not None:
            return None
        above = network.weights[-1][:-1]
        for weights in network.weights[-2:l:-1]:
            above = weights[:-1] @ above
            finite.scale_near_one(above)
        return above


model = Direct
