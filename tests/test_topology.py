"""Which neurons synapses join."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localdfa import topology


def dense(ends, targets, n_post):
    joined = np.zeros((len(ends) - 1, n_post), int)
    np.add.at(joined, (np.repeat(np.arange(len(ends) - 1), np.diff(ends)), targets), 1)
    return joined


@settings(deadline=None)  # the first example may compile
@given(
    probability=st.one_of(st.floats(1e-12, 1), st.just(1.0)),
    n_pre=st.integers(1, 60),
    n_post=st.integers(1, 60),
    seed=st.integers(0, 10**6),
    block=st.sampled_from([1, 7, 2**20]),
)
def test_rows_of_a_sparse_projection_are_in_order_and_name_each_target_once(probability, n_pre, n_post, seed, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topology, "_DRAWN", block)
        ends, targets = topology.draw_pairs(probability, n_pre, n_post, np.random.default_rng(seed))
    assert ends[0] == 0
    assert ends[-1] == len(targets)
    assert targets.dtype == np.int32
    for start, end in pairwise(ends):
        row = targets[start:end]
        assert (np.diff(row) > 0).all()
        assert ((row >= 0) & (row < n_post)).all()
    if probability == 1:
        assert len(targets) == n_pre * n_post


def test_each_pair_is_joined_with_the_same_probability_and_by_itself(rng):
    """Of 20,000 small projections: how often each pair is joined, and each two pairs together."""
    found = np.array([dense(*topology.draw_pairs(0.3, 3, 4, rng), 4).ravel() for _ in range(20_000)], float)
    bound = 5 * 0.3 / np.sqrt(20_000)
    np.testing.assert_allclose(found.mean(0), 0.3, atol=bound)
    together = found.T @ found / 20_000
    np.testing.assert_allclose(together[~np.eye(12, dtype=bool)], 0.09, atol=bound)


def test_the_number_of_synapses_is_binomial(rng):
    counts = np.array([len(topology.draw_pairs(0.02, 100, 70, rng)[1]) for _ in range(2000)])
    assert counts.mean() == pytest.approx(140, abs=5 * np.sqrt(140 * 0.98 / 2000))
    assert counts.var() == pytest.approx(140 * 0.98, rel=0.2)
