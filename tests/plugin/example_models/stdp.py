"""Pair-based spike-timing-dependent plasticity, of all pairs of spikes: no error teaches it."""

from typing import Annotated, NamedTuple

from pydantic import Field

from localdfa.core.spiking.traces import Pairing
from localdfa.rules._spiking import SpikingRule


class STDP(SpikingRule):
    """Δw = a_plus e^(−s/τ_x) for a postsynaptic spike s after an arrival, −a_minus e^(−s/τ_z) for one s before it
    (Song, Miller & Abbott 2000, Nat. Neurosci. 3:919).
    """

    class Parameters(NamedTuple):
        """a_plus, a_minus: what a pair of spikes changes at most."""

        a_plus: Annotated[float, Field(ge=0, le=1e3)] = 0.005
        a_minus: Annotated[float, Field(ge=0, le=1e3)] = 0.00525

    engines: tuple[str, ...] = ("spiking",)
    pathways = ()
    own = "direct"
    needs_phases = True
    injects = False
    depends_on_beta = False
    supervised = False
    constant = 0.0  # biases stay

    @staticmethod
    def pairing(parameters, tau_x, tau_z):
        return Pairing(post=parameters.a_plus, pre=parameters.a_minus, edge=0.0)

    @staticmethod
    def in_activity(pre_unit, post_unit, trace, gate):
        return 1.0  # as it is, in units of the weight where the learning rate is 1


model = STDP
