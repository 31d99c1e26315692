"""What does not fit into memory is refused before any of it is taken, and with what it would need."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import setting_of

from localdfa import memory, recording, train
from localdfa.errors import SpecError
from localdfa.network import build
from localdfa.spec import experiment

GIB = 2**30


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"network": {"hidden": [1_000_000, 1_000_000]}}, ["network.hidden: [1000000, 1000000] needs", "weights 3.64 TiB"]),
        ({"network": {"hidden": [1_000_000] * 100}}, ["network.hidden", "PiB"]),
        ({"network": {"hidden": [200_000], "neuron": "lif", "projection": [{"pre": 1, "post": 1, "connect": "sparse"}]}},
         ["network.", "sparse projections", "further weights"]),
        ({"batch_size": 100_000, "network": {"hidden": [1_000_000]}}, ["batch_size: 100000", "activities of a mini-batch"]),
        ({"rule": "fa", "network": {"hidden": [50_000, 50_000]}}, ["network.hidden", "feedback 9.32 GiB"]),
        ({"neuron": {"tau": 5.0}, "network": {"threshold": 0.01, "hidden": [30_000, 30_000]}}, ["network.hidden", "updates"]),
    ],
    ids=["two layers", "hundred layers", "sparse", "batch", "feedback", "in time"],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_a_folder_is_made(tables, words, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10 * GIB)
    with pytest.raises(SpecError) as caught:
        train.run(experiment(tables), tmp_path / "run")
    message = str(caught.value)
    assert all(word in message for word in [*words, "the 10 GiB that this process may still take"]), message
    assert not (tmp_path / "run").exists()


def test_what_fits_or_cannot_be_told_is_not_refused(monkeypatch):
    setting = setting_of(network={"hidden": [1000]})
    need = sum(part.size for part in memory.needed(setting, (64,), 10, 1797))
    for there in (need, None):
        monkeypatch.setattr(memory, "available", lambda there=there: there)
        memory.require(setting, (64,), 10, 1797)
    monkeypatch.setattr(memory, "available", lambda: need - 1)
    with pytest.raises(SpecError, match=r"network\.hidden: \[1000\]"):
        memory.require(setting, (64,), 10, 1797)


@pytest.mark.parametrize(
    "tables",
    [
        {"network": {"hidden": [30, 20]}},
        {"rule": "fa", "network": {"hidden": [30, 20]}, "precision": "float64", "optimiser": {"name": "adam"}},
        {"network": {"hidden": [{"channels": 4, "pool": 2}, 9]}},
        {"network": {"hidden": [{"channels": 4, "pool": 2, "shared": False}, 9]}},
        {"network": {"hidden": [30, 20], "neuron": "lif", "projection": [
            {"pre": 1, "post": 1}, {"pre": 2, "post": 1, "connect": "sparse", "probability": 1.0}]}},
    ],
    ids=["dense", "sequential", "shared", "own kernels", "further"],
)  # fmt: skip
def test_the_estimate_is_of_the_arrays_that_are_made(tables):
    """Against the arrays of the network itself."""
    setting = setting_of(**tables)
    network = build(setting, (1, 8, 8), 10, 0)
    found = dict.fromkeys(("weights", "further weights", "sparse projections", "feedback", "the optimiser's state"), 0)
    for part in memory.needed(setting, (1, 8, 8), 10, 100):
        if part.what in found:
            found[part.what] += part.size
    n = network.n_hidden + 1
    state = 2 if setting.optimiser.name == "adam" else 1
    assert found["weights"] == sum(w.nbytes for w in network.weights[:n])
    assert found["further weights"] == sum(w.nbytes for w in network.weights[n:])
    assert found["feedback"] == sum(b.nbytes for b in network.feedback)
    assert found["the optimiser's state"] == state * sum(w.nbytes for w in network.weights)
    sparse = sum(p.targets.nbytes + 8 * (len(p.ends) - 1) for p in network.projections if p.targets is not None)
    assert found["sparse projections"] == sparse


def test_what_this_machine_has_is_a_sensible_number():
    there = memory.available()
    assert there is None or 2**20 < there < 2**60


@pytest.mark.parametrize(
    ("controller", "root", "limit", "used", "cached", "unlimited"),
    [("", "", "memory.max", "memory.current", "inactive_file", "max"),
     ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "9223372036854771712")],
    ids=["v2", "v1"],
)  # fmt: skip
def test_a_control_group_limits_what_there_is(tmp_path, monkeypatch, controller, root, limit, used, cached, unlimited):
    """As containers and batch systems set it: the narrowest of all groups above, caches given back; also for records."""
    inner = tmp_path / root / "job" / "step"
    inner.mkdir(parents=True)
    for folder, most, taken in ((inner.parent, "1000000", 400_000), (inner, unlimited, 300_000)):
        (folder / limit).write_text(most)
        (folder / used).write_text(str(taken))
        (folder / "memory.stat").write_text(f"anon 1\n{cached} 50000\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "own_group", lambda asked: "/job/step" if asked == controller else None)
    assert min(memory.limits()) == 650_000
    assert memory.available() == 650_000
    assert recording._memory() == 650_000
    monkeypatch.setattr(memory, "own_group", lambda asked: None)
    assert [*memory.limits()] == []


def test_the_control_group_of_a_process_is_that_of_its_controller(monkeypatch):
    read = "12:cpu,cpuacct:/a\n9:hugetlb,memory:/docker/b:c\n1:name=systemd:/d\n0::/e\n"
    monkeypatch.setattr(memory.Path, "read_text", lambda path: read)
    assert [memory.own_group(asked) for asked in ("", "memory", "pids")] == ["/e", "/docker/b:c", None]


LIMITED = """
import resource

from localdfa import memory

there, taken = memory.available(), dict(line.split(":", 1) for line in open("/proc/self/status"))
for limit, entry in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
    most = 1024 * int(taken[entry].split()[0]) + 2**27
    resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))
    left = memory.available()
    print(there > 2**28, 2**26 < left <= 2**27)
    resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


@pytest.mark.skipif(not memory.STATUS.exists(), reason="Linux says how much a process has taken")
def test_limits_of_the_process_itself_count():
    """As `ulimit -v` and `ulimit -d` set them, which batch systems do: 128 MiB more than is taken."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True True"] * 2


def test_no_array_is_made_to_find_out(monkeypatch):
    for name in ("empty", "zeros", "ones"):
        monkeypatch.setattr(np, name, lambda *a, **k: pytest.fail("an array is made"))
    setting = setting_of(network={"hidden": [10**6, 10**6], "neuron": "lif"})
    assert sum(part.size for part in memory.needed(setting, (64,), 10, 1797)) > 2**42
