"""442 patients, 10 measures, and a number to predict (regression), embedded: needs no download."""

from pathlib import Path

import numpy as np

from localdfa.data.dataset import Source
from localdfa.data.split import plain

_SEED = 2004


def load() -> Source:
    """Return the diabetes data that scikit-learn carries as well: 442 patients, 10 inputs, one number to be predicted.

    The inputs are age, sex, body mass index, blood pressure and six blood values, standardised: of mean 0 and variance 1 over
    all patients, which is √442 times what `sklearn.datasets.load_diabetes` gives. The target is a measure of the disease's
    progression, 25 to 346, standardised with the mean and the standard deviation of the 354 patients of the training part,
    150.8 and 75.8: RMSE is in units of that standard deviation.

    The test set is 20 % of the patients, 88, drawn once and for all by numpy's default generator with the seed 2004, so it is
    the same in every experiment; both parts keep the order of the source.

    Source: B. Efron, T. Hastie, I. Johnstone and R. Tibshirani (2004), Least angle regression, Annals of Statistics 32,
    407–499, https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html; as scikit-learn distributes it (BSD 3-Clause),
    unscaled, in ``diabetes.npz``.
    """
    with np.load(Path(__file__).with_name("diabetes.npz"), allow_pickle=False) as table:
        x, y = table["x"], table["y"].astype(np.float64)[:, None]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    test = plain(len(x), 0.2, np.random.default_rng(_SEED))
    y = (y - y[~test].mean()) / y[~test].std()
    return Source(x[~test], y[~test], x[test], y[test], n_classes=0, shape=(10,), scale=1.0)


model = load
