"""The figure of a certificate of rate neurons: the error of the local rule over β, and its training beside the exact rule's.

Not of a run alone, so no report has it; ``localdfa certify`` draws it beside certificate.json.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import _nudging, style


def draw(certificate: dict[str, Any]) -> style.Figure:
    """Error and 1 − cosine to the exact rule against β at the last checkpoint; below, test errors and distances of weights.

    Filled markers are the points that a slope is fitted to, grey lines have the slopes 1 and 2. Without training there are
    the upper panels alone.
    """
    last, trajectory, exact = certificate["checkpoints"][-1], certificate["trajectory"], certificate["exact"]
    layers = [layer for layer in last["layers"] if "one_sided" in layer]
    trained = len(trajectory) > 1
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS, 5.2 if trained else 2.9)
        grid = drawn.subplots(1 + trained, 2, squeeze=False)
        when = f"epoch {last['epoch']}" + (" of the run" if last["of"] == "run" else "")
        _nudging.draw(grid[0, 0], layers, "relative_error")
        grid[0, 0].set(title=f"Update, {when}", xlabel="Nudging strength β", ylabel=f"Relative error to {exact.upper()}")
        _nudging.draw(grid[0, 1], layers, "cosine")
        grid[0, 1].set(title=f"Update, {when}", xlabel="Nudging strength β", ylabel=f"1 − cosine to {exact.upper()}")
        if trained:
            _trained(grid[1, 0], grid[1, 1], trajectory, exact, f"{certificate['in_percent'].capitalize()} (%)")
        handles = [Line2D([], [], color=_nudging.colour(i), label=f"layer {layer['layer']}") for i, layer in enumerate(layers)]
        if trained:
            output = len(trajectory[0]["weight_distance"])
            handles.append(Line2D([], [], color=_nudging.colour(output - 1), label=f"layer {output}, the output"))
        handles += _nudging.handles(layers)
        drawn.explain(handles)
    return drawn


def _trained(errors: Axes, distances: Axes, trajectory: list[dict[str, Any]], exact: str, label: str) -> None:
    epochs = [row["epoch"] for row in trajectory]
    for position, (key, side) in enumerate({"local_error": "local, Numba", "exact_error": f"{exact}, PyTorch"}.items()):
        errors.plot(epochs, [row[key] for row in trajectory], label=side, **style.line(position))
    errors.set(title="Training", xlabel="Epoch", ylabel=label)
    style.error_axis(errors, [row[key] for row in trajectory for key in ("local_error", "exact_error")])
    errors.legend()
    for l in range(len(trajectory[0]["weight_distance"])):
        distances.semilogy(
            epochs[1:], [row["weight_distance"][l] for row in trajectory[1:]], color=_nudging.colour(l), marker="o"
        )
    style.powers(distances.yaxis)
    reached = [d for row in trajectory[1:] for d in row["weight_distance"] if d > 0]
    if reached:
        distances.set_ylim(10.0 ** np.floor(np.log10(min(reached))), 10.0 ** np.ceil(np.log10(max(reached))))
    distances.set(title="Training", xlabel="Epoch", ylabel="Relative distance of weights")
    for axes in (errors, distances):
        style.epoch_axis(axes, trajectory)
