"""Brian2 as an independent witness of the spiking engine: the same spec and network, on Brian2's clock.

Brian2 detects a spike at the end of the step in which it comes, so everything is late by less than a step for every spike that
it hangs on, and the difference from the exact spike times shrinks in proportion to the step. Where all spikes come on the clock
there is no difference but rounding.

In a step, from t to t + dt: all states relax exactly (`method="exact"`) to t + dt; what arrives there moves v and the
currents; thresholds are tested; a postsynaptic spike adds τ_z/(τ_x+τ_z) x_j to each of its synapses, x_j without what
arrives now; v is reset and z_i rises; an arrival subtracts τ_x/(τ_x+τ_z) z_i; x_j rises. With τ_x/(τ_x+τ_z) x_j z_i at the
gate's ends this is ∫ x_j dz_i. Weights stand still while they run: each synapse sums what it would learn.

Phases are half open: what comes at an edge belongs to the later phase. As it comes in the step that ends there, gates and
currents are turned within that step, once all states have relaxed. Spikes of the step that ends a trial are after it.

A refractory period is closed at its end: v is held in the step that ends there, and what arrives with that end moves it.

Where synapses learn, spikes go through *terminals*: a spike reaches the terminals of its neuron with the conduction delay, and
from there all synapses at once; the trace x_j of the arrivals is theirs, one a neuron instead of one a synapse. With two
compartments every fed population has a twin that gets the same and sends nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import brian2
import numpy as np

from localdfa import inputs as input_codes
from localdfa import neurons, registry
from localdfa.errors import SpecError

if TYPE_CHECKING:
    from localdfa.data import Inputs
    from localdfa.network import Network
    from localdfa.spec import Setting
    from localdfa.topology import Projection

# Slots of Brian2's step, in the order that the docstring tells.
_REACH, _ARRIVE, _READ, _RISE = "after_groups", "before_thresholds", "after_resets", "end"


@dataclass
class Trial:
    """What Brian2 says of one trial.

    spikes, twins: of each population from the first hidden layer on, an array (2, n) of times, ms, and neurons, in order of
    time; times are ends of steps. prediction, error (n_out,): at the end of the free phase. x, z: of each of these
    populations the traces of its own spikes, (edges, n), each time that the gate opens or closes, of the compartment that gets
    the feedback; None where nothing reads them. totals: (1/β) ∫_gate x dz of every projection, shaped as its weights, in units
    of activity.
    """

    spikes: list[np.ndarray]
    twins: list[np.ndarray]
    prediction: np.ndarray
    error: np.ndarray
    x: list[np.ndarray | None]
    z: list[np.ndarray | None]
    totals: list[np.ndarray]


def simulate(
    network: "Network", setting: "Setting", inputs: "Inputs", target: np.ndarray | None = None,
    rng: np.random.Generator | None = None, dt: float = 0.1, error: np.ndarray | None = None, rate: float = 0.0,
) -> Trial:  # fmt: skip
    """One trial, in this process: inputs (1, n_features + 1), the last column one, or one spike train; target (n_out,), or None
    to end after the free phase; rng: as `localdfa.core.spiking.batch.simulate` takes it; dt: the step, ms; error: taken as
    given; rate: of learning, where weights change while spikes pass.

    Raises
    ------
    SpecError
        The setting has something that is not built here, or that does not fit on this clock.
    """
    model = Model(network, setting, inputs, target is not None, rng, dt, keep=True, rate=rate)

    def taught(prediction: np.ndarray) -> np.ndarray:
        read = error
        if read is None:
            assert target is not None
            read = network.output.error(prediction, target)
        return np.where(np.abs(read) > setting.feedback.threshold, read, 0)

    model.run(None if target is None and error is None else taught)
    return model.trial()


class Model:
    """A network of Brian2's objects for one trial, which `run` runs, on whatever device Brian2 is set to.

    keep: whether spike times, and traces at the gate's edges, are kept; or spikes only counted, in trials that are timed. There
    no spike comes on a grid, and each phase is a run of its own that ends with the step at its edge, as a program cannot be
    asked within a run. rate: as in `simulate`.
    """

    def __init__(
        self,
        network: "Network",
        setting: "Setting",
        inputs: "Inputs",
        nudges: bool,
        rng: np.random.Generator | None,
        dt: float,
        keep: bool,
        rate: float = 0.0,
    ) -> None:
        _require(setting, network, dt)
        self._rate = rate
        self._network, self._setting, self._dt, self._nudges, self._keep = network, setting, dt, nudges, keep
        self._clock = brian2.Clock(dt * brian2.ms)
        self._objects: list[brian2.BrianObject] = []
        self._top = network.n_hidden
        self._spiking_output = network.output.spiking
        self._taught = nudges and self._spiking_output and setting.phases.teacher == "drive"
        last = self._top + self._spiking_output
        fed = range(1, self._top + 1 + self._taught) if nudges else range(0)
        self._two = nudges and setting.phases.propagation != "live"
        self._somata = {k: self._population(k, f"soma{k}", k in fed and not self._two) for k in range(1, last + 1)}
        self._twins = {k: self._population(k, f"twin{k}", True) for k in fed if self._two}
        self._fed = {k: (self._twins if self._two else self._somata)[k] for k in fed}
        self._terminals: dict[tuple[int, float], brian2.NeuronGroup] = {}
        self._learning: dict[int, brian2.Synapses] = {}
        self._seen: dict[str, list[list[np.ndarray]]] = {"x": [], "z": []}
        self._inputs(inputs, rng)
        for q, joint in enumerate(network.projections):
            if joint.post <= last and (joint.pre > 0 or self._sources is not None):
                self._project(q, joint)
        monitored = [*self._somata.values(), *self._twins.values()]
        self._monitors = {
            group.name: brian2.SpikeMonitor(group, record=keep, name=f"{group.name}_spikes") for group in monitored
        }
        self._objects += self._monitors.values()
        self._due: dict[int, list[Callable[[], None]]] = {}
        self._error, self._end = np.zeros(0), 0.0
        if keep:
            self._objects.append(
                brian2.NetworkOperation(self._turn, clock=self._clock, when=_REACH, order=-2, name="edges_of_phases")
            )
        self._net = brian2.Network(*self._objects)

    def run(self, error: Callable[[np.ndarray], np.ndarray] | None) -> None:
        """Run a trial: the free phase, and with `error` what follows; that is asked for e, (n_out,), of ŷ (n_out,)."""
        edges = list(self._edges(error))
        self._end = edges[-1][0]
        if self._keep:
            for time, turn in edges:
                self._due.setdefault(round(time / self._dt) - 1, []).append(turn)
            self._net.run(round(self._end / self._dt) * self._dt * brian2.ms, namespace={})
            return
        before = 0
        for time, turn in edges:
            steps = round(time / self._dt) - before
            if steps:
                self._net.run(steps * self._dt * brian2.ms, namespace={})
            turn()
            before += steps

    def _turn(self) -> None:
        """Do what is due at the end of this step."""
        for turn in self._due.pop(round(float(self._clock.t / brian2.ms) / self._dt), ()):
            turn()

    def _edges(self, error: Callable[[np.ndarray], np.ndarray] | None) -> Iterator[tuple[float, Callable[[], None]]]:
        """The edges of phases and of the gate, ms, with what happens there."""
        phases, now = self._setting.phases, self._setting.phases.free
        yield now, partial(self._judge, error)
        signs = (1, -1) if phases.nudging == "centered" else (1,)
        for sign in signs if error else ():
            if sign < 0:
                yield now, partial(self._feed, 0.0)
                now += phases.free
            factor = sign / (phases.beta * len(signs))
            yield now, partial(self._open_gate, factor, len(signs))
            yield now, partial(self._feed, sign * phases.beta)
            yield now + phases.gate_duration, partial(self._close_gate, factor)
            now += phases.nudged
        yield now, lambda: None

    def _judge(self, error: Callable[[np.ndarray], np.ndarray] | None) -> None:
        """Read the output, and the error that it makes."""
        if self._keep:  # of a program that is yet to be compiled nothing can be read
            self._prediction = self.prediction()
        if error:
            self._error = error(self._prediction if self._keep else np.zeros(0))

    def _feed(self, beta: float) -> None:
        """From now on there is the feedback current −beta c."""
        for k, group in self._fed.items():
            group.fed = beta * self._signal(k, self._error)

    def _open_gate(self, factor: float, openings: int) -> None:
        self._gate(factor, "-")
        self._somata[self._top].clamped = f"clamped + x / {openings}"

    def _close_gate(self, factor: float) -> None:
        self._gate(factor, "+")
        self._open(False)

    def prediction(self) -> np.ndarray:
        """ŷ of the output now, (n_out,)."""
        gain, trace, network = float(self._network.neuron.gain), self._setting.trace, self._network
        if self._spiking_output:
            return gain / trace.tau_z * np.array(self._somata[self._top + 1].z)
        x = gain / trace.tau_x * np.array(self._somata[self._top].x)
        return network.predict((network.W(self._top) @ x + network.b(self._top))[None].astype(float))[0]

    def trial(self) -> Trial:
        """What the run has left."""
        x, z = ([np.array(found) if found[0].size else None for found in zip(*self._seen[name], strict=True)] for name in "xz")
        totals = self._totals(self._error) if self._nudges else []
        return Trial(self._trains(self._somata), self._trains(self._twins), self._prediction, self._error, x, z, totals)

    def counts(self) -> list[np.ndarray]:
        """Spikes of each neuron of each population since the begin."""
        return [np.array(self._monitors[group.name].count) for group in self._somata.values()]

    def _signal(self, k: int, error: np.ndarray) -> np.ndarray | float:
        """What feeds population k back, c = B e: by its own matrix, or e itself of an output; 0 where none reaches it."""
        if k > self._top:
            return error
        matrix = self._network.feedback[k - 1]
        return 0.0 if matrix is None else matrix @ error

    def _gate(self, factor: float, edge: str) -> None:
        """The gate opens, edge −, or closes, edge +: the boundary terms; while it is open, synapses read."""
        for group in self._fed.values():
            group.moved = f"moved {edge} {factor!r} * z"
        for synapses in self._learning.values():
            synapses.scale = factor
            synapses.learned = f"learned {edge} scale * rho * x_pre * z_post"
        self._open(True)
        if self._keep:
            groups = {**self._somata, **self._fed}.values()
            for name, seen in self._seen.items():
                seen.append([np.array(getattr(g, name)) if name in g.variables else np.empty(0) for g in groups])

    def _open(self, whether: bool) -> None:
        """Whether synapses learn: within a run objects stay as active as they are, and a `scale` of 0 is what stops it."""
        for synapses in self._learning.values():
            synapses.read.active = synapses.post.active = whether or self._keep
            if not whether:
                synapses.scale = 0.0

    def _trains(self, groups: dict[int, brian2.NeuronGroup]) -> list[np.ndarray]:
        monitors = [self._monitors[group.name] for group in groups.values()]
        trains = [np.array([np.array(m.t / brian2.ms) + self._dt, np.array(m.i)]) for m in monitors]
        return [train[:, train[0] < self._end - self._dt / 2] for train in trains]

    def _population(self, k: int, name: str, fed: bool) -> brian2.NeuronGroup:
        """A population of neurons: of its soma or of its twin."""
        p, trace, top = self._network.neuron, self._setting.trace, self._top
        taus = _taus(self._network)
        currents = "".join(f" + g{r}" for r in range(len(taus)))
        membrane = f"(drive - fed{currents} - v) / tau_m" if neurons.is_linear(p) else f"({p.equation}) / tau_m"
        model = f"dv/dt = {membrane} : 1 (unless refractory)\ndrive : 1 (constant)\nfed : 1 (constant)\n"
        model += "" if neurons.is_linear(p) else "I = drive - fed : 1\n"
        model += "".join(f"dg{r}/dt = -g{r} / tau_{r} : 1\n" for r in range(len(taus)))
        reset, threshold = "v = v_reset\n", "v >= v_th"
        if p.adapts:
            model += "dtheta/dt = -theta / tau_a : 1\n"
            reset, threshold = reset + "theta += step\n", "v >= v_th + theta"
        if (k == top and name.startswith("soma") and not self._spiking_output) or (k == top and self._nudges):
            model += "dx/dt = -x / tau_x : 1\nclamped : 1\n"
            reset += "x += 1\n"
        if fed or k > top:
            model += "dz/dt = -z / tau_z : 1\nmoved : 1\n"
            reset += "z += 1\n"
        ms, values = brian2.ms, {f"tau_{r}": tau * brian2.ms for r, tau in enumerate(taus)}
        values |= {"tau_m": float(p.tau_m) * ms, "tau_x": trace.tau_x * ms, "tau_z": trace.tau_z * ms}
        values |= {"v_th": float(p.v_th), "v_reset": float(p.v_reset)}
        if p.adapts:
            values |= {"tau_a": float(p.tau_a) * ms, "step": float(p.step)}
        # A spike that Brian2 stamps t has come by t + dt, and v rests from there. In the step stamped t + t_ref it still rests,
        # but takes in what arrives at the end of that step. This is another pass over the neurons in each step, so it is left
        # out where spikes are only counted, for trials that are timed: there no spike comes on a grid.
        refractory = float(p.t_ref) + (0.0 if self._keep else self._dt)
        group = brian2.NeuronGroup(
            self._network.sizes[k], model, threshold=threshold, reset=reset, refractory=refractory * ms,
            method="exact" if neurons.is_linear(p) else "rk4", clock=self._clock, name=name,
            namespace=values | {"t_ref": float(p.t_ref) * ms},
        )  # fmt: skip
        if self._keep:
            group.run_regularly(
                "v = v_reset + (v - v_reset) * int(timestep(t - lastspike, dt) != timestep(t_ref, dt))", when=_REACH, order=-1
            )
        group.v = float(p.v_reset) if self._network.start is None else self._network.start[k - 1]
        group.drive = float(p.baseline) + self._network.b(k - 1).astype(float)
        self._objects.append(group)
        return group

    def _inputs(self, inputs: "Inputs", rng: np.random.Generator | None) -> None:
        """Constant currents to the first layer, or a group that sends the input's spikes."""
        network, setting = self._network, self._setting
        code = registry.get("inputs", setting.input.code)
        self._sources, self._x = None, None
        if not code.spikes:
            assert isinstance(inputs, np.ndarray)
            self._x = inputs[0, :-1].astype(float)
            for group in (self._somata[1], *([self._twins[1]] if self._two else [])):
                group.drive = float(network.neuron.baseline) + network.b(0) + network.W(0) @ self._x
            return
        phases = setting.phases
        lengths = [phases.free, *[phases.nudged, phases.free] * (2 if phases.nudging == "centered" else 1)][:-1]
        begins = np.cumsum([0.0, *(lengths if self._nudges else lengths[:1])])
        x = inputs[:, :-1] if isinstance(inputs, np.ndarray) else inputs
        _, neuron, time = input_codes.arrivals(code, x, network.shape, setting.input, begins[:-1], begins[-1], rng)
        # As neurons: a spike has come by the end of a step. It is sent as the next one begins, which also those at 0 ms can be.
        step = np.ceil(np.round(time / self._dt, 6)).astype(int)
        if len(np.unique(step * network.sizes[0] + neuron)) < len(step):
            raise SpecError(f"two spikes of an input within the step of {self._dt} ms; take a shorter one")
        self._sources = brian2.SpikeGeneratorGroup(
            network.sizes[0], neuron, step * self._dt * brian2.ms, clock=self._clock, name="inputs", when="start"
        )
        self._objects.append(self._sources)

    def _project(self, q: int, joint: "Projection") -> None:
        """The synapses of a projection, on somata and twins."""
        network, source = self._network, self._sources if joint.pre == 0 else self._somata[joint.pre]
        unit = float(network.neuron.gain)
        if joint.pre == 0:
            unit = registry.get("inputs", self._setting.input.code).unit(self._setting.input)
        pre, post, weights = _pairs(joint, network.weights[q], network.sizes)
        moved = f"g{_taus(network).index(joint.tau)}" if joint.tau else "v"
        trace, factor = self._setting.trace, unit / (joint.tau or float(network.neuron.tau_m))
        more = self._rate * factor * unit * float(network.neuron.gain) / (trace.tau_x * trace.tau_z)
        for group in (self._somata[joint.post], self._twins.get(joint.post)):
            if group is None:
                continue
            learns = joint.plastic and group is self._fed.get(joint.post)
            # A pathway that runs before the thresholds gets a spike one step after it was sent.
            delay = None if learns else (joint.delay - self._dt) * brian2.ms
            # What ∫ x dz has come to by now, before x rises, is in the weight where that changes while spikes pass.
            online = f" + {more!r} * (learned + scale * rho * x_pre * z_post)" if learns and self._rate else ""
            synapses = brian2.Synapses(
                self._terminal(joint.pre, source, joint.delay) if learns else source, group,
                "w : 1 (constant)" + ("\nlearned : 1\nscale : 1 (shared)" if learns else ""),
                on_pre={"arrive": f"{moved}_post += w{online}"}
                | ({"read": "learned -= scale * rho * z_post"} if learns else {}),
                on_post={"post": "learned += scale * (1 - rho) * x_pre"} if learns else None,
                delay=None if learns else {"arrive": delay}, clock=self._clock, name=f"synapses{q}_{group.name}",
                namespace={"rho": trace.tau_x / (trace.tau_x + trace.tau_z)},
            )  # fmt: skip
            synapses.connect(i=pre, j=post)
            synapses.w = weights.astype(float) * factor
            synapses.arrive.when = _ARRIVE
            if learns:
                synapses.read.when = _READ
                self._learning[q] = synapses
            self._objects.append(synapses)
        self._open(False)

    def _terminal(self, k: int, source: brian2.Group, delay: float) -> brian2.NeuronGroup:
        """The terminals of population k behind a conduction delay, and their trace."""
        if (k, delay) not in self._terminals:
            name = f"terminals{k}_{len(self._terminals)}"
            group = brian2.NeuronGroup(
                self._network.sizes[k], "dx/dt = -x / tau_x : 1\nreached : boolean", threshold="reached",
                reset="reached = False\nx += 1", method="exact", clock=self._clock, name=name,
                namespace={"tau_x": self._setting.trace.tau_x * brian2.ms},
            )  # fmt: skip
            group.thresholder["spike"].when, group.thresholder["spike"].order = _REACH, 1
            group.resetter["spike"].when = _RISE
            axons = brian2.Synapses(
                source, group, on_pre="reached_post = True", delay=(delay - self._dt) * brian2.ms, clock=self._clock,
                name=f"axons{k}_{len(self._terminals)}",
            )  # fmt: skip
            axons.connect(j="i")
            axons.pre.when = _REACH
            self._objects += [group, axons]
            self._terminals[k, delay] = group
        return self._terminals[k, delay]

    def _totals(self, error: np.ndarray) -> list[np.ndarray]:
        network, trace, gain = self._network, self._setting.trace, float(self._network.neuron.gain)
        moved = {k: gain / trace.tau_z * np.array(group.moved) for k, group in self._fed.items()}
        found = []
        for q, joint in enumerate(network.projections):
            if joint.post not in self._fed:
                clamped = np.append(gain / trace.tau_x * np.array(self._somata[self._top].clamped), 1)
                found.append(joint.by_synapse(np.outer(clamped, -error)))
            elif joint.pre == 0 and self._x is not None:
                found.append(joint.by_synapse(np.outer(np.append(self._x, 1), moved[joint.post])))
            elif q in self._learning:
                code = registry.get("inputs", self._setting.input.code)
                unit = code.unit(self._setting.input) if joint.pre == 0 else gain
                synapses = np.array(self._learning[q].learned) * gain * unit / (trace.tau_x * trace.tau_z)
                both = np.append(synapses, moved[joint.post] if joint.biased else [])
                found.append(both.reshape(network.weights[q].shape))
            else:
                found.append(np.zeros_like(network.weights[q]))
        return found


def _pairs(joint: "Projection", weights: np.ndarray, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """pre, post and weight of every synapse of a projection."""
    n_pre, n_post = sizes[joint.pre], sizes[joint.post]
    pre, post = joint.ends_of_synapses or (np.repeat(np.arange(n_pre), n_post), np.tile(np.arange(n_post), n_pre))
    return pre, post, weights.ravel()[: len(pre)]


def _taus(network: "Network") -> list[float]:
    """Time constants of the synaptic currents, ms."""
    return sorted({joint.tau for joint in network.projections if joint.tau})


def _require(setting: "Setting", network: "Network", dt: float) -> None:
    """Refuse what is not built here."""
    code = registry.get("inputs", setting.input.code)
    for key, value, allowed in (
        ("feedback.signal", setting.feedback.signal, "constant"),
        ("phases.onset", setting.phases.onset, "rest"),
        ("rule", setting.rule, "local"),
    ):
        if value != allowed:
            raise SpecError(f"{key}: {value!r} is not built in Brian2; allowed here: {allowed!r}")
    if not (neurons.is_linear(network.neuron) or getattr(network.neuron, "equation", None)):
        raise SpecError(
            f"network.neuron: {setting.network.neuron!r} has no `equation`, the right-hand side of τ_m dv/dt, by which Brian2 "
            f"would simulate it"
        )
    if not code.spikes and code.frames(network.shape) > 1:
        raise SpecError(f"input.code: {setting.input.code!r} is not built in Brian2; allowed here: 'current' and spikes")
    for joint in network.projections:
        if joint.delay < dt:
            raise SpecError(f"network.delay: {joint.delay} ms is shorter than Brian2's step of {dt} ms")
