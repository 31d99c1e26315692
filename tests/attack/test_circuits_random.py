"""Random circuits against the slow simulation: autapses, coincidences on a grid, delays, LIF and ALIF, jumps of v and currents,
one and two compartments, in both precisions.

They are the same each time; `pytest --attack N` makes N of each kind. All of a kind share a compiled kernel.
"""

import dataclasses

import numpy as np
import pytest
from spiking_cases import obvious, trains

from localdfa import network as networks
from localdfa import registry, spec
from localdfa.core.spiking import batch as spikes
from localdfa.data.trains import Trains

CASES = 30
N_IN, N_OUT = 3, 2
# Neuron; whether projections are dense and sparse; time constants of synaptic currents, 0 of jumps of v.
KINDS = {
    "dense": ("lif", ("dense",), (0.0,)),
    "sparse": ("lif", ("sparse", "one_to_one"), (0.0,)),
    "dense and sparse": ("lif", ("dense", "sparse"), (0.0,)),
    "currents": ("lif", ("dense", "sparse"), (3.0, 7.0, 0.0)),
    "adaptive": ("alif", ("dense", "sparse"), (0.0,)),
    "adaptive, currents": ("alif", ("dense", "sparse"), (2.5, 0.0)),
}


def circuit(kind, precision, seed):
    """A setting, its network and one sample of spike trains."""
    neuron, connects, taus = KINDS[kind]
    rng = np.random.default_rng([sorted(KINDS).index(kind), seed])
    on_a_grid, hidden = rng.random() < 0.5, [int(n) for n in rng.integers(1, 5, rng.integers(1, 3))]

    def delay():
        return float(rng.integers(1, 30)) / 10 if on_a_grid else float(rng.uniform(0.1, 3))

    def projection(pre, post, connect):
        if connect == "one_to_one" and (pre == 0 or hidden[pre - 1] != hidden[post - 1]):
            connect = "sparse"
        found = {"pre": pre, "post": post, "connect": str(connect), "delay": delay(), "tau_syn": float(rng.choice(taus))}
        return found | ({"probability": 0.7} if connect == "sparse" else {})

    joints = [(l, l + 1) for l in range(len(hidden))]
    further = [(a, b) for a in range(len(hidden) + 1) for b in range(1, len(hidden) + 1) if (a, b) not in joints]
    joints += [pair for pair in further if rng.random() < 0.5]
    projections = [projection(a, b, rng.choice(connects)) for a, b in joints]
    # Each kind has its own kernel, whatever else is drawn.
    if any(taus):
        projections[0]["tau_syn"] = taus[0]
    elif kind == "dense and sparse":
        projections[0] |= {"connect": "sparse", "probability": 0.7}
    parameters = {
        "tau_m": float(rng.choice([2.0, 10.0, 17.3])), "t_ref": float(rng.choice([0.3, 1.0, 2.5])),
        "baseline": float(rng.choice([0.0, 0.7, 1.0, 1.3])), "v_reset": float(rng.choice([0.0, -0.4])),
    }  # fmt: skip
    if neuron == "alif":
        parameters |= {"tau_a": float(rng.choice([1.5, 20.0])), "step": float(rng.choice([0.1, 0.5]))}
    setting = spec.experiment(
        {
            "precision": precision,
            "network": {
                "hidden": hidden, "neuron": neuron, "weights": "uniform", "projection": projections,
                "start": str(rng.choice(["reset", "uniform"])),
            },
            "neuron": parameters,
            "trace": {"tau_x": 1.5, "tau_z": 2.0},
            "input": {"code": "trains"},
            "feedback": {"gain": 2.0},
            "phases": {
                "free": 22.0, "nudged": 8.0, "nudging": "one_sided", "beta": float(rng.choice([0.1, 1.0])),
                "propagation": str(rng.choice(["live", "two_compartment"])),
            },
        }
    )  # fmt: skip
    network = networks.build(setting, N_IN, N_OUT, seed)
    for q, joint in enumerate(network.projections):
        if joint.post > len(hidden):
            continue
        synapses = network.weights[q].reshape(-1)
        count = synapses.size - joint.biased * hidden[joint.post - 1]
        jumps = rng.normal(0.2, 0.8, count) * (rng.random(count) < 0.9)  # some of weight zero
        synapses[:count] = jumps * parameters["tau_m"] / 10 * (1 + joint.tau / 3)
        synapses[count:] = 0.0 if rng.random() < 0.5 else rng.normal(0, 0.2, synapses.size - count)
    times = [np.unique(rng.integers(0, 200, 25) / 10 if on_a_grid else rng.uniform(0, 20, 25)) for _ in range(N_IN)]
    sender = np.repeat(np.arange(N_IN), [len(t) for t in times])
    return setting, network, Trains(np.zeros(len(sender), int), sender, np.concatenate(times), 1, N_IN)


def compared(setting, network, trial, tolerance):
    """Whether any train of a soma or a twin differs from the slow simulation; and how many spikes there are."""
    somata, fed = obvious(setting, network, None, None, trial)
    pairs = [(trial.spikes[l], somata[l], 0.0) for l in range(network.n_hidden)]
    if setting.phases.propagation != "live":
        pairs += [(trial.twins[l], fed[l], setting.phases.free) for l in range(network.n_hidden)]
    differ, count = False, 0
    for events, population, since in pairs:
        for train, slow in zip(trains(events, len(population)), population, strict=True):
            slow = [t for t in slow if t >= since]
            count += len(slow)
            differ |= len(train) != len(slow) or not np.allclose(train, slow, rtol=0, atol=tolerance)
    return differ, count


def uncertain(setting, network, trial, precision):
    """Whether a spike depends on the last digits: the slow simulation has others with other digits.

    In single precision these are the digits of v. In both they are those of times, which are in double precision: on a grid,
    what arrives at once by two projections may have sums that differ in the last digit, and v reaches the threshold between
    them, or not.
    """
    p = registry.cast(network.neuron, float)

    def spikes_of(neuron, late):
        joints = [
            dataclasses.replace(joint, delay=joint.delay + late * (-1) ** q) for q, joint in enumerate(network.projections)
        ]
        moved = dataclasses.replace(network, neuron=neuron, projections=tuple(joints))
        return [train for population in obvious(setting, moved, None, None, trial)[-1] for train in population]

    def of_v(way):
        return [len(train) for train in spikes_of(p._replace(v_th=p.v_th * (1 + way * 1e-5)), 0.0)]

    def of_times(way):
        return [np.round(train, 3).tolist() for train in spikes_of(p, way * 1e-13)]

    single = precision == "float32" and not of_v(-1) == of_v(0) == of_v(1)
    return single or not of_times(-1) == of_times(0) == of_times(1)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_spike_of_a_random_circuit_is_that_of_the_slow_simulation(kind, precision, attack_size):
    cases, total, doubtful = attack_size or CASES, 0, 0
    for seed in range(cases):
        setting, network, inputs = circuit(kind, precision, seed)
        trial = spikes.record(network, setting, inputs, np.eye(N_OUT, dtype=network.dtype)[0])
        differ, count = compared(setting, network, trial, 1e-8 if precision == "float64" else 1e-3)
        total += count
        if differ and uncertain(setting, network, trial, precision):
            doubtful += 1
            continue
        assert not differ, f"{kind}, {precision}, seed {seed}"
    assert total > 10 * cases
    assert doubtful <= cases // 10
