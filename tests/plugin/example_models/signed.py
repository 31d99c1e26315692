"""Direct feedback alignment by the signs of the feedback matrices, exact."""

from localdfa.rules._exact import Exact


class Signed(Exact):
    own = "signs"
    pathways = (own,)


model = Signed
