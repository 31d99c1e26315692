"""Sign of the error: of each output unit only the sign of its error reaches every hidden layer, through a matrix of its own."""

import numpy as np

from localdfa.core.compiled import device
from localdfa.feedback.direct import Direct


class SignError(Direct):
    """c_l = B_l sign(e), B_l (n_l, n_out) (sDFA; Frenkel, Lefebvre & Bol 2021, Front. Neurosci. 15:629892).

    An output unit sends back 1, −1 or nothing: nothing where its error is 0, as it counts where it is no larger than
    ``feedback.threshold``. The signs of all units are still summed through B_l, so the signal is linear in what is carried, and
    each unit can send a current of its own in time.
    """

    @staticmethod
    @device
    def carries(prediction, target, error):
        return np.sign(error)


model = SignError
