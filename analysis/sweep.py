"""The error that training ends with, against a number that a sweep varies: which values do, and for whom.

Reads the error on the test set, or on the training set where there is none, of the last row of the metrics of each condition
and seed, and the settings, whose keys may differ in any number, as those of ``localdfa sweep`` do.
"""

import json
import re
from typing import Any, NamedTuple

from localdfa.analysis import _many, style, summary
from localdfa.errors import RunError
from localdfa.record import Run
from localdfa.spec import differing, explain

TITLE, SECTION = "Error over the values of a sweep", "results"

# Values that span so much stand on a logarithmic axis.
_WIDE = 10.0
_LEVELS = ("--", ":", "-.")


class _Swept(NamedTuple):
    """What is drawn: the key on the x axis, by line its conditions at each value, those that do not read the key, and those
    that have no number there."""

    key: str
    lines: dict[str, dict[float, str]]
    controls: list[str]
    unnumbered: dict[str, Any]

    @property
    def levels(self) -> list[str]:
        """Conditions that have no place on the x axis."""
        return [*self.controls, *self.unnumbered]


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    found, what = _swept(run), summary.error(run)
    few = _many.said(len(found.lines), _many.TOGETHER, "lines")
    shown, levels = found.levels[: len(_LEVELS)], ""
    if shown:
        reasons = dict.fromkeys(found.controls, f", which {found.key} does not reach")
        reasons |= {
            name: f", which has no {found.key}" if value is None else f", whose {found.key} is {_said(value)}"
            for name, value in found.unnumbered.items()
        }
        alike = {why: [name for name in shown if reasons[name] == why] for why in (reasons[name] for name in shown)}
        levels = f" Level lines: {'; '.join(', '.join(names) + why for why, names in alike.items())}."
        if len(found.levels) > len(shown):
            levels += f" Of {len(found.levels)} such conditions the first {len(shown)} are drawn."
    return (
        f"The {what.name} that training ends with against {found.key}, a line for all conditions that differ in nothing else."
        f"{levels} {summary.seeds(run)}{few}"
    )


def figure(run: Run) -> style.Figure:
    """One panel: a line for all conditions that differ in one number alone, the number with the most values.

    Raises
    ------
    RunError
        Nothing is measured yet, or no conditions differ in a number alone.
    """
    found, what, ends = _swept(run), summary.error(run), summary.ends(run)
    summary.measured(run)
    part = "test" if any(f"test_{what.key}" in row for rows in ends.values() for row in rows) else "train"

    def errors(name: str) -> list[float]:
        return [row[f"{part}_{what.key}"] for row in ends[name] if row.get(f"{part}_{what.key}") is not None]

    with style.context():
        shown = [*found.lines][: _many.TOGETHER]
        levels = found.levels[: len(_LEVELS)]
        width = style.ONE_COLUMN * 1.5
        drawn = style.Figure(width, 2.75 + style.legend_height([*shown, *levels], width))
        axes = drawn.subplots()
        curves: dict[str, summary.Curve] = {}
        for label in shown:
            at = {x: values for x, name in sorted(found.lines[label].items()) if (values := errors(name))}
            if at:
                curves[label] = summary.joined(at)
        handles = style.draw(axes, curves, shown)
        heights = [value for curve in curves.values() for value in (*curve.low, *curve.high)]
        for name, dashes in zip(levels, _LEVELS, strict=False):
            if values := errors(name):
                mean = sum(values) / len(values)
                handles[name] = axes.axhline(mean, color=style.GREY, linestyle=dashes, zorder=1, label=name)
                heights.append(mean)
        numbers = sorted({x for at in found.lines.values() for x in at})
        if numbers[0] > 0 and numbers[-1] / numbers[0] >= _WIDE:
            axes.set_xscale("log")
            style.powers(axes.xaxis)
        axes.set(xlabel=_with_unit(found.key), ylabel=f"{part.capitalize()} {what.label}")
        style.error_axis(axes, heights)
        style.legend(drawn, handles)
    return drawn


def _swept(run: Run) -> _Swept:
    apart = differing(run.settings)
    values: dict[str, dict[float, None]] = {}
    for keys in apart.values():
        for key, value in keys.items():
            if _is_number(value):
                values.setdefault(key, {})[float(value)] = None
    swept = [_alone_in(key, run, apart) for key in values]
    found = [each for each in swept if any(len(at) > 1 for at in each.lines.values())]
    if not found:
        raise RunError(
            f"{run.folder}: the figure sweep shows conditions that differ in a number alone, and there are no such; localdfa "
            f"sweep trains them"
        )
    return max(found, key=lambda each: len(values[each.key]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _alone_in(key: str, run: Run, apart: dict[str, dict[str, Any]]) -> _Swept:
    """The lines of conditions that differ in this key alone, by what tells them from the other lines."""
    several = len({setting.rule for setting in run.settings.values()}) > 1
    lines, controls, unnumbered = dict[str, dict[float, str]](), list[str](), dict[str, Any]()
    others: dict[str, dict[str, Any]] = {}
    for name, own in apart.items():
        if key not in own:
            controls.append(name)
            continue
        if not _is_number(own[key]):
            unnumbered[name] = own[key]
            continue
        rule, x = run.settings[name].rule, float(own[key])
        rest = {other: value for other, value in own.items() if other != key and value is not None}
        line = json.dumps([rule, rest])
        if x in lines.get(line, {}):  # differs in nothing that is read
            line = json.dumps([rule, rest, name])
        others[line] = {"rule": rule, **rest}
        lines.setdefault(line, {})[x] = name
    labels, labelled = _labels(others, ["rule"] if several else []), dict[str, dict[float, str]]()
    for line, at in lines.items():
        name = next(iter(at.values()))
        labelled[_many.called(name if len(at) == 1 else labels[line], name, labelled)] = at
    return _Swept(key, labelled, controls, unnumbered)


def _labels(lines: dict[str, dict[str, Any]], keys: list[str]) -> dict[str, str]:
    """What lines are called: by these keys, and as few others as tell them apart, numbers and words before tables."""

    def parts(line: str, keys: list[str]) -> list[str]:
        own = lines[line]
        return [own[k] if k == "rule" else f"{k.rpartition('.')[2]} {_said(own[k])}" for k in keys if k in own]

    def kinds(keys: list[str]) -> int:
        return len({", ".join(parts(line, keys)) for line in lines})

    candidates = dict.fromkeys(key for own in lines.values() for key in own)
    for key in sorted(candidates, key=lambda each: any(isinstance(own.get(each), (list, dict)) for own in lines.values())):
        if key not in keys and kinds([*keys, key]) > kinds(keys):
            keys = [*keys, key]
    return {line: ", ".join(parts(line, keys)) or lines[line]["rule"] for line in lines}


def _with_unit(key: str) -> str:
    name = re.sub(r"\[\d+\]", "", key)  # of the first stage as of any
    unit = next((each.unit for each in explain.all_keys() if each.name == name), "")
    return f"{key} ({unit})" if unit else key


def _said(value: Any) -> str:
    """A value in the legend; of a table, such as a stage, what is given."""
    if isinstance(value, dict):
        return " ".join(f"{key} {_said(each)}" for key, each in value.items() if each not in (None, [], {}))
    return "×".join(map(_said, value)) if isinstance(value, list) else str(value)
