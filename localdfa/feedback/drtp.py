"""Direct random target projection: the target, not the error, reaches every hidden layer through a matrix of its own."""

from localdfa.core.compiled import device
from localdfa.feedback.direct import Direct


class TargetProjection(Direct):
    """c_l = −B_l y*, B_l (n_l, n_out) (Frenkel, Lefebvre & Bol 2021, Front. Neurosci. 15:629892, eq. 4).

    The target stands in for the sign of the error, y* − ŷ in that paper and −e here, which it has in each output unit whose
    prediction lies between 0 and 1. So hidden layers can learn before there is a prediction.
    """

    follows_error = False

    @staticmethod
    @device
    def carries(prediction, target, error):
        return -target


model = TargetProjection
