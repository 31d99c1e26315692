"""Which pairs are joined, with what weights and delays: by counting, and by chance."""

import numpy as np
import pytest
import scipy.sparse
from scipy import stats

import localdfa
from localdfa.circuit import build, connect, running
from localdfa.errors import SpecError


def tables(*calls, sizes=(30, 20)):
    """Synapses of a circuit by (pre, post), weight and delay, as the kernels read them."""
    net = localdfa.Circuit(seed=5, precision="float64")
    for name, n in zip("ab", sizes, strict=True):
        net.population(name, n)
    for pre, post, options in calls:
        net.project(pre, post, **options)
    simulation, found = running.Simulation(net, 2), []
    c = simulation._tables
    for r, (k, low, high) in enumerate(simulation._cut):
        for p in range(c.first_port[2 + r], c.first_port[2 + r + 1]):
            port, width = c.ports[p], high - low
            for j in range(sizes[port.pre]):
                if port.rows < 0:
                    span, targets = range(j * width, (j + 1) * width), range(width)
                else:
                    span = range(c.row_ends[port.rows + j], c.row_ends[port.rows + j + 1])
                    targets = [int(c.targets[port.targets + s]) for s in span]
                    assert targets == sorted(targets)
                found += [
                    ("ab"[port.pre], "ab"[k], j, low + i, c.jumps[port.jumps + s * port.stride], c.delay[p])
                    for s, i in zip(span, targets, strict=True)
                ]
    return found


@pytest.fixture(params=[False, True], ids=["whole", "in ranges"])
def _in_ranges(request, monkeypatch):
    """Populations whole, and cut into ranges however small these are."""
    if request.param:
        for name in ("_NEURONS", "_SYNAPSES", "_OF_DELAY"):
            monkeypatch.setattr(build, name, 4 if name == "_NEURONS" else 1e-3)


pytestmark = pytest.mark.usefixtures("_in_ranges")


def pairs(found):
    return [(j, i) for _, _, j, i, _, _ in found]


def test_dense_and_one_to_one():
    weights = np.arange(600.0).reshape(30, 20)
    found = tables(("a", "b", {"weight": weights, "delay": 2.0}))
    assert {(j, i): w for _, _, j, i, w, _ in found} == {(j, i): weights[j, i] for j in range(30) for i in range(20)}
    assert pairs(tables(("b", "b", {"weight": 1.0, "connect": "one_to_one"}))) == [(i, i) for i in range(20)]
    found = tables(("b", "b", {"weight": 1.0, "self_connections": False}))
    assert sorted(pairs(found)) == [(j, i) for j in range(20) for i in range(20) if i != j]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("k", [3, 15])
def test_degrees(k, own):
    options = {"weight": 1.0, "self_connections": own}
    for way, end in (("in_degree", 3), ("out_degree", 2)):
        found = tables(("a", "a", {way: k, **options}))
        assert (np.bincount([each[end] for each in found], minlength=30) == k).all()
        assert len(set(pairs(found))) == 30 * k
        assert own or all(j != i for j, i in pairs(found))
    both = tables(("a", "b", {"in_degree": 40, "weight": 0.5, "multapses": True}))
    assert sum(w for *_, w, _ in both) == 0.5 * 40 * 20  # several synapses of a pair are one, with the sum of their weights
    assert len(set(pairs(both))) == len(both)


@pytest.mark.parametrize(("k", "own"), [(2, False), (2, True), (4, True)])
def test_partners_are_any_set_with_one_chance(k, own):
    """Chi-squared over all sets of partners of a neuron; beyond 8 standard deviations a right one fails once in 1e12."""
    rng, n, draws = np.random.default_rng(8), 6, 4000
    counts = {}
    for _ in range(draws):
        for i, row in enumerate(connect._partners(rng, np.arange(6), n, k, own, False)):
            counts[i, tuple(row.tolist())] = counts.get((i, tuple(row.tolist())), 0) + 1
    sets = [sum(1 for j, _ in counts if j == i) for i in range(6)]
    ways = {(2, False): 15, (2, True): 10, (4, True): 5}[k, own]
    assert sets == [ways] * 6
    expected = draws / ways
    chi = sum((count - expected) ** 2 / expected for count in counts.values())
    freedom = 6 * (ways - 1)
    assert abs(chi - freedom) < 8 * np.sqrt(2 * freedom)


def test_each_pair_has_the_probability():
    found = np.zeros((30, 30))
    for seed in range(300):
        net = localdfa.Circuit(seed=seed)
        net.population("a", 30)
        net.project("a", "a", probability=0.3, weight=1.0, self_connections=False)
        simulation = running.Simulation(net)
        c = simulation._tables
        for r, own in enumerate(simulation._cut):
            ends, low = c.row_ends[31 * r : 31 * (r + 1)], c.ports[r].targets
            found[np.repeat(np.arange(30), np.diff(ends)), own.low + c.targets[low : low + ends[-1]]] += 1
    assert (np.diag(found) == 0).all()
    others = found[~np.eye(30, dtype=bool)] / 300
    assert abs(others.mean() - 0.3) < 6 * np.sqrt(0.21 / 300 / 870)
    assert others.min() > 0.3 - 6 * np.sqrt(0.21 / 300)
    assert others.max() < 0.3 + 6 * np.sqrt(0.21 / 300)


def test_pairs_and_matrices_keep_their_weights_and_delays():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(30, 20)) * (rng.random((30, 20)) < 0.2)
    expected = {(j, i): matrix[j, i] for j, i in zip(*np.nonzero(matrix), strict=True)}
    for given in (matrix, scipy.sparse.csc_array(matrix), scipy.sparse.coo_array(matrix)):
        assert {(j, i): w for _, _, j, i, w, _ in tables(("a", "b", {"matrix": given}))} == expected
    order = rng.permutation(len(expected))
    pre, post = (ends[order] for ends in np.nonzero(matrix))
    delays = rng.choice([0.4, 1.1, 7.25], len(order))
    found = tables(("a", "b", {"pairs": (pre, post), "weight": matrix[pre, post], "delay": delays}))
    assert {(j, i): (w, d) for _, _, j, i, w, d in found} == {
        (j, i): (matrix[j, i], d) for j, i, d in zip(pre, post, delays, strict=True)
    }
    grid = rng.choice([0.4, 1.1], (30, 20))
    for given in (matrix, scipy.sparse.csc_array(matrix)):
        found = tables(("a", "b", {"matrix": given, "delay": grid}))
        assert {(j, i): (w, d) for _, _, j, i, w, d in found} == {(j, i): (w, grid[j, i]) for (j, i), w in expected.items()}
    found = tables(("a", "b", {"weight": np.ones((30, 20)), "delay": grid}))
    assert all(d == grid[j, i] for _, _, j, i, _, d in found)
    assert len(found) == 600


def test_distributions_have_their_moments_and_keep_their_sign():
    """Means and standard deviations to six of their standard errors."""
    means = {
        "normal": {"mean": 3.0, "std": 0.5}, "lognormal": {"mean": 3.0, "std": 0.5},
        "uniform": {"low": 3.0 - 0.5 * np.sqrt(3), "high": 3.0 + 0.5 * np.sqrt(3)},
    }  # fmt: skip
    for name, parameters in means.items():
        found = tables(("a", "b", {"weight": {"distribution": name, **parameters}}))
        weights = np.array([w for *_, w, _ in found])
        assert abs(weights.mean() - 3.0) < 6 * 0.5 / np.sqrt(600)
        assert abs(weights.std() - 0.5) < 6 * 0.5 / np.sqrt(600)
    broad = {"distribution": "normal", "mean": -0.1, "std": 1.0}
    for sign, right in (("excitatory", np.greater_equal), ("inhibitory", np.less_equal)):
        weights = np.array([w for *_, w, _ in tables(("a", "b", {"weight": broad, "sign": sign}))])
        assert right(weights, 0).all()
        assert len(set(weights)) == 600
    delays = np.array(
        [d for *_, d in tables(("a", "b", {"weight": 1.0, "delay": {"distribution": "exponential", "mean": 2.0}}))]
    )
    assert delays.min() >= 0.1 - 1e-12
    np.testing.assert_allclose(delays / 0.1, np.rint(delays / 0.1), atol=1e-9)
    assert abs(delays.mean() - 2.0) < 6 * 2.0 / np.sqrt(600) + 0.02


def test_the_seed_says_what_is_drawn():
    def drawn(seed):
        net = localdfa.Circuit(seed=seed)
        net.population("a", 30)
        net.project("a", "a", probability=0.3, weight={"distribution": "normal", "mean": 1.0, "std": 1.0})
        c = running.Simulation(net)._tables
        return c.targets.tobytes() + c.jumps.tobytes()

    assert drawn(1) == drawn(1) != drawn(2)


def test_degrees_of_a_large_projection_are_binomial():
    """Chi-squared of out-degrees and in-degrees, in bins of about equal chance; a right one fails once in 1e8."""
    n_pre, n_post, p = 3000, 2500, 0.02
    net = localdfa.Circuit(seed=9)
    net.population("a", n_pre)
    net.population("b", n_post)
    net.project("a", "b", probability=p, weight=1.0)
    simulation = running.Simulation(net, 2)
    c, out, into = simulation._tables, np.zeros(n_pre, int), []
    assert c.targets.dtype == np.uint16
    ranges = [r for r in simulation._cut if r.population == 1]
    for port, own in zip(c.ports, ranges, strict=True):
        ends = c.row_ends[port.rows : port.rows + n_pre + 1]
        out += np.diff(ends)
        into.append(np.bincount(c.targets[port.targets : port.targets + ends[-1]], minlength=own.high - own.low))
    for degrees, trials in ((out, n_post), (np.concatenate(into), n_pre)):
        law = stats.binom(trials, p)
        edges = np.unique(law.ppf(np.linspace(0.05, 0.95, 19)))
        counts = np.bincount(np.searchsorted(edges, degrees), minlength=len(edges) + 1)
        chances = np.diff(np.concatenate([[0], law.cdf(edges), [1]]))
        assert stats.chisquare(counts, len(degrees) * chances).pvalue > 1e-8


def test_a_probability_of_one_joins_all():
    assert len(set(pairs(tables(("a", "b", {"probability": 1.0, "weight": 1.0}))))) == 600


def joined(**given):
    net = localdfa.Circuit()
    net.population("cells", 4)
    net.project("cells", "cells", **given)
    return net.synapses("cells", "cells")


@pytest.mark.parametrize("form", [scipy.sparse.coo_array, scipy.sparse.csr_array, scipy.sparse.csr_matrix])
def test_entries_of_a_sparse_array_for_one_pair_are_one_synapse(form):
    m = scipy.sparse.coo_array(([1.0, 0.0, 2.0, 4.0], ([0, 2, 0, 1], [1, 3, 1, 1])), shape=(4, 4))
    found = joined(matrix=form(m))
    synapses = {(int(i), int(j)): float(weight) for i, j, weight in zip(found.pre, found.post, found.weight, strict=True)}
    assert synapses == {(0, 1): 3.0, (1, 1): 4.0, (2, 3): 0.0}
    assert m.nnz == 4  # what was given stays as it is
    with pytest.raises(SpecError, match=r"multapses: True; a matrix has one weight for each pair; .* pairs=\(m.row, m.col\)"):
        joined(matrix=form(m), multapses=True)
    assert joined(pairs=(m.row, m.col), weight=m.data, multapses=True).weight.sum() == 7.0


@pytest.mark.parametrize("key", ["weight", "delay"])
def test_what_stands_in_the_place_of_an_array_by_pair_without_self_connections(key):
    given = {"weight": 1.0} | {key: np.ones((4, 4))}
    with pytest.raises(
        SpecError, match=rf"{key}: an array of shape \(4, 4\); with self_connections=False .*matrix=, with 0 on"
    ):
        joined(**given, self_connections=False)
    assert len(joined(matrix=1.0 - np.eye(4), self_connections=False).pre) == 12
