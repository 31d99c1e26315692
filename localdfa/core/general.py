"""A population of neurons of any model, and synapses under any rule for spikes, one arrival after the other.

Each neuron is carried from one moment at which something reaches it to the next by its own closed forms: `wait` says when it
spikes, `relax` where v is if it does not. The rule is asked for what a synapse gains at each arrival and at each postsynaptic
spike. `streams` and `chunks` are faster, for linear membranes under a rule that pairs of spikes make up.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.asleep import recovered
from localdfa.core.compiled import counted, inlined, inner
from localdfa.core.queues import ENDS, START, SUMS, TARGETS, TRACES, sort
from localdfa.core.traces import rises


class GeneralRoom(NamedTuple):
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


@counted
def general_room(n):
    """Scratch for populations of up to n neurons."""
    return GeneralRoom(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.bool_))


@inlined
def _row(
    slot,  # the projection, as a slot of the circuit
    j,  # its presynaptic neuron
    synapses,  # Synapses
    n,  # neurons of the population
):
    """Where the synapses of a presynaptic neuron begin and end, counted from the first of its projection."""
    ends = synapses.joints[slot, ENDS]
    if ends < 0:
        return j * n, (j + 1) * n
    return synapses.row_ends[ends + j], synapses.row_ends[ends + j + 1]


@inlined
def _target(slot, j, s, synapses, n):
    """The postsynaptic neuron of synapse s of presynaptic neuron j; arguments as in `_row`."""
    if synapses.joints[slot, ENDS] < 0:
        return s - j * n
    return synapses.targets[synapses.joints[slot, TARGETS] + s]


@inner
def _collect_jumps(first, last, arrivals, synapses, n, room):
    """What arrivals first … last − 1, of one moment, add to v of each neuron that they reach; returns how many they reach."""
    count = 0
    for e in range(first, last):
        slot, j = arrivals.slots[e], arrivals.who[e]
        begin, end = _row(slot, j, synapses, n)
        for s in range(begin, end):
            i = _target(slot, j, s, synapses, n)
            if not room.marked[i]:
                room.marked[i], room.jump[i], room.reached[count] = True, 0.0, i
                count += 1
            room.jump[i] += synapses.jumps[synapses.joints[slot, START] + s] * synapses.strength[slot]
    return count


@cache
def general_kernel(neuron: Any, rule: Any) -> Any:
    """The kernel for one model of neurons and one rule."""
    relax, wait, at_arrival, at_spike = neuron.relax, neuron.wait, rule.at_arrival, rule.at_spike

    @inner
    def spike(r, i, time, v, traces, cells, signal, listed):
        """Neuron i spikes at `time` from the membrane v. Returns how many spikes are listed then."""
        number, (rise_x, rise_z) = cells.x.dtype.type, rises(time, traces)
        gained = at_spike(r, cells.z[i] / rise_z, v, signal[i], traces)
        cells.risen[i] += number(gained / rise_x)
        cells.x[i] += number(rise_x)
        cells.z[i] += number(rise_z)
        cells.spikes[i] += 1
        cells.times[listed], cells.senders[listed] = time, i
        return listed + 1

    @inner
    def go_on(p, r, i, stop, traces, cells, signal, room, listed):
        """Neuron i goes on to `stop`, with all spikes that come before; returns how many spikes are listed then."""
        drive, time = float(cells.to[i]), room.at[i]
        while time < stop:  # ends, as each pass ends at `stop` or goes on by a refractory period
            crossing = time + wait(p, room.v[i], drive)
            if not crossing < stop:
                room.v[i], time = relax(p, room.v[i], drive, stop - time), stop
                break
            listed = spike(r, i, crossing, p.v_th, traces, cells, signal, listed)
            time, room.v[i] = crossing + p.t_ref, p.v_reset
            cells.until[i] = time
        room.at[i] = time
        return listed

    @inner
    def accumulate_on_arrival(r, first, last, arrivals, synapses, traces, scale, cells, signal, room):
        """Synapses through which something arrives at one moment gain what the rule says, and their traces rise."""
        number, n = synapses.y.dtype.type, cells.to.size
        rise_x, rise_z = rises(arrivals.when[first], traces)
        for e in range(first, last):
            slot, j = arrivals.slots[e], arrivals.who[e]
            if synapses.joints[slot, TRACES] < 0:
                continue
            synapses.y[synapses.joints[slot, TRACES] + j] += number(rise_x)
            begin, end = _row(slot, j, synapses, n)
            for s in range(begin, end if scale != 0 else begin):
                i = _target(slot, j, s, synapses, n)
                gained = at_arrival(r, cells.z[i] / rise_z, room.before[i], signal[i], traces) - rise_x * cells.risen[i]
                synapses.sums[synapses.joints[slot, SUMS] + s] += number(scale * gained)

    @inner
    def general(
        p,  # parameters of the neurons
        r,  # parameters of the rule
        t,  # begin of the window, ms
        now,  # its end, ms
        arrivals,  # Arrivals: what comes in the window
        v,  # (n,) membranes at t, and then at `now`
        cells,  # Cells: the population's part of the state
        signal,  # (n,) ±β c, the feedback signal as the rule reads it
        traces,  # Traces: how the traces decay, and the rule's pairing
        synapses,  # Synapses
        room,  # GeneralRoom
        scale,  # of what synapses gain; 0 while the gate is closed
        reads,  # whether synapses follow the traces
        sends,  # whether spikes are listed
        listed,  # how many spikes are listed so far
    ):
        """A population through the arrivals of a window; returns how many spikes are listed then."""
        n, before, e, when = cells.to.size, listed, 0, arrivals.when
        for i in range(n):
            refractory = not recovered(cells.until[i], t)
            room.at[i], room.v[i] = (cells.until[i], p.v_reset) if refractory else (t, float(v[i]))
        while e < when.size:
            first, moment = e, when[e]
            while e < when.size and when[e] == moment:
                e += 1
            count = _collect_jumps(first, e, arrivals, synapses, n, room)
            for f in range(count):
                i = room.reached[f]
                room.marked[i] = False
                listed = go_on(p, r, i, moment, traces, cells, signal, room, listed)
                room.before[i] = room.v[i]
                if not recovered(room.at[i], moment):  # what arrives in a refractory period is lost
                    continue
                room.at[i] = moment
                room.v[i] += room.jump[i]
                # Without a jump up, `wait` alone says whether v spikes.
                if room.v[i] >= p.v_th and (room.jump[i] > 0 or wait(p, room.v[i], float(cells.to[i])) == 0):
                    listed = spike(r, i, moment, room.v[i], traces, cells, signal, listed)
                    room.v[i], room.at[i] = p.v_reset, moment + p.t_ref
                    cells.until[i] = room.at[i]
            if reads:
                accumulate_on_arrival(r, first, e, arrivals, synapses, traces, scale, cells, signal, room)
        for i in range(n):
            listed = go_on(p, r, i, now, traces, cells, signal, room, listed)
            v[i] = room.v[i]
        sort(cells.times[before:listed], cells.senders[before:listed])
        return listed if sends else before

    return general
