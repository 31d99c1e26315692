"""Trials of spiking networks by ours and by a peer in turn, checked first to be the same trials."""

import statistics
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import numpy as np

from localdfa.bench.compare import spread
from localdfa.bench.trials import DT, Trials
from localdfa.bench.worker import Worker
from localdfa.errors import LocalDFAError

# Two sides have as many spikes in a trial to within this fraction; a clock makes every interval a little longer.
RATE = 0.02
# In the first ms of a trial, before a clock and exact times have drifted apart, so many neurons of each layer have their first
# spikes no further apart than so many of the clock's steps.
STRETCH, NEURONS, STEPS = 30.0, 0.75, 2
# The same of recurrent networks, which are chaotic: where the first v differ by 1e-4, numbers of spikes have an sd of 0.9 % on
# either side, the difference of two by √2 of that. Clock and exact times drift apart sooner, the later the shorter the step.
CHAOTIC_RATE, CHAOTIC_STRETCH = 0.04, 20.0


def alternate(work: Trials, threads: int, peers: list[str], turns: int) -> dict[str, Any]:
    """Seconds a trial of ours and of each peer, in turn, and how long each took to compile or connect, s.

    Raises
    ------
    LocalDFAError
        The sides do not simulate the same.
    """
    sides = ["ours", *peers]
    workers: list[Worker] = []
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    first, built, spikes, error = {}, {}, {}, None
    rate, stretch = (CHAOTIC_RATE, CHAOTIC_STRETCH) if work.recurrent else (RATE, STRETCH)
    with ExitStack() as stack:
        for side in sides:
            worker = stack.enter_context(Worker(f"{side}_spiking", work, threads, error))
            workers.append(worker)
            first[side] = worker.call("first", stretch)
            _require_same(work, side, first["ours"], first[side])
            built[side] = worker.call("build")
            if side == "ours" and work.plastic:
                error = worker.call("error")
        for _ in range(turns):
            for side, worker in zip(sides, workers, strict=True):
                seconds[side].append(worker.call("turn"))
        for side, worker in zip(sides, workers, strict=True):
            spikes[side] = worker.call("spikes")
            if not abs(spikes[side] - spikes["ours"]) <= rate * spikes["ours"]:
                raise LocalDFAError(f"{work.name}: {spikes['ours']:.0f} spikes a trial by ours, {spikes[side]:.0f} by {side}")
    return {
        "workload": asdict(work), "threads": threads, "seconds": seconds, "built": built, "spikes": spikes,
        "milliseconds": {side: 1e3 * statistics.median(found) for side, found in seconds.items()},
        "ratio": {
            peer: spread([theirs / ours for theirs, ours in zip(seconds[peer], seconds["ours"], strict=True)])
            for peer in peers
        },
    }  # fmt: skip


def _require_same(work: Trials, peer: str, ours: list[list[float]], theirs: list[list[float]]) -> None:
    """Refuse a peer of which too many first spikes come at other times."""
    for l, (own, other) in enumerate(zip(map(np.array, ours), map(np.array, theirs), strict=True)):
        spike = np.isfinite(own)
        near = np.abs(own[spike] - other[spike]) <= STEPS * DT
        if not spike.any():
            raise LocalDFAError(f"{work.name}: no neuron of hidden layer {l + 1} of ours has a spike that could be compared")
        if near.mean() < NEURONS:
            raise LocalDFAError(
                f"{work.name}: {near.mean():.0%} of the first spikes of hidden layer {l + 1} by {peer} come within {STEPS} "
                f"steps of ours, fewer than {NEURONS:.0%}"
            )
