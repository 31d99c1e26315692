"""Queues of spikes, when they were sent and by which neuron of a population; and what arrives from them at another one."""

from typing import NamedTuple

import numpy as np

from localdfa.core.compiled import ALLOCATING, compiled, device, kernel

# So few spikes, and those that come within so short a time, ms, are put in order by insertion.
_FEW, _MOMENT = 16, 1e-290

# A moment may be rounded by this fraction of itself: four units in the last place.
_ROUNDING = 2.0**-50


class Arrivals(NamedTuple):
    """Spikes that arrive at a population, in order of time."""

    when: np.ndarray  # ms
    ports: np.ndarray  # through which port
    senders: np.ndarray  # from which presynaptic neuron


@compiled(error_model="numpy")
def longer(queue, n, places):
    """A queue with at least this many places that begins with the first n entries of the one given."""
    grown = np.empty(max(places, 2 * n, 64), queue.dtype)
    for e in range(n):  # assigned as slices, they take Numba two seconds to compile
        grown[e] = queue[e]
    return grown


@kernel
def sort(times, senders):
    """Put spikes in order of time; those of one moment keep their order."""
    if times.size <= _FEW:
        _insert(times, senders, 0, times.size)
    else:
        _spread(times, senders)


@compiled(**ALLOCATING)
def _spread(times, senders):
    """Sort by spreading over as many buckets of time as there are spikes, each of which is sorted likewise."""
    count, low, high = times.size, np.inf, -np.inf
    for time in times:
        low, high = min(low, time), max(high, time)
    if high - low < _MOMENT:
        _insert(times, senders, 0, times.size)
        return
    ends, fraction = np.zeros(count + 1, np.int64), (count - 1) / (high - low)
    for time in times:
        ends[int((time - low) * fraction) + 1] += 1
    for b in range(count):
        ends[b + 1] += ends[b]
    spread_times, spread_senders = np.empty_like(times), np.empty_like(senders)
    for e in range(count):
        b = int((times[e] - low) * fraction)
        spread_times[ends[b]], spread_senders[ends[b]] = times[e], senders[e]
        ends[b] += 1
    for e in range(count):
        times[e], senders[e] = spread_times[e], spread_senders[e]
    begin = 0
    for b in range(count):
        if ends[b] - begin > _FEW:
            _spread(times[begin : ends[b]], senders[begin : ends[b]])
        else:
            _insert(times, senders, begin, ends[b])
        begin = ends[b]


@device
def _insert(times, senders, first, n):
    for e in range(first + 1, n):
        time, sender, at = times[e], senders[e], e
        while at > first and times[at - 1] > time:
            times[at], senders[at] = times[at - 1], senders[at - 1]
            at -= 1
        times[at], senders[at] = time, sender


@compiled(error_model="numpy")
def collect_arrivals(
    first,  # the population's first port
    last,  # one after its last port
    begin,  # begin of the step, ms
    stop,  # its end, ms
    ports,  # as in `circuit.Circuit`
    delay,  # (ports,) conduction delay, ms
    received,  # (ports,) how many spikes of its queue have arrived through each port; counts these as well
    listed,  # (P,) how many spikes are in each queue
    times,  # queues of all populations: when each spike was sent, ms
    senders,  # and by which neuron
):
    """What arrives at a population from `begin` until `stop`, as `Arrivals`.

    What arrives in a step was sent before it, as no step is longer than the delay. Where a spike was sent as the step before
    began, the sum of its time and the delay may round to a moment before `begin`, when that step is over. So whatever comes
    within rounding of an edge, with all that arrives at the same moment, belongs to the later step and arrives at `begin`.
    """
    count, until, edge = 0, received[first:last].copy(), stop - _ROUNDING * abs(stop)
    for port in range(first, last):
        queue, n = times[ports[port].pre], listed[ports[port].pre]
        at = until[port - first]
        while at < n and queue[at] + delay[port] < edge:
            at += 1
        until[port - first] = at
        count += at - received[port]
    when, through, who = np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64)
    e = 0
    for port in range(first, last):
        queue, queue_senders = times[ports[port].pre], senders[ports[port].pre]
        for nth in range(received[port], until[port - first]):
            when[e], through[e], who[e] = max(queue[nth] + delay[port], begin), port, queue_senders[nth]
            e += 1
        received[port] = until[port - first]
    if last - first > 1:
        order, sorted_through, sorted_who = np.arange(count), np.empty_like(through), np.empty_like(who)
        sort(when, order)
        for e in range(count):
            sorted_through[e], sorted_who[e] = through[order[e]], who[order[e]]
        return Arrivals(when, sorted_through, sorted_who)
    return Arrivals(when, through, who)
