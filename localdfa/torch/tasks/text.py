"""A text, of which the next symbol is predicted."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data.kinds import Text
from localdfa.errors import DataError, SpecError, quoted
from localdfa.torch.tasks._task import Batch, Measured, Task, checked, chosen

# Symbols that are predicted at once.
_CHUNK = 2**14
# Symbols that a trained module writes, and the seed of the numbers that it draws them with.
_WRITTEN, _SEED = 600, 1616


class TextTask(Task):
    """Inputs (m, context), symbols; outputs (m, context, n_symbols), logits of the symbol after each; cross-entropy.

    context: how many symbols the module sees, its attribute. A mini-batch has batch_size windows of the training text at
    random, an epoch as many as cover it once. Samples are symbols that are predicted. Measures are of windows that follow each
    other; the symbols behind the last whole one of them are left out.
    """

    def __init__(self, data: Text, model: nn.Module, batch_size: int, dtype: torch.dtype, device: str) -> None:
        super().__init__(data, model, batch_size, dtype, device)
        self._context, self._batch_size, self._symbols = _context(model), batch_size, data.symbols
        self._parts = {"train": data.train, "valid": data.valid, "test": data.test}
        for name, part in self._parts.items():
            if 0 < len(part) <= self._context:
                raise DataError(
                    f"{name}: a text of {len(part)} symbols, of which the module sees {self._context} at once; allowed: more"
                )

    @staticmethod
    def of_epoch(data: Text, model: Callable[[], nn.Module]) -> int:
        context = _context(model())
        return _windows(data.train, context) * context

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        starts = self._anywhere(self._windows("train"), rng)
        for start in range(0, len(starts), self._batch_size):
            yield self._batch("train", starts[start : start + self._batch_size])

    def probe(self, number: int, rng: np.random.Generator) -> Batch:
        windows = min(max(1, number // self._context), self._windows("train"))
        return self._batch("train", self._anywhere(windows, rng))

    def loss(self, out: Any, target: Tensor) -> Tensor:
        out = checked(out, *target.shape, len(self._symbols))
        return functional.cross_entropy(out.flatten(0, 1), target.flatten())

    def _measured(self, model: nn.Module, part: str, most: int | None, rng: np.random.Generator) -> Measured:
        starts = self._chosen(part, most, rng)
        if not len(starts):
            return {}
        total, chunk = 0.0, max(1, _CHUNK // self._context)
        for start in range(0, len(starts), chunk):
            batch = self._batch(part, starts[start : start + chunk])
            total += self.loss(model(*batch.inputs).double(), batch.target).item() * batch.samples
        loss = total / (len(starts) * self._context)
        return {"bits": loss / math.log(2), "loss": loss}

    def outcome(self, model: nn.Module) -> dict[str, np.ndarray]:
        """sample: what the module writes where the test text has begun with prompt, both as places in symbols.

        Each symbol is drawn with the probability that is predicted for it, by a generator of its own with a fixed seed.
        """
        generator = torch.Generator().manual_seed(_SEED)
        prompt = self._parts["test"][: self._context]
        written = torch.from_numpy(prompt)
        for _ in range(_WRITTEN):
            seen = written[-self._context :][None].to(self.device)
            logit = checked(model(seen), 1, self._context, len(self._symbols))[0, -1].cpu().double()
            written = torch.cat([written, torch.multinomial(logit.softmax(0), 1, generator=generator)])
        return {"sample": written[len(prompt) :].numpy(), "prompt": prompt, "symbols": np.array(self._symbols)}

    def targets(self, most: int | None, rng: np.random.Generator) -> np.ndarray:
        return self._batch("train", self._chosen("train", most, rng)).target.flatten().cpu().numpy()

    def _windows(self, part: str) -> int:
        """How many there are in a part."""
        return _windows(self._parts[part], self._context)

    def _chosen(self, part: str, most: int | None, rng: np.random.Generator) -> np.ndarray:
        """Where windows that follow each other begin: all, or so many that about as many symbols as `most` are predicted."""
        number = None if most is None else max(1, most // self._context)
        return self._context * chosen(self._windows(part), number, rng)

    def _anywhere(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Where so many windows begin, which may be at any symbol of the training text."""
        return rng.integers(0, len(self._parts["train"]) - self._context, number)

    def _batch(self, part: str, starts: np.ndarray) -> Batch:
        places = starts[:, None] + np.arange(self._context + 1)
        windows = torch.from_numpy(self._parts[part][places])
        return Batch((windows[:, :-1],), windows[:, 1:], len(starts) * self._context).to(self.device)


def _windows(symbols: np.ndarray, context: int) -> int:
    """How many whole windows follow each other, of each symbol of which the next one is known."""
    return max(0, len(symbols) - 1) // context


def _context(model: nn.Module) -> int:
    """How many symbols a module sees at once."""
    context = getattr(model, "context", None)
    if not isinstance(context, int) or context < 1:
        raise SpecError(f"module.name: its attribute `context` is {quoted(context)}; allowed: how many symbols it sees, from 1")
    return context
