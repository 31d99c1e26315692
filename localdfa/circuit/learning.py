"""A circuit that is taught: what a readout is to do in each trial, and how plastic projections learn it by a local rule."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads

from localdfa import arrays, registry
from localdfa.circuit import build
from localdfa.circuit.trials import Protocol, Trials
from localdfa.circuit.values import Bounds, Distribution, array, choice, number, of_one_axis, path_of, regular
from localdfa.core import finite
from localdfa.core.rate.plasticity import Plasticity
from localdfa.core.update import Update
from localdfa.data.trains import Inputs
from localdfa.data.trains import Trains as GivenTrains
from localdfa.errors import NonFiniteError, RunError, SpecError, quoted
from localdfa.inputs.trains import implausible, unseen
from localdfa.memory import CHUNK
from localdfa.spec.derived import SETTLED, rules_for
from localdfa.spec.models import wrong_parameters
from localdfa.spec.tables import Input, Phases, Trace

if TYPE_CHECKING:
    from localdfa.circuit.description import Circuit, Population, Projection

# Purposes of random numbers, beside those of `build`.
_ORDER, _TRIALS, _TESTS, _FEEDBACK = 45, 46, 47, 48
_SIGNAL, _TARGET, _TIME, _BETA = Bounds(-1e6, 1e6), Bounds(0, 1e6), Bounds(0.1, 1e6), Bounds(1e-8, 100)
_SIZES, _THREADS = Bounds(1, 100_000, True), Bounds(1, 1024, True)
# ms, of times of given trains.
_UNITS = {"ms": 1.0, "s": 1e3, "us": 1e-3}
# Spike trains are refused where phases end before more than this part of their spikes.
_UNSEEN = 0.1
# Why a file is not of this learner, by what differs.
_OTHERS = {
    "optimiser": "is of the optimiser {theirs}, and this learner's is {mine}; allowed: a learner of the same one",
    "projections": "is of the projections {theirs}, and this learner's are {mine}; allowed: a learner of the same ones",
    "weights": "was written beside other weights; allowed: the circuit that was saved at the same moment, by Circuit.load",
}
# A nudge lasts as many time constants of the postsynaptic trace, if nothing else is said.
_NUDGED = 5


class Learner:
    """The plastic projections of a circuit as they learn, made by `Circuit.learner`, which says what is simulated.

    What has been learned is in the circuit: it runs with it, and is saved with it. What the optimiser remembers of each
    synapse, and `epochs`, the number of passes so far, are the learner's, and are saved with `save`. Order and noise of a pass
    go by how many the circuit has seen, of whichever learner.
    """

    def __init__(self, circuit: "Circuit", protocol: Protocol, name: str, optimiser: Any, learns: list[bool]) -> None:
        """As `learner_of` has checked it, name: the optimiser's; learns: of each projection; draws the circuit, if need be."""
        self._circuit, self._protocol, self._optimiser, simulation = circuit, protocol, name, circuit.draw()
        simulation.let_weights_change()
        circuit.taught = True
        self._learning = [q for q, own in enumerate(learns) if own]
        self._weights = [simulation.weights_of(q)[None] for q in self._learning]
        self._trials = Trials(simulation, protocol, learns)
        own = registry.cast(optimiser, simulation.jumps.dtype.type)
        self._plasticity = Plasticity(self._weights, own, undecayed=[0] * len(self._weights))
        self.epochs = 0

    def __repr__(self) -> str:
        return f"Learner({self._names}; after {self.epochs} passes)"

    @property
    def _names(self) -> str:
        """The projections that learn."""
        learning = [self._circuit.projections[q] for q in self._learning]
        return ", ".join(f"{q.pre.name} to {q.post.name}" for q in learning)

    def epoch(self, inputs: Any, targets: Any = None, batch_size: int = 32, threads: int | None = None) -> np.ndarray:
        """Pass once through trials in a new order, and learn from each mini-batch.

        Parameters
        ----------
        inputs : array (m, n), or sequence of m pairs
            What the source that is driven sends in each trial: numbers, which the input code turns into spikes, or with the
            code ``trains`` spikes (times, neurons), ms from the onset of each phase, which cuts them off at its end.
        targets : array (m, n_out)
            The rate that each neuron of the readout is to have, Hz; None under a rule that no signal teaches.
        batch_size : int
            Trials that a change of weights sums over.
        threads : int, optional
            Share the trials of a mini-batch; the bits are the same with any number of them. By default as many as Numba has.

        Returns
        -------
        array (m, n_out)
            The rates of the readout at the end of the free phase of each trial, Hz, before its mini-batch was learned from.

        Raises
        ------
        SpecError
            The message names the argument, and says what is allowed.
        NonFiniteError
            A weight has become infinite or NaN; the message names the projection.
        """
        samples, size = self._samples(inputs), int(number("batch_size", batch_size, _SIZES))
        self._require_taught(samples)
        shape, count = (len(samples), self._circuit.populations[self._protocol.readout].size), _threads(threads)
        if self._protocol.rule.supervised:
            wanted = array("targets", targets, _TARGET, (shape,))
        elif targets is None:
            wanted = np.zeros(shape)
        else:
            raise SpecError(f"targets: {quoted(targets)}; no signal teaches this learner's rule; allowed: to leave them out")
        order = build.generator(self._circuit.seed, _ORDER, self._circuit.passes).permutation(len(samples))
        rates = np.empty(wanted.shape)
        for start in range(0, len(samples), size):
            batch = order[start : start + size]
            rng = build.generator(self._circuit.seed, _TRIALS, self._circuit.passes, start)
            left, gained = self._trials.simulate(samples[batch], wanted[batch], rng, count)
            rates[batch] = left.readout
            self._learn(gained, int(left.events.sum()))
        self.epochs += 1
        self._circuit.passes += 1
        return rates

    def rates(self, inputs: Any, threads: int | None = None) -> np.ndarray:
        """The rates of the readout at the end of the free phase of each trial, Hz, (m, n_out); nothing learns.

        inputs, threads: as in `epoch`, and so are errors. What is drawn at random is the same at each call.
        """
        samples, rng, count = self._samples(inputs), build.generator(self._circuit.seed, _TESTS, 0), _threads(threads)
        # Some at a time: all that arrives in all of their trials would take memory without bounds.
        parts = np.split(np.arange(len(samples)), range(CHUNK, len(samples), CHUNK))
        return np.concatenate([self._trials.simulate(samples[part], None, rng, count)[0].readout for part in parts])

    def save(self, path: str | Path) -> None:
        """Write to a file what the optimiser remembers, and the number of passes; `load` goes on from there.

        The weights are the circuit's: `Circuit.save` at the same moment keeps them, and how many passes it has seen.

        Raises
        ------
        RunError
            The file cannot be written.
        """
        own, content = self._plasticity, dict[str, np.ndarray]()
        for k, (state, last) in enumerate(zip(own.state, own.last, strict=True)):
            content |= {f"state_{k}": state, f"last_{k}": last}
        described = {
            "optimiser": self._optimiser, "projections": self._names, "weights": self._checksum(), "steps": own.steps,
            "epochs": self.epochs,
        }  # fmt: skip
        content["description"] = np.frombuffer(json.dumps(described).encode(), np.uint8)
        arrays.save(path_of("path", path), "learner", content)

    def load(self, path: str | Path) -> None:
        """Take over what `save` wrote, as this learner's own; learning then goes on to the same bits.

        The learner is made with the same arguments, of the circuit that was saved at the same moment (`Circuit.load`).

        Raises
        ------
        RunError
            The file cannot be read, or is of another optimiser, of other projections, or of other weights.
        """
        file = path_of("path", path)
        content, own = arrays.load(file, "learner"), self._plasticity
        try:
            described = json.loads(content.pop("description").tobytes())
            checks = ("optimiser", self._optimiser), ("projections", self._names), ("weights", self._checksum())
            for key, mine in checks:
                if described[key] != mine:
                    raise RunError(f"{file}: {_OTHERS[key].format(theirs=quoted(described[key]), mine=quoted(mine))}")
            steps, epochs = [int(step) for step in described["steps"]], int(described["epochs"])
            memory = [(content[f"state_{k}"], content[f"last_{k}"]) for k in range(len(steps))]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{file}: cannot be read as a learner's memory: {error}") from None
        there = [(state.shape, state.dtype, last.shape, last.dtype) for state, last in zip(own.state, own.last, strict=True)]
        if [(state.shape, state.dtype, last.shape, last.dtype) for state, last in memory] != there:
            raise RunError(f"{file}: its arrays are not of the shapes and types of what this learner's optimiser remembers")
        own.state, own.last = [state for state, _ in memory], [last for _, last in memory]
        own.steps, self.epochs = steps, epochs

    def _checksum(self) -> str:
        """Of the weights that learn."""
        return arrays.checksum({str(q): weights for q, weights in zip(self._learning, self._weights, strict=True)})

    def _learn(self, gained: list[np.ndarray], events: int) -> None:
        """Change weights by what a mini-batch teaches; those of one sign stop at zero."""
        none: list[np.ndarray | None] = [None] * len(gained)
        self._plasticity.learn(self._weights, Update(sent=none, change=none, total=[*gained], events=events))
        for q, weights in zip(self._learning, self._weights, strict=True):
            projection = self._circuit.projections[q]
            if not finite.all_are(weights):
                raise NonFiniteError(f"{projection.key}: a weight is not finite after pass {self.epochs + 1}")
            if projection.sign == "excitatory":
                np.maximum(weights, 0, out=weights)
            elif projection.sign == "inhibitory":
                np.minimum(weights, 0, out=weights)
            self._circuit.learned[q] = weights[0]

    def _require_taught(self, samples: Inputs) -> None:
        """Refuse given trains of which no spike comes while synapses learn."""
        nudged = self._protocol.phases.nudged
        if isinstance(samples, GivenTrains) and samples.time.size and not (samples.time < nudged).any():
            raise SpecError(
                f"inputs, times: the first spike comes at {samples.time.min():.5g} ms, when the nudged phases, {nudged:g} ms, "
                f"are over, so that nothing would be learned; allowed: trains that begin before, as with "
                f"nudged={math.ceil(samples.time.max())}"
            )

    def _samples(self, inputs: Any) -> Inputs:
        """Inputs as the input code reads them."""
        source, spec = self._circuit.populations[self._protocol.driven], self._protocol.input
        code = registry.get("inputs", spec.code)
        if code.given:
            return _trains(inputs, source, self._protocol)
        m = len(inputs) if isinstance(inputs, Sequence) or (regular(inputs) and np.ndim(inputs)) else 0
        found = array("inputs", inputs, Bounds(-1e9, 1e9), ((max(1, m), source.size),))
        if reason := code.refusal(found, (source.size,), spec):
            raise SpecError(f"inputs: {reason}")
        return found


def learner_of(
    circuit: "Circuit",
    driven: "Population",
    readout: "Population",
    feedback: Mapping[str, Any] | None,
    rule: Mapping[str, Any],
    code: Mapping[str, Any],
    optimiser: Mapping[str, Any],
    times: Mapping[str, Any],
    nudging: str | None,
    propagation: str | None,
    projections: Any,
) -> Learner:
    """Check what `Circuit.learner` is given, and make a learner of it.

    times: its beta, and durations and time constants, ms, by name; None where they are left out.

    Raises
    ------
    SpecError
        The message names the argument, the population or the projection, and says what is allowed.
    """
    trace = Trace(**{key: number(key, times[key], Bounds(0.1, 1e4)) for key in ("tau_x", "tau_z")})
    least = SETTLED * max(trace.tau_x, trace.tau_z)
    free = least if times["free"] is None else number("free", times["free"], _TIME)
    if free < least:
        raise SpecError(
            f"free: after {free:g} ms the traces still rise, which would be learned as if it were taught; allowed: at least "
            f"{least:g} ms, {SETTLED} times the longer of tau_x and tau_z"
        )
    nudged = _NUDGED * trace.tau_z if times["nudged"] is None else number("nudged", times["nudged"], _TIME)
    gate = None if times["gate"] is None else number("gate", times["gate"], Bounds(0.1, nudged))
    model, of_rule = _model("rule", "rules", rules_for("spiking"), "{'name': 'erbp', 'v_high': 0.9}", rule, circuit.precision)
    phases = Phases(
        beta=_beta(rule["name"], model, times["beta"]),
        nudging=_nudging(rule["name"], model, nudging),
        propagation=_propagation(rule["name"], model, propagation),
        teacher="drive",
        free=free,
        nudged=nudged,
        gate=gate,
    )
    _require_learnable(circuit, readout)
    _require_served(circuit, rule["name"], model)
    learns, signals = _learns(circuit, projections), dict[str, np.ndarray]()
    if model.supervised:
        signals = _signals(circuit, readout, feedback)
        _require_reached(circuit, learns, signals, model.injects, phases.propagation == "live")
    elif feedback is not None:
        raise SpecError(f"feedback: {quoted(feedback)}; no signal teaches the rule {rule['name']!r}; allowed: to leave it out")
    protocol = Protocol(driven.name, *_code(code, driven), readout.name, signals, model, of_rule, phases, trace)
    allowed, example = registry.names("optimisers"), "{'name': 'rmsprop', 'learning_rate': 0.01}"
    _, own = _model("optimiser", "optimisers", allowed, example, optimiser, circuit.precision)
    return Learner(circuit, protocol, optimiser["name"], own, learns)


def _model(key: str, package: str, allowed: list[str], example: str, given: Any, precision: str) -> tuple[Any, Any]:
    """A model of a package, given as a table of its name and its parameters; and these."""
    if not isinstance(given, Mapping):
        raise SpecError(f"{key}: {quoted(given)}; allowed: a table, as {example}")
    name = given.get("name")
    if name not in allowed:
        raise SpecError(
            f"{key}.name: {registry.unknown(name, allowed)}; one of your own comes with an installed package, by an entry "
            f"point of the group localdfa.{package}"
        )
    own = {parameter: value for parameter, value in given.items() if parameter != "name"}
    if wrong := wrong_parameters(key, package, name, own, precision):
        raise SpecError("\n".join(wrong))
    model = registry.get(package, name)
    return model, getattr(model, "Parameters", model)(**own)


def _beta(name: str, rule: Any, given: Any) -> float:
    """β, which only rules may be given whose update depends on it."""
    if given is not None and not rule.depends_on_beta:
        raise SpecError(
            f"beta: {quoted(given)}; what synapses gain by the rule {name!r} is the same at any; allowed: to leave it out"
        )
    return 1.0 if given is None else number("beta", given, _BETA)


def _nudging(name: str, rule: Any, given: Any) -> Any:
    """One phase at +β, or one at each of ±β; a rule that no signal teaches has one phase to learn in."""
    if rule.supervised:
        return "centered" if given is None else choice("nudging", given, ["centered", "one_sided"])
    if given is not None:
        raise SpecError(f"nudging: {quoted(given)}; no signal teaches the rule {name!r}; allowed: to leave it out")
    return "one_sided"


def _propagation(name: str, rule: Any, given: Any) -> Any:
    """Where the signal acts; ``held`` for a rule that reads it without injecting it."""
    if rule.injects:
        return "two_compartment" if given is None else choice("propagation", given, ["two_compartment", "live"])
    if given is not None:
        raise SpecError(
            f"propagation: {quoted(given)}; the rule {name!r} reads the signal, which moves no neuron; allowed: to leave it out"
        )
    return "held"


def _require_served(circuit: "Circuit", name: str, rule: Any) -> None:
    """Refuse what goes with rules of pairs of spikes alone."""
    if rule.by_pairs():
        return
    for q in circuit.projections:
        if q.tau_syn:
            raise SpecError(
                f"rule.name: {name!r} looks at each arrival, and {q.key} has tau_syn = {q.tau_syn:g}; allowed with it: 0"
            )
    for p in circuit.populations.values():
        if p.model and registry.get("neurons", p.model).adapts:
            raise SpecError(
                f"rule.name: {name!r} looks at each arrival, and thresholds of {p.name!r}, {p.model!r}, adapt; allowed with "
                "it: models whose thresholds do not"
            )


def _require_learnable(circuit: "Circuit", readout: "Population") -> None:
    """Refuse what cannot be part of a trial, by name."""
    for noise in circuit.noises:
        raise SpecError(
            f"{noise.key}: is no part of trials; allowed: a source of Poisson processes, Circuit.poisson, joined one_to_one, "
            "which each trial draws anew"
        )
    for pulse in circuit.pulses:
        raise SpecError(f"current of {pulse.post.name!r}: changes at {pulse.changes:g} ms; allowed in trials: constant ones")
    for p in circuit.populations.values():
        if p.model not in (None, readout.model):
            raise SpecError(
                f"population {p.name!r}: its model, {p.model!r}, is not that of {readout.name!r}, {readout.model!r}; allowed "
                "in trials: one model, whose parameters may differ"
            )
    if not any(q.plastic for q in circuit.projections):
        raise SpecError("no projection is plastic, and so none would learn; allowed: some with plastic=True")


def _signals(circuit: "Circuit", readout: "Population", feedback: Any) -> dict[str, np.ndarray]:
    """The signal of each neuron for an error of 1 Hz of each readout neuron, (n_out, size), by population."""
    if not isinstance(feedback, Mapping):
        raise SpecError(f"feedback: {quoted(feedback)}; allowed: a table by population, as {{'exc': array (n, n_out)}}")
    found, n_out = {}, readout.size
    for p, value in circuit.by_population("feedback", feedback, receives=True):
        name, key = p.name, f"feedback.{p.name}"
        if p is readout:
            found[name] = np.eye(n_out) * number(key, value, Bounds(1e-9, 1e6))
            continue
        if regular(value) and np.ndim(value) == 0 and not isinstance(value, Mapping):
            raise SpecError(
                f"{key}: {quoted(value)}; allowed: an array of shape {(p.size, n_out)}, or a table with a distribution; one "
                f"number is allowed for {readout.name!r}, of which each neuron gets its own error"
            )
        if isinstance(value, Mapping):
            rng = build.generator(circuit.seed, _FEEDBACK, [*circuit.populations].index(name))
            given = Distribution.of(key, value, _SIGNAL).draw(rng, p.size * n_out).reshape(p.size, n_out)
        else:
            given = array(key, value, _SIGNAL, ((p.size, n_out),), "a table with a distribution")
        found[name] = np.ascontiguousarray(np.transpose(given))
    return found


def _learns(circuit: "Circuit", given: Any) -> list[bool]:
    """Which projections learn: those that are plastic and, where pairs of populations are given, join one of these."""
    if given is None:
        return [q.plastic for q in circuit.projections]
    pairs: list[Any] = [*given] if isinstance(given, (list, tuple)) else []
    plastic = [q for q in circuit.projections if q.plastic]
    wrong = [pair for pair in pairs if not any(_joins(pair, q) for q in plastic)]
    if wrong or not pairs:
        allowed = ", ".join(str((q.pre.name, q.post.name)) for q in plastic)
        raise SpecError(f"projections: {quoted(wrong[0] if wrong else given)}; allowed: a list of plastic ones, of {allowed}")
    return [q.plastic and any(_joins(pair, q) for pair in pairs) for q in circuit.projections]


def _joins(pair: Any, q: "Projection") -> bool:
    """Whether a projection joins this pair, of populations or their names."""
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return False
    return all(end is p or (isinstance(end, str) and end == p.name) for end, p in zip(pair, (q.pre, q.post), strict=True))


def _require_reached(
    circuit: "Circuit", learns: Sequence[bool], signals: Mapping[str, np.ndarray], injects: bool, live: bool
) -> None:  # fmt: skip
    """Refuse synapses that would learn nothing, and feedback that would teach nothing."""
    projections = [q for q, own in zip(circuit.projections, learns, strict=True) if own]
    learning = {q.post.name for q in projections}
    if not signals:
        raise SpecError("feedback: reaches no population; allowed: at least one that plastic projections lead to")
    if live:
        for q in projections:
            if not any(q.post.name in _hearing(circuit, name) for name in signals):
                raise SpecError(
                    f"{q.key}.plastic: no feedback reaches {q.post.name!r}, nor what leads to it, and so nothing would be "
                    f"learned but noise; allowed: with feedback of a population from which projections lead there"
                )
        for name in signals:
            if not learning & _hearing(circuit, name):
                raise SpecError(
                    f"feedback.{name}: is heard by no population to which a plastic projection leads; allowed: with one"
                )
        return
    otherwise = ", or with propagation='live'" if injects else ""
    for q in projections:
        if q.post.name not in signals:
            raise SpecError(
                f"{q.key}.plastic: no feedback reaches {q.post.name!r}, and so nothing would be learned; allowed: with "
                f"feedback.{q.post.name}{otherwise}"
            )
    for name in signals:
        if name not in learning:
            raise SpecError(
                f"feedback.{name}: no plastic projection leads to {name!r}, and its feedback is heard by no other population; "
                f"allowed: with one{otherwise}"
            )


def _hearing(circuit: "Circuit", name: str) -> set[str]:
    """The populations to which projections lead from one, on any way, and it itself."""
    found, added = {name}, {name}
    while added:
        added = {q.post.name for q in circuit.projections if q.pre.name in found} - found
        found |= added
    return found


def _code(given: Any, driven: "Population") -> tuple[Input, str | None]:
    """The input code of the source that is driven; and the unit of given trains, where it is said."""
    if not isinstance(given, Mapping):
        raise SpecError(f"code: {quoted(given)}; allowed: a table, as {{'code': 'poisson', 'rate': 100.0}}")
    spiking = registry.having("inputs", lambda model: model.spikes and not model.series)
    name = choice("code.code", given.get("code"), spiking)
    model = registry.get("inputs", name)
    unit = ("time_unit",) if model.given else ()
    reads, bounds = model.reads, {"rate": Bounds(0.1, 1e4), "window": Bounds(0.1, 1e5)}
    for key in given:
        if key != "code":
            choice("code", key, [*reads, *unit])
    own: dict[str, Any] = {key: number(f"code.{key}", given[key], bounds[key]) for key in reads if key in given}
    stated = choice("code.time_unit", given["time_unit"], [*_UNITS]) if "time_unit" in given else None
    return Input(code=name, **own), stated


def _trains(inputs: Any, source: "Population", protocol: Protocol) -> GivenTrains:
    """Spike trains of trials, each a pair (times, neurons); refused where they are hardly ms, or phases end before they do."""
    allowed = "a pair (times, neurons) for each trial, ms from the onset of each phase"
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise SpecError(f"inputs: {quoted(inputs)}; allowed: {allowed}")
    times, who, counts = [np.empty(0)], [np.empty(0, np.int64)], []
    for s, pair in enumerate(inputs):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise SpecError(f"inputs[{s}]: {quoted(pair)}; allowed: {allowed}")
        times.append(array(f"inputs[{s}], times", pair[0], Bounds(0, 1e9), of_one_axis(pair[0])))
        who.append(array(f"inputs[{s}], neurons", pair[1], Bounds(0, source.size - 1, True), (times[-1].shape,)))
        counts.append(times[-1].size)
    sample, time = np.repeat(np.arange(len(counts)), counts), np.concatenate(times) * _UNITS[protocol.time_unit or "ms"]
    free, nudged = protocol.phases.free, protocol.phases.nudged
    phase, longest = ("free", free) if free >= nudged else ("nudged", nudged)
    if protocol.time_unit is None and (reason := implausible(time, longest)):
        raise SpecError(
            f"inputs, times: {reason.replace('free phase', f'{phase} phase')} Say it, as in code={{'code': "
            f"{protocol.input.code!r}, 'time_unit': 's'}}; allowed: {', '.join(_UNITS)}"
        )
    if (late := unseen(time, longest)) > _UNSEEN:
        raise SpecError(
            f"inputs, times: {100 * late:.3g} % of the spikes come after the end of the {phase} phase, {longest:g} ms, the "
            f"last one at {time.max():.5g} ms, and would not be seen; allowed: up to {100 * _UNSEEN:g} %, as with "
            f"free={math.ceil(time.max())}"
        )
    return GivenTrains(sample, np.concatenate(who), time, len(counts), source.size)


def _threads(asked: int | None) -> int:
    return get_num_threads() if asked is None else int(number("threads", asked, _THREADS))
