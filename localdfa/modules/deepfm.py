"""DeepFM: a factorisation machine beside a tower of layers, on the same embeddings (Guo et al. 2017)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data.kinds import Fields
from localdfa.modules._fields import Embeddings, FirstOrder, Tower, pairs


class DeepFm(nn.Module):
    """The sum of what a factorisation machine gives (`fm`) and of a tower of ReLU layers on all v side by side (Guo et al.
    2017, arXiv:1703.04247, eqs. 1–4; sizes as in Launay et al. 2020).

    Both read the same v. These learn exactly from the loss by way of the factorisation machine, and besides from what the first
    tap of the tower sends down; under the rule ``frozen`` from the loss alone. Between them and that tap lie the weights of its
    layer, so the rule ``local`` takes ``inside = "bp"``.
    """

    class Parameters(NamedTuple):
        """Of categories and tower."""

        embedding: Annotated[int, Field(ge=1, le=10_000, description="numbers in the vector v of a category")] = 10
        width: Annotated[int, Field(ge=1, le=100_000, description="neurons of each layer of the tower")] = 400
        depth: Annotated[int, Field(ge=1, le=1000, description="layers of the tower")] = 3
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of the tower's activity that is left out")] = 0.0

    reads = Fields
    output = ""
    several = "add"

    def __init__(self, parameters: Parameters, data: Fields) -> None:
        super().__init__()
        n_in = len(data.sizes) * parameters.embedding
        self.first_order = FirstOrder(data.sizes)
        self.embeddings = Embeddings(data.sizes, parameters.embedding)
        self.tower = Tower(n_in, parameters.width, parameters.depth, parameters.dropout)
        self.head = nn.Linear(parameters.width, 1, bias=False)

    @property
    def taps(self) -> tuple[str, ...]:
        """Each layer of the tower."""
        return tuple(f"tower.acts.{l}" for l in range(len(self.tower.acts)))

    def forward(self, x: Tensor) -> Tensor:
        v = self.embeddings(x)
        return self.first_order(x) + pairs(v) + self.head(self.tower(v.flatten(1))).squeeze(1)


model = DeepFm
