"""What is measured of a network that learns: how far its updates are from exact DFA and BP, and the state it is in.

Computed on a fixed probe, a few training samples, so that no measure touches the training itself: updates in the precision in
which the network trains and by the same kernels, what is summed over their entries in float64. An angle or error that is
undefined, because an update is zero, is NaN.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from localdfa import registry
from localdfa.core import finite
from localdfa.core.rate import projections
from localdfa.core.rate.activation import exact_change, response
from localdfa.core.rate.settled import FreePhase, free_phase, post_changes
from localdfa.core.spiking import batch as spikes
from localdfa.data.trains import Inputs, array_of
from localdfa.engines import Settled, Spiking, engine, settled_changes
from localdfa.network import WATCHED, WATCHED_AGAIN, Network, generator, rewired, started_anew
from localdfa.rules._exact import Exact
from localdfa.spec import Setting

# A rate neuron is called silent where |h| is at most this, saturated where it is not silent and its slope at most this.
SILENT, SATURATED = 1e-3, 0.05
# A spiking neuron is called silent where it does not spike in the free phase, saturated where its spikes are less than two
# refractory periods apart. A layer with more of them than these fractions is reported.
MOSTLY_SILENT, MOSTLY_SATURATED = 0.9, 0.5


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between two arrays of one shape, NaN where one is zero."""
    a, b = _double(first), _double(second)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / norms if norms > 0 else float("nan")


def _double(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64, copy=False)


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(_double(x)))


def degrees(cos: float) -> float:
    """The angle of a cosine, in degrees."""
    return float(np.degrees(np.arccos(np.clip(cos, -1, 1))))


def changes(
    network: Network,
    setting: Setting,
    rule: str,
    inputs: np.ndarray,
    target: np.ndarray,
    directions: bool = False,
    free: FreePhase | None = None,
) -> tuple[FreePhase, list]:
    """The free phase and the postsynaptic changes of each layer under a rule, settled, without an error threshold.

    inputs (m, n_in + 1), the last column ones; target (m, n_out); directions: as `post_changes` takes it. free: the free phase,
    where it is another one than that of the settled network (`rates`).
    """
    free = free_phase(network, inputs, setting.network.threshold) if free is None else free
    error = network.output.error(free.prediction, target)
    return free, settled_changes(network, setting, rule, free, error, target, directions)[0]


def gradients(free: FreePhase, change: list[np.ndarray]) -> list[np.ndarray]:
    """Σ_samples pre · post change of each layer, shaped like its weights: the direction in which they move."""
    return [projections.total(*layer) for layer in zip(free.route, free.sent, change, strict=True)]


def update(
    network: Network,
    setting: Setting,
    rule: str,
    inputs: Inputs,
    target: np.ndarray,
    rng: np.random.Generator | None = None,
) -> list[np.ndarray]:
    """The update of each projection, shaped as its weights, as a rule trains: from spikes, in time where τ > 0, or settled.

    rng: for input codes that draw spikes at random.
    """
    model = engine(setting, rule)
    if type(model) is Settled:
        return gradients(*changes(network, setting, rule, array_of(inputs), target))
    return model.learn(network, inputs, target, rng or generator(0, WATCHED), frozenset()).totals()


def compare(first: list[np.ndarray], second: list[np.ndarray]) -> dict[str, list[float]]:
    """Per hidden layer: cosine and angle (degrees) between two updates, and the relative error of the first."""
    cosines = [cosine(a, b) for a, b in zip(first[:-1], second[:-1], strict=True)]
    sizes = [_norm(b) for b in second[:-1]]
    return {
        "cosine": cosines,
        "angle": [degrees(c) for c in cosines],
        "relative_error": [
            _norm(_double(a) - b) / n if n > 0 else float("nan") for a, b, n in zip(first[:-1], second[:-1], sizes, strict=True)
        ],
    }


def rates(network: Network, setting: Setting, inputs: np.ndarray, trial: spikes.SpikingTrial) -> FreePhase:
    """The free phase of spiking neurons in the terms of rate neurons: h = gain · rate of every neuron, counted in the trial.

    inputs (m, n_in + 1), the last column ones. Drives are what these activities make, a_l = W_l h_{l−1} + b_l; those of the
    output, and ŷ, are the trial's own.
    """
    phases, p, network = setting.phases, network.neuron, network.as_layers()
    code, m = registry.get("inputs", setting.input.code), len(inputs)
    sent = [inputs, *(np.ones((m, n + 1), network.dtype) for n in network.sizes[1:-1])]
    if code.spikes:
        sent[0] = np.ones((m, network.sizes[0] + 1), network.dtype)
        sent[0][:, :-1] = code.unit(setting.input) / phases.free * trial.input_counts(network.sizes[0], phases.free)
    activity = [(p.gain / phases.free * counts).astype(network.dtype) for counts in trial.counts]
    for layer, h in zip(sent[1:], activity, strict=True):
        layer[:, :-1] = h
    drive = [np.empty_like(h) for h in activity]
    for l, a in enumerate(drive):
        projections.drive(None, network.weights[l], sent[l], a)
    return FreePhase(
        drive=[*drive, trial.drive],
        activity=activity,
        sent=sent,
        mask=[None] * network.n_hidden,
        prediction=trial.prediction,
        threshold=0.0,
        events=trial.events,
        route=[None] * (network.n_hidden + 1),
    )


def probe(
    network: Network,
    setting: Setting,
    rule: str,
    seed: int,
    inputs: Inputs,
    target: np.ndarray,
    repeats: int = 1,
) -> dict[str, Any]:
    """All measures of a network on a probe, a list over the hidden layers each; the norms have the output's as well.

    The rule's own update is measured as it trains: from the spikes of spiking neurons, in time where τ > 0. Exact DFA and BP
    are those of the settled network without thresholds; of spiking neurons those of their own rates, as counted in the same
    trials, with their own error and the slopes of their f–I curve (`rates`). The slope of that curve is infinite at threshold,
    so a few neurons there can make up most of exact DFA, which no finite nudge follows: ``cosine_to_settled`` compares the
    spikes with the same rule and nudge in rate neurons that get these rates and this error, and so shows what spiking itself
    changes. ``cosine_to_exact``, of a rule with phases whose pathway is another than `direct`, compares it with exact feedback
    through the same matrices, c ∘ f'(a). Angles are between summed updates ΔW, biases included. ``alignment`` is the cosine
    between B_l and what it stands in for: W_{l+1}ᵀ under sequential feedback, the product of all weights above under direct
    feedback; NaN where pooling, which no matrix is, stands between. ``signal_cosine`` and its deviation over samples are of the
    signals themselves (`signals`).

    Drives that are normalised are so by the moments of the probe, as in a mini-batch that learns, not by running averages.

    repeats: so many trials of each sample, each with input spikes and initial potentials drawn anew. ``mean_cosine_to_dfa`` and
    ``mean_cosine_to_settled`` are those of updates averaged over them: noise averages out, the bias of a finite nudge stays.
    """
    spiked = None
    if isinstance(engine(setting, rule), Spiking):
        spiked = spikes.simulate(network, setting.under(rule), inputs, target, generator(seed, WATCHED))
        taught = spiked.totals()
    else:
        taught = update(network, setting, rule, inputs, target)
    row = {
        "update_norm": [_norm(g) for g in taught],
        "weight_norm": [_norm(w[:-1]) for w in network.weights],
        "feedback_norm": [float("nan") if b is None else _norm(b) for b in network.matrices],
    }
    settles = network.layered and network.sizes[0] == inputs.shape[1] - 1
    if settles and isinstance(inputs, np.ndarray):  # else no settled network stands for it
        free = None if spiked is None else rates(network, setting, inputs, spiked)
        row |= _against_exact(network.as_layers(), setting, rule, seed, taught, inputs, target, free)
        if spiked is not None and free is not None:
            row |= nudge(network, setting.under(rule), free, target)
            if repeats > 1:
                row |= _averaged(network, setting, rule, seed, inputs, target, spiked, repeats)
    if spiked is not None:
        return row | firing(network.neuron, [counts / setting.phases.free for counts in spiked.counts])
    settled = free_phase(network, array_of(inputs), setting.network.threshold)
    if setting.spiking:
        return row | firing(network.neuron, [h / network.neuron.gain for h in settled.activity])
    return row | activity(network, settled)


def _against_exact(
    network: Network,
    setting: Setting,
    rule: str,
    seed: int,
    taught: list[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    free: FreePhase | None,
) -> dict[str, Any]:
    """The update of a rule, and B, against what they stand in for; see `probe`.

    taught: the update of each projection under the rule. x (m, n_in + 1), y (m, n_out): the probe. free: the free phase of
    spiking neurons, else None.
    """
    exact = free_phase(network, x) if free is None else free  # feedback has no part in it: computed once
    dfa, bp = (_exact(network, setting, name, seed, x, y, exact) for name in ("dfa", "bp"))
    to_dfa, to_bp, dfa_to_bp = compare(taught, dfa), compare(taught, bp), compare(dfa, bp)
    row = {
        "cosine_to_dfa": to_dfa["cosine"],
        "angle_to_dfa": to_dfa["angle"],
        "relative_error_to_dfa": to_dfa["relative_error"],
        "angle_to_bp": to_bp["angle"],
        "angle_dfa_to_bp": dfa_to_bp["angle"],
        "alignment": alignment(network),
        **theorem(network, exact, y),
        **signals(network, exact, y),
    }
    if registry.get("rules", rule).needs_phases and setting.pathway_of(rule) != "direct" and not network.apart:
        row["cosine_to_exact"] = compare(taught, _exact_form(network, x, y, exact))["cosine"]
    if free is not None and (settled := _of_rates(network, setting, rule, x, y, free)):
        row["cosine_to_settled"] = compare(taught, settled)["cosine"]
    return row


def _exact(
    network: Network, setting: Setting, rule: str, seed: int, x: np.ndarray, y: np.ndarray, free: FreePhase
) -> list[np.ndarray]:
    """The update under an exact rule with its own pathway, without thresholds, from this free phase.

    DFA has the matrices of the network, if they lead from the error to every layer, whatever they carry.
    """
    exact, direct = setting.without_threshold().with_own_pathway(), registry.get("feedback", "direct")
    if rule == "dfa" and not network.apart and issubclass(network.pathway, direct):
        wired = replace(network, pathway=direct)
    else:
        wired = rewired(network, exact, rule, seed)
    return _joined(network, gradients(*changes(wired, exact, rule, x, y, rule == "bp", free)))


def _exact_form(network: Network, x: np.ndarray, y: np.ndarray, free: FreePhase) -> list[np.ndarray]:
    """The update δa = c ∘ f'(a) with the signals c of the network's own pathway, from this free phase."""
    error = network.output.error(free.prediction, y)
    change, _ = post_changes(network, Exact(network, None, None), free, error, y)
    return _joined(network, gradients(free, change))


def _of_rates(network: Network, setting: Setting, rule: str, x: np.ndarray, y: np.ndarray, free: FreePhase) -> list[np.ndarray]:
    """The update of rate neurons under the same rule and nudge, from the rates of spiking ones; empty where it has none."""
    if "settled" not in registry.get("rules", rule).engines:
        return []
    # A rule of rate neurons reads the activity before the nudge as f(a), which counts of spikes are but on average.
    curve = [response(network.neuron, a).astype(a.dtype) for a in free.drive[:-1]]
    # What spikes with two compartments send up is without feedback, as while the gate of rate neurons is held.
    twin = setting.held() if setting.phases.propagation == "two_compartment" else setting
    return _joined(network, gradients(*changes(network, twin, rule, x, y, free=replace(free, activity=curve))))


def _joined(network: Network, updates: list[np.ndarray]) -> list[np.ndarray]:
    """What of an update concerns synapses that there are."""
    return [joint.by_synapse(g) for joint, g in zip(network.projections, updates, strict=True)]


def _averaged(
    network: Network, setting: Setting, rule: str, seed: int, x: np.ndarray, y: np.ndarray, first: spikes.SpikingTrial, n: int
) -> dict[str, list[float]]:
    """Cosines between updates that are averaged over n trials of each sample, of which the first is given; see `probe`."""
    layers, trial = network.as_layers(), first
    taught, dfa, settled = (list[np.ndarray]() for _ in range(3))
    for k in range(n):
        if k > 0:
            rng = generator(seed, WATCHED_AGAIN, k)
            trial = spikes.simulate(started_anew(network, rng), setting.under(rule), x, y, rng)
        free = rates(network, setting, x, trial)
        taught = _added(taught, trial.totals())
        dfa = _added(dfa, _exact(layers, setting, "dfa", seed, x, y, free))
        settled = _added(settled, _of_rates(layers, setting, rule, x, y, free))
    row = {"mean_cosine_to_dfa": compare(taught, dfa)["cosine"]}
    return row | ({"mean_cosine_to_settled": compare(taught, settled)["cosine"]} if settled else {})


def _added(total: list[np.ndarray], update: list[np.ndarray]) -> list[np.ndarray]:
    """An update added to the sum of others, an array a projection; the first to no array."""
    return [a + b for a, b in zip(total, update, strict=True)] if total else [_double(g) for g in update]


def theorem(network: Network, free: FreePhase, target: np.ndarray) -> dict[str, Any]:
    """K, L and β of Theorem 1 of Nøkland 2016, for each hidden layer and the pair that it makes with the layer above.

    Means over the samples in which they are defined.

    free: of m samples; target (m, n_out). −δh_l is the update that the network's pathway prescribes for the activity h_l,
    whatever the rule does with it: δh_l = B_l e under direct feedback. Of each sample

        theorem_k     K_l = δh_lᵀ h_l / |δh_l|        (eq. 11), which the prescribed updates lower
        theorem_l     L_l = δh_lᵀ c_l / |δh_l|        (eq. 12), c_l = W_{l+1}ᵀ (δh_{l+1} ∘ f'(a_{l+1}))  (eq. 13)
        theorem_beta  β_l, the angle between δh_l and c_l, in degrees: cos β_l = L_l / |c_l|

    c_l / |δh_{l+1}| is the gradient of K_{l+1} with respect to h_l while δh_{l+1} / |δh_{l+1}| is held, so where L_l > 0, or
    β_l < 90°, the update of layer l lowers the criterion of the layer above, too. Above the last hidden layer stands the
    output, whose δa is e: there c_l = Wᵀ e, the gradient of the loss itself.

    The theorem is about two layers at a time, of which the upper one has a c that comes from below:

        theorem_l_above  L_{l+1} = δh_{l+1}ᵀ c_{l+1} / |δh_{l+1}|, c_{l+1} = (W_{l+1} δh_l) ∘ f'(a_{l+1})
        theorem_k_pair   K = K_l + K_{l+1}
        theorem_l_pair   L = L_l + L_{l+1}

    Lowering K teaches W_{l+1} a part −K_l ∂L_l/∂W_{l+1} (eq. 19), which raises L where K_l < 0. At the top the drive stands for
    the activity of the output and e for its δh: theorem_k_output is K = eᵀ a_y / |e|, and c = W δh.
    """
    error = network.output.error(free.prediction, target)
    write_change = exact_change(network.neuron.__class__)
    signal, change, shift, passed = _prescribed(network, free, error, target)
    for l, reached in network.reached.items():
        signal[l] *= reached
    signal[-1][...] = error
    prescribed = [_double(delta) for delta in signal]
    sizes = [np.linalg.norm(delta, axis=1) for delta in prescribed]
    criteria = [_dot(delta, h) for delta, h in zip(prescribed, [*free.activity, free.drive[-1]], strict=True)]
    keys = ("theorem_k", "theorem_l", "theorem_beta", "theorem_l_above", "theorem_k_pair", "theorem_l_pair")
    row: dict[str, Any] = {key: [] for key in keys}
    for l in range(network.n_hidden):
        weights, route = network.weights[l + 1], free.route[l + 1]
        back, forth = np.empty_like(signal[l]), np.empty_like(signal[l + 1])
        projections.descend(route, -1.0, weights[:-1], change[l + 1], back)
        projections.climb(route, 1.0, weights, signal[l], forth)
        if l + 1 < network.n_hidden:
            write_change(network.neuron, free.drive[l + 1], -forth, forth)
        steep = sizes[l] * np.linalg.norm(_double(back), axis=1)
        both, below, above = sizes[l] * sizes[l + 1], _dot(prescribed[l], back), _dot(prescribed[l + 1], forth)
        row["theorem_k"].append(_mean(criteria[l], sizes[l]))
        row["theorem_l"].append(float(np.ldexp(_mean(below, sizes[l]), shift[l + 1])))
        row["theorem_beta"].append(_mean(np.degrees(np.arccos(np.clip(_ratio(below, steep), -1, 1))), steep > 0))
        row["theorem_l_above"].append(float(np.ldexp(_mean(above, sizes[l + 1]), passed[l])))
        row["theorem_k_pair"].append(_mean(criteria[l] * sizes[l + 1] + criteria[l + 1] * sizes[l], both))
        total = np.ldexp(below, shift[l + 1]) * sizes[l + 1] + np.ldexp(above, passed[l]) * sizes[l]
        row["theorem_l_pair"].append(_mean(total, both))
    return {**row, "theorem_k_output": _mean(criteria[-1], sizes[-1])}


def signals(network: Network, free: FreePhase, target: np.ndarray) -> dict[str, list[float]]:
    """How near the signal c_l that the network's pathway brings is to the gradient of the loss, for each hidden layer.

    free: of m samples; target (m, n_out). signal_cosine: the cosine between c_l and ∂L/∂h_l, which back-propagation finds in
    the same weights, mean over the samples in which it is defined; signal_cosine_sd: its standard deviation over them (Launay
    et al. 2019 call them alignment). c_l is taken before the layer's own bottleneck, if it has one, and ∂L/∂h_l is the gradient
    itself, whatever bottlenecks there are.
    """
    error = network.output.error(free.prediction, target)
    true = replace(network, pathway=registry.get("feedback", "transpose"), apart={}, reached={})
    own, gradient = _prescribed(network, free, error, target)[0], _prescribed(true, free, error, target)[0]
    row: dict[str, list[float]] = {"signal_cosine": [], "signal_cosine_sd": []}
    for c, g in zip(own[:-1], gradient[:-1], strict=True):
        sizes = np.linalg.norm(_double(c), axis=1) * np.linalg.norm(_double(g), axis=1)
        cosines = np.clip(_dot(c, g)[sizes > 0] / sizes[sizes > 0], -1, 1)
        row["signal_cosine"].append(float(cosines.mean()) if cosines.size else float("nan"))
        row["signal_cosine_sd"].append(float(cosines.std()) if cosines.size else float("nan"))
    return row


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of each sample: (m, n), (m, n) to (m,), in double precision."""
    return np.einsum("si,si->s", _double(first), _double(second))


def nudge(network: Network, setting: Setting, free: FreePhase, target: np.ndarray) -> dict[str, list[float]]:
    """How large the nudge of spiking neurons is, per hidden layer; free: as `rates` gives it, target (m, n_out).

    nudge: rms of β c_l over rms of the distance of the drive, with the baseline, from the threshold v_th. crossed: the fraction
    of (sample, neuron) pairs whose drive is above the threshold on one side of the nudge and not on the other: at a + βc and
    a − βc, or at a and a − βc where nudging is one-sided. Where both are small, the change of a rate is the slope of the f–I
    curve times the nudge, as in exact DFA; else it is a secant.
    """
    p, beta = network.neuron, setting.phases.beta
    error = network.output.error(free.prediction, target)
    carried = network.pathway.carries(free.prediction, target, error)
    layers, row = network.as_layers(), {"nudge": list[float](), "crossed": list[float]()}
    change = [np.zeros_like(a) for a in free.drive]
    for l in range(network.n_hidden):
        signal = np.zeros_like(free.drive[l])
        if l == 0 or not network.pathway.by_propagation:
            network.pathway.signal(layers, l, carried, change, signal, free.route)
        moved, margin = beta * _double(signal), _double(free.drive[l]) + (float(p.baseline) - float(p.v_th))
        size = float(np.sqrt(np.mean(margin**2)))
        other = margin + moved if setting.phases.nudging == "centered" else margin
        row["nudge"].append(float(np.sqrt(np.mean(moved**2))) / size if size > 0 else float("nan"))
        row["crossed"].append(float(((margin - moved > 0) != (other > 0)).mean()))
    return row


_Prescribed = tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]


def _prescribed(network: Network, free: FreePhase, error: np.ndarray, target: np.ndarray) -> _Prescribed:
    """The signal that its pathway brings to each layer, the change that it prescribes there, and their scales.

    change[l] is kept as 2^−shift[l] times what it is, as in `post_changes`; signal[l] then as its source is, by 2^−passed[l].
    The signal is that before a bottleneck (`Network.reached`), the change that behind it.
    """
    signal, change, shift, passed = _prescribed_by_one(replace(network, apart={}), free, error, target)
    for l in network.apart:
        of_rule = _prescribed_by_one(network.by_layer(l), free, error, target)
        signal[l], change[l], shift[l], passed[l] = (prescribed[l] for prescribed in of_rule)
    return signal, change, shift, passed


def _prescribed_by_one(network: Network, free: FreePhase, error: np.ndarray, target: np.ndarray) -> _Prescribed:
    """The same where one pathway is that of all layers."""
    write_change = exact_change(network.neuron.__class__)
    change, signal = ([np.empty((len(error), n), error.dtype) for n in network.sizes[1:]] for _ in range(2))
    np.negative(error, out=change[-1])
    carried = network.pathway.carries(free.prediction, target, error)
    shift, passed = np.zeros(network.n_hidden + 1, int), np.zeros(network.n_hidden + 1, int)
    for l in network.pathway.order(network.n_hidden):
        network.pathway.signal(network, l, carried, change, signal[l], free.route)
        signal_behind = signal[l] * network.reached[l] if l in network.reached else signal[l]
        write_change(network.neuron, free.drive[l], signal_behind, change[l])
        source = network.pathway.source(network, l)
        passed[l] = 0 if source is None else shift[source]
        shift[l] = finite.scale_near_one(change[l]) + passed[l]
    return signal, change, shift, passed


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """A quotient, 0 where the denominator is."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _mean(numerator: np.ndarray, denominator: np.ndarray) -> float:
    """Mean of a quotient over the samples where the denominator is not 0; NaN where there are none."""
    defined = denominator > 0
    return float(np.mean(numerator[defined] / denominator[defined])) if defined.any() else float("nan")


def alignment(network: Network) -> list[float]:
    """Cosine between each B_l and the forward weights that it stands in for; NaN where there is no B or no such weights."""
    cosines = []
    for l, matrix in enumerate(network.matrices):
        weights = None if matrix is None else network.by_layer(l).pathway.replaces(network, l)
        cosines.append(float("nan") if matrix is None or weights is None else cosine(matrix, weights))
    return cosines


def activity(network: Network, free: FreePhase) -> dict[str, list[float]]:
    """Fractions of (sample, neuron) pairs that are silent, and that are saturated, per hidden layer."""
    silent = [np.abs(h) <= SILENT for h in free.activity]
    flat = []
    for drive in free.drive[:-1]:
        slope = np.empty_like(drive)
        exact_change(network.neuron.__class__)(network.neuron, drive, np.full_like(drive, -1), slope)
        flat.append(slope <= SATURATED)
    return {
        "silent": [float(s.mean()) for s in silent],
        "saturated": [float((f & ~s).mean()) for f, s in zip(flat, silent, strict=True)],
    }


def firing(neuron: Any, rates: list[np.ndarray]) -> dict[str, list[float]]:
    """Per hidden layer: mean rate in Hz, fractions of (sample, neuron) pairs that are silent and saturated; rates: per ms."""
    return {
        "rate": [1e3 * float(rate.mean()) for rate in rates],
        "silent": [float((rate == 0).mean()) for rate in rates],
        "saturated": [float((rate > 0.5 / neuron.t_ref).mean()) for rate in rates],
    }


def idle(row: dict[str, Any], not_learned: str | None) -> list[str]:
    """What to warn of in a row of metrics of a training that stays at chance.

    not_learned: why the training set is predicted no better than by guessing, where it is not.
    """
    if not_learned is None:
        return []
    keys = "optimiser.learning_rate" + (" or phases.beta" if "rate" in row else "")
    return [f"nothing is learned: {not_learned}; more epochs, a smaller batch_size, or another {keys}, may help"]


def unhealthy(row: dict[str, Any]) -> list[str]:
    """What to warn of in a row of metrics: spiking layers that have gone silent or saturate."""
    warnings = []
    for l, rate in enumerate(row.get("rate", [])):
        silent, saturated = row["silent"][l], row["saturated"][l]
        if silent > MOSTLY_SILENT:
            warnings.append(f"hidden layer {l + 1} goes silent: {100 * silent:.0f} % send no spike, {rate:.3g} Hz on average")
        if saturated > MOSTLY_SATURATED:
            warnings.append(
                f"hidden layer {l + 1} saturates: {100 * saturated:.0f} % near one spike a t_ref, {rate:.3g} Hz on average"
            )
    return warnings
