"""One side of a benchmark, in a process of its own: reads commands as lines of JSON and answers each with a line.

``{"make": …}`` builds a workload, ``{"train": …}`` one of spiking networks; ``{"steps": n}`` runs n steps and answers their
seconds; ``{"save": path}`` writes the weights, ``{"load": path}`` takes them; ``{"rates": n}`` answers the rates of n samples,
``{"error": null}`` the test error.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any

import numpy as np

from localdfa.bench.training import Training
from localdfa.bench.workloads import Workload, from_dict


class Side:
    """A workload under way, and where in the data it stands.

    A module's ``make(workload)`` has ``step(rows)``, ``wait()``, which returns when all steps are done, and ``weights()``; one
    of rate networks ``error()`` as well, of spiking networks ``rates(n)`` and a peer's ``load(weights)``.
    """

    def __init__(self, module: str, workload: Workload | Training) -> None:
        self._side = import_module(f"localdfa.bench.{module}").make(workload)
        self._workload = workload
        self._order = np.random.default_rng(workload.seed).permutation(workload.samples)
        self._at = 0

    def steps(self, n: int) -> float:
        """Seconds that n steps take; the samples come in the same order on every side."""
        size, count = self._workload.batch, self._workload.samples // self._workload.batch
        began = time.perf_counter()
        for _ in range(n):
            start = self._at % count * size
            self._side.step(self._order[start : start + size])
            self._at += 1
        self._side.wait()
        return time.perf_counter() - began

    def save(self, path: str) -> None:
        """Write the weights W[post, pre] of every layer."""
        np.savez(path, *self._side.weights())

    def load(self, path: str) -> None:
        """Go on from weights that another side has saved."""
        with np.load(path, allow_pickle=False) as saved:
            self._side.load([saved[key] for key in saved.files])

    def error(self, _: None) -> float:
        """The test error, percent."""
        return self._side.error()

    def rates(self, n: int) -> list[list[float]]:
        """Rates of the hidden neurons for the first n training samples, Hz."""
        return self._side.rates(n).tolist()


def answer(module: str, side: Side | None, request: dict[str, Any]) -> tuple[Side | None, Any]:
    """The side after a request, and the reply."""
    if "make" in request:
        return Side(module, from_dict(request["make"])), "made"
    if "train" in request:
        return Side(module, Training(**request["train"])), "made"
    assert side is not None
    [(name, given)] = request.items()
    return side, getattr(side, name)(given)


def main(module: str) -> None:
    side = None
    for line in sys.stdin:
        side, reply = answer(module, side, json.loads(line))
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
