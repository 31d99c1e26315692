"""Long short-term memory on time series (Hochreiter & Schmidhuber 1997)."""

from itertools import pairwise
from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from localdfa.data import Dataset
from localdfa.errors import SpecError


class Lstm(nn.Module):
    """Layers of LSTM (Hochreiter & Schmidhuber 1997, with forget gates), and an output of the last state of the last one.

    A tap stands behind each layer. Within a layer, through gates and time, it learns by back-propagation, so under the rule
    ``local`` with ``inside = "bp"``.
    """

    class Parameters(NamedTuple):
        """Of the layers."""

        hidden: Annotated[int, Field(ge=1, le=100_000, description="cells of each layer")] = 128
        depth: Annotated[int, Field(ge=1, le=100, description="layers")] = 1

    reads = Dataset
    output = ""

    def __init__(self, parameters: Parameters, data: Dataset) -> None:
        super().__init__()
        if len(data.shape) != 2:
            raise SpecError(
                f"module.name: 'lstm' reads time series, (frames, channels), and samples have the shape {data.shape}; allowed: "
                f"series"
            )
        sizes = [data.shape[1]] + parameters.depth * [parameters.hidden]
        self.layers = nn.ModuleList(nn.LSTM(n_pre, n_post, batch_first=True) for n_pre, n_post in pairwise(sizes))
        self.ends = nn.ModuleList(nn.Identity() for _ in self.layers)
        self.head = nn.Linear(parameters.hidden, data.n_out)

    @property
    def taps(self) -> tuple[str, ...]:
        """Behind each layer."""
        return tuple(f"ends.{l}" for l in range(len(self.ends)))

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.layers) - 1
        for l, (layer, end) in enumerate(zip(self.layers, self.ends, strict=True)):
            x = layer(x)[0]
            x = end(x[:, -1] if l == last else x)
        return self.head(x)


model = Lstm
