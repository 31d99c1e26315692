"""Cells of a paper's tables: one condition of a row with one seed, before it is trained, and what is kept of it after."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError

from localdfa import registry
from localdfa.errors import SpecError
from localdfa.files import first_wrong, plain, read, write_json
from localdfa.measure import degrees
from localdfa.papers import DEFAULT, Paper, Row
from localdfa.record import Run, checksum
from localdfa.spec import Experiment, Setting, modules, settings
from localdfa.spec import experiment as validated
from localdfa.spec.unread import unread, without_unread


class Cell(NamedTuple):
    """One condition of a row of a paper with one seed.

    experiment: that of the row with this condition and seed alone, and with no more epochs than are asked for; epochs: so many,
    or None for those of the row.
    """

    paper: str
    row: str
    condition: str
    seed: int
    epochs: int | None
    experiment: Experiment

    @property
    def name(self) -> str:
        """As its files are called."""
        shorter = "" if self.epochs is None else f"-{self.epochs}-epochs"
        return f"{self.row}/{self.condition}-{self.seed}{shorter}"

    @property
    def planned(self) -> int:
        """The epochs of all its stages."""
        return self.setting.epochs

    @property
    def setting(self) -> Setting:
        """The resolved setting of its condition."""
        return settings(self.experiment)[self.condition]

    @property
    def spec(self) -> dict[str, Any]:
        """All of the spec that decides what is trained, every default spelled out, as JSON has it."""
        setting = self.setting
        tables = setting.model_dump(mode="json", exclude_none=True)
        if setting.module is not None:
            return self._of_module(modules.resolved(tables))
        for table, family, model, parameters in (
            ("neuron", "neurons", setting.network.neuron, setting.neuron),
            ("optimiser", "optimisers", setting.optimiser.name, setting.optimiser.parameters),
        ):
            tables[table] = {**tables[table], **registry.get(family, model)(**parameters)._asdict()}
        of_experiment = self.experiment.model_dump(mode="json", include={"data", "preprocess"})
        return dict(plain({**of_experiment, **tables, "seed": self.seed}))

    def _of_module(self, tables: dict[str, Any]) -> dict[str, Any]:
        """The same with a module, of whose tables those that it reads are given."""
        given = self.setting.optimiser
        tables["module"] = {**tables["module"], **modules.parameters(self.setting)}
        tables["optimiser"] = {
            **tables["optimiser"], **registry.get("optimisers", given.name)(**given.parameters)._asdict()
        }  # fmt: skip
        return dict(plain({"data": self.experiment.data, **tables, "seed": self.seed}))


def of(paper: Paper, row: Row, rules: Iterable[str] = (), seeds: int | None = None, epochs: int | None = None) -> list[Cell]:
    """The cells of a row.

    Parameters
    ----------
    rules: names of conditions, of which the row may have some; all if there are none.
    seeds: so many, from 0; those of the row's experiment if left out.
    epochs: most epochs of a training, over all of its stages; those of the experiment if left out.
    """
    found, asked = paper.experiment(row), list(rules)
    names = [condition.name for condition in found.condition]
    chosen = [name for name in names if not asked or name in asked]
    numbers, resolved = found.seeds if seeds is None else range(seeds), settings(found)
    return [_cell(found, resolved[name], paper.name, row.name, name, seed, epochs) for name in chosen for seed in numbers]


def require_rules(paper: Paper, rows: Iterable[Row], rules: Iterable[str]) -> None:
    """Refuse names of conditions that none of these rows has.

    Raises
    ------
    SpecError
        The message names the first one, and those that there are.
    """
    there = list(dict.fromkeys(condition.name for row in rows for condition in paper.experiment(row).condition))
    for rule in rules:
        if rule not in there:
            raise SpecError(f"rule {registry.unknown(rule, there)}")


def _cell(found: Experiment, setting: Setting, paper: str, row: str, condition: str, seed: int, epochs: int | None) -> Cell:
    # What only other conditions read would be refused of this one alone.
    tables = without_unread(setting, found.model_dump(exclude_unset=True))
    tables["condition"] = [without_unread(setting, table) for table in tables["condition"] if table["name"] == condition]
    tables["seeds"] = [seed]
    if epochs is None or setting.epochs <= epochs:
        return Cell(paper, row, condition, seed, None, validated(tables))
    shortened, left = [], epochs
    for stage in setting.stage:
        if left > 0:
            shortened.append({**stage.model_dump(exclude_unset=True), "epochs": min(left, stage.epochs)})
            left -= stage.epochs
    tables["condition"][0]["stage"] = shortened
    return Cell(paper, row, condition, seed, epochs, validated(tables))


class Measured(BaseModel):
    """What is kept of a cell that is trained: a small file of JSON.

    spec: what was trained, every default spelled out, and its SHA-256; asked_epochs: where it was shortened, to how many.
    epochs: trained; kept_epoch: the one whose weights the training ends with. train_error, valid_error, test_error: the first
    measure of the output, which is an error in percent unless `measure` says otherwise, an entry an epoch from 0, before
    training. At the end, others: further measures of the test set by their keys; in degrees, an entry a hidden layer, None
    where there is none: angle_to_dfa, angle_to_bp: of updates; feedback_angle: between B and the weights that it stands in for.
    signal_cosine, signal_cosine_sd: as `measure.signals` has them, or by tap of a module, whose signals and gradients lie in
    signal_rank and gradient_rank dimensions (`localdfa.torch.Alignment`). seconds: of training, on so many
    threads. command: what trains the cell again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    row: str
    condition: str
    seed: NonNegativeInt
    asked_epochs: PositiveInt | None
    spec: dict[str, Any]
    sha256: str
    epochs: PositiveInt
    kept_epoch: NonNegativeInt
    train_error: list[NonNegativeFloat]
    valid_error: list[NonNegativeFloat] | None
    test_error: list[NonNegativeFloat]
    angle_to_dfa: list[float | None] | None
    angle_to_bp: list[float | None] | None
    feedback_angle: list[float | None] | None = None
    signal_cosine: list[float | None] | None = None
    signal_cosine_sd: list[float | None] | None = None
    signal_rank: list[float | None] | None = None
    gradient_rank: list[float | None] | None = None
    measure: str = "error"
    others: dict[str, float | None] = {}
    seconds: NonNegativeFloat
    threads: PositiveInt
    command: str
    started: str
    versions: dict[str, str]
    git_revision: str | None
    platform: str
    data: str

    @property
    def error(self) -> float:
        """The test error that the training ends with, percent, or what is in its place."""
        return self.test_error[self.kept_epoch]

    def test(self, key: str) -> float | None:
        """A measure of the test set that the training ends with."""
        return self.error if key == self.measure else self.others.get(key)

    def is_of(self, cell: Cell) -> bool:
        """Whether this is what the spec of a cell says today.

        A key that the spec has got since then is none of the cell's own, but where the row's experiment names it; one that the
        condition does not read decides nothing.
        """
        idle = {f"{table}.{name}" for table, name in unread(cell.setting)}
        now = dict(_leaves(cell.spec))
        named = {key for key, _ in _leaves(cell.experiment.model_dump(mode="json", exclude_unset=True))}
        then = dict(_leaves(self.spec))
        same = all(key in now and now[key] == value for key, value in then.items() if key not in idle)
        return same and not any(key in named for key in now if key not in then)


def _leaves(value: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested tables and lists by their keys, as ``stage.0.epochs``."""
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if entries is None:
        yield before, value
        return
    for key, entry in entries:
        yield from _leaves(entry, f"{before}.{key}" if before else str(key))


def measured(cell: Cell, run: Run, threads: int) -> Measured:
    """What is kept of a cell, from the finished run of it."""
    (job,) = run.jobs
    rows, last, info, spec = job.metrics, job.last, run.info, cell.spec
    assert last is not None  # it is finished
    first, *further = (measure.key for measure in cell.setting.output.measures)
    curve: dict[str, list[Any]] = {part: [row.get(f"{part}_{first}") for row in rows] for part in ("train", "valid", "test")}
    shorter = "" if cell.epochs is None else f" --epochs {cell.epochs}"
    more = "" if cell.seed == 0 else f" --seeds {cell.seed + 1}"
    return Measured(
        row=cell.row, condition=cell.condition, seed=cell.seed, asked_epochs=cell.epochs, spec=spec, sha256=checksum(spec),
        epochs=last["epoch"], kept_epoch=last["kept_epoch"],
        train_error=curve["train"], valid_error=curve["valid"] if curve["valid"][0] is not None else None,
        test_error=curve["test"], angle_to_dfa=last.get("angle_to_dfa"), angle_to_bp=last.get("angle_to_bp"),
        feedback_angle=_angles(last.get("alignment")), signal_cosine=last.get("signal_cosine"),
        signal_cosine_sd=last.get("signal_cosine_sd"), signal_rank=last.get("signal_rank"),
        gradient_rank=last.get("gradient_rank"), measure=first,
        others={key: last.get(f"test_{key}") for key in further}, seconds=last["seconds"], threads=threads,
        command=f"{command(cell.paper, cell.row)} --rules {cell.condition}{more}{shorter}",
        started=info["started"], versions=info["versions"], git_revision=info["git_revision"], platform=info["platform"],
        data=info["data"],
    )  # fmt: skip


def command(paper: str, row: str) -> str:
    """The command that trains a row of a paper."""
    return f"localdfa paper{'' if paper == DEFAULT else f' --of {paper}'} {row}"


def _angles(cosines: list[float | None] | None) -> list[float | None] | None:
    """The angle of each cosine, in degrees."""
    return None if cosines is None else [None if cosine is None else degrees(cosine) for cosine in cosines]


def keep(folder: Path, found: Measured, cell: Cell) -> None:
    """Write what is kept of a cell to its file in a folder of results."""
    write_json(folder / f"{cell.name}.json", found.model_dump())


def kept(folder: Path) -> list[Measured]:
    """All that is kept in a folder of results; nothing where there is no such folder.

    Raises
    ------
    RunError
        A file is damaged, or not one of these.
    """
    return [_kept(path) for path in sorted(folder.rglob("*.json"))]


def _kept(path: Path) -> Measured:
    def checked(path: Path) -> Measured:
        try:
            found = Measured.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(first_wrong(error)) from None
        if found.sha256 != checksum(found.spec):
            raise ValueError("the SHA-256 is not that of its spec")
        if not len(found.train_error) == len(found.test_error) == found.epochs + 1 or found.kept_epoch > found.epochs:
            raise ValueError(f"the curves are not of {found.epochs} epochs")
        return found

    return read(path, checked)


def find(results: Iterable[Measured], cell: Cell) -> Measured | None:
    """What is kept of a cell, of several the last; None where nothing is, or of another spec alone."""
    same = [
        each
        for each in results
        if (each.row, each.condition, each.seed, each.asked_epochs) == (cell.row, cell.condition, cell.seed, cell.epochs)
        and each.is_of(cell)
    ]
    return same[-1] if same else None
