"""What a kind of data asks of the training of a module."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from localdfa.errors import SpecError

PARTS = ("train", "valid", "test")
# The measures of a part by their keys.
Measured = Mapping[str, float | None]


class Batch(NamedTuple):
    """A mini-batch.

    inputs: the arguments of the module's forward pass. target: what its output is compared with. samples: how many.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    samples: int

    def to(self, device: str) -> "Batch":
        """The same on another device."""
        return (
            self if device == "cpu" else Batch(tuple(x.to(device) for x in self.inputs), self.target.to(device), self.samples)
        )


class Shown(NamedTuple):
    """Samples of which activity is kept.

    inputs: of the module, of which the first axis of activity is; rows: those of that axis that are meant, (n,); label: of
    each, (n,); x: what is seen of each, (n, n_features).
    """

    inputs: tuple[Tensor, ...]
    rows: np.ndarray
    label: np.ndarray
    x: np.ndarray


class Task:
    """One kind of data as modules learn from it.

    device: where the module is, and what it gets is brought. n_train: how many samples an epoch passes through.
    """

    def __init__(self, data: Any, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        """data: of the kind that this task is for, whose arrays become tensors once; model: the module, of which a task may
        read what its parameters say of the inputs; dtype: of what is no index."""
        self.device, self.n_train = device, self.of_epoch(data, lambda: model)

    @staticmethod
    def of_epoch(data: Any, model: Callable[[], nn.Module]) -> int:
        """How many samples an epoch passes through; model: makes the module, where it has to be asked."""
        raise NotImplementedError

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """The mini-batches of one epoch, in a new order."""
        raise NotImplementedError

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        """So many training samples, or all where there are fewer, drawn at random: what alignment is measured on."""
        raise NotImplementedError

    def loss(self, out: Any, target: Tensor) -> Tensor:
        """The mean over samples of what the module gives."""
        raise NotImplementedError

    def evaluate(self, model: nn.Module, most: int | None, rng: np.random.Generator) -> dict[str, Measured]:
        """Of ``train``, ``valid`` and ``test`` each the measures by their keys, and the ``loss``; empty where there is no such
        part.

        The module is in evaluation mode, and autograd does not follow. most: as many training samples as are looked at, where
        there are more, those that rng draws; None: all. What is undefined of them is None.
        """
        return {part: self._measured(model, part, most if part == "train" else None, rng) for part in PARTS}

    def _measured(self, model: nn.Module, part: str, most: int | None, rng: np.random.Generator) -> Measured:
        """One part of what `evaluate` says, where each has forward passes of its own."""
        raise NotImplementedError

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        """What a run keeps of the test part, as arrays: predictions and what was to be predicted, images, text."""
        raise NotImplementedError

    def shown(self, number: int, rng: np.random.Generator) -> Shown:
        """So many samples, drawn at random, whose activity is kept; only of data whose samples have classes."""
        raise NotImplementedError

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        """Of the training samples that `evaluate` looks at, as what judges them reads them (`not_learned`)."""
        raise NotImplementedError


def chosen(n: int, most: int | None, rng: np.random.Generator) -> np.ndarray:
    """All places of n, or where there are more than `most`, as many as these, drawn at random, in order."""
    return np.arange(n) if most is None or most >= n else np.sort(rng.permutation(n)[:most])


def checked(out: Any, *shape: int) -> Tensor:
    """What a module gives, of this shape; `SpecError` where it is another."""
    if not isinstance(out, Tensor) or out.shape != shape:
        found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise SpecError(f"module.name: the module gives {found}; allowed for these inputs: a tensor of shape {shape}")
    return out
