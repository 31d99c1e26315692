"""Targets of the user's own data that are numbers, to be fitted: regression."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.errors import DataError


def read(y_train: NDArray[Any], y_test: NDArray[Any], path: object) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The targets of training and test as float64, (n, n_out); of shape (n,) they are one number a sample.

    Parameters
    ----------
    y_train, y_test : array, shape (n,) or (n, n_out)
        Floats or integers.
    path : Path
        The file, for messages.

    Raises
    ------
    DataError
        Targets are no real numbers, not finite, of another width in the two parts, or the same in all training samples.
    """
    train, test = (_numbers(y, f"{path}: y_{part}") for part, y in (("train", y_train), ("test", y_test)))
    if train.shape[1] != test.shape[1]:
        raise DataError(f"{path}: y_train has {train.shape[1]} numbers a sample and y_test {test.shape[1]}")
    if not np.ptp(train, axis=0).any():
        raise DataError(f"{path}: y_train: the targets of all samples are the same, so there is nothing to fit")
    return train, test


def _numbers(y: NDArray[Any], where: str) -> NDArray[np.float64]:
    if y.dtype.kind not in "fiu":
        raise DataError(f"{where} has the dtype {y.dtype}: targets of a regression must be real numbers")
    with np.errstate(all="ignore"):
        found = y.astype(np.float64).reshape(len(y), y.shape[1] if y.ndim > 1 else 1)
    if not (finite := np.isfinite(found)).all():
        index = np.unravel_index(int(finite.argmin()), y.shape)
        raise DataError(f"{where}[{', '.join(map(str, index))}] = {y[index]} is not finite")
    return found
