"""MNIST and Fashion-MNIST: 28 x 28 grey images in gzipped idx files."""

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


def _published(folder: str, url: str, *md5s: str) -> tuple[cache.Remote, ...]:
    return tuple(cache.Remote(f"{folder}/{name}", f"{url}/{name}", md5) for name, md5 in zip(_FILES, md5s, strict=True))


MNIST = _published(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)
FASHION = _published(
    "fashion-mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79",
    "bb300cfdad3c16e7a12a480ee83cd310",
)


def load_mnist() -> Source:
    """Return MNIST: 60,000 + 10,000 handwritten digits, shape (1, 28, 28), pixels 0 .. 255.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), Gradient-based learning applied to document
    recognition, Proceedings of the IEEE 86:2278.
    """
    return _load(MNIST)


def load_fashion() -> Source:
    """Return Fashion-MNIST: 60,000 + 10,000 pictures of clothing, shape (1, 28, 28), pixels 0 .. 255.

    Source: H. Xiao, K. Rasul and R. Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms, arXiv:1708.07747.
    """
    return _load(FASHION)


def _load(files: tuple[cache.Remote, ...]) -> Source:
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
