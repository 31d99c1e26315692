"""Files of named arrays: NumPy's .npz without pickles, and in it what kind of record it is, a format version and a checksum.

`numpy.load` reads such a file as any other; the entry `localdfa` is JSON, ``{"kind": …, "version": …, "sha256": …}``, its
checksum that of the names, types, shapes and values of all other arrays.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from localdfa.errors import RunError, quoted
from localdfa.files import read, writing

# The version of the format; a file of another one is refused.
VERSION = 1
_HEADER = "localdfa"


def save(path: Path, kind: str, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays atomically, as a record of this kind.

    Raises
    ------
    RunError
        The file cannot be written, or an array is none of numbers, truths or texts, and could not be read without a pickle.
    """
    with writing(path) as stream:
        _write(stream, kind, arrays)


def to_bytes(kind: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file that `save` writes."""
    stream = io.BytesIO()
    _write(stream, kind, arrays)
    return stream.getvalue()


def _write(stream: BinaryIO, kind: str, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise RunError(f"{kind}: {name} = {quoted(array)} holds objects of Python; allowed: numbers, truths or texts alone")
    header = json.dumps({"kind": kind, "version": VERSION, "sha256": checksum(arrays)})
    np.savez(stream, **{_HEADER: np.array(header)}, **arrays)  # type: ignore[arg-type]


def load(path: Path, kind: str) -> dict[str, np.ndarray]:
    """The arrays of a record of this kind, the same bits that were saved.

    Raises
    ------
    RunError
        The file is missing, damaged, of another kind or of another version; the message names it.
    """
    arrays = read(path, _arrays)
    header = read(path, lambda _: _parse(arrays.pop(_HEADER, None)))
    if header.get("version") != VERSION:
        raise RunError(
            f"{path}: written by another version of localdfa: its format is {header.get('version')!r}, this one reads {VERSION}"
        )
    if header.get("kind") != kind:
        raise RunError(f"{path}: holds {header.get('kind')!r}, not {kind!r}")
    if header.get("sha256") != checksum(arrays):
        raise RunError(f"{path}: damaged: its checksum is not that of its content")
    return arrays


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _parse(header: np.ndarray | None) -> dict[str, object]:
    if header is None:
        raise ValueError("it does not say what it holds")
    found = json.loads(str(header))
    if not isinstance(found, dict):
        raise ValueError("it does not say what it holds")
    return found


def checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the names, types, shapes and values of arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
