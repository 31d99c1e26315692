"""Events over training: how many a pass through the training set takes, and what error they buy.

Reads ``events`` and ``test_error``, of a regression ``test_rmse``, of the metrics. An event is a spike, or a graded event of a
rate neuron.
"""

from itertools import pairwise
from typing import Any

from localdfa.analysis import _many, style, summary
from localdfa.outputs import Measure
from localdfa.record import Run

TITLE, SECTION = "Events, and the error that they buy", "learning"

_EACH, _ALL = "Events per epoch (count)", "Events so far (count)"


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    number, what = len({row["condition"] for row in run.metrics}), summary.error(run).name
    if number > _many.TOGETHER:
        return (
            f"Test {what} against the events of training so far, both means over seeds, a point for each epoch: spikes, those "
            "of the twin compartments included, or graded events of rate neurons. Further to the left is cheaper. Measuring "
            f"and testing are not counted.{_many.apart(number, f'the test {what}s of all others in grey')}"
        )
    return (
        "a, Events of each epoch of training: spikes, those of the twin compartments included, or graded events of rate "
        f"neurons. b, Test {what} against the events of training so far, both means over seeds: further to "
        f"the left is cheaper. Measuring and testing are not counted. {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """Two panels: events an epoch, and test error against all events so far; of many conditions the second for each.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    rows, order, what = summary.measured(run), list(run.settings), summary.error(run)
    total, error = summary.curves(rows, "events"), summary.curves(rows, f"test_{what.key}")
    epochs = _epochs(run)
    each = summary.curves(epochs, "events") if epochs else {}
    courses = {name: _begun(summary.Curve(total[name].mean, *[curve.mean] * 3)) for name, curve in error.items()}
    with style.context():
        if len(courses) > _many.TOGETHER:
            return _apart([name for name in order if name in courses][: _many.MOST], courses, what)
        drawn = style.Figure(style.TWO_COLUMNS, 2.6 + style.legend_height(order, style.TWO_COLUMNS))
        left, right = drawn.subplots(1, 2)
        style.draw(left, each, order)
        style.epoch_axis(left, rows)
        left.set(xlabel="Epoch", ylabel=_EACH)
        style.count_axis(left, "y", [value for curve in each.values() for value in curve.low + curve.high])
        lines = style.draw(right, courses, order)
        right.set(xlabel=_ALL, ylabel=f"Test {what.label}")
        _axes(right, courses)
        style.letters([left, right])
        style.legend(drawn, lines)
    return drawn


def _apart(names: list[str], courses: dict[str, summary.Curve], what: Measure) -> style.Figure:
    """A panel for each condition, with the others behind: test error against all events so far."""
    drawn, (panels,) = _many.panels(names, [f"Test {what.label}"], [_ALL])
    for axes, name in zip(panels, names, strict=True):
        curve = courses[name]
        look: dict[str, Any] = {"color": style.PALETTE[0], "marker": "o", "markersize": style.mark(2), "zorder": 3}
        (line,) = axes.plot(curve.x, curve.mean, label=f"test {what.name}, epoch by epoch", **look)
        behind = _many.others(axes, name, courses, "the others")
    _axes(panels[0], courses)
    drawn.explain([line, behind])
    return drawn


def _axes(axes: style.Axes, courses: dict[str, summary.Curve]) -> None:
    """The axes of test errors and of events so far."""
    style.error_axis(axes, [value for curve in courses.values() for value in curve.mean])
    style.count_axis(axes, "x", [value for curve in courses.values() for value in curve.x])


def _epochs(run: Run) -> list[dict]:
    """Rows with the events of each epoch alone."""
    return [
        {**row, "events": row["events"] - before["events"]}
        for rows in run.rows_by_job.values()
        for before, row in pairwise(rows)
    ]


def _begun(curve: summary.Curve) -> summary.Curve:
    """A curve without the points before the first event, which a logarithmic axis has no place for."""
    skip = sum(x <= 0 for x in curve.x)
    return summary.Curve(curve.x[skip:], curve.mean[skip:], curve.low[skip:], curve.high[skip:])
