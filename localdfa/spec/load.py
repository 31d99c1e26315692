"""From TOML or Python to a validated experiment, and from what is wrong to one clear message."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from localdfa import registry, toml
from localdfa.errors import SpecError, clipped, quoted
from localdfa.spec import checks, defaults, modules, unread
from localdfa.spec.tables import Condition, Experiment, ModuleTable, Optimiser, Preprocess, Record, Setting, record_table

# No spec has tables that are nested so deep.
_DEEPEST = 20
# Where in the tables of a spec something is wrong: keys, and indices in lists.
Location = tuple[int | str, ...]
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

    take_in: what is done with the files of models that it names, by family; they are executed, as the spec is the user's own.

    Raises
    ------
    SpecError
        The file cannot be read, or it or an override is not valid.
    """
    path, overrides = find(name), list(overrides)
    tables = _read(path)
    for override in overrides:
        tables = laid_over(tables, parsed(override))
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
    if key[0] == "neuron" and _names_another(base, condition, "network", "neuron", checks.NEURON):
        return "network.neuron"
    of_model = key[0] == "optimiser" and key[-1] not in Optimiser.model_fields
    if of_model and _names_another(base, condition, "optimiser", "name", checks.OPTIMISER):
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
        raise SpecError(_joined(prefix, [*_lines(error, Experiment), *_wrong_models(tables)])) from None
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
        checks.kept(experiment.record)
    except ValueError as error:
        raise SpecError(f"{prefix}{error}") from None
    conditions = settings(experiment, prefix)
    # What every condition replaces, as each may have its own rule, has to be right as well.
    if experiment.condition and (wrong := checks.models({key: value for key, value in tables.items() if key != "condition"})):
        raise SpecError(_joined(prefix, wrong))
    try:
        checks.of_one_kind(conditions)
    except ValueError as error:
        raise SpecError(f"{prefix}{error}") from None
    idle = [name for name, setting in conditions.items() if checks.trains_nothing(setting)]
    own = {condition.name for condition in experiment.condition if "rule" in condition.changes}
    for name in idle if len(idle) == len(conditions) else [name for name in idle if name in own]:
        where = f"condition {name!r}: " if experiment.condition else ""
        rules = ", ".join(dict.fromkeys(rule for _, rule in checks.rules_of(conditions[name])))
        named = quoted(conditions[name].rule)
        raise SpecError(f"{prefix}{where}rule: {named} trains no stage, as each names its own; leave it out, or say {rules}")
    for condition in experiment.condition:
        for rule in condition.changes.get("rules", {}):
            if ("rules", rule) not in checks.uses(conditions[condition.name]):
                raise SpecError(f"{prefix}condition {condition.name!r}: rules.{rule}: it does not train with the rule {rule!r}")
    for rule in experiment.rules:
        if not any(("rules", rule) in checks.uses(setting) for setting in conditions.values()):
            raise SpecError(f"{prefix}rules.{rule}: no condition trains with the rule {rule!r}")
    if of_modules := {name: setting for name, setting in conditions.items() if not setting.of_layers}:
        try:
            modules.check_whole(experiment, of_modules)
        except ValueError as error:
            raise SpecError(_joined(prefix, str(error).splitlines())) from None
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
            checks.recorded(experiment.record, setting)
        except ValueError as error:
            raise SpecError(f"{prefix}{f'condition {name!r}: ' * bool(experiment.condition)}{error}") from None
    if nowhere := checks.nowhere_recorded(experiment.record, conditions.values()):
        raise SpecError(f"{prefix}{nowhere}")
    try:
        unread.check(conditions, {condition.name: condition.changes for condition in experiment.condition})
    except ValueError as error:
        raise SpecError(f"{prefix}{error}") from None
    return _spelled_out(experiment)


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
        raise SpecError(_joined("", _lines(error, model))) from None


def _with_models(tables: dict[str, Any], prefix: str, base: Path) -> dict[str, Any]:
    """Tables in which the paths of models are absolute; base: the folder that they start from."""
    if not isinstance(models := tables.get("models"), Mapping):
        return tables
    absolute = {}
    for family, paths in models.items():
        absolute[family] = paths
        if isinstance(paths, list) and all(isinstance(path, str) for path in paths):
            try:
                absolute[family] = [str((base / Path(path).expanduser()).resolve()) for path in paths]
            except (OSError, ValueError, RuntimeError) as error:
                raise SpecError(f"{prefix}models.{clipped(str(family))}: {quoted(paths)}: {error}") from None
    return {**tables, "models": absolute}


def _take_in(models: Any, prefix: str, take_in: Callable[[str, Path], None]) -> None:
    """Have the files of models taken in, before what the models bring is looked at; types are checked elsewhere."""
    for family, paths in models.items() if isinstance(models, Mapping) else ():
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
    models = {model for setting in settings(experiment).values() for model in checks.uses(setting)}
    models |= {("recorders", name) for name in experiment.record.asked}
    return models | ({("data", experiment.data)} if experiment.data in registry.names("data") else set())


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
        raise SpecError(_joined(prefix, [condition + line for line, condition in wrong.items()]))
    return result


def unread_by(setting: Setting) -> set[tuple[str, str]]:
    """The keys, by table and name, that a setting does not read under its rules."""
    return unread.unread(setting) if setting.of_layers else modules.idle(setting)


def reads(setting: Setting, key: str) -> bool:
    """Whether a setting reads a key, as ``phases.beta``, under its rules; ``rules.X.…`` is read by what trains with X."""
    table, *names = key.split(".")
    if table == "rules":
        return bool(names) and ("rules", names[0]) in checks.uses(setting)
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
        raise SpecError(_joined("", [*_lines(error, Setting), *checks.models(tables)])) from None
    if wrong := checks.models(tables):
        raise SpecError(_joined("", wrong))
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
        return {checks.name_of(experiment): base}
    return {c.name: laid_over(_without_parameters(base, c), c.changes) for c in experiment.condition}


def _wrong_models(tables: Mapping[str, Any]) -> list[str]:
    """What is wrong with models in tables that are not right otherwise; of conditions nothing can be said yet."""
    return [] if tables.get("condition") else checks.models(tables)


def _spelled_out(experiment: Experiment) -> Experiment:
    """The experiment, whose settings are right, with what they say of keys that it leaves out, in itself or its conditions."""
    if not experiment.condition:
        return defaults.completed(experiment)
    conditions = []
    for condition, tables in zip(experiment.condition, _tables(experiment).values(), strict=True):
        changes = laid_over(condition.changes, defaults.left_out(Setting.model_validate(tables)))
        conditions.append(Condition.model_validate({"name": condition.name, **changes}))
    return experiment.model_copy(update={"condition": conditions})


def _without_parameters(base: dict[str, Any], condition: Condition) -> dict[str, Any]:
    """The base without the parameters of a neuron or optimiser in whose place the condition names another."""
    base = dict(base)
    if _names_another(base, condition.changes, "network", "neuron", checks.NEURON):
        base.pop("neuron", None)
    if _names_another(base, condition.changes, "module", "name", ""):
        base["module"] = {key: value for key, value in base.get("module", {}).items() if key in ModuleTable.model_fields}
    if _names_another(base, condition.changes, "optimiser", "name", checks.OPTIMISER):
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


def _joined(prefix: str, lines: Iterable[str]) -> str:
    """Lines as one message, none of them twice."""
    return prefix + "\n".join(dict.fromkeys(lines))


def _lines(error: ValidationError, model: type[BaseModel]) -> list[str]:
    return [_line(entry, model) for entry in error.errors()]


def _line(entry: ErrorDetails, model: type[BaseModel]) -> str:
    """One thing that is wrong: key, value, what is allowed, what was most likely meant."""
    location, kind, value = entry["loc"], entry["type"], entry["input"]
    where = _key(location)
    if kind == "extra_forbidden":
        return f"unknown key {where}: {_unknown(location, value, model)}"
    if kind == "literal_error":
        allowed = [name.strip(" '") for name in entry["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return checks.unknown(where, value, allowed)
    if kind == "missing":
        return f"{where}: missing"
    if kind in ("model_type", "dict_type"):
        reason = _no_table(location, value, model)
    elif kind == "list_type":
        reason = f"it is a list{_as_list(location, value, model)}"
    elif kind == "too_short":
        least = entry["ctx"]["min_length"]
        reason = f"it has at least {least} {'entry' if least == 1 else 'entries'}{_for_instance(location, model)}"
    elif kind == "string_pattern_mismatch":  # of names alone
        near = re.sub("[^A-Za-z0-9_.+-]+", "-", str(value)[:60]).strip("_.+-")
        reason = "a name has letters from a to z, digits and the signs _ . + -, and begins with a letter or digit"
        reason += f"; did you mean {near!r}?" if near else ""
    else:
        reason = entry["msg"].removeprefix("Value error, ")
        reason = reason[0].lower() + reason[1:] + _of_another_type(location, value, model)
    return f"{where}: {quoted(value)} is not allowed: {reason}"


def _no_table(location: Location, value: Any, model: type[BaseModel]) -> str:
    """What to say of a value that stands where a table does: its keys, and the key of which this may be the value."""
    inner, name = _within(model, location), str(location[-1])  # of a table with keys of any name, inner is None
    reason = f"it is a table of the keys {', '.join(inner.model_fields)}" if inner else "it is a table of parameters"
    if inner is Condition:
        reason += ", and of those that the condition changes"
        if isinstance(value, str) and value in registry.names("rules"):
            reason += f"; did you mean {{name = {_toml(value)}, rule = {_toml(value)}}}?"
    if inner is Optimiser:
        reason += " and the optimiser's parameters"
    if not isinstance(value, str) or isinstance(location[-1], int):
        return reason
    if inner and value in inner.model_fields:
        default = inner.model_fields[value].default
        return f"{reason}; did you mean {_way(f'{name}.{value}', True if default is False else default)}?"
    names = _names()
    here = {each: of_table for each, keys in names.items() if (of_table := [key for key in keys if name in key.split(".")])}
    meant = registry.nearest(value, here) or registry.nearest(value, names)
    if meant is None:
        return reason
    return f"{reason}; did you mean {' or '.join(_way(key, meant) for key in here.get(meant, names[meant]))}?"


def _names() -> dict[str, list[str]]:
    """The keys that each name can be the value of, be it of a model or one of a few words."""
    keys_of: dict[str, list[str]] = {}
    for key, package in checks.MODELS.items():
        for name in registry.names(package):
            keys_of.setdefault(name, []).append(key)
    for table, field in Setting.model_fields.items():
        inner = table_of(field.annotation)
        for key, key_field in inner.model_fields.items() if inner and "list" not in str(field.annotation)[:4] else ():
            for name in get_args(key_field.annotation):
                if isinstance(name, str):
                    keys_of.setdefault(name, []).append(f"{table}.{key}")
    return keys_of


def _as_list(location: Location, value: Any, model: type[BaseModel]) -> str:
    """How to write the list that a key wants, in whose place there is a value."""
    table, key = _within(model, location[:-1]), location[-1]
    if table is None or key not in table.model_fields:  # a table with keys of any name
        return f"; write [{_toml(value)}]" if _toml(value) else ""
    entry = _entry(table.model_fields[key].annotation)
    if entry is None:
        found = _from_toml(value)
        candidates = [found if isinstance(found, list) else [found]]
    elif isinstance(value, Mapping):
        candidates = [[value]]
    else:
        candidates = [[{**_required(entry), entry_key: value}] for entry_key in entry.model_fields]
    meant = next((each for each in candidates if _toml(each) and _fits(table, key, each)), None)
    return _for_instance(location, model) if meant is None else f"; did you mean {_way(_key(location), meant)}?"


def _for_instance(location: Location, model: type[BaseModel]) -> str:
    """The list that a key has where it is left out, or one with an entry."""
    field = _within(model, location[:-1]).model_fields[location[-1]]
    entry = _entry(field.annotation)
    example = field.default
    if entry is not None:
        first = next(iter(entry.model_fields.items()))
        example = [_required(entry) or {first[0]: first[1].default}]
    return f"; for instance {_way(_key(location), example)}" if example and _toml(example) else ""


def _of_another_type(location: Location, value: Any, model: type[BaseModel]) -> str:
    """The same value as a text, or a number that was given as one, where the key takes it so."""
    if not location or any(isinstance(part, int) or str(part).startswith("(") for part in location):
        return ""
    if isinstance(value, int) and value.bit_length() > 64:  # as text it may be too long to be written
        return ""
    other = _from_toml(value) if isinstance(value, str) else str(value)
    scalar = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    table = _within(model, location[:-1])  # None of entries that have no names of their own, as those of feedback.bottleneck
    if not scalar or other == value or table is None or not _fits(table, location[-1], other):
        return ""
    return f"; did you mean {_way(_key(location), other)}?"


def _from_toml(value: Any) -> Any:
    """What a text says in TOML, if it says anything but text."""
    if isinstance(value, str) and "\n" not in value and len(value) < 100:
        for text in (value, f"[{value}]"):
            try:
                return toml.loads(f"value = {text}")["value"]
            except (ValueError, RecursionError):
                continue
    return value


def _fits(table: type[BaseModel], key: int | str, value: Any) -> bool:
    """Whether a key of a table takes a value."""
    try:
        table.model_validate({key: value})
    except ValidationError as error:
        return all(entry["loc"][0] != key for entry in error.errors() if entry["loc"])
    return True


def _entry(annotation: Any) -> type[BaseModel] | None:
    """The table that each entry of a list is, or None."""
    first = (get_args(annotation) or (None,))[0]
    return first if hasattr(first, "model_fields") else None


def _required(table: type[BaseModel]) -> dict[str, Any]:
    """Examples of the keys that a table cannot do without."""
    return {key: 1 if field.annotation is int else "a" for key, field in table.model_fields.items() if field.is_required()}


def _way(key: str, value: Any) -> str:
    """What to write in a spec; `load` turns it into an option of the command line."""
    return f"`{key} = {_toml(value) or '...'}`"


def _unknown(location: Location, value: Any, model: type[BaseModel]) -> str:
    """What to say of a key that is not there: where else there is one of this name, or what is spelled like it."""
    name, allowed = str(location[-1]), _keys_at(model, location[:-1])
    if "." in name and name.split(".")[0] in allowed:
        meant = value
        for part in reversed(name.split(".")):
            meant = {part: meant}
        return f"a dict has no keys with points, but tables in tables; did you mean {quoted(meant)}?"
    if name.lower() in map(str.lower, allowed):
        return registry.unknown(name, allowed)
    if model is Setting and len(location) == 1 and name in Experiment.model_fields:
        return f"it is of the experiment as a whole; keys here are {', '.join(allowed)}"
    places = _places()
    meant = name if name in places else registry.synonym(name)
    if meant not in places or meant in allowed:
        return registry.unknown(name, allowed)
    text = _toml(value) or "..."
    ways = [f"`{before}{f'[{text}]' if is_list and not isinstance(value, list) else text}{after}`"
            for before, is_list, after in places[meant]]  # fmt: skip
    return f"there is none of this name here; did you mean {' or '.join(ways)}? Keys here are {', '.join(allowed)}"


def _places() -> dict[str, list[tuple[str, bool, str]]]:
    """Where keys of each name belong: what stands before the value, whether the value is a list, what stands after it."""
    ways_of: dict[str, list[tuple[str, bool, str]]] = {}
    for table, field in Experiment.model_fields.items():
        inner, is_list = table_of(field.annotation), "list" in str(field.annotation)[:4]
        if inner is None or inner is Condition:
            ways_of.setdefault(table, []).insert(0, (f"{table} = ", is_list, ""))
            continue
        for key, key_field in inner.model_fields.items():
            if table == "certify" and key in ways_of:  # what the certificate measures is seldom meant
                continue
            before, after = (f"{table} = [{{{key} = ", "}]") if is_list else (f"{table}.{key} = ", "")
            ways_of.setdefault(key, []).append((before, "list" in str(key_field.annotation)[:4], after))
    for table, package in (("optimiser", "optimisers"), ("neuron", "neurons")):
        for key in dict.fromkeys(key for name in registry.inside(package) for key in registry.get(package, name)._fields):
            ways_of.setdefault(key, []).insert(0, (f"{table}.{key} = ", False, ""))
    return {key: ways[:3] for key, ways in ways_of.items()}


def _toml(value: Any) -> str:
    """A short number, text, or list or table of them as TOML has it; nothing for anything else."""
    text = ""
    if isinstance(value, (bool, float, str)):
        text = json.dumps(value)
    elif isinstance(value, int):
        text = quoted(value)
    elif isinstance(value, BaseModel):
        text = _toml(value.model_dump(exclude_unset=True))
    elif isinstance(value, list) and all(map(_toml, value)):
        text = f"[{', '.join(map(_toml, value))}]"
    elif isinstance(value, Mapping) and value and all(map(_toml, value.values())):
        text = f"{{{', '.join(f'{key} = {_toml(entry)}' for key, entry in value.items())}}}"
    return text if len(text) <= 60 else ""


def _key(location: Location) -> str:
    """``network.hidden[0]`` for ("network", "hidden", 0, "(width)")."""
    text = ""
    for part in _untagged(location):
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return clipped(text)


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that the table at a location may have."""
    return list(_within(model, location).model_fields)


def _within(model: Any, location: Location) -> Any:
    """The table at a location, or None where its keys can have any name."""
    for part in _untagged(location):
        if model is not None and isinstance(part, str):
            model = table_of(model.model_fields[part].annotation)
    return model


def _untagged(location: Location) -> list[int | str]:
    """A location without the tags that tell what kind of entry a list has there."""
    return [part for part in location if not str(part).startswith("(")]


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table in a type such as list[Stage], or None."""
    if annotation is Record:
        return record_table(tuple(registry.names("recorders")))
    if hasattr(annotation, "model_fields"):
        return annotation
    return next(filter(None, map(table_of, getattr(annotation, "__args__", ()))), None)
