"""Modules: outputs of the right shape, the same again, taps that there are, and a step that moves what learns."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from localdfa import registry
from localdfa.conformance import _kinds
from localdfa.conformance._subjects import of, refused
from localdfa.data.kinds import Fields, Graph, Links, Text, Views
from localdfa.errors import SpecError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
pytest.importorskip("torch_geometric", reason="PyTorch Geometric is not installed: pip install 'localdfa[graphs]'")

from localdfa.torch import feedback  # noqa: E402

NAMES = of("modules")


def inputs_of(data, net):
    """What the module is called with, and the shape that it is to give."""
    if isinstance(data, Graph):
        return (torch.tensor(data.features),), (len(data.features), len(data.classes))
    if isinstance(data, Links):
        return (torch.tensor(data.features), torch.tensor(data.pairs_test)), (data.pairs_test.shape[1],)
    if isinstance(data, Fields):
        return (torch.tensor(data.x_train),), (len(data.x_train),)
    if isinstance(data, Views):
        return (torch.zeros(4, 3), torch.eye(3)[[0, 1, 2, 2]]), (4, 3)
    if isinstance(data, Text):
        length = min(net.context, 16)
        return (torch.tensor(data.train[: 2 * length]).view(2, length),), (2, length, len(data.symbols))
    x = torch.tensor(data.x_train, dtype=torch.float32)
    return (x.reshape(-1, *data.shape),), (len(x), data.n_classes)


def cases(name):
    """The module with its defaults, for each of the small data that it takes, with inputs and the shape of its output."""
    model, refusals = registry.get("modules", name), []
    for data in _kinds.of(model.reads):
        torch.manual_seed(0)
        try:
            net = model(model.Parameters(), data)
        except SpecError as error:
            refusals.append(str(error))
            continue
        yield net, *inputs_of(data, net)
    assert len(refusals) < len(_kinds.of(model.reads)), refusals


@pytest.mark.parametrize("name", NAMES)
def test_outputs_have_the_shape_of_their_kind_and_are_the_same_again(name):
    for (net, inputs, shape), (again, _, _) in zip(cases(name), cases(name), strict=True):
        with torch.no_grad():
            torch.manual_seed(1)
            out = net(*inputs)
            torch.manual_seed(1)
            assert torch.equal(out, again(*inputs))
            evaluated = net.eval()(*inputs)
        assert out.shape == evaluated.shape == shape
        assert out.isfinite().all()
        if net.reads is Views:
            assert ((out >= 0) & (out <= 1)).all()


@pytest.mark.parametrize("rule", ["bp", "dfa", "shallow"])
@pytest.mark.parametrize("name", NAMES)
def test_it_takes_signals_at_its_taps(name, rule):
    for net, inputs, _ in cases(name):
        if not net.taps and rule != "bp":
            continue
        learner = feedback(net, inputs, net.taps, rule, output=net.output, several=getattr(net, "several", None))
        learner.backward(net(*inputs).square().sum())
        taught = {parameter for parameter, each in net.named_parameters() if each.grad is not None}
        every = {parameter for parameter, _ in net.named_parameters()}
        assert taught and (taught < every if rule == "shallow" else taught == every)  # noqa: PT018
        assert all(each.grad is None or each.grad.isfinite().all() for each in net.parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(registry.get("modules", name), "spread")])
def test_spreading_is_linear_and_keeps_the_shape(name):
    for net, inputs, _ in cases(name):
        a, b = (torch.randn(len(inputs[0]), 3) for _ in range(2))
        torch.testing.assert_close(net.spread(2 * a + b), 2 * net.spread(a) + net.spread(b), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_bounds_and_a_description(name):
    model = registry.get("modules", name).Parameters
    assert not {"name", "inside", "device"} & {*model._fields}, "the table `module` has this key of itself"
    for key, default in model._field_defaults.items():
        annotation = model.__annotations__[key]
        TypeAdapter(annotation).validate_python(default)
        if isinstance(default, str | bool):
            continue
        assert any(getattr(part, "description", None) for part in getattr(annotation, "__metadata__", ())), key
        for beyond in (np.inf, -np.inf, np.nan):
            with pytest.raises(ValidationError):
                TypeAdapter(annotation).validate_python(beyond)
    assert not refused(model())
