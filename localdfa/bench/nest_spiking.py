"""The peer: the same recurrent network in NEST, synapse by synapse."""

import os
import time
from typing import Any

import numpy as np

from localdfa.bench.ours_spiking import first_spikes
from localdfa.bench.trials import DT, Trials, network, setting

# Before the import, which greets otherwise.
os.environ["PYNEST_QUIET"] = "1"
import nest


class Nest:
    """One trial after the other on some threads, which share each trial; without plastic synapses."""

    def __init__(self, work: Trials, threads: int, error: None = None) -> None:
        self._setting, self._threads = setting(work), threads
        self._network = network(work, self._setting)

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
        joints = zip(self._network.projections, self._network.weights, strict=True)
        joined = [(joint, weights) for joint, weights in joints if joint.targets is not None]
        layers = [self._layer(k, {joint.pre: joint.tau for joint, _ in joined}) for k in range(1, self._network.n_hidden + 1)]
        for joint, weights in joined:
            pre, post = joint.ends_of_synapses
            jumps = weights[0, : len(post)].astype(float) * float(self._network.neuron.gain) / joint.tau
            nest.Connect(
                pre + layers[joint.pre - 1][0].global_id, post + layers[joint.post - 1][0].global_id, "one_to_one",
                {"synapse_model": "static_synapse", "weight": jumps, "delay": np.full(len(post), joint.delay)},
            )  # fmt: skip
        return layers

    def _layer(self, k: int, taus: dict[int, float]) -> Any:
        """The neurons of hidden layer k; taus: of the synapses from the excitatory layer 1 and the inhibitory layer 2, ms.

        C_m = τ_m in pF makes the resistance one GΩ, so that a pA drives v by one mV, our unit of v.
        """
        p = self._network.neuron
        layer = nest.Create("iaf_psc_exp", self._network.sizes[k], {
            "C_m": float(p.tau_m), "tau_m": float(p.tau_m), "t_ref": float(p.t_ref), "E_L": 0.0, "V_th": float(p.v_th),
            "V_reset": float(p.v_reset), "tau_syn_ex": taus[1], "tau_syn_in": taus[2],
        })  # fmt: skip
        layer.set(I_e=float(p.baseline) + self._network.b(k - 1).astype(float), V_m=self._network.start[k - 1])
        return layer


make = Nest
