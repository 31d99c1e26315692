"""What keys stand for that a spec leaves out where one number does not fit all neurons and time constants."""

from typing import Any, TypeVar

from localdfa import registry
from localdfa.spec import derived
from localdfa.spec.tables import LONGEST, Phases, Setting

# A nudge lasts so many time constants of what follows it.
_NUDGED = 5
# ε where activity takes time. Exact events would come without end there.
_THRESHOLD = 0.01

# What may be found by `left_out`.
_FOLLOWERS = (
    ("phases", "beta"), ("phases", "free"), ("phases", "nudged"), ("network", "threshold"), ("optimiser", "learning_rate"),
)  # fmt: skip

_Setting = TypeVar("_Setting", bound=Setting)


def completed(setting: _Setting) -> _Setting:
    """The setting with these keys said; see `left_out`."""
    keys_left_out = left_out(setting)
    tables = {name: getattr(setting, name).model_copy(update=keys) for name, keys in keys_left_out.items()}
    return setting.model_copy(update=tables) if tables else setting


def left_out(setting: Setting) -> dict[str, dict[str, Any]]:
    """Tables with the keys that a setting leaves out and that stand for something else than their defaults.

    The free phase lasts until traces or activity are settled, a nudge five time constants of what follows it, but under a gate
    that is held no longer than the conduction delay; neither is shorter than the default of settled networks, which have no
    time. β and the learning rate are what the neuron model says, if it says anything. Where activity takes time, ε is 0.01.
    Every model that the setting names is there.
    """
    phases = {key: value for key, value in _phases(setting).items() if key not in setting.phases.model_fields_set}
    tables: dict[str, dict[str, Any]] = {"phases": phases} if phases else {}
    rates = getattr(registry.get("neurons", setting.network.neuron), "learning_rates", {})
    if setting.optimiser.name in rates and "learning_rate" not in setting.optimiser.parameters:
        tables["optimiser"] = {"learning_rate": rates[setting.optimiser.name]}
    if derived.local(setting) and setting.timed and "threshold" not in setting.network.model_fields_set:
        tables["network"] = {"threshold": _THRESHOLD}
    return tables


def followers(setting: Setting) -> list[tuple[str, str]]:
    """The keys, by table and name, that a setting leaves out and that may stand for something else than their defaults."""
    said = {"phases": setting.phases.model_fields_set, "network": setting.network.model_fields_set}
    said["optimiser"] = {*setting.optimiser.parameters}
    return [(table, key) for table, key in _FOLLOWERS if key not in said[table]]


def _phases(setting: Setting) -> dict[str, float]:
    """Durations and β, where they differ from their defaults."""
    phases, tau = setting.phases, derived.tau(setting)
    if not derived.local(setting) or not (setting.spiking or tau):
        return {}
    default = {key: Phases.model_fields[key].default for key in ("beta", "free", "nudged")}
    values = {"free": max(default["free"], min(LONGEST, derived.settled_after(setting)))}
    if setting.spiking:
        values["beta"] = getattr(registry.get("neurons", setting.network.neuron), "beta", default["beta"])
        nudged = _NUDGED * setting.trace.tau_z
    else:
        nudged = _NUDGED * tau + (phases.propagation != "held") * len(setting.network.hidden) * setting.network.delay
    values["nudged"] = max(default["nudged"], phases.gate or 0.0, min(LONGEST, nudged))
    if phases.propagation == "held" and not setting.spiking and phases.gate is None:
        values["nudged"] = min(values["nudged"], setting.network.delay)
    return {key: float(value) for key, value in values.items() if value != default[key]}
