"""A population in which every arrival moves v of all neurons: dense projections of delta synapses, linear membranes.

One pass over the neurons takes in a group of four moments of arrival: v relaxes from each moment to the next, and the jumps are
added. The few neurons that may have met their threshold at any of these moments are then taken through them once more, exactly.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, always_inline, device, unsigned
from localdfa.core.spiking.refractory import enter, hold, recovered, release
from localdfa.core.spiking.traces import fire, rises

# How many moments `advance_group` takes in at once.
_GROUP = 4


class Group(NamedTuple):
    """Moments of arrival that are taken in at once. Unused entries of the group keep a factor of 1 and a jump of 0."""

    when: np.ndarray  # (4,) the moments in order, ms
    rows: np.ndarray  # (4,) where the row of jumps of each begins
    sizes: np.ndarray  # (4,) factor on that row
    decays: np.ndarray  # (5,) to which fraction distances from the target shrink since the moment before
    kept: np.ndarray  # (4,) the same in the precision of v
    rise: np.ndarray  # (4,) what the trace x gains at each moment, as in `traces.rises`
    of_accumulator: np.ndarray  # (4,) how much of C_i a synapse loses at each moment
    of_trace: np.ndarray  # (4,) how much of z_i it loses
    gained: np.ndarray  # (4,) where the sums of its row of synapses lie, −1 if they do not learn


class DenseScratch(NamedTuple):
    """Scratch arrays for a population of n neurons."""

    jump: np.ndarray  # (n,) what several arrivals of one moment add to v
    threshold: np.ndarray  # (n,) distance of the threshold from the target
    crossed: np.ndarray  # (n,) whether a neuron has met the threshold, one byte each
    eights: np.ndarray  # the same bytes, eight to a number
    group: Group


@allocating
def dense_scratch(n, kind):
    """Scratch for populations of up to n neurons, with v of this type of number."""
    eights = np.zeros((n + 7) // 8, np.uint64)
    group = Group(
        when=np.zeros(_GROUP),
        rows=np.zeros(_GROUP, np.uint64),
        sizes=np.zeros(_GROUP, kind),
        decays=np.zeros(_GROUP + 1),
        kept=np.zeros(_GROUP, kind),
        rise=np.zeros(_GROUP),
        of_accumulator=np.zeros(_GROUP, kind),
        of_trace=np.zeros(_GROUP, kind),
        gained=np.zeros(_GROUP, np.int64),
    )
    return DenseScratch(
        jump=np.zeros(n, kind),
        threshold=np.zeros(n, kind),
        crossed=eights.view(np.uint8),
        eights=eights,
        group=group,
    )


@always_inline
def relax_and_jump(distance, highest, decay, jump):
    """The distance of v from its target after it has shrunk to the fraction `decay` and jumped; and the highest it has been."""
    relaxed = distance * decay
    moved = relaxed + jump
    return moved, max(highest, max(relaxed, moved))


@always_inline
def advance_group(
    v,  # (n,) distances from the target; −∞ of a refractory neuron, which keeps it
    later,  # (n,) gets the distances after the group
    threshold,  # (n,) distance of the threshold
    group,  # Group of four moments
    jumps,  # rows of jumps, end to end
    crossed,  # (n,) gets whether the threshold was met before or after any of the jumps
):
    """All neurons through the four moments of a group, in one pass."""
    (a, b, c, d), (size_a, size_b, size_c, size_d) = four(group.rows), four(group.sizes)
    kept_a, kept_b, kept_c, kept_d = four(group.kept)
    for i in range(unsigned(v.size)):
        distance, highest = relax_and_jump(v[i], v[i], kept_a, jumps[a + i] * size_a)
        distance, highest = relax_and_jump(distance, highest, kept_b, jumps[b + i] * size_b)
        distance, highest = relax_and_jump(distance, highest, kept_c, jumps[c + i] * size_c)
        distance, highest = relax_and_jump(distance, highest, kept_d, jumps[d + i] * size_d)
        later[i], crossed[i] = distance, highest >= threshold[i]


@always_inline
def four(x):
    """The first four entries of an array, which the compiler then knows that a loop does not change."""
    return x[0], x[1], x[2], x[3]


@always_inline
def advance_moment(v, later, threshold, group, jumps, crossed):
    """All neurons through a group of one moment; arguments as in `advance_group`."""
    kept, row, size = group.kept[0], group.rows[0], group.sizes[0]
    for i in range(unsigned(v.size)):
        distance, highest = relax_and_jump(v[i], v[i], kept, jumps[row + i] * size)
        later[i], crossed[i] = distance, highest >= threshold[i]


@always_inline
def list_crossed(crossed, eights, n, candidates):
    """List those of n neurons that have met the threshold; returns how many. eights: `crossed`, eight bytes to a number."""
    count = 0
    for e in range((n + 7) // 8):
        if eights[e] != 0:
            for i in range(8 * e, 8 * e + 8):  # without a branch, which would be mispredicted at each candidate
                candidates[count] = i
                count += crossed[i]
    return count


@always_inline
def fill_group(
    group,  # Group, which gets the moments
    e,  # the first arrival
    arrivals,  # Arrivals
    synapses,  # Synapses
    n,  # neurons of the population
):
    """Put moments of one arrival each into a group, from arrival e on; returns how many."""
    when, ports, count = arrivals.when, synapses.ports, 0
    while e < when.size and count < _GROUP and (e + 1 == when.size or when[e + 1] > when[e]):
        port, at = arrivals.ports[e], arrivals.senders[e] * n
        group.when[count], group.rows[count], group.sizes[count] = when[e], ports[port].jumps + at, synapses.strength[port]
        group.gained[count] = ports[port].sums + at if ports[port].traces >= 0 else -1
        count += 1
        e += 1
    return count


@always_inline
def set_decays(group, t, count, tau_m):
    """Set how distances from the target shrink from t to the first of `count` moments, and from each to the next.

    Returns whether any shrinks to nothing, which makes NaN of −∞.
    """
    vanish = False
    for g in range(count):
        group.decays[g] = math.exp((t - group.when[g]) / tau_m)
        group.kept[g] = group.decays[g]
        vanish |= group.kept[g] == 0
        t = group.when[g]
    for g in range(count, _GROUP):
        group.kept[g], group.rows[g], group.sizes[g] = 1, 0, 0
    return vanish


@always_inline
def set_losses(group, count, traces, scale):
    """Set what synapses lose of C_i and z_i at each moment of a group; scale: of what they gain."""
    for g in range(count):
        rise = rises(group.when[g], traces)
        group.rise[g], group.of_accumulator[g], group.of_trace[g] = rise[0], scale * rise[0], scale * traces.pre / rise[1]


@always_inline
def accumulate_on_arrival(
    group,  # Group, with its losses
    first,  # the first arrival of the group
    last,  # one after its last
    at_once,  # whether all arrived in its first moment
    arrivals,  # Arrivals
    synapses,  # Synapses
    scale,  # of what synapses gain; 0 while the gate is closed
    population,  # Population
):
    """Synapses through which the spikes of a group arrived lose what they must, as if no spike had been sent meanwhile."""
    ports, y, sums = synapses.ports, synapses.pre_traces, synapses.sums
    z, accumulator = population.z, population.accumulator
    n = unsigned(z.size)
    for e in range(first, last):
        port, j, g = arrivals.ports[e], arrivals.senders[e], 0 if at_once else e - first
        if ports[port].traces < 0:
            continue
        y[ports[port].traces + j] += y.dtype.type(group.rise[g])
        row, of_c, of_z = unsigned(ports[port].sums) + unsigned(j) * n, group.of_accumulator[g], group.of_trace[g]
        for i in range(n if scale != 0 else unsigned(0)):
            sums[row + i] -= of_c * accumulator[i] + of_z * z[i]


@always_inline
def correct_traces(i, time, rise, e, group, traces, sums):
    """Arrivals before a spike of neuron i at `time` must not read it, but `accumulate_on_arrival` comes last and lets them. So
    what the first e moments of the group will read of it is added back. rise: as `traces.rises` gives it."""
    more_c, more_z = sums.dtype.type(traces.post / rise[0]), sums.dtype.type(rise[1])
    for g in range(e):
        if group.when[g] < time and group.gained[g] >= 0:
            sums[group.gained[g] + i] += group.of_accumulator[g] * more_c + group.of_trace[g] * more_z


@always_inline
def collect_jumps(jump, first, last, arrivals, synapses, n):
    """Add up in `jump` (n,) what arrivals first … last − 1, of one moment, add to v."""
    ports, jumps = synapses.ports, synapses.jumps
    for i in range(n):
        jump[i] = 0
    for e in range(first, last):
        port, j, size = arrivals.ports[e], arrivals.senders[e], synapses.strength[arrivals.ports[e]]
        row = unsigned(ports[port].jumps) + unsigned(j) * n
        for i in range(n):
            jump[i] += jumps[row + i] * size


@always_inline
def collect_jumps_online(jump, first, last, arrivals, synapses, scale, population, left):
    """As `collect_jumps`, with weights that have changed by what they have gained so far: sums + scale y_j (C_i + left z_i).

    left: edge e^(−(t−origin)(1/τ_x + 1/τ_z)). Returns what a C_i larger by 1 would add to v.
    """
    ports, jumps, y, sums = synapses.ports, synapses.jumps, synapses.pre_traces, synapses.sums
    accumulator, z = population.accumulator, population.z
    n, by_own_spikes = unsigned(z.size), scale * 0
    for i in range(n):
        jump[i] = 0
    for e in range(first, last):
        port, j, size = arrivals.ports[e], arrivals.senders[e], synapses.strength[arrivals.ports[e]]
        row = unsigned(ports[port].jumps) + unsigned(j) * n
        if ports[port].traces >= 0:
            learned = unsigned(ports[port].sums) + unsigned(j) * n
            more, held = synapses.online[port], scale * y[ports[port].traces + j]
            by_own_spikes += more * held
            for i in range(n):
                jump[i] += jumps[row + i] * size + more * (sums[learned + i] + held * (accumulator[i] + left * z[i]))
        else:
            for i in range(n):
                jump[i] += jumps[row + i] * size
    return by_own_spikes


@cache
def dense_kernel(neuron: Any, online: bool) -> Any:
    """The kernel for one model of neurons; online: whether weights change while spikes pass."""
    wait = neuron.wait

    @always_inline
    def resolve_spikes(
        p,  # parameters of the neurons
        candidates,  # the neurons that may have met their threshold, or whose refractory period ends
        awake,  # how many of them, which come first, are not refractory at t
        count,  # how many they are in all
        t,  # ms
        stop,  # the end of the group, ms
        group,  # Group
        moments,  # how many moments it has
        arrived,  # at how many of them, which come first, something arrives
        jumps,  # rows of jumps
        by_own_spikes,  # online, what a C_i larger by 1 adds to v
        left,  # online, and a z_i larger by 1 adds this fraction of it
        traces,  # Traces
        v,  # (n,) distances from the target at t; −∞ if refractory
        later,  # (n,) gets those at the end
        population,  # Population
        scale,  # of what synapses gain
        sums,  # (n_sums,)
        listed,  # how many spikes are listed
    ):
        """Take the candidates through the moments of a group, exactly; returns how many spikes are listed then."""
        z, accumulator, until = population.z, population.accumulator, population.until
        number, when, one = later.dtype.type, group.when, unsigned(1)
        for f in range(count):
            i = candidates[f]
            target, accumulator_before, z_before, e = float(population.target[i]), accumulator[i], z[i], unsigned(0)
            at, distance, decay, threshold = t, float(v[i]), group.decays[0], p.v_th - target
            if f >= awake:
                at, distance = until[i], p.v_reset - target
                while e + one < moments and not recovered(at, when[e]):  # it has recovered at the last moment
                    e += one
                at = min(at, when[e])
                decay = math.exp((at - when[e]) / p.tau_m)
            while e < moments:  # each pass goes on by a moment or by a spike, of which there is one in t_ref
                # Without arrivals v goes one way: a spike comes before the next one only if v is at threshold now or then.
                after, time = distance * decay, when[e]
                if max(distance, after) >= threshold:
                    time = min(time, at + wait(p, target + distance, target))
                if time == when[e]:
                    before = after
                    after += jumps[group.rows[e] + unsigned(i)] * group.sizes[e]
                    if online:  # its own spikes since t have changed its synapses
                        after += by_own_spikes * (accumulator[i] - accumulator_before + left * (z[i] - z_before))
                    # Where the target is at most v_th, only a jump up makes a spike: rounding takes v to the threshold, too.
                    if after < threshold or e == arrived or (threshold >= 0 and after <= before):
                        at, distance, e = time, after, e + one
                        decay = group.decays[e]
                        continue
                rise = rises(time, traces)
                listed = fire(i, time, rise, traces.post, population, listed)
                if scale != 0:
                    correct_traces(i, time, rise, e, group, traces, sums)
                at, distance = time + p.t_ref, p.v_reset - target
                until[i] = at
                while e < moments and not recovered(at, when[e]):
                    e += one
                if e < moments:
                    at = min(at, when[e])
                    decay = math.exp((at - when[e]) / p.tau_m)
            later[i] = number(distance if recovered(at, stop) else -np.inf)
        return listed

    @device
    def dense(
        p,  # parameters of the neurons
        t,  # begin of the window, ms
        now,  # its end, ms
        arrivals,  # Arrivals: what comes in the window
        v,  # (n,) membranes at t, and then at `now`; −∞ of refractory neurons
        later,  # (n,) scratch for membranes
        population,  # Population
        traces,  # Traces
        synapses,  # Synapses
        ring,  # refractory.Ring
        candidates,  # (n + 1,) scratch for a list of neurons
        scratch,  # DenseScratch
        scale,  # of what synapses gain; 0 while the gate is closed
        reads,  # whether synapses follow the traces
        sends,  # whether spikes are listed
        listed,  # how many spikes are listed so far
    ):
        """A population through the arrivals of a window; returns how many spikes are listed then.

        Meanwhile v is kept as its distance from the target.
        """
        when, jumps, group, n, number = arrivals.when, synapses.jumps, scratch.group, population.target.size, v.dtype.type
        threshold, swapped, e, left = scratch.threshold, False, 0, number(0)
        for i in range(unsigned(n)):
            v[i] -= population.target[i]
            threshold[i] = number(p.v_th) - population.target[i]
        scratch.eights[(n - 1) // 8] = 0  # what a larger population left there
        while e < when.size or t < now:
            # A group is some moments of one arrival each, which may end with `now`, or one moment of several arrivals.
            first, by_own_spikes, before = e, number(0), listed
            arrived = 0 if online else fill_group(group, e, arrivals, synapses, n)
            e += arrived
            at_once = arrived == 0 and e < when.size
            if at_once:
                group.when[0], group.rows[0], group.sizes[0], group.gained[0], arrived = when[e], 0, 1, -1, 1
                e += 1
                while e < when.size and when[e] == group.when[0]:
                    e += 1
                if online:
                    since = traces.origin - group.when[0]
                    left = number(traces.edge * math.exp(since * (1 / traces.tau_z + 1 / traces.tau_x)))
                    by_own_spikes = collect_jumps_online(
                        scratch.jump, first, e, arrivals, synapses, number(scale), population, left
                    )
                else:
                    collect_jumps(scratch.jump, first, e, arrivals, synapses, unsigned(n))
            moments = arrived
            if e == when.size and not at_once and moments < _GROUP:
                group.when[moments], group.rows[moments], group.sizes[moments] = now, 0, 0
                moments += 1
            end, rows = group.when[moments - 1], scratch.jump if at_once else jumps
            vanish = set_decays(group, t, moments, p.tau_m)
            if reads:
                set_losses(group, arrived, traces, scale)
            if moments == 1:
                advance_moment(v, later, threshold, group, rows, scratch.crossed)
            else:
                advance_group(v, later, threshold, group, jumps, scratch.crossed)
            awake = list_crossed(scratch.crossed, scratch.eights, n, candidates)
            count = release(ring, population.until, end, candidates, awake)
            listed = resolve_spikes(
                p, candidates, awake, count, t, end, group, unsigned(moments), unsigned(arrived), rows, by_own_spikes, left,
                traces, v, later, population, scale, synapses.sums, listed,
            )  # fmt: skip
            enter(ring, population, before, listed, end, p.t_ref)
            if vanish:
                hold(ring, later)
            if reads:
                accumulate_on_arrival(group, first, e, at_once, arrivals, synapses, scale, population)
            if not sends:
                listed = before
            v, later, t, swapped = later, v, end, not swapped
        for i in range(unsigned(n)):
            v[i] += population.target[i]
        for i in range(unsigned(n if swapped else 0)):
            later[i] = v[i]
        return listed

    return dense
