"""Softmax units with cross-entropy, for labels: ŷ = exp(a_y)/Σ exp(a_y)."""

import math
from typing import Any

import numpy as np

from localdfa.core.compiled import device
from localdfa.outputs._kinds import Classification


class Softmax(Classification):
    """Loss −Σ y ln ŷ, whose derivative in a_y is e = ŷ − y where the targets add up to 1."""

    @staticmethod
    def predict(neuron: Any, drive: np.ndarray) -> np.ndarray:
        raised = np.exp(drive - drive.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    @staticmethod
    def loss(neuron: Any, drive: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.logaddexp.reduce(drive, axis=1) - (drive * target).sum(axis=1)

    @staticmethod
    @device
    def predict_into(drive, prediction):
        largest, total = -np.inf, 0.0
        for u in range(drive.size):
            largest = max(largest, drive[u])
        for u in range(drive.size):
            prediction[u] = math.exp(drive[u] - largest)
            total += prediction[u]
        for u in range(drive.size):
            prediction[u] /= total


model = Softmax
