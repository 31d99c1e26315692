"""A graph, some of whose nodes show their labels."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data.kinds import Graph
from localdfa.outputs import error_percent, one_hot
from localdfa.torch.tasks._task import Batch, Measured, Shown, Task, checked, chosen
from localdfa.torch.tasks.labels import labelled

# The target of nodes whose labels are not learned from, which the loss leaves out.
_HIDDEN = -100


class GraphTask(Task):
    """Inputs (n, n_features) of all nodes at once, outputs (n, n_classes); cross-entropy, over nodes that show their label.

    A step sees all nodes, and so an epoch is one.
    """

    def __init__(self, data: Graph, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        super().__init__(data, model, batch_size, dtype, device)
        self._features = torch.from_numpy(data.features).to(device, dtype)
        self._labels, self._classes = data.labels, len(data.classes)
        self._parts = {"train": data.train, "valid": data.valid, "test": data.test}
        target = np.full(len(data.labels), _HIDDEN)
        target[data.train] = data.labels[data.train]
        self._target = torch.from_numpy(target).to(device)

    @staticmethod
    def of_epoch(data: Graph, model: Callable[[], nn.Module]) -> int:
        return len(data.train)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        yield self.probe(self.n_train, rng)

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        return Batch((self._features,), self._target, self.n_train)

    def loss(self, out: Any, target: Tensor) -> Tensor:
        return functional.cross_entropy(checked(out, len(target), self._classes), target, ignore_index=_HIDDEN)

    def evaluate(self, model: nn.Module, most: int | None, rng: np.random.Generator) -> dict[str, Measured]:
        out = self._out(model)  # of all nodes at once, whatever their part
        return {part: self._judged(out[nodes], self._labels[nodes]) for part, nodes in self._parts.items()}

    @staticmethod
    def _judged(out: Tensor, labels: np.ndarray) -> Measured:
        if not len(labels):
            return {}
        loss = functional.cross_entropy(out.double(), torch.from_numpy(labels)).item()
        return {"error": error_percent(out.numpy(), labels), "loss": loss}

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        nodes = self._parts["test"]
        return labelled(self._labels[nodes], self._out(model)[nodes].numpy())

    def _out(self, model: nn.Module) -> Tensor:
        return checked(model(self._features), len(self._labels), self._classes).cpu()

    def shown(self, number: int, rng: np.random.Generator) -> Shown:
        nodes = chosen(len(self._labels), number, rng)
        return Shown((self._features,), nodes, self._labels[nodes], self._features.cpu().float().numpy()[nodes])

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        return one_hot(self._labels[self._parts["train"]], self._classes, np.float32)
