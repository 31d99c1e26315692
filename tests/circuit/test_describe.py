"""How a circuit is described: what is refused, and how a refusal reads; nothing is simulated here."""

import numpy as np
import pytest
import scipy.sparse

import localdfa
from localdfa import memory
from localdfa.errors import SpecError

NORMAL = {"distribution": "normal", "mean": 1.0, "std": 1.0}


def circuit():
    net = localdfa.Circuit(seed=3)
    net.population("exc", 20, tau_m=20.0)
    net.population("inh", 5, "alif")
    net.population("theta", 5, "qif")
    net.trains("given", 4, [1.0], [0])
    return net


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda n: localdfa.Circuit(seed=-1), ["seed", "-1", "whole numbers from 0"]),
        (lambda n: localdfa.Circuit(precision="float16"), ["precision", "'float16'", "float32, float64"]),
        (lambda n: n.population("exc", 3), ["'exc'", "already"]),
        (lambda n: n.population("3x", 3), ["'3x'", "letters"]),
        (lambda n: n.population("new", 2.5), ["'new'.size", "2.5", "whole numbers from 1"]),
        (lambda n: n.population("new", 0), ["'new'.size", "0"]),
        (lambda n: n.population("new", 3, "lfi"), ["'new'.model", "did you mean 'lif'"]),
        (lambda n: n.population("new", 3, "tanh"), ["'new'.model", "alif, lif, qif"]),
        (lambda n: n.population("new", 3, tua_m=1.0), ["'new'.tua_m", "did you mean 'tau_m'"]),
        (lambda n: n.population("new", 3, tau_m=0.0), ["'new'.tau_m", "0.0", "greater than or equal to 0.1"]),
        (lambda n: n.population("new", 3, tau_m=[1.0, 2.0]), ["'new'.tau_m", "(2,)", "(3,)"]),
        (lambda n: n.population("new", 3, tau_m=[1.0, 0.0, 2.0]), ["'new'.tau_m", "0.0", "from 0.1 to 10000"]),
        (lambda n: n.population("new", 3, tua_m=[1.0, 1.0, 2.0]), ["'new'.tua_m", "did you mean 'tau_m'"]),
        (lambda n: n.population("new", 3, t_ref={"distribution": "gauss"}), ["'new'.t_ref.distribution", "'gauss'"]),
        (lambda n: n.population("new", 3, "alif", tau_a=[9.0, 8.0, 7.0]), ["'new'.tau_a", "a population of their own"]),
        (lambda n: n.population("new", 3, v_th=[1.0, -1.0, 1.0]), ["'new'.v_th", "-1.0", "above v_reset, 0"]),
        (lambda n: n.population("new", 2, v_th=NORMAL, v_reset=NORMAL), ["'new'.v_reset", "where v_th is drawn"]),
        (lambda n: n.population("new", 2, "qif", v_rest=[0.0, 1.0]), ["'new'.v_rest", "qif"]),
        (lambda n: n.population("new", 2, v_th=[2.0, 3.0], start=[1.0, 5.0]), ["'new'.start", "5.0", "to 3"]),
        (lambda n: n.run(1.0, threads=0), ["threads", "0", "from 1"]),
        (lambda n: n.population("new", 3, v_th=-50.0, v_reset=-50.0), ["'new'.v_th", "-50.0", "above v_reset, -50"]),
        (lambda n: n.population("new", 3, "qif", v_rest=0.0), ["'new'.v_rest", "qif"]),
        (lambda n: n.population("new", 3, baseline=1.0), ["'new'.baseline", "Circuit.current"]),
        (lambda n: n.population("new", 3, gain=1.0), ["'new'.gain", "weight"]),
        (lambda n: n.population("new", 3, start=2.0), ["'new'.start", "2.0", "to 1"]),
        (lambda n: n.population("new", 3, start=np.zeros(4)), ["'new'.start", "(4,)", "(3,)"]),
        (lambda n: n.trains("new", 2, [1.0, 2.0], [0]), ["'new'.neurons", "(1,)", "(2,)"]),
        (lambda n: n.trains("new", 2, [1.0, -2.0], [0, 1]), ["'new'.times", "-2.0", "from 0"]),
        (lambda n: n.trains("new", 2, [[1.0, 2.0], [3.0]], [0, 1]), ["'new'.times", "several lengths", "along one axis"]),
        (lambda n: n.trains("new", 2, [1.0], [2]), ["'new'.neurons", "2", "from 0 to 1"]),
        (lambda n: n.poisson("new", 2, np.nan), ["'new'.rate", "nan"]),
        (lambda n: n.poisson("new", 2, "fast"), ["'new'.rate", "'fast'", "(2,)"]),
        (lambda n: n.project("ecx", "inh", weight=1.0), ["pre", "'ecx'", "did you mean 'exc'"]),
        (lambda n: n.project("exc", "given", weight=1.0), ["post", "'given' is a source", "exc, inh, theta"]),
        (lambda n: n.project("exc", "inh"), ["from 'exc' to 'inh'.weight", "is missing"]),
        (lambda n: n.project("exc", "inh", "all", weight=1.0), ["connect", "'all'", "dense, one_to_one"]),
        (lambda n: n.project("exc", "inh", "one_to_one", weight=1.0), ["one_to_one", "20 and 5"]),
        (lambda n: n.project("exc", "inh", "dense", in_degree=2, weight=1.0), ["connect and in_degree", "one of"]),
        (lambda n: n.project("exc", "inh", probability=1.5, weight=1.0), ["probability", "1.5", "to 1"]),
        (lambda n: n.project("exc", "inh", in_degree=21, weight=1.0), ["in_degree", "21", "from 0 to 20"]),
        (lambda n: n.project("exc", "exc", in_degree=20, weight=1.0, self_connections=False), ["in_degree", "from 0 to 19"]),
        (lambda n: n.project("exc", "inh", weight=1.0, self_connections=False), ["self_connections", "one population"]),
        (lambda n: n.project("exc", "inh", weight=1.0, multapses=True), ["multapses", "pairs, in_degree and out_degree"]),
        (lambda n: n.project("exc", "inh", weight=np.ones((5, 20))), ["weight", "(5, 20)", "(20, 5)"]),
        (lambda n: n.project("exc", "inh", probability=0.5, weight=np.ones(50)), ["weight", "(50,)", "a table with a"]),
        (lambda n: n.project("exc", "inh", weight=np.inf), ["weight", "inf"]),
        (lambda n: n.project("exc", "inh", weight=-1.0, sign="excitatory"), ["weight", "-1.0", "from 0 to"]),
        (lambda n: n.project("exc", "inh", weight=1.0, sign="inhibitory"), ["weight", "1.0", "to 0"]),
        (lambda n: n.project("exc", "inh", weight=1.0, sign="plus"), ["sign", "'plus'", "excitatory, inhibitory"]),
        (lambda n: n.project("exc", "inh", weight=1.0, delay=0.0), ["delay", "0.0", "from 0.01"]),
        (lambda n: n.project("exc", "inh", weight=1.0, tau_syn=0.05), ["tau_syn", "0.05", "from 0.1"]),
        (lambda n: n.project("exc", "theta", weight=1.0, tau_syn=5.0), ["to 'theta'.tau_syn", "'qif' has no linear membrane"]),
        (lambda n: n.project("exc", "inh", weight={"distribution": "gauss"}), ["weight.distribution", "'gauss'", "normal"]),
        (lambda n: n.project("exc", "inh", weight={"distribution": "normal", "mean": 1.0}), ["weight.std", "is missing"]),
        (lambda n: n.project("exc", "inh", weight={"distribution": "normal", "mean": 1.0, "sd": 1.0}), ["'sd'", "mean, std"]),
        (lambda n: n.project("exc", "inh", weight={"distribution": "uniform", "low": 2, "high": 1}), ["weight.low", "high"]),
        (lambda n: n.project("exc", "inh", pairs=([0, 1], [0]), weight=1.0), ["pairs, post", "(1,)", "(2,)"]),
        (lambda n: n.project("exc", "inh", pairs=([0, 1], [0, 5]), weight=1.0), ["pairs, post", "5", "from 0 to 4"]),
        (lambda n: n.project("exc", "inh", pairs=([3, 3], [2, 2]), weight=1.0), ["multapses", "(3, 2)", "twice"]),
        (lambda n: n.project("exc", "exc", pairs=([3], [3]), weight=1.0, self_connections=False), ["neuron 3", "itself"]),
        (lambda n: n.project("exc", "inh", matrix=np.ones((3, 3))), ["matrix", "(3, 3)", "(20, 5)"]),
        (lambda n: n.project("exc", "inh", matrix=scipy.sparse.eye_array(3)), ["matrix", "(3, 3)", "(20, 5)"]),
        (lambda n: n.project("exc", "inh", matrix=np.ones((20, 5)), weight=2.0), ["weight", "matrix has the weights"]),
        (lambda n: n.noise("theta", 100.0, 1.0), ["noise of 'theta'", "Circuit.poisson"]),
        (lambda n: n.noise("exc", -1.0, 1.0), ["noise of 'exc'.rate", "-1.0"]),
        (lambda n: n.current("exc", np.ones(3)), ["current of 'exc'", "(3,)", "(20,)"]),
        (lambda n: n.run(0.0), ["duration", "0.0"]),
        (lambda n: n.run(1.0, record={"exc": ["w"]}), ["record.exc", "'w'", "spikes, v"]),
        (lambda n: n.run(1.0, record={"given": ["v"]}), ["record.given", "'v'", "spikes"]),
        (lambda n: n.run(1.0, record={"exc": "v"}), ["record.exc", "'v'", "a list"]),
        (lambda n: n.run(1.0, record={"all": ["v"]}), ["record", "'all'", "exc, inh"]),
        (lambda n: localdfa.Circuit().run(1.0), ["no population"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(step, words, monkeypatch):
    net = circuit()
    before = repr(net)
    with pytest.raises(SpecError) as raised:
        step(net)
    for word in words:
        assert word in str(raised.value)
    assert repr(net) == before  # nothing of it has been added


def test_what_does_not_go_together_is_refused_before_anything_is_simulated():
    net = circuit()
    net.project("inh", "inh", weight=1.0, tau_syn=20.0)  # the membrane of "exc" has that time constant
    with pytest.raises(SpecError, match=r"'inh' to 'inh'.tau_syn: 20 ms is tau_m of population 'exc'"):
        net.run(1.0)
    net = circuit()
    net.population("several", 3, tau_m=[5.0, 6.0, 7.0])
    net.project("inh", "several", weight=1.0, tau_syn=6.0)
    with pytest.raises(SpecError, match=r"to 'several'.tau_syn: 6 ms is tau_m of population 'several'"):
        net.run(1.0)
    net = circuit()
    net.project("exc", "inh", weight={"distribution": "normal", "mean": -50.0, "std": 1.0}, sign="excitatory")
    with pytest.raises(SpecError, match=r"weight: hardly any number of the normal distribution"):
        net.run(1.0)
    assert net.time == 0


def test_what_does_not_fit_is_refused_with_an_estimate(monkeypatch):
    net = localdfa.Circuit()
    net.population("many", 200_000)
    net.project("many", "many", probability=0.5, weight=1.0)
    monkeypatch.setattr(memory, "available", lambda: 2**34)
    with pytest.raises(SpecError) as raised:
        net.run(1.0)
    for word in ("from 'many' to 'many'", "20,000,000,000 synapses", "16 GiB"):
        assert word in str(raised.value)
    net = localdfa.Circuit()
    net.population("many", 1000)
    monkeypatch.setattr(memory, "available", lambda: 2**20)
    with pytest.raises(SpecError, match=r"record: v of many each 0.1 ms needs about"):
        net.run(1000.0, record={"many": ["v"]}, interval=0.1)


def test_a_population_has_the_parameters_that_a_circuit_reads():
    found = localdfa.Circuit().population("a", 1, "lif")
    assert [*found.parameters] == ["tau_m", "v_th", "v_reset", "t_ref"]
    assert "gain" not in repr(found)
    with pytest.raises(SpecError) as refused:
        localdfa.Circuit().population("a", 1, "lif", V_th=5.0)
    words = "population 'a'.V_th: a parameter of lif 'V_th' is not one of tau_m, v_th, v_reset, t_ref, v_rest"
    assert str(refused.value).startswith(words)


def test_a_rule_of_ones_own_is_said_to_come_with_a_package():
    net = localdfa.Circuit()
    net.population("out", 1)
    net.poisson("in", 1, 20.0)
    net.project("in", "out", weight=1.0, plastic=True)
    with pytest.raises(
        SpecError, match=r"rule.name: 'mine.py' is not one of .*; one of your own comes with an installed package"
    ):
        net.learner("in", "out", {"out": 0.1}, rule={"name": "mine.py"})
