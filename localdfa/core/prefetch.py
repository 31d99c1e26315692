"""Asking for memory before it is needed: rows of synapses lie anywhere, and to wait for one takes as long as to work it off."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

# Bytes that memory hands over at once, on nearly all machines.
LINE = 64


def prefetch(array, index):
    """Ask for array[index], of one dimension, without waiting for it; nothing else happens, wherever the index lies."""


@intrinsic
def _prefetch(typing: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        found = context.make_array(signature.args[0])(context, builder, given[0])
        place = builder.bitcast(builder.gep(found.data, [given[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(function, [place, number(0), number(2), number(1)])  # to be read, into the second cache, data
        return context.get_dummy_value()

    return types.void(array, index), generate


@overload(prefetch)
def _compiled(array, index):
    return lambda array, index: _prefetch(array, index)  # type: ignore[call-arg]
