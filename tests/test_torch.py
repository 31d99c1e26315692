"""PyTorch's automatic differentiation and optimisers as an independent witness."""

import numpy as np
import pytest
from conftest import Small

from localdfa import measure, registry
from localdfa.core import settled
from localdfa.core.plasticity import Plasticity
from localdfa.network import rewired

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
FUNCTIONS = {
    "tanh": torch.tanh, "logistic": torch.sigmoid, "relu": torch.relu, "linear": lambda v: v,
    "leaky_relu": lambda v: torch.nn.functional.leaky_relu(v, 0.01),
}  # fmt: skip


def torch_network(small):
    layers = []
    for W, b in zip(small.W, small.b, strict=True):
        layer = torch.nn.Linear(*W.T.shape, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(W))
            layer.bias.copy_(torch.from_numpy(b))
        layers.append(layer)
    return layers


def torch_loss(small, layers):
    h = torch.from_numpy(small.inputs[:, :-1])
    for layer in layers[:-1]:
        h = FUNCTIONS[small.setting.network.neuron](layer(h))
    target = torch.from_numpy(small.target)
    if small.setting.network.output == "softmax":
        return torch.nn.functional.cross_entropy(layers[-1](h), target, reduction="sum")
    return torch.nn.functional.binary_cross_entropy_with_logits(layers[-1](h), target, reduction="sum")


@pytest.mark.parametrize("neuron", sorted(FUNCTIONS))
@pytest.mark.parametrize("output", ["logistic", "softmax"])
def test_back_propagation_equals_automatic_differentiation(neuron, output, rng):
    small = Small(rng, m=6, rule="bp", network={"neuron": neuron, "output": output})
    trial, change = measure.changes(small.network, small.setting, "bp", small.inputs, small.target)
    layers = torch_network(small)
    loss = torch_loss(small, layers)
    loss.backward()
    assert small.network.loss(trial.drive[-1], small.target).sum() == pytest.approx(loss.item(), rel=1e-12)
    for g, layer in zip(measure.gradients(trial, change), layers, strict=True):
        np.testing.assert_allclose(-g[:-1].T, layer.weight.grad.numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(-g[-1], layer.bias.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_dropout_leaves_neurons_out_of_activity_and_learning(rng):
    """Back-propagation through masked layers equals automatic differentiation; no rule teaches a neuron left out."""
    small = Small(rng, m=5, rule="bp")
    masks = [(rng.random((5, n)) < 0.6) / 0.6 for n in (7, 5, 6)]
    layers = torch_network(small)
    h = torch.from_numpy(small.inputs[:, :-1])
    for layer, mask in zip(layers[:-1], masks, strict=True):
        h = torch.tanh(layer(h)) * torch.from_numpy(mask)
    target = torch.from_numpy(small.target)
    torch.nn.functional.binary_cross_entropy_with_logits(layers[-1](h), target, reduction="sum").backward()
    for rule in ("bp", "fa", "dfa", "ifa", "local"):
        network = rewired(small.network, small.setting, rule, 0)
        trial = settled.free_phase(network, small.inputs, 0.0, masks)
        model = registry.get("rules", rule)(network, small.setting.phases)
        change, _ = settled.post_changes(network, model, trial, trial.prediction - small.target)
        for moved, mask in zip(change, masks, strict=False):
            assert (moved[mask == 0] == 0).all()
            assert (moved[mask != 0] != 0).all()
        if rule == "bp":
            for g, layer in zip(measure.gradients(trial, change), layers, strict=True):
                np.testing.assert_allclose(-g[:-1].T, layer.weight.grad.numpy(), rtol=1e-10, atol=1e-12)
        if rule == "dfa":
            exact = change
    for moved, expected in zip(change, exact, strict=True):  # the local rule, β = 0.1, centered
        np.testing.assert_allclose(moved, expected, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, 0.01)),
        ("momentum", lambda p: torch.optim.SGD(p, 0.01, momentum=0.9)),
        ("rmsprop", lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.99, eps=1e-8)),
        ("adam", lambda p: torch.optim.Adam(p, 0.01, betas=(0.9, 0.999), eps=1e-8)),
    ],
)
def test_training_steps_equal_those_of_torch(name, theirs, rng):
    small = Small(rng, m=6, rule="bp")
    layers = torch_network(small)
    optimiser = theirs([p for layer in layers for p in layer.parameters()])
    plasticity = Plasticity(small.network, registry.get("optimisers", name)(learning_rate=0.01))
    for _ in range(5):
        trial, change = measure.changes(small.network, small.setting, "bp", small.inputs, small.target)
        plasticity.learn(trial.sent, change)
        optimiser.zero_grad()
        torch_loss(small, layers).backward()
        optimiser.step()
    for l, layer in enumerate(layers):
        np.testing.assert_allclose(small.network.W(l), layer.weight.detach().numpy(), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(small.network.b(l), layer.bias.detach().numpy(), rtol=1e-7, atol=1e-9)
