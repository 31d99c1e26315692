"""1,100 digits of N-MNIST seen by an event camera, 12 x 12 blocks of 2 polarities, to be put in place by hand."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localdfa.data import cache, npz
from localdfa.data.dataset import Source
from localdfa.data.sensors import from_events
from localdfa.data.split import stratified
from localdfa.data.trains import Trains
from localdfa.errors import DataError

_FILE = "nmnist-small/nmnist-small.npz"
_SIDE, _POLARITIES, _BLOCK = 34, 2, 3
_SEED = 2015


def load() -> Source:
    """Return 1,100 digits as spike trains of 105 ms, of 288 input neurons: 12 x 12 blocks of the sensor, of each polarity.

    The file holds the first saccade of the first 1,000 training and the first 100 test samples of N-MNIST as `npz.load` reads
    spike trains, with the pixel (polarity, y, x) of 34 x 34 as the neuron (polarity · 34 + y) · 34 + x. It has to be put into
    the cache folder by hand. Blocks of 3 x 3 pixels share an input neuron, which spikes at each event of its pixels. As 100
    samples say little, the test set is 30 % of every class of all 1,100, drawn once and for all by numpy's default generator
    with the seed 2015.

    Source: G. Orchard et al. (2015), Converting static image datasets to spiking neuromorphic datasets using saccades,
    doi:10.3389/fnins.2015.00437, CC BY-SA 4.0.
    """
    path = cache.folder() / _FILE
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; nmnist-small cannot be downloaded: put the spike trains of N-MNIST's first saccades, from "
            f"doi:10.3389/fnins.2015.00437, there, in the arrays time_train, neuron_train, sample_train, y_train, and the same "
            f"for test"
        )
    source = npz.load(path)
    pixels = _POLARITIES * _SIDE**2
    if (width := source.shape[0]) > pixels:
        raise DataError(f"{path}: neuron_train has {width - 1}; allowed: a pixel of N-MNIST, 0 .. {pixels - 1}")
    recordings = [*_recordings(source.x_train, source.y_train), *_recordings(source.x_test, source.y_test)]
    found = from_events(recordings, sensor_size=(_SIDE, _SIDE, _POLARITIES), block=_BLOCK)
    x, y = found.x_train, found.y_train
    test = stratified(y, 0.3, np.random.default_rng(_SEED))
    return found._replace(x_train=x[~test], y_train=y[~test], x_test=x[test], y_test=y[test], notes=())


def _recordings(x: NDArray[Any] | Trains, y: NDArray[Any]) -> Iterator[tuple[NDArray[Any], int]]:
    """Samples as recordings of events with labels."""
    assert isinstance(x, Trains)
    polarity, pixel = np.divmod(x.neuron, _SIDE**2)
    events = np.empty(len(x.time), [("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    events["x"], events["y"], events["p"] = pixel % _SIDE, pixel // _SIDE, polarity
    events["t"] = np.round(1000 * x.time)
    return zip(np.split(events, x.begin[1:-1]), (int(label) for label in y), strict=True)


model = load
