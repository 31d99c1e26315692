"""What the command line says of keys, and the spec that it writes to begin with."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from localdfa import spec
from localdfa.cli import main
from localdfa.errors import SpecError
from localdfa.spec import explain


def said(*arguments):
    done = CliRunner().invoke(main, arguments, env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.output


def test_every_key_says_what_it_is():
    found = explain.all_keys()
    names = [key.name for key in found if not key.of]
    assert len(set(names)) == len(names) > 130
    assert all(key.type for key in found)
    assert not [key.name for key in found if not key.meaning and not key.name.startswith("module.")]
    for key in found:
        if key.meaning.endswith(", ms") or ", ms;" in key.meaning:
            assert key.unit == "ms", key


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("network.tau_syn", {"type": "number", "unit": "ms", "allowed": "0, or 0.1 to 1000", "default": "0.0"}),
        ("feedback.density", {"type": "number", "allowed": "above 0, up to 1"}),
        ("phases.nudging", {"type": "text", "allowed": "one_sided, centered", "default": '"centered"'}),
        ("rule", {"type": "text", "default": '"local"'}),
        ("stage[0].epochs", {"type": "whole number", "allowed": "1 to 100000", "default": "10"}),
        ("condition.network.dropout", {"allowed": "0 or more, below 1"}),
        ("seeds", {"type": "list of whole numbers"}),
        ("rules.erbp.v_low", {"of": "erbp", "meaning": "the window, in the unit of v"}),
        ("record.activity", {"type": "whole number", "default": "0"}),
    ],
)
def test_a_key_is_explained(name, told):
    (key,) = explain.find(name)
    assert {field: getattr(key, field) for field in told} == told


def test_what_is_told_holds():
    """Bounds are those that a spec is held to."""
    for name, inside, outside in (("phases.beta", 100.0, 100.1), ("network.tau_syn", 0.1, 0.05), ("feedback.gain", 1e-3, 0.0)):
        table, key = name.split(".")
        spec.experiment({"network": {"neuron": "lif"}, **({} if table == "network" else {table: {key: inside}})})
        with pytest.raises(SpecError, match=name):
            spec.experiment({table: {key: outside}})


def test_parts_of_keys_tables_and_models_are_found():
    assert [key.name for key in explain.find("nudging")] == ["phases.nudging"]
    assert {key.of for key in explain.find("tau_m")} == {"lif", "alif", "qif"}
    assert all(key.unit == "ms" for key in explain.find("tau_m"))
    assert [key.name for key in explain.find("decay")] == ["optimiser.decay"]
    assert {key.name.partition(".")[0] for key in explain.find("lif")} == {"neuron"}
    with pytest.raises(SpecError, match="did you mean 'nudging'"):
        explain.find("nudgeing")


def test_the_terminal_says_it_in_80_columns():
    for arguments in (["explain", "phases.beta"], ["explain"], ["list"], ["list", "--data"], ["explain", "feedback"]):
        assert all(len(line) <= 80 for line in said(*arguments).splitlines()), arguments
    assert "phases.beta:\n  type     number\n  allowed  1e-08 to 100\n  default  0.1\n" in said("explain", "phases.beta")
    assert "Data sets:" in said("list", "--data")
    assert "Neurons:" not in said("list", "--data", "--figures")
    assert "Examples:\n    localdfa run quickstart" in said("run", "--help")


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (["explain"], "phases.beta", 0),
        (["explain", "phases.beta"], "phases.beta", 0),
        (["explain", "module.heads"], "known where PyTorch is installed", 1),
        (["new", "mine"], "mine.toml", 0),
        (["list"], "transformer", 0),
        (["show", "quickstart"], "hidden", 0),
        (["show", "spheres"], "needs PyTorch: pip install 'localdfa[torch]'", 1),
    ],
)
def test_without_pytorch_nothing_but_modules_is_missing(arguments, told, code, tmp_path):
    script = "import sys; sys.modules['torch'] = None; from localdfa.cli import main; main(sys.argv[1:], standalone_mode=True)"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert told in " ".join((done.stdout + done.stderr).split())


def test_every_command_has_examples_in_80_columns():
    for name in main.commands:
        text = said(name, "--help")
        assert "Examples:" in text, name
        assert all(len(line) <= 80 for line in text.splitlines()), name


@pytest.mark.parametrize("asked", [[], ["--data", "diabetes", "--regression"]])
def test_a_new_spec_runs(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "localdfa run mine.toml" in said("new", "mine", *asked)
    text = (tmp_path / "mine.toml").read_text()
    assert all("  # " in line for line in text.splitlines() if " = " in line and "name" not in line and "rule" not in line)
    quick = ["--set", "stage=[{epochs=1}]", "--set", "network.hidden=[8]", "--set", "record.probe=16"]
    assert "test" in said("run", "mine.toml", "--out", "run", *quick)
    done = CliRunner().invoke(main, ["new", "mine"])
    assert (done.exit_code, "exists already" in done.output) == (1, True)
    assert CliRunner().invoke(main, ["new", "other", "--data", "minst"]).exit_code == 1
    assert not (tmp_path / "other.toml").exists()


def test_what_a_new_spec_only_hints_at_may_be_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said("new", "mine")
    lines = (tmp_path / "mine.toml").read_text().splitlines()
    plain = "\n".join(line.removeprefix("# ") if " = " in line else line for line in lines)
    (tmp_path / "all.toml").write_text(plain)
    assert spec.load("all.toml").preprocess.validation == 0.1


@pytest.mark.parametrize(("command", "message"), [("new", "names no file; allowed: a name"), ("explain", "")])
def test_an_empty_name_is_refused(command, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [command, ""])
    assert done.exit_code == 1
    assert "''" in done.output
    assert message in done.output
    assert not list(tmp_path.iterdir())
