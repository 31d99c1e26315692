"""Conditions and seeds that workers train side by side give what one process gives, also where a worker is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_array_equal

import localdfa
from localdfa import cli, train
from localdfa.errors import LocalDFAError, NonFiniteError, RunError, SpecError
from localdfa.progress import Progress
from localdfa.record import Run

distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")

TWO = {
    "network": {"hidden": [12]}, "seeds": [0, 1], "stage": [{"epochs": 3}],
    "condition": [{"name": "local", "rule": "local"}, {"name": "bp", "rule": "bp"}],
}  # fmt: skip


def data(n=200):
    x = np.random.default_rng(0).normal(size=(n, 5))
    return x, (x.sum(axis=1) > 0).astype(int)


def of_training(run):
    """All that a run has learned and measured, without the time that it took."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics]
    return rows, [job.weights for job in run.jobs]


def same(run, other):
    (rows, weights), (of_other, weights_of_other) = of_training(run), of_training(other)
    assert rows == of_other
    for mine, others in zip(weights, weights_of_other, strict=True):
        assert mine.keys() == others.keys()
        for key in mine:
            assert_array_equal(mine[key], others[key])


class Heard(Progress):
    def __init__(self):
        self.expected, self.done, self.rows, self.ended = {}, {}, [], []

    def start(self, samples):
        self.expected = dict(samples)

    def skip(self, condition, samples):
        self.done[condition] = self.done.get(condition, 0) + samples

    def epoch(self, row):
        self.rows.append((row["condition"], row["seed"], row["epoch"]))

    def over(self, condition, seed):
        self.ended.append((condition, seed))


def test_workers_give_the_bits_of_one_process(tmp_path):
    alone = train.run(TWO, tmp_path / "alone", progress=False, data=data())
    heard = Heard()
    run = train.run(TWO, tmp_path / "two", progress=heard, data=data(), workers=2)
    same(run, alone)
    assert run.status == "finished"
    assert [sorted(entry) for entry in run.summary["conditions"]] == [sorted(entry) for entry in alone.summary["conditions"]]
    assert run.info["trained"]
    assert {entry["rows"] for entry in run.info["trained"]} == {4}
    # All of it was told: each row once, in the order of its training, and as many samples as there were to come.
    assert sorted(heard.rows) == sorted((c, s, e) for c in ("local", "bp") for s in (0, 1) for e in range(4))
    assert len(heard.ended) == 4
    for job in heard.ended:
        assert [epoch for *of, epoch in heard.rows if tuple(of) == job] == [0, 1, 2, 3]
    assert heard.done == heard.expected
    # Resumed, by whomever, there is nothing left to do.
    before = {path: path.read_bytes() for path in run.folder.rglob("weights.npz")}
    same(train.resume(run.folder, progress=False, data=data(), workers=2), alone)
    assert before == {path: path.read_bytes() for path in run.folder.rglob("weights.npz")}


def test_a_training_whose_worker_is_killed_goes_on_elsewhere(tmp_path):
    longer = {**TWO, "stage": [{"epochs": 150}], "condition": TWO["condition"][:1], "record": {"checkpoint": 10}}
    alone = train.run(longer, tmp_path / "alone", progress=False, data=data())
    killed = []

    def kill():
        """End a worker that has trained for a while."""
        metrics = tmp_path / "two" / "conditions" / "local" / "seed-0" / "metrics.jsonl"
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") > 12):
            time.sleep(0.02)
        for child in psutil.Process().children(recursive=True):
            if child.num_threads() > 1 and "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                killed.append(child.pid)
                return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    run = train.run(longer, tmp_path / "two", progress=False, data=data(), workers=2)
    killer.join()
    assert len(killed) == 1
    assert run.status == "finished"
    same(run, alone)


def written(folder):
    """The files of a condition and seed as they lie on the disk: when each was written, and which file it is."""
    whole = (path for path in folder.iterdir() if not path.name.startswith("."))  # those that a killed worker began go
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in whole}


def test_of_a_sweep_that_loses_a_worker_no_cell_is_trained_twice(tmp_path):
    """24 cells on two processes, one of which is killed midway; meanwhile no other sweep gets hold of the folder."""
    tables = {**TWO, "stage": [{"epochs": 25}], "condition": TWO["condition"][:1], "record": {"probe": 16, "checkpoint": 5}}
    asked = {"grid": {"phases.beta": [round(0.1 * k, 1) for k in range(1, 13)]}, "data": data(), "progress": False}
    before, killed, refused = {}, [], []

    def kill():
        """End a worker once some cells are over, while it has begun another; and try to begin or resume the same sweep."""
        info = tmp_path / "run" / "run.json"
        while not (info.exists() and len(json.loads(info.read_text()).get("trained", [])) >= 6):
            time.sleep(0.02)
        for again in (lambda: train.run(tables, tmp_path / "run", force=True, **asked),
                      lambda: train.resume(tmp_path / "run", progress=False, data=data())):  # fmt: skip
            try:
                again()
            except RunError as error:
                refused.append(str(error))
        workers = [each for each in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(each.cmdline())]
        over = {(each["condition"], each["seed"]) for each in json.loads(info.read_text())["trained"]}
        for condition, seed in over:
            before.update(written(tmp_path / "run" / "conditions" / condition / f"seed-{seed}"))
        worker = max(workers, key=lambda each: each.num_threads())
        worker.kill()
        killed.append(worker.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    run = train.run(tables, tmp_path / "run", workers=2, **asked)
    killer.join()
    assert len(killed) == 1
    assert [message for message in refused if "another process trains this run" in message] == refused
    assert len(refused) == 2
    assert run.status == "finished"
    assert len(run.jobs) == len(run.info["trained"]) == 24
    assert [len(job.metrics) for job in run.jobs] == [26] * 24
    assert len(before) >= 6
    after = {}
    for job in run.jobs:
        after |= written(job.folder)
    assert {path: after[path] for path in before} == before
    # Nor is anything trained or written again where the sweep is resumed.
    train.resume(run.folder, progress=False, data=data())
    assert {path: at for job in run.jobs for path, at in written(job.folder).items()} == after


def test_one_that_fails_costs_none_of_the_others(tmp_path):
    diverging = {
        "network": {"hidden": [16, 12], "neuron": "linear"}, "stage": [{"epochs": 4}],
        "condition": [
            {"name": "wild", "rule": "bp", "optimiser": {"name": "sgd", "learning_rate": 900.0}}, {"name": "bp", "rule": "bp"},
        ],
    }  # fmt: skip
    with pytest.raises(NonFiniteError, match=r"^wild seed 0: "):
        train.run(diverging, tmp_path / "run", progress=False, data=data(), workers=2)
    run = Run(tmp_path / "run")
    assert run.status.startswith("stopped: wild seed 0: ")
    wild, calm = run.jobs
    assert calm.trained
    assert calm.keeps("weights")
    assert not wild.trained


def test_workers_of_a_scheduler_train(tmp_path):
    alone = train.run(TWO, tmp_path / "alone", progress=False, data=data())
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        run = train.run(
            TWO, tmp_path / "run", progress=False, data=data(), workers=cluster.scheduler_address
        )  # fmt: skip
    same(run, alone)


@pytest.mark.parametrize(
    ("workers", "error", "message"),
    [
        ("tcp://127.0.0.1:1", RunError, "tcp://127.0.0.1:1.*no scheduler of Dask answers"),
        ("nowhere://x", RunError, "no scheduler of Dask answers"),
        (0, SpecError, "workers: 0"),
        (2.5, SpecError, r"workers: 2\.5; allowed: processes that train at once, from 1, or the address of a scheduler"),
        (True, SpecError, "workers: True; allowed"),
        ([2], SpecError, r"workers: \[2\]; allowed"),
    ],
)
def test_workers_that_cannot_be_had_are_refused_before_a_folder_is_made(tmp_path, monkeypatch, workers, error, message):
    monkeypatch.setattr("localdfa.side_by_side._PATIENCE", 0.5)
    with pytest.raises(error, match=message):
        train.run(TWO, tmp_path / "run", progress=False, data=data(), workers=workers)
    assert not (tmp_path / "run").exists()


def test_a_callback_and_workers_do_not_go_together(tmp_path):
    with pytest.raises(SpecError, match="callback"):
        train.run(TWO, tmp_path / "run", progress=False, data=data(), workers=2, callback=lambda row: None)


def test_without_dask_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(LocalDFAError, match=r"localdfa\[sweep\]"):
        train.run(TWO, tmp_path / "run", progress=False, data=data(), workers=2)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('rule = "local"\n[network]\nhidden = [8]\n[[stage]]\nepochs = 2\n', encoding="utf-8")
    return path


def test_a_sweep_from_the_command_line(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["sweep", str(small), "--grid", "phases.beta=0.1,1", "--seeds", "2", "--jobs", "2", "--out", "swept"]
    done = CliRunner().invoke(cli.main, asked)
    assert done.exit_code == 0, done.output
    run = localdfa.open_run(tmp_path / "swept")
    assert [*run.settings] == ["beta-0.1", "beta-1"]
    assert len(run.jobs) == 4
    assert (run.folder / "report.html").is_file()
    frame = run.frame()
    assert set(frame["phases.beta"]) == {0.1, 1.0}
    # The same folder again is another run.
    again = CliRunner().invoke(cli.main, asked)
    assert again.exit_code == 1
    assert "swept" in again.output


def test_of_two_options_for_workers_one_is_refused(small):
    done = CliRunner().invoke(cli.main, ["run", str(small), "--jobs", "2", "--scheduler", "tcp://x:1"])
    assert done.exit_code == 1
    assert "--jobs 2" in done.output


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_worker_and_a_run_that_goes_on(small, tmp_path, sent):
    command = [
        sys.executable, "-m", "localdfa", "sweep", str(small), "--grid", "batch_size=32,64", "--jobs", "2",
        "--out", str(tmp_path / "run"), "--set", "stage=[{epochs=2000}]",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, start_new_session=True
    )  # fmt: skip
    until = time.monotonic() + 240
    while not [*tmp_path.glob("run/conditions/*/*/metrics.jsonl")] and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does
    else:
        process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "interrupted; go on with: localdfa resume" in output
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
