"""Every rule of the settled mode against the slow NumPy version, and against what the mathematics promises."""

import naive
import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_train import tiny

from localdfa import measure, registry, train
from localdfa.core.rate import settled
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.update import Update
from localdfa.engines import settled_rule
from localdfa.errors import SpecError
from localdfa.network import build, rewired

NEURONS = sorted(naive.F)


def changes_of(small, rule=None):
    trial, change = measure.changes(small.network, small.setting, rule or small.rule, small.inputs, small.target)
    return trial, change


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    n_out=st.integers(2, 6),
    m=st.integers(1, 9),
    neuron=st.sampled_from(NEURONS),
    output=st.sampled_from(["logistic", "softmax", "linear"]),
    rule=st.sampled_from(["bp", "fa", "dfa", "ifa"]),
)
def test_exact_rules_equal_the_paper_equations(seed, hidden, n_out, m, neuron, output, rule):
    rng = np.random.default_rng(seed)
    small = Small(rng, hidden, n_out=n_out, m=m, rule=rule, network={"neuron": neuron, "output": output})
    trial, change = changes_of(small)
    for s in range(m):
        a, h, prediction = naive.forward(neuron, output, small.W, small.b, small.inputs[s, :-1])
        np.testing.assert_allclose(trial.prediction[s], prediction, rtol=1e-12, atol=1e-14)
        expected = naive.deltas(rule, neuron, small.W, small.network.feedback, a, prediction - small.target[s])
        for l in range(len(hidden) + 1):
            np.testing.assert_allclose(change[l][s], -expected[l], rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(trial.sent[l][s, :-1], h[l], rtol=1e-12, atol=1e-14)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    m=st.integers(1, 6),
    neuron=st.sampled_from(NEURONS),
    output=st.sampled_from(["logistic", "softmax", "linear"]),
    propagation=st.sampled_from(["held", "two_compartment", "live"]),
    nudging=st.sampled_from(["one_sided", "centered"]),
    teacher=st.sampled_from(["activity", "drive"]),
    beta=st.sampled_from([1.0, 0.3, 0.05]),
)
def test_local_rule_equals_its_definition(seed, hidden, m, neuron, output, propagation, nudging, teacher, beta):
    rng = np.random.default_rng(seed)
    phases = {"beta": beta, "nudging": nudging, "propagation": propagation, "teacher": teacher}
    small = Small(rng, hidden, m=m, network={"neuron": neuron, "output": output}, phases=phases)
    _, change = changes_of(small)
    for s in range(m):
        expected, _ = naive.local(
            neuron, output, small.W, small.network.feedback, small.inputs[s, :-1], small.target[s], small.b, **phases
        )
        for l in range(len(hidden) + 1):
            np.testing.assert_allclose(change[l][s], expected[l], rtol=1e-9, atol=1e-12)


def relative_errors(small, beta, nudging, reference="dfa", **phases):
    """Per hidden layer |ΔW_local − ΔW_reference| / |ΔW_reference|, and the cosines."""
    setting = small.setting.model_copy(
        update={"phases": small.setting.phases.model_copy(update={"beta": beta, "nudging": nudging, **phases})}
    )
    own = measure.gradients(*measure.changes(small.network, setting, "local", small.inputs, small.target))
    exact = measure.gradients(*measure.changes(small.network, setting, reference, small.inputs, small.target))
    compared = measure.compare(own, exact)
    return np.array(compared["relative_error"]), np.array(compared["cosine"])


@pytest.fixture(scope="module")
def certified():
    """Three hidden layers of tanh neurons and a mini-batch, float64."""
    return Small(np.random.default_rng(7), hidden=(60, 50, 40), n_in=30, n_out=10, m=64, scale=1.0)


@pytest.mark.parametrize(("nudging", "slope"), [("one_sided", 1), ("centered", 2)])
@pytest.mark.parametrize("propagation", ["held", "two_compartment"])
def test_error_against_dfa_falls_with_the_order_of_the_nudging(certified, nudging, slope, propagation):
    betas = np.array([0.1, 0.05, 0.02, 0.01])
    errors = np.array([relative_errors(certified, b, nudging, propagation=propagation)[0] for b in betas])
    # With two compartments the presynaptic term of the layers above is O(β) too, and has the same order.
    for layer in range(3):
        assert np.polyfit(np.log(betas), np.log(errors[:, layer]), 1)[0] == pytest.approx(slope, abs=0.05)


def test_centered_nudging_is_dfa(certified):
    errors, cosines = relative_errors(certified, 1e-3, "centered")
    assert (cosines > 0.999999).all()
    assert (errors < 1e-6).all()


def test_live_is_dfa_plus_ifa_and_not_dfa(certified):
    """Δh_l/β → −f'∘(B_l e + W_l δ_{l−1}), layer by layer (DESIGN: live propagation)."""
    setting = certified.setting.model_copy(
        update={"phases": certified.setting.phases.model_copy(update={"beta": 1e-3, "propagation": "live"})}
    )
    _, change = measure.changes(certified.network, setting, "local", certified.inputs, certified.target)
    for s in range(len(certified.inputs)):
        a, _, prediction = naive.forward("tanh", "logistic", certified.W, certified.b, certified.inputs[s, :-1])
        e, below = prediction - certified.target[s], None
        for l in range(3):
            climbing = 0 if below is None else certified.W[l] @ below
            below = naive.DF["tanh"](a[l]) * (certified.network.feedback[l] @ e + climbing)
            assert np.linalg.norm(change[l][s] + below) < 1e-3 * np.linalg.norm(below)
    errors, cosines = relative_errors(certified, 1e-3, "centered", propagation="live")
    assert errors[0] < 1e-6  # nothing climbs into the first layer
    assert (errors[1:] > 0.2).all()
    assert (cosines[1:] < 0.99).all()


def test_live_with_feedback_to_the_first_layer_is_ifa():
    small = Small(
        np.random.default_rng(7), (60, 50, 40), n_in=30, n_out=10, m=64, scale=1.0,
        rule="local", feedback={"pathway": "indirect"}, phases={"propagation": "live", "beta": 1e-3},
    )  # fmt: skip
    errors, _ = relative_errors(small, 1e-3, "centered", reference="ifa")
    assert (errors < 1e-3).all()


@pytest.mark.parametrize(("pathway", "exact"), [("sequential", "fa"), ("transpose", "bp"), ("sign_error", "dfa")])
def test_local_rule_follows_the_other_pathways(pathway, exact):
    small = Small(np.random.default_rng(3), rule="local", feedback={"pathway": pathway})
    errors, _ = relative_errors(small, 1e-3, "centered", reference=exact)
    assert (errors < 1e-5).all()


@pytest.mark.parametrize("nudging", ["centered", "one_sided"])
def test_a_nudge_moves_relu_from_zero_where_exact_dfa_has_no_slope(rng, nudging):
    """Where a = 0 only the nudge of one sign changes max(a, 0): by −β c, of which centered nudging takes half."""
    small = Small(rng, m=4, rule="local", network={"neuron": "relu"}, phases={"nudging": nudging, "beta": 0.1})
    for w in small.network.weights:
        w[...] = 0
    trial, local = changes_of(small)
    assert not any(change.any() for change in changes_of(small, "dfa")[1][:-1])
    for l in range(small.n):
        nudge = -(trial.prediction - small.target) @ small.network.B(l).T
        expected = nudge / 2 if nudging == "centered" else np.maximum(nudge, 0)
        np.testing.assert_allclose(local[l], expected, rtol=1e-12)


def test_teacher_on_activity_is_exact_at_any_beta_and_on_drive_is_squared_error(certified):
    for beta in (1e-3, 0.5, 1.0):
        for teacher in ("activity", "drive"):
            phases = certified.setting.phases.model_copy(update={"beta": beta, "teacher": teacher})
            setting = certified.setting.model_copy(update={"phases": phases})
            trial, change = measure.changes(certified.network, setting, "local", certified.inputs, certified.target)
            e, y = trial.prediction - certified.target, trial.prediction
            expected = -e if teacher == "activity" else -y * (1 - y) * e
            tolerance = 1e-15 if teacher == "activity" else 0.3 * beta**2
            np.testing.assert_allclose(change[-1], expected, atol=tolerance)


def test_membrane_derivative_is_not_dfa(certified):
    """Reading da/dt in place of dh/dt drops f': a wrong rule that the comparison must tell from DFA."""
    trial, change = measure.changes(certified.network, certified.setting, "dfa", certified.inputs, certified.target)
    error = trial.prediction - certified.target
    membrane = [-(error @ b.T) for b in certified.network.feedback] + [change[-1]]
    wrong = measure.compare(measure.gradients(trial, membrane), measure.gradients(trial, change))
    assert max(wrong["cosine"]) < 0.999
    assert min(wrong["relative_error"]) > 0.05


def poisoned(array, keep):
    """A copy that is NaN everywhere but in the entries kept."""
    copy = np.full_like(array, np.nan)
    copy[keep] = array[keep]
    return copy


def test_a_synapse_reads_nothing_but_its_own_neurons_and_weight(rng):
    """Every entry but the synapse's own pre, post, weight and optimiser memory is NaN: the update is unchanged."""
    small = Small(rng, hidden=(9, 6), m=5)
    model = settled_rule(small.network, small.setting, "local")
    trial, change = changes_of(small)
    signal = (trial.prediction - small.target) @ small.network.feedback[1].T
    optimiser = registry.get("optimisers", "rmsprop")()
    for pre, post in [(0, 0), (4, 3), (9, 5)]:  # the last is a bias
        weights = small.network.weights
        whole, alone = Plasticity(weights, optimiser), Plasticity(weights, optimiser)
        before = weights[1].copy()
        whole.learn(weights, settled.update(trial, change), frozenset({0, 2}))
        expected = weights[1][pre, post]
        assert expected != before[pre, post]

        # The post neuron's change from its own drive, activity and feedback current alone.
        own = np.s_[:, post]
        trial.drive[1], trial.activity[1] = poisoned(trial.drive[1], own), poisoned(trial.activity[1], own)
        local = np.empty_like(change[1])
        model.hidden(1, trial, None, poisoned(signal, own), local)
        np.testing.assert_array_equal(local[own], change[1][own])

        # The synapse's update from its own pre and post alone.
        weights[1][...] = poisoned(before, (pre, post))
        sent = [trial.sent[0], poisoned(trial.sent[1], np.s_[:, pre]), trial.sent[2]]
        alone.state[1][...] = np.nan
        alone.state[1][pre, :, post] = 0
        poisoned_change = [change[0], poisoned(change[1], own), change[2]]
        alone.learn(weights, Update(sent=sent, change=poisoned_change, total=[None] * 3, events=0), frozenset({0, 2}))
        assert weights[1][pre, post] == expected
        weights[1][...] = before
        trial, change = changes_of(small)


G = {
    "one": np.ones_like, "step": naive.DF["relu"], "tanh": naive.DF["tanh"], "triangle": lambda a: np.maximum(0, 1 - abs(a)),
    "cos": np.cos,
}  # fmt: skip


@pytest.mark.parametrize("neuron", ["tanh", "relu"])
@pytest.mark.parametrize("g", G)
def test_augmented_multiplies_the_signal_with_the_function_that_is_chosen(g, neuron, rng):
    """Nakajima et al. 2022: (B e) ∘ g(a), whatever the neurons are; with the neuron's own slope it is exact DFA."""
    small = Small(rng, m=4, scale=2.0, rule="augmented", rules={"augmented": {"g": g}}, network={"neuron": neuron})
    trial, change = changes_of(small)
    error = trial.prediction - small.target
    for l in range(small.n):
        expected = -(error @ small.network.feedback[l].T) * G[g](trial.drive[l])
        np.testing.assert_allclose(change[l], expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(change[-1], -error)
    dfa = changes_of(small, "dfa")[1]
    assert all(np.array_equal(a, b) for a, b in zip(change, dfa, strict=True)) == (
        (g, neuron) in [("tanh", "tanh"), ("step", "relu")]
    )


def test_under_frozen_the_output_learns_exactly_and_nothing_else(rng):
    small = Small(rng, m=4, rule="frozen")
    trial, change = changes_of(small)
    np.testing.assert_array_equal(change[-1], small.target - trial.prediction)
    assert not any(layer.any() for layer in change[:-1])


def test_frozen_weights_are_random_and_stay_whatever_the_optimiser_does(tmp_path):
    """Weight decay would shrink them, and a layer that learns by another rule moves; spiking neurons by their f–I curve."""
    tables = {"rule": "frozen", "optimiser": {"learning_rate": 0.02, "weight_decay": 1e-3}, "stage": [{"epochs": 2}]}
    conditions = [
        {"name": "frozen"}, {"name": "top", "stage": [{"epochs": 2, "layer_rules": {"2": "dfa"}}]},
        {"name": "spiking", "network": {"neuron": "lif"}},
    ]  # fmt: skip
    run = train.run(tiny(**tables, condition=conditions, record={"probe": 16}), tmp_path / "run")
    for job, moves in zip(run.jobs, ((3,), (2, 3), (3,)), strict=True):
        network = build(run.settings[job.condition], (1, 8, 8), 10, job.seed)
        for l in range(3):
            assert network.W(l).any()
            assert np.array_equal(job.weights[f"W{l + 1}"], network.W(l)) == (l + 1 not in moves)
    assert run.jobs[0].metrics[-1]["train_error"] < run.jobs[0].metrics[0]["train_error"] - 20


def test_no_rule_but_the_exact_ones_can_reach_the_slope(monkeypatch, certified):
    """The local rule works without f': with every slope NaN its update is the same."""
    neuron = type(certified.network.neuron)
    _, expected = changes_of(certified)
    without = type("WithoutSlope", (neuron,), {"__slots__": (), "df": None})
    monkeypatch.setattr(certified.network, "neuron", without(*certified.network.neuron))
    _, change = changes_of(certified)
    for a, b in zip(change, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dfa_signals_differ_between_pathways(rng):
    """A guard against a pathway that silently stands in for another."""
    small = Small(rng, rule="dfa")
    found = {}
    for rule in ("dfa", "fa", "ifa", "bp"):
        network = rewired(small.network, small.setting, rule, 1)
        _, change = measure.changes(network, small.setting, rule, small.inputs, small.target)
        found[rule] = change[1]
    for first in found:
        for second in found:
            assert (first == second) == np.allclose(found[first], found[second])


def test_a_step_teaches_nothing_at_zero_drive_and_begins_from_random_weights():
    step = {"rule": "augmented", "rules": {"augmented": {"g": "step"}}}
    assert setting_of(**step).initial_weights == "uniform"
    assert setting_of(rule="augmented").initial_weights == "zero"
    with pytest.raises(
        SpecError, match=r"network.weights: 'zero' cannot learn with rule = 'augmented' and rules.augmented = .*step"
    ):
        setting_of(**step, network={"weights": "zero"})


def test_keys_of_matrices_through_which_nothing_is_sent_are_refused():
    with pytest.raises(SpecError, match=r"feedback.density: 0.1 is read only where a matrix B is drawn"):
        setting_of(rule="frozen", feedback={"density": 0.1})
