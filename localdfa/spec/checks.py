"""What pydantic cannot see in one key: combinations that cannot work, and what to warn of. `trials` has those in time."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from localdfa import outputs as output_models
from localdfa import registry
from localdfa.errors import clipped, quoted
from localdfa.spec import matrices, trials
from localdfa.spec.derived import (
    below_threshold,
    engine_of,
    flat_at_zero,
    initial_weights,
    local,
    moves_from_zero,
    output,
    passes_weights,
    pathway_model,
    pathway_of,
    rules_for,
    rules_of,
    rules_of_layers,
    spiking,
    taken,
    takes,
    tau,
    teaches_hidden,
)

if TYPE_CHECKING:
    from localdfa.spec.tables import Schedule, Setting

# A drive at which a neuron that can send negative activity does.
_FAR = 1e3
# So many steps a trial are said to be slow.
_MANY_STEPS = 20_000


def check(setting: "Setting") -> None:
    """Refuse a setting that cannot work, though each of its keys is right; ValueError, a line ``key: reason`` each.

    Every model that it names is there: see `models.wrong_in`.
    """
    wrong: dict[str, None] = {}
    for combination in (
        _rules_fit, _convolutions, _layers, _matrices, _aligned, _bottleneck, _layer_rules, _adversarial, _stops,
        trials.check_rates, trials.check_spikes, _code, _augment, _batch_norm, _dale, _vanishing,
    ):  # fmt: skip
        try:
            combination(setting)
        except ValueError as error:
            wrong[str(error)] = None
    if wrong:
        raise ValueError("\n".join(wrong))


def doubtful(setting: "Setting") -> Iterator[str]:
    """What to warn of in a setting that works: rules that learn nothing from its start, keys that make its trials take long."""
    if not setting.of_layers:
        return
    if initial_weights(setting) == "zero" and flat_at_zero(setting):
        for key, rule in rules_of(setting):
            if not registry.get("rules", rule).needs_phases:  # a nudge to both sides of zero finds the slope of one of them
                yield (
                    f"network.weights: from 'zero' the hidden layers do not move under {key} = {rule!r}, as network.neuron = "
                    f"{setting.network.neuron!r} has no slope at zero drive; from 'uniform' they do"
                )
    if not local(setting) or not spiking(setting):
        return
    phases, network = setting.phases, setting.network
    trial = phases.free + phases.nudged + (phases.free + phases.nudged) * (phases.nudging == "centered")
    loops = [network.delay if table.delay is None else table.delay for table in network.projection if table.post <= table.pre]
    cuts = [("the delay of a projection back", min(loops))] if loops else []
    if setting.feedback.signal != "constant":
        cuts.append(("feedback.interval", setting.feedback.interval))
    for key, step in cuts:
        if trial / step > _MANY_STEPS:
            yield f"{key}: {step:g} ms makes {trial / step:,.0f} steps of each trial of {trial:g} ms, which takes long"


_ENGINES = {
    "settled": "rate neurons that settle at once (neuron.tau = 0, or none)",
    "timed": "rate neurons in time (neuron.tau > 0)",
    "spiking": "spiking neurons",
}


def _rules_fit(setting: "Setting") -> None:
    for key, rule in rules_of(setting):
        needed, serves = engine_of(setting, rule), registry.get("rules", rule).engines
        if needed not in serves:
            raise ValueError(
                f"{key}: {rule!r} is a rule for {' and '.join(_ENGINES[name] for name in serves)}, not for {_ENGINES[needed]}, "
                f"as network.neuron = {setting.network.neuron!r} with neuron = {quoted(setting.neuron)} asks for; allowed: "
                f"{', '.join(rules_for(needed))}"
            )
        _pathway(setting, key, rule)
        _learns(setting, key, rule)


def of_one_kind(settings: Mapping[str, "Setting"]) -> None:
    """Refuse settings, by the names of conditions, of which some fit numbers and others labels: they have their data in common.

    ValueError with ``key: reason``.
    """
    if len({setting.loop and setting.loop.predicts for setting in settings.values()}) > 1:
        raise ValueError("loop.predicts: conditions predict different things; allowed: the same in all of them")
    read = {setting.module and registry.get("modules", setting.module.name).reads: name for name, setting in settings.items()}
    if len(read) > 1:
        first, second = [*read.values()][:2]
        raise ValueError(
            f"module: conditions {first!r} and {second!r} read different kinds of data, and all conditions have the same; "
            f"allowed: modules of one kind in all of them, or in none"
        )
    kinds = {output(setting).regression: (name, setting.network.output) for name, setting in settings.items()}
    if len(kinds) > 1:
        raise ValueError(
            f"network.output: {kinds[True][1]!r} of condition {kinds[True][0]!r} fits numbers, {kinds[False][1]!r} of "
            f"condition {kinds[False][0]!r} labels, and all conditions have the same data; allowed: outputs of one kind, "
            f"{output_models.named(regression=True)}, or {output_models.named(regression=False)}"
        )


def _pathway(setting: "Setting", key: str, name: str) -> None:
    rule = registry.get("rules", name)
    path = setting.feedback.pathway
    if path is not None and setting.rule == name and not takes(name, path):
        raise ValueError(
            f"feedback.pathway: {path!r} does not go with {key} = {name!r}; allowed with it: {', '.join(taken(name))}"
        )
    model, feedback = pathway_model(setting, name), setting.feedback
    if reason := model.refusal(setting):
        raise ValueError(f"feedback.pathway: {pathway_of(setting, name)!r}, under {key} = {name!r}, {reason}")
    if feedback.signal == "spikes" and model.carries is not registry.get("feedback", "direct").carries:
        raise ValueError(
            f"feedback.signal: 'spikes' of error neurons carry the error, and feedback.pathway = "
            f"{pathway_of(setting, name)!r} carries something else; allowed: 'constant', 'continuous'"
        )
    if model.learns() and engine_of(setting, name) == "timed":
        raise ValueError(
            f"feedback.pathway: {pathway_of(setting, name)!r} learns from the activity and the error of a mini-batch, "
            f"which are not told where neuron.tau > 0; allowed: neuron.tau = 0, or spiking neurons"
        )
    if not model.follows_error:
        for what, value, plain in (("threshold", feedback.threshold, 0.0), ("signal", feedback.signal, "constant")):
            if value != plain:
                raise ValueError(
                    f"feedback.{what}: {quoted(value)} is about the error, which feedback.pathway = "
                    f"{pathway_of(setting, name)!r} does not carry; allowed: {plain!r}"
                )
    if not rule.needs_phases:
        return
    propagation = setting.phases.propagation
    if propagation not in model.propagations:
        raise ValueError(
            f"phases.propagation: {propagation!r} does not go with feedback.pathway = {pathway_of(setting, name)!r} under "
            f"{key} = {name!r}; allowed: {', '.join(model.propagations)}"
        )


def _learns(setting: "Setting", key: str, rule: str) -> None:
    if initial_weights(setting) != "zero":
        return
    path = pathway_model(setting, rule)
    first = setting.stage[0]
    if not teaches_hidden(rule) and rule in (setting.rule_of(first), *first.layer_rules.values()):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with {key} = {rule!r}: hidden layers keep these weights, and nothing of the "
            f"inputs reaches the output; use 'uniform'"
        )
    if passes_weights(setting, rule) and (len(setting.network.hidden) > 1 or not path.by_propagation):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with {key} = {rule!r}: its error passes through the forward weights, "
            f"so from zero the {'upper' if path.by_propagation else 'hidden'} layers never move; use 'uniform'"
        )
    if not moves_from_zero(setting, rule):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with {key} = {rule!r} and rules.{rule} = {quoted(setting.rules[rule])}, "
            f"under which nothing is taught where drives are zero; use 'uniform'"
        )
    if below_threshold(setting):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with network.neuron = {setting.network.neuron!r}, which has no slope "
            f"at zero drive; use 'uniform'"
        )


def _convolutions(setting: "Setting") -> None:
    """What can be said of convolutions before the shape of a sample is known; the rest is said where they are laid out."""
    dense = [isinstance(layer, int) for layer in setting.network.hidden]
    if all(dense):
        return
    if dense != sorted(dense):
        raise ValueError(
            f"network.hidden[{dense.index(False, dense.index(True))}]: a convolution after a dense layer; allowed: before it"
        )
    if spiking(setting) or tau(setting):
        raise ValueError(
            f"network.hidden: convolutions work in settled mode only; allowed: rate neurons with neuron.tau = 0, not "
            f"{setting.network.neuron!r} with neuron = {quoted(setting.neuron)}"
        )


def _layers(setting: "Setting") -> None:
    n_layers, network = len(setting.network.hidden) + 1, setting.network
    weights = initial_weights(setting)
    # Of projections that skip layers, those that a script does not give are drawn.
    skipping = any(t.post != t.pre + 1 and t.weights == "auto" and t.scale is None for t in network.projection)
    if network.scale != 1 and (network.from_run is not None or weights == "zero" or (weights == "given" and not skipping)):
        why = "network.from_run" if network.from_run is not None else f"network.weights = {weights!r}"
        raise ValueError(f"network.scale: {network.scale:g} is of weights that are drawn; allowed with {why}: 1")
    kept = {(table.pre, table.post) for table in network.projection if not table.plastic}
    plastic = any(table.plastic for table in network.projection) or any((k, k + 1) not in kept for k in range(n_layers))
    if not plastic:
        raise ValueError("network.projection: plastic is false in all projections, so nothing can learn")
    for i, stage in enumerate(setting.stage):
        for layer in stage.frozen:
            if layer == 0 or abs(layer) > n_layers:
                raise ValueError(
                    f"stage[{i}].frozen: there is no layer {layer}; allowed are 1 (the first hidden) to {n_layers} "
                    f"(the output), or -1 (the output) to -{n_layers}"
                )
        frozen = {layer % (n_layers + 1) for layer in stage.frozen}  # from 1 to n_layers, the output
        if len(frozen) == n_layers:
            raise ValueError(f"stage[{i}].frozen: every layer is frozen, so nothing can learn")
        if n_layers in frozen and not any(map(teaches_hidden, rules_of_layers(setting, stage))):
            raise ValueError(
                f"stage[{i}].frozen: under the rule {setting.rule_of(stage)!r} the output alone learns, so nothing can learn "
                f"where it is frozen; allowed here: none, or hidden layers"
            )
    for _, rule in rules_of(setting):
        if setting.feedback.shared and not pathway_model(setting, rule).shareable:
            shareable = registry.having("feedback", lambda model: model.shareable)
            raise ValueError(
                f"feedback.shared: the matrices of the pathway {pathway_of(setting, rule)!r} differ in shape, or there is one; "
                f"allowed with {', '.join(shareable)}"
            )


def _matrices(setting: "Setting") -> None:
    """Keys of random matrices that do not go together, or that B does not keep where it changes."""
    pathways = (
        (f"under {key} = {rule!r} feedback.pathway = {pathway_of(setting, rule)!r}", pathway_model(setting, rule))
        for key, rule in rules_of(setting)
    )
    for line in matrices.wrong_in(setting.feedback, pathways):
        raise ValueError(line)


def _aligned(setting: "Setting") -> None:
    """Weights made of the B that lead from the error to every hidden layer, which are dense."""
    network, direct = setting.network, registry.get("feedback", "direct")
    if network.weights in ("aligned", "given") and network.from_run is not None:
        whose = "of weights that are drawn" if network.weights == "aligned" else "of those of a script"
        raise ValueError(
            f"network.weights: {network.weights!r} is {whose}, and network.from_run has its own; allowed with it: 'auto'"
        )
    if network.weights != "aligned":
        return
    if not issubclass(pathway_model(setting, setting.rule), direct):
        names = registry.having("feedback", lambda model: issubclass(model, direct))
        raise ValueError(
            f"network.weights: 'aligned' is made of B from the error to every hidden layer, and under rule = {setting.rule!r} "
            f"feedback.pathway is {pathway_of(setting, setting.rule)!r}; allowed with {', '.join(names)}"
        )
    for key, goes in (
        ("network.hidden", all(isinstance(layer, int) for layer in network.hidden)),
        ("network.projection", not network.projection),
    ):
        if not goes:
            raise ValueError(f"{key}: network.weights = 'aligned' is of dense layers, each of which reaches the next alone")


def _require_hidden(key: str, layer: str, n_hidden: int) -> None:
    """Refuse the number of a hidden layer, as the keys of a table have it, that there is not."""
    if layer not in map(str, range(1, n_hidden + 1)):
        raise ValueError(f"{key}: there is no hidden layer {clipped(layer)}; allowed are 1 (the first) to {n_hidden}")


def _bottleneck(setting: "Setting") -> None:
    """Signals that reach some neurons of a layer: in settled networks, where upper layers see no nudge of those below."""
    hidden, bottleneck = setting.network.hidden, setting.feedback.bottleneck
    for layer, number in bottleneck.items():
        _require_hidden("feedback.bottleneck", layer, len(hidden))
        width = hidden[int(layer) - 1]
        if not isinstance(width, int):
            raise ValueError(f"feedback.bottleneck.{layer}: {number} is of dense layers, and layer {layer} is a convolution")
        if number > width:
            raise ValueError(f"feedback.bottleneck.{layer}: layer {layer} has no {number} neurons; allowed: 1 to {width}")
    for key, rule in rules_of(setting) if bottleneck else []:
        if (name := engine_of(setting, rule)) != "settled":
            raise ValueError(
                f"feedback.bottleneck: {quoted(bottleneck)} works with settled networks, not with {_ENGINES[name]}, which "
                f"{key} = {rule!r} trains here; allowed: none"
            )
        if registry.get("rules", rule).needs_phases and setting.phases.propagation != "held":
            raise ValueError(
                f"phases.propagation: with {setting.phases.propagation!r} neurons see the nudge of the layer below, whichever "
                f"feedback.bottleneck = {quoted(bottleneck)} lets the signal reach; allowed with it: 'held'"
            )


def _layer_rules(setting: "Setting") -> None:
    """Rules of single layers: of hidden layers that there are, in settled networks, of which no layer sees another's nudge."""
    n_hidden = len(setting.network.hidden)
    for i, stage in enumerate(setting.stage):
        if not stage.layer_rules:
            continue
        shown = f"stage[{i}].layer_rules = {quoted(stage.layer_rules)}"
        for layer in stage.layer_rules:
            _require_hidden(f"stage[{i}].layer_rules", layer, n_hidden)
        for rule in (stage.rule or setting.rule, *stage.layer_rules.values()):
            if (name := engine_of(setting, rule)) != "settled":
                raise ValueError(
                    f"stage[{i}].layer_rules: {quoted(stage.layer_rules)} mixes rules in one trial, and {rule!r} is simulated "
                    f"with {_ENGINES[name]} here; allowed: exact rules, or any with rate neurons that settle, neuron.tau = 0"
                )
            if setting.feedback_changes(rule):
                raise ValueError(
                    f"stage[{i}].layer_rules: {quoted(stage.layer_rules)} mixes rules, and under {rule!r} B changes; "
                    f"allowed: rules whose B stays, and feedback.normalisation = 'none'"
                )
            if registry.get("rules", rule).needs_phases and setting.phases.propagation != "held":
                raise ValueError(
                    f"phases.propagation: with {setting.phases.propagation!r} a layer sees the nudge of the one below, which "
                    f"under {shown} may have none; allowed: 'held'"
                )


def _adversarial(setting: "Setting") -> None:
    """Adversarial examples of settled networks alone, and how they are made only where there are some."""
    table = setting.adversarial
    if not table.strength and table.gradient != "bp":
        raise ValueError(
            f"adversarial.gradient: {table.gradient!r} makes no examples with adversarial.strength = 0; allowed: 'bp', or a "
            f"strength above 0, for instance 0.1"
        )
    for key, rule in rules_of(setting) if table.strength else []:
        if (name := engine_of(setting, rule)) != "settled":
            raise ValueError(
                f"adversarial.strength: {table.strength:g} works with settled networks, not with {_ENGINES[name]}, which "
                f"{key} = {rule!r} trains here; allowed: 0"
            )


def _stops(setting: "Setting") -> None:
    for i, stage in enumerate(setting.stage):
        _schedule(f"stage[{i}].schedule", stage.schedule)
        if stage.stop_at_error is not None and output(setting).regression:
            raise ValueError(
                f"stage[{i}].stop_at_error: {stage.stop_at_error:g} is a percentage of samples, and network.output = "
                f"{setting.network.output!r} fits numbers, which are not right or wrong; allowed with "
                f"{output_models.named(regression=False)}, or left out"
            )


def _schedule(key: str, schedule: "Schedule") -> None:
    """Keys of a schedule that its kind does not read, and kinds that do nothing without them."""
    for name, kinds in (("factor", ("exponential", "step", "cosine")), ("every", ("step",))):
        plain = type(schedule).model_fields[name].default
        if schedule.kind not in kinds and getattr(schedule, name) != plain:
            raise ValueError(
                f"{key}.{name}: {getattr(schedule, name)} is read by the kinds {', '.join(kinds)}, not by {schedule.kind!r}; "
                f"allowed here: {plain}"
            )
    if schedule.kind != "constant" and schedule.factor == 1:
        raise ValueError(f"{key}.factor: with 1.0 the learning rate stays as it is; allowed with {schedule.kind!r}: below 1")
    if schedule.kind in ("exponential", "step") and schedule.factor == 0:
        raise ValueError(f"{key}.factor: with 0 the learning rate is zero at once; allowed with {schedule.kind!r}: above 0")


def _readers(key: str) -> list[str]:
    """The input codes that read a key of the table `input`."""
    return registry.having("inputs", lambda model: key in model.reads)


def _code(setting: "Setting") -> None:
    """Keys of the table `input` that the input code does not read."""
    table = setting.input
    reads = ("code", "lines", *registry.get("inputs", table.code).reads)
    for key, field in type(table).model_fields.items():
        if key not in reads and getattr(table, key) != field.default:
            readers = map(repr, _readers(key))
            raise ValueError(
                f"input.{key}: {getattr(table, key)} is read by the code {' or '.join(readers)}, not by input.code = "
                f"{table.code!r}; allowed here: {field.default}"
            )


def _dale(setting: "Setting") -> None:
    """Dale's law: of neurons that send no negative activity, in layers with some of either kind."""
    network = setting.network
    if network.dale == "none":
        if network.inhibitory != type(network).model_fields["inhibitory"].default:
            raise ValueError(f"network.inhibitory: {network.inhibitory} is read where network.dale = 'hidden' or 'all'")
        return
    for i, layer in enumerate(network.hidden):
        if not isinstance(layer, int) or layer < 2:
            what = f"{layer} neuron" if isinstance(layer, int) else "a convolution, whose kernels cross zero"
            raise ValueError(
                f"network.hidden[{i}]: {what}, but under network.dale some neurons excite and others inhibit; allowed with it: "
                f"dense layers of 2 or more"
            )
    if not spiking(setting) and float(type(setting.neuron_parameters).f(setting.neuron_parameters, -_FAR)) < 0:
        raise ValueError(
            f"network.neuron: {network.neuron!r} sends negative activity, so that the sign of a weight says nothing of what it "
            f"does; allowed with network.dale: logistic, relu, or one that spikes"
        )
    if network.batch_norm:
        raise ValueError("network.batch_norm: true has gains of either sign; allowed with network.dale: false")
    if setting.phases.update == "online":
        raise ValueError(
            "phases.update: 'online' changes weights while spikes pass, by whatever sign; allowed with network.dale: 'after'"
        )
    if network.weights == "aligned":
        raise ValueError("network.weights: 'aligned' are of either sign; allowed with network.dale: 'zero' or 'uniform'")
    for i, table in enumerate(network.projection):
        if table.weights == "constant" and (table.pre or network.dale == "all"):
            raise ValueError(
                f"network.projection[{i}].weights: 'constant' gives all weights one sign, which network.dale gives by their "
                f"senders; allowed with it: 'zero' or 'uniform'"
            )


def _batch_norm(setting: "Setting") -> None:
    """Drives that are normalised over mini-batches: of neurons that settle, in a spread that there is, and held."""
    network = setting.network
    if not network.batch_norm:
        return
    if spiking(setting) or tau(setting):
        raise ValueError(
            f"network.batch_norm: true works in settled mode only; allowed: rate neurons with neuron.tau = 0, not "
            f"{network.neuron!r} with neuron = {quoted(setting.neuron)}"
        )
    for i, layer in enumerate(network.hidden):
        if not isinstance(layer, int) and not layer.shared:
            raise ValueError(
                f"network.hidden[{i}].shared: false gives each position a bias of its own, where network.batch_norm = true has "
                f"one shift a channel; allowed with it: true"
            )
    if setting.batch_size == 1:
        raise ValueError(
            "batch_size: 1 sample has no spread by which network.batch_norm = true could divide; allowed: 2 or more"
        )
    if network.from_run is None and initial_weights(setting) == "zero":
        raise ValueError(
            "network.weights: from 'zero' drives have no spread by which network.batch_norm = true could divide; use 'uniform'"
        )
    propagation = setting.phases.propagation
    if local(setting) and propagation != "held":
        raise ValueError(
            f"phases.propagation: with {propagation!r} layers would be normalised anew while they see nudged activity; allowed "
            f"with network.batch_norm = true: 'held'"
        )


def _vanishing(setting: "Setting") -> None:
    """Numbers above 0 that are 0 in float32."""
    stages = [(f"stage[{i}].learning_rate", stage.learning_rate) for i, stage in enumerate(setting.stage)]
    for key, value in (("optimiser.weight_decay", setting.optimiser.weight_decay), *stages):
        if value and setting.precision == "float32" and not np.float32(value):
            raise ValueError(f"{key}: {value:g} is 0 in float32; allowed: larger numbers, or precision = 'float64'")


def _augment(setting: "Setting") -> None:
    """Images alone are augmented: what can be said before the shape of a sample is known. `geometry.seen` says the rest."""
    table, code = setting.augment, registry.get("inputs", setting.input.code)
    if table.asked and (code.series or code.given):
        allowed = ", ".join(map(repr, registry.having("inputs", lambda model: not (model.series or model.given))))
        raise ValueError(
            f"augment: {quoted(table.model_dump(exclude_defaults=True))} is done to images, and input.code = "
            f"{setting.input.code!r} reads {'spike trains' if code.given else 'frames'}; allowed with it: {allowed}"
        )
