"""The local rule: presynaptic activity × temporal derivative of postsynaptic activity."""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, prange

from localdfa.core.kernels import product
from localdfa.core.settled import Trial


@cache
def _response(neuron: Any, two_compartment: bool) -> Any:
    """The kernel that nudges a population; nowhere does it read f'."""
    f = neuron.f

    @njit(parallel=True, error_model="numpy")
    def respond(p, beta, threshold, drive, climbing, signal, activity, weight, change, moved):
        """Activity f(a + Δa − β c) in a nudged phase, all arrays (m, n); returns the number of graded events.

        climbing: Δa, what changed activity below adds to the drive a. moved: the change of activity that the layers above
        see. The postsynaptic change is read against the free activity or, with two compartments, against the neuron's own
        feed-forward prediction f(a + Δa), and added to `change` times `weight`.
        """
        events = 0
        for s in prange(drive.shape[0]):
            for i in range(drive.shape[1]):
                v = drive[s, i] + climbing[s, i]
                nudged = f(p, v - beta * signal[s, i])
                dh = nudged - activity[s, i]
                fires = abs(dh) > threshold
                moved[s, i] = dh if fires else dh * 0
                events += fires
                if two_compartment:
                    dz = nudged - f(p, v)
                    change[s, i] += weight * (dz if abs(dz) > threshold else dz * 0)
                else:
                    change[s, i] += weight * moved[s, i]
        return events

    return respond


class Local:
    """ΔW_ij = (η/β) ∫_gate x_j (dz_i/dt) dt with one graded event a neuron and phase: (η/β) (z_i^β − z_i) x_j.

    x_j is read just before the event. One-sided nudging has one phase at +β and an error of O(β) against exact DFA;
    centered nudging has one at +β and one at −β, takes half the difference, and has an error of O(β²) (the Discussion of
    Nøkland 2016; phases as in Scellier & Bengio 2017 and Laborieux et al. 2021).
    """

    pathways = ("direct", "sequential", "transpose", "indirect")
    needs_phases = True

    def __init__(self, network: Any, phases: Any) -> None:
        self._network = network
        self._phases = phases
        self._signs = (1, -1) if phases.nudging == "centered" else (1,)
        self._respond = _response(network.neuron.__class__, phases.propagation == "two_compartment")
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
                trial.drive[l], self._climbing(k, l, trial, change), signal, trial.activity[l],
                number(sign / (beta * len(self._signs))), change, moved,
            )  # fmt: skip
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
            drive = trial.drive[-1] + self._climbing(k, self._network.n_hidden, trial, change)
            before = self._network.predict(drive if self._phases.propagation == "two_compartment" else trial.drive[-1])
            moved = self._network.predict(drive - sign * beta * error) - before
            change += sign / (beta * len(self._signs)) * moved

    def _climbing(self, k: int, l: int, trial: Trial, like: np.ndarray) -> np.ndarray:
        """What the layer below, nudged in phase k, adds to the drive of layer l; nothing while the gate is held."""
        out = np.zeros_like(like)
        if self._phases.propagation != "held" and l > 0:
            product(1.0, self._moved[k, l - 1], self._network.weights[l][:-1], False, out)
        return out


model = Local
