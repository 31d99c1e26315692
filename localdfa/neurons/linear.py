"""Linear, f(v) = v."""

from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


class Linear(NamedTuple):
    """f(v) = v.

    tau: time constant of the drive's relaxation, ms; 0 settles at once.
    """

    tau: Annotated[float, Field(ge=0, le=1e4)] = 0.0

    @njit
    def f(p, v):
        return v

    @njit
    def df(p, v):
        return 1

    @njit
    def inverse(p, h):
        return h


model = Linear
