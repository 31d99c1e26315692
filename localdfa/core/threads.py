"""How many of Numba's threads a piece of work is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

from numba import get_num_threads, set_num_threads

# Multiplications of a mini-batch in its forward pass, below which one thread learns it: at the end of every kernel threads wait
# for one another, microseconds, and milliseconds where other processes want the processor. On two cores with nothing else on
# them two threads are faster at any size, by less than a tenth below this one, by half from a million on.
FEW = 100_000


@contextmanager
def worth(multiplications: int) -> Iterator[None]:
    """One thread for work that is small, else those that there are; any number of them gives the same bits."""
    there = get_num_threads()
    if multiplications >= FEW or there == 1:
        yield
        return
    set_num_threads(1)
    try:
        yield
    finally:
        set_num_threads(there)
