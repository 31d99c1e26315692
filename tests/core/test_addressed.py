"""Functions that kernels call by address: one kernel serves them all, and gives what each of them gives."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import types
from numba.core import errors

from localdfa.core.addressed import VECTOR, by_address
from localdfa.core.compiled import compiled, device

WRITES = by_address(types.void(VECTOR, VECTOR))
GIVES = by_address(types.float64(types.float64, types.float64))
write, give = WRITES.call, GIVES.call


@device
def squares(x, out):
    for i in range(x.size):
        out[i] = x[i] * x[i]


@device
def halves(x, out):
    for i in range(x.size):
        out[i] = x[i] / 2


@device
def larger(a, b):
    return max(a, b)


@device
def whether_equal(a, b):
    return 1 if a == b else 0  # an integer, which becomes a number as the signature has it


@compiled(error_model="numpy")
def ends(writes, gives, x):
    out = np.zeros(x.size)
    write(writes, x, out)
    return give(gives, out[0], out[-1]), out


@pytest.mark.parametrize("write_by", [squares, halves])
@pytest.mark.parametrize("give_by", [larger, whether_equal])
def test_a_kernel_calls_what_it_is_given(write_by, give_by, rng):
    x = rng.normal(size=5)
    expected = np.zeros(5)
    write_by(x, expected)
    found, out = ends(WRITES.address(write_by), GIVES.address(give_by), x)
    np.testing.assert_array_equal(out, expected)
    assert found == give_by(expected[0], expected[-1])


def test_it_is_compiled_once_for_all_of_them():
    for write_by in (squares, halves):
        for give_by in (larger, whether_equal):
            ends(WRITES.address(write_by), GIVES.address(give_by), np.ones(3))
    assert len(getattr(ends, "overloads", [0])) == 1


def test_arguments_of_another_type_are_an_error():
    @compiled()
    def of_integers(gives):
        return give(gives, 1, 2)

    with pytest.raises(errors.TypingError, match="called by address is given"):
        of_integers(GIVES.address(larger))


def test_without_compiled_code_it_is_the_function():
    program = (
        "import numpy as np, test_addressed as t; x = np.arange(4.0); "
        "assert t.WRITES.address(t.squares) is t.squares; "
        "found, out = t.ends(t.WRITES.address(t.squares), t.GIVES.address(t.larger), x); "
        "assert found == 9 and (out == x * x).all()"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.path.dirname(__file__)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
