"""A population in chunks of arrivals: sparse projections, synaptic currents, thresholds that adapt.

A *chunk* of arrivals is taken in at once: what they leave at its end is a sum, since v, the currents and the traces are linear;
one pass over the neurons adds it, and a bound on v, from the largest v without arrivals and the sum of what raises it, rules
out most crossings. The neurons that could have reached their threshold, few, are gone through arrival by arrival, exactly.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.asleep import fall_asleep, keep_asleep, recovered, wake
from localdfa.core.compiled import counted, inlined, inner, kernel, unsigned
from localdfa.core.crossing import first_crossing
from localdfa.core.prefetch import LINE, prefetch
from localdfa.core.queues import CURRENT_OF, ENDS, START, SUMS, TARGETS, TRACES, Arrivals
from localdfa.core.traces import fire, rises

# Synapses a neuron whose arrivals are taken in at once: more, and bounds on v rule out too few; fewer, and there are too many
# passes over the neurons.
_SHARE = 1.5
# `glide` looks for spikes in blocks of so many neurons, and what it reads and writes of so many stays in the nearest cache.
_BLOCK = unsigned(32)
_TILE = unsigned(512)
# Rows of `ChunkRoom.sums`.
_JUMP, _RISE, _LIFT, _BAR, _FLOW = range(5)
# Columns of `Heard.hits`, and how many of them there is room for at least: neurons are looked up in lots that have as much.
ARRIVAL, SYNAPSE = range(2)
HITS = 2**14


class Heard(NamedTuple):
    """What reaches a lot of neurons in a chunk. marked, nth (n,): who is in the lot, and where; counts: how many arrivals reach
    each neuron of the lot; hits (·, 2): which, and through which synapses, as in `look_up`."""

    marked: np.ndarray
    nth: np.ndarray
    counts: np.ndarray
    hits: np.ndarray


class Decay(NamedTuple):
    """What of one neuron decays besides v: synaptic currents, and last by how much its threshold is raised.

    taus (R + 1,): time constants; present, after (R + 1,): values now and at another moment; kept (R + 1,): to which fraction
    they have decayed since the base when a chunk begins; sizes, constants (R + 2,): terms of v as in `first_crossing`.
    """

    taus: np.ndarray
    present: np.ndarray
    after: np.ndarray
    kept: np.ndarray
    sizes: np.ndarray
    constants: np.ndarray


class ChunkRoom(NamedTuple):
    """Scratch. sums (4 + 2 (R + 1), n): what the currents that arrive in a chunk add to v by its end, what raises v
    meanwhile, what raises its drive, the lowest thresholds; and what is left at its end of the jumps that arrived, of v and
    then of each current, those up and those down apart; live (2 (R + 1),): whether there are any of these."""

    sums: np.ndarray
    live: np.ndarray
    heard: Heard
    decay: Decay


@counted
def chunk_room(n, taus, tau_a, kind):
    """Scratch for populations of up to n neurons, whose v are of this kind of number."""
    r = taus.size
    decay = Decay(np.empty(r + 1), np.zeros(r + 1), np.zeros(r + 1), np.zeros(r + 1), np.zeros(r + 2), np.zeros(r + 2))
    for e in range(r):
        decay.taus[e] = taus[e]
    decay.taus[r] = tau_a
    return ChunkRoom(
        np.zeros((4 + 2 * (r + 1), n), kind), np.zeros(2 * (r + 1), np.bool_),
        Heard(np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(n, np.int64), np.empty((HITS, 2), np.int64)),
        decay,
    )  # fmt: skip


@counted
def room_to_hear(heard, count):
    """Room for all that `count` arrivals tell a lot of one neuron, at least."""
    if count <= heard.hits.shape[0]:
        return heard
    return Heard(heard.marked, heard.nth, heard.counts, np.empty((count, 2), np.int64))


@inner
def response(tau, tau_m, lapse):
    """v after `lapse` ms of a synaptic current that was 1 at their begin."""
    return tau / (tau - tau_m) * (math.exp(-lapse / tau) - math.exp(-lapse / tau_m))


@inner
def chunk_end(first, longest, arrivals, synapses, n):
    """One after the last arrival of the chunk that begins with `first`: all of a moment, but else none that comes `longest` ms
    or more after the first, or after `_SHARE` n synapses."""
    when, joints, ends_of_rows, e, passed = arrivals.when, synapses.joints, synapses.row_ends, first, 0.0
    while e < when.size and (e == first or when[e] == when[e - 1] or (when[e] - when[first] < longest and passed < _SHARE * n)):
        ends, j = joints[arrivals.slots[e], ENDS], arrivals.who[e]
        passed += _SHARE * n if ends < 0 else ends_of_rows[ends + j + 1] - ends_of_rows[ends + j]
        e += 1
    return e


@inlined
def ask(slot, j, joints, row_ends, column, x):
    """Ask for what x, which begins at this column of `joints`, holds of the synapses of neuron j, if its row is sparse."""
    ends, at = joints[slot, ENDS], joints[slot, column]
    if ends >= 0:
        for s in range(row_ends[ends + j], row_ends[ends + j + 1], LINE // x.itemsize):
            prefetch(x, at + s)


@inner
def scatter(tau_m, taus, now, chunk, synapses, n, room):
    """What the arrivals of a chunk leave at its end: see `ChunkRoom`, where all this begins with 0."""
    when, slots, who, sums, live = chunk.when, chunk.slots, chunk.who, room.sums, room.live
    joints, row_ends, targets, jumps, strength = (
        synapses.joints, synapses.row_ends, synapses.targets, synapses.jumps, synapses.strength
    )  # fmt: skip
    jump, width, none, up, down = sums[_JUMP], unsigned(n), sums.dtype.type(0), unsigned(0), unsigned(1)
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
        stays = sums.dtype.type(math.exp(-lapse / (tau_m if r < 0 else taus[r])))
        brings = sums.dtype.type(0.0 if r < 0 else response(taus[r], tau_m, lapse))
        first, last = unsigned(row_ends[ends + j]), unsigned(row_ends[ends + j + 1])
        to, row, sinks = targets[at:], jumps[start:], unsigned(0)
        if e + 1 < when.size:
            ask(slots[e + 1], who[e + 1], joints, row_ends, START, jumps)
            ask(slots[e + 1], who[e + 1], joints, row_ends, TARGETS, targets)
        for s in range(first, last):
            i, found = unsigned(to[s]), row[s] * size  # size changes the sign of what error spikes do
            way = up if found >= 0 else down
            own[way, i] += found * stays
            jump[i] += found * brings
            sinks += way
        live[2 * (r + 1)] |= sinks < last - first
        live[2 * (r + 1) + 1] |= sinks > 0


@inner
def glide(tau_m, taus, t, first_at, now, base, v, later, cells, room, found):
    """v at the end of a chunk that `scatter` has gone through; how many neurons could have met their threshold: `found`.

    Meanwhile v stays below what it relaxes to, or is, with the largest drive, and all jumps up. Of a current that is its
    first value if that is positive, else its last, and all of its jumps up; these have been more by the factor by which
    the first of them, at first_at, has decayed. Loops are over few arrays each: else LLVM does not vectorise them.
    """
    to, currents, a, sums, live = cells.to, cells.currents, cells.first, room.sums, room.live
    n, number, jump, rise, lift, bar = unsigned(v.size), v.dtype.type, sums[_JUMP], sums[_RISE], sums[_LIFT], sums[_BAR]
    remains, one, none, met, first = number(math.exp((t - now) / tau_m)), number(1), number(0), 0, unsigned(0)
    while first < n:
        stop = min(first + _TILE, n)
        up, down, more = sums[_FLOW], sums[_FLOW + 1], number(math.exp((now - first_at) / tau_m))
        for i in range(first, stop):
            rise[i] = none
        for i in range(first, stop if live[0] or live[1] else first):
            rise[i] = up[i] * more
            jump[i] += up[i] + down[i]
            up[i], down[i] = none, none
        for r in range(taus.size):
            present, brings = number(math.exp((base - t) / taus[r])), number(response(taus[r], tau_m, now - t))
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


@inner
def flows(taus, apart, cells, n, room):
    """Synaptic currents, in multiples of their decay since the base, `apart` ms ago, take in a chunk."""
    sums, live = room.sums, room.live
    for r in range(taus.size):
        risen, row, none = sums.dtype.type(math.exp(apart / taus[r])), cells.currents[r, cells.first :], sums.dtype.type(0)
        for way in range(2 * (r + 1), 2 * (r + 2)):
            own = sums[_FLOW + way]
            for i in range(unsigned(n if live[way] else 0)):
                row[i] += own[i] * risen
                own[i] = none


@kernel
def look_up(lot, n, chunk, synapses, heard):
    """Which arrivals of a chunk reach a lot of neurons, and through which synapses: counts[f] are those of neuron lot[f], and
    lie in hits from f times the number of all on.

    A row of targets is read to its end: to look for a few in it takes longer, as it is not near.
    """
    slots, who, joints, row_ends = chunk.slots, chunk.who, synapses.joints, synapses.row_ends
    marked, nth, counts, hits, count = heard.marked, heard.nth, heard.counts, heard.hits, chunk.slots.size
    for f in range(lot.size):
        marked[lot[f]], nth[lot[f]], counts[f] = True, f, 0
    for e in range(count):
        ends, at = joints[slots[e], ENDS], joints[slots[e], TARGETS]
        if ends < 0:
            for f in range(lot.size):
                hits[f * count + counts[f], ARRIVAL], hits[f * count + counts[f], SYNAPSE] = e, who[e] * n + lot[f]
                counts[f] += 1
            continue
        to = synapses.targets[at:]
        for s in range(unsigned(row_ends[ends + who[e]]), unsigned(row_ends[ends + who[e] + 1])):
            if marked[unsigned(to[s])]:
                f = nth[to[s]]
                hits[f * count + counts[f], ARRIVAL], hits[f * count + counts[f], SYNAPSE] = e, s
                counts[f] += 1
    for f in range(lot.size):
        marked[lot[f]] = False


@inner
def receive(chunk, synapses, traces, scale, cells):
    """The synapses of a population read what they must at the arrivals of a chunk, as if all its spikes came later."""
    when, slots, who, z, risen = chunk.when, chunk.slots, chunk.who, cells.z, cells.risen
    joints, row_ends, y, sums = synapses.joints, synapses.row_ends, synapses.y, synapses.sums
    n, number = unsigned(z.size), z.dtype.type
    for e in range(when.size):
        slot, j = slots[e], who[e]
        if joints[slot, TRACES] < 0:
            continue
        rise, fall = rises(when[e], traces)
        y[joints[slot, TRACES] + j] += number(rise)
        if scale == 0:
            continue
        if e + 1 < when.size and joints[slots[e + 1], TRACES] >= 0:
            ask(slots[e + 1], who[e + 1], joints, row_ends, SUMS, sums)
        of_c, of_z, to = number(scale * rise), number(scale * traces.pre / fall), unsigned(joints[slot, SUMS])
        ends, targets = joints[slot, ENDS], synapses.targets[joints[slot, TARGETS] :]
        if ends < 0:
            row = to + unsigned(j) * n
            for i in range(n):
                sums[row + i] -= of_c * risen[i] + of_z * z[i]
            continue
        for s in range(unsigned(row_ends[ends + j]), unsigned(row_ends[ends + j + 1])):
            i = unsigned(targets[s])
            sums[to + s] -= of_c * risen[i] + of_z * z[i]


@inlined
def give_back(time, rise, traces, scale, own, chunk, synapses):
    """Synapses read traces when the chunk is over: what they must not, a spike at `time` after these arrivals, they get back.

    rise: as in `rises`; own: as in `look_up`.
    """
    joints, sums = synapses.joints, synapses.sums
    for h in range(len(own) if scale != 0 else 0):
        slot, then = chunk.slots[own[h, ARRIVAL]], chunk.when[own[h, ARRIVAL]]
        if joints[slot, TRACES] >= 0 and then < time:
            risen = rises(then, traces)
            sums[joints[slot, SUMS] + own[h, SYNAPSE]] += sums.dtype.type(
                scale * (risen[0] / rise[0] * traces.post + traces.pre * rise[1] / risen[1])
            )


@cache
def chunk_kernel(neuron: Any, exponential: bool) -> Any:
    """The kernel for one model of neurons; exponential: whether there are synaptic currents."""
    wait, adapts, raised = neuron.wait, neuron.adapts, neuron.raised
    simple = not adapts and not exponential

    @inner
    def climbs(p, to, decay, ulp):
        """Whether v, at the threshold, rises above it: τ_m d(v − v_th − θ)/dt = I + Σ currents − v_th − θ + θ τ_m/τ_a > 0.

        What currents and θ make of I − v_th counts where v can tell it from nothing: it is rounded by the fraction `ulp`.
        """
        if simple:
            return to > p.v_th
        taus, present, last, more, size = decay.taus, decay.present, decay.taus.size - 1, 0.0, abs(to) + p.v_th
        for r in range(last):
            more += present[r]
            size += abs(present[r])
        if adapts:
            more += present[last] * (p.tau_m / taus[last] - 1)
            size += present[last] * (p.tau_m / taus[last] + 1)
        return to - p.v_th + (more if abs(more) > ulp * size else 0.0) > 0

    @inner
    def crossing(p, v, to, horizon, decay, ulp):
        """Time until v meets the threshold, if nothing arrives; infinite if it does not within `horizon`.

        v beyond the threshold, where it has not been taken by a jump, is there by rounding: it spikes if it rises; if it falls,
        it was just below.
        """
        if simple:
            return wait(p, v, to)
        taus, present, sizes, constants, last = decay.taus, decay.present, decay.sizes, decay.constants, decay.taus.size - 1
        above = v - (p.v_th + present[last])
        if above >= 0 and climbs(p, to, decay, ulp):
            return 0.0
        sizes[last], constants[last], size = v - to, p.tau_m, abs(to) + p.v_th + present[last]
        for r in range(last):
            sizes[r], constants[r] = present[r] * taus[r] / (taus[r] - p.tau_m), taus[r]
            sizes[last] -= sizes[r]
            size += abs(sizes[r])
        sizes[last + 1], constants[last + 1] = -present[last], taus[last]
        if above >= 0:
            sizes[last] -= above + 8 * ulp * size
        return first_crossing(to - p.v_th, sizes, constants, horizon)

    @inner
    def drift(p, v, to, lapse, decay):
        """v after `lapse` ms without a spike, and whether v may have met the threshold meanwhile, by the bound of `glide`.

        What decays becomes `after`.
        """
        taus, present, after, last = decay.taus, decay.present, decay.after, decay.taus.size - 1
        remains, largest, bar = math.exp(-lapse / p.tau_m), to, p.v_th
        found = to + (v - to) * remains
        for r in range(last):
            stays = math.exp(-lapse / taus[r])
            after[r] = present[r] * stays
            found += present[r] * taus[r] / (taus[r] - p.tau_m) * (stays - remains)
            largest += max(present[r], after[r])
        if adapts:
            after[last] = present[last] * math.exp(-lapse / taus[last])
            bar += min(present[last], after[last])
        return found, max(v, found, v * remains + largest * (1 - remains)) >= bar

    @inner
    def fade(lapse, decay):
        """What decays goes on for `lapse` ms."""
        for r in range(decay.taus.size if adapts else decay.taus.size - 1):
            decay.present[r] *= math.exp(-lapse / decay.taus[r])

    @inlined
    def settle(p, lot, awake, v, later, begin, now, traces, cells, chunk, synapses, heard, decay, scale, listed):
        """A lot of neurons, of which the first `awake` are so from `begin` on, through the arrivals of a chunk and all their
        spikes until `now`.

        v, later (n,): at begin and at the end, −∞ of those that are then refractory. Returns how many spikes are listed.
        """
        last, count, number, until, present = decay.taus.size - 1, chunk.when.size, later.dtype.type, cells.until, decay.present
        ulp = 2.0**-23 if later.itemsize == 4 else 2.0**-52
        for r in range(last + 1):
            decay.kept[r] = math.exp((traces.base - begin) / decay.taus[r])
        for f in range(lot.size):
            i, t, h, reached, own = lot[f], begin, 0, heard.counts[f], heard.hits[f * count : (f + 1) * count]
            drive, level = float(cells.to[i]), float(v[i]) if f < awake else p.v_reset
            if not simple:
                for r in range(last):
                    present[r] = cells.currents[r, cells.first + i] * decay.kept[r]
                present[last] = cells.theta[i] * decay.kept[last]
            while True:  # ends, as every pass takes in an arrival, or leaves the interval before it by a spike, once in t_ref
                end, met = chunk.when[own[h, ARRIVAL]] if h < reached else now, False
                if t < end and not recovered(until[i], t):
                    fade(min(until[i], end) - t, decay)
                    t, level = min(until[i], end), p.v_reset
                    continue
                if t < end:
                    after, may = drift(p, level, drive, end - t, decay)
                    time = t + crossing(p, level, drive, end - t, decay, ulp) if may else np.inf
                    met = time < end
                    if met:
                        fade(time - t, decay)
                        t = time
                    else:
                        for r in range(last + 1 if not simple else 0):
                            present[r] = decay.after[r]
                        level, t = after, end
                        # Only rounding can take a crossing by drift out of the interval.
                        met = end < now and level >= p.v_th + present[last] * adapts and climbs(p, drive, decay, ulp)
                if not met:
                    if h == reached:
                        break
                    takes, before = recovered(until[i], t), level
                    while h < reached and chunk.when[own[h, ARRIVAL]] <= t:
                        slot = chunk.slots[own[h, ARRIVAL]]
                        jump = synapses.jumps[synapses.joints[slot, START] + own[h, SYNAPSE]] * synapses.strength[slot]
                        if synapses.joints[slot, CURRENT_OF] >= 0:
                            present[synapses.joints[slot, CURRENT_OF]] += jump
                        elif takes:
                            level += jump
                        h += 1
                    met = takes and level > before and level >= p.v_th + present[last] * adapts
                if met:
                    rise = rises(t, traces)
                    listed = fire(i, t, rise, traces, cells, listed)
                    give_back(t, rise, traces, scale, own[:h], chunk, synapses)
                    if adapts:
                        present[last] = raised(p, present[last])
                    level, until[i] = p.v_reset, t + p.t_ref
            if adapts:
                cells.theta[i] = number(present[last] * math.exp((now - traces.base) / decay.taus[last]))
            later[i] = number(level if recovered(until[i], now) else -np.inf)
        return listed

    @inner
    def chunks(
        p, t, now, shortest, taus, arrivals, v, later, cells, traces, synapses, asleep, found, room, heard, scale, reads, sends,
        listed,
    ):  # fmt: skip
        """A population through the arrivals of a window from t until `now`; returns how many spikes are listed.

        shortest: of all time constants but tau_m. The others as in `membranes`.
        """
        when, n, number, e, swapped = arrivals.when, cells.to.size, v.dtype.type, 0, False
        bar, decay, base = room.sums[_BAR], room.decay, traces.base
        # By the end of a chunk no jump has decayed by more than the bound on v can make up for.
        longest, held = min(p.tau_m, shortest), scale if reads else 0 * scale
        bar[:n] = number(p.v_th)
        while e < when.size or t < now:
            first, e = e, chunk_end(e, longest, arrivals, synapses, n)
            chunk = Arrivals(when[first:e], arrivals.slots[first:e], arrivals.who[first:e])
            begins, end = (when[first], when[e - 1]) if e > first else (now, now)
            if adapts:
                left = number(math.exp((base - end) / decay.taus[-1]))
                for i in range(n):
                    bar[i] = number(p.v_th) + cells.theta[i] * left
            for way in range(room.live.size):
                room.live[way] = False
            scatter(p.tau_m, taus, end, chunk, synapses, n, room)
            awake = glide(p.tau_m, taus, t, begins, end, base, v, later, cells, room, found)
            met, before = wake(asleep, cells.until, end, found, awake), listed
            most = heard.hits.shape[0] // max(e - first, 1)
            for f in range(0, met, most):
                lot = found[f : min(f + most, met)]
                look_up(lot, n, chunk, synapses, heard)
                listed = settle(p, lot, awake - f, v, later, t, end, traces, cells, chunk, synapses, heard, decay, held, listed)
            fall_asleep(asleep, cells, before, listed, end, p.t_ref)
            keep_asleep(asleep, later)
            if exponential:
                flows(taus, end - base, cells, n, room)
            if reads and e > first:
                receive(chunk, synapses, traces, scale, cells)
            if not sends:
                listed = before
            v, later, t, swapped = later, v, end, not swapped
        for i in range(n if swapped else 0):
            later[i] = v[i]
        return listed

    return chunks
