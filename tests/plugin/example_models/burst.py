"""As many spikes at the begin of each phase as the input is large."""

import numpy as np

from localdfa.inputs._code import Code, outside_unit_range


class Burst(Code):
    """Input neuron j spikes round(20 x_j) times, 1 ms apart, from the begin of each `input.window`."""

    reads = ("window",)

    @staticmethod
    def unit(spec):
        return spec.window / 20

    @staticmethod
    def trains(x, shape, spec, onsets, stop, rng):
        count = np.round(20 * x).astype(int)
        sample, neuron = np.nonzero(count)
        counts = count[sample, neuron]
        sample, neuron = np.repeat(sample, counts), np.repeat(neuron, counts)
        nth = np.arange(len(sample)) - np.repeat(np.cumsum(counts) - counts, counts)
        begins = np.concatenate([np.arange(a, b, spec.window) for a, b in zip(onsets, [*onsets[1:], stop], strict=True)])
        time = (begins[:, None] + nth).ravel()
        seen = time < stop
        return np.tile(sample, len(begins))[seen], np.tile(neuron, len(begins))[seen], time[seen]

    @staticmethod
    def refusal(x, shape, spec):
        return outside_unit_range(x)


model = Burst
