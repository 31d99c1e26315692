"""Sweeps of the nudging: which condition stands at which point, and errors against β as curves."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import style, summary
from localdfa.errors import RunError
from localdfa.orders import ORDERS
from localdfa.record import Run
from localdfa.spec import Setting

Point = TypeVar("Point", bound=Hashable)

_LOOKS: dict[str, tuple[str, Any, str]] = {
    "one_sided": ("one-sided", "-", "o"),
    "centered": ("centered", (0, (4, 1.5)), "s"),
}
# Cosines are rounded to so much.
_LEAST = float(np.finfo(np.float64).eps)


def points(run: Run, at: Callable[[Setting], Point], of: str, figure: str) -> dict[Point, str]:
    """The condition that stands at each point of a sweep, of those that begin under the local rule.

    at: the point of a setting. of: what its coordinates are, for the message.

    Raises
    ------
    RunError
        Two conditions have the same point.
    """
    found: dict[Point, str] = {}
    for name, setting in run.settings.items():
        if setting.rule_of(setting.stage[0]) != "local":
            continue
        other = found.setdefault(at(setting), name)
        if other != name:
            raise RunError(
                f"{run.folder}: the conditions {other} and {name} have the same {of}; the figure {figure} needs conditions "
                "that differ in them alone"
            )
    return found


def before(run: Run, key: str, layer: int, found: dict[Point, str]) -> dict[Point, summary.Curve]:
    """A measure of a hidden layer (from 0) before training at the points where it is measured: curves of one value each.

    Raises
    ------
    RunError
        Nothing is measured yet, or not this.
    """
    curves = summary.curves((row for row in summary.measured(run) if row["epoch"] == 0), key, layer)
    return {point: curves[name] for point, name in found.items() if name in curves}


def draw(axes: Axes, layers: list[dict[str, Any]], key: str) -> None:
    """A measure of every layer and nudging against β; with the error, dotted lines of the slopes that theory has.

    Filled are the points that a slope is fitted to. layers: of each, by nudging, ``beta`` and the measure, the indices that
    are ``fitted``, and ``low`` and ``high`` where there are several seeds.
    """
    for i, layer in enumerate(layers):
        for nudging, (_, dashes, marker) in _LOOKS.items():
            if nudging not in layer:
                continue
            found = layer[nudging]
            beta, values = np.array(found["beta"]), np.array(found[key], float)
            if key == "cosine":
                values = np.maximum(1 - values, _LEAST)
            (line,) = axes.loglog(beta, values, color=colour(i), linestyle=dashes, marker=marker, markerfacecolor="white")
            line.set_markeredgewidth(style.mark(0.7))
            if "low" in found:
                axes.fill_between(beta, found["low"], found["high"], color=colour(i), alpha=0.2, linewidth=0)
            fitted = found["fitted"]
            axes.loglog(beta[fitted], values[fitted], color=colour(i), linestyle="", marker=marker)
            if key == "relative_error" and i == 0 and fitted:
                _guide(axes, beta, beta[fitted[0]], values[fitted[0]], ORDERS[nudging])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_locator(ticker.LogLocator(numticks=7))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def colour(position: int) -> str:
    """Of the layer at this place."""
    return style.PALETTE[position % len(style.PALETTE)]


def handles(layers: list[dict[str, Any]]) -> list[Line2D]:
    """What of a legend says which line is one-sided and which centered, as far as there are such."""
    return [
        Line2D([], [], color="#444444", linestyle=dashes, marker=marker, label=label)
        for nudging, (label, dashes, marker) in _LOOKS.items()
        if any(nudging in layer for layer in layers)
    ]


def _guide(axes: Axes, beta: np.ndarray, at: float, value: float, order: int) -> None:
    """A line of a slope a little below a curve, from where the curve is clear of rounding."""
    beta = beta[beta >= at]
    line = 0.3 * value * (beta / at) ** order
    axes.loglog(beta, line, color="#999999", linewidth=style.mark(0.8), linestyle=":", zorder=1)
    axes.annotate(
        f"slope {order}", (beta[1], line[1]), color=style.GREY, fontsize=style.points(7), ha="left", va="top", xytext=(2, -2),
        textcoords="offset points",
    )  # fmt: skip
