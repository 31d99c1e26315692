"""The figure of a spiking certificate: differences from Brian2 against its step, and the update against exact DFA.

Not of a run alone, so no report has it; ``localdfa certify`` draws it beside certificate.json.
"""

from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import style


def draw(certificate: dict[str, Any]) -> style.Figure:
    """Above, what differs from Brian2 against its step; below, for each layer, the cosine to DFA over the nudge and over β.

    A line for each batch; over the nudge at the least β, which has the most noise, over β at the best setting's nudge. Theory
    is dashed, where drives and thresholds are constant, else dotted.
    """
    clock, dfa, spec = certificate.get("brian2"), certificate.get("dfa"), certificate["spec"]
    n_layers = 0 if dfa is None else len(dfa["best"]["cosine"])
    with style.context():
        rows = (clock is not None) + n_layers
        drawn = style.Figure(style.TWO_COLUMNS, 0.9 + 2.2 * rows)
        drawn.suptitle(f"Certificate of spiking neurons: {spec['data']}, {spec['network']['neuron']}", fontsize=style.points(8))
        grid = drawn.subplots(rows, 2, squeeze=False)
        if clock:
            _times(grid[0, 0], clock)
            _relative(grid[0, 1], clock)
        if dfa:
            for l, panels in enumerate(grid[rows - n_layers :]):
                _cosines(panels[0], dfa, l, "window", "Duration of the nudge (ms)")
                _cosines(panels[1], dfa, l, "beta", "Nudging strength β")
            drawn.explain(_handles(dfa))
    return drawn


def _times(axes: Axes, clock: dict[str, Any]) -> None:
    steps = [row["step"] for row in clock["steps"]]
    for position, (key, label) in enumerate({"largest": "largest", "mean": "mean"}.items()):
        axes.loglog(steps, _positive(row[key] for row in clock["steps"]), label=label, **style.line(position))
    mean = clock["steps"][0]["mean"]
    if mean > 0:
        axes.loglog(steps, 0.5 * mean * np.array(steps) / steps[0], label="order 1", **style.LEVEL)
    axes.set(title="Against Brian2", ylabel="Difference of spike times (ms)")
    style.powers(axes.yaxis)
    _step_axis(axes, steps)


def _relative(axes: Axes, clock: dict[str, Any]) -> None:
    steps, position = [row["step"] for row in clock["steps"]], 0
    for what in ("traces", "changes"):
        for name in clock["steps"][0][what]:
            axes.loglog(steps, _positive(row[what][name] for row in clock["steps"]), label=name, **style.line(position))
            position += 1
    axes.set(title="Against Brian2", ylabel="Relative difference")
    style.powers(axes.yaxis)
    _step_axis(axes, steps)


def _positive(values: Any) -> list[float]:
    """Without zeros, which a logarithmic axis has no place for."""
    return [value if value else np.nan for value in values]


def _step_axis(axes: Axes, steps: list[float]) -> None:
    axes.set_xlabel("Step of Brian2's clock (ms)")
    axes.xaxis.set_major_locator(ticker.FixedLocator(steps))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(fontsize=style.points(6))


def _batches(dfa: dict[str, Any]) -> list[int]:
    return sorted({entry["batch"] for entry in dfa["settings"]})


def _cosines(axes: Axes, dfa: dict[str, Any], layer: int, varied: str, label: str) -> None:
    """Measured and predicted cosines of a layer over nudges, at the least β, or over β, at the best nudge."""
    fixed = "beta" if varied == "window" else "window"
    value = min(e["beta"] for e in dfa["settings"]) if fixed == "beta" else dfa["best"]["window"]
    for position, size in enumerate(_batches(dfa)):
        entries = [e for e in dfa["settings"] if e["batch"] == size and e[fixed] == value]
        x, look = [e[varied] for e in entries], style.line(position)
        axes.semilogx(x, [e["cosine"][layer] for e in entries], **{**look, "linestyle": "-"})
        dashes = "--" if layer < dfa["constant_layers"] else ":"
        axes.semilogx(x, [e["theory"][layer] for e in entries], color=look["color"], linestyle=dashes, linewidth=0.8)
    ticks = sorted({e[varied] for e in dfa["settings"]})
    axes.xaxis.set_major_locator(ticker.FixedLocator(ticks))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(top=1)
    at = f"β = {value:g}" if varied == "window" else f"nudges of {value:g} ms"
    axes.set(title=f"Layer {layer + 1}, {at}", xlabel=label, ylabel="Cosine to exact DFA")


def _handles(dfa: dict[str, Any]) -> list[Line2D]:
    found = []
    for position, size in enumerate(_batches(dfa)):
        look = {**style.line(position), "linestyle": "-"}
        found.append(Line2D([], [], label=f"{size} samples", **look))
    found.append(Line2D([], [], color=style.GREY, linestyle="--", label="theory"))
    if dfa["constant_layers"] < len(dfa["best"]["cosine"]):
        found.append(Line2D([], [], color=style.GREY, linestyle=":", label="theory, as if constant"))
    return found
