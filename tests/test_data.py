"""Data sets: what they hold, how they are split, whitened and found, and what is said when that fails."""

import contextlib
import gzip
import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import requests

from localdfa.data import Dataset, archives, available, cache, cifar, load
from localdfa.data.dataset import Source
from localdfa.data.sets import cifar10, cifar100, digits, fashion_mnist, mnist
from localdfa.data.split import stratified
from localdfa.data.whitening import Zca
from localdfa.errors import DataError, SpecError
from localdfa.spec import experiment


def counts(y):
    return np.bincount(y, minlength=10)


# --- the embedded default ---------------------------------------------------------------------------------------------


def test_digits_values():
    data = load("digits")
    assert isinstance(data, Dataset)
    assert (data.name, data.n_classes, data.shape, data.n_features) == ("digits", 10, (1, 8, 8), 64)
    assert len(data.x_train) + len(data.x_test) == 1797
    assert data.x_valid.shape == (0, 64)
    assert data.y_valid.shape == (0,)
    for x in (data.x_train, data.x_valid, data.x_test):
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    assert data.x_train.min() == 0
    assert data.x_train.max() == 1
    np.testing.assert_array_equal(data.x_train * 16, np.round(data.x_train * 16))


def test_digits_are_those_that_scikit_learn_carries():
    from sklearn.datasets import load_digits

    with np.load(Path(digits.__file__).with_name("digits.npz"), allow_pickle=False) as table:
        assert np.array_equal(table["x"], load_digits()["data"])
        assert np.array_equal(table["y"], load_digits()["target"])


def test_digits_test_set_is_a_fifth_of_every_class_and_never_changes():
    data = load("digits")
    total = counts(data.y_train) + counts(data.y_test)
    np.testing.assert_array_equal(counts(data.y_test), (total * 0.2 + 0.5).astype(int))
    digest = hashlib.md5((data.x_test * 16).astype(np.uint8).tobytes() + data.y_test.astype("<i8").tobytes()).hexdigest()
    assert digest == DIGITS_TEST_MD5


DIGITS_TEST_MD5 = "dbbe62bc7674edb21943919b026bc730"


def test_dtype_is_the_one_asked_for_or_refused():
    assert load("digits", dtype=np.float64).x_test.dtype == np.float64
    with pytest.raises(DataError, match="dtype = int64: inputs must be float32 or float64"):
        load("digits", dtype=np.int64)


# --- names ------------------------------------------------------------------------------------------------------------


def test_available_names():
    names = [
        "adult", "braille", "cifar10", "cifar100", "citeseer", "cora", "diabetes", "digits", "fashion-mnist", "mnist",
        "movielens-small", "nerf-lego", "nmnist-small", "pairs", "pubmed", "spheres",
        "tiny-shakespeare", "tiny-shakespeare-90", "npz:PATH", "arrays",
    ]  # fmt: skip
    assert list(available()) == names
    assert all(line and "\n" not in line for line in available().values())


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("minst", "mnist"),
        ("Digits", "digits"),
        ("cifar-10", "cifar10"),
        ("fashion", "fashion-mnist"),
        ("mine.npz", "npz:mine.npz"),
        ("npz:", "npz:PATH"),
    ],
)
def test_unknown_names_get_the_nearest_one(name, nearest):
    with pytest.raises(DataError) as error:
        load(name)
    assert f"no data set {name!r}, the nearest is {nearest};" in str(error.value)
    assert all(known in str(error.value) for known in available())


# --- the validation split ---------------------------------------------------------------------------------------------


def test_validation_is_stratified_disjoint_and_repeatable():
    whole = load("digits")
    data = load("digits", validation=0.25, rng=np.random.default_rng(7))
    again = load("digits", validation=0.25, rng=np.random.default_rng(7))
    other = load("digits", validation=0.25, rng=np.random.default_rng(8))
    np.testing.assert_array_equal(data.x_valid, again.x_valid)
    assert not np.array_equal(data.x_valid, other.x_valid)
    np.testing.assert_array_equal(counts(data.y_valid), (counts(whole.y_train) * 0.25 + 0.5).astype(int))
    np.testing.assert_array_equal(data.x_test, whole.x_test)

    def rows(x, y):
        return sorted(map(bytes, np.column_stack([x, y]).astype(np.float32)))

    together = np.concatenate([data.x_train, data.x_valid]), np.concatenate([data.y_train, data.y_valid])
    assert rows(*together) == rows(whole.x_train, whole.y_train)


def test_split_keeps_every_sample_once():
    y = np.repeat(np.arange(5), [2, 3, 10, 100, 1000])
    chosen = stratified(y, 0.3, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(y[chosen]), [1, 1, 3, 30, 300])


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0, float("nan")])
def test_validation_out_of_bounds(fraction):
    with pytest.raises(DataError, match="it must be at least 0 and below 1"):
        load("digits", validation=fraction, rng=np.random.default_rng(0))


def test_validation_refusals():
    with pytest.raises(DataError, match=r"validation = 0.1 needs a random generator"):
        load("digits", validation=0.1)
    with pytest.raises(DataError, match="takes none"):
        load("digits", validation=1e-6, rng=np.random.default_rng(0))
    with pytest.raises(DataError, match="takes all 142 samples of class 0"):
        load("digits", validation=0.9999, rng=np.random.default_rng(0))


# --- whitening --------------------------------------------------------------------------------------------------------


def test_whitened_covariance_is_the_identity_up_to_epsilon():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5000, 12)) @ rng.normal(size=(12, 12)) + 4.0
    epsilon = 1e-2
    white = Zca.fit(x, 1.0, epsilon).apply(x, np.float64)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    expected = (vectors * (values / (values + epsilon))) @ vectors.T
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cov(white.T, bias=True), expected, atol=1e-10)


def test_whitening_without_epsilon_to_speak_of_gives_the_identity_and_stays_close_to_the_input():
    x = np.random.default_rng(4).normal(size=(4000, 6)) * [1, 2, 3, 4, 5, 6]
    white = Zca.fit(x, 2.0, 1e-12).apply(x, np.float64)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(6), atol=1e-9)
    assert all(np.corrcoef(x[:, i], white[:, i])[0, 1] > 0.99 for i in range(6))


def test_whitening_in_blocks_equals_whitening_at_once(monkeypatch):
    x = np.random.default_rng(5).integers(0, 256, size=(103, 7), dtype=np.uint8)
    once = Zca.fit(x, 255.0, 1e-2).apply(x, np.float32)
    monkeypatch.setattr("localdfa.data.whitening._ROWS", 10)
    np.testing.assert_allclose(Zca.fit(x, 255.0, 1e-2).apply(x, np.float32), once, rtol=1e-5, atol=1e-5)


def test_whitening_knows_the_training_part_alone():
    raw = load("digits", validation=0.5, rng=np.random.default_rng(1), dtype=np.float64)
    data = load("digits", validation=0.5, rng=np.random.default_rng(1), dtype=np.float64, whiten=True, whiten_epsilon=0.1)
    zca = Zca.fit(raw.x_train, 1.0, 0.1)
    for part in ("x_train", "x_valid", "x_test"):
        np.testing.assert_allclose(getattr(data, part), zca.apply(getattr(raw, part), np.float64), atol=1e-12)
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-12)
    assert np.abs(data.x_valid.mean(axis=0)).max() > 1e-3
    assert np.abs(data.x_test.mean(axis=0)).max() > 1e-3
    assert load("digits", whiten=True).x_train.dtype == np.float32


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_whiten_epsilon_out_of_bounds(epsilon):
    with pytest.raises(DataError, match="whiten_epsilon"):
        load("digits", whiten=True, whiten_epsilon=epsilon)


# --- the user's own data ----------------------------------------------------------------------------------------------


def own(**changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.random((12, 3)),
        "y_train": np.arange(12) % 3,
        "x_test": rng.random((6, 3)),
        "y_test": np.arange(6) % 3,
    }
    arrays.update(changes)
    return {key: value for key, value in arrays.items() if value is not None}


def save(path, **changes):
    np.savez(path, **own(**changes))
    return path


def test_npz_is_read_as_it_is(tmp_path):
    save(tmp_path / "own.npz")
    data = load("npz:own.npz", base=tmp_path, dtype=np.float64)
    expected = own()
    assert (data.n_classes, data.shape, data.n_features) == (3, (3,), 3)
    for key, value in expected.items():
        np.testing.assert_array_equal(getattr(data, key), value)
    np.testing.assert_array_equal(load(f"npz:{tmp_path}/own.npz").y_test, expected["y_test"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f8", np.int8, np.uint64, bool])
def test_npz_accepts_every_real_dtype(tmp_path, dtype):
    x = np.asfortranarray(np.arange(24).reshape(12, 2) % 2).astype(dtype)
    save(tmp_path / "own.npz", x_train=x, x_test=x[:6], y_train=(np.arange(12) % 3).astype(np.uint8))
    data = load("npz:own.npz", base=tmp_path)
    assert data.x_train.dtype == np.float32
    assert data.x_train.flags.c_contiguous
    np.testing.assert_array_equal(data.x_train, np.arange(24).reshape(12, 2) % 2)
    assert data.y_train.dtype == np.int64


def test_npz_images(tmp_path):
    images = np.random.default_rng(0).random((18, 2, 4, 5)).astype(np.float32)
    save(tmp_path / "own.npz", x_train=images[:12], x_test=images[12:])
    data = load("npz:own.npz", base=tmp_path)
    assert data.shape == (2, 4, 5)
    np.testing.assert_array_equal(data.x_train, images[:12].reshape(12, 40))


def test_npz_of_any_finite_range_can_be_whitened(tmp_path):
    x = np.random.default_rng(0).normal(100, 50, size=(12, 3))
    save(tmp_path / "own.npz", x_train=x)
    assert abs(load("npz:own.npz", base=tmp_path, whiten=True).x_train.mean()) < 1e-6
    save(tmp_path / "huge.npz", x_train=x * 1e200)
    with pytest.raises(DataError, match="covariance overflows"):
        load("npz:huge.npz", base=tmp_path, whiten=True)


def put(value, index=(3, 1)):
    x = own()["x_train"]
    x[index] = value
    return x


REFUSED = {
    "missing": ({"y_test": None}, "the array y_test is missing; needed are x_train, y_train, x_test, y_test"),
    "extra": ({"weights": np.ones(3)}, "an array too many, 'weights'"),
    "nan": ({"x_train": put(np.nan)}, "x_train[3, 1] = nan is not finite; is a value missing? Leave out its sample"),
    "constant": (
        {"x_train": put(np.nan, (slice(None), 1))},
        "x_train[0, 1] = nan is not finite; a feature that is constant and was standardised gives 0/0",
    ),
    "inf": ({"x_train": put(-np.inf)}, "x_train[3, 1] = -inf is not finite"),
    "complex": ({"x_train": np.ones((12, 3), complex)}, "x_train has the dtype complex128: inputs must be real"),
    "text": ({"x_train": np.full((12, 3), "a")}, "x_train has the dtype <U1: inputs must be real"),
    "objects": ({"x_train": np.full((12, 3), None)}, "x_train holds Python objects, as a column of pandas may, which are not"),
    "objects as numbers": ({"x_test": np.full((6, 3), None)}, "save x_test.astype(float) in its place"),
    "objects as labels": ({"y_train": np.array(["a", "b", "c"] * 4, object)}, "save y_train.astype(str) in its place"),
    "flat x": ({"x_train": np.ones(12)}, "x_train has the shape (12,): it must be (n, n_features) or (n, channels"),
    "3-D x": ({"x_train": np.ones((12, 3, 3))}, "x_train has the shape (12, 3, 3): are these time series or pictures?"),
    "channels last": (
        {"x_train": np.ones((12, 9, 9, 3))},
        "x_train has the shape (12, 9, 9, 3): are the 3 on the last axis ch",
    ),
    "axes": (
        {"axes": "n, frames, channels"},
        "axes = 'n frames channels': it must name the axes of x_train and x_test; allowed",
    ),
    "axes twice": ({"axes": "samples frames frames"}, "axes = 'samples frames frames': it must name"),
    "axes of numbers": ({"axes": np.arange(3)}, "axes = '': it must name"),
    "other axes": (
        {"axes": "samples frames channels"},
        "x_train has the shape (12, 3), and axes = 'samples frames channels' na",
    ),
    "beyond float32": ({"x_train": put(1e300)}, "x_train, sample 3: an input is not finite in float32: it is too large"),
    "empty": ({"x_train": np.ones((0, 3)), "y_train": np.ones(0, int)}, "x_train is empty: its shape is (0, 3)"),
    "no feature": ({"x_train": np.ones((12, 0))}, "x_train is empty: its shape is (12, 0)"),
    "widths": ({"x_test": np.ones((6, 4))}, "one sample has the shape (3,) in x_train and (4,) in x_test"),
    "short y": ({"y_train": np.arange(11)}, "y_train has the shape (11,): it must be (12,), one label per sample"),
    "one-hot y": ({"y_train": np.eye(12, dtype=int)}, "y_train has the shape (12, 12): it must be (12,)"),
    "broken y": (
        {"y_test": np.arange(6) / 2},
        "y_test has the dtype float64: labels must be whole numbers below 2^53, or names",
    ),
    "broken y where": ({"y_test": np.arange(6) / 2}, "and y[1] = 0.5"),
    "nan y": ({"y_train": np.full(12, np.nan)}, "labels must be whole numbers below 2^53, or names, and y[0] = nan"),
    "large y": ({"y_train": np.full(12, 2**63, np.uint64)}, "y_train has the dtype uint64: labels must be whole numbers below"),
    "complex y": ({"y_train": np.ones(12, complex)}, "y_train has the dtype complex128: labels must be whole numbers"),
    "dates": ({"y_train": np.zeros(12, "M8[s]")}, "y_train has the dtype datetime64[s]: labels must be whole numbers"),
    "kinds of y": ({"y_test": np.zeros(6, bool)}, "y_train has the dtype int64 and y_test bool: labels must be of one kind"),
    "unseen y": ({"y_test": np.array([0, 1, 2, 3, 0, 1])}, "y_test[3] = 3 never occurs in y_train, whose labels are 0, 1, 2"),
    "unseen name": (
        {"y_train": np.array(["a", "b", "d"] * 4), "y_test": np.array(["a", "cc"] * 3)},
        "y_test[1] = 'cc' never occurs in y_train, whose labels are 'a', 'b', 'd'",
    ),
    "no name": ({"y_train": np.array(["a", ""] * 6)}, "y_train[1] = '': a name needs 1 to 100 printable characters"),
    "escape": ({"y_train": np.array(["a", "\x1b[2J"] * 6)}, "y_train[1] = '\\x1b[2J': a name needs"),
    "surrogate": ({"y_train": np.array(["a", "\udc80"] * 6)}, "y_train[1] = '\\udc80': a name needs"),
    "long name": ({"y_train": np.array(["a", "b" * 101] * 6)}, f"y_train[1] = '{'b' * 20}'…: a name needs"),
    "bytes": ({"y_train": np.array([b"a", b"\xff"] * 6)}, "y_train has the dtype |S1: bytes that are no text in UTF-8"),
    "a label each": ({"y_train": np.arange(12) * 10}, "y_train: all 12 labels differ"),
    "one class": ({"y_train": np.zeros(12, int)}, "y_train: every label is 0: there must be two classes or more"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_npz_refusals_name_file_array_and_value(tmp_path, changes, message):
    path = save(tmp_path / "own.npz", **changes)
    with pytest.raises(DataError) as error:
        load(f"npz:{path}")
    assert f"{path}: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("dtype", "inputs"),
    [
        (np.float64, [0.0, -2e-16, 1.0000000000000002]),
        (np.float32, [0.0, -4e-7, 1.0000004]),
        (np.float16, [0.0, -2e-3, 1.001]),
        (np.longdouble, [0.0, -2e-16, 1.0000000000000002]),
    ],
)
def test_rounding_beyond_0_and_1_is_taken_back_and_said(tmp_path, dtype, inputs):
    x = np.linspace(0, 1, 36).reshape(12, 3).astype(dtype)
    x[5] = inputs
    data = load(f"npz:{save(tmp_path / 'own.npz', x_train=x)}", dtype=np.float64)
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert data.x_train[5].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(np.delete(data.x_train, 5, 0), np.delete(x, 5, 0).astype(np.float64))
    assert len(data.notes) == 1
    assert data.notes[0].startswith("x_train: 2 values lie outside [0, 1] by rounding alone, at most ")


def test_minmax_scaler_s_own_output_is_read(tmp_path):
    from sklearn.preprocessing import MinMaxScaler

    raw = np.random.default_rng(1).normal(size=(200, 20)) * np.logspace(-3, 3, 20)
    scaled = MinMaxScaler().fit_transform(raw)
    assert scaled.max() > 1  # that is why
    y = np.arange(200) % 2
    data = load(f"npz:{save(tmp_path / 'own.npz', x_train=scaled, x_test=scaled, y_train=y, y_test=y)}", dtype=np.float64)
    assert data.x_train.max() == data.x_test.max() == 1
    np.testing.assert_allclose(data.x_train, scaled, rtol=1e-15)


def test_npz_of_any_finite_range_is_taken_as_it_is(tmp_path):
    x = np.random.default_rng(0).normal(size=(18, 3))
    data = load(f"npz:{save(tmp_path / 'own.npz', x_train=x[:12], x_test=x[12:])}", dtype=np.float64)
    np.testing.assert_array_equal(data.x_train, x[:12])
    assert data.notes == ()
    raw = np.random.default_rng(0).integers(0, 256, (18, 3), np.uint8)
    data = load(f"npz:{save(tmp_path / 'own.npz', x_train=raw[:12], x_test=raw[12:] / 255)}")
    np.testing.assert_array_equal(data.x_train, raw[:12])
    large, differ = data.notes
    assert "x_train: inputs are large, " in large
    assert "divided by 255" in large
    assert differ.startswith("x_test: the root mean square is 0.")
    assert load(f"npz:{tmp_path / 'own.npz'}", whiten=True).notes == ()


def test_channels_of_images_are_standardised_by_the_training_part_alone(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    images = (
        rng.normal(size=(40, 3, 4, 5)) * np.array([1.0, 10.0, 0.1])[:, None, None] + np.array([5.0, 0.0, -2.0])[:, None, None]
    )
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.arange(40) % 2, x_test=images[:8] + 1, y_test=np.arange(8) % 2)
    name, options = f"npz:{tmp_path / 'own.npz'}", {"standardise": True, "dtype": np.float64}
    data = load(name, validation=0.5, rng=np.random.default_rng(1), **options)
    channels = data.x_train.reshape(-1, 3, 20)
    np.testing.assert_allclose(channels.mean(axis=(0, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(channels.std(axis=(0, 2)), 1, rtol=1e-12)
    plain = load(name, validation=0.5, rng=np.random.default_rng(1), dtype=np.float64)
    by_channel = plain.x_train.reshape(-1, 3, 20)
    mean, spread = (np.repeat(f(axis=(0, 2)), 20) for f in (by_channel.mean, by_channel.std))
    for part in ("x_valid", "x_test"):
        np.testing.assert_allclose(getattr(data, part), (getattr(plain, part) - mean) / spread, rtol=1e-9, atol=1e-9)
    assert data.notes == ()
    whole = load(name, **options)
    monkeypatch.setattr("localdfa.data.prepare._ROWS", 7)
    np.testing.assert_allclose(load(name, **options).x_train, whole.x_train, rtol=1e-12, atol=1e-12)


def test_other_inputs_are_standardised_together():
    data = load("digits", standardise=True)
    assert data.x_train.dtype == np.float32
    assert data.x_train.mean() == pytest.approx(0, abs=1e-5)
    assert data.x_train.std() == pytest.approx(1, rel=1e-5)
    plain = load("digits").x_train
    assert np.corrcoef(data.x_train.ravel(), plain.ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("offset", [0.0, 1e5, 1e7, 1e9])
def test_inputs_with_a_large_mean_keep_what_differs_from_it(tmp_path, rng, offset):
    """As counts of converters and times of day are: in float32 the differences would be gone."""
    z = rng.normal(size=(200, 4))
    np.savez(
        tmp_path / "own.npz", x_train=z + offset, y_train=np.arange(200) % 2, x_test=z[:9] + offset, y_test=np.arange(9) % 2
    )
    found = load(f"npz:{tmp_path / 'own.npz'}", standardise=True)
    assert found.x_train.dtype == np.float32
    np.testing.assert_allclose(found.x_train, (z - z.mean()) / z.std(), atol=1e-5)
    np.testing.assert_array_equal(found.x_test, found.x_train[:9])


def test_what_cannot_be_standardised_is_refused(tmp_path):
    np.savez(
        tmp_path / "flat.npz",
        x_train=np.ones((9, 4)),
        y_train=np.arange(9) % 2,
        x_test=np.ones((4, 4)),
        y_test=np.arange(4) % 2,
    )
    with pytest.raises(DataError, match="standardise = true needs inputs that differ"):
        load(f"npz:{tmp_path / 'flat.npz'}", standardise=True)
    with pytest.raises(DataError, match="standardise = true: whitening"):
        load("digits", standardise=True, whiten=True)
    with pytest.raises(SpecError, match=r"preprocess.standardise: true does not go with preprocess.whiten = true"):
        experiment({"preprocess": {"whiten": True, "standardise": True}})


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_an_input_of_a_data_set_that_is_no_number_is_named(monkeypatch, value):
    x = np.ones((6, 3))
    x[4, 2] = value
    source = Source(x, np.arange(6) % 2, np.ones((2, 3)), np.arange(2), n_classes=2, shape=(3,), scale=1.0, classes=("a", "b"))
    with pytest.raises(DataError, match=f"arrays: x_train, sample 4: input 2 is {value}; allowed: finite numbers"):
        load("arrays", given=source)


def test_what_overflows_when_whitened_is_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 3))
    x[4, 2] = 1e300
    path = save(tmp_path / "own.npz", x_test=x)
    with pytest.raises(DataError, match=r"own\.npz: x_test, sample 4: an input is not finite in float32 after whitening"):
        load(f"npz:{path}", whiten=True)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array(["zebra", "ant", "bee"]), ("ant", "bee", "zebra")),
        (np.array([b"zebra", b"ant", b"bee"]), ("ant", "bee", "zebra")),
        (np.array(["été", "a", "b $x^$"]), ("a", "b $x^$", "été")),
        (np.array([2.0, 0.0, 1.0]), ("0", "1", "2")),
        (np.array([2, 0, 1], np.float16), ("0", "1", "2")),
        (np.array([3, 1, 2], ">i2"), ("1", "2", "3")),
        (np.array([1, -1, 0], np.int8), ("-1", "0", "1")),
        (np.array([2**53, -5.0, 7.0]), ("-5", "7", "9007199254740992")),
        (np.array([5, 2, 2**60], np.uint64), ("2", "5", "1152921504606846976")),
        (np.array([True, False, True]), ("False", "True")),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, np.ndarray) else None,
)
def test_classes_are_the_sorted_labels_of_training(tmp_path, labels, classes):
    y_train, y_test = np.tile(labels, 4), np.tile(labels, 2)
    data = load(f"npz:{save(tmp_path / 'own.npz', y_train=y_train, y_test=y_test)}")
    assert data.classes == classes
    assert data.n_classes == len(classes)
    for y, given in ((data.y_train, y_train), (data.y_test, y_test)):
        assert y.dtype == np.int64
        expected = [
            value.decode() if isinstance(value, bytes) else str(int(value) if given.dtype.kind == "f" else value)
            for value in given.tolist()
        ]
        assert [data.classes[i] for i in y] == expected


def test_labels_with_gaps_are_said(tmp_path):
    data = load(f"npz:{save(tmp_path / 'own.npz', y_train=np.arange(12) % 3 * 2, y_test=np.array([0, 2, 0, 2, 4, 4]))}")
    assert data.notes == ("y_train: the labels are 0, 2, 4, which are 3 classes",)
    assert data.y_test.tolist() == [0, 1, 0, 1, 2, 2]
    assert load(f"npz:{save(tmp_path / 'own.npz', y_train=np.arange(12) % 3 + 1, y_test=np.full(6, 2))}").notes == ()


def test_targets_of_too_many_classes_are_refused_before_they_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr("localdfa.data.npz._LARGEST", 100_000)
    y = np.arange(300) % 150
    path = save(
        tmp_path / "own.npz", x_train=np.zeros((300, 1), np.int8), y_train=y, y_test=np.arange(6), x_test=np.zeros((6, 1))
    )
    with pytest.raises(DataError, match="y_train: 150 classes need 360000 bytes, more than the limit of 100000"):
        load(f"npz:{path}")


def test_a_split_that_takes_a_class_names_it(tmp_path):
    path = save(tmp_path / "own.npz", y_train=np.array(["a", "rare"] + ["a"] * 10), y_test=np.array(["a"] * 6))
    with pytest.raises(DataError, match="takes all 1 samples of class rare"):
        load(f"npz:{path}", validation=0.6, rng=np.random.default_rng(0))


SAMPLE = np.random.default_rng(5).random((18, 2, 4, 5))  # (n, channels, rows, columns)


@pytest.mark.parametrize(
    ("axes", "x", "shape"),
    [
        ("samples channels rows columns", SAMPLE, (2, 4, 5)),
        ("samples rows columns channels", SAMPLE.transpose(0, 2, 3, 1), (2, 4, 5)),
        ("columns,samples, rows channels", SAMPLE.transpose(3, 0, 2, 1), (2, 4, 5)),
        (np.array(["samples", "rows", "columns", "channels"]), SAMPLE.transpose(0, 2, 3, 1), (2, 4, 5)),
        ("samples rows columns", SAMPLE[:, 0], (1, 4, 5)),
        ("samples frames channels", SAMPLE[:, 0], (4, 5)),
        ("samples channels frames", SAMPLE[:, 0].transpose(0, 2, 1), (4, 5)),
        ("samples frames", SAMPLE[:, 0, 0], (5, 1)),
        ("samples features", SAMPLE[:, 0, 0], (5,)),
        (None, SAMPLE[:, 0, 0], (5,)),
        (None, SAMPLE, (2, 4, 5)),
        (None, SAMPLE[:, :, :2, :2], (2, 2, 2)),
    ],
)
def test_axes_say_what_arrays_are(tmp_path, axes, x, shape):
    train, test = np.split(x, [12], axis=1 if str(axes).startswith("columns") else 0)
    data = load(f"npz:{save(tmp_path / 'own.npz', x_train=train, x_test=test, axes=axes)}", dtype=np.float64)
    assert data.shape == shape
    expected = SAMPLE[:, : shape[0], : shape[1], : shape[2]] if len(shape) == 3 else SAMPLE[:, 0] if shape == (4, 5) else x
    np.testing.assert_array_equal(data.x_train, expected[:12].reshape(12, -1))
    np.testing.assert_array_equal(data.x_test, expected[12:].reshape(6, -1))


def test_npz_that_is_not_there(tmp_path):
    for name in ("none.npz", ".", "x" * 1000):
        with pytest.raises(DataError, match=str(tmp_path)):
            load(f"npz:{name}", base=tmp_path)


# --- the cache and the network ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "cache"
    monkeypatch.setenv("LOCALDFA_DATA", str(path))
    return path


@contextlib.contextmanager
def server(root):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(root))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def md5(content):
    return hashlib.md5(content).hexdigest()


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCALDFA_DATA", "~/somewhere")
    assert cache.folder() == Path.home() / "somewhere"
    monkeypatch.setenv("LOCALDFA_DATA", "")
    assert cache.folder().name == "localdfa"


@pytest.mark.parametrize("terminal", [True, False])
def test_download_once(folder, tmp_path, monkeypatch, terminal):
    monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content = bytes(range(256)) * 1000
    (tmp_path / "set.bin").write_bytes(content)
    with server(tmp_path) as url:
        remote = cache.Remote("sub/set.bin", f"{url}/set.bin", md5(content))
        assert cache.read(remote) == content
    assert (folder / "sub" / "set.bin").read_bytes() == content
    assert cache.read(remote) == content  # the server is gone


def test_download_of_something_else_leaves_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "set.bin").write_bytes(b"else")
    with server(tmp_path) as url:
        for name in ("set.bin", "absent.bin"):
            with pytest.raises(DataError, match=f"{name} could not be downloaded from {url}"):
                cache.read(cache.Remote(name, f"{url}/{name}", md5(b"content")))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("failure", [requests.ConnectionError("no route"), OSError("disk full"), ValueError("hash")])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "mnist/train-images-idx3-ubyte.gz"),
        ("fashion-mnist", "fashion-mnist/train-images-idx3-ubyte.gz"),
        ("cifar10", "cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python.tar.gz"),
    ],
)
def test_offline_message_says_which_file_goes_where(folder, monkeypatch, name, file, failure):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("pooch.retrieve", fail)
    with pytest.raises(DataError) as error:
        load(name)
    path = folder / file
    assert f"put the file {path.name} (MD5 " in str(error.value)
    assert str(error.value).endswith(f"into the folder {path.parent}")
    assert str(failure) in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_file_is_named_and_never_replaced(folder, monkeypatch):
    monkeypatch.setattr("pooch.retrieve", None)
    path = folder / "mnist" / "train-images-idx3-ubyte.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"else"))
    found = md5(path.read_bytes())
    with pytest.raises(DataError) as error:
        load("mnist")
    message = f"{path} is damaged or not the published file: expected MD5 {mnist.FILES[0].md5}, found {found}; delete it"
    assert str(error.value).startswith(message)
    assert path.exists()


def test_unreadable_and_oversized_files(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        cache.read_verified(tmp_path, md5(b""))
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match="1099511627776 bytes, more than any published file"):
        cache.read_verified(big, md5(b""))


# --- the CIFAR archives -----------------------------------------------------------------------------------------------

WANTED = {"set/one": md5(b"first"), "set/two": md5(b"second")}


def archive(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


GOOD = [("set/one", b"first", tarfile.REGTYPE), ("set/two", b"second", tarfile.REGTYPE)]


def test_unpack_takes_what_is_wanted_only(tmp_path):
    extra = [
        ("../evil", b"x", tarfile.REGTYPE),
        ("/tmp/evil", b"x", tarfile.REGTYPE),
        ("set/readme", b"x", tarfile.REGTYPE),
    ]
    target = tmp_path / "to"
    archives.unpack(archive(tmp_path / "a.tar.gz", *extra, *GOOD, *GOOD), WANTED, target)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == ["set", "set/one", "set/two"]
    assert (target / "set/two").read_bytes() == b"second"
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (GOOD[:1], "does not hold set/two"),
        ([GOOD[0], ("set/two", b"", tarfile.SYMTYPE)], "does not hold set/two"),
        ([GOOD[0], ("set/two", b"", tarfile.LNKTYPE)], "does not hold set/two"),
        ([GOOD[0], ("set/two", b"other", tarfile.REGTYPE)], "set/two is damaged or not the published file"),
    ],
)
def test_unpack_refusals(tmp_path, members, message):
    with pytest.raises(DataError, match=message):
        archives.unpack(archive(tmp_path / "a.tar.gz", *members), WANTED, tmp_path / "to")
    assert not (tmp_path / "to/set/two").exists()


@pytest.mark.parametrize("length", [0, 10, 60])
def test_truncated_archive(tmp_path, length):
    path = archive(tmp_path / "a.tar.gz", *GOOD)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"a\.tar\.gz cannot be unpacked into"):
        archives.unpack(path, WANTED, tmp_path / "to")


def test_cifar_is_unpacked_from_an_archive_in_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.retrieve", None)
    folder.mkdir()
    path = archive(folder / "set.tar.gz", *GOOD)
    remote = cache.Remote(path.name, "http://127.0.0.1:9/", md5(path.read_bytes()))
    batches = cifar.Batches(remote, dict([*WANTED.items()][:1]), dict([*WANTED.items()][1:]), 1, 1, "labels", 10)
    with pytest.raises(DataError, match="one: byte 0: opcode b'f'"):  # unpacked and verified, but not a batch
        cifar.read(batches)
    assert (folder / "set/one").read_bytes() == b"first"


# --- the published sets, where they are -------------------------------------------------------------------------------


def present(name, files):
    missing = [file for file in files if not (cache.folder() / file).exists()]
    if missing:
        pytest.skip(f"{name} is not in {cache.folder()}: {', '.join(missing)} missing (localdfa downloads them on use)")
    return load(name)


def test_mnist():
    data = present("mnist", [remote.file for remote in mnist.FILES])
    assert (data.x_train.shape, data.x_test.shape, data.shape) == ((60000, 784), (10000, 784), (1, 28, 28))
    assert counts(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.x_train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert data.x_train.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]


def test_fashion_mnist():
    data = present("fashion-mnist", [remote.file for remote in fashion_mnist.FILES])
    assert (counts(data.y_train) == 6000).all()
    assert (counts(data.y_test) == 1000).all()
    assert data.x_train.mean(dtype=np.float64) == pytest.approx(0.2860, abs=5e-5)
    assert data.y_train[:5].tolist() == [9, 0, 0, 3, 0]


@pytest.mark.slow
def test_cifar10():
    data = present("cifar10", [*cifar10.BATCHES.train, *cifar10.BATCHES.test])
    assert (data.x_train.shape, data.x_test.shape, data.shape) == ((50000, 3072), (10000, 3072), (3, 32, 32))
    assert (counts(data.y_train) == 5000).all()
    assert (counts(data.y_test) == 1000).all()
    means = data.x_train.reshape(-1, 3, 1024).mean(axis=(0, 2), dtype=np.float64)
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=5e-5)


@pytest.mark.slow
def test_cifar100():
    data = present("cifar100", [*cifar100.BATCHES.train, *cifar100.BATCHES.test])
    assert (data.n_classes, data.shape) == (100, (3, 32, 32))
    assert (np.bincount(data.y_train) == 500).all()
    assert (np.bincount(data.y_test) == 100).all()
    means = data.x_train.reshape(-1, 3, 1024).mean(axis=(0, 2), dtype=np.float64)
    np.testing.assert_allclose(means, [0.5071, 0.4865, 0.4409], atol=5e-5)


def test_braille():
    if not (cache.folder() / "braille" / "braille_taxels.npz").is_file():
        pytest.skip(f"braille is not in {cache.folder()}")
    data = load("braille")
    assert data.shape == (77, 12)
    assert data.n_classes == 27
    assert len(data.y_train) == 1080
    assert set(np.bincount(data.y_test)) == {10}
    assert data.x_train.min() == 0
    assert data.x_train.max() <= 1


def nmnist_file(folder, time, neuron, sample, y):
    (folder / "nmnist-small").mkdir()
    both = {
        f"{what}_{part}": array for part in ("train", "test")
        for what, array in (("time", time), ("neuron", neuron), ("sample", sample), ("y", y))
    }  # fmt: skip
    np.savez(folder / "nmnist-small" / "nmnist-small.npz", **both)


def test_nmnist_pools_its_pixels_and_holds_out_a_test_set(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALDFA_DATA", str(tmp_path))
    y = np.repeat([0, 1], 10)
    # Four in a block; right of it; below it; the last of all.
    pixels = np.array([0, 2, 2 * 34, 2 * 34 + 2, 3, 3 * 34, 1156 + 34 * 33 + 33])
    time, sample = np.tile(np.arange(7) + 0.1, 20), np.repeat(np.arange(20), 7)
    nmnist_file(tmp_path, time, np.tile(pixels, 20), sample, y)
    data = load("nmnist-small")
    assert data.shape == (288,)
    assert [len(data.y_train), len(data.y_test)] == [28, 12]
    assert (np.bincount(data.y_test) == 6).all()
    for part in (data.x_train, data.x_test):
        counts = part[3:4]
        assert list(counts.neuron) == [0, 0, 0, 0, 1, 12, 287]
        np.testing.assert_allclose(counts.time, np.arange(7) + 0.1, rtol=1e-12)


def test_nmnist_says_where_its_file_goes_and_what_is_no_pixel(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALDFA_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"nmnist-small\.npz: no such file; nmnist-small cannot be downloaded: put"):
        load("nmnist-small")
    nmnist_file(tmp_path, np.ones(2), np.array([0, 2312]), np.arange(2), np.arange(2))
    with pytest.raises(DataError, match=r"neuron_train has 2312; allowed: a pixel of N-MNIST, 0 \.\. 2311"):
        load("nmnist-small")


def test_nmnist():
    if not (cache.folder() / "nmnist-small" / "nmnist-small.npz").is_file():
        pytest.skip(f"nmnist-small is not in {cache.folder()}")
    data = load("nmnist-small")
    assert (data.n_classes, data.shape) == (10, (288,))
    assert (len(data.y_train), len(data.y_test)) == (769, 331)
    assert max(data.x_train.time.max(), data.x_test.time.max()) < 105


def test_braille_says_where_its_file_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALDFA_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"braille_taxels\.npz: no such file; braille cannot be downloaded: put the arrays"):
        load("braille")
