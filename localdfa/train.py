"""An experiment from its spec to a finished run directory: every condition and seed is trained, recorded and summed up."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from localdfa import folder as folders
from localdfa import handover, measure, record, recording, samples
from localdfa.core import blas
from localdfa.data import Dataset, given
from localdfa.errors import DataError, LocalDFAError, RunError, SpecError
from localdfa.files import write_json
from localdfa.geometry import seen
from localdfa.progress import Progress
from localdfa.results import Run, given_to
from localdfa.samples import Data, Forms
from localdfa.spec import Experiment, Record, Setting, asked, checks, settings
from localdfa.spec import experiment as validated
from localdfa.spec.tables import GIVEN
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


def run(
    experiment: Experiment | str | Path | Mapping[str, Any], out: str | Path | None = None, *, name: str | None = None,
    force: bool = False, progress: Progress | bool = True, base: Path | None = None, data: Any = None,
    callback: Callback | None = None, weights: Mapping[str, Any] | None = None,
) -> Run:  # fmt: skip
    """Train every condition and seed of an experiment and leave a run directory.

    Parameters
    ----------
    experiment: what to run: an experiment, its tables, the name of a bundled one, or a .toml file.
    out: the run directory; a new one, runs/NAME-DATE-TIME, if left out.
    data: arrays in place of the data that the experiment names: ``(x, y)``, ``(x, y, x_test, y_test)``, a frame with the name
        of its target column, or a dict (see `localdfa.data.given.source`). x has the shape (n, n_features) or that of pictures
        or series, y (n,) or of a regression (n, n_out). The spec then has ``data = "arrays"``, and run.json the checksum of
        what the networks read; the arrays themselves are not kept.
    callback: called after each epoch with a copy of its row of metrics, as ``{"condition": "local", "seed": 0, "epoch": 1,
        "test_error": 9.7, …}``. Where it returns True, the training of this condition and seed ends with that epoch, its
        records are kept, and a note in run.json says so; others go on. What it raises ends the run, which can be resumed, and
        is raised again: `optuna.TrialPruned`, for instance.
    weights: what training starts from, in place of the weights that are drawn, as ``job.weights`` has them: W1 (n_post, n_pre),
        b1 (n_post,) … by layer, and B1 … (n_post, n_out), which is drawn if left out. The run keeps them, and its spec has
        ``network.weights = "given"``, where no condition has that of itself.
    name: the name of the experiment; that of its file if left out.
    force: replace a run that is there already.
    progress: whether to show on stderr, or in the notebook, how it goes; or who is told.
    base: the folder to which a path in ``data`` is relative; if left out, that of the file, or else the working directory.

    Raises
    ------
    DataError, SpecError, RunError, NonFiniteError
        The data cannot be had; a layer does not fit on them; the directory cannot be written; training diverged.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 4))
    >>> tables = {"network": {"hidden": [16]}, "stage": [{"epochs": 3}]}
    >>> trained = run(tables, "runs/sums", data=(x, x.sum(axis=1) > 0), progress=False)
    >>> trained.status, trained.info["shape"], trained.info["classes"]
    ('finished', [4], ['False', 'True'])
    """
    experiment, file = asked(experiment)
    name = name or (file.stem if file else "experiment")
    experiment = located(experiment, base or (file.resolve().parent if file else None))
    if data is not None:
        experiment = experiment.model_copy(update={"data": given.NAME})
    start = None if weights is None else handover.given_start(weights)
    if start is not None:
        experiment = _from_given(experiment)
    arrays = given_to(experiment, data)
    place = None if out is None else Path(out)
    if place is not None:
        _keep_sources(experiment, place)
        folders.check(place, force)
    found = samples.load(experiment, arrays)
    if isinstance(found, Dataset):
        recording.check(experiment, found.shape, found.n_out, len(found.y_train))
    with shown(progress) as display:
        _warn_of_doubts(experiment, display)
        with blas.one_thread():
            forms = samples.in_forms(experiment, found)
            compiled = _rehearse(experiment, found, forms, display, start)
        place = folders.take(place, name)
        with folders.held(place) as alone:
            fingerprints = _fingerprints(experiment, found, start)
            begun = record.begin(place, experiment, name=name, force=force, alone=alone, weights=start, **fingerprints)
            _go_on(begun, found, fingerprints, forms, display, compiled, callback)
    return Run(place, data=arrays)


def resume(
    folder: str | Path, progress: Progress | bool = True, *, allow_models: bool = False, data: Any = None,
    callback: Callback | None = None,
) -> Run:  # fmt: skip
    """Go on with a run that was interrupted, to the same bits as if it had not been; progress as for `run`.

    allow_models: whether Python files of models that the run brings may be executed (see `localdfa.record.Run`).
    data: the same arrays again, where the run learns from such; they are not kept in it.
    callback: as for `run`.

    Raises
    ------
    DataError, RunError, NonFiniteError
        As `run`; also where the data are no longer what the run began with.
    """
    folder = Path(folder)
    folders.check_run(folder, coming=True)
    with folders.held(folder):
        began = record.Run(folder, allow_models)
        learns_from_arrays = began.experiment.data == given.NAME
        if learns_from_arrays != (data is not None):
            raise RunError(
                f"{folder}: learns from arrays, which it does not keep; give the same ones again, from Python: "
                f"localdfa.resume({str(folder)!r}, data=(x, y))"
                if learns_from_arrays
                else f"{folder}: learns from {began.experiment.data}; allowed: no arrays beside it"
            )
        arrays = given_to(began.experiment, data)
        found = samples.load(began.experiment, arrays)
        fingerprints = _fingerprints(began.experiment, found, began.start)
        forms = samples.in_forms(began.experiment, found)
        with shown(progress) as display:
            _warn_of_doubts(began.experiment, display)
            _go_on(began, found, fingerprints, forms, display, set(), callback)
    return Run(folder, allow_models, data=arrays)


def _from_given(experiment: Experiment) -> Experiment:
    """The experiment with weights that are given, in all conditions that have none of their own, or where it says so."""
    if not any(setting.network.weights == GIVEN for setting in settings(experiment).values()):
        tables = experiment.model_dump(exclude_unset=True)
        experiment = validated({**tables, "network": {**tables.get("network", {}), "weights": GIVEN}})
    if not any(setting.network.weights == GIVEN for setting in settings(experiment).values()):
        raise SpecError("weights: no condition starts from them, as each has its own network.weights; allowed: 'given' in one")
    return experiment


def _warn_of_doubts(experiment: Experiment, progress: Progress) -> None:
    """Say what works but learns nothing or takes long, before training does."""
    for name, setting in settings(experiment).items():
        for message in checks.doubtful(setting):
            progress.warn(f"{name}: {message}")


def _keep_sources(experiment: Experiment, place: Path) -> None:
    """Refuse a run in the place of what it reads."""
    sources = [("network.from_run", Path(path).parent) for path in handover.source_paths(experiment)]
    if experiment.data.startswith("npz:"):
        sources.append(("data", Path(experiment.data.removeprefix("npz:"))))
    for key, path in sources:
        if folders.owns(place, path):
            raise RunError(f"{place}: {key} reads {path}, which this run would replace; name another place")


def _rehearse(
    experiment: Experiment, data: Data, forms: Forms, progress: Progress, start: handover.Start | None
) -> set[str]:  # fmt: skip
    """Build every network, and train the first for a mini-batch: what goes wrong there does so before a folder is made.

    Returns the conditions whose kernels are compiled.
    """
    by_condition = settings(experiment)
    (name, setting), *others = by_condition.items()
    seed, *later_seeds = experiment.seeds
    networks = [(other, seed) for _, other in others]
    # Of another run each seed is read; networks that are built anew differ in nothing but their random numbers.
    networks += [(each, later) for each in by_condition.values() if each.network.from_run for later in later_seeds]
    for each, number in networks:
        if each.module is None:
            assert isinstance(data, Dataset)
            handover.begin(each, seen(each, data.shape), data.n_out, number, start)
        else:  # its taps may be refused
            _training(each, forms, record.Job(Path(), "", number))
    progress.compiling(name)
    _training(setting, forms, record.Job(Path(), name, seed), start=start).warm_up()
    return {name}


def _training(
    setting: Setting, forms: Forms, job: record.Job, keep: Record | None = None, start: handover.Start | None = None
) -> Training:  # fmt: skip
    """One condition and seed, before its training."""
    data = forms[samples.form_of(setting)]
    if setting.module is None:
        return Trainer(setting, data, job, keep, start)
    from localdfa.module_trainer import ModuleTrainer

    return ModuleTrainer(setting, data, job, keep)


def shown(progress: Progress | bool) -> AbstractContextManager[Progress]:
    """Who is told how a run goes: a display of its own, unless somebody else is."""
    if progress is not True:
        return nullcontext(progress or Progress())
    from rich.console import Console

    from localdfa.display import display

    return display(Console(stderr=True))


def located(experiment: Experiment, base: Path | None = None) -> Experiment:
    """The same experiment, with the paths of its own data and of runs that it starts from made absolute from a folder.

    Raises
    ------
    DataError
        There can be no such path.
    """

    def absolute(key: str, path: str) -> str:
        try:
            return str(((base or Path.cwd()) / Path(path).expanduser()).resolve())
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{key}: {path!r}: {error}") from None

    if handover.source_paths(experiment):
        tables = experiment.model_dump(exclude_unset=True)
        for table in (tables, *tables.get("condition", [])):
            if path := table.get("network", {}).get("from_run"):
                table["network"] = {**table["network"], "from_run": absolute("network.from_run", path)}
        experiment = validated(tables)
    if not experiment.data.startswith("npz:"):
        return experiment
    return experiment.model_copy(update={"data": f"npz:{absolute('data', experiment.data.removeprefix('npz:'))}"})


def _fingerprints(experiment: Experiment, data: Data, start: handover.Start | None) -> dict[str, str]:
    """Of all that a run reads, as run.json has them."""
    return {"data": samples.fingerprint(data), **handover.fingerprint(experiment, start)}


def _go_on(
    run: record.Run, data: Data, fingerprints: dict[str, str], forms: Forms, progress: Progress, compiled: set[str],
    callback: Callback | None,
) -> None:  # fmt: skip
    """Train what is not finished, in a folder that is held; whatever happens, leave one that can be read and resumed.

    fingerprints: of the data and of other runs that are read; forms: the parts of the data; compiled: the conditions whose
    kernels are compiled.
    """
    run.check_unchanged(**fingerprints)
    notes = dict.fromkeys((*data.notes, *run.info.get("notes", [])))  # what is noted of training stays
    of_data = {"shape": list(data.shape), "classes": list(data.classes), "notes": list(notes)}
    run.update_info(**fingerprints, **of_data, status="running")
    progress.place(run.folder)
    for note in data.notes:
        progress.warn(note)
    try:
        with blas.one_thread():
            _train_all(run, forms, progress, compiled, callback)
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else f"stopped: {_described(error)}"
        run.update_info(status=status)
        raise
    run.update_info(status="finished")


def _described(error: BaseException) -> str:
    """An error in a line; where localdfa has not raised it on purpose, with its type."""
    return str(error) if isinstance(error, LocalDFAError) else f"{type(error).__name__}: {error}"


def _train_all(
    run: record.Run, forms: Forms, progress: Progress, compiled: set[str], callback: Callback | None
) -> None:  # fmt: skip
    """Train every condition and seed, one after the other; compiled: the conditions whose kernels are, which grow."""
    start = run.start
    epochs = {name: setting.epochs for name, setting in run.settings.items()}
    n_train = {name: _n_train(setting, forms) for name, setting in run.settings.items()}
    seeds = len(run.experiment.seeds)
    progress.start({name: seeds * epochs[name] * n_train[name] for name in run.settings})
    for job in run.jobs:
        setting = run.settings[job.condition]
        trainer = _training(setting, forms, job, run.experiment.record, start)
        if setting.network.from_run:  # which may have been replaced meanwhile
            run.check_unchanged(**handover.fingerprint(run.experiment))
        trainer.restore(progress)
        if not trainer.finished:
            run.note_trained(job, None)
        if trainer.rows:
            job.write_metrics(trainer.rows)
        if not trainer.finished and job.condition not in compiled:
            progress.compiling(job.condition)
            _training(setting, forms, job, start=start).warm_up()
            compiled.add(job.condition)
        progress.job(job.condition, job.seed)
        progress.skip(job.condition, trainer.epoch * trainer.n_train)
        try:
            _train(trainer, run, progress, callback)
        finally:
            summarise(run)
        progress.skip(job.condition, (epochs[job.condition] - trainer.epoch) * trainer.n_train)  # what an early stop left out


def _n_train(setting: Setting, forms: Forms) -> int:
    """The samples of an epoch."""
    if setting.module is None:
        return len(forms[samples.form_of(setting)]["train"])
    return _training(setting, forms, record.Job(Path(), "", 0)).n_train


def _train(trainer: Training, run: record.Run, progress: Progress, callback: Callback | None) -> None:
    """One condition and seed from where it stands to its end."""
    keep, job, was_unfinished = run.experiment.record, trainer.job, not trainer.finished
    if not trainer.rows:
        row = trainer.measure()
        job.write_metrics(trainer.rows, lasting=False)
        trainer.save()
        progress.epoch(row)
    while not trainer.finished:
        trainer.train_epoch(progress)
        row = trainer.measure()
        job.write_metrics(trainer.rows, lasting=False)
        for name, made in trainer.records(keep, each_epoch=True).items():
            job.write(name, made(), trainer.epoch)
        trainer.next_stage()
        if record.KEPT in row:
            job.write_metrics(trainer.rows, lasting=False)
        progress.epoch(row)
        _judge(trainer, run, progress)
        if trainer.finished or trainer.epoch % keep.checkpoint == 0:
            trainer.save()
        if callback is not None and callback(dict(row)) and not trainer.finished:
            trainer.end()
            trainer.save()
            run.note(f"{job.condition} seed {job.seed}: the callback ended training after epoch {trainer.epoch}")
    if was_unfinished:
        job.write_metrics(trainer.rows)
    _record(trainer, run, progress, anew=was_unfinished)
    run.note_trained(job, trainer.rows)


def _judge(trainer: Training, run: record.Run, progress: Progress) -> None:
    """Warn of spiking layers that are silent or saturate, and once of training that stays at chance.

    Chance is looked at after some epochs, so that one may stop there, and at the end; run.json keeps what is found last.
    """
    row, job, judged = trainer.rows[-1], trainer.job, trainer.finished or trainer.epoch == _TRIED
    idle = measure.idle(row, trainer.not_learned(row)) if judged else []
    warned_of_chance = trainer.epoch > _TRIED and trainer.not_learned(trainer.rows[_TRIED]) is not None
    unhealthy = measure.unhealthy(row)
    for message in (*([] if warned_of_chance else idle), *unhealthy):
        progress.warn(f"{job.condition} seed {trainer.seed}, epoch {row['epoch']}: {message}")
    if judged:
        run.note_health(job, row["epoch"], [*idle, *unhealthy])


def _record(trainer: Training, run: record.Run, progress: Progress, anew: bool) -> None:
    """Keep what the spec asks for of a trained network, or, if not anew, what of that is not there or damaged.

    Whatever fails here costs no training: run.json says what could not be kept and why, and resuming tries it again.
    """
    keep, job, failed = run.experiment.record, trainer.job, dict[str, str]()
    for name, made in trainer.records(keep).items():
        if not anew and job.is_whole(name):
            continue
        try:
            job.write(name, made())
        except Exception as error:
            failed[name] = _described(error)
            progress.warn(
                f"{job.condition} seed {trainer.seed}: record.{name} could not be kept: {failed[name]}; training is whole, and "
                f"to try it again: localdfa resume {run.folder}"
            )
    run.note_not_kept(job, failed)


def summarise(run: record.Run) -> None:
    """Write summary.json: one entry for every condition and seed that has been measured.

    Rows that are damaged are left out; they are written anew when it is the turn of their condition and seed.
    """
    entries, not_kept = [], run.not_kept
    for job in run.jobs:
        try:
            last = job.last
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
                    "not_kept": {e.record: e.why for e in not_kept if (e.condition, e.seed) == (job.condition, job.seed)},
                }
            )
    if entries:
        write_json(run.folder / "summary.json", {"title": run.experiment.title, "conditions": entries})
