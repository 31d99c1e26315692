"""The error of the local rule's update against exact DFA, over the nudging strength β: its order, and where rounding ends it.

Reads ``relative_error_to_dfa`` of the metrics, before training, of conditions that differ in ``phases.beta`` and
``phases.nudging``, and in nothing else.
"""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from localdfa.analysis import _layers, _nudging, style, summary
from localdfa.errors import RunError
from localdfa.orders import ORDERS, slope
from localdfa.record import Run
from localdfa.spec import Setting

TITLE, SECTION = "Error of the update against the nudging strength", "rule"

_EPSILON = float(np.finfo(np.float64).eps)


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    number, found = summary.several(run), _sweep(run)
    seeds = f"Means over {number}, bands from the lowest to the highest" if number else "One seed"
    return (
        "How far each hidden layer's weight update under the local rule is from that of exact DFA, of the same network on the "
        "same samples before training: length of their difference, by that of exact DFA's, over the nudging strength β. "
        "With one phase the error falls as β, with a pair of phases at ±β as β²: slopes 1 and 2, the dotted lines. In the "
        "legend, slopes fitted to the filled points: those with an error of at most 1 %, or, where there are fewer than three "
        "of them, the three of least β, all clear of rounding. At small β, Δz/β is a difference of almost equal numbers: the "
        "dashed line is ε/β, with the ε = 2.2 × 10⁻¹⁶ of double precision, in which all is measured. In spiking networks the "
        "noise of single spikes, divided by β as well, takes over much earlier."
        f"{_layers.said(_layers.depth(run, found.points.values()))} {seeds}.{found.said}"
    )


def figure(run: Run) -> style.Figure:
    """One panel: a curve for each hidden layer, one-sided and centered.

    Raises
    ------
    RunError
        Nothing is measured yet, or no error above zero; not one group of conditions that differ in β and nudging alone.
    """
    at = _sweep(run).points
    banded = bool(summary.several(run))
    layers = [{"layer": l + 1, **_swept(run, l, at, banded)} for l in _layers.some(_layers.depth(run, at.values()))]
    if not any(error > 0 for layer in layers for own in ORDERS if own in layer for error in layer[own]["relative_error"]):
        raise RunError(f"{run.folder}: the figure beta has a logarithmic axis, and no error above zero is measured")
    with style.context():
        drawn = style.Figure(style.ONE_COLUMN * 1.5, 3.6 + 0.17 * len(layers))
        axes = drawn.subplots()
        _nudging.draw(axes, layers, "relative_error")
        axes.set(xlabel="Nudging strength β", ylabel="Relative error to exact DFA")
        handles = [_handle(i, layer) for i, layer in enumerate(layers)] + _nudging.handles(layers)
        low, high = axes.get_ylim()
        betas = np.array(sorted({beta for _, beta in at}))
        if _EPSILON / betas[0] > low:
            (floor,) = axes.plot(betas, _EPSILON / betas, label="ε/β", **style.LEVEL)
            handles.append(floor)
        axes.set_ylim(low, high)
        drawn.explain(handles)
    return drawn


def _sweep(run: Run) -> _nudging.Sweep[tuple[str, float]]:
    """The conditions by nudging and β, of one nudging at least two."""
    return _nudging.sweep(
        run, "beta", "phases.beta and phases.nudging, two or more of one phases.nudging", ("phases.beta", "phases.nudging"),
        _at, lambda points: any(sum(own == nudging for own, _ in points) > 1 for nudging in ORDERS),
    )  # fmt: skip


def _at(setting: Setting) -> tuple[str, float]:
    return setting.phases.nudging, setting.phases.beta


def _swept(run: Run, layer: int, at: dict[tuple[str, float], str], banded: bool) -> dict[str, Any]:
    """The error of a layer over β by nudging, where it is banded its spread over seeds, and the slope."""
    found: dict[str, Any] = {}
    measured = _nudging.before(run, "relative_error_to_dfa", layer, at)
    for nudging in ORDERS:
        betas = sorted(beta for own, beta in measured if own == nudging)
        if not betas:
            continue
        curves = [measured[nudging, beta] for beta in betas]
        error = [curve.mean[0] for curve in curves]
        value, fitted = slope(betas, error, [_EPSILON / beta for beta in betas])
        found[nudging] = {"beta": betas, "relative_error": error, "slope": value, "fitted": fitted}
        if banded:
            found[nudging] |= {"low": [curve.low[0] for curve in curves], "high": [curve.high[0] for curve in curves]}
    return found


def _handle(position: int, layer: dict[str, Any]) -> Line2D:
    """A layer in the legend, with its slopes."""
    slopes = [f"{layer[nudging]['slope']:.2f}" for nudging in ORDERS if layer.get(nudging, {}).get("slope") is not None]
    text = f"layer {layer['layer']}" + (f", slope{'s' * (len(slopes) > 1)} {' and '.join(slopes)}" if slopes else "")
    return Line2D([], [], color=_nudging.colour(position), label=text)
