"""The network that a training starts from: built anew, or with the weights and B of a finished run."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import arrays, record
from localdfa.errors import RunError, SpecError, quoted, resuming
from localdfa.geometry import seen
from localdfa.network import Network, build, handed_over
from localdfa.spec import Experiment, Setting, derived, settings
from localdfa.spec.tables import GIVEN

# Of arrays of a start, those of the feedback of hidden layers: B1, B2 … B0 is of the inputs, and goes with any pathway.
_OF_FEEDBACK = re.compile(r"B[1-9]\d*").fullmatch
# Weights and B by name, as a run keeps them.
Start = Mapping[str, np.ndarray]


def begin(setting: Setting, shape: tuple[int, ...], n_out: int, seed: int, start: Start | None = None) -> Network:
    """The network of one condition and seed before training: built anew, or with the weights and B of a finished run.

    start: the weights of a script, for a setting with ``network.weights = "given"``, and B where it is to be theirs.

    Raises
    ------
    RunError, SpecError
        There is no such run, condition or seed, or it is not finished; or it does not fit.
    """
    if setting.network.weights == GIVEN and start is not None:
        pathway = setting.pathway_of(setting.rule_of(setting.stage[0])) if any(map(_OF_FEEDBACK, start)) else "transpose"
        network = build(_drawn(setting), shape, n_out, seed)
        _require_known(network, start)
        return handed_over(network, setting, seed, start, pathway, "weights")
    network = build(setting, shape, n_out, seed)
    if setting.network.from_run is None:
        return network
    job, trained = source(setting.network.from_run, seed)
    last = job.last
    stage = trained.stage[-1 if last is None else last["stage"]]  # a callback may have ended training before the last one
    if stage.layer_rules:
        raise SpecError(
            f"network.from_run: {setting.network.from_run!r} ends with a stage of layer_rules, whose layers differ in their "
            f"pathways; allowed: a condition whose last stage has one rule"
        )
    pathway = trained.pathway_of(trained.rule_of(stage))
    if pathway in {setting.pathway_of(rule) for _, rule in derived.rules_of(setting)}:
        _require_alike(setting, trained, pathway)
    return handed_over(network, setting, seed, job.weights, pathway, f"network.from_run: {job.folder / 'weights.npz'}")


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
    network = build(_drawn(setting), seen(setting, shape), n_out, job.seed)
    return handed_over(network, setting, job.seed, weights, "transpose", str(job.folder / "weights.npz"))


def _require_known(network: Network, start: Start) -> None:
    """Refuse arrays of which this network takes nothing over."""
    layers, known = range(1, network.n_hidden + 2), set[str]()
    for name in network.names:
        known |= {f"{kind}{name}" for kind in ("W", "b", "pre", "post")}
    known |= {f"B{l}" for l in range(network.n_hidden + 1)}
    known |= {f"{kind}{l}" for l in layers for kind in ("gain", "mean", "variance")}
    # W of other projections are named by `handed_over`.
    if strange := [name for name in start if name not in known and not name.startswith("W")]:
        there = [f"W{name}, b{name}" for name in network.names]
        raise SpecError(
            f"weights: {quoted(strange[0])} is nothing that this network takes over; allowed: {', '.join(there)}, and B1 to "
            f"B{network.n_hidden}"
        )


def _drawn(setting: Setting) -> Setting:
    """The same setting with weights that are drawn, which others then take the place of."""
    if setting.network.weights != GIVEN:
        return setting
    return setting.model_copy(update={"network": setting.network.model_copy(update={"weights": "uniform"})})


def given_start(weights: Any) -> dict[str, np.ndarray]:
    """The weights of a script as arrays by name.

    Raises
    ------
    SpecError
        They are no dict of arrays of numbers.
    """
    if not isinstance(weights, Mapping) or not weights:
        raise SpecError(
            f"weights: {quoted(weights)}; allowed: a dict of arrays, W1 (n_post, n_pre), b1 (n_post,) …, B1 …, or "
            f"the path of a file of safetensors that has them"
        )
    found = {}
    for name, value in weights.items():
        try:
            array = np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise SpecError(f"weights: {name}: {error}; allowed: an array of numbers") from None
        if array.dtype.kind not in "fiu":
            raise SpecError(f"weights: {name} is {array.dtype}; allowed: numbers")
        found[str(name)] = array if array.dtype.kind == "f" else array.astype(np.float64)
    return found


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
    try:
        run = record.Run(folder)
    except RunError as error:
        raise RunError(f"network.from_run: {path!r}: {error}; allowed: RUN/CONDITION, as runs/digits/local") from None
    job = next((job for job in run.jobs if (job.condition, job.seed) == (condition, seed)), None)
    if job is None:
        raise RunError(
            f"network.from_run: {folder} has no condition {condition!r} with the seed {seed}; it has the conditions "
            f"{', '.join(run.settings)} and the seeds {', '.join(map(str, run.experiment.seeds))}"
        )
    if job.trained is None and not job.keeps("weights"):
        raise RunError(
            f"network.from_run: {folder} has not finished training the condition {condition!r} with the seed {seed} "
            f"({run.status}); to finish it: {resuming(folder)}"
        )
    return job, run.settings[condition]


def source_paths(experiment: Experiment) -> list[str]:
    """RUN/CONDITION of each condition that starts from another run."""
    return [path for setting in settings(experiment).values() if (path := setting.network.from_run)]


def fingerprint(experiment: Experiment, start: Start | None = None) -> dict[str, str]:
    """SHA-256 of the weights that conditions start from, where they start from those of another run, or of a script."""
    digest, paths = hashlib.sha256(), source_paths(experiment)
    for path in paths:
        for seed in experiment.seeds:
            for array in source(path, seed)[0].weights.values():
                digest.update(np.ascontiguousarray(array).data)
    found = {"from_run": digest.hexdigest()} if paths else {}
    return found if start is None else {**found, "start": arrays.checksum(start)}
