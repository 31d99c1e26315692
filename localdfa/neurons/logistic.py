"""Logistic function, f(v) = 1/(1 + exp(−v))."""

import math
from typing import NamedTuple

from numba import njit

from localdfa.neurons._bounds import RateTau
from localdfa.neurons._elementary import logistic


class Logistic(NamedTuple):
    """f(v) = 1/(1 + exp(−v)), between 0 and 1.

    tau: time constant of the drive's relaxation, ms; 0 settles at once, else at least 0.1.
    """

    tau: RateTau = 0.0

    from_zero = True  # type: ignore[misc]
    learning_rates = {"rmsprop": 5e-3, "adam": 1e-2, "sgd": 3e-2, "momentum": 5e-3}  # type: ignore[misc] # noqa: RUF012

    @njit
    def f(p, v):
        return logistic(v)

    @njit
    def df(p, v):
        h = logistic(v)
        return h - h * h

    @njit
    def inverse(p, h):
        if h >= 1:
            return math.inf
        if h <= 0:
            return -math.inf
        return math.log(h / (1 - h))

    def pytorch(p):
        from torch import nn

        return nn.Sigmoid()


model = Logistic
