"""Infinite and NaN values, and powers of two that keep numbers in range."""

import numpy as np
import pytest

from localdfa.core import finite
from localdfa.errors import NonFiniteError


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_value_that_is_not_finite_is_found_wherever_it_is(rng, value, dtype):
    values = rng.normal(size=(5, 4)).astype(dtype)
    assert finite.all_are(values)
    for at in np.ndindex(values.shape):
        spoilt = values.copy()
        spoilt[at] = value
        assert not finite.all_are(spoilt)
        with pytest.raises(NonFiniteError, match="an activity of hidden layer 2 is not finite") as caught:
            finite.require(spoilt, "an activity", 1, 3)
        assert caught.value.row == at[0]


def test_the_first_row_and_the_output_layer_are_named():
    values = np.zeros((4, 3))
    finite.require(values, "an activity", 0, 2)
    finite.require(np.zeros((0, 3)), "an activity", 0, 2)
    assert finite.all_are(np.zeros(0))
    values[1, 2] = values[3, 0] = np.nan
    with pytest.raises(NonFiniteError, match="a drive of the output layer is not finite") as caught:
        finite.require(values, "a drive", 2, 2)
    assert caught.value.row == 1


@pytest.mark.parametrize("size", [1e-300, 3e-7, 0.5, 0.99, 1.0, 7.0, 1e300])
def test_values_are_scaled_by_the_power_of_two_that_brings_the_largest_below_one(rng, size):
    values = rng.uniform(-1, 1, (6, 5))
    values *= size / np.abs(values).max()
    before = values.copy()
    k = finite.scale_near_one(values)
    assert 0.5 <= np.abs(values).max() < 1
    np.testing.assert_array_equal(np.ldexp(values, k), before)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.array([[1.0, np.inf]]), np.array([[np.nan, 4.0]]), np.zeros((0, 3))])
def test_what_has_no_largest_value_stays_as_it_is(values):
    before = values.copy()
    assert finite.scale_near_one(values) == 0
    np.testing.assert_array_equal(values, before)
