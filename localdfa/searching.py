"""Searches with Optuna: what a search trains next, and what each trial has come to.

A trial is a condition of the run, ``trial-0`` and so on. Its value is the validation error of the weights that its trainings
end with, a mean over the seeds. The study lies in the run directory, in search.db, a file of SQLite, whose transactions survive
a process that is killed; Optuna's own tools read it:

    optuna.load_study(study_name="search", storage="sqlite:///runs/mine/search.db")

A trial is written there with all of its values before it is trained, and spec.toml follows from it. What is chosen depends on
the seed, the number of the trial and the trials before it alone, so that a search that was interrupted goes on to the trials
that it would have come to.
"""

import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa import jobs, record
from localdfa.errors import NonFiniteError, RunError, SpecError
from localdfa.export import library as installed
from localdfa.progress import Progress
from localdfa.samples import Data, Forms, has_validation
from localdfa.spec import Experiment, settings
from localdfa.spec.search import Search, check, rehearsed, said, searched, with_trials

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_STUDY, _FILE, _PREFIX = "search", "search.db", "trial-"
# Values of ranges are rounded to so many digits, which a person can read and write.
_DIGITS = 4


def library() -> ModuleType:
    """Optuna's package."""
    return installed("optuna", "search")


def rehearsal(experiment: Experiment, search: Search) -> tuple[Experiment, Experiment]:
    """Of an experiment that is to be searched: what trials change, and what is tried before one is trained.

    Raises
    ------
    LocalDFAError, SpecError
        Optuna is not installed; or something in the ranges is not allowed (see `localdfa.spec.search`).
    """
    library()
    base = searched(experiment, search.condition)
    check(base, search)
    return base, rehearsed(base, search)


def check_validation(data: Data) -> None:
    """Refuse data of which no part is kept for validation: trials are never compared on the test set."""
    if not has_validation(data):
        raise SpecError(
            "search: trials are compared by their validation error, and no part of the training set is kept for that; write "
            "preprocess.validation = 0.2 in the spec, or on the command line --set preprocess.validation=0.2; or have x_valid "
            "and y_valid in data of your own"
        )


def first(base: Experiment, search: Search) -> Experiment:
    """The experiment of a search that begins, which has its first trial."""
    before = list["FrozenTrial"]()
    while len(before) < search.trials:
        values = _chosen(search, before)
        try:
            return with_trials(base, {f"{_PREFIX}{len(before)}": values})
        except SpecError as error:
            refused = error
            before.append(_as_trial(search, values, value=math.inf))
    raise refused


def _chosen(search: Search, before: "list[FrozenTrial]") -> dict[str, Any]:
    """The values of the trial after these."""
    optuna = library()
    seed = int(np.random.SeedSequence([search.seed, len(before)]).generate_state(1)[0])
    with _quiet():
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        study.add_trials(before)
        drawn = study.ask({key: _distribution(search, key) for key in search.ranges}).params
    return {key: _rounded(search, key, value) for key, value in drawn.items()}


def _distribution(search: Search, key: str) -> "BaseDistribution":
    found, of = search.ranges[key], library().distributions
    if isinstance(found, list):
        return of.CategoricalDistribution([_label(value) for value in found])
    kind = of.IntDistribution if found.whole else of.FloatDistribution
    return kind(found.low, found.high, log=found.log)


def _label(value: Any) -> Any:
    """A choice as Optuna has it: itself, or of a list how it is written."""
    return value if isinstance(value, (bool, int, float, str)) else repr(value)


def _rounded(search: Search, key: str, value: Any) -> Any:
    """A value that Optuna has drawn as the spec has it."""
    found = search.ranges[key]
    if isinstance(found, list):
        return next(choice for choice in found if _label(choice) == value)
    return value if found.whole else min(max(float(f"{value:.{_DIGITS}g}"), found.low), found.high)


def _as_trial(search: Search, values: Mapping[str, Any], **told: Any) -> "FrozenTrial":
    """A trial as Optuna has it."""
    distributions = {key: _distribution(search, key) for key in values}
    params = {key: _label(value) for key, value in values.items()}
    trial: FrozenTrial = library().trial.create_trial(params=params, distributions=distributions, **told)
    return trial


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Optuna tells of studies and trials, and the warning that a sampler of it may change."""
    logging = library().logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", library().exceptions.ExperimentalWarning)
            yield
    finally:
        logging.set_verbosity(before)


class Trials(jobs.Queue):
    """The conditions and seeds of a search: those of trials that are not over, then those of new ones.

    It is a context, in which the study is open. With one worker a trial is chosen once those before it are over.
    """

    def __init__(self, run: record.Run, forms: Forms, progress: Progress) -> None:
        assert run.search is not None
        self._run, self._progress = run, progress
        self._search, self._base = run.search
        self.kernels = settings(rehearsed(self._base, self._search))
        setting = next(iter(self.kernels.values()))
        self._of_epoch = jobs.n_train(setting, forms)
        each = self._of_epoch * setting.epochs * len(self._base.seeds)
        self.samples = {f"{_PREFIX}{number}": each for number in range(self._search.trials)}
        self._allowed: dict[str, dict[str, Any]] = {}  # the values of each trial, where they go together
        self._left: dict[str, set[int]] = {}  # of trials that go on, the seeds that are not trained
        self._broken = False

    def __enter__(self) -> "Trials":
        from sqlalchemy.pool import NullPool

        optuna, path = library(), self._run.folder.resolve() / _FILE
        with _quiet():
            self._storage = optuna.storages.RDBStorage(
                "sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path), "poolclass": NullPool}
            )
            self._study = optuna.create_study(storage=self._storage, study_name=_STUDY, load_if_exists=True)
        try:
            self._take_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _take_up(self) -> None:
        """Go on with what the study has; a search that begins has its first trial in its spec, and none there."""
        for trial in self._study.trials:
            name, values = f"{_PREFIX}{trial.number}", self._values(trial)
            try:
                with_trials(self._base, {name: values})
            except SpecError as error:  # a process may be killed between
                if not trial.state.is_finished():
                    self._leave_out(name, values, error)
            else:
                self._allowed[name] = values
            if trial.state.is_finished():
                self._progress.skip(name, self.samples[name])
            elif name in self._allowed:
                self._left[name] = {*self._base.seeds}
        if self._allowed:
            self._run.grow(with_trials(self._base, self._allowed))
        self._waiting = [job for job in self._run.jobs if job.condition in self._left]

    def n_train(self, condition: str) -> int:
        return self._of_epoch

    def more(self, room: int) -> list[record.Job]:
        found = list[record.Job]()
        while len(found) < room and not self._broken and (self._waiting or self._begin()):
            found.append(self._waiting.pop(0))
        return found

    def trained(self, job: record.Job) -> None:
        left = self._left.get(job.condition)
        if left is None:  # another seed of the trial has diverged
            return
        left.discard(job.seed)
        if not left:
            error = self._run.validation_error(job.condition)
            assert error is not None
            self._tell(job.condition, error)
            if math.isfinite(error) and self._study.best_trial.number == int(job.condition.removeprefix(_PREFIX)):
                self._run.write_best(with_trials(self._base, {job.condition: self._allowed[job.condition]}))

    def failed(self, job: record.Job, error: BaseException) -> bool:
        if not isinstance(error, NonFiniteError | SpecError):
            self._broken = True  # the others that go on end, and no further trial begins
            return False
        if job.condition in self._left:
            self._tell(job.condition, math.inf)
            why = "diverged" if isinstance(error, NonFiniteError) else "cannot be trained"
            self._say(f"{job.condition} is given up, as seed {job.seed} {why}: {error}")
            dropped = [each for each in self._waiting if each.condition == job.condition]
            self._waiting = [each for each in self._waiting if each not in dropped]
            self._progress.skip(job.condition, len(dropped) * self.samples[job.condition] // len(self._base.seeds))
        return True

    def _begin(self) -> bool:
        """Choose the next trial, whose trainings then wait; False where there are no more."""
        while (number := len(self._study.trials)) < self._search.trials:
            name, values = f"{_PREFIX}{number}", _chosen(self._search, self._study.trials)
            with _quiet():  # in one transaction
                self._study.add_trial(_as_trial(self._search, values, state=library().trial.TrialState.RUNNING))
            try:
                grown = with_trials(self._base, {**self._allowed, name: values})
            except SpecError as error:
                self._leave_out(name, values, error)
                self._progress.skip(name, self.samples[name])
                continue
            self._run.grow(grown)
            self._allowed[name], self._left[name] = values, {*self._base.seeds}
            self._waiting = [job for job in self._run.jobs if job.condition == name]
            return True
        return False

    def _tell(self, name: str, value: float) -> None:
        """Write into the study what a trial has come to."""
        with _quiet():
            self._study.tell(int(name.removeprefix(_PREFIX)), value)
        self._left.pop(name, None)

    def _leave_out(self, name: str, values: Mapping[str, Any], error: SpecError) -> None:
        """Give up a trial whose values do not go together."""
        self._tell(name, math.inf)
        self._say(f"{name} is left out, {said(values)}: {error}")

    def _say(self, text: str) -> None:
        self._run.note(text)
        self._progress.warn(text)

    def _values(self, trial: "FrozenTrial") -> dict[str, Any]:
        """The values of a trial, by key in the order of the search."""
        try:
            return {key: _rounded(self._search, key, trial.params[key]) for key in self._search.ranges}
        except (KeyError, StopIteration):
            raise RunError(
                f"{self._run.folder / _FILE}: trial {trial.number} has not the keys or values of this search"
            ) from None
