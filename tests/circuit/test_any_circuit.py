"""Circuits against an exact reference, spike by spike; and cutting a simulation, or looking at it, changes none of its bits."""

from types import SimpleNamespace

import naive_circuit
import naive_noise
import numpy as np
import pytest

import localdfa
from localdfa.circuit import running
from localdfa.core.spiking import noise

STOP = 40.0
DELAYS, TAUS = np.array([0.8, 1.5, 2.3]), (3.0, 7.0)


class Case:
    """A random circuit in float64, described twice: to localdfa, and to the reference."""

    def __init__(self, seed, models, taus, differ=()):
        self.differ = differ  # names of parameters that differ from neuron to neuron
        rng = self.rng = np.random.default_rng(seed)
        self.taus, self.seed = taus, int(rng.integers(2**40))
        self.net = localdfa.Circuit(seed=self.seed, precision="float64")
        self.noises = []
        self.given, self.synapses, self.starts, self.parameters, self.drives = {}, [], [], [], []
        self.names = [f"{model}{k}" for k, model in enumerate(models)]
        for name, model in zip(self.names, models, strict=True):
            self._population(name, model, int(rng.integers(3, 7)))
        times = rng.uniform(0, STOP, 60)
        senders = rng.integers(4, size=60)
        self.net.trains("stimulus", 4, times, senders)
        self.given["stimulus"] = [np.sort(times[senders == j]).tolist() for j in range(4)]
        self.net.poisson("poisson", 3, [300.0, 0.0, 800.0])
        self.sources = {"stimulus": 4, "poisson": 3}

    def _population(self, name, model, n):
        rng = self.rng
        reset, rest = rng.choice([-60.0, -65.0, 0.0]), rng.choice([-62.0, 1.0])
        own = {"tau_m": float(rng.choice([10.0, 21.0])), "v_th": reset + 12.0, "v_reset": reset}
        own["t_ref"] = float(rng.choice([0.5, 2.0]))
        own |= {"tau_a": float(rng.choice([9.0, 40.0])), "step": 1.5} if model == "alif" else {}
        start, current = reset + rng.uniform(-3, 10, n), reset - rest + rng.uniform(4, 24, n)
        for p in self.differ:
            own |= {p: own[p] + rng.uniform(0.0, 2.0, n)} if p in own else {}
        rest = rest + rng.uniform(-1, 1, n) if "v_rest" in self.differ else rest
        self.net.population(name, n, model, start=start, v_rest=rest, **own)
        self.net.current(name, current)
        each = [{p: float(np.broadcast_to(x, n)[i]) for p, x in own.items()} for i in range(n)]
        self.parameters.append([SimpleNamespace(**one) for one in each])
        self.starts.append(start)
        self.drives.append(rest + current)

    def add(self, pre, post, way):
        """Synapses from a population or source: pairs with delays of their own, a matrix, or all with all."""
        rng, k = self.rng, self.names.index(post)
        n_pre = self.sources[pre] if pre in self.sources else len(self.starts[self.names.index(pre)])
        shape = n_pre, len(self.starts[k])
        tau = float(rng.choice([0.0, *self.taus])) if self.taus else 0.0
        weights = rng.normal(0.5, 3.0, shape)
        if way == "dense":
            delay = float(rng.choice(DELAYS))
            self.net.project(pre, post, weight=weights, delay=delay, tau_syn=tau)
            delays = np.full(shape, delay)
        else:
            weights *= rng.random(shape) < 0.6
            delays = rng.choice(DELAYS, shape)
            pairs = np.nonzero(weights)
            self.net.project(pre, post, pairs=pairs, weight=weights[pairs], delay=delays[pairs], tau_syn=tau)
        source = pre if pre in self.sources else self.names.index(pre)
        for delay in np.unique(delays):
            self.synapses.append(
                (source, k, delay, self.taus.index(tau) if tau else -1, np.where(delays == delay, weights, 0.0))
            )

    def noise(self, post):
        rng, k = self.rng, self.names.index(post)
        n, number = len(self.starts[k]), len(self.net.noises)
        rates, weights = rng.choice([0.0, 300.0, 2000.0], n), rng.normal(0.3, 1.0, n)
        tau = float(rng.choice([0.0, *self.taus])) if self.taus else 0.0
        self.net.noise(post, rates, weights, tau)
        self.noises.append((k, rates))
        self.synapses.append((f"noise{number}", k, 0.0, self.taus.index(tau) if tau else -1, np.diag(weights)))

    def expected(self):
        number = len(self.net.noises) + len(self.names) + 1  # of the source of Poisson processes: after noise, by population
        for q, (_, rates) in enumerate(self.noises):
            self.given[f"noise{q}"] = [[] for _ in rates]
        for cut in self.net.simulation._cut:
            own = [q for q, (k, _) in enumerate(self.noises) if k == cut.population]
            here, place = [(q, i) for q in own for i in range(cut.low, cut.high)], len(self.noises) + cut.population
            rates = np.array([self.noises[q][1][i] for q, i in here])
            tables = [x.tolist() for x in noise.aliases(rates)] if own else None
            trains = naive_noise.merged(self.seed, place, cut.low, rates.tolist(), tables, STOP) if own else []
            for (q, i), train in zip(here, trains, strict=True):
                self.given[f"noise{q}"][i] = train
        self.given["poisson"] = [naive_noise.train(self.seed, number, i, r, STOP) for i, r in enumerate((300.0, 0.0, 800.0))]
        return naive_circuit.simulate(
            self.parameters, list(self.taus), self.starts, self.synapses, self.given, lambda k, i, t: self.drives[k][i], STOP
        )


def compare(case):
    result = case.net.run(STOP)
    total = 0
    for name, expected in zip(case.names, case.expected(), strict=True):
        times, who = result.spikes(name)
        assert (np.diff(times) >= 0).all()
        for i, train in enumerate(expected):
            np.testing.assert_allclose(times[who == i], train, rtol=0, atol=1e-8)
        total += len(times)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_currents_noise_and_adaptation_as_the_reference(seed):
    case = Case(seed, ("lif", "lif", "alif", "alif"), TAUS)
    for pre in (*case.names, "stimulus", "poisson"):
        for post in case.names:
            if case.rng.random() < 0.7:
                case.add(pre, post, case.rng.choice(["dense", "pairs"]))
    for post in (case.names[0], case.names[0], case.names[2]):
        case.noise(post)
    assert compare(case) > 40


@pytest.mark.parametrize("seed", range(4))
def test_jumps_and_noise_as_the_reference(seed):
    case = Case(100 + seed, ("lif", "lif", "lif"), ())
    for pre in (*case.names, "stimulus", "poisson"):
        for post, way in zip(case.names, ("pairs", "dense", case.rng.choice(["dense", "pairs"])), strict=True):
            case.add(pre, post, way)
    case.noise(case.names[0])
    case.noise(case.names[2])
    assert compare(case) > 40


@pytest.mark.parametrize("seed", range(2))
def test_parameters_of_each_neuron_as_the_reference(seed):
    case = Case(200 + seed, ("alif", "alif", "alif"), TAUS, ("tau_m", "v_th", "v_reset", "t_ref", "step", "v_rest"))
    for pre in (*case.names, "stimulus"):
        for post in case.names:
            case.add(pre, post, case.rng.choice(["dense", "pairs"]))
    for post in (case.names[0], case.names[2]):
        case.noise(post)
    assert compare(case) > 25


@pytest.mark.parametrize("seed", range(2))
def test_parameters_of_each_neuron_under_jumps_as_the_reference(seed):
    case = Case(300 + seed, ("lif", "lif"), (), ("v_th", "t_ref", "v_reset", "v_rest"))
    for pre in (*case.names, "stimulus"):
        for post, way in zip(case.names, ("pairs", "dense"), strict=True):
            case.add(pre, post, way)
    case.noise(case.names[0])
    assert compare(case) > 10


def test_drawn_parameters_have_their_distribution_and_the_seed_says_which():
    n = 4000

    def drawn(seed):
        net = localdfa.Circuit(seed=seed)
        tau_m = {"distribution": "uniform", "low": 5.0, "high": 15.0}
        v_th = {"distribution": "normal", "mean": -50.0, "std": 2.0}
        net.population("e", n, tau_m=tau_m, v_th=v_th, v_reset=-65.0, v_rest=-40.0, t_ref=2.0)
        net.project("e", "e", "one_to_one", weight=0.0, tau_syn=10.0)  # in the middle of what may be drawn
        return running.Simulation(net)._neurons[0].parameters

    found = drawn(1)
    assert abs(found["tau_m"].mean() - 10) < 6 * 10 / np.sqrt(12 * n)
    assert abs(found["v_th"].mean() - 15) < 6 * 2 / np.sqrt(n)  # above the reset
    assert abs(found["v_th"].std() - 2) < 6 * 2 / np.sqrt(2 * n)
    assert (np.abs(found["tau_m"] - 10) > 1e-3 * found["tau_m"]).all()
    assert (found["tau_m"] == drawn(1)["tau_m"]).all()
    assert (found["tau_m"] != drawn(2)["tau_m"]).all()


def network(**options):
    """A circuit with everything in it, in which much goes on."""
    net = localdfa.Circuit(seed=11, precision="float64", **options)
    net.population("e", 40, tau_m=20.0, v_th=15.0, start={"distribution": "uniform", "low": 0.0, "high": 15.0})
    net.population("i", 10, tau_m=12.0, v_th=15.0)
    net.population("a", 10, "alif", tau_m=20.0, v_th=15.0, tau_a=50.0, step=1.0)
    net.poisson("source", 20, 50.0)
    net.trains("once", 1, [3.0, 77.7], [0, 0])
    delay = {"distribution": "uniform", "low": 0.7, "high": 2.0}
    for post in ("e", "i", "a"):
        net.project("e", post, probability=0.2, weight=3.0, delay=delay, tau_syn=5.0)
        net.project("i", post, in_degree=4, weight=-4.0, delay=1.3)
        net.project("source", post, out_degree=3, weight=2.0, delay=0.1)
        net.project("once", post, weight=5.0, delay=1.0)
        net.noise(post, 1500.0, 0.5)
    return net


def pieces(parts, **options):
    net = network()
    results = [net.run(part, **options) for part in parts]
    return {name: [np.concatenate(x) for x in zip(*(r.spikes(name) for r in results), strict=True)] for name in net.populations}


@pytest.mark.parametrize("parts", [(100.0, 100.0), (33.3, 0.05, 0.3, 66.35, 100.0), (199.9, 0.1)])
def test_several_runs_give_the_bits_of_one(parts):
    whole, cut = pieces([200.0]), pieces(parts)
    for name in whole:
        assert whole[name][0].tobytes() == cut[name][0].tobytes()
        assert (whole[name][1] == cut[name][1]).all()
        assert len(whole[name][0]) > 1


def test_looking_changes_nothing_and_sees_v():
    record = {name: ["v", "spikes"] for name in ("e", "i", "a")}
    net, seen = network(), network()
    plain, watched = net.run(50.0), seen.run(50.0, record=record, interval=0.37)
    for name in record:
        assert plain.spikes(name)[0].tobytes() == watched.spikes(name)[0].tobytes()
    moments, v = watched.v("e")
    np.testing.assert_allclose(moments, 0.37 * np.arange(len(moments)))
    assert v.shape == (136, 40)
    later = network()
    for end in (20.0, 30.0):  # the same v, wherever runs begin
        part = later.run(end - later.time, record=record, interval=0.37)
        inside = (moments >= part.begin) & (moments < part.end)
        assert (part.v("e")[1] == v[inside]).all()
    times, who = watched.spikes("e")
    for t, i in zip(times[:20], who[:20], strict=True):
        refractory = (moments > t) & (moments < t + 1.0)
        assert (v[refractory, i] == 0.0).all()
    assert (v < 15.0).all()


def test_spikes_of_a_regular_neuron_are_where_they_must_be():
    """Under a constant current: each t_ref + τ_m ln((I − v_reset)/(I − v_th)); measured from any rest."""
    p = SimpleNamespace(tau_m=12.0, v_th=-50.0, v_reset=-65.0, t_ref=3.0)
    net = localdfa.Circuit(precision="float64")
    net.population("one", 2, v_rest=-60.0, **vars(p))
    net.population("other", 1)
    net.noise("other", 10.0, 0.1)
    net.current("one", 5.0)
    net.current("one", [10.0, 0.0])
    times, who = net.run(200.0).spikes("one")
    drive = -60.0 + 15.0
    first = p.tau_m * np.log((drive - p.v_reset) / (drive - p.v_th))
    np.testing.assert_allclose(times, np.arange(first, 200.0, first + p.t_ref), rtol=1e-12)
    assert (who == 0).all()


@pytest.mark.parametrize("synapses", [False, True])
def test_neurons_that_nothing_reaches_read_no_synapses_that_are_not_there(synapses):
    """Without synapses, or with fewer than neurons, what lies behind their weights in memory may be anything."""
    n, drive = 83, np.linspace(10.5, 30, 83)
    for _ in range(15):
        net = localdfa.Circuit(precision="float64")
        net.population("alone", n, tau_m=20.0, v_th=10.0, t_ref=100.0, start=0.0)
        net.current("alone", drive)
        if synapses:
            net.population("other", 2)
            net.project("alone", "other", pairs=([0], [1]), weight=0.1)
        poison = [np.full(size, np.nan) for size in range(1, 200)]
        del poison
        times, who = net.run(100.0).spikes("alone")
        assert np.sort(who).tolist() == list(range(n))
        np.testing.assert_allclose(times[np.argsort(who)], 20.0 * np.log(drive / (drive - 10.0)), rtol=1e-9)
