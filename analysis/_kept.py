"""What a figure draws from: the records of a run, or the line that says how to get them."""

import shlex

import numpy as np

from localdfa import registry
from localdfa.data import given
from localdfa.errors import RunError, resuming
from localdfa.record import Job, NotKept, Run
from localdfa.spec import modules

# Characters of the name of a class that a figure has room for.
_LONGEST = 14


class Lacking(RunError):
    """A run does not keep the record that a figure needs.

    record: its name.
    """

    def __init__(self, message: str, record: str) -> None:
        super().__init__(message)
        self.record = record


def jobs(run: Run, record: str, figure: str) -> dict[str, list[Job]]:
    """The jobs of a run that keep a record, by condition, in the order of the experiment; at least one.

    Raises
    ------
    Lacking
        None does; the message names the record, the figure that needs it, and what would make it.
    RunError
        One that was trained and should keep it has lost it.
    """
    if any(setting.loop for setting in run.settings.values()):
        raise RunError(
            f"{run.folder}: the figure {figure} needs the {record}, which a run of a loop of one's own does not keep"
        )
    if record not in ("outcome", "activity") and run.of_modules:
        raise RunError(f"{run.folder}: the figure {figure} shows networks of layers, and these are modules of PyTorch")
    found, entries = dict[str, list[Job]](), run.entries
    finished, not_kept = entries.finished, entries.not_kept
    for job in run.jobs:
        if job.keeps(record):
            found.setdefault(job.condition, []).append(job)
        elif job.key in finished and _due(run, job.condition, record) and not _why_not(not_kept, record, job):
            raise RunError(
                f"{job.folder / f'{record}.npz'}: is gone, which the figure {figure} needs; to make it again: "
                f"{resuming(run.folder)}"
            )
    if not found:
        raise Lacking(f"{run.folder}: keeps no {record}, which the figure {figure} needs; {_how(run, record)}", record)
    return found


def _how(run: Run, record: str) -> str:
    """What makes a run keep a record."""
    spec = run.folder / "spec.toml"
    recorder = registry.get("recorders", record)
    if recorder.of_spikes and not any(setting.spiking for setting in run.settings.values()):
        return 'only networks of spiking neurons have them (network.neuron = "lif")'
    not_kept = run.not_kept
    if why := next(filter(None, (_why_not(not_kept, record, job) for job in run.jobs)), None):
        return f"it could not be kept, {why}; try it again with: {resuming(run.folder)}"
    if any(_due(run, name, record) for name in run.settings):
        return f"training writes them at its end; go on with: {resuming(run.folder)}"
    if recorder.of_spikes and not any(setting.learns_from_spikes for setting in run.settings.values()):
        return "only a last stage that learns from spikes has them"
    if run.experiment.data == given.NAME:
        return f"run it again on the same arrays with {{'record': {{{record!r}: {recorder.example}}}}} in its tables"
    return f"run it again with: localdfa run {shlex.quote(str(spec))} --set record.{record}={recorder.example}"


def _due(run: Run, condition: str, record: str) -> bool:
    """Whether training leaves a record of a condition."""
    recorder = registry.get("recorders", record)
    spiked = not recorder.of_spikes or run.settings[condition].learns_from_spikes
    return spiked and (not recorder.keys or record in run.experiment.record.asked)


def _why_not(not_kept: list[NotKept], record: str, job: Job) -> str | None:
    """Why a record of a job could not be kept, where that is so; not_kept: `Run.not_kept`."""
    own = (job.condition, job.seed, record)
    return next((each.why for each in not_kept if (each.condition, each.seed, each.record) == own), None)


def of_modules(run: Run, figure: str, what: str) -> dict[str, dict[str, np.ndarray]]:
    """Of each condition the outcome of the first seed that has one, which has an array named so.

    Raises
    ------
    RunError
        The run is of no modules, or of modules whose outcome has no such array; or as of `jobs`.
    """
    outcomes = {name: job.outcome for name, job in first(jobs(run, "outcome", figure)).items()} if run.of_modules else {}
    if not outcomes or any(what not in outcome for outcome in outcomes.values()):
        raise RunError(f"{run.folder}: the figure {figure} shows what modules of PyTorch make, of other data than these")
    return outcomes


def first(found: dict[str, list[Job]]) -> dict[str, Job]:
    """The first seed of each condition."""
    return {name: jobs[0] for name, jobs in found.items()}


def classes(run: Run, n: int) -> list[str]:
    """The names of the classes, shortened, of which a record has n; their numbers where run.json does not tell as many."""
    names = run.info.get("classes")
    if not isinstance(names, list) or len(names) < n:
        return [str(i) for i in range(n)]
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in map(str, names)]


def one_of(run: Run, what: str, asked: int, kept: np.ndarray) -> int:
    """A trial or neuron that is asked for, if it is kept.

    Raises
    ------
    RunError
        It is not; the message has those that are.
    """
    if asked in kept:
        return asked
    there = [str(each) for each in np.unique(kept)]
    shown = ", ".join(there if len(there) <= 20 else [*there[:19], "…", there[-1]])
    raise RunError(f"{run.folder}: keeps no {what} {asked}; there are {shown}")


def with_classes(run: Run, figure: str, predicted: bool) -> None:
    """Refuse what has no classes, as a regression; predicted: or of which others are predicted.

    Raises
    ------
    RunError
        The message names the figure.
    """
    setting = next(iter(run.settings.values()))
    if setting.output.regression:
        raise RunError(
            f"{run.folder}: the figure {figure} shows classes, and network.output = {setting.network.output!r} fits numbers, "
            f"which have none"
        )
    if any(measure.key == "error" for measure in setting.output.measures):
        return
    if setting.loop or not modules.model_of(setting).reads.classed:
        raise RunError(f"{run.folder}: the figure {figure} shows classes, which {run.experiment.data} has not")
    if predicted:
        raise RunError(f"{run.folder}: the figure {figure} shows predicted classes, and {setting.computed_by} predicts none")
