"""Sign-symmetric feedback whose sizes are random and stay: the signs are those of the forward weights at the time."""

from typing import TYPE_CHECKING

import numpy as np

from localdfa.feedback.sign_symmetric import SignSymmetric, with_signs_of

if TYPE_CHECKING:
    from localdfa.network import Network


class FixedMagnitudes(SignSymmetric):
    """B_{l+1} = |M| ∘ sign(W_{l+1})ᵀ, M the fixed random matrix of `Sequential` (Moskovitz et al. 2018)."""

    @staticmethod
    def follow(network: "Network", l: int, drawn: np.ndarray, rng: np.random.Generator, out: np.ndarray) -> None:
        with_signs_of(network.weights[l + 1][:-1], drawn, out)


model = FixedMagnitudes
