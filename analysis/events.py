"""Events over training: how many a pass through the training set takes, and what error they buy.

Reads ``events`` and ``test_error``, of a regression ``test_rmse``, of the metrics. An event is a spike, or a graded event of a
rate neuron.
"""

from localdfa.analysis import style, summary
from localdfa.record import Run


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "a, Events of each epoch of training: spikes, those of the twin compartments included, or graded events of rate "
        f"neurons. b, Test {summary.error(run).name} against the events of training so far, both means over seeds: further to "
        f"the left is cheaper. Measuring and testing are not counted. {summary.band(run)}"
    )


def figure(run: Run) -> style.Figure:
    """Two panels: events an epoch, and test error against all events so far; a line for each condition.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    rows, order, what = summary.measured(run), list(run.settings), summary.error(run)
    total, error = summary.curves(rows, "events"), summary.curves(rows, f"test_{what.key}")
    each = summary.curves(_epochs(run), "events") if len(rows) > len(run.jobs) else {}
    with style.context():
        drawn = style.Figure(style.TWO_COLUMNS, 2.6 + style.legend_height(order, style.TWO_COLUMNS))
        left, right = drawn.subplots(1, 2)
        style.draw(left, each, order)
        style.epoch_axis(left, rows)
        left.set(xlabel="Epoch", ylabel="Events per epoch (count)")
        values = [value for curve in each.values() for value in curve.low + curve.high]
        style.count_axis(left, "y", values)
        courses = {name: summary.Curve(total[name].mean, curve.mean, curve.mean, curve.mean) for name, curve in error.items()}
        lines = style.draw(right, {name: _begun(curve) for name, curve in courses.items()}, order)
        right.set(xlabel="Events so far (count)", ylabel=f"Test {what.label}")
        style.error_axis(right, [value for curve in courses.values() for value in curve.mean])
        style.count_axis(right, "x", [value for curve in total.values() for value in curve.mean])
        style.letters([left, right])
        style.legend(drawn, lines)
    return drawn


def _epochs(run: Run) -> list[dict]:
    """Rows with the events of each epoch alone."""
    return [
        {**row, "events": row["events"] - before["events"]}
        for job in run.jobs
        for before, row in zip(job.metrics, job.metrics[1:], strict=False)
    ]


def _begun(curve: summary.Curve) -> summary.Curve:
    """A curve without the points before the first event, which a logarithmic axis has no place for."""
    skip = sum(x <= 0 for x in curve.x)
    return summary.Curve(curve.x[skip:], curve.mean[skip:], curve.low[skip:], curve.high[skip:])
