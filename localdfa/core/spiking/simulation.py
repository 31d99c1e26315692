"""A circuit of spiking neurons through time, without trials: nothing is taught and nothing learns.

Time goes on in *windows* as long as the shortest delay between neurons, at whose edges, multiples of it, no spike of the window
has arrived yet. What a window leaves depends on nothing but where it begins. So a simulation may be cut anywhere and looked at
at any moment without changing a bit of it: a window is simulated whole, and what is asked for within one is read from a copy.
Where windows are very short, several of them make up a *span* (`spans`), which is simulated whole in their place.

Populations are cut into *ranges* of neurons, which do not depend on one another within a window either. In the tables each
range is a population of its own that receives, after the populations proper, which only send. A team of threads shares the
ranges of a window: each takes the next one that nobody has taken. The last thread to finish puts the spikes of all ranges into
the queues of their populations, in an order that is the same whoever did what, and the next window begins. So the bits are
those of one thread.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.atomic import fetch_add, give_way
from localdfa.core.compiled import allocating, always_inline, compiled, device
from localdfa.core.spiking.noise import Noise
from localdfa.core.spiking.parameters import first_of
from localdfa.core.spiking.population import Kernels, population_kernels, scratch_of
from localdfa.core.spiking.queues import collecting_kernels, sort, wider
from localdfa.core.spiking.resolving import with_room
from localdfa.core.spiking.spans import Fades, Spans, span_kernel
from localdfa.core.spiking.state import State
from localdfa.core.spiking.tables import PORT, Tables
from localdfa.core.spiking.traces import Pairing

# Traces of spikes, which nothing reads, decay with this time constant, ms: longer than most, so that it shortens no window.
_TRACE = 1e3
# A span is this long at most, ms, and as this fraction of the shortest time constant, and has so many windows at least: in
# longer ones more neurons are watched, in fewer there is less to spare.
_SPAN, _FRACTION, _LEAST = 4.0, 4.0, 10
# So often a thread looks whether a window is over before it lets others have the processor in between.
_PATIENCE = 2000


class Samples(NamedTuple):
    """Moments at which membranes are looked at, and room for what is seen."""

    moments: np.ndarray  # (T,) in order, ms
    first: np.ndarray  # (P,) where the neurons of a range begin among those that are looked at; −1 of others
    v: np.ndarray  # (T, m) their membranes


class Ranges(NamedTuple):
    """How R ranges of neurons make up the S populations that send: tables have these first, then the ranges, P = S + R."""

    population: np.ndarray  # (R,) of which population each is a range; those of one follow each other
    neuron: np.ndarray  # (R,) its first neuron there


class Queues(NamedTuple):
    """Spikes, when they were sent and by which neuron: of each population those that may still be on their way, in order; of
    each range those of a window. `State.listed` counts them."""

    times: np.ndarray  # of all, end to end
    senders: np.ndarray
    begin: np.ndarray  # (P + 1,) where the room of each begins


class Team(NamedTuple):
    """What threads that simulate W windows together say to one another."""

    threads: int  # how many they are
    taken: np.ndarray  # (W,) how many ranges of a window have been taken
    arrived: np.ndarray  # (W,) how many threads found none left
    over: np.ndarray  # (W,) whether all is ready for the next window
    full: np.ndarray  # (1,) whether a queue might have no room for it


class Kind(NamedTuple):
    """A kind of neurons in a circuit."""

    model: Any
    exponential: bool  # whether the circuit has synaptic currents
    spans: bool  # whether some ranges of it are simulated in spans
    kernels: Kernels | None  # of the others; None where there are none


class Still:
    """The rule by which nothing learns."""

    @staticmethod
    def by_pairs() -> bool:
        """Pairs of spikes make it up: each of them changes nothing."""
        return True

    @always_inline
    def at_arrival(r, z, v, signal, traces):
        """What an arrival changes."""
        return 0.0

    @always_inline
    def at_spike(r, z, v, signal, traces):
        """What a postsynaptic spike changes."""
        return 0.0


def still_tables(
    sizes: np.ndarray,
    membranes: np.ndarray,
    taus: np.ndarray,
    tau_a: np.ndarray,
    first_port: np.ndarray,
    ports: np.ndarray,
    delay: np.ndarray,
    row_ends: np.ndarray,
    targets: np.ndarray,
    jumps: np.ndarray,
    bias: np.ndarray,
) -> Tables:
    """The tables of a circuit in which nothing learns.

    membranes (P,): how many neurons of each population have a membrane: all of a range, none of what only sends. The other
    arguments are as in `Tables`; a spike adds its jump as it is to v, or to a current.
    """
    pairing, populations = Pairing(0.0, 0.0, 0.0), len(sizes)
    none = np.zeros((0, bias.size))
    return Tables(
        tau_x=_TRACE,
        tau_z=_TRACE,
        tau_a=tau_a,
        taus=taus,
        shortest=float(min(_TRACE, *tau_a, *taus)),
        **pairing._asdict(),
        injects=False,
        layers=0,
        output_spikes=False,
        twins=False,
        error_spikes=False,
        sizes=np.append(sizes, 0),
        first=np.append(np.cumsum([0, *membranes]), membranes.sum()),
        first_port=np.append(first_port, first_port[-1]),
        delay=delay,
        ports=ports.astype(PORT),
        n_pre_traces=0,
        n_sums=0,
        row_ends=row_ends,
        targets=targets,
        jumps=jumps,
        strength=np.ones(len(ports), jumps.dtype),
        online=np.zeros(len(ports), jumps.dtype),
        bias=bias,
        readout=np.zeros((populations, 0)),
        feedback=none,
        error_rate=0.0,
        unit=1.0,
    )


def windows_of_a_span(c: Tables, width: float, tau_ms: Sequence[float]) -> int:
    """How many windows make up a span, 1 where they are too few to be worth it.

    width: of a window, ms; tau_ms: time constants of membranes, ms.
    """
    shortest = min([*c.taus, *c.tau_a, *tau_ms])
    windows = int(min(_SPAN, _FRACTION * shortest) / width)
    return windows if windows >= _LEAST else 1


def in_spans(
    c: Tables, kind: np.ndarray, models: Sequence[tuple[Any, tuple[str, ...]]], noises: np.ndarray, windows: int
) -> np.ndarray:
    """Which ranges are simulated in spans, (P,); windows: as `windows_of_a_span` says, other arguments as of `kinds_of`."""
    found = np.zeros(kind.size, np.bool_)
    for k in np.flatnonzero(kind >= 0):
        model, varied = models[kind[k]]
        sparse = (c.ports[c.first_port[k] : c.first_port[k + 1]]["rows"] >= 0).all()
        found[k] = windows > 1 and model.linear and not varied and not noises[k] and sparse
    return found


def kinds_of(
    c: Tables, kind: np.ndarray, models: Sequence[tuple[Any, tuple[str, ...]]], noises: np.ndarray, chosen: np.ndarray
) -> tuple[Kind, ...]:
    """The kinds of neurons that a circuit has, each a model with the kernels that it needs.

    kind (P,): as `simulation_kernel` takes it; models: of each kind its model, and which parameters differ from neuron to
    neuron; noises (P,): how many sources of noise each range has; chosen (P,): which ranges are simulated in spans.
    """
    found, exponential = [], c.taus.size > 0
    for m, (model, varied) in enumerate(models):
        others, kernels = np.flatnonzero((kind == m) & ~chosen), None
        if others.size and not model.linear:
            kernels = Kernels(exponential=False, dense=False, sparse=False, online=False, rule=Still, varied=varied)
        elif others.size:
            simple = not (model.adapts or exponential or varied)
            dense = [
                simple and not noises[k] and (c.ports[c.first_port[k] : c.first_port[k + 1]]["rows"] < 0).all() for k in others
            ]
            noisy = bool(noises[others].any())
            kernels = Kernels(exponential, bool(any(dense)), not all(dense), False, None, noisy, varied)
        found.append(Kind(model, exponential, bool(chosen[kind == m].any()), kernels))
    return tuple(found)


@device
def _copy(k, c, noise, state, spans, to, noise_to, spans_to):
    """Copy what changes of range k while it is taken through a window."""
    a, b = c.first[k], c.first[k + 1]
    spans_to.listed[k] = spans.listed[k]
    for i in range(a, b if spans.chosen[k] else a):
        spans_to.watched[i], spans_to.safe[i], spans_to.place[i] = spans.watched[i], spans.safe[i], spans.place[i]
        for column in range(spans.rows.shape[1]):
            spans_to.rows[i, column] = spans.rows[i, column]
    for i in range(a, b):
        to.v[i], to.theta[i], to.x[i], to.z[i] = state.v[i], state.theta[i], state.x[i], state.z[i]
        to.accumulator[i], to.until[i], to.spikes[i] = state.accumulator[i], state.until[i], state.spikes[i]
        for r in range(state.currents.shape[0]):
            to.currents[r, i] = state.currents[r, i]
    for port in range(c.first_port[k], c.first_port[k + 1]):
        to.received[port] = state.received[port]
    to.listed[k], to.origin[k] = state.listed[k], state.origin[k]
    noise_to.time[k], noise_to.passed[k] = noise.time[k], noise.passed[k]


count_arrivals, _ = collecting_kernels(True)


@device
def _count(c, k, stop, state, queues, collected):
    """How many spikes arrive at range k until `stop`, as `count_arrivals`."""
    return count_arrivals(
        c.first_port[k], c.first_port[k + 1], stop, c.ports, c.delay, state.received, state.listed, queues.times, queues.begin,
        collected,
    )  # fmt: skip


@device
def _gather(ranges, lists, queues, state, full):
    """Put the spikes that ranges have sent in a window into the queues of their populations.

    full (1,): set where one has less room left than all neurons of its population can fill in a span.
    """
    senders, r = lists.size, 0
    for s in range(senders):
        end = queues.begin[s] + state.listed[s]
        first, parts, most = end, 0, 0
        while r < ranges.population.size and ranges.population[r] == s:
            k, most = senders + r, most + queues.begin[senders + r + 1] - queues.begin[senders + r]
            for e in range(queues.begin[k], queues.begin[k] + (state.listed[k] if lists[s] else 0)):
                queues.times[end], queues.senders[end] = queues.times[e], queues.senders[e] + ranges.neuron[r]
                end += 1
            r, parts = r + 1, parts + 1
        if parts > 1 and end - first > 1:
            sort(queues.times[first:end], queues.senders[first:end])
        state.listed[s] = end - queues.begin[s]
        if queues.begin[s + 1] - end < most:
            full[0] = True


@cache
def simulation_kernel(kinds: tuple[Kind, ...]) -> Any:
    """The kernel for circuits with these kinds of neurons."""
    advance = _advance(tuple((m, kind) for m, kind in enumerate(kinds) if kind.kernels))
    through_window = _through_window(tuple((m, kind) for m, kind in enumerate(kinds) if kind.spans))
    some_advance, some_spans = any(kind.kernels for kind in kinds), any(kind.spans for kind in kinds)

    @compiled(error_model="numpy", nogil=True)
    def simulate(
        kind,  # (P,) which of the kinds the neurons of each range are; −1 of what only sends
        parameters,  # (P, F) their parameters, in the order of the model's; the least where they differ
        own,  # (n, F) parameters of all neurons; (0, F) where none differ
        c,  # Tables
        ranges,  # Ranges
        noise,  # Noise
        state,  # State where the first window begins, and then where the last one ends
        queues,  # Queues, with room for a span at least
        listens,  # (S,) whether all spikes of a population are to be listed, although it has no synapses
        spans,  # Spans
        width,  # of a window, ms
        window,  # the first one: it begins at window · width, and a span with it
        stop,  # one after the last
        samples,  # Samples, of moments in these windows
        team,  # Team, of all who are called with these arguments
        cancelled,  # (1,) ends the simulation when it is set
    ):
        """Simulate some windows; returns at which window it ended: early where a queue may have no room for the next span."""
        scratch, nth, senders_, w = scratch_of(c), 0, listens.size, window
        reached, collected = scratch.sparse.reached, scratch.collected
        copy = State(
            drive=state.drive,
            current=state.current,
            v=np.empty_like(state.v),
            scratch=np.empty_like(state.scratch),
            theta=np.empty_like(state.theta),
            x=np.empty_like(state.x),
            z=np.empty_like(state.z),
            accumulator=np.empty_like(state.accumulator),
            until=np.empty_like(state.until),
            spikes=np.empty_like(state.spikes),
            currents=np.empty_like(state.currents),
            pre_traces=state.pre_traces,
            origin=np.empty_like(state.origin),
            listed=np.empty_like(state.listed),
            received=np.empty_like(state.received),
            strength=state.strength,
            level=state.level,
        )
        spans_copy = Spans(
            windows=spans.windows,
            chosen=spans.chosen,
            rows=np.empty_like(spans.rows),
            watched=np.empty_like(spans.watched),
            safe=np.empty_like(spans.safe),
            listed=np.empty_like(spans.listed),
            place=np.empty_like(spans.place),
            reached=spans.reached,
        )
        places = c.taus.size + 1
        fades = Fades(share=np.empty(places), t=np.empty(places), stop=np.empty(places), end=np.empty(places))
        noise_copy = Noise(
            seed=noise.seed,
            number=noise.number,
            neuron=noise.neuron,
            first=noise.first,
            current=noise.current,
            jump=noise.jump,
            kept=noise.kept,
            alias=noise.alias,
            mean=noise.mean,
            longest=noise.longest,
            time=np.empty_like(noise.time),
            passed=np.empty_like(noise.passed),
        )
        times, senders = [], []
        for k in range(kind.size):
            times.append(queues.times[queues.begin[k] : queues.begin[k + 1]])
            senders.append(queues.senders[queues.begin[k] : queues.begin[k + 1]])
        lists = listens.copy()
        for port in range(c.ports.size):
            lists[c.ports[port].pre] = True
        while w < stop:
            begin, end, after = w * width, (w + 1) * width, nth
            of_span = w % spans.windows
            opens, closes = w == window or of_span == 0, w + 1 == stop or of_span + 1 == spans.windows
            span_end = (w - of_span + spans.windows) * width
            while after < samples.moments.size and samples.moments[after] < end:
                after += 1
            k = senders_ + fetch_add(team.taken, w - window, 1)
            while k < kind.size:
                state.listed[k] = 0
                # A range first goes to each moment at which it is looked at, and from there back to the begin by a copy; then
                # to the end. What advances it is called at one place, because it could be compiled once for each, and always
                # with the same arrays, because to choose between them takes longer than many a window.
                for moment in range(nth if samples.first[k] >= 0 else after, after + 1):
                    looks, until = moment < after, end
                    if looks:
                        _copy(k, c, noise, state, spans, copy, noise_copy, spans_copy)
                        until = samples.moments[moment]
                    sends = lists[ranges.population[k - senders_]] and not looks
                    if some_spans and spans.chosen[k]:
                        count = _count(c, k, until, state, queues, collected)
                        if count > collected.when.shape[1]:
                            collected = wider(collected, count)
                        if count > reached.arrivals.size:
                            reached = with_room(reached, count)
                        through_window(
                            kind[k], parameters, c, k, begin, until, span_end, opens, closes or looks, count, collected, state,
                            queues, sends, spans, scratch, reached, fades,
                        )  # fmt: skip
                    elif some_advance:
                        advance(
                            kind[k], parameters[k], own, c, k, begin, until, state, times, senders, sends, scratch, cancelled,
                            noise,
                        )  # fmt: skip
                    if looks:
                        for i in range(c.sizes[k]):
                            samples.v[moment, samples.first[k] + i] = state.v[c.first[k] + i]
                        _copy(k, c, noise_copy, copy, spans_copy, state, noise, spans)
                k = senders_ + fetch_add(team.taken, w - window, 1)
            if fetch_add(team.arrived, w - window, 1) == team.threads - 1:
                _gather(ranges, lists, queues, state, team.full)
                fetch_add(team.over, w - window, 1)
            looked = 0
            while fetch_add(team.over, w - window, 0) == 0 and not cancelled[0]:
                looked += 1
                if looked > _PATIENCE:
                    give_way()
            nth, w = after, w + 1
            if (team.full[0] and closes) or cancelled[0]:
                break
        return w

    return simulate


def _advance(kinds: tuple[tuple[int, Kind], ...]) -> Any:
    """What takes one range from t to `stop`, by the kernels of its kind; kinds: with their numbers."""
    if not kinds:

        @allocating
        def nobody(kind, values, own, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise):
            pass

        return nobody
    number, (neuron, _, _, kernels) = kinds[0]
    advance_own, _ = population_kernels(neuron, kernels)
    fields, others = len(neuron._fields), _advance(kinds[1:])

    @allocating
    def advance(kind, values, own, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise):
        if kind == number:
            p = neuron(*first_of(values, fields))
            advance_own(
                p, 0.0, c, k, t, stop, state, times, senders, 0.0, False, sends, state.v[:0], scratch, cancelled, noise, own
            )
        else:
            others(kind, values, own, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise)

    return advance


def _through_window(kinds: tuple[tuple[int, Kind], ...]) -> Any:
    """What takes one range through a window of a span, as `_advance`."""
    if not kinds:

        @device
        def nobody(
            kind, parameters, c, k, t, stop, end, opens, closes, count, collected, state, queues, sends, spans, scratch,
            reached, fades,
        ):  # fmt: skip
            pass

        return nobody
    number, (neuron, exponential, _, _) = kinds[0]
    through_own = span_kernel(neuron, exponential)
    fields, others = len(neuron._fields), _through_window(kinds[1:])

    @always_inline
    def through_window(
        kind, parameters, c, k, t, stop, end, opens, closes, count, collected, state, queues, sends, spans, scratch,
        reached, fades,
    ):  # fmt: skip
        if kind == number:
            p = neuron(*first_of(parameters[k], fields))
            through_own(
                p, c, k, t, stop, end, opens, closes, count, collected, state, queues, sends, spans, scratch, reached,
                fades,
            )  # fmt: skip
        else:
            others(
                kind, parameters, c, k, t, stop, end, opens, closes, count, collected, state, queues, sends, spans,
                scratch, reached, fades,
            )  # fmt: skip

    return through_window
