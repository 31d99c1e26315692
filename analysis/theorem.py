"""The criteria K and L of Theorem 1 of Nøkland 2016 and the angle β over training, for each hidden layer.

Reads ``theorem_k``, ``theorem_l`` and ``theorem_beta`` of the metrics; `localdfa.measure.theorem` has the equations.
"""

from localdfa.analysis import _layers, style, summary
from localdfa.record import Run

TITLE, SECTION = "The criteria of Theorem 1", "rule"

_ROWS = (
    _layers.Row("theorem_k", "K (activity)", level=0),
    _layers.Row("theorem_l", "L (error)", level=0),
    _layers.Row("theorem_beta", "β (°)", level=90),
)


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "Theorem 1 of Nøkland 2016 against epochs of training, means over the samples of the probe. The update that the "
        "feedback prescribes to layer l, −δh, lowers K = δhᵀh / |δh|. L = δhᵀc / |δh| compares it with the gradient c / |δh| "
        "of the criterion K of the layer above, above the last hidden layer with the gradient of the loss; β is the angle "
        "between δh and c. Where L > 0, or β < 90°, learning in layer l also helps the layer above. Under BP, β = 0 by "
        "definition. The axes of K and L are linear about 0 and, where values differ much in size, logarithmic beyond."
        f"{_layers.said_over_training(run)} {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A row of panels each for K, L and β, a column for each hidden layer; of many conditions rows for them, and columns for
    K, L and β.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    with style.context():
        drawn, panels = _layers.over_training(run, _ROWS)
        for row, abreast in zip(_ROWS[:-1], panels, strict=False):
            style.signed_axis(abreast[0], [v for each in run.metrics for v in each.get(row.key) or () if v is not None])
        _layers.degrees_axis(panels[-1])
    return drawn
