"""Norms over training, for each hidden layer: of its weights, of its feedback matrix, of its update; of signals of modules.

Reads ``weight_norm``, ``feedback_norm``, ``update_norm``, ``signal_norm`` and ``gradient_norm`` of the metrics.
"""

import math

from localdfa.analysis import _layers, style, summary
from localdfa.record import Run

TITLE, SECTION = "Norms of weights, feedback and updates", "rule"

_ROWS = (
    _layers.Row("weight_norm", "‖W‖"),
    _layers.Row("feedback_norm", "‖B‖"),
    _layers.Row("update_norm", "‖ΔW‖"),
    _layers.Row("signal_norm", "‖signal‖"),
    _layers.Row("gradient_norm", "‖gradient‖"),
)


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    if any("signal_norm" in row for row in run.metrics):
        return (
            "Norms at each tap against epochs of training, over all samples of the probe. From above: of the signal that is "
            "sent to the tap, and of the gradient of the loss there, which back-propagation finds in the same weights."
            f"{_layers.said_over_training(run)} {summary.band(run)}"
        )
    return (
        "Norms in each hidden layer against epochs of training. From above: of the weights that lead to it, without biases; of "
        "the feedback matrix B that brings its error, where it has one; of the update that the condition's rule makes on the "
        "probe, biases included, before the optimiser scales it. Where B does not grow as the weights above it do, the error "
        "that reaches the lower layers differs from that of back-propagation in size, too."
        f"{_layers.said_over_training(run)} {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A row of panels for each norm, a column for each hidden layer; of many conditions rows for them, and columns for the
    norms.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    with style.context():
        drawn, panels = _layers.over_training(run, _ROWS, 1.35)
        known = [row for row in _ROWS if any(row.key in found for found in run.metrics)]
        for row, abreast in zip(known, panels, strict=True):
            highest = max([float(axes.dataLim.y1) for axes in abreast if math.isfinite(axes.dataLim.y1)], default=0.0)
            if row.key in ("weight_norm", "feedback_norm"):
                abreast[0].set_ylim(0, 1.1 * highest or 1)
            elif highest > 0:
                abreast[0].set_yscale("log")
                style.powers(abreast[0].yaxis)
    return drawn
