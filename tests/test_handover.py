"""The weights and B of one run start another, of rate or spiking neurons."""

from pathlib import Path

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


# Rules with pathways whose B changes: by learning or by noise.
LEARNING = [
    ("fa", "kolen_pollack"), ("dfa", "direct_kolen_pollack"), ("fa", "weight_mirror"), ("dfa", "direct_weight_mirror"),
    ("dfa", "low_rank"),
]  # fmt: skip


def changing(rule, **feedback):
    """Networks whose B changes, with two hidden layers."""
    tables = {
        "rule": rule, "feedback": feedback, "network": {"hidden": [12, 11], "weights": "uniform"}, "record": {"probe": 16},
        "optimiser": {"name": "sgd", "learning_rate": 0.01, "weight_decay": 0.01}, "stage": [{"epochs": 1}], "batch_size": 64,
    }  # fmt: skip
    return spec.experiment(tables)


def made_of(network):
    """The arrays of a network as a script gives them, each B another one than is drawn."""
    found = {}
    for l in range(network.n_hidden + 1):
        found |= {f"W{l + 1}": network.W(l).copy(), f"b{l + 1}": network.b(l).copy()}
    for l, matrix in enumerate(network.feedback):
        found[f"B{l + 1}"] = matrix + np.float32(100)
    return found


def begun(experiment, start):
    """The training of an experiment from the arrays of a script, before its first mini-batch."""
    (setting,) = spec.settings(spec.experiment(experiment.model_dump(exclude_unset=True) | {
        "network": {**experiment.model_dump(exclude_unset=True)["network"], "weights": "given"}
    })).values()  # fmt: skip
    parts = samples.parts(samples.load(experiment), setting)
    return trainer.Trainer(setting, parts, record.Job(Path(), setting.rule, 0), start=start)


@pytest.mark.parametrize(("rule", "pathway"), LEARNING)
def test_b_that_learns_begins_as_it_was_handed_over(rule, pathway, tmp_path):
    """From the arrays of a script, and from a run; what learns of it, as factors of B, makes the same B."""
    experiment = changing(rule, pathway=pathway)
    start = made_of(first(experiment))
    of_script = begun(experiment, start)
    of_script.follow_weights()
    run = train.run(experiment, tmp_path / "run", progress=False)
    (job,) = run.jobs
    job.write("weights", {**job.weights, **{key: array for key, array in start.items() if key[0] == "B"}})
    tables = experiment.model_dump(exclude_unset=True)
    tables["network"] = {"hidden": [12, 11], "from_run": str(run.folder / rule)}
    for network in (of_script.network, first(spec.experiment(tables))):
        for l, matrix in enumerate(network.feedback):
            np.testing.assert_allclose(matrix, start[f"B{l + 1}"], rtol=1e-5)
            assert matrix is network.changing[pathway][l]


@pytest.mark.parametrize("normalisation", ["none", "strict"])
@pytest.mark.parametrize("pathway", ["sign_symmetric", "sign_symmetric_fixed", "sign_symmetric_redrawn", "sequential"])
def test_b_that_is_made_from_the_weights_has_the_sizes_that_are_handed_over(pathway, normalisation):
    """The signs are those of the weights; where a weight was zero there is no size, and the drawn one stands there."""
    if pathway == "sequential" and normalisation == "none":
        pytest.skip("B is fixed")
    experiment = changing("fa", pathway=pathway, normalisation=normalisation)
    drawn = first(experiment)
    start = made_of(drawn)
    if pathway != "sequential":
        start["B1"][0, :3] = 0
    network = begun(experiment, start).network
    for l, matrix in enumerate(network.feedback):
        given, weights = start[f"B{l + 1}"].astype(float), network.pathway.replaces(network, l)
        expected = {
            "sign_symmetric": np.full(given.shape, np.sqrt(np.mean(given**2))), "sign_symmetric_fixed": np.abs(given),
            "sign_symmetric_redrawn": np.abs(matrix), "sequential": given,
        }[pathway]  # fmt: skip
        if pathway != "sequential":
            np.testing.assert_array_equal(np.sign(matrix), np.sign(weights))
            expected = expected * np.sign(weights)
        if normalisation == "strict":
            expected = expected * (np.linalg.norm(weights) / np.linalg.norm(expected))
        there = given != 0
        np.testing.assert_allclose(matrix[there], expected[there], rtol=1e-4)
        if normalisation == "none":
            assert 50 < np.abs(matrix[there]).mean() < 200
            assert (matrix != 0).all()


def test_b_of_more_dimensions_than_its_factors_have_is_refused():
    experiment = changing("dfa", pathway="low_rank", rank=2)
    drawn = first(experiment)
    start = made_of(drawn)
    kept = {f"B{l + 1}": matrix.copy() for l, matrix in enumerate(drawn.feedback)}
    for ours, theirs in zip(begun(experiment, {**start, **kept}).network.feedback, drawn.feedback, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(SpecError, match=r"feedback\.rank: 2, and the B1 that training starts from has 3 dimensions; allowed"):
        begun(experiment, start)


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


def test_a_path_starts_from_the_folder_and_the_source_may_not_change(rate, tmp_path, monkeypatch):
    experiment = tables("dfa", 2, "rate/dfa", record={"probe": 16})
    run = train.run(experiment, tmp_path / "run", base=rate.folder.parent)
    assert run.experiment.network.from_run == str(rate.folder / "dfa")
    in_condition = spec.experiment(
        condition=[{"name": "a", "network": {"from_run": "rate/dfa"}}], network={"hidden": [48], "neuron": "lif"}, rule="dfa"
    )
    assert train.located(in_condition, tmp_path).condition[0].changes["network"]["from_run"] == str(tmp_path / "rate/dfa")
    # What is set on the command line starts from where it is given, and what the file says from where it lies.
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "own.toml").write_text('rule = "dfa"\n[network]\nhidden = [48]\nfrom_run = "rate/dfa"\n')
    monkeypatch.chdir(tmp_path)
    for override, data, source in (
        ("data=npz:own.npz", f"npz:{tmp_path}/own.npz", f"{tmp_path}/specs/rate/dfa"),
        ("network.from_run=rate/dfa", "digits", f"{tmp_path}/rate/dfa"),
    ):
        found = train.located(spec.load("specs/own.toml", [override]), tmp_path / "specs")
        assert (found.data, found.network.from_run) == (data, source)
    (job,) = rate.jobs
    kept = job.weights
    try:
        job.write("weights", {**kept, "W1": kept["W1"] + 1})
        with pytest.raises(RunError, match="the from_run is no longer the one that this run began with"):
            train.resume(run.folder)
    finally:
        job.write("weights", kept)
