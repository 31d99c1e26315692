"""Data sets: shapes, finite inputs of a known range, labels from 0, the same at every reading."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from localdfa import data, registry
from localdfa.conformance._subjects import of
from localdfa.data import Trains, cache, kinds
from localdfa.data.dataset import Source
from localdfa.errors import DataError

# Values looked at, at a time, and up to how many in all are read anew and converted.
_BLOCK, _SMALL = 2**22, 2**24


@pytest.fixture
def source(request, monkeypatch):
    """A data set that is on this machine; nothing is downloaded."""

    def away(remote, path):
        raise DataError(f"{path}: not on this machine")

    monkeypatch.setattr(cache, "_download", away)
    try:
        return registry.get("data", request.param)()
    except DataError as error:
        pytest.skip(str(error))


def arrays(x):
    return x.events() if isinstance(x, Trains) else (x,)


def check_kind(name, found):
    """Data that modules of PyTorch alone read: `kinds.check` says what they are to be."""
    kinds.check(name, found)
    again = kinds.arrays(registry.get("data", name)())
    for key, array in kinds.arrays(found).items():
        assert_array_equal(array, again[key])
    with pytest.raises(DataError, match=f"{name} is no set of samples for networks of layers"):
        data.load(name)


@pytest.mark.parametrize("source", of("data"), indirect=True)
def test_a_data_set_is_what_it_says(source, request):
    name = request.node.callspec.params["source"]
    assert registry.describe("data", name)
    if isinstance(source, kinds.Kind):
        return check_kind(name, source)
    assert isinstance(source, Source)
    assert source.n_classes != 1
    assert math.prod(source.shape) >= 1
    assert not source.classes or len(set(source.classes)) == len(source.classes) == source.n_classes
    assert source.scale > 0
    for x, y in ((source.x_train, source.y_train), (source.x_test, source.y_test)):
        assert len(x) == len(y) > 0
        assert x.shape == (len(y), math.prod(source.shape))
        if not source.n_classes:
            assert y.dtype == np.float64
            assert y.ndim == 2
            assert np.isfinite(y).all()
        else:
            assert y.dtype == np.int64
            assert y.min() >= 0
            assert y.max() < source.n_classes
        if isinstance(x, Trains):
            assert np.isfinite(x.time).all()
            assert x.time.min() >= 0
            assert 0 <= x.neuron.min() <= x.neuron.max() < x.width
            continue
        rows = max(1, _BLOCK // x.shape[1])
        for start in range(0, len(x), rows):
            part = x[start : start + rows] / source.scale
            assert np.isfinite(part).all()
            assert np.abs(part).max() <= 1e3, "inputs are to be of the size of 1; `scale` divides them"
    assert not source.n_classes or set(source.y_train) == set(range(source.n_classes)), (
        "a class of which nothing can be learned"
    )


@pytest.mark.parametrize("source", of("data"), indirect=True)
def test_it_is_the_same_at_every_reading_and_a_network_can_read_it(source, request):
    if isinstance(source, kinds.Kind):
        pytest.skip("modules of PyTorch alone read it")
    if sum(array.size for x in (source.x_train, source.x_test) for array in arrays(x)) > _SMALL:
        pytest.skip("it is large")
    name = request.node.callspec.params["source"]
    again = registry.get("data", name)()
    for part in ("x_train", "y_train", "x_test", "y_test"):
        for one, other in zip(arrays(getattr(source, part)), arrays(getattr(again, part)), strict=True):
            assert_array_equal(one, other)
    found = data.load(name, validation=0.2, rng=np.random.default_rng(0))
    assert len(found.y_train) + len(found.y_valid) == len(source.y_train)
    assert found.n_classes == source.n_classes
    if not isinstance(found.x_train, Trains):
        assert found.x_train.dtype == np.float32
