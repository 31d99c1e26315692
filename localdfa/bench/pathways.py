"""What a training step costs under each feedback pathway, beside the one from which it is derived."""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import registry, spec
from localdfa.bench.workloads import Workload, samples
from localdfa.core import blas
from localdfa.record import Job
from localdfa.samples import Part
from localdfa.trainer import Trainer

WORK = Workload("784-800-800-10", (784, 800, 800, 10), "mnist", "dfa", batch=64, steps=30, check=0)
# The exact rules and the pathway that each is timed with first, for the others to be compared with.
_FIRST = {"dfa": "direct", "fa": "sequential"}


def measure(turns: int) -> list[dict[str, Any]]:
    """Of each rule and pathway that it works with, and of strict norms, milliseconds a step, and how often that of the first.

    Steps alternate in turns; a ratio is the median over the turns of the ratio within each.
    """
    blas.one_thread()
    subjects = {case: _Steps(*case) for case in _cases()}
    for subject in subjects.values():
        subject.run(3)
    taken: dict[tuple[str, str, str], list[float]] = {case: [] for case in subjects}
    for _ in range(turns):
        for case, subject in subjects.items():
            taken[case].append(subject.run(WORK.steps))
    found = []
    for (rule, pathway, norms), seconds in taken.items():
        ratios = [own / first for own, first in zip(seconds, taken[rule, _FIRST[rule], "none"], strict=True)]
        found.append(
            {
                "rule": rule, "pathway": pathway, "normalisation": norms, "milliseconds": 1e3 * statistics.median(seconds),
                "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
            }
        )  # fmt: skip
    return found


def _cases() -> list[tuple[str, str, str]]:
    """Rule, pathway and norms: of each rule its own pathway first."""
    cases = []
    for rule, first in _FIRST.items():
        base = registry.get("feedback", first)
        names = [name for name in registry.inside("feedback") if issubclass(registry.get("feedback", name), base)]
        cases += [(rule, name, "none") for name in (first, *(name for name in names if name != first))]
    return [*cases, ("fa", "sequential", "strict")]


class _Steps:
    """One network in training."""

    def __init__(self, rule: str, pathway: str, norms: str) -> None:
        x, targets = samples(WORK)
        part = Part(x, targets.argmax(axis=1), targets.shape[1], np.float32, x.shape[1:])
        experiment = spec.experiment(
            {
                "rule": rule, "batch_size": WORK.batch, "precision": "float32",
                "network": {"hidden": [*WORK.sizes[1:-1]], "weights": "uniform"},
                "optimiser": {"name": "rmsprop", "learning_rate": WORK.learning_rate, "weight_decay": 1e-4},
                "feedback": {"pathway": pathway, "normalisation": norms},
            }
        )  # fmt: skip
        setting = next(iter(spec.settings(experiment).values()))
        self._trainer = Trainer(setting, {"train": part}, Job(Path(), pathway, WORK.seed))
        self._order, self._noise = np.random.default_rng(0), np.random.default_rng(1)
        self._n = len(part)

    def run(self, steps: int) -> float:
        """Seconds a step."""
        began = time.perf_counter()
        for _ in range(steps):
            self._trainer.step(self._order.integers(0, self._n, WORK.batch), self._noise)
        return (time.perf_counter() - began) / steps
