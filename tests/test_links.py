"""Edges that are held out of a graph, and pairs that no edge joins, against lists of all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localdfa.data import kinds, links
from localdfa.data.kinds import Graph
from localdfa.errors import DataError


def graph(n, edges):
    ends = np.array(sorted(edges), np.int64).reshape(-1, 2).T
    none = np.array([], np.int64)
    nodes = np.arange(n)
    return Graph(
        np.ones((n, 2), np.float32), np.concatenate([ends, ends[::-1]], axis=1), nodes % 2, nodes[:1], none, nodes[1:],
        ("a", "b"), ("a note",),
    )  # fmt: skip


def pairs(array):
    return [tuple(sorted(pair)) for pair in array.T.tolist()]


@st.composite
def graphs(draw):
    n = draw(st.integers(2, 30))
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    return n, every, draw(st.sets(st.sampled_from(every), max_size=len(every)))


@given(graphs(), st.integers(0, 2**32))
@settings(deadline=None)
def test_pairs_apart_are_those_without_an_edge_each_once(found, seed):
    n, every, edges = found
    apart = [pair for pair in every if pair not in edges]
    drawn = links.not_joined("mine", graph(n, edges), len(apart), np.random.default_rng(seed))
    assert drawn.dtype == np.int64
    assert sorted(pairs(drawn)) == apart
    with pytest.raises(DataError, match=f"^mine: edges: {len(edges)} leave {len(apart)} pairs of {n} nodes apart"):
        links.not_joined("mine", graph(n, edges), len(apart) + 1, np.random.default_rng(seed))


def test_pairs_apart_are_equally_likely():
    edges, rng = {(0, 1), (1, 3), (2, 4)}, np.random.default_rng(0)
    counts = dict.fromkeys([(i, j) for i in range(5) for j in range(i + 1, 5) if (i, j) not in edges], 0)
    for _ in range(2000):
        for pair in pairs(links.not_joined("mine", graph(5, edges), 2, rng)):
            counts[pair] += 1
    assert max(abs(count - 4000 / 7) for count in counts.values()) < 4 * np.sqrt(2000 * 2 / 7 * 5 / 7)


@given(st.integers(0, 2**40))
def test_places_of_pairs_are_found_again(place):
    pair = links._pair(np.array([place]))
    assert 0 <= pair[0] < pair[1]
    assert links.place(pair) == links.place(pair[::-1]) == place


@given(graphs(), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_tenth_of_the_edges_is_held_out_and_a_twentieth(found, seed):
    n, every, edges = found
    tested, validated = len(edges) // 10, len(edges) // 20
    try:
        held = links.hold_out("mine", graph(n, edges), np.random.default_rng(seed))
    except DataError as error:
        assert tested == 0 or len(every) - len(edges) < tested + validated
        assert str(error).startswith("mine: edges: ")  # noqa: PT017
        return
    kinds.check("mine", held)
    parts = {"valid": (held.pairs_valid, held.joined_valid), "test": (held.pairs_test, held.joined_test)}
    for part, number in (("valid", validated), ("test", tested)):
        of_part, joined = parts[part]
        assert [pair in edges for pair in pairs(of_part)] == (joined == 1).tolist()
        assert joined.sum() == len(joined) - joined.sum() == number
    learned = set(pairs(held.edges))
    joined = [pair for of_part, yes in parts.values() for pair in pairs(of_part[:, yes == 1])]
    assert learned | set(joined) == edges
    assert held.edges.shape[1] == 2 * (len(edges) - len(joined)) == 2 * len(learned)
    assert held.notes == ("a note",)
    again = links.hold_out("mine", graph(n, edges), np.random.default_rng(seed))
    np.testing.assert_array_equal(again.pairs_test, held.pairs_test)
