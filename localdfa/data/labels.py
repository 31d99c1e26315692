"""Labels of the user's own data: numbers or names become classes, counted from 0."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from localdfa.errors import DataError

_LONGEST = 100  # characters of a name
_SHOWN = 8  # labels that a message gives
_EXACT = 2**53  # whole numbers up to here have their own float64
_TO_FIT = "; numbers are fitted by an output for them, network.output = 'linear'"


class Labels(NamedTuple):
    """Labels as classes: y, of each part int64 (n,); classes: their names, in order; note: what else must be said."""

    y: dict[str, NDArray[np.int64]]
    classes: tuple[str, ...]
    note: str | None


def encode(parts: Mapping[str, NDArray[Any]], path: object) -> Labels:
    """Number the classes from 0: they are the sorted distinct labels of the training part, as scikit-learn has them.

    Parameters
    ----------
    parts : mapping of str to array, shape (n,)
        Labels of ``train``, and of other parts, ``valid`` or ``test``: integers of any sign, floats that are whole numbers,
        booleans, or text of printable characters.
    path : Path
        The file, for messages.

    Returns
    -------
    Labels

    Raises
    ------
    DataError
        Labels are none of these, of different kinds in two parts, all equal, or all different in more than two samples; or
        another part has one that never occurs in training.
    """
    found = {part: readable(y, f"{path}: y_{part}") for part, y in parts.items()}
    train = found.pop("train")
    if other := next((part for part, y in found.items() if y.dtype.kind != train.dtype.kind), None):
        kinds = f"y_train has the dtype {parts['train'].dtype} and y_{other} {parts[other].dtype}"
        raise DataError(f"{path}: {kinds}: labels must be of one kind")
    values, codes = np.unique(train, return_inverse=True)
    if len(values) < 2:
        raise DataError(f"{path}: y_train: every label is {values.tolist()[0]!r}: there must be two classes or more")
    if len(values) == len(train) > 2:
        raise DataError(
            f"{path}: y_train: all {len(train)} labels differ, so that nothing can be learned of a class: labels are classes, "
            f"not numbers to be fitted{_TO_FIT}"
        )
    encoded = {"train": codes.reshape(-1)}
    for part, y in found.items():
        encoded[part] = places = np.minimum(np.searchsorted(values, y), len(values) - 1)
        if (unseen := values[places] != y).any():
            first = int(unseen.argmax())
            raise DataError(
                f"{path}: y_{part}[{first}] = {y.tolist()[first]!r} never occurs in y_train, whose labels are {_listed(values)}"
            )
    gaps = train.dtype.kind == "i" and int(values[-1]) - int(values[0]) >= len(values)
    note = f"y_train: the labels are {_listed(values)}, which are {len(values)} classes" if gaps else None
    return Labels(encoded, tuple(str(value) for value in values.tolist()), note)


def whole(array: NDArray[Any]) -> NDArray[np.int64] | None:
    """The same whole numbers as int64, be they integers or floats; None where they are not."""
    if array.dtype.kind in "iu":
        fits = array.dtype.kind == "i" or not array.size or int(array.max()) <= np.iinfo(np.int64).max
        return array.astype(np.int64) if fits else None
    if array.dtype.kind != "f":
        return None
    with np.errstate(all="ignore"):
        exact = (np.abs(array) <= _EXACT) & (np.trunc(array) == array)
        return array.astype(np.int64) if exact.all() else None


def readable(y: NDArray[Any], where: str) -> NDArray[Any]:
    """Labels as int64, as booleans or as text; `DataError` for any other."""
    if y.dtype.kind == "b":
        return y
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{where} has the dtype {y.dtype}: bytes that are no text in UTF-8") from None
    if y.dtype.kind == "U":
        _check_names(y, where)
        return y
    if (numbers := whole(y)) is None:
        raise DataError(f"{where} has the dtype {y.dtype}: labels must be whole numbers below 2^53, or names{_instead(y)}")
    return numbers


def _instead(y: NDArray[Any]) -> str:
    """What else stands among labels of a dtype that would do: the first number that is not whole."""
    if y.dtype.kind != "f":
        return ""
    with np.errstate(all="ignore"):
        wrong = ~((np.abs(y) <= _EXACT) & (np.trunc(y) == y))
    return f", and y[{int(wrong.argmax())}] = {y[int(wrong.argmax())]}{_TO_FIT}"


def _check_names(y: NDArray[np.str_], where: str) -> None:
    """Check that names can be shown, written and told apart."""
    try:
        names = {str(name): i for i, name in reversed(list(enumerate(y.tolist())))}
    except (ValueError, SystemError):  # code points that no character has
        raise DataError(f"{where} has the dtype {y.dtype}, and what it holds is no text") from None
    for name, i in names.items():
        if not (name and len(name) <= _LONGEST and name.isprintable()):
            shown = f"{name[:20]!a}{'…' if len(name) > 20 else ''}"
            raise DataError(f"{where}[{i}] = {shown}: a name needs 1 to {_LONGEST} printable characters")


def _listed(values: NDArray[Any]) -> str:
    """The first few labels, and the last."""
    shown = [repr(value) for value in values.tolist()]
    return ", ".join(shown if len(shown) <= _SHOWN else [*shown[: _SHOWN - 1], "…", shown[-1]])
