"""What the blocks of a mini-batch add up to, in an order that no thread changes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Sums:
    """total (n,): the sum of what all blocks have found so far, block after block.

    Only so many parts are there at a time, whatever the number of blocks: one a thread, and one more, lest a thread wait
    whenever another falls behind.
    """

    def __init__(self, parts: int, n: int, dtype: Any) -> None:
        self.total = np.zeros(n, dtype)
        self._free = [np.zeros(n, dtype) for _ in range(parts)]
        self._begun, self._added = 0, 0
        self._found: dict[int, np.ndarray] = {}
        self._changed = threading.Condition()

    @contextmanager
    def part(self, block: int) -> Iterator[np.ndarray]:
        """Zeros (n,), to which a block adds what it finds; blocks begin in the order of their numbers, from 0 on."""
        with self._changed:
            self._changed.wait_for(lambda: self._begun == block and self._free)
            self._begun += 1
            own = self._free.pop()
            self._changed.notify_all()
        try:
            yield own
        finally:
            with self._changed:
                self._found[block] = own
                while (next_one := self._found.pop(self._added, None)) is not None:
                    self.total += next_one
                    next_one[:] = 0
                    self._free.append(next_one)
                    self._added += 1
                self._changed.notify_all()
