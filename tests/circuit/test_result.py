"""What a run of a circuit leaves: rates, CVs, figures, neo; and a network of excitation and inhibition is as theory has it."""

import io

import numpy as np
import pytest

import localdfa
from localdfa.circuit import Result
from localdfa.errors import LocalDFAError


def result(spikes, end=1000.0, size=3):
    times, who = (np.array(column) for column in zip(*spikes, strict=True))
    return Result(0.0, end, {"exc": size}, {"exc": (times, who)}, np.empty(0), {}, 1.0)


def test_rates_and_cvs_by_hand():
    found = result([(10.0, 0), (20.0, 0), (30.0, 0), (35.0, 1), (50.0, 2), (60.0, 2), (90.0, 2)])
    np.testing.assert_allclose(found.rates("exc"), [3.0, 1.0, 3.0])
    np.testing.assert_allclose(found.cv("exc"), [0.0, np.nan, np.std([10, 30]) / 20])
    with pytest.raises(LocalDFAError, match=r"v of 'exc' was not recorded; no v was recorded: run"):
        found.v("exc")
    with pytest.raises(LocalDFAError, match=r"spikes of 'inh' was not recorded; spikes of exc were"):
        found.spikes("inh")
    with pytest.raises(LocalDFAError, match=r"kind: 'rastr'.*did you mean 'raster'"):
        found.plot("rastr")
    with pytest.raises(LocalDFAError, match="no v was recorded"):
        found.plot("v")


@pytest.fixture(scope="module")
def brunel():
    """Brunel's sparse network (2000, J Comput Neurosci 8:183), small: g = 5, external rate 1.5 times that at threshold."""
    net = localdfa.Circuit(seed=4)
    cell = {"tau_m": 20.0, "v_th": 20.0, "v_reset": 10.0, "t_ref": 2.0}
    jump, n_e, n_i = 0.5, 1600, 400
    delay = {"distribution": "uniform", "low": 0.5, "high": 2.5}
    for name, n in (("exc", n_e), ("inh", n_i)):
        net.population(name, n, "lif", start={"distribution": "uniform", "low": 0.0, "high": 20.0}, **cell)
    for post in ("exc", "inh"):
        net.project("exc", post, in_degree=n_e // 10, weight=jump, delay=delay, sign="excitatory")
        net.project("inh", post, in_degree=n_i // 10, weight=-5 * jump, delay=delay, sign="inhibitory")
        net.noise(post, rate=1.5 * 1e3 / jump, weight=jump)
    return net, net.run(1000.0, record={"exc": ["spikes", "v"], "inh": ["spikes"]})


def test_brunels_network_is_asynchronous_and_irregular(brunel):
    """The rate of its mean-field theory, with its fluctuations (eq. 21), to 15 %; CVs near 1; far from synchrony,
    with which all 800 ms of spikes would be in some bins."""
    _, found = brunel
    rate = 0.5 * (found.rates("exc").mean() + found.rates("inh").mean())
    assert abs(rate / _mean_field(160, 40, 0.5, 5.0, 3000.0) - 1) < 0.15
    assert 0.75 < np.nanmean(found.cv("exc")) < 1.15
    times, _ = found.spikes("exc")
    counts, _ = np.histogram(times[times > 200], np.arange(200, 1001, 2.0))
    assert counts.std() / counts.mean() < 0.8


def _mean_field(c_e, c_i, jump, g, external):
    """The stationary rate, Hz, of Brunel 2000, eqs. 4, 5, 21: both populations alike."""
    from scipy.integrate import quad
    from scipy.optimize import brentq
    from scipy.special import erfcx

    tau, v_th, v_r, t_ref = 20.0, 20.0, 10.0, 2.0

    def response(rate):
        r, ext = 1e-3 * rate, 1e-3 * external
        mean = tau * jump * (ext + c_e * r - g * c_i * r)
        std = np.sqrt(tau * jump**2 * (ext + c_e * r + g**2 * c_i * r))
        integral, _ = quad(lambda u: erfcx(-u), (v_r - mean) / std, (v_th - mean) / std)
        return 1e3 / (t_ref + tau * np.sqrt(np.pi) * integral) - rate

    return brentq(response, 0.1, 400)


def test_figures_show_the_spikes_and_the_membranes(brunel):
    _, found = brunel
    for kind, panels in (("raster", 2), ("v", 1)):
        figure, file = found.plot(kind), io.BytesIO()
        figure.savefig(file, format="png", dpi=60)
        assert len(figure.axes) == panels
        assert file.getvalue()[:4] == b"\x89PNG"
    dots = found.plot("raster").axes[0].lines
    shown = np.unique(np.linspace(0, 1599, 200).astype(int))
    times, who = found.spikes("exc")
    assert sorted(dots[0].get_xdata()) == sorted(times[np.isin(who, shown)])


def test_neo_has_all_of_it(brunel):
    pytest.importorskip("neo")
    _, found = brunel
    (segment,) = found.neo().segments
    trains = [t for t in segment.spiketrains if t.annotations["population"] == "inh"]
    times, who = found.spikes("inh")
    assert [t.annotations["neuron"] for t in trains] == [*range(400)]
    for i in (0, 17, 399):
        assert (trains[i].magnitude == times[who == i]).all()
    (signal,) = segment.analogsignals
    assert (signal.magnitude == found.v("exc")[1]).all()
    np.testing.assert_allclose(signal.times.rescale("ms").magnitude, found.v("exc")[0])


@pytest.mark.parametrize("duration", [0.2, 0.5, 0.7])
def test_neo_has_the_interval_whatever_number_of_samples_there_is(duration):
    pytest.importorskip("neo")
    net = localdfa.Circuit()
    net.population("exc", 2)
    net.run(0.1)
    (signal,) = net.run(duration, record={"exc": ["v"]}, interval=0.3).neo().segments[0].analogsignals
    assert len(signal) == {0.2: 0, 0.5: 1, 0.7: 2}[duration]
    assert signal.sampling_period.rescale("ms").magnitude == pytest.approx(0.3)


def test_a_circuit_that_has_run_stays_as_it_is(brunel):
    net, _ = brunel
    with pytest.raises(LocalDFAError, match="a population cannot be added to a circuit that has run"):
        net.population("late", 3)


def test_figures_of_populations_with_long_names_are_written(tmp_path):
    name = "fast_spiking_interneurons_of_layer_four"
    v = {name: np.zeros((2, 3)), f"{name}_b": np.zeros((2, 3))}
    spikes = {each: (np.array([1.0]), np.array([0])) for each in v}
    found = Result(0.0, 2.0, dict.fromkeys(v, 3), spikes, np.array([0.0, 1.0]), v, 1.0)
    for kind in ("v", "raster"):
        found.plot(kind).savefig(tmp_path / f"{kind}.png")
        assert (tmp_path / f"{kind}.png").stat().st_size > 10_000
