"""Sequential feedback: each layer's error goes down to the next through a fixed random matrix (feedback alignment)."""

from typing import Any

import numpy as np

from localdfa.core.kernels import product


class Sequential:
    """c_l = B_{l+1} δa_{l+1}, B_{l+1} (n_l, n_{l+1}) (Lillicrap et al. 2016; Nøkland 2016, eq. 7)."""

    propagations = ("held",)
    by_propagation = False

    @staticmethod
    def shape(sizes: tuple[int, ...], l: int) -> tuple[int, int] | None:
        return sizes[l + 1], sizes[l + 2]

    @staticmethod
    def order(n_hidden: int) -> range:
        return range(n_hidden - 1, -1, -1)

    @staticmethod
    def signal(network: Any, l: int, error: np.ndarray, change: list[np.ndarray], out: np.ndarray) -> None:
        if l == network.n_hidden - 1:
            product(1.0, error, network.feedback[l], True, out)
        else:
            product(-1.0, change[l + 1], network.feedback[l], True, out)


model = Sequential
