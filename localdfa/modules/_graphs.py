"""What modules of graphs have in common: the edges, each with its weight in Â."""

import torch
from torch import Tensor, nn

from localdfa.data.kinds import Graph, Links
from localdfa.errors import SpecError

try:
    from torch_geometric import nn as graph_nn
    from torch_geometric.nn.conv.gcn_conv import gcn_norm
except ImportError:
    raise SpecError("module.name: modules of graphs need PyTorch Geometric: pip install 'localdfa[graphs]'") from None

__all__ = ["OnGraph", "graph_nn", "normalised"]


def normalised(data: Graph | Links, loops: bool = True) -> tuple[Tensor, Tensor]:
    """Edges, int64 (2, n_edges), from node, to node, and their weights in D^-1/2 A D^-1/2, D the degrees in A.

    loops: whether A has one edge of each node to itself as well, which is what makes it Â (Kipf & Welling 2017).
    """
    edges, dtype = torch.from_numpy(data.edges), torch.get_default_dtype()
    found: tuple[Tensor, Tensor] = gcn_norm(edges, num_nodes=len(data.features), add_self_loops=loops, dtype=dtype)
    return found


class OnGraph(nn.Module):
    """A module that keeps the edges of its data, with those of each node to itself, and their weights in Â."""

    reads: type[Graph] | type[Links] = Graph
    taps: tuple[str, ...] = ("act",)
    output = ""

    def __init__(self, data: Graph | Links) -> None:
        super().__init__()
        edges, weights = normalised(data)
        # They are of the data, and no checkpoint has to keep them.
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        self.edges: Tensor
        self.weights: Tensor

    def spread(self, error: Tensor) -> Tensor:
        """Â e: what each node gets of its neighbours' errors and its own."""
        sent = self.weights[:, None].to(error.dtype) * error[self.edges[0]]
        return torch.zeros_like(error).index_add(0, self.edges[1], sent)


class Convolutions(OnGraph):
    """Z = Â ReLU(Â X W_1 + b_1) W_2 + b_2 (Kipf & Welling 2017, arXiv:1609.02907, eq. 9).

    What each of the two layers sees goes through dropout.
    """

    def __init__(self, data: Graph | Links, hidden: int, n_out: int, dropout: float) -> None:
        super().__init__(data)
        self.drop, self.act = nn.Dropout(dropout), nn.ReLU()
        self.first = graph_nn.GCNConv(data.features.shape[1], hidden, normalize=False)
        self.second = graph_nn.GCNConv(hidden, n_out, normalize=False)

    def _convolved(self, features: Tensor) -> Tensor:
        """Z (n, n_out) of features (n, n_features)."""
        hidden = self.act(self.first(self.drop(features), self.edges, self.weights))
        return self.second(self.drop(hidden), self.edges, self.weights)
