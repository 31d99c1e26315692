"""Sweeps of the nudging: which condition stands at which point, and errors against β as curves."""

import json
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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


@dataclass(frozen=True)
class Sweep(Generic[Point]):
    """Conditions that differ in a few keys alone: the condition at each point, and those that are left out."""

    points: dict[Point, str]
    others: list[str]

    @property
    def said(self) -> str:
        """A sentence of the caption where conditions under the local rule are left out."""
        if not self.others:
            return ""
        return f" Drawn are {', '.join(self.points.values())}, which differ in nothing else; not {', '.join(self.others)}."


def sweep(
    run: Run, figure: str, apart: str, varied: Collection[str], at: Callable[[Setting], Point],
    enough: Callable[[Collection[Point]], bool],
) -> Sweep[Point]:  # fmt: skip
    """The conditions that a figure joins: of those that begin under the local rule the ones that differ in a few keys alone.

    Parameters
    ----------
    run: whose conditions.
    figure: its name, for the message.
    apart: what the conditions differ in and how many there must be, for the message.
    varied: the keys that they may differ in, as ``phases.beta``.
    at: the point of a setting.
    enough: whether points make a sweep.

    Raises
    ------
    RunError
        There is no sweep, or more than one; or two of its conditions have the same point.
    """
    families: dict[str, dict[Point, str]] = {}
    twice: dict[str, str] = {}
    for name, setting in run.settings.items():
        if setting.rule_of(setting.stage[0]) != "local":
            continue
        family = without(setting, varied)
        other = families.setdefault(family, {}).setdefault(at(setting), name)
        if other != name:
            twice.setdefault(family, f"{other} and {name} do not differ in it")
    sweeps = [family for family, found in families.items() if enough(found)]
    if len(sweeps) != 1 or sweeps[0] in twice:
        kinds = sweeps or list(twice)
        why = f"there are {len(sweeps)} groups of such" if len(sweeps) > 1 else "there are no such"
        raise RunError(
            f"{run.folder}: the figure {figure} joins conditions under the local rule that differ in nothing but {apart}; "
            f"{twice[kinds[0]] if len(kinds) == 1 and kinds[0] in twice else why}; localdfa run digits-{figure} has them"
        )
    found = families[sweeps[0]]
    names = [name for members in families.values() for name in members.values()]
    return Sweep(found, [name for name in names if name not in found.values()])


def without(setting: Setting, keys: Collection[str]) -> str:
    """All of a setting but these keys, as text to compare."""
    tables = setting.model_dump()
    for key in keys:
        table, name = key.split(".")
        del tables[table][name]
    return json.dumps(tables, sort_keys=True)


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
            values = np.where(values > 0, values, np.nan)  # a logarithmic axis has no place for zero
            series = f"layer {layer['layer']}, {nudging}"
            (line,) = axes.loglog(
                beta, values, color=colour(i), linestyle=dashes, marker=marker, markerfacecolor="white", label=series
            )  # fmt: skip
            line.set_markeredgewidth(style.mark(0.7))
            if "low" in found:
                style.band(axes, series, list(beta), found["low"], found["high"], colour(i))
            fitted = found["fitted"]
            axes.loglog(beta[fitted], values[fitted], color=colour(i), linestyle="", marker=marker, label=f"{series}, fitted")
            if key == "relative_error" and i == 0 and fitted:
                _guide(axes, beta, beta[fitted[0]], values[fitted[0]], ORDERS[nudging])
    for axis in (axes.xaxis, axes.yaxis):
        style.powers(axis)
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
