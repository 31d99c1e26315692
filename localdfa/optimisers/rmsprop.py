"""RMSprop, the optimiser of Nøkland 2016 (Tieleman & Hinton 2012)."""

import math
from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


class RMSprop(NamedTuple):
    """r ← ρ r + (1 − ρ) g², w ← w − η g / (√r + ε), g summed over the mini-batch.

    learning_rate: η; the paper takes 1e-4 for 300 epochs of MNIST (see `localdfa.optimisers`). decay: ρ. epsilon: ε.
    """

    learning_rate: Annotated[float, Field(gt=0, le=1e3)] = 3e-3
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8

    n_state = 1  # type: ignore[misc]
    rests = True  # type: ignore[misc]

    @njit
    def row(p, w, g, state, step, idle):
        r = state[0]
        rest = w.dtype.type(1) - p.decay
        keep = w.dtype.type(p.decay ** (idle + 1))  # a silent row only decays, by ρ each update
        for j in range(w.size):
            r[j] = keep * r[j] + rest * g[j] * g[j]
            w[j] -= p.learning_rate * g[j] / (math.sqrt(r[j]) + p.epsilon)


model = RMSprop
