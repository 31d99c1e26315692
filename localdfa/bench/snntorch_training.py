"""The peer: back-propagation through time with surrogate gradients in snnTorch, on a clock, on the CPU."""

import math
from collections.abc import Iterator

import numpy as np
import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn

from localdfa import registry
from localdfa.bench.steps import Steps
from localdfa.bench.training import DT, Training, setting
from localdfa.bench.workloads import samples


class SNNTorch(Steps):
    """The loop a user of snnTorch would write: `snn.Leaky` step by step, the cross-entropy of the readout's mean membrane.

    The pixels are constant, so their product with the weights is taken once a trial, where tutorials take it in every step.
    """

    def __init__(self, work: Training) -> None:
        super().__init__(work)
        torch.set_num_threads(work.threads)
        x, targets = samples(work)
        self._inputs, self._labels = torch.from_numpy(x), torch.from_numpy(targets.argmax(axis=1))
        given = setting(work)
        neuron = registry.get("neurons", given.network.neuron)(**given.neuron)
        n_in, n_hidden, n_out = work.sizes
        self._hidden, self._output = nn.Linear(n_in, n_hidden), nn.Linear(n_hidden, n_out)
        self._leaky = snn.Leaky(
            math.exp(-DT / neuron.tau_m), neuron.v_th, surrogate.fast_sigmoid(), reset_mechanism="zero",
            graded_spikes_factor=neuron.gain / DT,
        )  # fmt: skip
        self._readout = snn.Leaky(math.exp(-DT / given.trace.tau_x), reset_mechanism="none")
        self._baseline, self._steps, self._free = neuron.baseline, round(work.duration / DT), round(given.phases.free / DT)
        parameters = [*self._hidden.parameters(), *self._output.parameters()]
        self._optimiser = torch.optim.RMSprop(parameters, given.optimiser.parameters["learning_rate"], alpha=0.99)

    def _trial(self, x: torch.Tensor, steps: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Of every step the spikes (m, n_hidden), of the size gain/DT, and the membrane of the readout (m, n_out)."""
        current = (1 - self._leaky.beta) * (self._hidden(x) + self._baseline)
        v, read = torch.zeros_like(current), torch.zeros(len(x), self._output.out_features)
        for _ in range(steps):
            spikes, v = self._leaky(current, v)
            _, read = self._readout((1 - self._readout.beta) * self._output(spikes), read)
            yield spikes, read

    def step(self, rows: np.ndarray) -> None:
        index = torch.from_numpy(rows)
        seen = torch.stack([read for _, read in self._trial(self._inputs[index], self._steps)])
        loss = nn.functional.cross_entropy(seen.mean(0), self._labels[index])
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()

    def take(self, weights: list[np.ndarray]) -> None:
        """Take weights as ours has them."""
        with torch.no_grad():
            for layer, found in zip((self._hidden, self._output), weights, strict=True):
                layer.weight.copy_(torch.from_numpy(found[:-1].T))
                layer.bias.copy_(torch.from_numpy(found[-1]))

    def rates(self, n: int) -> np.ndarray:
        """Rates of the hidden layer in the free phase of the first n samples, Hz (n, n_hidden)."""
        with torch.no_grad():
            sent = [spikes > 0 for spikes, _ in self._trial(self._inputs[:n], self._free)]
        return 1e3 / DT * torch.stack(sent).float().mean(0).numpy()


make = SNNTorch
