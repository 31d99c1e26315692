"""Outputs: one model each, of which nothing outside of its file knows the name."""

import ast
from pathlib import Path

import numpy as np
import pytest
from conftest import Small, setting_of
from sklearn.metrics import r2_score, root_mean_squared_error

import localdfa
from localdfa import measure, outputs, registry
from localdfa.core.rate import timed
from localdfa.core.spiking import batch as spikes
from localdfa.neurons.lif import LIF

NAMES = registry.names("outputs")
PACKAGE = Path(localdfa.__file__).parent
CUBIC = '''
"""Linear units with a third of the cubed error, for numbers."""
import numpy as np
from localdfa.core.compiled import device
from localdfa.outputs._kinds import Regression

class Cubic(Regression):
    @staticmethod
    def predict(neuron, drive):
        return drive

    @staticmethod
    def loss(neuron, drive, target):
        return (np.abs(drive - target) ** 3).sum(axis=1) / 3

    @staticmethod
    def error(prediction, target):
        return (prediction - target) * np.abs(prediction - target)

    @staticmethod
    @device
    def predict_into(drive, prediction):
        for u in range(drive.size):
            prediction[u] = drive[u]

    @staticmethod
    @device
    def error_into(prediction, target, error):
        for u in range(error.size):
            error[u] = (prediction[u] - target[u]) * abs(prediction[u] - target[u])

model = Cubic
'''


@pytest.fixture
def cubic(tmp_path, monkeypatch):
    """One more output, in a file of its own."""
    (tmp_path / "cubic.py").write_text(CUBIC)
    monkeypatch.setattr(outputs, "__path__", [*outputs.__path__, str(tmp_path)])


def targets(name, m=5, n_out=3):
    rng = np.random.default_rng(1)
    if registry.get("outputs", name).regression:
        return rng.normal(size=(m, n_out))
    return np.eye(n_out)[rng.integers(0, n_out, m)]


@pytest.mark.parametrize("name", NAMES)
def test_kernels_predict_and_err_as_arrays_do(name):
    model, neuron = registry.get("outputs", name), LIF()
    drive, target = 3 * np.random.default_rng(0).normal(size=(5, 3)), targets(name)
    expected = drive if model.spiking else model.predict(neuron, drive)  # in a trial the drive is the activity of the trace
    for a, y, prediction in zip(drive, target, expected, strict=True):
        own, error = np.empty(3), np.empty(3)
        model.predict_into(a, own)
        np.testing.assert_allclose(own, prediction, rtol=1e-14)
        model.error_into(own, y, error)
        np.testing.assert_allclose(error, model.error(prediction[None], y[None])[0], rtol=1e-12, atol=1e-15)
        model.predict_into(a, a)
        np.testing.assert_array_equal(a, own)


@pytest.mark.parametrize("name", [name for name in NAMES if not registry.get("outputs", name).spiking])
def test_the_error_is_the_derivative_of_the_loss(name):
    model, step = registry.get("outputs", name), 1e-6
    drive, target = np.random.default_rng(0).normal(size=(5, 3)), targets(name)
    slope = np.empty_like(drive)
    for u in range(3):
        up, down = (model.loss(None, drive + sign * step * np.eye(3)[u], target) for sign in (1, -1))
        slope[:, u] = (up - down) / (2 * step)
    np.testing.assert_allclose(model.error(model.predict(None, drive), target), slope, atol=1e-8)


def test_nothing_else_compares_with_the_name_of_an_output():
    """`output == "softmax"` is nowhere, outside of the files of the outputs; the witness in PyTorch has a table of its own."""
    for path in sorted({*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "analysis").rglob("*.py")}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                named = any(isinstance(s, ast.Attribute | ast.Name) and ast.unparse(s).endswith("output") for s in sides)
                said = any(isinstance(s, ast.Constant) and isinstance(s.value, str) for s in sides)
                assert not (named and said), f"{path}:{node.lineno}"


def test_a_new_output_is_one_file(cubic):
    """Its loss is what BP descends, settled and in time, and what spikes are taught by."""
    network = {"output": "cubic", "neuron": "tanh"}
    small = Small(np.random.default_rng(2), (5, 4), m=2, rule="bp", network=network)
    small.target[:] = np.random.default_rng(3).normal(size=small.target.shape)
    found = measure.update(small.network, small.setting, "bp", small.inputs, small.target)

    def loss():
        trial, _ = measure.changes(small.network, small.setting, "bp", small.inputs, small.target)
        return small.network.loss(trial.drive[-1], small.target).sum()

    for weights, update in zip(small.network.weights, found, strict=True):
        for at in ((0, 1), (2, 3)):
            before, step, losses = weights[at], 1e-6, []
            for sign in (1, -1):
                weights[at] = before + sign * step
                losses.append(loss())
            weights[at] = before
            assert -update[at] == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-6)
    small = Small(
        np.random.default_rng(2), (5, 4), m=2, neuron={"tau": 2.0}, network={**network, "threshold": 0.01},
        phases={"free": 40.0},
    )  # fmt: skip
    trial = timed.simulate(small.network, small.setting, small.inputs, small.target)
    away = trial.drive - small.target
    np.testing.assert_allclose(trial.total[-1][-1], -(away * abs(away)).sum(axis=0), rtol=1e-12)  # of the biases


def test_linear_units_are_read_out_of_spikes():
    small = Small(
        np.random.default_rng(2), (6, 5), n_in=4, n_out=3, m=2, network={"neuron": "lif", "output": "linear", "delay": 1.3},
        trace={"tau_x": 7.0, "tau_z": 11.0}, phases={"free": 90.0, "nudged": 37.0, "propagation": "live"},
    )  # fmt: skip
    y = np.array([[30.0, -2.5, 0.1], [0.0, 7.0, 1e-3]])
    trial = spikes.simulate(small.network, small.setting, small.inputs, y)
    assert trial.drive.any()
    np.testing.assert_array_equal(trial.prediction, trial.drive)
    np.testing.assert_allclose(trial.change[-1], y - trial.drive, rtol=1e-12)


@pytest.mark.parametrize("rule", ["bp", "dfa", "fa", "ifa"])
def test_regression_by_linear_neurons_in_closed_form(rule):
    """ŷ = W2 (W1 x + b1) + b2; −∂/∂W2 ½|ŷ − y|² = −e hᵀ, and below −(W2ᵀ or B) e xᵀ, summed over the samples."""
    rng = np.random.default_rng(4)
    small = Small(rng, (6,), n_in=4, n_out=2, m=7, rule=rule, network={"neuron": "linear", "output": "linear"})
    y = rng.normal(size=(7, 2))
    (W1, W2), (b1, b2), x = small.W, small.b, small.inputs[:, :-1]
    h = x @ W1.T + b1
    e = h @ W2.T + b2 - y
    back = W2.T if rule == "bp" else small.network.feedback[0]
    first, second = measure.update(small.network, small.setting, rule, small.inputs, y)
    np.testing.assert_allclose(second[:-1].T, -e.T @ h, rtol=1e-12)
    np.testing.assert_allclose(first[:-1].T, -back @ e.T @ x, rtol=1e-12)
    np.testing.assert_allclose(first[-1], -(back @ e.T).sum(axis=1), rtol=1e-12)


def test_rmse_and_r2_are_those_of_scikit_learn():
    rng, model = np.random.default_rng(0), registry.get("outputs", "linear")
    y = rng.normal([3, -1, 0], [2, 0.1, 1], (50, 3))
    drive = y + rng.normal(size=y.shape)
    total = sum(model.tally(None, drive[i : i + 20], y[i : i + 20]) for i in range(0, 50, 20))
    found = model.measured(total, y)
    assert found["r2"] == pytest.approx(r2_score(y, drive))
    assert found["rmse"] == pytest.approx(np.sqrt(((drive - y) ** 2).mean()))
    one = model.measured(model.tally(None, drive[:, :1], y[:, :1]), y[:, :1])
    assert one["rmse"] == pytest.approx(root_mean_squared_error(y[:, 0], drive[:, 0]))
    y[:, 1] = 0.1  # nothing of it is there to be explained, so it has no part in R²
    found = model.measured(model.tally(None, drive, y), y)
    assert found["r2"] == pytest.approx(r2_score(y[:, ::2], drive[:, ::2]))
    assert np.isnan(model.measured(model.tally(None, drive[:, 1:2], y[:, 1:2]), y[:, 1:2])["r2"])


@pytest.mark.parametrize(
    ("r2", "warned"), [(-3.0, True), (0.0, True), (0.009, True), (0.05, False), (np.nan, False), (None, False)]
)
def test_predicting_the_mean_is_nothing_learned(r2, warned):
    reason = registry.get("outputs", "linear").not_learned({"rmse": 1.0, "r2": r2}, np.zeros((2, 1)))
    assert (reason is not None) == warned
    assert bool(measure.idle({"epoch": 5}, reason)) == warned


def test_measures_are_said_with_their_names():
    known = outputs.measures()
    assert known["error"].said(12.345) == "12.35 %"
    assert known["r2"].said(0.5) == "R² 0.50"
    assert known["rmse"].said(None) == "RMSE –"
    assert known["rmse"].said(1.234e-3) == "RMSE 0.00123"
    assert known["error"].said(1e-3) == "0.00 %"
    assert known["auc"].said(0.75) == "AUC 0.7500"
    assert (known["error"].label, known["rmse"].label) == ("error (%)", "RMSE")


def test_settings_name_their_output():
    assert setting_of(network={"output": "linear"}).output is registry.get("outputs", "linear")
