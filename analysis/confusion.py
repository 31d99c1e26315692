"""Confusion matrix of the test set at the end of training: which classes are taken for which.

Reads the predictions that a finished run keeps, and the names of the classes from run.json.
"""

import math

import numpy as np
from matplotlib.colors import Normalize

from localdfa.analysis import _kept, _layout, _many, style, summary
from localdfa.errors import RunError
from localdfa.record import Job, Run

TITLE, SECTION = "Classes that are taken for others", "learning"

_ABREAST, _NUMBERED = 3, 12
# Up to so many classes are named, where they have names of their own.
_NAMED = 40


def caption(run: Run) -> str:
    """What to see."""
    number = summary.several(run, "outcome")
    return (
        f"What the test set of {run.experiment.data} is taken for after training"
        + (f", all {number} together. " if number else ". ")
        + "Each row is a true class, each column a predicted one; colour is the part of the row's samples that are mistaken "
        "for another class, in percent, on a scale that all conditions share. On the diagonal, grey, are those that are right."
        + (
            " In the column “none” stand those for which outputs were equal, so that no class was chosen."
            if _undecided(run)
            else ""
        )
        + _many.said(len(run.settings))
    )


def _undecided(run: Run) -> bool:
    """Whether there are test samples without a prediction."""
    return any((job.outcome["prediction"] < 0).any() for job in run.jobs if job.keeps("outcome"))


def figure(run: Run) -> style.Figure:
    """One panel for each condition.

    Raises
    ------
    RunError
        No condition and seed is finished; or it is a regression, without classes; or there is no test part.
    """
    _kept.with_classes(run, "confusion", predicted=True)
    kept = dict(list(_kept.jobs(run, "outcome", "confusion").items())[: _many.MOST])
    outcomes = [array for jobs in kept.values() for job in jobs for array in job.outcome.values()]
    if not any(map(len, outcomes)):
        raise RunError(f"{run.folder}: the figure confusion shows the test part, and {run.experiment.data} has none")
    classes = _kept.classes(run, int(max(map(np.max, outcomes))) + 1)
    found = {name: _percent(jobs, len(classes)) for name, jobs in kept.items()}
    wrong = {name: np.where(np.eye(*part.shape) > 0, np.nan, part) for name, part in found.items()}
    highest = max(float(np.nan_to_num(each).max()) for each in wrong.values()) or 1.0
    rows = math.ceil(len(found) / _ABREAST)
    columns = math.ceil(len(found) / rows)
    width = style.ONE_COLUMN if columns == 1 else style.TWO_COLUMNS
    with style.context():
        drawn = style.Figure(width, 0.7 + rows * (0.45 + 0.9 * width / columns))
        panels = list(drawn.subplots(rows, columns, squeeze=False).ravel())
        for axes in panels[len(found) :]:
            axes.remove()
        for axes, (name, part) in zip(panels, found.items(), strict=False):
            shown = axes.imshow(wrong[name], cmap=style.UNSIGNED, norm=Normalize(0, highest), interpolation="nearest")
            axes.set_facecolor("#d9d9d9")
            axes.grid(False)
            axes.spines[:].set_visible(False)
            axes.set(title=style.folded(name, width / columns - 0.7), xlabel="Predicted class", ylabel="True class")
            _name(axes, [*classes, "none"][: part.shape[1]], len(classes))
            if len(part) <= _NUMBERED:
                _number(axes, part, highest)
        bar = drawn.colorbar(shown, ax=panels[: len(found)], shrink=0.6, aspect=50, pad=0.05 / rows, location="bottom")
        bar.set_label("Mistaken samples of the true class (%)")
        style.letters(panels[: len(found)])
        drawn.fill(panels[0], rows)
    return drawn


def _percent(jobs: list[Job], n: int) -> np.ndarray:
    """Percent of the samples of each true class (rows) that are taken for each of n classes (columns), over all seeds.

    A last column where there are samples without a prediction.
    """
    label, prediction = np.concatenate([np.stack([(kept := job.outcome)["label"], kept["prediction"]]) for job in jobs], axis=1)
    counts = np.zeros((n, n + bool((prediction < 0).any())))
    np.add.at(counts, (label, np.where(prediction < 0, n, prediction)), 1)
    return 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _name(axes: style.Axes, columns: list[str], n: int) -> None:
    """Name the classes beside rows and columns where there is room: the columns, of which the first n are the rows as well."""
    numbers = [str(i) for i in range(n)]
    if n > (_NUMBERED if columns[:n] == numbers else _NAMED):
        return
    size = style.points(7 if n <= _NUMBERED else 4)
    axes.set_xticks(range(len(columns)), columns, rotation=90 if max(map(len, columns)) > 2 else 0, fontsize=size)
    axes.set_yticks(range(n), columns[:n], fontsize=size)


def _number(axes: style.Axes, part: np.ndarray, highest: float) -> None:
    """Each cell's percentage, those that round to zero left out."""
    for (true, predicted), value in np.ndenumerate(part):
        if value >= 0.5:
            dark = true != predicted and value > 0.5 * highest
            axes.text(
                predicted, true, f"{value:.0f}", ha="center", va="center", fontsize=style.points(5),
                color="white" if dark else "black", gid=_layout.CELL,
            )  # fmt: skip
