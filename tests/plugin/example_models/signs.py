"""Direct feedback of which only the signs of the matrices count."""

import numpy as np

from localdfa.feedback.direct import Direct


class Signs(Direct):
    """c_l = sign(B_l) e / √n_out."""

    in_time = False  # there B_l itself brings the current

    @staticmethod
    def signal(network, l, error, change, out, route=()):
        np.matmul(error, (np.sign(network.feedback[l]) / np.sqrt(network.sizes[-1])).T.astype(error.dtype), out=out)


model = Signs
