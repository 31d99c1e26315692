"""Rows of categories, and whether somebody did something."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data.kinds import Fields
from localdfa.torch.tasks._samples import SamplesTask
from localdfa.torch.tasks._task import Measured, checked, chosen


class FieldsTask(SamplesTask):
    """Inputs (m, n_fields), categories; outputs (m,), the logit of yes; binary cross-entropy."""

    chunk = 4096

    def __init__(self, data: Fields, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        super().__init__(data, model, batch_size, dtype, device)
        self._batch_size = batch_size
        self._parts = {
            name: (torch.from_numpy(x), torch.from_numpy(y).to(dtype))
            for name, x, y in (
                ("train", data.x_train, data.y_train), ("valid", data.x_valid, data.y_valid), ("test", data.x_test, data.y_test)
            )
        }  # fmt: skip

    def loss(self, out: Any, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(checked(out, len(target)), target)

    def _measured(self, model: nn.Module, part: str, most: int | None, rng: np.random.Generator) -> Measured:
        rows = chosen(len(self._parts[part][1]), most, rng)
        return judged(self._out(model, part, rows), self._parts[part][1][rows]) if len(rows) else {}

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        """label: 1 for yes; prediction: 1 where that is likelier; probability: of yes, as predicted."""
        y = self._parts["test"][1].numpy()
        logit = self._out(model, "test", np.arange(len(y))).double()
        return {
            "label": y.astype(np.int64),
            "prediction": (logit > 0).long().numpy(),
            "probability": logit.sigmoid().numpy(),
        }

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        return self._parts["train"][1][chosen(self.n_train, most, rng)].numpy()


def judged(logit: Tensor, y: Tensor) -> dict[str, float | None]:
    """Log-loss and AUC of logits (n,) of what is so, y = 1, or not, 0; None where all are alike."""
    from sklearn.metrics import roc_auc_score  # which takes long to import

    logit, y = logit.double(), y.double()
    loss = functional.binary_cross_entropy_with_logits(logit, y).item()
    both = 0 < y.mean().item() < 1
    return {"log_loss": loss, "auc": float(roc_auc_score(y.numpy(), logit.numpy())) if both else None, "loss": loss}
