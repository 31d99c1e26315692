"""What a recorder defines."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from localdfa.recording import Trained
    from localdfa.spec import Setting

# Bytes of a number in double precision.
NUMBER = 8


class Scope(NamedTuple):
    """What a condition gives to record, known before training.

    setting: of the condition. sizes: of its populations, (n_in, hidden …, n_out). samples: to train on. edges: when the phases
    of a trial begin and end, ms.
    """

    setting: "Setting"
    sizes: tuple[int, ...]
    samples: int
    edges: np.ndarray


class Recorder:
    """One thing that a run keeps; NAME is that of its file.

    keys: what it adds to the table `record` of the spec: of each key its type and its `pydantic.Field` with default, bounds and
    description. The recorder is asked for where the key NAME, which is one of them, is neither 0 nor empty; a recorder that
    adds none is always asked for. of_spikes: whether only trials of spikes have it, that is spiking neurons under a rule with
    phases; other conditions of the same run then keep none. of_probe: whether the key NAME counts trials of the probe, of which
    there are then no more. example: a value of the key NAME that a figure can be drawn from. fewer: what makes the record
    smaller, besides a smaller value of its key, as words that follow "fewer".

    It is made once training is over; besides before it and after each epoch where `each_epoch` says so. Whatever fails in it
    costs no training: the run says what could not be kept, and resuming tries it again.
    """

    keys: Mapping[str, tuple[Any, Any]] = {}
    of_spikes = False
    of_probe = False
    example = ""
    fewer = ""

    @staticmethod
    def each_epoch(keep: Any) -> bool:
        """Whether it is made before training and after each epoch as well; keep: the table `record`."""
        return False

    @staticmethod
    def refusal(keep: Any, setting: "Setting") -> str | None:
        """What of the table `record` a condition that the recorder serves cannot have, as ``key: reason``; else None."""
        return None

    @staticmethod
    def populations(keep: Any, scope: Scope) -> tuple[int, ...]:
        """The sizes of the populations of which the neurons `record.neurons` are kept."""
        return ()

    @classmethod
    def reads_neurons(cls) -> bool:
        """Whether there are such populations."""
        return cls.populations is not Recorder.populations

    @staticmethod
    def need(keep: Any, scope: Scope) -> float:
        """About how many bytes of memory it takes; what does not fit into the machine is refused before training."""
        return 0.0

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        """What is kept, as arrays by name, without objects in them."""
        raise NotImplementedError


def chosen(keep: Any, n: int) -> np.ndarray:
    """Which neurons of a population of n are recorded, by `record.neurons`."""
    return np.array([i for i in (range(3) if keep.neurons is None else keep.neurons) if i < n], np.int64)
