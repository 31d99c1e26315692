"""Outputs: predictions, errors and losses that belong together, the same for arrays and in kernels; targets and measures."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from localdfa import registry
from localdfa.conformance._subjects import of

M, N_OUT = 40, 4
NEURON: Any = registry.get("neurons", "lif")()


def case(model, seed=0):
    """Drives and targets (m, n_out), and what a data set has in place of the targets."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(M, N_OUT)) if model.regression else rng.integers(0, N_OUT, M)
    return rng.normal(size=(M, N_OUT)), model.targets(y, N_OUT, np.float64), y


@pytest.mark.parametrize("name", of("outputs"))
def test_it_says_what_it_is(name):
    model = registry.get("outputs", name)
    assert registry.describe("outputs", name)
    assert isinstance(model.spiking, bool)
    assert isinstance(model.regression, bool)
    assert model.measures
    _, target, _ = case(model)
    assert target.shape == (M, N_OUT)
    assert target.dtype == np.float64


@pytest.mark.parametrize("name", of("outputs", lambda model: not model.spiking))
def test_the_error_is_the_slope_of_the_loss_in_the_drive(name):
    model = registry.get("outputs", name)
    drive, target, _ = case(model)
    error, step = model.error(model.predict(NEURON, drive), target), 1e-6
    for u in range(N_OUT):
        moved = step * np.eye(N_OUT)[u]
        slope = (model.loss(NEURON, drive + moved, target) - model.loss(NEURON, drive - moved, target)) / (2 * step)
        assert_allclose(error[:, u], slope, atol=1e-8)


@pytest.mark.parametrize("name", of("outputs"))
def test_kernels_predict_as_arrays_do(name):
    model = registry.get("outputs", name)
    drive, target, _ = case(model)
    drive = model.predict(NEURON, drive) if model.spiking else drive
    predicted = drive if model.spiking else model.predict(NEURON, drive)
    for s in range(M):
        prediction, error = np.full(N_OUT, np.nan), np.full(N_OUT, np.nan)
        model.predict_into(drive[s], prediction)
        model.error_into(prediction, target[s], error)
        assert_allclose(prediction, predicted[s], rtol=1e-12)
        assert_allclose(error, model.error(predicted, target)[s], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", of("outputs"))
def test_measures_do_not_depend_on_how_samples_are_parted(name):
    model = registry.get("outputs", name)
    drive, target, y = case(model)
    whole = model.measured(model.tally(NEURON, drive, target), target)
    parted = model.tally(NEURON, drive[:13], target[:13]) + model.tally(NEURON, drive[13:], target[13:])
    assert model.measured(parted, target) == pytest.approx(whole)
    assert set(whole) == {measure.key for measure in model.measures}
    assert whole[model.measures[0].key] > 0
    kept = model.outcome(NEURON, drive, y)
    assert {len(array) for array in kept.values()} == {M}
    assert_array_equal(next(iter(kept.values())), y)
