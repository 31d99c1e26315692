"""Spiking mode: every spike at its exact time, without a time step.

Neuron i of the first hidden layer has the constant drive I_i = b_i + Σ_j W_ij x_j of the analog inputs; where inputs spike, and
in all other populations, the drive is b_i, and each spike of a neuron j below moves v_i by W_ij gain/τ_m (a delta synapse), or
raises a synaptic current, which decays with τ_syn, by W_ij gain/τ_syn, `delay` ms after it was sent: W_ij h_j is its mean drive
in both cases. Every drive has the model's own baseline besides, and in the nudged phases the feedback current −β c_i. At the
onset of a trial every v is at its start and every trace 0; or a trial begins where the one before it ended, with every spike
that is still on its way (`Carried`).

Conventions. A spike comes when v reaches the threshold, by drift or by a jump; where v relaxes to v_th or less, by a jump up
alone, although v is rounded to v_th after some tens of τ_m. In the t_ref ms after a spike, v stays at v_reset and what arrives
at v is lost; what arrives at their end, to within rounding of the time, is taken in. What arrives at one moment is taken in at
once. Phases are half open: a spike at the edge belongs to the later one.

The synapse reads the traces x_j of the arrivals and z_i of the postsynaptic spikes, which jump by 1 and decay with τ_x and
τ_z. Exactly, for the gate from t0 to t1,

    ∫ x_j dz_i = τ_z/(τ_x+τ_z) Σ_post x_j − τ_x/(τ_x+τ_z) Σ_pre z_i + τ_x/(τ_x+τ_z) [x_j z_i]_{t0}^{t1},

with x_j just before each postsynaptic spike and z_i just before each arrival: pair STDP of equal areas, and a term for the
gate (`traces` says how it is summed). The x of the integral is the one just before; so where an arrival makes the neuron
fire, its spike does not count the x of that arrival, and the arrival then reads the z that the spike has raised. With a
constant input, ∫ x_j dz_i = x_j (z_i(t1) − z_i(t0)). In units of activity, h = gain · rate, these are x gain/τ_x and z
gain/τ_z.

With two compartments, also where the gate is to hold the forward activity (a nudge lasts many conduction delays), the soma
gets no feedback and sends the spikes that other neurons see; its apical twin gets the same drive and the feedback, sends
nothing, and its trace is z. Live, one compartment does both.

Output units integrate the spikes of the top layer with the time constant τ_x, a_y = b + Σ_j W_yj x_j gain/τ_x, without a delay;
or they are neurons like the hidden ones, whose activity ŷ is z gain/τ_z. The error e = ŷ − y is that at the end of the free
phase; or it follows the output while the feedback is on; or pairs of error neurons carry it: for each output unit one that
spikes with a rate in proportion to e where e > 0, one for −e, whose spikes move v by −β B gain, in the mean −β B e. An output
that is taught on its activity learns −e x_j.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads

from localdfa import inputs as input_codes
from localdfa import registry
from localdfa.core import finite, interrupt
from localdfa.core.circuit import Circuit, Course, circuit, course, onsets, spiking, spiking_rule
from localdfa.core.compiled import compiled, counted, inner
from localdfa.core.events import EVENT
from localdfa.core.membranes import Ways, kernels, room_of, ways_of
from localdfa.core.products import product
from localdfa.core.queues import PRE, TRACES, longer, sort
from localdfa.core.state import CURRENT, DRIVE, State, V, X, Z, at_rest
from localdfa.core.sums import Sums
from localdfa.core.traces import learn, move_base
from localdfa.core.update import Update

# The samples of a mini-batch are shared out in so many blocks, whatever the number of threads.
_BLOCKS = 16


@dataclass(kw_only=True)
class SpikingTrial(Update):
    """What a mini-batch of m trials leaves.

    drive: the readout a_y (m, n_out) at the end of the free phase, of an output that spikes the drive of its activity;
    prediction: ŷ (m, n_out) there. counts: spikes of each hidden layer's neurons in the free phase, (m, n_l). sent, change: for
    each projection whose Σ_samples (1/β) ∫_gate x dz is Σ sentᵀ change, its factors (·, n_pre + 1) and (·, n_post), else
    None; total: for the others that sum, shaped as the weights. Centered, it is half the difference between the phases at +β
    and −β. All three are empty without targets. events: number of spikes, those of twins and error neurons included.
    """

    drive: np.ndarray
    prediction: np.ndarray
    counts: list[np.ndarray]


_Spikes = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class Carried:
    """Where a trial ended and the next one begins, with ``phases.onset = "carried"``; a new one says that it begins at rest.

    state: of all populations, times in ms from the onset of the next trial; spikes: of each population those that are still on
    their way, when they were sent, as above, and by whom.
    """

    state: State | None = None
    spikes: _Spikes = field(default_factory=list)

    def end(self, c: Circuit, found: _Spikes, lasted: float) -> None:
        """A trial of `lasted` ms has ended, in which populations have sent the spikes `found`."""
        state = self.state
        assert state is not None
        state.base[:] -= lasted
        state.until[:] -= lasted
        state.spikes[:] = 0
        state.rows[CURRENT] = 0
        self.spikes = []
        for k, (times, senders) in enumerate(found):
            slots = np.flatnonzero(c.joints[:, PRE] == k)
            arrived = int(state.received[slots].min(initial=len(times)))
            waiting = times[arrived:] - lasted
            state.received[slots] -= arrived
            for slot in slots:  # rounded, none may have arrived before the onset
                late = waiting[state.received[slot] :]
                np.maximum(late, -c.delay[slot], out=late)
            state.sent[k] = len(waiting)
            self.spikes.append((waiting, senders[arrived:].copy()))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, for a checkpoint; nothing where no trial has ended yet."""
        if self.state is None:
            return {}
        counts = np.array([len(times) for times, _ in self.spikes])
        times, senders = (np.concatenate(columns) for columns in zip(*self.spikes, strict=True))
        return {**self.state._asdict(), "counts": counts, "times": times, "senders": senders}


def carried(network: Any, setting: Any, arrays: Mapping[str, np.ndarray]) -> Carried:
    """What `Carried.arrays` gave of the training of a network.

    Raises
    ------
    KeyError, ValueError
        It is that of another network.
    """
    if not arrays:
        return Carried()
    c = circuit(network, setting, True, [0.0] * len(network.projections))
    state = at_rest(c, np.zeros(c.first[-1]))
    for name, own in state._asdict().items():
        if arrays[name].shape != own.shape or arrays[name].dtype != own.dtype:
            raise ValueError(f"{name} has shape {arrays[name].shape} {arrays[name].dtype}, not {own.shape} {own.dtype}")
        own[...] = arrays[name]
    counts, times, senders = (arrays[name] for name in ("counts", "times", "senders"))
    sizes = np.repeat(c.sizes, counts)
    if not (
        len(counts) == len(c.sizes) and len(sizes) == len(times) == len(senders) and ((senders >= 0) & (senders < sizes)).all()
    ):
        raise ValueError("spikes that are on their way are not those of its populations")
    ends = np.cumsum(counts)[:-1]
    return Carried(state, list(zip(np.split(times, ends), np.split(senders, ends), strict=True)))


@dataclass
class Recording:
    """One trial in detail.

    spikes, twins: of each population from the first hidden layer on, all spikes in order of time, as arrays of `EVENT`: those
    of its somata; and those of its twins, which are there from the first nudge on, if at all. incoming: those of the inputs;
    errors: of the error neurons, first those of positive errors, with the sign of the phase as their size. error (n_out,):
    ŷ − y at the end of the first free phase. times (T,): moments at which states were noted, ms; states: for each population
    V (T, n), X and Z, the traces of its own spikes, DRIVE and CURRENT, by these names, of the compartment with the feedback.
    """

    spikes: list[np.ndarray]
    twins: list[np.ndarray]
    incoming: np.ndarray
    errors: np.ndarray
    error: np.ndarray
    times: np.ndarray
    states: list[dict[str, np.ndarray]]


class _Room(NamedTuple):
    """Where trials leave what they find, one row a trial.

    readout (m, n_out): a_y, or ŷ of an output that spikes, at the end of the first free phase; error (m, n_out) there; counts
    (m, n): spikes until then; events (m,). change (m, frames, n_1): Σ scale (z(t1) − z(t0)) of the first layer in each frame
    of the input, scale = ±1/β over the openings of the gate; moved (m, n): the same of all neurons that learn, over the gate.
    clamped (m, n_L): the mean x of the top layer where the gate opens. notes (T, 5, n): of one trial, the states at each moment
    asked for.
    """

    readout: np.ndarray
    error: np.ndarray
    counts: np.ndarray
    events: np.ndarray
    change: np.ndarray
    moved: np.ndarray
    clamped: np.ndarray
    notes: np.ndarray


def simulate(
    network: Any, setting: Any, inputs: np.ndarray, targets: np.ndarray | None = None,
    rng: np.random.Generator | None = None, rates: Sequence[float] = (), carried: Carried | None = None,
) -> SpikingTrial:  # fmt: skip
    """Trials of a mini-batch: inputs (m, n_features + 1), the last column ones; targets (m, n_out), or None to end after the
    free phase; rng: for input codes that draw spikes at random; rates: for each projection the learning rate of weights that
    change while spikes pass, in the one trial that there is then, 0 of those that stand still, as all do by default; carried:
    where trials that begin where the last one ended go on, and then where this mini-batch has ended; from rest by default.

    Raises
    ------
    NonFiniteError
        A drive or a weight is infinite or NaN; the message names the layer and, for a drive, the row.
    """
    case = Case(network, setting, inputs, targets, rng, rates=rates)
    in_turn = case.course.carried
    blocks, threads = (1, 1) if in_turn else (min(_BLOCKS, len(inputs)), get_num_threads())
    room, sums = case.room(0), Sums(threads + (threads > 1), case.n_sums, network.dtype)
    # Threads of Python's own: compiled for Numba's, the same kernel takes twice as long to compile.
    with interrupt.threads(threads) as (pool, cancelled):

        def run(block: int) -> None:
            with sums.part(block) as part:
                if in_turn:
                    case.go_on(room, part, False, carried or Carried(), cancelled)
                else:
                    case.run(room, part, False, block, blocks, cancelled)

        list(pool.map(run, range(blocks)))
    read = room.readout.astype(network.dtype)
    finite.require(read, "an activity", network.n_hidden, network.n_hidden)
    first = case.circuit.first
    counts = [room.counts[:, first[k] : first[k + 1]] for k in range(1, network.n_hidden + 1)]
    learned = case.learned(room, sums.total) if case.course.openings else ([], [], [])
    prediction = read if network.output.spiking else network.predict(read)
    sent, change, total = learned
    return SpikingTrial(
        drive=read,
        prediction=prediction,
        counts=counts,
        sent=sent,
        change=change,
        total=total,
        events=int(room.events.sum()),
    )


def record(
    network: Any,
    setting: Any,
    inputs: np.ndarray,
    target: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    times: np.ndarray | None = None,
    rates: Sequence[float] = (),
    carried: Carried | None = None,
) -> Recording:
    """One trial from its onset to its end: all spikes, and the states at `times`, ms.

    inputs (n_features + 1,) and target (n_out,) are rows of those of `simulate`; rates, carried: as there. Where no error is
    noticed, nothing is nudged and the trial goes on to its end all the same, as training needs not.
    """
    moments = np.unique(np.empty(0) if times is None else np.asarray(times, np.float64))
    case = Case(network, setting, inputs[None], None if target is None else target[None], rng, moments, rates)
    room = case.room(int(case.course.sampled.sum()))
    sums = np.zeros(case.n_sums, network.dtype)
    with interrupt.threads(1) as (pool, cancelled):
        if case.course.carried:
            sent = pool.submit(case.go_on, room, sums, True, carried or Carried(), cancelled).result()
        else:
            sent = pool.submit(case.run, room, sums, True, 0, 1, cancelled).result()
    c, n_hidden, begins, found = case.circuit, network.n_hidden, case.course.edges[:-1], []
    somata = n_hidden + c.output_spikes
    for times_of, senders in sent:
        own = (times_of >= 0) & (times_of < case.course.edges[-1])  # not those that were on their way, or will be
        events = np.empty(np.count_nonzero(own), EVENT)
        events["time"], events["neuron"], events["size"] = times_of[own], senders[own], 1
        found.append(events)
    found[-1]["size"] = case.course.sign[np.searchsorted(begins, found[-1]["time"], side="right") - 1]
    twins = found[n_hidden + 2 : -1]
    states, sampled = [], case.course.sampled
    for k in range(1, somata + 1):
        fed = n_hidden + 1 + k if k <= len(twins) else k
        notes = room.notes[:, :, c.first[fed] : c.first[fed + 1]]
        before = begins[sampled] < case.course.edges[case.course.free]  # there are no twins yet
        notes[before] = room.notes[before][:, :, c.first[k] : c.first[k + 1]]
        states.append({name: notes[:, r] for r, name in enumerate(("V", "X", "Z", "DRIVE", "CURRENT"))})
    return Recording(
        found[1 : somata + 1], twins, found[0], found[-1], room.error[0], begins[sampled], states
    )  # fmt: skip


class Case:
    """A mini-batch, laid out for the kernels."""

    def __init__(
        self, network: Any, setting: Any, inputs: np.ndarray, targets: np.ndarray | None,
        rng: np.random.Generator | None, times: np.ndarray | None = None, rates: Sequence[float] = (),
    ) -> None:  # fmt: skip
        self._network, self._setting, code = network, setting, registry.get("inputs", setting.input.code)
        nudges, m = targets is not None, len(inputs)
        rates = rates if nudges and rates else [0.0] * len(network.projections)
        frames = 1 if code.spikes else code.frames(network.shape)
        self.neuron, rule = registry.cast(network.neuron, float), spiking_rule(setting)
        self.rule = registry.cast(rule.Parameters(**setting.rules.get(setting.rule, {})), float)
        self.circuit: Circuit = circuit(network, setting, nudges, rates)
        ways = ways_of(self.circuit, network.neuron.__class__, rule, any(rates))
        self._kernel = _engine(
            network.neuron.__class__, network.output, ways, self.circuit.error_spikes, network.pathway.carries
        )  # fmt: skip
        self.course: Course = course(network, setting, nudges, frames, times)
        self.target = np.zeros((m, network.sizes[-1])) if targets is None else targets.astype(np.float64)
        self.start = np.full(self.circuit.first[-1], self.neuron.v_reset)
        if network.start is not None:
            given = np.concatenate(network.start)
            self.start[: given.size] = given
        self.incoming, self.until = (np.empty(0), np.empty(0, np.int64)), np.zeros(m + 1, np.int64)
        if code.spikes:
            self._sent = None
            self.drive = np.zeros((m, 1, network.sizes[1]))
            begins, stop = onsets(setting, nudges)
            end = np.inf if self.course.carried else stop
            if not code.given:
                finite.require(inputs, "an input", 0, network.n_hidden)
                inputs = inputs[:, :-1]
            sample, neuron, time = input_codes.arrivals(code, inputs, network.shape, setting.input, begins, stop, rng, end)
            self.incoming, self.until = _in_order(sample, neuron, time, m)
            return
        sent = inputs
        if frames > 1:
            sent = np.ones((m * frames, network.sizes[0] + 1), inputs.dtype)
            sent[:, :-1] = inputs[:, :-1].reshape(m * frames, -1)
        self._sent, weights = sent, network.projections[0].dense(network.weights[0], network.sizes[1])
        drive = np.empty((len(sent), network.sizes[1]), network.dtype)
        product(1.0, sent, weights, False, drive)
        self.drive = drive.astype(np.float64).reshape(m, frames, -1)
        finite.require(self.drive.reshape(m, -1), "a drive", 0, network.n_hidden)

    @property
    def n_sums(self) -> int:
        """Number of synapses that spikes pass and that learn in these trials, and of the biases that stand behind them."""
        return self.circuit.n_sums if self.course.openings else 0

    def run(self, room: _Room, sums: np.ndarray, keep: bool, block: int, blocks: int, cancelled: np.ndarray) -> _Spikes:
        """Simulate the trials of a block of so many, each from rest, which add to sums (n_sums,); keep: list all spikes.

        Returns those of the last trial, by population: when, by whom. cancelled (1,): when it is set the trials end, and what
        they leave is void.
        """
        state, none = at_rest(self.circuit, self.start), (np.empty(0), np.empty(0, np.int64))
        return self._simulate(room, sums, keep, block, blocks, state, none, self.incoming, self.until, cancelled)

    def go_on(self, room: _Room, sums: np.ndarray, keep: bool, carried: Carried, cancelled: np.ndarray) -> _Spikes:
        """Simulate all trials as `run` does, each from where the one before it ended, the first from where `carried` says."""
        c, found, lasted = self.circuit, list[tuple[np.ndarray, np.ndarray]](), float(self.course.edges[-1])
        if carried.state is None:
            carried.state = at_rest(c, self.start)
            carried.spikes = [(np.empty(0), np.empty(0, np.int64)) for _ in c.sizes]
        state = carried.state
        for s in range(len(self.drive)):
            if cancelled[0]:
                break
            own = slice(self.until[s], self.until[s + 1])
            incoming = [np.concatenate([old, new[own]]) for old, new in zip(carried.spikes[0], self.incoming, strict=True)]
            # Among spikes of one moment, those come first that some slots have already received.
            order = np.argsort(incoming[0], kind="stable")
            until = np.zeros(len(self.until), np.int64)
            until[s + 1] = len(order)
            waiting = [np.concatenate(columns) for columns in zip(*carried.spikes[1:], strict=True)]
            state.sent[:] = [0, *(len(times) for times, _ in carried.spikes[1:])]
            found = self._simulate(
                room, sums, keep, s, len(self.drive), state, (waiting[0], waiting[1]), (incoming[0][order], incoming[1][order]),
                until, cancelled,
            )  # fmt: skip
            carried.end(c, found, lasted)
        return found

    def _simulate(
        self,
        room: _Room,
        sums: np.ndarray,
        keep: bool,
        block: int,
        blocks: int,
        state: State,
        waiting: tuple[np.ndarray, np.ndarray],
        incoming: tuple[np.ndarray, np.ndarray],
        until: np.ndarray,
        cancelled: np.ndarray,
    ) -> _Spikes:
        times, senders = self._kernel(
            self.neuron, self.rule, self.circuit, self.course, self.drive, self.start, incoming, until, self.target, keep, room,
            sums, block, blocks, state, waiting, cancelled,
        )  # fmt: skip
        return [(t[:n], who[:n]) for t, who, n in zip(times, senders, state.sent, strict=True)]

    def room(self, moments: int) -> _Room:
        """Where the trials leave what they find."""
        c, (m, frames, n_1), n_out = self.circuit, self.drive.shape, self._network.sizes[-1]
        n = c.first[-1]
        return _Room(
            np.zeros((m, n_out)), np.zeros((m, n_out)), np.zeros((m, n), np.int64), np.zeros(m, np.int64),
            np.zeros((m, frames, n_1)), np.zeros((m, n)), np.zeros((m, self._network.sizes[-2])),
            np.zeros((moments, 5, n)),
        )  # fmt: skip

    def learned(self, room: _Room, summed: np.ndarray) -> tuple[list, list, list]:
        """Factors and totals of all projections, in units of activity.

        summed (n_sums,): scale ∫ x dz over all trials; becomes the totals, without a copy.
        """
        network, trace, c = self._network, self._setting.trace, self.circuit
        dtype, gain, top = network.dtype, float(network.neuron.gain), network.n_hidden
        phases, rule = self._setting.phases, spiking_rule(self._setting)
        gate = phases.nudged if phases.gate is None else phases.gate
        code = registry.get("inputs", self._setting.input.code)
        by_spikes, at = spiking(network, self._setting), 0
        sent: list[np.ndarray | None] = []
        change: list[np.ndarray | None] = []
        total: list[np.ndarray | None] = []
        for q, joint in enumerate(network.projections):
            factors: tuple[Any, Any] = None, None
            found = None
            if q in by_spikes and joint.plastic:
                unit = code.unit(self._setting.input) if joint.pre == 0 else gain
                own, at = summed[at : at + network.weights[q].size], at + network.weights[q].size
                synapses = own.size - joint.biased * network.sizes[joint.post]
                own[:synapses] *= dtype.type(rule.in_activity(unit, gain, trace, gate))
                if joint.biased:
                    fed = top + 1 + joint.post if c.twins and top + 1 + joint.post < len(c.sizes) - 1 else joint.post
                    moved = room.moved[:, c.first[fed] : c.first[fed + 1]].sum(axis=0)
                    own[synapses:] = rule.constant * gain / trace.tau_z * moved
                found = own.reshape(network.weights[q].shape)
            elif q in by_spikes:
                found = np.zeros_like(network.weights[q])
            elif joint.pre == 0:
                change_1 = rule.constant * gain / trace.tau_z * room.change
                factors = self._sent, change_1.astype(dtype).reshape(-1, network.sizes[1])
            if joint.post == top + 1 and not (phases.teacher == "drive" and network.output.spiking):
                clamped = np.ones((len(room.clamped), network.sizes[-2] + 1), dtype)
                clamped[:, :-1] = gain / trace.tau_x * room.clamped
                factors, found = (clamped, -room.error.astype(dtype)), None
            if found is None and joint.targets is not None:
                found = joint.by_synapse(factors[0].T @ factors[1])
            sent.append(factors[0])
            change.append(factors[1])
            total.append(found)
        return sent, change, total


def _in_order(
    sample: np.ndarray, neuron: np.ndarray, time: np.ndarray, m: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Spikes by sample and, in each, in order of time: when, and by whom; and where those of each sample begin."""
    after, later, tie = np.diff(sample), np.diff(time), np.diff(neuron)
    ordered = (after > 0) | ((after == 0) & ((later > 0) | ((later == 0) & (tie >= 0))))
    order = slice(None) if ordered.all() else np.lexsort((neuron, time, sample))  # sorting takes longer than looking
    events = time[order].astype(np.float64), neuron[order].astype(np.int64)
    return events, np.searchsorted(sample[order], np.arange(m + 1))


@inner
def _read(c, k, state, i, row, tau, now):
    """The trace in a row of neuron i of population k."""
    at = c.first[k] + i
    return state.rows[row, at] * math.exp((state.base[k] - now) / tau)


@inner
def _read_out(c, state, now, drive):
    """a_y = b + Σ W x of output units that integrate, the activity of those that spike."""
    n_out = drive.size
    if c.output_spikes:
        for u in range(n_out):
            drive[u] = c.unit * _read(c, c.layers + 1, state, u, Z, c.tau_z, now)
        return
    n = c.sizes[c.layers]
    for u in range(n_out):
        drive[u] = c.readout[n, u]
    for i in range(n):
        x = _read(c, c.layers, state, i, X, c.tau_x, now)
        for u in range(n_out):
            drive[u] += x * c.readout[i, u]


@counted
def _error_spikes(c, t0, t1, error, level, times, senders, sent):
    """Error neurons from t0 to t1: each rises by |e| error_rate a ms where its sign is that of e, and spikes at every 1."""
    k, n = c.sizes.size - 1, error.size
    own, own_senders, before = times[k], senders[k], sent[k]
    for u in range(2 * n):
        rise = c.error_rate * (error[u] if u < n else -error[u - n])
        if rise <= 0:
            continue
        time = t0 + (1 - level[u]) / rise
        for _ in range(2 + int((t1 - t0) * rise)):  # no more than there can be: 1 / rise may be less than the rounding of time
            if not time < t1:
                break
            if sent[k] == own.size:
                own, own_senders = longer(own, sent[k], 0), longer(own_senders, sent[k], 0)
            own[sent[k]], own_senders[sent[k]] = time, u
            sent[k] += 1
            time += 1 / rise
        level[u] = max(0.0, 1 - (time - t1) * rise)
    sort(own[before : sent[k]], own_senders[before : sent[k]])
    times[k], senders[k] = own, own_senders


@inner
def _rest(c, state, start):
    """All somata at rest, as in `at_rest`."""
    for k in range(c.sizes.size):
        state.base[k] = 0
        state.sent[k] = 0
    for e in range(state.received.size):
        state.received[e] = 0
    for i in range(state.spikes.size):
        state.spikes[i] = 0
        state.until[i] = -np.inf
        for row in range(state.rows.shape[0]):
            state.rows[row, i] = 0
        for r in range(c.taus.size):
            state.currents[r, i] = 0
        state.rows[V, i] = start[i]
    for j in range(state.y.size):
        state.y[j] = 0
    for u in range(state.level.size):
        state.level[u] = 0


@inner
def _part(c, state):
    """Twins begin where their somata are."""
    apart = c.layers + 1
    for k in range(c.layers + 2, c.sizes.size - 1):
        for i in range(c.sizes[k]):
            own, soma = c.first[k] + i, c.first[k - apart] + i
            for row in range(state.rows.shape[0]):
                state.rows[row, own] = state.rows[row, soma]
            for r in range(c.taus.size):
                state.currents[r, own] = state.currents[r, soma]
            state.until[own] = state.until[soma]
        state.base[k] = state.base[k - apart]
        for e in range(c.slots[k - apart + 1] - c.slots[k - apart]):
            slot, other = c.slots[k] + e, c.slots[k - apart] + e
            state.received[slot] = state.received[other]
            own, others = c.joints[slot, TRACES], c.joints[other, TRACES]
            if own >= 0:
                for j in range(c.sizes[c.joints[slot, PRE]]):
                    state.y[own + j] = state.y[others + j]


@inner
def _note(c, state, now, notes):
    """V, X, Z, DRIVE and CURRENT of every neuron, (5, n)."""
    for k in range(c.sizes.size):
        for i in range(c.first[k + 1] - c.first[k]):
            at = c.first[k] + i
            notes[0, at] = state.rows[V, at]
            notes[1, at] = _read(c, k, state, i, X, c.tau_x, now)
            notes[2, at] = _read(c, k, state, i, Z, c.tau_z, now)
            notes[3, at], notes[4, at] = state.rows[DRIVE, at], state.rows[CURRENT, at]


@inner
def _gate(c, k, now, opens, scale, state, room, s, sums):
    """The plasticity gate of population k opens or closes."""
    if opens:
        move_base(c, k, now, state, 0.0, sums)
    else:
        learn(c, k, now, state, scale, sums)
    size = -scale if opens else scale
    for i in range(c.sizes[k]):
        room.moved[s, c.first[k] + i] += size * _read(c, k, state, i, Z, c.tau_z, now)


@inner
def _framed(c, t, k, step, now, size, state, room, s):
    """What z of the first layer, population k, adds to its change in a frame."""
    for i in range(c.sizes[k]):
        room.change[s, t.frame[step], i] += size * _read(c, k, state, i, Z, c.tau_z, now)


@cache
def _engine(neuron: Any, output: Any, ways: Ways, error_spikes: bool, carries: Any) -> Any:
    """The kernel that simulates some trials one after the other; what it does not need is not compiled.

    neuron: the model of all neurons; output: of the output; carries: what of an output unit the feedback pathway sends back.
    """
    advance, periodic = kernels(neuron, ways)
    predict_into, error_into = output.predict_into, output.error_into
    simple = not neuron.adapts and not ways.exponential

    @inner
    def signals(c, t, prediction, target, error, signal):
        """The error where it is noticed, else 0, and the signal c of all neurons; returns whether there is any.

        Hidden neurons get what the pathway carries, output neurons that are taught by a current the error itself.
        """
        noticed = False
        for i in range(signal.size):
            signal[i] = 0.0
        for u in range(error.size):
            error[u] = error[u] if abs(error[u]) > t.notice else 0.0
            carried = carries(prediction[u], target[u], error[u])
            if error[u] != 0 or carried != 0:
                noticed = True
                for k in range(1, c.sizes.size - 1):
                    of_output = k == c.layers + 1 or k == 2 * (c.layers + 1)
                    for i in range(c.first[k], c.first[k + 1]):
                        signal[i] += (error[u] if of_output else carried) * c.feedback[u, i]
        return noticed

    @counted
    def trial(p, r, c, t, drive, start, target, keep, state, scratch, times, senders, room, s, sums, cancelled):
        """Trial s of a mini-batch; the spikes of all populations are left in `times` and `senders`, which hold the inputs'.

        drive (frames, n_1): of the first layer; keep: list every spike, and go on to the end where no error is noticed; sums
        (n_sums,): scale ∫ x dz of all synapses that spikes pass, added up; cancelled (1,): ends the trial when it is set.
        """
        n_out, populations = target.size, c.sizes.size
        somata = c.layers + c.output_spikes
        fed = c.layers + 2 if c.twins else 1
        taught = populations - 1 if c.twins else somata + 1
        if not c.twins and c.output_spikes and not c.feedback[:, c.first[somata] : c.first[somata + 1]].any():
            taught = somata
        if not t.carried:
            _rest(c, state, start)
        state.sent[0] = times[0].size
        sends = np.zeros(populations, np.bool_)
        for e in range(c.delay.size):
            sends[c.joints[e, PRE]] = True
        error, signal, quiet = np.zeros(n_out), np.zeros(c.first[-1]), False
        prediction, read, noted, errors = np.zeros(n_out), np.zeros(n_out), 0, 0
        for step in range(t.last):
            if cancelled[0]:
                return
            t0, t1, sign, opening = t.edges[step], t.edges[step + 1], t.sign[step], t.gate[step]
            if t.refresh[step] and not quiet:
                _read_out(c, state, t0, read)
                predict_into(read, prediction)
                error_into(prediction, target, error)
                noticed = signals(c, t, prediction, target, error, signal)
            if step == t.free:
                for u in range(n_out):
                    room.readout[s, u], room.error[s, u] = read[u], error[u]
                for i in range(c.first[c.layers + 2]):
                    room.counts[s, i] = state.spikes[i]
                quiet = not noticed
                if quiet and not (keep or t.carried):
                    break
                if c.twins:
                    _part(c, state)
            scale = sign / (t.beta * t.openings) if opening >= 0 and not quiet else 0.0
            if step == 0 or t.frame[step] != t.frame[step - 1] or step == t.free:
                for k in range(1, populations - 1):
                    for i in range(c.first[k + 1] - c.first[k]):
                        first = k == 1 or k == c.layers + 2
                        state.rows[DRIVE, c.first[k] + i] = c.bias[c.first[k] + i] + (drive[t.frame[step], i] if first else 0.0)
            if step >= t.free:
                for i in range(c.first[fed], c.first[taught]):
                    state.rows[CURRENT, i] = 0.0 if c.error_spikes else sign * t.beta * signal[i]
                if error_spikes and sign != 0:
                    before = state.sent[populations - 1]
                    _error_spikes(c, t0, t1, error, state.level, times, senders, state.sent)
                    errors += state.sent[populations - 1] - before
                    for e in range(c.delay.size):
                        if c.joints[e, PRE] == populations - 1:
                            state.strength[e] = sign
            if t.sampled[step]:
                _note(c, state, t0, room.notes[noted])
                noted += 1
            if t.opens[step]:
                for k in range(fed, taught):
                    _gate(c, k, t0, True, scale, state, room, s, sums)
                for i in range(c.sizes[c.layers]):
                    room.clamped[s, i] += _read(c, c.layers, state, i, X, c.tau_x, t0) / t.openings
            if opening >= 0 and (t.opens[step] or t.frame[step] != t.frame[step - 1]):
                _framed(c, t, fed, step, t0, -scale, state, room, s)
            for k in range(1, populations - 1):
                twin = k > c.layers + 1
                if (k == c.layers + 1 and somata == c.layers) or (twin and step < t.free):
                    continue
                if c.twins and not twin and k >= c.layers and step >= t.top and not keep:
                    continue  # nobody will read this soma any more
                reads = twin or not c.twins or step < t.free or t.carried
                if simple and c.slots[k + 1] == c.slots[k]:
                    periodic(p, c, k, t0, t1, state, times, senders, keep or sends[k])
                else:
                    learns = scale if fed <= k < taught else 0.0
                    advance(
                        p, r, c, k, t0, t1, state, times, senders, learns, reads, keep or sends[k], sums, scratch, cancelled
                    )
            if opening >= 0 and (t.closes[step] or t.turns[step]):
                _framed(c, t, fed, step, t1, scale, state, room, s)
            if t.closes[step]:
                for k in range(fed, taught):
                    _gate(c, k, t1, False, scale, state, room, s, sums)
        if t.free >= t.last:
            _read_out(c, state, t.edges[t.last], read)
            for u in range(n_out):
                room.readout[s, u] = read[u]
            for i in range(c.first[c.layers + 2]):
                room.counts[s, i] = state.spikes[i]
        room.events[s] = state.spikes.sum() + errors

    @compiled(error_model="numpy", nogil=True)
    def trials(p, r, c, t, drive, start, incoming, until, target, keep, room, sums, block, blocks, state, waiting, cancelled):
        """The trials of a block of a mini-batch; returns the spikes of the last one, by population: when, by whom.

        state: where the first trial begins if that is carried, and where the last one has ended; waiting: spikes that are still
        on their way then, of all populations end to end, state.sent of each.
        """
        m, scratch, at = drive.shape[0], room_of(c), 0
        times, senders = [], []
        for n in state.sent:
            times.append(longer(waiting[0][at : at + n], n, 0))
            senders.append(longer(waiting[1][at : at + n], n, 0))
            at += n
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            times[0], senders[0] = incoming[0][until[s] : until[s + 1]], incoming[1][until[s] : until[s + 1]]
            trial(p, r, c, t, drive[s], start, target[s], keep, state, scratch, times, senders, room, s, sums, cancelled)
        return times, senders

    return trials
