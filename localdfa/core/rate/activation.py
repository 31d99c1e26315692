"""What settled rate neurons make of their drive: their activity, and the change that the exact rules prescribe."""

from functools import cache
from typing import Any

import numpy as np
from numba import prange

from localdfa.core.compiled import compiled, kernel


@cache
def activation(neuron: Any) -> Any:
    """The kernel that settles a population of one neuron model."""
    f = neuron.f

    @compiled(parallel=True, error_model="numpy")
    def settle(
        p,  # parameters of the neuron model
        threshold,  # ε: a neuron with |h| ≤ ε sends no event
        drive,  # a (m, n)
        activity,  # (m, n) becomes h = f(a)
        sent,  # (m, n + 1): its first n columns become h where |h| > ε, else 0
    ):
        """Settle a population; returns the number of events, and of activities that are not finite."""
        events, broken = 0, 0
        for s in prange(drive.shape[0]):
            # The counts of one sample have 32 bits, as wide as float32, so that the loop is vectorised.
            row_events, row_broken = np.uint32(0), np.uint32(0)
            for i in range(drive.shape[1]):
                h = f(p, drive[s, i])
                activity[s, i] = h
                fires = abs(h) > threshold
                sent[s, i] = h if fires else h * 0
                row_events = np.uint32(row_events + np.uint32(fires))
                row_broken = np.uint32(row_broken + np.uint32(not abs(h) < np.inf))
            events += row_events
            broken += row_broken
        return events, broken

    return settle


def response(neuron: Any, drive: np.ndarray) -> np.ndarray:
    """Activity h = f(a) of a neuron with these parameters, for every drive; an array of any shape."""
    flat = np.ascontiguousarray(drive).reshape(-1)
    found = np.empty_like(flat)
    _curve(neuron.__class__)(neuron, flat, found)
    return found.reshape(drive.shape)


@cache
def _curve(neuron: Any) -> Any:
    """The kernel that writes the activity of one neuron model."""
    f = neuron.f

    @kernel
    def write_activity(p, drive, activity):
        """Write h = f(a) of each drive a, (n,)."""
        for i in range(drive.size):
            activity[i] = f(p, drive[i])

    return write_activity


@cache
def exact_change(neuron: Any) -> Any:
    """The kernel of the exact rules and of what is measured with f'; the local rule has no use for it."""
    df = neuron.df

    @compiled(parallel=True, error_model="numpy")
    def write_change(
        p,  # parameters of the neuron model
        drive,  # a (m, n)
        signal,  # c (m, n)
        change,  # (m, n) becomes −δa = −c ∘ f'(a)
    ):
        """Write the postsynaptic change −c ∘ f'(a) of a population."""
        for s in prange(drive.shape[0]):
            for i in range(drive.shape[1]):
                change[s, i] = -df(p, drive[s, i]) * signal[s, i]

    return write_change
