"""The script for Brian2: it runs on its own, and its spikes are those of localdfa, later by the steps that it goes in."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import localdfa
from localdfa import cli
from localdfa.circuit import running

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


@pytest.mark.slow
@pytest.mark.parametrize("circuit", [linear, quadratic])
def test_the_script_spikes_as_the_circuit(tmp_path, monkeypatch, circuit):
    """To three steps for each spike of the neuron so far: each of its periods ends late by up to one."""
    pytest.importorskip("brian2")
    monkeypatch.chdir(tmp_path)
    net = circuit()
    Path("mine.toml").write_text(net.to_toml())
    done = CliRunner().invoke(cli.main, ["export", "mine.toml", "--to", "brian2"])
    assert done.exit_code == 0, done.output
    options = ["--duration", str(STOP), "--dt", str(DT), "--target", "numpy"]
    subprocess.run([sys.executable, "mine.py", *options], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})
    ours, spikes = net.run(STOP), 0
    with np.load("spikes.npz", allow_pickle=False) as theirs:
        for name, p in net.populations.items():
            times, who = ours.spikes(name)
            for i in range(p.size):
                own, other = times[who == i], theirs[f"{name}_times"][theirs[f"{name}_neurons"] == i]
                assert abs(len(own) - len(other)) <= 1
                n = min(len(own), len(other))
                np.testing.assert_array_less(np.abs(own[:n] - other[:n]), (np.arange(n) + 2) * 3 * DT)
                spikes += n
    assert spikes > 15
