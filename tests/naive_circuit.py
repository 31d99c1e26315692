"""Any circuit of spiking neurons, slow and obvious: every neuron a linear system, propagated by the matrix exponential.

In steps of 0.01 ms, cut at every arrival; a step that ends above the threshold is searched for the crossing. Nothing of
localdfa is used.

Conventions. A refractory period is closed at its end, and times are rounded sums: what arrives at its end to within `NEAR` ms
is taken in. v spikes where a jump takes it up to the threshold, or where it rises through the threshold by drift; v
that only comes near to it is rounded to it in the end, and does not spike.
"""

import numpy as np
from scipy.linalg import expm
from scipy.optimize import brentq

STEP, NEAR = 0.01, 1e-11


class Neuron:
    """One neuron: v, a current for each synaptic time constant, the raise of the threshold, and 1 for the constant drive."""

    def __init__(self, p, taus, v):
        self.p, self.taus, self.until = p, taus, -np.inf
        n = len(taus)
        self.flow, self.rest = np.zeros((n + 3, n + 3)), np.zeros((n + 3, n + 3))
        for k, tau in enumerate(taus):
            self.flow[k + 1, k + 1] = -1 / tau
            self.flow[0, k + 1] = 1 / p.tau_m
        self.flow[n + 1, n + 1] = -1 / getattr(p, "tau_a", np.inf)
        self.rest[1:, 1:] = self.flow[1:, 1:]  # refractory: v stays
        self.flow[0, 0] = -1 / p.tau_m
        self.state = np.zeros(n + 3)
        self.state[0], self.state[-1] = v, 1
        self.spikes, self.known = [], {}

    def propagator(self, awake, drive, lapse):
        key = awake, drive, round(lapse, 12)
        if key not in self.known:
            flow = (self.flow if awake else self.rest).copy()
            flow[0, -1] = drive / self.p.tau_m if awake else 0
            self.known[key] = expm(flow * lapse)
        return self.known[key]

    def above(self, state):
        return state[0] - self.p.v_th - state[-2]

    def rises(self, state, drive):
        """Whether v, where it is at the threshold, rises above it."""
        currents, raised = state[1:-2].sum(), state[-2]
        away = drive + currents - self.p.v_th - raised + raised * self.p.tau_m / getattr(self.p, "tau_a", np.inf)
        return away > 1e-13 * (abs(drive) + np.abs(state[1:-1]).sum() + self.p.v_th)

    def slope(self, state, drive):
        """How fast v rises against the threshold."""
        return (drive + state[1:-2].sum() - state[0]) / self.p.tau_m + state[-2] / getattr(self.p, "tau_a", np.inf)

    def fire(self, t):
        self.spikes.append(t)
        self.state[0], self.until = self.p.v_reset, t + self.p.t_ref
        self.state[-2] += getattr(self.p, "step", 0.0)

    def go(self, t, end, drive):
        """From t to end without arrivals."""
        while t < end:
            stop = min(end, self.until) if self.until > t else end
            awake = self.until <= t
            after = self.propagator(awake, drive, stop - t) @ self.state
            late = None
            if awake and self.above(self.state) < 0:
                late = self.crossing(after, drive, stop - t)
            elif awake and self.rises(self.state, drive):
                late = 0.0
            if late is not None:
                self.state = self.propagator_once(drive, late) @ self.state
                t += late
                self.fire(t)
                continue
            self.state, t = after, stop

    def crossing(self, after, drive, lapse):
        """When within `lapse`, at whose end the state is `after`, v rises to the threshold, or None."""

        def then(s):
            return self.propagator_once(drive, s) @ self.state

        if self.above(after) < -0.1:
            return None
        if self.above(after) < 0 and self.slope(then(0.0), drive) > 0 > self.slope(then(lapse), drive):
            lapse = brentq(lambda s: self.slope(then(s), drive), 0, lapse)  # v may have been above in between
            after = then(lapse)
        if self.above(after) < 0 or not self.rises(after, drive):
            return None
        if self.above(then(lapse)) < 0:
            return lapse  # rounded otherwise than `after`
        return brentq(lambda s: self.above(then(s)), 0, lapse, xtol=1e-14)

    def propagator_once(self, drive, lapse):
        flow = self.flow.copy()
        flow[0, -1] = drive / self.p.tau_m
        return expm(flow * lapse)

    def take(self, t, jumps):
        """What arrives at one moment: [(index of the current or −1, size)]."""
        awake, before = self.until - NEAR <= t, self.state[0]
        for current, size in jumps:
            if current >= 0:
                self.state[1 + current] += size
            elif awake:
                self.state[0] += size
        if awake:
            self.until = min(self.until, t)
        if awake and self.state[0] > before and self.above(self.state) >= 0:
            self.fire(t)


def simulate(p, taus, starts, synapses, given, drive, stop):
    """Spike trains of populations.

    p: parameters of all neurons, or a list of those of each population, or of lists of those of each neuron; starts: v of each
    population's neurons; synapses [(pre, post, delay, current, matrix (n_pre, n_post))]: pre a number of a population, or the
    name of trains in `given` {name: [train, …]}; drive(k, i, t): the constant drive of neuron i of population k in the step
    that begins at t.
    """
    each = p if isinstance(p, list) else [p] * len(starts)
    each = [own if isinstance(own, list) else [own] * len(start) for own, start in zip(each, starts, strict=True)]
    neurons = [
        [Neuron(own, taus, v) for own, v in zip(*population, strict=True)] for population in zip(each, starts, strict=True)
    ]
    due = [[{} for _ in start] for start in starts]

    def send(pre, j, t):
        for source, post, delay, current, matrix in synapses:
            if source == pre:
                for i, size in enumerate(matrix[j]):
                    if size:
                        due[post][i].setdefault(t + delay, []).append((current, size))

    for name, trains in given.items():
        for j, train in enumerate(trains):
            for t in train:
                send(name, j, t)
    for step in range(round(stop / STEP)):
        t0, t1 = step * STEP, (step + 1) * STEP
        for k, population in enumerate(neurons):
            for i, neuron in enumerate(population):
                before, t, now = len(neuron.spikes), t0, due[k][i]
                for moment in sorted(m for m in now if t0 <= m < t1):
                    neuron.go(t, moment, drive(k, i, t0))
                    neuron.take(moment, now.pop(moment))
                    t = moment
                neuron.go(t, t1, drive(k, i, t0))
                for spike in neuron.spikes[before:]:
                    send(k, i, spike)
    return [[neuron.spikes for neuron in population] for population in neurons]
