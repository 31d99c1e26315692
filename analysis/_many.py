"""Experiments of many conditions: each has panels of its own, for lines that share a panel could not be told apart."""

import math
from collections.abc import Collection, Sequence
from itertools import count
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import style, summary

# Up to so many conditions share panels; of more each has its own, and of more than these they are the first.
TOGETHER, MOST = 8, 24
# So many conditions stand beside each other where each has one panel; heights of a panel where it has one, and of all rows
# where it has several, inches; the part of the width that names take there.
_ABREAST, _HEIGHT, _ROWS, _NAMES = 4, 1.15, (0.42, 0.8, 9.0), 0.18
_OTHERS: dict[str, Any] = {"color": "#d4d4d4", "linewidth": 0.5, "zorder": 1}


def said(number: int, most: int = MOST, what: str = "conditions") -> str:
    """A sentence of the caption where not all conditions, or what is said, are drawn."""
    return "" if number <= most else f" Of {number} {what} the first {most} are drawn."


def called(label: str, name: str, taken: Collection[str]) -> str:
    """What a line is called that no other is: its label, or the name of its first condition, or that with a number."""
    further = (f"{name} ({number})" for number in count(2))
    return next(each for each in (label, name, *[next(further) for _ in taken]) if each and each not in taken)


def apart(number: int, what: str) -> str:
    """Sentences of the caption where each of so many conditions has panels of its own, and what is in them."""
    return "" if number <= TOGETHER else f" Each condition has its own panels, with {what}.{said(number)}"


def others(axes: Axes, name: str, curves: dict[str, summary.Curve], label: str) -> Line2D:
    """The curves of all conditions but one, thin and grey behind its own; one of them, for the legend."""
    line = Line2D([], [], label=label, **_OTHERS)
    for other, curve in curves.items():
        if other != name:
            (line,) = axes.plot(curve.x, curve.mean, label=label, **_OTHERS)
    return line


def panels(names: Sequence[str], labels: Sequence[str], below: Sequence[str]) -> tuple[style.Figure, list[list[Axes]]]:
    """Panels for each of these conditions, the name of each beside or above its own; called inside `style.context`.

    Parameters
    ----------
    names: of the conditions.
    labels: of the y axes, one for each measure: a condition has a panel for each.
    below: of the x axes, as many.

    Returns
    -------
    The figure, and for each measure the panels of all conditions, which share their axes.
    """
    width, several = style.TWO_COLUMNS, len(labels) > 1
    columns = len(labels) if several else _ABREAST
    down = len(names) if several else math.ceil(len(names) / columns)
    titles = [style.folded(name, width * _NAMES if several else 0.85 * width / columns, 7 if several else 8) for name in names]
    lines = max(title.count("\n") for title in titles) + 1
    least, most, whole = _ROWS
    high = max(min(whole / down, most), least, lines * style.height(7)) if several else _HEIGHT + lines * style.height(8)
    drawn = style.Figure(width, 0.9 + high * down)
    grid = drawn.subplots(down, columns, sharex="col" if several else True, sharey="col" if several else True, squeeze=False)
    flat = list(grid.ravel())
    for axes in [] if several else flat[len(names) :]:
        axes.remove()
    found = [list(column) for column in grid.T] if several else [flat[: len(names)]]
    for of_measure, label, under in zip(found, labels, below, strict=True):
        for place, (axes, title) in enumerate(zip(of_measure, titles, strict=True)):
            last = place + (1 if several else columns) >= len(names)
            axes.tick_params(labelbottom=last)
            axes.set_xlabel(style.folded(under, 0.85 * width / columns) if last else "")
            if not several:
                axes.set_title(title)
            elif place == 0:
                axes.set_title(label)
    if not several:  # beside each row it would be longer than the panel is high
        drawn.supylabel(labels[0], fontsize=style.points(8))
    else:
        drawn.get_layout_engine().set(h_pad=0.03, hspace=0)
        for axes, title in zip(found[0], titles, strict=True):
            axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=style.points(7))
    return drawn, found
