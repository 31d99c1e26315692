"""Adversarial training: the gradient at the inputs by automatic differentiation, what is learned from, and the same bits."""

import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_train import StopAfter, assert_same_bits, tiny

from localdfa import measure, record, samples, train, trainer
from localdfa.adversary import FastSign, gradient
from localdfa.core.rate.settled import free_phase
from localdfa.engines import Settled, dropout, engine
from localdfa.errors import SpecError
from localdfa.network import build, generator, handed_over, in_precision, rewired
from localdfa.spec import settings

FEEDBACK = {"strength": 0.1, "gradient": "feedback"}


def loss_of(torch, output, a, y):
    """The loss of a mini-batch, written for PyTorch."""
    if output == "logistic":
        return torch.nn.functional.binary_cross_entropy_with_logits(a, y, reduction="sum")
    if output == "softmax":
        return torch.nn.functional.cross_entropy(a, y, reduction="sum")
    return 0.5 * ((a - y) ** 2).sum()


@hypothesis_settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    neuron=st.sampled_from(["tanh", "logistic", "relu"]),
    output=st.sampled_from(["logistic", "softmax", "linear"]),
    rule=st.sampled_from(["local", "dfa", "fa", "bp"]),
    drop=st.booleans(),
)
def test_the_gradient_at_the_inputs_is_that_of_automatic_differentiation(seed, hidden, neuron, output, rule, drop):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    rng = np.random.default_rng(seed)
    small = Small(rng, hidden, rule=rule, network={"neuron": neuron, "output": output, "dropout": 0.4 * drop})
    _, *masks = dropout(small.setting, small.network, rng, 3)
    free = free_phase(small.network, small.inputs, 0.0, masks)
    found, exponent = gradient(small.network, free, free.prediction - small.target)
    f = {"tanh": torch.tanh, "logistic": torch.sigmoid, "relu": torch.relu}[neuron]
    x = torch.from_numpy(small.inputs[:, :-1]).requires_grad_()
    h = x
    for W, b, mask in zip(small.W, small.b, [*masks, None], strict=True):
        a = h @ torch.from_numpy(W).T + torch.from_numpy(b)
        h = f(a) if mask is None else f(a) * torch.from_numpy(mask)
    (expected,) = torch.autograd.grad(loss_of(torch, output, a, torch.from_numpy(small.target)), x)
    scale = np.abs(expected.numpy()).max()
    np.testing.assert_allclose(np.ldexp(found, exponent), expected.numpy(), rtol=1e-12, atol=1e-12 * scale)


def test_through_convolutions_too(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck.pytorch.learner import Learner

    layers = [{"channels": 3, "kernel": 3, "padding": 1, "pool": 2}, {"channels": 2, "kernel": 2, "shared": False}, 5]
    setting = setting_of(rule="bp", precision="float64", network={"hidden": layers, "weights": "uniform"})
    network = build(setting, (2, 6, 6), 3, 0)
    inputs, target = np.ones((4, 73)), np.eye(3)[[0, 1, 2, 0]]
    inputs[:, :-1] = rng.random((4, 72))
    free = free_phase(network, inputs)
    found, exponent = gradient(network, free, free.prediction - target)
    learner = Learner(setting, [network])
    x = learner.tensor(inputs[:, :-1]).requires_grad_()
    (expected,) = torch.autograd.grad(learner.stack.loss(learner.stack(x, learner.whole), learner.tensor(target)), x)
    np.testing.assert_allclose(np.ldexp(found, exponent), expected.numpy(), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("scale", [0.05, 20.0])
def test_through_a_hundred_layers_it_neither_vanishes_nor_overflows(rng, scale):
    """In single precision, though its size is about 1e-130 or 1e130; signs are those of a product that is normalised."""
    small = Small(rng, hidden=(6,) * 100, network={"neuron": "linear"}, rule="bp", scale=1.0)
    small.inputs[:, :-1] = 0
    for weights in small.network.weights:
        weights *= scale
        weights[-1] = 0
    network = in_precision(small.network, np.float32)
    e = np.float32(0.5) - small.target.astype(np.float32)
    found, _ = gradient(network, free_phase(network, small.inputs.astype(np.float32)), e)
    expected = e.astype(np.float64)
    for W in reversed(small.W):
        expected = expected @ W
        expected /= np.abs(expected).max()
    found = found / np.abs(found).max()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def adversarial(rng, rule, gradient="bp", **tables):
    """A small network that is trained on adversarial examples, and what makes them."""
    tables["adversarial"] = {"strength": 0.1, "gradient": gradient}
    small = Small(rng, rule=rule, **tables)
    return small, FastSign(0.1, small.setting.feedback.threshold)


@pytest.mark.parametrize("gradient_at_inputs", ["bp", "feedback"])
@pytest.mark.parametrize("rule", ["local", "dfa", "fa", "ifa", "bp", "drtp"])
def test_a_rule_learns_from_the_examples_alone(rng, rule, gradient_at_inputs):
    """What is learned is what the same rule learns from x + ε sign(g) as if these were the samples."""
    small, adversary = adversarial(rng, rule, gradient_at_inputs)
    network, x, y = small.network, small.inputs, small.target
    free = free_phase(network, x)
    e = free.prediction - y
    if gradient_at_inputs == "bp":
        assert network.input_feedback is None
        g = gradient(network, free, e)[0]
    else:
        assert network.input_feedback.shape == (8, 4)
        g = e @ network.input_feedback.T
        assert (np.sign(g) != np.sign(gradient(network, free, e)[0])).any()
    moved = x.copy()
    moved[:, :-1] += 0.1 * np.sign(g)
    found = engine(small.setting, rule, adversary=adversary).learn(network, x, y, generator(0, 0), frozenset())
    expected = Settled(small.setting, rule).learn(network, moved, y, generator(0, 0), frozenset())
    for a, b in zip(found.totals(), expected.totals(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found.events == expected.events + free.events
    clean = measure.update(network, small.setting, rule, x, y)
    assert not np.allclose(clean[-1], found.totals()[-1])  # which the metrics measure


def test_layers_with_their_own_rules_learn_from_them_as_well(rng):
    small, adversary = adversarial(rng, "bp")
    network = rewired(small.network, small.setting, "bp", 0, {0: "local"})
    moved = adversary.examples(network, small.inputs, *_free_and_error(network, small))
    found = Settled(small.setting, "bp", adversary).learn(network, small.inputs, small.target, generator(0, 0), frozenset())
    expected = Settled(small.setting, "bp").learn(network, moved, small.target, generator(0, 0), frozenset())
    for a, b in zip(found.totals(), expected.totals(), strict=True):
        np.testing.assert_array_equal(a, b)


def _free_and_error(network, small):
    free = free_phase(network, small.inputs)
    return free, free.prediction - small.target


def test_small_steps_along_the_true_gradient_raise_the_loss_by_its_first_order(rng):
    small, _ = adversarial(rng, "dfa")
    free, e = _free_and_error(small.network, small)
    g, exponent = gradient(small.network, free, e)
    moved = FastSign(1e-6).examples(small.network, small.inputs, free, e)
    before, after = (
        small.network.loss(free_phase(small.network, x).drive[-1], small.target).sum() for x in (small.inputs, moved)
    )
    assert after - before == pytest.approx(1e-6 * np.ldexp(np.abs(g), exponent).sum(), rel=1e-3)


def test_dropout_is_the_same_before_and_after_the_step_and_keeps_inputs_out(rng):
    small, adversary = adversarial(rng, "dfa", network={"dropout": 0.5, "input_dropout": 0.5})
    mask, *masks = dropout(small.setting, small.network, generator(0, 0), 3)
    masked = small.inputs.copy()
    masked[:, :-1] *= mask
    free = free_phase(small.network, masked, 0.0, masks)
    moved = adversary.examples(small.network, small.inputs, free, free.prediction - small.target)
    moved[:, :-1] *= mask
    model = engine(small.setting, "dfa", adversary=adversary)
    found = model.learn(small.network, small.inputs, small.target, generator(0, 0), frozenset())
    np.testing.assert_array_equal(found.sent[0], moved)
    assert (found.sent[0][:, :-1][mask == 0] == 0).all()


def test_errors_below_the_threshold_are_not_fed_back_to_the_inputs(rng):
    small, adversary = adversarial(rng, "dfa", "feedback", feedback={"threshold": 0.45})
    free, e = _free_and_error(small.network, small)
    kept = np.where(np.abs(e) > 0.45, e, 0)
    assert 0 < np.count_nonzero(kept) < kept.size
    moved = adversary.examples(small.network, small.inputs, free, e)
    np.testing.assert_array_equal(
        moved[:, :-1], small.inputs[:, :-1] + 0.1 * np.sign(kept @ small.network.input_feedback.T)
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Finished runs of both gradients, each with the local rule and BP, and of none."""
    conditions = [
        {"name": f"{rule}-{gradient}", "rule": rule, "adversarial": {"strength": 0.1, "gradient": gradient}}
        for rule in ("local", "bp") for gradient in ("bp", "feedback")
    ]  # fmt: skip
    spec = tiny(condition=[*conditions, {"name": "none"}], stage=[{"epochs": 2}])
    return spec, train.run(spec, tmp_path_factory.mktemp("adversarial") / "run")


def test_training_with_it_is_another_one_and_b_of_the_inputs_is_kept(trained):
    spec, run = trained
    weights = {job.condition: job.weights for job in run.jobs}
    for name, found in weights.items():
        assert ("B0" in found) == name.endswith("feedback")
        assert [np.array_equal(found["W1"], other["W1"]) for other in weights.values()].count(True) == 1
    plain = build(settings(spec)["local-feedback"], 64, 10, 0)
    np.testing.assert_array_equal(weights["local-feedback"]["B0"], plain.input_feedback)
    np.testing.assert_array_equal(weights["local-feedback"]["B1"], weights["none"]["B1"])
    rows = {job.condition: job.metrics for job in run.jobs}
    assert rows["local-bp"][-1]["events"] > 1.4 * rows["none"][-1]["events"]


def test_the_same_seed_gives_the_same_bits_also_where_it_was_cut(trained, tmp_path):
    spec, whole = trained
    with pytest.raises(KeyboardInterrupt):
        train.run(spec, tmp_path / "cut", progress=StopAfter(16))
    cut = train.resume(tmp_path / "cut")
    assert_same_bits(whole, cut)


def test_without_strength_nothing_changes(trained, tmp_path):
    _, run = trained
    plain = train.run(tiny(stage=[{"epochs": 2}]), tmp_path / "run").jobs[0]
    for name, array in plain.weights.items():
        np.testing.assert_array_equal(array, run.jobs[-1].weights[name])


def test_strength_is_a_part_of_the_range_of_the_training_inputs(tmp_path, rng):
    x, y = rng.uniform(-2, 6, (40, 3)), np.arange(40) % 2
    x[3, 1], x[5, 0] = -2, 6
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=99 * x[:9], y_test=y[:9])
    spec = tiny(data=f"npz:{tmp_path / 'own.npz'}", adversarial={"strength": 0.25}, precision="float64")
    setting = settings(spec)["local"]
    trained = trainer.Trainer(setting, samples.parts(samples.load(spec), setting), record.Job(tmp_path, "local", 0))
    assert trained.engine._adversary.step == pytest.approx(0.25 * 8)


def test_b_of_the_inputs_is_handed_over(trained):
    spec, run = trained
    setting, found = settings(spec)["local-feedback"], run.jobs[1].weights
    other = build(setting, 64, 10, 5)
    assert not np.array_equal(other.input_feedback, found["B0"])
    taken = handed_over(other, setting, 5, found, "direct", "weights.npz")
    np.testing.assert_array_equal(taken.input_feedback, found["B0"])
    without = {name: array for name, array in found.items() if name != "B0"}
    kept = handed_over(other, setting, 5, without, "direct", "weights.npz")
    np.testing.assert_array_equal(kept.input_feedback, other.input_feedback)


LIF = {"network": {"hidden": [4], "neuron": "lif"}}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"adversarial": {"strength": 1.5}}, r"adversarial\.strength: 1\.5 is not allowed"),
        ({"adversarial": {"gradient": "feedback"}}, r"adversarial\.gradient: 'feedback' makes no examples with .*strength = 0"),
        ({"adversarial": {"strength": 0.1, "gradient": "dfa"}}, r"adversarial\.gradient: 'dfa' is not one of bp, feedback"),
        (
            {"adversarial": FEEDBACK, **LIF},
            r"adversarial\.strength: 0\.1 works with settled networks, not with spiking neurons",
        ),
        (
            {"adversarial": FEEDBACK, "neuron": {"tau": 5.0}, "network": {"threshold": 0.01}},
            r"adversarial\.strength: .* not with rate neurons in time .* rule = 'local' trains here; allowed: 0",
        ),
        (
            {"adversarial": FEEDBACK, "rule": "dfa", "stage": [{"epochs": 1}, {"rule": "local"}], **LIF},
            r"adversarial\.strength: .*stage\[1\]\.rule = 'local'",
        ),
    ],
)
def test_where_it_does_not_work_it_is_refused(tables, message):
    with pytest.raises(SpecError, match=message):
        setting_of(**tables)


def test_spiking_neurons_under_exact_rules_are_settled():
    assert setting_of(adversarial=FEEDBACK, rule="dfa", **LIF).adversarial.strength == 0.1


def test_the_independent_implementation_refuses_it():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck.pytorch.learner import Learner

    setting = setting_of(adversarial={"strength": 0.1})
    with pytest.raises(SpecError, match=r"adversarial\.strength: 0\.1; the PyTorch path learns from clean samples alone"):
        Learner(setting, [build(setting, 4, 2, 0)])
