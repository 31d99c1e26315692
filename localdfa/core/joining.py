"""Loops over synapses that are being drawn: from steps between pairs to rows, and from one order of synapses to another."""

import numpy as np

from localdfa.core.compiled import compiled


@compiled(error_model="numpy", nogil=True)
def place_pairs(
    steps,  # exponential random numbers: how far it is from each synapse to the next, over `scale`
    scale,  # of these steps, in pairs
    at,  # the last pair that has been joined, −1 at first; pairs are in the order of presynaptic neurons
    n_pre,
    n_post,
    counts,  # (n_pre,) counts the synapses of each presynaptic neuron
    targets,  # gets the postsynaptic neurons
    count,  # how many targets there are, with room for one a step behind them
):
    """Join pairs; returns the last one, which lies beyond all pairs at the end, and how many targets there are."""
    most = float(n_pre) * n_post
    row = at // n_post
    column = at - row * n_post
    for step in steps:
        column += int(min(step * scale, most)) + 1  # a step past the last pair is as good as any
        if column >= n_post:
            more = column // n_post
            row += more
            column -= more * n_post
            if row >= n_pre:
                break
        counts[row] += 1
        targets[count] = column
        count += 1
    return row * n_post + column, count


@compiled(error_model="numpy", nogil=True)
def by_sender(senders, n_pre, targets):
    """From the presynaptic neurons (n_post, k) of each neuron to rows by presynaptic neuron: where these end (n_pre + 1,).

    targets (n_post · k,): gets the postsynaptic neurons, in ascending order in each row.
    """
    ends = np.zeros(n_pre + 1, np.int64)
    for i in range(senders.shape[0]):
        for d in range(senders.shape[1]):
            ends[senders[i, d] + 1] += 1
    for j in range(n_pre):
        ends[j + 1] += ends[j]
    at = ends.copy()
    for i in range(senders.shape[0]):
        for d in range(senders.shape[1]):
            j = senders[i, d]
            targets[at[j]] = i
            at[j] += 1
    return ends


@compiled(error_model="numpy", nogil=True)
def by_part(ends, part, parts):
    """Rows of each part of their synapses, part by part: the synapses in this order (n,), and where rows end, counted from the
    part's first synapse (parts, n_pre + 1).

    ends (n_pre + 1,): where the rows of all synapses end; part (n,): to which part each of them belongs.
    """
    n_pre = ends.size - 1
    found, first = np.zeros((parts, n_pre + 1), np.int64), np.zeros(parts + 1, np.int64)
    for j in range(n_pre):
        for s in range(ends[j], ends[j + 1]):
            found[part[s], j + 1] += 1
    for p in range(parts):
        for j in range(n_pre):
            found[p, j + 1] += found[p, j]
        first[p + 1] = first[p] + found[p, n_pre]
    order, at = np.empty(part.size, np.int64), first.copy()
    for s in range(part.size):
        order[at[part[s]]] = s
        at[part[s]] += 1
    return order, found
