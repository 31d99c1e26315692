"""Convolutions with max-pooling: every rule against PyTorch, the order in β, threads, and training with them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from conftest import setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa import measure, registry, spec, train
from localdfa.core.rate import convolution, settled
from localdfa.core.rate.plasticity import Plasticity
from localdfa.engines import settled_rule
from localdfa.errors import NonFiniteError, SpecError
from localdfa.network import build, rewired

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
F = {"tanh": torch.tanh, "relu": torch.relu, "logistic": torch.sigmoid}
HERE = Path(__file__).parent
RULES = ["bp", "fa", "dfa", "ifa"]


class Images:
    """A network with convolutions, everything random, and a mini-batch of images."""

    def __init__(self, rng, hidden, shape=(2, 7, 6), n_out=4, m=3, **tables):
        tables = {"precision": "float64", **tables}
        tables["network"] = {"weights": "uniform", **tables.get("network", {}), "hidden": hidden}
        self.setting = setting_of(**tables)
        self.network = build(self.setting, shape, n_out, seed=int(rng.integers(1 << 30)))
        dtype = self.network.dtype
        for w in self.network.weights:
            w[...] = rng.normal(0, 1 / np.sqrt(w.shape[0]), w.shape)
        self.inputs = np.ones((m, self.network.sizes[0] + 1), dtype)
        self.inputs[:, :-1] = rng.normal(size=(m, self.network.sizes[0]))
        self.target = np.eye(n_out, dtype=dtype)[rng.integers(0, n_out, m)]

    def changes(self, rule=None, setting=None):
        return measure.changes(self.network, setting or self.setting, rule or self.setting.rule, self.inputs, self.target)

    def sums(self, rule=None, setting=None):
        return measure.gradients(*self.changes(rule, setting))


class Torch:
    """The same network in PyTorch; a projection is a function of weights and activity, linear at given winners."""

    def __init__(self, images, masks=None, weights=None):
        self.network, self.f = images.network, F[images.setting.network.neuron]
        self.weights = weights or [torch.tensor(w, requires_grad=True) for w in images.network.weights]
        self.x = torch.tensor(images.inputs[:, :-1])
        self.h, self.a, self.winner = [self.x], [], []
        for l, (weights, geometry) in enumerate(zip(self.weights, self.network.geometry, strict=True)):
            drive = self.linear(l, weights[:-1], self.h[-1]) + self.bias(l)
            if geometry is None:
                self.winner.append(None)
            else:
                drive, winner = torch.nn.functional.max_pool2d(drive, geometry.pool, geometry.stride, return_indices=True)
                self.winner.append(winner)
            self.a.append(drive.flatten(1))
            mask = 1 if masks is None or l == len(masks) else torch.tensor(masks[l])
            self.h.append(self.f(self.a[-1]) * mask)
        self.h.pop()
        self.target = torch.tensor(images.target)
        self.e = (torch.sigmoid(self.a[-1]) - self.target).detach()

    def linear(self, l, matrix, h):
        """The convolution's map (m, channels, rows, columns), or the drives (m, n_post), without biases."""
        geometry = self.network.geometry[l]
        if geometry is None:
            return h @ matrix
        image = h.reshape(-1, geometry.inputs, geometry.height, geometry.width)
        if geometry.shared:
            kernel = matrix.T.reshape(geometry.channels, geometry.inputs, geometry.kernel, geometry.kernel)
            return torch.nn.functional.conv2d(image, kernel, padding=geometry.padding)
        patches = torch.nn.functional.unfold(image, geometry.kernel, padding=geometry.padding)
        own = matrix.reshape(len(matrix), -1, geometry.channels)
        return torch.einsum("mkp,kpc->mcp", patches, own).reshape(len(h), geometry.channels, *geometry.maps)

    def bias(self, l):
        geometry, bias = self.network.geometry[l], self.weights[l][-1]
        if geometry is None:
            return bias
        if geometry.shared:
            return bias[:, None, None]
        return bias.reshape(-1, geometry.channels).T.reshape(geometry.channels, *geometry.maps)

    def through(self, l, matrix, h):
        """matrix · h at the winners of the forward pass, (m, n_post)."""
        found = self.linear(l, matrix, h)
        if self.winner[l] is None:
            return found
        return found.flatten(2).gather(2, self.winner[l].flatten(2)).flatten(1)

    def back(self, l, matrix, delta):
        h = self.h[l].detach().requires_grad_()
        return torch.autograd.grad(self.through(l, matrix, h), h, delta)[0]

    def slope(self, l):
        a = self.a[l].detach().requires_grad_()
        return torch.autograd.grad(self.f(a).sum(), a)[0]

    def deltas(self, rule, feedback):
        """δa_l of every layer (Nøkland 2016, eqs. 6–10)."""
        n = len(self.a) - 1
        B = [None if b is None else torch.tensor(b) for b in feedback]
        delta = [None] * n + [self.e]
        for l in range(n) if rule in ("dfa", "ifa") else reversed(range(n)):
            if rule == "dfa" or (rule == "ifa" and l == 0):
                signal = self.e @ B[l].T
            elif rule == "ifa":
                signal = self.through(l, self.weights[l][:-1].detach(), delta[l - 1])
            elif rule == "fa" and l == n - 1:
                signal = self.e @ B[l].T
            else:
                signal = self.back(l + 1, B[l] if rule == "fa" else self.weights[l + 1][:-1].detach(), delta[l + 1])
            delta[l] = signal * self.slope(l)
        return delta

    def gradients(self, delta):
        """δ to the synapses of each layer, its input held."""
        found = []
        for l, weights in enumerate(self.weights):
            h = self.h[l].detach()
            drive = self.through(l, weights[:-1], h)
            bias = self.bias(l).expand(self.linear(l, weights[:-1].detach(), h).shape)
            if self.winner[l] is not None:
                bias = bias.flatten(2).gather(2, self.winner[l].flatten(2)).flatten(1)
            found.append(torch.autograd.grad(drive + bias, weights, delta[l])[0].numpy())
        return found

    def loss(self):
        return torch.nn.functional.binary_cross_entropy_with_logits(self.a[-1], self.target, reduction="sum")


@st.composite
def networks(draw):
    """Layers that fit on each other, and the shape of the images."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(2, 8), st.integers(2, 8)))
    hidden, size = [], shape[1:]
    for _ in range(draw(st.integers(1, 3))):
        padding = draw(st.integers(0, 2))
        kernel = draw(st.integers(1, min(4, min(size) + 2 * padding)))
        size = tuple(n + 2 * padding - kernel + 1 for n in size)
        pool = draw(st.integers(1, min(3, *size)))
        stride = draw(st.integers(1, 3))
        size = tuple((n - pool) // stride + 1 for n in size)
        layer = {"channels": draw(st.integers(1, 4)), "kernel": kernel, "padding": padding, "pool": pool, "stride": stride}
        hidden.append({**layer, "shared": draw(st.booleans())})
    return hidden + draw(st.lists(st.integers(1, 6), max_size=1)), shape


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    drawn=networks(), seed=st.integers(0, 10**6), m=st.integers(1, 5), neuron=st.sampled_from(sorted(F)),
    rule=st.sampled_from(RULES),
)  # fmt: skip
def test_exact_rules_equal_pytorch(drawn, seed, m, neuron, rule):
    hidden, shape = drawn
    images = Images(np.random.default_rng(seed), hidden, shape, m=m, rule=rule, network={"neuron": neuron})
    trial, change = images.changes()
    theirs = Torch(images)
    for l, drive in enumerate(theirs.a):
        np.testing.assert_allclose(trial.drive[l], drive.detach().numpy(), rtol=1e-11, atol=1e-13)
        if theirs.winner[l] is not None:
            np.testing.assert_array_equal(trial.route[l].winner, theirs.winner[l].flatten(1).numpy())
    delta = theirs.deltas(rule, images.network.feedback)
    for moved, expected in zip(change, delta, strict=True):
        np.testing.assert_allclose(-moved, expected.numpy(), rtol=1e-10, atol=1e-13)
    expected = theirs.gradients(delta)
    if rule == "bp":
        theirs.loss().backward()
        for weights, through in zip(theirs.weights, expected, strict=True):
            np.testing.assert_allclose(weights.grad.numpy(), through, rtol=1e-10, atol=1e-12)
    for total, gradient in zip(measure.gradients(trial, change), expected, strict=True):
        np.testing.assert_allclose(-total, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.variant
@hypothesis_settings(max_examples=40, deadline=None)
@given(
    drawn=networks(), seed=st.integers(0, 10**6), neuron=st.sampled_from(sorted(F)),
    propagation=st.sampled_from(["held", "two_compartment", "live"]), nudging=st.sampled_from(["one_sided", "centered"]),
    beta=st.sampled_from([1.0, 0.1]),
)  # fmt: skip
def test_local_rule_equals_its_definition(drawn, seed, neuron, propagation, nudging, beta):
    hidden, shape = drawn
    phases = {"propagation": propagation, "nudging": nudging, "beta": beta}
    images = Images(np.random.default_rng(seed), hidden, shape, network={"neuron": neuron}, phases=phases)
    theirs, signs = Torch(images), (1, -1) if nudging == "centered" else (1,)
    total = [0.0] * len(hidden)
    for sign in signs:
        moved = None
        for l in range(len(hidden)):
            climbing = 0.0 if moved is None or propagation == "held" else theirs.through(l, theirs.weights[l][:-1], moved)
            drive = theirs.a[l] + climbing
            nudged = theirs.f(drive - sign * beta * theirs.e @ torch.tensor(images.network.feedback[l]).T)
            moved = nudged - theirs.f(theirs.a[l])
            read = nudged - theirs.f(drive) if propagation == "two_compartment" else moved
            total[l] += sign * read.detach().numpy() / beta / len(signs)
    for found, expected in zip(images.changes()[1][:-1], total, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


DEEP = [
    {"channels": 6, "kernel": 3, "padding": 1, "pool": 3, "stride": 2},
    {"channels": 5, "kernel": 3, "padding": 1, "pool": 2, "shared": False},
    20,
]


@pytest.fixture(scope="module")
def deep():
    """A shared and a locally connected convolution and a dense layer on images of 3 x 12 x 12."""
    return Images(np.random.default_rng(7), DEEP, (3, 12, 12), n_out=10, m=24)


def compared(images, beta, nudging, reference="dfa", **phases):
    update = {"beta": beta, "nudging": nudging, **phases}
    setting = images.setting.model_copy(update={"phases": images.setting.phases.model_copy(update=update)})
    found = measure.compare(images.sums("local", setting), images.sums(reference, setting))
    return np.array(found["relative_error"]), np.array(found["cosine"])


@pytest.mark.parametrize(("nudging", "slope"), [("one_sided", 1), ("centered", 2)])
@pytest.mark.parametrize("propagation", ["held", "two_compartment"])
def test_error_against_dfa_falls_with_the_order_of_the_nudging(deep, nudging, slope, propagation):
    betas = np.array([0.1, 0.05, 0.02, 0.01])
    errors = np.array([compared(deep, b, nudging, propagation=propagation)[0] for b in betas])
    for layer in range(3):
        assert np.polyfit(np.log(betas), np.log(errors[:, layer]), 1)[0] == pytest.approx(slope, abs=0.05)
    assert (compared(deep, 1e-3, "centered", propagation=propagation)[1] > 0.999999).all()


def test_live_is_dfa_in_the_first_layer_alone(deep):
    errors, _ = compared(deep, 1e-3, "centered", propagation="live")
    assert errors[0] < 1e-6
    assert (errors[1:] > 0.1).all()


@pytest.mark.parametrize(
    ("pathway", "exact", "propagation"),
    [("indirect", "ifa", "live"), ("sequential", "fa", "held"), ("transpose", "bp", "held")],
)
def test_local_rule_follows_the_other_pathways(pathway, exact, propagation):
    images = Images(
        np.random.default_rng(7), DEEP, (3, 12, 12), feedback={"pathway": pathway}, phases={"propagation": propagation}
    )
    errors, _ = compared(images, 1e-3, "centered", reference=exact)
    assert (errors < (1e-3 if propagation == "live" else 1e-5)).all()


def test_kernels_of_their_own_that_are_all_alike_do_what_a_shared_one_does(rng):
    """And what each learns is the share of its position: the shares add up to what the shared kernel learns."""
    layer = {"channels": 4, "kernel": 3, "padding": 1, "pool": 2}
    shared = Images(rng, [layer, layer], rule="bp")
    own = Images(rng, [{**layer, "shared": False}] * 2, rule="bp")
    own.inputs, own.target = shared.inputs, shared.target
    for w, one in zip(own.network.weights, shared.network.weights, strict=True):
        w[...] = np.tile(one, w.shape[1] // one.shape[1])
    (trial, change), (one_trial, one_change) = own.changes(), shared.changes()
    for found, expected in zip((*trial.drive, *change), (*one_trial.drive, *one_change), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)
    for found, expected in zip(own.sums()[:2], shared.sums()[:2], strict=True):
        np.testing.assert_allclose(found.reshape(len(found), -1, 4).sum(axis=1), expected, rtol=1e-10, atol=1e-13)


def test_a_synapse_of_one_position_reads_nothing_but_its_own_neurons(rng):
    """Every activity but its presynaptic neuron's and every change but those of the neurons it drove are NaN."""
    images = Images(rng, [{"channels": 3, "kernel": 3, "padding": 1, "pool": 2, "shared": False}], m=5)
    trial, change = images.changes()
    route = trial.route[0]
    whole = convolution.total(route, trial.sent[0], change[0])
    rows, columns = route.geometry.maps
    channel = np.repeat(np.arange(3), route.geometry.n_post // 3)
    found = 0
    for position in range(rows * columns):
        for c in range(3):
            drove = (route.winner == position) & (channel == c)
            y, x = divmod(position, columns)  # the kernel's middle: the input at the same place, of its last channel
            pre = np.full_like(trial.sent[0], np.nan)
            pre[:, rows * columns + position] = trial.sent[0][:, rows * columns + position]
            alone = convolution.total(route, pre, np.where(drove, change[0], np.nan))
            synapse = 9 + 4, position * 3 + c
            if drove.any() and 0 < y < rows - 1 and 0 < x < columns - 1:
                assert alone[synapse] == whole[synapse] != 0
                found += 1
            elif not drove.any():
                assert whole[synapse] == 0
    assert found > 20


def test_dropout_leaves_pooled_neurons_out(rng):
    images = Images(rng, [{"channels": 3, "kernel": 3, "padding": 1, "pool": 2}, 6], rule="bp", m=5)
    masks = [(rng.random((5, n)) < 0.6) / 0.6 for n in images.network.sizes[1:-1]]
    theirs = Torch(images, masks)
    theirs.loss().backward()
    trial = settled.free_phase(images.network, images.inputs, 0.0, masks)
    model = settled_rule(images.network, images.setting, "bp")
    change, _ = settled.post_changes(images.network, model, trial, trial.prediction - images.target, images.target)
    for total, weights in zip(measure.gradients(trial, change), theirs.weights, strict=True):
        np.testing.assert_allclose(-total, weights.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.variant
def test_training_steps_equal_those_of_pytorch(rng):
    images = Images(rng, DEEP, (1, 8, 8), rule="bp", m=6)
    plasticity = Plasticity(images.network.weights, registry.get("optimisers", "rmsprop")(learning_rate=0.01))
    weights = Torch(images).weights
    frozen = weights[1].clone()
    optimiser = torch.optim.RMSprop([weights[0], *weights[2:]], 0.01, alpha=0.99, eps=1e-8)
    for _ in range(4):
        trial, change = images.changes()
        update = settled.update(trial, change, frozen=frozenset({1}))
        assert [total is None for total in update.total] == [False, True, True, True]
        plasticity.learn(images.network.weights, update, frozenset({1}))
        optimiser.zero_grad()
        Torch(images, weights=weights).loss().backward()
        optimiser.step()
    for ours, theirs in zip(images.network.weights, [weights[0], frozen, *weights[2:]], strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-8, atol=1e-10)


def test_any_number_of_threads_gives_the_same_bits():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this machine lends one thread")
    results = []
    for threads in (1, 2):  # ends with all of them, as it began
        numba.set_num_threads(threads)
        found = []
        for rule, feedback in (("local", {"pathway": "transpose"}), ("fa", {})):
            images = Images(
                np.random.default_rng(3), DEEP, (3, 15, 15), m=70, rule=rule, feedback=feedback
            )  # fmt: skip
            found += images.sums()
        results.append(found)
    for one, two in zip(*results, strict=True):
        assert one.tobytes() == two.tobytes()
        assert np.isfinite(one).all()


_WITHOUT_JIT = """
import json, sys
sys.path[:0] = sys.argv[1:]
import numpy as np
from test_convolution import Images
found = []
for shared in (True, False):
    layer = {"channels": 2, "kernel": 3, "padding": 1, "pool": 2, "shared": shared}
    for rule in ("local", "fa", "ifa"):
        found += [total.tolist() for total in Images(np.random.default_rng(5), [layer, layer, 3], (1, 6, 5), rule=rule).sums()]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_without_the_compiler_the_same_comes_out():
    found = []
    for disabled in "01":
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_JIT, str(HERE), str(HERE.parents[1])],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(json.loads(done.stdout))
    for compiled, plain in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-12, atol=1e-14)


def test_a_trial_without_samples_teaches_nothing(rng):
    for rule in ("local", "bp", "ifa"):
        images = Images(rng, DEEP, (1, 8, 8), rule=rule)
        trial, _ = images.changes()
        none = trial.keep(np.empty(0, np.int64))
        model = settled_rule(images.network, images.setting, rule)
        change, events = settled.post_changes(images.network, model, none, np.empty((0, 4)), np.empty((0, 4)))
        assert events == 0
        for total, weights in zip(measure.gradients(none, change), images.network.weights, strict=True):
            assert total.shape == weights.shape
            assert not total.any()


def test_the_first_of_equals_wins_and_what_is_not_finite_is_named(rng):
    images = Images(rng, [{"channels": 2, "kernel": 3, "padding": 1, "pool": 3, "stride": 2}], (1, 7, 7))
    images.inputs[0, :-1] = 0
    trial, _ = images.changes("dfa")
    first = [y * 7 + x for y in (0, 2, 4) for x in (0, 2, 4)]
    np.testing.assert_array_equal(trial.route[0].winner[0], first * 2)
    images.inputs[2, 30] = np.nan
    with pytest.raises(NonFiniteError, match="hidden layer 1") as caught:
        images.changes("dfa")
    assert caught.value.row == 2


def test_events_are_those_of_pooled_neurons(rng):
    images = Images(rng, [{"channels": 3, "kernel": 3, "padding": 1, "pool": 2}], (1, 6, 6), m=4)
    trial, change = images.changes("local")
    assert trial.drive[0].shape == trial.activity[0].shape == change[0].shape == (4, 27)
    assert trial.events == 4 * (36 + 27)


def test_initial_weights_and_feedback_follow_the_fans():
    hidden = [{"channels": 40, "pool": 2}, {"channels": 30, "kernel": 3, "padding": 1, "shared": False}, 20]
    for rule, weights in (("fa", "uniform"), ("dfa", "auto")):
        setting = setting_of(rule=rule, network={"hidden": hidden, "weights": weights})
        network = build(setting, (3, 12, 10), 10, 1)
        assert network.sizes == (360, 1200, 900, 20, 10)
        assert [w.shape for w in network.weights] == [(76, 40), (361, 900), (901, 20), (21, 10)]
        assert network.W(0).shape == (40, 75)
        if rule == "dfa":
            assert not any(w.any() for w in network.weights)
            assert [b.shape for b in network.feedback] == [(1200, 10), (900, 10), (20, 10)]
            assert np.abs(network.feedback[0]).max() == pytest.approx(1 / np.sqrt(1200), rel=0.01)
            continue
        for w, fan_in in zip(network.weights, (75, 360, 900, 20), strict=True):
            assert np.abs(w).max() == pytest.approx(1 / np.sqrt(fan_in), rel=0.03)
        assert [b.shape for b in network.feedback] == [(360, 900), (900, 20), (20, 10)]
        assert np.abs(network.feedback[0]).max() == pytest.approx(1 / np.sqrt(360), rel=0.01)
    sender = setting_of(rule="fa", network={"hidden": hidden, "weights": "uniform"}, feedback={"fan_out": "sender"})
    assert np.abs(build(sender, (3, 12, 10), 10, 1).feedback[0]).max() == pytest.approx(1 / np.sqrt(30 * 9), rel=0.01)


def test_alignment_is_undefined_under_pooling(rng):
    images = Images(rng, DEEP, (1, 8, 8), rule="dfa")
    found = measure.alignment(images.network)
    assert np.isnan(found[0])
    assert np.isfinite(found[1:]).all()
    above = images.network.weights
    expected = measure.cosine(images.network.feedback[1], above[2][:-1] @ above[3][:-1])
    assert found[1] == pytest.approx(expected)
    sequential = rewired(images.network, images.setting, "fa", 1)
    assert measure.alignment(sequential)[0] == pytest.approx(measure.cosine(sequential.feedback[0], above[1][:-1]))


@pytest.mark.parametrize(
    ("hidden", "shape", "words"),
    [
        ([{"channels": 2, "kernel": 13}], (1, 8, 9), ["network.hidden[0].kernel: 13", "12 x 13"]),
        ([{"channels": 2, "pool": 8}, {"channels": 2, "pool": 2}], (1, 8, 8), ["network.hidden[1].pool: 2", "1 x 1"]),
        ([{"channels": 2}], 64, ["network.hidden[0]", "(channels, height, width)", "(64,)"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_on_the_data_is_said(hidden, shape, words):
    with pytest.raises(SpecError) as caught:
        build(setting_of(network={"hidden": hidden}), shape, 10, 0)
    assert all(word in str(caught.value) for word in words), caught.value


def test_layers_take_as_much_of_one_matrix_as_they_have_neurons():
    hidden = [{"channels": 2, "pool": 2}, 32]
    setting = setting_of(network={"hidden": hidden}, feedback={"shared": True, "fan_out": "none"})
    for side, n_first in ((8, 32), (10, 50)):
        network = build(setting, (1, side, side), 10, 0)
        first, second = network.feedback
        assert (first.shape, second.shape) == ((n_first, 10), (32, 10))
        np.testing.assert_array_equal(first[:32], second)


class Interrupted(train.Progress):
    """Ctrl-C after so many mini-batches."""

    def __init__(self, batches):
        self.left = batches

    def advance(self, samples):
        self.left -= samples > 0
        if not self.left:
            raise KeyboardInterrupt


def test_a_run_with_convolutions_learns_and_resumes_to_the_same_bits(tmp_path):
    experiment = spec.experiment(
        data="digits", seeds=[0], optimiser={"learning_rate": 1e-2}, stage=[{"epochs": 6}],
        network={"hidden": [{"channels": 4, "kernel": 3, "padding": 1, "pool": 2}, 30], "dropout": 0.1},
        record={"probe": 32}, condition=[{"name": "local"}, {"name": "dfa", "rule": "dfa"}],
    )  # fmt: skip
    whole = train.run(experiment, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train.run(experiment, tmp_path / "cut", progress=Interrupted(40))
    cut = train.resume(tmp_path / "cut")
    for job, again in zip(whole.jobs, cut.jobs, strict=True):
        last = job.metrics[-1]
        assert last["test_error"] < 15
        assert last["cosine_to_dfa"][0] > 0.9999
        assert last["alignment"][0] is not None
        assert {k: w.shape for k, w in job.weights.items() if k[0] == "W"} == {"W1": (4, 9), "W2": (30, 64), "W3": (10, 30)}
        for key, weights in job.weights.items():
            assert weights.tobytes() == again.weights[key].tobytes()


def test_a_layer_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(SpecError, match=r"network\.hidden\[0\]\.kernel"):
        train.run(spec.experiment(network={"hidden": [{"channels": 4, "kernel": 20}]}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
