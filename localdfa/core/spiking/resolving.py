"""Candidates of a population, neurons that could meet their threshold, taken through the arrivals of a chunk one by one.

For linear membranes, with synaptic currents and thresholds that adapt. Who calls has ruled out all other neurons by an upper
bound on v.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, always_inline, device, kernel, unsigned
from localdfa.core.spiking.crossing import first_crossing
from localdfa.core.spiking.noise import take_events
from localdfa.core.spiking.parameters import parameters_of
from localdfa.core.spiking.refractory import recovered
from localdfa.core.spiking.traces import fire, rises

# There is room for at least so many (arrival, neuron) pairs: candidates are looked up in lists that have no more.
PAIRS = 2**14


class Reached(NamedTuple):
    """Which arrivals of a chunk reach the candidates of a list, and through which synapses; room for m such pairs."""

    marked: np.ndarray  # (n,) whether a neuron is in the list
    nth: np.ndarray  # (n,) where it stands there
    ends: np.ndarray  # (n + 1,) the pairs of candidate f are those from ends[f] to ends[f + 1] − 1
    arrivals: np.ndarray  # (m,) which arrivals, by candidate
    synapses: np.ndarray  # (m,) through which synapse of the port each of them comes
    found: np.ndarray  # (3, m) pairs as they are found: candidate, arrival, synapse


class Decay(NamedTuple):
    """What decays in one neuron besides v: R synaptic currents, and last by how much its threshold is raised."""

    taus: np.ndarray  # (R + 1,) time constants, ms
    present: np.ndarray  # (R + 1,) values now
    after: np.ndarray  # (R + 1,) values at another moment
    kept: np.ndarray  # (R + 1,) to which fraction they have decayed since the origin when a chunk begins
    sizes: np.ndarray  # (R + 2,) terms of v as in `crossing.first_crossing`
    constants: np.ndarray  # (R + 2,) their time constants, ms


@allocating
def empty_reached(n):
    """Room for candidates among up to n neurons."""
    return Reached(
        marked=np.zeros(n, np.bool_),
        nth=np.zeros(n, np.int64),
        ends=np.zeros(n + 1, np.int64),
        arrivals=np.empty(PAIRS, np.int64),
        synapses=np.empty(PAIRS, np.int64),
        found=np.empty((3, PAIRS), np.int64),
    )


@allocating
def empty_decay(taus):
    """Room for R synaptic currents with these time constants, ms; that of an adapting threshold is the population's own."""
    r = taus.size
    decay = Decay(
        taus=np.empty(r + 1),
        present=np.zeros(r + 1),
        after=np.zeros(r + 1),
        kept=np.zeros(r + 1),
        sizes=np.zeros(r + 2),
        constants=np.zeros(r + 2),
    )
    for e in range(r):
        decay.taus[e] = taus[e]
    decay.taus[r] = np.inf
    return decay


@allocating
def with_room(reached, count):
    """The same with room for all that `count` arrivals say of a list of one candidate."""
    return Reached(
        marked=reached.marked,
        nth=reached.nth,
        ends=reached.ends,
        arrivals=np.empty(count, np.int64),
        synapses=np.empty(count, np.int64),
        found=np.empty((3, count), np.int64),
    )


@kernel
def look_up_arrivals(
    candidates,  # a list of neurons
    n,  # neurons of the population
    chunk,  # Arrivals of the chunk
    synapses,  # Synapses
    reached,  # Reached, with room for all that the arrivals say of one neuron; gets what is found
):
    """Which arrivals of a chunk reach the candidates of a list, and through which synapses; returns of how many of the
    candidates, which come first, it is said, because there is no room for more.

    A row of targets is read to its end: to search it for a few neurons takes longer, as it is not near.
    """
    size, count = candidates.size, -1
    while count < 0:
        some = candidates[:size]
        for f in range(size):
            reached.marked[some[f]], reached.nth[some[f]] = True, f
        count = _find_pairs(some, n, chunk, synapses, reached)
        for f in range(size):
            reached.marked[some[f]] = False
        if count < 0:
            size = (size + 1) // 2
    found, ends = reached.found, reached.ends
    ends[: size + 1] = 0
    for h in range(count):
        ends[found[0, h] + 1] += 1
    for f in range(size):
        ends[f + 1] += ends[f]
    for h in range(count - 1, -1, -1):  # from behind, so that each end moves to where its pairs begin
        f = found[0, h] + 1
        ends[f] -= 1
        reached.arrivals[ends[f]], reached.synapses[ends[f]] = found[1, h], found[2, h]
    for f in range(size):
        ends[f] = ends[f + 1]
    ends[size] = count
    return size


@device
def _find_pairs(candidates, n, chunk, synapses, reached):
    """Put the pairs of candidates, which are marked, into `reached.found`; returns how many there are, −1 without room."""
    marked, nth, found, count, room = reached.marked, reached.nth, reached.found, 0, reached.found.shape[1]
    for e in range(chunk.ports.size):
        port, j = synapses.ports[chunk.ports[e]], chunk.senders[e]
        if port.rows < 0:
            if count + candidates.size > room:
                return -1
            for f in range(candidates.size):
                found[0, count], found[1, count], found[2, count] = f, e, j * n + candidates[f]
                count += 1
            continue
        to = synapses.targets[port.targets :]
        for s in range(unsigned(synapses.row_ends[port.rows + j]), unsigned(synapses.row_ends[port.rows + j + 1])):
            if marked[unsigned(to[s])]:
                if count == room:
                    return -1
                found[0, count], found[1, count], found[2, count] = nth[to[s]], e, s
                count += 1
    return count


@always_inline
def correct_traces(
    time,  # of the spike, ms
    rise,  # as `traces.rises` gives it
    traces,  # Traces
    scale,  # of what synapses gain
    arrivals,  # those arrivals of the chunk that have reached the neuron so far
    through,  # and through which synapses
    chunk,  # Arrivals of the chunk
    synapses,  # Synapses
):
    """Arrivals before a spike must not read it, but `accumulate_on_arrival` comes last and lets them. So what they will read of
    it is added back."""
    ports, sums = synapses.ports, synapses.sums
    for h in range(len(arrivals) if scale != 0 else 0):
        port, then = chunk.ports[arrivals[h]], chunk.when[arrivals[h]]
        if ports[port].traces >= 0 and then < time:
            risen = rises(then, traces)
            sums[ports[port].sums + through[h]] += sums.dtype.type(
                scale * (risen[0] / rise[0] * traces.post + traces.pre * rise[1] / risen[1])
            )


@cache
def resolve_kernel(neuron: Any, exponential: bool, noisy: bool, varied: tuple[str, ...]) -> Any:
    """What takes candidates through a chunk, for one model of neurons; arguments as of `sparse.sparse_kernel`."""
    of_one, wait, adapts, raised = parameters_of(neuron, varied), neuron.wait, neuron.adapts, neuron.raised
    simple = not adapts and not exponential

    @device
    def climbs(p, target, decay, ulp):
        """Whether v, at the threshold, rises above it: τ_m d(v − v_th − θ)/dt = I + Σ currents − v_th − θ + θ τ_m/τ_a > 0.

        What currents and θ add to I − v_th counts where v can tell it from nothing: v is rounded by the fraction `ulp`.
        """
        if simple:
            return target > p.v_th
        taus, present, last, more, size = decay.taus, decay.present, decay.taus.size - 1, 0.0, abs(target) + p.v_th
        for r in range(last):
            more += present[r]
            size += abs(present[r])
        if adapts:
            more += present[last] * (p.tau_m / taus[last] - 1)
            size += present[last] * (p.tau_m / taus[last] + 1)
        return target - p.v_th + (more if abs(more) > ulp * size else 0.0) > 0

    @device
    def crossing(p, v, target, horizon, decay, ulp):
        """Time until v meets the threshold, if nothing arrives; infinite if it does not within `horizon`.

        If v is beyond the threshold without a jump, rounding has taken it there. It spikes if it rises; if it falls, it was
        just below.
        """
        if simple:
            return wait(p, v, target)
        taus, present, sizes, constants, last = decay.taus, decay.present, decay.sizes, decay.constants, decay.taus.size - 1
        above = v - (p.v_th + present[last])
        if above >= 0 and climbs(p, target, decay, ulp):
            return 0.0
        sizes[last], constants[last], size = v - target, p.tau_m, abs(target) + p.v_th + present[last]
        for r in range(last):
            sizes[r], constants[r] = present[r] * taus[r] / (taus[r] - p.tau_m), taus[r]
            sizes[last] -= sizes[r]
            size += abs(sizes[r])
        sizes[last + 1], constants[last + 1] = -present[last], taus[last]
        if above >= 0:
            sizes[last] -= above + 8 * ulp * size
        return first_crossing(target - p.v_th, sizes, constants, horizon)

    @device
    def drift(p, v, target, elapsed, decay):
        """v after some ms without a spike, and whether it may have met the threshold, by the bound of `upper_bound_kernel`.

        What decays is put into `decay.after`.
        """
        taus, present, after, last = decay.taus, decay.present, decay.after, decay.taus.size - 1
        remains, largest, threshold = math.exp(-elapsed / p.tau_m), target, p.v_th
        relaxed = target + (v - target) * remains
        for r in range(last):
            left = math.exp(-elapsed / taus[r])
            after[r] = present[r] * left
            relaxed += present[r] * taus[r] / (taus[r] - p.tau_m) * (left - remains)
            largest += max(present[r], after[r])
        if adapts:
            after[last] = present[last] * math.exp(-elapsed / taus[last])
            threshold += min(present[last], after[last])
        return relaxed, max(v, relaxed, v * remains + largest * (1 - remains)) >= threshold

    @device
    def fade(elapsed, decay):
        """What decays goes on for some ms."""
        for r in range(decay.taus.size if adapts else decay.taus.size - 1):
            decay.present[r] *= math.exp(-elapsed / decay.taus[r])

    @always_inline
    def resolve_spikes(
        p,  # parameters of the neurons
        rows,  # (n, F) those of each where they differ
        candidates,  # a list of neurons
        awake,  # how many of them, which come first, are not refractory at the begin
        v,  # (n,) membranes at the begin; −∞ if refractory
        later,  # (n,) gets those at the end
        begin,  # of the chunk, ms
        now,  # its end, ms
        traces,  # Traces
        population,  # Population
        chunk,  # Arrivals of the chunk
        synapses,  # Synapses
        reached,  # Reached, as `look_up_arrivals` leaves it
        decay,  # Decay: scratch
        k,  # the population
        noise,  # Noise, or None without
        events,  # Events
        scale,  # of what synapses gain
        listed,  # how many spikes are listed
    ):
        """Take a list of candidates through the arrivals of a chunk and all their spikes; returns how many are listed then."""
        last, number, ends = decay.taus.size - 1, later.dtype.type, reached.ends
        until, present = population.until, decay.present
        ulp = 2.0**-23 if later.itemsize == 4 else 2.0**-52
        for r in range(last + 1):
            decay.kept[r] = math.exp((traces.origin - begin) / decay.taus[r])
        for f in range(candidates.size):
            i, t, h, of_neuron = candidates[f], begin, 0, ends[f + 1] - ends[f]
            arrivals, through = reached.arrivals[ends[f] : ends[f + 1]], reached.synapses[ends[f] : ends[f + 1]]
            own = of_one(p, rows, i)
            target, level = float(population.target[i]), float(v[i]) if f < awake else own.v_reset
            if not simple:
                for r in range(last):
                    present[r] = population.currents[r, population.first + i] * decay.kept[r]
                present[last] = population.theta[i] * decay.kept[last]
            nth, upcoming = -1, np.inf
            if noisy:
                nth = events.opening[f]
                upcoming = events.time[nth] if nth >= 0 else np.inf
            while True:  # each pass takes in an arrival, or leaves the interval before it by a spike, once in t_ref
                end, met = chunk.when[arrivals[h]] if h < of_neuron else now, False
                if noisy:
                    end = min(end, upcoming)
                if t < end and not recovered(until[i], t):
                    fade(min(until[i], end) - t, decay)
                    t, level = min(until[i], end), own.v_reset
                    continue
                if t < end:
                    after, may = drift(own, level, target, end - t, decay)
                    time = t + crossing(own, level, target, end - t, decay, ulp) if may else np.inf
                    met = time < end
                    if met:
                        fade(time - t, decay)
                        t = time
                    else:
                        for r in range(last + 1 if not simple else 0):
                            present[r] = decay.after[r]
                        level, t = after, end
                        # Only rounding can take a crossing by drift out of the interval.
                        met = end < now and level >= own.v_th + present[last] * adapts and climbs(own, target, decay, ulp)
                if not met:
                    if noisy:
                        if h == of_neuron and upcoming > now:
                            break
                    elif h == of_neuron:
                        break
                    takes, before = recovered(until[i], t), level
                    while h < of_neuron and chunk.when[arrivals[h]] <= t:
                        which = chunk.ports[arrivals[h]]
                        port = synapses.ports[which]
                        jump = synapses.jumps[port.jumps + through[h] * port.stride] * synapses.strength[which]
                        if port.current >= 0:
                            present[port.current] += jump
                        elif takes:
                            level += jump
                        h += 1
                    if noisy and upcoming <= t:
                        jump, nth = take_events(nth, t, k, noise, events, present, takes)
                        upcoming = events.time[nth] if nth >= 0 else np.inf
                        level += jump
                    met = takes and level > before and level >= own.v_th + present[last] * adapts
                if met:
                    rise = rises(t, traces)
                    listed = fire(i, t, rise, traces.post, population, listed)
                    correct_traces(t, rise, traces, scale, arrivals[:h], through[:h], chunk, synapses)
                    if adapts:
                        present[last] = raised(own, present[last])
                    level, until[i] = own.v_reset, t + own.t_ref
            if adapts:
                population.theta[i] = number(present[last] * math.exp((now - traces.origin) / decay.taus[last]))
            later[i] = number(level if recovered(until[i], now) else -np.inf)
        return listed

    return resolve_spikes
