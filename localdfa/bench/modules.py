"""Training steps of modules of PyTorch under the rules of `localdfa.torch`, beside plain back-propagation."""

from itertools import pairwise
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localdfa.bench.compare import spread
from localdfa.crosscheck.pytorch.device import device as found_device
from localdfa.torch import Learner, feedback

# The first side is `loss.backward()` without any learner; the others are the rules of one.
SIDES = ("plain", "bp", "shallow", "dfa", "local")


class Convolutional(nn.Module):
    """Three convolutions of 32, 64 and 64 channels, as in Launay et al. 2019, with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 32), (32, 64), (64, 64))
        self.convs = nn.ModuleList(nn.Conv2d(n_in, n_out, 5, padding=2) for n_in, n_out in sizes)
        self.acts = nn.ModuleList(nn.ReLU() for _ in sizes)
        self.dense, self.act, self.head = nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        for conv, act in zip(self.convs, self.acts, strict=True):
            x = act(F.max_pool2d(conv(x), 2))
        return self.head(self.act(self.dense(x.flatten(1))))


class FeedForward(nn.Module):
    """The feed-forward parts of a transformer of six blocks, 256 wide, for 128 tokens a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ModuleList(nn.Linear(256, 1024) for _ in range(6))
        self.inner = nn.ModuleList(nn.GELU() for _ in range(6))
        self.down = nn.ModuleList(nn.Linear(1024, 256) for _ in range(6))
        self.outer = nn.ModuleList(nn.GELU() for _ in range(6))
        self.head = nn.Linear(256, 65)

    def forward(self, x: Tensor) -> Tensor:
        for up, inner, down, outer in zip(self.up, self.inner, self.down, self.outer, strict=True):
            x = outer(down(inner(up(x))))
        return self.head(x)


def _dense() -> nn.Module:
    sizes = (784, 800, 800)
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(800, 10))


# Of each: a module, its taps, the shapes of a mini-batch of inputs and of labels, and how many labels there are.
MODULES: dict[str, tuple[Any, tuple[str, ...], tuple[int, ...], tuple[int, ...], int]] = {
    "784-800-800-10, tanh, batch 128": (_dense, ("1", "3"), (128, 784), (128,), 10),
    "3 convolutions, ReLU, batch 128": (
        Convolutional, ("acts.0", "acts.1", "acts.2", "act"), (128, 3, 32, 32), (128,), 10,
    ),
    "6 feed-forward blocks, GELU, 8 × 128 tokens": (
        FeedForward, tuple(f"{part}.{k}" for k in range(6) for part in ("inner", "outer")), (8, 128, 256), (8, 128), 65,
    ),
}  # fmt: skip


class Steps:
    """One module under one rule, with Adam."""

    def __init__(self, name: str, side: str, device: str) -> None:
        make, taps, shape, labels, n_out = MODULES[name]
        where = found_device(device)
        torch.manual_seed(0)
        self._model = make().to(where)
        self._x, self._y = torch.randn(shape, device=where), torch.randint(n_out, labels, device=where)
        self._learner: Learner | None = None if side == "plain" else feedback(self._model, self._x, taps, side)
        self._optimiser = torch.optim.Adam(self._model.parameters(), 1e-4)

    def steps(self, n: int) -> float:
        """Seconds that n steps take."""
        began = perf_counter()
        for _ in range(n):
            self._optimiser.zero_grad()
            loss = F.cross_entropy(self._model(self._x).flatten(0, -2), self._y.flatten())
            if self._learner is None:
                loss.backward()
            else:
                self._learner.backward(loss)
            self._optimiser.step()
        if self._x.is_cuda:
            torch.cuda.synchronize()
        return perf_counter() - began


def measure(turns: int, device: str, n: int = 10) -> list[dict[str, Any]]:
    """Milliseconds a step of each side, in turn, and its time over that of plain back-propagation, turn by turn."""
    results = []
    for name in MODULES:
        steps = {side: Steps(name, side, device) for side in SIDES}
        for each in steps.values():
            each.steps(3)
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(turns):
            for side, each in steps.items():
                seconds[side].append(each.steps(n))
        ratios = {
            side: spread([a / b for a, b in zip(times, seconds["plain"], strict=True)]) for side, times in seconds.items()
        }
        milliseconds = {side: 1e3 * median(times) / n for side, times in seconds.items()}
        results.append({"module": name, "milliseconds": milliseconds, "ratio": ratios})
    return results
