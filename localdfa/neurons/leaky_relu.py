"""Leaky rectified linear, f(v) = v above 0 and slope · v below."""

from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field

from localdfa.neurons._bounds import RateTau


class LeakyReLU(NamedTuple):
    """f(v) = v where v > 0, else slope · v; the slope at 0 is taken as that below.

    tau: time constant of the drive's relaxation, ms; 0 settles at once, else at least 0.1.
    slope: slope below 0, no unit.
    """

    tau: RateTau = 0.0
    slope: Annotated[float, Field(gt=0, lt=1)] = 0.01

    kinked = True  # type: ignore[misc]

    @njit
    def f(p, v):
        return v if v > 0 else p.slope * v

    @njit
    def df(p, v):
        return 1 if v > 0 else p.slope

    @njit
    def inverse(p, h):
        return h if h > 0 else h / p.slope

    def pytorch(p):
        from torch import nn

        return nn.LeakyReLU(float(p.slope))


model = LeakyReLU
