"""Weights that learn: what the optimiser remembers of every synapse, and the update of a mini-batch."""

from typing import Any

import numpy as np

from localdfa.core import kernels


class Plasticity:
    """The optimiser's memory of a network's synapses.

    state: for each projection (n_pre + 1, n_state, n_post); last: for each presynaptic neuron the projection's update that it
    last had; steps: for each projection the number of its updates so far, those while it is frozen left out.
    """

    def __init__(self, network: Any, optimiser: Any, weight_decay: float = 0.0) -> None:
        self._from_factors, self._from_sum = kernels.learning(optimiser.__class__)
        self._network = network
        self._weight_decay = network.dtype.type(weight_decay)
        self._rests = optimiser.rests and weight_decay == 0
        self.optimiser = optimiser
        self.steps = [0] * len(network.weights)
        self.state = [np.zeros((w.shape[0], optimiser.n_state, w.shape[1]), w.dtype) for w in network.weights]
        self.last = [np.zeros(w.shape[0], np.int64) for w in network.weights]

    def learn(self, sent: list, change: list, frozen: frozenset[int] = frozenset(), total: list | None = None) -> None:
        """ΔW ∝ Σ_samples change · sentᵀ for every projection that is not frozen.

        sent: presynaptic activity (m, n_pre + 1); change: postsynaptic change (m, n_post); frozen: indices of layers. Where
        `total` has an array, (n_pre + 1, n_post), it is that sum, and sent and change are not read.
        """
        for l, weights in enumerate(self._network.weights):
            if l in frozen:
                continue
            self.steps[l] += 1
            memory = weights, self.state[l], self.last[l], self.steps[l]
            if total is not None and total[l] is not None:
                self._from_sum(self.optimiser, self._weight_decay, total[l], *memory)
                continue
            if self._rests and not len(sent[l]):
                continue
            rows = kernels.active(sent[l]) if self._rests else np.arange(sent[l].shape[1])
            self._from_factors(self.optimiser, self._weight_decay, sent[l], rows, change[l], *memory)
