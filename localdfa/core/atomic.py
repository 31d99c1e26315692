"""Counters that several threads of a kernel share, and by which they wait for one another."""

import threading
import time
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic, overload

# What gives the processor to another thread of the system, by the names that it has in systems' libraries.
_YIELDS = next((name for name in ("sched_yield", "SwitchToThread") if binding.address_of_symbol(name)), None)
# Of Python's own threads, where kernels are not compiled.
_lock = threading.Lock()


def fetch_add(counters, index, amount):
    """Add to counters[index], of one dimension and 64 bits, and return what it was before; all that a thread has written before
    is seen by those that then read the new count."""
    with _lock:
        before = counters[index]
        counters[index] += amount
        return before


def give_way():
    """Let another thread of the system have the processor."""
    time.sleep(0)


@intrinsic
def _fetch_add(typing: Any, counters: Any, index: Any, amount: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        found = context.make_array(signature.args[0])(context, builder, given[0])
        return builder.atomic_rmw("add", builder.gep(found.data, [given[1]]), given[2], "seq_cst")

    return types.int64(counters, types.int64, types.int64), generate


@intrinsic
def _give_way(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if _YIELDS:
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(builder.module.globals.get(_YIELDS) or ir.Function(builder.module, kind, _YIELDS), [])
        return context.get_dummy_value()

    return types.void(), generate


@overload(fetch_add)
def _compiled_fetch_add(counters, index, amount):
    return lambda counters, index, amount: _fetch_add(counters, index, amount)  # type: ignore[call-arg]


@overload(give_way)
def _compiled_give_way():
    return lambda: _give_way()  # type: ignore[call-arg]
