"""What a rule says to the engine of spikes."""

from typing import TYPE_CHECKING, Any

from localdfa.core.compiled import device
from localdfa.core.spiking.traces import Pairing

if TYPE_CHECKING:
    from localdfa.spec.tables import Trace


class SpikingRule:
    """What a synapse from j to i gains while the plasticity gate is open.

    Where only pairs of spikes count, `pairing` says all of it, and every kernel serves the rule. A rule that sets `at_arrival`
    or `at_spike` is served by the general kernel alone, which asks them:

    at_arrival(r, z, v, c, traces): what a presynaptic spike adds as it arrives, by default −pre · z.
    at_spike(r, z, v, c, traces): what a postsynaptic spike adds for a presynaptic trace of 1, by default post.

    r: the rule's parameters, in float64. z: the postsynaptic trace, v: the membrane, both just before the event; but where an
    arrival makes the neuron fire, z has that spike, which does not count that arrival (see `localdfa.core.spiking`). c: the
    feedback signal of neuron i times ±β in the nudged phases, 0 in the free one; as all that is gained is divided by ±β, what
    is linear in c does not depend on β. traces: the pairing and the time constants, `core.spiking.state.Traces`.

    injects: whether the signal acts on the neuron, as a current −±β c; else the rule alone reads it, and there are no twins.
    constant: what a presynaptic activity that does not change, an input current or that of a bias, multiplies z(t1) − z(t0) by,
    the trace z where the gate closes and opens; with 0 biases stay, and inputs must spike. depends_on_beta: whether the update
    depends on the nudging strength β; a rule that does not inject the signal and is linear in c says that it does not.
    supervised: whether it depends on the signal at all. A rule that does not, as STDP, learns in trials without an error as
    well; what is gained is not divided by ±β, and where there are two nudged phases the mean of both is learned.
    """

    injects = True
    depends_on_beta = True
    supervised = True
    constant = 1.0

    @staticmethod
    def pairing(parameters: Any, tau_x: float, tau_z: float) -> Pairing:
        """What pairs of spikes do, for a rule with these parameters and traces with these time constants, ms."""
        return Pairing(0.0, 0.0, 0.0)

    @staticmethod
    @device
    def at_arrival(r, z, v, c, traces):
        return -traces.pre * z

    @staticmethod
    @device
    def at_spike(r, z, v, c, traces):
        return traces.post

    @staticmethod
    def in_activity(pre_unit: float, post_unit: float, trace: "Trace", gate: float) -> float:
        """What turns the sum over spikes into Δz · h_j, in units of activity.

        h = unit · rate with rates in spikes per ms; trace: the time constants tau_x and tau_z, ms; gate: how long it is open,
        ms.
        """
        raise NotImplementedError

    @classmethod
    def by_pairs(cls) -> bool:
        """Whether pairs of spikes are all that counts, so that the fast kernels serve the rule."""
        return cls.at_arrival is SpikingRule.at_arrival and cls.at_spike is SpikingRule.at_spike
