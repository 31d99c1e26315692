"""The benchmark's machinery; how fast anything is, is not for tests to say."""

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from localdfa import registry
from localdfa.bench import compare, memory, one_trial, pathways, spiking, startup, training, trials, worker, workloads
from localdfa.cli import main
from localdfa.errors import LocalDFAError

TINY = ((64, 20, 16, 10), "digits")


@pytest.mark.parametrize(("rule", "tolerance"), [("dfa", 2e-4), ("local", 1e-3)])
@pytest.mark.parametrize("peer", ["pytorch", "numpy"])
def test_both_sides_train_the_same_weights(peer, rule, tolerance):
    """Twenty steps of our engine and of a plain loop in PyTorch or NumPy, which shares no code with it."""
    if peer == "pytorch":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    workload = workloads.Workload("tiny", *TINY, rule, batch=32, steps=2, check=20, learning_rate=1e-3, samples=1024)
    result = compare.alternate(workload, [peer], turns=3)
    assert result["weight_difference"][peer] < tolerance
    assert len(result["seconds"]["ours"]) == len(result["seconds"][peer]) == 3
    assert result["ratio"][peer]["min"] <= result["ratio"][peer]["median"] <= result["ratio"][peer]["max"]


def test_sides_that_differ_are_not_compared(monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    monkeypatch.setattr(compare, "TOLERANCE", 0.0)
    workload = workloads.Workload("tiny", *TINY, "local", batch=32, steps=1, check=3, samples=256)
    with pytest.raises(LocalDFAError, match="ours and pytorch differ by"):
        compare.alternate(workload, ["pytorch"], turns=1)


def test_where_small_errors_send_no_events_test_errors_are_compared(monkeypatch):
    tiny = workloads.Workload(
        "tiny", *TINY, "local", batch=32, steps=2, check=0, learning_rate=5e-3, samples=1024, notice=0.02, epochs=20
    )
    found = compare.alternate(tiny, ["numpy"], turns=1)
    assert found["test_error"].keys() == {"ours", "numpy"}
    assert max(found["test_error"].values()) < 20
    monkeypatch.setattr(compare, "ERROR", -1.0)
    with pytest.raises(LocalDFAError, match=r"tiny: test errors of .* % by ours and .* % by numpy after 20 epochs"):
        compare.alternate(tiny, ["numpy"], turns=1)


def test_a_workload_that_fails_leaves_those_before_it(monkeypatch, tmp_path):
    def alternate(workload, peers, turns):
        if workload.name == "second":
            raise LocalDFAError("second: the sides differ")
        return {"samples_per_second": {"ours": 4321.0}, "ratio": {}}

    named = [workloads.Workload(name, *TINY, "local", batch=32, steps=2, check=1, samples=256) for name in ("first", "second")]
    monkeypatch.setattr("localdfa.bench.show._installed", lambda against, console: [])
    monkeypatch.setattr(workloads, "RATE", named)
    monkeypatch.setattr(compare, "alternate", alternate)
    done = CliRunner().invoke(main, ["bench", "rate", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 1
    assert "second: the sides differ" in done.output
    assert "4,321" in done.output
    assert len(json.loads((tmp_path / "figures.json").read_text())["rate"]) == 1


def test_threads_are_as_many_as_there_are_cores(monkeypatch):
    for there, expected in ((1, [1]), (2, [1, 2]), (64, [1, 2])):
        monkeypatch.setattr("localdfa.bench.worker.get_num_threads", lambda there=there: there)
        assert worker.at_once((1, 2)) == expected


def test_weights_that_are_not_numbers_are_not_the_same(monkeypatch):
    class Side:
        def __init__(self, weight):
            self.weight = weight

        def call(self, *given):
            """Steps, which are none."""

    monkeypatch.setattr(compare, "weights_of", lambda side, folder: [np.ones(2), np.full(2, side.weight)])
    tiny = workloads.Workload("tiny", *TINY, "local", batch=32, steps=2, check=1, samples=256)
    with pytest.raises(LocalDFAError, match="tiny: ours and pytorch differ by nan"):
        compare._same_weights({"ours": Side(1.0), "pytorch": Side(np.nan)}, tiny)
    with pytest.raises(LocalDFAError, match="no neuron of hidden layer 1 of ours has a spike"):
        spiking._require_same(SPIKING, "nest", [[np.inf, np.inf]], [[1.0, 1.0]])


def test_a_peer_that_is_not_installed_is_left_out_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr("localdfa.bench.show.find_spec", lambda name: None)
    tiny = workloads.Workload("tiny", *TINY, "local", batch=32, steps=2, check=1, samples=256)
    monkeypatch.setattr(workloads, "RATE", [tiny])
    monkeypatch.setattr(workloads, "EVENTS", [])
    done = CliRunner().invoke(main, ["bench", "rate", "--turns", "1", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    assert "pytorch is not installed and is left out" in done.output
    assert "numpy is not installed" in done.output
    assert json.loads((tmp_path / "figures.json").read_text())["rate"][0]["ratio"] == {}


def test_the_pytorch_path_beside_itself(monkeypatch, tmp_path):
    """The local rule and exact DFA, and several networks at once and one after the other, train the same weights."""
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'localdfa[torch]'")
    tiny = workloads.Workload(
        "tiny", *TINY, "local", batch=32, steps=2, check=5, samples=256, nudging="one_sided", beta=0.001, members=3
    )
    monkeypatch.setattr(workloads, "PYTORCH_RULES", [replace(tiny, members=1)])
    monkeypatch.setattr(workloads, "PYTORCH_MANY", tiny)
    from localdfa.bench import modules

    dense, *_ = modules.MODULES
    monkeypatch.setattr(modules, "MODULES", {dense: modules.MODULES[dense]})
    done = CliRunner().invoke(main, ["bench", "torch", "--turns", "1", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["rules"][0]["weight_difference"]["local"] < 1e-3
    assert found["many"][0]["weight_difference"]["one after the other"] < 1e-4
    assert found["modules"][0]["ratio"].keys() == {"plain", "bp", "shallow", "dfa", "local"}


def test_every_pathway_and_kind_of_feedback_is_timed_beside_its_base(monkeypatch, tmp_path):
    tiny = workloads.Workload("tiny", *TINY, "dfa", batch=32, steps=2, check=0, samples=256)
    monkeypatch.setattr(pathways, "WORK", tiny)
    done = CliRunner().invoke(main, ["bench", "feedback", "--turns", "2", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    rows = json.loads((tmp_path / "figures.json").read_text())["feedback"]
    first = {row["beside"]: row for row in reversed(rows)}
    assert {(row["rule"], row["pathway"], row["ratio"]) for row in first.values()} == {
        ("dfa", "direct", 1.0), ("fa", "sequential", 1.0)
    }  # fmt: skip
    # Those that are not derived from either: the weights themselves, and what skips layers.
    assert set(registry.inside("feedback")) - {row["pathway"] for row in rows} == {"transpose", "indirect"}
    assert {row["kind"] for row in rows} == {
        "", "density = 0.1", "signs = sender", "rank = 5", "shared = True", "normalisation = strict"
    }  # fmt: skip
    assert "augmented" in {row["rule"] for row in rows}
    assert all(row["milliseconds"] > 0 and row["least"] <= row["ratio"] <= row["most"] for row in rows)


SPIKING = trials.Trials("tiny", [12], "current", plastic=False, trials=2, data="digits")


@pytest.mark.slow
def test_spiking_trials_beside_brian2(monkeypatch):
    """The same spikes from our engine and from a C++ program of Brian2's; sides that differ are not compared."""
    pytest.importorskip("brian2", reason="Brian2 is not installed: pip install 'localdfa[brian2]'")
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler: g++")
    result = spiking.alternate(SPIKING, 1, ["brian2"], turns=1)
    assert result["spikes"]["brian2"] == pytest.approx(result["spikes"]["ours"], rel=spiking.RATE)
    assert result["milliseconds"].keys() == result["built"].keys() == {"ours", "brian2"}
    monkeypatch.setattr(spiking, "STEPS", 0)
    with pytest.raises(LocalDFAError, match=r"tiny: .* of the first spikes of hidden layer 1 by brian2 come within 0 steps"):
        spiking.alternate(SPIKING, 1, ["brian2"], turns=1)


class Side:
    """A side of spiking trials that answers at once: eight first spikes, of which those of a peer come `late` ms later."""

    late, ratio = np.zeros(8), 1.0

    def __init__(self, module, *given):
        self.ours = module == "ours_spiking"

    def call(self, name, *given):
        late = np.zeros(8) if self.ours else self.late
        return {"first": [(np.arange(8.0) + late).tolist()], "spikes": 100.0 if self.ours else 100 * self.ratio}.get(name, 1.0)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass


@pytest.mark.parametrize(("late", "ratio", "fails"), [
    ([0.19] * 6 + [9.0] * 2, 1.019, None),
    ([0.19] * 5 + [9.0] * 3, 1.0, r"tiny: 62% of the first spikes of hidden layer 1 by brian2 come within 2 steps of ours"),
    ([-0.21] * 8, 1.0, "tiny: 0% of the first spikes"),
    ([np.inf] * 3 + [0.0] * 5, 1.0, "tiny: 62% of the first spikes"),
    ([0.0] * 8, 0.979, "tiny: 100 spikes a trial by ours, 98 by brian2"),
])  # fmt: skip
def test_spiking_sides_that_differ_are_not_compared(monkeypatch, late, ratio, fails):
    monkeypatch.setattr(spiking, "Worker", Side)
    monkeypatch.setattr(Side, "late", np.array(late))
    monkeypatch.setattr(Side, "ratio", ratio)
    if fails is None:
        assert spiking.alternate(SPIKING, 1, ["brian2"], turns=1)["ratio"]["brian2"]["median"] == 1
        return
    with pytest.raises(LocalDFAError, match=fails):
        spiking.alternate(SPIKING, 1, ["brian2"], turns=1)


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "package"), [("nest", "nest"), ("annarchy", "ANNarchy")])
def test_a_recurrent_network_beside_other_simulators(peer, package):
    """80 excitatory and 20 inhibitory neurons: the same spikes from our engine and from one that is given the synapses."""
    # Without an import here, which after the compilation of a kernel can crash.
    if not find_spec(package):
        pytest.skip(f"{peer} is not installed: pip install 'localdfa[{peer}]'")
    if peer == "annarchy" and not all(map(shutil.which, ("g++", "cmake", "make"))):
        pytest.skip("no g++, cmake or make")
    tiny = trials.Trials("tiny", [80, 20], "current", plastic=False, trials=2, probability=0.8)
    result = spiking.alternate(tiny, 1, [peer], turns=2)
    assert result["spikes"]["ours"] > 100
    assert result["spikes"][peer] == pytest.approx(result["spikes"]["ours"], rel=spiking.CHAOTIC_RATE)
    assert result["milliseconds"].keys() == result["built"].keys() == {"ours", peer}


def test_a_row_that_a_peer_cannot_run_has_dashes(monkeypatch):
    """NEST is asked for the static recurrent network alone, as ANNarchy is, Brian2 for all."""
    recurrent = replace(SPIKING, name="loop", hidden=[8, 2], probability=0.5)
    monkeypatch.setattr("localdfa.bench.show._installed", lambda against, console: list(against))
    monkeypatch.setattr(trials, "SPIKING", [SPIKING, recurrent, replace(recurrent, plastic=True)])
    asked = []

    def alternate(work, threads, peers, turns):
        asked.append((work.name, work.plastic, peers))
        spread = {"median": 3.5, "min": 3.25, "max": 3.75}
        found = {"milliseconds": dict.fromkeys(["ours", *peers], 7.5), "built": dict.fromkeys(peers, 2.0)}
        return {**found, "ratio": dict.fromkeys(peers, spread)}

    monkeypatch.setattr(spiking, "alternate", alternate)
    against = ["--against", "brian2", "--against", "nest"]
    done = CliRunner().invoke(main, ["bench", "spiking", *against], env={"COLUMNS": "150"})
    assert done.exit_code == 0, done.output
    both = ["brian2", "nest"]
    assert asked[::2] == [("tiny", False, both[:1]), ("loop", False, both), ("loop", True, both[:1])]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines() if line.startswith("│ ")]
    by_peer = {row[0]: (row[3:6], row[6:9]) for row in rows if row[0]}
    ran = ["7.5", "3.50", "2.0"]
    assert by_peer == {"tiny, f": (ran, ["–"] * 3), "loop, f": (ran, ran), "loop, n": (ran, ["–"] * 3)}


@pytest.mark.slow
def test_spiking_trials_without_the_peer(monkeypatch, tmp_path):
    monkeypatch.setattr("localdfa.bench.show.find_spec", lambda name: None)
    monkeypatch.setattr(trials, "SPIKING", [SPIKING])
    done = CliRunner().invoke(main, ["bench", "spiking", "--turns", "1", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    assert "brian2 is not installed and is left out" in done.output
    assert "nest is not installed and is left out" in done.output
    found = json.loads((tmp_path / "figures.json").read_text())["spiking"]
    assert [run["threads"] for run in found] == [1, 2]
    assert all(run["ratio"] == {} and run["milliseconds"]["ours"] > 0 for run in found)


def test_without_a_compiler_brian2_is_left_out_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr("localdfa.bench.show.find_spec", lambda name: True)
    monkeypatch.setattr("localdfa.bench.show.shutil.which", lambda name: None)
    monkeypatch.setattr(trials, "SPIKING", [])
    done = CliRunner().invoke(main, ["bench", "spiking"])
    assert done.exit_code == 0, done.output
    assert "brian2 needs a C++ compiler" in done.output
    assert "annarchy needs a C++ compiler" in done.output


def test_without_cmake_annarchy_is_left_out_by_name(monkeypatch):
    monkeypatch.setattr("localdfa.bench.show.find_spec", lambda name: True)
    monkeypatch.setattr("localdfa.bench.show.shutil.which", lambda name: None if name == "cmake" else name)
    monkeypatch.setattr(trials, "SPIKING", [])
    done = CliRunner().invoke(main, ["bench", "spiking"])
    assert done.exit_code == 0, done.output
    assert "annarchy needs cmake, not to be found, and is left out" in done.output


def test_only_the_peers_that_are_named_run(monkeypatch, tmp_path):
    tiny = workloads.Workload("tiny", *TINY, "dfa", batch=32, steps=2, check=3, samples=256)
    monkeypatch.setattr(workloads, "RATE", [tiny])
    monkeypatch.setattr(workloads, "EVENTS", [])
    done = CliRunner().invoke(
        main, ["bench", "rate", "--against", "numpy", "--turns", "1", "--json", str(tmp_path / "figures.json")]
    )
    assert done.exit_code == 0, done.output
    assert set(json.loads((tmp_path / "figures.json").read_text())["rate"][0]["ratio"]) == {"numpy"}


def test_a_peer_of_another_workload_is_refused():
    done = CliRunner().invoke(main, ["bench", "rate", "--against", "brian2"])
    assert done.exit_code == 1
    assert "bench rate: --against brian2; allowed: pytorch" in done.output


@pytest.mark.slow
def test_a_start_is_timed_to_the_first_epoch_and_leaves_its_kernels(tmp_path, monkeypatch):
    assert startup.first_epoch("quickstart", tmp_path / "kernels") > 0.5
    assert list((tmp_path / "kernels").glob("*/*.kernel"))
    monkeypatch.setattr(startup.sys, "executable", shutil.which("true"))
    with pytest.raises(LocalDFAError, match="ended before its first epoch"):
        startup.first_epoch("quickstart", tmp_path / "kernels")


def test_bytes_a_synapse_are_the_slope_of_the_peaks(monkeypatch):
    per_synapse = {("tanh", False): 4, ("tanh", True): 8, ("lif", False): 9, ("lif", True): 30}
    peak = lambda neuron, plastic, width: [width**2, 3e8 + per_synapse[neuron, plastic] * width**2]  # noqa: E731
    monkeypatch.setattr(memory, "_peak", peak)
    for case in memory.measure():
        assert case["above_weight"] == pytest.approx(per_synapse[case["neuron"], case["plastic"]] - 4, abs=1e-6)


def test_the_peak_is_that_of_a_process_that_holds_the_network():
    synapses, peak = memory._peak("tanh", True, 50)
    assert synapses == 11 * 50 + 51 * 50 + 51 * 10
    assert peak > 10e6


TRAINING = training.Training("tiny", (64, 20, 10), "digits", batch=16, steps=1, check=10, samples=256)


def test_snntorch_fires_by_the_closed_form_on_its_clock_and_learns():
    """Under a constant current I a neuron fires each ⌈τ_m ln(I/(I − 1))⌉ ms; and the peer that is timed is one that learns."""
    pytest.importorskip("snntorch", reason="snnTorch is not installed: pip install 'localdfa[snntorch]'")
    from localdfa.bench import snntorch_training

    side, rng = snntorch_training.make(replace(TRAINING, duration=50.0)), np.random.default_rng(0)
    weights = [rng.normal(0, 0.3, (65, 20)).astype(np.float32), np.zeros((21, 10), np.float32)]
    side.take(weights)
    x, targets = workloads.samples(TRAINING)
    drive = 1.5 + x @ weights[0][:-1] + weights[0][-1]
    above = np.maximum(drive, 1 + 1e-6, dtype=np.float64)
    counts = np.where(drive > 1, 400 // np.ceil(10 * np.log(above / (above - 1))), 0)
    assert (side.rates(256) == 2.5 * counts).mean() > 0.999  # rounding may delay a spike by a step
    for step in range(64):
        side.step(np.arange(16) + step % 16 * 16)
    found = sum(read for _, read in side._trial(side._inputs, 50)).argmax(1).numpy()
    assert (found != targets.argmax(1)).mean() < 0.4  # by chance 0.9


@pytest.mark.slow
def test_training_beside_snntorch(monkeypatch, tmp_path):
    """Both sides fire alike under the weights that ours has learned; every duration has its figures."""
    pytest.importorskip("snntorch", reason="snnTorch is not installed: pip install 'localdfa[snntorch]'")
    monkeypatch.setattr(training, "TRAINING", [TRAINING])
    monkeypatch.setattr(training, "THREADS", (1,))
    monkeypatch.setattr(training, "SHORTER", (25.0,))
    done = CliRunner().invoke(main, ["bench", "training", "--turns", "2", "--json", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    [found] = json.loads((tmp_path / "figures.json").read_text())["training"]
    assert set(found["ratio"]) == {"snntorch, 1200 ms", "snntorch, 25 ms"}
    assert found["rates"]["snntorch, 25 ms"] == pytest.approx(found["rates"]["ours"], rel=training.MEAN)
    assert all(len(taken) == 2 for taken in found["seconds_a_sample"].values())


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda rates: 1.03 * rates, "3.0% in the mean and by 3.0%"), (lambda rates: rates[:, ::-1], "by 0.0% in the mean")],
)
def test_sides_that_fire_otherwise_are_not_compared(change, said):
    """Neither neurons that are faster by a little, nor the right rates at the wrong neurons."""
    rates = np.linspace(0, 200, 20) * np.ones((4, 1))
    training._require_alike(TRAINING, "peer", rates, 1.01 * rates)
    with pytest.raises(LocalDFAError, match="tiny: rates of the hidden layer by peer differ from ours by") as refused:
        training._require_alike(TRAINING, "peer", rates, change(rates))
    assert said in str(refused.value)


def test_without_snntorch_it_is_left_out_by_name(monkeypatch):
    monkeypatch.setattr("localdfa.bench.show.find_spec", lambda name: None)
    monkeypatch.setattr(training, "TRAINING", [])
    done = CliRunner().invoke(main, ["bench", "training"])
    assert done.exit_code == 0, done.output
    assert "snntorch is not installed and is left out: pip install 'localdfa[snntorch]'" in done.output


def joined(pre, post, **how):
    return {"pre": pre, "post": post, "delay": 1.5, **how}


# Numbers of synapses a neuron from excitation, a probability from inhibition; NEST has no model of jumps and currents in one.
CELL = {"tau_m": 20.0, "v_th": 20.0, "v_reset": 10.0, "t_ref": 2.0}
CURRENTS = {
    "seed": 2, "population": [{"name": "exc", "size": 320, **CELL}, {"name": "inh", "size": 80, **CELL}],
    "projection": [
        joined(pre, post, **how)
        for pre, how in (
            ("exc", {"in_degree": 32, "weight": 0.4, "tau_syn": 5.0}),
            ("inh", {"probability": 0.1, "weight": -2.0, "tau_syn": 10.0}),
        )
        for post in ("exc", "inh")
    ],
    "input": [{"post": post, "rate": 2000.0, "weight": 3.2, "tau_syn": 5.0} for post in ("exc", "inh")],
}  # fmt: skip
BOTH = {
    **CURRENTS,
    "projection": [*CURRENTS["projection"][2:], *(joined("exc", to, in_degree=32, weight=0.1) for to in ("exc", "inh"))],
    "input": [{"post": post, "rate": 2000.0, "weight": 0.8} for post in ("exc", "inh")],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("peer", "package", "network"), [("nest", "nest", CURRENTS), ("brian2", "brian2", BOTH), ("annarchy", "ANNarchy", BOTH)]
)
def test_a_trial_that_threads_share_beside_a_peer(monkeypatch, peer, package, network):
    """Each side draws the network itself: as many synapses and, on the second thread as well, the same mean rate."""
    if not find_spec(package):
        pytest.skip(f"{peer} is not installed: pip install 'localdfa[{peer}]'")
    if peer != "nest" and not all(map(shutil.which, ("g++", "cmake", "make"))):
        pytest.skip("no g++, cmake or make")
    threads = [1, 2] if peer == "nest" else [1]
    monkeypatch.setattr(one_trial, "tables_of", lambda name: network)
    found = one_trial.alternate("tiny", 500.0, threads, [peer], turns=2)
    assert found["left_out"] == {}
    assert [(side["side"], side["threads"]) for side in found["sides"]] == [(s, n) for s in ("ours", peer) for n in threads]
    for side in found["sides"]:
        assert side["rate"] == pytest.approx(found["sides"][0]["rate"], rel=0.1)
        assert side["synapses"] == pytest.approx(400 * 32 + 400 * 8, abs=6 * 54)
        assert len(side["seconds"]) == 2
    assert found["sides"][0]["rate"] > 5


class Sharing:
    """A side of one trial that answers at once; a peer is twice as slow, and on two threads both are 1.5 times as fast."""

    facts = {"nest": {"synapses": 1000, "rate": 10.5}, "brian2": {"synapses": 1000, "rate": 13.0}}  # noqa: RUF012

    def __init__(self, module, tables, duration, threads):
        self.side, self.threads = module.removesuffix("_circuit"), threads

    def call(self, name):
        if name == "facts":
            return self.facts.get(self.side, {"synapses": 1000, "rate": 10.0, "bytes_per_synapse": 9.5})
        return {"warm": None, "build": 3.0, "turn": (1 if self.side == "ours" else 2) / (1 + 0.5 * (self.threads - 1))}[name]

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass


def test_one_trial_has_ratios_and_says_who_is_left_out(monkeypatch, tmp_path):
    """Brian2 has another rate, ANNarchy too little memory; NEST's rate is near enough."""
    monkeypatch.setattr(one_trial, "Worker", Sharing)
    monkeypatch.setattr("localdfa.bench.show._installed", lambda against, console: list(against))
    monkeypatch.setattr(one_trial, "_BYTES", {"brian2": 0, "nest": 0, "annarchy": 10**9})
    monkeypatch.setattr(one_trial.memory, "available", lambda: 10**10)
    options = ["--networks", "100-10", "--turns", "3", "--duration", "50", "--json", str(tmp_path / "figures.json")]
    done = CliRunner().invoke(main, ["bench", "circuit", *options], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert "100-10: 100 neurons, 0.001 M synapses" in done.output
    assert "2.00–2.00" in done.output
    assert "…" not in done.output
    assert "100-10: brian2 is left out: does not simulate the same: rate 13 Hz, ours 10 Hz" in done.output
    assert "100-10: annarchy is left out: needs about 2000.8 GB of memory, of 8.4 GB that are left" in done.output
    [found] = json.loads((tmp_path / "figures.json").read_text())["circuit"]
    assert found["neurons"] == 100
    sides = {(side["side"], side["threads"]): side for side in found["sides"]}
    assert sides.keys() == {(side, n) for side in ("ours", "nest") for n in (1, 2)}
    assert all(len(side["seconds"]) == 3 for side in sides.values())
    assert sides["nest", 2]["times_ours"] == {"median": 2, "min": 2, "max": 2}
    assert sides["ours", 2]["speedup"]["median"] == 1.5


def test_the_table_of_a_large_network_fits_a_terminal(monkeypatch):
    spread = {"median": 18.914, "min": 13.852, "max": 19.127}
    side = {"threads": 2, "median": 22.83, "times_ours": spread, "speedup": spread, "rate": 9.748, "built": 310.4}
    sides = [{**side, "side": "ours", "synapses": 49_990_000, "bytes_per_synapse": 10.25}, {**side, "side": "annarchy"}]
    found = {"neurons": 100_000, "sides": sides, "left_out": {}}
    monkeypatch.setattr("localdfa.bench.one_trial.alternate", lambda *_: found)
    monkeypatch.setattr("localdfa.bench.show._installed", lambda against, console: list(against))
    done = CliRunner().invoke(main, ["bench", "circuit", "--networks", "100000-0.5"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert done.output.count("13.85–19.13") == 3
    assert "…" not in done.output


@pytest.mark.parametrize(("options", "said"), [
    (["rate", "--networks", "cuba", "--threads", "1"], "bench rate: --networks --threads; allowed with bench circuit"),
    (["circuit", "--networks", "cuba,huge"], "--networks huge: allowed: cuba, brunel, or NEURONS-PERCENT"),
    (["circuit", "--networks", "100-200"], "--networks 100-200: allowed: "),
    (["circuit", "--networks", "cuba,cuba"], "--networks cuba,cuba: one comes twice"),
    (["circuit", "--threads", "0"], "--threads 0: allowed: whole numbers from 1 to 1024"),
    (["circuit", "--threads", ""], "--threads : allowed: whole numbers from 1 to 1024"),
    (["circuit", "--networks", "cuba, cuba"], "--networks cuba,cuba: one comes twice"),
    (["circuit", "--duration", "nan"], "--duration nan: allowed: ms"),
    (["rate", "--device", "cuda"], "bench rate: --device; allowed with bench torch"),
    (["memory", "--turns", "3"], "bench memory: --turns"),
    (["circuit", "--against", "snntorch"], "bench circuit: --against snntorch; allowed: brian2, nest, annarchy"),
])  # fmt: skip
def test_options_that_are_wrong_are_refused(options, said):
    done = CliRunner().invoke(main, ["bench", *options])
    assert done.exit_code == 1
    assert said in done.output


def test_networks_of_one_trial_are_those_that_are_named():
    """Their sizes and numbers of synapses, and that the smaller ones, which only compile, have the same kinds of both."""
    from localdfa.circuit import Circuit
    from localdfa.circuit.build import expected_synapses

    for name, neurons, synapses in (
        ("cuba", 4000, 320_000), ("brunel", 12_500, 15_625_000), ("20000-10", 20_000, 4e7), ("100000-0.5", 100_000, 5e7),
    ):  # fmt: skip
        tables = one_trial.tables_of(name)
        circuit, few = Circuit.of_tables(tables), Circuit.of_tables(one_trial.smaller(tables))
        assert sum(p.size for p in circuit.populations.values()) == neurons
        assert sum(map(expected_synapses, circuit.projections)) == pytest.approx(synapses, rel=1e-6)
        assert [(q.kind, q.tau_syn) for q in few.projections] == [(q.kind, q.tau_syn) for q in circuit.projections]
        assert sum(p.size for p in few.populations.values()) == 200
        assert [one_trial.room(peer, tables, [1, 2]) > 1e8 for peer in trials.PEERS] == [True] * 3
