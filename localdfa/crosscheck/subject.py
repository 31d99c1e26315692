"""What a certificate is about: one condition of an experiment, its network, and the rows of a verdict."""

from typing import Any

import numpy as np

from localdfa.errors import RunError, SpecError
from localdfa.handover import begin
from localdfa.network import Network, handed_over
from localdfa.record import KEPT, Run
from localdfa.samples import Part
from localdfa.spec import Experiment, Setting, experiment, settings
from localdfa.spec.unread import without_unread


def chosen(found: Experiment) -> tuple[str, Setting]:
    """The condition that is certified, by name: the first whose rule is local.

    Raises
    ------
    SpecError
        There is none, or it has several rules.
    """
    own = settings(found)
    if any(not setting.of_layers for setting in own.values()):
        raise SpecError("module: a certificate is about networks of layers; what modules are taught is certified by the tests")
    name = next((name for name, setting in own.items() if setting.rule == "local"), None)
    if name is None:
        raise SpecError(f"no condition has rule = 'local', which is what a certificate is about; there are {', '.join(own)}")
    setting = own[name]
    if (mixed := next((i for i, stage in enumerate(setting.stage) if stage.layer_rules), None)) is not None:
        raise SpecError(f"stage[{mixed}].layer_rules: a certificate is about one rule for all layers; allowed: none")
    return name, setting


def exact_rule(setting: Setting) -> str:
    """The exact rule that the local rule of a setting stands for: the first with whose pathways its own is reckoned.

    Raises
    ------
    SpecError
        There is none.
    """
    pathway = setting.pathway_of("local")
    for rule in ("dfa", "fa", "ifa", "bp"):
        if setting.pathway_of(rule) == pathway:
            return rule
    raise SpecError(f"feedback.pathway: {pathway!r} goes with none of the exact rules dfa, fa, ifa, bp, so nothing is compared")


def alone(found: Experiment, setting: Setting, **changes: Any) -> Experiment:
    """The experiment of one of its conditions alone, under the local rule, with one seed, in float64; with these changes."""
    tables = without_unread(setting, setting.model_dump(exclude_unset=True))
    kept = found.model_dump(include={"title", "data", "preprocess", "certify"})
    # What `weights = "auto"` stands for depends on every stage, so it is settled before they are dropped.
    network = {**tables.get("network", {}), "weights": setting.initial_weights}
    own = {"rule": "local", "precision": "float64", "network": network, "seeds": found.seeds[:1]}
    return experiment({**tables, **kept, **own, **changes})


def trained(run: Run, name: str, setting: Setting, train: Part) -> tuple[Network, int]:
    """The network of a run as its training left it, in the precision of the setting, and the epoch.

    B is what the run has kept of it where the last stage had the pathway of the local rule, and else what it began with.

    Raises
    ------
    RunError, SpecError
        There are no such weights, or they do not fit; or B changed under another pathway than that of the last stage.
    """
    job, own = next(job for job in run.jobs if job.condition == name), run.settings[name]
    where, pathway, last = f"{job.folder / 'weights.npz'}: does not fit this experiment", setting.pathway_of("local"), job.last
    assert last is not None  # weights are kept of what is measured
    ended_with = own.pathway_of(last["rule"])
    if ended_with != pathway and setting.feedback_changes("local"):
        raise RunError(f"{job.folder / 'weights.npz'}: has no B of feedback.pathway {pathway!r}, but of {ended_with!r}")
    first = begin(setting, train.shape, train.targets.shape[1], job.seed)
    of_run = pathway if ended_with == pathway else "transpose"
    network = handed_over(first, setting, job.seed, job.weights, of_run, where)
    return network, last[KEPT]


def row(name: str, value: float | None, least: float | None = None, most: float | None = None) -> dict[str, Any]:
    """A tolerance: its name, the value, the bound, whether it holds. What is undefined does not."""
    defined = value is not None and not np.isnan(value)
    holds = defined and (least is None or value >= least) and (most is None or value <= most)  # type: ignore[operator]
    return {"name": name, "value": value, "least": least, "most": most, "holds": bool(holds)}


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether all rows hold, and the names of those that do not."""
    return {"holds": all(row["holds"] for row in rows), "failed": [row["name"] for row in rows if not row["holds"]]}
