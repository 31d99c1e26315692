"""What keys of the table `phases` stand for that a spec leaves out: one number does not fit all neurons and time constants."""

from typing import Any

from localdfa import registry
from localdfa.spec import checks
from localdfa.spec.tables import LONGEST, Phases, Setting

# A nudge lasts so many time constants of what follows it.
_NUDGED = 5
# The keys that follow others where they are left out.
KEYS = ("beta", "free", "nudged")


def completed(setting: Setting) -> Setting:
    """The setting with these keys said.

    The free phase lasts until traces or activity are settled, a nudge five time constants of what follows it, but under a gate
    that is held no longer than the conduction delay; neither is shorter than the default of settled networks, which have no
    time. β is what the model of a spiking neuron says. Every model that the setting names is there.
    """
    phases = setting.phases
    found = {key: value for key, value in _phases(setting).items() if key not in phases.model_fields_set}
    return setting.model_copy(update={"phases": phases.model_copy(update=found)}) if found else setting


def _phases(setting: Setting) -> dict[str, Any]:
    """What the keys stand for where they differ from their defaults."""
    phases, tau = setting.phases, setting.neuron.get("tau", 0)
    if not checks.local(setting) or not (setting.spiking or tau):
        return {}
    default = {key: Phases.model_fields[key].default for key in KEYS}
    found = {"free": max(default["free"], min(LONGEST, checks.settled_after(setting)))}
    if setting.spiking:
        found["beta"] = registry.get("neurons", setting.network.neuron).beta
        nudged = _NUDGED * setting.trace.tau_z
    else:
        nudged = _NUDGED * tau + (phases.propagation != "held") * len(setting.network.hidden) * setting.network.delay
    found["nudged"] = max(default["nudged"], phases.gate or 0.0, min(LONGEST, nudged))
    if phases.propagation == "held" and not setting.spiking and phases.gate is None:
        found["nudged"] = min(found["nudged"], setting.network.delay)
    return {key: float(value) for key, value in found.items() if value != default[key]}
