"""Neurons: closed forms that agree with each other, slopes that are those of their functions, parameters with bounds."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from localdfa import neurons, registry
from localdfa.conformance._subjects import of, require_parameters, setting_of, slope, variants
from localdfa.core.rate import settled
from localdfa.network import build

RATE = of("neurons", lambda model: not neurons.spikes(model))
SPIKING = of("neurons", neurons.spikes)
GRID = np.linspace(-6, 6, 601)


@pytest.mark.parametrize("name", of("neurons"))
def test_parameters_have_bounds_and_are_documented(name):
    model = registry.get("neurons", name)
    require_parameters(model)
    assert registry.describe("neurons", name)
    for optimiser, rate in getattr(model, "learning_rates", {}).items():
        assert optimiser in registry.names("optimisers")
        assert 0 < rate <= 1e3


@pytest.mark.parametrize("name", of("neurons"))
def test_df_is_the_slope_of_f_which_rises(name):
    """Seen by finite differences, but for kinks; f of what is no number is none."""
    model = registry.get("neurons", name)
    for p in variants(model):
        found = np.array([model.f(p, v) for v in GRID])
        assert np.isfinite(found).all()
        assert (np.diff(found) >= 0).all()
        slopes = [(v, s) for v in GRID + 1e-3 if (s := slope(lambda v: model.f(p, v), v)) is not None]  # noqa: B023
        assert len(slopes) > 0.9 * len(GRID)
        for v, expected in slopes:
            assert model.df(p, v) == pytest.approx(expected, rel=1e-3, abs=1e-6 * (1 + np.ptp(found)))
        assert math.isnan(model.f(p, math.nan))


@pytest.mark.parametrize("name", of("neurons", lambda model: hasattr(model, "pytorch")))
def test_what_it_says_to_pytorch_is_f_and_its_derivative_df(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    model, grid = registry.get("neurons", name), GRID + 1e-3
    for p in variants(model):
        v = torch.tensor(grid, dtype=torch.float64, requires_grad=True)
        h = p.pytorch()(v)
        (derivative,) = torch.autograd.grad(h.sum(), v)
        assert_allclose(h.detach().numpy(), [model.f(p, a) for a in grid], rtol=1e-12, atol=1e-15)
        assert_allclose(derivative.numpy(), [model.df(p, a) for a in grid], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", RATE)
def test_it_says_whether_its_slope_jumps(name):
    """Seen as a jump between neighbours that a finer grid does not lessen; one that is said to jump does so."""
    model = registry.get("neurons", name)
    for p in variants(model):
        jumps = [max(np.abs(np.diff([model.df(p, v) for v in np.linspace(-6, 6, n)]))) for n in (3001, 12001)]
        kinked = jumps[1] > 1e-6 and jumps[1] > 0.5 * jumps[0]
        assert kinked == bool(getattr(model, "kinked", False))


@pytest.mark.parametrize("name", RATE)
def test_inverse_undoes_f_and_is_infinite_beyond_its_range(name):
    model = registry.get("neurons", name)
    for p in variants(model):
        for v in np.linspace(-3, 3, 61):
            if model.df(p, v) > 1e-9:
                assert model.inverse(p, model.f(p, v)) == pytest.approx(v, abs=1e-8)
        for beyond in (-1e3, -2.0, 2.0, 1e3):
            if not model.f(p, -1e6) <= beyond <= model.f(p, 1e6):
                assert model.inverse(p, beyond) == math.copysign(math.inf, beyond)


@pytest.mark.parametrize("name", RATE)
def test_what_it_says_of_zero_drive_is_so(name):
    """One without a slope there cannot learn from weights of zero, and says so; else it is accepted and never learns."""
    model = registry.get("neurons", name)
    flat = bool(getattr(model, "flat_at_zero", False))
    assert flat == (model.df(model(), 0.0) == 0)
    assert not (flat and getattr(model, "from_zero", False))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", RATE)
def test_populations_settle_at_f_in_either_precision(name, precision):
    model = registry.get("neurons", name)
    setting = setting_of(precision=precision, network={"hidden": [6, 5], "neuron": name, "weights": "uniform"})
    network = build(setting, 7, 3, 0)
    inputs = np.ones((9, 8), precision)
    inputs[:, :-1] = np.random.default_rng(0).normal(size=(9, 7))
    trial = settled.free_phase(network, inputs)
    for drive, activity in zip(trial.drive, trial.activity, strict=False):
        assert activity.dtype == precision
        expected = [[model.f(model(), float(a)) for a in row] for row in drive]
        assert_allclose(activity, expected, rtol=1e-5 if precision == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize("name", SPIKING)
def test_relaxing_twice_is_relaxing_once_for_as_long(name):
    model = registry.get("neurons", name)
    for p in variants(model):
        for v in np.linspace(p.v_reset, p.v_th, 5)[:-1]:
            for drive in (p.v_reset, 0.5 * (p.v_reset + p.v_th), 0.9 * p.v_th):
                assert model.relax(p, v, drive, 0.0) == pytest.approx(v, rel=1e-12, abs=1e-12)
                for dt in (0.01, 1.0, 30.0):
                    if not model.wait(p, v, drive) > dt:
                        continue
                    half = model.relax(p, v, drive, dt / 2)
                    assert model.relax(p, half, drive, dt / 2) == pytest.approx(
                        model.relax(p, v, drive, dt), rel=1e-9, abs=1e-9
                    )


@pytest.mark.parametrize("name", SPIKING)
def test_it_spikes_when_its_membrane_reaches_the_threshold(name):
    """`wait` is where `relax` gets there, and nowhere before; a linear membrane never does where the drive is at most v_th."""
    model = registry.get("neurons", name)
    for p in variants(model):
        for v in np.linspace(p.v_reset, p.v_th, 5)[:-1]:
            assert not neurons.is_linear(model) or model.wait(p, v, p.v_th) == math.inf
            assert not neurons.is_linear(model) or model.wait(p, v, p.v_reset - 1.0) == math.inf
            for above in (0.1, 1.0, 20.0):
                drive = p.v_th + above * (p.v_th - p.v_reset)
                wait = model.wait(p, v, drive)
                assert 0 < wait < math.inf
                assert model.relax(p, v, drive, wait) == pytest.approx(p.v_th, rel=1e-7)
                assert all(model.relax(p, v, drive, part * wait) < p.v_th for part in (0.1, 0.5, 0.99))
                assert model.wait(p, model.relax(p, v, drive, wait / 3), drive) == pytest.approx(wait * 2 / 3, rel=1e-6)


def interval(model, p, drive, dt):
    """The time between two spikes under a constant drive, once the threshold has adapted, ms: in steps of dt."""
    theta, last, v, time = 0.0, 0.0, p.v_reset, 0.0
    decay = math.exp(-dt / p.tau_a) if model.adapts else 1.0
    found = [0.0, 0.0]
    while len(found) < 60:
        time += dt
        theta *= decay
        if time - last >= p.t_ref:
            before, v = v, model.relax(p, v, drive, min(dt, time - last - p.t_ref))
            if v >= p.v_th + theta:
                time -= dt * (v - p.v_th - theta) / max(v - before, 1e-12)
                found.append(time - last)
                last, v, theta = time, p.v_reset, model.raised(p, theta) if model.adapts else 0.0
        if model.adapts is False and len(found) > 3:
            break
        if time > 1e5:
            return math.inf
    return found[-1]


@pytest.mark.parametrize("name", SPIKING)
def test_its_rate_is_that_of_its_spikes_and_its_activity_gain_times_rate(name):
    model = registry.get("neurons", name)
    for p in variants(model):
        for drive in np.linspace(p.v_reset - 1, p.v_th + 20, 40):
            rate = model.rate(p, drive)
            assert 0 <= rate <= 1 / p.t_ref * (1 + 1e-12)
            assert model.f(p, drive - p.baseline) == pytest.approx(p.gain * rate, rel=1e-6, abs=1e-9)
            assert (rate == 0) == (model.wait(p, p.v_reset, drive) == math.inf)
            assert not neurons.is_linear(model) or (rate == 0) == (drive <= p.v_th)
            if rate and not model.adapts:
                assert 1 / rate == pytest.approx(p.t_ref + model.wait(p, p.v_reset, drive), rel=1e-9)
    p = model()
    drive = p.v_th + 0.8
    assert 1 / model.rate(p, drive) == pytest.approx(interval(model, p, drive, 0.01), rel=5e-3)


@pytest.mark.parametrize("name", of("neurons", neurons.is_linear))
def test_a_membrane_that_says_it_is_linear_is_so(name):
    """τ_m dv/dt = −v + I: what the kernels for linear membranes compute without asking `relax`."""
    model = registry.get("neurons", name)
    for p in variants(model):
        for v, drive, dt in ((p.v_reset, 0.9 * p.v_th, 3.0), (0.5 * p.v_th, p.v_reset, 0.1)):
            expected = drive + (v - drive) * math.exp(-dt / p.tau_m)
            assert model.relax(p, v, drive, dt) == pytest.approx(expected, rel=1e-12)
        if model.adapts:
            assert model.raised(p, 0.3) > 0.3
