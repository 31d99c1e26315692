"""Trains cells in processes of their own, as many at once as there are cores, and keeps each that is finished.

A cell is an ordinary run directory, ``FOLDER/runs/ROW/CONDITION-SEED``, which goes on where it was interrupted; what is kept of
it when it is finished lies in ``FOLDER/results``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from localdfa import train
from localdfa.errors import LocalDFAError, RunError
from localdfa.papers import cells
from localdfa.papers.cells import Cell, Measured
from localdfa.record import Job, Run
from localdfa.side_by_side import cores, use_threads

# Seconds between two looks at what goes on.
_EVERY = 1.0


class Shown(Protocol):
    """Who is told how it goes on."""

    def going_on(self, running: Sequence[tuple[Cell, dict[str, Any] | None]], waiting: int) -> None:
        """The cells that train, each with its last row of metrics, and how many wait for a core."""

    def over(self, cell: Cell, found: Measured | None, why: str) -> None:
        """A cell is finished; or it failed, and why."""


class _Child(NamedTuple):
    process: Any
    said: Connection
    cell: Cell


def train_all(chosen: Sequence[Cell], folder: Path, jobs: int, shown: Shown) -> dict[str, str]:
    """Train cells, `jobs` of them at once, and say of those that failed why, by name.

    Interrupted, it leaves runs from which the same call goes on.
    """
    context, failed, waiting = get_context("spawn"), dict[str, str](), list(chosen)
    threads = max(1, cores() // max(1, min(jobs, len(waiting))))
    with _children() as running:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_train, args=(cell, folder, threads, sender), daemon=True)
                process.start()
                sender.close()
                running.append(_Child(process, receiver, cell))
            shown.going_on([(child.cell, _last(child.cell, folder)) for child in running], len(waiting))
            # One that says more than its pipe holds ends only once it has been heard.
            ready = wait([end for child in running for end in (child.said, child.process.sentinel)], _EVERY)
            for child in [child for child in running if child.said in ready or child.process.sentinel in ready]:
                running.remove(child)
                outcome = _outcome(child)
                if isinstance(outcome, str):
                    failed[child.cell.name] = outcome
                    shown.over(child.cell, None, outcome)
                else:
                    shown.over(child.cell, outcome, "")
    return failed


@contextmanager
def _children() -> Iterator[list[_Child]]:
    """The processes that train; none of them outlives this one, whatever happens."""
    running: list[_Child] = []
    try:
        yield running
    finally:
        for child in running:
            child.process.terminate()
        for child in running:
            child.process.join()


def _outcome(child: _Child) -> Measured | str:
    """What a process has measured that has said it or has ended, or why it has not; afterwards it has ended."""
    said: Measured | str | None = None
    try:
        if child.said.poll():
            said = child.said.recv()
    except (EOFError, OSError):
        pass
    child.process.join()
    return f"its process ended with the status {child.process.exitcode}" if said is None else said


def run_folder(cell: Cell, folder: Path) -> Path:
    """The run directory of a cell."""
    return folder / "runs" / cell.name


def _last(cell: Cell, folder: Path) -> dict[str, Any] | None:
    """The last row of metrics of a cell that trains."""
    job = Job(run_folder(cell, folder) / "conditions" / cell.condition / f"seed-{cell.seed}", cell.condition, cell.seed)
    try:
        rows = job.metrics
    except LocalDFAError:  # it says so itself
        return None
    return rows[-1] if rows else None


def _train(cell: Cell, folder: Path, threads: int, said: Connection) -> None:
    """In a process of its own: train a cell, or go on with it, keep what was measured, and say it."""
    use_threads(threads, cell.setting.module is not None)
    place = run_folder(cell, folder)
    try:
        if (place / "run.json").exists():
            if cell._replace(experiment=Run(place).experiment).spec != cell.spec:
                raise RunError(
                    f"{place}: was begun with another spec than {cell.row} has now; remove it, or name another --out"
                )
            run = train.resume(place, progress=False)
        else:
            run = train.run(cell.experiment, place, name=cell.row, progress=False)
        found = cells.measured(cell, run, threads)
        cells.keep(folder / "results", found, cell)
        said.send(found)
    except LocalDFAError as error:
        said.send(str(error))
    except KeyboardInterrupt:
        said.send("interrupted")
