"""Spiking circuits of any shape against a slow simulation by matrix exponentials; crossings; input codes; error carriers."""

import hashlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import naive_spikes as naive
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from spiking_cases import FREE, HIDDEN, N_IN, N_OUT, NUDGED, case, dense, obvious, samples, trains

from localdfa import inputs as input_codes
from localdfa import network as networks
from localdfa import registry, spec
from localdfa.core.spiking import batch as spikes
from localdfa.core.spiking.carried import restored
from localdfa.core.spiking.crossing import first_crossing
from localdfa.core.spiking.queues import Arrivals
from localdfa.core.spiking.resolving import PAIRS, Reached, look_up_arrivals
from localdfa.core.spiking.state import Synapses
from localdfa.core.spiking.tables import PORT
from localdfa.crosscheck import exact as slow
from localdfa.data.trains import Trains
from localdfa.errors import SpecError
from localdfa.network import generator

CIRCUITS = {
    "poisson": {},
    "exponential": {"network": {"tau_syn": 3.0}},
    "two currents": {
        "code": "current", "network": {"tau_syn": 3.0},
        "projections": [{"pre": 1, "post": 1, "connect": "sparse", "probability": 0.5, "delay": 2.0, "tau_syn": 5.0}],
    },
    "recurrent, delta": {
        "projections": [
            {"pre": 1, "post": 1, "connect": "sparse", "probability": 0.6, "delay": 1.5},
            {"pre": 2, "post": 1, "delay": 2.75, "scale": 0.7},
            {"pre": 0, "post": 2, "connect": "sparse", "probability": 0.5},
        ]
    },
    "sparse only": {
        "projections": [
            {"pre": 0, "post": 1, "connect": "sparse", "probability": 0.7},
            {"pre": 1, "post": 2, "connect": "sparse", "probability": 0.6, "delay": 0.5},
            {"pre": 2, "post": 2, "connect": "one_to_one", "weights": "constant", "scale": -0.2, "plastic": False},
        ]
    },
    "membranes that forget long before traces do": {
        "neuron_parameters": {"tau_m": 0.1, "baseline": 0.5},
        "projections": [
            {"pre": 0, "post": 1, "connect": "sparse", "probability": 0.7},
            {"pre": 1, "post": 2, "connect": "sparse", "probability": 0.6},
        ],
    },
    "adaptive": {"neuron": "alif", "neuron_parameters": {"tau_a": 25.0, "step": 0.3}},
    "adaptive, exponential, from anywhere": {
        "neuron": "alif", "neuron_parameters": {"tau_a": 5.0, "step": 0.2, "t_ref": 2.5},
        "network": {"tau_syn": 4.0, "start": "uniform"},
        "projections": [{"pre": 1, "post": 1, "connect": "sparse", "probability": 0.6, "tau_syn": 0.0}],
    },
    "two compartments": {
        "network": {"tau_syn": 3.0, "start": "uniform"}, "phases": {"propagation": "two_compartment"},
        "projections": [{"pre": 2, "post": 1, "connect": "sparse", "probability": 0.5, "delay": 1.0}],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_spike_and_every_weight_change_equals_the_slow_simulation(name):
    setting, network = case(**CIRCUITS[name])
    inputs, targets = samples(1)
    trial = spikes.record(network, setting, inputs[0], targets[0], np.random.default_rng(3))
    found = spikes.simulate(network, setting, inputs, targets, np.random.default_rng(3))
    somata, fed = obvious(setting, network, inputs[0], targets[0], trial)
    for l, n in enumerate(HIDDEN):
        assert sum(map(len, somata[l])) > 10
        for train, expected in zip(trains(trial.spikes[l], n), somata[l], strict=True):
            np.testing.assert_allclose(train, expected, rtol=0, atol=1e-8)
    p, trace, beta = network.neuron, setting.trace, setting.phases.beta
    unit = 1e3 / setting.input.rate if setting.input.code == "poisson" else 10.0
    t0, t1 = FREE, FREE + NUDGED
    for joint, total in zip(network.projections, found.totals(), strict=True):
        if joint.post > len(HIDDEN) or not joint.plastic:
            continue
        n_pre, n_post = network.sizes[joint.pre], network.sizes[joint.post]
        expected = np.zeros((n_pre + joint.biased, n_post))
        for i, post in enumerate(fed[joint.post - 1]):
            moved = p.gain / trace.tau_z / beta * (naive.trace(post, t1, trace.tau_z) - naive.trace(post, t0, trace.tau_z))
            if joint.biased:
                expected[-1, i] = moved
            for j in range(n_pre):
                if joint.pre == 0 and setting.input.code == "current":
                    expected[j, i] = moved * inputs[0, j]
                    continue
                pre = trains(trial.incoming, N_IN)[j] if joint.pre == 0 else somata[joint.pre - 1][j]
                gain = (unit if joint.pre == 0 else p.gain) * p.gain / (trace.tau_x * trace.tau_z) / beta
                arrivals = [s + joint.delay for s in pre]
                expected[j, i] += gain * naive.integral(arrivals, post, t0, t1, trace.tau_x, trace.tau_z)
        size = np.abs(expected).max()
        np.testing.assert_allclose(total, joint.by_synapse(expected), rtol=0, atol=1e-7 * size)


def test_a_large_population_is_worked_off_in_parts_without_a_seam():
    """1100 neurons, on each other and from inputs, with jumps and currents: some of them against the slow simulation."""
    n, chosen = 1100, [0, 31, 32, 511, 512, 1023, 1024, 1099]
    setting, network = case(
        hidden=(n,), network={"tau_syn": 3.0},
        projections=[{"pre": 1, "post": 1, "connect": "sparse", "probability": 0.02, "delay": 1.5, "tau_syn": 0.0}],
    )  # fmt: skip
    inputs, _ = samples(1)
    p, trial = network.neuron, spikes.record(network, setting, inputs[0], rng=np.random.default_rng(3))
    q = next(q for q, joint in enumerate(network.projections) if joint.pre == joint.post == 1)
    synapses = [
        ("in", 0, 1.25, 0, 1e3 / setting.input.rate / 3.0 * dense(network, 0)[:, chosen]),
        ("own", 0, 1.5, -1, p.gain / p.tau_m * dense(network, q)[:, chosen]),
    ]
    sent = {"in": trains(trial.incoming, N_IN), "own": trains(trial.spikes[0], n)}
    drives = p.baseline + network.b(0)[chosen]
    start = [np.full(len(chosen), p.v_reset)]
    expected = slow.simulate(p, [3.0], start, synapses, sent, lambda k, i, t: drives[i], FREE)[0]
    assert sum(map(len, expected)) > 20
    for i, train in zip(chosen, expected, strict=True):
        np.testing.assert_allclose(sent["own"][i], train, rtol=0, atol=1e-8)


@pytest.mark.slow
def test_single_precision_misses_no_spike_where_jumps_decay_to_nothing_between_arrivals():
    """Over 60 ms e^(−t/τ_m) is less than float32 knows."""
    circuit = CIRCUITS["membranes that forget long before traces do"]
    found = []
    for precision in ("float64", "float32"):
        setting, network = case(precision=precision, input={"code": "poisson", "rate": 30.0}, **circuit)
        inputs, _ = samples(1, network.dtype)
        trial = spikes.record(network, setting, inputs[0], rng=np.random.default_rng(3))
        found.append([train for l, n in enumerate(HIDDEN) for train in trains(trial.spikes[l], n)])
    for double, single in zip(*found, strict=True):
        np.testing.assert_allclose(single, double, rtol=0, atol=1e-3)
    assert sum(map(len, found[0])) > 50


@pytest.mark.parametrize("tau_syn", [0.0, 3.0])
def test_volleys_that_move_more_neurons_than_are_looked_up_at_once(tau_syn):
    """All inputs spike at the same moments; between them they spike alone."""
    n_in, n, few, volleys = 1500, 12, 30, (5.0, 9.0, 9.5)
    assert PAIRS // n_in < n
    joint = {"pre": 0, "post": 1, "connect": "sparse", "probability": 0.6, "tau_syn": tau_syn, "scale": 2.0}
    setting, _ = case(code="trains", hidden=(n,), projections=[joint])
    network = networks.build(setting, n_in, N_OUT, 4)
    alone = np.random.default_rng(2).uniform(0, NUDGED, few)
    times = np.concatenate([*(np.full(n_in, t) for t in volleys), alone])
    senders = np.concatenate([np.tile(np.arange(n_in), len(volleys)), np.arange(few)])
    inputs, target = Trains(np.zeros(len(times), int), senders, times, 1, n_in), np.eye(1, N_OUT)
    trial, found = spikes.record(network, setting, inputs, target[0]), spikes.simulate(network, setting, inputs, target)
    expected, _ = obvious(setting, network, None, None, trial)
    assert sum(map(len, expected[0])) > 10
    for train, spiked in zip(trains(trial.spikes[0], n), expected[0], strict=True):
        np.testing.assert_allclose(train, spiked, rtol=0, atol=1e-8)
    gain, joint = 10.0 * network.neuron.gain / (6.0 * 4.0) / setting.phases.beta, network.projections[0]
    changes = [
        [gain * naive.integral(np.add(train, 1.25), post, FREE, FREE + NUDGED, 6.0, 4.0) for post in expected[0]]
        for train in trains(trial.incoming, n_in)[:few]
    ]
    changes *= joint.dense(np.ones_like(network.weights[0]), n)[:few]
    np.testing.assert_allclose(joint.dense(found.totals()[0], n)[:few], changes, rtol=0, atol=1e-7 * np.abs(changes).max())


# All dense and of delta synapses, as weights that change while spikes pass must be.
ONLINE = {
    "phases": {"update": "online", "nudging": "centered", "beta": 0.5}, "batch_size": 1,
    "optimiser": {"name": "sgd", "learning_rate": 0.2},
    "projections": [
        {"pre": 1, "post": 1, "delay": 2.0, "scale": 0.5},
        {"pre": 2, "post": 1, "delay": 2.75, "scale": 0.7, "plastic": False},
    ],
}  # fmt: skip


def test_weights_that_change_while_spikes_pass_are_what_the_integral_says_at_every_arrival():
    """Each neuron's train follows, by the naive simulation, from what arrives at it with w + η ∫ x dz up to the arrival."""
    setting, network = case(**ONLINE)
    inputs, targets = samples(1)
    rate, p, trace, phases = setting.optimiser.parameters["learning_rate"], network.neuron, setting.trace, setting.phases
    rates = [rate] * len(network.projections)
    trial = spikes.record(network, setting, inputs[0], targets[0], np.random.default_rng(3), rates=rates)
    still = spikes.record(network, setting, inputs[0], targets[0], np.random.default_rng(3))
    edges = np.cumsum([0, phases.free, phases.nudged, phases.free, phases.nudged])
    signs = (0, 1, 0, -1)
    sent = [trains(trial.incoming, N_IN), *(trains(trial.spikes[l], n) for l, n in enumerate(HIDDEN))]
    totals = spikes.simulate(network, setting, inputs, targets, np.random.default_rng(3), rates).totals()
    for k, n in enumerate(HIDDEN, 1):
        assert not np.array_equal(np.sort(trial.spikes[k - 1]["time"]), np.sort(still.spikes[k - 1]["time"]))
        for i in range(n):
            arrivals, drive = [], p.baseline
            for q, joint in enumerate(network.projections):
                if joint.post != k:
                    continue
                unit = 1e3 / setting.input.rate if joint.pre == 0 else p.gain
                drive += network.b(q)[i] if joint.biased else 0
                for j, train in enumerate(sent[joint.pre]):
                    times = [s + joint.delay for s in train if s + joint.delay < edges[-1]]

                    def learned(now, times=times, own=sent[k][i], unit=unit):
                        gates = [(a, min(b, now), sign) for a, b, sign in zip(edges[:-1], edges[1:], signs, strict=True)]
                        scale = unit * p.gain / (trace.tau_x * trace.tau_z) / (2 * phases.beta)
                        return scale * sum(
                            sign * naive.integral(times, own, a, b, trace.tau_x, trace.tau_z)
                            for a, b, sign in gates
                            if sign and a < b
                        )

                    w = dense(network, q)[j, i]
                    arrivals += [(t, unit / p.tau_m * (w + rate * joint.plastic * learned(t))) for t in times]
                    if joint.plastic:
                        np.testing.assert_allclose(totals[q][j, i], learned(edges[-1]), rtol=0, atol=1e-9)
            fed = [-sign * phases.beta * float(network.feedback[k - 1][i] @ trial.error) for sign in signs]
            drives = [(a, b, drive + away) for a, b, away in zip(edges[:-1], edges[1:], fed, strict=True)]
            np.testing.assert_allclose(sent[k][i], naive.fire(p, drives, arrivals), rtol=0, atol=1e-9)


def test_online_changes_end_with_the_trial_and_frozen_layers_have_none():
    """A mini-batch with weights that stand still, the default, learns what it learned before `update` was said."""
    setting, network = case(**ONLINE)
    plain, _ = case(**{**ONLINE, "phases": {**ONLINE["phases"], "update": "after"}})
    inputs, targets = samples(1)
    found = [
        [t.tobytes() for t in spikes.simulate(network, s, inputs, targets, np.random.default_rng(3), rates).totals()]
        for s, rates in ((plain, ()), (setting, ()), (setting, [0.0] * 5), (setting, [0.2] * 5))
    ]
    assert found[0] == found[1] == found[2] != found[3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 2}, "batch_size = 2; allowed: 1"),
        ({"optimiser": {"name": "adam"}}, "optimiser.name = 'adam'; allowed: 'sgd'"),
        ({"neuron": "alif"}, "network.neuron = 'alif'"),
        ({"network": {"tau_syn": 3.0}}, r"network.tau_syn = \[3.0\]; allowed: 0"),
        ({"projections": [{"pre": 1, "post": 1, "connect": "sparse"}]}, "network.projection.connect"),
        ({"phases": {"update": "online", "propagation": "two_compartment"}}, "phases.propagation = 'two_compartment'"),
        ({"code": "current", "projections": [], "hidden": (5,)}, "input.code = 'current'; allowed: spikes"),
    ],
)
def test_what_cannot_learn_while_spikes_pass_is_refused(changes, message):
    with pytest.raises(SpecError, match=f"phases.update: 'online' does not go with {message}"):
        case(**{**ONLINE, **changes})


def bits():
    """For every circuit, the number of events and a digest of all that is learned."""
    found = {}
    for name, tables in CIRCUITS.items():
        setting, network = case(**tables)
        trial = spikes.simulate(network, setting, *samples(), np.random.default_rng(3))
        found[name] = trial.events, hashlib.sha256(b"".join(np.ascontiguousarray(w) for w in trial.totals())).hexdigest()
    return found


@pytest.mark.slow
def test_without_the_compiler_the_same_bits_come_out():
    done = subprocess.run(
        [sys.executable, "-c", "import json, test_circuits; print(json.dumps(test_circuits.bits()))"],
        cwd=Path(__file__).parent,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert {name: tuple(found) for name, found in json.loads(done.stdout).items()} == bits()


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.data())
def test_neurons_are_told_all_that_reaches_them_and_no_more(n, data):
    """Through sparse rows and through one that reaches all."""
    rows = data.draw(st.lists(st.sets(st.integers(0, n - 1)), min_size=1, max_size=4))
    candidates = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    targets = np.array([7, *(i for row in rows for i in sorted(row))], np.int32)  # another projection's comes first
    ends = np.array([0, 3, 3, *np.cumsum([0, *map(len, rows)])])
    ports = np.zeros(2, PORT)
    ports["rows"], ports["targets"] = (3, -1), (1, 0)
    arrivals = data.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, len(rows) - 1)), max_size=6))
    through, who = (np.array(column, np.int64) for column in zip(*arrivals, strict=True)) if arrivals else np.empty((2, 0), int)
    room = data.draw(st.integers(max(1, len(arrivals)), 1 + len(candidates) * len(arrivals)))
    pairs, found = np.empty((2, room), np.int64), np.empty((3, room), np.int64)
    reached = Reached(np.zeros(n, bool), np.zeros(n, np.int64), np.zeros(n + 1, np.int64), *pairs, found)
    synapses = Synapses(ports, ends, targets, *[np.empty(0)] * 5)
    first = 0
    while first < len(candidates):
        told = look_up_arrivals(candidates[first:], n, Arrivals(np.zeros(len(who)), through, who), synapses, reached)
        assert told > 0
        assert not reached.marked.any()
        for f, i in enumerate(candidates[first : first + told]):
            expected = [
                (e, j * n + i if port else sum(map(len, rows[:j])) + sorted(rows[j]).index(i))
                for e, (port, j) in enumerate(arrivals)
                if port or i in rows[j]
            ]
            own = pairs[:, reached.ends[f] : reached.ends[f + 1]]
            assert [tuple(pair) for pair in own.T] == expected
        first += told


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.5, 40)), min_size=1, max_size=5), st.floats(-2, 2), st.floats(0.1, 80))
def test_the_first_crossing_is_found_and_none_is_missed(terms, constant, horizon):
    sizes, taus = (np.array(column) for column in zip(*terms, strict=True))
    if constant + sizes.sum() >= -1e-6:
        return
    clock = np.linspace(0, horizon, 20001)
    value = constant + (sizes[:, None] * np.exp(-clock / taus[:, None])).sum(axis=0)
    found, above = first_crossing(constant, sizes, taus, horizon), np.flatnonzero(value >= 0)
    if not above.size:
        assert found == np.inf or abs(value).min() < 1e-4  # between two ticks it touches
        return
    assert found <= clock[above[0]] + 1e-9
    assert found >= clock[above[0] - 1] - 1e-9 or value[: above[0]].max() > -1e-4
    assert constant + (sizes * np.exp(-found / taus)).sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["exponential", "adaptive"])
def test_no_crossing_is_missed_on_a_clock(name):
    """As many spikes of every neuron as by the same equations on a clock of 1e-4 ms, over random drives and jumps."""
    setting, network = case(**CIRCUITS[name])
    inputs, _ = samples(1)
    p, taus = network.neuron, [network.projections[0].tau] if network.projections[0].tau else []
    trial = spikes.record(network, setting, inputs[0], rng=np.random.default_rng(1))
    arrivals = trains(trial.incoming, N_IN)
    weights = [dense(network, 0) * (1e3 / setting.input.rate) / (taus[0] if taus else p.tau_m)]
    found = trains(trial.spikes[0], HIDDEN[0])
    expected = naive.clock(p, p.baseline + network.b(0), [(t + 1.25, weights[0][j]) for j, a in enumerate(arrivals) for t in a],
                           FREE, 1e-4, taus[0] if taus else 0.0)  # fmt: skip
    assert [len(a) for a in found] == [len(b) for b in expected]


@pytest.mark.variant
def test_the_same_bits_with_any_number_of_threads_and_in_float32_nearly_the_same_network():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this machine lends one thread")
    circuit, results = CIRCUITS["two compartments"], []
    for precision in ("float32", "float32", "float64"):
        setting, network = case(precision=precision, **circuit)
        numba.set_num_threads(1 + len(results) % 2)
        results.append(
            [t.copy() for t in spikes.simulate(network, setting, *samples(19, precision), np.random.default_rng(0)).totals()]
        )
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(results[0], results[1], strict=True))
    for single, double in zip(results[0], results[2], strict=True):
        assert np.vdot(single, double) > 0.99 * np.linalg.norm(single) * np.linalg.norm(double)


def test_input_codes_spike_at_the_rate_or_time_that_they_say():
    x = np.array([[0.0, 0.25, 1.0]])
    inputs = np.concatenate([x, [[1.0]]], axis=1)
    for code, read in (("poisson", {"rate": 200.0}), ("latency", {"window": 20.0})):
        setting = spec.experiment(
            {
                "network": {"hidden": [2], "neuron": "lif"},
                "input": {"code": code, **read},
                "phases": {"free": 2000.0},
            }
        )
        trial = spikes.record(networks.build(setting, 3, 2, 0), setting, inputs[0], rng=generator(0, 0))
        found = trains(trial.incoming, 3)
        assert not found[0]
        if code == "poisson":
            for j in (1, 2):
                mean = x[0, j] * 400
                assert abs(len(found[j]) - mean) < 4 * np.sqrt(mean)
        else:
            np.testing.assert_allclose(found[1], 15 + 20 * np.arange(100))
            np.testing.assert_allclose(found[2], 20 * np.arange(100))


def test_changes_of_a_series_make_spikes_up_and_down():
    series = np.array([[0.0, 0.32, 0.32, 0.05]]).T  # one channel, four frames
    setting = spec.experiment(
        {
            "network": {"hidden": [2], "neuron": "lif"},
            "input": {"code": "changes", "window": 10.0, "step": 0.1},
            "trace": {"tau_x": 5.0, "tau_z": 5.0},
            "phases": {"free": 50.0, "nudged": 50.0},
        }
    )
    network = networks.build(setting, (4, 1), 2, 0)
    assert network.sizes[0] == 2
    trial = spikes.record(network, setting, np.append(series.ravel(), 1.0), np.eye(2)[0], rng=generator(0, 0))
    up, down = trains(trial.incoming, 2)
    once_up, once_down = [10 + 10 * v / 0.32 for v in (0.1, 0.2, 0.3)], [30 + 10 * (0.32 - v) / 0.27 for v in (0.2, 0.1)]
    np.testing.assert_allclose(up, [t + begin for begin in (0, 50, 100, 150) for t in once_up])
    np.testing.assert_allclose(down, [t + begin for begin in (0, 50, 100, 150) for t in once_down])


def test_windows_of_latencies_begin_anew_with_each_phase():
    """So each phase sees the same part of them, whatever its duration; what is cut off at its end does not come later."""
    code, spec_ = registry.get("inputs", "latency"), SimpleNamespace(window=15.0)
    x, onsets, stop = np.array([[1.0, 0.8, 0.2]]), np.array([0.0, 40.0, 60.0, 100.0]), 120.0
    _, neuron, time = code.trains(x, (3,), spec_, onsets, stop, None)
    for j, late in enumerate((0.0, 3.0, 12.0)):
        expected = [a + k * 15 + late for a, b in pairwise([*onsets, stop]) for k in range(3) if k * 15 + late < b - a]
        np.testing.assert_allclose(np.sort(time[neuron == j]), expected)


def test_a_small_nudge_learns_the_derivative_where_phases_are_no_multiple_of_the_window():
    """Inputs make neurons spike that would spike later by themselves, so that nothing is left of one phase in the next.

    The derivative is that of a slow simulation of one phase; what the phases at +β and −β did not share would be divided by β.
    """
    free, nudged, beta, eps = 285.0, 28.0, 1e-6, 1e-4
    setting, network = case(
        code="latency", hidden=(4,), neuron_parameters={"baseline": 1.6},
        phases={"nudging": "centered", "free": free, "nudged": nudged, "beta": beta},
    )  # fmt: skip
    network.weights[0][:-1] = np.random.default_rng(5).uniform(0.5, 0.8, (N_IN, 4))
    inputs, target = samples(1)
    total = spikes.simulate(network, setting, inputs, target).totals()[0]
    p, trace, error = network.neuron, setting.trace, spikes.record(network, setting, inputs[0], target[0]).error
    late = 15.0 * (1 - inputs[0, :-1])
    begins = [
        begin + 15.0 * k for begin, end in ((0, free), (free, free + nudged)) for k in range(20) if 15.0 * k < end - begin
    ]
    sent = [[b + l for b in begins if b + l < (free if b < free else free + nudged)] for l in late]
    pre = [[s + 1.25 for s in train] for train in sent]
    t0, t1, z_unit, expected = free, free + nudged, p.gain / trace.tau_z, np.zeros_like(total)
    for i in range(4):
        drive, away = p.baseline + network.b(0)[i], float(network.feedback[0][i] @ error)
        for sign in (1, -1):
            arrivals = [(s, 15.0 / p.tau_m * network.weights[0][j, i]) for j, train in enumerate(pre) for s in train]
            post = naive.fire(p, [(0, t0, drive), (t0, t1, drive - sign * eps * away)], arrivals)
            size = sign * z_unit / (2 * eps)
            expected[-1, i] += size * (naive.trace(post, t1, trace.tau_z) - naive.trace(post, t0, trace.tau_z))
            for j, train in enumerate(pre):
                expected[j, i] += size * 15.0 / trace.tau_x * naive.integral(train, post, t0, t1, trace.tau_x, trace.tau_z)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=8),
    st.sampled_from([0.1, 0.05, 0.3, 0.7]),
    st.sampled_from([np.float32, np.float64]),
)
def test_changes_in_any_precision_come_in_the_frame_in_which_their_step_is_reached(levels, step, dtype):
    """Frames at multiples of the step, as numbers have them: by each, neurons have sent as many spikes as steps were taken."""
    series = (np.array(levels, np.float64) * step).astype(dtype)[None]
    spec_ = SimpleNamespace(window=10.0, step=step)
    _, neuron, time = registry.get("inputs", "changes").trains(series, (len(levels), 1), spec_, np.zeros(1), np.inf, None)
    moves = np.diff([0, *levels])
    for j, sign in enumerate((1, -1)):
        by_frame = [np.count_nonzero(time[neuron == j] <= 10.0 * (frame + 1)) for frame in range(len(levels))]
        assert by_frame == list(np.cumsum(np.maximum(sign * moves, 0)))


def test_a_delay_line_is_a_longer_conduction_delay():
    """One line: as if the first projection were slower. Several: each brings all spikes, by neurons of its own."""
    found, (inputs, target) = [], samples(1)
    for lines, delay in (([7.5], 1.25), ([0.0], 8.75), ([0.0, 7.5, 20.0], 1.25)):
        joint = [{"pre": 0, "post": 1, "delay": delay}]
        setting, network = case(input={"code": "latency", "window": 15.0, "lines": lines}, projections=joint)
        assert network.sizes[0] == N_IN * len(lines)
        trial = spikes.record(network, setting, inputs[0], target[0], rng=generator(0, 0))
        total = spikes.simulate(network, setting, inputs, target, generator(0, 0)).totals()
        found.append((trains(trial.incoming, network.sizes[0]), total))
    (_, late), (sent, slow), (several, _) = found
    for own, other in zip(late, slow, strict=True):
        assert np.abs(own).max() > 0
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-9 * np.abs(other).max())
    for i, line in enumerate((0.0, 7.5, 20.0)):
        for own, times in zip(several[i * N_IN : (i + 1) * N_IN], sent, strict=True):
            np.testing.assert_allclose(own, [t + line for t in times if t + line < FREE + NUDGED])


@pytest.mark.parametrize("lines", [[0.0], [0.0, 45.0], [30.0, 58.0]])
def test_both_nudged_phases_follow_on_the_same_arrivals(lines):
    """Centered: what lines bring until the second free phase begins, they bring again after it, and nothing else."""
    rng = np.random.default_rng(5)
    given = Trains(rng.integers(0, 3, 60), rng.integers(0, N_IN, 60), rng.uniform(0, FREE, 60), 3, N_IN)
    stop, again = 2 * (FREE + NUDGED), FREE + NUDGED
    found = input_codes.arrivals(
        registry.get("inputs", "trains"), given, (N_IN,), SimpleNamespace(code="trains", lines=lines),
        np.array([0, FREE, again, again + FREE]), stop, rng,
    )  # fmt: skip
    first, second = (
        sorted(zip(*(column[when] for column in found), strict=True))
        for when in (found[2] < again, (found[2] >= again) & (found[2] < stop))
    )
    assert len(first) + len(second) == len(found[0])
    assert len(first) > 60
    assert [pair[:2] for pair in first] == [pair[:2] for pair in second]
    np.testing.assert_allclose([pair[2] for pair in second], [pair[2] + again for pair in first], rtol=1e-12)
    sent = sorted(
        (s, j + i * N_IN, t + begin + line)
        for i, line in enumerate(lines) for begin, length in ((0, FREE), (FREE, NUDGED))
        for s, j, t in zip(*given.events(), strict=True) if t < length and t + begin + line < again
    )  # fmt: skip
    assert first == sent


def test_delay_lines_alone_teach_nothing():
    """Without a baseline neurons spike at arrivals alone, which a small nudge does not move: the nudged phases are alike."""
    setting, network = case(
        hidden=(6,), neuron_parameters={"baseline": 0.0, "tau_m": 2.0}, input={"code": "trains", "lines": [20.0, 45.0]},
        phases={"nudging": "centered", "propagation": "two_compartment", "beta": 1e-4}, trace={"tau_x": 2.0, "tau_z": 2.0},
    )  # fmt: skip
    rng = np.random.default_rng(5)
    given = Trains(rng.integers(0, 3, 900), rng.integers(0, N_IN, 900), rng.uniform(0, FREE, 900), 3, N_IN)
    trial = spikes.simulate(network, setting, given, np.eye(N_OUT), generator(0, 0))
    assert trial.counts[0].sum() > 20
    assert np.abs(trial.totals()[0]).max() < 1e-4


def test_frames_are_piecewise_constant_currents():
    """A series of two frames: the same trial as that of two networks whose input is constant, cut together."""
    setting = spec.experiment(
        {
            "precision": "float64",
            "network": {"hidden": [7], "neuron": "lif", "weights": "uniform"},
            "input": {"code": "frames", "window": 45.0},
            "trace": {"tau_x": 5.0, "tau_z": 5.0},
            "phases": {"free": 90.0, "nudged": 60.0, "nudging": "one_sided"},
        }
    )
    network, rng = networks.build(setting, (2, 4), 3, 1), np.random.default_rng(0)
    x, y = rng.random((1, 8)), np.eye(3)[[1]]
    inputs = np.concatenate([x, [[1.0]]], axis=1)
    network.weights[0][...] *= 3
    trial = spikes.record(network, setting, inputs[0], y[0])
    p, drive = network.neuron, [frame @ network.weights[0][:-1] + network.b(0) for frame in x.reshape(2, 4)]
    away = setting.phases.beta * network.feedback[0] @ trial.error
    pieces = [(0, 45, 0, 0), (45, 90, 1, 0), (90, 135, 0, 1), (135, 150, 1, 1)]
    for compartment, fed in ((trial.spikes, 0), (trial.twins, 1)):
        for i, train in enumerate(trains(compartment[0], 7)):
            drives = [(a, b, p.baseline + drive[f][i] - fed * on * away[i]) for a, b, f, on in pieces]
            expected = [t for t in naive.fire(p, drives, []) if t >= 90 * fed]
            np.testing.assert_allclose(train, expected, rtol=0, atol=1e-9)
    total = spikes.simulate(network, setting, inputs, y).totals()[0]
    for i, train in enumerate(trains(trial.twins[0], 7)):
        whole = [t for t in trains(trial.spikes[0], 7)[i] if t < 90] + train
        z = [p.gain / 5.0 * naive.trace(whole, t, 5.0) / setting.phases.beta for t in (90.0, 135.0, 150.0)]
        expected = x.reshape(2, 4)[0] * (z[1] - z[0]) + x.reshape(2, 4)[1] * (z[2] - z[1])
        np.testing.assert_allclose(total[:-1, i], expected, rtol=0, atol=1e-9)


def test_an_error_that_is_followed_and_one_carried_by_spikes_come_to_the_constant_current():
    """With two compartments the output does not hear of the nudge: all three carriers bring −β B e in the mean."""
    totals, read = {}, {"constant": {}, "continuous": {"interval": 5.0}, "spikes": {"interval": 5.0, "rate": 5000.0}}
    for signal, keys in read.items():
        setting, network = case(
            code="current", hidden=(30,),
            phases={"propagation": "two_compartment", "free": 600.0, "nudged": 400.0, "beta": 1.0},
            feedback={"signal": signal, "gain": 2.0, **keys},
        )  # fmt: skip
        setting = setting.model_copy(update={"trace": setting.trace.model_copy(update={"tau_x": 60.0, "tau_z": 60.0})})
        totals[signal] = spikes.simulate(network, setting, *samples(16)).totals()[0]
    size = np.linalg.norm(totals["constant"])
    for signal in ("continuous", "spikes"):
        assert np.linalg.norm(totals[signal]) == pytest.approx(size, rel=0.1)
        assert np.vdot(totals["constant"], totals[signal]) > 0.97 * size * np.linalg.norm(totals[signal])


def test_error_neurons_spike_in_proportion_to_their_error():
    setting, network = case(code="current", feedback={"signal": "spikes", "rate": 400.0, "interval": NUDGED})
    inputs, targets = samples(1)
    trial = spikes.record(network, setting, inputs[0], targets[0])
    counts = np.array([len(t) for t in trains(trial.errors, 2 * N_OUT)])
    expected = 0.4 * NUDGED * np.maximum(np.concatenate([trial.error, -trial.error]), 0)
    assert (np.abs(counts - expected) <= 1).all()
    assert counts.sum() > 3


@pytest.mark.slow
def test_error_spikes_make_neurons_with_synaptic_currents_spike_in_both_nudged_phases():
    """In the second what an error spike does changes its sign; every spike is that of the slow simulation."""
    setting, network = case(
        code="current", hidden=(6,), network={"tau_syn": 3.0}, phases={"nudging": "centered", "beta": 8.0},
        feedback={"signal": "spikes", "rate": 800.0, "interval": NUDGED},
        projections=[{"pre": 1, "post": 1, "connect": "sparse", "probability": 0.5, "delay": 2.0}],
    )  # fmt: skip
    inputs, targets = samples(1)
    p, trial = network.neuron, spikes.record(network, setting, inputs[0], targets[0])
    q = next(q for q, joint in enumerate(network.projections) if joint.pre == joint.post == 1)
    kick = -setting.phases.beta / (setting.feedback.rate * 1e-3 * p.tau_m) * network.feedback[0].T
    kick = np.concatenate([kick, -kick])
    synapses = [
        (0, 0, 2.0, 0, p.gain / 3.0 * dense(network, q)), ("plus", 0, 0.0, -1, kick), ("minus", 0, 0.0, -1, -kick),
    ]  # fmt: skip
    sent = {name: trains(trial.errors[trial.errors["size"] == sign], 2 * N_OUT) for name, sign in (("plus", 1), ("minus", -1))}
    assert all(sum(map(len, train)) > 10 for train in sent.values())
    drives = p.baseline + network.b(0) + inputs[0, :-1] @ dense(network, 0)
    stop, start = 2 * (FREE + NUDGED), [np.full(6, p.v_reset)]
    expected = slow.simulate(p, [3.0], start, synapses, sent, lambda k, i, t: drives[i], stop)[0]
    for train, spiked in zip(trains(trial.spikes[0], 6), expected, strict=True):
        np.testing.assert_allclose(train, spiked, rtol=0, atol=1e-8)


def test_an_output_of_neurons_is_taught_on_its_activity_or_its_drive():
    for teacher in ("activity", "drive"):
        setting, network = case(
            network={"output": "spikes"}, phases={"teacher": teacher, "propagation": "two_compartment", "beta": 2.0}
        )
        inputs, targets = samples(3)
        found = spikes.simulate(network, setting, inputs, targets, np.random.default_rng(0))
        trial = spikes.record(network, setting, inputs[0], targets[0], np.random.default_rng(0))
        assert len(trial.spikes) == 3
        assert len(trial.twins) == (3 if teacher == "drive" else 2)
        error = found.prediction - targets
        assert np.isfinite(found.totals()[2]).all()
        if teacher == "activity":
            np.testing.assert_allclose(found.totals()[2][-1], -error.sum(axis=0), atol=1e-12)
        else:
            away = found.totals()[2][-1][np.abs(error.sum(axis=0)) > 0.3]
            assert (np.sign(away) == -np.sign(error.sum(axis=0)[np.abs(error.sum(axis=0)) > 0.3])).mean() > 0.6


def carried_on(setting, network, inputs, targets, sizes, rates=()):
    """Mini-batches of these sizes one after the other: what each trial shows, Σ of the totals, and where it all ends."""
    trials, total, at, own = [], [0.0] * len(network.projections), spikes.Carried(), spikes.Carried()
    for first, last in pairwise(np.cumsum([0, *sizes])):
        found = spikes.simulate(network, setting, inputs[first:last], targets[first:last], None, rates, at)
        total = [a + b for a, b in zip(total, found.totals(), strict=True)]
        for s in range(first, last):
            trial = spikes.record(network, setting, inputs[s], targets[s], None, None, rates, own)
            np.testing.assert_allclose(trial.error, found.prediction[s - first] - targets[s], rtol=0, atol=1e-12)
            trials.append(trial)
    return trials, total, at


def test_an_output_that_is_taught_by_a_current_hears_the_layer_below_until_the_trial_ends():
    x, y = samples()
    phases = {"teacher": "drive", "propagation": "two_compartment", "nudging": "centered", "beta": 1.0}
    silent = {"pre": 1, "post": 1, "weights": "zero", "plastic": False, "delay": 3.0}  # a loop, and so all steps matter
    totals = []
    for projections in ([], [silent]):
        setting, network = case(
            projections=projections, phases=phases, network={"output": "spikes"}, neuron_parameters={"baseline": 1.6}
        )
        totals.append(spikes.simulate(network, setting, x, 5 * y, np.random.default_rng(3)).total)
    for own, whole in zip(totals[0], totals[1], strict=False):
        np.testing.assert_allclose(own, whole, rtol=0, atol=1e-11)
    assert np.abs(totals[0][2]).max() > 1


def test_trials_that_are_carried_on_are_one_long_sequence_at_any_batch_size():
    """Two layers and their twins, three trials of 160 ms, spikes on their way from one to the next: as one of 480 ms."""
    nudges = [(0, FREE, 0), (FREE, FREE + NUDGED, 1), (FREE + NUDGED, 2 * FREE + NUDGED, 0), (140.0, 160.0, -1)]
    setting, network = case(
        code="current",
        network={"delay": 4.0},
        phases={"onset": "carried", "propagation": "two_compartment", "nudging": "centered"},
    )
    inputs, targets = samples(3)
    trials, total, at = carried_on(setting, network, inputs, targets, [3])
    p, trace, beta, weights = network.neuron, setting.trace, setting.phases.beta, [dense(network, q) for q in range(2)]

    def simulated(fed):
        """Trains of both layers over all trials; of the twins where a trial is fed, which hear the somata."""
        layers = []
        for l in range(2):
            below = [] if l == 0 else layers[0] if fed is None else somata[0]
            layers.append([])
            for i in range(HIDDEN[l]):
                drives = []
                for s, trial in enumerate(trials):
                    constant = p.baseline + network.b(l)[i] + (inputs[s, :-1] @ weights[0][:, i] if l == 0 else 0)
                    away = beta * float(network.feedback[l][i] @ trial.error) if s == fed else 0.0
                    drives += [(160.0 * s + a, 160.0 * s + b, constant - sign * away) for a, b, sign in nudges]
                arrivals = [(t + 4.0, p.gain / p.tau_m * weights[1][j, i]) for j, sent in enumerate(below) for t in sent]
                layers[l].append(naive.fire(p, drives, arrivals))
        return layers

    somata, expected = simulated(None), [np.zeros_like(t) for t in total]
    assert any(s % 160 > 156 for layer in somata[0] for s in layer if s < 320)  # spikes that arrive in the next trial
    for s, trial in enumerate(trials):
        for l, n in enumerate(HIDDEN):
            for train, spiked in zip(trains(trial.spikes[l], n), somata[l], strict=True):
                np.testing.assert_allclose(
                    train, [t - 160 * s for t in spiked if 160 * s <= t < 160 * (s + 1)], rtol=0, atol=1e-8
                )
        for l, layer in enumerate(simulated(s)):
            for i, post in enumerate(layer):
                for t0, t1, sign in ((160 * s + 60.0, 160 * s + 80.0, 1), (160 * s + 140.0, 160 * s + 160.0, -1)):
                    size = sign * p.gain / trace.tau_z / (2 * beta)
                    moved = size * (naive.trace(post, t1, trace.tau_z) - naive.trace(post, t0, trace.tau_z))
                    expected[l][-1, i] += moved
                    for j in range(expected[l].shape[0] - 1):
                        pre = [] if l == 0 else [t + 4.0 for t in somata[0][j]]
                        expected[l][j, i] += moved * inputs[s, j] if l == 0 else (
                            size * p.gain / trace.tau_x * naive.integral(pre, post, t0, t1, trace.tau_x, trace.tau_z)
                        )  # fmt: skip
    for l in range(2):
        np.testing.assert_allclose(total[l], expected[l], rtol=0, atol=1e-7 * np.abs(expected[l]).max())
    _, sums, ended = carried_on(setting, network, inputs, targets, [1, 2])
    for name, array in at.arrays().items():
        np.testing.assert_array_equal(ended.arrays()[name], array)
    for one, other in zip(total, sums, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-12 * np.abs(one).max())


def test_thresholds_currents_and_inputs_on_their_way_are_carried_on():
    """Recurrent, adaptive, with synaptic currents and delay lines, nudged in one compartment: three trials as one."""
    circuit = CIRCUITS["adaptive, exponential, from anywhere"]
    code = {"code": "latency", "window": 15.0, "lines": [0.0, 30.0]}
    setting, network = case(**circuit, hidden=(4,), input=code, phases={"onset": "carried"})
    inputs, targets = samples(3)
    trials, _, at = carried_on(setting, network, inputs, targets, [2, 1])
    stop = FREE + NUDGED
    windows = [(b + 15.0 * k, e) for b, e in ((0, FREE), (FREE, stop)) for k in range(4) if 15.0 * k < e - b]
    incoming = [
        [stop * s + b + late + line for s in range(3) for b, e in windows if b + (late := 15.0 * (1 - inputs[s, j])) < e]
        for line in (0.0, 30.0) for j in range(N_IN)
    ]  # fmt: skip
    assert any(t % stop < 30 for train in incoming[N_IN:] for t in train if t > stop)
    p, taus = network.neuron, sorted({joint.tau for joint in network.projections if joint.tau})
    synapses = [
        ("in" if joint.pre == 0 else 0, 0, joint.delay, taus.index(joint.tau) if joint.tau else -1,
         (15.0 if joint.pre == 0 else p.gain) / (joint.tau or p.tau_m) * dense(network, q))
        for q, joint in enumerate(network.projections) if joint.post == 1
    ]  # fmt: skip
    away = [setting.phases.beta * network.feedback[0] @ trial.error for trial in trials]

    def drive(k, i, t):
        trial, within = divmod(t + 1e-9, stop)
        return p.baseline + network.b(0)[i] - (away[int(trial)][i] if within >= FREE else 0.0)

    expected = slow.simulate(p, taus, network.start, synapses, {"in": incoming}, drive, 3 * stop)[0]
    for s, trial in enumerate(trials):
        assert len(trial.spikes[0]) > 4
        for train, spiked in zip(trains(trial.spikes[0], 4), expected, strict=True):
            np.testing.assert_allclose(
                train, [t - stop * s for t in spiked if stop * s <= t < stop * (s + 1)], rtol=0, atol=1e-7
            )
    again = restored(network, setting, at.arrays())
    assert all((again.arrays()[name] == array).all() for name, array in at.arrays().items())
    with pytest.raises(ValueError, match="v has shape"):
        restored(network, setting, {**at.arrays(), "v": np.zeros(3)})
    with pytest.raises(ValueError, match="on their way"):
        restored(network, setting, {**at.arrays(), "senders": at.arrays()["senders"] + 99})


def test_a_trial_without_a_noticed_error_teaches_nothing_and_goes_on_into_the_next():
    """It lasts as long as others, so the trials after it are those of a nudge that moves nothing."""
    inputs, targets = samples(3)
    nudged, network = case(code="latency", phases={"onset": "carried", "beta": 1e-8})
    quiet, _ = case(code="latency", feedback={"threshold": 0.999}, phases={"onset": "carried"})
    expected, taught, _ = carried_on(nudged, network, inputs, targets, [3])
    at, own = spikes.Carried(), spikes.Carried()
    for rows in (slice(0, 1), slice(1, 3)):
        assert not any(t.any() for t in spikes.simulate(network, quiet, inputs[rows], targets[rows], carried=at).totals())
    assert any(t.any() for t in taught)
    for s, trial in enumerate(expected):
        found = spikes.record(network, quiet, inputs[s], targets[s], carried=own)
        assert not found.error.any()
        for l, n in enumerate(HIDDEN):
            assert len(trial.spikes[l]) > 4
            for one, other in zip(trains(found.spikes[l], n), trains(trial.spikes[l], n), strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    assert all((own.arrays()[name] == array).all() for name, array in at.arrays().items())


def test_weights_that_change_while_spikes_pass_do_so_in_trials_that_are_carried_on():
    """At a vanishing rate the trials are those of weights that stand still, at any other they are not, nor are they at rest."""
    tables = {**ONLINE, "phases": {**ONLINE["phases"], "onset": "carried"}}
    (setting, network), (inputs, targets), found = case(code="latency", **tables), samples(3), []
    for rate in (0.0, 1e-300, 0.2):
        trials, _, _ = carried_on(setting, network, inputs, targets, [1, 1, 1], [rate] * len(network.projections))
        found.append([train for trial in trials for l, n in enumerate(HIDDEN) for train in trains(trial.spikes[l], n)])
    for still, slow_one in zip(*found[:2], strict=True):
        np.testing.assert_allclose(slow_one, still, rtol=0, atol=1e-9)
    assert found[2] != found[1]
    alone = spikes.record(network, setting, inputs[2], targets[2], rates=[1e-300] * len(network.projections))
    assert trains(alone.spikes[0], HIDDEN[0]) != found[1][-sum(HIDDEN) :][: HIDDEN[0]]
