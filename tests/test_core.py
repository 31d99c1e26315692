"""The kernels: products, elementary functions, weight updates, threads, and the same code without the compiler."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import naive
import numba
import numpy as np
import pytest
from conftest import Small, setting_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localdfa import measure, registry
from localdfa.core import kernels, settled
from localdfa.core.plasticity import Plasticity
from localdfa.errors import NonFiniteError
from localdfa.network import build, in_precision, rewired
from localdfa.neurons._elementary import logistic, tanh

MODELS = sorted(naive.F)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    m=st.sampled_from([1, 2, 3, 4, 31, 33, 70, 513]), k=st.sampled_from([1, 2, 5, 60, 96, 97, 210]),
    n=st.sampled_from([1, 2, 10, 77, 513, 1100]),
    transposed=st.booleans(), double=st.booleans(), alpha=st.sampled_from([1.0, -1.0, 0.5]), seed=st.integers(0, 999),
)  # fmt: skip
def test_product_equals_numpy(m, k, n, transposed, double, alpha, seed):
    rng, dtype = np.random.default_rng(seed), np.float64 if double else np.float32
    a = (rng.normal(size=(m, k)) * (40 / k if k > 70 else 1)).astype(dtype)  # rounding grows with the number of terms
    a[rng.random((m, k)) < 0.4] = 0
    b = rng.normal(size=(n, k) if transposed else (k, n)).astype(dtype)
    c = np.full((m, n), np.nan, dtype)
    kernels.product(alpha, a, b, transposed, c)
    expected = alpha * (a.astype(float) @ (b.T if transposed else b).astype(float))
    np.testing.assert_allclose(c, expected, atol=1e-12 if double else 2e-5)


@pytest.mark.parametrize(("ours", "exact"), [(tanh, np.tanh), (logistic, naive.F["logistic"])])
def test_float32_functions_are_within_a_few_units_in_the_last_place(ours, exact):
    v = np.concatenate([np.linspace(-20, 20, 20001), np.geomspace(1e-30, 80, 2000), [0.0, -0.0]]).astype(np.float32)
    kernel = numba.vectorize(lambda x: ours(x))
    found, expected = kernel(v), exact(v.astype(float))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=8e-7, atol=2e-7 if ours is logistic else 0)
    assert np.isnan(kernel(np.array([np.nan], np.float32)))[0]
    np.testing.assert_allclose(kernel(v.astype(float)), expected, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("name", MODELS)
def test_rate_neurons_equal_their_formulas(name):
    model = registry.get("neurons", name)
    v = np.linspace(-6, 6, 4001)
    np.testing.assert_allclose([model.f(model(), x) for x in v], naive.F[name](v), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", registry.inside("optimisers"))
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_optimisers_equal_their_formulas_with_silent_rows(name, weight_decay, rng):
    """Five updates with presynaptic neurons silent now and then, one of no sample; rows at rest are made up for exactly."""
    small = Small(rng, hidden=(5,), n_in=6, n_out=3, m=4)
    model = registry.get("optimisers", name)
    optimiser = model(**dict.fromkeys(["learning_rate"], 0.03))
    plasticity = Plasticity(small.network, optimiser, weight_decay)
    reference = naive.Optimiser(name, **optimiser._asdict())
    expected = [w.copy() for w in small.network.weights]
    for m in (4, 1, 0, 3, 9):
        sent = [rng.normal(size=(m, n + 1)) for n in (6, 5)]
        for s in sent:
            s[:, rng.random(s.shape[1]) < 0.4] = 0
        change = [rng.normal(size=(m, n)) for n in (5, 3)]
        gradients = [-(s.T @ c) for s, c in zip(sent, change, strict=True)]
        for g, w in zip(gradients, expected, strict=True):
            g[:-1] += weight_decay * w[:-1]
        reference.step(expected, gradients)
        plasticity.learn(sent, change)
        total = [s.T @ c for s, c in zip(sent, change, strict=True)]
        for w, e in zip(small.network.weights, expected, strict=True):
            np.testing.assert_allclose(w, e, rtol=1e-10, atol=1e-13)
    assert plasticity.steps == [5, 5]
    plasticity.learn([], [], total=total)
    reference.step(
        expected, [-t + weight_decay * np.vstack([w[:-1], 0 * w[-1:]]) for t, w in zip(total, expected, strict=True)]
    )
    for w, e in zip(small.network.weights, expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["rmsprop", "adam", "momentum"])
def test_a_projection_that_was_frozen_goes_on_as_if_no_time_had_passed(name, rng):
    small = Small(rng, hidden=(5,), n_in=6, n_out=3, m=4)
    trial, change = measure.changes(small.network, small.setting, "dfa", small.inputs, small.target)
    moves = []
    start = [w.copy() for w in small.network.weights]
    for pause in (0, 50):
        for w, old in zip(small.network.weights, start, strict=True):
            w[...] = old
        plasticity = Plasticity(small.network, registry.get("optimisers", name)(0.01))
        plasticity.learn(trial.sent, change)
        for _ in range(pause):
            plasticity.learn(trial.sent, change, frozenset({0}))
        before = small.network.weights[0].copy()
        plasticity.learn(trial.sent, change)
        moves.append(small.network.weights[0] - before)
    np.testing.assert_array_equal(moves[0], moves[1])


def test_operands_of_different_precision_or_order_are_refused():
    a, b, c = np.ones((6, 4)), np.ones((4, 3)), np.empty((6, 3))
    kernels.product(1.0, a, b, False, c)
    with pytest.raises(numba.core.errors.TypingError, match="one dtype"):
        kernels.product(1.0, a, b.astype(np.float32), False, c)
    with pytest.raises((ValueError, numba.core.errors.TypingError)):
        kernels.product(1.0, np.asfortranarray(a), b, False, c)


def test_alignment_compares_with_what_the_matrix_stands_in_for(rng):
    """Also where the layer above is as wide as the output, so that shapes cannot tell."""
    small = Small(rng, hidden=(8, 3), n_out=3, rule="dfa")
    W, B = small.W, small.network.feedback
    expected = [measure.cosine(B[0], (W[2] @ W[1]).T), measure.cosine(B[1], W[2].T)]
    np.testing.assert_allclose(measure.alignment(small.network), expected)
    sequential = rewired(small.network, small.setting, "fa", 1)
    expected = [measure.cosine(sequential.feedback[0], W[1].T), measure.cosine(sequential.feedback[1], W[2].T)]
    np.testing.assert_allclose(measure.alignment(sequential), expected)


def test_what_is_measured_in_single_precision_is_what_double_precision_finds(rng):
    """Cosines are summed in float64: a rounded sum would hide the thousandths of a degree that the local rule is away."""
    small = Small(rng, hidden=(40, 30), n_in=50, n_out=10, m=200)
    exact = measure.probe(small.network, small.setting, "local", 0, small.inputs, small.target)
    single = setting_of(network={"weights": "uniform", "hidden": [40, 30]}, precision="float32")
    inputs, target = (x.astype(np.float32) for x in (small.inputs, small.target))
    found = measure.probe(in_precision(small.network, np.float32), single, "local", 0, inputs, target)
    assert found.keys() == exact.keys()
    for name, values in exact.items():
        far = {"angle_to_dfa": 3e-3, "theorem_beta": 3e-3, "relative_error_to_dfa": 3e-5}.get(name, 0)
        np.testing.assert_allclose(found[name], values, rtol=3e-5, atol=far, err_msg=name)


@pytest.mark.parametrize("rule", ["local", "bp", "fa"])
@pytest.mark.parametrize("scale", [0.3, 6.0])
def test_of_a_hundred_layers_nothing_that_is_measured_vanishes_or_overflows(rng, rule, scale):
    """In single precision, where the product of a hundred matrices is nothing, or more than there are numbers for."""
    small = Small(rng, hidden=(8,) * 100, scale=scale, rule=rule)
    exact = measure.probe(small.network, small.setting, rule, 0, small.inputs, small.target)
    inputs, target = (x.astype(np.float32) for x in (small.inputs, small.target))
    single = small.setting.model_copy(update={"precision": "float32"})
    found = measure.probe(in_precision(small.network, np.float32), single, rule, 0, inputs, target)
    np.testing.assert_allclose(found["alignment"], exact["alignment"], rtol=0, atol=1e-4)
    for name in ("theorem_k", "theorem_beta", "angle_dfa_to_bp", *(["angle_to_bp"] if rule == "local" else [])):
        assert np.isfinite(found[name]).all(), name
        if scale < 1:  # else activity is chaotic, and another one in each precision
            np.testing.assert_allclose(found[name], exact[name], rtol=0, atol=0.5, err_msg=name)
    if scale < 1:
        np.testing.assert_allclose(found["theorem_l"], exact["theorem_l"], rtol=1e-2)


def test_frozen_layers_keep_their_weights(rng):
    small = Small(rng)
    before = [w.copy() for w in small.network.weights]
    trial, change = measure.changes(small.network, small.setting, "dfa", small.inputs, small.target)
    Plasticity(small.network, registry.get("optimisers", "sgd")(0.1)).learn(trial.sent, change, frozenset({1, 3}))
    for l, (w, old) in enumerate(zip(small.network.weights, before, strict=True)):
        assert np.array_equal(w, old) == (l in (1, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m", [1, 64])
def test_any_number_of_threads_gives_the_same_bits(dtype, m):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this machine lends one thread")
    results = []
    for threads in (1, 2):  # ends with all of them, as it began
        numba.set_num_threads(threads)
        rng = np.random.default_rng(0)
        small = Small(rng, hidden=(150, 130), n_in=90, n_out=10, m=m, precision=dtype)
        inputs = small.inputs.astype(dtype)
        optimiser = registry.get("optimisers", "rmsprop")
        plasticity = Plasticity(small.network, optimiser(*map(np.dtype(dtype).type, optimiser())))
        for _ in range(3):
            trial, change = measure.changes(small.network, small.setting, "local", inputs, small.target.astype(dtype))
            plasticity.learn(trial.sent, change)
        results.append([w.copy() for w in small.network.weights])
    for one, two in zip(*results, strict=True):
        assert one.tobytes() == two.tobytes()


_WITHOUT_JIT = """
import json, sys
sys.path[:0] = [sys.argv[1]]
import numpy as np
from conftest import Small
from test_core import MODELS
from localdfa import measure, registry
from localdfa.core.plasticity import Plasticity
found = []
for neuron in MODELS:
    for propagation in ("held", "two_compartment", "live"):
        small = Small(np.random.default_rng(5), hidden=(4, 3), n_in=5, n_out=3, m=5, network={"neuron": neuron},
                      phases={"propagation": propagation})
        learn = Plasticity(small.network, registry.get("optimisers", "rmsprop")(0.01))
        for rule in ("local", "dfa"):
            trial, change = measure.changes(small.network, small.setting, rule, small.inputs, small.target)
            learn.learn(trial.sent, change)
        found.append([w.ravel().tolist() for w in small.network.weights])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_without_the_compiler_the_same_comes_out():
    def outcome(disabled):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_JIT, str(Path(__file__).parent)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    for compiled, plain in zip(outcome("0"), outcome("1"), strict=True):
        for a, b in zip(compiled, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_an_activity_that_is_not_finite_is_refused_with_its_layer_and_row(rng):
    small = Small(rng)
    small.inputs[2, 3] = np.nan
    with pytest.raises(NonFiniteError, match="hidden layer 1") as caught:
        settled.free_phase(small.network, small.inputs)
    assert caught.value.row == 2
    small.inputs[2, 3] = 1
    small.network.weights[-1][0, 1] = np.inf
    with pytest.raises(NonFiniteError, match="output layer"):
        settled.free_phase(small.network, small.inputs)


def test_initial_weights_and_feedback_follow_the_paper():
    setting = setting_of(rule="bp", network={"hidden": [400, 300]})
    network = build(setting, 100, 10, seed=1)
    for l, fan_in in enumerate((100, 400, 300)):
        assert np.abs(network.W(l)).max() == pytest.approx(1 / math.sqrt(fan_in), rel=0.01)
        assert network.W(l).std() == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.05)
    assert not any(w.any() for w in build(setting_of(rule="dfa", network={"hidden": [400, 300]}), 100, 10, 1).weights)
    for fan_out, widths in (("receiver", (400, 300)), ("sender", (10, 10))):
        for distribution in ("uniform", "normal"):
            feedback = {"fan_out": fan_out, "distribution": distribution, "gain": 2.0}
            network = build(setting_of(rule="dfa", network={"hidden": [400, 300]}, feedback=feedback), 100, 10, 1)
            for matrix, width, n in zip(network.feedback, widths, (400, 300), strict=True):
                assert matrix.shape == (n, 10)
                assert matrix.std() == pytest.approx(2 / math.sqrt(3 * width), rel=0.07)
    shared = build(setting_of(rule="dfa", network={"hidden": [50, 50]}, feedback={"shared": True}), 9, 10, 1)
    np.testing.assert_array_equal(shared.feedback[0], shared.feedback[1])


def test_conditions_of_one_seed_share_weights_and_feedback():
    networks = [
        build(setting_of(rule=rule, network={"weights": "uniform", "hidden": [20, 20]}), 9, 4, 3)
        for rule in ("local", "dfa", "bp", "fa")
    ]
    for other in networks[1:]:
        for a, b in zip(networks[0].weights, other.weights, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(networks[0].feedback[0], networks[1].feedback[0])
    different = build(setting_of(network={"weights": "uniform", "hidden": [20, 20]}), 9, 4, 4)
    assert not np.array_equal(networks[0].weights[0], different.weights[0])
