"""Direct feedback: the output error reaches every hidden layer through a fixed random matrix of its own."""

from typing import Any

import numpy as np

from localdfa.core.kernels import product


class Direct:
    """c_l = B_l e, B_l (n_l, n_out) (Nøkland 2016, eq. 8)."""

    propagations = ("held", "two_compartment", "live")
    by_propagation = False

    @staticmethod
    def shape(sizes: tuple[int, ...], l: int) -> tuple[int, int] | None:
        return sizes[l + 1], sizes[-1]

    @staticmethod
    def order(n_hidden: int) -> range:
        return range(n_hidden)

    @staticmethod
    def signal(network: Any, l: int, error: np.ndarray, change: list[np.ndarray], out: np.ndarray) -> None:
        product(1.0, error, network.feedback[l], True, out)


model = Direct
