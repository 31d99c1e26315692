"""Signals that reach some neurons of a layer alone, and their distance from the gradient, against slow versions and PyTorch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa import measure, spec
from localdfa.conformance._subjects import trainer_of
from localdfa.engines import settled_changes
from localdfa.errors import SpecError
from localdfa.network import build, in_precision, rewired

RULES = ["bp", "fa", "dfa", "ifa", "drtp", "augmented", "local"]
BOTTLENECK = {"1": 3, "2": 2}


def small_of(rng, rule, **tables):
    return Small(rng, rule=rule, feedback={"bottleneck": BOTTLENECK, **tables.pop("feedback", {})}, **tables)


def reached(network):
    return [network.reached.get(l, np.ones(n)) for l, n in enumerate(network.sizes[1:-1])]


@pytest.mark.parametrize("rule", RULES)
def test_neurons_that_the_signal_does_not_reach_change_nothing(rule, rng):
    """Of those that it reaches the change is that of a signal to all, but where it came through the layer above or below."""
    small = small_of(rng, rule)
    network, whole = small.network, replace(small.network, reached={})
    assert [int(mask.sum()) for mask in reached(network)] == [3, 2, 6]
    free, change = measure.changes(network, small.setting, rule, small.inputs, small.target)
    of_all = measure.changes(whole, small.setting, rule, small.inputs, small.target)[1]
    for mask, own, other in zip(reached(network), change, of_all, strict=False):
        assert not own[:, mask == 0].any()
        assert own[:, mask == 1].any()
        if rule in ("dfa", "drtp", "augmented", "local"):
            np.testing.assert_array_equal(own, other * mask)
    np.testing.assert_array_equal(change[-1], of_all[-1])
    assert settled_changes(network, small.setting, rule, free, -change[-1], small.target)[0][0][0] == pytest.approx(
        change[0][0]
    )


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), rule=st.sampled_from(RULES), batch_norm=st.booleans(),
    nudging=st.sampled_from(["one_sided", "centered"]),
)  # fmt: skip
def test_pytorch_teaches_the_same(seed, rule, batch_norm, nudging):
    """BP by automatic differentiation, with the gradient cut where it does not pass."""
    pytest.importorskip("torch")
    from localdfa.crosscheck.pytorch.learner import Learner

    phases = {"phases": {"nudging": nudging}} if rule == "local" else {}
    small = small_of(np.random.default_rng(seed), rule, network={"batch_norm": batch_norm}, **phases)
    learner = Learner(small.setting, [small.network])
    theirs = learner.gradients(learner.tensor(small.inputs[:, :-1]), learner.tensor(small.target))
    ours = measure.update(small.network, small.setting, rule, small.inputs, small.target)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-10, atol=1e-10 * np.abs(other).max())


def test_several_networks_at_once_have_their_own_bottlenecks(rng):
    pytest.importorskip("torch")
    from localdfa.crosscheck.pytorch.learner import Learner

    subject = trainer_of(
        Path(), rule="dfa", precision="float64", network={"hidden": [6, 5]}, feedback={"bottleneck": {"1": 2}},
        optimiser={"name": "sgd", "learning_rate": 0.1},
    )  # fmt: skip
    setting, part = subject.setting, subject.parts["train"]
    x, y = part.inputs[np.arange(8)], part.targets[np.arange(8)]
    networks = [build(setting, 64, 10, seed) for seed in (0, 1)]
    assert not np.array_equal(networks[0].reached[0], networks[1].reached[0])
    together, alone = Learner(setting, networks), [Learner(setting, [network]) for network in networks]
    together.step(together.tensor(np.stack([x[:, :-1]] * 2)), together.tensor(np.stack([y] * 2)))
    for learner in alone:
        learner.step(learner.tensor(x[:, :-1]), learner.tensor(y))
    for both, *each in zip(together.weights(), *(learner.weights() for learner in alone), strict=True):
        np.testing.assert_allclose(both, np.stack(each), rtol=1e-12, atol=1e-14)


def test_fewer_neurons_are_some_of_more_the_same_in_every_condition_and_precision():
    masks = {}
    for rule in ("dfa", "bp"):
        for number in (1, 5, 12, 20):
            setting = setting_of(rule=rule, network={"hidden": [4, 20]}, feedback={"bottleneck": {2: number}})
            network = build(setting, 9, 3, 7)
            masks[rule, number] = network.reached[1]
            assert list(network.reached) == [1]
            assert network.reached[1].sum() == number
            assert network.reached[1].dtype == network.dtype
            assert in_precision(network, np.float64).reached[1].dtype == np.float64
        for few, many in ((1, 5), (5, 12), (12, 20)):
            assert (masks[rule, few] <= masks[rule, many]).all()
    for number in (1, 5, 12, 20):
        np.testing.assert_array_equal(masks["dfa", number], masks["bp", number])


@pytest.mark.parametrize("rule", ["dfa", "fa", "bp"])
def test_the_cosine_of_signals_is_that_to_the_gradient_of_each_sample(rule, rng):
    small = small_of(rng, rule, network={"output": "softmax"}, m=9)
    network = small.network
    free = measure.changes(network, small.setting, rule, small.inputs, small.target)[0]
    W, masks = small.W, reached(network)
    B = network.feedback if rule != "bp" else [w.T for w in W[1:]]
    cosines = []
    for x, y in zip(small.inputs[:, :-1], small.target, strict=True):
        a, h = [], x
        for w, b in zip(W, small.b, strict=True):
            a.append(w @ h + b)
            h = np.tanh(a[-1])
        e = np.exp(a[-1]) / np.exp(a[-1]).sum() - y
        own, true = [None] * small.n, [None] * small.n
        below, gradient = e, e
        for l in reversed(range(small.n)):
            own[l] = B[l] @ (e if rule == "dfa" else below)
            below = masks[l] * own[l] / np.cosh(a[l]) ** 2
            true[l] = W[l + 1].T @ gradient
            gradient = true[l] / np.cosh(a[l]) ** 2
        cosines.append([c @ g / np.linalg.norm(c) / np.linalg.norm(g) for c, g in zip(own, true, strict=True)])
    found = measure.signals(network, free, small.target)
    np.testing.assert_allclose(found["signal_cosine"], np.mean(cosines, axis=0), rtol=1e-9)
    np.testing.assert_allclose(found["signal_cosine_sd"], np.std(cosines, axis=0), rtol=1e-6, atol=1e-9)


def test_signals_are_those_of_the_rule_of_each_layer_and_undefined_without_an_error(rng):
    small = Small(rng, rule="dfa")
    network = rewired(small.network, small.setting, "dfa", 7, {1: "bp"})
    free = measure.changes(network, small.setting, "dfa", small.inputs, small.target)[0]
    alone = measure.signals(rewired(network, small.setting, "dfa", 7), free, small.target)["signal_cosine"]
    found = measure.signals(network, free, small.target)["signal_cosine"]
    assert found == pytest.approx([alone[0], 1.0, alone[2]])
    right = measure.signals(network, free, free.prediction)
    assert np.isnan([*right["signal_cosine"], *right["signal_cosine_sd"]]).all()


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"feedback": {"bottleneck": {"3": 2}}}, ["feedback.bottleneck: there is no hidden layer 3", "to 2"]),
        ({"feedback": {"bottleneck": {"x": 2}}}, ["feedback.bottleneck: there is no hidden layer x"]),
        ({"feedback": {"bottleneck": {2: 9}}}, ["feedback.bottleneck.2", "no 9 neurons", "1 to 8"]),
        ({"feedback": {"bottleneck": {2: 0}}}, ["feedback.bottleneck.2", "greater than or equal to 1"]),
        ({"feedback": {"bottleneck": {1: 2}}, "neuron": {"tau": 5.0}}, ["feedback.bottleneck", "neuron.tau > 0", "none"]),
        ({"feedback": {"bottleneck": {1: 2}}, "network": {"hidden": [8], "neuron": "lif"}}, ["feedback.bottleneck", "spiking"]),
        (
            {"feedback": {"bottleneck": {1: 2}}, "phases": {"propagation": "live"}},
            ["phases.propagation", "'live'", "feedback.bottleneck", "'held'"],
        ),
        ({"rule": "frozen", "feedback": {"bottleneck": {1: 2}}}, ["feedback.bottleneck", "hidden layers learn", "here: {}"]),
        (
            {"feedback": {"bottleneck": {"1": 2}}, "network": {"hidden": [{"channels": 3, "kernel": 3}, 8]}},
            ["feedback.bottleneck.1", "is a convolution"],
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_a_bottleneck_is_refused(tables, words):
    with pytest.raises(SpecError) as caught:
        spec.experiment({"network": {"hidden": [9, 8]}, **tables})
    for word in words:
        assert word in str(caught.value)


def test_what_is_sent_to_neurons_that_it_does_not_reach_is_no_event(rng):
    small = small_of(rng, "dfa")
    free, change = measure.changes(small.network, small.setting, "dfa", small.inputs, small.target)
    events = settled_changes(small.network, small.setting, "dfa", free, -change[-1], small.target)[2]
    assert events == np.count_nonzero(change[-1]) * (3 + 2 + 6)


@pytest.mark.parametrize(("exact", "pathway"), [("dfa", "direct"), ("fa", "sequential"), ("bp", "transpose")])
def test_the_local_rule_goes_to_its_exact_form_as_the_square_of_beta(exact, pathway, rng):
    small = small_of(rng, exact)
    network, x, y = small.network, small.inputs, small.target
    true = measure.update(network, small.setting, exact, x, y)
    errors = []
    for beta in (0.1, 0.01):
        local = setting_of(
            rule="local", precision="float64", phases={"beta": beta}, network={"hidden": [7, 5, 6], "weights": "uniform"},
            feedback={"pathway": pathway, "bottleneck": BOTTLENECK},
        )  # fmt: skip
        errors.append(measure.compare(measure.update(network, local, "local", x, y), true)["relative_error"])
    for coarse, fine in zip(*errors, strict=True):
        assert fine == pytest.approx(coarse / 100, rel=0.2)
