"""Traces of spikes, and what pairs of spikes do to a synapse.

Traces, raised thresholds and synaptic currents are kept as multiples of their decay since the population's *trace origin*, a
moment that moves on before these multiples grow large. So nothing needs to be touched in order to decay.

A rule says what a synapse gains from pairs of spikes while the gate is open (`Pairing`):

    post Σ_post x_j − pre Σ_pre z_i + edge [x_j z_i] from the gate's opening to its closing.

With x_j(s) = y_j e^(−(s−origin)/τ_x), where y_j rises by e^((t−origin)/τ_x) at each arrival and is constant in between, this is

    y_j (C_i + edge z_i e^(−(t−origin)/τ_x)) − Σ_arrivals [e^((t−origin)/τ_x) C_i(t) + pre z_i(t)],

where the accumulator C_i begins at −edge z_i and rises by post e^(−(t−origin)/τ_x) at each spike of i. So nothing is done to a
synapse at postsynaptic spikes, and one pass over a row of synapses at an arrival. The local rule has post = 1 − ρ and pre =
edge = ρ with ρ = τ_x/(τ_x+τ_z), for which all this is ∫ x_j dz_i.
"""

import math
from typing import NamedTuple

from localdfa.core.compiled import always_inline, device, unsigned


class Pairing(NamedTuple):
    """What a synapse gains from pairs of spikes: at a postsynaptic spike post · x_j, at an arrival −pre · z_i, both as they are
    just before it, and edge · x_j z_i from where the gate opens to where it closes."""

    post: float
    pre: float
    edge: float


# The origin moves on before a multiple grows beyond e^8: in ∫ x dz two such numbers are subtracted.
FAR = 8.0


@device
def trace_of_train(
    count,  # number of spikes
    interval,  # between two of them, ms
    age,  # since the last of them, ms
    tau,  # of the trace, ms
):
    """The trace of a periodic train."""
    return (math.exp(-age / tau) - math.exp(-(age + count * interval) / tau)) / (1 - math.exp(-interval / tau))


@device
def trace_at(c, k, origin, multiples, i, tau, now):
    """A trace of neuron i of population k at `now`; multiples: `State.x` or `State.z`, which decay with tau, ms."""
    return multiples[c.first[k] + i] * math.exp((origin[k] - now) / tau)


@always_inline
def rises(time, traces):
    """What a spike at `time` adds to the multiples of the traces x and z."""
    apart = time - traces.origin
    rise = math.exp(apart / traces.tau_x)
    return rise, (rise if traces.tau_x == traces.tau_z else math.exp(apart / traces.tau_z))


@always_inline
def fire(
    i,  # the neuron
    time,  # of its spike, ms
    rise,  # as `rises` gives it
    gained,  # what the spike adds to a synapse for a presynaptic trace of 1: post
    population,  # Population
    listed,  # how many spikes are listed so far
):
    """List a spike of neuron i, and raise its traces and its accumulator; returns how many spikes are listed then."""
    number = population.x.dtype.type
    population.x[i] += number(rise[0])
    population.z[i] += number(rise[1])
    population.accumulator[i] += number(gained / rise[0])
    population.spikes[i] += 1
    population.times[listed], population.senders[listed] = time, i
    return listed + 1


@device
def close_gate(
    c,  # Tables
    k,  # the population
    now,  # ms
    state,  # State
    scale,  # of what synapses gain
    sums,  # (n_sums,) gets it
):
    """Add y_j (C_i + edge z_i) to all synapses of a population that learn."""
    a, b = c.first[k], c.first[k + 1]
    apart, number = now - state.origin[k], state.z.dtype.type
    left, weight = number(c.edge * math.exp(-apart / c.tau_z - apart / c.tau_x)), number(scale)
    z, accumulator, gained = state.z[a:b], state.accumulator[a:b], state.scratch[a:b]
    for i in range(z.size):
        gained[i] = accumulator[i] + left * z[i]
    for e in range(c.first_port[k], c.first_port[k + 1]):
        port = c.ports[e]
        if port.traces >= 0:
            y = state.pre_traces[port.traces : port.traces + c.sizes[port.pre]]
            _add_products(port, c.row_ends, c.targets, y, gained, weight, sums)


@device
def _add_products(port, row_ends, targets, y, gained, weight, sums):
    """sums += weight y_j gained_i of the synapses of one port."""
    n, to, at = unsigned(gained.size), unsigned(port.sums), unsigned(port.targets)
    for j in range(y.size):
        size = weight * y[j]
        if size == 0:
            continue
        if port.rows < 0:
            row = to + unsigned(j) * n
            for i in range(n):
                sums[row + i] += size * gained[i]
        else:
            for s in range(unsigned(row_ends[port.rows + j]), unsigned(row_ends[port.rows + j + 1])):
                sums[to + s] += size * gained[unsigned(targets[at + s])]


@device
def _scale(x, factor):
    """x · factor in place."""
    for i in range(x.size):
        x[i] *= factor


@device
def move_origin(
    c,  # Tables
    k,  # the population
    now,  # ms
    state,  # State
    scale,  # of what synapses gain; 0 while the gate is closed
    sums,  # (n_sums,) gets what they have gained
):
    """Move the trace origin of a population to `now`; while the gate is open, it is closed there and opened anew."""
    apart, number = now - state.origin[k], state.z.dtype.type
    if scale != 0:
        close_gate(c, k, now, state, scale, sums)
    fade_x, fade_z = number(math.exp(-apart / c.tau_x)), number(math.exp(-apart / c.tau_z))
    a, b = c.first[k], c.first[k + 1]
    _scale(state.x[a:b], fade_x)
    _scale(state.z[a:b], fade_z)
    _scale(state.theta[a:b], number(math.exp(-apart / c.tau_a[k])))
    for r in range(c.taus.size):
        _scale(state.currents[r, a:b], number(math.exp(-apart / c.taus[r])))
    for e in range(c.first_port[k], c.first_port[k + 1]):
        port = c.ports[e]
        if port.traces >= 0:
            _scale(state.pre_traces[port.traces : port.traces + c.sizes[port.pre]], fade_x)
    state.origin[k] = now
    edge, accumulator, z = number(c.edge), state.accumulator[a:b], state.z[a:b]
    for i in range(z.size):
        accumulator[i] = -edge * z[i]
