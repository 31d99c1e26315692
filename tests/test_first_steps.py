"""What somebody does first: import it, look at it, run something with what it comes with, from Python or a notebook."""

import html
import io
import re
import sys
import time
import types

import numpy as np
import pytest
from rich.console import Console

import localdfa
from localdfa import display, measure, registry, train
from localdfa.analysis import report
from localdfa.errors import LocalDFAError, RunError, SpecError

TINY = {"network": {"hidden": [8]}, "stage": [{"epochs": 1}], "record": {"probe": 16}, "batch_size": 256}


class Told(train.Progress):
    """Keeps what it is told."""

    def __init__(self):
        self.calls = []

    def compiling(self, condition):
        self.calls.append(("compiling", condition))

    def job(self, condition, seed):
        self.calls.append(("job", condition))

    def warn(self, message):
        self.calls.append(("warning", message))


@pytest.mark.parametrize("kind", ["tables", "path", "text", "experiment"])
def test_a_run_takes_whatever_stands_for_an_experiment(kind, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "own.npz", x_train=rng.random((40, 3)), y_train=labels, x_test=rng.random((40, 3)), y_test=labels)
    spec = 'data = "npz:own.npz"\nbatch_size = 256\nnetwork.hidden = [8]\nrecord.probe = 16\nstage = [{epochs = 1}]\n'
    (tmp_path / "mine.toml").write_text(spec)
    tables = {**TINY, "data": f"npz:{tmp_path / 'own.npz'}"}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # paths in a file start from the file
    asked = {
        "tables": tables, "path": tmp_path / "mine.toml", "text": str(tmp_path / "mine.toml"),
        "experiment": localdfa.experiment(tables),
    }[kind]  # fmt: skip
    run = localdfa.run(asked, tmp_path / "run", progress=False)
    assert run.status == "finished"
    assert run.info["name"] == ("mine" if kind in ("path", "text") else "experiment")
    assert repr(run) == f"Run('{tmp_path / 'run'}', {run.experiment!r})"


def test_what_is_no_experiment_is_refused_by_what_it_is(tmp_path):
    for wrong, words in (("quickstrat", "did you mean 'quickstart'"), (7, "not 7"), (tmp_path / "no.toml", "no such file")):
        with pytest.raises(SpecError, match=words):
            localdfa.run(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_package_shows_what_it_has():
    assert dir(localdfa) == sorted(["Circuit", "Log", "Search", "__version__", "experiment", "open_run", "resume", "run"])


def test_from_python_a_run_is_shown_unless_it_shall_not_be(tmp_path, capfd):
    localdfa.run(TINY, tmp_path / "shown")
    shown = capfd.readouterr()
    assert shown.out == ""
    lines = [line.split("  ")[:2] for line in shown.err.splitlines()]
    assert [each for each in lines if "compiling" not in each[1]] == [["local seed 0", "epoch 1"]]
    localdfa.run(TINY, tmp_path / "silent", progress=False)
    localdfa.resume(tmp_path / "silent", progress=False)
    assert capfd.readouterr() == ("", "")


class Notebook:
    """What IPython is asked for, and what it was given to show."""

    def __init__(self, monkeypatch):
        self.shown = []
        module = types.ModuleType("IPython.display")
        module.HTML, module.display = str, self.display
        monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
        monkeypatch.setitem(sys.modules, "IPython.display", module)

    def display(self, page, display_id):
        self.shown.append(page)
        return self

    def update(self, page):
        self.shown.append(page)


def test_a_notebook_gets_a_bar_in_one_place(monkeypatch, tmp_path):
    console, notebook = Console(file=io.StringIO(), force_terminal=True), Notebook(monkeypatch)
    assert isinstance(display.display(console), display.Bar)
    assert isinstance(display.display(Console(file=io.StringIO())), display.Lines)
    console.is_jupyter = True
    monkeypatch.setattr(display, "_MOMENT", 0)
    with display.display(console) as cell:
        cell.warn("<of something>")
        localdfa.run({**TINY, "stage": [{"epochs": 2}]}, tmp_path / "run", progress=cell)
    assert "local  compiling" in "".join(notebook.shown)
    last = notebook.shown[-1]
    assert 'max="2876" value="2876"' in last
    assert "local seed 0  epoch 2  train" in last
    assert "warning: &lt;of something&gt;" in last
    assert any("epoch 1" in page and "0:00 left" in page for page in notebook.shown)


def test_a_file_gets_the_last_epoch_of_each_training(tmp_path, monkeypatch):
    text = io.StringIO()
    tables = {**TINY, "seeds": [0, 1], "stage": [{"epochs": 3}], "condition": [{"name": "a"}, {"name": "b", "rule": "bp"}]}
    with display.Lines(Console(file=text)) as lines:
        localdfa.run(tables, tmp_path / "run", progress=lines, callback=lambda row: row["seed"] == 1 and row["epoch"] == 2)
    shown = [each for each in text.getvalue().splitlines() if "compiling" not in each and "warning" not in each]
    expected = [("a", 0, 3), ("a", 1, 2), ("b", 0, 3), ("b", 1, 2)]
    assert [each.split("  ")[:2] for each in shown] == [[f"{c} seed {s}", f"epoch {e}"] for c, s, e in expected]
    monkeypatch.setattr(display, "_SOON", 0.01)
    text.truncate(0)
    with display.Lines(Console(file=text)) as lines:
        lines.compiling("local")
        time.sleep(0.2)
    assert "local  compiling, which the next run need not" in text.getvalue()


def test_time_left_is_that_of_conditions_whose_speed_is_known(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(display.time, "perf_counter", lambda: now[0])
    left = display.Left()
    left.start({"fast": 200, "slow": 100})
    assert left.said("fast") == ""
    left.advance("fast", 100)
    now[0] = 10.0
    left.epoch("fast")
    assert left.said("fast") == "0:10 left of fast"
    now[0] = 1000.0  # something is compiled
    left.begin()
    left.advance("slow", 50)
    now[0] = 1100.0
    left.epoch("slow")
    assert left.said("slow") == "1:50 left"
    left.advance("fast", 100, trained=False)
    left.advance("slow", 50, trained=False)
    assert left.said("slow") == ""


@pytest.mark.parametrize("kind", [display.Lines, display.Bar])
def test_a_warning_is_printed_as_it_is(kind):
    """Brackets are no markup, and in a file it is one line."""
    text = io.StringIO()
    kind(Console(file=text, width=200 if kind is display.Bar else 20)).warn("network.hidden=[100] and [/red] are slow")
    assert text.getvalue() == "warning: network.hidden=[100] and [/red] are slow\n"


def test_what_compiles_is_told_before_it_does(tmp_path):
    told = Told()
    localdfa.run({**TINY, "condition": [{"name": "a"}, {"name": "b", "rule": "bp"}]}, tmp_path / "run", progress=told)
    assert [call for call in told.calls if call[0] != "warning"] == [
        ("compiling", "a"), ("job", "a"), ("compiling", "b"), ("job", "b"),
    ]  # fmt: skip
    bar = display.Bar(Console(file=io.StringIO(), force_terminal=True, width=100))
    bar.job("a", 0)
    display.Several(bar).compiling("b")
    assert [task.description for task in bar._bar.tasks] == ["b  compiling"]


def test_the_example_of_the_package_learns(tmp_path):
    """The defaults learn without a key that says how."""
    assert 'network={"hidden": [128, 128]}, stage=[{"epochs": 20}]' in localdfa.__doc__
    told = Told()
    run = localdfa.run({"network": {"hidden": [128, 128]}, "stage": [{"epochs": 20}]}, tmp_path / "run", progress=told)
    assert run.summary["conditions"][0]["test_error"] < 6
    assert not any(kind == "warning" for kind, _ in told.calls)


@pytest.mark.slow
def test_spiking_neurons_learn_by_their_name_alone(tmp_path):
    told = Told()
    run = localdfa.run({"network": {"neuron": "lif"}, "record": {"probe": 16}}, tmp_path / "run", progress=told)
    assert run.summary["conditions"][0]["test_error"] < 8
    assert not any(kind == "warning" for kind, _ in told.calls)


@pytest.mark.parametrize(("epochs", "heard"), [(1, 1), (5, 5), (6, 5)])
def test_training_that_stays_at_chance_is_warned_of_once_and_noted(tmp_path, epochs, heard):
    told = Told()
    tables = {**TINY, "optimiser": {"learning_rate": 1e-9}, "stage": [{"epochs": epochs}]}
    run = localdfa.run(tables, tmp_path / "run", progress=told)
    warnings = [text for kind, text in told.calls if kind == "warning"]
    assert [text.split(":")[0] for text in warnings] == [f"local seed 0, epoch {heard}"]
    assert "nothing is learned: the training error is" in warnings[0]
    assert "another optimiser.learning_rate, may help" in warnings[0]
    (note,) = run.info["notes"]
    assert note.startswith(f"local seed 0, epoch {epochs}: nothing is learned: the training error is")
    assert html.unescape(report.page(run)).count(note) == 1
    localdfa.resume(tmp_path / "run", progress=False)
    assert run.info["notes"] == [note]


def test_what_is_learned_after_all_is_no_longer_noted(tmp_path):
    """Nobody listens; of the two stages only the second learns."""
    tables = {**TINY, "stage": [{"epochs": 5, "learning_rate": 1e-9}, {"epochs": 10, "learning_rate": 0.01}], "batch_size": 64}

    class Stop(train.Progress):
        def epoch(self, row):
            if row["epoch"] == 6:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        localdfa.run(tables, tmp_path / "run", progress=Stop())
    assert [note.split(": ")[:2] for note in localdfa.open_run(tmp_path / "run").info["notes"]] == [
        ["local seed 0, epoch 5", "nothing is learned"]
    ]
    assert localdfa.resume(tmp_path / "run", progress=False).info["notes"] == []


@pytest.mark.parametrize(("error", "warned"), [(90.0, True), (81.0, True), (80.0, False)])
def test_chance_is_that_of_guessing(error, warned):
    labels = np.eye(10)[np.arange(50) % 10]  # all ten classes are as frequent
    reason = registry.get("outputs", "softmax").not_learned({"error": error}, labels)
    assert bool(measure.idle({"epoch": 1, "train_error": error}, reason)) == warned


def test_trials_that_take_long_are_warned_of(tmp_path, monkeypatch):
    told = Told()
    monkeypatch.setattr(train.checks, "doubtful", lambda setting: iter([f"{setting.rule} is slow"]))
    localdfa.run(TINY, tmp_path / "run", progress=told)
    assert told.calls[0] == ("warning", "local: local is slow")


FIRST_MISTAKES = {
    "key with a point": (
        {"optimiser.learning_rate": 0.01}, "did you mean {'optimiser': {'learning_rate': 0.01}}?",
    ),
    "key with a point in a condition": (
        {"condition": [{"name": "live", "phases.propagation": "live"}]}, "did you mean {'phases': {'propagation': 'live'}}?",
    ),
    "conditions by name": (
        {"condition": ["local", "bp"]}, 'did you mean {name = "bp", rule = "bp"}?',
    ),
    "table of commas": (
        {"data": "mine.csv"}, "no data set 'mine.csv': a spec reads files of numpy.savez alone",
    ),
    "a circuit": (
        {"population": [{"name": "exc", "size": 10}]}, "a circuit, as it has populations, and no experiment; it is simulated",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "words"), FIRST_MISTAKES.values(), ids=[*FIRST_MISTAKES])
def test_what_one_writes_first_is_answered_by_what_to_write(tables, words, tmp_path):
    with pytest.raises(LocalDFAError, match=re.escape(words)):
        localdfa.run({**TINY, **tables}, tmp_path / "run", progress=False)


def test_a_file_of_the_folder_is_the_one_that_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('data = "digits"\n')
    for name in ("mine", "mine.tml", "mina.toml"):
        with pytest.raises(SpecError, match=re.escape("did you mean 'mine.toml'?")):
            localdfa.run(name)
    with pytest.raises(SpecError, match=re.escape("key 'data' is one of an experiment, which `localdfa run` trains")):
        localdfa.Circuit.from_toml("mine.toml")


def test_what_a_figure_lacks_of_arrays_is_recorded_from_python(tmp_path):
    run = localdfa.run(TINY, tmp_path / "run", data=(np.eye(4), [0, 1, 0, 1]), progress=False)
    with pytest.raises(RunError, match=re.escape("run it again on the same arrays with {'record': {'activity': 500}}")):
        run.plot("pca")
    with pytest.raises(RunError, match=r"add --force to replace that run, in Python force=True"):
        localdfa.run(TINY, tmp_path / "run", progress=False)
