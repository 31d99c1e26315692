"""The kernel that simulates trials of spiking neurons, one after the other."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from localdfa.core.compiled import allocating, compiled, device
from localdfa.core.output_hooks import carries, error_into, predict_into
from localdfa.core.spiking.output import read_out, send_error_spikes
from localdfa.core.spiking.population import Kernels, population_kernels, scratch_of
from localdfa.core.spiking.queues import longer
from localdfa.core.spiking.traces import close_gate, move_origin, trace_at


class Findings(NamedTuple):
    """What the trials of a mini-batch leave, one row a trial; scale = ±1/β over the number of openings of the gate."""

    readout: np.ndarray  # (m, n_out) a_y at the end of the first free phase, or ŷ of an output that spikes
    error: np.ndarray  # (m, n_out) the error there
    counts: np.ndarray  # (m, n) spikes until then
    events: np.ndarray  # (m,) all spikes
    fed_back: np.ndarray  # (m, n_out) how often a unit sent back what is not 0: readings of it, or spikes of its error neurons
    change: np.ndarray  # (m, frames, n_1) Σ scale (z(t1) − z(t0)) of the first layer in each frame of the input
    moved: np.ndarray  # (m, n) the same of all neurons that learn, over the gate
    clamped: np.ndarray  # (m, n_L) the mean x of the top layer where the gate opens; (m, 0) where nobody asks
    samples: np.ndarray  # (T, 5, n) of one trial, v, x, z, drive and current at each moment asked for


def findings(m: int, frames: int, n_1: int, n_top: int, n_out: int, n: int, moments: int) -> Findings:
    """Room for what m trials leave: n_1 and n_top neurons in the first and the top layer, n neurons in all."""
    return Findings(
        readout=np.zeros((m, n_out)),
        error=np.zeros((m, n_out)),
        counts=np.zeros((m, n), np.int64),
        events=np.zeros(m, np.int64),
        fed_back=np.zeros((m, n_out), np.int64),
        change=np.zeros((m, frames, n_1)),
        moved=np.zeros((m, n)),
        clamped=np.zeros((m, n_top)),
        samples=np.zeros((moments, 5, n)),
    )


@device
def _set_to_rest(c, state, start):
    """All somata at rest, as in `state.at_rest`."""
    for k in range(c.sizes.size):
        state.origin[k] = 0
        state.listed[k] = 0
    for port in range(state.received.size):
        state.received[port] = 0
    for i in range(state.spikes.size):
        state.spikes[i], state.until[i] = 0, -np.inf
        state.drive[i], state.current[i], state.scratch[i], state.theta[i] = 0, 0, 0, 0
        state.x[i], state.z[i], state.accumulator[i] = 0, 0, 0
        for r in range(c.taus.size):
            state.currents[r, i] = 0
        state.v[i] = start[i]
    for j in range(state.pre_traces.size):
        state.pre_traces[j] = 0
    for u in range(state.level.size):
        state.level[u] = 0


@device
def _start_twins(c, state):
    """Twins begin where their somata are."""
    apart = c.layers + 1
    for k in range(c.layers + 2, c.sizes.size - 1):
        for i in range(c.sizes[k]):
            twin, soma = c.first[k] + i, c.first[k - apart] + i
            state.drive[twin], state.current[twin], state.v[twin] = state.drive[soma], state.current[soma], state.v[soma]
            state.theta[twin], state.x[twin], state.z[twin] = state.theta[soma], state.x[soma], state.z[soma]
            state.accumulator[twin], state.until[twin] = state.accumulator[soma], state.until[soma]
            for r in range(c.taus.size):
                state.currents[r, twin] = state.currents[r, soma]
        state.origin[k] = state.origin[k - apart]
        for e in range(c.first_port[k + 1] - c.first_port[k]):  # none of a twin that has no neurons
            port, of_soma = c.first_port[k] + e, c.first_port[k - apart] + e
            state.received[port] = state.received[of_soma]
            to, source = c.ports[port].traces, c.ports[of_soma].traces
            if to >= 0:
                for j in range(c.sizes[c.ports[port].pre]):
                    state.pre_traces[to + j] = state.pre_traces[source + j]


@device
def _sample(c, state, now, sample):
    """v, x, z, drive and current of every neuron at `now`, into an array (5, n)."""
    for k in range(c.sizes.size):
        for i in range(c.first[k + 1] - c.first[k]):
            at = c.first[k] + i
            sample[0, at] = state.v[at]
            sample[1, at] = trace_at(c, k, state.origin, state.x, i, c.tau_x, now)
            sample[2, at] = trace_at(c, k, state.origin, state.z, i, c.tau_z, now)
            sample[3, at], sample[4, at] = state.drive[at], state.current[at]


@device
def _turn_gate(c, k, now, opens, scale, state, moved, sums):
    """The plasticity gate of population k opens or closes; moved (n,): Σ scale (z(t1) − z(t0)) of the trial."""
    if opens:
        move_origin(c, k, now, state, 0.0, sums)
    else:
        close_gate(c, k, now, state, scale, sums)
    size = -scale if opens else scale
    for i in range(c.sizes[k]):
        moved[c.first[k] + i] += size * trace_at(c, k, state.origin, state.z, i, c.tau_z, now)


@device
def _add_traces(c, k, now, size, state, change):
    """change (n_k,) += size z of population k."""
    for i in range(c.sizes[k]):
        change[i] += size * trace_at(c, k, state.origin, state.z, i, c.tau_z, now)


@device
def _feed_back(c, schedule, hooks, prediction, target, error, signal, fed_back):
    """Set errors below the threshold to 0, and the signal c of all neurons; returns whether there is any.

    Hidden neurons get what the pathway carries, output neurons that are taught by a current the error itself. fed_back (n_out,)
    counts what is carried, unless error neurons bring it.
    """
    teaches = False
    for i in range(signal.size):
        signal[i] = 0.0
    for u in range(error.size):
        error[u] = error[u] if abs(error[u]) > schedule.error_threshold else 0.0
        carried = carries(hooks.carries, prediction[u], target[u], error[u])
        if not c.error_spikes and carried != 0:
            fed_back[u] += 1
        if error[u] != 0 or carried != 0:
            teaches = True
            for k in range(1, c.sizes.size - 1):
                of_output = k == c.layers + 1 or k == 2 * (c.layers + 1)
                for i in range(c.first[k], c.first[k + 1]):
                    signal[i] += (error[u] if of_output else carried) * c.feedback[u, i]
    return teaches


@cache
def trials_kernel(neuron: Any, kernels: Kernels) -> Any:
    """The kernel for one model of neurons; what it does not need is not compiled."""
    advance, advance_periodic = population_kernels(neuron, kernels)
    simple = not neuron.adapts and not kernels.exponential and not kernels.varied

    @allocating
    def trial(
        p,  # parameters of the neurons
        r,  # parameters of the rule, if `general` asks it
        hooks,  # OutputHooks
        c,  # Tables
        schedule,  # Schedule
        drive,  # (frames, n_1) of the first layer
        start,  # (n,) v of all neurons at the onset
        target,  # (n_out,)
        own,  # as in `trials`
        keep,  # whether every spike is listed, and the trial goes on to its end where no error teaches
        state,  # State
        scratch,  # Scratch
        times,  # queues of all populations, the inputs' filled: when each spike was sent, ms
        senders,  # and by which neuron
        findings,  # Findings of the mini-batch
        s,  # which of its trials this is
        sums,  # (n_sums,) gets what synapses gain
        cancelled,  # (1,) ends the trial when it is set
    ):
        """Simulate one trial; the spikes of all populations are left in their queues."""
        n_out, populations = target.size, c.sizes.size
        somata = c.layers + c.output_spikes
        fed = c.layers + 2 if c.twins else 1
        taught = populations - 1 if c.twins else somata + 1
        # From which population on nobody hears somata in the end: the top layer is heard by a twin of the output, if any.
        unheard = c.layers + (populations == 2 * c.layers + 4)
        if schedule.supervised and not c.twins and c.output_spikes:
            taught = taught if c.feedback[:, c.first[somata] : c.first[somata + 1]].any() else somata
        if not schedule.carried:
            _set_to_rest(c, state, start)
        state.listed[0] = times[0].size
        sends = np.zeros(populations, np.bool_)
        for port in range(c.ports.size):
            sends[c.ports[port].pre] = True
        error, signal, quiet = np.zeros(n_out), np.zeros(c.first[-1]), False
        prediction, readout, n_samples, n_error_spikes = np.zeros(n_out), np.zeros(n_out), 0, 0
        for step in range(schedule.last):
            if cancelled[0]:
                return
            t0, t1, sign, opening = schedule.edges[step], schedule.edges[step + 1], schedule.sign[step], schedule.gate[step]
            frame = schedule.frame[step]
            new_frame = step == 0 or frame != schedule.frame[step - 1]
            if schedule.refresh[step] and not quiet:
                read_out(c, state, t0, readout)
                predict_into(hooks.predict_into, readout, prediction)
                error_into(hooks.error_into, prediction, target, error)
                teaches = _feed_back(c, schedule, hooks, prediction, target, error, signal, findings.fed_back[s])
            if step == schedule.free:
                for u in range(n_out):
                    findings.readout[s, u], findings.error[s, u] = readout[u], error[u]
                for i in range(c.first[c.layers + 2]):
                    findings.counts[s, i] = state.spikes[i]
                quiet = schedule.supervised and not teaches
                if quiet and not (keep or schedule.carried):
                    break
                if c.twins:
                    _start_twins(c, state)
            scale = 0.0
            if opening >= 0 and not quiet:
                scale = sign / (schedule.beta * schedule.openings) if schedule.supervised else 1 / schedule.openings
            if new_frame or step == schedule.free:
                for k in range(1, populations - 1):
                    of_inputs = k == 1 or k == c.layers + 2
                    for i in range(c.first[k + 1] - c.first[k]):
                        state.drive[c.first[k] + i] = c.bias[c.first[k] + i] + (drive[frame, i] if of_inputs else 0.0)
            if step >= schedule.free:
                for i in range(c.first[fed], c.first[taught]):
                    state.current[i] = 0.0 if c.error_spikes else sign * schedule.beta * signal[i]
                if c.error_spikes and sign != 0:
                    before = state.listed[populations - 1]
                    send_error_spikes(c, t0, t1, error, state.level, times, senders, state.listed)
                    n_error_spikes += state.listed[populations - 1] - before
                    for e in range(before, state.listed[populations - 1]):
                        findings.fed_back[s, senders[populations - 1][e] % n_out] += 1
                    for port in range(c.ports.size):
                        if c.ports[port].pre == populations - 1:
                            state.strength[port] = sign
            if schedule.sampled[step]:
                _sample(c, state, t0, findings.samples[n_samples])
                n_samples += 1
            if schedule.opens[step]:
                for k in range(fed, taught):
                    _turn_gate(c, k, t0, True, scale, state, findings.moved[s], sums)
                for i in range(findings.clamped.shape[1]):
                    x = trace_at(c, c.layers, state.origin, state.x, i, c.tau_x, t0)
                    findings.clamped[s, i] += x / schedule.openings
            if opening >= 0 and (schedule.opens[step] or new_frame):
                _add_traces(c, fed, t0, -scale, state, findings.change[s, frame])
            for k in range(1, populations - 1):
                twin = k > c.layers + 1
                if (k == c.layers + 1 and somata == c.layers) or (twin and step < schedule.free):
                    continue
                if c.twins and not twin and k >= unheard and step >= schedule.top and not keep:
                    continue  # nobody will read this soma any more
                if c.sizes[k] == 0:
                    continue
                reads = twin or not c.twins or step < schedule.free or schedule.carried
                if simple and c.first_port[k + 1] == c.first_port[k]:
                    advance_periodic(p, c, k, t0, t1, state, times, senders, keep or sends[k])
                else:
                    gains = scale if fed <= k < taught else 0.0
                    advance(
                        p, r, c, k, t0, t1, state, times, senders, gains, reads, keep or sends[k], sums, scratch, cancelled,
                        None, own,
                    )  # fmt: skip
            if opening >= 0 and (schedule.closes[step] or schedule.turns[step]):
                _add_traces(c, fed, t1, scale, state, findings.change[s, frame])
            if schedule.closes[step]:
                for k in range(fed, taught):
                    _turn_gate(c, k, t1, False, scale, state, findings.moved[s], sums)
        if schedule.free >= schedule.last:
            read_out(c, state, schedule.edges[schedule.last], readout)
            for u in range(n_out):
                findings.readout[s, u] = readout[u]
            for i in range(c.first[c.layers + 2]):
                findings.counts[s, i] = state.spikes[i]
        findings.events[s] = state.spikes.sum() + n_error_spikes

    @compiled(error_model="numpy", nogil=True)
    def trials(
        p,  # parameters of the neurons
        r,  # parameters of the rule, if `general` asks it
        hooks,  # OutputHooks
        c,  # Tables
        schedule,  # Schedule
        drive,  # (m, frames, n_1) of the first layer
        start,  # (n,) v of all neurons at the onset
        incoming,  # spikes of the inputs, by sample: when, ms, and from which input
        until,  # (m + 1,) where those of each sample begin
        target,  # (m, n_out)
        own,  # (n, F) parameters of each neuron where they differ, `p` then has the least; or None
        keep,  # as in `trial`
        findings,  # Findings
        sums,  # (n_sums,) gets what synapses gain
        block,  # which block of the mini-batch
        blocks,  # of how many
        state,  # State at which the first trial begins if it is carried, and at which the last one ends
        waiting,  # spikes that are still on their way then, of all populations end to end, state.listed of each
        cancelled,  # (1,) ends the trials when it is set
    ):
        """Simulate the trials of a block; returns the spikes of the last one by population: when, and by which neuron."""
        m, scratch, at = drive.shape[0], scratch_of(c), 0
        times, senders = [], []
        for n in state.listed:
            times.append(longer(waiting[0][at : at + n], n, 0))
            senders.append(longer(waiting[1][at : at + n], n, 0))
            at += n
        for s in range(block * m // blocks, (block + 1) * m // blocks):
            times[0], senders[0] = incoming[0][until[s] : until[s + 1]], incoming[1][until[s] : until[s + 1]]
            trial(
                p, r, hooks, c, schedule, drive[s], start, target[s], own, keep, state, scratch, times, senders, findings, s,
                sums, cancelled,
            )  # fmt: skip
        return times, senders

    return trials
