"""Figures and report: what is drawn of a real run, and that the page is whole, safe and says how the run went."""

import base64
import hashlib
import html
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from statistics import fmean, stdev

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import _pylab_helpers
from rich.console import Console

from localdfa import analysis, cli, record, registry, spec, train
from localdfa.analysis import _stages, angles, errors, report, style, summary, sweep
from localdfa.errors import RunError, SpecError
from localdfa.spec import grid

SEEDS, EPOCHS, NAMES = (0, 1, 2), 3, ["local", "ifa", "bp"]
HOSTILE = "<script>alert('1')</script> \"&amp; {{ 7 * 7 }} </style>"


def experiment(**changes):
    conditions = [{"name": name, "rule": name} for name in NAMES]
    tables = {
        "title": "A title", "seeds": list(SEEDS), "condition": conditions, "network": {"hidden": [6, 5]},
        "stage": [{"epochs": EPOCHS}], "record": {"probe": 32},
    }  # fmt: skip
    return spec.experiment({**tables, **changes})


@pytest.fixture(scope="session")
def run(rate_run):
    return rate_run


@pytest.fixture(scope="session")
def written(run):
    return report.write(run)


class Interrupting(train.Progress):
    """Ctrl-C before anything is measured, or after so many training samples."""

    def __init__(self, samples):
        self.samples = samples

    def start(self, samples):
        self.advance(0)

    def advance(self, samples):
        self.samples -= samples
        if self.samples <= 0:
            raise KeyboardInterrupt


def interrupted(folder, samples, **changes):
    with pytest.raises(KeyboardInterrupt):
        train.run(experiment(**changes), folder, progress=Interrupting(samples))
    return record.Run(folder)


def made(folder, rows, **changes):
    """A run directory with these rows for each condition and seed, and before and in them what no file of rows goes without."""
    result = record.create(folder, experiment(**changes))
    for job in result.jobs:
        always = {"condition": job.condition, "seed": job.seed, "rule": "local", "stage": 0, "train_error": 50.0}
        given = rows(job)
        before = [{"epoch": epoch} for epoch in range(given[0]["epoch"])] if given else []
        job.write_metrics([{**always, **row} for row in before + given])
    return result


def values(run, name, key, epoch, layer=None):
    found = [row[key] for row in run.metrics if row["condition"] == name and row["epoch"] == epoch]
    return [v for v in (found if layer is None else [each[layer] for each in found]) if v is not None]


def curve_of(axes, name):
    (found,) = [line for line in axes.lines if line.get_label() == name]
    return found


def band_of(axes, colour):
    """Lowest and highest y of a band at each x."""
    (found,) = [c for c in axes.collections if np.allclose(c.get_facecolor()[0][:3], matplotlib.colors.to_rgb(colour))]
    points = found.get_paths()[0].vertices
    return {x: (points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max()) for x in set(points[:, 0])}


# --- curves and table -------------------------------------------------------------------------------------------------


def test_table_of_a_run(run):
    table = summary.rows(run)
    assert [row["condition"] for row in table] == NAMES
    assert [row["rule"] for row in table] == NAMES
    assert [row["feedback"] for row in table] == ["direct", "indirect", "transpose"]
    for row in table:
        last = values(run, row["condition"], "test_error", EPOCHS)
        assert len(last) == row["seeds"] == row["planned"] == 3
        assert row["test_error"] == pytest.approx(fmean(last))
        assert row["test_error_sd"] == pytest.approx(stdev(last))
        assert row["epochs"] == (EPOCHS, EPOCHS)
        assert row["valid_error"] is row["valid_error_sd"] is None
    ifa = [fmean(each) for each in zip(*(values(run, "ifa", "angle_to_bp", EPOCHS, layer) for layer in (0, 1)), strict=True)]
    assert table[1]["angle_to_bp"] == pytest.approx(fmean(ifa))
    assert table[1]["angle_to_bp_sd"] == pytest.approx(stdev(ifa))


def test_table_agrees_with_the_summary_that_training_wrote(run):
    for row in summary.rows(run):
        entries = [entry for entry in run.summary["conditions"] if entry["name"] == row["condition"]]
        assert row["train_error"] == pytest.approx(fmean(entry["train_error"] for entry in entries))
        assert {(entry["rule"], entry["feedback"], entry["neuron"]) for entry in entries} == {
            (row["rule"], row["feedback"], row["neuron"])
        }


def test_cells_round_and_say_what_is_missing(tmp_path):
    rows = {"local": 0.0004, "ifa": 0.1234, "bp": None}
    result = made(
        tmp_path / "run",
        lambda job: [
            {
                "epoch": 2 + job.seed, "train_error": 1.0, "test_error": 2.0 + job.seed,
                "angle_to_dfa": [rows[job.condition], None], "angle_to_bp": [None],
                "events": 17_260_000, "seconds": 1.25,
            }
        ] if (job.condition, job.seed) != ("bp", 2) else [],
    )  # fmt: skip
    local, ifa, bp = summary.cells(summary.rows(result))
    assert "angle to BP (°)" not in local
    assert (local["angle to DFA (°)"], ifa["angle to DFA (°)"], bp["angle to DFA (°)"]) == (
        "< 0.001",
        "0.123 ± 0.000",
        "–",
    )
    assert (local["test error (%)"], local["events"]) == ("3.00 ± 1.00", "17.3 M")
    assert (local["seeds"], bp["seeds"], local["epochs"]) == ("3", "2 of 3", "2–4")


@pytest.mark.parametrize(
    ("rmse", "shown"),
    [
        (12.345, "12.35 ± 1.00"), (0.5, "0.50 ± 0.04"), (1e-3, "0.00100 ± 0.00008"), (0.05432, "0.0543 ± 0.0044"),
        (3.2e-9, "3.20e-09 ± 2.61e-10"), (0.0, "0.00 ± 0.00"),
    ],
)  # fmt: skip
def test_small_numbers_have_digits(tmp_path, rmse, shown):
    """Of an RMSE in the unit of the targets; over the three seeds its deviation is 0.0816 of it, or 1."""
    apart = 1.0 if rmse > 1 else rmse * 0.0816

    def rows(job):
        return [{"epoch": 0, "test_rmse": rmse + apart * (job.seed - 1), "test_error": 0.001}]

    result = made(tmp_path, rows, condition=[{"name": "local"}], network={"hidden": [6], "output": "linear"}, data="diabetes")
    (found,) = summary.cells(summary.rows(result))
    assert found["test RMSE"] == shown
    assert found["test error (%)"].startswith("0.00")  # percentages keep two decimals


def test_a_page_elsewhere_needs_no_run_that_can_be_written(tmp_path):
    result = made(tmp_path / "run", lambda job: [{"epoch": 0, "test_error": 1.0}])
    (result.folder / "figures").write_text("no folder, so that nothing can be written there")
    page = tmp_path / "elsewhere.html"
    done = CliRunner().invoke(cli.main, ["report", str(result.folder), "--out", str(page)])
    assert (done.exit_code, done.output) == (0, f"report: {page}\n")
    assert "errors" in images_of(page.read_text())
    with pytest.raises(RunError, match=r"figures.*cannot be written"):
        report.write(result)


def test_rules_of_stages_are_joined(tmp_path):
    stages = [{"epochs": 1, "rule": "ifa"}, {"epochs": 1}, {"epochs": 1}]
    row = summary.rows(record.create(tmp_path / "run", experiment(condition=[], rule="dfa", stage=stages)))[0]
    assert (row["rule"], row["feedback"], row["seeds"], row["epochs"]) == ("ifa → dfa", "indirect → direct", 0, None)


def test_curves_leave_out_what_is_undefined():
    rows = [
        {"condition": "a", "epoch": epoch, "angle": [value, 1.0]}
        for epoch, value in ((0, None), (0, None), (1, 10.0), (1, None), (2, 10.0), (2, 20.0))
    ] + [{"condition": "b", "epoch": 0, "angle": [5.0]}]
    found = summary.curves(rows, "angle", 0)
    assert math.isnan(found["a"].mean[0])
    assert (found["a"].x, found["a"].mean[1:]) == ([0, 1, 2], [10.0, 15.0])
    assert (found["a"].low[1:], found["a"].high[1:]) == ([10.0, 10.0], [10.0, 20.0])
    assert list(summary.curves(rows, "angle", 1)) == ["a"]
    with pytest.raises(RunError, match="no measure 'speed'"):
        summary.curves(rows, "speed")


def test_table_on_a_terminal(run):
    text = StringIO()
    report.print_table(run, Console(file=text, width=80))
    assert "A title" in text.getvalue()
    for cell in summary.cells(summary.rows(run))[0].values():
        assert cell in text.getvalue()


@pytest.mark.parametrize("width", [70, 200])
def test_table_on_a_narrow_terminal(run, width):
    text = StringIO()
    report.print_table(run, Console(file=text, width=width, force_terminal=True, no_color=True, legacy_windows=False))
    assert "…" not in text.getvalue()
    row = summary.cells(summary.rows(run))[1]
    assert all(row[heading] in text.getvalue() for heading in ("condition", "test error (%)", "angle to BP (°)"))
    assert ("feedback" in text.getvalue()) == (width == 200)


def test_table_before_anything_is_measured(tmp_path):
    text = StringIO()
    empty = record.create(tmp_path / "run", experiment(condition=[{"name": "x" * 60}]))
    report.print_table(empty, Console(file=text, width=30, force_terminal=True, color_system=None, legacy_windows=False))
    assert text.getvalue().count("x") == 60
    assert max(map(len, text.getvalue().splitlines())) <= 30


def test_long_names_are_folded_at_hyphens(tmp_path):
    text = StringIO()
    empty = record.create(tmp_path / "run", experiment(condition=[{"name": "local-beta-0.01-learning_rate-0.001"}]))
    report.print_table(empty, Console(file=text, width=30, force_terminal=True, color_system=None, legacy_windows=False))
    assert [line.split()[0] for line in text.getvalue().splitlines()[-2:]] == ["local-beta-0.01-", "learning_rate-0.001"]


# --- style ------------------------------------------------------------------------------------------------------------


def test_conditions_look_different_in_colour_and_in_grey():
    looks = [style.line(i) for i in range(385)]
    assert len({tuple(look.values()) for look in looks}) == 385
    assert len({(look["linestyle"], look["marker"]) for look in looks[:55]}) == 55


def test_nothing_global_is_changed_and_nothing_global_counts(run):
    before = matplotlib.rcParams.copy()
    plain = errors.figure(run).content("svg")
    assert matplotlib.rcParams.copy() == before
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "none", "pdf.fonttype": 3}):
        assert errors.figure(run).content("svg") == plain
        pdf = errors.figure(run).content("pdf")
    assert b"/CIDFontType2" in pdf  # TrueType, embedded
    assert b"/Type3" not in pdf
    assert not _pylab_helpers.Gcf.figs


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_a_figure_says_where_it_comes_from(run, form, tmp_path):
    info = run.info
    (line,) = report.plot([run], ["errors"], form, out=tmp_path)
    content = Path(line).read_bytes()
    for part in (info["spec"], info["data"], str(info["git_revision"]), info["versions"]["numpy"]):
        assert part.encode() in content, part


def test_nothing_is_simulated_and_no_display_touched(run, tmp_path):
    code = (
        "import sys; from localdfa import analysis; from localdfa.analysis import report\n"
        "print(*analysis.names())\n"
        "assert not {'localdfa.train', 'localdfa.core', 'localdfa.measure'} & set(sys.modules)\n"
        "from localdfa.record import Run; analysis.get('errors').figure(Run(sys.argv[1])).savefig(sys.argv[2])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(run.folder), str(tmp_path / "figure.pdf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"angles", "errors", "raster"} <= set(done.stdout.split())
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_unknown_figure():
    with pytest.raises(SpecError, match=r"figure 'angels' is not one of angles, .*; did you mean 'angles'\?"):
        analysis.get("angels")


# --- errors -----------------------------------------------------------------------------------------------------------


def test_errors_are_drawn_with_their_bands(run):
    drawn = errors.figure(run)
    assert [axes.get_ylabel() for axes in drawn.axes] == ["Training error (%)", "Test error (%)"]
    for axes, key in zip(drawn.axes, ("train_error", "test_error"), strict=True):
        assert axes.get_xlabel() == "Epoch"
        assert [line.get_label() for line in axes.lines] == NAMES
        for name in NAMES:
            line = curve_of(axes, name)
            assert list(line.get_xdata()) == list(range(EPOCHS + 1))
            band = band_of(axes, line.get_color())
            for epoch in range(EPOCHS + 1):
                expected = values(run, name, key, epoch)
                assert line.get_ydata()[epoch] == pytest.approx(fmean(expected))
                assert band[epoch] == pytest.approx((min(expected), max(expected)))
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == NAMES
    assert "3 seeds, bands reach from the lowest to the highest seed" in errors.caption(run)


def test_an_error_of_zero_has_a_place(tmp_path):
    course = (90.0, 5.0, 0.25, 0.0)
    rows = [{"epoch": epoch, "train_error": error, "test_error": error + 1} for epoch, error in enumerate(course)]
    result = made(tmp_path / "run", lambda job: rows, condition=[], seeds=[0])
    axes = errors.figure(result).axes[0]
    assert list(curve_of(axes, "local").get_ydata()) == list(course)
    assert 0 in axes.get_yticks()
    assert axes.get_ylim()[0] < 0
    low, middle, high = axes.transData.transform([(0, 0), (0, 0.25), (0, 90)])[:, 1]
    assert 0.05 < (middle - low) / (high - low) < 0.5
    assert not axes.collections
    assert errors.caption(result).endswith("One seed, so there are no bands.")


def test_validation_error_has_its_panel(tmp_path):
    rows = [{"epoch": 0, "train_error": 90.0, "valid_error": 91.0, "test_error": 92.0}]
    drawn = errors.figure(made(tmp_path / "run", lambda job: rows))
    assert [axes.get_ylabel() for axes in drawn.axes][1] == "Validation error (%)"
    assert drawn.axes[1].lines[0].get_markevery() == [0]


def test_seeds_of_different_length_are_said(tmp_path):
    rows = [{"epoch": epoch, "train_error": 9.0, "test_error": 9.0} for epoch in range(4)]
    result = made(tmp_path / "run", lambda job: rows[: 2 + job.seed])
    assert "each epoch shows those that reached it" in errors.caption(result)
    assert list(errors.figure(result).axes[0].lines[0].get_xdata()) == [0, 1, 2, 3]


def test_a_value_that_is_far_larger_leaves_room_for_the_others(tmp_path):
    """L of BP is the length of a gradient, and a hundred times that of DFA, whose sign is what is to be seen."""
    courses = {"dfa": (-0.2, -0.1, 0.1, 0.2), "bp": (0.1, 60.0, 5.0, 1.0)}

    def rows(job):
        found = []
        for epoch, size in enumerate(courses[job.condition]):
            measures = {"theorem_k": [size, 0.1], "theorem_l": [size, None], "theorem_beta": [90.0, 80.0]}
            found.append({"epoch": epoch, "train_error": 9.0, "test_error": 9.0, **measures})
        return found

    both = made(tmp_path / "both", rows, condition=[{"name": name} for name in courses], seeds=[0])
    alone = made(tmp_path / "alone", rows, condition=[{"name": "dfa"}], seeds=[0])
    for found, scale in ((both, "symlog"), (alone, "linear")):
        axes = analysis.get("theorem").figure(found).axes[2]
        assert axes.get_yscale() == scale
        (low, high), (first, last) = (
            axes.get_ylim(),
            axes.transAxes.inverted().transform(axes.transData.transform([(0, -0.2), (0, 0.2)]))[:, 1],
        )
        assert low < -0.2
        assert last - first > 0.2
        assert {tick for tick in axes.get_yticks() if low < tick < high} > {0}


def in_stages(folder, last_epochs, names=("a", "b")):
    """Six epochs of each of these conditions, whose stages end at the epochs that last_epochs has for its name."""

    def rows(job):
        ends = last_epochs.get(job.condition, [])
        of_layers = {"theorem_k": [0.1, 0.2], "theorem_l": [0.1, 0.2], "theorem_beta": [80.0, 85.0]}
        return [
            {"epoch": e, "stage": sum(e > end for end in ends), "train_error": 9.0, "test_error": 9.0, **of_layers}
            for e in range(7)
        ]

    settings = [{"name": name, "stage": [{"epochs": 2}] * (1 + len(last_epochs.get(name, [])))} for name in names]
    return made(folder, rows, condition=settings, seeds=[0], network={"hidden": [4, 3]})


def marks(axes):
    """x and colour of vertical lines."""
    return [(line.get_xdata()[0], line.get_color()) for line in axes.lines if len(set(line.get_xdata())) == 1]


@pytest.mark.parametrize("name", ["errors", "theorem"])
def test_the_end_of_a_stage_is_marked(tmp_path, name):
    module = analysis.get(name)
    one, both = (in_stages(tmp_path / str(n), ends) for n, ends in enumerate(({"b": [3]}, {"a": [2], "b": [2, 4]})))
    for axes in module.figure(one).axes:
        assert marks(axes) == [(3, style.PALETTE[1])]  # of b alone
    for axes in module.figure(both).axes:
        assert marks(axes) == [(2, style.GREY), (4, style.PALETTE[1])]
        assert axes.get_xlim()[1] < 7
    said = "At a dotted vertical line a stage of training ends, of the condition that has its colour or, in grey, of several."
    assert said in module.caption(one)
    plain = in_stages(tmp_path / "plain", {})
    assert not any(marks(axes) for axes in module.figure(plain).axes)
    assert "stage" not in module.caption(plain)


@pytest.mark.parametrize("name", ["errors", "theorem"])
def test_of_many_conditions_each_panel_has_the_stages_of_its_own(tmp_path, name):
    names = [f"c{i}" for i in range(9)]
    found = in_stages(tmp_path / "run", {"c1": [3]}, names)
    marked = [marks(axes) for axes in analysis.get(name).figure(found).axes]
    (panels,) = {len([m for m in marked if m])} - {0}
    assert panels == (1 if name == "errors" else 3)
    assert [m for m in marked if m] == [[(3, style.GREY)]] * panels
    assert analysis.get(name).caption(found).count(" At a dotted vertical line a stage of training ends.") == 1


def test_of_very_many_stages_none_is_marked(tmp_path):
    names = [f"c{i}" for i in range(2)]
    found = in_stages(tmp_path / "run", {"c0": [0, 1, 2], "c1": [3, 4, 5]}, names)
    assert len(marks(errors.figure(found).axes[0])) == 6
    rows = [{"condition": "c", "seed": 0, "epoch": e, "stage": e} for e in range(8)]
    assert not _stages.ends(rows)


# --- angles -----------------------------------------------------------------------------------------------------------


def test_angles_are_drawn_for_each_layer(run):
    drawn = angles.figure(run)
    rows = {"angle_to_dfa": "Rule to DFA (°)", "angle_to_bp": "Rule to BP (°)", "angle_dfa_to_bp": "DFA to BP (°)"}
    rows["alignment"] = "Weights to B (°)"
    assert [axes.get_title() for axes in drawn.axes] == ["Hidden layer 1", "Hidden layer 2", *[""] * 6]
    assert [axes.get_title("left") for axes in drawn.axes] == list("abcdefgh")
    assert [axes.get_ylabel() for axes in drawn.axes[::2]] == list(rows.values())
    for i, axes in enumerate(drawn.axes):
        key, layer = list(rows)[i // 2], i % 2
        assert [line.get_label() for line in axes.lines[1:]] == NAMES
        assert set(axes.lines[0].get_ydata()) == {90}
        assert axes.get_ylim()[0] < 0
        assert axes.get_ylim()[1] > 90
        for name in NAMES:
            line = curve_of(axes, name)
            for epoch, y in enumerate(line.get_ydata()):
                expected = values(run, name, key, epoch, layer)
                if key == "alignment":
                    expected = [math.degrees(math.acos(cosine)) for cosine in expected]
                assert (math.isnan(y) and not expected) or y == pytest.approx(fmean(expected))
    ifa = curve_of(drawn.axes[3], "ifa")
    for epoch, ends in band_of(drawn.axes[3], ifa.get_color()).items():
        expected = values(run, "ifa", "angle_to_bp", int(epoch), 1)
        assert ends == pytest.approx((min(expected), max(expected)))


def test_the_local_rule_is_drawn_on_dfa(run):
    for axes in angles.figure(run).axes[:2]:
        assert max(curve_of(axes, "local").get_ydata()) < 0.1


def deep(folder, depth):
    return made(
        folder, lambda job: [{"epoch": 1, "angle_to_dfa": [30.0] * depth, "angle_to_bp": [None] * depth}],
        network={"hidden": [4] * depth},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("depth", "shown"), [(1, [1]), (4, [1, 2, 3, 4]), (5, [1, 2, 3, 4, 5]), (9, [1, 3, 5, 7, 9]), (15, [1, 5, 8, 11, 15])]
)
def test_many_layers_are_limited(tmp_path, depth, shown):
    result = deep(tmp_path / "run", depth)
    drawn = angles.figure(result)
    titles = [axes.get_title().replace("\n", " ") for axes in drawn.axes if axes.get_title()]
    assert titles == [f"Hidden layer {n}" for n in shown]
    assert drawn.get_figwidth() == (style.ONE_COLUMN if depth == 1 else style.TWO_COLUMNS)
    assert ("Of 15 layers 5 are drawn" in angles.caption(result)) == (depth == 15)
    drawn.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in drawn.axes] + [drawn.legends[0].get_window_extent()]
    assert not any(a.shrunk(0.99, 0.99).overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert [text.get_text() for text in drawn.axes[len(shown)].texts] == ["undefined so far"]


def test_conditions_of_different_depth(tmp_path):
    depths = {"a": [9.0], "b": [9.0, 8.0]}
    result = made(
        tmp_path / "run",
        lambda job: [{"epoch": 1, **dict.fromkeys(("angle_to_dfa", "angle_to_bp"), depths[job.condition])}],
        condition=[{"name": "a"}, {"name": "b", "network": {"hidden": [3, 3]}}], network={"hidden": [3]},
    )  # fmt: skip
    drawn = angles.figure(result)
    assert [[line.get_label() for line in axes.lines[1:]] for axes in drawn.axes[:2]] == [["a", "b"], ["b"]]
    assert curve_of(drawn.axes[0], "b").get_color() == curve_of(drawn.axes[1], "b").get_color()


# --- nothing to draw --------------------------------------------------------------------------------------------------

OF_METRICS = {
    "angles", "bottleneck", "comparison", "depth", "dimensions", "errors", "events", "feedback", "firing", "grid", "memorise",
    "norms", "theorem",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(OF_METRICS))
def test_a_run_without_rows(tmp_path, name):
    empty = record.create(tmp_path / "run", experiment())
    with pytest.raises(RunError, match=r"nothing is measured yet; go on with: localdfa resume") as caught:
        analysis.get(name).figure(empty)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(OF_METRICS - {"errors"}))  # no row is without a training error
def test_rows_without_the_measure(tmp_path, name):
    with pytest.raises(RunError, match="this run has no measure"):
        analysis.get(name).figure(made(tmp_path / "run", lambda job: [{"epoch": 0}]))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, "only networks of spiking neurons have them") for name in ("raster", "trial", "window")),
        *((name, r"--set record\.activity=500") for name in ("rates", "pca", "tsne")),
        *((name, "go on with: localdfa resume") for name in ("weights", "singular", "confusion", "fields")),
    ],
)
def test_a_run_that_lacks_the_record_of_a_figure(tmp_path, name, how):
    result = made(tmp_path / "run", lambda job: [{"epoch": 0, "test_error": 9.0}])
    result.update_info(shape=[1, 8, 8])
    with pytest.raises(RunError, match=rf"keeps no \w+, which the figure {name} needs; .*{how}") as caught:
        analysis.get(name).figure(result)
    assert "\n" not in str(caught.value)


def test_every_figure_says_what_it_lacks():
    lacking = {"pairs", "raster", "trial", "window", "rates", "pca", "tsne", "weights", "singular", "confusion", "fields"}
    lacking |= {"sample", "views"}
    assert OF_METRICS | lacking | {"beta", "map", "sweep"} == set(analysis.names())


def test_receptive_fields_need_images(tmp_path):
    result = made(tmp_path / "run", lambda job: [{"epoch": 0}])
    result.update_info(shape=[7])
    with pytest.raises(RunError, match="its samples are no images"):
        analysis.get("fields").figure(result)


def test_damaged_records_are_named(tmp_path):
    result = made(tmp_path / "run", lambda job: [{"epoch": 0}])
    (result.jobs[0].folder / "metrics.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"metrics\.jsonl: damaged"):
        report.write(result)


# --- report -----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags, attributes and text of a page whose tags must be balanced."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def self_contained(text):
    """The page, once it is sure that it reaches for nothing outside and runs nothing but its own script, and links lead on."""
    page = Page(text)
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert all(value.startswith("data:") for _, name, value in page.attributes if name in ("src", "srcset"))
    places = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(places)) == len(places)
    assert {value for _, name, value in page.attributes if name == "href"} <= {f"#{place}" for place in places}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    style_text = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style_text
    assert "@import" not in style_text
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.tags.count("script") == 1
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    assert not re.search(r"fetch|XMLHttp|import\(|eval|innerHTML", script)
    return page


def images_of(text):
    """The images of the figures of a page of one run, by name, in base64."""
    return dict(re.findall(r'<section id="figure-(\w+)">.*?src="data:image/svg\+xml;base64,([^"]+)"', text, re.S))


def test_report_of_a_finished_run(run, written):
    text = written.read_text(encoding="utf-8")
    page = self_contained(text)
    assert written == run.folder / "report.html"
    for part in (
        "A title",
        "Finished",
        "digits",
        "local, ifa, bp",
        run.info["git_revision"] or "",
        run.info["platform"],
    ):
        assert part in page.text
    for row in summary.cells(summary.rows(run)):
        assert all(heading in page.text and cell in page.text for heading, cell in row.items())
    assert record.to_toml(run.experiment) in page.text
    for package, version in run.info["versions"].items():
        assert package in page.text
        assert version in page.text
    assert f"localdfa run {run.folder}/spec.toml" in page.text
    assert "localdfa resume" not in page.text


def test_figures_are_embedded_and_left_as_files(run, written):
    text = written.read_text(encoding="utf-8")
    images = images_of(text)
    not_drawn = {"beta", "bottleneck", "grid", "map", "pairs", "raster", "sweep", "trial", "window"}
    not_drawn |= {"dimensions", "sample", "views"}
    assert set(images) == set(analysis.names()) - not_drawn
    assert "raster: " in text  # and why not
    for name, image in images.items():
        svg = base64.b64decode(image, validate=True)
        assert svg == (run.folder / "figures" / f"{name}.svg").read_bytes()
        assert all(target.startswith((b"#", b"data:image/png")) for target in re.findall(rb'href="([^"]*)"', svg))
        assert b"<script" not in svg
        assert b"<text" not in svg  # glyphs are drawn, so no font is needed to read them
        assert html.escape(analysis.get(name).caption(run), quote=True).replace("&#x27;", "&#39;") in text
    assert not [path for path in (run.folder / "figures").iterdir() if path.name.startswith(".")]


def test_what_came_out_comes_first_and_then_each_section(written):
    """The table, the error at the end and over training; every figure in its section, and in the contents in that order."""
    text = written.read_text(encoding="utf-8")
    figures = re.findall(r'id="figure-(\w+)"', text)
    assert figures[:2] == ["comparison", "errors"]
    assert text.index("<table>") < text.index('id="figure-comparison"')
    sections = [analysis.get(name).SECTION for name in figures]
    assert sections == sorted(sections, key=list(analysis.SECTIONS).index)
    contents = re.search(r"<nav.*?</nav>", text, re.S)[0]
    assert re.findall(r'href="#figure-(\w+)">(.*?)<', contents) == [(name, analysis.get(name).TITLE) for name in figures]
    named = set(re.findall(r'href="#([a-z]+)"', contents))
    assert named == {*sections, "missing", "settings", "repeat", "versions"}


def test_each_figure_has_a_title_and_a_section_of_its_own():
    titles = [analysis.get(name).TITLE for name in analysis.names()]
    assert len(set(titles)) == len(titles)
    assert {analysis.get(name).SECTION for name in analysis.names()} == set(analysis.SECTIONS)


def test_each_picture_says_what_it_is(written):
    """To those who do not see it: the line that says what the figure is, and its size before it is there."""
    text = written.read_text(encoding="utf-8")
    found = re.findall(r'<section id="figure-(\w+)">.*?<img alt="(.*?)" width="(\d+)" height="(\d+)"', text, re.S)
    assert len(found) == len(images_of(text))
    for name, alternative, width, height in found:
        assert html.unescape(alternative) == registry.describe("analysis", name)
        size = analysis.get(name).figure(record.Run(written.parent)).get_size_inches() if name == "errors" else None
        assert size is None or (int(width), int(height)) == tuple(round(100 * inches) for inches in size)


def test_a_narrow_page_has_the_columns_that_count(run, monkeypatch):
    """The condition, the test measure that comes first and the seeds; all others are there once they are asked for."""
    monkeypatch.setattr(analysis, "names", lambda: ["errors"])
    text = report.page(run)
    cells = re.findall(r'<th scope="col" aria-sort="none" class="(.*?)"><button type="button">(.*?)</button>', text)
    assert [heading for look, heading in cells if "more" not in look] == ["condition", "test error (%)", "seeds"]
    assert [heading for _, heading in cells][:3] == ["condition", "test error (%)", "seeds"]
    assert {heading for _, heading in cells} == set(summary.cells(summary.rows(run))[0])


def test_cells_know_what_they_are_sorted_by(run, written):
    text = written.read_text(encoding="utf-8")
    body = re.search(r"<tbody>(.*?)</tbody>", text, re.S)[1]
    for row, found in zip(summary.rows(run), re.findall(r"<tr>(.*?)</tr>", body, re.S), strict=True):
        keys = re.findall(r'data-value="([^"]*)"', found)
        assert keys[0] == row["condition"]
        assert str(row["test_error"]) in keys
        assert str(row["events"]) in keys
    assert text.count('aria-sort="none"') == text.count("</button></th>") == len(summary.cells(summary.rows(run))[0])


def test_report_of_several_runs(run, spiking_run, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "names", lambda: ["comparison", "errors", "raster"])
    page_of_two = report.write(run, spiking_run, path=tmp_path / "two.html")
    text = page_of_two.read_text(encoding="utf-8")
    page = self_contained(text)
    for each in (run, spiking_run):
        assert record.to_toml(each.experiment) in page.text
        assert f"localdfa run {each.folder}/spec.toml" in page.text
    assert page.tags.count("tr") == 1 + 3 + 2
    drawn = {name: text.count(f'alt="{html.escape(registry.describe("analysis", name))}"') for name in analysis.names()}
    assert drawn == {"comparison": 1, "errors": 2, "raster": 1}
    assert "Not drawn: raster: " in page.text


def test_report_is_legible_everywhere(written):
    text = written.read_text(encoding="utf-8")
    assert 'name="viewport" content="width=device-width' in text
    assert "prefers-color-scheme: dark" in text
    for wide in ("<table>", "<pre>"):
        assert all("scroll" in before[-250:] for before in text.split(wide)[:-1])


def test_report_is_written_again_to_the_same_bytes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "names", lambda: ["comparison", "confusion", "errors", "fields", "pca", "weights"])
    first, again = (report.write(run, path=tmp_path / name).read_bytes() for name in ("first.html", "again.html"))
    assert first == again


def test_hostile_text_is_escaped(tmp_path):
    hostile = record.create(tmp_path / "run", experiment(title=HOSTILE, data=f"npz:{HOSTILE}"), name=HOSTILE)
    hostile.update_info(
        status=f"stopped: {HOSTILE}\ud800", versions={HOSTILE: HOSTILE}, git_revision=HOSTILE, platform=HOSTILE,
        data=HOSTILE, started=HOSTILE,
    )  # fmt: skip
    text = report.write(record.Run(hostile.folder)).read_text(encoding="utf-8")
    page = self_contained(text)
    assert page.text.count(HOSTILE) >= 9
    assert text.count("<script") == 1
    assert "alert(&#39;1&#39;)" in text


@pytest.mark.parametrize(("status", "shown"), [("interrupted", "Interrupted"), ("stopped: a reason", "Stopped: a reason")])
def test_status_is_shown(run, tmp_path, status, shown):
    other = record.create(tmp_path / "a folder", experiment())
    other.update_info(status=status)
    page = self_contained(report.write(other).read_text(encoding="utf-8"))
    assert shown in page.text
    assert f"localdfa resume '{other.folder}'" in page.text


@pytest.mark.parametrize(
    ("samples", "drawn", "waiting"), [(0, 0, len(OF_METRICS)), (1, len(OF_METRICS - {"bottleneck", "dimensions", "grid"}), 0)]
)
def test_report_of_a_run_interrupted_before_its_first_epoch(tmp_path, samples, drawn, waiting):
    run = interrupted(tmp_path / "run", samples, seeds=[0])
    page = self_contained(report.write(run).read_text(encoding="utf-8"))
    assert "Interrupted" in page.text
    assert page.text.count("nothing is measured yet") == waiting
    assert page.tags.count("img") == drawn + 1  # and that of the dialog


def test_report_that_cannot_be_written(tmp_path):
    result = record.create(tmp_path / "run", experiment())
    (result.folder / "report.html").mkdir()
    with pytest.raises(RunError, match=r"report\.html: cannot be written"):
        report.write(result)


def test_run_json_is_missing(tmp_path):
    result = record.create(tmp_path / "run", experiment())
    (result.folder / "run.json").unlink()
    with pytest.raises(RunError, match=r"run\.json: there is no such file"):
        report.write(result)


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_sweep_has_a_line_for_what_differs_in_one_number(tmp_path):
    """Errors that are known from the values: each line's points, the control's level, and what the legend calls them."""
    swept = grid.expanded(
        spec.experiment(condition=[{"name": "local", "rule": "local"}, {"name": "bp", "rule": "bp"}]),
        {"phases.beta": [0.1, 1.0, 10.0], "phases.nudging": ["one_sided", "centered"]},
    )
    found = spec.settings(swept)

    def rows(job):
        setting = found[job.condition]
        error = 7.0 if setting.rule == "bp" else 10 + setting.phases.beta + 5 * (setting.phases.nudging == "centered")
        return [{"epoch": 0, "test_error": error + job.seed - 1}]

    run = made(tmp_path, rows, **swept.model_dump(exclude_unset=True))
    axes = sweep.figure(run).axes[0]
    curves = {line.get_label(): line for line in axes.lines}
    assert [*curves] == ["local, nudging one_sided", "local, nudging centered", "bp"]
    assert axes.get_xscale() == "log"
    for label, more in (("one_sided", 10), ("centered", 15)):
        line = curves[f"local, nudging {label}"]
        np.testing.assert_allclose(line.get_xdata(), [0.1, 1, 10])
        np.testing.assert_allclose(line.get_ydata(), more + np.array([0.1, 1, 10]))
    assert {*curves["bp"].get_ydata()} == {7.0}
    low, high = axes.get_ylim()
    assert low < 7 < high
    assert "bp, which phases.beta does not reach" in sweep.caption(run)


def test_a_sweep_of_conditions_of_several_kinds_says_what_tells_its_lines_apart(tmp_path):
    """Stages, widths and neurons differ as well: the legend has as few keys as do, and lies on the page."""
    kinds = [
        {"name": "rates", "stage": [{"epochs": 4}], "network": {"hidden": [8, 8]}},
        {"name": "spikes", "stage": [{"epochs": 5}, {"epochs": 2, "learning_rate": 1e-4}],
         "network": {"hidden": [9], "neuron": "lif"}, "phases": {"propagation": "two_compartment"}},
    ]  # fmt: skip
    tables = {"phases.beta": [0.1, 1.0], "optimiser.learning_rate": [0.001, 0.003]}
    swept = grid.expanded(spec.experiment(condition=kinds), tables)
    run = made(tmp_path, lambda job: [{"epoch": 0, "test_error": 10.0}], **swept.model_dump(exclude_unset=True))
    drawn = sweep.figure(run)
    labels = {line.get_label() for line in drawn.axes[0].lines}
    assert labels == {f"neuron {name}, learning_rate {rate}" for name in ("tanh", "lif") for rate in (0.001, 0.003)}
    drawn.content("svg")  # at its own size all can be read
    drawn.set_size_inches(3, 2.2)


def test_a_sweep_has_a_level_for_what_has_no_number(tmp_path):
    conditions = [
        {"name": "own"}, {"name": "slow", "stage": [{"epochs": 1, "learning_rate": 1e-3}]},
        {"name": "fast", "stage": [{"epochs": 1, "learning_rate": 1e-2}]},
    ]  # fmt: skip
    errors_of = {"own": 5.0, "slow": 6.0, "fast": 7.0}
    run = made(
        tmp_path,
        lambda job: [{"epoch": 0, "test_error": errors_of[job.condition]}],
        condition=conditions,
        stage=[{"epochs": 1}],
    )
    curve, level = sweep.figure(run).axes[0].lines
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == ([1e-3, 1e-2], [6, 7])
    assert (level.get_label(), {*level.get_ydata()}) == ("own", {5.0})
    assert "Level lines: own, which has no stage[0].learning_rate." in sweep.caption(run)


def test_a_sweep_shows_every_condition_or_says_how_many(tmp_path):
    """Of two that differ in nothing each has its line, and lines whose keys read alike have names of their own."""
    values = [("a", 0.1), ("b", 1.0), ("twin", 1.0)]
    conditions = [{"name": name, "phases": {"beta": beta}} for name, beta in values]
    conditions += [{"name": f"bp-{n}", "rule": "bp"} for n in range(4)]
    run = made(tmp_path, lambda job: [{"epoch": 0, "test_error": 1.0 + len(job.condition)}], condition=conditions)
    drawn = sweep.figure(run)
    assert sum(len(line.get_xdata()) for line in drawn.axes[0].lines[:2]) == 3
    assert "Of 4 such conditions the first 3 are drawn." in sweep.caption(run)
    assert {"twin", "bp-0", "bp-1", "bp-2"} <= {line.get_label() for line in drawn.axes[0].lines}


@pytest.mark.parametrize("level", [0.5, 90.0])
def test_level_lines_of_a_sweep_lie_in_its_panel(tmp_path, level):
    conditions = [{"name": f"{beta:g}", "phases": {"beta": beta}} for beta in (0.1, 1.0)] + [{"name": "bp", "rule": "bp"}]
    errors_of = {"0.1": 8.0, "1": 40.0, "bp": level}
    run = made(tmp_path, lambda job: [{"epoch": 0, "test_error": errors_of[job.condition]}], condition=conditions)
    low, high = sweep.figure(run).axes[0].get_ylim()
    assert low < level < high


def test_captions_have_the_seeds_that_are_drawn(tmp_path):
    """Of a run that is not finished: three seeds are asked for, of one condition two are measured, of the other one."""
    measured = {("local", 0), ("local", 1), ("bp", 0)}
    run = made(
        tmp_path,
        lambda job: [{"epoch": 0, "test_error": 1.0}] * ((job.condition, job.seed) in measured),
        condition=[{"name": "local"}, {"name": "bp", "rule": "bp"}], seeds=[0, 1, 2],
    )  # fmt: skip
    assert summary.means(run) == "Means over 1 to 2 seeds."
    assert summary.seeds(run).startswith("Lines are means over 1 to 2 seeds, bands")
    assert summary.seeds(run, "weights") == "One seed, so there are no bands."
    for job in run.jobs[1:3]:
        job.write("weights", {"W1": np.ones((4, 3))})
    assert summary.seeds(run, "weights").startswith("Lines are means over 2 seeds, bands")
    assert "seed 1. Blue" in analysis.get("fields").caption(run)


def test_points_that_no_other_is_beside_are_no_sweep(tmp_path):
    conditions = [
        {"name": "one", "phases": {"beta": 0.1}, "network": {"hidden": [4]}},
        {"name": "other", "phases": {"beta": 2.0}, "network": {"hidden": [5], "neuron": "relu"}},
    ]  # fmt: skip
    run = made(tmp_path, lambda job: [{"epoch": 0, "test_error": 1.0}], condition=conditions)
    with pytest.raises(RunError, match="conditions that differ in a number alone, and there are no such"):
        sweep.figure(run)


def test_a_figure_that_no_size_suits_leaves_the_report(run, monkeypatch):
    def crowded(run):
        raise style.SizeError("the figure cannot be read")

    monkeypatch.setattr(analysis.get("angles"), "figure", crowded)
    monkeypatch.setattr(analysis, "names", lambda: ["angles", "errors"])
    text = report.page(run)
    assert "angles: the figure cannot be read" in text
    assert set(images_of(text)) == {"errors"}
