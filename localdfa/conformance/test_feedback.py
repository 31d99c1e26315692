"""Feedback pathways: matrices of the shapes that they say, signals of the layers' shapes, linear where they must be."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from localdfa import registry
from localdfa.conformance._subjects import of, setting_of
from localdfa.core.rate import settled
from localdfa.errors import SpecError
from localdfa.network import build

NAMES = of("feedback")
M = 5


def setting_with(name, output, hidden=(6, 5, 4)):
    return setting_of(
        precision="float64", network={"hidden": [*hidden], "weights": "uniform", "output": output},
        feedback={"pathway": name}, phases={"propagation": registry.get("feedback", name).propagations[0]},
        optimiser={"name": "sgd", "weight_decay": 0.01},
    )  # fmt: skip


def taken(name):
    """The outputs of rate neurons that a pathway takes, and what is said of the others."""
    outputs, refusals = [], []
    for output in of("outputs", lambda model: not model.spiking):
        try:
            setting_with(name, output)
        except SpecError as error:
            refusals.append(str(error))
        else:
            outputs.append(output)
    return outputs, refusals


def case(name, hidden=(6, 5, 4)):
    """A network with this pathway, a free phase of it, and its errors."""
    model = registry.get("feedback", name)
    setting = setting_with(name, taken(name)[0][0], hidden)
    network, rng = build(setting, 7, 3, 0), np.random.default_rng(0)
    inputs = np.ones((M, 8))
    inputs[:, :-1] = rng.random((M, 7))
    trial, target = settled.free_phase(network, inputs), np.eye(3)[rng.integers(0, 3, M)]
    return network, trial, model.carries(trial.prediction, target, trial.prediction - target)


def signals(network, trial, error):
    """The signal of each layer, in the pathway's order, where every layer takes it as −δa; error (m, 3): what is carried."""
    change = [np.empty((len(error), n)) for n in network.sizes[1:]]
    found = [np.full((len(error), n), np.nan) for n in network.sizes[1:-1]]
    change[-1][...] = -error
    for l in network.pathway.order(network.n_hidden):
        network.pathway.signal(network, l, error, change, found[l], trial.route)
        change[l][...] = -found[l]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_works_with(name):
    model = registry.get("feedback", name)
    assert registry.describe("feedback", name)
    assert model.propagations
    assert set(model.propagations) <= {"held", "two_compartment", "live"}
    assert sorted(model.order(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_an_output_and_says_why_not_others(name):
    outputs, refusals = taken(name)
    assert outputs
    for message in refusals:
        assert f"feedback.pathway: '{name}'" in message
        assert "allowed" in message


@pytest.mark.parametrize("name", NAMES)
def test_it_carries_the_error_or_says_that_it_does_not(name):
    model, (prediction, target) = registry.get("feedback", name), np.random.default_rng(0).random((2, M, 3))
    carried = model.carries(prediction, target, prediction - target)
    assert carried.shape == target.shape
    if model.follows_error:
        assert_array_equal(model.carries(prediction, target, 0 * target), 0 * target)
    for at in np.ndindex(*target.shape):  # of one unit, as kernels ask it
        assert model.carries(prediction[at], target[at], prediction[at] - target[at]) == carried[at]


@pytest.mark.parametrize("name", NAMES)
def test_matrices_have_the_shapes_that_it_says(name):
    network, _, _ = case(name)
    assert network.pathway is registry.get("feedback", name)
    for l, matrix in enumerate(network.feedback):
        shape = network.pathway.shape(network, l)
        assert (matrix is None) == (shape is None)
        if matrix is not None:
            assert matrix.shape == shape
            assert shape[0] == network.sizes[l + 1]
            assert network.pathway.widths(network, l) is not None
            replaced = network.pathway.replaces(network, l)
            assert replaced is None or replaced.shape == shape
    if network.pathway.shareable:
        equal, _, _ = case(name, (4, 4))
        assert len({matrix.shape for matrix in equal.feedback}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_signals_are_of_each_sample_by_itself_and_the_same_again(name):
    network, trial, error = case(name)
    whole = signals(network, trial, error)
    for own, again in zip(whole, signals(network, trial, error), strict=True):
        assert np.isfinite(own).all()
        assert own.any()
        assert_array_equal(own, again)
    for s in range(M):
        alone = signals(network, trial.keep(np.array([s])), error[[s]])
        for own, one in zip(whole, alone, strict=True):
            assert_allclose(one[0], own[s], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_reads_only_layers_that_are_done(name):
    network, _, _ = case(name)
    done: set[int] = set()
    for l in network.pathway.order(network.n_hidden):
        source = network.pathway.source(network, l)
        assert source is None or source in done
        done.add(l)


@pytest.mark.parametrize("name", of("feedback", lambda model: model.in_time))
def test_a_signal_that_works_in_time_is_linear_in_the_error(name):
    """There each output unit sends its own current, and a layer gets their sum."""
    network, trial, error = case(name)
    other = np.random.default_rng(1).normal(size=error.shape)
    first, second, both = (signals(network, trial, e) for e in (error, other, error - 2 * other))
    for a, b, c in zip(first, second, both, strict=True):
        assert_allclose(c, a - 2 * b, rtol=1e-9, atol=1e-12)
