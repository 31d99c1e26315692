"""Two or more sides of one workload in turn, checked first to compute the same."""

import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from localdfa.bench.worker import Worker
from localdfa.bench.workloads import Workload
from localdfa.errors import LocalDFAError

# After the check steps, the weights of two sides may differ by this fraction of their norm: float32 rounding, and for the
# local rule the O(β²) of centered nudging.
TOLERANCE = 5e-3
# Where small events are not sent, weights differ, but test errors by no more than this, percentage points: one seed's noise.
ERROR = 0.3
# The module of each side of training steps.
_MODULES = {"ours": "ours", "pytorch": "pytorch", "numpy": "plain_numpy"}


def weights_of(worker: Worker, folder: Path) -> list[np.ndarray]:
    """The weights as the worker has them now."""
    path = folder / f"{worker.module}.npz"
    worker.call("save", str(path))
    with np.load(path, allow_pickle=False) as saved:
        return [saved[key] for key in saved.files]


def difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Largest relative distance between the weights of a layer on two sides; NaN where any is."""
    return float(np.max([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(ours, theirs, strict=True)]))


def alternate(workload: Workload, peers: list[str], turns: int) -> dict[str, Any]:
    """Samples a second of ours and each peer, in turn, with the ratio turn by turn.

    Raises
    ------
    LocalDFAError
        The sides do not compute the same weights.
    """
    return race({side: (_MODULES[side], workload) for side in ("ours", *peers)}, turns)


def race(sides: dict[str, tuple[str, Workload]], turns: int) -> dict[str, Any]:
    """Samples a second of several sides, in turn, with the ratio of each to the first, turn by turn.

    sides: by name, the module that runs it and its workload.

    Raises
    ------
    LocalDFAError
        The sides do not compute the same weights or, after epochs of training, not the same test error.
    """
    first, *others = sides
    loads = {side: workload for side, (_, workload) in sides.items()}
    checked: dict[str, Any] = {}
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(*given)) for side, given in sides.items()}
        if loads[first].epochs:
            checked["test_error"] = _trained(workers, loads[first])
        else:
            checked["weight_difference"] = _same_weights(workers, loads[first])
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(turns):
            for side, worker in workers.items():
                seconds[side].append(worker.call("steps", loads[side].steps))
    return {
        "workload": asdict(loads[first]),
        "samples_per_second": {
            side: workload.steps * workload.batch * workload.members / statistics.median(seconds[side])
            for side, workload in loads.items()
        },
        "seconds": seconds,
        "ratio": {
            name: spread([theirs / ours for theirs, ours in zip(seconds[name], seconds[first], strict=True)]) for name in others
        },
        **checked,
    }


def _same_weights(workers: dict[str, Worker], workload: Workload) -> dict[str, float]:
    """The distance of the weights of each other side from the first one's after the check steps, where they are the same."""
    first, *others = workers
    with tempfile.TemporaryDirectory() as folder:
        for worker in workers.values():
            worker.call("steps", workload.check)
        found = {name: weights_of(worker, Path(folder)) for name, worker in workers.items()}
    distance = {name: difference(found[first], found[name]) for name in others}
    for name, value in distance.items():
        if not value <= TOLERANCE:  # nor where it is NaN
            raise LocalDFAError(f"{workload.name}: {first} and {name} differ by {value:.2g} after {workload.check} steps")
    return distance


def _trained(workers: dict[str, Worker], workload: Workload) -> dict[str, float]:
    """The test error of each side after the epochs, where they are the same."""
    first, *others = workers
    for worker in workers.values():
        worker.call("steps", workload.epochs * (workload.samples // workload.batch))
    error = {name: float(worker.call("error")) for name, worker in workers.items()}
    for name in others:
        if not abs(error[name] - error[first]) <= ERROR:
            raise LocalDFAError(
                f"{workload.name}: test errors of {error[first]:.2f} % by {first} and {error[name]:.2f} % by {name} after "
                f"{workload.epochs} epochs"
            )
    return error


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
