"""The weights of a network, which lie end to end in one array."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt


class Weights(tuple[np.ndarray, ...]):
    """One two-dimensional array for each projection, each a view of `flat`, in which they follow one another.

    flat: all weights, one-dimensional; starts: where those of each projection begin in it. Spiking circuits need them whole,
    and so need no copy.
    """

    flat: np.ndarray
    starts: list[int]

    @classmethod
    def empty(cls, shapes: Sequence[tuple[int, int]], dtype: npt.DTypeLike) -> "Weights":
        """Weights of these shapes, which are not set yet."""
        ends = [0, *accumulate(rows * columns for rows, columns in shapes)]
        flat = np.empty(ends[-1], dtype)
        parts = cls(flat[a:b].reshape(shape) for a, b, shape in zip(ends, ends[1:], shapes, strict=False))
        parts.flat, parts.starts = flat, ends[:-1]
        return parts

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, also in another process, has its parts in one array again."""
        return Weights.of, ([np.array(part) for part in self],)

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> "Weights":
        """These arrays themselves if they are `Weights`, else a copy of them that is."""
        if isinstance(arrays, Weights):
            return arrays
        copy = cls.empty([array.shape for array in arrays], arrays[0].dtype)
        for part, array in zip(copy, arrays, strict=True):
            part[...] = array
        return copy
