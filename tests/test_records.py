"""What a run keeps for its figures: activities, predictions, the shape of the data, and the criteria of Theorem 1."""

import numpy as np
import pytest
from conftest import Small

from localdfa import data as datasets
from localdfa import measure, spec, train
from localdfa.neurons.lif import LIF


def test_activities_are_those_of_the_network_that_is_kept(rate_run):
    digits = datasets.load("digits", dtype=np.float32, rng=np.random.default_rng(0))
    for job in rate_run.jobs[::4]:
        kept, w = job.activity, job.weights
        assert kept["h1"].shape == (40, 6)
        h = digits.x_train[kept["sample"]]
        np.testing.assert_array_equal(kept["label"], digits.y_train[kept["sample"]])
        for l in (1, 2):
            h = np.tanh(h @ w[f"W{l}"].T + w[f"b{l}"])
            np.testing.assert_allclose(kept[f"h{l}"], h, atol=1e-5)


def test_predictions_are_those_of_the_network_that_is_kept(rate_run):
    digits = datasets.load("digits", dtype=np.float32, rng=np.random.default_rng(0))
    for job in rate_run.jobs[::4]:
        kept, w = job.outcome, job.weights
        h = np.tanh(np.tanh(digits.x_test @ w["W1"].T + w["b1"]) @ w["W2"].T + w["b2"])
        np.testing.assert_array_equal(kept["prediction"], (h @ w["W3"].T + w["b3"]).argmax(axis=1))
        np.testing.assert_array_equal(kept["label"], digits.y_test)
    assert rate_run.info["shape"] == [1, 8, 8]


def test_firing_rates_are_counted_spikes_or_read_from_the_f_i_curve(spiking_run):
    local, dfa = spiking_run.jobs
    kept, spikes = local.activity, local.spikes
    trial = int(spikes["trial"][0])
    (row,) = np.flatnonzero(kept["sample"] == trial)
    free = (spikes["trial"] == trial) & ~spikes["twin"] & (spikes["time"] < 100) & (spikes["population"] == 1)
    counted = np.bincount(spikes["neuron"][free], minlength=12) / 0.1
    np.testing.assert_allclose(kept["rate1"][row], counted, atol=10.01)  # a spike at the very end is one of ten Hz
    w, kept = dfa.weights, dfa.activity
    x = datasets.load("digits", dtype=np.float32, rng=np.random.default_rng(0)).x_train[kept["sample"]]
    rate = 1e3 * np.vectorize(lambda a: LIF.rate(LIF(), a + LIF().baseline))((x @ w["W1"].T + w["b1"]).astype(float))
    np.testing.assert_allclose(kept["rate1"], rate, rtol=1e-3, atol=0.05)


def test_nothing_is_kept_that_was_not_asked_for(tmp_path):
    tables = {"network": {"hidden": [4]}, "stage": [{"epochs": 1}], "record": {"probe": 16}}
    (job,) = train.run(spec.experiment(tables), tmp_path / "run").jobs
    assert [name for name in ("metrics", "weights", "outcome", "activity", "spikes") if job.keeps(name)] == [
        "metrics",
        "weights",
        "outcome",
    ]


# --- Theorem 1 --------------------------------------------------------------------------------------------------------


def prescribed(small, e):
    """−δh of each hidden layer under direct feedback, by hand."""
    return [matrix @ e for matrix in small.network.feedback]


@pytest.mark.parametrize("neuron", ["tanh", "logistic"])
def test_theorem_1_against_differences_of_the_criterion(rng, neuron):
    """K is what it says; L is |δh above| times the slope of the K above along δh, or the slope of the loss itself."""
    small = Small(rng, rule="dfa", network={"neuron": neuron})
    f = np.tanh if neuron == "tanh" else lambda a: 1 / (1 + np.exp(-a))
    found = measure.theorem(small.network, small.inputs, small.target)
    expected = {"k": [[], [], []], "l": [[], [], []], "beta": [[], [], []]}
    eps = 1e-6
    for x, y in zip(small.inputs[:, :-1], small.target, strict=True):
        h, hs = x, []
        for l in range(3):
            h = f(small.W[l] @ h + small.b[l])
            hs.append(h)

        def loss(h, y=y):
            a = small.W[3] @ h + small.b[3]
            return np.sum(np.logaddexp(0, a) - a * y)

        e = 1 / (1 + np.exp(-(small.W[3] @ hs[-1] + small.b[3]))) - y
        deltas = prescribed(small, e)
        for l, d in enumerate(deltas):
            unit = d / np.linalg.norm(d)
            expected["k"][l].append(unit @ hs[l])

            def above(h, l=l, deltas=deltas):
                return loss(h) if l == 2 else deltas[l + 1] @ f(small.W[l + 1] @ h + small.b[l + 1])

            slopes = np.array([(above(hs[l] + eps * i) - above(hs[l] - eps * i)) / (2 * eps) for i in np.eye(len(d))])
            expected["l"][l].append(slopes @ unit)
            expected["beta"][l].append(np.degrees(np.arccos(slopes @ unit / np.linalg.norm(slopes))))
    for key, layers in expected.items():
        np.testing.assert_allclose(found[f"theorem_{key}"], np.mean(layers, axis=1), rtol=1e-6, atol=1e-7)


def test_back_propagation_prescribes_the_gradient_itself(rng):
    small = Small(rng, rule="bp")
    found = measure.theorem(small.network, small.inputs, small.target)
    np.testing.assert_allclose(found["theorem_beta"], 0, atol=1e-5)
    assert min(found["theorem_l"]) > 0


def test_the_criteria_of_a_network_without_error_are_undefined(rng):
    small = Small(rng, rule="dfa")
    for w in small.network.weights:
        w[...] = 0
    found = measure.theorem(small.network, small.inputs, np.full_like(small.target, 0.5))
    assert np.isnan([*found["theorem_k"], *found["theorem_l"], *found["theorem_beta"]]).all()
    found = measure.theorem(small.network, small.inputs, small.target)
    assert found["theorem_k"] == found["theorem_l"] == [0, 0, 0]
    assert np.isnan(found["theorem_beta"]).all()
