"""A graph, some of whose edges are held out."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data.kinds import Links
from localdfa.data.links import not_joined
from localdfa.torch.tasks._task import Batch, Measured, Shown, Task, checked, chosen
from localdfa.torch.tasks.fields import judged


class LinksTask(Task):
    """Inputs (n, n_features) of all nodes at once and pairs of them (2, m), outputs (m,), the logits of an edge between both;
    binary cross-entropy.

    A step sees all nodes, and so an epoch is one. Its pairs are the edges that are learned from and as many pairs that none of
    these joins, drawn anew each time.
    """

    def __init__(self, data: Links, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        super().__init__(data, model, batch_size, dtype, device)
        self._data, self._dtype = data, dtype
        self._features = torch.from_numpy(data.features).to(device, dtype)
        self._edges = _once(data)
        self._held_out = {"valid": (data.pairs_valid, data.joined_valid), "test": (data.pairs_test, data.joined_test)}

    @staticmethod
    def of_epoch(data: Links, model: Callable[[], nn.Module]) -> int:
        return 2 * _once(data).shape[1]

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        yield self.probe(self.n_train, rng)

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        pairs, joined = torch.from_numpy(self._pairs(rng)), torch.from_numpy(self.targets(None, rng))
        return Batch((self._features, pairs), joined.to(self._dtype), self.n_train).to(self.device)

    def loss(self, out: Any, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(checked(out, len(target)), target)

    def evaluate(self, model: nn.Module, most: int | None, rng: np.random.Generator) -> dict[str, Measured]:
        parts = {"train": (self._pairs(rng), self.targets(None, rng)), **self._held_out}
        logits = self._logits(model, np.concatenate([pairs for pairs, _ in parts.values()], axis=1))
        of_parts = logits.split([len(joined) for _, joined in parts.values()])
        return {
            part: self._judged(logit, torch.from_numpy(joined))
            for (part, (_, joined)), logit in zip(parts.items(), of_parts, strict=True)
        }

    @staticmethod
    def _judged(logit: Tensor, joined: Tensor) -> Measured:
        from sklearn.metrics import average_precision_score  # which takes long to import

        if not len(joined):
            return {}
        found = judged(logit, joined)
        precision = average_precision_score(joined.numpy(), logit.numpy()) if found["auc"] is not None else None
        return {**found, "ap": precision}

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        """pair: two nodes, (2, m); joined: 1 where an edge joins them; probability: of that, as predicted."""
        pairs, joined = self._held_out["test"]
        return {"pair": pairs, "joined": joined, "probability": self._logits(model, pairs).sigmoid().numpy()}

    def shown(self, number: int, rng: np.random.Generator) -> Shown:
        nodes = chosen(len(self._features), number, rng)
        inputs = self.probe(self.n_train, rng).inputs
        return Shown(inputs, nodes, self._data.labels[nodes], self._data.features[nodes])

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        return np.repeat(np.array([1, 0], np.float32), self.n_train // 2)

    def _pairs(self, rng: np.random.Generator) -> np.ndarray:
        """The edges that are learned from, then as many pairs that none of them joins, (2, n_train)."""
        return np.concatenate([self._edges, not_joined("data", self._data, self._edges.shape[1], rng)], axis=1)

    def _logits(self, model: nn.Module, pairs: np.ndarray) -> Tensor:
        """What the module gives for pairs (2, m), float64 (m,)."""
        return checked(model(self._features, torch.from_numpy(pairs).to(self.device)), pairs.shape[1]).cpu().double()


def _once(data: Links) -> np.ndarray:
    """The edges that are learned from, each in one direction, (2, n)."""
    return data.edges[:, data.edges[0] < data.edges[1]]
