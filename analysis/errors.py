"""Error in percent against epochs, on the training, validation and test set: how well each condition learns.

Reads ``train_error``, ``valid_error`` and ``test_error`` of the metrics.
"""

from localdfa.analysis import style, summary
from localdfa.record import Run

_PANELS = {"train_error": "Training error (%)", "valid_error": "Validation error (%)", "test_error": "Test error (%)"}


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        f"Error on {run.experiment.data} against epochs of training, before training at 0, for each condition. "
        f"{summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """One panel for each part of the data, a line and a band for each condition.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    rows = summary.measured(run)
    panels = {"train_error": summary.curves(rows, "train_error")}
    panels |= {key: summary.curves(rows, key) for key in _PANELS if any(key in row for row in rows)}
    width = style.TWO_COLUMNS
    with style.context():
        drawn = style.Figure(width, 2.75 + style.legend_height(panels["train_error"], width))
        grid = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (key, curves) in zip(grid, panels.items(), strict=True):
            lines = style.draw(axes, curves, list(run.settings))
            style.epoch_axis(axes, rows)
            axes.set(xlabel="Epoch", ylabel=_PANELS[key])
            axes.tick_params(labelleft=True)
        drawn_values = [value for c in panels.values() for curve in c.values() for value in curve.low + curve.high]
        style.error_axis(grid[0], drawn_values)
        style.letters(list(grid))
        style.legend(drawn, lines)
    return drawn
