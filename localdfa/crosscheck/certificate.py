"""The certificate: does the local rule of a spec follow the exact rule with its feedback? Judged by other code, in float64.

The exact rule is DFA where feedback is direct, FA where it goes from layer to layer. At initialisation and along training, per
hidden layer: how far the update of the local rule is from that of the exact rule and of BP, at the spec's own nudging and over
β; whether both implementations of the local rule agree. Then the training as a whole: the core's network under ``local``
against PyTorch's under the exact rule, from the same weights, samples in the same order.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from localdfa import measure, registry
from localdfa.core import blas
from localdfa.crosscheck import subject
from localdfa.crosscheck.pytorch.device import arithmetic, device
from localdfa.crosscheck.pytorch.learner import Learner, check, trains
from localdfa.data.trains import array_of
from localdfa.engines import dropout
from localdfa.network import NOISE, ORDER, PROBE, Network, generator, rewired
from localdfa.orders import ABOVE_ROUNDING, ORDERS, slope
from localdfa.progress import Progress
from localdfa.record import Job, Run, origin, plain
from localdfa.samples import Part, load_samples, parts
from localdfa.spec import Experiment, Setting, settings
from localdfa.trainer import Trainer


def certified(found: Experiment) -> tuple[str, Experiment]:
    """The chosen condition and the experiment that is certified: that condition alone, one seed, one stage, in float64.

    Raises
    ------
    SpecError
        There is no such condition, or it has what cannot be certified.
    """
    name, setting = subject.chosen(found)
    check(setting)
    return name, subject.alone(found, setting, stage=[{"epochs": max(1, *found.certify.epochs)}])


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
        of = parts(load_samples(alone), setting)
        sample = np.sort(generator(seed, PROBE).permutation(len(of["train"]))[: alone.certify.samples])
        probe = of["train"].array[sample], of["train"].targets[sample]
        checkpoints, trajectory = [], []
        for epoch, network, row in _training(witness, of, max(alone.certify.epochs), say):
            trajectory += [] if row is None else [row]
            if epoch in alone.certify.epochs:
                say(f"epoch {epoch}: comparing updates")
                checkpoints.append({"epoch": epoch, "of": "training", "layers": witness.compare(network, *probe, alone)})
        if run is not None:
            network, epoch = subject.trained(run, name, setting, of["train"])
            say(f"epoch {epoch} of the run: comparing updates")
            checkpoints.append({"epoch": epoch, "of": "run", "layers": witness.compare(network, *probe, alone)})
    rows = list(judge(checkpoints, trajectory, alone))
    return plain({
        "kind": "rate", **subject.verdict(rows), "condition": name, "exact": witness.exact,
        "pathway": setting.pathway_of("local"), "seed": seed, "device": where, **origin(),
        "in_percent": setting.output.in_percent,
        "spec": alone.model_dump(exclude_none=True), "rows": rows, "checkpoints": checkpoints, "trajectory": trajectory,
    })  # fmt: skip


class _Witness:
    """PyTorch beside the core, on networks of one setting and seed."""

    def __init__(self, setting: Setting, seed: int, where: str) -> None:
        self.setting, self.seed, self._where = setting, seed, where

    def learner(self, network: Network, rule: str, **phases: Any) -> Learner:
        """A network as the core has it, to learn in PyTorch by a rule."""
        setting = _with(self.setting, rule, phases)
        return Learner(setting, [rewired(network, setting, rule, self.seed)], self._where)

    @property
    def exact(self) -> str:
        """The exact rule that the local one stands for: that which has its pathway."""
        return subject.exact_rule(self.setting)

    def compare(self, network: Network, inputs: np.ndarray, targets: np.ndarray, alone: Experiment) -> list[dict[str, Any]]:
        """What is measured of each layer: the hidden ones against the exact rule and BP, and all on both sides.

        inputs (m, n_in + 1), the last column ones; targets (m, n_out).
        """

        def theirs(rule: str, **phases: Any) -> list[np.ndarray]:
            learner = self.learner(network, rule, **phases)
            return learner.gradients(learner.tensor(inputs[:, :-1]), learner.tensor(targets))

        def ours(**phases: Any) -> list[np.ndarray]:
            return measure.update(network, _with(self.setting, "local", phases), "local", inputs, targets)

        prescribed, bp, local, again = theirs(self.exact), theirs("bp"), ours(), theirs("local")
        pairs = {
            "local_exact": (local, prescribed),
            "pytorch_exact": (again, prescribed),
            "local_bp": (local, bp),
            "exact_bp": (prescribed, bp),
        }
        compared = {name: measure.compare(*pair) for name, pair in pairs.items()}
        layers: list[dict[str, Any]] = [
            {"layer": l + 1, **{name: {key: found[key][l] for key in found} for name, found in compared.items()}}
            for l in range(network.n_hidden)
        ]
        layers.append({"layer": network.n_hidden + 1})  # the output
        for layer, a, b in zip(layers, local, again, strict=True):
            layer["agreement"] = _difference(a, b)
        betas, rounding = sorted(alone.certify.betas), self._rounding(network, inputs, prescribed)
        for nudging, order in ORDERS.items():
            swept = [measure.compare(ours(beta=beta, nudging=nudging), prescribed) for beta in betas]
            for l, layer in enumerate(layers[:-1]):
                error, noise = [s["relative_error"][l] for s in swept], [rounding[l] / beta for beta in betas]
                value, used = slope(betas, error, noise)
                exact = value is None and error[0] <= ABOVE_ROUNDING * noise[0]
                layer[nudging] = {
                    "beta": betas, "relative_error": error, "cosine": [s["cosine"][l] for s in swept], "rounding": noise,
                    "order": order, "slope": value, "fitted": used, "exact": exact,
                }  # fmt: skip
        return layers

    def _rounding(self, network: Network, inputs: np.ndarray, prescribed: list[np.ndarray]) -> list[float]:
        """β times the relative error that rounding makes in the update of each hidden layer.

        An activity h is known to ε |h|, so Δz/β to ε |h|/β, and what the mini-batch sums to (ε/β) √Σ |h|² |x|².
        """
        learner = self.learner(network, "local")
        trial = learner.stack.free(learner.tensor(inputs[:, :-1]), learner.whole)
        epsilon, found = float(np.finfo(np.float64).eps), []
        for x, h, g in zip(trial.x, trial.activity, prescribed, strict=False):
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


def _training(
    witness: _Witness, of: dict[str, Part], epochs: int, say: Callable[[str], None]
) -> Iterator[tuple[int, Network, dict[str, Any] | None]]:
    """Train both sides, an epoch of the one and then of the other: (epoch, the core's network, both errors) from epoch 0.

    The core alone, without errors, where PyTorch cannot draw what the core draws.
    """
    setting, seed, size = witness.setting, witness.seed, witness.setting.batch_size
    trainer = Trainer(setting, of, Job(Path(), "local", seed))
    learner = witness.learner(trainer.network, witness.exact) if trains(setting) else None
    if learner is None:  # the core alone
        yield 0, trainer.network, None
        for epoch in range(epochs):
            say(f"epoch {epoch + 1} of {epochs}: local, Numba")
            trainer.train_epoch(Progress())
            trainer.follow_weights()
            yield epoch + 1, trainer.network, None
        return
    y = learner.tensor(of["train"].targets)
    yield 0, trainer.network, _both(0, trainer, learner, of["test"])
    for epoch in range(epochs):
        say(f"epoch {epoch + 1} of {epochs}: local, Numba")
        trainer.train_epoch(Progress())
        trainer.follow_weights()
        say(f"epoch {epoch + 1} of {epochs}: {witness.exact}, PyTorch")
        order = generator(seed, ORDER, epoch).permutation(len(y))
        noise = generator(seed, NOISE, epoch)
        for start in range(0, len(y), size):
            batch = order[start : start + size]
            x = learner.tensor(array_of(of["train"].draw(batch, noise))[:, :-1])
            found = dropout(setting, trainer.network, noise, len(batch))
            masks = [mask if mask is None else learner.tensor(mask) for mask in found]
            learner.step(x, y[batch], masks)
        yield epoch + 1, trainer.network, _both(epoch + 1, trainer, learner, of["test"])


def _both(epoch: int, trainer: Trainer, learner: Learner, test: Part) -> dict[str, Any]:
    """Test errors in percent on both sides, and the relative distance between their weights, layer by layer."""
    output = trainer.network.output
    drive = learner.drive(learner.tensor(test.array[:, :-1])).cpu().numpy()
    return {
        "epoch": epoch,
        "local_error": output.percent(trainer.evaluate(test)),
        "exact_error": output.percent(output.measured(output.tally(trainer.network.neuron, drive, test.targets), test.targets)),
        "weight_distance": [_difference(*pair) for pair in zip(trainer.network.weights, learner.weights(), strict=True)],
    }


def judge(checkpoints: list[dict[str, Any]], trajectory: list[dict[str, Any]], alone: Experiment) -> Iterator[dict[str, Any]]:
    """Every tolerance, one row each: its name, the value, the bound, whether it holds. What is undefined does not.

    Slopes are not judged where the error is that of rounding at every β, or where f has kinks, so that it has no order in β.
    """
    exact = subject.exact_rule(next(iter(settings(alone).values())))
    limits, kinked = alone.certify, getattr(registry.get("neurons", alone.network.neuron), "kinked", False)
    for checkpoint in checkpoints:
        when = f"epoch {checkpoint['epoch']}" + (" of the run" if checkpoint["of"] == "run" else "")
        for layer in checkpoint["layers"]:
            where = f"{when}, layer {layer['layer']}"
            if "local_exact" in layer:
                for side, pair in (("Numba", "local_exact"), ("PyTorch", "pytorch_exact")):
                    yield subject.row(f"{where}: cosine to {exact.upper()}, {side}", layer[pair]["cosine"], least=limits.cosine)
            for nudging, order in ORDERS.items():
                if not kinked and nudging in layer and not layer[nudging]["exact"]:
                    yield subject.row(f"{where}: slope, {nudging}", layer[nudging]["slope"], least=order - limits.slope)
            yield subject.row(f"{where}: Numba against PyTorch", layer["agreement"], most=limits.agreement)
    if len(trajectory) > 1:
        gap = max(abs(each["local_error"] - each["exact_error"]) for each in trajectory)
        yield subject.row(f"{alone.output.in_percent}s under local and {exact}", gap, most=limits.error_difference)
