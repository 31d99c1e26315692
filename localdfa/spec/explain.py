"""What each key of a spec is: type, unit, bound, default and meaning, as the tables and models say it of themselves."""

import importlib.util
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, TypeAdapter

from localdfa import registry, toml
from localdfa.errors import LocalDFAError, SpecError, clipped
from localdfa.spec import models
from localdfa.spec.messages import table_of
from localdfa.spec.tables import Condition, Experiment

# Units as descriptions have them, after a comma.
_UNIT = re.compile(r"(?:^|[, ])(ms|Hz|percentage points|percent)\b")
_TYPES = {"number": "number", "integer": "whole number", "string": "text", "boolean": "true or false", "object": "table"}
# Tables of a model's parameters, which stand beside its name or in a table of their own: family, the key before a parameter.
_PARAMETERS = (("neurons", "neuron"), ("optimisers", "optimiser"), ("rules", "rules"), ("modules", "module"))


class Key(NamedTuple):
    """A key of a spec.

    name: ``phases.beta``. of: the model whose parameter it is, empty for keys of tables. type, unit, allowed, default, meaning:
    in words; empty where there is nothing to say.
    """

    name: str
    of: str
    type: str
    unit: str
    allowed: str
    default: str
    meaning: str

    @property
    def label(self) -> str:
        """Its name, and whose parameter it is."""
        return f"{self.name} ({self.of})" if self.of else self.name


def all_keys() -> list[Key]:
    """Every key of a spec, tables in their order, and then the parameters of models.

    What a model does not say of a parameter, another of its kind does that has one of this name.
    """
    of_models = list(_of_models())
    said = {key.name: key for key in reversed(of_models) if key.meaning}
    for i, key in enumerate(of_models):
        if not key.meaning and key.name in said:
            of_models[i] = key._replace(meaning=said[key.name].meaning, unit=said[key.name].unit)
    return [*_of_table(Experiment, ""), *of_models]


# What a new spec says, by table, and what it says behind a mark of comment; the values are as TOML has them.
_NEW = {
    "": (("title", '"{title}"'), ("data", '"{data}"'), ("seeds", "[0]")),
    "network": (("hidden", "[100]"), ("neuron", '"tanh"'), ("#output", '"{output}"'), ("#dropout", "0.1")),
    "phases": (("beta", "0.1"), ("nudging", '"centered"'), ("#propagation", '"two_compartment"')),
    "optimiser": (("name", '"rmsprop"'), ("learning_rate", "3e-3")),
    "preprocess": (("#validation", "0.1"), ("#standardise", "true")),
    "record": (("#weights", '"every_epoch"'), ("#activity", "500")),
    "[stage]": (("epochs", "10"), ("#patience", "5"), ("#keep", '"best"')),
}


# A longer comment ends at its first comma.
_COMMENT = 80


def new(title: str, data: str, regression: bool = False) -> str:
    """A spec to begin with, as TOML, each key with what it is.

    data: a data set; regression: whether it has numbers to be fitted.
    """
    output = "linear" if regression else models.OUTPUT
    by_name = {key.name: key for key in all_keys()}
    lines = [
        f"# To train it and write a report: localdfa run {title}.toml",
        "# What a key is, and what it may be: localdfa explain KEY, or localdfa explain for all keys.",
        "# What is left out, or stands behind a #, has its default.",
    ]
    for table, entries in _NEW.items():
        lines += ["", f"[{table}]"] if table else [""]
        for key, value in entries:
            full = ".".join(filter(None, (table.strip("[]"), key.lstrip("#"))))
            hint = key.startswith("#") and (key != "#output" or output == models.OUTPUT)
            text = f"{'# ' * hint}{key.lstrip('#')} = {value.format(title=title, data=data, output=output)}"
            meaning = by_name[full].meaning.partition(";")[0]
            short = meaning if len(meaning) <= _COMMENT else meaning.partition(",")[0]
            lines.append(f"{text:<34}  # {short if len(short) > 1 else full.partition('.')[2].replace('_', ' ')}")
    lines += [
        "",
        f"{'[[condition]]':<34}  # one training each: a name, and what it changes",
        'name = "local"',
        "",
        "[[condition]]",
        'name = "bp"',
        'rule = "bp"',
    ]
    return "\n".join(lines) + "\n"


def find(name: str) -> list[Key]:
    """The keys that a name stands for: a whole key, a table of them, the last part of some, or a model with parameters.

    Raises
    ------
    SpecError
        There is none; the message has the nearest.

    Examples
    --------
    >>> (key,) = find("phases.free")
    >>> key.type, key.unit, key.allowed, key.default
    ('number', 'ms', '0.01 to 1e+06', '100.0')
    >>> [key.name for key in find("beta")]
    ['phases.beta']
    >>> {key.of for key in find("lif")}
    {'lif'}
    """
    known = all_keys()
    # Entries of lists are written with an index, and conditions have the keys of the experiment.
    plain = re.sub(r"\[\d*\]", "", name).removeprefix("condition.")
    name = plain or ("condition" if name else "")
    for chosen in (
        [key for key in known if key.name == name],
        [key for key in known if key.name.startswith(f"{name}.")],
        [key for key in known if key.name.rpartition(".")[2] == name],
        [key for key in known if name and key.of == name],
    ):
        if chosen:
            return chosen
    names = list(dict.fromkeys([*(key.name for key in known), *(key.name.rpartition(".")[2] for key in known)]))
    near = registry.nearest(name, names) or registry.synonym(name)
    tables = list(Experiment.model_fields)
    unread = "" if importlib.util.find_spec("torch") else "; the parameters of modules are known where PyTorch is installed"
    raise SpecError(
        f"explain: there is no key {clipped(name)!r}{f'; did you mean {near!r}?' if near else ''}; tables and keys are "
        f"{', '.join(tables)}{unread}"
    )


def parsed(text: str) -> dict[str, Any]:
    """The tables of a spec that is written as TOML."""
    return toml.loads(text)


def _of_table(table: type[BaseModel], before: str) -> Iterator[Key]:
    """The keys of a table, and of those within."""
    properties = table.model_json_schema()["properties"]
    for name, field in table.model_fields.items():
        key, inner = f"{before}{name}", table_of(field.annotation)
        if inner is Condition:
            yield Key(key, "", "list of tables", "", "", "", "a name each, and the keys of the experiment that it changes")
            continue
        described = _described(key, properties[name], field.annotation, field.metadata)
        if inner is None:
            yield described
            continue
        if "int" in str(field.annotation):  # a list of numbers or of tables
            yield described
        elif not before or before == "stage.":
            text = (inspect.getdoc(inner) or "").partition("\n\n")[0]
            kind = "list of tables" if properties[name].get("type") == "array" else "table"
            yield described._replace(type=kind, allowed="", default="", unit="", meaning=described.meaning or text)
        yield from _of_table(inner, f"{key}.")


def _of_models() -> Iterator[Key]:
    """The parameters of the models that have any."""
    for family, table in _PARAMETERS:
        for name in registry.inside(family):
            try:
                model = registry.get(family, name)
            except LocalDFAError:  # modules need PyTorch
                continue
            parameters = model if family in ("neurons", "optimisers") else getattr(model, "Parameters", None)
            for key in getattr(parameters, "_fields", ()):
                assert parameters is not None
                annotation, default = parameters.__annotations__[key], parameters._field_defaults[key]
                schema = {**TypeAdapter(annotation).json_schema(), "default": default}
                full = f"{table}.{name}.{key}" if family == "rules" else f"{table}.{key}"
                found = _described(full, schema, annotation, [])
                meaning = found.meaning or _said(inspect.getdoc(parameters) or "", key, parameters._fields)
                unit = found.unit or _unit(meaning)
                yield found._replace(of=name, meaning=meaning, unit=unit)


def _said(text: str, name: str, names: tuple[str, ...]) -> str:
    """What a docstring says of a parameter, after its name and a colon."""
    each = "|".join(map(re.escape, names))
    several = rf"(?:(?:{each}), )*(?:{each})"
    for match in re.finditer(rf"(?<![\w.])({several}): (.*?)(?=(?:\s{several}: )|\n\n|\Z)", text, re.DOTALL):
        if name in match[1].split(", "):
            return " ".join(match[2].split()).rstrip(".")
    return ""


def _unit(text: str) -> str:
    found = _UNIT.search(text)
    return found[1] if found else ""


def _described(key: str, schema: Mapping[str, Any], annotation: Any, metadata: list[Any]) -> Key:
    meaning = schema.get("description", "")
    kind, allowed = _kind(key, schema)
    if least := _least(annotation, metadata):
        allowed = f"0, or {least:g}{allowed[1:]}" if allowed.startswith("0 to") else allowed
    default = schema.get("default")
    written = "" if default is None else json.dumps(default, ensure_ascii=False)
    return Key(key, "", kind, _unit(meaning), allowed, written, meaning)


def _least(annotation: Any, metadata: list[Any]) -> float | None:
    """The least of a number that may be 0 as well (see `localdfa.neurons.zero_or`)."""
    for entry in (*metadata, *getattr(annotation, "__metadata__", ())):
        if isinstance(entry, AfterValidator) and hasattr(entry.func, "least"):
            return float(entry.func.least)
    return next(filter(None, (_least(inner, []) for inner in get_args(annotation))), None)


def _kind(key: str, schema: Mapping[str, Any]) -> tuple[str, str]:
    """Type and bounds of a value, in words."""
    if "anyOf" in schema:  # a value, or nothing
        (first, *_) = (each for each in schema["anyOf"] if each.get("type") != "null")
        return _kind(key, first)
    if key in models.MODELS or key in ("stage.rule",):
        family = models.MODELS.get(key, "rules")
        return "text", ", ".join(registry.names(family))
    if "enum" in schema:
        return "text", ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return "text", str(schema["const"])
    if schema.get("type") == "array":
        items = schema.get("items", {})
        if "oneOf" in items:
            return "list of whole numbers or tables", ""
        kind, allowed = _kind("", items)
        return f"list of {'texts' if kind == 'text' else f'{kind}s'}", allowed
    if schema.get("type") == "object":
        kind, allowed = _kind("", schema["additionalProperties"]) if isinstance(
            schema.get("additionalProperties"), Mapping
        ) else ("", "")  # fmt: skip
        return f"table of {kind}s" if kind and kind != "table" else "table", allowed
    if "pattern" in schema:
        return "text", "letters, digits and _ . + -"
    return _TYPES.get(str(schema.get("type")), "table"), _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    """The bounds of a number, as ``above 0, up to 1``."""
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    parts = [f"above {above:g}"] if above is not None else [f"{low:g} or more"] if low is not None else []
    parts += [f"below {below:g}"] if below is not None else [f"up to {high:g}"] if high is not None else []
    return ", ".join(parts)
