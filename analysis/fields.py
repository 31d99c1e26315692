"""Receptive fields: the weights from the inputs to single neurons of the first hidden layer, as images.

Reads the weights that a finished run keeps, and the shape of one sample from run.json.
"""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from localdfa.analysis import _kept, _many, style
from localdfa.errors import RunError
from localdfa.geometry import seen
from localdfa.record import Run
from localdfa.spec import Convolution, Setting

TITLE, SECTION = "Receptive fields", "weights"

_MOST, _ABREAST = 16, 4


def caption(run: Run) -> str:
    """What to see, and which neurons are drawn."""
    widths = {len(job.weights["W1"]) for job in run.jobs if job.keeps("weights")} or {_MOST}
    numbers = [min(least, _MOST) for least in (min(widths), max(widths))]
    number = " to ".join(map(str, dict.fromkeys(numbers)))
    kernels = any(isinstance(setting.network.hidden[0], Convolution) for setting in run.settings.values())
    drawn = "neuron or kernel" if kernels else "neuron"
    largest = " with the largest" if max(widths) > _MOST else ""
    return (
        f"Receptive fields after training: the weights from the inputs to the {number} "
        f"{drawn}{'s' * (number != '1')} of the first hidden layer{largest}, "
        f"laid out as {run.experiment.data} has its inputs; {_seeds(run)}. Blue weights "
        "are negative, red are positive, white ones are zero; of inputs in colour, grey is zero. "
        f"{_begun(run)}{_many.said(len(run.settings))}"
    )


def _begun(run: Run) -> str:
    """What the weights were before training, and so what of them is learned."""
    zero = [name for name, setting in run.settings.items() if setting.initial_weights == "zero"]
    taken = [name for name, setting in run.settings.items() if setting.network.from_run is not None]
    random = [name for name in run.settings if name not in (*zero, *taken)]
    if not zero and not taken:
        return "Smooth structure is learned, noise is what training started from."
    if not random and not taken:
        return "Training started from zero, so all that is seen is learned."
    parts = {"from zero, so that all that is seen is learned": zero, "from random weights, which are the noise": random}
    parts["from the weights of another run"] = taken
    return "Training started " + "; ".join(f"{how}: {', '.join(names)}" for how, names in parts.items() if names) + "."


def _field(setting: Setting, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the inputs that a neuron of the first hidden layer has: all, or those of a kernel; shape: of a sample."""
    first = setting.network.hidden[0]
    return (shape[0], first.kernel, first.kernel) if isinstance(first, Convolution) else seen(setting, shape)


def _seeds(run: Run) -> str:
    """Whose weights are drawn: the first seed of each condition that has them."""
    first = {job.condition: job.seed for job in reversed(run.jobs) if job.keeps("weights")}
    seeds = sorted({*first.values()}) or run.experiment.seeds[:1]
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def figure(run: Run) -> style.Figure:
    """One panel for each condition, a mosaic of images.

    Raises
    ------
    RunError
        No condition and seed is finished, or the samples are no images.
    """
    shape = run.info.get("shape")
    if not (isinstance(shape, list) and len(shape) == 3 and shape[0] in (1, 3)):
        raise RunError(f"{run.folder}: its samples are no images, shape (1 or 3, height, width), which the figure fields needs")
    kept = list(_kept.first(_kept.jobs(run, "weights", "fields")).items())[: _many.MOST]
    weights = {name: job.weights["W1"] for name, job in kept}
    fields = {name: _largest(w).reshape(-1, *_field(run.settings[name], tuple(shape))) for name, w in weights.items()}
    limit = max(float(np.abs(each).max()) for each in fields.values()) or 1.0
    rows = math.ceil(len(fields) / _ABREAST)
    columns = math.ceil(len(fields) / rows)
    width = style.ONE_COLUMN if columns == 1 else style.TWO_COLUMNS
    most = max(map(len, fields.values()))
    across = math.ceil(math.sqrt(most))
    tiles = math.ceil(most / across), across
    with style.context():
        ratio = tiles[0] * shape[1] / (tiles[1] * shape[2])
        drawn = style.Figure(width, 0.5 + rows * (0.25 + (width - 0.8) / columns * ratio))
        panels = [axes for abreast in drawn.subplots(rows, columns, squeeze=False) for axes in abreast]
        for axes in panels[len(fields) :]:
            axes.remove()
        panels = panels[: len(fields)]
        for axes, (name, images) in zip(panels, fields.items(), strict=True):
            shown = _show(axes, _mosaic(images, tiles, limit), limit)
            axes.set(title=style.folded(name, width / columns - 0.5), xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        if shape[0] == 1:
            bar = drawn.colorbar(shown, ax=panels, shrink=0.7, aspect=50, pad=0.05 / rows, location="bottom", label="Weight")
            bar.outline.set_linewidth(0.4)
        style.letters(panels)
        drawn.fill(panels[0], rows)
    return drawn


def _largest(weights: np.ndarray) -> np.ndarray:
    """The rows of W1 with the largest norm."""
    return weights[np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")[:_MOST]]


def _mosaic(images: np.ndarray, tiles: tuple[int, int], limit: float) -> np.ndarray:
    """Images (n, channels, height, width), in rows and columns, with a border between: NaN, or white where in colour."""
    n, channels, height, width = images.shape
    blank = limit if channels == 3 else np.nan
    down, across = tiles
    framed = np.full((down * across, channels, height + 1, width + 1), blank)
    framed[:n, :, :-1, :-1] = images
    mosaic = framed.reshape(down, across, channels, height + 1, width + 1).transpose(0, 3, 1, 4, 2)
    return mosaic.reshape(down * (height + 1), across * (width + 1), channels)[:-1, :-1]


def _show(axes: Axes, mosaic: np.ndarray, limit: float) -> Any:
    if mosaic.shape[2] == 3:
        return axes.imshow(0.5 + mosaic / (2 * limit), interpolation="nearest")
    return axes.imshow(mosaic[:, :, 0], cmap=style.SIGNED, norm=Normalize(-limit, limit), interpolation="nearest")
