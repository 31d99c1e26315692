"""The natural logarithm as a series, which is worked out for several numbers at once and has the same bits everywhere.

x = 2^k f with f from √½ to √2, and with s = (f − 1)/(f + 1) ln f = 2 (s + s³/3 + s⁵/5 + …), of which eleven terms are exact to
rounding, as |s| ≤ 0.172. A loop over `math.log` is one over calls of a library, each of which takes as long as four of these.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from localdfa.core.compiled import always_inline

# The bits of √½, and those of a double that are its sign and exponent; how many are its mantissa.
_HALF, _EXPONENT, _MANTISSA = np.int64(0x3FE6A09E667F3BCD), np.int64(-(2**52)), np.int64(52)
_LN2 = math.log(2)


def logarithm(x):
    """ln x of a positive, normal number in float64."""
    return math.log(x)


@intrinsic
def _bits(typing: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _of_bits(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.DoubleType())

    return types.float64(types.int64), generate


@always_inline
def _series(x):
    bits: Any = _bits(x)  # type: ignore[call-arg]
    exponent = (bits - _HALF) & _EXPONENT
    f: Any = _of_bits(bits - exponent)
    s = (f - 1) / (f + 1)
    z = s * s
    far = 1 / 11 + z * (1 / 13 + z * (1 / 15 + z * (1 / 17 + z * (1 / 19 + z / 21))))
    near = 1 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * far))))
    return float(exponent >> _MANTISSA) * _LN2 + 2 * s * near


@overload(logarithm, inline="always")
def _compiled(x):
    return lambda x: _series(x)
