"""Infinite and NaN values: where they are, and the error that names the place in the same words in every mode."""

import numpy as np

from localdfa.errors import NonFiniteError


def layer(l: int, n_hidden: int) -> str:
    """The name of layer l, counted from 0, in messages."""
    return "the output layer" if l == n_hidden else f"hidden layer {l + 1}"


def all_are(values: np.ndarray) -> bool:
    """Whether all values are finite, found without an array of the answers: a NaN is both the least and the greatest."""
    return bool(np.isfinite(values.min(initial=0)) and np.isfinite(values.max(initial=0)))


def scale_near_one(values: np.ndarray) -> int:
    """Multiply values in place by 2^−k, so that the largest of them lies between 1/2 and 1; returns k.

    No digit is lost. Where all values are zero, or the largest is not finite, they stay as they are, and k is 0.
    """
    largest = max(values.max(initial=0), -values.min(initial=0))
    if not 0 < largest < np.inf:
        return 0
    exponent = int(np.frexp(largest)[1])
    np.ldexp(values, -exponent, out=values)
    return exponent


def require(values: np.ndarray, what: str, l: int, n_hidden: int) -> None:
    """Refuse values (m, n) of layer l, counted from 0, that are not all finite.

    what: the kind of value, for the message, such as `an activity`.

    Raises
    ------
    NonFiniteError
        A value is infinite or NaN; the error has the first such row.
    """
    is_finite = np.isfinite(values)
    if not is_finite.all():
        raise NonFiniteError(f"{what} of {layer(l, n_hidden)} is not finite", int(np.argmin(is_finite.all(axis=1))))
