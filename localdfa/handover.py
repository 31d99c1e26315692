"""The network that a training starts from: built anew, or with the weights and B of a finished run."""

import hashlib
from pathlib import Path

import numpy as np

from localdfa import record
from localdfa.errors import RunError, SpecError, quoted
from localdfa.geometry import seen
from localdfa.network import Network, build, handed_over
from localdfa.spec import Experiment, Setting, checks, settings


def begin(setting: Setting, shape: tuple[int, ...], n_out: int, seed: int) -> Network:
    """The network of one condition and seed before training: built anew, or with the weights and B of a finished run.

    Raises
    ------
    RunError, SpecError
        There is no such run, condition or seed, or it is not finished; or it does not fit.
    """
    network = build(setting, shape, n_out, seed)
    if setting.network.from_run is None:
        return network
    job, trained = source(setting.network.from_run, seed)
    if trained.stage[-1].layer_rules:
        raise SpecError(
            f"network.from_run: {setting.network.from_run!r} ends with a stage of layer_rules, whose layers differ in their "
            f"pathways; allowed: a condition whose last stage has one rule"
        )
    pathway = trained.pathway_of(trained.rule_of(trained.stage[-1]))
    if pathway in {setting.pathway_of(rule) for _, rule in checks.rules_of(setting)}:
        _require_alike(setting, trained, pathway)
    return handed_over(network, setting, seed, job.weights, pathway, str(job.folder / "weights.npz"))


def trained(setting: Setting, job: record.Job, shape: tuple[int, ...]) -> Network:
    """The network that a condition and seed ended with, to be read; B is that of a network that is built anew.

    shape: of a sample of the data.

    Raises
    ------
    RunError, SpecError
        The weights are not kept, or damaged, or of another network.
    """
    weights = job.weights
    n_out = len(weights[f"b{len(setting.network.hidden) + 1}"])
    network = build(setting, seen(setting, shape), n_out, job.seed)
    return handed_over(network, setting, job.seed, weights, "transpose", str(job.folder / "weights.npz"))


def _require_alike(setting: Setting, trained: Setting, pathway: str) -> None:
    """Refuse what a setting says of how B is made where B is taken over from a run, of which it is not true."""
    for name in type(setting.feedback).DRAWN:
        asked, made = getattr(setting.feedback, name), getattr(trained.feedback, name)
        if asked not in (made, type(setting.feedback).model_fields[name].default):
            allowed = "none" if made is None else quoted(made)
            raise SpecError(
                f"feedback.{name}: {quoted(asked)}, but B is taken over from network.from_run = "
                f"{quoted(setting.network.from_run)}, where it was made with {allowed}; allowed: leave it out, or a run "
                f"whose feedback.pathway is not {pathway!r}"
            )


def source(path: str, seed: int) -> tuple[record.Job, Setting]:
    """The job RUN/CONDITION of a seed, and its setting."""
    folder, condition = Path(path).parent, Path(path).name
    run = record.Run(folder)
    job = next((job for job in run.jobs if (job.condition, job.seed) == (condition, seed)), None)
    if job is None:
        raise RunError(
            f"network.from_run: {folder} has no condition {condition!r} with the seed {seed}; it has the conditions "
            f"{', '.join(run.settings)} and the seeds {', '.join(map(str, run.experiment.seeds))}"
        )
    if job.trained is None and not job.keeps("weights"):
        raise RunError(
            f"network.from_run: {folder} has not finished training the condition {condition!r} with the seed {seed} "
            f"({run.status}); to finish it: localdfa resume {folder}"
        )
    return job, run.settings[condition]


def source_paths(experiment: Experiment) -> list[str]:
    """RUN/CONDITION of each condition that starts from another run."""
    return [path for setting in settings(experiment).values() if (path := setting.network.from_run)]


def fingerprint(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of the weights that conditions start from, where they start from those of another run."""
    digest, paths = hashlib.sha256(), source_paths(experiment)
    for path in paths:
        for seed in experiment.seeds:
            for array in source(path, seed)[0].weights.values():
                digest.update(np.ascontiguousarray(array).data)
    return {"from_run": digest.hexdigest()} if paths else {}
