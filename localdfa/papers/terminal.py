"""How `localdfa paper` shows on a terminal what goes on, and at its end what was measured."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from localdfa import outputs
from localdfa.display import duration, line
from localdfa.papers import tables
from localdfa.papers.cells import Cell, Measured
from localdfa.papers.tables import Entry


class Progress(AbstractContextManager["Progress"]):
    """A line for each cell that is over, and on a terminal, under them, one for each that trains."""

    def __init__(self, console: Console, number: int) -> None:
        self._console, self._number, self._over = console, number, 0
        self._live = Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def going_on(self, running: Sequence[tuple[Cell, dict[str, Any] | None]], waiting: int) -> None:
        """The cells that train, each with its last row of metrics, and how many wait for a core."""
        if not self._live:
            return
        shown = Table.grid(padding=(0, 2))
        for cell, row in running:
            now = f"{line(row)}  of at most {cell.planned}" if row else "starting"
            shown.add_row(Text(cell.name), Text(now, style="dim"))
        if waiting:
            shown.add_row(Text(f"{waiting} more"), "")
        self._live.update(shown)

    def over(self, cell: Cell, found: Measured | None, why: str) -> None:
        """A cell is finished; or it failed, and why."""
        self._over += 1
        if self._live:
            self._live.update("")  # it is among those that train until they are shown again
        text = why
        if found:
            tested = outputs.measures()[found.measure].said(found.error)
            text = f"test {tested}  {tables.counted(found.epochs)}  {duration(found.seconds)}"
        place = f"{self._over} of {self._number}"
        self._console.print(f"{place}  {cell.name}  {text}", highlight=False, markup=False, soft_wrap=True)


def print_table(title: str, found: Sequence[Sequence[Entry]], console: Console) -> None:
    """A table of a paper, a line for each row and condition."""
    shown = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("network", no_wrap=True)
    shown.add_column("rule")
    for heading in (found[0][0].measure.label, "paper", "difference", "epochs", "time"):
        shown.add_column(heading, justify="right")
    for row in found:
        for place, entry in enumerate(row):
            name = entry.row.label if place == 0 else ""
            shown.add_row(*map(Text, (name, entry.condition, *_numbers(entry))), end_section=place == len(row) - 1)
    console.print(shown)


def _numbers(entry: Entry) -> list[str]:
    if not entry.found:
        return ["not run", entry.reported or "–", "–", "–", "–"]
    epochs = sorted(each.epochs for each in entry.found)
    difference = (
        "–"
        if entry.difference is None
        else f"{entry.difference:+.{entry.measure.decimals}f}{'' if entry.is_near else tables.NOT_NEAR}"
    )
    return [
        entry.said,
        entry.reported or "–",
        difference,
        f"{epochs[0]}" if epochs[0] == epochs[-1] else f"{epochs[0]}–{epochs[-1]}",
        duration(sum(each.seconds for each in entry.found)),
    ]
