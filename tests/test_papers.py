"""Papers as experiments: cells, their trainings in processes of their own, what is kept of them, and the tables."""

import json
import multiprocessing
import os
import re
import shutil
import time
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

import localdfa
from localdfa import analysis, data, papers, record
from localdfa.cli import main
from localdfa.errors import RunError, SpecError
from localdfa.papers import cells, figures, running, tables, terminal
from localdfa.record import Run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "results").glob("*.md"))]

PAPER = """
title = "A paper"
cite = "Nobody (2016)"

[[table]]
name = "table1"
title = "Table 1: digits"
row = [
    { name = "small", label = "1 × 8", reported = { dfa = "20.00 ± 1.00", bp = "does not learn" } },
    { name = "wide", label = "1 × 16" },
]
"""
SMALL = """
data = "digits"
seeds = [0]
[network]
hidden = [8]
[[stage]]
epochs = 2
[[stage]]
epochs = 3
learning_rate = 1e-4
[[condition]]
name = "dfa"
rule = "dfa"
[[condition]]
name = "bp"
rule = "bp"
"""


@pytest.fixture
def paper(tmp_path):
    folder = tmp_path / "sims" / "nobody2016"
    folder.mkdir(parents=True)
    (folder / "paper.toml").write_text(PAPER, encoding="utf-8")
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    (folder / "wide.toml").write_text(SMALL.replace("[8]", "[16]"), encoding="utf-8")
    return papers.read(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The cells of a small paper, shortened to one epoch, one of which is to fail; their folder; what failed; what was told."""
    folder = tmp_path_factory.mktemp("paper")
    place = folder / "sims" / "nobody2016"
    place.mkdir(parents=True)
    (place / "paper.toml").write_text(PAPER, encoding="utf-8")
    (place / "small.toml").write_text(SMALL, encoding="utf-8")
    (place / "wide.toml").write_text(SMALL.replace('"digits"', '"npz:nowhere.npz"'), encoding="utf-8")
    paper, told = papers.read(place), []

    class Told:
        def going_on(self, running, waiting):
            told.append(("going on", len(running), waiting))

        def over(self, cell, found, why):
            told.append(("over", cell.name, found and found.error, why))

    small, wide = paper.rows
    chosen = [*cells.of(paper, small, epochs=1), *cells.of(paper, wide, ["bp"], epochs=1)]
    failed = running.train_all(chosen, folder / "out", 2, Told())
    return paper, folder / "out", chosen, failed, told


def measured(cell, errors, **changes):
    """What would be kept of a cell with these test errors."""
    spec = cell.spec
    entries = {
        "row": cell.row, "condition": cell.condition, "seed": cell.seed, "asked_epochs": cell.epochs, "spec": spec,
        "sha256": record.checksum(spec), "epochs": len(errors) - 1, "kept_epoch": len(errors) - 1, "train_error": errors,
        "valid_error": None, "test_error": errors, "angle_to_dfa": None, "angle_to_bp": [40.0, None], "seconds": 12.0,
        "threads": 1, "command": "", "started": "", "versions": {}, "git_revision": None, "platform": "", "data": "",
    }  # fmt: skip
    return cells.Measured(**{**entries, **changes})


@pytest.mark.parametrize("name", papers.names())
def test_a_paper_is_whole(name):
    """Every row has its experiment, on data that there are, and what the paper reports is of conditions that it has."""
    paper = papers.named(name)
    for row in paper.rows:
        experiment = paper.experiment(row)
        named = {condition.name for condition in experiment.condition}
        assert experiment.data in data.available()
        assert set(row.reported) <= named
        assert all(cell.setting.rule == cell.condition for cell in cells.of(paper, row) if cell.condition in row.reported)
    assert {figure for table in paper.table for figure in table.figures} <= set(analysis.names())


def test_what_a_paper_reports_is_read_as_mean_and_deviation():
    paper = papers.named("nokland2016")
    found = tables.parsed(next(row for row in paper.rows if row.name == "2x800").reported["dfa"])
    assert found == (1.74, 0.08)
    with pytest.raises(SpecError, match=r"paper 'nokland'.*'nokland2016'"):
        papers.named("nokland")


def test_rows_and_tables_are_chosen_by_name(paper):
    assert [[row.name for row in table.row] for table in paper.chosen(())] == [["small", "wide"]]
    assert [[row.name for row in table.row] for table in paper.chosen(("wide",))] == [["wide"]]
    assert [[row.name for row in table.row] for table in paper.chosen(("table1", "wide"))] == [["small", "wide"]]
    with pytest.raises(SpecError, match="'smal'"):
        paper.chosen(("smal",))


def test_cells_of_a_row(paper):
    small = paper.rows[0]
    found = cells.of(paper, small, ["bp", "fa"], seeds=3)
    assert [cell.name for cell in found] == ["small/bp-0", "small/bp-1", "small/bp-2"]
    assert [cell.experiment.seeds for cell in found] == [[0], [1], [2]]
    assert not cells.of(paper, small, ["local"])
    cells.require_rules(paper, paper.rows, ["dfa", "bp"])
    with pytest.raises(SpecError, match="rule 'dffa' is not one of dfa, bp; did you mean 'dfa'"):
        cells.require_rules(paper, paper.rows, ["bp", "dffa"])


def test_epochs_shorten_a_training_over_all_of_its_stages(paper):
    small = paper.rows[0]
    (four,), (two,), (whole,) = (cells.of(paper, small, ["dfa"], epochs=epochs) for epochs in (4, 2, 9))
    assert [stage.epochs for stage in four.setting.stage] == [2, 2]
    assert four.setting.stage[1].learning_rate == 1e-4
    assert [stage.epochs for stage in two.setting.stage] == [2]
    assert (four.name, two.planned) == ("small/dfa-0-4-epochs", 2)
    assert (whole.epochs, whole.planned) == (None, 5)


def test_cells_are_trained_as_any_run_and_what_fails_is_said(trained, tmp_path):
    _, out, chosen, failed, told = trained
    assert list(failed) == ["wide/bp-0-1-epochs"]
    assert "nowhere.npz" in failed["wide/bp-0-1-epochs"]
    found = cells.kept(out / "results")
    assert [(each.condition, each.asked_epochs, each.epochs) for each in found] == [("bp", 1, 1), ("dfa", 1, 1)]
    alone = localdfa.run(chosen[0].experiment, tmp_path / "alone", progress=False)
    assert alone.jobs[0].last["test_error"] == cells.find(found, chosen[0]).error
    assert [row["train_error"] for row in alone.metrics] == cells.find(found, chosen[0]).train_error
    assert {kind for kind, *_ in told} == {"going on", "over"}
    assert max(entry[1] for entry in told if entry[0] == "going on") == 2
    assert cells.find(found, chosen[1]).command == "localdfa paper --of nobody2016 small --rules bp --epochs 1"


def test_a_finished_cell_is_found_and_one_of_another_spec_is_not(trained, tmp_path):
    paper, out, chosen, *_ = trained
    found = cells.kept(out / "results")
    assert all(cells.find(found, cell) for cell in chosen[:2])
    changed = shutil.copytree(paper.folder, tmp_path / "changed")
    (changed / "small.toml").write_text(SMALL.replace("seeds", "batch_size = 32\nseeds"), encoding="utf-8")
    other = papers.read(changed)
    (cell,) = cells.of(other, other.rows[0], ["dfa"], epochs=1)
    assert cells.find(found, cell) is None
    why = running.train_all([cell], out, 1, Silent())[cell.name]
    assert "was begun with another spec than small has now" in why


def says_much(cell, folder, threads, said):
    said.send("much " * 100_000)


def ends_without_a_word(cell, folder, threads, said):
    os._exit(3)


@pytest.mark.parametrize(
    ("child", "said"), [(says_much, "much " * 100_000), (ends_without_a_word, "its process ended with the status 3")]
)
def test_what_a_process_says_is_heard_whole_and_one_that_says_nothing_is_told(paper, tmp_path, monkeypatch, child, said):
    """More than the 64 KiB that a pipe holds: who says it waits until it is read."""
    monkeypatch.setattr(running, "_train", child)
    chosen, until = cells.of(paper, paper.rows[0]), time.monotonic() + 120

    class Patient(Silent):
        def going_on(self, running, waiting):
            assert time.monotonic() < until, "parent and child wait for each other"

    assert running.train_all(chosen, tmp_path, 2, Patient()) == dict.fromkeys((cell.name for cell in chosen), said)
    assert not multiprocessing.active_children()


def test_an_interruption_leaves_no_process_and_the_same_call_goes_on(paper, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_EVERY", 0.02)
    (paper.folder / "small.toml").write_text(SMALL.replace("epochs = 3", "epochs = 60"), encoding="utf-8")
    (cell,) = cells.of(paper, paper.rows[0], ["dfa"])

    class Impatient(Silent):
        def going_on(self, running, waiting):
            if any(row and row["epoch"] for _, row in running):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.train_all([cell], tmp_path, 1, Impatient())
    assert 1 < len(Run(running.run_folder(cell, tmp_path)).metrics) < cell.planned
    assert not multiprocessing.active_children()
    assert not running.train_all([cell], tmp_path, 1, Silent())
    found = cells.find(cells.kept(tmp_path / "results"), cell)
    whole = localdfa.run(cell.experiment, tmp_path / "whole", progress=False)
    assert found.test_error == [row["test_error"] for row in whole.metrics]


class Silent:
    def going_on(self, running, waiting):
        pass

    def over(self, cell, found, why):
        pass


def test_a_key_that_the_spec_has_got_since_changes_no_cell(paper):
    """But where the experiment names it, what was measured without it is another thing."""
    (cell,) = cells.of(paper, paper.rows[0], ["dfa"])
    then = cell.spec
    del then["network"]["dropout"], then["optimiser"]["weight_decay"]
    old = measured(cell, [90.0, 20.0], spec=then)
    assert old.is_of(cell)
    (paper.folder / "small.toml").write_text(SMALL.replace("hidden", "dropout = 0.0\nhidden"), encoding="utf-8")
    again = papers.read(paper.folder)
    (named,) = cells.of(again, again.rows[0], ["dfa"])
    assert not old.is_of(named)


def test_a_damaged_result_is_named(trained, tmp_path):
    _, out, *_ = trained
    shutil.copytree(out / "results", tmp_path / "results")
    path = tmp_path / "results" / "small" / "dfa-0-1-epochs.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    for change, why in (
        ({"spec": {**whole["spec"], "batch_size": 1}}, "the SHA-256 is not that of its spec"),
        ({"test_error": [90.0]}, "the curves are not of 1 epochs"),
        ({"kept_epoch": 2}, "the curves are not of 1 epochs"),
        ({"seconds": "long"}, "seconds"),
    ):
        path.write_text(json.dumps({**whole, **change}), encoding="utf-8")
        with pytest.raises(RunError, match=f"dfa-0-1-epochs.json: .*{why}"):
            cells.kept(tmp_path / "results")


def test_a_table_has_what_is_measured_beside_what_is_reported(paper):
    small, _ = paper.rows
    whole = cells.of(paper, small, ["dfa"], seeds=2)
    (short,) = cells.of(paper, small, ["bp"], epochs=1)
    results = [measured(whole[0], [90.0, 19.0]), measured(whole[1], [90.0, 20.0]), measured(short, [90.0, 50.0])]
    (first, second) = tables.entries(paper, paper.table[0], results)
    dfa, bp = first
    assert (dfa.mean, dfa.difference, dfa.is_near, dfa.shortened) == (19.5, -0.5, True, None)
    assert (bp.mean, bp.difference, bp.shortened) == (50.0, None, 1)
    assert tables.short([first, second]) == [
        ["network", "dfa", "bp"],
        ["1 × 8", "19.50 ± 0.71 [20.00 ± 1.00]", "50.00 (1 epoch) [does not learn]"],
        ["1 × 16", "not run", "not run"],
    ]
    lines = tables.long([first, second])
    assert lines[1][:7] == ["1 × 8", "dfa", "0", "20.00 ± 1.00", "19.00", "-1.00", "-1.0"]
    assert [line[4] for line in lines[3:]] == ["50.00", "not run", "not run"]
    assert not second[0].found


def test_what_was_measured_here_stands_before_what_comes_with_localdfa_and_is_not_mixed_with_it(paper):
    small, _ = paper.rows
    whole, (short,) = cells.of(paper, small, ["dfa"], seeds=3), cells.of(paper, small, ["dfa"], epochs=1)
    (other,) = cells.of(paper, small, ["bp"])
    shipped = [*(measured(cell, [90.0, 20.0 + cell.seed]) for cell in whole), measured(other, [90.0, 10.0])]
    for here, said in (
        ([measured(short, [90.0, 55.0])], "55.00 (1 epoch) [20.00 ± 1.00]"),
        ([measured(whole[0], [90.0, 55.0])], "55.00† [20.00 ± 1.00]"),
        ([], "21.00 ± 1.00 [20.00 ± 1.00]"),
    ):
        found = tables.entries(paper, paper.table[0], here, shipped)
        assert tables.short(found)[1][1:] == [said, "10.00 [does not learn]"]


@pytest.mark.parametrize(
    ("measure", "reported", "value", "line", "near"),
    [
        # The first measure of recommenders is the log-loss, here 0.5; the table is of another.
        ("auc", "0.80 ± 0.01", 0.815, ["0.8150", "+0.0150", "+1.5"], True),
        ("auc", "0.80 ± 0.01", 0.86, ["0.8600", "+0.0600", "+6.0"], False),
        ("auc", "0.80 ± 0.01", None, ["–", "–", "–"], True),
        ("ap", "0.80 ± 0.01", 0.778, ["0.7780", "-0.0220", "-2.2"], True),
        ("psnr", "24.00 ± 0.50", 26.0, ["26.00", "+2.00", "+4.0"], False),
        ("log_loss", "0.80 ± 0", 0.0, ["0.5000", "-0.3000", "–"], False),
        ("auc", "0.80 ± 0.00", 0.80, ["0.8000", "+0.0000", "–"], True),
    ],
)
def test_a_table_compares_the_measure_that_it_shows(tmp_path, measure, reported, value, line, near):
    """Whole trainings beside what the paper reports; of a mean without a spread there are no deviations."""
    text = PAPER.replace('name = "table1"', f'name = "table1"\nmeasure = "{measure}"').replace("20.00 ± 1.00", reported)
    (tmp_path / "paper.toml").write_text(text, encoding="utf-8")
    for name in ("small", "wide"):
        (tmp_path / f"{name}.toml").write_text(SMALL, encoding="utf-8")
    paper = papers.read(tmp_path)
    (cell,) = cells.of(paper, paper.rows[0], ["dfa"])
    (entry, _), _ = tables.entries(
        paper, paper.table[0], [measured(cell, [0.7, 0.5], measure="log_loss", others={measure: value})]
    )
    assert tables.long([[entry]])[1][4:7] == line
    assert tables.short([[entry]])[1][1] == f"{line[0]}{'' if near else '†'} [{reported}]"
    assert terminal._numbers(entry)[:3] == [line[0], reported, line[1] + "†" * (not near)]
    assert entry.is_near is near
    assert entry.difference is None or entry.difference == pytest.approx(float(line[1]))
    assert not any("percentage points" in said for said in tables.legend([[entry]]))


def test_a_table_by_rule_has_a_line_for_each_variant_with_cosines(tmp_path):
    names = ("dfa-3", "bp-3", "dfa", "bp")
    conditions = "".join(f'[[condition]]\nname = "{name}"\nrule = "{name.partition("-")[0]}"\n' for name in names)
    (tmp_path / "paper.toml").write_text(PAPER.replace('name = "table1"', 'name = "table1"\nby_rule = true'), encoding="utf-8")
    for name in ("small", "wide"):
        text = SMALL[: SMALL.index("[[condition]]")] + conditions
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    paper = papers.read(tmp_path)
    small, _ = paper.rows
    own = {name: cells.of(paper, small, [name], seeds=2, epochs=1) for name in names}
    results = [
        measured(own["dfa-3"][0], [90.0, 20.0], signal_cosine=[0.5, 0.25], signal_cosine_sd=[0.1, 0.1]),
        measured(own["dfa-3"][1], [90.0, 22.0], signal_cosine=[0.7, 0.35], signal_cosine_sd=[0.1, 0.1]),
        measured(own["bp-3"][0], [90.0, 10.0], signal_cosine=[1.0, None]),
        measured(own["bp"][0], [90.0, 9.0]),
    ]
    first, second = tables.entries(paper, paper.table[0], results)
    assert tables.by_rule([first]) == [
        ["1 × 8, 1 epoch", "dfa", "bp"],
        ["3", "21.00 ± 1.41; 0.60, 0.30", "10.00"],
        ["–", "not run [20.00 ± 1.00]", "9.00 [does not learn]"],
    ]
    assert tables.by_rule([second])[0] == ["1 × 16", "dfa", "bp"]
    # Trainings that were stopped are not compared with those of the paper, wherever it is said that they were.
    stopped, _ = tables.entries(paper, paper.table[0], [*results, measured(own["dfa"][0], [90.0, 50.0])])
    assert tables.by_rule([stopped])[2] == ["–", "50.00 [20.00 ± 1.00]", "9.00 [does not learn]"]
    (whole,) = cells.of(paper, small, ["dfa"])
    first, _ = tables.entries(paper, paper.table[0], [*results, measured(whole, [90.0, 5.0])])
    assert tables.by_rule([first])[2] == ["–", "5.00† [20.00 ± 1.00]", "9.00 (1 epoch) [does not learn]"]
    page = tables.page(paper, paper.table, results, {}, tmp_path, "md")
    assert "| 3 | 21.00 ± 1.41; 0.60, 0.30 | 10.00 |" in page
    assert "the cosine between the signal and the gradient" in page


@pytest.mark.parametrize(("error", "near"), [(22.99, True), (23.01, False), (16.9, False)])
def test_what_is_far_from_the_paper_is_marked(paper, error, near):
    (cell,) = cells.of(paper, paper.rows[0], ["dfa"])
    results = [measured(cell, [90.0, error])]
    (entry, _), _ = tables.entries(paper, paper.table[0], results)
    assert entry.is_near is near
    text = tables.page(paper, paper.table, results, {}, paper.folder, "md")
    assert (f"{error:.2f}† [20.00 ± 1.00]" in text) is not near
    assert ("further from the paper's mean" in text) is not near


def test_the_weights_that_are_kept_decide(paper):
    (cell,) = cells.of(paper, paper.rows[0], ["dfa"])
    (entry, _), _ = tables.entries(paper, paper.table[0], [measured(cell, [90.0, 20.0, 30.0], kept_epoch=1)])
    assert entry.mean == 20.0
    assert tables.long([[entry]])[1][8] == "2, kept 1"


def test_pages_say_the_same_and_escape_what_they_are_given(paper):
    (paper.folder / "paper.toml").write_text(PAPER.replace("A paper", "<b>A</b> & paper"), encoding="utf-8")
    same = papers.read(paper.folder)
    page = tables.page(same, same.table, [], {}, paper.folder, "html")
    assert "<h1>&lt;b&gt;A&lt;/b&gt; &amp; paper</h1>" in page
    assert page.count("<table>") == 2
    assert "| network | dfa | bp |\n| --- | --- | --- |\n" in tables.page(same, same.table, [], {}, paper.folder, "md")


def test_figures_are_those_of_one_run_with_all_conditions(trained, tmp_path):
    """Drawn of a run for each condition they are, to the pixel, those of the experiment that trains them all."""
    paper, out, chosen, *_ = trained
    (table,) = paper.chosen(("small",))
    drawn = table.model_copy(update={"figures": ["errors", "comparison"]})
    (path, caption), (other, _) = figures.draw(paper, drawn, out)
    whole = localdfa.run(
        {
            "data": "digits", "seeds": [0], "network": {"hidden": [8]}, "stage": [{"epochs": 1}],
            "condition": [{"name": "dfa", "rule": "dfa"}, {"name": "bp", "rule": "bp"}],
        },
        tmp_path / "whole", progress=False,
    )  # fmt: skip
    together = figures.joined(paper, table.row[0], out)
    assert analysis.get("errors").figure(together).content("png") == analysis.get("errors").figure(whole).content("png")
    for cell in chosen[:2]:
        assert Run(running.run_folder(cell, out)).info["spec"].encode() in path.read_bytes()
    assert caption == analysis.get("errors").caption(whole)
    page = tables.page(paper, [drawn], cells.kept(out / "results"), {"table1": [(path, caption)]}, out, "html")
    assert '<img src="figures/table1-errors.png"' in page
    assert other.name == "table1-comparison.png"
    assert other.is_file()
    (wide,) = paper.chosen(("wide",))
    with pytest.raises(
        RunError, match=r"wide needs finished runs of dfa, bp: localdfa paper --of nobody2016 wide --out .*out$"
    ):
        figures.draw(paper, wide.model_copy(update={"figures": ["errors"]}), out)


def test_a_wrong_paper_is_refused_with_its_file(paper):
    for text, why in (
        (PAPER.replace("20.00 ± 1.00", "20"), r"table.0.row.0.reported.dfa: String should match"),
        (PAPER.replace("cite", "sight"), "cite: Field required"),
        ("title = ", "cannot be read"),
    ):
        (paper.folder / "paper.toml").write_text(text, encoding="utf-8")
        with pytest.raises(SpecError, match=f"paper.toml: {why}"):
            papers.read(paper.folder)


@pytest.mark.parametrize("name", papers.names())
def test_results_that_come_with_localdfa_are_of_the_experiments_that_do(name):
    paper = papers.named(name)
    rows, kept = {row.name: row for row in paper.rows}, cells.kept(paper.results)
    seeds = 1 + max((found.seed for found in kept), default=0)

    @cache
    def of(row, condition, epochs):
        return {cell.seed: cell for cell in cells.of(paper, rows[row], [condition], seeds, epochs)}

    for found in kept:
        cell = of(found.row, found.condition, found.asked_epochs)[found.seed]
        assert found.is_of(cell), cell.name
        assert (paper.results / f"{cell.name}.json").is_file()
        assert found.git_revision
        assert "+changes" not in found.git_revision


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_have_the_tables_of_these_results(page):
    text = page.read_text(encoding="utf-8")
    assert tables.into(text) == text


def test_pages_have_every_table_of_which_something_is_measured():
    shown = {name for page in PAGES for name in re.findall(r"<!-- paper (\S+) -->", page.read_text(encoding="utf-8"))}
    for name in papers.names():
        paper = papers.named(name)
        rows = {found.row for found in cells.kept(paper.results)}
        for table in paper.table:
            measured = any(row.name in rows for row in table.row)
            assert not measured or table.figures or f"{name}/{table.name}" in shown


def test_tables_at_the_command_line(tmp_path):
    done = CliRunner().invoke(main, ["paper", "2x800", "--table", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "1.74 ± 0.08" in done.output
    assert "3 × 800" not in done.output
    assert max(len(line) for line in done.output.splitlines() if not line.startswith(("no figure: ", "tables: "))) <= 80
    assert "Table 1: MNIST" in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    wrong = CliRunner().invoke(main, ["paper", "table9"])
    assert wrong.exit_code == 1
    assert "table, figure or row 'table9'" in wrong.output


def test_a_cell_leaves_out_what_only_other_conditions_read(paper):
    path = paper.folder / "small.toml"
    local = '[[condition]]\nname = "local"\n'
    path.write_text(SMALL.replace("[[stage]]", "[phases]\nbeta = 0.5\n[[stage]]", 1) + local, encoding="utf-8")
    changed = papers.read(paper.folder)
    row = next(row for row in changed.rows if row.name == "small")
    betas = {cell.condition: cell.experiment.phases.beta for cell in cells.of(changed, row)}
    assert betas == {"dfa": 0.1, "bp": 0.1, "local": 0.5}
