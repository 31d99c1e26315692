"""From TOML or Python to a validated experiment."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from localdfa import registry, toml
from localdfa.errors import DataError, SpecError, clipped, quoted
from localdfa.spec import checks, defaults, derived, models, modules, records, unread
from localdfa.spec.messages import joined, lines_of
from localdfa.spec.tables import Condition, Experiment, ModuleTable, Optimiser, Preprocess, Setting

# No spec has tables that are nested so deep.
_DEEPEST = 20
# What data of the user's own begin with, before their path.
_OWN = "npz:"
_Table = TypeVar("_Table", bound=BaseModel)


def bundled() -> dict[str, Path]:
    """The experiments that come with localdfa: name -> file. Those of a paper lie in its folder, and are called PAPER/ROW."""
    from localdfa import sims

    found = {}
    for folder in map(Path, sims.__path__):
        for path in [*sorted(folder.glob("*.toml")), *sorted(folder.glob("*/*.toml"))]:
            if path.name != "paper.toml" and path.parent.name != "circuits":
                found[path.relative_to(folder).with_suffix("").as_posix()] = path
    return found


def circuits() -> dict[str, Path]:
    """The circuits that come with localdfa, which are simulated and learn nothing: name -> file."""
    from localdfa import sims

    return {path.stem: path for each in sims.__path__ for path in sorted((Path(each) / "circuits").glob("*.toml"))}


def circuit_title(name: str) -> str:
    """What a bundled circuit is: the comment that its file begins with, up to the source that it names."""
    lines = circuits()[name].read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#")).partition(":")[0]


def find(name: str) -> Path:
    """The file of a bundled experiment, or the path itself where `name` is one.

    Raises
    ------
    SpecError
        There is no such file or experiment.
    """
    path = Path(name)
    if path.suffix == ".toml":
        try:
            there = path.is_file()
        except (OSError, ValueError) as error:  # longer than a path may be, or with a null byte
            raise SpecError(f"{clipped(str(path))}: {getattr(error, 'strerror', None) or error}") from None
        if not there:
            near = registry.nearest(name, beside(name))
            raise SpecError(f"{clipped(str(path))}: there is no such file{f'; did you mean {near!r}?' if near else ''}")
        return path
    known = bundled()
    if name not in known:
        near = registry.nearest(name, [*known, *beside(name)])
        papers = dict.fromkeys(each.partition("/")[0] for each in known if "/" in each)
        raise SpecError(
            f"experiment {quoted(name)} is not one of {', '.join(each for each in known if '/' not in each)}, nor PAPER/ROW "
            f"of one of {', '.join(papers)}{f'; did you mean {near!r}?' if near else ''}; or give the path of a .toml file"
        )
    return known[name]


def beside(name: str) -> list[str]:
    """The .toml files in the folder where a path would lie, written as it is."""
    try:
        return [str(path) for path in sorted(Path(name).parent.glob("*.toml"))]
    except (OSError, ValueError):  # longer than a path may be, or with a null byte
        return []


def title(name: str) -> str:
    """The title of a bundled experiment, which is read without looking at the rest of it."""
    return str(toml.loads(find(name).read_text(encoding="utf-8"))["title"])


def load(
    name: str, overrides: Iterable[str] = (), take_in: Callable[[str, Path], None] = registry.add
) -> Experiment:  # fmt: skip
    """The experiment of a bundled name or a TOML file, with overrides ``key=value`` (TOML values) laid over it.

    Paths in overrides start from the working directory, those in a file from its folder (`with_absolute_paths`).

    take_in: what is done with the files of models that it names, by family; they are executed, as the spec is the user's own.

    Raises
    ------
    SpecError
        The file cannot be read, or it or an override is not valid.
    """
    path, overrides = find(name), list(overrides)
    tables = _read(path)
    for override in overrides:
        given, here = parsed(override), Path.cwd()
        tables = laid_over(tables, with_absolute_paths(_with_models(given, "", here), here))
    try:
        return _experiment(tables, f"{path}: ", take_in)
    except SpecError as error:
        raise SpecError(_as_options(str(error)) if overrides else str(error)) from None


def take_in_models(name: str) -> None:
    """Take in the files of models that the spec of a bundled name or a TOML file names; nothing else of it is looked at.

    The files are executed. So their models can be tried although no experiment uses them yet.

    Raises
    ------
    SpecError
        The spec or a file cannot be read, or a file sets no model.
    """
    path = find(name)
    _take_in(_read(path).get("models"), f"{path}: ", registry.add)


def untaken(name: str, overrides: Iterable[str]) -> list[str]:
    """What to say of overrides that conditions of an experiment do not take, as they have values of their own: a line each.

    The experiment is one that `load` accepts with these overrides.
    """
    tables, overrides = _read(find(name)), list(overrides)
    for override in overrides:
        tables = laid_over(tables, parsed(override))
    lines, conditions = [], tables.get("condition", [])
    for override in overrides:
        by_reason: dict[str, list[str]] = {}
        for key, value in leaves(parsed(override)):
            for condition in conditions if key[0] != "condition" else []:
                if reason := _own_key(tables, condition, key, value):
                    by_reason.setdefault(reason, []).append(condition["name"])
        for reason, names in by_reason.items():
            which = f"condition{'s' * (len(names) > 1)} {', '.join(names)}"
            if len(names) == len(conditions):
                lines.append(f"--set {clipped(override)} has no effect: every condition has its own {reason}")
            else:
                has = "which has its" if len(names) == 1 else "which have their"
                lines.append(f"--set {clipped(override)} is not taken by {which}, {has} own {reason}")
    return lines


def _own_key(tables: Mapping[str, Any], condition: Mapping[str, Any], key: tuple[str, ...], value: Any) -> str | None:
    """The key of a condition because of which it does not take a value that is set for all; None where it takes it."""
    entry: Any = condition
    for depth, part in enumerate(key):
        if not isinstance(entry, Mapping):
            return ".".join(key[:depth])
        if part not in entry:
            break
        entry = entry[part]
    else:
        return ".".join(key) if entry != value else None
    base = {table: entries for table, entries in tables.items() if table != "condition"}
    if key[0] == "neuron" and _names_another(base, condition, "network", "neuron", models.NEURON):
        return "network.neuron"
    of_model = key[0] == "optimiser" and key[-1] not in Optimiser.model_fields
    if of_model and _names_another(base, condition, "optimiser", "name", models.OPTIMISER):
        return "optimiser.name"
    return None


def leaves(tables: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The keys of nested tables, and their values that are no tables."""
    for key, value in tables.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*before, key))
        else:
            yield (*before, key), value


def _as_options(message: str) -> str:
    """A message in which what to write, `key = value`, is as the command line has it."""

    def option(match: re.Match[str]) -> str:
        key, value = match[1], match[2]
        plain = re.fullmatch(r'"([A-Za-z][\w.-]*)"', value)
        if plain and plain[1] not in ("true", "false", "inf", "nan"):
            value = plain[1]
        return f"--set {shlex.quote(f'{key}={value}')}"

    return re.sub(r"`([\w.]+) = ([^`]+)`", option, message)


def _read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    return _with_models(_plain(toml.read(path), f"{path}: "), f"{path}: ", path.parent)


def asked(what: Experiment | str | Path | Mapping[str, Any]) -> tuple[Experiment, Path | None]:
    """An experiment, and its file where it has one, of whatever stands for it: itself, its tables, a bundled name or a file.

    Raises
    ------
    SpecError
        There is no such experiment, or it is not valid.
    """
    if isinstance(what, Experiment):
        _take_in(what.models, "", registry.add)  # it may come from another process
        return what, None
    if isinstance(what, (str, Path)):
        return load(str(what)), find(str(what))
    if what is None:  # which `experiment` takes for no tables
        raise SpecError("experiment: None; allowed: tables, the name of an experiment, or the path of a .toml file")
    return experiment(what), None


def experiment(tables: Mapping[str, Any] | None = None, /, *, source: str = "", **more: Any) -> Experiment:
    """Validate an experiment given as nested tables, or as keyword arguments, one a table or key.

    Raises
    ------
    SpecError
        Every key that is wrong, a line each.
    """
    prefix = f"{source}: " if source else ""
    if tables is not None and not isinstance(tables, Mapping):
        raise SpecError(
            f"{prefix}an experiment is a dict of its tables, not {quoted(tables)}; `localdfa.run` takes a file as well"
        )
    return _experiment(_plain({**(tables or {}), **more}, prefix), prefix, registry.add)


def _experiment(tables: dict[str, Any], prefix: str, take_in: Callable[[str, Path], None]) -> Experiment:
    """Validate an experiment; see `experiment` and, for take_in, `load`."""
    if "population" in tables:
        raise SpecError(
            f"{prefix}a circuit, as it has populations, and no experiment; it is simulated by `localdfa simulate`, in Python "
            f"by localdfa.Circuit.from_toml(PATH).run"
        )
    tables = _with_models(tables, prefix, Path())
    _take_in(tables.get("models"), prefix, take_in)
    try:
        experiment = Experiment.model_validate(tables)
    except ValidationError as error:
        raise SpecError(joined(prefix, [*lines_of(error, Experiment), *_wrong_models(tables)])) from None
    names = [condition.name for condition in experiment.condition]
    for name in names:
        if [other.lower() for other in names].count(name.lower()) > 1:
            raise SpecError(
                f"{prefix}condition.name: {name!r} stands for more than one condition; allowed: names that differ, and not "
                f"only in case"
            )
    if len(set(experiment.seeds)) < len(experiment.seeds):
        raise SpecError(f"{prefix}seeds: {quoted(experiment.seeds)} names a seed twice; allowed: different seeds")
    try:
        records.kept(experiment.record)
    except ValueError as error:
        raise SpecError(f"{prefix}{error}") from None
    conditions = settings(experiment, prefix)
    # What every condition replaces, as each may have its own rule, has to be right as well.
    if experiment.condition and (wrong := models.wrong_in({key: value for key, value in tables.items() if key != "condition"})):
        raise SpecError(joined(prefix, wrong))
    try:
        checks.of_one_kind(conditions)
    except ValueError as error:
        raise SpecError(f"{prefix}{error}") from None
    idle = [name for name, setting in conditions.items() if derived.trains_nothing(setting)]
    own = {condition.name for condition in experiment.condition if "rule" in condition.changes}
    for name in idle if len(idle) == len(conditions) else [name for name in idle if name in own]:
        where = f"condition {name!r}: " if experiment.condition else ""
        rules = ", ".join(dict.fromkeys(rule for _, rule in derived.rules_of(conditions[name])))
        named = quoted(conditions[name].rule)
        raise SpecError(f"{prefix}{where}rule: {named} trains no stage, as each names its own; leave it out, or say {rules}")
    for condition in experiment.condition:
        for rule in condition.changes.get("rules", {}):
            if ("rules", rule) not in derived.uses(conditions[condition.name]):
                raise SpecError(f"{prefix}condition {condition.name!r}: rules.{rule}: it does not train with the rule {rule!r}")
    for rule in experiment.rules:
        if not any(("rules", rule) in derived.uses(setting) for setting in conditions.values()):
            raise SpecError(f"{prefix}rules.{rule}: no condition trains with the rule {rule!r}")
    if of_modules := {name: setting for name, setting in conditions.items() if not setting.of_layers}:
        try:
            modules.check_whole(experiment, of_modules)
        except ValueError as error:
            raise SpecError(joined(prefix, str(error).splitlines())) from None
    if experiment.preprocess.whiten and experiment.preprocess.standardise:
        raise SpecError(
            f"{prefix}preprocess.standardise: true does not go with preprocess.whiten = true, which gives inputs their "
            f"variance; allowed with it: false"
        )
    epsilon, plain = experiment.preprocess.whiten_epsilon, Preprocess.model_fields["whiten_epsilon"].default
    if epsilon != plain and not experiment.preprocess.whiten:
        raise SpecError(
            f"{prefix}preprocess.whiten_epsilon: {epsilon:g} is read with preprocess.whiten = true; allowed here: {plain:g}"
        )
    if unused := _unused(experiment):
        raise SpecError(f"{prefix}{unused}")
    for name, setting in conditions.items():
        try:
            records.recorded(experiment.record, setting)
        except ValueError as error:
            raise SpecError(f"{prefix}{f'condition {name!r}: ' * bool(experiment.condition)}{error}") from None
    if nowhere := records.nowhere_recorded(experiment.record, conditions.values()):
        raise SpecError(f"{prefix}{nowhere}")
    try:
        unread.check(conditions, {condition.name: condition.changes for condition in experiment.condition})
    except ValueError as error:
        raise SpecError(f"{prefix}{error}") from None
    return experiment


def table(model: type[_Table], given: Mapping[str, Any]) -> _Table:
    """One table of a spec by itself, with its defaults, checked as in a spec.

    Raises
    ------
    SpecError
        A key that the table does not have, or a value that is not allowed.
    """
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise SpecError(joined("", lines_of(error, model))) from None


def _with_models(tables: dict[str, Any], prefix: str, base: Path) -> dict[str, Any]:
    """Tables in which the paths of models are absolute; base: the folder that they start from."""
    if not isinstance(named := tables.get("models"), Mapping):
        return tables
    absolute = {}
    for family, paths in named.items():
        absolute[family] = paths
        if isinstance(paths, list) and all(isinstance(path, str) for path in paths):
            try:
                absolute[family] = [str((base / Path(path).expanduser()).resolve()) for path in paths]
            except (OSError, ValueError, RuntimeError) as error:
                raise SpecError(f"{prefix}models.{clipped(str(family))}: {quoted(paths)}: {error}") from None
    return {**tables, "models": absolute}


def with_absolute_paths(tables: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Tables in which the paths of own data and of runs that networks start from are absolute; base: where they start from.

    Raises
    ------
    DataError
        There can be no such path.
    """

    def absolute(key: str, path: str) -> str:
        try:
            return str((base / Path(path).expanduser()).resolve())
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{key}: {path!r}: {error}") from None

    found = dict(tables)
    if isinstance(data := found.get("data"), str) and data.startswith(_OWN):
        found["data"] = f"{_OWN}{absolute('data', data.removeprefix(_OWN))}"
    network = found.get("network")
    if isinstance(network, Mapping) and isinstance(path := network.get("from_run"), str) and path:
        found["network"] = {**network, "from_run": absolute("network.from_run", path)}
    if isinstance(conditions := found.get("condition"), list):
        found["condition"] = [with_absolute_paths(each, base) if isinstance(each, Mapping) else each for each in conditions]
    return found


def _take_in(named: Any, prefix: str, take_in: Callable[[str, Path], None]) -> None:
    """Have the files of models taken in, before what the models bring is looked at; types are checked elsewhere."""
    for family, paths in named.items() if isinstance(named, Mapping) else ():
        if family not in registry.FAMILIES:
            raise SpecError(
                f"{prefix}unknown key models.{clipped(str(family))}: {registry.unknown(family, [*registry.FAMILIES])}"
            )
        for path in paths if isinstance(paths, list) else ():
            if isinstance(path, str):
                try:
                    take_in(family, Path(path))
                except SpecError as error:
                    raise SpecError(f"{prefix}models.{family}: {error}") from None


def uses(experiment: Experiment) -> set[tuple[str, str]]:
    """The models of an experiment: family and name."""
    used = {model for setting in settings(experiment).values() for model in derived.uses(setting)}
    used |= {("recorders", name) for name in experiment.record.asked}
    return used | ({("data", experiment.data)} if experiment.data in registry.names("data") else set())


def _unused(experiment: Experiment) -> str | None:
    """A file of models that nothing in an experiment uses, as ``key: reason``; None where there is none."""
    used = uses(experiment)
    for family, paths in experiment.models.items():
        for path in paths:
            if (family, name := registry.name_of(family, Path(path))) not in used:
                return f"models.{family}: {clipped(path)}: no condition uses {name!r}; leave the file out, or name its model"
    return None


def _plain(value: Any, prefix: str, where: tuple[str, ...] = ()) -> Any:
    """Tables, lists and numbers as TOML has them: tuples, ranges and NumPy's numbers and arrays are welcome, too."""
    if len(where) > _DEEPEST:
        key = clipped(".".join(where))
        raise SpecError(f"{prefix}{key}: nested more than {_DEEPEST} deep, which no spec is; does it hold itself?")
    if isinstance(value, Mapping):
        return {key: _plain(entry, prefix, (*where, str(key))) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(entry, prefix, (*where, str(i))) for i, entry in enumerate(value)]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def settings(experiment: Experiment, prefix: str = "") -> dict[str, Setting]:
    """The setting of each condition by name; an experiment without conditions has one, named after its rule,
    or the rules of its stages where each names its own.

    What is left out that follows other keys stands in it (`defaults`).

    Raises
    ------
    SpecError
        What is wrong with a setting, a line each.
    """
    result, wrong = {}, dict[str, str]()
    for name, tables in _tables(experiment).items():
        try:
            result[name] = _setting(tables)
        except SpecError as error:
            for line in str(error).splitlines():
                wrong.setdefault(line, f"condition {name!r}: " if experiment.condition else "")
    if wrong:
        raise SpecError(joined(prefix, [condition + line for line, condition in wrong.items()]))
    return result


def spelled_out(experiment: Experiment) -> Experiment:
    """An experiment that is right, with what its settings say of keys that it leaves out, in itself or its conditions.

    It cannot be told then which keys follow others, so grids and searches go on from the experiment itself.
    """
    if not experiment.condition:
        return defaults.completed(experiment)
    conditions = []
    for condition, tables in zip(experiment.condition, _tables(experiment).values(), strict=True):
        changes = laid_over(condition.changes, defaults.left_out(Setting.model_validate(tables)))
        conditions.append(Condition.model_validate({"name": condition.name, **changes}))
    return experiment.model_copy(update={"condition": conditions})


def unread_by(setting: Setting) -> set[tuple[str, str]]:
    """The keys, by table and name, that a setting does not read under its rules."""
    return unread.unread(setting) if setting.of_layers else modules.idle(setting)


def reads(setting: Setting, key: str) -> bool:
    """Whether a setting reads a key, as ``phases.beta``, under its rules; ``rules.X.…`` is read by what trains with X."""
    table, *names = key.split(".")
    if table == "rules":
        return bool(names) and ("rules", names[0]) in derived.uses(setting)
    return (table, *names) not in unread_by(setting)


def differing(found: Mapping[str, Setting]) -> dict[str, dict[str, Any]]:
    """Of each setting the keys, as ``phases.beta``, that are not alike in all, but the rule and what is not read under it.

    Of lists of as many tables in all settings they are those of each table, as ``stage[0].epochs``.
    """
    said = dict[str, dict[str, Any]]()
    for name, setting in found.items():
        idle, entries = unread_by(setting), leaves(setting.model_dump(mode="json", exclude={"rule"}))
        said[name] = {".".join(key): value for key, value in entries if key not in idle}
    for key in dict.fromkeys(key for tables in said.values() for key in tables):
        lists = [tables[key] for tables in said.values() if key in tables]
        if all(_of_tables(each) and len(each) == len(lists[0]) for each in lists):
            for name, tables in said.items():
                said[name] = _opened(tables, key)
    keys = dict.fromkeys(key for tables in said.values() for key in tables)
    apart = [key for key in keys if len({json.dumps(tables.get(key)) for tables in said.values() if key in tables}) > 1]
    return {name: {key: tables[key] for key in apart if key in tables} for name, tables in said.items()}


def _of_tables(value: Any) -> bool:
    """Whether this is a list of tables, as stages are."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _opened(tables: Mapping[str, Any], key: str) -> dict[str, Any]:
    """With the keys of each table in a list in the place of the list, where it is there."""
    found = dict[str, Any]()
    for name, value in tables.items():
        if name == key:
            found |= {f"{key}[{i}].{own}": each for i, table in enumerate(value) for own, each in table.items()}
        else:
            found[name] = value
    return found


def _setting(tables: Mapping[str, Any]) -> Setting:
    """One setting, checked and completed."""
    try:
        setting = Setting.model_validate(tables)
    except ValidationError as error:
        raise SpecError(joined("", [*lines_of(error, Setting), *models.wrong_in(tables)])) from None
    if wrong := models.wrong_in(tables):
        raise SpecError(joined("", wrong))
    setting = defaults.completed(setting)
    try:
        (checks if setting.of_layers else modules).check(setting)
    except ValueError as error:
        raise SpecError(str(error)) from None
    return setting


def _tables(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """The tables of each condition by its name, or those of the experiment by its rule, or the rules of its stages."""
    keys = set(Setting.model_fields)
    base = {k: v for k, v in experiment.model_dump(exclude_unset=True).items() if k in keys}
    if not experiment.condition:
        return {derived.name_of(experiment): base}
    return {c.name: laid_over(_without_parameters(base, c), c.changes) for c in experiment.condition}


def _wrong_models(tables: Mapping[str, Any]) -> list[str]:
    """What is wrong with models in tables that are not right otherwise; of conditions nothing can be said yet."""
    return [] if tables.get("condition") else models.wrong_in(tables)


def _without_parameters(base: dict[str, Any], condition: Condition) -> dict[str, Any]:
    """The base without the parameters of a neuron or optimiser in whose place the condition names another."""
    base = dict(base)
    if _names_another(base, condition.changes, "network", "neuron", models.NEURON):
        base.pop("neuron", None)
    if _names_another(base, condition.changes, "module", "name", ""):
        base["module"] = {key: value for key, value in base.get("module", {}).items() if key in ModuleTable.model_fields}
    if _names_another(base, condition.changes, "optimiser", "name", models.OPTIMISER):
        base["optimiser"] = {key: value for key, value in base.get("optimiser", {}).items() if key in Optimiser.model_fields}
    return base


def _names_another(base: Mapping[str, Any], changes: Mapping[str, Any], table: str, key: str, default: str) -> bool:
    named = changes.get(table)
    return isinstance(named, Mapping) and named.get(key) not in (None, base.get(table, {}).get(key, default))


def laid_over(base: Any, changes: Any) -> Any:
    """Tables merged key by key; anything else is replaced."""
    if not (isinstance(base, Mapping) and isinstance(changes, Mapping)):
        return changes
    return {**base, **{key: laid_over(base.get(key), value) for key, value in changes.items()}}


def parsed(override: str) -> dict[str, Any]:
    """The tables that ``key=value`` stands for; a value that is no TOML is taken as text."""
    key, equals, value = override.partition("=")
    key, shown = key.strip(), clipped(override)
    if not equals or not key:
        raise SpecError(f"--set {shown}: write it as key=value, for instance network.hidden=[200,200]")
    if "\n" not in override:
        for text in (value, json.dumps(value)):
            try:
                found = toml.loads(f"{key} = {text}")
            except (ValueError, RecursionError):
                continue
            if text != value and (left := _unclosed(value)):
                raise SpecError(
                    f"--set {shown}: the {left} is not closed; a text that begins so stands in quotes: "
                    f"--set {shlex.quote(f'{key}={json.dumps(value.strip())}')}"
                )
            return dict(_plain(found, f"--set {shown}: "))
    raise SpecError(f"--set {shown}: {quoted(key)} is not a key or {quoted(value)} not a value")


def _unclosed(value: str) -> str | None:
    """What nothing closes in a list, table or text of TOML: a bracket or quotation mark; None where all is closed."""
    value = value.strip()
    if value[:1] not in ("[", "{", '"', "'"):
        return None
    opened, quote, escaped = list[str](), "", False
    for sign in value:
        if quote:
            escaped, ends = sign == "\\" and quote == '"' and not escaped, sign == quote and not escaped
            quote = "" if ends else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[{":
            opened.append(sign)
        elif sign in "]}" and opened and opened[-1] == {"]": "[", "}": "{"}[sign]:
            opened.pop()
    return f"quotation mark {quote}" if quote else f"bracket {opened[-1]}" if opened else None
