"""Deep & Cross: products of features of growing order beside a tower of layers (Wang et al. 2017)."""

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from localdfa.data.kinds import Fields
from localdfa.modules._fields import Embeddings, Tower


class _Cross(nn.Module):
    """x_0 (x · w) + b + x."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(n, 1)), nn.Parameter(torch.zeros(n))
        nn.init.uniform_(self.weight, -(n**-0.5), n**-0.5)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        return first * (x @ self.weight) + self.bias + x


class DeepCross(nn.Module):
    """Cross layers x_{l+1} = x_0 (x_l · w_l) + b_l + x_l and a tower of ReLU layers, both on all embeddings side by side, x_0,
    and an output of both (Wang et al. 2017, arXiv:1708.05123, eqs. 3 and 5–7; sizes as in Launay et al. 2020).

    Cross layers have no tap: they learn exactly. So do the embeddings by way of them, and besides from what the first tap of
    the tower sends down; under the rule ``frozen`` from the loss alone. Between them and that tap lie the weights of its layer,
    so the rule ``local`` takes ``inside = "bp"``.
    """

    class Parameters(NamedTuple):
        """Of categories, cross layers and tower."""

        embedding: Annotated[int, Field(ge=1, le=10_000, description="numbers in the embedding of a category")] = 16
        crosses: Annotated[int, Field(ge=1, le=1000, description="cross layers")] = 6
        width: Annotated[int, Field(ge=1, le=100_000, description="neurons of each layer of the tower")] = 1024
        depth: Annotated[int, Field(ge=1, le=1000, description="layers of the tower")] = 2
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of the tower's activity that is left out")] = 0.0

    reads = Fields
    output = ""
    several = "add"

    def __init__(self, parameters: Parameters, data: Fields) -> None:
        super().__init__()
        n_in = len(data.sizes) * parameters.embedding
        self.embeddings = Embeddings(data.sizes, parameters.embedding)
        self.crosses = nn.ModuleList(_Cross(n_in) for _ in range(parameters.crosses))
        self.tower = Tower(n_in, parameters.width, parameters.depth, parameters.dropout)
        self.head = nn.Linear(n_in + parameters.width, 1)

    @property
    def taps(self) -> tuple[str, ...]:
        """Each layer of the tower."""
        return tuple(f"tower.acts.{l}" for l in range(len(self.tower.acts)))

    def forward(self, x: Tensor) -> Tensor:
        crossed = first = self.embeddings(x).flatten(1)
        for cross in self.crosses:
            crossed = cross(first, crossed)
        return self.head(torch.cat([crossed, self.tower(first)], 1)).squeeze(1)


model = DeepCross
