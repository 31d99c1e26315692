"""Grids: the conditions of an experiment, each with every combination of values of some keys."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from pydantic import ValidationError

from localdfa.errors import SpecError, clipped, quoted
from localdfa.spec import derived
from localdfa.spec.load import experiment as validated
from localdfa.spec.load import laid_over, leaves, parsed, reads, settings
from localdfa.spec.tables import Condition, Experiment, Setting

# A grid has so many combinations at most; which keys are read with each takes about a millisecond.
_MOST = 20_000
# What a condition is called that is looked at by itself.
_NAME = "one"
# Of a key, in the order it is asked for, its values.
Grid = Mapping[str, Sequence[Any]]


def from_options(texts: Iterable[str]) -> dict[str, list[Any]]:
    """The grid of options ``KEY=VALUE,VALUE``, values of TOML, or texts without quotes.

    Raises
    ------
    SpecError
        One is not of this form, or a key comes twice.
    """
    how = "write it as key=value,value, for instance phases.beta=0.01,0.1"
    found = parted("--grid", texts, how, "all its values after one --grid")
    return {key: _values(key, values) for key, values in found.items()}


def parted(option: str, texts: Iterable[str], how: str, once: str) -> dict[str, str]:
    """What options ``KEY=TEXT`` have behind the key, by key; how, once: what is allowed where one is not so, or comes twice."""
    found = dict[str, str]()
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not equals or not key or not values.strip():
            raise SpecError(f"{option} {clipped(text)}: {how}")
        if key in found:
            raise SpecError(f"{option} {clipped(text)}: {key!r} is there already; allowed: {once}")
        found[key] = values
    return found


def _values(key: str, text: str) -> list[Any]:
    """What stands between commas."""
    try:
        ((_, found),) = leaves(parsed(f"{key}=[{text}]"))
        if isinstance(found, list):
            return found
    except SpecError:  # texts without quotes
        pass
    try:
        return [value for part in text.split(",") for _, value in leaves(parsed(f"{key}={part.strip()}"))]
    except SpecError as error:
        raise SpecError(str(error).replace("--set", "--grid", 1)) from None


def expanded(experiment: Experiment, grid: Grid) -> Experiment:
    """An experiment with each of its conditions once for every combination of values of those keys that it reads.

    A condition is called after its values, as ``local-beta-0.1``. One that reads none of the keys stays as it is: a control.
    A key that is read beside some values of others alone, as ``phases.free`` beside spiking neurons, varies beside those.

    Raises
    ------
    SpecError
        A key is none of a condition's, has no value or one twice, or no condition reads it; a value is not allowed.

    Examples
    --------
    >>> from localdfa import spec
    >>> found = expanded(spec.experiment(rule="local"), {"phases.beta": [0.1, 0.01], "batch_size": [32]})
    >>> [condition.name for condition in found.condition]
    ['beta-0.1-batch_size-32', 'beta-0.01-batch_size-32']
    """
    if not isinstance(grid, Mapping):
        raise SpecError(f"grid: {quoted(grid)}; allowed: of each key its values, as {{'phases.beta': [0.1, 1.0]}}")
    grid = {key: listed("grid", key, values) for key, values in grid.items()}
    for key, values in grid.items():
        _check(key, values)
    if (count := math.prod(map(len, grid.values()))) > _MOST:
        raise SpecError(f"grid: {count} combinations of values; allowed: at most {_MOST}, which make up to 1000 conditions")
    changes = {condition.name: condition.changes for condition in experiment.condition} or {"": {}}
    conditions, used = list[dict[str, Any]](), set[str]()
    for (name, own), plain in zip(changes.items(), settings(experiment).values(), strict=True):
        for chosen in _combinations(experiment, plain, own, grid):
            used |= {*chosen}
            said = [f"{key.rpartition('.')[2]}-{_said(value)}" for key, value in chosen.items()]
            conditions.append({**with_values(own, chosen), "name": "-".join(filter(None, (name, *said)))})
    if missing := [key for key in grid if key not in used]:
        raise SpecError(f"grid: {missing[0]} is read by no condition of this experiment; allowed: leave it out")
    if len(conditions) == 1 and not conditions[0]["name"]:
        conditions[0]["name"] = derived.name_of(experiment)
    tables = experiment.model_dump(exclude_unset=True)
    return validated({**tables, "condition": conditions})


def _combinations(experiment: Experiment, plain: Setting, own: Mapping[str, Any], grid: Grid) -> list[dict[str, Any]]:
    """The combinations of values for one condition, by its setting and changes, of those keys that it reads.

    A key is read beside values of the others if it is with one of its own. Values that go together nowhere decide nothing: a
    control may not read them, and else they are refused later.
    """
    all_read = dict[tuple[int, ...], set[str]]()
    for each in product(*(range(len(values)) for values in grid.values())):
        try:
            setting = setting_with(experiment, own, {key: grid[key][i] for key, i in zip(grid, each, strict=True)})
        except (SpecError, ValidationError):
            setting = plain
        all_read[each] = {key for key in grid if reads(setting, key)}
    found = dict[tuple[tuple[str, int], ...], None]()
    for each in all_read:
        beside = {key: [(*each[:k], i, *each[k + 1 :]) for i in range(len(grid[key]))] for k, key in enumerate(grid)}
        read = {key for key, others in beside.items() if any(key in all_read[other] for other in others)}
        found[tuple((key, i) for key, i in zip(grid, each, strict=True) if key in read)] = None
    return [{key: grid[key][i] for key, i in each} for each in found]


def setting_with(experiment: Experiment, own: Mapping[str, Any], values: Mapping[str, Any]) -> Setting:
    """The setting of a condition, by its changes, with the values of some keys laid over them.

    Raises
    ------
    SpecError, pydantic.ValidationError
        A value is not allowed.
    """
    condition = Condition.model_validate({**with_values(own, values), "name": _NAME})
    return settings(experiment.model_copy(update={"condition": [condition]}))[_NAME]


def listed(what: str, key: str, values: Any) -> list[Any]:
    """The values of a key as plain numbers, texts and lists of them; what: the grid, or whatever has it.

    Raises
    ------
    SpecError
        They are no list.
    """
    found = None if isinstance(values, str) else _plain(values)
    if not isinstance(found, list):
        raise SpecError(f"{what}: {key}: {quoted(values)}; allowed: a list of values, as [0.1, 1.0]")
    return found


def _plain(value: Any) -> Any:
    """A value with lists in the place of arrays and other sequences, and Python's numbers in that of NumPy's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(entry) for entry in value]
    return value


def _check(key: str, values: Sequence[Any]) -> None:
    check_key("grid", key)
    if not values:
        raise SpecError(f"grid: {key} has no values; allowed: at least one")
    check_once("grid", key, values)


def check_key(what: str, key: str) -> None:
    """Refuse a key of which conditions cannot have values of their own; what: the grid, or whatever has it."""
    if key.partition(".")[0] not in Setting.model_fields:
        allowed = ", ".join(Setting.model_fields)
        raise SpecError(f"{what}: {quoted(key)} is no key that conditions may differ in; allowed: those of {allowed}")


def check_once(what: str, key: str, values: Sequence[Any]) -> None:
    """Refuse a value that a key has twice."""
    twice = [value for k, value in enumerate(values) if value in values[:k]]
    if twice:
        raise SpecError(f"{what}: {key} has the value {quoted(twice[0])} twice; allowed: each once")


def with_values(changes: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a condition with the values of some keys, as ``{"phases.beta": 0.1}``, laid over them."""
    return dict(reduce(laid_over, (_nested(key, value) for key, value in values.items()), changes))


def _said(value: Any) -> str:
    """A value in the name of a condition."""
    if isinstance(value, list):
        return "x".join(map(_said, value))
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", str(value).lower() if isinstance(value, bool) else str(value))


def _nested(key: str, value: Any) -> dict[str, Any]:
    """The tables of a key ``TABLE.KEY``."""
    found: Any = value
    for part in reversed(key.split(".")):
        found = {part: found}
    return dict(found)
