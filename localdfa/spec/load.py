"""From TOML or Python to a validated experiment, and from what is wrong to one clear message."""

import json
import reprlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from localdfa import registry
from localdfa.errors import SpecError
from localdfa.spec import checks
from localdfa.spec.tables import Condition, Experiment, Optimiser, Setting

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# A spec is written by hand; a larger file is something else.
_LARGEST_SPEC = 1_000_000


def bundled() -> dict[str, Path]:
    """The experiments that come with localdfa: name -> file."""
    from localdfa import sims

    return {path.stem: path for folder in sims.__path__ for path in sorted(Path(folder).glob("*.toml"))}


def find(name: str) -> Path:
    """The file of a bundled experiment, or the path itself where `name` is one.

    Raises
    ------
    SpecError
        There is no such file or experiment.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise SpecError(f"{name}: there is no such file")
        return path
    if name not in bundled():
        raise SpecError(f"experiment {registry.unknown(name, list(bundled()))}; or give the path of a .toml file")
    return bundled()[name]


def title(name: str) -> str:
    """The title of a bundled experiment, which is read without looking at the rest of it."""
    return str(tomllib.loads(find(name).read_text(encoding="utf-8"))["title"])


def load(name: str, overrides: Iterable[str] = ()) -> Experiment:
    """The experiment of a bundled name or a TOML file, with overrides ``key=value`` (TOML values) laid over it.

    Raises
    ------
    SpecError
        The file cannot be read, or it or an override is not valid.
    """
    path = find(name)
    try:
        if path.stat().st_size > _LARGEST_SPEC:
            raise SpecError(f"{path}: larger than {_LARGEST_SPEC} bytes, which no spec is")
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, or a number of 5000 digits
        raise SpecError(f"{path}: cannot be read as TOML: {error}") from None
    for override in overrides:
        tables = _laid_over(tables, _parsed(override))
    return experiment(tables, source=str(path))


def experiment(tables: Mapping[str, Any] | None = None, /, *, source: str = "", **more: Any) -> Experiment:
    """Validate an experiment given as nested tables, or as keyword arguments, one a table or key.

    Raises
    ------
    SpecError
        Every key that is wrong, a line each.
    """
    prefix = f"{source}: " if source else ""
    try:
        found = Experiment.model_validate(_plain({**(tables or {}), **more}))
    except ValidationError as error:
        raise SpecError(prefix + _message(error, Experiment)) from None
    names = [condition.name for condition in found.condition]
    for name in names:
        if [other.lower() for other in names].count(name.lower()) > 1:
            raise SpecError(
                f"{prefix}condition.name: {name!r} stands for more than one condition; allowed: names that differ, and not "
                f"only in case"
            )
    if len(set(found.seeds)) < len(found.seeds):
        raise SpecError(f"{prefix}seeds: {found.seeds} names a seed twice; allowed: different seeds")
    for name, setting in settings(found, prefix).items():
        try:
            checks.recorded(found.record, setting)
        except ValueError as error:
            raise SpecError(f"{prefix}{f'condition {name!r}: ' * bool(found.condition)}{error}") from None
    return found


def _plain(value: Any) -> Any:
    """Tables, lists and numbers as TOML has them: tuples, ranges and NumPy's numbers and arrays are welcome, too."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(entry) for entry in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def settings(found: Experiment, prefix: str = "") -> dict[str, Setting]:
    """The setting of each condition by name; an experiment without conditions has one, named after its rule."""
    keys = set(Setting.model_fields)
    base = {k: v for k, v in found.model_dump(exclude_unset=True).items() if k in keys}
    if not found.condition:
        return {found.rule: Setting.model_validate(base)}
    result = {}
    for condition in found.condition:
        try:
            result[condition.name] = Setting.model_validate(_laid_over(_without_parameters(base, condition), condition.changes))
        except ValidationError as error:
            raise SpecError(f"{prefix}condition {condition.name!r}: {_message(error, Setting)}") from None
    return result


def _without_parameters(base: dict[str, Any], condition: Condition) -> dict[str, Any]:
    """The base without the parameters of a neuron or optimiser in whose place the condition names another."""
    base = dict(base)
    if _names_another(base, condition.changes, "network", "neuron", "tanh"):
        base.pop("neuron", None)
    if _names_another(base, condition.changes, "optimiser", "name", "rmsprop"):
        base["optimiser"] = {key: value for key, value in base.get("optimiser", {}).items() if key in Optimiser.model_fields}
    return base


def _names_another(base: dict[str, Any], changes: dict[str, Any], table: str, key: str, default: str) -> bool:
    named = changes.get(table)
    return isinstance(named, Mapping) and named.get(key) not in (None, base.get(table, {}).get(key, default))


def _laid_over(base: Any, changes: Any) -> Any:
    """Tables merged key by key; anything else is replaced."""
    if not (isinstance(base, Mapping) and isinstance(changes, Mapping)):
        return changes
    return {**base, **{key: _laid_over(base.get(key), value) for key, value in changes.items()}}


def _parsed(override: str) -> dict[str, Any]:
    """The tables that ``key=value`` stands for; a value that is no TOML is taken as text."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"--set {override}: write it as key=value, for instance network.hidden=[200,200]")
    if "\n" not in override:
        for text in (value, json.dumps(value)):
            try:
                return tomllib.loads(f"{key.strip()} = {text}")
            except (ValueError, RecursionError):
                continue
    raise SpecError(f"--set {override}: {key.strip()!r} is not a key or {value!r} not a value")


def _message(error: ValidationError, model: Any) -> str:
    return "\n".join(dict.fromkeys(_line(entry, model) for entry in error.errors()))


def _line(entry: Any, model: Any) -> str:
    """One thing that is wrong: key, value, what is allowed, the nearest valid name."""
    where = _key(entry["loc"])
    kind, value = entry["type"], entry["input"]
    if kind == "value_error":
        return f"{where}: {entry['ctx']['error']}" if where else str(entry["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"unknown key {where}: {registry.unknown(str(entry['loc'][-1]), _keys_at(model, entry['loc'][:-1]))}"
    if kind == "literal_error":
        allowed = [name.strip(" '") for name in entry["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"{where}: {registry.unknown(value, allowed)}"
    if kind == "missing":
        return f"{where}: missing"
    return f"{where}: {reprlib.repr(value)} is not allowed: {entry['msg'][0].lower() + entry['msg'][1:]}"


def _key(location: tuple[Any, ...]) -> str:
    """``network.hidden[0]`` for ("network", "hidden", 0, "(width)")."""
    text = ""
    for part in _untagged(location):
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _keys_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """The keys that the table at a location may have."""
    for part in _untagged(location):
        if isinstance(part, str):
            model = _table(model.model_fields[part].annotation)
    return list(model.model_fields)


def _untagged(location: tuple[Any, ...]) -> list[Any]:
    """A location without the tags that tell what kind of entry a list has there."""
    return [part for part in location if not str(part).startswith("(")]


def _table(annotation: Any) -> Any:
    """The table in a type such as list[Stage], or None."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next(filter(None, map(_table, getattr(annotation, "__args__", ()))), None)
