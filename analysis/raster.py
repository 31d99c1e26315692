"""The spikes of one trial, phases marked, and the rate of each layer through it.

Reads the spikes that a run keeps where asked for (``record.spikes``).
"""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import _kept, _layers, _phases, style
from localdfa.errors import RunError
from localdfa.record import Run
from localdfa.spec import Setting

TITLE, SECTION = "Spikes of one trial", "activity"

# Spikes are counted in about this many bins of a trial; of more neurons, this many of each layer are drawn; of more
# conditions and layers, this many, so many beside each other.
_BINS, _MOST, _PANELS, _ABREAST = 60, 40, 12, 4
_SOMA, _TWIN = style.PALETTE[0], style.PALETTE[5]


class _Panel(NamedTuple):
    """One layer in one trial: the condition, the layer (from 0), the spikes that the job keeps, the trial, None without."""

    name: str
    layer: int
    kept: dict[str, np.ndarray]
    trial: int | None


def caption(run: Run) -> str:
    """What to see, and what marks and colours are."""
    found = _kept.first(_kept.jobs(run, "spikes", "raster"))
    twins = {_twins(run.settings[name]) for name in found}
    text = (
        "Spikes of one trial after training: of those that are kept of the first seed, the one in which the feedback moves the "
        "twins most. Black: somata, whose spikes go to the layer above. "
    )
    if True in twins:
        text += (
            "Red, below each soma: its apical twin, which gets the feedback as well, from the first nudged phase on, and whose "
            f"trace the synapses read{'; with one compartment there is none' if False in twins else ''}. "
        )
    else:
        text = text.replace("twins most", "neurons most").replace("somata, whose", "neurons, whose")
    text += (
        f"Shaded: the phases, nudged at +β and −β. Of wide layers the first {_MOST} neurons are drawn. Below: mean rate of all "
        f"neurons of the layer, in {_BINS} bins or so, none of which lies in two phases. "
    )
    if True in twins:
        text += "Where a twin fires more, or less, than its soma, it learns to."
    depths = [len(run.settings[name].network.hidden) for name in found]
    number, shown = sum(depths), min(_PANELS, sum(len(_layers.some(depth)) for depth in depths))
    whose = " of all conditions" if len(depths) > 1 else ""
    return text.rstrip() + (f" Of {number} layers{whose} {shown} are drawn." if shown < number else "")


def figure(run: Run, trial: int | None = None) -> style.Figure:
    """Two panels for each condition that keeps spikes and each hidden layer: the raster, and below it the rates.

    trial: the training sample; that in which the feedback moves the spikes most, if left out.

    Raises
    ------
    RunError
        The run keeps no spikes, or there are none in the trials that are kept; or this trial is not kept.
    """
    panels = []
    for name, job in _kept.first(_kept.jobs(run, "spikes", "raster")).items():
        kept = job.spikes
        panels += [
            _Panel(name, layer, kept, _trial(run, kept, trial))
            for layer in _layers.some(len(run.settings[name].network.hidden))
        ]
    if all(panel.trial is None for panel in panels):
        raise RunError(f"{run.folder}: no neuron spikes in the trials that are kept, so the figure raster has nothing to show")
    several = len({panel.name for panel in panels}) > 1
    del panels[_PANELS:]
    columns = min(len(panels), _ABREAST)
    down = math.ceil(len(panels) / columns)
    width = style.ONE_COLUMN * 1.3 if columns == 1 else style.TWO_COLUMNS
    with style.context():
        drawn = style.Figure(width, 0.3 + 3.5 * down)
        grid = drawn.subplots(2 * down, columns, squeeze=False, height_ratios=(2.2, 1) * down)
        pairs = [(grid[2 * row, column], grid[2 * row + 1, column]) for row in range(down) for column in range(columns)]
        for axes in (each for pair in pairs[len(panels) :] for each in pair):
            axes.remove()
        used = pairs[: len(panels)]
        style.letters(
            [pair[half] for row in range(0, len(used), columns) for half in (0, 1) for pair in used[row : row + columns]]
        )
        for place, ((upper, lower), panel) in enumerate(zip(used, panels, strict=True)):
            _draw(upper, lower, panel, run.settings[panel.name])
            words = [f"Hidden layer {panel.layer + 1}", *([panel.name] if several else [])]
            title = ",\n".join(style.folded(text, width / columns - 0.75) for text in words)
            upper.set_title(title, pad=style.points(16))
            upper.tick_params(labelbottom=False)
            lower.set(xlabel="Time (ms)")
            if place % columns == 0:
                upper.set_ylabel("Neuron (number)")
                lower.set_ylabel("Rate (Hz)")
        kinds = {"soma": _SOMA, "twin": _TWIN} if any(_twins(run.settings[panel.name]) for panel in panels) else {}
        if kinds:
            drawn.explain([Line2D([], [], color=colour, label=label) for label, colour in kinds.items()])
    return drawn


def _twins(setting: Setting) -> bool:
    """Whether each neuron has an apical twin."""
    return setting.phases.propagation != "live"


def _draw(upper: Axes, lower: Axes, panel: _Panel, setting: Setting) -> None:
    kept, neurons = panel.kept, setting.network.hidden[panel.layer]
    assert isinstance(neurons, int)  # spiking layers are dense
    chosen = (kept["trial"] == panel.trial) & (kept["population"] == panel.layer + 1)
    phases = _phases.spans(kept["edges"], kept["sign"])
    bins = _bins(phases)
    nudged = next((begin for begin, _, sign in phases if sign), bins[-1])
    for twin, colour in ((False, _SOMA), (True, _TWIN)):
        if twin and not _twins(setting):
            continue
        own = chosen & (kept["twin"] == twin)
        time, neuron = kept["time"][own], kept["neuron"][own]
        low = neuron < _MOST
        begin, end = (0.05, 0.4) if twin else (-0.4, -0.05)
        gap = np.full(low.sum(), np.nan)
        x = np.column_stack([time[low], time[low], gap]).ravel()
        y = np.column_stack([neuron[low] + begin, neuron[low] + end, gap]).ravel()
        upper.plot(x, y, color=colour, linewidth=style.mark(0.6), solid_capstyle="butt")
        rate = 1e3 * np.histogram(time, bins)[0] / np.diff(bins) / neurons
        if twin:
            rate[bins[:-1] < nudged] = np.nan
        lower.stairs(rate, bins, color=colour, linewidth=style.mark(1), baseline=None)
    if not chosen.any():
        upper.text(0.5, 0.5, "no spikes", transform=upper.transAxes, ha="center", va="center")
    style.number_axis(upper, min(neurons, _MOST))
    upper.set_xlim(bins[0], bins[-1])
    lower.set(xlim=(bins[0], bins[-1]), ylim=(0, None if chosen.any() else 1))
    for axes in (upper, lower):
        _phases.shade(axes, phases)
    _phases.name(upper, phases)


def _bins(phases: list[tuple[float, float, float]]) -> np.ndarray:
    """Edges of about _BINS bins over a trial, as equal as they can be where each phase is divided into its own."""
    last = phases[-1][1]
    width = (last - phases[0][0]) / _BINS
    parts = [np.linspace(begin, end, max(1, round((end - begin) / width)) + 1)[:-1] for begin, end, _ in phases]
    return np.append(np.concatenate(parts), last)


def _trial(run: Run, kept: dict[str, np.ndarray], asked: int | None) -> int | None:
    """The trial that is asked for, or that in which twins and somata differ most in spikes, from the first nudged phase on.

    None where there are no spikes.
    """
    if asked is not None:
        return _kept.one_of(run, "trial", asked, kept["trials"])
    nudged, sign, apart = kept["time"] >= kept["edges"][1], np.where(kept["twin"], 1, -1), {}
    for trial in np.unique(kept["trial"]):
        own = nudged & (kept["trial"] == trial)
        phase = np.searchsorted(kept["edges"], kept["time"][own], side="right")
        counts = np.zeros((len(kept["edges"]) + 1, kept["population"].max() + 1, kept["neuron"].max() + 1))
        np.add.at(counts, (phase, kept["population"][own], kept["neuron"][own]), sign[own])
        apart[int(trial)] = float(np.abs(counts).sum())
    return max(apart, key=lambda trial: apart[trial], default=None)
