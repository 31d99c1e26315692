"""What rounding must not decide in the spiking engine: whether a search or a trial ends, what a refractory period takes in, and
who spikes where the drive is exactly at the threshold."""

import naive_spikes as naive
import numpy as np
import pytest

from localdfa import network as networks
from localdfa import registry, spec
from localdfa.core.spiking import batch as spikes
from localdfa.core.spiking.crossing import first_crossing
from localdfa.core.spiking.schedule import schedule
from localdfa.crosscheck import exact as slow
from localdfa.data.trains import Trains

# What the populations of a layer are simulated by, and how one is asked for.
WAYS = {
    "dense": {},
    "sparse": {"projection": [{"pre": 0, "post": 1, "connect": "sparse", "probability": 1.0}]},
    "currents": {"tau_syn": 1.0},
    "adaptive": {"neuron": "alif"},
    "adaptive, currents": {"neuron": "alif", "tau_syn": 1.0},
}


def build(network, n_in, precision="float64", neuron=None, **phases):
    """A setting and its network of six neurons that trains reach, all weights zero and no feedback."""
    setting = spec.experiment(
        {
            "precision": precision,
            "network": {"hidden": [6], "neuron": "lif", "weights": "uniform", "delay": 1.0, **network},
            "neuron": neuron or {},
            "trace": {"tau_x": 5.0, "tau_z": 4.0},
            "input": {"code": "trains"},
            "phases": {"free": 60.0, "nudged": 60.0, "propagation": "live", "beta": 0.1, **phases},
        }
    )
    built = networks.build(setting, n_in, 2, 0)
    built.weights[0][:] = 0
    built.feedback[0][:] = 0
    return setting, built


def given(trains):
    """One sample of these trains, a list of times of each input neuron."""
    neuron = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return Trains(np.zeros(len(neuron), int), neuron, np.concatenate(trains).astype(float), 1, len(trains))


def weights(network):
    """The weights from the inputs, (n_in, 6), as a view."""
    w = network.weights[0]
    return w[:-1] if network.projections[0].targets is None else w[0, :-6].reshape(-1, 6)


def by_neuron(events, n=6):
    return [events["time"][events["neuron"] == i] for i in range(n)]


# --- every search and every trial ends --------------------------------------------------------------------------------


def test_the_search_for_a_crossing_ends_where_a_sum_stays_within_rounding_of_zero():
    """Two terms that cancel but for their last digits: for ten thousand ms neither sign is certain."""
    sizes, taus = np.array([1.0, -1.0]), np.array([1e4, 1e4 * (1 + 1e-15)])
    found = first_crossing(-1e-17, sizes, taus, 1e4)
    assert found == np.inf or 0 <= found <= 1e4


def test_a_sum_that_rises_to_zero_and_decays_to_nothing_does_not_cross():
    assert first_crossing(0.0, np.array([-1.0, 0.0]), np.array([0.1, 5.0]), 500.0) == np.inf
    assert first_crossing(0.0, np.array([-1.0, 1e-3]), np.array([0.1, 5.0]), 500.0) == pytest.approx(np.log(1e3) / (10 - 0.2))


def rounds_down(edges, delay):
    """Steps k of a trial where a spike at edges[k] arrives, by rounding, before the step is over."""
    return np.flatnonzero(edges[:-1] + delay < edges[1:])


def test_a_recurrent_trial_ends_where_a_spike_arrives_before_its_step_by_rounding():
    given_weights = {"connect": "sparse", "probability": 1.0, "plastic": False, "weights": "constant"}
    inward = {"pre": 0, "post": 1, "tau_syn": 0.0, **given_weights}
    loop = {"pre": 1, "post": 1, "tau_syn": 3.0, "scale": 1.0, "delay": 0.8, **given_weights}
    setting, network = build({"projection": [inward, loop]}, 1, neuron={"baseline": 0.0}, free=80.0)
    weights(network)[:] = 2.0
    edges = schedule(setting.phases, setting.feedback, [0.8], False).edges
    begins = edges[rounds_down(edges, 0.8)]
    moment = begins[begins - 1.0 + 1.0 == begins][3]
    trial = spikes.record(network, setting, given([[moment - 1.0]])[0])
    synapses = [("in", 0, 1.0, -1, np.full((1, 6), 2.0)), (0, 0, 0.8, 0, np.full((6, 6), 10.0 / 3.0))]
    expected = slow.simulate(network.neuron, [3.0], [np.zeros(6)], synapses, {"in": [[moment - 1.0]]}, lambda *_: 0.0, 80.0)[0]
    assert expected[0][0] == moment
    assert len(expected[0]) > 3
    for train, spiked in zip(by_neuron(trial.spikes[0]), expected, strict=True):
        np.testing.assert_allclose(train, spiked, rtol=0, atol=1e-8)


# --- refractory periods are closed at their end -----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["dense", "sparse", "adaptive"])
def test_on_a_grid_the_end_of_a_refractory_period_takes_in_what_arrives_then(way):
    """Volleys every 0.1 ms, each of which moves v beyond the threshold, t_ref 0.3 ms: all intervals are of 0.3 ms, whatever the
    times are rounded to, and phases at +β and −β that are alike teach nothing."""
    grid, counts = np.arange(1, 551) / 10, []
    for times in (grid, grid * (1 + 1e-7), grid + 1e-7, np.cumsum(np.full(550, 0.1))):
        parameters = {"t_ref": 0.3, "baseline": 0.0} | ({"step": 0.0} if way == "adaptive" else {})
        setting, network = build(WAYS[way], 1, neuron=parameters)
        weights(network)[:] = 3.0
        inputs, target = given([times]), np.eye(2)[:1]
        trial = spikes.record(network, setting, inputs[0], target[0])
        counts.append(len(trial.spikes[0]))
        edges = np.cumsum([60.0, 60.0, 60.0])
        for train in by_neuron(trial.spikes[0]):
            for phase in np.split(train, np.searchsorted(train, edges)):
                assert len(phase) == 184
                np.testing.assert_allclose(np.diff(phase), 0.3, rtol=0, atol=1e-6)
        arrivals = [(t + 1.0 + begin, 3.0) for begin in (0.0, *edges) for t in times]
        expected = naive.fire(network.neuron, [(0.0, 240.0, 0.0)], arrivals)
        np.testing.assert_allclose(by_neuron(trial.spikes[0])[0], expected, rtol=0, atol=1e-9)
        learned = spikes.simulate(network, setting, inputs, target).totals()[0]
        assert np.abs(learned).max() < 0.02  # what is left of traces of the phase before
    assert len(set(counts)) == 1


def test_in_single_precision_refractory_periods_end_where_they_do_in_double():
    """0.3 and 1.1 ms are no numbers of single precision, by more than times are told apart."""
    for t_ref in (0.3, 1.1):
        grid = np.arange(1, 551) / 10
        for precision in ("float32", "float64"):
            setting, network = build(WAYS["dense"], 1, precision, neuron={"t_ref": t_ref, "baseline": 0.0})
            weights(network)[:] = 3.0
            (train, *_) = by_neuron(spikes.record(network, setting, given([grid])[0]).spikes[0])
            np.testing.assert_allclose(np.diff(train), t_ref, rtol=0, atol=1e-6)


# --- a drive at the threshold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
def test_a_drive_at_the_threshold_makes_no_spike_without_a_jump(way, precision):
    """v is rounded to the threshold after some tens of τ_m. A pulse at the begin of each phase may move v beyond it, later
    arrivals come through synapses of weight zero; there are the spikes of the slow simulation and no others. Currents decay
    faster than v, so that after their pulse v comes near the threshold from below."""
    parameters = {"tau_m": 1.7, "v_th": 0.8, "baseline": 0.8} | ({"tau_a": 1.1, "step": 0.3} if "adaptive" in way else {})
    trains, expected = [[1.0], [2.0], np.arange(3.0, 75.0, 3.5)], None
    for propagation in ("live", "two_compartment"):
        setting, network = build(WAYS[way] | {"start": "uniform"}, 3, precision, parameters, free=80.0, propagation=propagation)
        weights(network)[0] = np.array([0.0, 0.05, 0.1, 0.3, 0.9, 1.2]) * (3.0 if "currents" in way else 1.0)
        weights(network)[1] = np.array([0.0, 0.02, -0.3, -0.2, 0.0, 0.01])
        trial = spikes.record(network, setting, given(trains)[0], np.eye(2)[0])
        if expected is None:
            p, tau = registry.cast(network.neuron, float), 1.0 if "currents" in way else 0.0
            synapses = [("in", 0, 1.0, 0 if tau else -1, 10.0 / (tau or p.tau_m) * weights(network).astype(float))]
            start = [network.start[0].astype(float)]
            expected = slow.simulate(
                p, [tau] if tau else [], start, synapses, {"in": trains}, lambda *_, level=p.baseline: level, 80.0
            )[0]
            assert 2 <= sum(map(len, expected)) <= 15
        for train, spiked in zip(by_neuron(trial.spikes[0]), expected, strict=True):
            np.testing.assert_allclose(train[train < 80.0], spiked, rtol=0, atol=1e-8 if precision == "float64" else 1e-4)
        # The other phases begin where the one before ended, at the threshold: whom the pulse raises, it moves beyond it.
        for begin, end in ((80.0, 140.0), (140.0, 220.0), (220.0, 280.0)):
            for events in (trial.spikes[0], *trial.twins):
                late = events[(events["time"] >= begin) & (events["time"] < end)]
                assert (late["neuron"] > 0).all()
                assert ((late["time"] > begin + 1.0) & (late["time"] < begin + 20.0)).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_constant_drive_at_the_threshold_makes_no_spike(precision):
    """In closed form: nothing reaches the neurons, and phases follow each other."""
    setting, network = build({}, 3, precision, {"tau_m": 1.7, "v_th": 0.8, "baseline": 0.8}, free=150.0)
    setting = setting.model_copy(update={"input": setting.input.model_copy(update={"code": "current"})})
    trial = spikes.record(network, setting, np.ones(4, precision), np.eye(2, dtype=precision)[0])
    assert len(trial.spikes[0]) == 0


def test_a_threshold_that_decays_to_v_makes_a_spike_without_a_jump():
    """θ, raised by an early spike, decays faster than v from a jump that has not reached it."""
    parameters = {"tau_m": 20.0, "tau_a": 2.0, "step": 0.5, "baseline": 0.3, "t_ref": 0.5}
    setting, network = build(WAYS["adaptive"], 2, neuron=parameters)
    weights(network)[0], weights(network)[1] = 2.5, np.linspace(2.2, 2.7, 6)
    trains = [[1.0], [2.0]]
    trial = spikes.record(network, setting, given(trains)[0])
    matrix = ("in", 0, 1.0, -1, 10.0 / 20.0 * weights(network))
    expected = slow.simulate(network.neuron, [], [np.zeros(6)], [matrix], {"in": trains}, lambda *_: 0.3, 60.0)[0]
    assert any(len(train) == 2 and train[1] > 3.01 for train in expected)
    for train, spiked in zip(by_neuron(trial.spikes[0]), expected, strict=True):
        np.testing.assert_allclose(train, spiked, rtol=0, atol=1e-8)
