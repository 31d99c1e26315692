"""What is measured of a network: alignment, precision, depth."""

import numpy as np
import pytest
from conftest import Small, setting_of

from localdfa import measure
from localdfa.network import in_precision, rewired


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
