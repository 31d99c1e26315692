"""Recordings of event cameras and other event sensors, as the library tonic gives them, become spike trains.

A recording is a structured array of events with the fields x, y, t and p: where, when, in µs, and of which polarity. Sensors in
a line, such as a cochlea, have no y. Nothing of tonic is imported: whatever gives pairs of such an array and a label will do.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from localdfa.data import labels
from localdfa.data.dataset import Source
from localdfa.data.trains import Trains
from localdfa.errors import DataError, quoted

# µs in a ms.
_MICRO = 1000
_MOST_NEURONS = 1_000_000


def from_events(
    train: Iterable[tuple[NDArray[Any], Any]],
    test: Iterable[tuple[NDArray[Any], Any]] | None = None,
    *,
    sensor_size: tuple[int, int, int] | None = None,
    block: int = 1,
    window: tuple[float, float] | None = None,
    polarity: Literal["channels", "merged"] = "channels",
    valid: Iterable[tuple[NDArray[Any], Any]] | None = None,
) -> Source:
    """Recordings of events with labels as data of `localdfa.run`, read once: each event is a spike of an input neuron.

    Parameters
    ----------
    train, test : iterable of (events, label)
        Data sets of tonic, or any pairs: structured arrays, shape (n_events,), with the fields ``x``, ``t`` (µs from the onset
        of the recording), and where the sensor has them ``y`` and ``p``; and labels, integers or text. Transforms of tonic
        that leave events are welcome. Without a test part there are no test samples.
    sensor_size : tuple of int, optional
        Width, height and number of polarities; that of `train`, as data sets of tonic say it, if left out.
    block : int
        So many pixels a side share an input neuron. A neuron then sends a spike for each event of its pixels.
    window : tuple of float, optional
        Begin and end, ms: what comes before or from the end on is left out, and times are counted from the begin.
    polarity : {"channels", "merged"}
        Whether each polarity has input neurons of its own, those of polarity 0 first.
    valid : iterable of (events, label), optional
        Recordings as `train`, which become the validation part.

    Returns
    -------
    Source
        For ``data=``; the network reads ``input.code = "trains"``. Neuron (p, y, x) has the index (p · height + y) · width + x,
        with the height and width in blocks. Times are float64, ms, exact to the µs.

    Raises
    ------
    DataError
        What is no recording or no label, by the part and its index; an event outside of the sensor or before 0; no events.

    Examples
    --------
    >>> import numpy as np
    >>> event = [("x", int), ("y", int), ("t", int), ("p", int)]
    >>> recordings = [(np.array([(0, 3, 1500, 1), (2, 0, 800, 0)], event), "left"), (np.array([(3, 3, 20, 1)], event), "right")]
    >>> found = from_events(recordings, sensor_size=(4, 4, 2), block=2)
    >>> found.x_train.shape, found.classes
    ((2, 8), ('left', 'right'))
    >>> [array.tolist() for array in found.x_train.events()]  # sample, neuron, ms
    [[0, 0, 1], [1, 6, 7], [0.8, 1.5, 0.02]]
    """
    size = _size(getattr(train, "sensor_size", None) if sensor_size is None else sensor_size)
    if isinstance(block, bool) or not isinstance(block, (int, np.integer)) or not 1 <= block <= max(size[:2]):
        raise DataError(f"block: {quoted(block)}; allowed: pixels a side, from 1 to {max(size[:2])}")
    if polarity not in ("channels", "merged"):
        raise DataError(f"polarity: {quoted(polarity)}; allowed: channels, merged")
    window = None if window is None else _window(window)
    width, height = (-(-pixels // int(block)) for pixels in size[:2])
    n_neurons = width * height * (size[2] if polarity == "channels" else 1)
    if n_neurons > _MOST_NEURONS:
        raise DataError(
            f"sensor_size: {size} makes {n_neurons} input neurons, more than {_MOST_NEURONS}; a larger block has fewer"
        )
    x, y = dict[str, Trains](), dict[str, NDArray[Any]]()
    for part, recordings in (("train", train), ("test", test), *([] if valid is None else [("valid", valid)])):
        # A part may have hundreds of millions of events: each recording is put in order by itself, and none is kept twice.
        neurons, times, targets = [np.zeros(0, np.int32)], [np.zeros(0)], list[Any]()
        for index, (events, label) in _pairs(recordings, part):
            where = f"{part}[{index}]"
            column, row, t, p = _fields(events, size, where)
            if window is not None:
                begin, end = (round(moment * _MICRO) for moment in window)
                inside = (begin <= t) & (t < end)
                column, row, t, p = column[inside], row[inside], t[inside] - begin, p[inside]
            channel = p if polarity == "channels" else 0
            neuron, time = (channel * height + row // block) * width + column // block, t / _MICRO
            order = np.lexsort((neuron, time))
            neurons.append(neuron[order].astype(np.int32))
            times.append(time[order])
            targets.append(_label(label, where))
        counts = np.array([len(each) for each in times[1:]], np.int64)
        time = np.concatenate(times)
        times.clear()
        x[part] = Trains.in_order(np.concatenate(neurons).astype(np.int64), time, counts, n_neurons)
        y[part] = np.array(targets)
    if not len(x["train"].time):
        raise DataError(f"train: {len(y['train'])} recordings without an event{' in the window' * bool(window)}")
    if valid is not None and not len(y["valid"]):
        raise DataError("valid: no recordings; allowed: at least one, or leave it out")
    notes = []
    if not len(y["test"]):
        y["test"] = y["train"][:0]
        of = "the training part alone" if valid is None else "training and validation alone"
        notes.append(f"there is no test part, so errors are those of {of}")
    encoded = labels.encode(y, "labels")
    if encoded.note:
        notes.append(encoded.note)
    return Source(
        x["train"], encoded.y["train"], x["test"], encoded.y["test"], len(encoded.classes), (n_neurons,), 1.0, encoded.classes,
        tuple(notes), "us", x_valid=x.get("valid"), y_valid=encoded.y.get("valid"),
    )  # fmt: skip


def _size(given: Any) -> tuple[int, int, int]:
    """Width, height and polarities of a sensor."""
    if given is None:
        raise DataError("sensor_size: the recordings do not say it; give width, height and the number of polarities")
    try:
        width, height, polarities = (operator.index(each) for each in given)
    except (TypeError, ValueError):
        raise DataError(f"sensor_size: {quoted(given)}; allowed: width, height and the number of polarities") from None
    if min(width, height, polarities) < 1:
        raise DataError(f"sensor_size: {quoted(given)}; allowed: three numbers of at least 1")
    return width, height, polarities


def _window(given: Any) -> tuple[float, float]:
    """Begin and end of a window, ms."""
    try:
        begin, end = given
        if 0 <= begin < end < np.inf:
            return begin, end
    except (TypeError, ValueError):  # no two of them, or no numbers
        pass
    raise DataError(f"window: {quoted(given)}; allowed: begin and end, ms, from 0")


def _pairs(recordings: Any, part: str) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """The recordings of a part with their index; data sets of tonic have a length, and no end otherwise."""
    if recordings is None:
        return
    if isinstance(recordings, Mapping) or not (hasattr(recordings, "__getitem__") or isinstance(recordings, Iterable)):
        raise DataError(f"{part}: {quoted(recordings)}; allowed: pairs of events and a label, as a list of them")
    entries = (recordings[i] for i in range(len(recordings))) if hasattr(recordings, "__getitem__") else iter(recordings)
    for index, pair in enumerate(entries):
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise DataError(f"{part}[{index}]: {type(pair).__name__}; allowed: a pair of events and a label")
        yield index, (pair[0], pair[1])


def _fields(events: Any, size: tuple[int, int, int], where: str) -> list[NDArray[np.int64]]:
    """x, y, t and p of a recording; y and p are 0 where the sensor has none."""
    names = getattr(getattr(events, "dtype", None), "names", None)
    if names is None or not {"x", "t"} <= {*names}:
        has = f"fields {', '.join(names)}" if names else type(events).__name__
        raise DataError(f"{where}: {has}; allowed: a structured array with the fields x, y, t and p, as tonic has it")
    found = []
    for name, limit in (("x", size[0]), ("y", size[1]), ("t", None), ("p", size[2])):
        if name not in names:
            if limit != 1 and not (name == "p" and size[2] == 1):
                raise DataError(f"{where}: has no field {name}, of which the sensor has {limit}")
            found.append(np.zeros(len(events), np.int64))
            continue
        values = np.atleast_1d(events[name])
        exact = labels.whole(values.astype(np.int64) if values.dtype.kind == "b" else values)
        if exact is None:
            raise DataError(f"{where}: field {name} has the dtype {values.dtype}; allowed: whole numbers, t in µs")
        wrong = (exact < 0) | (exact >= (2**53 if limit is None else limit))
        if wrong.any():
            i = int(wrong.argmax())
            allowed = "a time must be at least 0" if limit is None else f"it must lie in 0 .. {limit - 1}"
            raise DataError(f"{where}: event {i} has {name} = {exact[i]}: {allowed}")
        found.append(exact)
    return found


def _label(label: Any, where: str) -> Any:
    """A label as NumPy has it: a number, or text."""
    value = np.asarray(label)
    if value.ndim or value.dtype.kind not in "biuU":
        raise DataError(f"{where}: label {quoted(label)}; allowed: a whole number or a text")
    return value.item()
