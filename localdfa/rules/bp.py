"""Back-propagation, exact (Nøkland 2016, eq. 6)."""

from localdfa.rules._exact import Exact


class BP(Exact):
    """δa_l = (W_{l+1}ᵀ δa_{l+1}) ∘ f'(a_l), e at the output (Nøkland 2016, eqs. 5 and 6)."""

    own = "transpose"
    pathways = (own,)


model = BP
