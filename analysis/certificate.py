"""The figure of a certificate of rate neurons: the error of the local rule over β, and its training beside that of exact DFA.

Not of a run alone, so no report has it; ``localdfa certify`` draws it beside certificate.json.
"""

from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import style

_NUDGINGS: dict[str, tuple[str, Any, str]] = {
    "one_sided": ("one-sided", "-", "o"),
    "centered": ("centered", (0, (4, 1.5)), "s"),
}
# Cosines are rounded to so much.
_LEAST = float(np.finfo(np.float64).eps)


def draw(certificate: dict[str, Any]) -> style.Figure:
    """Error and 1 − cosine to DFA against β at the last checkpoint; below, test errors and distance of weights by epoch.

    Filled markers are the points that a slope is fitted to, grey lines have the slopes 1 and 2. Without training there are
    the upper panels alone.
    """
    last, trajectory = certificate["checkpoints"][-1], certificate["trajectory"]
    layers = [layer for layer in last["layers"] if "one_sided" in layer]
    trained = len(trajectory) > 1
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS, 5.2 if trained else 2.9)
        grid = drawn.subplots(1 + trained, 2, squeeze=False)
        when = f"epoch {last['epoch']}" + (" of the run" if last["of"] == "run" else "")
        _swept(grid[0, 0], layers, "relative_error")
        grid[0, 0].set(title=f"Update, {when}", xlabel="Nudging strength β", ylabel="Relative error to DFA")
        _swept(grid[0, 1], layers, "cosine")
        grid[0, 1].set(title=f"Update, {when}", xlabel="Nudging strength β", ylabel="1 − cosine to DFA")
        if trained:
            _trained(grid[1, 0], grid[1, 1], trajectory)
        handles = [Line2D([], [], color=_colour(i), label=f"layer {layer['layer']}") for i, layer in enumerate(layers)]
        if trained:
            output = len(trajectory[0]["weight_distance"])
            handles.append(Line2D([], [], color=_colour(output - 1), label=f"layer {output}, the output"))
        for name, dashes, marker in _NUDGINGS.values():
            handles.append(Line2D([], [], color="#444444", linestyle=dashes, marker=marker, label=name))
        drawn.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))
    return drawn


def _colour(position: int) -> str:
    return style.PALETTE[position % len(style.PALETTE)]


def _swept(axes: Axes, layers: list[dict[str, Any]], key: str) -> None:
    """A measure against β for every layer and nudging; with the error, lines of the slopes that theory has."""
    for i, layer in enumerate(layers):
        for nudging, (_, dashes, marker) in _NUDGINGS.items():
            found = layer[nudging]
            beta, values = np.array(found["beta"]), np.array(found[key], float)
            if key == "cosine":
                values = np.maximum(1 - values, _LEAST)
            (line,) = axes.loglog(beta, values, color=_colour(i), linestyle=dashes, marker=marker, markerfacecolor="white")
            line.set_markeredgewidth(0.7)
            fitted = found["fitted"]
            axes.loglog(beta[fitted], values[fitted], color=_colour(i), linestyle="", marker=marker)
            if key == "relative_error" and i == 0 and fitted:
                _guide(axes, beta, beta[fitted[0]], values[fitted[0]], found["order"])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_locator(ticker.LogLocator(numticks=7))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _guide(axes: Axes, beta: np.ndarray, at: float, value: float, order: int) -> None:
    """A line of a slope a little below a curve."""
    line = 0.3 * value * (beta / at) ** order
    axes.loglog(beta, line, color="#999999", linewidth=0.8, linestyle=":", zorder=1)
    axes.annotate(
        f"slope {order}", (beta[1], line[1]), color="#666666", fontsize=7, ha="left", va="top", xytext=(2, -2),
        textcoords="offset points",
    )  # fmt: skip


def _trained(errors: Axes, distances: Axes, trajectory: list[dict[str, Any]]) -> None:
    epochs = [row["epoch"] for row in trajectory]
    for position, (key, label) in enumerate({"local_error": "local, Numba", "dfa_error": "dfa, PyTorch"}.items()):
        errors.plot(epochs, [row[key] for row in trajectory], label=label, **style.line(position))
    errors.set(title="Training", xlabel="Epoch", ylabel="Test error (%)")
    style.error_axis(errors, [row[key] for row in trajectory for key in ("local_error", "dfa_error")])
    errors.legend()
    for l in range(len(trajectory[0]["weight_distance"])):
        distances.semilogy(epochs[1:], [row["weight_distance"][l] for row in trajectory[1:]], color=_colour(l), marker="o")
    reached = [d for row in trajectory[1:] for d in row["weight_distance"] if d > 0]
    if reached:
        distances.set_ylim(10.0 ** np.floor(np.log10(min(reached))), 10.0 ** np.ceil(np.log10(max(reached))))
    distances.set(title="Training", xlabel="Epoch", ylabel="Relative distance of weights")
    for axes in (errors, distances):
        style.epoch_axis(axes, trajectory)
