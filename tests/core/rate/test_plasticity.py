"""Weights that learn: every optimiser against its formulas, rows at rest, frozen projections."""

import naive
import numpy as np
import pytest
from conftest import Small

from localdfa import measure, registry
from localdfa.core.rate import settled
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.update import Update


@pytest.mark.parametrize("name", registry.inside("optimisers"))
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_optimisers_equal_their_formulas_with_silent_rows(name, weight_decay, rng):
    """Five updates with presynaptic neurons silent now and then, one of no sample; rows at rest are made up for exactly."""
    small = Small(rng, hidden=(5,), n_in=6, n_out=3, m=4)
    model = registry.get("optimisers", name)
    optimiser = model(**dict.fromkeys(["learning_rate"], 0.03))
    plasticity = Plasticity(small.network.weights, optimiser, weight_decay)
    reference = naive.Optimiser(name, **optimiser._asdict())
    expected = [w.copy() for w in small.network.weights]
    for m in (4, 1, 0, 3, 9):
        sent = [rng.normal(size=(m, n + 1)) for n in (6, 5)]
        for s in sent:
            s[:, rng.random(s.shape[1]) < 0.4] = 0
        change = [rng.normal(size=(m, n)) for n in (5, 3)]
        gradients = [-(s.T @ c) for s, c in zip(sent, change, strict=True)]
        for g, w in zip(gradients, expected, strict=True):
            g[:-1] += weight_decay * w[:-1]
        reference.step(expected, gradients)
        plasticity.learn(small.network.weights, Update(sent=sent, change=change, total=[None, None], events=0))
        total = [s.T @ c for s, c in zip(sent, change, strict=True)]
        for w, e in zip(small.network.weights, expected, strict=True):
            np.testing.assert_allclose(w, e, rtol=1e-10, atol=1e-13)
    assert plasticity.steps == [5, 5]
    plasticity.learn(small.network.weights, Update(sent=[None, None], change=[None, None], total=total, events=0))
    reference.step(
        expected, [-t + weight_decay * np.vstack([w[:-1], 0 * w[-1:]]) for t, w in zip(total, expected, strict=True)]
    )
    for w, e in zip(small.network.weights, expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["rmsprop", "adam", "momentum"])
def test_a_projection_that_was_frozen_goes_on_as_if_no_time_had_passed(name, rng):
    small = Small(rng, hidden=(5,), n_in=6, n_out=3, m=4)
    update = settled.update(*measure.changes(small.network, small.setting, "dfa", small.inputs, small.target))
    moves = []
    start = [w.copy() for w in small.network.weights]
    for pause in (0, 50):
        for w, old in zip(small.network.weights, start, strict=True):
            w[...] = old
        plasticity = Plasticity(small.network.weights, registry.get("optimisers", name)(0.01))
        plasticity.learn(small.network.weights, update)
        for _ in range(pause):
            plasticity.learn(small.network.weights, update, frozenset({0}))
        before = small.network.weights[0].copy()
        plasticity.learn(small.network.weights, update)
        moves.append(small.network.weights[0] - before)
    np.testing.assert_array_equal(moves[0], moves[1])


def test_frozen_layers_keep_their_weights(rng):
    small = Small(rng)
    before = [w.copy() for w in small.network.weights]
    update = settled.update(*measure.changes(small.network, small.setting, "dfa", small.inputs, small.target))
    plasticity = Plasticity(small.network.weights, registry.get("optimisers", "sgd")(0.1))
    plasticity.learn(small.network.weights, update, frozenset({1, 3}))
    for l, (w, old) in enumerate(zip(small.network.weights, before, strict=True)):
        assert np.array_equal(w, old) == (l in (1, 3))
