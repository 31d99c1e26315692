"""Feedback events: what is sent back is counted where it passes a synapse, in settled networks, in time, and by spikes."""

import numpy as np
import pytest
from conftest import Small, setting_of
from spiking_cases import HIDDEN, N_OUT, NUDGED, case, samples, trains
from test_train import tiny

from localdfa import train
from localdfa.core.rate import settled
from localdfa.core.spiking import batch as spikes
from localdfa.core.spiking.tables import tables_of
from localdfa.data import load
from localdfa.engines import engine, settled_changes
from localdfa.network import build, generator, rewired


def learned(small, network=None):
    return engine(small.setting, small.rule).learn(
        network or small.network, small.inputs, small.target, generator(0, 0), frozenset()
    )


def passed(values, matrix):
    """Pairs of a value that is not 0, of values (m, n_source), and an entry of B (n, n_source) that is not 0."""
    return sum(int((matrix[:, value != 0] != 0).sum()) for value in values)


@pytest.mark.parametrize(("nudging", "phases"), [("one_sided", 1), ("centered", 2)])
@pytest.mark.parametrize(
    ("rule", "feedback"),
    [
        ("dfa", {}), ("dfa", {"density": 0.4}), ("dfa", {"pathway": "sign_error", "threshold": 0.4}),
        ("local", {"density": 0.4}), ("local", {"threshold": 0.4}), ("local", {"pathway": "drtp"}), ("ifa", {"density": 0.4}),
    ],
)  # fmt: skip
def test_what_output_units_send_counts_once_for_each_synapse(rule, feedback, nudging, phases, rng):
    trial = {"phases": {"nudging": nudging}} if rule == "local" else {}
    small = Small(rng, m=6, rule=rule, feedback=feedback, **trial)
    error = settled.free_phase(small.network, small.inputs).prediction - small.target
    error[np.abs(error) <= small.setting.feedback.threshold] = 0
    sent = small.target if feedback.get("pathway") == "drtp" else error
    expected = sum(passed(sent, b) for b in small.network.feedback if b is not None)
    assert learned(small).feedback_events == (phases if rule == "local" else 1) * expected > 0


def test_of_sequential_feedback_the_layer_above_sends(rng):
    small = Small(rng, m=6, rule="fa", feedback={"density": 0.4}, network={"neuron": "relu"})
    free = settled.free_phase(small.network, small.inputs)
    error = free.prediction - small.target
    change, _, found = settled_changes(small.network, small.setting, "fa", free, error, small.target)
    assert any((layer == 0).any() for layer in change)
    assert found == sum(passed(above, b) for above, b in zip(change[1:], small.network.feedback, strict=True))


def test_back_propagation_and_frozen_layers_have_none(rng):
    assert learned(Small(rng, rule="bp")).feedback_events == 0
    assert learned(Small(rng, rule="frozen")).feedback_events == 0


def test_a_matrix_that_changes_has_all_its_entries(rng):
    small = Small(rng, m=6, rule="dfa", feedback={"pathway": "direct_kolen_pollack"})
    assert learned(small).feedback_events == 6 * 4 * (7 + 5 + 6)


def test_each_layer_counts_by_its_own_rule(rng):
    small = Small(rng, m=6, rule="local", feedback={"density": 0.4})
    network = rewired(small.network, small.setting, "local", 7, {0: "fa", 2: "bp"})
    error = settled.free_phase(network, small.inputs).prediction - small.target
    alone = rewired(small.network, small.setting, "fa", 7)
    change = engine(small.setting, "fa").learn(alone, small.inputs, small.target, generator(0, 0), frozenset()).change
    found = learned(small, network).feedback_events
    assert found == passed(change[1], alone.feedback[0]) + 2 * passed(error, network.feedback[1])


@pytest.mark.parametrize("shared", [True, False])
def test_through_a_kernel_a_value_passes_the_entries_within_the_map(shared):
    maps = {"channels": 3, "kernel": 3, "padding": 1, "pool": 2, "shared": shared}
    setting = setting_of(
        precision="float64", rule="fa", feedback={"density": 0.4},
        network={"hidden": [maps, maps], "weights": "uniform", "neuron": "relu"},
    )  # fmt: skip
    network, rng = build(setting, (2, 8, 8), 3, 0), np.random.default_rng(0)
    inputs, target = np.ones((4, 129)), np.eye(3)[[0, 1, 2, 1]]
    inputs[:, :-1] = rng.random((4, 128))
    free = settled.free_phase(network, inputs)
    change, _, found = settled_changes(network, setting, "fa", free, free.prediction - target, target)
    kernels, expected = network.feedback[0] != 0, passed(free.prediction - target, network.feedback[1])
    for s, values in enumerate(change[1].reshape(4, 3, 4)):
        for channel, position in zip(*np.nonzero(values), strict=True):
            winner = free.route[1].winner[s, 4 * channel + position]
            kernel = kernels[:, channel if shared else 3 * winner + channel].reshape(3, 3, 3)
            # The map below has 4 x 4 neurons and a border of one zero.
            row, column = divmod(winner, 4)
            expected += sum(
                kernel[:, y, x].sum() for y, x in np.ndindex(3, 3) if 0 <= row + y - 1 < 4 and 0 <= column + x - 1 < 4
            )
    assert found == expected


def test_in_time_they_are_those_of_the_settled_network(rng):
    settings = [{"neuron": {"tau": 2.0}, "network": {"threshold": 0.05}}, {}]
    feedback = {"density": 0.4, "threshold": 0.3}
    found = [learned(Small(np.random.default_rng(3), m=6, feedback=feedback, **tables)).feedback_events for tables in settings]
    assert found[0] == found[1] > 0


@pytest.mark.parametrize(
    ("signal", "readings"), [({}, 1), ({"signal": "continuous", "interval": NUDGED / 4}, 4)], ids=["constant", "continuous"]
)
def test_a_current_counts_in_each_phase_or_at_each_reading(signal, readings):
    setting, network = case(feedback={"density": 0.5, **signal}, phases={"nudging": "centered"})
    inputs, targets = samples(4)
    found = spikes.simulate(network, setting, inputs, targets, np.random.default_rng(3))
    entries = sum(np.count_nonzero(b) for b in network.feedback)
    assert found.feedback_events == 2 * readings * 4 * entries
    assert spikes.simulate(network, setting, inputs, None, np.random.default_rng(3)).feedback_events == 0


def test_error_spikes_reach_the_neurons_that_they_have_a_synapse_to():
    """Each synapse of an error neuron is one of B's entries that are not zero; and a trial is that of a dense B with zeros."""
    keys = {"signal": "spikes", "rate": 400.0, "interval": NUDGED}
    setting, network = case(code="current", feedback={"density": 0.5, **keys}, phases={"beta": 4.0})
    inputs, targets = samples(1)
    trial = spikes.record(network, setting, inputs[0], targets[0])
    counts = np.array([len(t) for t in trains(trial.errors, 2 * N_OUT)])
    assert counts.sum() > 3
    fans = sum(np.count_nonzero(b, axis=0) for b in network.feedback)
    assert spikes.simulate(network, setting, inputs, targets).feedback_events == (counts[:N_OUT] + counts[N_OUT:]) @ fans
    c = tables_of(network, setting, True, [0.0] * len(network.projections))
    kick = setting.phases.beta / (setting.feedback.rate * 1e-3 * network.neuron.tau_m)
    of_errors = c.ports[c.ports["pre"] == len(c.sizes) - 1]
    assert len(of_errors) == 2
    for port, matrix in zip(of_errors, network.feedback, strict=True):
        ends = c.row_ends[port["rows"] :][: 2 * N_OUT + 1]
        assert ends[-1] == 2 * np.count_nonzero(matrix)
        table = np.zeros((2 * N_OUT, len(matrix)))
        for j in range(2 * N_OUT):
            own = slice(ends[j], ends[j + 1])
            table[j, c.targets[port["targets"] :][own]] = c.jumps[port["jumps"] :][own]
        np.testing.assert_allclose(table, np.concatenate([-kick * matrix.T, kick * matrix.T]), rtol=1e-12)
    # So small that it moves nothing, but it makes the same B dense.
    full = rewired(network, setting, "local", 4)
    full.feedback[:] = [np.where(b == 0, 1e-300, b) for b in network.feedback]
    other = spikes.record(full, setting, inputs[0], targets[0])
    for n, a, b in zip((*HIDDEN, 2 * N_OUT), [*trial.spikes, trial.errors], [*other.spikes, other.errors], strict=True):
        for train_of_a, train_of_b in zip(trains(a, n), trains(b, n), strict=True):
            np.testing.assert_allclose(train_of_a, train_of_b, rtol=0, atol=1e-9)


def test_a_run_counts_those_of_all_its_training(tmp_path):
    """Errors of logistic units are never 0, so every entry of B passes one for each sample."""
    conditions = [{"name": "dfa"}, {"name": "sparse", "feedback": {"density": 0.25}}, {"name": "bp", "rule": "bp"}]
    run = train.run(tiny(rule="dfa", condition=conditions, stage=[{"epochs": 2}], record={"probe": 16}), tmp_path / "run")
    n_train, entries = len(samples_of(run)), 10 * (16 + 12)
    for job, fans, entry in zip(run.jobs, (entries, entries / 4, 0), run.summary["conditions"], strict=True):
        assert [row["feedback_events"] for row in job.metrics] == [epoch * n_train * fans for epoch in range(3)]
        assert entry["feedback_events"] == 2 * n_train * fans


def samples_of(run):
    return load(run.experiment.data).x_train
