"""Keys of trials and of feedback that a spec sets and that none of its conditions reads: what is accepted is used."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from localdfa import registry
from localdfa.errors import quoted
from localdfa.spec import checks, defaults
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
    sent = checks.teaches_hidden(rule) and registry.get("feedback", setting.pathway_of(rule)).draws()
    return bool(sent) or setting.adversarial.gradient == "feedback"


def _fed_back(setting: Setting, rule: str, engine: str) -> bool:
    return checks.teaches_hidden(rule)


def _taking_time(setting: Setting, rule: str, engine: str) -> bool:
    return engine != "settled"


_PHASES = _Key(_with_phases, "under a rule with phases")
_DURATION = _Key(_taking_time, "under a rule with phases where activity takes time: neuron.tau > 0, or spiking neurons")
_MIRRORED = _Key(_mirrored, "with feedback.pathway = 'weight_mirror' or 'direct_weight_mirror'")
_DRAWN = _Key(_drawn, "where a matrix B is drawn at random")
_SPIKES = _Key(lambda setting, rule, engine: engine == "spiking", "by spiking neurons under a rule with phases")
_KEYS = {
    ("network", "delay"): _DURATION,
    ("trace", "tau_x"): _SPIKES,
    ("trace", "tau_z"): _SPIKES,
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
    ("feedback", "pathway"): _Key(_fed_back, "under a rule by which hidden layers learn"),
    **{("feedback", name): _DRAWN for name in FeedbackTable.DRAWN},
    ("feedback", "spread"): _Key(lambda setting, rule, engine: not setting.of_layers, "by modules of graphs"),
    ("feedback", "bottleneck"): _Key(_fed_back, "under a rule by which hidden layers learn"),
    ("feedback", "normalisation"): _Key(
        lambda setting, rule, engine: checks.takes_norms(setting, rule),
        "where each B stands in for the weights of one projection and does not learn: feedback.pathway = 'sequential' or a "
        "sign-symmetric one",
    ),
    ("feedback", "mirror_rate"): _MIRRORED,
    ("feedback", "noise"): _MIRRORED,
}  # fmt: skip


def unread(setting: Setting) -> set[tuple[str, str]]:
    """The keys above, by table and name, that a setting does not read."""
    rules = [(rule, checks.engine_of(setting, rule)) for _, rule in checks.rules_of(setting)]
    return {at for at, key in _KEYS.items() if not any(key.reads(setting, rule, engine) for rule, engine in rules)}


def check(settings: Iterable[Setting]) -> None:
    """Refuse what settings set in keys that none of them reads; ValueError, a line ``key: reason`` each."""
    settings = list(settings)
    wrong = []
    for table, name in sorted(set.intersection(*map(unread, settings)), key=[*_KEYS].index):
        for setting in settings:
            value, plain = getattr(getattr(setting, table), name), _if_left_out(setting, table, name)
            if value != plain:
                names = ", ".join(dict.fromkeys(quoted(rule) for each in settings for _, rule in checks.rules_of(each)))
                wrong.append(
                    f"{table}.{name}: {quoted(value)} is read only {_KEYS[table, name].where}, and no condition is of that "
                    f"kind (the rules here: {names}); {checks.allowed_here(plain)}"
                )
                break
    if wrong:
        raise ValueError("\n".join(wrong))


def _if_left_out(setting: Setting, table: str, name: str) -> Any:
    """What a key would stand for if a setting left it out."""
    given = getattr(setting, table)
    without = type(given).model_validate(given.model_dump(exclude_unset=True, exclude={name}))
    followed = defaults.left_out(setting.model_copy(update={table: without}))
    return followed.get(table, {}).get(name, getattr(without, name))


def without_unread(setting: Setting, tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a setting without the keys that it does not read, which then may stand alone as an experiment."""
    keys = unread(setting)
    return {
        table: {name: value for name, value in entries.items() if (table, name) not in keys}
        if isinstance(entries, Mapping)
        else entries
        for table, entries in tables.items()
    }
