"""Direct feedback alignment, exact (Nøkland 2016, eq. 8)."""

from localdfa.rules._exact import Exact


class DFA(Exact):
    pathways = ("direct",)


model = DFA
