"""Pickled batches of 32 x 32 colour images, the form in which CIFAR-10 and CIFAR-100 are published."""

import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from localdfa.data import cache
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
    _unpack_missing(batches)
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


def _unpack_missing(batches: Batches) -> None:
    """Unpack the batches that are not in the cache; the archive is downloaded where needed, and kept."""
    wanted = {**batches.train, **batches.test}
    missing = {file: md5 for file, md5 in wanted.items() if not os.path.exists(cache.folder() / file)}
    if missing:
        archive = cache.fetch(batches.archive)
        unpack(archive, missing, cache.folder())


def unpack(archive: Path, files: Mapping[str, str], folder: Path) -> None:
    """Unpack chosen files, and nothing else, from a gzipped tar archive.

    A file appears, all at once, only when its checksum is right. Nothing else of the archive counts: neither its
    paths nor its links, owners or permissions.

    Parameters
    ----------
    archive : Path
        The archive.
    files : mapping of str to str
        MD5 of each file, by its path in the archive and under `folder`.
    folder : Path
        Where to put them.

    Raises
    ------
    DataError
        The archive is damaged, lacks one of the files or holds another one by its name, or the disk refuses.
    """
    missing = dict(files)
    try:
        for file, content in _members(archive, files):
            cache.verify(content, missing.pop(file), f"{archive}: {file}")
            _write(folder / file, content)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{archive} cannot be unpacked into {folder}: {error}") from error
    if missing:
        raise DataError(f"{archive} does not hold {', '.join(missing)}")


def _members(archive: Path, files: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each of the wanted files, once, in the order of the archive."""
    seen = set()
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.name in files and member.name not in seen and member.isfile():
                seen.add(member.name)
                cache.check_size(member.size, f"{archive}: {member.name}")
                stream = tar.extractfile(member)
                assert stream is not None  # a regular file has one
                yield member.name, stream.read()


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step: another process sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
