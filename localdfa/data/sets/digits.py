"""1,797 handwritten digits, 8 x 8, embedded: needs no download."""

from pathlib import Path

import numpy as np

from localdfa.data.dataset import Source
from localdfa.data.split import stratified

_SEED = 1998


def load() -> Source:
    """Return the digits that scikit-learn carries as well: 1797 images, shape (1, 8, 8), pixels 0 .. 16, ten classes.

    The test set is 20 % of every class, drawn once and for all by numpy's default generator with the seed 1998,
    so it is the same in every experiment; both parts keep the order of the source.

    Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, doi:10.24432/C50P49, CC BY 4.0; its test part, as uint8 in ``digits.npz``.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as table:
        x, y = table["x"].astype(np.float64), table["y"].astype(np.int64)
    test = stratified(y, 0.2, np.random.default_rng(_SEED))
    return Source(x[~test], y[~test], x[test], y[test], n_classes=10, shape=(1, 8, 8), scale=16.0)


model = load
