"""In how many dimensions the signals lie that the taps of a module get, and the gradients there, over training.

Reads ``signal_rank`` and ``gradient_rank`` of the metrics (`localdfa.torch.Alignment`).
"""

from localdfa.analysis import _layers, style, summary
from localdfa.errors import RunError
from localdfa.record import Run

TITLE, SECTION = "Dimensions of signals and gradients", "rule"

_ROWS = (
    _layers.Row("signal_rank", "Of the signal", level=1),
    _layers.Row("gradient_rank", "Of the gradient", level=1),
)


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "In how many dimensions the samples of the probe lie at each tap, (Σ σ²)² / Σ σ⁴ with the singular values σ of all "
        "rows: above of the signals that are sent to the tap, below of the gradients of the loss there, which back-propagation "
        "finds in the same weights; under local both are of the drive of the tap's neurons. Where the output is one number, "
        "DFA sends each sample the same direction, and there is one dimension, the dashed line."
        f"{_layers.said_over_training(run)} {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A row of panels for each of both, a column for each tap; of many conditions rows for them.

    Raises
    ------
    RunError
        Nothing is measured yet, or nothing of taps.
    """
    if not any("signal_rank" in row for row in summary.measured(run)):
        raise RunError("this run has no measure 'signal_rank'")
    with style.context():
        drawn, panels = _layers.over_training(run, _ROWS)
        for abreast in panels:
            abreast[0].set_ylim(bottom=0)
    return drawn
