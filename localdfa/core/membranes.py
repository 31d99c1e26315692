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


# Columns of `Circuit.joints`: what a slot is; see there.
PRE, CURRENT_OF, START, ENDS, TARGETS, SUMS, TRACES = range(7)
# Of the arrivals of a chunk: when, and how large (rows of `Room.when`); through which slot, from whom (rows of `Room.whom`).
_AT, _SIZE = range(2)
_SLOT, _WHO = range(2)


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
    """Scratch. when (2, ·), whom (2, ·): the arrivals of a chunk; sums (4 + R, n): what they add to v at its end, what raises v
    meanwhile, what raises its drive, the lowest thresholds, and what they add to the currents; who (2, n): the neurons found,
    and those asleep; one (3, R + 2): of one neuron, sizes and time constants of a sum of exponentials, and what is present.

    Kernels that run at every arrival take arrays, not these tuples: Numba counts a reference for every array of a tuple that
    is handed on, which cost ten times the work itself.
    """

    when: np.ndarray
    whom: np.ndarray
    sums: np.ndarray
    who: np.ndarray
    one: np.ndarray


# Rows of `Room.sums`.
_JUMP, _RISE, _LIFT, _BAR, _FLOW = range(5)


@njit(error_model="numpy")
def begin(c):
    """States and scratch of a block of trials."""
    n, populations, slots = c.first[-1], c.sizes.size, c.delay.size
    largest, incoming = 1, CHUNK + 1
    for k in range(populations):
        largest = max(largest, c.sizes[k])
        total = CHUNK + 1
        for e in range(c.slots[k], c.slots[k + 1]):
            total += c.sizes[c.joints[e, PRE]]
        incoming = max(incoming, total)
    r, kind = c.taus.size, c.jumps.dtype
    state = State(
        np.zeros((ROWS, n), kind), np.zeros(n), np.zeros(n, np.int64), np.zeros((r, n), kind), np.zeros(c.n_traces, kind),
        np.zeros(populations), np.zeros(populations, np.int64), np.zeros(slots, np.int64), np.zeros(slots),
    )  # fmt: skip
    room = Room(
        np.zeros((2, incoming)), np.zeros((2, incoming), np.int64), np.zeros((4 + max(r, 1), largest), kind),
        np.zeros((2, largest), np.int64), np.zeros((3, r + 2)),
    )  # fmt: skip
    return state, room


@njit(error_model="numpy")
def gather(lo, hi, stop, joints, delay, due, received, sent, queues, when, whom):
    """The next chunk of arrivals through the slots lo … hi − 1 before `stop`, in order of time.

    Returns how many, the end of the chunk, and whether all of them move v through dense projections at that very moment.
    """
    count, dense, level = 0, False, True
    while True:
        slot, first = -1, stop
        for e in range(lo, hi):
            if due[e] < first:
                slot, first = e, due[e]
        if slot < 0 and not dense:
            return count, stop, count == 0
        full = count == when.shape[1] or ((dense or count >= CHUNK) and first > when[_AT, max(count - 1, 0)])
        if slot < 0 or (count > 0 and full):
            return count, when[_AT, count - 1], level
        queue, nth = queues[joints[slot, PRE]], received[slot]
        level &= joints[slot, ENDS] < 0 and joints[slot, CURRENT_OF] < 0 and (count == 0 or first == when[_AT, 0])
        dense |= joints[slot, ENDS] < 0
        when[_AT, count], when[_SIZE, count] = first, queue["size"][nth]
        whom[_SLOT, count], whom[_WHO, count] = slot, queue["neuron"][nth]
        count += 1
        received[slot] = nth + 1
        due[slot] = queue["time"][nth + 1] + delay[slot] if nth + 1 < sent[joints[slot, PRE]] else np.inf


@njit(error_model="numpy")
def synapse(joints, row_ends, targets, slot, j, i, n):
    """Where the synapse from neuron j to neuron i of n lies, counted from the slot's first; −1 if there is none."""
    ends, at = joints[slot, ENDS], joints[slot, TARGETS]
    if ends < 0:
        return j * n + i
    low, high = row_ends[ends + j], row_ends[ends + j + 1]
    stop = high
    while low < high:
        middle = (low + high) // 2
        if targets[at + middle] < i:
            low = middle + 1
        else:
            high = middle
    return low if low < stop and targets[at + low] == i else -1


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
    apart, number = now - state.base[k], state.rows.dtype.type
    left, weight = number(c.rho * math.exp(-apart / c.tau_z - apart / c.tau_x)), number(scale)
    z, risen = state.rows[Z, a:b], state.rows[C, a:b]
    for e in range(c.slots[k], c.slots[k + 1]):
        if c.joints[e, TRACES] >= 0:
            y = state.y[c.joints[e, TRACES] : c.joints[e, TRACES] + c.sizes[c.joints[e, PRE]]]
            _close(c.joints[e], c.row_ends, c.targets, y, z, risen, left, weight, sums)


@njit(error_model="numpy")
def _close(joint, row_ends, targets, y, z, risen, left, weight, sums):
    """sums += weight y_j (C_i + left z_i) of one slot."""
    n, to, at = z.size, joint[SUMS], joint[TARGETS]
    for j in range(y.size):
        size = weight * y[j]
        if size == 0:
            continue
        if joint[ENDS] < 0:
            row = sums[to + j * n : to + (j + 1) * n]
            for i in range(n):
                row[i] += size * (risen[i] + left * z[i])
        else:
            for s in range(row_ends[joint[ENDS] + j], row_ends[joint[ENDS] + j + 1]):
                i = targets[at + s]
                sums[to + s] += size * (risen[i] + left * z[i])


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
        if c.joints[e, TRACES] >= 0:
            first = c.joints[e, TRACES]
            _scale(state.y[first : first + c.sizes[c.joints[e, PRE]]], fade_x)
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
def receive(count, before, sent, queue, base, constants, scale, joints, row_ends, targets, z, risen, y, sums, when, whom):
    """The synapses of a population read what they must at the arrivals of a chunk, in which it sent spikes before … sent.

    z, risen (n,): its Z and C; constants: τ_x, τ_z and ρ.
    """
    n, number, (tau_x, tau_z, rho) = z.size, z.dtype.type, constants
    for e in range(count):
        slot, j = whom[_SLOT, e], whom[_WHO, e]
        if joints[slot, TRACES] < 0:
            continue
        apart = when[_AT, e] - base
        rise = math.exp(apart / tau_x)
        y[joints[slot, TRACES] + j] += number(rise)
        if scale == 0:
            continue
        of_c, of_z, to = number(scale * rise), number(scale * rho * math.exp(-apart / tau_z)), joints[slot, SUMS]
        if joints[slot, ENDS] < 0:
            row = sums[to + j * n : to + (j + 1) * n]
            for i in range(n):
                row[i] -= of_c * risen[i] + of_z * z[i]
            continue
        at = joints[slot, TARGETS]
        for s in range(row_ends[joints[slot, ENDS] + j], row_ends[joints[slot, ENDS] + j + 1]):
            i = targets[at + s]
            sums[to + s] -= of_c * risen[i] + of_z * z[i]
        # Traces have risen by all spikes of the chunk; those after this arrival are taken back.
        for f in range(sent - 1, before - 1, -1):
            later = queue["time"][f] - base
            if later <= apart:
                break
            s = synapse(joints, row_ends, targets, slot, j, queue["neuron"][f], n)
            if s >= 0:
                sums[to + s] += number(
                    scale * rise * (1 - rho) * math.exp(-later / tau_x) + scale * rho * math.exp((later - apart) / tau_z)
                )


@cache
def kernels(neuron: Any, exponential: bool) -> Any:
    """The kernels that take one population from one moment to another, for one model of its neurons: `advance`, and `periodic`,
    which may stand in for it where nothing arrives and no threshold adapts."""
    relax, wait, adapts, raised = neuron.relax, neuron.wait, neuron.adapts, neuron.raised
    simple = not adapts and not exponential

    @njit(error_model="numpy")
    def fire(i, apart, constants, number, x, z, risen, spikes):
        """Neuron i spikes, `apart` ms after the base: its traces rise."""
        tau_x, tau_z, rho = constants
        x[i] += number(math.exp(apart / tau_x))
        z[i] += number(math.exp(apart / tau_z))
        risen[i] += number((1 - rho) * math.exp(-apart / tau_x))
        spikes[i] += 1

    @njit(error_model="numpy")
    def crossing(p, v, to, horizon, taus, tau_a, one):
        """Time until v meets the threshold, if nothing arrives; infinite if it does not within `horizon`.

        one[2]: the synaptic currents, and last by how much the threshold is raised.
        """
        if simple:
            return wait(p, v, to)
        n = taus.size
        if v >= p.v_th + one[2, n]:
            return 0.0
        one[0, n], one[1, n] = v - to, p.tau_m
        for r in range(n):
            size = one[2, r] * taus[r] / (taus[r] - p.tau_m)
            one[0, r], one[1, r] = size, taus[r]
            one[0, n] -= size
        one[0, n + 1], one[1, n + 1] = -one[2, n], tau_a
        return first_crossing(to - p.v_th, one[0], one[1], horizon)

    @njit(error_model="numpy")
    def drift(p, v, to, lapse, taus, one):
        """v after `lapse` ms without a spike."""
        v = relax(p, v, to, lapse)
        for r in range(taus.size):
            v += one[2, r] * response(taus[r], p.tau_m, lapse)
        return v

    @njit(error_model="numpy")
    def fade(lapse, taus, tau_a, one):
        """Synaptic currents and the raised threshold decay."""
        if not simple:
            for r in range(taus.size):
                one[2, r] *= math.exp(-lapse / taus[r])
            one[2, taus.size] *= math.exp(-lapse / tau_a)

    @njit(error_model="numpy")
    def drive_on(p, v, t, until, to, end):
        """The next spike before `end` of a neuron with v at t under a constant drive, or infinity and v at `end`."""
        if until > t:
            v, t = p.v_reset, until
        if t >= end:
            return np.inf, v
        time = t + wait(p, v, to)
        return (time, p.v_reset) if time < end else (np.inf, relax(p, v, to, end - t))

    @njit(error_model="numpy")
    def settle(
        p, i, n, to, v, t, now, base, count, constants, tau_a, taus, theta, x, z, risen, until, spikes,
        joints, row_ends, targets, jumps, when, whom, one, queue, sent,
    ):  # fmt: skip
        """Neuron i of n, awake with v at t, through the `count` arrivals of a chunk and all its spikes until `now`.

        to: its constant drive; theta … spikes (n,): of its population. Returns v, −∞ if it is then refractory, the queue of
        the population and how many spikes it holds.
        """
        e, last, number = 0, taus.size, x.dtype.type
        while True:
            end = when[_AT, e] if e < count else now
            while t < end:
                if until[i] > t:
                    rest = min(until[i], end)
                    fade(rest - t, taus, tau_a, one)
                    t, v = rest, p.v_reset
                    continue
                time = t + crossing(p, v, to, end - t, taus, tau_a, one)
                if time >= end:
                    v = drift(p, v, to, end - t, taus, one)
                    fade(end - t, taus, tau_a, one)
                    t = end
                    # Only rounding can take a crossing by drift out of the interval.
                    if not v >= p.v_th + one[2, last] * adapts or end == now:
                        break
                else:
                    fade(time - t, taus, tau_a, one)
                t = min(time, end)
                fire(i, t - base, constants, number, x, z, risen, spikes)
                queue = add(queue, sent, t, i, 1.0)
                sent += 1
                if adapts:
                    one[2, last] = raised(p, one[2, last])
                v, until[i] = p.v_reset, t + p.t_ref
            if e == count:
                break
            awake = until[i] <= end
            while e < count and when[_AT, e] == end:
                slot = whom[_SLOT, e]
                at = synapse(joints, row_ends, targets, slot, whom[_WHO, e], i, n)
                if at >= 0:
                    jump = jumps[joints[slot, START] + at] * when[_SIZE, e]
                    if joints[slot, CURRENT_OF] >= 0:
                        one[2, joints[slot, CURRENT_OF]] += jump
                    elif awake:
                        v += jump
                e += 1
            if awake and v >= p.v_th + one[2, last] * adapts:
                fire(i, end - base, constants, number, x, z, risen, spikes)
                queue = add(queue, sent, end, i, 1.0)
                sent += 1
                if adapts:
                    one[2, last] = raised(p, one[2, last])
                v, until[i] = p.v_reset, end + p.t_ref
        if adapts:
            theta[i] = number(one[2, last] * math.exp((now - base) / tau_a))
        return (-np.inf if until[i] > now else v), queue, sent

    @njit(error_model="numpy")
    def scatter(p, n, count, now, taus, joints, row_ends, targets, jumps, when, whom, sums):
        """What the arrivals of a chunk add by its end to v and to the currents; and what raises them meanwhile: see `Room`."""
        number, jump, rise, lift = sums.dtype.type, sums[_JUMP], sums[_RISE], sums[_LIFT]
        none = number(0)
        for i in range(n):
            jump[i], rise[i], lift[i] = none, none, none
        for r in range(taus.size):
            flow = sums[_FLOW + r]
            for i in range(n):
                flow[i] = none
        for e in range(count):
            slot, j, lapse, size = whom[_SLOT, e], whom[_WHO, e], now - when[_AT, e], number(when[_SIZE, e])
            r, ends, start, at = joints[slot, CURRENT_OF], joints[slot, ENDS], joints[slot, START], joints[slot, TARGETS]
            tau = p.tau_m if r < 0 else taus[r]
            stays, brings = number(math.exp(-lapse / tau)), number(0.0 if r < 0 else response(tau, p.tau_m, lapse))
            own, raising = sums[_JUMP if r < 0 else _FLOW + r], sums[_RISE if r < 0 else _LIFT]
            first, last = (j * n, (j + 1) * n) if ends < 0 else (row_ends[ends + j], row_ends[ends + j + 1])
            for s in range(first, last):
                i = s - first if ends < 0 else targets[at + s]
                found = jumps[start + s] * size
                own[i] += found * stays
                raising[i] += max(found, none)
                if r >= 0:
                    jump[i] += found * brings

    @njit(error_model="numpy")
    def glide(p, t, now, base, taus, v, later, to, currents, sums, found):
        """v at the end of a chunk that `scatter` has gone through; how many neurons could have met their threshold: `found`."""
        n, number, jump, rise, lift, bar = v.size, v.dtype.type, sums[_JUMP], sums[_RISE], sums[_LIFT], sums[_BAR]
        remains, one, met = number(math.exp((t - now) / p.tau_m)), number(1), 0
        for r in range(taus.size):
            present, brings = number(math.exp((base - t) / taus[r])), number(response(taus[r], p.tau_m, now - t))
            row = currents[r]
            for i in range(n):
                current = row[i] * present
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
    def flows(taus, apart, currents, sums):
        """Synaptic currents, in multiples of their decay since the base, `apart` ms ago, take in a chunk."""
        for r in range(taus.size):
            risen, row, flow = sums.dtype.type(math.exp(apart / taus[r])), currents[r], sums[_FLOW + r]
            for i in range(row.size):
                row[i] += flow[i] * risen

    @njit(error_model="numpy")
    def advance(p, c, k, t, stop, state, queues, scale, reads, sends, sums, room):
        """Population k from t to stop. reads: whether its synapses follow their traces; scale: 0 while the gate is closed, else
        sums gets scale ∫ x dz of those that learn; sends: whether its spikes are listed."""
        a, n, lo, hi, number = c.first[k], c.sizes[k], c.slots[k], c.slots[k + 1], c.jumps.dtype.type
        v, later = state.rows[V, a : a + n], state.rows[LATER, a : a + n]
        to = state.rows[DRIVE, a : a + n] - state.rows[CURRENT, a : a + n]
        theta, x, z, risen = (
            state.rows[THETA, a : a + n], state.rows[X, a : a + n], state.rows[Z, a : a + n], state.rows[C, a : a + n]
        )  # fmt: skip
        until, spikes, currents, y = state.until[a : a + n], state.spikes[a : a + n], state.currents[:, a : a + n], state.y
        joints, delay, row_ends, targets, jumps = c.joints, c.delay, c.row_ends, c.targets, c.jumps
        due, received, sent, taus, tau_a, tau_m = state.due, state.received, state.sent, c.taus, c.tau_a, c.tau_m
        when, whom, one, found, asleep = room.when, room.whom, room.one, room.who[0], room.who[1]
        jump_sums, bar, nothing = room.sums, room.sums[_BAR, :n], np.zeros(n, state.rows.dtype)
        constants, far, base = (c.tau_x, c.tau_z, c.rho), _FAR * c.shortest, state.base[k]
        queue, sleepers, listed = queues[k], 0, sent[k]
        for i in range(n):
            bar[i] = number(p.v_th)
            if until[i] > t:
                v[i], asleep[sleepers] = -np.inf, i
                sleepers += 1
        for e in range(lo, hi):
            waiting = received[e] < sent[joints[e, PRE]]
            due[e] = queues[joints[e, PRE]]["time"][received[e]] + delay[e] if waiting else np.inf
        while t < stop:
            if t - base > 0.5 * far:
                move_base(c, k, t, state, scale, sums)
                base = t
            horizon = min(stop, base + far)
            count, now, level = gather(lo, hi, horizon, joints, delay, due, received, sent, queues, when, whom)
            if adapts:
                left = number(math.exp((base - now) / tau_a))
                for i in range(n):
                    bar[i] = number(p.v_th) + theta[i] * left
            if level and simple:
                jump, remains = nothing, number(math.exp((t - now) / tau_m))
                if count == 1 and when[_SIZE, 0] == 1:
                    start = joints[whom[_SLOT, 0], START] + whom[_WHO, 0] * n
                    jump = jumps[start : start + n]
                elif count > 0:
                    scatter(p, n, count, now, taus, joints, row_ends, targets, jumps, when, whom, jump_sums)
                    jump = jump_sums[_JUMP, :n]
                met = leap(v, later, to, remains, jump, bar)
                find(v, later, to, remains, bar, met, found)
            else:
                scatter(p, n, count, now, taus, joints, row_ends, targets, jumps, when, whom, jump_sums)
                met = glide(p, t, now, base, taus, v, later, to, currents, jump_sums, found)
            # Those that sleep are not among those found, and are woken before these fall asleep.
            before = listed
            sleepers, woken = wake(asleep, sleepers, until, now, later, found, met)
            for e in range(met + woken):
                i = found[e]
                if level and simple:  # as `settle` does, for arrivals at `now` alone
                    last, at, time, drive = v[i] if e < met else number(p.v_reset), t, -np.inf, float(to[i])
                    while time < np.inf:
                        time, last = drive_on(p, float(last), at, until[i], drive, now)
                        spiking = time < np.inf
                        if not spiking and count > 0 and until[i] <= now:
                            last += jump[i]
                            spiking = last >= p.v_th
                        if spiking:
                            at = min(time, now)
                            fire(i, at - base, constants, number, x, z, risen, spikes)
                            queue = add(queue, listed, at, i, 1.0)
                            listed += 1
                            until[i] = at + p.t_ref
                    later[i] = last
                    if until[i] > now:
                        later[i], asleep[sleepers] = -np.inf, i
                        sleepers += 1
                    continue
                if not simple:
                    for r in range(taus.size):
                        one[2, r] = currents[r, i] * math.exp((base - t) / taus[r])
                    one[2, taus.size] = theta[i] * math.exp((base - t) / tau_a)
                later[i], queue, listed = settle(
                    p, i, n, float(to[i]), v[i] if e < met else p.v_reset, t, now, base, count, constants, tau_a, taus, theta,
                    x, z, risen, until, spikes, joints, row_ends, targets, jumps, when, whom, one, queue, listed,
                )  # fmt: skip
                if later[i] == -np.inf:
                    asleep[sleepers] = i
                    sleepers += 1
            if listed - before > 1:
                sort(queue, before, listed)
            if exponential:
                flows(taus, now - base, currents, jump_sums)
            if reads and count > 0:
                receive(
                    count, before, listed, queue, base, constants, scale, joints, row_ends, targets, z, risen, y, sums,
                    when, whom,
                )  # fmt: skip
            if not sends:
                listed = before
            elif listed > before:
                queues[k], sent[k] = queue, listed  # it may be a longer one, and the population may hear itself
            v, later, t = later, v, now
        rows = state.rows[V, a : a + n]
        for i in range(n):
            rows[i] = number(p.v_reset) if v[i] == -np.inf else v[i]

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
