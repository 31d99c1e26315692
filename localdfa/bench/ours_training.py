"""Our side of the training of spiking networks: the training step of `localdfa run mnist-spiking`."""

from pathlib import Path
from typing import Any

import numba
import numpy as np

from localdfa.bench.steps import Steps
from localdfa.bench.training import Training, setting
from localdfa.bench.workloads import samples
from localdfa.core import blas
from localdfa.engines import engine
from localdfa.record import Job
from localdfa.samples import Part
from localdfa.trainer import Trainer


class Ours(Steps):
    """One training step after the other, on threads that take whole trials."""

    def __init__(self, work: Training) -> None:
        super().__init__(work)
        blas.one_thread()
        numba.set_num_threads(work.threads)
        x, targets = samples(work)
        self._train = Part(x, targets.argmax(axis=1), targets.shape[1], np.float32, x.shape[1:])
        self._setting = setting(work)
        self._trainer = Trainer(self._setting, {"train": self._train}, Job(Path(), work.name, work.seed))
        self._noise = np.random.default_rng(work.seed)

    def step(self, rows: np.ndarray) -> None:
        self._trainer.step(rows, self._noise)

    def weights(self) -> list[Any]:
        """Of each layer (n_pre + 1, n_post), the last row the biases."""
        return list(self._trainer.network.weights)

    def rates(self, n: int) -> np.ndarray:
        """Rates of the hidden layer in the free phase of the first n samples, Hz (n, n_hidden)."""
        local = engine(self._setting, self._setting.rule)
        (first, *_), _ = local.free_phase(self._trainer.network, self._train.inputs[:n], self._noise)
        return first


make = Ours
