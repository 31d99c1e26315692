"""100,836 ratings of 9,724 films by 610 people, and which of them are good (1 MB, not for commercial use), for modules."""

import csv
import io
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from localdfa.data import archives, cache
from localdfa.data.kinds import Fields
from localdfa.data.split import plain
from localdfa.errors import DataError

# Its authors give no checksum of the archive, which they may exchange: the files are verified that are taken out of it.
ARCHIVE = cache.Remote("ml-latest-small.zip", "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip", None)
FILES = {
    "ml-latest-small/ratings.csv": "325a6f09399d1c45671f187505e1a100",
    "ml-latest-small/movies.csv": "ed94fab72b62442ef8150d9446e000d6",
}
_GOOD = 4.0
# What fewer ratings of the training part are of is one category.
_RARE = 5
_SEED = 1997


def load() -> Fields:
    """Return MovieLens latest small, as of September 2018: 100,836 ratings, who gave them of what film, and whether it is good.

    A rating of 4 stars and more is good: 1. The fields are the user, the film, the year it is of and its genres, as they are
    listed. Films, years and lists of genres with fewer than five ratings that are learned from are category 0 of their field.

    10 % of the ratings are for the test and 10 % for validation, drawn at random, once and for all, by numpy's default
    generator with the seed 1997, and not by time: most people rate all of their films within days, so that a split in time
    would test on people of whom nothing is known. All parts keep the order of the source.

    Source: F. M. Harper and J. A. Konstan (2015), The MovieLens datasets: history and context, ACM Transactions on Interactive
    Intelligent Systems 5(4):19, doi:10.1145/2827872. Its licence allows research, not commercial use, and passing it on under
    the same conditions alone.
    """
    archives.unpack_missing(ARCHIVE, FILES)
    ratings, films = (
        table(cache.read_verified(cache.folder() / file, md5).decode("utf-8"), str(cache.folder() / file))
        for file, md5 in FILES.items()
    )
    return assemble(ratings, films)


def table(text: str, name: str) -> dict[str, list[str]]:
    """The columns of a file of values that are separated by commas, by the names in its first line."""
    first, *rows = csv.reader(io.StringIO(text, newline=""))
    if not rows or any(len(row) != len(first) for row in rows):
        raise DataError(f"{name}: not a table with {len(first)} columns")
    return {key: list(column) for key, column in zip(first, zip(*rows, strict=True), strict=True)}


def assemble(ratings: dict[str, list[str]], films: dict[str, list[str]]) -> Fields:
    """Put together what is known of each rating, and draw the parts; `load` says how."""
    year = {film: _year(title) for film, title in zip(films["movieId"], films["title"], strict=True)}
    genres = dict(zip(films["movieId"], films["genres"], strict=True))
    if unknown := set(ratings["movieId"]) - set(year):
        raise DataError(f"movielens-small: film {min(unknown)} is rated and is none of those that there are")
    n, rng = len(ratings["rating"]), np.random.default_rng(_SEED)
    tested = plain(n, 0.1, rng)
    valid = np.zeros(n, bool)
    valid[np.flatnonzero(~tested)[plain(int((~tested).sum()), 1 / 9, rng)]] = True
    learned = ~(tested | valid)
    users = np.array(ratings["userId"], np.int64)
    columns = [
        (np.searchsorted(np.unique(users), users), len(np.unique(users))),
        *(
            _but_rare(values, learned)
            for values in (ratings["movieId"], [year[k] for k in ratings["movieId"]], [genres[k] for k in ratings["movieId"]])
        ),
    ]
    x = np.stack([codes for codes, _ in columns], axis=1).astype(np.int64)
    y = (np.array(ratings["rating"], np.float64) >= _GOOD).astype(np.float32)
    return Fields(
        x[learned], y[learned], x[valid], y[valid], x[tested], y[tested], tuple(size for _, size in columns),
        ("user", "film", "year", "genres"),
    )  # fmt: skip


def _year(title: str) -> str:
    """What stands in brackets at the end of a title; nothing where it has no year."""
    found = re.search(r"\((\d{4})\)\s*$", title)
    return found[1] if found else ""


def _but_rare(values: Sequence[str], learned: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Values as categories, 0 for all those that are rare where learned from; and how many categories there are."""
    names, codes = np.unique(values, return_inverse=True)
    kept = np.bincount(codes[learned], minlength=len(names)) >= _RARE
    return np.where(kept, np.cumsum(kept), 0)[codes], int(kept.sum()) + 1


model = load
