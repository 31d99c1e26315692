"""Linear units with half the squared error, for numbers (regression): ŷ = a_y."""

from typing import Any

import numpy as np

from localdfa.core.compiled import device
from localdfa.outputs._kinds import Regression


class Linear(Regression):
    """Loss ½|ŷ − y|², whose derivative in a_y is e = ŷ − y."""

    @staticmethod
    def predict(neuron: Any, drive: np.ndarray) -> np.ndarray:
        return drive

    @staticmethod
    def loss(neuron: Any, drive: np.ndarray, target: np.ndarray) -> np.ndarray:
        return 0.5 * ((drive - target) ** 2).sum(axis=1)

    @staticmethod
    @device
    def predict_into(drive, prediction):
        for u in range(drive.size):
            prediction[u] = drive[u]


model = Linear
