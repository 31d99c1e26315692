"""Factorisation machine (Rendle 2010)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data.kinds import Fields
from localdfa.modules._fields import Embeddings, FirstOrder, pairs


class Fm(nn.Module):
    """w_0 + Σ_f w[f, x_f] + Σ_{f<g} v[f, x_f] · v[g, x_g] (Rendle 2010, ICDM, eq. 1).

    It has no hidden layer, so it learns by the rule ``bp`` alone: what deeper models are to be better than.
    """

    class Parameters(NamedTuple):
        """Of the categories."""

        embedding: Annotated[int, Field(ge=1, le=10_000, description="numbers in the vector v of a category")] = 10

    reads = Fields
    taps: tuple[str, ...] = ()
    output = ""

    def __init__(self, parameters: Parameters, data: Fields) -> None:
        super().__init__()
        self.first_order = FirstOrder(data.sizes)
        self.embeddings = Embeddings(data.sizes, parameters.embedding)

    def forward(self, x: Tensor) -> Tensor:
        return self.first_order(x) + pairs(self.embeddings(x))


model = Fm
