"""From what pydantic finds wrong with a spec to one clear message: the key, the value, what is allowed, what was meant."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from localdfa import registry, toml
from localdfa.errors import clipped, quoted
from localdfa.spec import models
from localdfa.spec.tables import Condition, Experiment, Optimiser, Record, Setting, record_table

# Where in the tables of a spec something is wrong: keys, and indices in lists.
Location = tuple[int | str, ...]


def joined(prefix: str, lines: Iterable[str]) -> str:
    """Lines as one message, none of them twice."""
    return prefix + "\n".join(dict.fromkeys(lines))


def lines_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """What pydantic found wrong with a table, a line each."""
    return [_line(entry, model) for entry in error.errors()]


def _line(entry: ErrorDetails, model: type[BaseModel]) -> str:
    """One thing that is wrong: key, value, what is allowed, what was most likely meant."""
    location, kind, value = entry["loc"], entry["type"], entry["input"]
    where = _key(location)
    if kind == "extra_forbidden":
        return f"unknown key {where}: {_unknown(location, value, model)}"
    if kind == "literal_error":
        allowed = [name.strip(" '") for name in entry["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return models.unknown(where, value, allowed)
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
    for key, package in models.MODELS.items():
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
