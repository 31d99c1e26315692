"""What a figure draws from: the records of a run, or the line that says how to get them."""

from localdfa.errors import RunError
from localdfa.record import Job, Run

# Characters of the name of a class that a figure has room for.
_LONGEST = 14
# The line of the spec that makes a run keep a record; the others are always kept, once training is over.
_ASKED_FOR = {
    "spikes": "record.spikes=4",
    "states": "record.states=4",
    "changes": "record.changes=4",
    "activity": "record.activity=500",
}


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
    """
    found: dict[str, list[Job]] = {}
    for job in run.jobs:
        if job.keeps(record):
            found.setdefault(job.condition, []).append(job)
    if not found:
        raise Lacking(f"{run.folder}: keeps no {record}, which the figure {figure} needs; {_how(run, record)}", record)
    return found


def _how(run: Run, record: str) -> str:
    """What makes a run keep a record."""
    spec = run.folder / "spec.toml"
    if record in ("spikes", "states") and not any(setting.spiking for setting in run.settings.values()):
        return 'only networks of spiking neurons have them (network.neuron = "lif")'
    for each in run.not_kept:
        if each.record == record:
            return f"it could not be kept, {each.why}; try it again with: localdfa resume {run.folder}"
    if record not in _ASKED_FOR:
        return f"training writes them at its end; go on with: localdfa resume {run.folder}"
    return f"run it again with: localdfa run {spec} --set {_ASKED_FOR[record]}"


def first(found: dict[str, list[Job]]) -> dict[str, Job]:
    """The first seed of each condition."""
    return {name: jobs[0] for name, jobs in found.items()}


def classes(run: Run, n: int) -> list[str]:
    """The names of the classes, shortened, of which a record has n; their numbers where run.json does not tell as many."""
    names = run.info.get("classes")
    if not isinstance(names, list) or len(names) < n:
        return [str(i) for i in range(n)]
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in map(str, names)]
