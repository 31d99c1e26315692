"""A reader for pickles that cannot run anything, and the CIFAR batches, which it reads.

Python's own unpickler is a machine that calls what a file tells it to call, so it is not used at all. The machine below knows
the few opcodes that published files consist of (opcodes: the module pickletools of Python's standard library). The names in
them are recognised, never looked up; nothing is imported or called; no value is used twice but names and types, so a small
file stays small in memory; and any other opcode, name or argument ends the reading.

The CIFAR batches are pickles of protocol 2, written by Python 2: a dictionary of strings, lists of strings or integers, and
one array of unsigned bytes. What other files are made of stands with their readers.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from localdfa.errors import DataError

_MOST_OPCODES = 1_000_000  # the largest file, the training set of CIFAR-100, has about 200,000
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Name:
    """A global name in a pickle, as text."""

    text: str


class _Bytes:
    """The dtype of unsigned bytes."""


@dataclass(eq=False)
class Array:
    """An array, without values until the opcode BUILD gives them.

    What is on the stack is compared, and == of an array is not one yes or no: so an array is on it in this box, which equals
    only itself.
    """

    values: NDArray[Any] | None = None


RECONSTRUCT, NDARRAY, DTYPE = map(Name, ("numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"))
_DTYPE_STATE = (3, "|", None, None, None, -1, -1, 0)


def parse_pickle(blob: bytes, name: str) -> dict[str, Any]:
    """Parse a pickled dictionary.

    Parameters
    ----------
    blob : bytes
        The whole file.
    name : str
        The file, for messages.

    Returns
    -------
    dict
        Its values are strings, integers, lists, tuples, None, False, and uint8 arrays with two axes, of which a file
        has one at most.

    Raises
    ------
    DataError
        The file holds anything else; the message gives the file and the byte.
    """
    found: dict[str, Any] = _Cifar(blob, name).run()
    return {key: value.values if isinstance(value, Array) else value for key, value in found.items()}


class Machine:
    """A stack machine over the bytes of one file.

    files: what it reads, for messages. actions: what each opcode does. names: the global names that occur. keys: types of the
    keys of dictionaries. ends: types of the one value that a file ends with, and what messages call them.
    """

    files: ClassVar[str]
    actions: ClassVar[Mapping[bytes, Callable[[Any], Any]]]
    names: ClassVar[tuple[Name, ...]]
    keys: ClassVar[tuple[type, ...]] = (str,)
    ends: ClassVar[Mapping[type, str]] = {dict: "dictionary"}

    def __init__(self, blob: bytes, name: str) -> None:
        self.blob = blob
        self.name = name
        self.opcode_at = 0
        self.at = 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each open mark

    def run(self) -> Any:
        """Carry out opcodes up to STOP, which must leave one value alone on the stack and end the file."""
        for _ in range(_MOST_OPCODES):
            self.opcode_at = self.at
            opcode = self.take(1)
            if opcode == b".":
                return self.result()
            action = self.actions.get(opcode)
            if action is None:
                raise self.refusal(f"opcode {opcode!r} does not occur in {self.files}")
            action(self)
        raise self.refusal(f"more than {_MOST_OPCODES} opcodes")

    def result(self) -> Any:
        """The value on the stack."""
        value = self.pop()
        if self.stack or self.below or type(value) not in self.ends:
            raise self.refusal(f"the file does not end with one {' or '.join(self.ends.values())}")
        if self.at != len(self.blob):
            raise self.refusal(f"{len(self.blob) - self.at} bytes follow the end of the pickle")
        return value

    def refusal(self, why: str) -> DataError:
        """An error that points at the current opcode."""
        return DataError(f"{self.name}: byte {self.opcode_at}: {why}")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        left = len(self.blob) - self.at
        if not 0 <= count <= left:
            raise self.refusal(f"{count} bytes announced, {left} left")
        self.at += count
        return self.blob[self.at - count : self.at]

    def number(self, layout: struct.Struct) -> int:
        """The next bytes, read as an integer."""
        value: int = layout.unpack(self.take(layout.size))[0]
        return value

    def pop(self) -> Any:
        """The value on top of the stack."""
        if not self.stack:
            raise self.refusal("the stack is empty")
        return self.stack.pop()

    def protocol(self) -> None:
        """Opcode PROTO."""
        if self.take(1) != b"\x02":
            raise self.refusal("not a pickle of protocol 2")

    def string(self, layout: struct.Struct) -> None:
        """Opcodes for strings of bytes, each byte one character of the result."""
        self.stack.append(self.take(self.number(layout)).decode("latin-1"))

    def mark(self) -> None:
        """Opcode MARK: what follows belongs to one list, tuple or dictionary."""
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """What was stacked since the last mark."""
        if not self.below:
            raise self.refusal("no mark was set")
        values, self.stack = self.stack, self.below.pop()
        return values

    def last(self, kind: type) -> Any:
        """The value on top of the stack, which stays there and must be of the given type."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise self.refusal(f"no {kind.__name__} on the stack to add to")
        return self.stack[-1]

    def tuple_of(self, count: int) -> None:
        """Opcodes TUPLE1 to TUPLE3."""
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def tuple_marked(self) -> None:
        """Opcode TUPLE."""
        values = self.marked()
        self.stack.append(tuple(values))

    def extend(self) -> None:
        """Opcode APPENDS."""
        values = self.marked()
        self.last(list).extend(values)

    def set_items(self) -> None:
        """Opcode SETITEMS."""
        values = self.marked()
        keys = values[::2]
        if len(values) % 2 or not all(type(key) in self.keys for key in keys):
            raise self.refusal(f"a dictionary needs pairs of {' or '.join(_CALLED[kind] for kind in self.keys)} and a value")
        self.last(dict).update(zip(keys, values[1::2], strict=True))

    def global_name(self) -> None:
        """Opcode GLOBAL: two lines, module and name."""
        lines = self.blob[self.at : self.at + _LONGEST_NAME].split(b"\n", 2)
        name = Name(b" ".join(lines[:2]).decode("latin-1"))
        if len(lines) < 3 or name not in self.names:
            raise self.refusal(f"the global name {name.text!r} does not occur in {self.files}; nothing was executed")
        self.at += len(lines[0]) + len(lines[1]) + 2
        self.stack.append(name)


BYTE, _SHORT, _INT, UINT = map(struct.Struct, ("<B", "<H", "<i", "<I"))
_CALLED = {str: "a string", int: "an integer"}
# What opcodes do in every file.
ACTIONS: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": Machine.protocol,
    b"}": lambda machine: machine.stack.append({}),
    b"]": lambda machine: machine.stack.append([]),
    b"N": lambda machine: machine.stack.append(None),
    b"\x89": lambda machine: machine.stack.append(False),
    b"K": lambda machine: machine.stack.append(machine.number(BYTE)),
    b"M": lambda machine: machine.stack.append(machine.number(_SHORT)),
    b"J": lambda machine: machine.stack.append(machine.number(_INT)),
    b"U": lambda machine: machine.string(BYTE),
    b"T": lambda machine: machine.string(_INT),
    b"(": Machine.mark,
    b"\x85": lambda machine: machine.tuple_of(1),
    b"\x86": lambda machine: machine.tuple_of(2),
    b"\x87": lambda machine: machine.tuple_of(3),
    b"t": Machine.tuple_marked,
    b"e": Machine.extend,
    b"u": Machine.set_items,
    b"c": Machine.global_name,
}


class _Cifar(Machine):
    """The batches of CIFAR-10 and CIFAR-100."""

    files = "a CIFAR file"
    names = (RECONSTRUCT, NDARRAY, DTYPE)

    def __init__(self, blob: bytes, name: str) -> None:
        super().__init__(blob, name)
        self.has_array = False

    def reduce(self) -> None:
        """Opcode REDUCE: the two calls that describe an array of bytes."""
        arguments, function = self.pop(), self.pop()
        if function == RECONSTRUCT and arguments == (NDARRAY, (0,), "b"):
            self.stack.append(Array())
        elif function == DTYPE and arguments == ("u1", 0, 1):
            self.stack.append(_Bytes())
        else:
            raise self.refusal(f"a call that does not occur in {self.files}; nothing was executed")

    def build(self) -> None:
        """Opcode BUILD: the state of an array, or of the dtype of bytes, which has only one."""
        state = self.pop()
        target = self.stack[-1] if self.stack else None
        if isinstance(target, Array) and target.values is None:
            target.values = self.array(state)
        elif not isinstance(target, _Bytes) or state != _DTYPE_STATE:
            raise self.refusal(f"a state that does not occur in {self.files}")

    def array(self, state: Any) -> NDArray[np.uint8]:
        """The array of a numpy state (version, shape, dtype, whether in Fortran order, bytes)."""
        match state:
            case (1, (int(rows), int(columns)), _Bytes(), False, str(text)):
                if rows < 1 or rows * columns != len(text):
                    raise self.refusal(f"an array of shape ({rows}, {columns}) with {len(text)} bytes")
                if self.has_array:
                    raise self.refusal("a second array")
                self.has_array = True
                return np.frombuffer(text.encode("latin-1"), dtype=np.uint8).reshape(rows, columns)
        raise self.refusal("not the state of an array of unsigned bytes in C order with two axes")

    actions: ClassVar = {
        **ACTIONS,
        b"q": lambda machine: machine.number(BYTE),  # BINPUT and LONG_BINPUT note a value for later use,
        b"r": lambda machine: machine.number(UINT),  # of which these files make none
        b"R": reduce,
        b"b": build,
    }
