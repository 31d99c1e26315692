"""Rate neurons and their elementary functions."""

import naive
import numba
import numpy as np
import pytest

from localdfa import registry
from localdfa.neurons._elementary import logistic, tanh


@pytest.mark.parametrize(("ours", "exact"), [(tanh, np.tanh), (logistic, naive.F["logistic"])])
def test_float32_functions_are_within_a_few_units_in_the_last_place(ours, exact):
    v = np.concatenate([np.linspace(-20, 20, 20001), np.geomspace(1e-30, 80, 2000), [0.0, -0.0]]).astype(np.float32)
    kernel = numba.vectorize(lambda x: ours(x))
    found, expected = kernel(v), exact(v.astype(float))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=8e-7, atol=2e-7 if ours is logistic else 0)
    assert np.isnan(kernel(np.array([np.nan], np.float32)))[0]
    np.testing.assert_allclose(kernel(v.astype(float)), expected, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("name", sorted(naive.F))
def test_rate_neurons_equal_their_formulas(name):
    model = registry.get("neurons", name)
    v = np.linspace(-6, 6, 4001)
    np.testing.assert_allclose([model.f(model(), x) for x in v], naive.F[name](v), rtol=1e-12, atol=1e-15)
