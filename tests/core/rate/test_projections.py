"""What passes through dense projections, and through convolutions of which the route is known, against plain NumPy."""

import numpy as np
import pytest
from conftest import setting_of

from localdfa.core.rate import projections
from localdfa.network import build

LAYERS = {
    "dense": 5,
    "shared": {"channels": 3, "kernel": 3, "padding": 1, "pool": 2},
    "unshared": {"channels": 3, "kernel": 3, "padding": 1, "pool": 2, "shared": False},
}


@pytest.fixture(params=LAYERS)
def passed(request, rng):
    """A projection onto one layer: its geometry, weights and presynaptic activity, the drives and the route."""
    setting = setting_of(precision="float64", network={"hidden": [LAYERS[request.param]], "weights": "uniform"})
    network = build(setting, (2, 5, 4), 3, seed=1)
    weights, geometry = network.weights[0], network.geometry[0]
    weights[...] = rng.normal(size=weights.shape)
    sent = np.ones((4, 41))
    sent[:, :-1] = rng.normal(size=(4, 40))
    out = np.empty((4, network.sizes[1]))
    return weights, sent, out, projections.drive(geometry, weights, sent, out)


def jacobian(weights, route, s):
    """What each presynaptic neuron adds to each drive of sample s, (n_post, n_pre), and the bias of each neuron, one by one."""
    if route is None:
        return weights[:-1].T, weights[-1]
    g, found = route.geometry, np.zeros((route.geometry.n_post, route.geometry.n_pre))
    (_, columns), biases = g.maps, np.zeros(g.n_post)
    for n in range(g.n_post):
        position = route.winner[s, n]
        channel = n // (g.n_post // g.channels)
        column = channel if g.shared else position * g.channels + channel
        top, left = divmod(position, columns)
        biases[n] = weights[-1, column]
        for i, u, v in np.ndindex(g.inputs, g.kernel, g.kernel):
            y, x = top + u - g.padding, left + v - g.padding
            if 0 <= y < g.height and 0 <= x < g.width:
                found[n, (i * g.height + y) * g.width + x] = weights[(i * g.kernel + u) * g.kernel + v, column]
    return found, biases


def test_drives_are_those_of_the_synapses_of_winners(passed):
    weights, sent, out, route = passed
    for s in range(4):
        matrix, biases = jacobian(weights, route, s)
        np.testing.assert_allclose(out[s], matrix @ sent[s, :-1] + biases, rtol=1e-12, atol=1e-12)


def test_changes_climb_and_descend_by_the_same_synapses(passed, rng):
    weights, _, out, route = passed
    below, above = rng.normal(size=(4, 40)), rng.normal(size=out.shape)
    up, down = np.empty_like(above), np.empty_like(below)
    projections.climb(route, 0.5, weights, below, up)
    projections.descend(route, -2.0, weights[:-1], above, down)
    for s in range(4):
        matrix, _ = jacobian(weights, route, s)
        np.testing.assert_allclose(up[s], 0.5 * matrix @ below[s], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(down[s], -2.0 * matrix.T @ above[s], rtol=1e-12, atol=1e-12)


def test_the_total_is_the_slope_of_the_drives_by_the_weights(passed, rng):
    """Drives are linear in the weights: Σ total · W = Σ change · drive, and so for any other weights through the same route."""
    weights, sent, out, route = passed
    change = rng.normal(size=out.shape)
    total = projections.total(route, sent, change)
    assert total.shape == weights.shape
    for trial in range(3):
        other = weights if trial == 0 else rng.normal(size=weights.shape)
        drives = [matrix @ x + b for (matrix, b), x in ((jacobian(other, route, s), sent[s, :-1]) for s in range(4))]
        np.testing.assert_allclose((total * other).sum(), (change * drives).sum(), rtol=1e-10)
