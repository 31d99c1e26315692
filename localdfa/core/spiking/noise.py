"""Poisson processes from counters, drawn as a circuit runs: event m of neuron i of source q is a function of (seed, q, i, m).

Intervals between events are exponential, −ln U times the mean one. U has 53 bits of the generator Philox4x32-10 (Salmon et al.
2011, SC '11), whose key is the seed and whose counter is (m // 2, i, q): each call brings two of them. So no train is stored,
and the events depend neither on the steps in which a circuit is simulated, nor on the order of its neurons, nor on threads.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import always_inline, compiled, device, kernel

# Multipliers and increments of the key of Philox4x32.
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_FIVE, _SIX, _HIGH = np.uint64(5), np.uint64(6), np.uint64(26)
_ONE, _FINEST = np.uint64(1), 2.0**-53


class Noise(NamedTuple):
    """Poisson processes: sources 0 … S − 1, each with a process for every neuron of its population, end to end, N in all."""

    seed: np.ndarray  # (2,) the key, words of 32 bits
    number: np.ndarray  # (S,) of each source, among all of the circuit
    first_source: np.ndarray  # (P + 1,) where the sources of each population begin
    first: np.ndarray  # (S + 1,) where the processes of each source begin
    neuron: np.ndarray  # (S,) of its first process the neuron, where a population is simulated in ranges of neurons
    current: np.ndarray  # (S,) which synaptic current it raises, as in `Circuit.taus`; −1 if it moves v at once
    jump: np.ndarray  # (N,) by how much
    mean: np.ndarray  # (N,) mean interval, ms; infinite where there are no events
    longest: np.ndarray  # (P,) ms in which no neuron gets many events
    time: np.ndarray  # (N,) the next event, ms
    passed: np.ndarray  # (N,) how many events come before it
    later_time: np.ndarray  # (N,) scratch: the same after a chunk of arrivals
    later_count: np.ndarray  # (N,)
    ahead_time: np.ndarray  # (S,) scratch: of one neuron, the next event of each source
    ahead_count: np.ndarray  # (S,)


@kernel
def philox(a, b, c, d, key0, key1):
    """Four words of 32 bits from a counter and a key of such words, all of them unsigned of 64 bits: Philox4x32-10."""
    for _ in range(10):
        low, high = _M0 * a, _M1 * c
        a, b, c, d = (high >> _HALF) ^ b ^ key0, high & _LOW, (low >> _HALF) ^ d ^ key1, low & _LOW
        key0, key1 = (key0 + _W0) & _LOW, (key1 + _W1) & _LOW
    return a, b, c, d


@always_inline
def _pair(noise, q, i, m):
    """The uniform numbers, in (0, 1], of events m − m % 2 and the one after it of process i of source q."""
    block = np.uint64(m) >> _ONE
    a, b, c, d = philox(
        block & _LOW, block >> _HALF, np.uint64(i + noise.neuron[q]), np.uint64(noise.number[q]), noise.seed[0], noise.seed[1]
    )  # fmt: skip
    return (
        float((((a >> _FIVE) << _HIGH) | (b >> _SIX)) + _ONE) * _FINEST,
        float((((c >> _FIVE) << _HIGH) | (d >> _SIX)) + _ONE) * _FINEST,
    )


@always_inline
def interval(noise, q, i, m):
    """From event m − 1 of process i to event m, or from the onset to event 0, in mean intervals."""
    even, odd = _pair(noise, q, i, m)
    return -math.log(odd if m & 1 else even)


@kernel
def begin(noise):
    """Set all processes to their first events after the onset."""
    for q in range(noise.number.size):
        for g in range(noise.first[q], noise.first[q + 1]):
            noise.passed[g] = 0
            noise.time[g] = interval(noise, q, g - noise.first[q], 0) * noise.mean[g]


@compiled(error_model="numpy")
def events_until(noise, q, stop):
    """The events of source q before `stop`, ms, that have not been asked for: when, and in which process; not in order."""
    a, b, expected = noise.first[q], noise.first[q + 1], 0.0
    for g in range(a, b):
        expected += max(stop - noise.time[g], 0.0) / noise.mean[g]
    times, neurons, n = np.empty(int(1.2 * expected) + 64), np.empty(int(1.2 * expected) + 64, np.int64), 0
    for g in range(a, b):
        time, m = noise.time[g], noise.passed[g]
        while time < stop:
            if n == times.size:
                more_times, more_neurons = np.empty(2 * n), np.empty(2 * n, np.int64)
                for e in range(n):
                    more_times[e], more_neurons[e] = times[e], neurons[e]
                times, neurons = more_times, more_neurons
            times[n], neurons[n] = time, g - a
            n, m = n + 1, m + 1
            time += interval(noise, q, g - a, m) * noise.mean[g]
        noise.time[g], noise.passed[g] = time, m
    return times[:n], neurons[:n]


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
        noise,  # Noise; `later_time` and `later_count` get where its processes are at the end
        scratch,  # SparseScratch, which gets what the events leave, as `sparse.scatter_kernel` says
    ):
        """What the events until the end of a chunk leave there."""
        jump, number = scratch.jump, scratch.jump.dtype.type
        for q in range(noise.first_source[k], noise.first_source[k + 1]):
            r, first = noise.current[q], noise.first[q]
            moves, moved, of_move = scratch.moves[r + 1], scratch.moved[r + 1], 1.0 / (tau_m if r < 0 else taus[r])
            rate, share = 1.0 / tau_m, 0.0 if r < 0 else taus[r] / (taus[r] - tau_m)
            for i in range(n):
                time, m = noise.time[first + i], noise.passed[first + i]
                if time <= now:
                    left, adds, mean, even, odd, fresh = 0.0, 0.0, noise.mean[first + i], 0.0, 0.0, True
                    if each:
                        rate = 1.0 / tau_ms[i]
                        if r < 0:
                            of_move = rate
                        else:
                            share = taus[r] / (taus[r] - tau_ms[i])
                    while time <= now:
                        remains = math.exp((time - now) * of_move)
                        left += remains
                        if r >= 0:
                            adds += share * (remains - math.exp((time - now) * rate))
                        m += 1
                        if fresh or not m & 1:
                            even, odd = _pair(noise, q, i, m)
                            fresh = False
                        time += -math.log(odd if m & 1 else even) * mean
                    size = noise.jump[first + i]
                    way = 0 if size >= 0 else 1
                    moves[way, i] += number(size * left)
                    jump[i] += number(size * adds)
                    moved[way] = True
                noise.later_time[first + i], noise.later_count[first + i] = time, m

    return scatter_noise


@device
def commit(k, noise):
    """The processes of population k go on to where `scatter_noise_kernel` has left them."""
    for g in range(noise.first[noise.first_source[k]], noise.first[noise.first_source[k + 1]]):
        noise.time[g], noise.passed[g] = noise.later_time[g], noise.later_count[g]


@device
def look_ahead(k, i, noise):
    """Set out the next events of neuron i of population k, source by source; returns when the first of them comes, ms."""
    first = np.inf
    for q in range(noise.first_source[k], noise.first_source[k + 1]):
        g = noise.first[q] + i
        noise.ahead_time[q], noise.ahead_count[q] = noise.time[g], noise.passed[g]
        first = min(first, noise.time[g])
    return first


@device
def take_ahead(k, i, now, noise, present, takes):
    """Take in all events of neuron i until `now`, which are set out: what they add to v if it `takes` anything, and when the
    next one comes, ms. present: the synaptic currents of the neuron, to which the others are added."""
    level, first = 0.0, np.inf
    for q in range(noise.first_source[k], noise.first_source[k + 1]):
        g = noise.first[q] + i
        while noise.ahead_time[q] <= now:
            if noise.current[q] >= 0:
                present[noise.current[q]] += noise.jump[g]
            elif takes:
                level += noise.jump[g]
            noise.ahead_count[q] += 1
            noise.ahead_time[q] += interval(noise, q, i, noise.ahead_count[q]) * noise.mean[g]
        first = min(first, noise.ahead_time[q])
    return level, first
