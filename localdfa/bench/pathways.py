"""What a training step costs under each feedback pathway and kind of B, beside the pathway from which it is derived."""

import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

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


class Case(NamedTuple):
    """What is timed: a rule, beside which exact rule, and the keys of the table `feedback`."""

    rule: str
    beside: str
    feedback: dict[str, Any]

    @property
    def kind(self) -> str:
        """What the keys say of B, as one text; empty if its pathway alone is named."""
        return ", ".join(f"{key} = {value}" for key, value in self.feedback.items() if key != "pathway")


def measure(turns: int) -> list[dict[str, Any]]:
    """Of each rule and pathway that it works with, and of kinds of B, milliseconds a step, and how often that of the first.

    Steps alternate in turns; a ratio is the median over the turns of the ratio within each.
    """
    blas.one_thread()
    subjects = [(case, _Steps(case), list[float]()) for case in _cases()]
    for _, subject, _ in subjects:
        subject.run(3)
    for _ in range(turns):
        for _, subject, taken in subjects:
            taken.append(subject.run(WORK.steps))
    base: dict[str, list[float]] = {}
    found = []
    for case, _, seconds in subjects:
        ratios = [own / first for own, first in zip(seconds, base.setdefault(case.beside, seconds), strict=True)]
        found.append(
            {
                "rule": case.rule, "pathway": case.feedback["pathway"], "kind": case.kind, "beside": case.beside,
                "milliseconds": 1e3 * statistics.median(seconds),
                "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
            }
        )  # fmt: skip
    return found


def _cases() -> list[Case]:
    """Of each exact rule its own pathway first, then those derived from that, then kinds of B."""
    cases = []
    for rule, first in _FIRST.items():
        base = registry.get("feedback", first)
        names = [name for name in registry.inside("feedback") if issubclass(registry.get("feedback", name), base)]
        cases += [Case(rule, rule, {"pathway": name}) for name in (first, *(name for name in names if name != first))]
    kinds: list[dict[str, Any]] = [{"density": 0.1}, {"signs": "sender"}, {"rank": 5}, {"shared": True}]
    cases += [Case("dfa", "dfa", {"pathway": "direct", **kind}) for kind in kinds]
    return [
        *cases,
        Case("augmented", "dfa", {"pathway": "direct"}),
        Case("fa", "fa", {"pathway": "sequential", "normalisation": "strict"}),
    ]


class _Steps:
    """One network in training."""

    def __init__(self, case: Case) -> None:
        x, targets = samples(WORK)
        part = Part(x, targets.argmax(axis=1), targets.shape[1], np.float32, x.shape[1:])
        experiment = spec.experiment(
            {
                "rule": case.rule, "batch_size": WORK.batch, "precision": "float32",
                "network": {"hidden": [*WORK.sizes[1:-1]], "weights": "uniform"},
                "optimiser": {"name": "rmsprop", "learning_rate": WORK.learning_rate, "weight_decay": 1e-4},
                "feedback": case.feedback,
            }
        )  # fmt: skip
        setting = next(iter(spec.settings(experiment).values()))
        self._trainer = Trainer(setting, {"train": part}, Job(Path(), case.rule, WORK.seed))
        self._order, self._noise = np.random.default_rng(0), np.random.default_rng(1)
        self._n = len(part)

    def run(self, steps: int) -> float:
        """Seconds a step."""
        began = time.perf_counter()
        for _ in range(steps):
            self._trainer.step(self._order.integers(0, self._n, WORK.batch), self._noise)
        return (time.perf_counter() - began) / steps
