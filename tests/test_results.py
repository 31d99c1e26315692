"""A run as a script or notebook has it: tables, figures and their numbers, and predictions of what is new."""

import csv
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import test_figures_degenerate as degenerate
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import localdfa
from localdfa import analysis, data, record
from localdfa import folder as folders
from localdfa.analysis import _panels, report, style, summary
from localdfa.cli import main
from localdfa.errors import DataError, LocalDFAError, RunError, SpecError

TINY = {"network": {"hidden": [8]}, "stage": [{"epochs": 2}], "record": {"probe": 16}, "batch_size": 128}


def axes():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


# --- tables and what is shown -----------------------------------------------------------------------------------------


def test_the_table_has_means_and_deviations_over_seeds(rate_run):
    table = rate_run.table()
    assert list(table.index) == ["local", "ifa", "bp"]
    own = [job.metrics[-1]["test_error"] for job in rate_run.jobs if job.condition == "ifa"]
    assert table.test_error["ifa"] == pytest.approx(np.mean(own))
    assert table.test_error_sd["ifa"] == pytest.approx(np.std(own, ddof=1))
    assert table.epochs.tolist() == [3, 3, 3]
    assert "valid_error" not in table


def test_a_notebook_shows_the_table_and_the_curves(rate_run, tmp_path):
    class Read(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.text = [], []

        def handle_starttag(self, tag, attributes):
            self.tags.append(tag)

        def handle_data(self, text):
            self.text.append(text)

    shown = Read()
    shown.feed(rate_run._repr_html_())
    assert [shown.tags.count(tag) for tag in ("tr", "img", "script")] == [4, 1, 0]
    assert {"A title", "local", "ifa", "bp", "test error (%)"} <= set(shown.text)
    begun = localdfa.open_run(record.create(tmp_path / "run", localdfa.experiment(title="<b>")).folder)
    assert "&lt;b&gt;" in begun._repr_html_()
    assert "<img" not in begun._repr_html_()
    assert rate_run.plot("errors")._repr_png_().startswith(b"\x89PNG")


def test_completion_has_what_a_user_asks_for(rate_run):
    names = dir(rate_run)
    assert {"experiment", "frame", "table", "plot", "figure_data", "predict", "report", "jobs", "summary"} <= set(names)
    assert not {"update_info", "note_trained"} & set(names)


# --- figures ----------------------------------------------------------------------------------------------------------


def test_the_numbers_of_a_figure_are_those_of_the_metrics(rate_run):
    found = rate_run.figure_data("angles")
    assert list(found.columns) == list(_panels.COLUMNS)
    panel = found[(found.y_label == "Rule to BP (°)") & (found.title == "Hidden layer 2") & (found.series == "local")]
    assert panel.x.tolist() == [0, 1, 2, 3]
    for _, point in panel.iterrows():
        own = [r["angle_to_bp"][1] for r in rate_run.metrics if (r["condition"], r["epoch"]) == ("local", point.x)]
        own = [value for value in own if value is not None]
        if own:
            assert (point.y, point.low, point.high) == pytest.approx((np.mean(own), min(own), max(own)))


@pytest.mark.parametrize(
    ("fixture", "names"),
    [
        ("rate_run", ["errors", "comparison", "weights", "fields", "events"]),
        ("spiking_run", ["raster", "trial", "singular"]),
    ],
)
def test_figures_have_numbers_and_panels_that_are_drawn_elsewhere(fixture, names, request):
    run = request.getfixturevalue(fixture)
    for name in names:
        drawn = run.plot(name)
        rows = list(_panels.rows(drawn))
        assert rows, name
        assert all(row["x"] is not None and row["y"] is not None for row in rows), name
        for panel in _panels.panels(drawn)[:2]:
            own = axes()
            _panels.draw(drawn, panel, own)
            own.figure.canvas.draw()
            assert own.get_xlabel() == panel.x_label
            assert own.get_xlim() == panel.axes.get_xlim()
            again = [line for line in own.lines if line.get_transform() == own.transData]
            for ours, theirs in zip(again, _panels._curves(panel.axes), strict=True):
                np.testing.assert_array_equal(ours.get_xydata(), theirs.get_xydata())
            assert len(own.images) == len(panel.axes.images)


def test_bars_have_the_names_of_conditions_and_their_spread(rate_run):
    found = rate_run.figure_data("comparison")
    left = found[found.panel == "a"]
    assert set(left.series) == {name + ending for name in ("local", "ifa", "bp") for ending in ("", " (bar)")}
    last = {name: [job.last["test_error"] for job in rate_run.jobs if job.condition == name] for name in ("local", "ifa", "bp")}
    for name, errors in last.items():
        assert sorted(left[left.series == name].x) == pytest.approx(sorted(errors))  # the seeds, and no end of an error bar
        (bar,) = left[left.series == f"{name} (bar)"].itertuples()
        mean, spread = np.mean(errors), np.std(errors, ddof=1)
        assert (bar.x, bar.low, bar.high) == pytest.approx((mean, mean - spread, mean + spread))
    right = found[found.panel == "b"]
    assert set(right.series) == {"ifa", "ifa (mean)", "bp", "bp (mean)"}
    own = axes()
    rate_run.plot("comparison", ax=own)
    assert [len(bars.get_segments()) for bars in own.collections] == [1, 1, 1]
    assert [label.get_text() for label in own.get_yticklabels()] == ["local", "ifa", "bp"]


def test_a_name_that_is_folded_is_whole_in_the_numbers(tmp_path):
    name = "a-rather-long-name-of-a-condition-with-many-parts-in-it-m"
    conditions = [{"name": name}, {"name": "b"}]
    run = degenerate.made(tmp_path, condition=conditions)
    assert set(localdfa.open_run(run.folder).figure_data("comparison").series) >= {name, f"{name} (bar)"}


def test_a_panel_is_drawn_on_axes_of_ones_own(rate_run):
    own = axes()
    assert rate_run.plot("angles", ax=own, panel="c") is own
    assert own.get_ylabel() == "Rule to BP (°)"
    assert own.get_legend_handles_labels()[1] == ["local", "ifa", "bp"]
    assert len(own.collections) == 3  # bands


def test_all_panels_are_drawn_on_as_many_axes(rate_run):
    figure = Figure()
    FigureCanvasAgg(figure)
    own = figure.subplots(1, 2)
    assert rate_run.plot("errors", ax=own) is own
    assert [each.get_ylabel() for each in own] == ["Training error (%)", "Test error (%)"]
    assert all(each.get_legend_handles_labels()[1] == ["local", "ifa", "bp"] for each in own)


@pytest.mark.parametrize(
    ("ax", "panel", "words"),
    [
        (lambda: Figure().subplots(1, 3), None, "ax: 3 axes, and the figure 'errors' has 2 panels; allowed: as many as panels"),
        (lambda: Figure().subplots(1, 2), "a", "panel: 'a' is drawn on one axes, and ax has 2"),
        (lambda: Figure(), None, "ax: Figure; allowed: axes of Matplotlib, or an array of them"),
        (lambda: [axes(), 3], None, "ax: int; allowed: axes"),
        (list, None, "ax: 0 axes"),
    ],
)
def test_axes_that_are_none_too_few_or_too_many_are_refused(rate_run, ax, panel, words):
    with pytest.raises(SpecError, match=words):
        rate_run.plot("errors", ax=ax(), panel=panel)


# --- some of the conditions -------------------------------------------------------------------------------------------


def test_a_figure_of_some_conditions_is_that_of_a_run_without_the_others(rate_run):
    every, some = rate_run.figure_data("errors"), rate_run.figure_data("errors", conditions=["local", "bp"])
    assert some.drop(columns=["panel"]).equals(
        every[every.series != "ifa"].drop(columns=["panel"]).reset_index(drop=True)
    )  # fmt: skip
    own = axes()
    rate_run.plot("angles", ax=own, conditions=["bp"])
    assert own.get_legend_handles_labels()[1] == ["bp"]
    assert list(rate_run.settings) == ["local", "ifa", "bp"]


def test_the_first_condition_that_is_named_is_what_others_are_compared_with(rate_run):
    found = rate_run.figure_data("comparison", conditions=["bp", "local"])
    assert set(found.x_label) == {"Test error (%)", "Difference to bp (percentage points)"}
    (some,) = report.narrowed([rate_run], ["bp", "local"])
    caption = analysis.get("comparison").caption(some)
    assert "Differences to bp, seed by seed" in caption
    assert "ifa" not in caption


@pytest.mark.parametrize("name", analysis.names())
def test_every_figure_shows_some_conditions_or_says_why_not(rate_run, spiking_run, map_run, name):
    """Of runs of which it can be drawn: no condition stands in it, or in its metadata and caption, that was left out."""
    for run in (rate_run, spiking_run, map_run):
        left_out, *others = run.settings
        (some,) = report.narrowed([run], others)
        try:
            drawn = report.drawn(run, name, conditions=others)
        except RunError:
            continue
        shown = [str(row["series"]) for row in _panels.rows(drawn)]
        shown += [panel.title for panel in _panels.panels(drawn)]
        assert not any(left_out in text.split(", ") for text in shown)
        assert f"conditions {' '.join(others)};" in summary.origin(some)
        assert analysis.get(name).caption(some)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (["local", "loca"], "conditions: 'loca' is not one of local, ifa, bp; did you mean 'local'"),
        ("local", r"conditions: 'local'; allowed: a list of names, as \['local'\]"),
        ([], "conditions: .*; allowed: a list of names"),
        ([3], "conditions: 3 is not one of"),
    ],
)
def test_conditions_that_there_are_not(rate_run, conditions, words):
    for call in (rate_run.plot, rate_run.figure_data):
        with pytest.raises(SpecError, match=words):
            call("errors", conditions=conditions)


def test_conditions_of_several_runs_on_the_command_line(rate_run, spiking_run, tmp_path):
    def plotted(*arguments):
        command = ["plot", str(rate_run.folder), str(spiking_run.folder), "--figure", "comparison", "--csv"]
        return CliRunner().invoke(main, [*command, "--out", str(tmp_path), *arguments])

    assert plotted("--condition", "bp", "--condition", "dfa").exit_code == 0
    text = (tmp_path / "comparison.csv").read_text()
    assert ": bp (bar)" in text
    assert ": dfa (bar)" in text
    assert "local" not in text
    assert f"conditions: {spiking_run.folder} has none of bp; it has local, dfa" in plotted("--condition", "bp").output
    assert "'loca' is not one of local, ifa, bp, dfa; did you mean 'local'" in plotted("--condition", "loca").output


def test_a_confusion_has_its_diagonal_in_its_numbers(rate_run):
    found = rate_run.figure_data("confusion")
    first = found[found.panel == "a"]
    assert 90 <= len(first) <= 100  # none is written where there is none
    assert first.groupby("y").value.sum().between(95, 105).all()  # what is written is rounded


def test_a_panel_and_a_size_that_there_are_not(rate_run):
    with pytest.raises(SpecError, match=r"figure 'angles' has no panel 'z'; it has a \(Hidden layer 1: Rule to DFA \(°\)\), b"):
        rate_run.plot("angles", ax=axes(), panel="z")
    with pytest.raises(SpecError, match="goes with axes to draw it on"):
        rate_run.plot("angles", panel="a")
    with pytest.raises(SpecError, match="did you mean 'angles'"):
        rate_run.plot("angels")
    with pytest.raises(style.SizeError, match=r"cannot be read at 0\.5"):
        rate_run.plot("angles", width=0.5, height=0.5)
    assert rate_run.plot("angles", width=6, height=7).get_size_inches().tolist() == [6, 7]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"style": "poster"}, "style: 'poster' is not one of paper, talk"),
        ({"style": None}, "style: None is not one of paper, talk"),
        *(({side: value}, f"{side}: .*; allowed: inches, from 0.5 to 100")
          for side in ("width", "height") for value in (-3, float("nan"), "3", 1e9, 0, True)),
    ],
)  # fmt: skip
def test_looks_and_sizes_that_are_none(rate_run, tmp_path, arguments, words):
    with pytest.raises(SpecError, match=words):
        rate_run.plot("errors", **arguments)
    ((key, value),) = arguments.items()
    command = ["plot", str(rate_run.folder), "--figure", "errors", f"--{key}", str(value), "--out", str(tmp_path / "to")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code in ((0,) if value == "3" else (1, 2))
    assert "Traceback" not in done.output


@pytest.mark.parametrize("value", [None, 5, b"run", ["run"]])
def test_what_is_no_path_is_refused(rate_run, value):
    for call in (localdfa.open_run, lambda path: localdfa.resume(path, progress=False)):
        with pytest.raises(RunError, match=r"folder: .*; allowed: a path, as a text or a pathlib\.Path"):
            call(value)
    if value is not None:
        with pytest.raises(RunError, match=r"path: .*; allowed: a path"):
            rate_run.export("safetensors", value, "bp")
        with pytest.raises(RunError, match=r"out: .*; allowed: a path"):
            localdfa.run(TINY, value, progress=False)


def test_a_text_is_no_permission(rate_run, tmp_path):
    with pytest.raises(RunError, match="allow_models: 'no'; allowed: True or False"):
        localdfa.open_run(rate_run.folder, allow_models="no")
    with pytest.raises(RunError, match="allow_models: 'no'"):
        localdfa.resume(rate_run.folder, allow_models="no", progress=False)
    with pytest.raises(SpecError, match="force: 'no'; allowed: True or False"):
        localdfa.run(TINY, tmp_path / "run", force="no", progress=False)
    with pytest.raises(SpecError, match="force: 'no'; allowed: True or False"):
        localdfa.Log(tmp_path / "log", {"dfa": {"rule": "dfa"}}, force="no")
    with pytest.raises(SpecError, match="progress: 'x'; allowed: True, False, or"):
        localdfa.resume(rate_run.folder, progress="x")


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (["report"], "spec.toml"), (["report"], "run.json"), (["report"], "conditions/bp/seed-0/weights.npz"),
        (["export", "--to", "safetensors", "--condition", "bp"], "conditions/bp/seed-0/weights.npz"),
        (["export", "--to", "safetensors", "--condition", "bp"], "summary.json"),
        (["plot", "--figure", "errors"], "conditions"), (["plot", "--figure", "errors", "--csv"], "conditions/bp"),
    ],
)  # fmt: skip
def test_what_a_run_is_made_of_is_no_place_for_what_is_drawn_of_it(rate_run, tmp_path, command, target):
    folder = shutil.copytree(rate_run.folder, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for run in (rate_run.folder, folder):  # of this run, and of another one
        done = CliRunner().invoke(main, [command[0], str(run), *command[1:], "--out", str(folder / target)])
        assert done.exit_code == 1
        assert f"is what the run in {folder} is made of; allowed: another place" in done.output
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for out in ("report.html", "figures/errors.pdf", "mine.html", "figures"):
        folders.check_target(folder / out)


def test_plot_writes_numbers_and_sizes(rate_run, tmp_path):
    done = CliRunner().invoke(
        main, ["plot", str(rate_run.folder), "--figure", "errors", "--figure", "angles", "--csv", "--out", str(tmp_path)]
    )
    assert done.exit_code == 0
    with (tmp_path / "errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["series"] == "local"
    assert len(rows) == len(rate_run.figure_data("errors"))
    sized = ["plot", str(rate_run.folder), "--figure", "errors", "--format", "svg", "--width", "5", "--out", str(tmp_path)]
    assert CliRunner().invoke(main, sized).exit_code == 0
    assert 'width="360pt"' in (tmp_path / "errors.svg").read_text()
    done = CliRunner().invoke(main, [*sized, "--height", "0.5"])
    assert done.exit_code == 1
    assert "cannot be read at 5 × 0.5 inches" in done.output


@pytest.mark.parametrize("options", [("--format", "png"), ("--style", "talk"), ("--width", "3"), ("--height", "2")])
def test_numbers_of_figures_take_no_option_of_pictures(rate_run, tmp_path, options):
    done = CliRunner().invoke(
        main, ["plot", str(rate_run.folder), "--figure", "errors", "--csv", *options, "--out", str(tmp_path / "to")]
    )
    assert done.exit_code == 1
    assert f"--csv {options[0]}: numbers have no {options[0].strip('-')}" in done.output
    assert not (tmp_path / "to").exists()


def test_a_trial_and_a_neuron_are_chosen(spiking_run, rate_run, tmp_path):
    kept = spiking_run.jobs[0].states
    shown = spiking_run.plot("trial")
    for trial in kept["trial"]:
        for neuron in kept["neuron1"]:
            drawn = spiking_run.plot("trial", trial=int(trial), neuron=int(neuron))
            index = int(np.flatnonzero(kept["trial"] == trial)[0]), int(np.flatnonzero(kept["neuron1"] == neuron)[0])
            np.testing.assert_array_equal(drawn.axes[1].lines[0].get_ydata(), kept["v1"][index[0], :, index[1]])
    assert len(shown.axes) == 5
    spikes = spiking_run.jobs[0].spikes
    rasters = [spiking_run.plot("raster", trial=int(trial)) for trial in spikes["trials"]]
    assert rasters[0].content("png") != rasters[1].content("png")
    with pytest.raises(RunError, match=r"keeps no trial -1; there are \d+, \d+"):
        spiking_run.plot("raster", trial=-1)
    with pytest.raises(SpecError, match="figure 'angles' has no trial to choose; allowed with raster, trial"):
        rate_run.plot("angles", trial=3)
    chosen = ["plot", str(spiking_run.folder), "--trial", str(spikes["trials"][1]), "--out", str(tmp_path)]
    done = CliRunner().invoke(main, chosen)
    assert (done.exit_code, sorted(path.name for path in tmp_path.iterdir())) == (0, ["raster.png", "trial.png"])


# --- predictions ------------------------------------------------------------------------------------------------------

CASES = {
    "settled": {},
    "last rule": {"stage": [{"epochs": 1, "rule": "bp"}, {"epochs": 1, "layer_rules": {"1": "dfa"}, "rule": "bp"}]},
    "kept": {"preprocess": {"validation": 0.2}, "stage": [{"epochs": 3, "keep": "best", "patience": 1}]},
    "batch norm": {"network": {"hidden": [8], "batch_norm": True}},
    "standardised": {"preprocess": {"standardise": True}},
    "whitened": {"preprocess": {"whiten": True, "validation": 0.1}},
    "own kernels": {"network": {"hidden": [{"channels": 2, "kernel": 3, "pool": 2, "stride": 2, "shared": False}]}},
    "feedback that learns": {"rule": "fa", "feedback": {"pathway": "kolen_pollack"},
                              "optimiser": {"weight_decay": 1e-4}},
    "regression": {"data": "diabetes", "network": {"hidden": [8], "output": "linear"}},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_predictions_of_the_test_part_are_the_outcome(case, tmp_path):
    run = localdfa.run({**TINY, **CASES[case]}, tmp_path / "run", progress=False)
    x = data.load(run.experiment.data).x_test
    outcome, job = run.jobs[0].outcome, run.jobs[0]
    if "target" in outcome:
        found = localdfa.open_run(run.folder).predict(x)
        np.testing.assert_allclose(found, outcome["prediction"][:, 0], rtol=1e-5, atol=1e-4)
        return
    found = localdfa.open_run(run.folder).predict(x)
    same = outcome["prediction"] >= 0
    exact = case not in ("standardised", "whitened")
    assert (found == outcome["prediction"])[same].mean() >= (1.0 if exact else 0.99)
    activity = run.predict(x, job.condition, job.seed, outputs=True)
    assert activity.shape == (len(x), 10)
    np.testing.assert_array_equal(activity.argmax(axis=1), found)


def test_spiking_networks_predict_as_well(spiking_run):
    x, job = data.load("digits").x_test, spiking_run.jobs[0]
    found = spiking_run.predict(x, "local", 3)
    same = job.outcome["prediction"] >= 0
    np.testing.assert_array_equal(found[same], job.outcome["prediction"][same])


def test_classes_come_back_as_they_were_given(rng, tmp_path):
    x = rng.normal(size=(80, 3))
    names = np.where(x[:, 0] > 0, "yes", "no")
    for y, folder in ((names, "names"), (np.where(x[:, 0] > 0, 7, -2), "numbers")):
        run = localdfa.run({**TINY, "stage": [{"epochs": 40}], "batch_size": 8}, tmp_path / folder, data=(x, y), progress=False)
        assert run.predict(x).dtype.kind == y.dtype.kind
        assert (run.predict(x) == y).mean() > 0.9


def test_predictions_that_cannot_be_made(rate_run, rng, tmp_path):
    x = rng.random((5, 64))
    for arguments, error, words in (
        ((x,), SpecError, r"which condition\? There are local, ifa, bp, as condition = 'local'"),
        ((x, "lcoal"), SpecError, "no condition 'lcoal' with the seed 0; conditions are local, ifa, bp, seeds 0, 1, 2"),
        ((x, "bp", 9), SpecError, "with the seed 9"),
        ((x[:, :5], "bp"), DataError, r"x has the shape \(5, 5\); allowed: \(n, 1, 8, 8\), or \(n, 64\)"),
        ((np.full((5, 64), np.inf), "bp"), DataError, r"x\[0, 0\] = inf is not finite"),
        ((np.array([["a"] * 64]), "bp"), DataError, "real numbers"),
    ):
        with pytest.raises(error, match=words):
            rate_run.predict(*arguments)
    begun = localdfa.open_run(record.create(tmp_path / "begun", localdfa.experiment(TINY)).folder)
    with pytest.raises(RunError, match="is not finished; to finish it: localdfa resume"):
        begun.predict(x)
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    tables = {**TINY, "preprocess": {"standardise": True}}
    run = localdfa.run(tables, tmp_path / "run", data=(x, y), progress=False)
    with pytest.raises(RunError, match=r"standardised as the training arrays were, .* localdfa.open_run\('.*', data"):
        localdfa.open_run(run.folder).predict(x)
    np.testing.assert_array_equal(localdfa.open_run(run.folder, data=(x, y)).predict(x), run.predict(x))


@pytest.mark.parametrize("how", ["standardise", "whiten"])
def test_inputs_are_prepared_as_the_training_data_were_or_not_at_all(rng, tmp_path, how):
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    tables = {**TINY, "preprocess": {how: True}}
    run = localdfa.run(tables, tmp_path / "given", data=(x, y), progress=False)
    np.testing.assert_array_equal(localdfa.open_run(run.folder, data=(x, y)).predict(x), run.predict(x))
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    filed = localdfa.run({**tables, "data": f"npz:{tmp_path / 'own.npz'}"}, tmp_path / "filed", progress=False)
    filed.predict(x)
    for other in (3 * x, x[:, :2], x[:30]):
        words = "the data is no longer the one that this run began with"
        with pytest.raises(RunError, match=words):
            localdfa.open_run(run.folder, data=(other, y[: len(other)])).predict(x)
        np.savez(tmp_path / "own.npz", x_train=other, y_train=y[: len(other)], x_test=other, y_test=y[: len(other)])
        with pytest.raises(RunError, match=words):
            localdfa.open_run(filed.folder).predict(x)
    assert len(filed.predict(x)) == 40  # it had read them before


def test_a_module_is_built_for_the_data_that_it_has_learned_from(rng, tmp_path):
    pytest.importorskip("torch")
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    tables = {"module": {"name": "mlp", "width": 4, "depth": 1}, "stage": [{"epochs": 1}], "rule": "bp"}
    run = localdfa.run(tables, tmp_path / "run", data=(x, y), progress=False)
    opened = localdfa.open_run(run.folder, data=(x[:, :2], y))
    for call in (lambda: opened.predict(x), opened.module, lambda: opened.export("torch", tmp_path / "a.pt2")):
        with pytest.raises(RunError, match="the data is no longer the one that this run began with"):
            call()
    assert len(localdfa.open_run(run.folder, data=(x, y)).predict(x)) == 40


def test_arrays_beside_the_data_of_a_run_are_refused(rate_run, rng):
    with pytest.raises(RunError, match="learns from digits; allowed: no arrays beside it"):
        localdfa.open_run(rate_run.folder, data=(rng.random((5, 64)), np.arange(5)))


def test_an_empty_name_is_no_condition(rate_run, tmp_path):
    begun = localdfa.open_run(localdfa.run(TINY, tmp_path / "run", progress=False).folder)
    for run, only in ((begun, "local"), (rate_run, "bp")):
        with pytest.raises(SpecError, match=f"no condition '' with the seed 0; conditions are .*{only}"):
            run.predict(np.zeros((1, 64)), "")
    with pytest.raises(SpecError, match="no condition ''"):
        begun.export("safetensors", tmp_path / "a.safetensors", "")
    assert not (tmp_path / "a.safetensors").exists()


def test_pandas_that_is_missing_is_named(rate_run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    for call in (rate_run.table, lambda: rate_run.figure_data("errors")):
        with pytest.raises(LocalDFAError, match=r"pip install 'localdfa\[analysis\]'"):
            call()


@pytest.mark.parametrize("spec", [TINY, {**TINY, "condition": [{"name": "bp", "rule": "bp"}]}], ids=["the same", "another"])
def test_a_run_does_not_read_what_another_has_left_in_its_folder(tmp_path, spec):
    """In a loop of a notebook, each training with the same name: the first run had the numbers of the last."""
    first = localdfa.run(TINY, tmp_path / "run", progress=False)
    job = first.jobs[0]
    second = localdfa.run(spec, tmp_path / "run", force=True, progress=False)
    page = (tmp_path / "run" / "report.html").write_text("of the second")
    reads = [
        first.table, first.frame, first.report, lambda: first.plot("errors"), lambda: first.predict(np.zeros((1, 64))),
        lambda: first.jobs[0].last, lambda: job.last, lambda: job.weights, lambda: first.status, lambda: first.summary,
    ]  # fmt: skip
    for read in reads:
        with pytest.raises(RunError, match="another run has been trained here since this one was opened"):
            read()
    assert (tmp_path / "run" / "report.html").stat().st_size == page
    assert len(second.table()) == len(localdfa.open_run(tmp_path / "run").table()) == 1
