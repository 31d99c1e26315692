"""Files, written whole or not at all, and read with an error that names the file."""

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np

from localdfa.errors import RunError, quoted

if TYPE_CHECKING:
    from pydantic import ValidationError

_Content = TypeVar("_Content")
# The name of a file that is being written, .NAME.PROCESS; it stays where its process is killed.
TEMPORARY = re.compile(r"\.(.+)\.\d+")


def path_of(key: str, value: Any) -> Path:
    """A path that a script gives; key: the argument, for the message.

    Raises
    ------
    RunError
        It is none.
    """
    if not isinstance(value, (str, Path)):
        raise RunError(f"{key}: {quoted(value)}; allowed: a path, as a text or a pathlib.Path")
    return Path(value)


@contextmanager
def writing(path: Path, lasting: bool = True) -> Iterator[BinaryIO]:
    """A file that takes its place only once it is whole; RunError names the file that cannot be written.

    lasting: whether to wait until the disk has it, so that it outlasts a power failure as well.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                if lasting:
                    os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise RunError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def write_bytes(path: Path, content: bytes, lasting: bool = True) -> None:
    """Write a file atomically; lasting: see `writing`."""
    with writing(path, lasting) as stream:
        stream.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; a NaN becomes null."""
    write_bytes(path, to_json(value))


def to_json(value: Any) -> bytes:
    """A value as a file of JSON; a NaN becomes null."""
    return (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode()


def move(path: Path, place: Path) -> None:
    """Put a file in the place of another, which is replaced; RunError names the place."""
    try:
        path.replace(place)
    except OSError as error:
        raise RunError(f"{place}: cannot be written: {error.strerror or error}") from None


def plain(value: Any) -> Any:
    """A value as JSON has it: NumPy's numbers as Python's, what is not finite as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(path: Path, how: Callable[[Path], _Content]) -> _Content:
    """What `how` reads from a file; RunError names the file that is missing or damaged."""
    try:
        return how(path)
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such file") from None
    except RunError:
        raise
    except Exception as error:  # whatever a damaged file makes json, zlib, zipfile or NumPy raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RunError(f"{path}: damaged or not written by localdfa: {reason}") from None


def first_wrong(error: "ValidationError") -> str:
    """The first thing that pydantic finds wrong, as ``key: reason``."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds."""

    def parse(path: Path) -> dict[str, Any]:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found

    return read(path, parse)
