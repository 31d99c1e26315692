"""Indirect feedback alignment, exact (Nøkland 2016, eq. 9–10)."""

from localdfa.rules._exact import Exact


class IFA(Exact):
    own = "indirect"
    pathways = (own,)


model = IFA
