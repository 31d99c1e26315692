"""48,842 people of the census of 1994, and who of them earns over $50,000: 14 fields (6 MB), for modules."""

import numpy as np
from numpy.typing import NDArray

from localdfa.data import cache
from localdfa.data.kinds import Fields
from localdfa.data.split import plain
from localdfa.errors import DataError

_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult"
TRAIN = cache.Remote("adult/adult.data", f"{_URL}/adult.data", "5d7c39d7b8804f071cdd1f2a7c460872")
TEST = cache.Remote("adult/adult.test", f"{_URL}/adult.test", "35238206dfdf7f1fe215bbb874adecdc")
_FIELDS = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race", "sex",
    "capital-gain", "capital-loss", "hours-per-week", "native-country",
)  # fmt: skip
_NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
_BINS = 10
_SEED = 1994


def load() -> Fields:
    """Return Adult, also known as Census Income: 32,561 + 16,281 people, 14 fields, and whether they earn over $50,000 a year.

    The test set is the published one, and 10 % of the others, drawn once and for all by numpy's default generator with the seed
    1994, are for validation; all parts keep the order of the source. Fields of categories are as they are, ``?`` being one.
    Those of numbers have ten categories at most, between the deciles of the people who are learned from; where one number is
    that of more than a tenth of them, such as no capital gain, it is a category of its own, and the deciles are of the others.

    Source: B. Becker and R. Kohavi (1996), Adult, UCI Machine Learning Repository, doi:10.24432/C5XW20, CC BY 4.0.
    """
    return assemble(*(rows(cache.read(remote).decode("ascii"), str(cache.folder() / remote.file)) for remote in (TRAIN, TEST)))


def rows(text: str, name: str) -> NDArray[np.str_]:
    """The rows of a file, (n, 15), the last column being what they earn: ``>50K``, ``<=50K``, in the test set with a point."""
    found = [line.split(", ") for line in text.splitlines() if line and not line.startswith("|")]
    if not found or any(len(row) != len(_FIELDS) + 1 or row[-1].rstrip(".") not in (">50K", "<=50K") for row in found):
        raise DataError(f"{name}: not in each row {len(_FIELDS)} fields and what is earned, >50K or <=50K")
    return np.array(found)


def assemble(known: NDArray[np.str_], tested: NDArray[np.str_]) -> Fields:
    """Number the categories of all fields, and draw the people who are for validation; `load` says how."""
    valid = plain(len(known), 1 / _BINS, np.random.default_rng(_SEED))
    columns, sizes = [], []
    for k, name in enumerate(_FIELDS):
        codes, size = (_binned if name in _NUMBERS else _numbered)(name, known[:, k], tested[:, k], ~valid)
        columns.append(codes)
        sizes.append(size)
    x = np.stack(columns, axis=1)
    y = np.char.startswith(np.concatenate([known[:, -1], tested[:, -1]]), ">").astype(np.float32)
    n = len(known)
    return Fields(
        x[:n][~valid], y[:n][~valid], x[:n][valid], y[:n][valid], x[n:], y[n:], tuple(sizes), _FIELDS,
    )  # fmt: skip


def _numbered(
    name: str, known: NDArray[np.str_], tested: NDArray[np.str_], learned: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], int]:
    """Categories of both sets together, by the order of the alphabet, and how many there are."""
    names = np.unique(known)
    if len(beyond := np.setdiff1d(tested, names)):
        raise DataError(f"adult: {name} has {beyond[0]} in the test set alone")
    return np.searchsorted(names, np.concatenate([known, tested])).astype(np.int64), len(names)


def _binned(
    name: str, known: NDArray[np.str_], tested: NDArray[np.str_], learned: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], int]:
    """The same of numbers; learned: of which of the known ones the deciles are."""
    try:
        x = np.concatenate([known, tested]).astype(np.float64)
    except ValueError as error:
        raise DataError(f"adult: {name} is not a number everywhere: {error}") from None
    fitted = x[: len(known)][learned]
    values, counts = np.unique(fitted, return_counts=True)
    commonest = values[counts.argmax()] if counts.max() * _BINS > len(fitted) else np.nan
    others = fitted[fitted != commonest]
    edges = np.unique(np.quantile(others, np.arange(1, _BINS) / _BINS)) if len(others) else values[:0]
    codes = np.searchsorted(edges, x, side="right").astype(np.int64)
    codes[x == commonest] = len(edges) + 1
    return codes, len(edges) + (1 if np.isnan(commonest) else 2)


model = load
