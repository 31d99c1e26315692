"""Hyperbolic tangent, f(v) = tanh(v)."""

import math
from typing import NamedTuple

from numba import njit

from localdfa.neurons._bounds import RateTau
from localdfa.neurons._elementary import tanh


class Tanh(NamedTuple):
    """f(v) = tanh(v), between −1 and 1.

    tau: time constant of the drive's relaxation, ms; 0 settles at once, else at least 0.1.
    """

    tau: RateTau = 0.0

    from_zero = True  # type: ignore[misc]
    learning_rates = {"momentum": 1e-3}  # type: ignore[misc] # noqa: RUF012

    @njit
    def f(p, v):
        return tanh(v)

    @njit
    def df(p, v):
        h = tanh(v)
        return 1 - h * h

    @njit
    def inverse(p, h):
        if h >= 1:
            return math.inf
        if h <= -1:
            return -math.inf
        return math.atanh(h)

    def pytorch(p):
        from torch import nn

        return nn.Tanh()


model = Tanh
