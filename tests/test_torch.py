"""Feedback to taps in any PyTorch module: what each parameter is taught, who is trained by what, and what is refused."""

import copy
import gc
import io
import weakref
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa import measure
from localdfa.errors import LocalDFAError, SpecError
from localdfa.network import build

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

from localdfa.torch import feedback  # noqa: E402


@pytest.fixture(autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def mlp(sizes=(5, 7, 6, 3), function=nn.Tanh):
    modules = []
    for n_pre, n_post in pairwise(sizes):
        modules += [nn.Linear(n_pre, n_post), function()]
    return nn.Sequential(*modules[:-1])


def batch(m=4, n_in=5, n_out=3):
    return torch.randn(m, n_in), torch.randint(n_out, (m,))


def gradients(model, learner, x, y, criterion=F.cross_entropy, **more):
    model.zero_grad()
    learner.backward(criterion(model(x), y), **more)
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def summed(drive, y):
    return F.cross_entropy(drive, y, reduction="sum")


FUNCTIONS = {"tanh": nn.Tanh, "logistic": nn.Sigmoid, "relu": nn.ReLU}


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    m=st.integers(1, 9),
    n_out=st.integers(2, 6),
    neuron=st.sampled_from(list(FUNCTIONS)),
    rule=st.sampled_from(["bp", "dfa", "local", "drtp", "frozen"]),
    pathway=st.sampled_from([None, "sign_error", "drtp"]),
    matrices=st.sampled_from(
        [
            {},
            *({"shared": True, "fan_out": fan_out} for fan_out in ("widest", "receiver", "both")),
            {"shared": True, "signs": "sender"},
            {"distribution": "normal", "density": 0.7},
        ]
    ),
    beta=st.sampled_from([1.0, 0.1]),
    nudging=st.sampled_from(["one_sided", "centered"]),
)
def test_what_is_taught_is_what_the_core_teaches(seed, hidden, m, n_out, neuron, rule, pathway, matrices, beta, nudging):
    """B as well, from the seed alone."""
    feeds, local = rule in ("dfa", "local", "drtp"), rule == "local"
    pathway = pathway if rule in ("dfa", "local") else None
    tables = {"pathway": pathway} if pathway else {}
    small = Small(
        np.random.default_rng(seed), hidden, n_out=n_out, m=m, rule=rule, network={"neuron": neuron, "output": "softmax"},
        feedback={**tables, **matrices} if feeds else {}, **({"phases": {"beta": beta, "nudging": nudging}} if local else {}),
    )  # fmt: skip
    small.network.feedback[:] = build(small.setting, 8, n_out, seed).feedback
    ours = measure.update(small.network, small.setting, rule, small.inputs, small.target)
    model = mlp((8, *hidden, n_out), FUNCTIONS[neuron])
    with torch.no_grad():
        for l, layer in enumerate(model[::2]):
            layer.weight.copy_(torch.from_numpy(small.network.W(l)))
            layer.bias.copy_(torch.from_numpy(small.network.b(l)))
    x, y = torch.from_numpy(small.inputs[:, :-1]), torch.from_numpy(small.target.argmax(1))
    learner = feedback(
        model, x, [str(2 * l + 1) for l in range(len(hidden))], {"frozen": "shallow"}.get(rule, rule), seed=seed,
        **({"pathway": pathway} if pathway else {}), **(matrices if feeds else {}),
        **({"beta": beta, "nudging": nudging, "relative": False} if local else {}),
    )  # fmt: skip
    used = learner.pathway
    found = gradients(
        model, learner, x, y, summed, **({"target": y} if used == "drtp" else {}),
        **({"factor": 1.0} if used in ("drtp", "sign_error") else {}),
    )  # fmt: skip
    for l, update in enumerate(ours):
        weight, bias = found[f"{2 * l}.weight"], found[f"{2 * l}.bias"]
        weight, bias = [torch.zeros(()) if grad is None else grad for grad in (weight, bias)]
        np.testing.assert_allclose(-weight.numpy() + 0 * update[:-1].T, update[:-1].T, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(-bias.numpy() + 0 * update[-1], update[-1], rtol=1e-10, atol=1e-13)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Tanh(),
        nn.Conv2d(4, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(48, 6), nn.Tanh(), nn.Linear(6, 3),
    )  # fmt: skip


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kernel=st.integers(1, 4),
    padding=st.integers(0, 2),
    pool=st.integers(1, 2),
    stride=st.integers(1, 2),
    neuron=st.sampled_from(list(FUNCTIONS)),
    rule=st.sampled_from(["bp", "dfa", "local", "drtp"]),
    nudging=st.sampled_from(["one_sided", "centered"]),
)
def test_what_convolutions_are_taught_is_what_the_core_teaches(seed, kernel, padding, pool, stride, neuron, rule, nudging):
    rng, local = np.random.default_rng(seed), rule == "local"
    layers = [
        {"channels": 3, "kernel": kernel, "padding": padding, "pool": pool, "stride": stride},
        {"channels": 2, "kernel": 2},
        5,
    ]
    setting = setting_of(
        precision="float64", rule=rule, network={"hidden": layers, "neuron": neuron, "output": "softmax", "weights": "uniform"},
        **({"phases": {"beta": 0.5, "nudging": nudging}} if local else {}),
    )  # fmt: skip
    network = build(setting, (2, 7, 6), 3, seed)
    inputs, target = np.ones((4, 85)), np.eye(3)[rng.integers(0, 3, 4)]
    inputs[:, :-1] = rng.normal(size=(4, 84))
    ours = measure.update(network, setting, rule, inputs, target)
    second = network.geometry[1]
    model = nn.Sequential(
        nn.Conv2d(2, 3, kernel, padding=padding), nn.MaxPool2d(pool, stride), FUNCTIONS[neuron](),
        nn.Conv2d(3, 2, 2, padding=second.padding), nn.MaxPool2d(second.pool, second.stride), FUNCTIONS[neuron](),
        nn.Flatten(), nn.Linear(network.sizes[2], 5), FUNCTIONS[neuron](), nn.Linear(5, 3),
    )  # fmt: skip
    projections = [model[0], model[3], model[7], model[9]]
    with torch.no_grad():
        for weights, module in zip(network.weights, projections, strict=True):
            module.weight.copy_(torch.from_numpy(weights[:-1].T.copy()).reshape(module.weight.shape))
            module.bias.copy_(torch.from_numpy(weights[-1]))
    x, y = torch.from_numpy(inputs[:, :-1]).reshape(4, 2, 7, 6), torch.from_numpy(target.argmax(1))
    more = {"beta": 0.5, "nudging": nudging, "relative": False} if local else {}
    learner = feedback(model, x, ["2", "5", "8"], rule, seed=seed, **more)
    learner.backward(summed(model(x), y), **({"target": y, "factor": 1.0} if rule == "drtp" else {}))
    for update, module in zip(ours, projections, strict=True):
        np.testing.assert_allclose(-module.weight.grad.flatten(1).numpy(), update[:-1].T, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(-module.bias.grad.numpy(), update[-1], rtol=1e-10, atol=1e-12)


def test_a_convolution_gets_the_error_as_a_whole_map():
    """Against DFA written out: each block differentiated by itself, with B e at its end."""
    model, x, y = convolutional(), torch.randn(4, 2, 8, 8), torch.randint(3, (4,))
    learner = feedback(model, x, ["3", "5", "8"], seed=3)
    assert [tuple(learner.B[name].shape) for name in ("3", "5", "8")] == [(64, 3), (48, 3), (6, 3)]
    found = gradients(model, learner, x, y)
    learner.remove()
    drive = model(x)
    e = (drive.softmax(1) - F.one_hot(y, 3)).detach() / 4
    h, start = x, 0
    for end in (3, 5, 8):
        block = model[start : end + 1]
        h = block(h.detach())
        weights = list(block.parameters())
        signal = (e @ learner.B[str(end)].T).reshape(h.shape)
        for name, expected in zip(
            [n for n, p in model.named_parameters() if any(p is w for w in weights)],
            torch.autograd.grad(h, weights, signal, retain_graph=True), strict=True,
        ):  # fmt: skip
            torch.testing.assert_close(found[name], expected, rtol=1e-10, atol=1e-13)
        start = end + 1


@pytest.mark.parametrize(("nudging", "order"), [("one_sided", 1), ("centered", 2)])
def test_the_local_rule_goes_to_dfa_as_beta_goes_to_zero(nudging, order):
    model, x, y = convolutional(), torch.randn(4, 2, 8, 8), torch.randint(3, (4,))
    learner = feedback(model, x, ["3", "5", "8"], seed=1)
    exact = gradients(model, learner, x, y)
    errors = []
    for beta in (1e-2, 1e-3):
        learner.remove()
        learner = feedback(model, x, ["3", "5", "8"], "local", seed=1, beta=beta, nudging=nudging)
        local = gradients(model, learner, x, y)
        errors.append(sum((local[name] - exact[name]).norm() ** 2 for name in exact) ** 0.5)
    assert errors[1] < 0.01
    assert float(torch.log10(errors[0] / errors[1])) == pytest.approx(order, abs=0.05)


def test_relative_nudges_do_not_depend_on_the_scale_of_the_loss_nor_on_other_samples():
    model = mlp()
    x, y = batch(6)
    learner = feedback(model, x, ["1", "3"], "local", beta=0.5)
    whole = gradients(model, learner, x, y, summed)
    scaled = gradients(model, learner, x, y, lambda drive, y: 1024 * summed(drive, y))
    parts = [gradients(model, learner, x[rows], y[rows], summed) for rows in (slice(0, 2), slice(2, 6))]
    for name in whole:
        torch.testing.assert_close(scaled[name], 1024 * whole[name], rtol=1e-12, atol=0)
        torch.testing.assert_close(parts[0][name] + parts[1][name], whole[name], rtol=1e-10, atol=1e-14)


def test_a_sample_whose_error_is_zero_teaches_nothing():
    model = mlp((5, 7, 3))
    x = torch.randn(2, 5)
    learner = feedback(model, x, ["1"], "local")
    found = gradients(model, learner, x, None, lambda drive, y: 0.0 * drive.sum())
    assert all(bool((grad == 0).all()) for grad in found.values())


class Transformer(nn.Module):
    """Characters in, logits out: pre-norm blocks of attention and a feed-forward part."""

    def __init__(self, width=8, blocks=2, symbols=11):
        super().__init__()
        self.embed = nn.Embedding(symbols, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, symbols)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm2, self.up, self.act, self.down = nn.LayerNorm(width), nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, width)

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return x + self.down(self.act(self.up(self.norm2(x))))


def test_a_transformer_with_a_tap_a_block_learns_each_token_by_its_own_error():
    model = Transformer()
    x, y = torch.randint(11, (3, 5)), torch.randint(11, (3, 5))
    learner = feedback(model, x, ["embed", "blocks.0", "blocks.1"], output="norm")
    assert tuple(learner.B["blocks/0"].shape) == (8, 8)
    assert {name.split(".")[0] for name, source in learner.sources.items() if source.by == "loss"} == {"norm", "head"}
    assert learner.sources["blocks.1.down.weight"].through == frozenset()
    assert learner.sources["norm.weight"].through == {"head.weight"}
    assert {"blocks.1.down.weight", "<Relu>"} <= learner.sources["blocks.1.up.weight"].through
    found = gradients(model, learner, x, y, lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()))
    learner.remove()
    embedded = model.embed(x)
    h1 = model.blocks[0](embedded.detach())
    h2 = model.blocks[1](h1.detach())
    normed = model.norm(h2.detach())
    loss = F.cross_entropy(model.head(normed).flatten(0, 1), y.flatten())
    e = torch.autograd.grad(loss, normed, retain_graph=True)[0]
    model.zero_grad()
    loss.backward()
    torch.autograd.backward([embedded, h1, h2], [e @ learner.B[n].detach().T for n in ("embed", "blocks/0", "blocks/1")])
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-10, atol=1e-13)


def test_attention_is_followed_with_and_without_a_fused_kernel():
    """Without one it is products and a softmax, as with dropout, and on a GPU in double precision."""
    model, (x, y) = Transformer(), torch.randint(11, (2, 3, 5))
    found = []
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH):
        with sdpa_kernel(backend):
            learner = feedback(model, x, ["embed", "blocks.0", "blocks.1"], output="norm")
            found.append((learner.sources, gradients(model, learner, x, y, lambda out, y: F.cross_entropy(out.mT, y))))
            learner.remove()
    (fused, expected), (apart, gradient) = found
    assert {name: source.by for name, source in fused.items()} == {name: source.by for name, source in apart.items()}
    assert "<SafeSoftmax>" in apart["blocks.0.attention.in_proj_weight"].through
    for name, grad in expected.items():
        torch.testing.assert_close(gradient[name], grad, rtol=1e-9, atol=1e-12)


def test_attention_may_have_dropout():
    model, x = Transformer(), torch.randint(11, (3, 5))
    for block in model.blocks:
        block.attention.dropout = 0.5
    learner = feedback(model, x, ["embed", "blocks.0", "blocks.1"], output="norm")
    learner.backward(model(x).square().sum())
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_feed_forward_part_of_a_block_learns_locally_and_the_rest_by_back_propagation_where_asked():
    model, x = Transformer(blocks=1), torch.randint(11, (3, 5))
    taps = ["blocks.0.act"]
    with pytest.raises(SpecError, match=r"'embed.weight' would be taught by the loss and by tap 'blocks.0.act'"):
        feedback(model, x, taps, "local", inside="bp", output="norm")

    class Plain(Block):
        def forward(self, x):
            return self.down(self.act(self.up(self.norm2(x))))

    model.blocks = nn.ModuleList([Plain(8)])
    del model.blocks[0].attention, model.blocks[0].norm1
    with pytest.raises(SpecError, match=r"between 'embed.weight' and tap 'blocks.0.act' lie .*'?blocks.0.up.weight"):
        feedback(model, x, taps, "local", output="norm")
    learner = feedback(model, x, taps, "local", inside="bp", output="norm")
    assert learner.sources["blocks.0.up.weight"].through == frozenset()
    assert "blocks.0.up.weight" in learner.sources["embed.weight"].through
    assert "embed.weight" in str(learner)
    assert "by back-propagation through" in str(learner)


def test_attention_has_no_local_form():
    model, x = Transformer(blocks=1), torch.randint(11, (3, 5))
    with pytest.raises(SpecError, match=r"under 'local' 'blocks\.0' must be a non-linearity of single neurons"):
        feedback(model, x, ["blocks.0"], "local", inside="bp")


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


def test_an_lstm_learns_by_direct_feedback_to_all_its_outputs():
    model = Recurrent()
    x, y = torch.randn(4, 7, 3), torch.randn(4, 7, 2)
    learner = feedback(model, x, ["lstm"], seed=2)
    assert tuple(learner.B["lstm"].shape) == (6, 2)
    found = gradients(model, learner, x, y, F.mse_loss)
    learner.remove()
    h = model.lstm(x)[0]
    e = 2 * (model.head(h).detach() - y) / y.numel()
    expected = torch.autograd.grad(h, list(model.lstm.parameters()), e @ learner.B["lstm"].detach().T)
    for (name, _), gradient in zip(model.lstm.named_parameters(), expected, strict=True):
        torch.testing.assert_close(found[f"lstm.{name}"], gradient, rtol=1e-10, atol=1e-13)
    assert all(source.through for name, source in learner.sources.items() if name.startswith("lstm.weight_hh"))


class Residual(nn.Module):
    """A block of He et al. 2016, its two non-linearities as modules of their own, as timm has them."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1, self.bn1, self.act1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
        self.conv2, self.bn2, self.act2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
        self.downsample = nn.Conv2d(n_in, n_out, 1, stride, bias=False) if n_in != n_out else nn.Identity()

    def forward(self, x):
        h = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(h + self.downsample(x))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.act1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        sizes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.blocks = nn.Sequential(*(Residual(*size) for size in sizes))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(self.act1(self.bn1(self.conv1(x)))).mean((2, 3)))


@pytest.mark.parametrize("rule", ["bp", "dfa", "local", "shallow"])
def test_a_residual_network_learns_a_mini_batch(rule):
    """Locally with a tap at each of its nineteen non-linearities, and nothing left to back-propagation."""
    torch.set_default_dtype(torch.float32)
    model, x, y = ResNet20(), torch.randn(16, 3, 16, 16), torch.arange(16) % 10
    blocks = [f"blocks.{k}.act{i}" for k in range(9) for i in (1, 2)]
    taps = ["act1", *(blocks if rule == "local" else blocks[1::2])]
    learner = feedback(model, x, taps, rule)
    through = {name for name, source in learner.sources.items() if source.by != "loss" and source.through}
    assert len(through) == {"bp": 0, "dfa": 27, "local": 0, "shallow": 0}[rule]
    start = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = F.cross_entropy(model(x), y)
        learner.backward(loss)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.96 * losses[0]
    assert torch.equal(model.conv1.weight, start["conv1.weight"]) is (rule == "shallow")


class Graph(nn.Module):
    """Kipf & Welling's network of two layers."""

    def __init__(self, adjacency):
        super().__init__()
        self.register_buffer("A", adjacency)
        self.first, self.act, self.second = nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)

    def forward(self, x):
        return self.A @ self.second(self.act(self.A @ self.first(x)))


@pytest.mark.parametrize("rule", ["dfa", "local"])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_error_spreads_over_the_nodes_of_a_graph(rule, sparse):
    A = torch.rand(9, 9) * (torch.rand(9, 9) < 0.3)
    A = A + A.T
    model, x, y = Graph(A.to_sparse() if sparse else A), torch.randn(9, 5), torch.randint(3, (9,))
    more = {"beta": 1e-5} if rule == "local" else {}
    learner = feedback(model, x, ["act"], rule, spread=lambda e: A @ e, **more)
    assert learner.sources["first.weight"].through == frozenset()
    found = gradients(model, learner, x, y)["first.weight"]
    drive = A @ x @ model.first.weight.detach().T
    out = A @ (drive.relu() @ model.second.weight.detach().T)
    e = (out.softmax(1) - F.one_hot(y, 3)) / 9
    delta = (drive > 0) * (A @ e @ learner.B["act"].detach().T)
    torch.testing.assert_close(found, (A @ delta).T @ x, rtol=1e-6, atol=1e-9)


def test_matrices_that_learn_take_the_steps_of_output_weights():
    """In the last hidden layer that of the output weights transposed (Webster et al. 2021): the optimiser makes it."""
    model = mlp()
    x, y = batch()
    learner = feedback(model, x, ["1", "3"], pathway="direct_kolen_pollack")
    optimiser = torch.optim.SGD([*model.parameters(), *learner.parameters()], lr=0.1, weight_decay=0.5)
    distance = (learner.B["3"] - model[4].weight.T).norm()
    for _ in range(20):
        optimiser.zero_grad()
        gradients(model, learner, x, y)
        torch.testing.assert_close(learner.B["3"].grad, model[4].weight.grad.T, rtol=1e-10, atol=1e-14)
        optimiser.step()
    assert (learner.B["3"] - model[4].weight.T).norm() < 0.5 * distance


def test_alignment_is_the_cosine_by_sample_with_back_propagation():
    model = mlp()
    x, y = batch(6)
    learner = feedback(model, x, ["1", "3"])
    state = copy.deepcopy(model.state_dict())
    found = learner.alignment(F.cross_entropy, x, y)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    learner.remove()
    h1 = model[:2](x)
    h2 = model[2:4](h1)
    drive = model[4](h2)
    e, g1, g2 = torch.autograd.grad(F.cross_entropy(drive, y), [drive, h1, h2])
    for name, gradient in (("1", g1), ("3", g2)):
        cosines = F.cosine_similarity(e @ learner.B[name].T, gradient)
        assert found[name].cosine == pytest.approx(cosines.mean().item(), rel=1e-10)
        assert found[name].sd == pytest.approx(cosines.std(correction=0).item(), rel=1e-10)
        assert found[name].gradient_norm == pytest.approx(gradient.norm().item(), rel=1e-10)
    local = feedback(model, x, ["1", "3"], "local", beta=1e-4)
    with torch.no_grad():
        local.B["3"].copy_(model[4].weight.T)  # then DFA of the last hidden layer is back-propagation
    assert local.alignment(F.cross_entropy, x, y)["3"].cosine == pytest.approx(1, abs=1e-6)


def test_an_example_changes_nothing():
    """Neither moments of batch-norm, nor random numbers, nor the mode of any module."""
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 3)).eval()
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    feedback(model, torch.randn(4, 5, generator=torch.Generator().manual_seed(1)), ["2"])
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module.training for module in model.modules())
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])


def test_in_evaluation_the_module_is_what_it_was():
    model = mlp()
    x, _ = batch()
    expected = model(x)
    learner = feedback(model, x, ["1", "3"], "local")
    model.eval()
    out = model(x)
    assert torch.equal(out, expected)
    out.sum().backward()
    assert model[0].weight.grad is not None
    with pytest.raises(LocalDFAError, match=r"tap '1' was not reached; allowed: .*model.train\(\)"):
        learner.backward(model(x).sum())


def test_a_module_with_taps_is_pickled_without_them():
    model, (x, y) = mlp(), batch()
    learner = feedback(model, x, ["1", "3"], "local")
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(loaded(x), model(x))
    F.cross_entropy(loaded(x), y).backward()
    learner.remove()
    F.cross_entropy(model(x), y).backward()
    for one, other in zip(loaded.parameters(), model.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    feedback(loaded, x, ["1", "3"]).backward(F.cross_entropy(loaded(x), y))


def test_of_several_losses_of_one_pass_the_sum_is_taken():
    model, (x, y) = mlp(), batch()
    learner = feedback(model, x, ["1", "3"])
    out = model(x)
    learner.backward(F.cross_entropy(out, y))
    with pytest.raises(LocalDFAError, match=r"tap '1' was not reached; .*one backward of the sum of all losses of that pass"):
        learner.backward(out.square().sum())


def test_matrices_are_state():
    x, _ = batch()
    first, second = feedback(mlp(), x, ["1", "3"], seed=1), feedback(mlp(), x, ["1", "3"], seed=2)
    assert not torch.equal(first.B["1"], second.B["1"])
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.B["1"], second.B["1"])
    assert list(first.state_dict()) == ["B.1", "B.3"]
    assert not [p for p in first.parameters() if p.requires_grad]


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.act, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.act(self.b(self.act(self.a(x)))))


class Skipping(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.act, self.b, self.head = nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = self.a(x)
        return self.head(x + self.b(self.act(x)))


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.other, self.act = mlp(), nn.Linear(2, 2), nn.Tanh()

    def forward(self, x):
        return self.net(x)


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.act, self.head = nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)

    def forward(self, x):
        x = self.act(self.a(x))
        x += 1
        return self.head(x)


def in_place():
    return nn.ReLU(inplace=True)


REFUSED = [
    (mlp, {"taps": ["1", "9"]}, "taps: '9' is not one of 0, 1, 2, 3, 4"),
    (mlp, {"taps": ["1", "1"]}, "taps: '1' is named twice"),
    (mlp, {"taps": []}, "taps: there are none"),
    (mlp, {"taps": ["4"], "output": "4"}, "output: '4' is a tap as well"),
    (mlp, {"taps": ["3"], "output": "1"}, "taps: what '1' gives does not depend on '3'"),
    (mlp, {"taps": ["1"], "rule": "fa"}, "rule: 'fa' is not one of bp, dfa, drtp, local, shallow"),
    (mlp, {"taps": ["1"], "pathway": "sequential"}, "pathway: 'sequential' does not go with rule 'dfa'"),
    (mlp, {"taps": ["1"], "beta": 0.1}, "beta: rule 'dfa' does not read it"),
    (mlp, {"taps": ["1", "3"], "rule": "local", "beta": 0.0}, "beta: 0.0 is not allowed"),
    (mlp, {"taps": ["1", "3"], "rule": "local", "beta": "0.1"}, "beta: '0.1' is not allowed: a number above 0"),
    (mlp, {"taps": ["1", "3"], "rule": "local", "relative": 0}, "relative: 0 is not allowed: True or False"),
    (mlp, {"taps": ["1", "3"], "rule": "local", "nudging": ""}, "nudging: '' is not one of centered, one_sided"),
    (mlp, {"taps": ["1"], "seed": -1}, "seed: -1 is not allowed: a whole number"),
    (mlp, {"taps": ["1", "3"], "spread": 2.0}, r"spread: 2\.0 is not allowed: a function"),
    (mlp, {"taps": ["1"], "output": None}, r"taps, output: \['1'\], None are not allowed: names of submodules"),
    (mlp, {"taps": ["1"], "rule": "shallow", "gain": 2.0}, "gain: rule 'shallow' does not read it"),
    (mlp, {"taps": ["1"], "mirror_rate": 0.1}, "unknown key 'mirror_rate' is not one of distribution"),
    (mlp, {"taps": ["1"], "gain": -1.0}, "gain: -1.0 is not allowed"),
    (mlp, {"taps": ["1"], "pathway": "direct_kolen_pollack", "density": 0.5}, r"^density: 0\.5 would not last, as pathway"),
    (mlp, {"taps": ["1"], "pathway": "direct_kolen_pollack", "shared": True}, "^shared: True would not last, as pathway"),
    (mlp, {"taps": ["1"], "rank": 1, "density": 0.5}, r"^rank: 1 would not stay so with density = 0\.5"),
    (mlp, {"taps": ["1", "3"], "rank": 50}, "^rank: 50 leaves B as it is, which has 3 dimensions"),
    (mlp, {"taps": ["3"], "rule": "local"}, "between '0.weight' and tap '3' lie 2.weight, <Tanh>, through which no local"),
    (mlp, {"taps": ["0", "2"], "rule": "local"}, "under 'local' '0' must be a non-linearity of single neurons"),
    (lambda: mlp(function=in_place), {"taps": ["1", "3"], "rule": "local"}, "'1' changes its input in place"),
    (lambda: mlp(function=nn.PReLU), {"taps": ["1", "3"], "rule": "local"}, "no signal reaches '1.weight'"),
    (lambda: mlp(function=lambda: nn.Dropout(0.5)), {"taps": ["1", "3"], "rule": "local"}, "same each time"),
    (Reused, {"taps": ["act"]}, "tap 'act' was reached twice"),
    (Skipping, {"taps": ["act"]}, "parameter 'a.weight' would be taught by the loss and by tap 'act'"),
    (Unused, {"taps": ["act"]}, "'act' is not reached in a forward pass"),
    (InPlace, {"taps": ["act"]}, "what tap 'act' gives was changed in place"),
    (Unused, {"taps": ["net.1"]}, "no signal reaches 'other.weight', 'other.bias'"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "given", "message"), REFUSED)
def test_what_cannot_be_honoured_is_refused_before_training(make, given, message):
    model = make()
    x, _ = batch()
    with pytest.raises((SpecError, LocalDFAError), match=message):
        feedback(model, x, **given)
    assert not model._forward_pre_hooks
    assert not any(module._forward_hooks for module in model.modules())


def test_wrong_use_while_training_is_one_clear_error():
    model = mlp()
    x, y = batch()
    learner = feedback(model, x, ["1", "3"])
    with pytest.raises(SpecError, match="it has a learner already"):
        feedback(model, x, ["1"])
    with pytest.raises(LocalDFAError, match="the loss has no gradient: the output was detached"):
        learner.backward(model(x).detach().sum())
    model(x)
    with pytest.raises(LocalDFAError, match="the loss does not depend on what the module gives"):
        learner.backward(model[4].weight.sum())
    loss = model(x).sum()
    model[1](torch.zeros(4, 7))
    with pytest.raises(LocalDFAError, match="tap '1' was reached twice since the last step"):
        learner.backward(loss)
    with pytest.raises(LocalDFAError, match="tap '1' was not reached"):
        learner.backward(model[4].weight.sum())
    with pytest.raises(LocalDFAError, match="target: pathway 'direct' does not read it"):
        learner.backward(F.cross_entropy(model(x), y), y)
    with pytest.raises(LocalDFAError, match="factor: pathway 'direct' does not read it"):
        learner.backward(F.cross_entropy(model(x), y), factor=0.5)
    learner.remove()
    drtp = feedback(model, x, ["1", "3"], "drtp")
    with pytest.raises(LocalDFAError, match="factor: pathway 'drtp' needs it"):
        drtp.backward(F.cross_entropy(model(x), y), y)
    with pytest.raises(LocalDFAError, match="target: 'drtp' sends it in place of the error"):
        drtp.backward(F.cross_entropy(model(x), y), factor=0.25)
    with pytest.raises(LocalDFAError, match=r"target: of shape \(4, 2\)"):
        drtp.backward(F.cross_entropy(model(x), y), torch.zeros(4, 2), factor=0.25)
    with pytest.raises(LocalDFAError, match="target: -100 is no index of 3 classes; allowed: such, or an array of the shape"):
        drtp.backward(F.cross_entropy(model(x), y), torch.tensor([0, -100, 1, 2]), factor=0.25)
    binary = mlp((5, 7, 1))
    with pytest.raises(LocalDFAError, match="target: 0 is no index of 1 classes"):
        feedback(binary, x, ["1"], "drtp").backward(binary(x).sum(), torch.zeros(4, dtype=torch.long), factor=0.25)
    wider = convolutional()
    part = wider[:6]
    third = feedback(part, torch.randn(2, 2, 8, 8), ["3"])
    with pytest.raises(LocalDFAError, match=r"tap '3' gives the shape \(2, 4, 5, 5\), and its B is for features of the shape"):
        third.backward(part(torch.randn(2, 2, 10, 10)).sum())


def test_a_frozen_parameter_needs_no_signal():
    model = mlp()
    x, y = batch()
    model[0].requires_grad_(False)
    with pytest.raises(SpecError, match="there is no parameter between '1' and the taps below"):
        feedback(model, x, ["1", "3"])
    learner = feedback(model, x, ["3"])
    assert set(learner.sources) == {"2.weight", "2.bias", "4.weight", "4.bias"}
    assert gradients(model, learner, x, y)["0.weight"] is None


def test_the_error_is_never_that_of_another_forward_pass():
    model = mlp()
    x, y = batch()
    learner = feedback(model, x, ["1", "3"])
    for share in (0, 1):
        first, second = (F.cross_entropy(model(scale * x), y) for scale in (1, 2))
        with pytest.raises(LocalDFAError, match="the loss depends on an earlier forward pass than the last"):
            learner.backward(first + share * second)


def test_a_copy_of_a_module_has_no_taps():
    model = mlp()
    x, y = batch()
    learner = feedback(model, x, ["1", "3"])
    expected = gradients(model, learner, x, y)
    loss, twin = F.cross_entropy(model(x), y), copy.deepcopy(model)
    twin.zero_grad()
    F.cross_entropy(twin(x), y).backward()
    assert twin[0].weight.grad is not None
    model.zero_grad()
    learner.backward(loss)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize("rule", ["dfa", "local"])
def test_below_a_frozen_head_the_taps_learn(rule):
    model = mlp()
    x, y = batch()
    learner = feedback(model, x, ["1", "3"], rule)
    expected = gradients(model, learner, x, y)
    learner.remove()
    model[4].requires_grad_(False)
    learner = feedback(model, x, ["1", "3"], rule)
    for criterion in (F.cross_entropy, lambda out, y: F.cross_entropy(out.mul_(1), y)):
        found = gradients(model, learner, x, y, criterion)
        for name in ("0.weight", "2.bias"):
            torch.testing.assert_close(found[name], expected[name], rtol=1e-12, atol=0)


def test_an_error_of_another_length_than_in_the_example_is_refused():
    class Told(nn.Module):
        """One number for each token from what all of them tell."""

        def __init__(self):
            super().__init__()
            self.a, self.act, self.head = nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.act(self.a(x.mean(1))))[:, None].expand(-1, x.shape[1], -1)

    model = Told()
    learner = feedback(model, torch.randn(2, 6, 5), ["act"])
    with pytest.raises(LocalDFAError, match=r"the error has \(2, 7, 3\), and its B is for 18 features of the error"):
        learner.backward(model(torch.randn(2, 7, 5)).sum())


class Heads(nn.Module):
    """Two heads on one trunk, or one head that is used twice."""

    def __init__(self, twice=False):
        super().__init__()
        self.a, self.act, self.head, self.other = nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), nn.Linear(4, 3)
        if twice:
            del self.other
            self.__dict__["other"] = self.head

    def forward(self, x):
        h = self.act(self.a(x))
        return self.head(h), self.other(h.square())


def test_an_error_that_no_tap_hears_of_is_refused():
    model = Heads()
    x, y = batch()
    learner = feedback(model, x, ["act"])
    learner.backward(F.cross_entropy(model(x)[0], y))
    for share in (0, 1):
        out, other = model(x)
        loss = share * F.cross_entropy(out, y) + F.cross_entropy(other, y)
        with pytest.raises(LocalDFAError, match="the loss depends on another tensor than the first that the module gives"):
            learner.backward(loss)
    with pytest.raises(LocalDFAError, match="output 'head' was reached twice"):
        feedback(Heads(twice=True), x, ["act"], output="head")


class Halved(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.act, self.head = nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 6)

    def forward(self, x):
        return self.head(self.act(self.a(x))).chunk(2, 1)


def test_other_outputs_and_passes_may_be_differentiated_by_themselves():
    model = Halved()
    x, y = batch()
    learner = feedback(model, x, ["act"])
    earlier, second = F.cross_entropy(model(x)[0], y), model(x)
    torch.autograd.grad(earlier, model.head.weight)
    torch.autograd.grad(second[1].sum(), model.head.weight, retain_graph=True)
    learner.backward(F.cross_entropy(second[0], y))
    assert model.a.weight.grad is not None


class Scaled(nn.Module):
    """What its head gives is changed in place; its moments stay; it replaces a buffer, and makes one."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.act, self.head = nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(0))
        self.norm.eval()

    def forward(self, x):
        self.seen = torch.cat([self.seen, x[:, 0].detach()])
        if not hasattr(self, "last"):
            self.register_buffer("last", torch.zeros(()))
        out = self.head(self.act(self.norm(self.a(x))))
        out *= 3.0
        return out


def test_a_scalar_output_sends_one_direction():
    """Signals of DFA are multiples of one row then; dimensions are those of the singular values."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    with torch.no_grad():
        model[2].weight.mul_(5)  # so that slopes differ
    x, y = torch.randn(40, 5).double(), torch.randn(40, 1).double()
    learner = feedback(model, x, ["1", "3"])
    found = learner.alignment(F.mse_loss, x, y)
    assert [tap.signal_rank for tap in found.values()] == pytest.approx([1, 1], abs=1e-12)
    learner.remove()
    h = model[1](model[0](x)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(F.mse_loss(model[2:](h), y), h)
    sizes = torch.linalg.svdvals(gradient)
    assert found["1"].gradient_rank == pytest.approx(float((sizes**2).sum() ** 2 / (sizes**4).sum()))
    assert found["1"].gradient_rank > 1.1


def test_alignment_leaves_no_trace_and_measures_the_error_that_is_sent():
    """In the middle of a step, of a module with parts in evaluation mode, though the example has one sample."""
    model = Scaled()
    x, y = batch()
    learner = feedback(model, x[:1], ["act"], output="head")
    assert len(model.seen) == 0
    expected = gradients(model, learner, x, y)
    loss, seen = F.cross_entropy(model(x), y), len(model.seen)
    found = learner.alignment(F.cross_entropy, x, y)["act"]
    assert len(model.seen) == seen
    model.zero_grad()
    learner.backward(loss)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=0)
    learner.remove()
    out = model.head(model.act(model.norm(model.a(x))))
    e = torch.autograd.grad(F.cross_entropy(3 * out, y), out)[0]
    assert found.signal_norm == pytest.approx((e @ learner.B["act"].mT).norm().item(), rel=1e-12)


def test_a_drive_that_is_changed_behind_its_non_linearity_is_refused():
    class Changed(InPlace):
        def forward(self, x):
            drive = self.a(x)
            h = self.act(drive)
            drive += 1
            return self.head(h)

    with pytest.raises(LocalDFAError, match="the input of tap 'act' was changed in place"):
        feedback(Changed(), batch()[0], ["act"], "local")


class Between(nn.Module):
    """Two layers with one tap, and an operation between them."""

    def __init__(self, between, first=lambda x: x):
        super().__init__()
        self.between, self.first = between, first
        self.a, self.b, self.act, self.head = nn.Linear(5, 5), nn.Identity(), nn.Tanh(), nn.Linear(5, 3)

    def forward(self, x):
        h = self.between(self.a(self.first(x)))
        return self.head(self.act(self.b(h)))


def part_in_place(h):
    h[:, :3].tanh_()
    return h


def product_of_rows(h):
    return torch.ones_like(h).scatter_reduce(0, torch.zeros(4, 5, dtype=torch.long), h, "prod")


def kernel_of_activity(h):
    return F.conv1d(h[:, None], h[:1, None, :3], padding=1)[:, 0]


def normalised(h):
    return F.instance_norm(h[:, None])[:, 0]


@pytest.mark.parametrize("between", [part_in_place, product_of_rows, kernel_of_activity, normalised])
def test_no_non_linearity_hides_behind_an_operation_of_another_name(between):
    with pytest.raises(SpecError, match=r"between 'a.weight' and tap 'act' lie <\w+>, through which no local signal goes"):
        feedback(Between(between), batch()[0], ["act"], "local")


def test_products_that_are_summed_are_a_projection():
    model = Between(lambda h: (h[:, None] * model.c).sum(-1))
    model.c = nn.Parameter(torch.randn(5, 5))
    x = batch()[0]
    with pytest.raises(SpecError, match=r"between 'a\.weight' and tap 'act' lie c, through which no local signal goes"):
        feedback(model, x, ["act"], "local")
    model.between = lambda h: h * model.c[0]
    feedback(model, x, ["act"], "local")


@pytest.mark.parametrize("first", ["numbers", "detached", "bits"])
def test_an_input_that_autograd_does_not_follow_hides_nothing_above_it(first):
    """Else its non-linearities would count as such of weights."""
    function, x = {
        "numbers": (lambda x: F.one_hot(x, 5).double(), torch.arange(4)),
        "detached": (lambda x: x.detach(), torch.randn(4, 5)),
        "bits": (lambda x: x.double(), torch.randn(4, 5) > 0),
    }[first]
    model = Between(torch.tanh, function)
    model.b = nn.Linear(5, 5)
    with pytest.raises(SpecError, match=r"between 'a.weight' and tap 'act' lie <Tanh>, b.weight, through which no local"):
        feedback(model, x, ["act"], "local")
    sources = feedback(model, x, ["act"], "local", inside="bp").sources
    assert sources["a.weight"].through == {"<Tanh>", "b.weight"}
    assert sources["b.weight"].through == frozenset()
    learner = feedback(Between(lambda h: h, function), x, ["act"], "local")
    assert {source.through for name, source in learner.sources.items() if name != "head.weight"} == {frozenset()}


def test_what_weights_are_computed_by_and_hooks_of_others_are_no_block():
    parametrizations, x = torch.nn.utils.parametrizations, batch()[0]
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6).eval(), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    parametrizations.spectral_norm(model[0])
    parametrizations.orthogonal(model[3], orthogonal_map="householder")
    parametrizations.weight_norm(model[5])
    model[3].register_full_backward_hook(lambda *given: None)
    learner = feedback(model, x[:1], ["2", "4"], "local")
    assert all(not source.through for source in learner.sources.values() if source.by != "loss")


def test_what_mixes_neurons_is_no_non_linearity_of_single_ones():
    """Along whatever axis."""
    maps = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Softmax2d(), nn.Flatten(), nn.Linear(64, 3))
    samples = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3))
    for model, x in ((maps, torch.randn(3, 2, 4, 4)), (samples, torch.randn(4, 5))):
        with pytest.raises(SpecError, match="under 'local' '1' must be a non-linearity of single neurons"):
            feedback(model, x, ["1"], "local")


def test_a_learner_goes_with_its_module():
    model = mlp()
    feedback(model, batch()[0], ["1", "3"])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_two_learners_do_not_share_taps():
    trunk, x = mlp((5, 7, 6)), batch()[0]
    one, other = (nn.Sequential(trunk, nn.Tanh(), nn.Linear(6, 3)) for _ in range(2))
    learner = feedback(one, x, ["1"])  # above what they share
    with pytest.raises(SpecError, match=r"model: '0\.1' is part of another module that has a learner"):
        feedback(other, x, ["0.1", "1"])
    feedback(other, x, ["1"])
    learner.remove()
    with pytest.raises(SpecError, match=r"model: '0\.1' is part of another module that has a learner"):
        feedback(one, x, ["0.1", "1"])


def test_what_is_frozen_later_needs_no_signal_any_more():
    model = mlp()
    x, y = batch()
    learner = feedback(model, x, ["1", "3"])
    expected = gradients(model, learner, x, y)
    model[0].requires_grad_(False)
    found = gradients(model, learner, x, y)
    assert found["0.weight"] is None
    torch.testing.assert_close(found["2.weight"], expected["2.weight"], rtol=0, atol=0)
    aligned = learner.alignment(F.cross_entropy, x, y)
    assert list(aligned) == ["1", "3"]
    assert np.isnan(aligned["1"]).all()
    assert np.isfinite(aligned["3"]).all()
    model[0].requires_grad_(True)
    model[0].register_forward_hook(lambda module, args, out: out.detach())
    with pytest.raises(LocalDFAError, match=r"no signal reaches '0\.weight' from tap '1'"):
        learner.backward(F.cross_entropy(model(x), y))


class Named(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.a, self.b, self.act, self.head = nn.Linear(5, 4), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)
        self.name = name
        self.add_module(name, nn.Tanh())

    def forward(self, x):
        return self.head(self.act(self.b(self.get_submodule(self.name)(self.a(x)))))


@pytest.mark.parametrize("name", ["shared", "update", "keys"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_tap_may_have_any_name(name, shared):
    x, y = batch()
    plain, model = Named("c"), Named(name)
    model.load_state_dict(plain.state_dict())
    expected, found = (
        gradients(m, feedback(m, x, [tap, "act"], shared=shared), x, y) for m, tap in ((plain, "c"), (model, name))
    )
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=0, atol=0)


@pytest.mark.parametrize("rule", ["dfa", "local"])
def test_batches_of_none_and_single_numbers_for_samples(rule):
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act, self.head = nn.Linear(5, 1), nn.Tanh(), nn.Linear(1, 1)

        def forward(self, x):
            return self.head(self.act(self.a(x)[:, 0])[:, None])[:, 0]

    model, x = Single(), batch()[0]
    more = {"beta": 1e-4} if rule == "local" else {}
    learner = feedback(model, x, ["act"], rule, **more)
    found = gradients(model, learner, x, None, lambda out, y: out.square().sum())
    e, slope = 2 * model.eval()(x).detach(), 1 - model.a(x).detach()[:, 0].tanh().square()
    torch.testing.assert_close(found["a.bias"][0], (e * learner.B["act"][0, 0] * slope).sum(), rtol=1e-6, atol=0)
    none = gradients(model.train(), learner, x[:0], None, lambda out, y: out.sum())
    assert all(bool((gradient == 0).all()) for gradient in none.values())


def test_small_errors_are_nudges_in_half_precision():
    model = mlp()
    x, y = batch()
    exact = gradients(model, feedback(model, x, ["1", "3"], "local"), x, y, lambda out, y: 1e-4 * F.cross_entropy(out, y))
    half = mlp().half()
    half.load_state_dict(model.state_dict())
    learner = feedback(half, x.half(), ["1", "3"], "local")
    found = gradients(half, learner, x.half(), y, lambda out, y: 1e-4 * F.cross_entropy(out.double(), y))
    for name, gradient in exact.items():
        assert (found[name] - gradient).norm() < 0.03 * gradient.norm()


def test_a_tuple_whose_first_tensor_is_not_read_gets_no_signal():
    class Last(Recurrent):
        def forward(self, x):
            return self.head(self.lstm(x)[1][0][-1])

    with pytest.raises(SpecError, match="does not depend on 'lstm', or not on the first tensor that it gives"):
        feedback(Last(), torch.randn(4, 7, 3), ["lstm"])


def test_an_example_may_hold_named_tuples():
    class Packed(Recurrent):
        def forward(self, x):
            return self.head(nn.utils.rnn.pad_packed_sequence(self.lstm(x)[0], batch_first=True)[0])

    class Pair(NamedTuple):
        left: torch.Tensor
        right: torch.Tensor

    x = batch()[0]
    learner = feedback(Between(lambda h: h, lambda pair: pair.left + pair.right), (Pair(x, x),), ["act"], "local")
    assert learner.sources["a.weight"].by == "act"
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(2, 7, 3), torch.tensor([7, 5]), batch_first=True)
    with pytest.raises(SpecError, match="taps: 'lstm' gives tuple of PackedSequence; allowed: a tensor"):
        feedback(Packed(), (packed,), ["lstm"])


def test_an_output_may_be_a_dataclass_where_the_error_is_taken_before_it():
    @dataclass
    class Answer:
        logits: torch.Tensor

    class Answering(Unused):
        def forward(self, x):
            return Answer(self.net(x))

    model = Answering()
    model.other.requires_grad_(False)
    learner = feedback(model, batch()[0], ["net.1", "net.3"], output="net.4")
    assert learner.sources["net.4.weight"].by == "loss"


class Branches(nn.Module):
    """A table that a branch of its own and a layer below a tap share."""

    def __init__(self):
        super().__init__()
        self.shared, self.act, self.head = nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        v = self.shared(x)
        return self.head(self.act(self.layer(v)) + v)


def test_several_signals_of_one_parameter_are_added_where_asked_for():
    (x, y), model = batch(), Branches()
    with pytest.raises(SpecError, match=r"'shared.weight' would be taught by the loss and by tap 'act'.*or several='add'"):
        feedback(model, x, ["act"])
    learner = feedback(model, x, ["act"], several="add")
    found = gradients(model, learner, x, y)
    assert "shared.weight  the loss, by back-propagation through head.weight, and tap 'act', by back-propagation" in repr(
        learner
    )
    B = learner.B["act"].detach()
    learner.remove()
    v = model.shared(x)
    out = model.head(model.act(model.layer(v)).detach() + v)
    (error,) = torch.autograd.grad(F.cross_entropy(out, y), out, retain_graph=True)
    sent = (model.act(model.layer(v)) * (error @ B.T)).sum()
    model.zero_grad()
    (F.cross_entropy(out, y) + sent).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-10, atol=1e-12)


def test_under_shallow_what_the_loss_reaches_past_a_tap_learns_from_it_alone():
    (x, y), model = batch(), Branches()
    learner = feedback(model, x, ["act"], "shallow", several="add")
    found = gradients(model, learner, x, y)
    assert [name for name, gradient in found.items() if gradient is None] == ["layer.weight", "layer.bias"]
    assert "layer.weight   nothing" in repr(learner)


@pytest.mark.parametrize("several", ["sum", True, 2])
def test_how_several_signals_are_joined_is_said_by_name(several):
    with pytest.raises(SpecError, match=r"several: .* is not allowed: 'add', or none"):
        feedback(Branches(), batch()[0], ["act"], several=several)
