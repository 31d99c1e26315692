"""What modules of graphs have in common: the edges, each with its weight in Â."""

import torch
from torch import Tensor, nn

from localdfa.data.kinds import Graph
from localdfa.errors import SpecError

try:
    from torch_geometric import nn as graph_nn
    from torch_geometric.nn.conv.gcn_conv import gcn_norm
except ImportError:
    raise SpecError("module.name: modules of graphs need PyTorch Geometric: pip install 'localdfa[graphs]'") from None

__all__ = ["OnGraph", "graph_nn", "normalised"]


def normalised(data: Graph, loops: bool = True) -> tuple[Tensor, Tensor]:
    """Edges, int64 (2, n_edges), from node, to node, and their weights in D^-1/2 A D^-1/2, D the degrees in A.

    loops: whether A has one edge of each node to itself as well, which is what makes it Â (Kipf & Welling 2017).
    """
    edges, dtype = torch.from_numpy(data.edges), torch.get_default_dtype()
    found: tuple[Tensor, Tensor] = gcn_norm(edges, num_nodes=len(data.features), add_self_loops=loops, dtype=dtype)
    return found


class OnGraph(nn.Module):
    """A module that keeps the edges of its data, with those of each node to itself, and their weights in Â."""

    reads = Graph
    taps: tuple[str, ...] = ("act",)
    output = ""

    def __init__(self, data: Graph) -> None:
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
