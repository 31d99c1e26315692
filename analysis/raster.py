"""The spikes of one trial, phases marked, and the rate of each layer through it.

Reads the spikes that a run keeps where asked for (``record.spikes``).
"""

import numpy as np
from matplotlib.axes import Axes

from localdfa.analysis import _kept, _layers, _phases, style
from localdfa.record import Job, Run

# Spikes are counted in this many bins of a trial; of more neurons, this many of each layer are drawn.
_BINS, _MOST = 60, 40
_SOMA, _TWIN = style.PALETTE[0], style.PALETTE[5]


def caption(run: Run) -> str:
    """What to see, and what marks and colours are."""
    return (
        "Spikes of one trial after training: of those that are kept of the first seed, the one in which the feedback moves the "
        "twins most. Black: somata, whose spikes go to the layer above. Red, below each soma: its apical twin, which gets the "
        "feedback as well, from the first nudged phase on, and whose trace the synapses read; with one compartment there is "
        f"none. Shaded: the phases, nudged at +β and −β. Of wide layers the first {_MOST} neurons are drawn. Below: mean rate "
        f"of all neurons of the layer, in {_BINS} bins. Where a twin fires more, or less, than its soma, it learns to."
        f"{_layers.said(_layers.depth(run))}"
    )


def figure(run: Run) -> style.Figure:
    """Two panels for each condition that keeps spikes and each hidden layer: the raster, and below it the rates.

    Raises
    ------
    RunError
        The run keeps no spikes.
    """
    found = _kept.first(_kept.jobs(run, "spikes", "raster"))
    panels = [
        (name, job, layer) for name, job in found.items() for layer in _layers.some(len(run.settings[name].network.hidden))
    ]
    columns = len(panels)
    width = style.ONE_COLUMN * 1.3 if columns == 1 else style.TWO_COLUMNS
    with style.context():
        drawn = style.Figure(width, 3.8)
        grid = drawn.subplots(2, columns, squeeze=False, sharex="col", height_ratios=(2.2, 1))
        for column, (name, job, layer) in enumerate(panels):
            upper, lower = grid[:, column]
            _draw(upper, lower, job, layer, run.settings[name].network.hidden[layer])
            lower.set(xlabel="Time (ms)")
        style.letters(list(grid.ravel()))
        for axes, (name, _, layer) in zip(grid[0], panels, strict=True):
            title = f"Hidden layer {layer + 1}" + (f", {name}" if len(found) > 1 else "")
            axes.set_title(title, pad=style.points(16))
        grid[0, 0].set_ylabel("Neuron (number)")
        grid[1, 0].set_ylabel("Rate (Hz)")
        handles = {label: lower.plot([], [], color=colour)[0] for label, colour in (("soma", _SOMA), ("twin", _TWIN))}
        style.legend(drawn, handles)
    return drawn


def _draw(upper: Axes, lower: Axes, job: Job, layer: int, neurons: int) -> None:
    kept = job.spikes
    chosen = (kept["trial"] == _trial(kept)) & (kept["population"] == layer + 1)
    edges, phases = kept["edges"], _phases.spans(kept["edges"], kept["sign"])
    bins = np.linspace(edges[0], edges[-1], _BINS + 1)
    for twin, colour in ((False, _SOMA), (True, _TWIN)):
        own = chosen & (kept["twin"] == twin)
        time, neuron = kept["time"][own], kept["neuron"][own]
        low = neuron < _MOST
        begin, end = (0.05, 0.4) if twin else (-0.4, -0.05)
        gap = np.full(low.sum(), np.nan)
        x = np.column_stack([time[low], time[low], gap]).ravel()
        y = np.column_stack([neuron[low] + begin, neuron[low] + end, gap]).ravel()
        upper.plot(x, y, color=colour, linewidth=style.mark(0.6), solid_capstyle="butt")
        if own.any():
            rate = 1e3 * np.histogram(time, bins)[0] / np.diff(bins) / neurons
            lower.stairs(
                np.where(bins[1:] > time.min(), rate, np.nan), bins, color=colour, linewidth=style.mark(1), baseline=None
            )
    upper.set(xlim=(edges[0], edges[-1]), ylim=(min(neurons, _MOST), -1))
    lower.set_ylim(bottom=0)
    for axes in (upper, lower):
        _phases.shade(axes, phases)
    _phases.name(upper, phases)


def _trial(kept: dict[str, np.ndarray]) -> int:
    """The trial in which twins and somata differ most in spikes, neuron by neuron, from the first nudged phase on."""
    nudged, sign, apart = kept["time"] >= kept["edges"][1], np.where(kept["twin"], 1, -1), {}
    for trial in np.unique(kept["trial"]):
        own = nudged & (kept["trial"] == trial)
        phase = np.searchsorted(kept["edges"], kept["time"][own], side="right")
        counts = np.zeros((len(kept["edges"]) + 1, kept["population"].max() + 1, kept["neuron"].max() + 1))
        np.add.at(counts, (phase, kept["population"][own], kept["neuron"][own]), sign[own])
        apart[int(trial)] = float(np.abs(counts).sum())
    return max(apart, key=lambda trial: apart[trial])
