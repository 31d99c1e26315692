"""Settled mode: τ = 0, so each neuron sends at most one graded event a phase, and a mini-batch is a few passes over arrays."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from localdfa.core import finite
from localdfa.core.rate import projections
from localdfa.core.rate.activation import activation
from localdfa.core.rate.normalisation import Normalised
from localdfa.core.rate.projections import AnyRoute
from localdfa.core.update import Update
from localdfa.errors import ModelError, quoted
from localdfa.interface import place_of

if TYPE_CHECKING:
    from localdfa.network import Network

# What a number is until a rule or a pathway has written it: a NaN with bits of its own, which no arithmetic with numbers gives.
_UNWRITTEN = {4: (np.uint32, 0x7FC0DFA1), 8: (np.uint64, 0x7FF80000DFA1DFA1)}


@dataclass(kw_only=True)
class FreePhase:
    """The free phase of a mini-batch of m samples."""

    # a_l (m, n_l) of each hidden layer and the output.
    drive: list[np.ndarray]
    # h_l = f(a_l), (m, n_l), of each hidden layer.
    activity: list[np.ndarray]
    # What the synapses of each projection receive, (m, n_pre + 1); the last column is ones, for the bias.
    sent: list[np.ndarray]
    # Dropout of each hidden layer, (m, n_l) of 0 and 1/(1 − p), or None.
    mask: list[np.ndarray | None]
    # ŷ (m, n_out).
    prediction: np.ndarray
    # ε: a neuron whose activity is no larger sends no event.
    threshold: float
    # The number of graded events, those of the inputs included.
    events: int
    # How the mini-batch passed through each projection; None for a dense one that is not normalised.
    route: list[AnyRoute]

    def keep(self, rows: np.ndarray) -> "FreePhase":
        """The free phase of these samples alone; the events are still those of all."""
        return FreePhase(
            drive=[a[rows] for a in self.drive],
            activity=[h[rows] for h in self.activity],
            sent=[x[rows] for x in self.sent],
            mask=[None if m is None else m[rows] for m in self.mask],
            prediction=self.prediction[rows],
            threshold=self.threshold,
            events=self.events,
            route=[None if r is None else r.keep(rows) for r in self.route],
        )


def free_phase(
    network: "Network", inputs: np.ndarray, threshold: float = 0.0, masks: Any = None, running: bool = False
) -> FreePhase:  # fmt: skip
    """Settle every layer on the inputs (m, n_in + 1), whose last column is ones.

    threshold: ε of graded events. masks: dropout of each hidden layer, arrays (m, n_l) of 0 and 1/(1 − p), or None. running:
    layers that are normalised are so by their running averages, as in evaluation; nothing can be learned from such a phase.

    Raises
    ------
    NonFiniteError
        An activity is infinite or NaN; the message names the layer and the row.
    """
    m, dtype, n_hidden = inputs.shape[0], inputs.dtype, network.n_hidden
    settle = activation(network.neuron.__class__)
    mask = masks or [None] * n_hidden
    drive = [np.empty((m, n), dtype) for n in network.sizes[1:]]
    activity = [np.empty((m, n), dtype) for n in network.sizes[1:-1]]
    sent = [inputs, *(np.empty((m, n + 1), dtype) for n in network.sizes[1:-1])]
    events = int(np.count_nonzero(inputs != 0)) - m  # without the column of ones
    route = []
    for l, a in enumerate(drive):
        route.append(projections.drive(network.geometry[l], network.weights[l], sent[l], a, network.norm(l), running))
        if l == n_hidden:
            break
        sent[l + 1][:, -1] = 1
        fired, broken = settle(network.neuron, dtype.type(threshold), a, activity[l], sent[l + 1])
        if broken:
            finite.require(activity[l], "an activity", l, n_hidden)
        if mask[l] is not None:
            sent[l + 1][:, :-1] *= mask[l]
            fired = np.count_nonzero(sent[l + 1][:, :-1])  # neurons that are left out send nothing
        events += fired
    prediction = network.predict(drive[-1])
    finite.require(drive[-1], "an activity", n_hidden, n_hidden)
    return FreePhase(
        drive=drive,
        activity=activity,
        sent=sent,
        mask=mask,
        prediction=prediction,
        threshold=threshold,
        events=events,
        route=route,
    )


class Rule(Protocol):
    """A rule as a settled network asks it; `localdfa.rules` says what its two methods do."""

    needs_phases: bool

    def hidden(
        self, l: int, free: FreePhase, moved: np.ndarray | None, signal: np.ndarray, change: np.ndarray
    ) -> tuple[int, np.ndarray | None]:
        """Write the change Δz/β of hidden layer l."""

    def output(self, free: FreePhase, moved: np.ndarray | None, error: np.ndarray, change: np.ndarray) -> None:
        """Write the change of the output."""


def post_changes(
    network: "Network",
    rule: Rule,
    free: FreePhase,
    error: np.ndarray,
    target: np.ndarray,
    directions: bool = False,
    layers: frozenset[int] | None = None,
    checked: bool = True,
) -> tuple[list[np.ndarray], int]:
    """The postsynaptic change Δz/β of each layer, (m, n_l), hidden layers first; and the number of events when nudged.

    rule: as `localdfa.rules` describes it. error: ŷ − y; target; both (m, n_out). directions: for an exact rule, multiply each
    hidden layer's change by a power of two, so that what is carried back through a hundred layers neither vanishes nor
    overflows. layers: the hidden layers, from 0, whose change is asked for, if not of all: events are theirs alone, and of the
    others only what the pathway passes on is computed. Nudged activity must then not be seen by the layer above. checked:
    whether to look that rule and pathway have written all that they are to write.

    Raises
    ------
    ModelError
        They have not, or the rule does not return a pair; the message names the hook and the layer.
    """
    pathway, m, events = network.pathway, error.shape[0], 0
    change = [_unwritten((m, n), error.dtype) for n in network.sizes[1:]]
    if m == 0:
        return change, events
    carried = pathway.carries(free.prediction, target, error)
    # moved[l]: how the nudge moves the activity below layer l, which the rule has found there; None where it is not seen.
    moved: list[np.ndarray | None] = [None] * (network.n_hidden + 1)
    needed = _needed(network, layers)
    for l in pathway.order(network.n_hidden):
        if l not in needed:
            continue
        signal = _unwritten(change[l].shape, error.dtype)
        if l > 0 and pathway.by_propagation and rule.needs_phases:
            signal[:] = 0  # the activity itself brings it
        else:
            # By a name of another type, as what is to return nothing may do so all the same.
            write: Any = pathway.signal
            returned = write(network, l, carried, change, signal, free.route)
            if checked:
                _require_written(signal, pathway.signal, "out", l, network.n_hidden, returned)
        if l in network.reached:
            signal *= network.reached[l]
        taught: Any = rule.hidden(l, free, moved[l], signal, change[l])
        if not isinstance(taught, tuple) or len(taught) != 2:
            raise ModelError(
                f"{place_of(rule.hidden)} returns {quoted(taught)}; allowed: the number of graded events, and what moves the "
                f"layer above or None, as (0, None)"
            )
        if checked and getattr(rule, "teaches_hidden", True):
            _require_written(change[l], rule.hidden, "change", l, network.n_hidden)
        sent, moved[l + 1] = taught
        events += sent if layers is None or l in layers else 0
        if directions:
            finite.scale_near_one(change[l])
    rule.output(free, moved[-1], error, change[-1])
    if checked:
        _require_written(change[-1], rule.output, "change", network.n_hidden, network.n_hidden)
    return change, events


def feedback_events(
    network: "Network",
    free: FreePhase,
    error: np.ndarray,
    target: np.ndarray,
    change: list[np.ndarray],
    layers: frozenset[int] | None = None,
) -> int:
    """How many values that are not 0 pass an entry of a matrix B that is not 0, in one phase.

    Arguments as of `post_changes`, which gives `change`. Through a kernel in the place of a convolution a value passes the
    entries that lie within the map, from the position that won.
    """
    carried, events = network.pathway.carries(free.prediction, target, error), 0
    count_carried = np.count_nonzero(carried, axis=0)
    for l, fan in enumerate(network.feedback_fans):
        if fan is None or (layers is not None and l not in layers):
            continue
        source = network.pathway.source(network, l)
        if source is None:
            events += int(count_carried @ fan)
            continue
        route, values = free.route[source], change[source]
        if isinstance(route, Normalised):
            values, route = route.through(values), route.inner
        events += int(np.count_nonzero(values, axis=0) @ fan) if route is None else route.passed(values != 0, fan)
    return events


def _needed(network: "Network", layers: frozenset[int] | None) -> set[int]:
    """The hidden layers that are asked for, and those whose change their signals pass on."""
    needed: set[int] = set(range(network.n_hidden) if layers is None else layers)
    ahead = list(needed)
    while ahead:
        source = network.pathway.source(network, ahead.pop())
        if source is not None and source not in needed:
            needed.add(source)
            ahead.append(source)
    return needed


def _unwritten(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array for a rule or a pathway to write: what it leaves out is not a number, and so is never learned."""
    found = np.empty(shape, dtype)
    as_bits, bits = _UNWRITTEN[found.itemsize]
    found.view(as_bits).fill(bits)
    return found


def _require_written(values: np.ndarray, hook: Any, argument: str, l: int, n_hidden: int, returned: Any = None) -> None:
    """Refuse what a hook was to write of layer l and has left as `_unwritten` made it.

    argument: what the hook calls the array. returned: what the hook has given back, where it is to give nothing.
    """
    as_bits, bits = _UNWRITTEN[values.itemsize]
    unwritten = values.view(as_bits) == bits
    if not unwritten.any():
        return
    how = "writes nothing into" if unwritten.all() else "leaves a part unwritten of"
    instead = " and returns an array" if isinstance(returned, np.ndarray) else ""
    raise ModelError(
        f"{place_of(hook)} {how} `{argument}` for {finite.layer(l, n_hidden)}{instead}; allowed: to write every number of it "
        f"in place, as {argument}[...] = …, for `{argument} = …` makes another array, which nobody reads"
    )


def update(
    free: FreePhase,
    change: list[np.ndarray],
    events: int = 0,
    frozen: frozenset[int] = frozenset(),
    error: np.ndarray | None = None,
    fed_back: int = 0,
) -> Update:
    """What the postsynaptic changes of each layer, (m, n_l), teach.

    Of a dense projection the optimiser gets the factors, and visits one row after the other, so that their sum is never held
    whole; of a convolution, or where drives are normalised, it gets the sum. events: those of the nudged phases; fed_back:
    feedback events. frozen: projections that do not learn, of which no sum is formed. error: e (m, n_out), for feedback
    matrices that learn from it.
    """
    layers = enumerate(zip(free.route, free.sent, change, strict=True))
    normalised = [(r, dz) for r, dz in zip(free.route, change, strict=True) if isinstance(r, Normalised)]
    return Update(
        sent=[*free.sent],
        change=[*change],
        total=[None if r is None or l in frozen else projections.total(r, x, dz) for l, (r, x, dz) in layers],
        events=free.events + events,
        activity=free.sent[1:],
        **({} if error is None else {"error": error}),
        feedback_events=fed_back,
        gains=[r.gain_total(dz) for r, dz in normalised],
        moments=[r.moments for r, _ in normalised],
    )
