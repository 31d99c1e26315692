"""Grids of values, which become the conditions of an experiment."""

import numpy as np
import pytest
from conftest import setting_of

from localdfa import spec
from localdfa.errors import SpecError
from localdfa.spec import grid


def names(experiment):
    return [condition.name for condition in experiment.condition]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["phases.beta=0.01,0.1"], {"phases.beta": [0.01, 0.1]}),
        (["batch_size=16"], {"batch_size": [16]}),
        (["network.hidden=[100],[20,20]"], {"network.hidden": [[100], [20, 20]]}),
        (["network.neuron=lif, alif"], {"network.neuron": ["lif", "alif"]}),
        (['network.neuron="lif","alif"', "feedback.shared=true,false"],
         {"network.neuron": ["lif", "alif"], "feedback.shared": [True, False]}),
    ],
)  # fmt: skip
def test_options_are_values_of_toml_or_texts(options, expected):
    assert grid.from_options(options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["phases.beta"], "write it as key=value,value"),
        (["phases.beta="], "write it as key=value,value"),
        (["=1,2"], "write it as key=value,value"),
        (["a=1", "a=2"], "'a' is there already"),
        (["network.hidden=[100],[20"], "--grid network.hidden=.*bracket"),
    ],
)
def test_options_of_another_form_are_refused(options, message):
    with pytest.raises(SpecError, match=message):
        grid.from_options(options)


def test_every_combination_is_a_condition():
    found = grid.expanded(spec.experiment(rule="local"), {"phases.beta": [0.1, 0.01], "network.hidden": [[10], [20, 20]]})
    assert names(found) == [
        "beta-0.1-hidden-10", "beta-0.1-hidden-20x20", "beta-0.01-hidden-10", "beta-0.01-hidden-20x20",
    ]  # fmt: skip
    settings = [*spec.settings(found).values()]
    assert [(s.phases.beta, s.network.hidden) for s in settings] == [
        (0.1, [10]), (0.1, [20, 20]), (0.01, [10]), (0.01, [20, 20]),
    ]  # fmt: skip
    assert all(s.rule == "local" for s in settings)


def test_values_may_be_those_of_arrays():
    """Also rows of them, and NumPy's numbers within lists."""
    found = grid.expanded(
        spec.experiment(rule="local"),
        {"network.hidden": np.array([[32, 32], [64, 64]]), "phases.beta": np.array([0.5]), "batch_size": (np.int64(8), 16)},
    )
    assert names(found) == [
        f"hidden-{hidden}-beta-0.5-batch_size-{size}" for hidden in ("32x32", "64x64") for size in (8, 16)
    ]  # fmt: skip
    assert [s.network.hidden for s in spec.settings(found).values()] == [[32, 32]] * 2 + [[64, 64]] * 2
    rows = grid.expanded(spec.experiment(), {"network.hidden": [np.array([32, 32]), (np.int64(64), 64)]})
    assert names(rows) == ["hidden-32x32", "hidden-64x64"]
    with pytest.raises(SpecError, match=r"network\.hidden has the value \[32, 32\] twice"):
        grid.expanded(spec.experiment(), {"network.hidden": np.array([[32, 32], [32, 32]])})
    with pytest.raises(SpecError, match=r"grid: batch_size: array\(5\); allowed: a list of values"):
        grid.expanded(spec.experiment(), {"batch_size": np.array(5)})


def test_conditions_keep_what_is_their_own_and_controls_stand_once():
    of_two = spec.experiment(
        batch_size=32,
        phases={"beta": 0.3},
        condition=[
            {"name": "a", "rule": "local", "phases": {"beta": 0.2, "nudging": "one_sided"}},
            {"name": "b", "rule": "bp"},
        ],
    )
    found = grid.expanded(of_two, {"phases.beta": [0.1, 1.0]})
    assert names(found) == ["a-beta-0.1", "a-beta-1.0", "b"]
    settings = spec.settings(found)
    assert {s.batch_size for s in settings.values()} == {32}
    assert [settings[name].phases.nudging for name in names(found)[:2]] == ["one_sided"] * 2
    assert settings["a-beta-1.0"].phases.beta == 1.0


# Specs, and keys and values that others follow where those are left out: durations, β, learning rates, ε.
FOLLOWED = [
    ({"network": {"neuron": "lif"}}, "trace.tau_z", [10.0, 20.0, 80.0]),
    ({"network": {"neuron": "logistic"}}, "network.neuron", ["logistic", "tanh", "lif"]),
    ({"network": {"neuron": "logistic"}}, "optimiser.name", ["rmsprop", "sgd"]),
    ({"network": {"neuron": "lif"}}, "network.neuron", ["lif", "tanh"]),
    ({"rule": "local"}, "neuron.tau", [0.0, 20.0]),
    ({"rule": "dfa"}, "rule", ["dfa", "local"]),
]


def by_hand(tables, key, value):
    """Tables with one value more, and nothing else."""
    table, _, name = key.partition(".")
    return {**tables, table: {**tables.get(table, {}), name: value} if name else value}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("tables", "key", "values"), FOLLOWED)
def test_what_follows_a_key_of_the_grid_follows_each_of_its_values(tables, key, values, named):
    """As in a spec that has the value from the start."""
    condition = {"condition": [{"name": "own"}]} if named else {}
    found = spec.settings(grid.expanded(spec.experiment({**tables, **condition}), {key: values}))
    for value, setting in zip(values, found.values(), strict=True):
        assert setting == setting_of(**by_hand(tables, key, value)), value


def test_a_key_that_is_read_beside_some_values_alone_varies_beside_those():
    of_two = spec.experiment(condition=[{"name": "l", "rule": "local"}, {"name": "b", "rule": "bp"}])
    found = grid.expanded(of_two, {"network.neuron": ["tanh", "lif"], "phases.nudged": [200.0, 300.0]})
    assert names(found) == [
        "l-neuron-tanh",
        "l-neuron-lif-nudged-200.0",
        "l-neuron-lif-nudged-300.0",
        "b-neuron-tanh",
        "b-neuron-lif",
    ]
    with pytest.raises(SpecError, match=r"grid: phases\.nudged is read by no condition"):
        grid.expanded(of_two, {"network.neuron": ["tanh", "relu"], "phases.nudged": [200.0, 300.0]})


def test_values_of_one_condition_alone_keep_its_name():
    only = spec.experiment(condition=[{"name": "b", "rule": "bp"}, {"name": "l", "rule": "local"}])
    assert names(grid.expanded(only, {"phases.beta": [1.0]})) == ["b", "l-beta-1.0"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"seeds": [[0], [1]]}, "'seeds' is no key that conditions may differ in"),
        (
            {"batch_size": [*range(1, 202)], "phases.beta": [*range(1, 101)]},
            "20100 combinations of values; allowed: at most 20000",
        ),
        ({"betta": [1]}, "'betta' is no key"),
        ({"phases.beta": []}, "phases.beta has no values"),
        ({"phases.beta": [0.1, 0.1]}, "has the value 0.1 twice"),
        ({"phases.beta": [0.1, -1.0]}, "beta"),
        ({"phases.beat": [0.1]}, "phases.beat"),
    ],
)
def test_what_no_condition_takes_is_refused(asked, message):
    with pytest.raises(SpecError, match=message):
        grid.expanded(spec.experiment(rule="local"), {"batch_size": [8], **asked})


def test_a_key_that_no_condition_reads_is_refused():
    with pytest.raises(SpecError, match=r"phases\.beta is read by no condition"):
        grid.expanded(spec.experiment(rule="bp"), {"phases.beta": [0.1, 1.0]})


def test_settings_that_differ_are_those_that_conditions_read():
    found = grid.expanded(spec.experiment(rule="local"), {"phases.beta": [0.1, 1.0]})
    assert spec.differing(spec.settings(found)) == {"beta-0.1": {"phases.beta": 0.1}, "beta-1.0": {"phases.beta": 1.0}}
    staged = [
        {"name": name, "stage": [{"epochs": 2, "frozen": frozen}, {"epochs": epochs, "layer_rules": rules}]}
        for name, frozen, epochs, rules in (("a", [], 3, {}), ("b", [1], 3, {"1": "local"}), ("c", [1], 4, {}))
    ]
    keys = "stage[0].frozen", "stage[1].epochs", "stage[1].layer_rules"
    tables = {"rule": "bp", "network": {"hidden": [4, 4]}}
    assert spec.differing(spec.settings(spec.experiment(condition=staged, **tables))) == {
        "a": dict(zip(keys, ([], 3, {}), strict=True)),
        "b": dict(zip(keys, ([1], 3, {"1": "local"}), strict=True)),
        "c": dict(zip(keys, ([1], 4, {}), strict=True)),
    }
    staged[2]["stage"] = staged[2]["stage"][:1]  # of another number they are told apart as a whole
    apart = spec.differing(spec.settings(spec.experiment(condition=staged, **tables)))
    assert {name: [*keys] for name, keys in apart.items()} == {name: ["stage"] for name in "abc"}
    rules = spec.experiment(condition=[{"name": rule, "rule": rule} for rule in ("bp", "dfa")])
    assert spec.differing(spec.settings(rules)) == {"bp": {}, "dfa": {}}


def test_of_modules_other_rules_than_local_are_controls():
    tables = {"module": {"name": "mlp"}, "condition": [{"name": rule, "rule": rule} for rule in ("bp", "dfa", "local")]}
    found = grid.expanded(spec.experiment(tables), {"phases.beta": [0.01, 0.1], "feedback.gain": [1.0, 2.0]})
    assert names(found) == [
        "bp",
        "dfa-gain-1.0",
        "dfa-gain-2.0",
        *(f"local-beta-{b}-gain-{g}" for b in (0.01, 0.1) for g in (1.0, 2.0)),
    ]
    assert spec.differing(spec.settings(found))["bp"] == {}


def test_a_parameter_of_a_rule_is_read_by_what_trains_with_it():
    both = spec.experiment(condition=[{"name": "local"}, {"name": "own", "rule": "augmented"}])
    found = grid.expanded(both, {"rules.augmented.g": ["one", "tanh"]})
    assert names(found) == ["local", "own-g-one", "own-g-tanh"]
    assert [s.rules.get("augmented", {}).get("g") for s in spec.settings(found).values()] == [None, "one", "tanh"]
    with pytest.raises(SpecError, match=r"grid: rules\.augmented\.g is read by no condition"):
        grid.expanded(spec.experiment(rule="bp"), {"rules.augmented.g": ["one", "tanh"]})
