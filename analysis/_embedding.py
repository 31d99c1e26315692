"""Activities of each layer as points on a plane, coloured by class: what `pca` and `tsne` share."""

from collections.abc import Callable

import numpy as np
from matplotlib import patheffects

from localdfa.analysis import _kept, _layers, style
from localdfa.analysis.rates import of_layers
from localdfa.record import Run

# A plane for the samples (samples, 2) and the labels of its axes.
Plane = tuple[np.ndarray, str, str]
# Of more samples, these are placed.
MOST = 500


def figure(run: Run, name: str, place: Callable[[np.ndarray], Plane]) -> style.Figure:
    """A row of panels for each condition, a column for each hidden layer; the first seed.

    Raises
    ------
    RunError
        The run keeps no activities.
    """
    found = _kept.first(_kept.jobs(run, "activity", name))
    shown = _layers.some(_layers.depth(run))
    width = style.ONE_COLUMN if len(shown) == 1 else min(style.TWO_COLUMNS, 2.6 * len(shown))
    with style.context():
        drawn = style.Figure(width, 0.2 + len(found) * 0.8 * width / len(shown))
        panels = drawn.subplots(len(found), len(shown), squeeze=False)
        for abreast, (condition, job) in zip(panels, found.items(), strict=True):
            layers, labels = of_layers(job), job.activity["label"][:MOST]
            for axes, layer in zip(abreast, shown, strict=True):
                if layer >= len(layers):
                    axes.remove()
                    continue
                points, *ends = place(layers[layer][:MOST].astype(np.float64))
                for label in np.unique(labels):
                    own, colour = points[labels == label], style.CLASSES[label % len(style.CLASSES)]
                    axes.plot(*own.T, "o", color=colour, markersize=style.mark(2), alpha=0.7)
                    axes.annotate(
                        str(label), np.median(own, axis=0), ha="center", va="center", weight="bold", color=colour,
                        path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")],
                    )  # fmt: skip
                axes.set(title=f"{condition}, hidden layer {layer + 1}", xlabel=ends[0], ylabel=ends[1])
                axes.grid(False)
        style.letters([axes for axes in panels.ravel() if axes.figure])
    return drawn


def said(run: Run) -> str:
    """What the points are, as sentences of a caption."""
    return (
        "A point is a training sample, coloured by its class, whose number stands at the median of its samples. First seed "
        f"that keeps activities; at most {MOST} samples.{_layers.said(_layers.depth(run))}"
    )
