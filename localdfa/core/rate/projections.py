"""What passes through the synapses of a projection in settled mode, be it dense or a convolution, normalised or not.

`route` says how a mini-batch passed: it is None for a dense projection, a `convolution.Route` for a convolution, and a
`normalisation.Normalised` where the drives were normalised over the mini-batch, which is then a part of the projection.
"""

from typing import Any

import numpy as np

from localdfa.core.products import product
from localdfa.core.rate import convolution
from localdfa.core.rate.convolution import Route
from localdfa.core.rate.normalisation import BatchNorm, Normalised

AnyRoute = Route | Normalised | None


def drive(
    geometry: Any, weights: np.ndarray, sent: np.ndarray, out: np.ndarray, norm: BatchNorm | None = None, running: bool = False
) -> AnyRoute:
    """Write the drives a = W x + b, (m, n_post), into `out`; returns the route that the mini-batch took.

    geometry: `localdfa.geometry.Geometry` of a convolution, None of a dense projection. sent: x (m, n_pre + 1), whose last
    column is ones. norm: where drives are normalised, what by; b is then their shift. running: by its running averages, in
    evaluation, of which the route says nothing, for nothing is learned there.
    """
    route = None
    if norm is None:
        if geometry is not None:
            return convolution.drive(geometry, weights, sent, out)
        product(1.0, sent, weights, False, out)
        return None
    if geometry is not None:
        unbiased = weights.copy()
        unbiased[-1] = 0
        route = convolution.drive(geometry, unbiased, sent, out)
    else:
        product(1.0, sent[:, :-1], weights[:-1], False, out)
    if running:
        norm.evaluate(weights[-1], out)
        return route
    return norm.normalise(weights[-1], route, out)


def climb(route: AnyRoute, alpha: float, weights: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """Write alpha · W Δh, (m, n_post), into `out`: what a change of activity below adds to the drives.

    weights: with the biases, which are not read. change: Δh (m, n_pre).
    """
    if isinstance(route, Normalised):
        climb(route.inner, alpha, weights, change, out)
        out[...] = route.through(out)
    elif route is not None:
        convolution.climb(route, alpha, weights, change, out)
    else:
        product(alpha, change, weights[:-1], False, out)


def descend(route: AnyRoute, alpha: float, matrix: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """Write alpha · M Δz, (m, n_pre), into `out`: what a change of the neurons above sends back.

    matrix: M, the weights without their biases, or a feedback matrix of their shape. change: Δz (m, n_post).
    """
    if isinstance(route, Normalised):
        descend(route.inner, alpha, matrix, route.through(change), out)
    elif route is not None:
        convolution.descend(route, alpha, matrix, change, out)
    else:
        product(alpha, change, matrix, True, out)


def total(route: AnyRoute, sent: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Σ_samples pre · post change, shaped like the weights: the direction in which they move.

    sent: presynaptic activity (m, n_pre + 1); change: postsynaptic change (m, n_post).
    """
    if isinstance(route, Normalised):
        found = total(route.inner, sent, route.through(change))
        found[-1] = route.shift_total(change)
        return found
    return sent.T @ change if route is None else convolution.total(route, sent, change)
