"""One side of a benchmark, in a process of its own, which answers lines of JSON with lines of JSON.

The first line, ``{"make": […]}``, has the arguments of ``make`` of the module here that the process was started with, and is
answered with null; each of the others, ``{"call": METHOD, "given": […]}``, is answered with what that method of the side
returns. A record of what is timed goes as ``{"record": "MODULE.NAME", "fields": {…}}``. Whatever else the process prints, by a
library too, goes to the standard error.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numba import get_num_threads

from localdfa.errors import LocalDFAError


def most_threads() -> int:
    """How many threads a side may have here: the cores of this process, or what NUMBA_NUM_THREADS says."""
    return int(get_num_threads())


def at_once(counts: Iterable[int]) -> list[int]:
    """Of these numbers of threads those that a side may have here; 1 always."""
    return [count for count in counts if count <= max(1, most_threads())]


class Worker:
    """A side in its own process, which ends with the context.

    module: of this folder, whose ``make(*given)`` makes the side; given: records of what is timed, and what JSON knows.
    """

    def __init__(self, module: str, *given: Any) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", "localdfa.bench.worker", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._given = given

    def __enter__(self) -> "Worker":
        try:
            self._ask({"make": self._given})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def call(self, name: str, *given: Any) -> Any:
        """What a method of the side returns."""
        return self._ask({"call": name, "given": given})

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request, default=_written) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise LocalDFAError(f"the benchmark of {self.module} stopped; its message stands above")
        return json.loads(line)


def _written(value: Any) -> Any:
    """What JSON does not know, as it is written: records and arrays."""
    if is_dataclass(value):
        kind = type(value)
        own = {field.name: getattr(value, field.name) for field in fields(value)}
        return {"record": f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}", "fields": own}
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _read(found: dict[str, Any]) -> Any:
    """A record again, or any other object as it is."""
    if "record" not in found:
        return found
    module, name = found["record"].split(".")
    return getattr(import_module(f"localdfa.bench.{module}"), name)(**found["fields"])


def main(module: str) -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    side = None
    for line in sys.stdin:
        request, reply = json.loads(line, object_hook=_read), None
        if "make" in request:
            side = import_module(f"localdfa.bench.{module}").make(*request["make"])
        else:
            reply = getattr(side, request["call"])(*request["given"])
        print(json.dumps(reply, default=_written), file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
