"""Queues of spikes: their order, and what arrives from several of them."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numba.typed import List

from localdfa.core.compiled import compiled
from localdfa.core.spiking.queues import collecting_kernels, empty_collected, longer, sort
from localdfa.core.spiking.tables import PORT

TIMES = st.one_of(st.floats(0, 100), st.sampled_from([0.0, 1.0, 2.5]), st.integers(0, 900).map(lambda k: 2.0**-k))


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.lists(TIMES, max_size=120), st.integers(0, 5))
def test_spikes_are_sorted_by_time_and_those_of_one_moment_keep_their_order(found, first):
    times, senders = np.array(found, np.float64), np.arange(len(found))
    first = min(first, len(found))
    order = np.concatenate([np.arange(first), first + np.argsort(times[first:], kind="stable")])
    expected = times[order], senders[order]
    sort(times[first:], senders[first:])
    np.testing.assert_array_equal(times, expected[0])
    np.testing.assert_array_equal(senders, expected[1])


@cache
def collecting(flat):
    """What arrives in a step, as a function that Python can call."""
    count_arrivals, merge_arrivals = collecting_kernels(flat)

    @compiled(error_model="numpy")
    def collect(last, begin, stop, ports, delay, received, listed, times, senders, begins):
        collected = empty_collected(last, 100)
        count = count_arrivals(0, last, stop, ports, delay, received, listed, times, begins, collected)
        at = merge_arrivals(0, last, begin, ports, delay, received, times, senders, begins, collected)
        return collected.when[at, :count], collected.ports[at, :count], collected.senders[at, :count]

    return collect


@pytest.mark.parametrize("flat", [False, True], ids=["lists", "end to end"])
@pytest.mark.parametrize("n_ports", [1, 2, 3, 6])
def test_what_arrives_in_a_window_comes_once_and_in_order(rng, n_ports, flat):
    ports, delay = np.zeros(n_ports, PORT), np.array([1.5, 0.0, 4.0, 1.5, 2.0, 1.5][:n_ports])
    ports["pre"] = [0, 1, 2, 3, 0, 0][:n_ports]
    times = [np.sort(rng.uniform(0, 50, n)) for n in (40, 0, 25, 7)]
    times[3][2:5] = times[0][7]  # arrive at the moments at which others do
    times[3].sort()
    senders = [rng.integers(0, 9, len(found)) for found in times]
    sent, received, came = np.array([40, 0, 25, 7]), np.zeros(n_ports, np.int64), []
    ends = np.cumsum([0, *sent])
    queues = (np.concatenate(times), np.concatenate(senders), ends) if flat else (List(times), List(senders), None)
    for begin, stop in pairwise((0.0, 3.0, 3.0, 20.0, 20.5, 60.0)):
        when, port, who = collecting(flat)(n_ports, begin, stop, ports, delay, received, sent, *queues)
        assert (when < stop).all()
        came += zip(when, port, who, strict=True)
    found = ((s, ports["pre"][s]) for s in range(n_ports))
    expected = [(t + delay[s], s, j) for s, k in found for t, j in zip(times[k], senders[k], strict=True)]
    assert came == sorted(expected, key=lambda spike: spike[:2])


def test_what_is_sent_as_a_step_begins_arrives_no_earlier_than_the_next_step():
    """A step lasts as long as the delay, but a sum of time and delay is rounded."""
    edges = 0.8 * np.arange(126)
    k = np.flatnonzero(edges[:-1] + 0.8 < edges[1:])[0]
    queues = edges[[k]], np.array([4]), np.array([0, 1])
    ports, received, sent = np.zeros(1, PORT), np.zeros(1, np.int64), np.ones(1, np.int64)
    when, _, who = collecting(True)(1, edges[k + 1], edges[k + 2], ports, np.array([0.8]), received, sent, *queues)
    np.testing.assert_array_equal(when, edges[k + 1])
    np.testing.assert_array_equal(who, [4])


def test_a_longer_queue_begins_as_the_one_before():
    queue = np.arange(70.0)
    grown = longer(queue, 65, 66)
    assert len(grown) == 130
    np.testing.assert_array_equal(grown[:65], queue[:65])
