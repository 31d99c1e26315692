"""Feedback matrices that change while a network learns, against slow and obvious versions, PyTorch, and what theory says."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Small, setting_of
from numba import get_num_threads, set_num_threads

from localdfa import measure, record, registry, spec, train
from localdfa.conformance._subjects import trainer_of
from localdfa.core.rate import settled
from localdfa.core.update import Update
from localdfa.engines import engine
from localdfa.errors import SpecError
from localdfa.feedback._changes import follow
from localdfa.network import build, first_feedback, generator
from localdfa.progress import Progress

SGD = {"name": "sgd", "learning_rate": 0.05, "weight_decay": 0.02}
FOLLOWING = ["sign_symmetric", "sign_symmetric_fixed", "sign_symmetric_redrawn"]
# Rule, its exact form's pathway and further keys of feedback.
CHANGING = [
    *(("fa", {"pathway": name}) for name in (*FOLLOWING, "kolen_pollack", "weight_mirror")),
    ("fa", {"normalisation": "strict"}),
    ("fa", {"pathway": "sign_symmetric", "normalisation": "strict"}),
    ("dfa", {"pathway": "direct_kolen_pollack"}),
    ("dfa", {"pathway": "low_rank", "rank": 3}),
    ("dfa", {"pathway": "direct_weight_mirror", "mirror_rate": 0.1}),
]
CONVOLUTIONS = [{"channels": 3, "kernel": 3, "pool": 2, "stride": 2}, {"channels": 2, "kernel": 2}, 5]


def trainer(rule, feedback, hidden=(12, 10), **tables):
    tables = {"precision": "float64", "optimiser": SGD, "batch_size": 8, **tables}
    return trainer_of(Path(), rule=rule, network={"hidden": [*hidden], "weights": "uniform"}, feedback=feedback, **tables)


def stepped(subject, n=1):
    rng = np.random.default_rng(5)
    for k in range(n):
        subject.step(np.arange(8 * (k % 3), 8 * (k % 3) + 8), rng)
    return subject


def above(network, l):
    return network.weights[l + 1][:-1]


@pytest.mark.parametrize("hidden", [(12, 10), CONVOLUTIONS])
@pytest.mark.parametrize("rule", ["fa", "local"])
def test_sign_symmetric_feedback_has_the_signs_of_the_weights_as_they_learn(rule, hidden):
    for name in FOLLOWING:
        subject = trainer(rule, {"pathway": name, "gain": 2.0}, hidden)
        drawn = first_feedback(subject.network, subject.setting, subject.network.pathway, 0)
        stepped(subject, 3)
        subject.follow_weights()
        for l, (matrix, random) in enumerate(zip(subject.network.feedback, drawn, strict=True)):
            np.testing.assert_array_equal(np.sign(matrix), np.sign(above(subject.network, l)))
            size = np.sqrt((random**2).mean())
            if name == "sign_symmetric":
                np.testing.assert_allclose(np.abs(matrix), size, rtol=1e-12)
            elif name == "sign_symmetric_fixed":
                np.testing.assert_array_equal(np.abs(matrix), np.abs(random))
            else:
                assert (np.abs(matrix) <= np.sqrt(3) * size).all()
                assert matrix.size < 20 or len(np.unique(np.abs(matrix))) > 1


def test_redrawn_magnitudes_are_uniform_new_each_time_and_the_same_on_any_number_of_threads(rng):
    small = Small(rng, hidden=(40, 300), rule="fa", feedback={"pathway": "sign_symmetric_redrawn"})
    network, drawn = small.network, first_feedback(small.network, small.setting, small.network.pathway, 0)
    found = []
    for threads, seed in ((1, 0), (get_num_threads(), 0), (1, 1)):
        before = get_num_threads()
        set_num_threads(threads)
        follow(network, drawn, False, generator(seed, 1))
        set_num_threads(before)
        found.append(network.feedback[0].copy())
    np.testing.assert_array_equal(found[0], found[1])
    sizes = np.sort(np.abs(found[0]).ravel()) / (np.sqrt(3) * np.sqrt((drawn[0] ** 2).mean()))
    assert np.abs(sizes - np.linspace(0, 1, sizes.size)).max() < 1.63 / np.sqrt(sizes.size)  # Kolmogorov–Smirnov at 1 %
    assert abs(np.corrcoef(np.abs(found[0]).ravel(), np.abs(found[2]).ravel())[0, 1]) < 0.04


@pytest.mark.parametrize("hidden", [(12, 10), CONVOLUTIONS])
@pytest.mark.parametrize("pathway", ["sequential", *FOLLOWING])
def test_strict_feedback_has_the_norm_of_the_weights(pathway, hidden):
    subject = stepped(trainer("fa", {"pathway": pathway, "normalisation": "strict"}, hidden), 3)
    drawn = first_feedback(subject.network, subject.setting, subject.network.pathway, 0)
    subject.follow_weights()
    for l, matrix in enumerate(subject.network.feedback):
        assert np.linalg.norm(matrix) == pytest.approx(np.linalg.norm(above(subject.network, l)), rel=1e-12)
        if pathway == "sequential":
            assert measure.cosine(matrix, drawn[l]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("hidden", [(12, 10), CONVOLUTIONS])
@pytest.mark.parametrize("rule", ["fa", "local"])
def test_under_kolen_pollack_the_difference_to_the_weights_decays_as_theory_says(rule, hidden):
    """With plain steps by 1 − η λ a mini-batch, whatever is learned."""
    subject = trainer(rule, {"pathway": "kolen_pollack"}, hidden)
    network = subject.network
    before = [matrix - above(network, l) for l, matrix in enumerate(network.feedback)]
    first = [above(network, l).copy() for l in range(network.n_hidden)]
    stepped(subject, 20)
    for l, matrix in enumerate(network.feedback):
        np.testing.assert_allclose(matrix - above(network, l), before[l] * (1 - 0.05 * 0.02) ** 20, rtol=1e-9, atol=1e-13)
        assert np.linalg.norm(above(network, l) - first[l]) > 0.01


@pytest.mark.parametrize("rule", ["dfa", "local"])
def test_direct_feedback_learns_the_activity_times_the_error(rule, rng):
    subject = trainer(rule, {"pathway": "direct_kolen_pollack"})
    network, train_part = subject.network, subject.parts["train"]
    x, y = train_part.inputs[np.arange(8)], train_part.targets[np.arange(8)]
    before = [matrix.copy() for matrix in network.feedback]
    top = network.feedback[-1] - above(network, network.n_hidden - 1)
    h = x[:, :-1]
    expected = []
    for l in range(network.n_hidden + 1):
        a = h @ network.W(l).T + network.b(l)
        h = np.tanh(a) if l < network.n_hidden else 1 / (1 + np.exp(-a))
        expected.append(h)
    error = expected.pop() - y
    subject.step(np.arange(8), rng)
    for own, old, activity in zip(network.feedback, before, expected, strict=True):
        np.testing.assert_allclose(own, old - 0.05 * (activity.T @ error + 0.02 * old), rtol=1e-10, atol=1e-13)
    now = network.feedback[-1] - above(network, network.n_hidden - 1)
    np.testing.assert_allclose(now, top * (1 - 0.05 * 0.02), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("rule", ["dfa", "local"])
def test_both_factors_of_low_rank_feedback_learn_from_what_passes_them(rule, rng):
    subject = trainer(rule, {"pathway": "low_rank", "rank": 3})
    network, part = subject.network, subject.parts["train"]
    drawn = [matrix.copy() for matrix in network.feedback]
    factors = list(subject._changes._factors.values())
    before = [[factor.copy() for factor in pair] for pair in factors]
    values = np.linalg.svd(drawn[0], compute_uv=False)
    assert values[3] < 1e-9 * values[0] < values[2]
    free = settled.free_phase(network, part.inputs[np.arange(8)])
    error = free.prediction - part.targets[np.arange(8)]
    subject.step(np.arange(8), rng)
    for matrix, first, activity, (q, p), (old_q, old_p) in zip(
        network.feedback, drawn, free.activity, factors, before, strict=True
    ):
        np.testing.assert_allclose(old_p @ old_p.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(old_q @ old_p, first, atol=1e-12)
        np.testing.assert_allclose(matrix, first, atol=1e-12)  # B is made of them before the next mini-batch
        expected_q, expected_p = (1 - 0.05 * 0.02) * old_q, old_p.copy()
        for h, e in zip(activity, error, strict=True):
            sent = old_p @ e
            expected_q -= 0.05 * np.outer(h[: q.shape[0]], sent)
            expected_p += 0.05 * np.outer(sent, e - old_p.T @ sent) / (error**2).sum()
        np.testing.assert_allclose(q, expected_q, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(p, expected_p, rtol=1e-10, atol=1e-13)
    subject.follow_weights()
    for matrix, (q, p) in zip(network.feedback, factors, strict=True):
        np.testing.assert_allclose(matrix, q @ p, rtol=1e-12)
        assert np.linalg.matrix_rank(matrix) == 3


def test_low_rank_feedback_finds_where_the_error_varies_and_the_weights_within_it(rng):
    """Of errors with a known covariance P comes to span the main directions; with weight decay Q P comes to be Wᵀ within them.

    W are output weights that learn from the same errors, as a delta rule has it."""
    n_out, n, rank, rate, decay = 6, 9, 2, 0.01, 0.2
    axes = np.linalg.qr(rng.normal(size=(n_out, n_out)))[0]
    spread = np.array([1.0, 0.8, 0.2, 0.1, 0.1, 0.05])
    table = spec.settings(spec.experiment({"rule": "dfa", "feedback": {"pathway": "low_rank", "rank": rank}}))
    pathway = registry.get("feedback", "low_rank")
    q, p = pathway.factors(rng.normal(size=(n, n_out)), next(iter(table.values())).feedback)
    weights = rng.normal(size=(n, n_out))
    mixing = rng.normal(size=(n_out, n))
    for _ in range(4000):
        error = (spread * rng.normal(size=(8, n_out))) @ axes.T
        update = Update(sent=[], change=[], total=[], events=0, activity=[np.tanh(error @ mixing)], error=error)
        of_q, of_p = pathway.taught(None, 0, update, (q, p))
        q += rate * (of_q.pre.T @ of_q.change - decay * q)
        p += 10 * rate * of_p.total
        weights -= rate * (update.activity[0].T @ error + decay * weights)
    assert np.abs(p @ p.T - np.eye(rank)).max() < 0.05
    overlap = np.linalg.svd(p @ axes[:, :rank])[1]
    assert overlap.min() > 0.995
    within = weights @ p.T @ p
    assert measure.degrees(measure.cosine(q @ p, within)) < 3
    assert measure.degrees(measure.cosine(q @ p, weights)) < 30


def test_direct_feedback_learns_from_spikes_by_their_rates_and_the_error(rng):
    setting = setting_of(
        rule="local", precision="float64", optimiser={"name": "sgd", "learning_rate": 0.05}, batch_size=4,
        network={"hidden": [12, 8], "neuron": "lif", "weights": "uniform"}, trace={"tau_x": 10.0, "tau_z": 10.0},
        phases={"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
        feedback={"pathway": "direct_kolen_pollack"}, neuron={"baseline": 1.5},
    )  # fmt: skip
    network = build(setting, 6, 3, 0)
    inputs, target = np.ones((4, 7)), np.eye(3)[[0, 1, 2, 0]]
    inputs[:, :-1] = rng.random((4, 6))
    trial = engine(setting, "local").learn(network, inputs, target, rng, frozenset())
    assert all(counts.any() for counts in trial.counts)
    for l, counts in enumerate(trial.counts):
        (taught,) = network.pathway.taught(network, l, trial, (network.feedback[l],))
        np.testing.assert_allclose(taught.pre, network.neuron.gain * counts / 100.0, rtol=1e-12)
        np.testing.assert_allclose(taught.change, target - trial.prediction, rtol=1e-12)


@pytest.mark.parametrize(("hidden", "neuron", "slope"), [
    ((30, 20), "linear", 1.0), ((30, 20), "tanh", 1.0), ((30, 20), "logistic", 0.25), ((30, 20), "relu", 0.5),
    (CONVOLUTIONS, "linear", 1.0),
])  # fmt: skip
def test_noise_teaches_the_mirror_the_weights_times_the_slope_of_their_neurons(hidden, neuron, slope, rng):
    """A mean over many mini-batches, whose error falls as 1/√(their number); neurons of a window of one are not pooled."""
    hidden = [{**layer, "pool": 1, "stride": 1} if isinstance(layer, dict) else layer for layer in hidden]
    setting = setting_of(
        rule="fa", precision="float64", network={"hidden": hidden, "neuron": neuron},
        feedback={"pathway": "weight_mirror", "mirror_rate": 0.005, "noise": 0.01},
    )  # fmt: skip
    network = build(setting, (1, 6, 6) if isinstance(hidden[0], dict) else 36, 4, 0)
    for l, matrix in enumerate(network.feedback):
        for _ in range(3000):
            network.pathway.mirror(network, l, setting.feedback, rng, matrix, engine(setting, "fa"))
        weights = above(network, l)
        assert measure.degrees(measure.cosine(matrix, weights)) < 20
        times = slope if l + 1 < network.n_hidden else 1.0
        assert np.vdot(matrix, weights) / np.vdot(weights, weights) == pytest.approx(times, rel=0.15)


def evoked(network, l):
    """∂a_y/∂h_l at rest, (n_l, n_out), by central differences of a forward pass in NumPy; without inputs."""
    f = {"tanh": np.tanh, "logistic": lambda a: 1 / (1 + np.exp(-a)), "linear": lambda a: a}[
        type(network.neuron).__name__.lower()
    ]

    def drive(h):
        for k in range(l + 1, network.n_hidden):
            h = f(h @ network.W(k).T + network.b(k))
        return h @ network.W(network.n_hidden).T + network.b(network.n_hidden)

    rest = f(network.b(0))
    for k in range(1, l + 1):
        rest = f(rest @ network.W(k).T + network.b(k))
    step = 1e-6 * np.eye(len(rest))
    return (drive(rest + step) - drive(rest - step)) / 2e-6


@pytest.mark.parametrize("neuron", [
    {"neuron": "linear"}, {"neuron": "tanh"}, {"neuron": "logistic"}, {"neuron": "tanh", "tau": 5.0},
])  # fmt: skip
def test_noise_teaches_the_direct_mirror_what_a_layer_brings_about_at_the_output(neuron, rng):
    """Settled and in time; a mean over many phases of noise, whose error falls as 1/√(their number)."""
    neuron = dict(neuron)
    of_neuron = {"neuron": {"tau": neuron.pop("tau")}, "phases": {"free": 100.0}} if "tau" in neuron else {}
    setting = setting_of(
        rule="local", precision="float64", network={"hidden": [15, 10], "weights": "uniform", **neuron},
        **of_neuron,
        feedback={"pathway": "direct_weight_mirror", "mirror_rate": 0.01, "noise": 0.02},
    )  # fmt: skip
    network = build(setting, 6, 4, 0)
    for weights in network.weights:
        weights[-1] = rng.normal(size=weights.shape[1]) / 5
    runs = engine(setting.with_currents(), "local")
    for l, matrix in enumerate(network.feedback):
        for _ in range(1000):
            network.pathway.mirror(network, l, setting.feedback, rng, matrix, runs)
        expected = evoked(network, l)
        assert measure.degrees(measure.cosine(matrix, expected)) < 12
        assert np.vdot(matrix, expected) / np.vdot(expected, expected) == pytest.approx(1, rel=0.1)


def test_spikes_teach_the_direct_mirror_the_weights_to_the_output(rng):
    """Of the upper layer B comes to be Wᵀ; of the lower one it has the direction of what two projections bring about."""
    setting = setting_of(
        rule="local", precision="float64", batch_size=4, network={"hidden": [12, 8], "neuron": "lif", "weights": "uniform"},
        trace={"tau_x": 20.0, "tau_z": 20.0}, neuron={"baseline": 2.0}, input={"code": "poisson"},
        phases={"beta": 2.0, "free": 400.0, "nudged": 50.0, "propagation": "two_compartment", "onset": "carried"},
        feedback={"pathway": "direct_weight_mirror", "mirror_rate": 0.02, "noise": 0.5},
    )  # fmt: skip
    network = build(setting, 6, 3, 0)
    runs = engine(setting.with_currents(), "local")
    for l, (matrix, most) in enumerate(zip(network.feedback, (35, 20), strict=True)):
        before = measure.degrees(measure.cosine(matrix, network.pathway.replaces(network, l)))
        for _ in range(300):
            network.pathway.mirror(network, l, setting.feedback, rng, matrix, runs)
        after = measure.degrees(measure.cosine(matrix, network.pathway.replaces(network, l)))
        assert after < most < before
    weights = network.pathway.replaces(network, 1)
    assert np.vdot(matrix, weights) / np.vdot(weights, weights) == pytest.approx(1, rel=0.15)


def test_a_neuron_that_noise_does_not_move_keeps_its_feedback(rng):
    setting = setting_of(
        rule="dfa", precision="float64", network={"hidden": [5], "neuron": "relu"},
        feedback={"pathway": "direct_weight_mirror", "mirror_rate": 0.5},
    )  # fmt: skip
    network = build(setting, 4, 3, 0)
    network.weights[0][-1] = [-5, 5, -5, 5, 5]
    (matrix,) = network.feedback
    before = matrix.copy()
    network.pathway.mirror(network, 0, setting.feedback, rng, matrix, engine(setting, "dfa"))
    assert (matrix != before).all(axis=1).tolist() == [False, True, False, True, True]
    assert (matrix == before).all(axis=1).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "rmsprop"])
@pytest.mark.parametrize(("exact", "feedback"), CHANGING)
def test_training_steps_equal_those_of_pytorch(exact, feedback, name):
    """Five mini-batches with the optimisers of torch.optim, weights and B; the certificate has the local rule."""
    pytest.importorskip("torch")
    from localdfa.crosscheck.pytorch.learner import Learner, trains

    subject = trainer(exact, feedback, optimiser={**SGD, "name": name, "learning_rate": 0.01})
    learner = Learner(subject.setting, [subject.network])
    if not trains(subject.setting):
        with pytest.raises(SpecError, match="draws numbers"):
            learner.step(learner.tensor(np.zeros((2, 64))), learner.tensor(np.zeros((2, 10))))
        return
    part = subject.parts["train"]
    for k in range(5):
        rows = np.arange(8 * (k % 3), 8 * (k % 3) + 8)
        learner.step(learner.tensor(part.inputs[rows][:, :-1]), learner.tensor(part.targets[rows]))
    stepped(subject, 5)
    for ours, theirs in zip(subject.network.weights, learner.weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    for ours, theirs in zip(subject.network.feedback, learner.matrices, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("hidden", [(12, 10), CONVOLUTIONS])
@pytest.mark.parametrize(("exact", "feedback"), CHANGING)
def test_the_local_rule_goes_to_its_exact_form_as_the_square_of_beta(exact, feedback, hidden):
    if feedback.get("pathway") == "direct_weight_mirror" and hidden is CONVOLUTIONS:
        with pytest.raises(SpecError, match="sends noise through dense layers"):
            trainer("local", feedback, hidden)
        return
    subject = stepped(trainer("local", feedback if "pathway" in feedback else {**feedback, "pathway": "sequential"}, hidden), 2)
    subject.follow_weights()
    network, setting, part = subject.network, subject.setting, subject.parts["train"]
    x, y = part.inputs[np.arange(16)], part.targets[np.arange(16)]
    errors = []
    for beta in (0.2, 0.02):
        nudged = setting.model_copy(update={"phases": setting.phases.model_copy(update={"beta": beta})})
        row = measure.probe(network, nudged, "local", 0, x, y)
        assert min(row["cosine_to_exact"]) > 0.99
        free, change = measure.changes(network, nudged, "local", x, y)
        exact_form = measure._exact_form(network, x, y, free)
        errors.append(measure.compare(measure.gradients(free, change), exact_form)["relative_error"])
    for coarse, fine in zip(*errors, strict=True):
        assert fine == pytest.approx(coarse / 100, rel=0.3)


@pytest.mark.parametrize("feedback", [
    {"pathway": "kolen_pollack"}, {"pathway": "direct_kolen_pollack"}, {"pathway": "weight_mirror", "mirror_rate": 0.1},
    {"pathway": "sign_symmetric_redrawn"}, {"pathway": "sequential", "normalisation": "strict"},
    {"pathway": "low_rank", "rank": 4}, {"pathway": "direct_weight_mirror", "mirror_rate": 0.1},
])  # fmt: skip
def test_resume_goes_on_to_the_same_bits_and_stages_share_one_matrix(tmp_path, feedback):
    """The second stage has the exact rule of the same pathway: B goes on from where the first has left it."""
    rule = "dfa" if feedback["pathway"] in ("direct_kolen_pollack", "low_rank", "direct_weight_mirror") else "fa"
    tables = {
        "data": "digits", "seeds": [0], "batch_size": 256, "network": {"hidden": [16, 12], "weights": "uniform"},
        "rule": "local", "feedback": feedback, "optimiser": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 1e-2},
        "stage": [{"epochs": 1}, {"epochs": 1, "rule": rule}], "record": {"weights": "every_epoch", "checkpoint": 1},
    }  # fmt: skip

    class Stop(Progress):
        def advance(self, n):
            self.batches = getattr(self, "batches", 0) + 1
            if self.batches == 6:
                raise KeyboardInterrupt

    whole = train.run(spec.experiment(tables), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train.run(spec.experiment(tables), tmp_path / "cut", progress=Stop())
    train.resume(tmp_path / "cut")
    (first,), (second,) = whole.jobs, record.Run(tmp_path / "cut").jobs
    for key, array in first.weights.items():
        assert array.tobytes() == second.weights[key].tobytes(), key
    before, after = (np.load(first.folder / f"weights-{epoch:05}.npz")["B1"] for epoch in (1, 2))
    assert (before != after).any()
    if feedback["pathway"] != "sign_symmetric_redrawn":
        assert measure.cosine(before, after) > 0.8


def test_exact_dfa_is_measured_through_the_matrices_as_they_have_become():
    subject = stepped(trainer("local", {"pathway": "direct_kolen_pollack"}, phases={"beta": 1e-3}), 5)
    row = subject.measure()
    assert min(row["cosine_to_dfa"]) > 1 - 1e-5
    np.testing.assert_allclose(row["cosine_to_dfa"], row["cosine_to_exact"], rtol=1e-12)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"rule": "fa", "feedback": {"pathway": "kolen_pollack"}},
            ["'kolen_pollack'", "optimiser.weight_decay: 0;", "above 0"],
        ),
        (
            {"rule": "dfa", "feedback": {"pathway": "kolen_pollack"}},
            ["feedback.pathway: 'kolen_pollack'", "direct_kolen_pollack"],
        ),
        (
            {"rule": "bp", "feedback": {"pathway": "sign_symmetric"}},
            ["'sign_symmetric' does not go with rule = 'bp'", "transpose"],
        ),
        (
            {"rule": "fa", "feedback": {"pathway": "sign_symmetric_redrawn", "distribution": "normal"}},
            ["feedback.distribution = 'normal'", "'uniform'"],
        ),
        (
            {"rule": "fa", "feedback": {"pathway": "sign_symmetric"}, "network": {"weights": "zero"}},
            ["network.weights: 'zero'", "'uniform'"],
        ),
        (
            {"rule": "fa", "feedback": {"normalisation": "strict"}, "network": {"weights": "zero"}},
            ["network.weights: 'zero'", "'uniform'"],
        ),
        (
            {"rule": "dfa", "feedback": {"normalisation": "strict"}},
            ["feedback.normalisation: 'strict'", "'none'", "'sequential'"],
        ),
        ({"rule": "fa", "feedback": {"noise": 0.2}}, ["feedback.noise: 0.2", "'weight_mirror'", "0.1"]),
        ({"rule": "fa", "feedback": {"mirror_rate": 0.2}}, ["feedback.mirror_rate: 0.2", "'weight_mirror'", "0.001"]),
        (
            {"rule": "local", "feedback": {"pathway": "direct_kolen_pollack"}, "neuron": {"tau": 5.0}},
            ["feedback.pathway: 'direct_kolen_pollack'", "neuron.tau = 0, or spiking neurons"],
        ),
        (
            {"rule": "dfa", "feedback": {"pathway": "direct_weight_mirror"}, "network": {"hidden": CONVOLUTIONS}},
            ["feedback.pathway: 'direct_weight_mirror'", "dense layers", "weight_mirror, direct"],
        ),
        (
            {"rule": "dfa", "feedback": {"pathway": "direct_weight_mirror"}, "network": {"batch_norm": True}},
            ["feedback.pathway: 'direct_weight_mirror'", "no mini-batch", "network.batch_norm"],
        ),
        (
            {
                "rule": "local",
                "feedback": {"pathway": "direct_weight_mirror"},
                "network": {"hidden": [8], "neuron": "lif", "projection": [{"pre": 1, "post": 1}]},
            },
            ["feedback.pathway: 'direct_weight_mirror'", "from each layer to the next", "further projections"],
        ),
        (
            {"rule": "fa", "feedback": {"pathway": "sign_symmetric"}, "stage": [{"layer_rules": {"1": "dfa"}}]},
            ["stage[0].layer_rules", "B changes", "feedback.normalisation = 'none'"],
        ),
    ],
)
def test_what_does_not_go_together_is_refused(tables, words):
    with pytest.raises(SpecError) as caught:
        spec.experiment(tables)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        ({"rank": 2, "density": 0.5}, ["feedback.rank: 2", "feedback.density = 0.5", "density = 1"]),
        ({"rank": 2, "signs": "sender"}, ["feedback.rank: 2", "feedback.signs = 'sender'", "signs = 'free'"]),
        ({"rank": 2, "pathway": "direct_kolen_pollack"}, ["feedback.rank: 2 would not last", "allowed: none"]),
        ({"shared": True, "pathway": "direct_kolen_pollack"}, ["feedback.shared: True would not last", "allowed: False"]),
        ({"density": 0.5, "pathway": "low_rank"}, ["feedback.density: 0.5 would not last", "allowed: 1.0"]),
    ],
)
def test_a_rank_that_would_not_stay_is_refused(feedback, words):
    with pytest.raises(SpecError) as caught:
        spec.experiment({"rule": "dfa", "feedback": feedback})
    for word in words:
        assert word in str(caught.value)


def test_every_pathway_that_changes_is_among_these():
    changing = {name for name in registry.inside("feedback") if registry.get("feedback", name).changes()}
    assert changing == {feedback["pathway"] for _, feedback in CHANGING if "pathway" in feedback}


def test_a_damaged_checkpoint_of_learned_feedback_is_refused_by_name(tmp_path):
    subject = stepped(trainer("fa", {"pathway": "kolen_pollack"}, optimiser={**SGD, "name": "adam"}), 2)
    (saved,) = subject._all_changes.values()
    arrays = saved.arrays()
    assert set(arrays) == {"B1", "B2", "state_B1", "state_B2", "last_B1", "last_B2"}
    assert saved.counts_well()
    arrays["last_B2"][0] = 3
    assert not saved.counts_well()


@pytest.mark.parametrize(
    ("rule", "feedback"), [("fa", {"pathway": "kolen_pollack"}), ("dfa", {"pathway": "low_rank", "rank": 3})]
)
def test_the_best_epoch_is_kept_with_its_feedback(tmp_path, rule, feedback):
    """After a stage that keeps the best, W and B are those that this epoch's own files have."""
    tables = {
        "data": "digits", "seeds": [0], "batch_size": 64, "network": {"hidden": [16], "weights": "uniform"}, "rule": rule,
        "feedback": feedback, "optimiser": {"name": "sgd", "learning_rate": 0.05, "weight_decay": 0.01},
        "preprocess": {"validation": 0.2}, "stage": [{"epochs": 6, "keep": "best"}], "record": {"weights": "every_epoch"},
    }  # fmt: skip
    (job,) = train.run(spec.experiment(tables), tmp_path / "run").jobs
    best = job.last[record.KEPT]
    assert 0 < best < 6  # else what is kept would be what there is
    with np.load(job.folder / f"weights-{best:05}.npz") as then:
        for key in ("W1", "W2", "B1"):
            np.testing.assert_array_equal(job.weights[key], then[key])
