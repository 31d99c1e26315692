"""Linear, f(v) = v."""

from typing import NamedTuple

from numba import njit

from localdfa.neurons._bounds import RateTau


class Linear(NamedTuple):
    """f(v) = v.

    tau: time constant of the drive's relaxation, ms; 0 settles at once, else at least 0.1.
    """

    tau: RateTau = 0.0

    learning_rates = {"rmsprop": 1e-3}  # type: ignore[misc] # noqa: RUF012

    @njit
    def f(p, v):
        return v

    @njit
    def df(p, v):
        return 1

    @njit
    def inverse(p, h):
        return h

    def pytorch(p):
        from torch import nn

        return nn.Identity()


model = Linear
