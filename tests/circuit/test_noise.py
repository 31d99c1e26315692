"""Poisson noise from counters: the generator's known answers, the definition of a train, and its statistics.

A bound that is exceeded once in 1e6 by right numbers is `_FAR` standard deviations where what is bounded is nearly normal.
"""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import localdfa
from localdfa.core.logarithm import logarithm
from localdfa.core.spiking import noise
from localdfa.crosscheck import counters

_FAR = 4.9

# Of the authors' library Random123, kat_vectors: counter, key, and the words.
KNOWN = [
    ("00000000 00000000 00000000 00000000 00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("given", "words"), KNOWN)
def test_the_generator_has_its_known_answers(given, words):
    given = [int(word, 16) for word in given.split()]
    expected = tuple(int(word, 16) for word in words.split())
    assert tuple(int(word) for word in noise.philox(*map(np.uint64, given))) == expected
    assert counters.philox(given[:4], given[4:]) == expected


def sources(rates, seed, duration, parts=1):
    net = localdfa.Circuit(seed=seed)
    net.poisson("source", len(rates), rates)
    found = [net.run(duration / parts).spikes("source") for _ in range(parts)]
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def test_trains_are_those_of_the_definition():
    seed, rates = 2**40 + 17, [50.0, 0.0, 3000.0]
    times, who = sources(rates, seed, 200.0, 4)
    for i, rate in enumerate(rates):
        np.testing.assert_allclose(times[who == i], counters.train(seed, 0, i, rate, 200.0), rtol=1e-12)


def test_counts_intervals_and_pairs_are_those_of_poisson_processes():
    n, rate, duration = 2000, 40.0, 5000.0
    times, who = sources([rate] * n, 7, duration)
    counts, mean = np.bincount(who, minlength=n), 1e-3 * rate * duration
    assert abs(counts.mean() - mean) < _FAR * np.sqrt(mean / n)
    # Their variance is the mean, with a standard error that NumPy's own counts have.
    assert abs(counts.var() / mean - 1) < _FAR * np.sqrt(2 / n + 1 / (n * mean))
    drawn = np.random.default_rng(1).poisson(mean, n)
    assert stats.ks_2samp(counts, drawn).pvalue > 1e-6
    order = np.lexsort((times, who))
    intervals = np.diff(times[order])[np.diff(who[order]) == 0]
    # Those that end within the duration are a little shorter than all: by a part of 1/mean.
    assert abs(intervals.std() / intervals.mean() - 1) < 1 / mean + _FAR / np.sqrt(len(intervals))
    first = np.full(n, np.inf)
    np.minimum.at(first, who, times)
    assert stats.kstest(first[np.isfinite(first)] / (1e3 / rate), "expon").pvalue > 1e-6
    # Given their number, the events are uniform.
    assert stats.kstest(times / duration, "uniform").pvalue > 1e-6
    # Counts of neurons, and of following bins of one neuron, do not go together.
    binned = np.histogram2d(who, times, bins=(n, 50), range=((0, n), (0, duration)))[0]
    z = (binned - binned.mean()) / binned.std()
    for one, other in ((z[:-1], z[1:]), (z[::2], z[1::2]), (z[:, :-1], z[:, 1:])):
        assert abs((one * other).mean()) < _FAR / np.sqrt(one.size)


def noise_of(rates, seed=1):
    """Noise of a population, of which each process is its own neuron's."""
    kept, alias = noise.aliases(np.array(rates))
    found = noise.Noise(
        seed=np.array([seed, 0], np.uint64), number=np.array([3]), neuron=np.array([0]), first=np.array([0, len(rates)]),
        current=np.full(len(rates), -1), jump=np.ones(len(rates)), kept=kept, alias=alias, mean=1e3 / np.array([sum(rates)]),
        longest=np.array([1.0]), time=np.zeros(1), passed=np.zeros(1, np.int64),
    )  # fmt: skip
    noise.begin_noise(found, np.empty((2, noise.DRAWN), np.uint64))
    return found


@numba.njit(error_model="numpy")
def drawn(of, steps, times, processes):
    """What is taken of noise until each of these moments, after each third of which it is laid by; returns how many events."""
    events, n = noise.events_scratch(1), 0
    noise.open_events(0, of, events)
    for s in range(steps.size):
        now = -1.0
        while now < steps[s]:
            now = noise.draw_until(0, steps[s], of, events)
            last = noise.last_until(now, events)
            for e in range(events.ends[0], last):
                times[n], processes[n] = events.time[e], events.process[e]
                n += 1
            events.ends[0] = last
        if s % 3 == 0:
            noise.close_events(0, of, events)
            noise.open_events(0, of, events)
    return n


def train_of(rates, steps, seed=1):
    room = int(2e-3 * sum(rates) * steps[-1]) + 100
    times, processes = np.empty(room), np.empty(room, np.int64)
    n = drawn(noise_of(rates, seed), np.asarray(steps, float), times, processes)
    return times[:n], processes[:n]


def test_noise_does_not_depend_on_the_steps_in_which_it_is_drawn():
    rates = [3000.0, 0.0, 50.0, 400.0]
    times, who = train_of(rates, [400.0])
    for steps in (np.arange(1, 401), [1e-9, 3.0, 3.0, 399.99, 400.0]):
        found = train_of(rates, steps)
        assert found[0].tobytes() == times.tobytes()
        assert (found[1] == who).all()
    tables = [x.tolist() for x in noise.aliases(np.array(rates))]
    for i, train in enumerate(counters.merged(1, 3, 0, rates, tables, 400.0)):
        np.testing.assert_allclose(times[who == i], train, rtol=1e-12)


def test_noise_that_is_drawn_together_is_that_of_independent_processes():
    """Counts, intervals and pairs of processes as above; rates in three groups, one of which is silent."""
    n, duration = 600, 2000.0
    rates = np.repeat([0.0, 20.0, 60.0], n // 3)
    times, who = train_of(rates, [duration], 5)
    counts, means = np.bincount(who, minlength=n), 1e-3 * rates * duration
    assert (counts[rates == 0] == 0).all()
    for rate in (20.0, 60.0):
        own, mean = counts[rates == rate], 1e-3 * rate * duration
        assert abs(own.mean() - mean) < _FAR * np.sqrt(mean / own.size)
        assert abs(own.var() / mean - 1) < _FAR * np.sqrt(2 / own.size + 1 / (own.size * mean))
        few = np.isin(who, np.flatnonzero(rates == rate))
        order = np.lexsort((times[few], who[few]))
        first = np.full(n, np.inf)
        np.minimum.at(first, who[few], times[few])
        assert stats.kstest(first[np.isfinite(first)] / (1e3 / rate), "expon").pvalue > 1e-6
        intervals = np.diff(times[few][order])[np.diff(who[few][order]) == 0]
        assert abs(intervals.std() / intervals.mean() - 1) < 1 / mean + _FAR / np.sqrt(len(intervals))
    assert stats.kstest(times / duration, "uniform").pvalue > 1e-6
    assert stats.kstest(np.diff(times) * 1e-3 * rates.sum(), "expon").pvalue > 1e-6
    binned, mean = np.histogram2d(who, times, bins=(n, 50), range=((0, n), (0, duration)))[0], means[:, None] / 50
    z = ((binned - mean)[mean[:, 0] > 0]) / np.sqrt(mean[mean > 0])[:, None]
    for one, other in ((z[:-1], z[1:]), (z[::2], z[1::2]), (z[:, :-1], z[:, 1:])):
        assert abs((one * other).mean()) < _FAR / np.sqrt(one.size)


@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e5)), min_size=1, max_size=40))
def test_aliases_meet_each_process_in_proportion_to_its_rate(rates):
    rates = np.array(rates)
    kept, alias = noise.aliases(rates)
    shares = np.zeros(len(rates))
    np.add.at(shares, np.arange(len(rates)), kept / 2**32)
    np.add.at(shares, alias, 1 - kept / 2**32)
    if rates.any():
        np.testing.assert_allclose(shares / len(rates), rates / rates.sum(), rtol=0, atol=1e-9)
        assert (shares[rates == 0] == 0).all()


@numba.njit(error_model="numpy")
def logarithms(x):
    found = np.empty(x.size)
    for j in range(x.size):
        found[j] = logarithm(x[j])
    return found


def test_logarithms_are_right_to_rounding():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(0, 2**32, 20000) + 0.5, 2.0 ** np.arange(-1000, 1000, 7), 1 + rng.normal(0, 1e-9, 100)])
    found = logarithms(x)
    assert (np.abs(found - np.log(x)) <= 4e-16 * np.abs(np.log(x)) + 1e-25).all()
    assert logarithm(2.5) == np.log(2.5)


def test_sources_and_seeds_differ():
    def trains(seed, number):
        net = localdfa.Circuit(seed=seed)
        for k in range(number):
            net.poisson(f"s{k}", 1, 1000.0)
        result = net.run(50.0)
        return [result.spikes(f"s{k}")[0].tobytes() for k in range(number)]

    one, other = trains(1, 3), trains(2, 3)
    assert len({*one, *other}) == 6
    assert one == trains(1, 3)
    assert one[0] == trains(1, 1)[0]


@pytest.mark.parametrize("tau", [0.0, 5.0])
def test_noise_gives_v_the_moments_of_shot_noise(tau):
    """Campbell's theorem: of a membrane that never spikes, mean and variance under jumps w at rate r, or currents of them.

    v is sampled each 100 ms, five membrane time constants, at 400 neurons: nearly independent.
    """
    weight, rate, tau_m, n = 0.3, 4000.0, 20.0, 400
    net = localdfa.Circuit(seed=21, precision="float64" if tau else "float32")
    net.population("silent", n, tau_m=tau_m, v_th=900.0)
    if tau:
        net.population("other", 1, "alif", tau_m=30.0)
        net.noise("other", 1.0, 0.1)
        net.noise("silent", rate, weight, tau)
    else:  # in two parts, one of them negative
        net.noise("silent", 0.75 * rate, weight)
        net.noise("silent", 0.25 * rate, -weight)
    v = net.run(2200.0, record={"silent": ["v"]}, interval=100.0).v("silent")[1][2:].ravel()
    r = 1e-3 * rate
    mean = weight * r * (tau if tau else 0.5 * tau_m)
    variance = weight**2 * r * (tau**2 / (2 * (tau + tau_m)) if tau else tau_m / 2)
    assert abs(v.mean() - mean) < 1.05 * _FAR * np.sqrt(variance / v.size)
    assert abs(v.var() / variance - 1) < 1.05 * _FAR * np.sqrt(2 / v.size) + 1 / v.size
