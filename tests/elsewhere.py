"""A device that is not the CPU, where there is no GPU: its tensors have values, and refuse what those of a GPU refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# What PyTorch calls it: a device of which it never looks at the numbers.
NAME = "meta"
_COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
# Of these, all but the first may lie on the CPU: they are indices.
_INDEXED = (
    torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
)  # fmt: skip


class _Elsewhere(Tensor):
    """A tensor whose numbers lie in `held`, on the CPU. NumPy makes no array of it, and it is mixed with none on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_Elsewhere":
        found = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=NAME,
            requires_grad=held.requires_grad,
        )  # fmt: skip
        found.held = held
        return found

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(function, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(function, args, kwargs or {})


@contextmanager
def elsewhere() -> Iterator[str]:
    """The name of a device on which PyTorch computes here."""
    with _Mode():
        yield NAME


def _called(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given, _ = tree_flatten((args, kwargs))
    tensors = [each for each in given if isinstance(each, Tensor)]
    there = [each for each in tensors if isinstance(each, _Elsewhere)]
    asked = None if kwargs.get("device") is None else torch.device(kwargs["device"]).type
    here = [each for each in tensors if not isinstance(each, _Elsewhere) and each.dim()]
    mixed = there and here and function not in _COPIES
    if mixed and not (function in _INDEXED and isinstance(args[0], _Elsewhere)):
        raise RuntimeError(f"{function}: expected all tensors to be on the same device, found {NAME} and cpu")
    if asked == NAME:
        kwargs = {**kwargs, "device": "cpu"}
    own = {id(each.held): each for each in there}
    result = function(*_held(args), **_held(kwargs))
    if asked == "cpu" or not (there or asked == NAME) or (function in _COPIES[:1] and not isinstance(args[0], _Elsewhere)):
        return result
    # What was changed in place is the tensor that it was.
    return tree_map(lambda each: _there(each, own) if isinstance(each, Tensor) else each, result)


def _there(held: Tensor, own: dict[int, _Elsewhere]) -> _Elsewhere:
    return own[id(held)] if id(held) in own else _Elsewhere(held)


def _held(given: Any) -> Any:
    return tree_map(lambda each: each.held if isinstance(each, _Elsewhere) else each, given)
