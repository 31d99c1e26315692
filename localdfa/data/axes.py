"""What the axes of the user's own arrays mean, so that pictures and time series are never taken for one another."""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.errors import DataError

# What the axes can be, in the order in which a network counts the inputs of a sample.
_LAYOUTS = (
    ("samples", "features"),
    ("samples", "channels", "rows", "columns"),
    ("samples", "rows", "columns"),
    ("samples", "frames", "channels"),
    ("samples", "frames"),
)
_MOST_COLOURS = 4  # a last axis this short, below the other two, looks like the channels of a picture


def named(entry: NDArray[Any] | None, where: str) -> tuple[str, ...] | None:
    """The names in a file's entry `axes`: text of names with blanks or commas between, or an array of names.

    Raises
    ------
    DataError
        They are not those of a layout, in any order.
    """
    if entry is None:
        return None
    words: tuple[str, ...] = ()
    if entry.dtype.kind == "U" and entry.ndim <= 1:
        with suppress(ValueError, SystemError):  # code points that no character has
            words = tuple(" ".join(entry.reshape(-1).tolist()).replace(",", " ").split())
    if not any(sorted(words) == sorted(layout) for layout in _LAYOUTS):
        allowed = "; ".join(" ".join(layout) for layout in _LAYOUTS)
        raise DataError(
            f"{where} = {' '.join(words)[:60]!a}: it must name the axes of x_train and x_test; allowed, in any order: {allowed}"
        )
    return words


def in_order(x: NDArray[Any], axes: tuple[str, ...] | None, where: str) -> NDArray[Any]:
    """Samples as a network reads them: (n, n_features), (n, channels, rows, columns) or (n, frames, channels).

    Without names two axes are samples and features, and four are samples, channels, rows and columns; pictures without
    channels, and series without, get one.

    Raises
    ------
    DataError
        The array has another number of axes, or could as well be something else.
    """
    if axes is None:
        _check_unnamed(x.shape, where)
        return x
    if x.ndim != len(axes):
        raise DataError(f"{where} has the shape {x.shape}, and axes = {' '.join(axes)!r} names {len(axes)} axes")
    layout = next(layout for layout in _LAYOUTS if sorted(layout) == sorted(axes))
    x = x.transpose([axes.index(name) for name in layout])
    if layout == ("samples", "rows", "columns"):
        return x[:, np.newaxis]
    return x[..., np.newaxis] if layout == ("samples", "frames") else x


def _check_unnamed(shape: tuple[int, ...], where: str) -> None:
    """Refuse a shape that does not say by itself what its axes are."""
    if len(shape) == 3:
        raise DataError(
            f"{where} has the shape {shape}: are these time series or pictures? Add to the file the entry "
            "axes = 'samples frames channels', or axes = 'samples rows columns'"
        )
    if len(shape) not in (2, 4):
        raise DataError(
            f"{where} has the shape {shape}: it must be (n, n_features) or (n, channels, rows, columns), or what an entry axes "
            "says"
        )
    if len(shape) == 4 and shape[3] <= _MOST_COLOURS and shape[3] < min(shape[1:3]):
        raise DataError(
            f"{where} has the shape {shape}: are the {shape[3]} on the last axis channels? Add to the file the entry "
            "axes = 'samples rows columns channels', or axes = 'samples channels rows columns' if they are not"
        )
