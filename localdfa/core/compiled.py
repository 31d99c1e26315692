"""How functions are compiled.

A `kernel` can be called from Python. A function that only kernels call is a `device` function, and nothing is compiled by which
Python could call it: with all the arrays that it is given that would take longer than the function itself. Called from Python
it is plain Python. `always_inline` is like `device`, but the function is put in place of every call. `allocating` is like
`device`, but Numba counts references, so it may create and return arrays. In the others it counts none, because one would be
counted for each array that is handed on or sliced, which costs as much as the work itself where arrays are short or several
threads count at once; so these create no arrays and return none.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.extending import register_jitable

from localdfa.core import interrupt, kernel_cache
from localdfa.core.parts import PartCompiler

_DEVICE: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
# Named in full, because an option that a function does not name is that of its caller.
ALLOCATING: dict[str, Any] = {"error_model": "numpy", "_nrt": True}
_PART: dict[str, Any] = {"no_cfunc_wrapper": True, "pipeline_class": PartCompiler}


def compiled(**options: Any) -> Callable[[Any], Any]:
    """Numba's `njit` with these options, for what Python calls; what it compiles is kept on disk (`kernel_cache`), and Ctrl-C
    is heard meanwhile (`interrupt`)."""
    return lambda function: interrupt.compiled_apart(kernel_cache.keep(njit(**options)(function)))


kernel: Callable[[Any], Any] = compiled(**_DEVICE)
device: Callable[[Any], Any] = register_jitable(**_DEVICE, **_PART)
# Handing on many arrays, each as seven numbers, takes longer than a short function itself.
always_inline: Callable[[Any], Any] = register_jitable(**_DEVICE, **_PART, forceinline=True)
allocating: Callable[[Any], Any] = register_jitable(**ALLOCATING, **_PART)


@cache
def as_argument(function: Any) -> Any:
    """A function that kernels can hand on to one another as an argument, or in a tuple of functions.

    One that Python can call as well would be handed on by its address, with which no kernel can be kept on disk.
    """
    if not isinstance(function, Dispatcher):
        return function

    @device
    def handed_on(*arguments):
        return function(*arguments)

    return handed_on


# Indices of loops that must be fast are unsigned, which spares Numba the check for negative ones.
unsigned = np.uint64
