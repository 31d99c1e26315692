"""AutoInt: attention between the fields of a row (Song et al. 2019)."""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data.kinds import Fields
from localdfa.modules._fields import Embeddings, FirstOrder


class _Attention(nn.Module):
    """What each field takes from all, and a projection of itself: (m, n_fields, n_pre) → (m, n_fields, width)."""

    def __init__(self, n_pre: int, width: int, heads: int) -> None:
        super().__init__()
        self.project, self.own = nn.Linear(n_pre, width), nn.Linear(n_pre, width, bias=False)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, h: Tensor) -> Tensor:
        projected = self.project(h)
        return self.attention(projected, projected, projected, need_weights=False)[0] + self.own(h)


class AutoInt(nn.Module):
    """Layers h ← ReLU(attention(h) + W h) over the fields of a row, an output of the last, and first-order terms beside it
    (Song et al. 2019, arXiv:1810.11921, eqs. 5–9).

    Attention is PyTorch's, which scales by 1/√(size of a head) and projects the heads once more. Between the weights of a layer
    and its tap lies the attention, so under the rule ``local`` they learn with ``inside = "bp"``.
    """

    class Parameters(NamedTuple):
        """Of categories and layers."""

        embedding: Annotated[int, Field(ge=1, le=10_000, description="numbers in the embedding of a category")] = 16
        width: Annotated[int, Field(ge=1, le=100_000, description="numbers that a layer has of each field")] = 64
        heads: Annotated[int, Field(ge=1, le=1000, description="heads of each layer, among which the width is divided")] = 2
        depth: Annotated[int, Field(ge=1, le=1000, description="layers of attention")] = 3

        def refusal(self) -> str | None:
            """Heads are equally wide."""
            if self.width % self.heads:
                return f"width = {self.width} cannot be divided among heads = {self.heads}; allowed: a multiple of heads"
            return None

    reads = Fields
    output = ""

    def __init__(self, parameters: Parameters, data: Fields) -> None:
        super().__init__()
        sizes = [parameters.embedding] + parameters.depth * [parameters.width]
        self.first_order = FirstOrder(data.sizes)
        self.embeddings = Embeddings(data.sizes, parameters.embedding, std=0.1)
        self.layers = nn.ModuleList(_Attention(n_pre, parameters.width, parameters.heads) for n_pre in sizes[:-1])
        self.acts = nn.ModuleList(nn.ReLU() for _ in self.layers)
        self.head = nn.Linear(len(data.sizes) * parameters.width, 1, bias=False)

    @property
    def taps(self) -> tuple[str, ...]:
        """Each layer of attention."""
        return tuple(f"acts.{l}" for l in range(len(self.acts)))

    def forward(self, x: Tensor) -> Tensor:
        h = self.embeddings(x)
        for layer, act in zip(self.layers, self.acts, strict=True):
            h = act(layer(h))
        return self.first_order(x) + self.head(h.flatten(1)).squeeze(1)


model = AutoInt
