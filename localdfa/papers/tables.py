"""The tables of a paper with what was measured beside what it reports, as Markdown and as an HTML page.

A table has a line for each row and a column for each condition, as in the paper; under it stands a line for each cell, with
epochs, training error, angles and seconds.

    python -m localdfa.papers.tables README.md docs/results/*.md

writes the tables of what comes with localdfa into files of Markdown that ask for them (see `into`).
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import jinja2

from localdfa import outputs
from localdfa.files import write_bytes
from localdfa.outputs import Measure
from localdfa.papers import NOT_LEARNED, Paper, Row, Table, cells, named
from localdfa.papers.cells import Measured

# As near as this a measured mean counts as that of the paper: standard deviations of the paper, and percentage points.
_DEVIATIONS, _POINTS = 3.0, 0.15
NOT_NEAR = "†"


class Entry(NamedTuple):
    """A row under one condition: what the paper reports, what is measured of each seed, and how many seeds there are to be.

    measure: what the table shows, of the test set. shortened: to so many epochs, where nothing is measured of whole trainings;
    then `found` has been stopped there.
    """

    row: Row
    condition: str
    reported: str | None
    found: list[Measured]
    seeds: int
    measure: Measure
    shortened: int | None

    @property
    def values(self) -> list[float]:
        """The measure, of each seed."""
        return [value for each in self.found if (value := each.test(self.measure.key)) is not None]

    @property
    def mean(self) -> float | None:
        """Test error, percent, or what the table shows, mean over seeds; None where nothing is measured."""
        return fmean(self.values) if self.values else None

    @property
    def said(self) -> str:
        """Mean and standard deviation over seeds, or the one value; a dash where the measure is undefined of all."""
        return spread(self.values, self.measure) if self.values else "–"

    @property
    def difference(self) -> float | None:
        """From the mean that the paper reports, in the unit of the measure; None where one of them is not there."""
        paper = parsed(self.reported)
        return None if self.mean is None or paper is None else self.mean - paper[0]

    @property
    def is_near(self) -> bool:
        """Whether what is measured of whole trainings is as near as `_DEVIATIONS` and, of percentages, `_POINTS` say, or cannot
        be compared."""
        paper = parsed(self.reported)
        if self.difference is None or self.shortened or paper is None:
            return True
        return abs(self.difference) <= max(_DEVIATIONS * paper[1], _POINTS * (self.measure.unit == "%")) + 1e-9


# The entries of a table: for each row one a condition.
Entries = list[list[Entry]]


def entries(paper: Paper, table: Table, results: Sequence[Measured], otherwise: Sequence[Measured] = ()) -> Entries:
    """What is measured of a table, and what the paper reports.

    otherwise: what stands for a row under a condition of which `results` have nothing; the two are not mixed.
    """
    measure = outputs.measures()[table.measure]
    return [
        [_entry(paper, row, condition.name, measure, (results, otherwise)) for condition in paper.experiment(row).condition]
        for row in table.row
    ]


def _entry(paper: Paper, row: Row, condition: str, measure: Measure, sources: Iterable[Sequence[Measured]]) -> Entry:
    """From the first of these sources that has something of it."""
    planned = len(paper.experiment(row).seeds)
    for results in sources:
        own = [each for each in results if (each.row, each.condition) == (row.name, condition)]
        lengths = sorted({each.asked_epochs for each in own if each.asked_epochs}, reverse=True)
        for epochs in (None, *lengths):
            known = max((each.seed for each in own), default=-1) + 1
            asked = cells.of(paper, row, [condition], max(planned, known), epochs)
            found = [each for cell in asked if (each := cells.find(own, cell))]
            if found:
                return Entry(row, condition, row.reported.get(condition), found, planned, measure, epochs)
    return Entry(row, condition, row.reported.get(condition), [], planned, measure, None)


def spread(values: Sequence[float], measure: Measure) -> str:
    """Mean and standard deviation of a measure, or the one value."""
    decimals = measure.decimals
    return f"{fmean(values):.{decimals}f}" + (f" ± {stdev(values):.{decimals}f}" if len(values) > 1 else "")


def parsed(reported: str | None) -> tuple[float, float] | None:
    """Mean and standard deviation that a paper reports; None where it does not, or where nothing was learned."""
    if reported is None or reported == NOT_LEARNED:
        return None
    mean, deviation = reported.split(" ± ")
    return float(mean), float(deviation)


def _measured(entry: Entry, stopped: bool = True) -> str:
    """What is measured, marked where it is not near what the paper reports.

    stopped: whether the epochs of trainings that were stopped are said.
    """
    if not entry.found:
        return "not run"
    text = entry.said + NOT_NEAR * (not entry.is_near)
    lacking = f"{len(entry.found)} of {entry.seeds} seeds" if len(entry.found) < entry.seeds else ""
    epochs = counted(entry.shortened) if entry.shortened and stopped else ""
    said = ", ".join(filter(None, (lacking, epochs)))
    return f"{text} ({said})" if said else text


def counted(epochs: int) -> str:
    """A number of epochs, in words."""
    return f"{epochs} epoch{'s' * (epochs > 1)}"


def _short(entry: Entry, stopped: bool = True) -> str:
    """The cell of the short table: what is measured, as `_measured`, and in brackets what the paper reports."""
    paper = "" if entry.reported is None else f" [{entry.reported}]"
    return f"{_measured(entry, stopped)}{paper}"


Grid = list[list[str]]


def by_rule(found: Entries) -> Grid:
    """A line for each variant of the conditions RULE-WHAT of a row, a column for each rule; with cosines of signals.

    Where all trainings were stopped after as many epochs, the heading says so, and not each cell.
    """
    grid: Grid = []
    for line in found:
        lengths = {entry.shortened for entry in line if entry.found}
        (epochs,) = lengths if len(lengths) == 1 else (None,)
        parts = [entry.condition.partition("-") for entry in line]
        rules, variants = (list(dict.fromkeys(part[k] for part in parts)) for k in (0, 2))
        texts = {(part[2], part[0]): _with_cosines(entry, stopped=not epochs) for part, entry in zip(parts, line, strict=True)}
        grid.append([line[0].row.label + (f", {counted(epochs)}" if epochs else ""), *rules])
        grid += [[variant or "–", *(texts.get((variant, rule), "–") for rule in rules)] for variant in variants]
    return grid


def _with_cosines(entry: Entry, stopped: bool) -> str:
    """What is measured, as `_measured`, and means over seeds of the cosine between signal and gradient in each hidden layer."""
    known = [each.signal_cosine for each in entry.found if each.signal_cosine]
    if not known or any(cosine is None for layers in known for cosine in layers):
        return _short(entry, stopped)
    return f"{_short(entry, stopped)}; {', '.join(f'{fmean(layers):.2f}' for layers in zip(*known, strict=True))}"


def short(found: Entries) -> Grid:
    """The table as the paper has it, headings first: a line for each row, a column for each condition."""
    names = list(dict.fromkeys(entry.condition for line in found for entry in line))
    by_name = [{entry.condition: entry for entry in line} for line in found]
    lines = [
        [line[0].row.label, *(_short(named[name]) if name in named else "–" for name in names)]
        for line, named in zip(found, by_name, strict=True)
    ]
    return [["network", *names], *lines]


def long(found: Entries) -> Grid:
    """A line for each cell that is measured, or for the condition of a row of which none is."""
    label = found[0][0].measure.label
    head = [
        "network", "rule", "seed", "paper", f"test {label}", "difference", "in its sd", f"training {label}", "epochs",
        "angle to BP (°)", "angle to DFA (°)", "angle of B to W, by layer (°)", "seconds",
    ]  # fmt: skip
    return [head, *(line for row in found for entry in row for line in _lines(entry))]


def _lines(entry: Entry) -> Iterable[list[str]]:
    first = [entry.row.label, entry.condition]
    if not entry.found:
        yield [*first, "–", entry.reported or "–", "not run", *["–"] * 8]
    for each in entry.found:
        difference = deviations = "–"
        found, paper = each.test(entry.measure.key), parsed(entry.reported)
        if found is not None and paper is not None:
            difference = f"{found - paper[0]:+.{entry.measure.decimals}f}"
            deviations = f"{(found - paper[0]) / paper[1]:+.1f}" if paper[1] else "–"
        kept = each.kept_epoch
        epochs = f"{each.epochs}" if kept == each.epochs else f"{each.epochs}, kept {kept}"
        # Of a measure that is not the first there is no curve.
        trained = each.train_error[kept] if each.measure == entry.measure.key else None
        tested, in_training = ("–" if value is None else spread([value], entry.measure) for value in (found, trained))
        yield [
            *first, str(each.seed), entry.reported or "–", tested, difference, deviations, in_training, epochs,
            _angle(each.angle_to_bp), _angle(each.angle_to_dfa), _by_layer(each.feedback_angle), f"{each.seconds:.0f}",
        ]  # fmt: skip


def _angle(layers: list[float | None] | None) -> str:
    """The mean over hidden layers."""
    known = [angle for angle in layers or () if angle is not None]
    if not known:
        return "–"
    return "< 0.1" if fmean(known) < 0.1 else f"{fmean(known):.1f}"


def _by_layer(angles: list[float | None] | None) -> str:
    """The angle of each hidden layer."""
    return ", ".join("–" if angle is None else f"{angle:.1f}" for angle in angles or ()) or "–"


def legend(found: Entries, cosines: bool = False) -> list[str]:
    """What the signs of a table mean, and what is to be said of its rows: sentences.

    cosines: whether it has those of signals.
    """
    flat = [entry for line in found for entry in line]
    beside = "; in square brackets what the paper reports" if any(entry.reported for entry in flat) else ""
    measure = flat[0].measure
    what = "Test error in percent" if measure.key == "error" else f"{measure.label} of the test set"
    said = [f"{what}, mean ± standard deviation over seeds of what is measured here{beside}."]
    if cosines:
        said.append(
            "Behind it the cosine between the signal and the gradient of the loss in each hidden layer, mean over samples."
        )
    if any(not entry.is_near for entry in flat):
        points = f" and than {_POINTS:g} percentage points" if measure.unit == "%" else ""
        said.append(f"{NOT_NEAR} further from the paper's mean than {_DEVIATIONS:g} of its standard deviations{points}.")
    if any(entry.shortened for entry in flat):
        said.append("Where a number of epochs is given, training was stopped there; the paper trains for longer.")
    said += [f"{row.label}: {row.note}" for (row, *_), *_ in found if row.note]
    return said


def _as_asked(table: Table, found: Entries) -> Grid:
    """The short table of a table of a paper."""
    return by_rule(found) if table.by_rule else short(found)


def markdown(grid: Grid) -> str:
    """A grid as a table of Markdown."""
    lines = [grid[0], ["---"] * len(grid[0]), *grid[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(
    paper: Paper, tables: Sequence[Table], results: Sequence[Measured], pictures: Mapping[str, Sequence[tuple[Path, str]]],
    folder: Path, form: str, otherwise: Sequence[Measured] = (),
) -> str:  # fmt: skip
    """Tables, each with its figures, its legend and cell by cell, as one text: ``md`` or ``html``.

    results, otherwise: as of `entries`. pictures: the figures of tables by their names, each a file and a caption. folder:
    where the text will lie.
    """
    parts = []
    for table in tables:
        found = entries(paper, table, results, otherwise)
        shown = [(path.relative_to(folder).as_posix(), caption) for path, caption in pictures.get(table.name, ())]
        parts.append(
            {
                "title": table.title,
                "short": _as_asked(table, found),
                "legend": legend(found, table.by_rule),
                "long": long(found),
                "figures": shown,
            }
        )
    environment = jinja2.Environment(
        autoescape=form == "html", undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["markdown"] = markdown
    template = resources.files("localdfa.papers").joinpath(f"page.{form}.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(paper=paper, tables=parts)


def into(text: str) -> str:
    """A text of Markdown whose tables between ``<!-- paper PAPER/TABLE -->`` and ``<!-- end -->`` are of the results that come
    with localdfa."""

    def drawn(found: re.Match[str]) -> str:
        name, _, of_paper = found[1].partition("/")
        paper = named(name)
        (table,) = paper.chosen((of_paper,))
        filled = entries(paper, table, cells.kept(paper.results))
        said = " ".join(legend(filled, table.by_rule))
        return f"<!-- paper {found[1]} -->\n\n{markdown(_as_asked(table, filled))}\n{said}\n\n<!-- end -->"

    return re.sub(r"<!-- paper (\S+) -->.*?<!-- end -->", drawn, text, flags=re.DOTALL)


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        write_bytes(file, into(file.read_text(encoding="utf-8")).encode())
