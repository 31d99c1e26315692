"""A circuit that runs: its tables, and its state between runs."""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads

from localdfa import memory, registry
from localdfa.circuit import build
from localdfa.circuit.result import Result
from localdfa.circuit.stored import InMemory, Recorded, Stream
from localdfa.circuit.values import Distribution, drawn
from localdfa.core import interrupt
from localdfa.core.spiking import noise as processes
from localdfa.core.spiking.simulation import (
    Queues,
    Ranges,
    Samples,
    Team,
    in_spans,
    kinds_of,
    simulation_kernel,
    windows_of_a_span,
)
from localdfa.core.spiking.spans import spans_of
from localdfa.core.spiking.state import State, at_rest
from localdfa.core.spiking.tables import PORT
from localdfa.errors import SpecError

if TYPE_CHECKING:
    from localdfa.circuit.description import Circuit, Population, Pulse
    from localdfa.circuit.values import Value

# Windows are this long, ms, where no neuron reaches another one, and no longer than this, which bounds the room for spikes.
_WINDOW, _LONGEST = 1.0, 10.0
# No neuron gets many more events of noise than this in a chunk of arrivals.
_EVENTS = 4.0
# Spikes are taken out of the queues after so much simulated time, ms, or so many of them; and moments nearer than this, ms, are
# one.
_BATCH, _SPIKES, _NEAR = 100.0, 2**16, 1e-9
# Membranes are looked at all together, whichever are kept of them, and taken out once they take about so many bytes.
_ROOM = 2**25
# A thread more is used of itself for so many neurons more: with fewer, threads wait for one another most of the time.
_SHARE = 1000


class _Hands(NamedTuple):
    """The threads that simulate: how many, their pool, and the flag (1,) that ends their work."""

    number: int
    pool: ThreadPoolExecutor
    cancelled: np.ndarray


class Inlet(NamedTuple):
    """A port of the tables into neurons `low` to `high` − 1 of a population: a record of `core.spiking.tables.PORT`, the
    number of the projection whose synapses it has, how many these are, the population that sends, and the delay, ms."""

    port: Any
    projection: int
    synapses: int
    pre: "Population"
    low: int
    high: int
    delay: float


@dataclass
class _Stand:
    """Where a simulation stands, at the edge of a window: all that changes with time.

    queues: of each population the spikes that may still be on their way, when they were sent and by which neuron. on: the
    currents that are on since the last change, by number, in order.
    """

    state: State
    noise: processes.Noise
    sources: processes.Sources
    queues: list[tuple[np.ndarray, np.ndarray]]
    window: int = 0
    on: list[int] = field(default_factory=list)


class _Pulse(NamedTuple):
    """A current that changes at edges of windows: its first window, and the one after its last.

    post: the number of its population, and own: where the neurons of that stand. value: a number or an array (size,); or,
    where each of them holds for `per` windows, (T,) or (T, size).
    """

    first: int
    last: float
    post: int
    own: slice
    value: Any
    per: int | None

    def at(self, window: int) -> Any:
        """What it adds to the drive in a window in which it is on."""
        return self.value if self.per is None else self.value[(window - self.first) // self.per]

    def edges(self) -> list[float]:
        """The windows that it changes at the beginning of."""
        within = [] if self.per is None else range(self.first, int(self.last), self.per)
        return [self.first, *within, self.last]


class Simulation:
    """A circuit that has been drawn, and where it stands."""

    def __init__(self, circuit: "Circuit", threads: int | None = None, width: float | None = None) -> None:
        """Draw all of a circuit; width: of its windows, ms, where they were chosen before some of its currents were added.

        Raises
        ------
        SpecError
            Time constants do not go together, a distribution has nothing that is allowed, or memory does not suffice.
        """
        self.populations, self._dtype = list(circuit.populations.values()), np.dtype(circuit.precision)
        self._number = {p.name: k for k, p in enumerate(self.populations)}
        # Of sources of Poisson processes the rates as they stand, Hz.
        self.rates = {p.name: circuit.rates.get(p.name, p.rate) for p in self.populations if p.rate is not None}
        self._drawn: int | None = None
        self._seed, self.time = circuit.seed, 0.0
        build.require_apart(circuit)
        self._cut = build.ranges_of(circuit)
        build.require_memory(circuit, self._cut, self._threads(threads))
        self._neurons = build.neurons_of(circuit)
        self._tables, self._projection = build.tables_of(circuit, self._cut, self._neurons, self._threads(threads))
        if circuit.learned:
            self._own_jumps()
        for q, learned in circuit.learned.items():
            self.weights_of(q)[...] = learned
        senders, tables = len(self.populations), self._tables
        self._ranges = Ranges(
            np.array([r.population for r in self._cut], np.int64), np.array([r.low for r in self._cut], np.int64)
        )
        of_neurons = [p.model is not None for p in self.populations]
        self._width = min(float(tables.delay[np.take(of_neurons, tables.ports["pre"])].min(initial=np.inf)), _LONGEST)
        if not np.take(of_neurons, tables.ports["pre"]).any():
            self._width = _WINDOW
        self._width = width or _dividing(self._width, [t for p in circuit.pulses for t in (p.begin, p.end, p.step or 0.0)])
        self._kind, self._parameters, self._own, models = self._models()
        noises = np.bincount([self._number[each.post.name] for each in circuit.noises], minlength=senders)
        noises = np.concatenate([np.zeros(senders, np.int64), noises[self._ranges.population]])
        tau_ms = [float(np.min(own.parameters["tau_m"])) for own in self._neurons if own and "tau_m" in own.parameters]
        windows = windows_of_a_span(tables, self._width, tau_ms)
        chosen = in_spans(tables, self._kind, models, noises, windows)
        self._spans = spans_of(chosen, windows, int(tables.first[-1]), tables.taus.size, self._dtype)
        kinds = kinds_of(tables, self._kind, models, noises, chosen)
        self._kernel = simulation_kernel(kinds) if kinds else None  # sources alone need none
        # All neurons of a range spike in a span so often at most; a little more, as times are rounded.
        periods = self._spans.windows * self._width / self._parameters[senders:, -1]
        self._parameters = self._parameters[:, :-1]
        self._most = np.array([(r.high - r.low) * (5 + int(n)) for r, n in zip(self._cut, periods, strict=True)], np.int64)
        self._stand = self._begin(circuit)
        self._constant, self._start = self._stand.state.drive.copy(), self._stand.state.v.copy()
        self._pulses: list[_Pulse] = []
        # The windows at whose begin currents change, in order; and of each the numbers of the pulses that change there, so that
        # a change costs what these and those that are on do.
        self._changes, self._changing = np.array([0.0, np.inf]), dict[float, list[int]]()
        self._give(circuit.pulses)

    def run(
        self, end: float, recorded: Recorded, threads: int | None, progress: Callable[[float], None], to: Path | None
    ) -> Result:
        """Simulate until `end`, ms; to: the file that gets what is recorded, or None where it stays in memory.

        Spans of windows are simulated whole. What a run asks for of a span that it ends in is read from a copy, which is given
        up: the next run begins at the edge before it.
        """
        begin, stand = self.time, deepcopy(self._stand)  # one that is interrupted leaves all as it was
        last = self._last_until(end)
        after = last + (last * self._width < end)  # the window after the last one of which anything is asked
        last -= last % self._spans.windows
        per_batch = self.require_room(end, recorded, to is None)
        sizes, moments = {p.name: p.size for p in self.populations}, multiples(recorded.interval, begin, end)
        kept: InMemory | Stream
        if to is None:
            kept = InMemory(begin, end, sizes, recorded, moments, self._dtype)
        else:
            kept = Stream(to, begin, end, sizes, recorded, self._dtype, {"seed": self._seed, "checksum": self.drawn()})
        count = self._threads(threads)
        with kept, interrupt.threads(count) as (pool, cancelled):
            hands = _Hands(count, pool, cancelled)
            since = begin
            while stand.window < last:
                # Batches end where spans do, also after a change within one (`settle`).
                stop = min(stand.window - stand.window % self._spans.windows + per_batch, last)
                self._record(stand, stop, since, (begin, end), recorded, moments, hands, kept)
                since = stand.window * self._width
                progress(min(since, end))
            if last < after:
                self._record(deepcopy(stand), after, since, (begin, end), recorded, moments, hands, kept)
        self.time, self._stand = end, stand
        progress(end)
        return kept.result()

    def require_room(self, end: float, recorded: Recorded, in_memory: bool) -> int:
        """How many windows a batch of a run until `end` has; membranes are let go after each, unless all stay in memory.

        Raises
        ------
        SpecError
            Memory does not suffice for them.
        """
        sizes, (first, last) = {p.name: p.size for p in self.populations}, _numbers(recorded.interval, self.time, end)
        span, seen = self._spans.windows, sum(sizes[name] for name in recorded.v)
        longest = _ROOM * recorded.interval / (seen * self._dtype.itemsize) if seen else _BATCH
        windows = span * max(1, int(min(_BATCH, longest) / (self._width * span)))
        # In a batch they stand in two places.
        numbers = 2 * seen * min(last - first, int(np.ceil(windows * self._width / recorded.interval)))
        if in_memory:
            numbers += (last - first) * sum(recorded.columns(name, sizes[name]) for name in recorded.v)
        needs = [
            memory.Need("record", "membranes", numbers * self._dtype.itemsize),
            memory.Need("record", "moments", 8 * (last - first)),
        ]
        memory.require_needs(needs, lambda key: f"{key}: v of {', '.join(recorded.v)} each {recorded.interval:g} ms")
        return windows

    def _record(
        self,
        stand: _Stand,
        stop: int,
        since: float,
        within: tuple[float, float],
        recorded: Recorded,
        moments: np.ndarray,
        hands: _Hands,
        kept: InMemory | Stream,
    ) -> None:
        """Take a simulation to the begin of window `stop`, and keep what is recorded until then, of the run `within`, ms.

        since: until when all has been kept, ms; a bit before the window where the simulation stands, if its edge is rounded up.
        """
        until = stop * self._width
        here = moments[(moments >= since) & (moments < until)]
        size = sum(self.populations[self._number[name]].size for name in recorded.v)
        samples = Samples(here, self._first_of(recorded), np.empty((here.size, size), self._dtype))
        parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in sorted(recorded.spikes)}
        self._advance(stand, stop, since, samples, parts, hands)
        spikes, v, at = {}, {}, 0
        for name, columns in parts.items():
            times, who = (np.concatenate(column) for column in zip(*columns, strict=True)) if columns else _none()
            own = (times >= within[0]) & (times < within[1])
            spikes[name] = times[own], who[own]
        for name in recorded.v:
            k = self._number[name]
            neurons, n = self._neurons[k], self.populations[k].size
            assert neurons is not None
            some = recorded.neurons.get(name, slice(None))
            v[name] = samples.v[:, at : at + n][:, some] + np.broadcast_to(np.asarray(neurons.zero, self._dtype), n)[some]
            at += n
        kept.add(min(until, within[1]), spikes, here, v)

    def change_constant(self, circuit: "Circuit") -> None:
        """Take the constant currents of a circuit anew, before any of it has been simulated."""
        self._constant[:] = self._drive(circuit)
        self._stand.state.drive[:] = self._constant

    def change_currents(self, pulse: "Pulse") -> None:
        """Give a population a current that begins no earlier than the simulation stands; errors as of `require_edge`."""
        for name, time in (("begin", pulse.begin), ("end", pulse.end), ("step", pulse.step or 0.0)):
            self.require_edge(f"current of {pulse.post.name!r}.{name}", time)
        self._keep_drawn()
        self._give([pulse])

    def require_edge(self, key: str, time: float) -> None:
        """Refuse a moment within a window, ms, at which no current can change.

        Raises
        ------
        SpecError
            The message begins with the key.
        """
        if time < np.inf and abs(time - self._width * round(time / self._width)) > _NEAR:
            later = np.ceil(time / self._width) * self._width
            raise SpecError(
                f"{key}: {time:g}; a circuit that has been drawn is simulated in windows of {self._width:.6g} ms; allowed: "
                f"multiples of that, as {later:.6g}"
            )

    def change_rates(self, name: str, rates: "Value") -> None:
        """Let the processes of a source go on at other rates, Hz, from where the simulation stands; errors as of `settle`."""
        self.settle(f"rates of {name!r}")
        self._keep_drawn()
        of_source = [p.name for p in self.populations if p.rate is not None].index(name)
        mean = _intervals(np.broadcast_to(np.asarray(rates, float), self.populations[self._number[name]].size))
        processes.change(self._stand.sources, of_source, mean, self.time)
        self.rates[name] = rates

    def settle(self, key: str) -> None:
        """Take the simulation to the very time at which it stands, and not to the span before it, for what changes there.

        Raises
        ------
        SpecError
            It stands within a window; the message begins with the key.
        """
        window = round(self.time / self._width)
        if abs(self.time - window * self._width) > _NEAR:
            later = (self._last_until(self.time) + 1) * self._width
            raise SpecError(
                f"{key}: the circuit stands at {self.time:g} ms, within a window of {self._width:.6g} ms; allowed: at "
                f"multiples of it, as {later:.6g} ms"
            )
        if window == self._stand.window:  # as after another change at this moment
            return
        stand, count = deepcopy(self._stand), self._threads(None)
        nothing = Samples(np.empty(0), np.full(self._kind.size, -1), np.empty((0, 0), self._dtype))
        with interrupt.threads(count) as (pool, cancelled):
            self._advance(stand, window, self.time, nothing, {}, _Hands(count, pool, cancelled))
        self._stand = stand

    @property
    def width(self) -> float:
        """Of windows, ms."""
        return self._width

    def drawn(self) -> int:
        """The checksum of the circuit as it was drawn, whatever has changed since."""
        return self.checksum() if self._drawn is None else self._drawn

    def _keep_drawn(self) -> None:
        """Remember what was drawn, before some of it changes."""
        self._drawn = self.drawn()

    def checksum(self) -> int:
        """Of all that describes the circuit as it stands: synapses, and parameters, drive, pulses and noise of neurons."""
        tables, stand, found = self._tables, self._stand, 0
        ports = [np.ascontiguousarray(tables.ports[name]) for name in PORT.names or () if name not in ("jumps", "stride")]
        synapses = *ports, tables.row_ends, tables.targets, tables.delay, tables.taus
        jumps = [build.jumps_of(tables, p, int(n)) for p, n in zip(tables.ports, build.synapses_of(tables), strict=True)]
        # One that all synapses of a port have counts once, whether they share it or each has its own.
        jumps = [some[:1] if (some[:1] == some).all() else some for some in jumps]
        noise = stand.noise.mean, stand.noise.kept, stand.noise.jump, stand.sources.mean
        pulses = [
            np.array([p.first, p.last, p.own.start, *(() if p.per is None else (p.per,)), *np.ravel(p.value)])
            for p in self._pulses
        ]
        for array in (*synapses, *jumps, self._parameters, self._own, self._constant, *pulses, *noise):
            found = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, found)
        return found

    @property
    def taus(self) -> np.ndarray:
        """The time constants of synaptic currents, ms, in order."""
        return self._tables.taus

    def neurons(self) -> dict[str, dict[str, np.ndarray]]:
        """Of each population of neurons all parameters, v where it stands, and its constant drive, each (size,)."""
        found = {}
        for k, (p, own) in enumerate(zip(self.populations, self._neurons, strict=True)):
            if own is None:
                continue
            here = self._neurons_of(k)
            levels = {name: own.parameters[name] + own.zero for name in ("v_th", "v_reset")}
            levels |= {"v": self._stand.state.v[here] + own.zero, "drive": self._stand.state.drive[here] + own.zero}
            found[p.name] = {name: np.broadcast_to(x, p.size) for name, x in {**own.parameters, **levels}.items()}
        return found

    def let_weights_change(self) -> None:
        """Let each synapse have a weight of its own from now on, which may change, where some share one until then.

        Raises
        ------
        SpecError
            Memory does not suffice.
        """
        self._keep_drawn()
        self._own_jumps()

    def _own_jumps(self) -> None:
        if not self._tables.ports["stride"].all():
            n = int(build.synapses_of(self._tables).sum())
            need = memory.Need("weights", f"{n:,} synapses", n * self._dtype.itemsize)
            memory.require_needs([need], lambda key: f"a {key[:-1]} for each synapse, which can change,")
            self._tables = build.with_own_jumps(self._tables)

    def change_weights(self, pre: str, post: str, weights: np.ndarray) -> set[int]:
        """Give synapses from one population to another these weights, (n_synapses,) in the order of `synapses`, or () of all.

        Returns the projections that they are of, whose weights `weights_of` then has. Errors are as of `settle`.
        """
        self.settle(f"weights from {pre!r} to {post!r}")
        self.let_weights_change()
        changed, at = set[int](), 0
        for inlet in self._inlets(pre, post):
            jumps = build.jumps_of(self._tables, inlet.port, inlet.synapses)
            jumps[...] = weights[at : at + jumps.size] if weights.ndim else weights
            changed.add(inlet.projection)
            at += jumps.size
        return changed

    def counts(self, pre: str, post: str) -> list[tuple[int, int]]:
        """Of synapses from one population to another, in the order of `synapses`: of which projection, and how many."""
        return [(inlet.projection, inlet.synapses) for inlet in self._inlets(pre, post)]

    def _inlets(self, pre: str, post: str) -> list[Inlet]:
        """All that leads from one population to another, in the order of `synapses`: current by current, as they come."""
        by_current: dict[int, list[Inlet]] = {}
        for inlet in self.inlets_of(post):
            if inlet.pre.name == pre:
                by_current.setdefault(int(inlet.port.current), []).append(inlet)
        return [inlet for inlets in by_current.values() for inlet in inlets]

    @property
    def jumps(self) -> np.ndarray:
        """The weights of all synapses, which `Inlet.port` says where to find."""
        return self._tables.jumps

    def begin_of(self, q: int) -> int:
        """Where the weights of projection q, whose ports follow one another, begin in `jumps`."""
        return int(self._tables.ports["jumps"][self._projection == q].min(initial=self.jumps.size))

    def weights_of(self, q: int) -> np.ndarray:
        """The weights of projection q, after `let_weights_change`, a view (n_synapses,)."""
        count, begin = int(build.synapses_of(self._tables)[self._projection == q].sum()), self.begin_of(q)
        return self.jumps[begin : begin + count]

    def onset(self, name: str, from_zero: bool = False) -> tuple[dict[str, float | np.ndarray], np.ndarray, np.ndarray]:
        """Of a population of neurons: its parameters, v at the beginning, and the constant drive.

        They are as the kernels have them, v counted from v_reset where the membrane is linear; or, from_zero, as they were
        given.
        """
        k = self._number[name]
        here, own = self._neurons_of(k), self._neurons[k]
        assert own is not None
        if not from_zero:
            return own.parameters, self._start[here], self._constant[here]
        levels = {key: own.parameters[key] + own.zero for key in ("v_th", "v_reset")}
        return own.parameters | levels, self._start[here] + own.zero, self._constant[here] + own.zero

    def inlets_of(self, name: str) -> Iterator[Inlet]:
        """All that leads into a population of neurons."""
        c, count = self._tables, len(self.populations)
        synapses = build.synapses_of(c)
        for r, cut in enumerate(self._cut):
            if cut.population == self._number[name]:
                for p in range(c.first_port[count + r], c.first_port[count + r + 1]):
                    pre, delay = self.populations[c.ports[p].pre], float(c.delay[p])
                    yield Inlet(c.ports[p], int(self._projection[p]), int(synapses[p]), pre, cut.low, cut.high, delay)

    def rows_of(self, inlet: Inlet) -> tuple[np.ndarray, np.ndarray]:
        """Where the rows of a port end, one a presynaptic neuron, and its targets, counted from the first of its neurons."""
        c, port, n_pre, n = self._tables, inlet.port, inlet.pre.size, inlet.high - inlet.low
        if port.rows < 0:
            return n * np.arange(n_pre + 1), np.tile(np.arange(n), n_pre)
        ends = c.row_ends[port.rows : port.rows + n_pre + 1]
        return ends, c.targets[port.targets : port.targets + ends[-1]]

    def synapses(self) -> Iterator[tuple[str, str, float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """All synapses: from which population to which, tau_syn, ms, pre, post, weights and delays, ms, each (n_synapses,)."""
        c, parts = self._tables, dict[Any, list[tuple[np.ndarray, ...]]]()
        for p in self.populations:
            for inlet in self.inlets_of(p.name) if p.model else []:
                ends, post = self.rows_of(inlet)
                pre, port = np.repeat(np.arange(inlet.pre.size), np.diff(ends)), inlet.port
                key = inlet.pre.name, p.name, float(c.taus[port.current]) if port.current >= 0 else 0.0
                weights, delays = build.jumps_of(c, port, len(pre)), np.full(len(pre), inlet.delay)
                parts.setdefault(key, []).append((pre, post.astype(np.int64) + inlet.low, weights, delays))
        for (before, after, tau), found in parts.items():
            pre, post, weights, delays = (np.concatenate(column) for column in zip(*found, strict=True))
            yield before, after, tau, pre, post, weights, delays

    def arrays(self) -> dict[str, np.ndarray]:
        """Where the simulation stands, for `restore`."""
        stand = self._stand
        found = {f"state_{name}": array for name, array in stand.state._asdict().items()}
        for name, noise in (("noise", stand.noise), ("sources", stand.sources)):
            found |= {f"{name}_time": noise.time, f"{name}_passed": noise.passed}
        counts = [len(times) for times, _ in stand.queues]
        times, senders = (np.concatenate(columns) for columns in zip(*stand.queues, strict=True))
        return found | {"window": np.array(stand.window), "counts": np.array(counts), "times": times, "senders": senders}

    def restore(self, time: float, drawn: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Stand where `arrays` says, at this time, ms; drawn: the checksum of the circuit before any of it was changed.

        Raises
        ------
        KeyError, ValueError
            It is that of another circuit.
        """
        for name, own in self.arrays().items():
            given = arrays[name]
            of_queue = name in ("times", "senders")
            if given.dtype != own.dtype or (given.shape != own.shape and not of_queue):
                raise ValueError(f"{name} has shape {given.shape} {given.dtype}, not {own.shape} {own.dtype}")
        stand, counts = self._stand, arrays["counts"]
        owner, senders, window = np.repeat(np.arange(len(counts)), counts), arrays["senders"], int(arrays["window"])
        sizes, received = np.array([p.size for p in self.populations]), arrays["state_received"]
        if not (
            owner.size == senders.size == arrays["times"].size
            and ((senders >= 0) & (senders < sizes[owner])).all()
            and (received >= 0).all()
            and (received <= counts[self._tables.ports["pre"]]).all()
            and window * self._width <= time + _NEAR < (window + self._spans.windows) * self._width + 2 * _NEAR
        ):
            raise ValueError("what is on its way is not that of its populations")
        for name, array in stand.state._asdict().items():
            array[...] = arrays[f"state_{name}"]
        for name, noise in (("noise", stand.noise), ("sources", stand.sources)):
            noise.time[:], noise.passed[:] = arrays[f"{name}_time"], arrays[f"{name}_passed"]
        ends = np.cumsum(counts)[:-1]
        stand.queues = list(zip(np.split(arrays["times"], ends), np.split(senders, ends), strict=True))
        stand.window, self.time, self._drawn = window, time, drawn
        stand.on = [n for n, pulse in enumerate(self._pulses) if pulse.first < window < pulse.last]

    def _threads(self, asked: int | None) -> int:
        """How many threads take part: no more than there are ranges."""
        neurons = sum(r.high - r.low for r in self._cut)
        return max(1, min(len(self._cut), asked or min(get_num_threads(), 1 + neurons // _SHARE)))

    def _advance(self, stand: _Stand, stop: int, since: float, samples: Samples, spikes: dict[str, Any], hands: _Hands) -> None:
        """Take a simulation to the begin of window `stop`; spikes gets those that were sent since then, by population."""
        until, seen = stop * self._width, 0
        for q, k in enumerate(np.flatnonzero([p.rate is not None for p in self.populations])):
            times, who = processes.events_until(stand.sources, q, until)
            order = np.lexsort((who, times))
            fresh, old = (times[order], who[order]), stand.queues[k]
            stand.queues[k] = np.concatenate([old[0], fresh[0]]), np.concatenate([old[1], fresh[1]])
            if self.populations[k].name in spikes:
                spikes[self.populations[k].name].append(fresh)
        for population in self.populations:
            if population.trains is not None and population.name in spikes:
                spikes[population.name].append(_between(population.trains, since, until))
        if not self._kernel:  # nothing is reached by what sources send
            stand.window, stand.queues = stop, [_none() for _ in self.populations]
        while stand.window < stop:
            if stand.window in self._changing:
                self._change(stand)
            change = self._changes[np.searchsorted(self._changes, stand.window, "right")]
            seen += self._simulate(stand, int(min(stop, change)), seen, samples, spikes, hands)
            if hands.cancelled[0]:
                return

    def _last_until(self, time: float) -> int:
        """The last window that begins up to a time, ms.

        An edge is a rounded product, and may lie a bit to either side of the number that it stands for. What comes before it is
        told from what comes after by this product alone, here as in the kernels.
        """
        window = int(time / self._width) + 1
        while window * self._width > time:
            window -= 1
        return window

    def _give(self, pulses: "Sequence[Pulse]") -> None:
        """Add currents that change."""
        edges = [self._changes]
        for pulse in map(self._pulse, pulses):
            for edge in dict.fromkeys(pulse.edges()):
                self._changing.setdefault(edge, []).append(len(self._pulses))
            self._pulses.append(pulse)
            edges.append(np.array(pulse.edges(), float))
        self._changes = np.unique(np.concatenate(edges))

    def _change(self, stand: _Stand) -> None:
        """Set the drive of populations whose currents change at the window where a simulation stands."""
        changing, drive = self._changing[stand.window], stand.state.drive
        on = {n for n in (*stand.on, *changing) if self._pulses[n].first <= stand.window < self._pulses[n].last}
        stand.on = sorted(on)  # which is the order that they are added in
        posts = {self._pulses[n].post: self._pulses[n].own for n in changing}
        for own in posts.values():
            drive[own] = self._constant[own]
        for pulse in (self._pulses[n] for n in stand.on):
            if pulse.post in posts:
                drive[pulse.own] += pulse.at(stand.window)

    def _pulse(self, pulse: "Pulse") -> _Pulse:
        """A current that changes, in windows."""
        post, first = self._number[pulse.post.name], round(pulse.begin / self._width)
        own, per = self._neurons_of(post), None if pulse.step is None else round(pulse.step / self._width)
        return _Pulse(first, float(np.rint(pulse.end / self._width)), post, own, pulse.value, per)

    def _simulate(self, stand: _Stand, stop: int, first: int, samples: Samples, spikes: dict[str, Any], hands: _Hands) -> int:
        """Simulate windows up to `stop`, or as many as there is room for; returns how many samples, from `first` on, were
        taken."""
        state, count = stand.state, len(self.populations)
        queues, before = self._queues(stand), state.listed[:count].copy()
        here = slice(first, int(np.searchsorted(samples.moments, stop * self._width)))
        seen = Samples(samples.moments[here], samples.first, np.empty_like(samples.v[here]))
        listens = np.array([p.name in spikes and p.model is not None for p in self.populations])
        counters = np.zeros((3, stop - stand.window), np.int64)
        team = Team(hands.number, counters[0], counters[1], counters[2], np.zeros(1, np.bool_))
        given: Any = (
            self._kind, self._parameters, self._own, self._tables, self._ranges, stand.noise, state, queues, listens,
            self._spans, self._width, stand.window, stop, seen, team, hands.cancelled,
        )  # fmt: skip
        kernel: Any = self._kernel
        work = [hands.pool.submit(kernel, *given) for _ in range(hands.number)]
        wait(work, return_when=FIRST_EXCEPTION)
        failed = [each.exception() for each in work if each.done() and each.exception()]
        if failed:
            raise failed[0]  # type: ignore[misc]
        stand.window = work[0].result()
        done = int(np.searchsorted(seen.moments, stand.window * self._width))
        samples.v[first : first + done] = seen.v[:done]
        for k, population in enumerate(self.populations):
            own = slice(int(queues.begin[k]), int(queues.begin[k] + state.listed[k]))
            times, who = queues.times[own], queues.senders[own]
            if population.name in spikes and population.model:
                order = np.argsort(times[before[k] :], kind="stable")
                spikes[population.name].append((times[before[k] :][order], who[before[k] :][order]))
            ports = np.flatnonzero(self._tables.ports["pre"] == k)
            arrived = int(state.received[ports].min(initial=len(times)))
            state.received[ports] -= arrived
            stand.queues[k] = times[arrived:].copy(), who[arrived:].copy()
        return done

    def _queues(self, stand: _Stand) -> Queues:
        """Queues with all spikes that are on their way, and room for others."""
        count = len(self.populations)
        waiting = np.array([len(times) for times, _ in stand.queues])
        most = np.bincount(self._ranges.population, self._most, count).astype(np.int64)
        room = np.where(most, np.maximum(2 * most, _SPIKES), 0)
        begin = np.cumsum([0, *(waiting + room), *self._most])
        times, senders = np.empty(begin[-1]), np.empty(begin[-1], np.int64)
        for k, (when, who) in enumerate(stand.queues):
            times[begin[k] : begin[k] + len(when)], senders[begin[k] : begin[k] + len(when)] = when, who
        stand.state.listed[:] = 0
        stand.state.listed[:count] = waiting
        return Queues(times, senders, begin)

    def _first_of(self, recorded: Recorded) -> np.ndarray:
        """Where each range whose v is kept begins among all that are; −1 of others."""
        found, at = np.full(self._kind.size, -1), 0
        for name in recorded.v:
            for r, own in enumerate(self._cut):
                if own.population == self._number[name]:
                    found[len(self.populations) + r] = at + own.low
            at += self.populations[self._number[name]].size
        return found

    def _neurons_of(self, k: int) -> slice:
        """Where the neurons of population k stand among all that have a membrane."""
        count, of_range = len(self.populations), [r for r, cut in enumerate(self._cut) if cut.population == k]
        return slice(self._tables.first[count + of_range[0]], self._tables.first[count + of_range[-1] + 1])

    def _models(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[Any, tuple[str, ...]]]]:
        """Of populations and ranges the kind of neurons, and parameters with t_ref once more as the last; of all neurons their
        own where any differ; and the kinds: a model, and which of its parameters differ."""
        kinds: list[tuple[str, tuple[str, ...]]] = []
        count, least, rows = len(self.populations), {}, {}
        kind = np.full(self._tables.sizes.size, -1)
        for k, (p, own) in enumerate(zip(self.populations, self._neurons, strict=True)):
            if own is None:
                continue
            differ = tuple(name for name, value in own.parameters.items() if np.ndim(value))
            if differ:  # one kernel for all but time constants of membranes, which cost more where they differ
                differ = tuple(name for name in own.parameters if name != "tau_m" or name in differ)
            each = (str(p.model), differ)
            kinds += [each] if each not in kinds else []
            of_range = [count + r for r, cut in enumerate(self._cut) if cut.population == k]
            kind[of_range] = kinds.index(each)
            least[k] = [float(np.min(value)) for value in own.parameters.values()]
            if differ:
                rows[k] = np.stack([np.broadcast_to(value, p.size) for value in own.parameters.values()], axis=1)
        width = max(map(len, least.values()), default=0)
        parameters, first = np.zeros((kind.size, width + 1)), self._tables.first
        own_rows = np.zeros((first[-1] if rows else 0, width))
        for r, cut in enumerate(self._cut):
            values, model = least[cut.population], registry.get("neurons", str(self.populations[cut.population].model))
            parameters[count + r, : len(values)] = values
            parameters[count + r, -1] = values[model._fields.index("t_ref")]
            if cut.population in rows:
                a = first[count + r]
                own_rows[a : a + cut.high - cut.low, : len(values)] = rows[cut.population][cut.low : cut.high]
        return kind[:-1], parameters[:-1], own_rows, [(registry.get("neurons", m), differ) for m, differ in kinds]

    def _begin(self, circuit: "Circuit") -> _Stand:
        """The circuit at the beginning."""
        first = self._tables.first
        start = np.zeros(first[-1])
        for k, (p, own) in enumerate(zip(self.populations, self._neurons, strict=True)):
            if own is None:
                continue
            here = self._neurons_of(k)
            start[here] = own.parameters["v_reset"]
            if p.start is not None:
                v = drawn(p.start, build.generator(self._seed, build.START, k), p.size) - own.zero
                v_th = np.asarray(own.parameters["v_th"])
                if not isinstance(p.start, Distribution) and (above := v > v_th).any():
                    i = int(np.flatnonzero(above)[0])
                    given, most = (float(np.broadcast_to(x + own.zero, p.size)[i]) for x in (v, v_th))
                    raise SpecError(
                        f"population {p.name!r}.start: {given!r}; the threshold of neuron {i} is {most!r}; allowed: up to it"
                    )
                start[here] = np.minimum(v, v_th)
        state = at_rest(self._tables, start)
        state.drive[:] = self._drive(circuit)
        noise, sources = self._noise(circuit), self._sources(circuit)
        return _Stand(state, noise, sources, [_none() if p.trains is None else p.trains for p in self.populations])

    def _drive(self, circuit: "Circuit") -> np.ndarray:
        """What the membranes of all neurons relax to by constant currents."""
        drive = np.zeros(self._tables.first[-1], self._dtype)
        for k, (p, own) in enumerate(zip(self.populations, self._neurons, strict=True)):
            if own is not None:
                here = self._neurons_of(k)
                drive[here] = own.rest - own.zero
                drive[here] += circuit.currents.get(p.name, 0.0)
        return drive

    def _sources(self, circuit: "Circuit") -> processes.Sources:
        """Sources of Poisson processes, at the beginning."""
        own = [(k, p) for k, p in enumerate(self.populations) if p.rate is not None]
        # The counters of noises come first, and then those of populations: one noise more changes what all sources send.
        first = np.cumsum([0, *(p.size for _, p in own)])
        rates = [np.broadcast_to(np.asarray(self.rates[p.name]), p.size) for _, p in own]
        mean = _intervals(np.concatenate([np.empty(0), *rates]))
        found = processes.Sources(
            seed=_words(self._seed),
            number=np.array([len(circuit.noises) + k for k, _ in own], np.int64),
            first=first.astype(np.int64),
            mean=mean,
            time=np.zeros(first[-1]),
            passed=np.zeros(first[-1], np.int64),
        )
        processes.begin(found)
        return found

    def _noise(self, circuit: "Circuit") -> processes.Noise:
        """Noise of all ranges, at the beginning."""
        count, n_ranges = len(self.populations), self._kind.size
        rates, jumps, currents = ([np.empty(0)] * n_ranges for _ in range(3))
        most = np.zeros(n_ranges)
        for r, cut in enumerate(self._cut):
            here, n = slice(cut.low, cut.high), cut.high - cut.low
            own = [each for each in circuit.noises if self._number[each.post.name] == cut.population]
            if not own:
                continue
            size = self.populations[cut.population].size
            given = [[np.broadcast_to(np.asarray(x), size)[here] for x in (each.rate, each.weight)] for each in own]
            of_current = [int(np.searchsorted(self._tables.taus, each.tau_syn)) if each.tau_syn else -1 for each in own]
            rates[count + r], jumps[count + r] = (np.concatenate(column) for column in zip(*given, strict=True))
            currents[count + r] = np.repeat(of_current, n)
            most[count + r] = 1e-3 * sum(float(np.max(np.asarray(each.rate))) for each in own)
        alias = [processes.aliases(own) if own.size else (np.empty(0, np.uint64), np.empty(0, np.int32)) for own in rates]
        with np.errstate(divide="ignore"):
            longest = _EVENTS / most
        found = processes.Noise(
            seed=_words(self._seed),
            number=len(circuit.noises) + np.concatenate([np.arange(count), self._ranges.population]),
            neuron=np.concatenate([np.zeros(count, np.int64), self._ranges.neuron]),
            first=np.cumsum([0, *map(len, rates)]),
            current=np.concatenate(currents).astype(np.int64),
            jump=np.concatenate(jumps).astype(self._dtype),
            kept=np.concatenate([kept for kept, _ in alias]),
            alias=np.concatenate([other for _, other in alias]),
            mean=_intervals(np.array([own.sum() for own in rates])),
            longest=longest,
            time=np.zeros(n_ranges),
            passed=np.zeros(n_ranges, np.int64),
        )
        processes.begin_noise(found, np.empty((2, processes.DRAWN), np.uint64))
        return found


def _words(seed: int) -> np.ndarray:
    """A seed as words of 32 bits."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint64)


def _intervals(rates: np.ndarray) -> np.ndarray:
    """Mean intervals, ms, at these rates, Hz; infinite where they are 0."""
    with np.errstate(divide="ignore"):
        return 1e3 / rates


def _none() -> tuple[np.ndarray, np.ndarray]:
    """No spikes."""
    return np.empty(0), np.empty(0, np.int64)


def _between(trains: tuple[np.ndarray, np.ndarray], begin: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """The spikes from `begin` until `end`."""
    a, b = np.searchsorted(trains[0], [begin, end])
    return trains[0][a:b], trains[1][a:b]


def multiples(interval: float, begin: float, end: float) -> np.ndarray:
    """The multiples of an interval from `begin` until `end`; one that rounding puts a bit before `begin` counts as that."""
    return np.maximum(settled(interval * np.arange(*_numbers(interval, begin, end))), begin)


def _numbers(interval: float, begin: float, end: float) -> tuple[int, int]:
    """Which multiples of an interval lie from `begin` until `end`: the first one, and the one after the last."""
    first, last = (int(np.ceil(q - max(1e-9, 4 * np.spacing(q)))) for q in (begin / interval, end / interval))
    return first, last


def settled(times: Any) -> Any:
    """Sums and products of times, ms, as the multiples of 0.001 ms that they stand for, where rounding has put them beside
    one: sums of sums would else go astray."""
    near = np.round(times, 3)
    return np.where(np.abs(times - near) <= np.maximum(_NEAR, np.spacing(near)), near, times)


def _dividing(longest: float, times: list[float]) -> float:
    """The longest window, ms, up to `longest`, of which all times are multiples: those of 0.001 ms, or infinite."""
    common = 1e-3 * math.gcd(*(round(1e3 * time) for time in times if time < np.inf))
    # A quotient that is rounded up is not one window more; but a window is never longer than a delay.
    return min(common / np.ceil(common / longest - _NEAR), longest) if common else longest
