"""Singular values of the weights of each layer at the end of training: how many directions a layer uses.

Reads the weights that a finished run keeps.
"""

import numpy as np

from localdfa.analysis import _kept, _layers, style, summary
from localdfa.analysis.weights import matrix
from localdfa.record import Run

# What is smaller than the largest by this factor is zero but for rounding.
_ROUNDING = 1e-6


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "Singular values of the forward weights of each layer after training, the largest first; those below 10⁻⁶ of the "
        "largest are zero but for rounding and left out. A steep fall means that a layer acts along few directions: weights "
        "that grow from zero by the feedback of a few errors have few large "
        f"ones.{_layers.said(_layers.depth(run))} {summary.seeds(run)}"
    )


def figure(run: Run) -> style.Figure:
    """One panel for each layer, a curve for each condition.

    Raises
    ------
    RunError
        No condition and seed is finished.
    """
    found = {name: [job.weights for job in jobs] for name, jobs in _kept.jobs(run, "weights", "singular").items()}
    shown = _layers.projections(run)
    with style.context():
        drawn, (panels,) = _layers.grid(len(shown), 1, 2.2, list(found))
        lines: dict[str, style.Line2D] = {}
        for axes, (key, title) in zip(panels, shown, strict=True):
            curves = {name: c for name, seeds in found.items() if (c := _curve([matrix(w, key) for w in seeds])).x}
            lines |= style.draw(axes, curves, list(run.settings))
            axes.set(yscale="log", title=title, xlabel="Index", ylabel="Singular value" if axes is panels[0] else "")
            style.powers(axes.yaxis)
        style.letters(panels)
        style.legend(drawn, lines)
    return drawn


def _curve(matrices: list[np.ndarray]) -> summary.Curve:
    """Singular values by index, from 1."""
    values = np.array([np.linalg.svd(w.astype(np.float64), compute_uv=False) for w in matrices])
    if not values.size:
        return summary.Curve([], [], [], [])
    kept = np.where(values > _ROUNDING * values.max(axis=1, keepdims=True), values, np.nan)
    return summary.spread(range(1, values.shape[1] + 1), kept)
