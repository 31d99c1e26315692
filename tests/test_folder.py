"""The folder of a run: one process at a time, replaced as a whole, whatever was killed in it."""

import errno
import os
import shutil
import sys
from pathlib import Path

import filelock
import pytest

from localdfa import folder as folders
from localdfa import record, registry, spec, train
from localdfa.errors import RunError

OLD, NEW = spec.experiment(seeds=[1]), spec.experiment(seeds=[2])


class Killed(BaseException):
    """In place of the end of the process."""


def trained(folder, **changes):
    """The run of a folder, as if it had been trained: two rows of metrics and weights."""
    run = record.create(folder, OLD.model_copy(update=changes))
    job = run.jobs[0]
    job.write_metrics([{"condition": job.condition, "epoch": epoch} for epoch in (0, 1)])
    job.write("weights", {})
    (folder / "figures").mkdir()
    (folder / "figures" / "errors.png").write_bytes(b"old")
    (folder / "report.html").write_bytes(b"old")
    return run


def killed_after(steps, monkeypatch):
    """Ends the process after so many steps that change a folder."""
    left = [steps]

    def counted(function):
        def step(*arguments, **options):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return function(*arguments, **options)

        return step

    for owner, name in [
        (Path, "rename"),
        (Path, "replace"),
        (Path, "mkdir"),
        (Path, "rmdir"),
        (os, "replace"),
        (shutil, "rmtree"),
    ]:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


def check_whole(place):
    """What a reader finds that waits for nobody: no run, or one with all that belongs to it and nothing of another."""
    if not (place / "spec.toml").exists():
        with pytest.raises(RunError, match=r"not a run directory|is being replaced"):
            record.Run(place)
        return None
    run = record.Run(place)
    run.check_unchanged()
    names = {path.name for path in place.iterdir()} - {".new", ".next", ".old", "run.lock", "notes.txt"}
    whole = {"spec.toml", "run.json", "conditions", "figures", "report.html"}
    if run.experiment.models:
        names.remove("models")
    assert names == (whole if run.experiment.seeds == [1] else {"spec.toml", "run.json"})
    return run


@pytest.fixture
def with_a_model(monkeypatch):
    """NEW, with the file of a model, which the run keeps a copy of."""
    path = Path(__file__).with_name("plugin") / "example_models" / "softsign.py"
    monkeypatch.setattr(registry, "_files", {})
    monkeypatch.delitem(sys.modules, "localdfa_neurons_softsign", raising=False)
    return spec.experiment(seeds=[2], models={"neurons": [str(path)]}, network={"neuron": "softsign"})


@pytest.mark.parametrize("there", ["nothing", "a run", "a run and notes", "a run with the same model"])
def test_a_kill_at_any_step_leaves_the_old_run_or_the_new_one(tmp_path, monkeypatch, with_a_model, there):
    seen, new = set(), with_a_model
    for steps in range(40):
        place = tmp_path / f"{steps}"
        if there != "nothing":
            same = {"models": new.models, "network": new.network}
            trained(place, **(same if there == "a run with the same model" else {}))
        if there == "a run and notes":
            (place / "notes.txt").write_text("keep")
        with monkeypatch.context() as patched:
            killed_after(steps, patched)
            try:
                record.create(place, new, force=True)
                done = True
            except Killed:
                done = False
        check_whole(place)
        place.mkdir(exist_ok=True)
        with folders.held(place):
            pass
        left = {path.name for path in place.iterdir()}
        assert not left & {".new", ".next", ".old"}
        left -= {"run.lock", "notes.txt"}
        if left:
            run = check_whole(place)
            seen.add(run.experiment.seeds[0])
        else:
            assert there == "nothing"
        assert not done or run.experiment.seeds == [2]
        assert (place / "notes.txt").exists() == (there == "a run and notes")
        assert record.create(place, new, force=True).experiment.seeds == [2]
        if done:
            break
    assert done
    assert steps > (4 if there == "nothing" else 9)
    assert seen == ({2} if there == "nothing" else {1, 2})


def test_who_holds_a_folder_is_alone_and_the_lock_outlives_what_lies_there(tmp_path):
    run = trained(tmp_path / "run")
    lock = (run.folder / "run.lock").stat().st_ino
    with folders.held(run.folder):
        assert run.status == "running"
        for begin in (lambda: record.create(run.folder, NEW, force=True), lambda: train.resume(run.folder)):
            with pytest.raises(RunError, match="another process trains this run"):
                begin()
        assert record.Run(run.folder).experiment.seeds == [1]
    assert run.status == "interrupted"
    record.create(run.folder, NEW, force=True)
    assert (run.folder / "run.lock").stat().st_ino == lock


def test_a_run_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    run = trained(tmp_path / "run")
    rename = Path.rename

    def busy(path, place):
        if path.name == "figures" and ".old" in str(place):
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, place)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", busy)
        with pytest.raises(RunError, match=r"the run there cannot be replaced: .*busy"):
            record.create(run.folder, NEW, force=True)
    assert record.Run(run.folder).experiment.seeds == [1]
    assert record.Run(run.folder).jobs[0].keeps("weights")
    record.create(run.folder, NEW, force=True)


def test_only_a_run_with_an_epoch_is_in_the_way(tmp_path):
    place = tmp_path / "run"
    job = record.create(place, OLD).jobs[0]
    record.create(place, OLD)
    job.write_metrics([{"condition": "local", "epoch": 0}])
    (place / "summary.json").write_text("{}")
    job = record.create(place, OLD).jobs[0]
    assert not (place / "summary.json").exists()
    job.write_metrics([{"condition": "local", "epoch": epoch} for epoch in (0, 1)])
    with pytest.raises(RunError, match="exists already"):
        record.create(place, NEW)
    (job.folder / "metrics.jsonl").unlink()
    job.write("weights", {})
    with pytest.raises(RunError, match="exists already"):
        record.create(place, NEW)
    shutil.rmtree(place / "conditions")  # by somebody who keeps the report
    (place / "report.html").write_bytes(b"")
    with pytest.raises(RunError, match="exists already"):
        record.create(place, NEW)


def test_what_killed_writes_have_left_is_removed_at_the_next_opening(tmp_path):
    run = trained(tmp_path / "run")
    ours = [
        run.folder / ".run.json.9187", run.folder / ".spec.toml.1", run.jobs[0].folder / ".checkpoint.npz.9187",
        run.folder / "figures" / ".errors.png.9187", run.folder / ".report.html.9187",
    ]  # fmt: skip
    # A report may be written at this moment by a process that does not train; notes are not ours.
    others = [run.folder / ".certificate.json.9187", run.folder / ".notes.1", run.folder / ".swp"]
    for path in (*ours, *others):
        path.write_bytes(b"half")
    for path in ours[3:]:
        os.utime(path, (0, 0))
    (run.folder / ".new").mkdir()
    with folders.held(run.folder):
        pass
    assert [path.name for path in ours if path.exists()] == []
    assert [path.name for path in others if not path.exists()] == []
    assert not (run.folder / ".new").exists()


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(errno.ENOLCK, "No locks available")])
def test_where_files_cannot_be_locked_runs_go_on(tmp_path, monkeypatch, error):
    def acquire(*_, **__):
        raise error

    run = trained(tmp_path / "run")
    (tmp_path / "run" / ".run.json.1").write_bytes(b"")
    begun = record.create(tmp_path / "begun", OLD)
    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with folders.held(run.folder) as alone:
        assert not alone
    assert (tmp_path / "run" / ".run.json.1").exists()  # it may be somebody's
    assert record.create(tmp_path / "new", NEW).experiment.seeds == [2]
    assert record.create(run.folder, NEW, force=True).experiment.seeds == [2]
    with pytest.raises(RunError, match="exists already"):  # somebody may be at it
        record.create(begun.folder, NEW)


def test_each_start_gets_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "datetime", Midnight)
    assert [str(folders.take(None, "a.b")) for _ in range(3)] == [
        "runs/a.b-20000101-000000",
        "runs/a.b-20000101-000000-2",
        "runs/a.b-20000101-000000-3",
    ]


class Midnight(folders.datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz=None):
        return cls(2000, 1, 1)


def test_a_folder_that_is_none_is_left_as_it_is(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "spec.toml").write_text("by hand")
    for place, message in (("file", "exists already"), ("mine", "exists already"), ("nowhere", "not a run directory")):
        with pytest.raises(RunError, match=message):
            train.resume(tmp_path / place) if place == "nowhere" else record.create(tmp_path / place, NEW)
    with pytest.raises(RunError, match="not a run directory"):
        record.create(tmp_path / "mine", NEW, force=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine", "spec.toml"]
