"""Angles over training, for each hidden layer: between the weight updates, exact DFA's and BP's; of the weights to B.

Reads ``angle_to_dfa``, ``angle_to_bp``, ``angle_dfa_to_bp`` and ``alignment`` of the metrics. Below 90° an update descends
the same way.
"""

from localdfa.analysis import _layers, style, summary
from localdfa.record import Run

TITLE, SECTION = "Angles to DFA and back-propagation", "rule"

_ROWS = (
    _layers.Row("angle_to_dfa", "Rule to DFA (°)", level=90),
    _layers.Row("angle_to_bp", "Rule to BP (°)", level=90),
    _layers.Row("angle_dfa_to_bp", "DFA to BP (°)", level=90),
    _layers.Row("alignment", "Weights to B (°)", _layers.angle, 90),
)


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "Angles in each hidden layer against epochs of training. From above: of the weight update under the condition's own "
        "rule to the one that exact DFA would make of the same network on the same samples, and to that of BP; of exact DFA "
        "to BP; of the forward weights to the feedback matrix B that stands in for them. At 90°, the dashed line, two "
        "directions have nothing in common; an angle that falls means that they align. Where one is zero the angle is "
        f"undefined and left out.{_layers.said_over_training(run)} {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A row of panels for each angle, a column for each hidden layer; of many conditions rows for them, and columns for
    the angles.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    with style.context():
        drawn, panels = _layers.over_training(run, _ROWS, 1.35)
        for abreast in panels:
            _layers.degrees_axis(abreast)
    return drawn
