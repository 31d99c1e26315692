"""Event-driven random back-propagation: a presynaptic spike changes a synapse by the error signal while v lies in a window."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from localdfa.core.compiled import device
from localdfa.rules._spiking import SpikingRule

if TYPE_CHECKING:
    from localdfa.spec.tables import Trace


class ERBP(SpikingRule):
    """Δw_ij = −η (B e)_i at each spike of j, if v_low ≤ v_i ≤ v_high (Neftci et al. 2017, Front. Neurosci. 11:324).

    The window stands in for the slope f' that exact DFA multiplies with. The signal modulates the synapse and does not act on
    the neuron; it is read while the gate is open. Neftci et al. put the window on the synaptic current; here it is on the
    membrane, as in later versions of the rule. In units of activity the sum over spikes becomes −(B e)_i h_j times the
    fraction of them that came while v_i lay in the window. Biases of hidden layers, which nothing spikes for, do not learn;
    output units learn −e x_j, as under the local rule.
    """

    class Parameters(NamedTuple):
        """v_low, v_high: the window, in the unit of v."""

        v_low: Annotated[float, Field(ge=-1e3, le=1e3)] = 0.5
        v_high: Annotated[float, Field(ge=-1e3, le=1e3)] = 1.0

        def refusal(self) -> str | None:
            """What is wrong with a window that no membrane lies in."""
            if self.v_low <= self.v_high:
                return None
            return f"v_low = {self.v_low:g} lies above v_high = {self.v_high:g}, so nothing learns; allowed: v_low ≤ v_high"

    engines: tuple[str, ...] = ("spiking",)
    pathways = ()  # any that works in time
    own = "direct"
    needs_phases = True
    injects = False
    depends_on_beta = False
    constant = 0.0

    @staticmethod
    @device
    def at_arrival(r, z, v, c, traces):
        return -c if r.v_low <= v <= r.v_high else 0.0

    @staticmethod
    def in_activity(pre_unit: float, post_unit: float, trace: "Trace", gate: float) -> float:
        return pre_unit / gate


model = ERBP
