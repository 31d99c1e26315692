"""What Numba cannot compile in a function of a model from outside of localdfa, in a line that names the function.

Numba says it in fifty lines, most of them about the kernel that calls the function, which its author has never seen.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import Any

from numba.core.errors import NumbaError

from localdfa.errors import ModelError
from localdfa.interface import place_of

_PACKAGES = ("localdfa", "numba")
# Where Numba begins to say by which way it came to what is wrong, and what it says before that of each of its steps.
_WAY = re.compile(r'(During: |File "|raised from )')
_STEP = re.compile(r"Failed in nopython mode pipeline \(step: [^)]*\)")
# What Numba says of an array that is created where kernels count no references.
_CREATES = "NRT required but not enabled"
_MEANT = "it creates an array, as arithmetic with whole arrays does; allowed: numbers, one after the other in a loop"


@contextmanager
def named(kernel: Callable[..., Any], itself: bool = False) -> Iterator[None]:
    """While this kernel is compiled; itself: whether it is a function of a model.

    Raises
    ------
    ModelError
        It cannot be, and it calls functions of models from outside: those are named, and what Numba has against them.
    """
    try:
        yield
    except NumbaError as error:
        text = str(error)
        called = [*_from_outside(kernel, set(), itself)]
        meant = [function for function in called if _names(text, function)] or called
        if not meant:
            raise
        raise ModelError(f"{' or '.join(map(place_of, meant))} cannot be compiled: {_core(text)}") from None


def _from_outside(function: Any, seen: set[int], itself: bool = True) -> Iterator[Any]:
    """The functions of models from outside that a function closes over; itself: whether it may be one of them."""
    function = getattr(function, "py_func", function)
    if not isinstance(function, FunctionType) or id(function) in seen:
        return
    seen.add(id(function))
    if itself and function.__module__.partition(".")[0] not in _PACKAGES:
        yield function
        return
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # the cell is empty, as of a function that closes over itself while it is made
            content = cell.cell_contents
            for each in content if isinstance(content, tuple) else (content,):
                yield from _from_outside(each, seen)


def _names(text: str, function: Any) -> bool:
    """Whether an error of Numba is about this function: it has its name, or a line of its file."""
    code = function.__code__
    return f"<function {function.__qualname__} at " in text or f"{code.co_filename} (" in text


def _core(text: str) -> str:
    """What is wrong, without the way to it: the last lines before the innermost step that Numba names."""
    lines = [line.strip() for line in text.splitlines()]
    end = next((k for k, line in enumerate(lines) if _WAY.match(line)), len(lines))
    begin = max((k + 1 for k, line in enumerate(lines[:end]) if _STEP.search(line)), default=0)
    said, _, _ = " ".join(filter(None, lines[begin:end])).partition(" There are ")  # so many functions that do not fit
    return _MEANT if said == _CREATES else said
