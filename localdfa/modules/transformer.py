"""Transformer that predicts the next symbol of a text (Vaswani et al. 2017, Radford et al. 2019)."""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from localdfa.data.kinds import Text


class _Block(nn.Module):
    """x + attention(norm x), and to that its feed-forward part; (m, length, width) → the same.

    `attended`, `act` and `end` are where taps may stand: what attention adds, the non-linearity of the feed-forward part, and
    what the block gives.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.act, self.down = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        self.drop, self.attended, self.end = nn.Dropout(dropout), nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        x = x + self.attended(self.drop(self.project(mixed.transpose(1, 2).flatten(2))))
        return self.end(x + self.drop(self.down(self.act(self.up(self.norm2(x))))))


class Transformer(nn.Module):
    """Blocks of causal attention and feed-forward layers with GELU, normalised before each (Vaswani et al. 2017,
    arXiv:1706.03762; Radford et al. 2019), positions learned.

    The error is taken before the projection to symbols, at `norm`, so it has as many features as a symbol's vector. ``macro``
    taps stand at the end of each block, which learns within by back-propagation. ``micro`` taps stand behind attention, at the
    non-linearity of the feed-forward part and at the end of each block (Launay et al. 2020), and behind the embeddings, which
    would otherwise get the signals of all three taps of the first block. Under the rule ``local`` take ``micro``: the
    non-linearities learn by nudges, attention behind its tap with ``inside = "bp"``.
    """

    class Parameters(NamedTuple):
        """Of the blocks."""

        blocks: Annotated[int, Field(ge=1, le=1000, description="blocks")] = 4
        width: Annotated[int, Field(ge=1, le=100_000, description="numbers in the vector of a symbol")] = 128
        heads: Annotated[int, Field(ge=1, le=1000, description="heads of each block, among which the width is divided")] = 4
        context: Annotated[int, Field(ge=1, le=100_000, description="symbols that are seen at once")] = 128
        dropout: Annotated[float, Field(ge=0, lt=1, description="part of activity and of attention that is left out")] = 0.0
        taps: Literal["macro", "micro"] = "macro"

        def refusal(self) -> str | None:
            """Heads are equally wide."""
            if self.width % self.heads:
                return f"width = {self.width} cannot be divided among heads = {self.heads}; allowed: a multiple of heads"
            return None

    reads = Text
    output = "norm"

    def __init__(self, parameters: Parameters, data: Text) -> None:
        super().__init__()
        self.context, self._places = parameters.context, parameters.taps
        self.symbols = nn.Embedding(len(data.symbols), parameters.width)
        self.positions = nn.Embedding(parameters.context, parameters.width)
        for table in (self.symbols, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.drop, self.embedded = nn.Dropout(parameters.dropout), nn.Identity()
        each = (parameters.width, parameters.heads, parameters.dropout)
        self.blocks = nn.ModuleList(_Block(*each) for _ in range(parameters.blocks))
        self.norm = nn.LayerNorm(parameters.width)
        self.head = nn.Linear(parameters.width, len(data.symbols))

    @property
    def taps(self) -> tuple[str, ...]:
        """By the parameter `taps`."""
        if self._places == "macro":
            return tuple(f"blocks.{l}.end" for l in range(len(self.blocks)))
        return ("embedded", *(f"blocks.{l}.{at}" for l in range(len(self.blocks)) for at in ("attended", "act", "end")))

    def forward(self, symbols: Tensor) -> Tensor:
        places = torch.arange(symbols.shape[1], device=symbols.device)
        x = self.embedded(self.drop(self.symbols(symbols) + self.positions(places)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


model = Transformer
