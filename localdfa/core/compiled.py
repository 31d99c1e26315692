"""How functions are compiled.

A `kernel` can be called from Python. A function that only kernels call is `inner` or `inlined`: nothing is compiled by which
Python could call it, which would take longer than the function itself, with all the arrays that it is given; called from Python
it is plain Python. In a `counted` one, which is `inner` else, Numba counts references, so that it may allocate and return
arrays; in the others none: one is counted for each array that is handed on or cut from another, which, where arrays are short
or several threads count at once, costs as much as the work itself. So nothing is allocated in them, and no array returned.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from localdfa.core import interrupt, kernel_cache

_UNCOUNTED: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
# Said, for options that a function does not name are those of its caller.
COUNTED: dict[str, Any] = {"error_model": "numpy", "_nrt": True}


def compiled(**options: Any) -> Callable[[Any], Any]:
    """Numba's `njit` with these options, for what Python calls; what it compiles is kept on disk (`kernel_cache`), and Ctrl-C
    is heard meanwhile (`interrupt`)."""
    return lambda function: interrupt.compiled_apart(kernel_cache.keep(njit(**options)(function)))


kernel: Callable[[Any], Any] = compiled(**_UNCOUNTED)
inner: Callable[[Any], Any] = register_jitable(**_UNCOUNTED, no_cfunc_wrapper=True)
# Put in place of every call: handing on many arrays, each as seven numbers, takes longer than a short function itself.
inlined: Callable[[Any], Any] = register_jitable(**_UNCOUNTED, no_cfunc_wrapper=True, forceinline=True)
counted: Callable[[Any], Any] = register_jitable(**COUNTED, no_cfunc_wrapper=True)

# Loops that must be fast count without a sign: Numba would look at every index whether it is negative.
unsigned = np.uint64
