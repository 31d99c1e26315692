"""Cold start: from the command line to the first epoch of quickstart, everything compiled on the way."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from localdfa.errors import LocalDFAError

# In the line that says how the first epoch has gone; one on the network before training comes before it.
_EPOCH = "  epoch 1  "


def first_epoch() -> float:
    """Seconds from starting `localdfa run quickstart` to its first epoch's line."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "localdfa", "run", "quickstart", "--out", str(Path(folder) / "run")],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        trained = any(_EPOCH in line for line in process.stdout)
        took = time.perf_counter() - began
        process.terminate()
        process.wait()
        process.stdout.close()
    if not trained:
        raise LocalDFAError("bench startup: `localdfa run quickstart` ended before its first epoch; its message stands above")
    return took


def measure(turns: int) -> dict[str, Any]:
    """Median and spread over several cold starts, in seconds."""
    seconds = [first_epoch() for _ in range(turns)]
    return {"seconds": seconds, "median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}
