"""Direct feedback that learns from noise what each layer brings about at the output: a weight mirror of all that is above."""

from typing import TYPE_CHECKING

import numpy as np

from localdfa import neurons
from localdfa.feedback._noise import noise
from localdfa.feedback.direct import Direct

if TYPE_CHECKING:
    from localdfa.engines import Engine
    from localdfa.network import Network
    from localdfa.spec import Setting
    from localdfa.spec.tables import FeedbackTable


class DirectWeightMirror(Direct):
    """c_l = B_l e with B_l ← (1 − ρ) B_l + ρ ⟨Δh_l Δa_yᵀ⟩ / ⟨Δh_l²⟩, a running estimate of (∂a_y/∂h_l)ᵀ.

    In a phase of its own before each mini-batch, without inputs, every neuron of one hidden layer after the other gets a
    current ξ = ±σ beside its bias. Its activity h_l, and the drive a_y of the output in answer to it, are those at the end of
    an ordinary free phase: settled, in time, or spike by spike, as the network is trained. Δ: about the mean over the samples
    of noise. As the ξ are independent, the products of a neuron's activity with the output, over the variance of that
    activity, tell what the neuron alone brings about: Wᵀ times the slopes of the layers between. A synapse of B_l sees the two
    neurons that it joins. One whose neuron does not answer to noise stays as it is. ρ: ``feedback.mirror_rate``; σ:
    ``feedback.noise``, in units of the drive.

    The phase of noise is that of Akrout et al. 2019 (section 3), who mirror one projection at a time; here the noise of a layer
    goes all the way to the output, after which Lansdell, Prakash & Körding 2020 learn feedback from perturbed neurons.
    """

    @staticmethod
    def refusal(setting: "Setting") -> str | None:
        network = setting.network
        if any(not isinstance(layer, int) for layer in network.hidden):
            return "sends noise through dense layers; allowed with convolutions: weight_mirror, direct, direct_kolen_pollack"
        if network.batch_norm:
            return (
                "sends noise of a few samples, which is no mini-batch; allowed with network.batch_norm: weight_mirror, direct"
            )
        if any(table.pre > 0 and table.post != table.pre + 1 for table in network.projection):
            return "sends noise from each layer to the next; allowed with further projections: direct, direct_kolen_pollack"
        return None

    @staticmethod
    def mirror(
        network: "Network", l: int, table: "FeedbackTable", rng: np.random.Generator, out: np.ndarray, engine: "Engine"
    ) -> None:
        activity, answer = engine.answer(network, l, noise(network.sizes[l + 1], table.noise, network.dtype, rng), rng)
        if neurons.spikes(type(network.neuron)):
            activity = activity * (1e-3 * network.neuron.gain)  # from Hz
        moved, answer = activity - activity.mean(axis=0), answer - answer.mean(axis=0)
        squares = (moved**2).sum(axis=0)
        rate = np.where(squares > 0, table.mirror_rate, 0.0).astype(network.dtype)
        squares[squares == 0] = 1  # of neurons that do not answer, whose rate is 0
        found = moved.T @ answer / squares[:, None]
        out += rate[:, None] * (found - out).astype(network.dtype, copy=False)


model = DirectWeightMirror
