"""Training and what it leaves: the run directory, resuming, stages, early stop, divergence, interruption."""

import json
import shutil

import numba
import numpy as np
import pytest

from localdfa import arrays, files, network, record, samples, spec, train, trainer
from localdfa.core import threads
from localdfa.core.rate.plasticity import Plasticity
from localdfa.errors import LocalDFAError, NonFiniteError, RunError, SpecError


def tiny(**tables):
    """A small experiment on the digits."""
    return spec.experiment(
        {
            "data": "digits",
            "seeds": [0],
            "network": {"hidden": [16, 12]},
            "optimiser": {"learning_rate": 1e-3},
            "stage": [{"epochs": 3}],
            "batch_size": 256,
            **tables,
        }
    )


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_same_bits(whole, other):
    """Metrics and weights of two runs, condition by condition and seed by seed."""
    for a, b in zip(whole.jobs, other.jobs, strict=True):
        assert without_time(a.metrics) == without_time(b.metrics)
        assert all(v.tobytes() == b.weights[k].tobytes() for k, v in a.weights.items())


class StopAfter(train.Progress):
    """Interrupts, as Ctrl-C does, in the middle of an epoch."""

    def __init__(self, batches):
        self.left = batches

    def advance(self, samples):
        self.left -= samples == 256
        if self.left == 0:
            raise KeyboardInterrupt


def test_feedback_that_a_later_stage_cannot_have_is_refused_before_any_training(tmp_path):
    conditions = [
        {"name": "first", "rule": "dfa"},
        {"name": "second", "rule": "dfa", "stage": [{"epochs": 1}, {"epochs": 1, "rule": "fa"}]},
    ]
    asked = {"network": {"hidden": [4, 4]}, "feedback": {"density": 0.03}, "stage": [{"epochs": 1}]}
    for condition in (conditions, conditions[1:]):
        with pytest.raises(SpecError, match=r"feedback\.density: 0\.03 leaves none of the 16 entries"):
            train.run(tiny(**asked, condition=condition), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_training_that_a_callback_ends_early_is_read_by_the_stage_that_it_ended_in(tmp_path):
    """Its records made again, its predictions and its B where another training starts from it."""
    stages = [{"epochs": 2, "rule": "dfa"}, {"epochs": 2, "rule": "fa"}]
    asked = {"rule": "dfa", "network": {"hidden": [8, 6], "weights": "uniform"}}
    run = train.run(tiny(**asked, stage=stages), tmp_path / "run", progress=False, callback=lambda row: row["epoch"] == 1)
    (job,) = run.jobs
    assert job.metrics[-1]["stage"] == 0
    before = job.weights
    assert before["B1"].shape == (8, 10)
    (job.folder / "weights.npz").unlink()
    (again,) = train.resume(run.folder, progress=False).jobs
    assert again.weights.keys() == before.keys()
    assert all(np.array_equal(array, before[key]) for key, array in again.weights.items())
    asked["network"]["from_run"] = str(run.folder / "dfa-fa")
    del asked["network"]["weights"]
    (heir,) = train.run(tiny(**asked, stage=[{"epochs": 1}]), tmp_path / "heir", progress=False).jobs
    assert np.array_equal(heir.weights["B1"], before["B1"])


def test_predictions_of_spikes_are_those_of_the_stage_that_training_ended_in(tmp_path):
    """Settled under exact DFA, and with noise of their own under the local rule."""
    network = {"hidden": [12], "neuron": "lif"}
    stages = [{"epochs": 3, "rule": "dfa"}, {"epochs": 1, "rule": "local"}]
    asked = tiny(network=network, stage=stages)
    run = train.run(asked, tmp_path / "run", progress=False, callback=lambda row: row["epoch"] == 1)
    (job,) = run.jobs
    test = samples.load(run.experiment).x_test
    assert np.array_equal(run.predict(test), job.outcome["prediction"])


def test_a_last_mini_batch_of_one_sample_is_refused_where_it_is_normalised(tmp_path):
    x = np.random.default_rng(0).normal(size=(65, 4))
    asked = {"network": {"hidden": [6], "batch_norm": True, "weights": "uniform"}, "batch_size": 32, "stage": [{"epochs": 1}]}
    for n in (65, 33):
        with pytest.raises(SpecError, match=f"batch_size: 32 of {n} training samples leaves a mini-batch of one"):
            train.run(asked, tmp_path / "run", data=(x[:n], x[:n].sum(1) > 0), progress=False)
    assert not (tmp_path / "run").exists()
    train.run(asked, tmp_path / "run", data=(x[:64], x[:64].sum(1) > 0), progress=False)


@pytest.mark.parametrize(("keep", "said"), [("best", 0), ("last", 1)])
@pytest.mark.parametrize("by_callback", [False, True])
def test_notes_of_the_end_are_of_the_weights_that_are_kept(tmp_path, monkeypatch, keep, said, by_callback):
    """At chance after the last epoch alone."""
    right, errors = trainer.Trainer.evaluate, {0: 90.0, 1: 5.0, 2: 90.0, 3: 5.0}

    def evaluate(self, part, samples=None):
        found = right(self, part, samples)
        return {key: errors[self.epoch] if key == "error" else value for key, value in found.items()}

    monkeypatch.setattr(trainer.Trainer, "evaluate", evaluate)
    asked = tiny(preprocess={"validation": 0.2}, stage=[{"epochs": 3 if by_callback else 2, "keep": keep}])
    stop = (lambda row: row["epoch"] == 2) if by_callback else None
    run = train.run(asked, tmp_path / "run", progress=False, callback=stop)
    assert sum("nothing is learned" in note for note in run.info["notes"]) == said


def test_a_run_leaves_what_it_promises(tmp_path):
    conditions = [{"name": "local"}, {"name": "b-p", "rule": "bp"}]
    run = train.run(tiny(condition=conditions, seeds=[3, 5]), tmp_path / "run", name="tiny")
    assert run.info["status"] == "finished"
    assert {"python", "numpy", "numba", "localdfa"} <= set(run.info["versions"])
    entries = run.summary["conditions"]
    assert [(e["name"], e["rule"], e["feedback"], e["seed"]) for e in entries] == [
        ("local", "local", "direct", 3), ("local", "local", "direct", 5),
        ("b-p", "bp", "transpose", 3), ("b-p", "bp", "transpose", 5),
    ]  # fmt: skip
    for e in entries:
        assert (e["neuron"], e["epochs"]) == ("tanh", 3)
        assert 0 <= e["test_error"] <= 100
        assert len(e["angle_to_dfa"]) == len(e["angle_to_bp"]) == len(e["cosine_to_dfa"]) == 2
        assert e["events"] > 0
        assert e["seconds"] > 0
    for job in run.jobs:
        assert [row["epoch"] for row in job.metrics] == [0, 1, 2, 3]
        weights = job.weights
        assert weights["W1"].shape == (16, 64)
        assert weights["b3"].shape == (10,)
        assert ("B1" in weights) == (job.condition == "local")
    assert max(run.jobs[0].metrics[-1]["angle_to_dfa"]) < 0.1
    assert max(run.jobs[2].metrics[-1]["angle_to_bp"]) < 1e-5


def test_the_first_rows_say_what_learning_changes(tmp_path):
    rows = (
        train.run(tiny(stage=[{"epochs": 15}], batch_size=32, optimiser={"learning_rate": 3e-3}), tmp_path / "run")
        .jobs[0]
        .metrics
    )
    assert rows[0]["test_error"] > 80
    assert rows[-1]["test_error"] < 15
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    # From zero the forward weights have no direction; learning turns them towards the feedback.
    assert rows[0]["alignment"] == [None, None]
    assert min(rows[-1]["alignment"]) > 0.2
    assert rows[0]["angle_to_bp"] == [None, None]
    assert max(rows[-1]["angle_to_bp"]) < 90


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    first = train.run(tiny(), tmp_path / "a").jobs[0]
    second = train.run(tiny(), tmp_path / "b").jobs[0]
    other = train.run(tiny(seeds=[1]), tmp_path / "c").jobs[0]
    assert all(v.tobytes() == second.weights[k].tobytes() for k, v in first.weights.items())
    assert without_time(first.metrics) == without_time(second.metrics)
    assert any(v.tobytes() != other.weights[k].tobytes() for k, v in first.weights.items())


@pytest.mark.slow
@pytest.mark.parametrize(("batches", "checkpoint"), [(1, 1), (8, 3), (12, 1), (22, 2)])
@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_resume_goes_on_to_the_same_bits(tmp_path, batches, checkpoint, name):
    """Interrupted in the first epoch, between, in the second condition; with dropout, stages and early stop at work."""
    tables = {
        "optimiser": {"name": name, "learning_rate": 1e-3},
        "network": {"hidden": [16, 12], "dropout": 0.2, "input_dropout": 0.1},
        "condition": [{"name": "one"}, {"name": "two", "rule": "ifa"}],
        "stage": [{"epochs": 2}, {"epochs": 1, "rule": "bp", "learning_rate": 5e-4, "frozen": [1]}],
        "record": {"checkpoint": checkpoint, "weights": "every_epoch"},
    }
    whole = train.run(tiny(**tables), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train.run(tiny(**tables), tmp_path / "cut", progress=StopAfter(batches))
    cut = record.Run(tmp_path / "cut")
    assert cut.info["status"] == "interrupted"
    assert cut.summary["conditions"]
    train.resume(tmp_path / "cut")
    assert cut.info["status"] == "finished"
    assert_same_bits(whole, cut)
    before = cut.summary
    train.resume(tmp_path / "cut")  # nothing is left to do
    assert cut.summary == before
    for a, b in zip(whole.jobs, cut.jobs, strict=True):
        assert all(v.tobytes() == b.weights[k].tobytes() for k, v in a.weights.items())


def test_each_stage_keeps_the_feedback_that_it_trained_with(tmp_path):
    """Also once the run is over and resumed: the files of a stage's last epoch have that stage's B."""
    stages = [{"epochs": 1, "rule": "fa"}, {"epochs": 1, "rule": "dfa"}]
    run = train.run(tiny(rule="fa", stage=stages, record={"weights": "every_epoch"}), tmp_path / "run")
    train.resume(tmp_path / "run")
    shapes = []
    for name in ("weights-00001", "weights-00002", "weights"):
        with np.load(run.jobs[0].folder / f"{name}.npz") as weights:
            shapes.append(weights["B1"].shape)
    assert shapes == [(16, 12), (16, 10), (16, 10)]


def test_metrics_behind_the_checkpoint_are_made_up_for(tmp_path):
    run = train.run(tiny(), tmp_path / "run")
    whole = run.jobs[0].metrics
    path = run.jobs[0].folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    train.resume(tmp_path / "run")
    assert run.jobs[0].metrics == whole


def test_resume_refuses_an_edited_spec(tmp_path):
    run = train.run(tiny(), tmp_path / "run")
    spec_file = run.folder / "spec.toml"
    spec_file.write_text(spec_file.read_text().replace("beta = 0.1", "beta = 0.2"))
    with pytest.raises(RunError, match="the spec is no longer the one"):
        train.resume(tmp_path / "run")


def test_compiling_is_not_counted_as_training(tmp_path):
    run = train.run(
        tiny(seeds=[0, 1], stage=[{"epochs": 2}], neuron={"slope": 0.02}, network={"hidden": [9], "neuron": "leaky_relu"}),
        tmp_path / "run",
    )
    first, second = (job.metrics[-1]["seconds"] for job in run.jobs)
    assert first < 20 * second


def test_stages_change_rule_rate_and_frozen_layers(tmp_path):
    stages = [{"epochs": 1, "rule": "ifa"}, {"epochs": 2, "rule": "dfa", "frozen": [1, -1], "learning_rate": 1e-2}]
    run = train.run(tiny(rule="ifa", stage=stages, record={"weights": "every_epoch"}), tmp_path / "run")
    job = run.jobs[0]
    assert [(row["stage"], row["rule"]) for row in job.metrics] == [(0, "ifa"), (0, "ifa"), (1, "dfa"), (1, "dfa")]
    first, last = (np.load(job.folder / f"weights-{epoch:05d}.npz") for epoch in (1, 3))
    with first, last:
        assert [np.array_equal(first[f"W{l}"], last[f"W{l}"]) for l in (1, 2, 3)] == [True, False, True]


def test_early_stop_looks_at_the_training_error_alone(tmp_path):
    run = train.run(tiny(stage=[{"epochs": 50, "stop_at_error": 50.0}]), tmp_path / "run")
    errors = [row["train_error"] for row in run.jobs[0].metrics]
    assert errors[-1] <= 50 < min(errors[:-1])
    assert run.summary["conditions"][0]["epochs"] < 50


@pytest.mark.parametrize("stops_after", [None, 1, 3])
def test_a_validation_error_that_is_not_finite_is_the_worst_also_once_it_was_written(tmp_path, monkeypatch, stops_after):
    right, errors = trainer.Trainer.evaluate, {0: 1.0, 1: float("nan"), 2: 0.5, 3: float("inf"), 4: 0.7}

    def evaluate(self, part, samples=None):
        found = right(self, part, samples)
        return {**found, "rmse": errors[self.epoch]} if part is self.parts["valid"] else found

    monkeypatch.setattr(trainer.Trainer, "evaluate", evaluate)
    x = np.random.default_rng(0).normal(size=(60, 4))
    tables = {
        "network": {"hidden": [6], "output": "linear"}, "stage": [{"epochs": 4, "keep": "best"}],
        "preprocess": {"validation": 0.2}, "record": {"probe": 16},
    }  # fmt: skip

    def stop(row):
        if row["epoch"] == stops_after:
            raise KeyboardInterrupt

    if stops_after is None:
        run = train.run(tables, tmp_path / "run", data=(x, x.sum(1)), progress=False)
    else:
        with pytest.raises(KeyboardInterrupt):
            train.run(tables, tmp_path / "run", data=(x, x.sum(1)), progress=False, callback=stop)
        run = train.resume(tmp_path / "run", data=(x, x.sum(1)), progress=False)
    (job,) = run.jobs
    assert [row["valid_rmse"] for row in job.metrics] == [1.0, None, 0.5, None, 0.7]
    assert job.last[record.KEPT] == 2


def test_validation_samples_are_not_trained_on(tmp_path):
    run = train.run(tiny(preprocess={"validation": 0.25}), tmp_path / "run")
    row = run.jobs[0].metrics[-1]
    assert {"valid_error", "valid_loss"} <= set(row)
    assert run.jobs[0].metrics[-1]["updates"] == 3 * -(-int(1438 * 0.75) // 256)


def test_an_existing_run_is_kept_unless_forced(tmp_path):
    place = tmp_path / "run"
    train.run(tiny(), place)
    with pytest.raises(RunError, match="exists already"):
        train.run(tiny(), place)
    train.run(tiny(seeds=[9]), place, force=True)
    assert record.Run(place).experiment.seeds == [9]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not a run directory"):
        train.run(tiny(), tmp_path / "mine", force=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    (place / "notes").mkdir()
    (place / "notes" / "ideas.txt").write_text("keep")
    train.run(tiny(), place, force=True)
    assert (place / "notes" / "ideas.txt").read_text() == "keep"


@pytest.mark.parametrize("place", ["file/run", "x" * 300, "null\0byte"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be"):
        train.run(tiny(), tmp_path / place)


SPIKING = {
    "trace": {"tau_x": 10.0, "tau_z": 10.0}, "phases": {"free": 200.0, "nudged": 50.0, "propagation": "two_compartment"},
}  # fmt: skip
ONE_TO_ONE = [{"pre": 1, "post": 2, "connect": "one_to_one"}]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"network": {"neuron": "lif"}, "input": {"code": "frames"}, **SPIKING}, "needs samples of shape"),
        ({"network": {"neuron": "lif", "projection": ONE_TO_ONE}, **SPIKING}, "one_to_one joins populations of one width"),
        ({"network": {"hidden": [{"channels": 2, "kernel": 99}]}}, "kernel: 99 is larger"),
    ],
)
def test_what_is_refused_leaves_no_folder(tmp_path, tables, message):
    """Also where only the last of the conditions is wrong."""
    conditions = [{"name": "right"}, {"name": "wrong", **tables}]
    with pytest.raises(SpecError, match=message):
        train.run(tiny(condition=conditions), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("failing", ["warm_up", "measure", "train_epoch"])
def test_what_fails_before_an_epoch_is_over_blocks_nothing(tmp_path, monkeypatch, failing):
    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, failing, fail)
        with pytest.raises(MemoryError):
            train.run(tiny(), tmp_path / "run")
    assert (tmp_path / "run").exists() == (failing != "warm_up")
    run = train.run(tiny(seeds=[4], stage=[{"epochs": 1}]), tmp_path / "run")
    assert (run.info["status"], run.experiment.seeds) == ("finished", [4])


def test_a_run_in_the_place_of_its_own_data_is_refused(tmp_path):
    """Forced or not; a run that reads what it would remove could not be repeated."""
    train.record.create(tmp_path / "run", tiny())
    (tmp_path / "run" / "figures").mkdir()
    own = tmp_path / "run" / "figures" / "own.npz"
    labels = np.arange(6) % 2
    np.savez(own, x_train=np.eye(6), y_train=labels, x_test=np.eye(6), y_test=labels)
    with pytest.raises(RunError, match=r"data reads .*own\.npz, which this run would replace"):
        train.run(tiny(data=f"npz:{own}"), tmp_path / "run", force=True)
    assert own.exists()


def test_divergence_names_layer_step_and_sample_and_keeps_the_checkpoint(tmp_path):
    explosive = tiny(
        rule="bp", network={"hidden": [16, 12], "neuron": "linear"}, optimiser={"name": "sgd", "learning_rate": 900.0},
        stage=[{"epochs": 9}], batch_size=64,
    )  # fmt: skip
    with pytest.raises(NonFiniteError, match=r"layer.* in epoch \d+, step \d+, training sample \d+"):
        train.run(explosive, tmp_path / "run")
    run = record.Run(tmp_path / "run")
    assert run.info["status"].startswith("stopped: ")
    arrays, position = run.jobs[0].checkpoint()
    assert all(np.isfinite(v).all() for v in arrays.values())
    assert position.epoch == len(run.jobs[0].metrics) - 1


@pytest.mark.parametrize(
    "change",
    [{"stage": 99}, {"stage": -1}, {"epoch": 1e400}, {"rows": [1]}, {"steps": [1]}, {"steps": [0, 0, 0]}, {"more": 1}],
)
def test_a_checkpoint_that_was_tampered_with_is_refused(tmp_path, change):
    job = train.run(tiny(stage=[{"epochs": 1}]), tmp_path / "run").jobs[0]
    path = job.folder / "checkpoint.npz"
    found = arrays.load(path, "checkpoint")
    position = json.loads(found["position"].tobytes()) | change
    found["position"] = np.frombuffer(json.dumps(position).encode(), np.uint8)
    arrays.save(path, "checkpoint", found)
    (job.folder / "checkpoint-before.npz").unlink()
    with pytest.raises(RunError, match=r"checkpoint\.npz"):
        train.resume(tmp_path / "run")


class Warnings(train.Progress):
    """Keeps what a run warns of."""

    def __init__(self):
        self.said = []

    def warn(self, message):
        self.said.append(message)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut", None])
def test_a_run_with_a_damaged_checkpoint_goes_on_from_the_one_before(tmp_path, damage):
    job = train.run(tiny(), tmp_path / "run").jobs[0]
    whole, rows, path = job.weights, job.metrics, job.folder / "checkpoint.npz"
    assert [job.checkpoint(before)[1].epoch for before in (False, True)] == [3, 2]
    content = path.read_bytes()
    path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:] if damage is None else damage)
    (job.folder / "weights.npz").unlink()
    heard = Warnings()
    train.resume(tmp_path / "run", heard)
    assert str(path) in heard.said[0]
    assert heard.said[0].endswith("local seed 0 goes on from the one before it")
    assert sum("goes on from" in said for said in heard.said) == 1
    assert all(array.tobytes() == whole[name].tobytes() for name, array in job.weights.items())
    assert without_time(job.metrics) == without_time(rows)
    assert [job.checkpoint(before)[1].epoch for before in (False, True)] == [3, 2]


def test_a_run_whose_checkpoints_are_both_damaged_is_refused(tmp_path):
    job = train.run(tiny(stage=[{"epochs": 1}]), tmp_path / "run").jobs[0]
    for name in ("checkpoint.npz", "checkpoint-before.npz"):
        (job.folder / name).write_bytes(b"")
    with pytest.raises(RunError, match=r"checkpoint\.npz: damaged .*checkpoint-before\.npz: damaged"):
        train.resume(tmp_path / "run")


def test_a_run_that_was_killed_between_two_checkpoints_goes_on_from_the_first(tmp_path):
    job = train.run(tiny(stage=[{"epochs": 1}]), tmp_path / "run").jobs[0]
    whole = job.weights
    (job.folder / "checkpoint.npz").unlink()
    heard = Warnings()
    train.resume(tmp_path / "run", heard)
    assert not any("checkpoint" in said for said in heard.said)
    assert all(array.tobytes() == whole[name].tobytes() for name, array in job.weights.items())


def read_all(folder):
    run = record.Run(folder)
    return run.summary, run.info, run.metrics, run.jobs[0].weights, run.jobs[0].checkpoint()


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("summary.json", b"{"),
        ("run.json", b"\xff"),
        ("run.json", b"[1]"),
        ("conditions/local/seed-0/metrics.jsonl", b"1\n2\n"),
        ("conditions/local/seed-0/metrics.jsonl", b"{}\n"),
        ("conditions/local/seed-0/metrics.jsonl", b"[" * 100_000),
        ("conditions/local/seed-0/checkpoint.npz", b"PK\x03\x04 cut"),
        ("conditions/local/seed-0/metrics.jsonl", b'{"epoch": \n'),
        ("conditions/local/seed-0/weights.npz", b""),
        ("spec.toml", b"= 3"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, damage):
    run = train.run(tiny(stage=[{"epochs": 1}]), tmp_path / "run")
    (run.folder / file).write_bytes(damage)
    with pytest.raises(LocalDFAError, match=file.rsplit("/", 1)[-1].replace(".", r"\.")):
        read_all(run.folder)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    small, large = tiny(stage=[{"epochs": 1}]), tiny(stage=[{"epochs": 1}], network={"hidden": [20, 12]})
    train.run(small, tmp_path / "small")
    train.run(large, tmp_path / "large")
    shutil.copy(
        tmp_path / "small/conditions/local/seed-0/checkpoint.npz",
        tmp_path / "large/conditions/local/seed-0/checkpoint.npz",
    )
    with pytest.raises(RunError, match="does not fit"):
        train.resume(tmp_path / "large")


def test_resume_refuses_changed_data(tmp_path):
    rng = np.random.default_rng(0)
    own = {
        "x_train": rng.random((60, 5)),
        "y_train": np.arange(60) % 3,
        "x_test": rng.random((9, 5)),
        "y_test": np.arange(9) % 3,
    }
    np.savez(tmp_path / "own.npz", **own)
    train.run(tiny(data="npz:own.npz"), tmp_path / "run", base=tmp_path)
    np.savez(tmp_path / "own.npz", **{**own, "x_train": own["x_train"] ** 2})
    with pytest.raises(RunError, match="no longer the one"):
        train.resume(tmp_path / "run")


def test_files_are_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "value.json"
    files.write_json(target, {"a": [1.5, float("nan"), np.float32(2)]})
    assert json.loads(target.read_text()) == {"a": [1.5, None, 2.0]}
    with pytest.raises(TypeError):
        files.write_json(target, {"a": object()})
    assert json.loads(target.read_text())["a"][0] == 1.5
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_errors_below_the_threshold_teach_nothing(tmp_path):
    quiet = train.run(tiny(feedback={"threshold": 0.99}), tmp_path / "quiet").jobs[0]
    assert not quiet.weights["W1"].any()
    learning = {"optimiser": {"learning_rate": 1e-2}, "stage": [{"epochs": 12}], "batch_size": 32}
    some = train.run(tiny(feedback={"threshold": 0.2}, **learning), tmp_path / "some").jobs[0]
    every = train.run(tiny(**learning), tmp_path / "every").jobs[0]
    assert some.metrics[-1]["train_error"] < 10
    assert some.metrics[-1]["events"] < 0.9 * every.metrics[-1]["events"]


def test_the_training_error_on_some_samples(tmp_path):
    whole = train.run(tiny(), tmp_path / "whole").jobs[0]
    some = train.run(tiny(record={"train": 100}), tmp_path / "some").jobs[0]
    final = some.weights
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(array, final[name], err_msg=name)
    data = samples.load(tiny())
    chosen = network.generator(0, network.PROBE).permutation(len(data.y_train))[:100]
    h = data.x_train[chosen].reshape(100, -1)
    for l in (1, 2):
        h = np.tanh(h @ final[f"W{l}"].T + final[f"b{l}"])
    wrong = (h @ final["W3"].T + final["b3"]).argmax(axis=1) != data.y_train[chosen]
    assert some.metrics[-1]["train_error"] == 100 * wrong.mean()
    assert some.metrics[-1]["train_error"] != whole.metrics[-1]["train_error"]
    assert some.metrics[-1]["test_error"] == whole.metrics[-1]["test_error"]


@pytest.mark.parametrize("rule", ["local", "bp"])
def test_small_mini_batches_are_learned_by_one_thread_to_the_same_bits(tmp_path, monkeypatch, rule):
    used, learn = [], Plasticity.learn

    def noted(*given):
        used.append(numba.get_num_threads())
        learn(*given)

    monkeypatch.setattr(Plasticity, "learn", noted)
    tables = spec.experiment(rule=rule, network={"hidden": [20, 10]}, stage=[{"epochs": 1}], record={"probe": 16})
    there, found = numba.get_num_threads(), []
    for few, expected in ((10**9, 1), (0, there)):
        monkeypatch.setattr(threads, "FEW", few)
        used.clear()
        found.append(train.run(tables, tmp_path / str(few)).jobs[0].weights)
        assert set(used) == {expected}
        assert numba.get_num_threads() == there
    for name, array in found[0].items():
        assert array.tobytes() == found[1][name].tobytes()


@pytest.mark.parametrize("network", [{"hidden": [2], "neuron": "lif"}, {"hidden": [{"channels": 2}]}])
def test_work_that_is_not_known_beforehand_has_all_threads(tmp_path, network):
    setting = next(iter(spec.settings(spec.experiment(network=network)).values()))
    part = samples.Part(np.zeros((4, 64), np.float32), np.arange(4), 10, np.float32, (1, 8, 8))
    assert trainer.Trainer(setting, {"train": part}, record.Job(tmp_path, "any", 0))._multiplications > threads.FEW


@pytest.mark.parametrize(("delay", "noted"), [(1.0, 0.18), (30.0, None)])
def test_a_gate_that_cuts_membranes_short_is_noted_with_what_it_costs(tmp_path, rng, delay, noted):
    """Of one mini-batch: the change of hidden weights beside exact DFA's is the number of the note, that of the output 1."""
    x = rng.normal(size=(32, 6))
    y = x[:, :3].argmax(axis=1)
    of_both = tiny(
        data="arrays", network={"hidden": [8]}, stage=[{"epochs": 1}], batch_size=32, precision="float64",
        optimiser={"name": "sgd", "learning_rate": 1e-2},
    ).model_dump(exclude_unset=True)  # fmt: skip
    weights = {"W1": 0.3 * rng.normal(size=(8, 6)), "b1": np.zeros(8), "W2": 0.3 * rng.normal(size=(3, 8)), "b2": np.zeros(3)}
    timed = {"neuron": {"tau": 5.0}, "network": {"hidden": [8], "threshold": 1e-5, "delay": delay}, "phases": {"beta": 0.01}}

    def change(folder, **tables):
        run = train.run({**of_both, **tables}, tmp_path / folder, data=(x, y), weights=weights, progress=False)
        return run.info["notes"], {name: run.jobs[0].weights[name] - weights[name] for name in ("W1", "W2")}

    notes, found = change("local", rule="local", **timed)
    _, exact = change("dfa", rule="dfa")
    said = [note for note in notes if "the plasticity gate is open" in note]
    assert [f"learn {noted} times as fast as under DFA" in note for note in said] == [True] * (noted is not None)
    ratio = {name: np.vdot(found[name], exact[name]) / np.vdot(exact[name], exact[name]) for name in found}
    assert ratio["W1"] == pytest.approx(noted or 1.0, rel=0.02)
    assert ratio["W2"] == pytest.approx(1.0, rel=0.01)
