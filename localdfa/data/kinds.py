"""Data that are no samples with labels or numbers of their own, which modules of PyTorch alone read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from localdfa.errors import DataError, quoted
from localdfa.outputs._of_modules import Colours, Decisions, Pairs, Symbols


@dataclass(frozen=True)
class Graph:
    """Nodes that are joined by edges, and of which some show their labels; all of it is seen at once.

    Attributes
    ----------
    features : float32 array, shape (n, n_features)
    edges : int64 array, shape (2, n_edges)
        From node, to node; each edge in both directions, none twice, none from a node to itself.
    labels : int64 array, shape (n,)
        In 0 .. n_classes - 1.
    train, valid, test : int64 arrays
        Nodes whose labels are learned from, chosen by, and tested on; no node is in two of them.
    classes : tuple of str
    notes : tuple of str
        What was changed in the data, or is unusual in them, for a person to know.
    whole : bool
        Whether each step of training sees all of the data, so that there are no mini-batches.
    classed : bool
        Whether samples, or nodes, have classes, by which figures of their activity colour them.
    """

    features: NDArray[np.float32]
    edges: NDArray[np.int64]
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    whole: ClassVar[bool] = True
    classed: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is seen of one node."""
        return self.features.shape[1:]


@dataclass(frozen=True)
class Links:
    """A graph of which some edges are held out; what is predicted is whether an edge joins two nodes.

    `localdfa.data.links.hold_out` makes one of any `Graph`.

    Attributes
    ----------
    features : float32 array, shape (n, n_features)
    edges : int64 array, shape (2, n_edges)
        As of a `Graph`: those that are learned from.
    labels : int64 array, shape (n,)
        Classes of the nodes, which are not learned from: figures show them.
    pairs_valid, pairs_test : int64 arrays, shape (2, m)
        Two nodes each, no pair twice, none of them in `edges`.
    joined_valid, joined_test : float32 arrays, shape (m,)
        1 where an edge joins them, else 0.
    classes, notes, whole, classed
        As of a `Graph`.
    """

    features: NDArray[np.float32]
    edges: NDArray[np.int64]
    labels: NDArray[np.int64]
    pairs_valid: NDArray[np.int64]
    joined_valid: NDArray[np.float32]
    pairs_test: NDArray[np.int64]
    joined_test: NDArray[np.float32]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    output: ClassVar[type[Pairs]] = Pairs
    whole: ClassVar[bool] = True
    classed: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is seen of one node."""
        return self.features.shape[1:]


@dataclass(frozen=True)
class Fields:
    """Rows of categories, one of each field, and whether somebody did something: clicked, liked, earned.

    Attributes
    ----------
    x_train, x_valid, x_test : int64 arrays, shape (n, n_fields)
        The category in each field, 0 .. sizes[field] - 1.
    y_train, y_valid, y_test : float32 arrays, shape (n,)
        1 where it was done, else 0.
    sizes : tuple of int
        Categories of each field.
    names : tuple of str
        Of the fields.
    notes : tuple of str
        As of a `Graph`.
    """

    x_train: NDArray[np.int64]
    y_train: NDArray[np.float32]
    x_valid: NDArray[np.int64]
    y_valid: NDArray[np.float32]
    x_test: NDArray[np.int64]
    y_test: NDArray[np.float32]
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ("no", "yes")

    output: ClassVar[type[Decisions]] = Decisions
    whole: ClassVar[bool] = False
    classed: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (len(self.sizes),)


@dataclass(frozen=True)
class Views:
    """Images of one scene, and from where they were taken.

    Attributes
    ----------
    images : float32 array, shape (n, height, width, 3)
        Red, green, blue in [0, 1].
    poses : float32 array, shape (n, 4, 4)
        Of the camera, which looks along its own -z, with y up: to the coordinates of the scene.
    focal : float
        Focal length in pixels.
    near, far : float
        Between which distances from the camera the scene lies, along each ray.
    train, valid, test : int64 arrays
        Views that are learned from, chosen by, and held out.
    notes : tuple of str
        As of a `Graph`.
    """

    images: NDArray[np.float32]
    poses: NDArray[np.float32]
    focal: float
    near: float
    far: float
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    output: ClassVar[type[Colours]] = Colours
    whole: ClassVar[bool] = False
    classed: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.images.shape[1:]


@dataclass(frozen=True)
class Text:
    """A text of symbols, of which a network predicts the next.

    Attributes
    ----------
    train, valid, test : int64 arrays, shape (n,)
        Consecutive parts of the text, as places in `symbols`.
    symbols : tuple of str
        Those that there are, in order.
    notes : tuple of str
        As of a `Graph`.
    """

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    symbols: tuple[str, ...]
    notes: tuple[str, ...] = ()

    output: ClassVar[type[Symbols]] = Symbols
    whole: ClassVar[bool] = False
    classed: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one symbol."""
        return (1,)

    @property
    def classes(self) -> tuple[str, ...]:
        """The symbols."""
        return self.symbols


Kind = Graph | Links | Fields | Views | Text


def arrays(data: Kind) -> dict[str, NDArray[Any]]:
    """All arrays and numbers of data, by name."""
    return {
        name: np.asarray(value) for name, value in vars(data).items() if name not in ("notes", "classes", "names", "symbols")
    }


_PARTS = ("train", "valid", "test")
# By how much a rotation that was rounded differs from one.
_ROUNDED = 1e-3


def check(name: str, data: Kind) -> None:
    """Check that data are what their kind says.

    Raises
    ------
    DataError
        The message gives the data set, as `name`, what of it is wrong, and what is allowed.
    """
    if wrong := next(_WRONG[type(data)](data), None):
        raise DataError(f"{name}: {wrong}")


def _wrong_graph(data: Graph) -> Iterator[str]:
    yield from _wrong_nodes(data)
    yield from _wrong_parts(data, len(data.features))


def _wrong_nodes(data: "Graph | Links") -> Iterator[str]:
    """What of nodes and edges is wrong."""
    yield from _wrong_names("classes", data.classes, 2)
    yield from _wrong_array("features", data.features, np.float32, ("nodes", "features"))
    n = len(data.features)
    yield from _wrong_array("labels", data.labels, np.int64, (n,), 0, len(data.classes) - 1)
    yield from _wrong_array("edges", data.edges, np.int64, (2, "any number"), 0, n - 1)
    start, end = data.edges
    if (start == end).any():
        yield f"edges: one leads from node {start[(start == end).argmax()]} to itself; allowed: none"
    there = np.unique(start * n + end)
    if len(there) < len(start):
        yield f"edges: {len(start) - len(there)} of {len(start)} are there twice; allowed: none"
    if not np.array_equal(there, np.unique(end * n + start)):
        yield "edges: some lead one way only; allowed: each in both directions"


def _wrong_links(data: Links) -> Iterator[str]:
    yield from _wrong_nodes(data)
    n = len(data.features)
    if not data.edges.size:
        yield "edges: there are none to learn from; allowed: from 1"
    for part in ("valid", "test"):
        pairs, joined = getattr(data, f"pairs_{part}"), getattr(data, f"joined_{part}")
        size = "pairs" if part == "test" else "any number"
        yield from _wrong_array(f"pairs_{part}", pairs, np.int64, (2, size), 0, n - 1)
        yield from _wrong_array(f"joined_{part}", joined, np.float32, pairs.shape[1:])
        if (itself := pairs[0] == pairs[1]).any():
            yield f"pairs_{part}: node {pairs[0, itself.argmax()]} with itself; allowed: two nodes"
        yield from _wrong_answers(f"joined_{part}", joined, "pairs", part)
    pairs = np.concatenate([data.edges[:, data.edges[0] < data.edges[1]], data.pairs_valid, data.pairs_test], axis=1)
    each, times = np.unique(np.sort(pairs, axis=0), axis=1, return_counts=True)
    if (times > 1).any():
        yield (
            f"edges, pairs_valid, pairs_test: nodes {' and '.join(map(str, each[:, times.argmax()]))} are there twice; "
            f"allowed: each pair at most once"
        )


def _wrong_fields(data: Fields) -> Iterator[str]:
    yield from _wrong_names("names", data.names, 1)
    sizes = data.sizes
    whole = isinstance(sizes, tuple) and all(isinstance(size, int) and size >= 1 for size in sizes)
    if not whole or len(sizes) != len(data.names):
        yield f"sizes: {quoted(sizes)}; allowed: of each of the {len(data.names)} fields how many categories it has, from 1"
    for part in _PARTS:
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        yield from _wrong_array(f"x_{part}", x, np.int64, ("rows" if part != "valid" else "any number", len(sizes)), 0)
        if len(x) and (beyond := x.max(axis=0) >= sizes).any():
            field = int(beyond.argmax())
            yield f"x_{part}: {data.names[field]} has the category {x[:, field].max()}; allowed: 0 to {sizes[field] - 1}"
        yield from _wrong_array(f"y_{part}", y, np.float32, (len(x),))
        yield from _wrong_answers(f"y_{part}", y, "rows", part)


def _wrong_views(data: Views) -> Iterator[str]:
    yield from _wrong_array("images", data.images, np.float32, ("views", "rows", "columns", 3), 0, 1)
    n = len(data.images)
    yield from _wrong_array("poses", data.poses, np.float32, (n, 4, 4))
    turned = data.poses[:, :3, :3]
    alike = np.abs(turned @ turned.transpose(0, 2, 1) - np.eye(3)).max() <= _ROUNDED and (np.linalg.det(turned) > 0).all()
    if not alike or (data.poses[:, 3] != (0, 0, 0, 1)).any():
        yield "poses: not each is a rotation and a shift, with 0, 0, 0, 1 in its last row; allowed: these"
    if not all(isinstance(number, int | float) for number in (data.focal, data.near, data.far)):
        yield f"focal, near, far: {quoted((data.focal, data.near, data.far))}; allowed: numbers"
    if not 0 < data.focal < np.inf:
        yield f"focal: {quoted(data.focal)}; allowed: above 0"
    if not 0 <= data.near < data.far < np.inf:
        yield f"near, far: {quoted(data.near)}, {quoted(data.far)}; allowed: near from 0, far above near"
    yield from _wrong_parts(data, n)


def _wrong_text(data: Text) -> Iterator[str]:
    yield from _wrong_names("symbols", data.symbols, 2)
    for part in _PARTS:
        size = "any number" if part == "valid" else "symbols"
        yield from _wrong_array(part, getattr(data, part), np.int64, (size,), 0, len(data.symbols) - 1)


def _wrong_answers(key: str, y: NDArray[np.float32], of: str, part: str) -> Iterator[str]:
    """Of answers, 1 for yes, that are something else, or all alike."""
    if not np.isin(y, (0, 1)).all():
        yield f"{key}: other numbers than 0 and 1; allowed: these"
    if part != "valid" and y.min() == y.max():
        yield f"{key}: all are {y[0]:g}; allowed: {of} with 0 and {of} with 1"


def _wrong_names(key: str, names: Any, least: int) -> Iterator[str]:
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        yield f"{key}: {quoted(names)}; allowed: a tuple of text"
    if len(names) < least or len(set(names)) < len(names):
        yield f"{key}: {quoted(names)}; allowed: at least {least}, none twice"


def _wrong_array(
    key: str, array: Any, dtype: Any, shape: tuple[int | str, ...], low: float = -np.inf, high: float = np.inf
) -> Iterator[str]:
    """Of an array of another type or shape, or with values out of bounds or not finite; shape: a word where any number will do,
    from 1 except for ``any number``."""
    if not isinstance(array, np.ndarray):
        yield f"{key}: {quoted(array)}; allowed: an array"
    fits = array.ndim == len(shape) and all(
        n == size if isinstance(size, int) else n >= (size != "any number") for n, size in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        allowed = ", ".join(map(str, shape)) + "," * (len(shape) == 1)
        yield f"{key}: {array.dtype} of shape {array.shape}; allowed: {np.dtype(dtype)} of shape ({allowed})"
    if array.size and not np.isfinite(array).all():
        yield f"{key}: some are not finite; allowed: finite numbers"
    if array.size and not low <= array.min() <= array.max() <= high:
        yield f"{key}: from {array.min()} to {array.max()}; allowed: {low} to {high}"


def _wrong_parts(data: Graph | Views, n: int) -> Iterator[str]:
    """Of parts that are no places of n, or have some in common."""
    for part in _PARTS:
        yield from _wrong_array(part, getattr(data, part), np.int64, ("any number" if part == "valid" else "some",), 0, n - 1)
    places, times = np.unique(np.concatenate([data.train, data.valid, data.test]), return_counts=True)
    if (times > 1).any():
        yield f"train, valid, test: {places[times.argmax()]} is there twice; allowed: each at most once"


_WRONG: dict[type, Callable[[Any], Iterator[str]]] = {
    Graph: _wrong_graph, Links: _wrong_links, Fields: _wrong_fields, Views: _wrong_views, Text: _wrong_text,
}  # fmt: skip
