"""The peer: a plain PyTorch loop of exact DFA with torch.optim.RMSprop, on the CPU."""

from typing import Any

import numpy as np
import torch

from localdfa.bench.steps import Steps
from localdfa.bench.workloads import Workload, samples, setting, tested
from localdfa.network import build
from localdfa.outputs import error_percent


class PyTorch(Steps):
    """The loop a user of PyTorch would write: addmm, tanh, B e ∘ f', mm into .grad, optimiser.step()."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        torch.set_grad_enabled(False)
        # Of inputs that never fire the mean square decays until arithmetic on it is many times slower; ours never visits them.
        torch.set_flush_denormal(True)
        x, y = samples(workload)
        self.workload = workload
        self.inputs, self.targets = torch.from_numpy(x), torch.from_numpy(y)
        network = build(setting(workload).model_copy(update={"rule": "dfa"}), x.shape[1], y.shape[1], workload.seed)
        self.W = [torch.from_numpy(network.W(l).copy()) for l in range(len(network.weights))]
        self.b = [torch.from_numpy(network.b(l).copy()) for l in range(len(network.weights))]
        self.B = [torch.from_numpy(matrix) for matrix in network.feedback]
        for p in (*self.W, *self.b):
            p.grad = torch.zeros_like(p)
        self.optimiser = torch.optim.RMSprop([*self.W, *self.b], workload.learning_rate, alpha=0.99, eps=1e-8)

    def step(self, rows: np.ndarray) -> None:
        index = torch.from_numpy(rows)
        h, drive = self.forward(self.inputs[index])
        error = torch.sigmoid(drive) - self.targets[index]
        delta = [(error @ B.T) * (1 - a * a) for B, a in zip(self.B, h[1:], strict=True)] + [error]
        for W, b, d, a in zip(self.W, self.b, delta, h, strict=True):
            torch.mm(d.T, a, out=W.grad)
            torch.sum(d, 0, out=b.grad)
        self.optimiser.step()

    def forward(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Inputs and activities, and the drive of the output."""
        h = [x]
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            h.append(torch.tanh(torch.addmm(b, h[-1], W.T)))
        return h, torch.addmm(self.b[-1], h[-1], self.W[-1].T)

    def weights(self) -> list[Any]:
        return [W.numpy() for W in self.W]

    def error(self) -> float:
        x, labels = tested(self.workload)
        return error_percent(self.forward(torch.from_numpy(x))[1].numpy(), labels)


make = PyTorch
