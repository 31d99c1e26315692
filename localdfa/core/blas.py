"""Matrix products on blocks of arrays inside compiled kernels.

``numpy.dot`` inside Numba copies every operand that is not contiguous, so a kernel could not hand each thread its own
columns of one matrix. This calls the ``gemm`` that SciPy exports to Cython, which takes leading dimensions.
"""

import ctypes

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  (loads the BLAS that `one_thread` must find)
from numba import njit, types
from numba.extending import get_cython_function_address, overload
from threadpoolctl import ThreadpoolController

_PROTOTYPE = ctypes.CFUNCTYPE(None, *([ctypes.c_void_p] * 13))
_sgemm = _PROTOTYPE(get_cython_function_address("scipy.linalg.cython_blas", "sgemm"))
_dgemm = _PROTOTYPE(get_cython_function_address("scipy.linalg.cython_blas", "dgemm"))
_controller = ThreadpoolController()


def one_thread() -> None:
    """Give BLAS one thread: the kernels share out the work themselves, and two pools that take turns fight."""
    _controller.limit(limits=1, user_api="blas")


def gemm(alpha: float, a: np.ndarray, transpose_a: bool, b: np.ndarray, transpose_b: bool, c: np.ndarray) -> None:
    """c = alpha · op(a) op(b) for 2-D arrays of one dtype whose last axis is contiguous; op transposes if asked."""
    c[...] = c.dtype.type(alpha) * ((a.T if transpose_a else a) @ (b.T if transpose_b else b))


@njit
def _leading(x):
    """Entries from one row to the next; of a single row NumPy may say anything, and BLAS asks for at least its length."""
    return max(x.strides[0] // x.itemsize, x.shape[1])


@overload(gemm)
def _gemm(alpha, a, transpose_a, b, transpose_b, c):
    blas, dtype = (_sgemm, np.float32) if c.dtype == types.float32 else (_dgemm, np.float64)

    def implementation(alpha, a, transpose_a, b, transpose_b, c):
        # BLAS counts columns first: to it our c is its transpose, so the operands change places.
        inner = a.shape[0] if transpose_a else a.shape[1]
        if inner == 0 or c.size == 0:
            c[:, :] = 0
            return
        flags = np.array([84 if transpose_b else 78, 84 if transpose_a else 78], np.uint8)  # "T", "N"
        shape = np.array([c.shape[1], c.shape[0], inner], np.int32)
        leading = np.array([_leading(b), _leading(a), _leading(c)], np.int32)
        scale = np.array([alpha, 0.0], dtype)
        blas(
            flags.ctypes.data, flags[1:].ctypes.data,
            shape.ctypes.data, shape[1:].ctypes.data, shape[2:].ctypes.data,
            scale.ctypes.data, b.ctypes.data, leading.ctypes.data, a.ctypes.data, leading[1:].ctypes.data,
            scale[1:].ctypes.data, c.ctypes.data, leading[2:].ctypes.data,
        )  # fmt: skip

    return implementation
