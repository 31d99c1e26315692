"""Residual network of 20 layers for small images (He et al. 2016)."""

from itertools import pairwise
from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from localdfa.data import Dataset
from localdfa.errors import SpecError


class _Block(nn.Module):
    """ReLU(x + two convolutions of x); where maps are halved, x is every second pixel with zeros for the channels it lacks."""

    def __init__(self, n_pre: int, n_post: int) -> None:
        super().__init__()
        self.stride, self.more = 1 if n_pre == n_post else 2, n_post - n_pre
        self.conv1 = nn.Conv2d(n_pre, n_post, 3, self.stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_post, n_post, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(n_post), nn.BatchNorm2d(n_post)
        self.act1, self.act2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        past = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return self.act2(past + self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x))))))


class ResNet20(nn.Module):
    """A convolution and nine blocks of two, of 16, 32 and 64 channels, and the mean over pixels (He et al. 2016,
    arXiv:1512.03385, section 4.2, n = 3, shortcuts without weights).

    A tap stands at each ReLU. That behind a sum cuts the shortcut as well, so each convolution has one signal of its own.
    """

    class Parameters(NamedTuple):
        """Of the maps."""

        channels: Annotated[int, Field(ge=1, le=10_000, description="of the first blocks; then 2 and 4 times as many")] = 16

    reads = Dataset
    output = ""

    def __init__(self, parameters: Parameters, data: Dataset) -> None:
        super().__init__()
        if len(data.shape) != 3:
            raise SpecError(f"module.name: 'resnet20' reads images, and samples have the shape {data.shape}; allowed: images")
        n = parameters.channels
        self.conv, self.norm, self.act = nn.Conv2d(data.shape[0], n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU()
        channels = [n] + 3 * [n] + 3 * [2 * n] + 3 * [4 * n]
        self.blocks = nn.ModuleList(_Block(n_pre, n_post) for n_pre, n_post in pairwise(channels))
        self.head = nn.Linear(4 * n, data.n_out)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    @property
    def taps(self) -> tuple[str, ...]:
        """Each ReLU."""
        return ("act", *(f"blocks.{l}.{act}" for l in range(len(self.blocks)) for act in ("act1", "act2")))

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.norm(self.conv(x)))
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean((2, 3)))


model = ResNet20
