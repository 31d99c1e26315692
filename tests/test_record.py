"""What a run keeps for its figures: activities, predictions, the shape of the data, and the criteria of Theorem 1."""

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import Small

import localdfa
from localdfa import analysis, handover, jobs, measure, record, spec, train, watch
from localdfa import data as datasets
from localdfa.analysis import _kept, report, summary
from localdfa.cli import main
from localdfa.core.rate.settled import free_phase
from localdfa.errors import RunError
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


# --- what is kept of each epoch -----------------------------------------------------------------------------------------


def test_weights_of_each_epoch_are_read_by_it(tmp_path):
    tables = {
        "network": {"hidden": [6]}, "rule": "dfa", "stage": [{"epochs": 3}], "record": {"probe": 16, "weights": "every_epoch"}
    }  # fmt: skip
    run = localdfa.run(tables, tmp_path / "run", progress=False)
    (job,) = run.jobs
    assert job.epochs("weights") == [0, 1, 2, 3]
    kept = [job.load("weights", epoch=epoch) for epoch in job.epochs("weights")]
    assert all((one["W1"] != other["W1"]).any() for one, other in itertools.pairwise(kept))
    for name, array in job.weights.items():
        np.testing.assert_array_equal(array, kept[3][name])
    again = localdfa.run(tables, tmp_path / "again", weights=kept[0], progress=False)  # epoch 0 is what training began with
    for name, array in again.jobs[0].weights.items():
        np.testing.assert_array_equal(array, job.weights[name])
    for epoch in (4, -1, "1"):
        with pytest.raises(RunError, match=f"keeps no weights of epoch {epoch!r}; there are 0 to 3"):
            job.load("weights", epoch=epoch)
    (job.folder / "weights-00002.npz").unlink()
    with pytest.raises(RunError, match="keeps no weights of epoch 2; there are 0, 1, 3"):
        job.load("weights", epoch=2)
    assert job.epochs("outcome") == []
    with pytest.raises(RunError, match="keeps no outcome of epoch 0; there are none, but the end of training"):
        job.load("outcome", epoch=0)


# --- what is no longer what was written -------------------------------------------------------------------------------


def copied(run, folder):
    """A copy of a run, and the files of its second condition and seed."""
    copy = record.Run(shutil.copytree(run.folder, folder))
    return copy, copy.jobs[1]


def with_value(key, value, at=1):
    """Changes a column of one row, or the first of its layers."""

    def change(rows):
        rows[at][key] = [value, *rows[at][key][1:]] if isinstance(rows[at][key], list) else value
        return rows

    return change


def edited(folder, before, after):
    path = folder / "spec.toml"
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))


@pytest.mark.parametrize("command", ["plot", "report", "watch", "certify", "export", "resume"])
def test_a_spec_that_was_edited_is_refused_wherever_the_run_is_read(rate_run, tmp_path, command):
    edited(shutil.copytree(rate_run.folder, tmp_path / "run"), b"learning_rate = 0.0001", b"learning_rate = 0.0002")
    options = ["--to", "safetensors", "--condition", "bp"] if command == "export" else []
    done = CliRunner().invoke(main, [command, str(tmp_path / "run"), *options])
    assert done.exit_code == 1
    path = tmp_path / "run" / "spec.toml"
    assert done.output.startswith(f"localdfa: {path}: the spec is no longer the one that this run began with")
    assert "put back the one that it began with" in done.output
    with pytest.raises(RunError, match=r"spec\.toml: the spec is no longer"):
        localdfa.open_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"spec\.toml: the spec is no longer"):
        handover.source(str(tmp_path / "run" / "bp"), 0)


def test_a_spec_and_its_run_that_are_being_replaced_are_looked_at_again(rate_run, tmp_path, monkeypatch):
    folder = shutil.copytree(rate_run.folder, tmp_path / "run")
    whole = (folder / "spec.toml").read_bytes()
    edited(folder, b"learning_rate = 0.0001", b"learning_rate = 0.0002")
    monkeypatch.setattr(record.time, "sleep", lambda seconds: (folder / "spec.toml").write_bytes(whole))
    assert record.Run(folder).experiment == rate_run.experiment


def test_a_run_whose_run_json_is_gone_is_refused(rate_run, tmp_path):
    folder = shutil.copytree(rate_run.folder, tmp_path / "run")
    (folder / "run.json").unlink()
    with pytest.raises(RunError, match=r"run\.json: there is no such file"):
        record.Run(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "row 1 is of epoch 1, not 0"),
        (lambda rows: [rows[0], *rows[2:]], "row 2 is of epoch 2, not 1"),
        (lambda rows: [*rows[:2], *rows[1:]], "row 3 is of epoch 1, not 2"),
        (lambda rows: [rows[0], rows[2], rows[1], rows[3]], "row 2 is of epoch 2, not 1"),
        (with_value("epoch", 7), "row 2 is of epoch 7, not 1"),
        (lambda rows: rows[:-1], "3 rows, where training has left 4"),
        (lambda rows: [], "0 rows, where training has left 4"),
        (with_value("test_error", -0.1), "epoch 1: 'test_error' has the value -0.1"),
        (with_value("train_error", 100.5), "epoch 1: 'train_error' has the value 100.5"),
        (with_value("train_loss", -1.0), "'train_loss' has the value -1.0"),
        (with_value("cosine_to_dfa", 1.01), "'cosine_to_dfa' has the value"),
        (with_value("angle_to_bp", 181.0), "'angle_to_bp' has the value"),
        (with_value("silent", 1.5), "'silent' has the value"),
        (with_value("events", -1), "'events' has the value -1"),
        (with_value("seconds", 0.0, at=3), "epoch 3: 'seconds' has the value 0.0, less than the "),
        (with_value("stage", 1), "epoch 2: 'stage' has the value 0, less than the 1 "),
        (with_value("test_error", 12.5), "its checksum is not the one that run.json has of it"),
    ],
)
def test_rows_that_are_not_those_that_were_written_are_refused(rate_run, tmp_path, change, message):
    run, job = copied(rate_run, tmp_path / "run")
    path = job.folder / "metrics.jsonl"
    rows = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for read in (lambda: job.metrics, lambda: run.metrics, lambda: report.write(run)):
        with pytest.raises(RunError) as caught:
            read()
        assert f"{path}: damaged or not written by localdfa: " in str(caught.value)
        assert message in str(caught.value)
        assert str(caught.value).endswith(f"localdfa resume {run.folder}")


def test_rows_that_are_lost_are_missed_once_training_is_over_and_made_again(rate_run, tmp_path):
    run, job = copied(rate_run, tmp_path / "run")
    path = job.folder / "metrics.jsonl"
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(RunError, match=rf"metrics\.jsonl: there is no such file; .*: localdfa resume {run.folder}$"):
        analysis.get("errors").figure(run)
    last = run.jobs[-1].folder / "metrics.jsonl"
    torn = last.read_bytes()
    last.write_bytes(torn[:-20])
    train.resume(run.folder, progress=False)
    assert path.read_bytes() == whole
    assert last.read_bytes() == torn
    assert len(run.summary["conditions"]) == 9


def test_rows_may_end_anywhere_while_training_goes_on_and_a_torn_one_is_survived(rate_run, tmp_path):
    run, job = copied(rate_run, tmp_path / "run")
    run.note_trained(job, None)
    path = job.folder / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    assert [row["epoch"] for row in job.metrics] == [0, 1]
    path.write_bytes(whole[:-20])
    train.resume(run.folder, progress=False)
    assert path.read_bytes() == whole
    assert job.trained.rows == 4
    run.note_trained(job, None)
    path.unlink()
    assert job.metrics == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc to look up files in")
def test_the_disk_is_waited_for_once_a_training_and_once_a_checkpoint(tmp_path, monkeypatch):
    """A checkpoint has the rows as well, from which they are written anew after a power failure."""
    waited, wait = [], os.fsync

    def noted(descriptor):
        waited.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.split(".")[1])
        wait(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    tables = {"network": {"hidden": [4]}, "stage": [{"epochs": 3}], "batch_size": 256, "record": {"probe": 16}}
    train.run(spec.experiment(tables), tmp_path / "run")
    assert (waited.count("checkpoint"), waited.count("metrics")) == (4, 1)
    assert waited.index("metrics") > max(i for i, name in enumerate(waited) if name == "checkpoint")


@pytest.fixture
def reads(monkeypatch):
    """How often run.json is read while something is called."""
    real = record.info_of

    def count(called, *arguments):
        looks = []
        with monkeypatch.context() as patched:
            patched.setattr(record, "info_of", lambda folder: (looks.append(folder), real(folder))[1])
            called(*arguments)
        return len(looks)

    return count


def test_run_json_is_read_once_for_all_trainings_of_a_run(rate_run, tmp_path, reads):
    """Of many trainings it is large, and each of them has it read again as it ends."""
    run, job = copied(rate_run, tmp_path / "run")
    assert reads(jobs.summarise, run) == 1
    assert reads(lambda: run.metrics) == 1
    assert reads(summary.ends, run) == 1
    assert reads(summary.band, run) == 1
    assert reads(_kept.jobs, run, "activity", "tsne") == 1
    assert reads(watch.table, run, "finished") == 1
    assert reads(run.note_trained, job, None) == 1
    assert reads(run.note_trained, job, job.metrics) == 1
    assert reads(run.note_not_kept, job, {"weights": "no room"}) == 1
    assert reads(run.note, "a note") == 1
    assert run.rows_by_job == {each: each.metrics for each in run.jobs}
    assert run.metrics == [row for each in run.jobs for row in each.metrics]


def resealed(info):
    """run.json with the checksum of what it holds."""
    return record._sealed({key: value for key, value in info.items() if key != "sha256"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "its checksum is not that of its content"),
        ("{", "Expecting property name"),
        (lambda info: {**info, "status": "finished "}, "its checksum is not"),
        (lambda info: resealed({**info, "status": None}), "status: .*not a text"),
        (lambda info: resealed({k: v for k, v in info.items() if k != "status"}), "status: Field required"),
        (lambda info: resealed({**info, "shape": [0]}), r"shape\.0: "),
        (lambda info: resealed({**info, "classes": "ab"}), "classes: "),
        (lambda info: resealed({**info, "not_kept": [{}]}), r"not_kept\.0\.condition: "),
    ],
    ids=["empty", "cut", "changed", "no status", "without status", "shape", "classes", "not kept"],
)  # fmt: skip
def test_a_run_json_that_is_not_what_was_written_is_refused(rate_run, tmp_path, content, message):
    run, job = copied(rate_run, tmp_path / "run")
    path = run.folder / "run.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content(json.loads(path.read_text()))))
    for read in (lambda: run.info, lambda: run.status, lambda: job.metrics, lambda: report.write(run),
                 lambda: analysis.get("errors").figure(run), lambda: train.resume(run.folder, progress=False)):  # fmt: skip
        with pytest.raises(RunError, match=rf"run\.json: damaged or not written by localdfa: .*{message}"):
            read()


def test_run_json_can_tell_of_files_whose_names_are_no_text(rate_run, tmp_path):
    run, job = copied(rate_run, tmp_path / "run")
    run.note_not_kept(job, {"activity": "\udcff: no such file"})
    run.update_info(status="stopped: \udcff")
    assert run.status == "stopped: \udcff"
    assert [each.why for each in run.not_kept] == ["\udcff: no such file"]


@pytest.mark.parametrize(("name", "figure"), [("activity", "rates"), ("weights", "weights"), ("outcome", "confusion")])
@pytest.mark.parametrize("lost", ["one", "all"])
def test_a_record_that_is_lost_is_said_to_be_and_made_again(rate_run, tmp_path, name, figure, lost):
    run, job = copied(rate_run, tmp_path / "run")
    paths = [each.folder / f"{name}.npz" for each in (run.jobs if lost == "all" else [job])]
    for path in paths:
        path.unlink()
    with pytest.raises(RunError) as caught:
        analysis.get(figure).figure(run)
    assert str(caught.value) == (
        f"{paths[0]}: is gone, which the figure {figure} needs; to make it again: localdfa resume {run.folder}"
    )
    if lost == "one":
        train.resume(run.folder, progress=False)
        analysis.get(figure).figure(run)
        assert paths[0].read_bytes() == (rate_run.jobs[1].folder / f"{name}.npz").read_bytes()


def test_a_record_that_training_has_not_come_to_is_not_said_to_be_lost(rate_run, tmp_path):
    run, _ = copied(rate_run, tmp_path / "run")
    for job in run.jobs:
        run.note_trained(job, None)
        (job.folder / "activity.npz").unlink()
    with pytest.raises(RunError, match=f"training writes them at its end; go on with: localdfa resume {run.folder}"):
        analysis.get("rates").figure(run)


# --- Theorem 1 --------------------------------------------------------------------------------------------------------


def prescribed(small, e):
    """−δh of each hidden layer under direct feedback, by hand."""
    return [matrix @ e for matrix in small.network.feedback]


@pytest.mark.parametrize("neuron", ["tanh", "logistic"])
def test_theorem_1_against_differences_of_the_criterion(rng, neuron):
    """K is what it says; L is |δh above| times the slope of the K above along δh, or the slope of the loss itself."""
    small = Small(rng, rule="dfa", network={"neuron": neuron})
    f = np.tanh if neuron == "tanh" else lambda a: 1 / (1 + np.exp(-a))
    found = measure.theorem(small.network, free_phase(small.network, small.inputs), small.target)
    expected = {key: [[], [], []] for key in ("k", "l", "beta", "l_above", "k_pair", "l_pair")}
    expected_output = []
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

            # What the activity above, or the output's drive, moves by when h moves along δh, along its own δh.
            def up(h, l=l):
                a = small.W[l + 1] @ h + small.b[l + 1]
                return a if l == 2 else f(a)

            own = e if l == 2 else deltas[l + 1]
            own = own / np.linalg.norm(own)
            expected["l_above"][l].append(own @ (up(hs[l] + eps * d) - up(hs[l] - eps * d)) / (2 * eps))
            expected["k_pair"][l].append(unit @ hs[l] + own @ up(hs[l]))
            expected["l_pair"][l].append(expected["l"][l][-1] + expected["l_above"][l][-1])
        expected_output.append(own @ up(hs[2]))
    for key, layers in expected.items():
        np.testing.assert_allclose(found[f"theorem_{key}"], np.mean(layers, axis=1), rtol=1e-6, atol=1e-7)
    assert found["theorem_k_output"] == pytest.approx(np.mean(expected_output), rel=1e-9)


def test_back_propagation_prescribes_the_gradient_itself(rng):
    small = Small(rng, rule="bp")
    found = measure.theorem(small.network, free_phase(small.network, small.inputs), small.target)
    np.testing.assert_allclose(found["theorem_beta"], 0, atol=1e-5)
    assert min(found["theorem_l"]) > 0


def test_the_criteria_of_a_network_without_error_are_undefined(rng):
    small = Small(rng, rule="dfa")
    for w in small.network.weights:
        w[...] = 0
    found = measure.theorem(small.network, free_phase(small.network, small.inputs), np.full_like(small.target, 0.5))
    assert np.isnan([*found["theorem_k"], *found["theorem_l"], *found["theorem_beta"]]).all()
    found = measure.theorem(small.network, free_phase(small.network, small.inputs), small.target)
    assert found["theorem_k"] == found["theorem_l"] == [0, 0, 0]
    assert np.isnan(found["theorem_beta"]).all()
