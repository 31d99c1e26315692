"""The order in β of the local rule's error, in theory and as a slope fitted to what is measured."""

import numpy as np

# The order of the local rule's error in β, by nudging.
ORDERS = {"one_sided": 1, "centered": 2}
# A point counts in a slope where its error is this many times that of rounding, and, where there are _POINTS such, where
# it is at most _ASYMPTOTIC, so that higher orders of β do not bend the line.
ABOVE_ROUNDING, _ASYMPTOTIC, _POINTS = 10.0, 1e-2, 3


def slope(betas: list[float], error: list[float], rounding: list[float]) -> tuple[float | None, list[int]]:
    """The slope of log error against log β by least squares, and the points that it is fitted to; betas ascend.

    A point counts where its error is ten times that of rounding; of those, where there are three such, the ones with an
    error of at most 1 %, otherwise the three of least β. None where fewer than three are clear of rounding.
    """
    clear = [i for i, (e, r) in enumerate(zip(error, rounding, strict=True)) if e > ABOVE_ROUNDING * r]
    small = [i for i in clear if error[i] <= _ASYMPTOTIC]
    used = small if len(small) >= _POINTS else clear[:_POINTS]
    if len(used) < _POINTS:
        return None, []
    x, y = (np.log(np.take(values, used)) for values in (betas, error))
    return float(np.polyfit(x, y, 1)[0]), used
