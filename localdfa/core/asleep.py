"""A ring of the neurons of a population that are refractory, the first to wake first.

Who is in it has v = −∞, which neither relaxation nor what arrives changes.

A refractory period is closed at its end: what arrives t_ref after the spike is taken in. Spike times are rounded sums, so on a
grid two ways to one moment differ in their last digits; `recovered` therefore asks to within rounding, and it alone decides.
"""

from typing import NamedTuple

import numpy as np

from localdfa.core.compiled import counted, inlined, unsigned
from localdfa.core.queues import sort

# Moments are one that are apart by less than this fraction of the time since the onset, 64 units in the last place, or by less
# than so many ms: carried trials count time anew, and it keeps the rounding of the trials before.
_ROUNDING, _NEAR = 2.0**-46, 1e-11


@inlined
def recovered(until, t):
    """Whether a refractory period that lasts until `until` (−∞: there was none) is over at t, to within rounding."""
    return until <= t or until - t <= _ROUNDING * until + _NEAR


class Asleep(NamedTuple):
    """ring: neurons, in 2^k places, at least one a neuron; ends (2,): its first entry and one after its last, counted from the
    begin of a stretch of time."""

    ring: np.ndarray
    ends: np.ndarray


@counted
def nobody(n):
    """A ring for populations of up to n neurons."""
    places = 1
    while places < n:
        places *= 2
    return Asleep(np.zeros(places, np.int64), np.zeros(2, np.int64))


@inlined
def place(ring, e):
    """Where entry e of the ring lies."""
    return unsigned(e) & unsigned(ring.size - 1)


@counted
def rest(v, until, t, asleep):
    """Those who are refractory at t are alone in the ring."""
    ring, n = asleep.ring, 0
    for i in range(v.size):
        if not recovered(until[i], t):
            v[i], ring[n] = -np.inf, i
            n += 1
    order = np.empty(n)
    for e in range(n):
        order[e] = until[ring[e]]
    sort(order, ring[:n])
    asleep.ends[0], asleep.ends[1] = 0, n


@inlined
def wake(asleep, until, now, found, met):
    """Those whose refractory period is over at `now` join the `met` neurons found; returns how many these are then."""
    ring, head, tail = asleep.ring, asleep.ends[0], asleep.ends[1]
    while head < tail and recovered(until[ring[place(ring, head)]], now):
        found[met] = ring[place(ring, head)]
        head += 1
        met += 1
    asleep.ends[0] = head
    return met


@inlined
def fall_asleep(asleep, cells, before, listed, now, t_ref):
    """Spikes before … listed − 1 are put in order of time; those whose neuron is still refractory at `now` join the ring."""
    ring, ends = asleep.ring, asleep.ends
    if listed - before > 1:
        sort(cells.times[before:listed], cells.senders[before:listed])
    for f in range(before, listed):
        if not recovered(cells.times[f] + t_ref, now):
            ring[place(ring, ends[1])] = cells.senders[f]
            ends[1] += 1


@inlined
def keep_asleep(asleep, v):
    """v = −∞ of all in the ring."""
    for e in range(asleep.ends[0], asleep.ends[1]):
        v[asleep.ring[place(asleep.ring, e)]] = -np.inf
