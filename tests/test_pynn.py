"""The back end of PyNN: membranes and spikes as closed forms have them in its units, connectors and recorders as PyNN says."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import localdfa
from localdfa.errors import SpecError

pytest.importorskip("pyNN")

from pyNN.errors import InvalidParameterValueError
from pyNN.parameters import Sequence
from pyNN.random import NumpyRNG, RandomDistribution

import localdfa.pynn as sim
from localdfa.pynn.simulator import state

# No two are the same.
CELL = {"tau_m": 17.0, "cm": 0.4, "v_rest": -66.0, "v_reset": -61.0, "v_thresh": -50.0, "tau_refrac": 2.5}


def recorded(cells, name):
    (signal,) = cells.get_data().segments[-1].filter(name=name)
    return signal.magnitude


def spikes(cells):
    return [train.magnitude for train in cells.get_data().segments[-1].spiketrains]


def test_a_spike_raises_the_current_of_its_receptor():
    """nA over nF: v = w/c τ_m τ_s/(τ_m − τ_s) (e^(−t/τ_m) − e^(−t/τ_s)), with one τ_s for each receptor and cell."""
    sim.setup(timestep=0.1)
    tau_e = np.array([3.0, 4.0, 3.0])
    cells = sim.Population(3, sim.IF_curr_exp(**CELL, tau_syn_E=tau_e, tau_syn_I=8.0), initial_values={"v": -66.0})
    source = sim.Population(1, sim.SpikeSourceArray(spike_times=[4.25]))
    for receptor, weight, delay in (("excitatory", 0.3, 0.5), ("inhibitory", -0.2, 2.0)):
        synapse = sim.StaticSynapse(weight=weight, delay=delay)
        sim.Projection(source, cells, sim.AllToAllConnector(), synapse, receptor_type=receptor)
    cells.record("v")
    sim.run(30.0)
    v, moments = recorded(cells, "v"), 0.1 * np.arange(301)
    expected = np.full(v.shape, CELL["v_rest"])
    for weight, tau, at in ((0.3, tau_e, 4.75), (-0.2, np.full(3, 8.0), 6.25)):
        t = np.maximum(moments - at, 0)[:, None]
        factor = weight / CELL["cm"] * CELL["tau_m"] * tau / (CELL["tau_m"] - tau)
        expected += factor * (np.exp(-t / CELL["tau_m"]) - np.exp(-t / tau))
    np.testing.assert_allclose(v, expected, atol=1e-9)


def test_a_spike_moves_v_by_its_weight():
    sim.setup(timestep=0.1)
    cells = sim.Population(2, sim.IF_curr_delta(**CELL), initial_values={"v": -66.0})
    source = sim.Population(1, sim.SpikeSourceArray(spike_times=[4.25]))
    sim.Projection(source, cells[1:2], sim.AllToAllConnector(), sim.StaticSynapse(weight=5.0, delay=1.0))
    cells.record("v")
    sim.run(20.0)
    t = 0.1 * np.arange(201) - 5.25
    expected = np.stack([np.full(201, -66.0), -66.0 + np.where(t > 0, 5.0 * np.exp(-t / CELL["tau_m"]), 0)], axis=1)
    np.testing.assert_allclose(recorded(cells, "v"), expected, atol=1e-9)


def test_currents_make_spikes_at_exact_times():
    """i_offset, a pulse and steps: from v_reset or v_rest by I τ_m/c_m, never on the grid of the timestep."""
    sim.setup(timestep=1.0)
    cells = sim.Population(3, sim.IF_curr_exp(**CELL), initial_values={"v": -66.0})
    cells[0].i_offset = 0.6
    sim.DCSource(amplitude=0.7, start=10.0, stop=60.0).inject_into(cells[1:2])
    cells[2].inject(sim.StepCurrentSource(times=[5.0, 20.0, 70.0], amplitudes=[0.2, 0.9, 0.0]))
    cells.record("spikes")
    sim.run(100.0)

    def wait(v, current):
        above = CELL["v_rest"] + current * CELL["tau_m"] / CELL["cm"]
        return CELL["tau_m"] * np.log((above - v) / (above - CELL["v_thresh"]))

    def train(begin, stop, v, current):
        first, interval = begin + wait(v, current), CELL["tau_refrac"] + wait(CELL["v_reset"], current)
        return np.arange(first, stop, interval)

    v = -66.0 + 0.2 * CELL["tau_m"] / CELL["cm"] * (1 - np.exp(-15.0 / CELL["tau_m"]))
    expected = train(0.0, 100.0, -66.0, 0.6), train(10.0, 60.0, -66.0, 0.7), train(20.0, 70.0, v, 0.9)
    for own, other in zip(spikes(cells), expected, strict=True):
        assert len(own) >= 3
        np.testing.assert_allclose(own, other, atol=1e-9)


CONNECTORS = {
    "all": lambda rng: sim.AllToAllConnector(allow_self_connections=False),
    "one": lambda rng: sim.OneToOneConnector(),
    "probability": lambda rng: sim.FixedProbabilityConnector(0.4, rng=rng),
    "pre": lambda rng: sim.FixedNumberPreConnector(5, with_replacement=True, rng=rng),
    "post": lambda rng: sim.FixedNumberPostConnector(3, rng=rng),
    "total": lambda rng: sim.FixedTotalNumberConnector(20, rng=rng),
    "distance": lambda rng: sim.DistanceDependentProbabilityConnector("d < 3", rng=rng),
    "list": lambda rng: sim.FromListConnector([(0, 1, 0.1, 0.5), (0, 1, 0.2, 0.5), (3, 2, 0.4, 1.5)]),
    "array": lambda rng: sim.ArrayConnector(np.eye(6, dtype=bool)[::-1]),
}


@pytest.mark.parametrize("name", CONNECTORS)
def test_the_circuit_has_the_synapses_of_the_projection(name):
    """Between views, assemblies and populations; what `get` says is what is simulated, a pair that comes twice as its sum."""
    sim.setup(timestep=0.1)
    rng = NumpyRNG(seed=4)
    one, two = sim.Population(8, sim.IF_curr_exp(**CELL)), sim.Population(4, sim.IF_curr_delta(**CELL))
    # PyNN has no distances of assemblies.
    pre, post = one[2:8] if name == "distance" else one[2:4] + two, one[1:7]
    weight, delay = (RandomDistribution("uniform", low=low, high=0.8, rng=rng) for low in (0.1, 0.5))
    synapse = sim.StaticSynapse(weight=weight, delay="0.5 + 0.1*d" if name == "distance" else delay)
    projection = sim.Projection(pre, post, CONNECTORS[name](rng), synapse, receptor_type="excitatory")
    expected = {}
    owners = [(one, i) for i in range(2, 8)] if name == "distance" else [(one, 2), (one, 3), *((two, i) for i in range(4))]
    for i, j, weight, delay in projection.get(["weight", "delay"], format="list"):
        population, k = owners[int(i)]
        key = population is one, k, 1 + int(j), int(np.rint(10 * delay))
        expected[key] = expected.get(key, 0) + weight * CELL["tau_m"] / CELL["cm"]
    sim.run(1.0)
    found = {}
    for name_, _, tau, i, j, weight, delay in state.circuit.simulation.synapses():
        assert tau == 5.0
        of_one = next(iter(state.circuit.populations)) == name_
        found |= {(of_one, *key): w for *key, w in zip(i, j, np.rint(10 * delay), weight, strict=True)}
    assert len(expected) >= 2
    assert found == pytest.approx(expected)


def network(seed=0):
    sim.setup(timestep=0.1, rng_seed=seed, threads=1)
    rng = NumpyRNG(seed=5)
    cells = sim.Population(40, sim.IF_curr_exp(**CELL, tau_syn_I=7.0))
    cells.initialize(v=RandomDistribution("uniform", low=-66.0, high=-50.0, rng=rng))
    noise = sim.Population(40, sim.SpikeSourcePoisson(rate=800.0))
    sim.Projection(noise, cells, sim.OneToOneConnector(), sim.StaticSynapse(weight=0.12, delay=0.1))
    inhibition = sim.StaticSynapse(weight=-0.05, delay=RandomDistribution("uniform", low=1.0, high=2.0, rng=rng))
    sim.Projection(cells[:10], cells, sim.FixedProbabilityConnector(0.3, rng=rng), inhibition, receptor_type="inhibitory")
    cells.record("spikes")
    cells[3:5].record("v", sampling_interval=0.5)
    return cells


def test_the_same_bits_in_parts_and_after_setup_and_other_noise_after_a_reset():
    cells = network()
    sim.run(60.0)
    whole, v = spikes(cells), recorded(cells, "v")
    assert v.shape == (121, 2)
    assert sum(map(len, whole)) > 40
    sim.reset()
    sim.run(60.0)
    segments = cells.get_data().segments
    assert len(segments) == 2
    assert [len(train) for train in segments[1].spiketrains] != [len(train) for train in whole]
    cells = network()
    assert sim.run(13.7) == 13.7
    assert recorded(cells, "v").shape == (28, 2)  # looking at it changes nothing
    sim.run_until(60.0)
    assert all(own.tolist() == other.tolist() for own, other in zip(spikes(cells), whole, strict=True))
    assert (recorded(cells, "v") == v).all()
    assert cells.get_spike_counts() == {int(cell): len(train) for cell, train in zip(cells.all_cells, whole, strict=True)}
    cells = network(seed=1)
    sim.run(60.0)
    assert [len(train) for train in spikes(cells)] != [len(train) for train in whole]


def test_segments_of_all_seeds_have_noise_of_their_own():
    """Repetitions of scripts with seeds that follow one another are independent."""
    trains = set()
    for seed in range(3):
        sim.setup(rng_seed=seed)
        noise = sim.Population(5, sim.SpikeSourcePoisson(rate=200.0))
        noise.record("spikes")
        for _ in range(3):
            sim.run(50.0)
            trains.add(tuple(np.concatenate(spikes(noise)).tolist()))
            sim.reset()
    assert len(trains) == 9


def test_data_that_are_cleared_begin_anew():
    cells = network()
    sim.run(60.0)
    whole, v = spikes(cells), recorded(cells, "v")
    cells = network()
    sim.run(20.0)
    first = cells.get_data(clear=True).segments[0]
    sim.run(40.0)
    second = cells.get_data().segments[0]
    assert float(second.analogsignals[0].t_start) == 20.0
    assert (np.vstack([first.analogsignals[0].magnitude[:-1], second.analogsignals[0].magnitude]) == v).all()
    for a, b, both in zip(first.spiketrains, second.spiketrains, whole, strict=True):
        assert [*a.magnitude, *b.magnitude] == both.tolist()


def test_time_adds_up_and_v_of_many_short_runs_is_that_of_one():
    cells = network()
    sim.run(12.0)
    v = recorded(cells, "v")
    cells = network()
    for _ in range(120):
        sim.run(0.1)
        assert recorded(cells, "v").shape == (1 + int(sim.get_current_time() / 0.5 + 1e-9), 2)
    assert sim.get_current_time() == 12.0
    assert (recorded(cells, "v") == v).all()
    cells.set(i_offset=1.0)  # at the edge of a window


def test_v_is_recorded_at_the_interval_that_was_said_whatever_is_recorded_then():
    cells = network()
    cells[7:9].record("v")
    sim.run(12.0)
    cells[7:9].record(["v", "spikes"])
    signal = cells.get_data().segments[0].analogsignals[0]
    assert signal.shape == (25, 4)
    assert float(signal.sampling_period) == 0.5
    with pytest.raises(SpecError, match="at 12 ms v of more cells is recorded"):
        cells.record("v")
    sim.run(1.0)
    assert recorded(cells, "v").shape == (27, 4)
    sim.reset()
    cells.record(None)
    with pytest.raises(SpecError, match=r"sampling_interval=0\.25; allowed"):
        cells.record("v", sampling_interval=0.25)
    sim.run(1.0)
    assert not cells.get_data().segments[-1].analogsignals
    sim.reset()
    cells[:3].record("v")
    sim.run(1.0)
    assert recorded(cells, "v").shape == (11, 3)


def test_what_is_not_joined_can_be_set_to_anything():
    sim.setup()
    cells = sim.Population(5, sim.IF_curr_exp(**CELL))
    none = sim.Projection(cells[:2], cells[2:], sim.FixedProbabilityConnector(0.0), sim.StaticSynapse(weight=0.1))
    none.set(weight=RandomDistribution("uniform", low=0.0, high=1.0), delay=np.full((2, 3), 2.0))
    sim.run(1.0)
    assert len(none) == 0
    assert none.get("weight", format="list") == []


def test_what_is_set_after_a_reset_counts():
    sim.setup(timestep=0.1)
    cells = sim.Population(2, sim.IF_curr_exp(**CELL))
    source = sim.Population(1, sim.SpikeSourceArray(spike_times=[1.0]))
    projection = sim.Projection(source, cells, sim.AllToAllConnector(), sim.StaticSynapse(weight=0.1, delay=0.5))
    cells.record("v")
    sim.run(10.0)
    sim.reset()
    source.set(spike_times=Sequence([2.0]))
    projection.set(weight=np.array([[0.1, 0.2]]), delay=1.0)
    assert projection.get("delay", format="array").tolist() == [[1.0, 1.0]]
    projection[0].weight = 0.4
    cells[1:].set(v_rest=-62.0)
    assert cells.get("v_rest").tolist() == [-66.0, -62.0]
    assert cells[1].v_rest == -62.0
    cells.initialize(v=lambda i: -66.0 + 4.0 * i)
    sim.run(10.0)
    rise = recorded(cells, "v") - [-66.0, -62.0]
    assert np.abs(rise[:31]).max() < 1e-9
    np.testing.assert_allclose(rise[31:, 0], 2 * rise[31:, 1], rtol=1e-9)


def test_currents_and_rates_between_runs_are_those_of_a_script_that_says_when():
    """i_offset by cell, and sources that begin later or had begun; Poisson sources by their numbers of spikes."""

    def network(later):
        sim.setup(timestep=0.1)
        cells, noise = sim.Population(3, sim.IF_curr_exp(**CELL, i_offset=0.3)), sim.Population(400, sim.SpikeSourcePoisson())
        cells.record(["spikes", "v"])
        noise.record("spikes")
        if not later:
            sim.StepCurrentSource(times=[20.0], amplitudes=[0.4]).inject_into(cells[1:2])
            sim.DCSource(amplitude=0.7, start=20.0, stop=60.0).inject_into(cells[2:])
        sim.run(20.0)
        return cells, noise

    cells, _ = network(False)
    sim.run(80.0)
    expected, v = spikes(cells), recorded(cells, "v")
    cells, noise = network(True)
    noise.set(rate=100.0)
    sim.DCSource(amplitude=0.7, start=5.0, stop=60.0).inject_into(cells[2:])
    cells[1:2].set(i_offset=0.7)
    assert cells.get("i_offset").tolist() == [0.3, 0.7, 0.3]
    sim.run(80.0)
    assert [len(train) for train in spikes(cells)] == [len(train) for train in expected]
    assert all(len(train) > 2 for train in expected[1:])
    for own, other in zip(spikes(cells), expected, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-9)
    np.testing.assert_allclose(recorded(cells, "v"), v, atol=1e-9)
    times = np.concatenate(spikes(noise))
    for begin, end, rate in ((0, 20, 1.0), (20, 100, 100.0)):
        counted = np.count_nonzero((times >= begin) & (times < end))
        assert abs(counted - 0.4 * rate * (end - begin)) < 5 * np.sqrt(0.4 * rate * (end - begin)) + 1


def test_poisson_sources_begin_and_end():
    sim.setup()
    source = sim.Population(300, sim.SpikeSourcePoisson(rate=200.0, start=20.0, duration=np.r_[np.full(299, 50.0), 0.0]))
    always = sim.Population(300, sim.SpikeSourcePoisson(rate=100.0))
    for each in (source, always):
        each.record("spikes")
    sim.run(100.0)
    times = np.concatenate(spikes(source))
    assert times.min() > 20.0
    assert times.max() < 70.0
    assert abs(len(times) - 2990) < 5 * np.sqrt(2990)
    assert not spikes(source)[-1].size
    assert abs(always.mean_spike_count() - 10) < 5 * np.sqrt(10 / 300)


def test_files_are_written_in_the_end(tmp_path, monkeypatch):
    neo_io = pytest.importorskip("neo.io")
    monkeypatch.chdir(tmp_path)
    cells = network()
    cells.record("spikes", to_file="spikes.pkl")
    sim.run(20.0)
    sim.end()
    (block,) = neo_io.PickleIO("spikes.pkl").read()
    assert [len(train) for train in block.segments[0].spiketrains] == [len(train) for train in spikes(cells)]


def cells():
    return sim.Population(3, sim.IF_curr_exp(**CELL))


def forgotten():
    found = cells()
    sim.setup()
    return found


def running(source=None, until=1.0):
    found = cells() if source is None else sim.Population(3, source)
    sim.run(until)
    return found


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        (
            lambda: sim.IF_cond_exp(),
            r"IF_cond_exp: .* linear membrane.*; allowed: IF_curr_exp, IF_curr_delta, SpikeSourceArray",
        ),
        (lambda: sim.Izhikevich(a=0.1), r"Izhikevich: "),
        (lambda: sim.STDPMechanism(), r"STDPMechanism: synapses do not change .*; allowed: StaticSynapse"),
        (lambda: sim.TsodyksMarkramSynapse(U=0.5), r"TsodyksMarkramSynapse: "),
        (lambda: sim.ElectricalSynapse(weight=1.0), r"ElectricalSynapse: "),
        (lambda: sim.NoisyCurrentSource(mean=0.0), r"NoisyCurrentSource: .*; allowed: DCSource, StepCurrentSource"),
        (lambda: sim.setup(spike_precision="on_grid"), "spike_precision; allowed: off_grid"),
        (lambda: sim.setup(rng_seed=-1), "seed: -1; allowed"),
        (lambda: cells().initialize(isyn_exc=1.0), "isyn_exc: synaptic currents begin at 0"),
        (lambda: cells().initialize(w=1.0), "w; allowed of IF_curr_exp: v, isyn_exc"),
        (lambda: cells().record("v", sampling_interval=0.25), r"sampling_interval=0.25; allowed: multiples of .* 0.1 ms"),
        (
            lambda: running().set(tau_m=10.0),
            r"at 1 ms tau_m of cells is set, and not i_offset or rate, .*; allowed: before the first run\(\), or after",
        ),
        (
            lambda: running(source=sim.SpikeSourcePoisson(rate=5.0, start=1.0, duration=9.0)).set(rate=10.0),
            r"rate of 'population\d+': at 1 ms it is set; allowed of sources that begin at 0 and have no end",
        ),
        (
            lambda: sim.StepCurrentSource(times=[2.0, 2.7], amplitudes=[0.1, 0.2]).inject_into(running()),
            r"current of 'population\d+': 2.7; .* windows of 1 ms; allowed: multiples",
        ),
        (lambda: running(until=0.5).set(i_offset=1.0), r"current of 'population\d+'.begin: 0.5; .* windows of 1 ms"),
        (lambda: running().record("v"), "at 1 ms v of more cells is recorded"),
        (lambda: running() and cells(), "at 1 ms a population is added"),
        (lambda: sim.DCSource().inject_into(forgotten()), "is of the network before setup"),
        (lambda: sim.Projection(cells(), forgotten()[1:], sim.AllToAllConnector()), "is of the network before setup"),
        (lambda: cells().set(tau_refrac=0.0) or sim.run(1.0), r"population 'population\d+'.tau_refrac: 0.0 is out of bounds"),
        (
            lambda: cells().set(v_thresh=-70.0) or sim.run(1.0),
            r"^population 'population\d+'.v_thresh: -70.0; allowed: above v_reset, -61",
        ),
        (lambda: cells().initialize(v=-40.0) or sim.run(1.0), r"^population 'population\d+'.initialize\(v=…\): -40.0; allowed"),
        (
            lambda: (
                cells().initialize(v=[-60.0, -52.0, -60.0])
                or state.populations[0].set(v_thresh=[-50.0, -55.0, -50.0])
                or sim.run(1.0)
            ),
            r"^population 'population\d+'.initialize\(v=…\): -52.0; the threshold of neuron 1 is -55.0",
        ),
        (
            lambda: cells().set(tau_m=5.0) or project() or sim.run(1.0),
            r"^projection from 'population\d+' to 'population\d+'.tau_syn_E or tau_syn_I: 5 ms is tau_m of population",
        ),
        (lambda: project(delay=-1.0) or sim.run(1.0), "a delay of -1 ms; allowed: above 0"),
        (lambda: project(delay=0.0) or sim.run(1.0), "a delay of 0 ms; allowed: above 0"),
        (lambda: cells().set(cm=-1.0) or sim.run(1.0), r"cm of 'population\d+': -1 nF; allowed: above 0"),
        (lambda: sim.setup(timestep=0.0), r"timestep = 0.0; allowed: above 0"),
        (
            lambda: sim.DCSource(amplitude=0.1, start=np.nan).inject_into(cells()) or sim.run(1.0),
            "DCSource: from nan until .* ms; allowed: numbers",
        ),
        (lambda: project(delay=3.0, max_delay=2.0) or sim.run(1.0), r"delays from 3 to 3 ms; allowed by setup\(\): from"),
    ],
)
def test_what_is_not_there_is_refused_by_name(refused, named):
    sim.setup()
    with pytest.raises(SpecError, match=named):
        refused()


def test_a_network_that_is_refused_may_still_be_set_right():
    sim.setup()
    group = cells()
    group.set(tau_m=5.0)
    project()
    with pytest.raises(SpecError, match="5 ms is tau_m"):
        sim.run(1.0)
    group.set(tau_m=17.0)
    sim.run(1.0)
    assert sim.get_current_time() == 1.0


def project(delay=1.0, **given):
    if given:
        sim.setup(**given)
    target = state.populations[0] if state.populations else cells()
    sim.Projection(target, target, sim.AllToAllConnector(), sim.StaticSynapse(weight=0.1, delay=delay))


def test_a_reset_does_what_a_refusal_says():
    sim.setup()
    there = cells()
    there.record("spikes")
    sim.run(10.0)
    with pytest.raises(
        SpecError, match=r"at 10 ms a population is added; allowed: before the first run\(\), or after reset\(\)"
    ):
        cells()
    sim.reset()
    assert sim.get_current_time() == 0
    with pytest.raises(InvalidParameterValueError, match="not in order"):
        sim.Population(1, sim.SpikeSourceArray(spike_times=[2.0, 1.0]))
    sim.reset()
    cells()
    sim.run(30.0)
    assert sim.get_current_time() == 30
    assert [segment.t_stop for segment in there.get_data().segments][-1] == 30


def test_what_pynn_itself_refuses():
    sim.setup()
    with pytest.raises(InvalidParameterValueError, match="not in order"):
        sim.Population(1, sim.SpikeSourceArray(spike_times=[2.0, 1.0]))
    with pytest.raises(InvalidParameterValueError, match="as many of both"):
        sim.StepCurrentSource(times=[2.0, 1.0], amplitudes=[0.1, 0.2])
    with pytest.raises(TypeError, match="spike source"):
        sim.DCSource().inject_into(sim.Population(1, sim.SpikeSourceArray()))


SCRIPT = """
import importlib, sys, json
import numpy as np
sim = importlib.import_module(sys.argv[1])
from pyNN.random import NumpyRNG, RandomDistribution
sim.setup(timestep=0.1, min_delay=0.1, max_delay=10.0, spike_precision="off_grid")
rng = NumpyRNG(seed=3)
cell = dict(tau_m=17.0, cm=0.4, v_rest=-66.0, v_reset=-61.0, v_thresh=-50.0, tau_refrac=2.5, tau_syn_E=3.0, tau_syn_I=8.0)
cells = sim.Population(12, sim.IF_curr_exp(i_offset=np.linspace(0.3, 0.7, 12), **cell), initial_values={"v": -60.0})
source = sim.Population(5, sim.SpikeSourceArray(spike_times=[[3.0 + i, 20.0 + 2 * i, 41.0] for i in range(5)]))
random = RandomDistribution("uniform", low=0.05, high=0.3, rng=rng)
some = sim.FixedProbabilityConnector(0.5, rng=rng)
sim.Projection(source, cells, some, sim.StaticSynapse(weight=random, delay=1.3), receptor_type="excitatory")
sim.Projection(cells[:6], cells[3:], some, sim.StaticSynapse(weight=-0.04, delay=1.7), receptor_type="inhibitory")
cells.record("spikes")
sim.run(60.0)
print("TRAINS" + json.dumps([train.magnitude.tolist() for train in cells.get_data().segments[0].spiketrains]))
"""


@pytest.mark.slow
def test_a_script_spikes_as_with_nest():
    """The same script on PyNN's back end for NEST, whose spikes are interpolated between its steps."""
    pytest.importorskip("nest")
    trains = []
    for back_end in ("localdfa.pynn", "pyNN.nest"):
        done = subprocess.run([sys.executable, "-c", SCRIPT, back_end], capture_output=True, text=True, check=True)
        trains.append(json.loads(done.stdout.split("TRAINS")[1].splitlines()[0]))
    assert sum(map(len, trains[0])) > 20
    for own, other in zip(*trains, strict=True):
        np.testing.assert_allclose(own, other, atol=0.1)


def test_options_of_other_simulators_are_named():
    with pytest.warns(UserWarning, match="setup: t_flush, label: not read"):
        sim.setup(t_flush=10.0, label="mine")


def test_the_extra_is_named_where_pynn_is_missing():
    code = (
        "import sys; sys.modules['pyNN'] = None\ntry:\n    import localdfa.pynn\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "localdfa.pynn needs PyNN: pip install 'localdfa[pynn]'"


def test_the_procedural_interface():
    sim.setup(timestep=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pre = sim.create(sim.SpikeSourceArray(spike_times=[1.0]), n=2)
        post = sim.create(sim.IF_curr_exp(**CELL), n=2)
        sim.connect(pre[0], post[1], weight=0.5, delay=0.5)
        sim.initialize(post, v=-66.0)
        sim.set(post, v_rest=-66.0)
    post.record("v")
    sim.run(5.0)
    v = recorded(post, "v")
    assert (v[:, 0] == -66.0).all()
    assert v[-1, 1] > -65.0
    assert sim.get_current_time() == 5.0
    assert (sim.get_time_step(), sim.get_min_delay(), sim.num_processes(), sim.rank()) == (0.1, 0.5, 1, 0)
    assert localdfa.pynn.list_standard_models() == ["IF_curr_exp", "IF_curr_delta", "SpikeSourceArray", "SpikeSourcePoisson"]
