"""The kernel for any neuron and any rule for spikes; event-driven random back-propagation; targets in place of errors."""

import math
from itertools import pairwise

import numpy as np
import pytest
from spiking_cases import FREE, HIDDEN, N_IN, N_OUT, NUDGED, case, samples

from localdfa import network as networks
from localdfa import registry, spec
from localdfa.core.compiled import device
from localdfa.core.rate import settled, timed
from localdfa.core.spiking import batch as spikes
from localdfa.engines import engine
from localdfa.errors import SpecError
from localdfa.neurons.qif import QIF
from localdfa.rules.local import Local

BACK = {"pre": 2, "post": 1, "delay": 2.0}
SPARSE = {"pre": 1, "post": 2, "connect": "sparse", "probability": 0.5}
QIF_PARAMETERS = {"baseline": 0.6, "tau_m": 6.0, "v_th": 8.0, "v_reset": -4.0, "t_ref": 0.9}


class Asked(Local):
    """The local rule as one that only the general kernel serves."""

    @staticmethod
    @device
    def at_arrival(r, z, v, c, traces):
        return -traces.pre * z

    @staticmethod
    @device
    def at_spike(r, z, v, c, traces):
        return traces.post


def totals(network, setting, m=2):
    found = spikes.simulate(network, setting, *samples(m), np.random.default_rng(3))
    return found, [t.copy() for t in found.totals()]


@pytest.mark.parametrize(
    ("more", "phases"),
    [
        ({}, {}),
        ({"projections": [BACK, SPARSE]}, {}),
        ({}, {"propagation": "two_compartment", "nudging": "centered"}),
        ({"feedback": {"signal": "spikes", "rate": 300.0}}, {}),
    ],
    ids=["dense", "recurrent, sparse", "twins", "error spikes"],
)  # fmt: skip
def test_one_arrival_after_the_other_gives_what_the_fast_kernels_give(made_up, more, phases):
    made_up(asked=Asked)
    setting, network = case(phases=phases, **more)
    fast, expected = totals(network, setting)
    slow, found = totals(network, setting.under("asked"))
    assert fast.events == slow.events > 50
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())
    assert all(np.abs(t).max() > 0 for t in expected)


def membrane(p, drive, arrivals, stop):
    """v of a neuron just before each arrival, and its spikes, by its closed forms alone; arrivals [(time, jump)]."""
    v, t, sent, seen = p.v_reset, 0.0, [], []
    for time, jump in [*sorted(arrivals), (stop, None)]:
        while t < time:
            crossing = t + p.__class__.wait(p, v, drive)
            if crossing >= time:
                v, t = p.__class__.relax(p, v, drive, time - t), time
                break
            sent.append(crossing)
            v, t = p.v_reset, crossing + p.t_ref
        seen.append(v)
        if jump is not None and t <= time:
            v += jump
            if v >= p.v_th and jump > 0:
                sent.append(time)
                v, t = p.v_reset, time + p.t_ref
    return seen[:-1], sent


@pytest.mark.parametrize(("neuron", "parameters"), [("lif", {}), ("qif", QIF_PARAMETERS)])
def test_erbp_counts_arrivals_while_v_lies_in_the_window(neuron, parameters):
    low, high = (0.4, 0.9) if neuron == "lif" else (-1.0, 2.0)
    setting, network = case(
        neuron,
        rule="erbp",
        rules={"erbp": {"v_low": low, "v_high": high}},
        neuron_parameters=parameters,
        hidden=(6,),
        phases={"propagation": "held", "beta": registry.get("neurons", neuron).beta},
    )
    inputs, targets = samples(1)
    trial = spikes.record(network, setting, inputs[0], targets[0], np.random.default_rng(3))
    found = spikes.simulate(network, setting, inputs, targets, np.random.default_rng(3)).totals()[0]
    p, delay = network.neuron, setting.network.delay
    arrivals = [(event["time"] + delay, int(event["neuron"])) for event in trial.incoming]
    assert len({time for time, _ in arrivals}) == len(arrivals)
    signal, expected = network.feedback[0] @ trial.error, np.zeros((N_IN + 1, 6))
    unit = registry.get("inputs", "poisson").unit(setting.input)
    for i in range(6):
        jumps = [(time, network.weights[0][j, i] * unit / p.tau_m) for time, j in arrivals]
        seen, sent = membrane(p, p.baseline + network.weights[0][-1, i], jumps, FREE + NUDGED)
        ours = trial.spikes[0]["time"][trial.spikes[0]["neuron"] == i]
        np.testing.assert_allclose(ours, sent, atol=1e-8)
        for (time, j), v in zip(sorted(arrivals), seen, strict=True):
            if time >= FREE and low <= v <= high:
                expected[j, i] -= signal[i] * unit / NUDGED
    assert np.count_nonzero(expected) > 5
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_qif_spikes_where_fine_integration_does():
    setting, network = case("qif", neuron_parameters=QIF_PARAMETERS, hidden=(6,))
    trial = spikes.record(network, setting, samples(1)[0][0], rng=np.random.default_rng(3))
    p, dt, n = network.neuron, 2e-4, 0
    arrivals = sorted((event["time"] + setting.network.delay, int(event["neuron"])) for event in trial.incoming)
    unit, drive = registry.get("inputs", "poisson").unit(setting.input), p.baseline + network.weights[0][-1]
    v, rest, sent = np.full(6, p.v_reset), np.full(6, -math.inf), []

    def slope(v):
        return (v * v + drive) / p.tau_m

    for step in range(round(FREE / dt)):
        t = step * dt
        while n < len(arrivals) and arrivals[n][0] <= t:
            v[rest <= t] += network.weights[0][arrivals[n][1]][rest <= t] * unit / p.tau_m
            n += 1
        a = slope(v)
        b = slope(v + 0.5 * dt * a)
        c = slope(v + 0.5 * dt * b)
        later = v + dt / 6 * (a + 2 * b + 2 * c + slope(v + dt * c))
        v = np.where(rest <= t, later, p.v_reset)
        for i in np.flatnonzero(v >= p.v_th):
            sent.append((i, t + dt))
            v[i], rest[i] = p.v_reset, t + dt + p.t_ref
    ours = sorted((int(event["neuron"]), event["time"]) for event in trial.spikes[0])
    assert [i for i, _ in ours] == [i for i, _ in sorted(sent)]
    assert len(sent) > 8
    np.testing.assert_allclose([t for _, t in ours], [t for _, t in sorted(sent)], atol=0.02)


def test_qif_in_a_deep_net_learns_by_traces_as_its_spikes_say():
    """∫ x dz of each synapse from the spikes alone, by `naive_spikes`; two compartments, centered."""
    import naive_spikes as naive

    setting, network = case("qif", neuron_parameters=QIF_PARAMETERS)
    inputs, targets = samples(1)
    trial = spikes.record(network, setting, inputs[0], targets[0], np.random.default_rng(3))
    total = spikes.simulate(network, setting, inputs, targets, np.random.default_rng(3)).totals()[1]
    pre, post = ([trial.spikes[l]["time"][trial.spikes[l]["neuron"] == i] for i in range(n)] for l, n in enumerate(HIDDEN))
    trace, gain = setting.trace, network.neuron.gain
    expected = [
        [
            naive.integral([t + setting.network.delay for t in x], list(z), FREE, FREE + NUDGED, trace.tau_x, trace.tau_z)
            * gain**2 / (trace.tau_x * trace.tau_z) / setting.phases.beta
            for z in post
        ]
        for x in pre
    ]  # fmt: skip
    assert np.count_nonzero(expected) > 5
    np.testing.assert_allclose(total[:-1], expected, atol=1e-9)


# What each output unit sends back, of its target and its error.
SENT = {"drtp": lambda target, error: -target, "sign_error": lambda target, error: np.sign(error)}


@pytest.mark.parametrize("tables", [{}, {"neuron": {"tau": 5.0}}], ids=["settled", "timed"])
@pytest.mark.parametrize("pathway", SENT)
def test_the_target_or_the_sign_of_the_error_is_sent(pathway, tables):
    events = {"network": {"hidden": [4, 3], "weights": "uniform", "threshold": 0.01 if tables else 0.0}}
    setting = spec.experiment({"rule": "local", "precision": "float64", "feedback": {"pathway": pathway}, **events, **tables})
    network = networks.build(setting, N_IN, N_OUT, 0)
    inputs, targets = samples(3)
    found = engine(setting, "local").learn(network, inputs, targets, np.random.default_rng(0), frozenset())
    # As through matrices that make −B y*, or B sign(e), of the error of each sample by itself.
    for s in range(3):
        one = slice(s, s + 1)
        run = timed.simulate if tables else lambda n, _, x: settled.free_phase(n, x)
        error = run(network, setting, inputs[one]).prediction - targets[one]
        direct = setting.model_copy(update={"feedback": setting.feedback.model_copy(update={"pathway": "direct"})})
        same = networks.rewired(network, direct, "local", 0)
        sent = SENT[pathway](targets[s], error[0])
        same.feedback[:] = [np.outer(b @ sent, error[0]) / (error @ error.T) for b in network.feedback]
        expected = engine(direct, "local").learn(same, inputs[one], targets[one], np.random.default_rng(0), frozenset())
        alone = engine(setting, "local").learn(network, inputs[one], targets[one], np.random.default_rng(0), frozenset())
        for ours, theirs in zip(alone.totals(), expected.totals(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
            assert np.abs(theirs).max() > 0
    assert len(found.totals()) == 3


@pytest.mark.parametrize("pathway", SENT)
def test_the_target_or_the_sign_of_the_error_is_sent_as_a_current(pathway):
    setting, network = case(
        feedback={"gain": 3.0, "pathway": pathway}, network={"output": "spikes"}, phases={"teacher": "drive"}
    )
    inputs, targets = samples(1)
    rng = lambda: np.random.default_rng(3)  # noqa: E731
    error = spikes.record(network, setting, inputs[0], targets[0], rng()).error
    direct = setting.model_copy(update={"feedback": setting.feedback.model_copy(update={"pathway": "direct"})})
    same = networks.rewired(network, direct, "local", 4)
    sent = SENT[pathway](targets[0], error)
    same.feedback[:] = [np.outer(b @ sent, error) / (error @ error) for b in network.feedback]
    for ours, theirs in zip(
        spikes.simulate(network, setting, inputs, targets, rng()).totals(),
        spikes.simulate(same, direct, inputs, targets, rng()).totals(),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-8 * np.abs(theirs).max())
        assert np.abs(theirs).max() > 0


@pytest.mark.parametrize(("rule", "pathway"), [("drtp", "drtp"), ("dfa", "sign_error")])
def test_exact_is_what_is_sent_times_the_slope(rule, pathway):
    threshold = 0.1 if pathway == "sign_error" else 0.0
    setting = spec.experiment(
        {
            "rule": rule, "precision": "float64", "network": {"hidden": [4], "weights": "uniform"},
            "feedback": {"pathway": pathway, "threshold": threshold},
        }
    )  # fmt: skip
    network = networks.build(setting, N_IN, N_OUT, 0)
    inputs, targets = samples(3)
    network.weights[1][:] *= 8
    learned = engine(setting, rule).learn(network, inputs, targets, np.random.default_rng(0), frozenset())
    drive, error = inputs @ network.weights[0], settled.free_phase(network, inputs).prediction - targets
    error[np.abs(error) <= threshold] = 0
    assert (pathway == "drtp") == error.all()
    sent = SENT[pathway](targets, error)
    np.testing.assert_allclose(learned.change[0], -(sent @ network.feedback[0].T) / np.cosh(drive) ** 2, rtol=1e-12)
    # Each value that is sent passes the four synapses of its unit.
    assert learned.feedback_events == 4 * np.count_nonzero(sent)


class ForRates(Local):
    engines = ("settled",)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"rule": "erbp"}, ["rule: 'erbp' is a rule for spiking neurons", "network.neuron = 'tanh'", "local"]),
        ({"rule": "rates", "network": {"neuron": "lif"}}, ["rule: 'rates'", "spiking neurons", "erbp, local"]),
        ({"rule": "rates", "neuron": {"tau": 5.0}, "network": {"threshold": 0.01}}, ["rule: 'rates'", "in time", "local"]),
        ({"rule": "erbp", "network": {"neuron": "lif"}}, ["input.code: 'current'", "erbp", "poisson"]),
        (
            {"rule": "erbp", "network": {"neuron": "lif", "tau_syn": 5.0}, "input": {"code": "poisson"}},
            ["network.tau_syn: [5.0]", "erbp", "allowed: 0"],
        ),
        ({"network": {"neuron": "qif", "tau_syn": 5.0}}, ["network.tau_syn", "'qif'"]),
        (
            {"rule": "erbp", "network": {"neuron": "lif"}, "input": {"code": "poisson"}, "feedback": {"signal": "spikes"}},
            ["feedback.signal: 'spikes'", "erbp"],
        ),
        (
            {"rule": "erbp", "network": {"neuron": "lif"}, "input": {"code": "poisson"}, "phases": {"propagation": "live"}},
            ["phases.propagation: 'live'", "'erbp' injects none", "allowed: 'held'"],
        ),
        (
            {"network": {"neuron": "lif"}, "feedback": {"pathway": "drtp", "signal": "spikes"}},
            ["feedback.signal: 'spikes'", "'drtp' carries something else"],
        ),
        (
            {"network": {"neuron": "lif"}, "feedback": {"pathway": "sign_error", "signal": "spikes"}},
            ["feedback.signal: 'spikes'", "'sign_error' carries something else"],
        ),
        ({"rules": {"erbp": {"v_low": 0.1}}}, ["rules.erbp: no condition trains with the rule 'erbp'"]),
        ({"feedback": {"pathway": "drtp", "threshold": 0.1}}, ["feedback.threshold: 0.1", "'drtp'", "allowed: 0.0"]),
        ({"rule": "erbp", "rules": {"erbp": {"window": 1}}}, ["rules.erbp.window", "v_low, v_high"]),
        ({"rules": {"local": {"eta": 1}}}, ["rules.local.eta", "it has none"]),
        ({"rules": {"erpb": {}}}, ["rules.erpb", "did you mean 'erbp'"]),
    ],
)
def test_what_an_engine_does_not_honour_is_refused(made_up, tables, words):
    made_up(rates=ForRates)
    with pytest.raises(SpecError) as refused:
        spec.experiment(tables)
    for word in words:
        assert word in str(refused.value)


def test_wait_and_relax_of_qif_meet_at_the_threshold():
    p = QIF(**QIF_PARAMETERS)
    for drive in (-2.0, -1e-9, 0.0, 1e-9, 0.3, 4.0):
        for v in (-4.0, -1.0, 0.0, 0.5, 2.0, 7.9):
            time = QIF.wait(p, v, drive)
            if math.isfinite(time):
                assert QIF.relax(p, v, drive, 0.5 * time) == pytest.approx(
                    QIF.relax(p, QIF.relax(p, v, drive, 0.3 * time), drive, 0.2 * time), rel=1e-6
                )
                assert QIF.relax(p, v, drive, time) == pytest.approx(p.v_th, rel=1e-6)
            else:
                course = [QIF.relax(p, v, drive, t) for t in (1.0, 10.0, 100.0, 1000.0)]
                assert all(a <= b <= 1e-6 for a, b in pairwise(course)) or all(a >= b for a, b in pairwise(course))
