"""Keys that a spec sets and that none of its conditions reads, or not the one that sets them: what is accepted is used."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from localdfa import registry
from localdfa.errors import quoted
from localdfa.spec import defaults, derived, records
from localdfa.spec.tables import FeedbackTable, Setting


class _Key(NamedTuple):
    """Whether a setting reads a key under a rule, in an engine; and where it is read, in words."""

    reads: Callable[[Setting, str, str], bool]
    where: str


def _with_phases(setting: Setting, rule: str, engine: str) -> bool:
    return bool(registry.get("rules", rule).needs_phases)


def _by_beta(setting: Setting, rule: str, engine: str) -> bool:
    return _with_phases(setting, rule, engine) and getattr(registry.get("rules", rule), "depends_on_beta", True)


def _mirrored(setting: Setting, rule: str, engine: str) -> bool:
    return bool(registry.get("feedback", setting.pathway_of(rule)).mirrors())


def _drawn(setting: Setting, rule: str, engine: str) -> bool:
    sent = derived.teaches_hidden(rule) and registry.get("feedback", setting.pathway_of(rule)).draws()
    return bool(sent) or setting.adversarial.gradient == "feedback"


def _fed_back(setting: Setting, rule: str, engine: str) -> bool:
    return derived.teaches_hidden(rule)


def _taken(setting: Setting, rule: str, engine: str) -> bool:
    return derived.teaches_hidden(rule) and setting.feedback.pathway in (None, setting.pathway_of(rule))


def _sized(setting: Setting, rule: str, engine: str) -> bool:
    sent = _drawn(setting, rule, engine) and not setting.normalises_strictly(rule)
    return sent or setting.adversarial.gradient == "feedback"


def _taking_time(setting: Setting, rule: str, engine: str) -> bool:
    return engine != "settled"


def _delayed(setting: Setting, rule: str, engine: str) -> bool:
    return engine == "timed" or (engine == "spiking" and derived.left_to_network(setting, "delay"))


def _through_currents(setting: Setting, rule: str, engine: str) -> bool:
    return engine == "spiking" and derived.left_to_network(setting, "tau_syn")


_PHASES = _Key(_with_phases, "under a rule with phases")
_DURATION = _Key(_taking_time, "under a rule with phases where activity takes time: neuron.tau > 0, or spiking neurons")
_MIRRORED = _Key(_mirrored, "with feedback.pathway = 'weight_mirror' or 'direct_weight_mirror'")
_DRAWN = _Key(_drawn, "where a matrix B is drawn at random")
_SIZED = _Key(_sized, "where a matrix B is drawn at random, and not given the norm of weights (feedback.normalisation)")
_KEYS = {
    ("network", "delay"): _Key(
        _delayed, "under a rule with phases where rate neurons take time, or spikes pass from population to population"
    ),
    ("network", "tau_syn"): _Key(_through_currents, "under a rule with phases where spikes pass from population to population"),
    ("neuron", "tau"): _Key(lambda setting, rule, engine: engine == "timed", "under a rule with phases"),
    ("optimiser", "learning_rate"): _Key(
        lambda setting, rule, engine: any(stage.learning_rate is None for stage in setting.stage),
        "by stages without a learning_rate of their own",
    ),
    ("phases", "beta"): _Key(_by_beta, "under a rule that depends on β"),
    ("phases", "nudging"): _PHASES,
    ("phases", "propagation"): _PHASES,
    ("phases", "teacher"): _PHASES,
    ("phases", "free"): _DURATION,
    ("phases", "nudged"): _DURATION,
    ("phases", "gate"): _DURATION,
    ("feedback", "interval"): _Key(
        lambda setting, rule, engine: setting.feedback.signal != "constant", "with feedback.signal = 'continuous' or 'spikes'"
    ),
    ("feedback", "rate"): _Key(
        lambda setting, rule, engine: setting.feedback.signal == "spikes", "with feedback.signal = 'spikes'"
    ),
    ("feedback", "pathway"): _Key(_taken, "under a rule by which hidden layers learn and that goes with it"),
    **{("feedback", name): _DRAWN for name in FeedbackTable.DRAWN},
    **{("feedback", name): _SIZED for name in ("gain", "fan_out")},
    ("feedback", "spread"): _Key(lambda setting, rule, engine: not setting.of_layers, "by modules of graphs"),
    ("feedback", "bottleneck"): _Key(_fed_back, "under a rule by which hidden layers learn"),
    ("feedback", "normalisation"): _Key(
        lambda setting, rule, engine: derived.takes_norms(setting, rule),
        "where each B stands in for the weights of one projection and does not learn: feedback.pathway = 'sequential' or a "
        "sign-symmetric one",
    ),
    ("feedback", "mirror_rate"): _MIRRORED,
    ("feedback", "noise"): _MIRRORED,
}  # fmt: skip


def unread(setting: Setting) -> set[tuple[str, str]]:
    """The keys above, by table and name, that a setting does not read."""
    rules = [(rule, derived.engine_of(setting, rule)) for _, rule in derived.rules_of(setting)]
    return {at for at, key in _KEYS.items() if not any(key.reads(setting, rule, engine) for rule, engine in rules)}


def check(settings: Mapping[str, Setting], changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse keys that are set and not read; ValueError, a line ``key: reason`` each.

    settings: of each condition by its name, of which at least one is to read what they have in common; changes: the tables that
    conditions have of their own, which they are to read themselves.
    """
    idle, wrong = {name: unread(setting) for name, setting in settings.items()}, dict[str, None]()
    for at in _KEYS:
        for name, setting in settings.items():
            own = at[1] in changes.get(name, {}).get(at[0], ())
            if own and at in idle[name] and (line := _wrong(setting, at, [setting])):
                wrong[f"condition {name!r}: {line}"] = None
            elif all(at in each for each in idle.values()) and (line := _wrong(setting, at, settings.values())):
                wrong[line] = None
                break
    if wrong:
        raise ValueError("\n".join(wrong))


def _wrong(setting: Setting, at: tuple[str, str], of_all: Iterable[Setting]) -> str | None:
    """What is wrong with a key that a setting has and that none of these reads, if it says anything."""
    value, plain = _value(setting, *at), _if_left_out(setting, *at)
    if value == plain:
        return None
    names = ", ".join(dict.fromkeys(quoted(rule) for each in of_all for _, rule in derived.rules_of(each)))
    return (
        f"{'.'.join(at)}: {quoted(value)} is read only {_KEYS[at].where}, and no condition is of that kind (the rules here: "
        f"{names}); {records.allowed_here(plain)}"
    )


def _value(setting: Setting, table: str, name: str) -> Any:
    """What a key stands for in a setting; None where its table is one of parameters, and has none of this name."""
    if table == "neuron":
        return getattr(setting.neuron_parameters, name, None)
    if table == "optimiser":
        defaults_of = getattr(registry.get("optimisers", setting.optimiser.name), "_field_defaults", {})
        return setting.optimiser.parameters.get(name, defaults_of.get(name))
    return getattr(getattr(setting, table), name)


def _if_left_out(setting: Setting, table: str, name: str) -> Any:
    """What a key would stand for if a setting left it out."""
    given = getattr(setting, table)
    if isinstance(given, Mapping):
        without: Any = {key: value for key, value in given.items() if key != name}
    else:
        without = type(given).model_validate(given.model_dump(exclude_unset=True, exclude={name}))
    setting = setting.model_copy(update={table: without})
    return defaults.left_out(setting).get(table, {}).get(name, _value(setting, table, name))


def without_unread(setting: Setting, tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a setting without the keys that it does not read, which then may stand alone as an experiment."""
    keys = unread(setting)
    return {
        table: {name: value for name, value in entries.items() if (table, name) not in keys}
        if isinstance(entries, Mapping)
        else entries
        for table, entries in tables.items()
    }
