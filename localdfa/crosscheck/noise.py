"""The update of a spiking network against exact DFA of its f–I curve: signal, noise, and what theory says of their cosine.

*Signal.* A nudge of T ms moves the rate of a neuron by Δr, and its trace, in the mean, by τ_z Δr (1 − e^{−T/τ_z}); so E[Δw] =
τ_x r_x · τ_z Δr (1 − e^{−T/τ_z}), in units of activity (1 − e^{−T/τ_z}) times the update G of the settled network under that β.

*Noise.* Under a constant drive a neuron spikes periodically, and its trace is known but for its phase. s ms after a spike it is
e^{−s/τ}/(1 − q), with q = e^{−1/(r τ)}. Over a phase that is uniform in the interval 1/r

    mean      r ∫ e^{−s/τ} ds / (1 − q)                                    = τ r
    variance  r ∫ e^{−2s/τ} ds / (1 − q)² − (τ r)² = (τ r/2)(1 + q)/(1 − q) − (τ r)² = (τ r/2) coth(1/(2 r τ)) − (τ r)²,

the *ripple*, which tends to 1/12 for r τ ≫ 1: a jump of 1 is spread evenly. The trace is read where the gate opens and where it
closes, at phases taken as independent, so a one-sided Δz has the ripples of both moments, and half the difference of those at
+β and −β has (2 V(r) + V(r₊) + V(r₋))/4. Divided by β, in units of activity and times x_j, summed over a mini-batch of
independent samples, that is the noise N² = Σ_s |x_s|² Σ_i (gain/(β τ_z))² V_si of an update, and with exact DFA D

    cosine = w ⟨G, D⟩ / (|D| √(w² |G|² + N²)),   w = 1 − e^{−T/τ_z}.

It holds where drives are constant, phases random, and T spans some intervals. Where a layer is driven by spikes, intervals are
irregular, and x ripples as well, so its noise is larger; the formula then is that of its best case at small β. An adapting
threshold answers a nudge faster than it settles, so there the formula is a guide only.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from localdfa import measure, outputs, registry
from localdfa.core.rate.activation import response
from localdfa.core.spiking import batch as spikes
from localdfa.crosscheck import subject
from localdfa.errors import SpecError
from localdfa.network import WATCHED, Network, generator
from localdfa.spec import Setting
from localdfa.spec.tables import Certify


def require(network: Network, setting: Setting, n_features: int) -> None:
    """Refuse a network whose update no settled network stands for.

    Raises
    ------
    SpecError
        The message names the key.
    """
    if not network.layered or any(joint.targets is not None for joint in network.projections):
        raise SpecError("network.projection: exact DFA is that of dense layers, each to the next; allowed here: none")
    if network.sizes[0] != n_features:
        raise SpecError(f"input.code: {setting.input.code!r} has no settled network; allowed here: one activity an input")
    if network.output.spiking:
        allowed = outputs.named(spiking=False)
        raise SpecError(f"network.output: {setting.network.output!r} is not compared with exact DFA; allowed here: {allowed}")


def ripple(rate: np.ndarray, tau: float) -> np.ndarray:
    """The variance of the trace of a periodic train over its phase; rate: spikes per ms; tau: of the trace, ms."""
    mean = tau * np.asarray(rate, np.float64)
    spikes = mean > 0
    one = np.where(spikes, mean, 1.0)
    return np.where(spikes, one / 2 / np.tanh(0.5 / one) - one**2, 0.0)


def measured(
    network: Network, setting: Setting, inputs: np.ndarray, targets: np.ndarray, seed: int, limits: Certify,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:  # fmt: skip
    """One entry for each window (ms), β and batch: cosine of the update of each hidden layer to exact DFA, and theory's.

    inputs (m, n_in + 1), the last column ones; targets (m, n_out). Cosines are means over as many mini-batches as there are.

    Raises
    ------
    SpecError
        There are fewer samples than in any mini-batch.
    """
    batches = sorted({size for size in limits.batches if size <= len(inputs)})
    if not batches:
        raise SpecError(f"certify.batches: {limits.batches}; allowed: one of at most {len(inputs)} samples")
    blocks = [slice(i, i + math.gcd(*batches)) for i in range(0, len(inputs), math.gcd(*batches))]
    exact = [measure.update(network, setting, "dfa", inputs[rows], targets[rows]) for rows in blocks]
    found = []
    for beta in sorted(set(limits.nudges)):
        theory = [_theory(network, _with(setting, beta, None), inputs[rows], targets[rows]) for rows in blocks]
        for window in sorted(set(limits.windows)):
            say(f"updates, nudges of {window:g} ms with β = {beta:g}")
            case, rng = _with(setting, beta, window), generator(seed, WATCHED)
            own = [spikes.simulate(network, case, inputs[rows], targets[rows], rng).totals() for rows in blocks]
            reached = 1 - math.exp(-window / setting.trace.tau_z)
            for size in batches:
                groups = list(_groups(len(inputs), size, blocks[0].stop))
                pairs = [(_sum(own, group), _sum(exact, group)) for group in groups]
                expected = [
                    _cosines(_sum([g for g, _ in theory], group), _sum([n for _, n in theory], group), of, reached)
                    for group, (_, of) in zip(groups, pairs, strict=True)
                ]
                found.append({
                    "window": window, "beta": beta, "batch": size, "updates": len(groups),
                    "cosine": np.mean([measure.compare(*pair)["cosine"] for pair in pairs], axis=0).tolist(),
                    "theory": np.mean(expected, axis=0).tolist(),
                })  # fmt: skip
    return found


def best(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The setting whose worst layer is closest to exact DFA."""
    return max(found, key=lambda entry: min(entry["cosine"]))


def judge(found: list[dict[str, Any]], constant: int, limits: Certify) -> Iterator[dict[str, Any]]:
    """The cosines at the best setting; and theory's error in the first `constant` layers, whose drive is constant."""
    at = best(found)
    where = f"nudge of {at['window']:g} ms, β = {at['beta']:g}, batch {at['batch']}"
    for l, cosine in enumerate(at["cosine"]):
        yield subject.row(f"layer {l + 1}: cosine to DFA, {where}", cosine, least=limits.spiking_cosine)
    for l in range(constant):
        gap = max(abs(entry["cosine"][l] - entry["theory"][l]) for entry in found)
        yield subject.row(f"layer {l + 1}: cosine against theory, largest difference", gap, most=limits.theory)


def constant_layers(setting: Setting) -> int:
    """How many layers have constant drives and thresholds: the first one, where inputs are currents and nothing adapts."""
    adapts = registry.get("neurons", setting.network.neuron).adapts
    return int(not adapts and not registry.get("inputs", setting.input.code).spikes)


def _with(setting: Setting, beta: float, window: float | None) -> Setting:
    phases: dict[str, Any] = {"beta": beta} | ({} if window is None else {"nudged": window, "gate": None})
    return setting.model_copy(update={"phases": setting.phases.model_copy(update=phases)})


def _groups(samples: int, size: int, block: int) -> Iterator[range]:
    """The blocks of each mini-batch."""
    width = size // block
    return (range(i * width, (i + 1) * width) for i in range(samples // size))


def _sum(updates: list[list[np.ndarray]], group: range) -> list[np.ndarray]:
    return [sum(layer) for layer in zip(*(updates[i] for i in group), strict=True)]  # type: ignore[misc]


def _theory(network: Network, setting: Setting, x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The update G of the settled network of each layer, and N² of each hidden layer."""
    trial, change = measure.changes(network, setting, "local", x, y)
    error, (beta, p) = network.output.error(trial.prediction, y), (setting.phases.beta, network.neuron)
    noise = []
    for l, (drive, matrix) in enumerate(zip(trial.drive[:-1], network.feedback, strict=True)):
        nudge = np.zeros_like(drive) if matrix is None else beta * error @ matrix.T
        still, up, down = (ripple(response(p, a) / p.gain, setting.trace.tau_z) for a in (drive, drive - nudge, drive + nudge))
        variance = (2 * still + up + down) / 4 if setting.phases.nudging == "centered" else still + up
        scale = (p.gain / (beta * setting.trace.tau_z)) ** 2
        noise.append(scale * np.square(trial.sent[l]).sum(axis=1) @ variance.sum(axis=1))
    return measure.gradients(trial, change), noise


def _cosines(settled: list[np.ndarray], noise: list[np.ndarray], exact: list[np.ndarray], reached: float) -> list[float]:
    """Theory's cosine of each hidden layer."""
    found = []
    for g, n, d in zip(settled, noise, exact, strict=False):
        size = float(np.linalg.norm(d)) * math.sqrt(reached**2 * float(np.square(g).sum()) + float(n))
        found.append(reached * float(np.vdot(g, d)) / size if size > 0 else float("nan"))
    return found
