"""Distribution over neurons of their mean activity after training: firing rates in Hz where neurons spike.

Reads the activities that a run keeps where asked for (``record.activity``).
"""

import numpy as np

from localdfa.analysis import _kept, _layers, _many, style, summary
from localdfa.errors import RunError
from localdfa.record import Job, Run

TITLE, SECTION = "Mean activity of neurons", "activity"

_BINS = 30


def caption(run: Run) -> str:
    """What to see, and what lines and bands are."""
    return (
        "Distribution over the neurons of each hidden layer of their activity after training, averaged over training "
        "samples: of spiking neurons the firing rate in the free phase, where a peak at zero is neurons that stay "
        f"silent.{_layers.said(_layers.depth(run), len(_kept.jobs(run, 'activity', 'rates')))} {summary.seeds(run, 'activity')}"
    )


def figure(run: Run) -> style.Figure:
    """A row of panels for firing rates and one for activities, as far as there are such; a column for each hidden layer; of
    many conditions rows for them, and columns for rates and activities.

    Raises
    ------
    RunError
        The run keeps no activities, or those of no sample.
    """
    found = _kept.jobs(run, "activity", "rates")
    kinds = {
        label: {name: jobs for name, jobs in found.items() if run.settings[name].spiking == spiking}
        for label, spiking in (("Mean firing rate (Hz)", True), ("Mean activity", False))
    }
    kinds = {label: jobs for label, jobs in kinds.items() if any(layer.size for own in jobs.values() for layer in _all(own))}
    if not kinds:
        raise RunError(f"{run.folder}: keeps activities of no sample, so the figure rates has nothing to show")
    shown = _layers.some(_layers.depth(run))
    measures = []
    for label, conditions in kinds.items():
        layers = [{name: s for name, jobs in conditions.items() if (s := _means(jobs, layer))} for layer in shown]
        bins = [_bins([layer]) for layer in layers]
        if len(found) > _many.TOGETHER:  # layers share their panels
            bins = [_bins(layers)] * len(layers)
        curves = [
            {name: summary.shares(seeds, edges) for name, seeds in layer.items()}
            for layer, edges in zip(layers, bins, strict=True)
        ]
        measures.append(_layers.Measure("Neurons (% per bin)", label, curves))
    with style.context():
        drawn, panels = _layers.draw(run, _layers.titles(run, shown), measures, 2.2)
        for own in panels:
            own[0].set_ylim(0, None)
    return drawn


def _bins(layers: list[dict[str, list[np.ndarray]]]) -> np.ndarray:
    """Edges of bins from 0 for the means of all conditions and seeds in these layers."""
    values = np.concatenate([[0.0], *(each for layer in layers for seeds in layer.values() for each in seeds)])
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high if high > low else 1.0, _BINS + 1)


def _all(jobs: list[Job]) -> list[np.ndarray]:
    return [layer for job in jobs for layer in of_layers(job)]


def _means(jobs: list[Job], layer: int) -> list[np.ndarray]:
    """The mean activity of each neuron of a layer over samples, for each seed; none where there is no such layer."""
    return [
        layers[layer].mean(axis=0, dtype=np.float64)
        for job in jobs
        if layer < len(layers := of_layers(job)) and layers[layer].size
    ]


def of_layers(job: Job) -> list[np.ndarray]:
    """Activity or firing rate of each hidden layer, (samples, neurons)."""
    kept = job.activity
    name = "rate" if "rate1" in kept else "h"
    return [kept[f"{name}{l + 1}"] for l in range(sum(key.startswith(name) for key in kept))]
