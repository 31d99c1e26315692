"""Timed mode: τ > 0, so activity takes time, and a trial of graded events is simulated exactly, without a time step.

Hidden neuron i has the drive a_i = b_i + Σ_j W_ij x_j, where x_j is the sum of the graded events of presynaptic neuron j
that have arrived, `delay` ms after each was sent. Its membrane and its activity are

    τ dv_i/dt = −v_i + a_i − β c_i,     h_i = f(v_i),

with the feedback current c_i in the nudged phases only. Between arrivals v_i relaxes monotonically to a_i − β c_i. After
τ ln((v − a + βc)/(v* − a + βc)) it reaches v* = f⁻¹(h_sent ± ε), where the neuron sends its next event, of size ±ε. Output
units are such membranes, and send nothing.

At the onset of a trial, t = 0, every v is 0, every input that is not 0 sends its value as one event, and every hidden
neuron with |f(0)| ≥ ε sends f(0). Activity only climbs: nothing that a population does comes back to it within a phase. So
one population after the other is carried through a whole phase, and nothing has to be simulated in common.

The local rule needs ∫ x_j dz_i over the gate, which opens at t0 and closes at t1. As x_j is piecewise constant, exactly

    ∫ x_j dz_i = x_j(t1) ζ_i(t1) − Σ_k Δx_j(t_k) ζ_i(t_k),     ζ_i(t) = z_i(t) − z_i(t0),

summed over the arrivals t_k from neuron j while the gate is open. So only those arrivals and the ends of the gate are touched.

All numbers are float64, whatever the precision of the weights; `timed_trial` is a trial itself.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import prange

from localdfa import registry
from localdfa.core import finite, interrupt
from localdfa.core.compiled import as_argument, compiled
from localdfa.core.events import feedback_weights, trial_segments
from localdfa.core.output_hooks import output_hooks
from localdfa.core.products import product
from localdfa.core.rate.timed_trial import MOST_LEVELS, Hooks, Outcome, Schedule, Wiring, carry_out, of_projection
from localdfa.core.update import Update
from localdfa.errors import NonFiniteError

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec import Setting

# The samples of a mini-batch are shared out in so many blocks, whatever the number of threads.
_BLOCKS = 16


@dataclass(kw_only=True)
class TimedTrial(Update):
    """What a mini-batch of m trials leaves: the update, whose lists are empty without targets, and the output.

    Its totals are Σ_samples (1/β) ∫_gate x dz, for centered nudging half the difference between the phases at +β and −β.
    """

    # v of the output units, (m, n_out), at the end of the free phase.
    drive: np.ndarray
    # ŷ (m, n_out) at that time.
    prediction: np.ndarray


class Kernels(NamedTuple):
    """The kernels for some models."""

    trial: Any
    batch: Any


def simulate(network: "Network", setting: "Setting", inputs: np.ndarray, targets: np.ndarray | None = None) -> TimedTrial:
    """Run the trials of a mini-batch.

    inputs: (m, n_in + 1), whose last column is ones. targets: (m, n_out), or None to end after the free phase.

    Raises
    ------
    NonFiniteError
        An activity is infinite or NaN, or diverges; the message names the layer and the row.
    """
    m, schedule, wiring = len(inputs), _schedule(network, setting, targets is not None), _wiring(network)
    outcome = _outcome(wiring, schedule, m)
    target = np.zeros_like(outcome.drive) if targets is None else targets.astype(np.float64, order="C")
    with interrupt.threads(1) as (pool, cancelled):
        pool.submit(
            _kernels_of(network, setting).batch,
            registry.cast(network.neuron, float),
            output_hooks(network.output, network.pathway),
            schedule,
            wiring,
            inputs.astype(np.float64),
            target,
            outcome,
            cancelled,
        ).result()
    _refuse(outcome.failed, network.n_hidden)
    total = _totals(network, wiring, outcome) if schedule.openings else []
    drive = outcome.drive.astype(network.dtype)
    fed_back = 0
    if targets is not None:
        error = network.output.error(network.predict(outcome.drive), target)
        error[np.abs(error) <= setting.feedback.threshold] = 0
        carried = network.pathway.carries(network.predict(outcome.drive), target, error)
        sent = np.count_nonzero(carried, axis=0)
        fed_back = schedule.openings * sum(int(sent @ fan) for fan in network.feedback_fans if fan is not None)
    return TimedTrial(
        drive=drive,
        prediction=network.predict(drive),
        sent=[None] * len(total),
        change=[None] * len(total),
        total=[*total],
        events=int(outcome.events.sum()),
        feedback_events=fed_back,
    )


def record(network: "Network", setting: "Setting", inputs: np.ndarray, target: np.ndarray | None = None) -> list[np.ndarray]:
    """All graded events of one trial in order of time, an array of `EVENT` for each hidden layer.

    inputs (n_in + 1,) and target (n_out,) are rows of those of `simulate`.
    """
    schedule, wiring = _schedule(network, setting, target is not None), _wiring(network)
    outcome = _outcome(wiring, schedule, 1)
    with interrupt.threads(1) as (pool, cancelled):
        queues = pool.submit(
            _kernels_of(network, setting).trial,
            registry.cast(network.neuron, float),
            output_hooks(network.output, network.pathway),
            schedule,
            wiring,
            inputs.astype(np.float64),
            np.zeros(network.sizes[-1]) if target is None else target.astype(np.float64),
            outcome,
            0,
            0,
            cancelled,
        ).result()
    _refuse(outcome.failed, network.n_hidden)
    counts = outcome.events[0]
    return [queue[:n] for queue, n in zip(queues[1:-1], counts[1:-1], strict=True)]


def _schedule(network: "Network", setting: "Setting", nudges: bool) -> Schedule:
    phases = setting.phases
    edges, sign, gate = trial_segments(phases, nudges)
    return Schedule(
        tau=float(network.neuron.tau),
        delay=setting.network.delay,
        epsilon=setting.network.threshold,
        beta=phases.beta,
        error_threshold=setting.feedback.threshold,
        clamped=phases.teacher == "activity",
        two_compartment=phases.propagation == "two_compartment",
        edges=edges,
        sign=sign,
        gate=gate,
        openings=int(gate.max()) + 1,
    )


def _wiring(network: "Network") -> Wiring:
    return Wiring(
        sizes=np.array(network.sizes),
        weights=np.concatenate([w.ravel() for w in network.weights]),
        feedback=feedback_weights(network),
    )


def _outcome(wiring: Wiring, schedule: Schedule, m: int) -> Outcome:
    sizes, closings, blocks = wiring.sizes, max(1, schedule.openings), min(_BLOCKS, m)
    return Outcome(
        drive=np.zeros((m, sizes[-1])),
        events=np.zeros((m, len(sizes)), np.int64),
        failed=np.zeros(m, np.int64),
        x_at_close=np.zeros((m, closings, sum(sizes[:-1] + 1))),
        zeta_at_close=np.zeros((m, closings, sum(sizes[1:]))),
        arrivals=np.zeros((blocks, len(wiring.weights))),
        arrived=np.zeros((blocks, len(sizes) - 1), np.bool_),
    )


def _refuse(failed: np.ndarray, n_hidden: int) -> None:
    """Raise NonFiniteError for the first row that has failed."""
    rows = np.flatnonzero(failed)
    if rows.size:
        code, row = int(failed[rows[0]]), int(rows[0])
        layer = finite.layer(abs(code) - 1, n_hidden)
        how = (
            "is not finite"
            if code > 0
            else f"exceeds {MOST_LEVELS} times network.threshold: it diverges, or the threshold is too small"
        )
        raise NonFiniteError(f"an activity of {layer} {how}", row)


def _totals(network: "Network", wiring: Wiring, outcome: Outcome) -> list[np.ndarray]:
    """Σ x(t1) ζ(t1) − Σ Δx ζ of each projection, (n_pre + 1, n_post), in an order that does not depend on the threads."""
    totals, row, column = [], 0, 0
    for l, (n_pre, n_post) in enumerate(pairwise(wiring.sizes)):
        x = outcome.x_at_close[:, :, row : row + n_pre + 1].reshape(-1, n_pre + 1)
        zeta = np.ascontiguousarray(outcome.zeta_at_close[:, :, column : column + n_post]).reshape(-1, n_post)
        total = np.empty((n_pre + 1, n_post))
        product(1.0, np.ascontiguousarray(x.T), zeta, False, total)
        for block in np.flatnonzero(outcome.arrived[:, l]):
            total -= of_projection(outcome.arrivals[block], wiring.sizes, l)
        totals.append(total.astype(network.dtype))
        row, column = row + n_pre + 1, column + n_post
    return totals


def _kernels_of(network: "Network", setting: "Setting") -> Kernels:
    """The kernels for a network and the rule of a setting.

    A rule that does not serve this engine teaches nothing here; any z will do, and it is then the activity.
    """
    neuron, rule = network.neuron.__class__, registry.get("rules", setting.rule)
    postsynaptic = neuron.f
    if "timed" in rule.engines:
        postsynaptic = rule.postsynaptic(neuron, setting.parameters_of(setting.rule))
    return _kernels(neuron, postsynaptic)


@cache
def _kernels(neuron: Any, postsynaptic: Any) -> Kernels:
    """The kernels that simulate one trial and a mini-batch of them.

    neuron: model of the hidden neurons. postsynaptic: see `Hooks`.
    """
    f, inverse, postsynaptic = as_argument(neuron.f), as_argument(neuron.inverse), as_argument(postsynaptic)

    @compiled(error_model="numpy", nogil=True)
    def trial(
        p,  # parameters of the hidden neurons
        output,  # `OutputHooks`
        schedule,  # `Schedule`
        wiring,  # `Wiring`
        inputs,  # (n_in + 1,)
        target,  # (n_out,)
        outcome,  # `Outcome`, of which row s and `block` are written
        s,  # the number of the sample
        block,  # the number of the block of samples to which it belongs
        cancelled,  # (1,): ends the trial when it is set
    ):
        """Simulate one trial; returns the queues of events of the inputs and of all layers."""
        hooks = Hooks(
            f=f,
            inverse=inverse,
            postsynaptic=postsynaptic,
            output=output,
        )
        return carry_out(hooks, p, schedule, wiring, inputs, target, outcome, s, block, cancelled)

    @compiled(parallel=True, error_model="numpy", nogil=True)
    def batch(
        p,  # parameters of the hidden neurons
        output,  # `OutputHooks`
        schedule,  # `Schedule`
        wiring,  # `Wiring`
        inputs,  # (m, n_in + 1)
        targets,  # (m, n_out)
        outcome,  # `Outcome`, which is written
        cancelled,  # (1,): ends the trials when it is set
    ):
        """Simulate the trials of a mini-batch. Threads take blocks of samples."""
        m, blocks = inputs.shape[0], outcome.arrivals.shape[0]
        for block in prange(blocks):
            for s in range(block * m // blocks, (block + 1) * m // blocks):
                trial(p, output, schedule, wiring, inputs[s], targets[s], outcome, s, block, cancelled)

    return Kernels(trial=trial, batch=batch)
