"""Files of TOML, read with an error that names the file."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from localdfa.errors import SpecError

if sys.version_info >= (3, 11):
    from tomllib import loads
else:
    from tomli import loads

__all__ = ["loads", "read"]

# What describes an experiment, a circuit or a paper is written by hand; a larger file is something else.
_LARGEST = 1_000_000


def read(path: Path, largest: int | None = _LARGEST) -> dict[str, Any]:
    """The tables of a file of up to so many bytes.

    Raises
    ------
    SpecError
        It cannot be read, is larger, or is no TOML.
    """
    try:
        if largest is not None and path.stat().st_size > largest:
            raise SpecError(f"{path}: larger than {largest} bytes, which nothing written by hand is")
        text = path.read_text(encoding="utf-8-sig")  # as some editors save it
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # no UTF-8, or a path with a null byte
        raise SpecError(f"{path}: cannot be read as TOML: {error}") from None
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: no TOML, or a number of 5000 digits
        raise SpecError(f"{path}: cannot be read as TOML: {error}{_quotes(text, str(error))}") from None


def _quotes(text: str, error: str) -> str:
    """What to add where TOML breaks off at a text without quotes."""
    place = re.search(r"at line (\d+)", error)
    line = text.splitlines()[int(place[1]) - 1] if place else ""
    match = re.match(r"\s*([\w.-]+)\s*=\s*([A-Za-z][\w:./~-]*)\s*(#.*)?$", line)
    return f"; text stands in quotes: {match[1]} = {json.dumps(match[2])}" if match else ""
