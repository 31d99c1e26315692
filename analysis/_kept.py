"""What a figure draws from: the records of a run, or the line that says how to get them."""

from localdfa import registry
from localdfa.errors import RunError
from localdfa.record import Job, Run

# Characters of the name of a class that a figure has room for.
_LONGEST = 14


def jobs(run: Run, record: str, figure: str) -> dict[str, list[Job]]:
    """The jobs of a run that keep a record, by condition, in the order of the experiment; at least one.

    Raises
    ------
    RunError
        None does; the message names the record, the figure that needs it, and what would make it.
    """
    found: dict[str, list[Job]] = {}
    for job in run.jobs:
        if job.keeps(record):
            found.setdefault(job.condition, []).append(job)
    if not found:
        raise RunError(f"{run.folder}: keeps no {record}, which the figure {figure} needs; {_how(run, record)}")
    return found


def _how(run: Run, record: str) -> str:
    """What makes a run keep a record."""
    spec = run.folder / "spec.toml"
    recorder = registry.get("recorders", record)
    if recorder.of_spikes and not any(setting.spiking for setting in run.settings.values()):
        return 'only networks of spiking neurons have them (network.neuron = "lif")'
    for each in run.not_kept:
        if each.record == record:
            return f"it could not be kept, {each.why}; try it again with: localdfa resume {run.folder}"
    if not recorder.example:
        return f"training writes them at its end; go on with: localdfa resume {run.folder}"
    return f"run it again with: localdfa run {spec} --set record.{record}={recorder.example}"


def first(found: dict[str, list[Job]]) -> dict[str, Job]:
    """The first seed of each condition."""
    return {name: jobs[0] for name, jobs in found.items()}


def classes(run: Run, n: int) -> list[str]:
    """The names of the classes, shortened, of which a record has n; their numbers where run.json does not tell as many."""
    names = run.info.get("classes")
    if not isinstance(names, list) or len(names) < n:
        return [str(i) for i in range(n)]
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in map(str, names)]


def with_classes(run: Run, figure: str) -> None:
    """Refuse a regression, whose samples have no classes.

    Raises
    ------
    RunError
        The message names the figure.
    """
    output = next(iter(run.settings.values())).network.output
    if next(iter(run.settings.values())).output.regression:
        raise RunError(
            f"{run.folder}: the figure {figure} shows classes, and network.output = {output!r} fits numbers, which have none"
        )
