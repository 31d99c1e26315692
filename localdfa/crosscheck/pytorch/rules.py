"""The rules: from a mini-batch to the gradient of every parameter, left in ``.grad`` for an optimiser.

A rule decides δa_l of each layer; what a projection makes of it, W ← W − η δa xᵀ of a linear one, is the derivative of that
projection alone, whose input is cut off from the layers below. B is dense, from the error to a whole layer: of a
convolution with pooling, to the pooled map, right before the non-linearity. (FA's is shaped like the weights that it stands
in for, a kernel for a kernel; where drives are normalised, δ passes that on its way to it, exactly.)
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from localdfa.crosscheck.pytorch.matrices import Fixed
from localdfa.crosscheck.pytorch.stack import Convolved, ManyLinear, Masks, Normalised, Stack, Trial
from localdfa.errors import SpecError
from localdfa.spec.tables import Phases

# The ways of a signal: where the error enters, and which layer's change a layer gets.
WAYS = ("direct", "drtp", "sign_error", "sequential", "indirect", "transpose")
# Those along which each layer gets its signal after the one below; along the others after the one above.
_UPWARDS = ("direct", "drtp", "sign_error", "indirect")


class BackPropagation:
    """The gradient of the loss, by automatic differentiation through all layers (Nøkland 2016, eq. 6).

    reached: as `Stack.forward` takes it.
    """

    def __init__(self, reached: Sequence[Tensor | None] = ()) -> None:
        self._reached = reached

    def learn(self, stack: Stack, x: Tensor, target: Tensor, masks: Masks = None) -> None:
        """Set the gradient of every parameter, summed over the mini-batch x (m, …); target (m, n_out)."""
        stack.zero_grad()
        with torch.enable_grad():
            stack.loss(stack(x, masks, self._reached), target).backward()


class _Feedback:
    """How the error reaches the hidden layers.

    pathway: one of `WAYS`; matrices: B of each hidden layer, (n_l, width of its source), or None where the pathway has none. Of
    S networks at once (S, n_l, …). changes: how B changes, if it does. reached: for each hidden layer 1 for the neurons that
    the signal reaches and 0 for others, (n_l,), of S networks (S, 1, n_l); nothing, or None, where it reaches all.
    """

    def __init__(
        self, pathway: str, matrices: Sequence[Tensor | None], changes: Fixed | None = None,
        reached: Sequence[Tensor | None] = (),
    ) -> None:  # fmt: skip
        self.pathway, self.matrices, self._changes, self._reached = pathway, matrices, changes or Fixed(), reached

    def learn(self, stack: Stack, x: Tensor, target: Tensor, masks: Masks = None) -> None:
        """Set the gradient of every parameter, summed over the mini-batch x (m, …); target (m, n_out)."""
        self._changes.follow(stack)
        trial, delta = self.teach(stack, x, target, masks)
        stack.zero_grad()
        torch.autograd.backward(trial.drive, delta)
        self._changes.teach(stack, trial, trial.prediction - target)

    def teach(self, stack: Stack, x: Tensor, target: Tensor, masks: Masks = None) -> tuple[Trial, list[Tensor]]:
        """The free phase, and δa_l of the hidden layers and the output, shaped like their drives."""
        raise NotImplementedError

    def _order(self, n: int) -> range:
        """The order in which hidden layers get their signals."""
        return range(n) if self.pathway in _UPWARDS else range(n - 1, -1, -1)

    def _carried(self, error: Tensor, target: Tensor) -> Tensor:
        """What the output sends back: its error, the sign of that, or minus its target (Frenkel et al. 2021)."""
        if self.pathway == "sign_error":
            return error.sign()
        return -target if self.pathway == "drtp" else error

    def _signal(self, stack: Stack, trial: Trial, l: int, carried: Tensor, delta: list[Tensor]) -> Tensor:
        """c_l, what δa_l is before the slope f'(a_l) (eqs. 6–10), shaped like the drive; delta[k] of layers already done."""
        top = l == stack.n_hidden - 1
        above = carried if top else delta[l + 1] if self.pathway in ("sequential", "transpose") else carried
        if self.pathway == "transpose":
            source = trial.x[l + 1]
            (signal,) = torch.autograd.grad(trial.drive[l + 1], source, above, retain_graph=True)
        elif self.pathway == "indirect" and l > 0:
            below = delta[l - 1].view_as(trial.x[l])
            signal = _forward(stack.drives[l], trial.x[l], below)
        else:
            matrix = self.matrices[l]
            assert matrix is not None, f"the pathway {self.pathway} without B of hidden layer {l + 1}"
            upper = stack.drives[l + 1]
            if self.pathway == "sequential" and isinstance(upper, Convolved | Normalised):
                signal = upper.transposed(trial.x[l + 1], above, matrix)
            else:
                signal = above.flatten(carried.dim() - 1) @ matrix.mT
        signal = signal.view_as(trial.drive[l])
        reached = self._reached[l] if self._reached else None
        return signal if reached is None else signal * reached


def _forward(project: nn.Module, x: Tensor, moved: Tensor) -> Tensor:
    """How far a drive moves when its input x moves, W `moved` of a linear projection.

    The derivative of the drive in x, transposed twice: ∂/∂v of (∂ drive/∂x)ᵀ v.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        drive = project(x)
        probe = torch.zeros_like(drive).requires_grad_()
        (down,) = torch.autograd.grad(drive, x, probe, create_graph=True)
    return torch.autograd.grad(down, probe, moved)[0]


# What the rule `augmented` multiplies the signal with, of the drive.
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "one": torch.ones_like,
    "step": lambda a: (a > 0).to(a),
    "tanh": lambda a: torch.cosh(a) ** -2,
    "triangle": lambda a: nn.functional.relu(1 - a.abs()),
    "cos": torch.cos,
}


class Exact(_Feedback):
    """FA, DFA and IFA: δa_l = c_l ∘ f'(a_l) (Nøkland 2016, eqs. 7–10), with c_l from a pathway.

    function: the name of one of `FUNCTIONS` in the place of f' (Nakajima et al. 2022), if any.
    """

    def __init__(
        self, pathway: str, matrices: Sequence[Tensor | None], changes: Fixed | None = None, function: str | None = None,
        reached: Sequence[Tensor | None] = (),
    ) -> None:  # fmt: skip
        super().__init__(pathway, matrices, changes, reached)
        self._function = None if function is None else FUNCTIONS[function]

    def teach(self, stack: Stack, x: Tensor, target: Tensor, masks: Masks = None) -> tuple[Trial, list[Tensor]]:
        trial = stack.free(x, masks, slopes=True, inputs=self.pathway == "transpose")
        error = trial.prediction - target
        delta, carried = [error] * (stack.n_hidden + 1), self._carried(error, target)
        for l in self._order(stack.n_hidden):
            signal = self._signal(stack, trial, l, carried, delta)
            (delta[l],) = torch.autograd.grad(trial.activity[l], trial.drive[l], signal)
            if self._function is not None:
                mask = trial.mask[l + 1]
                delta[l] = self._function(trial.drive[l].detach()) * (signal if mask is None else signal * mask)
        return trial, delta


class Frozen(_Feedback):
    """The shallow control: the output learns exactly, and what lies below has no gradient."""

    def __init__(self) -> None:
        super().__init__("direct", [])

    def learn(self, stack: Stack, x: Tensor, target: Tensor, masks: Masks = None) -> None:
        trial = stack.free(x, masks)
        stack.zero_grad()
        trial.drive[-1].backward(trial.prediction - target)


class Local(_Feedback):
    """The local rule: pre × d post/dt, over the onset of nudged phases; nothing here is differentiated in a neuron.

    δa_l = −Δz_l/β with Δz_l = f(a − β c) − f(a), or half the difference between phases at ±β (the Discussion of Nøkland
    2016). phases: the spec's table; beta: in place of its β, a tensor (S, 1, 1) where S networks differ in it.
    """

    def __init__(
        self,
        pathway: str,
        matrices: Sequence[Tensor | None],
        phases: Phases,
        beta: Tensor | None = None,
        changes: Fixed | None = None,
        reached: Sequence[Tensor | None] = (),
    ) -> None:
        super().__init__(pathway, matrices, changes, reached)
        self._phases = phases
        self._beta = phases.beta if beta is None else beta
        self._signs = (1, -1) if phases.nudging == "centered" else (1,)

    @torch.no_grad()
    def teach(self, stack: Stack, x: Tensor, target: Tensor, masks: Masks = None) -> tuple[Trial, list[Tensor]]:
        normalises = any(isinstance(module, _BatchNorm | Normalised) for module in stack.modules())
        if self._phases.propagation != "held" and normalises:
            raise SpecError(
                f"phases.propagation: {self._phases.propagation!r} would normalise a mini-batch anew in every phase; allowed "
                f"with batch-norm: 'held'"
            )
        trial = stack.free(x, masks, inputs=self.pathway == "transpose")
        error = trial.prediction - target
        delta, carried = [error] * (stack.n_hidden + 1), self._carried(error, target)
        below: list[Tensor] = []  # nudged activity of the layer below, a phase each
        for l in self._order(stack.n_hidden):
            climbs = self.pathway == "indirect" and l > 0  # the activity itself brings the signal
            current = None if climbs else self._beta * self._signal(stack, trial, l, carried, delta)
            delta[l], below = self._nudge(stack, trial, l, current, below)
        if self._phases.teacher == "drive":
            delta[-1] = self._taught_by_drive(stack, trial, error, below)
        return trial, delta

    def _nudge(
        self, stack: Stack, trial: Trial, l: int, current: Tensor | None, below: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """δa_l of a hidden layer with this current βc, or none; and its nudged activity in each phase."""
        mask, total, nudged = trial.mask[l + 1], None, []
        for k, sign in enumerate(self._signs):
            drive = self._drive(stack, trial, l, k, below)
            moved = stack.respond(l, drive if current is None else drive.sub(current, alpha=sign), mask)
            before = stack.respond(l, drive, mask) if self._two_compartment(drive, trial, l) else trial.activity[l]
            change = (before - moved).mul_(sign)
            total = change if total is None else total.add_(change)
            nudged.append(moved)
        assert total is not None
        return total.div_(self._beta * len(self._signs)), nudged

    def _taught_by_drive(self, stack: Stack, trial: Trial, error: Tensor, below: list[Tensor]) -> Tensor:
        """The output's −Δz/β where the teacher nudges its drive; σ'(a) e as β → 0."""
        total = torch.zeros_like(error)
        for k, sign in enumerate(self._signs):
            drive = self._drive(stack, trial, stack.n_hidden, k, below)
            before = stack.predict(drive) if self._two_compartment(drive, trial, stack.n_hidden) else trial.prediction
            total += sign * (before - stack.predict(drive - sign * self._beta * error))
        return total / (self._beta * len(self._signs))

    def _drive(self, stack: Stack, trial: Trial, l: int, k: int, below: list[Tensor]) -> Tensor:
        """The drive of layer l in phase k: the free one, or what the nudged activity below makes of it.

        Under pooling the positions that won in the free phase stay the winners.
        """
        drive, project = trial.drive[l].detach(), stack.drives[l]
        if self._phases.propagation == "held" or l == 0:
            return drive
        if isinstance(project, nn.Linear | ManyLinear):
            return project(below[k])
        return drive + _forward(project, trial.x[l], below[k] - trial.x[l])

    def _two_compartment(self, drive: Tensor, trial: Trial, l: int) -> bool:
        """Whether the change is read against the neuron's own feed-forward prediction, which differs from free activity."""
        return self._phases.propagation == "two_compartment" and l > 0
