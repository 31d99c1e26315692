"""Distribution of the forward weights of each layer at the end of training.

Reads the weights that a finished run keeps.
"""

import numpy as np

from localdfa.analysis import _kept, _layers, _many, style, summary
from localdfa.record import Run

TITLE, SECTION = "Distribution of the weights", "weights"

_BINS = 60


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    number = len(_kept.jobs(run, "weights", "weights"))
    return (
        f"Distribution of the forward weights of each layer, biases left out, after training, in {_BINS} bins; logarithmic, so "
        f"that tails show. The dashed line is at zero.{_layers.said(_layers.depth(run), number)} "
        f"{summary.seeds(run, 'weights')}"
    )


def figure(run: Run) -> style.Figure:
    """One panel for each layer, a curve for each condition; of many conditions the reverse.

    Raises
    ------
    RunError
        No condition and seed is finished.
    """
    found = {name: [job.weights for job in jobs] for name, jobs in _kept.jobs(run, "weights", "weights").items()}
    shown = _layers.projections(run)
    layers = [
        {name: s for name, seeds in found.items() if (s := [v for w in seeds if (v := _values(w, key)).size])}
        for key, _ in shown
    ]
    reaches = [max((float(np.abs(v).max()) for seeds in layer.values() for v in seeds), default=0) or 1.0 for layer in layers]
    if len(found) > _many.TOGETHER:  # layers share their panels
        reaches = [max(reaches)] * len(reaches)
    curves = [
        {name: _shares(seeds, np.linspace(-reach, reach, _BINS + 1)) for name, seeds in layer.items()}
        for layer, reach in zip(layers, reaches, strict=True)
    ]
    with style.context():
        measure = _layers.Measure("Synapses (% per bin)", "Weight", curves)
        drawn, (panels,) = _layers.draw(run, [title for _, title in shown], [measure], 2.2)
        for axes in panels:
            axes.axvline(0, **style.LEVEL)
            axes.set_yscale("log")
            style.powers(axes.yaxis)
    return drawn


def _shares(samples: list[np.ndarray], edges: np.ndarray) -> summary.Curve:
    """Percent of the weights in each bin, for a logarithmic axis: NaN where there are none in any seed."""
    x, mean, low, high = summary.shares(samples, edges)
    least = 100 / max(each.size for each in samples) / len(samples)
    none = [y == 0 for y in mean]
    mean, low, high = ([np.nan if n else max(y, least) for y, n in zip(ys, none, strict=True)] for ys in (mean, low, high))
    return summary.Curve(x, mean, low, high)


def _values(weights: dict[str, np.ndarray], key: str) -> np.ndarray:
    """All weights of a layer; none where the network has no such layer."""
    return matrix(weights, key).ravel()


def matrix(weights: dict[str, np.ndarray], key: str) -> np.ndarray:
    """W of a hidden layer, or of the output (``W-1``); empty where the network has no such layer."""
    last = f"W{sum(name[0] == 'W' and name[1:].isdigit() for name in weights)}"
    if key == "W-1":
        return weights[last]
    return weights[key] if key in weights and key != last else np.empty((0, 0))
