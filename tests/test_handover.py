"""The weights and B of one run start another, of rate or spiking neurons."""

import numpy as np
import pytest

from localdfa import handover, record, registry, samples, spec, train, trainer
from localdfa.errors import RunError, SpecError

SPIKES = {
    "trace": {"tau_x": 10.0, "tau_z": 10.0},
    "phases": {"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
}


def tables(rule, epochs, source=None, hidden=(48,), **more):
    """LIF neurons on the digits: spiking under the local rule, as their own f–I curve under an exact one."""
    network = {"hidden": list(hidden), "neuron": "lif", **({} if source is None else {"from_run": str(source)})}
    base = {"seeds": [0], "rule": rule, "stage": [{"epochs": epochs}], "optimiser": {"learning_rate": 4e-3}}
    base |= SPIKES if rule == "local" else {}
    return spec.experiment({**base, **more, "network": {**network, **more.get("network", {})}})


def first(experiment, seed=0):
    """The network of an experiment before training."""
    return handover.begin(next(iter(spec.settings(experiment).values())), (1, 8, 8), 10, seed)


def same(network, weights):
    """Whether a network has the weights and B that a run keeps, to the bit."""
    n = network.n_hidden
    return (
        all(np.array_equal(network.W(l), weights[f"W{l + 1}"]) for l in range(n + 1))
        and all(np.array_equal(network.b(l), weights[f"b{l + 1}"]) for l in range(n + 1))
        and all(np.array_equal(network.feedback[l], weights[f"B{l + 1}"]) for l in range(n))
    )


@pytest.fixture(scope="module")
def rate(tmp_path_factory):
    """A trained rate network, whose B is not the one that others draw from the same seed."""
    tables_ = tables("dfa", 12, record={"probe": 64}, feedback={"gain": 1.5})
    return train.run(tables_, tmp_path_factory.mktemp("handover") / "rate")


@pytest.fixture(scope="module")
def spiking(rate):
    """The same network, spiking, one epoch on."""
    experiment = tables("local", 1, rate.folder / "dfa", record={"probe": 64})
    assert same(first(experiment), rate.jobs[0].weights)
    return train.run(experiment, rate.folder.parent / "spiking")


def test_a_run_that_is_not_finished_is_said_to_be_so(tmp_path):
    """A run as it stands before its first weights are kept."""
    record.create(tmp_path / "begun", tables("dfa", 2)).update_info(status="interrupted")
    with pytest.raises(RunError) as caught:
        first(tables("local", 1, tmp_path / "begun" / "dfa"))
    assert str(caught.value) == (
        f"network.from_run: {tmp_path / 'begun'} has not finished training the condition 'dfa' with the seed 0 "
        f"(interrupted); to finish it: localdfa resume {tmp_path / 'begun'}"
    )


def test_a_spiking_network_classifies_at_once_what_the_rate_network_learned(rate, spiking):
    before, after = rate.jobs[0].metrics[-1]["test_error"], spiking.jobs[0].metrics[0]["test_error"]
    assert rate.jobs[0].metrics[0]["test_error"] > 80
    assert before < 10
    assert abs(after - before) < 3  # a readout over 10 ms counts few spikes
    assert spiking.jobs[0].metrics[1]["test_error"] < 10
    assert np.array_equal(spiking.jobs[0].weights["B1"], rate.jobs[0].weights["B1"])


def test_a_rate_network_starts_from_a_spiking_one(rate, spiking):
    back = tables("dfa", 1, spiking.folder / "local")
    assert same(first(back), spiking.jobs[0].weights)
    tanh = first(spec.experiment(tables("dfa", 1, spiking.folder / "local").model_dump(include={"seeds"}) | {
        "network": {"hidden": [48], "neuron": "tanh", "from_run": str(spiking.folder / "local")}
    }))  # fmt: skip
    assert same(tanh, spiking.jobs[0].weights)


def test_b_is_drawn_where_the_pathway_is_another(rate):
    source = rate.folder / "dfa"
    bp, fa = (first(tables(rule, 1, source)) for rule in ("bp", "fa"))
    assert bp.feedback == [None]
    own = first(tables("fa", 1))
    assert np.array_equal(fa.feedback[0], own.feedback[0])
    assert np.array_equal(fa.W(0), rate.jobs[0].weights["W1"])


@pytest.mark.parametrize(
    ("change", "seed", "message"),
    [
        ({"source": "rate/none"}, 0, "rate has no condition 'none' with the seed 0; it has the conditions dfa and the seeds 0"),
        ({"source": "rate/dfa"}, 5, "rate has no condition 'dfa' with the seed 5"),
        ({"source": "nowhere/dfa"}, 0, "nowhere: not a run directory"),
        (
            {"hidden": (40,)},
            0,
            r"weights.npz: W1 is float32 of shape \(48, 64\); this network needs finite .* shape \(40, 64\)",
        ),
        ({"hidden": (48, 10)}, 0, r"weights.npz: W3 is missing; this network needs finite numbers of shape \(10, 10\)"),
    ],
)
def test_what_does_not_fit_is_said(rate, change, seed, message):
    source = rate.folder.parent / change.get("source", "rate/dfa")
    with pytest.raises((RunError, SpecError), match=message):
        first(tables("local", 1, source, change.get("hidden", (48,))), seed)


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        ({"density": 0.5}, ["feedback.density: 0.5, but B is taken over", "made with 1.0"]),
        ({"signs": "sender"}, ["feedback.signs: 'sender'", "made with 'free'"]),
        ({"rank": 2}, ["feedback.rank: 2", "made with none"]),
        ({"gain": 3.0}, ["feedback.gain: 3.0", "made with 1.5"]),
        ({"pathway": "drtp", "density": 0.5}, []),
        ({"gain": 1.5}, []),
    ],
)
def test_what_is_not_true_of_a_matrix_that_is_taken_over_is_refused(rate, feedback, words):
    """Where the pathway is another B is drawn, and keys that are left out say nothing."""
    experiment = tables("dfa", 1, rate.folder / "dfa", feedback=feedback)
    if not words:
        first(experiment)
        return
    with pytest.raises(SpecError) as caught:
        first(experiment)
    for word in [*words, "network.from_run", "allowed: leave it out"]:
        assert word in str(caught.value)


def test_nothing_is_made_where_it_does_not_fit(rate, tmp_path):
    with pytest.raises(SpecError, match="this network needs"):
        train.run(tables("local", 1, rate.folder / "dfa", (40,)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_would_replace_its_own_source_is_refused(rate, tmp_path):
    before = rate.jobs[0].weights
    (tmp_path / "link").symlink_to(rate.folder)
    for place in (rate.folder, tmp_path / "link"):
        with pytest.raises(RunError, match=r"network\.from_run reads .*rate, which this run would replace; name another place"):
            train.run(tables("local", 1, rate.folder / "dfa"), place, force=True)
    assert all(np.array_equal(array, before[name]) for name, array in rate.jobs[0].weights.items())


def test_a_source_that_is_replaced_under_way_stops_the_run(rate, tmp_path):
    """Else later seeds would start from other weights than the first."""
    source = train.run(tables("dfa", 1, record={"probe": 16}, seeds=[0, 1]), tmp_path / "source")
    _, second = source.jobs

    class Replace(train.Progress):
        def epoch(self, row):
            second.write("weights", {**second.weights, "b2": second.weights["b2"] + 1})

    with pytest.raises(RunError, match="the from_run is no longer the one that this run began with"):
        train.run(tables("dfa", 1, source.folder / "dfa", seeds=[0, 1]), tmp_path / "run", progress=Replace())


def test_an_unfinished_run_or_one_of_wrong_numbers_starts_nothing(rate, tmp_path):
    other = train.run(tables("dfa", 1, record={"probe": 16}), tmp_path / "run")
    (job,) = other.jobs
    job.write("weights", {**job.weights, "B1": np.full((48, 10), np.nan, np.float32)})
    with pytest.raises(SpecError, match=r"B1 is float32 of shape .* needs finite numbers"):
        first(tables("local", 1, other.folder / "dfa"))
    job.write("weights", {**job.weights, "W1to1": np.zeros((48, 48), np.float32)})
    with pytest.raises(SpecError, match="W1to1 is of a projection that this network does not have"):
        first(tables("local", 1, other.folder / "dfa"))
    (job.folder / "weights.npz").unlink()
    with pytest.raises(RunError, match=r"weights.npz: there is no such file"):
        first(tables("local", 1, other.folder / "dfa"))


def test_sparse_and_recurrent_synapses_are_handed_over(rate, tmp_path):
    projections = [
        {"pre": 1, "post": 1, "connect": "sparse", "probability": 0.2}, {"pre": 0, "post": 1, "connect": "sparse"},
    ]  # fmt: skip
    network = {"projection": projections}
    sparse = tables("local", 1, network=network)
    job = train.record.Job(tmp_path / "run" / "conditions" / "local" / "seed-0", "local", 0)
    train.record.create(tmp_path / "run", sparse)
    setting = spec.settings(sparse)["local"]
    own = trainer.Trainer(setting, samples.parts(samples.load(sparse), setting), job)
    rng = np.random.default_rng(0)
    own.network.weights[0][...] = rng.normal(size=own.network.weights[0].shape)
    own.network.weights[2][...] = rng.normal(size=own.network.weights[2].shape)
    job.write("weights", registry.get("recorders", "weights").record(own.trained, sparse.record))
    again = first(tables("local", 1, tmp_path / "run" / "local", network=network))
    for one, other in zip(again.weights, own.network.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    dense = [{"pre": 1, "post": 1}]
    with pytest.raises(SpecError, match="W1to1 has other synapses than this network"):
        first(tables("local", 1, tmp_path / "run" / "local", network={"projection": dense}))
    with pytest.raises(SpecError, match="W1 has synapses that this network does not have"):
        first(tables("local", 1, rate.folder / "dfa", network={"projection": projections[1:]}))


def test_a_path_starts_from_the_folder_and_the_source_may_not_change(rate, tmp_path):
    experiment = tables("dfa", 2, "rate/dfa", record={"probe": 16})
    run = train.run(experiment, tmp_path / "run", base=rate.folder.parent)
    assert run.experiment.network.from_run == str(rate.folder / "dfa")
    in_condition = spec.experiment(
        condition=[{"name": "a", "network": {"from_run": "rate/dfa"}}], network={"hidden": [48], "neuron": "lif"}, rule="dfa"
    )
    assert train.located(in_condition, tmp_path).condition[0].changes["network"]["from_run"] == str(tmp_path / "rate/dfa")
    (job,) = rate.jobs
    kept = job.weights
    try:
        job.write("weights", {**kept, "W1": kept["W1"] + 1})
        with pytest.raises(RunError, match="the from_run is no longer the one that this run began with"):
            train.resume(run.folder)
    finally:
        job.write("weights", kept)
