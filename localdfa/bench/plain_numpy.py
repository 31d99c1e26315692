"""The floor: the same step of exact DFA and RMSprop in plain NumPy, with the threads that its BLAS takes by itself."""

from typing import Any

import numpy as np

from localdfa.bench.steps import Steps
from localdfa.bench.workloads import Workload, samples, setting, tested
from localdfa.network import build
from localdfa.outputs import error_percent


class Plain(Steps):
    """Matrix products and array expressions, one after the other."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._inputs, self._targets = samples(workload)
        network = build(
            setting(workload).model_copy(update={"rule": "dfa"}), workload.sizes[0], workload.sizes[-1], workload.seed
        )  # fmt: skip
        self._W = [network.W(l).copy() for l in range(len(network.weights))]
        self._b = [network.b(l).copy() for l in range(len(network.weights))]
        self._B = [matrix for matrix in network.feedback if matrix is not None]
        self._workload = workload
        self._rate = np.float32(workload.learning_rate)
        self._squares = [np.zeros_like(p) for p in (*self._W, *self._b)]

    def step(self, rows: np.ndarray) -> None:
        h, drive = self._forward(self._inputs[rows])
        error = 0.5 * (1 + np.tanh(0.5 * drive)) - self._targets[rows]
        delta = [(error @ B.T) * (1 - a * a) for B, a in zip(self._B, h[1:], strict=True)] + [error]
        gradients = [d.T @ a for d, a in zip(delta, h, strict=True)] + [d.sum(axis=0) for d in delta]
        for p, g, square in zip((*self._W, *self._b), gradients, self._squares, strict=True):
            square *= np.float32(0.99)
            square += np.float32(0.01) * g * g
            p -= self._rate * g / (np.sqrt(square) + np.float32(1e-8))

    def _forward(self, x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Inputs and activities, and the drive of the output."""
        h = [x]
        for W, b in zip(self._W[:-1], self._b[:-1], strict=True):
            h.append(np.tanh(h[-1] @ W.T + b))
        return h, h[-1] @ self._W[-1].T + self._b[-1]

    def weights(self) -> list[Any]:
        return self._W

    def error(self) -> float:
        x, labels = tested(self._workload)
        return error_percent(self._forward(x)[1], labels)


make = Plain
