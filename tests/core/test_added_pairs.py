"""Pairs of numbers added to at once: the same bits as one by one, wherever the pair lies."""

import numpy as np
import pytest

from localdfa.core.compiled import kernel, unsigned
from localdfa.core.pairs import add_pair


@kernel
def added(array, indices, factors, first, second):
    for s in range(indices.size):
        add_pair(array, unsigned(indices[s]), factors[s], first, second)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_are_added_to_as_one_by_one(dtype):
    rng = np.random.default_rng(0)
    array, indices = rng.normal(size=64).astype(dtype), rng.integers(63, size=500)
    factors, first, second = rng.normal(size=500).astype(dtype), dtype(0.3), dtype(-1.7)
    slow, plain = array.copy(), array.copy()
    for i, factor in zip(indices, factors, strict=True):
        slow[i] += factor * first
        slow[i + 1] += factor * second
        add_pair(plain, i, factor, first, second)
    added(array, indices, factors, first, second)
    assert array.tobytes() == slow.tobytes() == plain.tobytes()
