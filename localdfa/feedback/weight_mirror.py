"""Sequential feedback that learns from noise to mirror the forward weights (Akrout et al. 2019)."""

import math
from typing import TYPE_CHECKING

import numpy as np

from localdfa.core.rate import projections
from localdfa.core.rate.activation import response
from localdfa.feedback.sequential import Sequential

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec.tables import FeedbackTable

# Samples of noise before each mini-batch.
_SAMPLES = 16


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
    def mirror(network: "Network", l: int, table: "FeedbackTable", rng: np.random.Generator, out: np.ndarray) -> None:
        number, weights = network.dtype.type, network.weights[l + 1].copy()
        weights[-1] = 0
        fields = network.geometry[l + 1]
        noise = np.zeros((_SAMPLES, network.sizes[l + 1] + 1), network.dtype)
        noise[:, :-1] = np.where(rng.integers(0, 2, (_SAMPLES, network.sizes[l + 1]), np.int8), table.noise, -table.noise)
        answer = np.empty((_SAMPLES, network.sizes[l + 2]), network.dtype)
        route = projections.drive(fields, weights, noise, answer)
        if l + 1 < network.n_hidden:
            answer = response(network.neuron, answer) - response(network.neuron, np.zeros(1, network.dtype))
        shares = 1 if fields is None or not fields.shared else min(math.prod(fields.pooled), fields.height * fields.width)
        out *= number(1 - table.mirror_rate)
        out += number(table.mirror_rate / (table.noise**2 * _SAMPLES * shares)) * projections.total(route, noise, answer)[:-1]


model = WeightMirror
