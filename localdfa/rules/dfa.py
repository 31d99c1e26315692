"""Direct feedback alignment, exact (Nøkland 2016, eq. 8)."""

from localdfa.rules._exact import Exact


class DFA(Exact):
    """δa_l = (B_l e) ∘ f'(a_l), e at the output, B_l (n_l, n_out) (Nøkland 2016, eq. 8)."""

    own = "direct"
    pathways = (own,)


model = DFA
