"""Functions of models that kernels call by address, so that one kernel serves them all.

What a kernel closes over is compiled into it, and is fastest there; but with each other function all of the kernel is compiled
anew, which takes many seconds. A function that is called a few times a trial is compiled alone, and the kernel is given where
its code lies. Without compiled code, the function stands for its address.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from numba import types
from numba.core import cgutils, config, errors, typing
from numba.extending import intrinsic, overload

from localdfa.core import foreign
from localdfa.core.compiled import kernel

# An array of one dimension whose numbers lie side by side.
VECTOR = types.Array(types.float64, 1, "C")


class ByAddress(NamedTuple):
    """How functions of one signature are called by address.

    call: ``call(address, *arguments)``, in kernels and in Python. Arguments of other types are an error when it is compiled.
    """

    signature: typing.Signature
    call: Callable[..., Any]

    def address(self, function: Any) -> Any:
        """Where the code of a `device` function lies; it is compiled the first time, or taken from disk."""
        if getattr(config, "DISABLE_JIT"):  # noqa: B009  (Numba defines it at run time)
            return function
        return _compiled(function, self.signature)[1]


def by_address(signature: typing.Signature) -> ByAddress:
    """How functions of a signature are called; made where modules are imported, because kernels on disk know what it closes
    over by the sources of the package alone."""
    returns, arguments = signature.return_type, signature.args

    @intrinsic
    def go(context: Any, address: Any, given: Any) -> Any:
        if tuple(given) != arguments:
            raise errors.TypingError(f"a function called by address is given {tuple(given)} in place of {arguments}")

        def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
            kind = context.call_conv.get_function_type(returns, arguments)
            place, handed = builder.inttoptr(values[0], kind.as_pointer()), cgutils.unpack_tuple(builder, values[1])
            status, result = context.call_conv.call_function(builder, place, returns, arguments, handed)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return result

        return returns(types.intp, given), generate

    def call(address, *given):
        return address(*given)

    @overload(call)
    def _compiled_call(address, *given):
        return lambda address, *given: go(address, given)  # type: ignore[call-arg]

    return ByAddress(signature, call)


@cache
def _compiled(function: Any, signature: typing.Signature) -> tuple[Any, int]:
    """A compiled function, which is kept because its code lies there only so long, and its address."""
    found = kernel(getattr(function, "py_func", function))
    with foreign.named(found, itself=True):
        found.compile(signature)
    code = found.overloads[signature.args]
    return found, code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
