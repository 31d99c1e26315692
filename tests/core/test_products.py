"""Products of dense matrices against NumPy."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa.core.products import product


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    m=st.sampled_from([1, 2, 3, 4, 31, 33, 70, 513]), k=st.sampled_from([1, 2, 5, 60, 96, 97, 210]),
    n=st.sampled_from([1, 2, 10, 77, 513, 1100]),
    transposed=st.booleans(), double=st.booleans(), alpha=st.sampled_from([1.0, -1.0, 0.5]), seed=st.integers(0, 999),
)  # fmt: skip
def test_product_equals_numpy(m, k, n, transposed, double, alpha, seed):
    rng, dtype = np.random.default_rng(seed), np.float64 if double else np.float32
    a = (rng.normal(size=(m, k)) * (40 / k if k > 70 else 1)).astype(dtype)  # rounding grows with the number of terms
    a[rng.random((m, k)) < 0.4] = 0
    b = rng.normal(size=(n, k) if transposed else (k, n)).astype(dtype)
    c = np.full((m, n), np.nan, dtype)
    product(alpha, a, b, transposed, c)
    expected = alpha * (a.astype(float) @ (b.T if transposed else b).astype(float))
    np.testing.assert_allclose(c, expected, atol=1e-12 if double else 2e-5)


def test_operands_of_different_precision_or_order_are_refused():
    a, b, c = np.ones((6, 4)), np.ones((4, 3)), np.empty((6, 3))
    product(1.0, a, b, False, c)
    with pytest.raises(numba.core.errors.TypingError, match="one dtype"):
        product(1.0, a, b.astype(np.float32), False, c)
    with pytest.raises((ValueError, numba.core.errors.TypingError)):
        product(1.0, np.asfortranarray(a), b, False, c)
