"""The shallow control: hidden layers keep their weights, and the output learns exactly."""

import numpy as np

from localdfa.core.rate.settled import FreePhase
from localdfa.rules._exact import Exact


class Frozen(Exact):
    """Δz = 0 in the hidden layers and −e at the output: what a network learns from the random features that it begins with.

    Nothing is sent back, whatever the pathway is. Where a rule for spikes trains the output, ``stage.frozen`` says the same.
    """

    own = "direct"
    pathways = (own,)
    teaches_hidden = False

    def hidden(
        self, l: int, free: FreePhase, moved: np.ndarray | None, signal: np.ndarray, change: np.ndarray
    ) -> tuple[int, None]:
        change[:] = 0
        return 0, None


model = Frozen
