"""The certificate of circuits: does the engine miss a spike of random circuits, or have one too many? In float64.

Each circuit is described twice, to localdfa and to an exact reference that shares nothing with it (`exact`; noise from counters
is drawn once more by `counters`), and spikes are matched one by one. In circuits *on a clock* all spikes come at its ticks:
jumps alone take v to the threshold, and all times are multiples of the step, 1/8 ms, without rounding. There Brian2
(`brian_circuits`) is exact as well.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from localdfa.circuit import Circuit, Result, build
from localdfa.core.spiking import noise
from localdfa.crosscheck import counters, exact, subject
from localdfa.crosscheck.matching import matched
from localdfa.record import origin, plain

# How long each circuit is simulated, and the step of the clock, ms.
STOP, DT = 40.0, 0.125
# Spikes further apart than this, ms, are not the same one; those that are the same differ by no more than the second number.
APART, DIFFERENCE = 1e-6, 1e-8
_DELAYS, _SHORT, _TAUS = (0.8, 1.5, 2.3), (0.1, 0.25, 1.5), (3.0, 7.0)
_STIMULI, _RATES = 4, (300.0, 0.0, 800.0)


class Kind(NamedTuple):
    """What circuits have: models of the populations; synaptic time constants, ms, besides jumps; parameters that differ from
    neuron to neuron; how often a population is joined with another; which populations get noise; and whether there are pulses
    of current, and a source of Poisson processes; delays, ms, and how populations are joined."""

    models: tuple[str, ...]
    taus: tuple[float, ...] = ()
    differ: tuple[str, ...] = ()
    joined: float = 1.0
    noisy: tuple[int, ...] = ()
    pulses: bool = False
    poisson: bool = True
    on_clock: bool = False
    delays: tuple[float, ...] = _DELAYS
    ways: tuple[str, ...] = ("dense", "pairs")


_ALL = ("tau_m", "v_th", "v_reset", "t_ref", "step", "v_rest")
KINDS = {
    "currents, noise, adaptation": Kind(("lif", "lif", "alif", "alif"), _TAUS, joined=0.7, noisy=(0, 0, 2), pulses=True),
    "jumps and noise": Kind(("lif", "lif", "lif"), noisy=(0, 2)),
    "parameters of each neuron": Kind(("alif", "alif", "alif"), _TAUS, _ALL, noisy=(0, 2), poisson=False),
    "parameters of each neuron, jumps": Kind(
        ("lif", "lif"), differ=("v_th", "t_ref", "v_reset", "v_rest"), noisy=(0,), poisson=False
    ),
    "short delays, currents": Kind(("lif", "alif", "lif"), _TAUS, noisy=(2,), pulses=True, delays=_SHORT, ways=("pairs",)),
    "short delays, jumps": Kind(("lif", "lif", "lif"), joined=0.7, delays=_SHORT, ways=("pairs", "pairs", "pairs", "dense")),
    "on a clock": Kind(("lif", "alif", "lif"), _TAUS, _ALL, poisson=False, on_clock=True),
}  # fmt: skip


class Case:
    """A random circuit in float64: `net`, and what the references need to know of it.

    names: of its populations. parameters, starts: of each population and neuron. given: trains of sources, by name; synapses:
    as `exact.simulate` takes them.
    """

    def __init__(self, kind: Kind, seed: int | list[int]) -> None:
        rng = self.rng = np.random.default_rng(seed)
        self.kind, self.seed = kind, int(rng.integers(2**40))
        self.net = Circuit(seed=self.seed, precision="float64")
        self.names = [f"{model}{k}" for k, model in enumerate(kind.models)]
        self.given: dict[str, list[list[float]]] = {}
        self.synapses: list[exact.Synapses] = []
        self.parameters: list[list[Any]] = []
        self.starts: list[np.ndarray] = []
        self._drives: list[np.ndarray] = []
        self._pulses: list[tuple[int, np.ndarray, float, float]] = []
        self._noises: list[tuple[int, np.ndarray]] = []
        for name, model in zip(self.names, kind.models, strict=True):
            self._population(name, model, int(rng.integers(3, 7)))
        self._sources = {"stimulus": _STIMULI} | ({"poisson": len(_RATES)} if kind.poisson else {})
        self._stimulus()
        if kind.poisson:
            self.net.poisson("poisson", len(_RATES), _RATES)
        for pre in (*self.names, *self._sources):
            for post in self.names:
                if rng.random() < kind.joined:
                    self._join(pre, post, str(rng.choice(kind.ways)))
        for k in kind.noisy:
            self._noise(self.names[k])

    def _population(self, name: str, model: str, n: int) -> None:
        rng, clocked = self.rng, self.kind.on_clock
        reset, rest = float(rng.choice([-60.0, -65.0, 0.0])), float(rng.choice([-62.0, 1.0]))
        own: dict[str, Any] = {"tau_m": float(rng.choice([10.0, 21.0])), "v_th": reset + 12.0, "v_reset": reset}
        own["t_ref"] = float(rng.choice([0.5, 2.0]))
        # On a clock the threshold falls no faster than v, so that v does not reach it by drift.
        own |= {"tau_a": 40.0 if clocked else float(rng.choice([9.0, 40.0])), "step": 1.5} if model == "alif" else {}
        start = reset + rng.uniform(-3, 10, n)
        current = reset - rest + (rng.uniform(-4, 8, n) if clocked else rng.uniform(4, 24, n))
        for p in self.kind.differ:
            more = rng.integers(0, 16, n) * DT if clocked and p == "t_ref" else rng.uniform(0.0, 2.0, n)
            own |= {p: own[p] + more} if p in own else {}
        at = rest + rng.uniform(-1, 1, n) if "v_rest" in self.kind.differ else rest
        self.net.population(name, n, model, start=start, v_rest=at, **own)
        self.net.current(name, current)
        if self.kind.pulses:
            begin = 0.5 * int(rng.integers(1, 40))
            pulse = len(self._drives), rng.uniform(-8, 8, n), begin, begin + 0.5 * int(rng.integers(1, 40))
            self.net.current(name, *pulse[1:])
            self._pulses.append(pulse)
        each = [{p: float(np.broadcast_to(x, n)[i]) for p, x in own.items()} for i in range(n)]
        self.parameters.append([SimpleNamespace(**one) for one in each])
        self.starts.append(start)
        self._drives.append(at + current)

    def _stimulus(self) -> None:
        """Given trains; on a clock at its ticks, and no two at once of one neuron."""
        rng = self.rng
        if self.kind.on_clock:
            drawn = rng.choice(_STIMULI * int(STOP / DT), 60, replace=False)
            times, senders = drawn // _STIMULI * DT, drawn % _STIMULI
        else:
            times, senders = rng.uniform(0, STOP, 60), rng.integers(_STIMULI, size=60)
        self.net.trains("stimulus", _STIMULI, times, senders)
        self.given["stimulus"] = [np.sort(times[senders == j]).tolist() for j in range(_STIMULI)]

    def _join(self, pre: str, post: str, way: str) -> None:
        """Synapses from a population or source: pairs with delays of their own, or all with all."""
        rng, k, clocked = self.rng, self.names.index(post), self.kind.on_clock
        n_pre = self._sources[pre] if pre in self._sources else len(self.starts[self.names.index(pre)])
        shape = n_pre, len(self.starts[k])
        tau = float(rng.choice([0.0, *self.kind.taus]))
        if clocked and pre in self._sources:  # else nothing might take v to a threshold
            tau = 0.0
        weights = rng.normal(0.5, 3.0, shape)
        if clocked:  # jumps that take v to the threshold often, and currents that keep it from it
            weights = -0.3 * np.abs(weights) if tau else 4 * weights
        choice = DT * np.array([6, 12, 19]) if clocked else np.array(self.kind.delays)
        if way == "dense":
            delay = float(rng.choice(choice))
            self.net.project(pre, post, weight=weights, delay=delay, tau_syn=tau)
            delays = np.full(shape, delay)
        else:
            weights *= rng.random(shape) < 0.6
            delays = rng.choice(choice, shape)
            pairs = np.nonzero(weights)
            self.net.project(pre, post, pairs=pairs, weight=weights[pairs], delay=delays[pairs], tau_syn=tau)
        source = pre if pre in self._sources else self.names.index(pre)
        for delay in np.unique(delays).tolist():
            current = self.kind.taus.index(tau) if tau else -1
            self.synapses.append((source, k, delay, current, np.where(delays == delay, weights, 0.0)))

    def _noise(self, post: str) -> None:
        rng, k = self.rng, self.names.index(post)
        n, number = len(self.starts[k]), len(self._noises)
        rates, weights = rng.choice([0.0, 300.0, 2000.0], n), rng.normal(0.3, 1.0, n)
        tau = float(rng.choice([0.0, *self.kind.taus]))
        self.net.noise(post, rates, weights, tau)
        self._noises.append((k, rates))
        self.synapses.append((f"noise{number}", k, 0.0, self.kind.taus.index(tau) if tau else -1, np.diag(weights)))

    def drive(self, k: int, i: int, t: float) -> float:
        """The constant drive of neuron i of population k from t on."""
        more = (value[i] for of, value, begin, end in self._pulses if of == k and begin - 1e-9 <= t < end - 1e-9)
        return float(self._drives[k][i] + sum(more))

    def expected(self) -> list[list[list[float]]]:
        """The spike trains of all neurons by the reference."""
        given = dict(self.given)
        for q, (_, rates) in enumerate(self._noises):
            given[f"noise{q}"] = [[] for _ in rates]
        for cut in build.ranges_of(self.net):  # the processes of a range of neurons are drawn together
            here = [(q, i) for q, (k, _) in enumerate(self._noises) if k == cut.population for i in range(cut.low, cut.high)]
            if not here:
                continue
            rates = np.array([self._noises[q][1][i] for q, i in here])
            tables, place = [table.tolist() for table in noise.aliases(rates)], len(self._noises) + cut.population
            trains = counters.merged(self.seed, place, cut.low, rates.tolist(), tables, STOP)
            for (q, i), train in zip(here, trains, strict=True):
                given[f"noise{q}"][i] = train
        if self.kind.poisson:  # the source comes after noise, populations and the other source
            number = len(self._noises) + len(self.names) + 1
            given["poisson"] = [counters.train(self.seed, number, i, rate, STOP) for i, rate in enumerate(_RATES)]
        return exact.simulate(self.parameters, self.kind.taus, self.starts, self.synapses, given, self.drive, STOP)


def trains_of(case: Case, result: Result) -> list[list[np.ndarray]]:
    """The spike trains of all neurons of a circuit that has run."""
    found = []
    for name, start in zip(case.names, case.starts, strict=True):
        times, who = result.spikes(name)
        found.append([times[who == i] for i in range(len(start))])
    return found


def compare(ours: list[list[np.ndarray]], theirs: list[list[Any]]) -> dict[str, Any]:
    """Spikes of a reference; those that we miss, and those that we have too many; the largest difference of the others, ms."""
    spikes, missed, extra, largest = 0, 0, 0, 0.0
    for own, others in zip(ours, theirs, strict=True):
        for a, other in zip(own, others, strict=True):
            b = np.asarray(other, float)
            late = matched(a, b, APART)
            spikes, missed, extra = spikes + b.size, missed + b.size - late.size, extra + a.size - late.size
            largest = max(largest, float(np.abs(late).max(initial=0.0)))
    return {"spikes": spikes, "missed": missed, "extra": extra, "largest": largest}


def certify(count: int, seed: int, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """The certificate of `count` circuits of no clock, and as many on one, as it is written to certificate.json.

    The former are of each kind in turn. say: told what goes on.
    """
    free, clocked = [kind for kind in KINDS if not KINDS[kind].on_clock], "on a clock"
    asked = [free[n % len(free)] for n in range(count)] + [clocked] * count
    of_kind: dict[tuple[str, str], list[dict[str, Any]]] = {}
    cases, ours = [], []
    for n, kind in enumerate(asked):
        say(f"circuit {n + 1} of {len(asked)}: {kind}")
        case = Case(KINDS[kind], [seed, n])
        trains = trains_of(case, case.net.run(STOP))
        of_kind.setdefault((kind, "exact"), []).append({"circuit": n, **compare(trains, case.expected())})
        if kind == clocked:
            cases.append(case)
            ours.append(trains)
    say("Brian2")
    from localdfa.crosscheck import brian_circuits

    for n, (trains, theirs) in enumerate(zip(ours, brian_circuits.simulate(cases, STOP, DT), strict=True), count):
        of_kind.setdefault((clocked, "Brian2"), []).append({"circuit": n, **compare(trains, theirs)})
    found = [{"kind": kind, "reference": reference, "circuits": each} for (kind, reference), each in of_kind.items()]
    rows = [row for each in found for row in judge(each)]
    return plain({"kind": "circuits", **subject.verdict(rows), "count": count, "seed": seed, **origin(), "rows": rows,
                  "compared": found})  # fmt: skip


def judge(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tolerances of the circuits of a kind: no spike missed or extra, and times to rounding; and that there are spikes."""
    where, each = f"{found['kind']}, {found['reference']}", found["circuits"]
    yield subject.row(f"{where}: spikes", sum(one["spikes"] for one in each), least=10 * len(each))
    for what in ("missed", "extra"):
        yield subject.row(f"{where}: {what}", sum(one[what] for one in each), most=0)
    yield subject.row(f"{where}: times, largest difference (ms)", max(one["largest"] for one in each), most=DIFFERENCE)
