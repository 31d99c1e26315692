"""Regression from the file to the report: targets that are numbers, RMSE and R² in place of percentages."""

import io

import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score

from localdfa import data, samples, spec, train, watch
from localdfa.analysis import report, summary
from localdfa.crosscheck.certificate import certify
from localdfa.data import npz
from localdfa.display import line
from localdfa.errors import DataError, RunError, SpecError

LINEAR = {"output": "linear", "hidden": [8]}


class Heard(train.Progress):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All conditions of the experiment that comes with localdfa, with one seed, and a validation set."""
    experiment = spec.load("diabetes", ["seeds=[0]", "record.activity=20", "preprocess.validation=0.1"])
    return train.run(experiment, tmp_path_factory.mktemp("diabetes") / "run", progress=False)


def save(path, y_train, y_test=None):
    rng = np.random.default_rng(0)
    y_test = y_train if y_test is None else y_test
    x_train, x_test = rng.random((len(y_train), 4)), rng.random((len(y_test), 4))
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return f"npz:{path}"


def experiment(name, **tables):
    return spec.experiment({"data": name, "network": LINEAR, "stage": [{"epochs": 1}], "record": {"probe": 8}, **tables})


# --- training ---------------------------------------------------------------------------------------------------------


def least_squares():
    """R² of ordinary least squares on the test part."""
    found = data.load("diabetes", dtype=np.float64)
    x, x_test = (np.column_stack([part, np.ones(len(part))]) for part in (found.x_train, found.x_test))
    weights = np.linalg.lstsq(x, found.y_train, rcond=None)[0]
    return r2_score(found.y_test, x_test @ weights)


def test_every_condition_predicts_as_well_as_least_squares(run):
    reference = least_squares()
    assert 0.5 < reference < 0.6
    reached = {job.condition: job.metrics[-1]["test_r2"] for job in run.jobs}
    assert reached.keys() == {"local", "dfa", "bp", "spikes"}
    assert all(abs(r2 - reference) < 0.08 for r2 in reached.values()), reached


def test_metrics_are_those_of_the_predictions_that_are_kept(run):
    for job in run.jobs:
        row, kept = job.metrics[-1], job.outcome
        assert kept.keys() == {"target", "prediction"}
        assert kept["target"].shape == kept["prediction"].shape == (88, 1)
        assert row["test_r2"] == pytest.approx(r2_score(kept["target"], kept["prediction"]), abs=1e-6)
        assert row["test_rmse"] == pytest.approx(np.sqrt(((kept["target"] - kept["prediction"]) ** 2).mean()), abs=1e-6)
        assert row["test_loss"] == pytest.approx(row["test_rmse"] ** 2 / 2, rel=1e-5)
        assert {"valid_rmse", "valid_r2"} <= row.keys()
        assert not any(key.endswith("_error") for key in row)
        assert job.activity["target"].shape == (20, 1)


def test_the_summary_has_the_measures_of_a_regression(run):
    for entry, row in zip(run.summary["conditions"], (job.metrics[-1] for job in run.jobs), strict=True):
        assert entry["test_r2"] == row["test_r2"]
        assert "test_error" not in entry
    assert run.info["classes"] == []


@pytest.mark.parametrize("teacher", ["activity", "drive"])
def test_a_network_in_time_learns_a_regression(tmp_path, teacher):
    found = train.run(
        spec.experiment(
            data="diabetes", network={"output": "linear", "hidden": [16], "threshold": 0.05, "delay": 20.0},
            neuron={"tau": 5.0}, phases={"free": 80.0, "nudged": 20.0, "teacher": teacher}, stage=[{"epochs": 8}],
            optimiser={"learning_rate": 5e-3},
        ),
        tmp_path / "run", progress=False,
    )  # fmt: skip
    assert found.jobs[0].metrics[-1]["test_r2"] > 0.4


def test_training_on_the_mean_alone_is_warned_of(tmp_path):
    heard = Heard()
    tables = experiment("diabetes", optimiser={"learning_rate": 1e-9}, stage=[{"epochs": 2}])
    train.run(tables, tmp_path / "run", progress=heard)
    assert any(
        "nothing is learned: R² on the training set is 0.000, that of predicting its mean 0" in w for w in heard.warnings
    )


def test_a_regression_is_certified():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    found = certify(experiment("diabetes", certify={"epochs": [0, 1], "samples": 64}))
    assert found["failed"] == []
    assert "unexplained test variances under local and dfa" in [row["name"] for row in found["rows"]]
    assert 0 < found["trajectory"][-1]["local_error"] < 100


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_figures_and_report_show_rmse(run):
    from localdfa.analysis import comparison, errors, events

    assert [axes.get_ylabel() for axes in errors.figure(run).axes] == ["Training RMSE", "Validation RMSE", "Test RMSE"]
    assert "RMSE on diabetes" in errors.caption(run)
    assert comparison.figure(run).axes[0].get_xlabel() == "Test RMSE"
    assert "percentage" not in comparison.caption(run)
    assert events.figure(run).axes[1].get_ylabel() == "Test RMSE"
    page = report.write(run).read_text(encoding="utf-8")
    assert "test R²" in page
    assert "confusion: " in page


@pytest.mark.parametrize("name", ["confusion", "pca", "tsne"])
def test_figures_of_classes_say_that_there_are_none(run, name):
    from localdfa import analysis

    with pytest.raises(RunError, match=f"the figure {name} shows classes, and network.output = 'linear' fits numbers"):
        analysis.get(name).figure(run)


def test_errors_of_different_kinds_are_not_compared(run, rate_run):
    from localdfa.analysis import comparison

    with pytest.raises(RunError, match=r"has the measure RMSE, .* error, which do not compare"):
        comparison.figure(rate_run, run)


def test_tables_and_lines_show_rmse_and_r2(run):
    headings = summary.cells(summary.rows(run))[0].keys()
    assert {"train RMSE", "validation RMSE", "test RMSE", "train R²", "test R²"} <= headings
    assert not any("error" in heading for heading in headings)
    row = {"epoch": 3, "train_rmse": 0.7123, "train_r2": 0.4, "test_rmse": 0.8, "test_r2": None}
    assert line(row) == "epoch 3  train RMSE 0.71 R² 0.40  test RMSE 0.80 R² –"
    console = Console(file=io.StringIO(), width=200)
    console.print(watch.table(run, "finished"))
    assert "test R²" in console.file.getvalue()
    assert f"{run.jobs[0].metrics[-1]['test_r2']:.2f}" in console.file.getvalue()


# --- data -------------------------------------------------------------------------------------------------------------


def test_diabetes_is_that_of_scikit_learn():
    found, theirs = data.load("diabetes", dtype=np.float64), load_diabetes()
    x, y = np.concatenate([found.x_train, found.x_test]), np.concatenate([found.y_train, found.y_test])
    assert (len(found.x_train), len(found.x_test), found.n_out, found.classes) == (354, 88, 1, ())
    order, their_order = np.lexsort(x.T.round(9)), np.lexsort((theirs.data * np.sqrt(442)).T.round(9))
    np.testing.assert_allclose(x[order], (theirs.data * np.sqrt(442))[their_order], atol=1e-12)
    np.testing.assert_allclose(y[order, 0] * 75.762 + 150.805, theirs.target[their_order], atol=0.01)
    assert found.y_train.mean() == pytest.approx(0, abs=1e-12)
    assert found.y_train.std() == pytest.approx(1)


def test_the_validation_set_of_a_regression_is_drawn_plainly():
    whole = data.load("diabetes")
    found = data.load("diabetes", validation=0.2, rng=np.random.default_rng(0))
    assert (len(found.y_train), len(found.y_valid)) == (283, 71)
    both = np.concatenate([found.x_train, found.x_valid])
    assert np.array_equal(both[np.lexsort(both.T)], whole.x_train[np.lexsort(whole.x_train.T)])
    for fraction in (0.001, 0.999):
        with pytest.raises(DataError, match=f"a split of {fraction:g} takes .* of 354 samples: choose a "):
            data.load("diabetes", validation=fraction, rng=np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 3)])
def test_numbers_of_any_width_are_targets(tmp_path, shape):
    y = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    found = data.load(save(tmp_path / "own.npz", y), regression=True)
    assert found.regression
    assert found.n_out == (shape[1] if len(shape) > 1 else 1)
    np.testing.assert_array_equal(found.y_train, y.reshape(6, -1))
    job = train.run(experiment(found.name), tmp_path / "run", progress=False).jobs[0]
    assert job.weights["W2"].shape == (found.n_out, 8)


def test_whole_numbers_are_labels_or_numbers_as_the_output_takes_them(tmp_path):
    """Floats that are whole numbers stay labels for outputs of labels."""
    y = np.arange(12.0) % 3
    name = save(tmp_path / "own.npz", y)
    labels = experiment(name, network={"hidden": [8]})
    assert samples.load(labels).n_classes == 3
    assert samples.load(experiment(name)).n_out == 1
    assert not samples.load(experiment(name)).notes
    counted = save(tmp_path / "counts.npz", y.astype(int))
    assert any("are fitted as numbers" in note for note in samples.load(experiment(counted)).notes)


def test_spike_trains_have_numbers_to_be_predicted(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for part in ("train", "test"):
        arrays |= {
            f"time_{part}": rng.uniform(0, 300, 90), f"neuron_{part}": rng.permutation(np.arange(90) % 5),
            f"sample_{part}": np.arange(90) % 9, f"y_{part}": rng.normal(size=(9, 2)),
        }  # fmt: skip
    np.savez(tmp_path / "own.npz", **arrays)
    found = data.load(f"npz:{tmp_path / 'own.npz'}", regression=True)
    assert (len(found.x_train), found.n_out) == (9, 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full((6, 2), 3.0), "y_train: the targets of all samples are the same"),
        (np.array([0.5, np.nan, 1, 2, 3, 4]), r"y_train\[1\] = nan is not finite"),
        (np.array([[0.5, 1]] * 5 + [[1, np.inf]]), r"y_train\[5, 1\] = inf is not finite"),
        (np.array(list("abcdef")), "y_train has the dtype <U1: targets of a regression must be real numbers"),
        (np.array([True, False] * 3), "y_train has the dtype bool: targets of a regression must be real numbers"),
        (np.zeros((6, 2, 2)), r"y_train has the shape \(6, 2, 2\): it must be \(6,\) or \(6, n_out\)"),
        (np.zeros((6, 0)), r"y_train has the shape \(6, 0\)"),
    ],
    ids=str,
)
def test_targets_that_are_no_numbers_are_refused(tmp_path, y, message):
    with pytest.raises(DataError, match=message):
        npz.load(tmp_path.joinpath(save(tmp_path / "own.npz", y).removeprefix("npz:")), regression=True)


def test_targets_of_other_shapes_in_the_test_part_are_refused(tmp_path):
    y = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(DataError, match="y_train has 2 numbers a sample and y_test 1"):
        data.load(save(tmp_path / "own.npz", y, y[:, 0]), regression=True)
    np.savez(tmp_path / "short.npz", x_train=np.eye(6), y_train=y[:, 0], x_test=np.eye(6)[:5], y_test=y[:, 0])
    with pytest.raises(DataError, match=r"y_test has the shape \(6,\): it must be \(5,\)"):
        data.load(f"npz:{tmp_path / 'short.npz'}", regression=True)


def test_targets_that_are_large_are_remarked_on(tmp_path):
    name = save(tmp_path / "own.npz", np.random.default_rng(0).normal(150, 50, 20))
    assert any("y_train: targets are large" in note for note in samples.load(experiment(name)).notes)
    huge = save(tmp_path / "huge.npz", np.array([1e17, 0.5, 0.25]))
    with pytest.raises(SpecError, match="precision: 'float32' has no numbers as large as the squares of the targets"):
        samples.load(experiment(huge))


# --- what is refused --------------------------------------------------------------------------------------------------


def test_outputs_and_data_of_different_kinds_are_refused(tmp_path):
    with pytest.raises(SpecError, match=r"network.output: 'linear' is taught numbers, and data = 'digits' has labels; allowed "
                       r"with labels: 'logistic', 'softmax', 'spikes'$"):  # fmt: skip
        train.run(experiment("digits"), tmp_path / "run")
    with pytest.raises(SpecError, match=r"network.output: 'softmax' is taught labels, and data = 'diabetes' has numbers; .*: "
                       "'linear'$"):  # fmt: skip
        train.run(experiment("diabetes", network={"output": "softmax"}), tmp_path / "run")
    name = save(tmp_path / "own.npz", np.random.default_rng(0).normal(size=20))
    with pytest.raises(DataError, match=r"y_train has the dtype float64: labels must be whole .*network.output = 'linear'"):
        train.run(experiment(name, network={"hidden": [8]}), tmp_path / "run")
    name = save(tmp_path / "counts.npz", np.arange(20))
    with pytest.raises(DataError, match=r"all 20 labels differ, .* network.output = 'linear'"):
        train.run(experiment(name, network={"hidden": [8]}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stop_at_an_error_in_percent_is_refused():
    with pytest.raises(SpecError, match=r"stage\[1\].stop_at_error: 5 is a percentage of samples, .* 'linear' fits numbers"):
        experiment("diabetes", stage=[{}, {"stop_at_error": 5.0}])


def test_conditions_of_different_kinds_are_refused():
    conditions = [{"name": "one"}, {"name": "other", "network": {"output": "logistic"}}]
    with pytest.raises(SpecError, match=r"network.output: 'linear' of condition 'one' fits numbers, 'logistic' of condition "
                       "'other' labels"):  # fmt: skip
        experiment("diabetes", condition=conditions)
