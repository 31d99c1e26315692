"""How time grows and what a roofline counts; how fast anything is, is not for tests to say."""

import ast
import inspect
import json
import textwrap

import numba
import numpy as np
import pytest
from click.testing import CliRunner

from localdfa.bench import circuits, roofline, scaling
from localdfa.bench import points as points_module
from localdfa.bench.points import Point
from localdfa.cli import main
from localdfa.core.spiking import batch as spikes
from localdfa.core.spiking import dense


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 1.7])
def test_exponents_of_power_laws(power):
    size = np.array([3.0, 10.0, 25.0, 400.0])
    assert scaling.exponent(size, 0.02 * size**power) == pytest.approx(power, abs=1e-12)


def test_exponents_turn_by_turn_and_per_event():
    points = [Point("circuits.Recurrent", {"neurons": n}) for n in (10, 20, 80)]
    powers = np.array([1.0, 2.0, 1.5])
    found = [
        {"seconds": (1e-3 * p.fields["neurons"] ** powers).tolist(), "events": 7 * p.fields["neurons"] ** 2} for p in points
    ]
    result = scaling.summary(scaling.Sweep("neurons", "neurons", "nothing", points), found)
    assert result["exponent"] == pytest.approx({"median": 1.5, "min": 1.0, "max": 2.0})
    assert result["exponent_per_event"] == pytest.approx({"median": -0.5, "min": -1.0, "max": 0.0})
    assert result["points"][0]["nanoseconds_per_event"] == pytest.approx(1e6 * 10**1.5 / 700)


def test_speedup_of_threads_and_a_single_core():
    points = [Point("circuits.Recurrent", {}, threads) for threads in (1, 2)]
    found = [{"seconds": [2.0, 3.0, 4.0], "events": 5}, {"seconds": [1.0, 2.0, 1.0], "events": 5}]
    sweep = scaling.Sweep("threads", "threads", "all", points)
    assert scaling.summary(sweep, found)["speedup"][1] == {"median": 2.0, "min": 1.5, "max": 4.0}
    alone = scaling.summary(scaling.Sweep("threads", "threads", "all", points[:1]), found[:1])
    assert "exponent" not in alone


def test_scaling_from_the_command_line(monkeypatch, tmp_path):
    points = [Point("circuits.Training", {"width": width, "batch": 8, "steps": 2}) for width in (4, 8)]
    monkeypatch.setattr(scaling, "SWEEPS", [scaling.Sweep("tiny layers", "synapses", "batch 8", points)])
    done = CliRunner().invoke(main, ["bench", "scaling", "--turns", "2", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    assert "tiny layers: ^" in done.output
    found = json.loads((tmp_path / "figures.json").read_text())["scaling"][0]
    assert [point["synapses"] for point in found["points"]] == [64 * n + n * n + n * 10 for n in (4, 8)]
    assert all(len(point["seconds"]) == 2 and point["events"] == 8 * point["synapses"] for point in found["points"])


@pytest.fixture
def _in_this_process(monkeypatch):
    """Points are measured here, where their kernels have been compiled already."""

    def measure(points, turns):
        made = points_module.make()
        counts = [made.add(point) for point in points]
        return [{"seconds": [made.turn(p) for _ in range(turns)], **found} for p, found in enumerate(counts)]

    threads = numba.get_num_threads()
    monkeypatch.setattr(points_module, "measure", measure)
    yield
    numba.set_num_threads(threads)


@pytest.mark.usefixtures("_in_this_process")
def test_the_roofline_from_the_command_line(monkeypatch, tmp_path):
    monkeypatch.setattr(roofline, "MACHINE", (24,))
    monkeypatch.setattr(roofline, "_BYTES", 1e6)
    layers = [roofline.Layer("tiny", 8, plastic, 1.1, arrivals=100) for plastic in (False, True)]
    monkeypatch.setattr(roofline, "LAYERS", layers)
    done = CliRunner().invoke(main, ["bench", "roofline", "--turns", "2", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    assert "8, tiny" in done.output
    found = json.loads((tmp_path / "figures.json").read_text())["roofline"]
    assert found["gigaflops"] > 0
    assert [layer["learned"] > 0 for layer in found["layers"]] == [False, True]


def test_the_least_of_three_limits_is_the_roof():
    layer = roofline.Layer("learning", 10, True, 1.1)
    run = {"seconds": [2.0, 4.0], "events": 100, "learned": 50, "spikes": 1, "rate": 1.0, "synapses": 100}
    found = roofline.summary(layer, [725.0, 725.0], [1525.0, 1525.0], [400.0, 800.0], run)
    # 725 operations, 1525 bytes of which 800 are weights and sums
    assert found["limits"] == {"arithmetic": [1.0, 1.0], "rows": [1.0, 1.0], "weights": [2.0, 1.0]}
    assert found["limit"] == "weights"
    assert found["reached"] == {"median": 0.625, "min": 0.25, "max": 1.0}


def test_synaptic_events_of_a_recurrent_network_are_those_of_its_recorded_spikes():
    point = circuits.Recurrent(30, 5, trials=2)
    point.turn()
    pre, _ = point.network.projections[-1].ends_of_synapses
    fan_out = np.bincount(pre, minlength=30)
    sent = np.concatenate([spikes.record(point.network, point.setting, x).spikes[0]["neuron"] for x in point.inputs])
    assert len(sent) > 50
    assert point.counts()["events"] == fan_out[sent].sum()
    assert point.counts()["spikes"] == len(sent)


@pytest.mark.parametrize("nudged", [0.0, 60.0])
def test_synaptic_events_of_a_driven_layer_are_those_of_its_recorded_arrivals(nudged):
    point = circuits.Driven(12, 400.0, nudged, trials=2)
    point.turn()
    targets = [None, None] if point.target is None else point.target
    trials = [spikes.record(point.network, point.setting, point.inputs[s], targets[s]) for s in range(2)]
    fan_out = np.count_nonzero(point.network.W(0), axis=0)
    end, delay = (2 * (400.0 + nudged) if nudged else 400.0), point.setting.network.delay
    events = learned = 0
    for trial in trials:
        time, fans = trial.incoming["time"] + delay, fan_out[trial.incoming["neuron"]]
        events += fans[time < end].sum()
        learned += fans[(time < end) & (time % (400.0 + nudged) >= 400.0)].sum()
    counts = point.counts()
    assert (counts["events"], counts["learned"]) == (events, learned)
    assert counts["spikes"] == sum(len(trial.spikes[0]) for trial in trials) > 50


def loops_over_neurons(function):
    """The innermost loops of a kernel, and those of the kernels that are defined in it."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.For) and not any(isinstance(inner, ast.For) for part in node.body for inner in ast.walk(part)):
            yield node


def tally(loop):
    """Operations on numbers, and entries read and written by array, that stand in a loop; not those of indices."""
    kinds, entries = [], set()
    pending = list(loop.body)
    while pending:
        node = pending.pop()
        kinds.append(type(node))
        if isinstance(node, ast.Subscript):
            entries.add((node.value.id, isinstance(node.ctx, ast.Store)))
            continue
        if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
            kinds.append(ast.BinOp)
            entries.add((node.target.value.id, False))
        pending.extend(ast.iter_child_nodes(node))
    return kinds.count(ast.BinOp) + kinds.count(ast.Compare), entries


def calls(function, name):
    """The calls of a function by its name."""
    nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
    return [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == name]


def test_a_synaptic_event_costs_what_stands_in_the_loops():
    leap, over, read = dense.advance_group, dense.relax_and_jump, dense.accumulate_on_arrival
    forward, entries = tally(next(loops_over_neurons(leap)))
    assert entries == {("v", False), ("threshold", False), ("jumps", False), ("later", True), ("crossed", True)}
    events, each = len(calls(leap, "relax_and_jump")), tally(ast.parse(inspect.getsource(over)))[0] + len(calls(over, "max"))
    own = 3 * 4 + 1  # of a neuron once in so many events: v twice, the threshold and a byte
    assert roofline.Cost(forward / events + each, own / events + 4, 4) == roofline.FORWARD
    learns, entries = tally(next(loops_over_neurons(read)))
    assert entries == {("accumulator", False), ("z", False), ("sums", False), ("sums", True)}
    assert roofline.Cost(learns, 4 * len(entries), 8) == roofline.LEARN
