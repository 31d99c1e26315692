"""Direct feedback through few dimensions, whose two factors both learn: B = Q P."""

from typing import TYPE_CHECKING

import numpy as np

from localdfa.feedback._pathway import Factors, Taught
from localdfa.feedback.direct import Direct

if TYPE_CHECKING:
    from localdfa.core.update import Update
    from localdfa.network import Network
    from localdfa.spec.tables import FeedbackTable


class LowRank(Direct):
    """c_l = Q_l P_l e, Q_l (n_l, r), P_l (r, n_out), r = ``feedback.rank``, or as many as B_l has if left out.

    r relay units p = P e stand between the output and layer l. What they send is learned by Oja's subspace rule, and how they
    are heard by that of `DirectKolenPollack`:

        ΔP = η (p eᵀ − p pᵀ P) / Σ |e|²        ΔQ = −η h_l pᵀ − η λ Q

    where |e|² is summed over the mini-batch, without which P would not stay finite under large steps and would learn less the
    smaller the error. So P comes to have orthonormal rows that span the r directions in which the error varies most, and Q to
    be what output weights from layer l would be within these: in the last hidden layer Q → Wᵀ Pᵀ, by the weight decay λ of the
    weights, which P does not have. A synapse of Q sees the two neurons that it joins. So does one of P, if relays send p back
    to the output units as well: Σ_k p_k P_kj, which is taken from e_j, is what they bring there.

    Hanut & Kadmon 2025 (arXiv:2502.20580) propose B = Q P whose factors learn by local rules, P the subspace of the error. The
    two rules here are chosen after that idea; they are not copied from the paper, whose own may differ.
    """

    keeps = ("rank",)

    @staticmethod
    def factors(matrix: np.ndarray, table: "FeedbackTable") -> Factors:
        """Q and P, P with orthonormal rows: the right singular vectors of B_l with the largest singular values."""
        rank = min(matrix.shape) if table.rank is None else table.rank
        relays = np.ascontiguousarray(np.linalg.svd(matrix, full_matrices=False)[2][:rank])
        return matrix @ relays.T, relays

    @staticmethod
    def taught(network: "Network", l: int, update: "Update", factors: Factors) -> tuple[Taught, ...]:
        _, relays = factors
        error = update.error
        sent, size = error @ relays.T, max(np.vdot(error, error), np.finfo(error.dtype).tiny)
        return (
            Taught(update.activity[l], np.negative(sent)),
            Taught(None, None, (sent.T @ error - (sent.T @ sent) @ relays) / size),
        )


model = LowRank
