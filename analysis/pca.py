"""Inputs, and activities of each hidden layer after training, on their first two principal components.

Reads the activities that a run keeps where asked for (``record.activity``).
"""

import numpy as np

from localdfa.analysis import _embedding, style
from localdfa.record import Run

TITLE, SECTION = "Activities on two principal components", "activity"


def caption(run: Run) -> str:
    """What to see, and what the points are."""
    return (
        "Inputs and activities of the hidden layers after training on their first two principal components, with the part of "
        f"the variance that each explains. Classes that lie apart here can be told apart linearly. {_embedding.said(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A panel for each condition, of its inputs and of each hidden layer.

    Raises
    ------
    RunError
        The run keeps no activities.
    """
    return _embedding.figure(run, "pca", _place)


def _place(activity: np.ndarray) -> _embedding.Plane:
    """Samples (n, neurons) on the first two principal components, in units of activity, and what they explain."""
    centred = activity - activity.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(activity), 2))
    points[:, : sizes[:2].size] = (left * sizes)[:, :2]
    explained = [100 * size**2 / max(float((sizes**2).sum()), np.finfo(float).tiny) for size in [*sizes[:2], 0.0][:2]]
    return points, f"PC 1 ({explained[0]:.0f} %)", f"PC 2 ({explained[1]:.0f} %)"
