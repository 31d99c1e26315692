"""Where in a network feedback fails: angles and size of the updates after training, layer by layer, by the number of layers.

Reads ``angle_to_bp``, ``alignment``, ``update_norm`` and ``weight_norm`` of the last row of the metrics of each condition and
seed.
"""

import math
from collections.abc import Callable
from itertools import takewhile
from typing import Any, NamedTuple

from matplotlib import ticker

from localdfa.analysis import _layers, _many, _nudging, style, summary
from localdfa.errors import RunError
from localdfa.record import Run

TITLE, SECTION = "Feedback from layer to layer", "rule"


def _angles_to_bp(row: dict[str, Any]) -> list[float | None]:
    return list(row.get("angle_to_bp") or [])


def _angles_of_b(row: dict[str, Any]) -> list[float | None]:
    return [None if cosine is None else _layers.angle(cosine) for cosine in row.get("alignment") or []]


def _relative_updates(row: dict[str, Any]) -> list[float | None]:
    """‖ΔW‖ / ‖W‖ of each hidden layer; undefined where either is zero, for the axis is logarithmic."""
    pairs = zip(row.get("update_norm") or [], row.get("weight_norm") or [], strict=False)
    return [update / norm if update and norm else None for update, norm in pairs][:-1]


class _Row(NamedTuple):
    """A row of panels: its label, and its values of one row of metrics, one a hidden layer."""

    label: str
    values: Callable[[dict[str, Any]], list[float | None]]
    is_angle: bool = True


_ROWS = (
    _Row("Rule to BP (°)", _angles_to_bp),
    _Row("Weights to B (°)", _angles_of_b),
    _Row("‖ΔW‖ / ‖W‖", _relative_updates, False),
)


def caption(run: Run) -> str:
    """What to see, and what panels and lines are."""
    return (
        "After training, by hidden layer from the inputs up; a column of panels for the networks of each number of hidden "
        "layers. From above: angle of the weight update under the condition's rule to that of BP; of the forward weights to "
        "the feedback matrix B that stands in for them, where they are one; norm of the update on the probe by that of the "
        "weights. "
        "At 90°, the dashed line, two directions have nothing in common: where the angles of the lower layers stay there, "
        f"feedback does not reach them. {summary.seeds(run)}{_many.said(len(_families(run)))}"
    )


def figure(run: Run) -> style.Figure:
    """Panels by measure and number of hidden layers, a line for all conditions that differ in their hidden layers alone.

    Raises
    ------
    RunError
        Nothing is measured yet, or none of these.
    """
    rows, families = summary.measured(run), dict([*_families(run).items()][: _many.MOST])
    if not any(key in row for row in rows for key in ("angle_to_bp", "alignment", "update_norm")):
        raise RunError(f"{run.folder}: this run has no measure 'angle_to_bp'")
    last = summary.ends(run)
    deep = sorted({layers for members in families.values() for layers in members})
    deep = [deep[i] for i in _layers.some(len(deep))]
    with style.context():
        width = style.TWO_COLUMNS if len(deep) > 1 else style.ONE_COLUMN
        drawn = style.Figure(width, 1.35 * len(_ROWS) + 0.3 + style.legend_height(families, width))
        panels = [list(abreast) for abreast in drawn.subplots(len(_ROWS), len(deep), squeeze=False, sharey="row")]
        lines = dict[str, style.Line2D]()
        for row, abreast in zip(_ROWS, panels, strict=True):
            for axes, layers in zip(abreast, deep, strict=True):
                if row.is_angle:
                    axes.axhline(90, **style.LEVEL)
                names = {label: members[layers] for label, members in families.items() if layers in members}
                found = {label: curve for label, name in names.items() if (curve := _curve(last[name], row, layers))}
                lines |= style.draw(axes, found, list(families))
                axes.set_xlim(0.7, layers + 0.3)
                axes.xaxis.set_major_locator(ticker.MaxNLocator(min(layers, 5), integer=True))
                axes.set(
                    title=f"{layers} layer{'s' * (layers > 1)}" if row is _ROWS[0] else "",
                    xlabel="Hidden layer" if row is _ROWS[-1] else "",
                    ylabel="" if axes is not abreast[0] else row.label,
                )
            if row.is_angle:
                _layers.degrees_axis(abreast)
            elif any(math.isfinite(axes.dataLim.y1) for axes in abreast):
                abreast[0].set_yscale("log")
                style.powers(abreast[0].yaxis)
        style.letters([axes for abreast in panels for axes in abreast])
        style.legend(drawn, {label: lines[label] for label in families if label in lines})
    return drawn


def _families(run: Run) -> dict[str, dict[int, str]]:
    """Conditions that differ in their hidden layers alone, by their number of layers; by what their names have in common."""
    found: dict[str, dict[int, str]] = {}
    for name, setting in run.settings.items():
        members = found.setdefault(_nudging.without(setting, ("network.hidden",)), {})
        members.setdefault(len(setting.network.hidden), name)
    labelled: dict[str, dict[int, str]] = {}
    for members in found.values():
        names = list(members.values())
        alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
        label = "".join(letters[0] for letters in alike).rstrip("-_. +")
        labelled[label if label and label not in labelled else names[0]] = members
    return labelled


def _curve(ends: list[dict[str, Any]], row: _Row, layers: int) -> summary.Curve | None:
    """A measure by hidden layer, from 1, of the last rows of metrics of a condition's seeds; None where no seed has it."""
    seeds = [row.values(last) for last in ends]
    seeds = [values for values in seeds if len(values) == layers]
    if not seeds:
        return None
    numbers = [[math.nan if value is None else value for value in values] for values in seeds]
    return summary.spread(range(1, layers + 1), numbers)
