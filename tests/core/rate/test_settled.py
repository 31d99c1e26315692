"""The settled mode: events, what is not finite, samples that are kept, threads, and the same code without the compiler.

What rules make of it is in `test_rules`.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from conftest import Small

from localdfa import measure, registry
from localdfa.core.rate import settled
from localdfa.core.rate.plasticity import Plasticity
from localdfa.engines import dropout, engine, settled_changes
from localdfa.errors import ModelError, NonFiniteError
from localdfa.feedback.direct import Direct
from localdfa.rules._exact import Exact

TESTS = Path(__file__).parents[2]


def test_graded_events_below_threshold_are_not_sent(rng):
    small = Small(rng, network={"threshold": 0.2}, phases={"beta": 1.0})
    free, _ = measure.changes(small.network, small.setting, "local", small.inputs, small.target)
    for activity, sent in zip(free.activity, free.sent[1:], strict=True):
        np.testing.assert_array_equal(sent[:, :-1], np.where(np.abs(activity) > 0.2, activity, 0))
    assert free.events == sum(np.count_nonzero(s[:, :-1]) for s in free.sent)
    exact = Small(rng, phases={"beta": 1.0, "nudging": "one_sided"}, network={"threshold": 0.05})
    _, change = measure.changes(exact.network, exact.setting, "local", exact.inputs, exact.target)
    moved = np.abs(change[0])
    assert ((moved == 0) | (moved > 0.05)).all()
    assert (moved == 0).any()
    assert (moved > 0.05).any()


def counted(small, masks, threshold):
    """How many graded events a mini-batch takes, free and nudged, one sample after the other."""
    network, phases = small.network, small.setting.phases
    weights, biases = [w[:-1].T for w in network.weights], [w[-1] for w in network.weights]
    signs, climbs = (1, -1) if phases.nudging == "centered" else (1,), phases.propagation == "live"
    free = nudged = 0
    for s, x in enumerate(small.inputs[:, :-1]):
        free += sum(value != 0 for value in x)
        sent, drives, activity = [x], [], []
        for l in range(network.n_hidden):
            drives.append(weights[l] @ sent[l] + biases[l])
            activity.append(np.tanh(drives[l]))
            sent.append(np.where(np.abs(activity[l]) > threshold, activity[l], 0) * masks[l][s])
            free += sum(value != 0 for value in sent[-1])
        a = weights[-1] @ sent[-1] + biases[-1]
        error = 1 / (1 + np.exp(-a)) - small.target[s]
        for sign in signs:
            below = np.zeros_like(x)
            for l in range(network.n_hidden):
                drive = drives[l] + (weights[l] @ below if climbs else 0)
                moved = np.tanh(drive - sign * phases.beta * (network.feedback[l] @ error)) - activity[l]
                below = np.where(np.abs(moved) > threshold, moved, 0) * masks[l][s]
                nudged += sum(value != 0 for value in below)
    return free, nudged


@pytest.mark.parametrize("threshold", [0.0, 0.1])
@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
@pytest.mark.parametrize("propagation", ["held", "live"])
def test_neurons_that_are_left_out_send_no_events(propagation, nudging, threshold, rng):
    """Nor are they nudged; an engine whose dropout is drawn counts as many as the masks leave."""
    tables = {"phases": {"propagation": propagation, "nudging": nudging, "beta": 1.0}}
    small = Small(rng, hidden=(30, 20), m=7, network={"threshold": threshold, "dropout": 0.5}, **tables)
    masks = [(rng.random((7, n)) < 0.5) * 2.0 for n in (30, 20)]
    trial = settled.free_phase(small.network, small.inputs, threshold, masks)
    error = small.network.output.error(trial.prediction, small.target)
    _, nudged, _ = settled_changes(small.network, small.setting, "local", trial, error, small.target)
    assert (trial.events, nudged) == counted(small, masks, threshold)
    _, *drawn = dropout(small.setting, small.network, np.random.default_rng(5), 7)
    update = engine(small.setting, "local").learn(
        small.network, small.inputs, small.target, np.random.default_rng(5), frozenset()
    )  # fmt: skip
    assert update.events == sum(counted(small, drawn, threshold))


def test_samples_are_kept_as_if_they_had_come_alone(rng):
    small = Small(rng, m=5)
    masks = [(rng.random((5, n)) < 0.6) / 0.6 for n in small.network.sizes[1:-1]]
    rows = np.array([3, 1])
    kept = settled.free_phase(small.network, small.inputs, 0.1, masks).keep(rows)
    alone = settled.free_phase(small.network, small.inputs[rows], 0.1, [mask[rows] for mask in masks])
    for name in ("drive", "activity", "sent", "mask"):
        for a, b in zip(getattr(kept, name), getattr(alone, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
    np.testing.assert_allclose(kept.prediction, alone.prediction, rtol=1e-14)
    assert kept.threshold == alone.threshold


def test_totals_of_an_update_are_the_sums_of_its_factors(rng):
    small = Small(rng, m=5)
    free, change = measure.changes(small.network, small.setting, "local", small.inputs, small.target)
    update = settled.update(free, change, events=7)
    assert update.events == free.events + 7
    assert update.total == [None] * 4
    for total, pre, post in zip(update.totals(), free.sent, change, strict=True):
        np.testing.assert_allclose(total, sum(np.outer(x, z) for x, z in zip(pre, post, strict=True)), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m", [1, 64])
def test_any_number_of_threads_gives_the_same_bits(dtype, m):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("this machine lends one thread")
    results = []
    for threads in (1, 2):  # ends with all of them, as it began
        numba.set_num_threads(threads)
        rng = np.random.default_rng(0)
        small = Small(rng, hidden=(150, 130), n_in=90, n_out=10, m=m, precision=dtype)
        inputs = small.inputs.astype(dtype)
        optimiser = registry.get("optimisers", "rmsprop")
        plasticity = Plasticity(small.network.weights, optimiser(*map(np.dtype(dtype).type, optimiser())))
        for _ in range(3):
            changes = measure.changes(small.network, small.setting, "local", inputs, small.target.astype(dtype))
            plasticity.learn(small.network.weights, settled.update(*changes))
        results.append([w.copy() for w in small.network.weights])
    for one, two in zip(*results, strict=True):
        assert one.tobytes() == two.tobytes()


_WITHOUT_JIT = """
import json, sys
sys.path[:0] = [sys.argv[1]]
import numpy as np
from conftest import Small
import naive
from localdfa import measure, registry
from localdfa.core.rate import settled
from localdfa.core.rate.plasticity import Plasticity
found = []
for neuron in naive.F:
    for propagation in ("held", "two_compartment", "live"):
        small = Small(np.random.default_rng(5), hidden=(4, 3), n_in=5, n_out=3, m=5, network={"neuron": neuron},
                      phases={"propagation": propagation})
        plasticity = Plasticity(small.network.weights, registry.get("optimisers", "rmsprop")(0.01))
        for rule in ("local", "dfa"):
            changes = measure.changes(small.network, small.setting, rule, small.inputs, small.target)
            plasticity.learn(small.network.weights, settled.update(*changes))
        found.append([w.ravel().tolist() for w in small.network.weights])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_without_the_compiler_the_same_comes_out():
    def outcome(disabled):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_JIT, str(TESTS)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    for compiled, plain in zip(outcome("0"), outcome("1"), strict=True):
        for a, b in zip(compiled, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_an_activity_that_is_not_finite_is_refused_with_its_layer_and_row(rng):
    small = Small(rng)
    small.inputs[2, 3] = np.nan
    with pytest.raises(NonFiniteError, match="hidden layer 1") as caught:
        settled.free_phase(small.network, small.inputs)
    assert caught.value.row == 2
    small.inputs[2, 3] = 1
    small.network.weights[-1][0, 1] = np.inf
    with pytest.raises(NonFiniteError, match="output layer"):
        settled.free_phase(small.network, small.inputs)


class WritesNothing(Exact):
    def hidden(self, l, free, moved, signal, change):
        return 0, None


class Rebinds(Exact):
    def hidden(self, l, free, moved, signal, change):
        change = -signal  # noqa: F841
        return 0, None


class WritesTheFirstLayerAlone(Exact):
    def hidden(self, l, free, moved, signal, change):
        if l == 0:
            change[...] = -signal
        return 0, None


class WritesAPart(Exact):
    def hidden(self, l, free, moved, signal, change):
        change[:, 1:] = -signal[:, 1:]
        return 0, None


class AddsToIt(Exact):
    def hidden(self, l, free, moved, signal, change):
        change -= signal
        return 0, None


class WritesNoOutput(Exact):
    def output(self, free, moved, error, change):
        return -error


class ReturnsNothing(Exact):
    def hidden(self, l, free, moved, signal, change):
        change[...] = -signal


class ReturnsTheSignal(Direct):
    @staticmethod
    def signal(network, l, carried, change, out, route=()):
        return carried @ network.feedback[l].T


class RebindsOut(Direct):
    @staticmethod
    def signal(network, l, carried, change, out, route=()):
        out = carried @ network.feedback[l].T  # noqa: F841


def changes_under(rng, rule=Exact, pathway=Direct, precision="float64", checked=True):
    small = Small(rng, hidden=(7, 5), precision=precision, rule="dfa")
    network = replace(small.network, pathway=pathway)
    free = settled.free_phase(network, small.inputs.astype(precision))
    error = free.prediction - small.target.astype(precision)
    model = rule(network, small.setting.phases, small.setting.parameters_of("dfa"))
    return settled.post_changes(network, model, free, error, small.target, checked=checked)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("models", "says"), [
        ({"rule": WritesNothing}, "WritesNothing.hidden writes nothing into `change` for hidden layer 1; allowed"),
        ({"rule": Rebinds}, "Rebinds.hidden writes nothing into `change` for hidden layer 1; allowed"),
        ({"rule": WritesTheFirstLayerAlone}, "Alone.hidden writes nothing into `change` for hidden layer 2; allowed"),
        ({"rule": WritesAPart}, "WritesAPart.hidden leaves a part unwritten of `change` for hidden layer 1; allowed"),
        ({"rule": AddsToIt}, "AddsToIt.hidden writes nothing into `change` for hidden layer 1; allowed"),
        ({"rule": WritesNoOutput}, "WritesNoOutput.output writes nothing into `change` for the output layer; allowed"),
        ({"rule": ReturnsNothing}, "ReturnsNothing.hidden returns None; allowed: the number of graded events"),
        ({"pathway": ReturnsTheSignal}, "Signal.signal writes nothing into `out` for hidden layer 1 and returns an array"),
        ({"pathway": RebindsOut}, "RebindsOut.signal writes nothing into `out` for hidden layer 1; allowed"),
    ],
)  # fmt: skip
def test_a_hook_that_does_not_write_what_it_is_to_write_is_named(rng, models, says, precision):
    with pytest.raises(ModelError) as caught:
        changes_under(rng, precision=precision, **models)
    assert says in str(caught.value)
    assert __file__ in str(caught.value)


def test_numbers_that_a_rule_makes_no_numbers_of_are_not_called_unwritten(rng):
    class Overflows(Exact):
        def hidden(self, l, free, moved, signal, change):
            change[...] = np.inf * signal - np.inf * signal
            return 0, None

    with np.errstate(invalid="ignore"):
        change, _ = changes_under(rng, rule=Overflows)
    assert np.isnan(change[0]).all()


def test_what_is_unwritten_is_looked_for_in_the_first_mini_batch_of_an_epoch(rng, monkeypatch):
    asked = []
    post_changes = settled.post_changes
    monkeypatch.setattr(settled, "post_changes", lambda *a, checked, **k: asked.append(checked) or post_changes(*a, **k))
    small = Small(rng, rule="dfa")
    learns = engine(small.setting, "dfa")
    for _ in range(3):
        learns.learn(small.network, small.inputs, small.target, rng, frozenset())
    assert asked == [True, False, False]
