"""A circuit that runs: its tables, and its state between runs."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localdfa import memory, neurons, registry
from localdfa.circuit import connect
from localdfa.circuit.result import Result
from localdfa.circuit.values import Distribution, Value, drawn
from localdfa.core import interrupt
from localdfa.core.spiking import noise as processes
from localdfa.core.spiking.circuit import PORT
from localdfa.core.spiking.circuit import Circuit as Tables
from localdfa.core.spiking.simulation import Samples, kinds_of, simulation_kernel, still_circuit
from localdfa.core.spiking.state import State, at_rest
from localdfa.errors import SpecError
from localdfa.network import generator

if TYPE_CHECKING:
    from localdfa.circuit.description import Circuit, Noise, Projection

# Purposes of random numbers, as `network.generator` takes them.
_PAIRS, _WEIGHTS, _DELAYS, _START = 40, 41, 42, 43
# A time constant of a synaptic current is apart from those of membranes by this part of them, because the closed forms divide
# by the difference.
_APART = 1e-3
# Delays that are drawn are multiples of this, ms.
_STEP = 0.1
# Windows are this long, ms, where no neuron reaches another one.
_WINDOW = 1.0
# No neuron gets many more events of noise than this in a chunk of arrivals.
_EVENTS = 4.0
# Spikes are taken out of the queues after so much simulated time, ms; and moments nearer than this, ms, are one.
_BATCH, _NEAR = 100.0, 1e-9


class Recorded(NamedTuple):
    """What a run keeps: spikes of these populations, v of those, at multiples of an interval, ms."""

    spikes: set[str]
    v: list[str]
    interval: float


class _Rows(NamedTuple):
    """The synapses of one port: as in `circuit.PORT`, with arrays in the place of positions."""

    pre: int
    post: int
    delay: float
    tau: float
    ends: np.ndarray | None
    targets: np.ndarray | None
    jumps: np.ndarray


@dataclass
class _Stand:
    """Where a simulation stands, at the edge of a window: all that changes with time.

    queues: of each population the spikes that may still be on their way, when they were sent and by which neuron.
    """

    state: State
    noise: processes.Noise
    sources: processes.Noise
    queues: list[tuple[np.ndarray, np.ndarray]]
    window: int = 0


class Simulation:
    """A circuit that has been drawn, and where it stands."""

    def __init__(self, circuit: "Circuit") -> None:
        """Draw all of a circuit.

        Raises
        ------
        SpecError
            Time constants do not go together, a distribution has nothing that is allowed, or memory does not suffice.
        """
        self._populations, self._dtype = list(circuit.populations.values()), np.dtype(circuit.precision)
        self._number = {p.name: k for k, p in enumerate(self._populations)}
        self._seed = circuit.seed
        self._require_apart(circuit)
        _require_memory(circuit)
        self.time = 0.0
        models = list(dict.fromkeys(p.model for p in self._populations if p.model))
        self._kind = np.array([models.index(p.model) if p.model else -1 for p in self._populations])
        values = [list(p.parameters.values()) for p in self._populations]
        self._parameters = np.array([v + [0.0] * (max(map(len, values)) - len(v)) for v in values])
        self._taus = np.array(sorted({q.tau_syn for q in _with_tau(circuit)} - {0.0}))
        rows = [port for q, projection in enumerate(circuit.projections) for port in self._rows(q, projection)]
        self._width = min((port.delay for port in rows if self._populations[port.pre].model), default=_WINDOW)
        self._tables = self._lay_out(rows)
        kinds = kinds_of(self._tables, self._kind, [registry.get("neurons", m) for m in models], self._noise_counts(circuit))
        self._kernel = simulation_kernel(kinds) if kinds else None  # sources alone need none
        self._stand = self._begin(circuit)

    def run(self, end: float, recorded: Recorded) -> Result:
        """Simulate until `end`, ms.

        Windows are simulated whole. What a run asks for of a window that it ends in is read from a copy, which is given up: the
        next run begins at the edge before it.
        """
        begin, stand = self.time, deepcopy(self._stand)  # one that is interrupted leaves all as it was
        last = int((end + _NEAR) / self._width)
        last += end - last * self._width >= self._width - _NEAR
        first, moments = stand.window, _multiples(recorded.interval, begin, end)
        size = sum(p.size for p in self._populations if p.name in recorded.v)
        _require(memory.Part("record", "membranes", moments.size * size * self._dtype.itemsize), recorded)
        samples = Samples(moments, self._first_of(recorded), np.empty((moments.size, size), self._dtype))
        spikes: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in sorted(recorded.spikes)}
        per_batch = max(1, int(_BATCH / self._width))
        with interrupt.threads(1) as (pool, cancelled):
            for window in range(first, last, per_batch):
                stop = min(window + per_batch, last)
                pool.submit(self._advance, stand, stop, samples, spikes, cancelled).result()
            if last * self._width < end - _NEAR:
                pool.submit(self._advance, deepcopy(stand), last + 1, samples, spikes, cancelled).result()
        self.time, self._stand = end, stand
        found = {}
        for name, parts in spikes.items():
            times, who = (
                (np.concatenate(columns) for columns in zip(*parts, strict=True)) if parts else (np.empty(0), np.empty(0, int))
            )
            within = (times >= begin) & (times < end)
            found[name] = times[within], who[within]
        v = {}
        for name in recorded.v:
            population, a = self._populations[self._number[name]], samples.first[self._number[name]]
            v[name] = samples.v[:, a : a + population.size] + self._dtype.type(population.zero)
        return Result(begin, end, {p.name: p.size for p in self._populations}, found, moments, v)

    def _advance(self, stand: _Stand, stop: int, samples: Samples, spikes: dict[str, Any], cancelled: np.ndarray) -> None:
        """Take a simulation to the begin of window `stop`; spikes gets those that were sent meanwhile, by population."""
        until, begin = stop * self._width, stand.window * self._width
        fresh: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for q, k in enumerate(np.flatnonzero([p.rate is not None for p in self._populations])):
            times, who = processes.events_until(stand.sources, q, until)
            order = np.lexsort((who, times))
            fresh[k] = times[order], who[order]
            old = stand.queues[k]
            stand.queues[k] = np.concatenate([old[0], fresh[k][0]]), np.concatenate([old[1], fresh[k][1]])
        state = stand.state
        before = np.array([len(times) for times, _ in stand.queues])
        state.listed[:] = before
        waiting = tuple(np.concatenate(columns) for columns in zip(*stand.queues, strict=True))
        here = (samples.moments >= begin) & (samples.moments < until)
        listens = np.array([p.name in spikes and p.model is not None for p in self._populations])
        seen = Samples(
            samples.moments[here], samples.first, np.empty((np.count_nonzero(here), samples.v.shape[1]), self._dtype)
        )
        queues: Any = tuple(zip(*stand.queues, strict=True))
        if self._kernel:
            queues = self._kernel(
                self._kind, self._parameters, self._tables, stand.noise, state, waiting, listens, self._width, stand.window,
                stop, seen, cancelled,
            )  # fmt: skip
        samples.v[here] = seen.v
        stand.window = stop
        for k, population in enumerate(self._populations):
            times, who = (queue[: state.listed[k]] for queue in (queues[0][k], queues[1][k]))
            if population.name in spikes:
                if population.model:
                    order = np.argsort(times[before[k] :], kind="stable")
                    spikes[population.name].append((times[before[k] :][order], who[before[k] :][order]))
                elif population.trains is None:
                    spikes[population.name].append(fresh[k])
                else:
                    spikes[population.name].append(_between(population.trains, begin, until))
            ports = np.flatnonzero(self._tables.ports["pre"] == k)
            arrived = int(state.received[ports].min(initial=len(times)))
            state.received[ports] -= arrived
            stand.queues[k] = times[arrived:].copy(), who[arrived:].copy()

    def _first_of(self, recorded: Recorded) -> np.ndarray:
        """Where each population whose v is kept begins among them; −1 of others."""
        found, at = np.full(len(self._populations), -1), 0
        for name in recorded.v:
            found[self._number[name]] = at
            at += self._populations[self._number[name]].size
        return found

    def _require_apart(self, circuit: "Circuit") -> None:
        for entry in _with_tau(circuit):
            for p in self._populations:
                if p.model and entry.tau_syn and neurons.is_linear(registry.get("neurons", p.model)):
                    tau_m = p.parameters["tau_m"]
                    if abs(entry.tau_syn - tau_m) < _APART * tau_m:
                        key = entry.key
                        raise SpecError(
                            f"{key}.tau_syn: {entry.tau_syn:g} ms is tau_m of population {p.name!r}; allowed: another time "
                            "constant, apart by 0.1 % or more"
                        )

    def _rows(self, q: int, projection: "Projection") -> list[_Rows]:
        """The ports of projection q: one for each delay."""
        pre, post = self._number[projection.pre.name], self._number[projection.post.name]
        n_pre, n_post = projection.pre.size, projection.post.size
        pairs = connect.joined(
            projection.kind,
            projection.given,
            n_pre,
            n_post,
            projection.own,
            projection.several,
            generator(self._seed, _PAIRS, q),
        )
        several_delays = not isinstance(projection.delay, float)
        if pairs.targets is None and several_delays:
            pairs = connect.all_pairs(n_pre, n_post)
        n = n_pre * n_post if pairs.targets is None else len(pairs.targets)
        weights = _by_synapse(projection.weight, pairs.order, generator(self._seed, _WEIGHTS, q), n).astype(self._dtype)
        if pairs.targets is None:
            return [_Rows(pre, post, float(projection.delay), projection.tau_syn, None, None, weights)]  # type: ignore[arg-type]
        if not several_delays:
            ends, targets, merged = connect.merged(pairs, weights)
            return [_Rows(pre, post, float(projection.delay), projection.tau_syn, ends, targets, merged)]  # type: ignore[arg-type]
        delays = _by_synapse(projection.delay, pairs.order, generator(self._seed, _DELAYS, q), n)
        if isinstance(projection.delay, Distribution):
            delays = _STEP * np.maximum(np.rint(delays / _STEP), 1)
        different, part = np.unique(delays, return_inverse=True)
        found = []
        for delay, (own, which) in zip(different, connect.split(pairs, part, len(different)), strict=True):
            found.append(_Rows(pre, post, float(delay), projection.tau_syn, *connect.merged(own, weights[which])))
        return found

    def _lay_out(self, rows: list[_Rows]) -> Tables:
        """The tables of the core."""
        rows = sorted(rows, key=lambda port: port.post)
        ports, at = np.zeros(len(rows), PORT), {"jumps": 0, "rows": 0, "targets": 0}
        for p, port in enumerate(rows):
            sparse = port.targets is not None
            current = int(np.searchsorted(self._taus, port.tau)) if port.tau else -1
            where = {"pre": port.pre, "current": current, "sums": -1, "traces": -1, **at}
            if not sparse:
                where |= {"rows": -1, "targets": 0}
            ports[p] = tuple(where[name] for name in PORT.names or ())
            at["jumps"] += len(port.jumps)
            at["rows"] += len(port.ends) if port.ends is not None else 0
            at["targets"] += len(port.targets) if port.targets is not None else 0
        sizes = np.array([p.size for p in self._populations])
        return still_circuit(
            sizes=sizes,
            membranes=np.where(self._kind >= 0, sizes, 0),
            taus=self._taus,
            tau_a=np.array([p.parameters.get("tau_a", np.inf) for p in self._populations]),
            first_port=np.searchsorted([port.post for port in rows], np.arange(len(sizes) + 1)),
            ports=ports,
            delay=np.array([port.delay for port in rows], float),
            row_ends=_joined([port.ends for port in rows if port.ends is not None], np.int64),
            targets=_joined([port.targets for port in rows if port.targets is not None], np.int32),
            jumps=_joined([port.jumps for port in rows], self._dtype),
            bias=np.zeros(int(sizes[self._kind >= 0].sum())),
        )

    def _noise_counts(self, circuit: "Circuit") -> np.ndarray:
        """How many sources of noise each population has."""
        return np.bincount([self._number[each.post.name] for each in circuit.noises], minlength=len(self._populations))

    def _begin(self, circuit: "Circuit") -> _Stand:
        """The circuit at the beginning."""
        first = self._tables.first
        start = np.zeros(first[-1])
        for k, p in enumerate(self._populations):
            if p.model:
                own: Any = p.parameters["v_reset"]
                if p.start is not None:
                    own = drawn(p.start, generator(self._seed, _START, k), p.size) - p.zero
                start[first[k] : first[k + 1]] = own
        state = at_rest(self._tables, start)
        for k, p in enumerate(self._populations):
            state.drive[first[k] : first[k + 1]] = p.rest - p.zero
        for name, current in circuit.currents.items():
            k = self._number[name]
            state.drive[first[k] : first[k + 1]] += current
        noises = sorted(enumerate(circuit.noises), key=lambda pair: self._number[pair[1].post.name])
        noise = self._processes([(q, self._number[n.post.name], n.rate, n.weight, n.tau_syn) for q, n in noises])
        sources = self._processes(
            [(len(noises) + k, k, p.rate, 0.0, 0.0) for k, p in enumerate(self._populations) if p.rate is not None]
        )
        none = (np.empty(0), np.empty(0, np.int64))
        return _Stand(state, noise, sources, [none if p.trains is None else p.trains for p in self._populations] + [none])

    def _processes(self, entries: list[tuple[int, int, Any, Any, float]]) -> processes.Noise:
        """Poisson processes, at the beginning; entries: number, population, rate in Hz, weight and tau_syn of each source."""
        sizes = [self._populations[k].size for _, k, *_ in entries]
        first = np.cumsum([0, *sizes])
        mean, jump = np.empty(first[-1]), np.empty(first[-1], self._dtype)
        most = np.zeros(len(self._populations))
        for q, (_, k, rate, weight, _) in enumerate(entries):
            with np.errstate(divide="ignore"):
                mean[first[q] : first[q + 1]] = 1e3 / np.asarray(rate)
            jump[first[q] : first[q + 1]] = weight
            most[k] += 1e-3 * np.max(rate)
        with np.errstate(divide="ignore"):
            longest = _EVENTS / most
        words = np.array([self._seed & 0xFFFFFFFF, self._seed >> 32], np.uint64)
        found = processes.Noise(
            seed=words,
            number=np.array([q for q, *_ in entries], np.int64),
            first_source=np.searchsorted([k for _, k, *_ in entries], np.arange(len(self._populations) + 1)),
            first=first.astype(np.int64),
            current=np.array([np.searchsorted(self._taus, tau) if tau else -1 for *_, tau in entries], np.int64),
            jump=jump,
            mean=mean,
            longest=longest,
            time=np.zeros(first[-1]),
            passed=np.zeros(first[-1], np.int64),
            later_time=np.zeros(first[-1]),
            later_count=np.zeros(first[-1], np.int64),
            ahead_time=np.zeros(len(entries)),
            ahead_count=np.zeros(len(entries), np.int64),
        )
        processes.begin(found)
        return found


def _with_tau(circuit: "Circuit") -> list["Projection | Noise"]:
    """What may raise a synaptic current."""
    return [*circuit.projections, *circuit.noises]


def _by_synapse(value: Value, order: np.ndarray | None, rng: np.random.Generator, n: int) -> np.ndarray:
    """A value of each synapse; arrays are in the order in which pairs were given."""
    found = drawn(value, rng, n)
    return found[order] if order is not None and isinstance(value, np.ndarray) else found


def _joined(parts: list[np.ndarray], dtype: Any) -> np.ndarray:
    """Arrays end to end; of a single one no copy."""
    return parts[0].astype(dtype, copy=False) if len(parts) == 1 else np.concatenate([np.empty(0, dtype), *parts])


def _between(trains: tuple[np.ndarray, np.ndarray], begin: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """The spikes from `begin` until `end`."""
    a, b = np.searchsorted(trains[0], [begin, end])
    return trains[0][a:b], trains[1][a:b]


def _multiples(interval: float, begin: float, end: float) -> np.ndarray:
    """The multiples of an interval from `begin` until `end`."""
    first, last = int(np.ceil(begin / interval - 1e-9)), int(np.ceil(end / interval - 1e-9))
    return interval * np.arange(first, last)


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


def _require_memory(circuit: "Circuit") -> None:
    """Refuse a circuit that does not fit.

    Of each synapse its weight, twice while arrays are put end to end, and of a sparse one its target as well and the neuron
    that sends; what is given or drawn by synapse is in float64 for a while, and delays put synapses in order.
    """
    item, parts = np.dtype(circuit.precision).itemsize, []
    for projection in circuit.projections:
        n = expected_synapses(projection)
        plain = projection.kind == "dense" and isinstance(projection.delay, float) and not projection.own
        each = 2 * item + (0 if plain else 12)
        each += 0 if isinstance(projection.weight, float) else 8
        each += 0 if isinstance(projection.delay, float) else 32
        parts.append(memory.Part(projection.key, f"{n:,} synapses", n * each))
    neurons_ = sum(p.size for p in circuit.populations.values())
    parts.append(memory.Part("populations", f"{neurons_:,} neurons", neurons_ * 120))
    memory.require_parts(parts, lambda key: f"the circuit, most of it of {key},")


def _require(part: memory.Part, recorded: Recorded) -> None:
    """Refuse a record that does not fit."""
    memory.require_parts([part], lambda key: f"{key}: v of {', '.join(recorded.v)} each {recorded.interval:g} ms")
