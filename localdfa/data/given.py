"""The user's own data as a script or notebook has them: arrays, or frames of pandas or polars."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.data import events, npz
from localdfa.data.dataset import Source
from localdfa.errors import DataError, quoted

# The name that stands in a spec for data that no file holds.
NAME = "arrays"
_FORMS = (
    "(x, y) or (x, y, x_test, y_test), arrays; (frame, target) or (frame, target, test_frame), target the name of a column, or "
    "a list of some; or a dict of arrays or frames as `npz:PATH` has them, where a validation part is x_valid and y_valid, and "
    "of frames y_train may be the name of a column"
)
# What lists of unequal length most likely are.
_RAGGED = "; spike trains are given as a dict of three arrays, time_train, neuron_train and sample_train, with an entry a spike"


def source(given: Any, regression: bool = False) -> Source:
    """A data set of what is given for it.

    Parameters
    ----------
    given : tuple, dict or Source
        ``(x, y)`` or ``(x, y, x_test, y_test)``, arrays or what NumPy makes arrays of; ``(frame, target)`` or ``(frame, target,
        test_frame)``, target the name of a column, or of a regression a list of them, and all other columns the inputs; or a
        dict of the arrays that a file has (`localdfa.data.npz`), with ``axes``, or of spike trains, of which the test part may
        be left out unless they are spike trains. ``x_valid`` and ``y_valid`` there are a validation part. In the place of x
        frames may stand, and ``y_train`` is then an array, or the name of the target column, or a list of names, which every
        frame has. A `Source` is taken as it is.
    regression : bool
        Whether the targets are numbers to be fitted, and not labels.

    Returns
    -------
    Source
        Without a test part it has no test samples, and says so in its notes.

    Raises
    ------
    DataError
        It is none of these, or not what a file might hold; the message names the part, or the column.

    Examples
    --------
    >>> import numpy as np
    >>> found = source((np.eye(4), ["a", "b", "a", "b"]))
    >>> found.shape, found.classes, len(found.y_test)
    ((4,), ('a', 'b'), 0)
    """
    if isinstance(given, Source):
        return given
    if isinstance(given, str):
        raise DataError(
            f"data: {quoted(given)} is no array, but the name of a data set, or a path: say it in the experiment, as "
            f"{{'data': {quoted(given)}}}"
        )
    if not isinstance(given, (tuple, list, Mapping)):
        raise DataError(f"data: {type(given).__name__}; allowed: {_FORMS}")
    entries, features = _of_dict(dict(given)) if isinstance(given, Mapping) else _by_name(tuple(given))
    if _is_frame(entries.get("x_train")):
        features = _names(entries["x_train"])
        for part in ("x_valid", "x_test"):
            if _is_frame(frame := entries.get(part)):
                columns = _columns(frame, features, f"data: the frame of {part}", ", which that of x_train has")
                entries[part] = _table(frame, columns, "data")
    arrays = {str(key): _array(value, str(key)) for key, value in entries.items()}
    return npz.source(arrays, "data", regression)._replace(features=features)


def require_unmasked(value: Any, where: str) -> None:
    """Refuse masked entries, whose values stand for nothing and would be learned from.

    Raises
    ------
    DataError
        The message begins with `where`.
    """
    if np.ma.is_masked(value):
        first = tuple(int(i[0]) for i in np.nonzero(np.ma.getmaskarray(value)))
        raise DataError(
            f"{where}: entry {', '.join(map(str, first))} is masked; allowed: numbers, as array.filled(value) has them, or the "
            "rows without such entries"
        )


def _names(frame: Any) -> tuple[str, ...]:
    """The names of the columns of a frame."""
    return tuple(map(str, frame.columns))


def new(x: Any, features: Sequence[str], width: int) -> Any:
    """Samples that are to be predicted, as arrays or spike trains: of a frame its columns of numbers, of a dict its spikes.

    Parameters
    ----------
    x : array, frame or dict
        Of a frame the columns are taken by their names, in whatever order they stand, and others are left out. A dict is of
        spikes: ``time`` in ms, or in what ``time_unit`` says, ``neuron`` and ``sample``, each (n_spikes,), and ``count``, how
        many samples there are, by default one more than the highest of `sample`. All else is left as it is.
    features : sequence of str
        The columns that the network has learned from, where it has learned from a frame; else those of x are taken as they are.
    width : int
        Number of inputs of the network.

    Raises
    ------
    DataError
        A column is missing, or holds no finite numbers; or what a dict holds is no spikes.
    """
    if isinstance(x, Mapping):
        return events.new(x, width)
    if not _is_frame(x):
        require_unmasked(x, "x")
        return x
    return _table(x, _columns(x, features or _names(x), "x", ", which the network has learned from"), "x")


def _by_name(given: tuple[Any, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parts of a tuple under the names that they have in a file, and the columns that are inputs, where one is named."""
    if len(given) in (2, 3) and _is_frame(given[0]) and _names_columns(given[0], given[1]):
        frame, target, *test = given
        return _of_frames({"train": frame, **dict(zip(("test",), test, strict=False))}, target)
    if len(given) not in (2, 4):
        raise DataError(f"data: a tuple of {len(given)}; allowed: {_FORMS}")
    return dict(zip(("x_train", "y_train", "x_test", "y_test"), given, strict=False)), ()


def _of_dict(given: dict[Any, Any]) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """The parts of a dict, those of frames without the column that `y_train` may name, and the columns that are inputs then."""
    frame, target = given.get("x_train"), given.get("y_train")
    if not _is_frame(frame) or not _names_columns(frame, target):
        return given, ()
    if more := [key for key in given if key not in ("x_train", "x_valid", "x_test", "y_train")]:
        raise DataError(
            f"data: {more[0]} beside y_train = {quoted(target)}, a column that all frames have; allowed with it: x_train, "
            f"x_valid and x_test"
        )
    return _of_frames({part: given[f"x_{part}"] for part in npz.PARTS if f"x_{part}" in given}, target)


def _is_frame(value: Any) -> bool:
    """Whether a value is a frame, of pandas or of polars, neither of which is imported."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


def _names_columns(frame: Any, target: Any) -> bool:
    """Whether a target is told by its name, or by a list of names, and not by its values."""
    if isinstance(target, str):
        return True
    if isinstance(target, (list, tuple)) and target and all(isinstance(name, str) for name in target):
        return len(target) != len(frame)
    return False


def _of_frames(frames: Mapping[str, Any], target: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Inputs and targets of the frame of each part, and the names of the inputs; target: a column, or a list of columns."""
    frame = frames["train"]
    wanted, columns = [target] if isinstance(target, str) else list(target), list(frame.columns)
    if missing := [name for name in wanted if name not in columns]:
        raise DataError(f"data: the frame has no column {missing[0]!r}; it has {', '.join(map(str, columns[:30]))}")
    _check_apart([*map(str, columns)], "data: the frame")
    others = [column for column in columns if column not in wanted]
    if not others:
        raise DataError("data: the frame has no column besides the target")
    entries = {}
    for part, of_part in frames.items():
        said = {"valid": "validation"}.get(part, part)
        if not _is_frame(of_part):
            raise DataError(f"data: the {said} part is {type(of_part).__name__}; allowed: a frame with the same columns")
        if missing := [name for name in columns if name not in list(of_part.columns)]:
            raise DataError(f"data: the frame of the {said} part has no column {missing[0]!r}, which that of training has")
        entries[f"x_{part}"] = _table(of_part, others, "data")
        one = isinstance(target, str)
        entries[f"y_{part}"] = _column(of_part, wanted[0], "data") if one else _table(of_part, wanted, "data")
    return entries, tuple(map(str, others))


def _columns(frame: Any, features: Sequence[str], where: str, why: str) -> list[Any]:
    """The columns of a frame that have these names, in this order."""
    _check_apart([name for name in _names(frame) if name in features], where)
    by_name = dict(zip(_names(frame), frame.columns, strict=True))
    if missing := [name for name in features if name not in by_name]:
        raise DataError(f"{where} has no column {missing[0]!r}{why}; it has {', '.join([*by_name][:30])}")
    return [by_name[name] for name in features]


def _check_apart(names: Sequence[str], where: str) -> None:
    """Refuse columns that cannot be told from one another by their names, which are texts here."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where} has {names.count(twice)} columns called {twice!r}; allowed: names that differ, as texts")


def _column(frame: Any, name: Any, where: str) -> NDArray[Any]:
    return _array(frame[name].to_numpy(), f"column {name!r}", where)


def _table(frame: Any, wanted: Sequence[Any], where: str) -> NDArray[Any]:
    """Columns of a frame side by side, (n, n_columns), all of them finite numbers; where: for messages."""
    columns = []
    for name in wanted:
        column = _column(frame, name, where)
        if column.dtype.kind not in "fiub":
            raise DataError(
                f"{where}: column {name!r} holds {column.dtype}, and inputs are numbers; make some of it, as "
                f"pandas.get_dummies does, or leave it out"
            )
        if column.ndim == 1 and not (finite := np.isfinite(column)).all():
            row = int(finite.argmin())
            raise DataError(f"{where}: column {name!r}, row {row}: {column[row]} is not finite{npz.cause(column)}")
        columns.append(column)
    return np.stack(columns, axis=1)


def _array(value: Any, what: str, where: str = "data") -> NDArray[Any]:
    """An array of anything that NumPy makes one of; of objects, of which a column of pandas consists, what they are."""
    if _is_frame(value):
        _check_apart(_names(value), f"{where}: the frame")
        return _table(value, list(value.columns), where)
    require_unmasked(value, f"{where}: {what}")
    try:
        array = np.asarray(value)
    except Exception as error:  # ragged lists, or whatever an object of another library raises
        raise DataError(
            f"{where}: {what} is no array: {str(error).splitlines()[0] if str(error) else error!r}{_RAGGED}"
        ) from None
    if array.dtype.kind != "O":
        return array
    entries, kinds = array.reshape(-1).tolist(), ((str,), (bool, np.bool_), (int, np.integer), (int, float, np.number))
    for kind in kinds:
        if all(isinstance(entry, kind) for entry in entries):
            return np.array(entries).reshape(array.shape)
    common = kinds[0] if isinstance(entries[0], str) else kinds[-1]
    index = next((i for i, entry in enumerate(entries) if not isinstance(entry, common)), 0)
    raise DataError(f"{where}: {what}, entry {index}: {quoted(entries[index])} among entries of another kind, or missing")
