"""Weights, biases and feedback matrices, after training or after each epoch."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from localdfa.recorders._recorder import Recorder

if TYPE_CHECKING:
    from localdfa.recording import Trained


class Weights(Recorder):
    """W1, b1, B1 …: forward weights W[post, pre], biases and feedback matrices, by layer from 1; B0 of the inputs, if any.

    A further projection from population p to q is W{p}to{q}, [post, pre] or, sparse, an array (n_synapses,), with the
    neurons that these join in pre{p}to{q} and post{p}to{q}. Of convolutions see `localdfa.record`. Where layers are
    normalised, b is their shift, and there are gain1 … and the running averages mean1, variance1 …, (channels,) each.
    """

    keys = {  # noqa: RUF012
        "weights": (Literal["final", "every_epoch"], Field("final", description="which weights are kept"))
    }

    @staticmethod
    def each_epoch(keep: Any) -> bool:
        return bool(keep.weights == "every_epoch")

    @staticmethod
    def record(trained: "Trained", keep: Any) -> dict[str, np.ndarray]:
        network, arrays = trained.network, dict[str, np.ndarray]()
        for l in range(network.n_hidden + 1):
            arrays |= {f"W{l + 1}": network.W(l), f"b{l + 1}": network.b(l)}
        for joint, weights in list(zip(network.projections, network.weights, strict=True))[network.n_hidden + 1 :]:
            name = f"{joint.pre}to{joint.post}"
            arrays[f"W{name}"] = weights.T if joint.targets is None else weights[0]
            if joint.ends is not None and joint.targets is not None:
                pre = np.repeat(np.arange(len(joint.ends) - 1), np.diff(joint.ends))
                arrays |= {f"pre{name}": pre, f"post{name}": joint.targets}
        for l, matrix in enumerate(network.matrices):
            if matrix is not None:
                arrays[f"B{l + 1}"] = matrix
        for l, norm in enumerate(network.batch_norms):
            arrays |= {f"gain{l + 1}": norm.gain[0], f"mean{l + 1}": norm.mean, f"variance{l + 1}": norm.variance}
        if network.input_feedback is not None:
            arrays["B0"] = network.input_feedback
        return arrays


model = Weights
