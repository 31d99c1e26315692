"""Combinations of keys that cannot work where a trial is simulated in time, by graded events or spike by spike."""

import math
from typing import TYPE_CHECKING, Any

from localdfa import neurons, registry
from localdfa import outputs as output_models
from localdfa.errors import quoted
from localdfa.spec.derived import (
    SETTLED,
    delays_of,
    first_arrivals,
    initial_weights,
    local,
    output,
    passed_by_spikes,
    pathway_model,
    pathway_of,
    rules_of,
    settled_after,
    spiking,
    tau,
)

if TYPE_CHECKING:
    from localdfa.spec.tables import NetworkTable, Phases, ProjectionTable, Setting

# Graded events of a smaller size come by the ten thousand from every neuron, and are refused where activity takes time.
_LEAST_EVENT = 1e-5
# A gate is said to be short in which membranes go less than this part of their way.
_FOLLOWED = 0.9


def _in_time(setting: "Setting", rule: str) -> None:
    if not pathway_model(setting, rule).in_time:
        allowed = registry.having("feedback", lambda model: model.in_time)
        raise ValueError(
            f"feedback.pathway: {pathway_of(setting, rule)!r} works in settled mode only; allowed with neuron.tau > 0 and with "
            f"spikes: {', '.join(allowed)}"
        )


def _gate(phases: "Phases") -> float:
    """How long the gate is open, ms; refused where that is longer than the nudge."""
    gate = phases.gate_duration
    if gate > phases.nudged:
        raise ValueError(f"phases.gate: {gate} ms is longer than phases.nudged = {phases.nudged} ms")
    return float(gate)


def check_rates(setting: "Setting") -> None:
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


def check_spikes(setting: "Setting") -> None:
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
    if not rule.injects and pathway_model(setting, name).by_propagation:
        allowed = registry.having("feedback", lambda model: model.in_time and not model.by_propagation)
        raise ValueError(
            f"feedback.pathway: {pathway_of(setting, name)!r} is carried on by the activity that feedback has changed, and the "
            f"rule {name!r} injects none; allowed: {', '.join(allowed)}"
        )
    if not rule.constant and not registry.get("inputs", code).spikes:
        spiking_codes = registry.having("inputs", lambda model: model.spikes)
        raise ValueError(
            f"input.code: {code!r} sends no spikes, at which alone the rule {name!r} changes a synapse; allowed: "
            f"{', '.join(spiking_codes)}"
        )


def _currents(network: "NetworkTable") -> list[float]:
    """The time constants of synaptic currents, ms, in ascending order; none where all synapses move v at once."""
    return sorted({network.tau_syn, *(t.tau_syn for t in network.projection if t.tau_syn is not None)} - {0.0})


def _closed_forms(setting: "Setting", rules: list[str]) -> None:
    """Spiking neurons that can be carried from event to event, and what only linear membranes go with."""
    network, neuron = setting.network, registry.get("neurons", setting.network.neuron)
    others = [f"rule = {rule!r}" for rule in rules if not registry.get("rules", rule).by_pairs()]
    if not neurons.is_linear(neuron):
        others.append(f"network.neuron = {network.neuron!r}")
    if not others:
        return
    taus = _currents(network)
    for key, value, goes, allowed in (
        ("network.tau_syn", taus, not taus, "0"),
        ("network.neuron", network.neuron, not neuron.adapts, "neurons whose threshold does not adapt"),
        ("phases.update", setting.phases.update, setting.phases.update == "after", "'after'"),
    ):
        if not goes:
            raise ValueError(f"{key}: {quoted(value)} does not go with {' and '.join(others)}; allowed: {allowed}")


def _arrivals(setting: "Setting") -> None:
    """Delays within the free phase: what comes later is seen in the nudged phases alone, and learned as if it were taught."""
    delays, free = delays_of(setting), setting.phases.free
    first = first_arrivals(setting, {pair: delay for pair, (_, delay) in delays.items()})
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
    delay = max(delay for (pre, _), (_, delay) in delays_of(setting).items() if pre == 0)
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
    currents = _currents(network)
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
    for constant in (network.tau_syn, *(t.tau_syn for t in network.projection if t.tau_syn is not None)):
        if constant and abs(constant - membrane) < 1e-3 * membrane:
            raise ValueError(
                f"network.tau_syn: {constant} ms is neuron.tau_m; allowed: another time constant, apart by 0.1 % or more"
            )
