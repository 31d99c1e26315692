"""Recorders, one file each: what a run keeps of its networks besides the metrics.

A recorder is a subclass of `_recorder.Recorder`, which says what one has to define. Its file is named like what is kept: the
file ``spikes.py`` brings the key ``record.spikes`` to the spec, a run keeps ``spikes.npz`` of each condition and seed, and
`localdfa.record.Job` has them as its attribute ``spikes``. Such a file holds the arrays that the recorder returns, says what
it holds and carries a checksum (`localdfa.arrays`).
"""

from typing import Any

from localdfa import interface
from localdfa.recorders._recorder import Recorder

# What `localdfa.record.Job`, of which records are attributes, has of itself.
TAKEN = (
    "began", "checkpoint", "condition", "drop_checkpoint", "epochs", "folder", "is_whole", "keeps", "key", "last", "load",
    "metrics", "neo", "rows", "run", "seed", "trained", "write", "write_checkpoint", "write_metrics",
)  # fmt: skip


def wrong(model: Any) -> list[str]:
    """What of a model is not as `Recorder` says; see `registry.wrong`."""
    return interface.wrong_subclass(model, Recorder, ["record"])
