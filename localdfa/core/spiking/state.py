"""The state of spiking neurons and of their synapses at a moment of a trial."""

from typing import Any, NamedTuple

import numpy as np


class State(NamedTuple):
    """All populations of a circuit in a trial: n neurons with a membrane, end to end, P populations.

    Traces, raised thresholds, synaptic currents and accumulators are kept as multiples of their decay since the trace origin of
    their population (`traces`).
    """

    drive: np.ndarray  # (n,) constant drive
    current: np.ndarray  # (n,) ±β c of the feedback, which is subtracted from the drive where the rule injects it
    v: np.ndarray  # (n,) membrane
    scratch: np.ndarray  # (n,) v at the end of a group or a chunk, or what synapses read as the gate closes
    theta: np.ndarray  # (n,) by how much the threshold is raised
    x: np.ndarray  # (n,) trace of the neuron's own spikes that decays with τ_x, for the readout
    z: np.ndarray  # (n,) trace of the neuron's own spikes that decays with τ_z: the postsynaptic trace
    accumulator: np.ndarray  # (n,) C_i of `traces`: what postsynaptic spikes will have added to each synapse
    until: np.ndarray  # (n,) end of the last refractory period, ms
    spikes: np.ndarray  # (n,) number of spikes since the onset
    currents: np.ndarray  # (R, n) synaptic currents, a row for each time constant
    pre_traces: np.ndarray  # presynaptic traces y_j of all ports that learn, end to end
    origin: np.ndarray  # (P,) trace origin, ms
    listed: np.ndarray  # (P,) number of spikes in each population's queue
    received: np.ndarray  # (ports,) number of spikes of its queue that have arrived through each port
    strength: np.ndarray  # (ports,) factor on the jumps of each port; of error neurons it has the sign of the phase
    level: np.ndarray  # (2 n_out,) how far each error neuron is on its way to its next spike, from 0 to 1


def at_rest(c: Any, start: np.ndarray) -> State:
    """All populations of a circuit at the onset of a trial that begins at rest; start (n,): v of every neuron."""
    n, populations, ports, kind = c.first[-1], c.sizes.size, c.ports.size, c.jumps.dtype
    state = State(
        drive=np.zeros(n, kind),
        current=np.zeros(n, kind),
        v=np.zeros(n, kind),
        scratch=np.zeros(n, kind),
        theta=np.zeros(n, kind),
        x=np.zeros(n, kind),
        z=np.zeros(n, kind),
        accumulator=np.zeros(n, kind),
        until=np.full(n, -np.inf),
        spikes=np.zeros(n, np.int64),
        currents=np.zeros((c.taus.size, n), kind),
        pre_traces=np.zeros(c.n_pre_traces, kind),
        origin=np.zeros(populations),
        listed=np.zeros(populations, np.int64),
        received=np.zeros(ports, np.int64),
        strength=c.strength.copy(),
        level=np.zeros(c.sizes[-1]),
    )
    state.v[:] = start
    return state


class Population(NamedTuple):
    """One population's part of the `State`, and the queue of its spikes."""

    target: np.ndarray  # (n,) what v relaxes to: the constant drive less the feedback current
    until: np.ndarray  # (n,) as in `State`, like the next five
    spikes: np.ndarray
    theta: np.ndarray
    x: np.ndarray
    z: np.ndarray
    accumulator: np.ndarray
    currents: np.ndarray  # (R, ·) of all populations
    first: int  # where its own neurons begin in `currents`
    times: np.ndarray  # when it sent its spikes, ms
    senders: np.ndarray  # which neuron sent each


class Synapses(NamedTuple):
    """All synapses of a circuit, as one population sees them."""

    ports: np.ndarray  # these five as in `tables.Tables`
    row_ends: np.ndarray
    targets: np.ndarray
    jumps: np.ndarray
    online: np.ndarray
    strength: np.ndarray  # these two as in `State`
    pre_traces: np.ndarray
    sums: np.ndarray  # (n_sums,) what synapses that learn have gained so far, times the scale of the gate


class Traces(NamedTuple):
    """How the traces of a population decay, and what pairs of spikes do to a synapse."""

    origin: float  # since when traces decay, ms
    tau_x: float  # ms
    tau_z: float  # ms
    post: float  # these three as in `traces.Pairing`
    pre: float
    edge: float
