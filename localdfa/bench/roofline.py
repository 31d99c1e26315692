"""How near the inner loops of a dense spiking layer come to what the machine can do, on one thread.

The machine's limits are measured beside them: arithmetic by a polynomial that stays in registers, bandwidth by a triad
a = b + s c, or by a sum where a loop only reads, over as many bytes as the loop goes through, so in the same cache.

`dense.advance_group` goes once through the layer for four spikes that arrive: it reads v, the threshold and four rows of
weights, and writes v and who has met the threshold. The neurons' own rows stay in the nearest cache; the weights come from
wherever all of them fit. While the gate is open `accumulate_on_arrival` goes through a row of sums for each spike: it reads C
and Z of the neurons, and changes the sums. What the neurons that have met their threshold cost is no part of what the loops
must do.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from localdfa.bench import points
from localdfa.bench.circuits import INPUT_RATE, Driven
from localdfa.bench.compare import spread
from localdfa.bench.points import Point
from localdfa.core.spiking import batch as spikes


class Cost(NamedTuple):
    """Of a synaptic event: operations, which are additions, multiplications and comparisons; bytes that are read or written in
    all; and those of them that are weights or sums."""

    operations: float
    touched: float
    streamed: float


# `advance_group`: v · kept + jump · size, the highest of it before and after, and once in four compared with the threshold;
# reads the jump, and once in four v and the threshold, and writes v and, in a byte, who has met it.
FORWARD = Cost(5.25, 7.25, 4)
# `accumulate_on_arrival`: sum −= of_c C + of_z Z; reads C, Z and the sum, writes the sum.
LEARN = Cost(4, 16, 8)
# Rows of the layer that four spikes go through, 4 bytes a neuron: v, v afterwards, thresholds, weights; and C, Z, sums.
_ROWS, _ROWS_LEARN = 7, 13
# Bytes and operations of a turn of the machine's own loops, at least.
_BYTES, _OPERATIONS = 2e9, 2e9
_DEGREE = 32


@njit(error_model="numpy")
def _triad(a, b, c, s, repeats):
    n = np.uint64(a.size)
    for _ in range(repeats):
        for i in range(n):
            a[i] = b[i] + s * c[i]
        a, b = b, a


@njit(fastmath={"reassoc"}, error_model="numpy")
def _sum(x, repeats):
    total, n = x.dtype.type(0), np.uint64(x.size)
    for _ in range(repeats):
        for i in range(n):
            total += x[i]
    return total


@njit(fastmath={"contract"}, error_model="numpy")
def _polynomial(x, y, a, b, repeats):
    """Horner's scheme: each element is an accumulator of its own, some vectors of which are under way at a time."""
    n = np.uint64(x.size)
    for _ in range(repeats):
        for i in range(n):
            s = x[i]
            for _ in range(_DEGREE):
                s = s * a + b
            y[i] = s


class Triad:
    """Three arrays of float32 of so many KiB together."""

    def __init__(self, kib: float) -> None:
        n = int(kib * 1024) // 12
        self._a, self._b, self._c = (np.ones(n, np.float32) for _ in range(3))
        self._repeats = 1 + int(_BYTES / (12 * n))

    def turn(self) -> float:
        began = time.perf_counter()
        _triad(self._a, self._b, self._c, np.float32(1e-6), self._repeats)
        return time.perf_counter() - began

    def counts(self) -> dict[str, float]:
        """Bytes read and written."""
        return {"amount": 12 * self._a.size * self._repeats}


class Sum:
    """An array of float32 of so many KiB."""

    def __init__(self, kib: float) -> None:
        self._x = np.ones(int(kib * 1024) // 4, np.float32)
        self._repeats = 1 + int(_BYTES / self._x.nbytes)

    def turn(self) -> float:
        began = time.perf_counter()
        _sum(self._x, self._repeats)
        return time.perf_counter() - began

    def counts(self) -> dict[str, float]:
        """Bytes read."""
        return {"amount": self._x.nbytes * self._repeats}


class Loops(Driven):
    """A driven layer without what `localdfa.core.spiking.batch.simulate` does before and after its kernel."""

    def turn(self) -> float:
        """Seconds of the kernel."""
        batch = spikes.Batch(self.network, self.setting, self.inputs, self.target, None)
        findings, sums = batch.findings(0), np.full(batch.n_sums, 0, self.network.dtype)
        began = time.perf_counter()
        batch.run(findings, sums, False, 0, 1, np.zeros(1, np.bool_))
        return time.perf_counter() - began

    def counts(self) -> dict[str, float]:
        super().turn()
        return super().counts()


class Polynomial:
    """Multiplications fused with additions, on 8 KiB."""

    def __init__(self) -> None:
        self._x = np.ones(2048, np.float32)
        self._repeats = 1 + int(_OPERATIONS / (2 * _DEGREE * self._x.size))

    def turn(self) -> float:
        y, began = np.empty_like(self._x), time.perf_counter()
        _polynomial(self._x, y, np.float32(0.5), np.float32(0.25), self._repeats)
        return time.perf_counter() - began

    def counts(self) -> dict[str, float]:
        """Operations, two each time."""
        return {"amount": 2 * _DEGREE * self._x.size * self._repeats}


@dataclass(frozen=True)
class Layer:
    """A dense layer in a use; arrivals: spikes that reach it in a trial, about."""

    name: str
    width: int
    plastic: bool
    baseline: float
    arrivals: float = 1e5

    @property
    def point(self) -> Point:
        """The layer as it is timed."""
        duration = self.arrivals / (INPUT_RATE * self.width)
        phases = {"free": 400.0, "nudged": duration / 2} if self.plastic else {"free": duration}
        return Point("roofline.Loops", {"width": self.width, "baseline": self.baseline, **phases})

    @property
    def near(self) -> Point:
        """The bandwidth of all rows of the layer that one arrival goes through."""
        return Point("roofline.Triad", {"kib": self.width * 4 * (_ROWS_LEARN if self.plastic else _ROWS) / 1024})

    @property
    def far(self) -> Point:
        """The bandwidth of all its weights and sums, as they are read or written."""
        kib = self.width**2 * 4 / 1024
        return Point("roofline.Triad", {"kib": 2 * kib}) if self.plastic else Point("roofline.Sum", {"kib": kib})


# KiB of triads by which the machine itself is described; the last is beyond any cache that is one's own.
MACHINE = (24, 768, 48 * 1024, 1536 * 1024)
LAYERS = [
    Layer(name, width, plastic, baseline)
    for width in (400, 800, 3200)
    for name, plastic, baseline in (("silent", False, 0.0), ("spiking", False, 1.1), ("learning", True, 1.1))
]


def measure(turns: int) -> dict[str, Any]:
    """The machine's limits, GB/s and GFLOP/s, and of each layer what it reaches and what it could."""
    asked = [Point("roofline.Polynomial"), *(Point("roofline.Triad", {"kib": kib}) for kib in MACHINE)]
    asked += [point for layer in LAYERS for point in (layer.near, layer.far, layer.point)]
    peak, *found = points.measure(asked, turns)
    triads = [
        {"kib": kib, "gigabytes_per_second": statistics.median(_speeds(triad)) / 1e9}
        for kib, triad in zip(MACHINE, found, strict=False)
    ]
    layers = [
        summary(layer, _speeds(peak), _speeds(near), _speeds(far), run)
        for layer, near, far, run in zip(LAYERS, *(found[len(MACHINE) + n :: 3] for n in range(3)), strict=True)
    ]
    return {"gigaflops": statistics.median(_speeds(peak)) / 1e9, "triads": triads, "layers": layers}


def _speeds(found: dict[str, Any]) -> list[float]:
    """Bytes or operations a second in each turn."""
    return [found["amount"] / seconds for seconds in found["seconds"]]


def summary(layer: Layer, peak: list[float], near: list[float], far: list[float], run: dict[str, Any]) -> dict[str, Any]:
    """What a layer reaches of its roofline, turn by turn.

    peak: operations a second; near, far: bytes a second, of the rows of one arrival and of all weights and sums; run: as
    `points.measure` found it.
    """
    events, learned, seconds = run["events"], run["learned"], statistics.median(run["seconds"])
    operations, touched, streamed = (events * f + learned * l for f, l in zip(FORWARD, LEARN, strict=True))
    limits = {
        "arithmetic": [operations / speed for speed in peak],
        "rows": [touched / speed for speed in near],
        "weights": [streamed / speed for speed in far],
    }
    limit = max(limits, key=lambda name: statistics.median(limits[name]))
    return {
        "name": layer.name, "width": layer.width, **run, "limits": limits, "limit": limit,
        "events_per_second": events / seconds, "gigabytes_per_second": touched / seconds / 1e9,
        "gigaflops": operations / seconds / 1e9,
        "reached": spread([least / took for least, took in zip(limits[limit], run["seconds"], strict=True)]),
    }  # fmt: skip
