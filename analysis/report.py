"""The report of a run or of several: figures as files, one self-contained HTML page, and the table on a terminal.

The page reaches for nothing outside itself. What stands in it comes from files that anyone may have written, so all of
it is escaped, figures are embedded as images, and the page's own policy forbids connections and every script but the one
whose hash it names: that sorts the tables, opens the figures large and unfolds what a link leads to or a printer needs;
without it the page can be read as well.

What came out stands first: the table, narrow enough for a phone, and the error over training; then each section of
`analysis.SECTIONS` with its figures.
"""

import base64
import copy
import hashlib
import inspect
import shlex
import textwrap
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import threadpoolctl
from markupsafe import Markup

from localdfa import analysis, files, folder, record, registry
from localdfa.analysis import _kept, _panels, style, summary
from localdfa.errors import RunError, SpecError, quoted
from localdfa.record import Run

# A figure this much higher than wide is shown at its full height.
_TALL = 1.15
# Columns that a narrow terminal goes without, the first first.
_DISPENSABLE = ("feedback", "epochs", "kept epoch", "rule", "seeds", "seconds", "events")


def write(*runs: Run, path: Path | None = None) -> Path:
    """Write the page on one run or several side by side, its figures as SVG files as well, and say where the page is.

    A figure that cannot be drawn is replaced by the reason.

    Parameters
    ----------
    runs: at least one.
    path: of the page; if left out, ``report.html`` in the one run, or of several in the working directory. Where it is given,
        a run that cannot be written goes without the files of its figures.

    Raises
    ------
    RunError
        A file cannot be read or written; or the path is that of what a run is made of.
    """
    place = (runs[0].folder if len(runs) == 1 else Path()) / "report.html" if path is None else path
    folder.check_target(place)
    files.write_bytes(place, page(*runs, elsewhere=path is not None).encode(errors="replace"))
    return place


def plot(
    runs: Sequence[Run], names: Collection[str] = (), form: str = "png", look: str = "paper", out: Path | None = None,
    width: float | None = None, height: float | None = None, conditions: Sequence[str] = (), **chosen: int | None,
) -> Iterator[str]:  # fmt: skip
    """Draw figures to files ``NAME.FORM``, and say of each where it is, or why it is not drawn.

    Those that a run keeps no record for are said in one line.

    Where a figure that was named cannot be drawn, the others are, and the error comes last.

    Parameters
    ----------
    runs: at least one; a figure that compares runs is drawn once, of all.
    names: of figures; all, where none is named.
    form: ``png``, ``svg`` or ``pdf``; or ``csv``, the numbers that a figure shows (see `_panels.rows`).
    look: ``paper`` or ``talk``.
    out: the folder; if left out, ``figures`` in each run, for figures of several runs the working directory.
    width, height: inches; each as the figure has it, if left out.
    conditions: those that figures show, see `narrowed`; all, where none is named.
    chosen: what figures show, ``trial`` or ``neuron``, where it is not None; where none is named, those that take it are drawn.

    Raises
    ------
    SpecError
        No such figure or condition.
    RunError
        A file cannot be read or written; a figure was named that cannot be drawn.
    """
    style.check_size(width=width, height=height)
    if conditions:
        runs = narrowed(runs, conditions)
    asked = {key: value for key, value in chosen.items() if value is not None}
    taking = [name for name in analysis.names() if not asked or set(asked) <= _chosen_by(name)]
    modules = {name: analysis.get(name) for name in names or taking}
    for name in modules:
        _check_taken(name, asked)
    labels, failed = summary.labels(runs), list[str]()
    lacking: dict[Path, dict[str, list[str]]] = {run.folder: {} for run in runs}
    for name, module in modules.items():
        joint = analysis.joint(name)
        for group in [list(runs)] if joint else [[run] for run in runs]:
            prefix = labels[runs.index(group[0])].replace("/", "-") + "-" if out and len(runs) > 1 and not joint else ""
            place = (group[0].folder / "figures" if len(group) == 1 else Path()) if out is None else out
            path = place / f"{prefix}{name}.{form}"
            folder.check_target(path)
            try:
                with style.using(look), _one_line(group[0], name):
                    drawn = sized(module.figure(*group, **asked), width, height)
                    content = _panels.table(drawn) if form == "csv" else drawn.content(form, summary.origin(*group))
            except (RunError, style.SizeError) as error:
                if names:
                    failed.append(str(error))
                elif isinstance(error, _kept.Lacking):
                    lacking[group[0].folder].setdefault(error.record, []).append(name)
                else:
                    yield f"no {name}: {error}"
                continue
            files.write_bytes(path, content)
            yield str(path)
    for of_run, records in lacking.items():
        if records:
            what = "; no ".join(f"{kept}: {', '.join(figures)}" for kept, figures in records.items())
            which = "the run" if len(runs) == 1 else of_run
            yield f"Not drawn, because {which} keeps no {what} (--figure NAME says what would keep it)"
    if failed:
        raise RunError("\n".join(dict.fromkeys(failed)))


def _chosen_by(name: str) -> set[str]:
    """What a figure lets one choose of what it shows."""
    return set(inspect.signature(analysis.get(name).figure).parameters) & {"trial", "neuron"}


def _check_taken(name: str, asked: Collection[str]) -> None:
    """Refuse a choice that a figure does not take."""
    for key in sorted(set(asked) - _chosen_by(name)):
        others = [other for other in analysis.names() if key in _chosen_by(other)]
        raise SpecError(f"figure {name!r} has no {key} to choose; allowed with {', '.join(others)}")


def narrowed(runs: Sequence[Run], conditions: Sequence[str]) -> list[Run]:
    """Runs that have some of their conditions alone, in the order in which these are named; figures draw them as any run.

    Of several runs each has those of the conditions that it has.

    Raises
    ------
    SpecError
        The conditions are no list of names; no run has one of them, or a run has none.
    """
    if isinstance(conditions, str) or not isinstance(conditions, Sequence) or not conditions:
        raise SpecError(f"conditions: {quoted(conditions)}; allowed: a list of names, as {[next(iter(runs[0].settings))]}")
    there = list(dict.fromkeys(name for run in runs for name in run.settings))
    if wrong := [name for name in conditions if name not in there]:
        raise SpecError(f"conditions: {registry.unknown(wrong[0], there)}")
    found = []
    for run in runs:
        some = copy.copy(run)
        some.settings = {name: run.settings[name] for name in conditions if name in run.settings}
        if not some.settings:
            raise SpecError(f"conditions: {run.folder} has none of {', '.join(conditions)}; it has {', '.join(run.settings)}")
        found.append(some)
    return found


def drawn(
    run: Run, name: str, look: str = "paper", conditions: Sequence[str] | None = None, **chosen: int | None
) -> style.Figure:  # fmt: skip
    """A figure of one run by its name; look, conditions, chosen: as of `plot`, but all conditions if they are None.

    Raises
    ------
    SpecError, RunError
        No such figure or condition; it cannot be drawn.
    """
    if conditions is not None:
        (run,) = narrowed([run], conditions)
    module, asked = analysis.get(name), {key: value for key, value in chosen.items() if value is not None}
    _check_taken(name, asked)
    with style.using(look), _one_line(run, name):
        found: style.Figure = module.figure(run, **asked)
    return found


def sized(drawn: style.Figure, width: float | None, height: float | None) -> style.Figure:
    """A figure with this width and height, inches; what is None stays as it is.

    Raises
    ------
    SpecError
        A side is no number, or out of bounds.
    SizeError
        It cannot be read at this size.
    """
    style.check_size(width=width, height=height)
    if width is not None or height is not None:
        sides = drawn.get_figwidth() if width is None else width, drawn.get_figheight() if height is None else height
        drawn.set_size_inches(*map(float, sides))
    return drawn


@contextmanager
def _one_line(run: Run, name: str) -> Iterator[None]:
    """Whatever a figure meets in the records of a run is a RunError of one line: the other figures and the table are drawn.

    BLAS has one thread meanwhile: with several, small matrices take longer, and many times longer where others compute as well.
    """
    try:
        with threadpoolctl.threadpool_limits(1, "blas"):
            yield
    except (RunError, style.SizeError):
        raise
    except Exception as error:
        what = str(error).partition("\n")[0]
        raise RunError(f"{run.folder}: the figure {name} cannot be drawn: {type(error).__name__}: {what}") from error


def page(*runs: Run, elsewhere: bool = False) -> str:
    """The HTML page; the figures of each run are also written to its ``figures``, or, elsewhere, where that can be written."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = {
        name: resources.files("localdfa.analysis").joinpath(name).read_text(encoding="utf-8")
        for name in ("report.html.jinja", "report.css", "report.js")
    }
    shown = [_about(run, label) for run, label in zip(runs, summary.labels(runs), strict=True)]
    table = [
        {**({"run": (about["label"], about["label"])} if len(runs) > 1 else {}), **row}
        for run, about in zip(runs, shown, strict=True)
        for row in summary.sortable(summary.rows(run))
    ]
    measures = [summary.error(run).key for run in runs]
    headings = _in_order(list(dict.fromkeys(heading for row in table for heading in row)), measures)
    figures = {name: _figures(runs, name, elsewhere) for name in analysis.names()}
    shown_figures = [_about_figure(name, drawn) for name, drawn in figures.items() if any("svg" in each for each in drawn)]
    return environment.from_string(text["report.html.jinja"]).render(
        title=shown[0]["title"] if len(runs) == 1 else " · ".join(about["label"] for about in shown),
        runs=shown,
        headings=headings,
        table=table,
        names=("run", *summary.NAMES),
        sections={
            key: (heading, [figure for figure in shown_figures if figure["section"] == key])
            for key, heading in analysis.SECTIONS.items()
        },
        missing=list(dict.fromkeys(each["missing"] for drawn in figures.values() for each in drawn if "missing" in each)),
        style=Markup(text["report.css"]),
        script=Markup(text["report.js"]),
        hash=base64.b64encode(hashlib.sha256(text["report.js"].encode()).digest()).decode(),
    )


def _about(run: Run, label: str) -> dict[str, Any]:
    """What the page says of one run apart from its results."""
    info, status = run.info, run.status
    return {
        "label": label,
        "title": run.experiment.title or str(info.get("name") or run.folder.resolve().name),
        "status": status,
        "state": status if status in ("finished", "running", "interrupted") else "stopped",
        "started": info.get("started"),
        "notes": info.get("notes", []),
        "made_with": _made_with(info),
        "experiment": run.experiment,
        "settings": run.settings,
        "sources": _sources(run),
        "spec": record.to_toml(run.experiment),
        "folder": shlex.quote(str(run.folder)),
        "spec_path": shlex.quote(str(run.folder / "spec.toml")),
    }


def _sources(run: Run) -> dict[str, list[tuple[str, str]]]:
    """Of modules, by condition: each parameter, and what trains it, in words."""
    found = {}
    for job in run.jobs:
        if job.condition not in found and job.keeps(record.SOURCES):
            kept = job.load(record.SOURCES)
            found[job.condition] = list(zip(kept["parameter"].tolist(), kept["taught_by"].tolist(), strict=True))
    return found


def _made_with(info: dict[str, Any]) -> dict[str, str]:
    """Versions, revision, machine and data of a run, as far as its run.json says."""
    versions = info.get("versions")
    found = dict(versions) if isinstance(versions, dict) else {}
    found |= {
        "git revision": info.get("git_revision"),
        "platform": info.get("platform"),
        "data, SHA-256": info.get("data"),
    }
    return {str(label): str(value) for label, value in found.items() if value}


def _in_order(headings: list[str], measures: Collection[str]) -> dict[str, bool]:
    """The columns of the table of results from left to right, and whether a narrow page has each.

    measures: keys of what the runs' predictions are measured by first, of which the test part, or what there is, comes first.
    """
    parts = [[summary.heading(f"{part}_{key}") for part in ("test", "valid", "train")] for key in dict.fromkeys(measures)]
    first = [next(heading for heading in each if heading in headings) for each in parts if set(each) & set(headings)]
    always = [heading for heading in ("run", "condition", *first, "seeds") if heading in headings]
    return {**dict.fromkeys(always, True), **{heading: False for heading in headings if heading not in always}}


def _about_figure(name: str, drawn: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page says of a figure, whatever the run, and how it is drawn of each."""
    module = analysis.get(name)
    alternative = registry.describe("analysis", name)
    return {"name": name, "title": module.TITLE, "section": module.SECTION, "alternative": alternative, "drawn": drawn}


def _figures(runs: Sequence[Run], name: str, elsewhere: bool) -> list[dict[str, Any]]:
    """A figure of each run, or the one of all: a caption and an SVG image in base64, or what is missing."""
    groups = [list(runs)] if analysis.joint(name) else [[run] for run in runs]
    return [_figure(group, name, elsewhere) for group in groups]


def _figure(runs: list[Run], name: str, elsewhere: bool) -> dict[str, Any]:
    module = analysis.get(name)
    try:
        with _one_line(runs[0], name):
            drawn = module.figure(*runs)
            svg, caption = drawn.content("svg", summary.origin(*runs)), module.caption(*runs)
    except (RunError, style.SizeError) as error:
        return {"missing": f"{name}: {error}"}
    if len(runs) == 1:
        # A page that goes elsewhere is what was asked for, and is whole without these files.
        with suppress(RunError) if elsewhere else nullcontext():
            files.write_bytes(runs[0].folder / "figures" / f"{name}.svg", svg)
    shape = "narrow" if drawn.get_figwidth() < style.TWO_COLUMNS else "wide"
    if drawn.get_figheight() > _TALL * drawn.get_figwidth():
        shape += " tall"
    pixels = [round(100 * inches) for inches in drawn.get_size_inches()]
    return {"caption": caption, "svg": base64.b64encode(svg).decode(), "shape": shape, "pixels": pixels}


def print_table(run: Run, console: Any) -> None:
    """Print the table of results on a `rich.console.Console`; on a narrow terminal without its less telling columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = summary.cells(summary.rows(run))
    widths = {h: max(map(len, [*h.split(), *(row[h] for row in rows)])) for h in rows[0]}
    if not console.is_terminal:  # a file or pipe has no width to keep to
        console = Console(file=console.file, width=_width(widths))
    further = [measure.label for measure in next(iter(run.settings.values())).output.measures[1:]]
    found = next(iter(run.settings.values())).output.measures[0]
    rest = [f"train {found.label}", *map(summary.heading, summary.PER_LAYER)] if run.search else []
    for heading in (*_DISPENSABLE, *(f"{part} {label}" for label in further for part in ("validation", "train")), *rest):
        if _width(widths) > console.width:
            widths.pop(heading, None)
    widths["condition"] = max(10, widths["condition"] + min(0, console.width - _width(widths)))
    title = Text(run.experiment.title) if run.experiment.title else None
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading, width in widths.items():
        justify: Any = "left" if heading in summary.NAMES else "right"
        table.add_column(heading, justify=justify, width=width, overflow="fold")
    for row in rows:
        # Long names are folded at their hyphens, where they have some.
        table.add_row(*(Text(textwrap.fill(row[heading], width)) for heading, width in widths.items()))
    console.print(table)


def _width(widths: dict[str, int]) -> int:
    """Width of the printed table with columns this wide."""
    return sum(widths.values()) + 2 * len(widths)
