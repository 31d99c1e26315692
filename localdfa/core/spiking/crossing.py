"""When a sum of decaying exponentials first rises to zero: threshold crossings of neurons that are linear between events."""

import math

import numpy as np

from localdfa.core.compiled import device, kernel

# An interval this short, in ms, is taken for a moment: a membrane that only touches its threshold cannot be told apart. Moments
# are twice as long after so many passes, of which a search takes some ten where the sum does not stay close to zero.
_SHORTEST, _PASSES = 1e-9, 64
# A sum this small, as a fraction of its terms, cannot be told from zero.
_ROUNDING = 2.0**-52


@kernel
def first_crossing(constant, sizes, taus, horizon):
    """The first t in (0, horizon] at which F(t) = constant + Σ_k sizes[k] e^(−t/taus[k]) ≥ 0, for F(0) < 0; else infinity.

    Each term's slope is monotone, so that an interval's ends bound the slope of F on it, and F by two lines: from its begin
    upwards, to its end downwards. Intervals in which F stays below zero are passed over; one on which F rises through zero has
    one root, which Newton steps find, kept inside by bisection; any other is halved. So no crossing is missed, whatever the
    number of terms.

    No interval is shorter than half a moment, and moments grow, so that after `_PASSES` log₂(horizon/_SHORTEST) passes one is
    all that is left: rounding, which can keep a sum near zero for long, cannot keep the search from its end.
    """
    a, width, moment, passes, falls = 0.0, horizon, _SHORTEST, 0, constant <= 0
    for k in range(sizes.size):
        falls &= sizes[k] <= 0
    if falls:  # below zero for ever, although what decays is rounded to nothing in the end
        return np.inf
    while a < horizon:
        passes += 1
        if passes % _PASSES == 0:
            moment *= 2
        b = min(a + width, horizon)
        begin, end, steepest, slowest = constant, constant, 0.0, 0.0
        for k in range(sizes.size):
            early, late = sizes[k] * math.exp(-a / taus[k]), sizes[k] * math.exp(-b / taus[k])
            begin += early
            end += late
            steepest -= min(early, late) / taus[k]
            slowest -= max(early, late) / taus[k]
        if steepest <= 0 or slowest >= 0:
            highest = max(begin, end)
        else:
            highest = begin + steepest * (end - begin - slowest * (b - a)) / (steepest - slowest)
        if highest < 0:
            a, width = b, 2 * width
        elif end >= 0 and slowest > 0:
            return _root(constant, sizes, taus, a, b)
        elif b - a > moment:
            width = 0.5 * (b - a)
        elif end >= 0:
            return b
        else:
            a, width = b, 2 * width
    return np.inf


@device
def _root(constant, sizes, taus, a, b):
    """The root between a, where the sum is below zero, and b, where it is not, for a sum that rises."""
    t = b
    for _ in range(100):
        value, slope, size = constant, 0.0, abs(constant)
        for k in range(sizes.size):
            term = sizes[k] * math.exp(-t / taus[k])
            value += term
            slope -= term / taus[k]
            size += abs(term)
        if abs(value) <= _ROUNDING * size:
            break
        if value >= 0:
            b = t
        else:
            a = t
        before, t = t, t - value / slope
        if not a <= t <= b:
            t = 0.5 * (a + b)
        if t == before:
            break
    return t
