"""Settled mode: τ = 0, so each neuron sends one graded event a phase and a mini-batch is a few dense passes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from localdfa.core import finite, kernels, projections
from localdfa.core.convolution import Route


@dataclass
class Trial:
    """The free phase of a mini-batch of m samples.

    drive: a_l (m, n_l) of each hidden layer and the output; activity: h_l = f(a_l) of each hidden layer; sent: what the
    synapses of each projection receive, (m, n_pre + 1), the last column ones for the bias; mask: dropout of each hidden
    layer, 0 or 1/(1 − p), or None; prediction ŷ (m, n_out); threshold ε; events: number of graded events, those of
    the inputs included; route: of each projection that is a convolution, the winners of its pooling, None of a dense one.
    """

    drive: list[np.ndarray]
    activity: list[np.ndarray]
    sent: list[np.ndarray]
    mask: list[np.ndarray | None]
    prediction: np.ndarray
    threshold: float
    events: int
    route: list[Route | None]

    def keep(self, rows: np.ndarray) -> "Trial":
        """The same trial with only these samples."""
        return Trial(
            [a[rows] for a in self.drive],
            [h[rows] for h in self.activity],
            [s[rows] for s in self.sent],
            [None if m is None else m[rows] for m in self.mask],
            self.prediction[rows],
            self.threshold,
            self.events,
            [None if r is None else r.keep(rows) for r in self.route],
        )


def free_phase(network: Any, inputs: np.ndarray, threshold: float = 0.0, masks: Any = None) -> Trial:
    """Settle every layer on the inputs (m, n_in + 1), the last column ones.

    masks: dropout of each hidden layer, arrays (m, n_l) of 0 and 1/(1 − p), or None.

    Raises
    ------
    NonFiniteError
        An activity is infinite or NaN; the message names the layer and the row.
    """
    m, dtype = inputs.shape[0], inputs.dtype
    settle = kernels.activation(network.neuron.__class__)
    sent_in = int(np.count_nonzero(inputs != 0)) - m  # without the column of ones
    trial = Trial([], [], [inputs], masks or [None] * network.n_hidden, np.empty(0), threshold, sent_in, [])
    for l, n in enumerate(network.sizes[1:-1]):
        drive, activity = np.empty((m, n), dtype), np.empty((m, n), dtype)
        sent = np.empty((m, n + 1), dtype)
        sent[:, -1] = 1
        trial.route.append(projections.drive(network.geometry[l], network.weights[l], trial.sent[l], drive))
        events, broken = settle(network.neuron, dtype.type(threshold), drive, activity, sent)
        if broken:
            finite.require(activity, "an activity", l, network.n_hidden)
        if trial.mask[l] is not None:
            sent[:, :-1] *= trial.mask[l]
        trial.drive.append(drive)
        trial.activity.append(activity)
        trial.sent.append(sent)
        trial.events += events
    drive = np.empty((m, network.sizes[-1]), dtype)
    trial.route.append(projections.drive(None, network.weights[-1], trial.sent[-1], drive))
    trial.drive.append(drive)
    trial.prediction = network.predict(drive)
    finite.require(drive, "an activity", network.n_hidden, network.n_hidden)
    return trial


def post_changes(
    network: Any, rule: Any, trial: Trial, error: np.ndarray, target: np.ndarray, directions: bool = False
) -> tuple[list[np.ndarray], int]:
    """The postsynaptic change Δz/β of each layer, hidden then output, for the error ŷ − y and the target, both (m, n_out).

    directions: of an exact rule, each hidden layer's change times a power of two, so that what is carried back through a
    hundred layers neither vanishes nor overflows. Returns the changes (m, n_l) and the number of graded events in the nudged
    phases.
    """
    pathway, m, events = network.pathway, error.shape[0], 0
    change = [np.empty((m, n), error.dtype) for n in network.sizes[1:]]
    if m == 0:
        return change, events
    carried = pathway.carries(trial.prediction, target, error)
    for l in pathway.order(network.n_hidden):
        signal = np.empty_like(change[l])
        if l > 0 and pathway.by_propagation and rule.needs_phases:
            signal[:] = 0  # the activity itself brings it
        else:
            pathway.signal(network, l, carried, change, signal, trial.route)
        events += rule.hidden(l, trial, signal, change[l])
        if directions:
            finite.scale_near_one(change[l])
    rule.output(trial, error, change[-1])
    return change, events


def totals(trial: Trial, change: list[np.ndarray], frozen: frozenset[int] = frozenset()) -> list[np.ndarray | None]:
    """Σ_samples pre · post change of each convolution that learns, for `Plasticity.learn`.

    None of the other projections: of the dense ones the optimiser visits row after row, and their sum is never held whole.
    """
    found = zip(trial.route, trial.sent, change, strict=True)
    return [None if r is None or l in frozen else projections.total(r, s, c) for l, (r, s, c) in enumerate(found)]
