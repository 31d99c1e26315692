"""The PyTorch path of `localdfa.crosscheck`: one network, or several one after the other."""

from typing import Any

import numpy as np
import torch

from localdfa.bench.steps import Steps
from localdfa.bench.workloads import Workload, samples, setting
from localdfa.crosscheck.pytorch.device import device
from localdfa.crosscheck.pytorch.learner import Learner
from localdfa.network import build


class InTurn(Steps):
    """Each member makes its step on samples of its own, one member after the other."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        x, y = samples(workload)
        where, spec = device(workload.device), setting(workload)
        seeds = range(workload.seed, workload.seed + workload.members)
        networks = [build(spec, x.shape[1], y.shape[1], seed) for seed in seeds]
        self._learners = self._learn(spec, networks, where)
        self._x, self._y = (self._learners[0].tensor(array) for array in (x, y))
        shuffled = np.stack([np.random.default_rng(seed).permutation(len(x)) for seed in seeds])
        self._orders = torch.from_numpy(shuffled).to(where)

    def _learn(self, spec: Any, networks: list[Any], where: torch.device) -> list[Learner]:
        return [Learner(spec, [network], where) for network in networks]

    def step(self, rows: np.ndarray) -> None:
        chosen = self._orders[:, torch.from_numpy(rows).to(self._orders.device)]
        for learner, index in zip(self._learners, chosen, strict=True):
            learner.step(self._x[index], self._y[index])

    def wait(self) -> None:
        if self._x.is_cuda:
            torch.cuda.synchronize()

    def weights(self) -> list[Any]:
        return [weights for learner in self._learners for weights in learner.weights()]


make = InTurn
