"""What is predicted of each test sample, and its label or target, after training."""

from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.recorders._recorder import Recorder

if TYPE_CHECKING:
    from localdfa.recording import Trained


class Outcome(Recorder):
    """label and prediction, the class of the largest output, −1 where several share it; of a regression target and prediction,
    numbers (n, n_out)."""

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        network = trained.network
        found: dict[str, np.ndarray] = network.output.outcome(network.neuron, trained.drives("test"), trained.parts["test"].y)
        return found


model = Outcome
