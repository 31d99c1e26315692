"""Kernels of the settled mode: dense products, activities and weight updates over a mini-batch.

Arrays hold one row a sample. Weights are stored with one row a presynaptic neuron, shape (n_pre + 1, n_post), so that the
synapses an event touches lie side by side; the last row holds the biases, synapses from a neuron that is always on.

Work is shared out in blocks whose number does not depend on the threads, and each entry is summed by one thread in a
fixed order: any number of threads gives the same bits.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, prange

from localdfa.core.blas import gemm

# Below this many rows a product is bound by memory: row by row it skips silent presynaptic neurons, and beats BLAS.
FEW_ROWS = 4
# Presynaptic rows that are updated together, and the multiplications in a tile of their gradient: up to a million OpenBLAS
# multiplies without repacking its operands first.
ROWS, TILE = 24, 1_000_000


@njit(parallel=True, error_model="numpy")
def product(alpha, a, b, transpose_b, c):
    """c = alpha · a b, or alpha · a bᵀ; a (m, k), b (k, n) or (n, k), c (m, n), one dtype, rows contiguous."""
    if _scattered(a) or _scattered(b) or _scattered(c):
        raise ValueError("product: an array whose rows are not contiguous")
    n = c.shape[1]
    blocks, width = _columns(n)
    by_events = a.shape[0] < FEW_ROWS and not transpose_b
    for block in prange(blocks):
        j0, j1 = min(n, block * width), min(n, (block + 1) * width)
        if by_events:
            _by_events(alpha, a, b, c, j0, j1)
        else:
            # Cut along both axes, all operands are of one type, that of `from_factors`: Numba compiles a single `gemm`.
            part = b[j0:j1, 0 : b.shape[1]] if transpose_b else b[0 : b.shape[0], j0:j1]
            gemm(alpha, a[:, 0 : a.shape[1]], False, part, transpose_b, c[:, j0:j1])


@njit(error_model="numpy")
def _scattered(x):
    """Whether the entries of a row do not lie side by side."""
    return x.shape[0] > 0 and x.shape[1] > 1 and x.strides[1] != x.itemsize


@njit(error_model="numpy")
def _columns(n):
    """Number and width of the blocks of postsynaptic neurons; the same everywhere, so that a core finds its own in cache."""
    blocks = 2 * ((n + 511) // 512)
    return blocks, (n + blocks - 1) // blocks


@njit(error_model="numpy")
def _by_events(alpha, a, b, c, j0, j1):
    """Columns j0 … j1 of alpha · a b, one pass over a row of b for each non-zero entry of a."""
    for s in range(a.shape[0]):
        target = c[s, j0:j1]
        target[:] = 0
        for k in range(a.shape[1]):
            if a[s, k] != 0:
                size, row = a[s, k], b[k, j0:j1]
                for j in range(j1 - j0):
                    target[j] += size * row[j]
        if alpha != 1:
            for j in range(j1 - j0):
                target[j] *= alpha


@cache
def activation(neuron: Any) -> Any:
    """The kernel that settles a population of rate neurons of one model."""
    f = neuron.f

    @njit(parallel=True, error_model="numpy")
    def settle(p, threshold, drive, activity, sent):
        """h = f(a): drive and activity (m, n); sent (m, n + 1) gets the graded events, h where |h| > threshold.

        Returns the number of events and of activities that are not finite.
        """
        events, broken = 0, 0
        for s in prange(drive.shape[0]):
            for i in range(drive.shape[1]):
                h = f(p, drive[s, i])
                activity[s, i] = h
                fires = abs(h) > threshold
                sent[s, i] = h if fires else h * 0
                events += fires
                broken += not abs(h) < np.inf
        return events, broken

    return settle


@cache
def descent(neuron: Any) -> Any:
    """The kernel of −c ∘ f'(a), for the exact rules and the measurements; the local rule has no use for it."""
    df = neuron.df

    @njit(parallel=True, error_model="numpy")
    def kernel(p, drive, signal, change):
        """drive a, signal c and change, all (m, n)."""
        for s in prange(drive.shape[0]):
            for i in range(drive.shape[1]):
                change[s, i] = -df(p, drive[s, i]) * signal[s, i]

    return kernel


@njit(error_model="numpy")
def active(pre):
    """Indices of the presynaptic neurons (columns) with any activity in the mini-batch, pre (m, n)."""
    any_activity, found, n = np.zeros(pre.shape[1], np.bool_), np.empty(pre.shape[1], np.int64), 0
    for s in range(pre.shape[0]):
        for i in range(pre.shape[1]):
            any_activity[i] |= pre[s, i] != 0
    for i in range(pre.shape[1]):
        if any_activity[i]:
            found[n] = i
            n += 1
    return found[:n]


@cache
def learning(optimiser: Any) -> Any:
    """The two kernels that change the weights of one projection by one optimiser: from factors, or from their sum."""
    row = optimiser.row

    @njit(error_model="numpy")
    def visit(p, weight_decay, g, j, weights, state, last, step):
        """Hand the optimiser the gradient g (n_post,) of the synapses from presynaptic neuron j."""
        if weight_decay > 0 and j < weights.shape[0] - 1:
            for i in range(g.size):
                g[i] += weight_decay * weights[j, i]
        row(p, weights[j], g, state[j], step, step - last[j] - 1)
        last[j] = step

    @njit(parallel=True, error_model="numpy")
    def from_factors(p, weight_decay, pre, rows, change, weights, state, last, step):
        """g = −Σ_samples pre · change for every synapse from the presynaptic neurons `rows`.

        pre (m, rows.size): their activity; change (m, n_post): the postsynaptic change; weights (n_pre + 1, n_post);
        state (n_pre + 1, n_state, n_post); last (n_pre + 1,): the update that each row last had; step: this one.
        """
        n, blocks = weights.shape[1], (rows.size + ROWS - 1) // ROWS
        width = max(16, TILE // (ROWS * max(1, pre.shape[0])) // 16 * 16)
        for block in prange(blocks):
            r0, r1 = block * ROWS, min(rows.size, (block + 1) * ROWS)
            gradient = np.empty((r1 - r0, n), weights.dtype)
            for i0 in range(0, n, width):
                i1 = min(n, i0 + width)
                gemm(-1.0, pre[:, r0:r1], True, change[:, i0:i1], False, gradient[:, i0:i1])
            for r in range(r0, r1):
                visit(p, weight_decay, gradient[r - r0], rows[r], weights, state, last, step)

    @njit(parallel=True, error_model="numpy")
    def from_sum(p, weight_decay, total, weights, state, last, step):
        """g = −total, which already sums pre · post change over the samples: (n_pre + 1, n_post)."""
        for j in prange(weights.shape[0]):
            visit(p, weight_decay, -total[j], j, weights, state, last, step)

    return from_factors, from_sum
