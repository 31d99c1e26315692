"""A rule for each layer: against automatic differentiation, against each rule by itself, in training, and what is refused."""

import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_train import StopAfter, tiny, without_time

from localdfa import measure, spec, train
from localdfa.analysis import summary
from localdfa.crosscheck import certificate
from localdfa.engines import engine
from localdfa.errors import SpecError
from localdfa.network import build, generator, in_precision, rewired
from localdfa.spec import settings

RULES = ["bp", "fa", "dfa", "ifa", "drtp", "local"]


def mixed(small, rules):
    """The network of `small`, each of whose hidden layers learns by a rule of its own but those of `small.rule`."""
    own = {l: rule for l, rule in enumerate(rules) if rule != small.rule}
    return rewired(small.network, small.setting, small.rule, 7, own)


def changes_of(small, network, rule):
    return measure.changes(network, small.setting, rule, small.inputs, small.target)[1]


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rules=st.lists(st.sampled_from(["bp", "dfa"]), min_size=1, max_size=4),
    neuron=st.sampled_from(["tanh", "logistic", "relu"]),
    output=st.sampled_from(["logistic", "softmax", "linear"]),
    rule=st.sampled_from(["bp", "dfa"]),
)
def test_a_mix_of_bp_and_dfa_is_that_of_automatic_differentiation(seed, rules, neuron, output, rule):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    rng = np.random.default_rng(seed)
    small = Small(rng, rng.integers(1, 8, len(rules)), rule=rule, network={"neuron": neuron, "output": output})
    network = mixed(small, rules)
    ours = measure.gradients(*measure.changes(network, small.setting, rule, small.inputs, small.target))
    f = {"tanh": torch.tanh, "logistic": torch.sigmoid, "relu": torch.relu}[neuron]
    weights = [torch.from_numpy(w.copy()).requires_grad_() for w in small.network.weights]
    ones, x, y = torch.ones(3, 1, dtype=torch.float64), torch.from_numpy(small.inputs[:, :-1]), torch.from_numpy(small.target)
    sent, drives = [x], []
    for w in weights:
        drives.append(torch.cat([sent[-1], ones], 1) @ w)
        sent.append(f(drives[-1]))
    a = drives[-1]
    if output == "logistic":
        loss = torch.nn.functional.binary_cross_entropy_with_logits(a, y, reduction="sum")
    elif output == "softmax":
        loss = torch.nn.functional.cross_entropy(a, y, reduction="sum")
    else:
        loss = 0.5 * ((a - y) ** 2).sum()
    expected = list(torch.autograd.grad(loss, weights, retain_graph=True))
    (error,) = torch.autograd.grad(loss, a, retain_graph=True)
    for l, own in enumerate(rules):
        if own == "dfa":
            signal = error @ torch.from_numpy(network.matrices[l]).T
            (expected[l],) = torch.autograd.grad(sent[l + 1], weights[l], signal, retain_graph=True)
    for update, gradient in zip(ours, expected, strict=True):
        np.testing.assert_allclose(update, -gradient.numpy(), rtol=1e-12, atol=1e-14)


@hypothesis_settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), rules=st.lists(st.sampled_from(RULES), min_size=4, max_size=4), threshold=st.booleans())
def test_each_layer_changes_as_under_its_rule_alone(seed, rules, threshold):
    """The last of the rules is that of the stage, which teaches the output; graded events are those of its own rule."""
    *of_layers, rule = rules
    small = Small(np.random.default_rng(seed), rule=rule, network={"threshold": 0.05 * threshold})
    network = mixed(small, of_layers)
    found = changes_of(small, network, rule)
    for l, own in enumerate([*of_layers, rule]):
        alone = changes_of(small, rewired(small.network, small.setting, own, 7), own)
        np.testing.assert_array_equal(found[l], alone[l])
    assert [None if b is None else b.shape for b in in_precision(network, np.float32).matrices] == [
        None if b is None else b.shape for b in network.matrices
    ]
    nudged = [l for l, own in enumerate(of_layers) if own == "local"]
    free = measure.free_phase(network, small.inputs, small.setting.network.threshold)
    update = engine(small.setting, rule).learn(network, small.inputs, small.target, generator(0, 0), frozenset())
    sent = update.events - free.events
    assert 0 <= sent <= 2 * 3 * sum(small.network.sizes[l + 1] for l in nudged)
    if not threshold:
        assert sent == 2 * 3 * sum(small.network.sizes[l + 1] for l in nudged)


def test_convolutions_mix_rules_as_well(rng):
    layers = [{"channels": 3, "kernel": 3, "padding": 1, "pool": 2}, 5]
    setting = setting_of(rule="bp", precision="float64", network={"hidden": layers, "weights": "uniform"})
    network = build(setting, (2, 6, 6), 3, 0)
    inputs, target = np.ones((4, 73)), np.eye(3)[[0, 1, 2, 0]]
    inputs[:, :-1] = rng.random((4, 72))
    for rule in ("dfa", "fa", "local"):
        found = measure.changes(rewired(network, setting, "bp", 0, {0: rule}), setting, "bp", inputs, target)[1]
        alone = measure.changes(rewired(network, setting, rule, 0), setting, rule, inputs, target)[1]
        exact = measure.changes(network, setting, "bp", inputs, target)[1]
        for layer, expected in zip(found, [alone[0], *exact[1:]], strict=True):
            np.testing.assert_array_equal(layer, expected)


RELEASED = [{"epochs": 2, "frozen": [1], "rule": "bp"}, {"epochs": 2, "rule": "bp", "layer_rules": {"1": "dfa"}}]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A finished run whose first layer is frozen, and then released under another rule than those above."""
    return train.run(tiny(rule="bp", stage=RELEASED), tmp_path_factory.mktemp("released") / "run")


def test_a_layer_is_released_under_another_rule(released):
    """As in Fig. 2 of Nøkland 2016; the metrics measure each layer's own update, and B is kept of the layer that has one."""
    (job,), row = released.jobs, released.jobs[0].metrics[-1]
    assert row["angle_to_dfa"][0] < 1e-3 < 1 < row["angle_to_dfa"][1]
    assert row["angle_to_bp"][1] < 1e-3 < 1 < row["angle_to_bp"][0]
    assert row["alignment"][0] is not None
    assert row["alignment"][1] is None
    assert {name for name in job.weights if name[0] == "B"} == {"B1"}
    before = train.run(tiny(rule="bp", stage=RELEASED[:1]), released.folder.parent / "frozen").jobs[0].weights
    start = build(settings(tiny(rule="bp"))["bp"], 64, 10, 0)
    np.testing.assert_array_equal(before["W1"], start.W(0))
    assert not np.array_equal(job.weights["W1"], before["W1"])
    entry, (cells,) = released.summary["conditions"][0], summary.cells(summary.rows(released))
    assert (entry["rule"], entry["layer_rules"]) == ("bp", {"1": "dfa"})
    assert (cells["rule"], cells["feedback"]) == ("bp → bp (layer 1: dfa)", "transpose → transpose (layer 1: direct)")


def test_theorem_is_measured_along_the_pathway_of_each_layer(rng):
    """K and L of a layer by hand, with its own prescribed update and that of the layer above."""
    small = Small(rng, hidden=(6, 5), rule="bp")
    network = mixed(small, ["dfa", "bp"])
    free = measure.free_phase(network, small.inputs)
    found = measure.theorem(network, free, small.target)
    e, h = free.prediction - small.target, [np.tanh(a) for a in free.drive[:-1]]
    delta = [e @ network.matrices[0].T, e @ small.W[2]]
    above = [(delta[1] * (1 - h[1] ** 2)) @ small.W[1], e @ small.W[2]]
    for l in range(2):
        norm = np.linalg.norm(delta[l], axis=1)
        assert found["theorem_k"][l] == pytest.approx(np.mean((delta[l] * h[l]).sum(1) / norm), rel=1e-12)
        assert found["theorem_l"][l] == pytest.approx(np.mean((delta[l] * above[l]).sum(1) / norm), rel=1e-12)


def test_resume_goes_on_to_the_same_bits(released, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train.run(tiny(rule="bp", stage=RELEASED), tmp_path / "cut", progress=StopAfter(20))
    cut = train.resume(tmp_path / "cut").jobs[0]
    assert without_time(cut.metrics) == without_time(released.jobs[0].metrics)
    for name, array in released.jobs[0].weights.items():
        np.testing.assert_array_equal(array, cut.weights[name])


def test_python_may_number_layers_and_the_spec_that_is_kept_is_the_same(released):
    stages = [RELEASED[0], {**RELEASED[1], "layer_rules": {1: "dfa"}}]
    assert tiny(rule="bp", stage=stages) == tiny(rule="bp", stage=RELEASED)
    assert released.experiment.stage[1].layer_rules == {"1": "dfa"}


def test_what_starts_from_layers_with_their_own_rules_is_refused(released, tmp_path):
    spec = tiny(rule="bp", network={"hidden": [16, 12], "from_run": f"{released.folder}/bp"})
    with pytest.raises(SpecError, match=r"network\.from_run: .* ends with a stage of layer_rules"):
        train.run(spec, tmp_path / "run")


LIF = {"network": {"hidden": [4, 3], "neuron": "lif"}}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"layer_rules": {"3": "dfa"}},
            r"stage\[0\]\.layer_rules: there is no hidden layer 3; allowed are 1 \(the first\) to 2",
        ),
        ({"layer_rules": {"-1": "dfa"}}, "there is no hidden layer -1"),
        ({"layer_rules": {"01": "dfa"}}, "there is no hidden layer 01"),
        ({"layer_rules": {"1": "dfaa"}}, r"stage\[0\]\.layer_rules\.1: 'dfaa' is not one of .*did you mean 'dfa'"),
        ({"layer_rules": {"1": 3}}, r"stage\[0\]\.layer_rules\.1: 3 is not allowed"),
        ({"layer_rules": {"1": "erbp"}}, r"stage\[0\]\.layer_rules\.1: 'erbp' is a rule for spiking neurons"),
        (
            {"layer_rules": {"1": "local"}, "rule": "bp", **LIF},
            r"layer_rules: .* 'local' is simulated with spiking neurons here",
        ),
        (
            {"layer_rules": {"1": "bp"}, "rule": "local", **LIF},
            r"layer_rules: .* 'local' is simulated with spiking neurons here",
        ),
        (
            {
                "layer_rules": {"1": "bp"},
                "rule": "local",
                "neuron": {"tau": 5.0},
                "network": {"threshold": 0.01, "hidden": [4, 3]},
            },
            r"'local' is simulated with rate neurons in time",
        ),
        ({"layer_rules": {"1": "local"}, "phases": {"propagation": "live"}}, r"phases\.propagation: with 'live' a layer sees"),
        ({"layer_rules": {"2": "bp"}, "rule": "local", "phases": {"propagation": "two_compartment"}}, "allowed: 'held'"),
        ({"layer_rules": {"2": "bp"}, "network": {"weights": "zero", "hidden": [4, 3]}}, r"'zero' cannot learn with stage"),
    ],
)
def test_what_is_not_well_defined_is_refused(tables, message):
    tables = {"network": {"hidden": [4, 3]}, "rule": "dfa", **tables}
    stage = {"layer_rules": tables.pop("layer_rules")}
    with pytest.raises(SpecError, match=message):
        setting_of(stage=[stage], **tables)


def test_the_independent_implementation_refuses_it():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    from localdfa.crosscheck.pytorch.learner import Learner

    tables = {"network": {"hidden": [4, 3]}, "rule": "local", "stage": [{"layer_rules": {"1": "bp"}}]}
    setting = setting_of(**tables)
    with pytest.raises(SpecError, match=r"stage\[0\]\.layer_rules: the PyTorch path has one rule"):
        Learner(setting, [build(setting, 4, 2, 0)])
    with pytest.raises(SpecError, match=r"stage\[0\]\.layer_rules: a certificate is about one rule"):
        certificate.certified(tiny(**tables))


def test_numbers_as_keys_in_a_condition_are_those_of_the_file_that_a_run_keeps(tmp_path):
    tables = {
        "network": {"hidden": [4, 3]}, "batch_size": 512,
        "condition": [{"name": "one", "stage": [{"epochs": 1, "layer_rules": {2: "dfa"}}]}],
    }  # fmt: skip
    run = train.run(spec.experiment(tables), tmp_path / "run", progress=False)
    assert run.settings["one"].stage[0].layer_rules == {"2": "dfa"}
    assert spec.load(str(tmp_path / "run" / "spec.toml")).condition[0].changes["stage"][0]["layer_rules"] == {"2": "dfa"}
