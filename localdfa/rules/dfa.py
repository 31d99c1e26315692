"""Direct feedback alignment, exact (Nøkland 2016, eq. 8)."""

from localdfa.rules._exact import Exact


class DFA(Exact):
    own = "direct"
    pathways = (own,)


model = DFA
