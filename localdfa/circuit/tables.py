"""A circuit as tables, which stand in a file of TOML, and back: the same lists under the same names as in Python."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from localdfa import registry
from localdfa.circuit.values import Distribution, Value
from localdfa.errors import SpecError, quoted
from localdfa.spec import Experiment

if TYPE_CHECKING:
    from localdfa.circuit.description import Circuit, Noise, Population, Projection, Pulse

_TABLES = ("population", "source", "projection", "input")
# Of sources and inputs the keys of each kind, the first of which says that it is one.
_SOURCES = {"rate": ("rate",), "times": ("times", "neurons")}
_INPUTS = {"rate": ("rate", "weight", "tau_syn"), "current": ("current", "begin", "end", "step")}


def fill(circuit: "Circuit", tables: Mapping[str, Any]) -> None:
    """Add all that tables have to a circuit.

    Raises
    ------
    SpecError
        The message names the table and the key, what is wrong, and what is allowed.
    """
    for key in tables:
        if key not in (*_TABLES, "seed", "precision"):
            if key in Experiment.model_fields:
                raise SpecError(f"key {key!r} is one of an experiment, which `localdfa run` trains, and not of a circuit")
            raise SpecError(f"key {registry.unknown(key, ['seed', 'precision', *_TABLES])}")
    for name in _TABLES:
        entries = tables.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise SpecError(f"{name}: {quoted(entries)}; allowed: tables, each under [[{name}]]")
        for number, entry in enumerate(entries, 1):
            try:
                _ADD[name](circuit, dict(entry))
            except SpecError as error:
                raise SpecError(f"[[{name}]] {number}: {error}") from None


def _population(circuit: "Circuit", entry: dict[str, Any]) -> None:
    if "self" in entry:  # which Python would take for the circuit
        raise SpecError("self: is no parameter of a population")
    circuit.population(_take(entry, "name"), _take(entry, "size"), **entry)


def _source(circuit: "Circuit", entry: dict[str, Any]) -> None:
    name, size = _take(entry, "name"), _take(entry, "size")
    if _kind(entry, _SOURCES) == "rate":
        circuit.poisson(name, size, entry["rate"])
    else:
        circuit.trains(name, size, entry["times"], _take(entry, "neurons"))


def _projection(circuit: "Circuit", entry: dict[str, Any]) -> None:
    keys = [*inspect.signature(circuit.project).parameters]
    _require_known(entry, keys)
    circuit.project(_take(entry, "pre"), _take(entry, "post"), **entry)


def _input(circuit: "Circuit", entry: dict[str, Any]) -> None:
    post = _take(entry, "post")
    if _kind(entry, _INPUTS) == "rate":
        circuit.noise(post, _take(entry, "rate"), _take(entry, "weight"), **entry)
    else:
        circuit.current(post, _take(entry, "current"), **entry)


_ADD: dict[str, Callable[["Circuit", dict[str, Any]], None]] = {
    "population": _population, "source": _source, "projection": _projection, "input": _input
}  # fmt: skip


def _take(entry: dict[str, Any], key: str) -> Any:
    if key not in entry:
        raise SpecError(f"{key}: is missing")
    return entry.pop(key)


def _kind(entry: dict[str, Any], kinds: Mapping[str, tuple[str, ...]]) -> str:
    """Which of these kinds an entry is, of which it has no other keys."""
    there = [kind for kind in kinds if kind in entry]
    if len(there) != 1:
        found = f"{' and '.join(there)} stand together" if there else "says neither of what kind it is"
        raise SpecError(f"{found}; allowed: one of {', '.join(kinds)}")
    _require_known(entry, [*kinds[there[0]]])
    return there[0]


def _require_known(entry: dict[str, Any], keys: list[str]) -> None:
    for key in entry:
        if key not in keys:
            raise SpecError(f"key {registry.unknown(key, keys)}")


def tables_of(circuit: "Circuit") -> dict[str, Any]:
    """All of a circuit, with arrays where it was given any; `fill` makes the same of it, to the bit."""
    found: dict[str, Any] = {"seed": circuit.seed, "precision": circuit.precision}
    found["population"] = [_of_population(p) for p in circuit.populations.values() if p.model]
    found["source"] = [_of_source(p) for p in circuit.populations.values() if not p.model]
    found["projection"] = [_of_projection(q) for q in circuit.projections]
    found["input"] = [_of_noise(n) for n in circuit.noises]
    found["input"] += [{"post": name, "current": _constant(current)} for name, current in circuit.currents.items()]
    found["input"] += [_of_pulse(pulse) for pulse in circuit.pulses]
    return {key: value for key, value in found.items() if not isinstance(value, list) or value}


def to_toml(circuit: "Circuit") -> str:
    """A circuit as TOML.

    Raises
    ------
    SpecError
        Weights have been learned or set, or rates have, which TOML does not say.
    """
    if circuit.learned:
        key = circuit.projections[min(circuit.learned)].key
        raise SpecError(f"{key}: its weights have been learned or set, which is not in TOML; allowed: Circuit.save")
    for name in circuit.rates:
        raise SpecError(f"source {quoted(name)}: its rate has changed since, which is not in TOML; allowed: Circuit.save")
    return tomli_w.dumps(_without_arrays(tables_of(circuit)))


def _of_population(p: "Population") -> dict[str, Any]:
    model = registry.get("neurons", str(p.model))
    found: dict[str, Any] = {"name": p.name, "size": p.size, "model": p.model}
    found |= {key: _of(value) for key, value in p.parameters.items()}
    found |= {"v_rest": _of(p.rest)} if model.linear else {}
    return found | ({} if p.start is None else {"start": _of(p.start)})


def _of_source(p: "Population") -> dict[str, Any]:
    found: dict[str, Any] = {"name": p.name, "size": p.size}
    if p.trains is None:
        return found | {"rate": p.rate}
    return found | {"times": p.trains[0], "neurons": p.trains[1]}


def _of_projection(q: "Projection") -> dict[str, Any]:
    found: dict[str, Any] = {"pre": q.pre.name, "post": q.post.name}
    if q.kind in ("dense", "one_to_one"):
        found["connect"] = q.kind
    else:
        found[q.kind] = list(q.given) if q.kind == "pairs" else q.given
    found |= {"weight": _of(q.weight), "delay": _of(q.delay), "tau_syn": q.tau_syn}
    found |= {"sign": q.sign} if q.sign else {}
    found |= {"self_connections": False} if q.own else {}
    found |= {"plastic": True} if q.plastic else {}
    return found | ({"multapses": True} if q.several else {})


def _of_noise(n: "Noise") -> dict[str, Any]:
    return {"post": n.post.name, "rate": n.rate, "weight": n.weight, "tau_syn": n.tau_syn}


def _of_pulse(p: "Pulse") -> dict[str, Any]:
    found: dict[str, Any] = {"post": p.post.name, "current": p.value, "begin": p.begin}
    if p.step is not None:
        return found | {"step": p.step}
    return found | ({"end": p.end} if p.end < np.inf else {})


def _of(value: Value) -> Any:
    return {"distribution": value.name, **value.parameters} if isinstance(value, Distribution) else value


def _constant(values: np.ndarray) -> Any:
    """One number for an array in which all are the same."""
    return float(values[0]) if (values == values[0]).all() else values


def _without_arrays(value: Any) -> Any:
    """Arrays as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _without_arrays(each) for key, each in value.items()}
    return [_without_arrays(each) for each in value] if isinstance(value, list) else value
