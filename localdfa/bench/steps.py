"""Training steps, as every side that is timed by them makes them."""

import time
from typing import Any

import numpy as np

from localdfa.bench.training import Training
from localdfa.bench.workloads import Workload


class Steps:
    """A workload under way, and where in the data it stands.

    A side has ``step(rows)``, and ``weights()`` or, where it goes on from another's, ``take(weights)``. One of rate networks
    has ``error()`` as well, its test error in percent; one of spiking networks ``rates(n)``, the rates of its hidden neurons
    for the first n training samples, Hz (n, n_hidden).
    """

    def __init__(self, work: Workload | Training) -> None:
        self._size, self._count = work.batch, work.samples // work.batch
        self._order = np.random.default_rng(work.seed).permutation(work.samples)
        self._at = 0

    def step(self, rows: np.ndarray) -> None:
        """One training step on these samples."""
        raise NotImplementedError

    def wait(self) -> None:
        """Return when all steps are done, as they are where `step` returns after its step."""

    def steps(self, n: int) -> float:
        """Seconds that n steps take; the samples come in the same order on every side."""
        began = time.perf_counter()
        for _ in range(n):
            start = self._at % self._count * self._size
            self.step(self._order[start : start + self._size])
            self._at += 1
        self.wait()
        return time.perf_counter() - began

    def save(self, path: str) -> None:
        """Write the weights of every layer."""
        np.savez(path, *self.weights())

    def load(self, path: str) -> None:
        """Go on from weights that another side has saved."""
        with np.load(path, allow_pickle=False) as saved:
            self.take([saved[key] for key in saved.files])

    def weights(self) -> list[Any]:
        """The weights of every layer."""
        raise NotImplementedError

    def take(self, weights: list[np.ndarray]) -> None:
        """Go on from these weights."""
        raise NotImplementedError
