"""What kernels of simulated trials call of the output and of the feedback pathway: a few times a trial, so by address."""

from typing import Any, NamedTuple

from numba import types

from localdfa.core.addressed import VECTOR, by_address

_PREDICT, _ERROR = by_address(types.void(VECTOR, VECTOR)), by_address(types.void(VECTOR, VECTOR, VECTOR))
_CARRIES = by_address(types.float64(types.float64, types.float64, types.float64))
# In kernels, with the address in `OutputHooks` before the other arguments.
predict_into, error_into, carries = _PREDICT.call, _ERROR.call, _CARRIES.call


class OutputHooks(NamedTuple):
    """Addresses of functions of the output and of the pathway."""

    predict_into: Any  # writes ŷ, given a_y or what is read of the output units
    error_into: Any  # writes e, given ŷ and the target
    carries: Any  # what the pathway sends back of one output unit, given ŷ, its target and e


def output_hooks(output: Any, pathway: Any) -> OutputHooks:
    """Those of models of the output and of the feedback pathway."""
    return OutputHooks(
        predict_into=_PREDICT.address(output.predict_into),
        error_into=_ERROR.address(output.error_into),
        carries=_CARRIES.address(pathway.carries),
    )
