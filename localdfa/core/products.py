"""Products of dense matrices that compiled threads share out, for few rows and for many.

The result is cut into blocks whose number does not depend on the number of threads, and one thread sums each entry in a fixed
order, so any number of threads gives the same bits.
"""

import numpy as np
from numba import prange

from localdfa.core.blas import gemm
from localdfa.core.compiled import allocating, compiled

# Below this many rows, memory bounds a product. Going through b row by row skips the zeros of a, and is faster than BLAS.
FEW_ROWS = 4
# With few rows, the sum over the rows of b is split into so many partial sums.
PARTS = 8


def product(alpha: float, a: np.ndarray, b: np.ndarray, transpose_b: bool, c: np.ndarray) -> None:
    """Write c = alpha · a b, or alpha · a bᵀ if `transpose_b`.

    Shapes: a (m, k), b (k, n) or, transposed, (n, k), c (m, n). All have one dtype, and the entries of a row are contiguous.

    Raises
    ------
    ValueError, numba.core.errors.TypingError
        The entries of a row are not contiguous, or the arrays have different dtypes.
    """
    # These are two kernels because most processes need only one of them, and need not compile the other.
    if a.shape[0] < FEW_ROWS and not transpose_b:
        _row_by_row(alpha, a, b, c)
    else:
        _by_columns(alpha, a, b, transpose_b, c)


@compiled(parallel=True, error_model="numpy")
def _by_columns(alpha, a, b, transpose_b, c):
    """The product of many rows. Threads take blocks of columns of c."""
    _require_contiguous_rows(a, b, c)
    n = c.shape[1]
    blocks, width = _column_blocks(n)
    for block in prange(blocks):
        j0, j1 = min(n, block * width), min(n, (block + 1) * width)
        # Sliced along both axes, all operands have one Numba type, so a single `gemm` is compiled. `updates` does the same.
        part = b[j0:j1, 0 : b.shape[1]] if transpose_b else b[0 : b.shape[0], j0:j1]
        gemm(alpha, a[:, 0 : a.shape[1]], False, part, transpose_b, c[:, j0:j1])


@compiled(parallel=True, error_model="numpy")
def _row_by_row(alpha, a, b, c):
    """The product of few rows: each non-zero entry of a adds a multiple of one row of b.

    Threads take groups of rows of b. The rows of weights that a core reads here are those that it changes when they learn, so
    it finds them in its own cache.
    """
    _require_contiguous_rows(a, b, c)
    m, k = a.shape
    parts = np.zeros((PARTS, m, c.shape[1]), c.dtype)
    for part in prange(PARTS):
        for s in range(m):
            target = parts[part, s]
            for r in range(part * k // PARTS, (part + 1) * k // PARTS):
                if a[s, r] != 0:
                    size, row = a[s, r], b[r]
                    for j in range(target.size):
                        target[j] += size * row[j]
    for s in range(m):
        c[s] = 0
        for part in range(PARTS):
            for j in range(c.shape[1]):
                c[s, j] += alpha * parts[part, s, j]


@allocating
def _column_blocks(n):
    """Number and width of the blocks of n columns; they depend on n alone, so that a core finds its own columns in cache."""
    blocks = 2 * ((n + 511) // 512)
    return blocks, (n + blocks - 1) // blocks


@allocating
def _scattered(x):
    """Whether the entries of a row do not lie side by side."""
    return x.shape[0] > 0 and x.shape[1] > 1 and x.strides[1] != x.itemsize


@allocating
def _require_contiguous_rows(a, b, c):
    if _scattered(a) or _scattered(b) or _scattered(c):
        raise ValueError("product: an array whose rows are not contiguous")
