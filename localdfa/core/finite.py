"""Infinite and NaN values: where they are, said the same way in every mode."""

import numpy as np

from localdfa.errors import NonFiniteError


def layer(l: int, n_hidden: int) -> str:
    """How layer l, counted from 0, is called in messages."""
    return "the output layer" if l == n_hidden else f"hidden layer {l + 1}"


def all_are(values: np.ndarray) -> bool:
    """Whether all values are finite, found without an array of the answers: a NaN is both the least and the greatest."""
    return bool(np.isfinite(values.min(initial=0)) and np.isfinite(values.max(initial=0)))


def require(values: np.ndarray, what: str, l: int, n_hidden: int) -> None:
    """Refuse values (m, n) of layer l, one row a sample, that are not all finite; the error has the first such row.

    what: `an activity`, say.
    """
    fine = np.isfinite(values)
    if not fine.all():
        raise NonFiniteError(f"{what} of {layer(l, n_hidden)} is not finite", int(np.argmin(fine.all(axis=1))))
