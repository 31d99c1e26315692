"""Graph convolutional network of two layers (Kipf & Welling 2017)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor

from localdfa.data.kinds import Graph
from localdfa.modules._graphs import Convolutions


class Gcn(Convolutions):
    """Two graph convolutions, of which the second gives the logits of the classes."""

    class Parameters(NamedTuple):
        """Of the hidden layer."""

        hidden: Annotated[int, Field(ge=1, le=100_000, description="neurons of the hidden layer")] = 16
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of each layer's inputs that is left out at random")] = 0.5

    def __init__(self, parameters: Parameters, data: Graph) -> None:
        super().__init__(data, parameters.hidden, len(data.classes), parameters.dropout)

    def forward(self, features: Tensor) -> Tensor:
        return self._convolved(features)


model = Gcn
