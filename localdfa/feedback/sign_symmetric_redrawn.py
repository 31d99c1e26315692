"""Sign-symmetric feedback whose sizes are drawn anew for each mini-batch."""

from typing import TYPE_CHECKING

import numpy as np
from numba import prange

from localdfa.core.compiled import compiled, device
from localdfa.feedback.sign_symmetric import SignSymmetric, size

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec import Setting


class RedrawnMagnitudes(SignSymmetric):
    """B_{l+1} = |M| ∘ sign(W_{l+1})ᵀ, M drawn anew for each mini-batch (Liao, Leibo & Poggio 2016; Moskovitz et al. 2018).

    |M| ~ U(0, √3 b), where b is the root mean square of the random matrix that `Sequential` has in its place.
    """

    @staticmethod
    def refusal(setting: "Setting") -> str | None:
        if setting.feedback.distribution == "uniform":
            return None
        return f"draws sizes uniformly, not by feedback.distribution = {setting.feedback.distribution!r}; allowed: 'uniform'"

    @staticmethod
    def follow(network: "Network", l: int, drawn: np.ndarray, rng: np.random.Generator, out: np.ndarray) -> None:
        largest = drawn.dtype.type(np.sqrt(3) * size(drawn))
        _draw(network.weights[l + 1][:-1], largest, rng.integers(2**64, dtype=np.uint64), out)


@compiled(parallel=True, error_model="numpy")
def _draw(
    weights,  # (n_l, n_{l+1})
    largest,  # the bound of the uniform distribution
    key,  # a random number, one for each matrix that is drawn
    out,  # becomes a random matrix with the signs of the weights
):
    """Draw sizes by counting, so that any number of threads draws the same."""
    n = weights.shape[1]
    for i in prange(weights.shape[0]):
        for j in range(n):
            out[i, j] = largest * out.dtype.type(_uniform(key, np.uint64(i * n + j))) * np.sign(weights[i, j])


@device
def _uniform(key, count):
    """Number `count` of a stream, between 0 and 1: the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    z = key + (count + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float32((z ^ (z >> np.uint64(31))) >> np.uint64(40)) * np.float32(2.0**-24)


model = RedrawnMagnitudes
