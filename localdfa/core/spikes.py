"""Spiking mode: every spike at its exact time, without a time step.

Neuron i of the first hidden layer has the constant drive I_i = b_i + Σ_j W_ij x_j of the analog inputs; above it the drive
is b_i, and each spike of neuron j below moves v_i by W_ij gain/τ_m (a delta synapse), `delay` ms after it was sent. Every
drive has the model's own baseline besides, and in the nudged phases the feedback current −β c_i. At the onset of a trial
every v is v_reset and every trace 0.

Conventions. A spike comes when v reaches the threshold, by drift or by a jump. In the t_ref ms after it, v stays at v_reset
and what arrives is lost. What arrives at one moment is taken in at once. Phases are half open: a spike at the edge belongs
to the later one.

Between arrivals nothing happens but relaxation in closed form. All neurons of a layer get each spike, so they share their
clock: one exp an arrival and one pass over a row of weights. A drive that stays constant makes spikes periodic, so that the
first layer goes through a whole phase at once, its traces a geometric series.

The synapse reads the traces x_j of the arrivals and z_i of the postsynaptic spikes, which jump by 1 and decay with τ_x and
τ_z. Exactly, for the gate from t0 to t1,

    ∫ x_j dz_i = τ_z/(τ_x+τ_z) Σ_post x_j − τ_x/(τ_x+τ_z) Σ_pre z_i + τ_x/(τ_x+τ_z) [x_j z_i]_{t0}^{t1},

with x_j just before each postsynaptic spike and z_i just before each arrival: pair STDP of equal areas, and a term for the
gate. The x of the integral is the one just before; so where an arrival makes the neuron fire, its spike does not count the
x of that arrival, and the arrival then reads the z that the spike has raised. With a constant input, ∫ x_j dz_i =
x_j (z_i(t1) − z_i(t0)). In units of activity, h = gain · rate, these are x gain/τ_x and z gain/τ_z.

With two compartments, also where the gate is to hold the forward activity (a nudge lasts many conduction delays), the soma
gets no feedback and sends the spikes that upper layers see; its apical twin gets the same drive and the feedback current,
sends nothing, and its trace is z. Live, one compartment does both. The readout sends no spikes: it integrates the spikes of
the top layer with the time constant τ_x, a_y = b + Σ_j W_yj x_j gain/τ_x, without a delay.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from localdfa import registry
from localdfa.core import finite
from localdfa.core.events import EVENT, add, projection, routes, sort, stretches
from localdfa.core.kernels import product
from localdfa.errors import NonFiniteError

# The samples of a mini-batch are shared out in so many blocks, whatever the number of threads.
_BLOCKS = 16
# Traces are kept as multiples of e^(−(t − base)/τ); the base moves on before these grow beyond e^30.
_FAR = 30.0
# The state of a population of n neurons in a trial is an array (8, n) with these rows. DRIVE: constant drive; CURRENT: ±βc;
# V: membrane; LATER: v at the next moment of interest; UNTIL: end of the last refractory period; X, Z: traces of the own
# spikes with τ_x, τ_z; COUNT: spikes.
_DRIVE, _CURRENT, _V, _LATER, _UNTIL, _X, _Z, _COUNT = range(8)


@dataclass
class SpikingTrial:
    """What a mini-batch of m trials leaves.

    drive: the readout a_y (m, n_out) at the end of the free phase; prediction: ŷ (m, n_out) there. counts: spikes of each
    hidden layer's neurons in the free phase, (m, n_l). sent, change: for each projection whose Σ_samples (1/β) ∫_gate x dz
    is Σ sentᵀ change, its factors (m, n_pre + 1) and (m, n_post), else None; total: for the others that sum, (n_pre + 1,
    n_post), the biases last, else None. Centered, it is half the difference between the phases at +β and −β. All three are
    empty without targets. events: number of spikes, those of the twins included.
    """

    drive: np.ndarray
    prediction: np.ndarray
    counts: list[np.ndarray]
    sent: list[np.ndarray | None]
    change: list[np.ndarray | None]
    total: list[np.ndarray | None]
    events: int

    def totals(self) -> list[np.ndarray]:
        """Σ_samples (1/β) ∫_gate x dz of every projection, (n_pre + 1, n_post)."""
        factors = zip(self.sent, self.change, strict=True)
        return [s.T @ c if t is None else t for (s, c), t in zip(factors, self.total, strict=True)]  # type: ignore[union-attr]


class Course(NamedTuple):
    """How a trial goes, for the kernels: times in ms.

    tau_m: of the membranes; tau_x, tau_z: of the traces; delay; beta; notice: errors no larger nudge nothing; softmax:
    output units; twin: two compartments. edges, sign, gate: as `stretches` gives them; openings: of the gate.
    """

    tau_m: float
    tau_x: float
    tau_z: float
    delay: float
    beta: float
    notice: float
    softmax: bool
    twin: bool
    edges: np.ndarray
    sign: np.ndarray
    gate: np.ndarray
    openings: int


class _Room(NamedTuple):
    """Where trials leave what they find, one row a trial, or a block of trials for post and pre; all layers end to end.

    readout (m, n_out): a_y at the end of the free phase; error (m, n_out); counts (m, Σ n_hidden); events (m,). change
    (m, n_1): Σ scale (z(t1) − z(t0)) of the first layer, scale = ±1/β over the openings of the gate. clamped (m, n_L): the
    mean x of the top layer where the gate opens. edge_x, edge_z (m, openings, 2, Σ n): x, and −scale z(t0) and scale z(t1),
    at both ends of the gate, of the projections between hidden layers. post (blocks, Σ n_post n_pre): Σ_post scale x_j;
    pre (blocks, Σ n_pre n_post): Σ_pre scale z_i.
    """

    readout: np.ndarray
    error: np.ndarray
    counts: np.ndarray
    events: np.ndarray
    change: np.ndarray
    clamped: np.ndarray
    edge_x: np.ndarray
    edge_z: np.ndarray
    post: np.ndarray
    pre: np.ndarray


def simulate(network: Any, setting: Any, inputs: np.ndarray, targets: np.ndarray | None = None) -> SpikingTrial:
    """Trials of a mini-batch: inputs (m, n_in + 1), the last column ones; targets (m, n_out), or None to end after the
    free phase.

    Raises
    ------
    NonFiniteError
        A drive or a weight is infinite or NaN; the message names the layer and, for a drive, the row.
    """
    m, course = len(inputs), _course(network, setting, targets is not None)
    sizes, weights = _upper(network, course)
    room = _room(sizes, course, m, min(_BLOCKS, m))
    target = np.zeros(room.readout.shape) if targets is None else targets.astype(np.float64)
    _kernels(network.neuron.__class__).batch(
        registry.cast(network.neuron, float), course, sizes, weights, routes(network), _driven(network, inputs), target, room
    )
    drive = room.readout.astype(network.dtype)
    finite.require(drive, "an activity", network.n_hidden, network.n_hidden)
    counts = np.split(room.counts, np.cumsum(sizes[:-2]), axis=1)
    learned = _learned(network, course, sizes, inputs, room) if course.openings else ([], [], [])
    return SpikingTrial(drive, network.predict(drive), counts, *learned, int(room.events.sum()))


def record(
    network: Any, setting: Any, inputs: np.ndarray, target: np.ndarray | None = None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All spikes of one trial in order of time, an array of `EVENT` for each hidden layer; and those of the twins.

    inputs (n_in + 1,) and target (n_out,) are rows of those of `simulate`. A twin is there from the first nudge on, if at
    all.
    """
    course = _course(network, setting, target is not None)
    sizes, weights = _upper(network, course)
    room = _room(sizes, course, 1, 1)
    wanted = np.zeros(sizes[-1]) if target is None else target.astype(np.float64)
    queues, sent = _kernels(network.neuron.__class__).trial(
        registry.cast(network.neuron, float),
        course,
        sizes,
        weights,
        routes(network),
        _driven(network, inputs[None])[0],
        wanted,
        True,
        room,
        0,
        0,
    )
    spikes = [queue[:n] for queue, n in zip(queues, sent, strict=True)]
    return spikes[: network.n_hidden], spikes[network.n_hidden :]


def _course(network: Any, setting: Any, nudges: bool) -> Course:
    edges, sign, gate = stretches(setting.phases, nudges)
    return Course(
        float(network.neuron.tau_m), setting.trace.tau_x, setting.trace.tau_z, setting.network.delay, setting.phases.beta,
        setting.feedback.threshold, network.output == "softmax", setting.phases.propagation != "live",
        edges, sign, gate, int(gate.max()) + 1,
    )  # fmt: skip


def _driven(network: Any, inputs: np.ndarray) -> np.ndarray:
    """The constant drive of the first layer, (m, n_1), without the baseline."""
    drive = np.empty((len(inputs), network.sizes[1]), network.dtype)
    product(1.0, inputs, network.weights[0], False, drive)
    finite.require(drive, "a drive", 0, network.n_hidden)
    return drive.astype(np.float64)


def _upper(network: Any, course: Course) -> tuple[np.ndarray, np.ndarray]:
    """Sizes from the first hidden layer on, and the weights above it end to end: what each spike adds, and biases."""
    found, gain = [], float(network.neuron.gain)
    for l, weights in enumerate(network.weights[1:], start=1):
        if not np.isfinite(weights).all():
            raise NonFiniteError(f"a weight of {finite.layer(l, network.n_hidden)} is not finite")
        jumps = weights.astype(np.float64)
        jumps[:-1] *= gain / (course.tau_x if l == network.n_hidden else course.tau_m)
        found.append(jumps.ravel())
    return np.array(network.sizes[1:]), np.concatenate(found)


def _room(sizes: np.ndarray, course: Course, m: int, blocks: int) -> _Room:
    hidden, n_out = sizes[:-1], sizes[-1]
    synapses = int((hidden[:-1] * hidden[1:]).sum()) if course.openings else 0
    return _Room(
        np.zeros((m, n_out)), np.zeros((m, n_out)), np.zeros((m, hidden.sum()), np.int64), np.zeros(m, np.int64),
        np.zeros((m, hidden[0])), np.zeros((m, hidden[-1])),
        np.zeros((m, course.openings, 2, hidden[:-1].sum())), np.zeros((m, course.openings, 2, hidden[1:].sum())),
        np.zeros((blocks, synapses)), np.zeros((blocks, synapses)),
    )  # fmt: skip


def _learned(network: Any, course: Course, sizes: np.ndarray, inputs: np.ndarray, room: _Room) -> tuple[list, list, list]:
    """Factors and totals of all projections, in units of activity, summed in an order that no thread changes."""
    dtype, gain = network.dtype, float(network.neuron.gain)
    clamped = np.ones((len(inputs), sizes[-2] + 1), dtype)
    clamped[:, :-1] = gain / course.tau_x * room.clamped
    between = [None] * (network.n_hidden - 1)
    sent = [inputs, *between, clamped]
    change = [(gain / course.tau_z * room.change).astype(dtype), *between, -room.error.astype(dtype)]
    total: list[np.ndarray | None] = [None]
    row, column, synapse = 0, 0, 0
    for n_pre, n_post in pairwise(sizes[:-1]):
        x = room.edge_x[..., row : row + n_pre].reshape(-1, n_pre)
        z = np.ascontiguousarray(room.edge_z[..., column : column + n_post]).reshape(-1, n_post)
        found, several = np.empty((n_pre + 1, n_post)), slice(synapse, synapse + n_pre * n_post)
        product(1.0, np.ascontiguousarray(x.T), z, False, found[:-1])
        found[:-1] -= room.pre[:, several].sum(axis=0).reshape(n_pre, n_post)
        found[:-1] *= course.tau_x
        found[:-1] += course.tau_z * room.post[:, several].sum(axis=0).reshape(n_post, n_pre).T
        found[:-1] *= gain / course.tau_x / (course.tau_x + course.tau_z)
        found[-1] = z.sum(axis=0)
        total.append((gain / course.tau_z * found).astype(dtype))
        row, column, synapse = row + n_pre, column + n_post, synapse + n_pre * n_post
    return sent, change, [*total, None]


@njit(error_model="numpy")
def _errors(course, readout, target, error):
    """ŷ − y where it is noticed, else 0, from the drive of the output units; returns whether there is any."""
    noticed, n = False, readout.size
    largest, total = -np.inf, 0.0
    for k in range(n):
        largest = max(largest, readout[k])
    for k in range(n):
        total += math.exp(readout[k] - largest)
    for k in range(n):
        predicted = math.exp(readout[k] - largest) / total if course.softmax else 0.5 * (1 + math.tanh(0.5 * readout[k]))
        error[k] = predicted - target[k] if abs(predicted - target[k]) > course.notice else 0.0
        noticed |= error[k] != 0
    return noticed


@njit(error_model="numpy")
def _read_out(weights, state, readout):
    """a_y = b + Σ W x, weights (n_pre + 1, n_out) of all that a trace of 1 adds."""
    n = state.shape[1]
    for k in range(readout.size):
        readout[k] = weights[n, k]
    for i in range(n):
        for k in range(readout.size):
            readout[k] += state[_X, i] * weights[i, k]


@njit(error_model="numpy")
def _series(count, interval, age, tau):
    """The trace of `count` spikes one `interval` apart, the last of them `age` ms ago."""
    return (math.exp(-age / tau) - math.exp(-(age + count * interval) / tau)) / (1 - math.exp(-interval / tau))


@njit(error_model="numpy")
def _leap(v, later, to, remains, jump, threshold):
    """v after its distance to the drive has shrunk to the fraction `remains` and jumped; how many have met the threshold.

    A refractory neuron has v = −∞, and keeps it.
    """
    met = 0
    for i in range(v.size):
        relaxed = to[i] + (v[i] - to[i]) * remains
        later[i] = relaxed + jump[i]
        met += (relaxed >= threshold) | (later[i] >= threshold)
    return met


@njit(error_model="numpy")
def _find(v, to, remains, jump, threshold, count, found):
    """The `count` neurons that have met the threshold in `_leap`."""
    i, met = 0, 0
    while met < count and i < v.size:
        relaxed = to[i] + (v[i] - to[i]) * remains
        if relaxed >= threshold or relaxed + jump[i] >= threshold:
            found[met] = i
            met += 1
        i += 1


@njit(error_model="numpy")
def _wake(asleep, sleepers, until, now, later, found):
    """The neurons whose refractory period is over move from `asleep` to `found`, the others keep v = −∞.

    Returns how many sleep on, and how many have woken.
    """
    left, woken = 0, 0
    for e in range(sleepers):
        i = asleep[e]
        later[i] = -np.inf
        if until[i] <= now:
            found[woken] = i
            woken += 1
        else:
            asleep[left] = i
            left += 1
    return left, woken


@njit(error_model="numpy")
def _move_base(course, state, x, apart):
    """Traces as multiples of a decay that begins `apart` ms later."""
    fade_x, fade_z = math.exp(-apart / course.tau_x), math.exp(-apart / course.tau_z)
    for j in range(x.size):
        x[j] *= fade_x
    for i in range(state.shape[1]):
        state[_X, i] *= fade_x
        state[_Z, i] *= fade_z


@njit(error_model="numpy")
def _spike(course, state, i, apart, scale, x, post):
    """A spike of neuron i, `apart` ms after the base: its traces rise and, where the gate is open, its synapses read x."""
    state[_X, i] += math.exp(apart / course.tau_x)
    state[_Z, i] += math.exp(apart / course.tau_z)
    state[_COUNT, i] += 1
    if scale != 0:
        decayed, row = scale * math.exp(-apart / course.tau_x), post[i]
        for j in range(row.size):
            row[j] += decayed * x[j]


@njit(error_model="numpy")
def _feed_back(feedback, error, signal):
    """c = Σ_k e_k · feedback[k] of all hidden neurons."""
    for k in range(error.size):
        for i in range(signal.size):
            signal[i] += error[k] * feedback[k, i]


@njit(error_model="numpy")
def _last_gate(course):
    """The last stretch with an open gate, −1 if there is none; nothing after it matters."""
    last = -1
    for k in range(course.gate.size):
        if course.gate[k] >= 0:
            last = k
    return last


@njit(error_model="numpy")
def _gate(room, s, opening, end, scale, state, x, column, upper):
    """Note x and scale · z of a population where the gate opens (end 0) or closes (1).

    column: of its first neuron among all hidden neurons; upper: among those above the first layer.
    """
    n, n_pre = state.shape[1], x.size
    for i in range(n):
        if n_pre == 0:
            room.change[s, i] += scale * state[_Z, i]
        else:
            room.edge_z[s, opening, end, upper + i] = scale * state[_Z, i]
    for j in range(n_pre):
        room.edge_x[s, opening, end, column - n_pre + j] = x[j]


class _Kernels(NamedTuple):
    driven: Any
    trial: Any
    batch: Any


@cache
def _kernels(neuron: Any) -> _Kernels:
    """The kernels that simulate one trial and a mini-batch of them, for one model of hidden neurons."""
    relax, wait = neuron.relax, neuron.wait

    @njit(error_model="numpy")
    def onset(p, drive):
        """A population at the onset of a trial; drive (n,) without the baseline."""
        state = np.zeros((8, drive.size))
        for i in range(drive.size):
            state[_DRIVE, i] = drive[i] + p.baseline
            state[_V, i], state[_UNTIL, i] = p.v_reset, -np.inf
        return state

    @njit(error_model="numpy")
    def periodic(p, course, t, stop, state, sends, queue, sent):
        """A population under constant drive from t to stop; spikes are listed if it sends. Returns the queue of them."""
        before = sent
        fade_x, fade_z = math.exp((t - stop) / course.tau_x), math.exp((t - stop) / course.tau_z)
        for i in range(state.shape[1]):
            v, to, start = state[_V, i], state[_DRIVE, i] - state[_CURRENT, i], max(t, state[_UNTIL, i])
            first = start + wait(p, v, to)
            state[_X, i] *= fade_x
            state[_Z, i] *= fade_z
            if not first < stop:
                if start < stop:
                    state[_V, i] = relax(p, v, to, stop - start)
                continue
            interval = p.t_ref + wait(p, p.v_reset, to)
            count = 1 + int((stop - first) / interval)
            # The quotient is rounded; which spikes come before `stop` is not.
            if count > 1 and first + (count - 1) * interval >= stop:
                count -= 1
            elif first + count * interval < stop:
                count += 1
            last = first + (count - 1) * interval if count > 1 else first
            trace = _series(count, interval, stop - last, course.tau_z)
            state[_Z, i] += trace
            state[_X, i] += trace if course.tau_x == course.tau_z else _series(count, interval, stop - last, course.tau_x)
            until = last + p.t_ref
            state[_V, i] = relax(p, p.v_reset, to, stop - until) if until < stop else p.v_reset
            state[_UNTIL, i] = until
            state[_COUNT, i] += count
            if sends:
                for k in range(count):
                    queue = add(queue, sent, first + k * interval, i, 1.0)
                    sent += 1
        if sends:
            sort(queue, before, sent)
        return queue, sent

    @njit(error_model="numpy")
    def settle(p, course, state, i, v, start, now, base, jump, scale, x, post, sends, queue, sent):
        """Neuron i, awake with v at `start`, through all its spikes until `now` and the jump there.

        Returns v, −∞ if it is then refractory, and the queue of its population.
        """
        to = state[_DRIVE, i] - state[_CURRENT, i]
        relaxed, drifts = relax(p, v, to, now - start), True
        while drifts:
            drifts = relaxed >= p.v_th
            if not drifts and not relaxed + jump >= p.v_th:
                return relaxed + jump, queue, sent
            # Only rounding can take a crossing by drift out of the interval.
            time = min(start + wait(p, v, to), now) if drifts else now
            _spike(course, state, i, time - base, scale, x, post)
            if sends:
                queue = add(queue, sent, time, i, 1.0)
                sent += 1
            v, start = p.v_reset, time + p.t_ref
            state[_UNTIL, i] = start
            if start > now:
                break
            relaxed = relax(p, v, to, now - start)
        return -np.inf, queue, sent

    @njit(error_model="numpy")
    def driven(p, course, k, weights, incoming, below, received, state, x, scale, post, pre, sends, queue, sent):
        """A population that gets spikes through stretch k of the trial.

        weights (n_pre + 1, n_post): the jumps; incoming: the queue of the population below, `received` of whose `below`
        spikes have arrived; x (n_pre,): their traces. scale: 0 while the gate is closed; else post (n_post, n_pre) adds up
        scale x_j at every spike of neuron i, and pre (n_pre, n_post) scale z_i at every arrival.

        Returns the queue of own spikes, and how many have arrived.
        """
        n, t, stop, base = state.shape[1], course.edges[k], course.edges[k + 1], course.edges[k]
        far = _FAR * min(course.tau_x, course.tau_z)
        v, later, to, together = state[_V], state[_LATER], state[_DRIVE] - state[_CURRENT], np.empty(n)
        when, who = incoming["time"], incoming["neuron"]  # a view of each: a record of the queue costs a reference count
        asleep, sleepers, found = np.empty(n, np.int64), 0, np.empty(n, np.int64)
        for i in range(n):
            if state[_UNTIL, i] > t:
                v[i], asleep[sleepers] = -np.inf, i
                sleepers += 1
        while True:
            arrives = received < below and when[received] + course.delay < stop
            now, upto = when[received] + course.delay if arrives else stop, received + arrives
            while arrives and upto < below and when[upto] + course.delay == now:
                upto += 1
            jump = together
            if upto - received == 1:
                jump = weights[who[received]]
            else:
                jump[:] = 0
                for e in range(received, upto):
                    row = weights[who[e]]
                    for i in range(n):
                        jump[i] += row[i]
            if now - base > far:
                _move_base(course, state, x, now - base)
                base = now
            before, remains = sent, math.exp((t - now) / course.tau_m)
            # Those that sleep are not among those that `_leap` finds, and are woken before these fall asleep.
            met = _leap(v, later, to, remains, jump, p.v_th)
            _find(v, to, remains, jump, p.v_th, met, found)
            sleepers, woken = _wake(asleep, sleepers, state[_UNTIL], now, later, found[met:])
            for e in range(met + woken):
                i = found[e]
                start, begin = (t, v[i]) if e < met else (state[_UNTIL, i], p.v_reset)
                later[i], queue, sent = settle(
                    p, course, state, i, begin, start, now, base, jump[i], scale, x, post, sends, queue, sent
                )
                if later[i] == -np.inf:
                    asleep[sleepers] = i
                    sleepers += 1
            if sent - before > 1:
                sort(queue, before, sent)
            risen, faded = math.exp((now - base) / course.tau_x), scale * math.exp((base - now) / course.tau_z)
            for e in range(received, upto):
                j = who[e]
                x[j] += risen
                if scale != 0:
                    row, z = pre[j], state[_Z]
                    for i in range(n):
                        row[i] += faded * z[i]
            v, later, t, received = later, v, now, upto
            if not arrives:
                break
        for i in range(n):
            state[_V, i] = p.v_reset if v[i] == -np.inf else v[i]
        _move_base(course, state, x, stop - base)
        return queue, sent, received

    @njit(error_model="numpy")
    def trial(p, course, sizes, weights, feedback, drive, target, keep, room, s, block):
        """Trial s of a mini-batch: the queues of all somata, then of the twins, and how many spikes are in each.

        sizes: from the first hidden layer on; weights: above it; drive (n_1,): of that layer. Spikes that nobody needs are
        listed only if asked to `keep` them.
        """
        layers, last, signal = sizes.size - 1, _last_gate(course), np.zeros(feedback.shape[1])
        states, xs, queues = [], [], []
        for l in range(layers):
            states.append(onset(p, drive if l == 0 else projection(weights, sizes, l - 1)[sizes[l - 1]]))
            xs.append(np.zeros(sizes[l - 1] if l > 0 else 0))
        for _ in range(2 * layers):
            queues.append(np.empty(64, EVENT))
        sent, received = np.zeros(2 * layers, np.int64), np.zeros(2 * layers, np.int64)
        for k in range(course.sign.size):
            if k == 1:
                if not _errors(course, room.readout[s], target, room.error[s]):
                    break
                _feed_back(feedback, room.error[s], signal)
                for l in range(layers):
                    states.append(states[l].copy())
                    states[layers + l][_COUNT] = 0
                    xs.append(xs[l].copy())
                    received[layers + l] = received[l]
            if k > max(0, last) and not keep:
                break
            opening, column, synapse = course.gate[k], 0, 0
            scale = course.sign[k] / (course.beta * course.openings) if opening >= 0 else 0.0
            if opening >= 0:
                for i in range(sizes[layers - 1]):
                    room.clamped[s, i] += states[layers - 1][_X, i] / course.openings
            for l in range(layers):
                n, n_pre, read = sizes[l], xs[l].size, layers + l if course.twin and k > 0 else l
                for i in range(n):
                    states[read][_CURRENT, i] = course.sign[k] * course.beta * signal[column + i]
                if opening >= 0:
                    _gate(room, s, opening, 0, -scale, states[read], xs[read], column, column - sizes[0])
                jumps = weights[:0].reshape(0, 0) if l == 0 else projection(weights, sizes, l - 1)
                post, pre = room.post[block, :0].reshape(0, 0), room.pre[block, :0].reshape(0, 0)
                if opening >= 0:
                    post = room.post[block, synapse : synapse + n * n_pre].reshape(n, n_pre)
                    pre = room.pre[block, synapse : synapse + n * n_pre].reshape(n_pre, n)
                    synapse += n * n_pre
                for q in range(l, read + 1, layers):
                    top, below = l == layers - 1, max(l - 1, 0)
                    if q < read and top and k >= last and not keep:
                        continue  # nobody will read this soma any more
                    sends = keep or (q == l and not top)
                    if l == 0:
                        queues[q], sent[q] = periodic(
                            p, course, course.edges[k], course.edges[k + 1], states[q], sends, queues[q], sent[q]
                        )
                    else:
                        queues[q], sent[q], received[q] = driven(
                            p, course, k, jumps, queues[below], sent[below], received[q],
                            states[q], xs[q], scale if q == read else 0.0, post, pre, sends, queues[q], sent[q],
                        )  # fmt: skip
                if opening >= 0:
                    _gate(room, s, opening, 1, scale, states[read], xs[read], column, column - sizes[0])
                if k == 0:
                    for i in range(n):
                        room.counts[s, column + i] = int(states[l][_COUNT, i])
                column += n
            if k == 0:
                _read_out(projection(weights, sizes, layers - 1), states[layers - 1], room.readout[s])
        for state in states:
            room.events[s] += int(state[_COUNT].sum())
        return queues, sent

    @njit(parallel=True, error_model="numpy")
    def batch(p, course, sizes, weights, feedback, drive, target, room):
        """The trials of a mini-batch, shared out in blocks."""
        m, blocks = drive.shape[0], room.post.shape[0]
        for block in prange(blocks):
            for s in range(block * m // blocks, (block + 1) * m // blocks):
                trial(p, course, sizes, weights, feedback, drive[s], target[s], False, room, s, block)

    return _Kernels(driven, trial, batch)
