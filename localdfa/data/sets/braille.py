"""1,350 Braille letters felt by a fingertip, 77 frames of 12 taxels, to be put in place by hand."""

import io

import numpy as np

from localdfa.data import cache
from localdfa.data.dataset import Source, checked_labels
from localdfa.data.split import stratified
from localdfa.errors import DataError

_FILE, _MD5 = "braille/braille_taxels.npz", "3356396ce8fb6973282c39604f16fa07"
_SEED = 2022


def load() -> Source:
    """Return 1,350 letters, 27 classes, as series of shape (77 frames, 12 taxels): pressure, 0 .. 255, from the raw counts.

    The file holds the arrays `taxel` (1350, 77, 12) and `label` of the published set, which is a pickle and so is not
    downloaded: it has to be put into the cache folder by hand. The test set is 20 % of every class, drawn once and for all
    by numpy's default generator with the seed 2022.

    Source: S. F. Müller-Cleve et al. (2022), Braille letter reading: a benchmark for spatio-temporal pattern recognition
    on neuromorphic hardware, doi:10.3389/fnins.2022.951164; data doi:10.5281/zenodo.6556273, CC BY 4.0.
    """
    path = cache.folder() / _FILE
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; braille cannot be downloaded: put the arrays taxel (1350, 77, 12) and label (1350,), "
            f"uint8, of doi:10.5281/zenodo.6556273 there, as numpy.savez writes them"
        )
    with np.load(io.BytesIO(cache.read_verified(path, _MD5)), allow_pickle=False) as arrays:
        taxel, label = arrays["taxel"], arrays["label"].astype(np.int64)
    x, y = 255 - taxel.reshape(len(taxel), -1), checked_labels(label, 27, f"{path}: label")
    test = stratified(y, 0.2, np.random.default_rng(_SEED))
    return Source(x[~test], y[~test], x[test], y[test], n_classes=27, shape=taxel.shape[1:], scale=255.0)


model = load
