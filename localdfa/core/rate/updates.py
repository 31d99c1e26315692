"""Kernels of the settled mode: dense products, activities and weight updates over a mini-batch.

Arrays hold one row a sample. Weights are stored with one row a presynaptic neuron, shape (n_pre + 1, n_post), so that the
synapses an event touches lie side by side; the last row holds the biases, synapses from a neuron that is always on.

Work is shared out in blocks whose number does not depend on the threads, and each entry is summed by one thread in a
fixed order: any number of threads gives the same bits.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import prange

from localdfa.core.blas import gemm
from localdfa.core.compiled import compiled, counted, inner

# Below this many rows a product is bound by memory: row by row it skips silent presynaptic neurons, and beats BLAS.
FEW_ROWS = 4
# Groups of presynaptic neurons whose sums are found apart.
PARTS = 8
# Presynaptic rows whose gradient is held at once.
ROWS = 32


def product(alpha: float, a: np.ndarray, b: np.ndarray, transpose_b: bool, c: np.ndarray) -> None:
    """c = alpha · a b, or alpha · a bᵀ; a (m, k), b (k, n) or (n, k), c (m, n), one dtype, rows contiguous."""
    # Two kernels, for most processes need only one of them compiled.
    if a.shape[0] < FEW_ROWS and not transpose_b:
        _by_events(alpha, a, b, c)
    else:
        _by_columns(alpha, a, b, transpose_b, c)


@compiled(parallel=True, error_model="numpy")
def _by_columns(alpha, a, b, transpose_b, c):
    """`product` of many samples, cut into blocks of postsynaptic neurons."""
    _require_rows(a, b, c)
    n = c.shape[1]
    blocks, width = _columns(n)
    for block in prange(blocks):
        j0, j1 = min(n, block * width), min(n, (block + 1) * width)
        # Cut along both axes, all operands are of one type, here and in `from_factors`: Numba compiles a single `gemm`.
        part = b[j0:j1, 0 : b.shape[1]] if transpose_b else b[0 : b.shape[0], j0:j1]
        gemm(alpha, a[:, 0 : a.shape[1]], False, part, transpose_b, c[:, j0:j1])


@counted
def _scattered(x):
    """Whether the entries of a row do not lie side by side."""
    return x.shape[0] > 0 and x.shape[1] > 1 and x.strides[1] != x.itemsize


@counted
def _require_rows(a, b, c):
    if _scattered(a) or _scattered(b) or _scattered(c):
        raise ValueError("product: an array whose rows are not contiguous")


@counted
def _columns(n):
    """Number and width of the blocks of postsynaptic neurons; the same everywhere, so that a core finds its own in cache."""
    blocks = 2 * ((n + 511) // 512)
    return blocks, (n + blocks - 1) // blocks


@compiled(parallel=True, error_model="numpy")
def _by_events(alpha, a, b, c):
    """c = alpha · a b of few samples, one pass over a row of b for each non-zero entry of a.

    A core takes the rows that it changes when they learn, so that it finds them in its own cache.
    """
    _require_rows(a, b, c)
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


@cache
def activation(neuron: Any) -> Any:
    """The kernel that settles a population of rate neurons of one model."""
    f = neuron.f

    @compiled(parallel=True, error_model="numpy")
    def settle(p, threshold, drive, activity, sent):
        """h = f(a): drive and activity (m, n); sent (m, n + 1) gets the graded events, h where |h| > threshold.

        Returns the number of events and of activities that are not finite.
        """
        events, broken = 0, 0
        for s in prange(drive.shape[0]):
            here, lost = np.uint32(0), np.uint32(0)  # 32 bits, as wide as float32
            for i in range(drive.shape[1]):
                h = f(p, drive[s, i])
                activity[s, i] = h
                fires = abs(h) > threshold
                sent[s, i] = h if fires else h * 0
                here = np.uint32(here + np.uint32(fires))
                lost = np.uint32(lost + np.uint32(not abs(h) < np.inf))
            events += here
            broken += lost
        return events, broken

    return settle


@cache
def descent(neuron: Any) -> Any:
    """The kernel of −c ∘ f'(a), for the exact rules and the measurements; the local rule has no use for it."""
    df = neuron.df

    @compiled(parallel=True, error_model="numpy")
    def descend(p, drive, signal, change):
        """drive a, signal c and change, all (m, n)."""
        for s in prange(drive.shape[0]):
            for i in range(drive.shape[1]):
                change[s, i] = -df(p, drive[s, i]) * signal[s, i]

    return descend


@compiled(error_model="numpy")
def active(pre):
    """Indices of the presynaptic neurons (columns) with any activity in the mini-batch, pre (m, n)."""
    any_activity, found, n = np.zeros(pre.shape[1], np.bool_), np.empty(pre.shape[1], np.int64), 0
    for s in range(pre.shape[0]):
        for i in range(pre.shape[1]):
            any_activity[i] |= pre[s, i] != 0
        if any_activity.all():
            break
    for i in range(pre.shape[1]):
        if any_activity[i]:
            found[n] = i
            n += 1
    return found[:n]


@inner
def _pick(pre, rows, first, activity):
    """activity (m, k): the columns rows[first:] of pre."""
    for s in range(activity.shape[0]):
        for r in range(activity.shape[1]):
            activity[s, r] = pre[s, rows[first + r]]


@inner
def _few(pre, change, gradient):
    """gradient = −Σ_samples pre · change, shapes (m, k), (m, n), (k, n), for few samples."""
    for r in range(gradient.shape[0]):
        for i in range(gradient.shape[1]):
            gradient[r, i] = 0
        for s in range(pre.shape[0]):
            for i in range(gradient.shape[1]):
                gradient[r, i] -= pre[s, r] * change[s, i]


@cache
def learning(optimiser: Any) -> Any:
    """The two kernels that change the weights of one projection by one optimiser: from factors, or from their sum."""
    row = optimiser.row

    @inner
    def visit(p, weight_decay, gradient, rows, first, weights, state, last, step):
        """Hand the optimiser row after row of the gradient (k, n_post), synapses from presynaptic neurons rows[first:]."""
        for r in range(gradient.shape[0]):
            j, g = rows[first + r], gradient[r]
            if weight_decay > 0 and j < weights.shape[0] - 1:
                for i in range(g.size):
                    g[i] += weight_decay * weights[j, i]
            row(p, weights[j], g, state[j], step, step - last[j] - 1)
            last[j] = step

    @compiled(parallel=True, error_model="numpy")
    def from_factors(p, weight_decay, pre, rows, change, weights, state, last, step):
        """g = −Σ_samples pre · change for every synapse from the presynaptic neurons `rows`.

        pre (m, n_pre + 1) and change (m, n_post): activity and postsynaptic change; weights (n_pre + 1, n_post); state
        (n_pre + 1, n_state, n_post); last (n_pre + 1,): the update that each row last had; step: this one.
        """
        n = weights.shape[1]
        for block in prange((rows.size + ROWS - 1) // ROWS):
            first = block * ROWS
            count = min(rows.size - first, ROWS)
            activity, gradient = np.empty((pre.shape[0], count), pre.dtype), np.empty((count, n), weights.dtype)
            _pick(pre, rows, first, activity)
            if pre.shape[0] < FEW_ROWS:
                _few(activity, change, gradient)
            else:
                gemm(-1.0, activity[:, 0:count], True, change[:, 0:n], False, gradient[:, 0:n])
            visit(p, weight_decay, gradient, rows, first, weights, state, last, step)

    @compiled(parallel=True, error_model="numpy")
    def from_sum(p, weight_decay, total, weights, state, last, step):
        """g = −total, which already sums pre · post change over the samples: (n_pre + 1, n_post)."""
        rows = np.arange(weights.shape[0])
        for block in prange((rows.size + ROWS - 1) // ROWS):
            first = block * ROWS
            visit(p, weight_decay, -total[first : first + ROWS], rows, first, weights, state, last, step)

    return from_factors, from_sum
