"""What the error teaches below each tap of a module."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from localdfa import registry
from localdfa.errors import LocalDFAError, SpecError, quoted
from localdfa.network import FEEDBACK, SIGNS, feedback_bound, generator, random_matrix
from localdfa.registry import unknown
from localdfa.spec import table
from localdfa.spec.matrices import useless_rank, wrong_in
from localdfa.spec.modules import PATHWAYS
from localdfa.spec.tables import FeedbackTable
from localdfa.torch.sources import Source, looked_at
from localdfa.torch.taps import Taps, called

RULES = ("bp", "dfa", "drtp", "local", "shallow")
_OF_NUMPY = (torch.float16, torch.float32, torch.float64)
# Pathways whose signal does not carry the size of the error.
UNSIZED = ("drtp", "sign_error")
# The taps of all learners; they go with their modules.
_hooked: "WeakSet[Taps]" = WeakSet()

Spread = Callable[[Tensor], Tensor]


class Nudge(NamedTuple):
    """How strong a current is under `local`; see `feedback`."""

    beta: float
    nudging: Literal["centered", "one_sided"]
    relative: bool


class Alignment(NamedTuple):
    """What one tap sends down, beside the true gradient at the same place.

    cosine, sd: mean and standard deviation of their cosine over samples, and over tokens, points or nodes where these have
    errors of their own. signal_norm, gradient_norm: of each, over all samples. signal_rank, gradient_rank: in how many
    dimensions they lie, (Σ σ²)² / Σ σ⁴ with the singular values σ of all of them, one a row; that of a signal B e of a scalar
    error is 1. All are NaN of a tap below which nothing learns.
    """

    cosine: float
    sd: float
    signal_norm: float
    gradient_norm: float
    signal_rank: float
    gradient_rank: float


_NOTHING = Alignment(*6 * (float("nan"),))


class Learner(nn.Module):
    """The taps of a module and their feedback matrices. `feedback` makes it.

    B: the matrices by the names of the taps, with "/" in the place of "." and before a name that is a method of PyTorch's
    dicts, as "update"; each (features of the tap, features of the error). One that taps share is called "shared", and has the
    features of the widest; each tap takes its first rows, to the scale of its own width. `state_dict` keeps them, `to` moves
    them; the module itself is no part of it. sources: of each parameter, what trains it.
    """

    def __init__(self, taps: Taps, rule: str, pathway: str, spread: Spread | None, nudge: Nudge) -> None:
        super().__init__()
        self.rule, self.pathway = rule, pathway
        self.sources: dict[str, Source] = {}
        self.B = nn.ParameterDict()
        self._taps, self._spread, self._nudge = taps, spread, nudge
        # Of each tap: how many leading axes are of samples, and the shape of the features behind them.
        self._rows: dict[str, int] = {}
        self._features: dict[str, torch.Size] = {}
        self._scales: dict[str, float] = {}  # of the rows of a B that is shared
        self._frozen = {name: p for name, p in taps.model.named_parameters() if not p.requires_grad}

    def backward(self, loss: Tensor, target: Tensor | None = None, factor: float | None = None) -> None:
        """Add to the gradient of each parameter what the rule teaches it, in place of ``loss.backward()``.

        Parameters
        ----------
        loss: a number, from one forward pass of the module in training mode; it may be scaled for mixed precision.
        target: with `drtp` alone: class indices, or an array of the shape of the output.
        factor: with `drtp` and `sign_error` alone, whose signals do not carry the error's size: what the loss of one sample
            counts in `loss`, 1/m where that is a mean over m of them, times the scale of a gradient scaler.

        Raises
        ------
        LocalDFAError
            The loss does not depend on the module's output, or also on other tensors that it gives, on an earlier forward pass
            or one in evaluation mode; a tap or the output was not reached, or twice; what a tap gave was changed in place; a
            parameter has been unfrozen since; an argument is missing, or the pathway does not read it.
        """
        taps = self._taps
        _check_loss(loss)
        if target is not None and self.pathway != "drtp":
            raise LocalDFAError(f"target: pathway {self.pathway!r} does not read it; allowed: with 'drtp'")
        if (factor is None) is (self.pathway in UNSIZED):
            what = "needs" if factor is None else "does not read"
            raise LocalDFAError(f"factor: pathway {self.pathway!r} {what} it, what the loss of one sample counts")
        _check_factor(factor)
        if self.rule == "bp":
            loss.backward()
            return
        try:
            taps.check_passed()
            self._check_frozen()
            # Before anything is added to a gradient: it may be refused.
            answer = None if taps.out is None else self._answer(target, taps.out)
            with taps.listening():
                # What a parameter or an input gets from the loss and from a tap comes through one graph, twice.
                twice = taps.asked or any(source.also for source in self.sources.values())
                loss.backward(retain_graph=self.rule != "shallow" and twice)
            points, activity = taps.points, taps.activity
            error = taps.sent_back(alone=self.rule != "shallow")
        finally:
            taps.forget()
        if self.rule == "shallow":
            return
        with torch.no_grad():
            carried = self._carried(error, answer, factor)
            points = self._teachable(points)
            signals = [self._sent(name, point, carried) for name, point in points.items()]
            if self.pathway == "direct_kolen_pollack":
                self._teach_matrices(activity, carried)
        torch.autograd.backward(list(points.values()), signals)

    def alignment(
        self, criterion: Callable[[Any, Tensor], Tensor], inputs: Any, target: Tensor, factor: float | None = None
    ) -> dict[str, Alignment]:
        """Compare what each tap sends down with the true gradient there; nothing learns, and no state changes.

        Under `local` both are of the drive of a tap's neurons, under other rules of what the tap gives. All taps have an entry,
        in the order in which they are reached.

        Parameters
        ----------
        criterion: the loss, of what the module gives and the target.
        inputs: of the module: a tensor, a tuple of arguments or a dict of named ones.
        factor: as in `backward`, for the norms of signals that do not carry the error's size; 1 if left out.

        Raises
        ------
        LocalDFAError
            The rule sends nothing back; the loss is none, or does not depend on the output; a tap was not reached, or twice; or
            the pathway does not read `factor`.
        """
        taps = self._taps
        if self.rule not in PATHWAYS:
            raise LocalDFAError(f"alignment: under {self.rule!r} no error is sent back; allowed: {', '.join(PATHWAYS)}")
        if factor is not None and self.pathway not in UNSIZED:
            raise LocalDFAError(f"factor: pathway {self.pathway!r} does not read it; allowed: with {' and '.join(UNSIZED)}")
        _check_factor(factor)
        _check_followed("alignment")
        taps.check_there()
        self._check_frozen()
        with taps.passing("measure"):
            loss = criterion(called(taps.model, inputs), target)
            _check_loss(loss)
            taps.check_reached()
            points = self._teachable(taps.points)
            if not points:
                raise LocalDFAError("alignment: all that lies below the taps is frozen; allowed: where a tap teaches something")
            true = torch.autograd.grad(loss, list(points.values()), allow_unused=True)
            error, reached = taps.sent_back(), list(taps.points)
        found = dict.fromkeys(reached, _NOTHING)
        with torch.no_grad():
            carried = self._carried(error, self._answer(target, error), factor)
            for (name, point), gradient in zip(points.items(), true, strict=True):
                own = torch.zeros_like(point) if gradient is None else gradient
                found[name] = _alignment(self._sent(name, point, carried), own, self._rows[name])
        return found

    def tensors(self) -> dict[str, Tensor]:
        """All that is learned or follows it, by name: of the module, and, after ``B:``, the feedback matrices.

        What a module adds to its state that is no tensor (``get_extra_state``) is left out.
        """
        of_module = {name: each for name, each in self._taps.model.state_dict().items() if isinstance(each, Tensor)}
        return {**of_module, **{f"B:{name}": B for name, B in self.B.state_dict().items()}}

    def arrays(self) -> dict[str, np.ndarray]:
        """`tensors` as a run keeps them; those of types that NumPy does not have, as bfloat16, in float32."""
        return {name: _known(tensor).cpu().numpy() for name, tensor in self.tensors().items()}

    @property
    def is_in_place(self) -> bool:
        """Whether its taps are in the module still."""
        return self._taps.are_in_place

    def source_arrays(self) -> dict[str, np.ndarray]:
        """The parameters, and of each what trains it, in words, as a run keeps them."""
        return {"parameter": np.array([*self.taught_by]), "taught_by": np.array([*self.taught_by.values()])}

    def remove(self) -> None:
        """Take all taps out of the module again."""
        self._taps.remove()
        _hooked.discard(self._taps)

    def _check_frozen(self) -> None:
        """Refuse parameters that learn now and did not when the taps were made: nobody knows what would teach them."""
        if thawed := next((name for name, parameter in self._frozen.items() if parameter.requires_grad), None):
            raise LocalDFAError(
                f"{thawed!r} learns now, and did not when the taps were made; allowed: `remove()`, and `feedback` anew, which "
                f"draws the same B from the same seed"
            )

    def _teachable(self, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Without those below which all has been frozen since."""
        if all(point.requires_grad for point in points.values()):
            return dict(points)
        for name, parameter in self._taps.model.named_parameters():
            for source in self.sources.get(name, Source("")).each:
                if source.by in points and parameter.requires_grad and not points[source.by].requires_grad:
                    raise LocalDFAError(
                        f"no signal reaches {name!r} from tap {source.by!r}: what lies between was detached or under "
                        f"no_grad(); allowed: a forward pass that autograd follows throughout, or requires_grad_(False)"
                    )
        return {name: point for name, point in points.items() if point.requires_grad}

    def _answer(self, target: Tensor | None, like: Tensor) -> Tensor | None:
        """The target in the shape of the output, where it is sent in place of the error."""
        return _one_hot(target, like) if self.pathway == "drtp" else None

    def _carried(self, error: Tensor, answer: Tensor | None, factor: float | None) -> Tensor:
        """What is sent back of the error, or of the `_answer`, (samples …, features)."""
        if answer is not None:
            error = -answer
        elif self.pathway == "sign_error":
            error = error.sign()
        if factor is not None:
            error = error * factor
        return error if self._spread is None else self._spread(error)

    def _sent(self, name: str, point: Tensor, carried: Tensor) -> Tensor:
        """The signal of a tap, of the shape of its point: c = B e or, under `local`, what a nudge by c changes."""
        rows, features, B = self._rows[name], self._features[name], self._matrix(name)
        if point.shape[rows:] != features:
            raise LocalDFAError(
                f"tap {name!r} gives the shape {tuple(point.shape)}, and its B is for features of the shape "
                f"{tuple(features)}, as in the example"
            )
        if carried.shape[:rows] != point.shape[:rows] or carried.shape[rows:].numel() != B.shape[1]:
            raise LocalDFAError(
                f"tap {name!r} gives the shape {tuple(point.shape)}, the error has {tuple(carried.shape)}, and its B is for "
                f"{B.shape[1]} features of the error behind as many leading axes in common as in the example, {rows}"
            )
        if B.device != carried.device:
            raise LocalDFAError(f"B is on {B.device}, the error on {carried.device}; allowed: learner.to('{carried.device}')")
        signal = (carried.reshape(*carried.shape[:rows], B.shape[1]).to(B.dtype) @ B.mT).reshape(point.shape)
        if self.rule == "local":
            signal = _moved(self._taps.model.get_submodule(name).forward, point, signal, rows, self._nudge)
        return signal.to(point.dtype)

    def _teach_matrices(self, activity: Mapping[str, Tensor], carried: Tensor) -> None:
        """The gradient of each B is h eᵀ, summed over samples (Webster, Choi & Ahn 2021)."""
        for name, h in activity.items():
            B, rows = self.B[_key(name)], self._rows[name]
            pre, post = (tensor.reshape(-1, tensor.shape[rows:].numel()).to(B.dtype) for tensor in (h, carried))
            taught = pre.mT @ post
            B.grad = taught if B.grad is None else B.grad + taught

    def _matrix(self, name: str) -> Tensor:
        """B of a tap; of a shared one its first rows."""
        B = self.B[_key(name)] if _key(name) in self.B else self.B["shared"]
        rows = B[: self._features[name].numel()]
        scale = self._scales.get(name, 1.0)
        return rows if scale == 1 else scale * rows

    def _prepare(self, example: Any, inside: bool, several: bool, seed: int, drawn: FeedbackTable) -> None:
        """Run an example, and draw B of each tap as the core draws that of a hidden layer."""
        shown = looked_at(self._taps, example, self.rule, inside, several)
        self.sources, self._taps.past = shown.sources, shown.past
        if self.rule not in PATHWAYS:
            return
        sent = nothing = torch.zeros_like(shown.out)
        if self._spread is not None:
            sent = self._spread(nothing)
            if not isinstance(sent, Tensor) or sent.any():
                found = "another thing than 0" if isinstance(sent, Tensor) else quoted(sent)
                raise SpecError(f"spread: gives {found} of an error of 0; allowed: a linear function of a tensor")
        sizes: dict[str, tuple[int, int]] = {}
        for name, point in shown.points.items():
            rows = _shared_axes(sent.shape, point.shape, name)
            self._rows[name], self._features[name] = rows, point.shape[rows:]
            sizes[name] = point.shape[rows:].numel(), sent.shape[rows:].numel()
        widest, learns = max(n for n, _ in sizes.values()), self.pathway == "direct_kolen_pollack"
        if drawn.shared and len({n_out for _, n_out in sizes.values()}) > 1:
            raise SpecError("shared: true needs taps that get the same features of the error; allowed: false")
        if drawn.rank is not None and drawn.rank >= (most := max(map(min, sizes.values()))):
            raise SpecError(useless_rank(drawn.rank, most, ""))
        for l, (name, point) in enumerate(shown.points.items()):
            shape = (widest, sizes[name][1]) if drawn.shared else sizes[name]
            rng, signs = generator(seed, FEEDBACK, 0 if drawn.shared else l), generator(seed, SIGNS)
            matrix = torch.from_numpy(random_matrix(drawn, rng, shape, sizes[name], widest, signs))
            self.B["shared" if drawn.shared else _key(name)] = nn.Parameter(matrix.to(point), requires_grad=learns)
            if drawn.shared:
                bounds = {each: feedback_bound(drawn, own, widest) for each, own in sizes.items()}
                self._scales = {each: bound / bounds[name] for each, bound in bounds.items()}
                return

    def __repr__(self) -> str:
        """Who is trained by what, a line a parameter."""
        lines = [f"rule {self.rule!r}, error of {self._taps.output_said}"]
        for name, rows in self._rows.items():
            each = "" if rows == 1 else f", one signal for each of the first {rows} axes"
            lines.append(f"tap {name!r}: B {' × '.join(map(str, self._matrix(name).shape))}{each}")
        width = max((len(name) for name in self.sources), default=0)
        return "\n".join([*lines, *(f"{name:{width}}  {said}" for name, said in self.taught_by.items())])

    @property
    def taught_by(self) -> dict[str, str]:
        """What trains each parameter, in words."""
        return {name: self._said(source) for name, source in self.sources.items()}

    def _said(self, source: Source) -> str:
        if self.rule == "bp":
            return "the loss, by back-propagation"
        if not source.by:
            return "nothing"
        return ", and ".join(self._said_alone(each) for each in source.each)

    @staticmethod
    def _said_alone(source: Source) -> str:
        by, through = "the loss" if source.by == "loss" else f"tap {source.by!r}", sorted(source.through)
        more = f" and {len(through) - 2} more" if len(through) > 2 else ""
        return f"{by}, by back-propagation through {', '.join(through[:2])}{more}" if through else by


def feedback(
    model: nn.Module,
    example: Any,
    taps: Sequence[str],
    rule: str = "dfa",
    *,
    output: str = "",
    pathway: str | None = None,
    seed: int = 0,
    spread: Spread | None = None,
    beta: float | None = None,
    nudging: Literal["centered", "one_sided"] | None = None,
    relative: bool | None = None,
    inside: Literal["bp"] | None = None,
    several: Literal["add"] | None = None,
    **matrices: Any,
) -> Learner:
    """Let a module learn by feedback of the error to some of its submodules, its taps.

    What a tap gives goes on without its graph. What lies above the last taps learns exactly, from the loss; what lies between
    two taps learns from the signal that the upper one gets, within that block by back-propagation. ``print(learner)`` says of
    each parameter what trains it and through what. The module itself stays as it is, and may be compiled or wrapped afterwards,
    in `DistributedDataParallel` with ``find_unused_parameters=False``, and True under `shallow`. Its `state_dict` can be kept
    at any time, as it can be pickled itself, which leaves its taps behind.

    Parameters
    ----------
    model: any module; in evaluation mode its taps do nothing.
    example: inputs for one forward pass of training, a tensor, a tuple of arguments or a dict of named ones. It teaches
        nothing. Later inputs may have another number of samples, but not other features.
    taps: names of submodules, as ``model.named_modules()`` has them. Of a tuple that one gives the first tensor gets the
        signal.
    rule: ``dfa``: the signal c = B e is handed to what the tap gives, as ∂L/∂h (Nøkland 2016; Launay et al. 2020).
        ``local``: the tap is the non-linearity f of single neurons, and c enters before it: δa = −Δf/β where a changes by −βc,
        and no slope is read. ``drtp``: c = −B y*. ``shallow``: what lies below a tap does not learn. ``bp``: back-propagation.
    output: the submodule at whose output the error e = ∂L/∂output is taken; that of the module itself if left out. Of a
        tuple that it gives the loss may depend on the first tensor alone.
    pathway: ``direct``, ``drtp``, ``sign_error`` or ``direct_kolen_pollack``, whose B learn: give ``learner.parameters()`` to
        the optimiser as well, with the weight decay of the weights, and with several processes average their gradients first.
    seed: of B. Of dense layers they are those that `localdfa.run` draws from this seed.
    spread: what the error is turned into before it is sent, a linear function: over the nodes of a graph ``lambda e: A @ e``.
        Leading axes that the error and a tap then share, of samples, tokens or points, each have a signal of their own.
    beta: of `local`, the strength of the nudge, 0.1 if left out. nudging: ``centered``, phases at ±β, if left out, or
        ``one_sided``.
    relative: of `local`. True, if left out: in each sample the currents of a tap have the root mean square β, whatever the loss
        is scaled with. False: they are βc, as in the core; a loss that is a mean over m samples makes c m times smaller.
    inside: of `local`. ``bp``: blocks between taps that hold further weights, or non-linearities without a tap of their own,
        learn within by back-propagation; otherwise these are refused.
    several: ``add``: a parameter that several signals reach, as an embedding that two branches share, learns from their sum,
        and the summary names each; otherwise it is refused. Such a module cannot be wrapped in `DistributedDataParallel`.
    matrices: how B is drawn: distribution, fan_out, gain, density, rank, signs, shared, as in the spec's table `feedback`. As
        in Launay et al. 2020: ``shared=True, fan_out="widest"``.

    Raises
    ------
    SpecError
        A name, value or combination is not allowed; a tap is not reached, or twice, or lies above the output; a parameter would
        get no signal, or back-propagation past a tap; a block has no local form.
    """
    if not isinstance(model, nn.Module):
        raise SpecError(f"model: {quoted(model)}; allowed: a torch.nn.Module")
    _check_followed("feedback")
    if rule not in RULES:
        raise SpecError(f"rule: {unknown(rule, list(RULES))}")
    if several not in (None, "add"):
        raise SpecError(f"several: {quoted(several)} is not allowed: 'add', or none")
    names = _submodules(model, taps, output, rule)
    allowed = PATHWAYS.get(rule, ())
    if pathway is not None and pathway not in allowed:
        raise SpecError(f"pathway: {quoted(pathway)} does not go with rule {rule!r}; allowed: {', '.join(allowed) or 'none'}")
    nudge = _nudge(rule, beta, nudging, relative, inside)
    if unread := [key for key in (*matrices, *([] if spread is None else ["spread"])) if not allowed]:
        raise SpecError(f"{unread[0]}: rule {rule!r} does not read it; allowed: with {', '.join(map(repr, PATHWAYS))}")
    if strange := [key for key in matrices if key not in FeedbackTable.DRAWN]:
        raise SpecError(f"unknown key {unknown(strange[0], list(FeedbackTable.DRAWN))}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise SpecError(f"seed: {quoted(seed)} is not allowed: a whole number, 0 or above")
    if spread is not None and not callable(spread):
        raise SpecError(f"spread: {quoted(spread)} is not allowed: a function of the error")
    drawn = table(FeedbackTable, matrices)
    own = pathway or (allowed[0] if allowed else "none")
    for line in wrong_in(drawn, [(f"pathway {own!r}", registry.get("feedback", own))] if allowed else [], ""):
        raise SpecError(line)
    _check_alone(model, {name: model.get_submodule(name) for name in (*names, output)})
    hooked = Taps(model, names, output, before=rule == "local", cuts=rule != "bp")
    learner = Learner(hooked, rule, own, spread, nudge)
    try:
        learner._prepare(example, inside == "bp", several == "add", seed, drawn)
    except BaseException:
        hooked.remove()
        raise
    _hooked.add(hooked)
    return learner


def _check_followed(what: str) -> None:
    """Refuse inference mode, in which autograd follows nothing; under no_grad() it can be told to."""
    if torch.is_inference_mode_enabled():
        raise LocalDFAError(f"{what}: autograd follows nothing in torch.inference_mode(); allowed: outside of it")


def _submodules(model: nn.Module, taps: Any, output: Any, rule: str) -> list[str]:
    """The names of the taps, of submodules that there are, as the output is."""
    if not isinstance(taps, str | Sequence) or not isinstance(output, str):
        raise SpecError(f"taps, output: {quoted(taps)}, {quoted(output)} are not allowed: names of submodules")
    names, known = [taps] if isinstance(taps, str) else list(taps), [name for name, _ in model.named_modules() if name]
    for key, given in (("taps", names), ("output", [output] if output else [])):
        for name in given:
            if name not in known:
                raise SpecError(f"{key}: {unknown(name, known[:50])}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise SpecError(f"taps: {twice[0]!r} is named twice")
    if output in names:
        raise SpecError(f"output: {output!r} is a tap as well; allowed: a module above it, at whose output the error is taken")
    if not names and rule != "bp":
        raise SpecError("taps: there are none; allowed: at least one, or rule 'bp'")
    return names


def _nudge(
    rule: str,
    beta: float | None,
    nudging: Literal["centered", "one_sided"] | None,
    relative: bool | None,
    inside: Literal["bp"] | None,
) -> Nudge:
    """How strong currents are, from the arguments that `local` alone reads."""
    own = {"beta": beta, "nudging": nudging, "relative": relative, "inside": inside}
    if unread := [key for key, value in own.items() if value is not None and rule != "local"]:
        raise SpecError(f"{unread[0]}: rule {rule!r} does not read it; allowed: with rule 'local'")
    if beta is not None and not _positive(beta):
        raise SpecError(f"beta: {quoted(beta)} is not allowed: a number above 0")
    if nudging not in (None, "centered", "one_sided"):
        raise SpecError(f"nudging: {unknown(nudging, ['centered', 'one_sided'])}")
    if not isinstance(relative, bool | None):
        raise SpecError(f"relative: {quoted(relative)} is not allowed: True or False")
    if inside not in (None, "bp"):
        raise SpecError(f"inside: {quoted(inside)} is not allowed: 'bp', or none")
    return Nudge(0.1 if beta is None else float(beta), nudging or "centered", relative is not False)


def _check_loss(loss: Any) -> None:
    """Refuse what no gradient could come from."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else quoted(loss)
        raise LocalDFAError(f"loss: {found}; allowed: a tensor of one number")
    if not loss.requires_grad:
        raise LocalDFAError(
            "the loss has no gradient: the output was detached, or the module ran under torch.no_grad(); allowed: a "
            "forward pass that autograd follows"
        )


def _check_factor(factor: Any) -> None:
    """Refuse what the loss of a sample cannot count."""
    if factor is not None and not _positive(factor):
        raise LocalDFAError(f"factor: {quoted(factor)}; allowed: a number above 0")


def _known(tensor: Tensor) -> Tensor:
    """A tensor of a type that NumPy has."""
    return tensor.float() if tensor.is_floating_point() and tensor.dtype not in _OF_NUMPY else tensor


def _positive(value: Any) -> bool:
    """Whether a value is a finite number above 0."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < value < float("inf")  # type: ignore[operator]


def _check_alone(model: nn.Module, places: Mapping[str, nn.Module]) -> None:
    """No learner of another model has its hooks in this one, and none will have those of this one in its own."""
    for other in list(_hooked):
        if other.model is model:
            raise SpecError("model: it has a learner already; allowed: after its `remove()`")
        theirs = set(other.model.modules())
        common = [name for name, module in places.items() if module in theirs]
        if common := common + [name for name, module in model.named_modules() if module in other.places]:
            what = repr(common[0]) if common[0] else "it"
            raise SpecError(
                f"model: {what} is part of another module that has a learner, and the taps of the one would cut the graph of "
                f"the other; allowed: after the `remove()` of that learner"
            )


def _key(name: str) -> str:
    """The name of a tap's matrix; PyTorch allows no dots in names of parameters, nor names of methods of its dicts."""
    key = name.replace(".", "/")
    return f"/{key}" if hasattr(nn.ParameterDict, key) else key


def _moved(function: Callable[[Tensor], Tensor], drive: Tensor, signal: Tensor, rows: int, nudge: Nudge) -> Tensor:
    """−Δz/β, Δz = f(a − βc) − f(a) or half the difference of phases at ±β (the Discussion of Nøkland 2016)."""
    beta: Tensor | float = nudge.beta
    if nudge.relative:
        wide = torch.promote_types(signal.dtype, torch.float32)  # squares of small errors are zero in half precision
        axes = tuple(range(rows, signal.dim()))
        size = signal.to(wide).square().mean(axes, keepdim=True).sqrt() if axes else signal.to(wide).abs()
        beta = torch.where(size > 0, beta / size, 1.0)  # a sample without a signal has no current either
    current = (beta * signal).to(drive.dtype)
    lower = function(drive - current)
    if nudge.nudging == "one_sided":
        return (function(drive) - lower) / beta
    return (function(drive + current) - lower) / (2 * beta)


def _one_hot(target: Tensor | None, like: Tensor) -> Tensor:
    """The target in the shape of the output."""
    if target is None:
        raise LocalDFAError("target: 'drtp' sends it in place of the error; allowed: backward(loss, target)")
    if not isinstance(target, Tensor):
        raise LocalDFAError(f"target: {quoted(target)}; allowed: a tensor of class indices, or of the shape of the output")
    if target.shape == like.shape:
        return target.to(like.dtype)
    if target.shape != like.shape[:-1] or target.is_floating_point():
        raise LocalDFAError(
            f"target: of shape {tuple(target.shape)}; allowed for an output of shape {tuple(like.shape)}: class indices of "
            f"shape {tuple(like.shape[:-1])}, or its own shape"
        )
    classes = like.shape[-1]
    if strange := target[(target < 0) | (target >= classes) | (classes < 2)][:1].tolist():
        raise LocalDFAError(
            f"target: {strange[0]} is no index of {classes} classes; allowed: such, or an array of the shape of the output, "
            f"{tuple(like.shape)}, zero where there is no target"
        )
    return nn.functional.one_hot(target.long(), like.shape[-1]).to(like.dtype)


def _shared_axes(error: torch.Size, point: torch.Size, name: str) -> int:
    """How many leading axes the error and a tap share: of samples, and of tokens or points where both have them.

    The last axis of each is of features. An error with maps, of four axes, is sent as a whole.
    """
    most = 1 if len(error) > 3 else max(1, min(len(error), len(point)) - 1)
    shared = 0
    while shared < min(most, len(error), len(point)) and error[shared] == point[shared]:
        shared += 1
    if not shared:
        raise SpecError(
            f"taps: the error has the shape {tuple(error)}, tap {name!r} {tuple(point)}, and their first axes differ; "
            f"allowed: the same number of samples, or a `spread` that makes them so"
        )
    return shared


def _alignment(signal: Tensor, gradient: Tensor, rows: int) -> Alignment:
    """By samples; where the signal or the gradient is zero there is no angle."""
    ours, true = (tensor.reshape(-1, tensor.shape[rows:].numel()).double() for tensor in (signal, gradient))
    norms = ours.norm(dim=1) * true.norm(dim=1)
    cosines = ((ours * true).sum(1) / norms)[norms > 0]
    mean, sd = (cosines.mean().item(), cosines.std(correction=0).item()) if len(cosines) else (float("nan"),) * 2
    return Alignment(mean, sd, ours.norm().item(), true.norm().item(), _dimensions(ours), _dimensions(true))


def _dimensions(rows: Tensor) -> float:
    """(Σ σ²)² / Σ σ⁴ of a matrix, by the smaller of its two Gram matrices; NaN where all is zero."""
    gram = rows @ rows.mT if len(rows) < rows.shape[1] else rows.mT @ rows
    return (gram.trace().square() / gram.square().sum()).item()
