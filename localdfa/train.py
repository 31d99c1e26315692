"""An experiment from its spec to a finished run directory: every condition and seed is trained, recorded and summed up."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from localdfa import folder as folders
from localdfa import handover, jobs, record, recording, samples, searching, side_by_side
from localdfa.core import blas
from localdfa.data import Dataset, given
from localdfa.errors import NonFiniteError, RunError, SpecError, check_flags, quoted
from localdfa.files import path_of
from localdfa.geometry import seen
from localdfa.interchange import safetensors
from localdfa.jobs import Callback
from localdfa.network import rewired
from localdfa.progress import Progress
from localdfa.results import Run, given_to
from localdfa.samples import Data, Forms
from localdfa.side_by_side import Workers
from localdfa.spec import Experiment, Setting, asked, checks, settings, with_absolute_paths
from localdfa.spec import experiment as validated
from localdfa.spec.grid import Grid, expanded
from localdfa.spec.search import Search, rehearsed
from localdfa.spec.tables import GIVEN


def run(
    experiment: Experiment | str | Path | Mapping[str, Any], out: str | Path | None = None, *, name: str | None = None,
    force: bool = False, progress: Progress | bool = True, base: Path | None = None, data: Any = None,
    callback: Callback | None = None, weights: Mapping[str, Any] | str | Path | None = None, grid: Grid | None = None,
    search: Search | None = None, workers: Workers | None = None,
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
        b1 (n_post,) … by layer, and B1 … (n_post, n_out) of all hidden layers, or of none, where they are drawn; or the path of
        a file of safetensors that has them. The run keeps them, and its spec has ``network.weights = "given"``, where no
        condition has that of itself.
    grid: of keys, as ``{"phases.beta": [0.1, 1.0]}``, the values with which each condition that reads them is trained, in every
        combination (see `localdfa.spec.grid.expanded`).
    search: what Optuna searches, trial by trial (see `localdfa.Search`): each trial is a condition, ``trial-0`` and so on, and
        `run.best` is the one with the smallest validation error. The experiment keeps a part of the training set for it.
    workers: how many processes train conditions and seeds side by side, or the address of a scheduler of Dask, whose workers
        do (see `localdfa.side_by_side`); one after the other in this process if left out. Results are the same to the bit; of
        modules of PyTorch where a worker has as many threads as this process.
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
    _check_how(workers, callback, progress)
    check_flags(SpecError, force=force)
    experiment, file = asked(experiment)
    name = name or (file.stem if file else "experiment")
    experiment = located(experiment, base or (file.resolve().parent if file else None))
    if grid:
        experiment = expanded(experiment, grid)
    if data is not None:
        experiment = experiment.model_copy(update={"data": given.NAME})
    changed = experiment
    if search is not None:
        for key, value in (("grid", grid), ("weights", weights)):
            if value is not None:
                raise SpecError(f"search: does not go with {key}; allowed: one of the two")
        changed, experiment = searching.rehearsal(experiment, search)
    if isinstance(weights, (str, Path)):
        weights = safetensors.read(weights)
    start = None if weights is None else handover.given_start(weights)
    if start is not None:
        experiment = _from_given(experiment)
    arrays = given_to(experiment, data)
    place = None if out is None else path_of("out", out)
    if place is not None:
        _keep_sources(experiment, place)
        folders.check(place, force)
    found = samples.load(experiment, arrays)
    if search is not None:
        searching.check_validation(found)
    if isinstance(found, Dataset):
        recording.check(experiment, found.shape, found.n_out, len(found.y_train))
    with shown(progress) as display:
        _warn_of_doubts(experiment, display)
        with blas.one_thread():
            forms = samples.in_forms(settings(experiment).values(), found, {})
            compiled = _rehearse(experiment, found, forms, display, start)
        place = folders.take(place, name)
        with folders.held(place) as alone:
            fingerprints, of_search = _fingerprints(changed, found, start), None
            if search is not None:
                of_search, experiment = (search, changed), searching.first(changed, search)
            begun = record.begin(
                place, experiment, name=name, force=force, alone=alone, weights=start, search=of_search, **fingerprints
            )
            _go_on(begun, found, fingerprints, forms, display, compiled, callback, workers, arrays)
    return Run(place, data=arrays)


def resume(
    folder: str | Path, progress: Progress | bool = True, *, allow_models: bool = False, data: Any = None,
    callback: Callback | None = None, workers: Workers | None = None,
) -> Run:  # fmt: skip
    """Go on with a run that was interrupted, to the same bits as if it had not been; progress as for `run`.

    allow_models: whether Python files of models that the run brings may be executed (see `localdfa.record.Run`).
    data: the same arrays again, where the run learns from such; they are not kept in it.
    callback, workers: as for `run`.

    Raises
    ------
    DataError, RunError, NonFiniteError
        As `run`; also where the data are no longer what the run began with.
    """
    _check_how(workers, callback, progress)
    folder = path_of("folder", folder)
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
        changed = experiment = began.began_from
        if (of_search := began.search) is not None:
            searching.library()
            experiment = rehearsed(changed, of_search[0])
        arrays = given_to(experiment, data)
        found = samples.load(experiment, arrays)
        fingerprints = _fingerprints(changed, found, began.start)
        forms = samples.in_forms(settings(experiment).values(), found, {})
        with shown(progress) as display:
            _warn_of_doubts(experiment, display)
            _go_on(began, found, fingerprints, forms, display, set(), callback, workers, arrays)
    return Run(folder, allow_models, data=arrays)


def _check_how(workers: Workers | None, callback: Callback | None, progress: Any) -> None:
    """Refuse a callback that is none, a display that is none, and what workers cannot do, before anything is read."""
    if not isinstance(progress, bool | Progress | None):
        raise SpecError(f"progress: {quoted(progress)}; allowed: True, False, or a localdfa.progress.Progress that is told")
    if callback is not None and not callable(callback):
        raise SpecError(f"callback: {quoted(callback)}; allowed: a function of a row of metrics")
    if workers is not None:
        if callback is not None:
            raise SpecError("callback: what is trained by workers ends by itself; allowed with workers: leave it out")
        side_by_side.check(workers)


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
    """Build every network with the feedback of each stage, and train the first for a mini-batch.

    What goes wrong there does so before a folder is made.

    Returns the conditions whose kernels are compiled.
    """
    by_condition = settings(experiment)
    (name, setting), *others = by_condition.items()
    seed, *later_seeds = experiment.seeds
    if isinstance(data, Dataset):
        layers = [each for each in by_condition.values() if each.module is None]
        networks = [(each, seed) for each in layers]
        # Of another run each seed is read; networks that are built anew differ in nothing but their random numbers.
        networks += [(each, later) for each in layers if each.network.from_run for later in later_seeds]
        for each in layers:
            _require_spread(each, len(data.y_train))
        for each, number in networks:
            network = handover.begin(each, seen(each, data.shape), data.n_out, number, start)
            for stage in each.stage:
                rewired(network, each, each.rule_of(stage), number, each.layer_rules_of(stage))
    for _, other in others:
        if other.module is not None:  # its taps may be refused
            jobs.training_of(other, forms, record.Job(Path(), "", seed))
    progress.compiling(name)
    jobs.training_of(setting, forms, record.Job(Path(), name, seed), start=start).warm_up()
    return {name}


def _require_spread(setting: Setting, samples: int) -> None:
    """Refuse a last mini-batch of one sample, of so many to train on, where drives are normalised over mini-batches."""
    if setting.network.batch_norm and samples % setting.batch_size == 1:
        raise SpecError(
            f"batch_size: {setting.batch_size} of {samples} training samples leaves a mini-batch of one, which has no spread "
            f"by which network.batch_norm = true could divide; allowed: another size"
        )


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
    tables = experiment.model_dump(exclude_unset=True)
    absolute = with_absolute_paths(tables, base or Path.cwd())
    return experiment if absolute == tables else validated(absolute)


def _fingerprints(experiment: Experiment, data: Data, start: handover.Start | None) -> dict[str, str]:
    """Of all that a run reads, as run.json has them; experiment: as it began, see `record.Run.began_from`."""
    return {"data": samples.fingerprint(data), **handover.fingerprint(experiment, start)}


def _go_on(
    run: record.Run, data: Data, fingerprints: dict[str, str], forms: Forms, progress: Progress, compiled: set[str],
    callback: Callback | None, workers: Workers | None, arrays: given.Source | None,
) -> None:  # fmt: skip
    """Train what is not finished, in a folder that is held; whatever happens, leave one that can be read and resumed.

    fingerprints: of the data and of other runs that are read; forms: the parts of the data; compiled: the conditions whose
    kernels are compiled; arrays: those that a script gives as data.
    """
    run.check_unchanged(**fingerprints)
    notes = dict.fromkeys((*data.notes, *run.info.get("notes", [])))  # what is noted of training stays
    of_data = {"shape": list(data.shape), "classes": list(data.classes), "notes": list(notes)}
    if isinstance(data, Dataset) and data.features:
        of_data["features"] = list(data.features)
    run.update_info(**fingerprints, **of_data, status="running")
    progress.place(run.folder)
    for note in data.notes:
        progress.warn(note)
    try:
        with blas.one_thread(), _queue(run, forms, progress) as queue:
            progress.start(queue.samples)
            if workers is None:
                _train_all(run, queue, data, forms, progress, compiled, callback)
            else:
                _compile_all(run, queue, forms, progress, compiled)
                side_by_side.train_all(run, queue, arrays, workers, progress)
    except BaseException as error:
        run.update_info(status=jobs.status_after(error))
        raise
    run.update_info(status="finished")


def _queue(run: record.Run, forms: Forms, progress: Progress) -> AbstractContextManager[jobs.Queue]:
    """What there is to train: conditions that are all known, or the trials of a search."""
    if run.search is None:
        return nullcontext(jobs.Queue(run, forms))
    return searching.Trials(run, forms, progress)


def _compile_all(run: record.Run, queue: jobs.Queue, forms: Forms, progress: Progress, compiled: set[str]) -> None:
    """Compile the kernels of all conditions, once for all workers, which find them on the disk."""
    for name, setting in queue.kernels.items():
        if name not in compiled:
            progress.compiling(name)
            jobs.training_of(setting, forms, record.Job(Path(), name, run.experiment.seeds[0]), start=run.start).warm_up()


def _train_all(
    run: record.Run, queue: jobs.Queue, data: Data, forms: Forms, progress: Progress, compiled: set[str],
    callback: Callback | None,
) -> None:  # fmt: skip
    """Train every condition and seed, one after the other; compiled: the conditions whose kernels are, which grow."""
    start = run.start
    while waiting := queue.more(1):
        for job in waiting:
            samples.in_forms([run.settings[job.condition]], data, forms)  # also of trials, which are chosen one by one
            trainer = None
            try:
                trainer = jobs.begin(run, job, forms, start, run, progress)
                if not trainer.finished and job.condition not in compiled:
                    progress.compiling(job.condition)
                    jobs.training_of(trainer.setting, forms, job, start=start).warm_up()
                    compiled.add(job.condition)
                progress.job(job.condition, job.seed)
                progress.skip(job.condition, trainer.epoch * trainer.n_train)
                jobs.train(trainer, run.experiment.record, run, progress, callback)
            except (NonFiniteError, SpecError) as error:
                if not queue.failed(job, error):
                    raise
            else:
                queue.trained(job)
            finally:
                jobs.summarise(run)
            done = 0 if trainer is None else trainer.epoch
            early = (run.settings[job.condition].epochs - done) * queue.n_train(job.condition)  # what an early stop left out
            progress.skip(job.condition, early)
            progress.over(job.condition, job.seed)
