"""The spiking mode: exact spike times, the local rule as balanced STDP, and no crossing missed."""

import dataclasses
import math
from functools import lru_cache
from itertools import pairwise
from unittest.mock import patch

import naive_spikes as naive
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.integrate import quad

from localdfa import network as networks
from localdfa import spec
from localdfa.core.spiking import batch as spikes
from localdfa.core.spiking.tables import tables_of
from localdfa.data.trains import Trains as Given
from localdfa.errors import NonFiniteError

SIZES = (4, 6, 5, 3)


def case(
    sizes=SIZES, output="logistic", precision="float64", pathway="direct", neuron=None, trace=None, scale=2.0, volleys=False,
    **phases,
):  # fmt: skip
    """A setting of a small spiking network, and that network with lively weights; volleys: its first layer spikes by threes."""
    phases = {"beta": 0.4, "free": 90.0, "nudged": 37.0, "propagation": "live", **phases}
    setting = spec.experiment(
        {
            "precision": precision,
            "network": {"hidden": list(sizes[1:-1]), "neuron": "lif", "output": output, "weights": "uniform", "delay": 1.3},
            "neuron": neuron or {},
            "trace": {"tau_x": 7.0, "tau_z": 11.0, **(trace or {})},
            "feedback": {"pathway": pathway, "gain": 2.0},
            "phases": phases,
        }
    )  # fmt: skip
    network = networks.build(setting, sizes[0], sizes[-1], 3)
    for w in network.weights:
        w *= scale
    if volleys:
        network.weights[0][:] = network.weights[0][:, np.arange(sizes[1]) // 3]
    return setting, network


def samples(m=3, n_in=SIZES[0], n_out=SIZES[-1], dtype=np.float64):
    rng = np.random.default_rng(5)
    inputs = np.ones((m, n_in + 1))
    inputs[:, :-1] = rng.uniform(0.1, 1, (m, n_in))
    return inputs.astype(dtype), np.eye(n_out, dtype=dtype)[rng.integers(0, n_out, m)]


def obvious(setting, network, x, y):
    """The same trial by the naive simulation."""
    phases = setting.phases
    gate = phases.gate_duration
    after = [(phases.nudged - gate, 0, False)] if gate < phases.nudged else []
    course = [(phases.free, 0, False), (gate, 1, True), *((length, 1, opens) for length, _, opens in after)]
    if phases.nudging == "centered":
        course += [(phases.free, 0, False), (gate, -1, True), *((length, -1, opens) for length, _, opens in after)]
    fed = (0,) if setting.feedback.pathway == "indirect" else None
    feedback = [
        np.zeros((n, network.sizes[-1])) if b is None else b for n, b in zip(SIZES[1:-1], network.feedback, strict=True)
    ]
    return naive.Trial(
        network.neuron, setting.network.delay, network.weights, feedback, setting.network.output, x[:-1], y, course,
        phases.beta, setting.trace.tau_x, setting.trace.tau_z, phases.propagation != "live", fed,
    )  # fmt: skip


def trains(events, n):
    return [events["time"][events["neuron"] == i] for i in range(n)]


# --- against the naive simulation -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nudging": "one_sided"},
        {"propagation": "held"},
        {"propagation": "two_compartment", "gate": 20.0},
        {"gate": 36.9, "output": "softmax"},
        {"output": "linear"},
        {"pathway": "indirect"},
        {"neuron": {"t_ref": 4.0, "v_reset": -0.5, "tau_m": 6.0, "gain": 9.0, "v_th": 0.8}},
        {"neuron": {"baseline": 0.9}, "trace": {"tau_x": 11.0}},  # driven by fluctuations; τ_x = τ_z
        {"scale": 8.0, "propagation": "two_compartment"},  # some silent, some near one spike a t_ref
        {"volleys": True},  # several arrivals at a moment
    ],
    ids=str,
)
def test_equals_the_naive_simulation(changes):
    """Every spike of soma and twin, the readout, and the update of every projection."""
    setting, network = case(**changes)
    inputs, targets = samples(2)
    found = spikes.simulate(network, setting, inputs, targets)
    trials = [obvious(setting, network, x, y) for x, y in zip(inputs, targets, strict=True)]
    trial = spikes.record(network, setting, inputs[0], targets[0])
    somata, twins = trial.spikes, trial.twins
    for l, n in enumerate(SIZES[1:-1]):
        for train, expected in zip(trains(somata[l], n), trials[0].somata[l], strict=True):
            np.testing.assert_allclose(train, expected, rtol=0, atol=1e-9)
        if setting.phases.propagation != "live":
            for train, expected in zip(trains(twins[l], n), trials[0].read[l], strict=True):
                np.testing.assert_allclose(train, [t for t in expected if t >= setting.phases.free], rtol=0, atol=1e-9)
        counts = [[sum(t < setting.phases.free for t in train) for train in trial.somata[l]] for trial in trials]
        np.testing.assert_array_equal(found.counts[l], counts)
    assert sum(map(len, somata)) > 60
    np.testing.assert_allclose(found.drive, [trial.drive for trial in trials], rtol=0, atol=1e-10)
    for l, total in enumerate(found.totals()):
        np.testing.assert_allclose(total, sum(trial.total(l) for trial in trials), rtol=0, atol=1e-9)


def test_a_periodic_train_in_closed_form_is_the_train_spike_by_spike():
    """The same constant drives, once to a first layer in closed form, once to a layer driven by arrivals without weight."""
    setting, network = case((3, 40, 40, 2), scale=3.0)
    network.weights[1][:-1] = 0
    inputs, targets = samples(1, 3, 2)
    network.weights[1][-1] = inputs[0] @ network.weights[0]
    network.feedback[1][:] = network.feedback[0]
    closed, stepped = spikes.record(network, setting, inputs[0], targets[0]).spikes
    assert len(closed) > 500
    np.testing.assert_array_equal(closed["neuron"][np.argsort(closed["neuron"], kind="stable")], np.sort(stepped["neuron"]))
    for one, other in zip(trains(closed, 40), trains(stepped, 40), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    found = spikes.simulate(network, setting, inputs, targets).totals()
    np.testing.assert_allclose(found[1][-1], found[0][-1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("baseline", [0.5, 1.5])
def test_a_neuron_that_begins_at_its_threshold_spikes_at_once_if_it_rises_and_not_if_it_falls(baseline):
    """As rounding leaves v, now and then, at the end of a phase."""
    setting, network = case((3, 40, 4, 2), neuron={"baseline": baseline}, scale=0.1)
    started = dataclasses.replace(network, start=[np.full(40, 1.0), np.zeros(4)])
    first = spikes.record(started, setting, samples(1, 3, 2)[0][0]).spikes[0]
    assert len(first[first["time"] == 0.0]) == (40 if baseline > 1 else 0)
    assert len(first) == 0 or baseline > 1


def test_no_crossing_is_missed():
    """Against a clock of 1e-4 ms: as many spikes of every neuron, each within a few steps, over random drives and jumps."""
    setting, network = case((6, 12, 40, 2), free=100.0, scale=4.0)
    inputs, _ = samples(1, 6, 2)
    below, found = spikes.record(network, setting, inputs[0]).spikes
    p, dt = network.neuron, 1e-4
    jumps = p.gain / p.tau_m * network.weights[1][:-1]
    arrivals = [(event["time"] + setting.network.delay, jumps[event["neuron"]]) for event in below]
    drive = p.baseline + network.weights[1][-1]
    expected = naive.clock(p, drive, arrivals, 100.0, dt)
    assert sum(map(len, expected)) > 200
    missed = sum(abs(len(a) - len(b)) for a, b in zip(trains(found, 40), expected, strict=True))
    assert missed == 0
    for one, other in zip(trains(found, 40), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=0.02)


# --- the local rule in event form -------------------------------------------------------------------------------------


@lru_cache(1)
def synapse(t0, t1, tau_x, tau_z):
    """The setting and the network of `event_form`."""
    setting = spec.experiment(
        {
            "precision": "float64",
            "network": {"hidden": [1], "neuron": "lif", "weights": "uniform"},
            "neuron": {"tau_m": 5.0, "t_ref": 0.1, "baseline": 0.0, "gain": tau_z},
            "trace": {"tau_x": tau_x, "tau_z": tau_z},
            "input": {"code": "trains"},
            "phases": {"free": 1e6, "nudging": "one_sided", "propagation": "live", "beta": 1.0},
        }
    )
    changed = {"phases": {"free": t0, "nudged": t1 - t0}, "network": {"delay": 1e-9}}  # shorter than a spec allows, unsettled
    setting = setting.model_copy(update={key: getattr(setting, key).model_copy(update=new) for key, new in changed.items()})
    network = networks.build(setting, 2, 2, 0)
    network.weights[0][:] = [[0.0], [1e3], [0.0]]
    network.feedback[0][:] = 0
    return setting, network


def event_form(pre, post, t0, t1, tau_x, tau_z):
    """∫ x dz from t0 to t1 of the synapse, without weight, of an input with a presynaptic train; another input forces the
    postsynaptic one on the neuron. The feedback is too weak to matter."""
    setting, network = synapse(t0, t1, tau_x, tau_z)
    neuron = np.repeat([0, 1], [len(pre), len(post)])
    time = np.array([*pre, *post], float) - 1e-9
    given = Given(np.zeros(len(time), int), neuron, time, 1, 2)
    with patch.object(spikes, "phase_begins", return_value=(np.zeros(1), t1)):  # else the trains begin anew with each phase
        found = spikes.simulate(network, setting, given, np.eye(2)[:1])
    return found.totals()[0][0, 0] * tau_x / 10.0  # h of an input is 10 ms · rate


def by_quadrature(pre, post, t0, t1, tau_x, tau_z):
    """∫ x dz: x just before each spike of the gate, and ∫ x dz/dt dt by adaptive quadrature between all spikes."""
    edges = sorted({t0, t1, *(s for s in (*pre, *post) if t0 < s < t1)})
    result = sum(naive.trace(pre, s, tau_x) for s in post if t0 <= s < t1)
    for a, b in pairwise(edges):
        x = sum(math.exp((s - a) / tau_x) for s in pre if s <= a)
        z = sum(math.exp((s - a) / tau_z) for s in post if s <= a)

        def flow(t, a=a, x=x, z=z):
            return -x * math.exp((a - t) / tau_x) * z * math.exp((a - t) / tau_z) / tau_z

        result += quad(flow, a, b, epsabs=0, epsrel=1e-12)[0] if x * z else 0.0
    return result


def spaced(times):
    """A train without two spikes within a refractory period."""
    kept = []
    for t in sorted(times):
        if not kept or t - kept[-1] > 0.11:
            kept.append(t)
    return kept


moments = st.lists(st.floats(0, 200), max_size=25)


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    pre=moments, post=moments, both=st.lists(st.floats(0, 200), max_size=3),
    gate=st.tuples(st.floats(1, 199), st.floats(0.1, 120)),
    tau_x=st.floats(1, 100), tau_z=st.floats(1, 100),
)  # fmt: skip
def test_the_event_form_is_the_integral(pre, post, both, gate, tau_x, tau_z):
    """Random trains, time constants and gates; some spikes at the same moment on both sides."""
    pre, post, (t0, length) = spaced(pre + both), spaced(post + both), gate
    found, expected = (f(pre, post, t0, t0 + length, tau_x, tau_z) for f in (event_form, by_quadrature))
    size = sum(naive.trace(pre, s, tau_x) for s in post) + sum(naive.trace(post, s, tau_z) for s in pre)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * size)


@pytest.mark.parametrize(("tau_x", "tau_z"), [(20.0, 20.0), (10.0, 40.0), (40.0, 10.0)])
def test_the_pair_window_has_equal_areas(tau_x, tau_z):
    """One presynaptic and one postsynaptic spike in an open gate: potentiation and depression have one area."""
    lags = np.arange(0.5, 500)
    ahead, behind = (
        np.array([event_form([a], [b], 0.5, 4000.0, tau_x, tau_z) for a, b in pairs])
        for pairs in ([(600, 600 + lag) for lag in lags], [(600, 600 - lag) for lag in lags])
    )
    np.testing.assert_allclose(ahead, tau_z / (tau_x + tau_z) * np.exp(-lags / tau_x), rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(behind, -tau_x / (tau_x + tau_z) * np.exp(-lags / tau_z), rtol=1e-9, atol=1e-16)
    assert ahead.sum() == pytest.approx(-behind.sum(), rel=1e-3)


def test_a_spike_does_not_read_the_trace_of_the_arrival_that_caused_it():
    pre = [50.0]
    assert event_form(pre, pre, 10.0, 3000.0, 20.0, 30.0) == pytest.approx(-20.0 / 50.0, rel=1e-12)


# --- what must hold besides -------------------------------------------------------------------------------------------


@pytest.mark.variant
@pytest.mark.parametrize("propagation", ["two_compartment", "live"])
def test_any_number_of_threads_gives_the_same_bits(propagation):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this machine lends one thread")
    setting, network = case((9, 33, 21, 3), precision="float32", propagation=propagation)
    inputs, targets = samples(37, 9, 3, np.float32)
    results = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results.append([t.tobytes() for t in spikes.simulate(network, setting, inputs, targets).totals()])
    assert results[0] == results[1]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("make", ["built", "cast", "handed_over"])
def test_spikes_read_the_weights_where_they_lie(make, precision):
    """Without a copy of them, however the network came about; and weights that lie apart give the same bits."""
    setting, network = case(precision=precision)
    if make == "cast":
        network = networks.in_precision(network, np.dtype(precision))
    elif make == "handed_over":
        found = {f"W{l + 1}": network.W(l) for l in range(3)} | {f"b{l + 1}": network.b(l) for l in range(3)}
        found |= {f"B{l + 1}": b for l, b in enumerate(network.feedback)}
        network = networks.handed_over(network, setting, 3, found, "direct", "elsewhere")
    table = tables_of(network, setting, True, [0.0] * 3)
    assert all(np.shares_memory(table.jumps, w) for w in network.weights)
    apart = dataclasses.replace(network, weights=[w.copy() for w in network.weights])
    copied = tables_of(apart, setting, True, [0.0] * 3)
    assert not any(np.shares_memory(copied.jumps, w) for w in apart.weights)
    x, y = samples(dtype=np.dtype(precision))
    one, other = (spikes.simulate(each, setting, x, y) for each in (network, apart))
    assert one.events == other.events > 0
    for a, b in zip(one.totals(), other.totals(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_weights_that_lie_in_an_array_of_another_type_are_copied():
    """As in a buffer of bytes: what lies there is no number of the network's."""
    setting, network = case()
    buffer, at, weights = np.zeros(sum(w.nbytes for w in network.weights), np.uint8), 0, []
    for w in network.weights:
        weights.append(buffer[at : at + w.nbytes].view(w.dtype).reshape(w.shape))
        weights[-1][...], at = w, at + w.nbytes
    assert all(w.base is buffer for w in weights)
    tables = [
        tables_of(dataclasses.replace(network, weights=each), setting, True, [0.0] * 3) for each in (network.weights, weights)
    ]
    assert tables[0].jumps.dtype == tables[1].jumps.dtype == np.float64
    np.testing.assert_array_equal(tables[0].jumps, tables[1].jumps)
    np.testing.assert_array_equal(tables[0].ports, tables[1].ports)


def test_samples_without_an_error_teach_nothing():
    setting, network = case()
    inputs, targets = samples(2)
    quiet = setting.model_copy(update={"feedback": setting.feedback.model_copy(update={"threshold": 1.0})})
    assert not any(t.any() for t in spikes.simulate(network, quiet, inputs, targets).totals())


def test_without_targets_the_trial_ends_after_the_free_phase():
    setting, network = case()
    inputs, targets = samples(2)
    free, whole = spikes.simulate(network, setting, inputs), spikes.simulate(network, setting, inputs, targets)
    assert free.drive.tobytes() == whole.drive.tobytes()
    assert free.total == []
    assert free.events == sum(counts.sum() for counts in free.counts) < whole.events


def test_what_is_not_finite_is_refused_with_its_layer_and_row():
    setting, network = case()
    inputs, targets = samples(3)
    inputs[2, 1] = np.nan
    with pytest.raises(NonFiniteError, match="hidden layer 1") as caught:
        spikes.simulate(network, setting, inputs, targets)
    assert caught.value.row == 2
    network.weights[1][0, 0] = np.inf
    with pytest.raises(NonFiniteError, match="a weight of hidden layer 2"):
        spikes.simulate(network, setting, *samples(3))
