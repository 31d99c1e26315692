"""Scripts for Brian2 and NEST: they run on their own, and spike as localdfa does, Brian2's later by the steps it goes in."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import localdfa
from localdfa import cli, interchange
from localdfa.circuit import running
from localdfa.errors import SpecError

STOP, DT = 60.0, 0.01


def linear():
    """Currents, jumps, adaptation and noise without events; weights are so small that no step decides on a spike."""
    net, rng = localdfa.Circuit(seed=6, precision="float64"), np.random.default_rng(2)
    net.population("l", 6, tau_m=10.0, v_rest=-60.0, v_reset=-65.0, v_th=-50.0, t_ref=2.0)
    net.population("a", 4, "alif", tau_m=12.0, tau_a=30.0, step=0.3, v_th=1.0, t_ref=1.5, start=0.5)
    net.current("l", rng.uniform(14, 25, 6))
    net.current("a", [1.6, 1.9, 2.4, 3.0])
    net.trains("given", 2, [5.0, 11.0, 23.0, 40.0], [0, 1, 0, 1])
    net.project("given", "l", weight=0.4, delay=1.0)
    net.project("l", "a", probability=0.6, weight=0.02, delay=1.2, tau_syn=4.0)
    net.project("a", "l", weight=-0.1, delay={"distribution": "uniform", "low": 0.5, "high": 2.0})
    net.noise("l", 0.0, 1.0)
    net.noise("a", [0.0, 0.0, 0.0, 0.0], 1.0, 4.0)
    return net


def quadratic():
    net = localdfa.Circuit(precision="float64")
    net.population("q", 3, "qif", tau_m=4.0, t_ref=1.0, start=[-1.0, 0.0, 1.0])
    net.current("q", [0.6, 1.0, 1.7])
    net.trains("given", 2, [5.0, 11.0, 23.0, 40.0], [0, 1, 0, 1])
    net.project("given", "q", weight=0.2, delay=1.0)
    net.project("q", "q", weight=-0.02, delay=1.5)
    return net


@pytest.mark.parametrize("whole", [True, False])
def test_synapses_are_read_back_as_they_were_given(whole, monkeypatch):
    if not whole:
        for name in ("_NEURONS", "_SYNAPSES", "_OF_DELAY"):
            monkeypatch.setattr("localdfa.circuit.build." + name, 1 if name == "_NEURONS" else 1e-3)
    rng, net = np.random.default_rng(1), localdfa.Circuit(precision="float64")
    weights, delays = rng.normal(size=(5, 7)), rng.choice([0.4, 1.1], (5, 7))
    net.population("a", 5)
    net.population("b", 7)
    net.project("a", "b", weight=weights, delay=delays, tau_syn=4.0)
    net.project("b", "a", weight=weights.T, delay=0.7)
    for pre, post, tau, i, j, weight, delay in running.Simulation(net).synapses():
        found, late = np.zeros((7, 7)), np.zeros((7, 7))
        found[i, j], late[i, j] = weight, delay
        if (pre, post, tau) == ("a", "b", 4.0):
            assert (found[:5] == weights).all()
            assert (late[:5] == delays).all()
        else:
            assert (pre, post, tau) == ("b", "a", 0.0)
            assert (found[:, :5] == weights.T).all()
            assert (late[:, :5] == 0.7).all()


def script_of(net, target, tmp_path, *options):
    """What the script for a simulator leaves."""
    Path("mine.toml").write_text(net.to_toml())
    done = CliRunner().invoke(cli.main, ["export", "mine.toml", "--to", target])
    assert done.exit_code == 0, done.output
    command = [sys.executable, f"mine_{target}.py", "--duration", str(STOP), *options]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})
    return np.load("spikes.npz", allow_pickle=False)


@pytest.mark.slow
@pytest.mark.parametrize("circuit", [linear, quadratic])
def test_the_script_spikes_as_the_circuit(tmp_path, monkeypatch, circuit):
    """To three steps for each spike of the neuron so far: each of its periods ends late by up to one."""
    pytest.importorskip("brian2")
    monkeypatch.chdir(tmp_path)
    net = circuit()
    with script_of(net, "brian2", tmp_path, "--dt", str(DT), "--target", "numpy") as theirs:
        ours, spikes = net.run(STOP), 0
        for name, p in net.populations.items():
            times, who = ours.spikes(name)
            for i in range(p.size):
                own, other = times[who == i], theirs[f"{name}_times"][theirs[f"{name}_neurons"] == i]
                assert abs(len(own) - len(other)) <= 1
                n = min(len(own), len(other))
                np.testing.assert_array_less(np.abs(own[:n] - other[:n]), (np.arange(n) + 2) * 3 * DT)
                spikes += n
    assert spikes > 15


@pytest.mark.parametrize(("times", "step"), [([1.0, 2.0], "0.1"), ([1.01, 1.04], "0.01"), ([1.001, 1.0032], "0.001")])
def test_a_step_of_the_script_is_so_short_that_a_source_sends_once_in_it(times, step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = localdfa.Circuit(seed=1)
    net.population("a", 2)
    net.trains("s", 2, [*times, 1.02], [0, 0, 1])
    net.project("s", "a", weight=0.5)
    path, _ = interchange.export(net, "brian2", "mine.py")
    assert f'"--dt", type=float, default={step},' in path.read_text(encoding="utf-8")


def test_a_source_that_sends_twice_at_once_is_no_script_for_brian2(tmp_path):
    net = localdfa.Circuit(seed=1)
    net.trains("s", 2, [1.0, 1.0], [0, 0])
    with pytest.raises(SpecError, match="source 's': a neuron sends twice within 0 ms"):
        interchange.export(net, "brian2", tmp_path / "mine.py")
    assert not [*tmp_path.iterdir()]


def precise():
    """Jumps into one population; currents of two time constants, one for each sign, into another; no noise that has events."""
    net, rng = localdfa.Circuit(seed=6, precision="float64"), np.random.default_rng(2)
    net.population("l", 6, tau_m=10.0, v_rest=-60.0, v_reset=-65.0, v_th=-50.0, t_ref=2.0)
    net.population("e", 4, tau_m=[12.0, 11.0, 14.0, 9.0], v_th=1.0, t_ref=1.5, start=0.5)
    net.current("l", rng.uniform(14, 25, 6))
    net.current("e", [1.6, 1.9, 2.4, 3.0])
    net.trains("given", 2, [5.037, 11.0, 23.01, 40.0], [0, 1, 0, 1])
    net.project("given", "l", weight=0.4, delay=1.0)
    net.project("l", "e", probability=0.6, weight=0.2, delay=1.2, tau_syn=4.0)
    net.project("given", "e", weight=-0.9, delay={"distribution": "uniform", "low": 0.5, "high": 2.0}, tau_syn=6.0)
    net.project("e", "l", weight=-0.1, delay={"distribution": "uniform", "low": 0.5, "high": 2.0})
    net.noise("l", 0.0, 1.0)
    net.noise("e", [0.0, 0.0, 0.0, 0.0], 1.0, 4.0)
    return net


@pytest.mark.slow
def test_the_script_for_nest_spikes_as_the_circuit(tmp_path, monkeypatch):
    """NEST's precise models find spikes between the steps of its grid: the step is 0.1 ms, spikes differ by far less."""
    pytest.importorskip("nest")
    monkeypatch.chdir(tmp_path)
    net = precise()
    with script_of(net, "nest", tmp_path) as theirs:
        ours, spikes = net.run(STOP), 0
        for name, p in net.populations.items():
            times, who = ours.spikes(name)
            for i in range(p.size):
                own = times[who == i]
                np.testing.assert_allclose(theirs[f"{name}_times"][theirs[f"{name}_neurons"] == i], own, rtol=0, atol=1e-3)
                spikes += len(own)
    assert spikes > 40


@pytest.mark.slow
def test_noise_of_the_script_for_nest_has_the_same_rates(tmp_path, monkeypatch):
    pytest.importorskip("nest")
    monkeypatch.chdir(tmp_path)
    net = localdfa.Circuit(seed=3)
    net.population("n", 300, tau_m=10.0, v_th=10.0, t_ref=2.0)
    net.noise("n", 3000.0, 0.4)
    net.poisson("source", 20, np.full(20, 400.0))
    net.project("source", "n", probability=0.5, weight=0.3, delay=1.0)
    with script_of(net, "nest", tmp_path, "--duration", "300") as theirs:
        ours = net.run(300.0)
        for name in ("n", "source"):
            assert len(theirs[f"{name}_times"]) == pytest.approx(len(ours.spikes(name)[0]), rel=0.06)


def with_model(net):
    net.population("other", 2, "qif")


def with_two_constants(net):
    net.project("given", "l", weight=0.1, tau_syn=3.0)
    net.project("given", "l", weight=0.1, tau_syn=4.0)


def with_jumps_and_currents(net):
    net.project("given", "l", weight=0.1)
    net.noise("l", 100.0, -0.1, tau_syn=3.0)


def with_delay(net):
    net.project("given", "l", weight=0.1, delay=1.23456)


def with_spike_at_zero(net):
    net.trains("first", 1, [0.0], [0])


def with_pulse(net):
    net.current("l", 1.0, begin=5.0)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (with_pulse, "current of 'l': changes at 5 ms; allowed in a script: constant ones"),
        (with_model, "population 'other': .*'qif'.*; allowed: lif"),
        (
            with_two_constants,
            "population 'l': gets weights above 0 with tau_syn 3 and 4 and below 0 with none ms; .*allow: 0 for",
        ),
        (with_jumps_and_currents, "population 'l': gets weights above 0 with tau_syn 0 and below 0 with 3 ms"),
        (with_delay, "delay from 'given' to 'l': 1.23456 ms; NEST allows multiples of 0.001 ms"),
        (with_spike_at_zero, "source 'first': sends at 0 ms"),
    ],
)
def test_what_nest_cannot_express_is_refused_by_name(tmp_path, monkeypatch, more, named):
    monkeypatch.chdir(tmp_path)
    net = localdfa.Circuit()
    net.population("l", 3)
    net.trains("given", 2, [1.0, 2.0], [0, 1])
    more(net)
    Path("mine.toml").write_text(net.to_toml())
    done = CliRunner().invoke(cli.main, ["export", "mine.toml", "--to", "nest"])
    assert done.exit_code != 0
    assert re.search(named, " ".join(done.output.split())), done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml"]
