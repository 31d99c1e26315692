"""Error against epochs, on the training, validation and test set: how well each condition learns.

Reads ``train_error``, ``valid_error`` and ``test_error`` of the metrics, percent; of a regression ``train_rmse`` and so on.
"""

from typing import Any

from localdfa.analysis import _many, _stages, style, summary
from localdfa.outputs import Measure
from localdfa.record import Run

TITLE, SECTION = "Error over training", "results"

_PARTS = {"train": "Training", "valid": "Validation", "test": "Test"}
# Where each condition has a panel.
_LOOKS = {"train": (style.PALETTE[1], "--"), "valid": (style.PALETTE[2], ":"), "test": (style.PALETTE[0], "-")}

Curves = dict[str, dict[str, summary.Curve]]


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    what = summary.error(run)
    behind = _PARTS[_behind(run.metrics, what)].lower()
    apart = _many.apart(len({row["condition"] for row in run.metrics}), f"the {behind} {what.name}s of all others in grey")
    return (
        f"{_capital(what.name)} on {run.experiment.data} against epochs of training, before training at 0, for each condition."
        f"{apart}{_stages.said(run.metrics)} {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """One panel for each part of the data, a line and a band for each condition; of many conditions one panel for each.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    rows, what = summary.measured(run), summary.error(run)
    keys = {part: f"{part}_{what.key}" for part in _PARTS}
    found = {"train": summary.curves(rows, keys["train"])}
    found |= {part: summary.curves(rows, key) for part, key in keys.items() if any(key in row for row in rows)}
    names = [name for name in run.settings if any(name in curves for curves in found.values())]
    with style.context():
        if len(names) > _many.TOGETHER:
            return _apart(found, names[: _many.MOST], rows, what)
        width = style.TWO_COLUMNS
        drawn = style.Figure(width, 2.75 + style.legend_height(names, width))
        grid = drawn.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, (part, curves) in zip(grid, found.items(), strict=True):
            lines = style.draw(axes, curves, list(run.settings))
            style.epoch_axis(axes, rows)
            _stages.mark(axes, rows, list(run.settings))
            axes.set(xlabel="Epoch", ylabel=f"{_PARTS[part]} {what.label}")
            axes.tick_params(labelleft=True)
        style.error_axis(grid[0], _values(found))
        style.letters(list(grid))
        style.legend(drawn, lines)
    return drawn


def _apart(found: Curves, names: list[str], rows: list[dict[str, Any]], what: Measure) -> style.Figure:
    """A panel for each condition, with the errors of the others behind, on the test set where there is one."""
    drawn, (panels,) = _many.panels(names, [_capital(what.label)], ["Epoch"])
    lines, behind = dict[str, style.Line2D](), _behind(rows, what)
    for axes, name in zip(panels, names, strict=True):
        for part, (colour, dashes) in _LOOKS.items():
            if name in found.get(part, {}):
                curve, label = found[part][name], f"{_PARTS[part].lower()} {what.name}"
                (lines[part],) = axes.plot(curve.x, curve.mean, color=colour, linestyle=dashes, label=label, zorder=3)
                style.band(axes, label, curve.x, curve.low, curve.high, colour)
        lines["others"] = _many.others(axes, name, found[behind], f"{_PARTS[behind].lower()} {what.name} of the others")
        style.epoch_axis(axes, rows)
        _stages.mark(axes, [row for row in rows if row["condition"] == name], names)
    style.error_axis(panels[0], _values(found))
    drawn.explain(list(lines.values()))
    return drawn


def _behind(rows: list[dict[str, Any]], what: Measure) -> str:
    """The part of the data on which the errors of other conditions stand behind those of one: the test set, if there is one."""
    return next((part for part in ("test", "valid") if any(f"{part}_{what.key}" in row for row in rows)), "train")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _values(found: Curves) -> list[float]:
    return [value for curves in found.values() for curve in curves.values() for value in curve.low + curve.high]
