"""Training a module of PyTorch, for one condition and seed: epochs, checkpoints and metrics."""

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from localdfa import record, registry
from localdfa.data import Dataset
from localdfa.data.kinds import Kind
from localdfa.errors import LocalDFAError, NonFiniteError, SpecError, quoted
from localdfa.files import plain
from localdfa.network import NOISE, ORDER, PROBE, WATCHED, WEIGHTS, generator
from localdfa.progress import Progress
from localdfa.spec import Record, Setting
from localdfa.spec.modules import PATHWAYS, RULES, model_of
from localdfa.torch import Learner, feedback, tasks
from localdfa.torch.learner import UNSIZED
from localdfa.torch.taps import first
from localdfa.training import Kept, Training, check_alike

# Of arrays in a checkpoint: what is learned or follows it, and the state of the optimiser.
_LEARNED, _OPTIMISER = "learned", "optimiser"


class ModuleTrainer(Training):
    """The training of a module.

    Random numbers of PyTorch are drawn from its global generator, which is left as it was found. On the CPU results are the
    same to the bit for the same number of PyTorch's threads.
    """

    def __init__(self, setting: Setting, data: Dataset | Kind, job: record.Job, keep: Record | None = None) -> None:
        super().__init__(setting, job)
        assert setting.module is not None
        self._keep, model, dtype = keep or Record(), model_of(setting), getattr(torch, setting.precision)
        if setting.module.device == "cuda" and not torch.cuda.is_available():
            raise SpecError("module.device: 'cuda', but PyTorch finds no such device; allowed here: 'cpu'")
        with self._drawing(WEIGHTS), self._own_code():
            self.model: nn.Module = model(model.Parameters(**setting.module.parameters), data)
            self.model.to(setting.module.device, dtype)
            # Parts that the module keeps in evaluation mode, as a frozen batch norm.
            self._resting = [part for part in self.model.modules() if self.model.training and not part.training]
            if lost := [name for name, each in self.model.state_dict().items() if not isinstance(each, torch.Tensor)]:
                raise SpecError(
                    f"module.name: {quoted(setting.computed_by)} has the state {lost[0]!r}, which is no tensor and would not "
                    f"be kept; allowed: buffers"
                )
            self.task = tasks.of(data)(data, self.model, setting.batch_size, dtype, setting.module.device)
            self.learner = self._learner()
        self.optimiser, self._steps = self._optimiser(), 0

    def _learner(self) -> Learner:
        """The feedback to the module's taps."""
        setting, example = self.setting, self.task.probe(min(self.n_train, 2), generator(self.seed, PROBE)).inputs
        module, rule = setting.module, RULES[setting.rule]
        assert module is not None
        options: dict[str, Any] = {}
        if rule in PATHWAYS:
            of_feedback = setting.feedback
            options |= {key: getattr(of_feedback, key) for key in type(of_feedback).DRAWN}
            options |= {"pathway": setting.pathway_of(setting.rule)}
            if of_feedback.spread:
                options["spread"] = self.model.spread
        if rule == "local":
            options |= {"beta": setting.phases.beta, "nudging": setting.phases.nudging}
            options |= {"inside": "bp"} if module.inside == "bp" else {}
        taps: Any = self.model.taps
        output: Any = self.model.output
        several: Any = getattr(self.model, "several", None)
        return feedback(self.model, example, taps, rule, output=output, seed=self.seed, several=several, **options)

    def _optimiser(self) -> torch.optim.Optimizer:
        """The spec's optimiser, with PyTorch's code; biases and gains do not decay, B does where it learns, as weights do."""
        given = self.setting.optimiser
        p, rate = registry.get("optimisers", given.name)(**given.parameters), self._rate
        of_module = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        decaying = [parameter for parameter in of_module if parameter.dim() > 1]
        others = [parameter for parameter in of_module if parameter.dim() <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decaying, "weight_decay": given.weight_decay},
            {"params": others},
            {"params": [B for B in self.learner.parameters() if B.requires_grad], "weight_decay": given.weight_decay},
        ]
        groups = [group for group in groups if group["params"]]
        if given.name == "rmsprop":
            return torch.optim.RMSprop(groups, rate, alpha=p.decay, eps=p.epsilon)
        if given.name == "adam":
            return torch.optim.Adam(groups, rate, betas=(p.beta1, p.beta2), eps=p.epsilon)
        return torch.optim.SGD(groups, rate, momentum=getattr(p, "momentum", 0.0))

    @property
    def _rate(self) -> float:
        """The learning rate of the present epoch."""
        (stage,), given = self.setting.stage, self.setting.optimiser
        rate = stage.learning_rate or registry.get("optimisers", given.name)(**given.parameters).learning_rate
        return float(rate * stage.schedule.part(min(self.epoch_of_stage, stage.epochs - 1), stage.epochs))

    @contextmanager
    def _drawing(self, purpose: int, part: int = 0) -> Iterator[np.random.Generator]:
        """Random numbers of one purpose: NumPy's, and PyTorch's global ones, which are put back after."""
        rng = generator(self.seed, purpose, part)
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**62)))
            yield rng

    @contextmanager
    def _own_code(self) -> Iterator[None]:
        """What the module's code raises, as `SpecError` that says where."""
        try:
            yield
        except (LocalDFAError, MemoryError):
            raise
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            raise SpecError(
                f"module.name: {quoted(self.setting.computed_by)} cannot be trained on these data: {type(error).__name__}: "
                f"{error} ({at.filename}, line {at.lineno})"
            ) from error

    @property
    def n_train(self) -> int:
        return self.task.n_train

    def warm_up(self) -> None:
        batches = self.task.epoch(generator(self.seed, ORDER))
        first = next(batches)
        # The last one may be of a single sample, which normalisation over mini-batches refuses.
        others = deque((batch for batch in batches if batch.samples != first.samples), maxlen=1)
        with self._drawing(NOISE), self._own_code():
            for batch in (first, *others):
                self._step(batch)
        with self._evaluating(), self._own_code():  # it may do something else then
            self.task.loss(self.model(*first.inputs), first.target)

    def train_epoch(self, progress: Progress) -> None:
        began, order = time.perf_counter(), generator(self.seed, ORDER, self.epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate
        self._learns()
        with self._drawing(NOISE, self.epoch):
            for step, batch in enumerate(self.task.epoch(order)):
                with self._own_code():
                    loss = self._step(batch)
                if not math.isfinite(loss):
                    raise NonFiniteError(f"the loss is not finite in epoch {self.epoch + 1}, step {step + 1}")
                progress.advance(batch.samples)
        self.seconds += time.perf_counter() - began
        for name, learned in (*self.model.named_parameters(), *self.learner.named_parameters()):
            if not torch.isfinite(learned).all():
                raise NonFiniteError(f"{name!r} is not finite after epoch {self.epoch + 1}")
        self.epoch += 1
        self.epoch_of_stage += 1

    def _step(self, batch: tasks.Batch) -> float:
        """Learn from one mini-batch; returns its loss."""
        self.optimiser.zero_grad()
        loss = self.task.loss(self.model(*batch.inputs), batch.target)
        target = batch.target if self.learner.pathway == "drtp" else None
        self.learner.backward(loss, target, self._factor(batch))
        self.optimiser.step()
        self._steps += 1
        return loss.item()

    def _factor(self, batch: tasks.Batch) -> float | None:
        """What the loss of one sample counts in that of a mini-batch, for signals that do not carry the error's size."""
        return 1 / batch.samples if self.learner.pathway in UNSIZED else None

    def measure(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "condition": self.job.condition, "seed": self.seed, "epoch": self.epoch, "stage": self.stage,
            "rule": self.setting.rule,
        }  # fmt: skip
        with self._evaluating() as rng, self._own_code():
            for part, found in self.task.evaluate(self.model, self._keep.train, rng).items():
                row |= {f"{part}_{key}": value for key, value in found.items()}
        if self.learner.rule in PATHWAYS:
            with self._drawing(PROBE), self._own_code():
                batch = self.task.probe(self._keep.probe, generator(self.seed, PROBE))
                aligned = self.learner.alignment(self.task.loss, batch.inputs, batch.target, self._factor(batch))
            columns = zip(*aligned.values(), strict=True)
            row |= {key: [_number(value) for value in column] for key, column in zip(record.BY_TAP, columns, strict=True)}
        row |= {"learning_rate": self.optimiser.param_groups[0]["lr"], "updates": self._steps, "seconds": self.seconds}
        self.rows.append(row)
        return row

    @contextmanager
    def _evaluating(self) -> Iterator[np.random.Generator]:
        """The module in evaluation mode, without autograd."""
        with torch.no_grad(), self._drawing(WATCHED, self.epoch) as rng:
            self.model.eval()
            yield rng
        self._learns()

    def _learns(self) -> None:
        """The module in training mode, as it was made."""
        self.model.train()
        for part in self._resting:
            part.training = False

    def not_learned(self, row: dict[str, Any]) -> str | None:
        output = self.setting.output
        with self._drawing(WATCHED, row["epoch"]) as rng:  # as in `measure`, of the same samples
            targets = self.task.targets(self._keep.train, rng)
        return output.not_learned({m.key: row[f"train_{m.key}"] for m in output.measures}, targets)

    def records(self, keep: Any, each_epoch: bool = False) -> dict[str, Kept]:
        if each_epoch:
            return {}
        activity: dict[str, Kept] = {"activity": partial(self._activity, keep.activity)} if keep.activity else {}
        return {
            "weights": self.learner.arrays,
            "outcome": self._outcome,
            record.SOURCES: self.learner.source_arrays,
            **activity,
        }

    def _outcome(self) -> dict[str, np.ndarray]:
        with self._evaluating():
            return self.task.outcome(self.model)

    def _activity(self, number: int) -> dict[str, np.ndarray]:
        """h1, h2 …: what each tap gives for so many samples, (samples, numbers of it); output: what the output's submodule
        gives, where it is not the module itself; x and label of each."""
        shown, kept = self.task.shown(number, generator(self.seed, PROBE)), dict[str, np.ndarray]()

        def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, inputs: Any, given: Any) -> None:
                kept[name] = first(given, name)[shown.rows].reshape(len(shown.rows), -1).float().cpu().numpy()

            return hook

        taps: Any = self.model.taps
        output: Any = self.model.output
        places = {f"h{l + 1}": tap for l, tap in enumerate(taps)} | ({"output": output} if output else {})
        with ExitStack() as hooked, self._evaluating():
            for key, place in places.items():
                hooked.callback(self.model.get_submodule(place).register_forward_hook(keep(key)).remove)
            self.model(*shown.inputs)
        return {**kept, "x": shown.x, "label": shown.label, "sample": shown.rows}

    @property
    def _learned(self) -> list[np.ndarray]:
        return list(self.learner.arrays().values())

    @torch.no_grad()
    def _return_to(self, best: Sequence[np.ndarray]) -> None:
        for tensor, then in zip(self.learner.tensors().values(), best, strict=True):
            tensor.copy_(torch.from_numpy(then))

    def _enter(self, stage: int) -> None:
        self.stage = stage

    def save(self) -> None:
        arrays = {f"{_LEARNED}:{name}": array for name, array in self.learner.arrays().items()}
        for k, state in self.optimiser.state_dict()["state"].items():
            numbers = {name: torch.as_tensor(value) for name, value in state.items() if value is not None}
            arrays |= {f"{_OPTIMISER}{k}:{name}": value.cpu().numpy() for name, value in numbers.items()}
        arrays |= self._arrays_of_best()
        position = record.Position(
            stage=self.stage, epoch=self.epoch, epoch_of_stage=self.epoch_of_stage, steps=[self._steps], seconds=self.seconds,
            events=0, rows=plain(self.rows), best=self.best,
        )  # fmt: skip
        self.job.write_checkpoint(arrays, position)

    def _take(self, arrays: dict[str, np.ndarray], position: record.Position) -> None:
        for name, tensor in self.learner.tensors().items():
            saved = arrays[f"{_LEARNED}:{name}"]
            check_alike(name, saved, tensor.cpu().numpy())
        self._return_to([arrays[f"{_LEARNED}:{name}"] for name in self.learner.tensors()])
        (self._steps,) = position.steps
        state = self.optimiser.state_dict()
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        for key, array in arrays.items():
            if key.startswith(_OPTIMISER):
                number, name = key.removeprefix(_OPTIMISER).split(":")
                learned = parameters[int(number)]
                if array.shape not in ((), tuple(learned.shape)):
                    raise ValueError(f"{key} has shape {array.shape}, not {tuple(learned.shape)}")
                state["state"].setdefault(int(number), {})[name] = torch.from_numpy(np.array(array))
        self.optimiser.load_state_dict(state)


def _number(value: float) -> float | None:
    """A number as a row of metrics has it."""
    return value if math.isfinite(value) else None
