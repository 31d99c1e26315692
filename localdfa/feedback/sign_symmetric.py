"""Sign-symmetric feedback: the signs of the forward weights, and one size for all."""

from typing import TYPE_CHECKING

import numpy as np
from numba import prange

from localdfa.core.compiled import compiled
from localdfa.feedback.sequential import Sequential

if TYPE_CHECKING:
    from localdfa.network import Network


class SignSymmetric(Sequential):
    """B_{l+1} = b sign(W_{l+1})ᵀ, uniform sign-concordant feedback (Liao, Leibo & Poggio 2016; Moskovitz et al. 2018).

    b is the root mean square of the random matrix that `Sequential` has in its place. It is a control: the synapses that carry
    the error know the signs of those that carry the activity.
    """

    passes_weights = True

    @staticmethod
    def follow(network: "Network", l: int, drawn: np.ndarray, rng: np.random.Generator, out: np.ndarray) -> None:
        with_signs_of(network.weights[l + 1][:-1], np.full((1, 1), size(drawn)), out)


def size(drawn: np.ndarray) -> np.floating:
    """The root mean square of a random matrix, in its precision."""
    return drawn.dtype.type(np.sqrt(np.vdot(drawn, drawn) / drawn.size))


@compiled(parallel=True, error_model="numpy")
def with_signs_of(
    weights,  # (n_l, n_{l+1})
    magnitudes,  # |M|, in the same shape, or (1, 1) where all are equal
    out,  # becomes |M| ∘ sign(weights)
):
    """Give magnitudes the signs of weights."""
    step_i, step_j = int(magnitudes.shape[0] > 1), int(magnitudes.shape[1] > 1)
    for i in prange(weights.shape[0]):
        for j in range(weights.shape[1]):
            out[i, j] = abs(magnitudes[i * step_i, j * step_j]) * np.sign(weights[i, j])


model = SignSymmetric
