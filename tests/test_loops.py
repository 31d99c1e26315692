"""Runs of training loops of one's own."""

import json
import re
import time
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from click.testing import CliRunner
from rich.console import Console
from torch import nn

import localdfa
import localdfa.torch
from localdfa import cli, record, watch
from localdfa.errors import LocalDFAError, RunError, SpecError
from localdfa.loops import LoggedTraining
from localdfa.results import Run
from localdfa.spec.modules import RULES

CONDITIONS: dict[str, dict[str, Any]] = {
    "bp": {"rule": "bp", "learning_rate": 0.5},
    "dfa": {"rule": "dfa", "learning_rate": 0.5, "gain": 2.0},
    "local": {"rule": "local", "learning_rate": 0.1, "beta": 0.05, "nudging": "one_sided"},
    "shallow": {"rule": "shallow", "learning_rate": 0.5},
}
EPOCHS = 3
X = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


def loop(training: LoggedTraining, kept: dict[Any, Any] | None = None) -> None:
    """A loop as a user writes it; kept: its own notes of what was measured and learned, by condition and seed."""
    torch.manual_seed(training.seed)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
    learner = training.feedback(model, X, ["1"])
    optimiser = torch.optim.SGD(model.parameters(), training.arguments["learning_rate"])
    criterion, notes = nn.functional.cross_entropy, []
    for epoch in range(EPOCHS + 1):
        with torch.no_grad():
            loss, error = criterion(model(X), Y).item(), 100 * (model(X).argmax(1) != Y).float().mean().item()
        alignment = learner.alignment(criterion, X, Y) if training.condition in ("dfa", "local") else None
        training.measured(
            train={"error": error, "loss": loss}, test={"error": error}, alignment=alignment, updates=epoch,
            learning_rate=training.arguments["learning_rate"],
        )  # fmt: skip
        notes.append((error, loss, alignment and alignment["1"]))
        optimiser.zero_grad()
        learner.backward(criterion(model(X), Y))
        optimiser.step()
    if kept is not None:
        state = {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}
        kept[training.condition, training.seed] = notes, state, {name: B.detach().numpy() for name, B in learner.B.items()}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, dict[Any, Any]]]:
    """A run of all conditions and two seeds, and what the loops themselves have noted."""
    kept: dict[Any, Any] = {}
    with localdfa.Log(tmp_path_factory.mktemp("log") / "run", CONDITIONS, seeds=[0, 3], data="sums", title="own") as log:
        for training in log:
            loop(training, kept)
    return log.run, kept


def test_a_run_has_what_the_loops_have_measured_and_learned(logged: tuple[Run, dict[Any, Any]]) -> None:
    run, kept = logged
    assert run.status == "finished"
    assert run.experiment.title == "own"
    assert [*run.settings] == [*CONDITIONS]
    assert {(job.condition, job.seed) for job in run.jobs} == set(kept)
    for job in run.jobs:
        notes, state, matrices = kept[job.condition, job.seed]
        assert [(row["epoch"], row["train_error"], row["train_loss"], row["updates"]) for row in job.metrics] == [
            (epoch, error, loss, epoch) for epoch, (error, loss, _) in enumerate(notes)
        ]
        for row, (_, _, alignment) in zip(job.metrics, notes, strict=True):
            found = [row.get(key) for key in ("signal_cosine", "signal_norm", "gradient_norm")]
            assert found == (
                [[alignment.cosine], [alignment.signal_norm], [alignment.gradient_norm]] if alignment else 3 * [None]
            )
        weights = job.load("weights")
        assert set(weights) == {*state, *(f"B:{name}" for name in matrices)}
        for name, array in {**state, **{f"B:{name}": B for name, B in matrices.items()}}.items():
            assert np.array_equal(weights[name], array)
    setting = run.settings["local"]
    assert (setting.phases.beta, setting.phases.nudging, run.settings["dfa"].feedback.gain) == (0.05, "one_sided", 2.0)
    assert {name: RULES[setting.rule] for name, setting in run.settings.items()} == {name: name for name in CONDITIONS}


def test_tables_figures_and_the_report_read_it(logged: tuple[Run, dict[Any, Any]]) -> None:
    run, kept = logged
    table = run.table()
    for condition in CONDITIONS:
        errors = [kept[condition, seed][0][-1][0] for seed in (0, 3)]
        assert table.loc[condition, "test_error"] == pytest.approx(np.mean(errors))
    assert table["loop.learning_rate"].to_dict() == {name: c["learning_rate"] for name, c in CONDITIONS.items()}
    drawn = run.figure_data("memorise")
    cosines = [np.mean([kept["dfa", seed][0][epoch][2].cosine for seed in (0, 3)]) for epoch in range(EPOCHS + 1)]
    assert drawn.query("series == 'dfa' and y_label.str.contains('Cosine')").y.to_numpy() == pytest.approx(cosines)
    assert "tap &#39;1&#39;" in run.report().read_text() or "tap '1'" in run.report().read_text()
    with pytest.raises(RunError, match="needs the outcome, which a run of a loop of one's own does not keep"):
        run.plot("confusion")


def test_it_is_watched_without_an_end_that_nobody_knows(logged: tuple[Run, dict[Any, Any]]) -> None:
    run, _ = logged
    console = Console(width=200, record=True, file=StringIO())
    console.print(watch.table(run, run.status))
    assert re.search(rf"^ *dfa +3 +{EPOCHS} ", console.export_text(), re.MULTILINE)
    seen = watch._Seen()
    seen._first = time.monotonic() - 1, 0
    assert seen.left(run) == ""


@pytest.mark.parametrize("command", [["resume"], ["run"], ["certify"]])
def test_no_command_trains_it(logged: tuple[Run, dict[Any, Any]], command: list[str]) -> None:
    run = logged[0]
    place = run.folder if command == ["resume"] else run.folder / "spec.toml"
    result = CliRunner().invoke(cli.main, [*command, str(place)])
    assert result.exit_code == 1
    assert "loop" in result.output or "layers" in result.output
    with pytest.raises(RunError, match="module"):
        run.predict(np.zeros((1, 5)), "bp")


def test_show_prints_its_spec(logged: tuple[Run, dict[Any, Any]]) -> None:
    result = CliRunner().invoke(cli.main, ["show", str(logged[0].folder / "spec.toml")])
    assert result.exit_code == 0
    assert 'predicts = "labels"' in result.output
    assert "optimiser" not in result.output


def test_it_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with localdfa.Log(whole, CONDITIONS) as log:
        for training in log:
            loop(training)

    def cut_off() -> None:
        with log:
            for number, training in enumerate(log):
                loop(training)
                if number == 2:
                    raise ZeroDivisionError("of the script")

    log = localdfa.Log(cut, CONDITIONS)
    with pytest.raises(ZeroDivisionError):
        cut_off()
    assert log.run.status == "stopped: ZeroDivisionError: of the script"
    assert [job.condition for job in log.run.jobs if job.trained] == ["bp", "dfa"]
    with pytest.raises(RunError, match="exists already"):
        localdfa.Log(cut, CONDITIONS)
    with pytest.raises(RunError, match="a run of something else"), localdfa.Log(cut, {"bp": {"rule": "bp"}}, resume=True):
        pass
    with localdfa.Log(cut, CONDITIONS, resume=True) as log:
        for training in islice(log, 1):
            assert training.condition == "local"
    assert log.run.status == "interrupted"
    with localdfa.Log(cut, CONDITIONS, resume=True) as log:
        given = []
        for training in log:
            given.append(training.condition)
            loop(training)
    assert given == ["local", "shallow"]
    assert log.run.status == "finished"
    for ours, theirs in zip(localdfa.open_run(cut).jobs, localdfa.open_run(whole).jobs, strict=True):
        rows = [[{**row, "seconds": 0} for row in job.metrics] for job in (ours, theirs)]
        assert rows[0] == rows[1]
        assert all(np.array_equal(array, theirs.load("weights")[name]) for name, array in ours.load("weights").items())


def test_trainings_that_are_over_are_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of many trainings that is gone on with reads run.json no more often than one of a few."""
    real, counts = record.info_of, []
    for seeds in (1, 3):
        folder, looks = tmp_path / f"of-{seeds}", list[Path]()
        with localdfa.Log(folder, CONDITIONS, seeds=range(seeds)) as log:
            for training in log:
                loop(training)
        with monkeypatch.context() as patched:
            patched.setattr(record, "info_of", lambda folder, looks=looks: (looks.append(folder), real(folder))[1])
            with localdfa.Log(folder, CONDITIONS, seeds=range(seeds), resume=True) as log:
                assert not list(log)
        counts.append(len(looks))
    assert counts[0] == counts[1]


def test_another_process_or_log_cannot_write_in_it(tmp_path: Path) -> None:
    with localdfa.Log(tmp_path / "run", CONDITIONS), pytest.raises(RunError, match="another process"):
        localdfa.Log(tmp_path / "run", CONDITIONS, force=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": {}}, "conditions: there are none"),
        ({"conditions": {"a": {"rule": "fda"}}}, "condition 'a': rule: .*dfa"),
        ({"conditions": {"a": {"rule": "frozen"}}}, "condition 'a': rule: .*shallow"),
        ({"conditions": {"a": {"rule": "dfa", "pathway": "sequential"}}}, "feedback.pathway"),
        ({"conditions": {"a": {"gain": -1.0}}}, "feedback.gain"),
        ({"conditions": {"a": {"spread": len}}}, "condition 'a': spread: belongs to no condition; allowed: in training"),
        ({"conditions": {"a": {"of_mine": len}}}, "condition 'a': of_mine: .*a number, a text"),
        ({"conditions": {"a b": {}}}, "condition.*name"),
        ({"conditions": {"a": {}}, "seeds": [0, 0]}, "seeds"),
        ({"conditions": {"a": {}}, "predicts": "label"}, "predicts: .*labels"),
        ({"conditions": {"a": {}}, "force": True, "resume": True}, "force, resume"),
    ],
)
def test_what_is_no_run_is_refused_before_anything_is_made(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        localdfa.Log(tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        ({"train": {"accuracy": 90.0}}, "train: .*'accuracy'.*error"),
        ({"train": {"error": 101.0}}, "a seed 0: .*train_error' has the value 101.0; allowed: a number from 0 to 100$"),
        ({"train": {"error": 1.0, "loss": -1.0}}, "train_loss' has the value -1.0; allowed: a number, 0 or above$"),
        ({"train": {"error": "low"}}, "train: error: 'low' is no number"),
        ({"train": {}}, "a seed 0: a row without"),
        ({"train": {"error": 1.0}, "test": {"rmse": 1.0}}, "test: .*'rmse'"),
        ({"train": {"error": 1.0}, "updates": -1}, "updates"),
    ],
)
def test_what_is_no_measure_is_refused_and_nothing_is_lost(tmp_path: Path, measured: dict[str, Any], message: str) -> None:
    with localdfa.Log(tmp_path / "run", {"a": {}}) as log:
        for training in log:
            training.measured(train={"error": 50.0})
            with pytest.raises(SpecError, match=message):
                training.measured(**measured)
            training.measured(train={"error": 40.0, "loss": float("nan")})
    assert [(row["epoch"], row["train_error"], row.get("train_loss")) for row in log.run.metrics] == [
        (0, 50.0, None),
        (1, 40.0, None),
    ]


def test_of_a_training_that_measured_nothing_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(LocalDFAError, match="nothing was measured"), localdfa.Log(tmp_path / "run", {"a": {}}) as log:
        for _ in log:
            pass
    with pytest.raises(LocalDFAError, match="in its context"):
        next(iter(localdfa.Log(tmp_path / "other", {"a": {}})))


def test_arguments_of_conditions_stand_with_them(tmp_path: Path) -> None:
    with localdfa.Log(tmp_path / "run", {"a": {"rule": "dfa"}}) as log:
        for training in log:
            model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
            with pytest.raises(SpecError, match="gain: is an argument of conditions"):
                training.feedback(model, X, ["1"], gain=2.0)
            training.measured(train={"error": 50.0})


@pytest.mark.parametrize(
    ("predicts", "train"),
    [
        ("numbers", {"rmse": 0.3, "r2": 0.5}), ("decisions", {"log_loss": 0.3, "auc": 0.9}), ("pairs", {"auc": 0.9, "ap": 0.8}),
        ("colours", {"psnr": 20.0}), ("symbols", {"bits": 2.0}),
    ],
)  # fmt: skip
def test_each_kind_of_prediction_has_its_measures(tmp_path: Path, predicts: Any, train: dict[str, float]) -> None:
    with localdfa.Log(tmp_path / "run", {"a": {}}, predicts=predicts) as log:
        for training in log:
            training.measured(train=train, test=train)
            with pytest.raises(SpecError, match="train: "):
                training.measured(train={"error": 1.0})
    (row,) = log.run.metrics
    assert {key: row[f"test_{key}"] for key in train} == train
    summary = json.loads((log.run.folder / "summary.json").read_text())["conditions"][0]
    assert {key: summary[f"test_{key}"] for key in train} == train
    assert log.run.report().exists()


def test_columns_by_tap_are_those_of_runs() -> None:
    assert len(record.BY_TAP) == len(localdfa.torch.Alignment._fields)


def test_a_second_learner_in_one_training_is_refused(tmp_path: Path) -> None:
    with localdfa.Log(tmp_path / "run", {"dfa": {"rule": "dfa"}}) as log:
        for training in log:
            one, other = (nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)) for _ in range(2))
            first = training.feedback(one, X, ["1"])
            with pytest.raises(SpecError, match=r"feedback: dfa seed 0 has a learner already; allowed: one in a training"):
                training.feedback(other, X, ["1"])
            first.remove()
            training.feedback(other, X, ["1"])
            training.measured(train={"error": 10.0})
    np.testing.assert_array_equal(log.run.jobs[0].weights["0.weight"], other[0].weight.detach().numpy())
