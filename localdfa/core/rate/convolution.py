"""Kernels of convolutions with max-pooling, in settled mode.

The drive of a neuron is the largest that the convolution has in its window. f is monotone, so pooling drives is pooling
activities: h = f(max a) = max f(a). One position then drives the neuron, its *winner*; of equal ones it is the first in (row,
column) order. Only the winner's synapses change, by the activity of its patch of the input times the change of the neuron, and
signals pass only through it, up or down, in the trial in which it won. The competition is over when the free phase is, and the
nudged phases do not reopen it.

Where all positions share one kernel, one sample is done after the other: its patches, one column a position, fill a matrix for
BLAS. Where each position has a kernel of its own, that matrix holds the patches of many samples at one position.

Activities and changes have one row a sample and their neurons in (channel, row, column) order. Drives of all positions, and
patches, exist for a few samples at a time.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from localdfa.core.blas import gemm
from localdfa.core.compiled import allocating, compiled

# The number of blocks of samples, or of positions, that threads take.
BLOCKS = 16
# Where positions have kernels of their own, the drives of so many samples at all positions are held at once.
SAMPLES = 64


class Route(NamedTuple):
    """How a mini-batch passed through a convolution."""

    geometry: Any  # `localdfa.geometry.Geometry`
    winner: np.ndarray  # (m, n_post): the position that drives each neuron, counted row by row

    def keep(self, rows: np.ndarray) -> "Route":
        """The route of these samples alone."""
        return Route(geometry=self.geometry, winner=self.winner[rows])

    def passed(self, chosen: np.ndarray, fans: np.ndarray) -> int:
        """Sum of the fans, (positions, channels), of the positions that drove the chosen neurons, (m, n_post) of bool."""
        channel = np.repeat(np.arange(self.geometry.channels), self.winner.shape[1] // self.geometry.channels)
        return int(fans[self.winner, channel][chosen].sum())


class Layout(NamedTuple):
    """The sizes of a convolution, for kernels; channels and neurons are counted as in `localdfa.geometry.Geometry`."""

    inputs: int  # presynaptic channels
    height: int  # rows of a presynaptic channel
    width: int  # columns of a presynaptic channel
    channels: int  # postsynaptic channels
    kernel: int  # rows, and columns, of a kernel
    padding: int  # rows, and columns, of zeros around a presynaptic channel
    pool: int  # rows, and columns, of the window of which a neuron takes the largest drive
    stride: int  # positions from one window to the next
    rows: int  # rows of positions, before pooling
    columns: int  # columns of positions
    pooled_rows: int  # rows of the neurons of a channel
    pooled_columns: int  # columns of the neurons of a channel


def _layout(g: Any) -> Layout:
    (rows, columns), (pooled_rows, pooled_columns) = g.maps, g.pooled
    return Layout(
        inputs=g.inputs,
        height=g.height,
        width=g.width,
        channels=g.channels,
        kernel=g.kernel,
        padding=g.padding,
        pool=g.pool,
        stride=g.stride,
        rows=rows,
        columns=columns,
        pooled_rows=pooled_rows,
        pooled_columns=pooled_columns,
    )


def drive(geometry: Any, weights: np.ndarray, pre: np.ndarray, out: np.ndarray) -> Route:
    """Write the drives max_window (W x + b), (m, n_post), into `out`; returns the route that the mini-batch took.

    pre: x (m, at least n_pre).
    """
    winner = np.empty(out.shape, np.int32)
    kernel = _shared_drive if geometry.shared else _unshared_drive
    kernel(_layout(geometry), 1.0, weights, pre, False, winner, out)
    return Route(geometry=geometry, winner=winner)


def climb(route: Route, alpha: float, weights: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """Write alpha · W Δh at the winners, (m, n_post), into `out`: what a change of activity below, (m, n_pre), adds to drives.

    weights: with the biases, which are not read.
    """
    kernel = _shared_drive if route.geometry.shared else _unshared_drive
    kernel(_layout(route.geometry), alpha, weights, change, True, route.winner, out)


def descend(route: Route, alpha: float, matrix: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """Write alpha · Mᵀ Δz, (m, n_pre), into `out`, which comes down through the winners.

    matrix: M, shaped like the weights without their biases. change: Δz (m, n_post).
    """
    kernel = _shared_descent if route.geometry.shared else _unshared_descent
    kernel(_layout(route.geometry), alpha, matrix, change, route.winner, out)


def total(route: Route, pre: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Σ_samples Σ_neurons patch of the winner · change, shaped like the weights; the last row sums the changes alone."""
    geometry, winner = route
    n_synapses, n_columns = geometry.synapses
    if geometry.shared:
        parts = np.zeros((min(BLOCKS, len(change)), n_synapses + 1, n_columns), change.dtype)
        _shared_total(_layout(geometry), pre, change, winner, parts)
        return parts.sum(axis=0)
    out = np.zeros((n_synapses + 1, n_columns), change.dtype)
    _unshared_total(_layout(geometry), pre, change, winner, out)
    return out


# --- where all positions share a kernel -------------------------------------------------------------------------------


@compiled(parallel=True, error_model="numpy")
def _shared_drive(
    g,  # `Layout`
    alpha,  # a factor of the drives of a competition that is over
    weights,  # (synapses + 1, channels), the biases last
    pre,  # presynaptic activity, or its change, (m, at least n_pre)
    is_over,  # whether `winner` is given; else the positions compete, and biases are added
    winner,  # (m, n_post), is written unless the competition is over
    out,  # (m, n_post) becomes the largest drive of each window, or alpha · W pre at the winners
):
    """Drive neurons by the positions that win their windows, or that have won them."""
    m, n_synapses, n_positions = out.shape[0], weights.shape[0] - 1, g.rows * g.columns
    blocks = min(BLOCKS, m)
    for block in prange(blocks):
        patches = np.empty((n_synapses, n_positions), weights.dtype)
        drives = np.empty((g.channels, n_positions), weights.dtype)
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            _unfold(g, pre[s], patches)
            gemm(alpha, weights[:n_synapses], True, patches, False, drives)
            if is_over:
                _at_winners(g, drives, winner[s], out[s])
                continue
            for c in range(g.channels):
                for p in range(n_positions):
                    drives[c, p] += weights[n_synapses, c]
            _compete(g, drives, out[s], winner[s])


@compiled(parallel=True, error_model="numpy")
def _shared_descent(
    g,  # `Layout`
    alpha,  # a factor
    matrix,  # M (synapses, channels)
    change,  # Δz (m, n_post)
    winner,  # (m, n_post)
    out,  # (m, n_pre) becomes alpha · Mᵀ Δz
):
    """Send the changes of neurons down through the positions that drove them."""
    m, n_positions = out.shape[0], g.rows * g.columns
    blocks = min(BLOCKS, m)
    for block in prange(blocks):
        arriving = np.empty((g.channels, n_positions), matrix.dtype)
        patches = np.empty((matrix.shape[0], n_positions), matrix.dtype)
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            _to_winners(g, change[s], winner[s], arriving)
            gemm(alpha, matrix, False, arriving, False, patches)
            _fold(g, patches, out[s])


@compiled(parallel=True, error_model="numpy")
def _shared_total(
    g,  # `Layout`
    pre,  # presynaptic activity (m, at least n_pre)
    change,  # postsynaptic change (m, n_post)
    winner,  # (m, n_post)
    parts,  # (blocks, synapses + 1, channels), zeros, becomes the sum of each block of samples
):
    """Sum pre · post change over the samples and neurons of each block."""
    m, blocks, n_synapses, n_positions = change.shape[0], parts.shape[0], parts.shape[1] - 1, g.rows * g.columns
    for block in prange(blocks):
        patches = np.empty((n_synapses, n_positions), parts.dtype)
        arriving = np.empty((g.channels, n_positions), parts.dtype)
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            _unfold(g, pre[s], patches)
            _to_winners(g, change[s], winner[s], arriving)
            gemm(1.0, patches, False, arriving, True, parts[block, :n_synapses], True)
            for c in range(g.channels):
                for p in range(n_positions):
                    parts[block, n_synapses, c] += arriving[c, p]


# --- where each position has a kernel of its own ----------------------------------------------------------------------


@compiled(parallel=True, error_model="numpy")
def _unshared_drive(
    g,  # `Layout`
    alpha,  # a factor of the drives of a competition that is over
    weights,  # (synapses + 1, positions · channels), the biases last; those of a position stand together
    pre,  # presynaptic activity, or its change, (m, at least n_pre)
    is_over,  # whether `winner` is given; else the positions compete, and biases are added
    winner,  # (m, n_post), is written unless the competition is over
    out,  # (m, n_post) becomes the largest drive of each window, or alpha · W pre at the winners
):
    """Drive neurons by the positions that win their windows, or that have won them."""
    m, n_synapses, n_positions = out.shape[0], weights.shape[0] - 1, g.rows * g.columns
    blocks = min(BLOCKS, n_positions)
    for start in range(0, m, SAMPLES):
        count = min(SAMPLES, m - start)
        drives = np.empty((n_positions, count, g.channels), weights.dtype)
        for block in prange(blocks):
            patches = np.empty((count, n_synapses), weights.dtype)
            for p in range(block * n_positions // blocks, (block + 1) * n_positions // blocks):
                here = weights[:, p * g.channels : (p + 1) * g.channels]
                for s in range(count):
                    _patch(g, p, pre[start + s], patches[s])
                gemm(alpha, patches, False, here[:n_synapses], False, drives[p])
                if not is_over:
                    for s in range(count):
                        for c in range(g.channels):
                            drives[p, s, c] += here[n_synapses, c]
        for s in prange(count):
            if is_over:
                _at_winners(g, drives[:, s].T, winner[start + s], out[start + s])
            else:
                _compete(g, drives[:, s].T, out[start + s], winner[start + s])


@compiled(parallel=True, error_model="numpy")
def _unshared_descent(
    g,  # `Layout`
    alpha,  # a factor
    matrix,  # M (synapses, positions · channels)
    change,  # Δz (m, n_post)
    winner,  # (m, n_post)
    out,  # (m, n_pre) becomes alpha · Mᵀ Δz
):
    """Send the changes of neurons down through the positions that drove them."""
    m, n_positions, size = out.shape[0], g.rows * g.columns, g.kernel * g.kernel
    for start in range(0, m, SAMPLES):
        count = min(SAMPLES, m - start)
        arriving = np.empty((n_positions, count, g.channels), matrix.dtype)
        for s in prange(count):
            _to_winners(g, change[start + s], winner[start + s], arriving[:, s].T)
            out[start + s] = 0
        for i in prange(g.inputs):  # no two presynaptic channels have neurons in common
            brought = np.empty((count, size), matrix.dtype)
            for p in range(n_positions):
                here = matrix[i * size : (i + 1) * size, p * g.channels : (p + 1) * g.channels]
                gemm(alpha, arriving[p], False, here, True, brought)
                top, left = p // g.columns - g.padding, p % g.columns - g.padding
                y0, y1 = _overlap(top, g.kernel, g.height)
                x0, x1 = _overlap(left, g.kernel, g.width)
                for s in range(count):
                    for u in range(y0, y1):
                        at = (i * g.height + top + u) * g.width + left
                        for v in range(x0, x1):
                            out[start + s, at + v] += brought[s, u * g.kernel + v]


@compiled(parallel=True, error_model="numpy")
def _unshared_total(
    g,  # `Layout`
    pre,  # presynaptic activity (m, at least n_pre)
    change,  # postsynaptic change (m, n_post)
    winner,  # (m, n_post)
    out,  # (synapses + 1, positions · channels), zeros, becomes the sum
):
    """Sum pre · post change over samples, for the synapses of each position."""
    m, n_synapses, n_positions = change.shape[0], out.shape[0] - 1, g.rows * g.columns
    blocks = min(BLOCKS, n_positions)
    for start in range(0, m, SAMPLES):
        count = min(SAMPLES, m - start)
        arriving = np.empty((n_positions, count, g.channels), out.dtype)
        for s in prange(count):
            _to_winners(g, change[start + s], winner[start + s], arriving[:, s].T)
        for block in prange(blocks):
            patches = np.empty((count, n_synapses), out.dtype)
            for p in range(block * n_positions // blocks, (block + 1) * n_positions // blocks):
                here = out[:, p * g.channels : (p + 1) * g.channels]
                for s in range(count):
                    _patch(g, p, pre[start + s], patches[s])
                    for c in range(g.channels):
                        here[n_synapses, c] += arriving[p, s, c]
                gemm(1.0, patches, True, arriving[p], False, here[:n_synapses], True)


# --- patches of the input ---------------------------------------------------------------------------------------------


@allocating
def _overlap(start, length, size):
    """Which of `length` steps from `start` on lie between 0 and `size`: the first of them, and the one after the last."""
    first = min(length, max(0, -start))
    return first, max(first, min(length, size - start))


@allocating
def _unfold(g, activity, patches):
    """Write what each synapse of the kernel receives at each position into patches (synapses, positions)."""
    for k in range(patches.shape[0]):
        i, u, v = k // (g.kernel * g.kernel), k // g.kernel % g.kernel - g.padding, k % g.kernel - g.padding
        y0, y1 = _overlap(u, g.rows, g.height)
        x0, x1 = _overlap(v, g.columns, g.width)
        received = patches[k]
        if y1 - y0 < g.rows or x1 - x0 < g.columns:
            received[:] = 0
        for y in range(y0, y1):
            to, at = y * g.columns, (i * g.height + y + u) * g.width + v
            for x in range(x0, x1):
                received[to + x] = activity[at + x]


@allocating
def _fold(g, patches, signal):
    """Sum into the signal of each presynaptic neuron what its synapses bring at all positions: `_unfold` transposed."""
    signal[:] = 0
    for k in range(patches.shape[0]):
        i, u, v = k // (g.kernel * g.kernel), k // g.kernel % g.kernel - g.padding, k % g.kernel - g.padding
        y0, y1 = _overlap(u, g.rows, g.height)
        x0, x1 = _overlap(v, g.columns, g.width)
        brought = patches[k]
        for y in range(y0, y1):
            to, at = y * g.columns, (i * g.height + y + u) * g.width + v
            for x in range(x0, x1):
                signal[at + x] += brought[to + x]


@allocating
def _patch(g, position, activity, patch):
    """Write what the synapses of the kernel receive at one position into patch (synapses,)."""
    top, left = position // g.columns - g.padding, position % g.columns - g.padding
    y0, y1 = _overlap(top, g.kernel, g.height)
    x0, x1 = _overlap(left, g.kernel, g.width)
    if y1 - y0 < g.kernel or x1 - x0 < g.kernel:
        patch[:] = 0
    for i in range(g.inputs):
        for u in range(y0, y1):
            to, at = (i * g.kernel + u) * g.kernel, (i * g.height + top + u) * g.width + left
            for v in range(x0, x1):
                patch[to + v] = activity[at + v]


# --- the competition of positions -------------------------------------------------------------------------------------


@allocating
def _compete(g, drives, out, winner):
    """Write the largest of the drives (channels, positions) in each window into out (n_post,), and where it is into winner.

    A NaN wins.
    """
    q = 0
    for c in range(g.channels):
        for top in range(0, g.pooled_rows * g.stride, g.stride):
            for left in range(0, g.pooled_columns * g.stride, g.stride):
                best = top * g.columns + left
                largest = drives[c, best]
                for y in range(top, top + g.pool):
                    for p in range(y * g.columns + left, y * g.columns + left + g.pool):
                        if not drives[c, p] <= largest and largest == largest:
                            best, largest = p, drives[c, p]
                out[q] = largest
                winner[q] = best
                q += 1


@allocating
def _at_winners(g, drives, winner, out):
    """Write the drives (channels, positions) at the winners of an earlier competition into out (n_post,)."""
    n = winner.size // g.channels
    for q in range(winner.size):
        out[q] = drives[q // n, winner[q]]


@allocating
def _to_winners(g, change, winner, arriving):
    """Sum into arriving (channels, positions) the changes of the neurons that each position drives."""
    n = winner.size // g.channels
    arriving[:] = 0
    for q in range(winner.size):
        arriving[q // n, winner[q]] += change[q]
