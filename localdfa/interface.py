"""Whether a model has what its family asks for, and nothing that is never asked for: a misspelt hook is both."""

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from localdfa import registry
from localdfa.errors import quoted

# Of each attribute, by name: the arguments that a hook is called with; None of what is not called.
Hooks = Mapping[str, tuple[str, ...] | None]


def wrong(model: Any, needed: Hooks, allowed: Hooks, compiled: bool = False) -> list[str]:
    """What is wrong with a model, one entry each; nothing where it is right.

    needed: what it has to have. allowed: what it may have besides. Names that begin with ``_`` are its own. compiled: whether
    Python calls its hooks, so that they have to be compiled with Numba's ``njit``.
    """
    missing = [name for name in needed if not hasattr(model, name)]
    known = {**needed, **allowed}
    found = []
    for name in sorted({*_public(model)} - {*known}):
        other = registry.nearest(name, missing) or registry.nearest(name, known)
        meant = f"; did you mean {other!r}?" if other else ""
        found.append(f"nothing reads {name!r}{meant} (names of the model's own begin with _)")
    found += [f"{name!r} is missing" for name in missing]
    for name, arguments in known.items():
        if arguments is not None and hasattr(model, name):
            found += wrong_hook(name, getattr(model, name), arguments, compiled)
    return found


def wrong_parameters(model: Any, needed: Mapping[str, str]) -> list[str]:
    """What is wrong with a model that is to be a ``NamedTuple`` of parameters; needed: some of them, and what each one is."""
    if not (inspect.isclass(model) and issubclass(model, tuple) and hasattr(model, "_fields")):
        return [f"{quoted(model)} is no NamedTuple of parameters"]
    there, defaults = model._fields, getattr(model, "_field_defaults", {})
    types = getattr(model, "__annotations__", {})
    wrong_ones = {name: _wrong_default(types.get(name, float), default) for name, default in defaults.items()}
    return [
        *(f"the parameter {name!r} is missing, {what}" for name, what in needed.items() if name not in there),
        *(f"the parameter {name!r} has no default" for name in there if name not in defaults),
        *(f"the parameter {name!r} {reason}" for name, reason in wrong_ones.items() if reason),
        *(wrong_hook("refusal", model.refusal, ("self",), False) if hasattr(model, "refusal") else ()),
    ]


def _wrong_default(annotation: Any, default: Any) -> str | None:
    """What is wrong with a parameter of this type and default, which every spec that is read has to take."""
    literal = get_origin(annotation) is Literal
    of_type = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if not literal and of_type not in (int, float):
        return f"is of type {getattr(of_type, '__name__', of_type)}; allowed: int, float, or a Literal of names"
    if isinstance(default, bool) and not literal:
        return f"has the default {default}, which is no number"
    try:
        TypeAdapter(annotation).validate_python(default)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        return f"has the default {quoted(default)}, which is not allowed: {reason}"
    return None


def reserved(model: Any, keys: Iterable[str]) -> list[str]:
    """What is wrong with a ``NamedTuple`` of parameters that stand beside these keys in one table of the spec."""
    return [
        f"the parameter {name!r} has the name of a key that is its table's; allowed: other names than {', '.join(keys)}"
        for name in getattr(model, "_fields", ())
        if name in keys
    ]


def parameters_of(model: Any) -> dict[str, None]:
    """What a ``NamedTuple`` of parameters has of itself: these, the methods of a tuple, and maybe ``refusal``.

    ``refusal(self)`` says what is wrong with parameters that are right one by one, with what is allowed; None where they go
    together. Python calls it, before training.
    """
    return dict.fromkeys((*model._fields, "count", "index", "refusal"))


def wrong_tuple(model: Any, needed: Hooks, allowed: Hooks, parameters: Mapping[str, str], compiled: bool = True) -> list[str]:
    """What is wrong with a model that is to be a ``NamedTuple`` of parameters with hooks.

    parameters: as `wrong_parameters` takes what it needs; the rest as of `wrong`.
    """
    return wrong_parameters(model, parameters) or wrong(model, needed, {**allowed, **parameters_of(model)}, compiled)


def wrong_subclass(model: Any, base: Any, needed: Iterable[str], further: Hooks | None = None) -> list[str]:
    """What is wrong with a model that is to be a subclass of `base`.

    needed: what it has to define itself. further: what it may have besides what `base` has.
    """
    if not (inspect.isclass(model) and issubclass(model, base)):
        return [f"{quoted(model)} is no subclass of {base.__module__}.{base.__name__}"]
    undefined = [f"{name!r} is missing" for name in needed if getattr(model, name) is getattr(base, name)]
    return undefined + wrong(model, {}, {**_hooks(base), **(further or {})})


def _hooks(base: Any) -> dict[str, tuple[str, ...] | None]:
    """The public attributes of a class, with the arguments of those that are called; without those that have a default."""
    found = dict[str, tuple[str, ...] | None]()
    for name in _public(base):
        value = getattr(base, name)
        called = callable(value) and not inspect.isclass(value)
        arguments = inspect.signature(value).parameters.values() if called else ()
        found[name] = tuple(each.name for each in arguments if each.default is each.empty) if called else None
    return found


def wrong_hook(name: str, hook: Any, arguments: tuple[str, ...], compiled: bool) -> list[str]:
    """What is wrong with a hook that is called with these arguments; compiled: whether it has to be, with ``njit``."""
    called, function = f"called as {name}({', '.join(arguments)})", getattr(hook, "py_func", hook)
    if not callable(function):
        return [f"{name!r} is {quoted(hook)}, and is {called}"]
    if compiled and function is hook and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        return [f"{name!r} is not compiled with numba.njit"]
    try:
        taken = inspect.signature(function)
    except ValueError:  # that of a function in C may not be known
        return []
    takes = f"{name!r} takes ({', '.join(taken.parameters)}), and is {called}"
    try:
        taken.bind(*arguments)
    except TypeError:
        return [takes]
    # What is called by place and has the name of another place would be taken for that one without a word.
    swapped = [own for own, meant in zip(taken.parameters, arguments, strict=False) if own != meant and own in arguments]
    return [f"{takes}: {swapped[0]!r} stands in another place"] if swapped else []


def place_of(hook: Any) -> str:
    """Where a hook of a model stands, for messages: its file, its line, and its name with that of its class."""
    function = getattr(hook, "py_func", hook)
    code = getattr(function, "__code__", None)  # of what is no function of Python, as a partial one, there is none
    return f"{code.co_filename}, line {code.co_firstlineno}: {function.__qualname__}" if code else quoted(hook)


def _public(model: Any) -> list[str]:
    return [name for name in dir(model) if not name.startswith("_")]
