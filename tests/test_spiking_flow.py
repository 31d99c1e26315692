"""Spiking neurons in the one flow: measures against exact DFA, training from a spec, warnings, resuming."""

import naive
import numpy as np
import pytest
from conftest import setting_of

from localdfa import data as datasets
from localdfa import measure, record, registry, samples, spec, train, trainer
from localdfa.core.rate import settled
from localdfa.core.spiking import batch as spikes
from localdfa.errors import DataError, RunError, SpecError
from localdfa.network import WATCHED, build, generator, rewired
from localdfa.neurons.lif import LIF


def tiny(**tables):
    """A small experiment with spikes on the digits."""
    return spec.experiment(
        {
            "seeds": [0],
            "network": {"hidden": [24], "neuron": "lif"},
            "trace": {"tau_x": 10.0, "tau_z": 10.0},
            "phases": {"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
            "optimiser": {"learning_rate": 4e-3},
            "stage": [{"epochs": 4}],
            **tables,
        }
    )


class Heard(train.Progress):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def against_dfa(hidden, window, m, propagation="two_compartment", rule="dfa", baseline=3.0, **tables):
    """Cosine of the batch update on spikes to an exact rule, per hidden layer; traces and phases as long as `window`."""
    setting = setting_of(
        precision="float64", network={"hidden": hidden, "neuron": "lif"}, neuron={"baseline": baseline},
        trace={"tau_x": window, "tau_z": window},
        phases={"beta": 1.0, "free": 10 * window, "nudged": 5 * window, "propagation": propagation}, **tables,
    )  # fmt: skip
    data = datasets.load("digits", dtype=np.float64, rng=np.random.default_rng(0))
    inputs, target = np.ones((m, 65)), np.eye(10)[data.y_train[:m]]
    inputs[:, :-1] = data.x_train[:m]
    network = build(setting, 64, 10, 0)
    exact = measure.update(rewired(network, setting, rule, 0), setting, rule, inputs, target)
    return measure.compare(measure.update(network, setting, "local", inputs, target), exact)["cosine"]


def test_trials_that_are_kept_learn_as_they_did_in_training(tmp_path):
    """Where weights change while spikes pass, so they do in a trial that is recorded."""
    tables = tiny(
        network={"hidden": [20], "neuron": "lif"}, input={"code": "poisson"}, batch_size=1, record={"probe": 4, "spikes": 1},
        phases={"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "live", "update": "online"},
        optimiser={"name": "sgd", "learning_rate": 0.3},
    )  # fmt: skip
    setting = setting_of(**tables.model_dump(exclude_unset=True))
    rng = np.random.default_rng(0)
    part = samples.Part(rng.random((4, 30), np.float32), np.arange(4), 10, np.float32, (30,))
    trained = trainer.Trainer(setting, {"train": part}, record.Job(tmp_path, "online", 0))
    kept = registry.get("recorders", "spikes").record(trained.trained, tables.record)["time"]
    sample = part.inputs[trained.probe[0]], part.targets[trained.probe[0]]
    moving, still = (
        spikes.record(trained.network, setting, *sample, generator(0, WATCHED, 0), rates=rates) for rates in ([0.3, 0.3], ())
    )
    assert len(kept) > 20
    assert np.array_equal(kept, np.sort(moving.spikes[0]["time"]))
    assert not np.array_equal(kept, np.sort(still.spikes[0]["time"]))


def test_the_update_of_a_batch_comes_to_exact_dfa_with_longer_windows_and_more_samples():
    short, long, more = (against_dfa([100], w, m)[0] for w, m in ((20.0, 32), (200.0, 32), (20.0, 512)))
    assert short < long
    assert short < more
    assert min(long, more) > 0.99


def test_with_two_compartments_upper_layers_come_to_dfa_and_live_they_do_not():
    two, live = (against_dfa([40, 30], 100.0, 64, propagation, baseline=2.0) for propagation in ("two_compartment", "live"))
    assert min(two) > 0.98
    assert live[0] > 0.98
    assert live[1] < 0.93


def test_fed_back_to_the_first_layer_alone_a_live_network_comes_to_ifa():
    found = against_dfa([40, 30], 100.0, 64, "live", "ifa", baseline=2.0, feedback={"pathway": "indirect"})
    assert min(found) > 0.9


def test_exact_rules_see_the_rate_network_of_the_f_i_curve(monkeypatch):
    """A settled LIF is the rate neuron f; exact DFA is that of the paper with its slope."""
    p = LIF(baseline=2.0)
    monkeypatch.setitem(naive.F, "lif", np.vectorize(lambda a: LIF.f(p, a)))
    monkeypatch.setitem(naive.DF, "lif", np.vectorize(lambda a: LIF.df(p, a)))
    setting = setting_of(rule="dfa", precision="float64", network={"hidden": [6, 5], "neuron": "lif"}, neuron={"baseline": 2.0})
    network, rng = build(setting, 4, 3, 0), np.random.default_rng(1)
    inputs, target = np.ones((2, 5)), np.eye(3)[[0, 2]]
    inputs[:, :-1] = rng.random((2, 4))
    trial, change = measure.changes(network, setting, "dfa", inputs, target)
    W, b = ([part(l) for l in range(3)] for part in (network.W, network.b))
    for s in range(2):
        a, _, prediction = naive.forward("lif", "logistic", W, b, inputs[s, :-1])
        np.testing.assert_allclose(trial.prediction[s], prediction, rtol=1e-12)
        expected = naive.deltas("dfa", "lif", W, network.feedback, a, prediction - target[s])
        for l in range(3):
            np.testing.assert_allclose(change[l][s], -expected[l], rtol=1e-10)


def test_a_spiking_network_computes_what_its_rate_network_does():
    """The same weights: rates and readout of the spikes come to those of the settled network as traces lengthen."""
    apart = []
    for tau in (20.0, 400.0):
        setting = setting_of(
            precision="float64", network={"hidden": [30], "neuron": "lif"}, neuron={"baseline": 2.0},
            trace={"tau_x": tau, "tau_z": tau}, phases={"free": 20 * tau, "propagation": "two_compartment"},
        )  # fmt: skip
        network, inputs = build(setting, 8, 3, 0), np.ones((4, 9))
        inputs[:, :-1] = np.random.default_rng(0).random((4, 8))
        found, expected = spikes.simulate(network, setting, inputs), settled.free_phase(network, inputs)
        apart.append(np.abs(found.drive - expected.drive[-1]).max())
    assert apart[1] < apart[0] / 3
    assert apart[1] < 0.01
    rate = found.counts[0] / setting.phases.free
    np.testing.assert_allclose(rate * network.neuron.gain, expected.activity[0], atol=2e-3)


def test_training_on_spikes_learns_and_goes_on_to_the_same_bits(tmp_path):
    whole = train.run(tiny(), tmp_path / "whole")
    rows = whole.jobs[0].metrics
    assert rows[-1]["train_error"] < 30 < rows[0]["train_error"]
    assert rows[0]["cosine_to_dfa"][0] > 0.9
    assert min(row["cosine_to_settled"][0] for row in rows) > 0.5
    assert 10 < rows[-1]["rate"][0] < 500
    assert rows[-1]["events"] > 0
    assert whole.summary["conditions"][0]["rate"] == rows[-1]["rate"]

    class Stop(train.Progress):
        def epoch(self, row):
            if row["epoch"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.run(tiny(), tmp_path / "parts", progress=Stop())
    train.resume(tmp_path / "parts")
    for name, array in whole.jobs[0].weights.items():
        assert record.Run(tmp_path / "parts").jobs[0].weights[name].tobytes() == array.tobytes()


def test_spikes_are_kept_where_asked_for(tmp_path):
    conditions = [{"name": "local"}, {"name": "dfa", "rule": "dfa"}]
    run = train.run(tiny(stage=[{"epochs": 1}], record={"spikes": 2}, condition=conditions), tmp_path / "run")
    local, dfa = run.jobs
    kept = local.spikes
    assert not (dfa.folder / "spikes.npz").exists()
    assert list(kept["edges"]) == [0, 100, 150, 250, 300]
    assert list(kept["sign"]) == [0, 1, 0, -1]
    assert len({len(kept[key]) for key in ("time", "population", "neuron", "twin", "trial")}) == 1
    assert set(kept["population"]) == {1}
    assert kept["neuron"].max() < 24
    assert len(set(kept["trial"])) == 2
    assert (np.diff(kept["time"][kept["trial"] == kept["trial"][0]]) >= 0).all()
    assert kept["time"][kept["twin"]].min() >= 100
    assert 0 < kept["time"].min() < kept["time"].max() < 300


def test_a_layer_that_goes_silent_or_saturates_is_reported_while_it_runs(tmp_path):
    for neuron, word in (({"baseline": -5.0}, "goes silent"), ({"baseline": 100.0}, "saturates")):
        heard = Heard()
        train.run(tiny(neuron=neuron, stage=[{"epochs": 1}]), tmp_path / word, progress=heard)
        assert len(heard.warnings) == 2  # and after its last epoch that nothing is learned
        assert "nothing is learned" in heard.warnings[0]
        assert "hidden layer 1" in heard.warnings[1]
        assert word in heard.warnings[1]
    assert measure.unhealthy({"silent": [1.0], "saturated": [0.0]}) == []  # rate neurons have no rate


def test_states_of_chosen_neurons_are_kept_where_asked_for(tmp_path):
    keep = {"states": 2, "neurons": [3, 0, 23], "window": [90.0, 160.0], "interval": 2.0, "spikes": 2}
    run = train.run(tiny(stage=[{"epochs": 1}], record=keep), tmp_path / "run")
    kept, spikes_of = run.jobs[0].states, run.jobs[0].spikes
    np.testing.assert_allclose(kept["time"], np.arange(90, 160, 2.0))
    assert list(kept["neuron1"]) == [3, 0, 23]
    assert kept["v1"].shape == kept["z1"].shape == kept["current1"].shape == (2, 35, 3)
    assert (kept["v1"] <= LIF().v_th).all()
    free, nudged = kept["time"] < 100, (kept["time"] >= 100) & (kept["time"] < 150)
    assert (kept["current1"][:, free] == 0).all()
    assert (np.ptp(kept["current1"][:, nudged], axis=1) == 0).all()
    # z is the trace of the spikes that are kept: of the soma before the first nudge, then of the twin.
    for trial, sample in enumerate(kept["trial"]):
        own = (spikes_of["trial"] == sample) & (spikes_of["neuron"] == 3)
        times = spikes_of["time"][own & ((spikes_of["twin"]) | (spikes_of["time"] < 100))]
        for t, z in zip(kept["time"], kept["z1"][trial, :, 0], strict=True):
            assert z == pytest.approx(np.exp((times[times < t] - t) / 10.0).sum(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    "tables",
    [
        {"input": {"code": "poisson", "rate": 200.0}},
        {"network": {"hidden": [24], "neuron": "alif", "tau_syn": 5.0}, "input": {"code": "poisson", "rate": 200.0}},
        {
            "network": {
                "hidden": [24], "neuron": "lif",
                "projection": [{"pre": 1, "post": 1, "connect": "sparse", "probability": 0.2, "delay": 2.0, "scale": 0.5}],
            }
        },
        {"network": {"hidden": [24], "neuron": "lif", "output": "spikes"}, "phases": {"teacher": "drive"}},
        {"feedback": {"signal": "spikes", "rate": 2000.0, "interval": 5.0}},
    ],
    ids=["poisson", "alif and currents", "recurrent", "output spikes", "error spikes"],
)  # fmt: skip
def test_every_kind_of_circuit_learns(tmp_path, tables):
    phases = {"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"} | tables.pop("phases", {})
    run = train.run(tiny(phases=phases, **tables), tmp_path / "run")
    rows = run.jobs[0].metrics
    assert rows[-1]["train_error"] < 0.75 * rows[0]["train_error"]
    assert run.jobs[0].weights["W1"].shape == (24, 64)


def test_braille_series_go_through_a_spiking_network(tmp_path):
    try:
        datasets.load("braille")
    except DataError as error:
        pytest.skip(str(error))
    experiment = tiny(
        data="braille", input={"code": "frames", "window": 2.0}, stage=[{"epochs": 1}],
        phases={"beta": 0.1, "free": 154.0, "nudged": 50.0, "propagation": "two_compartment"},
    )  # fmt: skip
    row = train.run(experiment, tmp_path / "run").jobs[0].metrics[-1]
    assert row["train_error"] < 96
    assert "cosine_to_dfa" not in row  # no settled network stands for a series


# --- spike trains of one's own ----------------------------------------------------------------------------------------


def save_trains(path, seed=0):
    """Two classes of spike trains of six neurons, in no order: one or the other three neurons fire more."""
    rng, arrays = np.random.default_rng(seed), {}
    for part, n in (("train", 60), ("test", 30)):
        y = np.arange(n) % 2
        spikes = [
            (time, neuron, sample)
            for sample in range(n)
            for neuron in range(6)
            for time in rng.uniform(0, 100, 12 if (neuron < 3) == y[sample] else 3)
        ]
        time, neuron, sample = (np.array(column) for column in zip(*rng.permutation(spikes).tolist(), strict=True))
        arrays |= {f"time_{part}": time, f"neuron_{part}": neuron.astype(int), f"sample_{part}": sample.astype(int)}
        arrays[f"y_{part}"] = y
    np.savez(path, **arrays)
    return arrays


def test_spike_trains_from_a_file_are_learned(tmp_path):
    save_trains(tmp_path / "own.npz")
    tables = tiny(
        data="npz:own.npz", input={"code": "trains"}, preprocess={"validation": 0.2}, batch_size=8,
        record={"probe": 8, "spikes": 1, "states": 1, "activity": 4},
    )  # fmt: skip
    run = train.run(tables, tmp_path / "run", base=tmp_path)
    assert run.jobs[0].metrics[0]["test_error"] > 20
    assert max(run.jobs[0].metrics[-1][f"{part}_error"] for part in ("valid", "test")) < 10
    assert run.info["shape"] == [6]
    again = train.run(tables, tmp_path / "again", base=tmp_path)
    assert again.info["data"] == run.info["data"]
    save_trains(tmp_path / "own.npz", seed=1)
    with pytest.raises(RunError, match="the data is no longer the one that this run began with"):
        train.resume(run.folder)


def test_spike_trains_and_codes_belong_together(tmp_path):
    arrays = save_trains(tmp_path / "own.npz")
    read = datasets.load("npz:own.npz", base=tmp_path)
    assert (len(read.x_train), read.n_features, read.n_classes) == (60, 6, 2)
    sample, neuron, time = read.x_test[3].events()
    order = np.lexsort((arrays["neuron_test"], arrays["time_test"]))
    order = order[arrays["sample_test"][order] == 3]
    np.testing.assert_array_equal(time, arrays["time_test"][order])
    np.testing.assert_array_equal(neuron, arrays["neuron_test"][order])
    assert not sample.any()
    with pytest.raises(
        SpecError, match=r"input.code: 'current' does not go with data = 'npz:.*own.npz', which are spike trains"
    ):
        train.run(tiny(data="npz:own.npz"), tmp_path / "run", base=tmp_path)
    with pytest.raises(SpecError, match=r"input.code: 'trains' does not go with data = 'digits', which are not spike trains"):
        samples.load(tiny(input={"code": "trains"}))
