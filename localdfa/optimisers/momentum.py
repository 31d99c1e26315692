"""Gradient descent with heavy-ball momentum, m ← μ m + g, w ← w − η m (Polyak 1964)."""

from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


class Momentum(NamedTuple):
    """m ← μ m + g, w ← w − η m, g summed over the mini-batch.

    learning_rate: η. momentum: μ.
    """

    learning_rate: Annotated[float, Field(gt=0, le=1e3)] = 5e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9

    n_state = 1  # type: ignore[misc]
    rests = False  # type: ignore[misc]

    @njit
    def row(p, w, g, state, step, idle):
        m = state[0]
        for j in range(w.size):
            m[j] = p.momentum * m[j] + g[j]
            w[j] -= p.learning_rate * m[j]


model = Momentum
