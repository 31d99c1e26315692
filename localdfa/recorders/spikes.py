"""Every spike of some trials after training (spiking neurons under the local rule)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from localdfa.recorders._recorder import Recorder, Scope

if TYPE_CHECKING:
    from localdfa.recording import Trained

# Spikes a second of a lively neuron; bytes of a spike.
_RATE, _SPIKE = 10.0, 64


class Spikes(Recorder):
    """One entry a spike, trial by trial and in order of time.

    time (ms from the onset of the trial); population, 1 the first hidden layer; neuron; twin: whether of the compartment
    that gets the feedback and sends nothing; trial: the training sample. Besides, trials: the training samples of all
    trials that were kept, also of those in which nothing spikes; edges (ms) and sign: when the phases begin and end, and
    the nudging in each. Every trial goes on to its end, without feedback where none of its errors is noticed.
    """

    keys = {  # noqa: RUF012
        "spikes": (
            int,
            Field(
                0,
                ge=0,
                le=10_000,
                description="trials of the probe whose spikes are kept, after training (spiking neurons, local rule)",
            ),
        )
    }
    of_spikes = True
    of_probe = True
    example = "4"

    @staticmethod
    def need(keep: Any, scope: Scope) -> float:
        trials = min(keep.spikes, keep.probe, scope.samples)
        return trials * sum(scope.sizes[1:]) * float(scope.edges[-1]) * 1e-3 * _RATE * _SPIKE

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        parts, samples = [], []
        for sample, trial in trained.trials(keep.spikes):
            found = [
                np.stack([events["time"], events["neuron"], *np.full((3, len(events)), [[l + 1], [twin], [sample]])])
                for twin, layers in enumerate((trial.spikes, trial.twins))
                for l, events in enumerate(layers)
            ]
            columns = np.concatenate(found, axis=1)
            parts.append(columns[:, np.argsort(columns[0], kind="stable")])
            samples.append(sample)
        time, neuron, population, twin, trial_of = np.concatenate(parts, axis=1)
        return {
            "time": time, "population": population.astype(np.int32), "neuron": neuron.astype(np.int32),
            "twin": twin.astype(bool), "trial": trial_of.astype(np.int64), "trials": np.array(samples, np.int64),
            "edges": trained.edges, "sign": trained.sign,
        }  # fmt: skip


model = Spikes
