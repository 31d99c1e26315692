"""How a run shows that it goes on: a bar on a terminal, a line an epoch elsewhere."""

import time
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from localdfa import outputs
from localdfa.progress import Progress


def line(row: dict[str, Any]) -> str:
    """A row of metrics in a line: epoch, errors, and the firing rate of each hidden layer where neurons spike."""
    parts = [f"epoch {row['epoch']}"]
    for name in ("train", "test"):
        found = [m.said(row[f"{name}_{m.key}"]) for m in outputs.measures().values() if f"{name}_{m.key}" in row]
        parts += [f"{name} {' '.join(found)}"] if found else []
    if "rate" in row:
        parts.append(" ".join(f"{rate:.0f}" for rate in row["rate"]) + " Hz")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Bar(Progress, AbstractContextManager["Bar"]):
    """A bar over the whole run, with the condition, its last errors and firing rates, samples a second and the time left."""

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

    def compiling(self, condition: str) -> None:
        self._bar.update(self._task, description=f"{condition}  compiling", rate="")

    def job(self, condition: str, seed: int) -> None:
        self._label = f"{condition} seed {seed}"
        self._bar.update(self._task, description=self._label)

    def advance(self, samples: int) -> None:
        self._bar.advance(self._task, samples)
        self._trained += samples

    def epoch(self, row: dict[str, Any]) -> None:
        now = time.perf_counter()
        rate = f"{self._trained / max(now - self._since, 1e-9):,.0f}/s" if self._trained else ""
        self._trained, self._since = 0, now
        self._bar.update(self._task, description=f"{self._label}  {line(row)}", rate=rate)

    def warn(self, message: str) -> None:
        self._bar.console.print(f"warning: {message}", highlight=False, markup=False)


class Lines(Progress, AbstractContextManager["Lines"]):
    """One line an epoch, with the time left at the speed of that epoch, for a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._label, self._left, self._trained, self._since = "", 0, 0, time.perf_counter()

    def __exit__(self, *_: object) -> None:
        return None

    def start(self, samples: int) -> None:
        self._left = samples

    def advance(self, samples: int) -> None:
        self._trained += samples
        self._left -= samples

    def job(self, condition: str, seed: int) -> None:
        self._label = f"{condition} seed {seed}"

    def epoch(self, row: dict[str, Any]) -> None:
        now, left = time.perf_counter(), ""
        if self._trained and self._left:
            left = f"  {duration((now - self._since) / self._trained * self._left)} left"
        self._trained, self._since = 0, now
        self._console.print(f"{self._label}  {line(row)}{left}", highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        self._console.print(f"warning: {message}", highlight=False, markup=False, soft_wrap=True)


class Where(Progress):
    """Remembers the folder of the run; None until it has one."""

    folder: Path | None = None

    def place(self, folder: Path) -> None:
        self.folder = folder


class Several(Progress):
    """Tells each of several displays."""

    def __init__(self, *displays: Progress) -> None:
        self._displays = displays

    def place(self, folder: Path) -> None:
        for display in self._displays:
            display.place(folder)

    def start(self, samples: int) -> None:
        for display in self._displays:
            display.start(samples)

    def compiling(self, condition: str) -> None:
        for display in self._displays:
            display.compiling(condition)

    def job(self, condition: str, seed: int) -> None:
        for display in self._displays:
            display.job(condition, seed)

    def advance(self, samples: int) -> None:
        for display in self._displays:
            display.advance(samples)

    def epoch(self, row: dict[str, Any]) -> None:
        for display in self._displays:
            display.epoch(row)

    def warn(self, message: str) -> None:
        for display in self._displays:
            display.warn(message)


def display(console: Console) -> Bar | Lines:
    """The display that fits where the output goes; in a notebook a bar takes ipywidgets."""
    bar = find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal
    return Bar(console) if bar else Lines(console)
