"""Where stages of training end: marks in panels of what is drawn against epochs."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from localdfa.analysis import _many, style

# At more epochs than these nothing is marked: no curve would be seen for the lines.
MOST = 6
_MARK: dict[str, Any] = {"linewidth": 1.0, "linestyle": (0, (1, 2)), "zorder": 1.4}

Rows = Sequence[dict[str, Any]]


def ends(rows: Rows) -> dict[int, list[str]]:
    """The epochs at which a stage is over and another one begins, with any seed, and the conditions of which that is so.

    rows: of the metrics, those of each condition and seed in the order of its epochs.
    """
    found, before = dict[int, list[str]](), dict[tuple[str, int], int]()
    for row in rows:
        name, stage = row["condition"], row["stage"]
        if stage > before.get((name, row["seed"]), stage):
            names = found.setdefault(row["epoch"] - 1, [])
            names.extend([name] if name not in names else [])
        before[name, row["seed"]] = stage
    return found if len(found) <= MOST else {}


def mark(axes: Axes, rows: Rows, order: Sequence[str]) -> None:
    """A dotted vertical line where a stage ends: in the colour of a condition if it is that of one among several, else grey.

    rows: of the conditions in the panel; order: all conditions of the experiment.
    """
    several = len({row["condition"] for row in rows}) > 1
    for epoch, names in ends(rows).items():
        alone = several and len(names) == 1
        axes.axvline(epoch, color=style.line(order.index(names[0]))["color"] if alone else style.GREY, **_MARK)


def said(rows: Rows) -> str:
    """A sentence of the caption where stages are marked."""
    if not ends(rows):
        return ""
    share = 1 < len({row["condition"] for row in rows}) <= _many.TOGETHER
    whose = ", of the condition that has its colour or, in grey, of several" if share else ""
    return f" At a dotted vertical line a stage of training ends{whose}."
