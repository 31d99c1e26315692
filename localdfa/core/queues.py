"""Queues of spikes, when they were sent and by which neuron of a population; and what arrives from them at another one."""

from typing import NamedTuple

import numpy as np

from localdfa.core.compiled import COUNTED, compiled, inner, kernel

# Columns of `Circuit.joints`: what a slot is; see there.
PRE, CURRENT_OF, START, ENDS, TARGETS, SUMS, TRACES = range(7)
# So few spikes, and those that come within so short a time, ms, are put in order by insertion.
_FEW, _MOMENT = 16, 1e-290

# By so much of itself a moment may be rounded: four units in the last place.
_ROUNDING = 2.0**-50


class Arrivals(NamedTuple):
    """Spikes that arrive, in order of time: when, through which slots, from whom."""

    when: np.ndarray
    slots: np.ndarray
    who: np.ndarray


@compiled(error_model="numpy")
def longer(queue, n, room):
    """A queue with at least `room` places that begins with the n of the one given."""
    found = np.empty(max(room, 2 * n, 64), queue.dtype)
    for e in range(n):  # assigned as slices, they take Numba two seconds to compile
        found[e] = queue[e]
    return found


@kernel
def sort(times, senders):
    """Put spikes in order of time; those of one moment keep their order."""
    if times.size <= _FEW:
        _insert(times, senders, 0, times.size)
    else:
        _spread(times, senders)


@compiled(**COUNTED)
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


@inner
def _insert(times, senders, first, n):
    for e in range(first + 1, n):
        time, sender, at = times[e], senders[e], e
        while at > first and times[at - 1] > time:
            times[at], senders[at] = times[at - 1], senders[at - 1]
            at -= 1
        times[at], senders[at] = time, sender


@compiled(error_model="numpy")
def gather(lo, hi, begin, stop, joints, delay, received, sent, times, senders):
    """What arrives through the slots lo … hi − 1 from `begin` until `stop`, as `Arrivals`.

    What arrives in a step was sent before it, as no step is longer than the delay. Where a spike was sent as the step before
    began, the sum of its time and the delay may round to a moment before `begin`, when that step is over. So whatever comes
    within rounding of an edge, with all that arrives at the same moment, belongs to the later step and arrives at `begin`.
    """
    count, until, edge = 0, received.copy(), stop - _ROUNDING * abs(stop)
    for slot in range(lo, hi):
        queue, n = times[joints[slot, PRE]], sent[joints[slot, PRE]]
        while until[slot] < n and queue[until[slot]] + delay[slot] < edge:
            until[slot] += 1
        count += until[slot] - received[slot]
    when, slots, who = np.empty(count), np.empty(count, np.int64), np.empty(count, np.int64)
    e = 0
    for slot in range(lo, hi):
        queue, senders_ = times[joints[slot, PRE]], senders[joints[slot, PRE]]
        for nth in range(received[slot], until[slot]):
            when[e], slots[e], who[e] = max(queue[nth] + delay[slot], begin), slot, senders_[nth]
            e += 1
        received[slot] = until[slot]
    if hi - lo > 1:
        order, sorted_slots, sorted_who = np.arange(count), np.empty_like(slots), np.empty_like(who)
        sort(when, order)
        for e in range(count):
            sorted_slots[e], sorted_who[e] = slots[order[e]], who[order[e]]
        return Arrivals(when, sorted_slots, sorted_who)
    return Arrivals(when, slots, who)
