"""Whether the activity of a neuron model rises, and its slope and inverse are those of that activity, at a few points.

What exact rules read of a wrong slope, and graded events of a wrong inverse, looks like learning. The functions are called as
plain Python: compiling them would take longer than all else that is asked of a model.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from localdfa.errors import quoted

# Drives; off the round numbers at which kinks lie.
_POINTS = tuple(-5.0 + 0.0137 + 0.5 * k for k in range(21))
# How far beside a drive its slope is looked for: so that the rounding of float32, in which f may compute, does not count.
_STEP = 1e-3
# How far a slope may be off: a part of itself, and of the largest.
_RELATIVE, _OF_LARGEST = 0.02, 2e-3
# How far an inverse may be off, of 1 + |v|, where the slope is no smaller than this part of the largest.
_BACK, _STEEP = 1e-2, 1e-2


class _WrongError(Exception):
    """What is wrong with a hook, in words."""


class _Slope(NamedTuple):
    """The activity h = f(v), and the slope of f, at a drive where it has no kink."""

    v: float
    h: float
    slope: float


def wrong(model: Any) -> list[str]:
    """What is wrong with a model that has all its hooks: the first thing that is, or nothing.

    It is asked with its default parameters, and with each of them doubled, or halved where its bounds do not allow that.
    """
    functions = {name: _plain(getattr(model, name), {}) for name in ("f", "df", "inverse") if hasattr(model, name)}
    for p in _variants(model):
        try:
            with np.errstate(all="ignore"):
                _check(p, **functions)
        except _WrongError as error:
            given = ", ".join(f"{name} = {quoted(value)}" for name, value in p._asdict().items())
            return [f"{error}{f' with {given}' if given else ''}"]
    return []


def _check(p: Any, f: Any, df: Any, inverse: Any = None) -> None:
    """Refuse what is wrong with these parameters.

    Raises
    ------
    _WrongError
    """
    activity = {v: h for v in _POINTS if (h := _value("f", f, p, v)) is not None and math.isfinite(h)}
    smooth = [_Slope(v, h, slope) for v, h in activity.items() if (slope := _slope(f, p, v, h)) is not None]
    slack = 1e-6 * max(map(abs, activity.values()), default=0.0)
    for (v, h), (w, above) in pairwise(activity.items()):
        if above < h - slack:
            raise _WrongError(f"'f' has to rise or stay, and falls from {h:.6g} at v = {v:.4g} to {above:.6g} at v = {w:.4g}")
    largest = max((abs(each.slope) for each in smooth), default=0.0)
    for v, h, slope in smooth:
        said = _value("df", df, p, v)
        if said is not None and not abs(said - slope) <= _RELATIVE * abs(slope) + _OF_LARGEST * largest:
            raise _WrongError(f"'df' has to be the slope of 'f', which is {slope:.6g} at v = {v:.4g}, and is {said:.6g}")
        back = _value("inverse", inverse, p, h) if inverse and slope > _STEEP * largest else None
        if back is not None and not abs(back - v) <= _BACK * (1 + abs(v)):
            raise _WrongError(f"'inverse' has to be {v:.4g} of f({v:.4g}) = {h:.6g}, and is {back:.6g}")


def _slope(f: Any, p: Any, v: float, h: float) -> float | None:
    """The slope of f by differences; None beside a kink, or where f is not known."""
    below, above = _value("f", f, p, v - _STEP), _value("f", f, p, v + _STEP)
    if below is None or above is None or not math.isfinite(above - below):
        return None
    left, right = (h - below) / _STEP, (above - h) / _STEP
    return (left + right) / 2 if abs(right - left) <= _RELATIVE * (abs(left) + abs(right)) else None


def _value(name: str, function: Callable[..., Any], p: Any, at: float) -> float | None:
    """What a hook gives at a number; None where it fails, as by a division by zero, which need not in a kernel.

    Raises
    ------
    _WrongError
        It gives no number, or reads a name that there is not.
    """
    try:
        given = function(p, at)
        number = float(given) if np.ndim(given) == 0 else None
    except (NameError, AttributeError) as error:
        raise _WrongError(f"{name!r} fails: {error}") from None
    except Exception:
        return None
    if number is None:
        raise _WrongError(f"{name!r} has to give a number, and gives {quoted(given)} at {at:.4g}")
    return number


def _variants(model: Any) -> Iterator[Any]:
    """The default parameters, and each of them changed."""
    default = model()
    yield default
    for name, value in default._asdict().items():
        for other in (2.0 * value, 0.5 * value) if isinstance(value, float) and value else ():
            try:
                TypeAdapter(model.__annotations__[name]).validate_python(other)
            except ValidationError:
                continue
            changed = default._replace(**{name: other})
            if not (hasattr(changed, "refusal") and changed.refusal()):
                yield changed
                break


def _plain(function: Any, made: dict[int, Any]) -> Any:
    """A function of Numba as one of Python, and those of Numba that it calls by name; made: those that are, by their ids."""
    function = getattr(function, "py_func", function)
    if not isinstance(function, FunctionType):
        return function
    if id(function) not in made:
        within = dict(function.__globals__)
        copied = made[id(function)] = FunctionType(
            function.__code__, within, function.__name__, function.__defaults__, function.__closure__
        )
        copied.__kwdefaults__ = function.__kwdefaults__
        called = [name for name in function.__code__.co_names if hasattr(within.get(name), "py_func")]
        within |= {name: _plain(within[name], made) for name in called}
    return made[id(function)]
