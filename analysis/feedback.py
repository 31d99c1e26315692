"""What feedback costs: test error at the end of training, by the feedback synapses that are left and by the feedback events.

Reads ``feedback_events`` and ``test_error``, of a regression ``test_rmse``, of the last row of the metrics of each condition
and seed, and ``feedback.density`` of its spec.
"""

from statistics import fmean
from typing import NamedTuple

from localdfa import registry
from localdfa.analysis import _many, style, summary
from localdfa.errors import RunError
from localdfa.record import Run

TITLE, SECTION = "What feedback costs", "learning"


class _Point(NamedTuple):
    """A condition: its name, its place in the experiment, its feedback synapses in percent; events and errors of its seeds."""

    name: str
    place: int
    left: float
    events: list[float]
    errors: list[float]


def caption(run: Run) -> str:
    """What to see, and what points and lines are."""
    found, what, number = _points(run), summary.error(run).name, summary.several(run)
    seeds = f"Points are means over {number}, lines reach from the lowest to the highest." if number else "One seed."
    silent = [name for name in run.settings if name not in {point.name for point in found}]
    text = (
        f"Test {what} at the end of training against what brings the error to the hidden layers. a, Against the part of the "
        "entries of the feedback matrices that are not zero. b, Against the feedback events of the whole training: values that "
        "are sent back, or spikes of error neurons, each as often as it passes a synapse, in every nudged phase anew. To the "
        f"left is cheaper. {seeds}"
    )
    if silent:
        text += f" Without feedback through such matrices, and left out: {', '.join(silent)}."
    return text + _many.said(len(found))


def figure(run: Run) -> style.Figure:
    """Two panels with a point for each condition: error against synapses that are left, and against feedback events.

    Raises
    ------
    RunError
        Nothing is measured yet, or no condition has matrices B.
    """
    found, what = _points(run)[: _many.MOST], summary.error(run)
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS, 2.6 + style.legend_height([point.name for point in found], style.TWO_COLUMNS))
        panels, lines = drawn.subplots(1, 2, sharey=True), {}
        for point in found:
            look = {**style.line(point.place), "linestyle": "", "markersize": style.mark(4.5), "zorder": 3}
            error = fmean(point.errors)
            reach = {"color": look["color"], "linewidth": style.mark(0.8), "zorder": 2}
            for axes, x in zip(panels, ([point.left], point.events), strict=True):
                (lines[point.name],) = axes.plot(fmean(x), error, label=point.name, **look)
                axes.plot([fmean(x)] * 2, [min(point.errors), max(point.errors)], **reach)
                axes.plot([min(x), max(x)], [error] * 2, **reach)
        panels[0].set(xlabel="Feedback synapses that are left (%)", ylabel=f"Test {what.label}")
        panels[1].set_xlabel("Feedback events (count)")
        style.count_axis(panels[0], "x", [point.left for point in found])
        style.count_axis(panels[1], "x", [value for point in found for value in point.events])
        style.error_axis(panels[0], [value for point in found for value in point.errors])
        style.letters(list(panels))
        style.legend(drawn, lines)
    return drawn


def _points(run: Run) -> list[_Point]:
    """The conditions with matrices B, without those in which nothing passed them while in others something did."""
    rows, key = summary.measured(run), f"test_{summary.error(run).key}"
    for needed in ("feedback_events", key):
        if not any(needed in row for row in rows):
            raise RunError(f"this run has no measure {needed!r}")
    found, last = [], summary.ends(run)
    for place, (name, setting) in enumerate(run.settings.items()):
        ends = [row for row in last[name] if row.get("feedback_events") is not None and row.get(key) is not None]
        ends = [row for row in ends if registry.get("feedback", setting.pathway_of(row["rule"])).draws()]
        if ends:
            events, errors = ([float(row[of]) for row in ends] for of in ("feedback_events", key))
            found.append(_Point(name, place, 100 * setting.feedback.density, events, errors))
    if not found:
        raise RunError(f"{run.folder}: the figure feedback needs an error that passes matrices B, and no condition has any")
    return [point for point in found if any(point.events)] or found
