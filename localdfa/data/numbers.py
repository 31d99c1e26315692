"""Targets of the user's own data that are numbers, to be fitted: regression."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.errors import DataError


def read(parts: Mapping[str, NDArray[Any]], path: object) -> dict[str, NDArray[np.float64]]:
    """The targets of each part as float64, (n, n_out); of shape (n,) they are one number a sample.

    Parameters
    ----------
    parts : mapping of str to array, shape (n,) or (n, n_out)
        Floats or integers of ``train``, and of other parts, ``valid`` or ``test``.
    path : Path
        The file, for messages.

    Raises
    ------
    DataError
        Targets are no real numbers, not finite, of another width in two parts, or the same in all training samples.
    """
    found = {part: _numbers(y, f"{path}: y_{part}") for part, y in parts.items()}
    width = found["train"].shape[1]
    if other := next((part for part, y in found.items() if y.shape[1] != width), None):
        raise DataError(f"{path}: y_train has {width} numbers a sample and y_{other} {found[other].shape[1]}")
    if not np.ptp(found["train"], axis=0).any():
        raise DataError(f"{path}: y_train: the targets of all samples are the same, so there is nothing to fit")
    return found


def _numbers(y: NDArray[Any], where: str) -> NDArray[np.float64]:
    if y.dtype.kind not in "fiu":
        raise DataError(f"{where} has the dtype {y.dtype}: targets of a regression must be real numbers")
    with np.errstate(all="ignore"):
        found = y.astype(np.float64).reshape(len(y), y.shape[1] if y.ndim > 1 else 1)
    if not (finite := np.isfinite(found)).all():
        index = np.unravel_index(int(finite.argmin()), y.shape)
        raise DataError(f"{where}[{', '.join(map(str, index))}] = {y[index]} is not finite")
    return found
