"""Ranges of neurons and the threads that share them: exact, however populations are cut, and the same bits for any number."""

import pytest
from test_any_circuit import compare, network

import localdfa
from localdfa.circuit import build, running
from localdfa.crosscheck import circuits


@pytest.fixture
def _small_ranges(monkeypatch):
    """Populations are cut however few neurons they have, and queues have room for few windows."""
    for name, value in {"_NEURONS": 3, "_SYNAPSES": 1e-3, "_OF_DELAY": 1e-3}.items():
        monkeypatch.setattr(build, name, value)
    monkeypatch.setattr(running, "_SPIKES", 1)


def bits(net, threads, parts=(60.0, 40.0)):
    record = {name: ["spikes", "v"] if p.model else ["spikes"] for name, p in net.populations.items()}
    found = []
    for part in parts:
        result = net.run(part, record=record, interval=0.9, threads=threads)
        for name in net.populations:
            found += [array.tobytes() for array in result.spikes(name)]
            found += [result.v(name)[1].tobytes()] if net.populations[name].model else []
    return found, sum(len(result.spikes(name)[0]) for name in net.populations)


@pytest.mark.usefixtures("_small_ranges")
@pytest.mark.parametrize("short", [False, True])
def test_any_number_of_threads_gives_the_same_bits(short):
    expected, spikes = bits(network(short), 1)
    assert spikes > 60
    assert len(network(short).populations) < len(running.Simulation(network(short))._cut)
    for threads in (2, 3, 5):
        assert bits(network(short), threads)[0] == expected
    assert bits(network(short), 2, (10.0, 33.3, 16.7, 40.0))[1] > 0


@pytest.mark.usefixtures("_small_ranges")
@pytest.mark.parametrize("seed", range(1, 4))
def test_in_ranges_as_the_reference(seed, monkeypatch):
    monkeypatch.setattr(build, "_NEURONS", 1)
    case = circuits.Case(circuits.KINDS["currents, noise, adaptation"]._replace(joined=1.0, noisy=(0, 2), pulses=False), seed)
    assert compare(case) > 40
    assert len(case.net.simulation._cut) > len(case.names)


def test_a_larger_circuit_has_ranges_of_its_own_and_the_same_bits():
    def run(threads):
        net = localdfa.Circuit(seed=3)
        net.population("e", 3000, tau_m=20.0, v_th=20.0, start={"distribution": "uniform", "low": 0.0, "high": 20.0})
        net.population("i", 700, tau_m=20.0, v_th=20.0)
        for post in ("e", "i"):
            net.project("e", post, in_degree=400, weight=0.1, delay=1.5)
            net.project("i", post, probability=0.2, weight=-0.4, delay={"distribution": "normal", "mean": 1.0, "std": 0.1})
            net.noise(post, 15000.0, 0.1)
        result = net.run(60.0, threads=threads)
        assert len(net.simulation._cut) > 2
        return result

    one, two = run(1), run(2)
    for name in ("e", "i"):
        assert one.spikes(name)[0].tobytes() == two.spikes(name)[0].tobytes()
        assert (one.spikes(name)[1] == two.spikes(name)[1]).all()
    assert len(one.spikes("e")[0]) > 1000
