"""Activity or firing rate of every hidden neuron in some training samples, after training."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from localdfa.recorders._recorder import Recorder, Scope

if TYPE_CHECKING:
    from localdfa.recording import Trained


class Activity(Recorder):
    """h1, h2 …: activity (samples, neurons) of each hidden layer.

    Of spiking neurons rate1, rate2 … in its place: the firing rate of the free phase, Hz. label: of each sample, or target, its
    numbers (samples, n_out); sample: its place in the training set. x: the inputs (samples, n_features), where they are no
    spike trains.
    """

    keys = {  # noqa: RUF012
        "activity": (
            int,
            Field(0, ge=0, le=100_000, description="training samples for which hidden activities are kept, after training"),
        )
    }
    example = "500"

    @staticmethod
    def need(keep: Any, scope: Scope) -> float:
        return 2 * min(keep.activity, scope.samples) * sum(scope.sizes[:-1]) * np.dtype(np.float32).itemsize

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        samples, name = trained.draw(keep.activity), "rate" if trained.setting.spiking else "h"
        kept = {f"{name}{l + 1}": layer for l, layer in enumerate(trained.activity(samples))}
        inputs = trained.parts["train"].inputs
        if isinstance(inputs, np.ndarray):
            kept["x"] = inputs[samples, :-1]
        of_sample = "target" if trained.network.output.regression else "label"
        return {**kept, of_sample: trained.parts["train"].y[samples], "sample": samples}


model = Activity
