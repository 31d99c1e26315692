"""How the time of ours grows: sweeps in which one thing varies and the others are held.

An exponent is the slope of a line through log time against log size, turn by turn.
"""

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from localdfa.bench import points
from localdfa.bench.compare import spread
from localdfa.bench.points import Point
from localdfa.bench.worker import most_threads


@dataclass(frozen=True)
class Sweep:
    """what: grows, as `size`, one of a point's fields or counts, or its threads; held: what does not, in words."""

    what: str
    size: str
    held: str
    points: list[Point]


def _vary(kind: str, field: str, values: tuple[float, ...], threads: int = 1, **held: float) -> list[Point]:
    return [Point(f"circuits.{kind}", {**held, field: value}, threads) for value in values]


def _threads(kind: str, **held: float) -> list[Point]:
    """1, 2, 4 … threads, as many as there are cores."""
    return [Point(f"circuits.{kind}", dict(held), 2**n) for n in range(most_threads().bit_length())]


_CORES = min(2, most_threads())
_BATCHES = (2, 4, 8, 16, 32)
SWEEPS = [
    Sweep(
        "neurons of a recurrent network", "neurons", "100 synapses a neuron, baseline 1.1, delay 1.5 ms, one thread",
        _vary("Recurrent", "neurons", (500, 1000, 2000, 4000, 8000), fan_out=100),
    ),
    Sweep(
        "synapses a neuron of it", "fan_out", "2000 neurons, baseline 1.1, weights ∝ 1/√synapses, delay 1.5 ms, one thread",
        _vary("Recurrent", "fan_out", (25, 50, 100, 200, 400), neurons=2000),
    ),
    Sweep(
        "its firing rate, Hz", "rate", "2000 neurons of 100 synapses, delay 1.5 ms, one thread; by the baseline, 1.02 to 4",
        _vary("Recurrent", "baseline", (1.02, 1.1, 1.4, 2.2, 4.0), neurons=2000, fan_out=100),
    ),
    Sweep(
        "its delay, ms", "delay", "2000 neurons of 100 synapses, baseline 1.1, one thread",
        _vary("Recurrent", "delay", (1.0, 2.0, 5.0, 10.0), neurons=2000, fan_out=100),
    ),
    Sweep(
        "its trials in a mini-batch", "trials", f"1000 neurons of 100 synapses, baseline 1.1, delay 1.5 ms, threads: {_CORES}",
        _vary("Recurrent", "trials", _BATCHES, _CORES, neurons=1000, fan_out=100),
    ),
    Sweep(
        "threads, which share its trials", "threads", "16 trials, 1000 neurons of 100 synapses, baseline 1.1, delay 1.5 ms",
        _threads("Recurrent", neurons=1000, fan_out=100, trials=16),
    ),
    Sweep(
        "synapses of a dense spiking layer, learning", "synapses", "inputs of 20 Hz, baseline 1.1, 4 trials, one thread",
        _vary("Driven", "width", (200, 400, 800, 1600), free=400.0, nudged=200.0),
    ),
    Sweep(
        "synapses of two dense rate layers, learning", "synapses", "batch 64, one thread",
        _vary("Training", "width", (100, 200, 400, 800, 1600), batch=64),
    ),
    Sweep(
        "their samples in a mini-batch", "batch", "400 neurons a layer, one thread",
        _vary("Training", "batch", (16, 32, 64, 128, 256), width=400),
    ),
    Sweep("threads of their steps", "threads", "800 neurons a layer, batch 64", _threads("Training", width=800, batch=64)),
]  # fmt: skip


def exponent(size: Any, seconds: Any) -> float:
    """α of seconds ∝ size^α, a line through the logarithms; both (n,)."""
    return float(np.polyfit(np.log(size), np.log(seconds), 1)[0])


def measure(turns: int) -> list[dict[str, Any]]:
    """Of each sweep its points, with what each counts and the time it takes, and the exponents of the time and of the time a
    synaptic event, which are missing where there is but one point; of threads how many times as fast they are as the first."""
    found = points.measure([point for sweep in SWEEPS for point in sweep.points], turns)
    at, results = 0, []
    for sweep in SWEEPS:
        results.append(summary(sweep, found[at : at + len(sweep.points)]))
        at += len(sweep.points)
    return results


def summary(sweep: Sweep, found: list[dict[str, Any]]) -> dict[str, Any]:
    """One sweep, from what `points.measure` found of its points."""
    rows = [
        {**point.fields, "threads": point.threads, **counted, "milliseconds": 1e3 * statistics.median(counted["seconds"]),
         "nanoseconds_per_event": 1e9 * statistics.median(counted["seconds"]) / counted["events"]}
        for point, counted in zip(sweep.points, found, strict=True)
    ]  # fmt: skip
    size, events = (np.array([row[key] for row in rows], np.float64) for key in (sweep.size, "events"))
    seconds = np.array([row["seconds"] for row in rows])
    result: dict[str, Any] = {"what": sweep.what, "size": sweep.size, "held": sweep.held, "points": rows}
    if len(rows) > 1:
        result["exponent"] = spread([exponent(size, turn) for turn in seconds.T])
        result["exponent_per_event"] = spread([exponent(size, turn / events) for turn in seconds.T])
    if sweep.size == "threads":
        result["speedup"] = [spread((seconds[0] / row).tolist()) for row in seconds]
    return result
