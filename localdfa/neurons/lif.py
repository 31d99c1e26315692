"""Leaky integrate-and-fire: τ_m dv/dt = −v + I, a spike and a reset at v_th."""

import math
from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


@njit(error_model="numpy")
def _interval(p, drive):
    """Time between two spikes under a constant drive above v_th, ms: t_ref + τ_m ln((I − v_reset)/(I − v_th))."""
    return p.t_ref + p.tau_m * math.log((drive - p.v_reset) / (drive - p.v_th))


class LIF(NamedTuple):
    """τ_m dv/dt = −v + I; at v = v_th the neuron spikes, and v stays at v_reset for t_ref. v and I have one unit.

    tau_m: membrane time constant, ms. v_th: threshold. v_reset: where v is put by a spike, and where a trial begins.
    t_ref: refractory period, ms; what arrives while it lasts is lost.
    baseline: constant drive that every neuron has besides its synapses and its bias, in the unit of v.
    gain: of activity, ms: h = gain · rate, which is what the synapses' weights multiply, so that a spike of the neuron j
    moves v_i by W_ij gain/τ_m, and W_ij h_j is its mean drive.

    The hooks are exact under a constant drive I. As a rate neuron, of activity ``f(a) = gain · rate(a + baseline)``, it
    stands for its own f–I curve: that is how exact DFA and the measurements see it. I → v_th from above makes the slope
    infinite.
    """

    tau_m: Annotated[float, Field(ge=0.1, le=1e4)] = 10.0
    v_th: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    v_reset: Annotated[float, Field(ge=-1e3, le=0)] = 0.0
    t_ref: Annotated[float, Field(ge=0.1, le=1e3)] = 1.0
    baseline: Annotated[float, Field(ge=-1e3, le=1e3)] = 1.5
    gain: Annotated[float, Field(ge=1e-3, le=1e6)] = 10.0

    spiking = True  # type: ignore[misc]
    linear = True  # type: ignore[misc]
    adapts = False  # type: ignore[misc]
    beta = 2.0  # type: ignore[misc]

    @njit(error_model="numpy")
    def raised(p, theta):
        """By how much the threshold is raised after a spike: never."""
        return theta

    @njit(error_model="numpy")
    def relax(p, v, drive, dt):
        """v after dt ms, if there is no spike."""
        return drive + (v - drive) * math.exp(-dt / p.tau_m)

    @njit(error_model="numpy")
    def wait(p, v, drive):
        """Time from v to the next spike, ms, if nothing arrives; infinite if there is none.

        Where the drive is at most v_th, v comes near the threshold from below and never meets it, although after some tens of
        τ_m it is rounded to it.
        """
        if drive <= p.v_th:
            return math.inf
        if v >= p.v_th:
            return 0.0
        return p.tau_m * math.log((drive - v) / (drive - p.v_th))

    @njit(error_model="numpy")
    def rate(p, drive):
        """The f–I curve, spikes per ms: one an interval, or 0 up to v_th."""
        return 0.0 if drive <= p.v_th else 1.0 / _interval(p, drive)

    @njit(error_model="numpy")
    def f(p, a):
        drive = a + p.baseline
        return 0.0 if drive <= p.v_th else p.gain / _interval(p, drive)

    @njit(error_model="numpy")
    def df(p, a):
        drive = a + p.baseline
        if drive <= p.v_th:
            return 0.0
        step, above, interval = p.v_th - p.v_reset, drive - p.v_th, _interval(p, drive)
        return p.gain * p.tau_m * step / (above * (above + step) * interval * interval)


model = LIF
