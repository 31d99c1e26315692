"""Adversarial training: samples moved a small step against the network, by the fast sign of a gradient at the inputs."""

from dataclasses import dataclass

import numpy as np

from localdfa.core import finite
from localdfa.core.products import product
from localdfa.core.rate import projections
from localdfa.core.rate.activation import exact_change
from localdfa.core.rate.settled import FreePhase
from localdfa.network import Network


@dataclass(frozen=True)
class FastSign:
    """Examples x + ε sign(g), g the gradient of the loss at the inputs x (Goodfellow, Shlens & Szegedy 2015, section 4).

    g is either the true gradient, W_1ᵀ δa_1 with δa of back-propagation, or, where the network has a matrix B_0 (n_in, n_out)
    for its inputs, the feedback B_0 e: as in direct feedback to hidden layers, no weight is transported. Examples are not
    clipped to the range of the inputs. A mini-batch is learned from its examples alone, under any rule, as by default in the
    code that the author of Nøkland 2016 has published; Goodfellow et al. take the mean of the losses of samples and examples.

    sign(B_0 e) depends on nothing but the error, so it tells the class, and a network may learn to read that from the step in
    place of the sample (label leaking; Kurakin, Goodfellow & Bengio 2017).

    step: ε in the inputs' unit. threshold: an output error no larger than this is not fed back. lowest, highest: of the
    training inputs, of whose range ε is a part.
    """

    step: float
    threshold: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0

    def examples(self, network: Network, inputs: np.ndarray, free: FreePhase, error: np.ndarray) -> np.ndarray:
        """The examples of samples (m, n_in + 1), whose last column is ones.

        free: the free phase, which dropout of inputs may have changed. error: e = ŷ − y, (m, n_out).
        """
        found, step = inputs.copy(), inputs.dtype.type(self.step)
        found[:, :-1] += step * np.sign(self.direction(network, free, error))
        return found

    def direction(self, network: Network, free: FreePhase, error: np.ndarray) -> np.ndarray:
        """g of each sample, (m, n_in), times a power of two that is the same for all."""
        if network.input_feedback is None:
            return gradient(network, free, error)[0]
        found = np.empty((len(error), network.sizes[0]), error.dtype)
        product(1.0, np.where(np.abs(error) > self.threshold, error, 0), network.input_feedback, True, found)
        return found


def gradient(network: Network, free: FreePhase, error: np.ndarray) -> tuple[np.ndarray, int]:
    """∂L/∂x of each sample, (m, n_in), as 2^−k times what it is, and k: through a hundred layers it may become very small.

    x: what the synapses receive. error: e = ŷ − y, (m, n_out), the derivative of the loss in the drive of the output.
    """
    change, exponent = -error, 0
    for l in range(network.n_hidden, -1, -1):
        below = np.empty((len(error), network.sizes[l]), error.dtype)
        exponent += finite.scale_near_one(change)
        projections.descend(free.route[l], -1.0, network.weights[l][:-1], change, below)
        if l == 0:
            break
        change = np.empty_like(below)
        exact_change(network.neuron.__class__)(network.neuron, free.drive[l - 1], below, change)
        mask = free.mask[l - 1]
        if mask is not None:
            change *= mask
    return below, exponent
