"""What both event-driven engines are made of: events, their queues, and the stretches of a trial."""

from typing import Any

import numpy as np

from localdfa.core.compiled import counted

# An event: when it was sent (ms), by which neuron of its population, and its size: Δh of a graded event, 1 for a spike.
EVENT = np.dtype([("time", np.float64), ("neuron", np.int64), ("size", np.float64)])


def stretches(phases: Any, nudges: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The trial as stretches in which nothing changes from outside: the free phase, then what every nudged phase needs.

    Returns their edges (n + 1,) in ms; the sign of the nudging in each, 0 while the feedback is off; and which opening of
    the plasticity gate each is, −1 while the gate is closed.
    """
    gate = phases.nudged if phases.gate is None else phases.gate
    found = [(phases.free, 0, -1)]
    for k, sign in enumerate(((1, -1) if phases.nudging == "centered" else (1,)) if nudges else ()):
        if k > 0:
            found.append((phases.free, 0, -1))
        found.append((gate, sign, k))
        if gate < phases.nudged:
            found.append((phases.nudged - gate, sign, -1))
    lengths, signs, gates = zip(*found, strict=True)
    return np.cumsum([0.0, *lengths]), np.array(signs, np.float64), np.array(gates)


def routes(network: Any) -> np.ndarray:
    """(n_out, Σ n_hidden) the feedback signal of a 1 that each output unit sends back.

    A pathway that works in time is linear in what it carries. Where the activity itself carries it, only the first layer gets a
    current.
    """
    sizes, pathway, dtype = network.sizes, network.pathway, network.dtype
    found = [np.zeros((sizes[-1], n), dtype) for n in sizes[1:-1]]
    for l in range(1 if pathway.by_propagation else network.n_hidden):
        pathway.signal(network, l, np.eye(sizes[-1], dtype=dtype), [], found[l])
    return np.concatenate(found, axis=1, dtype=np.float64)


@counted
def add(queue, n, time, neuron, size):
    """Put an event behind the n of a queue; returns the queue, a longer one if there was no room."""
    if n == queue.size:
        longer = np.empty(2 * n, EVENT)
        for k in range(n):
            longer[k] = queue[k]
        queue = longer
    queue[n]["time"] = time
    queue[n]["neuron"] = neuron
    queue[n]["size"] = size
    return queue


@counted
def sort(queue, first, n, cancelled):
    """Put the events from `first` on in order of time by merging runs; those sent together keep their order.

    cancelled (1,): when it is set they are left as they are then.
    """
    room, width = np.empty(n - first, EVENT), 1
    while width < n - first and not cancelled[0]:
        for start in range(first, n, 2 * width):
            middle, stop = min(start + width, n), min(start + 2 * width, n)
            i, j = start, middle
            for k in range(start, stop):
                if j == stop or (i < middle and queue[i]["time"] <= queue[j]["time"]):
                    room[k - first] = queue[i]
                    i += 1
                else:
                    room[k - first] = queue[j]
                    j += 1
        for k in range(first, n):
            queue[k] = room[k - first]
        width *= 2
