"""Batch normalisation of the drives of a layer in settled mode.

The drive u of a neuron comes from its synapses alone, u = W x; in a convolution it is the largest in its window. It is compared
with its mean μ and variance σ² over the mini-batch, in a convolution over the mini-batch and all neurons of the channel (Ioffe
& Szegedy 2015, Algorithms 1 and 2):

    a = γ û + b,   û = (u − μ)/s,   s = √(σ² + ε)

The gain γ is learned. The shift b takes the place of the biases, which would be lost with the mean, and is learned as they are.
Feedback enters at a, before the non-linearity. What a change of u does to a, and what a change of a, Δa, asks of u, is one
symmetric linear map, in which γ and s are those of the neuron and means are over the mini-batch:

    J v = γ/s (v − mean(v) − û mean(û v))

So what passes the projection upwards passes J W, what passes it downwards Wᵀ J, or M J where a feedback matrix M stands in for
Wᵀ; the noise of a weight mirror, which is no sample, passes W alone. Its weights learn by ΔW = Σ (J Δa) xᵀ, its gain by
Δγ = Σ û Δa, its shift by Δb = Σ Δa.

Under the local rule Δa is Δz/β, the neuron's own response to feedback. What a synapse sees is J Δa_i, which is made of what
neuron i has itself: its γ, s and û, and two averages of its own past, of Δa_i and of û_i Δa_i, over the samples of the
mini-batch; nothing comes from another neuron. In a convolution the averages are those of a channel, whose neurons share their
synapses anyway. It is not local in time: the averages are complete when the mini-batch is over, and synapses change then.

In evaluation μ and σ² are running averages over mini-batches, which are a part of the network.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from localdfa.core.rate.convolution import Route

# ε, and how far running averages move towards those of a mini-batch.
EPSILON, PACE = 1e-5, 0.1


class Moments(NamedTuple):
    """What a mini-batch says of the drives of one layer, each (channels,); of a dense layer each neuron is a channel."""

    mean: np.ndarray
    # The mean squared distance from the mean.
    variance: np.ndarray
    # The number of drives of each channel.
    n_drives: int


class BatchNorm(NamedTuple):
    """What a layer that is normalised has besides its weights; of a dense layer each neuron is a channel."""

    # γ, (1, channels).
    gain: np.ndarray
    # Running averages of the mean and of the unbiased variance, (channels,).
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def new(cls, channels: int, dtype: npt.DTypeLike) -> "BatchNorm":
        """That of a layer before training: γ = 1, a mean of 0 and a variance of 1."""
        return cls(gain=np.ones((1, channels), dtype), mean=np.zeros(channels, dtype), variance=np.ones(channels, dtype))

    def astype(self, dtype: npt.DTypeLike) -> "BatchNorm":
        """A copy in another precision."""
        return BatchNorm(*(array.astype(dtype) for array in self))

    def follow(self, moments: Moments) -> None:
        """Move the running averages towards those of a mini-batch; a single drive says nothing of the variance."""
        if moments.n_drives > 1:
            unbiased = moments.variance * moments.n_drives / (moments.n_drives - 1)
            self.mean[...] += PACE * (moments.mean - self.mean)
            self.variance[...] += PACE * (unbiased - self.variance)

    def normalise(self, shift: np.ndarray, inner: "Route | None", drive: np.ndarray) -> "Normalised":
        """Replace u in `drive` (m, n_post) by a, with the moments of the mini-batch; shift: b (channels,).

        inner: the route that the mini-batch took before it was normalised; returns the one that it has taken now.
        """
        u = _by_channel(drive, self.mean.size)
        mean = u.mean(axis=(0, 2), dtype=np.float64)
        unit = u - mean.astype(drive.dtype)[:, None]
        variance = np.square(unit).mean(axis=(0, 2), dtype=np.float64)
        spread = np.sqrt(variance + EPSILON)
        unit /= spread.astype(drive.dtype)[:, None]
        np.multiply(self.gain[0][:, None], unit, out=u)
        u += shift[:, None]
        moments = Moments(mean=mean, variance=variance, n_drives=unit.shape[0] * unit.shape[2])
        return Normalised(inner=inner, unit=unit, slope=(self.gain[0] / spread).astype(drive.dtype), moments=moments)

    def evaluate(self, shift: np.ndarray, drive: np.ndarray) -> None:
        """Replace u in `drive` (m, n_post) by a, with the running averages; shift: b (channels,)."""
        u = _by_channel(drive, self.mean.size)
        u -= self.mean[:, None]
        u *= (self.gain[0] / np.sqrt(self.variance + u.dtype.type(EPSILON)))[:, None]
        u += shift[:, None]


class Normalised(NamedTuple):
    """How a mini-batch passed through a projection whose drives are normalised."""

    # The route through the projection itself, None of a dense one.
    inner: "Route | None"
    # û, (m, channels, neurons of a channel).
    unit: np.ndarray
    # γ/s, (channels,).
    slope: np.ndarray
    moments: Moments

    def through(self, change: np.ndarray) -> np.ndarray:
        """J v of changes v (m, n_post)."""
        v = _by_channel(change, self.slope.size)
        along = (self.unit * v).mean(axis=(0, 2), dtype=np.float64).astype(v.dtype)
        found = v - v.mean(axis=(0, 2), dtype=np.float64).astype(v.dtype)[:, None]
        found -= self.unit * along[:, None]
        found *= self.slope[:, None]
        return found.reshape(change.shape)

    def shift_total(self, change: np.ndarray) -> np.ndarray:
        """Σ Δa of each channel, (channels,): the direction in which the shift moves."""
        return _by_channel(change, self.slope.size).sum(axis=(0, 2))

    def gain_total(self, change: np.ndarray) -> np.ndarray:
        """Σ û Δa of each channel, (1, channels): the direction in which the gain moves."""
        return (self.unit * _by_channel(change, self.slope.size)).sum(axis=(0, 2))[None]

    def keep(self, rows: np.ndarray) -> "Normalised":
        """Of some samples alone there is none: what one is taught depends on all."""
        raise ValueError("samples of a mini-batch that is normalised cannot be taken apart")


def _by_channel(array: np.ndarray, channels: int) -> np.ndarray:
    """A view (m, channels, neurons of a channel) of an array (m, n_post)."""
    return array.reshape(len(array), channels, -1)
