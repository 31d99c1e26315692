"""What tasks of samples have in common, each with something that is seen of it and something to be predicted."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from localdfa.torch.tasks._task import Batch, Task, checked, chosen


class SamplesTask(Task):
    """Mini-batches of samples in a new order each epoch.

    The task sets `_batch_size`, and `_parts`: of ``train``, ``valid`` and ``test`` what is seen, (n, …), and what is to be
    predicted, (n,). chunk: samples of which predictions are made at once.
    """

    chunk: ClassVar[int]
    _batch_size: int
    _parts: dict[str, tuple[Tensor, Tensor]]

    @staticmethod
    def of_epoch(data: Any, model: Callable[[], nn.Module]) -> int:
        return len(data.y_train)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        order = rng.permutation(self.n_train)
        for start in range(0, len(order), self._batch_size):
            yield self._batch("train", order[start : start + self._batch_size])

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        return self._batch("train", chosen(self.n_train, number, rng))

    def _batch(self, part: str, samples: np.ndarray) -> Batch:
        x, y = self._parts[part]
        return Batch((x[samples],), y[samples], len(samples)).to(self.device)

    def _out(self, model: nn.Module, part: str, samples: np.ndarray, *shape: int) -> Tensor:
        """What the module gives for samples of a part, (n, *shape)."""
        chunks = [samples[start : start + self.chunk] for start in range(0, len(samples), self.chunk)]
        none = [torch.empty((0, *shape))] if not chunks else []
        return torch.cat(none + [checked(model(*self._batch(part, c).inputs), len(c), *shape).cpu() for c in chunks])
