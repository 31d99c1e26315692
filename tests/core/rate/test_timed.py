"""The timed mode: exact event times, ∫ x dz, and the settled mode as its limit."""

import os
import subprocess
import sys
from pathlib import Path

import naive_timed as naive
import numba
import numpy as np
import pytest

from localdfa import measure, spec
from localdfa import network as networks
from localdfa.core.rate import settled, timed
from localdfa.errors import NonFiniteError

MODELS = ("tanh", "logistic", "linear", "relu", "leaky_relu")
SIZES = (4, 6, 5, 3)


def case(model="tanh", output="logistic", precision="float64", pathway="direct", threshold=0.05, delay=1.3, **phases):
    """A setting with τ = 2 ms, and its network with lively weights."""
    phases = {"beta": 0.4, "free": 25.0, "nudged": 7.0, "propagation": "live", **phases}
    setting = spec.experiment(
        {
            "precision": precision,
            "network": {
                "hidden": list(SIZES[1:-1]), "neuron": model, "output": output, "weights": "uniform",
                "threshold": threshold, "delay": delay,
            },
            "neuron": {"tau": 2.0},
            "feedback": {"pathway": pathway, "gain": 2.0},
            "phases": phases,
        }
    )  # fmt: skip
    network = networks.build(setting, SIZES[0], SIZES[-1], 3)
    for w in network.weights:
        w *= 1.5
    return setting, network


def samples(m=3, dtype=np.float64):
    rng = np.random.default_rng(5)
    inputs = np.ones((m, SIZES[0] + 1))
    inputs[:, :-1] = rng.uniform(0.1, 1, (m, SIZES[0]))
    return inputs.astype(dtype), np.eye(SIZES[-1], dtype=dtype)[rng.integers(0, SIZES[-1], m)]


def obvious(setting, network, x, y):
    """The same trial by the naive simulation."""
    phases = setting.phases
    gate = phases.gate_duration
    course = [(phases.free, 0, 0), (phases.nudged, 1, gate)]
    if phases.nudging == "centered":
        course += [(phases.free, 0, 0), (phases.nudged, -1, gate)]
    return naive.Trial(
        setting.network.neuron, setting.neuron["tau"], setting.network.delay, setting.network.threshold, phases.beta,
        network.weights, network.feedback, setting.network.output, x[:-1], y, course, phases.teacher,
    )  # fmt: skip


def relative(first, second):
    return np.linalg.norm(first - second) / np.linalg.norm(second)


def agree(setting, network, total, drive, events, inputs, targets):
    """Events of the first sample, drive and totals of all are those of the naive simulation."""
    two = setting.phases.propagation == "two_compartment"
    trials = [obvious(setting, network, x, y) for x, y in zip(inputs, targets, strict=True)]
    for found, expected in zip(events, trials[0].events, strict=True):
        time, neuron, size = (np.array(column) for column in zip(*expected, strict=True))
        assert len(found) == len(time) > 5
        np.testing.assert_allclose(found["time"], time, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(found["neuron"], neuron)
        np.testing.assert_allclose(found["size"], size, rtol=1e-15)
    np.testing.assert_allclose(drive, [trial.drive for trial in trials], rtol=0, atol=1e-12)
    for l, found in enumerate(total):
        np.testing.assert_allclose(found, sum(trial.total(l, two) for trial in trials), rtol=0, atol=1e-9)


def every_model(path):
    """Save what every model does in a small trial and, in limit_…, its drive at a small threshold; see `unjitted`."""
    arrays, (inputs, targets) = {}, samples(2)
    for model in MODELS:
        setting, network = case(model)
        trial = timed.simulate(network, setting, inputs, targets)
        for l, total in enumerate(trial.total):
            arrays[f"{model}_total{l}"] = total
        for l, sent in enumerate(timed.record(network, setting, inputs[0], targets[0])):
            arrays[f"{model}_events{l}"] = sent
        arrays[f"{model}_drive"] = trial.drive
        for threshold in (0.05, 0.005):
            setting, network = case(model, threshold=threshold, free=60.0)
            arrays[f"{model}_limit_{threshold}"] = timed.simulate(network, setting, inputs).drive
    np.savez(path, **arrays)


@pytest.fixture(scope="module")
def unjitted(tmp_path_factory):
    """The arrays of `every_model`, from a process in which the kernels run as plain Python."""
    path, here = tmp_path_factory.mktemp("unjitted") / "found.npz", Path(__file__).parent
    subprocess.run(
        [sys.executable, "-c", "import sys, test_timed; test_timed.every_model(sys.argv[1])", str(path)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{here}{os.pathsep}{here.parents[1]}"}, check=True,
    )  # fmt: skip
    with np.load(path) as arrays:
        return dict(arrays)


# --- against the naive simulation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_every_model_equals_the_naive_simulation(model, unjitted):
    setting, network = case(model)
    total = [unjitted[f"{model}_total{l}"] for l in range(3)]
    events = [unjitted[f"{model}_events{l}"] for l in range(2)]
    agree(setting, network, total, unjitted[f"{model}_drive"], events, *samples(2))


@pytest.mark.parametrize(
    "changes",
    [
        {"nudging": "one_sided"},
        {"propagation": "two_compartment", "free": 9.0, "gate": 5.0},
        {"propagation": "held", "gate": 1.2},
        {"propagation": "held", "gate": 1.3, "free": 7.0},
        {"pathway": "indirect", "teacher": "drive"},
        {"output": "softmax", "teacher": "drive"},
        {"output": "softmax", "teacher": "drive", "propagation": "two_compartment", "free": 9.0},
        {"output": "linear", "teacher": "drive", "propagation": "two_compartment", "free": 9.0},
        {"free": 4.5, "nudged": 6.0, "teacher": "drive"},  # the output has hardly begun to move when the gate opens
        {"threshold": 0.7},  # some neurons never send
    ],
    ids=str,
)
def test_equals_the_naive_simulation(changes):
    setting, network = case(**changes)
    inputs, targets = samples()
    trial = timed.simulate(network, setting, inputs, targets)
    events = timed.record(network, setting, inputs[0], targets[0])
    if setting.network.threshold > 0.5:
        events = []
        trials = [obvious(setting, network, x, y) for x, y in zip(inputs, targets, strict=True)]
        assert trial.events == sum(4 + sum(map(len, t.events)) for t in trials) < 40
    agree_on = agree if events else agree_without_events
    agree_on(setting, network, trial.total, trial.drive, events, inputs, targets)
    np.testing.assert_allclose(trial.prediction, network.predict(trial.drive))


def agree_without_events(setting, network, total, drive, events, inputs, targets):
    trials = [obvious(setting, network, x, y) for x, y in zip(inputs, targets, strict=True)]
    for l, found in enumerate(total):
        np.testing.assert_allclose(found, sum(trial.total(l) for trial in trials), rtol=0, atol=1e-9)


def test_without_jit_equals_with_it(unjitted):
    setting, network = case()
    inputs, targets = samples(2)
    trial = timed.simulate(network, setting, inputs, targets)
    np.testing.assert_allclose(trial.drive, unjitted["tanh_drive"], rtol=1e-12)
    for l, total in enumerate(trial.total):
        np.testing.assert_allclose(total, unjitted[f"tanh_total{l}"], rtol=0, atol=1e-11)
    for l, sent in enumerate(timed.record(network, setting, inputs[0], targets[0])):
        np.testing.assert_allclose(sent["time"], unjitted[f"tanh_events{l}"]["time"], rtol=1e-12)


def test_feedback_on_and_off_again_is_a_closed_loop():
    setting, network = case(free=60.0, threshold=0.01, nudging="one_sided", nudged=30.0, propagation="live")
    (x, *_), (y, *_) = samples()
    trial = naive.Trial(
        "tanh", 2.0, 1.3, 0.01, 0.4, network.weights, network.feedback, "logistic", x[:-1], y,
        [(60.0, 0, 0), (30.0, 1, 30.0), (60.0, 0, 0)],
    )  # fmt: skip
    found = timed.simulate(network, setting, x[None], y[None]).total
    on, loop = trial.total(0), trial.integral(0, 60.0, 150.0) / 0.4
    np.testing.assert_allclose(on, found[0], rtol=0, atol=1e-9)
    assert np.abs(loop).max() < 1e-9 * np.abs(on).max()  # the first layer: its input is constant


# --- the settled mode as a limit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_every_model_settles_where_the_settled_mode_does(model, unjitted):
    _, network = case(model)
    exact = settled.free_phase(network, samples(2)[0]).drive[-1]
    coarse, fine = (np.abs(unjitted[f"{model}_limit_{e}"] - exact).max() for e in (0.05, 0.005))
    assert fine < 0.02
    assert fine < coarse / 2


def test_error_of_the_drive_is_first_order_in_the_threshold():
    inputs, _ = samples(16)
    thresholds, errors = np.geomspace(1e-1, 1e-5, 5), []
    for threshold in thresholds:
        setting, network = case(threshold=threshold, free=90.0)
        exact = settled.free_phase(network, inputs).drive[-1]
        errors.append(np.sqrt(np.mean((timed.simulate(network, setting, inputs).drive - exact) ** 2)))
    slope = np.polyfit(np.log(thresholds), np.log(errors), 1)[0]
    assert 0.9 < slope < 1.1


@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
@pytest.mark.parametrize(
    ("propagation", "pathway", "delay"),
    [("held", "direct", 61.0), ("live", "direct", 1.5), ("live", "indirect", 1.5), ("two_compartment", "direct", 1.5)],
)
@pytest.mark.parametrize("teacher", ["activity", "drive"])
def test_total_is_the_gradient_of_the_settled_rule(propagation, pathway, delay, nudging, teacher):
    setting, network = case(
        "tanh", "softmax" if nudging == "centered" else "logistic", pathway=pathway, threshold=1e-5, delay=delay,
        beta=0.03, free=60.0 + 3 * delay, nudged=60.0, nudging=nudging, propagation=propagation, teacher=teacher,
    )  # fmt: skip
    inputs, targets = samples(1)
    expected = measure.gradients(*measure.changes(network, setting, "local", inputs, targets))
    # What x and z change together, Δx Δz/β, is O(β); it cancels between the two phases of centered nudging.
    tolerance = 2e-2 if nudging == "one_sided" else 2e-3
    for found, exact in zip(timed.simulate(network, setting, inputs, targets).total, expected, strict=True):
        assert relative(found, exact) < tolerance


def test_output_under_a_teacher_on_activity_is_exact():
    for nudging, beta in (("one_sided", 3.0), ("centered", 0.01)):
        setting, network = case(nudging=nudging, beta=beta, propagation="held", gate=1.0, free=80.0, threshold=0.3)
        inputs, targets = samples()
        trial = timed.simulate(network, setting, inputs, targets)
        np.testing.assert_allclose(trial.total[-1][-1], (targets - trial.prediction).sum(axis=0), rtol=1e-12)


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.variant
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
def test_same_bits_for_any_number_of_threads():
    setting, network = case(precision="float32")
    inputs, targets = samples(37, np.float32)
    trials = []
    try:
        for threads in (1, 2, 2):
            numba.set_num_threads(threads)
            trials.append(timed.simulate(network, setting, inputs, targets))
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all(total.dtype == np.float32 for total in trials[0].total)
    for other in trials[1:]:
        assert other.events == trials[0].events
        for first, second in zip([trials[0].drive, *trials[0].total], [other.drive, *other.total], strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.variant
def test_of_weights_in_single_precision_the_trial_is_that_of_double_precision():
    """Times and states have float64, so only what a trial leaves is rounded."""
    setting, network = case(precision="float32", propagation="two_compartment")
    (inputs, targets), double = samples(2), networks.in_precision(network, np.float64)
    found, exact = (timed.simulate(net, setting, inputs, targets) for net in (network, double))
    np.testing.assert_array_equal(found.drive, exact.drive.astype(np.float32))
    for total, expected in zip(found.total, exact.total, strict=True):
        np.testing.assert_array_equal(total, expected.astype(np.float32))


def test_free_phase_alone():
    setting, network = case()
    inputs, targets = samples()
    alone, whole = timed.simulate(network, setting, inputs), timed.simulate(network, setting, inputs, targets)
    np.testing.assert_array_equal(alone.drive, whole.drive)
    assert alone.total == []
    assert 0 < alone.events < whole.events


def test_error_threshold_spares_samples_without_error():
    setting, network = case()
    inputs, targets = samples()
    found = timed.simulate(network, setting, inputs)
    targets[:2] = found.prediction[:2] + 0.01
    deaf = setting.model_copy(update={"feedback": setting.feedback.model_copy(update={"threshold": 0.02})})
    whole = timed.simulate(network, deaf, inputs, targets)
    alone = timed.simulate(network, deaf, inputs[2:], targets[2:])
    for first, second in zip(whole.total, alone.total, strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-14)


def test_unnudged_network_of_zero_weights_is_silent():
    setting, network = case()
    for w in network.weights:
        w[:] = 0
    inputs, _ = samples()
    trial = timed.simulate(network, setting, inputs)
    assert trial.events == inputs[:, :-1].size
    assert not trial.drive.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_what_is_not_finite(value):
    setting, network = case()
    inputs, targets = samples()
    inputs[1, 2] = value
    with pytest.raises(NonFiniteError, match="an activity of hidden layer 1 is not finite") as caught:
        timed.simulate(network, setting, inputs, targets)
    assert caught.value.row == 1
    network.weights[2][0] = value
    with pytest.raises(NonFiniteError, match="an activity of the output layer is not finite"):
        timed.simulate(network, setting, samples()[0])


def test_refuses_events_without_end():
    setting, network = case("tanh")
    setting = setting.model_copy(update={"network": setting.network.model_copy(update={"threshold": 1e-7})})
    with pytest.raises(NonFiniteError, match="hidden layer 1 exceeds 1000000 times"):
        timed.simulate(network, setting, samples()[0])
