"""What pydantic cannot see in the table `record`: what no recorder reads, and what a setting cannot record."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from localdfa import registry
from localdfa.errors import quoted
from localdfa.spec.derived import learns_from_spikes

if TYPE_CHECKING:
    from localdfa.spec.tables import Record, Setting


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
