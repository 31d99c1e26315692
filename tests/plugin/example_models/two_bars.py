"""64 + 32 pictures of a bar, 6 x 6, upright or lying, with noise: made here."""

import numpy as np

from localdfa.data.dataset import Source


def load():
    """Pixels in [0, 1]; the label is 1 where the bar lies."""
    (x_train, y_train), (x_test, y_test) = _pictures(64, 1), _pictures(32, 2)
    return Source(x_train, y_train, x_test, y_test, n_classes=2, shape=(1, 6, 6), scale=1.0, classes=("upright", "lying"))


def _pictures(n, seed):
    rng = np.random.default_rng(seed)
    x, y = 0.3 * rng.random((n, 6, 6)), np.arange(n) % 2
    for picture, label, place in zip(x, y, rng.integers(0, 6, n), strict=True):
        picture[(place, slice(None)) if label else (slice(None), place)] += 0.7
    return x.reshape(n, -1), y


model = load
