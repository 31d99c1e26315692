"""Direct random target projection, exact: as dfa, with the target in place of the error (Frenkel et al. 2021)."""

from localdfa.rules._exact import Exact


class DRTP(Exact):
    own = "drtp"
    pathways = (own,)


model = DRTP
