"""Dale's law: all that a neuron sends has one sign, when weights are drawn, learn, and are handed over."""

import numpy as np
import pytest
from conftest import setting_of

import localdfa
from localdfa import measure, samples, spec
from localdfa.errors import SpecError
from localdfa.network import build
from localdfa.record import Job
from localdfa.trainer import Trainer

N, N_IN, N_OUT = 48, 12, 4
RNG = np.random.default_rng(5)
X = RNG.uniform(size=(N, N_IN)).astype(np.float32)
Y = (X[:, :N_OUT]).argmax(axis=1)
SPIKING = {"free": 400.0, "nudged": 200.0, "beta": 2.0, "propagation": "two_compartment"}
RECURRENT = [{"pre": 1, "post": 1, "connect": "sparse", "probability": 0.4, "weights": "uniform"}]
WAYS = {
    "bp": {"rule": "bp", "network": {"neuron": "logistic"}},
    "dfa": {"rule": "dfa", "network": {"neuron": "relu"}},
    "local": {"rule": "local", "network": {"neuron": "logistic"}, "phases": {"beta": 0.1}},
    "timed": {"rule": "local", "network": {"neuron": "logistic", "threshold": 0.01}, "neuron": {"tau": 5.0}},
    "spikes": {"rule": "local", "network": {"neuron": "lif"}, "neuron": {"baseline": 1.5}, "phases": SPIKING},
    "recurrent": {
        "rule": "local", "network": {"neuron": "lif", "projection": RECURRENT, "start": "uniform"}, "neuron": {"baseline": 1.5},
        "phases": SPIKING,
    },
}  # fmt: skip


def trained(way, dale, hidden=(10, 10), steps=12, **network):
    """A training after some steps so large that weights would cross zero by themselves."""
    own = {**way, "optimiser": {"name": "adam", "learning_rate": 0.05}, "batch_size": 8, "precision": "float64"}
    own["network"] = {"weights": "uniform", **way["network"], "hidden": list(hidden), "dale": dale, **network}
    setting = setting_of(**own)
    source = localdfa.data.given.source((X, Y, X, Y), regression=False)
    data = localdfa.data.load("arrays", given=source)
    training = Trainer(setting, samples.parts(data, setting), Job(None, "", 0))
    rng = np.random.default_rng(0)
    for _ in range(steps):
        training.step(rng.permutation(N)[:8], rng)
    return training


def sent(network, q):
    """The weights that each presynaptic neuron of a projection sends, a list of arrays."""
    joint, weights = network.projections[q], network.weights[q]
    if joint.ends is None:
        return list(weights[: network.sizes[joint.pre]])
    return [weights[0, a:b] for a, b in zip(joint.ends, joint.ends[1:], strict=False)]


@pytest.mark.parametrize("dale", ["hidden", "all"])
@pytest.mark.parametrize("way", WAYS)
def test_each_neuron_sends_one_sign_before_and_after_learning(way, dale):
    hidden = (10,) if way == "recurrent" else (10, 10)
    for steps in (0, 12):
        network = trained(WAYS[way], dale, hidden, steps).network
        for q, joint in enumerate(network.projections):
            signs = [{int(s) for s in np.sign(row)} - {0} for row in sent(network, q)]
            if joint.pre == 0 and dale == "hidden":
                assert any(own == {-1, 1} for own in signs)
                continue
            n = N_IN if joint.pre == 0 else 8  # of ten neurons a fifth inhibits
            assert all(own <= {1} for own in signs[:n])
            assert all(own <= {-1} for own in signs[n:])
            assert any(signs)
    unbound = trained(WAYS[way], "none", hidden).network
    assert any({-1, 1} <= {int(s) for s in np.sign(row)} for row in sent(unbound, 1))


def test_a_step_is_that_without_the_law_and_stops_at_zero():
    """By plain descent: w ← max(w + η Δ, 0) of neurons that excite, min of those that inhibit."""
    setting = setting_of(
        rule="dfa", network={"hidden": [10], "neuron": "logistic", "weights": "uniform", "dale": "hidden", "output": "softmax"},
        precision="float64", optimiser={"name": "sgd", "learning_rate": 3.0},
    )  # fmt: skip
    data = localdfa.data.load("arrays", given=localdfa.data.given.source((X, Y, X, Y), regression=False))
    training = Trainer(setting, samples.parts(data, setting), Job(None, "", 0))
    before = [weights.copy() for weights in training.network.weights]
    part = training.parts["train"]
    rows = np.arange(16)
    update = measure.update(build(setting, (N_IN,), N_OUT, 0), setting, "dfa", part.inputs[rows], part.targets[rows])
    training.step(rows, np.random.default_rng(0))
    expected = [w + 3.0 * delta for w, delta in zip(before, update, strict=True)]
    assert (expected[1][:8] < 0).any()
    assert (expected[1][8:10] > 0).any()
    expected[1][:8] = np.maximum(expected[1][:8], 0)
    expected[1][8:10] = np.minimum(expected[1][8:10], 0)
    for ours, theirs in zip(training.network.weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("fraction", "n"), [(0.2, 400), (0.5, 400), (0.1, 200)])
def test_weights_that_are_drawn_balance(fraction, n):
    """The mean of what reaches a neuron is 0 and its variance that of weights of either sign."""
    network = {"hidden": [n], "neuron": "logistic", "weights": "uniform", "dale": "hidden", "inhibitory": fraction}
    found = build(setting_of(network=network, precision="float64"), 3, 300, 0).weights[1][:-1]
    n_excite = round((1 - fraction) * n)
    assert (found[:n_excite] > 0).all()
    assert (found[n_excite:] < 0).all()
    assert np.sum(found[:n_excite] ** 2) + np.sum(found[n_excite:] ** 2) == pytest.approx(300 * n / (3 * n), rel=0.03)
    assert found.sum() == pytest.approx(0, abs=0.02 * np.abs(found).sum())


def test_a_layer_has_neurons_of_either_kind():
    for fraction, excite in ((0.001, 2), (0.999, 1), (0.5, 2)):
        network = {"hidden": [3], "neuron": "logistic", "dale": "hidden", "inhibitory": fraction}
        assert build(setting_of(network=network), 3, 2, 0).projections[1].exciting == excite


@pytest.mark.parametrize("rule", ["bp", "dfa", "local"])
def test_pytorch_learns_the_same_under_the_law(rule):
    pytest.importorskip("torch")
    import torch

    from localdfa.crosscheck.pytorch.learner import Learner

    training = trained({**WAYS["local"], "rule": rule}, "all", steps=0)
    learner = Learner(training.setting, [training.network])
    part, rng = training.parts["train"], np.random.default_rng(0)
    for _ in range(20):
        rows = rng.permutation(N)[:8]
        training.step(rows, rng)
        learner.step(torch.from_numpy(part.inputs[rows, :-1]), torch.from_numpy(part.targets[rows]))
    for ours, theirs in zip(training.network.weights, learner.weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)
    assert any((weights == 0).any() for weights in training.network.weights)  # some have stopped there


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"network": {"dale": "hidden"}}, "network.neuron: 'tanh' sends negative activity"),
        ({"network": {"dale": "hidden", "neuron": "leaky_relu"}}, "network.neuron: 'leaky_relu' sends negative"),
        ({"network": {"dale": "hidden", "neuron": "relu", "hidden": [5, 1]}}, r"network.hidden\[1\]: 1 neuron"),
        ({"network": {"dale": "hidden", "neuron": "relu", "hidden": [{"channels": 2}, 5]}}, "a convolution"),
        (
            {"network": {"dale": "hidden", "neuron": "relu", "batch_norm": True, "weights": "uniform"}},
            "network.batch_norm: true",
        ),
        ({"network": {"dale": "hidden", "neuron": "relu", "weights": "aligned"}, "rule": "dfa"}, "network.weights: 'aligned'"),
        ({"network": {"inhibitory": 0.5}}, "network.inhibitory: 0.5 is read where network.dale"),
        ({"network": {"dale": "half"}}, "network.dale"),
        (
            {"network": {"dale": "hidden", "neuron": "lif"}, "batch_size": 1, "phases": {"update": "online"}},
            "phases.update: 'online'.*network.dale",
        ),
        (
            {"network": {"dale": "hidden", "neuron": "lif", "projection": [{"pre": 1, "post": 1, "weights": "constant"}]}},
            r"network.projection\[0\].weights: 'constant'",
        ),
    ],
)
def test_what_does_not_go_with_the_law_is_refused(tables, message):
    with pytest.raises(SpecError, match=message):
        spec.settings(spec.experiment(tables))


def test_weights_that_are_handed_over_keep_to_it_or_are_refused(tmp_path):
    network = {"hidden": [5], "neuron": "logistic", "dale": "hidden", "inhibitory": 0.4, "weights": "given"}
    tables = {"network": network, "stage": [{"epochs": 1}], "record": {"probe": 8, "train": 16}}
    right = {"W1": np.zeros((5, N_IN)), "b1": np.zeros(5), "W2": np.abs(RNG.normal(size=(N_OUT, 5))), "b2": np.zeros(N_OUT)}
    right["W2"][:, 3:] *= -1
    wrong = {**right, "W2": np.abs(right["W2"])}
    with pytest.raises(SpecError, match=r"W2 has neurons whose weights are not of one sign.*first 3 neurons"):
        localdfa.run(tables, tmp_path / "wrong", data=(X, Y, X, Y), weights=wrong, progress=False)
    run = localdfa.run(tables, tmp_path / "right", data=(X, Y, X, Y), weights=right, progress=False)
    learned = run.jobs[0].weights["W2"]
    assert (learned[:, :3] >= 0).all()
    assert (learned[:, 3:] <= 0).all()
