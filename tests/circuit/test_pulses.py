"""Currents that begin and end: spikes as of a linear system whose drive changes then, however the simulation is cut."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import localdfa
from localdfa.circuit import running
from localdfa.crosscheck import exact
from localdfa.errors import SpecError
from localdfa.interchange import brian2, nest

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


def assert_parts_are_the_whole(described, durations, whole, folder):
    """To the bit: of a circuit from TOML that is run in parts, and from a file after each."""
    (folder / "mine.toml").write_text(described.to_toml())
    net, parts = localdfa.Circuit.from_toml(folder / "mine.toml"), []
    for duration in durations:
        parts.append(net.run(duration, threads=2))
        net.save(folder / "mine.npz")
        net = localdfa.Circuit.load(folder / "mine.npz")
    parts.append(net.run(STOP - net.time))
    for name in ("one", "other"):
        for column in (0, 1):
            assert np.concatenate([part.spikes(name)[column] for part in parts]).tolist() == whole.spikes(name)[column].tolist()


def test_a_circuit_with_pulses_goes_on_to_the_same_bits(tmp_path):
    assert_parts_are_the_whole(circuit(), (10.05, 0.3, 10.95, 20.0), circuit().run(STOP), tmp_path)


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


def wave(how):
    """Pulses of 0.1 ms, and others, as one call each, or as waveforms."""
    net, values = circuit(), np.random.default_rng(5).uniform(-3.0, 9.0, (400, 3))
    if how == "pulses":
        for k, row in enumerate(values):
            net.current("one", row, round(3.0 + 0.1 * k, 3), round(3.1 + 0.1 * k, 3))
        for k in range(200):
            net.current("other", 0.01 * k, round(0.25 * k, 3), round(0.25 * (k + 1), 3))
    else:
        net.current("one", values, begin=3.0, step=0.1)
        net.current("other", 0.01 * np.arange(200), step=0.25)
    net.current("one", -2.0, 41.05)
    return net


def test_a_waveform_is_a_pulse_for_each_of_its_values(tmp_path):
    """To the bit, from TOML, in parts and from a file as well."""
    expected = wave("pulses").run(STOP)
    assert all(expected.count(name) > 0 for name in ("one", "other"))
    assert_parts_are_the_whole(wave("waveforms"), (3.0, 7.05, 0.03, 32.97), expected, tmp_path)


def test_a_change_adds_the_currents_that_are_on_alone(monkeypatch):
    """What a change costs does not grow with the number of pulses."""
    net, asked = localdfa.Circuit(), []
    net.population("one", 1, tau_m=10.0, v_th=10.0)
    for k in range(50):
        net.current("one", 1.0 + k, float(k), float(k + 1))
    at = running._Pulse.at
    monkeypatch.setattr(running._Pulse, "at", lambda pulse, window: asked.append(pulse.value) or at(pulse, window))
    net.run(50.0)
    assert asked == [1.0 + k for k in range(50)]


@pytest.mark.parametrize(
    ("value", "given", "named"),
    [
        (np.ones(10), {}, r"current of 'one': an array of shape \(10,\); allowed: .*; with step, .* \(T,\) or \(T, 3\)"),
        (np.ones((10, 3)), {}, r"current of 'one': an array of shape \(10, 3\); allowed: .*; with step, .* \(T,\) or \(T, 3\)"),
        (np.ones((3, 10)), {"step": 0.1}, r"current of 'one': an array of shape \(3, 10\); allowed: .*\(3,\) or .*\(3, 3\)"),
        (1.0, {"step": 0.1}, r"current of 'one': 1.0; allowed with step: an array over time, \(T,\) or \(T, 3\)"),
        ([], {"step": 0.1}, r"current of 'one': an array of shape \(0,\); allowed with step: an array over time"),
        ([1.0, np.nan], {"step": 0.1}, r"current of 'one': nan among its entries; allowed: numbers from"),
        ([1.0, 2.0], {"step": 0.0}, r"current of 'one'.step: 0.0; allowed: numbers from 0.001"),
        ([1.0, 2.0], {"step": 0.00015}, r"current of 'one'.step: 0.00015; allowed: multiples of 0.001"),
        ([1.0, 2.0], {"step": 0.1, "end": 5.0}, r"current of 'one'.end: 5.0; with step, the number of values says it"),
        ([1.0, 2.0], {"step": 9e6}, r"current of 'one': 2 steps of 9e\+06 ms end at 1.8e\+07 ms; allowed: up to 1e\+07"),
    ],
)
def test_waveforms_that_cannot_be_are_refused_by_name(value, given, named):
    with pytest.raises(SpecError, match=named):
        circuit().current("one", value, **given)


def test_what_has_no_waveforms_refuses_them_by_name(tmp_path):
    net = localdfa.Circuit()
    net.population("one", 3)
    net.current("one", np.sin(np.arange(20)), step=0.5)
    net.poisson("input", 3, 20.0)
    net.project("input", "one", weight=1.0, plastic=True)
    for refuse in (
        lambda: brian2.of_circuit(net, tmp_path / "mine.py"),
        lambda: nest.of_circuit(net, tmp_path / "mine.py"),
        lambda: net.learner("input", "one", {"one": 0.1}),
    ):
        with pytest.raises(SpecError, match=r"current of 'one': changes at 0.5 ms; allowed"):
            refuse()
