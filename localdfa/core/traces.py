"""Traces of spikes, and what the local rule needs of a synapse.

Traces, adapted thresholds and synaptic currents are kept as multiples of their decay since the population's *base*, a moment
that moves on before these multiples grow large, so that nothing needs to be touched in order to decay.

A rule says what a synapse gains from pairs of spikes while the gate is open (`Pairing`):

    post Σ_post x_j − pre Σ_pre z_i + edge [x_j z_i] from the gate's opening to its closing.

With x_j(s) = y_j e^(−(s−base)/τ_x), where y_j rises by e^((t−base)/τ_x) at each arrival and is constant in between, this is

    y_j (C_i + edge z_i e^(−(t−base)/τ_x)) − Σ_arrivals [e^((t−base)/τ_x) C_i(t) + pre z_i(t)],

where C_i begins at −edge z_i and rises by post e^(−(t−base)/τ_x) at each spike of i. So nothing is done to a synapse at
postsynaptic spikes, and one pass over a row of synapses at an arrival. The local rule is post = 1 − ρ, pre = edge = ρ with ρ =
τ_x/(τ_x+τ_z), for which all this is ∫ x_j dz_i.
"""

import math
from typing import NamedTuple

from localdfa.core.compiled import inlined, inner, unsigned
from localdfa.core.queues import ENDS, PRE, SUMS, TARGETS, TRACES
from localdfa.core.state import LATER, THETA, C, X, Z


class Pairing(NamedTuple):
    """What a synapse gains from pairs of spikes: at a postsynaptic spike post · x_j, at an arrival −pre · z_i, both as they are
    just before it, and edge · x_j z_i from where the gate opens to where it closes."""

    post: float
    pre: float
    edge: float


# The base moves on before a multiple grows beyond e^8: in ∫ x dz two such numbers are subtracted.
FAR = 8.0


@inner
def series(count, interval, age, tau):
    """The trace of `count` spikes one `interval` apart, the last of them `age` ms ago."""
    return (math.exp(-age / tau) - math.exp(-(age + count * interval) / tau)) / (1 - math.exp(-interval / tau))


@inlined
def rises(time, traces):
    """What a spike adds to the traces x and z."""
    apart = time - traces.base
    rise = math.exp(apart / traces.tau_x)
    return rise, (rise if traces.tau_x == traces.tau_z else math.exp(apart / traces.tau_z))


@inlined
def fire(i, time, rise, traces, cells, listed):
    """Neuron i spikes, which adds `rise` to its traces. Returns how many spikes are listed then."""
    number = cells.x.dtype.type
    cells.x[i] += number(rise[0])
    cells.z[i] += number(rise[1])
    cells.risen[i] += number(traces.post / rise[0])
    cells.spikes[i] += 1
    cells.times[listed], cells.senders[listed] = time, i
    return listed + 1


@inner
def learn(c, k, now, state, scale, sums):
    """Close what all synapses of population k that learn have gained at `now`, times scale: y_j (C_i + edge z_i)."""
    a, b = c.first[k], c.first[k + 1]
    apart, number = now - state.base[k], state.rows.dtype.type
    left, weight = number(c.edge * math.exp(-apart / c.tau_z - apart / c.tau_x)), number(scale)
    z, risen, grown = state.rows[Z, a:b], state.rows[C, a:b], state.rows[LATER, a:b]
    for i in range(z.size):
        grown[i] = risen[i] + left * z[i]
    for e in range(c.slots[k], c.slots[k + 1]):
        if c.joints[e, TRACES] >= 0:
            y = state.y[c.joints[e, TRACES] : c.joints[e, TRACES] + c.sizes[c.joints[e, PRE]]]
            _close(c.joints[e], c.row_ends, c.targets, y, grown, weight, sums)


@inner
def _close(joint, row_ends, targets, y, grown, weight, sums):
    """sums += weight y_j grown_i of one slot."""
    n, to, at = unsigned(grown.size), unsigned(joint[SUMS]), unsigned(joint[TARGETS])
    for j in range(y.size):
        size = weight * y[j]
        if size == 0:
            continue
        if joint[ENDS] < 0:
            row = to + unsigned(j) * n
            for i in range(n):
                sums[row + i] += size * grown[i]
        else:
            for s in range(unsigned(row_ends[joint[ENDS] + j]), unsigned(row_ends[joint[ENDS] + j + 1])):
                sums[to + s] += size * grown[unsigned(targets[at + s])]


@inner
def _scale(x, factor):
    """x · factor in place."""
    for i in range(x.size):
        x[i] *= factor


@inner
def move_base(c, k, now, state, scale, sums):
    """The base of population k moves to `now`; where the gate is open (scale ≠ 0), what synapses gain is closed there and
    begun anew."""
    apart, number = now - state.base[k], state.rows.dtype.type
    if scale != 0:
        learn(c, k, now, state, scale, sums)
    fade_x, fade_z = number(math.exp(-apart / c.tau_x)), number(math.exp(-apart / c.tau_z))
    a, b = c.first[k], c.first[k + 1]
    _scale(state.rows[X, a:b], fade_x)
    _scale(state.rows[Z, a:b], fade_z)
    _scale(state.rows[THETA, a:b], number(math.exp(-apart / c.tau_a)))
    for r in range(c.taus.size):
        _scale(state.currents[r, a:b], number(math.exp(-apart / c.taus[r])))
    for e in range(c.slots[k], c.slots[k + 1]):
        if c.joints[e, TRACES] >= 0:
            first = c.joints[e, TRACES]
            _scale(state.y[first : first + c.sizes[c.joints[e, PRE]]], fade_x)
    state.base[k] = now
    edge, risen, z = number(c.edge), state.rows[C, a:b], state.rows[Z, a:b]
    for i in range(z.size):
        risen[i] = -edge * z[i]
