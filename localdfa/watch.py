"""``localdfa watch``: the curves of a run in progress, drawn again as its rows of metrics arrive."""

import time
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from localdfa.display import duration, line
from localdfa.record import Run

_BLOCKS, _WIDTH = "▁▂▃▄▅▆▇█", 24


def watch(folder: Path, console: Console, every: float = 1.0, allow_models: bool = False) -> None:
    """Follow a run until it is over: a live table on a terminal, a line for each new epoch elsewhere.

    Parameters
    ----------
    folder: the run directory.
    every: seconds between two looks at it.

    Raises
    ------
    RunError
        It is no run directory, or damaged.
    """
    run, seen = Run(folder, allow_models), _Seen()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            for status in _statuses(run, every):
                live.update(table(run, status, seen.left(run)))
        return
    shown: dict[Path, int] = {}
    for status in _statuses(run, every):
        left = seen.left(run)
        for job, rows in run.rows_by_job.items():
            for row in rows[shown.get(job.folder, 0) :]:
                console.print(f"{job.condition} seed {job.seed}  {line(row)}{left}", highlight=False, soft_wrap=True)
            shown[job.folder] = len(rows)
        if status != "running":
            console.print(status, highlight=False, markup=False, soft_wrap=True)


def _statuses(run: Run, every: float) -> Iterator[str]:
    """The status of a run, again and again until it no longer runs; what is read after each is at least as new."""
    while True:
        status = run.status
        yield status
        if status != "running":
            return
        time.sleep(every)


class _Seen:
    """How fast epochs have been done since the first look."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left(self, run: Run) -> str:
        """The time that is left at this speed, as the end of a line; empty before an epoch was seen to end."""
        done = sum(rows[-1]["epoch"] for rows in run.rows_by_job.values() if rows)
        begun, before = self._first = self._first or (time.monotonic(), done)
        if any(setting.loop for setting in run.settings.values()):  # which alone knows how long it goes on
            return ""
        remaining = sum(run.settings[job.condition].epochs for job in run.jobs) - done
        if done == before or remaining == 0:
            return ""
        return f"  {duration((time.monotonic() - begun) / (done - before) * remaining)} left"


def table(run: Run, status: str, left: str = "") -> Table:
    """Epochs, errors and firing rates of every condition and seed, and the course of the test error."""
    jobs = run.rows_by_job
    spiking = any("rate" in rows[-1] for rows in jobs.values() if rows)
    title = Text(f"{run.folder}: {status}{left}")
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    # All conditions are of one kind.
    measures = next(iter(run.settings.values())).output.measures
    errors = [f"{part} {m.label}" for m in measures for part in ("train", "test")]
    for heading in ("condition", "seed", "epoch", *errors, *(["rate (Hz)"] if spiking else [])):
        shown.add_column(heading, justify="left" if heading == "condition" else "right")
    shown.add_column(f"test {measures[0].name}", no_wrap=True)
    for job, rows in jobs.items():
        last, setting = rows[-1] if rows else {}, run.settings[job.condition]
        planned = "" if setting.loop else f" of {setting.epochs}"
        rates = ["  ".join(f"{rate:.0f}" for rate in last.get("rate", []))] if spiking else []
        shown.add_row(
            job.condition,
            str(job.seed),
            f"{last.get('epoch', '–')}{planned}",
            *(m.written(last.get(f"{part}_{m.key}")) for m in measures for part in ("train", "test")),
            *rates,
            sparkline([value for row in rows if (value := row.get(f"test_{measures[0].key}")) is not None]),
        )
    return shown


def sparkline(values: list[float]) -> str:
    """The last values as blocks of eight heights, from 0 to the largest of them all."""
    highest = max(values, default=0) or 1
    return "".join(_BLOCKS[min(7, int(8 * value / highest))] for value in values[-_WIDTH:])
