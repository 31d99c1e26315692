"""Kernels that change the weights of one projection by an optimiser, one row of synapses after the other.

The gradient of a dense projection, −Σ_samples pre · change, is formed for a block of presynaptic neurons at a time, so it is
never held whole.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from localdfa.core.blas import gemm
from localdfa.core.compiled import as_argument, compiled, device
from localdfa.core.products import FEW_ROWS

# The number of presynaptic neurons whose gradient is held at once.
ROWS = 32


class Synapses(NamedTuple):
    """The synapses of one projection, all of which a kernel changes in place."""

    weights: np.ndarray  # (n_pre + 1, n_post), the biases last; (n_pre, n_post) without biases, and so on below
    state: np.ndarray  # (n_pre + 1, n_state, n_post): what the optimiser remembers of each synapse
    last: np.ndarray  # (n_pre + 1,): the number of the update that visited a row last, 0 for none
    n_decaying: int  # rows that weight decay is about, from the first: all but biases


class Kernels(NamedTuple):
    """The two kernels by which one optimiser changes weights."""

    from_factors: Any
    from_sum: Any


@cache
def kernels(optimiser: Any) -> Kernels:
    """The kernels of one optimiser model; see `localdfa.optimisers`."""
    change_row = as_argument(optimiser.row)

    @compiled(parallel=True, error_model="numpy")
    def from_factors(
        p,  # parameters of the optimiser
        weight_decay,  # λ: adds λ w to the gradient of every weight that is no bias
        pre,  # presynaptic activity (m, n_pre + 1)
        rows,  # the presynaptic neurons whose synapses are visited, (n_visited,)
        change,  # postsynaptic change (m, n_post)
        synapses,  # `Synapses`
        step,  # the number of this update, from 1
    ):
        """Change synapses by the gradient −Σ_samples pre · change."""
        n_post = synapses.weights.shape[1]
        for block in prange((rows.size + ROWS - 1) // ROWS):
            first = block * ROWS
            count = min(rows.size - first, ROWS)
            activity = np.empty((pre.shape[0], count), pre.dtype)
            gradient = np.empty((count, n_post), synapses.weights.dtype)
            _columns(pre, rows, first, activity)
            if pre.shape[0] < FEW_ROWS:
                _gradient_of_few(activity, change, gradient)
            else:
                gemm(-1.0, activity[:, 0:count], True, change[:, 0:n_post], False, gradient[:, 0:n_post])
            _visit(change_row, p, weight_decay, gradient, rows, first, synapses, step)

    @compiled(parallel=True, error_model="numpy")
    def from_sum(
        p,  # parameters of the optimiser
        weight_decay,  # λ, as above
        total,  # Σ_samples pre · change, (n_pre + 1, n_post)
        synapses,  # `Synapses`
        step,  # the number of this update, from 1
    ):
        """Change all synapses by the gradient −total."""
        rows = np.arange(synapses.weights.shape[0])
        for block in prange((rows.size + ROWS - 1) // ROWS):
            first = block * ROWS
            _visit(change_row, p, weight_decay, -total[first : first + ROWS], rows, first, synapses, step)

    return Kernels(from_factors=from_factors, from_sum=from_sum)


@compiled(error_model="numpy")
def active(pre):
    """Indices of the presynaptic neurons (columns) with any activity in the mini-batch, pre (m, n)."""
    any_activity, indices, n = np.zeros(pre.shape[1], np.bool_), np.empty(pre.shape[1], np.int64), 0
    for s in range(pre.shape[0]):
        for i in range(pre.shape[1]):
            any_activity[i] |= pre[s, i] != 0
        if any_activity.all():
            break
    for i in range(pre.shape[1]):
        if any_activity[i]:
            indices[n] = i
            n += 1
    return indices[:n]


@device
def _visit(
    change_row,  # the optimiser's hook
    p,  # its parameters
    weight_decay,  # λ
    gradient,  # (k, n_post), is changed
    rows,  # presynaptic neurons; this gradient is that of rows[first : first + k]
    first,
    synapses,  # `Synapses`
    step,  # the number of this update
):
    """Hand the optimiser one row of synapses after the other."""
    for r in range(gradient.shape[0]):
        j, g = rows[first + r], gradient[r]
        if weight_decay > 0 and j < synapses.n_decaying:
            for i in range(g.size):
                g[i] += weight_decay * synapses.weights[j, i]
        change_row(p, synapses.weights[j], g, synapses.state[j], step, step - synapses.last[j] - 1)
        synapses.last[j] = step


@device
def _columns(pre, rows, first, activity):
    """Copy the columns rows[first:] of pre into activity (m, k)."""
    for s in range(activity.shape[0]):
        for r in range(activity.shape[1]):
            activity[s, r] = pre[s, rows[first + r]]


@device
def _gradient_of_few(pre, change, gradient):
    """Write the gradient −Σ_samples pre · change of few samples; shapes (m, k), (m, n), (k, n)."""
    for r in range(gradient.shape[0]):
        for i in range(gradient.shape[1]):
            gradient[r, i] = 0
        for s in range(pre.shape[0]):
            for i in range(gradient.shape[1]):
                gradient[r, i] -= pre[s, r] * change[s, i]
