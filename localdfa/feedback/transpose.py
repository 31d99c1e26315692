"""Transposed feedback: each layer's error goes down through the forward weights themselves (back-propagation)."""

from typing import Any

import numpy as np

from localdfa.core.kernels import product
from localdfa.feedback._pathway import Pathway


class Transpose(Pathway):
    """c_l = W_{l+1}ᵀ δa_{l+1} (Nøkland 2016, eq. 6): the weight transport that the other pathways avoid."""

    passes_weights = True

    @staticmethod
    def signal(network: Any, l: int, error: np.ndarray, change: list[np.ndarray], out: np.ndarray) -> None:
        above = network.weights[l + 1][:-1]
        if l == network.n_hidden - 1:
            product(1.0, error, above, True, out)
        else:
            product(-1.0, change[l + 1], above, True, out)


model = Transpose
