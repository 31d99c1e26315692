"""What judges the predictions of modules that read no samples with labels: see `localdfa.data.kinds`.

Each has of an output what is not of layers: ``measures``, ``in_percent``, ``not_learned`` and ``percent``.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from localdfa import registry
from localdfa.outputs import AP, AUC, BITS, LOG_LOSS, PSNR, RMSE, SSIM, Measure, Output

# A measure of at least this part of that of the best guess that does not look at the inputs is no better than it.
_NEAR_GUESSING = 0.99


class Decisions:
    """Whether somebody did something: −⟨ln p⟩ of what was so, in nats, and the area under the ROC curve.

    AUC is the part of all pairs of one who did it and one who did not of which the former was given the larger p.
    """

    regression = spiking = False
    measures: tuple[Measure, ...] = (LOG_LOSS, AUC)
    in_percent = "test pairs in the wrong order"

    @staticmethod
    def not_learned(found: Mapping[str, float | None], target: np.ndarray) -> str | None:
        """target: 0 or 1, (n,)."""
        guessed = _entropy(np.array([np.mean(target == 0), np.mean(target == 1)]))
        return _why(found["log_loss"], guessed, "the log-loss on the training set", "of always giving its mean")

    @staticmethod
    def percent(found: Mapping[str, float]) -> float:
        return 100 * (1 - found["auc"])


class Pairs(Decisions):
    """Whether an edge joins two nodes: as `Decisions`, and the average precision.

    That is Σ_k (R_k − R_{k−1}) P_k, P_k the part of the k pairs with the largest p that an edge joins, R_k the part of all
    edges that are among them.
    """

    measures = (LOG_LOSS, AUC, AP)
    in_percent = "test edges given a smaller p than a pair without one"


class Colours:
    """Images, red, green and blue in [0, 1]: RMSE over all pixels, and PSNR and SSIM of each image, averaged over them.

    PSNR = −10 log10 of the mean squared difference, in dB. SSIM is that of Wang et al. (2004), IEEE Transactions on Image
    Processing 13:600, with their Gaussian window, standard deviation 1.5 and 11 x 11 pixels, averaged over channels and places.
    """

    regression = spiking = False
    measures = (RMSE, PSNR, SSIM)
    in_percent = "test RMSE of colours, of their range"

    @staticmethod
    def not_learned(found: Mapping[str, float | None], target: np.ndarray) -> str | None:
        """target: colours, (n, 3)."""
        guessed = math.sqrt(float(np.mean(np.var(target, axis=0, dtype=np.float64))))
        return _why(found["rmse"], guessed, "the RMSE on the training set", "of its mean colour")

    @staticmethod
    def percent(found: Mapping[str, float]) -> float:
        return 100 * found["rmse"]


class Symbols:
    """The next symbol of a text: −⟨log2 p⟩ of what it was, in bits."""

    regression = spiking = False
    measures = (BITS,)
    in_percent = "1 − the geometric mean of the probability of each next test character"

    @staticmethod
    def not_learned(found: Mapping[str, float | None], target: np.ndarray) -> str | None:
        """target: symbols by their places, (n,)."""
        guessed = _entropy(np.bincount(target) / len(target)) / math.log(2)
        return _why(found["bits"], guessed, "the bits a character of the training set", "of how often each occurs")

    @staticmethod
    def percent(found: Mapping[str, float]) -> float:
        return 100 * (1 - 2 ** -found["bits"])


# What judges the predictions of a loop of one's own, by what it predicts: an output, or what modules have in its place.
_OF_LOOPS: dict[str, Any] = {
    "labels": "softmax", "numbers": "linear", "decisions": Decisions, "pairs": Pairs, "colours": Colours, "symbols": Symbols,
}  # fmt: skip


def of_loop(predicts: str) -> Output:
    """What judges the predictions of a training loop of one's own."""
    found = _OF_LOOPS[predicts]
    judge: Output = registry.get("outputs", found) if isinstance(found, str) else found
    return judge


def _entropy(p: np.ndarray) -> float:
    """Of probabilities, in nats."""
    return -float(np.sum(p[p > 0] * np.log(p[p > 0])))


def _why(found: float | None, guessed: float, what: str, of_guessing: str) -> str | None:
    if found is None or not found >= _NEAR_GUESSING * guessed:
        return None
    return f"{what} is {found:.3f}, that {of_guessing} {guessed:.3f}"
