"""The STDP window, measured: weight changes of single synapses in trials with one pair of spikes, against the lag.

Reads the weight changes and the spikes that a run keeps where asked for (``record.changes``, ``record.spikes``).
"""

import re
from typing import NamedTuple

import numpy as np

from localdfa.analysis import _kept, _phases, style
from localdfa.analysis.window import pair
from localdfa.errors import RunError
from localdfa.record import Job, Run
from localdfa.spec import Setting
from localdfa.spec.derived import SETTLED, delays_of

TITLE, SECTION = "The STDP window, measured", "rule"

# The curve is drawn to so many time constants on either side, and no further than there are points.
_REACH = 5
_SIDES = ((1, "pre before post", style.PALETTE[4]), (-1, "post before pre", style.PALETTE[5]))


class Pairs(NamedTuple):
    """Trials in which the two neurons of a synapse spike once each while the plasticity gate is open, in order of their lag.

    Nothing else is in the change: traces of spikes before have decayed when the gate opens, and the product of both when it
    closes.

    lag (n,): of the postsynaptic spike behind the arrival of the presynaptic one, ms; change (n,): ∫ x dz, with traces that
    jump by 1.
    """

    lag: np.ndarray
    change: np.ndarray


def caption(run: Run) -> str:
    """What to see, and what marks and lines are."""
    name, job = _first(run)
    setting = run.settings[name]
    found, trace = measured(job, setting), setting.trace
    after, before = (area(found, side) for side, _, _ in _SIDES)
    apart = np.abs(found.change - pair(found.lag, trace.tau_x, trace.tau_z)).max()
    areas = "Where they do not fall, or are too few, no area is measured."
    if np.isfinite([after, before]).all():
        areas = (
            f"The areas under the points, exponentials drawn through neighbours and beyond the ends, are {after:.4f} and "
            f"{before:.4f} ms."
        )
    return (
        "The weight change ∫ x dz of a synapse in trials in which its two neurons spike once each while the plasticity gate is "
        "open, against the lag of the postsynaptic spike behind the arrival of the presynaptic one. Traces of spikes before "
        f"have decayed for {SETTLED} time constants when the gate opens, and the product of both for {SETTLED} of its own when "
        "it closes, so that the pair alone is in the change. Points are as the run recorded them "
        f"({len(found.lag)}, of all synapses whose change it keeps), the lines what the time constants of the "
        f"traces, τ_x = {trace.tau_x:g} and τ_z = {trace.tau_z:g} ms, predict: τ_z/(τ_x + τ_z) e^(−Δ/τ_x) and "
        f"−τ_x/(τ_x + τ_z) e^(Δ/τ_z); the largest distance is {apart:.1g}. {areas} First seed."
    )


def figure(run: Run) -> style.Figure:
    """Points on the window that the rule predicts.

    Raises
    ------
    RunError
        The run keeps no changes or no spikes, or has no such pairs.
    """
    name, job = _first(run)
    setting = run.settings[name]
    found = measured(job, setting)
    reach = min(_REACH * max(setting.trace.tau_x, setting.trace.tau_z), 1.05 * float(np.abs(found.lag).max()))
    with style.context():
        drawn = style.Figure(style.ONE_COLUMN * 1.4, 3.0)
        axes = drawn.subplots()
        for side, label, colour in _SIDES:
            lag = side * np.linspace(1e-9 * reach, reach, 400)
            axes.plot(lag, pair(lag, setting.trace.tau_x, setting.trace.tau_z), color=colour, label=f"{label}, predicted")
            own = found.lag * side > 0
            axes.plot(found.lag[own], found.change[own], "o", color=colour, markersize=style.mark(2.4), label="measured")
        axes.axhline(0, **style.LEVEL)
        axes.axvline(0, **style.LEVEL)
        axes.set(xlabel="Lag of post behind pre (ms)", ylabel="Weight change ∫ x dz", xlim=(-reach, reach))
        drawn.explain(axes.get_legend_handles_labels()[0])
    return drawn


def measured(job: Job, setting: Setting) -> Pairs:
    """The pairs of a job, of all synapses between different neurons whose change and whose spikes it keeps.

    Raises
    ------
    RunError
        There are none.
    """
    changes, spikes, phases, trace = job.changes, job.spikes, setting.phases, setting.trace
    (begin,) = (a for a, _, sign in _phases.spans(spikes["edges"], spikes["sign"]) if sign)
    end = begin + (phases.gate or phases.nudged)
    # Neurons have twins, which alone are nudged, from the onset of the nudge on.
    nudged = (spikes["time"] >= begin) & bool(spikes["twin"].any())
    gain = float(setting.neuron_parameters.gain)
    scale = phases.beta * trace.tau_x * trace.tau_z / gain**2
    last = end - SETTLED * trace.tau_x * trace.tau_z / (trace.tau_x + trace.tau_z)
    found: list[tuple[float, float]] = []
    for row, trial in enumerate(changes["trial"]):
        own = spikes["trial"] == trial
        for name, pre, post, delay in _projections(changes, setting):
            for b, i in enumerate(changes[f"post{name}"]):
                fired = own & (spikes["population"] == post) & (spikes["neuron"] == i) & (spikes["twin"] == nudged)
                after = _alone(spikes["time"][fired], begin, end, trace.tau_z)
                for a, j in enumerate(changes[f"pre{name}"]):
                    sent = own & (spikes["population"] == pre) & (spikes["neuron"] == j) & ~spikes["twin"]
                    before = _alone(spikes["time"][sent] + delay, begin, end, trace.tau_x)
                    if after is None or before is None or (pre, j) == (post, i) or max(before, after) > last:
                        continue
                    found.append((after - before, scale * changes[f"dW{name}"][row, b, a]))
    if not found:
        raise RunError(
            f"{job.folder}: keeps no trial in which two neurons that it keeps the weight change of spike once each while the "
            f"gate is open, and neither for {SETTLED} time constants of its trace before, nor so late that both traces last, "
            f"as the figure pairs needs; localdfa run stdp-pair has them"
        )
    lag, change = np.array(sorted(found)).T
    return Pairs(lag, change)


def _alone(times: np.ndarray, begin: float, end: float, tau: float) -> float | None:
    """The one time at which the gate is open, where a trace with this time constant has none of before; else None."""
    near = times[(times >= begin - SETTLED * tau) & (times < end)]
    return float(near[0]) if len(near) == 1 and near[0] >= begin else None


def area(found: Pairs, side: int) -> float:
    """The area under the points with lags of one sign, ms: exponentials through neighbours, and on to lags of 0 and infinity.

    NaN where there are less than two points, or the change does not fall with the lag.
    """
    lag, at = np.unique(np.round(found.lag * side, 6), return_index=True)  # a lag that two synapses share counts once
    lag, change = lag[lag > 0], found.change[at][lag > 0]
    if len(lag) < 2 or not (change * change[0] > 0).all() or not (change[1:] / change[:-1] < 1).all():
        return float("nan")
    rates = np.log(change[:-1] / change[1:]) / np.diff(lag)
    head = change[0] * np.expm1(rates[0] * lag[0]) / rates[0]
    return float(head + ((change[:-1] - change[1:]) / rates).sum() + change[-1] / rates[-1])


def _projections(changes: dict[str, np.ndarray], setting: Setting) -> list[tuple[str, int, int, float]]:
    """Projections between spiking populations other than the inputs: name, pre, post, delay in ms."""
    last, delays, found = len(setting.network.hidden) + setting.output.spiking, delays_of(setting), []
    for key in changes:
        if match := re.fullmatch(r"dW((\d+)to)?(\d+)", key):
            post = int(match[3])
            pre = int(match[2]) if match[2] else post - 1
            if pre > 0 and post <= last:
                found.append((key[2:], pre, post, delays[pre, post][1]))
    return found


def _first(run: Run) -> tuple[str, Job]:
    """The first condition that keeps weight changes and spikes and is nudged one-sidedly, and its first seed."""
    _kept.jobs(run, "spikes", "pairs")
    kept = _kept.first(_kept.jobs(run, "changes", "pairs"))
    for name, job in kept.items():
        if job.keeps("spikes") and run.settings[name].phases.nudging == "one_sided":
            return name, job
    raise RunError(f"{run.folder}: the figure pairs needs phases.nudging = 'one_sided': else a change is that of two phases")
