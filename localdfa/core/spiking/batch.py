"""Mini-batches of trials of spiking neurons: what they teach, and one trial in detail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads

from localdfa import inputs as input_codes
from localdfa import registry
from localdfa.core import finite, interrupt
from localdfa.core.events import EVENT
from localdfa.core.output_hooks import output_hooks
from localdfa.core.products import product
from localdfa.core.spiking.carried import Carried, Trains
from localdfa.core.spiking.population import kernels_for
from localdfa.core.spiking.schedule import Schedule, phase_begins, schedule
from localdfa.core.spiking.state import State, at_rest
from localdfa.core.spiking.tables import Tables, spiking_projections, spiking_rule, tables_of
from localdfa.core.spiking.trial import Findings, findings, trials_kernel
from localdfa.core.sums import Sums
from localdfa.core.update import Update

if TYPE_CHECKING:
    from localdfa.data import Inputs
    from localdfa.network import Network
    from localdfa.spec import Setting

# The samples of a mini-batch are shared out in so many blocks, whatever the number of threads.
_BLOCKS = 16


@dataclass(kw_only=True)
class SpikingTrial(Update):
    """What a mini-batch of m trials leaves.

    drive: the readout a_y (m, n_out) at the end of the free phase, of an output that spikes the drive of its activity;
    prediction: ŷ (m, n_out) there. counts: spikes of each hidden layer's neurons in the free phase, (m, n_l). incoming: spikes
    of the inputs, by sample and in order of time: when, by whom, and where those of each sample begin, (m + 1,).

    What it teaches is Σ_samples (1/β) ∫_gate x dz, centered half the difference between the phases at +β and −β; nothing
    without targets. Events are spikes, those of twins and error neurons included.
    """

    drive: np.ndarray
    prediction: np.ndarray
    counts: list[np.ndarray]
    incoming: tuple[np.ndarray, np.ndarray, np.ndarray]

    def input_counts(self, n_in: int, until: float) -> np.ndarray:
        """Spikes of each input neuron before a moment, ms, (m, n_in)."""
        times, senders, begins = self.incoming
        m = len(begins) - 1
        early, sample = times < until, np.repeat(np.arange(m), np.diff(begins))
        return np.bincount(sample[early] * n_in + senders[early], minlength=m * n_in).reshape(m, n_in)


@dataclass
class Recording:
    """One trial in detail.

    spikes, twins: of each population from the first hidden layer on, all spikes in order of time, as arrays of `EVENT`: those
    of its somata; and those of its twins, which are there from the first nudge on, if at all. incoming: those of the inputs;
    errors: of the error neurons, first those of positive errors, with the sign of the phase as their size. error (n_out,):
    the error at the end of the first free phase. times (T,): moments at which states were recorded, ms; states: for each
    population V (T, n), X and Z, the traces of its own spikes, DRIVE and CURRENT, by these names, of the compartment with the
    feedback.
    """

    spikes: list[np.ndarray]
    twins: list[np.ndarray]
    incoming: np.ndarray
    errors: np.ndarray
    error: np.ndarray
    times: np.ndarray
    states: list[dict[str, np.ndarray]]


def simulate(
    network: "Network",
    setting: "Setting",
    inputs: "Inputs",
    targets: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    rates: Sequence[float] = (),
    carried: Carried | None = None,
) -> SpikingTrial:
    """Simulate the trials of a mini-batch under the rule of the setting.

    Parameters
    ----------
    network, setting
        `localdfa.network.Network` and `localdfa.spec.Setting`.
    inputs : (m, n_features + 1)
        One row a sample, the last column ones; or spike trains where the input code is given them.
    targets : (m, n_out), optional
        Without them trials end after the free phase.
    rng : numpy.random.Generator, optional
        For input codes that draw spikes at random.
    rates : sequence of float
        For each projection the learning rate of weights that change while spikes pass, in the one trial that there is then; 0
        of those that stand still, as all do by default.
    carried : Carried, optional
        Where trials that begin where the last one ended go on, and then where this mini-batch has ended; from rest by default.

    Raises
    ------
    NonFiniteError
        A drive or a weight is infinite or NaN; the message names the layer and, for a drive, the row.
    """
    batch = Batch(network, setting, inputs, targets, rng, rates=rates)
    in_turn = batch.schedule.carried
    left = batch.findings(0)

    def run(block: int, blocks: int, part: np.ndarray, cancelled: np.ndarray) -> None:
        if in_turn:
            batch.run_in_turn(left, part, False, carried or Carried(), cancelled)
        else:
            batch.run(left, part, False, block, blocks, cancelled)

    gained = in_blocks(run, 1 if in_turn else len(inputs), 1 if in_turn else get_num_threads(), batch.n_sums, network.dtype)
    readout = left.readout.astype(network.dtype)
    finite.require(readout, "an activity", network.n_hidden, network.n_hidden)
    first = batch.tables.first
    counts = [left.counts[:, first[k] : first[k + 1]] for k in range(1, network.n_hidden + 1)]
    sent, change, total = batch.learned(left, gained) if batch.schedule.openings else ([], [], [])
    phases = batch.schedule.openings if setting.feedback.signal == "constant" else 1  # the others are counted in each phase
    fed_back = phases * left.fed_back.sum(axis=0)
    return SpikingTrial(
        drive=readout,
        prediction=readout if network.output.spiking else network.predict(readout),
        counts=counts,
        incoming=(*batch.incoming, batch.until),
        sent=sent,
        change=change,
        total=total,
        events=int(left.events.sum()),
        activity=[(float(network.neuron.gain) / setting.phases.free * each).astype(network.dtype) for each in counts],
        error=np.empty((0, 0)) if targets is None else left.error.astype(network.dtype),
        feedback_events=sum(int(fed_back @ fan) for fan in network.feedback_fans if fan is not None),
    )


def in_blocks(
    run: Callable[[int, int, np.ndarray, np.ndarray], None], m: int, threads: int, n_sums: int, dtype: npt.DTypeLike
) -> np.ndarray:
    """Simulate m trials in blocks that threads share; returns what synapses gain in all of them, (n_sums,).

    run(block, blocks, sums, cancelled): simulates one of so many blocks, adds what synapses gain to `sums` (n_sums,), and ends
    when `cancelled` (1,) is set. Blocks and the order in which their sums are added do not depend on the threads.
    """
    blocks, sums = min(_BLOCKS, m), Sums(threads + (threads > 1), n_sums, dtype)
    # Threads of Python's own: compiled for Numba's, the same kernel takes twice as long to compile.
    with interrupt.threads(threads) as (pool, cancelled):

        def simulate_block(block: int) -> None:
            with sums.part(block) as part:
                run(block, blocks, part, cancelled)

        list(pool.map(simulate_block, range(blocks)))
    return sums.total


def record(
    network: "Network",
    setting: "Setting",
    inputs: "Inputs",
    target: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    times: np.ndarray | None = None,
    rates: Sequence[float] = (),
    carried: Carried | None = None,
) -> Recording:
    """Simulate one trial from its onset to its end, and keep all spikes, and the states at `times`, ms.

    inputs (n_features + 1,) and target (n_out,) are rows of those of `simulate`, and so are the other arguments. Where no error
    teaches, nothing is nudged and the trial goes on to its end all the same, which training does not need.
    """
    moments = np.unique(np.empty(0) if times is None else np.asarray(times, np.float64))
    batch = Batch(network, setting, inputs[None], None if target is None else target[None], rng, moments, rates)
    left = batch.findings(int(batch.schedule.sampled.sum()))
    sums = np.zeros(batch.n_sums, network.dtype)
    with interrupt.threads(1) as (pool, cancelled):
        if batch.schedule.carried:
            trains = pool.submit(batch.run_in_turn, left, sums, True, carried or Carried(), cancelled).result()
        else:
            trains = pool.submit(batch.run, left, sums, True, 0, 1, cancelled).result()
    c, n_hidden, edges = batch.tables, network.n_hidden, batch.schedule.edges
    somata, begins, spikes = n_hidden + c.output_spikes, edges[:-1], list[np.ndarray]()
    for when, senders in trains:
        of_trial = (when >= 0) & (when < edges[-1])  # not those that were on their way, or will be
        events = np.empty(np.count_nonzero(of_trial), EVENT)
        events["time"], events["neuron"], events["size"] = when[of_trial], senders[of_trial], 1
        spikes.append(events)
    spikes[-1]["size"] = batch.schedule.sign[np.searchsorted(begins, spikes[-1]["time"], side="right") - 1]
    twins = spikes[n_hidden + 2 : -1]
    states, sampled = [], batch.schedule.sampled
    for k in range(1, somata + 1):
        fed = n_hidden + 1 + k if k <= len(twins) else k
        samples = left.samples[:, :, c.first[fed] : c.first[fed + 1]]
        before = begins[sampled] < edges[batch.schedule.free]  # there are no twins yet
        samples[before] = left.samples[before][:, :, c.first[k] : c.first[k + 1]]
        states.append({name: samples[:, r] for r, name in enumerate(("V", "X", "Z", "DRIVE", "CURRENT"))})
    return Recording(
        spikes=spikes[1 : somata + 1],
        twins=twins,
        incoming=spikes[0],
        errors=spikes[-1],
        error=left.error[0],
        times=begins[sampled],
        states=states,
    )


class Batch:
    """A mini-batch, laid out for the kernels."""

    def __init__(
        self,
        network: "Network",
        setting: "Setting",
        inputs: "Inputs",
        targets: np.ndarray | None,
        rng: np.random.Generator | None,
        times: np.ndarray | None = None,
        rates: Sequence[float] = (),
    ) -> None:
        """Arguments as in `simulate` and `record`."""
        self._network, self._setting, code = network, setting, registry.get("inputs", setting.input.code)
        nudges, m = targets is not None, len(inputs)
        rates = rates if nudges and rates else [0.0] * len(network.projections)
        frames = 1 if code.spikes else code.frames(network.shape)
        neuron, rule = network.neuron.__class__, spiking_rule(setting)
        # Times are in double precision, in which arrivals at the end of a refractory period are told from earlier ones.
        self._parameters = registry.cast(network.neuron, float)._replace(t_ref=float(setting.neuron_parameters.t_ref))
        self.tables: Tables = tables_of(network, setting, nudges, rates)
        kernels = kernels_for(self.tables, neuron, rule, any(rates))
        # Rules whose parameters no kernel asks for share one.
        self._rule = registry.cast(setting.parameters_of(setting.rule), float) if kernels.rule else 0.0
        self._kernel, self._hooks = trials_kernel(neuron, kernels), output_hooks(network.output, network.pathway)
        loops = [p.delay for p in network.projections if p.post <= p.pre]
        self.schedule: Schedule = schedule(
            setting.phases, setting.feedback, loops, nudges, frames, setting.input.window, times, rule.supervised
        )
        self._targets = np.zeros((m, network.sizes[-1])) if targets is None else targets.astype(np.float64, order="C")
        self._start = np.full(self.tables.first[-1], self._parameters.v_reset)
        if network.start is not None:
            start = np.concatenate(network.start)
            self._start[: start.size] = start
        # Spikes of the inputs, and where those of each sample begin; or what they send in their place.
        self.incoming, self.until = (np.empty(0), np.empty(0, np.int64)), np.zeros(m + 1, np.int64)
        self._sent: np.ndarray | None = None
        if code.spikes:
            self.drive = np.zeros((m, 1, network.sizes[1]))
            begins, stop = phase_begins(setting.phases, nudges)
            end = np.inf if self.schedule.carried else stop
            if not code.given:
                assert isinstance(inputs, np.ndarray)
                finite.require(inputs, "an input", 0, network.n_hidden)
                inputs = inputs[:, :-1]
            sample, sender, time = input_codes.arrivals(code, inputs, network.shape, setting.input, begins, stop, rng, end)
            self.incoming, self.until = in_order(sample, sender, time, m)
            return
        assert isinstance(inputs, np.ndarray)  # currents, as trains are spikes
        self._sent = inputs
        if frames > 1:
            self._sent = np.ones((m * frames, network.sizes[0] + 1), inputs.dtype)
            self._sent[:, :-1] = inputs[:, :-1].reshape(m * frames, -1)
        drive = np.empty((len(self._sent), network.sizes[1]), network.dtype)
        product(1.0, self._sent, network.projections[0].dense(network.weights[0], network.sizes[1]), False, drive)
        self.drive = drive.astype(np.float64).reshape(m, frames, -1)
        finite.require(self.drive.reshape(m, -1), "a drive", 0, network.n_hidden)

    @property
    def n_sums(self) -> int:
        """Number of synapses that spikes pass and that learn in these trials, and of the biases that stand behind them."""
        return self.tables.n_sums if self.schedule.openings else 0

    def findings(self, moments: int) -> Findings:
        """Room for what the trials leave; moments: how many there are at which states are recorded."""
        (m, frames, n_1), sizes = self.drive.shape, self._network.sizes
        return findings(m, frames, n_1, sizes[-2], sizes[-1], self.tables.first[-1], moments)

    def run(
        self, left: Findings, sums: np.ndarray, keep: bool, block: int, blocks: int, cancelled: np.ndarray
    ) -> Trains:  # fmt: skip
        """Simulate the trials of a block of so many, each from rest; returns the spikes of the last one, by population.

        sums (n_sums,): gets what synapses gain; keep: whether all spikes are listed; cancelled (1,): when it is set the trials
        end, and what they leave is void.
        """
        state, none = at_rest(self.tables, self._start), (np.empty(0), np.empty(0, np.int64))
        return self._simulate(left, sums, keep, block, blocks, state, none, self.incoming, self.until, cancelled)

    def run_in_turn(
        self, left: Findings, sums: np.ndarray, keep: bool, carried: Carried, cancelled: np.ndarray
    ) -> Trains:  # fmt: skip
        """Simulate all trials as `run` does, each from where the one before it ended, the first from where `carried` says."""
        c, trains, duration = self.tables, Trains(), float(self.schedule.edges[-1])
        if carried.state is None:
            carried.state = at_rest(c, self._start)
            carried.spikes = [(np.empty(0), np.empty(0, np.int64)) for _ in c.sizes]
        state = carried.state
        for s in range(len(self.drive)):
            if cancelled[0]:
                break
            new = slice(self.until[s], self.until[s + 1])
            both = zip(carried.spikes[0], self.incoming, strict=True)
            times, senders = (np.concatenate([old, incoming[new]]) for old, incoming in both)
            # Among spikes of one moment, those come first that some ports have already received.
            order = np.argsort(times, kind="stable")
            until = np.zeros(len(self.until), np.int64)
            until[s + 1] = len(order)
            waiting = [np.concatenate(columns) for columns in zip(*carried.spikes[1:], strict=True)]
            state.listed[:] = [0, *(len(times_of) for times_of, _ in carried.spikes[1:])]
            trains = self._simulate(
                left, sums, keep, s, len(self.drive), state, (waiting[0], waiting[1]), (times[order], senders[order]), until,
                cancelled,
            )  # fmt: skip
            carried.end(c, trains, duration)
        return trains

    def _simulate(
        self,
        left: Findings,
        sums: np.ndarray,
        keep: bool,
        block: int,
        blocks: int,
        state: State,
        waiting: tuple[np.ndarray, np.ndarray],
        incoming: tuple[np.ndarray, np.ndarray],
        until: np.ndarray,
        cancelled: np.ndarray,
    ) -> Trains:
        times, senders = self._kernel(
            self._parameters, self._rule, self._hooks, self.tables, self.schedule, self.drive, self._start, incoming, until,
            self._targets, None, keep, left, sums, block, blocks, state, waiting, cancelled,
        )  # fmt: skip
        return [(t[:n], who[:n]) for t, who, n in zip(times, senders, state.listed, strict=True)]

    def learned(
        self, left: Findings, summed: np.ndarray
    ) -> tuple[list[np.ndarray | None], list[np.ndarray | None], list[np.ndarray | None]]:
        """Factors and totals of all projections, in units of activity, as in `SpikingTrial`.

        summed (n_sums,): what synapses have gained over all trials; becomes the totals, without a copy.
        """
        network, setting, trace, c = self._network, self._setting, self._setting.trace, self.tables
        dtype, gain, top, rule = network.dtype, float(network.neuron.gain), network.n_hidden, spiking_rule(setting)
        code = registry.get("inputs", setting.input.code)
        by_spikes, at = spiking_projections(network, setting), 0
        sent: list[np.ndarray | None] = []
        change: list[np.ndarray | None] = []
        totals: list[np.ndarray | None] = []
        for q, projection in enumerate(network.projections):
            factors: tuple[Any, Any] = None, None
            total = None
            if q in by_spikes and projection.plastic:
                unit = code.unit(setting.input) if projection.pre == 0 else gain
                part, at = summed[at : at + network.weights[q].size], at + network.weights[q].size
                synapses = part.size - projection.biased * network.sizes[projection.post]
                part[:synapses] *= dtype.type(rule.in_activity(unit, gain, trace, setting.phases.gate_duration))
                if projection.biased:
                    twin = top + 1 + projection.post
                    fed = twin if c.twins and twin < len(c.sizes) - 1 else projection.post
                    moved = left.moved[:, c.first[fed] : c.first[fed + 1]].sum(axis=0)
                    part[synapses:] = rule.constant * gain / trace.tau_z * moved
                total = part.reshape(network.weights[q].shape)
            elif q in by_spikes:
                total = np.zeros_like(network.weights[q])
            elif projection.pre == 0:
                moved = rule.constant * gain / trace.tau_z * left.change
                factors = self._sent, moved.astype(dtype).reshape(-1, network.sizes[1])
            if projection.post == top + 1 and not (setting.phases.teacher == "drive" and network.output.spiking):
                clamped = np.ones((len(left.clamped), network.sizes[-2] + 1), dtype)
                clamped[:, :-1] = gain / trace.tau_x * left.clamped
                factors, total = (clamped, -left.error.astype(dtype)), None
            if total is None and projection.targets is not None:
                total = projection.by_synapse(factors[0].T @ factors[1])
            sent.append(factors[0])
            change.append(factors[1])
            totals.append(total)
        return sent, change, totals


def in_order(
    sample: np.ndarray, neuron: np.ndarray, time: np.ndarray, m: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Spikes by sample and, in each, in order of time: when, and by whom; and where those of each sample begin."""
    after, later, tie = np.diff(sample), np.diff(time), np.diff(neuron)
    ordered = (after > 0) | ((after == 0) & ((later > 0) | ((later == 0) & (tie >= 0))))
    order = slice(None) if ordered.all() else np.lexsort((neuron, time, sample))  # sorting takes longer than looking
    events = time[order].astype(np.float64), neuron[order].astype(np.int64)
    return events, np.searchsorted(sample[order], np.arange(m + 1))
