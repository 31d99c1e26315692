"""Peak memory against the size of the network: how many bytes a synapse takes above the four of its weight.

Each network lives in a process of its own, on one thread, with two dense hidden layers of some width between ten inputs and
ten classes: *static* is a forward pass or a free phase, *plastic* two updates of the local rule with RMSprop. The bytes a
synapse are the slope of a line through the peaks, so that neither Python nor compilation counts.
"""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

WIDTHS = (4000, 6000, 8000)
CASES = [(neuron, plastic) for neuron in ("tanh", "lif") for plastic in (False, True)]
_WEIGHT = 4


def trained(neuron: str, plastic: bool, width: int) -> int:
    """Build a network in this process and use it; returns its number of synapses."""
    import numba

    from localdfa.record import Job
    from localdfa.samples import Part
    from localdfa.spec import experiment
    from localdfa.trainer import Trainer

    numba.set_num_threads(1)
    setting = experiment(
        network={"hidden": [width, width], "neuron": neuron, "weights": "uniform"},
        trace={"tau_x": 1.0, "tau_z": 1.0},
        phases={"free": 20.0, "nudged": 10.0, "propagation": "two_compartment"} if neuron == "lif" else {},
    )
    part = Part(np.ones((2, 10), np.float32), np.array([0, 1]), 10, np.float32, (10,))
    trainer = Trainer(setting, {"train": part}, Job(Path(), "memory", 0))
    for seed in range(2):
        if plastic:
            trainer.step(np.arange(2), np.random.default_rng(seed))
        else:
            trainer.evaluate(part)
    return sum(w.size for w in trainer.network.weights)


def measure(widths: tuple[int, ...] = WIDTHS) -> list[dict[str, Any]]:
    """Of each case the synapses and peaks, bytes, at every width, and the bytes a synapse above its weight."""
    found = []
    for neuron, plastic in CASES:
        points = np.array([_peak(neuron, plastic, width) for width in widths], np.float64)
        slope = float(np.polyfit(points[:, 0], points[:, 1], 1)[0])
        found.append({
            "neuron": neuron, "plastic": plastic, "synapses": points[:, 0].tolist(), "peak": points[:, 1].tolist(),
            "above_weight": slope - _WEIGHT,
        })  # fmt: skip
    return found


def _peak(neuron: str, plastic: bool, width: int) -> list[int]:
    """Synapses and peak memory, bytes, of a process of its own."""
    command = [sys.executable, "-m", "localdfa.bench.memory", neuron, str(int(plastic)), str(width)]
    return [int(word) for word in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()]


if __name__ == "__main__":
    synapses = trained(sys.argv[1], sys.argv[2] == "1", int(sys.argv[3]))
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    print(synapses, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
