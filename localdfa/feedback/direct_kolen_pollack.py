"""Direct feedback that learns: each B_l changes as output weights from layer l would (Webster, Choi & Ahn 2021)."""

from typing import TYPE_CHECKING

import numpy as np

from localdfa.feedback._pathway import Factors, Taught
from localdfa.feedback.direct import Direct

if TYPE_CHECKING:
    from localdfa.core.update import Update
    from localdfa.network import Network


class DirectKolenPollack(Direct):
    """c_l = B_l e with ΔB_l = −η h_l eᵀ − η λ B_l (Webster, Choi & Ahn 2021, arXiv:2011.07876).

    The synapse from output unit k to neuron i of layer l sees the error e_k, which it carries, and the activity h_i of its own
    neuron. In the last hidden layer this is the step of Wᵀ. λ is the weight decay of the weights.
    """

    @staticmethod
    def taught(network: "Network", l: int, update: "Update", factors: Factors) -> tuple[Taught, ...]:
        return (Taught(update.activity[l], np.negative(update.error)),)


model = DirectKolenPollack
