"""Pickled batches of 32 x 32 colour images, the form in which CIFAR-10 and CIFAR-100 are published."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from localdfa.data import archives, cache
from localdfa.data.dataset import Source, checked_labels
from localdfa.data.pickled import parse_pickle
from localdfa.errors import DataError

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Batches:
    """A published archive and the batches that it is read for.

    Attributes
    ----------
    archive : cache.Remote
        The python version of the data set.
    train, test : mapping of str to str
        MD5 of each batch, by its path in the archive and under the cache folder.
    train_rows, test_rows : int
        Images in each of those batches.
    labels : str
        The key of the labels in a batch.
    n_classes : int
        Number of classes.
    """

    archive: cache.Remote
    train: Mapping[str, str]
    test: Mapping[str, str]
    train_rows: int
    test_rows: int
    labels: str
    n_classes: int


def read(batches: Batches) -> Source:
    """Read all batches of a set, which are downloaded and unpacked first where they are missing."""
    archives.unpack_missing(batches.archive, {**batches.train, **batches.test})
    x_train, y_train = _part(batches, batches.train, batches.train_rows)
    x_test, y_test = _part(batches, batches.test, batches.test_rows)
    return Source(x_train, y_train, x_test, y_test, batches.n_classes, shape=(3, 32, 32), scale=255.0)


def _part(batches: Batches, files: Mapping[str, str], rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read one part, all of its batches in their order."""
    parsed = []
    for file, md5 in files.items():
        path = cache.folder() / file
        content = cache.read_verified(path, md5)
        parsed.append(parse_batch(content, rows, batches.labels, batches.n_classes, str(path)))
    images, labels = zip(*parsed, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def parse_batch(blob: bytes, rows: int, labels: str, n_classes: int, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Parse one batch (format: https://www.cs.toronto.edu/~kriz/cifar.html).

    Parameters
    ----------
    blob : bytes
        The whole file.
    rows : int
        Images that it must hold.
    labels : str
        The key of its labels.
    n_classes : int
        Labels must lie in 0 .. n_classes - 1.
    name : str
        The file, for messages.

    Returns
    -------
    images : uint8 array, shape (rows, 3072)
        Each row is a red, a green and a blue plane of 32 rows of 32 pixels.
    labels : int64 array, shape (rows,)

    Raises
    ------
    DataError
        The file is not such a batch; nothing in it is executed.
    """
    batch = parse_pickle(blob, name)
    images, values = batch.get("data"), batch.get(labels)
    if not isinstance(images, np.ndarray) or images.shape != (rows, _PIXELS):
        raise DataError(f"{name}: 'data' must be an array of bytes of shape ({rows}, {_PIXELS})")
    if not isinstance(values, list) or len(values) != rows:
        raise DataError(f"{name}: {labels!r} must be a list of {rows} labels")
    if not all(type(value) is int for value in values):
        raise DataError(f"{name}: {labels!r} must be integers")
    return images, checked_labels(np.array(values, dtype=np.int64), n_classes, f"{name}: {labels}")
