"""Trials of the spiking engine beside Brian2's, at several steps of Brian2's clock: do the differences vanish with the step?

Brian2 puts every spike at the end of a step, so a neuron is late by up to a step more with each spike, and the mean difference
of spike times is of order 1 in the step. Where lateness carries a spike across an edge of the gate, a trace differs by a whole
jump there; that happens in proportion to the step, so the mean |difference| of traces and weight changes tends to order 1 as
well, while their root mean square is of order 1/2 only. Hence all relative differences are of the kind Σ|a − b| / Σ|b|.
Where spikes drive a layer, lateness also decides which of two arrivals makes a neuron fire, and convergence is slower.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import brian2
import numpy as np

from localdfa.core.events import trial_segments
from localdfa.core.spiking import batch as spikes
from localdfa.crosscheck import brian, subject
from localdfa.crosscheck.matching import matched
from localdfa.data import Inputs
from localdfa.network import WATCHED, Network, generator
from localdfa.spec import Setting
from localdfa.spec.tables import Certify

# Spikes of the two sides further apart than this are not the same one, ms.
_APART = 10.0


def compare(
    network: Network, setting: Setting, inputs: Inputs, targets: np.ndarray, seed: int, limits: Certify,
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """What differs between the engine and Brian2 in these trials, at each step, and the orders.

    inputs (m, n_in + 1), the last column ones, or spike trains; targets (m, n_out). Everything is Brian2's own, the output's
    error included.
    """
    steps, found = sorted(set(limits.steps), reverse=True), []
    ours = [_Ours(network, setting, inputs[k], y, seed) for k, y in enumerate(targets)]
    with _in_numpy():
        for dt in steps:
            sums = _Sums()
            for k, trial in enumerate(ours):
                say(f"Brian2, step {dt} ms, trial {k + 1} of {len(ours)}")
                rng = generator(seed, WATCHED)
                sums.add(trial, brian.simulate(network, setting, inputs[k : k + 1], targets[k], rng, dt))
            found.append({"step": dt, **sums.result()})
    order: dict[str, Any] = {"spike_time": _order(steps, [row["mean"] for row in found])}
    for what in ("traces", "changes"):
        order[what] = {name: _order(steps, [row[what][name] for row in found]) for name in found[0][what]}
    return {"trials": len(ours), "steps": found, "order": order}


def judge(found: dict[str, Any], limits: Certify) -> Iterator[dict[str, Any]]:
    """The tolerances at the shortest step, and those of the orders."""
    last, order = found["steps"][-1], found["order"]
    where = f"Brian2 at {last['step']:g} ms"
    yield subject.row(f"{where}: spike times, mean difference (ms)", last["mean"], most=limits.spike_time)
    yield subject.row(
        f"{where}: spikes that one side has alone", last["alone"] / max(1, last["spikes"]), most=limits.spike_count
    )
    for what, most in (("traces", limits.trace_error), ("changes", limits.change_error)):
        for name, value in last[what].items():
            yield subject.row(f"{where}: {name}", value, most=most)
    for name, value in {"spike times": order["spike_time"], **order["traces"], **order["changes"]}.items():
        if value is not None:
            yield subject.row(f"Brian2: {name}, order in the step", value, least=limits.order)


@contextmanager
def _in_numpy() -> Iterator[None]:
    """Brian2 without a compiler: a trial of some hundred neurons takes no longer than compiling it would."""
    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"
    try:
        yield
    finally:
        brian2.prefs.codegen.target = before


class _Ours:
    """A trial by the engine.

    trains: of each population, then of the twins, spike times neuron by neuron, those of a twin before the first nudge being
    its soma's; x, z: of each population, (edges, n), where the gate opens or closes; totals: as `SpikingTrial.totals`.
    """

    def __init__(self, network: Network, setting: Setting, x: Inputs, y: np.ndarray, seed: int) -> None:
        edges, _, gate = trial_segments(setting.phases, True)
        opening = np.flatnonzero(gate >= 0)
        # States are noted within the trial.
        times = np.minimum(np.stack([edges[opening], edges[opening + 1]]), np.nextafter(edges[-1], 0))
        trial = spikes.record(network, setting, x, y, generator(seed, WATCHED), times.ravel())
        self.totals = spikes.simulate(network, setting, x[None], y[None], generator(seed, WATCHED)).totals()
        self.x, self.z = ([state[name] for state in trial.states] for name in "XZ")
        sizes = [*network.sizes[1 : len(trial.spikes) + 1], *network.sizes[1 : len(trial.twins) + 1]]
        before = [events[events["time"] < setting.phases.free] for events in trial.spikes]
        joined = [np.concatenate(pair) for pair in zip(before, trial.twins, strict=False)]
        self.sizes = sizes
        of = zip([*trial.spikes, *joined], sizes, strict=True)
        self.trains = [_by_neuron(events["time"], events["neuron"], n) for events, n in of]
        self.names = [_population(k, network) for k in range(1, len(network.sizes))]
        ends = [(_population(joint.pre, network), _population(joint.post, network)) for joint in network.projections]
        self.projections = [f"∫x dz, {pre} to {post}" for pre, post in ends]


def _population(k: int, network: Network) -> str:
    return "output" if k > network.n_hidden else f"layer {k}" if k else "inputs"


def _by_neuron(time: np.ndarray, neuron: np.ndarray, n: int) -> list[np.ndarray]:
    """Spike times of each of n neurons, in order."""
    order = np.lexsort((time, neuron))
    return np.split(time[order], np.searchsorted(neuron[order], np.arange(1, n)))


class _Sums:
    """Differences summed over trials."""

    def __init__(self) -> None:
        self._late: list[np.ndarray] = []
        self._spikes = self._alone = 0
        self._gap: dict[str, dict[str, list[float]]] = {"traces": {}, "changes": {}}

    def add(self, ours: _Ours, theirs: brian.Trial) -> None:
        trains = [
            _by_neuron(time, neuron, n) for (time, neuron), n in zip([*theirs.spikes, *theirs.twins], ours.sizes, strict=True)
        ]
        for own, other in zip(ours.trains, trains, strict=True):
            for a, b in zip(own, other, strict=True):
                late = matched(a, b, _APART)
                self._late.append(late)
                self._spikes += len(a)
                self._alone += len(a) + len(b) - 2 * len(late)
        for letter, own_traces, other_traces in (("x", ours.x, theirs.x), ("z", ours.z, theirs.z)):
            for name, exact, trace in zip(ours.names, own_traces, other_traces, strict=False):
                if trace is not None:
                    self._differ("traces", f"{letter}, {name}", trace, exact)
        for name, exact, total in zip(ours.projections, ours.totals, theirs.totals, strict=True):
            if exact.any() or total.any():  # else nothing learns there
                self._differ("changes", name, total, exact)

    def _differ(self, what: str, name: str, found: np.ndarray, exact: np.ndarray) -> None:
        sums = self._gap[what].setdefault(name, [0.0, 0.0])
        sums[0] += float(np.abs(found - exact).sum())
        sums[1] += float(np.abs(exact).sum())

    def result(self) -> dict[str, Any]:
        """largest, mean: differences of spike times, ms; spikes: of the engine; alone: spikes that one side has and the other
        has not; traces, changes: relative differences by name.
        """
        late = np.abs(np.concatenate(self._late))
        relative = {
            what: {name: gap / size if size else float("nan") for name, (gap, size) in of.items()}
            for what, of in self._gap.items()
        }
        return {
            "largest": float(late.max(initial=0)), "mean": float(late.mean()) if len(late) else float("nan"),
            "spikes": self._spikes, "alone": self._alone, **relative,
        }  # fmt: skip


def _order(steps: list[float], error: list[float]) -> float | None:
    """The slope of log error against log step by least squares; None where the sides agree to rounding at every step.

    A NaN stays one.
    """
    if max(error) < 1e-9:
        return None
    return float(np.polyfit(np.log(steps), np.log(np.maximum(error, 1e-12)), 1)[0])
