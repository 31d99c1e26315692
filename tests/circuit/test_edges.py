"""Edges of windows that are rounded, and what a circuit is given in ways that are right but unusual, or wrong."""

import numpy as np
import pytest

import localdfa
from localdfa.circuit.result import Result
from localdfa.errors import LocalDFAError, SpecError


def ticking(delay, times=()):
    net = localdfa.Circuit(seed=1, precision="float64")
    net.population("a", 3, tau_m=20.0, v_th=10.0)
    net.current("a", 5.0)
    net.project("a", "a", weight=0.1, delay=delay)
    net.trains("s", 1, times, [0] * len(times))
    return net


@pytest.mark.parametrize(("delay", "cut"), [(0.55, 55.0), (1.1, 99.0), (0.7, 63.0), (1.0, 50.0)])
def test_a_run_that_is_cut_at_a_rounded_edge_keeps_what_one_run_keeps(delay, cut):
    """k · delay is a bit above the cut, or a bit below it, or the cut itself."""
    record, times = {"a": ["v"], "s": ["spikes"]}, [cut - 1.0, cut, cut + 1.0]
    whole = ticking(delay, times).run(cut + 20, record)
    net = ticking(delay, times)
    parts = net.run(cut, record), net.run(20.0, record)
    np.testing.assert_array_equal(np.concatenate([part.v("a")[0] for part in parts]), whole.v("a")[0])
    np.testing.assert_array_equal(np.concatenate([part.v("a")[1] for part in parts]), whole.v("a")[1])
    assert [*parts[0].spikes("s")[0], *parts[1].spikes("s")[0]] == whole.spikes("s")[0].tolist() == times
    tau, moments = 20.0, whole.v("a")[0]
    np.testing.assert_allclose(whole.v("a")[1][:, 0], 5.0 * (1 - np.exp(-moments / tau)), rtol=1e-12)


@pytest.mark.parametrize(("delay", "cut"), [(0.7, 63.0), (0.55, 55.0)])
def test_a_file_that_ends_at_a_rounded_edge_is_complete_and_goes_on(delay, cut, tmp_path):
    pytest.importorskip("h5py")
    net, path = ticking(delay), tmp_path / "v.h5"
    first = net.run(cut, {"a": ["v"]}, to=path)
    assert first.complete
    assert first.end == cut
    net.run(20.0, {"a": ["v"]}, to=path)
    whole = ticking(delay).run(cut + 20, {"a": ["v"]})
    np.testing.assert_array_equal(Result.open(path).v("a")[1], whole.v("a")[1])


def test_a_population_with_fewer_synapses_than_neurons_reads_nothing_that_nobody_wrote(monkeypatch, tmp_path):
    """Memory that nobody wrote is full of NaN here."""

    def net():
        found = localdfa.Circuit(seed=1, precision="float64")
        found.population("exc", 10)
        found.population("other", 50)
        found.current("other", 1.5)
        found.project("exc", "exc", probability=0.05, weight=0.1)
        return found

    def full(*args, **rest):
        array = empty(*args, **rest)
        if array.dtype.kind == "f":
            array.fill(np.nan)
        return array

    net().run(1.0)  # with all kernels compiled, which read np.empty as well
    empty = np.empty
    monkeypatch.setattr(np, "empty", full)
    one = net()
    result = one.run(50.0, {"other": ["spikes", "v"]})
    assert np.isfinite(result.v("other")[1]).all()
    assert np.unique(result.rates("other")).tolist() == [80.0]
    one.save(tmp_path / "net.npz")
    assert localdfa.Circuit.load(tmp_path / "net.npz").run(10.0).count("other") == one.run(10.0).count("other")


def test_a_seed_is_kept_whatever_its_size(tmp_path):
    for seed in (2**53 + 1, 2**63 - 1):
        net = localdfa.Circuit(seed=seed)
        net.population("a", 2)
        net.run(1.0)
        net.save(tmp_path / "net.npz")
        assert net.seed == localdfa.Circuit.load(tmp_path / "net.npz").seed == seed
        assert f"seed = {seed}\n" in net.to_toml()


def test_numpy_numbers_are_numbers(tmp_path):
    net = localdfa.Circuit(seed=np.int64(1))
    cells = net.population("a", np.int64(3), tau_m=np.int64(10), t_ref=np.float32(2), v_th=np.array(1.0))
    net.run(1.0)
    net.save(tmp_path / "net.npz")
    plain = localdfa.Circuit(seed=1)
    plain.population("a", 3, tau_m=10.0, t_ref=2.0, v_th=1.0)
    assert net.to_toml() == plain.to_toml()
    assert type(cells.size) is int


def test_no_pairs_are_no_synapses_also_from_a_file(tmp_path):
    for way in ({"pairs": ([], []), "weight": 1.0}, {"matrix": np.zeros((3, 3))}):
        net = localdfa.Circuit(seed=1)
        net.population("a", 3)
        net.project("a", "a", **way)
        (tmp_path / "net.toml").write_text(net.to_toml(), encoding="utf-8")
        assert localdfa.Circuit.from_toml(tmp_path / "net.toml").to_toml() == net.to_toml()


def test_populations_stand_for_their_names():
    net = localdfa.Circuit(seed=1)
    cells, out = net.population("cells", 3, tau_m=[9.0, 10.0, 11.0]), net.population("out", 2)
    source = net.poisson("in", 2, 50.0)
    net.project(source, cells, weight=0.1, plastic=True)
    net.project(cells, out, weight=0.1, plastic=True)
    assert cells != out
    assert len({cells, out, source}) == 3
    named = net.learner("in", "out", {"cells": np.ones((3, 2)), "out": 1.0})
    assert repr(net.learner(source, out, {cells: np.ones((3, 2)), out: 1.0})) == repr(named)
    for twice in (
        lambda: net.learner(source, out, {cells: np.ones((3, 2)), "cells": np.ones((3, 2)), out: 1.0}),
        lambda: net.run(1.0, {cells: ["v"], "cells": ["v"]}),
    ):
        with pytest.raises(SpecError, match=r"\.cells: is given twice"):
            twice()
    stranger = localdfa.Circuit().population("cells", 3)
    with pytest.raises(SpecError, match="feedback: 'cells' is a population of another circuit"):
        net.learner(source, out, {stranger: np.ones((3, 2)), out: 1.0})
    with pytest.raises(SpecError, match=r"projections: .*; allowed: a list of plastic ones"):
        net.learner(source, out, {cells: np.ones((3, 2))}, projections=[(source, stranger)])
    result = net.run(20.0, {cells: ["spikes", "v"]})
    np.testing.assert_array_equal(result.rates(cells), result.rates("cells"))
    np.testing.assert_array_equal(result.v(cells)[1], result.v("cells")[1])


RAGGED = [[1.0, 2.0], [3.0]]


def net():
    found = localdfa.Circuit(seed=1)
    found.population("a", 3)
    found.population("b", 2)
    return found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: net().population("c", 2, tau_m=RAGGED), r"'c'.tau_m: .*in rows of several lengths; allowed: .*shape \(2,\)"),
        (lambda: net().population("c", 2, v_th=RAGGED), r"'c'.v_th: .*several lengths"),
        (lambda: net().population("c", 2, start=RAGGED), r"'c'.start: .*several lengths"),
        (lambda: net().trains("c", 2, RAGGED, [0]), r"'c'.times: .*several lengths"),
        (lambda: net().trains("c", 2, [1.0], RAGGED), r"'c'.neurons: .*several lengths"),
        (lambda: net().poisson("c", 2, RAGGED), r"'c'.rate: .*several lengths"),
        (lambda: net().current("a", RAGGED), r"'a': .*several lengths"),
        (lambda: net().noise("a", RAGGED, 0.1), r"'a'.rate: .*several lengths"),
        (lambda: net().project("a", "b", weight=RAGGED), r"weight: .*several lengths"),
        (lambda: net().project("a", "b", weight=0.1, delay=RAGGED), r"delay: .*several lengths"),
        (lambda: net().project("a", "b", pairs=(RAGGED, [0]), weight=0.1), r"pairs, pre: .*several lengths"),
        (lambda: net().project("a", "b", matrix=RAGGED), r"matrix: .*several lengths"),
        (lambda: localdfa.Circuit(precision=np.ones(2)), r"precision: .*float32, float64"),
        (lambda: net().population("c", 2, np.ones(2)), r"'c'.model: array.*lif"),
        (lambda: net().project("a", "b", weight=0.1, sign=np.ones(2)), r"sign: array.*excitatory"),
        (lambda: net().project("a", "b", np.ones((3, 2)), weight=0.1), r"connect: array(?s:.*)dense"),
        (lambda: net().project("a", "b", "", weight=0.1), r"connect: ''.*dense"),
        (lambda: net().project("a", "b", False, weight=0.1), r"connect: False.*dense"),
        (lambda: net().project(localdfa.Circuit().population("a", 77), "b", weight=0.1), "pre: 'a' is a population of another"),
        (lambda: net().run(5.0, {"a": [np.ones(2)]}), r"record.a: array.*spikes"),
        (lambda: net().run(5.0).plot(np.ones(2)), r"kind: array.*raster"),
        (lambda: net().run(5.0).spikes(["a"]), r"spikes of \['a'\] was not recorded"),
        (lambda: net().run(5.0).between("1", 2.0), r"begin: '1'; allowed: numbers"),
        (lambda: net().run(5.0, to=""), "to: ''; allowed: the path of a file"),
        (lambda: net().run(5.0, to=5), "to: 5; allowed: the path of a file"),
        (lambda: net().run(5.0, progress=5), "progress: 5; allowed: a function"),
        (lambda: net().save("/"), "path: '/'; allowed: the path of a file"),
        (lambda: localdfa.Circuit.load(None), "path: None; allowed: the path of a file"),
        (lambda: localdfa.Circuit.from_toml(5), "path: 5; allowed: the path of a file"),
        (lambda: Result.open(5), "path: 5; allowed: the path of a file"),
        (lambda: localdfa.Circuit.of_tables({"population": [{"name": "a", "size": 2, "self": 1}]}), "self: is no parameter"),
    ],
)
def test_what_is_no_array_or_no_name_is_refused_by_its_key(given, message):
    with pytest.raises((SpecError, LocalDFAError), match=message):
        given()


def test_a_start_above_the_threshold_of_its_own_neuron_is_refused():
    for v_th, start in (([10.0, 20.0], [15.0, 15.0]), ({"distribution": "uniform", "low": 5.0, "high": 10.0}, 900.0)):
        net = localdfa.Circuit(seed=1)
        net.population("a", 2, v_th=v_th, start=start)
        with pytest.raises(SpecError, match=r"'a'.start: (15|900).0; the threshold of neuron 0 is .*; allowed: up to it"):
            net.run(1.0)


def test_feedback_that_only_others_hear_is_refused_where_neurons_are_nudged():
    net = localdfa.Circuit(seed=1)
    for name in ("h", "x", "out"):
        net.population(name, 2)
    net.poisson("s", 2, 50.0)
    net.project("s", "h", weight=0.3, plastic=True)
    net.project("h", "out", weight=0.3)
    b = np.ones((2, 2))
    with pytest.raises(SpecError, match=r"'s' to 'h'\.plastic: no feedback reaches 'h', nor what leads to it"):
        net.learner("s", "out", {"x": b}, propagation="live")
    with pytest.raises(SpecError, match=r"feedback\.x: is heard by no population to which a plastic projection leads"):
        net.learner("s", "out", {"x": b, "h": b}, propagation="live")
    net.project("x", "h", weight=0.1)
    net.learner("s", "out", {"x": b}, propagation="live")
