"""Circuits in TOML, on disk, and from the command line: to the same bits, and what is wrong is named."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_any_circuit import network

import localdfa
from localdfa import arrays, cli, spec, toml
from localdfa.circuit import tables
from localdfa.errors import RunError, SpecError


def everything():
    """A circuit with all that tables can say."""
    net, rng = network(), np.random.default_rng(3)
    net.population("q", 6, "qif", tau_m=np.linspace(8, 12, 6), start=-1.0)
    net.population(
        "w", 4, v_th=rng.uniform(10, 12, 4), v_reset=-1.0, v_rest={"distribution": "uniform", "low": 0.0, "high": 1.0}
    )
    net.current("w", [1.0, 2.0, 3.0, 4.0])
    net.current("q", 0.5)
    net.project("w", "q", matrix=rng.normal(size=(4, 6)) * (rng.random((4, 6)) < 0.5), delay=0.7)
    net.project("q", "w", weight=rng.normal(size=(6, 4)))
    net.project("w", "w", weight=1.0, self_connections=False, sign="excitatory")
    net.project("q", "q", in_degree=9, multapses=True, weight={"distribution": "normal", "mean": 0.1, "std": 0.1})
    net.poisson("many", 4, [1.0, 2.0, 3.0, 0.0])
    net.project("many", "w", "one_to_one", weight=[1.0, 2.0, 3.0, 4.0])
    return net


def same(one, other):
    """Whether two descriptions are the same, to the bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other)


def test_toml_says_all_and_makes_the_same_circuit(tmp_path):
    net, path = everything(), tmp_path / "all.toml"
    path.write_text(net.to_toml(), encoding="utf-8")
    again = localdfa.Circuit.from_toml(path)
    assert same(tables.tables_of(net), tables.tables_of(again))
    assert again.to_toml() == net.to_toml()
    assert list(again.populations) == list(net.populations)
    assert localdfa.Circuit.from_toml(path, seed=5).seed == 5


def test_the_order_of_sources_and_populations_does_not_matter():
    def described(first):
        net = localdfa.Circuit()
        for add in (lambda: net.poisson("s", 2, 5.0), lambda: net.population("p", 2))[:: 1 if first else -1]:
            add()
        return list(net.populations)

    assert described(True) == described(False) == ["p", "s"]


TOML = """
[[population]]
name = "exc"
size = 4
[[population]]
name = "inh"
size = 2
[[source]]
name = "given"
size = 1
times = [1.0]
neurons = [0]
[[projection]]
pre = "exc"
post = "inh"
weight = 1.0
[[input]]
post = "exc"
rate = 10.0
weight = 1.0
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "sede = 1\n", ["key 'sede'", "did you mean 'seed'"]),
        ("", "seed = -1\n", ["seed: -1"]),
        ("[[input]]", "[input]", ["input: {", "[[input]]"]),
        ('name = "inh"\n', "", ["[[population]] 2: name: is missing"]),
        ('name = "inh"\n', "name = 3\n", ["[[population]] 2: ", "3: allowed as a name"]),
        ('name = "inh"\nsize = 2', 'name = "inh"\nsize = 2\ntua_m = 3.0', ["[[population]] 2: ", "'inh'.tua_m", "'tau_m'"]),
        ("times = [1.0]\n", "", ["[[source]] 1: ", "one of rate, times"]),
        ("times = [1.0]\n", "times = [1.0]\nrate = 3.0\n", ["[[source]] 1: rate and times"]),
        ("neurons = [0]\n", "neurons = [0]\ndelay = 3.0\n", ["[[source]] 1: key 'delay'"]),
        ("neurons = [0]\n", "neurons = [1]\n", ["[[source]] 1: ", "'given'.neurons", "from 0 to 0"]),
        ('pre = "exc"\n', 'pre = "ecx"\n', ["[[projection]] 1: pre: 'ecx'", "did you mean 'exc'"]),
        ('pre = "exc"\n', "", ["[[projection]] 1: pre: is missing"]),
        ('post = "inh"\n', 'post = "inh"\nprobabilty = 0.1\n', ["[[projection]] 1: key 'probabilty'", "'probability'"]),
        ('post = "inh"\n', 'post = "inh"\nself = 0.1\n', ["[[projection]] 1: key 'self'"]),
        ("rate = 10.0\n", "", ["[[input]] 1: ", "one of rate, current"]),
        ("rate = 10.0\n", "rate = -10.0\n", ["[[input]] 1: noise of 'exc'.rate: -10.0"]),
        ("rate = 10.0\n", "rate = 10.0\ncurrent = 1.0\n", ["[[input]] 1: rate and current"]),
        ("[[input]]", "[[input", ["wrong.toml"]),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_table(tmp_path, old, new, words):
    path = tmp_path / "wrong.toml"
    path.write_text(new + TOML if not old else TOML.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SpecError) as raised:
        localdfa.Circuit.from_toml(path)
    for word in ("wrong.toml", *words):
        assert word in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000 + "]" * 5000)
    for name in ("none.toml", "bytes.toml", "deep.toml"):
        with pytest.raises(SpecError, match=name):
            localdfa.Circuit.from_toml(tmp_path / name)
    (tmp_path / "mark.toml").write_text('[[population]]\nname = "a"\nsize = 2\n', encoding="utf-8-sig")
    assert localdfa.Circuit.from_toml(tmp_path / "mark.toml").populations["a"].size == 2


@pytest.mark.parametrize("stop", [40.0, 33.3])
def test_a_saved_circuit_goes_on_to_the_same_bits(tmp_path, stop):
    whole, cut = network(), network()
    whole.run(stop)
    expected = whole.run(60.0, record={"e": ["spikes", "v"], "a": ["spikes"], "source": ["spikes"]}, interval=0.7)
    cut.run(stop)
    cut.save(tmp_path / "cut.npz")
    loaded = localdfa.Circuit.load(tmp_path / "cut.npz")
    assert loaded.time == stop
    found = loaded.run(60.0, record={"e": ["spikes", "v"], "a": ["spikes"], "source": ["spikes"]}, interval=0.7)
    assert found.v("e")[1].tobytes() == expected.v("e")[1].tobytes()
    for name in ("e", "a", "source"):
        for one, other in zip(found.spikes(name), expected.spikes(name), strict=True):
            assert one.tobytes() == other.tobytes()
    assert len(found.spikes("e")[0]) > 10


def test_a_circuit_that_has_not_run_is_saved_as_well(tmp_path):
    net = everything()
    net.save(tmp_path / "new.npz")
    loaded = localdfa.Circuit.load(tmp_path / "new.npz")
    assert same(tables.tables_of(net), tables.tables_of(loaded))
    loaded.population("late", 2)


def small():
    net = localdfa.Circuit(seed=1)
    net.poisson("s", 3, 100.0)
    net.run(20.0)
    return net


def test_files_that_are_damaged_or_of_another_circuit_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    small().save(path)
    assert os.listdir(tmp_path) == ["net.npz"]
    content = arrays.load(path, "circuit")
    described = json.loads(content["description"].tobytes())

    def changed(**changes):
        arrays.save(path, "circuit", content | changes)
        with pytest.raises(RunError, match=r"net\.npz") as raised:
            localdfa.Circuit.load(path)
        return str(raised.value)

    def of(**changes):
        return np.frombuffer(json.dumps(described | changes).encode(), np.uint8)

    assert "layout 7" in changed(description=of(layout=7))
    assert "not drawn again" in changed(description=of(checksum=described["checksum"] + 1))
    assert "sources_time" in changed(sources_time=np.zeros(5))
    assert "on its way" in changed(window=np.array(3))
    assert "on its way" in changed(counts=content["counts"] + 1)
    assert "'a'.size" in changed(description=of(circuit={"population": [{"name": "a", "size": "many"}]}))
    changed(description=np.array(["x"], object).astype("S"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match=r"net\.npz: damaged"):
        localdfa.Circuit.load(path)
    with pytest.raises(RunError, match=r"none\.npz"):
        localdfa.Circuit.load(tmp_path / "none.npz")


@pytest.mark.parametrize("name", spec.circuits())
def test_circuits_that_come_along_can_be_read_and_are_listed(name):
    net = localdfa.Circuit.from_toml(spec.circuits()[name])
    assert sum(p.size for p in net.populations.values()) >= 4000
    listed = CliRunner().invoke(cli.main, ["list", "--circuits"]).output
    assert re.search(rf"^ +{name} ", listed, re.MULTILINE)
    assert name not in spec.bundled()


def test_the_tutorial_has_a_circuit_in_toml():
    text = (Path(__file__).parents[2] / "docs" / "tutorials" / "circuit.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    net = localdfa.Circuit.of_tables(toml.loads(code))
    assert len(net.projections) == len(net.noises) == 1


@pytest.mark.parametrize("name", ["moments", "file"])
def test_membranes_are_kept_of_populations_of_any_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(f'[[population]]\nname = "{name}"\nsize = 2\n[[input]]\npost = "{name}"\ncurrent = 0.5\n')
    done = CliRunner().invoke(cli.main, ["simulate", "mine.toml", "--duration", "5", "--v", name, "--out", "out"])
    assert done.exit_code == 0, done.output
    with np.load("out/v.npz", allow_pickle=False) as kept:
        assert {key: kept[key].shape for key in kept} == {"moments": (5,), f"{name}_v": (5, 2)}


def test_scripts_for_two_programs_lie_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('[[population]]\nname = "a"\nsize = 2\ntau_m = 20.0\nt_ref = 2.0\n')
    for target in ("brian2", "nest"):
        assert CliRunner().invoke(cli.main, ["export", "mine.toml", "--to", target]).exit_code == 0
    scripts = [f"mine_{target}.{ending}" for target in ("brian2", "nest") for ending in ("npz", "py")]
    assert sorted(os.listdir()) == ["mine.toml", *scripts]


def test_the_command_line_simulates_into_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = localdfa.Circuit(seed=3)
    net.poisson("source", 20, 40.0)
    (tmp_path / "poisson.toml").write_text(net.to_toml())
    run = CliRunner().invoke
    done = run(
        cli.main, ["simulate", "poisson.toml", "--duration", "500", "--out", "out", "--seed", "9"], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= 80
    assert re.search(r"^source +20 +\d+ +\d+\.\d +\d\.\d\d$", done.output, re.MULTILINE)
    assert sorted(os.listdir("out")) == ["circuit.toml", "figures", "run.json", "spikes.npz"]
    again = localdfa.Circuit.from_toml("out/circuit.toml")
    assert again.seed == 9
    times, who = again.run(500.0).spikes("source")
    with np.load("out/spikes.npz", allow_pickle=False) as kept:
        assert kept["source_times"].tobytes() == times.tobytes()
        assert (kept["source_neurons"] == who).all()
    assert json.loads(Path("out/run.json").read_text())["versions"]["localdfa"] == localdfa.__version__
    assert Path("out/figures/raster.png").read_bytes()[:4] == b"\x89PNG"
    undrawn = localdfa.Circuit()
    undrawn.population("a", 3, tau_m=5.0)
    undrawn.project("a", "a", weight=1.0, tau_syn=5.0)
    (tmp_path / "undrawn.toml").write_text(undrawn.to_toml())
    large = localdfa.Circuit()
    large.population("a", 100_000)
    (tmp_path / "large.toml").write_text(large.to_toml())
    for arguments, words in (
        (["poisson.toml", "--out", "out"], "out: exists already"),
        (["poisson.toml", "--v", "source"], "record.source: 'v'"),
        (["poisson.toml", "--v", "sauce"], "did you mean 'source'"),
        (["poisson.toml", "--duration", "0"], "duration: 0.0"),
        (["brunle"], "did you mean 'brunel'"),
        (["none.toml"], "none.toml: No such file"),
        (["undrawn.toml"], "tau_syn: 5 ms is tau_m of population 'a'"),
        (["large.toml", "--v", "a", "--duration", "1e7"], "record: v of a each 1 ms needs about"),
    ):
        refused = run(cli.main, ["simulate", *arguments])
        assert refused.exit_code == 1
        assert words in refused.output
    assert sorted(os.listdir(".")) == ["large.toml", "out", "poisson.toml", "undrawn.toml"]
