"""Feedback matrices that change, as tensors: made anew from the weights, or taught by the optimiser of the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from localdfa.crosscheck.pytorch.stack import ManyLinear, Stack, Trial


class Fixed:
    """Matrices that stay as they are, and what the others do in place of that."""

    def follow(self, stack: Stack) -> None:
        """Make B anew from the weights, before a mini-batch."""

    def teach(self, stack: Stack, trial: Trial, error: Tensor) -> None:
        """Set the gradient of B; trial: the free phase, error: ŷ − y (m, n_out). The weights have theirs."""


class Following(Fixed):
    """Matrices of sequential feedback with the signs of the weights that they stand in for, or with their norm, or both.

    matrices: B of each hidden layer, whose sizes, and signs where they do not follow, stay.
    """

    def __init__(self, matrices: Sequence[Tensor | None], signs: bool, strict: bool) -> None:
        self._matrices, self._signs, self._strict = matrices, signs, strict
        self._first = [None if matrix is None else matrix.clone() for matrix in matrices]

    @torch.no_grad()
    def follow(self, stack: Stack) -> None:
        for matrix, first, above in zip(self._matrices, self._first, list(stack.drives)[1:], strict=True):
            assert matrix is not None
            assert first is not None
            weights = by_pre(above, above.weight)  # type: ignore[arg-type]
            made = first.abs() * weights.sign() if self._signs else first
            if self._strict:
                made = made * (_norm(weights) / _norm(made))
            matrix.copy_(made)


class KolenPollack(Fixed):
    """B_l is taught what the weights W_{l+1} are taught."""

    def __init__(self, matrices: Sequence[Tensor | None]) -> None:
        self._matrices = matrices

    def teach(self, stack: Stack, trial: Trial, error: Tensor) -> None:
        for matrix, above in zip(self._matrices, list(stack.drives)[1:], strict=True):
            assert matrix is not None
            matrix.grad = by_pre(above, above.weight.grad).clone()  # type: ignore[arg-type]


class DirectKolenPollack(KolenPollack):
    """B_l is taught h_l eᵀ, summed over the mini-batch."""

    def teach(self, stack: Stack, trial: Trial, error: Tensor) -> None:
        for matrix, activity in zip(self._matrices, trial.activity, strict=True):
            assert matrix is not None
            matrix.grad = activity.detach().flatten(error.dim() - 1).mT @ error


class LowRank(Fixed):
    """B_l = Q_l P_l: Q_l is taught h_l (P_l e)ᵀ, summed over the mini-batch, and P_l the directions of e by Oja's rule.

    matrices: B of each hidden layer; rank: the number of rows of P_l, at most.
    """

    def __init__(self, matrices: Sequence[Tensor | None], rank: int | None) -> None:
        self._matrices = [matrix for matrix in matrices if matrix is not None]
        parts = [torch.linalg.svd(matrix, full_matrices=False) for matrix in self._matrices]
        self.senders = [vectors[..., :rank, :].contiguous() for *_, vectors in parts]
        self.receivers = [left[..., :rank] * sizes[..., None, :rank] for left, sizes, _ in parts]

    @torch.no_grad()
    def follow(self, stack: Stack) -> None:
        for matrix, receiver, sender in zip(self._matrices, self.receivers, self.senders, strict=True):
            matrix.copy_(receiver @ sender)

    def teach(self, stack: Stack, trial: Trial, error: Tensor) -> None:
        covariance = error.mT @ error / error.square().sum(dim=(-2, -1), keepdim=True)
        unit = torch.eye(error.shape[-1], dtype=error.dtype, device=error.device)
        for activity, receiver, sender in zip(trial.activity, self.receivers, self.senders, strict=True):
            receiver.grad = activity.detach().flatten(error.dim() - 1).mT @ error @ sender.mT
            sender.grad = -(sender @ covariance) @ (unit - sender.mT @ sender)


def by_pre(project: nn.Module, weight: Tensor) -> Tensor:
    """Weights, or their gradient, with a row for each presynaptic neuron, or synapse of a kernel: (…, n_pre, n_post)."""
    return weight if isinstance(project, ManyLinear) else weight.flatten(1).mT


def _norm(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrix, keepdim=True)
