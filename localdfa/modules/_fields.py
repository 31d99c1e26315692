"""What modules of recommenders have in common: embeddings of categories, first-order terms, and towers."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class Embeddings(nn.Module):
    """A vector v of each category of each field: x (m, n_fields) → (m, n_fields, size)."""

    def __init__(self, sizes: tuple[int, ...], size: int, std: float = 0.01) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(sizes), size)
        nn.init.normal_(self.table.weight, std=std)
        self.register_buffer("begins", torch.tensor([0, *sizes[:-1]]).cumsum(0), persistent=False)
        self.begins: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x + self.begins)


class FirstOrder(nn.Module):
    """w_0 + Σ_f w[f, x_f]: x (m, n_fields) → (m,)."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.weights, self.bias = Embeddings(sizes, 1, std=0.0), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias + self.weights(x).sum((1, 2))


class Tower(nn.Module):
    """Layers of ReLU, `act` the last part of each, and dropout behind them."""

    def __init__(self, n_in: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([n_in] + depth * [width]))
        self.acts = nn.ModuleList(nn.ReLU() for _ in self.layers)
        self.drop = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        for layer, act in zip(self.layers, self.acts, strict=True):
            h = self.drop(act(layer(h)))
        return h


def pairs(v: Tensor) -> Tensor:
    """Σ_{f<g} v_f · v_g as ½ (|Σ_f v_f|² − Σ_f |v_f|²): (m, n_fields, size) → (m,)."""
    return (v.sum(1).square() - v.square().sum(1)).sum(1) / 2
