"""The core and the PyTorch path, which share no code of the rules, compute the same; and PyTorch agrees with autograd."""

from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa import measure, registry
from localdfa.core.rate import settled
from localdfa.core.rate.plasticity import Plasticity
from localdfa.engines import settled_rule
from localdfa.errors import LocalDFAError, SpecError
from localdfa.network import build, rewired

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")

from elsewhere import elsewhere  # noqa: E402

from localdfa.crosscheck.pytorch.device import arithmetic, device  # noqa: E402
from localdfa.crosscheck.pytorch.learner import Learner  # noqa: E402
from localdfa.crosscheck.pytorch.rules import BackPropagation, Exact, Local  # noqa: E402
from localdfa.crosscheck.pytorch.stack import Stack  # noqa: E402

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU here")),
]
NEURONS = ["tanh", "logistic", "relu", "leaky_relu", "linear"]
EXACT = [
    ("bp", {}, {}), ("fa", {"density": 0.6}, {}), ("dfa", {}, {}), ("ifa", {}, {}), ("frozen", {}, {}),
    ("dfa", {"pathway": "sign_error", "density": 0.5, "signs": "sender", "shared": True, "fan_out": "widest"}, {}),
    *(("augmented", {}, {"g": g}) for g in ("one", "step", "tanh", "triangle", "cos")),
]  # fmt: skip
LOCAL = [
    ("local", {"pathway": pathway}, {"propagation": propagation})
    for pathway, propagation in [
        ("direct", "held"), ("direct", "two_compartment"), ("direct", "live"), ("sequential", "held"), ("transpose", "held"),
        ("indirect", "live"), ("sign_error", "held"), ("sign_error", "live"),
    ]
]  # fmt: skip
phases = st.fixed_dictionaries(
    {
        "beta": st.sampled_from([1.0, 0.3, 0.05]),
        "nudging": st.sampled_from(["one_sided", "centered"]),
        "teacher": st.sampled_from(["activity", "drive"]),
    }
)


def of_rule(name, own, trial):
    """The tables of a rule: its phases under the local rule, or else its parameters, if it has any."""
    if name == "local":
        return {"phases": {**trial, **own}}
    return {"rules": {name: own}} if own else {}


def pytorch_of(small, where="cpu"):
    learner = Learner(small.setting, [small.network], where)
    return learner, learner.tensor(small.inputs[:, :-1]), learner.tensor(small.target)


def assert_same(ours, theirs, tolerance=1e-10):
    for a, b in zip(ours, theirs, strict=True):
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(a) + 1e-14


@pytest.mark.parametrize("where", DEVICES)
@hypothesis_settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    m=st.integers(1, 9),
    n_out=st.integers(2, 6),
    neuron=st.sampled_from(NEURONS),
    output=st.sampled_from(["logistic", "softmax", "linear"]),
    rule=st.sampled_from(EXACT + LOCAL),
    trial=phases,
)
def test_every_update_of_every_rule_is_that_of_the_core(where, seed, hidden, m, n_out, neuron, output, rule, trial):
    name, feedback, own = rule
    small = Small(
        np.random.default_rng(seed), hidden, n_out=n_out, m=m, rule=name, network={"neuron": neuron, "output": output},
        feedback=feedback, **of_rule(name, own, trial),
    )  # fmt: skip
    learner, x, y = pytorch_of(small, where)
    ours = measure.update(small.network, small.setting, name, small.inputs, small.target)
    assert_same(ours, learner.gradients(x, y))
    drive = learner.drive(x)
    loss = small.network.loss(drive.cpu().numpy(), small.target).sum()
    assert learner.stack.loss(drive, y).item() == pytest.approx(loss, rel=1e-12)


def convolutional(seed, layers, rule="local", m=3, scale=1.0, **tables):
    """A small convolutional network with random weights, and a mini-batch."""
    tables = {"precision": "float64", "rule": rule, **tables}
    tables["network"] = {"weights": "uniform", **tables.get("network", {}), "hidden": layers}
    setting, rng = setting_of(**tables), np.random.default_rng(seed)
    network = build(setting, (2, 7, 6), 3, seed)
    for weights in network.weights:
        weights *= scale
    inputs = np.ones((m, 85))
    inputs[:, :-1] = rng.normal(size=(m, 84))
    return setting, network, inputs, np.eye(3)[rng.integers(0, 3, m)]


convolution = st.fixed_dictionaries(
    {
        "channels": st.integers(1, 4), "kernel": st.integers(1, 4), "padding": st.integers(0, 2), "pool": st.integers(1, 3),
        "stride": st.integers(1, 3), "shared": st.booleans(),
    }
)  # fmt: skip


@pytest.mark.parametrize("where", DEVICES)
@hypothesis_settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    maps=st.lists(convolution, min_size=1, max_size=2),
    dense=st.lists(st.integers(1, 6), max_size=2),
    neuron=st.sampled_from(["tanh", "relu"]),
    rule=st.sampled_from(EXACT + LOCAL),
    trial=phases,
)
def test_every_update_of_a_convolutional_network_is_that_of_the_core(where, seed, maps, dense, neuron, rule, trial):
    name, feedback, own = rule
    try:
        setting, network, inputs, targets = convolutional(
            seed, [*maps, *dense], name, scale=2.0, network={"neuron": neuron}, feedback=feedback, **of_rule(name, own, trial)
        )
    except SpecError:  # a kernel or window larger than the map
        assume(False)
    learner = Learner(setting, [network], where)
    theirs = learner.gradients(learner.tensor(inputs[:, :-1]), learner.tensor(targets))
    assert_same(measure.update(network, setting, name, inputs, targets), theirs)


@pytest.mark.parametrize("propagation", ["live", "two_compartment"])
def test_the_winners_of_the_free_phase_stay_while_nudged_activity_climbs(propagation):
    """A strong nudge, under which many a window would have another winner."""
    layers = [{"channels": 3, "kernel": 3, "padding": 1, "pool": 2}, {"channels": 4, "kernel": 3, "padding": 1, "pool": 3}, 5]
    for seed in range(10):
        setting, network, inputs, targets = convolutional(
            seed, layers, scale=2.0, phases={"beta": 1.0, "propagation": propagation}
        )
        learner = Learner(setting, [network])
        theirs = learner.gradients(learner.tensor(inputs[:, :-1]), learner.tensor(targets))
        assert_same(measure.update(network, setting, "local", inputs, targets), theirs)


def gradients(stack, rule, x, y, masks=None):
    rule.learn(stack, x, y, masks)
    return [parameter.grad.clone() for parameter in stack.parameters()]


def modules(rng):
    """Convolution, batch-norm, pooling, non-linearity, dropout and dense layers as a user of PyTorch writes them."""
    torch.manual_seed(int(rng.integers(1 << 30)))
    nn = torch.nn
    return [
        nn.Dropout(0.1), nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(3, 2), nn.Tanh(), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(24, 7), nn.BatchNorm1d(7), nn.GELU(), nn.Dropout(0.3), nn.Linear(7, 3),
    ]  # fmt: skip


def cut(modules):
    """The stack of these modules, cut at the non-linearities, with a softmax output."""
    drives, functions, dropout = [[]], [], [0.0]
    for module in modules:
        if isinstance(module, torch.nn.Tanh | torch.nn.GELU):
            functions.append(module)
            drives.append([])
            dropout.append(0.0)
        elif isinstance(module, torch.nn.Dropout):
            dropout[-1] = module.p
        else:
            drives[-1].append(module)
    return Stack([torch.nn.Sequential(*layer) for layer in drives], functions, "softmax", dropout)


@pytest.mark.parametrize("where", DEVICES)
def test_stacks_of_any_modules_learn_by_every_rule(where, rng):
    """With W in place of B, DFA of the last hidden layer, and FA of all, are back-propagation; local → DFA as β → 0."""
    own = modules(rng)
    stack = cut(own).double().to(where)
    x = torch.from_numpy(rng.normal(size=(9, 2, 7, 5))).to(where)
    y = torch.from_numpy(np.eye(3)[rng.integers(0, 3, 9)]).to(where)
    trial = stack.free(x)  # in training mode, so with dropout
    masks, error = trial.mask, trial.prediction - y
    assert error.shape == y.shape
    assert all((mask == 0).any() for mask in masks)
    top = own[11].weight.detach()
    exact = gradients(stack, BackPropagation(), x, y, masks)
    tail = [id(p) for module in own[7:] for p in module.parameters()]
    tail = [i for i, p in enumerate(stack.parameters()) if id(p) in tail]
    dfa = [torch.randn(24, 3).to(top), top.T]
    found = gradients(stack, Exact("direct", dfa), x, y, masks)
    for i in tail:
        torch.testing.assert_close(found[i], exact[i], rtol=1e-10, atol=1e-12)
    errors = {}
    for beta in (1e-2, 1e-3):
        setting = setting_of(phases={"beta": beta})
        local = gradients(stack, Local("direct", dfa, setting.phases), x, y, masks)
        errors[beta] = float(sum((a - b).norm() ** 2 for a, b in zip(local, found, strict=True)) ** 0.5)
    assert errors[1e-3] == pytest.approx(errors[1e-2] / 100, rel=0.05)
    linear = cut([own[0], *own[6:]]).to(where)  # FA's matrices have the shapes of weights where layers are dense
    x = x.flatten(1)[:, :24]
    masks = [torch.ones_like(x), torch.ones(9, 7).to(x)]
    for a, b in zip(
        gradients(linear, Exact("sequential", [top.T]), x, y, masks), gradients(linear, BackPropagation(), x, y, masks),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_live_feedback_through_batch_norm_is_refused():
    nn = torch.nn
    stack = cut([nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)])
    live = Local("direct", [torch.ones(4, 2)], setting_of(phases={"propagation": "live"}).phases)
    with pytest.raises(SpecError, match="allowed with batch-norm: 'held'"):
        live.learn(stack, torch.ones(5, 3), torch.ones(5, 2))


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "ifa", "augmented", "local"])
def test_dropout_leaves_neurons_out_of_activity_and_learning(rule, rng):
    small = Small(rng, m=5, rule=rule)
    masks = [(rng.random((5, n)) < 0.6) / 0.6 for n in (7, 5, 6)]
    network = rewired(small.network, small.setting, rule, 0)
    trial = settled.free_phase(network, small.inputs, 0.0, masks)
    model = settled_rule(network, small.setting, rule)
    change, _ = settled.post_changes(network, model, trial, trial.prediction - small.target, small.target)
    for moved, mask in zip(change, masks, strict=False):
        assert (moved[mask == 0] == 0).all()
        assert (moved[mask != 0] != 0).all()
    learner = Learner(small.setting, [network])
    x, y = learner.tensor(small.inputs[:, :-1]), learner.tensor(small.target)
    assert_same(measure.gradients(trial, change), learner.gradients(x, y, [None, *map(learner.tensor, masks)]))


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("name", registry.inside("optimisers"))
def test_training_steps_equal_those_of_torch(where, name, rng):
    """Five mini-batches with the optimisers of torch.optim, weights that decay among them."""
    small = Small(rng, m=6, rule="bp", optimiser={"name": name, "learning_rate": 0.01, "weight_decay": 0.05})
    learner, x, y = pytorch_of(small, where)
    plasticity = Plasticity(small.network.weights, registry.get("optimisers", name)(learning_rate=0.01), 0.05)
    for _ in range(5):
        trial, change = measure.changes(small.network, small.setting, "bp", small.inputs, small.target)
        plasticity.learn(small.network.weights, settled.update(trial, change))
        learner.step(x, y)
    for ours, theirs in zip(small.network.weights, learner.weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize(("rule", "propagation"), [("local", "held"), ("local", "live"), ("dfa", "held"), ("bp", "held")])
def test_several_networks_at_once_learn_as_one_after_the_other(where, rule, propagation, rng):
    betas = [1.0, 0.1, 0.01] if rule == "local" else []
    setting = setting_of(
        rule=rule, precision="float64", network={"hidden": [7, 5], "weights": "uniform"}, phases={"propagation": propagation}
    )
    networks = [build(setting, 6, 4, seed) for seed in range(3)]
    many = Learner(setting, networks, where, betas)
    x, y = many.tensor(rng.random((3, 9, 6))), many.tensor(np.eye(4)[rng.integers(0, 4, (3, 9))])
    for _ in range(3):
        many.step(x, y)
    for s, network in enumerate(networks):
        strength = setting.phases.model_copy(update={"beta": betas[s]} if betas else {})
        alone = Learner(setting.model_copy(update={"phases": strength}), [network], where)
        for _ in range(3):
            alone.step(x[s], y[s])
        assert_same([w[s] for w in many.weights()], alone.weights(), 1e-9)
        torch.testing.assert_close(many.drive(x)[s], alone.drive(x[s]), rtol=1e-9, atol=1e-12)


CHANGING = [
    ("fa", {"pathway": "kolen_pollack"}, {}), ("fa", {"pathway": "sign_symmetric"}, {}),
    ("fa", {"pathway": "sign_symmetric_fixed", "normalisation": "strict"}, {}), ("dfa", {"pathway": "low_rank", "rank": 2}, {}),
    ("dfa", {"pathway": "direct_kolen_pollack"}, {}),
]  # fmt: skip


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(("rule", "feedback", "own"), EXACT + LOCAL + CHANGING)
def test_nothing_is_left_on_the_cpu_that_is_computed_with_elsewhere(rule, feedback, own, members, rng):
    setting = setting_of(
        rule=rule, precision="float64", network={"hidden": [7, 5]}, feedback=feedback, optimiser={"weight_decay": 0.02},
        **of_rule(rule, own, {}),
    )  # fmt: skip
    networks = [build(setting, 6, 4, seed) for seed in range(members)]
    inputs, targets = rng.random((members, 9, 6)), np.eye(4)[rng.integers(0, 4, (members, 9))]
    found = []
    for place in (nullcontext("cpu"), elsewhere()):
        with place as where:
            learner = Learner(setting, networks, where)
            x, y = (learner.tensor(each if members > 1 else each[0]) for each in (inputs, targets))
            for _ in range(3):
                learner.step(x, y)
            found.append([*learner.weights(), *learner.matrices, learner.drive(x).cpu().numpy()])
    assert_same(*found)


@pytest.mark.parametrize("where", DEVICES)
def test_a_training_in_float32_gives_the_same_bits_again(where, rng):
    layers = [{"channels": 3, "kernel": 3, "padding": 1, "pool": 3, "stride": 2}, 8]
    setting, network, inputs, targets = convolutional(0, layers, m=16, precision="float32")
    results = []
    for _ in range(2):
        with arithmetic():
            learner = Learner(setting, [network], where)
            for _ in range(5):
                learner.step(learner.tensor(inputs[:, :-1]), learner.tensor(targets))
        results.append(learner.weights())
    for a, b in zip(*results, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)


def test_arithmetic_is_put_back():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), matmul.allow_tf32, cudnn.allow_tf32
    with arithmetic(tf32=True):
        assert (torch.are_deterministic_algorithms_enabled(), matmul.allow_tf32, cudnn.allow_tf32) == (True, True, True)
    with arithmetic():
        assert (torch.are_deterministic_algorithms_enabled(), matmul.allow_tf32, cudnn.allow_tf32) == (True, False, False)
    assert (torch.are_deterministic_algorithms_enabled(), matmul.allow_tf32, cudnn.allow_tf32) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_message():
    with pytest.raises(LocalDFAError, match="sees no GPU here; allowed: cpu"):
        device("cuda")


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"network": {"neuron": "lif", "hidden": [4]}, "phases": {"free": 400.0}}, "'lif' spikes"),
        ({"neuron": {"tau": 10.0}, "network": {"threshold": 0.01}, "phases": {"gate": 0.5}}, "neuron.tau: 10.0 ms"),
        ({"network": {"threshold": 0.01}}, "network.threshold: 0.01"),
        ({"feedback": {"threshold": 0.01}}, "feedback.threshold: 0.01"),
    ],
)
def test_what_has_no_counterpart_is_refused(tables, words):
    setting = setting_of(**tables)
    with pytest.raises(SpecError, match=words):
        Learner(setting, [build(setting, 4, 2, 0)])


# A neuron of one's own: f(v) = v/(1 + |v|), and what its file says to PyTorch.
OWN = Path(__file__).parents[1] / "plugin" / "example_models" / "softsign.py"


@pytest.fixture
def _no_files(monkeypatch):
    monkeypatch.setattr(registry, "_files", {})


def own_neuron(folder, was="", becomes=""):
    """The name of a neuron in a file that a process takes in."""
    text = OWN.read_text(encoding="utf-8")
    assert was in text
    path = folder / f"own{sha256(becomes.encode()).hexdigest()[:8]}.py"
    path.write_text(text.replace(was, becomes), encoding="utf-8")
    registry.add("neurons", path)
    return path.stem


@pytest.mark.usefixtures("_no_files")
@pytest.mark.parametrize("rule", ["local", "dfa", "bp"])
def test_a_neuron_of_one_s_own_is_witnessed_by_what_its_file_says(rule, tmp_path, rng):
    small = Small(rng, rule=rule, network={"neuron": own_neuron(tmp_path)})
    learner, x, y = pytorch_of(small)
    assert_same(measure.update(small.network, small.setting, rule, small.inputs, small.target), learner.gradients(x, y))


@pytest.mark.usefixtures("_no_files")
def test_a_neuron_of_one_s_own_without_a_witness_is_refused(tmp_path):
    setting = setting_of(network={"neuron": own_neuron(tmp_path, "def pytorch(p)", "def _pytorch(p)"), "hidden": [4]})
    words = f"network.neuron: '{setting.network.neuron}' has no hook `pytorch`.*allowed: .* or .*leaky_relu, linear, .*tanh"
    with pytest.raises(SpecError, match=words):
        Learner(setting, [build(setting, 4, 2, 0)])


@pytest.mark.usefixtures("_no_files")
def test_a_witness_that_is_no_module_is_refused(tmp_path):
    setting = setting_of(
        network={"neuron": own_neuron(tmp_path, "return nn.Softsign()", "return nn.functional"), "hidden": [4]}
    )
    with pytest.raises(SpecError, match=r"the hook `pytorch` of 'own.*' returns .*, and no torch\.nn\.Module"):
        Learner(setting, [build(setting, 4, 2, 0)])
