"""Gzipped idx files of 28 x 28 grey images, the form in which MNIST and its like are published."""

import gzip
import io
import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from localdfa.data import cache
from localdfa.data.dataset import Source, checked_labels
from localdfa.errors import DataError

_UNSIGNED_BYTE = 0x08
_FILES = {
    "train-images-idx3-ubyte.gz": (60_000, 28, 28),
    "train-labels-idx1-ubyte.gz": (60_000,),
    "t10k-images-idx3-ubyte.gz": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte.gz": (10_000,),
}


def published(folder: str, url: str, *md5s: str) -> tuple[cache.Remote, ...]:
    """The four files of a set: their folder in the cache, that of their addresses, and their MD5 in the order of the files."""
    return tuple(cache.Remote(f"{folder}/{name}", f"{url}/{name}", md5) for name, md5 in zip(_FILES, md5s, strict=True))


def read(files: tuple[cache.Remote, ...]) -> Source:
    """Read a set of 60,000 + 10,000 images, shape (1, 28, 28), pixels 0 .. 255, ten classes."""
    arrays = {
        remote.file: parse_idx(cache.read(remote), shape, str(cache.folder() / remote.file))
        for remote, shape in zip(files, _FILES.values(), strict=True)
    }
    x_train, x_test = (x.reshape(len(x), -1) for x in arrays.values() if x.ndim == 3)
    y_train, y_test = (checked_labels(y, 10, file) for file, y in arrays.items() if y.ndim == 1)
    return Source(x_train, y_train, x_test, y_test, n_classes=10, shape=(1, 28, 28), scale=255.0)


def parse_idx(blob: bytes, shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    """Parse a gzipped idx file of unsigned bytes (format: http://yann.lecun.com/exdb/mnist/).

    No more is decompressed than a file of the expected shape holds, whatever its header claims.

    Parameters
    ----------
    blob : bytes
        The compressed file.
    shape : tuple of int
        The shape that its header must give.
    name : str
        The file, for messages.

    Returns
    -------
    uint8 array of that shape

    Raises
    ------
    DataError
        The gzip stream is corrupt, or the header or the length is not what the shape implies; the message gives
        the file and the byte.
    """
    content = _decompress(blob, 4 + 4 * len(shape) + math.prod(shape), name)
    start = _check_header(content, shape, name)
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _decompress(blob: bytes, size: int, name: str) -> bytes:
    """Decompress exactly `size` bytes; fewer or more are an error."""
    compressed = io.BytesIO(blob)
    try:
        with gzip.GzipFile(fileobj=compressed) as file:
            content = file.read(size)
            rest = file.read(1)  # also checks the gzip trailer
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(
            f"{name}: corrupt gzip stream at or before byte {compressed.tell()} of the compressed file ({error})"
        ) from error
    if len(content) < size:
        raise DataError(f"{name}: truncated at byte {len(content)} of the decompressed data, expected {size} bytes")
    if rest:
        raise DataError(f"{name}: data continues after byte {size} of the decompressed data, where it must end")
    return content


def _check_header(content: bytes, shape: tuple[int, ...], name: str) -> int:
    """Check the magic number and the dimensions; return the length of the header in bytes."""
    magic = content[:4]
    if magic[:2] != b"\0\0":
        raise DataError(f"{name}: byte 0: not an idx file, it starts with {magic.hex()}")
    if magic[2] != _UNSIGNED_BYTE:
        raise DataError(f"{name}: byte 2: type 0x{magic[2]:02x}, expected 0x08 (unsigned byte)")
    if magic[3] != len(shape):
        raise DataError(f"{name}: byte 3: {magic[3]} dimensions, expected {len(shape)}")
    found = struct.unpack_from(f">{len(shape)}I", content, 4)
    for axis, (size, expected) in enumerate(zip(found, shape, strict=True)):
        if size != expected:
            raise DataError(f"{name}: byte {4 + 4 * axis}: dimension {axis} is {size}, expected {expected}")
    return 4 + 4 * len(shape)
