"""Recording: which recorders a run asks for, whether what they keep fits into memory, and the network as they see it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from localdfa import inputs, memory, registry
from localdfa.core.events import trial_segments
from localdfa.core.spiking.batch import Recording
from localdfa.core.spiking.carried import Carried
from localdfa.engines import Engine, Spiking
from localdfa.errors import SpecError, quoted
from localdfa.geometry import lay_out, seen
from localdfa.network import PROBE, WATCHED, Network, generator
from localdfa.recorders._recorder import Recorder, Scope
from localdfa.samples import Part
from localdfa.spec import Experiment, Record, Setting, settings


def asked_for(keep: Record, spiked: bool) -> dict[str, type[Recorder]]:
    """The recorders that a spec asks for; spiked: whether the last rule was learned from spikes."""
    found = {name: registry.get("recorders", name) for name in keep.asked}
    return {name: recorder for name, recorder in found.items() if spiked or not recorder.of_spikes}


def check(experiment: Experiment, shape: tuple[int, ...], n_out: int, samples: int) -> None:
    """Refuse before training what could not be recorded after it; shape: of a sample of the data; samples: to train on.

    Raises
    ------
    SpecError
        A neuron is to be recorded that no population has, more samples than there are, or what does not fit in memory.
    """
    keep, widest, whole = experiment.record, 0, shape
    for setting in settings(experiment).values():
        shape = seen(setting, whole)
        n_in = inputs.n_in(registry.get("inputs", setting.input.code), shape, setting.input) if setting.spiking else shape
        scope = Scope(setting, lay_out(setting, n_in, n_out)[0], samples, trial_segments(setting.phases, True)[0])
        for name, recorder in asked_for(keep, setting.learns_from_spikes).items():
            asked = getattr(keep, name, 0)
            if type(asked) is int and asked > samples:
                raise SpecError(
                    f"record.{name}: {asked} are more than the {samples} samples that there are to train on; allowed: up to "
                    f"{samples}"
                )
            need, there = recorder.need(keep, scope), _memory()
            if need > there:
                raise SpecError(
                    f"record.{name}: {quoted(getattr(keep, name))} would need about {need / 2**30:,.0f} GiB of memory, where "
                    f"this process may still take {there / 2**30:,.0f}; allowed: fewer{recorder.fewer}"
                )
            widest = max(widest, *recorder.populations(keep, scope), 0)
    if widest and keep.neurons and (beyond := [i for i in keep.neurons if i >= widest]):
        raise SpecError(
            f"record.neurons: no population of which neurons are recorded has a neuron {beyond[0]}; allowed: 0 to {widest - 1}"
        )


def drives(setting: Setting, network: Network, engine: Engine, part: Part, seed: int, epoch: int) -> np.ndarray:
    """The drive of the output in each sample of what is no part of the data, (n, n_out); epoch: of the weights."""
    return Trained(setting, network, engine, frozenset(), {"": part}, np.empty(0, np.int64), seed, epoch).drives("")


def _memory() -> float:
    """Bytes of memory that there are; ∞ where that cannot be told."""
    there = memory.available()
    return math.inf if there is None else float(there)


@dataclass(frozen=True)
class Trained:
    """A trained network as recorders see it, and what they may ask of it.

    parts: of the data, ``train``, ``valid`` and ``test``, each with inputs (n, n_in + 1), y, that is
    labels or numbers, and targets (n, n_out).
    probe: the training samples on which angles are measured. epoch: the one after which the network had these weights.

    Where trials begin as the one before has ended, those that a method looks at are a sequence of their own, from rest.
    """

    setting: Setting
    network: Network
    engine: Engine
    frozen: frozenset[int]
    parts: dict[str, Part]
    probe: np.ndarray
    seed: int
    epoch: int

    @property
    def edges(self) -> np.ndarray:
        """When the phases of a trial begin and end, ms."""
        return trial_segments(self.setting.phases, True)[0]

    @property
    def sign(self) -> np.ndarray:
        """The nudging in each phase: 0, 1 or −1."""
        return trial_segments(self.setting.phases, True)[1]

    def draw(self, count: int) -> np.ndarray:
        """So many training samples, drawn at random, the same ones at any time, in their order."""
        return np.sort(generator(self.seed, PROBE).permutation(len(self.parts["train"]))[:count])

    def trials(self, count: int, times: np.ndarray | None = None) -> Iterator[tuple[int, Recording]]:
        """The first trials of the probe in detail, of spiking neurons: the training sample, and what happens.

        times: the moments, ms, at which states are noted.
        """
        engine = self.engine
        assert isinstance(engine, Spiking)
        train, noise, sequence = self.parts["train"], self._noise(), Carried()
        for sample in self.probe[:count]:
            inputs_of, target = train.inputs[sample], train.targets[sample]
            yield int(sample), engine.record(self.network, inputs_of, target, noise, self.frozen, times, sequence)

    def updates(self, count: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """What each of the first trials of the probe by itself teaches: the training sample, and the sum of pre · post change.

        It is an array [post, pre] for each projection, by the layer that it reaches, ``1``, ``2`` …, or as ``1to1``.
        """
        network, train, noise, sequence = self.network, self.parts["train"], self._noise(), Carried()
        for sample in self.probe[:count]:
            rows, found = slice(sample, sample + 1), {}
            update = self.engine.learn(network, train.inputs[rows], train.targets[rows], noise, frozenset(), sequence)
            for joint, name, total in zip(network.projections, network.names, update.totals(), strict=True):
                dense = joint.dense(total, network.sizes[joint.post])
                found[name] = dense[: len(dense) - joint.biased].T
            yield int(sample), found

    def activity(self, samples: np.ndarray) -> list[np.ndarray]:
        """Activity, or of spiking neurons the rate in Hz, of each hidden layer in training samples, (m, n_l), float32."""
        train, parts, noise, sequence = self.parts["train"], [], self._noise(), Carried()
        for start in range(0, len(samples), memory.CHUNK):
            rows = samples[start : start + memory.CHUNK]
            layers, _ = self.engine.free_phase(self.network, train.inputs[rows], noise, sequence)
            parts.append([layer.astype(np.float32) for layer in layers])
        return [np.concatenate(layer) for layer in zip(*parts, strict=True)]

    def drives(self, part: str) -> np.ndarray:
        """The drive of the output in each sample of a part, (n, n_out)."""
        read, drives, noise, sequence = self.parts[part], list[np.ndarray](), self._noise(), Carried()
        for start in range(0, len(read), memory.CHUNK):
            drives.append(self.engine.read(self.network, read.inputs[start : start + memory.CHUNK], noise, sequence))
        return np.concatenate([np.empty((0, self.network.sizes[-1]), self.network.dtype), *drives])

    def _noise(self) -> np.random.Generator:
        return generator(self.seed, WATCHED, self.epoch)
