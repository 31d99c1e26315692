"""Our side of one trial of a circuit: `localdfa.Circuit`."""

import resource
import sys
import time
from typing import Any

from localdfa.bench.one_trial import smaller
from localdfa.circuit import Circuit
from localdfa.circuit.running import Simulation
from localdfa.core import blas


class Ours:
    """Trials one after the other: each goes on where the one before ended."""

    def __init__(self, tables: dict[str, Any], duration: float, threads: int) -> None:
        blas.one_thread()
        self._tables, self._duration, self._threads = tables, duration, threads
        self._spikes = 0

    def warm(self) -> None:
        """Have all kernels ready."""
        Circuit.of_tables(smaller(self._tables)).run(5.0, threads=self._threads)

    def build(self) -> float:
        """Draw the circuit; returns the seconds that takes."""
        self.warm()
        self._circuit = Circuit.of_tables(self._tables)
        before, began = _peak(), time.perf_counter()
        self._circuit.simulation = Simulation(self._circuit, self._threads)
        took = time.perf_counter() - began
        self._room = _peak() - before
        return took

    def turn(self) -> float:
        """Run a trial; returns its seconds. The first one is recorded."""
        names = self._circuit.populations if not self._circuit.time else ()
        began = time.perf_counter()
        found = self._circuit.run(self._duration, {name: ["spikes"] for name in names}, threads=self._threads)
        took = time.perf_counter() - began
        self._spikes += sum(map(found.count, names))
        return took

    def facts(self) -> dict[str, float]:
        """Synapses; the mean rate of a neuron in the first trial, Hz; and by how much building the circuit raised the peak of
        the process's memory, bytes a synapse."""
        assert self._circuit.simulation is not None
        synapses = sum(len(pre) for *_, pre, _, _, _ in self._circuit.simulation.synapses())
        neurons = sum(p.size for p in self._circuit.populations.values())
        rate = 1e3 * self._spikes / (neurons * self._duration)
        return {"synapses": synapses, "rate": rate, "bytes_per_synapse": self._room / max(1, synapses)}


def _peak() -> int:
    """The peak of memory of this process so far, bytes; Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


make = Ours
