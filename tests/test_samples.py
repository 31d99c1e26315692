"""Data of the user's own, from the file to the figure: what networks and input codes take, what is refused, what is said."""

import numpy as np
import pytest

from localdfa import data as datasets
from localdfa import outputs, samples, spec, train
from localdfa.analysis import confusion
from localdfa.errors import DataError, SpecError
from localdfa.inputs.trains import implausible
from localdfa.network import build

SPIKING = {
    "network": {"hidden": [16], "neuron": "lif"},
    "trace": {"tau_x": 10.0, "tau_z": 10.0},
    "phases": {"beta": 2.0, "free": 100.0, "nudged": 50.0, "propagation": "two_compartment"},
}


class Heard(train.Progress):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def save(path, x, y, **entries):
    """A file of which a third is the test part."""
    third = len(x) // 3
    np.savez(path, x_train=x[third:], y_train=y[third:], x_test=x[:third], y_test=y[:third], **entries)
    return f"npz:{path}"


def experiment(data, **tables):
    return spec.experiment({"data": data, "stage": [{"epochs": 1}], "record": {"probe": 8}, **tables})


# --- outputs that are equal -------------------------------------------------------------------------------------------


def test_equal_outputs_are_no_decision():
    drive = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0], [3.0, 1.0, 1.0], [-1.0, -2.0, 5.0], [np.inf, 1.0, 0.0]])
    assert outputs.decisions(drive).tolist() == [-1, -1, 0, 2, 0]
    assert outputs.error_percent(drive, np.array([0, 1, 0, 2, 0])) == 40
    rng = np.random.default_rng(0)
    drive, labels = rng.normal(size=(1000, 10)).astype(np.float32), rng.integers(0, 10, 1000)
    assert outputs.error_percent(drive, labels) == 100 * float(np.mean(drive.argmax(axis=1) != labels))


def test_a_network_that_learned_nothing_has_no_class_right(tmp_path):
    """All its outputs are equal, and every sample of the test set is of the first class."""
    rng = np.random.default_rng(0)
    labels = np.array(["$x^$"] * 10 + ["a very long name of a class", "$x^$"] * 10)
    data = save(tmp_path / "own.npz", rng.random((30, 4)), labels)
    run = train.run(experiment(data, network={"hidden": [5]}, feedback={"threshold": 0.99}), tmp_path / "run")
    (job,) = run.jobs
    assert not job.weights["W2"].any()
    assert [row["test_error"] for row in job.metrics] == [100, 100]
    assert set(job.outcome["prediction"]) == {-1}
    assert run.info["classes"] == ["$x^$", "a very long name of a class"]
    axes = confusion.figure(run).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["$x^$", "a very long n…", "none"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["$x^$", "a very long n…"]
    np.testing.assert_array_equal(np.ma.filled(axes.images[0].get_array(), -1), [[-1, 0, 100], [0, -1, 0]])
    axes.figure.savefig(tmp_path / "figure.png")


# --- what is said -----------------------------------------------------------------------------------------------------


def test_what_was_done_to_the_data_is_said_and_kept(tmp_path):
    x = np.linspace(0, 1, 120).reshape(30, 4)
    x[15] = 1.0000000000000002
    data, heard = save(tmp_path / "own.npz", x, np.arange(30.0) % 3 * 5), Heard()
    run = train.run(experiment(data, network={"hidden": [5]}), tmp_path / "run", progress=heard)
    assert heard.warnings == run.info["notes"]
    rounding, gaps = (warning for warning in heard.warnings if "nothing is learned" not in warning)
    assert rounding == "x_train: 4 values lie outside [0, 1] by rounding alone, at most 2e-16: set to 0 or 1"
    assert gaps == "y_train: the labels are 0, 5, 10, which are 3 classes"


# --- what input codes take --------------------------------------------------------------------------------------------

STANDARDISED = np.random.default_rng(0).normal(size=(30, 6))


@pytest.mark.parametrize("tables", [{}, {"network": {"hidden": [5], "neuron": "relu"}}, SPIKING])
def test_rate_networks_and_currents_take_standardised_inputs(tmp_path, tables):
    data = samples.load(experiment(save(tmp_path / "own.npz", STANDARDISED, np.arange(30) % 2), precision="float64", **tables))
    np.testing.assert_array_equal(np.concatenate([data.x_test, data.x_train]), STANDARDISED)
    assert data.notes == ()


def test_inputs_beyond_float32_are_refused_where_one_condition_has_it(tmp_path):
    data, conditions = save(tmp_path / "own.npz", STANDARDISED * 1e50, np.arange(30) % 2), [{"name": "a"}, {"name": "b"}]
    assert samples.load(experiment(data, precision="float64", condition=conditions)).x_train.dtype == np.float64
    conditions[1]["precision"] = "float32"
    with pytest.raises(
        SpecError, match=r"precision: 'float32' has no numbers as large as the squares of the inputs of npz:.*own.npz, x_train"
    ):
        samples.load(experiment(data, precision="float64", condition=conditions))


@pytest.mark.parametrize(("precision", "beyond", "most"), [("float32", 1e17, "2e+16"), ("float64", 1e300, "1e+151")])
def test_inputs_whose_squares_have_no_number_are_refused(tmp_path, precision, beyond, most):
    x = STANDARDISED.copy()
    x[-1, 0] = -beyond
    with pytest.raises(SpecError) as error:
        samples.load(experiment(save(tmp_path / "own.npz", x, np.arange(30) % 2), precision=precision))
    assert f"precision: {precision!r} has no numbers as large as the squares of the inputs" in str(error.value)
    assert str(error.value).endswith(f"x_train; allowed: inputs up to {most}")
    (note,) = datasets.load(f"npz:{tmp_path / 'own.npz'}", dtype=precision).notes[:1]
    assert "inf" not in note


@pytest.mark.parametrize("code", ["poisson", "latency"])
def test_codes_of_the_unit_range_refuse_other_inputs(tmp_path, code):
    place, y = tmp_path / "own.npz", np.arange(30) % 2
    with pytest.raises(SpecError) as error:
        samples.load(experiment(save(place, STANDARDISED, y), input={"code": code}, **SPIKING))
    first = tuple(np.argwhere((STANDARDISED[10:] < 0) | (STANDARDISED[10:] > 1))[0])
    assert str(error.value).startswith(
        f"input.code: {code!r} does not go with data = 'npz:{place}': x_train: input {first[1]} of "
    )
    assert "scale the inputs to [0, 1]" in str(error.value)
    inside = np.clip(STANDARDISED, 0, 1)
    samples.load(experiment(save(place, inside, y), input={"code": code}, **SPIKING))
    inside[3, 2] = 1.5  # of the test part
    with pytest.raises(SpecError, match=r"x_test: input 2 of sample 3 is 1.5, and"):
        samples.load(experiment(save(place, inside, y), input={"code": code}, **SPIKING))
    with pytest.raises(SpecError, match=r"'digits': x_train: .* without preprocess.whiten"):
        samples.load(experiment("digits", preprocess={"whiten": True}, input={"code": code}, **SPIKING))


def test_changes_refuse_more_spikes_than_there_can_be(tmp_path):
    data = save(tmp_path / "own.npz", STANDARDISED.reshape(30, 3, 2) * 1e6, np.arange(30) % 2, axes="samples frames channels")
    with pytest.raises(
        SpecError, match=r"x_train: values differ by up to 4\.\d+e\+06, which are 4\.\d+e\+07 spikes of input.step"
    ):
        samples.load(experiment(data, input={"code": "changes"}, **SPIKING))


# --- time series ------------------------------------------------------------------------------------------------------


def test_series_of_ones_own_are_learned_by_frames_and_by_changes(tmp_path):
    """Two classes: one channel of two rises, then the other, or the other way round; on average they are the same."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = np.clip(rng.normal(0, 0.05, (120, 4, 2)), 0, 1)
    x[np.arange(120), 3, y] += 0.8
    x[np.arange(120), 1, 1 - y] += 0.8
    last_axis_frames = x.transpose(0, 2, 1)
    data = save(tmp_path / "own.npz", last_axis_frames, np.array(["first", "second"])[y], axes="samples channels frames")
    tables = {**SPIKING, "stage": [{"epochs": 4}], "batch_size": 8, "optimiser": {"learning_rate": 1e-2}}
    codes = [{"name": code, "input": {"code": code, "window": 25.0, "step": 0.1}} for code in ("frames", "changes")]
    run = train.run(experiment(data, condition=codes, **tables), tmp_path / "run")
    assert run.info["shape"] == [4, 2]
    for job, n_in in zip(run.jobs, (2, 4), strict=True):
        assert job.weights["W1"].shape == (16, n_in)
        assert job.metrics[-1]["test_error"] < 10


@pytest.mark.parametrize("code", ["frames", "changes"])
def test_frames_that_are_not_seen_are_said(tmp_path, code):
    """Of a free phase of 100 ms."""
    x, y = np.random.default_rng(0).random((12, 5, 2)), np.arange(12) % 2
    data = save(tmp_path / "own.npz", x, y, axes="samples frames channels")

    def notes(window):
        return samples.load(experiment(data, input={"code": code, "window": window, "step": 0.1}, **SPIKING)).notes

    assert notes(20.0) == ()
    (note,) = notes(26.0)
    assert note.startswith("the last 1 of 5 frames, input.window = 26 ms each, come after the free phase, phases.free = 100 ms")
    assert notes(50.0)[0].startswith("the last 3 of 5 frames")


def test_a_code_of_series_refuses_pictures_and_says_how_a_file_has_series():
    setting = spec.experiment({"input": {"code": "frames"}, **SPIKING})
    with pytest.raises(
        SpecError, match=r"'frames' needs samples of shape \(frames, channels\), not \(1, 8, 8\); .* axes = 'samp"
    ):
        build(setting, (1, 8, 8), 10, 0)


# --- units of time ----------------------------------------------------------------------------------------------------


def trains(path, factor, last=100.0, **entries):
    """Spikes all over `last` ms, with times in another unit, `factor` of which are a ms."""
    rng, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 20), ("test", 10)):
        arrays |= {f"time_{part}": rng.uniform(0, last, 40 * n) * factor, f"neuron_{part}": rng.integers(0, 6, 40 * n)}
        arrays |= {f"sample_{part}": rng.integers(0, n, 40 * n), f"y_{part}": np.arange(n) % 2}
    np.savez(path, **arrays, **entries)
    return experiment(f"npz:{path}", input={"code": "trains"}, **SPIKING)


@pytest.mark.parametrize(
    ("unit", "factor", "message"),
    [
        ("s", 1e-3, r"the last spike comes 0.1 ms after the onset, where the free phase lasts 100 ms: are these seconds\?"),
        (
            "us",
            1e3,
            r"99\.\d % of the spikes come after the end of the free phase, 100 ms, the last one at .*: are these micro",
        ),
    ],
)
def test_times_that_are_hardly_ms_are_refused_unless_the_file_says_so(tmp_path, unit, factor, message):
    with pytest.raises(DataError, match=r"own.npz: time_train: " + message + ".*the entry time_unit = "):
        samples.load(trains(tmp_path / "own.npz", factor))
    found, as_ms = (
        samples.load(trains(tmp_path / "own.npz", factor, time_unit=unit)),
        samples.load(trains(tmp_path / "ms.npz", 1.0)),
    )
    np.testing.assert_allclose(found.x_train.time, as_ms.x_train.time)
    assert found.notes == as_ms.notes == ()
    right = samples.load(trains(tmp_path / "own.npz", factor, time_unit="ms"))
    np.testing.assert_allclose(right.x_train.time, as_ms.x_train.time * factor)


@pytest.mark.parametrize(("part", "factor"), [("test", 1e-3), ("test", 1e3), ("train", 1e3)])
def test_parts_whose_times_have_not_one_unit_are_said(tmp_path, part, factor):
    trains(tmp_path / "own.npz", 1.0)
    with np.load(tmp_path / "own.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays[f"time_{part}"] *= factor
    np.savez(tmp_path / "own.npz", **arrays)
    first, *_ = datasets.load(f"npz:{tmp_path / 'own.npz'}").notes
    means = {key: arrays[f"time_{key}"].mean() for key in ("train", "test")}
    assert first == (
        f"time_test: spikes come {means['test']:.3g} ms after the onset on average, those of time_train {means['train']:.3g} "
        f"ms: are the times of both parts in one unit?"
    )


def test_spikes_that_are_not_seen_are_said(tmp_path):
    late, _ = samples.load(trains(tmp_path / "own.npz", 1.0, last=200.0)).notes
    assert late.startswith("time_train: ")
    assert float(late.split()[1]) == pytest.approx(50, abs=5)
    assert late.endswith("% of the spikes come after the free phase, phases.free = 100 ms, and are not seen")


def test_times_that_may_be_ms():
    for last, free in ((2.1, 10.0), (100.0, 100.0), (100.0, 1000.0), (1000.0, 100.0)):
        assert implausible(np.linspace(0, last, 1000), free) is None
    assert implausible(np.empty(0), 100.0) is None
