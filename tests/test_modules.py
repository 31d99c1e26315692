"""Modules that experiments train: each takes the rules, and what it computes is right beside slow versions."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from localdfa import registry
from localdfa.conformance._kinds import fields, graph, links, samples, text, views
from localdfa.data.kinds import Graph
from localdfa.data.links import hold_out
from localdfa.errors import SpecError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
pytest.importorskip("torch_geometric", reason="PyTorch Geometric is not installed: pip install 'localdfa[graphs]'")

from elsewhere import elsewhere  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from localdfa.torch import feedback  # noqa: E402


@pytest.fixture(autouse=True)
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def of_samples(data):
    return (torch.tensor(data.x_train).reshape(-1, *data.shape),), torch.tensor(data.y_train)


def rays(m=4):
    return torch.randn(m, 3) + 3, torch.randn(m, 3)


# Of each module: small parameters, data, what it is called with, and a loss.
def case(name):
    if name in ("gcn", "cheb", "gat"):
        data = graph()
        shown = torch.tensor(data.train), torch.tensor(data.labels)
        sizes = {"hidden": 2, "heads": 3} if name == "gat" else {"hidden": 5}
        x = (torch.tensor(data.features, dtype=torch.float64),)
        return data, {**sizes, "dropout": 0.1}, x, lambda out: F.cross_entropy(out[shown[0]], shown[1][shown[0]])
    if name == "graph_autoencoder":
        data = links()
        y, pairs = torch.tensor(data.joined_test, dtype=torch.float64), torch.tensor(data.pairs_test)
        x = torch.tensor(data.features, dtype=torch.float64), pairs
        sizes = {"hidden": 5, "latent": 2, "dropout": 0.1}
        return data, sizes, x, lambda out: F.binary_cross_entropy_with_logits(out, y)
    if name in ("fm", "deepfm", "deep_cross", "autoint"):
        data = fields()
        sizes = {"fm": {}, "deepfm": {"width": 8}, "deep_cross": {"width": 8, "crosses": 2}, "autoint": {"width": 8}}[name]
        y = torch.tensor(data.y_train, dtype=torch.float64)
        x = (torch.tensor(data.x_train),)
        return data, {"embedding": 3, **sizes}, x, lambda out: F.binary_cross_entropy_with_logits(out, y)
    if name == "nerf":
        sizes = {"width": 8, "depth": 3, "octaves": 2, "directions": 1, "samples": 5}
        return views(), sizes, rays(), lambda out: (out - 0.3).square().mean()
    if name == "transformer":
        x = torch.randint(5, (2, 6))
        sizes = {"blocks": 2, "width": 8, "heads": 2, "context": 6, "taps": "micro"}
        return text(), sizes, (x,), lambda out: F.cross_entropy(out.flatten(0, 1), x.roll(-1, 1).flatten())
    data = {"mlp": samples(4), "resnet20": samples(2, 8, 8), "lstm": samples(5, 2)}[name]
    sizes = {"mlp": {"width": 6}, "resnet20": {"channels": 2}, "lstm": {"hidden": 4, "depth": 2}}[name]
    x, y = of_samples(data)
    return data, sizes, x, lambda out: F.cross_entropy(out, y)


def module(name, data, **parameters):
    model = registry.get("modules", name)
    net = model(model.Parameters(**parameters), data)
    for parameter in net.parameters():  # else what is drawn small, or begins with zero, would show nothing
        parameter.data += 0.3 * torch.randn_like(parameter)
    return net


NAMES = registry.names("modules")
# Those below whose taps lie attention, gates or embeddings, which have no local form.
INSIDE = ("gat", "deepfm", "deep_cross", "autoint", "transformer", "lstm")
# Of each, what begins the names of the parameters that learn where hidden layers do not.
SHALLOW = {
    "graph_autoencoder": ("second.",),
    "gcn": ("second.",), "cheb": ("second.",), "gat": ("second.",), "deepfm": ("first_order.", "embeddings.", "head."),
    "deep_cross": ("embeddings.", "crosses.", "head."), "autoint": ("first_order.", "head."), "nerf": ("density.", "colour."),
    "transformer": ("norm.", "head."), "mlp": ("head.",), "resnet20": ("head.",), "lstm": ("head.",),
}  # fmt: skip


def learner_of(name, net, x, rule, **more):
    spread = net.spread if hasattr(net, "spread") and rule in ("dfa", "local") else None
    return feedback(net, x, net.taps, rule, output=net.output, spread=spread, several=getattr(net, "several", None), **more)


def learned(net, learner, x, loss):
    """The names of the parameters that one step changes."""
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    learner.backward(loss(net(*x)))
    optimiser.step()
    return {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("rule", ["bp", "dfa", "local", "shallow"])
@pytest.mark.parametrize("name", NAMES)
def test_it_learns_by(name, rule):
    data, sizes, x, loss = case(name)
    net = module(name, data, **sizes)
    if name == "fm" and rule != "bp":
        with pytest.raises(SpecError, match="taps: there are none; allowed: at least one, or rule 'bp'"):
            learner_of(name, net, x, rule)
        return
    if name in INSIDE and rule == "local":
        with pytest.raises(SpecError, match="no local signal goes"):
            learner_of(name, net, x, rule)
    learner = learner_of(name, net, x, rule, **({"inside": "bp"} if name in INSIDE and rule == "local" else {}))
    every = {name for name, _ in net.named_parameters()}
    moved = learned(net, learner, x, loss)
    if rule == "shallow":
        assert moved == {parameter for parameter in every if parameter.startswith(SHALLOW[name])}
    else:
        assert every - moved <= {"blocks.0.qkv.bias", "blocks.1.qkv.bias"}  # of which the part of the keys has no effect


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_elsewhere_than_on_the_cpu(name, monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *device: False)  # which has no answer for this one
    data, sizes, x, _ = case(name)
    net = module(name, data, **sizes)
    with elsewhere() as where:
        net, x = net.to(where), tuple(each.to(where) for each in x)
        learner = learner_of(name, net, x, "dfa" if net.taps else "bp")
        learner.backward(net(*x).square().sum())
        assert all(each.grad.isfinite().all() for each in net.parameters())
        with torch.no_grad():
            assert net.eval()(*x).isfinite().all()


@pytest.mark.parametrize("name", ["autoint", "transformer"])
def test_heads_are_equally_wide(name):
    assert "allowed: a multiple of heads" in registry.get("modules", name).Parameters(width=9, heads=2).refusal()


@pytest.mark.parametrize(("name", "shape"), [("resnet20", (5,)), ("lstm", (3, 8, 8))])
def test_samples_of_another_shape_are_refused(name, shape):
    with pytest.raises(SpecError, match=rf"'{name}' reads .*; allowed: "):
        module(name, samples(*shape))


class _Misspelt(torch.nn.Module):
    reads, tap, output, several = Graph, ("act",), "", "sum"


def test_what_is_wrong_with_a_model_is_said():
    found = "; ".join(registry.wrong("modules", _Misspelt))
    for part in (
        "nothing reads 'tap'; did you mean 'taps'",
        "'Parameters' is missing",
        "'forward' is missing",
        "allowed: 'add'",
    ):
        assert part in found
    assert registry.wrong("modules", 3) == ["3 is no subclass of torch.nn.Module"]


def dense(data, loops=True):
    n = len(data.features)
    A = np.eye(n) * loops
    A[data.edges[1], data.edges[0]] = 1
    with np.errstate(divide="ignore"):
        scale = np.where(A.any(1), 1 / np.sqrt(A.sum(1)), 0)
    return scale[:, None] * A * scale


def array(tensor):
    return tensor.detach().numpy()


def given(net, *x):
    with torch.no_grad():
        return array(net.eval()(*x))


def test_a_graph_convolution_is_the_dense_product():
    data, sizes, x, _ = case("gcn")
    net, A = module("gcn", data, **sizes), dense(data)
    b1, W1, b2, W2 = map(array, net.parameters())
    hidden = np.maximum(A @ data.features @ W1.T + b1, 0)
    assert_allclose(given(net, *x), A @ hidden @ W2.T + b2, rtol=1e-12, atol=1e-12)
    error = torch.randn(len(A), 3)
    assert_allclose(array(net.spread(error)), A @ array(error), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("share", [0.05, 0.6])
def test_dropout_of_features_leaves_out_what_ordinary_dropout_would(share):
    from localdfa.modules._graphs import FeatureDropout

    torch.manual_seed(0)
    features = torch.rand(400, 300, dtype=torch.float64) * (torch.rand(400, 300) < share)
    dropout, weights = FeatureDropout(0.3), torch.randn(4, 300, dtype=torch.float64, requires_grad=True)
    dropped = dropout(features)
    assert dropped.is_sparse == (share < 0.2)
    dense = dropped.to_dense() if dropped.is_sparse else dropped
    kept = dense != 0
    assert_allclose(dense[kept], features[kept] / 0.7, rtol=1e-15)
    n = int((features != 0).sum())
    assert abs(float(kept.sum()) - 0.7 * n) < 5 * math.sqrt(0.21 * n)
    # A linear layer and its gradient take it as they take the dense matrix.
    products = [F.linear(x, weights) for x in (dropped, dense)]
    assert_allclose(*(p.detach() for p in products), rtol=1e-12)
    assert_allclose(*(torch.autograd.grad((p**2).sum(), weights)[0] for p in products), rtol=1e-12)
    # Others each time, and of the features as they are now.
    assert (F.linear(dropout(features), weights) != products[0]).any()
    features.zero_()
    assert not F.linear(dropout(features), weights).any()
    assert dropout.eval()(features) is features


@pytest.mark.parametrize(("p", "needed"), [(0.0, False), (0.5, True)])
def test_dropout_of_features_is_ordinary_where_nothing_is_left_out_or_a_gradient_is_asked_for(p, needed):
    from localdfa.modules._graphs import FeatureDropout

    features = torch.eye(30, requires_grad=needed)
    assert not FeatureDropout(p)(features).is_sparse


def test_an_autoencoder_gives_inner_products_of_codes_and_sends_the_error_of_each_code():
    data, sizes, (x, _), _ = case("graph_autoencoder")
    net, A, n = module("graph_autoencoder", data, **sizes), dense(data), len(data.features)
    b1, W1, b2, W2 = map(array, net.parameters())
    drive = A @ data.features @ W1.T + b1
    codes = A @ np.maximum(drive, 0) @ W2.T + b2
    pairs = np.array(np.triu_indices(n, 1))
    assert_allclose(given(net, x, torch.tensor(pairs)), (codes @ codes.T)[tuple(pairs)], rtol=1e-12, atol=1e-12)
    net.drop.p = net.drop_features.p = 0.0
    learner = feedback(net.train(), (x, torch.tensor(pairs)), net.taps, "dfa", output=net.output, spread=net.spread)
    learner.backward(net(x, torch.tensor(pairs)).sum())
    error = codes.sum(0) - codes  # each node stands in a pair with each other one
    (B,) = map(array, learner.B.values())
    assert_allclose(array(net.second.lin.weight.grad), (A @ error).T @ np.maximum(drive, 0), rtol=1e-10, atol=1e-12)
    first = (A @ ((A @ error @ B.T) * (drive > 0))).T @ data.features
    assert_allclose(array(net.first.lin.weight.grad), first, rtol=1e-10, atol=1e-12)


def test_gradients_of_an_autoencoder_are_the_same_with_several_threads():
    rng, n, threads = np.random.default_rng(0), 300, torch.get_num_threads()
    joined = np.array(np.nonzero(np.triu(rng.random((n, n)) < 0.1, 1)))
    features = rng.random((n, 3)).astype(np.float32)
    nodes, edges = np.arange(n), np.concatenate([joined, joined[::-1]], axis=1)
    data = hold_out("mine", Graph(features, edges, nodes % 2, nodes, nodes, nodes, ("a", "b")), rng)
    net, pairs = module("graph_autoencoder", data).float(), torch.tensor(data.edges)
    torch.set_num_threads(2)
    try:
        found = []
        for _ in range(5):
            net.zero_grad()
            net(torch.tensor(features), pairs).sigmoid().sum().backward()
            found.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0], other) for other in found)


def test_a_chebyshev_convolution_is_the_dense_product():
    data, sizes, x, _ = case("cheb")
    net, L = module("cheb", data, **sizes), -dense(data, loops=False)
    U1, b1, W1, U2, b2, W2 = (array(p) for p in net.parameters())
    hidden = np.maximum(data.features @ U1.T + L @ data.features @ W1.T + b1, 0)
    assert_allclose(given(net, *x), hidden @ U2.T + L @ hidden @ W2.T + b2, rtol=1e-12, atol=1e-12)


def test_attention_over_a_graph_is_a_softmax_over_neighbours():
    data, sizes, x, _ = case("gat")
    net = module("gat", data, **sizes).eval()
    W = array(net.first.lin.weight).reshape(3, 2, -1)
    to, source = array(net.first.att_dst)[0], array(net.first.att_src)[0]
    neighbours, n = dense(data) > 0, len(data.features)
    expected = np.zeros((n, 3, 2))
    for head in range(3):
        h = data.features @ W[head].T
        for i in range(n):
            js = np.flatnonzero(neighbours[i])
            score = np.array([h[i] @ to[head] + h[j] @ source[head] for j in js])
            weight = np.exp(np.where(score > 0, score, 0.2 * score))
            expected[i, head] = weight @ h[js] / weight.sum()
    expected = expected.reshape(n, -1) + array(net.first.bias)
    assert_allclose(array(net.first(x[0], net.edges)), expected, rtol=1e-12, atol=1e-12)


def test_a_factorisation_machine_is_the_sum_over_pairs():
    data, sizes, x, _ = case("fm")
    net = module("fm", data, **sizes)
    begins = np.cumsum([0, *data.sizes[:-1]])
    w, v = array(net.first_order.weights.table.weight)[:, 0], array(net.embeddings.table.weight)
    expected = []
    for row in data.x_train:
        at = begins + row
        total = net.first_order.bias.item() + w[at].sum()
        total += sum(v[at[f]] @ v[at[g]] for f in range(len(at)) for g in range(f + 1, len(at)))
        expected.append(total)
    assert_allclose(given(net, *x), expected, rtol=1e-12)


def test_a_cross_layer_is_its_formula():
    data, sizes, x, _ = case("deep_cross")
    net = module("deep_cross", data, **sizes)
    first = crossed = array(net.embeddings(*x)).reshape(len(data.x_train), -1)
    for cross in net.crosses:
        w, b = array(cross.weight)[:, 0], array(cross.bias)
        crossed = np.stack([x0 * (xl @ w) + b + xl for x0, xl in zip(first, crossed, strict=True)])
    together = np.concatenate([crossed, given(net.tower, torch.tensor(first))], 1)
    expected = together @ array(net.head.weight)[0] + array(net.head.bias)
    assert_allclose(given(net, *x), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["deepfm", "deep_cross"])
def test_embeddings_learn_from_the_loss_and_from_the_tower(name):
    """The sum of what each would teach by itself."""
    data, sizes, x, loss = case(name)
    net = module(name, data, **sizes)
    learner = learner_of(name, net, x, "dfa")
    learner.backward(loss(net(*x)))
    both = net.embeddings.table.weight.grad.clone()
    assert "the loss" in repr(learner)
    assert ", and tap 'tower.acts.0', by back-propagation through tower.layers.0.weight" in repr(learner)
    B = learner.B["tower/acts/0"].detach()
    learner.remove()
    v = net.embeddings(*x).detach().requires_grad_()
    net.embeddings.forward = lambda x: v
    out = net(*x)
    (error,) = torch.autograd.grad(loss(out), out, retain_graph=True)
    (above,) = torch.autograd.grad(out, v, error, retain_graph=True)
    entry = net.tower.acts[0](net.tower.layers[0](v.flatten(1)))
    (whole,) = torch.autograd.grad(net.head(_beside(name, net, v)).squeeze(1), v, error)  # what the tower alone sends by BP
    (sent,) = torch.autograd.grad(entry, v, error[:, None] @ B.T)
    del net.embeddings.forward
    table = net.embeddings.table.weight
    (expected,) = torch.autograd.grad(net.embeddings(*x), table, above - whole + sent)
    assert_allclose(array(both), array(expected), rtol=1e-10, atol=1e-14)


def _beside(name, net, v):
    """What the head sees of the tower, and of the cross layers without a way back."""
    tower = net.tower(v.flatten(1))
    return tower if name == "deepfm" else torch.cat([torch.zeros(len(v), v[0].numel()), tower], 1)


def test_rendering_is_the_sum_along_the_ray():
    from localdfa.modules.nerf import rendered

    colours, density, steps = torch.rand(3, 6, 3), 2 * torch.rand(3, 6), torch.rand(3, 6)
    expected = np.zeros((3, 3))
    for ray in range(3):
        through = 1.0
        for k in range(6):
            opacity = 1 - math.exp(-float(density[ray, k] * steps[ray, k]))
            expected[ray] += through * opacity * array(colours[ray, k])
            through *= 1 - opacity
        expected[ray] += through
    assert_allclose(array(rendered(colours, density, steps)), expected, rtol=1e-12)


def test_rendering_of_a_constant_density_is_its_closed_form():
    from localdfa.modules.nerf import rendered

    c, sigma, length = torch.tensor([0.2, 0.5, 0.9]), 0.7, 4.0
    for points in (1, 3, 100):
        out = rendered(c.expand(2, points, 3), torch.full((2, points), sigma), torch.full((2, 1), length / points))
        left = math.exp(-sigma * length)
        assert_allclose(array(out)[0], array(c) * (1 - left) + left, rtol=1e-12)


def test_the_length_of_a_direction_scales_distances_and_changes_no_colour():
    """Bins get longer with the direction, and the direction itself is seen without its length."""
    data, sizes, (origins, directions), _ = case("nerf")
    net, seen = module("nerf", data, **sizes).eval(), []
    net.points.register_forward_hook(lambda module, args, out: seen.append(out))
    net(origins, directions)
    net.near, net.far = data.near / 2, data.far / 2
    assert_allclose(array(net(origins, 2 * directions)), given(net, origins, 2 * directions), rtol=1e-12)
    assert_allclose(array(seen[0]), array(seen[1]), rtol=1e-12)


def test_points_are_in_the_middle_of_their_bins_and_in_training_anywhere_in_them():
    data, sizes, _, _ = case("nerf")
    net = module("nerf", data, **sizes)
    at = []
    net.layers[0].register_forward_pre_hook(lambda module, args: at.append(array(args[0])[..., 2]))
    ray = torch.zeros(400, 3), torch.tensor([[0.0, 0.0, 1.0]]).expand(400, 3)
    net(*ray)
    net.eval()(*ray)
    edges = np.linspace(data.near, data.far, sizes["samples"] + 1)
    assert_allclose(at[1][0], (edges[:-1] + edges[1:]) / 2, rtol=1e-12)
    assert (at[0] >= edges[:-1]).all()
    assert (at[0] <= edges[1:]).all()
    assert (np.ptp(at[0], axis=0) > 0.95 * np.diff(edges)).all()


def test_a_later_symbol_changes_nothing_before_it():
    data, sizes, (x,), _ = case("transformer")
    net = module("transformer", data, **sizes)
    other = x.clone()
    other[:, 4] = (x[:, 4] + 1) % 5
    before, after = given(net, x), given(net, other)
    assert_allclose(before[:, :4], after[:, :4], rtol=1e-12, atol=1e-12)
    assert (np.abs(before[:, 4:] - after[:, 4:]).max(-1) > 1e-6).all()
    assert_allclose(given(net, x[:, :3]), before[:, :3], rtol=1e-12, atol=1e-12)


def test_taps_of_a_transformer():
    data, sizes, (x,), loss = case("transformer")
    assert module("transformer", data, **{**sizes, "taps": "macro"}).taps == ("blocks.0.end", "blocks.1.end")
    net = module("transformer", data, **{**sizes, "taps": "macro"})
    learner = learner_of("transformer", net, (x,), "dfa")
    assert {source.by for source in learner.sources.values()} == {"blocks.0.end", "blocks.1.end", "loss"}
    assert learner.B["blocks/0/end"].shape == (8, 8)
    assert learned(net, learner, (x,), loss)


def test_a_resnet_halves_maps_twice_and_has_twenty_layers():
    data, sizes, x, _ = case("resnet20")
    net, shapes = module("resnet20", data, **sizes), []
    for act in net.taps:
        net.get_submodule(act).register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[1:])))
    net(*x)
    assert shapes == 7 * [(2, 8, 8)] + 6 * [(4, 4, 4)] + 6 * [(8, 2, 2)]
    assert sum(isinstance(part, torch.nn.Conv2d | torch.nn.Linear) for part in net.modules()) == 20
