"""Data that a script gives as they are: arrays and frames in place of a data set or a file."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import localdfa
from localdfa import samples, spec
from localdfa.analysis import report
from localdfa.cli import main
from localdfa.data import Trains, given, prepare, split
from localdfa.errors import DataError, RunError, SpecError
from localdfa.network import VALIDATION, generator
from localdfa.spec.grid import expanded

TINY = {"network": {"hidden": [8]}, "stage": [{"epochs": 2}], "record": {"probe": 16}}


@pytest.fixture
def arrays(rng):
    x = rng.normal(size=(60, 5))
    y = np.arange(60) % 3
    return x[:40], y[:40], x[40:], y[40:]


def weights_of(run):
    return run.jobs[0].weights


def test_arrays_are_learned_as_the_same_arrays_in_a_file(arrays, tmp_path):
    np.savez(tmp_path / "own.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))
    by_file = localdfa.run({**TINY, "data": f"npz:{tmp_path / 'own.npz'}"}, tmp_path / "file", progress=False)
    by_array = localdfa.run(TINY, tmp_path / "arrays", data=arrays, progress=False)
    assert by_array.info["data"] == by_file.info["data"] == samples.fingerprint(samples.load(by_file.experiment))
    assert by_array.experiment.data == "arrays"
    ours, theirs = by_array.jobs[0].metrics, by_file.jobs[0].metrics
    assert [row["test_error"] for row in ours] == [row["test_error"] for row in theirs]
    for name, array in weights_of(by_file).items():
        np.testing.assert_array_equal(array, weights_of(by_array)[name])


@pytest.mark.parametrize("asked", ["whiten", "standardise"])
def test_a_run_knows_its_data_where_they_are_prepared_with_other_rounding(arrays, tmp_path, monkeypatch, asked):
    folder = localdfa.run({**TINY, "preprocess": {asked: True}}, tmp_path / "run", data=arrays, progress=False).folder
    load, prepared = prepare._preparation, []

    def as_elsewhere(*given):
        found = load(*given)
        if found.zca:
            found = found._replace(zca=replace(found.zca, matrix=found.zca.matrix * (1 + 1e-6)))
        else:
            found = found._replace(moments=tuple(moment * (1 + 1e-6) for moment in found.moments))
        prepared.append(found)
        return found

    monkeypatch.setattr(prepare, "_preparation", as_elsewhere)
    assert len(localdfa.open_run(folder, data=arrays).predict(arrays[2])) == 20
    assert prepared
    with pytest.raises(RunError, match="the data is no longer the one that this run began with"):
        localdfa.open_run(folder, data=(arrays[0] + 1e-3, *arrays[1:])).predict(arrays[2])


def test_without_a_test_part_the_training_part_alone_is_measured(arrays, tmp_path):
    x, y, *_ = arrays
    run = localdfa.run({**TINY, "condition": [{"name": "a"}, {"name": "b", "rule": "bp"}]}, tmp_path / "run", data=(x, y))
    assert all("train_error" in row and "test_error" not in row for row in run.metrics)
    assert run.info["notes"] == ["there is no test part, so errors are those of the training part alone"]
    assert run.summary["conditions"][0]["test_error"] is None
    assert len(run.jobs[0].outcome["label"]) == 0
    assert run.not_kept == []
    page = report.page(run)
    assert "the figure confusion shows the test part, and arrays has none" in page


# --- a validation part of one's own -----------------------------------------------------------------------------------


def with_validation(arrays):
    """The arrays as a dict in which the rows that `preprocess.validation = 0.2` draws are a part of their own."""
    x, y, x_test, y_test = arrays
    chosen = split.stratified(y, 0.2, generator(0, VALIDATION))
    parts = {"train": (x[~chosen], y[~chosen]), "valid": (x[chosen], y[chosen]), "test": (x_test, y_test)}
    return {f"{what}_{part}": array for part, pair in parts.items() for what, array in zip("xy", pair, strict=True)}


CHOOSING = {**TINY, "stage": [{"epochs": 6, "patience": 2, "keep": "best"}], "optimiser": {"learning_rate": 0.1}}


@pytest.mark.parametrize("prepare", [{}, {"standardise": True}, {"whiten": True}])
def test_a_validation_part_is_that_of_the_same_rows_drawn_at_random(arrays, tmp_path, prepare):
    own = with_validation(arrays)
    np.savez(tmp_path / "own.npz", **own)
    drawn = {**CHOOSING, "preprocess": {"validation": 0.2, **prepare}}
    tables = {**CHOOSING, "preprocess": prepare}
    runs = [
        localdfa.run(drawn, tmp_path / "drawn", data=arrays, progress=False),
        localdfa.run(tables, tmp_path / "own", data=own, progress=False),
        localdfa.run({**tables, "data": f"npz:{tmp_path / 'own.npz'}"}, tmp_path / "file", progress=False),
    ]
    first, *others = ([{**row, "seconds": 0} for row in run.jobs[0].metrics] for run in runs)
    assert all("valid_error" in row for row in first)
    assert "kept_epoch" in first[-1]
    assert others == [first, first]
    assert len({run.info["data"] for run in runs}) == 1
    for name, array in weights_of(runs[0]).items():
        np.testing.assert_array_equal(array, weights_of(runs[1])[name])
    predicted = [
        localdfa.open_run(run.folder, data=data).predict(arrays[2]) for run, data in zip(runs, (arrays, own), strict=False)
    ]
    np.testing.assert_array_equal(*predicted)
    assert set(runs[1].figure_data("errors").y_label) == {"Training error (%)", "Validation error (%)", "Test error (%)"}


def test_a_validation_part_of_frames(arrays):
    own = with_validation(arrays)

    def frame(part, order):
        table = {**{f"f{i}": own[f"x_{part}"][:, i] for i in range(5)}, "kind": [f"k{label}" for label in own[f"y_{part}"]]}
        return pd.DataFrame(table)[order]

    order = ["f0", "kind", "f1", "f2", "f3", "f4"]
    frames = {"x_train": frame("train", order), "x_valid": frame("valid", order[::-1]), "x_test": frame("test", order)}
    by_name = given.source({**frames, "y_train": "kind"})
    apart = {name: each.drop(columns="kind") for name, each in frames.items()}
    by_column = given.source({**apart, **{name.replace("x", "y"): each["kind"] for name, each in frames.items()}})
    for found in (by_name, by_column):
        for part in ("train", "valid", "test"):
            np.testing.assert_array_equal(getattr(found, f"x_{part}"), own[f"x_{part}"])
            np.testing.assert_array_equal(getattr(found, f"y_{part}"), own[f"y_{part}"])
        assert found.features == ("f0", "f1", "f2", "f3", "f4")
    with pytest.raises(DataError, match="data: y_valid beside y_train = 'kind', a column that all frames have"):
        given.source({**frames, "y_train": "kind", "y_valid": own["y_valid"]})
    with pytest.raises(DataError, match="frame of the validation part has no column 'f1', which that of training has"):
        given.source({**frames, "y_train": "kind", "x_valid": frames["x_valid"].drop(columns="f1")})


def test_a_validation_part_of_spike_trains(tmp_path):
    spikes = {
        f"{what}_{part}": array
        for part in ("train", "valid", "test")
        for what, array in {"time": [1.0, 2.5], "neuron": [0, 1], "sample": [1, 0], "y": [0, 1]}.items()
    }
    found = given.source({**spikes, "time_valid": [4.0, 5.0]})
    assert found.x_valid.time.tolist() == [5.0, 4.0]
    assert found.y_valid.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"the array sample_valid is missing; needed are time_train, .*, y_test"):
        given.source({key: array for key, array in spikes.items() if key != "sample_valid"})
    with pytest.raises(DataError, match=r"neuron_valid\[1\] = 7: the index of one of training must lie in 0 \.\. 1"):
        given.source({**spikes, "neuron_valid": [0, 7]})


def test_a_validation_part_of_numbers_and_without_a_test_part(arrays, tmp_path):
    own = {key: array for key, array in with_validation(arrays).items() if "test" not in key}
    own |= {f"y_{part}": own[f"x_{part}"].sum(axis=1) for part in ("train", "valid")}
    tables = {**CHOOSING, "network": {"hidden": [8], "output": "linear"}}
    run = localdfa.run(tables, tmp_path / "run", data=own, progress=False)
    assert "valid_rmse" in run.metrics[-1]
    assert run.info["notes"][:1] == ["there is no test part, so errors are those of training and validation alone"]


def test_modules_choose_by_a_validation_part_too(arrays, tmp_path):
    pytest.importorskip("torch")
    tables = {"module": {"name": "mlp"}, "rule": "dfa", "stage": [{"epochs": 2, "keep": "best"}], "batch_size": 16}
    run = localdfa.run(tables, tmp_path / "run", data=with_validation(arrays), progress=False)
    assert all("valid_error" in row for row in run.metrics)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"y_valid": None},
            "data: the array y_valid is missing; needed are x_train, y_train, x_valid, y_valid, x_test, y_test",
        ),
        ({"y_valid": [0]}, r"data: y_valid has the shape \(1,\): it must be"),
        ({"x_valid": np.ones((0, 5)), "y_valid": []}, r"data: x_valid is empty: its shape is \(0, 5\)"),
        ({"x_valid": np.ones((2, 4)), "y_valid": [0, 1]}, r"the shape \(5,\) in x_train and \(4,\) in x_valid"),
        ({"x_valid": np.ones((2, 5)), "y_valid": [0, 9]}, r"y_valid\[1\] = 9 never occurs in y_train"),
        ({"x_valid": np.ones((2, 5)), "y_valid": ["a", "b"]}, "y_train has the dtype int64 and y_valid <U1"),
        ({"x_valid": np.full((2, 5), np.nan), "y_valid": [0, 1]}, r"x_valid\[0, 0\] = nan is not finite"),
    ],
)
def test_a_validation_part_that_is_none(arrays, changes, words):
    own = {key: array for key, array in {**with_validation(arrays), **changes}.items() if array is not None}
    with pytest.raises(DataError, match=words):
        given.source(own)


def test_a_validation_part_is_not_drawn_beside_that_of_the_data(arrays, tmp_path):
    tables = {**TINY, "preprocess": {"validation": 0.2}}
    with pytest.raises(
        DataError, match=r"preprocess.validation: 0.2 would draw .* data = 'arrays' bring their own, with y_valid"
    ):
        localdfa.run(tables, tmp_path / "run", data=with_validation(arrays), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_validation_part_in_other_units_is_remarked_on(arrays):
    own = with_validation(arrays)
    found = given.source({**own, "x_valid": 100 * own["x_valid"]})
    (note,) = prepare.load("arrays", given=found).notes
    assert note.startswith("x_valid: the root mean square is")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_and_the_name_of_its_target(arrays, library):
    x, y, x_test, y_test = arrays

    def frame(x, y, order):
        table = {**{f"f{i}": x[:, i] for i in range(5)}, "kind": [f"k{label}" for label in y]}
        table = {name: table[name] for name in order}
        return pd.DataFrame(table) if library == "pandas" else Frame(table)

    class Frame:  # what of a frame of polars is asked for
        def __init__(self, table):
            self._table, self.columns = table, [*table]

        def __getitem__(self, name):
            return type("Series", (), {"to_numpy": lambda _: np.array(self._table[name], object if name == "kind" else None)})()

        def to_numpy(self):
            raise AssertionError("columns are of several kinds")

    order = ["f0", "kind", "f1", "f2", "f3", "f4"]
    found = given.source((frame(x, y, order), "kind", frame(x_test, y_test, order[::-1])))
    np.testing.assert_array_equal(found.x_train, x)
    np.testing.assert_array_equal(found.x_test, x_test)
    np.testing.assert_array_equal(found.y_test, y_test)
    assert found.classes == ("k0", "k1", "k2")


def test_columns_of_numbers_are_fitted_by_an_output_for_them(arrays, tmp_path):
    x, *_ = arrays
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "sum": x[:, 0] + x[:, 1], "difference": x[:, 0] - x[:, 1]})
    tables = {**TINY, "network": {"hidden": [8], "output": "linear"}}
    run = localdfa.run(tables, tmp_path / "run", data=(frame, ["sum", "difference"]), progress=False)
    assert weights_of(run)["W2"].shape == (2, 8)
    assert "train_rmse" in run.metrics[-1]


def test_a_dict_has_what_a_file_has(rng):
    x = rng.random((6, 4, 3))
    found = given.source({"x_train": x, "y_train": np.arange(6) % 2, "axes": "samples frames channels"})
    assert found.shape == (4, 3)
    spikes = {
        f"{what}_{part}": array
        for part in ("train", "test")
        for what, array in {"time": [1.0, 2.5], "neuron": [0, 1], "sample": [0, 1], "y": [0, 1]}.items()
    }
    assert given.source({**spikes, "time_unit": "s"}).x_train.time.tolist() == [1000.0, 2500.0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("mnist", "'mnist' is no array, but the name of a data set"),
        (7, r"data: int; allowed: \(x, y\) or"),
        ((np.ones((4, 2)),), "a tuple of 1; allowed"),
        (([[1, 2], [3]], [0, 1]), "x_train is no array: .*spike trains are given as a dict"),
        ((np.ones((4, 2)), np.arange(3)), r"data: y_train has the shape \(3,\)"),
        ((np.full((4, 2), np.nan), [0, 1, 0, 1]), r"data: x_train\[0, 0\] = nan is not finite; a feature that is constant and"),
        (([[1.0, 2.0], [3.0, np.nan]], [0, 1]), r"data: x_train\[1, 1\] = nan is not finite; is a value missing\?"),
        (([[1.0, 2.0], [3.0, 4.0]], [[0], [1]]), r"y_train has the shape \(2, 1\): .* of one column: y.ravel\(\)"),
        ((np.ones((3, 2)), np.eye(3)[:, :2] + [[0, 0], [0, 0], [0, 1]]), r"the shape \(3, 2\): .* one-hot rows: y.argmax"),
        ((pd.DataFrame({"a": [1.0, np.nan], "c": [0, 1]}), "c"), "column 'a', row 1: nan is not finite; is a value missing"),
        ((np.ones((4, 2)), np.array(["a", None, "b", "a"], object)), "y_train, entry 1: None among entries of another kind"),
        ((np.ones((4, 2)), [0, 1, 0, 1], np.ones((4, 3)), [0, 1, 0, 1]), r"the shape \(2,\) in x_train and \(3,\) in x_test"),
        ((np.ones((4, 2, 2)), [0, 1, 0, 1]), "are these time series or pictures"),
        ((np.ma.masked_array(np.ones((4, 2)), np.eye(4, 2)[::-1]), [0, 1, 0, 1]), "data: x_train: entry 2, 1 is masked"),
        ((np.ones((4, 2)), np.ma.masked_equal([0, 1, 0, 9], 9)), "data: y_train: entry 3 is masked"),
        ({"x_train": np.ones((4, 2))}, "the array y_train is missing"),
        ({"x_train": np.ones((4, 2)), "y_train": [0, 1, 0, 1], "z": 1}, "an array too many, 'z'"),
        ((pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [0, 1]}), "c"), "column 'b' holds .*pandas.get_dummies"),
        ((pd.DataFrame({"a": [1.0, 2.0]}), "c"), "the frame has no column 'c'; it has a"),
        ((pd.DataFrame({"c": [0, 1]}), "c"), "no column besides the target"),
        ((pd.DataFrame({"a": [1.0, 2], "c": [0, 1]}), "c", pd.DataFrame({"c": [0]})), "test part has no column 'a'"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused_before_anything_is_made(wrong, words, tmp_path):
    with pytest.raises(DataError, match=words):
        localdfa.run(TINY, tmp_path / "run", data=wrong)
    assert not (tmp_path / "run").exists()


def test_a_run_of_arrays_needs_them_again(arrays, tmp_path):
    class Stop(localdfa.train.Progress):
        def epoch(self, row):
            if row["epoch"] == 1:
                raise KeyboardInterrupt

    folder = tmp_path / "run"
    whole = localdfa.run(TINY, tmp_path / "whole", data=arrays, progress=False)
    with pytest.raises(KeyboardInterrupt):
        localdfa.run(TINY, folder, data=arrays, progress=Stop())
    with pytest.raises(
        RunError, match=r"learns from arrays, which it does not keep; .* localdfa.resume\('.*', data=\(x, y\)\)"
    ):
        localdfa.resume(folder)
    x, *others = arrays
    with pytest.raises(RunError, match="the data is no longer the one that this run began with"):
        localdfa.resume(folder, progress=False, data=(x + 1e-3, *others))
    run = localdfa.resume(folder, progress=False, data=arrays)
    for name, array in weights_of(whole).items():
        np.testing.assert_array_equal(array, weights_of(run)[name])
    with pytest.raises(RunError, match="learns from digits; allowed: no arrays"):
        localdfa.resume(localdfa.run(TINY, tmp_path / "digits", progress=False).folder, data=arrays)


def test_arrays_that_nobody_gives(tmp_path):
    with pytest.raises(DataError, match=r"'arrays' are those of a script, .* localdfa.run\(..., data=\(x, y\)\)"):
        localdfa.run({**TINY, "data": "arrays"}, tmp_path / "run")
    (tmp_path / "mine.toml").write_text('data = "arrays"\n')
    done = CliRunner().invoke(main, ["run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "localdfa.run(..., data=(x, y))" in done.output
    assert spec.experiment(data="arrays").data == "arrays"


def table(rng, n):
    """A frame of which one input says the class, and the others nothing."""
    kind = np.where(np.arange(n) % 3, "cell", "glia")
    told = np.where(kind == "cell", 1.0, -1.0)
    return pd.DataFrame({"told": told, "a": rng.normal(size=n), "b": rng.normal(size=n), "kind": kind})


def test_columns_are_taken_by_name_wherever_they_stand(rng, tmp_path):
    train, new = table(rng, 90), table(rng, 30)
    tables = {"network": {"hidden": [8]}, "stage": [{"epochs": 20}], "rule": "bp"}
    inputs = ["told", "a", "b"]
    mixed = new[["b", "kind", "told", "a"]].assign(further="text that no network reads")
    run = localdfa.run(tables, tmp_path / "named", data=(train, "kind"), progress=False)
    expected = run.predict(new[inputs])
    assert (expected == new.kind).mean() > 0.9
    for given_now in (mixed, new[inputs].to_numpy()):
        np.testing.assert_array_equal(run.predict(given_now), expected)
    np.testing.assert_array_equal(localdfa.open_run(run.folder).predict(mixed), expected)
    with pytest.raises(DataError, match="x has no column 'told', which the network has learned from; it has b, a"):
        run.predict(new[["b", "a"]])
    with pytest.raises(DataError, match="x: column 'a', row 3: nan is not finite; is a value missing"):
        run.predict(new.assign(a=new.a.where(new.index != 3)))

    of_parts = given.source((train[inputs], train.kind, new[inputs[::-1]], new.kind))
    assert of_parts.features == ("told", "a", "b")
    np.testing.assert_array_equal(of_parts.x_test, new[inputs])
    with pytest.raises(DataError, match="the frame of x_test has no column 'b', which that of x_train has; it has told, a"):
        given.source((train[inputs], train.kind, new[["told", "a"]], new.kind))


def test_new_spike_trains_come_as_a_dict(rng, tmp_path):
    count, label = 24, np.arange(24) % 2
    sample = np.repeat(np.arange(count), 20)
    neuron = rng.integers(0, 4, sample.size) + 4 * label[sample]
    spikes = {"time": rng.uniform(0, 200, sample.size), "neuron": neuron, "sample": sample}
    parts = {f"{what}_{part}": value for what, value in {**spikes, "y": label}.items() for part in ("train", "test")}
    network = {"hidden": [5], "neuron": "lif"}
    tables = {"network": network, "input": {"code": "trains"}, "stage": [{"epochs": 1}], "record": {"probe": 4}}
    run = localdfa.run(tables, tmp_path / "run", data=parts, progress=False)
    expected = run.predict(Trains(sample, neuron, spikes["time"], count, 8), outputs=True)
    np.testing.assert_array_equal(run.predict(spikes, outputs=True), expected)
    in_seconds = {**spikes, "time": spikes["time"] / 1000, "time_unit": "s"}
    np.testing.assert_allclose(run.predict(in_seconds, outputs=True), expected, rtol=1e-4, atol=1e-6)
    assert len(run.predict({**spikes, "count": 30})) == 30
    assert len(run.predict({**in_seconds, "time_unit": "ms"})) == count
    for wrong, words in (
        ({**spikes, "label": label}, "x: a dict of 'time', 'neuron', 'sample', 'label'; allowed: of spike trains, 'time'"),
        ({**spikes, "neuron": neuron + 1}, r"x: neuron\[\d+\] = 8: the index of an input neuron must lie in 0 .. 7"),
        ({**spikes, "time": spikes["time"][:5]}, "x: neuron has 480 entries and time 5: both need one a spike"),
        (
            {**spikes, "time": spikes["time"] / 1000},
            r"x: time: the last spike comes 0\.199 ms after the onset, .* seconds\? Add the ",
        ),
        (
            {**spikes, "time": spikes["time"] * 1000},
            r"x: time: .* are these microseconds\? Add the entry time_unit = 's' or 'us'",
        ),
        ({**spikes, "count": "abc"}, r"x: count: 'abc' samples; allowed: a whole number of them"),
        ({**spikes, "count": None}, "x: count: None samples"),
        ({**spikes, "count": -1}, "x: count: -1 samples"),
        ({**spikes, "count": 30.7}, r"x: count: 30\.7 samples"),
        ({**spikes, "count": 10**13}, r"x: count: 10000000000000 samples; .* up to 100,000,000"),
        ({**spikes, "sample": np.append(sample[:-1], 10**13)}, "x: sample: 10000000000001 samples"),
        ({**spikes, "time": [[1.0], [1.0, 2.0]]}, "x: time, neuron and sample; in rows of several lengths"),
        (np.ma.masked_array(np.ones((2, 8)), np.eye(2, 8)), "x: entry 0, 0 is masked; allowed: numbers, as"),
        ({**spikes, "count": 3}, r"x: sample\[60\] = 3: the index of a sample, of which there are 3, must lie in 0 .. 2"),
    ):
        with pytest.raises(DataError, match=words):
            run.predict(wrong)


def test_columns_that_have_one_name_are_refused_by_it(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 5)), np.arange(40) % 3
    for names, twice in (([1, "1", 2, 3, 4], "1"), (list("abcda"), "a")):
        frame = pd.DataFrame(x, columns=names)
        for handed in ((frame.assign(t=y), "t"), (frame, y)):
            with pytest.raises(DataError, match=f"data: the frame has 2 columns called {twice!r}; allowed: names that differ"):
                localdfa.run(TINY, tmp_path / "run", data=handed)
    run = localdfa.run(TINY, tmp_path / "run", data=(pd.DataFrame(x, columns=list("abcde")), y))
    both = pd.DataFrame(np.hstack([x, x]), columns=[*"abcdeaxyzz"])
    with pytest.raises(DataError, match="x has 2 columns called 'a'"):
        run.predict(both)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, {}), "experiment: None; allowed: tables, the name"),
        (({}, {"grid": {"phases.beta": "0.1,1"}}), r"grid: phases\.beta: '0.1,1'; allowed: a list of values"),
        (({}, {"grid": {"phases.beta": 0.1}}), r"grid: phases\.beta: 0.1; allowed: a list of values"),
        (({}, {"grid": [0.1]}), r"grid: \[0.1\]; allowed: of each key its values"),
    ],
)
def test_what_is_no_experiment_and_no_grid_is_refused(arguments, message, tmp_path):
    with pytest.raises(SpecError, match=message):
        localdfa.run(arguments[0], tmp_path / "run", **arguments[1])


def test_a_grid_may_be_an_array_and_a_file_may_begin_with_a_mark(tmp_path):
    found = expanded(spec.experiment(rule="local"), {"phases.beta": np.array([0.1, 0.01])})
    assert [condition.name for condition in found.condition] == ["beta-0.1", "beta-0.01"]
    (tmp_path / "marked.toml").write_text('rule = "bp"\n', encoding="utf-8-sig")
    assert spec.load(str(tmp_path / "marked.toml")).rule == "bp"
