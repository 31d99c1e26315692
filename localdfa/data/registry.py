"""Data sets by name."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from localdfa.data import braille, cifar, digits, mnist, npz, pairs
from localdfa.data.dataset import Dataset, Source
from localdfa.data.split import stratified
from localdfa.data.trains import Trains
from localdfa.data.whitening import Zca
from localdfa.errors import DataError

_PREFIX = "npz:"
_PUBLISHED: dict[str, tuple[Callable[[], Source], str]] = {
    "digits": (digits.load, "1,797 handwritten digits, 8 x 8, embedded: needs no download"),
    "mnist": (mnist.load_mnist, "60,000 + 10,000 handwritten digits, 28 x 28 (12 MB)"),
    "fashion-mnist": (mnist.load_fashion, "60,000 + 10,000 pictures of clothing, 28 x 28 (31 MB)"),
    "cifar10": (cifar.load_cifar10, "50,000 + 10,000 colour images in 10 classes, 32 x 32 (170 MB)"),
    "braille": (braille.load, "1,350 Braille letters felt by a fingertip, 77 frames of 12 taxels, to be put in place by hand"),
    "pairs": (pairs.load, "160 + 158 trials of two spikes, lags of up to 200 ms either way: made here, needs no download"),
    "cifar100": (cifar.load_cifar100, "50,000 + 10,000 colour images in 100 classes, 32 x 32 (169 MB)"),
}


def available() -> dict[str, str]:
    """Return a one-line description of each data set, by name."""
    published = {name: description for name, (_, description) in _PUBLISHED.items()}
    return {**published, "npz:PATH": "your own: x_train, y_train, x_test, y_test in a numpy .npz file, or spike trains"}


def load(
    name: str,
    *,
    validation: float = 0.0,
    whiten: bool = False,
    whiten_epsilon: float = 1e-2,
    dtype: DTypeLike = np.float32,
    rng: np.random.Generator | None = None,
    base: Path | None = None,
) -> Dataset:
    """Load a data set; a published one is downloaded on first use.

    Parameters
    ----------
    name : str
        A name that `available` lists; npz:PATH is the file PATH.
    validation : float
        Fraction of every class of the training set, 0 <= validation < 1, that is taken out of it and becomes the
        validation set.
    whiten : bool
        Apply ZCA whitening, fitted in float64 to what then remains of the training set. Otherwise inputs lie in
        [0, 1].
    whiten_epsilon : float
        Added to the eigenvalues of the covariance of the inputs, which are scaled to [0, 1] first except for
        npz:PATH.
    dtype : numpy dtype
        float32 or float64, for the inputs.
    rng : numpy.random.Generator, optional
        Chooses the validation set; not used, and not needed, without one.
    base : Path, optional
        The folder that a relative PATH starts from; the current one by default.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        There is no such data set, it is missing and cannot be downloaded, it is damaged, or an argument is out of
        bounds.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise DataError(f"dtype = {np.dtype(dtype)}: inputs must be float32 or float64")
    source = _source(name, base, in_unit_range=not whiten)
    x_train, y_train, x_valid, y_valid = _split(source, validation, rng)
    zca = None
    if whiten:
        if isinstance(x_train, Trains):
            raise DataError(f"{name}: whiten = true goes with arrays of numbers; these are spike trains")
        zca = Zca.fit(x_train, source.scale, whiten_epsilon)

    def convert(x: NDArray[Any] | Trains) -> NDArray[np.floating] | Trains:
        if isinstance(x, Trains):
            return x
        return zca.apply(x, dtype) if zca else np.divide(x, source.scale, dtype=dtype, order="C")

    return Dataset(
        name,
        convert(x_train),
        y_train,
        convert(x_valid),
        y_valid,
        convert(source.x_test),
        source.y_test,
        source.n_classes,
        source.shape,
    )


def _source(name: str, base: Path | None, in_unit_range: bool) -> Source:
    """Read a data set by its name."""
    if name in _PUBLISHED:
        return _PUBLISHED[name][0]()
    path = name.removeprefix(_PREFIX)
    if path == name or not path:
        nearest = f"{_PREFIX}{name}" if name.endswith(".npz") else _nearest(name)
        raise DataError(f"no data set {name!r}, the nearest is {nearest}; there are {', '.join(available())}")
    return npz.load((base or Path()) / Path(path).expanduser(), in_unit_range=in_unit_range)


def _nearest(name: str) -> str:
    return difflib.get_close_matches(name.lower(), available(), n=1, cutoff=0.0)[0]


def _split(
    source: Source, fraction: float, rng: np.random.Generator | None
) -> tuple[NDArray[Any] | Trains, NDArray[np.int64], NDArray[Any] | Trains, NDArray[np.int64]]:
    """Return inputs and labels of the training set and of the validation set, each in the order of the source."""
    x, y = source.x_train, source.y_train
    if not 0 <= fraction < 1:
        raise DataError(f"validation = {fraction}: it must be at least 0 and below 1")
    if fraction == 0:
        return x, y, x[:0], y[:0]
    if rng is None:
        raise DataError(f"validation = {fraction} needs a random generator: pass rng")
    chosen = stratified(y, fraction, rng)
    return x[~chosen], y[~chosen], x[chosen], y[chosen]
