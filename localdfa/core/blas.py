"""Matrix products on blocks of arrays inside compiled kernels.

``numpy.dot`` inside Numba copies every operand that is not contiguous, so a kernel could not hand each thread its own
columns of one matrix. This calls the ``gemm`` that SciPy exports to Cython, which takes leading dimensions.
"""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import llvmlite.binding
import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import get_cython_function_address, overload
from threadpoolctl import ThreadpoolController

from localdfa.core import kernel_cache
from localdfa.core.compiled import allocating

# Functions of SciPy's BLAS, all of whose arguments are addresses, by names that compiled code refers to. By their addresses,
# which differ from process to process, compiled code could not be kept on disk.
_SIGNATURE = types.void(*[types.uintp] * 13)
_sgemm: Any = types.ExternalFunction("localdfa_sgemm", _SIGNATURE)
_dgemm: Any = types.ExternalFunction("localdfa_dgemm", _SIGNATURE)


@cache
def _load() -> ThreadpoolController:
    """Load SciPy's BLAS, and give its functions their names; returns what limits its threads.

    SciPy takes a tenth of a second to import, which a process that computes nothing is spared.
    """
    for name in ("sgemm", "dgemm"):
        llvmlite.binding.add_symbol(f"localdfa_{name}", get_cython_function_address("scipy.linalg.cython_blas", name))
    return ThreadpoolController()


kernel_cache.before_linking.append(_load)
# Rows and columns of c and inner indices of one call: up to a million multiplications OpenBLAS multiplies without repacking its
# operands first, unless the second is transposed. From so many rows on it is worth repacking them.
TILE, MANY_ROWS = (32, 256, 96), 512


def one_thread() -> AbstractContextManager[Any]:
    """Give BLAS one thread, until the context ends: kernels share out the work themselves, and two pools in turn fight."""
    return _load().limit(limits=1, user_api="blas")


def gemm(
    alpha: float, a: np.ndarray, transpose_a: bool, b: np.ndarray, transpose_b: bool, c: np.ndarray, add: bool = False
) -> None:
    """c = alpha · op(a) op(b), added to c if asked, for 2-D arrays of one dtype whose last axis is contiguous.

    op transposes if asked.
    """
    product = c.dtype.type(alpha) * ((a.T if transpose_a else a) @ (b.T if transpose_b else b))
    c[...] = c + product if add else product


@allocating
def _leading(x):
    """Entries from one row to the next; of a single row NumPy may say anything, and BLAS asks for at least its length."""
    return max(x.strides[0] // x.itemsize, x.shape[1])


@overload(gemm)
def _gemm(alpha, a, transpose_a, b, transpose_b, c, add=False):
    _load()
    if not a.dtype == b.dtype == c.dtype or "F" in (a.layout, b.layout, c.layout):
        raise TypingError(f"gemm: {a}, {b} and {c} must have one dtype and contiguous rows")
    blas, dtype = (_sgemm, np.float32) if c.dtype == types.float32 else (_dgemm, np.float64)

    def implementation(alpha, a, transpose_a, b, transpose_b, c, add=False):
        # BLAS counts columns first: to it our c is its transpose, so the operands change places.
        rows, columns, inner = c.shape[0], c.shape[1], a.shape[0] if transpose_a else a.shape[1]
        if inner == 0 or c.size == 0:
            if not add:
                c[:, :] = 0
            return
        tile_rows, tile_columns, tile_inner = (rows, columns, inner) if transpose_b or rows >= MANY_ROWS else TILE
        # BLAS takes everything by address: op(b) and op(a), "T" or "N"; m, n, k and leading dimensions; factors of ab, c.
        flags, numbers, factors = np.empty(2, np.uint8), np.empty(6, np.int32), np.empty(2, dtype)
        flags[0], flags[1] = 84 if transpose_b else 78, 84 if transpose_a else 78
        numbers[3], numbers[4], numbers[5] = _leading(b), _leading(a), _leading(c)
        factors[0] = alpha
        flag, number, factor, size = flags.ctypes.data, numbers.ctypes.data, factors.ctypes.data, c.itemsize
        row_of_a, inner_of_a = (size, a.strides[0]) if transpose_a else (a.strides[0], size)
        for j in range(0, columns, tile_columns):
            for k in range(0, inner, tile_inner):
                for i in range(0, rows, tile_rows):
                    numbers[0], numbers[1] = min(tile_columns, columns - j), min(tile_rows, rows - i)
                    numbers[2] = min(tile_inner, inner - k)
                    factors[1] = 1 if add or k > 0 else 0
                    blas(
                        flag, flag + 1, number, number + 4, number + 8, factor,
                        b.ctypes.data + k * b.strides[0] + j * size, number + 12,
                        a.ctypes.data + i * row_of_a + k * inner_of_a, number + 16,
                        factor + size, c.ctypes.data + i * c.strides[0] + j * size, number + 20,
                    )  # fmt: skip
        factors[0] = flags[0] + numbers[0]  # a use after the call: an array is freed after its last one

    return implementation
