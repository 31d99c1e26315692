"""The peer: the same circuit in ANNarchy, which generates and compiles a C++ program for it."""

import contextlib
import math
import os
import sys
import tempfile
import time
from typing import Any

from localdfa.bench.one_trial import Cells, Joint, plain
from localdfa.bench.trials import DT

with contextlib.redirect_stdout(None):  # it greets
    import ANNarchy


class ANNarchyCircuit:
    """Trials one after the other, each of which goes on where the one before ended, on some threads, which share each trial."""

    def __init__(self, tables: dict[str, Any], duration: float, threads: int) -> None:
        self._circuit, self._duration, self._threads = plain(tables), duration, threads
        self._folder = tempfile.TemporaryDirectory()
        self._spikes: int | None = None

    def build(self) -> float:
        """Describe, compile and connect the network; returns the seconds that takes."""
        began = time.perf_counter()
        self._net = ANNarchy.Network(dt=DT)
        self._net.config(num_threads=self._threads)
        self._groups = {p.name: self._net.create(p.size, self._neuron(p)) for p in self._circuit.cells}
        self._monitors = [self._net.monitor(group, "spike") for group in self._groups.values()]
        self._joined = [self._join(joint) for joint in self._circuit.joints]
        os.environ["VIRTUAL_ENV"] = sys.prefix  # where CMake looks for Python
        self._net.compile(directory=self._folder.name, silent=True)
        for p in self._circuit.cells:
            self._groups[p.name].v = p.start
        return time.perf_counter() - began

    def turn(self) -> float:
        """Run a trial; returns its seconds. The first one is recorded."""
        began = time.perf_counter()
        self._net.simulate(self._duration)
        took = time.perf_counter() - began
        if self._spikes is None:
            self._spikes = sum(len(train) for monitor in self._monitors for train in monitor.get("spike").values())
            for monitor in self._monitors:
                monitor.pause()
        return took

    def facts(self) -> dict[str, float]:
        """Synapses, and the mean rate of a neuron in the first trial, Hz."""
        assert self._spikes is not None
        synapses = sum(joined.nb_synapses for joined in self._joined)
        return {"synapses": synapses, "rate": self._circuit.rate(self._spikes, self._duration)}

    def _neuron(self, p: Cells) -> Any:
        """The neurons of a population, exactly to the end of a step; where one is refractory, v alone rests."""
        left = math.exp(-DT / p.tau_m)
        given, moved, equations = {"drive": p.drive, "left": left}, "", []
        for r, tau in enumerate(self._circuit.taus):
            given |= {f"left_{r}": math.exp(-DT / tau)}
            given[f"moves_{r}"] = tau / (tau - p.tau_m) * (given[f"left_{r}"] - left)
            moved += f" + g_{r} * moves_{r}"
            equations.append(f"g_{r} = g_{r} * left_{r}")
        noises = [noise for noise in self._circuit.noises if noise.post == p.name]
        for n, noise in enumerate(noises):  # as many of a thousand sources as spike in a step
            given[f"weight_{n}"] = noise.weight
            moved += f" + weight_{n} * noise_{n}"
            equations.insert(n, f"noise_{n} = Binomial(1000, {noise.rate * DT * 1e-6!r})")
        moved += " + g_jump" * any(not each.tau for each in self._circuit.joints)
        equations.insert(len(noises), f"v = drive + (v - drive) * left{moved}")
        return ANNarchy.Neuron(
            parameters=given, equations="\n".join(equations), spike=f"v >= {p.v_th!r}", reset=f"v = {p.v_reset!r}",
            refractory=p.t_ref,
        )  # fmt: skip

    def _join(self, joint: Joint) -> Any:
        """Connect two populations."""
        onto = str(self._circuit.taus.index(joint.tau)) if joint.tau else "jump"
        joined = self._net.connect(self._groups[joint.pre], self._groups[joint.post], onto)
        # A delay of one step is none: the spikes of a step arrive at the begin of the next.
        values = {"weights": joint.weight, "delays": joint.delay + DT}
        if joint.in_degree:
            joined.fixed_number_pre(joint.in_degree, **values, allow_self_connections=True)
        else:
            joined.fixed_probability(joint.probability, **values, allow_self_connections=True)
        return joined


make = ANNarchyCircuit
