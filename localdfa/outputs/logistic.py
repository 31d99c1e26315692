"""Logistic units with binary cross-entropy, for labels: ŷ = 1/(1 + exp(−a_y))."""

import math
from typing import Any

import numpy as np

from localdfa.core.compiled import device
from localdfa.outputs._kinds import Classification


class Logistic(Classification):
    """Loss −Σ y ln ŷ + (1 − y) ln(1 − ŷ), whose derivative in a_y is e = ŷ − y (Nøkland 2016, eq. 3–5)."""

    @staticmethod
    def predict(neuron: Any, drive: np.ndarray) -> np.ndarray:
        return 0.5 * (1 + np.tanh(0.5 * drive))

    @staticmethod
    def loss(neuron: Any, drive: np.ndarray, target: np.ndarray) -> np.ndarray:
        return (np.logaddexp(0, drive) - drive * target).sum(axis=1)

    @staticmethod
    @device
    def predict_into(drive, prediction):
        for u in range(drive.size):
            prediction[u] = 0.5 * (1 + math.tanh(0.5 * drive[u]))


model = Logistic
