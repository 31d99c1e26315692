"""A spiking network and the course of a trial as the kernels see them: flat arrays."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from localdfa import registry
from localdfa.core import finite
from localdfa.core.events import feedback_weights, trial_segments
from localdfa.errors import NonFiniteError, SpecError


class Circuit(NamedTuple):
    """Populations, in this order: the inputs, the hidden layers, the output; with two compartments then the *twins*, which get
    the feedback, of the hidden layers and of an output that is taught by a current; last the error neurons, two a unit.

    tau_m, tau_x, tau_z, tau_a: time constants of membranes, traces and adapted thresholds, ms; taus (R,): of synaptic
    currents; shortest: of all but tau_m. post, pre, edge: what pairs of spikes do to a synapse, as in `traces.Pairing`.
    injects: whether the rule feeds the signal back as a current. layers: hidden ones; output_spikes: whether output units are
    neurons that spike, and do not integrate the spikes of the top layer with τ_x; twins, error_spikes:
    whether there are any. sizes (P,): neurons of each population; first (P + 1,): where they begin among all neurons that have
    a membrane. slots (P + 1,): where the *slots* of each population begin, one for each projection into it, twins having those
    of their somata as well. Of each slot: delay, ms; and joints (·, 7): the population that sends; the index in taus of the
    current that it raises, −1 where v moves at once; where its synapses begin in `jumps`; where the ends of its rows begin in
    `row_ends`, −1 if all are joined; where its targets begin in `targets`; where its synapses begin in what is learned
    (n_sums in all); where its presynaptic traces begin, −1 if it does not learn (n_traces in all). jumps, strength: a spike
    adds to v or to a current the jump of the synapse times the strength of its slot; jumps are the weights themselves, not a
    copy, where they lie end to end, as `network.build` lays them. online (·,): of each slot what ∫ x dz adds to v while spikes
    pass, 0 where weights stand still. bias: constant drive of every neuron. readout (n_top + 1, n_out): what a trace of 1 adds
    to each output unit, biases last. feedback (n_out, n): the signal c of a unit error. error_rate: spikes per ms of an error
    neuron for an error of 1.
    unit: h = unit · trace.
    """

    tau_m: float
    tau_x: float
    tau_z: float
    tau_a: float
    taus: np.ndarray
    shortest: float
    post: float
    pre: float
    edge: float
    injects: bool
    layers: int
    output_spikes: bool
    twins: bool
    error_spikes: bool
    sizes: np.ndarray
    first: np.ndarray
    slots: np.ndarray
    delay: np.ndarray
    joints: np.ndarray
    n_traces: int
    n_sums: int
    row_ends: np.ndarray
    targets: np.ndarray
    jumps: np.ndarray
    strength: np.ndarray
    online: np.ndarray
    bias: np.ndarray
    readout: np.ndarray
    feedback: np.ndarray
    error_rate: float
    unit: float


class Course(NamedTuple):
    """How a trial goes, step by step: in a step nothing changes from outside, and no spike reaches an earlier population.

    edges (n + 1,): of the steps, ms. sign (n,): of the nudging, 0 while the feedback is off. gate (n,): the opening of the
    plasticity gate, −1 while it is closed; opens, closes (n,): whether that is at the step's begin, or its end. refresh
    (n,): whether the error is read anew at its begin. sampled (n,): whether states are noted there. frame (n,): of the input;
    turns (n,): whether it is another one in the next step. free: steps of the first free phase; top: up to which step the
    somata of the top layer matter; last: one after the last step that matters. openings: of the gate. beta; notice: errors
    no larger nudge nothing. carried: whether a trial begins where the one before it ended, so that every step matters.
    """

    edges: np.ndarray
    sign: np.ndarray
    gate: np.ndarray
    opens: np.ndarray
    closes: np.ndarray
    refresh: np.ndarray
    sampled: np.ndarray
    frame: np.ndarray
    turns: np.ndarray
    free: int
    top: int
    last: int
    openings: int
    beta: float
    notice: float
    carried: bool


def course(network: Any, setting: Any, nudges: bool, frames: int, times: np.ndarray | None = None) -> Course:
    """The steps of a trial, all of which matter if `times` is given: moments, ms, at which states are noted."""
    phases, feedback = setting.phases, setting.feedback
    edges, sign, gate = trial_segments(phases, nudges)
    onsets = _onsets(edges, sign)
    follows = nudges and feedback.signal != "constant"
    fed = [pair for pair, s in zip(pairwise(edges), sign, strict=True) if s != 0 and follows]
    readings = np.concatenate([np.empty(0), *(_cut(a, b, feedback.interval) for a, b in fed)])
    turns = np.concatenate([_turns(a, b, frames, setting.input.window) for a, b in pairwise([*onsets, edges[-1]])])
    sampled = np.empty(0) if times is None else times[(times >= 0) & (times < edges[-1])]
    steps = np.unique(np.concatenate([edges, readings, turns, sampled]))
    loops = [p.delay for p in network.projections if p.post <= p.pre]
    if loops:
        steps = np.append(np.concatenate([_cut(a, b, min(loops)) for a, b in pairwise(steps)]), edges[-1])
    begins = steps[:-1]
    stretch, onset = (np.searchsorted(found, begins, side="right") - 1 for found in (edges, onsets))
    sign, gate = sign[stretch], gate[stretch]
    frame = np.minimum((begins - onsets[onset]) / setting.input.window * (1 + 1e-12), frames - 1).astype(np.int64)
    opens, closes = gate != np.append(-1, gate[:-1]), gate != np.append(gate[1:], -1)
    free, shut = int(np.searchsorted(begins, edges[1])), np.flatnonzero(gate >= 0)
    refresh = np.isin(begins, readings) if follows else np.arange(len(begins)) == free
    carried = phases.onset == "carried"
    whole = times is not None or carried
    last = len(begins) if whole or not shut.size else int(shut[-1]) + 1
    matters = np.flatnonzero(refresh | (opens & (gate >= 0)))
    top = int(matters[-1]) if not whole and matters.size and not loops else last
    return Course(
        steps, sign, gate, opens & (gate >= 0), closes & (gate >= 0), refresh, np.isin(begins, sampled), frame,
        np.append(frame[1:] != frame[:-1], False), free, top, last, int(gate.max(initial=-1)) + 1, phases.beta,
        feedback.threshold, carried,
    )  # fmt: skip


def _onsets(edges: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """When phases begin: where the nudging changes."""
    return edges[:-1][np.append(True, sign[1:] != sign[:-1])]


def onsets(setting: Any, nudges: bool) -> tuple[np.ndarray, float]:
    """When the phases of a trial begin, and its end, ms."""
    edges, sign, _ = trial_segments(setting.phases, nudges)
    return _onsets(edges, sign), float(edges[-1])


def _cut(a: float, b: float, longest: float) -> np.ndarray:
    """a and moments from there to b, evenly spaced, no further apart than `longest`."""
    n = max(1, int(np.ceil((b - a) / longest * (1 - 1e-12))))
    return a + (b - a) / n * np.arange(n)


def _turns(a: float, b: float, frames: int, window: float) -> np.ndarray:
    """When a frame follows another in a phase from a to b."""
    found = a + window * np.arange(frames)
    return found[found < b]


def circuit(network: Any, setting: Any, nudges: bool, rates: Sequence[float]) -> Circuit:
    """The tables of a network; without nudges there are no twins and no error neurons.

    rates: for each projection the learning rate of weights that change while spikes pass, 0 of those that stand still.

    Raises
    ------
    NonFiniteError
        A weight is infinite or NaN; the message names the layer.
    """
    p, n_hidden, dtype = network.neuron, network.n_hidden, network.dtype
    code, trace = registry.get("inputs", setting.input.code), setting.trace
    output_spikes, rule = network.output.spiking, spiking_rule(setting)
    taught = output_spikes and setting.phases.teacher == "drive"
    n_somata = n_hidden + output_spikes
    n_twins = n_hidden + taught if nudges and rule.injects and setting.phases.propagation != "live" else 0
    error_spikes = nudges and setting.feedback.signal == "spikes"
    real = [*range(n_hidden + 2), *range(1, n_twins + 1)]
    sizes = [*(network.sizes[k] for k in real), 2 * network.sizes[-1]]
    first = np.cumsum([0, *(n if 0 < k <= n_somata else 0 for k, n in zip(real, sizes[:-1], strict=True))])
    signal = np.zeros((network.sizes[-1], first[-1]))
    fed = n_hidden + 2 if n_twins else 1
    if nudges:
        found = feedback_weights(network)
        found = np.concatenate([found, np.eye(network.sizes[-1])], axis=1) if taught else found
        signal[:, first[fed] : first[fed] + found.shape[1]] = found
    tables = _Tables(network, p.tau_m)
    gain = float(p.gain)
    for q in spiking(network, setting):
        joint = network.projections[q]
        unit = code.unit(setting.input) if joint.pre == 0 else gain
        tables.add(q, unit, rates[q] * gain / (trace.tau_x * trace.tau_z))
    if error_spikes:
        kick = -setting.phases.beta / (setting.feedback.rate * 1e-3 * p.tau_m)
        for k in range(fed, fed + (n_twins or n_hidden + taught)):
            matrix = kick * signal[:, first[k] : first[k + 1]]
            tables.bring(len(real), k, np.concatenate([matrix, -matrix]))
    slots, order, traces, n_traces = [0], list[int](), list[int](), 0
    for k in range(len(sizes)):
        for q, post in enumerate(tables.post):
            brought = tables.pre[q] == len(real)
            if post != (k if brought or k >= len(real) else real[k]) or (k < len(real) and real[k] > n_somata):
                continue
            learns = tables.sums[q] >= 0
            order.append(q)
            traces.append(n_traces if learns else -1)
            n_traces += sizes[tables.pre[q]] if learns else 0
        slots.append(len(order))
    joints = np.array([[*tables.joint(q), at] for q, at in zip(order, traces, strict=True)], np.int64).reshape(len(order), 7)
    bias = np.full(first[-1], float(p.baseline))
    for k in range(1, len(real)):
        if first[k + 1] > first[k] and (real[k] > 1 or code.spikes):
            bias[first[k] : first[k + 1]] += network.b(real[k] - 1)
    readout = network.projections[n_hidden].dense(network.weights[n_hidden], network.sizes[-1]).astype(np.float64)
    readout[:-1] *= gain / trace.tau_x
    tau_a = float(getattr(p, "tau_a", np.inf))
    taus = np.array(tables.taus)
    row_ends, targets, jumps = tables.arrays()
    return Circuit(
        tau_m=float(p.tau_m),
        tau_x=trace.tau_x,
        tau_z=trace.tau_z,
        tau_a=tau_a,
        taus=taus,
        shortest=float(min(trace.tau_x, trace.tau_z, tau_a, *taus)),
        **rule.pairing(trace.tau_x, trace.tau_z)._asdict(),
        injects=rule.injects,
        layers=n_hidden,
        output_spikes=output_spikes,
        twins=n_twins > 0,
        error_spikes=error_spikes,
        sizes=np.array(sizes),
        first=np.append(first, first[-1]),
        slots=np.array(slots),
        delay=np.array(tables.delay, float)[order],
        joints=joints,
        n_traces=n_traces,
        n_sums=tables.n_sums,
        row_ends=row_ends,
        targets=targets,
        jumps=jumps,
        strength=np.array(tables.strength, dtype)[order],
        online=np.array(tables.online, dtype)[order],
        bias=bias,
        readout=readout,
        feedback=signal,
        error_rate=setting.feedback.rate * 1e-3,
        unit=gain / trace.tau_z,
    )


def spiking_rule(setting: Any) -> Any:
    """The rule of a setting, which serves spikes; see `localdfa.rules`.

    Raises
    ------
    SpecError
        It does not.
    """
    rule = registry.get("rules", setting.rule)
    if "spiking" not in rule.engines:
        raise SpecError(f"rule: {setting.rule!r} says nothing of spikes; it serves {', '.join(rule.engines)}")
    return rule


def spiking(network: Any, setting: Any) -> list[int]:
    """The projections that spikes pass: not those of input currents, and not those to units that only integrate."""
    analog = not registry.get("inputs", setting.input.code).spikes
    readout = None if network.output.spiking else len(network.sizes) - 1
    return [q for q, p in enumerate(network.projections) if not (p.pre == 0 and analog) and p.post != readout]


class _Tables:
    """The projections of a circuit as they are put together."""

    def __init__(self, network: Any, tau_m: float) -> None:
        self._network, self._tau_m = network, float(tau_m)
        self._jumps, self._starts = _as_one(network.weights)
        self.pre: list[int] = []
        self.post: list[int] = []
        self.sums: list[int] = []
        self.taus: list[float] = []
        self.delay: list[float] = []
        self.strength: list[float] = []
        self.online: list[float] = []
        self._current: list[int] = []
        self._start: list[int] = []
        self._ends: list[int] = []
        self._targets_at: list[int] = []
        self._rows: list[np.ndarray] = [np.empty(0, np.int64)]
        self._targets: list[np.ndarray] = [np.empty(0, np.int32)]
        self._brought: list[np.ndarray] = []
        self.n_sums = 0

    def add(self, q: int, unit: float, online: float) -> None:
        """Projection q of the network; unit: h = unit · rate of its presynaptic neurons, so that its mean drive is W h; online:
        what ∫ x dz adds to a weight while spikes pass, in this unit."""
        joint, weights = self._network.projections[q], self._network.weights[q]
        if not finite.all_are(weights):
            layer = finite.layer(joint.post - 1, self._network.n_hidden)
            raise NonFiniteError(f"a weight of {layer} is not finite")
        if joint.targets is None:
            self._ends.append(-1)
            self._targets_at.append(0)
        else:
            self._ends.append(sum(map(len, self._rows)))
            self._targets_at.append(sum(map(len, self._targets)))
            self._rows.append(joint.ends)
            self._targets.append(joint.targets)
        if joint.tau and joint.tau not in self.taus:
            self.taus.append(joint.tau)
        self._current.append(self.taus.index(joint.tau) if joint.tau else -1)
        self._put(joint.pre, joint.post, joint.delay, self._starts[q], unit / (joint.tau or self._tau_m))
        self.online[-1] = online * unit**2 / self._tau_m
        self.sums[-1] = self.n_sums if joint.plastic else -1
        self.n_sums += weights.size if joint.plastic else 0

    def bring(self, pre: int, post: int, jumps: np.ndarray) -> None:
        """What error neurons do to v of a population, (n_pre, n_post)."""
        self._ends.append(-1)
        self._targets_at.append(0)
        self._current.append(-1)
        self._put(pre, post, 0.0, self._jumps.size + sum(map(len, self._brought)), 1.0)
        self._brought.append(jumps.ravel().astype(self._jumps.dtype))

    def _put(self, pre: int, post: int, delay: float, start: int, strength: float) -> None:
        self.pre.append(pre)
        self.post.append(post)
        self.delay.append(delay)
        self._start.append(start)
        self.strength.append(strength)
        self.sums.append(-1)
        self.online.append(0.0)

    def joint(self, q: int) -> tuple[int, ...]:
        """The columns of `Circuit.joints` of a projection, all but the last."""
        return self.pre[q], self._current[q], self._start[q], self._ends[q], self._targets_at[q], self.sums[q]

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """row_ends, targets and jumps."""
        jumps = np.concatenate([self._jumps, *self._brought]) if self._brought else self._jumps
        return np.concatenate(self._rows), np.concatenate(self._targets), jumps


def _as_one(arrays: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """One array in which all of these lie, and where each begins: that of which they are parts, or else a copy."""
    whole, dtype = arrays[0].base, arrays[0].dtype
    parts = all(a.base is whole and a.flags.c_contiguous for a in arrays)
    if isinstance(whole, np.ndarray) and whole.ndim == 1 and whole.dtype == dtype and parts:
        return whole, [(a.ctypes.data - whole.ctypes.data) // a.itemsize for a in arrays]
    return np.concatenate([a.ravel() for a in arrays]), [0, *accumulate(a.size for a in arrays[:-1])]
