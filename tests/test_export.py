"""Metrics as a frame, spikes as neo objects, scalars for TensorBoard, and a run that is watched."""

import math
import struct
import threading
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from localdfa import display, record, spec, train, watch
from localdfa.display import Lines, Several, duration, line
from localdfa.errors import LocalDFAError
from localdfa.tensorboard import TensorBoard


def test_frame_has_a_row_for_each_epoch_and_a_column_for_each_layer(rate_run):
    frame = rate_run.frame()
    assert len(frame) == 3 * 3 * 4
    means = frame[frame.epoch == 3].groupby("condition").test_error.mean()
    for name in ("local", "ifa", "bp"):
        own = [row["test_error"] for row in rate_run.metrics if row["condition"] == name and row["epoch"] == 3]
        assert means[name] == pytest.approx(np.mean(own))
    row = next(row for row in rate_run.metrics if row["condition"] == "bp" and row["epoch"] == 2)
    found = frame[(frame.condition == "bp") & (frame.seed == row["seed"]) & (frame.epoch == 2)].iloc[0]
    assert [found.angle_to_dfa_1, found.angle_to_dfa_2] == row["angle_to_dfa"]
    assert math.isnan(found.alignment_1)
    assert frame.weight_norm_3.dtype == np.float64


def test_spikes_as_neo_objects(spiking_run):
    job = spiking_run.jobs[0]
    kept, block = job.spikes, job.neo()
    assert len(block.segments) == 2
    for segment, trial in zip(block.segments, np.unique(kept["trial"]), strict=True):
        assert segment.annotations["sample"] == trial
        assert len(segment.spiketrains) == 2 * (12 + 8)
        assert sum(len(train) for train in segment.spiketrains) == (kept["trial"] == trial).sum()
        assert list(segment.epochs[0].labels) == ["free", "+β", "free", "−β"]
        assert list(segment.epochs[0].durations.rescale("s").magnitude) == pytest.approx([0.1, 0.05, 0.1, 0.05])
        for spikes in segment.spiketrains:
            a = spikes.annotations
            own = (kept["trial"] == trial) & (kept["population"] == a["population"]) & (kept["neuron"] == a["neuron"])
            times = kept["time"][own & (kept["twin"] == (a["compartment"] == "twin"))]
            np.testing.assert_array_equal(spikes.rescale("ms").magnitude, times)
            assert (float(spikes.t_start), float(spikes.t_stop)) == (0, 300)


def test_a_trial_in_which_nothing_spikes_is_a_segment_as_well(spiking_run, tmp_path):
    kept, again = spiking_run.jobs[0].spikes, record.create(tmp_path / "run", spiking_run.experiment)
    again.jobs[0].write("spikes", {**kept, "trials": np.array([kept["trials"][0], 700, kept["trials"][1]])})
    segments = again.jobs[0].neo().segments
    assert [len(segment.spiketrains) for segment in segments] == [40, 40, 40]
    assert [sum(map(len, segment.spiketrains)) > 0 for segment in segments] == [True, False, True]


@pytest.mark.parametrize(("library", "call"), [("pandas", "frame"), ("neo", "neo")])
def test_a_library_that_is_missing_is_named(spiking_run, monkeypatch, library, call):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    owner = spiking_run if call == "frame" else spiking_run.jobs[0]
    with pytest.raises(LocalDFAError, match=rf"{library} is not installed; get it with: pip install 'localdfa\["):
        getattr(owner, call)()


def tiny(**changes):
    tables = {"seeds": [0], "network": {"hidden": [6, 5]}, "stage": [{"epochs": 2}], "record": {"probe": 16}}
    return spec.experiment({**tables, **changes})


def scalars(path):
    """(tag, step, value) of a file of TensorBoard's events: records of length, checksum, Event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, at = path.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        event = Event.FromString(content[at + 12 : at + 12 + length])
        for value in event.summary.value:
            yield value.tag, event.step, value.simple_value
        at += 16 + length


def test_tensorboard_gets_every_number_of_the_metrics(tmp_path):
    experiment = tiny(condition=[{"name": "local"}, {"name": "bp", "rule": "bp"}])
    with TensorBoard() as progress:
        run = train.run(experiment, tmp_path / "run", progress=progress, force=True)
    for job in run.jobs:
        (path,) = (run.folder / "tensorboard" / job.condition / "seed-0").iterdir()
        found = {(tag, step): value for tag, step, value in scalars(path)}
        for row in job.metrics:
            assert found["test_error", row["epoch"]] == pytest.approx(row["test_error"])
            for layer in (0, 1):
                value = row["angle_to_bp"][layer]
                key = (f"angle_to_bp/{layer + 1}", row["epoch"])
                assert (key not in found) if value is None else found[key] == pytest.approx(value, rel=1e-5, abs=1e-5)


def test_tensorboard_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(LocalDFAError, match=r"pip install 'localdfa\[tensorboard\]'"):
        TensorBoard()


# --- progress and watching --------------------------------------------------------------------------------------------


def test_a_line_has_errors_and_rates():
    row = {"epoch": 3, "train_error": 1.234, "test_error": 5.0}
    assert line(row) == "epoch 3  train 1.23 %  test 5.00 %"
    assert line({**row, "rate": [70.4, 8.0]}).endswith("  70 8 Hz")
    assert [duration(s) for s in (0, 65, 3661)] == ["0:00", "1:05", "1:01:01"]


def test_lines_of_progress_say_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(display, "_EVERY", 0)
    text = StringIO()
    lines = Lines(Console(file=text, width=40))
    train.run(tiny(), tmp_path / "run", progress=Several(lines))
    shown = [line for line in text.getvalue().splitlines() if line.startswith("local seed 0  ")]
    assert [line.split("  ")[1] for line in shown] == ["epoch 0", "epoch 1", "epoch 2"]
    assert [" left" in line for line in shown] == [False, True, False]


class Halting(train.Progress):
    """Waits before an epoch until it is told to go on."""

    def __init__(self):
        self.reached, self.go_on = threading.Event(), threading.Event()

    def epoch(self, row):
        if row["epoch"] == 1:
            self.reached.set()
            assert self.go_on.wait(60)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_in_progress_is_watched_to_its_end(tmp_path, terminal):
    progress, text = Halting(), StringIO()
    training = threading.Thread(target=train.run, args=(tiny(), tmp_path / "run"), kwargs={"progress": progress})
    training.start()
    assert progress.reached.wait(60)
    console = Console(file=text, width=120, force_terminal=terminal, color_system=None, legacy_windows=False)
    watching = threading.Thread(target=watch.watch, args=(tmp_path / "run", console, 0.01))
    watching.start()
    while "epoch 1" not in text.getvalue() and "1 of 2" not in text.getvalue():
        assert watching.is_alive()
    assert "epoch 2" not in text.getvalue()
    progress.go_on.set()
    training.join()
    watching.join(60)
    assert not watching.is_alive()
    final = record.Run(tmp_path / "run").metrics[-1]
    assert f"{final['test_error']:.2f}" in text.getvalue()
    assert "finished" in text.getvalue()
    if not terminal:
        assert [line.split("  ")[1] for line in text.getvalue().splitlines()[:-1]] == ["epoch 0", "epoch 1", "epoch 2"]


def test_the_table_of_a_run_that_is_watched(spiking_run, tmp_path):
    text = StringIO()
    Console(file=text, width=140).print(watch.table(spiking_run, "finished"))
    row = spiking_run.jobs[0].metrics[-1]
    assert "2 of 2" in text.getvalue()
    assert "  ".join(f"{rate:.0f}" for rate in row["rate"]) in text.getvalue()
    assert watch.sparkline([8.0, 4.0, 1.0, 0.0]) == "█▅▂▁"
    empty = record.create(tmp_path / "run", tiny())
    Console(file=text, width=140).print(watch.table(empty, "running"))
    assert "– of 2" in text.getvalue()
