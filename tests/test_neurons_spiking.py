"""The closed forms of the spiking neurons against integration in small steps and finite differences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa.neurons.alif import ALIF
from localdfa.neurons.lif import LIF

drives = st.floats(-5, 50)
neurons = st.builds(
    LIF,
    tau_m=st.floats(0.5, 100), v_th=st.floats(0.1, 10), v_reset=st.floats(-5, 0), t_ref=st.floats(0.1, 5),
    baseline=st.floats(-2, 2), gain=st.floats(0.1, 100),
)  # fmt: skip


@hypothesis_settings(max_examples=100, deadline=None)
@given(neurons, drives, st.floats(0, 1), st.floats(0.001, 100))
def test_lif_reaches_its_threshold_when_it_says(p, drive, start, dt):
    """Waiting takes v from anywhere below the threshold to the threshold, and two steps are one."""
    v = p.v_reset + start * (p.v_th - p.v_reset) * 0.999
    wait = LIF.wait(p, v, drive)
    if drive <= p.v_th:
        assert wait == math.inf
        assert LIF.relax(p, v, drive, dt) <= p.v_th
    else:
        assert LIF.relax(p, v, drive, wait) == pytest.approx(p.v_th, rel=1e-9)
    half = LIF.relax(p, v, drive, dt / 2)
    assert LIF.relax(p, half, drive, dt / 2) == pytest.approx(LIF.relax(p, v, drive, dt), rel=1e-9, abs=1e-9)
    # At the threshold it spikes if it rises through it.
    assert LIF.wait(p, p.v_th, drive) == (0 if drive > p.v_th else math.inf)


def test_lif_relaxes_as_its_equation_says():
    p, v, dt = LIF(tau_m=7.0), 0.2, 1e-4
    for _ in range(50_000):
        v += dt * (0.9 - v) / p.tau_m
    assert LIF.relax(p, 0.2, 0.9, 5.0) == pytest.approx(v, abs=1e-5)


@hypothesis_settings(max_examples=100, deadline=None)
@given(neurons, drives)
def test_lif_rate_and_slope(p, drive):
    """The rate is one spike an interval, the activity is gain · rate at a + baseline, and df is its slope."""
    rate, above = LIF.rate(p, drive), drive > p.v_th
    assert rate == (1 / (p.t_ref + LIF.wait(p, p.v_reset, drive)) if above else 0)
    a = drive - p.baseline
    assert LIF.f(p, a) == pytest.approx(p.gain * rate, rel=1e-6, abs=1e-12) or abs(drive - p.v_th) < 1e-6
    if abs(drive - p.v_th) > 1e-2:
        step = 1e-5 * abs(drive - p.v_th)
        slope = (LIF.f(p, a + step) - LIF.f(p, a - step)) / (2 * step)
        assert LIF.df(p, a) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_lif_rises_with_its_drive_up_to_one_spike_a_refractory_period_and_keeps_nan():
    p = LIF(t_ref=2.0)
    rates = np.array([LIF.rate(p, drive) for drive in np.linspace(-2, 100, 2001)])
    assert (np.diff(rates) >= 0).all()
    assert LIF.rate(p, 1e9) == pytest.approx(1 / p.t_ref)
    assert math.isnan(LIF.f(p, math.nan))
    assert math.isnan(LIF.df(p, math.nan))


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(2, 30), st.floats(0.1, 5), st.floats(5, 200), st.floats(0, 1)).map(
        lambda given: ALIF(tau_m=given[0], t_ref=given[1], tau_a=given[2], step=given[3])
    ),
    st.floats(1.05, 20),
)
def test_alif_fires_at_the_rate_that_its_adapted_threshold_allows(p, drive):
    """Spike by spike until the threshold has adapted: intervals come to 1/rate, and df is the slope of f."""
    interval = 1 / ALIF.rate(p, drive)
    theta = p.step / math.expm1(interval / p.tau_a) if p.step else 0.0
    # With θ that much raised just before a spike, it meets the threshold an interval after the last one.
    v = ALIF.relax(p, p.v_reset, drive, interval - p.t_ref)
    assert v == pytest.approx(p.v_th + theta, rel=1e-7)
    a, h = drive - p.baseline, 1e-5 * (drive - p.v_th)
    assert ALIF.df(p, a) == pytest.approx((ALIF.f(p, a + h) - ALIF.f(p, a - h)) / (2 * h), rel=1e-3, abs=1e-9)
    assert ALIF.f(p, a) == pytest.approx(p.gain / interval)


def test_alif_without_adaptation_is_lif():
    p, q = ALIF(step=0.0), LIF()
    for drive in (0.5, 1.0, 1.2, 3.0, 40.0):
        assert ALIF.rate(p, drive) == pytest.approx(LIF.rate(q, drive), rel=1e-9)
    assert ALIF.raised(p, 0.5) == 0.5
    assert ALIF.raised(ALIF(step=0.2), 0.5) == pytest.approx(0.7)
