"""From a spec and a network of its weights and B to a stack that learns in PyTorch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from localdfa import registry
from localdfa.crosscheck.pytorch import matrices as changing
from localdfa.crosscheck.pytorch.rules import WAYS, BackPropagation, Exact, Frozen, Local
from localdfa.crosscheck.pytorch.stack import OUTPUTS, Convolved, ManyLinear, Masks, Normalised, Stack
from localdfa.errors import SpecError, quoted
from localdfa.spec import Setting

if TYPE_CHECKING:
    from localdfa.network import Network

_RULES = ("bp", "fa", "dfa", "ifa", "drtp", "augmented", "frozen", "local")
# The way of the signal of each pathway.
_WAY_OF = {
    **{name: name for name in WAYS},
    "sign_symmetric": "sequential",
    "sign_symmetric_fixed": "sequential",
    "sign_symmetric_redrawn": "sequential",
    "kolen_pollack": "sequential",
    "weight_mirror": "sequential",
    "direct_kolen_pollack": "direct",
    "direct_weight_mirror": "direct",
    "low_rank": "direct",
}
# Pathways whose B are drawn while the core learns: in PyTorch one mini-batch can be repeated, but no training.
_DRAWN = ("sign_symmetric_redrawn", "weight_mirror", "direct_weight_mirror")
# Rows of a forward pass when a whole set is evaluated.
_CHUNK = 2048


def check(setting: Setting) -> None:
    """Refuse what has no counterpart in PyTorch.

    Raises
    ------
    SpecError
        Neurons spike or have a time constant, their model says nothing to PyTorch, or small events are left out.
    """
    name = setting.network.neuron
    if setting.spiking:
        raise SpecError(f"network.neuron: {name!r} spikes; the PyTorch path has rate neurons: {_witnessed()}")
    if not hasattr(registry.get("neurons", name), "pytorch"):
        raise SpecError(
            f"network.neuron: {name!r} has no hook `pytorch`, its activity as a PyTorch module, by which PyTorch would compute "
            f"it; allowed: with such a hook in its file (localdfa/neurons/__init__.py), or {_witnessed()}"
        )
    for i, stage in enumerate(setting.stage):
        if stage.layer_rules:
            raise SpecError(f"stage[{i}].layer_rules: the PyTorch path has one rule for all layers; allowed: none")
    if strength := setting.adversarial.strength:
        raise SpecError(f"adversarial.strength: {strength:g}; the PyTorch path learns from clean samples alone: 0")
    if setting.rule not in _RULES:
        raise SpecError(f"rule: {setting.rule!r} is not built in PyTorch; allowed there: {', '.join(_RULES)}")
    if (pathway := setting.pathway_of(setting.rule)) not in _WAY_OF:
        raise SpecError(f"feedback.pathway: {pathway!r} is not built in PyTorch; allowed there: {', '.join(_WAY_OF)}")
    if setting.network.output not in OUTPUTS:
        raise SpecError(f"network.output: in PyTorch {registry.unknown(setting.network.output, list(OUTPUTS))}")
    if setting.timed:
        raise SpecError(f"neuron.tau: {setting.neuron['tau']} ms; the PyTorch path has settled neurons alone: 0")
    for table, threshold in (("network", setting.network.threshold), ("feedback", setting.feedback.threshold)):
        if threshold:
            raise SpecError(f"{table}.threshold: {threshold} leaves events out; the PyTorch path sends all of them: 0")


def trains(setting: Setting) -> bool:
    """Whether a whole training can be repeated in PyTorch: no B is drawn anew while the network learns."""
    return setting.pathway_of(setting.rule) not in _DRAWN


def _witnessed() -> str:
    """The names of the neuron models that PyTorch can compute."""
    return ", ".join(registry.having("neurons", lambda model: hasattr(model, "pytorch")))


class Learner:
    """One network, or several of one shape at once, and its optimiser.

    Parameters
    ----------
    setting: of the network; the rule is the setting's.
    networks: one, or S of one shape that differ in weights and B: then every tensor has a leading axis S.
    beta: the nudging strength of each of the S, in place of the setting's.
    device: where it computes; precision is the networks'.
    """

    def __init__(
        self, setting: Setting, networks: Sequence["Network"], device: torch.device | str = "cpu", beta: Sequence[float] = ()
    ) -> None:
        check(setting)
        if len(networks) > 1 and any(networks[0].geometry):
            raise SpecError("network.hidden: several networks at once have dense layers alone")
        if len(networks) > 1 and setting.network.batch_norm:
            raise SpecError("network.batch_norm: true goes with one network at a time; allowed for several: false")
        self.setting, self.device, self.dtype = setting, torch.device(device), _dtype(networks[0])
        self._many = len(networks) > 1
        self.stack = _stack(setting, networks).to(self.device)
        self.rule, taught, undecayed = self._rule(setting, networks, beta)
        self.optimiser = _optimiser(setting, self.stack, taught, undecayed)
        # Of each projection how many neurons excite under Dale's law, or None.
        self._exciting = [projection.exciting for projection in networks[0].projections]

    def tensor(self, array: np.ndarray) -> Tensor:
        """An array where and in the precision in which the network computes."""
        return torch.as_tensor(array).to(self.device, self.dtype)

    def step(self, x: Tensor, target: Tensor, masks: Masks = None) -> None:
        """One mini-batch: x (m, n_in) and target (m, n_out), each with a leading S of several networks.

        Raises
        ------
        SpecError
            The core draws B anew for each mini-batch.
        """
        if not trains(self.setting):
            raise SpecError(
                f"feedback.pathway: {self.setting.pathway_of(self.setting.rule)!r} draws numbers that PyTorch does not; "
                f"allowed in a training there: {', '.join(name for name in _WAY_OF if name not in _DRAWN)}"
            )
        self.rule.learn(self.stack, x, target, masks)
        self.optimiser.step()
        self._keep_signs()
        for module in normalised(self.stack):
            module.follow()

    @torch.no_grad()
    def _keep_signs(self) -> None:
        """Dale's law: what a neuron sends to all others has its own sign, or is zero."""
        for (weight, _), n in zip(_projections(self.stack), self._exciting, strict=True):
            if n is not None:
                by_sender = weight if self._many else weight.mT  # (…, n_pre, n_post)
                by_sender[..., :n, :].clamp_(min=0)
                by_sender[..., n:, :].clamp_(max=0)

    @property
    def whole(self) -> list[None]:
        """The masks of a network from which no neuron is left out."""
        return [None] * len(self.stack.drives)

    @torch.no_grad()
    def drive(self, x: Tensor) -> Tensor:
        """The drive of the output in evaluation, without dropout."""
        self.stack.eval()
        try:
            return torch.cat([self.stack(part, self.whole) for part in x.split(_CHUNK, dim=-2)], dim=-2)
        finally:
            self.stack.train()

    def gradients(self, x: Tensor, target: Tensor, masks: Masks = None) -> list[np.ndarray]:
        """Minus the gradient of each projection of one network, (n_pre + 1, n_post): the direction weights move in.

        Without dropout, unless there are masks.
        """
        self.rule.learn(self.stack, x, target, masks or self.whole)
        return [_packed(_direction(w), _direction(b)) for w, b in _projections(self.stack)]

    def weights(self) -> list[np.ndarray]:
        """The weights of each projection, (n_pre + 1, n_post), the biases last; of several networks (S, n_pre + 1, n_post)."""
        return [_packed(w.detach(), b.detach()) for w, b in _projections(self.stack)]

    def _rule(
        self, setting: Setting, networks: Sequence["Network"], beta: Sequence[float]
    ) -> tuple[BackPropagation | Exact | Frozen | Local, list[Tensor], list[Tensor]]:
        """The rule, the B, or factors of B, that learn and decay, and those that learn without decay."""
        reached = [
            self._matrix([network.reached[l][None] if self._many else network.reached[l] for network in networks])
            if l in networks[0].reached
            else None
            for l in range(self.stack.n_hidden)
        ]
        if setting.rule == "bp":
            return BackPropagation(reached), [], []
        pathway, strict = setting.pathway_of(setting.rule), setting.normalises_strictly(setting.rule)
        matrices = [self._matrix([network.feedback[l] for network in networks]) for l in range(self.stack.n_hidden)]
        if setting.rule == "frozen":
            return Frozen(), [], []
        changes, taught, undecayed = changing.Fixed(), list[Tensor](), list[Tensor]()
        if pathway in ("kolen_pollack", "direct_kolen_pollack"):
            taught = [matrix for matrix in matrices if matrix is not None]
            changes = (changing.KolenPollack if pathway == "kolen_pollack" else changing.DirectKolenPollack)(matrices)
        elif pathway == "low_rank":
            changes = factors = changing.LowRank(matrices, setting.feedback.rank)
            taught, undecayed = factors.receivers, factors.senders
        elif pathway in ("sign_symmetric", "sign_symmetric_fixed") or strict:
            changes = changing.Following(matrices, pathway.startswith("sign_symmetric"), strict)
        if setting.rule != "local":
            function = getattr(setting.parameters_of(setting.rule), "g", None)
            return Exact(_WAY_OF[pathway], matrices, changes, function, reached), taught, undecayed
        strengths = self.tensor(np.reshape(beta, (-1, 1, 1))) if len(beta) else None
        return Local(_WAY_OF[pathway], matrices, setting.phases, strengths, changes, reached), taught, undecayed

    @property
    def matrices(self) -> list[np.ndarray]:
        """B of each hidden layer that has one, (n_l, width of its source)."""
        return [matrix.cpu().numpy() for matrix in getattr(self.rule, "matrices", []) if matrix is not None]

    def _matrix(self, matrices: list[np.ndarray | None]) -> Tensor | None:
        found = [self.tensor(matrix).clone() for matrix in matrices if matrix is not None]  # the core may change its own
        return None if not found else torch.stack(found) if self._many else found[0]


def _dtype(network: "Network") -> torch.dtype:
    return torch.float64 if network.dtype == np.float64 else torch.float32


def _stack(setting: Setting, networks: Sequence["Network"]) -> Stack:
    """The modules of a spec, with the weights of the networks."""
    first, spec = networks[0], setting.network
    drives: list[nn.Module] = []
    for n_pre, n_post, fields in zip(first.sizes[:-1], first.sizes[1:], first.geometry, strict=True):
        if len(networks) > 1:
            drives.append(ManyLinear(len(networks), n_pre, n_post, _dtype(first)))
            continue
        one = nn.Linear(n_pre, n_post, dtype=_dtype(first)) if fields is None else Convolved(fields, _dtype(first))
        norm = first.norm(len(drives))
        drives.append(one if norm is None else Normalised(one, norm.mean.size))
    functions = [_function(first.neuron, spec.neuron) for _ in spec.hidden]
    stack = Stack(drives, functions, spec.output, [spec.input_dropout, *[spec.dropout] * len(spec.hidden)])
    _load(stack, [network.weights for network in networks])
    for module, norm in zip(normalised(stack), first.batch_norms, strict=True):
        for own, array in ((module.gain.data, norm.gain[0]), (module.mean, norm.mean), (module.variance, norm.variance)):
            own.copy_(torch.from_numpy(array))
    return stack


def normalised(stack: Stack) -> list[Normalised]:
    """The layers that are normalised."""
    return [drive for drive in stack.drives if isinstance(drive, Normalised)]


def _function(neuron: Any, name: str) -> nn.Module:
    """The non-linearity of a neuron with these parameters, as its own file has it for PyTorch."""
    function = neuron.pytorch()
    if not isinstance(function, nn.Module):
        raise SpecError(f"network.neuron: the hook `pytorch` of {name!r} returns {quoted(function)}, and no torch.nn.Module")
    return function


def _projections(stack: Stack) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Weight and bias of each layer; a spec's have one projection each."""
    return [(drive.weight, drive.bias) for drive in stack.drives]  # type: ignore[misc]


@torch.no_grad()
def _load(stack: Stack, networks: Sequence[Sequence[np.ndarray]]) -> None:
    """Put weights (n_pre + 1, n_post) of each network into the parameters."""
    for l, (weight, bias) in enumerate(_projections(stack)):
        arrays = torch.stack([torch.from_numpy(np.ascontiguousarray(weights[l])) for weights in networks])
        rows = arrays[:, :-1]
        weight.copy_(rows if _several(bias) else rows[0].mT.reshape(weight.shape))
        bias.copy_(arrays[:, -1].reshape(bias.shape))


def _direction(parameter: nn.Parameter) -> Tensor:
    """Minus the gradient; zero where there is none."""
    return torch.zeros_like(parameter) if parameter.grad is None else -parameter.grad


def _packed(weight: Tensor, bias: Tensor) -> np.ndarray:
    """Weights and biases as the core keeps them: (…, n_pre + 1, n_post), one row a presynaptic neuron, the biases last."""
    rows = [weight, bias] if _several(bias) else [weight.flatten(1).mT, bias[None]]
    return torch.cat(rows, -2).cpu().numpy()


def _several(bias: Tensor) -> bool:
    """Whether a projection is that of several networks, whose weights lie as the core's do."""
    return bias.dim() > 1


def _optimiser(
    setting: Setting, stack: Stack, matrices: Sequence[Tensor], undecayed_matrices: Sequence[Tensor]
) -> torch.optim.Optimizer:
    """The spec's optimiser, of the weights and of what learns of B; biases do not decay."""
    given = setting.optimiser
    p = registry.get("optimisers", given.name)(**given.parameters)
    weights, biases = zip(*_projections(stack), strict=True)
    decaying, undecayed = [*weights, *matrices], [*biases, *undecayed_matrices, *(module.gain for module in normalised(stack))]
    groups: list[dict[str, Any]] = [{"params": decaying, "weight_decay": given.weight_decay}, {"params": undecayed}]
    if given.name == "rmsprop":
        return torch.optim.RMSprop(groups, p.learning_rate, alpha=p.decay, eps=p.epsilon)
    if given.name == "adam":
        return torch.optim.Adam(groups, p.learning_rate, betas=(p.beta1, p.beta2), eps=p.epsilon)
    if given.name in ("sgd", "momentum"):
        return torch.optim.SGD(groups, p.learning_rate, momentum=getattr(p, "momentum", 0.0))
    raise SpecError(f"optimiser.name: the PyTorch path has no {given.name!r}; allowed: adam, momentum, rmsprop, sgd")
