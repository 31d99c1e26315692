"""What the event-driven engines share: events and their queues, the segments of a trial, the feedback of an output unit."""

from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.core.compiled import allocating, device

if TYPE_CHECKING:
    from localdfa.network import Network

# An event: when it was sent (ms), by which neuron of its population, and its size: Δh of a graded event, 1 for a spike.
EVENT = np.dtype([("time", np.float64), ("neuron", np.int64), ("size", np.float64)])


def trial_segments(phases: Any, nudges: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The segments of a trial: within each the nudging is constant, and the plasticity gate either open or closed.

    The first one is the free phase. With `nudges`, the nudged phases follow, and a second nudged phase has a free phase before
    it. A nudged phase is two segments where the gate closes before it ends. phases: the spec's table `phases`.

    Returns the edges of the segments (n + 1,) in ms; the sign of the nudging in each (n,), 0 while the feedback is off; and
    which opening of the gate each is (n,), −1 while the gate is closed.
    """
    gate = phases.gate_duration
    segments = [(phases.free, 0, -1)]  # length, sign, opening of the gate
    for k, sign in enumerate(((1, -1) if phases.nudging == "centered" else (1,)) if nudges else ()):
        if k > 0:
            segments.append((phases.free, 0, -1))
        segments.append((gate, sign, k))
        if gate < phases.nudged:
            segments.append((phases.nudged - gate, sign, -1))
    lengths, signs, openings = zip(*segments, strict=True)
    return np.cumsum([0.0, *lengths]), np.array(signs, np.float64), np.array(openings)


def feedback_weights(network: "Network") -> np.ndarray:
    """The feedback signal of every hidden neuron for a 1 that one output unit sends back, (n_out, Σ n_hidden), in float64.

    A pathway that works in time is linear in what it carries. Where the activity itself carries the signal on, only the first
    layer gets a current.
    """
    sizes, pathway, dtype = network.sizes, network.pathway, network.dtype
    signals = [np.zeros((sizes[-1], n), dtype) for n in sizes[1:-1]]
    for l in range(1 if pathway.by_propagation else network.n_hidden):
        pathway.signal(network, l, np.eye(sizes[-1], dtype=dtype), [], signals[l])
    return np.concatenate(signals, axis=1, dtype=np.float64)


@allocating
def longer(queue):
    """A queue with the same events and space for twice as many."""
    copy = np.empty(2 * queue.size, EVENT)
    for k in range(queue.size):
        copy[k] = queue[k]
    return copy


@device
def put(
    queue,  # array of `EVENT` with space for one more
    n,  # how many events are in it
    time,  # ms
    neuron,  # the neuron that sends the event
    size,  # the size of the event
):
    """Put an event at the end of a queue."""
    queue[n]["time"] = time
    queue[n]["neuron"] = neuron
    queue[n]["size"] = size


@allocating
def sort(
    queue,  # array of `EVENT`
    first,  # the events before this one stay where they are
    n,  # how many events are in the queue
    cancelled,  # (1,): when it is set, the events are left as they are then
):
    """Put events in order of time, by merging ever longer runs; those sent at one time keep their order."""
    scratch, width = np.empty(n - first, EVENT), 1
    while width < n - first and not cancelled[0]:
        for start in range(first, n, 2 * width):
            middle, stop = min(start + width, n), min(start + 2 * width, n)
            i, j = start, middle
            for k in range(start, stop):
                if j == stop or (i < middle and queue[i]["time"] <= queue[j]["time"]):
                    scratch[k - first] = queue[i]
                    i += 1
                else:
                    scratch[k - first] = queue[j]
                    j += 1
        for k in range(first, n):
            queue[k] = scratch[k - first]
        width *= 2
