"""Edges of a graph that are held out, to be told from pairs of nodes that no edge joins."""

import numpy as np
from numpy.typing import NDArray

from localdfa.data.kinds import Graph, Links
from localdfa.errors import DataError

# One edge of so many is validated by, and tested on.
_VALIDATED, _TESTED = 20, 10


def hold_out(name: str, graph: Graph, rng: np.random.Generator) -> Links:
    """Hold out edges of a graph: a tenth of them for the test, a twentieth for validation (Kipf & Welling 2016,
    arXiv:1611.07308).

    Each part has as many pairs that no edge of the whole graph joins; all are drawn by rng.

    Raises
    ------
    DataError
        There are fewer than 10 edges, or too few pairs without one; the message gives the data set, as `name`.
    """
    edges = graph.edges[:, graph.edges[0] < graph.edges[1]]
    number = edges.shape[1]
    tested, validated = number // _TESTED, number // _VALIDATED
    if not tested:
        raise DataError(f"{name}: edges: {number}, of which a {_TESTED}th are held out; allowed: from {_TESTED}")
    edges = edges[:, rng.permutation(number)]
    apart = not_joined(name, graph, tested + validated, rng)
    test, valid, train = np.split(edges, [tested, tested + validated], axis=1)
    return Links(
        graph.features,
        np.concatenate([train, train[::-1]], axis=1),
        graph.labels,
        *_judged(valid, apart[:, tested:]),
        *_judged(test, apart[:, :tested]),
        graph.classes,
        graph.notes,
    )


def not_joined(name: str, graph: Graph | Links, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many pairs of different nodes that no edge of a graph joins, (2, number), each once; all are equally likely.

    Raises
    ------
    DataError
        There are not as many; the message gives the data set, as `name`.
    """
    n = len(graph.features)
    joined = np.unique(place(graph.edges))
    free = n * (n - 1) // 2 - len(joined)
    if number > free:
        raise DataError(f"{name}: edges: {len(joined)} leave {free} pairs of {n} nodes apart; allowed: to leave {number}")
    rank = rng.choice(free, number, replace=False)
    # Before the free place of rank r lie those joined ones before which there are at most r free places.
    return _pair(rank + np.searchsorted(joined - np.arange(len(joined)), rank, side="right"))


def place(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of pairs of different nodes (2, m), in either order, their places among all pairs 01, 02, 12, 03, 13, 23 …, (m,)."""
    low, high = pairs.min(axis=0), pairs.max(axis=0)
    return high * (high - 1) // 2 + low


def _pair(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pairs (2, m) at these places, the smaller node first."""
    high = ((1 + np.sqrt(1 + 8 * places)) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > places  # where the root was rounded up
    high += high * (high + 1) // 2 <= places
    return np.stack([places - high * (high - 1) // 2, high])


def _judged(joined: NDArray[np.int64], apart: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs of both sorts, and whether an edge joins each."""
    y = np.repeat(np.array([1, 0], np.float32), [joined.shape[1], apart.shape[1]])
    return np.concatenate([joined, apart], axis=1), y
