"""Data that are no samples with labels or numbers of their own, which modules of PyTorch alone read."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


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
        Between which distances from the camera the scene lies.
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

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one symbol."""
        return (1,)

    @property
    def classes(self) -> tuple[str, ...]:
        """The symbols."""
        return self.symbols


Kind = Graph | Fields | Views | Text


def arrays(data: Kind) -> dict[str, NDArray[Any]]:
    """All arrays and numbers of data, by name."""
    return {
        name: np.asarray(value) for name, value in vars(data).items() if name not in ("notes", "classes", "names", "symbols")
    }
