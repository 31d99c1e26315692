"""Leaky rectified linear, f(v) = v above 0 and slope · v below."""

from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


class LeakyReLU(NamedTuple):
    """f(v) = v where v > 0, else slope · v; the slope at 0 is taken as that below.

    tau: time constant of the drive's relaxation, ms; 0 settles at once.
    slope: slope below 0, no unit.
    """

    tau: Annotated[float, Field(ge=0, le=1e4)] = 0.0
    slope: Annotated[float, Field(gt=0, lt=1)] = 0.01

    @njit
    def f(p, v):
        return v if v > 0 else p.slope * v

    @njit
    def df(p, v):
        return 1 if v > 0 else p.slope

    @njit
    def inverse(p, h):
        return h if h > 0 else h / p.slope


model = LeakyReLU
