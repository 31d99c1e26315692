"""Inputs, and activities of each hidden layer after training, in a t-SNE embedding (van der Maaten & Hinton 2008).

Reads the activities that a run keeps where asked for (``record.activity``).
"""

import numpy as np

from localdfa.analysis import _embedding, style
from localdfa.record import Run

TITLE, SECTION = "Activities in a t-SNE embedding", "activity"

# Neighbours, as far as there are three times as many samples; with fewer than so many there would be less than one.
_PERPLEXITY, _SAMPLES = 30.0, 4
# Activities that differ by more than this, or by less than one by this, are scaled, which changes nothing else.
_RANGE = 1e12


def caption(run: Run) -> str:
    """What to see, and what the points are."""
    return (
        f"t-SNE of the inputs and of the activities of the hidden layers after training (perplexity {_PERPLEXITY:g}, or a "
        "third of the samples where they are few, started from the principal components). Neighbours are kept, distances and "
        f"sizes of clusters mean nothing: see which classes mix. {_embedding.said(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A panel for each condition, of its inputs and of each hidden layer.

    Raises
    ------
    RunError
        The run keeps no activities.
    """
    return _embedding.figure(run, "tsne", _place)


def _place(activity: np.ndarray) -> _embedding.Plane | str:
    """Samples (n, neurons) on the plane, in arbitrary units."""
    from sklearn.manifold import TSNE

    if len(activity) < _SAMPLES or activity.shape[1] < 2:
        return f"fewer than {_SAMPLES} samples" if len(activity) < _SAMPLES else "one neuron"
    size = np.abs(activity - activity.mean(axis=0)).max()
    if not 1 / _RANGE < size < _RANGE:  # scikit-learn computes squares of it in single precision, and crashes on 0 and infinity
        activity = (activity - activity.mean(axis=0)) / size
    perplexity = min(_PERPLEXITY, (len(activity) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0).fit_transform(activity)
    return points, "t-SNE 1 (a.u.)", "t-SNE 2 (a.u.)"
