"""Rows of categories, and whether somebody did something."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data.kinds import Fields
from localdfa.torch.tasks._task import Batch, Task, checked, chosen

# Rows of which predictions are made at once.
_CHUNK = 4096


class FieldsTask(Task):
    """Inputs (m, n_fields), categories; outputs (m,), the logit of yes; binary cross-entropy."""

    def __init__(self, data: Fields, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        super().__init__(data, model, batch_size, dtype, device)
        self._batch_size = batch_size
        self._parts = {
            name: (torch.from_numpy(x), torch.from_numpy(y).to(dtype))
            for name, x, y in (
                ("train", data.x_train, data.y_train), ("valid", data.x_valid, data.y_valid), ("test", data.x_test, data.y_test)
            )
        }  # fmt: skip

    @property
    def n_train(self) -> int:
        return len(self._parts["train"][1])

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(self.n_train)
        for start in range(0, len(order), self._batch_size):
            yield self._batch("train", order[start : start + self._batch_size])

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        return self._batch("train", chosen(self.n_train, number, rng))

    def loss(self, out: Any, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(checked(out, len(target)), target)

    def evaluate(self, model: nn.Module, part: str, most: int | None, rng: np.random.Generator) -> dict[str, float | None]:
        from sklearn.metrics import roc_auc_score  # which takes long to import

        rows = chosen(len(self._parts[part][1]), most, rng)
        if not len(rows):
            return {}
        logit, y = self._logits(model, part, rows), self._parts[part][1][rows].double()
        loss = functional.binary_cross_entropy_with_logits(logit, y).item()
        both = 0 < y.mean().item() < 1
        return {"log_loss": loss, "auc": float(roc_auc_score(y.numpy(), logit.numpy())) if both else None, "loss": loss}

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        """label: 1 for yes; prediction: 1 where that is likelier; probability: of yes, as predicted."""
        y = self._parts["test"][1].numpy()
        logit = self._logits(model, "test", np.arange(len(y)))
        return {
            "label": y.astype(np.int64),
            "prediction": (logit > 0).long().numpy(),
            "probability": logit.sigmoid().numpy(),
        }

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        return self._parts["train"][1][chosen(self.n_train, most, rng)].numpy()

    def _batch(self, part: str, rows: np.ndarray) -> Batch:
        x, y = self._parts[part]
        return Batch((x[rows],), y[rows], len(rows)).to(self.device)

    def _logits(self, model: nn.Module, part: str, rows: np.ndarray) -> Tensor:
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        return torch.cat([checked(model(*self._batch(part, chunk).inputs), len(chunk)).cpu().double() for chunk in chunks])
