"""Outputs, one file each: what a network predicts, what it is taught towards, and how far off it is.

An output is a class, ``model``, of static functions. a_y is the drive of the output units, ŷ their prediction, y their targets
and e the error, which feedback brings to the hidden layers; each (m, n_out) of m samples.

- ``predict(neuron, drive)``: ŷ of a_y; neuron: the parameters of the hidden neurons, of which an output that spikes is made.
- ``loss(neuron, drive, target)``: of each sample, (m,).
- ``error(prediction, target)``: e, the derivative of the loss in a_y.
- ``predict_into(drive, prediction)`` and ``error_into(prediction, target, error)``: the same of one sample, arrays (n_out,), as
  the compiled kernels of simulated trials do it; written with `localdfa.core.compiled.device`, and right where the result goes
  where ŷ, or a_y, stands.
- ``spiking``: whether the units are neurons like the hidden ones, which spike, instead of integrating what reaches them. In a
  simulated trial their drive then stands for the activity that their trace shows, which ``predict_into`` gets.

What is left, `Classification` and `Regression` have in common for all outputs of one kind:

- ``regression``: whether it is taught numbers, and not labels.
- ``targets(y, n_out, dtype)``: of each sample (n, n_out), from the labels (n,) or the numbers (n, n_out) of a data set.
- ``measures``: what is measured of predictions, each a `Measure`. The first is an error, which is 0 at best: figures draw it.
- ``tally(neuron, drive, target)``: what is added up over mini-batches, and ``measured(total, target)``: the measures, by their
  keys, from that sum and all targets.
- ``not_learned(found, target)``: why the training set, of which this was measured, is predicted no better than by guessing;
  None where it is. What is undefined is None, as in the rows that a run keeps, or NaN.
- ``percent(found)``: these measures as one error in percent, ``in_percent`` its name: a certificate compares by it.
- ``outcome(neuron, drive, y)``: what a run keeps of the test set, as arrays.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from localdfa import interface, registry

_NEEDED: interface.Hooks = {
    "predict": ("neuron", "drive"), "loss": ("neuron", "drive", "target"), "error": ("prediction", "target"),
    "predict_into": ("drive", "prediction"), "error_into": ("prediction", "target", "error"), "spiking": None,
    "regression": None, "targets": ("y", "n_out", "dtype"), "measures": None, "tally": ("neuron", "drive", "target"),
    "measured": ("total", "target"), "not_learned": ("found", "target"), "percent": ("found",), "in_percent": None,
    "outcome": ("neuron", "drive", "y"),
}  # fmt: skip


def wrong(model: Any) -> list[str]:
    """What of a model is not as written above; see `registry.wrong`."""
    return interface.wrong(model, _NEEDED, {})


class Measure(NamedTuple):
    """What is measured of predictions on a part of the data.

    key: of its column of the metrics, after the part, as in ``train_error``. name: in words. unit: empty for that of the
    targets, or none. decimals: as many as tell two values apart.
    """

    key: str
    name: str
    unit: str = ""
    decimals: int = 2

    @property
    def label(self) -> str:
        """Of an axis or a column."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def written(self, value: float | None, spread: float | None = None) -> str:
        """A value, and its standard deviation behind it; in a unit of the user's own with digits however small it is."""
        if value is None or not math.isfinite(value):
            return "–"
        form = f".{self.decimals}f"
        if self.unit != "%" and 0 < (larger := max(abs(value), abs(spread or 0.0))) < 0.1:
            form = ".2e" if larger < 1e-5 else f".{max(self.decimals, 2 - math.floor(math.log10(larger)))}f"
        return f"{value:{form}}" + ("" if spread is None else f" ± {spread:{form}}")

    def said(self, value: float | None) -> str:
        """A value in a line of text, as 12.34 %, or RMSE 0.71."""
        return f"{self.written(value)} {self.unit}" if self.unit else f"{self.name} {self.written(value)}"


RMSE = Measure("rmse", "RMSE")
LOG_LOSS = Measure("log_loss", "log-loss", decimals=4)
AUC, AP = Measure("auc", "AUC", decimals=4), Measure("ap", "average precision", decimals=4)
PSNR, SSIM = Measure("psnr", "PSNR", "dB"), Measure("ssim", "SSIM")
BITS = Measure("bits", "bits a character")
# What is measured of modules alone, besides what is measured of outputs as well.
OF_MODULES = (LOG_LOSS, AUC, AP, PSNR, SSIM, BITS)


def named(**attributes: bool) -> str:
    """The names of outputs that have these attributes, for messages."""
    of_these = registry.having("outputs", lambda model: all(getattr(model, k) == v for k, v in attributes.items()))
    return ", ".join(map(repr, of_these))


class Output(Protocol):
    """An output as the rest of localdfa sees it; what its attributes and functions are stands above."""

    spiking: bool
    regression: bool
    measures: tuple[Measure, ...]
    in_percent: str

    def __hash__(self) -> int: ...

    def predict(self, neuron: Any, drive: np.ndarray) -> np.ndarray: ...

    def loss(self, neuron: Any, drive: np.ndarray, target: np.ndarray) -> np.ndarray: ...

    def error(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray: ...

    def predict_into(self, drive: np.ndarray, prediction: np.ndarray) -> None: ...

    def error_into(self, prediction: np.ndarray, target: np.ndarray, error: np.ndarray) -> None: ...

    def targets(self, y: np.ndarray, n_out: int, dtype: npt.DTypeLike) -> np.ndarray: ...

    def tally(self, neuron: Any, drive: np.ndarray, target: np.ndarray) -> Any: ...

    def measured(self, total: Any, target: np.ndarray) -> dict[str, float]: ...

    def not_learned(self, found: Mapping[str, float | None], target: np.ndarray) -> str | None: ...

    def percent(self, found: Mapping[str, float]) -> float: ...

    def outcome(self, neuron: Any, drive: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]: ...


def measures() -> dict[str, Measure]:
    """The measures of all outputs by their keys, those of labels first, and then those of modules alone."""
    return _measures(tuple(registry.names("outputs")))


@cache
def _measures(names: tuple[str, ...]) -> dict[str, Measure]:
    """The same, of the outputs that there are: each row of metrics asks for them, and further outputs may be taken in."""
    models = sorted((registry.get("outputs", name) for name in names), key=lambda model: model.regression)
    return {measure.key: measure for measures in (*(model.measures for model in models), OF_MODULES) for measure in measures}


def of_module(reads: type) -> Output:
    """What judges the predictions of a module, by the kind of data that it reads: samples and nodes have labels, others say."""
    found: Output = getattr(reads, "output", None) or registry.get("outputs", "softmax")
    return found


def one_hot(labels: np.ndarray, n_out: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Targets (n, n_out): 1 for the label of each sample (n,), 0 for all other classes."""
    targets = np.zeros((len(labels), n_out), dtype)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def decisions(drive: np.ndarray) -> np.ndarray:
    """The class of the largest output of each sample, −1 where several share it: drive (m, n_out), result (m,), int64."""
    largest = drive.max(axis=1, keepdims=True)
    return np.where((drive == largest).sum(axis=1) == 1, drive.argmax(axis=1), -1)


def error_percent(drive: np.ndarray, labels: np.ndarray) -> float:
    """Percentage of samples whose largest output is not their label's, or shared by others: drive (m, n_out), labels (m,)."""
    return 100 * float(np.mean(decisions(drive) != labels))
