"""One weight that many synapses share: the same bits as a weight for each, until something learns."""

import numpy as np
import pytest

import localdfa
from localdfa import memory
from localdfa.circuit import build
from localdfa.errors import SpecError


def network(shared, model="lif", tau_syn=0.0, delay=1.0, **parameters):
    """Excitation and inhibition, joined by lists of pairs, with a weight for all of them or an equal one for each."""
    rng, net = np.random.default_rng(5), localdfa.Circuit(seed=2)
    net.poisson("source", 20, 300.0)
    net.population("exc", 30, model, **{"tau_m": 9.0, "v_th": 10.0} | parameters)
    net.population("inh", 12, model, tau_m=6.0, v_th=10.0)
    net.population("out", 2, model, tau_m=8.0, v_th=10.0)
    for pre, post, weight in (
        ("source", "exc", 3.0), ("exc", "inh", 1.5), ("inh", "exc", -2.0), ("exc", "exc", 0.5), ("exc", "out", 1.0),
    ):  # fmt: skip
        here, there = (net.populations[name].size for name in (pre, post))
        which = np.flatnonzero(rng.random(here * there) < 0.3)
        pairs = which // there, which % there
        tau = tau_syn if pre != "source" else 0.0
        net.project(
            pre, post, pairs=pairs, weight=weight if shared else np.full(which.size, weight), delay=delay, tau_syn=tau,
            plastic=pre == "source", sign="excitatory" if pre == "source" else None,
        )  # fmt: skip
    net.current("exc", 11.0)
    net.current("out", 11.0)
    return net


def spikes(net, *durations, threads=1):
    found = []
    for duration in durations:
        result = net.run(duration, {name: ["spikes", "v"] for name in ("exc", "inh")}, threads=threads)
        found += [array.tobytes() for name in ("exc", "inh") for array in (*result.spikes(name), result.v(name)[1])]
    assert len(result.spikes("exc")[0]) > 20
    return found


@pytest.mark.parametrize(
    "case",
    [
        {}, {"tau_syn": 3.0}, {"model": "qif"}, {"delay": 0.1}, {"delay": 0.1, "tau_syn": 3.0},
        {"tau_m": 9.0 + np.arange(30) / 10, "tau_syn": 3.0}, {"delay": {"distribution": "normal", "mean": 2.0, "std": 1.0}},
    ],
    ids=["jumps", "currents", "not linear", "spans", "currents in spans", "time constants by neuron", "delays"],
)  # fmt: skip
def test_a_weight_that_is_shared_gives_the_bits_of_a_weight_for_each(case):
    one, each = network(True, **case), network(False, **case)
    assert spikes(one, 100.0, 50.0) == spikes(each, 100.0, 50.0)
    assert one.simulation.checksum() == each.simulation.checksum()
    assert one.simulation.jumps.size < each.simulation.jumps.size
    for pre, post in (("exc", "inh"), ("inh", "exc")):
        for mine, others in zip(one.synapses(pre, post), each.synapses(pre, post), strict=True):
            np.testing.assert_array_equal(mine, others)


def test_what_learns_has_weights_of_its_own(tmp_path):
    """Also where it has run before; and what has learned is saved and goes on to the same bits."""

    def learned(shared, first):
        net = network(shared)
        if first:
            net.run(20.0)
        learner = net.learner(
            "source", "out", {"exc": np.random.default_rng(0).normal(0, 0.02, (30, 2))},
            optimiser={"name": "sgd", "learning_rate": 1e-3}, free=100.0, tau_x=3.0, tau_z=3.0,
        )  # fmt: skip
        learner.epoch(np.random.default_rng(1).uniform(0, 1, (4, 20)), np.tile([50.0, 20.0], (4, 1)), batch_size=2)
        return net

    nets = [learned(*case) for case in ((True, False), (True, True), (False, False), (False, True))]
    weights = [net.synapses("source", "exc").weight for net in nets]
    assert len(np.unique(weights[0])) > 100
    for other in weights[1:]:
        np.testing.assert_array_equal(weights[0], other)
    nets[1].save(tmp_path / "circuit.npz")
    loaded = localdfa.Circuit.load(tmp_path / "circuit.npz")
    assert spikes(loaded, 100.0) == spikes(nets[1], 100.0) == spikes(nets[3], 100.0)


def test_a_learner_that_has_not_learned_changes_nothing(tmp_path):
    net, plain = network(True), network(True)
    net.run(20.0)
    plain.run(20.0)
    net.learner("source", "out", {"exc": np.full((30, 2), 0.01)}, optimiser={"name": "sgd", "learning_rate": 1e-3})
    net.save(tmp_path / "circuit.npz")
    loaded = localdfa.Circuit.load(tmp_path / "circuit.npz")
    assert spikes(loaded, 100.0) == spikes(net, 100.0) == spikes(plain, 100.0)


def test_weights_that_may_change_are_refused_where_they_do_not_fit(monkeypatch):
    net = network(True)
    net.run(1.0)
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(SpecError, match=r"a weight for each synapse, .* needs about .* synapses"):
        net.simulation.let_weights_change()


def test_memory_is_reckoned_without_weights_that_are_shared(monkeypatch):
    def reckoned(weight):
        net = localdfa.Circuit()
        net.population("a", 2000)
        net.project("a", "a", probability=0.5, weight=weight)
        parts = []
        monkeypatch.setattr(memory, "require_needs", lambda given, named: parts.extend(given))
        build.require_memory(net, build.ranges_of(net), 1)
        return sum(part.size for part in parts)

    drawn = reckoned({"distribution": "uniform", "low": 0.0, "high": 1.0})
    assert drawn - reckoned(0.5) > 4 * 0.5 * 2000**2
