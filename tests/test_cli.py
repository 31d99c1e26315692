"""The command line, run as a user runs it."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from localdfa import cli, record

SPEC = """
title = "small"
data = "digits"
seeds = [0]
batch_size = 256
[network]
hidden = [16]
[[stage]]
epochs = 2
[[condition]]
name = "local"
[[condition]]
name = "dfa"
rule = "dfa"
"""


def localdfa(*arguments, cwd, **how):
    command = [sys.executable, "-m", "localdfa", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, **how)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    (folder / "small.toml").write_text(SPEC)
    return folder


def test_run_prints_a_table_and_leaves_a_report(place):
    done = localdfa("run", "small.toml", "--out", "out", "--set", "network.hidden=[12]", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "dfa" in done.stdout
    assert "report: out/report.html" in done.stdout
    assert (place / "out" / "report.html").stat().st_size > 10_000
    assert json.loads((place / "out" / "summary.json").read_text())["conditions"][0]["epochs"] == 2
    again = localdfa("run", "small.toml", "--out", "out", cwd=place)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "quickstrat"], "did you mean 'quickstart'"),
        (["run", "small.toml", "--set", "phases.bta=1"], "did you mean 'beta'"),
        (["run", "small.toml", "--set", "data=npz:none.npz"], "none.npz"),
        (["run", "small.toml", "--set", "data=minst"], "nearest is mnist"),
        (["resume", "nowhere"], "nowhere"),
        (["show", "missing.toml"], "missing.toml"),
        (["show", "small.toml", "--set", "data=minst"], "nearest is mnist"),
    ],
)
def test_mistakes_are_one_message_without_a_traceback(place, arguments, words):
    done = localdfa(*arguments, cwd=place)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("localdfa: ")
    assert "Traceback" not in done.stderr


def test_paths_on_the_command_line_start_where_the_command_is_given(place):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(place / "own.npz", x_train=rng.random((40, 3)), y_train=labels, x_test=rng.random((40, 3)), y_test=labels)
    done = localdfa(
        "run",
        "quickstart",
        "--set",
        "data=npz:own.npz",
        "--set",
        "stage=[{epochs=1}]",
        "--set",
        "seeds=[0]",
        "--out",
        "[/red]",
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    assert "report: [/red]/report.html" in done.stdout


def test_two_starts_at_once_get_a_folder_each(tmp_path):
    (tmp_path / "small.toml").write_text(SPEC)
    command = [sys.executable, "-m", "localdfa", "run", "small.toml", "--set", "stage=[{epochs=1}]"]
    started = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    assert all(folder.name.startswith("small-") and record.Run(folder).status == "finished" for folder in folders)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf8_gets_what_it_can_show(place, encoding):
    """What cannot be shown is replaced, and the report is whole."""
    plain = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (place / "greek.toml").write_text(SPEC.replace('"small"', '"Σ ± τ"'), encoding="utf-8")
    small = ["--set", "condition=[]", "--set", "stage=[{epochs=1}]", "--out", encoding]
    done = localdfa("run", "greek.toml", *small, cwd=place, env=plain, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"report: {encoding}/report.html" in done.stdout
    assert ("? ± ?" if encoding == "latin-1" else "? ? ?") in done.stdout
    assert "Σ ± τ" in (place / encoding / "report.html").read_text(encoding="utf-8")
    helped = localdfa("certify", "--help", cwd=place, env=plain, encoding=encoding, errors="replace")
    assert (helped.returncode, helped.stderr) == (0, "")


def test_the_report_is_written_before_anything_is_printed(tmp_path, monkeypatch):
    from localdfa.analysis import report

    done = []
    monkeypatch.setattr(record, "Run", lambda folder: SimpleNamespace(best=None))
    monkeypatch.setattr(report, "write", lambda run: done.append("written"))
    monkeypatch.setattr(report, "print_table", lambda run, console: 1 / len(done) and done.append("printed"))
    cli._report(tmp_path, Console(file=io.StringIO()))
    assert done == ["written", "printed"]


def test_list_and_show(place):
    listed = localdfa("list", cwd=place).stdout
    for word in ("tanh", "sequential", "rmsprop", "ifa", "fashion-mnist", "npz:PATH", "quickstart"):
        assert word in listed
    assert max(map(len, listed.splitlines())) <= 80
    shown = localdfa("show", "quickstart", cwd=place)
    (place / "again.toml").write_text(shown.stdout)
    assert localdfa("show", "again.toml", cwd=place).stdout == shown.stdout
    kept = localdfa("show", "small.toml", "--set", "rule=bp", cwd=place)
    assert kept.stderr == "note: --set rule=bp is not taken by condition dfa, which has its own rule\n"
    assert 'rule = "bp"' in kept.stdout


@contextmanager
def under_way(place, name):
    """A run without an end in a process of its own, some epochs of which are over."""
    metrics = place / name / "conditions" / "local" / "seed-0" / "metrics.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "localdfa", "run", "small.toml", "--out", name, "--set", "stage=[{epochs=100000}]"],
        cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell without job control starts what runs in the background deaf to Ctrl-C, and so may have started us.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while not (metrics.exists() and len(metrics.read_text().splitlines()) > 3) and time.monotonic() < deadline:
                time.sleep(0.1)
            yield process
        finally:
            process.kill()


def test_ctrl_c_leaves_a_run_that_can_be_resumed(place):
    with under_way(place, "cut") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "localdfa resume cut" in out
    assert "Traceback" not in err
    assert (place / "cut" / "report.html").exists()
    assert len(json.loads((place / "cut" / "summary.json").read_text())["conditions"]) == 1


@pytest.mark.parametrize(
    ("arguments", "module", "function"),
    [
        (["run", "small.toml", "--out", "early"], "samples", "load"),
        (["run", "small.toml", "--out", "early"], "train", "_train_all"),
        (["certify", "small.toml"], "spec", "load"),
        (["watch", "early"], "watch", "watch"),
        (["report", "early"], "record", "Run"),
    ],
)
def test_ctrl_c_at_any_time_ends_with_the_status_that_shells_expect(place, monkeypatch, arguments, module, function):
    """Before anything is measured as well; a folder that is there is named."""

    def press(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(place)
    monkeypatch.setattr(f"localdfa.{module}.{function}", press)
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 130
    begun = function == "_train_all"
    assert ("go on with: localdfa resume early" in done.output) == begun
    assert done.output.splitlines()[-1].startswith("interrupted" if begun else "localdfa: interrupted")


def test_a_run_under_way_is_nobody_elses_and_one_that_is_killed_is_over(place):
    with under_way(place, "killed") as process:
        assert record.Run(place / "killed").status == "running"
        for command in (["resume", "killed"], ["run", "small.toml", "--out", "killed", "--force"]):
            refused = localdfa(*command, cwd=place)
            assert refused.returncode == 1
            assert "killed: another process trains this run" in refused.stderr
            assert "Traceback" not in refused.stderr
        process.kill()
        process.communicate(timeout=120)
    watched = localdfa("watch", "killed", cwd=place)
    assert watched.stdout.splitlines()[-1] == "interrupted"
    replaced = ["--force", "--set", "condition=[{name='local'}]", "--set", "stage=[{epochs=1}]"]
    assert localdfa("run", "small.toml", "--out", "killed", *replaced, cwd=place).returncode == 0
    assert record.Run(place / "killed").status == "finished"


def test_a_figure_that_is_named_as_a_run_is_asked_for_by_its_option(place):
    result = CliRunner().invoke(cli.main, ["plot", str(place), "errors"])
    assert (result.exit_code, "errors: is a figure" in result.output) == (1, True)
    assert "did you mean --figure errors?" in result.output


def test_plot_report_and_watch(place):
    run = ["--out", "drawn", "--set", "condition=[{name='local'}]", "--set", "stage=[{epochs=1}]", "--tensorboard"]
    done = localdfa("run", "small.toml", *run, cwd=place)
    assert done.returncode == 0, done.stderr
    assert list((place / "drawn" / "tensorboard" / "local" / "seed-0").iterdir())
    drawn = localdfa(
        "plot", "drawn", "--figure", "errors", "--figure", "fields", "--format", "pdf", "--style", "talk", cwd=place
    )
    assert drawn.stdout.split() == ["drawn/figures/errors.pdf", "drawn/figures/fields.pdf"]
    assert (place / "drawn" / "figures" / "errors.pdf").read_bytes().startswith(b"%PDF")
    lacking = localdfa("plot", "drawn", "--figure", "pca", cwd=place)
    assert lacking.returncode == 1
    assert lacking.stderr == (
        "localdfa: drawn: keeps no activity, which the figure pca needs; "
        "run it again with: localdfa run drawn/spec.toml --set record.activity=500\n"
    )
    both = localdfa("plot", "drawn", "--figure", "raster", "--figure", "weights", cwd=place)
    assert (both.returncode, both.stdout) == (1, "drawn/figures/weights.png\n")
    assert both.stderr.startswith("localdfa: drawn: keeps no spikes")
    assert "figure 'pcb' is not one of" in localdfa("plot", "drawn", "--figure", "pcb", cwd=place).stderr
    assert localdfa("report", "drawn", "--out", "page.html", cwd=place).stdout == "report: page.html\n"
    assert (place / "page.html").stat().st_size > 10_000
    watched = localdfa("watch", "drawn", cwd=place).stdout.splitlines()
    assert [line.split("  ")[1] for line in watched[:-1]] == ["epoch 0", "epoch 1"]
    assert watched[-1] == "finished"
