"""What passes through the synapses of a projection in settled mode, whether it is dense or a convolution.

`route` says how a mini-batch passed: it is None for a dense projection, a `convolution.Route` for a convolution.
"""

from typing import Any

import numpy as np

from localdfa.core.products import product
from localdfa.core.rate import convolution
from localdfa.core.rate.convolution import Route


def drive(geometry: Any, weights: np.ndarray, sent: np.ndarray, out: np.ndarray) -> Route | None:
    """Write the drives a = W x + b, (m, n_post), into `out`; returns the route that the mini-batch took.

    geometry: `localdfa.geometry.Geometry` of a convolution, None of a dense projection. sent: x (m, n_pre + 1), whose last
    column is ones.
    """
    if geometry is not None:
        return convolution.drive(geometry, weights, sent, out)
    product(1.0, sent, weights, False, out)
    return None


def climb(route: Route | None, alpha: float, weights: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """Write alpha · W Δh, (m, n_post), into `out`: what a change of activity below adds to the drives.

    weights: with the biases, which are not read. change: Δh (m, n_pre).
    """
    if route is not None:
        convolution.climb(route, alpha, weights, change, out)
    else:
        product(alpha, change, weights[:-1], False, out)


def descend(route: Route | None, alpha: float, matrix: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """Write alpha · M Δz, (m, n_pre), into `out`: what a change of the neurons above sends back.

    matrix: M, the weights without their biases, or a feedback matrix of their shape. change: Δz (m, n_post).
    """
    if route is not None:
        convolution.descend(route, alpha, matrix, change, out)
    else:
        product(alpha, change, matrix, True, out)


def total(route: Route | None, sent: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Σ_samples pre · post change, shaped like the weights: the direction in which they move.

    sent: presynaptic activity (m, n_pre + 1); change: postsynaptic change (m, n_post).
    """
    return sent.T @ change if route is None else convolution.total(route, sent, change)
