"""Any circuit of spiking neurons, slow and obvious: every neuron a linear system, propagated by the matrix exponential.

In steps of 0.01 ms, cut at every arrival; a step that ends above the threshold is searched for the crossing. Nothing of
localdfa is used.
"""

import numpy as np
from scipy.linalg import expm
from scipy.optimize import brentq

STEP = 0.01


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
            if awake and self.above(after) >= 0:
                late = brentq(lambda s, t=t: self.above(self.propagator_once(drive, s) @ self.state), 0, stop - t, xtol=1e-14)
                self.state = self.propagator_once(drive, late) @ self.state
                t += late
                self.fire(t)
                continue
            self.state, t = after, stop

    def propagator_once(self, drive, lapse):
        flow = self.flow.copy()
        flow[0, -1] = drive / self.p.tau_m
        return expm(flow * lapse)

    def take(self, t, jumps):
        """What arrives at one moment: [(index of the current or −1, size)]."""
        awake = self.until <= t
        for current, size in jumps:
            if current >= 0:
                self.state[1 + current] += size
            elif awake:
                self.state[0] += size
        if awake and self.above(self.state) >= 0:
            self.fire(t)


def simulate(p, taus, starts, synapses, given, drive, stop):
    """Spike trains of populations.

    starts: v of each population's neurons; synapses [(pre, post, delay, current, matrix (n_pre, n_post))]: pre a number of a
    population, or the name of trains in `given` {name: [train, …]}; drive(k, i, t): the constant drive of neuron i of
    population k in the step that begins at t.
    """
    neurons = [[Neuron(p, taus, v) for v in start] for start in starts]
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
