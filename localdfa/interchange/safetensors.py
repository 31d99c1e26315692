"""Weights in the format of safetensors, which holds named arrays and nothing that could be executed.

The names are those of ``job.weights``: W1 (n_post, n_pre), b1 (n_post,), B1 (n, n_out) and so on; of a module of PyTorch those
of its ``state_dict``, and B after ``B:``. The metadata, all text, are ``localdfa`` (the version), ``spec`` (the resolved spec,
TOML), ``condition`` and ``seed``.
"""

from pathlib import Path

import numpy as np

from localdfa import __version__, files, record
from localdfa.data import Source
from localdfa.export import library
from localdfa.files import write_bytes
from localdfa.spec import Setting

ENDING = ".safetensors"


def of_run(run: record.Run, job: record.Job, setting: Setting, path: Path, given: Source | None) -> list[Path]:
    """Write the weights that a condition and seed ended with, and B."""
    save = library("safetensors.numpy", "safetensors").save
    spec = (run.folder / "spec.toml").read_text(encoding="utf-8")
    about = {"localdfa": __version__, "spec": spec, "condition": job.condition, "seed": str(job.seed)}
    write_bytes(path, save({name: np.ascontiguousarray(array) for name, array in job.weights.items()}, about))
    return [path]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file, as ``localdfa.run(weights=…)`` takes them.

    Raises
    ------
    RunError
        It is missing or damaged.
    LocalDFAError
        safetensors is not installed.
    """
    load = library("safetensors.numpy", "safetensors").load
    found: dict[str, np.ndarray] = files.read(Path(path), lambda path: load(path.read_bytes()))
    return found
