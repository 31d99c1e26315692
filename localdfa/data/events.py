"""The user's own spike trains: three arrays with an entry a spike become samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.data.labels import whole
from localdfa.data.trains import Trains
from localdfa.errors import DataError, quoted

_MOST_NEURONS, _MOST_SAMPLES = 1_000_000, 100_000_000
_OF_SPIKES = ("time", "neuron", "sample")
# ms
_UNITS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3}  # the micro sign, and the Greek letter


def unit(entry: NDArray[Any] | None, where: str, of: str = "time_train and time_test") -> str | None:
    """The unit in a file's entry `time_unit`, or None where there is none; of: what has the unit, for messages.

    Raises
    ------
    DataError
        It is not one of ``s``, ``ms``, ``us`` and ``µs``.
    """
    if entry is None:
        return None
    try:
        text = str(entry.item()) if entry.size == 1 and entry.dtype.kind == "U" else ""
    except (ValueError, SystemError):  # code points that no character has
        text = ""
    if text not in _UNITS:
        raise DataError(f"{where} = {text[:20]!a}: the unit of {of}; allowed: 's', 'ms', 'us'")
    return text


def read(
    arrays: dict[str, NDArray[Any]], parts: Sequence[str], in_unit: str | None, path: object
) -> dict[str, Trains]:  # fmt: skip
    """The spike trains of each part.

    Parameters
    ----------
    arrays : dict
        `time`, `neuron`, `sample`, each with `_train` and so on, shape (n_spikes,); `y_train` and so on, of which only the
        lengths count.
    parts : sequence of str
        ``train``, and the others that there are, ``valid`` and ``test``.
    in_unit : str or None
        Of the times; ms if None.
    path : Path
        The file, for messages.

    Raises
    ------
    DataError
        Dtype, shape or value of an array is not what `npz.load` says.
    """
    scale = _UNITS[in_unit or "ms"]
    events = {part: _events(arrays, f"_{part}", scale, path) for part in parts}
    if not events["train"][1].size:
        raise DataError(f"{path}: time_train is empty: a training set needs spikes")
    highest, found = int(events["train"][1].max()), dict[str, Trains]()
    for part in parts:
        limit = _MOST_NEURONS - 1 if part == "train" else highest
        time, neuron, sample = events[part]
        count = len(arrays[f"y_{part}"])
        _check_index(neuron, limit, f"{path}: neuron_{part}", "an input neuron" if part == "train" else "one of training")
        _check_index(sample, count - 1, f"{path}: sample_{part}", f"a sample, of which y_{part} has {count},")
        found[part] = Trains(sample, neuron, time, count, highest + 1)
    return found


def new(given: Mapping[str, Any], width: int) -> Trains:
    """Spike trains that are no part of a data set.

    given: ``time`` in ms, or in the unit of an entry ``time_unit``, ``neuron`` and ``sample``, each (n_spikes,); and ``count``,
    of samples, by default one more than the highest of `sample`. width: number of input neurons.

    Raises
    ------
    DataError
        They are not that.
    """
    if not {*_OF_SPIKES} <= {*given} <= {*_OF_SPIKES, "count", "time_unit"}:
        raise DataError(
            f"x: a dict of {', '.join(map(repr, map(str, given)))}; allowed: of spike trains, 'time', 'neuron' and 'sample', "
            "with an entry a spike, and where need be 'count', of samples, and 'time_unit'"
        )
    try:
        arrays = {key: np.asarray(given[key]) for key in _OF_SPIKES}
    except ValueError:
        raise DataError("x: time, neuron and sample; in rows of several lengths; allowed: an entry a spike") from None
    scale = _UNITS[unit(np.asarray(given["time_unit"]) if "time_unit" in given else None, "x: time_unit", "time") or "ms"]
    time, neuron, sample = _events(arrays, "", scale, "x")
    count = given.get("count", int(sample.max(initial=-1)) + 1)
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 0 <= count <= _MOST_SAMPLES:
        of = "count" if "count" in given else "sample"
        raise DataError(f"x: {of}: {quoted(count)} samples; allowed: a whole number of them, up to {_MOST_SAMPLES:,}")
    count = int(count)
    if not count:
        raise DataError("x: there are no spikes; allowed with 'count', of samples without any")
    _check_index(neuron, width - 1, "x: neuron", "an input neuron")
    _check_index(sample, count - 1, "x: sample", f"a sample, of which there are {count},")
    return Trains(sample, neuron, time, count, width)


def _events(
    arrays: dict[str, NDArray[Any]], suffix: str, scale: float, path: object
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Times, ms, neurons and samples of one part; suffix: what the names of its arrays end with."""
    for key in _OF_SPIKES:
        array, where = arrays[f"{key}{suffix}"], f"{path}: {key}{suffix}"
        if array.dtype.kind not in "fiu":
            needed = "times must be real numbers" if key == "time" else "indices must be integers"
            raise DataError(f"{where} has the dtype {array.dtype}: {needed}")
        if array.ndim != 1:
            raise DataError(f"{where} has the shape {array.shape}: it must be (n_spikes,)")
        if len(array) != len(arrays[f"time{suffix}"]):
            raise DataError(
                f"{where} has {len(array)} entries and time{suffix} {len(arrays[f'time{suffix}'])}: both need one a spike"
            )
    given = arrays[f"time{suffix}"]
    with np.errstate(all="ignore"):
        time = given.astype(np.float64)
        time = time if scale == 1 else time * scale
        wrong = ~(np.isfinite(time) & (time >= 0))
    if wrong.any():
        i = int(wrong.argmax())
        raise DataError(f"{path}: time{suffix}[{i}] = {given[i]}: a time must be finite and at least 0")
    neuron, sample = (_indices(arrays[f"{key}{suffix}"], f"{path}: {key}{suffix}") for key in ("neuron", "sample"))
    return time, neuron, sample


def _indices(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Indices as int64."""
    if (found := whole(array)) is None:
        raise DataError(f"{where} has the dtype {array.dtype}: indices must be integers below 2^53")
    return found


def _check_index(array: NDArray[np.int64], highest: int, where: str, what: str) -> None:
    """Check that indices lie in 0 .. highest; what: they are the index of."""
    wrong = (array < 0) | (array > highest)
    if wrong.any():
        i = int(wrong.argmax())
        raise DataError(f"{where}[{i}] = {array[i]}: the index of {what} must lie in 0 .. {highest}")
