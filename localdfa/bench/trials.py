"""Trials of spiking networks that are timed: what every side simulates."""

from dataclasses import dataclass
from typing import Any

import numpy as np

# Brian2's step, ms.
DT = 0.1
# Exponential synapses, 80 % excitatory and 20 % inhibitory, as the benchmark CUBA of Brette et al. 2007, of a conduction delay;
# v in units of 10 mV from the reset.
_CUBA = {
    "hidden": [3200, 800],
    "delay": 1.5,
    "start": "uniform",
    "weights": "zero",
    "projection": [
        {"pre": pre, "post": post, "connect": "sparse", "probability": 0.02, "plastic": False, "weights": "constant",
         "tau_syn": tau, "scale": jump * tau / 10}
        for pre, tau, jump in ((1, 5.0, 0.162), (2, 10.0, -0.9))
        for post in (1, 2)
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Trials:
    """Trials of one sample.

    hidden: widths of the hidden layers, or None for the recurrent network; code: how the first training image of `data` comes
    in, as currents or as Poisson spikes that both sides are given; plastic: the free phase and both nudged ones under the
    local rule with one compartment, else the free phase alone; trials: in a mini-batch of ours.
    """

    name: str
    hidden: list[int] | None
    code: str
    plastic: bool
    trials: int = 16
    data: str = "mnist"


def _both(name: str, hidden: list[int], code: str) -> list[Trials]:
    return [Trials(name, hidden, code, plastic) for plastic in (False, True)]


SPIKING = [
    *_both("currents, 784-800-10", [800], "current"),
    *_both("currents, 784-400-400-10", [400, 400], "current"),
    *_both("spikes, 784-400-10", [400], "trains"),
    Trials("recurrent, 4000", None, "current", False, 8),
]


def setting(work: Trials, free: float | None = None) -> Any:
    """The spec of a workload; free: another length of the free phase, ms."""
    from localdfa.spec import experiment

    recurrent = work.hidden is None
    found = experiment(
        network={"neuron": "lif", **(_CUBA if recurrent else {"hidden": work.hidden, "start": "uniform"})},
        neuron={"tau_m": 20.0, "t_ref": 5.0, "baseline": 1.1} if recurrent else {},
        input={"code": work.code},
        phases={"free": 1000.0 if recurrent else 400.0, "nudged": 200.0, "beta": 0.5, "propagation": "live"},
    )
    if free is None:
        return found
    return found.model_copy(update={"phases": found.phases.model_copy(update={"free": free})})


def sample(work: Trials, m: int) -> tuple[Any, np.ndarray]:
    """m times the same sample, inputs as `localdfa.core.spikes.simulate` takes them, and its target (m, 10)."""
    from localdfa import data
    from localdfa.data.trains import Trains

    target = np.zeros((m, 10), np.float32)
    target[:, 3] = 1
    if work.hidden is None:
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
