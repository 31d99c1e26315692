"""Compiled kernels on disk: what one process has compiled, the next one loads.

Numba's own `cache=True` does not serve here: its key holds the pickles of what a function closes over, which differ from
process to process where that is a compiled function; and it notices changes in the function's own file alone. An entry here is
a file, ``FOLDER/STAMP/NAME-KEY.kernel``:

- STAMP is a hash of all sources of the package, of the versions of Python, Numba, llvmlite and NumPy, of the processor and its
  features, and of Numba's settings that change the code. When any of them changes, another folder is used.
- KEY is a hash of the function's code, of all that it closes over (functions by their code, models from outside of the package
  by their source files as well) and of the types of the arguments.

So a stale entry is never found, and needs no check. An entry begins with a hash of its content: a damaged one is compiled anew.
Entries are moved into place when they are whole, so that several processes may write at once. A folder that cannot be written,
or that others could write to (an entry is machine code, which is run), is not used.

The folder is ``$LOCALDFA_CACHE`` or the user's cache folder, ``~/.cache/localdfa/kernels`` on Linux.
"""

import contextlib
import hashlib
import itertools
import os
import pickle
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import llvmlite
import numba
import numpy as np
import platformdirs
from numba.core import bytecode, config, types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

_PACKAGE = Path(__file__).resolve().parents[1]
# Numba's settings under which the same source becomes another code.
_SETTINGS = ("BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "DEBUGINFO_DEFAULT", "THREADING_LAYER")
# Folders of so many stamps are kept, the last used ones: several environments, or checkouts, may share one cache.
_STAMPS = 8
# Of an entry: the hash of its content.
_DIGEST = hashlib.sha256().digest_size
# What is called before machine code is linked, from disk or anew: it makes names known that the code refers to.
before_linking: list[Callable[[], Any]] = []


def _number_symbols_anew() -> None:
    """Let the names of compiled functions differ from those of any other process.

    Numba numbers the functions that it compiles and puts the numbers into the names of symbols. The functions that an entry
    brings along are weak symbols: a function of the same name and number that this process has compiled, or another entry has
    brought, would be called in place of them, whatever it closes over. Numbers that begin at random never meet.
    """
    bytecode.FunctionIdentity._unique_ids = itertools.count(secrets.randbits(64) << 24)


_number_symbols_anew()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_number_symbols_anew)


def folder() -> Path:
    """The folder of all entries: $LOCALDFA_CACHE, or else the user's cache."""
    given = os.environ.get("LOCALDFA_CACHE")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("localdfa") / "kernels"


def contents() -> list[Path]:
    """The files of all entries, of whatever stamp."""
    return sorted(folder().glob("*/*.kernel"))


def clear() -> int:
    """Remove all entries; returns how many there were."""
    found = contents()
    for stamp in {entry.parent for entry in found}:
        shutil.rmtree(stamp, ignore_errors=True)
    return len(found)


def keep(dispatcher: Any) -> Any:
    """Have a compiled function look for its code on disk before it is compiled, and leave it there; returns the function."""
    if isinstance(dispatcher, Dispatcher):  # with NUMBA_DISABLE_JIT it is plain Python
        setattr(dispatcher, "_cache", _KernelCache(dispatcher))  # noqa: B010  (Numba has no public way)
    return dispatcher


class _KernelCache(NullCache):
    """What a dispatcher of Numba asks before it compiles, and tells after it has."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    @property
    def cache_path(self) -> str:
        return str(folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for these types of arguments, or None."""
        for prepare in before_linking:
            prepare()
        path = self._path(sig)
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        target_context.refresh()
        # Whole and under its own key, it can still be unreadable: where a class that it names has gone, for instance.
        with contextlib.suppress(Exception):
            return CompileResult._rebuild(target_context, *pickle.loads(content[_DIGEST:]))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function. What cannot be kept is compiled again next time: no reason to stop."""
        path = self._path(sig)
        if path is None or data.library.has_dynamic_globals or any(not lifted.can_cache for lifted in data.lifted):
            return
        payload = dumps(data._reduce())
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as beside:
            whole = Path(beside) / path.name
            whole.write_bytes(hashlib.sha256(payload).digest() + payload)
            whole.replace(path)

    def _path(self, sig: Any) -> Path | None:
        """Where the entry for these types lies; None where there is no such place."""
        within = _stamped()
        if within is None:
            return None
        try:
            key = _Key()
            key.add(self._dispatcher)
            for each in sig if isinstance(sig, tuple) else (*sig.args, sig.return_type):
                key.add(each)
        except _UnknownError:
            return None
        return within / f"{self._dispatcher.py_func.__name__}-{key.text}.kernel"


class _UnknownError(Exception):
    """A function closes over something of which no hash can be made that is the same in every process."""


class _Key:
    """A hash of a function and of everything that it closes over."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}

    @property
    def text(self) -> str:
        return self._hash.hexdigest()[:40]

    def _put(self, *parts: Any) -> None:
        for part in parts:
            content = part if isinstance(part, bytes) else str(part).encode()
            self._hash.update(len(content).to_bytes(8, "little") + content)

    def add(self, value: Any) -> None:
        """Take in a value of any kind that a kernel may close over."""
        if id(value) in self._seen:
            self._put("seen", self._seen[id(value)])
            return
        if isinstance(value, Dispatcher):
            self._note(value)
            self._put("compiled", sorted((k, str(v)) for k, v in value.targetoptions.items()))
            self.add(value.py_func)
        elif isinstance(value, FunctionType):
            self._note(value)
            self._function(value)
        elif isinstance(value, type):
            self._note(value)
            self._put("class", value.__module__, value.__qualname__, getattr(value, "_fields", ""))
            if not _importable(value):
                raise _UnknownError
            self._source(value.__module__)
        elif isinstance(value, types.Type):
            self._put("type", type(value).__name__, value)
            for part in getattr(value, "types", ()):
                self.add(part)
            if hasattr(value, "instance_class"):
                self.add(value.instance_class)
            if isinstance(value, types.Array):
                self._put(value.layout, value.mutable, value.aligned)
        elif isinstance(value, (tuple, list)):
            self._put(type(value).__name__, len(value))
            for entry in value:
                self.add(entry)
        elif isinstance(value, (np.ndarray, np.generic)):
            if value.dtype.hasobject:
                raise _UnknownError
            self._put("array", value.dtype.descr, np.shape(value), np.ascontiguousarray(value).tobytes())
        elif isinstance(value, np.dtype):
            self._put("dtype", value.descr)
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, ModuleType):
            self._put("module", value.__name__)
            self._source(value.__name__)
        elif isinstance(value, (BuiltinFunctionType, np.ufunc)):
            self._put("builtin", getattr(value, "__module__", ""), value.__name__)
        elif value is None or value is Ellipsis or isinstance(value, (bool, int, float, complex, str, bytes)):
            self._put(type(value).__name__, repr(value))
        else:
            raise _UnknownError

    def _note(self, value: Any) -> None:
        self._seen[id(value)] = len(self._seen)

    def _function(self, function: FunctionType) -> None:
        self._put("function", function.__module__, function.__qualname__)
        self.add(function.__code__)
        self.add(function.__defaults__)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:  # the cell is empty, as of a function that closes over itself while it is made
                self._put("empty")
        if self._source(function.__module__):
            return
        for name in sorted(_names(function.__code__)):  # from outside the package: the stamp does not cover its globals
            if name in function.__globals__:
                self._put(name)
                self.add(function.__globals__[name])

    def _code(self, code: CodeType) -> None:
        self._put("code", code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
        for constant in code.co_consts:
            if isinstance(constant, frozenset):
                self._put(sorted(map(repr, constant)))
            else:
                self.add(constant)

    def _source(self, module: str) -> bool:
        """Take in the source file of a module from outside of the package; returns whether it is of the package."""
        inside = module.partition(".")[0] == _PACKAGE.name
        file = None if inside else getattr(sys.modules.get(module), "__file__", None)
        if file and file.endswith(".py"):
            try:
                self._put(Path(file).read_bytes())
            except OSError:
                raise _UnknownError from None
        return inside


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals, and of attributes, in a code and in those of the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _importable(value: type) -> bool:
    """Whether another process would find a class by its name: entries name the classes of arguments."""
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value and value.__module__ != "__main__"


@cache
def _stamped() -> Path | None:
    """The folder for this state of the package and of all below it, or None where it cannot be used."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    versions = (sys.version, sys.implementation.cache_tag, numba.__version__, llvmlite.__version__, np.__version__)
    chosen = [getattr(config, name, None) for name in _SETTINGS]
    digest.update(repr((versions, codegen.magic_tuple(), chosen)).encode())
    within = folder() / digest.hexdigest()[:20]
    try:
        new = not within.is_dir()
        within.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=within).close()
        os.utime(within)  # used now
        if hasattr(os, "getuid") and not all(_ours(path) for path in (within.parent, within)):
            return None
        if new:
            _forget_the_oldest(within.parent)
    except OSError:
        return None
    return within


def _ours(path: Path) -> bool:
    """Whether nobody else may write to a folder."""
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _forget_the_oldest(within: Path) -> None:
    """Remove what was left by states of the package that have long not been used."""
    stamps = [path for path in within.iterdir() if path.is_dir()]
    for path in sorted(stamps, key=lambda path: path.stat().st_mtime, reverse=True)[_STAMPS:]:
        shutil.rmtree(path, ignore_errors=True)
