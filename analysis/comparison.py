"""Conditions, of one run or of several, beside each other: test error at the end, and differences seed by seed.

Reads ``test_error``, of a regression ``test_rmse``, of the last row of the metrics of each condition and seed.
"""

from statistics import fmean, stdev
from typing import NamedTuple

from localdfa.analysis import style, summary
from localdfa.errors import RunError
from localdfa.record import Run, ending

TITLE, SECTION = "Error at the end, by condition", "results"


class _Entry(NamedTuple):
    """One condition of one run: its name, its place in its experiment, its last test error by seed."""

    name: str
    look: int
    errors: dict[int, float]


def caption(*runs: Run) -> str:
    """What to see, and what bars and lines are."""
    found = _entries(*runs)
    text = (
        f"a, Test {summary.error(runs[0]).name} at the end of training. Bars are means over seeds, lines reach one standard "
        "deviation to each side, points are the seeds. "
    )
    if len(found) > 1:
        text += (
            f"b, Differences to {found[0].name}, seed by seed{_points(*runs)}: points are the seeds that both have, "
            "which share initial weights, feedback and the order of samples as far as the experiments do; the large mark is "
            "their mean. To the right of the dashed line is worse. "
        )
    return text + f"{_numbers(found)}."


def figure(*runs: Run) -> style.Figure:
    """Bars with spread for each condition of each run, and the paired differences to the first.

    Raises
    ------
    RunError
        Nothing is measured yet.
    """
    found = _entries(*runs)
    with style.context():
        names = [style.folded(entry.name, 2.2) for entry in found]
        widest = max(len(line) for name in names for line in name.splitlines())
        drawn = style.Figure(style.TWO_COLUMNS, 0.8 + 0.27 * len(found))
        panels = drawn.subplots(1, min(2, len(found)), squeeze=False, sharey=True)[0]
        left = panels[0]
        for place, entry in enumerate(found):
            values = list(entry.errors.values())
            colour = style.line(entry.look)["color"]
            spread = stdev(values) if len(values) > 1 else 0
            left.barh(place, fmean(values), height=0.6, color=colour, alpha=0.45, linewidth=0)
            left.errorbar(
                fmean(values), place, xerr=spread or None, color="#000000", linewidth=style.mark(0.9),
                capsize=style.mark(3), capthick=style.mark(0.9), zorder=3,
            )  # fmt: skip
            left.plot(values, [place] * len(values), "o", color=colour, markeredgecolor="white", markeredgewidth=0.4, zorder=4)
        style.name_axis(left.yaxis, [entry.name for entry in found], names)
        left.set(xlabel=f"Test {summary.error(runs[0]).label}")
        left.set_ylim(len(found) - 0.4, -0.6)
        left.tick_params(axis="y", labelsize=style.points(7 if widest < 30 else 5.5))
        if len(found) > 1:
            _differences(panels[1], found, summary.error(runs[0]).unit)
        style.letters(list(panels))
        drawn.get_layout_engine().set(w_pad=0.1)
    return drawn


def _points(*runs: Run) -> str:
    """The unit of differences, behind a comma; none where errors have none."""
    return ", in percentage points" if summary.error(runs[0]).unit == "%" else ""


def _differences(axes: style.Axes, found: list[_Entry], unit: str) -> None:
    """Differences of each entry to the first, for the seeds that both have."""
    axes.axvline(0, **style.LEVEL)
    for place, entry in enumerate(found[1:], 1):
        apart = [error - found[0].errors[seed] for seed, error in entry.errors.items() if seed in found[0].errors]
        colour = style.line(entry.look)["color"]
        if not apart:
            axes.text(0.02, place, "no seed in common", transform=axes.get_yaxis_transform(), va="center")
            continue
        axes.plot(apart, [place] * len(apart), "o", color=colour, alpha=0.6)
        axes.plot(
            [fmean(apart)], [place], "D", color=colour, markersize=style.mark(5), markeredgecolor="black",
            label=f"{entry.name} (mean)",
        )  # fmt: skip
    axes.set_xlabel(style.folded(f"Difference to {found[0].name}" + (" (percentage points)" if unit else ""), 2.2))
    axes.tick_params(labelleft=False)


def _entries(*runs: Run) -> list[_Entry]:
    """Every condition that is measured, of every run; runs are named by their folders where there are several."""
    found, what = [], summary.error(runs[0])
    if other := next((run for run in runs if summary.error(run) != what), None):
        raise RunError(
            f"{other.folder}: has the measure {summary.error(other).name}, {runs[0].folder} {what.name}, which do not compare"
        )
    for run, label in zip(runs, summary.labels(runs), strict=True):
        by_job = run.rows_by_job
        for look, name in enumerate(run.settings):
            last = {job.seed: row for job, rows in by_job.items() if job.condition == name and (row := ending(rows))}
            known = ((seed, row.get(f"test_{what.key}")) for seed, row in last.items())
            errors = {seed: error for seed, error in known if error is not None}
            if errors:
                found.append(_Entry(f"{label}: {name}" if label else name, look, errors))
    if not found:
        for run in runs:
            summary.measured(run)
        raise RunError(f"{runs[0].folder}: this run has no measure 'test_{what.key}'")
    return found


def _numbers(found: list[_Entry]) -> str:
    """How many seeds there are."""
    numbers = sorted({len(entry.errors) for entry in found})
    return f"{numbers[0]} to {numbers[-1]} seeds" if len(numbers) > 1 else f"{numbers[0]} seed{'s' * (numbers[0] > 1)}"
