"""Spikes as a file of NWB, Neurodata Without Borders: a table of units with one for each neuron.

Of a run: the spikes that it keeps (``record.spikes``). Trials, which have no order in time of their own, follow one another;
the table of trials says when each begins and ends, and of which training sample it is. Columns of a unit are ``population``,
``neuron`` and, of a run, ``compartment``, soma or twin. Times are in s. The description of the session is the resolved spec.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from localdfa import __version__, files, record
from localdfa.circuit import Result
from localdfa.data import Source
from localdfa.errors import RunError
from localdfa.export import library
from localdfa.files import write_bytes
from localdfa.spec import Setting

ENDING = ".nwb"
# ms between two trials, so that a spike at the end of one is none of the next.
_BETWEEN = 1.0


class Unit(NamedTuple):
    """A neuron: its columns, and when it spikes, ms."""

    columns: dict[str, Any]
    times: np.ndarray


def of_run(run: record.Run, job: record.Job, setting: Setting, path: Path, given: Source | None) -> list[Path]:
    """Write the spikes that a condition and seed keeps.

    Raises
    ------
    RunError
        It keeps none.
    """
    if not job.keeps("spikes"):
        raise RunError(
            f"{run.folder}: condition {job.condition!r} keeps no spikes; allowed: networks of spiking neurons, with "
            f"record.spikes, of how many trials"
        )
    kept = job.spikes
    begin, end = float(kept["edges"][0]), float(kept["edges"][-1])
    onset = np.arange(len(kept["trials"])) * (end - begin + _BETWEEN)
    place = np.searchsorted(kept["trials"], kept["trial"], sorter=(order := np.argsort(kept["trials"])))
    times = kept["time"] - begin + onset[order[place]]
    units = list[Unit]()
    twins = [False, True] if kept["twin"].any() else [False]
    for layer, size in enumerate(setting.network.hidden):
        assert isinstance(size, int)  # of spiking neurons none convolves
        for twin in twins:
            of_layer = (kept["population"] == layer + 1) & (kept["twin"] == twin)
            columns = {"population": f"hidden layer {layer + 1}", "compartment": "twin" if twin else "soma"}
            units += _units(columns, times[of_layer], kept["neuron"][of_layer], size)
    spec = (run.folder / "spec.toml").read_text(encoding="utf-8")
    trials = [(start, start + end - begin, int(sample)) for start, sample in zip(onset, kept["trials"], strict=True)]
    about = f"condition {job.condition}, seed {job.seed}; spec:\n{spec}"
    _write(path, f"{run.info['name']}, condition {job.condition}, seed {job.seed}", about, units, trials)
    return [path]


def of_result(result: Result, path: str | Path, description: str = "a circuit") -> list[Path]:
    """Write the spikes that were recorded of a circuit; description: of the session, as `Circuit.to_toml` says it.

    Raises
    ------
    RunError
        No spikes were recorded, or the file cannot be written.
    """
    names = [name for name in result.sizes if name in result._spikes]
    if not names:
        raise RunError("no spikes were recorded; ask for them with run(…, record={NAME: ['spikes']})")
    units = list[Unit]()
    for name in names:
        units += _units({"population": name}, *result.spikes(name), result.sizes[name])
    _write(Path(path), "circuit", description, units, [])
    return [Path(path)]


def read(path: str | Path) -> list[Unit]:
    """The units of a file of NWB, their times in ms.

    Raises
    ------
    RunError
        The file is missing, damaged, or has no units.
    """
    pynwb = library("pynwb", "nwb")

    def units(path: Path) -> list[Unit]:
        with path.open("rb"), pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True) as file:
            table = file.read().units
            if table is None:
                raise ValueError("it has no units")
            rows = range(len(table))
            names = [name for name in table.colnames if name != "spike_times"]
            return [
                Unit({name: np.asarray(table[name][k]).item() for name in names}, 1e3 * np.asarray(table["spike_times"][k]))
                for k in rows
            ]

    return files.read(Path(path), units)


def _units(columns: dict[str, Any], times: np.ndarray, neurons: np.ndarray, size: int) -> Iterable[Unit]:
    """The neurons of a population, silent ones included, in order."""
    order = np.lexsort((times, neurons))
    parts = np.split(times[order], np.searchsorted(neurons[order], np.arange(1, size)))
    return [Unit({**columns, "neuron": i}, part) for i, part in enumerate(parts)]


def _write(path: Path, title: str, about: str, units: list[Unit], trials: list[tuple[float, float, int]]) -> None:
    pynwb = library("pynwb", "nwb")
    h5py = library("h5py", "nwb")
    session = pynwb.NWBFile(
        session_description=about, identifier=str(uuid.uuid4()), session_start_time=datetime.now(timezone.utc),
        experiment_description=f"{title}: a simulation by localdfa {__version__}",
    )  # fmt: skip
    said = {"population": "the population of the neuron", "compartment": "soma, or twin compartment", "neuron": "from 0"}
    for name in units[0].columns:
        session.add_unit_column(name, said[name])
    for columns, times in units:
        session.add_unit(spike_times=times / 1e3, **columns)
    if trials:
        session.add_trial_column("sample", "the training sample")
    for begin, end, sample in trials:
        session.add_trial(start_time=begin / 1e3, stop_time=end / 1e3, sample=sample)
    with h5py.File.in_memory() as memory, pynwb.NWBHDF5IO(file=memory, mode="w") as file:
        file.write(session)
        memory.flush()
        content = memory.id.get_file_image()
    write_bytes(path, content)
