"""How a population of spiking neurons goes from one moment to another, taking in the spikes that arrive.

Between arrivals nothing happens but relaxation in closed form. Where all spikes that arrive move v of all neurons, `streams`
does the work, elsewhere `chunks`; both are for linear membranes, and for rules that pairs of spikes make up. All else is for
`general`. A population that nothing reaches spikes in periods.

A window lasts until the base of the traces must move on. In the kernels of a window p are the parameters of the neurons; v,
later (n,) the membranes and room for them; found, a list of neurons, `asleep` and room are scratch; scale is that of ∫ x dz, 0
while the gate is closed; reads: whether the synapses follow their traces; sends: whether spikes are listed; listed: how many
are.
"""

import math
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.asleep import Asleep, nobody, rest
from localdfa.core.chunks import ChunkRoom, chunk_kernel, chunk_room, room_to_hear
from localdfa.core.compiled import counted
from localdfa.core.general import GeneralRoom, general_kernel, general_room
from localdfa.core.queues import CURRENT_OF, ENDS, TRACES, gather, longer, sort
from localdfa.core.state import CURRENT, DRIVE, LATER, THETA, C, Cells, Synapses, Traces, V, X, Z
from localdfa.core.streams import StreamRoom, stream_kernel, stream_room
from localdfa.core.traces import FAR, move_base, series
from localdfa.errors import SpecError

# A window is so short that all neurons together cannot send many more spikes in it.
_ROOM = 2.0**22


class Room(NamedTuple):
    """Scratch. found (n,): neurons that may spike; asleep: those that are refractory."""

    found: np.ndarray
    asleep: Asleep
    streams: StreamRoom
    chunks: ChunkRoom
    general: GeneralRoom


class Ways(NamedTuple):
    """Which kernels a circuit needs: the others are not compiled.

    exponential: whether there are synaptic currents; streams, chunked: whether there are populations that these are for;
    online: whether weights change while spikes pass, in those that `streams` is for; rule: which `general` asks, or None where
    it is not needed.
    """

    exponential: bool
    streams: bool
    chunked: bool
    online: bool
    rule: Any


def ways_of(c: Any, neuron: Any, rule: Any, online: bool) -> Ways:
    """The kernels for a circuit of one model of neurons under a rule.

    Raises
    ------
    SpecError
        There is none, as `general` has no synaptic currents, no thresholds that adapt and no weights that change meanwhile.
    """
    exponential = c.taus.size > 0
    if not (neuron.linear and rule.by_pairs()):
        if exponential or neuron.adapts or online:
            raise SpecError(
                "synaptic currents, adapting thresholds and phases.update = 'online' go with linear membranes under a rule "
                "that pairs of spikes make up"
            )
        return Ways(False, False, False, False, rule)
    simple = not neuron.adapts and not exponential
    level = [bool((c.joints[a:b, ENDS] < 0).all()) for a, b in pairwise(c.slots) if b > a or not simple]
    return Ways(exponential, simple and any(level), not simple or not all(level), online, None)


@counted
def room_of(c):
    """Scratch for a block of trials."""
    largest, kind = 0, c.jumps.dtype
    for size in c.sizes:
        largest = max(largest, size)
    found = np.zeros(largest + 1, np.int64)
    return Room(
        found, nobody(largest), stream_room(largest, kind), chunk_room(largest, c.taus, c.tau_a, kind), general_room(largest)
    )


@cache
def kernels(neuron: Any, ways: Ways) -> Any:
    """The kernels that take one population from one moment to another, for one model of its neurons: `advance`, and `periodic`,
    which may stand in for it where nothing arrives and no threshold adapts."""
    relax, wait, simple = neuron.relax, neuron.wait, not neuron.adapts and not ways.exponential
    streams, chunked, asked = ways.streams, ways.chunked, ways.rule is not None
    stream: Any = stream_kernel(neuron, ways.online) if streams else None
    chunks: Any = chunk_kernel(neuron, ways.exponential) if chunked else None
    general: Any = general_kernel(neuron, ways.rule) if asked else None

    @counted
    def advance(p, r, c, k, t, stop, state, times, senders, scale, reads, sends, sums, room, cancelled):
        """Population k from t to stop; sums: gets scale ∫ x dz of the synapses that learn; cancelled (1,): ends it when set."""
        a, n, lo, hi = c.first[k], c.sizes[k], c.slots[k], c.slots[k + 1]
        v, later = state.rows[V, a : a + n], state.rows[LATER, a : a + n]
        to, signal = state.rows[DRIVE, a : a + n].copy(), state.rows[CURRENT, a : a + n]
        if c.injects:
            for i in range(n):
                to[i] -= signal[i]
        far, own, own_senders, listed, level = FAR * c.shortest, times[k], senders[k], state.sent[k], simple
        plastic, heard = False, room.chunks.heard
        for slot in range(lo, hi):
            level &= c.joints[slot, ENDS] < 0 and c.joints[slot, CURRENT_OF] < 0
            plastic |= c.joints[slot, TRACES] >= 0
        reads &= plastic
        synapses = Synapses(c.joints, c.row_ends, c.targets, c.jumps, c.online, state.strength, state.y, sums)
        if not asked:
            rest(v, state.until[a : a + n], t, room.asleep)
        while t < stop and not cancelled[0]:
            if t - state.base[k] > 0.5 * far:
                move_base(c, k, t, state, scale, sums)
            now = min(stop, state.base[k] + far, t + _ROOM / n * p.t_ref)
            if not now > t:  # a window shorter than the rounding of t: without this the loop would not end
                now = stop
            room_for = listed + n * (2 + int((now - t) / p.t_ref))
            if room_for > own.size:
                own, own_senders = longer(own, listed, room_for), longer(own_senders, listed, room_for)
            cells = Cells(
                to, state.until[a : a + n], state.spikes[a : a + n], state.rows[THETA, a : a + n], state.rows[X, a : a + n],
                state.rows[Z, a : a + n], state.rows[C, a : a + n], state.currents, a, own, own_senders,
            )  # fmt: skip
            traces = Traces(state.base[k], c.tau_x, c.tau_z, c.post, c.pre, c.edge)
            arrivals = gather(lo, hi, t, now, c.joints, c.delay, state.received, state.sent, times, senders)
            if asked:
                listed = general(
                    p, r, t, now, arrivals, v, cells, signal, traces, synapses, room.general, scale, reads, sends, listed
                )  # fmt: skip
            if streams and (level or not chunked):
                listed = stream(
                    p, t, now, arrivals, v, later, cells, traces, synapses, room.asleep, room.found, room.streams, scale, reads,
                    sends, listed,
                )  # fmt: skip
            if chunked and not (level and streams):
                heard = room_to_hear(heard, arrivals.when.size)
                listed = chunks(
                    p, t, now, c.shortest, c.taus, arrivals, v, later, cells, traces, synapses, room.asleep, room.found,
                    room.chunks, heard, scale, reads, sends, listed,
                )  # fmt: skip
            t = now
        times[k], senders[k], state.sent[k] = own, own_senders, listed
        number = v.dtype.type
        for i in range(n):
            v[i] = number(p.v_reset) if v[i] == -np.inf else v[i]

    @counted
    def periodic(p, c, k, t, stop, state, times, senders, sends):
        """Population k, which nothing reaches, from t to stop: under a constant drive its spikes are periodic."""
        move_base(c, k, t, state, 0.0, c.jumps)
        a, n, number, before, sent = c.first[k], c.sizes[k], state.rows.dtype.type, state.sent[k], state.sent[k]
        own, own_senders = times[k], senders[k]
        fade_x, fade_z = number(math.exp((t - stop) / c.tau_x)), number(math.exp((t - stop) / c.tau_z))
        for i in range(a, a + n):
            v, to = float(state.rows[V, i]), float(state.rows[DRIVE, i] - (state.rows[CURRENT, i] if c.injects else number(0)))
            start = max(t, state.until[i])
            first = start + wait(p, v, to)
            state.rows[X, i] *= fade_x
            state.rows[Z, i] *= fade_z
            if not first < stop:
                if start < stop:
                    state.rows[V, i] = relax(p, v, to, stop - start)
                continue
            interval = p.t_ref + wait(p, p.v_reset, to)
            count = 1 + int((stop - first) / interval)
            # The quotient is rounded; which spikes come before `stop` is not.
            if count > 1 and first + (count - 1) * interval >= stop:
                count -= 1
            elif first + count * interval < stop:
                count += 1
            last = first + (count - 1) * interval if count > 1 else first
            trace = series(count, interval, stop - last, c.tau_z)
            state.rows[Z, i] += number(trace)
            state.rows[X, i] += number(trace if c.tau_x == c.tau_z else series(count, interval, stop - last, c.tau_x))
            until = last + p.t_ref
            state.rows[V, i] = relax(p, p.v_reset, to, stop - until) if until < stop else p.v_reset
            state.until[i] = until
            state.spikes[i] += count
            if sends:
                if sent + count > own.size:
                    own, own_senders = longer(own, sent, sent + count), longer(own_senders, sent, sent + count)
                for e in range(count):
                    own[sent], own_senders[sent] = first + e * interval, i - a
                    sent += 1
        if sends:
            sort(own[before:sent], own_senders[before:sent])
        times[k], senders[k], state.sent[k], state.base[k] = own, own_senders, sent, stop

    return advance, periodic
