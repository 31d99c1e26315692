"""What follows from the keys of a setting together: its engine, pathways and initial weights, where spikes pass, and when they
have settled."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from localdfa import neurons, registry
from localdfa import outputs as output_models
from localdfa.outputs._of_modules import of_loop
from localdfa.spec.models import RULE

if TYPE_CHECKING:
    from localdfa.feedback._pathway import Pathway
    from localdfa.spec.tables import NetworkTable, Setting, Stage

# A trace is settled after so many of its time constants; what is left of its rise would be learned as if it were taught.
SETTLED = 8


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


def local(setting: "Setting") -> bool:
    """Whether any stage trains under a rule with phases."""
    return any(registry.get("rules", rule).needs_phases for _, rule in rules_of(setting))


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


def rules_for(engine: str) -> list[str]:
    """The names of the rules that an engine can train under."""
    return registry.having("rules", lambda model: engine in model.engines)


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


def projected(network: "NetworkTable") -> list[tuple[int, int]]:
    """The populations that synapses join, (pre, post) of each projection: from each layer to the next, then others as named."""
    pairs = [(k, k + 1) for k in range(len(network.hidden) + 1)]
    return [*dict.fromkeys([*pairs, *((table.pre, table.post) for table in network.projection)])]


def passed_by_spikes(setting: "Setting") -> list[tuple[int, int]]:
    """The populations between which spikes pass, of spiking neurons: (pre, post) of each projection.

    Constant currents come without spikes, and an output that integrates reads those of the layer below where they are sent.
    """
    last = len(setting.network.hidden) + 1
    constant, integrates = not registry.get("inputs", setting.input.code).spikes, not output(setting).spiking
    joined = projected(setting.network)
    return [(pre, post) for pre, post in joined if not (constant and pre == 0) and not (integrates and post == last)]


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
        passes_weights(setting, rule) or not teaches_hidden(rule) or not moves_from_zero(setting, rule)
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


def rules_of_layers(setting: "Setting", stage: "Stage") -> list[str]:
    """The rule by which each hidden layer learns in a stage."""
    return [stage.layer_rules.get(str(l), setting.rule_of(stage)) for l in range(1, len(setting.network.hidden) + 1)]


def pathway_of(setting: "Setting", rule: str) -> str:
    """The feedback pathway under a rule: the one named where the rule takes it, else the rule's own."""
    asked_for = setting.feedback.pathway
    return asked_for if asked_for and takes(rule, asked_for) else str(registry.get("rules", rule).own)


def takes(rule: str, pathway: str) -> bool:
    """Whether a rule works with a pathway: it names none, this one, or one from which this is derived."""
    named = registry.get("rules", rule).pathways
    return not named or issubclass(registry.get("feedback", pathway), tuple(registry.get("feedback", base) for base in named))


def taken(rule: str) -> list[str]:
    """The names of the pathways that a rule works with."""
    return [pathway for pathway in registry.names("feedback") if takes(rule, pathway)]


def moves_from_zero(setting: "Setting", rule: str) -> bool:
    """Whether hidden layers learn under a rule where their drives are zero."""
    moves = getattr(registry.get("rules", rule), "moves_from_zero", None)
    return moves is None or bool(moves(setting.parameters_of(rule)))


def teaches_hidden(rule: str) -> bool:
    """Whether hidden layers learn under a rule."""
    return bool(getattr(registry.get("rules", rule), "teaches_hidden", True))


def pathway_model(setting: "Setting", rule: str) -> type["Pathway"]:
    return registry.get("feedback", pathway_of(setting, rule))


def passes_weights(setting: "Setting", rule: str) -> bool:
    """Whether the signal is zero while the forward weights are."""
    return pathway_model(setting, rule).passes_weights or setting.normalises_strictly(rule)


def takes_norms(setting: "Setting", rule: str) -> bool:
    """Whether B under a rule stands in for the weights of one projection, whose norm it may take: it does not learn its own."""
    pathway = pathway_model(setting, rule)
    return issubclass(pathway, registry.get("feedback", "sequential")) and not (pathway.learns() or pathway.mirrors())


def flat_at_zero(setting: "Setting") -> bool:
    return bool(getattr(registry.get("neurons", setting.network.neuron), "flat_at_zero", False))


def below_threshold(setting: "Setting") -> bool:
    """Whether a spiking neuron without synaptic drive is silent, so that a small change of its drive changes nothing."""
    if not spiking(setting):
        return False
    neuron = setting.neuron_parameters
    return bool(neuron.__class__.rate(neuron, neuron.baseline) == 0)


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
        for (pre, post), (_, delay) in delays_of(setting).items()
    }
    return float(SETTLED * max(setting.trace.tau_x, setting.trace.tau_z) + max(first_arrivals(setting, ways).values()))


def delays_of(setting: "Setting") -> dict[tuple[int, int], tuple[str, float]]:
    """Of each projection that spikes pass, (pre, post), the key of its delay and the delay, ms."""
    network = setting.network
    own = {(t.pre, t.post): (f"network.projection[{i}].delay", t.delay) for i, t in enumerate(network.projection) if t.delay}
    return {pair: own.get(pair, ("network.delay", network.delay)) for pair in passed_by_spikes(setting)}


def first_arrivals(setting: "Setting", delays: Mapping[tuple[int, int], float]) -> dict[int, float]:
    """When each population is first reached from the inputs, ms after the onset; delays: of projections, (pre, post)."""
    first = {0: 0.0} if registry.get("inputs", setting.input.code).spikes else {1: 0.0}  # currents are there from the onset on
    for _ in delays:  # the way from the inputs that takes the least time has no more projections than there are
        for (pre, post), delay in delays.items():
            if pre in first:
                first[post] = min(first.get(post, np.inf), first[pre] + delay)
    return first
