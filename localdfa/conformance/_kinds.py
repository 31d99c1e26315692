"""Small data of each kind that modules read."""

import math
from typing import Any

import numpy as np

from localdfa.data import Dataset
from localdfa.data.kinds import Fields, Graph, Links, Text, Views
from localdfa.data.links import hold_out


def graph(n: int = 12, n_features: int = 7, n_classes: int = 3) -> Graph:
    """Nodes of which the first has no neighbours."""
    rng = np.random.default_rng(0)
    joined = np.triu(rng.random((n, n)) < 0.25, 1)
    joined[0] = joined[:, 0] = False
    nodes, edges = np.arange(n), np.array(np.nonzero(joined | joined.T))
    features, labels = rng.random((n, n_features)).astype(np.float32), rng.integers(n_classes, size=n)
    return Graph(features, edges, labels, nodes[:6], nodes[6:8], nodes[8:], tuple(map(str, range(n_classes))))


def links() -> Links:
    """The same nodes, with some edges held out."""
    return hold_out("small", graph(), np.random.default_rng(0))


def fields(m: int = 9, sizes: tuple[int, ...] = (4, 2, 5)) -> Fields:
    """Rows of three fields."""
    rng = np.random.default_rng(0)
    x, y = np.stack([rng.integers(size, size=m) for size in sizes], 1), rng.integers(2, size=m).astype(np.float32)
    return Fields(x, y, x, y, x, y, sizes, tuple("abc"))


def views() -> Views:
    """Three black images."""
    views, poses = np.arange(3), np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
    return Views(np.zeros((3, 4, 4, 3), np.float32), poses, 5.0, 2.0, 6.0, views[:1], views[1:2], views[2:])


def text() -> Text:
    """Five symbols at random."""
    symbols = np.random.default_rng(0).integers(5, size=300)
    return Text(symbols, symbols, symbols, tuple("abcde"))


def samples(*shape: int, m: int = 6, n_classes: int = 3) -> Dataset:
    """Samples of this shape."""
    rng = np.random.default_rng(0)
    x, y = rng.random((m, math.prod(shape))), rng.integers(n_classes, size=m)
    return Dataset("small", x, y, x, y, x, y, n_classes, shape, tuple("abc"), (), None)


def of(reads: type) -> list[Any]:
    """Data of one kind, of each shape that a module may need."""
    found: dict[type, list[Any]] = {
        Graph: [graph()], Links: [links()], Fields: [fields()], Views: [views()], Text: [text()],
        Dataset: [samples(4), samples(5, 2), samples(2, 8, 8)],
    }  # fmt: skip
    return found[reads]
