"""How a run shows that it goes on: a bar on a terminal and in a notebook, a few lines elsewhere."""

import html
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from localdfa import outputs
from localdfa.progress import Progress

if TYPE_CHECKING:
    from localdfa.circuit import Result

# Seconds between two lines in a file, until kernels that compile are told of, and between two looks of a notebook.
_EVERY, _SOON, _MOMENT = 10.0, 1.5, 0.2


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

    def start(self, samples: Mapping[str, int]) -> None:
        self._bar.update(self._task, total=sum(samples.values()))

    def skip(self, condition: str, samples: int) -> None:
        self._bar.advance(self._task, samples)

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


class Left:
    """The time that a run still takes, of each condition at the speed of its own last epoch."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        self._speed: dict[str, float] = {}  # seconds a sample
        self._trained, self._since = 0, time.perf_counter()

    def start(self, samples: Mapping[str, int]) -> None:
        """As of `Progress`."""
        self._left = dict(samples)

    def begin(self) -> None:
        """An epoch begins here: what was done before, compiling for instance, does not count."""
        self._trained, self._since = 0, time.perf_counter()

    def advance(self, condition: str, samples: int, trained: bool = True) -> None:
        """So many samples of a condition are done; trained: just now."""
        self._left[condition] = self._left.get(condition, samples) - samples
        self._trained += samples * trained

    def epoch(self, condition: str) -> None:
        """An epoch of a condition is over."""
        if self._trained:
            self._speed[condition] = (time.perf_counter() - self._since) / self._trained
        self.begin()

    def said(self, condition: str) -> str:
        """``1:02 left``, or ``0:12 left of local`` where others are to come whose speed is not known yet; empty at the end."""
        known = {name: left * self._speed[name] for name, left in self._left.items() if left > 0 and name in self._speed}
        waiting = [name for name, left in self._left.items() if left > 0 and name not in self._speed]
        if condition in waiting or not (known or waiting):
            return ""
        if waiting:
            return f"{duration(known[condition])} left of {condition}" if condition in known else ""
        return f"{duration(sum(known.values()))} left"


class Lines(Progress, AbstractContextManager["Lines"]):
    """The last epoch of each training, and one in some seconds, a line each with the time left, for a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._label, self._condition, self._left = "", "", Left()
        # Of each training that goes on: a line that is printed if nothing comes after it, and when one was printed.
        self._waiting, self._printed = dict[str, str](), dict[str, float]()
        self._timer: threading.Timer | None = None

    def __exit__(self, *_: object) -> None:
        self._stop_timer()
        for label in [*self._waiting]:
            self._print_waiting(label)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _print_waiting(self, label: str) -> None:
        if text := self._waiting.pop(label, ""):
            self._say(text)
        self._printed[label] = time.perf_counter()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def start(self, samples: Mapping[str, int]) -> None:
        self._left.start(samples)

    def compiling(self, condition: str) -> None:
        self._stop_timer()
        self._timer = threading.Timer(_SOON, self._say, [f"{condition}  compiling, which the next run need not"])
        self._timer.daemon = True
        self._timer.start()

    def advance(self, samples: int) -> None:
        self._left.advance(self._condition, samples)

    def skip(self, condition: str, samples: int) -> None:
        self._left.advance(condition, samples, trained=False)

    def job(self, condition: str, seed: int) -> None:
        self._stop_timer()
        self._label, self._condition = f"{condition} seed {seed}", condition
        self._printed.setdefault(self._label, time.perf_counter())
        self._left.begin()

    def epoch(self, row: dict[str, Any]) -> None:
        self._left.epoch(self._condition)
        left = self._left.said(self._condition)
        self._waiting[self._label] = f"{self._label}  {line(row)}{f'  {left}' * bool(left)}"
        if time.perf_counter() - self._printed[self._label] >= _EVERY:
            self._print_waiting(self._label)

    def over(self, condition: str, seed: int) -> None:
        self._print_waiting(f"{condition} seed {seed}")

    def warn(self, message: str) -> None:
        self._say(f"warning: {message}")


class Clock(AbstractContextManager["Clock"]):
    """How far a circuit has been simulated: a bar on a terminal, a line now and then elsewhere, with the speed.

    seconds: how long it took, once it is over; compiling and drawing are part of it.
    """

    def __init__(self, console: Console, duration: float) -> None:
        self._console, self._duration, self._begin, self.seconds = console, duration, time.perf_counter(), 0.0
        self._first: tuple[float, float] | None = None  # the first moment that was told, and when it was
        self._printed = self._begin
        self._bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TimeRemainingColumn(compact=True), console=console,
            transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("drawing and compiling", total=duration)

    def __enter__(self) -> "Clock":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._begin
        self._bar.stop()

    def at(self, moment: float) -> None:
        """The circuit has been simulated until `moment`, ms."""
        now = time.perf_counter()
        text = f"{moment:.0f} of {self._duration:g} ms"
        if self._first is None:
            self._first = moment, now
        elif now > self._first[1]:
            text += f", {1e-3 * (moment - self._first[0]) / (now - self._first[1]):.2g} s a second"
        self._bar.update(self._task, completed=moment, description=text)
        if not self._console.is_terminal and now - self._printed >= _EVERY:
            self._console.print(text, highlight=False, soft_wrap=True)
            self._printed = now


def circuit_table(result: "Result") -> Table:
    """Mean rates, and coefficients of variation of intervals, by population."""
    table = Table(box=None, pad_edge=False)
    for heading in ("population", "neurons", "spikes", "rate, Hz", "CV"):
        table.add_column(heading, justify="left" if heading == "population" else "right", overflow="fold")
    for name, size in result.sizes.items():
        cv = result.cv(name)
        known = cv[np.isfinite(cv)]
        table.add_row(
            escape(name), f"{size:,}", f"{result.count(name):,}", f"{result.rates(name).mean():.3g}",
            f"{known.mean():.2f}" if known.size else "–",
        )  # fmt: skip
    return table


class Cell(Progress, AbstractContextManager["Cell"]):
    """A bar in a notebook, in one place, with what is compiled or trained below it, and all warnings; it needs no widgets."""

    def __init__(self) -> None:
        self._left, self._condition, self._label = Left(), "", ""
        self._total, self._done, self._shown = 0, 0, 0.0
        self._text, self._warnings = "compiling", list[str]()
        self._handle: Any = None

    def __enter__(self) -> "Cell":
        from IPython.display import HTML, display

        self._handle = display(HTML(self._page()), display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._show()

    def _page(self) -> str:
        bar = f'<progress style="width: 20em" max="{max(1, self._total)}" value="{self._done}"></progress>'
        lines = [f"{bar} {html.escape(self._text)}", *(f"warning: {html.escape(text)}" for text in self._warnings)]
        return "<br>".join(lines)

    def _show(self, often: bool = False) -> None:
        """Draw it anew; often: unless that was a moment ago."""
        now = time.perf_counter()
        if self._handle is None or (often and now - self._shown < _MOMENT):
            return
        from IPython.display import HTML

        self._shown = now
        self._handle.update(HTML(self._page()))

    def start(self, samples: Mapping[str, int]) -> None:
        self._left.start(samples)
        self._total = sum(samples.values())

    def compiling(self, condition: str) -> None:
        self._text = f"{condition}  compiling"
        self._show()

    def job(self, condition: str, seed: int) -> None:
        self._label, self._condition = f"{condition} seed {seed}", condition
        self._left.begin()
        self._text = self._label
        self._show()

    def advance(self, samples: int) -> None:
        self._left.advance(self._condition, samples)
        self._done += samples
        self._show(often=True)

    def skip(self, condition: str, samples: int) -> None:
        self._left.advance(condition, samples, trained=False)
        self._done += samples

    def epoch(self, row: dict[str, Any]) -> None:
        self._left.epoch(self._condition)
        self._text = "  ".join(filter(None, (self._label, line(row), self._left.said(self._condition))))
        self._show(often=True)

    def warn(self, message: str) -> None:
        self._warnings.append(message)
        self._show()


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

    def start(self, samples: Mapping[str, int]) -> None:
        for display in self._displays:
            display.start(samples)

    def skip(self, condition: str, samples: int) -> None:
        for display in self._displays:
            display.skip(condition, samples)

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

    def over(self, condition: str, seed: int) -> None:
        for display in self._displays:
            display.over(condition, seed)


def display(console: Console) -> Bar | Cell | Lines:
    """The display that fits where the output goes."""
    if console.is_jupyter:
        return Cell()
    return Bar(console) if console.is_terminal else Lines(console)
