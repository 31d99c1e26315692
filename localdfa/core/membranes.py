"""How a population of spiking neurons goes from one moment to another, taking in the spikes that arrive.

Between arrivals nothing happens but relaxation in closed form. A *chunk* of arrivals is taken in at once: what they leave at
its end is a sum, since v, the currents and the traces are linear; one pass over the neurons adds it, and a bound on v, from the
largest v without arrivals and the sum of what raises it, rules out most crossings. The neurons that could have reached
their threshold, few, are gone through arrival by arrival, exactly. The spikes of a dense projection reach all neurons, so there
a chunk is the arrivals of one moment, and the bound is v itself.

Traces, adapted thresholds and synaptic currents are kept as multiples of their decay since the population's *base*, a moment
that moves on before these multiples grow large, so that nothing needs to be touched in order to decay.

What the local rule needs of a synapse is ∫ x_j dz_i while the gate is open. With x_j(s) = y_j e^(−(s−base)/τ_x), where y_j
rises by e^((t−base)/τ_x) at each arrival and is constant in between, and A_i(t) = ∫ e^(−(s−base)/τ_x) dz_i(s) up to t,

    ∫ x_j dz_i = y_j A_i − Σ_arrivals e^((t−base)/τ_x) A_i(t),

so nothing is done to a synapse at postsynaptic spikes and one pass over a row of synapses at an arrival. A_i = C_i + ρ z_i(t)
e^(−(t−base)/τ_x) with ρ = τ_x/(τ_x+τ_z), where C_i begins at −ρ z_i and rises by (1 − ρ) e^(−(t−base)/τ_x) at each spike of i.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from localdfa.core.crossing import first_crossing
from localdfa.core.events import add, sort

# Arrivals through sparse projections that are taken in at once.
CHUNK = 8
# The base moves on before a multiple grows beyond e^8: in ∫ x dz two such numbers are subtracted.
_FAR = 8.0
# Rows of the array of states. DRIVE: constant drive; CURRENT: of the feedback, to be subtracted; V; LATER: room for v at the
# end of a chunk; THETA: by how much the threshold is raised, X, Z: traces of the own spikes, C: as above, all four in
# multiples of their decay.
DRIVE, CURRENT, V, LATER, THETA, X, Z, C = range(8)
ROWS = 8


class State(NamedTuple):
    """All populations in a trial, neurons end to end.

    rows (8, n): as above; until (n,): end of the last refractory period; spikes (n,): how many; currents (R, n): synaptic
    currents, in multiples of their decay; y: presynaptic traces of all slots end to end; base (P,); sent (P,): spikes so far;
    received, due: spikes of each slot that have arrived, and when the next one does.
    """

    rows: np.ndarray
    until: np.ndarray
    spikes: np.ndarray
    currents: np.ndarray
    y: np.ndarray
    base: np.ndarray
    sent: np.ndarray
    received: np.ndarray
    due: np.ndarray


class Room(NamedTuple):
    """Scratch. at, slot, who, size: the arrivals of a chunk; jump, rise (n,): what they add to v at its end, and what raises
    it; flow (R, n), lift (n,): the same of currents; found, asleep (n,); sizes, taus, present (R + 2,): of one neuron."""

    at: np.ndarray
    slot: np.ndarray
    who: np.ndarray
    size: np.ndarray
    jump: np.ndarray
    rise: np.ndarray
    flow: np.ndarray
    lift: np.ndarray
    bar: np.ndarray
    found: np.ndarray
    asleep: np.ndarray
    sizes: np.ndarray
    taus: np.ndarray
    present: np.ndarray


@njit(error_model="numpy")
def begin(c, dtype_of):
    """States and scratch of a block of trials; dtype_of: an array in the precision wanted."""
    n, populations, slots = c.first[-1], c.sizes.size, c.projection.size
    largest, incoming = 1, CHUNK + 1
    for k in range(populations):
        largest = max(largest, c.sizes[k])
        total = CHUNK + 1
        for e in range(c.slots[k], c.slots[k + 1]):
            total += c.sizes[c.pre[c.projection[e]]]
        incoming = max(incoming, total)
    r, kind = c.taus.size, dtype_of.dtype
    state = State(
        np.zeros((ROWS, n), kind), np.zeros(n), np.zeros(n, np.int64), np.zeros((r, n), kind), np.zeros(c.n_traces, kind),
        np.zeros(populations), np.zeros(populations, np.int64), np.zeros(slots, np.int64), np.zeros(slots),
    )  # fmt: skip
    room = Room(
        np.zeros(incoming), np.zeros(incoming, np.int64), np.zeros(incoming, np.int64), np.zeros(incoming),
        np.zeros(largest, kind), np.zeros(largest, kind), np.zeros((r, largest), kind), np.zeros(largest, kind),
        np.zeros(largest, kind), np.zeros(largest, np.int64), np.zeros(largest, np.int64),
        np.zeros(r + 2), np.zeros(r + 2), np.zeros(r + 1),
    )  # fmt: skip
    return state, room


@njit(error_model="numpy", inline="always")
def expect(c, e, state, times):
    """Note when the next spike through slot e arrives; times: of the spikes that its population has sent."""
    q = c.projection[e]
    waiting = state.received[e] < state.sent[c.pre[q]]
    state.due[e] = times[state.received[e]] + c.delay[q] if waiting else np.inf


@njit(error_model="numpy", inline="always")
def gather(c, k, stop, state, queues, room):
    """The next chunk of arrivals at population k before `stop`, in order of time.

    Returns how many, the end of the chunk, and whether all of them come through dense projections at that very moment.
    """
    count, dense, level = 0, False, True
    while True:
        slot, due = -1, stop
        for e in range(c.slots[k], c.slots[k + 1]):
            if state.due[e] < due:
                slot, due = e, state.due[e]
        if slot < 0 and not dense:
            return count, stop, count == 0
        full = count == room.at.size or ((dense or count >= CHUNK) and due > room.at[max(count - 1, 0)])
        if slot < 0 or (count > 0 and full):
            return count, room.at[count - 1], level
        q = c.projection[slot]
        queue = queues[c.pre[q]]
        who, size = queue["neuron"][state.received[slot]], queue["size"][state.received[slot]]
        level &= c.ends[q] < 0 and c.current[q] < 0 and (count == 0 or due == room.at[0])
        dense |= c.ends[q] < 0
        room.at[count], room.slot[count], room.who[count], room.size[count] = due, slot, who, size
        count += 1
        state.received[slot] += 1
        expect(c, slot, state, queue["time"])


@njit(error_model="numpy")
def synapse(c, q, j, i, n):
    """Where the synapse from neuron j to neuron i of n lies, counted from the projection's first; −1 if there is none."""
    if c.ends[q] < 0:
        return j * n + i
    low, high = c.row_ends[c.ends[q] + j], c.row_ends[c.ends[q] + j + 1]
    at = c.targets_at[q]
    while low < high:
        middle = (low + high) // 2
        if c.targets[at + middle] < i:
            low = middle + 1
        else:
            high = middle
    return low if low < c.row_ends[c.ends[q] + j + 1] and c.targets[at + low] == i else -1


@njit(error_model="numpy")
def weight(c, q, j, i, n):
    """What a spike of neuron j adds to neuron i of n."""
    at = synapse(c, q, j, i, n)
    return 0.0 if at < 0 else float(c.jumps[c.start[q] + at])


@njit(error_model="numpy")
def response(tau, tau_m, lapse):
    """v after `lapse` ms of a synaptic current that was 1 at their begin."""
    return tau / (tau - tau_m) * (math.exp(-lapse / tau) - math.exp(-lapse / tau_m))


@njit(error_model="numpy")
def series(count, interval, age, tau):
    """The trace of `count` spikes one `interval` apart, the last of them `age` ms ago."""
    return (math.exp(-age / tau) - math.exp(-(age + count * interval) / tau)) / (1 - math.exp(-interval / tau))


@njit(error_model="numpy")
def leap(v, later, to, remains, jump, bar):
    """v after its distance to the drive has shrunk to the fraction `remains` and jumped; how many have met the threshold.

    A refractory neuron has v = −∞, and keeps it.
    """
    met = 0
    for i in range(v.size):
        relaxed = to[i] + (v[i] - to[i]) * remains
        later[i] = relaxed + jump[i]
        met += (relaxed >= bar[i]) | (later[i] >= bar[i])
    return met


@njit(error_model="numpy")
def find(v, later, to, remains, bar, count, found):
    """The `count` neurons that have met the threshold in `leap`."""
    i, met = 0, 0
    while met < count and i < v.size:
        if later[i] >= bar[i] or to[i] + (v[i] - to[i]) * remains >= bar[i]:
            found[met] = i
            met += 1
        i += 1


@njit(error_model="numpy")
def wake(asleep, sleepers, until, now, later, found, met):
    """The neurons whose refractory period is over move from `asleep` to `found`, the others keep v = −∞.

    Returns how many sleep on, and how many have woken.
    """
    left, woken = 0, 0
    for e in range(sleepers):
        i = asleep[e]
        later[i] = -np.inf
        if until[i] <= now:
            found[met + woken] = i
            woken += 1
        else:
            asleep[left] = i
            left += 1
    return left, woken


@njit(error_model="numpy")
def learn(c, k, now, state, scale, sums):
    """Close ∫ x dz of all synapses of population k that learn at `now`, times scale: y_j A_i."""
    a, b = c.first[k], c.first[k + 1]
    n, apart, number = b - a, now - state.base[k], state.rows.dtype.type
    z, risen = state.rows[Z, a:b], state.rows[C, a:b]
    left, weight_of = number(c.rho * math.exp(-apart / c.tau_z - apart / c.tau_x)), number(scale)
    y_of, targets = state.y, c.targets
    for e in range(c.slots[k], c.slots[k + 1]):
        q = c.projection[e]
        if c.traces[e] < 0:
            continue
        for j in range(c.sizes[c.pre[q]]):
            y = weight_of * y_of[c.traces[e] + j]
            if y == 0:
                continue
            if c.ends[q] < 0:
                row = sums[c.sums[q] + j * n : c.sums[q] + (j + 1) * n]
                for i in range(n):
                    row[i] += y * (risen[i] + left * z[i])
            else:
                at, to = c.targets_at[q], c.sums[q]
                for s in range(c.row_ends[c.ends[q] + j], c.row_ends[c.ends[q] + j + 1]):
                    i = targets[at + s]
                    sums[to + s] += y * (risen[i] + left * z[i])


@njit(error_model="numpy")
def _scale(x, factor):
    """x · factor in place."""
    for i in range(x.size):
        x[i] *= factor


@njit(error_model="numpy")
def move_base(c, k, now, state, scale, sums):
    """The base of population k moves to `now`; where the gate is open (scale ≠ 0), ∫ x dz is closed there and begun anew."""
    apart, number = now - state.base[k], state.rows.dtype.type
    if scale != 0:
        learn(c, k, now, state, scale, sums)
    fade_x, fade_z = number(math.exp(-apart / c.tau_x)), number(math.exp(-apart / c.tau_z))
    fade_theta = number(math.exp(-apart / c.tau_a))
    a, b = c.first[k], c.first[k + 1]
    _scale(state.rows[X, a:b], fade_x)
    _scale(state.rows[Z, a:b], fade_z)
    _scale(state.rows[THETA, a:b], fade_theta)
    for r in range(c.taus.size):
        _scale(state.currents[r, a:b], number(math.exp(-apart / c.taus[r])))
    for e in range(c.slots[k], c.slots[k + 1]):
        if c.traces[e] >= 0:
            _scale(state.y[c.traces[e] : c.traces[e] + c.sizes[c.pre[c.projection[e]]]], fade_x)
    state.base[k] = now
    open_gate(c, k, state)


@njit(error_model="numpy")
def open_gate(c, k, state):
    """∫ x dz of population k begins at its base."""
    a, b, rho = c.first[k], c.first[k + 1], state.rows.dtype.type(c.rho)
    risen, z = state.rows[C, a:b], state.rows[Z, a:b]
    for i in range(z.size):
        risen[i] = -rho * z[i]


@njit(error_model="numpy")
def receive(c, k, count, before, sent, queue, state, scale, sums, room):
    """The synapses of population k read what they must at the arrivals of a chunk, in which it sent spikes before … sent."""
    a, n, base, number = c.first[k], c.sizes[k], state.base[k], state.rows.dtype.type
    z, risen, targets = state.rows[Z, a : a + n], state.rows[C, a : a + n], c.targets
    for e in range(count):
        slot, j = room.slot[e], room.who[e]
        if c.traces[slot] < 0:
            continue
        q, apart = c.projection[slot], room.at[e] - base
        rise = math.exp(apart / c.tau_x)
        state.y[c.traces[slot] + j] += number(rise)
        if scale == 0:
            continue
        of_c, of_z = number(scale * rise), number(scale * c.rho * math.exp(-apart / c.tau_z))
        if c.ends[q] < 0:
            row = sums[c.sums[q] + j * n : c.sums[q] + (j + 1) * n]
            for i in range(n):
                row[i] -= of_c * risen[i] + of_z * z[i]
            continue
        at, to = c.targets_at[q], c.sums[q]
        for s in range(c.row_ends[c.ends[q] + j], c.row_ends[c.ends[q] + j + 1]):
            i = targets[at + s]
            sums[to + s] -= of_c * risen[i] + of_z * z[i]
        # Traces have risen by all spikes of the chunk; those after this arrival are taken back.
        for f in range(sent - 1, before - 1, -1):
            time = queue["time"][f]
            if time <= room.at[e]:
                break
            s = synapse(c, q, j, queue["neuron"][f], n)
            if s >= 0:
                later = time - base
                sums[c.sums[q] + s] += number(
                    scale * rise * (1 - c.rho) * math.exp(-later / c.tau_x)
                    + scale * c.rho * math.exp((later - apart) / c.tau_z)
                )


@cache
def kernels(neuron: Any, exponential: bool) -> Any:
    """The kernels that take one population from one moment to another, for one model of its neurons: `advance`, and `periodic`,
    which may stand in for it where nothing arrives and no threshold adapts."""
    relax, wait, adapts, raised = neuron.relax, neuron.wait, neuron.adapts, neuron.raised
    simple = not adapts and not exponential

    @njit(error_model="numpy", inline="always")
    def fire(c, k, i, time, state, queue):
        """Neuron i of population k spikes: its traces rise."""
        at, apart, number = c.first[k] + i, time - state.base[k], state.rows.dtype.type
        state.rows[X, at] += number(math.exp(apart / c.tau_x))
        state.rows[Z, at] += number(math.exp(apart / c.tau_z))
        state.rows[C, at] += number((1 - c.rho) * math.exp(-apart / c.tau_x))
        state.spikes[at] += 1
        queue = add(queue, state.sent[k], time, i, 1.0)
        state.sent[k] += 1
        return queue

    @njit(error_model="numpy", inline="always")
    def crossing(p, c, v, to, horizon, room):
        """Time until v meets the threshold, if nothing arrives; infinite if it does not within `horizon`.

        room.present: the synaptic currents, and last by how much the threshold is raised.
        """
        if simple:
            return wait(p, v, to)
        n = c.taus.size
        if v >= p.v_th + room.present[n]:
            return 0.0
        room.sizes[n], room.taus[n] = v - to, c.tau_m
        for r in range(n):
            size = room.present[r] * c.taus[r] / (c.taus[r] - c.tau_m)
            room.sizes[r], room.taus[r] = size, c.taus[r]
            room.sizes[n] -= size
        room.sizes[n + 1], room.taus[n + 1] = -room.present[n], c.tau_a
        return first_crossing(to - p.v_th, room.sizes, room.taus, horizon)

    @njit(error_model="numpy", inline="always")
    def drift(p, c, v, to, lapse, room):
        """v after `lapse` ms without a spike."""
        v = relax(p, v, to, lapse)
        if exponential:
            for r in range(c.taus.size):
                v += room.present[r] * response(c.taus[r], c.tau_m, lapse)
        return v

    @njit(error_model="numpy", inline="always")
    def fade(c, lapse, room):
        """Synaptic currents and the raised threshold decay."""
        if not simple:
            for r in range(c.taus.size):
                room.present[r] *= math.exp(-lapse / c.taus[r])
            room.present[c.taus.size] *= math.exp(-lapse / c.tau_a)

    @njit(error_model="numpy", inline="always")
    def settle(p, c, k, i, v, t, now, count, state, queue, room):
        """Neuron i, awake with v at t, through the `count` arrivals of a chunk and all its spikes until `now`.

        Returns v, −∞ if it is then refractory, and the queue of its population.
        """
        at, n, theta = c.first[k] + i, c.sizes[k], c.taus.size
        to, e = float(state.rows[DRIVE, at] - state.rows[CURRENT, at]), 0
        if not simple:
            apart = t - state.base[k]
            for r in range(theta):
                room.present[r] = state.currents[r, at] * math.exp(-apart / c.taus[r])
            room.present[theta] = state.rows[THETA, at] * math.exp(-apart / c.tau_a)
        while True:
            end = room.at[e] if e < count else now
            while t < end:
                if state.until[at] > t:
                    rest = min(state.until[at], end)
                    fade(c, rest - t, room)
                    t, v = rest, p.v_reset
                    continue
                time = t + crossing(p, c, v, to, end - t, room)
                if time >= end:
                    v = drift(p, c, v, to, end - t, room)
                    fade(c, end - t, room)
                    t = end
                    # Only rounding can take a crossing by drift out of the interval.
                    if not v >= p.v_th + room.present[theta] * adapts or end == now:
                        break
                else:
                    fade(c, time - t, room)
                queue = fire(c, k, i, min(time, end), state, queue)
                if adapts:
                    room.present[theta] = raised(p, room.present[theta])
                v, t = p.v_reset, min(time, end)
                state.until[at] = t + p.t_ref
            if e == count:
                break
            awake = state.until[at] <= end
            while e < count and room.at[e] == end:
                q = c.projection[room.slot[e]]
                jump = weight(c, q, room.who[e], i, n) * room.size[e]
                if c.current[q] >= 0:
                    room.present[c.current[q]] += jump
                elif awake:
                    v += jump
                e += 1
            if awake and v >= p.v_th + room.present[theta] * adapts:
                queue = fire(c, k, i, end, state, queue)
                if adapts:
                    room.present[theta] = raised(p, room.present[theta])
                v, state.until[at] = p.v_reset, end + p.t_ref
        if adapts:
            state.rows[THETA, at] = state.rows.dtype.type(room.present[theta] * math.exp((now - state.base[k]) / c.tau_a))
        return (-np.inf if state.until[at] > now else v), queue

    @njit(error_model="numpy")
    def scatter(c, k, count, now, room, state):
        """What the arrivals of a chunk add by its end to v, `jump`, and to the currents, `flow`; and what raises them."""
        n, number = c.sizes[k], state.rows.dtype.type
        jump, rise, lift, jumps, targets, none = room.jump, room.rise, room.lift, c.jumps, c.targets, number(0)
        for i in range(n):
            jump[i], rise[i], lift[i] = none, none, none
        for r in range(c.taus.size):
            flow = room.flow[r]
            for i in range(n):
                flow[i] = none
        for e in range(count):
            q, lapse = c.projection[room.slot[e]], now - room.at[e]
            r, j, size = c.current[q], room.who[e], number(room.size[e])
            stays = number(math.exp(-lapse / (c.tau_m if r < 0 else c.taus[r])))
            brings = number(0.0 if r < 0 else response(c.taus[r], c.tau_m, lapse))
            first, last = (j * n, (j + 1) * n) if c.ends[q] < 0 else (c.row_ends[c.ends[q] + j], c.row_ends[c.ends[q] + j + 1])
            start, at, raised_by = c.start[q], c.targets_at[q], rise if r < 0 else lift
            flow = room.flow[r] if r >= 0 else room.jump
            for s in range(first, last):
                i = s - first if c.ends[q] < 0 else targets[at + s]
                size_here = jumps[start + s] * size
                raised_by[i] += max(size_here, none)
                if r < 0:
                    jump[i] += size_here * stays
                else:
                    flow[i] += size_here * stays
                    jump[i] += size_here * brings

    @njit(error_model="numpy")
    def glide(p, c, k, t, now, v, later, to, state, room):
        """v at the end of a chunk that `scatter` has gone through; how many neurons could have met their threshold: `found`."""
        a, n, base, number = c.first[k], c.sizes[k], state.base[k], state.rows.dtype.type
        remains, one, met = number(math.exp((t - now) / c.tau_m)), number(1), 0
        jump, rise, lift, bar, found = room.jump, room.rise, room.lift, room.bar, room.found
        for r in range(c.taus.size):
            present, brings = number(math.exp((base - t) / c.taus[r])), number(response(c.taus[r], c.tau_m, now - t))
            currents = state.currents[r, a : a + n]
            for i in range(n):
                current = currents[i] * present
                jump[i] += current * brings
                lift[i] += max(current, number(0))
        for i in range(n):
            highest = max(v[i], v[i] * remains + (to[i] + lift[i]) * (one - remains)) + rise[i]
            later[i] = to[i] + (v[i] - to[i]) * remains + jump[i]
            if highest >= bar[i]:
                found[met] = i
                met += 1
        return met

    @njit(error_model="numpy")
    def bars(p, c, k, now, state, room):
        """The lowest thresholds until `now`."""
        a, number = c.first[k], state.rows.dtype.type
        left = number(math.exp((state.base[k] - now) / c.tau_a))
        theta, bar = state.rows[THETA, a : a + c.sizes[k]], room.bar
        for i in range(theta.size):
            bar[i] = number(p.v_th) + theta[i] * left

    @njit(error_model="numpy")
    def advance(p, c, k, t, stop, state, queues, scale, reads, sends, sums, room):
        """Population k from t to stop. reads: whether its synapses follow their traces; scale: 0 while the gate is closed, else
        sums gets scale ∫ x dz of those that learn; sends: whether its spikes are listed."""
        a, n, number = c.first[k], c.sizes[k], state.rows.dtype.type
        v, later, until = state.rows[V, a : a + n], state.rows[LATER, a : a + n], state.until[a : a + n]
        to, queue, sleepers = state.rows[DRIVE, a : a + n] - state.rows[CURRENT, a : a + n], queues[k], 0
        bar, nothing, asleep, found = room.bar[:n], np.zeros(n, state.rows.dtype), room.asleep, room.found
        for i in range(n):
            bar[i] = number(p.v_th)
            if until[i] > t:
                v[i], asleep[sleepers] = -np.inf, i
                sleepers += 1
        for e in range(c.slots[k], c.slots[k + 1]):
            expect(c, e, state, queues[c.pre[c.projection[e]]]["time"])
        while t < stop:
            if t - state.base[k] > 0.5 * _FAR * c.shortest:
                move_base(c, k, t, state, scale, sums)
            horizon = min(stop, state.base[k] + _FAR * c.shortest)
            count, now, level = gather(c, k, horizon, state, queues, room)
            if adapts:
                bars(p, c, k, now, state, room)
            if level and not exponential and not adapts:
                jump, remains = nothing, number(math.exp((t - now) / c.tau_m))
                if count == 1 and room.size[0] == 1:
                    start = c.start[c.projection[room.slot[0]]] + room.who[0] * n
                    jump = c.jumps[start : start + n]
                elif count > 0:
                    scatter(c, k, count, now, room, state)
                    jump = room.jump[:n]
                met = leap(v, later, to, remains, jump, bar)
                find(v, later, to, remains, bar, met, found)
            else:
                scatter(c, k, count, now, room, state)
                met = glide(p, c, k, t, now, v, later, to, state, room)
            # Those that sleep are not among those found, and are woken before these fall asleep.
            before = state.sent[k]
            sleepers, woken = wake(asleep, sleepers, until, now, later, found, met)
            for e in range(met + woken):
                i = found[e]
                later[i], queue = settle(
                    p, c, k, i, v[i] if e < met else p.v_reset, t, now, count, state, queue, room
                )  # fmt: skip
                if later[i] == -np.inf:
                    asleep[sleepers] = i
                    sleepers += 1
            if state.sent[k] - before > 1:
                sort(queue, before, state.sent[k])
            if exponential:
                for r in range(c.taus.size):
                    risen = number(math.exp((now - state.base[k]) / c.taus[r]))
                    current, flow = state.currents[r, a : a + n], room.flow[r]
                    for i in range(n):
                        current[i] += flow[i] * risen
            if reads:
                receive(c, k, count, before, state.sent[k], queue, state, scale, sums, room)
            if not sends:
                state.sent[k] = before
            elif state.sent[k] > before:
                queues[k] = queue  # it may be a longer one, and the population may hear itself
            v, later, t = later, v, now
        for i in range(n):
            state.rows[V, a + i] = number(p.v_reset) if v[i] == -np.inf else v[i]

    @njit(error_model="numpy")
    def periodic(p, c, k, t, stop, state, queues, sends):
        """Population k, which nothing reaches, from t to stop: under a constant drive its spikes are periodic."""
        move_base(c, k, t, state, 0.0, c.jumps)
        a, n, number, queue, before = c.first[k], c.sizes[k], state.rows.dtype.type, queues[k], state.sent[k]
        fade_x, fade_z = number(math.exp((t - stop) / c.tau_x)), number(math.exp((t - stop) / c.tau_z))
        for i in range(a, a + n):
            v, to = float(state.rows[V, i]), float(state.rows[DRIVE, i] - state.rows[CURRENT, i])
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
                for e in range(count):
                    queue = add(queue, state.sent[k], first + e * interval, i - a, 1.0)
                    state.sent[k] += 1
        if sends:
            sort(queue, before, state.sent[k])
        queues[k], state.base[k] = queue, stop

    return advance, periodic
