"""Parameters of the neurons of a population: the same for all of them, or a row of their own for each."""

from functools import cache
from typing import Any

from numba.core import config
from numba.np.unsafe.ndarray import to_fixed_tuple

from localdfa.core.compiled import always_inline

# The first entries of an array as a tuple, which kernels can make of a number of them that is known as they are compiled.
_plain = getattr(config, "DISABLE_JIT")  # noqa: B009
first_of: Any = (lambda values, number: tuple(values[:number])) if _plain else to_fixed_tuple


@cache
def parameters_of(neuron: Any, varied: tuple[str, ...]) -> Any:
    """The function that gives the parameters of neuron i of a population.

    varied: the names of those that differ from neuron to neuron. Where there are any, its argument `rows` (n, F) has all
    parameters of each neuron, in the order of the model's; else it gives p, the parameters of all of them.
    """
    number = len(neuron._fields)
    if varied:

        @always_inline
        def of_one(p, rows, i):
            return neuron(*first_of(rows[i], number))

    else:

        @always_inline
        def of_one(p, rows, i):
            return p

    return of_one
