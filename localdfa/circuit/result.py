"""What a run of a circuit leaves."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa import export, registry
from localdfa.analysis import style
from localdfa.circuit import values
from localdfa.errors import LocalDFAError, quoted

if TYPE_CHECKING:
    import neo

    from localdfa.circuit.description import Population

# Of a population so many neurons are drawn at most, evenly spread.
_MOST = 200
# So many spikes are read at a time.
_BLOCK = 2**17
# A rate is drawn in about so many bins.
_BINS = 100
FIGURES = ["raster", "v"]


@dataclass(frozen=True)
class Result:
    """What was recorded of a circuit from `begin` until `end`, ms from the beginning of the simulation.

    sizes: of all populations, by name. It is in memory, or in a file (``Circuit.run(…, to=FILE)``), of which `rates`, `cv` and
    `plot` read a part at a time, however long it is.
    """

    begin: float
    end: float
    sizes: dict[str, int]
    # By name of the population columns, of which slices can be taken: arrays, or `stored.Rows`.
    _spikes: dict[str, tuple[Any, Any]]
    _moments: np.ndarray
    _v: dict[str, Any]
    # Between two moments, ms.
    interval: float
    # Until when it was to be recorded, ms, where it comes from a file.
    planned: float | None = None
    # Of which neurons v is, (n,), by population, where it is not that of all.
    _neurons: dict[str, np.ndarray] = field(default_factory=dict)

    @staticmethod
    def open(path: str | Path) -> "Result":
        """What ``Circuit.run(…, to=path)`` has left in a file, or so far in ``NAME.part``; needs the extra ``hdf5``.

        Raises
        ------
        RunError
            The file cannot be read, or is none of these.
        """
        from localdfa.circuit import stored  # which knows results

        return stored.read(values.path_of("path", path))

    @property
    def complete(self) -> bool:
        """Whether all was recorded: False of a file whose run goes on, or was killed."""
        return self.planned is None or self.end >= self.planned

    def __repr__(self) -> str:
        kept = ", ".join(f"{len(times)} spikes of {name}" for name, (times, _) in self._spikes.items())
        missing = "" if self.complete else f", incomplete: until {self.planned:g} ms it was to be"
        return f"Result({self.begin:g} to {self.end:g} ms{missing}; {kept or 'no spikes kept'})"

    def between(self, begin: float, end: float) -> "Result":
        """The part from `begin` until `end`, ms, or as much of it as there is; of a file nothing is read yet."""
        begin, end = (
            values.number(key, value, values.Bounds(-np.inf, np.inf)) for key, value in (("begin", begin), ("end", end))
        )
        begin, end = max(begin, self.begin), min(end, self.end)
        if not begin < end:
            raise LocalDFAError(f"between {begin:g} and {end:g} ms: allowed: a part of {self.begin:g} to {self.end:g} ms")
        spikes = {}
        for name, (times, neurons) in self._spikes.items():
            a, b = bisect_left(times, begin), bisect_left(times, end)
            spikes[name] = _cut(times, a, b), _cut(neurons, a, b)
        a, b = np.searchsorted(self._moments, [begin, end])
        v = {name: _cut(rows, int(a), int(b)) for name, rows in self._v.items()}
        planned = None if self.complete or end < self.end else self.planned
        return Result(begin, end, self.sizes, spikes, self._moments[a:b], v, self.interval, planned, self._neurons)

    def spikes(self, name: "str | Population") -> tuple[np.ndarray, np.ndarray]:
        """The spikes of a population in order of time: when, ms, and by which neuron, both (n_spikes,)."""
        times, neurons = self._kept(name, self._spikes, "spikes")
        return times[:], neurons[:]

    def count(self, name: "str | Population") -> int:
        """How many spikes of a population there are."""
        return len(self._kept(name, self._spikes, "spikes")[0])

    def v(self, name: "str | Population") -> tuple[np.ndarray, np.ndarray]:
        """The membranes of a population: at which moments, ms (T,), and v there, (T, size), or (T, n) of the `neurons`."""
        return self._moments, self._kept(name, self._v, "v")[:]

    def neurons(self, name: "str | Population") -> np.ndarray:
        """The neurons of a population whose v was recorded, in the order of its columns, (n,)."""
        self._kept(name, self._v, "v")
        found = self._neurons.get(_name(name))
        return np.arange(self.sizes[_name(name)]) if found is None else found

    def rates(self, name: "str | Population") -> np.ndarray:
        """The mean rate of each neuron, Hz (size,)."""
        self._kept(name, self._spikes, "spikes")
        counts = np.zeros(self.sizes[_name(name)], np.int64)
        for _, who in self._blocks(name):
            counts += np.bincount(who, minlength=len(counts))
        return counts / (1e-3 * (self.end - self.begin))

    def cv(self, name: "str | Population") -> np.ndarray:
        """The coefficient of variation of each neuron's intervals between spikes (size,); NaN with fewer than three spikes."""
        self._kept(name, self._spikes, "spikes")
        size = self.sizes[_name(name)]
        count, total, square = (np.zeros(size) for _ in range(3))
        last = np.full(size, np.nan)  # spike of each neuron in the blocks before
        for times, who in self._blocks(name):
            order = np.argsort(who, kind="stable")
            times, who = times[order], who[order]
            first = np.append(True, np.diff(who) != 0)
            intervals = np.diff(times, prepend=0.0)
            intervals[first] = times[first] - last[who[first]]
            last[who] = times  # the last of several
            known = np.isfinite(intervals)
            neuron, intervals = who[known], intervals[known]
            np.add.at(count, neuron, 1)
            np.add.at(total, neuron, intervals)
            np.add.at(square, neuron, intervals**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            return np.where(count > 1, np.sqrt(np.maximum(square / count - mean**2, 0)) / mean, np.nan)

    def plot(self, kind: str = "raster") -> style.Figure:
        """A figure: ``raster``, the spikes of all populations and their rates; or ``v``, membranes that were recorded.

        Its ``savefig(path)`` writes it. Of large populations some neurons are drawn, evenly spread.

        Raises
        ------
        LocalDFAError
            There is no figure of this name, or what it shows was not recorded.
        """
        if not isinstance(kind, str) or kind not in FIGURES:
            raise LocalDFAError(f"kind: {registry.unknown(kind, FIGURES)}")
        there: dict[str, Any] = self._spikes if kind == "raster" else self._v
        if not there:
            what = "spikes" if kind == "raster" else "v"
            raise LocalDFAError(f"no {what} was recorded; ask for it with run(…, record={{NAME: [{what!r}]}})")
        with style.context():
            return self._raster() if kind == "raster" else self._membranes()

    def neo(self) -> "neo.Block":
        """All that was recorded as a `neo.Block` with one segment: spike trains of all neurons, and membranes.

        Annotations of a train: ``population`` and ``neuron``. Needs the extra ``neo``.
        """
        neo, pq = export.library("neo", "neo"), export.library("quantities", "neo")
        segment, block = neo.Segment(name=f"{self.begin:g} to {self.end:g} ms"), neo.Block(name="circuit")
        for name in self._spikes:
            times, who = self.spikes(name)
            order = np.lexsort((times, who))
            trains = np.split(times[order], np.searchsorted(who[order], np.arange(1, self.sizes[name])))
            for i, train in enumerate(trains):
                segment.spiketrains.append(
                    neo.SpikeTrain(train, units="ms", t_start=self.begin, t_stop=self.end, population=name, neuron=i)
                )
        for name in self._v:
            start = self._moments[0] if len(self._moments) else self.begin
            segment.analogsignals.append(
                neo.AnalogSignal(
                    self.v(name)[1],
                    units="dimensionless",
                    t_start=pq.Quantity(start, "ms"),
                    sampling_period=pq.Quantity(self.interval, "ms"),
                    name="v",
                    array_annotations={"neuron": self.neurons(name)},
                    population=name,
                )
            )
        block.segments.append(segment)
        return block

    def _kept(self, name: "str | Population", there: dict[str, Any], what: str) -> Any:
        name = _name(name)
        if not isinstance(name, str) or name not in there:
            known = f"{what} of {', '.join(there)} were" if there else f"no {what} was"
            raise LocalDFAError(
                f"{what} of {quoted(name)} was not recorded; {known} recorded: run(…, record={{NAME: [{what!r}]}})"
            )
        return there[name]

    def _blocks(self, name: "str | Population") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The spikes of a population as `spikes` has them, some at a time."""
        times, neurons = self._kept(name, self._spikes, "spikes")
        for first in range(0, len(times), _BLOCK):
            yield times[first : first + _BLOCK], neurons[first : first + _BLOCK]

    def _raster(self) -> style.Figure:
        names = [*self._spikes]
        drawn = {name: np.unique(np.linspace(0, self.sizes[name] - 1, _MOST).astype(int)) for name in names}
        figure = style.Figure(style.TWO_COLUMNS, 3.6)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        at, ticks = 0, []
        edges = np.linspace(self.begin, self.end, _BINS + 1)
        for number, name in enumerate(names):
            colour, rows, counts = style.PALETTE[number % len(style.PALETTE)], drawn[name], np.zeros(_BINS, np.int64)
            dots = [(np.empty(0), np.empty(0, np.int64))]
            for times, who in self._blocks(name):
                shown = np.isin(who, rows)
                dots.append((times[shown], who[shown]))
                counts += np.histogram(times, edges)[0]
            when, which = map(np.concatenate, zip(*dots, strict=True))
            top.plot(when, at + np.searchsorted(rows, which), ".", markersize=style.mark(1.4), color=colour, rasterized=True)
            ticks.append((at + len(rows) / 2, f"{name}\n{len(rows)} of {self.sizes[name]}"))
            at += len(rows) + 4
            bottom.stairs(counts / self.sizes[name] / (1e-3 * np.diff(edges)), edges, color=colour, label=name)
        top.set(ylim=(-2, at), yticks=[y for y, _ in ticks], yticklabels=[label for _, label in ticks])
        top.grid(False)
        bottom.set(xlabel="time (ms)", ylabel="rate (Hz)", xlim=(self.begin, self.end))
        bottom.set_ylim(bottom=0)
        return figure

    def _membranes(self) -> style.Figure:
        figure = style.Figure(style.TWO_COLUMNS, 1.2 + 1.2 * len(self._v))
        panels = np.atleast_1d(figure.subplots(len(self._v), 1, sharex=True))
        for number, (panel, (name, v)) in enumerate(zip(panels, self._v.items(), strict=True)):
            few = v[:, :3]
            for i in range(few.shape[1]):
                panel.plot(self._moments, few[:, i], color=style.PALETTE[(number + i) % len(style.PALETTE)], linewidth=0.8)
            # Above and not beside the panel, which a long name would not fit.
            panel.set_title(f"{name}, neurons {', '.join(map(str, self.neurons(name)[:3]))}", loc="left")
            panel.set_ylabel("v")
        panels[-1].set(xlabel="time (ms)", xlim=(self.begin, self.end))
        return figure


def _name(population: "str | Population") -> str:
    """The name of a population, which may be given itself."""
    given: Any = population
    return getattr(given, "name", given)


def _cut(column: Any, first: int, stop: int) -> Any:
    """Rows `first` to `stop` − 1 of a column, not read."""
    return column[first:stop] if isinstance(column, np.ndarray) else column.cut(first, stop)
