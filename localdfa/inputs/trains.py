"""Spike trains as the data give them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from localdfa.inputs._code import Code

if TYPE_CHECKING:
    from localdfa.spec.tables import Input

# Trains whose last spike comes this early, ms or as a part of the free phase, are likely given in seconds; those of whose
# spikes this part or more comes after it, in microseconds.
_EARLY, _EARLY_PART, _CUT_OFF = 2.0, 0.05, 0.95


class Trains(Code):
    """Every sample is a spike train, which begins anew with every phase and is cut off at its end."""

    given = True

    @staticmethod
    def trains(
        x: Any, shape: tuple[int, ...], spec: "Input", onsets: np.ndarray, stop: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sample, neuron, time = x.events()
        return repeated(sample, neuron, time, onsets, stop)


def implausible(times: np.ndarray, free: float) -> str | None:
    """Why times of spikes, taken as ms, hardly are ms: words that follow the name of their array; None where they may be.

    free: duration of the free phase, ms.
    """
    if not times.size:
        return None
    last, cut_off = float(times.max()), unseen(times, free)
    if last <= max(_EARLY, _EARLY_PART * free):
        return f"the last spike comes {last:.3g} ms after the onset, where the free phase lasts {free:g} ms: are these seconds?"
    if cut_off >= _CUT_OFF:
        return (
            f"{100 * cut_off:.3g} % of the spikes come after the end of the free phase, {free:g} ms, the last one at "
            f"{last:.3g} ms: are these microseconds?"
        )
    return None


def unseen(times: np.ndarray, free: float) -> float:
    """The part of the spikes that comes after the end of the free phase."""
    return float((times >= free).mean()) if times.size else 0.0


def repeated(
    sample: np.ndarray, neuron: np.ndarray, time: np.ndarray, onsets: np.ndarray, stop: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spikes that come again in every phase: phases begin at `onsets`, the last one ends at `stop`."""
    ends = np.append(onsets[1:], stop)
    kept = [time < end - begin for begin, end in zip(onsets, ends, strict=True)]
    return (
        np.concatenate([sample[k] for k in kept]),
        np.concatenate([neuron[k] for k in kept]),
        np.concatenate([begin + time[k] for begin, k in zip(onsets, kept, strict=True)]),
    )


model = Trains
