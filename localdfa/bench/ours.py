"""Our side: the training step of `localdfa run`."""

from pathlib import Path
from typing import Any

import numpy as np

from localdfa.bench.steps import Steps
from localdfa.bench.workloads import Workload, samples, setting, tested
from localdfa.core import blas
from localdfa.record import Job
from localdfa.samples import Part
from localdfa.trainer import Trainer


class Ours(Steps):
    """One training step after the other."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        blas.one_thread()
        x, targets = samples(workload)
        train = Part(x, targets.argmax(axis=1), targets.shape[1], np.float32, x.shape[1:])
        self._trainer = Trainer(setting(workload), {"train": train}, Job(Path(), workload.name, workload.seed))
        self._workload = workload
        self._noise = np.random.default_rng(workload.seed)

    def step(self, rows: np.ndarray) -> None:
        self._trainer.step(rows, self._noise)

    def weights(self) -> list[Any]:
        network = self._trainer.network
        return [network.W(l) for l in range(len(network.weights))]

    def error(self) -> float:
        x, labels = tested(self._workload)
        test = Part(x, labels, self._workload.sizes[-1], np.float32, x.shape[1:])
        return self._trainer.evaluate(test)["error"]


make = Ours
