"""Batch normalisation: against PyTorch's own, by every rule; its running averages, and the same bits; what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_train import tiny, without_time

from localdfa import measure, registry, samples, train
from localdfa.adversary import gradient
from localdfa.core.rate import settled
from localdfa.core.rate.normalisation import EPSILON, PACE, BatchNorm
from localdfa.core.rate.plasticity import Plasticity
from localdfa.engines import engine
from localdfa.errors import SpecError
from localdfa.network import build, in_precision, rewired
from localdfa.record import Job
from localdfa.samples import Part
from localdfa.trainer import Trainer

RULES = [
    ("bp", {}), ("fa", {}), ("dfa", {}), ("ifa", {}), ("drtp", {}),
    *(("fa", {"pathway": pathway}) for pathway in ("sign_symmetric", "kolen_pollack", "weight_mirror")),
    ("fa", {"normalisation": "strict"}),
    ("dfa", {"pathway": "direct_kolen_pollack"}), ("dfa", {"pathway": "low_rank", "rank": 3}),
    *(("local", {"pathway": pathway}) for pathway in ("direct", "sequential", "transpose", "drtp", "sign_symmetric")),
]  # fmt: skip
THRESHOLD = 0.7
CONVOLUTION = {"channels": 3, "kernel": 3, "padding": 1, "pool": 2}


class Stop(train.Progress):
    """Interrupts, as Ctrl-C does, in the first mini-batch after an epoch of a condition."""

    def __init__(self, condition, epoch):
        self._at, self._reached = (condition, epoch), False

    def epoch(self, row):
        self._reached = (row["condition"], row["epoch"]) == self._at

    def advance(self, samples):
        if self._reached:
            raise KeyboardInterrupt


def scattered(network, rng):
    """The network with gains, shifts and running averages as after a training."""
    for weights in network.weights[:-1]:
        weights[-1] = rng.normal(size=weights.shape[1])
    for norm in network.batch_norms:
        norm.gain[...] = rng.normal(1, 0.5, norm.gain.shape)
        norm.mean[...] = rng.normal(0, 0.5, norm.mean.shape)
        norm.variance[...] = rng.uniform(0.5, 2, norm.variance.shape)
    return network


def subject(seed, hidden, m, rule="dfa", feedback=None, **tables):
    """A random network that is normalised, in float64, and a mini-batch of images of (2, 6, 5)."""
    tables["network"] = {"hidden": hidden, "batch_norm": True, "weights": "uniform", **tables.get("network", {})}
    setting, rng = setting_of(precision="float64", rule=rule, feedback=feedback or {}, **tables), np.random.default_rng(seed)
    network = scattered(build(setting, (2, 6, 5), 3, seed), rng)
    inputs = np.ones((m, 61))
    inputs[:, :-1] = rng.normal(size=(m, 60))
    return setting, network, inputs, np.eye(3)[rng.integers(0, 3, m)]


def naive(network, inputs):
    """Drives of each layer, normalised over the mini-batch, and activities, of a dense network of tanh neurons."""
    h, drives = inputs[:, :-1], []
    for l in range(network.n_hidden):
        u, norm = h @ network.W(l).T, network.batch_norms[l]
        spread = np.sqrt(((u - u.mean(axis=0)) ** 2).mean(axis=0) + EPSILON)
        drives.append(norm.gain[0] * (u - u.mean(axis=0)) / spread + network.b(l))
        h = np.tanh(drives[-1])
    return [*drives, h @ network.W(-1).T + network.b(network.n_hidden)]


def loss(network, inputs, targets):
    return network.loss(settled.free_phase(network, inputs).drive[-1], targets).sum()


def test_drives_are_normalised_over_the_mini_batch_and_by_running_averages_in_evaluation():
    setting, network, inputs, _ = subject(0, [7, 5], 9)
    for found, expected in zip(settled.free_phase(network, inputs).drive, naive(network, inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    (norm, _), read = network.batch_norms, settled.free_phase(network, inputs, running=True).drive
    u = inputs[:, :-1] @ network.W(0).T
    expected = norm.gain[0] * (u - norm.mean) / np.sqrt(norm.variance + EPSILON) + network.b(0)
    np.testing.assert_allclose(read[0], expected, rtol=1e-12)
    alone = [engine(setting, "dfa").read(network, inputs[[s]], np.random.default_rng(0))[0] for s in range(9)]
    np.testing.assert_allclose(read[-1], alone, rtol=1e-12)


def test_a_layer_answers_through_the_norms_of_the_layers_above_it():
    """As a mirror of one's own may ask it: currents beside the biases of a layer, and nothing but them."""
    setting, network, _, _ = subject(0, [7, 5, 4], 9)
    currents = np.random.default_rng(1).normal(size=(6, 7))
    activity, drive = engine(setting, "dfa").answer(network, 0, currents, np.random.default_rng(0))
    h = np.tanh(currents + network.b(0))
    np.testing.assert_allclose(activity, h, rtol=1e-12)
    for l in (1, 2):
        norm = network.batch_norms[l]
        h = np.tanh(norm.gain[0] * (h @ network.W(l).T - norm.mean) / np.sqrt(norm.variance + EPSILON) + network.b(l))
    np.testing.assert_allclose(drive, h @ network.W(3).T + network.b(3), rtol=1e-12)


@pytest.mark.parametrize("hidden", [[4], [3, 4], [CONVOLUTION, 4]])
def test_back_propagation_is_the_slope_of_the_loss(hidden):
    """By central differences: of weights, shifts, gains and inputs, all of which the whole mini-batch depends on."""
    setting, network, inputs, targets = subject(1, hidden, 5, "bp")
    free, change = measure.changes(network, setting, "bp", inputs, targets)
    update = settled.update(free, change)
    slopes = [*measure.gradients(free, change), *update.gains]
    to_inputs, exponent = gradient(network, free, network.output.error(free.prediction, targets))
    slopes.append(-np.ldexp(to_inputs, exponent))
    for array, slope in zip([*network.learned, inputs[:, :-1]], slopes, strict=True):
        places = np.random.default_rng(2).permutation(array.size)[:25]
        for at in zip(*np.unravel_index(places, array.shape), strict=True):
            was, losses = array[at], []
            for step in (1e-5, -1e-5):
                array[at] = was + step
                losses.append(loss(network, inputs, targets))
            array[at] = was
            assert slope[at] == pytest.approx(-(losses[0] - losses[1]) / 2e-5, rel=1e-5, abs=1e-7)


layer = st.one_of(
    st.integers(1, 7),
    st.fixed_dictionaries(
        {
            "channels": st.integers(1, 3), "kernel": st.integers(1, 3), "padding": st.integers(0, 1), "pool": st.integers(1, 2),
            "stride": st.integers(1, 2),
        }
    ),
)  # fmt: skip


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(layer, min_size=1, max_size=3),
    m=st.integers(4, 9),
    neuron=st.sampled_from(["tanh", "relu"]),
    rule=st.sampled_from(RULES),
    beta=st.sampled_from([1.0, 0.05]),
    teacher=st.sampled_from(["activity", "drive"]),
)
def test_every_update_of_every_rule_is_that_of_pytorch(seed, hidden, m, neuron, rule, beta, teacher):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck.pytorch.learner import Learner, normalised

    (name, feedback), phases = rule, {"phases": {"beta": beta, "teacher": teacher}} if rule[0] == "local" else {}
    hidden = sorted(hidden, key=lambda layer: isinstance(layer, int))
    try:
        setting, network, inputs, targets = subject(
            seed, hidden, m, name, feedback, network={"neuron": neuron}, optimiser={"weight_decay": 0.1}, **phases
        )
    except SpecError:  # a kernel or window larger than the map
        assume(False)
    learner = Learner(setting, [network])
    x, y = learner.tensor(inputs[:, :-1]), learner.tensor(targets)
    theirs = learner.gradients(x, y)
    free, change = measure.changes(network, setting, name, inputs, targets)
    ours = [*measure.gradients(free, change), *settled.update(free, change).gains]
    theirs += [-module.gain.grad.numpy()[None] for module in normalised(learner.stack)]
    for a, b in zip(ours, theirs, strict=True):
        assert np.linalg.norm(a - b) <= 1e-10 * np.linalg.norm(a) + 1e-11
    read = engine(setting, name).read(network, inputs, np.random.default_rng(0))
    np.testing.assert_allclose(learner.drive(x).numpy(), read, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", registry.inside("optimisers"))
@pytest.mark.parametrize("rule", ["bp", "local"])
def test_training_steps_equal_those_of_pytorch(rule, name):
    """Five mini-batches of which each moves weights, shifts, gains and running averages; weights alone decay."""
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck.pytorch.learner import Learner, normalised

    setting, network, inputs, targets = subject(
        3, [CONVOLUTION, 5], 8, rule, optimiser={"name": name, "learning_rate": 0.01, "weight_decay": 0.05}
    )
    learner = Learner(setting, [network])
    x, y = learner.tensor(inputs[:, :-1]), learner.tensor(targets)
    plasticity = Plasticity(network.learned, registry.get("optimisers", name)(learning_rate=0.01), 0.05)
    for _ in range(5):
        update = engine(setting, rule).learn(network, inputs, targets, np.random.default_rng(0), frozenset())
        plasticity.learn(network.learned, update)
        for norm, moments in zip(network.batch_norms, update.moments, strict=True):
            norm.follow(moments)
        learner.step(x, y)
    theirs = [(m.gain.detach().numpy(), m.mean.numpy(), m.variance.numpy()) for m in normalised(learner.stack)]
    for norm, (gain, mean, variance) in zip(network.batch_norms, theirs, strict=True):
        for a, b in ((norm.gain[0], gain), (norm.mean, mean), (norm.variance, variance)):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    for ours, other in zip(network.weights, learner.weights(), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("rule", "pathway"), [("fa", "kolen_pollack"), ("local", "kolen_pollack"), ("dfa", "direct_kolen_pollack")]
)
def test_feedback_that_learns_does_so_as_in_pytorch(rule, pathway, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck.pytorch.learner import Learner

    setting, _, inputs, targets = subject(
        9, [CONVOLUTION, 5, 4], 8, rule, {"pathway": pathway}, optimiser={"name": "momentum", "weight_decay": 0.05}
    )
    part = Part(inputs[:, :-1], targets.argmax(axis=1), 3, np.float64, (2, 6, 5))
    trainer = Trainer(setting, {"train": part}, Job(tmp_path, rule, 0))
    learner = Learner(setting, [trainer.network])
    for _ in range(4):
        trainer.step(np.arange(8), np.random.default_rng(0))
        learner.step(learner.tensor(inputs[:, :-1]), learner.tensor(targets))
    ours = [*trainer.network.weights, *trainer.network.feedback]
    for own, other in zip(ours, [*learner.weights(), *learner.matrices], strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("above", [5, {**CONVOLUTION, "pool": 1}])
def test_feedback_learns_the_same_where_the_weights_above_it_are_frozen(above, tmp_path):
    found = []
    for frozen in ([], [2]):
        setting, _, inputs, targets = subject(
            10, [CONVOLUTION, above], 8, "fa", {"pathway": "kolen_pollack"}, stage=[{"epochs": 1, "frozen": frozen}],
            optimiser={"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.05},
        )  # fmt: skip
        part = Part(inputs[:, :-1], targets.argmax(axis=1), 3, np.float64, (2, 6, 5))
        trainer = Trainer(setting, {"train": part}, Job(tmp_path, "fa", 0))
        before = trainer.network.weights[1].copy()
        trainer.step(np.arange(8), np.random.default_rng(0))
        assert np.array_equal(trainer.network.weights[1], before) == bool(frozen)
        found.append(trainer.network.feedback[0].copy())
    np.testing.assert_array_equal(*found)


def test_the_change_that_a_synapse_sees_is_made_of_its_own_neuron_alone():
    """Another response of one neuron to feedback is seen by the synapses of that neuron, and by no others."""
    setting, network, inputs, targets = subject(4, [6], 7, "local")
    free, change = measure.changes(network, setting, "local", inputs, targets)
    before = measure.gradients(free, change)[0]
    change[0][:, 2] += np.random.default_rng(5).normal(size=7)
    moved = (measure.gradients(free, change)[0] != before).any(axis=0)
    assert moved.tolist() == [i == 2 for i in range(6)]


@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
def test_the_local_rule_converges_to_the_exact_one(nudging):
    errors = []
    for beta in (1e-2, 1e-3):
        setting, network, inputs, targets = subject(6, [6, 5], 9, "local", phases={"beta": beta, "nudging": nudging})
        local, exact = (measure.update(network, setting, rule, inputs, targets) for rule in ("local", "dfa"))
        errors.append(max(measure.compare(local, exact)["relative_error"]))
    order = {"one_sided": 1, "centered": 2}[nudging]
    assert np.log10(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)


def test_small_errors_are_left_out_and_all_samples_count(rng):
    """Where few errors are above the threshold, the others are zero: what is learned is that of the whole mini-batch."""
    setting, network, inputs, targets = subject(7, [6], 9, feedback={"threshold": THRESHOLD})
    update = engine(setting, "dfa").learn(network, inputs, targets, rng, frozenset())
    free = settled.free_phase(network, inputs)
    error = free.prediction - targets
    error[np.abs(error) <= THRESHOLD] = 0
    kept = error.any(axis=1)
    assert 0 < kept.sum() < 9
    v = -(error @ network.feedback[0].T) * (1 - free.activity[0] ** 2)
    u = inputs[:, :-1] @ network.W(0).T
    spread, unit = np.sqrt(u.var(axis=0) + EPSILON), (u - u.mean(axis=0)) / np.sqrt(u.var(axis=0) + EPSILON)
    back = network.batch_norms[0].gain[0] / spread * (v - v.mean(axis=0) - unit * (unit * v).mean(axis=0))
    np.testing.assert_allclose(update.totals()[0][:-1], inputs[:, :-1].T @ back, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(update.totals()[0][-1], v.sum(axis=0), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(update.gains[0][0], (unit * v).sum(axis=0), rtol=1e-9, atol=1e-11)


def test_running_averages_are_of_means_and_unbiased_variances(rng):
    norm, drives = BatchNorm.new(3, np.float64), rng.normal(2, 3, (5, 3))
    moments = norm.normalise(np.zeros(3), None, drives.copy()).moments
    norm.follow(moments)
    np.testing.assert_allclose(norm.mean, PACE * drives.mean(axis=0))
    np.testing.assert_allclose(norm.variance, 1 - PACE + PACE * drives.var(axis=0, ddof=1))
    before = [array.copy() for array in norm]
    norm.follow(norm.normalise(np.zeros(3), None, drives[:1].copy()).moments)
    for array, was in zip(norm, before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_it_is_measured_in_single_precision_as_in_double(rng):
    setting, network, inputs, targets = subject(8, [CONVOLUTION, 8, 6], 40, "local")
    exact = measure.probe(network, setting, "local", 0, inputs, targets)
    single = setting.model_copy(update={"precision": "float32"})
    copy = in_precision(network, np.float32)
    found = measure.probe(copy, single, "local", 0, inputs.astype(np.float32), targets.astype(np.float32))
    for name in ("angle_to_bp", "theorem_k", "theorem_l", "update_norm"):
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-3, atol=1e-3, err_msg=name)
    assert np.isnan(exact["alignment"][:2]).all()
    assert np.isfinite(exact["alignment"][2])
    dfa = rewired(network, setting, "fa", 0)
    assert np.isfinite(measure.alignment(replace(dfa, apart={}))).all()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Finished runs under three rules, one with the best weights, layers that are frozen and convolutions."""
    conditions = [
        {"name": "local"}, {"name": "bp", "rule": "bp", "network": {"dropout": 0.2}, "augment": {"crop": 6}},
        {"name": "conv", "rule": "dfa", "network": {"hidden": [CONVOLUTION, 8]}},
        {"name": "best", "rule": "dfa",
         "stage": [{"epochs": 2, "keep": "best", "frozen": [1]}, {"epochs": 1, "rule": "local"}]},
    ]  # fmt: skip
    found = tiny(
        network={"hidden": [12, 8], "batch_norm": True}, condition=conditions, stage=[{"epochs": 3}], batch_size=100,
        preprocess={"validation": 0.1}, record={"probe": 16, "weights": "every_epoch"}, optimiser={"learning_rate": 1e-2},
    )  # fmt: skip
    return found, train.run(found, tmp_path_factory.mktemp("normalised") / "run")


def test_networks_learn_and_are_read_back_as_they_are(trained, tmp_path):
    found, run = trained
    data = samples.load(found)
    for job in run.jobs:
        setting, weights = run.settings[job.condition], job.weights
        assert job.metrics[-1]["train_error"] < 0.6 * job.metrics[0]["train_error"]
        assert weights["gain1"].shape == weights["mean1"].shape == weights["variance1"].shape == weights["b1"].shape
        parts = samples.parts(data, setting)
        from_it = setting.network.model_copy(update={"from_run": f"{run.folder}/{job.condition}"})
        again = Trainer(setting.model_copy(update={"network": from_it}), parts, Job(tmp_path, job.condition, 0))
        for name in ("test", "valid"):
            assert again.evaluate(parts[name])["error"] == job.last[f"{name}_error"]


def test_frozen_layers_keep_their_gains_and_go_on_to_average(trained):
    _, run = trained
    job = {job.condition: job for job in run.jobs}["best"]
    first, second = (np.load(job.folder / f"weights-0000{epoch}.npz") for epoch in (1, 2))
    for name in ("W1", "b1", "gain1"):
        np.testing.assert_array_equal(first[name], second[name])
    assert (first["gain1"] == 1).all()
    assert (second["gain2"] != first["gain2"]).all()
    assert (second["mean1"] != first["mean1"]).any()


def test_the_same_seed_gives_the_same_bits_also_where_it_was_cut(trained, tmp_path):
    found, whole = trained
    with pytest.raises(KeyboardInterrupt):
        train.run(found, tmp_path / "cut", progress=Stop("local", 1))
    with pytest.raises(KeyboardInterrupt):
        train.resume(tmp_path / "cut", progress=Stop("best", 2))
    cut = train.resume(tmp_path / "cut")
    for a, b in zip(whole.jobs, cut.jobs, strict=True):
        assert without_time(a.metrics) == without_time(b.metrics)
        assert a.weights.keys() == b.weights.keys()
        for name, array in a.weights.items():
            np.testing.assert_array_equal(array, b.weights[name])


def test_a_run_is_not_taken_up_by_a_network_of_the_other_kind(trained, tmp_path):
    _, run = trained
    from_it = {"hidden": [12, 8], "from_run": f"{run.folder}/local"}
    with pytest.raises(SpecError, match=r"its layers are normalised; allowed with it: network\.batch_norm = true"):
        train.run(tiny(network=from_it), tmp_path / "run")
    plain = train.run(tiny(network={"hidden": [5]}, stage=[{"epochs": 1}]), tmp_path / "plain")
    with pytest.raises(SpecError, match=r"gain1 is missing; this network needs finite numbers of shape \(5,\)"):
        train.run(tiny(network={"hidden": [5], "batch_norm": True, "from_run": f"{plain.folder}/local"}), tmp_path / "other")


@pytest.mark.parametrize(
    ("tables", "message"), [
        ({"network": {"neuron": "lif"}}, r"network\.batch_norm: true works in settled mode only; allowed: rate neurons"),
        ({"network": {"neuron": "lif"}, "rule": "dfa"}, r"network\.batch_norm: true works in settled mode only"),
        ({"neuron": {"tau": 5.0}}, r"network\.batch_norm: true works in settled mode only; .*neuron\.tau = 0"),
        ({"network": {"weights": "zero"}}, r"network\.weights: from 'zero' drives have no spread .*; use 'uniform'"),
        ({"batch_size": 1}, r"batch_size: 1 sample has no spread .*allowed: 2 or more"),
        ({"phases": {"propagation": "live"}}, r"phases\.propagation: with 'live' layers would be normalised anew .*'held'"),
        ({"network": {"hidden": [{"channels": 2, "shared": False}]}}, r"network\.hidden\[0\]\.shared: false .*allowed with it"),
        ({"record": {"changes": 2}}, r"record\.changes: 2 is of trials by themselves, .*allowed: 0"),
        ({"network": {"batch_norm": 1}}, r"network\.batch_norm: 1"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tables, message):
    tables = {**tables, "network": {"batch_norm": True, **tables.get("network", {})}}
    with pytest.raises(SpecError, match=message):
        setting_of(**tables)


def test_weights_that_are_left_to_the_rule_are_not_zero():
    assert setting_of(network={"batch_norm": True}).initial_weights == "uniform"
    assert setting_of(network={"batch_norm": False}).initial_weights == "zero"


def test_the_certificate_trains_both_sides_alike():
    """Under a weak nudge the local rule in the core is DFA in PyTorch, running averages and all, and errors are the same."""
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck import certificate

    found = tiny(precision="float64", phases={"beta": 1e-4}, optimiser={"name": "sgd", "learning_rate": 1e-3},
                 network={"hidden": [5, 4], "batch_norm": True}, stage=[{"epochs": 1}])  # fmt: skip
    setting = setting_of(**found.model_dump(exclude_unset=True))
    of = samples.parts(samples.load(found), setting)
    *_, (_, _, row) = certificate._training(certificate._Witness(setting, 0, "cpu"), of, 1, lambda _: None)
    assert max(row["weight_distance"]) < 1e-8
    assert row["local_error"] == row["exact_error"]


def test_several_networks_at_once_are_refused():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck.pytorch.learner import Learner

    setting, network, *_ = subject(0, [4], 5)
    with pytest.raises(SpecError, match=r"network\.batch_norm: true goes with one network at a time"):
        Learner(setting, [network, network])


def test_networks_without_it_have_no_averages(rng):
    small = Small(rng)
    assert small.network.batch_norms == ()
    assert small.network.learned == [*small.network.weights]
    assert small.network.norm(0) is None
