"""Papers whose tables localdfa runs: each a folder of ``sims/`` with an experiment for each row, and ``paper.toml``.

``paper.toml`` says which rows a table has, and what the paper reports of each: test errors in percent, by the conditions of the
row's experiment. A *cell* is one condition of a row with one seed (`cells`); `running` trains those that are asked for, in
processes of their own, and `tables` puts what was measured beside the paper's values.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from localdfa import registry, toml
from localdfa.errors import SpecError
from localdfa.files import first_wrong
from localdfa.spec import Experiment, load

# What a paper reports of a row under a condition: mean ± standard deviation of the test error, percent, as it prints them; or
# that it does not learn.
NOT_LEARNED = "does not learn"
# The paper that is meant where none is named.
DEFAULT = "nokland2016"
_Reported = Annotated[str, Field(pattern=rf"^(\d+(\.\d+)? ± \d+(\.\d+)?|{NOT_LEARNED})$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Row(_Part):
    """A row of a table: its experiment, what it is called, and what the paper reports, by condition."""

    name: str
    label: str
    reported: dict[str, _Reported] = {}
    note: str = ""


class Table(_Part):
    """A table of a paper, or a figure of it.

    figures: of `localdfa.analysis`, which are drawn of the runs of each row.

    by_rule: the conditions of a row are named RULE-WHAT, and its table has a line for each WHAT and a column for each rule.
    measure: what of the test set the table shows, as the metrics have it.
    """

    name: str
    title: str
    figures: list[str] = []
    by_rule: bool = False
    measure: str = "error"
    row: list[Row] = Field(min_length=1)


class Paper(_Part):
    """A paper: its citation and its tables; folder: where its experiments lie."""

    title: str
    cite: str
    table: list[Table] = Field(min_length=1)
    folder: Path = Field(strict=False)
    _experiments: dict[str, Experiment] = PrivateAttr(default_factory=dict)

    @property
    def name(self) -> str:
        """As its folder is called."""
        return self.folder.name

    @property
    def rows(self) -> list[Row]:
        """Of all tables, each once."""
        return list({row.name: row for table in reversed(self.table) for row in table.row}.values())

    @property
    def results(self) -> Path:
        """The folder of what was measured by those who made this package, and comes with it."""
        return self.folder.parent / "results" / self.name

    def chosen(self, names: tuple[str, ...]) -> list[Table]:
        """The tables that are named, and those of the rows that are named with no other row; all if none is named.

        Raises
        ------
        SpecError
            No such table or row.
        """
        known = list(dict.fromkeys([*(table.name for table in self.table), *(row.name for row in self.rows)]))
        for name in names:
            if name not in known:
                raise SpecError(f"table, figure or row {registry.unknown(name, known)}")
        found = []
        for table in self.table:
            rows = [row for row in table.row if not names or table.name in names or row.name in names]
            if rows:
                found.append(table.model_copy(update={"row": rows}))
        return found

    def experiment(self, row: Row) -> Experiment:
        """The experiment of a row, read once."""
        if row.name not in self._experiments:
            self._experiments[row.name] = load(str(self.folder / f"{row.name}.toml"))
        return self._experiments[row.name]


def read(folder: Path) -> Paper:
    """The paper in a folder of experiments.

    Raises
    ------
    SpecError
        Its paper.toml cannot be read, or is not as `Paper` says.
    """
    path = folder / "paper.toml"
    tables = toml.read(path)
    try:
        return Paper.model_validate({**tables, "folder": folder})
    except ValidationError as error:
        raise SpecError(f"{path}: {first_wrong(error)}") from None


def names() -> list[str]:
    """The papers that come with localdfa: the folders of ``sims/`` with a ``paper.toml``."""
    return sorted(path.parent.name for path in _sims().glob("*/paper.toml"))


def named(name: str) -> Paper:
    """The paper of this name.

    Raises
    ------
    SpecError
        There is none.
    """
    if name not in names():
        raise SpecError(f"paper {registry.unknown(name, names())}")
    return read(_sims() / name)


def _sims() -> Path:
    from localdfa import sims

    return Path(next(iter(sims.__path__)))
