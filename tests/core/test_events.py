"""Queues of events, the segments of a trial, and the feedback of each output unit, each against a plain truth."""

import numpy as np
import pytest
from conftest import Small, setting_of
from numba import njit

from localdfa.core.events import EVENT, feedback_weights, longer, put, sort, trial_segments


@njit
def filled(times, neurons, first, cancelled):
    """A queue to which events are added one by one, longer ones where it is full, and which is then sorted from `first` on."""
    queue = np.empty(1, EVENT)
    for k in range(times.size):
        if k == queue.size:
            queue = longer(queue)
        put(queue, k, times[k], neurons[k], -times[k])
    sort(queue, first, times.size, cancelled)
    return queue


@pytest.mark.parametrize("n", [0, 1, 2, 3, 64, 65, 200])
@pytest.mark.parametrize("first", [0, 5])
def test_events_are_sorted_by_time_and_those_of_one_time_keep_their_order(rng, n, first):
    first = min(first, n)
    times, neurons = rng.integers(0, 20, n).astype(float), np.arange(n)
    queue = filled(times, neurons, first, np.zeros(1, np.bool_))
    order = np.concatenate([np.arange(first), first + np.argsort(times[first:], kind="stable")]).astype(int)
    assert len(queue) >= n
    np.testing.assert_array_equal(queue["time"][:n], times[order])
    np.testing.assert_array_equal(queue["neuron"][:n], order)
    np.testing.assert_array_equal(queue["size"][:n], -times[order])


def test_a_trial_that_is_cancelled_is_not_sorted(rng):
    times = rng.random(50)
    queue = filled(times, np.arange(50), 0, np.ones(1, np.bool_))
    np.testing.assert_array_equal(queue["time"][:50], times)


@pytest.mark.parametrize(
    ("phases", "edges", "signs", "openings"),
    [
        ({"nudging": "one_sided"}, [0, 30, 37], [0, 1], [-1, 0]),
        ({"nudging": "one_sided", "gate": 2.0}, [0, 30, 32, 37], [0, 1, 1], [-1, 0, -1]),
        ({"nudging": "centered"}, [0, 30, 37, 67, 74], [0, 1, 0, -1], [-1, 0, -1, 1]),
        (
            {"nudging": "centered", "gate": 2.0},
            [0, 30, 32, 37, 67, 69, 74],
            [0, 1, 1, 0, -1, -1],
            [-1, 0, -1, -1, 1, -1],
        ),
    ],
)
def test_a_trial_has_a_free_phase_before_each_nudged_one(phases, edges, signs, openings):
    table = setting_of(neuron={"tau": 1.0}, phases={"free": 30.0, "nudged": 7.0, "propagation": "live", **phases}).phases
    found = trial_segments(table, True)
    np.testing.assert_allclose(found[0], edges)
    np.testing.assert_array_equal(found[1], signs)
    np.testing.assert_array_equal(found[2], openings)
    free = trial_segments(table, False)
    assert [list(array) for array in free] == [[0, 30], [0], [-1]]


def test_feedback_weights_are_the_matrices_of_the_pathway(rng):
    direct = Small(rng).network
    np.testing.assert_allclose(feedback_weights(direct), np.concatenate([b.T for b in direct.feedback], axis=1))
    # Only the first layer gets a current where the activity itself carries the signal on.
    indirect = Small(rng, feedback={"pathway": "indirect"}, phases={"propagation": "live"}).network
    first, above = np.split(feedback_weights(indirect), [7], axis=1)
    np.testing.assert_allclose(first, indirect.feedback[0].T)
    assert above.shape == (4, 11)
    assert not above.any()
