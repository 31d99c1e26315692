"""Several points of a sweep in a process of their own, so that what they share is compiled once; each runs in turn.

The process reads lines of JSON: one that names a class and its fields makes a point, and is answered with what the point
counts; a number runs the point of that number once, and is answered with its seconds.
"""

import json
import sys
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from localdfa.bench.compare import Worker


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
    worker = Worker("ours", "localdfa.bench.points")
    try:
        counts = [worker.ask(kind=point.kind, fields=point.fields, threads=point.threads) for point in points]
        seconds = [[worker.ask(turn=p) for p in range(len(points))] for _ in range(turns)]
    finally:
        worker.stop()
    return [{"seconds": [turn[p] for turn in seconds], **counts[p]} for p in range(len(points))]


class _Made:
    """The points of this process."""

    def __init__(self) -> None:
        self._points: list[tuple[Any, int]] = []

    def answer(self, request: dict[str, Any]) -> Any:
        """The counts of a new point, after a turn that compiles what it needs; or the seconds of a turn."""
        if "turn" in request:
            return self._turn(*self._points[request["turn"]])
        module, name = request["kind"].split(".")
        point = getattr(import_module(f"localdfa.bench.{module}"), name)(**request["fields"])
        self._points.append((point, request["threads"]))
        self._turn(point, request["threads"])
        return point.counts()

    def _turn(self, point: Any, threads: int) -> float:
        import numba

        numba.set_num_threads(threads)
        return float(point.turn())


def main() -> None:
    made = _Made()
    for line in sys.stdin:
        print(json.dumps(made.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
