"""Our side: the settled mode as `localdfa run` trains with it."""

from typing import Any

import numpy as np

from localdfa import registry
from localdfa.bench.workloads import Workload, samples, setting
from localdfa.core import blas, settled
from localdfa.core.plasticity import Plasticity
from localdfa.network import build


class Ours:
    """One training step after the other."""

    def __init__(self, workload: Workload) -> None:
        blas.one_thread()
        spec = setting(workload)
        x, self.targets = samples(workload)
        self.inputs = np.ones((len(x), x.shape[1] + 1), np.float32)
        self.inputs[:, :-1] = x
        self.network = build(spec, workload.sizes[0], workload.sizes[-1], workload.seed)
        self.rule = registry.get("rules", workload.rule)(self.network, spec.phases)
        optimiser = registry.get("optimisers", spec.optimiser.name)(**spec.optimiser.parameters)
        self.plasticity = Plasticity(self.network, registry.cast(optimiser, np.float32))

    def step(self, rows: np.ndarray) -> None:
        trial = settled.free_phase(self.network, self.inputs[rows])
        change, _ = settled.post_changes(self.network, self.rule, trial, trial.prediction - self.targets[rows])
        self.plasticity.learn(trial.sent, change)

    def wait(self) -> None:
        """Every step is done when it returns."""

    def weights(self) -> list[Any]:
        return [self.network.W(l) for l in range(len(self.network.weights))]


make = Ours
