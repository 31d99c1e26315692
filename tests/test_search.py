"""Searches with Optuna: ranges, trials that are conditions, and searches that go on where they were cut off."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import setting_of
from numpy.testing import assert_array_equal
from test_grid import FOLLOWED, by_hand

import localdfa
from localdfa import cli, jobs, record, registry, searching, spec, train, trainer
from localdfa.errors import LocalDFAError, RunError, SpecError
from localdfa.progress import Progress
from localdfa.spec import search as ranges
from localdfa.spec.search import Range, Search

optuna = pytest.importorskip("optuna")

SPACE = {"optimiser.learning_rate": "1e-3..1e-1:log", "phases.beta": "0.1..1", "batch_size": [32, 64]}
TINY = {
    "network": {"hidden": [8]}, "seeds": [0, 1], "stage": [{"epochs": 2}], "preprocess": {"validation": 0.25},
    "record": {"probe": 16}, "rule": "local",
}  # fmt: skip


def data(shuffled=False):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    y = (x.sum(axis=1) > 0).astype(int)
    return x[:150], y[:150], x[150:], rng.permutation(y[150:]) if shuffled else y[150:]


def searched(place, trials=3, space=SPACE, seed=0, tables=TINY, shuffled=False, **options):
    search = Search(space, trials, seed=seed)
    return train.run(tables, place, progress=False, data=data(shuffled), search=search, **options)


def values(run, space=SPACE):
    return {name: run.values(name, space) for name in run.settings}


def study(run):
    """What Optuna itself reads."""
    return optuna.load_study(study_name="search", storage=f"sqlite:///{run.folder.resolve()}/search.db")


def files(run):
    """Of the files of conditions: content, moment of writing and inode."""
    found = [path for path in (run.folder / "conditions").rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


def same(run, other):
    assert values(run) == values(other)
    for mine, others in zip(run.jobs, other.jobs, strict=True):
        assert mine.weights.keys() == others.weights.keys()
        for key, array in mine.weights.items():
            assert_array_equal(array, others.weights[key])
    assert [trial.value for trial in study(run).trials] == [trial.value for trial in study(other).trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing has interrupted."""
    return searched(tmp_path_factory.mktemp("whole") / "run")


# --- ranges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phases.beta=0.01..1:log", Range(0.01, 1.0, True, False)),
        ("phases.beta = 1e-4 .. 1e-2 ", Range(1e-4, 1e-2, False, False)),
        ("batch_size=16..256:log", Range(16, 256, True, True)),
        ("phases.beta=1..2.0", Range(1.0, 2.0, False, False)),
        ("neuron.v_reset=-1.5..0", Range(-1.5, 0.0, False, False)),
        ("neuron.t_ref=1|2|3", [1, 2, 3]),
        ("network.neuron=lif|alif", ["lif", "alif"]),
        ("network.hidden=[16]|[16,16]", [[16], [16, 16]]),
        ("feedback.shared=true|false", [True, False]),
    ],
)
def test_a_text_is_a_range_or_choices(text, expected):
    ((key, found),) = Search(ranges.from_options([text])).ranges.items()
    assert (key, found) == (text.partition("=")[0].strip(), expected)
    if isinstance(found, Range):
        assert {type(found.low), type(found.high)} == ({int} if expected.whole else {float})


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["phases.beta"], r"write it as key=low\.\.high"),
        (["phases.beta="], "write it as"),
        (["phases.beta=0.1"], "write it as"),
        (["phases.beta=a..b"], "write it as"),
        (["phases.beta=1..0.5"], "ends above its beginning"),
        (["phases.beta=1..1e999"], "ends above its beginning"),
        (["phases.beta=0..1:log"], "a range above 0"),
        (["phases.beta=1|1"], "value 1 twice"),
        (["network.hidden=[8]|[8"], "--search network.hidden=.*bracket"),
        (["phases.beta=1..2", "phases.beta=3..4"], "is there already"),
        (["seeds=0..9"], "'seeds' is no key that conditions may differ in"),
        (["preprocess.validation=0.1..0.2"], "'preprocess.validation' is no key"),
        (["precision=float32|float64"], "precision decides"),
    ],
)
def test_texts_of_another_form_are_refused(texts, message):
    with pytest.raises(SpecError, match=message):
        Search(ranges.from_options(texts))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": {}}, "no key is searched"),
        ({"space": {"phases.beta": [0.1]}}, "one value or none"),
        ({"space": {"phases.beta": 0.1}}, r"search: phases\.beta: 0\.1; allowed: a list of values"),
        ({"space": {"network.hidden": np.array([[8], [8]])}}, r"the value \[8\] twice"),
        ({"trials": 0}, "trials: 0"),
        ({"trials": 2.0}, r"trials: 2\.0"),
        ({"trials": 1001}, "at most 1000"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_searches_of_another_form_are_refused(arguments, message):
    with pytest.raises(SpecError, match=message):
        Search(**{"space": SPACE, **arguments})


def test_choices_may_be_those_of_an_array():
    found = Search({"network.hidden": np.array([[8, 4], [16, 8]]), "batch_size": [np.int64(8), 16]}, 2)
    assert found.ranges == {"network.hidden": [[8, 4], [16, 8]], "batch_size": [8, 16]}
    assert json.loads(json.dumps(found.as_entries()["space"])) == found.ranges


@pytest.mark.parametrize(
    ("tables", "space", "options", "message"),
    [
        ({"rule": "bp"}, {"phases.beta": "0.1..1"}, {}, r"phases\.beta is not read"),
        ({}, {"phases.beta": "-1.0..1"}, {}, r"with phases\.beta=-1\.0.*beta"),
        ({}, {"phases.beat": "0.1..1"}, {}, r"phases\.beat"),
        ({}, {"batch_size": "0.5..8"}, {}, r"batch_size"),
        ({"preprocess": {}}, SPACE, {}, r"validation = 0\.2"),
        ({}, SPACE, {"grid": {"batch_size": [1, 2]}}, "does not go with grid"),
        ({}, SPACE, {"weights": {"W1": np.zeros((8, 5))}}, "does not go with weights"),
        ({"condition": [{"name": "a"}, {"name": "b"}]}, SPACE, {}, "here are a, b; allowed: --condition"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_a_folder_is_made(tmp_path, tables, space, options, message):
    with pytest.raises(SpecError, match=message):
        searched(tmp_path / "run", space=space, tables={**TINY, **tables}, **options)
    assert not (tmp_path / "run").exists()


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(LocalDFAError, match=r"localdfa\[search\]"):
        searched(tmp_path / "run")


def test_one_condition_of_several_is_searched():
    of_two = spec.experiment(
        {**TINY, "rules": {}, "condition": [{"name": "l", "phases": {"nudging": "one_sided"}}, {"name": "b", "rule": "bp"}]}
    )
    base = ranges.searched(of_two, "l")
    found = ranges.with_trials(base, {"trial-0": {"phases.beta": 0.2}, "trial-1": {"phases.beta": 0.3}})
    settings = spec.settings(found)
    assert [(name, s.phases.beta, s.phases.nudging, s.rule) for name, s in settings.items()] == [
        ("trial-0", 0.2, "one_sided", "local"), ("trial-1", 0.3, "one_sided", "local"),
    ]  # fmt: skip
    with pytest.raises(SpecError, match="condition 'x' is none"):
        ranges.searched(of_two, "x")


def test_a_trial_has_those_values_that_it_reads():
    base = spec.experiment(TINY)
    search = Search({"rule": ["local", "bp"], "phases.beta": "0.1..0.2"})
    ranges.check(base, search)
    found = spec.settings(ranges.with_trials(base, {r: {"rule": r, "phases.beta": 0.123} for r in ("local", "bp")}))
    assert found["local"].phases.beta == 0.123
    assert found["bp"].phases.beta != 0.123


# --- trials -----------------------------------------------------------------------------------------------------------


def test_trials_are_conditions_and_are_compared_by_their_validation_error(whole):
    assert whole.status == "finished"
    assert [*whole.settings] == [f"trial-{k}" for k in range(3)]
    for name, own in values(whole).items():
        assert 1e-3 <= own["optimiser.learning_rate"] <= 1e-1, name
        assert 0.1 <= own["phases.beta"] <= 1
        assert own["batch_size"] in (32, 64)
    assert len({json.dumps(own) for own in values(whole).values()}) == 3
    errors = {name: [] for name in whole.settings}
    for job in whole.jobs:
        last = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()][-1]
        errors[job.condition].append(last["valid_error"])
    means = {name: sum(found) / 2 for name, found in errors.items()}
    trials = study(whole).trials
    assert {f"trial-{trial.number}": trial.value for trial in trials} == pytest.approx(means)
    assert [dict(trial.params) for trial in trials] == [*values(whole).values()]
    assert whole.best.name == min(means, key=means.get) == f"trial-{study(whole).best_trial.number}"
    assert whole.best.error == pytest.approx(min(means.values()))
    assert whole.best.values == values(whole)[whole.best.name]


def test_the_best_trial_is_found_with_as_many_looks_at_run_json_however_many_there_are(whole, tmp_path, monkeypatch):
    looks, real = [], record.info_of
    one = searched(tmp_path / "run", trials=1)
    monkeypatch.setattr(record, "info_of", lambda folder: (looks.append(folder), real(folder))[1])
    assert one.best.name == "trial-0"
    few = len(looks)
    assert whole.best
    assert len(looks) == 2 * few
    looks.clear()
    assert whole.validation_error("trial-2") > 0
    assert len(looks) == 1


def test_the_best_trial_is_a_spec_of_its_own(whole, tmp_path):
    again = train.run(spec.load(str(whole.folder / "best.toml")), tmp_path / "best", progress=False, data=data())
    assert [*again.settings] == [whole.best.name]
    for job in again.jobs:
        (mine,) = [each for each in whole.jobs if (each.condition, each.seed) == (job.condition, job.seed)]
        assert_array_equal(job.weights["W1"], mine.weights["W1"])


def test_values_are_columns_of_tables(whole):
    table = whole.table()
    assert table["optimiser.learning_rate"].to_dict() == {n: v["optimiser.learning_rate"] for n, v in values(whole).items()}
    assert "<th>learning_rate</th>" in whole._repr_html_()
    assert set(whole.frame()["batch_size"]) <= {32, 64}


def test_the_test_set_decides_nothing(whole, tmp_path):
    other = searched(tmp_path / "run", shuffled=True)
    assert [job.last["test_error"] for job in other.jobs] != [job.last["test_error"] for job in whole.jobs]
    same(other, whole)
    assert other.best.name == whole.best.name


def test_trials_follow_from_the_seed(whole, tmp_path):
    assert values(searched(tmp_path / "other", seed=1)) != values(whole)
    longer = searched(tmp_path / "longer", trials=4)
    assert {name: own for name, own in values(longer).items() if name != "trial-3"} == values(whole)


def test_later_trials_learn_from_earlier_ones():
    """A fifth of the range is good; of what is drawn blindly a fifth would be."""
    search, kept = Search({"phases.beta": "0.0..1"}, 40), []
    for number in range(40):
        value = searching._chosen(search, kept)["phases.beta"]
        distributions = {"phases.beta": optuna.distributions.FloatDistribution(0, 1)}
        told = {"params": {"phases.beta": value}, "distributions": distributions, "value": abs(value - 0.3)}
        kept.append(optuna.trial.create_trial(**told))
        kept[-1].number = number
    late = [trial.value for trial in kept[20:]]
    assert sum(value < 0.1 for value in late) > 7


def said(setting):
    """All that a setting says, the parameters of its models with their defaults."""
    tables = setting.model_dump()
    return {**tables, "neuron": setting.neuron_parameters._asdict(), "optimiser": optimiser_of(setting)}


def optimiser_of(setting):
    found = registry.get("optimisers", setting.optimiser.name)(**setting.optimiser.parameters)._asdict()
    return {**setting.optimiser.model_dump(), **found}


def test_values_that_no_spec_has_are_refused():
    search = Search({"feedback.bottleneck": [{"1": b"x"}, {"1": 3}]})
    with pytest.raises(SpecError, match=r"search: with feedback\.bottleneck=.*b'x'"):
        ranges.check(spec.experiment(TINY), search)


@pytest.mark.parametrize(("tables", "key", "values"), FOLLOWED)
def test_what_follows_a_key_follows_each_trial_also_after_a_resume(tmp_path, tables, key, values):
    """As in a spec that has the value from the start; what trials change is read again from search.toml."""
    base = spec.experiment({**tables, "preprocess": {"validation": 0.2}})
    search = Search({key: values}, trials=3)
    run = record.begin(tmp_path / "run", searching.first(base, search), search=(search, base))
    for each in (base, run.search[1]):
        for value in values:
            (setting,) = spec.settings(ranges.with_trials(each, {"trial-0": {key: value}})).values()
            assert said(setting) == said(setting_of(**by_hand(tables, key, value))), value


# --- cut off ----------------------------------------------------------------------------------------------------------


class Cut(Exception):
    """Ends a search in the middle, as it were."""


def cut_at(condition, seed, epoch):
    def callback(row):
        if (row["condition"], row["seed"], row["epoch"]) == (condition, seed, epoch):
            raise Cut

    return callback


def test_a_trial_that_is_half_done_goes_on(whole, tmp_path):
    with pytest.raises(Cut):
        searched(tmp_path / "run", callback=cut_at("trial-1", 1, 1))
    run = localdfa.open_run(tmp_path / "run")
    assert [*run.settings] == ["trial-0", "trial-1"]
    assert [bool(job.trained) for job in run.jobs] == [True, True, True, False]
    before = {path: found for path, found in files(run).items() if "trial-0" in path.parts}
    again = train.resume(run.folder, progress=False, data=data())
    same(again, whole)
    after = files(again)
    assert {path: after[path] for path in before} == before
    # Once it is over, there is nothing to do.
    same(train.resume(run.folder, progress=False, data=data()), whole)
    assert files(again) == after


@pytest.mark.parametrize("moment", ["grow", "_tell", "create_study"])
def test_between_any_two_files_a_search_can_be_cut_off(whole, tmp_path, monkeypatch, moment):
    """A trial is in the study and not yet in the spec, or trained and not yet told; or there is no study at all."""
    owner = {"grow": record.Run, "create_study": optuna}.get(moment, searching.Trials)
    method, calls = getattr(owner, moment), []

    def cut(*arguments, **named):
        calls.append(arguments)
        if len(calls) == (3 if moment == "grow" else 2):
            raise Cut
        return method(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(owner, moment, cut)
        with pytest.raises(Cut):
            searched(tmp_path / "run")
    same(train.resume(tmp_path / "run", progress=False, data=data()), whole)


KILLED = """
import os, signal, sys, numpy as np
sys.path.insert(0, {tests!r})
from test_search import data, searched

def callback(row):
    if (row["condition"], row["seed"], row["epoch"]) == ("trial-2", 0, 1):
        os.kill(os.getpid(), signal.SIGKILL)

searched({place!r}, callback=callback)
"""


def test_a_search_whose_process_is_killed_goes_on_to_the_same_trials(whole, tmp_path):
    script = KILLED.format(tests=str(Path(__file__).parent), place=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    run = localdfa.open_run(tmp_path / "run")
    assert run.status == "interrupted"
    before = {path: found for path, found in files(run).items() if {"trial-0", "trial-1"} & {*path.parts}}
    assert before
    again = train.resume(run.folder, progress=False, data=data())
    same(again, whole)
    after = files(again)
    assert {path: after[path] for path in before} == before


def test_a_study_of_another_search_is_refused(tmp_path):
    run = searched(tmp_path / "run", trials=1)
    (tmp_path / "run" / "search.db").unlink()
    other = searched(tmp_path / "other", trials=1, space={"phases.beta": "0.1..1"})
    (other.folder / "search.db").rename(run.folder / "search.db")
    with pytest.raises(RunError, match="trial 0 has not the keys or values of this search"):
        train.resume(run.folder, progress=False, data=data())


def test_the_experiment_of_a_search_is_that_it_began_with(tmp_path):
    run = searched(tmp_path / "run", trials=1)
    path = run.folder / "search.toml"
    path.write_text(path.read_text().replace("epochs = 2", "epochs = 3"))
    with pytest.raises(RunError, match="the spec is no longer the one"):
        train.resume(run.folder, progress=False, data=data())


@pytest.mark.parametrize("file", ["spec.toml", "search.toml"])
def test_specs_of_a_search_that_were_edited_are_refused(whole, tmp_path, file):
    folder = shutil.copytree(whole.folder, tmp_path / "run")
    content = (folder / file).read_text()
    (folder / file).write_text(content.replace("probe = 16", "probe = 17"))
    assert (folder / file).read_text() != content
    with pytest.raises(RunError, match=f"{file}: the spec is no longer the one that this run began with"):
        localdfa.open_run(folder).table()


@pytest.mark.parametrize("written", [0, 1])
def test_a_search_that_is_killed_as_it_grows_can_be_read_and_goes_on(whole, tmp_path, monkeypatch, written):
    """Between run.json and spec.toml, in the one order or the other."""
    folder, real = tmp_path / "run", record.write_bytes

    def killed(path, content, lasting=True):
        if path == folder / "spec.toml" and b"trial-1" in content:
            if written:
                real(path, content)
            raise KeyboardInterrupt
        real(path, content, lasting)

    monkeypatch.setattr(record, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        searched(folder)
    monkeypatch.undo()
    assert list(localdfa.open_run(folder).settings) == ["trial-0", "trial-1"][: 1 + written]
    same(train.resume(folder, progress=False, data=data()), whole)


def test_a_search_that_is_killed_twice_as_it_grows_can_be_read_and_goes_on(whole, tmp_path, monkeypatch):
    """At the same place, so that spec.toml is still the one before the first."""
    folder, real = tmp_path / "run", record.write_bytes

    def killed(path, content, lasting=True):
        if path == folder / "spec.toml" and b"trial-1" in content:
            raise KeyboardInterrupt
        real(path, content, lasting)

    monkeypatch.setattr(record, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        searched(folder)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train.resume(folder, progress=False, data=data())
        assert list(localdfa.open_run(folder).settings) == ["trial-0"]
    monkeypatch.undo()
    same(train.resume(folder, progress=False, data=data()), whole)


def test_a_search_may_begin_from_another_run(tmp_path):
    """Which all of its trials read; one that was cut off knows it again, and so does a run of several conditions."""
    tables = {**TINY, "rule": "dfa"}
    source = train.run(tables, tmp_path / "source", progress=False, data=data())
    begins = {**tables, "network": {"hidden": [8], "from_run": str(source.folder / "dfa")}}
    space = {"optimiser.learning_rate": "1e-3..1e-1:log", "batch_size": [32, 64]}

    def stop(row):
        if (row["condition"], row["epoch"]) == ("trial-1", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "run", tables=begins, space=space, callback=stop)
    run = train.resume(tmp_path / "run", progress=False, data=data())
    assert [*run.settings] == ["trial-0", "trial-1", "trial-2"]
    assert {row["valid_error"] for row in run.metrics if (row["seed"], row["epoch"]) == (0, 0)} == {
        source.jobs[0].metrics[-1]["valid_error"]
    }
    job = source.jobs[0]
    job.write("weights", {**job.weights, "b1": job.weights["b1"] + 1})
    with pytest.raises(RunError, match="the from_run is no longer the one that this run began with"):
        train.resume(tmp_path / "run", progress=False, data=data())


def test_a_run_in_the_place_of_a_search_has_nothing_of_it(tmp_path):
    searched(tmp_path / "run", trials=1)
    with pytest.raises(RunError, match="exists already"):
        searched(tmp_path / "run", trials=1)
    run = train.run({**TINY, "seeds": [0]}, tmp_path / "run", progress=False, data=data(), force=True)
    assert run.best is None
    assert not [*run.folder.glob("search*"), *run.folder.glob("best*")]


# --- what goes wrong --------------------------------------------------------------------------------------------------


class Heard(Progress):
    def __init__(self):
        self.expected, self.done, self.warnings = {}, {}, []

    def start(self, samples):
        self.expected = dict(samples)

    def skip(self, condition, samples):
        self.done[condition] = self.done.get(condition, 0) + samples

    def advance(self, samples):
        self.done["?"] = self.done.get("?", 0) + samples

    def warn(self, message):
        self.warnings.append(message)


def test_a_trial_that_diverges_is_given_up_and_the_search_goes_on(tmp_path):
    tables = {**TINY, "network": {"hidden": [8, 8], "neuron": "linear"}, "rule": "bp", "optimiser": {"name": "sgd"}}
    space, heard = {"optimiser.learning_rate": [1e-3, 900.0]}, Heard()
    run = train.run(tables, tmp_path / "run", progress=heard, data=data(), search=Search(space, 4))
    wild = [name for name, own in values(run, space).items() if own["optimiser.learning_rate"] == 900.0]
    assert 0 < len(wild) < 4
    assert run.status == "finished"
    for name in wild:
        assert any(note.startswith(f"{name} is given up, as seed 0 diverged: ") for note in run.info["notes"])
    assert {f"trial-{t.number}" for t in study(run).trials if t.value == np.inf} == {*wild}
    assert run.best.name not in wild
    given_up = [warning for warning in heard.warnings if "given up" in warning]
    assert len(given_up) == len(wild)
    again = train.resume(run.folder, progress=False, data=data())
    assert [*again.settings] == [*run.settings]


def test_a_trial_whose_validation_error_is_not_finite_is_the_worst(tmp_path, monkeypatch):
    """Of numbers whose predictions overflow, say; files have it as null."""
    tables = {**TINY, "rule": "dfa", "network": {"hidden": [8], "output": "linear"}}
    space, right = {"optimiser.learning_rate": "1e-3..1e-1:log"}, trainer.Trainer.evaluate
    x, y, *_ = data()

    def evaluate(self, part, samples=None):
        found = right(self, part, samples)
        wild = part is self.parts["valid"] and (self.job.condition in wrong) and self.seed == 1
        return {**found, "rmse": float("inf")} if wild else found

    monkeypatch.setattr(trainer.Trainer, "evaluate", evaluate)
    wrong = ["trial-0", "trial-2"]
    run = train.run(tables, tmp_path / "run", progress=False, data=(x, y + 0.5 * x[:, 0]), search=Search(space, 3))
    assert [trial.value == np.inf for trial in study(run).trials] == [True, False, True]
    assert [np.isinf(run.validation_error(name)) for name in run.settings] == [True, False, True]
    assert run.best.name == "trial-1"
    assert spec.load(str(run.folder / "best.toml")).condition[0].name == "trial-1"
    wrong = ["trial-0"]
    none = train.run(tables, tmp_path / "none", progress=False, data=(x, y + 0.5 * x[:, 0]), search=Search(space, 1))
    assert none.best is None
    assert not (none.folder / "best.toml").exists()


def test_a_trial_whose_values_do_not_go_together_is_left_out(tmp_path, monkeypatch):
    """Where not all combinations are looked at before."""
    space = {"network.hidden": [[8, 8], [8]], "stage": [[{"epochs": 1}], [{"epochs": 1, "layer_rules": {"2": "dfa"}}]]}
    with pytest.raises(SpecError, match=r"search: with network\.hidden=\[8\] stage=.*layer"):
        searched(tmp_path / "run", space=space)
    monkeypatch.setattr(ranges, "_CORNERS", 1)
    run = searched(tmp_path / "run", space=space, trials=7)
    left_out = [note for note in run.info["notes"] if "is left out, network.hidden=[8] stage=" in note]
    assert left_out
    assert len(run.settings) + len(left_out) == len(study(run).trials) == 7
    same_trials = [*run.settings]
    assert [*train.resume(run.folder, progress=False, data=data()).settings] == same_trials


# --- the command line, and workers ------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    text = 'rule = "local"\npreprocess.validation = 0.2\n[network]\nhidden = [8]\n[[stage]]\nepochs = 1\n'
    path.write_text(text, encoding="utf-8")
    return path


def test_a_search_from_the_command_line_by_workers(small, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    asked = [
        "sweep", str(small), "--search", "phases.beta=0.1..1", "--search", "batch_size=16|64", "--trials", "3", "--seeds", "2",
        "--jobs", "2", "--out", "found",
    ]  # fmt: skip
    done = CliRunner().invoke(cli.main, asked)
    assert done.exit_code == 0, done.output
    run = localdfa.open_run(tmp_path / "found")
    assert [*run.settings] == ["trial-0", "trial-1", "trial-2"]
    assert all(job.trained for job in run.jobs)
    assert len(run.jobs) == 6
    assert all(trial.value is not None for trial in study(run).trials)
    best = run.best
    assert f"best: {best.name}, validation error {best.error:.4g} %: phases.beta={best.values['phases.beta']}" in done.output
    assert "to train it anew: localdfa run found/best.toml" in done.output
    assert (run.folder / "report.html").is_file()
    spec.load("found/best.toml")
    assert len([line for line in done.output.splitlines() if line.startswith("trial-0 ")]) >= 3  # two seeds and the table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--grid or --search"),
        (["--grid", "batch_size=1,2", "--search", "phases.beta=0.1..1"], "--grid or --search"),
        (["--grid", "batch_size=1,2", "--trials", "3"], "--trials is of a search"),
        (["--grid", "batch_size=1,2", "--condition", "local"], "--condition is of a search"),
        (["--search", "phases.beta=0.1..1", "--set", "preprocess.validation=0.0"], "--set preprocess.validation=0.2"),
    ],
)
def test_options_that_do_not_go_together_are_refused(small, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.main, ["sweep", str(small), *options])
    assert done.exit_code == 1
    assert message in done.output
    assert not (tmp_path / "runs").exists()


def test_data_are_read_in_the_form_that_a_trial_asks_for(tmp_path):
    """Which no end of a range may have shown."""
    x, y, *_ = data()
    images = x[:, :1, None, None] * np.ones((8, 8))
    space = {"augment.padding": "0..3"}
    run = train.run(TINY, tmp_path / "run", progress=False, data=(images, y), search=Search(space, 4))
    assert {own["augment.padding"] for own in values(run, space).values()} - {0, 3}
    assert run.status == "finished"


def test_ends_of_ranges_that_no_network_can_have_are_refused_before_training(tmp_path):
    space = {"feedback.rank": "1..20"}
    with pytest.raises(SpecError, match=r"feedback\.rank: 20 leaves B as it is"):
        searched(tmp_path / "run", space=space)
    assert not (tmp_path / "run").exists()


def test_a_trial_that_cannot_begin_is_given_up_also_by_resume(tmp_path, monkeypatch):
    right = jobs.training_of

    def training_of(setting, forms, job, *more, **named):
        if job.condition == "trial-1":
            raise SpecError("network.hidden: this one cannot be")
        return right(setting, forms, job, *more, **named)

    monkeypatch.setattr(jobs, "training_of", training_of)
    with pytest.raises(Cut):
        searched(tmp_path / "run", callback=cut_at("trial-2", 0, 1))
    run = train.resume(tmp_path / "run", progress=False, data=data())
    assert run.status == "finished"
    assert [np.isinf(trial.value) for trial in study(run).trials] == [False, True, False]
    (said,) = [note for note in run.info["notes"] if "given up" in note]
    assert said == "trial-1 is given up, as seed 0 cannot be trained: network.hidden: this one cannot be"
