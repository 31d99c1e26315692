"""The peer: the same circuit in NEST, on its grid."""

import os
import time
from typing import Any

from localdfa.bench.one_trial import Cells, Joint, plain
from localdfa.bench.trials import DT

# Before the import, which greets otherwise.
os.environ["PYNEST_QUIET"] = "1"
import nest


class Nest:
    """Trials one after the other, each of which goes on where the one before ended, on some threads, which share each trial."""

    def __init__(self, tables: dict[str, Any], duration: float, threads: int) -> None:
        self._circuit, self._duration, self._threads = plain(tables), duration, threads

    def build(self) -> float:
        """Create and connect the network; returns the seconds that takes."""
        began = time.perf_counter()
        nest.ResetKernel()
        nest.set(resolution=DT, local_num_threads=self._threads, verbosity=nest.VerbosityLevel.ERROR)
        self._groups = {p.name: self._group(p) for p in self._circuit.cells}
        for joint in self._circuit.joints:
            self._join(joint)
        self._connections = nest.num_connections
        for noise in self._circuit.noises:  # which gives each neuron a process of its own
            source = nest.Create("poisson_generator", params={"rate": noise.rate})
            weights = {"weight": noise.weight, "delay": DT}
            nest.Connect(source, self._groups[noise.post], "all_to_all", weights)
        nest.Prepare()
        took = time.perf_counter() - began
        nest.Cleanup()
        return took

    def turn(self) -> float:
        """Run a trial; returns the seconds of the run alone."""
        nest.Prepare()
        began = time.perf_counter()
        nest.Run(self._duration)
        took = time.perf_counter() - began
        self._spikes = nest.local_spike_counter  # of this run alone
        nest.Cleanup()
        return took

    def facts(self) -> dict[str, float]:
        """Synapses, and the mean rate of a neuron in the last trial, Hz."""
        return {"synapses": self._connections, "rate": self._circuit.rate(self._spikes, self._duration)}

    def _group(self, p: Cells) -> Any:
        """The neurons of a population.

        C_m = τ_m in pF makes the resistance one GΩ, so that a pA drives v by one mV, our unit of v.
        """
        into = [each for each in (*self._circuit.joints, *self._circuit.noises) if each.post == p.name]
        given = {
            "C_m": p.tau_m, "tau_m": p.tau_m, "t_ref": p.t_ref, "E_L": p.drive, "V_th": p.v_th, "V_reset": p.v_reset,
        }  # fmt: skip
        taus = {"ex": [e.tau for e in into if e.weight > 0], "in": [e.tau for e in into if e.weight < 0]}
        exponential = any(each.tau for each in into)
        if exponential:
            given |= {f"tau_syn_{sign}": of[0] for sign, of in taus.items() if of}
        group = nest.Create("iaf_psc_exp" if exponential else "iaf_psc_delta", p.size, given)
        group.V_m = p.start
        return group

    def _join(self, joint: Joint) -> None:
        """Connect two populations."""
        rule: dict[str, Any] = {"rule": "pairwise_bernoulli", "p": joint.probability}
        if joint.in_degree:
            rule = {"rule": "fixed_indegree", "indegree": joint.in_degree, "allow_multapses": False}
        nest.Connect(
            self._groups[joint.pre], self._groups[joint.post], rule,
            {"synapse_model": "static_synapse", "weight": joint.weight, "delay": joint.delay},
        )  # fmt: skip


make = Nest
