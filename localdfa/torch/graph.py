"""What a signal at one tensor teaches: the parameters that autograd reaches from there, and what it passes on its way.

The names of autograd's nodes say what an operation is. One that is not known here counts as a non-linearity, so that nothing
is called local that may not be.
"""

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Operations that rearrange, select, sum or scale: linear, with no weights of their own. Max-pooling hands a value on as it is.
# CopySlices is none: an operation in place on a part of a tensor, of any kind, hides behind it.
_STRUCTURE = frozenset(
    {
        "AdaptiveAvgPool2D", "Add", "Alias", "AsStrided", "AvgPool1D", "AvgPool2D", "AvgPool3D", "BackwardHookFunction",
        "Cat", "Clone", "ConstantPadNd", "Copy", "Diagonal", "Div", "Expand", "Flip", "FusedDropout", "Gather", "Index",
        "IndexAdd", "IndexPut", "IndexSelect", "MaxPool2DWithIndices", "MaxPool3DWithIndices", "Mean", "Mul", "NativeDropout",
        "Neg", "Permute", "PixelShuffle", "Repeat", "ReshapeAlias", "Roll", "ScatterAdd", "ScatterReduce", "Select", "Slice",
        "Split", "SplitWithSizes", "Squeeze", "Stack", "Sub", "Sum", "T", "ToCopy", "Transpose", "Tril", "Triu", "Unbind",
        "Unfold", "UnsafeSplit", "UnsafeView", "Unsqueeze", "UpsampleNearest2D", "View",
    }
)  # fmt: skip
# Operations with weights that mix what comes in.
_PROJECTIONS = frozenset(
    {
        "Addbmm", "Addmm", "Addmv", "Baddbmm", "Bmm", "Convolution", "Dot", "Embedding", "EmbeddingBag", "Linear",
        "MkldnnConvolution", "Mm", "Mv", "SparseAddmm", "SparseMm", "SparseMmReduceImpl", "SparseSampledAddmm",
    }
)  # fmt: skip
# Of these, and of products by elements, the operands that are multiplied, where others are biases.
_FACTORS = {
    **dict.fromkeys(("Convolution", "Linear", "MkldnnConvolution"), slice(0, 2)),
    **dict.fromkeys(("Addbmm", "Addmm", "Addmv", "Baddbmm", "SparseAddmm", "SparseSampledAddmm"), slice(-2, None)),
    **dict.fromkeys(("Bmm", "Dot", "EmbeddingBag", "Mm", "Mul", "Mv", "SparseMm", "SparseMmReduceImpl"), slice(None)),
}
# Operations that pick rows of a table by indices, which autograd does not see.
_LOOKUPS = frozenset({"Gather", "Index", "IndexSelect"})
# Normalisation over the mini-batch: linear in a neuron's drive, given its moments.
_NORMALISATIONS = frozenset({"CudnnBatchNorm", "MiopenBatchNorm", "NativeBatchNorm"})
# Normalisation within a sample: non-linear, but its own parameters come behind.
_WITHIN = frozenset({"FusedRmsNorm", "NativeGroupNorm", "NativeLayerNorm"})
# Non-linearities of single neurons.
_ELEMENTWISE = frozenset(
    {
        "Abs", "Atan", "Celu", "Clamp", "ClampMax", "ClampMin", "Cos", "Elu", "Erf", "Exp", "Expm1", "Gelu", "Hardshrink",
        "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyRelu", "Log", "Log1P", "LogSigmoid", "Mish", "Pow", "PreluKernel", "Relu",
        "RreluWithNoise", "Sigmoid", "Sign", "Silu", "Sin", "Softplus", "Softshrink", "Sqrt", "Tanh", "Threshold",
    }
)  # fmt: skip
# Operations through which each value goes by itself, though a parameter may scale it.
_SINGLE = _STRUCTURE | _NORMALISATIONS | _ELEMENTWISE


class Reach(NamedTuple):
    """What lies below some tensors.

    passed: each parameter that is reached, by name, with what a signal passes before it: weights of others, and non-linearities
    in angle brackets. cuts: the names of the ends that the tensors depend on.
    """

    passed: dict[str, frozenset[str]]
    cuts: set[str]


def constants(tensors: Sequence[Tensor]) -> set[int]:
    """Where tensors lie in memory of which it is known that they are no activity of this pass."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.layout is torch.strided}


def goes_past(tensor: Tensor, out: Tensor, ends: Mapping[int, str]) -> bool:
    """Whether a tensor depends on an end, of those that have names, by a way that does not go through `out`."""
    seen, waiting = {out.grad_fn}, [] if tensor is out else [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if ends.get(id(getattr(node, "variable", None))):
            return True
        waiting += [child for child, _ in node.next_functions]
    return False


def reach(
    tensors: Sequence[Tensor], parameters: Mapping[int, str], ends: Mapping[int, str], own: bool, known: set[int]
) -> Reach:  # fmt: skip
    """Follow the graph of some tensors down to its leaves. Parameters that only scale single values are no weights.

    parameters: names by id; ends: the same of leaves that bring activity, inputs and what taps give. own: whether the first
    non-linearity on a way is that of the very neurons that get the signal. known: `constants`.
    """
    nodes = _in_order([tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None])
    activity = _activity(nodes, ends)
    # On the ways to each node: what is passed, whether a non-linearity or weights have been; and whether it makes weights.
    passed: dict[Any, frozenset[str]] = {node: frozenset() for node in nodes}
    beyond, weighs = dict.fromkeys(nodes, not own), dict.fromkeys(nodes, True)
    for tensor in tensors:
        weighs[tensor.grad_fn] = False
    found = Reach({}, set())
    for node in nodes:
        leaf = id(getattr(node, "variable", None))
        if leaf in parameters:
            name = parameters[leaf]
            found.passed[name] = found.passed.get(name, frozenset()) | passed[node]
        elif leaf in ends:
            found.cuts.add(ends[leaf])
        kind, operands = _kind(node), [child for child, _ in node.next_functions]
        bring = [False] * len(operands) if weighs[node] else _bringing(kind, operands, activity)
        bends = any(bring) and (not _linear(node, kind, bring) or _gated(node, kind, known))
        here = passed[node] | {f"<{kind}>"} if bends and (beyond[node] or kind not in _ELEMENTWISE) else passed[node]
        mixing = (
            []
            if kind in _SINGLE | _WITHIN and not _widening(node, kind, bring)
            else list(zip(operands, bring, strict=True))[_FACTORS.get(kind, slice(None))]
        )
        weights = {name for child, brings in mixing if child and not brings for name in _parameters(child, parameters)}
        for child, brings in zip(operands, bring, strict=True):
            if child is None:
                continue
            through = brings and bool(weights)
            passed[child] |= weights if through else set()
            passed[child] |= passed[node] if kind in _WITHIN and not brings else here
            beyond[child] |= beyond[node] or bends or through
            weighs[child] &= not brings
    return found


def _bringing(kind: str, operands: Sequence[Any], activity: Mapping[Any, int]) -> list[bool]:
    """Which operands bring activity. Of those multiplied, what surely does makes weights of what only may."""
    levels = [0 if child is None else activity[child] for child in operands]
    if kind not in _FACTORS and kind != "Div":
        return [level > 0 for level in levels]
    unseen = kind in _PROJECTIONS and None in operands[_FACTORS.get(kind, slice(None))]
    return [level == max(levels) and level > unseen for level in levels]


def _widening(node: Any, kind: str, bring: Sequence[bool]) -> bool:
    """Whether a product by elements gives more values than activity has: summed later, they are a projection."""
    if kind != "Mul":
        return False
    brought = [child._input_metadata[k].shape for (child, k), brings in zip(node.next_functions, bring, strict=True) if brings]
    return any(prod(node._input_metadata[0].shape) > prod(shape) for shape in brought)


def _linear(node: Any, kind: str, bring: Sequence[bool]) -> bool:
    """Whether an operation is linear in activity; bring: which operands depend on any, in the operation's own order."""
    if kind in _FACTORS:
        return sum(bring[_FACTORS[kind]]) < 2
    if kind == "Div":
        return (not bring[-1] or len(bring) == 1) and not getattr(node, "_saved_rounding_mode", None)
    if kind == "ScatterReduce":
        return bool(node._saved_reduce != "prod")
    if kind in _NORMALISATIONS:
        # Of one sample it is one within it, and so InstanceNorm has it: the channels of all samples as those of one.
        return not node._saved_training or bool(node._saved_input.shape[0] > 1)
    return kind in _STRUCTURE or kind in _PROJECTIONS


def _gated(node: Any, kind: str, known: set[int]) -> bool:
    """Whether activity is multiplied by numbers, or replaced where a mask says so, which may have been made of activity: a
    comparison and what was detached come without a graph. One number for all is taken as a constant."""
    if kind == "IndexPut":
        return any(index is not None and index.dtype is torch.bool for index in node._saved_indices)
    if kind not in ("Mul", "Div"):
        return False
    # A product with a plain number, as attention without a fused kernel has it, saves no tensor.
    saved = [getattr(node, "_saved_self", None) if kind == "Mul" else None, node._saved_other]
    return any(
        child is None and isinstance(other, Tensor) and other.dim() > 0 and other.untyped_storage().data_ptr() not in known
        for (child, _), other in zip(node.next_functions, saved, strict=False)
    )


def _kind(node: Any) -> str:
    """What an operation is: "Addmm" of a node that calls itself AddmmBackward0."""
    return re.sub(r"Backward\d*$", "", node.name().rsplit("::", 1)[-1])


def _in_order(roots: Sequence[Any]) -> list[Any]:
    """All nodes below, each after all that lead to it."""
    seen, order = set(), []
    stack = [(root, False) for root in roots]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(child, False) for child, _ in node.next_functions if child is not None and child not in seen]
    return order[::-1]


def _activity(nodes: Sequence[Any], ends: Mapping[int, str]) -> dict[Any, int]:
    """Whether a node depends on activity: 2 on an end, or on an embedding of what came in as whole numbers; 1 on something else
    that autograd does not follow, which may be activity: a sparse input, one that was detached, a constant; 0 on none."""
    activity: dict[Any, int] = {}
    for node in reversed(nodes):
        kind, operands = _kind(node), [child for child, _ in node.next_functions]
        surely = id(getattr(node, "variable", None)) in ends or kind.startswith("Embedding")
        unseen = kind in _LOOKUPS or None in operands[_FACTORS.get(kind, slice(None))]
        activity[node] = 2 if surely else max([int(unseen), *(activity[child] for child in operands if child is not None)])
    return activity


def _parameters(root: Any, parameters: Mapping[int, str]) -> set[str]:
    """The names of the parameters below a node."""
    leaves = [id(getattr(node, "variable", None)) for node in _in_order([root])]
    return {parameters[leaf] for leaf in leaves if leaf in parameters}
