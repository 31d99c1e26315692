"""Poisson noise from counters: the generator's known answers, the definition of a train, and its statistics.

A bound that is exceeded once in 1e6 by right numbers is `_FAR` standard deviations where what is bounded is nearly normal.
"""

import naive_noise
import numpy as np
import pytest
from scipy import stats

import localdfa
from localdfa.core.spiking import noise

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
    assert naive_noise.philox(given[:4], given[4:]) == expected


def sources(rates, seed, duration, parts=1):
    net = localdfa.Circuit(seed=seed)
    net.poisson("source", len(rates), rates)
    found = [net.run(duration / parts).spikes("source") for _ in range(parts)]
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def test_trains_are_those_of_the_definition():
    seed, rates = 2**40 + 17, [50.0, 0.0, 3000.0]
    times, who = sources(rates, seed, 200.0, 4)
    for i, rate in enumerate(rates):
        np.testing.assert_allclose(times[who == i], naive_noise.train(seed, 0, i, rate, 200.0), rtol=1e-12)


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
