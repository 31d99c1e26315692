"""Rules: in every engine that takes them, updates of the right shapes, finite, the same again, and nothing without an error."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from localdfa import measure, registry
from localdfa.conformance._subjects import SPIKING, of, setting_of
from localdfa.engines import engine
from localdfa.errors import SpecError
from localdfa.network import build, generator

NAMES = of("rules")
M, N_IN, N_OUT = 6, 7, 3
# What decides which engine there is.
MODES = {
    "settled": {"precision": "float64", "network": {"hidden": [6, 5], "weights": "uniform"}},
    "timed": {
        "precision": "float64", "network": {"hidden": [6, 5], "weights": "uniform", "threshold": 1e-3}, "neuron": {"tau": 10.0}
    },
    "spiking": SPIKING,
}  # fmt: skip


def case(name, mode, **tables):
    """The setting, the network and a mini-batch in an engine that the rule serves."""
    model, tables = registry.get("rules", name), {**MODES[mode], **tables}
    if mode == "spiking" and not model.constant:
        tables["input"] = {"code": "poisson"}
    if mode == "spiking" and not model.injects:
        tables["phases"] = {**tables.get("phases", {}), "propagation": "held"}
    setting = setting_of(rule=name, **tables)
    network, rng = build(setting, N_IN, N_OUT, 0), np.random.default_rng(0)
    inputs = np.ones((M, N_IN + 1), setting.precision)
    inputs[:, :-1] = rng.random((M, N_IN))
    return setting, network, inputs, np.eye(N_OUT, dtype=setting.precision)[np.arange(M) % N_OUT]


def follows_error(rule):
    """Whether the rule's own pathway carries the error, and not the target say."""
    return registry.get("feedback", rule.own).follows_error


def taught(name, setting, network, inputs, target):
    return engine(setting, name).learn(network, inputs, target, generator(0, 0), frozenset()).totals()


@pytest.mark.parametrize("name", NAMES)
def test_it_names_pathways_that_there_are(name):
    model = registry.get("rules", name)
    assert registry.describe("rules", name)
    assert model.own in registry.names("feedback")
    assert not model.pathways or model.own in model.pathways
    assert set(model.pathways) <= set(registry.names("feedback"))
    assert isinstance(model.needs_phases, bool)


def served():
    """Each rule with each of its engines."""
    return [(name, mode) for name in NAMES for mode in registry.get("rules", name).engines]


@pytest.mark.parametrize("name", NAMES)
def test_what_it_does_not_serve_is_refused(name):
    model = registry.get("rules", name)
    assert model.engines
    assert set(model.engines) <= set(MODES)
    for mode in MODES:
        if model.needs_phases and mode not in model.engines:
            with pytest.raises(SpecError, match=f"rule: '{name}'"):
                setting_of(rule=name, **MODES[mode])


@pytest.mark.parametrize(("name", "mode"), served())
def test_updates_have_the_shapes_of_the_weights_and_are_the_same_again(name, mode):
    setting, network, inputs, target = case(name, mode)
    before = [w.copy() for w in network.weights]
    first, again = (taught(name, setting, network, inputs, target) for _ in range(2))
    for l, (update, other, w, old) in enumerate(zip(first, again, network.weights, before, strict=True)):
        assert update.shape == w.shape
        assert np.isfinite(update).all()
        assert update.any() == (l == network.n_hidden or getattr(registry.get("rules", name), "teaches_hidden", True))
        assert_array_equal(update, other)
        assert_array_equal(w, old)  # what a mini-batch teaches changes nothing yet


@pytest.mark.parametrize("name", of("rules", lambda model: "settled" in model.engines and follows_error(model)))
def test_what_is_right_already_teaches_nothing(name):
    setting, network, inputs, target = case(name, "settled")
    trial, _ = measure.changes(network, setting, name, inputs, target)
    _, change = measure.changes(network, setting, name, inputs, trial.prediction.copy())
    for layer in change:
        assert_allclose(layer, 0, atol=1e-14)


@pytest.mark.parametrize("name", of("rules", lambda model: "settled" in model.engines))
def test_a_mini_batch_teaches_what_its_samples_teach(name):
    setting, network, inputs, target = case(name, "settled")
    whole = taught(name, setting, network, inputs, target)
    alone = [taught(name, setting, network, inputs[[s]], target[[s]]) for s in range(M)]
    for l, update in enumerate(whole):
        assert_allclose(update, sum(one[l] for one in alone), rtol=1e-9, atol=1e-12)


def depends_on_beta(rule):
    return rule.needs_phases and getattr(rule, "depends_on_beta", True)


@pytest.mark.parametrize(
    ("name", "mode"), [(name, mode) for name, mode in served() if not depends_on_beta(registry.get("rules", name))]
)
def test_one_that_says_so_teaches_the_same_at_every_nudging_strength(name, mode):
    setting, network, inputs, target = case(name, mode)
    stronger = setting.phases.model_copy(update={"beta": 2 * setting.phases.beta})
    updates = (taught(name, s, network, inputs, target) for s in (setting, setting.model_copy(update={"phases": stronger})))
    for update, other in zip(*updates, strict=True):
        assert_allclose(other, update, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", of("rules", lambda model: depends_on_beta(model) and "settled" in model.engines))
def test_smaller_nudges_come_to_a_limit(name):
    found = []
    for beta in (1e-2, 1e-3, 1e-4):
        setting, network, inputs, target = case(name, "settled", phases={"beta": beta})
        found.append(measure.changes(network, setting, name, inputs, target)[1])
    for coarse, fine, finer in zip(*found, strict=True):
        assert np.abs(fine - finer).max() <= 0.2 * np.abs(coarse - finer).max() + 1e-9
        assert np.abs(finer).max() > 1e-6


@pytest.mark.parametrize("name", of("rules", lambda model: model.own == "transpose" and not model.needs_phases))
def test_with_transposed_weights_it_descends_the_gradient(name):
    """A rule of back-propagation: its update is minus the gradient of the loss, by finite differences in every weight."""
    setting, network, inputs, target = case(name, "settled")
    found, step = taught(name, setting, network, inputs, target), 1e-5

    def loss():
        drive = engine(setting, name).read(network, inputs, generator(0, 0))
        return float(network.loss(drive, target).sum())

    for update, w in zip(found, network.weights, strict=True):
        expected = np.empty_like(w)
        for at in np.ndindex(*w.shape):
            own = w[at]
            w[at] = own + step
            above = loss()
            w[at] = own - step
            expected[at] = (above - loss()) / (2 * step)
            w[at] = own
        assert_allclose(update, -expected, rtol=1e-5, atol=1e-8)
