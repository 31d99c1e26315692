"""Compiled functions without Numba's counting of references.

One reference is counted for each array that is handed on or cut from another. Where arrays are short, or several threads count
at once, that costs as much as the work itself. So nothing is allocated in such functions, and no array returned.
"""

from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
kernel = njit(**OPTIONS)
# Put in place of every call: handing on many arrays, each as seven numbers, takes longer than a short function itself.
inlined = njit(**OPTIONS, forceinline=True)
