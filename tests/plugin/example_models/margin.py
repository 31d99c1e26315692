"""By how much the right output exceeds the largest other one, in some training samples."""

import numpy as np
from pydantic import Field

from localdfa.recorders._recorder import Recorder


class Margin(Recorder):
    """margin (samples,): difference of drives; sample: which training samples."""

    keys = {"margin": (int, Field(0, ge=0, le=100_000, description="training samples whose margin is kept, after training"))}  # noqa: RUF012
    example = "100"

    @staticmethod
    def need(keep, scope):
        return 8.0 * min(keep.margin, scope.samples) * (2 + scope.sizes[-1])

    @staticmethod
    def record(trained, keep):
        part, samples = trained.parts["train"], trained.draw(keep.margin)
        drive = trained.engine.read(trained.network, part.inputs[samples], np.random.default_rng(0))
        rows, labels = np.arange(len(samples)), part.y[samples]
        right = drive[rows, labels].copy()
        drive[rows, labels] = -np.inf
        return {"margin": right - drive.max(axis=1), "sample": samples}


model = Margin
