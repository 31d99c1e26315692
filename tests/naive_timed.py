"""The timed mode, slow and obvious: one trial, one list of what happens next, one neuron after the other.

Its own formulas for every neuron model; nothing of localdfa is used.
"""

import heapq
import math
from dataclasses import dataclass, field

import numpy as np

INF = math.inf


def logit(h):
    return -INF if h <= 0 else INF if h >= 1 else math.log(h) - math.log1p(-h)


ACTIVITY = {
    "tanh": np.tanh,
    "logistic": lambda v: 1 / (1 + np.exp(-v)),
    "linear": lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "leaky_relu": lambda v: np.where(v > 0, v, 0.01 * v),
}
INVERSE = {
    "tanh": lambda h: INF if h >= 1 else -INF if h <= -1 else math.atanh(h),
    "logistic": logit,
    "linear": lambda h: h,
    "relu": lambda h: h if h >= 0 else -INF,
    "leaky_relu": lambda h: h if h > 0 else h / 0.01,
}


@dataclass
class Membrane:
    """τ dv/dt = −v + a − current, as pieces: from each time on, from v there, v relaxes to a target."""

    tau: float
    a: float
    current: float = 0.0
    time: list = field(default_factory=lambda: [0.0])
    start: list = field(default_factory=lambda: [0.0])
    target: list = field(default_factory=list)

    def __post_init__(self):
        self.target.append(self.a - self.current)

    def at(self, t):
        """v at the times t."""
        k = np.maximum(np.searchsorted(self.time, t, side="right") - 1, 0)
        time, start, target = np.array(self.time)[k], np.array(self.start)[k], np.array(self.target)[k]
        return target + (start - target) * np.exp((time - t) / self.tau)

    def turn(self, t, more=0.0, current=None):
        """From t on, `more` drive, or another current."""
        target = self.target[-1]
        v = target + (self.start[-1] - target) * math.exp((self.time[-1] - t) / self.tau)
        self.a += more
        self.current = self.current if current is None else current
        self.time.append(t)
        self.start.append(v)
        self.target.append(self.a - self.current)

    def reaches(self, v, step):
        """When the present piece gets to v from below (step 1) or above (−1); inf if never."""
        start, target = self.start[-1], self.target[-1]
        if not (start <= v < target if step > 0 else start >= v > target):
            return INF
        return self.time[-1] + self.tau * math.log((start - target) / (v - target))


class Trial:
    """One trial of a network, weights (n_pre + 1, n_post) and B (n, n_out) or None for each hidden layer.

    events[l]: (time, neuron, size) of hidden layer l. x[l]: arrivals (time, source, size) at layer l. v[l], u[l]: membranes
    with and without the feedback. gates: (opens, closes, sign). e: output error, drive: v of the output units, after the
    free phase.
    """

    def __init__(self, model, tau, delay, epsilon, beta, weights, feedback, output, x, y, course, teacher="activity"):
        self.model, self.output, self.teacher, self.beta = model, output, teacher, beta
        self.weights, self.delay, self.epsilon = weights, delay, epsilon
        n_hidden = len(weights) - 1
        self.v = [[Membrane(tau, b) for b in w[-1]] for w in weights]
        self.u = [[Membrane(tau, b) for b in w[-1]] for w in weights]
        self.x, self.events, self.gates = [[] for _ in weights], [[] for _ in range(n_hidden)], []
        rest = float(ACTIVITY[model](0.0))
        self.base = rest if abs(rest) >= epsilon else 0.0
        self.level = [[0] * w.shape[1] for w in weights[:-1]]
        self.coming = []
        for j, size in enumerate(x):
            heapq.heappush(self.coming, (delay, 0, j, size))
        if self.base:
            for l in range(n_hidden):
                for i in range(weights[l].shape[1]):
                    self.emit(l, i, 0.0, self.base)
        t = 0.0
        for length, sign, gate in course:
            if sign == 0:
                self.nudge(t, 0, feedback)
            else:
                if not self.gates:
                    self.drive = np.array([m.at(t) for m in self.v[-1]])
                    self.e = self.predict(self.drive) - y
                self.nudge(t, sign, feedback)
                self.gates.append((t, t + gate, sign))
            self.run(t + length)
            t += length
        if not self.gates:
            self.drive = np.array([m.at(t) for m in self.v[-1]])

    def predict(self, v):
        return np.exp(v) / np.exp(v).sum(axis=0) if self.output == "softmax" else ACTIVITY[self.output](v)

    def nudge(self, t, sign, feedback):
        for l, b in enumerate(feedback):
            if b is not None and (sign or self.gates):
                for membrane, c in zip(self.v[l], b @ self.e, strict=True):
                    membrane.turn(t, current=sign * self.beta * c)
        if self.teacher == "drive" and (sign or self.gates):
            for membrane, c in zip(self.v[-1], self.e, strict=True):
                membrane.turn(t, current=sign * self.beta * c)

    def emit(self, l, i, t, size):
        self.events[l].append((t, i, size))
        heapq.heappush(self.coming, (t + self.delay, l + 1, i, size))

    def crossings(self):
        """When each hidden neuron sends its next event, (time, layer, neuron, step)."""
        for l, levels in enumerate(self.level):
            for i, level in enumerate(levels):
                for step in (1, -1):
                    bound = INVERSE[self.model](self.base + (level + step) * self.epsilon)
                    if abs(bound) < INF:
                        yield self.v[l][i].reaches(bound, step), l, i, step

    def run(self, stop):
        while True:
            t, l, i, step = min(self.crossings(), default=(INF, 0, 0, 0))
            arrival = self.coming[0][0] if self.coming else INF
            if min(t, arrival) >= stop:
                return
            if arrival <= t:
                t, l, j, size = heapq.heappop(self.coming)
                self.x[l].append((t, j, size))
                for i, w in enumerate(self.weights[l][j]):
                    self.v[l][i].turn(t, more=w * size)
                    self.u[l][i].turn(t, more=w * size)
            else:
                self.level[l][i] += step
                self.emit(l, i, t, step * self.epsilon)

    def z(self, l, t, two_compartment=False):
        """Postsynaptic activity of layer l at the times t, (n, len(t))."""
        read = ACTIVITY[self.model] if l < len(self.events) else self.predict
        z = read(np.array([m.at(t) for m in self.v[l]]))
        return z - read(np.array([m.at(t) for m in self.u[l]])) if two_compartment else z

    def integral(self, l, opens, closes, two_compartment=False):
        """∫ x_j dz_i from `opens` to `closes`, (n_pre + 1, n_post), summed over a fine grid that holds every arrival."""
        grid = np.linspace(opens, closes, 200)
        grid = np.unique(np.concatenate([grid, [t for t, _, _ in self.x[l] if opens < t < closes]]))
        middle = (grid[1:] + grid[:-1]) / 2
        x = np.ones((len(self.weights[l]), len(middle)))
        x[:-1] = 0
        for t, j, size in self.x[l]:
            x[j] += size * (middle > t)
        return x @ np.diff(self.z(l, grid, two_compartment)).T

    def total(self, l, two_compartment=False):
        """(1/β) ∫_gate x dz with the sign of the nudging, averaged over the nudged phases."""
        total = 0
        for opens, closes, sign in self.gates:
            if l == len(self.events) and self.teacher == "activity":
                x = np.zeros(len(self.weights[l]))
                x[-1] = 1
                for t, j, size in self.x[l]:
                    x[j] += size * (t < opens)
                total = total - np.outer(x, self.e)
            else:
                total = total + sign / self.beta * self.integral(l, opens, closes, two_compartment)
        return total / len(self.gates)
