"""A circuit as it is described: populations, sources, projections and inputs by name, each checked as it is added."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import scipy.sparse

from localdfa import neurons, registry, toml
from localdfa.circuit.result import Result
from localdfa.circuit.running import Simulation, settled
from localdfa.circuit.stored import Recorded, require_place
from localdfa.circuit.tables import fill, to_toml
from localdfa.circuit.values import (
    Bounds,
    Distribution,
    Value,
    array,
    choice,
    number,
    of_one_axis,
    path_of,
    plain,
    regular,
    value_of,
)
from localdfa.errors import SpecError, clipped, quoted
from localdfa.spec.models import wrong_parameters

if TYPE_CHECKING:
    from localdfa.circuit.learning import Learner

_SIZE, _WEIGHT, _VOLTAGE, _RATE = Bounds(1, 1e8, True), Bounds(-1e6, 1e6), Bounds(-1e6, 1e6), Bounds(0, 1e6)
_DELAY, _TAU, _LEVEL, _TIME = Bounds(0.01, 1e3), Bounds(0, 1e3), Bounds(-1e3, 1e3), Bounds(0, 1e7)
_THREADS = Bounds(1, 1024, True)
# No shorter than this a time constant of a synaptic current is, ms, unless it is 0.
_SHORTEST = 0.1
# Delays by synapse have at most so many values, each with a queue of its own.
_DELAYS = 1000
_SIGNS = {"excitatory": Bounds(0, 1e6), "inhibitory": Bounds(-1e6, 0)}
# What models of neurons have that a circuit says in another way.
_ELSEWHERE = {
    "baseline": "a constant drive is an input: Circuit.current",
    "gain": "spikes add the weights of their synapses as they are: Circuit.project(weight=…)",
}
RECORDS = ["spikes", "v"]


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one model, or a source: neurons that are given what they send.

    model: the name of the neuron model, None of a source. parameters: of the model, all that a circuit reads. rest: what a
    linear membrane relaxes to. start: v at the beginning.
    rate: of a source of Poisson processes, Hz, a number or an array (size,). trains: of a source of given trains, times in ms
    and neurons, in order of time.
    """

    name: str
    size: int
    model: str | None = None
    parameters: dict[str, Value] = field(default_factory=dict)
    rest: Value = 0.0
    start: Value | None = None
    rate: Value | None = None
    trains: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population to another.

    kind: dense, one_to_one, probability, in_degree, out_degree, or pairs. given: the probability, the number, or the arrays
    (pre, post). weight, delay: of each synapse, ms; tau_syn: of the current that it raises, ms, 0 if it moves v at once.
    own: whether a neuron may be joined with itself; several: whether a pair may have several synapses. plastic: whether it
    learns.
    """

    pre: Population
    post: Population
    kind: str
    given: Any
    weight: Value
    delay: Value
    tau_syn: float
    sign: str | None
    own: bool
    several: bool
    plastic: bool = False

    @property
    def key(self) -> str:
        """What messages call it."""
        return f"projection from {self.pre.name!r} to {self.post.name!r}"


@dataclass(frozen=True, eq=False)
class Noise:
    """Poisson processes, one for each neuron of a population: rate (Hz) and weight, numbers or arrays (size,)."""

    post: Population
    rate: Value
    weight: Value
    tau_syn: float

    @property
    def key(self) -> str:
        """What messages call it."""
        return f"noise of {self.post.name!r}"


@dataclass(frozen=True, eq=False)
class Pulse:
    """A current into each neuron of a population from `begin` until `end`, ms.

    value: a number or an array (size,); with `step`, ms, one after the other for so long each, (T,) or (T, size).
    """

    post: Population
    value: Value
    begin: float
    end: float
    step: float | None = None

    @property
    def changes(self) -> float:
        """When it first changes, ms."""
        return self.begin or (self.end if self.step is None else self.step)


class Synapses(NamedTuple):
    """Synapses between two populations, each array (n_synapses,): the neurons that they join, weights, and delays, ms.

    The arrays are copies, which can only be read: weights change by learning, and by `Circuit.set_weights`.
    """

    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    delay: np.ndarray


class Circuit:
    """A circuit of spiking neurons: populations and projections by name.

    Parameters
    ----------
    seed : int
        Of all that is drawn: pairs, weights, delays, where membranes start, and noise. The same seed gives the same bits.
    precision : {"float32", "float64"}
        Of membranes, currents and weights; times are in float64 in both.

    Examples
    --------
    >>> net = Circuit(seed=1)
    >>> exc = net.population("exc", 80, "lif", tau_m=20.0, v_th=20.0, v_reset=10.0, t_ref=2.0)
    >>> recurrent = net.project("exc", "exc", probability=0.1, weight=0.2, delay=1.5)
    >>> drive = net.noise("exc", rate=8000.0, weight=0.2)
    >>> result = net.run(100.0)
    """

    def __init__(self, seed: int = 0, precision: str = "float32") -> None:
        self.seed = int(number("seed", seed, Bounds(0, 2**63 - 1, True)))
        self.precision = choice("precision", precision, ["float32", "float64"])
        self.populations: dict[str, Population] = {}
        self.projections: list[Projection] = []
        self.noises: list[Noise] = []
        self.currents: dict[str, np.ndarray] = {}
        self.pulses: list[Pulse] = []
        self.simulation: Simulation | None = None
        # Weights that have been learned or set, (n_synapses,), by the number of their projection: those of the simulation
        # themselves. And rates of sources that have been set since the beginning, Hz, by name.
        self.learned: dict[int, np.ndarray] = {}
        self.rates: dict[str, Value] = {}
        # Whether trials have been made of it, whose currents are those of that moment.
        self.taught = False
        # How often learners have passed through trials, by which each pass draws an order and noise of its own.
        self.passes = 0

    @classmethod
    def of_tables(cls, tables: Mapping[str, Any]) -> "Circuit":
        """The circuit that tables describe, as those of a file of TOML (see `from_toml`)."""
        given = {key: tables[key] for key in ("seed", "precision") if key in tables}
        found = cls(**given)
        fill(found, tables)
        return found

    @classmethod
    def from_toml(cls, path: str | Path, seed: int | None = None) -> "Circuit":
        """The circuit that a file of TOML describes; seed: in the place of the file's.

        It has ``seed`` and ``precision``, and tables ``[[population]]``, ``[[source]]``, ``[[projection]]`` and ``[[input]]``
        with the names and values of the arguments of `population`, of `poisson` (``rate``) or `trains` (``times``,
        ``neurons``), of `project`, and of `noise` (``post``, ``rate``, ``weight``, ``tau_syn``) or `current` (``post``,
        ``current``, ``begin``, ``end``, ``step``).

        Raises
        ------
        SpecError
            The message names the file, the table and the key, what is wrong, and what is allowed.
        """
        place = path_of("path", path)
        try:
            return cls.of_tables(toml.read(place, None) | ({} if seed is None else {"seed": seed}))
        except SpecError as error:
            raise SpecError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None

    def to_toml(self) -> str:
        """The circuit as TOML, from which `from_toml` makes one that is simulated to the same bits."""
        return to_toml(self)

    def save(self, path: str | Path) -> None:
        """Write the circuit and where it stands to a file, whole or not at all; `load` goes on from there.

        Raises
        ------
        RunError
            The file cannot be written.
        """
        from localdfa.circuit import saved  # which knows circuits

        saved.save(self, path_of("path", path))

    @staticmethod
    def load(path: str | Path) -> "Circuit":
        """The circuit that `save` wrote, which goes on to the same bits. Nothing in the file is executed.

        Raises
        ------
        RunError
            The file cannot be read, or is none of these.
        """
        from localdfa.circuit import saved  # which knows circuits

        return saved.load(path_of("path", path))

    @property
    def time(self) -> float:
        """Until when the circuit has been simulated, ms."""
        return self.simulation.time if self.simulation else 0.0

    def __repr__(self) -> str:
        sizes = ", ".join(f"{p.name} {p.size}" for p in self.populations.values())
        return f"Circuit({sizes}; {len(self.projections)} projections; at {self.time:g} ms)"

    def population(self, name: str, size: int, model: str = "lif", start: Any = None, **parameters: Any) -> Population:
        """Add a population of spiking neurons.

        Parameters
        ----------
        name : str
        size : int
        model : str
            A model of spiking neurons, as ``localdfa list --models`` has them: ``lif``, ``alif``, ``qif`` or one's own.
        start : float, array (size,) or table with a distribution, optional
            v when the simulation begins, at most the threshold; by default the reset.
        **parameters
            Of the model, for this population: ``tau_m``, ``v_th``, ``v_reset``, ``t_ref`` and so on; with a linear membrane
            (``lif``, ``alif``) also ``v_rest``, which it relaxes to, 0 by default. Each is a number, or differs from neuron to
            neuron: an array (size,), or a table with a distribution. Where ``tau_m`` differs each arrival takes longer.
            ``tau_m`` that is drawn within 0.1 % of a ``tau_syn`` is put that far away.

        Raises
        ------
        SpecError
            The message names the population, what is wrong, and what is allowed.
        """
        self._still_open("a population")
        key = f"population {quoted(name)}"
        size = int(number(f"{key}.size", size, _SIZE))
        models = registry.having("neurons", neurons.spikes)
        kind = registry.get("neurons", choice(f"{key}.model", model, models))
        for parameter in parameters:
            if parameter in _ELSEWHERE:
                raise SpecError(f"{key}.{parameter}: is not read in a circuit; {_ELSEWHERE[parameter]}")
        found = _parameters(key, str(model), kind, parameters, size, self.precision)
        rest = found.pop("v_rest", 0.0)
        if start is not None:
            v_th = found["v_th"]
            most = v_th.bounds.high if isinstance(v_th, Distribution) else np.max(v_th)
            start = value_of(f"{key}.start", start, Bounds(_VOLTAGE.low, float(most)), ((size,),))
        return self._add(Population(name, size, model, found, rest, start))

    def trains(self, name: str, size: int, times: Any, neurons: Any) -> Population:
        """Add a source that sends given spikes.

        times: when, ms from the beginning, at least 0; neurons: which of its `size` neurons sends each; in any order.
        """
        self._still_open("a source")
        key = f"source {quoted(name)}"
        size = int(number(f"{key}.size", size, _SIZE))
        if not regular(times):
            raise SpecError(
                f"{key}.times: {quoted(times)}, in rows of several lengths; allowed: the times of all spikes along one axis, "
                "and beside them in `neurons` who sends each"
            )
        when = array(f"{key}.times", times, Bounds(0, 1e9), of_one_axis(times))
        who = array(f"{key}.neurons", neurons, Bounds(0, size - 1, True), (when.shape,))
        order = np.lexsort((who, when))
        return self._add(Population(name, size, trains=(when[order], who[order])))

    def poisson(self, name: str, size: int, rate: Any) -> Population:
        """Add a source of independent Poisson processes. rate: of each, Hz, a number or an array (size,)."""
        self._still_open("a source")
        key = f"source {quoted(name)}"
        size = int(number(f"{key}.size", size, _SIZE))
        return self._add(Population(name, size, rate=_fixed(f"{key}.rate", rate, _RATE, size)))

    def project(
        self,
        pre: str | Population,
        post: str | Population,
        connect: str | None = None,
        *,
        weight: Any = None,
        delay: Any = 1.0,
        tau_syn: float = 0.0,
        sign: str | None = None,
        probability: float | None = None,
        in_degree: int | None = None,
        out_degree: int | None = None,
        pairs: Any = None,
        matrix: Any = None,
        self_connections: bool = True,
        multapses: bool = False,
        plastic: bool = False,
    ) -> Projection:
        """Join two populations.

        Parameters
        ----------
        pre, post : str or Population
            A population or source that sends, and a population that receives.
        connect : {"dense", "one_to_one"}, optional
            Which neurons are joined, if none of the next five says so; by default all with all.
        probability : float
            Of a synapse between any two neurons, for itself.
        in_degree, out_degree : int
            How many neurons each neuron hears of, or reaches; drawn at random.
        pairs : (pre, post) of arrays (n_synapses,)
            The neurons that synapses join.
        matrix : array or SciPy sparse array (n_pre, n_post)
            Weights, in the place of `weight`; there is no synapse where an array is 0, or a sparse array has no entry. Entries
            of a sparse array for one pair are one synapse, whose weight is their sum, as SciPy has it.
        weight : float, array, or table with a distribution
            What a spike adds to v, or to the synaptic current. As an array: of `pairs` (n_synapses,), of one_to_one (n,), and
            of dense projections (n_pre, n_post).
        delay : float, array as of `weight`, or table with a distribution
            Conduction delay, ms, at least 0.01; with `matrix` also an array of its shape, of which joined pairs count. Those of
            a distribution are rounded to multiples of 0.1 ms; arrays have up to 1000 different ones.
        tau_syn : float
            Time constant of the synaptic current, ms, apart from ``tau_m`` of all populations by 0.1 % or more; 0 for a synapse
            that moves v at once.
        sign : {"excitatory", "inhibitory"}, optional
            All weights have this sign, or are 0, also when they learn; of a distribution those that have not are drawn anew.
        self_connections : bool
            Whether a neuron may be joined with itself.
        multapses : bool
            Whether a pair may have several synapses: with `pairs`, in_degree and out_degree.
        plastic : bool
            Whether these synapses learn, once the circuit is taught (`learner`).

        Raises
        ------
        SpecError
            The message names both populations, what is wrong, and what is allowed.
        """
        self._still_open("a projection")
        source, target = self.named("pre", pre), self.named("post", post, receives=True)
        key, n_pre, n_post = f"projection from {source.name!r} to {target.name!r}", source.size, target.size
        ways = {"connect": connect, "probability": probability, "in_degree": in_degree, "out_degree": out_degree,
                "pairs": pairs, "matrix": matrix}  # fmt: skip
        named = [way for way, value in ways.items() if value is not None]
        if len(named) > 1:
            raise SpecError(f"{key}: {' and '.join(named)} say which neurons are joined; allowed: one of {', '.join(ways)}")
        recurrent = source.name == target.name
        for flag, flagged in (("self_connections", self_connections), ("multapses", multapses), ("plastic", plastic)):
            if not isinstance(flagged, bool):
                raise SpecError(f"{key}.{flag}: {quoted(flagged)}; allowed: True, False")
        if multapses and named == ["matrix"]:
            raise SpecError(
                f"{key}.multapses: True; a matrix has one weight for each pair; allowed with pairs, as pairs=(m.row, m.col) "
                "and weight=m.data of a sparse array m in COO format"
            )
        if multapses and not {*named} & {"pairs", "in_degree", "out_degree"}:
            raise SpecError(f"{key}.multapses: True; allowed with pairs, in_degree and out_degree")
        if not self_connections and not recurrent:
            raise SpecError(f"{key}.self_connections: False; allowed within one population")
        bounds = _WEIGHT if sign is None else _SIGNS[choice(f"{key}.sign", sign, [*_SIGNS])]
        if (weight is None) == (matrix is None):
            raise SpecError(f"{key}.weight: {'is missing' if weight is None else 'the matrix has the weights'}")
        others = n_pre - (recurrent and not self_connections)
        given: Any = None
        kind, shapes = named[0] if named else "connect", tuple[tuple[int, ...], ...]()
        if kind == "connect":
            kind = choice(f"{key}.connect", "dense" if connect is None else connect, ["dense", "one_to_one"])
            shapes = ((n_pre, n_post),) if kind == "dense" else ((n_pre,),)
            if kind == "one_to_one" and n_pre != n_post:
                raise SpecError(f"{key}.connect: one_to_one joins populations of one size, not {n_pre} and {n_post}")
            if kind == "one_to_one" and not self_connections:
                raise SpecError(f"{key}.self_connections: False; one_to_one would join no neurons")
            if not self_connections:
                shapes = ()
                for of, values in (("weight", weight), ("delay", delay)):
                    if not isinstance(values, Mapping) and regular(values) and np.ndim(values):
                        raise SpecError(
                            f"{key}.{of}: an array of shape {np.shape(values)}; with self_connections=False allowed: a number, "
                            "or a table with a distribution; arrays go with matrix=, with 0 on its diagonal, or with pairs="
                        )
        elif kind == "probability":
            given = number(f"{key}.probability", probability, Bounds(1e-9, 1))
        elif kind in ("in_degree", "out_degree"):
            there = others if kind == "in_degree" else n_post - (n_pre - others)
            most = 10**6 if multapses and there else there
            given = int(number(f"{key}.{kind}", ways[kind], Bounds(0, most, True)))
        elif kind == "pairs":
            given = self._pairs(f"{key}.pairs", pairs, n_pre, n_post)
            shapes = (given[0].shape,)
        else:
            kind, (given, weight) = "pairs", _of_matrix(f"{key}.matrix", matrix, n_pre, n_post)
            shapes = (given[0].shape,)
            if regular(delay) and np.shape(delay) == (n_pre, n_post):
                delay = np.asarray(delay)[given]
        if kind == "pairs":
            self._require_pairs(key, given, recurrent and not self_connections, multapses)
        tau = self._tau(key, tau_syn, target)
        of_weight = f"{key}.{'weight' if matrix is None else 'matrix'}"
        found = Projection(
            pre=source,
            post=target,
            kind=kind,
            given=given,
            weight=value_of(of_weight, weight, bounds, shapes),
            delay=value_of(f"{key}.delay", delay, _DELAY, shapes),
            tau_syn=tau,
            sign=sign,
            own=recurrent and not self_connections,
            several=multapses,
            plastic=plastic,
        )
        if isinstance(found.delay, np.ndarray) and len(np.unique(found.delay)) > _DELAYS:
            raise SpecError(
                f"{key}.delay: {len(np.unique(found.delay))} different ones; allowed: up to {_DELAYS}, as after rounding"
            )
        self.projections.append(found)
        return found

    def noise(self, post: str | Population, rate: Any, weight: Any, tau_syn: float = 0.0) -> Noise:
        """Give each neuron of a population Poisson noise of its own.

        rate: Hz, of all that it gets (of many sources, the sum of theirs); weight: what each event adds to v, or with `tau_syn`
        (ms) to a current. Both are numbers or arrays (size,). Events are drawn as they come, from counters, and not kept.
        """
        self._still_open("noise")
        target = self.named("post", post, receives=True)
        key = f"noise of {target.name!r}"
        if not registry.get("neurons", str(target.model)).linear:
            raise SpecError(
                f"{key}: allowed for models with a linear membrane, which {target.model!r} has not; a source of Poisson "
                "processes, Circuit.poisson, joined one_to_one, does the same"
            )
        found = Noise(
            target, _fixed(f"{key}.rate", rate, _RATE, target.size), _fixed(f"{key}.weight", weight, _WEIGHT, target.size),
            self._tau(key, tau_syn, target),
        )  # fmt: skip
        self.noises.append(found)
        return found

    def current(
        self,
        post: str | Population,
        value: Any,
        begin: float | None = None,
        end: float | None = None,
        step: float | None = None,
    ) -> None:
        """Give a population a current, in the unit of v, besides those that it has; also between runs.

        The shortest time between moments at which currents change bounds how long threads work side by side, and so the speed.
        A circuit that has been drawn, as it runs first, goes on in the windows that it had then, and its currents change at
        their edges: if all currents were constant, multiples of its shortest delay between neurons, or of 10 ms, or without any
        of 1 ms.

        Parameters
        ----------
        post : str or Population
        value : float or array (size,)
            The current; with `step` a waveform, an array over time: (T,) of all neurons, or (T, size) of each its own.
        begin, end : float, optional
            From when until when, ms from the beginning, multiples of 0.001 ms; by default always, and between runs from where
            the circuit stands. A waveform is at its end after T steps, and has no `end` of its own.
        step : float, optional
            How long each value of a waveform holds, ms, a multiple of 0.001 ms.

        Raises
        ------
        SpecError
            The message names the population, what is wrong, and what is allowed.
        """
        target = self.named("post", post, receives=True)
        key = f"current of {target.name!r}"
        if self.taught:
            raise SpecError(f"{key}: the circuit has a learner, whose trials would not have it; allowed: before one is made")
        first = self._moment(f"{key}.begin", self.time if begin is None else begin)
        if first < self.time - 1e-9:
            raise SpecError(f"{key}.begin: {first:g}; allowed: from {self.time:g}, where the circuit stands")
        if step is not None:
            self._change_currents(self._waveform(key, target, value, first, end, step))
            return
        if regular(value) and np.ndim(value) and np.shape(value) != (target.size,):
            raise SpecError(
                f"{key}: an array of shape {np.shape(value)}; allowed: a number, or an array of shape ({target.size},); with "
                f"step, how long each value holds, ms, one over time, (T,) or (T, {target.size})"
            )
        more = _fixed(key, value, _VOLTAGE, target.size)
        last = np.inf if end is None else self._moment(f"{key}.end", end)
        if last <= first:
            raise SpecError(f"{key}.end: {end!r}; allowed: above begin, {first:g}")
        if first > 0 or last < np.inf:
            self._change_currents(Pulse(target, more, first, last))
            return
        self.currents[target.name] = self.currents.get(target.name, np.zeros(target.size)) + np.asarray(more)
        if self.simulation is not None:
            self.simulation.change_constant(self)

    def run(
        self,
        duration: float,
        record: Mapping[str, list[str]] | None = None,
        interval: float = 1.0,
        threads: int | None = None,
        progress: Callable[[float], None] | None = None,
        to: str | Path | None = None,
        neurons: Mapping[Any, Any] | None = None,
    ) -> Result:
        """Simulate for some time, from where the circuit stands.

        ``run(500.0)`` twice gives the same bits as ``run(1000.0)``. Between runs a circuit may get currents (`current`), other
        weights (`set_weights`) and other rates of its sources (`set_rates`), but no further population, source, projection or
        noise.

        Parameters
        ----------
        duration : float
            ms.
        record : dict, optional
            What is kept, by population or its name: ``"spikes"`` of all, ``"v"`` of those of neurons. By default all spikes.
        interval : float
            ms between two moments at which v is kept: at multiples of it, from the beginning of the simulation.
        threads : int, optional
            How many threads share each window of the shortest delay; the bits are the same with any number of them. By default
            as many as Numba has, as far as there are neurons enough for them.
        progress : function, optional
            Called now and then, and at the end, with the time until which the circuit has been simulated, ms.
        to : str or Path, optional
            A file of HDF5 that gets what is recorded while the circuit runs, so that memory does not grow with `duration`;
            needs the extra ``hdf5``. The result that is returned reads from it, as that of `Result.open` does. While the run
            lasts, and after it if it is killed, the file is called ``NAME.part``: `Result.open` reads what it has so far. Where
            the file of an earlier run of this circuit ends, with the same `record` and `interval`, the run is appended.

        neurons : dict, optional
            Of which neurons v is kept, by population or its name, each an array (n,); by default of all.

        Raises
        ------
        SpecError
            The message names the population, what is wrong, and what is allowed; or how much memory it would take.
        RunError
            The file `to` cannot be written, or is that of something else.
        """
        recorded, file = self.require(duration, record, interval, neurons), None if to is None else path_of("to", to)
        if progress is not None and not callable(progress):
            raise SpecError(f"progress: {quoted(progress)}; allowed: a function of the time, ms")
        end = float(settled(self.time + float(duration)))
        count = None if threads is None else int(number("threads", threads, _THREADS))
        if file is not None:
            require_place(file, self.time, {p.name: p.size for p in self.populations.values()}, recorded, self.seed)
        return self.draw(count).run(end, recorded, count, progress or (lambda time: None), file)

    def learner(
        self,
        inputs: str | Population,
        readout: str | Population,
        feedback: Mapping[str, Any] | None = None,
        *,
        rule: Mapping[str, Any] = {"name": "local"},
        code: Mapping[str, Any] = {"code": "poisson"},
        optimiser: Mapping[str, Any] = {"name": "rmsprop", "learning_rate": 0.01},
        beta: float | None = None,
        nudging: str | None = None,
        propagation: str | None = None,
        free: float | None = None,
        nudged: float | None = None,
        gate: float | None = None,
        tau_x: float = 40.0,
        tau_z: float = 40.0,
        projections: Sequence[tuple[str | Population, str | Population]] | None = None,
    ) -> "Learner":
        """Have plastic projections learn, by the local rule or another one, what the readout is to do in each trial.

        A trial begins where the circuit does. In its free phase there is no feedback; at its end the rate r of each readout
        neuron, 1000 z/τ_z Hz, is compared with its target: e = r − r*. In the nudged phases a current −β B e, or +β B e in the
        second of two, reaches the populations in `feedback`, and their plastic synapses gain by the local rule

            (1/β) ∫ x_j dz_i, of traces as rates in Hz, while the gate is open,

        half the difference of both phases; the optimiser makes of that, summed over a mini-batch, the change of weights.
        Another rule for spikes says what they gain, and whether the signal is a current or is read at the synapse alone.
        Constant currents are on all the time, other Poisson sources are drawn anew in each trial, and given trains begin at its
        onset. Once a learner has been made, nothing is added to a circuit.

        Parameters
        ----------
        inputs : str or Population
            The source that sends what each trial gives it, in the place of what it sends when the circuit runs.
        readout : str or Population
            The population of neurons that has targets.
        feedback : dict
            B by population or its name, in the unit of v for 1 Hz: an array (n, n_out), or a table with a distribution. For the
            readout a number, of which each neuron gets its own error. Rules that no signal teaches, as STDP, have none.
        rule : dict
            Its ``name``, of a rule for spikes, as ``local`` or ``erbp``, and its parameters.
        code : dict
            How numbers become spikes of `inputs`, as in the table ``input`` of an experiment: ``poisson`` with its ``rate``,
            ``latency`` with its ``window``; or ``trains``, by which each trial is given spikes, in ms or in the ``time_unit``
            that is said, ``s``, ``ms`` or ``us``.
        optimiser : dict
            Its ``name``, and its parameters.
        beta : float, optional
            Nudging strength β, of rules that depend on it; by default 1.
        nudging : {"centered", "one_sided"}, optional
            Nudged phases at β and −β, each after a free one, as by default; or one at β, as of rules that no signal teaches.
        propagation : {"two_compartment", "live"}, optional
            Of rules by which feedback is a current, whether it reaches a compartment of its own, whose trace z is, while the
            soma goes on without it, as by default; or the soma, which other populations then hear.
        free, nudged : float, optional
            Duration of phases, ms; by default 8 times the longer of `tau_x` and `tau_z`, and 5 times `tau_z`.
        gate : float, optional
            How long synapses learn from the onset of a nudge, ms; by default all the while.
        tau_x, tau_z : float
            Time constants of presynaptic and postsynaptic traces, ms.
        projections : list of pairs (pre, post), optional
            Which plastic projections learn, by their populations; by default all. Several learners of a circuit give
            projections a rule, an optimiser, a gate and a feedback of their own, where each learns in turn.

        Raises
        ------
        SpecError
            The message names what is wrong and what is allowed; or what of the circuit cannot be part of trials: noise,
            currents that begin and end, or neurons of several models.
        """
        from localdfa.circuit.learning import learner_of  # which imports the engine of training

        driven = self.named("inputs", inputs)
        if driven.model:
            there = ", ".join(p.name for p in self.populations.values() if not p.model) or "none"
            raise SpecError(f"inputs: {driven.name!r} is a population of neurons; allowed: a source: {there}")
        times = {"beta": beta, "free": free, "nudged": nudged, "gate": gate, "tau_x": tau_x, "tau_z": tau_z}
        target = self.named("readout", readout, receives=True)
        return learner_of(self, driven, target, feedback, rule, code, optimiser, times, nudging, propagation, projections)

    def synapses(self, pre: str | Population, post: str | Population) -> Synapses:
        """All synapses from one population to another as they stand, also as they have been learned; draws the circuit.

        The arrays are copies, which later learning does not change, and can only be read: `set_weights` takes others.
        """
        names = self.named("pre", pre).name, self.named("post", post, receives=True).name
        found = [each[3:] for each in self.draw().synapses() if each[:2] == names]
        if not found:
            raise SpecError(f"there are no synapses from {names[0]!r} to {names[1]!r}")
        columns = [np.concatenate(column) for column in zip(*found, strict=True)]
        for column in columns:
            column.setflags(write=False)
        return Synapses(*columns)

    def set_weights(self, pre: str | Population, post: str | Population, weights: Any) -> None:
        """Give all synapses from one population to another other weights, from where the circuit stands; draws the circuit.

        Spikes that are on their way have the new weights when they arrive. Each synapse then has a weight of its own, and takes
        the memory for it. Not in TOML (`to_toml`); `save` keeps them.

        Parameters
        ----------
        pre, post : str or Population
        weights : float or array (n_synapses,)
            As of `project`, in the order of ``synapses(pre, post)``.

        Raises
        ------
        SpecError
            The message names both populations, what is wrong, and what is allowed: weights have the sign of their projection;
            and the circuit stands at the edge of a window, as `current` says.
        """
        names = self.named("pre", pre).name, self.named("post", post, receives=True).name
        before = self.simulation
        try:
            self._set_weights(*names, weights)
        except SpecError:
            self.simulation = before  # how many synapses there are is known once they are drawn
            raise

    def _set_weights(self, pre: str, post: str, weights: Any) -> None:
        key, simulation, at = f"weights from {pre!r} to {post!r}", self.draw(), 0
        counts = simulation.counts(pre, post)
        if not counts:
            raise SpecError(f"there are no synapses from {pre!r} to {post!r}")
        given = np.asarray(_fixed(key, weights, _WEIGHT, sum(n for _, n in counts)))
        for q, n in counts:
            sign = self.projections[q].sign
            value_of(key, given[at : at + n] if given.ndim else float(given), _SIGNS[sign] if sign else _WEIGHT, ((n,),))
            at += n
        for q in simulation.change_weights(pre, post, given):
            self.learned[q] = simulation.weights_of(q)

    def set_rates(self, source: str | Population, rate: Any) -> None:
        """Let the Poisson processes of a source go on at another rate, from where the circuit stands; draws the circuit.

        source: as `poisson` made it; rate: of each process, Hz, a number or an array (size,). Not in TOML (`to_toml`); `save`
        keeps it.

        Raises
        ------
        SpecError
            As of `set_weights`, of moments at which the circuit can be changed; or there is no such source.
        """
        p = self.named("source", source)
        if p.rate is None:
            there = ", ".join(each.name for each in self.populations.values() if each.rate is not None) or "none"
            raise SpecError(f"source: {p.name!r} has no rate; allowed: sources of Poisson processes: {there}")
        rates = _fixed(f"source {quoted(p.name)}.rate", rate, _RATE, p.size)
        self.draw().change_rates(p.name, rates)
        self.rates[p.name] = rates

    def require(
        self,
        duration: float,
        record: Mapping[str, list[str]] | None = None,
        interval: float = 1.0,
        neurons: Mapping[Any, Any] | None = None,
    ) -> Recorded:
        """What a run of these arguments keeps; SpecError, as `run` raises it, before anything is drawn."""
        number("duration", duration, Bounds(1e-3, 1e7))
        if not self.populations:
            raise SpecError("the circuit has no population; add one with Circuit.population")
        kept = {name: ["spikes"] for name in self.populations} if record is None else self._recorded(record)
        step, with_v = number("interval", interval, Bounds(0.01, 1e6)), [name for name in kept if "v" in kept[name]]
        return Recorded({n for n in kept if "spikes" in kept[n]}, with_v, step, self._chosen(neurons, with_v))

    def draw(self, threads: int | None = None) -> Simulation:
        """The simulation; draws all of the circuit, by so many threads, where it has not run yet."""
        if self.simulation is None:
            self.simulation = Simulation(self, threads)
        return self.simulation

    def _change_currents(self, pulse: Pulse) -> None:
        """Add a current that changes."""
        if self.simulation is not None:
            self.simulation.change_currents(pulse)
        self.pulses.append(pulse)

    def _still_open(self, what: str) -> None:
        if self.simulation is not None:
            raise SpecError(f"{what} cannot be added to a circuit that has run; allowed: before its first run")

    def _add(self, population: Population) -> Population:
        name = population.name
        if not isinstance(name, str) or not name.isidentifier() or len(name) > 100:
            raise SpecError(f"population {quoted(name)}: allowed as a name: letters, digits and _, no digit first")
        if name in self.populations:
            raise SpecError(f"population {quoted(name)}: there is one of this name already; allowed: another name")
        # Sources come last, whenever they are added: what is drawn goes by number.
        there = [*self.populations.values(), population]
        self.populations = {p.name: p for p in sorted(there, key=lambda p: p.model is None)}
        return population

    def named(self, key: str, population: str | Population, receives: bool = False) -> Population:
        """A population of this circuit, given by its name or itself; receives: of neurons, and no source.

        Raises
        ------
        SpecError
            There is no such population; the message begins with the key.
        """
        name = population.name if isinstance(population, Population) else population
        there = [n for n, p in self.populations.items() if p.model or not receives]
        if isinstance(population, Population) and self.populations.get(name) is not population:
            raise SpecError(f"{key}: {name!r} is a population of another circuit; allowed: {', '.join(there) or 'none'}")
        if not isinstance(name, str) or name not in self.populations or (receives and name not in there):
            if isinstance(name, str) and name in self.populations:
                raise SpecError(
                    f"{key}: {name!r} is a source, which is given what it sends; allowed: {', '.join(there) or 'none'}"
                )
            raise SpecError(
                f"{key}: {registry.unknown(name, there) if there else f'{quoted(name)}, but there is no population'}"
            )
        return self.populations[name]

    def by_population(self, key: str, table: Mapping[Any, Any], receives: bool = False) -> list[tuple[Population, Any]]:
        """The entries of a table by population, or its name, each once; as `named`.

        Raises
        ------
        SpecError
            There is no such population, or it is given by itself and by its name.
        """
        found: dict[str, tuple[Population, Any]] = {}
        for each, value in table.items():
            population = self.named(key, each, receives)
            if population.name in found:
                raise SpecError(f"{key}.{population.name}: is given twice, by its population and by its name; allowed: once")
            found[population.name] = population, value
        return [*found.values()]

    def _waveform(self, key: str, target: Population, value: Any, begin: float, end: Any, step: Any) -> Pulse:
        """A current that goes through an array over time."""
        if end is not None:
            raise SpecError(f"{key}.end: {quoted(end)}; with step, the number of values says it; allowed: to leave it out")
        holds = self._moment(f"{key}.step", step)
        if not holds:
            raise SpecError(f"{key}.step: {quoted(step)}; allowed: numbers from 0.001")
        n = np.shape(value)[0] if regular(value) and np.ndim(value) in (1, 2) else 0
        if isinstance(value, (Mapping, str)) or not n:
            shown = f"an array of shape {np.shape(value)}" if regular(value) and np.ndim(value) else quoted(value)
            raise SpecError(f"{key}: {shown}; allowed with step: an array over time, (T,) or (T, {target.size})")
        steps = array(key, value, _VOLTAGE, ((n,), (n, target.size)))
        last = begin + n * holds
        if last > _TIME.high:
            raise SpecError(f"{key}: {n} steps of {holds:g} ms end at {last:g} ms; allowed: up to {_TIME.high:g}")
        return Pulse(target, steps, begin, round(last, 3), holds)

    def _moment(self, key: str, value: Any) -> float:
        time = number(key, value, _TIME)
        if abs(1e3 * time - round(1e3 * time)) > 1e-6:
            raise SpecError(f"{key}: {quoted(value)}; allowed: multiples of 0.001")
        return time

    def _tau(self, key: str, value: Any, target: Population) -> float:
        tau = number(f"{key}.tau_syn", value, _TAU)
        if 0 < tau < _SHORTEST:
            raise SpecError(f"{key}.tau_syn: {tau:g}; allowed: 0, or numbers from {_SHORTEST:g} to {_TAU.high:g}")
        if tau and not registry.get("neurons", str(target.model)).linear:
            raise SpecError(f"{key}.tau_syn: {tau:g}; {target.model!r} has no linear membrane; allowed: 0")
        return tau

    def _pairs(self, key: str, pairs: Any, n_pre: int, n_post: int) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(pairs, (tuple, list)) or len(pairs) != 2:
            raise SpecError(
                f"{key}: {quoted(pairs)}; allowed: two arrays (n_synapses,), of presynaptic and postsynaptic neurons"
            )
        pre = array(f"{key}, pre", pairs[0], Bounds(0, n_pre - 1, True), of_one_axis(pairs[0]))
        return pre, array(f"{key}, post", pairs[1], Bounds(0, n_post - 1, True), (pre.shape,))

    def _require_pairs(self, key: str, given: tuple[np.ndarray, np.ndarray], own: bool, multapses: bool) -> None:
        pre, post = given
        if own and (pre == post).any():
            raise SpecError(f"{key}.self_connections: neuron {pre[pre == post][0]} is joined with itself; allowed with True")
        if not multapses:
            order = np.lexsort((post, pre))
            twice = (np.diff(pre[order]) == 0) & (np.diff(post[order]) == 0)
            if twice.any():
                at = order[np.flatnonzero(twice)[0]]
                raise SpecError(f"{key}.multapses: the pair ({pre[at]}, {post[at]}) comes twice; allowed with True")

    def _recorded(self, record: Mapping[str, list[str]]) -> dict[str, list[str]]:
        if not isinstance(record, Mapping):
            raise SpecError(f"record: {quoted(record)}; allowed: a table of lists by population, as {{'exc': ['spikes', 'v']}}")
        found = {}
        for population, kinds in self.by_population("record", record):
            name = population.name
            if not isinstance(kinds, (list, tuple)):
                raise SpecError(f"record.{name}: {quoted(kinds)}; allowed: a list of {', '.join(RECORDS)}")
            found[name] = [choice(f"record.{name}", kind, RECORDS if population.model else ["spikes"]) for kind in kinds]
        return found

    def _chosen(self, neurons: Mapping[Any, Any] | None, with_v: list[str]) -> dict[str, np.ndarray]:
        """Of which neurons v is kept, by population, where it is said."""
        if neurons is not None and not isinstance(neurons, Mapping):
            raise SpecError(f"neurons: {quoted(neurons)}; allowed: a table of arrays by population, as {{'exc': [0, 5, 7]}}")
        found: dict[str, np.ndarray] = {}
        for population, given in self.by_population("neurons", neurons or {}, receives=True):
            name, key = population.name, f"neurons.{population.name}"
            if name not in with_v:
                raise SpecError(f"{key}: v of {name!r} is not recorded; allowed with record={{{name!r}: ['v']}}")
            found[name] = array(key, given, Bounds(0, population.size - 1, True), of_one_axis(given))
            if not len(found[name]):
                raise SpecError(f"{key}: has no neuron; allowed: one or more, or no v of {name!r} in record")
            if len(np.unique(found[name])) < len(found[name]):
                raise SpecError(f"{key}: {quoted(given)}; a neuron comes twice; allowed: once")
        return found


def _parameters(key: str, name: str, model: Any, given: Mapping[str, Any], size: int, precision: str) -> dict[str, Value]:
    """The parameters of a model that a circuit reads, numbers in float64, and v_rest, where the membrane is linear.

    Such a membrane may be measured from anywhere: in the kernels the reset is 0, and only the threshold above it is bounded.
    """
    given = {p: plain(value) for p, value in given.items()}
    further = ("v_rest",) if model.linear else ()
    allowed = [*(p for p in model._fields if p not in _ELSEWHERE), *further]
    for p in given:
        if p not in allowed:
            raise SpecError(f"{key}.{clipped(p)}: a parameter of {name} {registry.unknown(p, allowed)}")
    varied = {p for p, value in given.items() if isinstance(value, Mapping) or not regular(value) or np.ndim(value)}
    if model.adapts and "tau_a" in varied:
        raise SpecError(
            f"{key}.tau_a: {quoted(given['tau_a'])} is not one number; thresholds of a population decay together, so neurons "
            "with another tau_a make up a population of their own"
        )
    own: dict[str, Any] = {p: value for p, value in given.items() if p not in varied}
    found: dict[str, Value] = {}
    if model.linear:
        found["v_rest"] = value_of(f"{key}.v_rest", given.get("v_rest", 0.0), _LEVEL, ((size,),))
        found |= _levels(key, model, given, size)
        own.pop("v_rest", None)
        own = {p: value for p, value in own.items() if p not in ("v_th", "v_reset")}
        lowest = [value.bounds.low if isinstance(value, Distribution) else np.min(value) for value in found.values()]
        own["v_th"], own["v_reset"] = max(float(lowest[1] - lowest[2]), 1e-3), 0.0
    if wrong := wrong_parameters(key, "neurons", name, own, precision):
        raise SpecError("\n".join(wrong))
    for p in sorted(varied - {*found}):
        low, high = _bounds_of(model.__annotations__[p])
        found[p] = value_of(f"{key}.{p}", given[p], Bounds(low, high), ((size,),))
    complete = model(**{p: value for p, value in own.items() if p not in found})._asdict()
    order = {p: found[p] if p in found else float(value) for p, value in complete.items() if p not in _ELSEWHERE}
    return order | ({"v_rest": found["v_rest"]} if model.linear else {})


def _levels(key: str, model: Any, given: Mapping[str, Any], size: int) -> dict[str, Value]:
    """v_th and v_reset of a linear membrane, v_th above by 0.001 or more in each neuron."""
    v_th: Any
    v_reset: Any
    v_th, v_reset = (given.get(p, model._field_defaults[p]) for p in ("v_th", "v_reset"))
    if isinstance(v_th, Mapping) and isinstance(v_reset, Mapping):
        raise SpecError(f"{key}.v_reset: {quoted(v_reset)}; where v_th is drawn, allowed: a number, or an array of ({size},)")
    shapes, step = ((size,),), 1e-3
    if isinstance(v_reset, Mapping):
        v_th = value_of(f"{key}.v_th", v_th, _LEVEL, shapes)
        below = Bounds(_LEVEL.low, float(np.min(v_th)) - step)
        return {"v_th": v_th, "v_reset": value_of(f"{key}.v_reset", v_reset, below, shapes)}
    v_reset = value_of(f"{key}.v_reset", v_reset, _LEVEL, shapes)
    if isinstance(v_th, Mapping):
        v_th = value_of(f"{key}.v_th", v_th, Bounds(float(np.max(v_reset)) + step, _LEVEL.high), shapes)
        return {"v_th": v_th, "v_reset": v_reset}
    v_th = value_of(f"{key}.v_th", v_th, _LEVEL, shapes)
    wrong = np.broadcast_to(v_th < np.asarray(v_reset) + step, (size,))
    if wrong.any():
        i = np.flatnonzero(wrong)[0]
        one, other = (float(np.broadcast_to(x, (size,))[i]) for x in (v_th, v_reset))
        raise SpecError(f"{key}.v_th: {one!r}; allowed: above v_reset, {other:g}, by 0.001 or more")
    return {"v_th": v_th, "v_reset": v_reset}


def _bounds_of(annotation: Any) -> tuple[float, float]:
    """The bounds of a parameter, as its model declares them."""
    found = {"ge": -1e9, "le": 1e9}
    for note in get_args(annotation)[1:]:
        for each in getattr(note, "metadata", [note]):
            found |= {bound: float(getattr(each, bound)) for bound in found if hasattr(each, bound)}
    return found["ge"], found["le"]


def _fixed(key: str, value: Any, bounds: Bounds, size: int) -> Value:
    """A number or an array (size,)."""
    if isinstance(value, (Mapping, str)):
        raise SpecError(f"{key}: {quoted(value)}; allowed: a number, or an array of shape ({size},)")
    return value_of(key, value, bounds, ((size,),))


def _of_matrix(key: str, matrix: Any, n_pre: int, n_post: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The pairs that a matrix joins, and their weights."""
    if not scipy.sparse.issparse(matrix):
        matrix = scipy.sparse.coo_array(array(key, matrix, _WEIGHT, ((n_pre, n_post),)))
    if matrix.shape != (n_pre, n_post):
        raise SpecError(f"{key}: an array of shape {matrix.shape}; allowed: one of shape {(n_pre, n_post)}")
    found = matrix.tocoo()
    pre, post, weights = found.row, found.col, array(key, found.data, _WEIGHT, (found.data.shape,))
    if len(np.unique(pre.astype(np.int64) * n_post + post)) < len(pre):
        summed = scipy.sparse.coo_array((weights, (pre, post)), shape=matrix.shape)
        summed.sum_duplicates()
        pre, post, weights = summed.row, summed.col, summed.data
    return (pre.astype(np.int64), post.astype(np.int64)), weights
