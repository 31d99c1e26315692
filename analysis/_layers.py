"""Measures that every layer has, as a grid of panels: a row for each measure, a column for each layer."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import style, summary
from localdfa.errors import RunError
from localdfa.record import Run

# Of more layers, this many are drawn, evenly spaced.
MOST = 5


class Row(NamedTuple):
    """One measure: its column of the metrics, its label, what to draw of a value, and a level to draw dashed."""

    key: str
    label: str
    convert: Callable[[float], float] = float
    level: float | None = None


def depth(run: Run) -> int:
    """Hidden layers of the deepest condition."""
    return max(len(setting.network.hidden) for setting in run.settings.values())


def some(number: int) -> list[int]:
    """The layers that are drawn, from 0: all, or of more than five the first, the last and three between."""
    return list(range(number)) if number <= MOST else [round(i * (number - 1) / (MOST - 1)) for i in range(MOST)]


def said(number: int) -> str:
    """A sentence of the caption where not all layers are drawn."""
    return "" if number <= MOST else f" Of {number} layers {MOST} are drawn."


def projections(run: Run) -> list[tuple[str, str]]:
    """The weights that are drawn, ``W1`` and its title, as `some` picks hidden layers; those of the output last.

    ``W-1`` stands for those of the output, whose number differs with depth.
    """
    return [(f"W{l + 1}", f"Hidden layer {l + 1}") for l in some(depth(run))] + [("W-1", "Output")]


def grid(columns: int, rows: int, height: float, names: Sequence[str]) -> tuple[style.Figure, list[list[Axes]]]:
    """A figure with a grid of panels, `height` inches each, and room for a legend of these names; a row shares its y axis."""
    width = style.ONE_COLUMN if columns == 1 else style.TWO_COLUMNS
    drawn = style.Figure(width, height * rows + 0.3 + style.legend_height(names, width))
    return drawn, [list(row) for row in drawn.subplots(rows, columns, squeeze=False, sharey="row")]


def over_training(run: Run, rows: Sequence[Row], height: float = 1.5) -> tuple[style.Figure, list[list[Axes]]]:
    """Each measure of each hidden layer against epochs, a line and a band for each condition; the axes by row and column.

    A measure that no condition has is left out. Called inside `style.context`.

    Raises
    ------
    RunError
        Nothing is measured yet, or none of these.
    """
    measured, shown = summary.measured(run), some(depth(run))
    known = [row for row in rows if any(row.key in found for found in measured)]
    if not known:
        raise RunError(f"{run.folder}: this run has no measure {rows[0].key!r}")
    names = [name for name in run.settings if any(found["condition"] == name for found in measured)]
    drawn, panels = grid(len(shown), len(known), height, names)
    lines: dict[str, Line2D] = {}
    for row, abreast in zip(known, panels, strict=True):
        abreast[0].yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))  # else it depends on the layout
        for column, (layer, axes) in enumerate(zip(shown, abreast, strict=True)):
            curves = summary.curves(measured, row.key, layer, row.convert)
            if row.level is not None:
                axes.axhline(row.level, **style.LEVEL)
            lines |= style.draw(axes, curves, list(run.settings))
            if not any(not math.isnan(value) for curve in curves.values() for value in curve.mean):
                why = "undefined so far" if curves else "not measured yet"
                axes.text(0.5, 0.3, why, transform=axes.transAxes, ha="center")
            style.epoch_axis(axes, measured)
            axes.tick_params(labelbottom=row is known[-1])
            axes.set(
                title=f"Hidden layer {layer + 1}" if row is known[0] else "",
                xlabel="Epoch" if row is known[-1] else "",
                ylabel="" if column else row.label,
            )
    style.letters([axes for abreast in panels for axes in abreast])
    style.legend(drawn, {name: lines[name] for name in run.settings if name in lines})
    return drawn, panels


def degrees_axis(panels: Sequence[Axes]) -> None:
    """A common y axis of angles, from 0 to at least 90°."""
    highest = max([90.0, *(value for axes in panels for value in axes.dataLim.intervaly if math.isfinite(value))])
    panels[0].set_ylim(-5, highest + 8)
    panels[0].yaxis.set_major_locator(ticker.MultipleLocator(45))
