"""Rectified linear, f(v) = max(v, 0)."""

import math
from typing import NamedTuple

from numba import njit

from localdfa.neurons._bounds import RateTau


class ReLU(NamedTuple):
    """f(v) = v where v > 0, else 0; the slope at 0 is taken as 0.

    tau: time constant of the drive's relaxation, ms; 0 settles at once, else at least 0.1.
    """

    tau: RateTau = 0.0

    flat_at_zero = True  # type: ignore[misc]
    kinked = True  # type: ignore[misc]

    @njit
    def f(p, v):
        return v if v > 0 else v * 0

    @njit
    def df(p, v):
        return 1 if v > 0 else 0

    @njit
    def inverse(p, h):
        return h if h >= 0 else -math.inf

    def pytorch(p):
        from torch import nn

        return nn.ReLU()


model = ReLU
