"""Plain gradient descent, w ← w − η g."""

from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


class SGD(NamedTuple):
    """w ← w − η g, g summed over the mini-batch.

    learning_rate: η.
    """

    learning_rate: Annotated[float, Field(gt=0, le=1e3)] = 3e-3

    n_state = 0  # type: ignore[misc]
    rests = True  # type: ignore[misc]

    @njit
    def row(p, w, g, state, step, idle):
        for j in range(w.size):
            w[j] -= p.learning_rate * g[j]


model = SGD
