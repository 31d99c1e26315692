"""What changes between runs: currents, weights and rates, from the moment on at which the circuit stands."""

from types import SimpleNamespace

import numpy as np
import pytest

import localdfa
from localdfa.circuit import Result
from localdfa.crosscheck import exact
from localdfa.errors import RunError, SpecError

# Of windows that are spans of their own, and of several that make up one.
SHORT = {False: 1.5, True: 0.1}


def network(short, seed=3):
    """Neurons that a source drives, and that reach one another."""
    net, delay = localdfa.Circuit(seed=seed, precision="float64"), SHORT[short]
    net.population("exc", 80, tau_m=20.0, v_th=20.0, v_reset=10.0, t_ref=2.0)
    net.poisson("source", 80, 4000.0)
    net.project("source", "exc", "one_to_one", weight=0.3, delay=delay)
    net.project("exc", "exc", probability=0.1, weight=0.2, delay=delay)
    return net


def joined(results, name="exc"):
    """The spikes of several runs."""
    return [np.concatenate(column).tolist() for column in zip(*(r.spikes(name) for r in results), strict=True)]


def again(net, path):
    """The circuit from a file of it."""
    net.save(path)
    return localdfa.Circuit.load(path)


@pytest.mark.parametrize("short", [False, True])
def test_a_current_between_runs_is_that_of_a_circuit_that_had_it_from_the_beginning(short, tmp_path):
    wave = np.random.default_rng(0).uniform(0, 12, (4, 80))
    whole, net = network(short), network(short)
    whole.current("exc", 8.0, 30.0, 60.0)
    whole.current("exc", wave, 36.0, step=4.5)
    whole.current("exc", 1.0, 75.0)
    expected, parts = joined([whole.run(100.0)]), [net.run(25.2)]
    net.current("exc", 8.0, 30.0, 60.0)
    net.current("exc", wave, 36.0, step=4.5)
    net = again(net, tmp_path / "net.npz")
    parts.append(net.run(20.3))
    net = again(net, tmp_path / "net.npz")
    parts.append(net.run(29.5))
    net.current("exc", 1.0)
    parts.append(net.run(10.0))
    parts.append(again(net, tmp_path / "net.npz").run(15.0))
    assert joined(parts) == expected
    assert len(expected[0]) > len(network(short).run(100.0).spikes("exc")[0]) + 10


def test_weights_between_runs_are_those_of_what_arrives_from_then_on():
    """Of one neuron, whose v is known in closed form; what was sent before arrives with the new weight."""
    sent = np.array([1.0, 4.0, 9.5, 12.0, 13.0, 21.0, 22.5])
    net = localdfa.Circuit(precision="float64")
    net.population("one", 1, tau_m=10.0, v_th=1.0, t_ref=1.0)
    net.trains("source", 1, sent, np.zeros(len(sent), int))
    net.project("source", "one", weight=0.4, delay=1.0)
    net.project("one", "one", weight=0.0, delay=2.0)
    neuron = exact.Neuron(SimpleNamespace(tau_m=10.0, v_th=1.0, v_reset=0.0, t_ref=1.0), [], 0.0)
    moments, v = [], []
    for weight in (0.4, -0.3, 0.75):
        if weight != 0.4:
            net.set_weights("source", "one", weight)
        result = net.run(10.0, {"one": ["spikes", "v"]}, interval=0.7)
        moments.append(result.v("one")[0])
        v.append(result.v("one")[1][:, 0])
        assert net.synapses("source", "one").weight.tolist() == [weight]
    weights = np.where(sent + 1 < 10, 0.4, np.where(sent + 1 < 20, -0.3, 0.75))
    events, at = (
        sorted([*((t, None) for t in np.concatenate(moments)), *zip(sent + 1, weights, strict=True)], key=lambda e: e[0]),
        0.0,
    )
    seen = []
    for t, weight in events:
        neuron.go(at, t, 0.0)
        at = t
        if weight is None:
            seen.append(neuron.state[0])
        else:
            neuron.take(t, [(-1, weight)])
    np.testing.assert_allclose(np.concatenate(v), seen, rtol=0, atol=1e-12)


def test_each_synapse_gets_its_weight_in_the_order_in_which_they_are_shown():
    """Of several projections between two populations, in ranges of neurons, with delays and currents of their own."""
    net = localdfa.Circuit(seed=5)
    net.population("pre", 40)
    net.population("post", 1500, tau_m=20.0)
    net.project("pre", "post", probability=0.5, weight=0.1, tau_syn=3.0)
    net.project("pre", "post", probability=0.6, weight={"distribution": "normal", "mean": 0.2, "std": 0.1}, tau_syn=5.0,
                delay={"distribution": "uniform", "low": 1.0, "high": 1.5})  # fmt: skip
    net.project("pre", "post", weight=-0.5, tau_syn=3.0)
    net.project("post", "post", probability=0.02, weight=0.3)
    before, others = net.synapses("pre", "post"), net.synapses("post", "post")
    weights = np.random.default_rng(1).normal(size=before.weight.size).astype(np.float32)
    net.set_weights("pre", "post", weights)
    after = net.synapses("pre", "post")
    assert after.weight.tolist() == weights.tolist()
    for name in ("pre", "post", "delay"):
        assert (getattr(after, name) == getattr(before, name)).all()
    assert (net.synapses("post", "post").weight == others.weight).all()
    net.set_weights("post", "post", 0.7)
    assert (net.synapses("post", "post").weight == np.float32(0.7)).all()
    assert (net.synapses("pre", "post").weight == weights).all()


def test_windows_are_no_shorter_than_currents_ask_for():
    """7 / 0.7 is 10 and a bit in floating point; a circuit from TOML has the bits of one that got its current on the way."""

    def made(begin):
        net = localdfa.Circuit(seed=1, precision="float64")
        net.population("one", 30, tau_m=10.0, v_th=1.0)
        net.noise("one", 2000.0, 0.05)
        net.project("one", "one", probability=0.2, weight=0.1, delay=0.7)
        if begin:
            net.current("one", 0.8, 7.0)
        return net

    whole, net = made(True), made(False)
    parts = [net.run(3.0)]
    net.current("one", 0.8, 7.0)
    parts.append(net.run(47.0))
    assert joined(parts, "one") == joined([whole.run(50.0)], "one")
    assert whole.simulation.width == net.simulation.width == 0.7


@pytest.mark.parametrize("short", [False, True])
def test_weights_that_are_set_before_the_first_run_are_those_of_the_circuit(short, tmp_path):
    described, net = network(short), network(short)
    plain = joined([described.run(60.0)])
    net.set_weights("exc", "exc", 0.9)
    other = localdfa.Circuit.from_toml(_toml(network(short), tmp_path, "weight = 0.2", "weight = 0.9"))
    changed = joined([other.run(60.0)])
    assert joined([net.run(60.0)]) == changed != plain


def _toml(net, folder, before, after):
    """A file that describes the circuit, with other words."""
    text = net.to_toml()
    assert text.count(before) == 1
    (folder / "net.toml").write_text(text.replace(before, after))
    return folder / "net.toml"


@pytest.mark.parametrize("short", [False, True])
def test_what_changes_nothing_changes_no_spike(short):
    """To the digits that depend on where a span is cut."""
    plain, net = network(short).run(90.0), network(short)
    parts = [net.run(31.5)]
    net.set_weights("exc", "exc", net.synapses("exc", "exc").weight)
    net.set_rates("source", 4000.0)
    parts.append(net.run(58.5))
    times, who = (np.concatenate(column) for column in zip(*(r.spikes("exc") for r in parts), strict=True))
    assert who.tolist() == plain.spikes("exc")[1].tolist()
    np.testing.assert_allclose(times, plain.spikes("exc")[0], rtol=0, atol=1e-9)
    assert joined(parts, "source") == joined([plain], "source")


@pytest.mark.parametrize("short", [False, True])
def test_runs_after_a_change_are_cut_anywhere_and_go_on_from_a_file(short, tmp_path):
    def changed(parts, files):
        net, results = network(short), []
        results.append(net.run(31.5))
        net.set_weights("exc", "exc", np.linspace(0, 0.5, net.synapses("exc", "exc").weight.size))
        net.set_rates("source", np.linspace(3000, 6000, 80))
        for duration in parts:
            if files:
                net = again(net, tmp_path / "net.npz")
            results.append(net.run(duration))
        return joined(results), joined(results, "source")

    whole = changed([268.5], False)
    assert whole == changed([0.4, 100.0, 33.3, 134.8], False)
    assert whole == changed([0.4, 100.0, 33.3, 134.8], True)
    assert len(whole[0][0]) > 200


def test_rates_between_runs_make_what_is_left_of_intervals_longer_or_shorter():
    """Event for event: t + (e − t) r/r' for an event at e, where r becomes r' at t."""
    plain, net = network(False), network(False)
    times, who = plain.run(120.0).spikes("source")
    rates = np.linspace(2000.0, 8000.0, 80)
    net.run(30.0)
    net.set_rates("source", rates)
    later, sender = net.run(30.0).spikes("source")
    for i in range(80):
        expected = 30.0 + (times[(who == i) & (times >= 30)] - 30.0) * 4000.0 / rates[i]
        np.testing.assert_allclose(later[sender == i], expected[expected < 60.0], rtol=0, atol=1e-9)


def test_a_source_falls_silent_and_begins_again_as_a_poisson_process():
    net = localdfa.Circuit(seed=1)
    net.poisson("source", 4000, 0.0)
    net.population("one", 1)
    assert net.run(50.0).count("source") == 0
    net.set_rates("source", 100.0)
    first = net.run(200.0)
    net.set_rates("source", 0.0)
    assert net.run(50.0).count("source") == 0
    net.set_rates("source", 50.0)
    second = net.run(200.0)
    for result, rate in ((first, 100.0), (second, 50.0)):
        expected = 4000 * 0.2 * rate
        assert abs(result.count("source") - expected) < 5 * np.sqrt(expected)
        # The first events: exponential from the moment on at which the rate is no longer 0.
        times, who = result.spikes("source")
        waited = times[np.unique(who, return_index=True)[1]] - result.begin
        share = np.mean(waited < 1e3 / rate) * len(waited) / 4000
        assert share == pytest.approx(1 - np.exp(-1), abs=0.04)


def test_what_is_recorded_goes_on_in_the_same_file(tmp_path):
    path, nets = tmp_path / "net.h5", [network(True), network(True)]
    results = []
    for net, given in zip(nets, ({}, {"to": path}), strict=True):
        net.run(31.5, **given)
        net.current("exc", 3.0)
        net.set_weights("exc", "exc", 0.4)
        net.set_rates("source", 5000.0)
        results.append(net.run(30.0, **given))
    net = again(nets[1], tmp_path / "net.npz")
    net.run(30.0, to=path)
    assert joined([Result.open(path)]) == joined([network_until(), results[0], nets[0].run(30.0)])


def network_until():
    return network(True).run(31.5)


def test_trials_have_the_weights_and_rates_that_were_set():
    def taught(background, change):
        net = localdfa.Circuit(seed=2, precision="float64")
        net.population("one", 3, tau_m=10.0, v_th=1.0)
        net.poisson("image", 5, 0.0)
        net.poisson("background", 3, background)
        net.project("image", "one", weight=0.2, plastic=True)
        net.project("background", "one", "one_to_one", weight=0.4 if change else 0.9)
        learner = net.learner("image", "one", {"one": 1.0})
        if change:
            net.set_rates("background", 60.0)
            net.set_weights("background", "one", 0.9)
        return learner.rates(np.full((4, 5), 0.5))

    assert (taught(5.0, True) == taught(60.0, False)).all()
    assert (taught(60.0, False) != taught(5.0, False)).any()


def _learned(net):
    net.learner("source", "exc", {"exc": 1.0})


def _plastic():
    net = localdfa.Circuit()
    net.population("exc", 3)
    net.poisson("source", 2, 10.0)
    net.project("source", "exc", weight=0.1, plastic=True, sign="excitatory")
    return net


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda net: net.current("exc", 1.0, 5.0), r"current of 'exc'\.begin: 5; allowed: from 10, where the circuit stands"),
        (
            lambda net: net.current("exc", 1.0, 10.5),
            r"current of 'exc'\.begin: 10\.5; .* windows of 1 ms; allowed: multiples of that, as 11$",
        ),
        (lambda net: net.current("exc", 1.0, end=11.25), r"current of 'exc'\.end: 11\.25; .* windows of 1 ms"),
        (lambda net: net.current("exc", [1.0, 2.0], step=0.5), r"current of 'exc'\.step: 0\.5; .* windows of 1 ms"),
        (lambda net: net.set_weights("exc", "source", 1.0), "post: 'source' is a source"),
        (lambda net: net.set_weights("exc", "exc", 1.0), "there are no synapses from 'exc' to 'exc'"),
        (lambda net: net.set_weights("source", "exc", -1.0), r"weights from 'source' to 'exc': -1\.0; allowed: numbers from 0"),
        (lambda net: net.set_weights("source", "exc", [1, 1, 1, 1, 1, -0.5]), r"'source' to 'exc': -0\.5 among its entries"),
        (lambda net: net.set_weights("source", "exc", [1.0, 2.0]), r"an array of shape \(2,\); allowed: .* shape \(6,\)"),
        (lambda net: net.set_weights("source", "exc", np.nan), r"weights from 'source' to 'exc': nan"),
        (
            lambda net: net.set_weights("source", "exc", {"distribution": "normal"}),
            r"weights from .*; allowed: a number, or an",
        ),
        (lambda net: net.set_rates("exc", 1.0), "source: 'exc' has no rate; allowed: sources of Poisson processes: source"),
        (lambda net: net.set_rates("source", -1.0), r"source 'source'\.rate: -1\.0; allowed: numbers from 0"),
        (lambda net: net.set_rates("source", [1.0, 2.0, 3.0]), r"source 'source'\.rate: an array of shape \(3,\)"),
        (lambda net: [_learned(net), net.current("exc", 1.0)], "current of 'exc': the circuit has a learner"),
        (lambda net: [net.current("exc", 1.0), _learned(net)], "current of 'exc': changes at 10 ms; allowed in trials"),
        (lambda net: [net.run(0.5), net.set_weights("source", "exc", 1.0)], r"stands at 10\.5 ms, within .* 1 ms; .* as 11 ms"),
        (lambda net: [net.run(0.5), net.set_rates("source", 1.0)], r"rates of 'source': the circuit stands at 10\.5 ms"),
        (lambda net: [net.set_weights("source", "exc", 1.0), net.to_toml()], "learned or set, which is not in TOML"),
        (lambda net: [net.set_rates("source", 1.0), net.to_toml()], "source 'source': its rate has changed since"),
        (lambda net: net.population("other", 2), "a population cannot be added to a circuit that has run"),
    ],
)
def test_what_cannot_change_is_refused_by_name(change, named):
    net = _plastic()
    net.run(10.0)
    with pytest.raises(SpecError, match=named):
        change(net)


@pytest.mark.parametrize(("delay", "step"), [(1.0, 0.1), (1.1, 9.9), (0.55, 0.05), (0.7, 0.1)])
def test_times_that_are_sums_stand_at_the_edges_of_windows(delay, step):
    """Nothing that is recorded is lost or comes twice, where time and edge differ in the last digit."""
    net, parts = localdfa.Circuit(), []
    times = np.cumsum(np.full(round(99 / step), step))
    net.population("one", 1)
    net.trains("source", 1, times, np.zeros(len(times), int))
    net.project("one", "one", weight=0.1, delay=delay)
    net.project("source", "one", weight=0.001, delay=delay)
    for k in range(1, len(times)):
        parts.append(net.run(step, {"source": ["spikes"], "one": ["v"]}, interval=step))
        if abs(k * step / delay - round(k * step / delay)) < 1e-6:
            net.set_weights("one", "one", 0.1 * k)
            net.current("one", 0.01, k * step)
    moments = np.concatenate([part.v("one")[0] for part in parts])
    np.testing.assert_allclose(moments, step * np.arange(len(parts)), rtol=0, atol=1e-9)
    assert all(np.isfinite(part.v("one")[1]).all() for part in parts)
    assert joined(parts, "source")[0] == times[times < net.time].tolist()


@pytest.mark.parametrize(("delay", "step"), [(1.0, 0.1), (0.7, 1 / 3), (1.1, 0.07)])
@pytest.mark.parametrize("interval", [0.1, 0.3, 0.37, 1 / 3])
def test_v_of_runs_that_follow_one_another_is_that_of_one_run(delay, step, interval, tmp_path):
    """Also where time is a sum of durations, and lies a bit behind the moment at which v is looked at."""
    pytest.importorskip("h5py")

    def ramp():
        net = localdfa.Circuit(precision="float64")
        net.population("one", 1, tau_m=10.0, v_th=1.0)
        net.current("one", 0.9)
        net.project("one", "one", weight=0.1, delay=delay)
        return net

    net, onto, parts, file = ramp(), ramp(), [], tmp_path / "v.h5"
    for k in [11, 1, 13, *[1] * 60, 7, 3]:
        parts.append(net.run(k * step, {"one": ["v"]}, interval=interval))
        onto.run(k * step, {"one": ["v"]}, interval=interval, to=file)
    moments, v = (np.concatenate(column) for column in zip(*(part.v("one") for part in parts), strict=True))
    np.testing.assert_allclose(moments, interval * np.arange(len(moments)), rtol=0, atol=1e-9)
    assert moments[-1] + interval > net.time - 1e-9
    np.testing.assert_allclose(v[:, 0], 0.9 * (1 - np.exp(-moments / 10)), rtol=0, atol=1e-12)
    written = Result.open(file)
    assert written.v("one")[0].tolist() == moments.tolist()
    assert written.v("one")[1].tolist() == v.tolist()


def test_a_circuit_stands_at_the_time_that_its_runs_add_up_to():
    """So that it stands at edges of windows after any number of them, where currents, weights and rates can change."""
    net = localdfa.Circuit()
    net.population("one", 1)
    net.poisson("source", 1, 1.0)
    net.project("one", "one", weight=0.0, delay=1.0)
    simulation = net.draw()
    simulation.run = lambda end, *_: setattr(simulation, "time", end)  # time alone goes on
    for _ in range(100_000):
        net.run(0.1)
    assert net.time == 10_000
    del simulation.run
    net.set_rates("source", 2.0)
    for _ in range(3):
        net.run(1 / 3)
    assert net.time == 10_001


@pytest.mark.parametrize("drawn", ["weights", "synapses"])
def test_a_constant_current_of_a_circuit_that_was_drawn_but_has_not_run_is_constant(drawn, tmp_path):
    """It is written as one of a circuit that had it before; files, scripts and learners take it."""
    value = np.linspace(10, 30, 80).astype(np.float32) / 3
    first, then = network(False), network(False)
    for net in (first, then):
        net.precision = "float32"
        net.current("exc", 1.1)
    first.current("exc", value)
    first.synapses("exc", "exc")
    if drawn == "weights":
        then.set_weights("exc", "exc", 0.2)
    else:
        then.synapses("exc", "exc")
    then.current("exc", value, 0.0)
    loaded = again(then, tmp_path / "net.npz")
    assert loaded.simulation.checksum() == then.simulation.checksum() == first.simulation.checksum()
    if drawn == "synapses":
        assert then.to_toml() == first.to_toml()
    expected = joined([first.run(50.0)])
    assert joined([then.run(50.0)]) == joined([loaded.run(50.0)]) == expected
    assert len(expected[0]) > 100
    localdfa.interchange.export(then, "nest", tmp_path / "net.py")


def test_what_is_refused_leaves_all_as_it_was(tmp_path):
    plain, net = _plastic(), _plastic()
    parts = [net.run(10.5)]
    for change in (
        lambda: net.current("exc", 1.0, 10.75),
        lambda: net.set_weights("source", "exc", 2.0),
        lambda: net.set_rates("source", 1.0),
    ):
        with pytest.raises(SpecError):
            change()
    net.to_toml()
    parts.append(again(net, tmp_path / "net.npz").run(200.0))
    assert joined(parts, "source") == joined([plain.run(210.5)], "source")


def test_weights_that_are_refused_before_the_first_run_leave_the_circuit_open():
    net = _plastic()
    for weights in (np.ones(3), np.inf):
        with pytest.raises(SpecError, match=r"weights from 'source' to 'exc'"):
            net.set_weights("source", "exc", weights)
    net.population("other", 2)
    net.project("exc", "other", weight=1.0)
    net.set_weights("exc", "other", 0.5)
    assert set(net.synapses("exc", "other").weight) == {0.5}


def test_v_of_some_neurons_is_what_v_of_all_has_of_them(tmp_path):
    """In the order in which they are asked for; in memory, from a file that goes on, as a figure and as signals."""
    whole, net = network(True), network(True)
    moments, v = whole.run(40.0, {"exc": ["v"]}).v("exc")
    chosen, path = [60, 3, 7], tmp_path / "net.h5"
    first = net.run(25.0, {net.populations["exc"]: ["v", "spikes"]}, neurons={"exc": chosen})
    assert (first.v("exc")[1] == v[moments < 25][:, chosen]).all()
    assert first.neurons("exc").tolist() == chosen
    assert first.between(5.0, 10.0).neurons("exc").tolist() == chosen
    assert first.plot("v").axes[0].get_title("left") == "exc, neurons 60, 3, 7"
    assert first.count("exc") > 0
    (signal,) = first.neo().segments[0].analogsignals
    assert signal.array_annotations["neuron"].tolist() == chosen
    filed = network(True)
    for duration in (25.0, 15.0):
        result = filed.run(duration, {"exc": ["v"]}, to=path, neurons={filed.populations["exc"]: np.array(chosen)})
    assert result.neurons("exc").tolist() == chosen
    assert (Result.open(path).v("exc")[1] == v[:, chosen]).all()
    for given in ({"exc": [60, 7, 3]}, None):
        with pytest.raises(RunError, match=r"net\.h5: exists already, .* with v of other neurons of 'exc'"):
            filed.run(1.0, {"exc": ["v"]}, to=path, neurons=given)
    assert whole.run(1.0, {"exc": ["v"]}).neurons("exc").tolist() == list(range(80))


@pytest.mark.parametrize(
    ("neurons", "named"),
    [
        ({"exc": [80]}, r"neurons\.exc: 80 among its entries; allowed: whole numbers from 0 to 79"),
        ({"exc": [0.5]}, r"neurons\.exc: an array of float64; allowed"),
        ({"exc": [3, 3]}, r"neurons\.exc: .*; a neuron comes twice"),
        ({"exc": []}, r"neurons\.exc: has no neuron; allowed: one or more"),
        ({"exc": 3}, r"neurons\.exc: an array of shape \(\); allowed: an array of shape \(1,\)"),
        ({"source": [3]}, r"neurons: 'source' is a source"),
        ({"none": [3]}, r"neurons: 'none' is not one of exc"),
        ([3], r"neurons: \[3\]; allowed: a table of arrays by population"),
    ],
)
def test_neurons_that_cannot_be_looked_at_are_refused_by_name(neurons, named):
    with pytest.raises(SpecError, match=named):
        network(False).run(1.0, {"exc": ["v"]}, neurons=neurons)
    with pytest.raises(SpecError, match=r"neurons\.exc: v of 'exc' is not recorded; allowed with record"):
        network(False).run(1.0, neurons={"exc": [1]})
