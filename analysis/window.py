"""The STDP window that the local rule amounts to, and the pairs of spikes that it meets.

Exactly, ∫ x dz over the openings of the plasticity gate is a sum over pairs of a presynaptic and a postsynaptic spike, plus a
boundary term. Reads the spikes that a run keeps where asked for (``record.spikes``).
"""

import numpy as np

from localdfa.analysis import _kept, _phases, style
from localdfa.errors import RunError
from localdfa.record import Job, Run
from localdfa.spec import Setting
from localdfa.spec.derived import delays_of

TITLE, SECTION = "The STDP window of the rule", "rule"

# The window is drawn to so many time constants on either side; the lags are counted in this many bins, and at most so many
# pairs measured one by one.
_REACH, _BINS, _PAIRS = 3, 60, 24
_POTENTIATES, _DEPRESSES = style.PALETTE[4], style.PALETTE[5]


def caption(run: Run) -> str:
    """What to see, and what lines are."""
    name, _ = _first(run)
    setting = run.settings[name]
    trace = setting.trace
    text = (
        "a, What a pair of spikes adds to the weight, predicted from the time constants of the traces, "
        f"τ_x = {trace.tau_x:g} and τ_z = {trace.tau_z:g} ms: τ_z/(τ_x + τ_z) e^(−Δ/τ_x) where the postsynaptic spike comes Δ "
        "after the presynaptic one arrives, −τ_x/(τ_x + τ_z) e^(Δ/τ_z) where it comes before, or as it arrives, which may make "
        "it. Both areas are equal. The change is counted with the sign of the nudge, so what is learned is the difference of "
        "two phases."
    )
    if len(setting.network.hidden) < 2:
        return f"{text} The run has one hidden layer, whose inputs do not come from it: there are no pairs. First seed."
    return (
        f"{text} Points: pairs that occur in the first of the trials that are kept, their ∫ x dz added up from the traces in "
        "small steps of time, as if the gate stayed open. b, The pairs that there are, by lag: of the arrival of a spike of a "
        f"soma of hidden layer 1, {_delay(setting):g} ms after it, and a spike of hidden layer 2, there of the apical twin "
        "where there are two compartments, of which the later falls in an opening of the gate; per synapse, trial and ms of "
        "lag, in the trials after training that are kept of the first seed. The axis does not begin at 0. Where all lags are "
        "as frequent, the two areas of the window cancel."
    )


def figure(run: Run) -> style.Figure:
    """The window, and beside it, in a network of two hidden layers or more, how often each lag occurs.

    Raises
    ------
    RunError
        The run keeps no spikes, or there are none in the trials that are kept.
    """
    name, job = _first(run)
    setting = run.settings[name]
    trace, deep = setting.trace, len(setting.network.hidden) > 1
    if deep and not job.spikes["time"].size:
        raise RunError(f"{run.folder}: no neuron spikes in the trials that are kept, so the figure window has no pairs to show")
    reach = _REACH * max(trace.tau_x, trace.tau_z)
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS if deep else style.ONE_COLUMN, 3.2)
        panels = list(drawn.subplots(1, 2 if deep else 1, squeeze=False).ravel())
        for side, colour, label in ((-1, _DEPRESSES, "post before pre"), (1, _POTENTIATES, "pre before post")):
            lag = side * np.linspace(1e-9 * reach, reach, 200)
            panels[0].plot(lag, pair(lag, trace.tau_x, trace.tau_z), color=colour, label=label)
        panels[0].axhline(0, **style.LEVEL)
        panels[0].set(ylabel="Weight change of a pair")
        if deep:
            bins = np.linspace(-reach, reach, _BINS + 1)
            found = occurring(job, setting, reach)
            change = by_steps(found, trace.tau_x, trace.tau_z)
            panels[0].plot(found, change, "o", color=style.PALETTE[0], markersize=style.mark(2.6), label="pairs that occur")
            for nudged in (1, -1):
                if nudged in np.sign(job.spikes["sign"]):
                    label = f"gate at {_phases.NAMES[nudged]}"
                    panels[1].stairs(
                        density(job, setting, nudged, bins), bins, baseline=None,
                        color=_phases.COLOURS[nudged], linewidth=style.mark(1), label=label,
                    )  # fmt: skip
            panels[1].set(ylabel="Pairs per synapse and trial (1/ms)")
        for axes in panels:
            axes.axvline(0, **style.LEVEL)
            axes.set(xlabel="Lag of post behind arrival of pre (ms)", xlim=(-reach, reach))
        handles = [handle for axes in panels for handle in axes.get_legend_handles_labels()[0]]
        drawn.explain(handles)
        style.letters(panels)
    return drawn


def pair(lag: np.ndarray, tau_x: float, tau_z: float) -> np.ndarray:
    """What a pair of spikes adds to ∫ x dz, the postsynaptic one `lag` after the arrival of the other (ms).

    Traces jump by 1 and decay with τ_x and τ_z. A spike reads x before what arrives with it: a lag of 0 counts as negative.
    """
    after = tau_z / (tau_x + tau_z) * np.exp(-np.maximum(lag, 0) / tau_x)
    before = -tau_x / (tau_x + tau_z) * np.exp(np.minimum(lag, 0) / tau_z)
    return np.where(lag > 0, after, before)


def by_steps(lag: np.ndarray, tau_x: float, tau_z: float) -> np.ndarray:
    """∫ x dz of one spike of each side, lags as of `pair`, added up in steps of a thousandth of a time constant."""
    step, gone = min(tau_x, tau_z) / 1000, 12 * max(tau_x, tau_z)
    found = []
    for each in lag:
        time = np.arange(0, abs(each) + gone, step) + step / 2 + min(each, 0)
        x, z = (np.where(time > at, np.exp(-np.maximum(time - at, 0) / tau), 0) for at, tau in ((0, tau_x), (each, tau_z)))
        jump = np.exp(-each / tau_x) if each > 0 else 0.0
        found.append(jump - float(x @ z) * step / tau_z)
    return np.array(found)


def occurring(job: Job, setting: Setting, reach: float) -> np.ndarray:
    """Lags (ms), ascending and at most `reach`, that spikes of the layer above have to the arrival amid the first trial."""
    kept = job.spikes
    pre, post = _spikes(kept, kept["trial"].min(), _delay(setting))
    if not len(pre) or not len(post):
        return np.empty(0)
    lag = post - np.sort(pre)[len(pre) // 2]
    nearest = [np.abs(lag - each).argmin() for each in np.linspace(-reach, reach, _PAIRS)]
    chosen = np.unique(lag[nearest])
    return chosen[np.abs(chosen) <= reach]


def density(job: Job, setting: Setting, nudged: int, bins: np.ndarray) -> np.ndarray:
    """How many pairs of hidden layers 1 and 2 there are in each bin of lags, per synapse, trial that was kept and ms.

    Only those whose later part, a spike or an arrival, falls in an opening of the gate in a phase nudged with this sign count:
    that is when a postsynaptic spike adds x, and an arrival subtracts z. bins: ms, ascending, with an edge at 0.
    """
    kept = job.spikes
    phases, gate = _phases.spans(kept["edges"], kept["sign"]), setting.phases.gate
    gates = [(begin, begin + (gate or end - begin)) for begin, end, sign in phases if np.sign(sign) == nudged]
    counts, trials = np.zeros(len(bins) - 1), kept["trials"]
    for trial in trials:
        pre, post = _spikes(kept, trial, _delay(setting))
        for begin, end in gates:
            after = lags(pre, post[(post >= begin) & (post < end)], bins)
            before = lags(pre[(pre >= begin) & (pre < end)], post, bins)
            counts += np.where(bins[1:] > 0, after, before)
    first_layer, second_layer = (int(width) for width in setting.network.hidden[:2])  # type: ignore[arg-type]
    return counts / (len(trials) * first_layer * second_layer * np.diff(bins))


def _delay(setting: Setting) -> float:
    """From hidden layer 1 to hidden layer 2, ms."""
    return delays_of(setting)[1, 2][1]


def _spikes(kept: dict[str, np.ndarray], trial: int, delay: float) -> tuple[np.ndarray, np.ndarray]:
    """Times in a trial at which spikes of hidden layer 1 arrive at the next one, and of those of layer 2 that make z."""
    first = kept["edges"][:-1][kept["sign"] != 0].min()  # until then the twin is the soma
    own, twins = kept["trial"] == trial, bool(kept["twin"].any())
    of_z = kept["twin"] == (twins & (kept["time"] >= first))
    pre, post = own & (kept["population"] == 1) & ~kept["twin"], own & (kept["population"] == 2) & of_z
    return kept["time"][pre] + delay, kept["time"][post]


def lags(pre: np.ndarray, post: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """How many pairs have a lag in each bin, its upper edge included; arrivals `pre` and spikes `post` in any order."""
    post = np.sort(post)
    return np.diff([int(np.searchsorted(post, pre + edge, "right").sum()) for edge in bins])


def _first(run: Run) -> tuple[str, Job]:
    """The first condition that keeps spikes, and its first seed."""
    return next(iter(_kept.first(_kept.jobs(run, "spikes", "window")).items()))
