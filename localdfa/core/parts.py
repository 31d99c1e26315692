"""How functions are compiled that only kernels call: as parts, of which the kernel that they end up in makes machine code.

Numba optimises each function with all that it calls and turns it into machine code, also where no one can call it but a
function that is compiled next, with which all is done once more: what is called over six levels goes through LLVM six times. A
part is left as it comes out of Numba's own passes; the kernel at the top optimises it with all the others, once. That takes a
tenth to a third off the time in which kernels of spiking neurons are compiled, and they are as fast.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _Unplaced:
    """Stands for Numba's code generator where Numba looks for the address of a function's globals: a part has none.

    They would be for Python objects, of which kernels use none; those of kernels from disk have none either.
    """

    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Where Numba would write the address of a function's globals."""


class _Part(JITCodeLibrary):
    """The code of a function that waits to be linked; the methods are Numba's own."""

    @property
    def codegen(self) -> Any:
        return _Unplaced

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class PartCompiler(Compiler):
    """Numba's compiler, which leaves what it compiles as a part: `pipeline_class` of `njit`."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, *rest: Any) -> None:
        super().__init__(typingctx, targetctx, library or _Part(targetctx.codegen(), "part"), *rest)
