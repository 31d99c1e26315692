"""What would let a module learn by something else than its rule is refused; what is promised of odd modules holds."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import localdfa
from localdfa.errors import LocalDFAError, SpecError
from localdfa.spec import experiment
from localdfa.torch import feedback

F = nn.functional
X = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 3, (10,), generator=torch.Generator().manual_seed(1))


def mlp() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3))


def loss_of(out: Tensor) -> Tensor:
    return F.cross_entropy(out, Y)


@pytest.mark.parametrize("rule", ["dfa", "local", "shallow"])
@pytest.mark.parametrize("summed", [False, True])
def test_no_pass_in_evaluation_mode_is_back_propagated(rule: str, summed: bool) -> None:
    model = mlp()
    learner = feedback(model, X, ["1", "3"], rule)
    first = loss_of(model(X))
    model.eval()
    loss = loss_of(model(X)) + (first if summed else 0)
    model.train()
    with pytest.raises(LocalDFAError, match="the loss depends on a forward pass in evaluation mode"):
        learner.backward(loss)
    assert all(parameter.grad is None for parameter in model[:4].parameters())


def test_gradients_in_evaluation_mode_are_those_of_the_module() -> None:
    """As maps of what an input matters, also with a learner whose step waits."""
    model, plain = mlp(), mlp()
    feedback(model, X, ["1", "3"])
    model(X)
    x, same = X.clone().requires_grad_(), X.clone().requires_grad_()
    loss_of(model.eval()(x)).backward()
    loss_of(plain(same)).backward()
    assert x.grad is not None
    assert same.grad is not None
    assert torch.equal(x.grad, same.grad)


def test_shallow_learns_nothing_after_its_taps_are_gone() -> None:
    model = mlp()
    learner = feedback(model, X, ["1"], "shallow")
    loss = loss_of(model(X))
    learner.remove()
    with pytest.raises(LocalDFAError, match="the taps have been taken out"):
        learner.backward(loss)
    direct = feedback(model, X, ["1"])
    direct.remove()
    with pytest.raises(LocalDFAError, match="the taps have been taken out"):
        direct.alignment(F.cross_entropy, X, Y)


def test_what_is_unfrozen_later_is_named() -> None:
    model = mlp()
    model[0].requires_grad_(False)
    learner = feedback(model, X, ["3"], "local")
    model[0].requires_grad_(True)
    loss = loss_of(model(X))
    with pytest.raises(LocalDFAError, match=r"'0.weight' learns now, and did not .* allowed: `remove\(\)`"):
        learner.backward(loss)
    assert model[4].weight.grad is None


class Gate(nn.Module):
    """A non-linearity that hides in a product, a quotient or a mask."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("fixed", torch.tensor([1.0, 0.0, 2.0, 1.0, 1.0, 0.5, 1.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "mask":
            return x * (x > 0)
        if self.kind == "gate":
            return x * x.detach().sigmoid()
        if self.kind == "norm":
            return x / x.detach().norm(dim=1, keepdim=True)
        if self.kind == "in place":
            return x.clone().mul_(x > 0)
        if self.kind == "put":
            return x.clone().index_put((x < 0,), torch.tensor(0.0))
        return x * self.fixed / 2.0


@pytest.mark.parametrize("kind", ["mask", "gate", "norm", "in place", "put"])
def test_a_hidden_non_linearity_is_not_local(kind: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8), Gate(kind), nn.Tanh(), nn.Linear(8, 3))
    with pytest.raises(SpecError, match=r"between '0.weight' and tap '2' lie <(Mul|Div|IndexPut)>, through which no local"):
        feedback(model, X, ["2"], "local")
    assert feedback(model, X, ["2"], "local", inside="bp").sources["0.weight"].by == "2"


def test_a_constant_factor_is_local() -> None:
    feedback(nn.Sequential(nn.Linear(6, 8), Gate("constant"), nn.Tanh(), nn.Linear(8, 3)), X, ["2"], "local")


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.below, self.tap, self.head, self.other = nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.tap(self.below(x))
        return self.head(h), self.other(h)


def test_a_loss_of_another_head_is_refused_and_a_head_that_stands_idle_is_not() -> None:
    torch.manual_seed(0)
    model = Two()
    learner = feedback(model, X, ["tap"], output="head")
    one, other = model(X)
    with pytest.raises(LocalDFAError, match="depends on taps past 'head', whose error alone is sent"):
        learner.backward(loss_of(one) + loss_of(other))
    learner.backward(loss_of(model(X)[0]))


class Encoded(nn.Module):
    """What it is given goes to a tap and past it."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.tap, self.head = nn.Linear(6, 8), nn.Tanh(), nn.Linear(14, 3)

    def forward(self, x: Tensor) -> Tensor:
        e = x.sin()
        return self.head(torch.cat([self.tap(self.below(e)), e], 1))


def test_inputs_get_gradients_from_the_loss_and_from_taps() -> None:
    torch.manual_seed(0)
    model = Encoded().double()
    learner = feedback(model, X.double(), ["tap"])
    x = X.double().requires_grad_()
    learner.backward(loss_of(model(x)))
    h = torch.tanh(model.below(X.double().sin()))
    out = model.head(torch.cat([h, X.double().sin()], 1))
    error = (out.softmax(1) - F.one_hot(Y, 3)) / len(Y)
    below = (error @ learner.B["tap"].mT * (1 - h**2)) @ model.below.weight + error @ model.head.weight[:, 8:]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, below * X.double().cos(), rtol=1e-12, atol=1e-15)


def test_buffers_of_all_kinds_are_left_as_they_are() -> None:
    model = mlp()
    model.register_buffer("expanded", torch.ones(1).expand(5))
    model.register_buffer("none", None)
    learner = feedback(model, X, ["1"])
    learner.alignment(F.cross_entropy, X, Y)
    assert model.none is None
    assert model.expanded.shape == (5,)


def test_a_layer_that_is_yet_to_be_made_is_made_by_the_example() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Tanh(), nn.LazyLinear(3))
    learner = feedback(model, X, ["2"])
    learner.backward(loss_of(model(X)))
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_hook_that_changes_a_tap_is_refused_under_local_and_one_that_looks_is_not() -> None:
    model, seen = mlp(), []
    model[1].register_forward_hook(lambda module, args, out: seen.append(out.shape))
    feedback(model, X, ["1", "3"], "local").remove()
    assert seen
    model[1].register_forward_hook(lambda module, args, out: 5 * out)
    with pytest.raises(SpecError, match="a hook changes what '1' takes in or gives"):
        feedback(model, X, ["1", "3"], "local")


def test_a_module_is_pickled_once_its_taps_are_gone() -> None:
    model = mlp()
    learner = feedback(model, X, ["1", "3"], "local")
    expected = learner.state_dict()["B.1"].clone()
    learner.remove()
    torch.testing.assert_close(pickle.loads(pickle.dumps(model))(X), model(X))
    assert torch.equal(learner.state_dict()["B.1"], expected)


def test_under_drtp_a_wrong_target_adds_to_no_gradient() -> None:
    model = mlp()
    learner = feedback(model, X, ["1", "3"], "drtp")
    for target, message in ((None, "sends it in place of the error"), (Y.tolist(), "a tensor of class indices")):
        with pytest.raises(LocalDFAError, match=message):
            learner.backward(loss_of(model(X)), target, factor=0.1)  # type: ignore[arg-type]
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("loss", "message"),
    [(0.5, "loss: 0.5; allowed: a tensor of one number"), ("each", r"loss: a tensor of shape \(10,\); allowed")],
)
def test_a_loss_is_one_number(loss: Any, message: str) -> None:
    model = mlp()
    learner = feedback(model, X, ["1", "3"])
    with pytest.raises(LocalDFAError, match=message):
        learner.backward(F.cross_entropy(model(X), Y, reduction="none") if loss == "each" else loss)


@pytest.mark.parametrize("factor", ["0.1", float("nan"), 0, True])
def test_a_factor_is_a_number_above_0(factor: Any) -> None:
    model = mlp()
    learner = feedback(model, X, ["1", "3"], pathway="sign_error")
    with pytest.raises(LocalDFAError, match=r"factor: .*; allowed: a number above 0"):
        learner.backward(loss_of(model(X)), factor=factor)


@pytest.mark.parametrize(
    ("spread", "found"), [(lambda e: None, "None"), (lambda e: e + 1, "another thing than 0")], ids=["nothing", "shifted"]
)
def test_a_spread_is_linear(spread: Any, found: str) -> None:
    with pytest.raises(SpecError, match=f"spread: gives {found} of an error of 0; allowed: a linear function"):
        feedback(mlp(), X, ["1"], spread=spread)


def test_what_is_no_module_and_what_autograd_does_not_follow_is_said() -> None:
    with pytest.raises(SpecError, match=r"model: 'm'; allowed: a torch.nn.Module"):
        feedback("m", X, ["1"])  # type: ignore[arg-type]
    learner = feedback(mlp(), X, ["1"])
    with torch.inference_mode():
        for call in (lambda: feedback(mlp(), X, ["1"]), lambda: learner.alignment(F.cross_entropy, X, Y)):
            with pytest.raises(LocalDFAError, match=r"autograd follows nothing in torch.inference_mode\(\)"):
                call()
    frozen = mlp()
    learner = feedback(frozen, X, ["1"])
    frozen[0].requires_grad_(False)
    with pytest.raises(LocalDFAError, match="alignment: all that lies below the taps is frozen"):
        learner.alignment(F.cross_entropy, X, Y)


@pytest.mark.parametrize(("name", "data"), [("gcn", "cora"), ("nerf", "spheres"), ("transformer", "tiny-shakespeare")])
def test_targets_are_sent_only_where_the_output_has_them(name: str, data: str) -> None:
    for tables, key in (({"rule": "drtp"}, "rule"), ({"rule": "dfa", "feedback": {"pathway": "drtp"}}, r"feedback\.pathway")):
        with pytest.raises(SpecError, match=f"{key}: 'drtp' sends the target, but module.name = '{name}'"):
            experiment(data=data, module={"name": name}, **tables)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"a": {"seed": 7}}, "condition 'a': seed: belongs to no condition; allowed: in `seeds` of the Log"),
        ({"a": {"output": "2"}}, r"condition 'a': output: .* allowed: in training\.feedback"),
        ({"a": {"taps": "2"}}, r"condition 'a': taps: .* allowed: in training\.feedback"),
        ({"a": "dfa"}, "conditions: .*; allowed: a dict of dicts"),
        (["a"], "conditions: .*; allowed: a dict of dicts"),
    ],
)
def test_conditions_of_a_log_have_what_is_theirs(conditions: Any, message: str, tmp_path: Any) -> None:
    with pytest.raises(SpecError, match=message):
        localdfa.Log(tmp_path / "log", conditions)


def test_feedback_of_ones_own_is_taken_whole_or_refused(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    spec = {"network": {"hidden": [6, 5]}, "rule": "dfa", "stage": [{"epochs": 1}], "batch_size": 16}
    data = rng.normal(size=(64, 4)), np.arange(64) % 3
    weights = localdfa.run(spec, tmp_path / "first", data=data).jobs[0].weights
    lacking = {name: array for name, array in weights.items() if name != "B1"}
    with pytest.raises(SpecError, match="weights: B1 is missing"):
        localdfa.run(spec, tmp_path / "second", data=data, weights=lacking)
    for strange in ("w1", "bias", "b9", "B3"):
        with pytest.raises(SpecError, match=f"weights: '{strange}' is nothing that this network takes over; allowed: W1, b1"):
            localdfa.run(spec, tmp_path / "third", data=data, weights={**weights, strange: np.zeros(3)})
    tensors = {name: torch.from_numpy(array).requires_grad_() for name, array in weights.items()}
    found = localdfa.run(spec, tmp_path / "fourth", data=data, weights=tensors).jobs[0].weights
    np.testing.assert_array_equal(found["B2"], weights["B2"])


def test_alignment_refuses_what_backward_refuses() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.one, self.mid, self.two, self.head = (
                nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)
            )  # fmt: skip
            self.skips = self.aside = False

        def forward(self, x: Any) -> Any:
            h = self.one(self.below(x))
            if not self.skips:
                above = self.two(self.mid(h))
                h = h + 0 * above.detach() if self.aside else above
            return self.head(h)

    model = mlp()
    learner = feedback(model, X, ["1"])
    for criterion, said in (
        (lambda out, y: F.cross_entropy(out, y, reduction="none"), "loss: a tensor of shape"),
        (lambda out, y: F.cross_entropy(out.detach(), y), "the loss has no gradient: the output was detached"),
        (lambda out, y: 1.0, "loss: 1.0; allowed: a tensor of one number"),
    ):
        with pytest.raises(LocalDFAError, match=said):
            learner.alignment(criterion, X, Y)  # type: ignore[arg-type]
    with pytest.raises(LocalDFAError, match="factor: pathway 'direct' does not read it; allowed: with drtp and sign_error"):
        learner.alignment(F.cross_entropy, X, Y, factor=1.0)
    signs = feedback(mlp(), X, ["1"], pathway="sign_error")
    with pytest.raises(LocalDFAError, match="factor: 'a'; allowed: a number above 0"):
        signs.alignment(F.cross_entropy, X, Y, factor="a")  # type: ignore[arg-type]
    once, twice = (signs.alignment(F.cross_entropy, X, Y, **own)["1"] for own in ({}, {"factor": 2.0}))  # type: ignore[arg-type]
    assert twice.signal_norm == pytest.approx(2 * once.signal_norm)

    skipping = Skipping()
    learner = feedback(skipping, X, ["one", "two"])
    skipping.skips = True
    with pytest.raises(LocalDFAError, match="tap 'two' was not reached"):
        learner.alignment(F.cross_entropy, X, Y)
    skipping.skips, skipping.aside = False, True  # its signal is none of the loss's gradient, which is zero there
    aligned = learner.alignment(F.cross_entropy, X, Y)
    assert list(aligned) == ["one", "two"]
    assert np.isnan(aligned["two"].cosine)
    assert aligned["two"].gradient_norm == 0
    assert np.isfinite(aligned["one"].cosine)


def test_dropout_before_a_non_linearity_is_linear() -> None:
    for dropout in (nn.Dropout(0.5), nn.AlphaDropout(0.5)):
        model = nn.Sequential(nn.Linear(X.shape[1], 8), dropout, nn.Tanh(), nn.Linear(8, 3))
        learner = feedback(model, X, ["2"], rule="local")
        assert learner.taught_by["0.weight"] == "tap '2'"
        assert dropout.training


def test_a_division_that_rounds_is_no_linear_one() -> None:
    class Steps(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.div(x, 0.1, rounding_mode="floor")

    model = nn.Sequential(nn.Linear(X.shape[1], 8), Steps(), nn.Tanh(), nn.Linear(8, 3))
    with pytest.raises(SpecError, match=r"between '0\.weight' and tap '2' lie <Div>"):
        feedback(model, X, ["2"], rule="local")


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
def test_targets_of_drtp_may_be_whole_numbers_of_any_type(kind: Any) -> None:
    found = []
    for target in (Y, Y.to(kind)):
        torch.manual_seed(0)
        model = mlp()
        learner = feedback(model, X, ["1"], rule="drtp")
        learner.backward(F.cross_entropy(model(X), Y), target, 1 / len(X))
        found.append(model[0].weight.grad)
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_arrays_are_of_types_that_numpy_has() -> None:
    class WithState(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"steps": 3}

    model = nn.Sequential(nn.Linear(X.shape[1], 8), nn.Tanh(), WithState(8, 3)).to(torch.bfloat16)
    arrays = feedback(model, X.to(torch.bfloat16), ["1"]).arrays()
    assert arrays.keys() == {"0.weight", "0.bias", "2.weight", "2.bias", "B:1"}
    assert all(array.dtype == np.float32 for array in arrays.values())
    np.testing.assert_array_equal(arrays["0.weight"], model[0].weight.detach().float().numpy())
