"""What a run keeps after training: of every trial all of it, checked before, and never at the cost of the training."""

import html
import importlib
import json
import pickle
import shutil
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from localdfa import arrays, cli, memory, record, recording, registry, spec, train
from localdfa.errors import RunError, SpecError


class Heard(train.Progress):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def spiking(**tables):
    """A small experiment of two spiking layers that keeps all that there is."""
    return spec.experiment(
        {
            "seeds": [3],
            "network": {"hidden": [12, 8], "neuron": "lif"} | tables.pop("network", {}),
            "trace": {"tau_x": 10.0, "tau_z": 10.0},
            "phases": {"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"} | tables.pop("phases", {}),
            "optimiser": {"learning_rate": 4e-3},
            "stage": [{"epochs": 1}],
            "batch_size": 256,
            "record": {"probe": 16, "train": 16, "activity": 10, "spikes": 3, "states": 3, "changes": 3}
            | tables.pop("record", {}),
            **tables,
        }
    )


def test_a_trial_none_of_whose_errors_is_noticed_is_kept_to_its_end(tmp_path):
    """All errors are below the threshold of events, so nothing is nudged: the twins are what their somata are."""
    (job,) = train.run(spiking(feedback={"threshold": 0.999}), tmp_path / "run").jobs
    kept, spikes = job.states, job.spikes
    np.testing.assert_array_equal(spikes["trials"], kept["trial"])
    late = kept["time"] > 100
    assert (np.ptp(kept["v1"][:, late], axis=1) > 0).all()
    assert (kept["z1"][:, late].max(axis=1) > 0).all()
    assert not any(kept[f"current{l}"].any() for l in (1, 2))
    for l in (1, 2):
        own = (spikes["population"] == l) & (spikes["time"] >= 100)
        soma, twin = (
            [
                (t, n, s)
                for t, n, s in zip(
                    *(spikes[key][own & (spikes["twin"] == twin)] for key in ("time", "neuron", "trial")), strict=True
                )
            ]
            for twin in (False, True)
        )
        assert soma
        assert sorted(soma) == sorted(twin)
        assert max(t for t, _, _ in soma) > 250
    assert not job.changes["dW1"].any()


def test_trials_in_which_nothing_spikes_are_kept(tmp_path):
    (job,) = train.run(spiking(neuron={"baseline": -5.0}, record={"states": 0, "changes": 0}), tmp_path / "run").jobs
    assert not job.spikes["time"].size
    assert len(job.spikes["trials"]) == 3


def test_a_neuron_is_kept_of_each_population_that_has_it(tmp_path):
    """Of layers of 12, 8 and 10 neurons, the last those of the output."""
    (job,) = train.run(spiking(network={"output": "spikes"}, record={"neurons": [9, 11]}), tmp_path / "run").jobs
    states, changes = job.states, job.changes
    assert [list(states[f"neuron{l}"]) for l in (1, 2, 3)] == [[9, 11], [], [9]]
    assert [states[f"v{l}"].shape[::2] for l in (1, 2, 3)] == [(3, 2), (3, 0), (3, 1)]
    assert [changes[f"dW{l}"].shape for l in (1, 2, 3)] == [(3, 2, 2), (3, 0, 2), (3, 1, 0)]


@pytest.mark.parametrize(
    ("tables", "installed", "message"),
    [
        ({"neurons": [2, 20], "changes": 0}, 2e9, r"record.neurons: no population .* has a neuron 20; allowed: 0 to 11$"),
        ({"neurons": [64]}, 2e9, r"record.neurons: no population .* has a neuron 64; allowed: 0 to 63$"),
        ({"interval": 0.01, "neurons": [*range(12)]}, 2e7, r"record.states: 3 would need about 0 GiB .* longer "),
        ({"spikes": 16}, 1e4, r"record.spikes: 16 would need"),
        ({"activity": 1000}, 1e5, r"record.activity: 1000 would need"),
        ({"changes": 16, "neurons": list(range(60)), "states": 0}, 1e5, r"record.changes: 16 would need"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_is_refused_before_there_is_a_folder(tmp_path, monkeypatch, tables, installed, message):
    monkeypatch.setattr(recording, "_memory", lambda: installed)
    with pytest.raises(SpecError, match=message):
        train.run(spiking(record=tables), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["spikes", "states", "changes"])
def test_no_more_trials_are_kept_than_the_probe_has(name):
    with pytest.raises(
        SpecError, match=rf"record\.{name}: 17 trials are more than record.probe = 16, .*; allowed: up to 16, or"
    ):
        spiking(record={name: 17})
    spiking(record={name: 16})


def test_no_more_samples_are_kept_than_there_are(tmp_path):
    labels = np.arange(12) % 2
    np.savez(tmp_path / "own.npz", x_train=np.eye(12), y_train=labels, x_test=np.eye(12), y_test=labels)
    for name in ("spikes", "states", "changes", "activity"):
        with pytest.raises(SpecError, match=rf"record\.{name}: 13 are more than the 12 samples .*; allowed: up to 12"):
            train.run(spiking(data=f"npz:{tmp_path / 'own.npz'}", record={name: 13}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("interval", [1e-300, 1e-9, 0.009])
def test_states_come_no_closer_than_a_hundredth_of_a_millisecond(interval):
    with pytest.raises(SpecError, match=r"record.interval: .*0\.01"):
        spiking(record={"interval": interval})


def test_a_record_of_spikes_is_refused_where_no_condition_has_any():
    for name in ("spikes", "states"):
        with pytest.raises(SpecError, match=rf"record\.{name}: 3 is of spiking neurons .* no condition .*; allowed here: 0"):
            spec.experiment(record={name: 3})
    mixed = {"condition": [{"name": "rate"}, {"name": "lif", "network": {"neuron": "lif"}}], "record": {"spikes": 3}}
    assert spec.experiment(mixed).record.spikes == 3


def test_a_recorder_is_one_file_that_brings_its_keys(tmp_path, monkeypatch):
    """What it keeps is asked for, bounded, checked, made after each epoch and at the end, and read as any other."""
    (tmp_path / "loss.py").write_text(LOSS)
    package = importlib.import_module("localdfa.recorders")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    tables = {"network": {"hidden": [4]}, "stage": [{"epochs": 2}], "record": {"probe": 16, "loss": 7}}
    try:
        assert registry.describe("recorders", "loss") == "Loss of some training samples"
        with pytest.raises(SpecError, match=r"record\.loss: 0 is not allowed: .*greater than or equal to 1"):
            spec.experiment({**tables, "record": {"loss": 0}})
        with pytest.raises(SpecError, match=r"record\.loss: no more than 100"):
            spec.experiment({**tables, "record": {"loss": 101}})
        with pytest.raises(SpecError, match=r"unknown key record\.lsos: .* did you mean 'loss'"):
            spec.experiment({**tables, "record": {"lsos": 1}})
        experiment = spec.experiment(tables)
        assert pickle.loads(pickle.dumps(experiment)) == experiment
        (job,) = train.run(experiment, tmp_path / "run").jobs
        assert spec.load(str(tmp_path / "run" / "spec.toml")).record.loss == 7
        assert "loss" in dir(job)
        assert job.loss["loss"].shape == (7,)
        assert arrays.load(job.folder / "loss-00001.npz", "loss")["loss"].mean() > job.loss["loss"].mean()
        np.testing.assert_array_equal(arrays.load(job.folder / "loss-00002.npz", "loss")["loss"], job.loss["loss"])
    finally:
        registry.get.cache_clear()
        sys.modules.pop("localdfa.recorders.loss", None)
    with pytest.raises(AttributeError, match="has no attribute 'lost'"):
        _ = job.lost


LOSS = '''"""Loss of some training samples."""

import numpy as np
from pydantic import Field

from localdfa.recorders._recorder import Recorder


class Loss(Recorder):
    keys = {"loss": (int | None, Field(None, ge=1, description="training samples whose loss is kept"))}

    @staticmethod
    def each_epoch(keep):
        return True

    @staticmethod
    def refusal(keep, setting):
        return "record.loss: no more than 100" if keep.loss and keep.loss > 100 else None

    @staticmethod
    def record(trained, keep):
        part, rows = trained.parts["train"], trained.draw(keep.loss)
        drive = trained.engine.read(trained.network, part.inputs[rows], np.random.default_rng(0))
        return {"loss": trained.network.loss(drive, part.targets[rows]), "sample": rows}


model = Loss
'''


@pytest.mark.parametrize("asked", ["other", "mine"])
def test_a_recorder_whose_key_is_not_called_as_its_file_is_told_so(tmp_path, monkeypatch, asked):
    monkeypatch.setattr(registry, "_files", {})
    path = tmp_path / "mine.py"
    path.write_text(LOSS.replace('"loss": (int', '"other": (int'))
    try:
        with pytest.raises(
            SpecError, match=r"record\.other: the recorder 'mine' brings this key, .* called as its file, 'mine'"
        ):
            spec.experiment(models={"recorders": [str(path)]}, record={asked: 7})
    finally:
        registry.get.cache_clear()


def test_a_record_that_could_not_be_read_is_not_kept_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(registry.get("recorders", "outcome"), "record", lambda trained, keep: {"a": [1, "x", None]})
    run = train.run({"network": {"hidden": [4]}, "stage": [{"epochs": 1}], "record": {"probe": 16}}, tmp_path / "run")
    assert run.status == "finished"
    (lost,) = run.not_kept
    assert (lost.record, lost.why) == (
        "outcome", "outcome: a = [1, 'x', None] holds objects of Python; allowed: numbers, truths or texts alone"
    )  # fmt: skip
    assert not run.jobs[0].keeps("outcome")


def test_memory_is_that_of_a_machine():
    assert 1e8 < recording._memory() < 1e15


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train.run(spiking(), tmp_path_factory.mktemp("whole") / "run")


def broken(patch, name, error):
    """A recorder that fails."""

    def fail(trained, keep):
        raise error

    patch.setattr(registry.get("recorders", name), "record", fail)


def test_whatever_fails_in_recording_costs_no_training_and_can_be_asked_again(whole, tmp_path, monkeypatch):
    heard = Heard()
    with monkeypatch.context() as patch:
        broken(patch, "states", MemoryError("no room"))
        run = train.run(spiking(), tmp_path / "run", progress=heard)
    (job,) = run.jobs
    assert run.status == "finished"
    assert [job.keeps(name) for name in ("weights", "outcome", "spikes", "states", "changes")] == [
        True,
        True,
        True,
        False,
        True,
    ]
    assert run.summary["conditions"][0]["not_kept"] == {"states": "MemoryError: no room"}
    (said,) = (warning for warning in heard.warnings if "nothing is learned" not in warning)
    assert "local seed 3: record.states could not be kept: MemoryError: no room" in said
    assert f"localdfa resume {run.folder}" in said
    done = CliRunner().invoke(cli.main, ["plot", str(run.folder), "--figure", "trial"])
    assert done.exit_code == 1
    assert f"could not be kept, MemoryError: no room; try it again with: localdfa resume {run.folder}" in done.output.replace(
        "\n", " "
    )
    again = train.resume(run.folder)
    assert again.summary["conditions"][0]["not_kept"] == {}
    assert again.not_kept == []
    for name in ("spikes", "states", "changes", "activity", "outcome", "weights"):
        for key, array in getattr(whole.jobs[0], name).items():
            np.testing.assert_array_equal(getattr(again.jobs[0], name)[key], array)


def test_ctrl_c_while_recording_is_heard(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        broken(patch, "spikes", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            train.run(spiking(), tmp_path / "run")
    assert record.Run(tmp_path / "run").status == "interrupted"
    (job,) = train.resume(tmp_path / "run").jobs
    assert all(job.is_whole(name) for name in registry.names("recorders"))


RECORDS = ("spikes", "states", "changes", "activity", "outcome", "weights")


def damage(folder, name, how):
    path = folder / f"{name}.npz"
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    else:
        shutil.copy(folder / f"{how}.npz", path)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_is_not_what_was_written_is_refused_and_made_again(whole, tmp_path, name):
    expected = getattr(whole.jobs[0], name)
    for how in ("gone", "cut", RECORDS[RECORDS.index(name) - 1]):
        folder = shutil.copytree(whole.folder, tmp_path / how)
        (job,) = record.Run(folder).jobs
        damage(job.folder, name, how)
        with pytest.raises(RunError, match=rf"{name}\.npz"):
            getattr(job, name)
        train.resume(folder)
        for key, array in getattr(job, name).items():
            np.testing.assert_array_equal(array, expected[key])


def test_a_report_names_the_record_that_is_damaged(whole, tmp_path):
    for name, other in (("states", "spikes"), ("outcome", "states")):
        folder = shutil.copytree(whole.folder, tmp_path / name)
        damage(record.Run(folder).jobs[0].folder, name, other)
        done = CliRunner().invoke(cli.main, ["report", str(folder)])
        assert done.exit_code == 0, done.output
        page = html.unescape((folder / "report.html").read_text(encoding="utf-8"))
        assert f"{name}.npz: holds '{other}', not '{name}'" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_error": "12"}, "'train_error' has the value '12'"),
        ({"rate": [1.0, "2"]}, "'rate' has the value"),
        ({"rate": 3.0}, "'rate' has the value 3.0"),
        ({"events": True}, "'events' has the value True"),
        ({"epoch": -1}, "'epoch' has the value -1"),
        ({"epoch": 1.5}, "'epoch' has the value 1.5"),
        ({"seconds": float("nan")}, "'seconds' has the value nan"),
        ({"rule": None}, "'rule' has the value None"),
        ({"seed": 4}, "a row of condition 'local', seed 4"),
        ({"condition": "dfa"}, "a row of condition 'dfa', seed 3"),
        ({"train_error": ...}, "a row without train_error"),
    ],
)
def test_every_row_of_metrics_is_looked_at(whole, tmp_path, change, message):
    job = record.Job(tmp_path, "local", 3)
    rows = [dict(row) for row in whole.jobs[0].metrics]
    rows[-1] = {key: value for key, value in {**rows[-1], **change}.items() if value is not ...}
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RunError, match=rf"metrics\.jsonl: damaged or not written by localdfa: .*{message}"):
        _ = job.metrics


# --- trials that begin where the one before has ended -----------------------------------------------------------------


def carried(**tables):
    return spiking(phases={"onset": "carried"}, stage=[{"epochs": 2}], data="digits", **tables)


def test_carried_trials_go_on_through_mini_batches_epochs_and_checkpoints(tmp_path, monkeypatch):
    """Resumed, the training comes to the same bits; how the test set is cut up changes nothing; but the onset does."""
    whole = train.run(carried(), tmp_path / "whole")

    class Stop(train.Progress):
        def epoch(self, row):
            if row["epoch"] == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(memory, "CHUNK", 9)
    with pytest.raises(KeyboardInterrupt):
        train.run(carried(), tmp_path / "parts", progress=Stop())
    parts = train.resume(tmp_path / "parts")
    rested = train.run(spiking(stage=[{"epochs": 2}]), tmp_path / "rested")
    for name in RECORDS:
        for key, array in getattr(whole.jobs[0], name).items():
            np.testing.assert_array_equal(getattr(parts.jobs[0], name)[key], array)
    # Drives of other samples at once are rounded otherwise.
    assert [r["test_loss"] for r in parts.metrics] == pytest.approx([r["test_loss"] for r in whole.metrics], rel=1e-6)
    assert (rested.jobs[0].weights["W1"] != whole.jobs[0].weights["W1"]).any()
    # The trials that are kept are one sequence.
    kept = whole.jobs[0].states
    assert (kept["z1"][0, 0] == 0).all()
    assert (kept["z1"][1, 0] > 0).any()


def test_carried_state_of_another_network_is_refused(tmp_path):
    (job,) = train.run(carried(record={"states": 0, "spikes": 0, "changes": 0, "activity": 0}), tmp_path / "run").jobs
    found = arrays.load(job.folder / "checkpoint.npz", "checkpoint")
    arrays.save(job.folder / "checkpoint.npz", "checkpoint", {**found, "carried_until": np.zeros(3)})
    with pytest.raises(RunError, match=r"does not fit this experiment: until has shape \(3,\) float64, not \(\d+,\)"):
        train.resume(tmp_path / "run")
