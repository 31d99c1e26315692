"""Graph attention network of two layers (Veličković et al. 2018)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data.kinds import Graph
from localdfa.modules._graphs import FeatureDropout, OnGraph, graph_nn


class Gat(OnGraph):
    """Two layers h_i = Σ_j α_ij W x_j, over neighbours and the node itself, ELU between them (Veličković et al. 2018,
    arXiv:1710.10903, eqs. 3–5).

    α_ij is a softmax over j of LeakyReLU(aᵀ[W x_i, W x_j]). The hidden layer has several heads side by side, the last one.
    Dropout is of what a layer sees and of α. Between the weights of a layer and its tap lies the attention, so under the rule
    ``local`` they learn with ``inside = "bp"``.
    """

    class Parameters(NamedTuple):
        """Of the hidden layer."""

        heads: Annotated[int, Field(ge=1, le=1000, description="heads of the hidden layer")] = 8
        hidden: Annotated[int, Field(ge=1, le=100_000, description="neurons of each head")] = 8
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of inputs and of attention that is left out")] = 0.6

    def __init__(self, parameters: Parameters, data: Graph) -> None:
        super().__init__(data)
        n_in, n_hidden, drop = data.features.shape[1], parameters.heads * parameters.hidden, parameters.dropout
        own = {"add_self_loops": False, "dropout": drop}  # the edges have them
        self.drop_features, self.drop, self.act = FeatureDropout(drop), nn.Dropout(drop), nn.ELU()
        self.first = graph_nn.GATConv(n_in, parameters.hidden, parameters.heads, **own)
        self.second = graph_nn.GATConv(n_hidden, len(data.classes), **own)

    def forward(self, features: Tensor) -> Tensor:
        return self.second(self.drop(self.act(self.first(self.drop_features(features), self.edges))), self.edges)


model = Gat
