"""The models that a spec names, and their parameters: by the names, types and bounds that their files declare."""

import importlib.util
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin

import numpy as np
from pydantic import TypeAdapter, ValidationError

from localdfa import optimisers, registry
from localdfa.errors import clipped, quoted

# The models that a spec means where it names none.
NEURON, OUTPUT, OPTIMISER, CODE, RULE = "tanh", "logistic", "rmsprop", "current", "local"
PRECISION: Final = "float32"
# The keys that name models, and the package of these.
MODELS = {
    "network.neuron": "neurons",
    "network.output": "outputs",
    "optimiser.name": "optimisers",
    "feedback.pathway": "feedback",
    "input.code": "inputs",
    "rule": "rules",
    "module.name": "modules",
}
# Keys of the table `module` that belong to no model.
OF_ALL_MODULES = ("name", "inside", "device")


def wrong_in(tables: Mapping[str, Any]) -> list[str]:
    """What is wrong with the models that tables name, and with the parameters of these: a line each, ``key: reason``.

    tables: as a spec has them, which need not be right otherwise: what has not even the type of a name is left to others.
    """
    network, optimiser, feedback, code = (_table(tables, key) for key in ("network", "optimiser", "feedback", "input"))
    rules = [("rule", tables.get("rule", RULE))]
    if isinstance(stages := tables.get("stage"), list):
        for i, stage in enumerate(stages):
            if isinstance(stage, Mapping):
                rules += [(f"stage[{i}].rule", stage.get("rule"))]
                layer_rules = _table(stage, "layer_rules")
                rules += [(f"stage[{i}].layer_rules.{clipped(str(layer))}", rule) for layer, rule in layer_rules.items()]
    wrong = [
        line
        for key, package, name in (
            ("network.neuron", "neurons", network.get("neuron", NEURON)),
            ("network.output", "outputs", network.get("output", OUTPUT)),
            ("optimiser.name", "optimisers", optimiser.get("name", OPTIMISER)),
            ("feedback.pathway", "feedback", feedback.get("pathway")),
            ("input.code", "inputs", code.get("code", CODE)),
            *((key, "rules", rule) for key, rule in rules),
        )
        for line in _named(key, package, name)
    ]
    own_parameters = {key: value for key, value in optimiser.items() if key not in optimisers.OF_TABLE}
    precision = tables.get("precision")
    precision = precision if precision in ("float32", "float64") else PRECISION
    wrong += wrong_parameters("neuron", "neurons", network.get("neuron", NEURON), _table(tables, "neuron"), precision)
    wrong += wrong_parameters("optimiser", "optimisers", optimiser.get("name", OPTIMISER), own_parameters, precision)
    if "module" in tables:
        module = _table(tables, "module")
        of_module = {key: value for key, value in module.items() if key not in OF_ALL_MODULES}
        found = _named("module.name", "modules", module.get("name"))
        wrong += found or _needs_pytorch() or wrong_parameters("module", "modules", module.get("name"), of_module, precision)
    for name, parameters in _table(tables, "rules").items():
        key = f"rules.{clipped(str(name))}"
        wrong += _named(key, "rules", name)
        wrong += wrong_parameters(key, "rules", name, parameters if isinstance(parameters, Mapping) else {}, precision)
    return wrong


def _needs_pytorch() -> list[str]:
    """What is wrong where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return [f"module: {registry.PYTORCH}"]
    return []


def _table(tables: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = tables.get(key)
    return table if isinstance(table, Mapping) else {}


def _named(key: str, package: str, name: Any) -> list[str]:
    allowed = registry.names(package)
    if not isinstance(name, str) or name in allowed:
        return []
    ways = []
    if registry.nearest(name, allowed) is None:
        if package == "feedback" and name in registry.names("rules"):
            ways = [f'`{key} = "{registry.get("rules", name).own}"`, which is that rule\'s,']
        ways += [f'`{other} = "{name}"`' for other, family in MODELS.items() if name in registry.names(family)]
    return [unknown(key, name, allowed) + (f"; did you mean {' or '.join(ways)}?" if ways else "")]


def unknown(key: str, value: Any, allowed: list[str]) -> str:
    """The message for a value that is not one of a few names, with what to write instead."""
    near = registry.nearest(value, allowed) if isinstance(value, str) else None
    write = f' Write `{key} = "{near}"`' if near and "[" not in key else ""
    return f"{key}: {registry.unknown(value, allowed)}{write}"


def wrong_parameters(
    table: str, package: str, name: Any, given: Mapping[str, Any], precision: str, further: tuple[str, ...] = ()
) -> list[str]:
    """What is wrong with the parameters of a model, by the types and bounds that its file declares, and by its `refusal`.

    further: what may stand beside the parameters and is checked elsewhere, for messages.
    """
    if not isinstance(name, str) or name not in registry.names(package):
        return []
    model, wrong = registry.get(package, name), []
    model = getattr(model, "Parameters", model)
    for key, value in given.items():
        if key not in model._fields:
            allowed = [*model._fields, *further]
            known = registry.unknown(key, allowed) if allowed else f"{quoted(key)}: it has none"
            wrong.append(f"{table}.{clipped(str(key))}: a parameter of {name} {known}")
        elif choices := get_args(model.__annotations__[key]) if get_origin(model.__annotations__[key]) is Literal else ():
            if value not in choices:
                wrong.append(unknown(f"{table}.{key}", value, [*choices]))
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            wrong.append(f"{table}.{key}: {quoted(value)} is not a number")
        elif isinstance(value, float) and _whole(model.__annotations__[key]):
            wrong.append(f"{table}.{key}: {quoted(value)} is not a whole number, as 3 is")
        elif reason := _out_of_bounds(_of_parameter(model, key), value, precision):
            wrong.append(f"{table}.{key}: {quoted(value)} {reason}")
    if wrong or not hasattr(model, "refusal"):
        return wrong
    try:
        reason = model(**given).refusal()
    except Exception as error:
        return [f"{table}: whether the parameters of {name} go together; its refusal fails: {type(error).__name__}: {error}"]
    return [f"{table}: {reason}"] if reason else []


def _whole(annotation: Any) -> bool:
    """Whether a parameter is a whole number."""
    return (get_args(annotation) or (annotation,))[0] is int


@cache
def _of_parameter(model: Any, key: str) -> TypeAdapter[Any]:
    """What checks a parameter of a model; made once, as that takes longer than many checks."""
    return TypeAdapter(model.__annotations__[key])


def _out_of_bounds(bounds: TypeAdapter[Any], value: float, precision: str) -> str | None:
    """What is wrong with a number, as the network will have it: 1e-60 is 0 in float32."""
    try:
        with np.errstate(over="ignore"):
            bounds.validate_python(float(np.dtype(precision).type(value)))
    except OverflowError:
        return "is too large a number"
    except ValidationError as error:
        return f"is out of bounds in {precision}; {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    return None
