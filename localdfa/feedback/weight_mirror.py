"""Sequential feedback that learns from noise to mirror the forward weights (Akrout et al. 2019)."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import prange

from localdfa.core.compiled import compiled
from localdfa.core.products import product
from localdfa.core.rate import projections
from localdfa.core.rate.activation import response
from localdfa.feedback._noise import noise
from localdfa.feedback.sequential import Sequential

if TYPE_CHECKING:
    from localdfa.engines import Engine
    from localdfa.network import Network
    from localdfa.spec.tables import FeedbackTable


class WeightMirror(Sequential):
    """B_{l+1} ← (1 − ρ) B_{l+1} + ρ ⟨ξ y_{l+1}ᵀ⟩ / σ², a running estimate of W_{l+1}ᵀ (Akrout et al. 2019, section 3).

    In a phase of its own before each mini-batch, one layer after the other fires noise ξ = ±σ about its resting activity, and
    the layer above answers with y = f(W ξ) − f(0), without its biases; the output with its drive. As the ξ are independent,
    ⟨ξ yᵀ⟩ / σ² is Wᵀ times the mean slope of f, which is that at rest where σ is small. ρ: ``feedback.mirror_rate``; σ:
    ``feedback.noise``. Akrout et al. add the products and let B decay; here both have one rate, so that B comes to have the
    size of W. Of a kernel that many positions share, the products are averaged over them.
    """

    passes_weights = True

    @staticmethod
    def mirror(
        network: "Network", l: int, table: "FeedbackTable", rng: np.random.Generator, out: np.ndarray, engine: "Engine"
    ) -> None:
        weights, fields = network.weights[l + 1], network.geometry[l + 1]
        sent = noise(network.sizes[l + 1], table.noise, network.dtype, rng)
        answer = np.empty((len(sent), network.sizes[l + 2]), network.dtype)
        if fields is None:
            projections.climb(None, 1.0, weights, sent, answer)
        else:
            without_biases = np.concatenate([weights[:-1], np.zeros_like(weights[-1:])])
            sent = np.concatenate([sent, np.zeros_like(sent[:, :1])], axis=1)
            route = projections.drive(fields, without_biases, sent, answer)
        if l + 1 < network.n_hidden:
            answer = response(network.neuron, answer) - response(network.neuron, np.zeros(1, network.dtype))
        size = table.mirror_rate / (table.noise**2 * len(sent))
        if fields is None:
            products = np.empty_like(out)
            product(size, np.ascontiguousarray(sent.T), answer, False, products)
        else:
            # The products of a kernel's synapse are summed over the positions that win, one for each pooled neuron. Some show
            # it padding in the place of a neuron, so that it meets height · width inputs at most.
            shares = min(math.prod(fields.pooled), fields.height * fields.width) if fields.shared else 1
            products = network.dtype.type(size / shares) * projections.total(route, sent, answer)[:-1]
        _mix(network.dtype.type(1 - table.mirror_rate), products, out)


@compiled(parallel=True, error_model="numpy")
def _mix(
    kept,  # 1 − ρ
    products,  # ρ ⟨ξ yᵀ⟩ / σ²
    out,  # becomes kept · out + products
):
    """Take a step of the running estimate."""
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = kept * out[i, j] + products[i, j]


model = WeightMirror
