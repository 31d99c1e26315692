"""Rate neurons and their elementary functions."""

import math

import naive
import numba
import numpy as np
import pytest

from localdfa import registry
from localdfa.neurons import spikes
from localdfa.neurons._elementary import logistic, tanh

MODELS = [name for name in registry.names("neurons") if not spikes(registry.get("neurons", name))]


@pytest.mark.parametrize(("ours", "exact"), [(tanh, np.tanh), (logistic, naive.F["logistic"])])
def test_float32_functions_are_within_a_few_units_in_the_last_place(ours, exact):
    v = np.concatenate([np.linspace(-20, 20, 20001), np.geomspace(1e-30, 80, 2000), [0.0, -0.0]]).astype(np.float32)
    kernel = numba.vectorize(lambda x: ours(x))
    found, expected = kernel(v), exact(v.astype(float))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=8e-7, atol=2e-7 if ours is logistic else 0)
    assert np.isnan(kernel(np.array([np.nan], np.float32)))[0]
    np.testing.assert_allclose(kernel(v.astype(float)), expected, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("name", MODELS)
def test_every_neuron_model_keeps_the_conventions(name):
    """f is monotone, df is its slope, inverse undoes it, and beyond the range inverse is infinite."""
    model = registry.get("neurons", name)
    neuron = model()
    v = np.linspace(-6, 6, 4001)
    h = np.array([model.f(neuron, x) for x in v])
    np.testing.assert_allclose(h, naive.F[name](v), rtol=1e-12, atol=1e-15)
    assert (np.diff(h) >= 0).all()
    away = np.abs(v) > 1e-2  # from the kinks
    slope = np.array([(model.f(neuron, x + 1e-6) - model.f(neuron, x - 1e-6)) / 2e-6 for x in v])
    np.testing.assert_allclose(np.array([model.df(neuron, x) for x in v])[away], slope[away], atol=1e-8)
    inside = [x for x in np.linspace(-3, 3, 61) if model.df(neuron, x) > 1e-9]
    for x in inside:
        assert model.inverse(neuron, model.f(neuron, x)) == pytest.approx(x, abs=1e-9)
    for beyond in (-2.0, 2.0):
        if not model.f(neuron, -1e4) <= beyond <= model.f(neuron, 1e4):
            assert model.inverse(neuron, beyond) == math.copysign(math.inf, beyond)
    assert "tau" in model._fields
