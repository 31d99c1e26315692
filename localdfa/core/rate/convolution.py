"""Kernels of convolutions with max-pooling, in settled mode, over a mini-batch.

The drive of a neuron is the largest that the convolution has in its window. f is monotone, so pooling drives is pooling
activities: h = f(max a) = max f(a). What drives a neuron is then one position, its *winner*; of ties the first in (row,
column) order. Only the winner's synapses change, by the activity of its patch of the input times the change of the neuron,
and only through it do signals pass, up or down, in the trial in which it won: the competition is over when the free phase is,
and the nudged phases do not reopen it.

A kernel that all positions share is applied to one sample after the other: its patches, one column a position, fill a matrix
for BLAS. Where each position has a kernel of its own, that matrix holds the patches of many samples at one position. Work is
shared out in blocks whose number does not depend on the threads, and what several blocks add up is summed in a fixed order:
any number of threads gives the same bits.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from localdfa.core.blas import gemm
from localdfa.core.compiled import compiled, counted

# Blocks of samples, or of positions, that threads take; and the samples whose drives at all positions are held at once.
BLOCKS, SAMPLES = 16, 64


class Route(NamedTuple):
    """How a mini-batch passed through a convolution.

    geometry: `localdfa.geometry.Geometry`; winner (m, n_post): the position that drives each neuron, counted by rows.
    """

    geometry: Any
    winner: np.ndarray

    def keep(self, rows: np.ndarray) -> "Route":
        """The same with only these samples."""
        return Route(self.geometry, self.winner[rows])


def drive(geometry: Any, weights: np.ndarray, pre: np.ndarray, out: np.ndarray) -> Route:
    """Write the drive max_window (W x + b) of each neuron, (m, n_post), into `out`; pre (m, at least n_pre)."""
    winner = np.empty(out.shape, np.int32)
    kernel = _shared_drive if geometry.shared else _own_drive
    kernel(geometry, geometry.maps, geometry.pooled, 1.0, weights, pre, False, out, winner)
    return Route(geometry, winner)


def climb(route: Route, alpha: float, weights: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """out = alpha · W change at the winners, (m, n_post): what a change of the activity below, (m, n_pre), adds to drives."""
    geometry, winner = route
    kernel = _shared_drive if geometry.shared else _own_drive
    kernel(geometry, geometry.maps, geometry.pooled, alpha, weights, change, True, out, winner)


def descend(route: Route, alpha: float, matrix: np.ndarray, change: np.ndarray, out: np.ndarray) -> None:
    """out = alpha · Mᵀ change, (m, n_pre), through the winners; matrix: shaped like the weights without their biases."""
    kernel = _shared_descent if route.geometry.shared else _own_descent
    kernel(route.geometry, route.geometry.maps, alpha, matrix, change, route.winner, out)


def total(route: Route, pre: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Σ_samples Σ_neurons patch of the winner · change, shaped like the weights; the last row sums the changes alone."""
    geometry, winner = route
    n_rows, n_columns = geometry.synapses
    if geometry.shared:
        parts = np.zeros((min(BLOCKS, len(change)), n_rows + 1, n_columns), change.dtype)
        _shared_total(geometry, geometry.maps, pre, change, winner, parts)
        return parts.sum(axis=0)
    found = np.zeros((n_rows + 1, n_columns), change.dtype)
    _own_total(geometry, geometry.maps, pre, change, winner, found)
    return found


@counted
def _overlap(start, length, size):
    """The steps from 0 to `length` that, counted from `start`, stay between 0 and `size`: the first and the one after."""
    first = min(length, max(0, -start))
    return first, max(first, min(length, size - start))


@counted
def _unfold(g, maps, activity, patches):
    """patches (synapses, positions): what each synapse of the kernel receives at each position."""
    rows, columns = maps
    for k in range(patches.shape[0]):
        i, u, v = k // (g.kernel * g.kernel), k // g.kernel % g.kernel - g.padding, k % g.kernel - g.padding
        y0, y1 = _overlap(u, rows, g.height)
        x0, x1 = _overlap(v, columns, g.width)
        received = patches[k]
        if y1 - y0 < rows or x1 - x0 < columns:
            received[:] = 0
        for y in range(y0, y1):
            to, at = y * columns, (i * g.height + y + u) * g.width + v
            for x in range(x0, x1):
                received[to + x] = activity[at + x]


@counted
def _fold(g, maps, patches, signal):
    """Add to the signal of each presynaptic neuron what its synapses at all positions bring: `_unfold` transposed."""
    rows, columns = maps
    signal[:] = 0
    for k in range(patches.shape[0]):
        i, u, v = k // (g.kernel * g.kernel), k // g.kernel % g.kernel - g.padding, k % g.kernel - g.padding
        y0, y1 = _overlap(u, rows, g.height)
        x0, x1 = _overlap(v, columns, g.width)
        brought = patches[k]
        for y in range(y0, y1):
            to, at = y * columns, (i * g.height + y + u) * g.width + v
            for x in range(x0, x1):
                signal[at + x] += brought[to + x]


@counted
def _patch(g, maps, position, activity, patch):
    """patch (synapses,): what the synapses of the kernel receive at one position."""
    top, left = position // maps[1] - g.padding, position % maps[1] - g.padding
    y0, y1 = _overlap(top, g.kernel, g.height)
    x0, x1 = _overlap(left, g.kernel, g.width)
    if y1 - y0 < g.kernel or x1 - x0 < g.kernel:
        patch[:] = 0
    for i in range(g.inputs):
        for u in range(y0, y1):
            to, at = (i * g.kernel + u) * g.kernel, (i * g.height + top + u) * g.width + left
            for v in range(x0, x1):
                patch[to + v] = activity[at + v]


@counted
def _compete(g, maps, pooled, drives, out, winner):
    """The largest of the drives (channels, positions) in each window, and where it is; a NaN wins."""
    columns, q = maps[1], 0
    for c in range(g.channels):
        for top in range(0, pooled[0] * g.stride, g.stride):
            for left in range(0, pooled[1] * g.stride, g.stride):
                best = top * columns + left
                largest = drives[c, best]
                for y in range(top, top + g.pool):
                    for p in range(y * columns + left, y * columns + left + g.pool):
                        if not drives[c, p] <= largest and largest == largest:
                            best, largest = p, drives[c, p]
                out[q] = largest
                winner[q] = best
                q += 1


@counted
def _at_winners(g, drives, winner, out):
    """The drives (channels, positions) at the winners that an earlier competition had."""
    n = winner.size // g.channels
    for q in range(winner.size):
        out[q] = drives[q // n, winner[q]]


@counted
def _to_winners(g, change, winner, arriving):
    """arriving (channels, positions): the sum of the changes of the neurons that a position drives."""
    n = winner.size // g.channels
    arriving[:] = 0
    for q in range(winner.size):
        arriving[q // n, winner[q]] += change[q]


@compiled(parallel=True, error_model="numpy")
def _shared_drive(g, maps, pooled, alpha, weights, pre, won, out, winner):
    """The largest drive in each window and its winner; or, if the competition is won already, alpha · W pre at the winners."""
    m, n_synapses, n_positions = out.shape[0], weights.shape[0] - 1, maps[0] * maps[1]
    blocks = min(BLOCKS, m)
    for block in prange(blocks):
        patches = np.empty((n_synapses, n_positions), weights.dtype)
        drives = np.empty((g.channels, n_positions), weights.dtype)
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            _unfold(g, maps, pre[s], patches)
            gemm(alpha, weights[:n_synapses], True, patches, False, drives)
            if won:
                _at_winners(g, drives, winner[s], out[s])
                continue
            for c in range(g.channels):
                for p in range(n_positions):
                    drives[c, p] += weights[n_synapses, c]
            _compete(g, maps, pooled, drives, out[s], winner[s])


@compiled(parallel=True, error_model="numpy")
def _shared_descent(g, maps, alpha, matrix, change, winner, out):
    m, n_positions = out.shape[0], maps[0] * maps[1]
    blocks = min(BLOCKS, m)
    for block in prange(blocks):
        arriving = np.empty((g.channels, n_positions), matrix.dtype)
        patches = np.empty((matrix.shape[0], n_positions), matrix.dtype)
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            _to_winners(g, change[s], winner[s], arriving)
            gemm(alpha, matrix, False, arriving, False, patches)
            _fold(g, maps, patches, out[s])


@compiled(parallel=True, error_model="numpy")
def _shared_total(g, maps, pre, change, winner, parts):
    """parts (blocks, synapses + 1, channels): the sum of each block of samples."""
    m, blocks, n_synapses, n_positions = change.shape[0], parts.shape[0], parts.shape[1] - 1, maps[0] * maps[1]
    for block in prange(blocks):
        patches = np.empty((n_synapses, n_positions), parts.dtype)
        arriving = np.empty((g.channels, n_positions), parts.dtype)
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            _unfold(g, maps, pre[s], patches)
            _to_winners(g, change[s], winner[s], arriving)
            gemm(1.0, patches, False, arriving, True, parts[block, :n_synapses], True)
            for c in range(g.channels):
                for p in range(n_positions):
                    parts[block, n_synapses, c] += arriving[c, p]


@compiled(parallel=True, error_model="numpy")
def _own_drive(g, maps, pooled, alpha, weights, pre, won, out, winner):
    """As `_shared_drive`, of positions with weights of their own."""
    m, n_synapses, n_positions = out.shape[0], weights.shape[0] - 1, maps[0] * maps[1]
    blocks = min(BLOCKS, n_positions)
    for start in range(0, m, SAMPLES):
        count = min(SAMPLES, m - start)
        drives = np.empty((n_positions, count, g.channels), weights.dtype)
        for block in prange(blocks):
            patches = np.empty((count, n_synapses), weights.dtype)
            for p in range(block * n_positions // blocks, (block + 1) * n_positions // blocks):
                own = weights[:, p * g.channels : (p + 1) * g.channels]
                for s in range(count):
                    _patch(g, maps, p, pre[start + s], patches[s])
                gemm(alpha, patches, False, own[:n_synapses], False, drives[p])
                if not won:
                    for s in range(count):
                        for c in range(g.channels):
                            drives[p, s, c] += own[n_synapses, c]
        for s in prange(count):
            if won:
                _at_winners(g, drives[:, s].T, winner[start + s], out[start + s])
            else:
                _compete(g, maps, pooled, drives[:, s].T, out[start + s], winner[start + s])


@compiled(parallel=True, error_model="numpy")
def _own_descent(g, maps, alpha, matrix, change, winner, out):
    m, n_positions, size = out.shape[0], maps[0] * maps[1], g.kernel * g.kernel
    for start in range(0, m, SAMPLES):
        count = min(SAMPLES, m - start)
        arriving = np.empty((n_positions, count, g.channels), matrix.dtype)
        for s in prange(count):
            _to_winners(g, change[start + s], winner[start + s], arriving[:, s].T)
            out[start + s] = 0
        for i in prange(g.inputs):  # no two of them write to the same neurons
            brought = np.empty((count, size), matrix.dtype)
            for p in range(n_positions):
                own = matrix[i * size : (i + 1) * size, p * g.channels : (p + 1) * g.channels]
                gemm(alpha, arriving[p], False, own, True, brought)
                top, left = p // maps[1] - g.padding, p % maps[1] - g.padding
                y0, y1 = _overlap(top, g.kernel, g.height)
                x0, x1 = _overlap(left, g.kernel, g.width)
                for s in range(count):
                    for u in range(y0, y1):
                        at = (i * g.height + top + u) * g.width + left
                        for v in range(x0, x1):
                            out[start + s, at + v] += brought[s, u * g.kernel + v]


@compiled(parallel=True, error_model="numpy")
def _own_total(g, maps, pre, change, winner, found):
    m, n_synapses, n_positions = change.shape[0], found.shape[0] - 1, maps[0] * maps[1]
    blocks = min(BLOCKS, n_positions)
    for start in range(0, m, SAMPLES):
        count = min(SAMPLES, m - start)
        arriving = np.empty((n_positions, count, g.channels), found.dtype)
        for s in prange(count):
            _to_winners(g, change[start + s], winner[start + s], arriving[:, s].T)
        for block in prange(blocks):
            patches = np.empty((count, n_synapses), found.dtype)
            for p in range(block * n_positions // blocks, (block + 1) * n_positions // blocks):
                own = found[:, p * g.channels : (p + 1) * g.channels]
                for s in range(count):
                    _patch(g, maps, p, pre[start + s], patches[s])
                    for c in range(g.channels):
                        own[n_synapses, c] += arriving[p, s, c]
                gemm(1.0, patches, True, arriving[p], False, own[:n_synapses], True)
