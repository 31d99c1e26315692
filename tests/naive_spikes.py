"""Spiking networks, slow and obvious: one neuron after the other, one event after the other, and a reference on a clock.

Traces are sums over all spikes so far, ∫ x dz is integrated piece by piece; nothing of localdfa is used.

Conventions. A refractory period is closed at its end, and times are rounded sums: what arrives at its end to within `NEAR`
ms is taken in. Where the drive is at most v_th, only a jump up makes a spike, although v may be rounded to v_th.
"""

import math
from itertools import pairwise

import numpy as np

NEAR = 1e-11


def fire(p, drives, arrivals):
    """Spike times of one LIF neuron; drives [(start, stop, I)], arrivals [(time, jump)] in any order."""
    v, t, until, spikes = p.v_reset, 0.0, -math.inf, []
    jumps = {}
    for time, jump in arrivals:
        jumps[time] = jumps.get(time, 0.0) + jump
    for start, stop, drive in drives:
        for now in sorted({time for time in jumps if start <= time < stop} | {stop}):
            while t < now:
                begin = max(t, until)
                if begin >= now:
                    break
                reach = math.inf
                if drive > p.v_th:
                    reach = begin + (p.tau_m * math.log((drive - v) / (drive - p.v_th)) if v < p.v_th else 0.0)
                if reach >= now:
                    v = drive + (v - drive) * math.exp(-(now - begin) / p.tau_m)
                    break
                spikes.append(reach)
                v, t, until = p.v_reset, reach, reach + p.t_ref
            t = now
            if now < stop and now >= until - NEAR:
                v, until = v + jumps[now], min(until, now)
                if v >= p.v_th and jumps[now] > 0:
                    spikes.append(now)
                    v, until = p.v_reset, now + p.t_ref
    return spikes


def trace(spikes, t, tau):
    """The trace just before t."""
    return sum(math.exp((s - t) / tau) for s in spikes if s < t)


def integral(pre, post, t0, t1, tau_x, tau_z):
    """∫ x dz from t0 to t1, x read just before every postsynaptic spike; the flow between spikes integrated exactly."""
    rises = sum(trace(pre, s, tau_x) for s in post if t0 <= s < t1)
    moments = sorted({t0, t1, *(s for s in (*pre, *post) if t0 < s < t1)})
    rate, flow = 1 / tau_x + 1 / tau_z, 0.0
    for a, b in pairwise(moments):
        x = sum(math.exp((s - a) / tau_x) for s in pre if s <= a)
        z = sum(math.exp((s - a) / tau_z) for s in post if s <= a)
        flow += x * z * (1 - math.exp(-rate * (b - a))) / rate
    return rises - flow / tau_z


class Trial:
    """One trial of a network: spikes [layer][neuron] of the somata and of the compartments that the synapse reads."""

    def __init__(self, p, delay, weights, feedback, output, x, y, course, beta, tau_x, tau_z, two, fed=None):
        self.p, self.tau_x, self.tau_z, self.weights, self.two = p, tau_x, tau_z, weights, two
        edges = np.cumsum([0.0] + [length for length, _, _ in course])
        self.gates = [(a, b, sign) for a, b, (_, sign, opens) in zip(edges[:-1], edges[1:], course, strict=True) if opens]
        n = len(weights) - 1
        self.x, self.beta, self.delay = x, beta, delay

        def network(signals, somata=None):
            """Trains of every layer; arrivals come from the somata where they are given, else from the layer below."""
            layers = []
            for l in range(n):
                below = [] if l == 0 else layers[-1] if somata is None else somata[l - 1]
                layer = []
                for i in range(weights[l].shape[1]):
                    drive = p.baseline + weights[l][-1, i] + (float(weights[0][:-1, i] @ x) if l == 0 else 0)
                    jump = p.gain / p.tau_m * weights[l][:, i]
                    arrivals = [(s + delay, jump[j]) for j, train in enumerate(below) for s in train]
                    drives = [
                        (a, b, drive - sign * beta * signals[l][i])
                        for a, b, (_, sign, _) in zip(edges[:-1], edges[1:], course, strict=True)
                    ]
                    layer.append(fire(p, drives, arrivals))
                layers.append(layer)
            return layers

        none = [np.zeros(w.shape[1]) for w in weights[:-1]]
        free = network(none)
        top = np.array([trace(train, edges[1], tau_x) for train in free[-1]])
        self.drive = weights[-1][-1] + p.gain / tau_x * top @ weights[-1][:-1]
        a = self.drive
        predicted = {"softmax": np.exp(a) / np.exp(a).sum(), "logistic": 1 / (1 + np.exp(-a)), "linear": a}[output]
        self.error = predicted - y
        signals = [b @ self.error if fed is None or l in fed else none[l] for l, b in enumerate(feedback)]
        self.read = network(signals, free if two else None)
        self.somata = free if two else self.read

    def total(self, l):
        """(1/β) ∫ x dz of projection l in units of activity, the biases last; centered over all openings of the gate."""
        p, k = self.p, len(self.gates)
        x_unit, z_unit = p.gain / self.tau_x, p.gain / self.tau_z
        found = np.zeros(self.weights[l].shape)
        for t0, t1, sign in self.gates:
            if l == len(self.weights) - 1:
                x = [x_unit * trace(train, t0, self.tau_x) for train in self.somata[-1]]
                found -= np.outer([*x, 1], self.error) / k
                continue
            scale = sign / (self.beta * k)
            for i, post in enumerate(self.read[l]):
                moved = z_unit * (trace(post, t1, self.tau_z) - trace(post, t0, self.tau_z))
                found[-1, i] += scale * moved
                if l == 0:
                    found[:-1, i] += scale * moved * self.x
                    continue
                for j, train in enumerate(self.somata[l - 1]):
                    pre = [s + self.delay for s in train]
                    found[j, i] += scale * x_unit * z_unit * integral(pre, post, t0, t1, self.tau_x, self.tau_z)
        return found


def clock(p, drive, arrivals, stop, dt, tau=0.0):
    """Spikes of LIF or ALIF neurons on a clock: drive (n,), arrivals [(time, jumps (n,))], each put on the nearest step; tau:
    of the current that they raise, 0 where they move v at once."""
    v, until, spikes = np.full(len(drive), p.v_reset), np.full(len(drive), -1), [[] for _ in drive]
    current, raised = np.zeros(len(drive)), np.zeros(len(drive))
    due = {}
    for time, jumps in arrivals:
        due.setdefault(round(time / dt), []).append(jumps)
    decay, rest = math.exp(-dt / p.tau_m), round(p.t_ref / dt)
    fade, lower = math.exp(-dt / tau) if tau else 0.0, math.exp(-dt / getattr(p, "tau_a", 1.0))
    for step in range(1, round(stop / dt)):
        awake, takes = step > until, step >= until
        to = drive + current * (1 + fade) / 2
        v = np.where(awake, to + (v - to) * decay, v)
        current, raised = current * fade, raised * lower
        for jumps in due.get(step, ()):
            if tau:
                current = current + jumps
            else:
                v = np.where(takes, v + jumps, v)
        if (v >= p.v_th + raised).any():
            for i in np.flatnonzero(v >= p.v_th + raised):
                spikes[i].append(step * dt)
                v[i], until[i] = p.v_reset, step + rest
                raised[i] += getattr(p, "step", 0.0)
    return spikes
