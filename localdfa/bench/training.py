"""The training of spiking networks: the local rule beside a peer's back-propagation through time, in turn.

Nothing makes two rules learn the same weights; what is checked first is that both sides simulate the same neurons.
"""

import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from localdfa.bench.compare import spread
from localdfa.bench.worker import Worker
from localdfa.errors import LocalDFAError

# The peer's step, ms.
DT = 1.0
# Simulated time of a sample on the peer's side, ms, beside that of our whole trial: a hundred steps, and the 25 of snnTorch's
# own tutorial on MNIST.
SHORTER = (100.0, 25.0)
# In the free phase, under the weights that ours has learned in the check steps, the mean rates of both sides differ by no more
# than the first fraction of it, and the rates of single neurons, in the mean over neurons and samples, than the second.
MEAN, SINGLE = 0.02, 0.08
# The training samples for which rates are compared.
COMPARED = 64


@dataclass(frozen=True)
class Training:
    """Training steps of the spec `mnist-spiking`, in the width and on the data given here.

    sizes: (n_in, hidden, n_out); data: the set whose training samples are used; batch: samples a step; steps: steps a turn;
    threads: of each side; check: steps of ours before rates are compared; duration: time of a sample that a peer simulates, ms.
    """

    name: str
    sizes: tuple[int, ...]
    data: str
    batch: int
    steps: int
    threads: int = 1
    check: int = 20
    duration: float = 0.0
    seed: int = 0
    samples: int = 8192


TRAINING = [Training(f"batch {batch}", (784, 800, 10), "mnist", batch, 1024 // batch) for batch in (64, 1)]
THREADS = (1, 2)


def setting(work: Training) -> Any:
    """The spec of our side.

    snnTorch's neurons have no refractory period; ours is as long as a clock makes an interval longer in the mean, half a step.
    """
    from localdfa.spec import load, settings

    changes = {"network.hidden": list(work.sizes[1:-1]), "batch_size": work.batch, "neuron.t_ref": DT / 2}
    found = load("mnist-spiking", [f"{key}={value}" for key, value in changes.items()])
    return settings(found)["local"]


def trial(work: Training) -> float:
    """Duration of our trial with all its phases, ms."""
    from localdfa.core.events import trial_segments

    return float(trial_segments(setting(work).phases, True)[0][-1])


def alternate(work: Training, peers: list[str], turns: int) -> dict[str, Any]:
    """Samples a second of ours, and of each peer over each simulated time, in turn, with the ratio turn by turn.

    Raises
    ------
    LocalDFAError
        The neurons of two sides do not fire alike.
    """
    whole = trial(work)
    sides = {"ours": replace(work, duration=whole)}
    for peer in peers:
        for duration in (whole, *SHORTER):
            # Whatever the duration, a peer simulates as much in a turn.
            sides[f"{peer}, {duration:g} ms"] = replace(work, duration=duration, steps=max(1, round(whole / duration)))
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(f"{side.split(',')[0]}_training", found)) for side, found in sides.items()}
        rates = _rates(work, workers)
        for worker in workers.values():
            worker.call("steps", 1)
        for _ in range(turns):
            for side, worker in workers.items():
                found = sides[side]
                seconds[side].append(worker.call("steps", found.steps) / (found.steps * found.batch))
    return {
        "workload": asdict(work), "rates": rates, "seconds_a_sample": seconds,
        "duration": {side: found.duration for side, found in sides.items()},
        "samples_per_second": {side: 1 / statistics.median(taken) for side, taken in seconds.items()},
        "ratio": {
            side: spread([theirs / ours for theirs, ours in zip(taken, seconds["ours"], strict=True)])
            for side, taken in seconds.items()
            if side != "ours"
        },
    }  # fmt: skip


def _rates(work: Training, workers: dict[str, Worker]) -> dict[str, float]:
    """Have ours learn for the check steps, give its weights to the others, and compare: the mean rate of each side, Hz."""
    ours = workers["ours"]
    ours.call("steps", work.check)
    own = np.array(ours.call("rates", COMPARED))
    rates = {"ours": float(own.mean())}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "weights.npz"))
        ours.call("save", path)
        for side, worker in workers.items():
            if side != "ours":
                worker.call("load", path)
                found = np.array(worker.call("rates", COMPARED))
                _require_alike(work, side, own, found)
                rates[side] = float(found.mean())
    return rates


def _require_alike(work: Training, side: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Refuse a side whose rates, Hz (samples, neurons), are others than ours."""
    mean, single = abs(theirs.mean() / ours.mean() - 1), np.abs(theirs - ours).mean() / ours.mean()
    if not (mean <= MEAN and single <= SINGLE):
        raise LocalDFAError(
            f"{work.name}: rates of the hidden layer by {side} differ from ours by {mean:.1%} in the mean and by {single:.1%} "
            f"neuron by neuron; at most {MEAN:.1%} and {SINGLE:.1%} are one clock's doing"
        )
