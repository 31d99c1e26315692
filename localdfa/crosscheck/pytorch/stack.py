"""A feed-forward network as torch.nn modules, cut where feedback enters: right before each non-linearity."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from localdfa.geometry import Geometry


class ManyLinear(nn.Module):
    """The fully connected layers of several networks at once: (S, m, n_pre) → (S, m, n_post).

    weight (S, n_pre, n_post), so that its gradient needs no transposition; bias (S, 1, n_post).
    """

    def __init__(self, members: int, n_pre: int, n_post: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, n_pre, n_post, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(members, 1, n_post, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class Convolved(nn.Module):
    """A convolution and the max-pooling of its drive, of flat maps in (channel, row, column) order: (m, n_pre) → (m, n_post).

    weight (channels, inputs, kernel, kernel); where positions do not share a kernel (height · width · channels, inputs,
    kernel, kernel), position by position, with a bias each.
    """

    def __init__(self, fields: "Geometry", dtype: torch.dtype) -> None:
        super().__init__()
        self.fields = fields
        n = fields.synapses[1]
        self.weight = nn.Parameter(torch.zeros(n, fields.inputs, fields.kernel, fields.kernel, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(n, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.drive(x, self.bias)

    def drive(self, x: Tensor, bias: Tensor) -> Tensor:
        """The drive (m, n_post) with other biases."""
        return self._pool(self._convolve(x, self.weight, bias))

    def transposed(self, x: Tensor, delta: Tensor, matrix: Tensor) -> Tensor:
        """δ of the drive (m, n_post) through the winners of the pooling, and down through a matrix in place of the weights.

        matrix: (inputs · kernel², weights), as the core keeps weights, without biases.
        """
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            drive = self._convolve(x, self.weight, self.bias).detach().requires_grad_()
            (at_winners,) = torch.autograd.grad(self._pool(drive), drive, delta)
            other = self._convolve(x, matrix.mT.reshape(self.weight.shape), torch.zeros_like(self.bias))
        return torch.autograd.grad(other, x, at_winners)[0]

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The drive of every position, (m, channels, rows, columns)."""
        f = self.fields
        maps = x.unflatten(-1, (f.inputs, f.height, f.width))
        if f.shared:
            return nn.functional.conv2d(maps, weight, bias, padding=f.padding)
        patches = nn.functional.unfold(maps, f.kernel, padding=f.padding)  # (m, inputs · kernel², positions)
        kernels = weight.reshape(patches.shape[2], f.channels, patches.shape[1])
        drive = torch.einsum("mkp,pck->mcp", patches, kernels) + bias.reshape(-1, f.channels).T
        return drive.unflatten(-1, f.maps)

    def _pool(self, drive: Tensor) -> Tensor:
        """The drive of the winner in every window, the first in (row, column) order where several are equal."""
        f = self.fields
        if f.pool == 1 == f.stride:
            return drive.flatten(1)
        _, winners = nn.functional.max_pool2d(drive.detach(), f.pool, f.stride, return_indices=True)
        # Unlike that of max_pool2d, the derivative of gather can be had with the same bits each time on a GPU.
        return drive.flatten(2).gather(2, winners.flatten(2)).flatten(1)


class Normalised(nn.Module):
    """A projection whose drive, without biases, is normalised over the mini-batch, in training, or by running averages.

    project: of a hidden layer, (m, n_pre) → (m, n_post), whose biases become the shift; channels: as many gains and shifts.
    `nn.functional.batch_norm` computes it; running averages move in `follow` alone, once a step, however often the drive of a
    mini-batch is computed meanwhile.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, project: nn.Linear | Convolved, channels: int) -> None:
        super().__init__()
        self.project = project
        self.gain = nn.Parameter(torch.ones(channels, dtype=project.weight.dtype))
        self.register_buffer("mean", torch.zeros(channels, dtype=project.weight.dtype))
        self.register_buffer("variance", torch.ones(channels, dtype=project.weight.dtype))
        self._last: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """That of the projection."""
        return self.project.weight

    @property
    def bias(self) -> Tensor:
        """The shift."""
        return self.project.bias

    def forward(self, x: Tensor) -> Tensor:
        drive = self._drive(x)
        if self.training:
            self._last = drive.detach()
        return self._normalise(drive)

    def follow(self) -> None:
        """Move the running averages towards the moments of the last mini-batch."""
        assert self._last is not None
        nn.functional.batch_norm(self._by_channel(self._last), self.mean, self.variance, training=True)

    def transposed(self, x: Tensor, delta: Tensor, matrix: Tensor) -> Tensor:
        """δ of the normalised drive (m, n_post) through that, and down through a matrix in place of the weights."""
        with torch.enable_grad():
            drive = self._drive(x.detach()).detach().requires_grad_()
            (before,) = torch.autograd.grad(self._normalise(drive), drive, delta)
        if isinstance(self.project, Convolved):
            return self.project.transposed(x, before, matrix)
        return before @ matrix.mT

    def _drive(self, x: Tensor) -> Tensor:
        if isinstance(self.project, Convolved):
            return self.project.drive(x, torch.zeros_like(self.bias))
        return nn.functional.linear(x, self.weight)

    def _normalise(self, drive: Tensor) -> Tensor:
        mean, variance = (None, None) if self.training else (self.mean, self.variance)
        maps = self._by_channel(drive)
        return nn.functional.batch_norm(maps, mean, variance, self.gain, self.bias, self.training).view_as(drive)

    def _by_channel(self, drive: Tensor) -> Tensor:
        return drive.unflatten(-1, (len(self.gain), -1))


@dataclass
class Trial:
    """The free phase of a mini-batch: tensors (m, n), (m, channels, height, width), or (S, m, n) of S networks at once.

    x: the input of each projection, cut off from what made it, so that no gradient passes from layer to layer; drive: a_l of
    each hidden layer and the output, whose graphs reach the parameters of their own projection only; activity: h_l of each
    hidden layer, dropout included; mask: dropout of the inputs and of each hidden layer, or None; prediction: ŷ.
    """

    x: list[Tensor]
    drive: list[Tensor]
    activity: list[Tensor]
    mask: list[Tensor | None]
    prediction: Tensor


Masks = Sequence[Tensor | None] | None

# Outputs: ŷ of the drive a_y, and the loss of drive and targets, summed, whose gradient in a_y is ŷ − y.
OUTPUTS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "logistic": (torch.sigmoid, lambda a, y: nn.functional.binary_cross_entropy_with_logits(a, y, reduction="sum")),
    "softmax": (lambda a: torch.softmax(a, -1), lambda a, y: -(torch.log_softmax(a, -1) * y).sum()),
    "linear": (lambda a: a, lambda a, y: 0.5 * nn.functional.mse_loss(a, y, reduction="sum")),
}


class Stack(nn.Module):
    """Projections and non-linearities in turn, and an output.

    drives: for each hidden layer and the output the modules whose result is a_l: linear, convolution, pooling, batch-norm;
    functions: the non-linearity of each hidden layer, which acts on each neuron by itself; output: one of
    `OUTPUTS`; dropout: probabilities for the inputs and each hidden layer, in training mode.
    """

    def __init__(
        self, drives: Sequence[nn.Module], functions: Sequence[nn.Module], output: str, dropout: Sequence[float] = ()
    ) -> None:
        super().__init__()
        self.drives, self.functions = nn.ModuleList(drives), nn.ModuleList(functions)
        self.output, self.dropout = output, list(dropout) or [0.0] * len(drives)

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers."""
        return len(self.functions)

    def _mask(self, k: int, x: Tensor, masks: Masks) -> Tensor | None:
        """Dropout of the inputs (k = 0) or hidden layer k: 0, or 1/(1 − p); the one given, or drawn in training."""
        if masks is not None:
            return masks[k]
        p = self.dropout[k]
        return nn.functional.dropout(torch.ones_like(x), p) if p and self.training else None

    def respond(self, l: int, drive: Tensor, mask: Tensor | None) -> Tensor:
        """h = f(a) of hidden layer l, counted from 0, dropout included."""
        return _masked(self.functions[l](drive), mask)

    def predict(self, drive: Tensor) -> Tensor:
        """Output activity ŷ of the drive a_y."""
        return OUTPUTS[self.output][0](drive)

    def loss(self, drive: Tensor, target: Tensor) -> Tensor:
        """The loss summed over the mini-batch; its gradient in a_y is ŷ − y."""
        return OUTPUTS[self.output][1](drive, target)

    def free(self, x: Tensor, masks: Masks = None, *, slopes: bool = False, inputs: bool = False) -> Trial:
        """Settle every layer on the inputs x; masks: dropout of the inputs and each hidden layer, drawn if left out.

        slopes: keep what the derivative of each non-linearity needs, for the exact rules; inputs: keep what the derivative
        of each projection in its input needs, for feedback through the forward weights.
        """
        mask = self._mask(0, x, masks)
        trial = Trial([], [], [], [mask], x)
        x = _masked(x, mask)
        for l, project in enumerate(self.drives):
            x = x.detach().requires_grad_(inputs and l > 0)
            with torch.enable_grad():
                drive = project(x)
            trial.x.append(x)
            trial.drive.append(drive)
            if l < self.n_hidden:
                trial.mask.append(self._mask(l + 1, drive, masks))
                with torch.set_grad_enabled(slopes):
                    x = self.respond(l, drive if slopes else drive.detach(), trial.mask[-1])
                trial.activity.append(x)
        trial.prediction = self.predict(trial.drive[-1].detach())
        return trial

    def forward(self, x: Tensor, masks: Masks = None, reached: Sequence[Tensor | None] = ()) -> Tensor:
        """The drive of the output, differentiable throughout.

        reached: for each hidden layer 1 where the gradient passes and 0 elsewhere, (n,); nothing, or None, where it does all.
        """
        x = _masked(x, self._mask(0, x, masks))
        for l, project in enumerate(self.drives):
            x = project(x)
            if l < self.n_hidden:
                x = self.respond(l, x, self._mask(l + 1, x, masks))
                passed = reached[l] if reached else None
                if passed is not None:
                    x.register_hook(passed.mul)
        return x


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask
