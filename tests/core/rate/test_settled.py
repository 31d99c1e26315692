"""The settled mode: events, what is not finite, samples that are kept, threads, and the same code without the compiler.

What rules make of it is in `test_rules`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from conftest import Small

from localdfa import measure, registry
from localdfa.core.rate import settled
from localdfa.core.rate.plasticity import Plasticity
from localdfa.errors import NonFiniteError

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
