"""The training of one condition and seed of a run, from where it stands to its end: epochs, checkpoints, metrics, records."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from localdfa import handover, measure, record, samples
from localdfa.errors import LocalDFAError, RunError, resuming
from localdfa.files import write_json
from localdfa.progress import Progress
from localdfa.samples import Forms
from localdfa.spec import Record, Setting
from localdfa.trainer import Trainer
from localdfa.training import Training

# What is told of each epoch, by its row of metrics, and says whether training shall end with it.
Callback = Callable[[dict[str, Any]], bool | None]
# Parts of a data set.
_PARTS = ("train", "valid", "test")
# After so many epochs, and at its end, a training is warned of that stays at chance.
_TRIED = 5
# What summary.json takes from the last row of metrics, besides the measures of predictions.
_SUMMARY = (
    "angle_to_dfa", "angle_to_bp", "cosine_to_dfa", "cosine_to_exact", "cosine_to_settled", "rate", "events", "feedback_events",
    "seconds",
)  # fmt: skip


class Notes(Protocol):
    """What a training says that run.json shall hold; see the methods of `record.Run`."""

    def note(self, text: str) -> None: ...

    def note_health(self, job: record.Job, epoch: int, messages: list[str]) -> None: ...

    def note_not_kept(self, job: record.Job, why: dict[str, str]) -> None: ...

    def note_trained(self, job: record.Job, rows: list[dict[str, Any]] | None) -> None: ...


class Queue:
    """The conditions and seeds that a run trains: all of them are known before it begins.

    Attributes
    ----------
    kernels : dict
        By name the settings whose kernels it needs.
    samples : dict
        By condition how many training samples pass in all, all seeds and epochs together.
    """

    def __init__(self, run: record.Run, forms: Forms) -> None:
        self._waiting, self._n_train = run.jobs, {name: n_train(each, forms) for name, each in run.settings.items()}
        self.kernels: Mapping[str, Setting] = run.settings
        seeds = len(run.experiment.seeds)
        self.samples = {name: seeds * run.settings[name].epochs * number for name, number in self._n_train.items()}

    def n_train(self, condition: str) -> int:
        """The samples of an epoch of a condition."""
        return self._n_train[condition]

    def more(self, room: int) -> list[record.Job]:
        """What is to be trained next, in order, each once; none where nothing is, for now. room: for so many there is one."""
        found, self._waiting = self._waiting, []
        return found

    def trained(self, job: record.Job) -> None:
        """A condition and seed is trained."""

    def failed(self, job: record.Job, error: BaseException) -> bool:
        """The training of a condition and seed has failed; whether the run is none the worse."""
        return False


def training_of(
    setting: Setting, forms: Forms, job: record.Job, keep: Record | None = None, start: handover.Start | None = None
) -> Training:  # fmt: skip
    """One condition and seed, before its training."""
    data = forms[samples.form_of(setting)]
    if setting.module is None:
        return Trainer(setting, data, job, keep, start)
    from localdfa.module_trainer import ModuleTrainer

    return ModuleTrainer(setting, data, job, keep)


def n_train(setting: Setting, forms: Forms) -> int:
    """The samples of an epoch; a module is made for that only where its data do not say it."""
    data = forms[samples.form_of(setting)]
    if setting.module is None:
        return len(data["train"])
    from localdfa.module_trainer import ModuleTrainer
    from localdfa.torch import tasks

    return tasks.of(data).of_epoch(data, lambda: ModuleTrainer(setting, data, record.Job(Path(), "", 0)).model)


def begin(
    run: record.Run, job: record.Job, forms: Forms, start: handover.Start | None, notes: Notes, progress: Progress
) -> Training:  # fmt: skip
    """One condition and seed of a run, from its last checkpoint where there is one; its metrics are those of that."""
    setting = run.settings[job.condition]
    trainer = training_of(setting, forms, job, run.experiment.record, start)
    if setting.network.from_run:  # which may have been replaced meanwhile
        run.check_unchanged(**handover.fingerprint(run.began_from))
    trainer.restore(progress)
    if not trainer.finished:
        notes.note_trained(job, None)
    if trainer.rows and trainer.rows != _whole(job):
        job.write_metrics(trainer.rows)
    return trainer


def _whole(job: record.Job) -> list[dict[str, Any]] | None:
    """The rows of metrics that are there; None where they are damaged."""
    try:
        return job.metrics
    except RunError:
        return None


def train(trainer: Training, keep: Record, notes: Notes, progress: Progress, callback: Callback | None = None) -> None:
    """One condition and seed from where it stands to its end."""
    job, was_unfinished = trainer.job, not trainer.finished
    if not trainer.rows:
        row = trainer.measure()
        job.write_metrics(trainer.rows, lasting=False)
        _keep_epoch(trainer, keep)
        trainer.save()
        progress.epoch(row)
    while not trainer.finished:
        trainer.train_epoch(progress)
        row = trainer.measure()
        job.write_metrics(trainer.rows, lasting=False)
        _keep_epoch(trainer, keep)
        trainer.next_stage()
        if record.KEPT in row:
            job.write_metrics(trainer.rows, lasting=False)
        progress.epoch(row)
        said = _judge(trainer, notes, progress)
        if trainer.finished or trainer.epoch % keep.checkpoint == 0:
            trainer.save()
        if callback is not None and callback(dict(row)) and not trainer.finished:
            trainer.end()
            trainer.save()
            _judge(trainer, notes, progress, said)
            notes.note(f"{job.condition} seed {job.seed}: the callback ended training after epoch {trainer.epoch}")
    if was_unfinished:
        job.write_metrics(trainer.rows)
    _record(trainer, keep, notes, progress, anew=was_unfinished)
    notes.note_trained(job, trainer.rows)


def _keep_epoch(trainer: Training, keep: Record) -> None:
    """Keep what the spec asks for of each epoch, of which 0 is the network before training."""
    for name, made in trainer.records(keep, each_epoch=True).items():
        trainer.job.write(name, made(), trainer.epoch)


def _judge(trainer: Training, notes: Notes, progress: Progress, said: Collection[str] = ()) -> list[str]:
    """Warn of spiking layers that are silent or saturate, and once of training that stays at chance; returns the warnings.

    Chance is looked at after some epochs, so that one may stop there, and at the end, of the weights that are kept; run.json
    keeps what is found last. said: warnings that are not repeated.
    """
    job, judged, kept = trainer.job, trainer.finished or trainer.epoch == _TRIED, trainer.epoch
    if trainer.finished:
        kept = trainer.rows[-1].get(record.KEPT, trainer.epoch)
    row = trainer.rows[kept]
    idle = measure.idle(row, trainer.not_learned(row)) if judged else []
    warned_of_chance = trainer.epoch > _TRIED and trainer.not_learned(trainer.rows[_TRIED]) is not None
    unhealthy = measure.unhealthy(row)
    warnings = [
        f"{job.condition} seed {trainer.seed}, epoch {kept}: {message}"
        for message in (*([] if warned_of_chance else idle), *unhealthy)
    ]
    for warning in warnings:
        if warning not in said:
            progress.warn(warning)
    if judged:
        notes.note_health(job, kept, [*idle, *unhealthy])
    return warnings


def _record(trainer: Training, keep: Record, notes: Notes, progress: Progress, anew: bool) -> None:
    """Keep what the spec asks for of a trained network, or, if not anew, what of that is not there or damaged.

    Whatever fails here costs no training: run.json says what could not be kept and why, and resuming tries it again.
    """
    job, failed = trainer.job, dict[str, str]()
    for name, made in trainer.records(keep).items():
        if not anew and job.is_whole(name):
            continue
        try:
            job.write(name, made())
        except Exception as error:
            failed[name] = described(error)
            progress.warn(
                f"{job.condition} seed {trainer.seed}: record.{name} could not be kept: {failed[name]}; training is whole, and "
                f"to try it again: {resuming(job.run)}"
            )
    notes.note_not_kept(job, failed)


def described(error: BaseException) -> str:
    """An error in a line; where localdfa has not raised it on purpose, with its type."""
    return str(error) if isinstance(error, LocalDFAError) else f"{type(error).__name__}: {error}"


def status_after(error: BaseException) -> str:
    """The status of a run that has ended so, as run.json has it."""
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return "interrupted"
    return f"stopped: {described(error)}"


def summarise(run: record.Run) -> None:
    """Write summary.json: one entry for every condition and seed that has been measured.

    Rows that are damaged are left out; they are written anew when it is the turn of their condition and seed.
    """
    entries, info = [], run.entries
    finished, not_kept = info.finished, info.not_kept
    for job in run.jobs:
        try:
            last = record.ending(job.rows(finished.get(job.key)))
        except RunError:
            continue
        if last:
            setting = run.settings[job.condition]
            entries.append(
                {
                    "name": job.condition,
                    "neuron": setting.computed_by,
                    "rule": last["rule"],
                    "layer_rules": setting.stage[last["stage"]].layer_rules,
                    "feedback": setting.pathway_of(last["rule"]),
                    "seed": job.seed,
                    "epochs": last["epoch"],
                    "kept_epoch": last[record.KEPT],
                    **{f"{part}_{m.key}": last.get(f"{part}_{m.key}") for m in setting.output.measures for part in _PARTS},
                    **{key: last.get(key) for key in _SUMMARY},
                    "not_kept": {e.record: e.why for e in not_kept if (e.condition, e.seed) == job.key},
                }
            )
    if entries:
        write_json(run.folder / "summary.json", {"title": run.experiment.title, "conditions": entries})
