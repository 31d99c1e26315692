"""What all trainings of a condition and seed have in common: stages, the epoch to keep, and going on from a checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from localdfa import record
from localdfa.errors import RunError
from localdfa.progress import Progress
from localdfa.spec import Record, Setting

# What a recorder keeps once it is asked: arrays by name.
Kept = Callable[[], dict[str, np.ndarray]]


class Training(ABC):
    """One condition and seed: where its training stands, and how it goes on.

    Every random number depends on the seed, its purpose and the epoch alone, so a training restored from a checkpoint goes on
    to the same bits.
    """

    def __init__(self, setting: Setting, job: record.Job) -> None:
        self.setting, self.job, self.seed = setting, job, job.seed
        self.stage, self.epoch, self.epoch_of_stage = 0, 0, 0
        self.seconds = 0.0
        self.rows: list[dict[str, Any]] = []
        # Of this stage: the epoch with the smallest validation error, and what had been learned then where it may be kept.
        self.best: int | None = None
        self._best_learned: list[np.ndarray] = []

    @property
    def finished(self) -> bool:
        """Whether every stage is over."""
        return self.stage == len(self.setting.stage)

    @property
    @abstractmethod
    def n_train(self) -> int:
        """The samples that an epoch passes through."""

    @abstractmethod
    def warm_up(self) -> None:
        """One mini-batch of each stage, after which this training is of no more use: what is compiled then is compiled."""

    @abstractmethod
    def train_epoch(self, progress: Progress) -> None:
        """Pass once through the training set in a new order.

        Raises
        ------
        NonFiniteError
            The message says where.
        """

    @abstractmethod
    def measure(self) -> dict[str, Any]:
        """The row of metrics of what is trained as it stands, appended to the rows."""

    @abstractmethod
    def not_learned(self, row: dict[str, Any]) -> str | None:
        """Why the training set is predicted no better than by guessing in a row of metrics; None where it is."""

    @abstractmethod
    def records(self, keep: Record, each_epoch: bool = False) -> dict[str, Kept]:
        """What is kept of it as it stands, by the names of recorders; each_epoch: of those alone that keep each epoch."""

    @abstractmethod
    def save(self) -> None:
        """Write a checkpoint."""

    @abstractmethod
    def _take(self, arrays: dict[str, np.ndarray], position: record.Position) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        KeyError, IndexError, ValueError
            It is of another network.
        """

    @abstractmethod
    def _enter(self, stage: int) -> None:
        """Take up a stage; the one after the last leaves all as it is."""

    @property
    @abstractmethod
    def _learned(self) -> Sequence[np.ndarray]:
        """What learns in this stage, and what follows it, such as running averages."""

    def _return_to(self, best: Sequence[np.ndarray]) -> None:
        """Put what had been learned, as `_learned` had it, in the place of what is."""
        for learned, then in zip(self._learned, best, strict=True):
            learned[...] = then

    def next_stage(self) -> None:
        """Take up the next stage where this one is over: its epochs are done, its training error is reached, or patience ends.

        It goes on from the weights of the last epoch or, where the stage keeps the best, from those.
        """
        stage, row = self.setting.stage[self.stage], self.rows[-1]
        if stage.patience is not None or stage.keep == "best":
            self._note_best(stage.keep == "best")
        waited = 0 if self.best is None else self.epoch - self.best
        if (
            self.epoch_of_stage >= stage.epochs
            or (stage.stop_at_error is not None and row["train_error"] <= stage.stop_at_error)
            or (stage.patience is not None and waited >= stage.patience)
        ):
            self._leave(self.stage + 1)

    def end(self) -> None:
        """End training with the last epoch, whatever its stages say; where this one keeps the best weights, with those."""
        self._leave(len(self.setting.stage))

    def go_on(self) -> None:
        """Take up the stage that training ended in again, where it is over."""
        if self.finished:
            self._enter(self.rows[-1]["stage"])

    def _leave(self, following: int) -> None:
        """Leave the stage for another one."""
        if self.setting.stage[self.stage].keep == "best" and self.best is not None:
            self.rows[-1][record.KEPT] = self.best
            self._return_to(self._best_learned)
        self.epoch_of_stage, self.best, self._best_learned = 0, None, []
        self._enter(following)

    def _note_best(self, keep: bool) -> None:
        """Note the last epoch if its validation error is the smallest of this stage, and its weights if they may be kept."""
        key = f"valid_{self.setting.output.measures[0].key}"
        error = record.comparable(self.rows[-1][key])
        if self.best is None or error < record.comparable(self.rows[self.best][key]):
            self.best = self.epoch
            if keep:
                self._best_learned = [learned.copy() for learned in self._learned]

    def restore(self, progress: Progress) -> None:
        """Go on from the last checkpoint, where there is one; from the one before it, with a warning, where it is damaged.

        Raises
        ------
        RunError
            Both are damaged, or the checkpoint belongs to another network.
        """
        try:
            checkpoint = self.job.checkpoint()
        except RunError as error:
            try:
                checkpoint = self.job.checkpoint(before=True)
            except RunError as other:
                raise RunError(f"{error}; {other}") from None
            if checkpoint is None:
                raise
            self.job.drop_checkpoint()
            progress.warn(f"{error}; {self.job.condition} seed {self.seed} goes on from the one before it")
        if checkpoint is None:
            return
        arrays, position = checkpoint
        try:
            if position.stage > len(self.setting.stage):
                raise ValueError(f"stage {position.stage}")
            if position.best is not None and position.best > position.epoch:
                raise ValueError(f"the best epoch is {position.best}, after {position.epoch}")
            self._take(arrays, position)
            self.epoch_of_stage = position.epoch_of_stage
            over = position.stage == len(self.setting.stage)
            self._enter(position.rows[-1]["stage"] if over else position.stage)  # a finished training keeps its last rule
            best = [arrays[f"best{l}"] for l in range(len(self._learned)) if "best0" in arrays]
            for l, (saved, learned) in enumerate(zip(best, self._learned, strict=bool(best))):
                check_alike(f"best{l}", saved, learned)
        except (KeyError, IndexError, ValueError) as error:
            raise RunError(f"{self.job.folder / 'checkpoint.npz'}: does not fit this experiment: {error}") from None
        self.epoch, self.seconds, self.rows = position.epoch, position.seconds, position.rows
        self.best, self._best_learned = position.best, best
        self._enter(position.stage)

    def _arrays_of_best(self) -> dict[str, np.ndarray]:
        """What a checkpoint has of the best epoch of the stage so far."""
        return {f"best{l}": learned for l, learned in enumerate(self._best_learned)}


def check_alike(name: str, saved: np.ndarray, array: np.ndarray) -> None:
    """Raise ValueError where a saved array cannot take the place of another."""
    if saved.shape != array.shape or saved.dtype != array.dtype:
        raise ValueError(f"{name} has shape {saved.shape} {saved.dtype}, not {array.shape} {array.dtype}")
