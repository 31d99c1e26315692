"""Circuits on a clock in Brian2, several of them side by side in one network; nothing of the engine is used.

In a step, from t to t + dt: all states relax exactly to t + dt; what arrives there moves v and the currents; thresholds are
tested, and v is reset. A refractory period is closed at its end: v is held in the step that ends there, and what arrives with
that end moves it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import brian2
import numpy as np

if TYPE_CHECKING:
    from localdfa.crosscheck.circuits import Case


def simulate(cases: "Sequence[Case]", stop: float, dt: float) -> list[list[list[np.ndarray]]]:
    """The spike trains of each circuit, population and neuron, ms; dt: the step, of which all times are multiples, ms.

    All circuits have the same synaptic time constants.
    """
    ms, clock = brian2.ms, brian2.Clock(dt * brian2.ms)
    before, brian2.prefs.codegen.target = brian2.prefs.codegen.target, "numpy"
    try:
        group = _neurons(cases, clock)
        spikes, synapses, n_sources = _flat(cases)
        senders, times = np.array(spikes).T
        given = brian2.SpikeGeneratorGroup(n_sources, senders.astype(int), times * ms, clock=clock, when="start")
        objects: list[Any] = [group, given]
        for (of_source, current), columns in synapses.items():
            i, j, weight, delay = (np.concatenate(column) for column in zip(*columns, strict=True))
            moved = f"I_{current}" if current >= 0 else "v"
            joined = brian2.Synapses(given if of_source else group, group, "w : 1", on_pre=f"{moved}_post += w", clock=clock)
            joined.connect(i=i, j=j)
            joined.w = weight
            # A pathway that runs before the thresholds gets a spike one step after it was sent, as times are ends of steps.
            joined.pre.delay = (delay - dt) * ms
            joined.pre.when = "before_thresholds"
            objects.append(joined)
        monitor = brian2.SpikeMonitor(group)
        brian2.Network(*objects, monitor).run(stop * ms, namespace={})
    finally:
        brian2.prefs.codegen.target = before
    # A spike that Brian2 stamps t has come by t + dt; one in the step that ends the run is after it.
    when, who = np.array(monitor.t / ms) + dt, np.array(monitor.i)
    when, who = when[when < stop - dt / 2], who[when < stop - dt / 2]
    order = np.argsort(who, kind="stable")
    trains = iter(np.split(when[order], np.searchsorted(who[order], np.arange(1, len(group)))))
    return [[[next(trains) for _ in start] for start in case.starts] for case in cases]


def _neurons(cases: "Sequence[Case]", clock: brian2.Clock) -> brian2.NeuronGroup:
    """All neurons of all circuits, one after the other; a threshold that does not adapt is one that spikes do not raise."""
    ms, taus = brian2.ms, cases[0].kind.taus
    model = [f"dv/dt = (drive{''.join(f' + I_{r}' for r in range(len(taus)))} - v) / tau_m : 1 (unless refractory)"]
    model += [f"dI_{r}/dt = -I_{r} / ({tau!r} * ms) : 1" for r, tau in enumerate(taus)]
    model += ["dtheta/dt = -theta / tau_a : 1"]
    model += [f"{name} : 1 (constant)" for name in ("drive", "v_th", "v_reset", "step")]
    model += [f"{name} : second (constant)" for name in ("tau_m", "t_ref", "tau_a")]
    own = [p for case in cases for population in case.parameters for p in population]
    group = brian2.NeuronGroup(
        len(own), "\n".join(model), threshold="v >= v_th + theta", reset="v = v_reset; theta += step", refractory="t_ref",
        method="exact", clock=clock,
    )  # fmt: skip
    group.run_regularly(
        "v = v_reset + (v - v_reset) * int(timestep(t - lastspike, dt) != timestep(t_ref, dt))", when="after_groups", order=-1
    )
    for name in ("v_th", "v_reset"):
        setattr(group, name, [getattr(p, name) for p in own])
    group.step = [getattr(p, "step", 0.0) for p in own]
    for name in ("tau_m", "t_ref"):
        setattr(group, name, np.array([getattr(p, name) for p in own]) * ms)
    group.tau_a = np.array([getattr(p, "tau_a", 1.0) for p in own]) * ms
    group.v = np.concatenate([start for case in cases for start in case.starts])
    group.drive = [case.drive(k, i, 0.0) for case in cases for k, start in enumerate(case.starts) for i in range(len(start))]
    return group


def _flat(
    cases: "Sequence[Case]",
) -> tuple[list[tuple[int, float]], dict[tuple[bool, int], list[tuple[np.ndarray, ...]]], int]:
    """Spikes of all sources, (number, time); synapses by whether a source sends and what they move, as arrays of the numbers of
    senders and of neurons, weights and delays; and how many sources there are."""
    spikes, synapses, n, n_sources = [], dict[tuple[bool, int], list[tuple[np.ndarray, ...]]](), 0, 0
    for case in cases:
        first: dict[int | str, int] = {}
        for k, start in enumerate(case.starts):
            first[k], n = n, n + len(start)
        for name, trains in case.given.items():
            first[name], n_sources = n_sources, n_sources + len(trains)
            spikes += [(first[name] + j, t) for j, train in enumerate(trains) for t in train]
        for pre, post, delay, current, matrix in case.synapses:
            i, j = np.nonzero(matrix)
            found = i + first[pre], j + first[post], matrix[i, j], np.full(i.size, delay)
            synapses.setdefault((isinstance(pre, str), current), []).append(found)
    return spikes, synapses, n_sources
