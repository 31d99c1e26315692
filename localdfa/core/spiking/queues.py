"""Queues of spikes, when they were sent and by which neuron of a population; and what arrives from them at another one."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import ALLOCATING, allocating, compiled, device, kernel, unsigned

# So few spikes, and those that come within so short a time, ms, are put in order by insertion.
_FEW, _MOMENT = 16, 1e-290

# A moment may be rounded by this fraction of itself: four units in the last place.
_ROUNDING = 2.0**-50


class Arrivals(NamedTuple):
    """Spikes that arrive at a population, in order of time."""

    when: np.ndarray  # ms
    ports: np.ndarray  # through which port
    senders: np.ndarray  # from which presynaptic neuron


class Collected(NamedTuple):
    """Room for the spikes that arrive at a population in a step, through M ports and up to m of them: each list is there twice,
    so that one can be merged into the other."""

    until: np.ndarray  # (M,) how many spikes of its queue will have arrived through each port at the step's end
    ends: np.ndarray  # (M + 1,) where what is in order ends, within the lists
    when: np.ndarray  # (2, m) these three as in `Arrivals`
    ports: np.ndarray  # (2, m)
    senders: np.ndarray  # (2, m)


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


@allocating
def empty_collected(ports, places):
    """Room for what comes through so many ports, up to so many spikes."""
    return Collected(
        until=np.zeros(ports, np.int64),
        ends=np.zeros(ports + 1, np.int64),
        when=np.empty((2, places)),
        ports=np.empty((2, places), np.int64),
        senders=np.empty((2, places), np.int64),
    )


@allocating
def wider(collected, count):
    """The same with room for `count` spikes and as many again; what was counted stays, and lists are empty."""
    lists = empty_collected(0, 2 * count)
    return Collected(collected.until, collected.ends, lists.when, lists.ports, lists.senders)


@device
def _merge(begin, middle, end, now, collected):
    """Merge the spikes of row `now` from begin to middle − 1 and from middle to end − 1 into the other row."""
    when, ports, senders, one, other, to = collected.when, collected.ports, collected.senders, begin, middle, 1 - now
    for e in range(begin, end):
        if other == end or (one < middle and when[now, one] <= when[now, other]):
            following, one = one, one + 1
        else:
            following, other = other, other + 1
        when[to, e], ports[to, e], senders[to, e] = when[now, following], ports[now, following], senders[now, following]


@cache
def collecting_kernels(flat: bool) -> Any:
    """`count_arrivals` and `merge_arrivals`; flat: whether the queues of all populations lie end to end in one array, or are in
    a list, whose arrays Numba counts references to."""
    how = device if flat else allocating

    @how
    def count_arrivals(
        first,  # the population's first port
        last,  # one after its last port
        stop,  # end of the step, ms
        ports,  # as in `tables.Tables`
        delay,  # (ports,) conduction delay, ms
        received,  # (ports,) how many spikes of its queue have arrived through each port
        listed,  # (P,) how many spikes are in each queue
        times,  # queues of all populations, in a list or end to end: when each spike was sent, ms
        begins,  # (P + 1,) where each begins, if they are end to end; else None
        collected,  # Collected, with room for these ports; gets how many spikes of each queue will have arrived
    ):
        """How many spikes arrive at a population until `stop` that have not arrived before.

        What arrives in a step was sent before it, as no step is longer than the delay. Where a spike was sent as the step
        before began, the sum of its time and the delay may round to a moment before this one begins, when that step is over. So
        whatever comes within rounding of an edge, with all that arrives at the same moment, belongs to the later step and
        arrives as it begins.
        """
        count, edge = 0, stop - _ROUNDING * abs(stop)
        for port in range(first, last):
            k, at = ports[port].pre, received[port]
            queue = times[begins[k] : begins[k + 1]] if flat else times[k]
            while at < listed[k] and queue[unsigned(at)] + delay[port] < edge:
                at += 1
            collected.until[port - first] = at
            count += at - received[port]
        return count

    @how
    def merge_arrivals(
        first,  # the population's first port
        last,  # one after its last port
        begin,  # begin of the step, ms
        ports,  # as in `tables.Tables`
        delay,  # (ports,) conduction delay, ms
        received,  # (ports,) how many spikes of its queue have arrived through each port; counts these as well
        times,  # queues of all populations, in lists or end to end: when each spike was sent, ms
        senders,  # and by which neuron
        begins,  # (P + 1,) where each begins, if they are end to end; else None
        collected,  # Collected, as `count_arrivals` leaves it, with room for all that it has counted
    ):
        """Take in what arrives in a step; returns in which row of `collected` it is, in order of time. What arrives at one
        moment is in the order of ports.

        Each queue is in order, so what comes through each port is, and is merged with that of the next.
        """
        ends, runs, e, now = collected.ends, 0, 0, 0
        for port in range(first, last):
            k, until = ports[port].pre, collected.until[port - first]
            if flat:
                queue, queue_senders = times[begins[k] : begins[k + 1]], senders[begins[k] : begins[k + 1]]
            else:
                queue, queue_senders = times[k], senders[k]
            for nth in range(received[port], until):
                collected.when[0, e] = max(queue[unsigned(nth)] + delay[port], begin)
                collected.ports[0, e], collected.senders[0, e] = port, queue_senders[unsigned(nth)]
                e += 1
            if until > received[port]:
                runs, received[port] = runs + 1, until
                ends[runs] = e
        while runs > 1:  # pairs of neighbours become one each; one without a neighbour is copied
            for r in range((runs + 1) // 2):
                _merge(ends[2 * r], ends[2 * r + 1], ends[min(2 * r + 2, runs)], now, collected)
                ends[r + 1] = ends[min(2 * r + 2, runs)]
            runs, now = (runs + 1) // 2, 1 - now
        return now

    return count_arrivals, merge_arrivals
