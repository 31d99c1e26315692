"""What outputs that are taught labels have in common, and those that are taught numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from localdfa.core.compiled import device
from localdfa.outputs import RMSE, Measure, decisions, error_percent, one_hot

# A training error of at least this part of that of guessing is no better than it.
_NEAR_CHANCE = 0.9
# With an R² below this, predictions are no better than the mean of the targets.
_NEAR_MEAN = 0.01


class _Difference:
    """e = ŷ − y."""

    spiking = False

    @staticmethod
    def error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        return prediction - target

    @staticmethod
    @device
    def error_into(prediction, target, error):
        for u in range(error.size):
            error[u] = prediction[u] - target[u]


class Classification(_Difference):
    """Labels, as one-hot targets, and the percentage of samples of which another class is chosen, or none: the class of the
    largest output is, where no other is as large."""

    regression = False
    measures = (Measure("error", "error", "%"),)
    in_percent = "test error"

    @staticmethod
    def targets(y: np.ndarray, n_out: int, dtype: npt.DTypeLike) -> np.ndarray:
        return one_hot(y, n_out, dtype)

    @staticmethod
    def tally(neuron: Any, drive: np.ndarray, target: np.ndarray) -> float:
        return len(drive) * error_percent(drive, target.argmax(axis=1))

    @staticmethod
    def measured(total: float, target: np.ndarray) -> dict[str, float]:
        return {"error": total / len(target)}

    @staticmethod
    def not_learned(found: Mapping[str, float], target: np.ndarray) -> str | None:
        guessed = 100 * (1 - float(np.bincount(target.argmax(axis=1)).max()) / len(target))
        if found["error"] < _NEAR_CHANCE * guessed:
            return None
        return f"the training error is {found['error']:.1f} %, that of guessing {guessed:.1f} %"

    @staticmethod
    def percent(found: Mapping[str, float]) -> float:
        return found["error"]

    @staticmethod
    def outcome(neuron: Any, drive: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        return {"label": y, "prediction": decisions(drive)}


class Regression(_Difference):
    """Numbers, and how far off predictions are: RMSE = √⟨(ŷ − y)²⟩ over samples and outputs, in the targets' unit, and R².

    R² = 1 − Σ (ŷ − y)²/Σ (y − ⟨y⟩)² of each output, with sums and ⟨y⟩ over the samples that are measured, averaged over the
    outputs of which y is not the same in all samples: 1 at best, 0 for the mean, NaN where no output has one.
    """

    regression = True
    measures = (RMSE, Measure("r2", "R²"))
    in_percent = "unexplained test variance"

    @staticmethod
    def targets(y: np.ndarray, n_out: int, dtype: npt.DTypeLike) -> np.ndarray:
        return y.astype(dtype)

    @classmethod
    def tally(cls, neuron: Any, drive: np.ndarray, target: np.ndarray) -> np.ndarray:
        away = cls.predict(neuron, drive).astype(np.float64) - target
        return np.square(away).sum(axis=0)

    @staticmethod
    def predict(neuron: Any, drive: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @staticmethod
    def measured(total: np.ndarray, target: np.ndarray) -> dict[str, float]:
        y = target.astype(np.float64)
        spread = np.square(y - y.mean(axis=0)).sum(axis=0)
        varies = np.ptp(y, axis=0) > 0
        r2 = float(np.mean(1 - total[varies] / spread[varies])) if varies.any() else float("nan")
        return {"rmse": float(np.sqrt(total.sum() / target.size)), "r2": r2}

    @staticmethod
    def not_learned(found: Mapping[str, float | None], target: np.ndarray) -> str | None:
        r2 = found["r2"]
        if r2 is None or not r2 < _NEAR_MEAN:
            return None
        return f"R² on the training set is {r2:.3f}, that of predicting its mean 0"

    @staticmethod
    def percent(found: Mapping[str, float]) -> float:
        """The part of the targets' variance that is not explained."""
        return 100 * (1 - found["r2"])

    @classmethod
    def outcome(cls, neuron: Any, drive: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        return {"target": y, "prediction": cls.predict(neuron, drive)}
