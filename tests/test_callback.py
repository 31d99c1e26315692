"""A callback that is told of each epoch, and can end training or the run."""

import numpy as np
import pytest

import localdfa
from localdfa.errors import SpecError

TINY = {
    "network": {"hidden": [8]},
    "stage": [{"epochs": 2}, {"epochs": 3}],
    "record": {"probe": 16},
    "batch_size": 64,
    "optimiser": {"learning_rate": 0.01},
}
TWO = {**TINY, "condition": [{"name": "a"}, {"name": "b", "rule": "bp"}]}


class Pruned(Exception):
    """As optuna.TrialPruned, which a trial that is not promising raises."""


def test_a_callback_is_told_of_each_epoch(tmp_path):
    told = []
    run = localdfa.run(TWO, tmp_path / "run", progress=False, callback=told.append)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics if row["epoch"] > 0]
    assert [(row["condition"], row["epoch"]) for row in told] == [(name, e) for name in "ab" for e in range(1, 6)]
    for ours, theirs in zip(told, rows, strict=True):
        assert ours["test_error"] == theirs["test_error"]
    assert run.info["notes"] == []


def test_true_ends_one_training_for_good(tmp_path):
    whole = localdfa.run(TWO, tmp_path / "whole", progress=False)
    run = localdfa.run(
        TWO, tmp_path / "run", progress=False, callback=lambda row: row["condition"] == "a" and row["epoch"] == 2
    )
    assert [len(job.metrics) for job in run.jobs] == [3, 6]
    assert run.status == "finished"
    assert run.info["notes"] == ["a seed 0: the callback ended training after epoch 2"]
    assert [entry["epochs"] for entry in run.summary["conditions"]] == [2, 5]
    assert run.jobs[0].metrics[2]["test_error"] == whole.jobs[0].metrics[2]["test_error"]
    before = run.jobs[0].weights
    again = localdfa.resume(run.folder, progress=False)
    assert [len(job.metrics) for job in again.jobs] == [3, 6]
    for name, array in before.items():
        np.testing.assert_array_equal(array, again.jobs[0].weights[name])
    np.testing.assert_array_equal(again.jobs[1].weights["W1"], whole.jobs[1].weights["W1"])


def test_a_training_that_is_ended_keeps_its_best_weights(tmp_path):
    tables = {**TINY, "preprocess": {"validation": 0.2}, "stage": [{"epochs": 9, "keep": "best"}],
              "optimiser": {"learning_rate": 0.3}}  # fmt: skip
    run = localdfa.run(tables, tmp_path / "run", progress=False, callback=lambda row: row["epoch"] == 4)
    rows = run.jobs[0].metrics
    assert len(rows) == 5
    best = min(range(1, 5), key=lambda epoch: rows[epoch]["valid_error"])
    assert rows[-1]["kept_epoch"] == best == run.jobs[0].last["kept_epoch"]


def test_what_a_callback_raises_ends_the_run_which_can_be_resumed(tmp_path):
    """The protocol by which Optuna prunes: report a value after each epoch, and raise where it is not promising."""
    reported = {}

    def objective(rate, folder):
        def callback(row):
            reported[row["epoch"]] = row["test_error"]
            if row["epoch"] == 3 and row["test_error"] > 60:
                raise Pruned

        tables = {**TINY, "optimiser": {"learning_rate": rate}}
        run = localdfa.run(tables, folder, progress=False, callback=callback)
        return run.summary["conditions"][0]["test_error"]

    with pytest.raises(Pruned):
        objective(1e-6, tmp_path / "slow")
    assert list(reported) == [1, 2, 3]
    run = localdfa.open_run(tmp_path / "slow")
    assert run.status == "stopped: Pruned: "
    assert len(run.metrics) == 4
    assert objective(0.01, tmp_path / "fast") < 60
    whole = localdfa.run({**TINY, "optimiser": {"learning_rate": 1e-6}}, tmp_path / "whole", progress=False)
    resumed = localdfa.resume(tmp_path / "slow", progress=False)
    np.testing.assert_array_equal(resumed.jobs[0].weights["W1"], whole.jobs[0].weights["W1"])


def test_what_cannot_be_called_is_refused_before_training(tmp_path):
    with pytest.raises(SpecError, match="callback: 'plot'; allowed: a function of a row of metrics"):
        localdfa.run(TINY, tmp_path / "run", progress=False, callback="plot")
    assert not (tmp_path / "run").exists()
    localdfa.run(TINY, tmp_path / "run", progress=False)
    with pytest.raises(SpecError, match="callback: 3; allowed"):
        localdfa.resume(tmp_path / "run", progress=False, callback=3)
