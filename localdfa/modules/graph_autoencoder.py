"""Graph autoencoder: two graph convolutions, and inner products of their codes (Kipf & Welling 2016)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from localdfa.data.kinds import Links
from localdfa.modules._graphs import Convolutions


class GraphAutoencoder(Convolutions):
    """An edge joins nodes i and j with the probability σ(z_i · z_j), their codes Z those of two graph convolutions (Kipf &
    Welling 2016, arXiv:1611.07308, section 2, without sampling).

    Messages pass along the edges that are learned from alone. The error is taken at the codes, of each node its own.
    """

    reads = Links
    output = "second"

    class Parameters(NamedTuple):
        """Of both layers."""

        hidden: Annotated[int, Field(ge=1, le=100_000, description="neurons of the hidden layer")] = 32
        latent: Annotated[int, Field(ge=1, le=100_000, description="numbers in the code of a node")] = 16
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of each layer's inputs that is left out at random")] = 0.0

    def __init__(self, parameters: Parameters, data: Links) -> None:
        super().__init__(data, parameters.hidden, parameters.latent, parameters.dropout)

    def forward(self, features: Tensor, pairs: Tensor) -> Tensor:
        # As `codes[pairs]`, whose gradient is added up by several threads in any order.
        first, second = functional.embedding(pairs, self._convolved(features))
        return (first * second).sum(1)


model = GraphAutoencoder
