"""Which spikes of two trains are the same."""

import numpy as np
from numba import njit


@njit
def matched(a: np.ndarray, b: np.ndarray, apart: float) -> np.ndarray:
    """b − a of the spikes of two trains, in order, that are the same: the alignment of least cost.

    A pair costs |b − a| / apart, a spike of one train alone 1/2, so that no pair is further apart than `apart` (the spike time
    distance of Victor & Purpura 1996, J. Neurophysiol. 76, 1310, at half its scale).
    """
    n, m = len(a), len(b)
    cost = np.empty((n + 1, m + 1))
    cost[:, 0] = 0.5 * np.arange(n + 1)
    cost[0] = 0.5 * np.arange(m + 1)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            pair = cost[i - 1, j - 1] + abs(b[j - 1] - a[i - 1]) / apart
            cost[i, j] = min(pair, cost[i - 1, j] + 0.5, cost[i, j - 1] + 0.5)
    found = np.empty(min(n, m))
    k, i, j = len(found), n, m
    while i > 0 and j > 0:
        if cost[i, j] == cost[i - 1, j - 1] + abs(b[j - 1] - a[i - 1]) / apart:
            k, i, j = k - 1, i - 1, j - 1
            found[k] = b[j] - a[i]
        elif cost[i, j] == cost[i - 1, j] + 0.5:
            i -= 1
        else:
            j -= 1
    return found[k:]
