"""Sequential feedback: each layer's error goes down to the next through a fixed random matrix (feedback alignment)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from localdfa.core.rate import projections
from localdfa.feedback._pathway import Pathway

if TYPE_CHECKING:
    from localdfa.network import Network


class Sequential(Pathway):
    """c_l = B_{l+1} δa_{l+1}, B_{l+1} (n_l, n_{l+1}) (Lillicrap et al. 2016; Nøkland 2016, eq. 7).

    Under a convolution B_{l+1} is a kernel as well, shaped like W_{l+1}, and the signal comes down through the winners of
    its pooling.
    """

    @staticmethod
    def shape(network: "Network", l: int) -> tuple[int, int] | None:
        return network.synapses(l + 1)

    @classmethod
    def widths(cls, network: "Network", l: int) -> tuple[int, int] | None:
        """Of a kernel its fans, so that it scales as W_{l+1} does at first."""
        fields = network.geometry[l + 1]
        return network.synapses(l + 1) if fields is None else fields.fans

    @staticmethod
    def signal(
        network: "Network", l: int, carried: np.ndarray, change: list[np.ndarray], out: np.ndarray, route: Sequence = ()
    ) -> None:
        if l == network.n_hidden - 1:
            projections.descend(None, 1.0, network.B(l), carried, out)
        else:
            projections.descend(route[l + 1], -1.0, network.B(l), change[l + 1], out)

    @staticmethod
    def source(network: "Network", l: int) -> int | None:
        return l + 1 if l < network.n_hidden - 1 else None

    @staticmethod
    def replaces(network: "Network", l: int) -> np.ndarray:
        """W_{l+1}ᵀ, which B_{l+1} stands in for, (n_l, n_{l+1}), or the kernel of a convolution."""
        return network.weights[l + 1][:-1]


model = Sequential
