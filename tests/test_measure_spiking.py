"""What is measured of spiking neurons: against exact DFA of their own rates and their own error, and how large the nudge is."""

import numpy as np
import pytest
from conftest import setting_of

from localdfa import measure, spec
from localdfa.core.spiking import batch as spikes
from localdfa.errors import SpecError
from localdfa.network import WATCHED, build, generator

M, N_IN, N_OUT = 12, 6, 3


def case(nudging="centered", **tables):
    setting = setting_of(
        precision="float64", network={"hidden": [7, 5], "neuron": "lif", "weights": "uniform"},
        trace={"tau_x": 10.0, "tau_z": 10.0}, input={"code": "poisson", "rate": 200.0},
        phases={"free": 200.0, "nudged": 50.0, "beta": 0.5, "propagation": "two_compartment", "nudging": nudging},
    )  # fmt: skip
    network, rng = build(setting, N_IN, N_OUT, 0), np.random.default_rng(0)
    network.weights[1][...] *= 3
    inputs = np.ones((M, N_IN + 1))
    inputs[:, :-1] = rng.random((M, N_IN))
    return setting, network, inputs, np.eye(N_OUT)[np.arange(M) % N_OUT]


def by_hand(setting, network, inputs, target):
    """Rates counted from the spikes of single trials, and exact DFA of them: updates, drives and B e of the hidden layers."""
    p, free = network.neuron, setting.phases.free
    trial = spikes.simulate(network, setting.under("local"), inputs, target, generator(0, WATCHED))
    # Of the same draw of input spikes, sample by sample in detail.
    times, senders, begins = trial.incoming
    h = [np.zeros((M, n)) for n in network.sizes[:-1]]
    for s in range(M):
        for i in senders[begins[s] : begins[s + 1]][times[begins[s] : begins[s + 1]] < free]:
            h[0][s, i] += 1000 / setting.input.rate / free
    for l in (1, 2):
        h[l] = p.gain * trial.counts[l - 1] / free
    error = trial.prediction - target
    drives = [h[l] @ network.W(l).T + network.b(l) for l in range(2)]
    signals = [error @ network.feedback[l].T for l in range(2)]
    slope = np.vectorize(lambda a: type(p).df(p, a))
    deltas = [-c * slope(a) for c, a in zip(signals, drives, strict=True)]
    updates = [np.concatenate([x, np.ones((M, 1))], axis=1).T @ d for x, d in zip(h, deltas, strict=False)]
    return trial, updates, drives, signals


def test_the_angle_to_exact_dfa_is_that_of_the_network_s_own_rates_and_error():
    setting, network, inputs, target = case()
    found = measure.probe(network, setting, "local", 0, inputs, target)
    trial, updates, _, _ = by_hand(setting, network, inputs, target)
    for l, expected in enumerate(updates):
        own = trial.totals()[l]
        cosine = np.vdot(own, expected) / np.linalg.norm(own) / np.linalg.norm(expected)
        assert found["cosine_to_dfa"][l] == pytest.approx(cosine, abs=1e-9)


@pytest.mark.parametrize("nudging", ["centered", "one_sided"])
def test_the_nudge_is_measured_beside_the_distance_from_threshold(nudging):
    setting, network, inputs, target = case(nudging)
    found = measure.probe(network, setting, "local", 0, inputs, target)
    _, _, drives, signals = by_hand(setting, network, inputs, target)
    p, beta = network.neuron, setting.phases.beta
    for l in range(2):
        above = drives[l] + p.baseline - p.v_th
        ratio = beta * np.sqrt((signals[l] ** 2).mean() / (above**2).mean())
        assert found["nudge"][l] == pytest.approx(ratio, rel=1e-9)
        crossed = 0
        for a, c in zip(above.ravel(), signals[l].ravel(), strict=True):
            other = a + beta * c if nudging == "centered" else a
            crossed += (a - beta * c > 0) != (other > 0)
        assert found["crossed"][l] == pytest.approx(crossed / above.size)


def test_repeats_average_the_noise_away_and_leave_the_bias():
    """An update that is mostly noise in single trials comes to that of rate neurons in the mean of many."""
    setting, network, inputs, target = case()
    once = measure.probe(network, setting, "local", 0, inputs, target)
    found = measure.probe(network, setting, "local", 0, inputs, target, repeats=40)
    assert {key: value for key, value in found.items() if not key.startswith("mean_")} == once
    for l in range(2):
        assert once["cosine_to_settled"][l] < 0.7
        assert found["mean_cosine_to_settled"][l] > 0.8
    again = measure.probe(network, setting, "local", 0, inputs, target, repeats=40)
    assert again == found


def test_repeats_without_noise_are_refused():
    with pytest.raises(SpecError, match=r"record\.repeats: 8 trials of a sample are one like the other"):
        spec.experiment(network={"neuron": "lif"}, record={"repeats": 8})
    spec.experiment(network={"neuron": "lif", "start": "uniform"}, record={"repeats": 8})
