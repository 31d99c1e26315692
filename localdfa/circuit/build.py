"""From a circuit as it is described to the tables of the core: parameters, ranges of neurons, and synapses range by range."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localdfa import memory, neurons, registry
from localdfa.circuit import connect
from localdfa.circuit.connect import Pairs
from localdfa.circuit.values import Distribution, Value, drawn
from localdfa.core import interrupt
from localdfa.core.spiking.simulation import still_tables
from localdfa.core.spiking.tables import PORT, Tables
from localdfa.errors import SpecError, quoted

if TYPE_CHECKING:
    from localdfa.circuit.description import Circuit, Noise, Population, Projection

# Purposes of random numbers, as `network.generator` takes them.
_PAIRS, _WEIGHTS, _DELAYS, START, _PARAMETERS = 40, 41, 42, 43, 44
# A time constant of a synaptic current is apart from those of membranes by this part of them, because the closed forms divide
# by the difference.
_APART = 1e-3
# Delays that are drawn are multiples of this, ms.
_STEP = 0.1
# A range has no fewer neurons than this. A neuron that sends to it has so many synapses there on average, or the second number
# where that leaves a few ranges at least, which threads can share; and of one delay the third number: shorter rows cost more
# than another thread brings. A population has so many ranges at most.
_NEURONS, _SYNAPSES, _AT_LEAST, _OF_DELAY, _FEW, _RANGES = 512, 300, 128, 24, 4, 16
# How many delays a distribution has is counted among so many.
_DRAWN = 1000


class Range(NamedTuple):
    """Neurons `low` to `high` − 1 of a population, by its number."""

    population: int
    low: int
    high: int


class Neurons(NamedTuple):
    """Neurons of a population as the kernels have them, numbers or arrays (size,): the parameters of the model, what a linear
    membrane relaxes to, and the v that is 0 in the kernels."""

    parameters: dict[str, float | np.ndarray]
    rest: float | np.ndarray
    zero: float | np.ndarray


class Drawn(NamedTuple):
    """A circuit whose synapses have been drawn.

    tables: of the core, in which the synapses of a sparse port share one jump where their weights are one constant. projection
    (ports,): of which projection each port has synapses.
    """

    tables: Tables
    projection: np.ndarray


class _Port(NamedTuple):
    """The synapses of one port, n of them: as in `circuit.PORT`, with arrays, or one number, in the place of positions; and of
    which projection they are."""

    projection: int
    pre: int
    range: int
    delay: float
    tau: float
    ends: np.ndarray | None
    targets: np.ndarray | None
    jumps: np.ndarray | float
    n: int


def generator(seed: int, purpose: int, number: int, part: int = 0) -> np.random.Generator:
    """The random numbers of one purpose; number: of the population or projection; part: which part of it."""
    return np.random.default_rng([seed, purpose, number, part])


def with_tau(circuit: "Circuit") -> "list[Projection | Noise]":
    """What may raise a synaptic current."""
    return [*circuit.projections, *circuit.noises]


def taus_of(circuit: "Circuit") -> np.ndarray:
    """The time constants of all synaptic currents, ms, in order."""
    return np.array(sorted({entry.tau_syn for entry in with_tau(circuit)} - {0.0}))


def ranges_of(circuit: "Circuit") -> list[Range]:
    """How populations of neurons are cut; it depends on the circuit alone, and not on who simulates it."""
    found = []
    for k, p in enumerate(circuit.populations.values()):
        if p.model is None:
            continue
        into = [q for q in circuit.projections if q.post.name == p.name]
        parts = p.size // _NEURONS
        if into:
            synapses, senders = sum(map(expected_synapses, into)), sum(q.pre.size for q in into)
            of_delays = sum(q.pre.size * _delays(q) for q in into)
            of_rows = max(synapses / senders / _SYNAPSES, min(synapses / senders / _AT_LEAST, _FEW))
            parts = int(min(parts, of_rows, synapses / of_delays / _OF_DELAY))
        parts = min(max(parts, 1), _RANGES)
        parts = max(parts, -(-p.size // connect.WIDEST))
        found += [Range(k, p.size * r // parts, p.size * (r + 1) // parts) for r in range(parts)]
    return found


def neurons_of(circuit: "Circuit") -> list[Neurons | None]:
    """The neurons of each population, with what is drawn for each; None of a source.

    Raises
    ------
    SpecError
        Parameters of a neuron do not go together, or with the time constants of synapses.
    """
    taus = taus_of(circuit)
    return [None if p.model is None else _neurons(p, circuit.seed, k, taus) for k, p in enumerate(circuit.populations.values())]


def require_apart(circuit: "Circuit") -> None:
    """Refuse time constants that are those of a membrane, before anything is drawn."""
    for entry in with_tau(circuit):
        for p in circuit.populations.values():
            if not (p.model and entry.tau_syn and neurons.is_linear(registry.get("neurons", p.model))):
                continue
            tau_m = p.parameters["tau_m"]
            if isinstance(tau_m, Distribution):  # those that are drawn are put apart
                continue
            near = np.abs(entry.tau_syn - tau_m) < _APART * np.asarray(tau_m)
            if near.any():
                raise SpecError(
                    f"{entry.key}.tau_syn: {entry.tau_syn:g} ms is tau_m of population {p.name!r}; allowed: another time "
                    "constant, apart by 0.1 % or more"
                )


def _neurons(p: "Population", seed: int, k: int, taus: np.ndarray) -> Neurons:
    model = registry.get("neurons", str(p.model))
    found: dict[str, Any] = {}
    # The model also has what a circuit says in another way, which its kernels have to be given.
    complete = {name: p.parameters.get(name, model._field_defaults.get(name)) for name in model._fields}
    for f, (name, value) in enumerate({**complete, "v_rest": p.rest}.items()):
        rng = generator(seed, _PARAMETERS, k, f)
        found[name] = value if isinstance(value, float) else np.array(drawn(value, rng, p.size))
    rest, zero = found.pop("v_rest"), 0.0
    if model.linear:
        if isinstance(p.parameters["tau_m"], Distribution):
            for tau in taus:
                near = np.abs(found["tau_m"] - tau) < 1.01 * _APART * found["tau_m"]
                found["tau_m"][near] = tau * (1 + 1.02 * _APART)
        zero = found["v_reset"]
        found |= {"v_th": found["v_th"] - zero, "v_reset": 0.0}
    if hasattr(model, "refusal"):
        for i in range(p.size):
            one = model(**{name: float(v if np.ndim(v) == 0 else v[i]) for name, v in found.items()})
            if reason := one.refusal():
                raise SpecError(f"population {quoted(p.name)}: neuron {i}: {reason}")
            if all(np.ndim(v) == 0 for v in found.values()):
                break
    return Neurons(found, rest, zero)


def tables_of(circuit: "Circuit", ranges: list[Range], own: list[Neurons | None], threads: int) -> Drawn:
    """The tables of the core: populations, which send, then their ranges, which receive.

    Raises
    ------
    SpecError
        A distribution has hardly anything that is allowed.
    """
    populations, dtype, taus = list(circuit.populations.values()), np.dtype(circuit.precision), taus_of(circuit)
    number = {p.name: k for k, p in enumerate(populations)}
    entries, row_ends, at = [], [np.empty(0, np.int64)], {"jumps": 0, "rows": 0, "targets": 0}
    room = [(_room(projection), projection) for projection in circuit.projections]
    jumps = np.empty(sum(n for n, projection in room if not _share(projection)), dtype)
    targets = np.empty(sum(n for n, projection in room if not _is_plain(projection)), connect.TARGET)
    for port in _ports(circuit, number, ranges, threads):
        current = int(np.searchsorted(taus, port.tau)) if port.tau else -1
        sparse = port.ends is not None
        stride = 0 if sparse and not isinstance(port.jumps, np.ndarray) else 1
        where = {"pre": port.pre, "current": current, "stride": stride, "sums": -1, "traces": -1, **at}
        if not sparse:
            where |= {"rows": -1, "targets": 0}
        entries.append((port.range, port.delay, port.projection, tuple(where[name] for name in PORT.names or ())))
        n_jumps = port.n if stride else 1
        jumps = _put(jumps, at["jumps"], port.jumps, n_jumps)
        at["jumps"] += n_jumps
        if port.ends is not None and port.targets is not None:
            targets = _put(targets, at["targets"], port.targets, port.n)
            at["targets"] += port.n
            at["rows"] += len(port.ends)
            row_ends.append(port.ends)
    # The kernel of dense projections reads a row of jumps for each moment without an arrival as well, and multiplies it by 0.
    jumps.resize(max(at["jumps"], *(r.high - r.low for r in ranges), 0), refcheck=False)
    jumps[at["jumps"] :] = 0
    targets.resize(at["targets"], refcheck=False)
    entries.sort(key=lambda entry: entry[0])
    ports = np.zeros(len(entries), PORT)
    for e, (*_, entry) in enumerate(entries):
        ports[e] = entry
    first_port = np.searchsorted([r for r, *_ in entries], np.arange(len(ranges) + 1))
    sizes = np.array([*(p.size for p in populations), *(r.high - r.low for r in ranges)])
    sends = np.arange(len(sizes)) < len(populations)
    tau_a = [np.inf] * len(populations)
    tau_a += [float(own[r.population].parameters.get("tau_a", np.inf)) for r in ranges]  # type: ignore[union-attr]
    tables = still_tables(
        sizes=sizes,
        membranes=np.where(sends, 0, sizes),
        taus=taus,
        tau_a=np.array(tau_a),
        first_port=np.concatenate([np.zeros(len(populations), np.int64), first_port]),
        ports=ports,
        delay=np.array([delay for _, delay, *_ in entries], float),
        row_ends=np.concatenate(row_ends),
        targets=targets,
        jumps=jumps,
        bias=np.zeros(int(sizes[~sends].sum())),
    )
    return Drawn(tables, np.array([q for _, _, q, _ in entries], np.int64))


def synapses_of(tables: Tables) -> np.ndarray:
    """How many synapses each port has, (ports,); of ports into the ranges of a circuit."""
    ports, post = tables.ports, np.repeat(np.arange(len(tables.first_port) - 1), np.diff(tables.first_port))
    n_pre, sparse = tables.sizes[ports["pre"]], ports["rows"] >= 0
    counts = n_pre * tables.sizes[post]
    counts[sparse] = tables.row_ends[(ports["rows"] + n_pre)[sparse]]
    return counts


def with_own_jumps(tables: Tables) -> Tables:
    """The same where each synapse has a jump of its own, which can then change."""
    counts, order = synapses_of(tables), np.argsort(tables.ports["jumps"], kind="stable")
    ports, begins = tables.ports.copy(), np.cumsum([0, *counts[order]])
    jumps = np.zeros(max(int(begins[-1]), tables.jumps.size), tables.jumps.dtype)
    for p, begin, end in zip(order, begins[:-1], begins[1:], strict=True):
        jumps[begin:end] = jumps_of(tables, tables.ports[p], int(counts[p]))
        ports[p].jumps, ports[p].stride = begin, 1
    return tables._replace(ports=ports, jumps=jumps)


def jumps_of(tables: Tables, port: Any, n: int) -> np.ndarray:
    """The jumps of the n synapses of a port, a view; where they share one, it can only be read."""
    if port.stride == 0:
        return np.broadcast_to(tables.jumps[port.jumps], n)
    return tables.jumps[port.jumps : port.jumps + n]


def _put(whole: np.ndarray, at: int, part: np.ndarray | float, n: int) -> np.ndarray:
    """Put n numbers into an array from `at` on; it grows where there are more than could be expected."""
    if at + n > whole.size:
        whole.resize(max(at + n, whole.size + whole.size // 8), refcheck=False)
    whole[at : at + n] = part
    return whole


def _ports(circuit: "Circuit", number: dict[str, int], ranges: list[Range], threads: int) -> Iterator[_Port]:
    """The ports of all projections in their order; several threads draw some ranges ahead of the one that is asked for."""
    with interrupt.threads(threads) as (pool, _):
        waiting: deque[Any] = deque()
        for q, projection in enumerate(circuit.projections):
            post, pairs = number[projection.post.name], None
            if connect.drawn_whole(projection.kind):
                pairs = pool.submit(_whole, projection, generator(circuit.seed, _PAIRS, q)).result()
            for part, (r, own) in enumerate((r, own) for r, own in enumerate(ranges) if own.population == post):
                draw = partial(_of_range, circuit, q, pairs, part, own, r, number[projection.pre.name])
                waiting.append(pool.submit(draw))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            del pairs
        while waiting:
            yield from waiting.popleft().result()


def _whole(projection: "Projection", rng: np.random.Generator) -> Pairs:
    p = projection
    return connect.whole(p.kind, p.given, p.pre.size, p.post.size, p.own, p.several, rng)


def _of_range(circuit: "Circuit", q: int, pairs: Pairs | None, part: int, own: Range, r: int, pre: int) -> list[_Port]:
    """The ports of projection q into one range, the `part`-th of its population: one for each delay."""
    p, dtype, n_pre = circuit.projections[q], np.dtype(circuit.precision), circuit.projections[q].pre.size

    def rng(purpose: int) -> np.random.Generator:
        return generator(circuit.seed, purpose, q, part)

    if pairs is not None:
        pairs = connect.within(pairs, own.low, own.high)
    elif _is_plain(p) or p.kind != "dense" or p.own:
        pairs = connect.joined(p.kind, p.given, n_pre, own.low, own.high, p.own, p.several, rng(_PAIRS))
    else:
        pairs = connect.all_pairs(n_pre, own.high - own.low)
    n = n_pre * (own.high - own.low) if pairs.targets is None else len(pairs.targets)
    weights = _by_synapse(p.weight, pairs, own, rng(_WEIGHTS), n, dtype)
    if isinstance(p.delay, float):
        return [_port(q, pre, r, p, p.delay, pairs, weights, n)]
    delays = _by_synapse(p.delay, pairs, own, rng(_DELAYS), n, np.dtype(float))
    if isinstance(p.delay, Distribution):
        steps = _steps(delays)
        counts = np.bincount(steps)
        present = np.flatnonzero(counts)
        places = np.zeros(len(counts), np.int64)
        places[present] = np.arange(len(present))
        different, which_part = _STEP * present, places[steps]
    else:
        different, which_part = np.unique(delays, return_inverse=True)
    found = []
    for delay, (own_pairs, which) in zip(different, connect.split(pairs, which_part, len(different)), strict=True):
        some = weights[which] if isinstance(weights, np.ndarray) else weights
        found.append(_port(q, pre, r, p, float(delay), own_pairs, some, len(which)))
    return found


def _port(
    q: int, pre: int, r: int, p: "Projection", delay: float, pairs: Pairs, weights: np.ndarray | float, n: int
) -> _Port:  # fmt: skip
    ends, targets = pairs.ends, pairs.targets
    if p.several:
        ends, targets, weights = connect.merged(pairs, np.broadcast_to(weights, n))
        n = len(targets)
    return _Port(q, pre, r, delay, p.tau_syn, ends, targets, weights, n)


def _by_synapse(
    value: Value, pairs: Pairs, own: Range, rng: np.random.Generator, n: int, dtype: np.dtype
) -> np.ndarray | float:
    """A value of each synapse, or one of them all."""
    if isinstance(value, float):
        return value
    if isinstance(value, Distribution):
        return value.draw(rng, n).astype(dtype, copy=False)
    if pairs.order is not None:
        return value[pairs.order].astype(dtype)
    return value[..., own.low : own.high].ravel().astype(dtype)


def _is_plain(projection: "Projection") -> bool:
    """Whether all reach all, in a table without targets."""
    return projection.kind == "dense" and isinstance(projection.delay, float) and not projection.own


def _share(projection: "Projection") -> bool:
    """Whether the synapses of a port share one jump: where there may be several of a pair, their weights are added up."""
    return isinstance(projection.weight, float) and not (_is_plain(projection) or projection.several)


def _delays(projection: "Projection") -> int:
    """About how many different delays a projection has."""
    if isinstance(projection.delay, Distribution):
        return len(np.unique(_steps(projection.delay.draw(np.random.default_rng(0), _DRAWN))))
    return len(np.unique(projection.delay))


def _steps(delays: np.ndarray | float) -> np.ndarray:
    """Delays that were drawn, ms, as multiples of the step."""
    return np.maximum(np.rint(delays / _STEP), 1).astype(np.int64)


def expected_synapses(projection: "Projection") -> int:
    """About how many synapses a projection will have."""
    n_pre, n_post = projection.pre.size, projection.post.size
    if projection.kind == "dense":
        return n_pre * n_post
    if projection.kind == "one_to_one":
        return n_pre
    if projection.kind == "probability":
        return int(projection.given * n_pre * n_post)
    if projection.kind == "pairs":
        return len(projection.given[0])
    return int(projection.given * (n_post if projection.kind == "in_degree" else n_pre))


def _room(projection: "Projection") -> int:
    """For so many synapses there is to be room at first: hardly ever are there more."""
    n = expected_synapses(projection)
    return n + int(8 * np.sqrt(n)) + 64 if projection.kind == "probability" else n


def require_memory(circuit: "Circuit", ranges: list[Range], threads: int) -> None:
    """Refuse a circuit that does not fit.

    Of each synapse its weight, unless many share one, and of a sparse one its target; of each range the ends of rows. While a
    range is drawn it has these once more, what is drawn or given by synapse in float64, and delays put synapses in order; so
    many ranges as there are threads at once, and one that waits. Pairs that are drawn for a whole population are in int32 for a
    while.
    """
    item, needs = np.dtype(circuit.precision).itemsize, []
    names = list(circuit.populations)
    cut = np.bincount([r.population for r in ranges], minlength=len(names))
    for projection in circuit.projections:
        n, parts_of = _room(projection), int(cut[names.index(projection.post.name)])
        plain, by_weight = _is_plain(projection), not isinstance(projection.weight, float)
        target, weight = 0 if plain else 2, 0 if _share(projection) else item
        while_drawn = target + (8 + item) * by_weight + (0 if isinstance(projection.delay, float) else 36)
        size = n * (weight + target) + n * while_drawn * min(parts_of, threads + 1) // max(1, parts_of)
        size += n * (13 if connect.drawn_whole(projection.kind) else 0)
        size += 0 if plain else 8 * (projection.pre.size + 1) * parts_of
        needs.append(memory.Need(projection.key, f"{expected_synapses(projection):,} synapses", size))
    sizes = sum(p.size for p in circuit.populations.values())
    needs.append(memory.Need("populations", f"{sizes:,} neurons", sizes * 400))
    memory.require_needs(needs, lambda key: f"the circuit, most of it of {key},")
