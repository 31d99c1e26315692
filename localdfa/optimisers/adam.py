"""Adam (Kingma & Ba 2015, algorithm 1)."""

import math
from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


class Adam(NamedTuple):
    """m ← β₁ m + (1 − β₁) g, r ← β₂ r + (1 − β₂) g², w ← w − η m̂ / (√r̂ + ε), g summed over the mini-batch.

    learning_rate: η. beta1, beta2: β₁, β₂. epsilon: ε. m̂ and r̂ are m and r without their bias towards 0.
    """

    learning_rate: Annotated[float, Field(gt=0, le=1e3)] = 3e-3
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8

    n_state = 2  # type: ignore[misc]
    rests = False  # type: ignore[misc]

    @njit
    def row(p, w, g, state, step, idle):
        m, r = state[0], state[1]
        one = w.dtype.type(1)
        rest1, rest2 = one - p.beta1, one - p.beta2
        scale1, scale2 = w.dtype.type(1 / (1 - p.beta1**step)), w.dtype.type(1 / (1 - p.beta2**step))
        for j in range(w.size):
            m[j] = p.beta1 * m[j] + rest1 * g[j]
            r[j] = p.beta2 * r[j] + rest2 * g[j] * g[j]
            w[j] -= p.learning_rate * scale1 * m[j] / (math.sqrt(scale2 * r[j]) + p.epsilon)


model = Adam
