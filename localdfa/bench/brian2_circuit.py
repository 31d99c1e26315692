"""The peer: the same circuit in Brian2, compiled to a C++ program of its own (C++ standalone)."""

import tempfile
import time
from typing import Any

import brian2
import numpy as np

from localdfa.bench import brian2_spiking as standalone
from localdfa.bench.one_trial import Cells, Joint, plain
from localdfa.bench.trials import DT


class Brian2:
    """One trial after the other on some OpenMP threads, which share each trial; a program draws its synapses as it starts."""

    def __init__(self, tables: dict[str, Any], duration: float, threads: int) -> None:
        self._circuit, self._duration, self._threads = plain(tables), duration, threads
        self._folder = tempfile.TemporaryDirectory()

    def build(self) -> float:
        """Write and compile the program; returns the seconds that takes."""
        began = time.perf_counter()
        standalone.begin(self._threads)
        brian2.defaultclock.dt = DT * brian2.ms
        self._groups = {p.name: self._group(p) for p in self._circuit.cells}
        self._synapses = [self._joined(joint) for joint in self._circuit.joints]
        # A thousand sources, of which PoissonInput draws how many spike in a step.
        noises = [
            brian2.PoissonInput(
                self._groups[noise.post], _onto(noise.tau, self._circuit.taus), 1000, noise.rate / 1000 * brian2.Hz,
                noise.weight,
            )
            for noise in self._circuit.noises
        ]  # fmt: skip
        self._monitors = [brian2.SpikeMonitor(group, record=False) for group in self._groups.values()]
        net = brian2.Network(*self._groups.values(), *self._synapses, *noises, *self._monitors)
        net.run(self._duration * brian2.ms, namespace={})
        brian2.device.build(self._folder.name, compile=True, run=False)
        return time.perf_counter() - began

    def turn(self) -> float:
        """Run the program; returns the seconds of its run, without connecting, loading and saving."""
        return standalone.run(self._folder.name)

    def facts(self) -> dict[str, float]:
        """Synapses, and the mean rate of a neuron in the last trial, Hz."""
        spikes = sum(int(np.sum(monitor.count)) for monitor in self._monitors)
        return {
            "synapses": sum(int(synapses.N[:]) for synapses in self._synapses),
            "rate": self._circuit.rate(spikes, self._duration),
        }  # fmt: skip

    def _group(self, p: Cells) -> brian2.NeuronGroup:
        """The neurons of a population, all with the same parameters."""
        currents = "".join(f" + I_{r}" for r in range(len(self._circuit.taus)))
        model = [f"dv/dt = (drive{currents} - v) / tau_m : 1 (unless refractory)"]
        model += [f"dI_{r}/dt = -I_{r} / ({tau!r} * ms) : 1" for r, tau in enumerate(self._circuit.taus)]
        ms, own = brian2.ms, {"v_th": p.v_th, "v_reset": p.v_reset, "drive": p.drive}
        group = brian2.NeuronGroup(
            p.size, "\n".join(model), threshold="v >= v_th", reset="v = v_reset", method="exact", name=p.name,
            # A spike that Brian2 stamps t has come by t + dt, and v rests from there.
            refractory=(p.t_ref + DT) * ms,
            namespace=own | {"tau_m": p.tau_m * ms},
        )  # fmt: skip
        group.v = p.start
        return group

    def _joined(self, joint: Joint) -> brian2.Synapses:
        """Synapses that are drawn by the program; what comes to v in a refractory period is lost."""
        onto = _onto(joint.tau, self._circuit.taus)
        synapses = brian2.Synapses(
            self._groups[joint.pre], self._groups[joint.post],
            on_pre=f"{onto}_post += {joint.weight!r}", delay=joint.delay * brian2.ms,
        )  # fmt: skip
        if joint.in_degree:
            synapses.connect(i=f"k for k in sample(N_pre, size={joint.in_degree})")
        else:
            synapses.connect(p=joint.probability)
        return synapses


def _onto(tau: float, taus: list[float]) -> str:
    """What an event of this time constant adds to."""
    return f"I_{taus.index(tau)}" if tau else "v"


make = Brian2
