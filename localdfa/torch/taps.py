"""Taps in a module: hooks that cut its graph where signals come in, and what they saw in one forward pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from localdfa.errors import LocalDFAError, SpecError

# What a tap is under the local rule.
SINGLE = (
    "must be a non-linearity of single neurons, whose output has the shape of its input and is the same each time; allowed: "
    "such a module, as nn.Tanh, or rule 'dfa'"
)

Mode = Literal["learn", "prepare", "measure"]
_Dropout = nn.modules.dropout._DropoutNd


class Taps:
    """The hooks of some submodules, and the records of the last forward pass.

    names: of the submodules. output: the name of the submodule at whose output the error is taken, "" for the whole module.
    before: whether signals go to the input of a tap, which is then a non-linearity, or else to its output. cuts: whether what a
    tap gives goes on without its graph.

    points: of each tap reached, the tensor that a signal goes to, with its graph. activity: what it gives to those above.
    out: what the output submodule gave; error: the gradient of the loss there, once a backward pass has come by. leaves: of an
    example, by tap, the leaves at which the graph of those above ends. mode: ``learn``, and only forward passes in training
    mode that autograd follows are looked at; ``prepare``, for an example; ``measure``, and nothing is cut.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], output: str, before: bool, cuts: bool) -> None:
        self.model, self.names, self.output, self._before, self._cuts = model, tuple(names), output, before, cuts
        self.mode: Mode = "learn"
        self.forget()
        # Hooks stay out of graphs that are compiled, so each block between taps is compiled by itself.
        eager, modules = torch.compiler.disable, dict(model.named_modules())
        # A copy of the model has the same hooks: they do nothing there.
        self._modules = {name: modules[name] for name in ("", output, *self.names)}
        self._handles = [model.register_forward_pre_hook(_Hook(eager(self._begin)), with_kwargs=True)]
        for name in self.names:
            if before:
                self._handles.append(modules[name].register_forward_pre_hook(_Hook(eager(self._entering(name)))))
            self._handles.append(modules[name].register_forward_hook(_Hook(eager(self._leaving(name)))))
        self._handles.append(modules[output].register_forward_hook(_Hook(eager(self._at_output))))
        self._handles.append(model.register_forward_hook(_Hook(eager(self._at_end))))
        # Which tensors of those that the module gives depend on taps past the output submodule.
        self.past: set[int] = set()
        self._listening = False

    def forget(self) -> None:
        """Let go of the last forward pass."""
        self.points: dict[str, Tensor] = {}
        self.activity: dict[str, Tensor] = {}
        self.leaves: dict[str, list[Tensor]] = {}
        self.out: Tensor | None = None
        self.error: Tensor | None = None
        self.asked = False  # whether inputs want a gradient, which then comes by one graph from the loss and from taps
        self._pass = object()
        self._twice: str | None = None
        self._strays: set[str] = set()  # where gradients came by that no tap hears of
        self._versions: dict[str, int] = {}  # of activity: whether it was changed in place since
        self._entered: dict[str, tuple[Tensor, int]] = {}  # what a non-linearity was called with, and its version

    def remove(self) -> None:
        """Take all hooks out of the module."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.forget()

    @property
    def are_in_place(self) -> bool:
        """Whether the module has the hooks still."""
        return bool(self._handles)

    @property
    def places(self) -> set[nn.Module]:
        """The submodules that have hooks, but for the module itself."""
        return {module for name, module in self._modules.items() if name}

    @property
    def output_said(self) -> str:
        """The output submodule as messages call it."""
        return f"{self.output!r}" if self.output else "the module"

    def check_there(self) -> None:
        """Refuse a module from which the taps have been removed."""
        if not self._handles:
            raise LocalDFAError("the taps have been taken out of the module; allowed: before `remove()`")

    def check_reached(self) -> None:
        """Refuse a forward pass in which a tap was not reached, or it or the output twice, by `LocalDFAError`."""
        if self._twice is not None:
            what = f"tap {self._twice!r}" if self._twice in self.names else f"output {self._twice!r}"
            raise LocalDFAError(
                f"{what} was reached twice since the last step: its module stands at several places, or the "
                f"model ran twice; allowed: a module of its own for each place, and one forward pass before each backward"
            )
        for name in self.names:
            if name not in self.points:
                raise LocalDFAError(
                    f"tap {name!r} was not reached; allowed: a forward pass of the whole module in training mode "
                    f"(model.train()) before each backward, one backward of the sum of all losses of that pass, and no pass of "
                    f"a compiled module before it got its taps"
                )

    def check_passed(self) -> None:
        """Refuse a forward pass that signals could not go back through.

        Raises
        ------
        LocalDFAError
            The taps have been removed; one was not reached, or twice, or what it gave was changed in place.
        """
        self.check_there()
        self.check_reached()
        for name in self.names:
            if self._cuts and self.activity[name]._version != self._versions[name]:
                raise LocalDFAError(
                    f"what tap {name!r} gives was changed in place by an operation behind it; allowed: that operation with "
                    f"inplace=False, or x = x + y in place of x += y"
                )
        for name, (drive, version) in self._entered.items():
            if drive._version != version:
                raise LocalDFAError(
                    f"the input of tap {name!r} was changed in place by an operation behind it; allowed: x = x + y in place of "
                    f"x += y"
                )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A backward pass whose gradients are heard; those that came by before are let go of."""
        self.error, self._strays, self._listening = None, set(), True
        try:
            yield
        finally:
            self._listening = False

    def sent_back(self, alone: bool = True) -> Tensor:
        """The error, once a backward pass has come by; alone: whether the loss is to depend on nothing beside it.

        Raises
        ------
        LocalDFAError
            The loss depends on an earlier forward pass, on other tensors than the first that the output gives, or not on it.
        """
        if "earlier" in self._strays:
            raise LocalDFAError(
                "the loss depends on an earlier forward pass than the last; allowed: one forward pass, of all samples, before "
                "each backward"
            )
        if "past" in self._strays and alone:
            raise LocalDFAError(
                f"the loss depends on a tensor that the module gives and that depends on taps past {self.output_said}, whose "
                f"error alone is sent; allowed: a loss of what comes of {self.output_said}, or as `output` a submodule through "
                f"which all goes"
            )
        if "beside" in self._strays and alone:
            raise LocalDFAError(
                f"the loss depends on another tensor than the first that {self.output_said} gives, whose error alone is sent; "
                f"allowed: as `output` a submodule that gives one tensor"
            )
        if self.error is None:
            raise LocalDFAError(f"the loss does not depend on what {self.output_said} gives, where the error is taken")
        return self.error

    @contextmanager
    def passing(self, mode: Mode) -> Iterator[None]:
        """A forward pass in training mode that leaves buffers, modes, random numbers and records as they were."""
        model, before = self.model, dict(vars(self))
        buffers = [
            (module, name, buffer, None if buffer is None or _expanded(buffer) else buffer.clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is None or not is_lazy(buffer)
        ]
        modes = [(module, module.training) for module in model.modules()]
        devices = {tensor.device.index for tensor in [*model.parameters(), *model.buffers()] if tensor.device.type == "cuda"}
        self.forget()
        self.mode = mode
        try:
            with torch.random.fork_rng(devices=devices), torch.enable_grad():
                if not model.training:  # else there may be parts that are kept in evaluation mode, as frozen batch-norm
                    model.train()
                if mode == "prepare":  # a mask is drawn, and made of no activity: on some devices the graph does not say so
                    of_taps = {part for name in self.names for part in self._modules[name].modules()}
                    for module in {*model.modules()} - of_taps:
                        module.training &= not isinstance(module, _Dropout)
                yield
        finally:
            vars(self).update(before)
            for module, training in modes:
                module.training = training
            for module, name, buffer, value in buffers:
                if buffer is not None and value is not None:
                    buffer.data.copy_(value)  # unseen by a graph that waits for its backward pass
                setattr(module, name, buffer)

    def _looks(self, name: str, module: nn.Module) -> bool:
        """Whether this forward pass is one to look at."""
        own = self._modules.get(name) is module
        return own and torch.is_grad_enabled() and (self.mode != "learn" or (self.model.training and self._cuts))

    @property
    def _cutting(self) -> bool:
        return self._cuts and self.mode != "measure"

    def _begin(self, module: nn.Module, args: Any, named: Any) -> None:
        if self._looks("", module):
            self.forget()
            self.asked = any(tensor.requires_grad for tensor in tensors((args, named)))

    def _entering(self, name: str) -> Callable[[nn.Module, Any], Any]:
        """A non-linearity is called with a drive without its graph, so nothing is differentiated there."""

        def hook(module: nn.Module, args: Any) -> Any:
            if not self._looks(name, module):
                return None
            if len(args) != 1 or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
                raise SpecError(f"taps: under 'local' {name!r} {SINGLE}")
            self._reach(name, args[0])
            if not self._cutting:
                return None
            drive = _detached(args[0], None)
            self._entered[name] = drive, drive._version
            return (drive,)

        return hook

    def _leaving(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        """What a tap gives goes on without its graph, so that no gradient comes back from above."""

        def hook(module: nn.Module, args: Any, given: Any) -> Any:
            if not self._looks(name, module):
                return None
            if not self._before:
                self._reach(name, first(given, f"taps: {name!r}"))
            if not self._cutting:
                return None
            if self._before:
                drive, version = self._entered[name]
                if drive._version != version:
                    raise SpecError(
                        f"taps: {name!r} changes its input in place, and the local rule reads that again; allowed: "
                        f"inplace=False"
                    )
            cut = _detached(given, self.leaves.setdefault(name, []) if self.mode == "prepare" else None)
            self.activity[name] = first(cut, f"taps: {name!r}")
            self._versions[name] = self.activity[name]._version
            return cut

        return hook

    def _at_output(self, module: nn.Module, args: Any, given: Any) -> Any:
        if not self._looks(self.output, module):
            return None
        if self.out is not None:
            self._twice = self.output
        self.out = first(given, f"output: {self.output_said}")
        if self.mode == "prepare":
            return None
        if not self.out.requires_grad and self.out.is_floating_point():
            # Nothing above the taps learns, but the error is wanted; a copy, for a leaf could not be changed in place.
            self.out = self.out.detach().requires_grad_().clone()
            given = self.out if isinstance(given, Tensor) else _alike(given, [self.out, *given[1:]])
        if self.out.requires_grad:
            self.out.register_hook(partial(self._keep, self._pass))
        for other in tensors(given):
            if other is not self.out and other.requires_grad:
                other.register_hook(partial(self._stray, "beside", self._pass))
        return given

    def _at_end(self, module: nn.Module, args: Any, given: Any) -> None:
        """What the module gives may be what no signal may come from."""
        own = self._modules[""] is module and torch.is_grad_enabled() and self.mode == "learn" and self._cuts
        for k, tensor in enumerate(tensors(given) if own else ()):
            if tensor.requires_grad and not self.model.training:
                tensor.register_hook(self._evaluated)
            elif tensor.requires_grad and k in self.past:
                tensor.register_hook(partial(self._stray, "past", self._pass))

    def _evaluated(self, gradient: Tensor) -> None:
        if self._listening:
            raise LocalDFAError(
                "the loss depends on a forward pass in evaluation mode, where taps do nothing and all would learn by "
                "back-propagation; allowed: one in training mode (model.train()), or that pass under torch.no_grad()"
            )

    def _keep(self, of_pass: object, gradient: Tensor | None) -> None:
        if of_pass is self._pass:
            self.error = gradient
        elif gradient is not None:
            self._strays.add("earlier")

    def _stray(self, where: str, of_pass: object, gradient: Tensor | None) -> None:
        if of_pass is self._pass and gradient is not None:
            self._strays.add(where)

    def _reach(self, name: str, point: Tensor) -> None:
        if name in self.points:
            self._twice = name
        self.points[name] = point


class _Hook:
    """A hook of a module. One that has been pickled with its module does nothing there, as the taps stay behind."""

    def __init__(self, hook: Callable[..., Any] | None = None) -> None:
        self._hook = hook

    def __call__(self, *arguments: Any) -> Any:
        return None if self._hook is None else self._hook(*arguments)

    def __deepcopy__(self, memo: Any) -> "_Hook":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, ()


def _expanded(tensor: Tensor) -> bool:
    """Whether several numbers of a tensor are one in memory, which cannot be written to."""
    if tensor.layout is not torch.strided:
        return False
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def tensors(given: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists, dicts and dataclasses."""
    if isinstance(given, Tensor):
        return [given]
    if is_dataclass(given) and not isinstance(given, Mapping):
        given = vars(given)
    parts = given.values() if isinstance(given, Mapping) else given if isinstance(given, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def fresh(example: Any) -> Any:
    """An example whose dense floating-point tensors have a gradient, so that the graph above them can be followed."""
    if isinstance(example, Tensor):
        tensor = example.detach()
        dense = tensor.is_floating_point() and tensor.layout is torch.strided
        return tensor.clone().requires_grad_() if dense else tensor
    if isinstance(example, Mapping):
        return {key: fresh(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return _alike(example, [fresh(value) for value in example])
    return example


def called(model: nn.Module, inputs: Any) -> Any:
    """What a module gives of a tensor, a tuple of arguments or a dict of named ones."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


def first(given: Any, what: str) -> Tensor:
    """What a module gives, or the first of several tensors."""
    first = given[0] if isinstance(given, tuple | list) and given else given
    if not isinstance(first, Tensor):
        found = type(given).__name__ if first is given else f"{type(given).__name__} of {type(first).__name__}"
        raise SpecError(f"{what} gives {found}; allowed: a tensor, or a tuple that begins with one")
    return first


def _detached(given: Any, leaves: list[Tensor] | None) -> Any:
    """The same tensors without their graph; with a list of leaves, copies of leaves that are put there."""
    if isinstance(given, Tensor):
        cut = given.detach()
        if leaves is None or not cut.is_floating_point():
            return cut
        leaves.append(cut.requires_grad_())
        return cut.clone()
    if isinstance(given, tuple | list):
        return _alike(given, [_detached(part, leaves) for part in given])
    return given


def _alike(given: Any, parts: list[Any]) -> Any:
    """A tuple, named or not, or a list of the type of another."""
    return type(given)(*parts) if hasattr(given, "_fields") else type(given)(parts)
