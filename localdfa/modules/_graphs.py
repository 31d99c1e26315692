"""What modules of graphs have in common: the edges, each with its weight in Â."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from localdfa.data.kinds import Graph, Links
from localdfa.errors import SpecError

try:
    from torch_geometric import nn as graph_nn
    from torch_geometric.nn.conv.gcn_conv import gcn_norm
except ImportError:
    raise SpecError("module.name: modules of graphs need PyTorch Geometric: pip install 'localdfa[graphs]'") from None

__all__ = ["FeatureDropout", "OnGraph", "graph_nn", "normalised"]

# Features of which a smaller part is not zero are multiplied by weights as a sparse matrix.
_SPARSE = 0.2


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


class FeatureDropout(nn.Dropout):
    """Dropout of features (n, n_features) that draws only for entries which are not zero: others stay zero, whatever is drawn.

    A document has one word in a hundred of the dictionary, and drawing for all entries takes most of a training's time. The
    result is a sparse matrix, which a linear layer multiplies as it does a dense one. Features of which many entries are not
    zero, or whose gradient is asked for, go through ordinary dropout.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)
        # The last features, their version, and the sparse matrix of them or themselves.
        self._seen: tuple[Tensor, int, Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or not self.p or features.requires_grad or torch.is_autocast_enabled(features.device.type):
            return super().forward(features)
        if self._seen is None or self._seen[0] is not features or self._seen[1] != features._version:
            many = torch.count_nonzero(features) > _SPARSE * features.numel()
            self._seen = features, features._version, features if many else features.to_sparse_coo().coalesce()
        found = self._seen[2]
        if not found.is_sparse:
            return super().forward(features)
        kept = functional.dropout(found.values(), self.p)
        return torch.sparse_coo_tensor(found.indices(), kept, found.shape, is_coalesced=True, check_invariants=False)


class Convolutions(OnGraph):
    """Z = Â ReLU(Â X W_1 + b_1) W_2 + b_2 (Kipf & Welling 2017, arXiv:1609.02907, eq. 9).

    What each of the two layers sees goes through dropout.
    """

    def __init__(self, data: Graph | Links, hidden: int, n_out: int, dropout: float) -> None:
        super().__init__(data)
        self.drop_features, self.drop, self.act = FeatureDropout(dropout), nn.Dropout(dropout), nn.ReLU()
        self.first = graph_nn.GCNConv(data.features.shape[1], hidden, normalize=False)
        self.second = graph_nn.GCNConv(hidden, n_out, normalize=False)

    def _convolved(self, features: Tensor) -> Tensor:
        """Z (n, n_out) of features (n, n_features)."""
        hidden = self.act(self.first(self.drop_features(features), self.edges, self.weights))
        return self.second(self.drop(hidden), self.edges, self.weights)
