"""Slow, obvious NumPy versions of everything that the core computes in settled mode; they share no code with it.

Weights are plain W (n_post, n_pre) and b (n_post,); activities are lists of columns, one sample at a time.
"""

import math

import numpy as np

F = {
    "tanh": np.tanh,
    "logistic": lambda v: 1 / (1 + np.exp(-v)),
    "relu": lambda v: np.maximum(v, 0),
    "leaky_relu": lambda v: np.where(v > 0, v, 0.01 * v),
    "linear": lambda v: v,
}
DF = {
    "tanh": lambda v: 1 / np.cosh(v) ** 2,
    "logistic": lambda v: np.exp(-v) / (1 + np.exp(-v)) ** 2,
    "relu": lambda v: (v > 0) * 1.0,
    "leaky_relu": lambda v: np.where(v > 0, 1.0, 0.01),
    "linear": np.ones_like,
}


def out(kind, a):
    """Output activity of one sample."""
    return {"softmax": lambda a: np.exp(a) / np.exp(a).sum(axis=0), "logistic": F["logistic"], "linear": F["linear"]}[kind](a)


def forward(neuron, kind, W, b, x):
    """Drives a_l of every layer, activities h_0 … h_L and ŷ of one sample."""
    a, h = [], [x]
    for l in range(len(W)):
        a.append(W[l] @ h[-1] + b[l])
        if l < len(W) - 1:
            h.append(F[neuron](a[-1]))
    return a, h, out(kind, a[-1])


def deltas(rule, neuron, W, B, a, e):
    """δa_l of every layer for one sample (Nøkland 2016, eqs. 5–10); B as each rule shapes it."""
    n, d = len(W) - 1, [None] * len(W)
    d[n] = e
    df = [DF[neuron](v) for v in a[:n]]
    if rule == "bp":
        for l in reversed(range(n)):
            d[l] = W[l + 1].T @ d[l + 1] * df[l]
    elif rule == "fa":
        for l in reversed(range(n)):
            d[l] = B[l] @ d[l + 1] * df[l]
    elif rule == "dfa":
        for l in range(n):
            d[l] = B[l] @ e * df[l]
    elif rule == "ifa":
        d[0] = B[0] @ e * df[0]
        for l in range(1, n):
            d[l] = W[l] @ d[l - 1] * df[l]
    return d


def local(neuron, kind, W, B, x, y, b, beta, nudging, propagation, teacher, fed=None):
    """Δz_l/β of every layer for one sample: feedback B_l e into every layer, or only into the layers of `fed`."""
    a, h, prediction = forward(neuron, kind, W, b, x)
    e, n = prediction - y, len(W) - 1
    f = F[neuron]
    total = [np.zeros_like(v) for v in a]
    signs = (1, -1) if nudging == "centered" else (1,)
    for sign in signs:
        below = h[0]
        for l in range(n):
            drive = a[l] if propagation == "held" else W[l] @ below + b[l]
            current = B[l] @ e if fed is None or l in fed else 0
            nudged = f(drive - sign * beta * current)
            before = f(drive) if propagation == "two_compartment" else h[l + 1]
            total[l] += sign * (nudged - before) / beta / len(signs)
            below = nudged
        if teacher == "activity":
            total[n] += sign * (-sign * beta * e) / beta / len(signs)
        else:
            drive = a[n] if propagation == "held" else W[n] @ below + b[n]
            before = out(kind, drive) if propagation == "two_compartment" else prediction
            total[n] += sign * (out(kind, drive - sign * beta * e) - before) / beta / len(signs)
    return total, h


class Optimiser:
    """One synapse after the other, from the update formulas of the papers."""

    def __init__(self, name, **p):
        self.name, self.p, self.memory, self.t = name, p, {}, 0

    def step(self, arrays, gradients):
        self.t += 1
        for key, (w, g) in enumerate(zip(arrays, gradients, strict=True)):
            for at in np.ndindex(w.shape):
                w[at] += self._change((key, at), g[at])

    def _change(self, synapse, g):
        p = self.p
        m, r = self.memory.get(synapse, (0.0, 0.0))
        if self.name == "sgd":
            return -p["learning_rate"] * g
        if self.name == "momentum":
            m = p["momentum"] * m + g
            self.memory[synapse] = m, r
            return -p["learning_rate"] * m
        if self.name == "rmsprop":
            r = p["decay"] * r + (1 - p["decay"]) * g * g
            self.memory[synapse] = m, r
            return -p["learning_rate"] * g / (math.sqrt(r) + p["epsilon"])
        m = p["beta1"] * m + (1 - p["beta1"]) * g
        r = p["beta2"] * r + (1 - p["beta2"]) * g * g
        self.memory[synapse] = m, r
        corrected = m / (1 - p["beta1"] ** self.t), r / (1 - p["beta2"] ** self.t)
        return -p["learning_rate"] * corrected[0] / (math.sqrt(corrected[1]) + p["epsilon"])
