"""Events as tonic gives them become spikes: each one, where and when it was."""

import tracemalloc

import numpy as np
import pytest

import localdfa
from localdfa.data.sensors import from_events
from localdfa.errors import DataError, SpecError

EVENT = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])


def recording(rng, n, size=(34, 34, 2), span=300_000):
    events = np.zeros(n, EVENT)
    for name, limit in zip("xyp", size, strict=True):
        events[name] = rng.integers(0, limit, n)
    events["t"] = np.sort(rng.integers(0, span, n))
    return events


@pytest.fixture
def pairs(rng):
    return [(recording(rng, n), k % 3) for k, n in enumerate((40, 25, 0, 60, 31))]


def as_bytes(events):
    """N-MNIST's file format: 40 bits an event, x, y, polarity, and 23 bits of time."""
    rows = bytearray()
    for x, y, t, p in events.tolist():
        rows += bytes([x, y]) + ((p << 23) | t).to_bytes(3, "big")
    return bytes(rows)


def by_hand(pairs, width, height, block, window=(0.0, np.inf), merged=False):
    """Spikes as a plain loop over events has them: sample, neuron, ms."""
    begin, end = window
    found = []
    for sample, (events, _) in enumerate(pairs):
        for x, y, t, p in events.tolist():
            if begin <= t / 1000 < end:
                channel = 0 if merged else p
                column, row = x // block, y // block
                found.append((sample, column + width * (row + height * channel), t / 1000 - begin))
    return sorted(found)


def spikes(trains):
    return sorted(zip(*(array.tolist() for array in trains.events()), strict=True))


def agree(trains, expected):
    found = spikes(trains)
    assert [each[:2] for each in sorted(found)] == [each[:2] for each in sorted(expected)]
    np.testing.assert_allclose([each[2] for each in found], [each[2] for each in expected], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "width", "height", "neurons"),
    [
        ({}, 34, 34, 2312),
        ({"block": 2}, 17, 17, 578),
        ({"block": 5}, 7, 7, 98),
        ({"polarity": "merged"}, 34, 34, 1156),
        ({"window": (100.0, 200.0), "block": 4, "polarity": "merged"}, 9, 9, 81),
    ],
)
def test_spikes_are_the_events(pairs, options, width, height, neurons):
    found = from_events(pairs, pairs[::-1], sensor_size=(34, 34, 2), **options)
    hand = {"block": options.get("block", 1), "merged": options.get("polarity") == "merged"}
    window = options.get("window", (0.0, np.inf))
    for trains, part in ((found.x_train, pairs), (found.x_test, pairs[::-1])):
        assert trains.shape == (5, neurons)
        agree(trains, by_hand(part, width, height, window=window, **hand))
    assert found.y_train.tolist() == [0, 1, 2, 0, 1]
    assert found.y_test.tolist() == [1, 0, 2, 1, 0]
    assert found.shape == (neurons,)
    assert found.classes == ("0", "1", "2")


def test_times_are_exact_however_late_a_recording_is(rng):
    """float32 has no µs after 16 s; times are counted as whole numbers before they become ms."""
    events = recording(rng, 50)
    events["t"] += 3_000_000_000
    found = from_events([(events, "a"), (events, "b")], sensor_size=(34, 34, 2), window=(3e6, 3e6 + 300)).x_train
    assert found.time.dtype == np.float64
    np.testing.assert_allclose(found[0].time, np.sort(events["t"] - 3_000_000_000) / 1000, rtol=1e-15)


def test_sensors_in_a_line_have_no_y(rng):
    events = np.zeros(9, [("x", np.int16), ("t", np.uint32)])
    events["x"], events["t"] = rng.integers(0, 700, 9), np.arange(9) * 1000
    found = from_events([(events, "one"), (events[:3], "two")], sensor_size=(700, 1, 1))
    assert found.x_train.shape == (2, 700)
    assert sorted(found.x_train[0].neuron) == sorted(events["x"])
    assert len(found.y_test) == 0
    assert any("no test part" in note for note in found.notes)


def test_polarities_may_be_booleans(rng):
    events = recording(rng, 20)
    as_booleans = np.zeros(20, [("t", float), ("x", np.uint16), ("y", np.uint16), ("p", bool)])
    for name in EVENT.names:
        as_booleans[name] = events[name]
    one, other = (from_events([(each, 0), (each, 1)], sensor_size=(34, 34, 2)).x_train for each in (events, as_booleans))
    assert spikes(one) == spikes(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: {"sensor_size": None}, "sensor_size: the recordings do not say it"),
        (lambda e: {"sensor_size": (34, 34)}, r"sensor_size: \(34, 34\)"),
        (lambda e: {"sensor_size": (34, 0, 2)}, "at least 1"),
        (lambda e: {"sensor_size": (34.9, 34, 2)}, r"sensor_size: \(34\.9, 34, 2\)"),
        (lambda e: {"train": 5}, "train: 5; allowed: pairs of events and a label"),
        (lambda e: {"train": {"a": 1}}, "train: {'a': 1}; allowed: pairs"),
        (lambda e: {"sensor_size": (20, 34, 2)}, r"train\[0\]: event \d+ has x = \d+: it must lie in 0 \.\. 19"),
        (lambda e: {"sensor_size": (34, 34, 1)}, r"train\[0\]: event \d+ has p = 1"),
        (lambda e: {"sensor_size": (4000, 4000, 2)}, "a larger block"),
        (lambda e: {"block": 0}, "block: 0"),
        (lambda e: {"block": 2.0}, r"block: 2\.0"),
        (lambda e: {"polarity": "off"}, "polarity: 'off'"),
        (lambda e: {"window": (5.0, 5.0)}, "window"),
        (lambda e: {"window": 5}, "window: 5; allowed: begin and end, ms, from 0"),
        (lambda e: {"window": ("0", "5")}, r"window: \('0', '5'\); allowed: begin and end"),
        (lambda e: {"window": (None, 5.0)}, r"window: \(None, 5\.0\)"),
        (lambda e: {"window": (0.0, 5.0, 6.0)}, "window"),
        (lambda e: {"window": (400.0, 500.0)}, "without an event in the window"),
        (lambda e: {"train": [e]}, r"train\[0\]: ndarray"),
        (lambda e: {"train": [(e["x"], 0)]}, r"train\[0\]: ndarray; allowed: a structured array"),
        (lambda e: {"train": [(e[["x", "t"]], 0)]}, r"train\[0\]: has no field y"),
        (lambda e: {"train": [(e, [0, 1])]}, r"train\[0\]: label \[0, 1\]"),
        (lambda e: {"train": [(e, 1.5), (e, 2)]}, r"train\[0\]: label 1\.5"),
        (lambda e: {"train": [(e, 0), (e, 0)]}, "two classes"),
        (lambda e: {"test": [(e, 7)]}, "y_test"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused(rng, change, message):
    events = recording(rng, 30)
    asked = {"train": [(events, 0), (events, 1)], "sensor_size": (34, 34, 2), **change(events)}
    with pytest.raises(DataError, match=message):
        from_events(asked.pop("train"), asked.pop("test", None), **asked)


def test_times_before_the_onset_are_refused(rng):
    events = recording(rng, 30)
    events["t"][3] = -5
    with pytest.raises(DataError, match=r"train\[0\]: event 3 has t = -5"):
        from_events([(events, 0)], sensor_size=(34, 34, 2))
    times = events.astype([("x", int), ("y", int), ("t", float), ("p", int)])
    times["t"][3] = 0.5
    with pytest.raises(DataError, match="field t has the dtype float64"):
        from_events([(times, 0)], sensor_size=(34, 34, 2))


# --- tonic ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nmnist(rng, tmp_path, monkeypatch):
    """tonic's class of N-MNIST on a few recordings in its file format, and what was written."""
    tonic = pytest.importorskip("tonic")
    monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: True)  # all 60,000 of them, and the archive
    written = {}
    for part, count in (("Train", 6), ("Test", 3)):
        written[part] = []
        for k in range(count):
            events, digit = recording(rng, 30 + k), k % 3
            place = tmp_path / "NMNIST" / part / str(digit)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{k:05d}.bin").write_bytes(as_bytes(events))
            written[part].append((digit, k, events))
        written[part] = [(events, digit) for digit, _, events in sorted(written[part], key=lambda each: each[:2])]
    return tonic, tmp_path, written


def test_data_sets_of_tonic_are_read(nmnist):
    tonic, place, written = nmnist
    train, test = (tonic.datasets.NMNIST(str(place), train=part) for part in (True, False))
    assert [len(train), len(test)] == [6, 3]
    found = from_events(train, test, block=2)
    for trains, y, part in ((found.x_train, found.y_train, "Train"), (found.x_test, found.y_test, "Test")):
        agree(trains, by_hand(written[part], 17, 17, 2))
        assert y.tolist() == [digit for _, digit in written[part]]


def test_transforms_of_tonic_are_welcome(nmnist):
    tonic, place, written = nmnist
    cut = tonic.transforms.Compose([tonic.transforms.CropTime(max=100_000), tonic.transforms.MergePolarities()])
    found = from_events(tonic.datasets.NMNIST(str(place), transform=cut), polarity="merged")
    agree(found.x_train, by_hand(written["Train"], 34, 34, 1, window=(0.0, 100.0001), merged=True))
    frames = tonic.transforms.ToFrame(sensor_size=(34, 34, 2), n_time_bins=3)
    with pytest.raises(DataError, match=r"train\[0\]: ndarray; allowed: a structured array"):
        from_events(tonic.datasets.NMNIST(str(place), transform=frames))


def test_a_network_learns_from_events(nmnist, tmp_path):
    tonic, place, _ = nmnist
    train, test = (tonic.datasets.NMNIST(str(place), train=part) for part in (True, False))
    data = from_events(train, test, block=8, window=(0.0, 40.0), polarity="merged")
    tables = {
        "network": {"hidden": [6], "neuron": "lif"}, "input": {"code": "trains"}, "stage": [{"epochs": 1}], "rule": "local",
        "phases": {"free": 320.0, "nudged": 200.0}, "record": {"probe": 4},
    }  # fmt: skip
    run = localdfa.run(tables, tmp_path / "run", data=data, progress=False)
    assert run.info["shape"] == [25]
    assert run.info["classes"] == ["0", "1", "2"]
    assert run.jobs[0].weights["W1"].shape == (6, 25)
    with pytest.raises(SpecError, match="which are spike trains; allowed: 'trains'"):
        localdfa.run({**tables, "input": {"code": "poisson"}}, tmp_path / "other", data=data, progress=False)


def test_a_large_set_takes_the_memory_of_its_spikes_and_little_more(rng):
    n, recordings = 10_000, 60
    tracemalloc.start()
    found = from_events(((recording(rng, n), k % 3) for k in range(recordings)), sensor_size=(34, 34, 2))
    peak = tracemalloc.get_traced_memory()[1] / (n * recordings)
    tracemalloc.stop()
    assert len(found.x_train.time) == n * recordings
    # Bytes an event: 16 are kept, and while the arrays are joined 12 more.
    assert peak < 30
