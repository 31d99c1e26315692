"""Back-propagation, exact (Nøkland 2016, eq. 6)."""

from localdfa.rules._exact import Exact


class BP(Exact):
    own = "transpose"
    pathways = (own,)


model = BP
