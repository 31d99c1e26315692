"""Data sets by name: looked up, split, whitened, standardised or scaled, and converted to the numbers of the network."""

import difflib
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from localdfa import registry
from localdfa.data import given as own
from localdfa.data import kinds, npz
from localdfa.data.dataset import Dataset, Source
from localdfa.data.split import plain, stratified
from localdfa.data.trains import Trains, array_of
from localdfa.data.whitening import Zca
from localdfa.errors import DataError, quoted

_PREFIX = "npz:"
# Standardised inputs have a root mean square of 1, those in [0, 1] less; and both parts have about the same.
_LARGE = 5.0
# Both parts of a data set have spikes about as late after the onset; in units that differ these are a thousand times as late.
_LATE = 30.0
_ROWS = 4096  # samples squared or standardised in float64 at a time
_SQUARED = 1e100  # numbers up to this are squared and added up as they are


def available() -> dict[str, str]:
    """Return a one-line description of each data set, by name."""
    return registry.described("data")


def load(
    name: str,
    *,
    validation: float = 0.0,
    whiten: bool = False,
    whiten_epsilon: float = 1e-2,
    standardise: bool = False,
    dtype: DTypeLike = np.float32,
    rng: np.random.Generator | None = None,
    base: Path | None = None,
    regression: bool = False,
    given: Source | None = None,
) -> Dataset:
    """Load a data set; a published one is downloaded on first use.

    Parameters
    ----------
    name : str
        A name that `available` lists; npz:PATH is the file PATH.
    validation : float
        Fraction of every class of the training set, 0 <= validation < 1, that is taken out of it and becomes the
        validation set; of the whole training set where there are no classes. With 0 the validation set is the one that the
        data bring, if any.
    whiten : bool
        Apply ZCA whitening, fitted in float64 to what then remains of the training set.
    whiten_epsilon : float
        Added to the eigenvalues of the covariance of the inputs, which are scaled to [0, 1] first except for
        npz:PATH.
    standardise : bool
        Give each channel of images, or all other inputs together, mean 0 and standard deviation 1 over what then remains of the
        training set. It does not go with whitening.
    dtype : numpy dtype
        float32 or float64, for the inputs.
    rng : numpy.random.Generator, optional
        Chooses the validation set; not used, and not needed, without one.
    base : Path, optional
        The folder that a relative PATH starts from; the current one by default.
    regression : bool
        Whether numbers in npz:PATH are targets to be fitted, and not labels. A published data set has one or the other.
    given : Source, optional
        What stands behind the name ``arrays``, see `localdfa.data.given`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        There is no such data set, it is missing and cannot be downloaded, it is damaged, an input is not finite in the given
        dtype, an argument is out of bounds, or a fraction is to be taken where the data bring a validation set.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise DataError(f"dtype = {np.dtype(dtype)}: inputs must be float32 or float64")
    source = read(name, base=base, regression=regression, given=given)
    if isinstance(source, kinds.Kind):
        raise DataError(
            f"{name} is no set of samples for networks of layers, but {type(source).__name__}, which modules of PyTorch alone "
            f"read; allowed: with a module that does, named in the spec's table [module]"
        )
    x_train, y_train, x_valid, y_valid = _split(name, source, validation, rng)
    if whiten and standardise:
        raise DataError("standardise = true: whitening gives inputs a mean of 0 and their variance; allowed with it: false")
    prepared = _preparation(source, x_train, name, dtype, whiten_epsilon if whiten else None, standardise)
    trained, validated, tested = (
        prepared.of(x, part) for x, part in ((x_train, "x_train"), (x_valid, "validation set"), (source.x_test, "x_test"))
    )
    others = {"test": tested, **({} if source.x_valid is None else {"valid": validated})}
    of_user = name.startswith(_PREFIX) or name == own.NAME
    remarks = (
        *(_remarks(trained, others) if of_user and not (whiten or standardise) else ()),
        *(_remarks_on_targets(y_train) if of_user else ()),
    )
    return Dataset(
        name,
        trained,
        y_train,
        validated,
        y_valid,
        tested,
        source.y_test,
        source.n_classes,
        source.shape,
        source.classes or tuple(map(str, range(source.n_classes))),
        (*source.notes, *remarks),
        source.time_unit,
        source.features,
        _fingerprint([(x_train, y_train), (x_valid, y_valid), (source.x_test, source.y_test)], source.scale, dtype),
    )


def _fingerprint(parts: list[tuple[NDArray[Any] | Trains, NDArray[Any]]], scale: float, dtype: DTypeLike) -> str:
    """SHA-256 of inputs, divided by the scale and rounded, and targets, of each part."""
    digest = hashlib.sha256()

    def add(array: NDArray[Any]) -> None:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)

    for x, y in parts:
        if isinstance(x, Trains):
            for array in x.events():
                add(array)
        else:
            digest.update(f"{x.shape}{np.dtype(dtype)}".encode())
            with np.errstate(over="ignore"):  # what whitening would bring into bounds
                for i in range(0, len(x), _ROWS):
                    digest.update(np.divide(x[i : i + _ROWS], scale, dtype=dtype, order="C").data)
        add(y)
    return digest.hexdigest()


class Preparation(NamedTuple):
    """What is done to inputs before a network reads them: they are divided by `scale`, whitened or standardised, and rounded.

    moments: mean and standard deviation of each input, (n_features,), before they are divided; zca: the map. name: of the data,
    for messages.
    """

    name: str
    scale: float
    dtype: DTypeLike
    zca: Zca | None = None
    moments: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def of(self, x: NDArray[Any] | Trains, part: str) -> NDArray[np.floating] | Trains:
        """Inputs (n, n_features) as a network reads them; spike trains as they are; part: for messages.

        Raises
        ------
        DataError
            An input is not finite in this dtype.
        """
        if isinstance(x, Trains):
            return x
        with np.errstate(over="ignore", invalid="ignore"):
            if self.zca:
                found = self.zca.apply(x, self.dtype)
            elif self.moments:
                found, (mean, spread) = np.empty(x.shape, self.dtype), self.moments
                for i in range(0, len(x), _ROWS):  # in float64, in which a large mean leaves what differs from it
                    found[i : i + _ROWS] = (x[i : i + _ROWS].astype(np.float64) - mean) / spread
            else:
                found = np.divide(x, self.scale, dtype=self.dtype, order="C")
        if not (finite := np.isfinite(found)).all():
            sample = int(finite.all(axis=1).argmin())
            if not (given := np.isfinite(x[sample])).all():
                at = int(given.argmin())
                raise DataError(f"{self.name}: {part}, sample {sample}: input {at} is {x[sample, at]}; allowed: finite numbers")
            raise DataError(
                f"{self.name}: {part}, sample {sample}: an input is not finite in {np.dtype(self.dtype)}"
                f"{' after whitening' * bool(self.zca)}: it is too large; scale the inputs first"
            )
        return found

    def of_scaled(self, x: NDArray[Any], part: str) -> NDArray[np.floating]:
        """As `of`, of inputs that are divided by the scale already, as those of a `Dataset` that is not prepared otherwise."""
        zca = None if self.zca is None else replace(self.zca, scale=1.0)
        moments = None if self.moments is None else (self.moments[0] / self.scale, self.moments[1] / self.scale)
        found = self._replace(scale=1.0, zca=zca, moments=moments).of(x, part)
        assert isinstance(found, np.ndarray)
        return found


def _preparation(
    source: Source, x_train: NDArray[Any] | Trains, name: str, dtype: DTypeLike, whiten_epsilon: float | None, standardise: bool
) -> Preparation:  # fmt: skip
    """What is done to the inputs of a data set; x_train: those it is fitted to; whiten_epsilon: None without whitening."""
    plain_one = Preparation(name, source.scale, dtype)
    if whiten_epsilon is None and not standardise:
        return plain_one
    if isinstance(x_train, Trains):
        asked = "standardise" if whiten_epsilon is None else "whiten"
        raise DataError(f"{name}: {asked} = true goes with arrays of numbers; these are spike trains")
    if whiten_epsilon is not None:
        return plain_one._replace(zca=Zca.fit(x_train, source.scale, whiten_epsilon))
    return plain_one._replace(moments=_moments(name, x_train, source.shape))


def preparation(
    name: str, *, validation: float = 0.0, whiten: bool = False, whiten_epsilon: float = 1e-2, standardise: bool = False,
    dtype: DTypeLike = np.float32, rng: np.random.Generator | None = None, regression: bool = False,
    given: Source | None = None,
) -> Preparation:  # fmt: skip
    """What `load` does to the inputs of a data set, with the same arguments; the data are read for it."""
    source = read(name, regression=regression, given=given)
    assert isinstance(source, Source)  # else they had not been loaded
    x_train = _split(name, source, validation, rng)[0]
    return _preparation(source, x_train, name, dtype, whiten_epsilon if whiten else None, standardise)


def _moments(name: str, x: NDArray[Any], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the channel of each input, (n_features,); what is not images is one channel."""
    channels = shape[0] if len(shape) == 3 else 1
    blocks = [slice(i, i + _ROWS) for i in range(0, len(x), _ROWS)]

    def mean_of(of_block: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
        by_input = sum(of_block(x[rows].astype(np.float64)).mean(axis=0) * len(x[rows]) for rows in blocks) / len(x)
        return np.repeat(np.reshape(by_input, (channels, -1)).mean(axis=1), x.shape[1] // channels)

    with np.errstate(over="ignore", invalid="ignore"):
        mean = mean_of(lambda part: part)
        spread = np.sqrt(mean_of(lambda part: np.square(part - mean)))
    if not (np.isfinite(spread) & (spread > 0)).all():
        raise DataError(f"{name}: standardise = true needs inputs that differ, and whose squares are numbers")
    return mean, spread


def check_name(name: str) -> None:
    """Refuse a name that is neither that of a data set nor npz:PATH, whatever lies there.

    Raises
    ------
    DataError
        The message lists the names there are, and the nearest.
    """
    if name not in (*registry.names("data"), own.NAME) and (not name.startswith(_PREFIX) or name == _PREFIX):
        if _of_file(name):
            raise DataError(
                f"no data set {name!r}: a spec reads files of numpy.savez alone, as npz:PATH; what pandas or h5py reads is "
                f"given from Python: localdfa.run(..., data=(frame, TARGET)), or data=(x, y)"
            )
        nearest = f"{_PREFIX}{name}" if name.endswith(".npz") else _nearest(name)
        raise DataError(f"no data set {name!r}, the nearest is {nearest}; there are {', '.join(available())}")


def _of_file(name: str) -> bool:
    """Whether a name that is no data set is that of a file, of another kind than npz."""
    return bool(Path(name).suffix or "/" in name) and not name.endswith(".npz")


def read(
    name: str, *, base: Path | None = None, regression: bool = False, given: Source | None = None
) -> Source | kinds.Kind:  # fmt: skip
    """Read a data set as it is published, before it is split and scaled: samples, or data that modules of PyTorch alone read.

    Parameters
    ----------
    name, base, regression, given
        As of `load`.

    Raises
    ------
    DataError
        As `load`, and where its arrays are not of the types, shapes and bounds that its kind (`localdfa.data.kinds`) says.
    """
    check_name(name)
    if name == own.NAME:
        if given is None:
            raise DataError(f"data: {name!r} are those of a script, which gives them: localdfa.run(..., data=(x, y))")
        return given
    if name not in registry.names("data"):
        return npz.load((base or Path()) / Path(name.removeprefix(_PREFIX)).expanduser(), regression)
    found = registry.get("data", name)()
    if isinstance(found, kinds.Kind):
        kinds.check(name, found)
        return found
    if not isinstance(found, Source):
        raise DataError(
            f"{name}: its function gives {quoted(found)}; allowed: a Source, or data of a kind of localdfa.data.kinds"
        )
    return _as_it_says(name, found)


def _as_it_says(name: str, source: Source) -> Source:
    """A data set whose arrays are of the shapes and types that it says."""
    parts = [("train", source.x_train, source.y_train), ("test", source.x_test, source.y_test)]
    if source.x_valid is not None and source.y_valid is not None:
        parts.append(("valid", source.x_valid, source.y_valid))
    for part, x, y in parts:
        width = math.prod(source.shape)
        if x.shape != (len(y), width):
            raise DataError(
                f"{name}: x_{part} has the shape {x.shape}; of {len(y)} labels and samples of {source.shape}: {len(y), width}"
            )
        labels = bool(source.n_classes)
        if y.ndim != (1 if labels else 2) or y.dtype != (np.int64 if labels else np.float64):
            raise DataError(
                f"{name}: y_{part} is {y.dtype} of shape {y.shape}; allowed: int64 labels (n,), or with n_classes = 0 float64 "
                f"numbers (n, n_out)"
            )
        if labels and len(y) and not 0 <= y.min() <= y.max() < source.n_classes:
            raise DataError(f"{name}: y_{part} has labels from {y.min()} to {y.max()}; allowed: 0 to {source.n_classes - 1}")
    return source


def _remarks(
    x_train: NDArray[np.floating] | Trains, others: Mapping[str, NDArray[np.floating] | Trains]
) -> tuple[str, ...]:  # fmt: skip
    """What to say of inputs of the user's own that are unusually large, or not scaled in other parts as in training."""
    found = list[str]()
    if isinstance(x_train, Trains):
        for part, x in others.items():
            assert isinstance(x, Trains)  # as `Source` has all parts
            found += _remarks_on_times(x_train.time, x.time, part)
        return tuple(found)
    train = _root_mean_square(x_train)
    if train > _LARGE:
        found.append(
            f"x_train: inputs are large, {train:.3g} in root mean square, and are taken as they are; networks learn best from "
            "those in [0, 1] (bytes divided by 255), or of mean 0 and variance 1"
        )
    for part, x in others.items():
        other = _root_mean_square(array_of(x)) if len(x) else train
        if max(train, other) > _LARGE * min(train, other):
            said = f"x_{part}: the root mean square is {other:.3g}, that of x_train {train:.3g}"
            found.append(f"{said}: were both parts scaled alike?")
    return tuple(found)


def _remarks_on_times(train: NDArray[np.float64], other: NDArray[np.float64], part: str) -> tuple[str, ...]:
    """What to say of spikes of the user's own that come much later in one part than in the other, ms."""
    if not (train.size and other.size):
        return ()
    first, second = float(train.mean()), float(other.mean())
    if max(first, second) <= _LATE * min(first, second):
        return ()
    return (
        f"time_{part}: spikes come {second:.3g} ms after the onset on average, those of time_train {first:.3g} ms: are the "
        f"times of both parts in one unit?",
    )


def _remarks_on_targets(y_train: NDArray[Any]) -> tuple[str, ...]:
    """What to say of numbers to be fitted that are unusually large."""
    if y_train.ndim == 1 or (size := _root_mean_square(y_train)) <= _LARGE:
        return ()
    return (
        f"y_train: targets are large, {size:.3g} in root mean square, and are taken as they are; networks learn best those "
        "of mean 0 and variance 1",
    )


def _root_mean_square(x: NDArray[np.floating]) -> float:
    largest = float(max(x.max(initial=0), -x.min(initial=0)))
    scale = largest if largest > _SQUARED else 1.0  # whose square overflows
    blocks = (x[i : i + _ROWS] / x.dtype.type(scale) for i in range(0, len(x), _ROWS))
    return scale * float(np.sqrt(sum(float(np.square(block, dtype=np.float64).sum()) for block in blocks) / x.size))


def _nearest(name: str) -> str:
    return difflib.get_close_matches(name.lower(), available(), n=1, cutoff=0.0)[0]


def _split(
    name: str, source: Source, fraction: float, rng: np.random.Generator | None
) -> tuple[NDArray[Any] | Trains, NDArray[Any], NDArray[Any] | Trains, NDArray[Any]]:
    """Return inputs and targets of the training set and of the validation set, each in the order of the source.

    name: of the data, for messages.
    """
    x, y = source.x_train, source.y_train
    if not 0 <= fraction < 1:
        raise DataError(f"preprocess.validation: {fraction}: it must be at least 0 and below 1")
    if source.x_valid is not None and source.y_valid is not None:
        if fraction:
            raise DataError(
                f"preprocess.validation: {fraction:g} would draw a validation set, and data = {name!r} bring their own, with "
                f"y_valid; allowed: one of the two"
            )
        return x, y, source.x_valid, source.y_valid
    if fraction == 0:
        return x, y, x[:0], y[:0]
    if rng is None:
        raise DataError(f"validation = {fraction} needs a random generator: pass rng")
    try:
        chosen = plain(len(y), fraction, rng) if y.ndim == 2 else stratified(y, fraction, rng, source.classes)
    except DataError as error:
        raise DataError(f"preprocess.validation: {error}") from None
    return x[~chosen], y[~chosen], x[chosen], y[chosen]
