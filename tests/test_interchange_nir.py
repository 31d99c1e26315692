"""Circuits as graphs of NIR: what another program that reads them does, and what comes back."""

import numpy as np
import pytest
from click.testing import CliRunner

import localdfa
from localdfa import cli, interchange
from localdfa.errors import RunError, SpecError
from localdfa.interchange import nir as of_nir

nir = pytest.importorskip("nir")
N_IN, N = 6, 5


def spikes(scale, seed=1):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(np.arange(10, 900), 90, replace=False)) * 0.1 * scale
    return times, rng.integers(0, N_IN, len(times))


def circuit(scale=1.0, tau_syn=0.0, delay=0.01):
    """Times in units of `scale` ms, so that the step of NIR is 1/scale of what it is else; the shortest t_ref."""
    net, rng = localdfa.Circuit(seed=3, precision="float64"), np.random.default_rng(2)
    net.trains("input", N_IN, *spikes(scale))
    net.population("a", N, tau_m=10.0 * scale, t_ref=0.1)
    net.population("b", 3, tau_m=15.0 * scale, t_ref=0.1)
    net.current("a", [0.0, 0.6, 0.9, 1.2, 1.5])
    net.project("input", "a", weight=rng.uniform(-0.1, 0.4, (N_IN, N)), delay=delay, tau_syn=tau_syn * scale)
    net.project("a", "b", weight=rng.uniform(0.1, 0.3, (N, 3)), delay=delay)
    return net


def stepped(graph, given, n_steps):
    """A slow reader of NIR as its definition says it, forward Euler in steps of 0.1 ms: step and neuron of spikes by node."""
    order = ["input", "input_to_a", "a", "a_to_b", "b"]
    v, current, found = {}, {}, {"a": [], "b": []}
    for step in range(n_steps):
        signal = given[step]
        for name in order[1:]:
            node = graph.nodes[name]
            if hasattr(node, "weight"):
                signal = node.weight @ signal + getattr(node, "bias", 0)
                continue
            tau = getattr(node, "tau_mem", getattr(node, "tau", None))
            if hasattr(node, "tau_syn"):
                before = current.get(name, np.zeros(tau.size))
                signal = current[name] = before + 1e-4 / node.tau_syn * (-before + node.w_in * signal)
            before = v.get(name, node.v_reset)
            after = before + 1e-4 / tau * (node.v_leak - before + node.r * signal)
            signal = (after > node.v_threshold).astype(float)
            v[name] = np.where(signal > 0, node.v_reset, after)
            found[name] += [(step, int(i)) for i in np.flatnonzero(signal)]
    return found


def inputs(scale, n_steps):
    times, neurons = spikes(scale)
    steps, given = np.round(times / of_nir.STEP).astype(int), np.zeros((n_steps, N_IN))
    given[steps[steps < n_steps], neurons[steps < n_steps]] = 1
    return given


def errors(net, found, scale):
    """How far apart spikes are, in units of `scale` ms; the numbers of spikes differ by no more than one a neuron."""
    result, apart = net.run(60.0 * scale), []
    for name, events in found.items():
        times, who = result.spikes(name)
        for i in range(net.populations[name].size):
            ours, theirs = times[who == i], np.array([0.1 * (step + 1) for step, j in events if j == i])
            assert abs(len(ours) - len(theirs)) <= 1, (name, i)
            n = min(len(ours), len(theirs))
            apart += list((ours[:n] - theirs[:n]) / scale)
    return np.abs(apart)


@pytest.mark.parametrize("tau_syn", [0.0, 5.0])
def test_steps_of_the_graph_come_to_the_circuit(tau_syn, tmp_path):
    mean = []
    for scale in (2.0, 16.0):
        net = circuit(scale, tau_syn)
        (path,) = interchange.export(net, "nir", tmp_path / "net.nir")
        n_steps = round(600 * scale)
        mean.append(errors(net, stepped(nir.read(path), inputs(scale, n_steps), n_steps), scale).mean())
    assert mean[1] < mean[0] / 4
    assert mean[1] < 0.1


def test_snntorch_spikes_as_the_circuit(tmp_path):
    """Its neurons scaled so that a step is a fortieth; it takes the spikes of a step within that step."""
    pytest.importorskip("nirtorch")
    read = pytest.importorskip("snntorch.import_nir")
    import torch

    scale, n_steps = 40.0, 4000
    net = circuit(scale)
    (path,) = interchange.export(net, "nir", tmp_path / "net.nir")
    model, state = read.import_from_nir(nir.read(path)), None
    seen = {"a": [], "b": []}
    for name in seen:
        model.get_submodule(name).register_forward_hook(
            lambda module, given, out, name=name: seen[name].append(np.asarray((out[0] if isinstance(out, tuple) else out) > 0))
        )
    given = torch.from_numpy(inputs(scale, round(1000 * scale))[:n_steps]).float()
    with torch.no_grad():
        for row in given:
            _, state = model(row[None], state)
    found = {name: [(k, int(i)) for k, row in enumerate(rows) for i in np.flatnonzero(row)] for name, rows in seen.items()}
    result, count = net.run(0.1 * n_steps), 0
    for name, events in found.items():
        times, who = result.spikes(name)
        for i in range(net.populations[name].size):
            ours, theirs = times[who == i], np.array([0.1 * (step + 1) for step, j in events if j == i])
            assert abs(len(ours) - len(theirs)) <= 1
            n = min(len(ours), len(theirs))
            np.testing.assert_array_less(np.abs(ours[:n] - theirs[:n]), 0.2 * (np.arange(n) + 2))
            count += n
    assert count > 5


@pytest.mark.parametrize("tau_syn", [0.0, 5.0])
def test_what_goes_out_comes_back(tau_syn, tmp_path):
    """Spike for spike, on the delays that NIR has."""
    net = circuit(1.0, tau_syn, delay=1.5)
    (path,) = interchange.export(net, "nir", tmp_path / "net.nir")
    again = of_nir.read(path, {"input": spikes(1.0)})
    ours, theirs = net.run(100.0), again.run(100.0)
    for name in ("a", "b"):
        assert len(ours.spikes(name)[0]) > 3
        np.testing.assert_array_equal(ours.spikes(name)[1], theirs.spikes(name)[1])
        np.testing.assert_allclose(ours.spikes(name)[0], theirs.spikes(name)[0], atol=1e-9)


@pytest.mark.parametrize("names", [("output", "x"), ("x", "x_output"), ("x", "hidden_to_x"), ("x", "hidden_to_x_delay")])
def test_populations_keep_their_names_whatever_these_are(names, tmp_path):
    net = localdfa.Circuit(seed=3, precision="float64")
    net.trains("input", N_IN, *spikes(1.0))
    for name in ("hidden", *names):
        net.population(name, 3, tau_m=10.0, t_ref=0.1)
        net.current(name, 1.2)
    net.project("input", "hidden", weight=0.2, delay=1.5)
    for name in names:
        net.project("hidden", name, weight=0.3, delay=1.5)
    (path,) = interchange.export(net, "nir", tmp_path / "net.nir")
    again = of_nir.read(path, {"input": spikes(1.0)})
    ours, theirs = net.run(50.0), again.run(50.0)
    for name in ("hidden", *names):
        assert ours.count(name) > 3
        np.testing.assert_allclose(ours.spikes(name)[0], theirs.spikes(name)[0], atol=1e-9)


def test_what_nir_has_not_is_refused(tmp_path):
    def with_(change):
        net = circuit()
        change(net)
        return net

    for change, said in (
        (lambda net: net.population("c", 2, t_ref=2.0), r"population 'c'\.t_ref: 2 ms; NIR has no refractory"),
        (lambda net: net.population("c", 2, "alif"), r"'c'\.model: 'alif' has no node"),
        (lambda net: net.population("c", 2, start=0.5), r"'c'\.start"),
        (lambda net: net.noise("a", 10.0, 0.1), "noise of 'a'"),
        (lambda net: net.project("b", "a", weight=0.1), "a, b form a loop"),
        (lambda net: net.project("input", "a", weight=0.1, tau_syn=3.0), "tau_syn = 0, 3 reach it"),
    ):
        with pytest.raises(SpecError, match=said):
            interchange.export(with_(change), "nir", tmp_path / "net.nir")
    assert not [*tmp_path.iterdir()]


def test_graphs_that_are_no_circuits_are_refused(tmp_path):
    path = tmp_path / "net.nir"
    with pytest.raises(RunError, match="there is no such file"):
        of_nir.read(path, {})
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        of_nir.read(path, {})
    ones = np.ones(2)
    lif = nir.LIF(tau=0.01 * ones, r=ones, v_leak=0 * ones, v_threshold=ones)
    ends = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
    for nodes, edges, said in (
        ({"lif": lif}, [("input", "lif"), ("lif", "output")], "'input' leads to 'lif', a LIF; allowed behind it: Affine"),
        ({"li": nir.LI(0.01 * ones, ones, 0 * ones)}, [("input", "li"), ("li", "output")], "'li' is a LI"),
    ):
        nir.write(path, nir.NIRGraph({**ends, **nodes}, edges))
        with pytest.raises(SpecError, match=said):
            of_nir.read(path, {"input": ([], [])})
    nir.write(path, nir.NIRGraph({**ends, "lif": lif}, [("input", "lif"), ("lif", "output")]))
    with pytest.raises(SpecError, match="inputs: none; allowed: what each of input sends"):
        of_nir.read(path, {})


def test_what_reaches_a_node_is_summed_and_its_bias_counts_once(tmp_path):
    """Of two inputs, of which one or both may come through a delay."""
    path, ones = tmp_path / "net.nir", np.ones(2)
    lif = nir.LIF(tau=0.01 * ones, r=100 * ones, v_leak=0 * ones, v_threshold=ones)
    nodes = {
        "one": nir.Input(np.array([2])), "other": nir.Input(np.array([2])), "delay": nir.Delay(0.003 * ones),
        "weights": nir.Affine(np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0.001, 0.002])), "lif": lif,
        "output": nir.Output(np.array([2])),
    }  # fmt: skip
    common = [("weights", "lif"), ("lif", "output")]
    for edges, delays in (
        ([("one", "weights"), ("other", "weights")], [0.01, 0.01]),
        ([("one", "delay"), ("other", "delay"), ("delay", "weights")], [3.0, 3.0]),
        ([("one", "delay"), ("delay", "weights"), ("one", "weights"), ("other", "weights")], [0.01, 3.0, 0.01]),
    ):
        there = {name: node for name, node in nodes.items() if name != "delay" or ("one", "delay") in edges}
        nir.write(path, nir.NIRGraph(there, [*edges, *common]))
        net = of_nir.read(path, {"one": ([1.0], [0]), "other": ([2.0], [1])})
        np.testing.assert_allclose(net.currents["lif"], 100 * np.array([0.001, 0.002]))
        assert sorted(q.delay for q in net.projections) == sorted(delays)
        assert {q.pre.name for q in net.projections} == {"one", "other"}
        moments, v = net.run(8.0, {"lif": ["v"]}, interval=0.37).v("lif")
        expected = np.outer(1 - np.exp(-moments / 10), [0.1, 0.2])
        for q in net.projections:
            when, which = {"one": (1.0, 0), "other": (2.0, 1)}[q.pre.name]
            later = moments - when - q.delay
            jump = nodes["weights"].weight[:, which]
            expected += np.where(later[:, None] >= 0, np.exp(-np.maximum(later, 0) / 10)[:, None] * jump, 0)
        np.testing.assert_allclose(v, expected, atol=1e-9)


def test_delays_that_lead_elsewhere_are_refused(tmp_path):
    """None is dropped without a word."""
    path, ones = tmp_path / "net.nir", np.ones(2)
    nodes = {
        "input": nir.Input(np.array([2])), "weights": nir.Linear(np.eye(2)), "late": nir.Delay(0.003 * ones),
        "later": nir.Delay(0.003 * ones), "lif": nir.LIF(0.01 * ones, ones, 0 * ones, ones),
        "output": nir.Output(np.array([2])),
    }  # fmt: skip
    ends = [("lif", "output")]
    for edges, said in (
        ([("input", "late"), ("late", "lif")], "'late' leads to 'lif', a LIF; allowed behind it: Affine, Linear"),
        ([("input", "late"), ("late", "later"), ("later", "weights"), ("weights", "lif")], "'late' leads to 'later', a Delay;"),
        (
            [("input", "weights"), ("weights", "lif"), ("weights", "late")],
            "'weights' leads to 'late', a Delay; allowed behind it: LIF",
        ),
    ):
        there = {name: node for name, node in nodes.items() if name in {end for edge in (*edges, *ends) for end in edge}}
        nir.write(path, nir.NIRGraph(there, [*edges, *ends]))
        with pytest.raises(SpecError, match=said):
            of_nir.read(path, {"input": ([], [])})


def test_weights_that_lead_to_weights_are_named_wherever_they_stand(tmp_path):
    path, ones = tmp_path / "net.nir", np.ones(2)
    nodes = {
        "input": nir.Input(np.array([2])), "b": nir.Linear(np.eye(2)), "a": nir.Linear(np.eye(2)),
        "lif": nir.LIF(0.01 * ones, ones, 0 * ones, ones), "output": nir.Output(np.array([2])),
    }  # fmt: skip
    nir.write(path, nir.NIRGraph(nodes, [("input", "b"), ("b", "a"), ("a", "lif"), ("lif", "output")]))
    with pytest.raises(SpecError, match=r"net\.nir: 'b' leads to 'a', a Linear; allowed behind it: LIF, CubaLIF"):
        of_nir.read(path, {"input": ([], [])})


def test_a_circuit_of_a_file_goes_out(tmp_path):
    (tmp_path / "mine.toml").write_text(circuit().to_toml())
    done = CliRunner().invoke(
        cli.main, ["export", str(tmp_path / "mine.toml"), "--to", "nir", "--out", str(tmp_path / "n.nir")]
    )
    assert done.exit_code == 0, done.output
    assert set(nir.read(tmp_path / "n.nir").nodes) == {"input", "a", "b", "input_to_a", "a_to_b", "output"}


# --- what runs have trained -------------------------------------------------------------------------------------------

TRAINED = {
    "precision": "float64", "seeds": [4], "batch_size": 20, "stage": [{"epochs": 2}], "rule": "local",
    "network": {"hidden": [7, 5], "neuron": "lif", "delay": 0.01}, "neuron": {"t_ref": 0.1, "tau_m": 40.0, "baseline": 1.5},
    "phases": {"free": 330.0, "nudged": 200.0, "beta": 2.0, "propagation": "two_compartment"},
    "optimiser": {"learning_rate": 0.02}, "record": {"probe": 4, "spikes": 3},
}  # fmt: skip


def arrays():
    x = np.random.default_rng(5).uniform(0, 1, (60, 4))
    return x, (x[:, 0] > x[:, 1]).astype(int)


def trains():
    """Three channels; which of the first two sends more is the class."""
    rng, parts = np.random.default_rng(6), {}
    for part, n in (("train", 40), ("test", 10)):
        y = np.arange(n) % 2
        counts = np.stack([12 + 12 * y, 24 - 12 * y, np.full(n, 9)], axis=1)
        sample, neuron = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices((n, 3)))
        # On the steps of the graph, and of one neuron no two in one.
        time = np.concatenate([np.sort(rng.choice(np.arange(1, 3200), c, replace=False)) * of_nir.STEP for c in counts.ravel()])
        parts |= {f"time_{part}": time, f"neuron_{part}": neuron, f"sample_{part}": sample, f"y_{part}": y}
    return {**parts, "time_unit": "ms"}


@pytest.fixture(scope="module")
def of_currents(tmp_path_factory):
    return localdfa.run(TRAINED, tmp_path_factory.mktemp("currents") / "run", progress=False, data=arrays())


def kept(run, sample, population):
    """Spikes of the free phase of a trial, by neuron, as the run has recorded them."""
    found = run.jobs[0].spikes
    own = (found["trial"] == sample) & (found["population"] == population) & ~found["twin"].astype(bool)
    own &= found["time"] < found["edges"][1]
    return found["time"][own], found["neuron"][own]


def test_snntorch_spikes_as_the_trained_network(of_currents, tmp_path):
    """What was recorded of a trial, and the same sample as input of the exported network, in steps of 0.1 ms.

    Neurons under a constant drive are as late as steps say. Where spikes drive, v may graze the threshold, and pass it in one
    alone: it does for few.
    """
    pytest.importorskip("nirtorch")
    importer = pytest.importorskip("snntorch.import_nir")
    import torch

    (path,) = of_currents.export("nir", tmp_path / "net.nir")
    graph = nir.read(path)
    assert set(graph.nodes) == {
        "input", "input_to_hidden_1", "hidden_1", "hidden_1_to_hidden_2", "hidden_2", "hidden_2_to_output", "output",
    }  # fmt: skip
    apart = {1: [], 2: []}
    for sample in of_currents.jobs[0].spikes["trials"].tolist():
        model, state, seen = importer.import_from_nir(graph), None, {"hidden_1": [], "hidden_2": []}
        for name, rows in seen.items():
            model.get_submodule(name).register_forward_hook(
                lambda module, given, out, rows=rows: rows.append(np.asarray((out[0] if isinstance(out, tuple) else out) > 0))
            )
        given = torch.from_numpy(arrays()[0][sample][None]).float()
        with torch.no_grad():
            for _ in range(3300):
                _, state = model(given, state)
        for population, rows in enumerate(seen.values(), 1):
            times, who = kept(of_currents, sample, population)
            steps = np.array(rows)[:, 0]
            for i in range(steps.shape[1]):
                ours, theirs = times[who == i], 0.1 * (np.flatnonzero(steps[:, i]) + 1)
                assert abs(len(ours) - len(theirs)) <= 1
                n = min(len(ours), len(theirs))
                apart[population] += list(np.abs(ours[:n] - theirs[:n]) / (0.5 * (np.arange(n) + 2)))
    assert min(map(len, apart.values())) > 20
    assert max(apart[1]) < 1
    assert np.mean(np.array(apart[2]) < 1) > 0.9


def test_the_mean_of_the_output_is_what_is_predicted(of_currents, tmp_path):
    """By the rates of the graph's own weights: Σ of the readout over the spikes of a trial."""
    (path,) = of_currents.export("nir", tmp_path / "net.nir")
    graph, weights = nir.read(path), of_currents.jobs[0].weights
    readout = graph.nodes["hidden_2_to_output"]
    rate = np.random.default_rng(1).uniform(0, 0.05, 5)  # spikes a ms
    mean = readout.weight @ (rate * of_nir.STEP) + readout.bias
    np.testing.assert_allclose(mean, weights["W3"] @ (10.0 * rate) + weights["b3"], rtol=1e-6)


@pytest.mark.parametrize("tau_syn", [0.0, 5.0])
def test_trained_on_spikes_it_comes_back_spike_for_spike(tau_syn, tmp_path):
    tables = {
        **TRAINED, "input": {"code": "trains"}, "network": {**TRAINED["network"], "hidden": [6], "tau_syn": tau_syn},
        "phases": {**TRAINED["phases"], "propagation": "held"},
    }  # fmt: skip
    data = trains()
    run = localdfa.run(tables, tmp_path / "run", progress=False, data=data)
    (path,) = run.export("nir", tmp_path / "net.nir")
    for sample in run.jobs[0].spikes["trials"].tolist():
        own = data["sample_train"] == sample
        net = of_nir.read(path, {"input": (data["time_train"][own], data["neuron_train"][own])})
        ours, (times, neurons) = net.run(330.0).spikes("hidden_1"), kept(run, sample, 1)
        assert len(times) > 10
        for i in range(6):  # two neurons may spike at once
            np.testing.assert_allclose(np.sort(ours[0][ours[1] == i]), np.sort(times[neurons == i]), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"neuron": {"t_ref": 2.0}}, r"neuron\.t_ref: 2 ms; NIR has no refractory period; allowed: up to 0\.1"),
        ({"network": {"hidden": [5], "neuron": "alif"}, "neuron": {}}, r"network\.neuron: 'alif' has no node in NIR"),
        ({"network": {"hidden": [5], "neuron": "lif", "start": "uniform"}}, r"network\.start: v begins"),
    ],
)
def test_trained_networks_that_nir_cannot_say_are_refused(change, said, tmp_path):
    tables = {**TRAINED, "stage": [{"epochs": 1}], "network": {"hidden": [5], "neuron": "lif"}, "record": {}, **change}
    run = localdfa.run(tables, tmp_path / "run", progress=False, data=arrays())
    with pytest.raises(SpecError, match=said):
        run.export("nir", tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_parameters_go_out_as_the_numbers_that_the_spec_has(precision, tmp_path):
    """Of float32, 0.1 is more than 0.1, which is the longest refractory period that a step takes."""
    neuron = {"t_ref": 0.1, "tau_m": 20.1, "v_th": 1.3, "v_reset": -0.3}
    tables = {
        "network": {"hidden": [6], "neuron": "lif"}, "neuron": neuron, "precision": precision,
        "stage": [{"epochs": 1}], "phases": {"propagation": "two_compartment"},
    }  # fmt: skip
    run = localdfa.run(tables, tmp_path / "run", progress=False, data=arrays())
    net = localdfa.Circuit(precision=precision)
    net.population("hidden_1", 6, **neuron)
    paths = [run.export("nir", tmp_path / "a.nir")[0], interchange.export(net, "nir", tmp_path / "b.nir")[0]]
    for path in paths:
        node = nir.read(path).nodes["hidden_1"]
        for key, value in (("tau", 0.0201), ("v_threshold", 1.3), ("v_reset", -0.3), ("r", 201.0)):
            np.testing.assert_allclose(getattr(node, key), value, rtol=1e-14)


def test_rate_neurons_are_no_graph(tmp_path):
    tables = {"network": {"hidden": [5]}, "stage": [{"epochs": 1}]}
    run = localdfa.run(tables, tmp_path / "run", progress=False, data=arrays())
    with pytest.raises(SpecError, match=r"network\.neuron: 'tanh' does not spike; .*torch"):
        run.export("nir", tmp_path / "net.nir")
