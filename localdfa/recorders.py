"""Recorders: what a run keeps of the trained network where its spec asks for it, in the table `record`.

What a recorder will need is checked before training begins; it works once training is over. Where trials begin as the one
before has ended, those that a recorder looks at are a sequence of their own that starts at rest.
"""

import math
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localdfa import inputs, registry
from localdfa.core.events import trial_segments
from localdfa.core.spikes import Carried, Recording
from localdfa.engines import Spiking
from localdfa.errors import SpecError
from localdfa.geometry import lay_out
from localdfa.network import PROBE, WATCHED, generator
from localdfa.spec import Experiment, Record, Setting, settings

if TYPE_CHECKING:
    from localdfa.train import Trainer

# Rows of a forward pass when activities are read.
_CHUNK = 512
# Of each state of a neuron at a moment: how many there are, and bytes. Of a spike: bytes. Spikes a second of a lively neuron.
_STATES, _NUMBER, _SPIKE, _RATE = 5, 8, 64, 10.0


def spikes(trainer: "Trainer", keep: Record) -> dict[str, np.ndarray]:
    """Every spike of the first trials of the probe, as the network stands; see `record.Job.spikes`."""
    parts, samples = [], []
    edges, sign, _ = trial_segments(trainer.setting.phases, True)
    for sample, trial in _trials(trainer, keep.spikes, None):
        found = [
            np.stack([events["time"], events["neuron"], *np.full((3, len(events)), [[l + 1], [twin], [sample]])])
            for twin, layers in enumerate((trial.spikes, trial.twins))
            for l, events in enumerate(layers)
        ]
        columns = np.concatenate(found, axis=1)
        parts.append(columns[:, np.argsort(columns[0], kind="stable")])
        samples.append(sample)
    time, neuron, population, twin, trial_of = np.concatenate(parts, axis=1)
    return {
        "time": time, "population": population.astype(np.int32), "neuron": neuron.astype(np.int32),
        "twin": twin.astype(bool), "trial": trial_of.astype(np.int64), "trials": np.array(samples, np.int64),
        "edges": edges, "sign": sign,
    }  # fmt: skip


def states(trainer: "Trainer", keep: Record) -> dict[str, np.ndarray]:
    """Membranes, traces and drives of some neurons in the first trials of the probe; see `record.Job.states`."""
    edges, sign, _ = trial_segments(trainer.setting.phases, True)
    times, samples, found, chosen = _moments(keep, edges), [], dict[str, list[np.ndarray]](), dict[str, np.ndarray]()
    for sample, trial in _trials(trainer, keep.states, times):
        samples.append(sample)
        times = trial.times
        for l, layer in enumerate(trial.states):
            neurons = _chosen(keep, layer["V"].shape[1])
            chosen[f"neuron{l + 1}"] = neurons
            for name, state in layer.items():
                found.setdefault(f"{name.lower()}{l + 1}", []).append(state[:, neurons])
    kept = {name: np.stack(arrays) for name, arrays in found.items()}
    return {"time": times, "trial": np.array(samples, np.int64), "edges": edges, "sign": sign, **chosen, **kept}


def changes(trainer: "Trainer", keep: Record) -> dict[str, np.ndarray]:
    """What each of the first trials of the probe by itself teaches some synapses; see `record.Job.changes`."""
    network, train, sequence = trainer.network, trainer.parts["train"], Carried()
    noise, samples = generator(trainer.seed, WATCHED, trainer.epoch), trainer.probe[: keep.changes]
    chosen, found = dict[str, np.ndarray](), dict[str, list[np.ndarray]]()
    for sample in samples:
        rows = slice(sample, sample + 1)
        update = trainer.engine.learn(network, train.inputs[rows], train.targets[rows], noise, frozenset(), sequence)
        for joint, name, total in zip(network.projections, network.names, update.totals(), strict=True):
            dense = joint.dense(total, network.sizes[joint.post])
            forward = dense[: len(dense) - joint.biased].T
            post, pre = (_chosen(keep, n) for n in forward.shape)
            chosen |= {f"post{name}": post, f"pre{name}": pre}
            found.setdefault(f"dW{name}", []).append(forward[np.ix_(post, pre)])
    return {"trial": samples, **chosen, **{name: np.array(arrays) for name, arrays in found.items()}}


def activity(trainer: "Trainer", keep: Record) -> dict[str, np.ndarray]:
    """Activity or firing rate of every hidden neuron in some training samples; see `record.Job.activity`."""
    train, parts, noise = trainer.parts["train"], [], generator(trainer.seed, WATCHED, trainer.epoch)
    chosen, sequence = np.sort(generator(trainer.seed, PROBE).permutation(len(train))[: keep.activity]), Carried()
    for start in range(0, len(chosen), _CHUNK):
        rows = chosen[start : start + _CHUNK]
        parts.append(
            [a.astype(np.float32) for a in trainer.engine.activity(trainer.network, train.inputs[rows], noise, sequence)]
        )
    name = "rate" if trainer.setting.spiking else "h"
    kept = {f"{name}{l + 1}": np.concatenate(layer) for l, layer in enumerate(zip(*parts, strict=True))}
    return {**kept, "target" if trainer.network.output.regression else "label": train.y[chosen], "sample": chosen}


class Recorder(NamedTuple):
    """One thing that a run can keep.

    record: what is kept, as arrays. spikes: whether only trials of spikes have it. need: about how many bytes of memory it
    takes, of the table `record`, a setting, the sizes (n_in, hidden …, n_out) of its populations, and the number of samples.
    """

    record: Callable[["Trainer", Record], dict[str, np.ndarray]]
    spikes: bool
    need: Callable[[Record, Setting, tuple[int, ...], int], float]


def _spikes_need(keep: Record, setting: Setting, sizes: tuple[int, ...], samples: int) -> float:
    lasting = float(trial_segments(setting.phases, True)[0][-1])
    return min(keep.spikes, keep.probe, samples) * sum(sizes[1:]) * lasting * 1e-3 * _RATE * _SPIKE


def _states_need(keep: Record, setting: Setting, sizes: tuple[int, ...], samples: int) -> float:
    begin, end = _span(keep, trial_segments(setting.phases, True)[0])
    moments = max(0.0, end - begin) / keep.interval
    kept = min(keep.states, keep.probe, samples) * sum(len(_chosen(keep, n)) for n in sizes[1:])
    return moments * _STATES * _NUMBER * 2 * (kept + sum(sizes[1:]))  # and all neurons of one trial, with their twins


def _changes_need(keep: Record, setting: Setting, sizes: tuple[int, ...], samples: int) -> float:
    synapses = sum(pre * post for pre, post in pairwise(len(_chosen(keep, n)) for n in sizes))
    return 2 * min(keep.changes, keep.probe, samples) * _NUMBER * synapses


def _activity_need(keep: Record, setting: Setting, sizes: tuple[int, ...], samples: int) -> float:
    return 2 * min(keep.activity, samples) * sum(sizes[1:-1]) * np.dtype(np.float32).itemsize


RECORDERS = {
    "activity": Recorder(activity, False, _activity_need),
    "spikes": Recorder(spikes, True, _spikes_need),
    "states": Recorder(states, True, _states_need),
    "changes": Recorder(changes, False, _changes_need),
}


def asked_for(keep: Record, spiked: bool) -> dict[str, Recorder]:
    """The recorders that a spec asks for; spiked: whether the last rule was learned from spikes."""
    return {name: found for name, found in RECORDERS.items() if getattr(keep, name) and (spiked or not found.spikes)}


def check(experiment: Experiment, shape: tuple[int, ...], n_out: int, samples: int) -> None:
    """Refuse before training what could not be recorded after it; shape: of a sample; samples: to train on.

    Raises
    ------
    SpecError
        A neuron is to be recorded that no population has, or records that do not fit in memory.
    """
    keep, widest = experiment.record, 0
    for setting in settings(experiment).values():
        last = registry.get("rules", setting.rule_of(setting.stage[-1]))
        n_in = inputs.n_in(registry.get("inputs", setting.input.code), shape, setting.input) if setting.spiking else shape
        sizes = lay_out(setting, n_in, n_out)[0]
        for name, recorder in asked_for(keep, setting.spiking and last.needs_phases).items():
            need, there = recorder.need(keep, setting, sizes, samples), _memory()
            if need > there:
                raise SpecError(
                    f"record.{name}: {getattr(keep, name)} would need about {need / 2**30:,.0f} GiB of memory, where this "
                    f"machine has {there / 2**30:,.0f}; allowed: fewer{_FEWER.get(name, '')}"
                )
            if name == "states":
                widest = max(widest, *(sizes[1:] if setting.output.spiking else sizes[1:-1]))
            if name == "changes":
                widest = max(widest, *sizes)
    if widest and keep.neurons and (beyond := [i for i in keep.neurons if i >= widest]):
        raise SpecError(
            f"record.neurons: no population whose states or weight changes are kept has a neuron {beyond[0]}; allowed: 0 to "
            f"{widest - 1}"
        )


# What makes a record smaller, besides fewer trials.
_FEWER = {
    "states": ", a longer record.interval, a shorter record.window, or fewer record.neurons",
    "changes": ", or fewer record.neurons",
}


def _memory() -> float:
    """Bytes of memory that this machine has; ∞ where that cannot be told."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def _trials(trainer: "Trainer", count: int, times: np.ndarray | None) -> Iterator[tuple[int, Recording]]:
    """The first trials of the probe in detail: the training sample, and what happens."""
    engine: Any = trainer.engine
    assert isinstance(engine, Spiking)
    train, noise, sequence = trainer.parts["train"], generator(trainer.seed, WATCHED, trainer.epoch), Carried()
    for sample in trainer.probe[:count]:
        inputs_of, target = train.inputs[sample], train.targets[sample]
        yield int(sample), engine.record(trainer.network, inputs_of, target, noise, trainer.frozen, times, sequence)


def _chosen(keep: Record, n: int) -> np.ndarray:
    """The neurons that are recorded of a population of n."""
    return np.array([i for i in (range(3) if keep.neurons is None else keep.neurons) if i < n], np.int64)


def _span(keep: Record, edges: np.ndarray) -> tuple[float, float]:
    """From when to when states are kept, ms."""
    begin, end = keep.window or (0.0, float(edges[-1]))
    return begin, min(end, float(edges[-1]))


def _moments(keep: Record, edges: np.ndarray) -> np.ndarray:
    """When states are kept, ms."""
    return np.arange(*_span(keep, edges), keep.interval)
