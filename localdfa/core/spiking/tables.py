"""A spiking network as the kernels see it: flat arrays of populations, ports and synapses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from localdfa import registry
from localdfa.core import finite
from localdfa.core.events import feedback_weights
from localdfa.errors import NonFiniteError, SpecError
from localdfa.weights import Weights

if TYPE_CHECKING:
    from localdfa.network import Network
    from localdfa.spec import Setting

# An input port of a population: one for each projection into it, a twin having those of its soma as well. All are positions:
# a port begins there in the array that is named.
PORT = np.dtype(
    (
        np.record,
        [
            ("pre", np.int64),  # the population that sends
            ("current", np.int64),  # which synaptic current it raises, as in `Tables.taus`; −1 if it moves v at once
            ("jumps", np.int64),  # in `Tables.jumps`
            ("stride", np.int64),  # how far apart two synapses that follow one another are there: 1; 0 if all share one jump
            ("rows", np.int64),  # in `Tables.row_ends`; −1 if all neurons are joined
            ("targets", np.int64),  # in `Tables.targets`
            ("sums", np.int64),  # among the n_sums synapses that learn; −1 if it does not
            ("traces", np.int64),  # in `State.pre_traces`; −1 if it does not learn
        ],
    )
)  # records have their fields as attributes, where kernels are not compiled as well


class Tables(NamedTuple):
    """The tables of a spiking network.

    Its P populations come in this order: the inputs, the hidden layers, the output; with two compartments then the *twins*,
    which get the feedback, of the hidden layers and of an output that is taught by a current; last the error neurons, two for
    each output unit.
    """

    tau_x: float  # of presynaptic traces and the readout, ms
    tau_z: float  # of postsynaptic traces, ms
    tau_a: np.ndarray  # (P,) of thresholds that adapt, ms; infinite without
    taus: np.ndarray  # (R,) of synaptic currents, ms
    shortest: float  # the shortest of all these, ms
    post: float  # these three: what pairs of spikes do to a synapse, as in `traces.Pairing`
    pre: float
    edge: float
    injects: bool  # whether the rule feeds the signal back as a current
    layers: int  # number of hidden layers
    output_spikes: bool  # whether output units are neurons that spike; else they integrate the spikes of the top layer
    twins: bool  # whether there are twins
    error_spikes: bool  # whether there are error neurons that spike
    sizes: np.ndarray  # (P,) neurons of each population
    first: np.ndarray  # (P + 1,) where each begins among all neurons with a membrane
    first_port: np.ndarray  # (P + 1,) where the ports of each begin
    delay: np.ndarray  # (ports,) conduction delay, ms
    ports: np.ndarray  # (ports,) of `PORT`
    n_pre_traces: int  # number of presynaptic traces
    n_sums: int  # number of synapses that learn, and of the biases that stand behind them
    row_ends: np.ndarray  # where the rows of sparse ports begin and end, counted from the port's first synapse
    targets: np.ndarray  # postsynaptic neurons of sparse ports
    jumps: np.ndarray  # a spike adds to v or to a current the jump of the synapse times the strength of its port. Jumps are
    # the network's weights themselves, not a copy, where they are `weights.Weights`
    strength: np.ndarray  # (ports,)
    online: np.ndarray  # (ports,) what a gain of 1 adds to a jump while spikes pass; 0 where weights stand still
    bias: np.ndarray  # (n,) constant drive of every neuron
    readout: np.ndarray  # (n_top + 1, n_out) what a trace of 1 adds to each output unit, the biases last
    feedback: np.ndarray  # (n_out, n) the signal c where an output unit sends back 1
    error_rate: float  # of an error neuron where the error is 1, spikes per ms
    unit: float  # activity of a postsynaptic trace of 1


def tables_of(network: "Network", setting: "Setting", nudges: bool, rates: Sequence[float]) -> Tables:
    """The tables of a network; without nudged phases there are no twins and no error neurons.

    rates: for each projection the learning rate of weights that change while spikes pass, 0 of those that stand still.

    Raises
    ------
    NonFiniteError
        A weight is infinite or NaN; the message names the layer.
    """
    p, n_hidden, dtype = network.neuron, network.n_hidden, network.dtype
    code, trace = registry.get("inputs", setting.input.code), setting.trace
    output_spikes, rule = network.output.spiking, spiking_rule(setting)
    taught = output_spikes and setting.phases.teacher == "drive"
    n_somata = n_hidden + output_spikes
    n_twins = n_hidden + taught if nudges and rule.injects and setting.phases.propagation != "live" else 0
    error_spikes = nudges and setting.feedback.signal == "spikes"
    layer_of = [*range(n_hidden + 2), *range(1, n_twins + 1)]  # of each population but the error neurons
    sizes = [*(network.sizes[k] for k in layer_of), 2 * network.sizes[-1]]
    membranes = [n if 0 < k <= n_somata else 0 for k, n in zip(layer_of, sizes[:-1], strict=True)]
    first = np.cumsum([0, *membranes])
    signal = np.zeros((network.sizes[-1], first[-1]))
    fed = n_hidden + 2 if n_twins else 1
    if nudges:
        routed = feedback_weights(network)
        routed = np.concatenate([routed, np.eye(network.sizes[-1])], axis=1) if taught else routed
        signal[:, first[fed] : first[fed] + routed.shape[1]] = routed
    gathered = _Gathered(network, p.tau_m)
    gain = float(p.gain)
    for q in spiking_projections(network, setting):
        projection = network.projections[q]
        unit = code.unit(setting.input) if projection.pre == 0 else gain
        gathered.add(q, unit, rates[q] * gain / (trace.tau_x * trace.tau_z))
    if error_spikes:
        kick = -setting.phases.beta / (setting.feedback.rate * 1e-3 * p.tau_m)
        sparse = any(matrix is not None and not matrix.all() for matrix in network.feedback)
        for k in range(fed, fed + (n_twins or n_hidden + taught)):
            matrix = kick * signal[:, first[k] : first[k + 1]]
            gathered.add_error_neurons(len(layer_of), k, np.concatenate([matrix, -matrix]), sparse)
    first_port, order, traces, n_pre_traces = [0], list[int](), list[int](), 0
    for k in range(len(sizes)):
        for q, entry in enumerate(gathered.entries):
            from_errors = entry["pre"] == len(layer_of)
            into = k if from_errors or k >= len(layer_of) else layer_of[k]
            if entry["post"] != into or (k < len(layer_of) and layer_of[k] > n_somata):
                continue
            learns = entry["sums"] >= 0
            order.append(q)
            traces.append(n_pre_traces if learns else -1)
            n_pre_traces += sizes[entry["pre"]] if learns else 0
        first_port.append(len(order))
    ports = np.zeros(len(order), PORT)
    for port, q, at in zip(range(len(order)), order, traces, strict=True):
        entry = gathered.entries[q]
        ports[port] = tuple(at if name == "traces" else entry[name] for name in PORT.names or ())
    bias = np.full(first[-1], float(p.baseline))
    for k in range(1, len(layer_of)):
        if first[k + 1] > first[k] and (layer_of[k] > 1 or code.spikes):
            bias[first[k] : first[k + 1]] += network.b(layer_of[k] - 1)
    readout = network.projections[n_hidden].dense(network.weights[n_hidden], network.sizes[-1]).astype(np.float64)
    readout[:-1] *= gain / trace.tau_x
    tau_a = float(getattr(p, "tau_a", np.inf))
    taus = np.array(gathered.taus)
    row_ends, targets, jumps = gathered.arrays()
    return Tables(
        tau_x=trace.tau_x,
        tau_z=trace.tau_z,
        tau_a=np.full(len(sizes), tau_a),
        taus=taus,
        shortest=float(min(trace.tau_x, trace.tau_z, tau_a, *taus)),
        **rule.pairing(setting.parameters_of(setting.rule), trace.tau_x, trace.tau_z)._asdict(),
        injects=rule.injects,
        layers=n_hidden,
        output_spikes=output_spikes,
        twins=n_twins > 0,
        error_spikes=error_spikes,
        sizes=np.array(sizes),
        first=np.append(first, first[-1]),
        first_port=np.array(first_port),
        delay=np.array([gathered.entries[q]["delay"] for q in order], float),
        ports=ports,
        n_pre_traces=n_pre_traces,
        n_sums=gathered.n_sums,
        row_ends=row_ends,
        targets=targets,
        jumps=jumps,
        strength=np.array([gathered.entries[q]["strength"] for q in order], dtype),
        online=np.array([gathered.entries[q]["online"] for q in order], dtype),
        bias=bias,
        readout=readout,
        feedback=signal,
        error_rate=setting.feedback.rate * 1e-3,
        unit=gain / trace.tau_z,
    )


def spiking_rule(setting: "Setting") -> Any:
    """The rule of a setting, which serves spikes; see `localdfa.rules`.

    Raises
    ------
    SpecError
        It does not.
    """
    rule = registry.get("rules", setting.rule)
    if "spiking" not in rule.engines:
        raise SpecError(f"rule: {setting.rule!r} says nothing of spikes; it serves {', '.join(rule.engines)}")
    return rule


def spiking_projections(network: "Network", setting: "Setting") -> list[int]:
    """The projections that spikes pass: not those of input currents, and not those to units that only integrate."""
    analog = not registry.get("inputs", setting.input.code).spikes
    readout = None if network.output.spiking else len(network.sizes) - 1
    return [q for q, p in enumerate(network.projections) if not (p.pre == 0 and analog) and p.post != readout]


class _Gathered:
    """The projections of a network as they are put together; of each projection an entry with the names of `PORT`, the layer or
    population that it reaches, its delay, ms, and its strength and online factor."""

    def __init__(self, network: "Network", tau_m: float) -> None:
        self._network, self._tau_m = network, float(tau_m)
        weights = Weights.of(network.weights)
        self._jumps, self._starts = weights.flat, weights.starts
        self.entries: list[dict[str, Any]] = []
        self.taus: list[float] = []
        self.n_sums = 0
        self._rows: list[np.ndarray] = [np.empty(0, np.int64)]
        self._targets: list[np.ndarray] = [np.empty(0, np.int32)]
        self._of_errors: list[np.ndarray] = []

    def add(self, q: int, unit: float, online: float) -> None:
        """Projection q of the network.

        unit: h = unit · rate of its presynaptic neurons, so that its mean drive is W h; online: what a gain of 1 adds to a
        weight while spikes pass, in this unit.
        """
        projection, weights = self._network.projections[q], self._network.weights[q]
        if not finite.all_are(weights):
            layer = finite.layer(projection.post - 1, self._network.n_hidden)
            raise NonFiniteError(f"a weight of {layer} is not finite")
        sparse = projection.targets is not None
        if projection.tau and projection.tau not in self.taus:
            self.taus.append(projection.tau)
        self.entries.append(
            {
                "pre": projection.pre,
                "post": projection.post,
                "delay": projection.delay,
                "current": self.taus.index(projection.tau) if projection.tau else -1,
                "jumps": self._starts[q],
                "stride": 1,
                "rows": sum(map(len, self._rows)) if sparse else -1,
                "targets": sum(map(len, self._targets)) if sparse else 0,
                "sums": self.n_sums if projection.plastic else -1,
                "strength": unit / (projection.tau or self._tau_m),
                "online": online * unit**2 / self._tau_m,
            }
        )
        if projection.ends is not None and projection.targets is not None:
            self._rows.append(projection.ends)
            self._targets.append(projection.targets)
        self.n_sums += weights.size if projection.plastic else 0

    def add_error_neurons(self, pre: int, post: int, jumps: np.ndarray, sparse: bool) -> None:
        """What error neurons do to v of a population, (n_pre, n_post); if sparse, there is no synapse where that is 0."""
        joined = jumps != 0
        self.entries.append(
            {
                "pre": pre,
                "post": post,
                "delay": 0.0,
                "current": -1,
                "jumps": self._jumps.size + sum(map(len, self._of_errors)),
                "stride": 1,
                "rows": sum(map(len, self._rows)) if sparse else -1,
                "targets": sum(map(len, self._targets)) if sparse else 0,
                "sums": -1,
                "strength": 1.0,
                "online": 0.0,
            }
        )
        if sparse:
            self._rows.append(np.cumsum([0, *joined.sum(axis=1)]))
            self._targets.append(np.nonzero(joined)[1].astype(np.int32))
        self._of_errors.append((jumps[joined] if sparse else jumps.ravel()).astype(self._jumps.dtype))

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """row_ends, targets and jumps."""
        jumps = np.concatenate([self._jumps, *self._of_errors]) if self._of_errors else self._jumps
        return np.concatenate(self._rows), np.concatenate(self._targets), jumps
