"""The local rule: presynaptic activity × temporal derivative of postsynaptic activity."""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, prange

from localdfa.core import projections
from localdfa.core.settled import Trial


@cache
def _response(neuron: Any, propagation: str) -> Any:
    """The kernel that nudges a population; nowhere does it read f'."""
    f, climbs, two_compartment = neuron.f, propagation != "held", propagation == "two_compartment"

    @njit(parallel=True, error_model="numpy")
    def respond(p, beta, threshold, drive, signal, activity, weight, change, moved):
        """Activity f(a − β c) in a nudged phase, all arrays (m, n); returns the number of graded events.

        drive: a with what nudged activity below adds to it. moved: gets the change of activity that the layers above see.
        The postsynaptic change is read against the free activity or, with two compartments, against the neuron's own
        feed-forward prediction f(a), and added to `change` times `weight`.
        """
        events = 0
        for s in prange(drive.shape[0]):
            for i in range(drive.shape[1]):
                nudged = f(p, drive[s, i] - beta * signal[s, i])
                dh = nudged - activity[s, i]
                dz = nudged - f(p, drive[s, i]) if two_compartment else dh
                events += abs(dh) > threshold
                if climbs:
                    moved[s, i] = dh if abs(dh) > threshold else dh * 0
                change[s, i] += weight * (dz if abs(dz) > threshold else dz * 0)
        return events

    return respond


class Local:
    """ΔW_ij = (η/β) ∫_gate x_j (dz_i/dt) dt with one graded event a neuron and phase: (η/β) (z_i^β − z_i) x_j.

    x_j is read just before the event. One-sided nudging has one phase at +β and an error of O(β) against exact DFA;
    centered nudging has one at +β and one at −β, takes half the difference, and has an error of O(β²) (the Discussion of
    Nøkland 2016; phases as in Scellier & Bengio 2017 and Laborieux et al. 2021).
    """

    pathways = ()  # any
    own = "direct"
    needs_phases = True

    def __init__(self, network: Any, phases: Any) -> None:
        self._network = network
        self._phases = phases
        self._signs = (1, -1) if phases.nudging == "centered" else (1,)
        self._respond = _response(network.neuron.__class__, phases.propagation)
        self._moved: dict[tuple[int, int], np.ndarray] = {}

    def hidden(self, l: int, trial: Trial, signal: np.ndarray, change: np.ndarray) -> int:
        """Nudge hidden layer l in every phase; signal and change (m, n_l). Returns the number of graded events."""
        number = change.dtype.type
        beta, events = self._phases.beta, 0
        change[:] = 0
        for k, sign in enumerate(self._signs):
            moved = np.empty_like(change)
            events += self._respond(
                self._network.neuron, number(sign * beta), number(trial.threshold),
                self._drive(k, l, trial), signal, trial.activity[l], number(sign / (beta * len(self._signs))), change, moved,
            )  # fmt: skip
            if self._phases.propagation != "held":
                self._moved[k, l] = moved if trial.mask[l] is None else moved * trial.mask[l]
        if trial.mask[l] is not None:
            change *= trial.mask[l]
        return events

    def output(self, trial: Trial, error: np.ndarray, change: np.ndarray) -> None:
        """The teacher moves ŷ to ŷ − βe, which gives −e at any β; or it nudges the drive, which gives −σ'(a) e."""
        if self._phases.teacher == "activity":
            np.negative(error, out=change)
            return
        beta = self._phases.beta
        change[:] = 0
        for k, sign in enumerate(self._signs):
            drive = self._drive(k, self._network.n_hidden, trial)
            before = self._network.predict(drive if self._phases.propagation == "two_compartment" else trial.drive[-1])
            moved = self._network.predict(drive - sign * beta * error) - before
            change += sign / (beta * len(self._signs)) * moved

    def _drive(self, k: int, l: int, trial: Trial) -> np.ndarray:
        """The drive of layer l in phase k: what the layer below, nudged, adds to the free one, unless the gate is held."""
        drive = trial.drive[l]
        if self._phases.propagation == "held" or l == 0:
            return drive
        climbing = np.empty_like(drive)
        projections.climb(trial.route[l], 1.0, self._network.weights[l], self._moved[k, l - 1], climbing)
        return drive + climbing


model = Local
