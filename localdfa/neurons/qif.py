"""Quadratic integrate-and-fire: τ_m dv/dt = v² + I, a spike and a reset where v has grown to v_th."""

import math
from typing import Annotated, NamedTuple

from numba import njit
from pydantic import Field


@njit(error_model="numpy")
def _interval(p, drive):
    """Time between two spikes under a constant drive I > 0, ms: t_ref + τ_m/√I (arctan(v_th/√I) − arctan(v_reset/√I))."""
    root = math.sqrt(drive)
    return p.t_ref + p.tau_m / root * (math.atan(p.v_th / root) - math.atan(p.v_reset / root))


class QIF(NamedTuple):
    """τ_m dv/dt = v² + I; at v = v_th the neuron spikes, and v stays at v_reset for t_ref. v has no unit, and I is as v².

    tau_m: membrane time constant, ms. v_th: the peak, where the upstroke of a spike is cut. v_reset: where v is put by a
    spike, and where a trial begins. t_ref: refractory period, ms. baseline: constant drive that every neuron has, as v².
    gain: of activity, ms, as of `LIF`.

    For I > 0 the neuron spikes again and again, v = √I tan(√I t/τ_m + arctan(v/√I)). For I < 0 it rests at −√−I, and spikes
    from v > √−I, which only a jump can take it to. The slope of its f–I curve is infinite where I → 0 from above.
    Source: Ermentrout & Kopell 1986; Latham et al. 2000, eq. 3, the normal form of neurons that begin to fire at rate 0.
    """

    tau_m: Annotated[float, Field(ge=0.1, le=1e4)] = 10.0
    v_th: Annotated[float, Field(ge=0.1, le=1e3)] = 10.0
    v_reset: Annotated[float, Field(ge=-1e3, le=-0.1)] = -10.0
    t_ref: Annotated[float, Field(ge=0.1, le=1e3)] = 1.0
    baseline: Annotated[float, Field(ge=-1e3, le=1e3)] = 1.0
    gain: Annotated[float, Field(ge=1e-3, le=1e6)] = 10.0

    spiking = True  # type: ignore[misc]
    linear = False  # type: ignore[misc]
    adapts = False  # type: ignore[misc]
    beta = 2.0  # type: ignore[misc]
    equation = "v**2 + I"  # type: ignore[misc]

    @njit(error_model="numpy")
    def relax(p, v, drive, dt):
        """v after dt ms, if there is no spike."""
        t = dt / p.tau_m
        if drive > 0:
            root = math.sqrt(drive)
            return root * math.tan(root * t + math.atan(v / root))
        if drive == 0:
            return v / (1 - v * t)
        # The solution through v, with w = tanh(√−I t): it is √−I times (v − √−I w) / (√−I − v w).
        root = math.sqrt(-drive)
        w = math.tanh(root * t)
        return root * (v - root * w) / (root - v * w)

    @njit(error_model="numpy")
    def wait(p, v, drive):
        """Time from v to the next spike, ms, if nothing arrives; infinite if there is none."""
        if drive <= 0 and v <= math.sqrt(-drive):
            return math.inf
        if v >= p.v_th:
            return 0.0
        if drive > 0:
            root = math.sqrt(drive)
            return p.tau_m / root * (math.atan(p.v_th / root) - math.atan(v / root))
        if drive == 0:
            return p.tau_m * (1 / v - 1 / p.v_th)
        # (v − √−I)/(v + √−I) grows as e^(2 √−I t/τ_m).
        root = math.sqrt(-drive)
        if p.v_th <= root:
            return math.inf
        return p.tau_m / (2 * root) * math.log((p.v_th - root) * (v + root) / ((p.v_th + root) * (v - root)))

    @njit(error_model="numpy")
    def rate(p, drive):
        """The f–I curve, spikes per ms: one an interval, or 0 up to I = 0."""
        return 0.0 if drive <= 0 else 1.0 / _interval(p, drive)

    @njit(error_model="numpy")
    def f(p, a):
        drive = a + p.baseline
        return 0.0 if drive <= 0 else p.gain / _interval(p, drive)

    @njit(error_model="numpy")
    def df(p, a):
        drive = a + p.baseline
        if drive <= 0:
            return 0.0
        interval = _interval(p, drive)
        ends = p.v_reset / (drive + p.v_reset * p.v_reset) - p.v_th / (drive + p.v_th * p.v_th)
        by_drive = 0.5 * ((p.t_ref - interval) + p.tau_m * ends) / drive
        return -p.gain * by_drive / (interval * interval)


model = QIF
