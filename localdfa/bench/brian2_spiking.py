"""The peer: the same trial in Brian2, compiled to a C++ program of its own (C++ standalone)."""

import tempfile
import time
from pathlib import Path

import brian2
import numpy as np

from localdfa.bench.ours_spiking import first_spikes
from localdfa.bench.trials import DT, Trials, network, sample, setting
from localdfa.crosscheck import brian
from localdfa.side_by_side import cores


class Brian2:
    """One trial after the other on some OpenMP threads, which share each trial; error: as ours found it."""

    def __init__(self, work: Trials, threads: int, error: list[float] | None) -> None:
        self._work, self._setting = work, setting(work)
        self._network = network(work, self._setting)
        self._model: brian.Model | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._threads, self._error = threads, error

    def first(self, free: float) -> list[list[float]]:
        """When each neuron of each hidden layer spikes first, if in the first `free` ms; else infinite. Before `build`."""
        brian2.prefs.codegen.target = "numpy"
        inputs, _ = sample(self._work, 1)
        trial = brian.simulate(self._network, setting(self._work, free), inputs, dt=DT)
        return first_spikes(trial.spikes, self._network)

    def build(self) -> float:
        """Write and compile the program; returns the seconds that takes."""
        began = time.perf_counter()
        begin(self._threads)
        inputs, _ = sample(self._work, 1)
        self._model = brian.Model(
            self._network, self._setting, inputs, self._work.plastic, None, DT, keep=False, rate=self._work.online
        )
        error = self._error
        self._model.run(None if error is None else lambda _: np.array(error))
        brian2.device.build(self._folder.name, compile=True, run=False)
        return time.perf_counter() - began

    def turn(self) -> float:
        """Run the program; returns the seconds of its runs, without loading and saving."""
        return run(self._folder.name)

    def spikes(self) -> float:
        """Spikes of a trial."""
        assert self._model is not None
        return float(sum(counts.sum() for counts in self._model.counts()))


def begin(threads: int) -> None:
    """From here on a C++ program is described, which runs on so many OpenMP threads."""
    brian2.BrianLogger.suppress_name("openmp")
    brian2.prefs.devices.cpp_standalone.extra_make_args_unix = [f"-j{cores()}"]
    brian2.set_device("cpp_standalone", build_on_run=False)
    brian2.prefs.devices.cpp_standalone.openmp_threads = threads if threads > 1 else 0
    # Brian2 itself keeps the time of the last run only.
    brian2.device.insert_code(
        "after_network_run",
        '{ std::ofstream runs("runs.txt", std::ios::app); runs << Network::_last_run_time << std::endl; }',
    )


def run(folder: str) -> float:
    """Run the compiled program in a folder; returns the seconds of its runs, without loading and saving."""
    runs = Path(folder, "runs.txt")
    runs.unlink(missing_ok=True)
    brian2.device.run(folder, with_output=False)
    return sum(map(float, runs.read_text().split()))


make = Brian2
