"""Measures that every layer has: a panel for each measure and layer, or of many conditions for each measure and condition."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from matplotlib import ticker
from matplotlib.axes import Axes

from localdfa.analysis import _many, _stages, style, summary
from localdfa.errors import RunError
from localdfa.record import Run

# Of more layers, this many are drawn, evenly spaced.
MOST = 5


class Row(NamedTuple):
    """One measure: its column of the metrics, its label, what to draw of a value, and a level to draw dashed.

    of_layers: whether it has a value for each hidden layer; else its one value is drawn for all of them.
    """

    key: str
    label: str
    convert: Callable[[float], float] = float
    level: float | None = None
    of_layers: bool = True


class Measure(NamedTuple):
    """One measure, ready to be drawn: labels of its y and x axis, and for each layer the curves by condition.

    level: drawn dashed. missing: what stands in a panel of which there are no curves; None: there is no such panel.
    """

    label: str
    below: str
    curves: list[dict[str, summary.Curve]]
    level: float | None = None
    missing: str | None = None


def depth(run: Run, names: Iterable[str] | None = None) -> int:
    """Hidden layers of the deepest of these conditions, or of all; of modules the taps of the one that has most, as far as they
    are measured."""
    if run.of_modules:
        measured = max((len(row.get("signal_cosine") or ()) for row in run.metrics), default=0)
        return measured or max(
            (sum(name[0] == "h" for name in job.activity) for job in run.jobs if job.keeps("activity")), default=0
        )
    return max(len(run.settings[name].network.hidden) for name in (run.settings if names is None else names))


def titles(run: Run, layers: Sequence[int]) -> list[str]:
    """Of layers, from 0, or of the taps of modules."""
    return [f"{'Tap' if run.of_modules else 'Hidden layer'} {layer + 1}" for layer in layers]


def angle(cosine: float) -> float:
    """The angle of a cosine, in degrees."""
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def some(number: int) -> list[int]:
    """The layers that are drawn, from 0: all, or of more than five the first, the last and three between."""
    return list(range(number)) if number <= MOST else [round(i * (number - 1) / (MOST - 1)) for i in range(MOST)]


def said(number: int, conditions: int = 0) -> str:
    """Sentences of the caption where not all layers are drawn, and where each of so many conditions has its own panels."""
    layers = "" if number <= MOST else f" Of {number} layers {MOST} are drawn."
    return layers + _many.apart(conditions, "a line for each layer")


def projections(run: Run) -> list[tuple[str, str]]:
    """The weights that are drawn, ``W1`` and its title, as `some` picks hidden layers; those of the output last.

    ``W-1`` stands for those of the output, whose number differs with depth.
    """
    return [(f"W{l + 1}", f"Hidden layer {l + 1}") for l in some(depth(run))] + [("W-1", "Output")]


def draw(run: Run, titles: Sequence[str], measures: Sequence[Measure], height: float) -> tuple[style.Figure, list[list[Axes]]]:
    """Measures of layers, a line and a band for each condition in a panel for each layer; of many conditions the reverse.

    Called inside `style.context`.

    Parameters
    ----------
    run: whose conditions, in their order.
    titles: of the layers that are drawn.
    measures: a row of panels each; of many conditions a column, or where there is but one, a panel for each condition.
    height: of a row of panels, inches.

    Returns
    -------
    The figure, and for each measure its panels, which share their y axis.
    """
    names = _names(run, measures)
    if len(names) > _many.TOGETHER:
        return _apart(names[: _many.MOST], titles, measures)
    width = style.ONE_COLUMN if len(titles) == 1 else style.TWO_COLUMNS
    drawn = style.Figure(width, height * len(measures) + 0.3 + style.legend_height(names, width))
    panels = [list(row) for row in drawn.subplots(len(measures), len(titles), squeeze=False, sharey="row")]
    lines, titled = dict[str, style.Line2D](), set[int]()
    for number, (measure, abreast) in enumerate(zip(measures, panels, strict=True)):
        last = measure.below not in [other.below for other in measures[number + 1 :]]
        for column, (axes, curves) in enumerate(zip(abreast, measure.curves, strict=True)):
            lines |= _panel(axes, measure, curves, list(run.settings))
            axes.tick_params(labelbottom=last)
            axes.set(
                title=""
                if column in titled or not axes.get_visible()
                else style.folded(titles[column], width / len(titles) - 0.55),
                xlabel=style.folded(measure.below, 0.85 * width / len(titles)) if last else "",
                ylabel="" if column else measure.label,
            )
            titled |= {column} if axes.get_visible() else set()
    style.letters([axes for abreast in panels for axes in abreast if axes.get_visible()])
    style.legend(drawn, {name: lines[name] for name in names if name in lines})
    return drawn, panels


def _names(run: Run, measures: Sequence[Measure]) -> list[str]:
    """The conditions that have a curve, in their order."""
    return [name for name in run.settings if any(name in curves for each in measures for curves in each.curves)]


def _apart(names: list[str], titles: Sequence[str], measures: Sequence[Measure]) -> tuple[style.Figure, list[list[Axes]]]:
    """Panels of each condition, a line and a band for each layer."""
    drawn, panels = _many.panels(names, [each.label for each in measures], [each.below for each in measures])
    lines: dict[str, style.Line2D] = {}
    for measure, own in zip(measures, panels, strict=True):
        for axes, name in zip(own, names, strict=True):
            of_layers = {title: curves[name] for title, curves in zip(titles, measure.curves, strict=True) if name in curves}
            lines |= _panel(axes, measure, of_layers, list(titles))
    style.legend(drawn, {title: lines[title] for title in titles if title in lines})
    return drawn, panels


def _panel(axes: Axes, measure: Measure, curves: dict[str, summary.Curve], order: list[str]) -> dict[str, style.Line2D]:
    """One panel of a measure: its level, its curves or why there are none; the lines by name."""
    if measure.level is not None:
        axes.axhline(measure.level, **style.LEVEL)
    if not curves and measure.missing is None:
        axes.set_visible(False)
    elif not any(not math.isnan(value) for curve in curves.values() for value in curve.mean):
        why = "undefined so far" if curves else measure.missing
        axes.text(0.5, 0.3, str(why), transform=axes.transAxes, ha="center")
    return style.draw(axes, curves, order)


def over_training(run: Run, rows: Sequence[Row], height: float = 1.5) -> tuple[style.Figure, list[list[Axes]]]:
    """Measures of each hidden layer against epochs, as `draw` does; the figure, and the panels by measure.

    A measure that no condition has is left out. Called inside `style.context`.

    Raises
    ------
    RunError
        Nothing is measured yet, or none of these.
    """
    measured, shown = summary.measured(run), some(depth(run))
    known = [row for row in rows if any(row.key in found for found in measured)]
    if not known or not shown:
        raise RunError(f"{run.folder}: this run has no measure {rows[0].key!r}")
    measures = []
    for row in known:
        by_layer = [summary.curves(measured, row.key, layer if row.of_layers else None, row.convert) for layer in shown]
        measures.append(Measure(row.label, "Epoch", by_layer, row.level, "not measured yet"))
    drawn, panels = draw(run, titles(run, shown), measures, height)
    names = _names(run, measures)
    together = len(names) <= _many.TOGETHER
    for own in panels:
        steps = 5 if len(own) <= _many.TOGETHER else 2  # a number of its own, else it depends on the layout
        own[0].yaxis.set_major_locator(ticker.MaxNLocator(steps, steps=[1, 2, 2.5, 5, 10]))
        for place, axes in enumerate(own):
            style.epoch_axis(axes, measured)
            _stages.mark(axes, [row for row in measured if together or row["condition"] == names[place]], list(run.settings))
    return drawn, panels


def said_over_training(run: Run) -> str:
    """Sentences of the caption of what `over_training` draws."""
    rows = run.metrics
    return said(depth(run), len({row["condition"] for row in rows})) + _stages.said(rows)


def degrees_axis(panels: Sequence[Axes]) -> None:
    """A common y axis of angles, from 0 to at least 90°."""
    highest = max([90.0, *(value for axes in panels for value in axes.dataLim.intervaly if math.isfinite(value))])
    panels[0].set_ylim(-5, highest + 8)
    panels[0].yaxis.set_major_locator(ticker.MultipleLocator(45 if len(panels) <= _many.TOGETHER else 90))
