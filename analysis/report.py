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
    """Print the table of results on a `rich.console.Console`."""
    from rich.table import Table
    from rich.text import Text

    rows = summary.cells(summary.rows(run))
    table = Table(title=Text(run.experiment.title) if run.experiment.title else None, title_justify="left")
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading in summary.NAMES else "right")
    for row in rows:
        table.add_row(*map(Text, row.values()))
    console.print(table)


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
