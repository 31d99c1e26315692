"""Run directories of training loops of one's own."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from localdfa import folder as folders
from localdfa import jobs, record
from localdfa.errors import LocalDFAError, RunError, SpecError, check_flags, quoted
from localdfa.files import path_of
from localdfa.registry import unknown
from localdfa.results import Run
from localdfa.spec import Experiment, Setting, experiment
from localdfa.spec.modules import RULES
from localdfa.spec.tables import FeedbackTable, Predicts

if TYPE_CHECKING:
    from torch import nn

    from localdfa.torch import Alignment, Learner

# Arguments of `feedback` by the table of a spec that has them; what else a condition names stands in the table `loop`.
_TABLES = {
    **dict.fromkeys(("pathway", *FeedbackTable.DRAWN), "feedback"),
    **dict.fromkeys(("beta", "nudging"), "phases"),
    **dict.fromkeys(("inside", "relative", "several"), "loop"),
}
# Arguments that are given for each training, by where.
_GIVEN_ELSEWHERE = {
    "seed": "`seeds` of the Log", **dict.fromkeys(("model", "example", "taps", "output", "spread"), "training.feedback"),
}  # fmt: skip
_RULES = {of_learners: name for name, of_learners in RULES.items()}


class Log:
    """The run directory of a training loop of one's own, which tables, figures and the report read as any other.

    It is a context: within it, it gives a training for each condition and seed, whose loop is yours, and which says after each
    epoch what was measured.

    Parameters
    ----------
    out : str or Path
        The run directory.
    conditions : dict
        Of each condition, by its name, the arguments of `localdfa.torch.feedback` that make it: rule, pathway, beta … Others
        than those are yours: numbers, texts or truths that tell it from other conditions, as ``learning_rate``, and that the
        spec keeps in its table `loop`.
    seeds : sequence of int
        One training of each condition for each.
    predicts : str
        What is predicted, which says what is measured: ``"labels"`` error; ``"numbers"`` rmse and r2; ``"decisions"`` log_loss
        and auc, ``"pairs"`` also ap; ``"colours"`` rmse, psnr and ssim; ``"symbols"`` bits.
    data : str
        What is learned from, in words.
    title : str
        What the experiment asks, in a line.
    force : bool
        Replace a run that is there already.
    resume : bool
        Go on with a run that was cut off: trainings that were over are not given again, others begin anew.

    Raises
    ------
    SpecError
        A condition is not one that `feedback` takes, or a name is not allowed.
    RunError
        Something lies there already; or, with `resume`, a run of other conditions, or none.

    Examples
    --------
    >>> import torch
    >>> import localdfa.torch
    >>> x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    >>> y = (x.sum(1) > 0).long()
    >>> criterion = torch.nn.functional.cross_entropy
    >>> with localdfa.Log("runs/loop", {"bp": {"rule": "bp"}, "dfa": {"rule": "dfa"}}, data="signs of sums") as log:
    ...     for training in log:
    ...         _ = torch.manual_seed(training.seed)
    ...         model = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    ...         learner = training.feedback(model, x, taps=["1"])
    ...         optimiser = torch.optim.SGD(model.parameters(), 0.5)
    ...         for epoch in range(20):
    ...             error = 100 * (model(x).argmax(1) != y).float().mean().item()
    ...             training.measured(train={"error": error})  # before training, and after each epoch but the last
    ...             loss = criterion(model(x), y)
    ...             optimiser.zero_grad()
    ...             learner.backward(loss)
    ...             optimiser.step()
    >>> log.run.status, len(log.run.frame())
    ('finished', 40)
    """

    def __init__(
        self, out: str | Path, conditions: Mapping[str, Mapping[str, Any]], *, seeds: Sequence[int] = (0,),
        predicts: Predicts = "labels", data: str = "", title: str = "", force: bool = False, resume: bool = False,
    ) -> None:  # fmt: skip
        check_flags(SpecError, force=force, resume=resume)
        if force and resume:
            raise SpecError("force, resume: a run is replaced, or gone on with; allowed: one of the two")
        if not isinstance(conditions, Mapping) or not all(isinstance(own, Mapping) for own in conditions.values()):
            raise SpecError(f"conditions: {quoted(conditions)}; allowed: a dict of dicts, as {{'dfa': {{'rule': 'dfa'}}}}")
        self.folder, self.conditions = path_of("out", out), {name: dict(arguments) for name, arguments in conditions.items()}
        self._experiment = _spec(self.conditions, seeds, predicts, data, title)
        self._force, self._resume, self._held = force, resume, ExitStack()
        self._run: record.Run | None = None
        if resume:
            folders.check_run(self.folder, coming=True)
        else:
            folders.check(self.folder, force)

    def __enter__(self) -> "Log":
        folders.take(self.folder, "")
        alone = self._held.enter_context(folders.held(self.folder))
        try:
            self._run = self._gone_on_with() if self._resume else self._begun(alone)
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        run = self._opened
        try:
            finished = run.entries.finished
            unfinished = [job for job in run.jobs if job.key not in finished]
            if error is None:
                run.update_info(status="interrupted" if unfinished else "finished")
            else:
                run.update_info(status=jobs.status_after(error))
        finally:
            self._held.close()

    def __iter__(self) -> "Iterator[LoggedTraining]":
        """A training for each condition and seed that is not over; what it has learned is kept once the next one is asked for.

        Raises
        ------
        LocalDFAError
            It is asked outside of the context; or a training has measured nothing.
        """
        run = self._opened
        finished = run.entries.finished
        for job in run.jobs:
            if job.key not in finished:
                training = LoggedTraining(job, run.settings[job.condition], self.conditions[job.condition])
                yield training
                training._keep()
                run.note_trained(job, training.rows)
                jobs.summarise(run)

    @property
    def run(self) -> Run:
        """The run as a script has it: its table, curves and figures."""
        return Run(self.folder)

    @property
    def _opened(self) -> record.Run:
        if self._run is None:
            raise LocalDFAError("a Log is used in its context; allowed: with localdfa.Log(...) as log")
        return self._run

    def _begun(self, alone: bool) -> record.Run:
        return record.begin(self.folder, self._experiment, name=self.folder.name, force=self._force, alone=alone)

    def _gone_on_with(self) -> record.Run:
        run = record.Run(self.folder)
        run.check_unchanged()
        if record.to_toml(run.experiment) != record.to_toml(self._experiment):
            raise RunError(
                f"{self.folder}: is a run of something else, as its spec.toml says; allowed: resume=False, force=True"
            )
        run.update_info(status="running")
        return run


class LoggedTraining:
    """A training in a loop of one's own, of one condition and seed; `Log` gives it.

    Attributes
    ----------
    condition : str
    seed : int
    arguments : dict
        Those of the condition, as `Log` was given them.
    rows : list of dict
        What was measured so far.
    folder : Path
        Where the training is kept. Files of your own may lie there too, as of what is no module: a circuit that has learned, by
        ``circuit.save(training.folder / "circuit.npz")``.
    """

    def __init__(self, job: record.Job, setting: Setting, arguments: Mapping[str, Any]) -> None:
        self.condition, self.seed, self.arguments = job.condition, job.seed, dict(arguments)
        self.rows: list[dict[str, Any]] = []
        self.folder = job.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._job, self._setting = job, setting
        self._learner: Learner | None = None
        self._began = time.perf_counter()

    def feedback(self, model: "nn.Module", example: Any, taps: Sequence[str], *, output: str = "", **others: Any) -> "Learner":
        """`localdfa.torch.feedback` with the arguments of the condition, and its seed.

        others: what is no number or text and the same in all conditions, as ``spread``.

        Raises
        ------
        SpecError
            As `localdfa.torch.feedback`; or an argument is one of the condition's.
        """
        own = {key: value for key, value in self.arguments.items() if key == "rule" or key in _TABLES}
        if twice := [key for key in others if key in own or key in ("rule", "seed", *_TABLES)]:
            raise SpecError(f"{twice[0]}: is an argument of conditions; allowed: in the `conditions` of the Log")
        if self._learner is not None and self._learner.is_in_place:
            raise SpecError(
                f"feedback: {self.condition} seed {self.seed} has a learner already; allowed: one in a training, of a module "
                f"that holds all parts, or after its remove()"
            )
        from localdfa.torch import feedback

        learner = self._learner = feedback(model, example, taps, output=output, seed=self.seed, **own, **others)
        return learner

    def measured(
        self, *, train: Mapping[str, float], valid: Mapping[str, float] | None = None, test: Mapping[str, float] | None = None,
        alignment: "Mapping[str, Alignment] | None" = None, learning_rate: float | None = None, updates: int | None = None,
    ) -> None:  # fmt: skip
        """Say what was measured: first before training, then after each epoch.

        Parameters
        ----------
        train, valid, test : dict
            Of each part of the data the measures of what is predicted, as ``{"error": 3.2, "loss": 0.1}``: the error in
            percent, others in the unit of the project. What is not finite is undefined.
        alignment : dict, optional
            What `Learner.alignment` has given, by tap.
        learning_rate : float, optional
        updates : int, optional
            Steps of the optimiser so far.

        Raises
        ------
        SpecError
            There is no such measure, it is out of bounds, or the training set has none.
        """
        measures = [*dict.fromkeys([*(measure.key for measure in self._setting.output.measures), "loss"])]
        row: dict[str, Any] = {
            "condition": self.condition, "seed": self.seed, "epoch": len(self.rows), "stage": 0, "rule": self._setting.rule,
        }  # fmt: skip
        for part, found in (("train", train), ("valid", valid), ("test", test)):
            for key, value in (found or {}).items():
                if key not in measures:
                    raise SpecError(f"{part}: {unknown(key, measures)}")
                row[f"{part}_{key}"] = _number(f"{part}: {key}", value)
        if alignment is not None:
            columns = zip(*alignment.values(), strict=True)
            row |= {key: [_number(key, value) for value in column] for key, column in zip(record.BY_TAP, columns, strict=True)}
        if learning_rate is not None:
            row["learning_rate"] = _number("learning_rate", learning_rate)
        if updates is not None:
            row["updates"] = _number("updates", updates)
        row["seconds"] = time.perf_counter() - self._began
        try:
            record.checked_rows([*self.rows, row])
        except ValueError as error:
            raise SpecError(f"{self.condition} seed {self.seed}: {error}") from None
        self.rows.append(row)
        self._job.write_metrics(self.rows, lasting=False)

    def _keep(self) -> None:
        """Keep what was measured and learned."""
        if not self.rows:
            raise LocalDFAError(f"{self.condition} seed {self.seed}: nothing was measured; allowed: training.measured(train=…)")
        self._job.write_metrics(self.rows)
        if self._learner is not None:
            self._job.write("weights", self._learner.arrays())
            self._job.write(record.SOURCES, self._learner.source_arrays())
            self._learner.remove()


def _spec(
    conditions: Mapping[str, Mapping[str, Any]], seeds: Sequence[int], predicts: Predicts, data: str, title: str
) -> Experiment:
    """The experiment of a loop."""
    if not conditions:
        raise SpecError("conditions: there are none; allowed: at least one, as {'dfa': {'rule': 'dfa'}}")
    if predicts not in get_args(Predicts):
        raise SpecError(f"predicts: {unknown(predicts, list(get_args(Predicts)))}")
    tables = []
    for name, arguments in conditions.items():
        rule = arguments.get("rule", "dfa")
        if rule not in _RULES:
            raise SpecError(f"condition {name!r}: rule: {unknown(rule, list(_RULES))}")
        condition: dict[str, Any] = {"name": name, "rule": _RULES[rule], "loop": {"predicts": predicts}}
        for key, value in arguments.items():
            if key == "rule":
                continue
            if key in _GIVEN_ELSEWHERE:
                raise SpecError(f"condition {name!r}: {key}: belongs to no condition; allowed: in {_GIVEN_ELSEWHERE[key]}")
            table = _TABLES.get(key, "loop")
            if table == "loop" and not isinstance(value, bool | int | float | str):
                raise SpecError(f"condition {name!r}: {key}: {quoted(value)}; allowed: a number, a text, or True or False")
            condition.setdefault(table, {})[key] = value
        tables.append(condition)
    return experiment(title=title, data=data, seeds=list(seeds), loop={"predicts": predicts}, condition=tables)


def _number(key: str, value: Any) -> float | int | None:
    """A number as a row of metrics has it."""
    try:
        number = value if isinstance(value, int) and not isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        raise SpecError(f"{key}: {quoted(value)} is no number") from None
    return number if math.isfinite(number) else None
