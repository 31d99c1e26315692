"""A population of which v of all neurons is moved by all spikes that arrive: dense layers of delta synapses.

One pass takes in four moments of arrival: v relaxes from each to the next, and what arrives is added. The few neurons that have
met their threshold at any of them are then gone through these moments once more, exactly.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.asleep import fall_asleep, keep_asleep, recovered, wake
from localdfa.core.compiled import counted, inlined, inner, unsigned
from localdfa.core.queues import START, SUMS, TRACES
from localdfa.core.traces import fire, rises

# So many moments `leap` takes in at once.
_GROUP = 4


class Group(NamedTuple):
    """Moments that are taken in at once: `when`, in order; sizes[g] jumps[rows[g]:] is what moves v then. stays: to which
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


class StreamRoom(NamedTuple):
    """Scratch. jump, bar (n,): what several spikes of one moment add to v, and how far the threshold is from the drive; met:
    whether a neuron has met it, a byte each, and eights: the same bytes, eight a number."""

    jump: np.ndarray
    bar: np.ndarray
    met: np.ndarray
    eights: np.ndarray
    group: Group


@counted
def stream_room(n, kind):
    """Scratch for populations of up to n neurons, whose v are of this kind of number."""
    eights = np.zeros((n + 7) // 8, np.uint64)
    return StreamRoom(
        np.zeros(n, kind), np.zeros(n, kind), eights.view(np.uint8), eights,
        Group(
            np.zeros(_GROUP), np.zeros(_GROUP, np.uint64), np.zeros(_GROUP, kind), np.zeros(_GROUP + 1), np.zeros(_GROUP, kind),
            np.zeros(_GROUP), np.zeros(_GROUP, kind), np.zeros(_GROUP, kind), np.zeros(_GROUP, np.int64),
        ),
    )  # fmt: skip


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
    for i in range(unsigned(v.size)):
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
    for i in range(unsigned(v.size)):
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
def line_up(group, e, arrivals, synapses, n):
    """Moments of one arrival each, from arrival e on, into a group; returns how many."""
    when, joints, count = arrivals.when, synapses.joints, 0
    while e < when.size and count < _GROUP and (e + 1 == when.size or when[e + 1] > when[e]):
        slot, at = arrivals.slots[e], arrivals.who[e] * n
        group.when[count], group.rows[count], group.sizes[count] = when[e], joints[slot, START] + at, synapses.strength[slot]
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
def weigh(group, count, traces, scale):
    """What the synapses will read at each moment of a group."""
    for g in range(count):
        rise = rises(group.when[g], traces)
        group.rise[g], group.of_c[g], group.of_z[g] = rise[0], scale * rise[0], scale * traces.pre / rise[1]


@inlined
def read(group, first, last, several, arrivals, synapses, scale, cells):
    """The synapses through which a group's spikes first … last − 1 arrived read what they must; several: all arrived in its
    first moment."""
    joints, y, sums, z, risen = synapses.joints, synapses.y, synapses.sums, cells.z, cells.risen
    n = unsigned(z.size)
    for e in range(first, last):
        slot, j, g = arrivals.slots[e], arrivals.who[e], 0 if several else e - first
        if joints[slot, TRACES] < 0:
            continue
        y[joints[slot, TRACES] + j] += y.dtype.type(group.rise[g])
        row, of_c, of_z = unsigned(joints[slot, SUMS]) + unsigned(j) * n, group.of_c[g], group.of_z[g]
        for i in range(n if scale != 0 else unsigned(0)):
            sums[row + i] -= of_c * risen[i] + of_z * z[i]


@inlined
def give_back(i, time, rise, e, group, traces, sums):
    """Synapses read traces when a group is over: what they must not, a spike of neuron i at `time`, those of the first e of its
    moments get back."""
    more_c, more_z = sums.dtype.type(traces.post / rise[0]), sums.dtype.type(rise[1])
    for g in range(e):
        if group.when[g] < time and group.into[g] >= 0:
            sums[group.into[g] + i] += group.of_c[g] * more_c + group.of_z[g] * more_z


@cache
def stream_kernel(neuron: Any, online: bool) -> Any:
    """The kernel for one model of neurons; online: whether weights change while spikes pass."""
    wait = neuron.wait

    @inlined
    def bring(jump, first, last, arrivals, synapses, scale, cells, left):
        """What the spikes first … last − 1, of one moment, add to v; of weights that change while spikes pass, what they have
        come to: sums + scale y_j (C_i + left z_i) is ∫ x dz so far, as in `learn`. Returns what a C_i larger by 1 would add.
        """
        joints, jumps, y, sums, risen, z = synapses.joints, synapses.jumps, synapses.y, synapses.sums, cells.risen, cells.z
        n, own = unsigned(z.size), scale * 0
        for i in range(n):
            jump[i] = 0
        for e in range(first, last):
            slot, j, size = arrivals.slots[e], arrivals.who[e], synapses.strength[arrivals.slots[e]]
            row = unsigned(joints[slot, START]) + unsigned(j) * n
            if online and joints[slot, TRACES] >= 0:
                learned = unsigned(joints[slot, SUMS]) + unsigned(j) * n
                more, held = synapses.online[slot], scale * y[joints[slot, TRACES] + j]
                own += more * held
                for i in range(n):
                    jump[i] += jumps[row + i] * size + more * (sums[learned + i] + held * (risen[i] + left * z[i]))
            else:
                for i in range(n):
                    jump[i] += jumps[row + i] * size
        return own

    @inlined
    def walk(
        p, found, awake, met, t, stop, group, count, arrived, jumps, own, left, traces, v, later, cells, scale, sums, listed
    ):
        """The `met` neurons found, of which the first `awake` are so at t, through the moments of a group, exactly.

        count: of moments, of which something arrives at the first `arrived`; v, later (n,): distances from the drive at t and
        at the end, −∞ if refractory; own, left: where weights change while spikes pass, v moves by own (ΔC_i + left Δz_i) more
        once neuron i has spiked. Returns how many spikes are listed.
        """
        z, risen, until, number, when, one = cells.z, cells.risen, cells.until, later.dtype.type, group.when, unsigned(1)
        for f in range(met):
            i = found[f]
            drive, risen_before, z_before, e = float(cells.to[i]), risen[i], z[i], unsigned(0)
            at, away, stays, bar = t, float(v[i]), group.stays[0], p.v_th - drive
            if f >= awake:
                at, away = until[i], p.v_reset - drive
                while e + one < count and not recovered(at, when[e]):  # it has recovered at the last moment
                    e += one
                at = min(at, when[e])
                stays = math.exp((at - when[e]) / p.tau_m)
            while e < count:  # ends, as every pass goes on by a moment, or spikes, which it does once in t_ref
                # Without arrivals v goes one way: a spike comes before the next one only if v is at threshold now or then.
                after, time = away * stays, when[e]
                if max(away, after) >= bar:
                    time = min(time, at + wait(p, drive + away, drive))
                if time == when[e]:
                    before = after
                    after += jumps[group.rows[e] + unsigned(i)] * group.sizes[e]
                    if online:  # its own spikes since t have changed its synapses
                        after += own * (risen[i] - risen_before + left * (z[i] - z_before))
                    # Where the drive is at most v_th, only a jump up makes a spike: rounding takes v to the threshold, too.
                    if after < bar or e == arrived or (bar >= 0 and after <= before):
                        at, away, e = time, after, e + one
                        stays = group.stays[e]
                        continue
                rise = rises(time, traces)
                listed = fire(i, time, rise, traces, cells, listed)
                if scale != 0:
                    give_back(i, time, rise, e, group, traces, sums)
                at, away = time + p.t_ref, p.v_reset - drive
                until[i] = at
                while e < count and not recovered(at, when[e]):
                    e += one
                if e < count:
                    at = min(at, when[e])
                    stays = math.exp((at - when[e]) / p.tau_m)
            later[i] = number(away if recovered(at, stop) else -np.inf)
        return listed

    @inner
    def stream(p, t, now, arrivals, v, later, cells, traces, synapses, asleep, found, room, scale, reads, sends, listed):
        """A population through the arrivals of a window from t until `now`; returns how many spikes are listed.

        v is kept as its distance from the drive meanwhile. The others as in `membranes`.
        """
        when, jumps, group, n, number = arrivals.when, synapses.jumps, room.group, cells.to.size, v.dtype.type
        bar, swapped, e, left = room.bar, False, 0, number(0)
        for i in range(unsigned(n)):
            v[i] -= cells.to[i]
            bar[i] = number(p.v_th) - cells.to[i]
        room.eights[(n - 1) // 8] = 0  # what a larger population left there
        while e < when.size or t < now:
            # A group is some moments of one arrival each, which may end with `now`, or one moment of several.
            first, own, before = e, number(0), listed
            arrived = 0 if online else line_up(group, e, arrivals, synapses, n)
            e += arrived
            several = arrived == 0 and e < when.size
            if several:
                group.when[0], group.rows[0], group.sizes[0], group.into[0], arrived = when[e], 0, 1, -1, 1
                e += 1
                while e < when.size and when[e] == group.when[0]:
                    e += 1
                if online:
                    left = number(traces.edge * math.exp((traces.base - group.when[0]) * (1 / traces.tau_z + 1 / traces.tau_x)))
                own = bring(room.jump, first, e, arrivals, synapses, number(scale), cells, left)
            count = arrived
            if e == when.size and not several and count < _GROUP:
                group.when[count], group.rows[count], group.sizes[count] = now, 0, 0
                count += 1
            end, brought = group.when[count - 1], room.jump if several else jumps
            vanish = pace(group, t, count, p.tau_m)
            if reads:
                weigh(group, arrived, traces, scale)
            if count == 1:
                leap_once(v, later, bar, group, brought, room.met)
            else:
                leap(v, later, bar, group, jumps, room.met)
            awake = find(room.met, room.eights, n, found)
            met = wake(asleep, cells.until, end, found, awake)
            listed = walk(
                p, found, awake, met, t, end, group, unsigned(count), unsigned(arrived), brought, own, left, traces, v, later,
                cells, scale, synapses.sums, listed,
            )  # fmt: skip
            fall_asleep(asleep, cells, before, listed, end, p.t_ref)
            if vanish:
                keep_asleep(asleep, later)
            if reads:
                read(group, first, e, several, arrivals, synapses, scale, cells)
            if not sends:
                listed = before
            v, later, t, swapped = later, v, end, not swapped
        for i in range(unsigned(n)):
            v[i] += cells.to[i]
        for i in range(unsigned(n if swapped else 0)):
            later[i] = v[i]
        return listed

    return stream
