"""A circuit of spiking neurons through time, without trials: nothing is taught and nothing learns.

Time goes on in *windows* as long as the shortest delay between neurons, at whose edges, multiples of it, no spike of the window
has arrived yet. What a window leaves depends on nothing but where it begins. So a simulation may be cut anywhere and looked at
at any moment without changing a bit of it: a window is simulated whole, and what is asked for within one is read from a copy.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba.core import config
from numba.np.unsafe.ndarray import to_fixed_tuple

from localdfa.core.compiled import allocating, always_inline, compiled
from localdfa.core.spiking.circuit import PORT, Circuit
from localdfa.core.spiking.noise import Noise
from localdfa.core.spiking.population import Kernels, population_kernels, scratch_of
from localdfa.core.spiking.queues import longer
from localdfa.core.spiking.state import State
from localdfa.core.spiking.traces import Pairing

# Traces of spikes, which nothing reads, decay with this time constant, ms: longer than most, so that it shortens no window.
_TRACE = 1e3


# The first entries of an array as a tuple, which kernels can make of a number of them that is known as they are compiled.
_plain = getattr(config, "DISABLE_JIT")  # noqa: B009
_first: Any = (lambda values, number: tuple(values[:number])) if _plain else to_fixed_tuple


class Samples(NamedTuple):
    """Moments at which membranes are looked at, and room for what is seen."""

    moments: np.ndarray  # (T,) in order, ms
    first: np.ndarray  # (P,) where the neurons of a population begin among those that are looked at; −1 of others
    v: np.ndarray  # (T, m) their membranes


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


def still_circuit(
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
) -> Circuit:
    """The tables of a circuit in which nothing learns.

    membranes (P,): how many neurons of each population have a membrane: all, or none where it is given what it sends. The other
    arguments are as in `Circuit`; a spike adds its jump as it is to v, or to a current.
    """
    pairing, populations = Pairing(0.0, 0.0, 0.0), len(sizes)
    none = np.zeros((0, bias.size))
    return Circuit(
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


def kinds_of(c: Circuit, kind: np.ndarray, models: Sequence[Any], noises: np.ndarray) -> tuple[tuple[Any, Kernels], ...]:
    """The models of neurons that a circuit has, each with the kernels that it needs.

    kind (P,): as `simulation_kernel` takes it; noises (P,): how many sources of noise each population has.
    """
    found, exponential = [], c.taus.size > 0
    for m, model in enumerate(models):
        if not model.linear:
            found.append((model, Kernels(exponential=False, dense=False, sparse=False, online=False, rule=Still)))
            continue
        simple = not model.adapts and not exponential
        dense = [
            simple and not noises[k] and (c.ports[c.first_port[k] : c.first_port[k + 1]]["rows"] < 0).all()
            for k in np.flatnonzero(kind == m)
        ]
        noisy = bool(noises[kind == m].any())
        found.append((model, Kernels(exponential, bool(any(dense)), not all(dense), False, None, noisy)))
    return tuple(found)


@cache
def simulation_kernel(kinds: tuple[tuple[Any, Kernels], ...]) -> Any:
    """The kernel for circuits with these models of neurons."""
    advance = _advance(kinds)

    @allocating
    def copy_of(state):
        """A copy of what changes while one population is taken through a window."""
        return State(
            drive=state.drive,
            current=state.current,
            v=state.v.copy(),
            scratch=state.scratch.copy(),
            theta=state.theta.copy(),
            x=state.x.copy(),
            z=state.z.copy(),
            accumulator=state.accumulator.copy(),
            until=state.until.copy(),
            spikes=state.spikes.copy(),
            currents=state.currents.copy(),
            pre_traces=state.pre_traces,
            origin=state.origin.copy(),
            listed=state.listed.copy(),
            received=state.received.copy(),
            strength=state.strength,
            level=state.level,
        )

    @allocating
    def copy_of_noise(noise):
        return Noise(
            seed=noise.seed,
            number=noise.number,
            first_source=noise.first_source,
            first=noise.first,
            current=noise.current,
            jump=noise.jump,
            mean=noise.mean,
            longest=noise.longest,
            time=noise.time.copy(),
            passed=noise.passed.copy(),
            later_time=noise.later_time,
            later_count=noise.later_count,
            ahead_time=noise.ahead_time,
            ahead_count=noise.ahead_count,
        )

    @compiled(error_model="numpy", nogil=True)
    def simulate(
        kind,  # (P,) which of the models the neurons of each population are; −1 of those that are given what they send
        parameters,  # (P, F) their parameters, in the order of the model's
        c,  # Circuit
        noise,  # Noise
        state,  # State where the first window begins, and then where the last one ends
        waiting,  # spikes that are in the queues, of all populations end to end, `state.listed` of each: when, and from whom
        listens,  # (P,) whether all spikes of a population are to be listed, although it has no synapses
        width,  # of a window, ms
        window,  # the first one: it begins at window · width
        stop,  # one after the last
        samples,  # Samples, of moments in these windows
        cancelled,  # (1,) ends the simulation when it is set
    ):
        """Simulate some windows; returns the queues of all populations: when spikes were sent, and by which neuron."""
        scratch, at, nth = scratch_of(c), 0, 0
        times, senders = [], []
        for n in state.listed:
            times.append(longer(waiting[0][at : at + n], n, 0))
            senders.append(longer(waiting[1][at : at + n], n, 0))
            at += n
        lists = listens.copy()
        for port in range(c.ports.size):
            lists[c.ports[port].pre] = True
        for w in range(window, stop):
            begin, end, after = w * width, (w + 1) * width, nth
            while after < samples.moments.size and samples.moments[after] < end:
                after += 1
            # Copies of populations first go to the moments at which they are looked at, then they themselves to the end. What
            # advances them is called at one place, because it could be compiled once for each.
            for e in range((after - nth + 1) * kind.size):
                k, moment = e % kind.size, nth + e // kind.size
                looks = moment < after
                if kind[k] < 0 or (looks and samples.first[k] < 0):
                    continue
                then, processes, until = state, noise, end
                if looks:
                    then, processes, until = copy_of(state), copy_of_noise(noise), samples.moments[moment]
                advance(
                    kind[k], parameters[k], c, k, begin, until, then, times, senders, lists[k] and not looks, scratch,
                    cancelled, processes,
                )  # fmt: skip
                if looks:
                    for i in range(c.sizes[k]):
                        samples.v[moment, samples.first[k] + i] = then.v[c.first[k] + i]
            nth = after
            if cancelled[0]:
                break
        return times, senders

    return simulate


def _advance(kinds: tuple[tuple[Any, Kernels], ...]) -> Any:
    """What takes one population from t to `stop`: by the kernels of the first of these models, or of the others."""
    neuron, kernels = kinds[0]
    advance_own, _ = population_kernels(neuron, kernels)
    number, others = len(neuron._fields), _advance(kinds[1:]) if len(kinds) > 1 else None

    @allocating
    def own(values, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise):
        p = neuron(*_first(values, number))
        advance_own(p, 0.0, c, k, t, stop, state, times, senders, 0.0, False, sends, state.v[:0], scratch, cancelled, noise)

    if others is None:

        @allocating
        def advance(kind, values, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise):
            own(values, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise)

    else:

        @allocating
        def advance(kind, values, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise):
            if kind == 0:
                own(values, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise)
            else:
                others(kind - 1, values, c, k, t, stop, state, times, senders, sends, scratch, cancelled, noise)

    return advance
