"""The exceptions that localdfa raises on purpose: each carries one message meant for a person, of bounded length."""

import math
import reprlib
import shlex
from typing import Any

# Of a message: characters of a line, and lines. What is longer is cut in its middle, or at its end.
_LINE, _LINES = 2000, 25


class _Short(reprlib.Repr):
    """Python's notation of a value, cut where it is long or nested deep."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100
        self.maxdict = 8
        self.maxlevel = 4

    def repr_int(self, x: int, level: int) -> str:
        """An integer; of one whose digits Python refuses to write, or that fill lines, how many there are."""
        digits = int(x.bit_length() * math.log10(2)) + 1
        return repr(x) if digits <= 60 else f"an integer of about {digits} digits"


_SHORT = _Short()


def quoted(value: Any) -> str:
    """A value from outside as a message shows it: in Python's notation, whole where it is short, else cut."""
    return _SHORT.repr(value)


def clipped(text: str, most: int = 200) -> str:
    """A text from outside as a message shows it without quotation marks: cut in its middle where it is longer than `most`."""
    half = most // 2 - 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def resuming(folder: object) -> str:
    """The command that goes on with the run in a folder, as a message shows it and a shell takes it."""
    return f"localdfa resume {shlex.quote(str(folder))}"


class LocalDFAError(Exception):
    """Base of every error that localdfa raises on purpose; the command line prints it without a traceback."""

    def __init__(self, message: str) -> None:
        lines = message.splitlines() or [""]
        shown = [clipped(line, _LINE) for line in lines[:_LINES]]
        if len(lines) > _LINES:
            shown.append(f"... and {len(lines) - _LINES} more")
        super().__init__("\n".join(shown))


def check_flags(kind: type[LocalDFAError], **flags: object) -> None:
    """Refuse what a script gives in the place of True or False; kind: the error. A text would be true, whatever it says."""
    for key, value in flags.items():
        if not isinstance(value, bool):
            raise kind(f"{key}: {quoted(value)}; allowed: True or False")


class SpecError(LocalDFAError):
    """An experiment cannot be run as written: a key, type, bound or combination is wrong."""


class ModelError(SpecError):
    """A hook of a model does not do what its family asks for, as to write all of an array, or it cannot be compiled."""


class DataError(LocalDFAError):
    """A data set is missing, damaged or not what the experiment can use."""


class RunError(LocalDFAError):
    """A run directory cannot be written, read or resumed."""


class ForkError(LocalDFAError):
    """This process cannot simulate, because it was forked from one that has."""


class NonFiniteError(LocalDFAError):
    """A weight or an activity became infinite or NaN while training.

    row: the sample's row in its mini-batch, or None where no single sample is to blame.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row
