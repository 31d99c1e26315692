"""Sequential feedback that learns as the forward weights do, so that both come to be alike (Kolen & Pollack 1994)."""

from typing import TYPE_CHECKING

from localdfa.feedback._pathway import Factors, Taught
from localdfa.feedback.sequential import Sequential

if TYPE_CHECKING:
    from localdfa.core.update import Update
    from localdfa.network import Network
    from localdfa.spec import Setting


class KolenPollack(Sequential):
    """ΔB_{l+1} = η h_l Δz_{l+1}ᵀ − η λ B_{l+1}, the step of W_{l+1}ᵀ (Akrout et al. 2019, section 4).

    The synapse up and the synapse down see the same two neurons, h_l and the change of activity Δz_{l+1}, so neither needs to
    know the other's weight. With plain steps the difference B_{l+1} − W_{l+1}ᵀ decays by 1 − η λ a mini-batch; without weight
    decay it would stay, so that is refused.
    """

    @staticmethod
    def refusal(setting: "Setting") -> str | None:
        if setting.optimiser.weight_decay > 0:
            return None
        return (
            f"comes to be like the forward weights by weight decay alone, and optimiser.weight_decay: "
            f"{setting.optimiser.weight_decay:g}; allowed: above 0, such as 1e-4, or another pathway"
        )

    @staticmethod
    def taught(network: "Network", l: int, update: "Update", factors: Factors) -> tuple[Taught, ...]:
        total = update.total[l + 1]
        if total is not None:
            return (Taught(None, None, total[:-1]),)
        return (Taught(update.sent[l + 1], update.change[l + 1]),)


model = KolenPollack
