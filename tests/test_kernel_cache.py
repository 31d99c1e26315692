"""Kernels on disk: found again by another process, and never where anything that they are made of has changed."""

import json
import os
import subprocess
import sys

import pytest

from localdfa.core import kernel_cache

# A model whose hook a kernel closes over, in a file of its own, with a constant from yet another one.
MODEL = """
from typing import NamedTuple
from numba import njit
import constants


class Scaled(NamedTuple):
    factor: float = 2.0

    @njit
    def hook(p, x):
        return p.factor * x + constants.SHIFT
"""
# Two kernels of one name and the same types of arguments, which differ in what they close over alone.
PROGRAM = """
import json, math, sys
import numpy as np
from localdfa.core import kernel_cache
from localdfa.core.compiled import compiled, device
import model


def factory(hook, sign):
    @device
    def helper(p, x):  # too long to be put in place of its calls, so that it keeps a symbol of its own
        y = sign * hook(p, x)
        LONG
        return y

    @compiled(error_model="numpy")
    def kernel(p, x):
        total = 0.0
        for i in range(x.size):
            total += helper(p, x[i])
        return total + helper(p, 1.0) - helper(p, 1.0)

    return kernel


kernels = [factory(model.Scaled.hook, sign) for sign in json.loads(sys.argv[1])]
results = [kernel(model.Scaled(), np.arange(4.0)) for kernel in kernels]
again = [kernel(model.Scaled(), np.arange(4.0)) for kernel in kernels]
assert results == again
hits = [sum(kernel.stats.cache_hits.values()) for kernel in kernels]
print(json.dumps({"results": results, "hits": hits, "entries": len(kernel_cache.contents())}))
"""


LONG = "\n        ".join(f"y = y + math.sin(x * {k}) - math.sin(x * {k})" for k in range(60))


class Place:
    """A folder with the program and its model, and a cache of its own."""

    def __init__(self, folder):
        self.folder, self.cache = folder, folder / "cache"
        self.write("model.py", MODEL)
        self.write("constants.py", "SHIFT = 1.0")
        self.write("program.py", PROGRAM.replace("LONG", LONG))

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def start(self, signs=(1.0,), **more):
        environment = {**os.environ, "LOCALDFA_CACHE": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1", **more}
        return subprocess.Popen(
            [sys.executable, "program.py", json.dumps(signs)], cwd=self.folder, env=environment, stdout=subprocess.PIPE
        )

    def run(self, signs=(1.0,), **more):
        return self.end(self.start(signs, **more))

    @staticmethod
    def end(process):
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        return json.loads(out)

    @property
    def entries(self):
        return list(self.cache.glob("*/*.kernel"))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_the_next_process_loads_what_one_has_compiled(place):
    assert place.run() == {"results": [16.0], "hits": [0], "entries": 1}
    assert place.run() == {"results": [16.0], "hits": [1], "entries": 1}


def test_an_edited_hook_or_constant_takes_effect_at_once(place):
    place.run()
    place.write("model.py", MODEL.replace("p.factor * x", "p.factor * x * x"))
    assert place.run() == {"results": [32.0], "hits": [0], "entries": 2}
    place.write("constants.py", "SHIFT = 2.0")
    assert place.run() == {"results": [36.0], "hits": [0], "entries": 3}


def test_kernels_of_one_name_from_several_processes_keep_apart(place):
    # Each process compiles another one, so that their symbols would have the same names if each counted from 1.
    assert [place.run([sign])["results"] for sign in (1.0, -1.0, 3.0)] == [[16.0], [-16.0], [48.0]]
    assert place.run([3.0, 1.0, 5.0, -1.0]) == {"results": [48.0, 16.0, 80.0, -16.0], "hits": [1, 1, 0, 1], "entries": 4}


def test_a_damaged_entry_is_compiled_anew(place):
    place.run()
    (entry,) = place.entries
    whole = entry.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]):
        entry.write_bytes(damaged)
        assert place.run() == {"results": [16.0], "hits": [0], "entries": 1}
        assert place.run()["hits"] == [1]


def test_processes_may_compile_the_same_at_once(place):
    found = [Place.end(process) for process in [place.start() for _ in range(3)]]
    assert [entry["results"] for entry in found] == [[16.0]] * 3
    assert place.run()["hits"] == [1]
    assert not list(place.cache.rglob(".*"))


def test_any_source_of_the_package_is_part_of_the_stamp(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "core").mkdir(parents=True)
    monkeypatch.setattr(kernel_cache, "_PACKAGE", package)
    monkeypatch.setenv("LOCALDFA_CACHE", str(tmp_path / "cache"))
    (package / "core" / "traces.py").write_text("RHO = 1")
    stamp = kernel_cache._stamped.__wrapped__  # it is looked up once in a process
    before = stamp()
    assert before == stamp()
    assert before.is_dir()
    (package / "core" / "traces.py").write_text("RHO = 2")
    edited = stamp()
    (package / "core" / "traces.py").rename(package / "core" / "trace.py")
    assert len({before, edited, stamp()}) == 3


def test_settings_of_numba_that_change_the_code_have_entries_of_their_own(place):
    place.run()
    assert place.run(NUMBA_BOUNDSCHECK="1")["hits"] == [0]
    assert place.run(NUMBA_OPT="1")["hits"] == [0]
    assert place.run()["hits"] == [1]


def test_a_folder_that_cannot_be_used_is_done_without(place):
    place.cache.write_text("a file where the folder should be")
    assert place.run() == {"results": [16.0], "hits": [0], "entries": 0}
    place.cache.unlink()
    place.cache.mkdir()
    place.cache.chmod(0o777)  # anyone could put code there
    assert place.run() == {"results": [16.0], "hits": [0], "entries": 0}


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_done_without(place):
    place.cache.mkdir()
    place.cache.chmod(0o500)
    assert place.run() == {"results": [16.0], "hits": [0], "entries": 0}


def test_long_unused_states_of_the_package_are_forgotten(place):
    for age in range(12):
        stamp = place.cache / f"stamp{age:02}"
        stamp.mkdir(parents=True)
        (stamp / "a.kernel").write_bytes(b"")
        os.utime(stamp, (1e9 - age, 1e9 - age))
    place.cache.chmod(0o700)
    place.run()
    assert sorted(path.name for path in place.cache.iterdir() if path.name.startswith("stamp")) == [
        f"stamp{age:02}" for age in range(7)
    ]


def test_the_command_shows_and_clears(place):
    place.run()

    def localdfa(*words):
        done = subprocess.run(
            [sys.executable, "-m", "localdfa", "cache", *words], env={**os.environ, "LOCALDFA_CACHE": str(place.cache)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    assert f"{place.cache}: 1 kernels" in localdfa()
    assert localdfa("--clear").startswith("1 kernels removed")
    assert not place.entries
    assert f"{place.cache}: 0 kernels" in localdfa()
    assert place.run()["hits"] == [0]


# A mini-batch learned in every engine; prints the names of the kernels that this took to compile, which it keeps if it is told.
EVERY_ENGINE = """
import sys, tempfile
from localdfa.conformance._subjects import SPIKING, trainer_of
from localdfa.core import kernel_cache

compiled, save = [], kernel_cache._KernelCache.save_overload


def noted(self, signature, data):
    compiled.append(self._dispatcher.py_func.__qualname__)
    if "keep" in sys.argv:
        save(self, signature, data)


kernel_cache._KernelCache.save_overload = noted
rate = {"hidden": [6, 5], "weights": "uniform"}
for tables in (
    {"network": rate},
    {"network": rate, "rule": "bp", "optimiser": {"name": "adam"}, "batch_size": 1},
    {"network": {**rate, "threshold": 1e-3}, "neuron": {"tau": 10.0}},
    SPIKING,
    {**SPIKING, "network": {"hidden": [12, 8], "neuron": "qif"}},
):
    trainer = trainer_of(tempfile.mkdtemp(), **tables)
    trainer.warm_up()
    trainer.measure()
print(*compiled)
"""


def test_every_kernel_of_every_engine_is_kept():
    """One that hands on a function by its address, say, could not be: each process finds all that another has compiled."""
    for word in ("keep", "look"):
        command = [sys.executable, "-c", EVERY_ENGINE, word]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.split() == []
