"""Any circuit of spiking neurons, slow and obvious: every neuron a linear system, propagated by its solution.

In steps of 0.01 ms, cut at every arrival; a step that ends above the threshold is searched for the crossing. Nothing of
localdfa is used.

Conventions. A refractory period is closed at its end, and times are rounded sums: what arrives at its end to within `NEAR` ms
is taken in. v spikes where a jump takes it up to the threshold, or where it rises through the threshold by drift; v
that only comes near to it is rounded to it in the end, and does not spike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from scipy.optimize import brentq

STEP, NEAR = 0.01, 1e-11
# v, a current for each synaptic time constant, and the raise of the threshold.
State = tuple[float, list[float], float]
# Synapses from one population, by number, or from a source, by name, to another: (pre, post, delay, number of the time constant
# or −1 for jumps of v, matrix (n_pre, n_post)).
Synapses = tuple[int | str, int, float, int, Any]


class Neuron:
    """One neuron with parameters p: tau_m, v_th, v_reset, t_ref and, if its threshold adapts, tau_a and step.

    taus: synaptic time constants, ms, none of them tau_m; v: at the beginning.
    """

    def __init__(self, p: Any, taus: Sequence[float], v: float) -> None:
        self.p, self.taus, self.until = p, [float(tau) for tau in taus], -math.inf
        self.tau_a = float(getattr(p, "tau_a", math.inf))
        self.state: State = float(v), [0.0] * len(self.taus), 0.0
        self.spikes: list[float] = []

    def then(self, awake: bool, drive: float, lapse: float) -> State:
        """The state after `lapse` ms without arrivals; v rests unless the neuron is awake."""
        v, currents, raised = self.state
        left = [math.exp(-lapse / tau) for tau in self.taus]
        if awake:
            own = math.exp(-lapse / self.p.tau_m)
            v = drive + (v - drive) * own
            for current, part, tau in zip(currents, left, self.taus, strict=True):
                v += current * tau / (tau - self.p.tau_m) * (part - own)
        after = [current * part for current, part in zip(currents, left, strict=True)]
        return v, after, raised * math.exp(-lapse / self.tau_a)

    def above(self, state: State) -> float:
        """How far v is above the threshold."""
        return state[0] - self.p.v_th - state[2]

    def rises(self, state: State, drive: float) -> bool:
        """Whether v, where it is at the threshold, rises above it."""
        _, currents, raised = state
        away = drive + sum(currents) - self.p.v_th - raised + raised * self.p.tau_m / self.tau_a
        return bool(away > 1e-13 * (abs(drive) + sum(map(abs, currents)) + raised + self.p.v_th))

    def slope(self, state: State, drive: float) -> float:
        """How fast v rises against the threshold."""
        v, currents, raised = state
        return float((drive + sum(currents) - v) / self.p.tau_m + raised / self.tau_a)

    def fire(self, t: float) -> None:
        """Spike at t."""
        self.spikes.append(t)
        self.until = t + self.p.t_ref
        self.state = self.p.v_reset, self.state[1], self.state[2] + getattr(self.p, "step", 0.0)

    def go(self, t: float, end: float, drive: float) -> None:
        """From t to end without arrivals."""
        while t < end:
            stop = min(end, self.until) if self.until > t else end
            awake = self.until <= t
            after, late = self.then(awake, drive, stop - t), None
            if awake and self.above(self.state) < 0:
                late = self.crossing(after, drive, stop - t)
            elif awake and self.rises(self.state, drive):
                late = 0.0
            if late is not None:
                self.state = self.then(True, drive, late)
                t += late
                self.fire(t)
                continue
            self.state, t = after, stop

    def crossing(self, after: State, drive: float, lapse: float) -> float | None:
        """When within `lapse`, at whose end the state is `after`, v rises to the threshold, or None."""
        if self.above(after) < -0.1:
            return None
        if self.above(after) < 0 and self.slope(self.state, drive) > 0 > self.slope(after, drive):
            # v may have been above in between
            lapse = brentq(lambda s: self.slope(self.then(True, drive, s), drive), 0, lapse)
            after = self.then(True, drive, lapse)
        if self.above(after) < 0 or not self.rises(after, drive):
            return None
        return float(brentq(lambda s: self.above(self.then(True, drive, s)), 0, lapse, xtol=1e-14))

    def take(self, t: float, jumps: list[tuple[int, float]]) -> None:
        """What arrives at one moment: [(number of the time constant or −1, size)]."""
        awake, before = self.until - NEAR <= t, self.state[0]
        v, currents, raised = before, list(self.state[1]), self.state[2]
        for current, size in jumps:
            if current >= 0:
                currents[current] += size
            elif awake:
                v += size
        self.state = v, currents, raised
        if awake:
            self.until = min(self.until, t)
        if awake and v > before and self.above(self.state) >= 0:
            self.fire(t)


def simulate(
    p: Any,
    taus: Sequence[float],
    starts: Sequence[Any],
    synapses: Sequence[Synapses],
    given: dict[str, list[list[float]]],
    drive: Callable[[int, int, float], float],
    stop: float,
) -> list[list[list[float]]]:
    """Spike trains of the neurons of populations.

    p: parameters of all neurons, or a list of those of each population, or of lists of those of each neuron; starts: v of each
    population's neurons; given: the trains of sources, by name; drive(k, i, t): the constant drive of neuron i of population k
    in the step that begins at t.
    """
    each = p if isinstance(p, list) else [p] * len(starts)
    each = [own if isinstance(own, list) else [own] * len(start) for own, start in zip(each, starts, strict=True)]
    neurons = [
        [Neuron(own, taus, v) for own, v in zip(*population, strict=True)] for population in zip(each, starts, strict=True)
    ]
    # What arrives at each neuron: by number of the step, and by moment.
    due: list[list[dict[int, dict[float, list[tuple[int, float]]]]]] = [[{} for _ in start] for start in starts]
    rows: dict[tuple[int | str, int], list[tuple[int, int, float, int, float]]] = {}
    for source, post, delay, current, matrix in synapses:
        for j, row in enumerate(matrix):
            found = [(post, i, float(delay), current, float(size)) for i, size in enumerate(row) if size]
            rows.setdefault((source, j), []).extend(found)

    def send(pre: int | str, j: int, t: float) -> None:
        for post, i, delay, current, size in rows.get((pre, j), ()):
            due[post][i].setdefault(_step(t + delay), {}).setdefault(t + delay, []).append((current, size))

    for name, trains in given.items():
        for j, train in enumerate(trains):
            for t in train:
                send(name, j, t)
    for step in range(round(stop / STEP)):
        t0, t1 = step * STEP, (step + 1) * STEP
        for k, population in enumerate(neurons):
            for i, neuron in enumerate(population):
                before, t, now, own = len(neuron.spikes), t0, due[k][i].pop(step, {}), drive(k, i, t0)
                for moment in sorted(now):
                    neuron.go(t, moment, own)
                    neuron.take(moment, now[moment])
                    t = moment
                neuron.go(t, t1, own)
                for spike in neuron.spikes[before:]:
                    send(k, i, spike)
    return [[neuron.spikes for neuron in population] for population in neurons]


def _step(t: float) -> int:
    """The step that a moment lies in, from its begin until its end."""
    step = int(t / STEP)
    while t < step * STEP:
        step -= 1
    while t >= (step + 1) * STEP:
        step += 1
    return step
