"""What passes through the synapses of a projection in settled mode, whether dense or a convolution.

`route` says how a mini-batch passed: None through a dense projection, a `convolution.Route` through a convolution.
"""

from typing import Any

import numpy as np

from localdfa.core import convolution, kernels
from localdfa.core.convolution import Route


def drive(geometry: Any, weights: np.ndarray, sent: np.ndarray, out: np.ndarray) -> Route | None:
    """Write the drives a (m, n_post) into `out`; sent (m, n_pre + 1), the last column ones."""
    if geometry is not None:
        return convolution.drive(geometry, weights, sent, out)
    kernels.product(1.0, sent, weights, False, out)
    return None


def climb(route: Route | None, alpha: float, weights: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """out = alpha · W change, (m, n_post), for a change of the activity below, (m, n_pre); weights with their biases."""
    if route is not None:
        convolution.climb(route, alpha, weights, change, out)
    else:
        kernels.product(alpha, change, weights[:-1], False, out)


def descend(route: Route | None, alpha: float, matrix: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """out = alpha · M change, (m, n_pre), for a change of the neurons above, (m, n_post).

    matrix: Wᵀ as `Network.weights` has it, without biases, or a B of that shape.
    """
    if route is not None:
        convolution.descend(route, alpha, matrix, change, out)
    else:
        kernels.product(alpha, change, matrix, True, out)


def total(route: Route | None, sent: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Σ_samples pre · post change, shaped like the weights: the direction in which they move."""
    return sent.T @ change if route is None else convolution.total(route, sent, change)
