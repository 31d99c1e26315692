"""Currents that begin and end: spikes as of a linear system whose drive changes then, however the simulation is cut."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import localdfa
from localdfa.crosscheck import exact
from localdfa.errors import SpecError

STOP = 60.0
PULSES = [(8.0, 0.0, 21.3), (-3.0, 10.05, 40.0), (np.array([6.0, 12.0, 30.0]), 21.3, None)]


def circuit():
    net = localdfa.Circuit(seed=2, precision="float64")
    net.population("one", 3, tau_m=10.0, v_th=10.0, v_reset=2.0, t_ref=1.5, start=0.5)
    net.population("other", 700, tau_m=20.0, v_th=1.0)
    net.current("one", 7.0)
    for value, begin, end in PULSES:
        net.current("one", value, begin, end)
    net.trains("given", 1, [7.0, 30.0], [0, 0])
    net.project("given", "one", weight=1.5, delay=0.7)
    net.project("one", "other", weight=0.02, delay=1.9, tau_syn=4.0)
    return net


def test_spikes_are_those_of_a_system_whose_drive_changes():
    times, who = circuit().run(STOP).spikes("one")
    edges = sorted({0.0, STOP, 7.7, 30.7, *(t for _, begin, end in PULSES for t in (begin, end) if t is not None)})
    for i in range(3):
        neuron = exact.Neuron(SimpleNamespace(tau_m=10.0, v_th=10.0, v_reset=2.0, t_ref=1.5), [], 0.5)
        for begin, end in itertools.pairwise(edges):
            on = [np.broadcast_to(value, 3)[i] for value, a, b in PULSES if a <= begin < (b or np.inf)]
            if begin in (7.7, 30.7):
                neuron.take(begin, [(-1, 1.5)])
            neuron.go(begin, end, 7.0 + sum(on))
        assert len(neuron.spikes) >= 3
        np.testing.assert_allclose(times[who == i], neuron.spikes, rtol=0, atol=1e-8)


def test_a_circuit_with_pulses_goes_on_to_the_same_bits(tmp_path):
    whole = circuit().run(STOP)
    (tmp_path / "mine.toml").write_text(circuit().to_toml())
    net, parts = localdfa.Circuit.from_toml(tmp_path / "mine.toml"), []
    for duration in (10.05, 0.3, 10.95, 20.0):
        parts.append(net.run(duration, threads=2))
        net.save(tmp_path / "mine.npz")
        net = localdfa.Circuit.load(tmp_path / "mine.npz")
    parts.append(net.run(STOP - net.time))
    for name in ("one", "other"):
        for column in (0, 1):
            assert np.concatenate([part.spikes(name)[column] for part in parts]).tolist() == whole.spikes(name)[column].tolist()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"begin": -1.0}, r"current of 'one'.begin: -1.0; allowed: numbers from 0"),
        ({"begin": 1.00005}, r"current of 'one'.begin: 1.00005; allowed: multiples of 0.001"),
        ({"begin": 5.0, "end": 5.0}, r"current of 'one'.end: 5.0; allowed: above begin, 5"),
    ],
)
def test_moments_that_cannot_be_are_refused_by_name(given, named):
    with pytest.raises(SpecError, match=named):
        circuit().current("one", 1.0, **given)
