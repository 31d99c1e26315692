"""Graph convolutions by Chebyshev polynomials of order 2 (Defferrard et al. 2016)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data.kinds import Graph
from localdfa.modules._graphs import FeatureDropout, OnGraph, graph_nn, normalised


class _Convolution(nn.Module):
    """X W_0 + L̃ X W_1 + b: L̃ is applied to X W_1, which has fewer features than X as a rule."""

    def __init__(self, n_pre: int, n_post: int) -> None:
        super().__init__()
        self.own = nn.Linear(n_pre, n_post)
        self.others = graph_nn.GCNConv(n_pre, n_post, bias=False, normalize=False)

    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        return self.own(x) + self.others(x, edges, weights)


class Cheb(OnGraph):
    """Two layers of X W_0 + L̃ X W_1 + b, ReLU between them (Defferrard et al. 2016, arXiv:1606.09375, eq. 4, K = 2).

    L̃ = L − I = −D^-1/2 A D^-1/2 is the scaled Laplacian, for its largest eigenvalue is taken to be 2. What each layer sees goes
    through dropout.
    """

    class Parameters(NamedTuple):
        """Of the hidden layer."""

        hidden: Annotated[int, Field(ge=1, le=100_000, description="neurons of the hidden layer")] = 16
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of each layer's inputs that is left out at random")] = 0.5

    def __init__(self, parameters: Parameters, data: Graph) -> None:
        super().__init__(data)
        edges, weights = normalised(data, loops=False)
        self.register_buffer("others", edges, persistent=False)
        self.register_buffer("laplacian", -weights, persistent=False)
        self.others: Tensor
        self.laplacian: Tensor
        self.drop_features, self.drop, self.act = FeatureDropout(parameters.dropout), nn.Dropout(parameters.dropout), nn.ReLU()
        self.first = _Convolution(data.features.shape[1], parameters.hidden)
        self.second = _Convolution(parameters.hidden, len(data.classes))

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.act(self.first(self.drop_features(features), self.others, self.laplacian))
        return self.second(self.drop(hidden), self.others, self.laplacian)


model = Cheb
