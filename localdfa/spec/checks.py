"""What pydantic cannot see in one key: names of models, their parameters, and combinations that cannot work."""

import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import numpy as np
from pydantic import TypeAdapter, ValidationError

from localdfa import neurons, optimisers, registry
from localdfa import outputs as output_models
from localdfa.errors import clipped, quoted
from localdfa.outputs._of_modules import of_loop

if TYPE_CHECKING:
    from localdfa.feedback._pathway import Pathway
    from localdfa.spec.tables import Phases, ProjectionTable, Record, Schedule, Setting, Stage

# The models that a spec means where it names none.
NEURON, OUTPUT, OPTIMISER, CODE, RULE = "tanh", "logistic", "rmsprop", "current", "local"
PRECISION: Final = "float32"
# The keys that name models, and the package of these.
MODELS = {
    "network.neuron": "neurons",
    "network.output": "outputs",
    "optimiser.name": "optimisers",
    "feedback.pathway": "feedback",
    "input.code": "inputs",
    "rule": "rules",
    "module.name": "modules",
}
# Keys of the table `module` that belong to no model.
OF_ALL_MODULES = ("name", "inside", "device")
# A trace is settled after so many of its time constants; what is left of its rise would be learned as if it were taught.
SETTLED = 8
# Graded events of a smaller size come by the ten thousand from every neuron, and are refused where activity takes time.
_LEAST_EVENT = 1e-5
# A gate is said to be short in which membranes go less than this part of their way.
_FOLLOWED = 0.9
# A drive at which a neuron that can send negative activity does.
_FAR = 1e3
# So many steps a trial are said to be slow.
_MANY_STEPS = 20_000


def models(tables: Mapping[str, Any]) -> list[str]:
    """What is wrong with the models that tables name, and with the parameters of these: a line each, ``key: reason``.

    tables: as a spec has them, which need not be right otherwise: what has not even the type of a name is left to others.
    """
    network, optimiser, feedback, code = (_table(tables, key) for key in ("network", "optimiser", "feedback", "input"))
    rules = [("rule", tables.get("rule", RULE))]
    if isinstance(stages := tables.get("stage"), list):
        for i, stage in enumerate(stages):
            if isinstance(stage, Mapping):
                rules += [(f"stage[{i}].rule", stage.get("rule"))]
                layer_rules = _table(stage, "layer_rules")
                rules += [(f"stage[{i}].layer_rules.{clipped(str(layer))}", rule) for layer, rule in layer_rules.items()]
    wrong = [
        line
        for key, package, name in (
            ("network.neuron", "neurons", network.get("neuron", NEURON)),
            ("network.output", "outputs", network.get("output", OUTPUT)),
            ("optimiser.name", "optimisers", optimiser.get("name", OPTIMISER)),
            ("feedback.pathway", "feedback", feedback.get("pathway")),
            ("input.code", "inputs", code.get("code", CODE)),
            *((key, "rules", rule) for key, rule in rules),
        )
        for line in _named(key, package, name)
    ]
    own_parameters = {key: value for key, value in optimiser.items() if key not in optimisers.OF_TABLE}
    precision = tables.get("precision")
    precision = precision if precision in ("float32", "float64") else PRECISION
    wrong += wrong_parameters("neuron", "neurons", network.get("neuron", NEURON), _table(tables, "neuron"), precision)
    wrong += wrong_parameters("optimiser", "optimisers", optimiser.get("name", OPTIMISER), own_parameters, precision)
    if "module" in tables:
        module = _table(tables, "module")
        of_module = {key: value for key, value in module.items() if key not in OF_ALL_MODULES}
        found = _named("module.name", "modules", module.get("name"))
        wrong += found or _needs_pytorch() or wrong_parameters("module", "modules", module.get("name"), of_module, precision)
    for name, parameters in _table(tables, "rules").items():
        key = f"rules.{clipped(str(name))}"
        wrong += _named(key, "rules", name)
        wrong += wrong_parameters(key, "rules", name, parameters if isinstance(parameters, Mapping) else {}, precision)
    return wrong


def _needs_pytorch() -> list[str]:
    """What is wrong where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return [f"module: {registry.PYTORCH}"]
    return []


def uses(setting: "Setting") -> set[tuple[str, str]]:
    """The models of a setting: family and name."""
    used = set() if setting.loop else {("optimisers", setting.optimiser.name)}
    if setting.module is not None:
        used.add(("modules", setting.module.name))
    elif setting.loop is None:
        used |= {("neurons", setting.network.neuron), ("outputs", setting.network.output), ("inputs", setting.input.code)}
    for _, rule in rules_of(setting):
        used |= {("rules", rule), ("feedback", pathway_of(setting, rule))}
    return used


def check(setting: "Setting") -> None:
    """Refuse a setting that cannot work, though each of its keys is right; ValueError, a line ``key: reason`` each.

    Every model that it names is there: see `models`.
    """
    wrong: dict[str, None] = {}
    for combination in (
        _rules_fit, _convolutions, _layers, _matrices, _aligned, _bottleneck, _layer_rules, _adversarial, _stops, _time,
        _spikes, _code, _augment, _batch_norm, _dale, _vanishing,
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
    if initial_weights(setting) == "zero" and _flat_at_zero(setting):
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


def local(setting: "Setting") -> bool:
    """Whether any stage trains under a rule with phases."""
    return any(registry.get("rules", rule).needs_phases for _, rule in rules_of(setting))


def _table(tables: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = tables.get(key)
    return table if isinstance(table, Mapping) else {}


def tau(setting: "Setting") -> float:
    """The time constant of rate neurons, ms: 0 where they settle at once, as those do whose model has no such parameter."""
    return 0.0 if spiking(setting) else float(getattr(setting.neuron_parameters, "tau", 0.0))


def engine_of(setting: "Setting", rule: str) -> str:
    """The engine that trains under a rule: rules without phases are of the settled network, whatever its neurons."""
    if not registry.get("rules", rule).needs_phases:
        return "settled"
    if spiking(setting):
        return "spiking"
    return "timed" if tau(setting) else "settled"


_ENGINES = {
    "settled": "rate neurons that settle at once (neuron.tau = 0, or none)",
    "timed": "rate neurons in time (neuron.tau > 0)",
    "spiking": "spiking neurons",
}


def _rules_fit(setting: "Setting") -> None:
    for key, rule in rules_of(setting):
        needed, serves = engine_of(setting, rule), registry.get("rules", rule).engines
        if needed not in serves:
            others = [name for name in registry.names("rules") if needed in registry.get("rules", name).engines]
            raise ValueError(
                f"{key}: {rule!r} is a rule for {' and '.join(_ENGINES[name] for name in serves)}, not for {_ENGINES[needed]}, "
                f"as network.neuron = {setting.network.neuron!r} with neuron = {quoted(setting.neuron)} asks for; allowed: "
                f"{', '.join(others)}"
            )
        _pathway(setting, key, rule)
        _learns(setting, key, rule)


def kept(record: "Record") -> None:
    """Refuse records of more trials than the probe has, and what no recorder reads that is asked for; ValueError with
    ``key: reason``."""
    for name in record.recorders:
        keys = registry.get("recorders", name).keys
        for key in keys if name in keys and name not in record.asked else ():
            value, plain = getattr(record, key), type(record).model_fields[key].default
            if value != plain:
                raise ValueError(
                    f"record.{key}: {quoted(value)} is read where record.{name} is asked for, which is "
                    f"{quoted(getattr(record, name))}; {allowed_here(plain)}"
                )
    readers = [name for name in record.recorders if registry.get("recorders", name).reads_neurons()]
    if record.neurons is not None and not set(readers) & {*record.asked}:
        of_these = " or ".join(f"record.{name}" for name in readers)
        raise ValueError(f"record.neurons: {quoted(record.neurons)} is read where {of_these} is asked for; leave it out")
    for name in record.asked:
        if registry.get("recorders", name).of_probe and (number := getattr(record, name)) > record.probe:
            raise ValueError(
                f"record.{name}: {number} trials are more than record.probe = {record.probe}, of which they are the first; "
                f"allowed: up to {record.probe}, or a larger probe"
            )


def allowed_here(plain: Any) -> str:
    """How to leave a key out that would stand for this."""
    return "leave it out" if plain is None else f"allowed here: {quoted(plain)}"


def recorded(record: "Record", setting: "Setting") -> None:
    """Refuse what a setting cannot record; ValueError with ``key: reason``."""
    for name in record.recorders:
        recorder = registry.get("recorders", name)
        if (learns_from_spikes(setting) or not recorder.of_spikes) and (reason := recorder.refusal(record, setting)):
            raise ValueError(reason)


def nowhere_recorded(record: "Record", settings: Iterable["Setting"]) -> str | None:
    """What of the table `record` none of these settings has, as ``key: reason``; None where each has its setting."""
    spiking_ones = [setting for setting in settings if learns_from_spikes(setting)]
    if record.repeats > 1 and not any(
        setting.network.start != "reset" or registry.get("inputs", setting.input.code).draws for setting in spiking_ones
    ):
        return (
            f"record.repeats: {record.repeats} trials of a sample are one like the other, as no condition learns from spikes "
            f"that begin at network.start = 'uniform' or are drawn at random by input.code; allowed here: 1"
        )
    if spiking_ones:
        return None
    for name in record.asked:
        if registry.get("recorders", name).of_spikes:
            return (
                f"record.{name}: {quoted(getattr(record, name))} is of spiking neurons under a rule with phases, which no "
                f"condition ends with; allowed here: {quoted(type(record).model_fields[name].default)}"
            )
    return None


def spiking(setting: "Setting") -> bool:
    """Whether the neuron model spikes."""
    return neurons.spikes(registry.get("neurons", setting.network.neuron))


def output(setting: "Setting") -> output_models.Output:
    """The model of the output; with a module, what judges predictions of the kind of data that it reads."""
    if setting.loop is not None:
        return of_loop(setting.loop.predicts)
    if setting.module is None:
        return registry.get("outputs", setting.network.output)
    return output_models.of_module(registry.get("modules", setting.module.name).reads)


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


def passed_by_spikes(setting: "Setting") -> list[tuple[int, int]]:
    """The populations between which spikes pass, of spiking neurons: (pre, post) of each projection.

    Constant currents come without spikes, and an output that integrates reads those of the layer below where they are sent.
    """
    last, table = len(setting.network.hidden) + 1, setting.network.projection
    pairs = dict.fromkeys([*((k, k + 1) for k in range(last)), *((joint.pre, joint.post) for joint in table)])
    constant, integrates = not registry.get("inputs", setting.input.code).spikes, not output(setting).spiking
    return [(pre, post) for pre, post in pairs if not (constant and pre == 0) and not (integrates and post == last)]


def left_to_network(setting: "Setting", key: str) -> bool:
    """Whether spikes pass through a projection whose own table does not say `key`, which is delay or tau_syn."""
    said = {(joint.pre, joint.post) for joint in setting.network.projection if getattr(joint, key) is not None}
    return any(pair not in said for pair in passed_by_spikes(setting))


def learns_from_spikes(setting: "Setting") -> bool:
    """Whether the last stage learns from spikes: spiking neurons under a rule with phases."""
    return spiking(setting) and bool(registry.get("rules", setting.rule_of(setting.stage[-1])).needs_phases)


def initial_weights(setting: "Setting") -> str:
    """What ``network.weights`` stands for: the paper starts FA and DFA with tanh or logistic neurons from zero.

    Where the error passes through weights, or layers that do not learn keep them, they are random.
    """
    if setting.network.from_run is not None:  # trained, whatever they began with
        return "uniform"
    if setting.network.weights != "auto":
        return str(setting.network.weights)
    from_zero = getattr(registry.get("neurons", setting.network.neuron), "from_zero", False)
    needs = any(
        _passes_weights(setting, rule) or not teaches_hidden(rule) or not _moves_from_zero(setting, rule)
        for _, rule in rules_of(setting)
    )
    return "zero" if from_zero and not needs and not setting.network.batch_norm else "uniform"


def rules_of(setting: "Setting") -> list[tuple[str, str]]:
    """The rules that a setting trains with, each with the key that names it."""
    of_stages = [(f"stage[{i}].rule", stage.rule) for i, stage in enumerate(setting.stage) if stage.rule]
    inherited = any(stage.rule is None for stage in setting.stage)
    of_layers = [
        (f"stage[{i}].layer_rules.{layer}", rule)
        for i, stage in enumerate(setting.stage) for layer, rule in stage.layer_rules.items()
    ]  # fmt: skip
    return [*([("rule", setting.rule)] if inherited or not of_stages else []), *of_stages, *of_layers]


def trains_nothing(setting: "Setting") -> bool:
    """Whether a setting names a rule that none of its stages trains with."""
    return setting.rule != RULE and setting.rule not in {rule for _, rule in rules_of(setting)}


def name_of(setting: "Setting") -> str:
    """What a condition without a name is called: after the rule, or after those of its stages, where each names its own."""
    own = [stage.rule for stage in setting.stage if stage.rule is not None]
    return "-".join(dict.fromkeys(own)) if len(own) == len(setting.stage) else setting.rule


def _rules_of_layers(setting: "Setting", stage: "Stage") -> list[str]:
    """The rule by which each hidden layer learns in a stage."""
    return [stage.layer_rules.get(str(l), setting.rule_of(stage)) for l in range(1, len(setting.network.hidden) + 1)]


def pathway_of(setting: "Setting", rule: str) -> str:
    """The feedback pathway under a rule: the one named where the rule takes it, else the rule's own."""
    asked_for = setting.feedback.pathway
    return asked_for if asked_for and _takes(rule, asked_for) else str(registry.get("rules", rule).own)


def _takes(rule: str, pathway: str) -> bool:
    """Whether a rule works with a pathway: it names none, this one, or one from which this is derived."""
    named = registry.get("rules", rule).pathways
    return not named or issubclass(registry.get("feedback", pathway), tuple(registry.get("feedback", base) for base in named))


def _taken(rule: str) -> list[str]:
    """The names of the pathways that a rule works with."""
    return [pathway for pathway in registry.names("feedback") if _takes(rule, pathway)]


def _moves_from_zero(setting: "Setting", rule: str) -> bool:
    """Whether hidden layers learn under a rule where their drives are zero."""
    moves = getattr(registry.get("rules", rule), "moves_from_zero", None)
    return moves is None or bool(moves(setting.parameters_of(rule)))


def teaches_hidden(rule: str) -> bool:
    """Whether hidden layers learn under a rule."""
    return bool(getattr(registry.get("rules", rule), "teaches_hidden", True))


def _pathway_model(setting: "Setting", rule: str) -> type["Pathway"]:
    return registry.get("feedback", pathway_of(setting, rule))


def _passes_weights(setting: "Setting", rule: str) -> bool:
    """Whether the signal is zero while the forward weights are."""
    return _pathway_model(setting, rule).passes_weights or setting.normalises_strictly(rule)


def takes_norms(setting: "Setting", rule: str) -> bool:
    """Whether B under a rule stands in for the weights of one projection, whose norm it may take: it does not learn its own."""
    pathway = _pathway_model(setting, rule)
    return issubclass(pathway, registry.get("feedback", "sequential")) and not (pathway.learns() or pathway.mirrors())


def _named(key: str, package: str, name: Any) -> list[str]:
    allowed = registry.names(package)
    if not isinstance(name, str) or name in allowed:
        return []
    ways = []
    if registry.nearest(name, allowed) is None:
        if package == "feedback" and name in registry.names("rules"):
            ways = [f'`{key} = "{registry.get("rules", name).own}"`, which is that rule\'s,']
        ways += [f'`{other} = "{name}"`' for other, family in MODELS.items() if name in registry.names(family)]
    return [unknown(key, name, allowed) + (f"; did you mean {' or '.join(ways)}?" if ways else "")]


def unknown(key: str, value: Any, allowed: list[str]) -> str:
    """The message for a value that is not one of a few names, with what to write instead."""
    near = registry.nearest(value, allowed) if isinstance(value, str) else None
    write = f' Write `{key} = "{near}"`' if near and "[" not in key else ""
    return f"{key}: {registry.unknown(value, allowed)}{write}"


def wrong_parameters(
    table: str, package: str, name: Any, given: Mapping[str, Any], precision: str, further: tuple[str, ...] = ()
) -> list[str]:
    """What is wrong with the parameters of a model, by the types and bounds that its file declares, and by its `refusal`.

    further: what may stand beside the parameters and is checked elsewhere, for messages.
    """
    if not isinstance(name, str) or name not in registry.names(package):
        return []
    model, wrong = registry.get(package, name), []
    model = getattr(model, "Parameters", model)
    for key, value in given.items():
        if key not in model._fields:
            allowed = [*model._fields, *further]
            known = registry.unknown(key, allowed) if allowed else f"{quoted(key)}: it has none"
            wrong.append(f"{table}.{clipped(str(key))}: a parameter of {name} {known}")
        elif choices := get_args(model.__annotations__[key]) if get_origin(model.__annotations__[key]) is Literal else ():
            if value not in choices:
                wrong.append(unknown(f"{table}.{key}", value, [*choices]))
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            wrong.append(f"{table}.{key}: {quoted(value)} is not a number")
        elif isinstance(value, float) and _whole(model.__annotations__[key]):
            wrong.append(f"{table}.{key}: {quoted(value)} is not a whole number, as 3 is")
        elif reason := _out_of_bounds(_of_parameter(model, key), value, precision):
            wrong.append(f"{table}.{key}: {quoted(value)} {reason}")
    if wrong or not hasattr(model, "refusal"):
        return wrong
    try:
        reason = model(**given).refusal()
    except Exception as error:
        return [f"{table}: whether the parameters of {name} go together; its refusal fails: {type(error).__name__}: {error}"]
    return [f"{table}: {reason}"] if reason else []


def _whole(annotation: Any) -> bool:
    """Whether a parameter is a whole number."""
    return (get_args(annotation) or (annotation,))[0] is int


@cache
def _of_parameter(model: Any, key: str) -> TypeAdapter[Any]:
    """What checks a parameter of a model; made once, as that takes longer than many checks."""
    return TypeAdapter(model.__annotations__[key])


def _out_of_bounds(bounds: TypeAdapter[Any], value: float, precision: str) -> str | None:
    """What is wrong with a number, as the network will have it: 1e-60 is 0 in float32."""
    try:
        with np.errstate(over="ignore"):
            bounds.validate_python(float(np.dtype(precision).type(value)))
    except OverflowError:
        return "is too large a number"
    except ValidationError as error:
        return f"is out of bounds in {precision}; {error.errors()[0]['msg'].removeprefix('Value error, ')}"
    return None


def _pathway(setting: "Setting", key: str, name: str) -> None:
    rule = registry.get("rules", name)
    path = setting.feedback.pathway
    if path is not None and setting.rule == name and not _takes(name, path):
        raise ValueError(
            f"feedback.pathway: {path!r} does not go with {key} = {name!r}; allowed with it: {', '.join(_taken(name))}"
        )
    model, feedback = _pathway_model(setting, name), setting.feedback
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
    path = _pathway_model(setting, rule)
    first = setting.stage[0]
    if not teaches_hidden(rule) and rule in (setting.rule_of(first), *first.layer_rules.values()):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with {key} = {rule!r}: hidden layers keep these weights, and nothing of the "
            f"inputs reaches the output; use 'uniform'"
        )
    if _passes_weights(setting, rule) and (len(setting.network.hidden) > 1 or not path.by_propagation):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with {key} = {rule!r}: its error passes through the forward weights, "
            f"so from zero the {'upper' if path.by_propagation else 'hidden'} layers never move; use 'uniform'"
        )
    if not _moves_from_zero(setting, rule):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with {key} = {rule!r} and rules.{rule} = {quoted(setting.rules[rule])}, "
            f"under which nothing is taught where drives are zero; use 'uniform'"
        )
    if _below_threshold(setting):
        raise ValueError(
            f"network.weights: 'zero' cannot learn with network.neuron = {setting.network.neuron!r}, which has no slope "
            f"at zero drive; use 'uniform'"
        )


def _flat_at_zero(setting: "Setting") -> bool:
    return bool(getattr(registry.get("neurons", setting.network.neuron), "flat_at_zero", False))


def _below_threshold(setting: "Setting") -> bool:
    """Whether a spiking neuron without synaptic drive is silent, so that a small change of its drive changes nothing."""
    if not spiking(setting):
        return False
    neuron = setting.neuron_parameters
    return bool(neuron.__class__.rate(neuron, neuron.baseline) == 0)


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
    if network.scale != 1 and (network.from_run is not None or initial_weights(setting) == "zero"):
        why = "network.from_run" if network.from_run is not None else f"network.weights = {initial_weights(setting)!r}"
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
        if n_layers in frozen and not any(map(teaches_hidden, _rules_of_layers(setting, stage))):
            raise ValueError(
                f"stage[{i}].frozen: under the rule {setting.rule_of(stage)!r} the output alone learns, so nothing can learn "
                f"where it is frozen; allowed here: none, or hidden layers"
            )
    for _, rule in rules_of(setting):
        if setting.feedback.shared and not _pathway_model(setting, rule).shareable:
            shareable = [name for name in registry.names("feedback") if registry.get("feedback", name).shareable]
            raise ValueError(
                f"feedback.shared: the matrices of the pathway {pathway_of(setting, rule)!r} differ in shape, or there is one; "
                f"allowed with {', '.join(shareable)}"
            )


def _matrices(setting: "Setting") -> None:
    """Keys of random matrices that do not go together, or that B does not keep where it changes."""
    table = setting.feedback
    if table.rank is not None and (table.density < 1 or table.signs != "free"):
        name = "density" if table.density < 1 else "signs"
        raise ValueError(
            f"feedback.rank: {table.rank} would not stay so with feedback.{name} = {quoted(getattr(table, name))}; allowed: "
            f"density = 1 and signs = 'free', or no rank"
        )
    if table.distribution == "orthogonal":
        for name, plain in (("density", 1.0), ("rank", None), ("signs", "free"), ("shared", False)):
            if (value := getattr(table, name)) != plain:
                raise ValueError(
                    f"feedback.distribution: 'orthogonal' would not last with feedback.{name} = {quoted(value)}; allowed with "
                    f"it: 'uniform', 'normal'"
                )
    for key, rule in rules_of(setting):
        for name in ("density", "rank", "signs", "shared", "distribution"):
            value, plain = getattr(table, name), type(table).model_fields[name].default
            model = _pathway_model(setting, rule)
            if value not in (plain, "normal") and model.changes() and name not in model.keeps:
                allowed = "none" if plain is None else quoted(plain)
                raise ValueError(
                    f"feedback.{name}: {quoted(value)} would not last, as under {key} = {rule!r} feedback.pathway = "
                    f"{pathway_of(setting, rule)!r} changes B; allowed: {allowed}, or a pathway whose B is fixed"
                )


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
    if not issubclass(_pathway_model(setting, setting.rule), direct):
        names = [name for name in registry.names("feedback") if issubclass(registry.get("feedback", name), direct)]
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


def _in_time(setting: "Setting", rule: str) -> None:
    if not _pathway_model(setting, rule).in_time:
        allowed = [name for name in registry.names("feedback") if registry.get("feedback", name).in_time]
        raise ValueError(
            f"feedback.pathway: {pathway_of(setting, rule)!r} works in settled mode only; allowed with neuron.tau > 0 and with "
            f"spikes: {', '.join(allowed)}"
        )


def settled_after(setting: "Setting") -> float:
    """Time after the onset of a phase by which traces, of spiking neurons, or activity, of rate neurons, are settled, ms.

    Traces settle from when spikes first arrive in the population that they reach last. Of the way from inputs that spike, and
    to an output that does, only what is longer than network.delay counts, so that where phases.free is left out it depends
    neither on the code nor on the output.
    """
    network, last = setting.network, len(setting.network.hidden) + 1
    if not spiking(setting):
        return float(SETTLED * tau(setting) + last * network.delay)
    ways = {
        (pre, post): max(0.0, delay - network.delay) if pre == 0 or post == last else delay
        for (pre, post), (_, delay) in _delays(setting).items()
    }
    return float(SETTLED * max(setting.trace.tau_x, setting.trace.tau_z) + max(_first_arrivals(setting, ways).values()))


def _delays(setting: "Setting") -> dict[tuple[int, int], tuple[str, float]]:
    """Of each projection that spikes pass, (pre, post), the key of its delay and the delay, ms."""
    network = setting.network
    own = {(t.pre, t.post): (f"network.projection[{i}].delay", t.delay) for i, t in enumerate(network.projection) if t.delay}
    return {pair: own.get(pair, ("network.delay", network.delay)) for pair in passed_by_spikes(setting)}


def _first_arrivals(setting: "Setting", delays: Mapping[tuple[int, int], float]) -> dict[int, float]:
    """When each population is first reached from the inputs, ms after the onset; delays: of projections, (pre, post)."""
    first = {0: 0.0} if registry.get("inputs", setting.input.code).spikes else {1: 0.0}  # currents are there from the onset on
    for _ in delays:  # the way from the inputs that takes the least time has no more projections than there are
        for (pre, post), delay in delays.items():
            if pre in first:
                first[post] = min(first.get(post, np.inf), first[pre] + delay)
    return first


def _gate(phases: "Phases") -> float:
    """How long the gate is open, ms; refused where that is longer than the nudge."""
    gate = phases.gate_duration
    if gate > phases.nudged:
        raise ValueError(f"phases.gate: {gate} ms is longer than phases.nudged = {phases.nudged} ms")
    return float(gate)


def _time(setting: "Setting") -> None:
    """Combinations of rate neurons in time, of which a trial is simulated event by event."""
    phases, network, constant = setting.phases, setting.network, tau(setting)
    if not constant or not local(setting):
        return
    if network.threshold < _LEAST_EVENT:
        many = "infinitely many" if network.threshold == 0 else f"{1 / network.threshold:.0e}"
        raise ValueError(
            f"network.threshold: {network.threshold} would need {many} events while activity relaxes (neuron.tau = {constant} "
            f"ms); allowed: at least {_LEAST_EVENT:g}, for instance 0.01"
        )
    if network.dropout or network.input_dropout:
        raise ValueError(f"network.dropout: allowed only in settled mode, not with neuron.tau = {constant} ms")
    for _, rule in rules_of(setting):
        if registry.get("rules", rule).needs_phases:
            _in_time(setting, rule)
    shortest = (len(network.hidden) + 1) * network.delay
    if phases.free <= shortest:
        raise ValueError(
            f"phases.free: {phases.free} ms is over before the input reaches the output; allowed: more than {shortest} ms, "
            f"network.delay for each of {len(network.hidden) + 1} projections"
        )
    gate = _gate(phases)
    if phases.propagation == "held" and gate > network.delay:
        raise ValueError(
            f"phases.gate: {gate} ms is longer than network.delay = {network.delay} ms, so the upper layers would see nudged "
            f"activity while it is open, which phases.propagation = 'held' excludes; shorten the gate or name 'live'"
        )


def cut_short(setting: "Setting") -> str | None:
    """What to say where the gate closes long before membranes of rate neurons follow a nudge; None where they do."""
    constant = tau(setting)
    if not constant or not local(setting):
        return None
    gate = _gate(setting.phases)
    if (part := 1 - math.exp(-gate / constant)) >= _FOLLOWED:
        return None
    held = "; a gate that is held ends with network.delay" * (setting.phases.propagation == "held")
    return (
        f"the plasticity gate is open for {gate:g} ms, in which a membrane of neuron.tau = {constant:g} ms goes "
        f"{100 * part:.2g} % of its way: hidden layers learn {part:.2g} times as fast as under DFA, and the output as "
        f"fast{held}"
    )


def _only_spikes(setting: "Setting") -> None:
    """Keys that mean something to spiking neurons under the local rule alone."""
    network = setting.network
    local = all(registry.get("rules", rule).needs_phases for _, rule in rules_of(setting))
    if spiking(setting) and local:
        return
    if output(setting).spiking:
        raise ValueError(_not_here(setting, "network.output", network.output, output_models.named(spiking=False)))
    for key, value, plain in (
        ("network.tau_syn", network.tau_syn, 0.0),
        ("network.start", network.start, "reset"),
        ("network.projection", [table.model_dump(exclude_unset=True) for table in network.projection], []),
        ("input.code", setting.input.code, "current"),
        ("input.lines", setting.input.lines, [0.0]),
        ("feedback.signal", setting.feedback.signal, "constant"),
        ("phases.onset", setting.phases.onset, "rest"),
        ("phases.update", setting.phases.update, "after"),
    ):
        if value != plain:
            raise ValueError(_not_here(setting, key, value, repr(plain)))


def _not_here(setting: "Setting", key: str, value: Any, allowed: str) -> str:
    names, neuron = ", ".join(rule for _, rule in rules_of(setting)), setting.network.neuron
    return (
        f"{key}: {quoted(value)} goes with spiking neurons under the local rule, not with network.neuron = {neuron!r} and the "
        f"rules {names}; allowed here: {allowed}"
    )


def _spikes(setting: "Setting") -> None:
    """Combinations of the spiking mode, in which a trial is simulated spike by spike."""
    rules = [rule for _, rule in rules_of(setting) if registry.get("rules", rule).needs_phases]
    _only_spikes(setting)
    if not spiking(setting) or not rules:
        return
    phases, network = setting.phases, setting.network
    if network.threshold:
        raise ValueError(f"network.threshold: {network.threshold} is of graded events; allowed with spikes: 0")
    if network.dropout:
        raise ValueError(
            "network.dropout: allowed only in settled mode, not with spikes; inputs may drop out: network.input_dropout"
        )
    if network.input_dropout and registry.get("inputs", setting.input.code).spikes:
        raise ValueError(
            f"network.input_dropout: {network.input_dropout} is of constant currents, not of spikes as input.code = "
            f"{setting.input.code!r} makes them; allowed: 0, or input.code = 'current'"
        )
    if phases.teacher != "activity" and not output(setting).spiking:
        raise ValueError(
            f"phases.teacher: {phases.teacher!r} works with rate neurons, or with network.output = "
            f"{output_models.named(spiking=True)}; allowed here: 'activity'"
        )
    if setting.input.lines != [0.0] and not registry.get("inputs", setting.input.code).spikes:
        raise ValueError(f"input.lines: delay lines carry spikes; allowed with input.code = {setting.input.code!r}: [0]")
    for rule in rules:
        _in_time(setting, rule)
        _rule_for_spikes(setting, rule)
    _closed_forms(setting, rules)
    _projections(setting)
    _arrivals(setting)
    shortest = settled_after(setting)
    if phases.free < shortest:
        raise ValueError(
            f"phases.free: after {phases.free} ms the traces still rise, which would be learned as if it were taught; allowed: "
            f"at least {shortest} ms, {SETTLED} times the longer of trace.tau_x and trace.tau_z, and the delays until spikes "
            f"have reached every population"
        )
    _lines(setting)
    _gate(phases)
    if phases.update == "online":
        _online(setting)


def _code(setting: "Setting") -> None:
    """Keys of the table `input` that the input code does not read."""
    table = setting.input
    reads = ("code", "lines", *registry.get("inputs", table.code).reads)
    for key, field in type(table).model_fields.items():
        if key not in reads and getattr(table, key) != field.default:
            readers = [repr(name) for name in registry.names("inputs") if key in registry.get("inputs", name).reads]
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
        codes = ((name, registry.get("inputs", name)) for name in registry.names("inputs"))
        allowed = ", ".join(repr(name) for name, model in codes if not (model.series or model.given))
        raise ValueError(
            f"augment: {quoted(table.model_dump(exclude_defaults=True))} is done to images, and input.code = "
            f"{setting.input.code!r} reads {'spike trains' if code.given else 'frames'}; allowed with it: {allowed}"
        )


def _rule_for_spikes(setting: "Setting", name: str) -> None:
    """What a rule that does not inject the signal, or that says nothing of constant inputs, does not go with."""
    rule, code, signal = registry.get("rules", name), setting.input.code, setting.feedback.signal
    if not rule.injects and setting.phases.propagation != "held":
        raise ValueError(
            f"phases.propagation: {setting.phases.propagation!r} is about activity that feedback has changed, and the rule "
            f"{name!r} injects none; allowed: 'held'"
        )
    if not rule.injects and signal == "spikes":
        raise ValueError(
            f"feedback.signal: 'spikes' move the membrane, and the rule {name!r} reads the signal without injecting it; "
            f"allowed: 'constant', 'continuous'"
        )
    if not rule.injects and _pathway_model(setting, name).by_propagation:
        pathways = {other: registry.get("feedback", other) for other in registry.names("feedback")}
        allowed = [other for other, model in pathways.items() if model.in_time and not model.by_propagation]
        raise ValueError(
            f"feedback.pathway: {pathway_of(setting, name)!r} is carried on by the activity that feedback has changed, and the "
            f"rule {name!r} injects none; allowed: {', '.join(allowed)}"
        )
    if not rule.constant and not registry.get("inputs", code).spikes:
        spiking_codes = [other for other in registry.names("inputs") if registry.get("inputs", other).spikes]
        raise ValueError(
            f"input.code: {code!r} sends no spikes, at which alone the rule {name!r} changes a synapse; allowed: "
            f"{', '.join(spiking_codes)}"
        )


def _closed_forms(setting: "Setting", rules: list[str]) -> None:
    """Spiking neurons that can be carried from event to event, and what only linear membranes go with."""
    network, neuron = setting.network, registry.get("neurons", setting.network.neuron)
    others = [f"rule = {rule!r}" for rule in rules if not registry.get("rules", rule).by_pairs()]
    if not neurons.is_linear(neuron):
        others.append(f"network.neuron = {network.neuron!r}")
    if not others:
        return
    taus = sorted({network.tau_syn, *(t.tau_syn for t in network.projection if t.tau_syn is not None)} - {0.0})
    for key, value, goes, allowed in (
        ("network.tau_syn", taus, not taus, "0"),
        ("network.neuron", network.neuron, not neuron.adapts, "neurons whose threshold does not adapt"),
        ("phases.update", setting.phases.update, setting.phases.update == "after", "'after'"),
    ):
        if not goes:
            raise ValueError(f"{key}: {quoted(value)} does not go with {' and '.join(others)}; allowed: {allowed}")


def _arrivals(setting: "Setting") -> None:
    """Delays within the free phase: what comes later is seen in the nudged phases alone, and learned as if it were taught."""
    delays, free = _delays(setting), setting.phases.free
    first = _first_arrivals(setting, {pair: delay for pair, (_, delay) in delays.items()})
    for (pre, post), (key, delay) in delays.items():
        if first[pre] + delay > free:
            shorter = f"up to {free - first[pre]:g} ms" if key != "network.delay" else "shorter ones"
            raise ValueError(
                f"{key}: with {delay:g} ms, what the inputs make population {pre} send reaches population {post} after "
                f"{first[pre] + delay:g} ms, when the free phase is over, phases.free = {free:g} ms; allowed: {shorter}, or a "
                f"free phase of at least {first[pre] + delay:g} ms"
            )


def _lines(setting: "Setting") -> None:
    """Delay lines no longer than the free phase: what they bring into the nudged phases was then sent after the same onset."""
    longest = max(setting.input.lines)
    if not longest:  # inputs may be currents, which pass no projection
        return
    delay = max(delay for (pre, _), (_, delay) in _delays(setting).items() if pre == 0)
    if longest + delay > setting.phases.free:
        raise ValueError(
            f"input.lines: what {longest} ms and the delay of {delay} ms bring comes after the first nudged phase has begun, "
            f"which would be learned as if it were taught; allowed: up to {setting.phases.free - delay:g} ms, phases.free less "
            f"the delay"
        )


def _online(setting: "Setting") -> None:
    """Weights that change while spikes pass: one sample after the other, by plain descent, and where `stream` runs."""
    network, neuron = setting.network, registry.get("neurons", setting.network.neuron)
    input_spikes = registry.get("inputs", setting.input.code).spikes
    currents = sorted({network.tau_syn, *(t.tau_syn for t in network.projection if t.tau_syn is not None)} - {0.0})
    others = sorted({table.connect for table in network.projection} - {"dense"})
    for key, value, goes, allowed in (
        ("batch_size", setting.batch_size, setting.batch_size == 1, "1"),
        ("optimiser.name", setting.optimiser.name, setting.optimiser.name == "sgd", "'sgd'"),
        ("optimiser.weight_decay", setting.optimiser.weight_decay, not setting.optimiser.weight_decay, "0"),
        ("phases.propagation", setting.phases.propagation, setting.phases.propagation == "live", "'live'"),
        ("network.neuron", network.neuron, not neuron.adapts, "neurons whose threshold does not adapt"),
        ("network.tau_syn", currents, not currents, "0"),
        ("network.projection.connect", others, not others, "'dense'"),
        ("input.code", setting.input.code, input_spikes or len(network.hidden) > 1 or bool(network.projection), "spikes"),
    ):
        if not goes:
            raise ValueError(f"phases.update: 'online' does not go with {key} = {quoted(value)}; allowed: {allowed}")


def _of_synapses(setting: "Setting", key: str, table: "ProjectionTable") -> None:
    """Keys of a projection that its synapses do not read."""
    kind = initial_weights(setting) if table.weights == "auto" else table.weights
    if table.connect != "sparse" and table.probability != type(table).model_fields["probability"].default:
        raise ValueError(
            f"{key}.probability: {table.probability:g} is of sparse synapses, and {key}.connect = {table.connect!r}; allowed "
            f"with it: leave it out"
        )
    if table.scale not in (None, 1) and kind == "zero":
        raise ValueError(f"{key}.scale: {table.scale:g} is the size of weights, which begin at zero here; leave it out")
    if table.scale is not None and table.scale <= 0 and kind != "constant":
        raise ValueError(f"{key}.scale: {table.scale:g} is the width of a distribution; allowed with {kind!r}: above 0")
    passes = (table.pre, table.post) in passed_by_spikes(setting)
    for name, value in (("delay", table.delay), ("tau_syn", table.tau_syn)):
        if value is not None and not passes:
            model = f"input.code = {setting.input.code!r}" if table.pre == 0 else f"network.output = {setting.network.output!r}"
            raise ValueError(f"{key}.{name}: {value:g} ms, but no spikes pass with {model}; allowed here: leave it out")


def _projections(setting: "Setting") -> None:
    """Projections of spiking neurons: populations that there are, each pair once, and currents that can be solved for."""
    network, last, seen = setting.network, len(setting.network.hidden) + 1, set()
    membrane = registry.get("neurons", network.neuron)(**setting.neuron).tau_m
    for i, table in enumerate(network.projection):
        key, pair = f"network.projection[{i}]", (table.pre, table.post)
        if table.pre >= last or table.post > last:
            raise ValueError(
                f"{key}: from {table.pre} to {table.post}; there are the populations 0 (inputs) to {last} (output); the output "
                f"sends none"
            )
        if pair in seen:
            raise ValueError(f"{key}: a second projection from {table.pre} to {table.post}; allowed: one for each pair")
        seen.add(pair)
        _of_synapses(setting, key, table)
        if table.post == last and table.pre != last - 1 and not output(setting).spiking:
            allowed = output_models.named(spiking=True)
            raise ValueError(f"{key}.post: only the layer below reaches an output that integrates; allowed with {allowed}")
        if table.pre == 0 and table.post != 1 and not registry.get("inputs", setting.input.code).spikes:
            raise ValueError(f"{key}.pre: input currents reach the first hidden layer only; name an input.code that spikes")
        if table.connect != "dense" and setting.optimiser.weight_decay:
            raise ValueError("optimiser.weight_decay: allowed with dense projections only: 0")
    for tau in (network.tau_syn, *(t.tau_syn for t in network.projection if t.tau_syn is not None)):
        if tau and abs(tau - membrane) < 1e-3 * membrane:
            raise ValueError(
                f"network.tau_syn: {tau} ms is neuron.tau_m; allowed: another time constant, apart by 0.1 % or more"
            )
