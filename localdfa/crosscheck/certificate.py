"""The certificate: does the local rule of a spec follow exact DFA? Judged by an independent implementation, in float64.

At initialisation and along training, per hidden layer: how far the update of the local rule is from exact DFA and from BP,
at the spec's own nudging and over β; whether both implementations of the local rule agree. Then the training as a whole:
the core's network under ``local`` against PyTorch's under ``dfa``, from the same weights, samples in the same order.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import measure
from localdfa.core import blas
from localdfa.crosscheck.pytorch.device import arithmetic, device
from localdfa.crosscheck.pytorch.learner import KINKED, Learner, check
from localdfa.engines import dropout
from localdfa.errors import RunError, SpecError
from localdfa.network import NOISE, ORDER, PROBE, Network, generator, in_precision, rewired
from localdfa.record import Job, Run, origin, plain
from localdfa.spec import Experiment, Setting, experiment, settings
from localdfa.train import Part, Progress, Trainer, begin, load, parts

# The order of the local rule's error in β, by nudging.
ORDERS = {"one_sided": 1, "centered": 2}
# A point counts in a slope where its error is this many times that of rounding, and, where there are _POINTS such, where
# it is at most _ASYMPTOTIC, so that higher orders of β do not bend the line.
_ABOVE_ROUNDING, _ASYMPTOTIC, _POINTS = 10.0, 1e-2, 3


def chosen(found: Experiment) -> tuple[str, Setting]:
    """The condition that is certified, by name: the first whose rule is local.

    Raises
    ------
    SpecError
        There is none, or it has what cannot be certified.
    """
    own = settings(found)
    name = next((name for name, setting in own.items() if setting.rule == "local"), None)
    if name is None:
        raise SpecError(f"no condition has rule = 'local', which is what a certificate is about; there are {', '.join(own)}")
    setting = own[name]
    check(setting)
    if setting.pathway_of("local") != "direct":
        raise SpecError(
            f"feedback.pathway: {setting.pathway_of('local')!r} does not lead to DFA, with which a certificate compares; "
            f"allowed: 'direct'"
        )
    return name, setting


def certified(found: Experiment) -> tuple[str, Experiment]:
    """The chosen condition and the experiment that is certified: that condition alone, one seed, one stage, in float64."""
    name, setting = chosen(found)
    tables = setting.model_dump(exclude_unset=True)
    tables |= {"rule": "local", "precision": "float64", "stage": [{"epochs": max(1, *found.certify.epochs)}]}
    kept = found.model_dump(include={"title", "data", "preprocess", "certify"})
    # What `weights = "auto"` stands for depends on every stage, so it is settled before they are dropped.
    tables["network"] = {**tables.get("network", {}), "weights": setting.initial_weights}
    return name, experiment({**tables, **kept, "seeds": found.seeds[:1]})


def certify(
    found: Experiment, where: str = "cpu", run: Run | None = None, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The certificate of an experiment, as it is written to certificate.json; None stands for what is undefined.

    Parameters
    ----------
    found: the experiment.
    where: ``cpu`` or ``cuda``, for PyTorch.
    run: a run of it, whose final weights are to be certified as well.
    say: told what goes on.

    Raises
    ------
    SpecError, DataError, RunError, NonFiniteError, LocalDFAError
        It cannot be certified; its data cannot be had; the run has no weights; training diverged; there is no such device.
    """
    name, alone = certified(found)
    setting, seed = next(iter(settings(alone).values())), alone.seeds[0]
    with arithmetic(), blas.one_thread():
        witness = _Witness(setting, seed, str(device(where)))
        say("reading the data")
        of = parts(load(alone), "float64")
        sample = np.sort(generator(seed, PROBE).permutation(len(of["train"]))[: alone.certify.samples])
        probe = of["train"].inputs[sample], of["train"].targets[sample]
        checkpoints, trajectory = [], []
        for epoch, network, row in _training(witness, of, max(alone.certify.epochs), say):
            trajectory.append(row)
            if epoch in alone.certify.epochs:
                say(f"epoch {epoch}: comparing updates")
                checkpoints.append({"epoch": epoch, "of": "training", "layers": witness.compare(network, *probe, alone)})
        if run is not None:
            network, epoch = _trained(run, name, setting, of["train"])
            say(f"epoch {epoch} of the run: comparing updates")
            checkpoints.append({"epoch": epoch, "of": "run", "layers": witness.compare(network, *probe, alone)})
    rows = list(judge(checkpoints, trajectory, alone))
    return plain({
        "holds": all(row["holds"] for row in rows), "failed": [row["name"] for row in rows if not row["holds"]],
        "condition": name, "seed": seed, "device": where, **origin(), "spec": alone.model_dump(exclude_none=True),
        "rows": rows, "checkpoints": checkpoints, "trajectory": trajectory,
    })  # fmt: skip


class _Witness:
    """PyTorch beside the core, on networks of one setting and seed."""

    def __init__(self, setting: Setting, seed: int, where: str) -> None:
        self.setting, self.seed, self._where = setting, seed, where

    def learner(self, network: Network, rule: str, **phases: Any) -> Learner:
        """A network as the core has it, to learn in PyTorch by a rule."""
        setting = _with(self.setting, rule, phases)
        return Learner(setting, [rewired(network, setting, rule, self.seed)], self._where)

    def compare(self, network: Network, inputs: np.ndarray, targets: np.ndarray, alone: Experiment) -> list[dict[str, Any]]:
        """What is measured of each layer: the hidden ones against DFA and BP, and all on both sides.

        inputs (m, n_in + 1), the last column ones; targets (m, n_out).
        """

        def theirs(rule: str, **phases: Any) -> list[np.ndarray]:
            learner = self.learner(network, rule, **phases)
            return learner.gradients(learner.tensor(inputs[:, :-1]), learner.tensor(targets))

        def ours(**phases: Any) -> list[np.ndarray]:
            return measure.update(network, _with(self.setting, "local", phases), "local", inputs, targets)

        dfa, bp, local, again = theirs("dfa"), theirs("bp"), ours(), theirs("local")
        pairs = {"local_dfa": (local, dfa), "pytorch_dfa": (again, dfa), "local_bp": (local, bp), "dfa_bp": (dfa, bp)}
        compared = {name: measure.compare(*pair) for name, pair in pairs.items()}
        layers: list[dict[str, Any]] = [
            {"layer": l + 1, **{name: {key: found[key][l] for key in found} for name, found in compared.items()}}
            for l in range(network.n_hidden)
        ]
        layers.append({"layer": network.n_hidden + 1})  # the output
        for layer, a, b in zip(layers, local, again, strict=True):
            layer["agreement"] = _difference(a, b)
        betas, rounding = sorted(alone.certify.betas), self._rounding(network, inputs, dfa)
        for nudging, order in ORDERS.items():
            swept = [measure.compare(ours(beta=beta, nudging=nudging), dfa) for beta in betas]
            for l, layer in enumerate(layers[:-1]):
                error, noise = [s["relative_error"][l] for s in swept], [rounding[l] / beta for beta in betas]
                value, used = slope(betas, error, noise)
                exact = value is None and error[0] <= _ABOVE_ROUNDING * noise[0]
                layer[nudging] = {
                    "beta": betas, "relative_error": error, "cosine": [s["cosine"][l] for s in swept], "rounding": noise,
                    "order": order, "slope": value, "fitted": used, "exact": exact,
                }  # fmt: skip
        return layers

    def _rounding(self, network: Network, inputs: np.ndarray, dfa: list[np.ndarray]) -> list[float]:
        """β times the relative error that rounding makes in the update of each hidden layer.

        An activity h is known to ε |h|, so Δz/β to ε |h|/β, and what the mini-batch sums to (ε/β) √Σ |h|² |x|².
        """
        learner = self.learner(network, "local")
        trial = learner.stack.free(learner.tensor(inputs[:, :-1]), learner.whole)
        epsilon, found = float(np.finfo(np.float64).eps), []
        for x, h, g in zip(trial.x, trial.activity, dfa, strict=False):
            spread = float((x.flatten(1).square().sum(1) * h.flatten(1).square().sum(1)).sum().sqrt())
            norm = float(np.linalg.norm(g))
            found.append(epsilon * (1 + spread / norm) if norm > 0 else epsilon)
        return found


def _with(setting: Setting, rule: str, phases: dict[str, Any]) -> Setting:
    """The setting under another rule, with these of its phases changed."""
    return setting.model_copy(update={"rule": rule, "phases": setting.phases.model_copy(update=phases)})


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """|a − b| / |b|; 0 where both are zero."""
    gap = float(np.linalg.norm(a - b))
    return gap / float(np.linalg.norm(b)) if gap else 0.0


def slope(betas: list[float], error: list[float], rounding: list[float]) -> tuple[float | None, list[int]]:
    """The slope of log error against log β by least squares, and the points that it is fitted to.

    A point counts where its error is ten times that of rounding; of those, where there are three such, the ones with an
    error of at most 1 %, otherwise the three of least β. None where fewer than three are clear of rounding.
    """
    clear = [i for i, (e, r) in enumerate(zip(error, rounding, strict=True)) if e > _ABOVE_ROUNDING * r]
    small = [i for i in clear if error[i] <= _ASYMPTOTIC]
    used = small if len(small) >= _POINTS else clear[:_POINTS]
    if len(used) < _POINTS:
        return None, []
    x, y = (np.log(np.take(values, used)) for values in (betas, error))
    return float(np.polyfit(x, y, 1)[0]), used


def _training(
    witness: _Witness, of: dict[str, Part], epochs: int, say: Callable[[str], None]
) -> Iterator[tuple[int, Network, dict[str, Any]]]:
    """Train both sides, an epoch of the one and then of the other: (epoch, the core's network, both errors) from epoch 0."""
    setting, seed, size = witness.setting, witness.seed, witness.setting.batch_size
    trainer = Trainer(setting, of, Job(Path(), "local", seed))
    learner = witness.learner(trainer.network, "dfa")
    x, y = (learner.tensor(array) for array in (of["train"].inputs[:, :-1], of["train"].targets))
    yield 0, trainer.network, _both(0, trainer, learner, of["test"])
    for epoch in range(epochs):
        say(f"epoch {epoch + 1} of {epochs}: local, Numba")
        trainer.train_epoch(Progress())
        say(f"epoch {epoch + 1} of {epochs}: dfa, PyTorch")
        order = generator(seed, ORDER, epoch).permutation(len(x))
        noise = generator(seed, NOISE, epoch)
        for start in range(0, len(x), size):
            batch = order[start : start + size]
            found = dropout(setting, trainer.network, noise, len(batch))
            masks = [mask if mask is None else learner.tensor(mask) for mask in found]
            learner.step(x[batch], y[batch], masks)
        yield epoch + 1, trainer.network, _both(epoch + 1, trainer, learner, of["test"])


def _both(epoch: int, trainer: Trainer, learner: Learner, test: Part) -> dict[str, Any]:
    """Test errors in percent on both sides, and the relative distance between their weights, layer by layer."""
    drive = learner.drive(learner.tensor(test.inputs[:, :-1])).cpu().numpy()
    return {
        "epoch": epoch,
        "local_error": trainer.evaluate(test)[0],
        "dfa_error": measure.error_percent(drive, test.labels),
        "weight_distance": [_difference(*pair) for pair in zip(trainer.network.weights, learner.weights(), strict=True)],
    }


def _trained(run: Run, name: str, setting: Setting, train: Part) -> tuple[Network, int]:
    """The network of a run as its training left it, in float64, and the epoch."""
    job = next(job for job in run.jobs if job.condition == name)
    saved = job.weights
    network = in_precision(begin(setting, train.shape, train.targets.shape[1], job.seed), np.float64)
    for l, weights in enumerate(network.weights):
        try:
            found = np.vstack([saved[f"W{l + 1}"].T, saved[f"b{l + 1}"]]).astype(np.float64)
        except (KeyError, ValueError) as error:
            raise RunError(f"{job.folder / 'weights.npz'}: does not fit this experiment: {error}") from None
        if found.shape != weights.shape:
            raise RunError(
                f"{job.folder / 'weights.npz'}: does not fit this experiment: W{l + 1} and b{l + 1} make "
                f"{found.shape}, not {weights.shape}"
            )
        weights[...] = found
    return network, job.metrics[-1]["epoch"]


def judge(checkpoints: list[dict[str, Any]], trajectory: list[dict[str, Any]], alone: Experiment) -> Iterator[dict[str, Any]]:
    """Every tolerance, one row each: its name, the value, the bound, whether it holds. What is undefined does not.

    Slopes are not judged where the error is that of rounding at every β, or where f has kinks, so that it has no order in β.
    """
    limits = alone.certify

    def row(name: str, value: float | None, least: float | None = None, most: float | None = None) -> dict[str, Any]:
        defined = value is not None and not np.isnan(value)
        holds = defined and (least is None or value >= least) and (most is None or value <= most)  # type: ignore[operator]
        return {"name": name, "value": value, "least": least, "most": most, "holds": bool(holds)}

    for checkpoint in checkpoints:
        when = f"epoch {checkpoint['epoch']}" + (" of the run" if checkpoint["of"] == "run" else "")
        for layer in checkpoint["layers"]:
            where = f"{when}, layer {layer['layer']}"
            if "local_dfa" in layer:
                yield row(f"{where}: cosine to DFA, Numba", layer["local_dfa"]["cosine"], least=limits.cosine)
                yield row(f"{where}: cosine to DFA, PyTorch", layer["pytorch_dfa"]["cosine"], least=limits.cosine)
            for nudging, order in ORDERS.items():
                if alone.network.neuron not in KINKED and nudging in layer and not layer[nudging]["exact"]:
                    yield row(f"{where}: slope, {nudging}", layer[nudging]["slope"], least=order - limits.slope)
            yield row(f"{where}: Numba against PyTorch", layer["agreement"], most=limits.agreement)
    if len(trajectory) > 1:
        gap = max(abs(each["local_error"] - each["dfa_error"]) for each in trajectory)
        yield row("test errors under local and dfa", gap, most=limits.error_difference)
