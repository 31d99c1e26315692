"""Inputs and activities of each layer as points on a plane, coloured by class: what `pca` and `tsne` share."""

import math
from collections.abc import Callable

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes

from localdfa.analysis import _kept, _layers, _many, style
from localdfa.analysis.rates import of_layers
from localdfa.errors import RunError
from localdfa.record import Job, Run

# A plane for the samples (samples, 2) and the labels of its axes.
Plane = tuple[np.ndarray, str, str]
# Of more samples, so many are placed, and of more conditions, each of which takes seconds.
MOST, _CONDITIONS = 300, 12
# In the place of a hidden layer: the inputs and, of modules, what the submodule gives at whose output the error is taken.
_INPUTS, _OUTPUT = -1, -2
# A name of a class that is no longer stands among its samples; of longer ones there is a legend.
_SHORT = 3
# So many conditions stand beside each other; of one layer, or one condition, so many panels.
_ABREAST, _FLOWING = 5, 3


def figure(run: Run, name: str, place: Callable[[np.ndarray], Plane | str]) -> style.Figure:
    """A panel for the inputs and each hidden layer of each condition, and for the output where it is kept; the first seed.

    Up to five conditions stand beside each other where they are no fewer than the layers, else below each other.

    place: puts activities (samples, neurons), finite and not all alike, on a plane, or says why it cannot. A panel without a
    plane says why.

    Raises
    ------
    RunError
        The run keeps no activities, or no layer's can be placed; or it is a regression, without classes.
    """
    _kept.with_classes(run, name, predicted=False)
    found = dict(list(_kept.first(_kept.jobs(run, "activity", name)).items())[:_CONDITIONS])
    kept = {condition: _layers_of(job) for condition, job in found.items()}
    shown = [l for l in (_INPUTS, *_layers.some(_layers.depth(run)), _OUTPUT) if any(l in layers for layers in kept.values())]
    planes: dict[tuple[str, int], Plane | str] = {}
    once: dict[bytes, Plane | str] = {}  # most conditions have the same inputs, and a plane takes seconds
    for condition, layers in kept.items():
        for l in shown:
            if l in layers:
                points = np.ascontiguousarray(layers[l][:MOST])
                key = points.tobytes()
                planes[condition, l] = once[key] = once[key] if key in once else _placed(points, place)
    hidden = [plane for (_, l), plane in planes.items() if l != _INPUTS]
    reasons = [plane for plane in hidden if isinstance(plane, str)]
    if len(reasons) == len(hidden):
        why = ", ".join(dict.fromkeys(reasons)) or "no hidden layer"
        raise RunError(f"{run.folder}: the figure {name} cannot place what its layers do: {why}")
    labels = {name: job.activity["label"][:MOST] for name, job in found.items()}
    classes = _kept.classes(run, max(int(own.max(initial=0)) for own in labels.values()) + 1)
    short, lines = _are_short(classes), dict[int, style.Line2D]()
    with style.context():
        heads = [{_INPUTS: "Inputs", _OUTPUT: "Output"}.get(l) or _layers.titles(run, [l])[0] for l in shown]
        drawn, panels = _grid(list(found), shown, heads, [] if short else classes)
        for (condition, layer), axes in panels.items():
            plane = planes.get((condition, layer))
            if plane is None:
                axes.remove()
            else:
                lines |= _draw(axes, plane, labels[condition], classes, short)
        style.letters([axes for axes in panels.values() if axes.figure])
        if not short:
            style.legend(drawn, {str(label): lines[label] for label in sorted(lines)})
    return drawn


def _are_short(classes: list[str]) -> bool:
    """Whether the names of classes find room among the samples."""
    return max(map(len, classes)) <= _SHORT


def _layers_of(job: Job) -> dict[int, np.ndarray]:
    """Activities of the hidden layers, from 0, and inputs and output, where they are kept; each (samples, neurons)."""
    kept = job.activity
    ends = {l: kept[name] for l, name in ((_INPUTS, "x"), (_OUTPUT, "output")) if name in kept}
    return {**ends, **dict(enumerate(of_layers(job)))}


def _placed(activity: np.ndarray, place: Callable[[np.ndarray], Plane | str]) -> Plane | str:
    """The plane of the samples' activities (samples, neurons), or why there is none."""
    if not activity.size:
        return "nothing is kept"
    if not np.isfinite(activity).all():
        return "not finite"
    if not np.ptp(activity, axis=0).any():
        return "the same in all samples"
    return place(activity.astype(np.float64))


def _grid(
    names: list[str], layers: list[int], heads: list[str], explained: list[str]
) -> tuple[style.Figure, dict[tuple[str, int], Axes]]:
    """The panels by condition and layer, in order on the page, and what they are written at its margins.

    heads: of layers. explained: what a legend below has room for.
    """
    beside = max(2, len(layers)) <= len(names) <= _ABREAST
    flowing = len(names) == 1 or (len(names) > _ABREAST and len(layers) == 1)
    columns = len(names) if beside else min(len(names) * len(layers), _FLOWING) if flowing else len(layers)
    down = math.ceil(len(names) * len(layers) / columns)
    width = style.ONE_COLUMN if columns == 1 else style.TWO_COLUMNS
    below = style.legend_height(explained, width) if explained else 0.0
    drawn = style.Figure(width, 0.3 + down * max(1.7, 0.75 * width / columns) + below)
    grid = drawn.subplots(down, columns, squeeze=False)
    order = [(name, l) for l in layers for name in names] if beside else [(name, l) for name in names for l in layers]
    panels = dict(zip(order, grid.ravel(), strict=False))
    for axes in grid.ravel()[len(order) :]:
        axes.remove()
    for place, axes in enumerate(panels.values()):
        row, column = divmod(place, columns)
        if flowing or row == 0:
            above = heads if len(names) == 1 else names if beside or flowing else heads
            axes.set_title(style.folded(above[place], width / columns - 0.6))
        if column == 0 and not flowing:
            axes.set_ylabel(style.folded((heads if beside else names)[row], 1.5))
    return drawn, panels


def _draw(axes: Axes, plane: Plane | str, labels: np.ndarray, names: list[str], written: bool) -> dict[int, style.Line2D]:
    """The points of one panel by class, or why there are none; names: of all classes; written: whether among the points."""
    lines = dict[int, style.Line2D]()
    axes.grid(False)
    if isinstance(plane, str):
        axes.text(0.5, 0.5, plane, transform=axes.transAxes, ha="center", va="center")
        axes.set(xticks=[], yticks=[])
        return lines
    points, *ends = plane
    for label in np.unique(labels):
        own, colour = points[labels == label], style.CLASSES[label % len(style.CLASSES)]
        marks = axes.plot(*own.T, "o", color=colour, markersize=style.mark(2), alpha=0.7, label=names[label])
        lines[int(label)] = marks[0]
        if written:
            axes.annotate(
                names[label], np.median(own, axis=0), ha="center", va="center", weight="bold", color=colour,
                fontsize=style.points(6.5), path_effects=[patheffects.withStroke(linewidth=1.5, foreground="white")],
            )  # fmt: skip
    axes.locator_params(nbins=4)
    axes.set(xlabel=ends[0], ylabel=f"{axes.get_ylabel()}\n{ends[1]}".strip())
    return lines


def said(run: Run) -> str:
    """What the points are, as sentences of a caption."""
    classes = _kept.classes(run, 1)
    called = "number" if all(name.isdecimal() for name in classes) else "name"
    where = f"whose {called} stands at the median of its samples" if _are_short(classes) else "as named below"
    return (
        f"A point is a training sample, or a node of a graph, coloured by its class, {where}. "
        f"First seed that keeps activities; at most {MOST} samples.{_output(run)}{_layers.said(_layers.depth(run))}"
        f"{_many.said(len(run.settings), _CONDITIONS)}"
    )


def _output(run: Run) -> str:
    """A sentence on the panels of the output, where there are such."""
    if not any("output" in job.activity for job in run.jobs if job.keeps("activity")):
        return ""
    return " Output: what the submodule gives where the error is taken, which learns from the loss."
