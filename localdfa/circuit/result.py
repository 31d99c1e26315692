"""What a run of a circuit leaves."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa import export, registry
from localdfa.analysis import style
from localdfa.errors import LocalDFAError, quoted

if TYPE_CHECKING:
    import neo

# Of a population so many neurons are drawn at most, evenly spread.
_MOST = 200
# A rate is drawn in about so many bins.
_BINS = 100
FIGURES = ["raster", "v"]


@dataclass(frozen=True)
class Result:
    """What was recorded of a circuit from `begin` until `end`, ms from the beginning of the simulation.

    sizes: of all populations, by name.
    """

    begin: float
    end: float
    sizes: dict[str, int]
    _spikes: dict[str, tuple[np.ndarray, np.ndarray]]
    _moments: np.ndarray
    _v: dict[str, np.ndarray]

    def __repr__(self) -> str:
        kept = ", ".join(f"{len(times)} spikes of {name}" for name, (times, _) in self._spikes.items())
        return f"Result({self.begin:g} to {self.end:g} ms; {kept or 'no spikes kept'})"

    def spikes(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The spikes of a population in order of time: when, ms, and by which neuron, both (n_spikes,)."""
        return self._kept(name, self._spikes, "spikes")

    def v(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The membranes of a population: at which moments, ms (T,), and v there (T, size)."""
        return self._moments, self._kept(name, self._v, "v")

    def rates(self, name: str) -> np.ndarray:
        """The mean rate of each neuron, Hz (size,)."""
        return np.bincount(self.spikes(name)[1], minlength=self.sizes[name]) / (1e-3 * (self.end - self.begin))

    def cv(self, name: str) -> np.ndarray:
        """The coefficient of variation of each neuron's intervals between spikes (size,); NaN with fewer than three spikes."""
        times, who = self.spikes(name)
        order = np.lexsort((times, who))
        intervals, of_one = np.diff(times[order]), np.diff(who[order]) == 0
        neuron, intervals = who[order][1:][of_one], intervals[of_one]
        count, total, square = (np.bincount(neuron, weights, self.sizes[name]) for weights in (None, intervals, intervals**2))
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
        if kind not in FIGURES:
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
        for name, (times, who) in self._spikes.items():
            order = np.lexsort((times, who))
            trains = np.split(times[order], np.searchsorted(who[order], np.arange(1, self.sizes[name])))
            for i, train in enumerate(trains):
                segment.spiketrains.append(
                    neo.SpikeTrain(train, units="ms", t_start=self.begin, t_stop=self.end, population=name, neuron=i)
                )
        for name, v in self._v.items():
            step = self._moments[1] - self._moments[0] if len(self._moments) > 1 else self.end - self.begin
            start = self._moments[0] if len(self._moments) else self.begin
            segment.analogsignals.append(
                neo.AnalogSignal(
                    v,
                    units="dimensionless",
                    t_start=pq.Quantity(start, "ms"),
                    sampling_period=pq.Quantity(step, "ms"),
                    name="v",
                    population=name,
                )
            )
        block.segments.append(segment)
        return block

    def _kept(self, name: str, there: dict[str, Any], what: str) -> Any:
        if name not in there:
            known = f"{what} of {', '.join(there)} were" if there else f"no {what} was"
            raise LocalDFAError(
                f"{what} of {quoted(name)} was not recorded; {known} recorded: run(…, record={{NAME: [{what!r}]}})"
            )
        return there[name]

    def _raster(self) -> style.Figure:
        names = [*self._spikes]
        drawn = {name: np.unique(np.linspace(0, self.sizes[name] - 1, _MOST).astype(int)) for name in names}
        figure = style.Figure(style.TWO_COLUMNS, 3.6)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        at, ticks = 0, []
        edges = np.linspace(self.begin, self.end, _BINS + 1)
        for number, name in enumerate(names):
            times, who = self._spikes[name]
            colour, rows = style.PALETTE[number % len(style.PALETTE)], drawn[name]
            shown = np.isin(who, rows)
            top.plot(
                times[shown], at + np.searchsorted(rows, who[shown]), ".", markersize=style.mark(1.4), color=colour,
                rasterized=True,
            )  # fmt: skip
            ticks.append((at + len(rows) / 2, f"{name}\n{len(rows)} of {self.sizes[name]}"))
            at += len(rows) + 4
            counts, _ = np.histogram(times, edges)
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
            for i in range(min(3, v.shape[1])):
                panel.plot(self._moments, v[:, i], color=style.PALETTE[(number + i) % len(style.PALETTE)], linewidth=0.8)
            panel.set_ylabel(f"v of {name} 0–{min(3, v.shape[1]) - 1}")
        panels[-1].set(xlabel="time (ms)", xlim=(self.begin, self.end))
        return figure
