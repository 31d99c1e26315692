"""The user's own data: arrays in a numpy .npz file."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.data import axes as of_axes
from localdfa.data import events, labels, numbers
from localdfa.data.dataset import Source
from localdfa.errors import DataError

PARTS = ("train", "valid", "test")
_KEYS = tuple(f"{what}_{part}" for part in PARTS for what in ("x", "y"))
_SPIKES = tuple(f"{what}_{part}" for part in PARTS for what in ("time", "neuron", "sample", "y"))
_NEEDED = ", ".join(key for key in _KEYS if not key.endswith("valid"))
_AXES, _UNIT = "axes", "time_unit"
_LARGEST = 16 * 2**30  # bytes, decompressed
# What a .npz file begins with, be it empty.
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# What objects become that stand for numbers.
_PLAIN = {"x": "float", "time": "float", "neuron": "int", "sample": "int"}
# So many units in the last place an input may lie outside [0, 1] before it counts as more than rounding.
_ROUNDING = 4


def load(path: Path, regression: bool = False) -> Source:
    """Read a data set from a .npz file; pickled content is never opened.

    The file holds four arrays, or six. `x_train` and `x_test` hold real numbers, integers or booleans, all finite, and have the
    shape (n, n_features) or (n, channels, rows, columns). What other axes there are, an entry `axes` says: the names, in their
    order, of one of

        samples features        samples channels rows columns        samples rows columns
        samples frames channels        samples frames

    so that ``axes = "samples frames channels"`` makes time series of x, and ``axes = "samples rows columns channels"`` pictures
    whose channels come last. A shape that could mean two of these is refused without it.

    `y_train` and `y_test` have the shape (n,) and hold integers, floats that are whole numbers, booleans, or names. The classes
    are the sorted distinct labels of the training part; the test part may have no other, and need not have all. Of a regression
    they have the shape (n,) or (n, n_out) and hold floats or integers, finite, which are taken as they are.

    `x_valid` and `y_valid`, which may be left out, are as those of the test part: a validation part of one's own, in place of
    one that `preprocess.validation` draws.

    Inputs are taken as they are, whatever their range: which factor brings them to [0, 1] cannot be known from a file. Input
    codes that need [0, 1] refuse others by themselves. What lies outside [0, 1] by rounding alone is set to 0 or 1.

    Or the file holds spike trains (``input.code = "trains"``), in eight arrays: `y_train` and `y_test` as above, and of either
    part, with one entry a spike, in any order,

    - `time_train`, `time_test`, (n_spikes,), real numbers: when it comes, from the onset of the trial, at least 0, in ms, or
      in what an entry `time_unit` says, ``"s"``, ``"ms"`` or ``"us"``;
    - `neuron_train`, `neuron_test`, (n_spikes,), whole numbers: which input neuron sends it, from 0;
    - `sample_train`, `sample_test`, (n_spikes,), whole numbers: in which sample, by its place in `y_train` or `y_test`.

    A validation part is four more, `time_valid` and so on. A sample may have no spikes. There are max(neuron_train) + 1 input
    neurons, at most a million; other parts may not hold a higher one.

    Parameters
    ----------
    path : Path
        The file.
    regression : bool
        Whether `y_train` and the others are numbers to be fitted, and not labels.

    Returns
    -------
    Source
        Its notes say what was changed in the inputs, or is unusual in the targets.

    Raises
    ------
    DataError
        The file is missing, damaged or different from the above; the message gives file, array and index.
    """
    return _source(_arrays(path), path, regression)


def source(arrays: dict[str, NDArray[Any]], where: str, regression: bool = False) -> Source:
    """A data set of arrays that no file holds; where: what messages name in place of the file. The rest as of `load`.

    Of arrays that are no spike trains the test part may be left out; there are then no test samples.

    Raises
    ------
    DataError
        Arrays are missing, too many, or not what `load` says.
    """
    spikes = bool(set(arrays) & (set(_SPIKES) - set(_KEYS)))
    keys, extra = (_SPIKES, _UNIT) if spikes else (_KEYS, _AXES)
    _check_names(arrays, keys, extra, where, tested=spikes or bool(set(arrays) & {"x_test", "y_test"}))
    return _source(dict(arrays), where, regression)


def _check_names(names: Collection[str], keys: tuple[str, ...], extra: str, where: object, tested: bool) -> None:
    """Refuse arrays that are missing or too many.

    keys: of all parts; a validation part may be left out as a whole, and so may the test part unless there has to be one,
    `tested`. extra: a name that may be there.
    """
    validated = any(key in names for key in keys if key.endswith("_valid"))
    parts = {"train", *["valid"] * validated, *["test"] * tested}
    needed = [key for key in keys if key.rpartition("_")[2] in parts]
    if missing := [key for key in needed if key not in names]:
        raise DataError(f"{where}: the array {missing[0]} is missing; needed are {', '.join(needed)}")
    if more := [key for key in names if key not in (*keys, extra)]:
        raise DataError(f"{where}: an array too many, {more[0][:60]!r}; only {', '.join(keys)} are used, and {extra}")


def _source(arrays: dict[str, NDArray[Any]], path: Path | str, regression: bool) -> Source:
    """A data set of the arrays that there are, of which none is too many; path: of the file, for messages."""
    if "time_train" in arrays:
        return _spike_trains(arrays, path, regression)
    axes, notes = of_axes.named(arrays.get(_AXES), f"{path}: {_AXES}"), list[str]()
    x = dict[str, NDArray[Any]]()
    for part in (part for part in PARTS if f"x_{part}" in arrays):
        where = f"{path}: x_{part}"
        x[part] = inputs(of_axes.in_order(arrays[f"x_{part}"], axes, where), where, f"x_{part}", notes)
        _check_shape(arrays[f"y_{part}"], len(x[part]), f"{path}: y_{part}", regression)
    if "test" not in x:
        x["test"], arrays["y_test"] = x["train"][:0], arrays["y_train"][:0]
        of = "training and validation alone" if "valid" in x else "the training part alone"
        notes.append(f"there is no test part, so errors are those of {of}")
    shape = x["train"].shape[1:]
    if other := next((part for part in x if x[part].shape[1:] != shape), None):
        raise DataError(f"{path}: one sample has the shape {shape} in x_train and {x[other].shape[1:]} in x_{other}")
    y, classes = _targets(arrays, path, notes, regression)
    x = {part: array.reshape(len(array), math.prod(shape)) for part, array in x.items()}
    return Source(
        x["train"],
        y["train"],
        x["test"],
        y["test"],
        len(classes),
        shape,
        scale=1.0,
        classes=classes,
        notes=tuple(notes),
        x_valid=x.get("valid"),
        y_valid=y.get("valid"),
    )


def _spike_trains(arrays: dict[str, NDArray[Any]], path: Path | str, regression: bool) -> Source:
    """A data set of spike trains."""
    unit, notes = events.unit(arrays.get(_UNIT), f"{path}: {_UNIT}"), list[str]()
    parts = [part for part in PARTS if f"y_{part}" in arrays]
    for part in parts:
        given = arrays[f"y_{part}"]
        _check_shape(given, len(given) if regression and given.ndim else given.size, f"{path}: y_{part}", regression)
        if not given.size:
            raise DataError(f"{path}: y_{part} is empty: it must have one {'number' if regression else 'label'} per sample")
    x = events.read(arrays, parts, unit, path)
    y, classes = _targets(arrays, path, notes, regression)
    return Source(
        x["train"],
        y["train"],
        x["test"],
        y["test"],
        len(classes),
        shape=(x["train"].width,),
        scale=1.0,
        classes=classes,
        notes=tuple(notes),
        time_unit=unit,
        x_valid=x.get("valid"),
        y_valid=y.get("valid"),
    )


def _targets(
    arrays: dict[str, NDArray[Any]], path: Path | str, notes: list[str], regression: bool
) -> tuple[Mapping[str, NDArray[Any]], tuple[str, ...]]:
    """The targets of each part: numbers, or labels and the names of their classes."""
    parts = {part: arrays[f"y_{part}"] for part in PARTS if f"y_{part}" in arrays}
    if regression:
        y = numbers.read(parts, path)
        if arrays["y_train"].dtype.kind in "iu":
            notes.append("y_train: whole numbers, which are fitted as numbers: they are not taken for classes")
        return y, ()
    found = labels.encode(parts, path)
    if found.note:
        notes.append(found.note)
    if (size := len(arrays["y_train"]) * len(found.classes) * 8) > _LARGEST:
        raise DataError(f"{path}: y_train: {len(found.classes)} classes need {size} bytes, more than the limit of {_LARGEST}")
    return found.y, found.classes


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of all parts, and the entry that may go with them."""
    try:
        if not path.is_file():
            raise DataError(f"data = 'npz:…': {path}: {'a folder, and no file' if path.is_dir() else 'no such file'}")
        with path.open("rb") as file:
            if not file.read(4).startswith(_MAGIC):
                raise DataError(f"{path}: not a .npz file: write one with numpy.savez, of the arrays {_NEEDED}")
            file.seek(0)
            archive: np.lib.npyio.NpzFile = np.load(file, allow_pickle=False)
            spikes = bool(set(archive.files) & (set(_SPIKES) - set(_KEYS)))
            keys, extra = (_SPIKES, _UNIT) if spikes else (_KEYS, _AXES)
            _check_contents(archive, keys, extra, path)
            return {key: _array(archive, key, path) for key in (*keys, extra) if key in archive.files}
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise many types of errors for a damaged file
        raise DataError(f"{path}: {_damaged('the file', error)}") from error


def _check_contents(archive: "np.lib.npyio.NpzFile", keys: tuple[str, ...], extra: str, path: Path) -> None:
    """Check the names in an archive, and the size that it takes when decompressed; extra: a name that may be there."""
    _check_names(archive.files, keys, extra, path, tested=True)
    if len(archive.files) > len(set(archive.files)):
        raise DataError(f"{path}: an array too many, 'one of them twice'; only {', '.join(keys)} are used, and {extra}")
    size = sum(member.file_size for member in archive.zip.infolist()) if archive.zip else 0
    if size > _LARGEST:
        raise DataError(f"{path}: {size} bytes decompressed, more than the limit of {_LARGEST}")


def _array(archive: "np.lib.npyio.NpzFile", key: str, path: Path) -> NDArray[Any]:
    """Read one array."""
    try:
        if _holds_objects(archive, key):
            kind = _PLAIN.get(key.partition("_")[0], "str")
            raise DataError(
                f"{path}: {key} holds Python objects, as a column of pandas may, which are not read from a file: save "
                f"{key}.astype({kind}) in its place"
            )
        array = archive[key]
    except DataError:
        raise
    except Exception as error:  # as above; here the array is known
        raise DataError(f"{path}: {_damaged(key, error)}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: {key} is not an array")
    return array


def _holds_objects(archive: "np.lib.npyio.NpzFile", key: str) -> bool:
    """Whether an array is one of Python objects, by its header alone."""
    if archive.zip is None or f"{key}.npy" not in archive.zip.namelist():
        return False
    with archive.zip.open(f"{key}.npy") as member:
        if member.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            return False
        version = tuple(member.read(2))
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return bool(read(member)[2].hasobject)


def _damaged(what: str, error: Exception) -> str:
    """That something is damaged, how it shows, in one line, for it may repeat what stands in the file, and what to do."""
    shown = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{what} is damaged or was not written to its end ({shown}); write the file again with numpy.savez, or copy it again"


def inputs(x: NDArray[Any], where: str, name: str, notes: list[str]) -> NDArray[Any]:
    """Inputs, checked, without the rounding that led out of [0, 1], which is noted; where, name: of the array, for messages."""
    if x.dtype.kind not in "fiub":
        raise DataError(f"{where} has the dtype {x.dtype}: inputs must be real numbers")
    if x.size == 0:
        raise DataError(f"{where} is empty: its shape is {x.shape}")
    given = x
    if x.dtype.itemsize > 8:  # longer doubles have values that no float64 has, and bit patterns that are no number
        with np.errstate(all="ignore"):
            x = x.astype(np.float64)
    if not (finite := np.isfinite(x)).all():
        index = np.unravel_index(int(finite.argmin()), x.shape)
        by_sample = given.reshape(given.shape[0] if given.ndim else 1, -1)
        feature = by_sample[:, int(finite.argmin()) % by_sample.shape[1]]
        raise DataError(f"{where}[{', '.join(map(str, index))}] = {given[index]} is not finite{cause(feature)}")
    if x.dtype.kind != "f":
        return x
    slack = _ROUNDING * np.finfo(x.dtype).eps
    beyond = max(-float(x.min()), float(x.max()) - 1)
    if not 0 < beyond <= slack:
        return x
    number = int(((x < 0) | (x > 1)).sum())
    values = f"{number} values lie" if number > 1 else "one value lies"
    notes.append(f"{name}: {values} outside [0, 1] by rounding alone, at most {beyond:.1g}: set to 0 or 1")
    return np.clip(x, 0, 1)


def cause(feature: NDArray[Any]) -> str:
    """What most likely made the first entry of one feature (n,) that is not finite, and what to do, as the end of a message."""
    if not np.isnan(feature[int(np.isfinite(feature).argmin())]):
        return ""
    if np.isnan(feature).all() and len(feature) > 1:
        return (
            "; a feature that is constant and was standardised gives 0/0: leave it out, or add 1e-9 to its standard deviation"
        )
    return "; is a value missing? Leave out its sample, as frame.dropna() does, or fill it in, as scikit-learn's SimpleImputer"


def _check_shape(y: NDArray[Any], count: int, where: str, regression: bool) -> None:
    """Check that there is a label for each sample, or one number or more."""
    if regression:
        if y.shape[:1] != (count,) or y.ndim > 2 or not y.size:
            raise DataError(f"{where} has the shape {y.shape}: it must be ({count},) or ({count}, n_out), numbers a sample")
    elif y.shape != (count,):
        one_hot = y.ndim == 2 and len(y) == count and count and y.shape[1] > 1 and bool(((y != 0).sum(axis=1) == 1).all())
        meant = (
            "; of one column: y.ravel()" if y.shape == (count, 1) else "; of one-hot rows: y.argmax(axis=1)" if one_hot else ""
        )
        raise DataError(f"{where} has the shape {y.shape}: it must be ({count},), one label per sample{meant}")
