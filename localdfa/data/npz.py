"""The user's own data: arrays in a numpy .npz file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.data.dataset import Source, checked_labels
from localdfa.data.trains import Trains
from localdfa.errors import DataError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_SPIKES = tuple(f"{what}_{part}" for part in ("train", "test") for what in ("time", "neuron", "sample", "y"))
_LARGEST = 16 * 2**30  # bytes, decompressed
_MOST_NEURONS = 1_000_000


def load(path: Path, *, in_unit_range: bool) -> Source:
    """Read a data set from a .npz file; pickled content is never opened.

    The file holds four arrays and no other. `x_train` and `x_test` have the shape (n, n_features) or
    (n, channels, height, width) and hold real numbers, integers or booleans. `y_train` and `y_test` have the shape
    (n,) and hold integers from 0. There are max(y_train) + 1 classes, at least two and at most as many as there are
    training samples; a class may be absent from either part, but the test set may not hold a higher label.

    Inputs are taken as they are. Which factor brings them to [0, 1] cannot be known from a file: a maximum of 200
    may mean a range of 200 or of 255, and it may differ between training and test. So inputs outside [0, 1] are
    refused rather than guessed at, unless they are about to be whitened.

    Or the file holds spike trains (``input.code = "trains"``), in eight arrays and no other: `y_train` and `y_test` as
    above, and of either part, with one entry a spike, in any order,

    - `time_train`, `time_test`, (n_spikes,), real numbers: when it comes, ms from the onset of the trial, at least 0;
    - `neuron_train`, `neuron_test`, (n_spikes,), integers: which input neuron sends it, from 0;
    - `sample_train`, `sample_test`, (n_spikes,), integers: in which sample, by its place in `y_train` or `y_test`.

    A sample may have no spikes. There are max(neuron_train) + 1 input neurons, at most a million; the test set may not hold
    a higher one.

    Parameters
    ----------
    path : Path
        The file.
    in_unit_range : bool
        Refuse inputs outside [0, 1]; otherwise any finite input is accepted. Of no concern to spike trains.

    Returns
    -------
    Source

    Raises
    ------
    DataError
        The file is missing, damaged or different from the above; the message gives file, array and index.
    """
    arrays = _arrays(path)
    if "time_train" in arrays:
        return _spike_trains(arrays, path)
    for key in ("x_train", "x_test"):
        _check_inputs(arrays[key], f"{path}: {key}", in_unit_range)
    for part in ("train", "test"):
        _check_labels(arrays[f"y_{part}"], len(arrays[f"x_{part}"]), f"{path}: y_{part}")
    x_train, y_train, x_test, y_test = (arrays[key] for key in _KEYS)
    shape = x_train.shape[1:]
    if x_test.shape[1:] != shape:
        raise DataError(f"{path}: one sample has the shape {shape} in x_train and {x_test.shape[1:]} in x_test")
    n_classes = _count_classes(y_train, f"{path}: y_train")
    return Source(
        x_train.reshape(len(x_train), -1),
        checked_labels(y_train, n_classes, f"{path}: y_train"),
        x_test.reshape(len(x_test), -1),
        checked_labels(y_test, n_classes, f"{path}: y_test"),
        n_classes,
        shape,
        scale=1.0,
    )


def _spike_trains(arrays: dict[str, NDArray[Any]], path: Path) -> Source:
    """A data set of spike trains."""
    for part in ("train", "test"):
        for key in ("time", "neuron", "sample"):
            _check_events(arrays[f"{key}_{part}"], key == "time", f"{path}: {key}_{part}")
            if len(arrays[f"{key}_{part}"]) != len(arrays[f"time_{part}"]):
                raise DataError(
                    f"{path}: {key}_{part} has {len(arrays[f'{key}_{part}'])} entries and time_{part} "
                    f"{len(arrays[f'time_{part}'])}: both need one a spike"
                )
        y = arrays[f"y_{part}"]
        _check_labels(y, y.size, f"{path}: y_{part}")
        if not y.size:
            raise DataError(f"{path}: y_{part} is empty: it must have one label per sample")
    if not arrays["neuron_train"].size:
        raise DataError(f"{path}: time_train is empty: a training set needs spikes")
    highest = int(arrays["neuron_train"].max())
    n_classes = _count_classes(arrays["y_train"], f"{path}: y_train")
    found: dict[str, Any] = {}
    for part, limit in (("train", _MOST_NEURONS - 1), ("test", highest)):
        time, neuron, sample, y = (arrays[f"{key}_{part}"] for key in ("time", "neuron", "sample", "y"))
        _check_index(neuron, limit, f"{path}: neuron_{part}", "an input neuron" if part == "train" else "one of training")
        _check_index(sample, len(y) - 1, f"{path}: sample_{part}", f"a sample, of which y_{part} has {len(y)},")
        found[f"x_{part}"] = Trains(sample, neuron, time, len(y), min(highest, _MOST_NEURONS - 1) + 1)
        found[f"y_{part}"] = checked_labels(y, n_classes, f"{path}: y_{part}")
    return Source(**found, n_classes=n_classes, shape=(highest + 1,), scale=1.0)


def _check_events(array: NDArray[Any], is_time: bool, where: str) -> None:
    """Check dtype and shape of times or indices, and the values of times."""
    if array.dtype.kind not in ("fiu" if is_time else "iu"):
        needed = "times, in ms, must be real numbers" if is_time else "indices must be integers"
        raise DataError(f"{where} has the dtype {array.dtype}: {needed}")
    if array.ndim != 1:
        raise DataError(f"{where} has the shape {array.shape}: it must be (n_spikes,)")
    if is_time and array.size:
        with np.errstate(over="ignore"):
            wrong = ~(np.isfinite(array.astype(np.float64)) & (array >= 0))
        if wrong.any():
            raise DataError(f"{_first(wrong, array, where)}: a time must be finite and at least 0 ms")


def _check_index(array: NDArray[np.integer], highest: int, where: str, what: str) -> None:
    """Check that indices lie in 0 .. highest; what: they are the index of."""
    wrong = (array < 0) | (array > highest)
    if wrong.any():
        raise DataError(f"{_first(wrong, array, where)}: the index of {what} must lie in 0 .. {highest}")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the four arrays, or the eight of spike trains."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: not a .npz file: write one with numpy.savez, as {', '.join(_KEYS)}")
            keys = _SPIKES if set(archive.files) & (set(_SPIKES) - set(_KEYS)) else _KEYS
            _check_contents(archive, keys, path)
            return {key: _array(archive, key, path) for key in keys}
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise many types of errors for a damaged file
        raise DataError(f"{path}: not a readable .npz file without pickles: {error}") from error


def _check_contents(archive: "np.lib.npyio.NpzFile", keys: tuple[str, ...], path: Path) -> None:
    """Check the names in an archive, and the size that it takes when decompressed."""
    if missing := [key for key in keys if key not in archive.files]:
        raise DataError(f"{path}: the array {missing[0]} is missing; needed are {', '.join(keys)}")
    if len(archive.files) > len(keys):
        extra = next((key for key in archive.files if key not in keys), "one of them twice")
        raise DataError(f"{path}: an array too many, {extra!r}; only {', '.join(keys)} are used")
    size = sum(member.file_size for member in archive.zip.infolist()) if archive.zip else 0
    if size > _LARGEST:
        raise DataError(f"{path}: {size} bytes decompressed, more than the limit of {_LARGEST}")


def _array(archive: "np.lib.npyio.NpzFile", key: str, path: Path) -> NDArray[Any]:
    """Read one array."""
    try:
        array = archive[key]
    except Exception as error:  # as above; here the array is known
        raise DataError(f"{path}: {key} cannot be read without pickles or is damaged: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: {key} is not an array")
    return array


def _check_inputs(x: NDArray[Any], where: str, in_unit_range: bool) -> None:
    """Check dtype, shape and values of inputs."""
    if x.dtype.kind not in "fiub":
        raise DataError(f"{where} has the dtype {x.dtype}: inputs must be real numbers")
    if x.ndim not in (2, 4):
        raise DataError(f"{where} has the shape {x.shape}: it must be (n, n_features) or (n, channels, height, width)")
    if x.size == 0:
        raise DataError(f"{where} is empty: its shape is {x.shape}")
    if not (finite := np.isfinite(x)).all():
        raise DataError(f"{_first(~finite, x, where)} is not finite")
    if in_unit_range and (x.min() < 0 or x.max() > 1):
        raise DataError(
            f"{_first((x < 0) | (x > 1), x, where)} is outside [0, 1]: scale the inputs (divide bytes by 255), "
            "training and test alike, or set whiten"
        )


def _first(selected: NDArray[np.bool_], x: NDArray[Any], where: str) -> str:
    """Name the first selected value, as in 'file: x_train[3, 17] = 255'."""
    index = np.unravel_index(int(selected.argmax()), x.shape)
    return f"{where}[{', '.join(str(i) for i in index)}] = {x[index]}"


def _check_labels(y: NDArray[Any], count: int, where: str) -> None:
    """Check dtype and shape of labels."""
    if y.dtype.kind not in "iu":
        raise DataError(f"{where} has the dtype {y.dtype}: labels must be integers")
    if y.shape != (count,):
        raise DataError(f"{where} has the shape {y.shape}: it must be ({count},), one label per sample")


def _count_classes(y_train: NDArray[np.integer], where: str) -> int:
    """Count the classes up to the highest label."""
    highest = int(y_train.max())
    if not 1 <= highest < len(y_train):
        raise DataError(
            f"{where}[{int(y_train.argmax())}] = {highest} is the highest label: with {len(y_train)} training samples "
            f"it must lie in 1 .. {len(y_train) - 1}, as labels count the classes from 0"
        )
    return highest + 1
