"""Align, then memorise: the training loss over training, and how near the signal of each hidden layer is to the gradient.

Reads ``train_loss`` and ``signal_cosine`` of the metrics (Refinetti et al. 2021; `localdfa.measure.signals`).
"""

from localdfa.analysis import _layers, style, summary
from localdfa.errors import RunError
from localdfa.record import Run

TITLE, SECTION = "Align, then memorise", "rule"

_ROWS = (
    _layers.Row("train_loss", "Training loss", of_layers=False),
    _layers.Row("signal_cosine", "Cosine to gradient", level=0),
)


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "Above, the training loss against epochs, the same for each hidden layer; below, on the same axis, the cosine between "
        "the signal that comes to the layer, or to a tap of a module, and the gradient of the loss there, which "
        "back-propagation finds in the same weights, mean over the samples of the probe. Where the cosine rises before the "
        "loss falls, weights align with the feedback before they fit."
        f"{_layers.said_over_training(run)} {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A row of panels each for loss and cosine, a column for each hidden layer; of many conditions rows for them, and columns
    for loss and cosine.

    Raises
    ------
    RunError
        Nothing is measured yet, or nothing of signals.
    """
    if not any("signal_cosine" in row for row in summary.measured(run)):
        raise RunError("this run has no measure 'signal_cosine'")
    with style.context():
        drawn, panels = _layers.over_training(run, _ROWS)
        if len(panels) == len(_ROWS):
            losses = (row.get("train_loss") for row in run.metrics)
            style.error_axis(panels[0][0], [loss for loss in losses if loss is not None])
    return drawn
