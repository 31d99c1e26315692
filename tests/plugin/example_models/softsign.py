"""Softsign, f(v) = v/(1 + |v|)."""

import math
from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


class Softsign(NamedTuple):
    """f(v) = v/(1 + |v|), between −1 and 1.

    tau: time constant of the drive's relaxation, ms; 0 settles at once.
    """

    tau: Annotated[float, Field(ge=0, le=1e4)] = 0.0

    from_zero = True

    @njit
    def f(p, v):
        return v / (1 + abs(v))

    @njit
    def df(p, v):
        return 1 / ((1 + abs(v)) * (1 + abs(v)))

    @njit
    def inverse(p, h):
        if abs(h) >= 1:
            return math.copysign(math.inf, h)
        return h / (1 - abs(h))

    def pytorch(p):
        from torch import nn

        return nn.Softsign()


model = Softsign
