"""The report of a run: its figures as files, one self-contained HTML page, and the table of results on a terminal.

The page reaches for nothing outside itself. What stands in it comes from files that anyone may have written, so all of
it is escaped, figures are embedded as images, and the page's own policy forbids scripts and connections.
"""

import base64
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from localdfa import analysis, record
from localdfa.analysis import summary
from localdfa.errors import RunError
from localdfa.record import Run

# Columns that a narrow terminal goes without, the first first.
_DISPENSABLE = ("feedback", "epochs", "rule", "seeds", "seconds", "events")


def write(run: Run) -> Path:
    """Draw every figure to ``figures/NAME.svg`` and ``.png``, write ``report.html``, and say where that is.

    A figure for which the run has nothing yet is replaced by the reason.

    Raises
    ------
    RunError
        A file cannot be read or written.
    """
    figures = [_figure(run, name) for name in analysis.names()]
    path = run.folder / "report.html"
    _write(path, page(run, figures).encode(errors="replace"))
    return path


def page(run: Run, figures: list[dict[str, Any]]) -> str:
    """The HTML page; `figures` have a name and either a caption and an SVG image in base64, or what is missing."""
    info = run.info
    status = str(info.get("status") or "unknown")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.from_string(
        resources.files("localdfa.analysis").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        title=run.experiment.title or str(info.get("name") or run.folder.resolve().name),
        status=status,
        state=status if status in ("finished", "running", "interrupted") else "stopped",
        started=info.get("started"),
        made_with=_made_with(info),
        experiment=run.experiment,
        settings=run.settings,
        table=summary.cells(summary.rows(run)),
        names=summary.NAMES,
        figures=figures,
        spec=record.to_toml(run.experiment),
        folder=shlex.quote(str(run.folder)),
        spec_path=shlex.quote(str(run.folder / "spec.toml")),
    )


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
    for heading in _DISPENSABLE:
        if _width(widths) > console.width:
            widths.pop(heading, None)
    widths["condition"] = max(10, widths["condition"] + min(0, console.width - _width(widths)))
    title = Text(run.experiment.title) if run.experiment.title else None
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading, width in widths.items():
        justify: Any = "left" if heading in summary.NAMES else "right"
        table.add_column(heading, justify=justify, width=width, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[heading]) for heading in widths))
    console.print(table)


def _width(widths: dict[str, int]) -> int:
    """Width of the printed table with columns this wide."""
    return sum(widths.values()) + 2 * len(widths)


def _figure(run: Run, name: str) -> dict[str, Any]:
    module = analysis.get(name)
    try:
        drawn = module.figure(run)
    except RunError as error:
        return {"name": name, "missing": str(error)}
    files = {form: drawn.content(form) for form in ("svg", "png")}
    for form, content in files.items():
        _write(run.folder / "figures" / f"{name}.{form}", content)
    return {"name": name, "caption": module.caption(run), "svg": base64.b64encode(files["svg"]).decode()}


def _write(path: Path, content: bytes) -> None:
    try:
        record.write_bytes(path, content)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None
