"""Direct random target projection: the target, not the error, reaches every hidden layer through a matrix of its own."""

from typing import TYPE_CHECKING

from localdfa.core.compiled import device
from localdfa.feedback.direct import Direct
from localdfa.outputs import named

if TYPE_CHECKING:
    from localdfa.spec import Setting


class TargetProjection(Direct):
    """c_l = −B_l y*, B_l (n_l, n_out) (Frenkel, Lefebvre & Bol 2021, Front. Neurosci. 15:629892, eq. 4).

    The target stands in for the sign of the error, y* − ŷ in that paper and −e here, which it has in each output unit whose
    prediction lies between 0 and 1. So hidden layers can learn before there is a prediction. Where targets are numbers it says
    nothing of the error, and is refused.
    """

    follows_error = False

    @staticmethod
    @device
    def carries(prediction, target, error):
        return -target

    @staticmethod
    def refusal(setting: "Setting") -> str | None:
        if not setting.output.regression:
            return None
        return (
            f"does not go with network.output = {setting.network.output!r}, whose targets are numbers and do not stand for the "
            f"sign of the error; allowed: {named(regression=False)}"
        )


model = TargetProjection
