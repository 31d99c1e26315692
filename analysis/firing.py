"""Firing rates, and how much of each hidden layer is silent or saturated, over training.

Reads ``rate`` (spiking neurons), ``silent`` and ``saturated`` of the metrics.
"""

from localdfa.analysis import _layers, style, summary
from localdfa.record import Run

TITLE, SECTION = "Activity over training", "activity"


def _percent(fraction: float) -> float:
    return 100 * fraction


_ROWS = (
    _layers.Row("rate", "Mean rate (Hz)"),
    _layers.Row("silent", "Silent (%)", _percent),
    _layers.Row("saturated", "Saturated (%)", _percent),
)


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "What the neurons of each hidden layer do on the samples of the probe, against epochs of training: their mean firing "
        "rate, where they spike, and the fractions of neurons and samples that are silent (no spike, or |h| ≤ 0.001) and "
        "saturated (less than two refractory periods between spikes, or a slope f' ≤ 0.05). A layer that falls silent or "
        f"saturates no longer learns.{_layers.said_over_training(run)} {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A row of panels for each measure, a column for each hidden layer; of many conditions rows for them, and columns for
    the measures.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    with style.context():
        drawn, panels = _layers.over_training(run, _ROWS)
        for abreast in panels:
            abreast[0].set_ylim(0, max(1.0, 1.1 * max(float(axes.dataLim.y1) for axes in abreast)))
    return drawn
