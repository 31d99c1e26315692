"""How many of Numba's threads a piece of work is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

from numba import get_num_threads, set_num_threads

# Multiplications of a mini-batch in its forward pass, below which one thread learns it sooner: at the end of every kernel the
# threads wait for one another, which takes some microseconds, and milliseconds where other processes want the processor.
FEW = 3_000_000


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
