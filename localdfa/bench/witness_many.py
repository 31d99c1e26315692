"""The PyTorch path of `localdfa.crosscheck`: several networks at once, as batched products."""

from typing import Any

import numpy as np
import torch

from localdfa.bench.witness import InTurn
from localdfa.crosscheck.pytorch.learner import Learner


class AtOnce(InTurn):
    """All members make their step together, each on samples of its own."""

    def _learn(self, spec: Any, networks: list[Any], where: torch.device) -> list[Learner]:
        return [Learner(spec, networks, where)]

    def step(self, rows: np.ndarray) -> None:
        index = self._orders[:, torch.from_numpy(rows).to(self._orders.device)]
        self._learners[0].step(self._x[index], self._y[index])

    def weights(self) -> list[Any]:
        return [layer[member] for member in range(len(self._orders)) for layer in self._learners[0].weights()]


make = AtOnce
