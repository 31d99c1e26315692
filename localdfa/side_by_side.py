"""Conditions and seeds of a run, trained side by side by the workers of Dask: processes of this machine, or those of a cluster.

The process that began the run holds its folder, and alone writes what all have in common: run.json and summary.json. A worker
opens the folder, which it has to see under the same path, trains one condition and seed from its last checkpoint to its end in
the folder of that, and tells what else is to be noted. So a worker that is lost costs what it trained since that checkpoint:
another one goes on, to the same bits.
"""

import logging
import os
import threading
from asyncio import TimeoutError as AsyncTimeoutError  # the built-in one from Python 3.11 on alone
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa import jobs, record, samples
from localdfa.core import blas
from localdfa.data import given
from localdfa.errors import LocalDFAError, RunError, SpecError, quoted
from localdfa.export import library as installed
from localdfa.progress import Progress
from localdfa.samples import Forms

if TYPE_CHECKING:
    import distributed

# Seconds between two looks at what goes on, and for which a scheduler is waited for.
_EVERY, _PATIENCE = 2.0, 10.0
# Who trains: so many processes of this machine, among which its cores are divided; or the address of a scheduler of Dask, as
# tcp://node1:8786, whose workers train one condition and seed at a time each, on as many threads as they have.
Workers = int | str
# Kernels, and threads of PyTorch, are of one training at a time.
_ALONE = threading.Lock()
# In a worker: the data of the last run that it has trained for, and their forms, by the run's folder, spec and beginning.
_opened: dict[tuple[str, tuple[str, str]], tuple[samples.Data, Forms]] = {}


def library() -> ModuleType:
    """Dask's package `distributed`."""
    return installed("distributed", "sweep")


def check(workers: Workers) -> None:
    """Refuse workers that cannot be had.

    Raises
    ------
    LocalDFAError, RunError, SpecError
        Dask is not installed; no scheduler answers; a number of processes below 1.
    """
    library()
    if isinstance(workers, str):
        with _connected(workers):
            pass
    elif isinstance(workers, bool) or not isinstance(workers, int | np.integer) or workers < 1:
        raise SpecError(
            f"workers: {quoted(workers)}; allowed: processes that train at once, from 1, or the address of a scheduler"
        )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(number: int, of_modules: bool) -> None:
    """Train on so many threads, no more than there are; of_modules: modules of PyTorch as well."""
    import numba

    numba.set_num_threads(min(number, numba.get_num_threads()))
    if of_modules:
        import torch

        torch.set_num_threads(number)


def train_all(
    run: record.Run, queue: jobs.Queue, arrays: given.Source | None, workers: Workers, progress: Progress
) -> None:  # fmt: skip
    """Train every condition and seed of a run that this process holds.

    arrays: those that a script gives as data.

    Raises
    ------
    LocalDFAError
        Some of them failed; all others are trained.
    """
    wait, failed = library().wait, dict[record.Job, BaseException]()
    told: dict[record.Job, _Told] = {}
    going: dict[Any, record.Job] = {}
    with _client(workers, len(queue.samples) * len(run.experiment.seeds)) as (client, threads):
        while True:
            begun = queue.more(max(1, len(client.nthreads())) - len(going))
            finished = run.entries.finished if begun else {}
            for job in begun:
                if job.key in finished and not _is_over(run, job):  # its last checkpoints were damaged or are lost
                    run.note_trained(job, None)
                told[job] = _Told(queue.n_train(job.condition))
                place = run.jobs.index(job)
                going[client.submit(_train, run.folder.resolve(), place, arrays, threads, pure=False)] = job
            if not going:
                break
            try:
                over = wait([*going], timeout=_EVERY, return_when="FIRST_COMPLETED").done
            except AsyncTimeoutError:
                over = set()
            for job in going.values():
                told[job].tell(job, progress)
            for future, job in [(future, job) for future, job in going.items() if future in over]:
                del going[future]
                error = future.exception()
                if error is None:
                    future.result().pass_on(run, progress)
                future.release()  # what a worker holds when it is lost would be trained again
                told[job].tell(job, progress)
                jobs.summarise(run)
                progress.skip(job.condition, told[job].left(run.settings[job.condition].epochs))
                progress.over(job.condition, job.seed)
                if error is None:
                    queue.trained(job)
                elif not queue.failed(job, error):
                    failed[job] = _lost(error)
    if failed:
        _fail(failed)


def _fail(failed: Mapping[record.Job, BaseException]) -> None:
    """Raise what went wrong, of several in a line each; what localdfa has not raised on purpose goes first, as it is."""
    for error in failed.values():
        if not isinstance(error, LocalDFAError):
            raise error
    lines = [f"{job.condition} seed {job.seed}: {error}" for job, error in failed.items()]
    raise type(next(iter(failed.values())))("\n".join(lines))


def _lost(error: BaseException) -> BaseException:
    """What to say of an error, where Dask has given a training up."""
    if isinstance(error, library().KilledWorker):
        return RunError(f"its workers were lost again and again: {error}")
    return error


def _is_over(run: record.Run, job: record.Job) -> bool:
    """Whether the training of a condition and seed is over by its checkpoint."""
    try:
        checkpoint = job.checkpoint()
    except RunError:
        return False
    return checkpoint is not None and checkpoint[1].stage == len(run.settings[job.condition].stage)


@contextmanager
def _client(workers: Workers, number: int) -> Iterator[tuple["distributed.Client", int]]:
    """What hands trainings to workers, and how many threads each has, 0 where that is theirs to say."""
    if isinstance(workers, str):
        with _connected(workers) as client:
            yield client, 0
        return
    distributed, processes = library(), max(1, min(workers, number))
    import dask

    # A training holds the interpreter for longer than Dask waits for a sign of life.
    settings = {"distributed.scheduler.worker-ttl": None, "distributed.admin.tick.limit": "1h"}
    with ExitStack() as opened:
        opened.enter_context(dask.config.set(settings))
        cluster = opened.enter_context(
            distributed.LocalCluster(
                n_workers=processes, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0,
                silence_logs=logging.CRITICAL, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # any port: it has one
            )
        )  # fmt: skip
        yield opened.enter_context(distributed.Client(cluster)), max(1, cores() // processes)


@contextmanager
def _connected(scheduler: str) -> Iterator["distributed.Client"]:
    try:
        client = library().Client(scheduler, timeout=_PATIENCE)
    except (OSError, AsyncTimeoutError, ValueError) as error:
        raise RunError(f"workers: {scheduler!r:.200}: no scheduler of Dask answers there: {error}") from None
    with client:
        yield client


class _Told:
    """What of a training's rows of metrics a display of progress has been told; samples: of an epoch."""

    def __init__(self, samples: int) -> None:
        self._samples, self._rows = samples, 0

    def tell(self, job: record.Job, progress: Progress) -> None:
        """Tell what is new."""
        try:
            rows = job.metrics
        except RunError:  # it is being written, or says so itself
            return
        if new := rows[self._rows :]:
            progress.skip(job.condition, self._samples * (len(rows) - max(1, self._rows)))  # row 0 is before training
            progress.job(job.condition, job.seed)
            for row in new:
                progress.epoch(row)
            self._rows = len(rows)

    def left(self, epochs: int) -> int:
        """Samples that are not trained on, of so many epochs."""
        return self._samples * (epochs - max(0, self._rows - 1))


class _Outcome(Progress):
    """In a worker: what a training warns of, and what it says that run.json shall hold, until the run's own process is told."""

    def __init__(self) -> None:
        self._warnings, self._notes = list[str](), list[tuple[str, tuple[Any, ...]]]()

    def warn(self, message: str) -> None:
        self._warnings.append(message)

    def note(self, text: str) -> None:
        self._notes.append(("note", (text,)))

    def note_health(self, job: record.Job, epoch: int, messages: list[str]) -> None:
        self._notes.append(("note_health", (job, epoch, messages)))

    def note_not_kept(self, job: record.Job, why: dict[str, str]) -> None:
        self._notes.append(("note_not_kept", (job, why)))

    def note_trained(self, job: record.Job, rows: list[dict[str, Any]] | None) -> None:
        self._notes.append(("note_trained", (job, rows)))

    def pass_on(self, notes: jobs.Notes, progress: Progress) -> None:
        """Say it all where it belongs."""
        for message in self._warnings:
            progress.warn(message)
        for method, arguments in self._notes:
            getattr(notes, method)(*arguments)


def _train(folder: Path, place: int, arrays: given.Source | None, threads: int) -> _Outcome:
    """In a worker: train the condition and seed at a place among those of the run, or go on with it.

    threads: of this worker; 0: as many as Dask has given it.
    """
    outcome = _Outcome()
    with _ALONE, blas.one_thread():
        run = record.Run(folder, allow_models=True)  # the process that holds it was allowed them, or has them of itself
        use_threads(threads or library().get_worker().state.nthreads, run.of_modules)
        job = run.jobs[place]
        trainer = jobs.begin(run, job, _forms(run, job, arrays), run.start, outcome, outcome)
        jobs.train(trainer, run.experiment.record, outcome, outcome)
    return outcome


def _forms(run: record.Run, job: record.Job, arrays: given.Source | None) -> Forms:
    """The data of a run, read once for all trainings of this worker, also in the form that a condition and seed reads."""
    of_run = str(run.folder), record.began_as(run.info)
    if of_run not in _opened:
        data = samples.load(run.experiment, arrays)
        run.check_unchanged(data=samples.fingerprint(data))
        _opened.clear()
        _opened[of_run] = data, {}
    data, forms = _opened[of_run]
    return samples.in_forms([run.settings[job.condition]], data, forms)
