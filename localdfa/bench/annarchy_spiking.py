"""The peer: the same recurrent network in ANNarchy, which generates and compiles a C++ program for it."""

import contextlib
import math
import os
import sys
import tempfile
import time
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from localdfa.bench.ours_spiking import first_spikes
from localdfa.bench.trials import DT, Synapses, Trials, network, setting, synapses

with contextlib.redirect_stdout(None):  # it greets
    import ANNarchy

# Exactly to the end of a step; where a neuron is refractory, v alone rests.
_EQUATIONS = """
v = drive + (v - drive) * left + g_exc * moves_exc + g_inh * moves_inh
g_exc = g_exc * left_exc
g_inh = g_inh * left_inh
"""


class ANNarchyTrials:
    """One trial after the other on some OpenMP threads, which share each trial; without plastic synapses."""

    def __init__(self, work: Trials, threads: int, error: None = None) -> None:
        self._setting = setting(work)
        self._network = network(work, self._setting)
        began = time.perf_counter()
        self._net = ANNarchy.Network(dt=DT)
        self._net.config(num_threads=threads)
        joints = synapses(self._network)
        neuron = self._neuron({joint.source: joint.tau for joint in joints})
        self._layers = [self._net.create(n, neuron) for n in self._network.sizes[1:-1]]
        self._monitors = [self._net.monitor(layer, "spike") for layer in self._layers]
        for joint in joints:
            self._join(joint)
        self._folder = tempfile.TemporaryDirectory()
        os.environ["VIRTUAL_ENV"] = sys.prefix  # where CMake looks for Python
        self._net.compile(directory=self._folder.name, silent=True)
        self._took = time.perf_counter() - began

    def first(self, free: float) -> list[list[float]]:
        """When each neuron of each hidden layer spikes first, if in the first `free` ms; else infinite."""
        self._run(free)
        trains = []
        for monitor in self._monitors:
            steps, neurons = monitor.raster_plot(monitor.get("spike"))
            trains.append((np.array(steps) + DT, np.array(neurons)))
        return first_spikes(trains, self._network)

    def build(self) -> float:
        """The seconds that it took to connect the network and to compile its program."""
        return self._took

    def turn(self) -> float:
        """Run a trial; returns its seconds."""
        return self._run(self._setting.phases.free)

    def spikes(self) -> float:
        """Spikes of the last trial."""
        return float(sum(len(train) for monitor in self._monitors for train in monitor.get("spike").values()))

    def _run(self, free: float) -> float:
        """Run from the onset of a trial for so many ms; returns the seconds that it takes."""
        self._net.reset()
        for layer, start in zip(self._layers, self._network.start, strict=True):
            layer.v = start
        began = time.perf_counter()
        self._net.simulate(free)
        return time.perf_counter() - began

    def _neuron(self, taus: dict[int, float]) -> Any:
        """taus: of the synapses from each layer, ms."""
        p = self._network.neuron
        tau_m = float(p.tau_m)
        given = {"drive": float(p.baseline), "left": math.exp(-DT / tau_m)}
        for name, tau in (("exc", taus[0]), ("inh", taus[1])):
            left = math.exp(-DT / tau)
            given |= {f"left_{name}": left, f"moves_{name}": tau / (tau - tau_m) * (left - given["left"])}
        return ANNarchy.Neuron(
            parameters=given, equations=_EQUATIONS, spike=f"v >= {float(p.v_th)!r}", reset=f"v = {float(p.v_reset)!r}",
            refractory=float(p.t_ref),
        )  # fmt: skip

    def _join(self, joint: Synapses) -> None:
        """Connect two layers."""
        source, target = self._layers[joint.source], self._layers[joint.target]
        jumps = csr_matrix((joint.jumps, (joint.pre, joint.post)), (source.size, target.size))
        joined = self._net.connect(source, target, "inh" if joint.source else "exc")
        # A delay of one step is none: the spikes of a step arrive at the begin of the next.
        joined.from_sparse(jumps, delays=joint.delay + DT)


make = ANNarchyTrials
