"""What a kind of data asks of the training of a module."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from localdfa.outputs import Measure


class Batch(NamedTuple):
    """A mini-batch.

    inputs: the arguments of the module's forward pass. target: what its output is compared with. samples: how many.
    """

    inputs: tuple[Any, ...]
    target: Tensor
    samples: int


class Task:
    """One kind of data as modules learn from it: mini-batches, the loss, and what is measured.

    measures: the first is an error, 0 at best, which figures draw. whole: whether each step sees all of the data, so that
    ``batch_size`` is not read. in_percent: what `percent` makes of the measures, in words.
    """

    measures: ClassVar[tuple[Measure, ...]]
    whole: ClassVar[bool] = False
    in_percent: ClassVar[str]
    regression: ClassVar[bool] = False
    spiking: ClassVar[bool] = False

    def __init__(self, data: Any, batch_size: int, dtype: torch.dtype) -> None:
        """data: of the kind that this task is for, whose arrays become tensors once; dtype: of what is not an index."""
        raise NotImplementedError

    @property
    def n_train(self) -> int:
        """How many samples an epoch passes through."""
        raise NotImplementedError

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """The mini-batches of one epoch, in a new order."""
        raise NotImplementedError

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        """So many training samples, drawn at random: what alignment is measured on."""
        raise NotImplementedError

    def part(self, name: str) -> Iterator[Batch]:
        """``train``, ``valid`` or ``test`` in its order, in mini-batches; nothing where the data have no such part."""
        raise NotImplementedError

    def loss(self, out: Any, target: Tensor) -> Tensor:
        """The mean over samples of what the module gives, in training and in tests."""
        raise NotImplementedError

    def evaluate(self, model: nn.Module, name: str) -> dict[str, float]:
        """The measures of a part by their keys, and its ``loss``; empty where there is no such part. The module is in
        evaluation mode, and autograd does not follow."""
        raise NotImplementedError

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        """What a run keeps of the test part, as arrays: predictions and what was to be predicted, images, text."""
        raise NotImplementedError

    @staticmethod
    def not_learned(found: Mapping[str, float | None], target: Any) -> str | None:
        """Why the training part, of which this was measured, is predicted no better than by guessing; None where it is.

        target: those of the training part, see `targets`.
        """
        raise NotImplementedError

    @staticmethod
    def percent(found: Mapping[str, float]) -> float:
        """One number in percent, 0 at best, of the measures of a part."""
        raise NotImplementedError

    @property
    def targets(self) -> np.ndarray:
        """Of the training part, as `not_learned` reads them."""
        raise NotImplementedError
