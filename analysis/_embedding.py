"""Activities of each layer as points on a plane, coloured by class: what `pca` and `tsne` share."""

from collections.abc import Callable

import numpy as np
from matplotlib import patheffects

from localdfa.analysis import _kept, _layers, style
from localdfa.analysis.rates import of_layers
from localdfa.record import Run

# A plane for the samples (samples, 2) and the labels of its axes.
Plane = tuple[np.ndarray, str, str]
# Of more samples, so many are placed; so many conditions stand beside each other.
MOST, _ABREAST = 300, 5


def figure(run: Run, name: str, place: Callable[[np.ndarray], Plane]) -> style.Figure:
    """A panel for each condition and hidden layer, up to five conditions beside each other; the first seed.

    Raises
    ------
    RunError
        The run keeps no activities.
    """
    found = _kept.first(_kept.jobs(run, "activity", name))
    shown = _layers.some(_layers.depth(run))
    abreast = len(found) if len(found) <= _ABREAST else len(shown)
    down = len(found) * len(shown) // abreast
    width = style.ONE_COLUMN if abreast == 1 else style.TWO_COLUMNS
    with style.context():
        drawn = style.Figure(width, 0.3 + down * max(1.7, 0.75 * width / abreast))
        panels = drawn.subplots(down, abreast, squeeze=False)
        for own_panels, job in zip(panels.T if len(found) <= _ABREAST else panels, found.values(), strict=True):
            layers, labels = of_layers(job), job.activity["label"][:MOST]
            names = _kept.classes(run, int(labels.max()) + 1)
            for axes, layer in zip(own_panels, shown, strict=True):
                if layer >= len(layers):
                    axes.remove()
                    continue
                points, *ends = place(layers[layer][:MOST].astype(np.float64))
                for label in np.unique(labels):
                    own, colour = points[labels == label], style.CLASSES[label % len(style.CLASSES)]
                    axes.plot(*own.T, "o", color=colour, markersize=style.mark(2), alpha=0.7)
                    axes.annotate(
                        names[label], np.median(own, axis=0), ha="center", va="center", weight="bold", color=colour,
                        fontsize=style.points(6.5), path_effects=[patheffects.withStroke(linewidth=1.5, foreground="white")],
                        parse_math=False,
                    )  # fmt: skip
                axes.set(xlabel=ends[0], ylabel=ends[1])
                axes.grid(False)
        heads = [list(found), [f"Hidden layer {layer + 1}" for layer in shown]]
        for axes, head in zip(panels[0], heads[0 if len(found) <= _ABREAST else 1], strict=True):
            axes.set_title(head)
        for axes, head in zip(panels[:, 0], heads[1 if len(found) <= _ABREAST else 0], strict=True):
            axes.set_ylabel(f"{head}\n{axes.get_ylabel()}")
        style.letters([axes for axes in panels.ravel() if axes.figure])
    return drawn


def said(run: Run) -> str:
    """What the points are, as sentences of a caption."""
    return (
        "A point is a training sample, coloured by its class, whose number stands at the median of its samples. First seed "
        f"that keeps activities; at most {MOST} samples.{_layers.said(_layers.depth(run))}"
    )
