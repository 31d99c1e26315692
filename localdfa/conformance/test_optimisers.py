"""Optimisers: no gradient moves nothing, every synapse by itself, silent rows made up for, both precisions alike."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from localdfa import registry
from localdfa.conformance._subjects import of, require_parameters, setting_of, variants
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.update import Update
from localdfa.network import build

NAMES = of("optimisers")
N = 7


def fresh(p, n=N, dtype=float):
    """Weights and the state of an optimiser that has seen nothing."""
    return np.linspace(-1, 1, n).astype(dtype), np.zeros((p.n_state, n), dtype)


def gradients(count, dtype=float, seed=0):
    return np.random.default_rng(seed).normal(size=(count, N)).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_bounds_and_are_documented(name):
    model = registry.get("optimisers", name)
    require_parameters(model)
    assert registry.describe("optimisers", name)
    assert "learning_rate" in model._fields
    assert isinstance(model.n_state, int)
    assert isinstance(model.rests, bool)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_of_zero_moves_nothing_from_a_fresh_state(name):
    for p in variants(registry.get("optimisers", name)):
        w, state = fresh(p)
        before = w.copy()
        for step in range(1, 4):
            p.row(w, np.zeros(N), state, step, 0)
        assert_array_equal(w, before)
        assert np.isfinite(state).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_learning_rate_of_zero_moves_nothing_and_any_other_against_the_gradient(name):
    model = registry.get("optimisers", name)
    for rate in (0.0, 1e-3):
        p = model(learning_rate=rate)
        w, state = fresh(p)
        before, g = w.copy(), gradients(1)[0]
        p.row(w, g, state, 1, 0)
        if rate == 0:
            assert_array_equal(w, before)
        else:
            assert ((w - before) * g < 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_down_a_parabola(name):
    """From where the loss is a half in each weight; those whose steps decay come down slowly."""
    p = registry.get("optimisers", name)(learning_rate=0.02)
    w, state = np.ones(N), np.zeros((p.n_state, N))
    for step in range(1, 301):
        p.row(w, w.copy(), state, step, 0)
    assert (np.abs(w) < 0.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_synapse_learns_by_itself_and_the_same_again(name):
    for p in variants(registry.get("optimisers", name)):
        (w, state), parts = fresh(p), fresh(p)
        for step, g in enumerate(gradients(5), 1):
            p.row(w, g, state, step, 0)
            for j in range(N):
                p.row(parts[0][j : j + 1], g[j : j + 1], parts[1][:, j : j + 1], step, 0)
        assert_array_equal(w, parts[0])
        assert_array_equal(state, parts[1])


@pytest.mark.parametrize("name", NAMES)
def test_both_precisions_agree(name):
    found = []
    for dtype in (np.float32, np.float64):
        p = registry.cast(registry.get("optimisers", name)(learning_rate=0.01), dtype)
        w, state = fresh(p, dtype=dtype)
        for step, g in enumerate(gradients(20, dtype), 1):
            p.row(w, g, state, step, 0)
        found.append(w)
    assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", of("optimisers", lambda model: model.rests))
def test_a_row_that_rests_is_made_up_for(name):
    """Updates without a gradient, one after the other, are as if they came with the next that has one."""
    for p in variants(registry.get("optimisers", name)):
        (w, state), (late, later) = fresh(p), fresh(p)
        g = gradients(2)
        p.row(w, g[0], state, 1, 0)
        p.row(late, g[0], later, 1, 0)
        before = w.copy()
        for step in (2, 3, 4):
            p.row(w, np.zeros(N), state, step, 0)
        assert_array_equal(w, before)
        p.row(w, g[1], state, 5, 0)
        p.row(late, g[1], later, 5, 3)
        assert_allclose(late, w, rtol=1e-12)
        assert_allclose(later, state, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_networks_learn_by_it_as_row_by_row(name):
    """Compiled into the kernels of a network, silent rows among them."""
    p = registry.get("optimisers", name)(learning_rate=0.01)
    network = build(setting_of(precision="float64", network={"hidden": [4], "weights": "uniform"}), 5, 3, 0)
    plasticity, rng = Plasticity(network.weights, p), np.random.default_rng(1)
    expected = [w.copy() for w in network.weights]
    state = [np.zeros((len(w), p.n_state, w.shape[1])) for w in expected]
    for step in range(1, 4):
        total = [rng.normal(size=w.shape) * (rng.random((len(w), 1)) < 0.7) for w in expected]
        none: list[None] = [None] * len(total)
        plasticity.learn(network.weights, Update(sent=[*none], change=[*none], total=[*total], events=0))
        for w, t, memory in zip(expected, total, state, strict=True):
            for j in range(len(w)):
                p.row(w[j], -t[j], memory[j], step, 0)
    for w, own in zip(expected, network.weights, strict=True):
        assert_allclose(own, w, rtol=1e-10, atol=1e-12)
