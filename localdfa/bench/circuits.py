"""What sweeps and the roofline time: a recurrent network, a layer that spikes drive, and training steps of rate neurons.

Weights have mean zero, and a size ∝ 1/√(synapses a neuron): what arrives varies as much whatever their number, so that rates
hold. LIF neurons with τ_m = 20 ms and t_ref = 2 ms spike by themselves, at 20 Hz with a baseline of 1.1; with one of 0, never.
"""

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.bench.ours import Ours
from localdfa.bench.workloads import Workload
from localdfa.core import blas
from localdfa.core.events import trial_segments
from localdfa.core.spiking import batch as spikes
from localdfa.core.spiking.schedule import phase_begins
from localdfa.data.trains import Trains
from localdfa.inputs.trains import repeated
from localdfa.network import build
from localdfa.spec import experiment

if TYPE_CHECKING:
    from localdfa.spec import Setting

_NEURON = {"tau_m": 20.0, "t_ref": 2.0}
# Spikes a ms of each input neuron.
INPUT_RATE = 0.02
_OUTPUTS = 10


class _Simulated:
    """A mini-batch of `localdfa.core.spiking.batch.simulate` on whatever threads Numba has."""

    def __init__(self, setting: "Setting", n_in: int, inputs: Any, target: np.ndarray | None) -> None:
        blas.one_thread()
        self.setting, self.network = setting, build(setting, n_in, _OUTPUTS, seed=0)
        self.inputs, self.target = inputs, target

    def turn(self) -> float:
        """Run the mini-batch; returns its seconds."""
        began = time.perf_counter()
        self.last = spikes.simulate(self.network, self.setting, self.inputs, self.target)
        return time.perf_counter() - began


class Recurrent(_Simulated):
    """Free phases of one population with sparse delta synapses on itself, each neuron with about `fan_out`.

    delay and duration in ms; trials: in the mini-batch.
    """

    def __init__(
        self, neurons: int, fan_out: int, baseline: float = 1.1, delay: float = 1.5, trials: int = 1, duration: float = 500.0
    ) -> None:
        joint = {
            "pre": 1, "post": 1, "connect": "sparse", "probability": fan_out / neurons, "delay": delay, "plastic": False,
            "weights": "uniform",
        }  # fmt: skip
        setting = experiment(
            network={"hidden": [neurons], "neuron": "lif", "start": "uniform", "weights": "zero", "projection": [joint]},
            neuron={**_NEURON, "baseline": baseline},
            phases={"free": duration},
        )
        super().__init__(setting, 1, np.eye(1, 2, 1, dtype=np.float32).repeat(trials, axis=0), None)

    def counts(self) -> dict[str, float]:
        """Spikes and synaptic events of a mini-batch: a spike of a neuron is an event at each of its synapses; rate, Hz."""
        joint, sent = self.network.projections[-1], self.last.counts[0]
        assert joint.ends is not None
        return {
            "synapses": int(joint.ends[-1]), "spikes": int(sent.sum()),
            "rate": 1e3 * float(sent.mean()) / self.setting.phases.free,
            "events": int(sent.sum(axis=0) @ np.diff(joint.ends)),
        }  # fmt: skip


class Driven(_Simulated):
    """A dense layer of `width` neurons that as many input neurons drive by spikes at 20 Hz.

    free: duration of a free phase, ms; nudged: of the nudged phase after each of the two under the local rule, or 0 for one
    free phase alone.
    """

    def __init__(self, width: int, free: float, nudged: float = 0.0, baseline: float = 1.1, trials: int = 4) -> None:
        setting = experiment(
            network={"hidden": [width], "neuron": "lif", "start": "uniform", "weights": "uniform"},
            neuron={**_NEURON, "baseline": baseline},
            input={"code": "trains"},
            phases={"free": free, "nudged": nudged or free, "beta": 0.5, "propagation": "live"},
        )
        rng, longest = np.random.default_rng(0), max(free, nudged)
        sizes = rng.poisson(INPUT_RATE * width * longest, trials)
        sample, n = np.repeat(np.arange(trials), sizes), sizes.sum()
        inputs = Trains(sample, rng.integers(0, width, n), rng.uniform(0, longest, n), trials, width)
        target = np.eye(1, _OUTPUTS, dtype=np.float32).repeat(trials, axis=0) if nudged else None
        super().__init__(setting, width, inputs, target)

    def counts(self) -> dict[str, float]:
        """Of a mini-batch: synaptic events, one for each neuron of the layer at each spike that arrives, and those while the
        gate is open; spikes of the layer and its rate, Hz."""
        width, plastic = self.network.sizes[1], self.target is not None
        begins, stop = phase_begins(self.setting.phases, plastic)
        sample, neuron, sent = self.inputs.events()
        _, _, sent = repeated(sample, neuron, sent, begins, stop)
        arrived = sent + self.network.projections[0].delay
        arrived = arrived[arrived < stop]
        edges, _, gate = trial_segments(self.setting.phases, plastic)
        learned = gate[np.searchsorted(edges, arrived, side="right") - 1] >= 0
        return {
            "synapses": width**2, "spikes": self.last.events,
            "rate": 1e3 * self.last.events / (width * stop * len(self.inputs)),
            "events": len(arrived) * width,
            "learned": int(learned.sum()) * width,
        }  # fmt: skip


class Training:
    """Steps of the local rule, tanh and RMSprop, with two hidden layers of some width on the digits."""

    def __init__(self, width: int, batch: int, steps: int = 20) -> None:
        self._steps, self._sizes, self._batch = steps, (64, width, width, _OUTPUTS), batch
        self._side = Ours(Workload("training", self._sizes, "digits", "local", batch, steps, 0, samples=1024))

    def turn(self) -> float:
        """Seconds a step."""
        return self._side.steps(self._steps) / self._steps

    def counts(self) -> dict[str, float]:
        """Synapses; and of a step the events, one for each synapse and sample."""
        synapses = sum(a * b for a, b in zip(self._sizes, self._sizes[1:], strict=False))
        return {"synapses": synapses, "events": synapses * self._batch}
