"""Circuits that learn: weight changes against a slow simulation and against the layered engine; signs, threads, refusals."""

import itertools
import runpy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import naive_spikes as naive
import numpy as np
import pytest

import localdfa
from localdfa import arrays, spec
from localdfa import network as networks
from localdfa.circuit import build, learning
from localdfa.core.compiled import device
from localdfa.core.spiking import batch as spikes
from localdfa.crosscheck import exact as slow
from localdfa.data.trains import Trains
from localdfa.errors import NonFiniteError, RunError, SpecError

TAU_X, TAU_Z, FREE, NUDGED = 3.0, 2.0, 24.0, 12.0
SGD = {"name": "sgd", "learning_rate": 1e-7}


class Case:
    """A random circuit of excitation and inhibition in float64, described twice: to localdfa, and to the reference."""

    def __init__(self, tau_syn, precision="float64", seed=0):
        rng = self.rng = np.random.default_rng(seed)
        self.net, self.tau_syn = localdfa.Circuit(seed=3, precision=precision), tau_syn
        self.sizes, self.sources = {"exc": 5, "inh": 3, "out": 2}, {"image": 3, "others": 2}
        self.names, self.parameters, self.starts, self.drives = [*self.sizes], [], [], []
        for name, n in self.sizes.items():
            reset = {"exc": -60.0, "inh": -65.0, "out": 0.0}[name]
            own = {"tau_m": {"exc": 9.0, "inh": 5.0, "out": 7.0}[name], "v_reset": reset, "t_ref": {"inh": 0.5}.get(name, 1.5)}
            own["v_th"] = reset + 8.0 + rng.uniform(0, 2, n)
            start, current = reset + rng.uniform(0, 7, n), reset + rng.uniform(8, 20, n)
            self.net.population(name, n, "lif", start=start, v_rest=1.0, **own)
            self.net.current(name, current)
            each = [{p: float(np.broadcast_to(x, n)[i]) for p, x in own.items()} for i in range(n)]
            self.parameters.append([SimpleNamespace(**one) for one in each])
            self.starts.append(start)
            self.drives.append(1.0 + current)
        self.net.poisson("image", 3, 0.0)
        self.others = np.sort(rng.uniform(0, 70, 12)), rng.integers(2, size=12)
        self.net.trains("others", 2, *self.others)
        self.synapses = []
        self.add("image", "exc", "excitatory", True)
        self.add("others", "exc", "excitatory", True, dense=True)
        self.add("exc", "inh", "excitatory", True)
        self.add("inh", "exc", "inhibitory", True, tau=tau_syn)
        self.add("exc", "exc", "excitatory", False)
        self.add("exc", "out", "excitatory", True, dense=True)
        self.add("inh", "out", "inhibitory", True)
        self.add("out", "inh", None, True)
        self.feedback = {"exc": rng.normal(0, 0.02, (5, 2)), "inh": rng.normal(0, 0.02, (3, 2)), "out": 0.03}

    def add(self, pre, post, sign, plastic, dense=False, tau=0.0):
        """Synapses with delays of their own, or of all pairs."""
        rng = self.rng
        shape = (self.sizes | self.sources)[pre], self.sizes[post]
        weights = np.abs(rng.normal(1.5, 0.7, shape)) * {"excitatory": 1, "inhibitory": -1, None: 0.5}[sign]
        own = {"sign": sign, "plastic": plastic, "tau_syn": tau}
        if dense:
            delays = np.full(shape, 1.25)
            self.net.project(pre, post, weight=weights, delay=1.25, **own)
        else:
            weights *= rng.random(shape) < 0.8
            delays, pairs = rng.choice([0.75, 1.5], shape), np.nonzero(weights)
            self.net.project(pre, post, pairs=pairs, weight=weights[pairs], delay=delays[pairs], **own)
        self.synapses.append((pre, post, weights, delays, tau, plastic))

    def learner(self, **changes):
        posts = [post for _, post in changes.get("projections") or [(None, name) for name in self.feedback]]
        return self.net.learner(
            "image", "out", {name: b for name, b in self.feedback.items() if name in posts},
            **{"code": {"code": "trains"}, "optimiser": SGD, "tau_x": TAU_X, "tau_z": TAU_Z, "nudged": NUDGED, **changes},
        )  # fmt: skip

    def trials(self, m):
        trains = []
        for _ in range(m):
            count = self.rng.integers(4, 9)
            trains.append((np.sort(self.rng.uniform(0, FREE, count)), self.rng.integers(3, size=count)))
        return trains

    def expected(self, trial, target, two, centered, beta):
        """What each plastic projection gains in one trial, (n_pre, n_post), and the rates that are read."""
        signs = [0, 1, 0, -1] if centered else [0, 1]
        edges = np.cumsum([0.0, *([FREE, NUDGED] * (len(signs) // 2))])
        taus, numbers = sorted({tau for *_, tau, _ in self.synapses if tau}), {name: k for k, name in enumerate(self.names)}
        given = {"image": [[], [], []], "others": [self.others[0][self.others[1] == j].tolist() for j in range(2)]}
        for a, b in pairwise(edges):
            for t, j in zip(*trial, strict=True):
                given["image"][j] += [a + t] if t < b - a else []
        rows = []
        for pre, post, weights, delays, tau, _ in self.synapses:
            ends = numbers.get(pre, pre), numbers[post]
            for delay in np.unique(delays):
                rows.append((*ends, delay, taus.index(tau) if tau else -1, np.where(delays == delay, weights, 0.0)))

        def trains(stop, signals=None, heard=None):
            def drive(k, i, t):
                sign = signs[np.searchsorted(edges, t + 1e-6) - 1]
                return self.drives[k][i] - (sign * beta * signals[k][i] if signals and sign else 0.0)

            if heard is None:
                return slow.simulate(self.parameters, taus, self.starts, rows, given, drive, stop)
            apart = [(f"soma{pre}" if pre in numbers.values() else pre, *rest) for pre, *rest in rows]
            sent = given | {f"soma{k}": population for k, population in enumerate(heard)}
            return slow.simulate(self.parameters, taus, self.starts, apart, sent, drive, stop)

        free = trains(edges[-1] if two else FREE)
        rates = np.array([1e3 / TAU_Z * naive.trace(train, FREE, TAU_Z) for train in free[2]])
        error = rates - target
        signals = [self.feedback["exc"] @ error, self.feedback["inh"] @ error, self.feedback["out"] * error]
        read = trains(edges[-1], signals, free if two else None)
        somata, gains = free if two else read, []
        for pre, post, weights, delays, _, plastic in self.synapses:
            gain, sends = np.zeros(weights.shape), given[pre] if pre in given else somata[numbers[pre]]
            for j, i in zip(*np.nonzero(weights), strict=True):
                for t0, t1, sign in zip(edges[:-1], edges[1:], signs, strict=True):
                    if sign and plastic:
                        arrivals = [s + delays[j, i] for s in sends[j]]
                        moved = naive.integral(arrivals, read[numbers[post]][i], t0, t1, TAU_X, TAU_Z)
                        gain[j, i] += sign / beta / (2 if centered else 1) * moved * 1e6 / (TAU_X * TAU_Z)
            gains.append(gain)
        return gains, rates

    def weights(self):
        """The weights of each projection as they stand, (n_pre, n_post)."""
        found = []
        for pre, post, weights, *_ in self.synapses:
            synapses, table = self.net.synapses(pre, post), np.zeros(weights.shape)
            table[synapses.pre, synapses.post] = synapses.weight
            found.append(table)
        return found


@pytest.mark.parametrize(
    ("two", "centered", "tau_syn"), [(True, True, 0.0), (True, True, 3.5), (True, False, 0.0), (False, True, 0.0)]
)
def test_weights_change_by_what_a_slow_simulation_says(two, centered, tau_syn):
    case = Case(tau_syn)
    beta, targets = 0.7, np.array([[400.0, 20.0], [10.0, 350.0]])
    trials = case.trials(2)
    learner = case.learner(
        beta=beta, nudging="centered" if centered else "one_sided", propagation="two_compartment" if two else "live"
    )
    rates = learner.epoch(trials, targets, batch_size=2)
    expected = [case.expected(trial, target, two, centered, beta) for trial, target in zip(trials, targets, strict=True)]
    np.testing.assert_allclose(rates, [each for _, each in expected], rtol=0, atol=1e-7)
    largest = 0.0
    for q, (found, (*_, before, _, _, plastic)) in enumerate(zip(case.weights(), case.synapses, strict=True)):
        total = sum(gains[q] for gains, _ in expected)
        change, largest = SGD["learning_rate"] * total, max(largest, np.abs(total).max())
        assert plastic or (found == before).all()
        if case.net.projections[q].sign:
            change = np.where(np.sign(before + change) == np.sign(before), change, -before)
        np.testing.assert_allclose(found - before, change, rtol=0, atol=1e-9 * SGD["learning_rate"] * largest + 1e-13)
    assert largest > 1e3


def test_learners_of_some_projections_change_these_as_the_learner_of_all_does():
    parts = [("image", "exc"), ("exc", "out")], [("inh", "exc"), ("inh", "out"), ("out", "inh")]
    changed = []
    for projections in (None, *parts):
        case = Case(0.0)
        trials, before = case.trials(2), [weights for _, _, weights, *_ in case.synapses]
        case.learner(projections=projections).epoch(trials, np.array([[400.0, 20.0], [10.0, 350.0]]), batch_size=2)
        changed.append(case.weights())
    for q, (pre, post, *_) in enumerate(case.synapses):
        for part, found in zip(parts, changed[1:], strict=True):
            np.testing.assert_array_equal(found[q], changed[0][q] if (pre, post) in part else before[q])
        assert (changed[0][q] != before[q]).any() == case.net.projections[q].plastic


def test_learners_of_one_circuit_take_turns():
    case = Case(0.0)
    first = case.learner(projections=[("image", "exc")], gate=3.0)
    second = case.learner(projections=[("exc", "out")])
    trials, targets, before = case.trials(2), np.array([[400.0, 20.0], [10.0, 350.0]]), case.weights()
    assert repr(first).startswith("Learner(image to exc;")
    assert repr(second).startswith("Learner(exc to out;")
    first.epoch(trials, targets)
    between = case.weights()
    second.epoch(trials, targets)
    after = case.weights()
    moved = [[(x != y).any() for x, y in zip(*pair, strict=True)] for pair in ((before, between), (between, after))]
    ends = [(pre, post) for pre, post, *_ in case.synapses]
    assert moved == [[each == ("image", "exc") for each in ends], [each == ("exc", "out") for each in ends]]


@pytest.mark.parametrize(
    ("neuron", "rule"),
    [
        ("lif", {"name": "local"}),
        ("lif", {"name": "erbp", "v_low": 0.3, "v_high": 0.9}),
        ("qif", {"name": "local"}),
        pytest.param("alif", {"name": "local"}, marks=pytest.mark.slow),
    ],
)
def test_a_circuit_of_layers_learns_as_the_network_of_layers(neuron, rule):
    own, trace = {"tau_m": 9.0, "t_ref": 1.0}, {"tau_x": 6.0, "tau_z": 4.0}
    phases = {"free": 50.0, "nudged": 30.0, "gate": 25.0, "nudging": "centered"}
    local, of_rule = rule["name"] == "local", {key: value for key, value in rule.items() if key != "name"}
    phases |= {"beta": 0.8} if local else {}
    setting = spec.experiment(
        {
            "precision": "float64", "neuron": {"baseline": 1.4, **own}, "trace": trace, "input": {"code": "trains"},
            "rule": rule["name"], "rules": {rule["name"]: of_rule} if of_rule else {},
            "network": {"hidden": [6], "neuron": neuron, "output": "spikes", "weights": "uniform", "delay": 1.25},
            "phases": {"propagation": "two_compartment" if local else "held", "teacher": "drive", **phases},
            "feedback": {"gain": 3.0},
        }
    )  # fmt: skip
    network, rng = networks.build(setting, 4, 3, 4), np.random.default_rng(2)
    for w in network.weights:
        w *= 3
        w[-1] = 0
    net, p = localdfa.Circuit(seed=1, precision="float64"), network.neuron
    others = {key: getattr(p, key) for key in p._fields if key not in ("baseline", "gain", *own)}
    for name, n in (("hidden", 6), ("out", 3)):
        net.population(name, n, neuron, **own, **others)
        net.current(name, p.baseline)
    net.poisson("in", 4, 0.0)
    for q, (pre, post) in enumerate([("in", "hidden"), ("hidden", "out")]):
        unit = 10.0 if q == 0 else float(p.gain)
        net.project(pre, post, weight=network.weights[q][:-1] * unit / p.tau_m, delay=1.25, plastic=True)
    in_hz = 1e3 / float(p.gain)
    learner = net.learner(
        "in", "out", {"hidden": network.feedback[0] / in_hz, "out": 1 / in_hz},
        rule=rule, code={"code": "trains"}, optimiser=SGD, **phases, **trace,
    )  # fmt: skip
    sample, neurons, times = np.repeat(np.arange(5), 30), rng.integers(4, size=150), rng.uniform(0, 50, 150)
    targets = rng.uniform(0, 2, (5, 3))
    found = spikes.simulate(network, setting, Trains(sample, neurons, times, 5, 4), targets, rng)
    trials = [(times[sample == s], neurons[sample == s]) for s in range(5)]
    before = [net.synapses("in", "hidden").weight.copy(), net.synapses("hidden", "out").weight.copy()]
    rates = learner.epoch(trials, targets * in_hz, batch_size=5)
    np.testing.assert_allclose(rates, found.prediction * in_hz, rtol=0, atol=1e-9)
    after = [net.synapses("in", "hidden").weight, net.synapses("hidden", "out").weight]
    for q, total in enumerate(found.totals()):
        pre, post = (10.0 if q == 0 else float(p.gain)), float(p.gain)
        change = SGD["learning_rate"] * (1e6 / (pre * post) if local else 1e3 / pre) * total[:-1].ravel()
        np.testing.assert_allclose(after[q] - before[q], change, rtol=0, atol=1e-10 * np.abs(change).max())
        assert np.abs(change).max() > 0


@pytest.mark.parametrize("zero", [0.0, [-70.0, -70.0, -70.0], [-70.0, -65.0, -68.0]], ids=["0", "-70", "of each"])
def test_a_rule_that_reads_the_signal_counts_arrivals_while_v_lies_in_its_window(zero):
    """ERBP by hand: v of a neuron between its own spikes is a closed form, and arrivals are given."""
    tau, current, v_low, v_high, gate, targets = 10.0, 1.5, 0.3, 0.9, 40.0, np.array([[30.0], [10.0]])
    zero = np.zeros(3) + zero
    v_low, v_high = v_low + zero[2], v_high + zero[2]
    net = localdfa.Circuit(seed=1, precision="float64")
    net.population("cells", 3, tau_m=tau, t_ref=2.0, v_rest=zero, v_reset=zero, v_th=zero + 1.0, start=zero)
    net.population("out", 1, tau_m=tau)
    net.current("cells", [0.2, 0.5, current])  # below the window of 0.3 to 0.9, within it, and in and out of it
    net.current("out", 0.5)  # is silent: its error is minus its target
    net.poisson("in", 2, 0.0)
    net.project("in", "cells", weight=1e-12, delay=1.0, plastic=True)
    b = np.array([[0.02], [-0.03], [0.05]])
    learner = net.learner(
        net.populations["in"], "out", {"cells": b}, rule={"name": "erbp", "v_low": v_low, "v_high": v_high}, free=200.0,
        nudged=60.0, gate=gate, tau_x=5.0, tau_z=5.0, code={"code": "trains"}, optimiser=SGD, nudging="one_sided",
        projections=[(net.populations["in"], "cells")],
    )  # fmt: skip
    times = np.arange(0.25, 60.0, 0.7)  # of each phase
    learner.epoch([(times, np.arange(times.size) % 2)] * 2, targets, batch_size=1)
    arrivals = times[times + 1.0 < gate] + 1.0
    period = 2.0 + tau * np.log(current / (current - 1.0))
    phase = (200.0 + arrivals) % period  # a period begins with v at rest, and ends with the refractory time
    since = np.where(phase < period - 2.0, phase, 0.0)
    v = np.stack([np.full(arrivals.size, 0.2), np.full(arrivals.size, 0.5), current * (1 - np.exp(-since / tau))])
    v += zero[:, None]
    hits, pre = (v_low <= v) & (v <= v_high), np.arange(times.size)[times + 1.0 < gate] % 2
    counts = np.stack([hits[:, pre == j].sum(axis=1) for j in range(2)])
    assert counts[0, 0] == 0 < counts[0, 2]
    assert (counts[0, 2] < counts[0, 1]) == (zero[1] == zero[2])  # the second one is out of it where it rests elsewhere
    gained = counts * (b[:, 0] * targets.sum()) * 1e3 / gate
    found = net.synapses("in", "cells").weight.reshape(2, 3)
    np.testing.assert_allclose(found, 1e-12 + SGD["learning_rate"] * gained, rtol=1e-9, atol=0)


STDP = runpy.run_path(str(Path(__file__).parents[1] / "plugin" / "example_models" / "stdp.py"))["model"]


class Asked(STDP):
    """The same rule, as one that only the general kernel serves."""

    @staticmethod
    @device
    def at_arrival(r, z, v, c, traces):
        return -r.a_minus * z

    @staticmethod
    @device
    def at_spike(r, z, v, c, traces):
        return r.a_plus


@pytest.mark.parametrize("rule", [STDP, Asked])
def test_a_rule_that_no_signal_teaches_learns_without_targets(rule, made_up):
    """Of a neuron that a second source makes fire: every pair of spikes counts, the later of which the gate is open for."""
    made_up(stdp=rule)
    free, tau_x, tau_z = 400.0, 20.0, 25.0
    sent, fired = np.array([30.0, 100.0, 131.0]), np.array([428.0, 505.0, 524.0, 540.0])
    net = localdfa.Circuit(seed=1, precision="float64")
    net.population("out", 1, "lif", tau_m=20.0, v_th=10.0, v_reset=0.0, t_ref=2.0)
    net.poisson("in", 1, 0.0)
    net.trains("teacher", 1, fired, np.zeros(4, int))
    net.project("in", "out", weight=0.5, plastic=True)
    net.project("teacher", "out", weight=50.0)
    given = {
        "rule": {"name": "stdp", "a_plus": 0.01, "a_minus": 0.004}, "code": {"code": "trains"}, "free": free, "nudged": 600.0,
        "tau_x": tau_x, "tau_z": tau_z, "optimiser": {"name": "sgd", "learning_rate": 1.0},
    }  # fmt: skip
    learner, trial = net.learner("in", "out", **given), [(sent, np.zeros(3, int))]
    learner.epoch(trial)
    arrived, expected = np.concatenate([sent, free + sent]), 0.0
    for spike in fired:
        expected += 0.01 * np.exp(-(spike - arrived[arrived < spike]) / tau_x).sum()
    for arrival in arrived[arrived > free]:
        expected -= 0.004 * np.exp(-(arrival - fired[fired < arrival]) / tau_z).sum()
    assert net.synapses("in", "out").weight[0] - 0.5 == pytest.approx(expected, rel=1e-9)
    for key, value in {"nudging": "centered", "feedback": {"out": 1.0}}.items():
        with pytest.raises(SpecError, match=f"{key}: .*; no signal teaches the rule 'stdp'; allowed: to leave it out"):
            net.learner("in", "out", **{key: value}, **given)
    with pytest.raises(SpecError, match=r"targets: .* no signal teaches this learner's rule; allowed: to leave them out"):
        learner.epoch(trial, [[0.0]])


def parts(net):
    return [net.synapses(q.pre.name, q.post.name).weight.copy() for q in net.projections]


@pytest.mark.variant
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_any_number_of_threads_gives_the_same_bits_and_signs_are_kept(precision):
    found = []
    for threads in (1, 2):
        case = Case(0.0, precision)
        before, learner = parts(case.net), case.learner(optimiser={"name": "rmsprop", "learning_rate": 0.4})
        trials, targets = case.trials(9), case.rng.uniform(0, 400, (9, 2))
        rates = [learner.epoch(trials, targets, 4, threads), learner.rates(trials, threads)]
        found.append([*parts(case.net), *rates])
    assert all((a == b).all() for a, b in zip(*found, strict=True))
    for q, own, weights in zip(case.net.projections, before, found[0], strict=False):
        assert (own == weights).all() != q.plastic
        assert q.sign is None or (weights * {"excitatory": 1, "inhibitory": -1}[q.sign] >= 0).all()
    assert any((weights == 0).any() for weights in found[0])  # some would have crossed
    free = case.net.projections[-1]
    assert free.sign is None
    assert (found[0][7] < 0).any() or (found[0][7] > 0).any()


def test_ranges_of_a_population_are_one_in_trials(monkeypatch):
    found = []
    for neurons in (512, 2):
        for name, value in (("_NEURONS", neurons), ("_SYNAPSES", 0.1), ("_OF_DELAY", 0.1)):
            monkeypatch.setattr(build, name, value)
        case = Case(3.5)
        learner = case.learner(optimiser={"name": "sgd", "learning_rate": 1e-6})
        learner.epoch(case.trials(3), case.rng.uniform(0, 400, (3, 2)), 2)
        found.append(case.weights())
        assert (len(build.ranges_of(case.net)) > 3) == (neurons == 2)
    for whole, cut in zip(*found, strict=True):
        np.testing.assert_allclose(whole, cut, rtol=0, atol=1e-12)


def test_the_circuit_runs_with_what_it_has_learned_and_as_in_a_trial(tmp_path):
    def made():
        case = Case(0.0)
        return case, case.trials(3), case.rng.uniform(0, 400, (3, 2))

    case, trials, targets = made()
    net = case.net
    learner = case.learner(optimiser={"name": "adam", "learning_rate": 0.2})
    assert "after 0 passes" in repr(learner)
    for _ in range(2):
        learner.epoch(trials, targets, 1)
    assert learner.epochs == 2
    with pytest.raises(SpecError, match="projection from 'image' to 'exc': its weights have been learned"):
        net.to_toml()
    net.save(tmp_path / "net.npz")
    # The same circuit, whose source sends in a run what it sends in a trial.
    again = localdfa.Circuit(seed=3, precision="float64")
    for p, drive in zip(list(net.populations.values())[:3], case.drives, strict=True):
        again.population(p.name, p.size, "lif", start=p.start, v_rest=p.rest, **dict(list(p.parameters.items())[:4]))
        again.current(p.name, drive - p.rest)
    times, who = trials[0]
    again.trains("image", 3, times, who)
    again.trains("others", 2, *case.others)
    for q in net.projections:
        s = net.synapses(q.pre.name, q.post.name)
        again.project(q.pre.name, q.post.name, pairs=(s.pre, s.post), weight=s.weight, delay=s.delay, tau_syn=q.tau_syn)
    t, who = again.run(FREE).spikes("out")
    expected = [1e3 / TAU_Z * naive.trace(t[who == i], FREE, TAU_Z) for i in range(2)]
    np.testing.assert_allclose(learner.rates(trials)[0], expected, rtol=0, atol=1e-8)
    loaded = localdfa.Circuit.load(tmp_path / "net.npz")
    assert all((a == b).all() for a, b in zip(parts(net), parts(loaded), strict=True))
    one, other = net.run(50.0), loaded.run(50.0)
    assert all((a == b).all() for name in case.sizes for a, b in zip(one.spikes(name), other.spikes(name), strict=True))
    fresh = made()[0].net.run(50.0)
    assert len(fresh.spikes("out")[0]) != len(one.spikes("out")[0])
    # A file whose weights were changed is no file of this circuit.
    content = arrays.load(tmp_path / "net.npz", "circuit")
    arrays.save(tmp_path / "other.npz", "circuit", content | {"weights_0": content["weights_0"] + 1})
    with pytest.raises(RunError, match=r"other\.npz: its synapses are not drawn again as they were"):
        localdfa.Circuit.load(tmp_path / "other.npz")


def test_a_new_learner_of_a_circuit_goes_on_with_other_noise_and_another_order(tmp_path):
    def made(net=None):
        net = net or localdfa.Circuit(seed=5, precision="float64")
        if not net.populations:
            net.population("out", 2, "lif", tau_m=10.0)
            net.poisson("image", 8, 0.0)
            net.project("image", "out", weight=0.4, plastic=True)
        return net, net.learner(
            "image", "out", {"out": 0.01}, optimiser={"name": "sgd", "learning_rate": 1e-30}, tau_x=5, tau_z=5
        )

    inputs, targets = np.ones((4, 8)), np.zeros((4, 2))
    net, learner = made()
    one, two = (learner.epoch(inputs, targets) for _ in range(2))
    net.save(tmp_path / "net.npz")
    another = made(net)[1]
    assert another.epochs == 0
    three = another.epoch(inputs, targets)
    # Two learners that take turns, and one of a circuit that was loaded, go on as the first one would have.
    assert all((a != b).any() for a, b in itertools.combinations((one, two, three), 2))
    assert (made(localdfa.Circuit.load(tmp_path / "net.npz"))[1].epoch(inputs, targets) == three).all()
    again = made()[1]
    assert all((again.epoch(inputs, targets) == rates).all() for rates in (one, two, three))


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "rmsprop", "adam"])
def test_learning_goes_on_to_the_same_bits_from_files(optimiser, tmp_path):
    def learner_of(case):
        return case.learner(optimiser={"name": optimiser, "learning_rate": 1e-7 if optimiser in ("sgd", "momentum") else 0.01})

    def made():
        case = Case(0.0)
        return case, case.trials(3), case.rng.uniform(0, 400, (3, 2))

    case, trials, targets = made()
    learner = learner_of(case)
    for _ in range(2):
        learner.epoch(trials, targets, 2)
    case.net.save(tmp_path / "net.npz")
    learner.save(tmp_path / "learner.npz")
    learner.epoch(trials, targets, 2)
    other = made()[0]
    other.net = localdfa.Circuit.load(tmp_path / "net.npz")
    going_on = learner_of(other)
    going_on.load(tmp_path / "learner.npz")
    assert going_on.epochs == 2
    going_on.epoch(trials, targets, 2)
    assert all((a == b).all() for a, b in zip(case.weights(), other.weights(), strict=True))
    assert going_on.epochs == 3


def test_a_learner_takes_no_memory_that_is_not_its_own(tmp_path):
    case = Case(0.0)
    learner = case.learner(optimiser={"name": "adam", "learning_rate": 0.01})
    learner.epoch(case.trials(2), np.full((2, 2), 50.0))
    case.net.save(tmp_path / "net.npz")
    learner.save(tmp_path / "learner.npz")
    loaded = Case(0.0)
    for changes, message in (
        ({"optimiser": SGD}, r"learner\.npz: is of the optimiser 'adam', and this learner's is 'sgd'"),
        (
            {"projections": [("image", "exc")]},
            r"learner\.npz: is of the projections 'image .*, and this learner's are 'image to exc'",
        ),
        ({}, r"learner\.npz: was written beside other weights; allowed: the circuit that was saved at the same moment"),
    ):
        with pytest.raises(RunError, match=message):
            loaded.learner(**{"optimiser": {"name": "adam", "learning_rate": 0.01}, **changes}).load(tmp_path / "learner.npz")
    with pytest.raises(RunError, match="holds 'circuit', not 'learner'"):
        learner.load(tmp_path / "net.npz")


def test_a_log_keeps_what_circuits_have_learned_by_conditions_and_seeds(tmp_path):
    conditions, rates = {"local": {"rule": "local", "beta": 0.5}, "control": {"rule": "shallow"}}, {}
    with localdfa.Log(tmp_path / "run", conditions, seeds=[0, 1], predicts="numbers") as log:
        for training in log:
            case = Case(0.0, seed=training.seed)
            trials, targets = case.trials(3), case.rng.uniform(0, 400, (3, 2))
            learner = case.learner(beta=training.arguments.get("beta", 1.0))
            for epoch in range(3):
                rates[training.condition, training.seed] = trials, learner.rates(trials)
                rmse = float(np.sqrt(np.mean((learner.rates(trials) - targets) ** 2)))
                training.measured(train={"rmse": rmse})
                if epoch < 2 and training.condition == "local":
                    learner.epoch(trials, targets, 3)
            case.net.save(training.folder / "circuit.npz")
    run = log.run
    assert (run.status, run.settings["local"].phases.beta) == ("finished", 0.5)
    assert [*run.table()["rule"]] == ["local", "frozen"]
    run.report()
    for job in run.jobs:
        trials, expected = rates[job.condition, job.seed]
        net = localdfa.Circuit.load(job.folder / "circuit.npz")
        learner = net.learner("image", "out", Case(0.0).feedback, code={"code": "trains"}, tau_x=TAU_X, tau_z=TAU_Z)
        np.testing.assert_array_equal(learner.rates(trials), expected)
        assert len({row["train_rmse"] for row in job.metrics}) == (3 if job.condition == "local" else 1)


def test_plastic_projections_stand_in_toml(tmp_path):
    net = Case(0.0).net
    (tmp_path / "net.toml").write_text(net.to_toml())
    again = localdfa.Circuit.from_toml(tmp_path / "net.toml")
    assert [q.plastic for q in again.projections] == [q.plastic for q in net.projections]


def test_a_feedback_that_is_drawn_teaches_rates():
    net = localdfa.Circuit(seed=2)
    net.population("cell", 20, tau_m=10.0, v_th=10.0, t_ref=2.0)
    net.population("out", 2, tau_m=8.0, v_th=10.0, t_ref=1.0)
    net.current("cell", 12.0)
    net.current("out", 8.0)
    net.poisson("in", 5, 0.0)
    net.project("in", "cell", probability=0.5, weight=2.0, plastic=True, sign="excitatory")
    net.project("cell", "out", weight=0.2, plastic=True, sign="excitatory")
    learner = net.learner(
        "in", "out", {"cell": {"distribution": "normal", "mean": 0.0, "std": 0.05}, "out": 0.1},
        code={"code": "poisson", "rate": 100.0}, optimiser={"name": "rmsprop", "learning_rate": 0.02},
    )  # fmt: skip
    x = np.tile([[1.0, 0.9, 0.8, 0, 0], [0, 0, 0.7, 0.8, 1.0]], (8, 1))
    targets = np.tile([[120.0, 60.0], [60.0, 120.0]], (8, 1))

    def apart():
        rates = learner.rates(x).reshape(8, 2, 2).mean(axis=0)
        return rates[0, 0] - rates[0, 1], rates[1, 1] - rates[1, 0]

    assert min(apart()) < 5
    for _ in range(40):
        learner.epoch(x, targets, 4)
    assert min(apart()) > 15


def small(**changes):
    """A circuit, and what its learner is given."""
    net = localdfa.Circuit(seed=1)
    models = changes.get("models", "lif")
    net.population("exc", 4, models, tau_m=10.0)
    net.population("out", 2, models, tau_m=10.0)
    net.population("idle", 2, changes.get("model", models))
    net.poisson("in", 3, 5.0)
    net.project("in", "exc", weight=0.1, plastic=changes.get("plastic", True), tau_syn=changes.get("tau_syn", 0.0))
    net.project("exc", "out", weight=0.1)
    if "noise" in changes:
        net.noise("exc", 10.0, 0.1)
    if "pulse" in changes:
        net.current("exc", 1.0, begin=2.0)
    return net


B = np.ones((4, 2))


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({"noise": True}, {}, "noise of 'exc': is no part of trials; allowed: a source of Poisson"),
        ({"pulse": True}, {}, "current of 'exc': changes at 2 ms"),
        ({"model": "qif"}, {}, "population 'idle': its model, 'qif', is not that of 'out', 'lif'"),
        ({"plastic": False}, {}, "no projection is plastic"),
        ({}, {"inputs": "exc"}, "inputs: 'exc' is a population of neurons; allowed: a source: in"),
        ({}, {"readout": "in"}, "readout: 'in' is a source"),
        ({}, {"feedback": {}}, "feedback: reaches no population"),
        ({}, {"feedback": 3}, "feedback: 3; allowed: a table by population"),
        ({}, {"feedback": {"exc": 0.1}}, r"feedback.exc: 0.1; allowed: an array of shape \(4, 2\)"),
        ({}, {"feedback": {"exc": B.T}}, r"feedback.exc: an array of shape \(2, 4\)"),
        ({}, {"feedback": {"in": B}}, "feedback: .*'in'"),
        ({}, {"feedback": {"exc": B, "out": 1.0}}, "feedback.out: no plastic projection leads to 'out'"),
        ({}, {"feedback": {"out": 1.0}}, "projection from 'in' to 'exc'.plastic: no feedback reaches 'exc'"),
        ({}, {"free": 100.0}, "free: after 100 ms the traces still rise.*at least 320 ms"),
        ({}, {"gate": 500.0}, "gate: 500.0; allowed"),
        ({}, {"beta": 0.0}, "beta: 0.0"),
        ({}, {"nudging": "both"}, "nudging: .*'both'.*centered"),
        ({}, {"propagation": "held"}, "propagation: .*'held'.*two_compartment"),
        ({}, {"code": {"code": "current"}}, "code.code: .*'current'.*poisson"),
        ({}, {"code": {"code": "poisson", "window": 3.0}}, "code: .*'window'.*rate"),
        ({}, {"code": "poisson"}, "code: 'poisson'; allowed: a table"),
        ({}, {"optimiser": {"name": "adagrad"}}, "optimiser.name: .*'adagrad'"),
        ({}, {"rule": "local"}, "rule: 'local'; allowed: a table"),
        ({}, {"rule": {"name": "dfa"}}, "rule.name: .*'dfa'.*erbp, local"),
        ({}, {"rule": {}}, "rule.name: None"),
        ({}, {"rule": {"name": "erbp", "v_low": 2.0}}, "rule: v_low = 2 lies above v_high = 1"),
        ({}, {"rule": {"name": "local", "v_low": 2.0}}, "rule.v_low: .*local.*none"),
        ({}, {"rule": {"name": "erbp"}, "beta": 0.5}, "beta: 0.5; .*'erbp' is the same at any"),
        ({}, {"rule": {"name": "erbp"}, "propagation": "live"}, "propagation: 'live'; the rule 'erbp' reads the signal"),
        ({"tau_syn": 5.0}, {"rule": {"name": "erbp"}}, "rule.name: 'erbp' .*'in' to 'exc' has tau_syn = 5; allowed with it: 0"),
        ({"models": "alif"}, {"rule": {"name": "erbp"}}, "rule.name: 'erbp' .*thresholds of 'exc', 'alif', adapt"),
        ({}, {"rule": {"name": "erbp"}, "feedback": {"out": 1.0}}, "no feedback reaches 'exc'.*allowed: with feedback.exc$"),
        ({}, {"optimiser": {"name": "sgd", "rate": 1.0}}, "optimiser.rate"),
        ({}, {"optimiser": "sgd"}, "optimiser: 'sgd'; allowed: a table"),
        ({}, {"projections": [("exc", "out")]}, r"projections: .*; allowed: a list of plastic ones, of \('in', 'exc'\)"),
        ({}, {"projections": ("in", "exc")}, "projections: 'in'; allowed: a list of plastic ones"),
        ({}, {"projections": [[["in"], "exc"]]}, "projections: .*; allowed: a list of plastic ones"),
        ({}, {"projections": []}, r"projections: \[\]; allowed: a list of plastic ones"),
        ({}, {"projections": 3}, "projections: 3; allowed: a list of plastic ones"),
    ],
)  # fmt: skip
def test_what_cannot_learn_is_refused_before_anything_is_drawn(changes, given, message):
    net = small(**changes)
    own = {"inputs": "in", "readout": "out", "feedback": {"exc": B}, **given}
    with pytest.raises(SpecError, match=message):
        net.learner(own.pop("inputs"), own.pop("readout"), own.pop("feedback"), **own)
    assert net.simulation is None


@pytest.mark.parametrize(
    ("code", "inputs", "targets", "message"),
    [
        ("poisson", np.zeros((2, 4)), None, r"inputs: an array of shape \(2, 4\)"),
        ("poisson", 3.0, None, "inputs: "),
        ("poisson", [], None, "inputs: "),
        ("poisson", np.full((2, 3), 1.5), None, r"inputs: input 0 of sample 0 is 1.5"),
        ("poisson", np.zeros((2, 3)), np.zeros((2, 3)), r"targets: an array of shape \(2, 3\); allowed: .*\(2, 2\)"),
        ("trains", np.zeros((2, 3)), None, r"allowed: a pair \(times, neurons\) for each trial"),
        ("trains", [([1.0, 2.0], [0, 3])], None, r"inputs\[0\], neurons: 3"),
        ("trains", [([], []), ([-1.0], [0])], None, r"inputs\[1\], times: -1.0"),
        ("trains", [([], []), 5], None, r"inputs\[1\]: 5"),
        ("poisson", np.zeros((2, 3)), [[5.0, -1.0]] * 2, r"targets: -1.0 among its entries; allowed: numbers from 0"),
    ],
)  # fmt: skip
def test_trials_that_do_not_fit_are_refused(code, inputs, targets, message):
    learner = small().learner("in", "out", {"exc": B}, code={"code": code})
    with pytest.raises(SpecError, match=message):
        learner.epoch(inputs, np.zeros((2, 2)) if targets is None else targets)


def test_trains_that_begin_when_no_synapse_learns_any_more_are_refused():
    """Nudged phases are shorter than free ones by default; rates are those of the free phase, which sees such trains."""
    learner = small().learner("in", "out", {"exc": B}, code={"code": "trains"}, tau_x=20.0, tau_z=20.0)
    late = [(np.linspace(101, 159, 30), np.arange(30) % 3)] * 2
    with pytest.raises(SpecError, match=r"comes at 101 ms, when the nudged phases, 100 ms, are over, .* nudged=159$"):
        learner.epoch(late, np.zeros((2, 2)))
    assert learner.rates(late).shape == (2, 2)
    learner.epoch([([], []), ([99.0], [0])], np.zeros((2, 2)))
    with pytest.raises(SpecError, match=r"inputs\[0\], times: has masked entries"):
        learner.rates([(np.ma.masked_less([1.0, 50.0], 2.0), [0, 1])])


def test_rates_of_many_trials_are_those_of_some_at_a_time(monkeypatch):
    net = small()
    net.current("out", np.array([1.2, 1.5]))
    net.current("exc", 1.3)
    rng = np.random.default_rng(0)
    learner = net.learner("in", "out", {"exc": B}, code={"code": "trains"}, free=320.0)
    trains = [(rng.uniform(0, 300, 50 + 20 * k), rng.integers(3, size=50 + 20 * k)) for k in range(8)]
    expected = learner.rates(trains)
    monkeypatch.setattr(learning, "CHUNK", 3)
    assert learner.rates(trains).tolist() == expected.tolist()
    assert len(np.unique(expected)) > 3


def trains_of(scale, **code):
    """A learner of given trains of 300 ms, with a free phase of 320 ms, and these trains in some unit."""
    rng = np.random.default_rng(0)
    learner = small().learner("in", "out", {"exc": B}, code={"code": "trains", **code}, free=320.0)
    return learner, [(scale * rng.uniform(0, 300, 50), rng.integers(3, size=50)) for _ in range(2)]


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (1e-3, r"inputs, times: the last spike comes 0.\d+ ms .*are these seconds\? Say it, as in code=.*'time_unit': 's'}"),
        (1e3, r"inputs, times: .* % of the spikes come after the end of the free phase, 320 ms, .*are these microseconds\?"),
        (3.0, r"inputs, times: 7\d % of the spikes come after .* 320 ms, .* up to 10 %, as with free=8\d\d$"),
    ],
)
def test_trains_that_phases_cut_off_or_that_are_not_in_ms_are_refused(scale, message):
    learner, trains = trains_of(scale)
    for learn in (lambda: learner.epoch(trains, np.zeros((2, 2))), lambda: learner.rates(trains)):
        with pytest.raises(SpecError, match=message):
            learn()


def test_trains_are_in_the_unit_that_is_said():
    expected, trains = trains_of(1.0)
    expected = expected.rates(trains)
    for scale, unit in ((1.0, "ms"), (1e-3, "s"), (1e3, "us")):
        learner, trains = trains_of(scale, time_unit=unit)
        np.testing.assert_allclose(learner.rates(trains), expected, rtol=1e-6)
    learner, _ = trains_of(1.0, time_unit="ms")
    learner.rates([([0.5, 1.0], [0, 1])])  # a volley, which without it would be taken for seconds
    for code, message in (
        ({"code": "trains", "time_unit": "min"}, r"code.time_unit: 'min' is not one of ms, s, us"),
        ({"code": "poisson", "time_unit": "ms"}, r"code: 'time_unit' is not one of rate"),
    ):
        with pytest.raises(SpecError, match=message):
            small().learner("in", "out", {"exc": B}, code=code)


def test_a_long_nudged_phase_sees_what_comes_after_the_free_one():
    learner = small().learner("in", "out", {"exc": B}, code={"code": "trains"}, tau_x=5.0, tau_z=5.0, nudged=400.0)
    times = np.linspace(0.0, 390.0, 40)
    assert learner.epoch([(times, np.zeros(40, int))], np.zeros((1, 2))).shape == (1, 2)
    with pytest.raises(SpecError, match="come after the end of the nudged phase, 400 ms"):
        learner.epoch([(3 * times, np.zeros(40, int))], np.zeros((1, 2)))


def test_synapses_that_are_shown_can_only_be_read():
    net = small()
    for column in net.synapses("in", "exc"):
        with pytest.raises(ValueError, match="read-only"):
            column[:] = 5


def test_a_weight_that_is_not_finite_is_named_by_its_projection():
    learner = small().learner("in", "out", {"exc": B})
    with pytest.raises(NonFiniteError, match="projection from 'in' to 'exc': a weight is not finite after pass 1"):
        learner._learn([np.full((1, 12), np.nan, np.float32)], 0)


def test_synapses_that_there_are_not_are_refused():
    with pytest.raises(SpecError, match="there are no synapses from 'out' to 'exc'"):
        small().synapses("out", "exc")
