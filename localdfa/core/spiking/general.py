"""A population of neurons of any model, and synapses under any rule for spikes, one arrival after the other.

Each neuron is carried from one moment at which something reaches it to the next by its own closed forms: `wait` says when it
spikes, `relax` where v is if it does not. The rule is asked for what a synapse gains at each arrival and at each postsynaptic
spike. `dense` and `sparse` are faster, for linear membranes under a rule that pairs of spikes make up.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, always_inline, device
from localdfa.core.spiking.parameters import parameters_of
from localdfa.core.spiking.queues import sort
from localdfa.core.spiking.refractory import recovered
from localdfa.core.spiking.traces import fire, rises


class GeneralScratch(NamedTuple):
    """Scratch for the neurons of a population.

    v (n,): the membrane at the time `at` (n,), ms, which lies ahead of a neuron that is refractory; before (n,): v just before
    what arrives at a moment; jump (n,): what that adds to v; reached (n,): the neurons that it reaches, and marked (n,) whether
    one is among them.
    """

    v: np.ndarray
    at: np.ndarray
    before: np.ndarray
    jump: np.ndarray
    reached: np.ndarray
    marked: np.ndarray


@allocating
def general_scratch(n):
    """Scratch for populations of up to n neurons."""
    return GeneralScratch(
        v=np.zeros(n),
        at=np.zeros(n),
        before=np.zeros(n),
        jump=np.zeros(n),
        reached=np.zeros(n, np.int64),
        marked=np.zeros(n, np.bool_),
    )


@always_inline
def _row(
    port,  # a port's entry in the table of ports
    j,  # its presynaptic neuron
    row_ends,  # as in `tables.Tables`
    n,  # neurons of the population
):
    """Where the synapses of a presynaptic neuron begin and end, counted from the first of the port."""
    if port.rows < 0:
        return j * n, (j + 1) * n
    return row_ends[port.rows + j], row_ends[port.rows + j + 1]


@always_inline
def _target(port, j, s, targets, n):
    """The postsynaptic neuron of synapse s of presynaptic neuron j; targets as in `tables.Tables`, the others as in
    `_row`."""
    return s - j * n if port.rows < 0 else targets[port.targets + s]


@device
def _collect_jumps(first, last, arrivals, synapses, n, scratch):
    """Add up what arrivals first … last − 1, of one moment, add to v of each neuron; returns how many neurons they reach."""
    count = 0
    for e in range(first, last):
        port, j, strength = synapses.ports[arrivals.ports[e]], arrivals.senders[e], synapses.strength[arrivals.ports[e]]
        begin, end = _row(port, j, synapses.row_ends, n)
        for s in range(begin, end):
            i = _target(port, j, s, synapses.targets, n)
            if not scratch.marked[i]:
                scratch.marked[i], scratch.jump[i], scratch.reached[count] = True, 0.0, i
                count += 1
            scratch.jump[i] += synapses.jumps[port.jumps + s * port.stride] * strength
    return count


@cache
def general_kernel(neuron: Any, rule: Any, varied: tuple[str, ...]) -> Any:
    """The kernel for one model of neurons and one rule; varied: which parameters differ from neuron to neuron."""
    of_one = parameters_of(neuron, varied)
    relax, wait, at_arrival, at_spike = neuron.relax, neuron.wait, rule.at_arrival, rule.at_spike

    @device
    def spike(r, i, time, v, traces, population, signal, listed):
        """List a spike of neuron i at `time` from the membrane v; returns how many spikes are listed then."""
        rise = rises(time, traces)
        gained = at_spike(r, population.z[i] / rise[1], v, signal[i], traces)
        return fire(i, time, rise, gained, population, listed)

    @device
    def go_on(p, r, i, stop, traces, population, signal, scratch, listed):
        """Neuron i goes on to `stop`, with all spikes that come before; returns how many spikes are listed then."""
        drive, time = float(population.target[i]), scratch.at[i]
        while time < stop:  # ends, as each pass ends at `stop` or goes on by a refractory period
            crossing = time + wait(p, scratch.v[i], drive)
            if not crossing < stop:
                scratch.v[i], time = relax(p, scratch.v[i], drive, stop - time), stop
                break
            listed = spike(r, i, crossing, p.v_th, traces, population, signal, listed)
            time, scratch.v[i] = crossing + p.t_ref, p.v_reset
            population.until[i] = time
        scratch.at[i] = time
        return listed

    @device
    def accumulate_on_arrival(r, first, last, arrivals, synapses, traces, scale, population, signal, scratch):
        """Synapses through which something arrives at one moment gain what the rule says, and their traces rise."""
        number, n = synapses.pre_traces.dtype.type, population.target.size
        rise_x, rise_z = rises(arrivals.when[first], traces)
        for e in range(first, last):
            port, j = synapses.ports[arrivals.ports[e]], arrivals.senders[e]
            if port.traces < 0:
                continue
            synapses.pre_traces[port.traces + j] += number(rise_x)
            begin, end = _row(port, j, synapses.row_ends, n)
            for s in range(begin, end if scale != 0 else begin):
                i = _target(port, j, s, synapses.targets, n)
                gained = at_arrival(r, population.z[i] / rise_z, scratch.before[i], signal[i], traces)
                synapses.sums[port.sums + s] += number(scale * (gained - rise_x * population.accumulator[i]))

    @device
    def general(
        p,  # parameters of the neurons
        rows,  # (n, F) those of each where they differ
        r,  # parameters of the rule
        t,  # begin of the window, ms
        now,  # its end, ms
        arrivals,  # Arrivals: what comes in the window
        v,  # (n,) membranes at t, and then at `now`
        population,  # Population
        signal,  # (n,) ±β c, the feedback signal as the rule reads it
        traces,  # Traces: how the traces decay, and the rule's pairing
        synapses,  # Synapses
        scratch,  # GeneralScratch
        scale,  # of what synapses gain; 0 while the gate is closed
        reads,  # whether synapses follow the traces
        sends,  # whether spikes are listed
        listed,  # how many spikes are listed so far
    ):
        """A population through the arrivals of a window; returns how many spikes are listed then."""
        n, before, e, when = population.target.size, listed, 0, arrivals.when
        for i in range(n):
            refractory = not recovered(population.until[i], t)
            scratch.at[i], scratch.v[i] = (population.until[i], of_one(p, rows, i).v_reset) if refractory else (t, float(v[i]))
        while e < when.size:
            first, moment = e, when[e]
            while e < when.size and when[e] == moment:
                e += 1
            count = _collect_jumps(first, e, arrivals, synapses, n, scratch)
            for f in range(count):
                i = scratch.reached[f]
                scratch.marked[i] = False
                own = of_one(p, rows, i)
                listed = go_on(own, r, i, moment, traces, population, signal, scratch, listed)
                scratch.before[i] = scratch.v[i]
                if not recovered(scratch.at[i], moment):  # what arrives in a refractory period is lost
                    continue
                scratch.at[i] = moment
                scratch.v[i] += scratch.jump[i]
                # Without a jump up, `wait` alone says whether v spikes.
                if scratch.v[i] >= own.v_th and (
                    scratch.jump[i] > 0 or wait(own, scratch.v[i], float(population.target[i])) == 0
                ):
                    listed = spike(r, i, moment, scratch.v[i], traces, population, signal, listed)
                    scratch.v[i], scratch.at[i] = own.v_reset, moment + own.t_ref
                    population.until[i] = scratch.at[i]
            if reads:
                accumulate_on_arrival(r, first, e, arrivals, synapses, traces, scale, population, signal, scratch)
        for i in range(n):
            listed = go_on(of_one(p, rows, i), r, i, now, traces, population, signal, scratch, listed)
            v[i] = scratch.v[i]
        sort(population.times[before:listed], population.senders[before:listed])
        return listed if sends else before

    return general
