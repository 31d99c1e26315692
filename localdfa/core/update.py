"""What a mini-batch teaches every synapse, whichever engine has simulated it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(kw_only=True)
class Update:
    """Σ_samples pre · post change of every projection: the direction in which its weights move, before the optimiser.

    Of each projection there are either two factors or their sum. Lists are empty where nothing was taught.
    """

    # Presynaptic activity (·, n_pre + 1) of each projection, or None where there is a sum.
    sent: list[np.ndarray | None]
    # Postsynaptic change (·, n_post) of each projection, or None where there is a sum.
    change: list[np.ndarray | None]
    # The sum itself, shaped like the weights, or None where there are factors.
    total: list[np.ndarray | None]
    # The number of events, or of spikes, that the mini-batch took.
    events: int
    # The activity of each hidden layer in the free phase, (·, n_l), or (·, n_l + 1) with a column of ones for the bias; and the
    # error e (·, n_out), from which feedback matrices may learn; empty where the engine does not tell.
    activity: list[np.ndarray] = field(default_factory=list)
    error: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    # The number of feedback events: values that are not 0 through entries of B that are not 0, in each nudged phase anew.
    feedback_events: int = 0
    # Of each hidden layer, where they are normalised: the sum by which its gain moves, (1, channels), and the
    # `core.rate.normalisation.Moments` of its drives.
    gains: list[np.ndarray] = field(default_factory=list)
    moments: list[Any] = field(default_factory=list)

    def totals(self) -> list[np.ndarray]:
        """The sums of all projections, each shaped like its weights."""
        factors = zip(self.sent, self.change, strict=True)
        return [s.T @ c if t is None else t for (s, c), t in zip(factors, self.total, strict=True)]  # type: ignore[union-attr]
