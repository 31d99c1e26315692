"""Activities of each hidden layer after training in a t-SNE embedding (van der Maaten & Hinton 2008).

Reads the activities that a run keeps where asked for (``record.activity``).
"""

import numpy as np

from localdfa.analysis import _embedding, style
from localdfa.record import Run

_PERPLEXITY = 30.0


def caption(run: Run) -> str:
    """What to see, and what the points are."""
    return (
        f"t-SNE of the activities of the hidden layers after training (perplexity {_PERPLEXITY:g}, started from the principal "
        "components). Neighbours are kept, distances and sizes of clusters mean nothing: see which classes mix. "
        f"{_embedding.said(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A panel for each condition and hidden layer.

    Raises
    ------
    RunError
        The run keeps no activities.
    """
    return _embedding.figure(run, "tsne", _place)


def _place(activity: np.ndarray) -> _embedding.Plane:
    """Samples (n, neurons) on the plane, in arbitrary units."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(activity) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0).fit_transform(activity)
    return points, "t-SNE 1 (a.u.)", "t-SNE 2 (a.u.)"
