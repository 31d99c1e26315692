"""Feedback alignment, exact (Nøkland 2016, eq. 7)."""

from localdfa.rules._exact import Exact


class FA(Exact):
    """δa_l = (B_{l+1} δa_{l+1}) ∘ f'(a_l), e at the output, B_{l+1} (n_l, n_{l+1}) (Lillicrap et al. 2016; Nøkland 2016,
    eq. 7)."""

    own = "sequential"
    pathways = (own,)


model = FA
