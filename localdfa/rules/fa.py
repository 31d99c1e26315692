"""Feedback alignment, exact (Nøkland 2016, eq. 7)."""

from localdfa.rules._exact import Exact


class FA(Exact):
    own = "sequential"
    pathways = (own,)


model = FA
