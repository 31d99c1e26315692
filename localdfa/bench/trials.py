"""Trials of spiking networks that are timed: what every side simulates, and which peers can."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# The step of a peer with a clock, ms.
DT = 0.1


@dataclass(frozen=True)
class Trials:
    """Trials of one sample.

    hidden: widths of the hidden layers; code: how the first training image of `data` comes in, as currents or as Poisson spikes
    that all sides are given; plastic: the free phase and both nudged ones under the local rule with one compartment, else the
    free phase alone; trials: in a mini-batch of ours; probability: of a synapse between any two neurons of a recurrent network,
    which has no input and of which hidden counts the excitatory and the inhibitory ones, or None for layers; online: the rate
    of learning of weights that change while spikes pass, one trial after the other, or 0.
    """

    name: str
    hidden: list[int]
    code: str
    plastic: bool
    trials: int = 16
    data: str = "mnist"
    probability: float | None = None
    online: float = 0.0

    @property
    def recurrent(self) -> bool:
        """Whether the network is the recurrent one."""
        return self.probability is not None


def _both(name: str, hidden: list[int], code: str) -> list[Trials]:
    return [Trials(name, hidden, code, plastic) for plastic in (False, True)]


def _recurrent(name: str, hidden: list[int], probability: float, trials: int) -> list[Trials]:
    return [Trials(name, hidden, "current", plastic, trials, probability=probability) for plastic in (False, True)]


SPIKING = [
    *_both("currents, 784-800-10", [800], "current"),
    *_both("currents, 784-400-400-10", [400, 400], "current"),
    *_both("spikes, 784-400-10", [400], "trains"),
    Trials("spikes, 784-400-10, online", [400], "trains", True, online=1e-3),
    *_recurrent("recurrent, 4,000 at 2 %", [3200, 800], 0.02, 8),
    *_recurrent("recurrent, 4,000 at 10 %", [3200, 800], 0.1, 8),
    *_recurrent("recurrent, 20,000 at 2 %", [16000, 4000], 0.02, 2),
    *_recurrent("recurrent, 20,000 at 10 %", [16000, 4000], 0.1, 2),
]
# Which of these each peer simulates; it is left out of the others.
PEERS: dict[str, Callable[[Trials], bool]] = {
    "brian2": lambda work: True,
    "nest": lambda work: work.recurrent and not work.plastic,
    "annarchy": lambda work: work.recurrent and not work.plastic,
}


# The recurrent network: its neurons, ms; of excitatory and of inhibitory synapses tau_syn, ms, and what a spike raises their
# current by, v measured from the reset to the threshold; the constant drive; and the conduction delay, ms.
BALANCED = {"tau_m": 20.0, "t_ref": 5.0}
JUMPS = ((5.0, 0.162), (10.0, -0.9))
DRIVE, DELAY = 1.1, 1.5


def scale(neurons: int, probability: float) -> float:
    """What jumps of the recurrent network are divided by, and its drive is multiplied by, if neurons hear of so many others."""
    return math.sqrt(probability * neurons / 80)


def setting(work: Trials, free: float | None = None) -> Any:
    """The spec of a workload; free: another length of the free phase, ms."""
    from localdfa.spec import experiment

    tables = _balanced(work) if work.recurrent else {"network": {"hidden": work.hidden, "start": "uniform"}}
    tables["network"]["neuron"] = "lif"
    usual = 1000.0 if work.recurrent and not work.plastic else 400.0
    phases = {"free": usual, "nudged": 200.0, "beta": 0.5, "propagation": "live"}
    if work.online:
        tables |= {"batch_size": 1, "optimiser": {"name": "sgd", "learning_rate": work.online}}
        phases["update"] = "online"
    found = experiment(**tables, input={"code": work.code}, phases=phases)
    if free is None:
        return found
    return found.model_copy(update={"phases": found.phases.model_copy(update={"free": free})})


def _balanced(work: Trials) -> dict[str, Any]:
    """Network and neurons of a recurrent workload.

    With 80 synapses a neuron it is the benchmark CUBA of Brette et al. 2007, of a conduction delay: exponential synapses, v in
    units of 10 mV from the reset. With K of them every jump is multiplied by √(80/K) and the constant drive by √(K/80), which
    keeps excitation, inhibition and drive in balance and their fluctuations as large as the threshold (van Vreeswijk and
    Sompolinsky 1996): 6 to 10 Hz.
    """
    assert work.probability is not None
    more = scale(sum(work.hidden), work.probability)
    return {
        "network": {
            "hidden": work.hidden, "delay": DELAY, "start": "uniform", "weights": "zero",
            "projection": [
                {"pre": pre, "post": post, "connect": "sparse", "probability": work.probability, "plastic": work.plastic,
                 "weights": "constant", "tau_syn": tau, "scale": jump * tau / 10 / more}
                for pre, (tau, jump) in enumerate(JUMPS, 1)
                for post in (1, 2)
            ],
        },
        "neuron": {**BALANCED, "baseline": DRIVE * more},
    }  # fmt: skip


def sample(work: Trials, m: int) -> tuple[Any, np.ndarray]:
    """m times the same sample, inputs as `localdfa.core.spiking.batch.simulate` takes them, and its target (m, 10)."""
    from localdfa import data
    from localdfa.data.trains import Trains

    target = np.zeros((m, 10), np.float32)
    target[:, 3] = 1
    if work.recurrent:
        return np.eye(1, 2, 1, dtype=np.float32).repeat(m, axis=0), target
    pixels: Any = data.load(work.data).x_train[0]
    image = pixels.ravel()
    if work.code == "current":
        return np.append(image, 1).astype(np.float32)[None].repeat(m, axis=0), target
    rng, steps = np.random.default_rng(0), round(400.0 / DT)
    # 100 Hz where a pixel is 1, and no neuron twice in a step.
    neuron, step = np.nonzero(rng.random((len(image), steps), np.float32) < image[:, None] * 0.1 * DT)
    time = (step + rng.random(len(step))) * DT
    return Trains(np.repeat(np.arange(m), len(time)), np.tile(neuron, m), np.tile(time, m), m, len(image)), target


def network(work: Trials, given: Any) -> Any:
    """The network of a workload in a setting."""
    from localdfa.network import build

    inputs, _ = sample(work, 1)
    return build(given, inputs.shape[1] - (work.code == "current"), 10, seed=0)


class Synapses(NamedTuple):
    """The synapses between two layers of a recurrent network, of which layer 0 is the excitatory one, 1 the inhibitory one.

    A spike of neuron pre[s] of layer `source` raises the synaptic current of neuron post[s] of layer `target` by jumps[s], in
    units of v, after `delay` ms; the current decays with `tau` ms.
    """

    source: int
    target: int
    pre: np.ndarray
    post: np.ndarray
    jumps: np.ndarray
    delay: float
    tau: float


def synapses(built: Any) -> list[Synapses]:
    """All synapses of a recurrent network."""
    found = []
    for joint, weights in zip(built.projections, built.weights, strict=True):
        if joint.targets is not None:
            pre, post = joint.ends_of_synapses
            jumps = weights[0, : len(post)].astype(float) * float(built.neuron.gain) / joint.tau
            found.append(Synapses(joint.pre - 1, joint.post - 1, pre, post, jumps, joint.delay, joint.tau))
    return found
