"""Start: from an empty process to the first epoch, where every kernel is compiled on the way, and where all are on disk."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from localdfa.errors import LocalDFAError

EXPERIMENTS = ("quickstart", "digits-spiking")
# What `localdfa run NAME` does, and a line a finished epoch.
_RUN = "import sys, localdfa; localdfa.run(*sys.argv[1:], callback=lambda row: print(row['epoch'], flush=True))"


def first_epoch(name: str, kernels: Path) -> float:
    """Seconds from starting a process that runs an experiment to its first epoch; kernels: the folder of compiled ones."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, name, str(Path(folder) / "run")],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "LOCALDFA_CACHE": str(kernels)},
        )  # fmt: skip
        assert process.stdout is not None
        trained = any(line.strip() == "1" for line in process.stdout)
        took = time.perf_counter() - began
        process.terminate()
        process.wait()
        process.stdout.close()
    if not trained:
        raise LocalDFAError(f"bench startup: `localdfa run {name}` ended before its first epoch; its message stands above")
    return took


def measure(turns: int) -> list[dict[str, Any]]:
    """Of each experiment, medians and ranges of the seconds of a first start and of the one after it, over several turns."""
    found: list[dict[str, Any]] = []
    for name in EXPERIMENTS:
        starts: dict[str, list[float]] = {"first": [], "second": []}
        for _ in range(turns):
            with tempfile.TemporaryDirectory() as kernels:
                for seconds in starts.values():
                    seconds.append(first_epoch(name, Path(kernels)))
        found.append({"experiment": name, **{start: _summary(seconds) for start, seconds in starts.items()}})
    return found


def _summary(seconds: list[float]) -> dict[str, Any]:
    return {"seconds": seconds, "median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}
