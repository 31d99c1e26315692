"""Training: stages, epochs, checkpoints and metrics, for every condition and seed of an experiment."""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import data as datasets
from localdfa import folder as folders
from localdfa import measure, memory, outputs, record, recording, registry
from localdfa.adversary import FastSign
from localdfa.core import blas, finite, threads
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.spiking.carried import Carried, restored
from localdfa.engines import Engine, Settled, Spiking, engine
from localdfa.errors import DataError, LocalDFAError, NonFiniteError, RunError, SpecError
from localdfa.files import plain, write_json
from localdfa.inputs.trains import implausible, unseen
from localdfa.network import NOISE, ORDER, PROBE, VALIDATION, WATCHED, Network, build, generator, handed_over, rewired
from localdfa.progress import Progress
from localdfa.spec import Experiment, Record, Setting, asked, checks, settings
from localdfa.spec import experiment as validated

# Spike trains are said to be cut off where more than this part of their spikes is.
_UNSEEN = 0.1
# Parts of a data set.
_PARTS = ("train", "valid", "test")
# After so many epochs, and at its end, a training is warned of that stays at chance.
_TRIED = 5
# What summary.json takes from the last row of metrics, besides the measures of predictions.
_SUMMARY = ("angle_to_dfa", "angle_to_bp", "cosine_to_dfa", "cosine_to_settled", "rate", "events", "seconds")


class Part:
    """One part of a data set as a network reads it.

    inputs (n, n_in + 1), the last column ones for the biases, or spike trains; y: labels (n,), or numbers (n, n_out); targets
    (n, n_out): what an output makes of them, one-hot unless another form is given; shape: of one sample before it was
    flattened.
    """

    def __init__(
        self,
        x: Any,
        y: np.ndarray,
        n_out: int,
        dtype: Any,
        shape: tuple[int, ...],
        form: Callable[..., np.ndarray] = outputs.one_hot,
    ) -> None:
        self.shape = shape
        self.inputs: Any = x
        if not isinstance(x, datasets.Trains):
            self.inputs = np.ones((x.shape[0], x.shape[1] + 1), dtype)
            self.inputs[:, :-1] = x
        self.y = y
        self.targets = form(y, n_out, dtype)

    def __len__(self) -> int:
        return len(self.y)


def begin(setting: Setting, shape: tuple[int, ...], n_out: int, seed: int) -> Network:
    """The network of one condition and seed before training: built anew, or with the weights and B of a finished run.

    Raises
    ------
    RunError, SpecError
        There is no such run, condition or seed, or it is not finished; or it does not fit.
    """
    network = build(setting, shape, n_out, seed)
    if setting.network.from_run is None:
        return network
    job, source = _source(setting.network.from_run, seed)
    if source.stage[-1].layer_rules:
        raise SpecError(
            f"network.from_run: {setting.network.from_run!r} ends with a stage of layer_rules, whose layers differ in their "
            f"pathways; allowed: a condition whose last stage has one rule"
        )
    pathway = source.pathway_of(source.rule_of(source.stage[-1]))
    return handed_over(network, setting, seed, job.weights, pathway, str(job.folder / "weights.npz"))


def _source(path: str, seed: int) -> tuple[record.Job, Setting]:
    """The job RUN/CONDITION of a seed, and its setting."""
    folder, condition = Path(path).parent, Path(path).name
    run = record.Run(folder)
    found = next((job for job in run.jobs if (job.condition, job.seed) == (condition, seed)), None)
    if found is None:
        raise RunError(
            f"network.from_run: {folder} has no condition {condition!r} with the seed {seed}; it has the conditions "
            f"{', '.join(run.settings)} and the seeds {', '.join(map(str, run.experiment.seeds))}"
        )
    if found.trained is None and not found.keeps("weights"):
        raise RunError(
            f"network.from_run: {folder} has not finished training the condition {condition!r} with the seed {seed} "
            f"({run.status}); to finish it: localdfa resume {folder}"
        )
    return found, run.settings[condition]


class Trainer:
    """One condition and seed: its network, where its training stands, and how it goes on.

    Every random number depends on the seed, its purpose and the epoch alone, so a trainer restored from a checkpoint goes
    on to the same bits.
    """

    def __init__(self, setting: Setting, parts: dict[str, Part], job: record.Job, keep: Record | None = None) -> None:
        self.setting, self.parts, self.job, self.seed = setting, parts, job, job.seed
        train = parts["train"]
        self.network = begin(setting, train.shape, train.targets.shape[1], self.seed)
        self.epoch, self.epoch_of_stage = 0, 0
        self._adversary = _adversary(setting, train)
        self._enter(0)
        self.plasticity = Plasticity(self.network.weights, self._optimiser(), setting.optimiser.weight_decay)
        self.seconds, self.events = 0.0, 0
        self.rows: list[dict[str, Any]] = []
        self.carried = Carried()
        # Of this stage: the epoch with the smallest validation error, and its weights where they may be kept.
        self.best: int | None = None
        self._best_weights: list[np.ndarray] = []
        keep, order = keep or Record(), generator(self.seed, PROBE).permutation(len(train))
        self._repeats = keep.repeats
        self.probe, self._watched = np.sort(order[: keep.probe]), np.sort(order[: keep.train])

    @property
    def finished(self) -> bool:
        """Whether every stage is over."""
        return self.stage == len(self.setting.stage)

    def warm_up(self) -> None:
        """Compile: one mini-batch, after which this trainer is of no more use. Else `seconds` would be those of compiling."""
        train = self.parts["train"]
        for stage in range(len(self.setting.stage)):
            self._enter(stage)
            self.plasticity.optimiser = self._optimiser()
            rows = slice(0, self.setting.batch_size)
            self.step(np.arange(len(train))[rows], generator(self.seed, NOISE))

    def not_learned(self, row: dict[str, Any]) -> str | None:
        """Why the training set is predicted no better than by guessing in a row of metrics; None where it is."""
        found = {m.key: row[f"train_{m.key}"] for m in self.network.output.measures}
        return self.network.output.not_learned(found, self.parts["train"].targets[self._watched])

    @property
    def spiked(self) -> bool:
        """Whether the last rule was learned from spikes."""
        return isinstance(self.engine, Spiking)

    def _enter(self, stage: int) -> None:
        """Take up a stage: its rule, the pathway of that rule, and its frozen layers."""
        self.stage = stage
        if self.finished:
            return
        spec, n_layers = self.setting.stage[stage], self.network.n_hidden + 1
        self.rule_name = spec.rule or self.setting.rule
        own = self.setting.layer_rules_of(spec)
        self.network = rewired(self.network, self.setting, self.rule_name, self.seed, own)
        self.engine = self._engine()
        fixed = (q for q, joint in enumerate(self.network.projections) if not joint.plastic)
        self.frozen = frozenset([*(layer - 1 if layer > 0 else n_layers + layer for layer in spec.frozen), *fixed])

    def _engine(self) -> Engine:
        return engine(self.setting, self.rule_name, self._optimiser().learning_rate, self._adversary)

    def _take_last_rate(self) -> None:
        """Where training is finished, have weights that change while spikes pass do so at the rate of its last epoch."""
        rate = self.rows[-1].get("learning_rate")
        if self.finished and rate is not None:
            self.engine = engine(self.setting, self.rule_name, self.network.dtype.type(rate), self._adversary)

    def _optimiser(self) -> Any:
        """The optimiser with the parameters of the present stage and epoch, in the network's precision."""
        model, stage = registry.get("optimisers", self.setting.optimiser.name), self.setting.stage[self.stage]
        given = {} if stage.learning_rate is None else {"learning_rate": stage.learning_rate}
        found = model(**{**self.setting.optimiser.parameters, **given})
        rate = found.learning_rate * stage.schedule.part(self.epoch_of_stage, stage.epochs)
        return registry.cast(found._replace(learning_rate=rate), self.network.dtype.type)

    def train_epoch(self, progress: Progress) -> None:
        """Pass once through the training set in a new order.

        Raises
        ------
        NonFiniteError
            The message names the layer, the step and the sample.
        """
        began, train, size = time.perf_counter(), self.parts["train"], self.setting.batch_size
        self.plasticity.optimiser, self.engine = self._optimiser(), self._engine()
        order = generator(self.seed, ORDER, self.epoch).permutation(len(train))
        noise = generator(self.seed, NOISE, self.epoch)
        for start in range(0, len(train), size):
            batch = order[start : start + size]
            try:
                self.step(batch, noise)
            except NonFiniteError as error:
                sample = "" if error.row is None else f", training sample {batch[error.row]}"
                raise NonFiniteError(f"{error} in epoch {self.epoch + 1}, step {start // size + 1}{sample}") from None
            progress.advance(len(batch))
        self.seconds += time.perf_counter() - began
        self._check_weights()
        self.epoch += 1
        self.epoch_of_stage += 1

    def step(self, batch: np.ndarray, noise: np.random.Generator) -> None:
        """Learn from one mini-batch, the training samples `batch`; noise: for what is random in it."""
        train, network = self.parts["train"], self.network
        with threads.worth(len(batch) * self._multiplications):
            update = self.engine.learn(network, train.inputs[batch], train.targets[batch], noise, self.frozen, self.carried)
            self.events += update.events
            self.plasticity.learn(network.weights, update, self.frozen)

    @property
    def _multiplications(self) -> int:
        """Those of a sample in its forward pass, as far as they are known beforehand: infinitely many of any but settled, dense
        layers."""
        if type(self.engine) is not Settled or any(self.network.geometry):
            return sys.maxsize
        return sum(weights.size for weights in self.network.weights)

    def _check_weights(self) -> None:
        for l, weights in enumerate(self.network.weights):
            if not finite.all_are(weights):
                layer = finite.layer(self.network.projections[l].post - 1, self.network.n_hidden)
                raise NonFiniteError(f"a weight of {layer} is not finite after epoch {self.epoch + 1}")

    def measure(self) -> dict[str, Any]:
        """The row of metrics of the network as it stands, appended to the rows."""
        train = self.parts["train"]
        row: dict[str, Any] = {
            "condition": self.job.condition, "seed": self.seed, "epoch": self.epoch, "stage": self.stage, "rule": self.rule_name
        }  # fmt: skip
        for name, part in self.parts.items():
            if len(part):
                seen = self.evaluate(part, self._watched if name == "train" else None)
                row |= {f"{name}_{key}": value for key, value in seen.items()}
        with threads.worth(len(self.probe) * self._multiplications):
            row |= measure.probe(
                self.network, self.setting, self.rule_name, self.seed, train.inputs[self.probe], train.targets[self.probe],
                self._repeats,
            )  # fmt: skip
        rate = float(self.plasticity.optimiser.learning_rate)
        row |= {"learning_rate": rate, "updates": max(self.plasticity.steps), "events": self.events, "seconds": self.seconds}
        self.rows.append(row)
        return row

    def evaluate(self, part: Part, samples: np.ndarray | None = None) -> dict[str, float]:
        """The output's measures by their keys, and the mean ``loss``, on some samples of one part of the data, or on all.

        Where trials begin as the one before has ended, these are a sequence of their own that starts at rest.
        """
        samples = np.arange(len(part)) if samples is None else samples
        network, total, loss = self.network, 0.0, 0.0
        noise, sequence = generator(self.seed, WATCHED, self.epoch), Carried()
        for start in range(0, len(samples), memory.CHUNK):
            rows = samples[start : start + memory.CHUNK]
            with threads.worth(len(rows) * self._multiplications):
                drive = self.engine.read(network, part.inputs[rows], noise, sequence)
            total = total + network.output.tally(network.neuron, drive, part.targets[rows])
            loss += float(network.loss(drive, part.targets[rows]).sum())
        return {**network.output.measured(total, part.targets[samples]), "loss": loss / len(samples)}

    @property
    def trained(self) -> recording.Trained:
        """The network as it stands, as recorders see it."""
        epoch = self.rows[-1].get(record.KEPT, self.epoch) if self.rows else self.epoch
        return recording.Trained(self.setting, self.network, self.engine, self.frozen, self.parts, self.probe, self.seed, epoch)

    def next_stage(self) -> None:
        """Take up the next stage where this one is over: its epochs are done, its training error is reached, or patience ends.

        It goes on from the weights of the last epoch or, where the stage keeps the best, from those.
        """
        stage, row = self.setting.stage[self.stage], self.rows[-1]
        if stage.patience is not None or stage.keep == "best":
            self._note_best(stage.keep == "best")
        waited = 0 if self.best is None else self.epoch - self.best
        if (
            self.epoch_of_stage >= stage.epochs
            or (stage.stop_at_error is not None and row["train_error"] <= stage.stop_at_error)
            or (stage.patience is not None and waited >= stage.patience)
        ):
            if stage.keep == "best" and self.best is not None:
                row[record.KEPT] = self.best
                for weights, best in zip(self.network.weights, self._best_weights, strict=True):
                    weights[...] = best
            self.epoch_of_stage, self.best, self._best_weights = 0, None, []
            self._enter(self.stage + 1)

    def _note_best(self, keep: bool) -> None:
        """Note the last epoch if its validation error is the smallest of this stage, and its weights if they may be kept."""
        key = f"valid_{self.network.output.measures[0].key}"
        error = self.rows[-1][key]
        if self.best is None or error < self.rows[self.best][key]:
            self.best = self.epoch
            if keep:
                self._best_weights = [weights.copy() for weights in self.network.weights]

    def save(self) -> None:
        """Write a checkpoint."""
        arrays: dict[str, np.ndarray] = {}
        for l, weights in enumerate(self.network.weights):
            arrays |= {
                f"weights{l}": weights,
                f"state{l}": self.plasticity.state[l],
                f"last{l}": self.plasticity.last[l],
            }
        arrays |= {f"best{l}": weights for l, weights in enumerate(self._best_weights)}
        arrays |= {f"carried_{name}": array for name, array in self.carried.arrays().items()}
        position = record.Position(
            stage=self.stage, epoch=self.epoch, epoch_of_stage=self.epoch_of_stage, steps=self.plasticity.steps,
            seconds=self.seconds, events=self.events, rows=plain(self.rows), best=self.best,
        )  # fmt: skip
        self.job.write_checkpoint(arrays, position)

    def restore(self, progress: Progress) -> None:
        """Go on from the last checkpoint, where there is one; from the one before it, with a warning, where it is damaged.

        Raises
        ------
        RunError
            Both are damaged, or the checkpoint belongs to another network.
        """
        try:
            found = self.job.checkpoint()
        except RunError as error:
            try:
                found = self.job.checkpoint(before=True)
            except RunError as other:
                raise RunError(f"{error}; {other}") from None
            if found is None:
                raise
            self.job.drop_checkpoint()
            progress.warn(f"{error}; {self.job.condition} seed {self.seed} goes on from the one before it")
        if found is None:
            return
        arrays, position = found
        try:
            for l, weights in enumerate(self.network.weights):
                for name, own in (
                    ("weights", weights),
                    ("state", self.plasticity.state[l]),
                    ("last", self.plasticity.last[l]),
                ):
                    saved = arrays[f"{name}{l}"]
                    if saved.shape != own.shape or saved.dtype != own.dtype:
                        raise ValueError(f"{name}{l} has shape {saved.shape} {saved.dtype}, not {own.shape} {own.dtype}")
                    own[...] = saved
                if (self.plasticity.last[l] > position.steps[l]).any() or (self.plasticity.last[l] < 0).any():
                    raise ValueError(f"last{l} is not between 0 and {position.steps[l]}")
            if position.stage > len(self.setting.stage) or len(position.steps) != len(self.network.weights):
                raise ValueError(f"stage {position.stage}, {len(position.steps)} projections")
            best = [arrays[f"best{l}"] for l in range(len(self.network.weights)) if "best0" in arrays]
            for l, (weights, own) in enumerate(zip(best, self.network.weights, strict=bool(best))):
                if weights.shape != own.shape or weights.dtype != own.dtype:
                    raise ValueError(f"best{l} has shape {weights.shape} {weights.dtype}, not {own.shape} {own.dtype}")
            if position.best is not None and position.best > position.epoch:
                raise ValueError(f"the best epoch is {position.best}, after {position.epoch}")
            passed_on = {name.removeprefix("carried_"): a for name, a in arrays.items() if name.startswith("carried_")}
            self.carried = restored(self.network, self.setting, passed_on)
        except (KeyError, IndexError, ValueError) as error:
            raise RunError(f"{self.job.folder / 'checkpoint.npz'}: does not fit this experiment: {error}") from None
        self.epoch, self.epoch_of_stage = position.epoch, position.epoch_of_stage
        self.seconds, self.events, self.rows = position.seconds, position.events, position.rows
        self.plasticity.steps = position.steps
        self.best, self._best_weights = position.best, best
        self._enter(min(position.stage, len(self.setting.stage) - 1))  # a finished training keeps its last rule
        self._enter(position.stage)
        self._take_last_rate()


def _adversary(setting: Setting, train: Part) -> FastSign | None:
    """What makes the examples of adversarial training, if any; its ε is a part of the range of the training inputs."""
    strength = setting.adversarial.strength
    if not strength:
        return None
    features = train.inputs[:, :-1]
    return FastSign(strength * (float(features.max()) - float(features.min())), setting.feedback.threshold)


def run(
    experiment: Experiment | str | Path | Mapping[str, Any], out: str | Path | None = None, *, name: str | None = None,
    force: bool = False, progress: Progress | bool = True, base: Path | None = None,
) -> record.Run:  # fmt: skip
    """Train every condition and seed of an experiment and leave a run directory.

    Parameters
    ----------
    experiment: what to run: an experiment, its tables, the name of a bundled one, or a .toml file.
    out: the run directory; a new one, runs/NAME-DATE-TIME, if left out.
    name: the name of the experiment; that of its file if left out.
    force: replace a run that is there already.
    progress: whether to show on stderr, or in the notebook, how it goes; or who is told.
    base: the folder to which a path in ``data`` is relative; if left out, that of the file, or else the working directory.

    Raises
    ------
    DataError, SpecError, RunError, NonFiniteError
        The data cannot be had; a layer does not fit on them; the directory cannot be written; training diverged.
    """
    experiment, file = asked(experiment)
    name = name or (file.stem if file else "experiment")
    experiment = located(experiment, base or (file.resolve().parent if file else None))
    place = None if out is None else Path(out)
    if place is not None:
        _keep_sources(experiment, place)
        folders.check(place, force)
    data = load(experiment)
    recording.check(experiment, data.shape, data.n_out, len(data.y_train))
    with _shown(progress) as display:
        _warn_of_doubts(experiment, display)
        with blas.one_thread():
            of = _parts_of(experiment, data)
            warm = _rehearse(experiment, data, of, display)
        place = folders.take(place, name)
        with folders.held(place) as alone:
            read = _fingerprints(experiment, data)
            begun = record.begin(place, experiment, name=name, force=force, alone=alone, **read)
            return _go_on(begun, data, read, of, display, warm)


def resume(folder: str | Path, progress: Progress | bool = True, *, allow_models: bool = False) -> record.Run:
    """Go on with a run that was interrupted, to the same bits as if it had not been; progress as for `run`.

    allow_models: whether Python files of models that the run brings may be executed (see `localdfa.record.Run`).

    Raises
    ------
    DataError, RunError, NonFiniteError
        As `run`; also where the data are no longer what the run began with.
    """
    folder = Path(folder)
    folders.check_run(folder, coming=True)
    with folders.held(folder):
        began = record.Run(folder, allow_models)
        data = load(began.experiment)
        read, of = _fingerprints(began.experiment, data), _parts_of(began.experiment, data)
        with _shown(progress) as display:
            _warn_of_doubts(began.experiment, display)
            return _go_on(began, data, read, of, display, set())


def _warn_of_doubts(experiment: Experiment, progress: Progress) -> None:
    """Say what works but learns nothing or takes long, before training does."""
    for name, setting in settings(experiment).items():
        for message in checks.doubtful(setting):
            progress.warn(f"{name}: {message}")


def _keep_sources(experiment: Experiment, place: Path) -> None:
    """Refuse a run in the place of what it reads."""
    read = [("network.from_run", Path(path).parent) for path in _from_runs(experiment)]
    if experiment.data.startswith("npz:"):
        read.append(("data", Path(experiment.data.removeprefix("npz:"))))
    for key, path in read:
        if folders.owns(place, path):
            raise RunError(f"{place}: {key} reads {path}, which this run would replace; name another place")


def _rehearse(experiment: Experiment, data: datasets.Dataset, of: "_Parts", progress: Progress) -> set[str]:
    """Build every network, and train the first for a mini-batch: what goes wrong there does so before a folder is made.

    Returns the conditions whose kernels are compiled.
    """
    (name, setting), *others = settings(experiment).items()
    seed, *seeds = experiment.seeds
    built = [(other, seed) for _, other in others]
    # Of another run each seed is read; networks that are built anew differ in nothing but their random numbers.
    built += [(each, later) for each in (setting, *(other for _, other in others)) if each.network.from_run for later in seeds]
    for each, number in built:
        begin(each, data.shape, data.n_out, number)
    progress.compiling(name)
    Trainer(setting, of[_form(setting)], record.Job(Path(), name, seed)).warm_up()
    return {name}


def _shown(progress: Progress | bool) -> AbstractContextManager[Progress]:
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

    if _from_runs(experiment):
        tables = experiment.model_dump(exclude_unset=True)
        for table in (tables, *tables.get("condition", [])):
            if path := table.get("network", {}).get("from_run"):
                table["network"] = {**table["network"], "from_run": absolute("network.from_run", path)}
        experiment = validated(tables)
    if not experiment.data.startswith("npz:"):
        return experiment
    return experiment.model_copy(update={"data": f"npz:{absolute('data', experiment.data.removeprefix('npz:'))}"})


def load(experiment: Experiment) -> datasets.Dataset:
    """The data of an experiment, as it prepares them.

    Raises
    ------
    DataError, SpecError
        The data cannot be had; or they are not what an input code reads; or a network on them does not fit into memory.
    """
    double = any(setting.precision == "float64" for setting in settings(experiment).values())
    prepare, output = experiment.preprocess, next(iter(settings(experiment).values())).output  # all are of its kind
    data = datasets.load(
        experiment.data, validation=prepare.validation, whiten=prepare.whiten, whiten_epsilon=prepare.whiten_epsilon,
        dtype=np.float64 if double else np.float32, rng=generator(0, VALIDATION),
        regression=output.regression,
    )  # fmt: skip
    notes = [note for setting in settings(experiment).values() for note in _readable(data, setting)]
    for setting in settings(experiment).values():
        memory.require(setting, data.shape, data.n_out, len(data.y_train) + len(data.y_valid) + len(data.y_test))
    return replace(data, notes=tuple(dict.fromkeys((*data.notes, *notes))))


def _readable(data: datasets.Dataset, setting: Setting) -> list[str]:
    """Refuse data that the input code or the output of a setting does not read; return what must be said of those they do."""
    if data.regression != setting.output.regression:
        takes, has = ("numbers", "labels") if setting.output.regression else ("labels", "numbers")
        raise SpecError(
            f"network.output: {setting.network.output!r} is taught {takes}, and data = {data.name!r} has {has}; allowed with "
            f"{has}: {checks.outputs(regression=data.regression)}"
        )
    largest = 1e-3 * float(np.sqrt(np.finfo(setting.precision).max))  # so that squares can be added up
    if data.regression and max(float(np.abs(y).max(initial=0)) for y in (data.y_train, data.y_valid, data.y_test)) > largest:
        raise SpecError(
            f"precision: {setting.precision!r} has no numbers as large as the squares of the targets of {data.name}; allowed: "
            f"targets up to {largest:.0e}"
        )
    name, spikes = setting.input.code, isinstance(data.x_train, datasets.Trains)
    code = registry.get("inputs", name)
    if code.given != spikes:
        are, allowed = ("are", "'trains'") if spikes else ("are not", "the other codes")
        raise SpecError(
            f"input.code: {name!r} does not go with data = {data.name!r}, which {are} spike trains; allowed: {allowed}"
        )
    notes, free = [], setting.phases.free
    if code.series and (beyond := data.shape[0] - math.ceil(free / setting.input.window)) > 0:
        notes.append(
            f"the last {beyond} of {data.shape[0]} frames, input.window = {setting.input.window:g} ms each, come after the "
            f"free phase, phases.free = {free:g} ms, and are not seen"
        )
    what = "time" if spikes else "x"
    for part, x in ((f"{what}_train", data.x_train), ("validation set", data.x_valid), (f"{what}_test", data.x_test)):
        if reason := code.refusal(x, data.shape, setting.input):
            raise SpecError(f"input.code: {name!r} does not go with data = {data.name!r}: {part}: {reason}")
        if not isinstance(x, datasets.Trains):
            if x.size and max(x.max(), -x.min()) > largest:
                raise SpecError(
                    f"precision: {setting.precision!r} has no numbers as large as the squares of the inputs of {data.name}, "
                    f"{part}; allowed: inputs up to {largest:.0e}"
                )
        else:
            if part == "time_train" and data.time_unit is None and (reason := implausible(x.time, free)):
                raise DataError(
                    f"{data.name}: {part}: {reason} Add to the file the entry time_unit = 's' or 'us'; or time_unit = 'ms' if "
                    "the times are right"
                )
            if (late := unseen(x.time, free)) > _UNSEEN:
                notes.append(
                    f"{part}: {100 * late:.3g} % of the spikes come after the free phase, phases.free = {free:g} ms, and are "
                    "not seen"
                )
    return notes


def _fingerprint(data: datasets.Dataset) -> str:
    """SHA-256 of all arrays of a data set."""
    digest = hashlib.sha256()
    parts = (data.x_train, data.y_train, data.x_valid, data.y_valid, data.x_test, data.y_test)
    for array in (a for part in parts for a in (part.events() if isinstance(part, datasets.Trains) else (part,))):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _from_runs(experiment: Experiment) -> list[str]:
    """RUN/CONDITION of each condition that starts from another run."""
    return [path for setting in settings(experiment).values() if (path := setting.network.from_run)]


def _origins(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of the weights that conditions start from, where they start from those of another run."""
    digest, paths = hashlib.sha256(), _from_runs(experiment)
    for path in paths:
        for seed in experiment.seeds:
            for array in _source(path, seed)[0].weights.values():
                digest.update(np.ascontiguousarray(array).data)
    return {"from_run": digest.hexdigest()} if paths else {}


def _fingerprints(experiment: Experiment, data: datasets.Dataset) -> dict[str, str]:
    """Of all that a run reads, as run.json has them."""
    return {"data": _fingerprint(data), **_origins(experiment)}


def _go_on(
    run: record.Run, data: datasets.Dataset, read: dict[str, str], of: "_Parts", progress: Progress, warm: set[str],
) -> record.Run:  # fmt: skip
    """Train what is not finished, in a folder that is held; whatever happens, leave one that can be read and resumed.

    read: fingerprints of the data and of other runs that are read; of: the parts of the data; warm: the
    conditions whose kernels are compiled.
    """
    run.check_unchanged(**read)
    notes = dict.fromkeys((*data.notes, *run.info.get("notes", [])))  # what is noted of training stays
    told = {"shape": list(data.shape), "classes": list(data.classes), "notes": list(notes)}
    run.update_info(**read, **told, status="running")
    progress.place(run.folder)
    for note in data.notes:
        progress.warn(note)
    try:
        with blas.one_thread():
            _train_all(run, of, progress, warm)
    except BaseException as error:
        what = str(error) if isinstance(error, LocalDFAError) else f"{type(error).__name__}: {error}"
        run.update_info(status="interrupted" if isinstance(error, KeyboardInterrupt) else f"stopped: {what}")
        raise
    run.update_info(status="finished")
    return run


# The parts of a data set, by precision and output.
_Parts = dict[tuple[str, str], dict[str, Part]]


def _form(setting: Setting) -> tuple[str, str]:
    """What decides in which form a setting reads data."""
    return setting.precision, setting.network.output


def _parts_of(experiment: Experiment, data: datasets.Dataset) -> _Parts:
    """The parts of a data set, in each form in which a condition reads them."""
    found: _Parts = {}
    for setting in settings(experiment).values():
        if _form(setting) not in found:
            made = parts(data, setting)
            same = next((of for (precision, _), of in found.items() if precision == setting.precision), made)
            for name, part in made.items():
                part.inputs = same[name].inputs  # kept once
            found[_form(setting)] = made
    return found


def _train_all(run: record.Run, of: _Parts, progress: Progress, warm: set[str]) -> None:
    epochs = {name: sum(stage.epochs for stage in setting.stage) for name, setting in run.settings.items()}
    trained = len(next(iter(of.values()))["train"])
    progress.start(sum(epochs[job.condition] for job in run.jobs) * trained)
    for job in run.jobs:
        setting = run.settings[job.condition]
        trainer = Trainer(setting, of[_form(setting)], job, run.experiment.record)
        if setting.network.from_run:  # which may have been replaced meanwhile
            run.check_unchanged(**_origins(run.experiment))
        trainer.restore(progress)
        if not trainer.finished:
            run.note_trained(job, None)
        if trainer.rows:
            job.write_metrics(trainer.rows)
        if not trainer.finished and job.condition not in warm:
            progress.compiling(job.condition)
            Trainer(setting, of[_form(setting)], job).warm_up()
            warm.add(job.condition)
        progress.job(job.condition, job.seed)
        progress.advance(trainer.epoch * trained)
        try:
            _train(trainer, run, progress)
        finally:
            summarise(run)
        progress.advance((epochs[job.condition] - trainer.epoch) * trained)  # what an early stop left out


def _train(trainer: Trainer, run: record.Run, progress: Progress) -> None:
    """One condition and seed from where it stands to its end."""
    keep, job, begun = run.experiment.record, trainer.job, not trainer.finished
    if not trainer.rows:
        row = trainer.measure()
        job.write_metrics(trainer.rows, lasting=False)
        trainer.save()
        progress.epoch(row)
    while not trainer.finished:
        trainer.train_epoch(progress)
        row = trainer.measure()
        job.write_metrics(trainer.rows, lasting=False)
        for name, recorder in recording.asked_for(keep, trainer.spiked).items():
            if recorder.each_epoch(keep):
                job.write(name, recorder.record(trainer.trained, keep), trainer.epoch)
        trainer.next_stage()
        if record.KEPT in row:
            job.write_metrics(trainer.rows, lasting=False)
        progress.epoch(row)
        _judge(trainer, run, progress)
        if trainer.finished or trainer.epoch % keep.checkpoint == 0:
            trainer.save()
    if begun:
        job.write_metrics(trainer.rows)
    _record(trainer, run, progress, anew=begun)
    run.note_trained(job, trainer.rows)


def _judge(trainer: Trainer, run: record.Run, progress: Progress) -> None:
    """Warn of spiking layers that are silent or saturate, and once of training that stays at chance.

    Chance is looked at after some epochs, so that one may stop there, and at the end; run.json keeps what is found last.
    """
    row, job, judged = trainer.rows[-1], trainer.job, trainer.finished or trainer.epoch == _TRIED
    idle = measure.idle(row, trainer.not_learned(row)) if judged else []
    told = trainer.epoch > _TRIED and trainer.not_learned(trainer.rows[_TRIED]) is not None
    unhealthy = measure.unhealthy(row)
    for message in (*([] if told else idle), *unhealthy):
        progress.warn(f"{job.condition} seed {trainer.seed}, epoch {row['epoch']}: {message}")
    if judged:
        run.note_health(job, row["epoch"], [*idle, *unhealthy])


def _record(trainer: Trainer, run: record.Run, progress: Progress, anew: bool) -> None:
    """Keep what the spec asks for of a trained network, or, if not anew, what of that is not there or damaged.

    Whatever fails here costs no training: run.json says what could not be kept and why, and resuming tries it again.
    """
    keep, job, failed = run.experiment.record, trainer.job, dict[str, str]()
    for name, recorder in recording.asked_for(keep, trainer.spiked).items():
        if not anew and job.is_whole(name):
            continue
        try:
            job.write(name, recorder.record(trainer.trained, keep))
        except Exception as error:
            failed[name] = str(error) if isinstance(error, LocalDFAError) else f"{type(error).__name__}: {error}"
            progress.warn(
                f"{job.condition} seed {trainer.seed}: record.{name} could not be kept: {failed[name]}; training is whole, and "
                f"to try it again: localdfa resume {run.folder}"
            )
    run.note_not_kept(job, failed)


def summarise(run: record.Run) -> None:
    """Write summary.json: one entry for every condition and seed that has been measured.

    Rows that are damaged are left out; they are written anew when it is the turn of their condition and seed.
    """
    entries, missing = [], run.not_kept
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
                    "neuron": setting.network.neuron,
                    "rule": last["rule"],
                    "layer_rules": setting.stage[last["stage"]].layer_rules,
                    "feedback": setting.pathway_of(last["rule"]),
                    "seed": job.seed,
                    "epochs": last["epoch"],
                    "kept_epoch": last[record.KEPT],
                    **{f"{part}_{m.key}": last.get(f"{part}_{m.key}") for m in setting.output.measures for part in _PARTS},
                    **{key: last.get(key) for key in _SUMMARY},
                    "not_kept": {e.record: e.why for e in missing if (e.condition, e.seed) == (job.condition, job.seed)},
                }
            )
    if entries:
        write_json(run.folder / "summary.json", {"title": run.experiment.title, "conditions": entries})


def parts(data: datasets.Dataset, setting: Setting) -> dict[str, Part]:
    """The parts of a data set as networks of a setting read them."""
    of = {"train": (data.x_train, data.y_train), "valid": (data.x_valid, data.y_valid), "test": (data.x_test, data.y_test)}
    form = setting.output.targets
    return {name: Part(x, y, data.n_out, setting.precision, data.shape, form) for name, (x, y) in of.items()}
