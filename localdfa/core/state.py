"""What is known of spiking neurons and of their synapses at a moment of a trial."""

from typing import Any, NamedTuple

import numpy as np

# Rows of the array of states. DRIVE: constant drive; CURRENT: ±β c of the feedback, which is
# subtracted from the drive where the rule injects it; V; LATER: room for v at the
# end of a chunk, or for what `learn` reads; THETA: by how much the threshold is raised, X, Z: traces of the own spikes, C: see
# `traces`, all four in multiples of their decay.
DRIVE, CURRENT, V, LATER, THETA, X, Z, C = range(8)
ROWS = 8


class State(NamedTuple):
    """All populations in a trial, neurons end to end.

    rows (8, n): as above; until (n,): end of the last refractory period; spikes (n,): how many; currents (R, n): synaptic
    currents, in multiples of their decay; y: presynaptic traces of all slots end to end; base (P,); sent (P,): spikes listed so
    far; received: spikes of each slot that have arrived; strength: as in `Circuit`, but of error spikes with the phase's sign;
    level (2 n_out,): how far each error neuron is on its way to its next spike, from 0 to 1.
    """

    rows: np.ndarray
    until: np.ndarray
    spikes: np.ndarray
    currents: np.ndarray
    y: np.ndarray
    base: np.ndarray
    sent: np.ndarray
    received: np.ndarray
    strength: np.ndarray
    level: np.ndarray


def at_rest(c: Any, start: np.ndarray) -> State:
    """All populations of a circuit at the onset of a trial that begins at rest; start (n,): v of every neuron."""
    n, populations, slots, kind = c.first[-1], c.sizes.size, c.delay.size, c.jumps.dtype
    state = State(
        np.zeros((ROWS, n), kind), np.full(n, -np.inf), np.zeros(n, np.int64), np.zeros((c.taus.size, n), kind),
        np.zeros(c.n_traces, kind), np.zeros(populations), np.zeros(populations, np.int64), np.zeros(slots, np.int64),
        c.strength.copy(), np.zeros(c.sizes[-1]),
    )  # fmt: skip
    state.rows[V] = start
    return state


class Cells(NamedTuple):
    """One population's parts of a `State`, and the room for its spikes.

    to (n,): what v relaxes to, the constant drive less the feedback; until, spikes, theta, x, z, risen (n,): as there, risen
    being C; currents (R, ·): of all populations, of which its own begin at `first`; times, senders: its queue.
    """

    to: np.ndarray
    until: np.ndarray
    spikes: np.ndarray
    theta: np.ndarray
    x: np.ndarray
    z: np.ndarray
    risen: np.ndarray
    currents: np.ndarray
    first: int
    times: np.ndarray
    senders: np.ndarray


class Synapses(NamedTuple):
    """All synapses: joints, row_ends, targets, jumps and online as in `Circuit`, strength and y as in `State`; sums: where
    those that learn add up scale ∫ x dz.
    """

    joints: np.ndarray
    row_ends: np.ndarray
    targets: np.ndarray
    jumps: np.ndarray
    online: np.ndarray
    strength: np.ndarray
    y: np.ndarray
    sums: np.ndarray


class Traces(NamedTuple):
    """How the traces of a population decay: since `base`, x with tau_x and z with tau_z, ms; and what pairs of spikes do to a
    synapse: post, pre and edge as in `traces.Pairing`."""

    base: float
    tau_x: float
    tau_z: float
    post: float
    pre: float
    edge: float
