"""Samples with labels: images, rows of numbers, time series."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data import Dataset
from localdfa.outputs import decisions, error_percent, one_hot
from localdfa.torch.tasks._samples import SamplesTask
from localdfa.torch.tasks._task import Measured, Shown, checked, chosen


class LabelsTask(SamplesTask):
    """Inputs (m, *shape), outputs (m, n_classes) whose softmax is the prediction, and cross-entropy."""

    chunk = 1024

    def __init__(self, data: Dataset, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        super().__init__(data, model, batch_size, dtype, device)
        self._batch_size, self._classes = batch_size, data.n_classes
        self._parts = {
            name: (torch.from_numpy(np.asarray(x)).to(dtype).reshape(-1, *data.shape), torch.from_numpy(y))
            for name, x, y in (
                ("train", data.x_train, data.y_train), ("valid", data.x_valid, data.y_valid), ("test", data.x_test, data.y_test)
            )
        }  # fmt: skip

    def loss(self, out: Any, target: Tensor) -> Tensor:
        return functional.cross_entropy(checked(out, len(target), self._classes), target)

    def _measured(self, model: nn.Module, part: str, most: int | None, rng: np.random.Generator) -> Measured:
        samples = chosen(len(self._parts[part][1]), most, rng)
        if not len(samples):
            return {}
        out = self._out(model, part, samples, self._classes)
        target = self._parts[part][1][samples]
        loss = functional.cross_entropy(out.double(), target).item()
        return {"error": error_percent(out.numpy(), target.numpy()), "loss": loss}

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        out = self._out(model, "test", np.arange(len(self._parts["test"][1])), self._classes)
        return labelled(self._parts["test"][1].numpy(), out.numpy())

    def shown(self, number: int, rng: np.random.Generator) -> Shown:
        samples = chosen(self.n_train, number, rng)
        x, y = (tensor[samples] for tensor in self._parts["train"])
        return Shown((x.to(self.device),), np.arange(len(samples)), y.numpy(), x.flatten(1).float().numpy())

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        labels = self._parts["train"][1][chosen(self.n_train, most, rng)]
        return one_hot(labels.numpy(), self._classes, np.float32)


def labelled(labels: np.ndarray, out: np.ndarray) -> dict[str, np.ndarray]:
    """The record of outcomes: labels (n,), and of outputs (n, n_classes) the class of the largest, −1 where it is not alone."""
    return {"label": labels, "prediction": decisions(out)}
