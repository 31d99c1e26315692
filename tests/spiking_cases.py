"""Small lively networks of spiking neurons, and samples for them, that several tests share."""

import numpy as np

from localdfa import network as networks
from localdfa import spec
from localdfa.crosscheck import exact as slow

N_IN, HIDDEN, N_OUT = 5, (6, 4), 3
FREE, NUDGED = 60.0, 20.0
# What each input code reads.
READ = {"poisson": {"rate": 60.0}, "latency": {"window": 15.0}}


def case(neuron="lif", code="poisson", projections=(), precision="float64", hidden=HIDDEN, **tables):
    """A setting and a lively network; trace time constants are shorter than what the free phase asks for."""
    network = {"hidden": list(hidden), "neuron": neuron, "weights": "uniform", "projection": list(projections)}
    if code != "current" or len(hidden) > 1:  # else no spikes pass that a projection of its own does not carry
        network["delay"] = 1.25
    setting = spec.experiment(
        {
            "precision": precision,
            "network": network | tables.pop("network", {}),
            "neuron": {"baseline": 1.1, "tau_m": 9.0} | tables.pop("neuron_parameters", {}),
            "trace": {"tau_x": 6.0, "tau_z": 4.0},
            "input": {"code": code, **READ.get(code, {})},
            "feedback": {"gain": 3.0} | tables.pop("feedback", {}),
            "phases": {"free": FREE, "nudged": NUDGED, "propagation": "live", "nudging": "one_sided", "beta": 0.1}
            | tables.pop("phases", {}),
            **tables,
        }
    )
    built = networks.build(setting, N_IN, N_OUT, 4)
    for w in built.weights:
        w *= 3
    return setting, built


def samples(m=2, dtype=np.float64):
    rng = np.random.default_rng(8)
    inputs = np.ones((m, N_IN + 1))
    inputs[:, :-1] = rng.uniform(0.2, 1, (m, N_IN))
    return inputs.astype(dtype), np.eye(N_OUT, dtype=dtype)[rng.integers(0, N_OUT, m)]


def trains(events, n):
    return [list(events["time"][events["neuron"] == i]) for i in range(n)]


def dense(network, q):
    """All weights of projection q without biases, (n_pre, n_post)."""
    joint = network.projections[q]
    found = joint.dense(network.weights[q], network.sizes[joint.post])
    return found[: network.sizes[joint.pre]]


def obvious(setting, network, x, target, trial):
    """Spikes of the somata, and of the twins if any, by the slow simulation; the feedback is that of the trial's own error."""
    n_hidden, phases = network.n_hidden, setting.phases
    p = network.neuron._replace(t_ref=setting.neuron_parameters.t_ref)  # times are in double precision
    taus = sorted({joint.tau for joint in network.projections if joint.tau})
    stop = phases.free + phases.nudged
    incoming = None if setting.input.code == "current" else trains(trial.incoming, network.sizes[0])
    unit = 1e3 / setting.input.rate if setting.input.code == "poisson" else 10.0
    synapses, biases = [], [np.zeros(n) for n in network.sizes[1:-1]]
    for q, joint in enumerate(network.projections):
        if joint.post > n_hidden:
            continue
        if joint.biased:
            biases[joint.post - 1] = network.b(q)
        if joint.pre == 0 and incoming is None:
            biases[0] = biases[0] + x[:-1] @ dense(network, q)
            continue
        size = (unit if joint.pre == 0 else p.gain) / (joint.tau or p.tau_m)
        current = taus.index(joint.tau) if joint.tau else -1
        synapses.append((joint.pre - 1 if joint.pre else "in", joint.post - 1, joint.delay, current, size * dense(network, q)))
    starts = network.start or [np.full(n, p.v_reset) for n in network.sizes[1:-1]]
    sent = {"in": incoming} if incoming else {}

    def drive(fed):
        def constant(k, i, t):
            away = -phases.beta * float(network.feedback[k][i] @ trial.error) if fed and t >= phases.free - 1e-9 else 0.0
            return p.baseline + biases[k][i] + away

        return constant

    live = phases.propagation == "live"
    somata = slow.simulate(p, taus, starts, synapses, sent, drive(live), stop)
    if live:
        return somata, somata
    heard = [(f"soma{pre}" if pre != "in" else pre, *rest) for pre, *rest in synapses]
    others = {f"soma{k}": population for k, population in enumerate(somata)}
    return somata, slow.simulate(p, taus, starts, heard, sent | others, drive(True), stop)
