"""The local rule: presynaptic activity × temporal derivative of postsynaptic activity."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import prange

from localdfa.core.compiled import compiled
from localdfa.core.rate import projections
from localdfa.core.rate.settled import FreePhase
from localdfa.core.spiking.traces import Pairing
from localdfa.rules._spiking import SpikingRule

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec.tables import Phases, Trace


@cache
def _response(neuron: Any, propagation: str, drops: bool) -> Callable[..., int]:
    """The kernel that nudges a population of one neuron model; nowhere does it read f'.

    drops: whether there is dropout.
    """
    f, climbs, two_compartment = neuron.f, propagation != "held", propagation == "two_compartment"

    @compiled(parallel=True, error_model="numpy")
    def respond(
        p,  # parameters of the neuron model
        betas,  # (phases,): β with the sign of the nudging in each nudged phase
        threshold,  # ε: changes that are no larger send no event
        drive,  # (phases, m, n): a with what nudged activity below adds to it; (1, m, n) where that is nothing
        signal,  # feedback signal c (m, n)
        mask,  # dropout (m, n): neurons with 0 send no event; not read without dropout
        activity,  # h of the free phase (m, n)
        change,  # (m, n) becomes the postsynaptic change Δz/β, averaged over the phases
        moved,  # (phases, m, n) becomes the change of activity that the layer above sees, if it sees any
    ):
        """Move a population to f(a − β c) in each nudged phase; returns the number of graded events.

        z is read against the free activity or, with two compartments, against the neuron's own feed-forward prediction f(a).
        """
        events = 0
        for s in prange(signal.shape[0]):
            for i in range(change.shape[1]):
                change[s, i] = 0
            for k in range(betas.size):
                q, beta, sent = k % drive.shape[0], betas[k], np.uint32(0)
                weight = betas.dtype.type(1 / (beta * betas.size))
                for i in range(change.shape[1]):
                    nudged = f(p, drive[q, s, i] - beta * signal[s, i])
                    dh = nudged - activity[s, i]
                    dz = nudged - f(p, drive[q, s, i]) if two_compartment else dh
                    sends = abs(dh) > threshold
                    if drops:
                        sends &= mask[s, i] != 0
                    sent = np.uint32(sent + np.uint32(sends))  # 32 bits, as wide as float32
                    if climbs:
                        moved[k, s, i] = dh if abs(dh) > threshold else dh * 0
                    change[s, i] += weight * (dz if abs(dz) > threshold else dz * 0)
                events += sent
        return events

    return respond


class Local(SpikingRule):
    """ΔW_ij = (η/β) ∫_gate x_j (dz_i/dt) dt.

    Settled, with one graded event a neuron and phase, it is (η/β) (z_i^β − z_i) x_j, where x_j is read just before the event.
    In time z_i = f(v_i). Of spikes it is pair STDP of equal areas, and a term for the gate: exactly ∫ x_j dz_i, for traces
    that jump by 1 at each spike and decay with τ_x and τ_z.

    One-sided nudging has one phase at +β and an error of O(β) against exact DFA; centered nudging has one at +β and one at −β,
    takes half the difference, and has an error of O(β²) (the Discussion of Nøkland 2016; phases as in Scellier & Bengio 2017
    and Laborieux et al. 2021).

    Where drives are normalised over mini-batches, the nudge comes after that, and what a synapse reads of Δz is less averages
    over the mini-batch: `core.rate.normalisation` says how, and in which sense that is local.
    """

    class Parameters(NamedTuple):
        """None."""

    engines: tuple[str, ...] = ("settled", "timed", "spiking")
    pathways = ()  # any
    own = "direct"
    needs_phases = True

    @staticmethod
    def postsynaptic(neuron: Any, parameters: Any) -> Callable[..., float]:
        """The activity: reading the membrane in its place would silently drop f'."""
        return neuron.f

    @staticmethod
    def pairing(parameters: Any, tau_x: float, tau_z: float) -> Pairing:
        """With ρ = τ_x/(τ_x+τ_z): (1 − ρ) Σ_post x_j − ρ Σ_pre z_i + ρ [x_j z_i] is ∫ x_j dz_i."""
        rho = tau_x / (tau_x + tau_z)
        return Pairing(1 - rho, rho, rho)

    @staticmethod
    def in_activity(pre_unit: float, post_unit: float, trace: "Trace", gate: float) -> float:
        """A trace of a steady rate is rate · τ, so that h = unit · trace / τ."""
        return post_unit * pre_unit / (trace.tau_x * trace.tau_z)

    def __init__(self, network: "Network", phases: "Phases", parameters: Any) -> None:
        self._network = network
        self._phases = phases
        self._betas = phases.beta * np.array([1, -1] if phases.nudging == "centered" else [1], network.dtype)

    def hidden(
        self, l: int, free: FreePhase, moved: np.ndarray | None, signal: np.ndarray, change: np.ndarray
    ) -> tuple[int, np.ndarray | None]:
        """Nudge hidden layer l in every phase; see `localdfa.rules`."""
        climbs = self._phases.propagation != "held"
        here = np.empty((self._betas.size if climbs else 0, *change.shape), change.dtype)
        mask = free.mask[l]
        events = _response(self._network.neuron.__class__, self._phases.propagation, mask is not None)(
            self._network.neuron,
            self._betas,
            change.dtype.type(free.threshold),
            self._drives(l, free, moved),
            signal,
            signal if mask is None else mask,
            free.activity[l],
            change,
            here,
        )
        if mask is not None:
            here *= mask
            change *= mask
        return events, here if climbs else None

    def output(self, free: FreePhase, moved: np.ndarray | None, error: np.ndarray, change: np.ndarray) -> None:
        """The teacher moves ŷ to ŷ − βe, which gives −e at any β; or it nudges the drive, which gives −σ'(a) e."""
        if self._phases.teacher == "activity":
            np.negative(error, out=change)
            return
        drives, predict = self._drives(self._network.n_hidden, free, moved), self._network.predict
        change[:] = 0
        for k, beta in enumerate(self._betas):
            drive = drives[k % len(drives)]
            before = predict(drive if self._phases.propagation == "two_compartment" else free.drive[-1])
            change += (predict(drive - beta * error) - before) / (beta * self._betas.size)

    def _drives(self, l: int, free: FreePhase, moved: np.ndarray | None) -> np.ndarray:
        """The drive of layer l in each phase, (phases, m, n_l): the free one, and what the nudged layer below adds to it.

        It is the same in all phases, (1, m, n_l), where the layer below adds nothing: in the first layer, and while the gate is
        held.
        """
        drive = free.drive[l]
        if moved is None:
            return drive[None]
        climbing = np.empty((self._betas.size, *drive.shape), drive.dtype)
        for below, added in zip(moved, climbing, strict=True):
            projections.climb(free.route[l], 1.0, self._network.weights[l], below, added)
        return drive + climbing


model = Local
