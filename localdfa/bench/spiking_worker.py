"""One side of the trials of spiking networks, in a process of its own.

The first line makes it; each of the others names a method and its arguments, and is answered with a line: the result. Whatever
else is printed, by a library too, goes to the standard error.
"""

import json
import os
import sys
from importlib import import_module

from localdfa.bench.trials import Trials


def main(module: str) -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    side = None
    for line in sys.stdin:
        request = json.loads(line)
        if side is None:
            work = Trials(**request["make"])
            side = import_module(f"localdfa.bench.{module}").make(work, request["threads"], request["error"])
            reply = "made"
        else:
            reply = getattr(side, request["call"])(*request["given"])
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
