"""Circuits against an exact reference, spike by spike; and cutting a simulation, or looking at it, changes none of its bits."""

from types import SimpleNamespace

import numpy as np
import pytest

import localdfa
from localdfa.circuit import running
from localdfa.crosscheck import circuits


def compare(case):
    """How many spikes a random circuit has, each of them where the reference has it."""
    result = case.net.run(circuits.STOP)
    assert all((np.diff(result.spikes(name)[0]) >= 0).all() for name in case.names)
    found = circuits.compare(circuits.trains_of(case, result), case.expected())
    assert found["missed"] == found["extra"] == 0
    assert found["largest"] < circuits.DIFFERENCE
    return found["spikes"]


# Spikes of a circuit, at least, in the mean.
LEAST = {
    "currents, noise, adaptation": 40, "jumps and noise": 40, "parameters of each neuron": 25,
    "parameters of each neuron, jumps": 15, "short delays, currents": 40, "short delays, jumps": 40, "on a clock": 40,
}  # fmt: skip


@pytest.mark.parametrize("kind", circuits.KINDS)
def test_every_spike_of_a_random_circuit_is_that_of_the_reference(kind):
    assert sum(compare(circuits.Case(circuits.KINDS[kind], seed)) for seed in range(6)) > 6 * LEAST[kind]


def test_drawn_parameters_have_their_distribution_and_the_seed_says_which():
    n = 4000

    def drawn(seed):
        net = localdfa.Circuit(seed=seed)
        tau_m = {"distribution": "uniform", "low": 5.0, "high": 15.0}
        v_th = {"distribution": "normal", "mean": -50.0, "std": 2.0}
        net.population("e", n, tau_m=tau_m, v_th=v_th, v_reset=-65.0, v_rest=-40.0, t_ref=2.0)
        net.project("e", "e", "one_to_one", weight=0.0, tau_syn=10.0)  # in the middle of what may be drawn
        return running.Simulation(net)._neurons[0].parameters

    found = drawn(1)
    assert abs(found["tau_m"].mean() - 10) < 6 * 10 / np.sqrt(12 * n)
    assert abs(found["v_th"].mean() - 15) < 6 * 2 / np.sqrt(n)  # above the reset
    assert abs(found["v_th"].std() - 2) < 6 * 2 / np.sqrt(2 * n)
    assert (np.abs(found["tau_m"] - 10) > 1e-3 * found["tau_m"]).all()
    assert (found["tau_m"] == drawn(1)["tau_m"]).all()
    assert (found["tau_m"] != drawn(2)["tau_m"]).all()


def network(short=False):
    """A circuit with everything in it, in which much goes on; short: with delays so short that all but a population with noise
    is simulated in spans."""
    net = localdfa.Circuit(seed=11, precision="float64")
    net.population("e", 40, tau_m=20.0, v_th=15.0, start={"distribution": "uniform", "low": 0.0, "high": 15.0})
    net.population("i", 10, tau_m=12.0, v_th=15.0)
    net.population("a", 10, "alif", tau_m=20.0, v_th=15.0, tau_a=50.0, step=1.0)
    net.poisson("source", 20, 50.0)
    net.trains("once", 1, [3.0, 77.7], [0, 0])
    size = 0.1 if short else 1.0
    delay = {"distribution": "uniform", "low": 0.7 * size, "high": 2.0 * size}
    for post in ("e", "i", "a"):
        net.project("e", post, probability=0.2, weight=3.0, delay=delay, tau_syn=5.0)
        net.project("i", post, in_degree=4, weight=-4.0, delay=1.3 * size)
        net.project("source", post, out_degree=3, weight=2.0, delay=0.1)
        net.project("once", post, weight=5.0, delay=1.0, in_degree=1 if short else None)
        if short:
            net.current(post, 14.0)
        if not short or post == "a":
            net.noise(post, 1500.0, 0.5)
    return net


def in_spans(net):
    """The populations of a network that are simulated in spans."""
    simulation = running.Simulation(net)
    ranges = simulation._ranges.population[simulation._spans.chosen[len(net.populations) :]]
    return {list(net.populations)[k] for k in ranges}


def test_a_network_is_simulated_in_spans_where_delays_are_short():
    assert in_spans(network()) == set()
    assert in_spans(network(short=True)) == {"e", "i"}


def pieces(parts, short):
    net = network(short)
    results = [net.run(part) for part in parts]
    return {name: [np.concatenate(x) for x in zip(*(r.spikes(name) for r in results), strict=True)] for name in net.populations}


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("parts", [(100.0, 100.0), (33.3, 0.05, 0.3, 66.35, 100.0), (199.9, 0.1)])
def test_several_runs_give_the_bits_of_one(parts, short):
    whole, cut = pieces([200.0], short), pieces(parts, short)
    for name in whole:
        assert whole[name][0].tobytes() == cut[name][0].tobytes()
        assert (whole[name][1] == cut[name][1]).all()
        assert len(whole[name][0]) > 1


@pytest.mark.parametrize("short", [False, True])
def test_looking_changes_nothing_and_sees_v(short):
    record = {name: ["v", "spikes"] for name in ("e", "i", "a")}
    net, seen = network(short), network(short)
    plain, watched = net.run(50.0), seen.run(50.0, record=record, interval=0.37)
    for name in record:
        assert plain.spikes(name)[0].tobytes() == watched.spikes(name)[0].tobytes()
    moments, v = watched.v("e")
    np.testing.assert_allclose(moments, 0.37 * np.arange(len(moments)))
    assert v.shape == (136, 40)
    later = network(short)
    for end in (20.0, 30.0):  # the same v, wherever runs begin
        part = later.run(end - later.time, record=record, interval=0.37)
        inside = (moments >= part.begin) & (moments < part.end)
        assert (part.v("e")[1] == v[inside]).all()
    times, who = watched.spikes("e")
    for t, i in zip(times[:20], who[:20], strict=True):
        refractory = (moments > t) & (moments < t + 1.0)
        assert (v[refractory, i] == 0.0).all()
    assert (v < 15.0).all()


def test_spikes_of_a_regular_neuron_are_where_they_must_be():
    """Under a constant current: each t_ref + τ_m ln((I − v_reset)/(I − v_th)); measured from any rest."""
    p = SimpleNamespace(tau_m=12.0, v_th=-50.0, v_reset=-65.0, t_ref=3.0)
    net = localdfa.Circuit(precision="float64")
    net.population("one", 2, v_rest=-60.0, **vars(p))
    net.population("other", 1)
    net.noise("other", 10.0, 0.1)
    net.current("one", 5.0)
    net.current("one", [10.0, 0.0])
    times, who = net.run(200.0).spikes("one")
    drive = -60.0 + 15.0
    first = p.tau_m * np.log((drive - p.v_reset) / (drive - p.v_th))
    np.testing.assert_allclose(times, np.arange(first, 200.0, first + p.t_ref), rtol=1e-12)
    assert (who == 0).all()


@pytest.mark.parametrize("synapses", [False, True])
def test_neurons_that_nothing_reaches_read_no_synapses_that_are_not_there(synapses):
    """Without synapses, or with fewer than neurons, what lies behind their weights in memory may be anything."""
    n, drive = 83, np.linspace(10.5, 30, 83)
    for _ in range(15):
        net = localdfa.Circuit(precision="float64")
        net.population("alone", n, tau_m=20.0, v_th=10.0, t_ref=100.0, start=0.0)
        net.current("alone", drive)
        if synapses:
            net.population("other", 2)
            net.project("alone", "other", pairs=([0], [1]), weight=0.1)
        poison = [np.full(size, np.nan) for size in range(1, 200)]
        del poison
        times, who = net.run(100.0).spikes("alone")
        assert np.sort(who).tolist() == list(range(n))
        np.testing.assert_allclose(times[np.argsort(who)], 20.0 * np.log(drive / (drive - 10.0)), rtol=1e-9)
