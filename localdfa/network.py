"""From a setting and a seed to a network: sizes, weights and feedback matrices. No dynamics."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from localdfa import registry
from localdfa.geometry import Geometry, lay_out
from localdfa.spec import Setting

# Streams of random numbers, one a purpose: (seed, stream, layer) always gives the same numbers, so that conditions that
# share a seed share initial weights, B and the order of the samples.
WEIGHTS, FEEDBACK, ORDER, DROPOUT, VALIDATION, PROBE = range(6)


def generator(seed: int, stream: int, part: int = 0) -> np.random.Generator:
    """The random numbers of one purpose."""
    return np.random.default_rng([seed, stream, part])


@dataclass
class Network:
    """A feed-forward network of rate or spiking neurons.

    sizes: (n_in, hidden …, n_out). geometry: of each projection that is a convolution, None of a dense one. neuron: the
    parameters of the hidden neurons, in the network's precision. output: ``logistic`` or ``softmax``. weights: for each
    projection an array (n_pre + 1, n_post), one row a presynaptic neuron, the biases last; of a convolution one row a
    synapse of its kernels, and columns as `Geometry.synapses` says. pathway: the feedback pathway; feedback: its matrix B
    for each hidden layer, or None.
    """

    sizes: tuple[int, ...]
    geometry: tuple[Geometry | None, ...]
    neuron: Any
    output: str
    weights: list[np.ndarray]
    pathway: Any
    feedback: list[np.ndarray | None]

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers."""
        return len(self.sizes) - 2

    def synapses(self, l: int) -> tuple[int, int]:
        """Shape of the forward weights of projection l without their biases."""
        n_rows, n_columns = self.weights[l].shape
        return n_rows - 1, n_columns

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self.weights[0].dtype

    def W(self, l: int) -> np.ndarray:
        """Forward weights into layer l (0 the first hidden), a view W[post, pre]."""
        return self.weights[l][:-1].T

    def b(self, l: int) -> np.ndarray:
        """Biases of layer l, a view (n_post,)."""
        return self.weights[l][-1]

    def predict(self, drive: np.ndarray) -> np.ndarray:
        """Output activity ŷ of the drive a_y, both (m, n_out)."""
        if self.output == "softmax":
            raised = np.exp(drive - drive.max(axis=1, keepdims=True))
            return raised / raised.sum(axis=1, keepdims=True)
        return 0.5 * (1 + np.tanh(0.5 * drive))

    def loss(self, drive: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Cross-entropy of each sample, (m,), from the drive a_y and the targets, both (m, n_out)."""
        if self.output == "softmax":
            return np.logaddexp.reduce(drive, axis=1) - (drive * target).sum(axis=1)
        return (np.logaddexp(0, drive) - drive * target).sum(axis=1)


def build(setting: Setting, n_in: int | tuple[int, ...], n_out: int, seed: int) -> Network:
    """The network of one condition and seed before training; n_in: number of inputs, or the shape of a sample.

    Raises
    ------
    SpecError
        A convolution does not fit on samples of this shape, or one B on layers of different sizes.
    """
    sizes, geometry = lay_out(setting, n_in, n_out)
    parameters = registry.get("neurons", setting.network.neuron)(**setting.neuron)
    neuron = registry.cast(parameters, np.dtype(setting.precision).type)
    dense = pairwise(sizes)
    shapes = [n if fields is None else fields.synapses for n, fields in zip(dense, geometry, strict=True)]
    weights = [_weights(setting, shape, l, seed) for l, shape in enumerate(shapes)]
    network = Network(sizes, geometry, neuron, setting.network.output, weights, None, [])
    return rewired(network, setting, setting.rule, seed)


def rewired(network: Network, setting: Setting, rule: str, seed: int) -> Network:
    """The same neurons and weights, shared, with the feedback pathway of a rule."""
    pathway = registry.get("feedback", setting.pathway_of(rule))
    feedback = [_feedback(setting, network, pathway, l, seed) for l in range(network.n_hidden)]
    return replace(network, pathway=pathway, feedback=feedback)


def in_precision(network: Network, dtype: Any) -> Network:
    """A copy of a network in another precision."""
    return replace(
        network,
        neuron=registry.cast(network.neuron, np.dtype(dtype).type),
        weights=[w.astype(dtype) for w in network.weights],
        feedback=[None if b is None else b.astype(dtype) for b in network.feedback],
    )


def _weights(setting: Setting, shape: tuple[int, int], l: int, seed: int) -> np.ndarray:
    """Zero, or W and b ~ U(±1/√fan_in) (Nøkland 2016, section 4), of shape (fan_in, n_post) and a row of biases."""
    fan_in, n_post = shape
    if setting.initial_weights == "zero":
        return np.zeros((fan_in + 1, n_post), setting.precision)
    bound = 1 / np.sqrt(fan_in)
    return generator(seed, WEIGHTS, l).uniform(-bound, bound, (fan_in + 1, n_post)).astype(setting.precision)


def _feedback(setting: Setting, network: Network, pathway: Any, l: int, seed: int) -> np.ndarray | None:
    """B ~ U(±g/√width) or N(0, g²/(3 width)), which has the same variance; width as ``feedback.fan_out`` says."""
    shape, widths = pathway.shape(network, l), pathway.widths(network, l)
    if shape is None or widths is None:
        return None
    spec = setting.feedback
    rng = generator(seed, FEEDBACK, 0 if spec.shared else l)
    bound = spec.gain / np.sqrt(widths[0] if spec.fan_out == "receiver" else widths[1])
    if spec.distribution == "normal":
        return rng.normal(0, bound / np.sqrt(3), shape).astype(setting.precision)
    return rng.uniform(-bound, bound, shape).astype(setting.precision)
