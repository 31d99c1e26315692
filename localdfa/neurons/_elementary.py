"""tanh and the logistic function for kernels: libm in float64, a vectorisable form in float32."""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

# Rational approximation x P(x²)/Q(x²) of tanh on |x| ≤ 9, fitted in float64 for the least relative error (2e-8); beyond
# 9 tanh rounds to ±1 in float32. Evaluated in float32 it is within 6 units in the last place.
_P = tuple(np.float32(c) for c in (0.999999979, 0.133810292, 0.0034955923, 2.06091473e-05, 1.33547434e-08))
_Q = tuple(np.float32(c) for c in (1.0, 0.467143448, 0.0258769983, 0.000328564149, 7.77659361e-07))
_LIMIT, _ONE, _HALF = np.float32(9.0), np.float32(1.0), np.float32(0.5)


@njit(error_model="numpy")
def _tanh32(v):
    x = -_LIMIT if v < -_LIMIT else v
    x = _LIMIT if x > _LIMIT else x
    u = x * x
    p = (((_P[4] * u + _P[3]) * u + _P[2]) * u + _P[1]) * u + _P[0]
    q = (((_Q[4] * u + _Q[3]) * u + _Q[2]) * u + _Q[1]) * u + _Q[0]
    y = x * (p / q)
    y = -_ONE if y < -_ONE else y
    return _ONE if y > _ONE else y


def tanh(v: float) -> float:
    """tanh(v) in the precision of v; a NaN stays a NaN."""
    return _tanh32(v) if isinstance(v, np.float32) else math.tanh(v)


@overload(tanh)
def _tanh(v):
    if v == types.float32:
        return lambda v: _tanh32(v)
    return lambda v: math.tanh(v)


def logistic(v: float) -> float:
    """1/(1 + exp(−v)) in the precision of v, as (1 + tanh(v/2))/2: no overflow anywhere."""
    return _logistic32(v) if isinstance(v, np.float32) else 0.5 * (1.0 + math.tanh(0.5 * v))


@njit
def _logistic32(v):
    return _HALF * (_ONE + _tanh32(_HALF * v))


@overload(logistic)
def _logistic(v):
    if v == types.float32:
        return lambda v: _logistic32(v)
    return lambda v: 0.5 * (1.0 + math.tanh(0.5 * v))
