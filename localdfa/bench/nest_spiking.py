"""The peer: the same recurrent network in NEST, synapse by synapse."""

import os
import time
from typing import Any

import numpy as np

from localdfa.bench.ours_spiking import first_spikes
from localdfa.bench.trials import DT, Trials, network, setting, synapses

# Before the import, which greets otherwise.
os.environ["PYNEST_QUIET"] = "1"
import nest


class Nest:
    """One trial after the other on some threads, which share each trial; without plastic synapses."""

    def __init__(self, work: Trials, threads: int, error: None = None) -> None:
        self._setting, self._threads = setting(work), threads
        self._network = network(work, self._setting)
        self._synapses = synapses(self._network)

    def first(self, free: float) -> list[list[float]]:
        """When each neuron of each hidden layer spikes first, if in the first `free` ms; else infinite."""
        layers = self._connected()
        recorders = nest.Create("spike_recorder", len(layers))
        for layer, recorder in zip(layers, recorders, strict=True):
            nest.Connect(layer, recorder)
        nest.Simulate(free)
        found = [recorder.get("events") for recorder in recorders]
        trains = [(e["times"], e["senders"] - layer[0].global_id) for e, layer in zip(found, layers, strict=True)]
        return first_spikes(trains, self._network)

    def build(self) -> float:
        """Create and connect the network once; returns the seconds that takes."""
        began = time.perf_counter()
        self._connected()
        nest.Prepare()
        took = time.perf_counter() - began
        nest.Cleanup()
        return took

    def turn(self) -> float:
        """Run a trial of a new network; returns the seconds of the run alone."""
        self._connected()
        nest.Prepare()
        began = time.perf_counter()
        nest.Run(self._setting.phases.free)
        took = time.perf_counter() - began
        nest.Cleanup()
        self._spikes = float(nest.local_spike_counter)
        return took

    def spikes(self) -> float:
        """Spikes of the last trial."""
        return self._spikes

    def _connected(self) -> list[Any]:
        """The hidden layers of a new network."""
        nest.ResetKernel()
        nest.set(resolution=DT, local_num_threads=self._threads, verbosity=nest.VerbosityLevel.ERROR)
        layers = [self._layer(k) for k in range(self._network.n_hidden)]
        for joint in self._synapses:
            nest.Connect(
                joint.pre + layers[joint.source][0].global_id, joint.post + layers[joint.target][0].global_id, "one_to_one",
                {"synapse_model": "static_synapse", "weight": joint.jumps, "delay": np.full(len(joint.post), joint.delay)},
            )  # fmt: skip
        return layers

    def _layer(self, k: int) -> Any:
        """The neurons of hidden layer k, from 0.

        C_m = τ_m in pF makes the resistance one GΩ, so that a pA drives v by one mV, our unit of v.
        """
        p, taus = self._network.neuron, {joint.source: joint.tau for joint in self._synapses}
        layer = nest.Create("iaf_psc_exp", self._network.sizes[k + 1], {
            "C_m": float(p.tau_m), "tau_m": float(p.tau_m), "t_ref": float(p.t_ref), "E_L": 0.0, "V_th": float(p.v_th),
            "V_reset": float(p.v_reset), "tau_syn_ex": taus[0], "tau_syn_in": taus[1], "I_e": float(p.baseline),
        })  # fmt: skip
        layer.V_m = self._network.start[k]
        return layer


make = Nest
