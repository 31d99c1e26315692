"""Weights that learn: what an optimiser remembers of every synapse, and how it changes the weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from localdfa.core.rate import updates
from localdfa.core.rate.updates import Synapses
from localdfa.core.update import Update


class Plasticity:
    """An optimiser and its memory of the synapses of all projections. The weights themselves belong to the network.

    weights: those of the network, of whose shapes and dtype the memory is, and then the gains of its layers where these are
    normalised, which no projection has. weight_decay: λ, which adds λ w to the gradient of every weight that is no bias and no
    gain. undecayed: of each projection how many of its last rows do not decay; biases, which are one, by default.
    """

    def __init__(
        self, weights: Sequence[np.ndarray], optimiser: Any, weight_decay: float = 0.0, undecayed: Sequence[int] | None = None
    ) -> None:
        self._kernels = updates.kernels(optimiser.__class__)
        self._weight_decay = weights[0].dtype.type(weight_decay)
        # Whether a presynaptic neuron without activity needs no visit.
        self._skips_silent = optimiser.rests and weight_decay == 0
        self.optimiser = optimiser
        left_out = [1] * len(weights) if undecayed is None else undecayed
        self._n_decaying = [len(w) - rows for w, rows in zip(weights, left_out, strict=True)]
        # Of each projection the number of its updates so far, without those while it was frozen.
        self.steps = [0] * len(weights)
        # Of each projection what the optimiser remembers of each synapse, (n_pre + 1, n_state, n_post).
        self.state = [np.zeros((w.shape[0], optimiser.n_state, w.shape[1]), w.dtype) for w in weights]
        # Of each projection the number of the update that each presynaptic neuron's synapses had last, (n_pre + 1,).
        self.last = [np.zeros(w.shape[0], np.int64) for w in weights]

    def learn(self, weights: Sequence[np.ndarray], update: Update, frozen: frozenset[int] = frozenset()) -> None:
        """Change the weights of every projection that is not frozen, in place, by what a mini-batch teaches.

        frozen: indices of projections, and of gains, which are counted on from these.
        """
        totals = [*update.total, *update.gains]
        for q, w in enumerate(weights):
            if q in frozen:
                continue
            self.steps[q] += 1
            synapses = Synapses(weights=w, state=self.state[q], last=self.last[q], n_decaying=self._n_decaying[q])
            total = totals[q]
            if total is not None:
                self._kernels.from_sum(self.optimiser, self._weight_decay, total, synapses, self.steps[q])
                continue
            sent, change = update.sent[q], update.change[q]
            assert sent is not None
            if self._skips_silent and not len(sent):
                continue
            rows = updates.active(sent) if self._skips_silent else np.arange(sent.shape[1])
            rows = rows[rows < len(w)]  # a matrix without biases does not learn from the activity of the bias
            self._kernels.from_factors(self.optimiser, self._weight_decay, sent, rows, change, synapses, self.steps[q])
