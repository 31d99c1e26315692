"""The citation networks of Planetoid, each published as pickles of its parts and a list of its test nodes."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from localdfa.data import cache
from localdfa.data.kinds import Graph
from localdfa.data.pickled import ACTIONS, BYTE, DTYPE, NDARRAY, RECONSTRUCT, UINT, Array, Machine, Name
from localdfa.errors import DataError

_URL = "https://raw.githubusercontent.com/kimiyoung/planetoid/master/data"
# The files that are read of each set. x and y, the first rows of allx and ally, are not among them.
_PARTS = ("allx", "ally", "tx", "ty", "graph", "test.index")
# Nodes of each class that are learned from, and nodes behind them that are validated by.
_LEARNED, _VALIDATED = 20, 500

_CSR, _DEFAULTDICT, _LIST = map(Name, ("scipy.sparse.csr csr_matrix", "collections defaultdict", "__builtin__ list"))
# Numbers of four bytes, as these files name them.
_TYPES = {"i4": np.dtype("<i4"), "f4": np.dtype("<f4")}
_TYPE_STATE = (3, "<", None, None, None, -1, -1, 0)


@dataclass(frozen=True)
class Published:
    """A network as it is published.

    Attributes
    ----------
    name : str
        In the names of its files.
    md5 : tuple of str
        Of its files allx, ally, tx, ty, graph and test.index.
    classes : tuple of str
        In the order of the labels.
    nodes, features : int
        How many there are.
    """

    name: str
    md5: tuple[str, ...]
    classes: tuple[str, ...]
    nodes: int
    features: int


def read(published: Published) -> Graph:
    """Read a network, whose files are downloaded first where they are missing.

    Nodes and parts are those of Kipf and Welling (2017, arXiv:1609.02907): the first nodes, 20 of each class, are learned from,
    the next 500 are for validation, and the 1,000 of the file test.index for the test. The features of a node are divided by
    their sum. An edge that joins a node to itself is left out; all others lead both ways, each once.
    """
    files = {}
    for part, md5 in zip(_PARTS, published.md5, strict=True):
        name = f"ind.{published.name}.{part}"
        remote = cache.Remote(f"planetoid/{name}", f"{_URL}/{name}", md5)
        files[part] = cache.read(remote), str(cache.folder() / remote.file)
    return assemble(published, {part: (parse if part != "test.index" else _lines)(*file) for part, file in files.items()})


def assemble(published: Published, parts: dict[str, Any]) -> Graph:
    """Put a network together.

    parts: allx (n, n_features), sparse, and ally (n, n_classes), one-hot, of the first nodes; tx and ty of the test nodes, in
    the order of test.index, a list of them; graph, the neighbours of each node. A node that is in none of them, as 15 of
    CiteSeer, has no features and no label: it is given the first one, and is in no part.

    Raises
    ------
    DataError
        They do not fit each other, or what is published.
    """
    n, n_classes = published.nodes, len(published.classes)
    test = np.array(parts["test.index"], np.int64)
    first, learned = np.shape(parts["ally"])[:1], _LEARNED * n_classes
    for key, kind, shape in (
        ("ally", np.ndarray, (*first, n_classes)), ("allx", csr_matrix, (*first, published.features)),
        ("ty", np.ndarray, (len(test), n_classes)), ("tx", csr_matrix, (len(test), published.features)),
        ("graph", dict, ()),
    ):  # fmt: skip
        if not isinstance(parts[key], kind) or np.shape(parts[key]) != shape:
            raise DataError(f"{published.name}: {key} is no {kind.__name__} of shape {shape}")
    (first,) = first
    if first < learned + _VALIDATED or len(np.unique(test)) < len(test) or not (test >= first).all() or not (test < n).all():
        raise DataError(f"{published.name}: the test nodes are not some of {first} to {n - 1}, each once")
    features, one_hot = np.zeros((n, published.features), np.float32), np.zeros((n, n_classes), np.int64)
    features[:first], one_hot[:first] = parts["allx"].toarray(), parts["ally"]
    features[test], one_hot[test] = parts["tx"].toarray(), parts["ty"]
    sums = features.sum(axis=1, keepdims=True)
    alone = n - first - len(test)
    notes = (f"{alone} nodes have no features and no label, which is 0 here; they are in no part",) if alone else ()
    return Graph(
        np.divide(features, sums, out=np.zeros_like(features), where=sums > 0),
        _edges(published, parts["graph"]),
        one_hot.argmax(axis=1),
        np.arange(learned),
        np.arange(learned, learned + _VALIDATED),
        np.sort(test),
        published.classes,
        notes,
    )


def _edges(published: Published, graph: Any) -> NDArray[np.int64]:
    """The edges of a list of neighbours of each node, (2, n_edges), in both directions, by where they come from."""
    n = published.nodes
    start = np.repeat(np.fromiter(graph, np.int64, len(graph)), [len(neighbours) for neighbours in graph.values()])
    end = np.fromiter((node for neighbours in graph.values() for node in neighbours), np.int64, len(start))
    if not all(((nodes >= 0) & (nodes < n)).all() for nodes in (start, end)):
        raise DataError(f"{published.name}: graph has nodes outside of 0 to {n - 1}")
    start, end = start[start != end], end[start != end]
    there = np.unique(np.concatenate([start * n + end, end * n + start]))
    return np.stack(np.divmod(there, n))


def _lines(blob: bytes, name: str) -> list[int]:
    """Nodes, one a line."""
    lines = blob.split()
    if not all(line.isdigit() and len(line) < 10 for line in lines):
        raise DataError(f"{name}: not a node in each line")
    return [int(line) for line in lines]


@dataclass(frozen=True, eq=False)
class _Type:
    """The dtype of an array."""

    dtype: np.dtype[Any]


@dataclass(eq=False)
class _Sparse:
    """A sparse matrix, without values until the opcode BUILD gives them; in a box for the reason that an array is."""

    values: csr_matrix | None = None


class _Planetoid(Machine):
    """A matrix, dense or sparse, or a dictionary of lists of integers."""

    files = "a Planetoid file"
    names = (RECONSTRUCT, NDARRAY, DTYPE, _CSR, _DEFAULTDICT, _LIST)
    keys = (str, int)
    ends: ClassVar = {Array: "array", _Sparse: "sparse matrix", dict: "dictionary"}

    def __init__(self, blob: bytes, name: str) -> None:
        super().__init__(blob, name)
        self.noted: dict[int, Name | _Type] = {}

    def note(self, place: int) -> None:
        """Opcodes BINPUT and LONG_BINPUT, for what may be used again: names and types."""
        self.noted.pop(place, None)
        if self.stack and isinstance(self.stack[-1], Name | _Type):
            self.noted[place] = self.stack[-1]

    def noted_before(self, place: int) -> None:
        """Opcode BINGET."""
        if place not in self.noted:
            raise self.refusal("a value is used twice which is neither a name nor a type")
        self.stack.append(self.noted[place])

    def append(self) -> None:
        """Opcode APPEND."""
        value = self.pop()
        self.last(list).append(value)

    def new(self) -> None:
        """Opcode NEWOBJ: a sparse matrix."""
        if self.pop() != () or self.pop() != _CSR:
            raise self.refusal(f"an object that does not occur in {self.files}; nothing was executed")
        self.stack.append(_Sparse())

    def reduce(self) -> None:
        """Opcode REDUCE: the two calls that describe an array, and the one that describes a dictionary of lists."""
        arguments, function = self.pop(), self.pop()
        if function == RECONSTRUCT and arguments == (NDARRAY, (0,), "b"):
            self.stack.append(Array())
        elif function == DTYPE and any(arguments == (code, 0, 1) for code in _TYPES):
            self.stack.append(_Type(_TYPES[arguments[0]]))
        elif function == _DEFAULTDICT and arguments == (_LIST,):
            self.stack.append({})
        else:
            raise self.refusal(f"a call that does not occur in {self.files}; nothing was executed")

    def build(self) -> None:
        """Opcode BUILD: the state of an array, a sparse matrix, or a type, which has only one."""
        state = self.pop()
        target = self.stack[-1] if self.stack else None
        if isinstance(target, Array) and target.values is None:
            target.values = self.array(state)
        elif isinstance(target, _Sparse) and target.values is None:
            target.values = self.sparse(state)
        elif not isinstance(target, _Type) or state != _TYPE_STATE:
            raise self.refusal(f"a state that does not occur in {self.files}")

    def array(self, state: Any) -> NDArray[Any]:
        """The array of a numpy state (version, shape, dtype, whether in Fortran order, bytes)."""
        match state:
            case (1, (*shape,), _Type(dtype), False, str(text)) if all(type(size) is int for size in shape):
                if not 1 <= len(shape) <= 2 or min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(text):
                    raise self.refusal(f"an array of shape {tuple(shape)} with {len(text)} bytes")
                return np.frombuffer(text.encode("latin-1"), dtype).reshape(shape)
        raise self.refusal("not the state of an array in C order")

    def sparse(self, state: Any) -> csr_matrix:
        """The sparse matrix of its shape, and of the columns and values of its rows."""
        match state:
            case {
                "format": "csr", "_shape": (int(rows), int(columns)),
                "indptr": Array(np.ndarray() as starts), "indices": Array(np.ndarray() as places),
                "data": Array(np.ndarray() as values),
            } if 0 < rows < 2**31 and 0 < columns < 2**31:  # fmt: skip
                try:
                    found = csr_matrix((values, places, starts), shape=(rows, columns))
                    found.check_format(full_check=True)
                except ValueError as error:
                    raise self.refusal(f"a sparse matrix that is none: {error}") from None
                return found
        raise self.refusal("not the state of a sparse matrix")

    actions: ClassVar = {
        **ACTIONS,
        b")": lambda machine: machine.stack.append(()),
        b"\x88": lambda machine: machine.stack.append(True),
        b"a": append,
        b"q": lambda machine: machine.note(machine.number(BYTE)),
        b"r": lambda machine: machine.note(machine.number(UINT)),
        b"h": lambda machine: machine.noted_before(machine.number(BYTE)),
        b"\x81": new,
        b"R": reduce,
        b"b": build,
    }


def parse(blob: bytes, name: str) -> Any:
    """Parse one of the pickles.

    Parameters
    ----------
    blob : bytes
        The whole file.
    name : str
        The file, for messages.

    Returns
    -------
    int32 or float32 array, sparse matrix of them, or dictionary of lists of integers by integers

    Raises
    ------
    DataError
        The file holds anything else; the message gives the file and the byte. Nothing in it is executed.
    """
    found = _Planetoid(blob, name).run()
    if isinstance(found, Array | _Sparse):
        if found.values is None:
            raise DataError(f"{name}: an array without values")
        return found.values
    if not all(
        type(node) is int and type(near) is list and all(type(other) is int and abs(other) < 2**31 for other in near)
        for node, near in found.items()
    ):
        raise DataError(f"{name}: not a list of nodes for each node")
    return found
