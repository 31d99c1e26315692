"""Angles of the weight updates to those of exact DFA and of BP, in degrees, over training, for each hidden layer.

Reads ``angle_to_dfa`` and ``angle_to_bp`` of the metrics. Below 90° an update descends the same way.
"""

import math

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from localdfa.analysis import style, summary
from localdfa.record import Run

_ROWS = {"angle_to_dfa": "Angle to DFA (degrees)", "angle_to_bp": "Angle to BP (degrees)"}
# Layers side by side, and layers in all; of more, this many are drawn, evenly spaced.
_ABREAST, _MOST = 4, 8


def _depth(run: Run) -> int:
    """Hidden layers of the deepest condition."""
    return max(len(setting.network.hidden) for setting in run.settings.values())


def layers(run: Run) -> list[int]:
    """The hidden layers that are drawn, from 0: all, or of more than eight the first, the last and six between."""
    depth = _depth(run)
    if depth <= _MOST:
        return list(range(depth))
    return [round(i * (depth - 1) / (_MOST - 1)) for i in range(_MOST)]


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    depth = _depth(run)
    some = "" if depth <= _MOST else f" Of {depth} hidden layers {_MOST} are drawn."
    return (
        "Angle between the weight update of each hidden layer and the update that exact DFA and BP would make of the "
        "same network on the same samples, against epochs of training. At 90°, the dashed line, two updates "
        f"have nothing in common. Where an update is zero its angle is undefined and left out.{some} "
        f"{summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """A column of two panels for each hidden layer: angle to DFA above, angle to BP below.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    rows, shown = summary.measured(run), layers(run)
    blocks = math.ceil(len(shown) / _ABREAST)
    abreast = math.ceil(len(shown) / blocks)
    width = style.ONE_COLUMN if abreast == 1 else style.TWO_COLUMNS
    names = {row["condition"] for row in rows}
    lines: dict[str, Line2D] = {}
    first: Axes | None = None
    highest = 90.0
    with style.context():
        drawn = style.Figure(width, 3.6 * blocks + style.legend_height(names, width))
        grid = drawn.add_gridspec(2 * blocks, abreast)
        for i, layer in enumerate(shown):
            block, column = divmod(i, abreast)
            for down, (key, label) in enumerate(_ROWS.items()):
                axes = drawn.add_subplot(grid[2 * block + down, column], sharex=first, sharey=first)
                first = first or axes
                curves = summary.curves(rows, key, layer)
                axes.axhline(90, color="#666666", linewidth=0.7, linestyle=(0, (5, 3)), zorder=1.5)
                lines |= style.draw(axes, curves, list(run.settings))
                defined = [value for curve in curves.values() for value in curve.high if not math.isnan(value)]
                if not defined:
                    why = "undefined so far" if curves else "not measured yet"
                    axes.text(0.5, 0.3, why, transform=axes.transAxes, ha="center")
                highest = max([highest, *defined])
                axes.tick_params(labelleft=column == 0, labelbottom=down == 1)
                axes.set(
                    title="" if down else f"Hidden layer {layer + 1}",
                    xlabel="Epoch" if down else "",
                    ylabel="" if column else label,
                )
                style.epoch_axis(axes, rows)
        axes.set_ylim(-4, highest + 8)
        axes.yaxis.set_major_locator(ticker.MultipleLocator(30))
        style.legend(drawn, {name: lines[name] for name in run.settings if name in lines})
    return drawn
