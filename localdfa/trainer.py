"""Training one condition and seed: stages, epochs, checkpoints and metrics."""

import sys
import time
from functools import partial
from typing import Any

import numpy as np

from localdfa import measure, memory, record, recording, registry
from localdfa.adversary import FastSign
from localdfa.core import finite, threads
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.spiking.carried import Carried, restored
from localdfa.engines import Engine, Settled, Spiking, engine
from localdfa.errors import NonFiniteError
from localdfa.feedback._changes import Changes
from localdfa.files import plain
from localdfa.handover import Start, begin
from localdfa.network import FEEDBACK, NOISE, ORDER, PROBE, WATCHED, first_feedback, generator, rewired
from localdfa.optimisers import Optimiser
from localdfa.progress import Progress
from localdfa.samples import Part
from localdfa.spec import Record, Setting, derived
from localdfa.training import Kept, Training, check_alike


class Trainer(Training):
    """The training of a network of layers."""

    def __init__(
        self, setting: Setting, parts: dict[str, Part], job: record.Job, keep: Record | None = None, start: Start | None = None
    ) -> None:  # fmt: skip
        """start: see `localdfa.handover.begin`."""
        super().__init__(setting, job)
        self._keep = keep or Record()
        self._adversary: FastSign | None = None
        self.learn_from(parts)
        train = parts["train"]
        self.network = begin(setting, train.shape, train.targets.shape[1], self.seed, start)
        self._changes_by_pathway: dict[str, Changes] = {}
        self._enter(0)
        biases = [*(int(projection.biased) for projection in self.network.projections), *[1] * len(self.network.batch_norms)]
        self.plasticity = Plasticity(self.network.learned, self._optimiser(), setting.optimiser.weight_decay, biases)
        self.events, self.feedback_events = 0, 0
        self.carried = Carried()

    def learn_from(self, parts: dict[str, Part]) -> None:
        """Learn from these samples from now on, which are of the same kind as those before."""
        self.parts = parts
        self._adversary = _adversary(self.setting, parts["train"], self._adversary)
        order = generator(self.seed, PROBE).permutation(self.n_train)
        self.probe, self._watched = np.sort(order[: self._keep.probe]), np.sort(order[: self._keep.train])

    @property
    def n_train(self) -> int:
        return len(self.parts["train"])

    def warm_up(self) -> None:
        train = self.parts["train"]
        for stage in range(len(self.setting.stage)):
            self._enter(stage)
            self.plasticity.optimiser = self._optimiser()
            rows = slice(0, self.setting.batch_size)
            self.step(np.arange(len(train))[rows], generator(self.seed, NOISE))

    def not_learned(self, row: dict[str, Any]) -> str | None:
        measured = {m.key: row[f"train_{m.key}"] for m in self.network.output.measures}
        return self.network.output.not_learned(measured, self.parts["train"].targets[self._watched])

    def _enter(self, stage: int) -> None:
        self.stage = stage
        if self.finished:
            return
        spec, n_layers = self.setting.stage[stage], self.network.n_hidden + 1
        self.rule_name = spec.rule or self.setting.rule
        layer_rules = self.setting.layer_rules_of(spec)
        self.network = rewired(self.network, self.setting, self.rule_name, self.seed, layer_rules)
        self._changes = self._changes_of(self.rule_name)
        self.engine = self._engine()
        # Of a sample in its forward pass, as far as they are known beforehand: no end of them in any but settled, dense layers.
        known = type(self.engine) is Settled and not any(self.network.geometry)
        self._multiplications = sum(weights.size for weights in self.network.weights) if known else sys.maxsize
        not_plastic = (q for q, projection in enumerate(self.network.projections) if not projection.plastic)
        frozen_layers = [layer - 1 if layer > 0 else n_layers + layer for layer in spec.frozen]
        of_layers = (layer_rules.get(l, self.rule_name) for l in range(self.network.n_hidden))
        still = {*frozen_layers, *(l for l, rule in enumerate(of_layers) if not derived.teaches_hidden(rule))}
        gains = (n_layers + l for l in still if self.network.norm(l) is not None)
        self.frozen = frozenset([*still, *not_plastic, *gains])

    def _changes_of(self, rule: str) -> Changes | None:
        """What changes B under a rule, the same for all rules with one pathway; None where B is fixed."""
        if not self.setting.feedback_changes(rule):
            return None
        name = self.setting.pathway_of(rule)
        if name not in self._changes_by_pathway:
            network = rewired(self.network, self.setting, rule, self.seed)
            drawn = first_feedback(network, self.setting, network.pathway, self.seed)
            strict = self.setting.normalises_strictly(rule)
            noise = engine(self.setting.with_currents(), rule)
            self._changes_by_pathway[name] = Changes(network, self.setting, drawn, strict, self._optimiser(), noise)
        return self._changes_by_pathway[name]

    @property
    def _learned(self) -> list[np.ndarray]:
        """The weights and gains, running averages, and B where it changes."""
        matrices = [] if self._changes is None else self._changes.matrices
        return [*self.network.learned, *self.network.averages, *matrices]

    @property
    def _all_changes(self) -> dict[str, Changes]:
        """What changes B in any stage, by pathway."""
        for stage in self.setting.stage:
            self._changes_of(stage.rule or self.setting.rule)
        return self._changes_by_pathway

    def _engine(self) -> Engine:
        return engine(self.setting, self.rule_name, self._optimiser().learning_rate, self._adversary)

    def _take_last_rate(self) -> None:
        """Have weights that change while spikes pass do so at the rate of the last epoch."""
        rate = self.rows[-1].get("learning_rate")
        if rate is not None:
            self.engine = engine(self.setting, self.rule_name, self.network.dtype.type(rate), self._adversary)

    def _optimiser(self) -> Optimiser:
        """The optimiser with the parameters of the present stage and epoch, in the network's precision."""
        model, stage = registry.get("optimisers", self.setting.optimiser.name), self.setting.stage[self.stage]
        of_stage = {} if stage.learning_rate is None else {"learning_rate": stage.learning_rate}
        optimiser = model(**{**self.setting.optimiser.parameters, **of_stage})
        rate = optimiser.learning_rate * stage.schedule.part(self.epoch_of_stage, stage.epochs)
        return registry.cast(optimiser._replace(learning_rate=rate), self.network.dtype.type)

    def train_epoch(self, progress: Progress) -> None:
        """See `Training`; the message of an error names the layer, the step and the sample."""
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
            inputs = train.draw(batch, noise)
            # Feedback that learns from the update of a layer needs it, also where that layer is frozen.
            left_out = frozenset[int]() if self._changes is not None and isinstance(self.engine, Settled) else self.frozen
            if self._changes is not None:
                self._changes.before(noise)
            update = self.engine.learn(network, inputs, train.targets[batch], noise, left_out, self.carried)
            self.events += update.events
            self.feedback_events += update.feedback_events
            if self._changes is not None:
                self._changes.after(update, self.plasticity.optimiser)
            self.plasticity.learn(network.learned, update, self.frozen)
            network.keep_signs()
            for norm, moments in zip(network.batch_norms, update.moments, strict=True):
                norm.follow(moments)

    def _check_weights(self) -> None:
        for l, weights in enumerate(self.network.weights):
            if not finite.all_are(weights):
                layer = finite.layer(self.network.projections[l].post - 1, self.network.n_hidden)
                raise NonFiniteError(f"a weight of {layer} is not finite after epoch {self.epoch + 1}")

    def follow_weights(self) -> None:
        """Make B that is made from the weights anew from those of now; else it is that of the last mini-batch."""
        if self._changes is not None:
            self._changes.follow(generator(self.seed, FEEDBACK, self.network.n_hidden + self.epoch))

    def measure(self) -> dict[str, Any]:
        train = self.parts["train"]
        row: dict[str, Any] = {
            "condition": self.job.condition, "seed": self.seed, "epoch": self.epoch, "stage": self.stage, "rule": self.rule_name
        }  # fmt: skip
        for name, part in self.parts.items():
            if len(part):
                measured = self.evaluate(part, self._watched if name == "train" else None)
                row |= {f"{name}_{key}": value for key, value in measured.items()}
        self.follow_weights()
        with threads.worth(len(self.probe) * self._multiplications):
            row |= measure.probe(
                self.network, self.setting, self.rule_name, self.seed, train.inputs[self.probe], train.targets[self.probe],
                self._keep.repeats,
            )  # fmt: skip
        rate = float(self.plasticity.optimiser.learning_rate)
        row |= {"learning_rate": rate, "updates": max(self.plasticity.steps), "events": self.events}
        row |= {"feedback_events": self.feedback_events, "seconds": self.seconds}
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

    def records(self, keep: Record, each_epoch: bool = False) -> dict[str, Kept]:
        trained = self.trained
        return {
            name: partial(recorder.record, trained, keep)
            for name, recorder in recording.asked_for(keep, isinstance(self.engine, Spiking)).items()
            if not each_epoch or recorder.each_epoch(keep)
        }

    @property
    def trained(self) -> recording.Trained:
        """The network as it stands, as recorders see it."""
        epoch = self.rows[-1].get(record.KEPT, self.epoch) if self.rows else self.epoch
        return recording.Trained(self.setting, self.network, self.engine, self.frozen, self.parts, self.probe, self.seed, epoch)

    def save(self) -> None:
        arrays: dict[str, np.ndarray] = {}
        for l, weights in enumerate(self.network.learned):
            arrays |= {
                f"weights{l}": weights,
                f"state{l}": self.plasticity.state[l],
                f"last{l}": self.plasticity.last[l],
            }
        arrays |= {f"average{k}": average for k, average in enumerate(self.network.averages)}
        arrays |= self._arrays_of_best()
        for name, changes in self._all_changes.items():
            arrays |= {f"{name}_{key}": array for key, array in changes.arrays().items()}
            arrays[f"{name}_steps"] = np.array(changes.steps)
        arrays |= {f"carried_{name}": array for name, array in self.carried.arrays().items()}
        position = record.Position(
            stage=self.stage, epoch=self.epoch, epoch_of_stage=self.epoch_of_stage, steps=self.plasticity.steps,
            seconds=self.seconds, events=self.events, feedback_events=self.feedback_events, rows=plain(self.rows),
            best=self.best,
        )  # fmt: skip
        self.job.write_checkpoint(arrays, position)

    def _take(self, arrays: dict[str, np.ndarray], position: record.Position) -> None:
        for k, average in enumerate(self.network.averages):
            check_alike(f"average{k}", arrays[f"average{k}"], average)
            average[...] = arrays[f"average{k}"]
        for l, weights in enumerate(self.network.learned):
            for name, array in (("weights", weights), ("state", self.plasticity.state[l]), ("last", self.plasticity.last[l])):
                saved = arrays[f"{name}{l}"]
                check_alike(f"{name}{l}", saved, array)
                array[...] = saved
            if (self.plasticity.last[l] > position.steps[l]).any() or (self.plasticity.last[l] < 0).any():
                raise ValueError(f"last{l} is not between 0 and {position.steps[l]}")
        if len(position.steps) != len(self.network.learned):
            raise ValueError(f"{len(position.steps)} projections")
        for name, changes in self._all_changes.items():
            for key, array in changes.arrays().items():
                check_alike(f"{name}_{key}", arrays[f"{name}_{key}"], array)
                array[...] = arrays[f"{name}_{key}"]
            changes.steps = int(arrays[f"{name}_steps"])
            if not changes.counts_well():
                raise ValueError(f"updates of B are not numbered from 0 to {changes.steps}")
        carried = {name.removeprefix("carried_"): a for name, a in arrays.items() if name.startswith("carried_")}
        self.carried = restored(self.network, self.setting, carried)
        self.events, self.feedback_events = position.events, position.feedback_events
        self.plasticity.steps = position.steps

    def restore(self, progress: Progress) -> None:
        super().restore(progress)
        if self.finished and self.rows:
            self._take_last_rate()


def _adversary(setting: Setting, train: Part, before: FastSign | None = None) -> FastSign | None:
    """What makes the examples of adversarial training, if any; its ε is a part of the range of the training inputs.

    before: of the samples that were learned from before, whose range counts as well.
    """
    strength = setting.adversarial.strength
    if not strength:
        return None
    features = train.whole[:, :-1]  # settled networks alone, which read no spike trains, learn so
    lowest, highest = float(features.min()), float(features.max())
    if before is not None:
        lowest, highest = min(lowest, before.lowest), max(highest, before.highest)
    return FastSign(strength * (highest - lowest), setting.feedback.threshold, lowest, highest)
