"""Trials of a circuit, in which parts of it learn: its tables as the kernel of trials has them, and mini-batches.

A trial has the phases of the layered networks, and their kernel simulates it (`core.spiking.trial`). For this kernel all
sources are one population, whose neurons follow one another; then come the populations, the readout last; with two compartments
then a twin of each, which has no neurons where no feedback comes. Weights are those of the simulation itself and not a copy, so
that what has been learned is what runs.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localdfa import inputs as input_codes
from localdfa import registry
from localdfa.core.output_hooks import output_hooks
from localdfa.core.spiking.batch import in_blocks, in_order
from localdfa.core.spiking.population import kernels_for
from localdfa.core.spiking.schedule import Schedule, phase_begins, schedule
from localdfa.core.spiking.state import at_rest
from localdfa.core.spiking.tables import PORT, Tables
from localdfa.core.spiking.trial import Findings, findings, trials_kernel
from localdfa.spec.tables import FeedbackTable, Input, Phases, Trace

if TYPE_CHECKING:
    from localdfa.circuit.description import Population
    from localdfa.circuit.running import Inlet, Simulation
    from localdfa.data.trains import Inputs


class Protocol(NamedTuple):
    """What a trial is.

    driven: the source that sends what each trial gives it; input: by which code; time_unit: of given trains, where it was said;
    readout: the population that is read, whose
    rate is compared with targets; feedback: of populations the signal of each neuron, in the unit of v, for an error of 1 Hz of
    each readout neuron, (n_out, size); rule: what synapses gain, `rules._spiking.SpikingRule`, and its parameters.
    """

    driven: str
    input: Input
    time_unit: str | None
    readout: str
    feedback: dict[str, np.ndarray]
    rule: Any
    of_rule: Any
    phases: Phases
    trace: Trace


class _Neurons(NamedTuple):
    """The n neurons of some tables: the model's parameters, the least where they differ; those of each neuron, (n, F), or None
    where none do; which differ; v at the onset."""

    least: Any
    own: np.ndarray | None
    varied: tuple[str, ...]
    start: np.ndarray


class Trials:
    """The trials of a circuit, by one protocol, with nudged phases and without."""

    def __init__(self, simulation: "Simulation", protocol: Protocol, plastic: list[bool]) -> None:
        """plastic: of each projection whether it learns."""
        self._simulation, self._protocol, rule = simulation, protocol, protocol.rule
        self._of_neurons = {p.name: p for p in simulation.populations if p.model is not None}
        self._names = [*(name for name in self._of_neurons if name != protocol.readout), protocol.readout]
        self._plastic = plastic
        self._sources = [p for p in simulation.populations if p.model is None]
        self._offsets = np.cumsum([0, *(p.size for p in self._sources)])
        self._taught, self._loops = self._tables(True)
        self._free, _ = self._tables(False)
        self._schedules = {nudges: self._schedule(nudges) for nudges in (False, True)}
        model = registry.get("neurons", str(self._of_neurons[protocol.readout].model))
        self._neurons = {True: self._parameters(model, self._taught), False: self._parameters(model, self._free)}
        kernels = kernels_for(self._taught, model, rule, False, self._neurons[True].varied)
        self._of_rule = registry.cast(protocol.of_rule, float) if kernels.rule else 0.0
        self._kernel: Any = trials_kernel(model, kernels)
        self._hooks = output_hooks(registry.get("outputs", "spikes"), registry.get("feedback", "direct"))

    def simulate(
        self, inputs: "Inputs", targets: np.ndarray | None, rng: np.random.Generator, threads: int
    ) -> tuple[Findings, list[np.ndarray]]:
        """Simulate a mini-batch, each trial from the onset; without targets (m, n_out), Hz, trials end with the free phase.

        Returns what trials leave, and what the synapses of each projection that learns gain in all of them, (1, n_synapses),
        in the order of its weights: under the local rule ∫ x dz/β of rates in Hz.
        """
        m, nudges = len(inputs), targets is not None
        c, steps, neurons = (self._taught if nudges else self._free), self._schedules[nudges], self._neurons[nudges]
        left = findings(m, 1, int(c.sizes[1]), 0, len(c.feedback), int(c.first[-1]), 0)
        drive, none = np.zeros((m, 1, int(c.sizes[1]))), (np.empty(0), np.empty(0, np.int64))
        incoming, until = self._arrivals(inputs, nudges, rng)
        wanted = np.zeros((m, len(c.feedback))) if targets is None else targets.astype(np.float64, order="C")

        def run(block: int, blocks: int, sums: np.ndarray, cancelled: np.ndarray) -> None:
            self._kernel(
                neurons.least, self._of_rule, self._hooks, c, steps, drive, neurons.start, incoming, until, wanted, neurons.own,
                False, left, sums, block, blocks, at_rest(c, neurons.start), none, cancelled,
            )  # fmt: skip

        gained = in_blocks(run, m, threads, c.n_sums, c.jumps.dtype)
        protocol, parts, at = self._protocol, list[np.ndarray](), 0
        in_hz = protocol.rule.in_activity(1e3, 1e3, protocol.trace, protocol.phases.gate_duration)
        gained *= c.jumps.dtype.type(in_hz)
        for q, learns in enumerate(self._plastic):
            if learns and nudges:
                size = self._simulation.weights_of(q).size
                parts.append(gained[None, at : at + size])
                at += size
        return left, parts

    def _schedule(self, nudges: bool) -> Schedule:
        """All steps matter: anything may hear anything."""
        found = schedule(self._protocol.phases, FeedbackTable(), self._loops, nudges, supervised=self._protocol.rule.supervised)
        return found._replace(top=found.last)

    def _arrivals(
        self, inputs: "Inputs", nudges: bool, rng: np.random.Generator
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """What all sources send in the trials, by trial and in order of time."""
        protocol, m = self._protocol, len(inputs)
        begins, stop = phase_begins(protocol.phases, nudges)
        parts = []
        for offset, p in zip(self._offsets, self._sources, strict=False):
            if p.name == protocol.driven:
                code = registry.get("inputs", protocol.input.code)
                sample, neuron, time = input_codes.arrivals(code, inputs, (p.size,), protocol.input, begins, stop, rng)
            elif p.trains is not None:
                times, who = p.trains
                early = int(np.searchsorted(times, stop))
                sample = np.repeat(np.arange(m), early)
                neuron, time = np.tile(who[:early], m), np.tile(times[:early], m)
            else:
                counts = rng.poisson(np.broadcast_to(np.asarray(self._simulation.rates[p.name]) * (1e-3 * stop), (m, p.size)))
                sample, neuron = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
                time = stop * rng.random(counts.sum())
            parts.append((sample, neuron + offset, time))
        sample, neuron, time = (np.concatenate(column) for column in zip(*parts, strict=True))
        return in_order(sample, neuron, time, m)

    def _parameters(self, model: Any, c: Tables) -> _Neurons:
        """The parameters of all neurons of some tables."""
        rows, start = np.zeros((c.first[-1], len(model._fields))), np.zeros(c.first[-1])
        for k, name in self._members(c):
            here, (parameters, v, _) = slice(c.first[k], c.first[k + 1]), self._onset(name)
            if here.stop > here.start:
                rows[here] = np.stack([np.broadcast_to(parameters[p], v.shape) for p in model._fields], axis=1)
                start[here] = v
        differ = tuple(p for p, column in zip(model._fields, rows.T, strict=True) if (column != column[0]).any())
        if differ:  # one kernel for all but time constants of membranes, which cost more where they differ
            differ = tuple(p for p in model._fields if p != "tau_m" or p in differ)
        least = model(*map(float, rows.min(axis=0)))
        return _Neurons(least, rows if differ else None, differ, start)

    def _onset(self, name: str) -> tuple[dict[str, float | np.ndarray], np.ndarray, np.ndarray]:
        """Parameters, v at the onset and the constant drive of a population; v as it was given where the rule may read it."""
        return self._simulation.onset(name, from_zero=not self._protocol.rule.by_pairs())

    def _members(self, c: Tables) -> list[tuple[int, str]]:
        """Of the populations and twins of some tables which they are, by number and name."""
        count = len(self._names)
        return [(1 + k, self._names[k % count]) for k in range(count * (1 + c.twins))]

    def _tables(self, nudges: bool) -> tuple[Tables, list[float]]:
        """The tables of trials, with nudged phases or without; and by which delays a population reaches itself or an earlier
        one, ms."""
        simulation, protocol = self._simulation, self._protocol
        count, rule = len(self._names), protocol.rule
        two = nudges and rule.injects and protocol.phases.propagation != "live"
        widths = [self._of_neurons[name].size for name in self._names]
        of_twins = [n if name in protocol.feedback else 0 for name, n in zip(self._names, widths, strict=True)] if two else []
        n_out, members = widths[-1], [*widths, *of_twins]
        sizes, first = [int(self._offsets[-1]), *members], np.cumsum([0, 0, *members])
        synapses = _Synapses(simulation, self._plastic, self._names, self._sources, self._offsets)
        first_port, ports, delays, loops, n_traces = [0, 0], list[Any](), list[float](), list[float](), 0
        for k, n in enumerate(members, 1):
            for entry, delay in synapses.into(self._of_neurons[self._names[(k - 1) % count]]) if n else []:
                learns = nudges and entry["sums"] >= 0
                entry |= {"traces": n_traces} if learns else {"traces": -1, "sums": -1}
                n_traces += sizes[entry["pre"]] if learns else 0
                loops += [delay] if k <= entry["pre"] else []
                ports.append(tuple(entry[name] for name in PORT.names or ()))
                delays.append(delay)
            first_port.append(len(ports))
        onsets = {name: self._onset(name) for name in self._names}
        signal = np.zeros((n_out, first[-1]))
        bias = np.zeros(first[-1])
        for k, name in enumerate(self._names * (1 + two), 1):
            here = slice(first[k], first[k + 1])
            if here.stop > here.start:
                bias[here] = onsets[name][2]
                if nudges and name in protocol.feedback and (k > count or not two):
                    signal[:, here] = protocol.feedback[name]
        taus, trace = simulation.taus, protocol.trace
        tau_as = [float(onsets[name][0].get("tau_a", np.inf)) for name in self._names]
        tau_a = np.array([np.inf, *(tau_as * (1 + two)), np.inf])
        jumps, pairing = simulation.jumps, rule.pairing(protocol.of_rule, trace.tau_x, trace.tau_z)
        found = Tables(
            tau_x=trace.tau_x,
            tau_z=trace.tau_z,
            tau_a=tau_a,
            taus=taus,
            shortest=float(min(trace.tau_x, trace.tau_z, *tau_a, *taus)),
            **pairing._asdict(),
            injects=rule.injects,
            layers=count - 1,
            output_spikes=True,
            twins=two,
            error_spikes=False,
            sizes=np.array([*sizes, 2 * n_out]),
            first=np.append(first, first[-1]),
            first_port=np.array([*first_port, len(ports)]),
            delay=np.array(delays, float),
            ports=np.array(ports, PORT),
            n_pre_traces=n_traces,
            n_sums=synapses.n_sums if nudges else 0,
            row_ends=np.concatenate(synapses.row_ends),
            targets=np.concatenate(synapses.targets),
            jumps=jumps,
            strength=np.ones(len(ports), jumps.dtype),
            online=np.zeros(len(ports), jumps.dtype),
            bias=bias,
            readout=np.zeros((1, n_out)),
            feedback=signal,
            error_rate=0.0,
            unit=1e3 / trace.tau_z,
        )
        return found, loops


class _Synapses:
    """The ports of a simulation, into ranges of populations, as ports into populations."""

    def __init__(
        self, simulation: "Simulation", plastic: list[bool], names: list[str], sources: list[Any], offsets: np.ndarray
    ) -> None:
        self._simulation, self._number = simulation, {name: 1 + k for k, name in enumerate(names)}
        self._offset = {p.name: int(offset) for p, offset in zip(sources, offsets, strict=False)}
        self._n_sources = int(offsets[-1])
        self.row_ends, self.targets = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        # Where the sums of each projection begin among those of all that learn.
        counts = [simulation.weights_of(q).size if learns else 0 for q, learns in enumerate(plastic)]
        self._plastic, self._begins, self.n_sums = plastic, np.cumsum([0, *counts]), sum(counts)
        self._made: dict[str, list[tuple[dict[str, int], float]]] = {}

    def into(self, post: "Population") -> list[tuple[dict[str, int], float]]:
        """The ports into a population, each a table with the names of `PORT`, and their delays, ms."""
        if post.name not in self._made:
            self._made[post.name] = [self._entry(each, post.size) for each in self._simulation.inlets_of(post.name)]
        return [(dict(entry), delay) for entry, delay in self._made[post.name]]

    def _entry(self, given: "Inlet", size: int) -> tuple[dict[str, int], float]:
        """A port into a population of this size."""
        port, pre, q = given.port, given.pre, given.projection
        source, n = pre.model is None, given.high - given.low
        sums = int(port.jumps - self._simulation.begin_of(q) + self._begins[q]) if self._plastic[q] else -1
        entry = {"pre": 0 if source else self._number[pre.name], "current": int(port.current), "jumps": int(port.jumps)}
        entry |= {"stride": 1, "rows": -1, "targets": 0, "sums": sums}
        if port.rows < 0 and n == size and (not source or pre.size == self._n_sources):
            return entry, given.delay
        ends, targets = self._simulation.rows_of(given)
        if source:  # neurons of other sources reach nobody here
            before = self._offset[pre.name]
            after = self._n_sources - before - pre.size
            ends = np.concatenate([np.zeros(before, np.int64), ends, np.full(after, ends[-1])])
        entry |= {"rows": sum(map(len, self.row_ends)), "targets": sum(map(len, self.targets))}
        self.row_ends.append(ends)
        self.targets.append((targets + given.low).astype(np.int32))
        return entry, given.delay
