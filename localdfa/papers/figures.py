"""The figures of a paper: those of `localdfa.analysis`, drawn of the runs of a row's cells as if they were one run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from localdfa import analysis
from localdfa.analysis import summary
from localdfa.errors import RunError
from localdfa.files import write_bytes
from localdfa.papers import Paper, Row, Table, cells, running
from localdfa.record import Job, Run


class Joined(Run):
    """Several runs of one experiment, each of some of its conditions and seeds, as one run."""

    def __init__(self, runs: Sequence[Run]) -> None:
        """runs: at least one, of the same data and record; what is said of the whole is that of the first."""
        super().__init__(runs[0].folder)
        self._runs = runs
        self.settings = {name: setting for run in runs for name, setting in run.settings.items()}
        seeds = list(dict.fromkeys(seed for run in runs for seed in run.experiment.seeds))
        self.experiment = runs[0].experiment.model_copy(update={"seeds": seeds})

    @property
    def jobs(self) -> list[Job]:
        """One for each condition and seed."""
        return [job for run in self._runs for job in run.jobs]


def joined(paper: Paper, row: Row, folder: Path) -> Joined:
    """The runs of a row in the folder of `running.train_all`: whole trainings, or else the longest that all conditions have.

    Raises
    ------
    RunError
        There is none of a condition that is finished.
    """
    results = [each for each in cells.kept(folder / "results") if each.row == row.name]
    seeds = max((each.seed for each in results), default=-1) + 1
    lengths = sorted({each.asked_epochs for each in results if each.asked_epochs}, reverse=True)
    conditions = [condition.name for condition in paper.experiment(row).condition]
    for epochs in (None, *lengths) if seeds else ():
        found = [cell for cell in cells.of(paper, row, seeds=seeds, epochs=epochs) if cells.find(results, cell)]
        if {cell.condition for cell in found} == set(conditions):
            return Joined([Run(running.run_folder(cell, folder)) for cell in found])
    raise RunError(
        f"{folder}: the figure of {row.name} needs finished runs of {', '.join(conditions)}: "
        f"{cells.command(paper.name, row.name)} --out {shlex.quote(str(folder))}"
    )


def draw(paper: Paper, table: Table, folder: Path) -> list[tuple[Path, str]]:
    """Draw the figures of a table, of each of its rows, to ``FOLDER/figures``: the files, and their captions.

    Raises
    ------
    RunError
        A row is not trained in that folder, or its runs keep nothing that a figure shows.
    """
    drawn = []
    for row in table.row if table.figures else ():
        run = joined(paper, row, folder)
        for name in table.figures:
            module, of_row, of_figure = analysis.get(name), len(table.row) > 1, len(table.figures) > 1
            path = folder / "figures" / f"{table.name}{f'-{row.name}' * of_row}{f'-{name}' * of_figure}.png"
            write_bytes(path, module.figure(run).content("png", summary.origin(run)))
            drawn.append((path, module.caption(run)))
    return drawn
