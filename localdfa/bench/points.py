"""Several points of a sweep in a process of their own, so that what they share is compiled once; each runs in turn."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from localdfa.bench.worker import Worker


@dataclass(frozen=True)
class Point:
    """What is timed: `kind` is a class, MODULE.NAME of a module here, made of `fields`.

    It has ``turn()``, which returns seconds, and ``counts()``, what a turn works on, by name. `threads` are Numba's.
    """

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    threads: int = 1


def measure(points: list[Point], turns: int) -> list[dict[str, Any]]:
    """Of each point the seconds of every turn, all points in turn, and its counts."""
    with Worker("points") as worker:
        counts = [worker.call("add", point) for point in points]
        seconds = [[worker.call("turn", p) for p in range(len(points))] for _ in range(turns)]
    return [{"seconds": [turn[p] for turn in seconds], **counts[p]} for p in range(len(points))]


class Made:
    """The points of this process."""

    def __init__(self) -> None:
        self._points: list[tuple[Any, int]] = []

    def add(self, point: Point) -> dict[str, float]:
        """What a new point counts, after a turn that compiles what it needs."""
        module, name = point.kind.split(".")
        self._points.append((getattr(import_module(f"localdfa.bench.{module}"), name)(**point.fields), point.threads))
        self.turn(len(self._points) - 1)
        return self._points[-1][0].counts()

    def turn(self, p: int) -> float:
        """Seconds of a turn of the point that was added as number p, from 0."""
        import numba

        point, threads = self._points[p]
        numba.set_num_threads(threads)
        return float(point.turn())


make = Made
