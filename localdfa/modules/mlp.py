"""Fully connected layers."""

from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data import Dataset

_FUNCTIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


class Mlp(nn.Module):
    """h_l = f(W_l h_{l-1} + b_l), layers of one width, on all of a sample's inputs; weights as PyTorch draws them."""

    class Parameters(NamedTuple):
        """Of the hidden layers."""

        width: Annotated[int, Field(ge=1, le=1_000_000, description="neurons of each hidden layer")] = 800
        depth: Annotated[int, Field(ge=1, le=1000, description="hidden layers")] = 2
        activation: Literal["relu", "tanh", "gelu"] = "relu"

    reads = Dataset
    output = ""

    def __init__(self, parameters: Parameters, data: Dataset) -> None:
        super().__init__()
        sizes = [data.n_features] + parameters.depth * [parameters.width]
        self.layers = nn.ModuleList(nn.Linear(n_pre, n_post) for n_pre, n_post in pairwise(sizes))
        self.acts = nn.ModuleList(_FUNCTIONS[parameters.activation]() for _ in self.layers)
        self.head = nn.Linear(parameters.width, data.n_out)

    @property
    def taps(self) -> tuple[str, ...]:
        """Each hidden layer."""
        return tuple(f"acts.{l}" for l in range(len(self.acts)))

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for layer, act in zip(self.layers, self.acts, strict=True):
            h = act(layer(h))
        return self.head(h)


model = Mlp
