"""One neuron through a trial: its layer's spikes, membrane, feedback current, trace, and the weight change they come to.

Reads the states and the spikes that a run keeps where asked for (``record.states`` and ``record.spikes``).
"""

import numpy as np
from matplotlib.axes import Axes

from localdfa.analysis import _kept, _phases, style
from localdfa.errors import RunError
from localdfa.record import Job, Run

TITLE, SECTION = "One neuron through a trial", "activity"

_LINE, _CHANGE = style.PALETTE[0], style.PALETTE[5]


def caption(run: Run) -> str:
    """What to see, and what marks and colours are."""
    return (
        "One neuron of the first hidden layer through one trial after training: of the neurons and trials of the first seed "
        "whose states and spikes are kept, the one whose trace the feedback moves most. Shaded: the phases, nudged at +β and "
        "−β, darker while the plasticity gate is open; with two compartments the neuron is the apical twin from the first "
        "nudge on. a, The spikes of its layer, from the first nudge on those of the twins; its own in red. b, Its membrane; "
        "dashed, the threshold. "
        "c, The feedback current, zero in the free phases. d, The trace z of its spikes, in units of activity: it moves when "
        "the feedback comes on, and this is the derivative that is learned. e, What a synapse with a constant input of 1 has "
        "learned by then, ±(z(t) − z(t₀))/β over the openings of the gate, and held in between: the weight change before the "
        "optimiser. Single spikes make the ripple; a mini-batch averages it."
    )


def figure(run: Run, trial: int | None = None, neuron: int | None = None) -> style.Figure:
    """Five panels, one below the other, with one axis of time.

    trial: the training sample; neuron: of the first hidden layer; those whose trace the feedback moves most, if left out.

    Raises
    ------
    RunError
        The run keeps no states, or no spikes, or not of one trial; or states of no neuron or of less than two times; or none
        of this trial or neuron.
    """
    _kept.jobs(run, "spikes", "trial")
    name, job = next(iter(_kept.first(_kept.jobs(run, "states", "trial")).items()))
    kept, setting = job.states, run.settings[name]
    both = np.intersect1d(kept["trial"], job.spikes["trials"])
    if not both.size:
        raise RunError(f"{run.folder}: keeps spikes and states of no trial in common, as the figure trial needs")
    parameters, phases = setting.neuron_parameters, setting.phases
    time, spans = kept["time"], _phases.spans(kept["edges"], kept["sign"])
    v_th = float(parameters.v_th)
    if not kept["neuron1"].size or len(time) < 2:
        what = "of no neuron of the first hidden layer (record.neurons)"
        if kept["neuron1"].size:
            what = f"at {len(time)} time{'s' * (len(time) != 1)} (record.window, record.interval)"
        raise RunError(f"{run.folder}: keeps states {what}, too few for the figure trial")
    z = kept["z1"] * float(parameters.gain) / setting.trace.tau_z
    gates = [(begin, begin + (phases.gate or phases.nudged), sign) for begin, _, sign in spans if sign != 0]
    change = np.stack([learned(time, z[..., k], gates, phases.beta) for k in range(z.shape[2])], axis=-1)
    moved = np.abs(change[:, -1])
    moved[~np.isin(kept["trial"], both)] = -1
    if trial is not None:
        moved[kept["trial"] != _kept.one_of(run, "trial", trial, both)] = -1
    if neuron is not None:
        moved[:, kept["neuron1"] != _kept.one_of(run, "neuron", neuron, kept["neuron1"])] = -1
    shown, chosen = np.unravel_index(moved.argmax(), moved.shape)
    with style.context():
        drawn = style.Figure(style.ONE_COLUMN * 1.4, 6.2)
        top, *panels = drawn.subplots(5, 1, sharex=True, height_ratios=(1.3, 1.3, 0.8, 1.3, 1))
        _raster(top, job, int(kept["trial"][shown]), int(kept["neuron1"][chosen]))
        v, current = (kept[key][shown, :, chosen] / v_th for key in ("v1", "current1"))
        curves = (v, -current, z[shown, :, chosen], change[shown, :, chosen])
        labels = ("Membrane\n(v/v_th)", "Feedback\n(−βc/v_th)", "Trace z\n(activity)", "Learned Δw\n(activity/β)")
        for axes, curve, label in zip(panels, curves, labels, strict=True):
            axes.plot(time, curve, color=_CHANGE if axes is panels[-1] else _LINE, linewidth=style.mark(0.7))
            axes.set_ylabel(label)
        for axes in (top, *panels):
            _phases.shade(axes, [*spans, *gates])
        _phases.name(top, [span for span in spans if time[0] <= (span[0] + span[1]) / 2 <= time[-1]])
        panels[0].axhline(1, **style.LEVEL)
        panels[-1].axhline(0, **style.LEVEL)
        panels[-1].set(xlabel="Time from the onset of the trial (ms)", xlim=(time[0], time[-1]))
        style.letters([top, *panels])
        drawn.align_ylabels()
        # The layout leaves room for labels where each stands by itself, and they are all moved to that of the longest numbers.
        drawn.get_layout_engine().set(rect=(0.015, 0, 0.985, 1))
    return drawn


def learned(time: np.ndarray, z: np.ndarray, gates: list[tuple[float, float, float]], beta: float) -> np.ndarray:
    """±(z(t) − z(t₀))/β, summed over the openings of the gate [(begin, end, sign)] and divided by their number: the running
    ∫ x dz of a constant x of 1. time (T,) and z (…, T), with a value at least shortly before each opening."""
    found = np.zeros_like(z)
    for begin, end, sign in gates:
        first, last = np.searchsorted(time, [begin, end], side="right") - 1
        inside = np.clip(np.arange(len(time)), max(first, 0), max(last, 0))
        found += np.sign(sign) / (beta * len(gates)) * (z[..., inside] - z[..., [max(first, 0)]])
    return found


def _raster(axes: Axes, job: Job, trial: int, number: int) -> None:
    """The spikes of the first hidden layer in a trial: of the somata, from the first nudge on of the twins if there are any."""
    kept = job.spikes
    own = (kept["trial"] == trial) & (kept["population"] == 1)
    begun = kept["time"] >= kept["edges"][:-1][kept["sign"] != 0].min()
    own &= kept["twin"] == (begun & kept["twin"].any())
    time, neuron = kept["time"][own], kept["neuron"][own]
    for chosen, colour in ((neuron != number, style.GREY), (neuron == number, _CHANGE)):
        axes.plot(time[chosen], neuron[chosen], "|", color=colour, markersize=style.mark(1.6), markeredgewidth=style.mark(0.4))
    style.number_axis(axes, int(neuron.max(initial=number)) + 1)
    axes.set_ylabel("Neuron\n(number)")
