"""Training: stages, epochs, checkpoints and metrics, for every condition and seed of an experiment."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import data as datasets
from localdfa import measure, record, registry
from localdfa.core import blas, dynamic, finite, settled, spikes
from localdfa.core.events import stretches
from localdfa.core.plasticity import Plasticity
from localdfa.errors import DataError, LocalDFAError, NonFiniteError, RunError
from localdfa.network import DROPOUT, ORDER, PROBE, VALIDATION, build, generator, rewired
from localdfa.spec import Experiment, Setting, settings

# Rows of a forward pass when a whole set is evaluated.
_CHUNK = 512
# What summary.json takes from the last row of metrics.
_SUMMARY = (
    "train_error", "valid_error", "test_error", "angle_to_dfa", "angle_to_bp", "cosine_to_dfa", "cosine_to_settled",
    "rate", "events", "seconds",
)  # fmt: skip


class Progress:
    """What a display of progress is told; this one shows nothing."""

    def start(self, samples: int) -> None:
        """The run begins; the number of training samples still to come, over all conditions, seeds and epochs."""

    def job(self, condition: str, seed: int) -> None:
        """A condition and seed begins."""

    def advance(self, samples: int) -> None:
        """So many training samples more are done."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is over, or training begins at epoch 0; its row of metrics."""

    def warn(self, message: str) -> None:
        """Something goes on that will spoil the result."""


class Part:
    """One part of a data set as a network reads it.

    inputs (n, n_in + 1), the last column ones for the biases; labels (n,); targets (n, n_out), one-hot.
    """

    def __init__(self, x: np.ndarray, labels: np.ndarray, n_classes: int, dtype: Any) -> None:
        self.inputs = np.ones((x.shape[0], x.shape[1] + 1), dtype)
        self.inputs[:, :-1] = x
        self.labels = labels
        self.targets = np.zeros((len(labels), n_classes), dtype)
        self.targets[np.arange(len(labels)), labels] = 1

    def __len__(self) -> int:
        return len(self.labels)


class Trainer:
    """One condition and seed: its network, where its training stands, and how it goes on.

    Every random number depends on the seed, its purpose and the epoch alone, so a trainer restored from a checkpoint goes
    on to the same bits.
    """

    def __init__(self, setting: Setting, parts: dict[str, Part], job: record.Job, probe: int = 256) -> None:
        self.setting, self.parts, self.job, self.seed = setting, parts, job, job.seed
        train = parts["train"]
        self.network = build(setting, train.inputs.shape[1] - 1, train.targets.shape[1], self.seed)
        self._enter(0)
        self.plasticity = Plasticity(self.network, self._optimiser(), setting.optimiser.weight_decay)
        self.epoch, self.epoch_of_stage = 0, 0
        self.seconds, self.events = 0.0, 0
        self.rows: list[dict[str, Any]] = []
        self._probe = np.sort(generator(self.seed, PROBE).permutation(len(train))[:probe])

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
            self._learn(train.inputs[rows].copy(), train.targets[rows], generator(self.seed, DROPOUT))

    @property
    def spiked(self) -> bool:
        """Whether the last rule was learned from spikes."""
        return self._in_time and self.setting.spiking

    def _enter(self, stage: int) -> None:
        """Take up a stage: its rule, the pathway of that rule, and its frozen layers."""
        self.stage = stage
        if self.finished:
            return
        spec, n_layers = self.setting.stage[stage], len(self.network.weights)
        self.rule_name = spec.rule or self.setting.rule
        self.network = rewired(self.network, self.setting, self.rule_name, self.seed)
        self._rule = registry.get("rules", self.rule_name)(self.network, self.setting.phases)
        self._in_time = (self.setting.dynamic or self.setting.spiking) and self._rule.needs_phases
        self._frozen = frozenset(layer - 1 if layer > 0 else n_layers + layer for layer in spec.frozen)

    def _optimiser(self) -> Any:
        """The optimiser with the parameters of the present stage, in the network's precision."""
        model = registry.get("optimisers", self.setting.optimiser.name)
        rate = self.setting.stage[self.stage].learning_rate
        parameters = {**self.setting.optimiser.parameters, **({} if rate is None else {"learning_rate": rate})}
        return registry.cast(model(**parameters), self.network.dtype.type)

    def train_epoch(self, progress: Progress) -> None:
        """Pass once through the training set in a new order.

        Raises
        ------
        NonFiniteError
            The message names the layer, the step and the sample.
        """
        began, train, size = time.perf_counter(), self.parts["train"], self.setting.batch_size
        self.plasticity.optimiser = self._optimiser()
        order = generator(self.seed, ORDER, self.epoch).permutation(len(train))
        dropout = generator(self.seed, DROPOUT, self.epoch)
        for start in range(0, len(train), size):
            batch = order[start : start + size]
            try:
                self._learn(train.inputs[batch], train.targets[batch], dropout)
            except NonFiniteError as error:
                sample = "" if error.row is None else f", training sample {batch[error.row]}"
                raise NonFiniteError(f"{error} in epoch {self.epoch + 1}, step {start // size + 1}{sample}") from None
            progress.advance(len(batch))
        self.seconds += time.perf_counter() - began
        self._check_weights()
        self.epoch += 1
        self.epoch_of_stage += 1

    def _learn(self, inputs: np.ndarray, targets: np.ndarray, dropout: np.random.Generator) -> None:
        """One mini-batch: free phase, nudged phases or exact signal, weight update."""
        if self.spiked:
            spiked = spikes.simulate(self.network, self.setting, inputs, targets)
            self.plasticity.learn(spiked.sent, spiked.change, self._frozen, spiked.total)
            self.events += spiked.events
            return
        if self._in_time:
            timed = dynamic.simulate(self.network, self.setting, inputs, targets)
            self.plasticity.learn_sum(timed.total, self._frozen)
            self.events += timed.events
            return
        spec = self.setting.network
        if spec.input_dropout:
            inputs[:, :-1] *= _mask(dropout, (len(inputs), inputs.shape[1] - 1), spec.input_dropout, inputs.dtype)
        masks = None
        if spec.dropout:
            masks = [_mask(dropout, (len(inputs), n), spec.dropout, inputs.dtype) for n in spec.hidden]
        trial = settled.free_phase(self.network, inputs, spec.threshold, masks)
        error = trial.prediction - targets
        self.events += trial.events
        if self.setting.feedback.threshold:
            error[np.abs(error) <= self.setting.feedback.threshold] = 0
            noticed = np.flatnonzero(error.any(axis=1))
            trial, error = trial.keep(noticed), error[noticed]
        change, events = settled.post_changes(self.network, self._rule, trial, error)
        self.events += events
        self.plasticity.learn(trial.sent, change, self._frozen)

    def _check_weights(self) -> None:
        for l, weights in enumerate(self.network.weights):
            if not np.isfinite(weights).all():
                layer = finite.layer(l, self.network.n_hidden)
                raise NonFiniteError(f"a weight of {layer} is not finite after epoch {self.epoch + 1}")

    def measure(self) -> dict[str, Any]:
        """The row of metrics of the network as it stands, appended to the rows."""
        train = self.parts["train"]
        row: dict[str, Any] = {
            "condition": self.job.condition, "seed": self.seed, "epoch": self.epoch, "stage": self.stage, "rule": self.rule_name
        }  # fmt: skip
        for name, part in self.parts.items():
            if len(part):
                row[f"{name}_error"], row[f"{name}_loss"] = self.evaluate(part)
        row |= measure.probe(
            self.network, self.setting, self.rule_name, self.seed, train.inputs[self._probe], train.targets[self._probe]
        )
        row |= {"updates": max(self.plasticity.steps), "events": self.events, "seconds": self.seconds}
        self.rows.append(row)
        return row

    def evaluate(self, part: Part) -> tuple[float, float]:
        """Error in percent and mean cross-entropy on one part of the data."""
        wrong, loss = 0.0, 0.0
        for start in range(0, len(part), _CHUNK):
            rows = slice(start, start + _CHUNK)
            drive = self._output_drive(part.inputs[rows])
            wrong += len(drive) * measure.error_percent(drive, part.labels[rows])
            loss += float(self.network.loss(drive, part.targets[rows]).sum())
        return wrong / len(part), loss / len(part)

    def _output_drive(self, inputs: np.ndarray) -> np.ndarray:
        if self._in_time:
            engine = spikes if self.setting.spiking else dynamic
            return engine.simulate(self.network, self.setting, inputs).drive
        return settled.free_phase(self.network, inputs, self.setting.network.threshold).drive[-1]

    def outcome(self) -> dict[str, np.ndarray]:
        """label and prediction of the test set, as the network stands; see `record.Job.outcome`."""
        part = self.parts["test"]
        drives = [self._output_drive(part.inputs[start : start + _CHUNK]) for start in range(0, len(part), _CHUNK)]
        return {"label": part.labels, "prediction": np.concatenate(drives).argmax(axis=1)}

    def next_stage(self) -> None:
        """Take up the next stage where this one is over: its epochs are done, or its training error is reached."""
        stage, error = self.setting.stage[self.stage], self.rows[-1]["train_error"]
        if self.epoch_of_stage >= stage.epochs or (stage.stop_at_error is not None and error <= stage.stop_at_error):
            self.epoch_of_stage = 0
            self._enter(self.stage + 1)

    def save(self) -> None:
        """Write a checkpoint."""
        arrays: dict[str, np.ndarray] = {}
        for l, weights in enumerate(self.network.weights):
            arrays |= {
                f"weights{l}": weights,
                f"state{l}": self.plasticity.state[l],
                f"last{l}": self.plasticity.last[l],
            }
        position = record.Position(
            stage=self.stage, epoch=self.epoch, epoch_of_stage=self.epoch_of_stage, steps=self.plasticity.steps,
            seconds=self.seconds, events=self.events, rows=record.plain(self.rows),
        )  # fmt: skip
        self.job.write_checkpoint(arrays, position)

    def restore(self) -> None:
        """Go on from the last checkpoint, where there is one.

        Raises
        ------
        RunError
            The checkpoint is damaged or belongs to another network.
        """
        found = self.job.checkpoint()
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
        except (KeyError, IndexError, ValueError) as error:
            raise RunError(f"{self.job.folder / 'checkpoint.npz'}: does not fit this experiment: {error}") from None
        self.epoch, self.epoch_of_stage = position.epoch, position.epoch_of_stage
        self.seconds, self.events, self.rows = position.seconds, position.events, position.rows
        self.plasticity.steps = position.steps
        self._enter(position.stage)
        self.job.write_metrics(self.rows)

    def spikes(self, trials: int) -> dict[str, np.ndarray]:
        """Every spike of the first trials of the probe, as the network stands; see `record.Job.spikes`."""
        train, parts = self.parts["train"], []
        edges, sign, _ = stretches(self.setting.phases, True)
        for sample in self._probe[:trials]:
            compartments = spikes.record(self.network, self.setting, train.inputs[sample], train.targets[sample])
            found = [
                np.stack([events["time"], events["neuron"], *np.full((3, len(events)), [[l + 1], [twin], [sample]])])
                for twin, layers in enumerate(compartments)
                for l, events in enumerate(layers)
            ]
            columns = np.concatenate(found, axis=1)
            parts.append(columns[:, np.argsort(columns[0], kind="stable")])
        time, neuron, population, twin, trial = np.concatenate(parts, axis=1)
        return {
            "time": time, "population": population.astype(np.int32), "neuron": neuron.astype(np.int32),
            "twin": twin.astype(bool), "trial": trial.astype(np.int64), "edges": edges, "sign": sign,
        }  # fmt: skip

    def activity(self, samples: int) -> dict[str, np.ndarray]:
        """Activity or firing rate of every hidden neuron in so many training samples; see `record.Job.activity`."""
        train = self.parts["train"]
        chosen = np.sort(generator(self.seed, PROBE).permutation(len(train))[:samples])
        name, parts = "rate" if self.setting.spiking else "h", []
        for start in range(0, len(chosen), _CHUNK):
            inputs = train.inputs[chosen[start : start + _CHUNK]]
            if self.spiked:
                counts = spikes.simulate(self.network, self.setting, inputs).counts
                parts.append([1e3 * found / self.setting.phases.free for found in counts])
            else:
                found = settled.free_phase(self.network, inputs, self.setting.network.threshold).activity
                parts.append([1e3 * h / self.network.neuron.gain for h in found] if self.setting.spiking else found)
        layers = [np.concatenate(layer) for layer in zip(*parts, strict=True)]
        kept = {f"{name}{l + 1}": layer.astype(np.float32) for l, layer in enumerate(layers)}
        return {**kept, "label": train.labels[chosen], "sample": chosen}

    def weights(self) -> dict[str, np.ndarray]:
        """W1, b1, B1 …: forward weights W[post, pre], biases and feedback matrices, by layer from 1."""
        arrays: dict[str, np.ndarray] = {}
        for l in range(len(self.network.weights)):
            arrays |= {f"W{l + 1}": self.network.W(l), f"b{l + 1}": self.network.b(l)}
        for l, matrix in enumerate(self.network.feedback):
            if matrix is not None:
                arrays[f"B{l + 1}"] = matrix
        return arrays


def _mask(rng: np.random.Generator, shape: tuple[int, int], probability: float, dtype: Any) -> np.ndarray:
    """Dropout: 0 with this probability, else 1/(1 − p) (Srivastava et al. 2014)."""
    kept = rng.random(shape, np.float32) >= probability
    return kept * np.dtype(dtype).type(1 / (1 - probability))


def run(
    experiment: Experiment, out: str | Path, *, name: str = "experiment", force: bool = False,
    progress: Progress | None = None, base: Path | None = None,
) -> record.Run:  # fmt: skip
    """Train every condition and seed of an experiment and leave a run directory.

    Parameters
    ----------
    experiment: what to run.
    out: the run directory.
    name: the name of the experiment.
    force: replace a run that is there already.
    progress: told how it goes.
    base: the folder to which a path in ``data`` is relative; the working directory if left out.

    Raises
    ------
    DataError, RunError, NonFiniteError
        The data cannot be had; the directory cannot be written; training diverged.
    """
    if experiment.data.startswith("npz:"):
        try:
            path = ((base or Path.cwd()) / Path(experiment.data.removeprefix("npz:")).expanduser()).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"data: {experiment.data!r}: {error}") from None
        experiment = experiment.model_copy(update={"data": f"npz:{path}"})
    data = _load(experiment)
    return _go_on(record.create(out, experiment, name=name, force=force), data, progress or Progress())


def resume(folder: str | Path, progress: Progress | None = None) -> record.Run:
    """Go on with a run that was interrupted, to the same bits as if it had not been.

    Raises
    ------
    DataError, RunError, NonFiniteError
        As `run`; also where the data are no longer what the run began with.
    """
    began = record.Run(folder)
    return _go_on(began, _load(began.experiment), progress or Progress())


def _load(experiment: Experiment) -> datasets.Dataset:
    double = any(setting.precision == "float64" for setting in settings(experiment).values())
    prepare = experiment.preprocess
    return datasets.load(
        experiment.data, validation=prepare.validation, whiten=prepare.whiten, whiten_epsilon=prepare.whiten_epsilon,
        dtype=np.float64 if double else np.float32, rng=generator(0, VALIDATION),
    )  # fmt: skip


def _fingerprint(data: datasets.Dataset) -> str:
    """SHA-256 of all arrays of a data set."""
    digest = hashlib.sha256()
    for array in (data.x_train, data.y_train, data.x_valid, data.y_valid, data.x_test, data.y_test):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _go_on(run: record.Run, data: datasets.Dataset, progress: Progress) -> record.Run:
    """Train what is not finished; whatever happens, leave a directory that can be read and resumed."""
    fingerprint = _fingerprint(data)
    run.check_unchanged(data=fingerprint)
    run.update_info(data=fingerprint, shape=list(data.shape), status="running")
    try:
        with blas.one_thread():
            _train_all(run, data, progress)
    except BaseException as error:
        what = str(error) if isinstance(error, LocalDFAError) else f"{type(error).__name__}: {error}"
        run.update_info(status="interrupted" if isinstance(error, KeyboardInterrupt) else f"stopped: {what}")
        raise
    run.update_info(status="finished")
    return run


def _train_all(run: record.Run, data: datasets.Dataset, progress: Progress) -> None:
    parts = {precision: _parts(data, precision) for precision in {s.precision for s in run.settings.values()}}
    trained = len(data.y_train)
    epochs = {name: sum(stage.epochs for stage in setting.stage) for name, setting in run.settings.items()}
    progress.start(sum(epochs[job.condition] for job in run.jobs) * trained)
    warm: set[str] = set()
    for job in run.jobs:
        setting = run.settings[job.condition]
        trainer = Trainer(setting, parts[setting.precision], job, run.experiment.record.probe)
        trainer.restore()
        if not trainer.finished and job.condition not in warm:
            Trainer(setting, parts[setting.precision], job).warm_up()
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
    keep = run.experiment.record
    if trainer.finished:
        return
    if not trainer.rows:
        row = trainer.measure()
        trainer.job.write_metrics(trainer.rows)
        trainer.save()
        progress.epoch(row)
    while not trainer.finished:
        trainer.train_epoch(progress)
        row = trainer.measure()
        trainer.job.write_metrics(trainer.rows)
        if keep.weights == "every_epoch":
            trainer.job.write_weights(trainer.weights(), trainer.epoch)
        trainer.next_stage()
        progress.epoch(row)
        for message in measure.unhealthy(row):
            progress.warn(f"{trainer.job.condition} seed {trainer.seed}, epoch {row['epoch']}: {message}")
        if trainer.finished:
            trainer.job.write_weights(trainer.weights())
            trainer.job.write_outcome(trainer.outcome())
            if keep.activity:
                trainer.job.write_activity(trainer.activity(keep.activity))
            if keep.spikes and trainer.spiked:
                trainer.job.write_spikes(trainer.spikes(keep.spikes))
        if trainer.finished or trainer.epoch % keep.checkpoint == 0:
            trainer.save()


def summarise(run: record.Run) -> None:
    """Write summary.json: one entry for every condition and seed that has been measured."""
    entries = []
    for job in run.jobs:
        rows = job.metrics
        if rows:
            setting, last = run.settings[job.condition], rows[-1]
            entries.append(
                {
                    "name": job.condition,
                    "neuron": setting.network.neuron,
                    "rule": last["rule"],
                    "feedback": setting.pathway_of(last["rule"]),
                    "seed": job.seed,
                    "epochs": last["epoch"],
                    **{key: last.get(key) for key in _SUMMARY},
                }
            )
    record.write_json(run.folder / "summary.json", {"title": run.experiment.title, "conditions": entries})


def _parts(data: datasets.Dataset, precision: str) -> dict[str, Part]:
    return {
        "train": Part(data.x_train, data.y_train, data.n_classes, precision),
        "valid": Part(data.x_valid, data.y_valid, data.n_classes, precision),
        "test": Part(data.x_test, data.y_test, data.n_classes, precision),
    }
