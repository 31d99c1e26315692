"""Error in percent against epochs, on the training, validation and test set: how well each condition learns.

Reads ``train_error``, ``valid_error`` and ``test_error`` of the metrics.
"""

from localdfa.analysis import style, summary
from localdfa.record import Run

_PANELS = {"train_error": "Training error (%)", "valid_error": "Validation error (%)", "test_error": "Test error (%)"}


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        f"Error on {run.experiment.data} against epochs of training, before training at 0, for each condition; "
        f"the axis is logarithmic. {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """One panel for each part of the data, a line and a band for each condition.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    rows = summary.measured(run)
    panels = {key: summary.curves(rows, key) for key in _PANELS if any(key in row for row in rows)}
    shown = [name for name in run.settings if any(name in curves for curves in panels.values())]
    width = style.TWO_COLUMNS
    with style.context():
        drawn = style.Figure(width, 2.6 + style.legend_height(shown, width))
        grid = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (key, curves) in zip(grid, panels.items(), strict=True):
            lines = style.draw(axes, curves, list(run.settings))
            axes.set_xlabel("Epoch")
            axes.set_ylabel(_PANELS[key])
            axes.tick_params(labelleft=True)
        style.log_axis(
            grid[0], [value for c in panels.values() for each in c.values() for value in each.low + each.high]
        )
        style.legend(drawn, lines)
    return drawn
