"""Direct random target projection, exact: as dfa, with the target in place of the error (Frenkel et al. 2021)."""

from localdfa.rules._exact import Exact


class DRTP(Exact):
    """δa_l = −(B_l y*) ∘ f'(a_l), e at the output, B_l (n_l, n_out) (Frenkel, Lefebvre & Bol 2021, Front. Neurosci. 15:629892,
    eq. 4)."""

    own = "drtp"
    pathways = (own,)


model = DRTP
