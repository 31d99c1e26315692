"""Neurons like the hidden ones, which spike, with half the squared error, for labels: ŷ = f(a_y)."""

from typing import Any

import numpy as np

from localdfa.core.compiled import device
from localdfa.core.rate.activation import response
from localdfa.outputs._kinds import Classification


class Spikes(Classification):
    """Loss ½|ŷ − y|². Its derivative in the activity ŷ, and not in the drive, is e = ŷ − y: a teacher of the activity moves ŷ
    by −βe, one of the drive gives f'(a_y) ∘ e."""

    spiking = True

    @staticmethod
    def predict(neuron: Any, drive: np.ndarray) -> np.ndarray:
        return response(neuron, drive)

    @classmethod
    def loss(cls, neuron: Any, drive: np.ndarray, target: np.ndarray) -> np.ndarray:
        return 0.5 * ((cls.predict(neuron, drive) - target) ** 2).sum(axis=1)

    @staticmethod
    @device
    def predict_into(drive, prediction):
        for u in range(drive.size):
            prediction[u] = drive[u]


model = Spikes
