"""Modules that experiments train: each takes every rule, and its linear parts are right beside slow versions of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from localdfa import registry
from localdfa.data.kinds import Graph

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
pytest.importorskip("torch_geometric", reason="PyTorch Geometric is not installed: pip install 'localdfa[graphs]'")

from localdfa.torch import feedback  # noqa: E402


@pytest.fixture(autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def graph(n=12, n_features=7, n_classes=3):
    rng = np.random.default_rng(0)
    joined = np.triu(rng.random((n, n)) < 0.25, 1)
    joined[0] = joined[:, 0] = False  # one node has no neighbours
    nodes = np.arange(n)
    features = rng.random((n, n_features)).astype(np.float32)
    edges = np.array(np.nonzero(joined | joined.T))
    classes = tuple(map(str, range(n_classes)))
    return Graph(features, edges, rng.integers(n_classes, size=n), nodes[:6], nodes[6:8], nodes[8:], classes)


def module(name, data, **parameters):
    model = registry.get("modules", name)
    return model(model.Parameters(**parameters), data)


def spread_matrix(data):
    n = len(data.features)
    A = np.eye(n)
    A[data.edges[1], data.edges[0]] = 1
    scale = 1 / np.sqrt(A.sum(1))
    return scale[:, None] * A * scale


def array(tensor):
    return tensor.detach().numpy()


def test_a_graph_convolution_is_the_dense_product():
    data = graph()
    net = module("gcn", data, hidden=5).eval()
    A, (b1, W1, b2, W2) = spread_matrix(data), map(array, net.parameters())
    hidden = np.maximum(A @ data.features @ W1.T + b1, 0)
    assert_allclose(
        array(net(torch.tensor(data.features, dtype=torch.float64))), A @ hidden @ W2.T + b2, rtol=1e-12, atol=1e-12
    )
    error = torch.randn(len(A), 3)
    assert_allclose(array(net.spread(error)), A @ array(error), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", ["bp", "dfa", "local", "shallow"])
def test_gcn_learns_by(rule):
    data = graph()
    net = module("gcn", data, hidden=5)
    x = torch.tensor(data.features, dtype=torch.float64)
    learner = feedback(
        net, x, net.taps, rule, output=net.output, **({} if rule in ("bp", "shallow") else {"spread": net.spread})
    )
    before = {name: array(p).copy() for name, p in net.named_parameters()}
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    learner.backward(torch.nn.functional.cross_entropy(net(x)[:6], torch.tensor(data.labels[:6])))
    optimiser.step()
    moved = {name for name, p in net.named_parameters() if (array(p) != before[name]).any()}
    assert moved == ({"second.bias", "second.lin.weight"} if rule == "shallow" else set(before))
