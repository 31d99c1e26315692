"""What a run writes to a file as it goes on: the bits of a run in memory, bounded memory, and files that are refused."""

import os
import signal
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from click.testing import CliRunner

import localdfa
from localdfa import cli, memory
from localdfa.circuit import Result, result, running, stored
from localdfa.errors import LocalDFAError, RunError, SpecError

pytest.importorskip("h5py")

RECORD = {"exc": ["spikes", "v"], "source": ["spikes"], "quiet": ["v"]}


def small(seed=5):
    """Neurons that noise and a source drive; rests differ, so that v is shifted."""
    net = localdfa.Circuit(seed=seed)
    net.population("exc", 12, tau_m=20.0, v_rest=-60.0, v_th=-50.0, v_reset=-58.0, t_ref=2.0)
    net.population("quiet", 3, tau_m=20.0, v_th=900.0)
    net.poisson("source", 5, 50.0)
    net.project("exc", "exc", in_degree=4, weight=0.5, delay=1.3)
    net.project("source", "exc", weight=2.0, delay=0.7)
    net.noise("exc", 3000.0, 0.4)
    return net


def assert_same(found, expected):
    assert (found.begin, found.end, found.sizes) == (expected.begin, expected.end, expected.sizes)
    for name in ("exc", "source"):
        for own, other in zip(found.spikes(name), expected.spikes(name), strict=True):
            assert own.dtype == other.dtype
            assert own.tobytes() == other.tobytes()
        assert found.count(name) == expected.count(name) > 0
        assert found.rates(name).tobytes() == expected.rates(name).tobytes()
        assert found.cv(name).tobytes() == expected.cv(name).tobytes()
    for name in ("exc", "quiet"):
        for own, other in zip(found.v(name), expected.v(name), strict=True):
            assert own.dtype == other.dtype
            assert own.shape == other.shape
            assert own.tobytes() == other.tobytes()


def test_a_file_has_the_bits_of_a_run_in_memory_and_goes_on(tmp_path, monkeypatch):
    """A run that ends within a window and one that goes on, read in small blocks, against one run in memory."""
    monkeypatch.setattr(result, "_BLOCK", 7)
    path, expected, net = tmp_path / "new" / "net.h5", small().run(700.5, RECORD, 0.7), small()
    first = net.run(333.25, RECORD, 0.7, to=path)
    second = net.run(700.5 - 333.25, RECORD, 0.7, to=str(path))
    assert os.listdir(path.parent) == ["net.h5"]
    whole = Result.open(path)
    assert whole.complete
    assert_same(whole, expected)
    assert_same(first, expected.between(0, 333.25))
    assert_same(second, expected.between(333.25, 1e9))
    assert repr(whole) == repr(expected)
    assert_same(whole.between(100, 650).between(200.5, 300), small().run(300.0, RECORD, 0.7).between(200.5, 500))
    for kind in ("raster", "v"):
        own, other = (
            sorted(map(tuple, line.get_xydata())) for r in (whole, expected) for line in r.plot(kind).axes[0].lines[:1]
        )
        assert own == other
    with pytest.raises(LocalDFAError, match=r"between 800 and 700\.5 ms: allowed: a part of 0 to 700\.5 ms"):
        whole.between(800, 900)


def test_a_part_is_what_a_run_would_have_left_of_it():
    whole, net = small().run(400.0, RECORD), small()
    net.run(123.4)
    assert_same(whole.between(123.4, 345.6), net.run(345.6 - 123.4, RECORD).between(0, 345.6))


def test_neo_reads_a_file(tmp_path):
    pytest.importorskip("neo")
    (segment,) = small().run(200.0, RECORD, to=tmp_path / "net.h5").neo().segments
    (expected,) = small().run(200.0, RECORD).neo().segments
    assert len(segment.spiketrains) == 17
    for own, other in zip(segment.spiketrains, expected.spiketrains, strict=True):
        assert (own.magnitude == other.magnitude).all()
    for own, other in zip(segment.analogsignals, expected.analogsignals, strict=True):
        assert (own.magnitude == other.magnitude).all()


def test_memory_does_not_grow_with_the_duration(tmp_path, monkeypatch):
    """What was recorded is let go after each batch: of its arrays none but the last ones are alive, and what Python has taken
    peaks where it did. A run in memory takes all of it: here v of 2000 neurons each ms, 8 MB for a second."""
    arrays, most = [], []

    class Counted(stored.Stream):
        def add(self, until, spikes, moments, v):
            super().add(until, spikes, moments, v)
            arrays.extend(map(weakref.ref, (*v.values(), *spikes["many"])))
            most.append(sum(array() is not None for array in arrays))

    monkeypatch.setattr(running, "Stream", Counted)
    net = localdfa.Circuit(seed=2)
    net.population("many", 2000, tau_m=20.0, v_th=20.0, v_reset=0.0, t_ref=2.0)
    net.current("many", np.linspace(15, 30, 2000))
    record = {"many": ["spikes", "v"]}
    net.run(50.0)
    peaks = []
    for duration, to in ((200.0, tmp_path / "short.h5"), (2000.0, tmp_path / "long.h5"), (2000.0, None)):
        tracemalloc.start()
        found = net.run(duration, record, to=to)
        found.rates("many")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(most) >= 22
    assert max(most) <= 3
    short, long, whole = peaks
    assert long < short + 1e6
    assert whole > short + 14e6


def test_v_of_some_neurons_takes_no_memory_for_all_of_them(tmp_path, monkeypatch):
    """Of 5000 neurons each 0.02 ms, 100 MB for 100 ms: a batch is as short as that takes; and what it takes counts."""
    net = localdfa.Circuit(seed=2)
    net.population("many", 5000, tau_m=20.0, v_th=20.0, t_ref=2.0)
    net.current("many", np.linspace(15, 30, 5000))
    net.run(10.0)
    for to in (None, tmp_path / "some.h5"):
        tracemalloc.start()
        result = net.run(100.0, {"many": ["v"]}, interval=0.02, to=to, neurons={"many": [7]})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.v("many")[1].shape == (5000, 1)
        assert peak < 90e6
    monkeypatch.setattr(memory, "available", lambda: 2**20)
    for to in (None, tmp_path / "other.h5"):
        with pytest.raises(SpecError, match=r"^record: v of many each 0\.02 ms needs about 63 MiB"):
            net.run(100.0, {"many": ["v"]}, interval=0.02, to=to, neurons={"many": [7]})
    assert not [*tmp_path.glob("other*")]


KILLED = """
import os, signal, sys
import localdfa
sys.path.insert(0, sys.argv[1])
from test_stored import RECORD, small
net = small()
net.run(50.0, RECORD, 0.7, to="net.h5")
def at(time):
    if time > 500:
        os.kill(os.getpid(), signal.SIGKILL)
net.run(1000.0, RECORD, 0.7, progress=at, to="net.h5")
"""


def test_what_a_killed_run_has_written_is_there_and_said_to_be_incomplete(tmp_path):
    command = [sys.executable, "-c", KILLED, os.path.dirname(__file__)]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == ["net.h5.part"]
    found = Result.open(tmp_path / "net.h5.part")
    assert not found.complete
    assert found.planned == 1050
    assert 500 < found.end < 700
    assert "incomplete: until 1050 ms it was to be" in repr(found)
    assert_same(found, small().run(found.end, RECORD, 0.7))
    assert found.between(0, 100).complete
    with pytest.raises(RunError, match=r"net\.h5\.part: is of a run that goes on, or did not end; read it with Result\.open"):
        small().run(10.0, RECORD, to=tmp_path / "net.h5")


def test_a_file_is_read_while_it_is_written(tmp_path):
    path, seen = tmp_path / "net.h5", []

    def look(time):
        if len(seen) < 3:
            seen.append(Result.open(stored.part_of(path)))
            assert not seen[-1].complete
            assert seen[-1].spikes("exc")[0].size == seen[-1].count("exc")

    small().run(600.0, RECORD, progress=look, to=path)
    assert [round(each.end) for each in seen] == sorted({round(each.end) for each in seen})


def test_a_run_that_is_interrupted_leaves_the_circuit_as_it_was(tmp_path):
    path, net = tmp_path / "net.h5", small()

    def interrupt(time):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.run(500.0, RECORD, progress=interrupt, to=path)
    assert net.time == 0
    assert not Result.open(stored.part_of(path)).complete
    stored.part_of(path).unlink()
    net.run(300.0, RECORD, to=path)
    assert_same(Result.open(path), small().run(300.0, RECORD))


def test_what_does_not_go_on_is_refused_and_nothing_is_lost(tmp_path):
    path, net = tmp_path / "net.h5", small()
    net.run(100.0, RECORD, to=path)
    content = path.read_bytes()
    other, driven = small(6), small()
    driven.current("quiet", 1.0)
    driven.run(100.0)
    weights = localdfa.Circuit(seed=5)
    weights.population("exc", 12, tau_m=20.0)
    weights.population("quiet", 3)
    weights.poisson("source", 5, 50.0)
    other.run(100.0)
    weights.run(100.0)
    for circuit, given, words in (
        (net, {"record": RECORD, "interval": 2.0}, r"with another interval: 1\.0, not 2\.0"),
        (net, {"record": {"exc": ["spikes"]}}, "with another record"),
        (small(), {"record": RECORD}, "ends at 100 ms, but the circuit stands at 0 ms"),
        (other, {"record": RECORD}, "with another seed: 5, not 6"),
        (driven, {"record": RECORD}, "its circuit has the checksum"),
        (weights, {"record": RECORD}, "its circuit has the checksum"),
    ):
        with pytest.raises(RunError, match=rf"net\.h5: .*{words}"):
            circuit.run(50.0, **given, to=path)
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "file").write_text("")
    for name, words in (("text.h5", "cannot be read"), ("file/net.h5", "cannot be"), ("a\0b", "cannot be")):
        with pytest.raises(RunError, match=words):
            small().run(50.0, to=tmp_path / name)
    for name in ("text.h5", "none.h5"):
        with pytest.raises(RunError, match=name):
            Result.open(tmp_path / name)
    assert path.read_bytes() == content
    assert_same(Result.open(path), small().run(100.0, RECORD))


def test_a_run_with_currents_that_begin_and_end_goes_on_in_its_file_alone(tmp_path):
    def pulsed(value):
        net = small()
        net.current("exc", value, 100.0, 260.0)
        return net

    path, net, expected = tmp_path / "net.h5", pulsed(4.0), pulsed(4.0).run(300.0, RECORD, 0.7)
    for duration in (150.0, 150.0):  # cut while the current flows
        net.run(duration, RECORD, 0.7, to=path)
    other = pulsed(5.0)
    other.run(300.0)
    with pytest.raises(RunError):
        other.run(10.0, RECORD, 0.7, to=path)
    assert_same(Result.open(path), expected)


def test_other_files_of_hdf5_are_refused(tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(RunError, match=r"other\.h5: is None of layout None; allowed: 'localdfa circuit' of layout 1"):
        Result.open(tmp_path / "other.h5")


def test_sources_alone_keep_nothing():
    net = localdfa.Circuit(seed=3)
    net.poisson("source", 20, 1000.0)
    net.run(1000.0)
    assert net.simulation.arrays()["times"].size == 0


def test_the_command_line_writes_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(small().to_toml())
    run = CliRunner().invoke
    arguments = ["simulate", "net.toml", "--duration", "300", "--v", "exc", "--to", "net.h5"]
    done = run(cli.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert sorted(os.listdir()) == ["net.h5", "net.toml"]
    found, expected = Result.open("net.h5"), small().run(300.0, {"exc": ["spikes", "v"], "quiet": ["spikes"]})
    assert found.spikes("exc")[0].tobytes() == expected.spikes("exc")[0].tobytes()
    assert found.v("exc")[1].tobytes() == expected.v("exc")[1].tobytes()
    for more, words in (
        ([], "net.h5: exists already and ends at 300 ms, but the circuit stands at 0 ms"),
        (["--out", "out"], "--out and --to"),
    ):
        refused = run(cli.main, [*arguments, *more])
        assert refused.exit_code == 1
        assert words in refused.output.replace("\n", " ")
