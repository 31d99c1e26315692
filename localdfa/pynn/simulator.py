"""What PyNN calls a simulator: the description of a network, the circuit that it becomes, and the time until it has run."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np
from pyNN import common
from pyNN.common.control import DEFAULT_MAX_DELAY, DEFAULT_MIN_DELAY, DEFAULT_TIMESTEP
from pyNN.recording import get_io

from localdfa.circuit import Circuit
from localdfa.circuit.running import multiples
from localdfa.errors import SpecError

name = "localdfa"
# Moments from here on, ms, are never reached: longer than this nothing runs.
_NEVER = 1e7
# Purpose of the random numbers of Poisson sources that end, beside those of circuits.
_TRAINS = 60


class ID(int, common.IDMixin):
    """A cell by its number."""


class State(common.control.BaseState):
    """The network, and until when it has run.

    A circuit is made of the network as `run` is first called, and anew after a reset; until then anything may change, and from
    then on currents and rates alone.
    """

    def __init__(self) -> None:
        common.control.BaseState.__init__(self)
        self.mpi_rank, self.num_processes = 0, 1
        self.dt: float = DEFAULT_TIMESTEP
        self.given_min_delay: Any = DEFAULT_MIN_DELAY
        self.given_max_delay: Any = DEFAULT_MAX_DELAY
        self.threads: int | None = None
        self.seed = 0
        self.clear()

    def clear(self) -> None:
        """Forget the network."""
        self.recorders: Any = set()
        self.populations: list[Any] = []
        self.projections: list[Any] = []
        self.currents: list[tuple[Any, np.ndarray]] = []  # sources, and the cells that they go into
        self.cells, self.segment_counter = 0, -1
        self.reset()

    def reset(self) -> None:
        """Begin again at 0 ms; noise differs from one beginning to the next."""
        self.running, self.t, self.t_start = False, 0.0, 0.0
        self.segment_counter += 1
        self.circuit: Circuit | None = None

    def require_open(self, what: str) -> None:
        """Refuse to change a network that runs."""
        if self.circuit is not None:
            raise SpecError(f"at {self.t:g} ms {what}; allowed: before the first run(), or after reset()")

    def change(self, population: Any, name: str, values: np.ndarray) -> None:
        """Set a parameter of cells of a network that runs, (size,), from now on: i_offset, or rate of Poisson sources.

        Raises
        ------
        SpecError
            It is another one, or cannot change at this moment.
        """
        given, called = population.parameters, _names(self.populations)[population]
        if name not in ("i_offset", "rate"):
            self.require_open(f"{name} of cells is set, and not i_offset or rate, which may change")
        assert self.circuit is not None
        if name == "rate" and self.circuit.populations[called].rate is None:
            raise SpecError(
                f"rate of {population.label!r}: at {self.t:g} ms it is set; allowed of sources that begin at 0 and have no end"
            )
        with self._in_a_scripts_words():
            if name == "rate":
                self.circuit.set_rates(called, _plain(values))
            elif (values != given["i_offset"]).any():
                self.circuit.current(called, (values - given["i_offset"]) * _scale(population))

    def inject(self, source: Any, cells: np.ndarray) -> None:
        """Give a current to some cells, by number; while the network runs what is left of it from now on.

        Raises
        ------
        SpecError
            It cannot change at these moments.
        """
        if self.circuit is not None:
            with self._in_a_scripts_words():
                _inject(self.circuit, self, source, cells)
        self.currents.append((source, cells))

    def require_known(self, group: Any) -> None:
        """Refuse a population, view or assembly of a network that `setup` has made an end of."""
        for part in getattr(group, "populations", [group]):
            if not any(getattr(part, "grandparent", part) is each for each in self.populations):
                raise SpecError(f"{part.label!r} is of the network before setup(); allowed: populations made after it")

    @property
    def min_delay(self) -> float:
        """The shortest delay, ms: as `setup` was told, or that of all synapses."""
        if self.given_min_delay != "auto":
            return float(self.given_min_delay)
        return min((float(p.synapses["delay"].min()) for p in self.projections if len(p)), default=self.dt)

    @property
    def max_delay(self) -> float:
        """The longest delay, ms: as `setup` was told, or that of all synapses."""
        if self.given_max_delay != "auto":
            return float(self.given_max_delay)
        return max((float(p.synapses["delay"].max()) for p in self.projections if len(p)), default=self.dt)

    def run_until(self, time: float) -> None:
        """Simulate until some time, ms; what recorders ask for is given to them."""
        try:
            with self._in_a_scripts_words():
                self._run_until(time)
        except SpecError:
            if self.circuit is not None and self.circuit.simulation is None:  # nothing runs, and all may still change
                self.circuit, self.running = None, False
            raise

    @contextmanager
    def _in_a_scripts_words(self) -> Iterator[None]:
        """What a circuit refuses, under the names that a script has given to populations and parameters."""
        try:
            yield
        except SpecError as error:
            raise SpecError(_translated(str(error), self.populations)) from None

    def _run_until(self, time: float) -> None:
        if self.circuit is None:
            self.circuit = _circuit(self)
        self.running = True
        names = _names(self.populations)
        recorders = [(p.recorder, names[p]) for p in self.populations if p.recorder.kinds]
        record = {called: recorder.kinds for recorder, called in recorders}
        steps = [round(r.sampling_interval / self.dt) for r, _ in recorders if "v" in r.kinds]
        interval = self.dt * int(np.gcd.reduce(steps)) if steps else 1.0
        neurons = {called: recorder.cells_with_v for recorder, called in recorders if "v" in recorder.kinds}
        if (left := time - self.circuit.time) > 1e-9:
            result = self.circuit.run(left, record, interval, self.threads, neurons=neurons)
            for recorder, called in recorders:
                recorder.keep(result, called, interval)
        self.t = self.circuit.time

    def membranes(self, population: Any, interval: float) -> np.ndarray:
        """v of a population now, mV (1, size), looked at in a copy that goes on for a moment; (0, size) between multiples of
        the interval, ms."""
        assert self.circuit is not None
        if not len(multiples(interval, self.t, self.t + 1e-6 * interval)):
            return np.empty((0, population.size))
        ahead, called = copy(self.circuit), _names(self.populations)[population]
        ahead.simulation = copy(self.circuit.simulation)
        return ahead.run(0.5 * self.dt, {called: ["v"]}, interval, self.threads).v(called)[1]


state = State()


def setup(
    timestep: float = DEFAULT_TIMESTEP, min_delay: Any = DEFAULT_MIN_DELAY, max_delay: Any = DEFAULT_MAX_DELAY, **extra: Any
) -> int:
    """Begin a new network, and forget the one there was.

    Parameters
    ----------
    timestep : float
        ms, the grid of delays, of moments at which currents change, and of samples of v. Spike times are on no grid.
    min_delay, max_delay : float or "auto"
        ms, between which delays are to lie. A synapse that is given no delay has the shortest, or a timestep.
    **extra
        ``threads``, the threads that simulate, and ``rng_seed``, of Poisson sources, by default 0. What is meant for other
        simulators is named in a warning.

    Returns
    -------
    int
        The rank of this process, 0.
    """
    common.setup(timestep, min_delay, max_delay=max_delay, **extra)
    if not timestep > 0:
        raise SpecError(f"setup: timestep = {timestep!r}; allowed: above 0")
    threads, seed = extra.pop("threads", None), extra.pop("rng_seed", 0)
    if extra.pop("spike_precision", "off_grid") != "off_grid":
        raise SpecError("setup: spike_precision; allowed: off_grid")
    if extra:
        warnings.warn(f"setup: {', '.join(extra)}: not read, as for other simulators than localdfa", stacklevel=2)
    Circuit(seed=seed)  # which says what a seed may be
    state.dt, state.given_min_delay, state.given_max_delay = timestep, min_delay, max_delay
    state.threads, state.seed = threads, seed
    state.clear()
    return state.mpi_rank


def end(compatible_output: bool = True) -> None:
    """Write what was to be written to files in the end."""
    for population, variables, filename in state.write_on_end:
        population.write_data(get_io(filename), variables)
    state.write_on_end = []


def _names(populations: list[Any]) -> dict[Any, str]:
    """What the circuit calls populations: their labels, as far as these are names."""
    return {p: f"{re.sub(r'[^0-9A-Za-z_]', '_', f'_{p.label}'[:80]).lstrip('_') or 'p'}_{k}" for k, p in enumerate(populations)}


# Parameters of cells as circuits call them, and as PyNN does; and what else messages of circuits name after a population.
_CELL = {"tau_m": "tau_m", "v_th": "v_thresh", "v_reset": "v_reset", "v_rest": "v_rest", "t_ref": "tau_refrac"}
_OTHERS = {"start": "initialize(v=…)", "tau_syn": "tau_syn_E or tau_syn_I", "times": "spike_times"}


def _translated(message: str, populations: list[Any]) -> str:
    """What a circuit says of populations and parameters, under the names that a script has given them."""
    for own, theirs in _CELL.items():
        message = re.sub(rf"\b{own}\b", theirs, message)
    for own, theirs in _OTHERS.items():
        message = message.replace(f"'.{own}:", f"'.{theirs}:")
    for p, called in _names(populations).items():
        message = message.replace(repr(called), repr(p.label))
    return message


def _scale(population: Any) -> np.ndarray:
    """mV per nA of current, (size,): τ_m dv/dt = v_rest − v + I τ_m/c_m, and ms/nF are mV/nA."""
    return np.asarray(population.parameters["tau_m"] / population.parameters["cm"])


def _plain(values: np.ndarray) -> Any:
    """One number for an array in which all are the same."""
    return float(values[0]) if values.size and (values == values[0]).all() else values


def _seed(seed: int, segment: int) -> int:
    """The seed of a segment: of the first one that of `setup`, of others one that no other script's segment has."""
    if segment == 0:
        return seed
    return int(np.random.SeedSequence([seed, segment]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _circuit(network: State) -> Circuit:
    """The circuit of a network."""
    circuit = Circuit(seed=_seed(network.seed, network.segment_counter), precision="float64")
    names = _names(network.populations)
    for p in network.populations:
        given = p.parameters
        if "spike_times" in given:
            times = [np.asarray(each.value, float) for each in given["spike_times"]]
            circuit.trains(names[p], p.size, np.concatenate(times), np.repeat(np.arange(p.size), [len(each) for each in times]))
        elif "rate" in given:
            _poisson(circuit, names[p], p, np.random.default_rng([circuit.seed, _TRAINS, int(p.first_id)]))
        else:
            if not (given["cm"] > 0).all():
                raise SpecError(f"cm of {p.label!r}: {given['cm'].min():g} nF; allowed: above 0")
            own = {key: _plain(given[each]) for key, each in _CELL.items()}
            circuit.population(names[p], p.size, "lif", start=_plain(p.first["v"]), **own)
            circuit.current(names[p], given["i_offset"] * _scale(p))
    for source, cells in network.currents:
        _inject(circuit, network, source, cells)
    for projection in network.projections:
        _project(circuit, names, network, projection)
    return circuit


def _inject(circuit: Circuit, network: State, source: Any, cells: np.ndarray) -> None:
    """The current of a source into some cells, by number; of one that has begun already what is left."""
    found = []
    for amplitude, start, stop in source.pulses():
        if np.isnan([start, stop]).any():
            raise SpecError(f"{type(source).__name__}: from {start:g} until {stop:g} ms; allowed: numbers")
        begin, until = (round(round(t / network.dt) * network.dt, 6) for t in (min(start, _NEVER), min(stop, _NEVER)))
        begin = max(begin, circuit.time)
        for p, called in _names(network.populations).items():
            own = cells[(cells >= p.first_id) & (cells <= p.last_id)] - int(p.first_id)
            if own.size and amplitude and until > begin:
                value = amplitude * np.bincount(own, minlength=p.size) * _scale(p)
                found.append((called, value, begin, np.inf if until >= _NEVER else until))
    if circuit.simulation:  # before any of them is given
        for called, _, *moments in found:
            for moment in moments:
                circuit.simulation.require_edge(f"current of {called!r}", moment)
    for called, value, begin, until in found:
        circuit.current(called, value, begin, None if until == np.inf else until)


def _poisson(circuit: Circuit, called: str, p: Any, rng: np.random.Generator) -> None:
    """Poisson processes from `start` on for `duration`: of the circuit where they are without end, or else drawn at once."""
    rate, start, duration = (p.parameters[key] for key in ("rate", "start", "duration"))
    stop = start + duration
    if not start.any() and (stop >= _NEVER).all():
        circuit.poisson(called, p.size, _plain(rate))
        return
    if (stop >= _NEVER).any():
        raise SpecError(
            f"SpikeSourcePoisson of {p.label!r}: allowed for all of its cells: start 0 and no end, or an end, "
            f"start + duration, below {_NEVER:g} ms"
        )
    if (rate < 0).any() or (start < 0).any() or (duration < 0).any():
        raise SpecError(f"SpikeSourcePoisson of {p.label!r}: allowed as rate, start and duration: numbers from 0")
    counts = rng.poisson(1e-3 * rate * duration)
    neurons = np.repeat(np.arange(p.size), counts)
    circuit.trains(called, p.size, start[neurons] + duration[neurons] * rng.random(neurons.size), neurons)


def _project(circuit: Circuit, names: dict[Any, str], network: State, projection: Any) -> None:
    """The synapses of a projection: from each population to each, with each time constant that cells have."""
    if not len(projection):
        return
    pre, post = (
        np.fromiter(group.all_cells, np.int64)[projection.synapses[key].astype(np.int64)]
        for group, key in ((projection.pre, "presynaptic_index"), (projection.post, "postsynaptic_index"))
    )
    weight, delay = (projection.synapses[key] for key in ("weight", "delay"))
    if (delay < network.min_delay - 1e-9).any() or (delay > network.max_delay + 1e-9).any():
        raise SpecError(
            f"projection {projection.label!r}: delays from {delay.min():g} to {delay.max():g} ms; allowed by setup(): from "
            f"{network.min_delay:g} to {network.max_delay:g}"
        )
    if not (delay > 0).all():
        raise SpecError(f"projection {projection.label!r}: a delay of {delay.min():g} ms; allowed: above 0")
    delay = np.maximum(np.rint(delay / network.dt), 1) * network.dt
    first = np.array([int(p.first_id) for p in network.populations])
    of_pre, of_post = (np.searchsorted(first, cells, "right") - 1 for cells in (pre, post))
    for k, a in np.unique(np.stack([of_post, of_pre]), axis=1).T:
        sender, target = network.populations[a], network.populations[k]
        here = np.flatnonzero((of_post == k) & (of_pre == a))
        i, j = pre[here] - first[a], post[here] - first[k]
        if "tau_syn_E" in target.parameters:
            taus = target.parameters["tau_syn_I" if projection.receptor_type == "inhibitory" else "tau_syn_E"][j]
            weights = weight[here] * _scale(target)[j]
        else:
            taus, weights = np.zeros(len(j)), weight[here]
        for tau in np.unique(taus):
            some = taus == tau
            circuit.project(
                names[sender],
                names[target],
                pairs=(i[some], j[some]),
                weight=_plain(weights[some]),
                delay=_plain(delay[here][some]),
                tau_syn=float(tau),
                multapses=True,
            )
