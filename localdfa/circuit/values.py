"""Values that a circuit is given: numbers, arrays, or tables that name a distribution; and their checks."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from localdfa import registry
from localdfa.errors import SpecError, quoted

# Of each distribution its parameters, and how numpy's generator draws n numbers from it.
_DISTRIBUTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "normal": (("mean", "std"), lambda rng, n, mean, std: rng.normal(mean, std, n)),
    "lognormal": (("mean", "std"), lambda rng, n, mean, std: np.exp(rng.normal(*_of_logarithm(mean, std), n))),
    "uniform": (("low", "high"), lambda rng, n, low, high: rng.uniform(low, high, n)),
    "exponential": (("mean",), lambda rng, n, mean: rng.exponential(mean, n)),
}
# So often numbers outside of what is allowed are drawn anew, and so many are drawn at a time.
_DRAWS, _BLOCK = 100, 2**20


class Bounds(NamedTuple):
    """What a number may be, ends included; whole: whether it has to be a whole number."""

    low: float
    high: float
    whole: bool = False

    def __str__(self) -> str:
        kind = "whole numbers" if self.whole else "numbers"
        return f"{kind} from {self.low:g} to {self.high:g}"


def number(key: str, value: Any, bounds: Bounds) -> float:
    """A number within bounds; a whole one as an int, whatever its size.

    Raises
    ------
    SpecError
        It is none, or lies outside; the message has the key, the value and what is allowed.
    """
    kinds = (int, np.integer) if bounds.whole else (int, float, np.integer, np.floating)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, kinds) or not bounds.low <= value <= bounds.high:
        raise SpecError(f"{key}: {quoted(value)}; allowed: {bounds}")
    return int(value) if bounds.whole else float(value)


def array(key: str, value: Any, bounds: Bounds, shapes: tuple[tuple[int, ...], ...], also: str = "") -> np.ndarray:
    """An array of numbers within bounds, in float64, of one of these shapes. also: what else would be allowed, for messages.

    Raises
    ------
    SpecError
        As `number`.
    """
    allowed = " or ".join(["an array of shape " + str(shape) for shape in shapes] + ([also] if also else []))
    if not regular(value):
        raise SpecError(f"{key}: {quoted(value)}, in rows of several lengths; allowed: {allowed}")
    if np.ma.is_masked(value):
        raise SpecError(f"{key}: has masked entries; allowed: {allowed}, as array.filled(value)")
    found = np.asarray(value)
    if not found.size:  # an empty list is in float64, whatever would stand in it
        found = found.astype(np.int64 if bounds.whole else np.float64)
    if found.dtype.kind not in "iuf":
        raise SpecError(f"{key}: {quoted(value)}; allowed: {allowed}, of {bounds}")
    if found.shape not in shapes:
        raise SpecError(f"{key}: an array of shape {found.shape}; allowed: {allowed}")
    if found.dtype.kind == "f" and bounds.whole:
        raise SpecError(f"{key}: an array of {found.dtype}; allowed: {allowed}, of {bounds}")
    wrong = ~((found >= bounds.low) & (found <= bounds.high))
    if wrong.any():
        raise SpecError(f"{key}: {quoted(found[wrong][0].item())} among its entries; allowed: {bounds}")
    return found.astype(np.int64 if bounds.whole else np.float64)


def regular(value: Any) -> bool:
    """Whether this is a number, or an array: lists in it have one length."""
    try:
        np.shape(value)
    except ValueError:
        return False
    return True


def path_of(key: str, value: Any) -> Path:
    """The path of a file; as `number`."""
    if not isinstance(value, (str, os.PathLike)) or not Path(value).name:
        raise SpecError(f"{key}: {quoted(value)}; allowed: the path of a file")
    return Path(value)


def of_one_axis(value: Any) -> tuple[tuple[int, ...], ...]:
    """The shape that an array of any number of entries along one axis has, as `array` takes shapes."""
    return ((np.size(value) if regular(value) else len(value),),)


def plain(value: Any) -> Any:
    """A NumPy number, or an array of one without axes, as a number of Python; all else as it is."""
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0 else value


def choice(key: str, value: Any, allowed: list[str]) -> str:
    """One of these names; as `number`."""
    if not isinstance(value, str) or value not in allowed:
        raise SpecError(f"{key}: {registry.unknown(value, allowed)}")
    return str(value)


class Distribution(NamedTuple):
    """A distribution that numbers are drawn from, and the bounds outside of which they are drawn anew."""

    key: str
    name: str
    parameters: dict[str, float]
    bounds: Bounds

    @classmethod
    def of(cls, key: str, table: Mapping[str, Any], bounds: Bounds) -> "Distribution":
        """The one that a table names: ``{"distribution": "normal", "mean": 0.1, "std": 0.02}``.

        Distributions are normal and lognormal (mean, std), uniform (low, high) and exponential (mean).

        Raises
        ------
        SpecError
            It names none, or its parameters are wrong.
        """
        name = choice(f"{key}.distribution", table.get("distribution"), [*_DISTRIBUTIONS])
        names, _ = _DISTRIBUTIONS[name]
        for given in table:
            if given != "distribution":
                choice(key, given, [*names])
        positive = {"std"} | ({"mean"} if name in ("lognormal", "exponential") else set())
        found = {}
        for parameter in names:
            if parameter not in table:
                raise SpecError(f"{key}.{parameter}: is missing; a {name} distribution has {' and '.join(names)}")
            allowed = Bounds(0 if parameter in positive else -1e9, 1e9)
            found[parameter] = number(f"{key}.{parameter}", table[parameter], allowed)
        if name == "lognormal" and not found["mean"] > 0:
            raise SpecError(f"{key}.mean: {quoted(table['mean'])}; allowed: numbers above 0")
        if name == "uniform" and found["low"] > found["high"]:
            raise SpecError(f"{key}.low: {quoted(table['low'])}; allowed: up to high, {quoted(table['high'])}")
        return cls(key, name, found, bounds)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n numbers, in float64.

        Raises
        ------
        SpecError
            It has hardly any within the bounds.
        """
        found, draw = np.empty(n), _DISTRIBUTIONS[self.name][1]
        for begin in range(0, n, _BLOCK):
            part = found[begin : begin + _BLOCK]
            part[:] = draw(rng, len(part), **self.parameters)
            for _ in range(_DRAWS):
                outside = np.flatnonzero(~((part >= self.bounds.low) & (part <= self.bounds.high)))
                if not outside.size:
                    break
                part[outside] = draw(rng, outside.size, **self.parameters)
            else:
                raise SpecError(
                    f"{self.key}: hardly any number of the {self.name} distribution {self.parameters} is allowed; allowed: "
                    f"{self.bounds}"
                )
        return found


# What a value is once it is checked.
Value = float | np.ndarray | Distribution


def value_of(key: str, value: Any, bounds: Bounds, shapes: tuple[tuple[int, ...], ...]) -> Value:
    """A number, an array of one of these shapes, or the distribution that a table names.

    Raises
    ------
    SpecError
        It is none of them, or lies out of bounds.
    """
    if isinstance(value, Mapping):
        return Distribution.of(key, value, bounds)
    if regular(value) and np.ndim(value) == 0:
        return number(key, plain(value), bounds)
    also = "a number" + ("" if shapes else ", or a table with a distribution, as how many there are is drawn")
    return array(key, value, bounds, shapes, also)


def drawn(value: Value, rng: np.random.Generator, n: int) -> np.ndarray:
    """The n numbers that a value stands for, in float64."""
    if isinstance(value, Distribution):
        return value.draw(rng, n)
    return np.broadcast_to(np.ravel(value) if isinstance(value, np.ndarray) else value, n)


def _of_logarithm(mean: float, std: float) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm of a number with these."""
    variance = np.log1p((std / mean) ** 2)
    return float(np.log(mean) - variance / 2), float(np.sqrt(variance))
