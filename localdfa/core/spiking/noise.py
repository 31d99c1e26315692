"""Poisson processes from counters, drawn as a circuit runs and not stored.

Random words are those of the generator Philox4x32-10 (Salmon et al. 2011, SC '11), whose key is the seed. Intervals between
events are exponential, −ln U times the mean one.

*Sources*, whose trains are wanted neuron by neuron: event m of neuron i of source q is a function of (seed, q, i, m). U has 53
bits of the words of the counter (m // 2, i, q), which bring two of them.

*Noise* of a population, in which each neuron has processes of its own: all of them together are one Poisson process, whose rate
is the sum of theirs, and of which each event belongs to one of them with a probability in proportion to its rate, independently
of all others (the superposition of independent Poisson processes and, the other way round, their marking: Kingman 1993, Poisson
Processes, chapters 2 and 5). So events are drawn in the order of time, without a queue: event m is a function of (seed,
population, first neuron, m), a word of 32 bits for its U and one for its process, by Walker's alias method. Moments are exact:
no bins are made. Of each 128 events the first 64 have the first two words of 64 counters, the others the last two.

Events depend neither on the steps in which a circuit is simulated, nor on threads.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, always_inline, compiled, device, kernel, unsigned
from localdfa.core.logarithm import logarithm

# Multipliers and increments of the key of Philox4x32.
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_FIVE, _SIX, _HIGH = np.uint64(5), np.uint64(6), np.uint64(26)
_ONE, _FINEST = np.uint64(1), 2.0**-53
# So many events of noise are drawn at a time, and there is room for so many.
DRAWN, _ROOM = 128, 4096
# ln 2^32.
_ALL = 32 * math.log(2)
# For exponents nearer to 0 than this, eight terms of the series of exp are exact to rounding.
_SMALL = 1 / 32
_2, _3, _4, _5, _6, _7 = (1 / math.factorial(k) for k in range(2, 8))


class Sources(NamedTuple):
    """Poisson processes: sources 0 … S − 1, each with a process for every neuron, end to end, N in all."""

    seed: np.ndarray  # (2,) the key, words of 32 bits
    number: np.ndarray  # (S,) of each source, among all of the circuit
    first: np.ndarray  # (S + 1,) where the processes of each source begin
    mean: np.ndarray  # (N,) mean interval, ms; infinite where there are no events
    time: np.ndarray  # (N,) the next event, ms
    passed: np.ndarray  # (N,) how many events come before it


class Noise(NamedTuple):
    """Noise of P populations: S_k n_k processes of a population of n_k neurons, source by source, N of all end to end."""

    seed: np.ndarray  # (2,) the key, words of 32 bits
    number: np.ndarray  # (P,) of each population, among all of the circuit
    neuron: np.ndarray  # (P,) its first neuron, where a population is simulated in ranges of neurons
    first: np.ndarray  # (P + 1,) where the processes of each population begin
    current: np.ndarray  # (N,) which synaptic current they raise, as in `Tables.taus`; −1 if they move v at once
    jump: np.ndarray  # (N,) by how much
    kept: np.ndarray  # (N,) of the alias method: entry g stands for itself up to this of 2^32
    alias: np.ndarray  # (N,) and for this one of the population beyond
    mean: np.ndarray  # (P,) mean interval of all processes together, ms; infinite where there are no events
    longest: np.ndarray  # (P,) ms in which no neuron gets many events
    time: np.ndarray  # (P,) the next event, ms
    passed: np.ndarray  # (P,) how many events come before it


class Events(NamedTuple):
    """Events of a population's noise that have been drawn, in order of time; the last one is never taken. Scratch."""

    time: np.ndarray  # (_ROOM,) ms
    process: np.ndarray  # (_ROOM,) to which process of the population they belong
    remains: np.ndarray  # (_ROOM,) what is left of a jump of v of 1 at the end of a chunk
    following: np.ndarray  # (_ROOM,) the next event of the same candidate; −1 after the last
    opening: np.ndarray  # (n,) the first event of each candidate of a list; −1 without
    words: np.ndarray  # (2, DRAWN) of the generator
    intervals: np.ndarray  # (DRAWN,) between events, ms
    ends: np.ndarray  # (3,) the first event that has not been taken, one after the last, and how many came before the first


@allocating
def events_scratch(n):
    """Scratch for populations of up to n neurons."""
    return Events(
        time=np.empty(_ROOM),
        process=np.empty(_ROOM, np.int32),
        remains=np.empty(_ROOM),
        following=np.empty(_ROOM, np.int32),
        opening=np.empty(n, np.int32),
        words=np.empty((2, DRAWN), np.uint64),
        intervals=np.empty(DRAWN),
        ends=np.zeros(3, np.int64),
    )


@kernel
def philox(a, b, c, d, key0, key1):
    """Four words of 32 bits from a counter and a key of such words, all of them unsigned of 64 bits: Philox4x32-10."""
    for _ in range(10):
        low, high = _M0 * a, _M1 * c
        a, b, c, d = (high >> _HALF) ^ b ^ key0, high & _LOW, (low >> _HALF) ^ d ^ key1, low & _LOW
        key0, key1 = (key0 + _W0) & _LOW, (key1 + _W1) & _LOW
    return a, b, c, d


@always_inline
def _pair(sources, q, i, m):
    """The uniform numbers, in (0, 1], of events m − m % 2 and the one after it of process i of source q."""
    block = np.uint64(m) >> _ONE
    a, b, c, d = philox(
        block & _LOW, block >> _HALF, np.uint64(i), np.uint64(sources.number[q]), sources.seed[0], sources.seed[1]
    )  # fmt: skip
    return (
        float((((a >> _FIVE) << _HIGH) | (b >> _SIX)) + _ONE) * _FINEST,
        float((((c >> _FIVE) << _HIGH) | (d >> _SIX)) + _ONE) * _FINEST,
    )


@always_inline
def interval(sources, q, i, m):
    """From event m − 1 of process i to event m, or from the onset to event 0, in mean intervals."""
    even, odd = _pair(sources, q, i, m)
    return -math.log(odd if m & 1 else even)


@kernel
def begin(sources):
    """Set all processes to their first events after the onset."""
    for q in range(sources.number.size):
        for g in range(sources.first[q], sources.first[q + 1]):
            sources.passed[g] = 0
            sources.time[g] = interval(sources, q, g - sources.first[q], 0) * sources.mean[g]


@compiled(error_model="numpy")
def change(sources, q, mean, now):
    """From `now` on, ms, processes of source q have other mean intervals, (n,), ms. They have no memory: what is left of an
    interval becomes as long a part of the new mean, and after a time without events a new interval begins."""
    for i in range(mean.size):
        g = sources.first[q] + i
        before = sources.mean[g]
        if mean[i] == before:
            continue
        if mean[i] == np.inf:
            sources.time[g] = np.inf
            sources.passed[g] += 1  # the number of the event that does not come is not met again
        elif before == np.inf:
            sources.time[g] = now + interval(sources, q, i, sources.passed[g]) * mean[i]
        else:
            sources.time[g] = now + (sources.time[g] - now) * (mean[i] / before)
        sources.mean[g] = mean[i]


@compiled(error_model="numpy")
def events_until(sources, q, stop):
    """The events of source q before `stop`, ms, that have not been asked for: when, and in which process; not in order."""
    a, b, expected = sources.first[q], sources.first[q + 1], 0.0
    for g in range(a, b):
        expected += max(stop - sources.time[g], 0.0) / sources.mean[g]
    times, neurons, n = np.empty(int(1.2 * expected) + 64), np.empty(int(1.2 * expected) + 64, np.int64), 0
    for g in range(a, b):
        time, m = sources.time[g], sources.passed[g]
        while time < stop:
            if n == times.size:
                more_times, more_neurons = np.empty(2 * n), np.empty(2 * n, np.int64)
                for e in range(n):
                    more_times[e], more_neurons[e] = times[e], neurons[e]
                times, neurons = more_times, more_neurons
            times[n], neurons[n] = time, g - a
            n, m = n + 1, m + 1
            time += interval(sources, q, g - a, m) * sources.mean[g]
        sources.time[g], sources.passed[g] = time, m
    return times[:n], neurons[:n]


def aliases(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's alias method (1977, ACM TOMS 3:253): with a number j of 0 … n − 1 and one of 0 … 2^32 − 1 drawn, entry j stands
    for itself if the second is below `kept[j]`, else for `alias[j]`; so each is met in proportion to its rate. rates (n,)."""
    n, mean = len(rates), rates.mean()
    kept, alias = np.full(n, 2**32, np.uint64), np.arange(n, dtype=np.int32)
    if not mean > 0 or (rates == rates[0]).all():
        return kept, alias
    left = rates / mean
    below, above = [*np.flatnonzero(left < 1)], [*np.flatnonzero(left >= 1)]
    while below and above:
        low, high = below.pop(), above[-1]
        kept[low], alias[low] = round(left[low] * 2**32), high
        left[high] -= 1 - left[low]
        if left[high] < 1:
            below.append(above.pop())
    for low in below:  # what is left of a rate of 0 is rounding
        if rates[low] == 0:
            kept[low], alias[low] = 0, np.argmax(rates)
    return kept, alias


@always_inline
def _draw_words(noise, k, m, words):
    """Words for `DRAWN` events of population k, from event m on, a multiple of that: of intervals, and of processes."""
    block, number, neuron = unsigned(m) >> _ONE, unsigned(noise.number[k]), unsigned(noise.neuron[k])
    intervals, processes, half, key0, key1 = words[0], words[1], unsigned(DRAWN // 2), noise.seed[0], noise.seed[1]
    for b in range(half):
        at = block + b
        intervals[b], processes[b], intervals[half + b], processes[half + b] = philox(
            at & _LOW, at >> _HALF, neuron, number, key0, key1
        )


@always_inline
def _interval(word):
    """From an event to the next, in mean intervals."""
    return _ALL - logarithm(float(np.int64(word)) + 0.5)


@kernel
def begin_noise(noise, words):
    """Set all populations to the first events after the onset; words: as in `Events`."""
    for k in range(noise.mean.size):
        _draw_words(noise, k, 0, words)
        noise.passed[k], noise.time[k] = 0, _interval(words[0, 0]) * noise.mean[k]


@always_inline
def _process(word, kept, alias, first, count):
    """Which of the `count` processes that begin at `first` a word says."""
    product = word * count
    j = product >> _HALF
    return np.int32(j) if (product & _LOW) < kept[unsigned(first) + j] else alias[unsigned(first) + j]


@device
def open_events(k, noise, events):
    """The next event of population k stands first."""
    nth = noise.passed[k] % DRAWN
    _draw_words(noise, k, noise.passed[k] - nth, events.words)
    first, count = noise.first[k], unsigned(noise.first[k + 1] - noise.first[k])
    events.time[0] = noise.time[k]
    if count > 0:
        events.process[0] = _process(events.words[1, nth], noise.kept, noise.alias, first, count)
    events.ends[0], events.ends[1], events.ends[2] = 0, 1, noise.passed[k]


@device
def close_events(k, noise, events):
    """Population k goes on to the first event that has not been taken."""
    noise.time[k], noise.passed[k] = events.time[events.ends[0]], events.ends[2] + events.ends[0]


@device
def draw_until(k, stop, noise, events):
    """Draw events of population k until one comes after `stop`, ms, or there is no more room; returns `stop`, or until when
    there are all."""
    time, process, words, intervals = events.time, events.process, events.words, events.intervals
    kept, alias, first, mean = noise.kept, noise.alias, noise.first[k], noise.mean[k]
    head, tail, count = events.ends[0], events.ends[1], unsigned(noise.first[k + 1] - noise.first[k])
    if time[tail - 1] <= stop and tail + DRAWN > _ROOM:
        for e in range(tail - head):
            time[e], process[e] = time[head + e], process[head + e]
        events.ends[2] += head
        head, tail = 0, tail - head
    while time[tail - 1] <= stop and tail + DRAWN <= _ROOM:
        m, now = events.ends[2] + tail, time[tail - 1]
        skipped = m % DRAWN
        _draw_words(noise, k, m - skipped, words)
        for w in range(unsigned(DRAWN)):
            intervals[w] = _interval(words[0, w]) * mean
        for w in range(skipped, DRAWN):
            now += intervals[w]
            time[tail + w - skipped] = now
        for w in range(skipped, DRAWN):
            process[tail + w - skipped] = _process(words[1, w], kept, alias, first, count)
        tail += DRAWN - skipped
    events.ends[0], events.ends[1] = head, tail
    return min(stop, time[tail - 2]) if time[tail - 1] <= stop else stop


@device
def last_until(now, events):
    """One after the last of the events that come until `now`, ms, and may be taken."""
    e = events.ends[0]
    while e < events.ends[1] - 1 and events.time[e] <= now:
        e += 1
    return e


@cache
def scatter_noise_kernel(each: bool) -> Any:
    """What scatters the events of a population; each: whether its neurons have time constants of their own."""

    @device
    def scatter_noise(
        k,  # the population
        tau_m,  # of its membranes, ms
        tau_ms,  # (n,) of each of them where they differ
        taus,  # (R,) of the synaptic currents, ms
        now,  # end of the chunk, ms
        n,  # its neurons
        last,  # one after the last event of the chunk
        noise,  # Noise
        events,  # Events
        scratch,  # SparseScratch, which gets what the events leave, as `sparse.scatter_kernel` says
    ):
        """What the events of a chunk leave at its end."""
        head, first, rate = events.ends[0], noise.first[k], 1.0 / tau_m
        time, process, remains = events.time[head:last], events.process[head:last], events.remains[head:last]
        jumps, currents, single = noise.jump[first:], noise.current[first:], noise.first[k + 1] - first == n
        steps, moves, moved, count = scratch.steps, scratch.moves, scratch.moved, unsigned(last - head)
        number, up, down, width, two = moves.dtype.type, unsigned(0), unsigned(1), unsigned(n), unsigned(2)
        if count > 0 and (now - time[0]) * rate < _SMALL:
            for e in range(count):
                x = (time[e] - now) * rate
                remains[e] = 1 + x * (1 + x * (_2 + x * (_3 + x * (_4 + x * (_5 + x * (_6 + x * _7))))))
        else:
            for e in range(count):
                remains[e] = math.exp((time[e] - now) * rate)
        if single and currents[0] < 0 and not each:  # most noise is that: the others' loop takes twice as long
            falls = unsigned(0)
            for e in range(count):
                i = unsigned(process[e])
                way = up if jumps[i] >= 0 else down
                steps[way, i] += number(jumps[i] * remains[e])
                falls += way
            moved[0, up] |= falls < count
            moved[0, down] |= falls > 0
            return
        for e in range(count):
            g = unsigned(process[e])
            i, r, size, left = g, currents[g], jumps[g], remains[e]
            while i >= width:
                i -= width
            if each:
                left = math.exp((time[e] - now) / tau_ms[i])
            way = up if size >= 0 else down
            if r < 0:
                steps[way, i] += number(size * left)
            else:
                of_current = math.exp((time[e] - now) / taus[r])
                adds = taus[r] / (taus[r] - (tau_ms[i] if each else tau_m)) * (of_current - left)
                moves[r, way, two * i] += number(size * of_current)
                moves[r, way, two * i + unsigned(1)] += number(size * adds)
            moved[r + 1, way] = True

    return scatter_noise


@device
def look_up_events(candidates, n, last, events, marked, nth):
    """Which events until the last of a chunk belong to each candidate of a list of neurons; marked and nth as in
    `resolving.Reached`."""
    process, following, opening, width = events.process, events.following, events.opening, unsigned(n)
    for f in range(candidates.size):
        marked[candidates[f]], nth[candidates[f]], opening[f] = True, f, -1
    for e in range(last - 1, events.ends[0] - 1, -1):
        i = unsigned(process[unsigned(e)])
        while i >= width:
            i -= width
        if marked[i]:
            following[e], opening[nth[i]] = opening[nth[i]], e
    for f in range(candidates.size):
        marked[candidates[f]] = False


@device
def take_events(e, now, k, noise, events, present, takes):
    """Take in the events of a neuron from e until `now`: what they add to v if it `takes` anything, and its next event, or −1.

    present: the synaptic currents of the neuron, to which the others are added.
    """
    level = 0.0
    while e >= 0 and events.time[e] <= now:
        g = noise.first[k] + events.process[e]
        if noise.current[g] >= 0:
            present[noise.current[g]] += noise.jump[g]
        elif takes:
            level += noise.jump[g]
        e = events.following[e]
    return level, e
