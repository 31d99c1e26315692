"""Initial weights and feedback matrices."""

import math

import numpy as np
import pytest
from conftest import setting_of

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
