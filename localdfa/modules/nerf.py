"""Neural radiance field: colour and density of points of a scene, rendered along rays (Mildenhall et al. 2020)."""

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from localdfa.data.kinds import Views


def _encoded(p: Tensor, octaves: int) -> Tensor:
    """(p, sin 2^k p, cos 2^k p for k below octaves) of each coordinate: (…, 3) → (…, 3 + 6 octaves)."""
    angles = (p[..., None] * 2.0 ** torch.arange(octaves, device=p.device, dtype=p.dtype)).flatten(-2)
    return torch.cat([p, angles.sin(), angles.cos()], -1)


class Nerf(nn.Module):
    """Layers of ReLU give each point along a ray a density and, with the direction of the ray, a colour (Mildenhall et al.
    2020, arXiv:2003.08934, eqs. 3–4 and figure 7).

    Halfway up the point enters once more. The error is taken at `points`, three numbers of colour and one of density for each
    point, before their non-linearities: colours are logistic, the density is softplus(a − 1), which is never without a slope
    (Barron et al. 2021). Rendering is differentiated exactly. Of the paper's network a linear layer between density and colour
    is left out, for it adds nothing that the next layer could not do.

    There is one network and no hierarchical sampling, in which a second set of points would reach each tap twice. A ray is
    divided into equal bins, with a point at random in each in training, and in its middle otherwise. Behind the scene all is
    white.
    """

    class Parameters(NamedTuple):
        """Of the layers, and of the points on a ray."""

        width: Annotated[int, Field(ge=2, le=100_000, description="neurons of each layer; that of the colour has half")] = 256
        depth: Annotated[int, Field(ge=1, le=1000, description="layers below the density")] = 8
        octaves: Annotated[int, Field(ge=0, le=20, description="frequencies in which a position is encoded")] = 10
        directions: Annotated[int, Field(ge=0, le=20, description="frequencies in which a direction is encoded")] = 4
        samples: Annotated[int, Field(ge=1, le=10_000, description="points on a ray")] = 64

    reads = Views
    output = "points"

    def __init__(self, parameters: Parameters, data: Views) -> None:
        super().__init__()
        self.near, self.far = data.near, data.far
        self.samples, self.octaves, self.directions = parameters.samples, parameters.octaves, parameters.directions
        width, n_point, n_direction = parameters.width, 3 + 6 * parameters.octaves, 3 + 6 * parameters.directions
        self.again = parameters.depth // 2 if parameters.depth > 1 else None
        sizes = [n_point if l == 0 else width + n_point * (l == self.again) for l in range(parameters.depth)]
        self.layers = nn.ModuleList(nn.Linear(n_pre, width) for n_pre in sizes)
        self.acts = nn.ModuleList(nn.ReLU() for _ in sizes)
        self.density = nn.Linear(width, 1)
        self.aside, self.act = nn.Linear(width + n_direction, width // 2), nn.ReLU()
        self.colour = nn.Linear(width // 2, 3)
        self.points = nn.Identity()

    @property
    def taps(self) -> tuple[str, ...]:
        """Each hidden layer."""
        return (*(f"acts.{l}" for l in range(len(self.acts))), "act")

    def forward(self, origins: Tensor, directions: Tensor) -> Tensor:
        length = directions.norm(dim=-1, keepdim=True)
        bins = torch.arange(self.samples, device=origins.device, dtype=origins.dtype).expand(len(origins), -1)
        within = torch.rand_like(bins) if self.training else 0.5
        bin_width = (self.far - self.near) / self.samples
        distances = self.near + (bins + within) * bin_width
        at = origins[:, None] + distances[..., None] * directions[:, None]
        point = _encoded(at, self.octaves)
        h = point
        for l, (layer, act) in enumerate(zip(self.layers, self.acts, strict=True)):
            h = act(layer(torch.cat([h, point], -1) if l == self.again else h))
        seen = _encoded(directions / length, self.directions)[:, None].expand(-1, self.samples, -1)
        colour = self.colour(self.act(self.aside(torch.cat([h, seen], -1))))
        given = self.points(torch.cat([colour, self.density(h)], -1))
        return rendered(given[..., :3].sigmoid(), F.softplus(given[..., 3] - 1), bin_width * length)


def rendered(colours: Tensor, density: Tensor, steps: Tensor) -> Tensor:
    """Σ_k T_k (1 − exp(−σ_k δ)) c_k, T_k = exp(−Σ_{j<k} σ_j δ), and white with what is left of T: (m, 3).

    colours: (m, points, 3). density: σ (m, points), at least 0. steps: δ, (m, 1) or (m, points), the length of a bin. It is
    exact where σ and colour are constant in each bin.
    """
    thickness = density * steps
    through = torch.exp(-thickness.cumsum(1))
    before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], 1)
    weights = before * -torch.expm1(-thickness)
    return (weights[..., None] * colours).sum(1) + through[:, -1:]


model = Nerf
