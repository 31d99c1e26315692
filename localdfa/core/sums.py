"""The sum of what threads find in the blocks of a mini-batch, in an order that does not depend on the threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Sums:
    """Adds up arrays (n,), one a block of samples, in the order of the blocks; `total` is the sum so far.

    parts: how many blocks may hold an array at a time, whatever the number of blocks. One a thread is enough; with one more, a
    thread need not wait whenever another falls behind.
    """

    def __init__(self, parts: int, n: int, dtype: Any) -> None:
        self.total = np.zeros(n, dtype)
        self._free = [np.zeros(n, dtype) for _ in range(parts)]
        self._begun, self._added = 0, 0
        self._finished: dict[int, np.ndarray] = {}
        self._changed = threading.Condition()

    @contextmanager
    def part(self, block: int) -> Iterator[np.ndarray]:
        """Zeros (n,), to which a block adds. Blocks begin in the order of their numbers, from 0 on, once an array is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._begun == block and self._free)
            self._begun += 1
            part = self._free.pop()
            self._changed.notify_all()
        try:
            yield part
        finally:
            with self._changed:
                self._finished[block] = part
                while (next_one := self._finished.pop(self._added, None)) is not None:
                    self.total += next_one
                    next_one[:] = 0
                    self._free.append(next_one)
                    self._added += 1
                self._changed.notify_all()
