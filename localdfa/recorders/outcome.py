"""Label and predicted class of each test sample, after training."""

from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.recorders._recorder import Recorder

if TYPE_CHECKING:
    from localdfa.recording import Trained


class Outcome(Recorder):
    """label and prediction, the class of the largest output, −1 where several share it, of each test sample."""

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        return {"label": trained.parts["test"].labels, "prediction": trained.decisions("test")}


model = Outcome
