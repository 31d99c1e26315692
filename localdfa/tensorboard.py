"""The metrics of a run as TensorBoard reads them, written while it goes on."""

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from localdfa.errors import LocalDFAError
from localdfa.progress import Progress


class TensorBoard(Progress, AbstractContextManager["TensorBoard"]):
    """Writes each row of metrics as scalars against epochs, to RUN/tensorboard/CONDITION/seed-N.

    A column that has a value for each layer becomes NAME/1, NAME/2 …, from the first hidden layer; what is undefined is left
    out.

    Raises
    ------
    LocalDFAError
        tensorboardX is not installed.
    """

    def __init__(self) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError:
            raise LocalDFAError("tensorboardX is not installed; get it with: pip install 'localdfa[tensorboard]'") from None
        self._open, self._folder = SummaryWriter, Path()
        self._writer: Any = None

    def place(self, folder: Path) -> None:
        self._folder = folder / "tensorboard"

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def epoch(self, row: dict[str, Any]) -> None:
        place = self._folder / row["condition"] / f"seed-{row['seed']}"
        if self._writer is None or self._writer.logdir != str(place):
            self.__exit__()
            self._writer = self._open(str(place))
        for key, value in row.items():
            layers = {f"{key}/{l + 1}": v for l, v in enumerate(value)} if isinstance(value, list) else {key: value}
            for tag, number in layers.items():
                if tag not in ("condition", "seed", "epoch", "rule") and number is not None and math.isfinite(number):
                    self._writer.add_scalar(tag, number, row["epoch"])
