"""What settled populations make of their drive, against plain NumPy."""

import naive
import numpy as np
import pytest

from localdfa import registry
from localdfa.core.rate.activation import activation, exact_change, response


@pytest.mark.parametrize("name", sorted(naive.F))
def test_a_population_settles_and_sends_what_is_above_the_threshold(name, rng):
    neuron = registry.get("neurons", name)()
    drive = rng.normal(0, 2, (5, 7))
    activity, sent = np.empty((5, 7)), np.full((5, 8), -9.0)
    events, broken = activation(type(neuron))(neuron, 0.3, drive, activity, sent)
    expected = naive.F[name](drive)
    fires = np.abs(expected) > 0.3
    np.testing.assert_allclose(activity, expected, rtol=1e-12)
    np.testing.assert_allclose(sent[:, :-1], np.where(fires, expected, 0), rtol=1e-12)
    np.testing.assert_array_equal(sent[:, -1], -9)  # the column of the bias is not its business
    assert (events, broken) == (fires.sum(), 0)
    drive[2, 3] = drive[4, 0] = np.nan
    assert activation(type(neuron))(neuron, 0.3, drive, activity, sent)[1] == 2


@pytest.mark.parametrize("name", sorted(naive.F))
def test_the_exact_change_is_the_signal_times_the_slope(name, rng):
    neuron = registry.get("neurons", name)()
    drive, signal, change = rng.normal(0, 2, (5, 7)), rng.normal(size=(5, 7)), np.empty((5, 7))
    exact_change(type(neuron))(neuron, drive, signal, change)
    np.testing.assert_allclose(change, -signal * naive.DF[name](drive), rtol=1e-10)


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["lif", "alif", "tanh"])
def test_a_response_is_the_activity_of_each_drive_to_the_bit(name, number, rng):
    """Of arrays of any shape and order, against the neuron's own function of one drive."""
    neuron = registry.cast(registry.get("neurons", name)(), number)
    drive = rng.normal(0, 2, (5, 7, 2)).astype(number)[::2, :, 1].T
    expected = np.array([[type(neuron).f(neuron, a) for a in row] for row in drive], number)
    found = response(neuron, drive)
    assert found.dtype == number
    np.testing.assert_array_equal(found, expected)
