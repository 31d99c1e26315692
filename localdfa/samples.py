"""The data of an experiment, as its networks read them: what a network cannot read is refused, and the rest is laid out."""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from localdfa import data as datasets
from localdfa import memory, outputs, registry
from localdfa.augmentation import Augmentation
from localdfa.data import kinds, links, npz
from localdfa.data.dataset import Source
from localdfa.data.kinds import Graph, Kind, Links
from localdfa.data.trains import array_of
from localdfa.errors import DataError, SpecError, quoted
from localdfa.inputs.trains import implausible, unseen
from localdfa.network import VALIDATION, generator
from localdfa.spec import Augment, Experiment, Setting, modules, settings, trials

# What modules of PyTorch, or networks of layers, learn from.
Data = datasets.Dataset | Kind
# Spike trains are said to be cut off where more than this part of their spikes is.
_UNSEEN = 0.1


class Part:
    """One part of a data set as a network reads it.

    inputs (n, n_in + 1), the last column ones for the biases, or spike trains; y: labels (n,), or numbers (n, n_out); targets
    (n, n_out): what an output makes of them, one-hot unless another form is given; shape: of one sample before it was
    flattened. Of images that are cropped all this is of their middle; `draw` is what a mini-batch learns from.
    """

    def __init__(
        self,
        x: datasets.Inputs,
        y: np.ndarray,
        n_out: int,
        dtype: npt.DTypeLike,
        shape: tuple[int, ...],
        form: Callable[..., np.ndarray] = outputs.one_hot,
    ) -> None:
        self.shape = shape
        self.inputs: datasets.Inputs = x if isinstance(x, datasets.Trains) else _with_ones(x, dtype)
        self.y = y
        self.targets = form(y, n_out, dtype)
        self._augmentation: Augmentation | None = None
        self._whole = self.inputs

    def crop(self, augmentation: Augmentation, learned: bool) -> None:
        """See the middle of each image from now on; learned: whether mini-batches are drawn, which need the whole ones."""
        self.inputs, self.shape = augmentation.central(self.array), augmentation.cropped
        if learned:
            self._augmentation = augmentation
        else:
            self._whole = self.inputs

    def draw(self, samples: np.ndarray, rng: np.random.Generator) -> datasets.Inputs:
        """The inputs of a mini-batch as they are learned from, augmented where that is asked for; samples: which, (m,)."""
        if self._augmentation is None:
            return self.inputs[samples]
        return self._augmentation.draw(self.whole, samples, rng)

    def share(self, other: "Part") -> None:
        """Keep once what both have of the same data, in the same precision and as large."""
        for mine in ("inputs", "_whole"):
            for theirs in (other.inputs, other._whole):
                own = getattr(self, mine)
                if isinstance(theirs, np.ndarray) and (own.shape, own.dtype) == (theirs.shape, theirs.dtype):
                    setattr(self, mine, theirs)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def array(self) -> np.ndarray:
        """The inputs (n, n_in + 1) of a network that reads no spike trains, as all networks of rate neurons."""
        return array_of(self.inputs)

    @property
    def whole(self) -> np.ndarray:
        """All that mini-batches are drawn from: `array`, or whole images where it has their middle."""
        return array_of(self._whole)


def _with_ones(x: np.ndarray, dtype: npt.DTypeLike) -> np.ndarray:
    """Samples (n, n_in) and, for the biases, a column of ones, (n, n_in + 1)."""
    inputs = np.ones((x.shape[0], x.shape[1] + 1), dtype)
    inputs[:, :-1] = x
    return inputs


def load(experiment: Experiment, given: Source | None = None) -> Data:
    """The data of an experiment, as it prepares them: samples, or for modules that read another kind of data that kind.

    given: the arrays of a script, where the experiment names no other data.

    Raises
    ------
    DataError, SpecError
        As `load_samples`; or the data are not of the kind that a module reads; or a stage chooses by the validation error, and
        there is no validation set.
    """
    if any(setting.loop for setting in settings(experiment).values()):
        raise SpecError(
            "loop: a loop of one's own has trained this, and only the script with that loop trains it again; allowed here: a "
            "network of layers, or a module"
        )
    reads = _kind(experiment)
    data = load_samples(experiment, given) if reads is None else _of_kind(experiment, reads, given)
    if not has_validation(data):
        _require_no_choice(experiment)
    return data


def _require_no_choice(experiment: Experiment) -> None:
    """Refuse stages that choose by the validation error, where there is none."""
    for name, setting in settings(experiment).items():
        for i, stage in enumerate(setting.stage):
            for key, asks in (("patience", stage.patience is not None), ("keep", stage.keep == "best")):
                if asks:
                    raise SpecError(
                        f"{f'condition {name!r}: ' * bool(experiment.condition)}stage[{i}].{key}: "
                        f"{quoted(getattr(stage, key))} chooses by the validation error, and nothing is kept for validation; "
                        f"write `preprocess.validation = 0.1`, or have x_valid and y_valid in data of your own"
                    )


def has_validation(data: Data) -> bool:
    """Whether there is a part of the data to choose by."""
    kept = [getattr(data, each.name) for each in fields(data) if "valid" in each.name]
    return any(isinstance(each, np.ndarray) and bool(each.size) for each in kept)


def _kind(experiment: Experiment) -> type[Kind] | None:
    """The kind of data that modules of an experiment read; None of samples, which layers read as well."""
    reads = next((modules.model_of(setting).reads for setting in settings(experiment).values() if setting.module), None)
    return None if reads is datasets.Dataset else reads


def load_samples(experiment: Experiment, given: Source | None = None) -> datasets.Dataset:
    """Samples, with labels or numbers, of an experiment, as it prepares them; given: as of `load`.

    Raises
    ------
    DataError, SpecError
        The data cannot be had; or they are not what an input code reads; or a network on them does not fit into memory.
    """
    by_condition = settings(experiment)
    data = datasets.load(experiment.data, given=given, **_prepared_by(experiment))
    notes = []
    for setting in by_condition.values():
        if setting.module is not None:
            _require_labels(data)
            continue
        notes += _readable(data, setting)
        if short := trials.cut_short(setting):
            notes.append(short)
        memory.require(setting, data.shape, data.n_out, len(data.y_train) + len(data.y_valid) + len(data.y_test))
    return replace(data, notes=tuple(dict.fromkeys((*data.notes, *notes))))


def regression(experiment: Experiment) -> bool:
    """Whether the targets of an experiment are numbers, and not labels."""
    return next(iter(settings(experiment).values())).output.regression  # the outputs of all conditions are of one kind


def _prepared_by(experiment: Experiment) -> dict[str, Any]:
    """How an experiment has its samples prepared, as arguments of `localdfa.data.load`."""
    by_condition, prepare = settings(experiment).values(), experiment.preprocess
    double = any(setting.precision == "float64" for setting in by_condition)
    return {
        "validation": prepare.validation, "whiten": prepare.whiten, "whiten_epsilon": prepare.whiten_epsilon,
        "standardise": prepare.standardise, "dtype": np.float64 if double else np.float32, "rng": generator(0, VALIDATION),
        "regression": regression(experiment),
    }  # fmt: skip


def new(
    experiment: Experiment, setting: Setting, x: Any, shape: tuple[int, ...], given: Source | None = None
) -> Part:  # fmt: skip
    """Samples that are no part of the data, as a network of a setting reads them; their targets have no meaning.

    x: (n, *shape) or (n, n_features), in the unit of the inputs of `localdfa.data.load`, in which published sets lie in [0, 1];
    or `Trains`. They are whitened or standardised as the training set was, which is read for it. shape: of a sample. given: as
    of `load`.

    Raises
    ------
    DataError, SpecError
        They are not what networks of this experiment read.
    """
    name, code = setting.input.code, registry.get("inputs", setting.input.code)
    found: datasets.Inputs
    if isinstance(x, datasets.Trains):
        if x.width != math.prod(shape):
            raise DataError(f"x: spike trains of {x.width} input neurons; allowed: of {math.prod(shape)}")
        found = x
    else:
        x = npz.inputs(np.asarray(x), "x", "x", [])
        if x.ndim < 2 or (x.shape[1:] != shape and x.shape[1:] != (math.prod(shape),)):
            flat = f", or {('n', math.prod(shape))}".replace("'", "") if len(shape) > 1 else ""
            raise DataError(f"x has the shape {x.shape}; allowed: {('n', *shape)}{flat}".replace("'n'", "n"))
        x = x.reshape(len(x), -1)
        how, prepare = _prepared_by(experiment), experiment.preprocess
        if prepare.whiten or prepare.standardise:
            found = datasets.preparation(experiment.data, given=given, **how).of_scaled(x, "x")
        else:
            found = datasets.Preparation("x", 1.0, how["dtype"]).of_scaled(x, "x")
    if code.given != isinstance(found, datasets.Trains):
        raise SpecError(f"input.code: {name!r} reads {'spike trains' if code.given else 'arrays'}, and x is none")
    if setting.spiking and (reason := code.refusal(found, shape, setting.input)):
        raise SpecError(f"input.code: {name!r} does not go with x: {reason}")
    part = Part(found, np.zeros(len(found)), 1, setting.precision, shape, lambda y, n_out, dtype: y)
    if setting.augment.asked:
        channels, height, width = shape
        part.crop(Augmentation(setting.augment, (channels, height, width)), learned=False)
    return part


def _of_kind(experiment: Experiment, reads: type[Kind], given: Source | None) -> Kind:
    """Data that modules alone read."""
    data = datasets.read(experiment.data, given=given)
    if reads is Links and isinstance(data, Graph):
        data = links.hold_out(experiment.data, data, generator(0, VALIDATION))
    if not isinstance(data, reads):
        names = [setting.computed_by for setting in settings(experiment).values()]
        raise SpecError(
            f"data: {experiment.data!r} is no {reads.__name__}, which module.name = {names[0]!r} reads; allowed: data that are"
        )
    return data


def _require_labels(data: datasets.Dataset) -> None:
    """Refuse data that no module reads as samples with labels."""
    if data.regression or isinstance(data.x_train, datasets.Trains):
        has = "numbers to be fitted" if data.regression else "spike trains"
        raise SpecError(f"data: {data.name!r} has {has}; allowed with a module: arrays of numbers, with labels")


def _readable(data: datasets.Dataset, setting: Setting) -> list[str]:
    """Refuse data that the input code or the output of a setting does not read; return what must be said of those they do."""
    if data.regression != setting.output.regression:
        takes, has = ("numbers", "labels") if setting.output.regression else ("labels", "numbers")
        raise SpecError(
            f"network.output: {setting.network.output!r} is taught {takes}, and data = {data.name!r} has {has}; allowed with "
            f"{has}: {outputs.named(regression=data.regression)}"
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


def fingerprint(data: Data) -> str:
    """SHA-256 of all arrays of a data set, by which a run knows the data that it began with."""
    if isinstance(data, datasets.Dataset):
        return data.fingerprint
    digest = hashlib.sha256()
    for array in kinds.arrays(data).values():
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def fingerprint_now(experiment: Experiment, given: Source | None = None) -> str:
    """The fingerprint of the data of an experiment as they are, whether or not a network on them fits into memory.

    Raises
    ------
    DataError, SpecError
        The data cannot be had, or are of another kind.
    """
    reads = _kind(experiment)
    if reads is not None:
        return fingerprint(_of_kind(experiment, reads, given))
    return fingerprint(datasets.load(experiment.data, given=given, **_prepared_by(experiment)))


def parts(data: datasets.Dataset, setting: Setting) -> dict[str, Part]:
    """The parts of a data set as networks of a setting read them."""
    arrays = {"train": (data.x_train, data.y_train), "valid": (data.x_valid, data.y_valid), "test": (data.x_test, data.y_test)}
    targets = setting.output.targets
    found = {name: Part(x, y, data.n_out, setting.precision, data.shape, targets) for name, (x, y) in arrays.items()}
    if setting.augment.asked:
        channels, height, width = data.shape
        for name, part in found.items():
            part.crop(Augmentation(setting.augment, (channels, height, width)), learned=name == "train")
    return found


# The precision, the output and the augmentation of a setting, which decide in which form it reads data.
Form = tuple[str, str, Augment]
# The parts of a data set, in each form in which a condition reads them; modules read the data as they are.
Forms = dict[Form, Any]


def form_of(setting: Setting) -> Form:
    """The form in which a setting reads data."""
    return setting.precision, setting.network.output, setting.augment


def in_forms(read_by: Iterable[Setting], data: Data, forms: Forms) -> Forms:
    """The parts of a data set in each form in which one of some settings reads them.

    forms: those that there are, which grow, and which it returns.
    """
    for setting in read_by:
        if setting.module is not None:
            forms[form_of(setting)] = data
        elif form_of(setting) not in forms:
            assert isinstance(data, datasets.Dataset)  # as `load` has made sure
            parts_here = parts(data, setting)
            for name, part in parts_here.items():
                for there in forms.values():
                    part.share(there[name])
            forms[form_of(setting)] = parts_here
    return forms
