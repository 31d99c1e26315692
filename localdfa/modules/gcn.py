"""Graph convolutional network of two layers (Kipf & Welling 2017)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data.kinds import Graph
from localdfa.modules._graphs import OnGraph, graph_nn


class Gcn(OnGraph):
    """Z = Â ReLU(Â X W_1 + b_1) W_2 + b_2 (Kipf & Welling 2017, arXiv:1609.02907, eq. 9).

    What each of the two layers sees goes through dropout.
    """

    class Parameters(NamedTuple):
        """Of the hidden layer."""

        hidden: Annotated[int, Field(ge=1, le=100_000, description="neurons of the hidden layer")] = 16
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of each layer's inputs that is left out at random")] = 0.5

    def __init__(self, parameters: Parameters, data: Graph) -> None:
        super().__init__(data)
        self.drop, self.act = nn.Dropout(parameters.dropout), nn.ReLU()
        self.first = graph_nn.GCNConv(data.features.shape[1], parameters.hidden, normalize=False)
        self.second = graph_nn.GCNConv(parameters.hidden, len(data.classes), normalize=False)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.act(self.first(self.drop(features), self.edges, self.weights))
        return self.second(self.drop(hidden), self.edges, self.weights)


model = Gcn
