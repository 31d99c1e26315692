"""The phases of a trial, shaded and named on an axis of time."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from localdfa.analysis import style

# By the sign of the nudge.
NAMES = {1: "+β", -1: "−β", 0: "free"}
COLOURS = {1: style.PALETTE[2], -1: style.PALETTE[1], 0: "#ffffff"}


def shade(axes: Axes, spans: Iterable[tuple[float, float, float]]) -> None:
    """Shade spans of time (begin, end, sign of the nudge); what is shaded twice is darker. Leaves no grid."""
    for begin, end, sign in spans:
        axes.axvspan(begin, end, color=COLOURS[int(np.sign(sign))], alpha=0.22, linewidth=0, zorder=0)
    axes.grid(False)


def name(axes: Axes, spans: Iterable[tuple[float, float, float]]) -> None:
    """Write above a panel which phase is which."""
    for begin, end, sign in spans:
        axes.text(
            (begin + end) / 2, 1.01, NAMES[int(np.sign(sign))],
            transform=axes.get_xaxis_transform(), ha="center", va="bottom",
        )  # fmt: skip


def spans(edges: np.ndarray, sign: np.ndarray) -> list[tuple[float, float, float]]:
    """The phases of a trial as (begin, end, sign), from the edges (P + 1,) and the nudges' signs (P,) of its segments.

    A nudge during which the gate closes is two segments, but one phase.
    """
    found: list[tuple[float, float, float]] = []
    for (begin, end), own in zip(pairwise(edges), sign, strict=True):
        if found and found[-1][2] == own:
            begin = found.pop()[0]
        found.append((float(begin), float(end), float(own)))
    return found
