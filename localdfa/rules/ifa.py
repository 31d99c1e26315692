"""Indirect feedback alignment, exact (Nøkland 2016, eq. 9–10)."""

from localdfa.rules._exact import Exact


class IFA(Exact):
    """δa_1 = (B_1 e) ∘ f'(a_1), above it δa_l = (W_l δa_{l−1}) ∘ f'(a_l), e at the output (Nøkland 2016, eqs. 9 and 10)."""

    own = "indirect"
    pathways = (own,)


model = IFA
