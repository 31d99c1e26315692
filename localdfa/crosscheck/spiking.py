"""The certificate of a spiking network: are its trials those of Brian2, and is its update exact DFA of its f–I curve?

`clock` compares the engine with Brian2; `noise` the update with exact DFA and with theory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from localdfa import handover
from localdfa.core import blas
from localdfa.crosscheck import noise, subject
from localdfa.errors import SpecError
from localdfa.network import PROBE, generator
from localdfa.record import Run, origin, plain
from localdfa.samples import load_samples, parts
from localdfa.spec import Experiment, settings

# Where neurons replace others that did not spike: the free phase and the nudge, in time constants of the traces.
_FREE, _NUDGED = 10, 5


def certified(found: Experiment, neuron: str | None = None) -> tuple[str, Experiment]:
    """The chosen condition and the experiment that is certified: that condition alone, one seed, in float64.

    neuron: a model of spiking neurons to take the place of its own, with its default parameters. Where its own do not spike,
    its phases are of another kind: the free phase becomes 10 τ and the nudge 5 τ of the longer trace, and small events are no
    longer left out.

    Raises
    ------
    SpecError
        There is no such condition, or its neurons cannot be these.
    """
    name, setting = subject.chosen(found)
    if setting.pathway_of("local") != "direct":
        raise SpecError(
            f"feedback.pathway: {setting.pathway_of('local')!r} does not lead to DFA, with which a certificate of spiking "
            f"neurons compares; allowed: 'direct'"
        )
    if neuron in (None, setting.network.neuron):
        return name, subject.alone(found, setting)
    tables = setting.model_dump(exclude_unset=True)
    network = {**tables.get("network", {}), "neuron": neuron, "weights": setting.network.weights, "threshold": 0.0}
    phases = {key: value for key, value in tables.get("phases", {}).items() if key != "gate"}
    if not setting.spiking:
        tau, delays = max(setting.trace.tau_x, setting.trace.tau_z), len(setting.network.hidden) * setting.network.delay
        phases |= {"free": _FREE * tau + delays, "nudged": _NUDGED * tau}
    return name, subject.alone(found, setting, neuron={}, network=network, phases=phases)


def certify(
    found: Experiment, neuron: str | None = None, run: Run | None = None, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The certificate of an experiment, as it is written to certificate.json; None stands for what is undefined.

    Parameters
    ----------
    found: the experiment.
    neuron: as `certified` takes it; Brian2 is then left out. Without it, exact DFA is left out where there is none.
    run: a run of it, whose final weights are certified in place of the initial ones.
    say: told what goes on.

    Raises
    ------
    SpecError, DataError, RunError
        It cannot be certified; its data cannot be had; the run has no weights that fit.
    """
    name, alone = certified(found, neuron)
    setting, seed, limits = next(iter(settings(alone).values())), alone.seeds[0], alone.certify
    say("reading the data")
    train = parts(load_samples(alone), setting)["train"]
    if run is None:
        network, epoch = handover.begin(setting, train.shape, train.targets.shape[1], seed), 0
    else:
        network, epoch = subject.trained(run, name, setting, train)
    sample = generator(seed, PROBE).permutation(len(train))
    result: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    with blas.one_thread():
        if neuron is None:
            from localdfa.crosscheck import clock

            chosen = np.sort(sample[: limits.trials])
            result["brian2"] = clock.compare(
                network, setting, train.inputs[chosen], train.targets[chosen], seed, limits, say
            )  # fmt: skip
            rows += clock.judge(result["brian2"], limits)
        try:
            noise.require(network, setting, train.inputs.shape[1] - 1)
        except SpecError as error:
            if neuron is not None:
                raise
            result["left_out"] = str(error)
        else:
            chosen = np.sort(sample[: limits.samples])
            constant = noise.constant_layers(setting)
            measured = noise.measured(network, setting, train.array[chosen], train.targets[chosen], seed, limits, say)
            result["dfa"] = {"settings": measured, "best": noise.best(measured), "constant_layers": constant}
            rows += noise.judge(measured, constant, limits)
    return plain({
        "kind": "spiking", **subject.verdict(rows), "condition": name, "seed": seed, "epoch": epoch, **origin(),
        "spec": alone.model_dump(exclude_none=True), "rows": rows, **result,
    })  # fmt: skip
