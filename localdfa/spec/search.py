"""Searches: the values of some keys are chosen trial by trial, from ranges, by what the trials before have come to."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

from localdfa.errors import SpecError, clipped, quoted
from localdfa.spec import derived
from localdfa.spec.grid import check_key, check_once, listed, parted, setting_with, with_values
from localdfa.spec.load import experiment as validated
from localdfa.spec.load import leaves, parsed, reads, settings
from localdfa.spec.tables import Experiment

# More combinations of ends and choices than these are not all tried before the search begins, but those of each key alone.
_CORNERS = 512
# What a trial is called in messages of its own.
_TRIAL = "trial"
_READ_ONCE = ("precision", "network.from_run", "network.weights")
_HOW = "write it as key=low..high, key=low..high:log or key=a|b|c, for instance phases.beta=0.01..1:log"
_NUMBER = r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(:log)?\s*")


class Range(NamedTuple):
    """Numbers from low to high, both included; whole: integers alone; log: equally likely in each decade."""

    low: float
    high: float
    log: bool
    whole: bool


@dataclass(frozen=True)
class Search:
    """What a search tries: of each key a range or choices, and how many trials.

    Parameters
    ----------
    space : dict
        Of keys, as ``phases.beta``: ``"0.01..1"``, a range with both ends, of whole numbers where both are written so;
        ``"0.01..1:log"``, in which each decade is as likely; ``"1|2|3"`` or a list, of which each value may be chosen.
    trials : int
        How many; each is trained with every seed of the experiment.
    condition : str, optional
        The condition that is searched; it can be left out where there is one.
    seed : int
        Of Optuna's sampler: with one worker the same seed gives the same trials, also where the search was interrupted.

    Raises
    ------
    SpecError
        A range or a number is not of this form.

    Examples
    --------
    >>> search = Search({"phases.beta": "0.01..1:log", "batch_size": "16..64", "network.hidden": [[32], [64, 64]]}, trials=30)
    >>> search.ranges["batch_size"]
    Range(low=16, high=64, log=False, whole=True)
    >>> search.ranges["network.hidden"]
    [[32], [64, 64]]
    """

    space: Mapping[str, str | Sequence[Any]]
    trials: int = 20
    condition: str | None = None
    seed: int = 0
    ranges: Mapping[str, Range | list[Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.space:
            raise SpecError("search: no key is searched; allowed: at least one")
        for key, value, lowest in (("trials", self.trials, 1), ("seed", self.seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value < 2**32:
                raise SpecError(f"search: {key}: {quoted(value)}; allowed: a whole number, at least {lowest}")
        if self.trials > 1000:
            raise SpecError(f"search: trials: {self.trials}; allowed: at most 1000, the conditions that a run may have")
        ranges = {}
        for key, values in self.space.items():
            check_key("search", key)
            if key in _READ_ONCE:
                raise SpecError(f"search: {key} decides what is read before trials begin; allowed: a search for each")
            ranges[key] = _range(key, values) if isinstance(values, str) else listed("search", key, values)
            if isinstance(found := ranges[key], list):
                if len(found) < 2:
                    raise SpecError(f"search: {key} has one value or none; allowed: a range, or at least two values")
                check_once("search", key, found)
        object.__setattr__(self, "ranges", ranges)

    def as_entries(self) -> dict[str, Any]:
        """What `Search` is made of again, as JSON has it."""
        space = {key: values if isinstance(values, str) else self.ranges[key] for key, values in self.space.items()}
        return {"space": space, "trials": self.trials, "condition": self.condition, "seed": self.seed}


def from_options(texts: Iterable[str]) -> dict[str, str]:
    """The space of options ``KEY=RANGE``; ranges are checked by `Search`.

    Raises
    ------
    SpecError
        One is not of this form, or a key comes twice.
    """
    return parted("--search", texts, _HOW, "one range or one list of values")


def _range(key: str, text: str) -> Range | list[Any]:
    """What a text stands for: a range, or the values between bars, of TOML or texts without quotes."""
    if match := _RANGE.fullmatch(text):
        whole = all(re.fullmatch(r"[+-]?[\d_]+", number) for number in match.groups()[:2])
        low, high = (int(number) if whole else float(number) for number in match.groups()[:2])
        found = Range(low, high, log=bool(match[3]), whole=whole)
        if not (found.low < found.high and math.isfinite(found.low) and math.isfinite(found.high)):
            raise SpecError(f"search: {key}={clipped(text)}: allowed: a range that ends above its beginning")
        if found.log and found.low <= 0:
            raise SpecError(f"search: {key}={clipped(text)}: allowed with :log: a range above 0")
        return found
    if "|" not in text:
        raise SpecError(f"search: {key}={clipped(text)}: {_HOW}")
    try:
        return [value for part in text.split("|") for _, value in leaves(parsed(f"{key}={part.strip()}"))]
    except SpecError as error:
        raise SpecError(str(error).replace("--set", "--search", 1)) from None


def searched(experiment: Experiment, condition: str | None) -> Experiment:
    """The experiment with the condition that is searched alone.

    Raises
    ------
    SpecError
        There is no such condition, or there are several and none is named.
    """
    names = [each.name for each in experiment.condition] or [derived.name_of(experiment)]
    if condition is None and len(names) > 1:
        raise SpecError(f"search: one condition is searched, and here are {', '.join(names)}; allowed: --condition with one")
    if condition is not None and condition not in names:
        raise SpecError(f"search: condition {quoted(condition)} is none of this experiment; allowed: {', '.join(names)}")
    if len(names) == 1:
        return experiment
    tables = experiment.model_dump(exclude_unset=True)
    tables["condition"] = [each for each in tables["condition"] if each["name"] == condition]
    alone = Experiment.model_validate(tables)
    used = {model for setting in settings(alone).values() for model in derived.uses(setting)}
    tables["rules"] = {rule: keys for rule, keys in tables.get("rules", {}).items() if ("rules", rule) in used}
    return validated(tables)


def with_trials(base: Experiment, trials: Mapping[str, Mapping[str, Any]]) -> Experiment:
    """The experiment of a search, whose conditions are its trials; each has its values of those keys that it reads.

    Raises
    ------
    SpecError
        A trial's values are not allowed.
    """
    own = base.condition[0].changes if base.condition else {}
    conditions = [{**with_values(own, _read(base, values)), "name": name} for name, values in trials.items()]
    return validated({**base.model_dump(exclude_unset=True), "condition": conditions})


def _read(base: Experiment, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a trial's values that it reads."""
    setting = setting_with(base, base.condition[0].changes if base.condition else {}, values)
    return {key: value for key, value in values.items() if reads(setting, key)}


def check(base: Experiment, search: Search) -> None:
    """Look at all combinations of choices and ends of ranges, or where those are many, at those of each key alone.

    Raises
    ------
    SpecError
        A combination is not allowed; or a key is read with none of them.
    """
    used = set[str]()
    for values in _combinations(
        {key: found if isinstance(found, list) else [found.low, found.high] for key, found in search.ranges.items()}
    ):
        try:
            with_trials(base, {_TRIAL: values})
            used |= {*_read(base, values)}
        except SpecError as error:
            line = str(error).replace(f"condition {_TRIAL!r}: ", "")
            raise SpecError(f"search: with {said(values)}: {line}") from None
    if unread := [key for key in search.ranges if key not in used]:
        raise SpecError(f"search: {unread[0]} is not read by what is searched; allowed: leave it out")


def rehearsed(base: Experiment, search: Search) -> Experiment:
    """The experiment with a condition for each combination of choices, and the low ends of all ranges; and each high end."""
    choices = {key: found if isinstance(found, list) else [found.low] for key, found in search.ranges.items()}
    tried = _combinations(choices)
    tried += [{**tried[0], key: found.high} for key, found in search.ranges.items() if isinstance(found, Range)]
    return with_trials(base, {f"rehearsed-{k}": values for k, values in enumerate(tried)})


def _combinations(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of values, or where those are many, each value once beside the first of all other keys."""
    if math.prod(map(len, values.values())) <= _CORNERS:
        return [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    first = {key: each[0] for key, each in values.items()}
    return [first, *({**first, key: value} for key, each in values.items() for value in each[1:])]


def said(values: Mapping[str, Any]) -> str:
    """The values of a trial in a line, as options have them."""
    return " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value, default=quoted)}" for key, value in values.items()
    )
