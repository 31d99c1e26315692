"""The spec: what is accepted, what is refused, and how a refusal reads."""

import importlib.util
import re
import shlex

import numpy as np
import pytest
from conftest import setting_of

from localdfa import record, registry, spec
from localdfa.errors import SpecError

# Spiking neurons, whose traces have time to settle.
LIF = {"network": {"neuron": "lif"}, "phases": {"free": 400.0}}


def refusal(tables):
    with pytest.raises(SpecError) as caught:
        spec.experiment(tables)
    return str(caught.value)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"nework": {}}, ["unknown key nework", "did you mean 'network'"]),
        ({"network": {"hiden": [3]}}, ["unknown key network.hiden", "did you mean 'hidden'", "dropout"]),
        ({"network": {"hidden": []}}, ["network.hidden", "at least 1"]),
        ({"network": {"hidden": [10, 0]}}, ["network.hidden[1]", "0", "greater than or equal to 1"]),
        ({"network": {"hidden": ["a"]}}, ["network.hidden[0]: 'a'", "integer"]),
        ({"network": {"hidden": [{"channels": 0}]}}, ["network.hidden[0].channels", "0", "greater than or equal to 1"]),
        ({"network": {"hidden": [{"chanels": 8}]}}, ["network.hidden[0].chanels", "did you mean 'channels'", "padding"]),
        ({"network": {"hidden": [{"kernel": 3}]}}, ["network.hidden[0].channels: missing"]),
        ({"network": {"hidden": [{"channels": 8, "pool": 0}]}}, ["network.hidden[0].pool", "0"]),
        ({"network": {"hidden": [{"channels": 8, "shared": 1}]}}, ["network.hidden[0].shared", "1", "boolean"]),
        ({"network": {"hidden": [{"channels": 8}, 9, {"channels": 8}]}}, ["network.hidden[2]", "after a dense layer"]),
        ({"network": {"hidden": [{"channels": 8}]}, "neuron": {"tau": 5.0}}, ["network.hidden", "settled mode", "5.0"]),
        ({**LIF, "network": {"neuron": "lif", "hidden": [{"channels": 8}]}}, ["network.hidden", "settled mode", "'lif'"]),
        ({"network": {"hidden": [10.5]}}, ["network.hidden[0]", "10.5", "integer"]),
        ({"network": {"neuron": "tahn"}}, ["network.neuron", "'tahn'", "did you mean 'tanh'", "relu"]),
        ({"network": {"output": "softmx"}}, ["network.output", "did you mean 'softmax'", "logistic"]),
        ({"network": {"output": "mse"}}, ["network.output", "did you mean 'linear'", "spikes"]),
        ({"network": {"dropout": 1.0}}, ["network.dropout", "1.0", "less than 1"]),
        ({"neuron": {"tua": 1.0}}, ["neuron.tua", "did you mean 'tau'"]),
        ({"neuron": {"tau": -1.0}}, ["neuron.tau", "-1.0", "greater than or equal to 0"]),
        ({"neuron": {"tau": "5"}}, ["neuron.tau", "'5'", "not a number"]),
        ({"neuron": {"tau": True}}, ["neuron.tau", "True", "not a number"]),
        ({"optimiser": {"name": "rmsprp"}}, ["optimiser.name", "did you mean 'rmsprop'", "adam"]),
        ({"optimiser": {"learning_rat": 1.0}}, ["optimiser.learning_rat", "did you mean 'learning_rate'"]),
        ({"optimiser": {"name": "sgd", "decay": 0.9}}, ["optimiser.decay", "sgd", "learning_rate"]),
        ({"optimiser": {"learning_rate": 0.0}}, ["optimiser.learning_rate", "0.0", "greater than 0"]),
        ({"optimiser": {"learning_rate": float("nan")}}, ["optimiser.learning_rate", "nan"]),
        ({"phases": {"beta": float("inf")}}, ["phases.beta", "finite"]),
        ({"phases": {"beta": 0.0}}, ["phases.beta", "greater than or equal to 0.00000001"]),
        ({"phases": {"propagation": "hold"}}, ["phases.propagation", "did you mean 'held'", "two_compartment"]),
        ({"rule": "locl"}, ["rule", "did you mean 'local'", "ifa"]),
        ({"stage": []}, ["stage", "at least 1"]),
        ({"stage": [{"rule": "dfaa"}]}, ["stage[0].rule", "did you mean"]),
        ({"stage": [{"frozen": [3]}]}, ["stage[0].frozen", "no layer 3", "1 (the first hidden) to 2"]),
        ({"stage": [{"frozen": [1, -1]}]}, ["stage[0].frozen", "every layer is frozen"]),
        ({"seeds": [1, 1]}, ["seeds", "twice"]),
        ({"seeds": [2**32]}, ["seeds[0]", "4294967296"]),
        ({"optimiser": {"learning_rate": 1e-60}}, ["optimiser.learning_rate", "float32", "greater than 0"]),
        ({"optimiser": {"decay": 0.9999999999}}, ["optimiser.decay", "float32", "less than 1"]),
        ({"optimiser": {"learning_rate": 10**400}}, ["optimiser.learning_rate", "too large"]),
        ({"phases": {"beta": 10**400}}, ["phases.beta", "an integer of about 401 digits"]),
        ({"feedback": {"threshold": 1.0}}, ["feedback.threshold", "less than 1"]),
        ({"rule": "fa", "feedback": {"shared": True}, "network": {"hidden": [5, 5]}}, ["feedback.shared", "sequential"]),
        ({"seeds": [-1]}, ["seeds[0]", "-1"]),
        ({"feedback": {"pathway": "direkt"}}, ["feedback.pathway", "did you mean 'direct'"]),
        ({"feedback": {"density": 0.0}}, ["feedback.density", "0.0"]),
        ({"feedback": {"signs": "mixed"}}, ["feedback.signs", "'mixed'", "sender"]),
        ({"rule": "bp", "feedback": {"density": 0.5}}, ["feedback.density: 0.5", "drawn at random", "'bp'", "allowed here: 1"]),
        *(
            ({"rule": "frozen", "feedback": {key: value}}, [f"feedback.{key}: {value!r}", "is read only", "'frozen'"])
            for key, value in (
                ("pathway", "direct"), ("gain", 2.0), ("distribution", "normal"), ("fan_out", "both"), ("shared", True)
            )
        ),
        (
            {"stage": [{"rule": "dfa"}], "feedback": {"pathway": "sequential"}},
            ["feedback.pathway: 'sequential'", "that goes with it", "'dfa'", "leave it out"],
        ),
        ({"rule": "fa", "stage": [{"rule": "bp"}]}, ["rule: 'fa' trains no stage", "leave it out, or say bp"]),
        (
            {"condition": [{"name": "l"}, {"name": "b", "rule": "bp", "phases": {"beta": 0.5}}]},
            ["condition 'b': phases.beta: 0.5", "(the rules here: 'bp')", "allowed here: 0.1"],
        ),
        (
            {"condition": [
                {"name": "f", "rule": "fa", "feedback": {"normalisation": "strict"}},
                {"name": "d", "rule": "dfa", "feedback": {"normalisation": "strict"}},
            ]},
            ["condition 'd': feedback.normalisation: 'strict'"],
        ),
        (
            {"condition": [{"name": "a", "rule": "augmented"}, {"name": "d", "rules": {"augmented": {"g": "cos"}}}]},
            ["condition 'd': rules.augmented", "does not train with the rule 'augmented'"],
        ),
        ({"rule": "dfa", "neuron": {"tau": 30.0}}, ["neuron.tau: 30.0", "under a rule with phases", "allowed here: 0.0"]),
        (
            {"optimiser": {"learning_rate": 0.5}, "stage": [{"learning_rate": 0.1}]},
            ["optimiser.learning_rate: 0.5", "without a learning_rate of their own"],
        ),
        *(
            (
                {"rule": "fa", "feedback": {"pathway": pathway, "normalisation": "strict", key: value}},
                [f"feedback.{key}: {value!r}", "not given the norm of weights"],
            )
            for pathway in ("sequential", "sign_symmetric") for key, value in (("gain", 3.0), ("fan_out", "none"))
        ),
        *(
            ({"network": {"neuron": "lif", "hidden": [6], key: 5.0}}, [f"network.{key}: 5.0", "spikes pass"])
            for key in ("delay", "tau_syn")
        ),
        *(
            (
                {"network": {"neuron": "lif", "hidden": [6, 6], "projection": [{"pre": pre, "post": pre + 1, key: 7.0}]}},
                [f"network.projection[0].{key}: 7 ms", "no spikes pass with", model],
            )
            for pre, model in ((0, "input.code = 'current'"), (2, "network.output = 'logistic'"))
            for key in ("delay", "tau_syn")
        ),
        (
            {"network": {"neuron": "lif", "projection": [{"pre": 1, "post": 1, "probability": 0.9}]}},
            ["network.projection[0].probability: 0.9", "of sparse synapses", "'dense'"],
        ),
        (
            {"network": {"neuron": "lif", "projection": [{"pre": 1, "post": 1, "weights": "zero", "scale": 3.0}]}},
            ["network.projection[0].scale: 3", "begin at zero"],
        ),
        (
            {"network": {"neuron": "lif", "projection": [{"pre": 1, "post": 1, "weights": "uniform", "scale": -3.0}]}},
            ["network.projection[0].scale: -3", "'uniform'", "above 0"],
        ),
        (
            {"network": {
                "neuron": "lif", "hidden": [6],
                "projection": [{"pre": 0, "post": 1, "plastic": False}, {"pre": 1, "post": 2, "plastic": False}],
            }},
            ["network.projection: plastic is false in all", "nothing can learn"],
        ),
        ({"stage": [{"learning_rate": 1e-60}]}, ["stage[0].learning_rate: 1e-60 is 0 in float32"]),
        ({"optimiser": {"weight_decay": 1e-60}}, ["optimiser.weight_decay: 1e-60 is 0 in float32"]),
        ({"feedback": {"gain": 1e-60}}, ["feedback.gain", "1e-60", "greater than or equal to 0.0000"]),
        ({"network": {"delay": 2.0}}, ["network.delay: 2.0", "where rate neurons take time", "allowed here: 1.0"]),
        ({"feedback": {"spread": True}}, ["feedback.spread: True", "by modules of graphs", "allowed here: False"]),
        ({"preprocess": {"whiten_epsilon": 0.1}}, ["preprocess.whiten_epsilon: 0.1", "whiten = true", "allowed here: 0.01"]),
        ({"record": {"neurons": [1]}}, ["record.neurons: [1]", "record.changes or record.states", "leave it out"]),
        ({"record": {"window": [0.0, 9.0]}}, ["record.window: [0.0, 9.0]", "record.states", "leave it out"]),
        ({"record": {"interval": 2.0}}, ["record.interval: 2.0", "record.states", "which is 0; allowed here: 0.5"]),
        ({"rule": "bp", "feedback": {"gain": 2.0}}, ["feedback.gain: 2.0", "drawn at random", "'bp'", "allowed here: 1"]),
        (
            {"feedback": {"signs": "sender", "pathway": "transpose"}},
            ["feedback.signs: 'sender'", "where a matrix B is drawn at random", "allowed here: 'free'"],
        ),
        (
            {"feedback": {"density": 0.5, "pathway": "direct_kolen_pollack"}},
            ["feedback.density: 0.5 would not last", "'direct_kolen_pollack' changes B", "allowed: 1.0, or a pathway"],
        ),
        ({"rule": "augmented", "rules": {"augmented": {"g": "sine"}}}, ["rules.augmented.g: 'sine'", "one, step, tanh"]),
        ({"rule": "augmented", "rules": {"augmented": {"g": 1}}}, ["rules.augmented.g: 1 is not one of one, step"]),
        ({"rule": "frozen", "network": {"weights": "zero"}}, ["network.weights: 'zero'", "'frozen'", "use 'uniform'"]),
        ({"rule": "frozen", "stage": [{"frozen": [-1]}]}, ["stage[0].frozen", "'frozen'", "the output alone learns"]),
        ({"rule": "dfa", "feedback": {"pathway": "sequential"}}, ["feedback.pathway", "does not go with", "direct"]),
        ({"rule": "ifa", "network": {"weights": "zero", "hidden": [3, 3]}}, ["network.weights", "'zero' cannot learn", "ifa"]),
        ({"rule": "bp", "network": {"weights": "zero"}}, ["network.weights", "'zero' cannot learn", "bp"]),
        ({"network": {"weights": "zero", "scale": 2.0}}, ["network.scale", "2", "network.weights = 'zero'"]),
        ({"rule": "dfa", "network": {"scale": 0.5}}, ["network.scale", "0.5", "network.weights = 'zero'"]),
        ({"network": {"weights": "given", "scale": 2.0}}, ["network.scale", "2", "network.weights = 'given'"]),
        ({"network": {"from_run": "a/b", "scale": 2.0}}, ["network.scale", "2", "network.from_run"]),
        (
            {"feedback": {"pathway": "drtp"}, "network": {"output": "linear"}},
            ["feedback.pathway: 'drtp', under rule = 'local',", "network.output = 'linear'", "numbers", "allowed: 'logistic'"],
        ),
        ({"rule": "drtp", "network": {"output": "linear"}}, ["feedback.pathway: 'drtp', under rule = 'drtp',", "'softmax'"]),
        ({"feedback": {"pathway": "indirect"}}, ["phases.propagation", "'held'", "live"]),
        ({"feedback": {"pathway": "sequential"}, "phases": {"propagation": "live"}}, ["phases.propagation", "held"]),
        ({"neuron": {"tau": 5.0}, "network": {"threshold": 0.0}}, ["network.threshold", "infinitely many"]),
        ({"rules": {"erbp": {"v_low": 1.5}}, "rule": "erbp"}, ["rules.erbp: v_low = 1.5", "v_high = 1,", "v_low ≤ v_high"]),
        (
            {"neuron": {"tau": 5.0}, "network": {"threshold": 0.01, "delay": 1.0}, "phases": {"nudged": 20.0}},
            ["phases.gate", "network.delay", "held"],
        ),
        (
            {"neuron": {"tau": 5.0}, "network": {"threshold": 0.01, "delay": 60.0}, "phases": {"free": 100.0}},
            ["phases.free", "100.0", "more than 120.0"],
        ),
        ({"neuron": {"tau": 5.0}, "network": {"threshold": 1e-9}}, ["network.threshold", "1e-09", "1e-05"]),
        ({**LIF, "neuron": {"tau": 5.0}}, ["neuron.tau", "lif", "tau_m"]),
        ({**LIF, "neuron": {"v_reset": 2.0}}, ["neuron.v_reset", "2.0", "less than or equal to 0"]),
        (
            {"network": {"neuron": "lif"}, "phases": {"free": 100.0}},
            ["phases.free", "100.0", "at least 320.0", "trace.tau_x"],
        ),
        ({**LIF, "trace": {"tau": 5.0}}, ["unknown key trace.tau", "tau_x, tau_z"]),
        ({**LIF, "phases": {"free": 400.0, "teacher": "drive"}}, ["phases.teacher", "'drive'", "'activity'"]),
        ({**LIF, "phases": {"free": 400.0, "nudged": 20.0, "gate": 30.0}}, ["phases.gate", "30.0", "phases.nudged = 20.0"]),
        ({**LIF, "feedback": {"pathway": "sequential"}}, ["feedback.pathway", "'sequential'", "allowed", "direct", "indirect"]),
        ({"network": {"neuron": "lif", "threshold": 0.1}}, ["network.threshold", "0.1", "graded"]),
        ({"network": {"neuron": "lif", "dropout": 0.1}}, ["network.dropout", "spikes", "network.input_dropout"]),
        (
            {"network": {"neuron": "lif", "input_dropout": 0.1}, "input": {"code": "poisson"}},
            ["network.input_dropout: 0.1", "'poisson'", "input.code = 'current'"],
        ),
        (
            {"network": {"neuron": "lif", "weights": "zero"}, "neuron": {"baseline": 0.5}},
            ["network.weights", "'zero' cannot learn", "lif", "no slope"],
        ),
        ({"condition": [{"name": "a"}, {"name": "A"}]}, ["condition.name", "'a'", "case"]),
        ({"condition": [{"name": "a"}, {"name": "a"}]}, ["condition.name", "'a'", "more than one"]),
        ({"condition": [{"name": "../a"}]}, ["condition[0].name", "'../a'"]),
        ({"condition": [{"rule": "dfa"}]}, ["condition[0].name", "missing"]),
        ({"condition": [{"name": "a", "phases": {"bta": 1.0}}]}, ["condition 'a'", "phases.bta", "did you mean 'beta'"]),
        ({"condition": [{"name": "a", "data": "mnist"}]}, ["condition 'a'", "unknown key data"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_message(tables, words):
    message = refusal(tables)
    assert all(word in message for word in words), message
    assert len(message) < 400


def test_every_wrong_key_is_named_at_once():
    assert len(refusal({"phases": {"beta": -1.0, "nudging": "both"}, "seeds": []}).splitlines()) == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epochs=3", "unknown key epochs: there is none of this name here; did you mean --set 'stage=[{epochs = 3}]'?"),
        ("hidden=100", "did you mean --set 'network.hidden=[100]'?"),
        ("lr=0.1", "did you mean --set optimiser.learning_rate=0.1 or --set 'stage=[{learning_rate = 0.1}]'?"),
        ("seeds=3", "seeds: 3 is not allowed: it is a list; did you mean --set 'seeds=[3]'?"),
        ("seeds=[]", "seeds: [] is not allowed: it has at least 1 entry; for instance --set 'seeds=[0]'"),
        ("seeds=abc", "seeds: 'abc' is not allowed: it is a list; for instance --set 'seeds=[0]'"),
        ("certify.betas=[1.0]", "it has at least 3 entries; for instance --set 'certify.betas=[1.0, 0.3, "),
        ("network.hidden=100", "it is a list; did you mean --set 'network.hidden=[100]'?"),
        ('network.hidden="100"', "network.hidden: '100' is not allowed: it is a list; did you mean --set"),
        ("network.hidden=100,50", "did you mean --set 'network.hidden=[100, 50]'?"),
        ("network.projection=1", "it is a list; did you mean --set 'network.projection=[{pre = 1, post = 1}]'?"),
        ("stage={epochs=3}", "stage: {'epochs': 3} is not allowed: it is a list; did you mean --set 'stage=[{epochs = 3}]'?"),
        ("stage.epochs=3", "did you mean --set 'stage=[{epochs = 3}]'?"),
        ("stage.epoch=3", "it is a list; for instance --set 'stage=[{epochs = 10}]'"),
        ("stage=dfa", """did you mean --set 'stage=[{rule = "dfa"}]'?"""),
        ("stage=[3]", "stage[0]: 3 is not allowed: it is a table of the keys epochs, rule, "),
        ("condition=3", """it is a list; for instance --set 'condition=[{name = "a"}]'"""),
        ("network.neuron=LIF", "did you mean 'lif'? Write --set network.neuron=lif"),
        ("network.neuron=sigmoid", "did you mean 'logistic'? Write --set network.neuron=logistic"),
        ("network.neuron=spiking", "'spiking' is not one of alif, leaky_relu, lif, linear, logistic, qif, relu, tanh; "),
        ("network.neuron=dfa", "did you mean --set rule=dfa?"),
        ("phases.propagation=hold", "did you mean 'held'? Write --set phases.propagation=held"),
        ("feedback.pathway=dfa", "did you mean --set feedback.pathway=direct, which is that rule's, or --set rule=dfa?"),
        ("optimiser.lr=0.1", "did you mean 'learning_rate'?"),
        ("optimiser=Adam", "optimiser: 'Adam' is not allowed: it is a table of the keys name, weight_decay and the optimi"),
        ("optimiser=adam", "did you mean --set optimiser.name=adam?"),
        ("neuron=lif", "neuron: 'lif' is not allowed: it is a table of parameters; did you mean --set network.neuron=lif?"),
        ("network=lif", "did you mean --set network.neuron=lif?"),
        ("input=poisson", "did you mean --set input.code=poisson?"),
        ("feedback=direct", "did you mean --set feedback.pathway=direct?"),
        ("phases=live", "did you mean --set phases.propagation=live?"),
        ("preprocess=whiten", "did you mean --set preprocess.whiten=true?"),
        ("record=5", "record: 5 is not allowed: it is a table of the keys probe, "),
        ("title=3", """title: 3 is not allowed: input should be a valid string; did you mean --set 'title="3"'?"""),
        ('batch_size="64"', "did you mean --set batch_size=64?"),
        ("condition=[{name='a b/c'}]", "'a b/c' is not allowed: a name has letters from a to z, digits and the signs _ . + -,"),
        ("condition=[{name='a b/c'}]", "did you mean 'a-b-c'?"),
        ("condition=[{name='a', seeds=[1]}]", "unknown key seeds: it is of the experiment as a whole"),
    ],
)  # fmt: skip
def test_what_was_meant_is_offered_as_it_is_written(override, words, tmp_path):
    """And an experiment takes it."""
    (tmp_path / "lif.toml").write_text('network.neuron = "lif"\n')
    with pytest.raises(SpecError) as caught:
        spec.load("quickstart", [override])
    assert words in str(caught.value)
    assert "`" not in str(caught.value)
    for written in re.findall(r"(?:mean|or|instance|Write) --set ('[^']*'|[^ ?,]*)", str(caught.value)):
        (option,) = shlex.split(written)
        if not option.startswith("condition="):
            spec.load(str(tmp_path / "lif.toml"), [option])


def test_from_a_file_and_from_python_it_is_offered_as_toml(tmp_path):
    (tmp_path / "mine.toml").write_text('optimiser = "adam"\n')
    for read in (lambda: spec.load(str(tmp_path / "mine.toml")), lambda: spec.experiment(optimiser="adam")):
        with pytest.raises(SpecError, match=r'did you mean `optimiser\.name = "adam"`'):
            read()


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        ([], []),
        (["seeds=[7]", "trace.tau_x=20", "optimiser.decay=0.8", "batch_size=32"], []),
        (["stage=[{epochs=3}]"], ["--set stage=[{epochs=3}] is not taken by condition spikes, which has its own stage"]),
        (["rule=bp"],
         ["--set rule=bp is not taken by conditions local, dfa, fa, ifa, spikes, which have their own rule"]),
        (["rule='local'", "phases.beta=2.0"],
         ["--set rule='local' is not taken by conditions dfa, fa, ifa, bp, which have their own rule"]),
        (["network={hidden=[9], input_dropout=0.1}"],
         ["--set network={hidden=[9], input_dropout=0.1} is not taken by condition spikes, which has its own network.hidden"]),
        (["neuron.tau=0"], ["--set neuron.tau=0 is not taken by condition spikes, which has its own network.neuron"]),
        (["condition=[{name='a', batch_size=8}, {name='b', batch_size=9}]", "batch_size=7"],
         ["--set batch_size=7 has no effect: every condition has its own batch_size"]),
        (["condition=[{name='a', optimiser.name='adam'}]", "optimiser.decay=0.8"],
         ["--set optimiser.decay=0.8 has no effect: every condition has its own optimiser.name"]),
    ],
)  # fmt: skip
def test_an_override_that_conditions_do_not_take_is_said_to_be_so(overrides, lines):
    spec.load("quickstart", overrides)
    assert spec.untaken("quickstart", overrides) == lines


@pytest.mark.parametrize("value", ["", "bpp"])
def test_what_every_condition_replaces_has_to_be_right_as_well(value):
    with pytest.raises(SpecError, match=rf"rule: '{value}' is not one of augmented, bp, .*, local"):
        spec.load("quickstart", [f"rule={value}"])
    message = refusal({"neuron": {"tua": 1.0}, "condition": [{"name": "a", "network": {"neuron": "relu"}}]})
    assert message.startswith("neuron.tua: a parameter of tanh")


@pytest.mark.parametrize(
    ("override", "left"),
    [
        ("stage=[{epochs=3", "bracket {"), ("stage=[{epochs=3}", "bracket ["), ("seeds=[1, 2", "bracket ["),
        ("network={hidden=[3}", "bracket ["), ("condition=[{name='a}]", "quotation mark '"), ('title="a', 'quotation mark "'),
    ],
)  # fmt: skip
def test_a_bracket_that_is_not_closed_is_said(override, left):
    with pytest.raises(SpecError, match=re.escape(f"the {left} is not closed; a text that begins so stands in quotes")):
        spec.load("mnist", [override])


def test_text_may_begin_with_a_bracket_in_quotes():
    assert spec.load("mnist", ['title="[a"']).title == "[a"
    assert spec.load("mnist", ["title=a [b"]).title == "a [b"


def test_graded_events_have_a_size_where_activity_takes_time():
    """Left out, ε is one with which events come to an end; what settles at once, and spikes, have none."""
    taking = {"neuron": {"tau": 10.0}}
    assert setting_of(**taking).network.threshold == 0.01
    assert setting_of(**taking, network={"threshold": 0.02}).network.threshold == 0.02
    for settled in ({}, {"rule": "dfa"}, {"neuron": {"tau": 0.0}}, {"network": {"neuron": "lif"}}):
        assert setting_of(**settled).network.threshold == 0
    found = spec.experiment({**taking, "condition": [{"name": "a"}, {"name": "b", "rule": "bp"}]})
    assert [setting.network.threshold for setting in spec.settings(found).values()] == [0.01, 0]
    assert spec.settings(spec.experiment(found.model_dump(exclude_unset=True))) == spec.settings(found)


def test_text_without_quotes_is_told_of_them(tmp_path):
    (tmp_path / "mine.toml").write_text("seeds = [1]\ndata = digits # the small ones\n")
    with pytest.raises(SpecError, match='text stands in quotes: data = "digits"'):
        spec.load(str(tmp_path / "mine.toml"))


def test_the_parameters_of_a_model_are_judged_whatever_else_is_wrong():
    message = refusal({"network": {"neuron": "lif", "hidden": [0]}, "neuron": {"tau": 5.0}, "optimiser": {"name": "sdg"}})
    assert [line.split(":")[0] for line in message.splitlines()] == ["network.hidden[0]", "optimiser.name", "neuron.tau"]


def test_what_several_conditions_have_wrong_is_said_once():
    conditions = [{"name": "a"}, {"name": "b"}, {"name": "c", "phases": {"beta": 0.0}}]
    lines = refusal({"neuron": {"tua": 1.0}, "condition": conditions}).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["condition 'a'", "neuron.tua"], ["condition 'c'", "phases.beta"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"network": {"delay": 1e-9}}, "network.delay"),
        ({"network": {"projection": [{"pre": 1, "post": 1, "delay": 1e-3}]}}, "network.projection[0].delay"),
        ({"network": {"tau_syn": 1e-300}}, "network.tau_syn"),
        ({"network": {"projection": [{"pre": 1, "post": 1, "tau_syn": 0.05}]}}, "network.projection[0].tau_syn"),
        ({"phases": {"free": 1e-300}}, "phases.free"),
        ({"phases": {"nudged": 1e-3}}, "phases.nudged"),
        ({"phases": {"gate": 1e-20}}, "phases.gate"),
        ({"trace": {"tau_x": 1e-3}}, "trace.tau_x"),
        ({"input": {"window": 1e-9}}, "input.window"),
        ({"input": {"step": 1e-12}}, "input.step"),
        ({"input": {"rate": 1e-300}}, "input.rate"),
        ({"input": {"rate": 1e5}}, "input.rate"),
        ({"feedback": {"interval": 1e-6}}, "feedback.interval"),
        ({"feedback": {"rate": 1e-300}}, "feedback.rate"),
        ({"neuron": {"tau": 1e-300}, "precision": "float64"}, "neuron.tau"),
        ({"network": {"neuron": "lif"}, "neuron": {"t_ref": 1e-6}}, "neuron.t_ref"),
        ({"network": {"neuron": "lif"}, "neuron": {"tau_m": 1e-6}}, "neuron.tau_m"),
    ],
    ids=str,
)
def test_times_and_rates_that_no_simulation_resolves_are_refused(tables, key):
    message = refusal(tables)
    assert message.startswith(f"{key}: "), message
    assert "greater than or equal to" in message or "less than or equal to" in message


def test_zero_is_a_time_constant_of_its_own():
    loop = {"pre": 1, "post": 1, "tau_syn": 0.0}
    found = spec.experiment(network={"neuron": "lif", "hidden": [5, 5], "tau_syn": 0.1, "projection": [loop]})
    assert (found.network.tau_syn, found.network.projection[0].tau_syn) == (0.1, 0.0)


def delayed(layers, *projections, code="current", **network):
    """LIF layers of five, with projections (pre, post, delay)."""
    tables = [{"pre": pre, "post": post, **({"delay": delay} if delay else {})} for pre, post, delay in projections]
    network = {"neuron": "lif", "hidden": [5] * layers, "projection": tables, **network}
    return {"network": network, "input": {"code": code}, "phases": {"free": 400.0}}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (delayed(1, (1, 1, None), delay=401.0), ["network.delay: with 401 ms", "population 1", "population 1 after 401 ms"]),
        (
            delayed(2, (1, 2, 401.0)),
            ["network.projection[0].delay: with 401 ms", "allowed: up to 400 ms, or a free phase of at l"],
        ),
        (delayed(1, (1, 1, 400.5)), ["network.projection[0].delay: with 400.5 ms", "up to 400 ms", "at least 400.5 ms"]),
        (delayed(2, (2, 1, 399.5)), ["network.projection[0].delay", "up to 399 ms", "at least 400.5 ms"]),
        (delayed(1, (0, 1, 500.0), code="poisson"), ["[0].delay: with 500 ms", "population 0 send reaches population 1"]),
        (delayed(2, (0, 1, 250.0), (1, 2, 200.0), code="poisson"), ["[1].delay: with 200 ms", "after 450 ms", "up to 150 ms"]),
    ],
)
def test_what_reaches_a_population_after_the_free_phase_is_refused(tables, words):
    message = refusal(tables)
    assert all(word in message for word in [*words, "is over, phases.free = 400 ms; allowed: "]), message


@pytest.mark.parametrize(
    "tables",
    [
        delayed(2, delay=80.0),  # which the traces of the second layer wait for; the output reads them where they are sent
        delayed(1, (1, 1, 400.0)),
        delayed(2, (2, 1, 399.0)),
        # Another way is shorter; currents have no delay.
        delayed(2, (0, 1, 250.0), (1, 2, 390.0), (0, 2, None), (2, 1, None), code="poisson"),
    ],
)
def test_what_reaches_every_population_within_the_free_phase_is_not(tables):
    spec.experiment(tables)


@pytest.mark.parametrize(
    ("tables", "arrival"),
    [
        (delayed(2), 1.0),
        (delayed(2, (1, 2, 300.0)), 300.0),
        (delayed(3, (1, 2, 300.0)), 301.0),
        (delayed(3, (1, 2, 300.0), (1, 3, 20.0)), 300.0),
        # Another way is shorter; what goes back reaches a population that has risen.
        (delayed(3, (1, 3, 300.0), (2, 1, 300.0)), 2.0),
        # Ways from inputs and to an output count with what they take longer than network.delay.
        (delayed(2, code="poisson"), 1.0),
        (delayed(2, (0, 1, 300.0), code="poisson"), 300.0),
        (delayed(2, (0, 1, 0.5), (0, 2, None), code="poisson"), 0.0),
        (delayed(2, output="spikes"), 1.0),
        (delayed(2, (2, 3, 300.0), output="spikes"), 300.0),
    ],
)
def test_the_free_phase_lasts_until_the_traces_of_the_population_that_spikes_reach_last_are_settled(tables, arrival):
    """Eight of their time constants behind the first arrival there, and by default no longer."""
    settled, free = 8 * 40.0 + arrival, {**tables, "phases": {}}
    assert setting_of(**free).phases.free == settled
    spec.experiment({**tables, "phases": {"free": settled}})
    message = refusal({**tables, "phases": {"free": settled - 0.5}})
    assert f"phases.free: after {settled - 0.5} ms the traces still rise" in message, message
    assert f"allowed: at least {settled} ms" in message, message


@pytest.mark.parametrize(
    ("projection", "delay"),
    [
        ({"pre": 0, "post": 2, "delay": 0.5}, 1.0),  # from the inputs to population 1 it is network.delay all the same
        ({"pre": 0, "post": 2, "delay": 4.0}, 4.0),
        ({"pre": 0, "post": 1, "delay": 0.5}, 0.5),
    ],
)
def test_delay_lines_end_with_the_free_phase_by_the_longest_delay_from_the_inputs(projection, delay):
    tables = {"network": {"neuron": "lif", "hidden": [5, 5], "projection": [projection]}, "phases": {"free": 330.0}}
    spec.experiment(tables | {"input": {"code": "trains", "lines": [0.0, 330.0 - delay]}})
    message = refusal(tables | {"input": {"code": "trains", "lines": [0.0, 330.4 - delay]}})
    assert f"the delay of {delay} ms bring comes after the first nudged phase" in message, message
    assert f"allowed: up to {330.0 - delay:g} ms" in message, message


def test_rules_that_do_not_learn_from_where_they_start_are_said():
    """A nudge to both sides of zero moves a ReLU on one of them, so the local rule needs no slope there."""

    def said(rule, weights="zero", neuron="relu"):
        tables = spec.experiment(rule=rule, network={"weights": weights, "neuron": neuron})
        return [*spec.checks.doubtful(next(iter(spec.settings(tables).values())))]

    assert said("local") == said("dfa", "uniform") == said("dfa", neuron="tanh") == said("dfa", neuron="leaky_relu") == []
    for rule in ("fa", "dfa"):
        (message,) = said(rule)
        assert message.startswith("network.weights: from 'zero' the hidden layers do not move under rule = ")
        assert repr(rule) in message


SPIKES = {"network": {"neuron": "lif"}, "input": {"code": "poisson"}}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"rule": "dfa", "phases": {"beta": 0.5}}, ["phases.beta: 0.5", "'dfa'", "depends on β", "allowed here: 0.1"]),
        ({"rule": "bp", "phases": {"nudging": "one_sided"}}, ["phases.nudging: 'one_sided'", "with phases", "'centered'"]),
        ({"rule": "bp", "phases": {"propagation": "live"}}, ["phases.propagation: 'live'", "with phases", "'held'"]),
        ({"rule": "bp", "phases": {"teacher": "drive"}}, ["phases.teacher: 'drive'", "with phases", "'activity'"]),
        ({"phases": {"free": 50.0}}, ["phases.free: 50.0", "takes time", "neuron.tau > 0", "allowed here: 100.0"]),
        ({"phases": {"nudged": 50.0}}, ["phases.nudged: 50.0", "takes time", "allowed here: 20.0"]),
        ({"phases": {"gate": 5.0}}, ["phases.gate: 5.0", "takes time", "leave it out"]),
        ({**SPIKES, "rule": "erbp", "phases": {"beta": 0.5}}, ["phases.beta: 0.5", "'erbp'", "allowed here: 2.0"]),
        ({"feedback": {"interval": 2.0}}, ["feedback.interval: 2.0", "feedback.signal", "allowed here: 1.0"]),
        (
            {**SPIKES, "feedback": {"rate": 50.0, "signal": "continuous"}},
            ["feedback.rate: 50.0", "feedback.signal = 'spikes'", "allowed here: 500.0"],
        ),
        (
            {"phases": {"beta": 0.5}, "condition": [{"name": "a", "rule": "bp"}, {"name": "b", "rule": "dfa"}]},
            ["phases.beta: 0.5", "the rules here: 'bp', 'dfa'", "depends on β"],
        ),
        (
            {"condition": [{"name": "a", "rule": "bp", "phases": {"beta": 0.5}}, {"name": "b", "rule": "dfa"}]},
            ["phases.beta: 0.5", "depends on β"],
        ),
    ],
)
def test_a_key_that_no_condition_reads_is_refused(tables, words):
    message = refusal(tables)
    assert all(word in message for word in words), message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "tables",
    [
        {"rule": "dfa", "phases": {"beta": 0.1, "free": 100.0}},  # what it is if left out
        {**SPIKES, "rule": "erbp", "phases": {"beta": 2.0, "nudging": "one_sided", "nudged": 150.0, "gate": 100.0}},
        {"phases": {"beta": 0.5}, "condition": [{"name": "a", "rule": "bp"}, {"name": "b"}]},
        {"rule": "bp", "phases": {"beta": 0.5}, "stage": [{"epochs": 1}, {"epochs": 1, "rule": "local"}]},
        {"rule": "bp", "phases": {"beta": 0.5}, "stage": [{"epochs": 1, "layer_rules": {"1": "local"}}]},
        {
            "phases": {"nudged": 50.0, "propagation": "live"},
            "condition": [{"name": "a"}, {"name": "b", "neuron": {"tau": 5.0}}],
        },
        {**SPIKES, "feedback": {"rate": 50.0, "signal": "spikes"}},
    ],
)
def test_a_key_that_a_condition_reads_is_not_refused(tables, tmp_path):
    found = spec.experiment(tables)
    (tmp_path / "spec.toml").write_text(record.to_toml(found), encoding="utf-8")
    again = spec.settings(spec.load(str(tmp_path / "spec.toml")))
    for name, setting in spec.settings(found).items():
        assert (again[name].phases, again[name].feedback) == (setting.phases, setting.feedback)


def test_trials_of_many_steps_are_said_to_be_slow():
    def said(**network):
        tables = spec.experiment(network={"neuron": "lif", **network})
        return [*spec.checks.doubtful(next(iter(spec.settings(tables).values())))]

    loop = {"pre": 1, "post": 1}
    assert said() == said(delay=0.01, hidden=[5, 5]) == said(projection=[loop]) == []
    (message,) = said(delay=0.01, projection=[loop])
    assert message.startswith("the delay of a projection back: 0.01 ms makes 104,000 steps of each trial of 1040 ms")


def held_by_itself():
    tables = {"network": {}}
    tables["network"]["network"] = tables
    return tables


@pytest.mark.parametrize("wrong", ["quickstart", ["a"], 5, {"network": {"hidden": "x" * 10**6}}, {"x" * 10**6: 1},
                                   {"stage": [{"y" * 10**6: 1}]}, {"seeds": [10**5000]}, {"a": [[[[[[[]]]]]] * 9] * 9},
                                   {3: 4}, {"network": {None: 4}}, {"title": "\ud800"}, {"neuron": {"tau": object()}},
                                   {"condition": [{"name": "a", "b" * 10**6: 1}]}, {"optimiser": {"z" * 10**6: 1.0}},
                                   held_by_itself()])  # fmt: skip
def test_whatever_stands_for_a_spec_is_refused_in_few_words(wrong):
    assert len(refusal(wrong)) < 1500


@pytest.mark.parametrize("content", ["a" + ".a" * 300 + " = 1", "[a" + ".a" * 300 + "]", "a = " + "{a=" * 40 + "1" + "}" * 40])
def test_what_is_nested_deep_is_refused(tmp_path, content):
    (tmp_path / "deep.toml").write_text(content)
    with pytest.raises(SpecError, match="nested more than 20 deep"):
        spec.load(str(tmp_path / "deep.toml"))
    if "=" in content:
        with pytest.raises(SpecError, match="nested more than 20 deep"):
            spec.load("quickstart", [content])


def test_no_message_repeats_what_it_was_given():
    for override in ("x" * 264_334, "title=" + "x" * 264_334, "x" * 264_334 + "=1", "data='" + "y" * 264_334 + "'"):
        with pytest.raises(SpecError) as caught:
            spec.load("quickstart", [override])
        assert len(str(caught.value)) < 1500
    for name in ("z" * 10**6, "z" * 10**6 + ".toml", "\0.toml"):
        with pytest.raises(SpecError) as caught:
            spec.load(name)
        assert len(str(caught.value)) < 1500
    many = refusal({f"key{i}": 1 for i in range(10_000)})
    assert len(many.splitlines()) == 26
    assert many.endswith("... and 9975 more")


def test_durations_and_nudges_that_are_left_out_follow_the_neurons():
    def phases(**tables):
        found = next(iter(spec.settings(spec.experiment(tables)).values())).phases
        return found.free, found.nudged, found.beta

    lif, slow = {"neuron": "lif"}, {"tau_x": 10.0, "tau_z": 100.0}
    assert phases() == phases(network=lif, rule="dfa") == (100.0, 20.0, 0.1)
    assert phases(network=lif) == (320.0, 200.0, 2.0)
    assert phases(network={**lif, "hidden": [5, 5, 5], "delay": 2.0}, trace=slow) == (804.0, 500.0, 2.0)
    assert phases(network=lif, phases={"free": 400.0, "beta": 0.1}) == (400.0, 200.0, 0.1)
    assert phases(network=lif, phases={"gate": 300.0}) == (320.0, 300.0, 2.0)
    timed = {"neuron": {"tau": 50.0}, "network": {"threshold": 0.01, "delay": 4.0}}
    assert phases(**timed) == (408.0, 4.0, 0.1)
    assert phases(**timed, phases={"propagation": "live"}) == (408.0, 254.0, 0.1)


def test_learning_rates_that_are_left_out_follow_neuron_and_optimiser():
    def rate(**tables):
        return next(iter(spec.settings(spec.experiment(tables)).values())).optimiser.parameters.get("learning_rate")

    logistic = {"neuron": "logistic"}
    assert rate() is None  # the optimiser's own
    assert rate(network=logistic) == 5e-3
    assert rate(network=logistic, optimiser={"name": "sgd"}) == 3e-2
    assert rate(network=logistic, optimiser={"learning_rate": 1e-4}) == 1e-4


def test_what_is_left_out_is_spelled_out_where_it_belongs(tmp_path):
    """A resolved spec says what its conditions stand for, and so keeps its meaning."""
    found = spec.experiment(
        condition=[
            {"name": "rate"},
            {"name": "spikes", "network": {"neuron": "lif"}, "phases": {"nudged": 50.0}},
            {"name": "logistic", "network": {"neuron": "logistic"}, "optimiser": {"decay": 0.9}},
        ]
    )
    (tmp_path / "again.toml").write_text(record.to_toml(found), encoding="utf-8")
    again = spec.load(str(tmp_path / "again.toml"))
    rate, spikes, logistic = (condition.changes for condition in again.condition)
    assert rate == {}
    assert spikes["phases"] == {"nudged": 50.0, "free": 320.0, "beta": 2.0}
    assert logistic["optimiser"] == {"decay": 0.9, "learning_rate": 5e-3}
    for name, setting in spec.settings(found).items():
        assert spec.settings(again)[name].phases == setting.phases


def test_experiments_are_short_to_look_at():
    found = spec.experiment(title="Mine", seeds=range(100), condition=[{"name": f"c{i}"} for i in range(30)])
    assert repr(found) == str(found)
    assert len(repr(found)) < 200
    assert repr(spec.experiment(rule="bp")) == "Experiment(data='digits', conditions: bp; seeds: 0)"


def test_initial_weights_follow_the_rule():
    def weights(**tables):
        return next(iter(spec.settings(spec.experiment(tables)).values())).initial_weights

    assert weights(rule="local") == weights(rule="dfa") == weights(rule="fa") == "zero"
    assert weights(rule="bp") == weights(rule="ifa") == "uniform"
    assert weights(rule="dfa", network={"neuron": "relu"}) == "uniform"
    assert weights(rule="dfa", stage=[{"epochs": 1}, {"rule": "bp"}]) == "uniform"


def test_conditions_change_the_tables_key_by_key():
    found = spec.settings(
        spec.experiment(
            {
                "phases": {"beta": 0.5},
                "optimiser": {"name": "rmsprop", "decay": 0.9},
                "condition": [
                    {"name": "a"},
                    {
                        "name": "b",
                        "phases": {"nudging": "one_sided"},
                        "optimiser": {"name": "sgd", "learning_rate": 0.1},
                    },
                ],
            }
        )
    )
    assert list(found) == ["a", "b"]
    assert found["a"].phases.nudging == "centered"
    assert (found["b"].phases.nudging, found["b"].phases.beta) == ("one_sided", 0.5)
    assert found["b"].optimiser.parameters == {"learning_rate": 0.1}


def test_a_condition_keeps_the_parameters_of_the_model_it_names_again():
    base = {
        "network": {"neuron": "leaky_relu"},
        "neuron": {"slope": 0.2},
        "optimiser": {"name": "rmsprop", "learning_rate": 1e-2, "weight_decay": 0.1},
        "condition": [
            {"name": "again", "network": {"neuron": "leaky_relu"}, "optimiser": {"name": "rmsprop", "decay": 0.9}},
            {"name": "other", "network": {"neuron": "tanh"}, "optimiser": {"name": "adam"}},
        ],
    }
    found = spec.settings(spec.experiment(base))
    assert found["again"].neuron == {"slope": 0.2}
    assert found["again"].optimiser.parameters == {"learning_rate": 1e-2, "decay": 0.9}
    assert found["other"].neuron == found["other"].optimiser.parameters == {}
    assert found["again"].optimiser.weight_decay == found["other"].optimiser.weight_decay == 0.1


def test_python_sequences_and_numpy_numbers_are_welcome():
    found = spec.experiment(seeds=range(3), network={"hidden": (np.int64(4), 5)}, phases={"beta": np.float32(0.5)})
    assert (found.seeds, found.network.hidden, found.phases.beta) == ([0, 1, 2], [4, 5], 0.5)


def test_overrides_are_laid_over_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("seeds = [3]\n[network]\nhidden = [5]\n")
    found = spec.load(str(path), ["network.hidden=[7, 8]", "network.neuron=relu", "phases.beta=0.25", "data=mnist"])
    assert (found.network.hidden, found.network.neuron, found.phases.beta) == ([7, 8], "relu", 0.25)
    assert (found.data, found.seeds) == ("mnist", [3])
    assert spec.load(str(path), ['title=it\'s "mine"']).title == 'it\'s "mine"'
    for wrong in ("network.hidden", "=3", "a b=3", "seeds=[1]\nbatch_size=3"):
        with pytest.raises(SpecError, match="--set"):
            spec.load(str(path), [wrong])


def test_a_convolution_is_a_table_in_the_list_of_layers(tmp_path):
    layer = {"channels": 8, "pool": 3}
    found = spec.experiment(network={"hidden": [spec.Convolution(**layer), 50]})
    assert found.network.hidden == [spec.Convolution(**layer), 50]
    assert found.network.hidden[0].model_dump() == {
        "channels": 8, "kernel": 5, "padding": 2, "pool": 3, "stride": 3, "shared": True,
    }  # fmt: skip
    (tmp_path / "mine.toml").write_text(record.to_toml(found), encoding="utf-8")
    assert spec.load(str(tmp_path / "mine.toml")).network == found.network
    again = spec.load("mnist", ["network.hidden=[{channels = 8, pool = 3}, 50]"])
    assert all(setting.network.hidden == found.network.hidden for setting in spec.settings(again).values())


@pytest.mark.parametrize("content", [b"seeds = [1", b"\xff\xfe", b"a = 1\n" * 300_000, b"a = " + b"[" * 5000])
def test_a_file_that_is_no_spec_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"broken\.toml"):
        spec.load(str(path))


def test_a_number_of_thousands_of_digits_is_one_short_message(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("batch_size = " + "9" * 5000)
    with pytest.raises(SpecError, match=r"mine\.toml") as caught:
        spec.load(str(path))
    assert len(str(caught.value)) < 400


def test_a_missing_file_or_experiment_is_named():
    with pytest.raises(SpecError, match=r"nowhere\.toml: there is no such file"):
        spec.load("nowhere.toml")
    with pytest.raises(SpecError, match="did you mean 'quickstart'"):
        spec.load("quickstar")


@pytest.mark.parametrize("name", sorted(spec.bundled()))
def test_bundled_experiments_are_valid_and_survive_their_own_resolution(name, tmp_path):
    found = spec.load(name)
    assert found.title
    (tmp_path / "again.toml").write_text(record.to_toml(found), encoding="utf-8")
    again = spec.load(str(tmp_path / "again.toml"))
    assert record.to_toml(again) == record.to_toml(found)
    for key, setting in spec.settings(found).items():
        other = spec.settings(again)[key]
        assert other.initial_weights == setting.initial_weights
        assert other.phases == setting.phases
        assert other.network == setting.network
        assert other.stage == setting.stage


def test_models_are_found_by_their_files(monkeypatch):
    monkeypatch.setattr(registry, "_files", {})  # those of other tests are not localdfa's
    assert registry.names("rules") == ["augmented", "bp", "dfa", "drtp", "erbp", "fa", "frozen", "ifa", "local"]
    assert "fashion-mnist" in registry.names("data")
    torch = all(importlib.util.find_spec(needed) for needed in ("torch", "torch_geometric"))
    for family in registry.FAMILIES:
        for name in registry.names(family):
            assert (family == "modules" and not torch) or registry.get(family, name)
            assert registry.describe(family, name)
    with pytest.raises(SpecError, match="did you mean 'tanh'"):
        registry.get("neurons", "tnh")


LIF = {"neuron": "lif", "hidden": [20, 10]}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"input": {"code": "poison"}}, "input.code: 'poison' is not one of .*; did you mean 'poisson'"),
        ({"input": {"lines": [1.0]}}, r"input.lines: \[1.0\] goes with spiking neurons under the local rule"),
        ({"network": LIF, "input": {"lines": [1.0]}}, r"input.lines: delay lines carry spikes; .* 'current': \[0\]"),
        (
            {"network": LIF, "phases": {"free": 400.0}, "input": {"code": "trains", "lines": [0.0, 399.5]}},
            r"input.lines: what 399.5 ms and the delay of 1.0 ms bring .* taught; allowed: up to 399 ms",
        ),
        ({"network": {"tau_syn": 2.0}}, "network.tau_syn: 2.0 goes with spiking neurons under the local rule"),
        (
            {"network": LIF, "rule": "dfa", "input": {"code": "poisson"}},
            "input.code: 'poisson' goes with .* allowed here: 'current'",
        ),
        ({"network": {"output": "spikes"}}, "network.output: 'spikes' goes with"),
        ({"network": LIF | {"tau_syn": 10.0}}, "network.tau_syn: 10.0 ms is neuron.tau_m"),
        ({"network": LIF | {"projection": [{"pre": 3, "post": 1}]}}, "there are the populations 0"),
        ({"network": LIF | {"projection": [{"pre": 1, "post": 1}] * 2}}, "a second projection from 1 to 1"),
        ({"network": LIF | {"projection": [{"pre": 1, "post": 3}]}}, "only the layer below reaches an output that integrates"),
        ({"network": LIF | {"projection": [{"pre": 0, "post": 2}]}}, "input currents reach the first hidden layer only"),
        (
            {"network": LIF, "phases": {"free": 500.0, "teacher": "drive"}},
            "phases.teacher: 'drive' works with rate neurons, or",
        ),
        (
            {"network": LIF | {"projection": [{"pre": 1, "post": 1, "connect": "sparse"}]}, "optimiser": {"weight_decay": 0.1}},
            "optimiser.weight_decay: allowed with dense projections only",
        ),
    ],
    ids=str,
)
def test_spiking_circuits_that_cannot_be_are_refused(tables, message):
    phases = {"free": 500.0, "propagation": "two_compartment"}
    with pytest.raises(SpecError, match=message):
        spec.experiment({"phases": phases} | tables)
