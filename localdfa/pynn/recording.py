"""What is recorded: PyNN makes Neo's objects of it."""

from typing import Any

import numpy as np
from pyNN import recording

from localdfa.circuit import Result
from localdfa.errors import SpecError
from localdfa.pynn import simulator

_SPIKES, _V = (recording.Variable(name, None, None) for name in ("spikes", "v"))


class Recorder(recording.Recorder):
    """Spikes and membranes of a population since the beginning, or since they were last cleared."""

    _simulator = simulator

    def __init__(self, population: Any, file: Any = None) -> None:
        recording.Recorder.__init__(self, population, file)
        self._clear_simulator()

    @property
    def kinds(self) -> list[str]:
        """What is to be kept: spikes, v."""
        return [variable.name for variable, cells in self.recorded.items() if cells]

    @property
    def cells_with_v(self) -> np.ndarray:
        """The numbers of the cells whose v is to be kept, in order."""
        return self._numbers(self.recorded[_V])

    def keep(self, result: Result, name: str, interval: float) -> None:
        """Take what a run has left of the population, which the circuit calls `name`; interval: of its samples, ms."""
        if "spikes" in self.kinds:
            times, neurons = result.spikes(name)
            kept = np.isin(neurons, self._numbers(self.recorded[_SPIKES]))
            self._spikes.append((times[kept], neurons[kept]))
        if "v" in self.kinds:
            moments, v = result.v(name)
            every = round(self.sampling_interval / interval)
            numbers = np.rint(moments / interval).astype(np.int64)
            self._v.append(v[numbers % every == 0])

    def _numbers(self, cells: Any) -> np.ndarray:
        """The numbers of cells in the population, in order."""
        return np.sort(np.fromiter(cells, int)) - int(self.population.first_id)

    def _check_sampling_interval(self, sampling_interval: float | None) -> None:
        recording.Recorder._check_sampling_interval(self, sampling_interval)
        dt, interval = simulator.state.dt, sampling_interval
        if interval is not None and (abs(interval / dt - round(interval / dt)) > 1e-6 or interval < 0.5 * dt):
            raise SpecError(f"record: sampling_interval={interval!r}; allowed: multiples of the timestep, {dt:g} ms")

    def _record(self, variable: recording.Variable, new_ids: Any, sampling_interval: float | None = None) -> None:
        if variable.name != "v":
            return
        if new_ids:
            try:
                simulator.state.require_open("v of more cells is recorded")
            except SpecError:  # PyNN has added them already
                self.recorded[variable] -= new_ids
                raise
        if sampling_interval is not None:
            self.sampling_interval = sampling_interval

    def _reset(self) -> None:
        self._clear_simulator()
        self.sampling_interval = simulator.state.dt

    def _clear_simulator(self) -> None:
        self._spikes: list[tuple[np.ndarray, np.ndarray]] = []
        self._v: list[np.ndarray] = []

    def store_to_cache(self, annotations: Any = None) -> None:
        recording.Recorder.store_to_cache(self, annotations)
        self._clear_simulator()

    def _all_spikes(self) -> tuple[np.ndarray, np.ndarray]:
        times = np.concatenate([np.empty(0), *(times for times, _ in self._spikes)])
        return times, np.concatenate([np.empty(0, np.int64), *(neurons for _, neurons in self._spikes)])

    def _get_spiketimes(self, ids: list[Any], clear: bool = False) -> dict[int, np.ndarray]:
        times, neurons = self._all_spikes()
        order = np.lexsort((times, neurons))
        first = np.searchsorted(neurons[order], np.arange(self.population.size + 1))
        times, start = times[order], int(self.population.first_id)
        return {int(i): times[first[int(i) - start] : first[int(i) - start + 1]] for i in ids}

    def _get_all_signals(self, variable: recording.Variable, ids: list[Any], clear: bool = False) -> tuple[np.ndarray, None]:
        state, begin = simulator.state, float(self._recording_start_time)
        if abs(begin / self.sampling_interval - round(begin / self.sampling_interval)) > 1e-6:
            raise SpecError(
                f"get_data: v was cleared at {begin:g} ms; allowed: at multiples of the sampling interval, "
                f"{self.sampling_interval:g} ms"
            )
        there = self._numbers(self.recorded[variable])
        now = state.membranes(self.population, self.sampling_interval)[:, there]  # a run ends before the last moment
        v = np.concatenate([*self._v, now])
        return v[:, np.searchsorted(there, self._numbers(ids))], None

    def _local_count(self, variable: recording.Variable, filter_ids: Any = None) -> dict[int, int]:
        counts = np.bincount(self._all_spikes()[1], minlength=self.population.size)
        return {int(i): int(counts[self.population.id_to_index(i)]) for i in sorted(self.filter_recorded(variable, filter_ids))}
