"""What a run keeps, in the forms of other libraries: metrics as a pandas frame, spikes as neo objects."""

import json
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.errors import LocalDFAError
from localdfa.spec import differing

if TYPE_CHECKING:
    import neo
    import pandas

    from localdfa.record import Job, Run


def library(name: str, extra: str) -> ModuleType:
    """A library that is not installed with localdfa itself."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise LocalDFAError(f"{error.name} is not installed; get it with: pip install 'localdfa[{extra}]'") from None


def frame(run: "Run") -> "pandas.DataFrame":
    """The metrics of a `localdfa.record.Run` as a `pandas.DataFrame`: one row for each condition, seed and epoch.

    Columns are those of the metrics; one that has a value for each layer becomes NAME_1, NAME_2 …, from the first hidden
    layer. After them come the keys in which the settings of conditions differ, as ``phases.beta``, lists as text. What is
    undefined, not measured under a condition, or a key that it does not read, is NaN.
    """
    pandas = library("pandas", "analysis")
    rows, apart = [], settings(run)
    for row in run.metrics:
        flat: dict[str, Any] = {}
        for key, value in row.items():
            flat |= {f"{key}_{l + 1}": v for l, v in enumerate(value)} if isinstance(value, list) else {key: value}
        rows.append({key: np.nan if value is None else value for key, value in flat.items()} | apart[row["condition"]])
    return pandas.DataFrame(rows)


def settings(run: "Run") -> dict[str, dict[str, Any]]:
    """Of each condition the keys in which settings differ; lists and tables as text, so that a frame can be grouped by them."""
    return {
        name: {key: json.dumps(value) if isinstance(value, (list, dict)) else value for key, value in keys.items()}
        for name, keys in differing(run.settings).items()
    }


def block(job: "Job", sizes: list[int]) -> "neo.Block":
    """The spikes of a `localdfa.record.Job` as a `neo.Block` with a segment for each trial that was kept.

    A segment has a spike train for each neuron of the hidden layers, of widths `sizes`, silent ones included; where there are
    twin compartments, one for each of those follows. Times are in ms from the onset of the trial. Annotations of a train:
    ``population`` (1 the first hidden layer), ``neuron``, ``compartment`` (``soma`` or ``twin``); of a segment: ``sample``.
    Epochs are the phases, labelled free, +β and −β.
    """
    neo = library("neo", "neo")
    kept = job.spikes
    edges, labels = kept["edges"], [{0: "free", 1: "+β", -1: "−β"}[int(sign)] for sign in np.sign(kept["sign"])]
    found = neo.Block(name=f"{job.condition}, seed {job.seed}", condition=job.condition, seed=job.seed)
    compartments = ["soma", "twin"] if kept["twin"].any() else ["soma"]
    for index, trial in enumerate(kept["trials"]):
        segment = neo.Segment(name=f"training sample {trial}", index=index, sample=int(trial))
        segment.epochs.append(
            neo.Epoch(times=edges[:-1], durations=np.diff(edges), labels=np.array(labels), units="ms", name="phases")
        )
        for twin, compartment in enumerate(compartments):
            for layer, size in enumerate(sizes):
                own = (kept["trial"] == trial) & (kept["twin"] == bool(twin)) & (kept["population"] == layer + 1)
                time, neuron = kept["time"][own], kept["neuron"][own]
                order = np.lexsort((time, neuron))
                ends = np.searchsorted(neuron[order], np.arange(size + 1))
                for i, (begin, end) in enumerate(pairwise(ends)):
                    segment.spiketrains.append(
                        neo.SpikeTrain(
                            time[order[begin:end]], units="ms", t_start=edges[0], t_stop=edges[-1],
                            population=layer + 1, neuron=i, compartment=compartment,
                        )
                    )  # fmt: skip
        found.segments.append(segment)
    return found
