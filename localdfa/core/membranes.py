"""How a population of spiking neurons goes from one moment to another, taking in the spikes that arrive.

Between arrivals nothing happens but relaxation in closed form. Where all spikes that arrive move v of all neurons, one pass
takes in four moments of arrival: v relaxes from each to the next, and what arrives is added. The few neurons that have met
their threshold at any of them are then gone through these moments once more, exactly: `stream`. Elsewhere a *chunk* of arrivals
is taken in at once: what they leave at its end is a sum, since v, the currents and the traces are linear; one pass over the
neurons adds it, and a bound on v, from the largest v without arrivals and the sum of what raises it, rules out most crossings.
The neurons that could have reached their threshold, few, are gone through arrival by arrival, exactly.

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
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from localdfa.core.crossing import first_crossing
from localdfa.core.prefetch import LINE, prefetch
from localdfa.core.queues import CURRENT_OF, ENDS, PRE, START, SUMS, TARGETS, TRACES, gather, longer, sort
from localdfa.core.uncounted import inlined, kernel

# Synapses a neuron whose arrivals are taken in at once, where projections are sparse: more, and bounds on v rule out too few;
# fewer, and there are too many passes over the neurons.
_SHARE = 1.5
# A window is so short that all neurons together cannot send many more spikes in it.
_ROOM = 2.0**22
# The base moves on before a multiple grows beyond e^8: in ∫ x dz two such numbers are subtracted.
_FAR = 8.0
# Rows of the array of states. DRIVE: constant drive; CURRENT: of the feedback, to be subtracted; V; LATER: room for v at the
# end of a chunk, or for what `learn` reads; THETA: by how much the threshold is raised, X, Z: traces of the own spikes, C: as
# above, all four in multiples of their decay.
DRIVE, CURRENT, V, LATER, THETA, X, Z, C = range(8)
ROWS = 8
# Loops over neurons that must be fast count without a sign: Numba would look at every index whether it is negative. `glide`
# looks for spikes in blocks of so many neurons, and what it reads and writes of so many stays in the nearest cache.
_unsigned = np.uint64
_BLOCK = _unsigned(32)
_TILE = _unsigned(512)
# So many moments `leap` takes in at once.
_GROUP = 4


class State(NamedTuple):
    """All populations in a trial, neurons end to end.

    rows (8, n): as above; until (n,): end of the last refractory period; spikes (n,): how many; currents (R, n): synaptic
    currents, in multiples of their decay; y: presynaptic traces of all slots end to end; base (P,); sent (P,): spikes listed so
    far; received: spikes of each slot that have arrived; strength: as in `Circuit`, but of error spikes with the phase's sign.
    """

    rows: np.ndarray
    until: np.ndarray
    spikes: np.ndarray
    currents: np.ndarray
    y: np.ndarray
    base: np.ndarray
    sent: np.ndarray
    received: np.ndarray
    strength: np.ndarray


class Group(NamedTuple):
    """Moments that `stream` takes in at once: `when`, in order; sizes[g] jumps[rows[g]:] is what moves v then. stays: to which
    fraction distances from the drive shrink since the moment before, and kept, the same in the numbers of v. rise: of traces x,
    as in `rises`; of_c, of_z: what the synapses that learn subtract of C_i and z_i; into: where their sums lie, −1 if nowhere.
    """

    when: np.ndarray
    rows: np.ndarray
    sizes: np.ndarray
    stays: np.ndarray
    kept: np.ndarray
    rise: np.ndarray
    of_c: np.ndarray
    of_z: np.ndarray
    into: np.ndarray


class Room(NamedTuple):
    """Scratch. sums (4 + 2 (R + 1), n): what the currents that arrive in a chunk add to v by its end, what raises v
    meanwhile, what raises its drive, the lowest thresholds; and what is left at its end of the jumps that arrived, of v and
    then of each current, those up and those down apart; live (2 (R + 1),): whether there are any of these; found (n,): neurons
    that may spike; marked, nth, heard (n,), hits (·, 2): as in `look_up`; asleep: a ring of those that are refractory, the
    first to wake first, of 2^k ≥ n places, and ring (2,): its head and tail, modulo that; one (5, R + 2): of one neuron, sizes
    and time constants of a sum of exponentials, what is present and what will be, and by how much it has decayed since the base
    when a chunk begins; met: whether a neuron has met its threshold, a byte each, and eights: the same bytes, eight a number;
    group: of moments, see there.

    Kernels that run at every arrival are put in place of their calls, or work off many neurons in one call: handing on arrays
    took longer than the work itself.
    """

    sums: np.ndarray
    live: np.ndarray
    found: np.ndarray
    marked: np.ndarray
    nth: np.ndarray
    heard: np.ndarray
    hits: np.ndarray
    asleep: np.ndarray
    ring: np.ndarray
    one: np.ndarray
    met: np.ndarray
    eights: np.ndarray
    group: Group


# Rows of `Room.sums`.
_JUMP, _RISE, _LIFT, _BAR, _FLOW = range(5)
# Columns of `Room.hits`, and how many of them there is room for at least: neurons are looked up in lots that have as much.
ARRIVAL, SYNAPSE = range(2)
HITS = 2**14


def ways(c: Any, adapts: bool) -> tuple[bool, bool]:
    """Whether a circuit has populations that `stream`, and that `chunks` is for."""
    simple = not adapts and not c.taus.size
    level = [bool((c.joints[a:b, ENDS] < 0).all()) for a, b in pairwise(c.slots) if b > a or not simple]
    return simple and any(level), not simple or not all(level)


@njit(error_model="numpy")
def begin(c):
    """States and scratch of a block of trials."""
    n, populations, slots, largest, r, kind = c.first[-1], c.sizes.size, c.delay.size, 0, c.taus.size, c.jumps.dtype
    for size in c.sizes:
        largest = max(largest, size)
    places = 1
    while places < largest:
        places *= 2
    state = State(
        np.zeros((ROWS, n), kind), np.zeros(n), np.zeros(n, np.int64), np.zeros((r, n), kind), np.zeros(c.n_traces, kind),
        np.zeros(populations), np.zeros(populations, np.int64), np.zeros(slots, np.int64), c.strength.copy(),
    )  # fmt: skip
    eights = np.zeros((largest + 7) // 8, np.uint64)
    room = Room(
        np.zeros((4 + 2 * (r + 1), largest), kind), np.zeros(2 * (r + 1), np.bool_), np.zeros(largest + 1, np.int64),
        np.zeros(largest, np.bool_), np.zeros(largest, np.int64), np.zeros(largest, np.int64), np.empty((HITS, 2), np.int64),
        np.zeros(places, np.int64), np.zeros(2, np.int64), np.zeros((5, r + 2)),
        eights.view(np.uint8), eights,
        Group(
            np.zeros(_GROUP), np.zeros(_GROUP, np.uint64), np.zeros(_GROUP, kind), np.zeros(_GROUP + 1), np.zeros(_GROUP, kind),
            np.zeros(_GROUP), np.zeros(_GROUP, kind), np.zeros(_GROUP, kind), np.zeros(_GROUP, np.int64),
        ),
    )  # fmt: skip
    return state, room


@kernel
def response(tau, tau_m, lapse):
    """v after `lapse` ms of a synaptic current that was 1 at their begin."""
    return tau / (tau - tau_m) * (math.exp(-lapse / tau) - math.exp(-lapse / tau_m))


@kernel
def series(count, interval, age, tau):
    """The trace of `count` spikes one `interval` apart, the last of them `age` ms ago."""
    return (math.exp(-age / tau) - math.exp(-(age + count * interval) / tau)) / (1 - math.exp(-interval / tau))


@inlined
def rises(apart, tau_x, tau_z):
    """What a spike `apart` ms after the base adds to the traces x and z, which are kept as multiples of their decay."""
    rise = math.exp(apart / tau_x)
    return rise, (rise if tau_x == tau_z else math.exp(apart / tau_z))


@inlined
def over(away, highest, stays, jump):
    """A distance from the drive shrinks to the fraction `stays` and jumps; and the highest it has been."""
    relaxed = away * stays
    moved = relaxed + jump
    return moved, max(highest, max(relaxed, moved))


@inlined
def leap(v, later, bar, group, jumps, met):
    """v, as distances from the drive, after the four moments of a group, and who has met the threshold before or after any of
    the jumps. A refractory neuron has v = −∞, and keeps it.
    """
    (a, b, c, d), (of_a, of_b, of_c, of_d) = four(group.rows), four(group.sizes)
    kept_a, kept_b, kept_c, kept_d = four(group.kept)
    for i in range(_unsigned(v.size)):
        away, highest = over(v[i], v[i], kept_a, jumps[a + i] * of_a)
        away, highest = over(away, highest, kept_b, jumps[b + i] * of_b)
        away, highest = over(away, highest, kept_c, jumps[c + i] * of_c)
        away, highest = over(away, highest, kept_d, jumps[d + i] * of_d)
        later[i], met[i] = away, highest >= bar[i]


@inlined
def four(x):
    """The first four of an array, which a loop is then known not to change."""
    return x[0], x[1], x[2], x[3]


@inlined
def leap_once(v, later, bar, group, jumps, met):
    """The same of a group of one moment."""
    kept, row, size = group.kept[0], group.rows[0], group.sizes[0]
    for i in range(_unsigned(v.size)):
        away, highest = over(v[i], v[i], kept, jumps[row + i] * size)
        later[i], met[i] = away, highest >= bar[i]


@inlined
def find(met, eights, n, found):
    """Those of n neurons that have met the threshold, into `found`; returns how many. eights: met, eight neurons a number."""
    count = 0
    for e in range((n + 7) // 8):
        if eights[e] != 0:
            for i in range(8 * e, 8 * e + 8):  # without a branch, which would be guessed wrong at each of those found
                found[count] = i
                count += met[i]
    return count


@inlined
def line_up(group, e, when, slots, who, joints, strength, n):
    """Moments of one arrival each, from arrival e on, into a group; returns how many."""
    count = 0
    while e < when.size and count < _GROUP and (e + 1 == when.size or when[e + 1] > when[e]):
        slot, at = slots[e], who[e] * n
        group.when[count], group.rows[count], group.sizes[count] = when[e], joints[slot, START] + at, strength[slot]
        group.into[count] = joints[slot, SUMS] + at if joints[slot, TRACES] >= 0 else -1
        count += 1
        e += 1
    return count


@inlined
def pace(group, t, count, tau_m):
    """How distances from the drive shrink from each moment of a group to the next, from t on; in moments that are none, not.

    Returns whether one shrinks to nothing, which makes NaN of −∞.
    """
    vanish = False
    for g in range(count):
        group.stays[g] = math.exp((t - group.when[g]) / tau_m)
        group.kept[g] = group.stays[g]
        vanish |= group.kept[g] == 0
        t = group.when[g]
    for g in range(count, _GROUP):
        group.kept[g], group.rows[g], group.sizes[g] = 1, 0, 0
    return vanish


@inlined
def weigh(group, count, base, constants, scale):
    """What the synapses will read at each moment of a group."""
    tau_x, tau_z, rho = constants
    for g in range(count):
        rise = rises(group.when[g] - base, tau_x, tau_z)
        group.rise[g], group.of_c[g], group.of_z[g] = rise[0], scale * rise[0], scale * rho / rise[1]


@inlined
def read(group, slots, who, several, joints, scale, z, risen, y, sums):
    """The synapses through which a group's spikes arrived read what they must; several: all arrived in its first moment."""
    n = _unsigned(z.size)
    for e in range(slots.size):
        slot, j, g = slots[e], who[e], 0 if several else e
        if joints[slot, TRACES] < 0:
            continue
        y[joints[slot, TRACES] + j] += y.dtype.type(group.rise[g])
        row, of_c, of_z = _unsigned(joints[slot, SUMS]) + _unsigned(j) * n, group.of_c[g], group.of_z[g]
        for i in range(n if scale != 0 else _unsigned(0)):
            sums[row + i] -= of_c * risen[i] + of_z * z[i]


@inlined
def place(asleep, e):
    """Where entry e of the ring of those asleep lies."""
    return _unsigned(e) & _unsigned(asleep.size - 1)


@inlined
def wake(asleep, ring, until, now, found, met):
    """Those whose refractory period is over at `now` join the `met` neurons found; returns how many these are then."""
    head, tail = ring[0], ring[1]
    while head < tail and until[asleep[place(asleep, head)]] <= now:
        found[met] = asleep[place(asleep, head)]
        head += 1
        met += 1
    ring[0] = head
    return met


@inlined
def fall_asleep(asleep, ring, times, senders, before, listed, now, t_ref):
    """After the spikes before … listed − 1, in order of time, those whose neuron is still refractory at `now` join the ring."""
    for f in range(before, listed):
        if times[f] + t_ref > now:
            asleep[place(asleep, ring[1])] = senders[f]
            ring[1] += 1


@njit(error_model="numpy")
def learn(c, k, now, state, scale, sums):
    """Close ∫ x dz of all synapses of population k that learn at `now`, times scale: y_j A_i."""
    a, b = c.first[k], c.first[k + 1]
    apart, number = now - state.base[k], state.rows.dtype.type
    left, weight = number(c.rho * math.exp(-apart / c.tau_z - apart / c.tau_x)), number(scale)
    z, risen, grown = state.rows[Z, a:b], state.rows[C, a:b], state.rows[LATER, a:b]
    for i in range(z.size):
        grown[i] = risen[i] + left * z[i]
    for e in range(c.slots[k], c.slots[k + 1]):
        if c.joints[e, TRACES] >= 0:
            y = state.y[c.joints[e, TRACES] : c.joints[e, TRACES] + c.sizes[c.joints[e, PRE]]]
            _close(c.joints[e], c.row_ends, c.targets, y, grown, weight, sums)


@kernel
def _close(joint, row_ends, targets, y, grown, weight, sums):
    """sums += weight y_j grown_i of one slot."""
    n, to, at = _unsigned(grown.size), _unsigned(joint[SUMS]), _unsigned(joint[TARGETS])
    for j in range(y.size):
        size = weight * y[j]
        if size == 0:
            continue
        if joint[ENDS] < 0:
            row = to + _unsigned(j) * n
            for i in range(n):
                sums[row + i] += size * grown[i]
        else:
            for s in range(_unsigned(row_ends[joint[ENDS] + j]), _unsigned(row_ends[joint[ENDS] + j + 1])):
                sums[to + s] += size * grown[_unsigned(targets[at + s])]


@kernel
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


@inlined
def ask(slot, j, joints, row_ends, column, x):
    """Ask for what x, which begins at this column of `joints`, holds of the synapses of neuron j, if its row is sparse."""
    ends, at = joints[slot, ENDS], joints[slot, column]
    if ends >= 0:
        for s in range(row_ends[ends + j], row_ends[ends + j + 1], LINE // x.itemsize):
            prefetch(x, at + s)


@kernel
def receive(when, slots, who, base, constants, scale, joints, row_ends, targets, z, risen, y, sums):
    """The synapses of a population read what they must at the arrivals of a chunk, as if all its spikes came later.

    z, risen (n,): Z and C of the population; constants: τ_x, τ_z and ρ.
    """
    n, number, (tau_x, tau_z, rho) = _unsigned(z.size), z.dtype.type, constants
    for e in range(when.size):
        slot, j = slots[e], who[e]
        if joints[slot, TRACES] < 0:
            continue
        apart = when[e] - base
        rise = math.exp(apart / tau_x)
        y[joints[slot, TRACES] + j] += number(rise)
        if scale == 0:
            continue
        if e + 1 < when.size and joints[slots[e + 1], TRACES] >= 0:
            ask(slots[e + 1], who[e + 1], joints, row_ends, SUMS, sums)
        of_c, of_z, to = number(scale * rise), number(scale * rho * math.exp(-apart / tau_z)), _unsigned(joints[slot, SUMS])
        ends, at = joints[slot, ENDS], _unsigned(joints[slot, TARGETS])
        if ends < 0:
            row = to + _unsigned(j) * n
            for i in range(n):
                sums[row + i] -= of_c * risen[i] + of_z * z[i]
            continue
        for s in range(_unsigned(row_ends[ends + j]), _unsigned(row_ends[ends + j + 1])):
            i = _unsigned(targets[at + s])
            sums[to + s] -= of_c * risen[i] + of_z * z[i]


@inlined
def give_back(time, rise, base, constants, scale, own, when, slots, joints, sums):
    """Synapses read traces when the chunk is over: what they must not, a spike at `time` after these arrivals, they get back.

    rise: as in `rises`; own: as in `look_up`.
    """
    number, (tau_x, tau_z, rho) = sums.dtype.type, constants
    for h in range(len(own) if scale != 0 else 0):
        e = own[h, ARRIVAL]
        if joints[slots[e], TRACES] >= 0 and when[e] < time:
            then = rises(when[e] - base, tau_x, tau_z)
            sums[joints[slots[e], SUMS] + own[h, SYNAPSE]] += number(
                scale * (then[0] / rise[0] * (1 - rho) + rho * rise[1] / then[1])
            )


@kernel
def look_up(lot, n, slots, who, joints, row_ends, targets, marked, nth, heard, hits):
    """Which arrivals of a chunk reach a lot of neurons, and through which synapses: heard[f] are those of neuron lot[f], and
    lie in hits from f times the number of all on.

    A row of targets is read to its end: to look for a few in it takes longer, as it is not near.
    """
    count = slots.size
    for f in range(lot.size):
        marked[lot[f]], nth[lot[f]], heard[f] = True, f, 0
    for e in range(count):
        ends, at = joints[slots[e], ENDS], joints[slots[e], TARGETS]
        if ends < 0:
            for f in range(lot.size):
                hits[f * count + heard[f], ARRIVAL], hits[f * count + heard[f], SYNAPSE] = e, who[e] * n + lot[f]
                heard[f] += 1
            continue
        to = targets[at:]
        for s in range(_unsigned(row_ends[ends + who[e]]), _unsigned(row_ends[ends + who[e] + 1])):
            if marked[_unsigned(to[s])]:
                f = nth[to[s]]
                hits[f * count + heard[f], ARRIVAL], hits[f * count + heard[f], SYNAPSE] = e, s
                heard[f] += 1
    for f in range(lot.size):
        marked[lot[f]] = False


@kernel
def chunk_end(first, longest, when, slots, who, joints, row_ends, n):
    """One after the last arrival of the chunk that begins with `first`: all of a moment, but else none that comes `longest` ms
    or more after the first, or after `_SHARE` n synapses."""
    e, synapses = first, 0.0
    while e < when.size and (when[e] == when[max(e - 1, first)] or (when[e] - when[first] < longest and synapses < _SHARE * n)):
        ends = joints[slots[e], ENDS]
        synapses += _SHARE * n if ends < 0 else row_ends[ends + who[e] + 1] - row_ends[ends + who[e]]
        e += 1
    return e


@cache
def kernels(neuron: Any, exponential: bool, streams: bool, chunked: bool, online: bool) -> Any:
    """The kernels that take one population from one moment to another, for one model of its neurons: `advance`, and `periodic`,
    which may stand in for it where nothing arrives and no threshold adapts.

    streams, chunked: whether there are populations that `stream` and `chunks` are for: the other is not compiled; online:
    whether weights change while spikes pass, in those that `stream`.
    """
    relax, wait, adapts, raised = neuron.relax, neuron.wait, neuron.adapts, neuron.raised
    simple = not adapts and not exponential

    @inlined
    def fire(i, time, rise, rho, x, z, risen, spikes, times, senders, listed):
        """Neuron i spikes: its traces rise by 1, in multiples of their decay since the base: by `rise`, of x and of z.

        Returns how many spikes are listed.
        """
        x[i] += x.dtype.type(rise[0])
        z[i] += x.dtype.type(rise[1])
        risen[i] += x.dtype.type((1 - rho) / rise[0])
        spikes[i] += 1
        times[listed], senders[listed] = time, i
        return listed + 1

    @kernel
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

    @kernel
    def drift(p, v, to, lapse, taus, tau_a, one):
        """v after `lapse` ms without a spike, and whether v may have met the threshold meanwhile, by the bound of `glide`.

        one[2] is what is present before, as in `crossing`, one[3] becomes what is present then.
        """
        remains, largest, bar, n = math.exp(-lapse / p.tau_m), to, p.v_th, taus.size
        after = to + (v - to) * remains
        for r in range(n):
            stays = math.exp(-lapse / taus[r])
            one[3, r] = one[2, r] * stays
            after += one[2, r] * taus[r] / (taus[r] - p.tau_m) * (stays - remains)
            largest += max(one[2, r], one[3, r])
        if adapts:
            one[3, n] = one[2, n] * math.exp(-lapse / tau_a)
            bar += min(one[2, n], one[3, n])
        return after, max(v, after, v * remains + largest * (1 - remains)) >= bar

    @kernel
    def fade(lapse, taus, tau_a, one):
        """Synaptic currents and the raised threshold decay."""
        for r in range(taus.size):
            one[2, r] *= math.exp(-lapse / taus[r])
        if adapts:
            one[2, taus.size] *= math.exp(-lapse / tau_a)

    @inlined
    def bring(jump, slots, who, joints, jumps, strength, grow, scale, y, risen, z, left, sums):
        """What arrives at one moment moves v of all neurons by; of weights that change while spikes pass, by what they have
        come to: sums + scale y_j (C_i + left z_i) is ∫ x dz so far, as in `learn`. Returns what a C_i larger by 1 would add.
        """
        n, own = _unsigned(z.size), scale * 0
        for i in range(n):
            jump[i] = 0
        for e in range(slots.size):
            slot, size, at = slots[e], strength[slots[e]], _unsigned(who[e]) * n
            row = _unsigned(joints[slot, START]) + at
            if online and joints[slot, TRACES] >= 0:
                learned = _unsigned(joints[slot, SUMS]) + at
                more, held = grow[slot], scale * y[joints[slot, TRACES] + who[e]]
                own += more * held
                for i in range(n):
                    jump[i] += jumps[row + i] * size + more * (sums[learned + i] + held * (risen[i] + left * z[i]))
            else:
                for i in range(n):
                    jump[i] += jumps[row + i] * size
        return own

    @inlined
    def walk(
        p, found, awake, met, t, stop, group, count, arrived, jumps, own, left, base, constants, v, later, to, until, x, z,
        risen, spikes, scale, sums, times, senders, listed,
    ):  # fmt: skip
        """The neurons found, of which the first `awake` are so at t, through the moments of a group, exactly.

        count: of moments, of which something arrives at the first `arrived`; v, later (n,): distances from the drive at t and
        at the end, −∞ if refractory; own, left: where weights change while spikes pass, v moves by own (ΔC_i + left Δz_i) more
        once neuron i has spiked. Returns how many spikes are listed.
        """
        (tau_x, tau_z, rho), number, when, one = constants, x.dtype.type, group.when, _unsigned(1)
        for f in range(met):
            i = found[f]
            drive, risen_before, z_before, e = float(to[i]), risen[i], z[i], _unsigned(0)
            at, away, stays, bar = t, float(v[i]), group.stays[0], p.v_th - drive
            if f >= awake:
                at, away = until[i], p.v_reset - drive
                while when[e] < at:
                    e += one
                stays = math.exp((at - when[e]) / p.tau_m)
            while e < count:
                # Without arrivals v goes one way: a spike comes before the next one only if v is at threshold now or then.
                after, time = away * stays, when[e]
                if max(away, after) >= bar:
                    time = min(time, at + wait(p, drive + away, drive))
                if time == when[e]:
                    after += jumps[group.rows[e] + _unsigned(i)] * group.sizes[e]
                    if online:  # its own spikes since t have changed its synapses
                        after += own * (risen[i] - risen_before + left * (z[i] - z_before))
                    if after < bar or e == arrived:
                        at, away, e = time, after, e + one
                        stays = group.stays[e]
                        continue
                rise = rises(time - base, tau_x, tau_z)
                listed = fire(i, time, rise, rho, x, z, risen, spikes, times, senders, listed)
                # Synapses read the traces when the group is over; those that should have before this spike are given it back.
                for g in range(e if scale != 0 else _unsigned(0)):
                    if when[g] < time and group.into[g] >= 0:
                        more_c, more_z = number((1 - rho) / rise[0]), number(rise[1])
                        sums[group.into[g] + i] += group.of_c[g] * more_c + group.of_z[g] * more_z
                at, away = time + p.t_ref, p.v_reset - drive
                until[i] = at
                while e < count and when[e] < at:
                    e += one
                stays = math.exp((at - when[e]) / p.tau_m) if e < count else 0.0
            later[i] = number(-np.inf if at > stop else away)
        return listed

    @kernel
    def stream(p, c, k, t, now, arrivals, v, later, to, state, room, scale, reads, sends, sums, times, senders, listed):
        """Population k through the arrivals of a window until `now`, all of which move v of all its neurons.

        v is kept as its distance from the drive meanwhile.
        """
        when, slots, who = arrivals
        a, n, number, joints, strength, group = c.first[k], c.sizes[k], c.jumps.dtype.type, c.joints, state.strength, room.group
        x, z, risen = state.rows[X, a : a + n], state.rows[Z, a : a + n], state.rows[C, a : a + n]
        # Rows that `glide` and `chunks` fill anew where they use them.
        jump, bar, swapped, e, left = room.sums[_RISE, :n], room.sums[_BAR, :n], False, 0, number(0)
        until, spikes, found, asleep, ring = state.until[a : a + n], state.spikes[a : a + n], room.found, room.asleep, room.ring
        base, constants = state.base[k], (c.tau_x, c.tau_z, c.rho)
        for i in range(_unsigned(n)):
            v[i] -= to[i]
            bar[i] = number(p.v_th) - to[i]
        room.eights[(n - 1) // 8] = 0  # what a larger population left there
        while e < when.size or t < now:
            # A group is some moments of one arrival each, which may end with `now`, or one moment of several.
            begin, own, before = e, number(0), listed
            arrived = 0 if online else line_up(group, e, when, slots, who, joints, strength, n)
            e += arrived
            several = arrived == 0 and e < when.size
            if several:
                group.when[0], group.rows[0], group.sizes[0], group.into[0], arrived = when[e], 0, 1, -1, 1
                while e < when.size and when[e] == group.when[0]:
                    e += 1
                if online:
                    left = number(c.rho * math.exp((base - group.when[0]) * (1 / c.tau_z + 1 / c.tau_x)))
                own = bring(
                    jump, slots[begin:e], who[begin:e], joints, c.jumps, strength, c.online, number(scale), state.y, risen, z,
                    left, sums,
                )  # fmt: skip
            count = arrived
            if e == when.size and not several and count < _GROUP:
                group.when[count], group.rows[count], group.sizes[count] = now, 0, 0
                count += 1
            end = group.when[count - 1]
            vanish = pace(group, t, count, p.tau_m)
            if reads:
                weigh(group, arrived, base, constants, scale)
            if count == 1:
                leap_once(v, later, bar, group, jump if several else c.jumps, room.met)
            else:
                leap(v, later, bar, group, c.jumps, room.met)
            awake = find(room.met, room.eights, n, found)
            met = wake(asleep, ring, until, end, found, awake)
            listed = walk(
                p, found, awake, met, t, end, group, _unsigned(count), _unsigned(arrived), jump if several else c.jumps, own,
                left, base, constants, v, later, to, until, x, z, risen, spikes, scale, sums, times, senders, listed,
            )  # fmt: skip
            if listed - before > 1:
                sort(times[before:listed], senders[before:listed])
            fall_asleep(asleep, ring, times, senders, before, listed, end, p.t_ref)
            for f in range(ring[0] if vanish else ring[1], ring[1]):
                later[asleep[place(asleep, f)]] = -np.inf
            if reads:
                read(group, slots[begin:e], who[begin:e], several, joints, scale, z, risen, state.y, sums)
            if not sends:
                listed = before
            v, later, t, swapped = later, v, end, not swapped
        for i in range(_unsigned(n)):
            v[i] += to[i]
        for i in range(_unsigned(n if swapped else 0)):
            later[i] = v[i]
        return listed

    @inlined
    def settle(
        p, lot, awake, to, v, later, begin, now, base, constants, tau_a, taus, theta, currents, a, x, z, risen, until,
        spikes, joints, jumps, strength, when, slots, hits, heard, scale, sums, one, times, senders, sent,
    ):  # fmt: skip
        """A lot of neurons, of which the first `awake` are so from `begin` on, through the arrivals of a chunk and all their
        spikes until `now`.

        to: constant drives; theta … spikes (n,): of the population; hits, heard: what reaches each neuron of the lot; later:
        gets v, −∞ of those that are then refractory. Returns how many spikes the queue of the population holds.
        """
        last, count, number, (tau_x, tau_z, rho) = taus.size, when.size, x.dtype.type, constants
        for r in range(last):
            one[4, r] = math.exp((base - begin) / taus[r])
        one[4, last] = math.exp((base - begin) / tau_a)
        for f in range(lot.size):
            i, t, h, reached, own = lot[f], begin, 0, heard[f], hits[f * count : (f + 1) * count]
            drive, level = float(to[i]), float(v[i]) if f < awake else p.v_reset
            if not simple:
                for r in range(last):
                    one[2, r] = currents[r, a + i] * one[4, r]
                one[2, last] = theta[i] * one[4, last]
            while True:
                end = when[own[h, ARRIVAL]] if h < reached else now
                while t < end:
                    if until[i] > t:
                        rest = min(until[i], end)
                        fade(rest - t, taus, tau_a, one)
                        t, level = rest, p.v_reset
                        continue
                    after, may = drift(p, level, drive, end - t, taus, tau_a, one)
                    time = t + crossing(p, level, drive, end - t, taus, tau_a, one) if may else np.inf
                    if time >= end:
                        for r in range(one.shape[1] if not simple else 0):
                            one[2, r] = one[3, r]
                        level, t = after, end
                        # Only rounding can take a crossing by drift out of the interval.
                        if not level >= p.v_th + one[2, last] * adapts or end == now:
                            break
                    else:
                        fade(time - t, taus, tau_a, one)
                    t = min(time, end)
                    rise = rises(t - base, tau_x, tau_z)
                    sent = fire(i, t, rise, rho, x, z, risen, spikes, times, senders, sent)
                    give_back(t, rise, base, constants, scale, own[:h], when, slots, joints, sums)
                    if adapts:
                        one[2, last] = raised(p, one[2, last])
                    level, until[i] = p.v_reset, t + p.t_ref
                if h == reached:
                    break
                takes = until[i] <= end
                while h < reached and when[own[h, ARRIVAL]] == end:
                    slot = slots[own[h, ARRIVAL]]
                    jump = jumps[joints[slot, START] + own[h, SYNAPSE]] * strength[slot]
                    if joints[slot, CURRENT_OF] >= 0:
                        one[2, joints[slot, CURRENT_OF]] += jump
                    elif takes:
                        level += jump
                    h += 1
                if takes and level >= p.v_th + one[2, last] * adapts:
                    rise = rises(end - base, tau_x, tau_z)
                    sent = fire(i, end, rise, rho, x, z, risen, spikes, times, senders, sent)
                    give_back(end, rise, base, constants, scale, own[:h], when, slots, joints, sums)
                    if adapts:
                        one[2, last] = raised(p, one[2, last])
                    level, until[i] = p.v_reset, end + p.t_ref
            if adapts:
                theta[i] = number(one[2, last] * math.exp((now - base) / tau_a))
            later[i] = number(-np.inf if until[i] > now else level)
        return sent

    @kernel
    def scatter(p, n, now, taus, joints, row_ends, targets, jumps, strength, when, slots, who, sums, live):
        """What the arrivals of a chunk leave at its end: see `Room`, where all this begins with 0."""
        jump, width, none, up, down = sums[_JUMP], _unsigned(n), sums.dtype.type(0), _unsigned(0), _unsigned(1)
        for e in range(when.size):
            slot, j, lapse, size = slots[e], who[e], now - when[e], strength[slots[e]]
            r, ends, start, at = joints[slot, CURRENT_OF], joints[slot, ENDS], joints[slot, START], joints[slot, TARGETS]
            own = sums[_FLOW + 2 * (r + 1) : _FLOW + 2 * (r + 2)]
            if ends < 0:  # the chunk ends with it
                row, ups, downs = jumps[start + j * n : start + (j + 1) * n], own[up], own[down]
                for i in range(width):
                    ups[i] += max(row[i] * size, none)
                    downs[i] += min(row[i] * size, none)
                live[2 * (r + 1)] = live[2 * (r + 1) + 1] = True
                continue
            stays = sums.dtype.type(math.exp(-lapse / (p.tau_m if r < 0 else taus[r])))
            brings = sums.dtype.type(0.0 if r < 0 else response(taus[r], p.tau_m, lapse))
            first, last = _unsigned(row_ends[ends + j]), _unsigned(row_ends[ends + j + 1])
            to, row, sinks = targets[at:], jumps[start:], _unsigned(0)
            if e + 1 < when.size:
                ask(slots[e + 1], who[e + 1], joints, row_ends, START, jumps)
                ask(slots[e + 1], who[e + 1], joints, row_ends, TARGETS, targets)
            for s in range(first, last):
                i, found = _unsigned(to[s]), row[s] * size  # size changes the sign of what error spikes do
                way = up if found >= 0 else down
                own[way, i] += found * stays
                jump[i] += found * brings
                sinks += way
            live[2 * (r + 1)] |= sinks < last - first
            live[2 * (r + 1) + 1] |= sinks > 0

    @kernel
    def glide(p, t, first_at, now, base, taus, v, later, to, currents, a, sums, live, found):
        """v at the end of a chunk that `scatter` has gone through; how many neurons could have met their threshold: `found`.

        Meanwhile v stays below what it relaxes to, or is, with the largest drive, and all jumps up. Of a current that is its
        first value if that is positive, else its last, and all of its jumps up; these have been more by the factor by which
        the first of them, at first_at, has decayed. Loops are over few arrays each: else LLVM does not vectorise them.
        """
        n, number, jump, rise, lift, bar = _unsigned(v.size), v.dtype.type, sums[_JUMP], sums[_RISE], sums[_LIFT], sums[_BAR]
        remains, one, none, met, first = number(math.exp((t - now) / p.tau_m)), number(1), number(0), 0, _unsigned(0)
        while first < n:
            stop = min(first + _TILE, n)
            up, down, more = sums[_FLOW], sums[_FLOW + 1], number(math.exp((now - first_at) / p.tau_m))
            for i in range(first, stop):
                rise[i] = none
            for i in range(first, stop if live[0] or live[1] else first):
                rise[i] = up[i] * more
                jump[i] += up[i] + down[i]
                up[i], down[i] = none, none
            for r in range(taus.size):
                present, brings = number(math.exp((base - t) / taus[r])), number(response(taus[r], p.tau_m, now - t))
                row, up, stays = currents[r, a:], sums[_FLOW + 2 * (r + 1)], number(math.exp((t - now) / taus[r]))
                more = number(math.exp((now - first_at) / taus[r]))
                for i in range(first, stop):
                    current = row[i] * present
                    jump[i] += current * brings
                    lift[i] += max(current, current * stays)
                for i in range(first, stop if live[2 * (r + 1)] else first):
                    lift[i] += up[i] * more
            for i in range(first, stop):
                rise[i] += max(v[i], v[i] * remains + (to[i] + lift[i]) * (one - remains)) - bar[i]
            for i in range(first, stop):
                later[i] = to[i] + (v[i] - to[i]) * remains + jump[i]
            for i in range(first, stop):
                jump[i], lift[i] = none, none
            while first < stop:
                end, some = min(first + _BLOCK, stop), False
                for i in range(first, end):
                    some |= rise[i] >= 0
                if some:
                    for i in range(first, end):
                        if rise[i] >= 0:
                            found[met] = i
                            met += 1
                first = end
        return met

    @kernel
    def flows(taus, apart, currents, a, n, sums, live):
        """Synaptic currents, in multiples of their decay since the base, `apart` ms ago, take in a chunk."""
        for r in range(taus.size):
            risen, row, none = sums.dtype.type(math.exp(apart / taus[r])), currents[r, a:], sums.dtype.type(0)
            for way in range(2 * (r + 1), 2 * (r + 2)):
                own = sums[_FLOW + way]
                for i in range(_unsigned(n if live[way] else 0)):
                    row[i] += own[i] * risen
                    own[i] = none

    @kernel
    def chunks(p, c, k, t, now, arrivals, v, later, to, state, room, hits, scale, reads, sends, sums, times, senders, listed):
        """Population k through the arrivals of a window until `now`, in chunks; hits: of `Room`, a place for each arrival."""
        a, n, number, taus, tau_a, base = c.first[k], c.sizes[k], c.jumps.dtype.type, c.taus, c.tau_a, state.base[k]
        theta, x, z, risen = (
            state.rows[THETA, a : a + n], state.rows[X, a : a + n], state.rows[Z, a : a + n], state.rows[C, a : a + n]
        )  # fmt: skip
        until, spikes, currents, y = state.until[a : a + n], state.spikes[a : a + n], state.currents, state.y
        joints, row_ends, targets, jumps, strength = c.joints, c.row_ends, c.targets, c.jumps, state.strength
        one, found, asleep, ring = room.one, room.found, room.asleep, room.ring
        jump_sums, live, bar = room.sums, room.live, room.sums[_BAR]
        # By the end of a chunk no jump has decayed by more than the bound on v can make up for.
        constants, longest, e, swapped = (c.tau_x, c.tau_z, c.rho), min(p.tau_m, c.shortest), 0, False
        held = scale if reads else 0 * scale
        bar[:n] = number(p.v_th)
        while e < arrivals[0].size or t < now:
            first, e = e, chunk_end(e, longest, arrivals[0], arrivals[1], arrivals[2], joints, row_ends, n)
            when, slots, who = arrivals[0][first:e], arrivals[1][first:e], arrivals[2][first:e]
            end = when[-1] if e > first else now
            if adapts:
                left = number(math.exp((base - end) / tau_a))
                for i in range(n):
                    bar[i] = number(p.v_th) + theta[i] * left
            for way in range(live.size):
                live[way] = False
            scatter(p, n, end, taus, joints, row_ends, targets, jumps, strength, when, slots, who, jump_sums, live)
            begins = when[0] if e > first else end
            met = glide(p, t, begins, end, base, taus, v, later, to, currents, a, jump_sums, live, found)
            awake, before = met, listed
            met = wake(asleep, ring, until, end, found, met)
            most = hits.shape[0] // max(when.size, 1)
            for f in range(0, met, most):
                lot = found[f : min(f + most, met)]
                look_up(lot, n, slots, who, joints, row_ends, targets, room.marked, room.nth, room.heard, hits)
                listed = settle(
                    p, lot, awake - f, to, v, later, t, end, base, constants, tau_a, taus, theta, currents, a, x, z, risen,
                    until, spikes, joints, jumps, strength, when, slots, hits, room.heard, held, sums, one, times, senders,
                    listed,
                )  # fmt: skip
            if listed - before > 1:
                sort(times[before:listed], senders[before:listed])
            fall_asleep(asleep, ring, times, senders, before, listed, end, p.t_ref)
            for f in range(ring[0], ring[1]):
                later[asleep[place(asleep, f)]] = -np.inf
            if exponential:
                flows(taus, end - base, currents, a, n, jump_sums, live)
            if reads and e > first:
                receive(when, slots, who, base, constants, scale, joints, row_ends, targets, z, risen, y, sums)
            if not sends:
                listed = before
            v, later, t, swapped = later, v, end, not swapped
        for i in range(n if swapped else 0):
            later[i] = v[i]
        return listed

    @njit(error_model="numpy")
    def rest(v, until, t, room):
        """Those that are refractory at t get v = −∞, and go to sleep, the first to wake first."""
        asleep, n = room.asleep, 0
        for i in range(v.size):
            if until[i] > t:
                v[i], asleep[n] = -np.inf, i
                n += 1
        ends = np.empty(n)
        for e in range(n):
            ends[e] = until[asleep[e]]
        sort(ends, asleep[:n])
        room.ring[0], room.ring[1] = 0, n

    @njit(error_model="numpy")
    def advance(p, c, k, t, stop, state, times, senders, scale, reads, sends, sums, room):
        """Population k from t to stop. reads: whether its synapses follow their traces; scale: 0 while the gate is closed, else
        sums gets scale ∫ x dz of those that learn; sends: whether its spikes are listed."""
        a, n, lo, hi = c.first[k], c.sizes[k], c.slots[k], c.slots[k + 1]
        v, later = state.rows[V, a : a + n], state.rows[LATER, a : a + n]
        to = state.rows[DRIVE, a : a + n] - state.rows[CURRENT, a : a + n]
        far, own, own_senders, listed, level = _FAR * c.shortest, times[k], senders[k], state.sent[k], simple
        plastic, hits = False, room.hits
        for slot in range(lo, hi):
            level &= c.joints[slot, ENDS] < 0 and c.joints[slot, CURRENT_OF] < 0
            plastic |= c.joints[slot, TRACES] >= 0
        reads &= plastic
        rest(v, state.until[a : a + n], t, room)
        while t < stop:
            if t - state.base[k] > 0.5 * far:
                move_base(c, k, t, state, scale, sums)
            now = min(stop, state.base[k] + far, t + _ROOM / n * p.t_ref)
            room_for = listed + n * (2 + int((now - t) / p.t_ref))
            if room_for > own.size:
                own, own_senders = longer(own, listed, room_for), longer(own_senders, listed, room_for)
            arrivals = gather(lo, hi, now, c.joints, c.delay, state.received, state.sent, times, senders)
            if streams and (level or not chunked):
                listed = stream(
                    p, c, k, t, now, arrivals, v, later, to, state, room, scale, reads, sends, sums, own, own_senders, listed
                )
            if chunked and not (level and streams):
                if arrivals[0].size > hits.shape[0]:
                    hits = np.empty((arrivals[0].size, 2), np.int64)
                listed = chunks(
                    p, c, k, t, now, arrivals, v, later, to, state, room, hits, scale, reads, sends, sums, own,
                    own_senders, listed,
                )  # fmt: skip
            t = now
        times[k], senders[k], state.sent[k] = own, own_senders, listed
        rows, number = state.rows[V, a : a + n], state.rows.dtype.type
        for i in range(n):
            rows[i] = number(p.v_reset) if v[i] == -np.inf else v[i]

    @njit(error_model="numpy")
    def periodic(p, c, k, t, stop, state, times, senders, sends):
        """Population k, which nothing reaches, from t to stop: under a constant drive its spikes are periodic."""
        move_base(c, k, t, state, 0.0, c.jumps)
        a, n, number, before, sent = c.first[k], c.sizes[k], state.rows.dtype.type, state.sent[k], state.sent[k]
        own, own_senders = times[k], senders[k]
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
                if sent + count > own.size:
                    own, own_senders = longer(own, sent, sent + count), longer(own_senders, sent, sent + count)
                for e in range(count):
                    # Where v was at the threshold and the drive is below it, there is no interval.
                    own[sent], own_senders[sent] = first + e * interval if e > 0 else first, i - a
                    sent += 1
        if sends:
            sort(own[before:sent], own_senders[before:sent])
        times[k], senders[k], state.sent[k], state.base[k] = own, own_senders, sent, stop

    return advance, periodic
