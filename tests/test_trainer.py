"""Stages: learning rates that fall by a schedule, and training that stops and chooses by the validation error."""

import math

import numpy as np
import pytest
from conftest import setting_of

from localdfa import arrays, memory, record, samples, spec, train
from localdfa.analysis import report, summary
from localdfa.engines import engine
from localdfa.errors import RunError, SpecError
from localdfa.network import build

TINY = {
    "seeds": [0], "batch_size": 64, "network": {"hidden": [8]}, "record": {"probe": 16, "train": 64},
    "preprocess": {"validation": 0.2},
}  # fmt: skip


class Rates(train.Progress):
    def __init__(self):
        self.rates = []

    def epoch(self, row):
        self.rates.append(row["learning_rate"])


@pytest.mark.parametrize(
    ("schedule", "parts"), [
        ({}, [1, 1, 1, 1, 1]),
        ({"kind": "exponential", "factor": 0.5}, [1, 0.5, 0.25, 0.125, 0.0625]),
        ({"kind": "step", "factor": 0.1, "every": 2}, [1, 1, 0.1, 0.1, 0.01]),
        ({"kind": "cosine", "factor": 0.2}, [0.2 + 0.4 * (1 + math.cos(math.pi * e / 5)) for e in range(5)]),
    ],
)  # fmt: skip
def test_the_rate_of_each_epoch_is_that_of_the_schedule(schedule, parts, tmp_path):
    """By plain descent with one mini-batch an epoch, where the change of the weights is the rate times the update."""
    heard = Rates()
    stage = {"epochs": 5, "learning_rate": 0.01, "schedule": schedule}
    train.run(spec.experiment(TINY, stage=[stage, {"epochs": 1}]), tmp_path / "run", progress=heard)
    own = record.Run(tmp_path / "run").jobs[0].metrics[-1]["learning_rate"]
    assert heard.rates == pytest.approx([0.01, *(0.01 * part for part in parts), own], rel=1e-6)


def test_the_rate_is_what_weights_move_by(tmp_path):
    """Plain descent with one mini-batch an epoch: half the rate, half the way."""
    found = []
    for name, schedule in (("constant", {}), ("halved", {"kind": "step", "factor": 0.5})):
        stage = {"epochs": 2, "learning_rate": 1e-4, "schedule": schedule}
        tables = {
            **TINY, "batch_size": 2000, "optimiser": {"name": "sgd"}, "network": {"hidden": [8], "weights": "uniform"},
            "record": {"probe": 16, "weights": "every_epoch"}, "precision": "float64",
        }  # fmt: skip
        job = train.run(spec.experiment(tables, stage=[stage]), tmp_path / name).jobs[0]
        found.append([arrays.load(job.folder / f"weights-{epoch:05d}.npz", "weights") for epoch in (1, 2)])
    (one, two), (same, half) = found
    for key in ("W1", "b1", "W2"):
        np.testing.assert_array_equal(same[key], one[key])
        np.testing.assert_allclose(half[key] - one[key], 0.5 * (two[key] - one[key]), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("schedule", "says"), [
        ({"factor": 0.5}, r"stage\[0\].schedule.factor: 0.5 is read by the kinds exponential, step, cosine, not by 'constant'"),
        ({"kind": "cosine", "factor": 0.5, "every": 3}, r"schedule.every: 3 is read by the kinds step, not by 'cosine'"),
        ({"kind": "step"}, r"schedule.factor: with 1.0 the learning rate stays"),
        ({"kind": "exponential", "factor": 0.0}, r"schedule.factor: with 0 the learning rate is zero at once"),
        ({"kind": "linear"}, r"schedule.kind: 'linear' is not one of"),
    ],
)  # fmt: skip
def test_schedules_that_do_nothing_or_are_not_there_are_refused(schedule, says):
    with pytest.raises(SpecError, match=says):
        spec.experiment(stage=[{"schedule": schedule}])


@pytest.mark.parametrize("key", [{"patience": 3}, {"keep": "best"}])
def test_without_a_validation_set_nothing_is_chosen_by_it(key):
    said = r"stage\[0\]\.\w+: .* write `preprocess.validation = 0.1`, or have x_valid"
    with pytest.raises(SpecError, match=said):
        samples.load(spec.experiment(stage=[key]))
    samples.load(spec.experiment(stage=[key], preprocess={"validation": 0.1}))


# A rate so large that the validation error rises again.
OVERSHOOTS = {**TINY, "optimiser": {"learning_rate": 0.3}}


def first_least(rows):
    errors = [row["valid_error"] for row in rows[1:]]
    return 1 + int(np.argmin(errors))


def test_a_stage_ends_when_its_patience_does(tmp_path):
    run = train.run(spec.experiment(OVERSHOOTS, stage=[{"epochs": 40, "patience": 3}]), tmp_path / "run")
    rows = run.jobs[0].metrics
    assert len(rows) - 1 == first_least(rows) + 3 < 40
    for epoch in range(1, len(rows) - 1):  # and not before
        assert epoch - first_least(rows[: epoch + 1]) < 3
    assert run.summary["conditions"][0]["test_error"] == rows[-1]["test_error"]


def test_the_weights_of_the_smallest_validation_error_are_kept_and_said(tmp_path):
    stage = {"epochs": 12, "keep": "best"}
    tables = {**OVERSHOOTS, "record": {**TINY["record"], "weights": "final"}}
    run = train.run(spec.experiment(tables, stage=[stage]), tmp_path / "run")
    rows, (entry,) = run.jobs[0].metrics, run.summary["conditions"]
    best = first_least(rows)
    assert best < 12, "the case shows nothing"
    assert rows[-1]["kept_epoch"] == best == entry["kept_epoch"]
    assert entry["epochs"] == 12
    assert entry["test_error"] == rows[best]["test_error"] != rows[-1]["test_error"]
    assert entry["events"] == rows[-1]["events"]
    short = train.run(spec.experiment(tables, stage=[{"epochs": best}]), tmp_path / "short")
    for name, array in short.jobs[0].weights.items():
        np.testing.assert_array_equal(run.jobs[0].weights[name], array)


def test_stopped_and_gone_on_the_same_weights_are_kept(tmp_path):
    class Stop(train.Progress):
        def __init__(self, at):
            self.at = at

        def epoch(self, row):
            if row["epoch"] == self.at:
                raise KeyboardInterrupt

    stages = [{"epochs": 12, "keep": "best", "schedule": {"kind": "exponential", "factor": 0.9}}, {"epochs": 3}]
    whole = train.run(spec.experiment(OVERSHOOTS, stage=stages), tmp_path / "whole")
    best = first_least(whole.jobs[0].metrics[:13])
    assert 1 < best < 12
    for at in (best, 12, 13):
        place = tmp_path / f"parts{at}"
        with pytest.raises(KeyboardInterrupt):
            train.run(spec.experiment(OVERSHOOTS, stage=stages), place, progress=Stop(at))
        train.resume(place, progress=False)
        for name, array in whole.jobs[0].weights.items():
            assert record.Run(place).jobs[0].weights[name].tobytes() == array.tobytes()
        assert record.Run(place).jobs[0].metrics[12]["kept_epoch"] == best


def test_table_and_report_name_the_epoch_whose_weights_are_kept(tmp_path):
    conditions = [{"name": "best", "stage": [{"epochs": 12, "keep": "best"}]}, {"name": "last", "stage": [{"epochs": 2}]}]
    run = train.run(spec.experiment(OVERSHOOTS, condition=conditions), tmp_path / "run", progress=False)
    best = first_least(run.jobs[0].metrics)
    cells, other = summary.cells(summary.rows(run))
    assert (cells["epochs"], cells["kept epoch"], other["kept epoch"]) == ("12", str(best), "–")
    assert cells["test error (%)"] == f"{run.jobs[0].metrics[best]['test_error']:.2f}"
    assert "kept epoch" in report.page(run)
    rows = run.jobs[1].metrics
    assert "kept epoch" not in summary.cells(summary.rows(run)[1:])[0]
    job = record.Job(tmp_path / "job", "last", 0)
    job.write_metrics([*rows[:-1], {**rows[-1], "kept_epoch": 3}])
    with pytest.raises(RunError, match="'kept_epoch' has the value 3, which is yet to come"):
        assert job.last


def test_the_best_weights_need_memory_too():
    """A copy of all weights, as checkpoints have it."""
    needs = [
        sum(part.size for part in memory.needed(setting, (64,), 10, 100))
        for stage in ({}, {"keep": "best"})
        for setting in [spec.experiment(TINY, stage=[stage])]
    ]
    assert needs[1] - needs[0] == 4 * (65 * 8 + 9 * 10)


SPIKING = {
    "network": {"hidden": [6], "neuron": "lif"}, "trace": {"tau_x": 10.0, "tau_z": 10.0}, "input": {"code": "poisson"},
    "phases": {"free": 100.0, "nudged": 50.0, "propagation": "live", "update": "online"}, "batch_size": 1,
    "optimiser": {"name": "sgd", "learning_rate": 0.1}, "preprocess": {"validation": 0.2},
}  # fmt: skip


def test_what_is_recorded_again_is_what_was_recorded(tmp_path, rng):
    """With weights that change while spikes pass, at the last rate; with noise of the epoch whose weights are kept."""
    x, y = rng.random((30, 5)), np.arange(30) % 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    stage = {"epochs": 4, "keep": "best", "schedule": {"kind": "step", "factor": 0.1}}
    tables = {"data": f"npz:{tmp_path / 'own.npz'}", "record": {"probe": 8, "states": 2, "interval": 5.0}, **SPIKING}
    run = train.run(spec.experiment(tables, stage=[stage], seeds=[0, 1, 2]), tmp_path / "run", progress=False)
    assert min(job.last["kept_epoch"] for job in run.jobs) < 4, "the case shows nothing"
    for job in run.jobs:
        outcome = job.outcome
        assert 100 * np.mean(outcome["label"] != outcome["prediction"]) == pytest.approx(job.last["test_error"])
    before = [job.load("states") for job in run.jobs]
    for job in run.jobs:
        (job.folder / "states.npz").unlink()
    train.resume(run.folder, progress=False)
    for job, states in zip(run.jobs, before, strict=True):
        for name, array in job.load("states").items():
            np.testing.assert_array_equal(array, states[name], err_msg=name)


def test_currents_into_spiking_neurons_drop_out():
    """A mini-batch is learned as its samples with inputs left out, and the others larger, would be."""
    tables = {
        "rule": "local", "precision": "float64", "network": {"hidden": [12], "neuron": "lif", "input_dropout": 0.25},
        "trace": {"tau_x": 10.0, "tau_z": 10.0},
        "phases": {"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
    }  # fmt: skip
    setting, rng = setting_of(**tables), np.random.default_rng(3)
    whole = setting_of(**{**tables, "network": {**tables["network"], "input_dropout": 0.0}})
    network = build(setting, 8, 3, 0)
    inputs, targets = np.ones((5, 9)), np.eye(3)[[0, 1, 2, 0, 1]]
    inputs[:, :-1] = rng.random((5, 8))
    left_in = np.random.default_rng(4).random((5, 8), np.float32) >= 0.25
    masked = inputs.copy()
    masked[:, :-1] = np.where(left_in, inputs[:, :-1] / 0.75, 0)
    learned = engine(setting, "local").learn(network, inputs, targets, np.random.default_rng(4), frozenset())
    expected = engine(whole, "local").learn(network, masked, targets, np.random.default_rng(4), frozenset())
    for own, other in zip(learned.totals(), expected.totals(), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-12)
    assert 0 < (~left_in).sum() < left_in.size
