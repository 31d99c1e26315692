"""Dynamic mode: τ > 0, so activity takes time, and a trial of graded events is simulated exactly, without a time step.

Hidden neuron i has the drive a_i = b_i + Σ_j W_ij x_j, where x_j is the sum of the graded events of presynaptic neuron j
that have arrived, `delay` ms after each was sent. Its membrane and its activity are

    τ dv_i/dt = −v_i + a_i − β c_i,     h_i = f(v_i),

with the feedback current c_i in the nudged phases only. Between arrivals v_i relaxes monotonically to a_i − β c_i, and h_i
reaches the level v* = f⁻¹(h_sent ± ε), at which the next event of size ±ε is sent, after τ ln((v − a + βc)/(v* − a + βc)).
Output units are such membranes that send nothing.

At the onset of a trial, t = 0, every v is 0, every input that is not 0 sends its value as one event, and every hidden
neuron with |f(0)| ≥ ε sends f(0). Activity only climbs: nothing that a population does comes back to it within a phase. So
one population after the other is carried through a whole phase, and nothing has to be simulated in common.

The local rule needs ∫ x_j dz_i over the gate, which opens at t0 and closes at t1. As x_j is piecewise constant, exactly

    ∫ x_j dz_i = x_j(t1) ζ_i(t1) − Σ_k Δx_j(t_k) ζ_i(t_k),     ζ_i(t) = z_i(t) − z_i(t0),

summed over the arrivals t_k from neuron j in the gate: only they and the gate's ends are touched.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from localdfa import registry
from localdfa.core import finite, interrupt
from localdfa.core.compiled import compiled, counted
from localdfa.core.events import EVENT, add, projection, routes, sort, stretches
from localdfa.core.kernels import product
from localdfa.errors import NonFiniteError

# The samples of a mini-batch are shared out in so many blocks, whatever the number of threads.
_BLOCKS = 16
# An activity of more thresholds ε than this is refused: a network that diverges would send events without end.
_LEVELS = 1_000_000
# The state of a population of n neurons in a trial is an array (12, n) with these rows. DRIVE: a; V: membrane; LATER: v at
# the next moment of interest; LEVEL: h_sent less its first event, in units of ε; LOW, HIGH: v at which the next event is
# sent; SIGNAL: c; CURRENT: ±βc; APART: v − u at the beginning of a stretch, u the compartment that gets no feedback; Z0: z
# where the gate opened; ZETA: z − z0; U: room for u.
_DRIVE, _V, _LATER, _LEVEL, _LOW, _HIGH, _SIGNAL, _CURRENT, _APART, _Z0, _ZETA, _U = range(12)


@dataclass
class TimedTrial:
    """What a mini-batch of m trials leaves.

    drive: the output units' v (m, n_out) at the end of the free phase; prediction: ŷ (m, n_out) there. total: for each
    projection Σ_samples (1/β) ∫_gate x dz, (n_pre + 1, n_post), the biases last; centered, half the difference between the
    phases at +β and −β; empty without targets. events: number of graded events, those of the inputs included.
    """

    drive: np.ndarray
    prediction: np.ndarray
    total: list[np.ndarray]
    events: int


class Course(NamedTuple):
    """How a trial goes, for the kernels: times in ms.

    tau, delay, epsilon (of the graded events), beta; notice: errors no larger send nothing; clamped: the
    teacher acts on the output's activity; two_compartment: z is read against the neuron's own prediction. edges: where
    the stretches of the trial begin and end, the free phase the first of them; sign: of the nudging in each, 0 while the
    feedback is off; gate: which opening of the gate each stretch is, −1 while it is closed; openings: how many there are.
    """

    tau: float
    delay: float
    epsilon: float
    beta: float
    notice: float
    clamped: bool
    two_compartment: bool
    edges: np.ndarray
    sign: np.ndarray
    gate: np.ndarray
    openings: int


def simulate(network: Any, setting: Any, inputs: np.ndarray, targets: np.ndarray | None = None) -> TimedTrial:
    """Trials of a mini-batch: inputs (m, n_in + 1), the last column ones; targets (m, n_out), or None to end after the
    free phase.

    Raises
    ------
    NonFiniteError
        An activity is infinite or NaN, or diverges; the message names the layer and the row.
    """
    m, course = len(inputs), _course(network, setting, targets is not None)
    sizes, weights, feedback = _flat(network)
    blocks, layers = min(_BLOCKS, m), len(sizes)
    drive, counts, broken = np.zeros((m, sizes[-1])), np.zeros((m, layers), np.int64), np.zeros(m, np.int64)
    late, touched = np.zeros((blocks, len(weights))), np.zeros((blocks, layers - 1), np.bool_)
    pre, post = _room(sizes, course, m)
    target = np.zeros_like(drive) if targets is None else targets.astype(np.float64)
    with interrupt.threads(1) as (pool, cancelled):
        pool.submit(
            _kernels_of(network, setting).batch, registry.cast(network.neuron, float), course, sizes, weights, feedback,
            inputs.astype(np.float64), target, drive, late, touched, pre, post, counts, broken, cancelled,
        ).result()  # fmt: skip
    _refuse(broken, network.n_hidden)
    total = _totals(network, sizes, late, touched, pre, post) if course.openings else []
    drive = drive.astype(network.dtype)
    return TimedTrial(drive, network.predict(drive), total, int(counts.sum()))


def record(network: Any, setting: Any, inputs: np.ndarray, target: np.ndarray | None = None) -> list[np.ndarray]:
    """All graded events of one trial in order of time, an array of `EVENT` for each hidden layer.

    inputs (n_in + 1,) and target (n_out,) are rows of those of `simulate`.
    """
    course = _course(network, setting, target is not None)
    sizes, weights, feedback = _flat(network)
    pre, post = _room(sizes, course, 1)
    counts = np.zeros(len(sizes), np.int64)
    with interrupt.threads(1) as (pool, cancelled):
        queues, broken = pool.submit(
            _kernels_of(network, setting).trial, registry.cast(network.neuron, float), course, sizes, weights, feedback,
            inputs.astype(np.float64), np.zeros(sizes[-1]) if target is None else target.astype(np.float64),
            np.zeros(sizes[-1]), np.zeros(len(weights)), np.zeros(len(sizes) - 1, np.bool_), pre[0], post[0], counts, cancelled,
        ).result()  # fmt: skip
    _refuse(np.array([broken]), network.n_hidden)
    return [queue[:n] for queue, n in zip(queues[1:-1], counts[1:-1], strict=True)]


def _course(network: Any, setting: Any, nudges: bool) -> Course:
    phases = setting.phases
    edges, sign, gate = stretches(phases, nudges)
    return Course(
        float(network.neuron.tau), setting.network.delay, setting.network.threshold, phases.beta,
        setting.feedback.threshold, phases.teacher == "activity",
        phases.propagation == "two_compartment",
        edges, sign, gate, int(gate.max()) + 1,
    )  # fmt: skip


def _flat(network: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes of the layers, all weights end to end, and the routes of the feedback."""
    return np.array(network.sizes), np.concatenate([w.ravel() for w in network.weights]), routes(network)


def _room(sizes: np.ndarray, course: Course, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Where m trials leave x(t1) and ζ(t1) · scale of all projections at each closing of the gate."""
    closings = max(1, course.openings)
    return np.zeros((m, closings, sum(sizes[:-1] + 1))), np.zeros((m, closings, sum(sizes[1:])))


def _refuse(broken: np.ndarray, n_hidden: int) -> None:
    rows = np.flatnonzero(broken)
    if rows.size:
        found, row = int(broken[rows[0]]), int(rows[0])
        layer = finite.layer(abs(found) - 1, n_hidden)
        how = (
            "is not finite"
            if found > 0
            else f"exceeds {_LEVELS} times network.threshold: it diverges, or the threshold is too small"
        )
        raise NonFiniteError(f"an activity of {layer} {how}", row)


def _totals(
    network: Any, sizes: np.ndarray, late: np.ndarray, touched: np.ndarray, pre: np.ndarray, post: np.ndarray
) -> list[np.ndarray]:
    """Σ x(t1) ζ(t1) − Σ Δx ζ of each projection, in an order that does not depend on the threads."""
    totals, row, column = [], 0, 0
    for l, (n_pre, n_post) in enumerate(pairwise(sizes)):
        x = pre[:, :, row : row + n_pre + 1].reshape(-1, n_pre + 1)
        moved = np.ascontiguousarray(post[:, :, column : column + n_post]).reshape(-1, n_post)
        total = np.empty((n_pre + 1, n_post))
        product(1.0, np.ascontiguousarray(x.T), moved, False, total)
        for block in np.flatnonzero(touched[:, l]):
            total -= projection(late[block], sizes, l)
        totals.append(total.astype(network.dtype))
        row, column = row + n_pre + 1, column + n_post
    return totals


@counted
def _relax(state, remains):
    """v once its distance to a − βc has shrunk to the fraction `remains`; returns how many neurons have left their band."""
    left = 0
    for i in range(state.shape[1]):
        to = state[_DRIVE, i] - state[_CURRENT, i]
        later = to + (state[_V, i] - to) * remains
        state[_LATER, i] = later
        left += not ((state[_LOW, i] <= later) & (later <= state[_HIGH, i]))  # a NaN has left, too
    return left


@counted
def _compartment(course, state, age):
    """v − u into the row U: it relaxes to −βc whatever arrives, for both compartments have the drive in common."""
    remains = math.exp(-age / course.tau)
    for i in range(state.shape[1]):
        state[_U, i] = (state[_APART, i] + state[_CURRENT, i]) * remains - state[_CURRENT, i]


class _Kernels(NamedTuple):
    trial: Any
    batch: Any


def _kernels_of(network: Any, setting: Any) -> _Kernels:
    """The kernels for the models of a network and the rule of a setting, which reads the network's own activity if it names
    none: then nothing is taught."""
    neuron, rule = network.neuron.__class__, registry.get("rules", setting.rule)
    postsynaptic = rule.postsynaptic(neuron) if "timed" in rule.engines else neuron.f
    return _kernels(neuron, network.output, postsynaptic, network.pathway.carries)


@cache
def _kernels(neuron: Any, output: Any, postsynaptic: Any, carries: Any) -> _Kernels:
    """The kernels that simulate one trial and a mini-batch of them.

    neuron: model of the hidden neurons; output: of the output units; postsynaptic: a compiled function of its parameters and v,
    the activity z that a synapse reads; carries: what of an output unit the feedback pathway sends back.
    """
    f, inverse, predict_into, error_into = neuron.f, neuron.inverse, output.predict_into, output.error_into

    @counted
    def signals(course, routes, target, states):
        """Feedback signal of every layer from what the pathway carries at the end of the free phase; False if that is nothing.

        The output's own signal is the error e.
        """
        output, start, noticed = states[-1], 0, False
        predict_into(output[_V], output[_U])
        error_into(output[_U], target, output[_SIGNAL])
        for k in range(target.size):
            if abs(output[_SIGNAL, k]) <= course.notice:
                output[_SIGNAL, k] = 0.0
            output[_U, k] = carries(output[_U, k], target[k], output[_SIGNAL, k])
            noticed |= output[_SIGNAL, k] != 0 or output[_U, k] != 0
        for l in range(len(states) - 1):
            state = states[l]
            for k in range(target.size):
                for i in range(state.shape[1]):
                    state[_SIGNAL, i] += output[_U, k] * routes[k, start + i]
            start += state.shape[1]
        return noticed

    @counted
    def first_event(p, epsilon):
        """f(0), or 0 where that is no event."""
        h = f(p, 0.0)
        return h if abs(h) >= epsilon else 0.0

    @counted
    def step(p, epsilon, base, state, i, levels):
        """Move h_sent of neuron i, counted in whole levels so that it cannot drift; its band is f⁻¹(h_sent ± ε)."""
        level = state[_LEVEL, i] + levels
        state[_LEVEL, i] = level
        state[_LOW, i] = inverse(p, base + (level - 1) * epsilon)
        state[_HIGH, i] = inverse(p, base + (level + 1) * epsilon)

    @counted
    def onset(p, course, biases, sends):
        """A population at t = 0, the queue of its events, and how many it has sent."""
        n, queue, sent = biases.size, np.empty(64, EVENT), 0
        base, state = first_event(p, course.epsilon), np.zeros((12, n))
        for i in range(n):
            state[_DRIVE, i] = biases[i]
            state[_LOW, i], state[_HIGH, i] = -np.inf, np.inf
            if sends:
                step(p, course.epsilon, base, state, i, 0)
            if sends and base != 0:
                queue = add(queue, sent, 0.0, i, base)
                sent += 1
        return state, queue, sent

    @counted
    def send(p, course, state, t, until, queue, sent, cancelled):
        """The events of all neurons that leave their band between t and `until`; cancelled (1,): those so far when it is set.

        Returns the queue, how many events are in it, and 1 if an activity is not finite, −1 if it diverges.
        """
        first, base, epsilon = sent, first_event(p, course.epsilon), course.epsilon
        for i in range(state.shape[1]):
            later = state[_LATER, i]
            if cancelled[0] or state[_LOW, i] <= later <= state[_HIGH, i]:
                continue
            if not abs(later) < np.inf:
                return queue, sent, 1
            if abs(f(p, later) - base) > _LEVELS * epsilon:
                return queue, sent, -1
            v, to = state[_V, i], state[_DRIVE, i] - state[_CURRENT, i]
            way = 1 if later > v else -1
            row = _HIGH if later > v else _LOW
            # Each event moves the bound on by one level, of which there are no more than `_LEVELS` up to f(later).
            while way * later > way * state[row, i]:
                # The bound lies between v and `to`; only rounding can take the time out of the interval.
                time = t + course.tau * math.log((v - to) / (state[row, i] - to))
                queue = add(queue, sent, min(max(time, t), until), i, way * epsilon)
                sent += 1
                step(p, epsilon, base, state, i, way)
        sort(queue, first, sent, cancelled)
        return queue, sent, 0

    @counted
    def activity(p, course, output, state, row, out):
        """The z of one row of the state into another; ŷ if these are the output units."""
        if output:
            predict_into(state[row], state[out])
            return
        for i in range(state.shape[1]):
            state[out, i] = postsynaptic(p, state[row, i])

    @counted
    def read(p, course, output, state, age):
        """ζ at `age` ms into a stretch; z is what the rule reads, with two compartments less that of the other."""
        n = state.shape[1]
        activity(p, course, output, state, _V, _ZETA)
        if course.two_compartment:
            _compartment(course, state, age)
            for i in range(n):
                state[_U, i] = state[_V, i] - state[_U, i]
            activity(p, course, output, state, _U, _U)
            for i in range(n):
                state[_ZETA, i] -= state[_U, i]
        for i in range(n):
            state[_ZETA, i] -= state[_Z0, i]

    @counted
    def carry(p, course, k, output, weights, state, x, incoming, queue, counts, late, pre, post, cancelled):
        """One population through stretch k of the trial, with its part of ∫ x dz where the gate is open.

        x (n_pre + 1,): what has arrived, the last always 1; incoming: the events of the population below; counts: [events
        below, those of them received, own events]. pre (n_pre + 1,) gets x(t1), post (n_post,) ζ(t1) · scale, and late
        (n_pre + 1, n_post) adds up Σ Δx ζ · scale, where scale = ±1/β, halved if there are two nudged phases. cancelled (1,):
        ends it when it is set.

        Returns the queue of own events, whether anything came while the gate was open, and what is wrong, as `send`.
        """
        n, t, stop, came, wrong = state.shape[1], course.edges[k], course.edges[k + 1], False, 0
        clamps, gated = output and course.clamped, course.gate[k] >= 0
        scale = course.sign[k] / (course.beta * max(1, course.openings))
        below, received, sent = counts
        for i in range(n):
            state[_CURRENT, i] = 0.0 if clamps else course.sign[k] * course.beta * state[_SIGNAL, i]
        if gated and clamps:
            # ŷ jumps by ∓βe at the onset and stays there: ∫ x dz is x(t0) times the jump.
            for j in range(x.size):
                pre[j] = x[j]
            for i in range(n):
                post[i] = -state[_SIGNAL, i] / course.openings
            gated = False
        if gated:
            for i in range(n):
                state[_Z0, i] = 0.0
            read(p, course, output, state, 0.0)
            for i in range(n):
                state[_Z0, i] = state[_ZETA, i]
        while not cancelled[0]:
            arrives = received < below and incoming[received]["time"] + course.delay < stop
            now = incoming[received]["time"] + course.delay if arrives else stop
            if _relax(state, math.exp((t - now) / course.tau)):
                queue, sent, wrong = send(p, course, state, t, now, queue, sent, cancelled)
                if wrong:
                    break
            for i in range(n):
                state[_V, i] = state[_LATER, i]
            t = now
            if gated:
                read(p, course, output, state, now - course.edges[k])
                came |= arrives
            if not arrives:
                break
            # All that arrives at this moment is taken in at once.
            while received < below and incoming[received]["time"] + course.delay == now:
                j, size = incoming[received]["neuron"], incoming[received]["size"]
                x[j] += size
                for i in range(n):
                    state[_DRIVE, i] += size * weights[j, i]
                if gated:
                    for i in range(n):
                        late[j, i] += scale * size * state[_ZETA, i]
                received += 1
        if gated:
            for j in range(x.size):
                pre[j] = x[j]
            for i in range(n):
                post[i] = state[_ZETA, i] * scale
        if course.two_compartment:
            _compartment(course, state, stop - course.edges[k])
            for i in range(n):
                state[_APART, i] = state[_U, i]
        counts[1], counts[2] = received, sent
        return queue, came, wrong

    @compiled(error_model="numpy", nogil=True)
    def trial(p, course, sizes, weights, routes, inputs, target, drive, late, touched, pre, post, counts, cancelled):
        """One trial: the queues of the inputs and all hidden layers, and the layer that fails (negative: it diverges), or 0.

        late, touched, pre and post are of all projections end to end, pre and post with one row an opening of the gate;
        counts (n_layers + 1,) gets the number of events of each.
        """
        n_layers = sizes.size - 1
        queues = [np.empty(sizes[0] + 1, EVENT)]
        for j in range(sizes[0]):
            if inputs[j] != 0:
                queues[0] = add(queues[0], counts[0], 0.0, j, inputs[j])
                counts[0] += 1
        states, arrived = [], []
        received = np.zeros(n_layers, np.int64)
        for l in range(n_layers):
            state, queue, counts[l + 1] = onset(p, course, projection(weights, sizes, l)[sizes[l]], l < n_layers - 1)
            states.append(state)
            queues.append(queue)
            x = np.zeros(sizes[l] + 1)
            x[sizes[l]] = 1
            arrived.append(x)
        tally = np.zeros(3, np.int64)
        for k in range(course.sign.size):
            if k == 1 and not signals(course, routes, target, states):
                break
            row, column, gate = 0, 0, max(0, course.gate[k])
            for l in range(n_layers):
                output, n_pre, n_post = l == n_layers - 1, sizes[l], sizes[l + 1]
                tally[0], tally[1], tally[2] = counts[l], received[l], counts[l + 1]
                queues[l + 1], came, wrong = carry(
                    p, course, k, output, projection(weights, sizes, l), states[l], arrived[l],
                    queues[l], queues[l + 1], tally, projection(late, sizes, l),
                    pre[gate, row : row + n_pre + 1], post[gate, column : column + n_post], cancelled,
                )  # fmt: skip
                received[l], counts[l + 1] = tally[1], tally[2]
                touched[l] |= came
                if wrong:
                    return queues, wrong * (l + 1)
                row, column = row + n_pre + 1, column + n_post
            if k == 0:
                for i in range(drive.size):
                    drive[i] = states[-1][_V, i]
        return queues, 0

    @compiled(parallel=True, error_model="numpy", nogil=True)
    def batch(p, course, sizes, weights, routes, inputs, targets, drive, late, touched, pre, post, counts, broken, cancelled):
        """The trials of a mini-batch, shared out in blocks; late and touched have one row a block, the others one a trial."""
        m, blocks = inputs.shape[0], late.shape[0]
        for block in prange(blocks):
            for s in range(block * m // blocks, (block + 1) * m // blocks):
                _, broken[s] = trial(
                    p, course, sizes, weights, routes, inputs[s], targets[s],
                    drive[s], late[block], touched[block], pre[s], post[s], counts[s], cancelled,
                )  # fmt: skip

    return _Kernels(trial, batch)
