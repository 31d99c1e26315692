"""What a signal at one tensor teaches: the parameters that autograd reaches from there, and what it passes on its way.

The names of autograd's nodes say what an operation is. One that is not known here counts as a non-linearity, so that nothing
is called local that may not be.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

# Operations that rearrange, select, sum or scale: linear, with no weights of their own. Max-pooling hands a value on as it is.
_STRUCTURE = frozenset(
    {
        "AdaptiveAvgPool2D", "Add", "Alias", "AsStrided", "AvgPool1D", "AvgPool2D", "AvgPool3D", "Cat", "Clone",
        "ConstantPadNd", "Copy", "CopySlices", "Diagonal", "Div", "Expand", "Flip", "FusedDropout", "Gather", "Index",
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
# Of these, and of products by elements, the last two operands are multiplied.
_PRODUCTS = frozenset({"Addbmm", "Addmm", "Addmv", "Baddbmm", "Bmm", "Dot", "Mm", "Mul", "Mv", "SparseAddmm"})
# Which operands may be weights, where others are biases.
_WEIGHTS = {"Convolution": slice(0, 2), "MkldnnConvolution": slice(0, 2), **dict.fromkeys(_PRODUCTS, slice(-2, None))}
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


def reach(tensors: Sequence[Tensor], parameters: Mapping[int, str], ends: Mapping[int, str], own: bool) -> Reach:
    """Follow the graph of some tensors down to its leaves. Parameters that only scale single values are no weights.

    parameters: names by id; ends: the same of leaves that bring activity, inputs and what taps give. own: whether the first
    non-linearity on a way is that of the very neurons that get the signal.
    """
    nodes = _in_order([tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None])
    active = _active(nodes, ends)
    # On the ways to each node: what is passed, and whether a non-linearity or weights have been.
    passed: dict[Any, frozenset[str]] = {node: frozenset() for node in nodes}
    beyond = dict.fromkeys(nodes, not own)
    found = Reach({}, set())
    for node in nodes:
        leaf = id(getattr(node, "variable", None))
        if leaf in parameters:
            name = parameters[leaf]
            found.passed[name] = found.passed.get(name, frozenset()) | passed[node]
        elif leaf in ends:
            found.cuts.add(ends[leaf])
        kind, operands = _kind(node), [child for child, _ in node.next_functions]
        bends = active[node] and not _linear(kind, [child is not None and active[child] for child in operands])
        here = passed[node] | {f"<{kind}>"} if bends and (beyond[node] or kind not in _ELEMENTWISE) else passed[node]
        mixing = [] if kind in _SINGLE | _WITHIN else operands[_WEIGHTS.get(kind, slice(None))]
        weights = {name for child in mixing if child and not active[child] for name in _parameters(child, parameters)}
        for child in filter(None, operands):
            through = active[child] and bool(weights)
            passed[child] |= weights if through else set()
            passed[child] |= passed[node] if kind in _WITHIN and not active[child] else here
            beyond[child] |= beyond[node] or bends or through
    return found


def _linear(kind: str, operands: Sequence[bool]) -> bool:
    """Whether an operation is linear in activity; operands: which of them depend on any, in the operation's own order."""
    if kind in _PRODUCTS:
        return not all(operands[-2:]) or len(operands) == 1
    if kind == "Div":
        return not operands[-1] or len(operands) == 1
    return kind in _STRUCTURE or kind in _PROJECTIONS or kind in _NORMALISATIONS


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


def _active(nodes: Sequence[Any], ends: Mapping[int, str]) -> dict[Any, bool]:
    """Whether a node depends on activity: on an end, or on an embedding of what came in as whole numbers."""
    active: dict[Any, bool] = {}
    for node in reversed(nodes):
        own = id(getattr(node, "variable", None)) in ends or _kind(node).startswith("Embedding")
        active[node] = own or any(active[child] for child, _ in node.next_functions if child is not None)
    return active


def _parameters(root: Any, parameters: Mapping[int, str]) -> set[str]:
    """The names of the parameters below a node."""
    leaves = [id(getattr(node, "variable", None)) for node in _in_order([root])]
    return {parameters[leaf] for leaf in leaves if leaf in parameters}
