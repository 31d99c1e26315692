"""Where what is recorded goes while a circuit runs: into memory, or to a file of HDF5, and how such a file is read.

A file has the attributes ``kind``, ``layout``, ``begin`` (ms), ``interval`` (ms), ``seed``, ``checksum`` (of what was drawn of
the circuit), ``sizes`` and ``recorded`` (in JSON), and these datasets, of populations by name:

    spikes/NAME/times      float64 (n_spikes,), ms, in order
    spikes/NAME/neurons    int32 (n_spikes,)
    v/NAME                 (T, size), or (T, n) of some neurons, in the precision of the circuit
    neurons/NAME           int64 (n,), where v is that of some: which they are
    moments                float64 (T,), ms, at which v was looked at
    until                  float64 (2,), ms: until when the file has all of that, and until when it is to have it

While a run lasts its file is called NAME.part, and only a whole one takes its name. It is written in HDF5's mode for a single
writer and many readers, in which a file can be read at any time, also after its writer was killed: what has been recorded is
flushed first, and then `until`, so all that comes before `until` is there.
"""

import contextlib
import json
import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from localdfa import export
from localdfa.circuit.result import Result
from localdfa.errors import RunError

# How a file is laid out; another layout has another number.
_KIND, _LAYOUT = "localdfa circuit", 1
# Bytes of a chunk of a dataset.
_CHUNK = 2**19
# What a run records, of each population by name: its spikes in order of time, and rows of v.
Spikes = dict[str, tuple[np.ndarray, np.ndarray]]
Membranes = dict[str, np.ndarray]


class Recorded(NamedTuple):
    """What a run keeps: spikes of these populations, v of those, at multiples of an interval, ms.

    neurons: of populations by name of which neurons v is kept, (n,), where it is not that of all.
    """

    spikes: set[str]
    v: list[str]
    interval: float
    neurons: dict[str, np.ndarray]

    def columns(self, name: str, size: int) -> int:
        """Of how many neurons of a population of this size v is kept."""
        return len(self.neurons[name]) if name in self.neurons else size

    def described(self) -> str:
        """It as a file has it."""
        return json.dumps({"spikes": sorted(self.spikes), "v": self.v})


class InMemory(AbstractContextManager["InMemory"]):
    """Keeps what is recorded from `begin` until `end`, ms; moments (T,), ms, at which v will be looked at."""

    def __init__(
        self, begin: float, end: float, sizes: dict[str, int], recorded: Recorded, moments: np.ndarray, dtype: np.dtype
    ) -> None:
        self._begin, self._end, self._sizes, self._moments, self._seen = begin, end, sizes, moments, 0
        self._recorded = recorded
        none = (np.empty(0), np.empty(0, np.int64))
        self._spikes = {name: [none] for name in sorted(recorded.spikes)}
        self._v = {name: np.empty((moments.size, recorded.columns(name, sizes[name])), dtype) for name in recorded.v}

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def add(self, until: float, spikes: Spikes, moments: np.ndarray, v: Membranes) -> None:
        """Keep what was recorded since the last call until `until`, ms; v: at these moments."""
        for name, columns in spikes.items():
            self._spikes[name].append(columns)
        for name, rows in v.items():
            self._v[name][self._seen : self._seen + len(rows)] = rows
        self._seen += len(moments)

    def result(self) -> Result:
        """All of it."""
        spikes = {}
        for name, parts in self._spikes.items():
            times, neurons = (np.concatenate(column) for column in zip(*parts, strict=True))
            spikes[name] = times, neurons
        kept = self._recorded
        return Result(self._begin, self._end, self._sizes, spikes, self._moments, self._v, kept.interval, None, kept.neurons)


class Stream(AbstractContextManager["Stream"]):
    """Writes what is recorded from `begin` until `end`, ms, to a file, which is new or ends at `begin`.

    origin: the attributes ``seed`` and ``checksum``.

    Raises
    ------
    RunError
        The file cannot be written, or is that of another circuit.
    """

    def __init__(
        self,
        path: Path,
        begin: float,
        end: float,
        sizes: dict[str, int],
        recorded: Recorded,
        dtype: np.dtype,
        origin: dict[str, int],
    ) -> None:
        self._path, self._part, self._begin, self._end = path, part_of(path), begin, end
        self._sizes, self._recorded, self._dtype, self._origin = sizes, recorded, dtype, origin

    def __enter__(self) -> "Stream":
        h5py, path = export.library("h5py", "hdf5"), self._path
        require_place(path, self._begin, self._sizes, self._recorded, self._origin["seed"])
        fresh = not path.exists()
        if not fresh and (found := _attributes(path)["checksum"]) != self._origin["checksum"]:
            raise RunError(f"{path}: its circuit has the checksum {found}, not {self._origin['checksum']}; name another file")
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not fresh:
                os.replace(path, self._part)
            self._file = h5py.File(self._part, "w-" if fresh else "r+", libver="latest")
            if fresh:
                self._create()
            self._file.swmr_mode = True
            self._mark(self._begin)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # what there is stays
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                self._file.close()
            return
        with _writing(self._path):
            self._file.close()
            with self._part.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(self._part, self._path)

    def add(self, until: float, spikes: Spikes, moments: np.ndarray, v: Membranes) -> None:
        """As of `InMemory`."""
        with _writing(self._path):
            for name, (times, neurons) in spikes.items():
                _append(self._file[f"spikes/{name}/times"], times)
                _append(self._file[f"spikes/{name}/neurons"], neurons)
            for name, rows in v.items():
                _append(self._file[f"v/{name}"], rows)
            _append(self._file["moments"], moments if v else moments[:0])
            self._mark(until)

    def result(self) -> Result:
        """What this run has added, read from the file."""
        return read(self._path).between(self._begin, self._end)

    def _create(self) -> None:
        """Attributes and empty datasets."""
        described = {"sizes": json.dumps(self._sizes), "recorded": self._recorded.described()}
        self._file.attrs.update(
            {"kind": _KIND, "layout": _LAYOUT, "begin": self._begin, "interval": self._recorded.interval, **described}
        )
        self._file.attrs.update(self._origin)
        for name in sorted(self._recorded.spikes):
            self._dataset(f"spikes/{name}/times", (), np.dtype(np.float64))
            self._dataset(f"spikes/{name}/neurons", (), np.dtype(np.int32))
        for name in self._recorded.v:
            self._dataset(f"v/{name}", (self._recorded.columns(name, self._sizes[name]),), self._dtype)
        for name, neurons in self._recorded.neurons.items():
            self._file.create_dataset(f"neurons/{name}", data=neurons)
        self._dataset("moments", (), np.dtype(np.float64))
        self._file.create_dataset("until", data=np.array([self._begin, self._end]))

    def _dataset(self, name: str, columns: tuple[int, ...], dtype: np.dtype) -> None:
        row = dtype.itemsize * int(np.prod(columns, dtype=np.int64))
        chunk = (max(1, _CHUNK // row), *columns)
        self._file.create_dataset(name, (0, *columns), dtype, maxshape=(None, *columns), chunks=chunk)

    def _mark(self, until: float) -> None:
        """All until this moment is there."""
        self._file.flush()
        self._file["until"][:] = until, self._end
        self._file.flush()


class Rows:
    """Rows `first` to `stop` − 1 of a dataset of a file, read when they are asked for: the file is open for no longer."""

    def __init__(self, path: Path, name: str, first: int, stop: int, dtype: np.dtype) -> None:
        self._path, self._name, self._first, self._stop = path, name, first, stop
        self.dtype = dtype

    def __len__(self) -> int:
        return self._stop - self._first

    def __getitem__(self, key: Any) -> Any:
        """A row by number, or some rows as a slice; after it, columns."""
        rows, *columns = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, slice):
            a, b, _ = rows.indices(len(self))
            rows = slice(self._first + a, self._first + max(a, b))
        else:
            rows += self._first
        with _opened(self._path) as file:
            key = (rows, *columns)
            return file[self._name][key].astype(self.dtype, copy=False)

    def cut(self, first: int, stop: int) -> "Rows":
        """Rows `first` to `stop` − 1 of these."""
        return Rows(self._path, self._name, self._first + first, self._first + stop, self.dtype)


def part_of(path: Path) -> Path:
    """What a file is called until it is whole."""
    return path.with_name(f"{path.name}.part")


def require_place(path: Path, begin: float, sizes: Mapping[str, int], recorded: Recorded, seed: int) -> None:
    """Refuse a file that cannot get what a circuit of these populations does from `begin` on, ms.

    Raises
    ------
    RunError
        There is another file of this name; or it was left by a run that did not end; or HDF5 is not installed.
    """
    export.library("h5py", "hdf5")
    part = part_of(path)
    try:
        exists, half = path.exists(), part.exists()
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if half:
        raise RunError(f"{part}: is of a run that goes on, or did not end; read it with Result.open, and move it away")
    if not exists:
        return
    attributes, result = _attributes(path), read(path)
    for what, there, own in (
        ("sizes", json.loads(attributes["sizes"]), dict(sizes)),
        ("seed", attributes["seed"], seed),
        ("record", attributes["recorded"], recorded.described()),
        ("interval", attributes["interval"], recorded.interval),
    ):
        if there != own:
            raise RunError(f"{path}: exists already, and what it has goes on with another {what}: {there}, not {own}")
    for name in recorded.v:
        whole = np.arange(sizes[name])
        if not np.array_equal(result.neurons(name), recorded.neurons.get(name, whole)):
            raise RunError(f"{path}: exists already, and what it has goes on with v of other neurons of {name!r}")
    if result.end != begin:
        raise RunError(f"{path}: exists already and ends at {result.end:g} ms, but the circuit stands at {begin:g} ms")


def read(path: Path) -> Result:
    """The result that a file has, until now where it is being written.

    Raises
    ------
    RunError
        It cannot be read, or is none of these.
    """
    attributes = _attributes(path)
    sizes, recorded = json.loads(attributes["sizes"]), json.loads(attributes["recorded"])
    with _opened(path) as file:
        end, planned = map(float, file["until"][:])
        kinds = {name: file[f"v/{name}"].dtype for name in recorded["v"]}
        moments = file["moments"][:]
        neurons = {name: file[f"neurons/{name}"][:] for name in recorded["v"] if f"neurons/{name}" in file}
        # A run that was killed may have added to some of them.
        counts = {
            name: min(len(file[f"spikes/{name}/{column}"]) for column in ("times", "neurons")) for name in recorded["spikes"]
        }
    moments = moments[: np.searchsorted(moments, end)]
    spikes = {}
    for name, n in counts.items():
        times = Rows(path, f"spikes/{name}/times", 0, n, np.dtype(np.float64))
        stop = bisect_left(times, end)
        spikes[name] = times.cut(0, stop), Rows(path, f"spikes/{name}/neurons", 0, stop, np.dtype(np.int64))
    v = {name: Rows(path, f"v/{name}", 0, len(moments), kind) for name, kind in kinds.items()}
    return Result(float(attributes["begin"]), end, sizes, spikes, moments, v, float(attributes["interval"]), planned, neurons)


def _append(dataset: Any, rows: np.ndarray) -> None:
    """Add rows to a dataset."""
    n = len(dataset)
    dataset.resize(n + len(rows), axis=0)
    dataset[n:] = rows


def _attributes(path: Path) -> dict[str, Any]:
    """The attributes of a file of this kind."""
    with _opened(path) as file:
        found = dict(file.attrs)
    if found.get("kind") != _KIND or found.get("layout") != _LAYOUT:
        raise RunError(
            f"{path}: is {found.get('kind')!r} of layout {found.get('layout')!r}; allowed: {_KIND!r} of layout {_LAYOUT}, as "
            "Circuit.run(…, to=FILE) writes it"
        )
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file, to be read, also while it is written."""
    h5py = export.library("h5py", "hdf5")
    if not path.exists():
        raise RunError(f"{path}: there is no such file")
    try:
        with h5py.File(path, "r", swmr=True) as file:
            yield file
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise RunError(f"{path}: cannot be read as what a circuit has left: {error}") from None


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """RunError names the file that cannot be written."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
