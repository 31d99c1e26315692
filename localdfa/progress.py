"""What training tells of how it goes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Progress:
    """What a display of progress is told; this one shows nothing."""

    def place(self, folder: Path) -> None:
        """The run has its folder: it is begun, or gone on with."""

    def start(self, samples: Mapping[str, int]) -> None:
        """The run begins; by condition the number of training samples to come, over all seeds and epochs."""

    def compiling(self, condition: str) -> None:
        """The kernels of a condition are compiled, before its first seed begins."""

    def job(self, condition: str, seed: int) -> None:
        """What is told next is of this condition and seed; several that train side by side take turns."""

    def advance(self, samples: int) -> None:
        """So many training samples more are done."""

    def skip(self, condition: str, samples: int) -> None:
        """So many training samples of a condition need not be done: they were before, or training has ended early."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is over, or training begins at epoch 0; its row of metrics."""

    def warn(self, message: str) -> None:
        """Something goes on that will spoil the result."""

    def over(self, condition: str, seed: int) -> None:
        """A condition and seed is over: its training, and what is kept of it."""
