"""The run directory: everything that a run leaves, and the only code that knows where in it things lie.

    spec.toml                     the resolved experiment
    run.json                      versions, git revision, platform, fingerprint of the data, their classes, status, notes,
                                  records not kept, where models come from that are not localdfa's own, number and checksum of
                                  the rows of what is trained, its own checksum
    models/FAMILY/NAME.py         of the files of models that the spec names: a copy each, which spec.toml names in their place
    start.npz                     the weights of a script that training starts from, where there are such
    search.toml, search.db        of a search: the experiment that its trials, which are conditions, change, and Optuna's study
    best.toml                     of a search: the spec of its best trial so far
    run.lock                      held by the process that trains the run, while it lives (see `folder`)
    summary.json                  one entry a condition and seed
    report.html, figures/         drawn from the rest
    certificate.json              where the run was certified
    tensorboard/                  where asked for: the metrics, for TensorBoard
    conditions/NAME/seed-N/
        metrics.jsonl             one row an epoch, epoch 0 before training
        checkpoint.npz            weights, optimiser and position: enough to go on to the same bits
        checkpoint-before.npz     the one before it, should the last be damaged
        RECORD.npz                what each recorder that the spec asks for keeps (see `localdfa.recorders`), weights and
                                  outcome in any case; RECORD-EPOCH.npz where one is kept of each epoch, 0 before training
        sources.npz               of modules: their parameters, and of each what trains it, in words

Weights W are (n_post, n_pre) and biases b (n_post,). Of a convolution W is (channels, in_channels · kernel²), its columns in
(in_channel, row, column) order, and b (channels,); where each position has its own kernel, both have a row a (position,
channel). Of a module weights are all of its tensors by their names, and B by those of taps, after ``B:``.

Files are written beside their place and moved there, so that a reader, or a run that is cut off, never meets half a file.
Files of arrays say what they hold and carry a checksum (see `arrays`), and so does run.json, which has those of the metrics.
Nothing in a run directory is executed: arrays are read without pickle, and files of models only where that is allowed.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)  # fmt: skip

from localdfa import arrays, outputs, registry
from localdfa import folder as folders
from localdfa.errors import RunError, check_flags, resuming
from localdfa.files import first_wrong, move, path_of, plain, read, read_object, to_json, write_bytes, write_json
from localdfa.spec import Experiment, Setting, defaults, load, modules, settings, uses
from localdfa.spec.load import leaves, spelled_out
from localdfa.spec.search import Search

if TYPE_CHECKING:
    import neo
    import pandas

_BEFORE = "checkpoint-before.npz"
# For so long, s, what another process is just replacing or extending may disagree with itself, before it is looked at again.
_MEANWHILE = 0.2
_PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "torch", "brian2")

# Columns of the metrics that have a value for each tap of a module, in the order of `localdfa.torch.Alignment`.
BY_TAP = ("signal_cosine", "signal_cosine_sd", "signal_norm", "gradient_norm", "signal_rank", "gradient_rank")
# Those that have a value for each layer or tap, that are text, that count, and that every row has.
PER_LAYER = (
    "angle_to_bp", "angle_to_dfa", "angle_dfa_to_bp", "cosine_to_dfa", "relative_error_to_dfa", "cosine_to_settled",
    "mean_cosine_to_dfa", "mean_cosine_to_settled", "cosine_to_exact",
    "alignment", "theorem_k", "theorem_l", "theorem_beta", "theorem_l_above", "theorem_k_pair", "theorem_l_pair", "update_norm",
    "weight_norm", "feedback_norm", "rate", "silent", "saturated", "nudge", "crossed", *BY_TAP,
)  # fmt: skip
_TEXT = ("condition", "rule")
_COUNTS = ("seed", "epoch", "stage")
# The record of modules that says of each parameter what trains it.
SOURCES = "sources"
# Where a stage has ended with the weights of an earlier epoch, that epoch.
KEPT = "kept_epoch"
_ALWAYS = (*_TEXT, *_COUNTS)
# Of the training so far, which never fall from one epoch to the next.
_ADDED_UP = ("stage", "updates", "events", "feedback_events", "seconds")
# Least and most of what a column may hold: percentages, degrees, fractions, cosines as they are rounded, and sizes.
_COSINE = 1 + 1e-6
_OF_MEASURES = {
    "error": (0.0, 100.0), "r2": (-math.inf, 1.0), "auc": (0.0, 1.0), "ap": (0.0, 1.0), "ssim": (-1.0, 1.0),
    **dict.fromkeys(("loss", "rmse", "log_loss", "bits"), (0.0, math.inf)),
}  # fmt: skip
_BOUNDS = {
    **{f"{part}_{key}": bounds for part in ("train", "valid", "test") for key, bounds in _OF_MEASURES.items()},
    **dict.fromkeys(("angle_to_bp", "angle_to_dfa", "angle_dfa_to_bp", "theorem_beta"), (0.0, 180.0)),
    **dict.fromkeys(("silent", "saturated", "crossed", "signal_cosine_sd"), (0.0, 1.0)),
    **dict.fromkeys(
        ("cosine_to_dfa", "cosine_to_exact", "cosine_to_settled", "mean_cosine_to_dfa", "mean_cosine_to_settled", "alignment",
         "signal_cosine"),
        (-_COSINE, _COSINE),
    ),
    **dict.fromkeys(
        ("signal_rank", "gradient_rank",
         "relative_error_to_dfa", "update_norm", "weight_norm", "feedback_norm", "signal_norm", "gradient_norm", "rate",
         "nudge", "updates", "events", "feedback_events", "seconds"),
        (0.0, math.inf),
    ),
}  # fmt: skip


def _checked_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metrics: what every reader relies on is there, and all of it of its type and within its bounds."""
    for key in _ALWAYS:
        if key not in row:
            raise ValueError(f"a row without {key}")
    measured = [f"train_{key}" for key in outputs.measures()]
    if not any(key in row for key in measured):
        raise ValueError(f"a row without {' or '.join(measured)}")
    for key, value in row.items():
        if key in _TEXT:
            right, allowed = isinstance(value, str), "a text"
        elif key in _COUNTS or key == KEPT:
            right, allowed = type(value) is int and value >= 0, "a whole number, 0 or above"
        else:
            right = isinstance(value, list) == (key in PER_LAYER)
            numbers = value if isinstance(value, list) else [value]
            low, high = _BOUNDS.get(key, (-math.inf, math.inf))
            right = right and all(
                n is None or (type(n) in (int, float) and math.isfinite(n) and low <= n <= high) for n in numbers
            )
            each = "a list of numbers" if key in PER_LAYER else "a number"
            bounds = "" if low == -math.inf else f", {low:g} or above" if high == math.inf else f" from {low:g} to {high:g}"
            allowed = f"{each}{bounds}"
        if not right:
            raise ValueError(f"epoch {row['epoch']!r:.20}: {key!r:.40} has the value {value!r:.40}; allowed: {allowed}")
    return row


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of metrics, each of them right, as training writes them: epochs 0, 1, 2 …, and what adds up never falls."""
    for epoch, row in enumerate(rows):
        if row["epoch"] != epoch:
            raise ValueError(f"row {epoch + 1} is of epoch {row['epoch']}, not {epoch}: a row is lost, doubled or out of place")
        if row.get(KEPT, 0) > epoch:
            raise ValueError(f"epoch {epoch}: {KEPT!r} has the value {row[KEPT]}, which is yet to come")
        before = rows[max(0, epoch - 1)]
        for key in _ADDED_UP:
            if (now := row.get(key)) is not None and (then := before.get(key)) is not None and now < then:
                raise ValueError(f"epoch {epoch}: {key!r} has the value {now}, less than the {then} of the epoch before it")
    return rows


def _text(value: Any) -> Any:
    """Text, which may hold what no file can be written in, as the names of files do."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def checked_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the metrics of a training, each of them right, and in order; ValueError where one is not."""
    return _in_order([_checked_row(row) for row in rows])


_Text = Annotated[Any, AfterValidator(_text)]
_Row = Annotated[dict[str, Any], AfterValidator(_checked_row)]
_Rows = Annotated[list[_Row], AfterValidator(_in_order)]


class NotKept(BaseModel):
    """A record of a condition and seed that could not be kept, and why."""

    condition: str
    seed: int
    record: str
    why: _Text


class Finished(BaseModel):
    """The metrics of a condition and seed whose training is over: how many rows there are, and the SHA-256 of their file."""

    condition: str
    seed: int
    rows: PositiveInt
    sha256: str


class SearchEntry(BaseModel):
    """What is searched, as `localdfa.spec.search.Search` has it, and the SHA-256 of search.toml.

    before: that of spec.toml before its last trial came, which it still is where a process was killed between the two files.
    """

    space: dict[str, Any]
    trials: int
    condition: _Text | None
    seed: int
    sha256: str
    before: str = ""


class _Info(BaseModel):
    """What run.json holds, beside its checksum; what is not known before the data are read has a default."""

    model_config = ConfigDict(strict=True)

    name: _Text
    started: _Text
    versions: dict[_Text, _Text]
    git_revision: _Text | None
    platform: _Text
    spec: str
    status: _Text
    models: dict[str, dict[str, dict[str, _Text]]] = {}
    data: _Text = ""
    from_run: str = ""
    start: str = ""
    shape: list[PositiveInt] = []
    classes: list[_Text] = []
    features: list[_Text] = []
    notes: list[_Text] = []
    not_kept: list[NotKept] = []
    trained: list[Finished] = []
    search: SearchEntry | None = None

    @property
    def finished(self) -> dict[tuple[str, int], Finished]:
        """What it says of each training that is over, by condition and seed."""
        return {(entry.condition, entry.seed): entry for entry in self.trained}


def info_of(folder: Path) -> dict[str, Any]:
    """run.json of a run directory, which is what was written, and whole."""
    path = folder / "run.json"
    info = read_object(path)

    def checked(_: Path) -> _Info:
        if info.pop(_CHECKSUM, None) != checksum(info):
            raise ValueError("its checksum is not that of its content")
        try:
            return _Info.model_validate(info)
        except ValidationError as error:
            raise ValueError(first_wrong(error)) from None

    read(path, checked)
    return info


def began_as(info: Mapping[str, Any]) -> tuple[str, str]:
    """What a run is known by, of its run.json, whatever else is trained in its folder later: its spec and when it began."""
    return began_with(info), info["started"]


def _same(folder: Path, began: tuple[str, str] | None) -> dict[str, Any]:
    """run.json of the run that has begun so, or of whichever is there."""
    info = info_of(folder)
    if began is not None and began_as(info) != began:
        raise RunError(
            f"{folder}: another run has been trained here since this one was opened or trained, whose files are gone; to read "
            f"the one that is there now: localdfa.open_run({str(folder)!r})"
        )
    return info


_CHECKSUM = "sha256"


def checksum(info: dict[str, Any]) -> str:
    """The SHA-256 of entries of JSON, whatever their order."""
    return _sha256(json.dumps(plain(info), sort_keys=True, allow_nan=False).encode())


def _sealed(info: dict[str, Any]) -> dict[str, Any]:
    """The entries of run.json, and their checksum."""
    return {**info, _CHECKSUM: checksum(info)}


class Position(BaseModel):
    """Where the training of a condition and seed stands.

    stage and epoch_of_stage: the stage and the epochs trained in it; epoch: those trained in all; steps: the updates of each
    projection; seconds, events and feedback_events: of the training so far; rows: its metrics; best: the epoch of this stage
    with the smallest validation error so far, where a stage asks for that.
    """

    model_config = ConfigDict(extra="forbid")

    stage: NonNegativeInt
    epoch: NonNegativeInt
    epoch_of_stage: NonNegativeInt
    steps: list[NonNegativeInt]
    seconds: NonNegativeFloat
    events: NonNegativeInt
    feedback_events: NonNegativeInt = 0
    rows: _Rows
    best: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _one_row_an_epoch(self) -> "Position":
        if len(self.rows) != self.epoch + 1:
            raise ValueError(f"{len(self.rows)} rows of metrics after epoch {self.epoch}")
        return self


@dataclass(frozen=True)
class Job:
    """The files of one condition and seed, and, where they are those of a run directory, which one that is.

    began: what `began_as` has said of that run, whose files alone are read.
    """

    folder: Path
    condition: str
    seed: int
    run: Path | None = None
    began: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[str, int]:
        """The condition and the seed."""
        return self.condition, self.seed

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One row an epoch; empty before the first.

        Raises
        ------
        RunError
            A row is lost, doubled, out of place, or not what was written; or the file is gone. While training goes on the last
            rows may be missing without being missed.
        """
        return self.rows(self.trained)

    def rows(self, trained: Finished | None) -> list[dict[str, Any]]:
        """`metrics`, of which run.json says `trained`: of many jobs it is read once, as by `Run.rows_by_job`."""
        path = self.folder / "metrics.jsonl"
        if trained is None and not path.exists():
            return []
        try:
            return read(path, lambda path: self._checked(path.read_bytes(), trained))
        except RunError as error:
            again = f"; to write it anew from the checkpoint: {resuming(self.run)}" if self.run else ""
            raise RunError(f"{error}{again}") from None

    def _checked(self, content: bytes, trained: Finished | None) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in content.decode().splitlines()]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("a line that is no row of metrics")
        for row in checked_rows(rows):
            if (row["condition"], row["seed"]) != (self.condition, self.seed):
                raise ValueError(f"a row of condition {row['condition']!r:.60}, seed {row['seed']}")
        if trained and len(rows) != trained.rows:
            raise ValueError(f"{len(rows)} rows, where training has left {trained.rows}")
        if trained and _sha256(content) != trained.sha256:
            raise ValueError("its checksum is not the one that run.json has of it")
        return rows

    @property
    def last(self) -> dict[str, Any] | None:
        """The row of the weights that the condition and seed ends with, so far; None where nothing is measured yet.

        Where a stage has gone back to those of an earlier epoch it is that epoch's row, but ``epoch``, ``updates``, ``events``,
        ``feedback_events`` and ``seconds`` are those of the whole training. ``kept_epoch`` is always there.
        """
        return ending(self.metrics)

    def write_metrics(self, rows: list[dict[str, Any]], lasting: bool = True) -> None:
        """All rows so far; lasting: see `files.writing`. While training goes on, the checkpoint has them as well."""
        write_bytes(self.folder / "metrics.jsonl", _lines(rows), lasting)

    @property
    def trained(self) -> Finished | None:
        """What run.json says of the metrics, once training is over and the records are kept; None before."""
        return _Info.model_validate(_same(self.run, self.began)).finished.get(self.key) if self.run else None

    def __getattr__(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a record: ``job.spikes`` are those that the recorder `localdfa.recorders.spikes` has described.

        Raises
        ------
        RunError
            It is not kept, or it is damaged.
        """
        if name.startswith("_") or name not in registry.names("recorders"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.load(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in registry.names("recorders") if self.keeps(name))]

    def load(self, record: str, epoch: int | None = None) -> dict[str, np.ndarray]:
        """The arrays of a record by its name, as ``job.spikes`` for ``spikes``, also where its recorder is not installed.

        epoch: after which they were kept, 0 being before training, of a record that is kept after each, as ``weights`` with
        ``record.weights = "every_epoch"``; those of the end of training if left out.

        Raises
        ------
        RunError
            It is not kept, or not of this epoch; the message has the epochs that there are. Or it is damaged.
        """
        self._require_same()
        if epoch is not None and epoch not in (there := self._epochs(record)):
            several = len(there) > 1 and there == list(range(there[0], there[-1] + 1))
            listed = f"{there[0]} to {there[-1]}" if several else ", ".join(map(str, there)) or "none, but the end of training"
            raise RunError(f"{self.folder}: keeps no {record} of epoch {epoch!r}; there are {listed}")
        return arrays.load(self._file(record, epoch), record)

    def epochs(self, record: str) -> list[int]:
        """The epochs after which a record was kept, in order, 0 being before training; none where the end alone is kept."""
        self._require_same()
        return self._epochs(record)

    def _require_same(self) -> None:
        """Refuse to read the files of another run, which has taken the folder since."""
        if self.run:
            _same(self.run, self.began)

    def _epochs(self, record: str) -> list[int]:
        numbers = [path.stem.removeprefix(f"{record}-") for path in self.folder.glob(f"{record}-*.npz")]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def _file(self, record: str, epoch: int | None) -> Path:
        """Where a record of the end of training lies, or of one epoch."""
        return self.folder / (f"{record}.npz" if epoch is None else f"{record}-{int(epoch):05d}.npz")

    def write(self, record: str, content: dict[str, np.ndarray], epoch: int | None = None) -> None:
        """Keep the arrays of a record, those after training or those after one epoch."""
        arrays.save(self._file(record, epoch), record, content)

    def neo(self) -> "neo.Block":
        """The spikes as a `neo.Block`, a segment for each trial, a train for each neuron (see `localdfa.export.block`)."""
        from localdfa import export

        run = Run(self.folder.parents[2])
        widths = [n for n in run.settings[self.condition].network.hidden if isinstance(n, int)]  # none of them convolves
        return export.block(self, widths)

    def is_whole(self, record: str) -> bool:
        """Whether a file of arrays is there, and what was written."""
        try:
            self.load(record)
        except RunError:
            return False
        return True

    def keeps(self, what: str) -> bool:
        """Whether a record is there: ``metrics``, ``weights``, ``outcome``, ``spikes``, and so on."""
        return any((self.folder / f"{what}{ending}").is_file() for ending in (".npz", ".jsonl"))

    def write_checkpoint(self, state: dict[str, np.ndarray], position: "Position") -> None:
        """Arrays, and where training stands, in one file; the last checkpoint becomes the one before it."""
        text = np.frombuffer(position.model_dump_json().encode(), np.uint8)
        last = self.folder / "checkpoint.npz"
        if last.exists():
            move(last, self.folder / _BEFORE)
        arrays.save(last, "checkpoint", {**state, "position": text})

    def checkpoint(self, before: bool = False) -> "tuple[dict[str, np.ndarray], Position] | None":
        """The last checkpoint, or the one before it; None where there is none.

        Raises
        ------
        RunError
            It is damaged.
        """
        path, older = self.folder / "checkpoint.npz", self.folder / _BEFORE
        if before or not path.exists():  # a process may be killed between two, and before the first
            path = older
        if not path.exists():
            return None
        state = arrays.load(path, "checkpoint")
        return state, read(path, lambda _: Position.model_validate_json(state.pop("position").tobytes()))

    def drop_checkpoint(self) -> None:
        """Give up the last checkpoint, which is damaged, for the one before it."""
        move(self.folder / _BEFORE, self.folder / "checkpoint.npz")


def ending(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """`Job.last` of a job's rows of metrics."""
    if not rows:
        return None
    of_all_training = {
        key: rows[-1][key] for key in ("epoch", "updates", "events", "feedback_events", "seconds") if key in rows[-1]
    }
    kept_epoch = rows[-1].get(KEPT, rows[-1]["epoch"])
    return {**rows[kept_epoch], **of_all_training, KEPT: kept_epoch}


def comparable(measured: float | None) -> float:
    """A measure of which the smallest is best; infinite where it is not finite, which a file has as null."""
    return measured if measured is not None and math.isfinite(measured) else math.inf


class Best(NamedTuple):
    """The best trial of a search: the condition, its validation error, a mean over seeds, what that is, and its values."""

    name: str
    error: float
    measure: outputs.Measure
    values: dict[str, Any]


class Run:
    """A run directory, open for reading and for going on."""

    def __init__(self, folder: str | Path, allow_models: bool = False) -> None:
        """Open a run directory.

        allow_models: whether Python files of models that it brings may be executed. Where this process has executed the same
        ones before, because it has trained the run, for instance, that is not asked.

        Raises
        ------
        RunError, SpecError
            There is no run, it cannot be read, its spec is not the one that it began with, or it needs models that are not
            there, not allowed, or not those it began with.
        """
        check_flags(RunError, allow_models=allow_models)
        self.folder = path_of("folder", folder)
        folders.check_run(self.folder)
        self._allow_models = allow_models
        self._began: tuple[str, str] | None = None  # as long as it is not known
        self.experiment: Experiment = self._unchanged("spec.toml")
        self.settings: dict[str, Setting] = settings(self.experiment)
        self._began = began_as(self.info)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.experiment!r})"

    def _unchanged(self, file: str) -> Experiment:
        """The experiment of spec.toml or search.toml, by which everything that the run keeps is read.

        Raises
        ------
        RunError
            The file is not what run.json says that it was, also after a moment: another process may have been at both.
        """
        path = self.folder / file
        for last_look in (False, True):
            content = read(path, Path.read_bytes)
            if _sha256(content) in _specs(self.info, file):
                experiment = load(str(path), take_in=self._take_in)
                if read(path, Path.read_bytes) == content:
                    return experiment
            if not last_look:
                time.sleep(_MEANWHILE)
        raise RunError(
            f"{path}: the spec is no longer the one that this run began with, and what the run keeps is read by it; put back "
            f"the one that it began with, and train another spec as a run of its own"
        )

    def _take_in(self, family: str, path: Path) -> None:
        """Take in the file of a model, where that is allowed, or where this process has executed the same already."""
        file = registry.read(path)
        if registry.is_there(family, file):
            return
        if not self._allow_models:
            raise RunError(
                f"{self.folder}: needs the model {path}, which is code, and what a run brings is not executed unasked; look at "
                f"it, then add --allow-models, or in Python allow_models=True"
            )
        began_with = self.info.get("models", {})
        if began_with.get(family, {}).get(registry.name_of(family, path), {}).get("sha256") != file.sha256:
            raise RunError(f"{self.folder}: the model {path} is no longer the one that this run began with")
        registry.add(family, path)

    @property
    def info(self) -> dict[str, Any]:
        """run.json: versions, revision, platform, fingerprint of the data, status, notes.

        Raises
        ------
        RunError
            It is missing, or not what was written; or another run has taken the folder since this one was opened.
        """
        return _same(self.folder, self._began)

    @property
    def entries(self) -> _Info:
        """`info`, each entry of its type."""
        return _Info.model_validate(self.info)

    def check_unchanged(self, **fingerprints: str) -> None:
        """Refuse to go on where the spec, or one of these entries of run.json, is not what the run began with.

        The spec of a search gets a condition for each trial; what it began with is search.toml.
        """
        info = self.info
        file = "search.toml" if info.get("search") else "spec.toml"
        began = {**info, "spec": began_with(info)}
        for key, now in {"spec": _sha256((self.folder / file).read_bytes()), **fingerprints}.items():
            if began.get(key, now) != now:
                raise RunError(f"{self.folder}: the {key} is no longer the one that this run began with")

    @property
    def search(self) -> "tuple[Search, Experiment] | None":
        """Of a search: what is searched, and the experiment that its trials change; None of other runs."""
        entry = self.entries.search
        if entry is None:
            return None
        return Search(entry.space, entry.trials, entry.condition, entry.seed), self._unchanged("search.toml")

    @property
    def began_from(self) -> Experiment:
        """The experiment that does not change while the run goes on: of a search the one that its trials change."""
        found = self.search
        return self.experiment if found is None else found[1]

    def grow(self, experiment: Experiment) -> None:
        """Have further conditions, which come after those that are there; to be called by who holds the folder."""
        spec, info, path = to_toml(_with_copies(experiment)).encode(), self.info, self.folder / "spec.toml"
        # In this order: cut off between the two, the spec is the one that lies there, which run.json still names. That is not
        # the one that it has named so far where an earlier process was cut off here as well.
        before = _sha256(read(path, Path.read_bytes))
        self._write_info(info, spec=_sha256(spec), search={**info["search"], "before": before})
        write_bytes(path, spec)
        self.experiment, self.settings = experiment, settings(experiment)

    def write_best(self, experiment: Experiment) -> None:
        """Write the best trial of a search so far as a spec of its own."""
        write_bytes(self.folder / "best.toml", to_toml(_with_copies(experiment)).encode())

    @property
    def best(self) -> "Best | None":
        """Of a search: the trial that is best so far; None before one is over with a finite error, and of other runs."""
        if (found := self.search) is None:
            return None
        finished = self.entries.finished
        errors = {name: self._validation_error(name, finished) for name in self.settings}
        known = {name: error for name, error in errors.items() if error is not None and math.isfinite(error)}
        if not known:
            return None
        name = min(known, key=lambda each: known[each])
        return Best(name, known[name], self.settings[name].output.measures[0], self.values(name, found[0].space))

    def validation_error(self, condition: str) -> float | None:
        """What trials of a search are compared by, the first measure of a condition's validation part at the end of training, a
        mean over the seeds; infinite where it is not finite for one of them, None before all are over."""
        return self._validation_error(condition, self.entries.finished)

    def _validation_error(self, condition: str, finished: Mapping[tuple[str, int], Finished]) -> float | None:
        """The same, of what run.json says of trainings that are over."""
        jobs = self._jobs_of(condition)
        if not all(job.key in finished for job in jobs):
            return None
        key = f"valid_{self.settings[condition].output.measures[0].key}"
        return fmean(comparable(row[key]) for job in jobs if (row := ending(job.rows(finished[job.key]))))

    def values(self, condition: str, keys: Iterable[str]) -> dict[str, Any]:
        """The values that a condition has of some keys, as ``phases.beta``; None of one that it does not have."""
        known = {".".join(key): value for key, value in leaves(self.settings[condition].model_dump(mode="json"))}
        return {key: known.get(key) for key in keys}

    def update_info(self, **changes: Any) -> None:
        """Change entries of run.json."""
        self._write_info(self.info, **changes)

    def _write_info(self, info: Mapping[str, Any], **changes: Any) -> None:
        """Write run.json, as it was read, with other entries."""
        write_json(self.folder / "run.json", _sealed({**info, **changes}))

    @property
    def start(self) -> dict[str, np.ndarray] | None:
        """The weights of a script that training started from; None where there are none."""
        path = self.folder / "start.npz"
        return arrays.load(path, "start") if path.exists() else None

    @property
    def of_modules(self) -> bool:
        """Whether modules of PyTorch stand in the place of layers, which then is so in every condition."""
        return not all(setting.of_layers for setting in self.settings.values())

    @property
    def status(self) -> str:
        """``running``, ``finished``, ``interrupted``, or ``stopped:`` and a reason.

        Interrupted is also a run whose process has ended without saying so, as one does that is killed.
        """
        status = str(self.info["status"])
        if status == "running" and folders.is_held(self.folder) is False:
            return str(self.info["status"]).replace("running", "interrupted")  # it may have ended meanwhile
        return status

    @property
    def summary(self) -> dict[str, Any]:
        """summary.json."""
        _same(self.folder, self._began)
        return read_object(self.folder / "summary.json")

    @property
    def not_kept(self) -> "list[NotKept]":
        """The records that could not be kept, and why."""
        return self.entries.not_kept

    def note_not_kept(self, job: Job, why: dict[str, str]) -> None:
        """Say in run.json which records of a job could not be kept, and why."""
        info = self.info
        before = _Info.model_validate(info).not_kept
        of_others = [entry for entry in before if (entry.condition, entry.seed) != job.key]
        of_job = [NotKept(condition=job.condition, seed=job.seed, record=name, why=text) for name, text in why.items()]
        if (now := of_others + of_job) != before:
            self._write_info(info, not_kept=[entry.model_dump() for entry in now])

    def note_trained(self, job: Job, rows: list[dict[str, Any]] | None) -> None:
        """Say in run.json that the training of a job is over, with these rows of metrics; with None, that it is not."""
        info = self.info
        before = _Info.model_validate(info).trained
        of_others = [entry for entry in before if (entry.condition, entry.seed) != job.key]
        of_job = []
        if rows is not None:
            of_job = [Finished(condition=job.condition, seed=job.seed, rows=len(rows), sha256=_sha256(_lines(rows)))]
        if [entry for entry in before if entry not in of_others] != of_job:
            self._write_info(info, trained=[entry.model_dump() for entry in (*of_others, *of_job)])

    def note_health(self, job: Job, epoch: int, messages: list[str]) -> None:
        """Say in the notes of run.json what is wrong with the training of a job after an epoch, in place of what was before."""
        label, info = f"{job.condition} seed {job.seed}, epoch ", self.info
        before = info.get("notes", [])
        now = [note for note in before if not note.startswith(label)] + [f"{label}{epoch}: {text}" for text in messages]
        if now != before:
            self._write_info(info, notes=now)

    def note(self, text: str) -> None:
        """Add a line to the notes of run.json, where it is not there yet."""
        info = self.info
        before = info.get("notes", [])
        if text not in before:
            self._write_info(info, notes=[*before, text])

    @property
    def jobs(self) -> list[Job]:
        """One for each condition and seed, in the order they are run."""
        return [job for name in self.settings for job in self._jobs_of(name)]

    def _jobs_of(self, condition: str) -> list[Job]:
        """Those of a condition."""
        folder = self.folder / "conditions" / condition
        return [Job(folder / f"seed-{seed}", condition, seed, self.folder, self._began) for seed in self.experiment.seeds]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of every condition and seed."""
        return [row for rows in self.rows_by_job.values() for row in rows]

    @property
    def rows_by_job(self) -> dict[Job, list[dict[str, Any]]]:
        """The rows of every condition and seed apart, `Job.metrics`, for all of which run.json is read once."""
        finished = self.entries.finished
        return {job: job.rows(finished.get(job.key)) for job in self.jobs}

    def frame(self) -> "pandas.DataFrame":
        """The metrics as a `pandas.DataFrame`, a row for each condition, seed and epoch (see `localdfa.export.frame`)."""
        from localdfa import export

        return export.frame(self)


def create(folder: str | Path, experiment: Experiment, *, name: str = "", force: bool = False) -> Run:
    """Begin a run directory, as `begin`, in a folder that is then nobody's again."""
    folders.check(Path(folder), force)
    with folders.held(folders.take(Path(folder), name)) as alone:
        return begin(Path(folder), experiment, name=name, force=force, alone=alone)


def begin(
    folder: Path, experiment: Experiment, *, name: str = "", force: bool = False, alone: bool = True,
    weights: Mapping[str, np.ndarray] | None = None, search: "tuple[Search, Experiment] | None" = None, **entries: Any,
) -> Run:  # fmt: skip
    """Begin a run directory, in a folder that is held (see `folder.begin`); entries: further ones of run.json.

    weights: those of a script that training starts from, which are kept. search: what is searched, and the experiment that its
    trials change.

    Raises
    ------
    RunError
        Something is there already; with `force` only another run directory is replaced.
    """
    files = [(family, Path(path)) for family, paths in experiment.models.items() for path in paths]
    models = {f"models/{family}/{path.name}": registry.file_of(family, path).content for family, path in files}
    origins: dict[str, dict[str, dict[str, str]]] = {}
    for family, model in sorted(uses(experiment) | {(family, registry.name_of(family, path)) for family, path in files}):
        if came_from := registry.origin(family, model):
            origins.setdefault(family, {})[model] = came_from
    spec = to_toml(_with_copies(experiment)).encode()
    info = {"name": name, **origin(), "spec": _sha256(spec), "models": origins, **entries, "status": "running"}
    further = {} if weights is None else {"start.npz": arrays.to_bytes("start", weights)}
    if search is not None:
        further["search.toml"] = _open_to_trials(_with_copies(search[1])).encode()
        info["search"] = {**search[0].as_entries(), "sha256": _sha256(further["search.toml"])}
    begun = {"spec.toml": spec, "run.json": to_json(_sealed(info)), **models, **further}
    folders.begin(folder, begun, force=force, alone=alone)
    return Run(folder)


def began_with(info: Mapping[str, Any]) -> str:
    """The SHA-256 of what a run trains by and that never changes, of its run.json."""
    return info["search"]["sha256"] if info.get("search") else info["spec"]


def _specs(info: Mapping[str, Any], file: str) -> set[str]:
    """The SHA-256 that spec.toml or search.toml of a run may have, of its run.json."""
    if file == "search.toml":
        return {began_with(info)}
    return {info["spec"], (info.get("search") or {}).get("before")}


def _with_copies(experiment: Experiment) -> Experiment:
    """An experiment that reads files of models from the run directory's copies."""
    copies = {family: [f"models/{family}/{Path(path).name}" for path in paths] for family, paths in experiment.models.items()}
    return experiment.model_copy(update={"models": copies})


def _lines(rows: list[dict[str, Any]]) -> bytes:
    """Rows of metrics as their file has them."""
    return "".join(json.dumps(plain(row), allow_nan=False) + "\n" for row in rows).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def to_toml(experiment: Experiment) -> str:
    """The resolved experiment, every default spelled out."""
    return _to_toml(spelled_out(experiment))


def _open_to_trials(experiment: Experiment) -> str:
    """The experiment that trials of a search change: every default spelled out, but keys that follow others."""
    return _to_toml(experiment, defaults.followers(experiment))


def _to_toml(experiment: Experiment, without: Collection[tuple[str, str]] = ()) -> str:
    """All tables and keys of an experiment, without these keys of its tables."""
    tables = experiment.model_dump(exclude_none=True)
    tables = _of_layers(experiment, tables) if experiment.of_layers else _of_modules(experiment, tables)
    if not experiment.models:
        del tables["models"]
    for table, key in without:
        tables.get(table, {}).pop(key, None)
    return tomli_w.dumps(tables, multiline_strings=False)


def _of_layers(experiment: Experiment, tables: dict[str, Any]) -> dict[str, Any]:
    """The resolved tables of an experiment with layers."""
    neuron = registry.get("neurons", experiment.network.neuron)
    optimiser = registry.get("optimisers", experiment.optimiser.name)
    own = optimiser(**experiment.optimiser.parameters)._asdict()
    return {**tables, "neuron": neuron(**experiment.neuron)._asdict(), "optimiser": tables["optimiser"] | own}


def _of_modules(experiment: Experiment, tables: dict[str, Any]) -> dict[str, Any]:
    """The resolved tables of an experiment with modules, which leave out what these do not read."""
    found = modules.resolved(tables)
    if experiment.module is not None:
        found["module"] |= modules.parameters(experiment)
        found["optimiser"] |= registry.get("optimisers", experiment.optimiser.name)(**experiment.optimiser.parameters)._asdict()
    return found


def origin() -> dict[str, Any]:
    """Versions, revision and machine: what it takes to repeat a run."""
    versions = {"python": platform.python_version(), "localdfa": metadata.version("localdfa")}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "versions": versions,
        "git_revision": _revision(),
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def _revision() -> str | None:
    """The commit of the source tree that runs, with ``+changes`` where files differ from it; None outside git."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if not git("ls-files", "record.py"):
            return None
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
