"""Input codes: spikes within the trial, none without an input, the same again, and inputs that can be told apart."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from localdfa import inputs, registry
from localdfa.conformance._subjects import of
from localdfa.data import Trains
from localdfa.spec.tables import Input

NAMES = of("inputs")
SPIKES = of("inputs", lambda code: code.spikes)
ONSETS, STOP = np.array([0.0, 400.0, 500.0, 900.0]), 1000.0
FRAMES, WIDTH, M = 6, 4, 3


def samples(code, scale=1.0):
    """Samples that a code reads, and the shape of one of them."""
    if code.given:
        spikes = int(20 * scale)
        rng = np.random.default_rng(0)
        sample, neuron = np.sort(rng.integers(0, M, spikes)), rng.integers(0, WIDTH, spikes)
        return Trains(sample, neuron, 90 * rng.random(spikes), M, WIDTH), (WIDTH,)
    shape = (FRAMES, WIDTH) if code.series else (WIDTH,)
    return scale * np.random.default_rng(0).random((M, int(np.prod(shape)))), shape


def trains(code, x, shape, spec=None, seed=0):
    return inputs.arrivals(code, x, shape, spec or Input(), ONSETS, STOP, np.random.default_rng(seed))


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_what_it_says(name):
    code = registry.get("inputs", name)
    x, shape = samples(code)
    assert registry.describe("inputs", name)
    assert code.refusal(x, shape, Input()) is None
    assert code.n_in(shape) >= 1
    assert code.frames(shape) >= 1
    if not code.spikes:
        assert code.frames(shape) * code.n_in(shape) == np.prod(shape)
    else:
        assert code.frames(shape) == 1
        assert 0 < code.unit(Input()) < np.inf


@pytest.mark.parametrize("name", SPIKES)
def test_spikes_lie_within_the_trial_and_come_from_its_neurons(name):
    code = registry.get("inputs", name)
    x, shape = samples(code)
    for spec in (Input(), Input(lines=[0.0, 7.0])):
        sample, neuron, time = trains(code, x, shape, spec)
        assert len(sample) == len(neuron) == len(time) > 0
        assert sample.dtype.kind in "iu"
        assert neuron.dtype.kind in "iu"
        assert 0 <= sample.min() <= sample.max() < M
        assert 0 <= neuron.min() <= neuron.max() < inputs.n_in(code, shape, spec)
        assert np.isfinite(time).all()
        assert 0 <= time.min() <= time.max() < STOP


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_the_keys_that_it_names(name):
    code, asked = registry.get("inputs", name), set()

    class Noted(Input):
        def __getattribute__(self, key):
            if key in Input.model_fields:
                asked.add(key)
            return super().__getattribute__(key)

    x, shape = samples(code)
    given = Noted()
    asked.clear()
    if code.spikes:
        code.unit(given)
        code.trains(x, shape, given, ONSETS, STOP, np.random.default_rng(0))
    code.refusal(x, shape, given)
    assert asked <= {*code.reads} <= {*Input.model_fields} - {"code", "lines"}
    assert not code.spikes or asked == {*code.reads}


@pytest.mark.parametrize("name", SPIKES)
def test_silence_stays_silence_and_a_seed_gives_the_same_bits(name):
    code = registry.get("inputs", name)
    x, shape = samples(code)
    for one, other in zip(trains(code, x, shape), trains(code, x, shape), strict=True):
        assert_array_equal(one, other)
    nothing, _ = samples(code, 0.0)
    assert not len(trains(code, nothing, shape)[0])


@pytest.mark.parametrize("name", SPIKES)
def test_a_sample_is_sent_in_the_same_way_alone(name):
    """What one sample sends says nothing of another; a code that draws at random sends as many on average."""
    code = registry.get("inputs", name)
    x, shape = samples(code)
    sample, neuron, time = trains(code, x, shape)
    drawn = not np.array_equal(time, trains(code, x, shape, seed=1)[2])
    assert drawn == code.draws
    for s in range(M):
        _, own, when = trains(code, x[s : s + 1], shape)
        if drawn:
            assert abs(len(when) - (sample == s).sum()) < 6 * np.sqrt(2 * len(when) + 1)
        else:
            order, alone = (np.lexsort((t, n)) for n, t in ((neuron[sample == s], time[sample == s]), (own, when)))
            assert_array_equal(neuron[sample == s][order], own[alone])
            assert_array_equal(time[sample == s][order], when[alone])


@pytest.mark.parametrize("name", of("inputs", lambda code: code.spikes and not code.given and not code.series))
def test_larger_inputs_send_more_or_sooner_and_a_rate_stands_for_its_input(name):
    """Where the number of spikes tells the input, activity = unit · rate is the input itself."""
    code, values, m = registry.get("inputs", name), np.array([0.25, 0.5, 1.0]), 200
    sample, neuron, time = code.trains(np.tile(values, (m, 1)), (3,), Input(), np.zeros(1), STOP, np.random.default_rng(0))
    counts = np.bincount(neuron, minlength=3) / m
    if counts[2] > 1.5 * counts[0]:
        assert (np.diff(counts) > 0).all()
        np.testing.assert_allclose(code.unit(Input()) * counts / STOP, values, rtol=0.1)
        return
    first = np.full((m, 3), np.inf)
    np.minimum.at(first, (sample, neuron), time)
    assert (np.diff(first.mean(axis=0)) < 0).all()
