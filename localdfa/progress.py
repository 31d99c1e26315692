"""How a run shows that it goes on: a bar on a terminal, a line an epoch elsewhere."""

import time
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from localdfa.train import Progress


def _errors(row: dict[str, Any]) -> str:
    return f"epoch {row['epoch']}  train {row['train_error']:.2f} %  test {row['test_error']:.2f} %"


class Bar(Progress, AbstractContextManager["Bar"]):
    """A bar over the whole run, with the condition, its last errors, samples a second and the time left."""

    def __init__(self, console: Console) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[rate]}", style="dim"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("compiling", total=None, rate="")
        self._label, self._trained, self._since = "", 0, time.perf_counter()

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def start(self, samples: int) -> None:
        self._bar.update(self._task, total=samples)

    def job(self, condition: str, seed: int) -> None:
        self._label = f"{condition} seed {seed}"
        self._bar.update(self._task, description=self._label)

    def advance(self, samples: int) -> None:
        self._bar.advance(self._task, samples)
        self._trained += samples

    def epoch(self, row: dict[str, Any]) -> None:
        now = time.perf_counter()
        rate = f"{self._trained / max(now - self._since, 1e-9):,.0f}/s"
        self._trained, self._since = 0, now
        self._bar.update(self._task, description=f"{self._label}  {_errors(row)}", rate=rate)

    def warn(self, message: str) -> None:
        self._bar.console.print(f"warning: {message}", highlight=False)


class Lines(Progress, AbstractContextManager["Lines"]):
    """One line an epoch, for a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._label = ""

    def __exit__(self, *_: object) -> None:
        return None

    def job(self, condition: str, seed: int) -> None:
        self._label = f"{condition} seed {seed}"

    def epoch(self, row: dict[str, Any]) -> None:
        self._console.print(f"{self._label}  {_errors(row)}", highlight=False)

    def warn(self, message: str) -> None:
        self._console.print(f"warning: {message}", highlight=False)


def display(console: Console) -> Bar | Lines:
    """The display that fits where the output goes."""
    return Bar(console) if console.is_terminal else Lines(console)
