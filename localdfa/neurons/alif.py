"""Adaptive leaky integrate-and-fire: as lif, and every spike raises the threshold, which then decays to v_th."""

import math
from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field

from localdfa.neurons.lif import LIF


@njit(error_model="numpy")
def _interval(p, drive):
    """Time T between two spikes under a constant drive above v_th, ms.

    With the raise of the threshold just before a spike, θ = step/(e^(T/τ_a) − 1), it solves T = t_ref + τ_m ln((I − v_reset)/(I
    − v_th − θ)): by bisection, as T − t_ref − … rises in T.
    """
    if math.isnan(drive):
        return math.nan  # by comparisons alone it would come to some time
    low = p.t_ref
    high = p.t_ref + p.tau_m + p.tau_a
    for _ in range(200):
        above = drive - p.v_th - p.step / math.expm1(high / p.tau_a)
        if above > 0 and high > p.t_ref + p.tau_m * math.log((drive - p.v_reset) / above):
            break
        high *= 2
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        above = drive - p.v_th - p.step / math.expm1(middle / p.tau_a)
        if above > 0 and middle > p.t_ref + p.tau_m * math.log((drive - p.v_reset) / above):
            high = middle
        else:
            low = middle
    return high


class ALIF(NamedTuple):
    """τ_m dv/dt = −v + I; at v = v_th + θ the neuron spikes, and θ rises by `step`; τ_a dθ/dt = −θ.

    tau_m: membrane time constant, ms. v_th: threshold at rest, to which θ adds. v_reset: where v is put by a spike, and
    where a trial begins. t_ref: refractory period, ms. baseline: constant drive that every neuron has, in the unit of v.
    gain: of activity, ms, as of `LIF`. tau_a: time constant of the threshold, ms. step: by how much a spike raises the
    threshold, in the unit of v.

    Source: Bellec et al. 2018, arXiv:1803.09574, eq. 1–3 (LSNN), in continuous time.
    """

    tau_m: Annotated[float, Field(ge=0.1, le=1e4)] = 10.0
    v_th: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    v_reset: Annotated[float, Field(ge=-1e3, le=0)] = 0.0
    t_ref: Annotated[float, Field(ge=0.1, le=1e3)] = 1.0
    baseline: Annotated[float, Field(ge=-1e3, le=1e3)] = 1.5
    gain: Annotated[float, Field(ge=1e-3, le=1e6)] = 10.0
    tau_a: Annotated[float, Field(ge=0.1, le=1e4)] = 100.0
    step: Annotated[float, Field(ge=0, le=1e3)] = 0.1

    spiking = True  # type: ignore[misc]
    linear = True  # type: ignore[misc]
    adapts = True  # type: ignore[misc]
    beta = 2.0  # type: ignore[misc]

    relax = LIF.relax  # type: ignore[misc]
    wait = LIF.wait  # type: ignore[misc]

    @njit(error_model="numpy")
    def raised(p, theta):
        """By how much the threshold is raised after a spike."""
        return theta + p.step

    @njit(error_model="numpy")
    def rate(p, drive):
        """The f–I curve once the threshold has adapted, spikes per ms."""
        return 0.0 if drive <= p.v_th else 1.0 / _interval(p, drive)

    @njit(error_model="numpy")
    def f(p, a):
        drive = a + p.baseline
        return 0.0 if drive <= p.v_th else p.gain / _interval(p, drive)

    @njit(error_model="numpy")
    def df(p, a):
        """By the implicit function theorem on the equation of `_interval`."""
        drive = a + p.baseline
        if drive <= p.v_th:
            return 0.0
        interval = _interval(p, drive)
        theta = p.step / math.expm1(interval / p.tau_a)
        above, step = drive - p.v_th - theta, p.v_th + theta - p.v_reset
        by_drive = p.tau_m * step / (above * (above + step))
        by_interval = 1 + p.tau_m / above * theta * (1 + theta / max(p.step, 1e-300)) / p.tau_a
        return p.gain * by_drive / (by_interval * interval * interval)


model = ALIF
