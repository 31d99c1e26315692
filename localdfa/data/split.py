"""Random splits: that keep the proportions of the classes, or plain ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from localdfa.errors import DataError


def stratified(
    y: NDArray[np.int64], fraction: float, rng: np.random.Generator, classes: Sequence[str] = ()
) -> NDArray[np.bool_]:
    """Choose the same fraction of every class at random.

    Of the n samples of a class, `fraction` * n are chosen, rounded to the nearest integer (halves up).

    Parameters
    ----------
    y : int64 array, shape (n,)
        Labels.
    fraction : float
        Fraction to choose, 0 < fraction < 1.
    rng : numpy.random.Generator
        Draws one permutation per class, in the order of the classes.
    classes : sequence of str
        Their names, for messages; their labels if empty.

    Returns
    -------
    bool array, shape (n,)
        True where a sample is chosen.

    Raises
    ------
    DataError
        Nothing would be chosen, or nothing of a class would remain.
    """
    chosen = np.zeros(y.shape, dtype=np.bool_)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        count = int(fraction * members.size + 0.5)
        if count == members.size:
            name = classes[label] if classes else label
            raise DataError(f"a split of {fraction:g} takes all {count} samples of class {name}: choose a smaller one")
        chosen[rng.permutation(members)[:count]] = True
    if not chosen.any():
        raise DataError(f"a split of {fraction:g} of {y.size} samples takes none: choose a larger one")
    return chosen


def plain(n: int, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose `fraction` * n of n samples at random, rounded to the nearest integer (halves up); True, (n,), where chosen.

    Raises
    ------
    DataError
        Nothing would be chosen, or less than two samples would remain.
    """
    count = int(fraction * n + 0.5)
    if not 0 < count <= n - 2:
        larger = "larger" if count == 0 else "smaller"
        raise DataError(f"a split of {fraction:g} takes {count} of {n} samples: choose a {larger} one")
    chosen = np.zeros(n, dtype=np.bool_)
    chosen[rng.permutation(n)[:count]] = True
    return chosen
