"""The shape of layers: which neurons a convolution with max-pooling joins. No weights and no dynamics."""

import math
from typing import NamedTuple

import numpy as np

from localdfa.errors import SpecError, quoted
from localdfa.spec import Convolution, Setting


class Geometry(NamedTuple):
    """A projection that convolves its input, with stride 1, and pools the drives of each channel by their maximum.

    inputs, height, width: channels and size of the presynaptic maps; channels, kernel, padding, pool, stride, shared: as in
    `spec.Convolution`. Neurons on both sides are counted in (channel, row, column) order, and so are the synapses of a
    kernel, in (presynaptic channel, row, column) order. A *position* is an entry of the convolution's map before pooling.
    """

    inputs: int
    height: int
    width: int
    channels: int
    kernel: int
    padding: int
    pool: int
    stride: int
    shared: bool

    @property
    def maps(self) -> tuple[int, int]:
        """Rows and columns of positions."""
        more = 2 * self.padding - self.kernel + 1
        return self.height + more, self.width + more

    @property
    def pooled(self) -> tuple[int, int]:
        """Rows and columns of the neurons of a channel."""
        rows, columns = self.maps
        return (rows - self.pool) // self.stride + 1, (columns - self.pool) // self.stride + 1

    @property
    def n_pre(self) -> int:
        """Number of presynaptic neurons."""
        return self.inputs * self.height * self.width

    @property
    def n_post(self) -> int:
        """Number of postsynaptic neurons."""
        rows, columns = self.pooled
        return self.channels * rows * columns

    @property
    def synapses(self) -> tuple[int, int]:
        """Shape of the weights without biases: of one kernel a channel, or, not shared, of one a position and channel.

        Rows are the synapses of a kernel; of columns those of a position stand together, channel after channel.
        """
        rows, columns = self.maps
        return self.inputs * self.kernel**2, self.channels * (1 if self.shared else rows * columns)

    @property
    def fans(self) -> tuple[int, int]:
        """Fan-in of a position, and the most positions, over all channels, that a presynaptic neuron reaches."""
        return self.inputs * self.kernel**2, self.channels * self.kernel**2

    def inside(self) -> np.ndarray:
        """Which synapses of a kernel come from a neuron and not from the padding, (positions, synapses), of bool."""
        seen = []
        for size, n in zip((self.height, self.width), self.maps, strict=True):
            at = np.arange(n)[:, None] + np.arange(self.kernel) - self.padding
            seen.append((at >= 0) & (at < size))
        rows, columns = seen
        patch = rows[:, None, :, None] & columns[None, :, None, :]
        return np.tile(patch.reshape(len(rows) * len(columns), -1), self.inputs)


def seen(setting: Setting, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a sample as a network sees it, which is cropped where the data are augmented so; shape: as the data have it.

    Raises
    ------
    SpecError
        Samples are no images, or smaller than their crop.
    """
    augment = setting.augment
    if not augment.asked:
        return shape
    if len(shape) != 3:
        asked = quoted(augment.model_dump(exclude_defaults=True))
        raise SpecError(f"augment: {asked} needs images, samples of shape (channels, height, width), not {shape}; leave it out")
    channels, height, width = shape
    smaller = min(height, width)
    if augment.crop > smaller:
        raise SpecError(f"augment.crop: {augment.crop} is larger than images of {height} x {width}; allowed: up to {smaller}")
    if augment.padding >= (augment.crop or smaller):
        raise SpecError(
            f"augment.padding: with {augment.padding} zeros around it a crop may see nothing of an image of {height} x "
            f"{width}; allowed: less than {augment.crop or smaller}"
        )
    return (channels, augment.crop, augment.crop) if augment.crop else shape


def lay_out(setting: Setting, n_in: int | tuple[int, ...], n_out: int) -> tuple[tuple[int, ...], tuple[Geometry | None, ...]]:
    """Sizes (n_in, hidden …, n_out) of all layers, and the geometry of each projection, None of a dense one.

    n_in: the number of inputs or the shape of a sample; convolutions need (channels, height, width).

    Raises
    ------
    SpecError
        A convolution does not fit on the layer below.
    """
    shape = (n_in,) if isinstance(n_in, int) else tuple(n_in)
    sizes: list[int] = [math.prod(shape)]
    geometry: list[Geometry | None] = []
    for l, layer in enumerate(setting.network.hidden):
        if isinstance(layer, Convolution):
            found = _convolved(layer, shape, f"network.hidden[{l}]")
            shape = (layer.channels, *found.pooled)
            geometry.append(found)
            sizes.append(found.n_post)
        else:
            geometry.append(None)
            sizes.append(layer)
    return (*sizes, n_out), (*geometry, None)


def _convolved(layer: Convolution, shape: tuple[int, ...], key: str) -> Geometry:
    """The geometry of a convolution on maps of a shape."""
    if len(shape) != 3:
        raise SpecError(f"{key}: a convolution needs samples of shape (channels, height, width), not {shape}")
    found = Geometry(*shape, **layer.model_dump())
    padded = tuple(n + 2 * layer.padding for n in shape[1:])
    if layer.kernel > min(padded):
        raise SpecError(f"{key}.kernel: {layer.kernel} is larger than the padded input, {padded[0]} x {padded[1]}")
    if layer.pool > min(found.maps):
        rows, columns = found.maps
        raise SpecError(f"{key}.pool: {layer.pool} is larger than the map that the convolution leaves, {rows} x {columns}")
    return found
