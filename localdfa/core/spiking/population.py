"""How a population of spiking neurons goes from one moment to another, taking in the spikes that arrive.

Between arrivals nothing happens but relaxation in closed form. `dense` does the work where every arrival moves v of all
neurons, `sparse` elsewhere; both are for linear membranes, and for rules that pairs of spikes make up. All else is for
`general`. A population that nothing reaches spikes in periods. A kernel takes the population through one *window* at a time,
which lasts until the trace origin must move on.
"""

import math
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from localdfa import neurons
from localdfa.core.compiled import allocating
from localdfa.core.spiking.dense import DenseScratch, dense_kernel, dense_scratch
from localdfa.core.spiking.general import GeneralScratch, general_kernel, general_scratch
from localdfa.core.spiking.queues import Arrivals, Collected, collecting_kernels, empty_collected, longer, sort, wider
from localdfa.core.spiking.refractory import Ring, empty_ring, fill_ring
from localdfa.core.spiking.resolving import with_room
from localdfa.core.spiking.sparse import SparseScratch, sparse_kernel, sparse_scratch
from localdfa.core.spiking.state import Population, Synapses, Traces
from localdfa.core.spiking.traces import FAR, move_origin, trace_of_train
from localdfa.errors import SpecError

# A window is so short that all neurons together cannot send many more spikes in it.
_SPIKES = 2.0**22
# There is room for so many arrivals of a window at first.
_ARRIVALS = 256


class Scratch(NamedTuple):
    """Scratch arrays for the populations of a circuit, one after the other."""

    candidates: np.ndarray  # (n + 1,) a list of neurons that may spike
    collected: Collected
    ring: Ring  # of refractory neurons
    dense: DenseScratch
    sparse: SparseScratch
    general: GeneralScratch


class Kernels(NamedTuple):
    """Which kernels a circuit needs; the others are not compiled."""

    exponential: bool  # whether there are synaptic currents
    dense: bool  # whether there are populations for `dense`
    sparse: bool  # whether there are populations for `sparse`
    online: bool  # whether weights change while spikes pass, in populations for `dense`
    rule: Any  # the rule that `general` asks, or None where it is not needed
    noisy: bool = False  # whether there is `noise.Noise`
    varied: tuple[str, ...] = ()  # which parameters differ from neuron to neuron: these are not for `dense`


def kernels_for(c: Any, neuron: Any, rule: Any, online: bool, varied: tuple[str, ...] = ()) -> Kernels:
    """The kernels that a circuit of one model of neurons needs under a rule; varied: as in `Kernels`.

    Raises
    ------
    SpecError
        There are none: `general` has no synaptic currents, no thresholds that adapt and no weights that change meanwhile.
    """
    exponential = c.taus.size > 0
    if not (neurons.is_linear(neuron) and rule.by_pairs()):
        if exponential or neuron.adapts or online:
            raise SpecError(
                "synaptic currents, adapting thresholds and phases.update = 'online' go with linear membranes under a rule "
                "that pairs of spikes make up"
            )
        return Kernels(exponential=False, dense=False, sparse=False, online=False, rule=rule, varied=varied)
    simple = not neuron.adapts and not exponential and not varied
    all_dense = [bool((c.ports[a:b]["rows"] < 0).all()) for a, b in pairwise(c.first_port) if b > a or not simple]
    return Kernels(
        exponential=exponential,
        dense=simple and any(all_dense),
        sparse=not simple or not all(all_dense),
        online=online,
        rule=None,
        varied=varied,
    )


@allocating
def scratch_of(c):
    """Scratch for a block of trials of a circuit."""
    largest, kind = 0, c.jumps.dtype
    for k in range(c.sizes.size):
        largest = max(largest, c.first[k + 1] - c.first[k])
    return Scratch(
        candidates=np.zeros(largest + 1, np.int64),
        collected=empty_collected(c.ports.size, _ARRIVALS),
        ring=empty_ring(largest),
        dense=dense_scratch(largest, kind),
        sparse=sparse_scratch(largest, c.taus, kind),
        general=general_scratch(largest),
    )


@cache
def population_kernels(neuron: Any, kernels: Kernels) -> Any:
    """The functions that take one population from one moment to another, for one model of its neurons: `advance`, and
    `advance_periodic`, which may stand in for it where nothing arrives and no threshold adapts."""
    relax, wait, simple = neuron.relax, neuron.wait, not neuron.adapts and not kernels.exponential
    any_dense, any_sparse, any_general, noisy = kernels.dense, kernels.sparse, kernels.rule is not None, kernels.noisy
    varied = kernels.varied
    of_each, (count_arrivals, merge_arrivals) = bool(varied), collecting_kernels(False)
    dense: Any = dense_kernel(neuron, kernels.online) if any_dense else None
    sparse: Any = sparse_kernel(neuron, kernels.exponential, noisy, varied) if any_sparse else None
    general: Any = general_kernel(neuron, kernels.rule, varied) if any_general else None

    @allocating
    def advance(
        p,  # parameters of the neurons
        r,  # parameters of the rule
        c,  # Tables
        k,  # the population
        t,  # now, ms
        stop,  # until when, ms
        state,  # State
        times,  # queues of all populations: when each spike was sent, ms
        senders,  # and by which neuron
        scale,  # of what synapses gain; 0 while the gate is closed
        reads,  # whether synapses follow the traces
        sends,  # whether spikes are listed
        sums,  # (n_sums,) gets what synapses gain
        scratch,  # Scratch
        cancelled,  # (1,) ends the work when it is set
        noise,  # Noise, or None without
        own,  # (n, F) parameters of each neuron of all populations where they differ, `p` then has the least; or None
    ):
        """Take population k from t to stop."""
        a, n, first, last = c.first[k], c.sizes[k], c.first_port[k], c.first_port[k + 1]
        v, later = state.v[a : a + n], state.scratch[a : a + n]
        target, signal = state.drive[a : a + n].copy(), state.current[a : a + n]
        if c.injects:
            for i in range(n):
                target[i] -= signal[i]
        rows = own[a : a + n] if of_each else None
        far, own_times, own_senders, listed = FAR * c.shortest, times[k], senders[k], state.listed[k]
        plastic, is_dense, reached, collected = False, simple, scratch.sparse.reached, scratch.collected
        for port in range(first, last):
            is_dense &= c.ports[port].rows < 0 and c.ports[port].current < 0
            plastic |= c.ports[port].traces >= 0
        if noisy:
            is_dense &= noise.first[k + 1] == noise.first[k]
        if any_sparse:
            scratch.sparse.decay.taus[c.taus.size] = c.tau_a[k]
            scratch.sparse.decay.after[c.taus.size] = 0.0  # what a population of another model, which adapts, has left there
        reads &= plastic
        synapses = Synapses(
            ports=c.ports,
            row_ends=c.row_ends,
            targets=c.targets,
            jumps=c.jumps,
            online=c.online,
            strength=state.strength,
            pre_traces=state.pre_traces,
            sums=sums,
        )
        if not any_general:
            fill_ring(v, state.until[a : a + n], t, scratch.ring)
        while t < stop and not cancelled[0]:
            if t - state.origin[k] > 0.5 * far:
                move_origin(c, k, t, state, scale, sums)
            now = min(stop, state.origin[k] + far, t + _SPIKES / n * p.t_ref)
            if not now > t:  # a window shorter than the rounding of t: without this the loop would not end
                now = stop
            places = listed + n * (2 + int((now - t) / p.t_ref))
            if places > own_times.size:
                own_times, own_senders = longer(own_times, listed, places), longer(own_senders, listed, places)
            population = Population(
                target=target,
                until=state.until[a : a + n],
                spikes=state.spikes[a : a + n],
                theta=state.theta[a : a + n],
                x=state.x[a : a + n],
                z=state.z[a : a + n],
                accumulator=state.accumulator[a : a + n],
                currents=state.currents,
                first=a,
                times=own_times,
                senders=own_senders,
            )
            traces = Traces(
                origin=state.origin[k], tau_x=c.tau_x, tau_z=c.tau_z, post=c.post, pre=c.pre, edge=c.edge
            )  # fmt: skip
            count = count_arrivals(first, last, now, c.ports, c.delay, state.received, state.listed, times, None, collected)
            if count > collected.when.shape[1]:
                collected = wider(collected, count)
            at = merge_arrivals(first, last, t, c.ports, c.delay, state.received, times, senders, None, collected)
            arrivals = Arrivals(collected.when[at, :count], collected.ports[at, :count], collected.senders[at, :count])
            if any_general:
                listed = general(
                    p, rows, r, t, now, arrivals, v, population, signal, traces, synapses, scratch.general, scale, reads, sends,
                    listed,
                )  # fmt: skip
            if any_dense and (is_dense or not any_sparse):
                listed = dense(
                    p, t, now, arrivals, v, later, population, traces, synapses, scratch.ring, scratch.candidates,
                    scratch.dense, scale, reads, sends, listed,
                )  # fmt: skip
            if any_sparse and not (is_dense and any_dense):
                if count > reached.arrivals.size:
                    reached = with_room(reached, count)
                listed = sparse(
                    p, rows, t, now, c.shortest, c.taus, arrivals, v, later, population, traces, synapses, scratch.ring,
                    scratch.candidates, scratch.sparse, reached, k, noise, scale, reads, sends, listed,
                )  # fmt: skip
            t = now
        times[k], senders[k], state.listed[k] = own_times, own_senders, listed
        number = v.dtype.type
        for i in range(n):
            v[i] = number(p.v_reset) if v[i] == -np.inf else v[i]

    @allocating
    def advance_periodic(p, c, k, t, stop, state, times, senders, sends):
        """Take population k, which nothing reaches, from t to stop: under a constant drive its spikes are periodic.

        Arguments as in `advance`.
        """
        move_origin(c, k, t, state, 0.0, c.jumps)
        a, n, number, before, listed = c.first[k], c.sizes[k], state.v.dtype.type, state.listed[k], state.listed[k]
        own_times, own_senders = times[k], senders[k]
        fade_x, fade_z = number(math.exp((t - stop) / c.tau_x)), number(math.exp((t - stop) / c.tau_z))
        for i in range(a, a + n):
            v, target = float(state.v[i]), float(state.drive[i] - (state.current[i] if c.injects else number(0)))
            start = max(t, state.until[i])
            first = start + wait(p, v, target)
            state.x[i] *= fade_x
            state.z[i] *= fade_z
            if not first < stop:
                if start < stop:
                    state.v[i] = relax(p, v, target, stop - start)
                continue
            interval = p.t_ref + wait(p, p.v_reset, target)
            count = 1 + int((stop - first) / interval)
            # The quotient is rounded; which spikes come before `stop` is not.
            if count > 1 and first + (count - 1) * interval >= stop:
                count -= 1
            elif first + count * interval < stop:
                count += 1
            last = first + (count - 1) * interval if count > 1 else first
            trace = trace_of_train(count, interval, stop - last, c.tau_z)
            state.z[i] += number(trace)
            state.x[i] += number(trace if c.tau_x == c.tau_z else trace_of_train(count, interval, stop - last, c.tau_x))
            until = last + p.t_ref
            state.v[i] = relax(p, p.v_reset, target, stop - until) if until < stop else p.v_reset
            state.until[i] = until
            state.spikes[i] += count
            if sends:
                if listed + count > own_times.size:
                    own_times = longer(own_times, listed, listed + count)
                    own_senders = longer(own_senders, listed, listed + count)
                for e in range(count):
                    own_times[listed], own_senders[listed] = first + e * interval, i - a
                    listed += 1
        if sends:
            sort(own_times[before:listed], own_senders[before:listed])
        times[k], senders[k], state.listed[k], state.origin[k] = own_times, own_senders, listed, stop

    return advance, advance_periodic
