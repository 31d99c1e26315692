"""What every data set becomes, before and after it is split and scaled."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from localdfa.data.trains import Trains
from localdfa.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """A data set ready for training.

    Attributes
    ----------
    name : str
        The name it was loaded by.
    x_train, x_valid, x_test : float array, shape (n, n_features), C-contiguous
        Inputs, finite: of published sets in [0, 1], or of unit variance after whitening; of npz:PATH as the file has them.
        `x_valid` has no rows unless a validation part was asked for, or the data bring one. Or `Trains` of as many samples,
        where the data are spike trains.
    y_train, y_valid, y_test : int64 array, shape (n,), or float64 array, shape (n, n_out)
        Labels, in 0 .. n_classes - 1; or, for regression, numbers, finite, in the unit that the data set documents.
    n_classes : int
        Number of classes; 0 for regression.
    shape : tuple of int
        Shape of one sample, (channels, height, width), (frames, channels) or (n_features,).
    classes : tuple of str
        Names of the classes, in the order of their labels; none for regression.
    notes : tuple of str
        What was changed in the data, or is unusual in them, for a person to know.
    time_unit : str or None
        Of spike trains: the unit that their file names for its times, None if it names none.
    features : tuple of str
        Names of the inputs, where they were the columns of a frame; else none.
    fingerprint : str
        SHA-256 of all arrays, of inputs before they are whitened or standardised, which rounds otherwise on other machines.
    """

    name: str
    x_train: NDArray[np.floating] | Trains
    y_train: NDArray[Any]
    x_valid: NDArray[np.floating] | Trains
    y_valid: NDArray[Any]
    x_test: NDArray[np.floating] | Trains
    y_test: NDArray[Any]
    n_classes: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    time_unit: str | None
    features: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def n_features(self) -> int:
        """Number of inputs of one sample."""
        return math.prod(self.shape)

    @property
    def regression(self) -> bool:
        """Whether the targets are numbers, and not labels."""
        return self.y_train.ndim == 2

    @property
    def n_out(self) -> int:
        """Number of targets of one sample: that of its numbers, or of the classes."""
        return self.y_train.shape[1] if self.regression else self.n_classes


class Source(NamedTuple):
    """A data set as its files hold it; an input divided by `scale` is in the unit that a network sees.

    y_train, y_valid, y_test: labels, int64 (n,); or for regression numbers, float64 (n, n_out), and n_classes is 0. classes:
    their names, by default their numbers; notes, time_unit and features as in `Dataset`. x_valid, y_valid: a validation part of
    its own, of at least one sample; None where it has none.
    """

    x_train: NDArray[Any] | Trains
    y_train: NDArray[Any]
    x_test: NDArray[Any] | Trains
    y_test: NDArray[Any]
    n_classes: int
    shape: tuple[int, ...]
    scale: float
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    time_unit: str | None = "ms"
    features: tuple[str, ...] = ()
    x_valid: NDArray[Any] | Trains | None = None
    y_valid: NDArray[Any] | None = None


def checked_labels(labels: NDArray[np.integer], n_classes: int, where: str) -> NDArray[np.int64]:
    """Return the labels, shape (n,), as int64; raise `DataError` for one outside 0 .. n_classes - 1."""
    outside = (labels < 0) | (labels >= n_classes)
    if outside.any():
        index = int(outside.argmax())
        raise DataError(f"{where}[{index}] = {labels[index]}: a label must lie in 0 .. {n_classes - 1}")
    return labels.astype(np.int64)
