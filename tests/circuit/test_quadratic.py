"""Circuits of quadratic neurons against an ordinary solver of differential equations, of high order, with small errors."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import localdfa

NEAR = 1e-11


class Neuron:
    """τ_m dv/dt = v² + I, by solve_ivp; what arrives in the refractory period is lost."""

    def __init__(self, p, v, drive):
        self.p, self.v, self.drive, self.until, self.spikes = p, v, drive, -np.inf, []

    def fire(self, t):
        self.spikes.append(t)
        self.v, self.until = self.p["v_reset"], t + self.p["t_ref"]

    def go(self, t, end):
        while t < end - 1e-13:
            if self.until > t + NEAR:
                t = min(self.until, end)
                continue

            def flow(_, v):
                return (v**2 + self.drive) / self.p["tau_m"]

            def meets(_, v):
                return v[0] - self.p["v_th"]

            meets.terminal, meets.direction = True, 1
            found = solve_ivp(flow, (t, end), [self.v], method="DOP853", rtol=1e-12, atol=1e-12, events=meets)
            t = found.t[-1]
            self.v = found.y[0, -1]
            if found.t_events[0].size:
                self.fire(t)

    def take(self, t, jump):
        if self.until <= t + NEAR:
            self.v += jump
            if self.v >= self.p["v_th"] and jump > 0:
                self.fire(t)


def simulate(parameters, starts, drives, given, recurrent, stop):
    """Trains of one population; given: [(time, neuron, jump)]; recurrent: (weights (n, n), delay), delay also the step."""
    neurons = [Neuron(*each) for each in zip(parameters, starts, drives, strict=True)]
    due, (weights, delay) = list(given), recurrent
    for step in range(round(stop / delay)):
        begin, end, fresh = step * delay, (step + 1) * delay, []
        for i, neuron in enumerate(neurons):
            t, before = begin, len(neuron.spikes)
            for moment in sorted({when for when, who, _ in due if who == i and begin <= when < end}):
                neuron.go(t, moment)
                neuron.take(moment, sum(jump for when, who, jump in due if (when, who) == (moment, i)))
                t = moment
            neuron.go(t, end)
            fresh += [(s + delay, k, w) for s in neuron.spikes[before:] for k, w in enumerate(weights[i]) if w]
        due += fresh
    return [neuron.spikes for neuron in neurons]


@pytest.mark.parametrize("differ", [False, True])
def test_quadratic_neurons_as_a_solver(differ):
    rng, n, stop, delay = np.random.default_rng(4), 4, 50.0, 1.25
    own = {"tau_m": 4.0, "v_th": 8.0, "v_reset": -6.0, "t_ref": 1.0}
    if differ:
        own = {name: value * np.linspace(0.7, 1.3, n) for name, value in own.items()}
    start, drive = rng.uniform(-2, 1, n), np.array([2.5, 0.5, -0.3, 1.5])
    weights = np.where(rng.random((n, n)) < 0.7, rng.normal(0.5, 1.0, (n, n)), 0.0)
    times, who, jumps = np.sort(rng.uniform(0, stop, 25)), rng.integers(n, size=25), rng.normal(1.0, 1.5, n)
    net = localdfa.Circuit(precision="float64")
    net.population("q", n, "qif", start=start, **own)
    net.current("q", drive)
    net.trains("given", n, times, who)
    net.project("given", "q", "one_to_one", weight=jumps, delay=0.5)
    net.project("q", "q", weight=weights, delay=delay)
    seen, neuron = net.run(stop).spikes("q")
    each = [{name: float(np.broadcast_to(x, n)[i]) for name, x in own.items()} for i in range(n)]
    given = [(t + 0.5, i, jumps[i]) for t, i in zip(times, who, strict=True)]
    expected = simulate(each, start, drive, given, (weights, delay), stop)
    assert sum(map(len, expected)) > 20
    for i, train in enumerate(expected):
        np.testing.assert_allclose(seen[neuron == i], train, rtol=0, atol=1e-7)


def test_a_driven_quadratic_neuron_spikes_in_its_period():
    """Each t_ref + τ_m/√I (arctan(v_th/√I) − arctan(v_reset/√I)); its rate does not depend on how runs are cut."""
    net, root = localdfa.Circuit(precision="float64"), np.sqrt(0.4)
    net.population("q", 1, "qif")
    net.current("q", 0.4)
    times = np.concatenate([net.run(part).spikes("q")[0] for part in (33.3, 166.7)])
    period = 10.0 / root * (np.arctan(10.0 / root) - np.arctan(-10.0 / root))
    np.testing.assert_allclose(times, period + (period + 1.0) * np.arange(len(times)), rtol=1e-12)
    assert len(times) == 1 + int((200 - period) / (period + 1))


def test_what_a_quadratic_neuron_cannot_have_is_refused_with_what_would_do():
    net = localdfa.Circuit()
    net.population("q", 2, "qif")
    with pytest.raises(
        localdfa.errors.SpecError, match=r"noise of 'q': allowed for models with a linear membrane.*Circuit.poisson"
    ):
        net.noise("q", 100.0, 1.0)
    with pytest.raises(localdfa.errors.SpecError, match=r"tau_syn: 5; 'qif' has no linear membrane; allowed: 0"):
        net.project("q", "q", weight=1.0, tau_syn=5.0)
