"""A trial in timed mode (`timed`): what happens from one graded event to the next.

One population after the other is carried through a whole phase, as nothing that it does comes back to it within that phase.
All numbers are float64, whatever the precision of the weights. The functions here are compiled into the kernels of `timed`;
`hooks` are the functions of the models that those kernels serve, and `p` the parameters of the hidden neurons.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, always_inline
from localdfa.core.events import EVENT, longer, put, sort
from localdfa.core.output_hooks import carries, error_into, predict_into

# An activity of more thresholds ε than this is refused: a network that diverges would send events without end.
MOST_LEVELS = 1_000_000


class Schedule(NamedTuple):
    """How a trial goes: its time constants, its thresholds, and its segments, within each of which the nudging is constant."""

    tau: float  # τ of the membranes, ms
    delay: float  # conduction delay of every projection, ms
    epsilon: float  # ε, the size of a graded event
    beta: float  # nudging strength β
    error_threshold: float  # errors that are no larger send nothing
    clamped: bool  # whether the teacher moves the output's activity, and not its drive
    two_compartment: bool  # whether z is read against the neuron's own feed-forward prediction
    edges: np.ndarray  # (n_segments + 1,): where segments begin and end, ms; the first one is the free phase
    sign: np.ndarray  # (n_segments,): of the nudging, 0 while the feedback is off
    gate: np.ndarray  # (n_segments,): which opening of the plasticity gate a segment is, −1 while the gate is closed
    openings: int  # how often the gate opens


class Wiring(NamedTuple):
    """The synapses of a network."""

    sizes: np.ndarray  # (n_layers + 1,): number of neurons of the inputs, the hidden layers and the output
    weights: np.ndarray  # of all projections end to end, each (n_pre + 1, n_post), the biases last; in the network's precision
    feedback: np.ndarray  # (n_out, Σ n_hidden): the feedback signal of a 1 that each output unit sends back


class Outcome(NamedTuple):
    """What m trials leave. A kernel writes it; all arrays are zeros before. Projections and layers lie end to end."""

    drive: np.ndarray  # (m, n_out): v of the output units at the end of the free phase
    events: np.ndarray  # (m, n_layers + 1): how many events the inputs and each layer have sent
    failed: np.ndarray  # (m,): 0, or l for an activity of layer l that is not finite, −l for one that diverges; l from 1
    x_at_close: np.ndarray  # (m, openings, Σ (n_pre + 1)): x(t1)
    zeta_at_close: np.ndarray  # (m, openings, Σ n_post): ζ(t1) · scale, where scale is ±1/(β · openings)
    arrivals: np.ndarray  # (blocks, n_weights): Σ_samples Σ_k Δx(t_k) ζ(t_k) · scale of each block of samples
    arrived: np.ndarray  # (blocks, n_layers): whether anything arrived through a projection while the gate was open


class Population(NamedTuple):
    """The state of a population of n neurons in a trial, each (n,)."""

    drive: np.ndarray  # a
    v: np.ndarray  # membrane
    later: np.ndarray  # v at the next arrival, or at the end of the segment
    level: np.ndarray  # h_sent without the first event, in units of ε
    low: np.ndarray  # v at which an event of size −ε is sent
    high: np.ndarray  # v at which an event of size ε is sent
    signal: np.ndarray  # feedback signal c
    current: np.ndarray  # ±βc, or 0 while the feedback is off
    apart: np.ndarray  # v − u at the beginning of the segment, where u is the compartment that gets no feedback
    z0: np.ndarray  # z where the gate opened
    zeta: np.ndarray  # ζ = z − z0
    scratch: np.ndarray  # of no meaning between functions


class Afferents(NamedTuple):
    """What reaches a population through its projection, in one trial and opening of the gate."""

    weights: np.ndarray  # (n_pre + 1, n_post)
    x: np.ndarray  # (n_pre + 1,): the sum of what has arrived; the last is always 1
    x_at_close: np.ndarray  # (n_pre + 1,), see `Outcome`
    zeta_at_close: np.ndarray  # (n_post,), see `Outcome`
    arrivals: np.ndarray  # (n_pre + 1, n_post), see `Outcome`


class Hooks(NamedTuple):
    """The compiled functions of the models that a kernel serves."""

    f: Any  # activity h of p and v
    inverse: Any  # v of p and h
    postsynaptic: Any  # z of p and v: the activity whose temporal derivative a synapse reads
    output: Any  # `OutputHooks`


@allocating
def carry_out(
    hooks,  # `Hooks`
    p,  # and the rest as of the kernel `trial`
    schedule,
    wiring,
    inputs,
    target,
    outcome,
    s,
    block,
    cancelled,
):
    """One trial; returns the queues of events of the inputs and of all layers."""
    sizes, events = wiring.sizes, outcome.events[s]
    n_layers = sizes.size - 1
    queues = [np.empty(sizes[0] + 1, EVENT)]
    for j in range(sizes[0]):
        if inputs[j] != 0:
            put(queues[0], events[0], 0.0, j, inputs[j])
            events[0] += 1
    populations, arrived_sum = [], []
    received = np.zeros(n_layers, np.int64)
    for l in range(n_layers):
        biases = of_projection(wiring.weights, sizes, l)[sizes[l]]
        population, queue, events[l + 1] = _onset(hooks, p, schedule, biases, l < n_layers - 1)
        populations.append(population)
        queues.append(queue)
        x = np.zeros(sizes[l] + 1)
        x[sizes[l]] = 1
        arrived_sum.append(x)
    counts = np.zeros(3, np.int64)
    for k in range(schedule.sign.size):
        if k == 1 and not _set_signals(hooks, schedule, wiring, target, populations):
            break
        row, column, opening = 0, 0, max(0, schedule.gate[k])
        for l in range(n_layers):
            n_pre, n_post = sizes[l], sizes[l + 1]
            afferents = Afferents(
                weights=of_projection(wiring.weights, sizes, l),
                x=arrived_sum[l],
                x_at_close=outcome.x_at_close[s, opening, row : row + n_pre + 1],
                zeta_at_close=outcome.zeta_at_close[s, opening, column : column + n_post],
                arrivals=of_projection(outcome.arrivals[block], sizes, l),
            )
            counts[0], counts[1], counts[2] = events[l], received[l], events[l + 1]
            queues[l + 1], came, failure = _carry_through(
                hooks,
                p,
                schedule,
                k,
                l == n_layers - 1,
                populations[l],
                afferents,
                queues[l],
                queues[l + 1],
                counts,
                cancelled,
            )
            received[l], events[l + 1] = counts[1], counts[2]
            outcome.arrived[block, l] |= came
            if failure:
                outcome.failed[s] = failure * (l + 1)
                return queues
            row, column = row + n_pre + 1, column + n_post
        if k == 0:
            for i in range(target.size):
                outcome.drive[s, i] = populations[-1].v[i]
    return queues


@allocating
def of_projection(flat, sizes, l):
    """The part of projection l, (n_pre + 1, n_post), of an array in which those of all projections lie end to end: a view."""
    start = 0
    for k in range(l):
        start += (sizes[k] + 1) * sizes[k + 1]
    return flat[start : start + (sizes[l] + 1) * sizes[l + 1]].reshape(sizes[l] + 1, sizes[l + 1])


@allocating
def _onset(
    hooks,  # `Hooks`
    p,  # parameters of the hidden neurons
    schedule,  # `Schedule`
    biases,  # (n,)
    sends,  # whether these neurons send events; output units do not
):
    """The state of a population at t = 0, the queue of its events, and how many it has sent."""
    n, sent = biases.size, 0
    queue = np.empty(max(64, n), EVENT)
    first = _first_event(hooks, p, schedule.epsilon)
    population = Population(
        drive=biases.astype(np.float64),
        v=np.zeros(n),
        later=np.zeros(n),
        level=np.zeros(n),
        low=np.full(n, -np.inf),
        high=np.full(n, np.inf),
        signal=np.zeros(n),
        current=np.zeros(n),
        apart=np.zeros(n),
        z0=np.zeros(n),
        zeta=np.zeros(n),
        scratch=np.zeros(n),
    )
    for i in range(n):
        if sends:
            _move_level(hooks, p, schedule.epsilon, first, population, i, 0)
        if sends and first != 0:
            put(queue, sent, 0.0, i, first)
            sent += 1
    return population, queue, sent


@always_inline
def _first_event(hooks, p, epsilon):
    """The size of the event that each neuron sends at t = 0: f(0), or 0 where that is less than ε."""
    h = hooks.f(p, 0.0)
    return h if abs(h) >= epsilon else 0.0


@always_inline
def _move_level(
    hooks,  # `Hooks`
    p,  # parameters of the hidden neurons
    epsilon,  # ε
    first,  # the size of the first event
    population,  # `Population`
    i,  # the neuron
    levels,  # by how many events h_sent moves
):
    """Move h_sent of a neuron, and its next thresholds v* = f⁻¹(h_sent ± ε) with it.

    h_sent is counted in whole levels of ε, so that rounding cannot let it drift.
    """
    level = population.level[i] + levels
    population.level[i] = level
    population.low[i] = hooks.inverse(p, first + (level - 1) * epsilon)
    population.high[i] = hooks.inverse(p, first + (level + 1) * epsilon)


@allocating
def _set_signals(
    hooks,  # `Hooks`
    schedule,  # `Schedule`
    wiring,  # `Wiring`
    target,  # (n_out,)
    populations,  # list of `Population`, at the end of the free phase
):
    """Set the feedback signal of every layer; returns whether there is any. The output's own signal is the error e."""
    output, start, any_signal = populations[-1], 0, False
    error, carried = output.signal, output.scratch
    predict_into(hooks.output.predict_into, output.v, carried)
    error_into(hooks.output.error_into, carried, target, error)
    for k in range(target.size):
        if abs(error[k]) <= schedule.error_threshold:
            error[k] = 0.0
        carried[k] = carries(hooks.output.carries, carried[k], target[k], error[k])
        any_signal |= error[k] != 0 or carried[k] != 0
    for l in range(len(populations) - 1):
        signal = populations[l].signal
        for k in range(target.size):
            for i in range(signal.size):
                signal[i] += carried[k] * wiring.feedback[k, start + i]
        start += signal.size
    return any_signal


@allocating
def _carry_through(
    hooks,  # `Hooks`
    p,  # parameters of the hidden neurons
    schedule,  # `Schedule`
    k,  # the number of the segment
    is_output,  # whether these are the output units
    population,  # `Population`
    afferents,  # `Afferents`
    incoming,  # queue of the events of the population below
    queue,  # queue of the events of this population
    counts,  # (3,): events below, how many of them have arrived, events of this population; the last two are changed
    cancelled,  # (1,): ends the segment when it is set
):
    """Carry one population through a segment of the trial, with its part of ∫ x dz where the gate is open.

    Returns the queue of its events, whether anything arrived while the gate was open, and the failure as `_send` says it.
    """
    begin, end, n = schedule.edges[k], schedule.edges[k + 1], population.v.size
    sign, clamps, gated = schedule.sign[k], is_output and schedule.clamped, schedule.gate[k] >= 0
    scale = sign / (schedule.beta * max(1, schedule.openings))
    drive, v, later, zeta = population.drive, population.v, population.later, population.zeta
    x, weights, arrivals = afferents.x, afferents.weights, afferents.arrivals
    below, received, sent = counts
    came, failure, t = False, 0, begin
    for i in range(n):
        population.current[i] = 0.0 if clamps else sign * schedule.beta * population.signal[i]
    if gated and clamps:
        # ŷ jumps by ∓βe at the onset and stays there: ∫ x dz is x(t0) times the jump.
        for j in range(x.size):
            afferents.x_at_close[j] = x[j]
        for i in range(n):
            afferents.zeta_at_close[i] = -population.signal[i] / schedule.openings
        gated = False
    if gated:
        for i in range(n):
            population.z0[i] = 0.0
        _set_zeta(hooks, p, schedule, is_output, population, 0.0)
        for i in range(n):
            population.z0[i] = zeta[i]
    while not cancelled[0]:
        arrives = received < below and incoming[received]["time"] + schedule.delay < end
        now = incoming[received]["time"] + schedule.delay if arrives else end
        if _relax(population, math.exp((t - now) / schedule.tau)):
            begun, next_one = sent, 0
            while next_one < n and not failure:
                sent, next_one, failure = _send(hooks, p, schedule, population, next_one, t, now, queue, sent, cancelled)
                if next_one < n and not failure:
                    queue = longer(queue)
            if failure:
                break
            sort(queue, begun, sent, cancelled)
        for i in range(n):
            v[i] = later[i]
        t = now
        if gated:
            _set_zeta(hooks, p, schedule, is_output, population, now - begin)
            came |= arrives
        if not arrives:
            break
        # All that arrives at this moment is taken in at once.
        while received < below and incoming[received]["time"] + schedule.delay == now:
            j, size = incoming[received]["neuron"], incoming[received]["size"]
            x[j] += size
            for i in range(n):
                drive[i] += size * weights[j, i]
            if gated:
                for i in range(n):
                    arrivals[j, i] += scale * size * zeta[i]
            received += 1
    if gated:
        for j in range(x.size):
            afferents.x_at_close[j] = x[j]
        for i in range(n):
            afferents.zeta_at_close[i] = zeta[i] * scale
    if schedule.two_compartment:
        _difference_of_compartments(schedule, population, end - begin, population.apart)
    counts[1], counts[2] = received, sent
    return queue, came, failure


@always_inline
def _relax(
    population,  # `Population`
    remains,  # the fraction of v's distance to a − βc that remains
):
    """Write v at the next moment of interest into `later`; returns how many neurons leave their thresholds behind."""
    drive, current, v, later = population.drive, population.current, population.v, population.later
    low, high, leaving = population.low, population.high, 0
    for i in range(v.size):
        to = drive[i] - current[i]
        reached = to + (v[i] - to) * remains
        later[i] = reached
        leaving += not ((low[i] <= reached) & (reached <= high[i]))  # a NaN leaves, too
    return leaving


@always_inline
def _send(
    hooks,  # `Hooks`
    p,  # parameters of the hidden neurons
    schedule,  # `Schedule`
    population,  # `Population`
    start,  # the neuron to begin with
    t,  # ms, where v is
    until,  # ms, where v is `later`
    queue,  # queue of the events of this population
    sent,  # how many events are in it
    cancelled,  # (1,): when it is set, nothing more is sent
):
    """Send the events of all neurons, from one on, that leave their thresholds behind between t and `until`.

    Returns how many events are in the queue; the neuron to go on with, n unless the queue is full before; and the failure: 1 if
    an activity is not finite, −1 if it diverges, else 0.
    """
    first = _first_event(hooks, p, schedule.epsilon)
    for i in range(start, population.v.size):
        if cancelled[0] or _stays(population, i):
            continue
        if not abs(population.later[i]) < np.inf:
            return sent, i, 1
        if abs(hooks.f(p, population.later[i]) - first) > MOST_LEVELS * schedule.epsilon:
            return sent, i, -1
        way = 1 if population.later[i] > population.v[i] else -1
        # Each event moves the thresholds by one level, of which there are no more than `MOST_LEVELS` up to f(later).
        while _passes(population, i, way):
            if sent == queue.size:
                return sent, i, 0
            # Only rounding can take the time out of the interval.
            time = min(max(_time_of_passing(schedule, population, i, way, t), t), until)
            put(queue, sent, time, i, way * schedule.epsilon)
            sent += 1
            _move_level(hooks, p, schedule.epsilon, first, population, i, way)
    return sent, population.v.size, 0


@always_inline
def _stays(population, i):
    """Whether neuron i stays between its thresholds."""
    return population.low[i] <= population.later[i] <= population.high[i]


@always_inline
def _passes(population, i, way):
    """Whether neuron i passes its threshold above (way 1) or below (way −1)."""
    threshold = population.high[i] if way > 0 else population.low[i]
    return way * population.later[i] > way * threshold


@always_inline
def _time_of_passing(schedule, population, i, way, t):
    """When neuron i, which is at v at time t, passes its threshold; that lies between v and what v relaxes to."""
    threshold = population.high[i] if way > 0 else population.low[i]
    to = population.drive[i] - population.current[i]
    return t + schedule.tau * math.log((population.v[i] - to) / (threshold - to))


@always_inline
def _set_zeta(
    hooks,  # `Hooks`
    p,  # parameters of the hidden neurons
    schedule,  # `Schedule`
    is_output,  # whether these are the output units
    population,  # `Population`
    age,  # ms since the segment began
):
    """Write ζ; z is what the rule reads, with two compartments minus that of the compartment without feedback."""
    zeta, u = population.zeta, population.scratch
    _activity(hooks, p, is_output, population.v, zeta)
    if schedule.two_compartment:
        _difference_of_compartments(schedule, population, age, u)
        for i in range(u.size):
            u[i] = population.v[i] - u[i]
        _activity(hooks, p, is_output, u, u)
        for i in range(u.size):
            zeta[i] -= u[i]
    for i in range(zeta.size):
        zeta[i] -= population.z0[i]


@always_inline
def _activity(hooks, p, is_output, v, z):
    """Write the z of membranes v, or ŷ if these are the output units; v and z may be the same array."""
    if is_output:
        predict_into(hooks.output.predict_into, v, z)
    else:
        for i in range(v.size):
            z[i] = hooks.postsynaptic(p, v[i])


@always_inline
def _difference_of_compartments(
    schedule,  # `Schedule`
    population,  # `Population`
    age,  # ms since the segment began
    out,  # (n,), may be population.apart
):
    """Write v − u: both compartments have the drive in common, so it relaxes to −βc whatever arrives."""
    remains = math.exp(-age / schedule.tau)
    for i in range(out.size):
        out[i] = (population.apart[i] + population.current[i]) * remains - population.current[i]
