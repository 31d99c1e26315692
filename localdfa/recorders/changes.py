"""What each of some trials by itself teaches the synapses between some neurons, after training."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from localdfa.recorders._recorder import NUMBER, Recorder, Scope, chosen

if TYPE_CHECKING:
    from localdfa.recording import Trained
    from localdfa.spec import Setting


class Changes(Recorder):
    """dW1, dW2 …, and dW{p}to{q} of a further projection from population p to q, each (trials, post, pre).

    They are what the optimiser gets, Σ pre · post change in units of activity, of the network as it stands after training. Of
    spiking neurons that is (1/β) ∫_gate x dz · g_j/τ_x · g_i/τ_z, with the neurons' gains g and traces that jump by 1, centered
    half the difference of the phases. pre1, post1 …: which neurons; trial: the training sample. Of a convolution pre and post
    are columns and rows of W (see `localdfa.record`).
    """

    keys = {  # noqa: RUF012
        "changes": (
            int,
            Field(0, ge=0, le=10_000, description="trials of the probe whose weight change, each by itself, is kept likewise"),
        )
    }
    of_probe = True
    example = "4"
    fewer = ", or fewer record.neurons"

    @staticmethod
    def populations(keep: Any, scope: Scope) -> tuple[int, ...]:
        return scope.sizes

    @staticmethod
    def need(keep: Any, scope: Scope) -> float:
        synapses = sum(pre * post for pre, post in pairwise(len(chosen(keep, n)) for n in scope.sizes))
        return 2 * min(keep.changes, keep.probe, scope.samples) * NUMBER * synapses

    @staticmethod
    def refusal(keep: Any, setting: "Setting") -> str | None:
        if not keep.changes or not setting.network.batch_norm:
            return None
        return (
            f"record.changes: {keep.changes} is of trials by themselves, which with network.batch_norm = true are learned from "
            f"in mini-batches alone; allowed: 0"
        )

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        samples, neurons, found = [], dict[str, np.ndarray](), dict[str, list[np.ndarray]]()
        for sample, changes in trained.updates(keep.changes):
            samples.append(sample)
            for name, change in changes.items():
                post, pre = (chosen(keep, n) for n in change.shape)
                neurons |= {f"post{name}": post, f"pre{name}": pre}
                found.setdefault(f"dW{name}", []).append(change[np.ix_(post, pre)])
        return {
            "trial": np.array(samples, np.int64), **neurons, **{name: np.array(arrays) for name, arrays in found.items()}
        }  # fmt: skip


model = Changes
