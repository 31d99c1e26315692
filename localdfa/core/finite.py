"""Infinite and NaN values: where they are, said the same way in every mode."""

import numpy as np

from localdfa.errors import NonFiniteError


def layer(l: int, n_hidden: int) -> str:
    """How layer l, counted from 0, is called in messages."""
    return "the output layer" if l == n_hidden else f"hidden layer {l + 1}"


def all_are(values: np.ndarray) -> bool:
    """Whether all values are finite, found without an array of the answers: a NaN is both the least and the greatest."""
    return bool(np.isfinite(values.min(initial=0)) and np.isfinite(values.max(initial=0)))


def scale_near_one(values: np.ndarray) -> int:
    """Multiply values in place by the power of two that brings the largest between 1/2 and 1.

    Returns k where they were 2^k times as large. No digit is lost. Zeros, and what is not finite, stay as they are, with k = 0.
    """
    largest = max(values.max(initial=0), -values.min(initial=0))
    if not 0 < largest < np.inf:
        return 0
    exponent = int(np.frexp(largest)[1])
    np.ldexp(values, -exponent, out=values)
    return exponent


def require(values: np.ndarray, what: str, l: int, n_hidden: int) -> None:
    """Refuse values (m, n) of layer l, one row a sample, that are not all finite; the error has the first such row.

    what: `an activity`, say.
    """
    fine = np.isfinite(values)
    if not fine.all():
        raise NonFiniteError(f"{what} of {layer(l, n_hidden)} is not finite", int(np.argmin(fine.all(axis=1))))
