"""A population in chunks of arrivals: sparse projections, synaptic currents, thresholds that adapt; linear membranes.

A *chunk* of arrivals is taken in at once. What they leave at its end is a sum, because v, the currents and the traces are
linear; one pass over the neurons adds it. An upper bound on v, from the largest v without arrivals and the sum of what raises
it, rules out most crossings. The few neurons that could have reached their threshold are taken through the arrivals one by one,
exactly (`resolving`).
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, always_inline, device, unsigned
from localdfa.core.pairs import add_pair
from localdfa.core.prefetch import LINE, prefetch
from localdfa.core.spiking.noise import (
    Events,
    close_events,
    draw_until,
    events_scratch,
    last_until,
    look_up_events,
    open_events,
    scatter_noise_kernel,
)
from localdfa.core.spiking.queues import Arrivals
from localdfa.core.spiking.refractory import enter, enter_each, hold, release
from localdfa.core.spiking.resolving import Decay, Reached, empty_decay, empty_reached, look_up_arrivals, resolve_kernel
from localdfa.core.spiking.traces import rises

# A chunk has at most this many synapses a neuron: with more, bounds on v rule out too few; with fewer, there are too many
# passes over the neurons.
_SHARE = 3.0
# Where the rows of so many arrivals ahead end is asked for before it is needed.
_AHEAD = 16
# `upper_bound_kernel` looks for candidates in blocks of so many neurons, and works on so many at a time that they stay in the
# cache.
_BLOCK = unsigned(32)
_TILE = unsigned(512)


class SparseScratch(NamedTuple):
    """Scratch arrays for a population of n neurons; all sums are 0 between chunks."""

    jump: np.ndarray  # (n,) what all that moves v adds to it by the end of a chunk
    rise: np.ndarray  # (n,) what raises v meanwhile
    lift: np.ndarray  # (n,) what raises its target
    threshold: np.ndarray  # (n,) the lowest threshold
    kept: np.ndarray  # (n,) the fraction to which v shrinks by the end, where time constants differ
    steps: np.ndarray  # (2, n) what is left at the end of jumps of v; up and down apart
    moves: np.ndarray  # (R, 2, 2 n) what is left at the end of jumps of each current, and what they have added to v, side by
    # side for each neuron; up and down apart
    gains: np.ndarray  # (R, n) what is left of all jumps of each current
    moved: np.ndarray  # (R + 1, 2) whether there are any of these jumps: of v, then of each current
    reached: Reached
    decay: Decay
    events: Events


@allocating
def sparse_scratch(n, taus, kind):
    """Scratch for populations of up to n neurons, with v of this type of number.

    taus: time constants of the synaptic currents, ms. That of an adapting threshold is the population's own.
    """
    r = taus.size
    return SparseScratch(
        jump=np.zeros(n, kind),
        rise=np.zeros(n, kind),
        lift=np.zeros(n, kind),
        threshold=np.zeros(n, kind),
        kept=np.zeros(n, kind),
        steps=np.zeros((2, n), kind),
        moves=np.zeros((r, 2, 2 * n), kind),
        gains=np.zeros((r, n), kind),
        moved=np.zeros((r + 1, 2), np.bool_),
        reached=empty_reached(n),
        decay=empty_decay(taus),
        events=events_scratch(n),
    )


@device
def response(tau, tau_m, elapsed):
    """v some ms after a synaptic current with time constant tau was set to 1, from v = 0 and towards 0."""
    return tau / (tau - tau_m) * (math.exp(-elapsed / tau) - math.exp(-elapsed / tau_m))


@device
def chunk_end(
    first,  # the chunk's first arrival
    longest,  # how long it may last, ms
    arrivals,  # Arrivals
    synapses,  # Synapses
    n,  # neurons of the population
):
    """One after the last arrival of a chunk. It has all arrivals of its last moment, but none that comes `longest` ms or more
    after the first, or after `_SHARE` n synapses."""
    when, ports, row_ends, e, passed = arrivals.when, synapses.ports, synapses.row_ends, first, 0.0
    while e < when.size and (e == first or when[e] == when[e - 1] or (when[e] - when[first] < longest and passed < _SHARE * n)):
        if e + _AHEAD < when.size:
            prefetch(row_ends, ports[arrivals.ports[e + _AHEAD]].rows + arrivals.senders[e + _AHEAD])
        rows, j = ports[arrivals.ports[e]].rows, arrivals.senders[e]
        passed += _SHARE * n if rows < 0 else row_ends[rows + j + 1] - row_ends[rows + j]
        e += 1
    return e


@device
def noisy_end(
    first,  # the chunk's first arrival
    last,  # one after its last
    stop,  # until when it may last, ms
    arrivals,  # Arrivals
    synapses,  # Synapses
):
    """When a chunk ends, ms, where something may come after its last arrival: there is to be no time after dense rows."""
    when, e = arrivals.when, last
    if last < when.size and when[last] <= stop:
        return when[last - 1]
    while e > first and when[e - 1] == when[last - 1]:
        e -= 1
        if synapses.ports[arrivals.ports[e]].rows < 0:
            return when[e]
    return stop


@always_inline
def prefetch_row(
    port,  # a port's entry in the table of ports
    j,  # its presynaptic neuron
    row_ends,  # as in `tables.Tables`
    begin,  # where the port's synapses begin in x
    x,  # an array of synapses
):
    """Ask the memory for what x holds of the synapses of neuron j, if its row is sparse."""
    if port.rows >= 0:
        for s in range(row_ends[port.rows + j], row_ends[port.rows + j + 1], LINE // x.itemsize):
            prefetch(x, begin + s)


@always_inline
def prefetch_synapses(
    e,  # an arrival, or one after the last
    arrivals,  # Arrivals
    tables,  # Synapses, or Tables, which have these arrays as well
):
    """Ask the memory for targets and jumps of the synapses that arrival e comes through, if there is one."""
    if e < arrivals.when.size:
        port, j = tables.ports[arrivals.ports[e]], arrivals.senders[e]
        prefetch_row(port, j, tables.row_ends, port.targets, tables.targets)
        if port.stride > 0:
            prefetch_row(port, j, tables.row_ends, port.jumps, tables.jumps)


@cache
def scatter_kernel(each: bool) -> Any:
    """What scatters the arrivals of a chunk; each: whether neurons have time constants of their own."""

    @device
    def scatter(
        tau_m,  # of the membranes, ms
        tau_ms,  # (n,) of each of them where they differ
        taus,  # (R,) of the currents, ms
        now,  # end of the chunk, ms
        chunk,  # Arrivals of the chunk
        synapses,  # Synapses
        n,  # neurons of the population
        scratch,  # SparseScratch, of which all sums are 0; gets what the arrivals leave
    ):
        """What the arrivals of a chunk leave at its end: `upper_bound` adds it to v, and `take_in_currents` to the currents."""
        when, ports, senders, steps, moves = chunk.when, chunk.ports, chunk.senders, scratch.steps, scratch.moves
        row_ends, targets, jumps, strength = synapses.row_ends, synapses.targets, synapses.jumps, synapses.strength
        number, none, up, down, two = jumps.dtype.type, jumps.dtype.type(0), unsigned(0), unsigned(1), unsigned(2)
        for e in range(when.size):
            port, j, elapsed, size = synapses.ports[ports[e]], senders[e], now - when[e], strength[ports[e]]
            r, moved, row = port.current, scratch.moved[port.current + 1], jumps[port.jumps :]
            if port.rows < 0:  # the chunk ends with it
                row = row[j * n : (j + 1) * n]
                for i in range(unsigned(n)):
                    if r < 0:
                        steps[up, i] += max(row[i] * size, none)
                        steps[down, i] += min(row[i] * size, none)
                    else:
                        moves[r, up, two * i] += max(row[i] * size, none)
                        moves[r, down, two * i] += min(row[i] * size, none)
                moved[up] = moved[down] = True
                continue
            remains = number(math.exp(-elapsed / (tau_m if r < 0 else taus[r])))
            adds = number(0.0 if r < 0 else response(taus[r], tau_m, elapsed))
            first, last = unsigned(row_ends[port.rows + j]), unsigned(row_ends[port.rows + j + 1])
            to, falls = targets[port.targets :], unsigned(0)
            prefetch_synapses(e + 1, chunk, synapses)
            if each:
                for s in range(first, last):
                    i, jump = unsigned(to[s]), row[s * unsigned(port.stride)] * size
                    way = up if jump >= 0 else down
                    if r < 0:
                        steps[way, i] += jump * number(math.exp(-elapsed / tau_ms[i]))
                    else:
                        add_pair(moves[r, way], two * i, jump, remains, number(response(taus[r], tau_ms[i], elapsed)))
                    falls += way
            elif port.stride == 0:  # one jump for all, without reading them
                jump = row[0] * size
                way = up if jump >= 0 else down
                if r < 0:
                    of_v, jump = steps[way], jump * remains
                    for s in range(first, last):
                        of_v[unsigned(to[s])] += jump
                else:
                    of_current = moves[r, way]
                    for s in range(first, last):
                        add_pair(of_current, two * unsigned(to[s]), jump, remains, adds)
                falls = way * (last - first)
            else:
                for s in range(first, last):
                    i, jump = unsigned(to[s]), row[s] * size  # size changes the sign of what error spikes do
                    way = up if jump >= 0 else down  # without a branch, which would be mispredicted
                    if r < 0:
                        steps[way, i] += jump * remains
                    else:
                        add_pair(moves[r, way], two * i, jump, remains, adds)
                    falls += way
            moved[up] |= falls < last - first
            moved[down] |= falls > 0

    return scatter


@cache
def upper_bound_kernel(each: bool) -> Any:
    """What carries v to the end of a chunk, and bounds it; each: whether neurons have time constants of their own."""

    @device
    def upper_bound(
        tau_m,  # of the membranes, ms; the shortest where they differ
        tau_ms,  # (n,) of each of them where they differ
        taus,  # (R,) of the currents, ms
        t,  # begin of the chunk, ms
        first_at,  # its first arrival, ms
        now,  # its end, ms
        origin,  # trace origin, ms
        v,  # (n,) membranes at t
        later,  # (n,) gets those at the end
        population,  # Population
        scratch,  # SparseScratch after `scatter_kernel`
        candidates,  # gets the neurons that could have met their threshold
    ):
        """Carry v to the end of a chunk; returns how many neurons could have met their threshold on the way.

        Meanwhile v stays below the larger of its first value and what it would relax to with the largest target, and all jumps
        up on top. The largest value of a current is its first if that is positive, else its last, and all of its jumps up on
        top. Since the first arrival, at first_at, these jumps have decayed; multiplying by that factor gives an upper bound on
        their value in between. The loops are over few arrays each, because LLVM does not vectorise them otherwise.
        """
        to, currents, a, moves, moved = population.target, population.currents, population.first, scratch.moves, scratch.moved
        ups, downs, two = scratch.steps[0], scratch.steps[1], unsigned(2)
        jump, rise, lift, threshold, kept = scratch.jump, scratch.rise, scratch.lift, scratch.threshold, scratch.kept
        n, number = unsigned(v.size), v.dtype.type
        remains, one, none, count, first = number(math.exp((t - now) / tau_m)), number(1), number(0), 0, unsigned(0)
        while first < n:
            stop = min(first + _TILE, n)
            more = number(math.exp((now - first_at) / tau_m))
            if each:
                for i in range(first, stop):
                    kept[i] = number(math.exp((t - now) / tau_ms[i]))
            for i in range(first, stop):
                rise[i] = none
            for i in range(first, stop if moved[0, 0] or moved[0, 1] else first):
                rise[i] = ups[i] * more
                jump[i] += ups[i] + downs[i]
                ups[i], downs[i] = none, none
            for r in range(taus.size):
                present, adds = number(math.exp((origin - t) / taus[r])), number(response(taus[r], tau_m, now - t))
                row, left = currents[r, a:], number(math.exp((t - now) / taus[r]))
                up, down, gain = moves[r, 0], moves[r, 1], scratch.gains[r]
                more = number(math.exp((now - first_at) / taus[r]))
                for i in range(first, stop):
                    current = row[i] * present
                    if each:
                        adds = number(response(taus[r], tau_ms[i], now - t))
                    jump[i] += current * adds
                    lift[i] += max(current, current * left)
                for i in range(first, stop if moved[r + 1, 0] else first):
                    left_over, added = up[two * i], up[two * i + unsigned(1)]
                    up[two * i], up[two * i + unsigned(1)] = none, none
                    lift[i] += left_over * more
                    gain[i] += left_over
                    jump[i] += added
                for i in range(first, stop if moved[r + 1, 1] else first):
                    left_over, added = down[two * i], down[two * i + unsigned(1)]
                    down[two * i], down[two * i + unsigned(1)] = none, none
                    gain[i] += left_over
                    jump[i] += added
            for i in range(first, stop):
                if each:
                    remains = kept[i]
                rise[i] += max(v[i], v[i] * remains + (to[i] + lift[i]) * (one - remains)) - threshold[i]
            for i in range(first, stop):
                if each:
                    remains = kept[i]
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
                            candidates[count] = i
                            count += 1
                first = end
        return count

    return upper_bound


@device
def take_in_currents(
    taus,  # (R,) of the currents, ms
    apart,  # since the trace origin, ms
    population,  # Population
    n,  # its neurons
    scratch,  # SparseScratch after `upper_bound_kernel`
):
    """Add what a chunk leaves to the synaptic currents."""
    number, moved = scratch.gains.dtype.type, scratch.moved
    for r in range(taus.size):
        rise, row, gain = number(math.exp(apart / taus[r])), population.currents[r, population.first :], scratch.gains[r]
        for i in range(unsigned(n if moved[r + 1, 0] or moved[r + 1, 1] else 0)):
            row[i] += gain[i] * rise
            gain[i] = number(0)


@device
def accumulate_on_arrival(
    chunk,  # Arrivals of the chunk
    synapses,  # Synapses
    traces,  # Traces
    scale,  # of what synapses gain; 0 while the gate is closed
    population,  # Population
):
    """Synapses lose what they must at the arrivals of a chunk, as if all its spikes were sent later."""
    when, ports, senders, z, accumulator = chunk.when, chunk.ports, chunk.senders, population.z, population.accumulator
    row_ends, y, sums = synapses.row_ends, synapses.pre_traces, synapses.sums
    n, number = unsigned(z.size), z.dtype.type
    for e in range(when.size):
        port, j = synapses.ports[ports[e]], senders[e]
        if port.traces < 0:
            continue
        rise, fall = rises(when[e], traces)
        y[port.traces + j] += number(rise)
        if scale == 0:
            continue
        if e + 1 < when.size and synapses.ports[ports[e + 1]].traces >= 0:
            following = synapses.ports[ports[e + 1]]
            prefetch_row(following, senders[e + 1], row_ends, following.sums, sums)
        of_c, of_z, to = number(scale * rise), number(scale * traces.pre / fall), unsigned(port.sums)
        if port.rows < 0:
            row = to + unsigned(j) * n
            for i in range(n):
                sums[row + i] -= of_c * accumulator[i] + of_z * z[i]
            continue
        targets = synapses.targets[port.targets :]
        for s in range(unsigned(row_ends[port.rows + j]), unsigned(row_ends[port.rows + j + 1])):
            i = unsigned(targets[s])
            sums[to + s] -= of_c * accumulator[i] + of_z * z[i]


@cache
def sparse_kernel(neuron: Any, exponential: bool, noisy: bool, varied: tuple[str, ...]) -> Any:
    """The kernel for one model of neurons.

    exponential: whether there are synaptic currents; noisy: whether there is `noise.Noise`; varied: which parameters differ
    from neuron to neuron.
    """
    each_tau, each_threshold, each_period = "tau_m" in varied, "v_th" in varied, "t_ref" in varied
    of_tau, of_threshold, of_period = (neuron._fields.index(name) for name in ("tau_m", "v_th", "t_ref"))
    scatter, scatter_noise, upper_bound = scatter_kernel(each_tau), scatter_noise_kernel(each_tau), upper_bound_kernel(each_tau)
    resolve_spikes, adapts = resolve_kernel(neuron, exponential, noisy, varied), neuron.adapts

    @device
    def sparse(
        p,  # parameters of the neurons; the least where they differ
        rows,  # (n, F) those of each where they differ
        t,  # begin of the window, ms
        now,  # its end, ms
        shortest,  # the shortest time constant but tau_m, ms
        taus,  # (R,) of the synaptic currents, ms
        arrivals,  # Arrivals: what comes in the window
        v,  # (n,) membranes at t, and then at `now`; −∞ of refractory neurons
        later,  # (n,) scratch for membranes
        population,  # Population
        traces,  # Traces
        synapses,  # Synapses
        ring,  # refractory.Ring
        candidates,  # (n + 1,) scratch for a list of neurons
        scratch,  # SparseScratch
        reached,  # Reached, with room for all arrivals
        k,  # the population
        noise,  # Noise, or None without
        scale,  # of what synapses gain; 0 while the gate is closed
        reads,  # whether synapses follow the traces
        sends,  # whether spikes are listed
        listed,  # how many spikes are listed so far
    ):
        """A population through the arrivals of a window; returns how many spikes are listed then."""
        when, n, number, e, swapped = arrivals.when, population.target.size, v.dtype.type, 0, False
        threshold, decay, origin = scratch.threshold, scratch.decay, traces.origin
        # By the end of a chunk no jump has decayed by more than the bound on v can make up for.
        longest, gains = min(p.tau_m, shortest), scale if reads else 0 * scale
        threshold[:n] = number(p.v_th)
        if each_threshold:
            for i in range(n):
                threshold[i] = number(rows[i, of_threshold])
        tau_ms = rows[:, of_tau] if each_tau else None
        events = scratch.events
        if noisy:
            open_events(k, noise, events)
        while e < when.size or t < now:
            first, e = e, chunk_end(e, longest, arrivals, synapses, n)
            if noisy:  # it comes at any time, and its events are no arrivals: a chunk lasts for some time at most
                stop = draw_until(k, min(now, t + min(longest, noise.longest[k])), noise, events)
                while e > first and when[e - 1] > stop:
                    e -= 1
                begins, end = t, noisy_end(first, e, stop, arrivals, synapses)
            else:
                begins, end = (when[first], when[e - 1]) if e > first else (now, now)
            chunk = Arrivals(when[first:e], arrivals.ports[first:e], arrivals.senders[first:e])
            if adapts:
                left = number(math.exp((origin - end) / decay.taus[-1]))
                for i in range(n):
                    if each_threshold:
                        threshold[i] = number(rows[i, of_threshold]) + population.theta[i] * left
                    else:
                        threshold[i] = number(p.v_th) + population.theta[i] * left
            for r in range(scratch.moved.shape[0]):
                scratch.moved[r, 0] = scratch.moved[r, 1] = False
            scatter(p.tau_m, tau_ms, taus, end, chunk, synapses, n, scratch)
            last = 0
            if noisy:
                last = last_until(end, events)
                scatter_noise(k, p.tau_m, tau_ms, taus, end, n, last, noise, events, scratch)
            awake = upper_bound(p.tau_m, tau_ms, taus, t, begins, end, origin, v, later, population, scratch, candidates)
            count, before = release(ring, population.until, end, candidates, awake), listed
            f = 0
            while f < count:
                some = candidates[f : f + look_up_arrivals(candidates[f:count], n, chunk, synapses, reached)]
                if noisy:
                    look_up_events(some, n, last, events, reached.marked, reached.nth)
                listed = resolve_spikes(
                    p, rows, some, awake - f, v, later, t, end, traces, population, chunk, synapses, reached, decay, k, noise,
                    events, gains, listed,
                )  # fmt: skip
                f += some.size
            if noisy:
                events.ends[0] = last
            if each_period:
                enter_each(ring, population, before, listed, end, rows[:, of_period])
            else:
                enter(ring, population, before, listed, end, p.t_ref)
            hold(ring, later)
            if exponential:
                take_in_currents(taus, end - origin, population, n, scratch)
            if reads and e > first:
                accumulate_on_arrival(chunk, synapses, traces, scale, population)
            if not sends:
                listed = before
            v, later, t, swapped = later, v, end, not swapped
        if noisy:
            close_events(k, noise, events)
        for i in range(n if swapped else 0):
            later[i] = v[i]
        return listed

    return sparse
