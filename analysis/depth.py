"""Where in a network feedback fails: angles and size of the updates after training, layer by layer, by the number of layers.

Reads ``angle_to_bp``, ``alignment``, ``update_norm`` and ``weight_norm`` of the last row of the metrics of each condition and
seed.
"""

import math
from collections.abc import Callable, Iterable
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
        f"feedback does not reach them. {summary.seeds(run)}{_said(_families(run))}"
    )


def _said(families: dict[str, dict[int, str]]) -> str:
    """Sentences of the caption where not all lines, or not all numbers of layers, are drawn."""
    deep, lines = _deep([*families.values()][: _many.MOST]), len(families)
    few = "" if len(deep) <= _layers.MOST else f" Of {len(deep)} numbers of layers {_layers.MOST} are drawn."
    return few + ("" if lines <= _many.MOST else f" Of {lines} lines the first {_many.MOST} are drawn.")


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
    deep = _deep(families.values())
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


def _deep(families: Iterable[dict[int, str]]) -> list[int]:
    """The numbers of layers that there are."""
    return sorted({layers for members in families for layers in members})


def _families(run: Run) -> dict[str, dict[int, str]]:
    """Conditions that differ in their hidden layers alone, by their number of layers; by what their names have in common.

    Where several of them have as many layers, those belong together whose layers are alike, as 30 and 30-30.
    """
    alike: dict[str, list[str]] = {}
    for name, setting in run.settings.items():
        alike.setdefault(_nudging.without(setting, ("network.hidden",)), []).append(name)
    labelled: dict[str, dict[int, str]] = {}
    for names in alike.values():
        for members in _by_depth(run, names):
            label = _in_common([*members.values()])
            labelled[_many.called(label, next(iter(members.values())), labelled)] = members
    return labelled


def _by_depth(run: Run, names: list[str]) -> list[dict[int, str]]:
    """Conditions by their number of layers: in one group where each has another one, else in one for each kind of layers, and
    those that are still as deep as another in one of their own."""
    hidden = {name: run.settings[name].network.hidden for name in names}
    if len({len(layers) for layers in hidden.values()}) == len(names):
        return [{len(layers): name for name, layers in hidden.items()}]
    groups: dict[str, list[dict[int, str]]] = {}
    for name, layers in hidden.items():
        of_kind = groups.setdefault(repr(sorted({*map(repr, layers)})), [])
        group = next((each for each in of_kind if len(layers) not in each), None)
        if group is None:
            of_kind.append(group := {})
        group[len(layers)] = name
    return [group for of_kind in groups.values() for group in of_kind]


def _in_common(names: list[str]) -> str:
    """What names begin with, without what joins it to the rest."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike).rstrip("-_. +")


def _curve(ends: list[dict[str, Any]], row: _Row, layers: int) -> summary.Curve | None:
    """A measure by hidden layer, from 1, of the last rows of metrics of a condition's seeds; None where no seed has it."""
    seeds = [row.values(last) for last in ends]
    seeds = [values for values in seeds if len(values) == layers]
    if not seeds:
        return None
    numbers = [[math.nan if value is None else value for value in values] for values in seeds]
    return summary.spread(range(1, layers + 1), numbers)
