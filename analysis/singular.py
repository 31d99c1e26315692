"""Singular values of the weights of each layer at the end of training: how many directions a layer uses.

Reads the weights that a finished run keeps.
"""

import numpy as np

from localdfa.analysis import _kept, _layers, style, summary
from localdfa.analysis.weights import matrix
from localdfa.record import Run

TITLE, SECTION = "Singular values", "weights"

# What is smaller than the largest by this factor is zero but for rounding.
_ROUNDING = 1e-6


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "Singular values of the forward weights of each layer after training, the largest first; those below 10⁻⁶ of the "
        "largest are zero but for rounding and left out. A steep fall means that a layer acts along few directions: weights "
        "that grow from zero by the feedback of a few errors have few large "
        f"ones.{_layers.said(_layers.depth(run), len(_kept.jobs(run, 'weights', 'singular')))} {summary.seeds(run, 'weights')}"
    )


def figure(run: Run) -> style.Figure:
    """One panel for each layer, a curve for each condition; of many conditions the reverse.

    Raises
    ------
    RunError
        No condition and seed is finished.
    """
    found = {name: [job.weights for job in jobs] for name, jobs in _kept.jobs(run, "weights", "singular").items()}
    shown = _layers.projections(run)
    curves = [
        {name: c for name, seeds in found.items() if (c := _curve([matrix(w, key) for w in seeds])).x} for key, _ in shown
    ]
    with style.context():
        measure = _layers.Measure("Singular value", "Index", curves)
        drawn, (panels,) = _layers.draw(run, [title for _, title in shown], [measure], 2.2)
        for axes in panels:
            axes.set_yscale("log")
            style.powers(axes.yaxis)
    return drawn


def _curve(matrices: list[np.ndarray]) -> summary.Curve:
    """Singular values by index, from 1."""
    values = np.array([np.linalg.svd(w.astype(np.float64), compute_uv=False) for w in matrices])
    if not values.size:
        return summary.Curve([], [], [], [])
    kept = np.where(values > _ROUNDING * values.max(axis=1, keepdims=True), values, np.nan)
    return summary.spread(range(1, values.shape[1] + 1), kept)
