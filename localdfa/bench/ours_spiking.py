"""Our side of spiking trials: mini-batches of `localdfa.core.spiking.batch.simulate`."""

import time
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from localdfa import registry
from localdfa.bench.trials import Trials, network, sample, setting
from localdfa.core import blas
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.spiking import batch as spikes

if TYPE_CHECKING:
    from localdfa.network import Network


class Ours:
    """Trials on some threads, each of which takes whole trials."""

    def __init__(self, work: Trials, threads: int, error: None = None) -> None:
        blas.one_thread()
        numba.set_num_threads(threads)
        self._work, self._setting = work, setting(work)
        self._network = network(work, self._setting)
        inputs, target = sample(work, work.trials)
        self._inputs, self._target = inputs, target if work.plastic else None
        if work.online:
            # Weights that change between trials are others than those that trials begin with, which are the same for all.
            self._changing = [w.copy() for w in self._network.weights]
            self._plasticity = Plasticity(self._changing, registry.get("optimisers", "sgd")(np.float32(work.online)))

    def build(self) -> float:
        """Run a first mini-batch; returns the seconds that takes with compilation."""
        return self.turn() * self._work.trials

    def turn(self) -> float:
        """Run a mini-batch; returns its seconds a trial."""
        began = time.perf_counter()
        if self._work.online:
            for s in range(self._work.trials):
                self._learn(s)
        else:
            self._last = spikes.simulate(self._network, self._setting, self._inputs, self._target)
        return (time.perf_counter() - began) / self._work.trials

    def _learn(self, s: int) -> None:
        """Trial s while weights change, and what it leaves of that for the next one."""
        assert self._target is not None
        rates = [self._work.online] * len(self._network.projections)
        self._last = spikes.simulate(self._network, self._setting, self._inputs[[s]], self._target[[s]], rates=rates)
        self._plasticity.learn(self._changing, self._last)

    def spikes(self) -> float:
        """Spikes of a trial."""
        return self._last.events / (1 if self._work.online else self._work.trials)

    def error(self) -> list[float]:
        """ŷ − y at the end of the free phase."""
        return (self._last.prediction[0] - sample(self._work, 1)[1][0]).tolist()

    def first(self, free: float) -> list[list[float]]:
        """When each neuron of each hidden layer spikes first, if in the first `free` ms; else infinite."""
        inputs, _ = sample(self._work, 1)
        trial = spikes.record(self._network, setting(self._work, free), inputs[0])
        return first_spikes([(events["time"], events["neuron"]) for events in trial.spikes], self._network)


def first_spikes(trains: list[Any], network: "Network") -> list[list[float]]:
    """The first spike of each neuron, or infinity; trains: (times, neurons) of each hidden layer."""
    found = [np.full(n, np.inf) for n in network.sizes[1:-1]]
    for first, (times, neurons) in zip(found, trains, strict=False):
        np.minimum.at(first, neurons.astype(int), times)
    return [first.tolist() for first in found]


make = Ours
