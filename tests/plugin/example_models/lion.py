"""Lion (Chen et al. 2023, arXiv:2302.06675)."""

from typing import Annotated, NamedTuple

import numpy as np
from numba import njit
from pydantic import Field


class Lion(NamedTuple):
    """w ← w − η sign(β₁ m + (1 − β₁) g), m ← β₂ m + (1 − β₂) g, g summed over the mini-batch.

    learning_rate: η. beta1, beta2: β₁, β₂.
    """

    learning_rate: Annotated[float, Field(gt=0, le=1e3)] = 1e-3
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99

    n_state = 1
    rests = False

    @njit
    def row(p, w, g, state, step, idle):
        m, one = state[0], w.dtype.type(1)
        for j in range(w.size):
            w[j] -= p.learning_rate * np.sign(p.beta1 * m[j] + (one - p.beta1) * g[j])
            m[j] = p.beta2 * m[j] + (one - p.beta2) * g[j]


model = Lion
