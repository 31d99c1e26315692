"""Error in percent against epochs, on the training, validation and test set: how well each condition learns.

Reads ``train_error``, ``valid_error`` and ``test_error`` of the metrics.
"""

from typing import Any

from localdfa.analysis import _many, style, summary
from localdfa.record import Run

_PANELS = {"train_error": "Training error (%)", "valid_error": "Validation error (%)", "test_error": "Test error (%)"}
# Where each condition has a panel.
_LOOKS = {
    "train_error": (style.PALETTE[1], "--"), "valid_error": (style.PALETTE[2], ":"), "test_error": (style.PALETTE[0], "-"),
}  # fmt: skip

Curves = dict[str, dict[str, summary.Curve]]


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    apart = _many.apart(len({row["condition"] for row in run.metrics}), "the test errors of all others in grey")
    return (
        f"Error on {run.experiment.data} against epochs of training, before training at 0, for each condition.{apart} "
        f"{summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """One panel for each part of the data, a line and a band for each condition; of many conditions one panel for each.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    rows = summary.measured(run)
    found = {"train_error": summary.curves(rows, "train_error")}
    found |= {key: summary.curves(rows, key) for key in _PANELS if any(key in row for row in rows)}
    names = [name for name in run.settings if any(name in curves for curves in found.values())]
    with style.context():
        if len(names) > _many.TOGETHER:
            return _apart(found, names[: _many.MOST], rows)
        width = style.TWO_COLUMNS
        drawn = style.Figure(width, 2.75 + style.legend_height(names, width))
        grid = drawn.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, (key, curves) in zip(grid, found.items(), strict=True):
            lines = style.draw(axes, curves, list(run.settings))
            style.epoch_axis(axes, rows)
            axes.set(xlabel="Epoch", ylabel=_PANELS[key])
            axes.tick_params(labelleft=True)
        style.error_axis(grid[0], _values(found))
        style.letters(list(grid))
        style.legend(drawn, lines)
    return drawn


def _apart(found: Curves, names: list[str], rows: list[dict[str, Any]]) -> style.Figure:
    """A panel for each condition, with the test errors of the others behind."""
    drawn, (panels,) = _many.panels(names, ["Error (%)"], ["Epoch"])
    lines: dict[str, style.Line2D] = {}
    for axes, name in zip(panels, names, strict=True):
        for key, (colour, dashes) in _LOOKS.items():
            if name in found.get(key, {}):
                curve, label = found[key][name], _PANELS[key].partition(" (")[0].lower()
                (lines[key],) = axes.plot(curve.x, curve.mean, color=colour, linestyle=dashes, label=label, zorder=3)
                axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0, zorder=2)
        lines["others"] = _many.others(axes, name, found.get("test_error", {}), "test error of the others")
        style.epoch_axis(axes, rows)
    style.error_axis(panels[0], _values(found))
    drawn.explain(list(lines.values()))
    return drawn


def _values(found: Curves) -> list[float]:
    return [value for curves in found.values() for curve in curves.values() for value in curve.low + curve.high]
