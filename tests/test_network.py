"""Initial weights and feedback matrices."""

import math

import numpy as np
import pytest
from conftest import setting_of

from localdfa.errors import SpecError
from localdfa.network import build


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


def feedback_of(rule="dfa", hidden=(30, 50, 40), seed=1, n_in=9, n_out=10, **feedback):
    network = {"hidden": list(hidden)}
    return build(setting_of(rule=rule, precision="float64", network=network, feedback=feedback), n_in, n_out, seed).feedback


@pytest.mark.parametrize(
    ("fan_out", "widths"),
    [("receiver", (30, 50, 40)), ("sender", (10,) * 3), ("both", (300, 500, 400)), ("widest", (50,) * 3), ("none", (1,) * 3)],
)
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_one_matrix_is_sliced_for_layers_of_all_widths(fan_out, widths, distribution):
    """Launay et al. 2019: N(0, 1), maybe over √(width · classes); 2020: U[−1, 1) over √(widest layer)."""
    shared, own = (feedback_of(fan_out=fan_out, distribution=distribution, shared=s, gain=2.0) for s in (True, False))
    whole = shared[1] * math.sqrt(widths[1]) / 2
    for matrix, single, n, width in zip(shared, own, (30, 50, 40), widths, strict=True):
        assert matrix.shape == single.shape == (n, 10)
        np.testing.assert_allclose(matrix * math.sqrt(width) / 2, whole[:n], rtol=1e-12)
        assert single.std() == pytest.approx(2 / math.sqrt(3 * width), rel=0.1)
    assert whole.std() == pytest.approx(1 / math.sqrt(3), rel=0.1)
    assert distribution == "normal" or 0.98 < np.abs(whole).max() <= 1
    np.testing.assert_array_equal(shared[0], feedback_of(fan_out=fan_out, distribution=distribution, gain=2.0)[0])


CONVOLUTION = {"channels": 6, "kernel": 3, "padding": 1}


@pytest.mark.parametrize("density", [0.02, 0.1, 0.25, 0.5, 0.99])
@pytest.mark.parametrize(
    ("rule", "more"),
    [("dfa", {}), ("dfa", {"shared": True}), ("fa", {}), ("fa", {"hidden": (CONVOLUTION, 20), "n_in": (2, 5, 5)})],
)
def test_a_sparse_matrix_has_the_number_of_entries_that_its_density_says(rule, more, density):
    """Kept are entries of the dense matrix of the same seed, larger by 1/√density; where it is sparser, some of them."""
    more = {"hidden": (200, 120), **more}
    found = [feedback_of(rule, density=d, **more) for d in (density, 1.0, 1.01 * density)]
    for sparse, dense, denser in zip(*found, strict=True):
        count, kept = np.count_nonzero(sparse), sparse != 0
        whole = (200, 10) if "shared" in more else dense.shape
        in_rows = density * whole[1]
        assert count == round(density * dense.size) or "shared" in more
        assert set(kept.sum(axis=1)) <= {math.floor(in_rows), math.ceil(in_rows)}
        exact = round(density * math.prod(whole)) / math.prod(whole)
        np.testing.assert_allclose(sparse[kept] * math.sqrt(exact), dense[kept], rtol=1e-12)
        assert (denser[kept] != 0).all()
        assert (sparse**2).mean() == pytest.approx((dense**2).mean(), rel=0.6 if density < 0.1 else 0.3)
    again = feedback_of(rule, density=density, seed=2, **more)[0]
    assert not np.array_equal(again != 0, found[0][0] != 0)


def test_a_matrix_without_any_entry_is_refused():
    with pytest.raises(
        SpecError, match=r"feedback.density: 0.01 leaves none of the 6 entries .*allowed here: at least 0.166667"
    ):
        feedback_of(hidden=(3,), n_out=2, density=0.01)


@pytest.mark.parametrize("n_out", [2, 7, 10])
@pytest.mark.parametrize("more", [{}, {"density": 0.3}, {"shared": True, "distribution": "normal"}])
def test_all_that_an_output_unit_sends_has_one_sign(n_out, more):
    free, signed = feedback_of(n_out=n_out, **more), feedback_of(n_out=n_out, signs="sender", **more)
    signs = np.sign(signed[0].sum(axis=0))
    assert abs(signs.sum()) == n_out % 2
    for a, b in zip(free, signed, strict=True):
        np.testing.assert_array_equal(b, np.abs(a) * signs)
    assert any(
        not np.array_equal(signs, np.sign(feedback_of(n_out=n_out, signs="sender", seed=s)[0].sum(axis=0))) for s in (2, 3, 4)
    )


def test_all_that_a_unit_sends_down_has_one_sign():
    free, signed = feedback_of("fa"), feedback_of("fa", signs="sender")
    for a, b, width in zip(free, signed, (50, 40, 10), strict=True):
        signs = np.sign(b.sum(axis=0))
        assert signs.sum() == 0
        assert len(signs) == width
        np.testing.assert_array_equal(b, np.abs(a) * signs)
    by_output = feedback_of("dfa", signs="sender")
    np.testing.assert_array_equal(np.sign(by_output[0].sum(axis=0)), np.sign(signed[-1].sum(axis=0)))


def test_scale_multiplies_what_is_drawn():
    plain, large = (
        build(setting_of(network={"hidden": [30, 20], "weights": "uniform", **scale}), 9, 4, 3)
        for scale in ({}, {"scale": 4.0})
    )
    for a, b in zip(plain.weights, large.weights, strict=True):
        np.testing.assert_allclose(4 * a, b, rtol=1e-6)
    for a, b in zip(plain.feedback, large.feedback, strict=True):
        np.testing.assert_array_equal(a, b)
    table = {"pre": 1, "post": 1, "weights": "uniform", "scale": 2.0}
    network = build(
        setting_of(network={"hidden": [30], "neuron": "lif", "weights": "uniform", "scale": 4.0, "projection": [table]}),
        9,
        4,
        3,
    )
    assert np.abs(network.weights[2]).max() == pytest.approx(2 / math.sqrt(30), rel=0.05)  # its own table's


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


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize(("rule", "rank"), [("dfa", 3), ("fa", 3), ("fa", 40)])
def test_feedback_through_few_dimensions_has_this_rank_and_the_variance_of_any(rule, rank, distribution):
    """Where B has no more than these dimensions, as that of the output under FA, it is the matrix that it is without."""
    few = feedback_of(rule, hidden=(200, 120), rank=rank, distribution=distribution)
    whole = feedback_of(rule, hidden=(200, 120), distribution=distribution)
    for own, other in zip(few, whole, strict=True):
        assert np.linalg.matrix_rank(own) == min(rank, *own.shape)
        if rank >= min(own.shape):
            np.testing.assert_array_equal(own, other)
        else:
            assert (own**2).mean() == pytest.approx((other**2).mean(), rel=0.5)
    many = [
        (feedback_of(rule, hidden=(200, 120), rank=rank, distribution=distribution, seed=s)[0] ** 2).mean() for s in range(40)
    ]
    assert np.mean(many) == pytest.approx((whole[0] ** 2).mean(), rel=0.08)


@pytest.mark.parametrize(("rule", "n_out"), [("dfa", 10), ("fa", 10), ("dfa", 60)])
def test_orthogonal_feedback_has_orthogonal_columns_or_rows_and_the_variance_of_any(rule, n_out):
    for matrix in feedback_of(rule, n_out=n_out, distribution="orthogonal", gain=2.0):
        across = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(across, across[0, 0] * np.eye(len(across)), atol=1e-12 * across[0, 0])
        assert (matrix**2).mean() == pytest.approx(4 / (3 * matrix.shape[0]), rel=1e-12)
    first, *others = (feedback_of(rule, n_out=n_out, distribution="orthogonal", seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(first, others[0])
    assert not np.array_equal(first, others[1])


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        ({"density": 0.5}, ["feedback.distribution: 'orthogonal'", "feedback.density = 0.5", "'uniform', 'normal'"]),
        ({"rank": 2}, ["feedback.rank = 2"]),
        ({"signs": "sender"}, ["feedback.signs = 'sender'"]),
        ({"shared": True}, ["feedback.shared = True"]),
        ({"pathway": "direct_kolen_pollack"}, ["feedback.distribution: 'orthogonal' would not last", "allowed: 'uniform'"]),
    ],
)
def test_feedback_that_would_not_stay_orthogonal_is_refused(feedback, words):
    with pytest.raises(SpecError) as caught:
        feedback_of(distribution="orthogonal", **feedback)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("distribution", ["uniform", "orthogonal"])
def test_aligned_weights_bring_by_back_propagation_what_direct_feedback_does(distribution, rng):
    """Where slopes are 1, up to a factor; of the size of uniform weights, whose first layer and biases they have."""
    tables = {"rule": "dfa", "precision": "float64", "feedback": {"distribution": distribution}}
    network, plain = (
        build(setting_of(network={"hidden": [30, 50, 40], "weights": weights, "scale": 2.0}, **tables), 9, 10, 1)
        for weights in ("aligned", "uniform")
    )
    down = error = rng.normal(size=10)
    for l in reversed(range(3)):
        down = network.W(l + 1).T @ down
        direct = network.feedback[l] @ error
        assert down @ direct == pytest.approx(np.linalg.norm(down) * np.linalg.norm(direct), rel=1e-9)
        n = network.sizes[l + 1]
        assert (network.W(l + 1) ** 2).mean() == pytest.approx(4 / (3 * n), rel=1e-9)
        np.testing.assert_array_equal(network.b(l + 1), plain.b(l + 1))
        np.testing.assert_array_equal(network.feedback[l], plain.feedback[l])
        if distribution == "orthogonal" and l < 2:
            product = network.feedback[l + 1] @ network.feedback[l].T
            np.testing.assert_allclose(
                network.W(l + 1) / np.linalg.norm(network.W(l + 1)), product / np.linalg.norm(product), atol=1e-12
            )
    np.testing.assert_array_equal(network.weights[0], plain.weights[0])


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"rule": "bp"}, ["network.weights: 'aligned'", "rule = 'bp'", "'transpose'", "direct"]),
        ({"rule": "fa"}, ["'sequential'"]),
        ({"rule": "dfa", "network": {"hidden": [{"channels": 3, "kernel": 3}]}}, ["network.hidden", "dense layers"]),
        ({"network": {"neuron": "lif", "projection": [{"pre": 1, "post": 1}]}}, ["network.projection"]),
        ({"rule": "dfa", "network": {"from_run": "there/dfa"}}, ["network.from_run", "'auto'"]),
    ],
)
def test_weights_that_cannot_be_aligned_are_refused(tables, words):
    with pytest.raises(SpecError) as caught:
        setting_of(**{**tables, "network": {"weights": "aligned", **tables.get("network", {})}})
    for word in words:
        assert word in str(caught.value)


def test_a_rank_that_changes_nothing_is_refused():
    with pytest.raises(SpecError, match=r"feedback.rank: 10 leaves B as it is, which has 10 dimensions; allowed here: fewer"):
        feedback_of("dfa", hidden=(20, 12), rank=10)
