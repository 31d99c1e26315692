"""The refractory neurons of a population, as a ring buffer of those whose period ends first to last.

A neuron in the ring has v = −∞, which neither relaxation nor a jump changes, so that the passes over a population need not ask.

A refractory period is closed at its end: what arrives t_ref after the spike is taken in. Spike times are rounded sums, so on a
grid two ways to one moment differ in their last digits. `recovered` therefore asks to within rounding, and it alone decides.
"""

from typing import NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, always_inline, unsigned
from localdfa.core.spiking.queues import sort

# Two moments are the same if they are apart by less than this fraction of the time since the onset, 64 units in the last place,
# or by less than this many ms: trials that are carried on count time anew, and keep the rounding of the trials before.
_ROUNDING, _NEAR = 2.0**-46, 1e-11


@always_inline
def recovered(until, t):
    """Whether a refractory period that lasts until `until` (−∞: there was none) is over at t, to within rounding."""
    return until <= t or until - t <= _ROUNDING * until + _NEAR


@always_inline
def surely_until(until):
    """The first moment at which such a period may be `recovered`, ms."""
    return until - (_ROUNDING * until + _NEAR)


class Ring(NamedTuple):
    """A ring buffer of refractory neurons."""

    neurons: np.ndarray  # (2^k,) at least one place for each neuron
    ends: np.ndarray  # (2,) its first entry and one after its last, counted from the begin of a window


@allocating
def empty_ring(n):
    """A ring for populations of up to n neurons."""
    places = 1
    while places < n:
        places *= 2
    return Ring(np.zeros(places, np.int64), np.zeros(2, np.int64))


@always_inline
def _place(neurons, e):
    """Where entry e of the ring lies."""
    return unsigned(e) & unsigned(neurons.size - 1)


@allocating
def fill_ring(v, until, t, ring):
    """At time t the ring holds exactly the refractory neurons of a population, in order; v becomes −∞ in them."""
    n = 0
    for i in range(v.size):
        if not recovered(until[i], t):
            v[i], ring.neurons[n] = -np.inf, i
            n += 1
    ends = np.empty(n)
    for e in range(n):
        ends[e] = until[ring.neurons[e]]
    sort(ends, ring.neurons[:n])
    ring.ends[0], ring.ends[1] = 0, n


@always_inline
def release(
    ring,  # Ring
    until,  # (n,) ends of the refractory periods, ms
    now,  # ms
    candidates,  # gets the neurons that are released behind those that it has
    count,  # how many it has
):
    """Take those neurons out of the ring whose refractory period is over at `now`; returns how many candidates there are."""
    neurons, head, tail = ring.neurons, ring.ends[0], ring.ends[1]
    while head < tail and recovered(until[neurons[_place(neurons, head)]], now):
        candidates[count] = neurons[_place(neurons, head)]
        head += 1
        count += 1
    ring.ends[0] = head
    return count


@always_inline
def enter(
    ring,  # Ring
    population,  # Population, whose queue has the spikes
    first,  # the first of the new spikes in the queue
    listed,  # one after the last
    now,  # ms
    t_ref,  # refractory period, ms
):
    """Put new spikes in order of time, and their neurons into the ring where they are still refractory at `now`."""
    neurons, ends = ring.neurons, ring.ends
    if listed - first > 1:
        sort(population.times[first:listed], population.senders[first:listed])
    for f in range(first, listed):
        if not recovered(population.times[f] + t_ref, now):
            neurons[_place(neurons, ends[1])] = population.senders[f]
            ends[1] += 1


@always_inline
def enter_each(
    ring,  # these five as in `enter`
    population,
    first,
    listed,
    now,
    t_refs,  # (n,) refractory period of each neuron, ms
):
    """As `enter`, where a period may be over before that of a spike that came earlier."""
    neurons, ends, until = ring.neurons, ring.ends, population.until
    if listed - first > 1:
        sort(population.times[first:listed], population.senders[first:listed])
    for f in range(first, listed):
        i = population.senders[f]
        end = population.times[f] + t_refs[i]
        if recovered(end, now):
            continue
        at = ends[1]
        while at > ends[0] and until[neurons[_place(neurons, at - 1)]] > end:
            neurons[_place(neurons, at)] = neurons[_place(neurons, at - 1)]
            at -= 1
        neurons[_place(neurons, at)] = i
        ends[1] += 1


@always_inline
def hold(ring, v):
    """Set v = −∞ in all neurons of the ring."""
    for e in range(ring.ends[0], ring.ends[1]):
        v[ring.neurons[_place(ring.neurons, e)]] = -np.inf
